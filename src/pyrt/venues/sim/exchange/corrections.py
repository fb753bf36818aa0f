"""What the venue takes back or changes after the fact: busts, corrections, restated orders."""

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

import msgspec

from pyrt._core.types import Side, format_units, to_units
from pyrt.venues.sim.exchange.account import Position, money, value_exp
from pyrt.venues.sim.exchange.orders import FINAL, Body, Row, VenueRefusal, check_price, invalid
from pyrt.venues.sim.times import format_time, new_york_midnight

if TYPE_CHECKING:
    from pyrt.venues.sim.exchange.corporate import Split
    from pyrt.venues.sim.exchange.exchange import Exchange
    from pyrt.venues.sim.exchange.state import Fill, State


class Correction(msgspec.Struct, kw_only=True):
    """A fill that was changed: from what to what, in units; a bust leaves no quantity."""

    fill: str
    execution_id: str
    ts: int
    was_px: int
    was_qty: int
    px: int
    qty: int


def bust(exchange: "Exchange", fill_id: str, now: int) -> Body:
    """Take an execution back (trade_bust); fill_id: an activity's id or an execution id. Returns the update told.

    The account is as if the fill had never been; its order is not worked for that quantity again, and one that is final keeps
    its status. Raises VenueRefusal 404 for no such fill, 422 where it was taken back before.
    """
    return _change(exchange, fill_id, now, 0, 0)


def correct(exchange: "Exchange", fill_id: str, qty: str | int, px: str | int, now: int) -> Body:
    """Give an execution another quantity and price (trade_correct). Returns the update told. Raises VenueRefusal as bust does."""
    fill = _find(exchange.state, fill_id)
    exp = exchange.assets_.instruments[exchange.state.rows[fill.number - 1].instrument].qty_exp
    try:
        units, price = to_units(qty, exp), to_units(px)
    except ValueError:
        raise invalid("invalid qty or price", 40010001) from None
    if units <= 0 or price <= 0:
        raise invalid("qty and price must be > 0", 40010001)
    return _change(exchange, fill_id, now, units, price)


def _find(state: "State", fill_id: str) -> "Fill":
    for fill in reversed(state.fills):
        if fill_id in (fill.id, fill.execution_id):
            return fill
    raise VenueRefusal(404, 40410000, f"execution not found for {fill_id}")


def _change(exchange: "Exchange", fill_id: str, now: int, qty: int, px: int) -> Body:
    exchange.advance(now)
    state, fill = exchange.state, _find(exchange.state, fill_id)
    if fill.busted:
        raise invalid(f"execution {fill_id} was taken back before")
    row = state.rows[fill.number - 1]
    if row.order_class == "mleg":
        raise invalid("executions of multi-leg orders cannot be taken back or corrected at this venue")
    state.corrections.append(
        Correction(
            fill=fill.id,
            execution_id=fill.execution_id,
            ts=state.now,
            was_px=fill.px,
            was_qty=fill.qty,
            px=px or fill.px,
            qty=qty,
        )
    )
    told_px, told_qty = px or fill.px, qty or fill.qty
    position = _rebook(exchange, row, fill, px, qty)
    if row.status not in FINAL:
        exchange.weigh_group(row)
    exp = exchange.assets_.instruments[row.instrument].qty_exp
    return exchange.tell(
        row,
        "trade_correct" if qty else "trade_bust",
        state.now,
        {
            "execution_id": fill.execution_id,
            "previous_execution_id": fill.execution_id,
            "price": format_units(told_px),
            "qty": format_units(told_qty, exp),
            "position_qty": format_units(position.qty, exp),
        },
    )


def _rebook(exchange: "Exchange", row: Row, fill: "Fill", px: int, qty: int) -> Position:
    """Give order, cash and position what the fill is now, for what it was. Returns the position."""
    owner, worth = exchange._account(row.account), value_exp(exchange.assets_.instruments[row.instrument])
    before = replayed(exchange, row)
    paid = money(px, qty, worth) - money(fill.px, fill.qty, worth)
    owner.cash -= paid if row.side is Side.BUY else -paid
    row.filled += qty - fill.qty
    row.busted -= qty - fill.qty
    row.traded += px * qty - fill.px * fill.qty
    row.updated_at = exchange.state.now
    fill.busted = qty == 0
    fill.px, fill.qty = px or fill.px, qty or fill.qty
    if not row.filled:  # what did not happen was no day trade
        owner.day_trades = [made for made in owner.day_trades if made[1] != row.number]
    position, after = owner.positions.setdefault(row.instrument, Position()), replayed(exchange, row)
    # What no fill made (an exercise, say) stays: only the difference is booked.
    for name in ("qty", "cost", "day_qty", "realised", "fresh"):
        setattr(position, name, getattr(position, name) + getattr(after, name) - getattr(before, name))
    return position


