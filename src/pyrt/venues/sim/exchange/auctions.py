"""Orders for the opening and the closing auction: they wait, trade at the auction's one price, and what is left is canceled.

The price is that of the tape's official print (opening: conditions Q or O; closing: M or 6). A tape without one gives, a minute
after the open, the first regular trade since the open; five minutes after the close, the last regular trade before it that came
after the order. Neither side of our orders trades more than that print's size: market orders first, then the better price,
then the older order.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import numpy.typing as npt

from pyrt._core.types import Flag, RecordType, Side, trade_dtype
from pyrt.clock import MINUTE
from pyrt.model import OrderType, TimeInForce
from pyrt.venues.sim.exchange.hours import Hours
from pyrt.venues.sim.exchange.orders import FINAL, Row, Terms, invalid

if TYPE_CHECKING:
    from pyrt.venues.sim.exchange.exchange import Exchange

Records = npt.NDArray[np.void]

AUCTIONS = frozenset({TimeInForce.OPG, TimeInForce.CLS})
OFFICIAL = {TimeInForce.OPG: frozenset(b"QO"), TimeInForce.CLS: frozenset(b"M6")}
PATIENCE = {TimeInForce.OPG: MINUTE, TimeInForce.CLS: 5 * MINUTE}  # how long an official print is waited for


class Cross(msgspec.Struct, kw_only=True):
    """One auction that has orders: at the session's open or close, ns UTC."""

    instrument: int
    tif: TimeInForce
    at: int
    begun: bool = False
    late: bool = False  # the wait for an official print is over
    px: int = 0  # of the print that stands in for an official one
    qty: int = 0


def refuse(hours: Hours, now: int, terms: Terms) -> None:
    """An auction order that cannot be: 422."""
    if terms.tif not in AUCTIONS:
        return
    name = terms.tif.name.lower()
    if terms.type not in (OrderType.MARKET, OrderType.LIMIT):
        raise invalid(f"{name} orders must be market or limit orders", 40010001)
    if hours.always_open:
        raise invalid(f"time_in_force {name} needs opening hours: this venue never closes", 40010001)
    if hours.is_shut(now, terms.tif):
        begin = "9:28am" if terms.tif is TimeInForce.OPG else "ten minutes before the close"
        raise invalid(f"{name} orders cannot be submitted from {begin} to 7:00pm, New York time")


def refuse_replaced(terms: Terms) -> None:
    """A working order does not become one for an auction: 422."""
    if terms.tif in AUCTIONS:
        raise invalid("time_in_force cannot be replaced by opg or cls", 40010001)


def expect(exchange: "Exchange", row: Row) -> None:
    """An auction order was taken: its auction is on the agenda."""
    if row.tif not in AUCTIONS:
        return
    state, at = exchange.state, exchange.hours.auction(row.created_at, row.tif)
    if not any(c.instrument == row.instrument and c.tif is row.tif and c.at == at for c in state.crosses):
        state.crosses.append(Cross(instrument=row.instrument, tif=row.tif, at=at))
        state.put(at, "cross", instrument=row.instrument, tif=int(row.tif), auction=at)
        state.put(at + PATIENCE[row.tif], "late", instrument=row.instrument, tif=int(row.tif), auction=at)


def _cross(exchange: "Exchange", instrument: int, tif: int, at: int) -> Cross | None:
    return next((c for c in exchange.state.crosses if (c.instrument, c.tif, c.at) == (instrument, tif, at)), None)


def _due_cross(exchange: "Exchange", instrument: int, tif: int, auction: int) -> None:
    cross = _cross(exchange, instrument, tif, auction)
    if cross is not None:
        cross.begun = True


def _due_late(exchange: "Exchange", instrument: int, tif: int, auction: int) -> None:
    cross = _cross(exchange, instrument, tif, auction)
    if cross is None:
        return
    cross.late = True
    if cross.px or cross.tif is TimeInForce.CLS:
        _hold(exchange, cross, cross.px, cross.qty)
    else:  # it opens late: the first trade decides, as long as the session lasts
        exchange.state.put(exchange.hours.close_after(auction), "unopened", instrument=instrument, tif=tif, auction=auction)


def _due_unopened(exchange: "Exchange", instrument: int, tif: int, auction: int) -> None:
    cross = _cross(exchange, instrument, tif, auction)
    if cross is not None:
        _hold(exchange, cross, 0, 0)


HAPPENS: dict[str, Callable[..., None]] = {"cross": _due_cross, "late": _due_late, "unopened": _due_unopened}


# ---------------------------------------------------------------------------------------------------- the tape
def stop(exchange: "Exchange", records: Records, begin: int, end: int) -> int:
    """Where in records[begin:end] an auction is decided, as the end of what comes before and with it; else `end`."""
    for cross in exchange.state.crosses:
        if cross.begun:
            for at, trade in _trades(records[begin:end], cross):
                if _decides(cross, trade):
                    end = begin + at + 1
                    break
    return end


def hear(exchange: "Exchange", records: Records) -> None:
    """Take in records that the matcher has met: at most the last of them decides an auction."""
    for cross in exchange.state.crosses.copy():
        for _, trade in _trades(records, cross):
            if cross.begun and _decides(cross, trade):
                _hold(exchange, cross, int(trade["px"]), int(trade["qty"]))
                break
            if _is_regular(trade) and (cross.begun and not cross.px if cross.tif is TimeInForce.OPG else not cross.begun):
                cross.px, cross.qty = int(trade["px"]), int(trade["qty"])


def _trades(records: Records, cross: Cross) -> list[tuple[int, Any]]:
    own = (records["type"] == int(RecordType.TRADE)) & (records["instrument"] == cross.instrument)
    places = np.flatnonzero(own & (records["flags"] & int(Flag.CORRECTED) == 0)).tolist()
    rows = records.view(trade_dtype)
    return [(at, rows[at]) for at in places]


def _is_regular(trade: Any) -> bool:
    return not trade["flags"] & int(Flag.INELIGIBLE) and trade["px"] > 0


def _decides(cross: Cross, trade: Any) -> bool:
    if trade["ts_event"] < cross.at or trade["px"] <= 0:
        return False
    official = not OFFICIAL[cross.tif].isdisjoint(int(trade["conditions"]).to_bytes(4, "little"))
    return official or (cross.late and cross.tif is TimeInForce.OPG and _is_regular(trade))


# ---------------------------------------------------------------------------------------------------- the cross
def _hold(exchange: "Exchange", cross: Cross, px: int, size: int) -> None:
    state = exchange.state
    state.crosses.remove(cross)
    rows = [
        row
        for (_, instrument), open_ in exchange._open.items()
        if instrument == cross.instrument
        for row in open_
        if row.tif is cross.tif and exchange.hours.auction(row.created_at, row.tif) == cross.at
    ]
    for side in (Side.BUY, Side.SELL):
        left = size
        for row in sorted((row for row in rows if row.side is side), key=_priority):
            if px and left and _accepts(row, px):
                qty = min(left, row.leaves)
                left -= qty
                exchange._fill(row, px, qty, max(state.now, row.updated_at))
    for row in sorted(rows, key=lambda row: row.number):
        if row.status not in FINAL:
            exchange.end(row, "canceled", state.now)


def _accepts(row: Row, px: int) -> bool:
    return not row.limit_px or (px <= row.limit_px if row.side is Side.BUY else px >= row.limit_px)


def _priority(row: Row) -> tuple[bool, int, int]:
    return bool(row.limit_px), -row.limit_px if row.side is Side.BUY else row.limit_px, row.number
