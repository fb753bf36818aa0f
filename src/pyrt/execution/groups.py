"""Orders that are one request: an entry with its exits, or a pair of exits. The venue names the exits; here they get their ids.

The exits are ours from the moment the group is intended: numbers and sources follow those of its first order. Which order of the
venue each of them is, its first order tells (`legs`), in the answer to the request or in a nested listing. Until then nothing that
looks like one of them is taken for somebody else's.
"""

from collections.abc import Callable

from pyrt._core.types import PX_SCALE, to_units
from pyrt.clock import SECOND
from pyrt.execution.orders import ENTRY, Order, Orders
from pyrt.execution.step import Step
from pyrt.model import OrderChanged, OrderStatus, OrderType
from pyrt.ports import Sync, TradeUpdate, VenueOrder

_NEVER_THERE = (OrderStatus.REJECTED, OrderStatus.ABANDONED, OrderStatus.CANCELED_LOCAL)
PAUSE = SECOND
_PATIENCE = 3  # snapshots that show a group's first order without exits, until they count as absent

Observe = Callable[[Order, VenueOrder, Step], None]


class Groups:
    """Finds out which orders at the venue are our exits, and ends those that can never be."""

    def __init__(self, orders: Orders, ask: Callable[[Step], None]) -> None:
        self._orders = orders
        self._ask = ask
        self.parked: list[TradeUpdate] = []  # of orders that may be exits of ours
        self._looked: dict[int, int] = {}  # number of an exit -> snapshots that did not show it

    # -------------------------------------------------------------------------------------------- which is which
    def may_be_ours(self, seen: VenueOrder) -> bool:
        """Whether an order that nobody knows may be an exit whose id was not told yet."""
        if not seen.order_class:
            return False
        return any(
            order.side is seen.side and self._orders.instruments[order.instrument].symbol == seen.symbol for order in self.unbound()
        )

    def unbound(self) -> list[Order]:
        """The open exits of which nobody knows what the venue calls them."""
        return [order for order in self._orders.open.values() if order.is_leg and not order.venue_order_id]

    def park(self, update: TradeUpdate, step: Step) -> None:
        """Keep what the stream tells of an order until the venue said whose it is: the answer to the request is under way."""
        self.parked.append(update)
        step.wake("groups", PAUSE)

    def on_timer(self, step: Step) -> None:
        """No answer named them: read the venue."""
        if self.parked or self.unbound():
            self._ask(step)

    def bind(self, first: Order, seen: VenueOrder, step: Step, observe: Observe) -> None:
        """Take the exits that the venue shows under a group's first order for ours."""
        if not seen.legs and first.number == first.group and self._unbound_of(first):
            step.wake("groups", PAUSE)
        for leg in seen.legs:
            if leg.id in self._orders.by_venue_id:
                continue
            order = self._member(first, leg)
            if order is not None:
                observe(order, leg, step)

    def _member(self, first: Order, leg: VenueOrder) -> Order | None:
        for number in self._orders.groups.get(first.group, ()):
            order = self._orders.by_number[number]
            if not order.is_leg or order.venue_order_id or order.side is not leg.side:
                continue
            if (order.type is OrderType.LIMIT) == (leg.type == "limit"):
                return order
        return None

    # -------------------------------------------------------------------------------------------- what never will be
    def after(self, step: Step) -> None:
        """What the end of a group's first order means for exits that the venue never made."""
        if not self._orders.groups:
            return
        for fact in list(step.changes):
            if fact.status.is_final:
                first = self._orders.by_number.get(fact.number)
                if first is not None and first.number == first.group:
                    self._end(first, step)

    def _end(self, first: Order, step: Step) -> None:
        for order in self._unbound_of(first):
            if first.status in _NEVER_THERE:
                self._change(order, first.status, "as its entry" if first.role == ENTRY else "as its pair", step)
            else:
                self._ask(step)

    def _unbound_of(self, first: Order) -> list[Order]:
        members = (self._orders.by_number[number] for number in self._orders.groups.get(first.group, ()))
        return [order for order in members if order.is_leg and order.is_open and not order.venue_order_id]

    def on_snapshot(self, step: Step) -> None:
        """Exits that a whole view does not show although their first order is proved: absent after some of them."""
        waiting = self.unbound()
        self._looked = {order.number: self._looked.get(order.number, 0) for order in waiting}
        for order in waiting:
            first = self._orders.by_number[order.group]
            if first.status in _NEVER_THERE:
                self._end(first, step)
            elif first.venue_order_id:
                self._looked[order.number] += 1
                if self._looked[order.number] < _PATIENCE:
                    self._ask(step)
                    continue
                step.alarm("critical", "NO_EXIT", f"the venue shows order {first.cid} without its {order.role}")
                self._change(order, OrderStatus.ABANDONED, "not shown with its entry", step)

    def _change(self, order: Order, status: OrderStatus, reason: str, step: Step) -> None:
        fact = OrderChanged(number=order.number, status=status, filled_qty=order.filled, reason=reason, ts=step.now.venue)
        step.append(fact, Sync.SOON)


def terms_of(order: Order, seen: VenueOrder, exp: int) -> dict[str, int]:
    """What the venue changed of an order by itself: its quantity (a pair shares its shares, a split) or its prices."""
    if order.status.is_final or not seen.qty:
        return {}
    shown = {"qty": (to_units(seen.qty, exp), order.qty)}
    if order.type in (OrderType.LIMIT, OrderType.STOP_LIMIT) and seen.limit_price:
        shown["limit_px"] = (to_units(seen.limit_price, PX_SCALE), order.limit_px)
    if order.type in (OrderType.STOP, OrderType.STOP_LIMIT) and seen.stop_price:
        shown["stop_px"] = (to_units(seen.stop_price, PX_SCALE), order.stop_px)
    return {name: new for name, (new, old) in shown.items() if new > 0 and new != old and old}