def replayed(exchange: "Exchange", of: Row) -> Position:
    """The position that the fills of an account in one instrument make, splits and the begin of this day included."""
    state, position = exchange.state, Position()
    exp = value_exp(exchange.assets_.instruments[of.instrument])
    midnight, begun = new_york_midnight(state.now), False
    for ts, event in _events(state, of):
        if not begun and ts >= midnight:
            begun, position.day_qty, position.fresh = True, position.qty, 0
        if isinstance(event, tuple):
            row, fill = event
            position.fill(row.side, fill.px, fill.qty, exp)
        else:
            event.apply(position, exp)
    if not begun:
        position.day_qty, position.fresh = position.qty, 0
    return position


def _events(state: "State", of: Row) -> Iterable[tuple[int, "tuple[Row, Fill] | Split"]]:
    splits: Iterator[Split] = iter([s for s in state.splits if s.instrument == of.instrument])
    split = next(splits, None)
    for place, fill in enumerate(state.fills):
        row = state.rows[fill.number - 1]
        while split is not None and split.fills <= place:
            yield split.ts, split
            split = next(splits, None)
        if row.account == of.account and row.instrument == of.instrument and not fill.busted:
            yield fill.ts, (row, fill)
    while split is not None:
        yield split.ts, split
        split = next(splits, None)


def restate(
    exchange: "Exchange", order_id: str, now: int, *, qty: str | int | None = None, limit_price: str | int | None = None
) -> Body:
    """Change an open order without its owner's asking (restated); it queues anew. Returns the update told.

    Raises VenueRefusal 404 for no such order, 422 for one that is final or for values that cannot be.
    """
    exchange.advance(now)
    state = exchange.state
    row = next((r for r in reversed(state.rows) if r.id == order_id), None)
    if row is None:
        raise VenueRefusal(404, 40410000, f"order not found for {order_id}")
    if row.status in FINAL:
        raise invalid(f'order is already in "{row.status}" state')
    if row.order_class == "mleg":
        raise invalid("multi-leg orders cannot be restated at this venue")
    exp = exchange.assets_.instruments[row.instrument].qty_exp
    try:
        units = row.qty if qty is None else to_units(qty, exp)
        limit = row.limit_px if limit_price is None else check_price(to_units(limit_price), "limit_price")
    except ValueError:
        raise invalid("invalid qty or limit_price", 40010001) from None
    if units <= row.qty - row.leaves or (limit and not row.limit_px):
        raise invalid("qty must be greater than the filled quantity, and only a limit order has a limit price")
    return rewrite(exchange, row, qty=units, limit_px=limit)


def rewrite(exchange: "Exchange", row: Row, **changes: int) -> Body:
    """Give an open order other terms, in units, tell it as restated, and let it queue anew. Returns the update told."""
    working = row.working
    exchange._withdraw(row)
    was = row.limit_px or row.stop_px
    for name, value in changes.items():
        setattr(row, name, value)
    if was and row.unit_px and "unit_px" not in changes:
        row.unit_px = max(row.unit_px * (row.limit_px or row.stop_px) // was, 1)
    if row.status != "held":
        exchange.open_of(row).place(row)
    exchange.weigh_group(row)
    row.updated_at = exchange.state.now
    update = exchange.tell(row, "restated", exchange.state.now)
    if working:
        exchange._route(row, exchange.state.now)
    return update


def told(state: "State") -> list[Body]:
    """The corrections as /sim/truth shows them."""
    rows = []
    for c in state.corrections:
        kind = "trade_correct" if c.qty else "trade_bust"
        units = {"was_px": c.was_px, "was_qty": c.was_qty, "px": c.px, "qty": c.qty}
        rows.append({"kind": kind, "activity_id": c.fill, "execution_id": c.execution_id, "at": format_time(c.ts), **units})
    return rows
