"""What the venue says of orders that were let go: what their rows explain is old; the rest waits for the journal.

Nothing is booked for such an order before it is whole again: then its words are taken as if they came only now.
"""

from collections.abc import Callable

from pyrt._core.types import PX_SCALE, to_units
from pyrt.clock import SECOND
from pyrt.execution.orders import CORRECTIONS, Orders
from pyrt.execution.past import Row, name_of, row_of, worth_of
from pyrt.execution.sighting import STATUS, units
from pyrt.execution.step import Step
from pyrt.model import OrderStatus, Recalled
from pyrt.ports import Recall, Remembered, Sync, TradeUpdate, VenueFill, VenueOrder

ANSWERS = 4096  # of the journal that are kept: as many requests as a budget of 200 a minute lets through in twenty minutes
_SLACK = 60 * SECOND  # venue ns that the venue's clock and ours may differ
_Key = tuple[int, str]  # number, or 0 and what the venue calls it
_Old = Callable[[Row], bool]  # whether a row explains a word of the venue
_Then = Callable[[Step], None]  # takes the word in


class Late:
    """Tells what is old, and keeps what is new until its order is whole."""

    def __init__(self, orders: Orders) -> None:
        self._orders = orders
        self.waiting: dict[_Key, list[tuple[_Old, _Then]]] = {}
        self._unknown: set[_Key] = set()  # asked for, and the journal has nothing
        self._unread: set[_Key] = set()  # asked for, and the journal could not be read: nobody knows whose these are
        self._answers: dict[_Key, Row] = {}  # what it has of orders whose row is gone, or does not say enough

    # -------------------------------------------------------------------------------------------- what came
    def is_update(self, update: TradeUpdate, exp: int, step: Step, then: _Then) -> bool:
        """Whether one event of the stream is of an order that was let go; `then` takes it once that is whole. Raises ValueError."""
        seen = update.order
        name, cum = name_of(seen.id), units(seen.filled_qty, exp)

        def old(row: Row) -> bool:  # it came twice, or it is from before the order's end
            return update.event not in CORRECTIONS and row.name == name and cum <= row.filled

        return self._take(self._key(seen.cid, seen.id, seen.created_at), old, then, step)

    def is_order(self, seen: VenueOrder, fills: list[VenueFill], exp: int, step: Step, then: _Then) -> bool:
        """The same of an order in a listing, with those of its fills that count. Raises ValueError."""
        over = STATUS.get(seen.status, OrderStatus.ACCEPTED).is_final
        told = _explained(seen.id, units(seen.filled_qty, exp), fills, exp)
        return self._take(self._key(seen.cid, seen.id, seen.created_at), lambda row: over and told(row), then, step)

    def are_fills(self, fills: list[VenueFill], exp: int, step: Step, then: _Then) -> bool:
        """The same of fills whose order the listing does not show. Raises ValueError."""
        venue_id = fills[0].order_id
        return self._take(self._key("", venue_id, 0), _explained(venue_id, 0, fills, exp), then, step)

    def _key(self, cid_text: str, venue_order_id: str, created_at: int) -> _Key | None:
        """Which order that was let go this is; None: it is none of them."""
        orders, past = self._orders, self._orders.past
        known = orders.find(cid_text, venue_order_id)
        if known is not None and known.venue_order_id in ("", venue_order_id):
            return None
        own = orders.number_in(cid_text)
        row = past.row(own)
        key = (own, "") if own else (0, venue_order_id)
        if row is not None and row.name == name_of(venue_order_id):
            pass
        elif number := past.number_of(venue_order_id):  # its name says more than its cid: one of ours may have been adopted
            key = (number, "")
        elif own and (own in orders.by_number or (row is None and own > past.lost)):
            return None  # a contradiction, or an order that this journal never had
        elif not own and (not past.lost or created_at > past.lost_ts + _SLACK):
            return None
        return None if key in self._unknown else key

    def _take(self, key: _Key | None, old: _Old, then: _Then, step: Step) -> bool:
        if key is None:
            return False
        if key in self._unread:
            return True
        # Each reading shows the same orders again: asked about anew, the journal would never be through, and nothing be judged.
        rows = (self._orders.past.row(key[0]), self._answers.get(key))
        if not any(row is not None and old(row) for row in rows):
            self._ask(key, step)
            self.waiting[key].append((old, then))
        return True

    def known(self, venue_order_id: str) -> None:
        """An order of ours has this name: what the journal did not have when it was asked for it, it has from here on."""
        self._unknown.discard((0, venue_order_id))

    # -------------------------------------------------------------------------------------------- what the journal has
    def fetch(self, number: int, step: Step) -> None:
        """Make an order whole again that something is owed of."""
        self._ask((number, ""), step)
        self.waiting[number, ""].append((lambda row: False, lambda step: None))

    def _ask(self, key: _Key, step: Step) -> None:
        if key not in self.waiting:
            self.waiting[key] = []
            step.do(Recall(number=key[0], venue_order_id=key[1]))

    def on_remembered(self, event: Remembered, step: Step) -> None:
        """The journal told: where anything that was said meanwhile is news, the order is whole again and takes it in."""
        key = (event.number, event.venue_order_id)
        waiting = self.waiting.pop(key, [])
        told = self._orders.told_by(event.facts)
        known = (o for o in told.by_number.values() if event.number == o.number or event.venue_order_id == o.venue_order_id != "")
        order = next(known, None)
        if order is None:
            self._tell_lost(event, step)
            if event.unread:  # booked as somebody else's, fills that the journal has would be booked twice
                self._unread.add(key)
                return
            self._unknown.add(key)
        elif order.number not in self._orders.by_number:
            row = row_of(order, (told.fills[key] for key in told.fills_of.get(order.number, ())), 0)
            if all(old(row) for old, _ in waiting):
                self._keep(key, row)
                return
            self._answers.pop(key, None)
            step.append(Recalled(number=order.number, facts=event.facts, ts=step.now.venue), Sync.SOON)
        for _, then in waiting:
            try:
                then(step)
            except ValueError as e:
                step.alarm("critical", "UNREADABLE", f"order {event.number or event.venue_order_id}: {e}")

    def _keep(self, key: _Key, row: Row) -> None:
        self._answers.pop(key, None)
        self._answers[key] = row
        if len(self._answers) > ANSWERS:
            del self._answers[next(iter(self._answers))]

    def _tell_lost(self, event: Remembered, step: Step) -> None:
        """What may be ours counts as nobody's or somebody else's from here on, and a strategy's position may be wrong by it."""
        if event.unread or self._orders.past.row(event.number) is not None:
            why = event.unread or "it has nothing of it"
            text = f"the journal does not give back order {event.number or event.venue_order_id}: {why}"
            step.alarm("critical", "NOT_REMEMBERED", text)
            step.kill("HALTED", "system", text)


def _explained(venue_order_id: str, filled: int, fills: list[VenueFill], exp: int) -> _Old:
    """Whether a row has all that is filled; fills that are all of an order's must be worth the same, or the venue changed one."""
    told = [(to_units(fill.price, PX_SCALE), to_units(fill.qty, exp)) for fill in fills]
    most = max([filled, *(to_units(fill.cum_qty, exp) for fill in fills)])
    name, whole, worth = name_of(venue_order_id), sum(qty for _, qty in told), worth_of(told)

    def old(row: Row) -> bool:
        return row.name == name and most <= row.filled and (not whole or whole != row.filled or worth == row.worth)

    return old
