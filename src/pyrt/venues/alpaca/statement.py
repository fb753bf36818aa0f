"""What the venue says of an account at one moment, to be held against our own books; numbers stay the venue's decimal text."""

import time
from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode

import msgspec

from pyrt.errors import Misbehaved, NotAuthorized, VenueError
from pyrt.ports import VenueFill, VenueOrder
from pyrt.venues.alpaca import pages, wire

PAGE = 100
PAUSE = 0.5  # s before the second try of a request; each later one waits twice as long
_TYPES = (  # all that are documented but FILL, of which there may be very many
    "ACATC,ACATS,CFEE,CIL,CSD,CSW,DIV,DIVCGL,DIVCGS,DIVNRA,DIVROC,DIVTXEX,DIVWH,EXTRD,FEE,FXTRD,INT,INTPNL,JNLC,JNLS,MA,MEM,NC,"
    "OCT,OPASN,OPCSH,OPEXC,OPEXP,OPTRD,PTC,REORG,SPIN,SPLIT,SWP,VOF,WH"
)
_MEANWHILE = 3  # times that it is read again because something was filled while it was read


class Holding(msgspec.Struct, frozen=True, kw_only=True):
    """One position."""

    symbol: str
    qty: str  # signed
    avg_entry_price: str
    cost_basis: str
    current_price: str  # "" where the venue knows none
    unrealised: str


class Activity(msgspec.Struct, frozen=True, kw_only=True):
    """Something that moved money or shares and is no fill: a fee, a dividend, a transfer."""

    id: str
    type: str
    date: str
    net_amount: str
    symbol: str = ""
    qty: str = ""
    description: str = ""


class Statement(msgspec.Struct, frozen=True, kw_only=True):
    """The account, its positions, and its orders, fills and other activities from `since` on."""

    account_id: str
    since: int  # venue ns
    cash: str
    equity: str
    last_equity: str
    positions: tuple[Holding, ...]
    orders: tuple[VenueOrder, ...]
    fills: tuple[VenueFill, ...]
    activities: tuple[Activity, ...]  # of the account's whole life: cash is counted from the journal's first day


def read_statement(get: Callable[[str], Any], since: int, patience: float) -> Statement:
    """Ask for all of it; nothing was filled between the first answer and the last.

    patience: s after which a request that failed is not tried again. Raises VenueError.
    """
    give_up = time.monotonic() + patience

    def patient(path: str) -> Any:
        pause = PAUSE
        while True:
            try:
                return get(path)
            except NotAuthorized:
                raise
            except VenueError:
                if time.monotonic() + pause > give_up:
                    raise
            time.sleep(pause)
            pause *= 2

    reader = wire.Reader()
    fills = {f.activity_id: f for f in pages.read_fills(patient, reader, since=since)}
    for _ in range(_MEANWHILE):
        shown = patient("/v2/account")
        positions = tuple(map(_holding, wire.rows_of(patient("/v2/positions"))))
        found = {o.id: o for o in pages.read_orders(patient, reader, status="all", since=since)}
        activities = tuple(_activities(patient))
        known = len(fills)
        fills |= {f.activity_id: f for f in pages.read_fills(patient, reader, since=max([since, *(f.ts for f in fills.values())]))}
        if len(fills) == known:
            break
    account = reader.account(shown)
    return Statement(
        account_id=account.id,
        since=since,
        cash=account.cash,
        equity=account.equity,
        last_equity=account.last_equity,
        positions=positions,
        orders=tuple(found.values()),
        fills=tuple(fills.values()),
        activities=activities,
    )


def _holding(row: Any) -> Holding:
    names = {"symbol": "symbol", "qty": "qty", "avg_entry_price": "avg_entry_price", "cost_basis": "cost_basis"}
    names |= {"current_price": "current_price", "unrealised": "unrealized_pl"}
    if not isinstance(row, dict) or not row.get("symbol"):
        raise Misbehaved("a position without a symbol")
    values = {ours: _text(row.get(theirs)) for ours, theirs in names.items()}
    if row.get("side") == "short" and not values["qty"].startswith("-"):
        values["qty"] = f"-{values['qty']}"
    return Holding(**values)


def _activities(get: Callable[[str], Any]) -> list[Activity]:
    found: dict[str, Activity] = {}
    token = ""
    while True:
        query = {"activity_types": _TYPES, "direction": "asc", "page_size": str(PAGE), **({"page_token": token} if token else {})}
        rows = wire.rows_of(get(f"/v2/account/activities?{urlencode(query)}"))
        for row in rows:
            key = pages.id_of(row)
            if row.get("activity_type") != "FILL":
                names = ("id", "date", "net_amount", "symbol", "qty", "description")
                found[key] = Activity(type=_text(row.get("activity_type")), **{n: _text(row.get(n)) for n in names})
        if len(rows) < PAGE:
            return list(found.values())
        if key == token:
            raise Misbehaved("the venue repeats a page of activities")
        token = key


def _text(value: Any) -> str:
    return "" if value is None else str(value)
