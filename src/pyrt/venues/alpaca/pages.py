"""Everything the venue has to tell, read page by page to the end, or not at all."""

from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode

import msgspec

from pyrt.errors import Misbehaved
from pyrt.ports import TakeSnapshot, VenueActivity, VenueFill, VenueOrder, VenueSnapshot
from pyrt.venues.alpaca import wire

ORDERS_PAGE = 500
FILLS_PAGE = 100
# A page begins so far, in ns, before the end of the last one, because `after` is exclusive and times repeat. A millisecond also
# covers a venue that compares coarser than it prints; where that brings nothing new, a nanosecond.
_OVERLAPS = (1_000_000, 1)

LOOK_BACK = 3 * 86_400 * 1_000_000_000
KINDS = ",".join(
    (
        "CSD", "CSW", "JNLC", "JNLS", "ACATC", "ACATS", "FEE", "CFEE", "PTC", "INT", "INTNRA", "INTTW",
        "DIV", "DIVCGL", "DIVCGS", "DIVFEE", "DIVFT", "DIVNRA", "DIVROC", "DIVTW", "DIVTXEX",
        "SPLIT", "SPIN", "REORG", "MA", "NC", "CIL", "OPASN", "OPEXC", "OPEXP", "OPCSH", "OPTRD", "MISC",
    )
)  # fmt: skip

Get = Callable[[str], Any]
"""Reads one path, with retries, and returns its body as `body.read_page` does; raises when there is none."""


def snapshot(command: TakeSnapshot, get: Get, reader: wire.Reader, begun: int) -> VenueSnapshot:
    """All of it: fills last, so that they cover what the orders show. Raises what `get` raises, and Misbehaved."""
    account = reader.account(get("/v2/account"))
    positions = reader.positions(get("/v2/positions"))
    orders: dict[str, VenueOrder] = {}
    for status, since in (("open", 0), ("all", command.since)):
        for order in read_orders(get, reader, status=status, since=since):
            known = orders.get(order.id)
            if known is None or order.updated_at >= known.updated_at:
                orders[order.id] = order if order.legs or known is None else msgspec.structs.replace(order, legs=known.legs)
    fills = read_fills(get, reader, since=command.since)
    return VenueSnapshot(
        query=command.query,
        begun=begun,
        since=command.since,
        account=account,
        positions=positions,
        orders=tuple(orders.values()),
        fills=fills,
    )


def read_orders(get: Get, reader: wire.Reader, *, status: str, since: int) -> tuple[VenueOrder, ...]:
    """All orders of a status submitted at or after `since` (ns), oldest first; exits follow the order that names them."""
    found: dict[str, VenueOrder] = {}
    after, narrow = since, 0
    while True:
        query = {"status": status, "limit": str(ORDERS_PAGE), "direction": "asc", "nested": "true"}
        if after > 0:
            query["after"] = wire.format_time(after - _OVERLAPS[narrow])
        rows = wire.rows_of(get(f"/v2/orders?{urlencode(query)}"))
        before, size, times = len(found), 0, []
        for row in rows:
            for order in reader.orders(row):
                found.update((each.id, each) for each in (order, *order.legs))
                size += 1 + len(order.legs)
            times += [row["submitted_at"]] if isinstance(row, dict) and row.get("submitted_at") else []
        # Nobody says whether the limit counts exits that are rolled up into a row.
        if max(len(rows), size) < ORDERS_PAGE:
            return tuple(found.values())
        if len(found) > before:
            narrow = 0
        elif narrow + 1 < len(_OVERLAPS):
            narrow += 1
        else:
            raise Misbehaved(f"{ORDERS_PAGE} orders or more at one instant: pages cannot tell them apart")
        if not times:
            raise Misbehaved("a page of orders without submission times")
        after = max([after, *map(wire.parse_time, times)])  # it counts by the time of submission


def read_fills(get: Get, reader: wire.Reader, *, since: int) -> tuple[VenueFill, ...]:
    """All FILL activities at or after `since` (ns), oldest first."""
    found: dict[str, VenueFill] = {}
    token = ""
    while True:
        query = {"direction": "asc", "page_size": str(FILLS_PAGE)}
        if since > 0:
            query["after"] = wire.format_time(since - _OVERLAPS[0])
        if token:
            query["page_token"] = token
        rows = wire.rows_of(get(f"/v2/account/activities/FILL?{urlencode(query)}"))
        before = len(found)
        for row in rows:
            for fill in reader.fills(row):
                found[fill.activity_id] = fill
        if len(rows) < FILLS_PAGE:
            return tuple(found.values())
        if len(found) == before:
            raise Misbehaved("the venue repeats a page of activities")
        token = id_of(row)


def read_activities(get: Get, reader: wire.Reader, *, since: int) -> tuple[VenueActivity, ...]:
    """All activities but fills at or after `since` (ns) less LOOK_BACK, oldest first: some bear only a date, and come late."""
    found: dict[str, VenueActivity] = {}
    seen: set[str] = set()
    query = {"activity_types": KINDS, "direction": "asc", "page_size": str(FILLS_PAGE)}
    if since > LOOK_BACK:
        query["after"] = wire.format_time(since - LOOK_BACK)
    while True:
        rows = wire.rows_of(get(f"/v2/account/activities?{urlencode(query)}"))
        for row in rows:
            for activity in reader.activities(row):
                found[activity.activity_id] = activity
        if len(rows) < FILLS_PAGE:
            return tuple(found.values())
        query["page_token"] = id_of(row)
        if query["page_token"] in seen:
            raise Misbehaved("the venue repeats a page of activities")
        seen.add(query["page_token"])


def id_of(row: Any) -> str:
    """By which the page behind an activity is asked for. Raises Misbehaved where it bears none."""
    told = row.get("id") if isinstance(row, dict) else None
    if not told:
        raise Misbehaved("an activity without an id")
    return str(told)
