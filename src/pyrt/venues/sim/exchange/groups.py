"""Orders that belong together: an entry and its exits, or two exits that share the same shares.

The stop of a pair of exits waits in the matcher while the take-profit works; shown as `held` (or `new`, see `second_leg`). Once it
is triggered the take-profit is canceled, so that never more is sold than held.
"""

from typing import TYPE_CHECKING

from pyrt._core.types import Side
from pyrt.model import OrderType
from pyrt.venues.sim.exchange import terms as requests
from pyrt.venues.sim.exchange.account import Position
from pyrt.venues.sim.exchange.orders import FINAL, Row, Terms

if TYPE_CHECKING:
    from pyrt.venues.sim.exchange.trade import Trading


def begin(venue: "Trading", parent: Row, terms: Terms) -> None:
    """Make the legs of a new group; `parent` is its entry, or the take-profit of an OCO."""
    parent.group = parent.number
    parent.role = "take_profit" if terms.order_class == "oco" else "entry"
    side = parent.side
    if parent.role == "entry":
        side = Side.SELL if side is Side.BUY else Side.BUY
        if terms.target_px:
            _add_leg(venue, parent, side, "take_profit", OrderType.LIMIT, terms.target_px, 0)
    if terms.guard_px:
        kind = OrderType.STOP_LIMIT if terms.guard_limit_px else OrderType.STOP
        _add_leg(venue, parent, side, "stop_loss", kind, terms.guard_limit_px, terms.guard_px)


def _add_leg(venue: "Trading", parent: Row, side: Side, role: str, kind: OrderType, limit_px: int, stop_px: int) -> None:
    state = venue.state
    leg = Row(
        number=len(state.rows) + 1,
        id=state.new_id(),
        cid=state.new_id(),
        account=parent.account,
        instrument=parent.instrument,
        symbol=parent.symbol,
        asset=parent.asset,
        side=side,
        type=kind,
        tif=parent.tif,
        qty=parent.qty,
        limit_px=limit_px,
        stop_px=stop_px,
        extended=False,
        intent=f"{side.name.lower()}_to_close",
        opening=False,
        unit_px=0,
        status="held",
        created_at=parent.created_at,
        updated_at=parent.created_at,
        expires_at=parent.expires_at,
        order_class=parent.order_class,
        group=parent.group,
        role=role,
        parent=parent.number,
        waits=parent.role == "entry",
    )
    if not leg.waits and not venue.holds_second_leg:
        leg.status = parent.status
    parent.legs.append(leg.number)
    state.rows.append(leg)


def stays_held(venue: "Trading", row: Row) -> bool:
    """Whether an order is to be shown as held although the matcher has it."""
    return venue.holds_second_leg and row.role == "stop_loss" and not row.triggered and venue.partner(row) is not None


def filled(venue: "Trading", row: Row, qty: int, at: int) -> None:
    """What a fill means for the rest of the group: the exits begin to work, end, or shrink."""
    if row.role == "entry":
        if row.status == "filled":
            _activate(venue, row, at)
        return
    partner = venue.partner(row)
    if partner is None:
        return
    if row.status == "filled":
        venue.drop(partner, "canceled", at)
        return
    partner.updated_at = max(partner.updated_at, at)
    for each in (partner, *([venue.state.rows[partner.successor - 1]] if partner.successor else ())):
        each.qty -= qty
        venue.touched.add(each.number)
    if partner.working:
        venue.matcher.reduce(partner.instrument, partner.number, qty)
    venue.weigh_group(partner)


def _activate(venue: "Trading", entry: Row, at: int) -> None:
    """The entry is filled: its exits work, for what of the position no other order holds."""
    legs = [venue.state.rows[number - 1] for number in entry.legs]
    legs = [leg for leg in legs if leg.status not in FINAL and leg.waits]
    if not legs:
        return
    position = venue.state.accounts[entry.account].positions.get(entry.instrument, Position()).qty
    there = max(0, position if entry.side is Side.BUY else -position)
    free = there - venue.open_of(entry).held[legs[0].side]
    for leg in legs:
        leg.qty = min(leg.qty, leg.spent + max(0, free))
        leg.waits = False
        venue.touched.add(leg.number)
        if not leg.leaves:
            venue.drop(leg, "canceled", at)
    for leg in legs:
        if leg.status not in FINAL:
            venue.weigh_group(leg)
    for leg in legs:
        if leg.status not in FINAL:
            venue.enter_hours(leg, at)


def triggered(venue: "Trading", row: Row, at: int) -> None:
    """The stop of a pair was reached: it takes the shares over."""
    partner = venue.partner(row)
    if partner is not None:
        venue.drop(partner, "canceled", at)


def ended(venue: "Trading", row: Row, status: str, at: int) -> None:
    """An order ended without being filled: so do the others."""
    for mate in venue.mates(row):
        venue.drop(mate, status, at)


def take_over(venue: "Trading", old: Row, new: Row) -> None:
    """`new` stands in the group where `old` stood."""
    new.parent = old.parent
    new.legs, old.legs = old.legs, []
    for number in new.legs:
        leg = venue.state.rows[number - 1]
        leg.parent = new.number
        venue.touched.add(leg.number)
        if new.role == "entry" and leg.status not in FINAL:
            leg.qty = new.qty
    if old.parent:
        siblings = venue.state.rows[old.parent - 1].legs
        siblings[siblings.index(old.number)] = new.number
        venue.touched.add(old.parent)


def refuse_replaced(venue: "Trading", old: Row, terms: Terms) -> None:
    """A new price may not cross the other exit. Raises VenueRefusal."""
    partner = venue.partner(old)
    if partner is not None:
        own, other = (terms.limit_px, partner.stop_px) if old.role == "take_profit" else (terms.stop_px, partner.limit_px)
        target_px, guard_px = (own, other) if old.role == "take_profit" else (other, own)
        requests.refuse_crossed(target_px, guard_px, old.side is Side.BUY)
