"""The venue read whole: recovery at start, after each gap of the stream, and the drop-copy check while running."""

from collections.abc import Callable
from decimal import ROUND_FLOOR, Decimal, InvalidOperation
from functools import partial

import msgspec

from pyrt._core.types import PX_SCALE, format_units, to_units
from pyrt.clock import SECOND
from pyrt.execution.activities import Activities
from pyrt.execution.late import Late
from pyrt.execution.observe import Observer
from pyrt.execution.orders import ENTRY, OPENING, Order, Orders
from pyrt.execution.sighting import STATUS
from pyrt.execution.step import Settings, Step
from pyrt.execution.submit import Submitter
from pyrt.model import EXTERNAL, AccountSeen, OrderStatus, PositionAdjusted
from pyrt.ports import QueryFailed, Sync, TakeSnapshot, VenueFill, VenueOrder, VenuePosition, VenueSnapshot

_OVERLAP = 300 * SECOND  # venue ns that consecutive snapshots read twice
_NEVER = 1 << 62
_MANY_BREAKS = 3  # symbols with one, from which on the whole account only reduces
_FEW = 4  # open orders that are asked for one by one
_MOST_OPENINGS = 60  # snapshots that a new journal waits for one in which nothing moved
_MANY_UNTOLD = 3
_ROUNDS = 5  # snapshots after which recovery ends with what is unexplained


class Break(msgspec.Struct, frozen=True):
    """A position that the fills do not explain."""

    difference: int  # the venue's minus ours
    cycles: int


class Reconciler:
    """Asks for snapshots, folds them in, and compares to the unit what the venue has with what the fills explain."""

    def __init__(self, orders: Orders, settings: Settings, late: Late) -> None:
        self._orders = orders
        self._late = late
        self._settings = settings
        self.activities = Activities(orders)
        self.observer: Observer
        self.submitter: Submitter
        self.breaks: dict[int, Break] = {}
        self.unexplained: dict[int, int] = {}  # instrument -> difference that outlived two cycles
        self.recovered = False
        self.refused = False  # the keys were refused: asking again does not help
        self.folded = -1  # mono when the last snapshot that was folded in was asked for; -1 = none was
        self.legible = False  # whether all that it, and the stream since, told of orders could be read, and of our account
        self.synced_at = 0  # venue ns when the last snapshot that was folded in was begun
        self._query = 0
        self._asked = 0  # mono of the query under way; 0 = none
        self._last = -settings.snapshot_gap  # mono of the last query
        self._again = False  # asked for while one was under way
        self._failures = 0
        self._incomplete = 0  # snapshots in a row that left a fill missing
        self._untold = 0  # snapshots in a row without the activities
        self._rounds = 0
        self._polled: dict[int, int] = {}  # number -> mono of a look-up of late
        self._denied: dict[int, int] = {}  # number -> the sighting before a look-up that found nothing
        self._opening: object = None  # what the first snapshot of a new journal showed
        self.urgent: Callable[[], bool] = lambda: False  # a sweep waits to be verified

    # -------------------------------------------------------------------------------------------- asking
    def ask(self, step: Step) -> None:
        """Take a snapshot as soon as may be: one at a time, and not more often than the gap."""
        if self.refused:
            return
        if self._asked:
            self._again = True
        elif step.now.mono < self._last + self._pause():
            step.wake_at("snapshot", self._last + self._pause())
        else:
            self._take(step)

    def on_timer(self, step: Step) -> None:
        """The wait before a snapshot is over."""
        if not self._asked:
            self.ask(step)

    def overdue(self, step: Step) -> None:
        """A query that was never answered is asked again."""
        if self._asked and step.now.mono > self._asked + self._settings.query_lost:
            self._asked = 0
            self.ask(step)

    def on_failed(self, failed: QueryFailed, step: Step) -> None:
        """Nothing may be concluded from a query that failed: ask again, later and later."""
        if failed.query != self._query or not self._asked:
            return
        self._asked = 0
        if failed.final:
            self.refused = True
            step.alarm("critical", "REFUSED", f"the venue refuses our queries: {failed.text}")
            return
        self._failures += 1
        if self._failures == 3:
            step.alarm("warning", "NO_SNAPSHOT", f"three queries in a row failed: {failed.text}")
        step.wake_at("snapshot", self._last + self._pause())

    def _pause(self) -> int:
        trouble = max(self._failures, self._incomplete)
        return self._settings.snapshot_gap * min(30, 1 << min(trouble, 5)) if trouble else self._settings.snapshot_gap

    def _take(self, step: Step) -> None:
        self._query += 1
        self._asked = self._last = step.now.mono or 1
        self._again = False
        self.observer.trail, self.observer.flows = {}, {self._orders.cash_flow}
        step.do(TakeSnapshot(query=self._query, since=self._since(step), urgent=self.urgent()))

    def _since(self, step: Step) -> int:
        if not self.synced_at:
            last = self._orders.last_ts or step.now.venue
            oldest = min((order.ts for order in self._orders.open.values()), default=last)
            return max(0, min(last - self._settings.history, oldest - SECOND))
        numbers = (*self.observer.missing, *self.submitter.attempts, *(o.number for o in self.observer.groups.unbound()))
        unsure = [order.ts for order in map(self._orders.by_number.get, numbers) if order is not None]
        overlap = int(_OVERLAP * max(1.0, self._settings.rate))
        return max(0, min([self.synced_at, *unsure]) - overlap)

    # -------------------------------------------------------------------------------------------- folding in
    def on_snapshot(self, snapshot: VenueSnapshot, step: Step) -> bool:
        """Fold a whole snapshot in; False where it is not the one asked for, or a new journal must see a second one first."""
        if snapshot.query != self._query or not self._asked:
            return False
        asked, self._asked, self._failures = self._asked, 0, 0
        opening = self._orders.is_new
        if opening and not self._quiet(snapshot):
            self.ask(step)
            return False
        self.observer.opening = snapshot.begun
        self.folded, self.legible = asked, True
        self._account(snapshot, step)
        floor = _NEVER if opening else self._orders.opened_at
        listed = self._orders_seen(snapshot, floor, step)
        self._unlisted(listed, asked, step)
        self.synced_at = snapshot.begun
        told = snapshot.activities is not None
        self.activities.fold(snapshot.activities or (), opening, self.observer.flows, step)
        self._positions(snapshot, opening, step)
        self.observer.moved = set(self.observer.trail)
        if told:  # else what moved the cash may be what a failed page would have shown
            self.activities.settle(self.breaks, step)
            self._compare_cash(opening, step)
        self._untold = 0 if told else self._untold + 1
        if self._untold == _MANY_UNTOLD:
            step.alarm(
                "warning", "NO_ACTIVITIES", f"{_MANY_UNTOLD} times the account's activities were not told: its cash is unchecked"
            )
        self._incomplete = self._incomplete + 1 if self.observer.missing else 0
        if self._incomplete == 2:
            numbers = ", ".join(str(number) for number in sorted(self.observer.missing))
            step.alarm("critical", "FILLS_MISSING", f"the venue does not tell the fills of orders {numbers}")
        return True

    def finish(self, step: Step) -> None:
        """After a snapshot and all that it caused: ask again where something is still open."""
        unsettled = self.observer.missing or self._late.waiting or any(b.cycles < 2 for b in self.breaks.values())
        if self._again or unsettled or not self.recovered:
            self.ask(step)

    def settled(self) -> bool:
        """Whether recovery may end: every fill is booked, and each position agrees or was seen to disagree twice."""
        self._rounds += 1
        calm = not self.observer.missing and not self._late.waiting and all(b.cycles >= 2 for b in self.breaks.values())
        return calm or self._rounds >= _ROUNDS

    def _quiet(self, snapshot: VenueSnapshot) -> bool:
        """Positions and orders were read one after the other: a new journal starts from them only when nothing moved.

        Two snapshots that show the same prove it; where others trade all the time, a snapshot in which no fill is younger than its
        beginning (fills are read last), which our clock knows to a second. Where even that never comes, the journal starts at last,
        and the break latches.
        """
        held = tuple((position.symbol, position.qty) for position in snapshot.positions)  # what one is worth moves all the time
        shown = (held, tuple((order.id, order.filled_qty) for order in snapshot.orders))
        before, self._opening = self._opening, shown
        self._rounds += 1
        still = all(fill.ts < snapshot.begun - SECOND for fill in snapshot.fills)
        quiet = shown in (((), ()), before) or (self._rounds >= _ROUNDS and still) or self._rounds >= _MOST_OPENINGS
        if quiet:
            self._rounds = 0  # what follows is recovery's own count
        return quiet

    def _account(self, snapshot: VenueSnapshot, step: Step) -> None:
        shown = snapshot.account
        told = (shown.cash, shown.buying_power, shown.equity, shown.last_equity, shown.multiplier, shown.settled, shown.accrued)
        try:
            cash, buying_power, equity, last_equity, multiplier, settled, accrued = (rounded_down(text or "0") for text in told)
        except ValueError as e:
            step.alarm("critical", "UNREADABLE", f"account: {e}")
            return
        fact = AccountSeen(
            account_id=shown.id,
            cash=cash,
            buying_power=buying_power,
            equity=equity,
            last_equity=last_equity,
            multiplier=multiplier // 10**PX_SCALE,
            blocked=shown.blocked,
            ts=snapshot.begun,
            settled=settled if shown.settled else None,
            shorting=shown.shorting,
            fractional=shown.fractional,
            crypto=shown.crypto,
            options_level=shown.options_level,
        )
        self.activities.accrued = accrued
        known = self._orders.account
        if known is not None and known.account_id != shown.id:
            text = f"this journal belongs to account {known.account_id}; the keys are of {shown.id}"
            self.legible = False
            step.alarm("critical", "OTHER_ACCOUNT", text)
            step.kill("HALTED", "system", text)
        if known is None or msgspec.structs.replace(known, ts=0) != msgspec.structs.replace(fact, ts=0):
            step.append(fact, Sync.SOON)

    def _orders_seen(self, snapshot: VenueSnapshot, floor: int, step: Step) -> set[int]:
        """Fold in orders and fills: each order is found or adopted, its fills booked by ascending quantity, its state taken."""
        fills: dict[str, list[VenueFill]] = {}
        for fill in snapshot.fills:
            fills.setdefault(fill.order_id, []).append(fill)
        listed: set[int] = set()
        for seen in sorted(snapshot.orders, key=self._place):
            theirs = [fill for fill in fills.pop(seen.id, []) if self._counts(fill, seen.cid, floor)]
            self.legible &= _guard(step, seen.id, partial(self._fold, seen, theirs, listed, step))
        young = snapshot.begun - int(self._settings.settle * self._settings.rate)
        for venue_id, left in fills.items():
            theirs = [fill for fill in left if self._counts(fill, "", floor)]
            if theirs and max(fill.ts for fill in theirs) >= young and not self._knows(venue_id):
                self._again = True  # an order placed after the orders were read, perhaps ours: the next listing has it
            elif theirs:
                _guard(step, theirs[0].order_id, partial(self._fold_unlisted, theirs, step))
        return listed

    def _place(self, seen: VenueOrder) -> tuple[int, int]:
        """Entries before exits, and what was replaced before what replaced it; who has exits tells which they are."""
        order = self._orders.find(seen.cid, seen.id)
        if order is None:
            return (3, 0) if not seen.legs else (2, 0)
        return (0, order.number) if order.role in ("", ENTRY) else (1, order.number)

    def _knows(self, venue_id: str) -> bool:
        return self._orders.find("", venue_id) is not None or self._orders.past.number_of(venue_id) > 0

    def _counts(self, fill: VenueFill, cid_text: str, floor: int) -> bool:
        """Whether a fill is of an order we know, or of somebody else's after this journal began to count."""
        return fill.ts >= floor or self._orders.find(cid_text, fill.order_id) is not None

    def _fold(self, seen: VenueOrder, fills: list[VenueFill], listed: set[int], step: Step) -> None:
        over = STATUS.get(seen.status, OrderStatus.ACCEPTED).is_final
        if over and not fills and not self._orders.wrote(seen.cid) and not self._knows(seen.id):
            return  # somebody else's, over, and nothing of it is ours to count
        exp = self.observer.exp_of(seen.symbol)
        if self._late.is_order(seen, fills, exp, step, partial(self._fold, seen, fills, set())):
            return
        before = min((to_units(fill.cum_qty, exp) - to_units(fill.qty, exp) for fill in fills), default=None)
        order = self.observer.resolve(seen, step, before=before)
        fresh = not order.venue_order_id
        self.observer.grow(order, seen, step)
        for fill in sorted(fills, key=lambda fill: to_units(fill.cum_qty)):
            self.observer.on_activity(fill, order, step)
        self.observer.observe(order, seen, step, fresh=fresh)
        listed.add(order.number)

    def _fold_unlisted(self, fills: list[VenueFill], step: Step) -> None:
        fills.sort(key=lambda fill: to_units(fill.cum_qty))
        if self._late.are_fills(fills, self.observer.exp_of(fills[0].symbol), step, partial(self._fold_unlisted, fills)):
            return
        order = self._orders.find("", fills[0].order_id) or self.observer.adopt_fill(fills[0], step)
        for fill in fills:
            self.observer.on_activity(fill, order, step)

    def _unlisted(self, listed: set[int], asked: int, step: Step) -> None:
        """Open orders that the pages do not show: intents of an earlier life are doubted, the others looked up by cid."""
        for order in list(self._orders.open.values()):
            if order.number in listed:
                continue
            if order.venue_order_id:
                if self.observer.proved.get(order.number, -1) < asked:
                    step.do(order.lookup)
            elif order.number not in self.submitter.attempts and not order.external and not order.is_leg:
                self.submitter.doubt(order, step)

    # -------------------------------------------------------------------------------------------- positions
    def _positions(self, snapshot: VenueSnapshot, opening: bool, step: Step) -> None:
        theirs: dict[int, int] = {}
        prices: dict[int, int] = {}  # what a share cost, as the venue says; it is of use where shares come without a fill
        for position in snapshot.positions:
            instrument = self.observer.instrument(position.symbol, step)
            try:
                qty = to_units(position.qty, instrument.qty_exp)
                price = rounded_down(position.avg_entry_price or "0") if opening else entry_px(position)
            except ValueError as e:
                step.alarm("critical", "UNREADABLE", f"position {position.symbol}: {e}")
                continue
            theirs[instrument.id] = qty
            prices[instrument.id] = price
        ours = self._orders.positions
        for instrument_id in sorted(theirs.keys() | ours.keys() | self.breaks.keys()):
            venue_qty, own_qty = theirs.get(instrument_id, 0), ours.get(instrument_id, 0)
            if opening and venue_qty != own_qty:
                difference, terms = venue_qty - own_qty, self._orders.instruments[instrument_id]
                fact = PositionAdjusted(
                    instrument=instrument_id,
                    strategy=EXTERNAL,
                    qty=difference,
                    cost=difference * prices.get(instrument_id, 0) * terms.multiplier // 10**terms.qty_exp,
                    reason=OPENING,
                    ts=snapshot.begun,
                )
                step.append(fact, Sync.SOON)
            else:
                passed = self.observer.trail.get(instrument_id, {own_qty})
                unheard = venue_qty in passed or self._late.waiting  # what the journal is asked for may explain it
                difference = 0 if unheard else venue_qty - own_qty
                if difference and self.activities.explain(instrument_id, difference, prices.get(instrument_id, 0), step):
                    difference = 0
                self._compare(instrument_id, difference, step)

    def _compare(self, instrument: int, difference: int, step: Step) -> None:
        old = self.breaks.pop(instrument, None)
        if difference:
            cycles = old.cycles + 1 if old is not None and old.difference == difference else 1
            self.breaks[instrument] = Break(difference, cycles)
            if cycles >= 2 and self.unexplained.get(instrument) != difference:
                self.unexplained[instrument] = difference
                terms = self._orders.instruments[instrument]
                text = f"the venue's position differs from the fills by {format_units(difference, terms.qty_exp)}, in two readings"
                step.alarm("critical", "POSITION_BREAK", f"{terms.symbol}: {text}; see `pyrt explain --help`")
                step.kill("REDUCING", f"instrument:{instrument}", text)
                if len(self.unexplained) == _MANY_BREAKS:
                    step.kill("REDUCING", "account", f"the positions of {_MANY_BREAKS} symbols are not explained")
        elif self.unexplained.pop(instrument, None) is not None:
            step.alarm("info", "EXPLAINED", f"{self._orders.instruments[instrument].symbol}: the position agrees again")

    @property
    def waits(self) -> bool:
        """Whether the journal is asked for orders that were let go."""
        return bool(self._late.waiting)

    def explained(self, instrument: int, step: Step) -> None:
        """A human said what the difference of an instrument is, and it is booked; the next reading shows whether that was all."""
        self.breaks.pop(instrument, None)
        self.unexplained.pop(instrument, None)
        self.activities.said(instrument, step)
        self.ask(step)

    def _compare_cash(self, opening: bool, step: Step) -> None:
        if self._orders.account is None or self.observer.missing or self._late.waiting or self.breaks:
            return
        if not self.activities.compare(self.observer.flows, opening, step):
            self._again = True

    # -------------------------------------------------------------------------------------------- while running
    def poll(self, step: Step) -> None:
        """Ask for open orders that nothing proved of late: one by one where they are few, else by a snapshot.

        A snapshot of many pages may take longer than an order may be unproved: those that wait for one already, the oldest first,
        are asked for as well.
        """
        now, proved = step.now.mono, self.observer.proved
        limit = now - self._settings.poll_age
        over = self.observer.held  # what is missing of them no look at them tells, but a snapshot, which was asked for
        open_ = (o for o in self._orders.open.values() if o.working and o.number not in over)
        aged: list[Order] = [o for o in open_ if proved.get(o.number, 0) <= limit]
        self._polled = {number: at for number, at in self._polled.items() if at > now - self._settings.poll_lost}
        few = len(aged) <= _FEW
        if not few:
            if not self._asked:  # the one under way proves them
                self.ask(step)
            limit -= self._settings.poll_every
        seen = {o.number: proved.get(o.number, 0) for o in aged}
        due = [o for o in aged if seen[o.number] <= limit and self._polled.get(o.number, -1) <= seen[o.number]]  # no answer to come
        for order in due if few else sorted(due, key=lambda o: seen[o.number])[:_FEW]:
            self._polled[order.number] = now
            step.do(order.lookup)

    def forget(self, number: int) -> None:
        """An order was let go."""
        self._denied.pop(number, None)

    def vanished(self, order: Order, step: Step) -> None:
        """The venue denies an order that it showed: an answer older than that sight, or, twice after one sight, a contradiction."""
        proved = self.observer.proved.get(order.number, 0)
        if self._denied.get(order.number) == proved:
            step.alarm("critical", "VANISHED", f"the venue showed order {order.cid} and now denies it")
        self._denied[order.number] = proved
        self.ask(step)


def _guard(step: Step, name: str, fold: Callable[[], None]) -> bool:
    """Fold in what the venue told of one order; False where it cannot be read."""
    try:
        fold()
    except ValueError as e:
        step.alarm("critical", "UNREADABLE", f"order {name}: {e}")
        return False
    return True


def entry_px(position: VenuePosition) -> int:
    """What a share of it cost, as the venue says; 0 where that cannot be read: shares count without it."""
    try:
        return rounded_down(position.avg_entry_price or "0")
    except ValueError:
        return 0


def rounded_down(text: str) -> int:
    """Money or an average price in 1e-9 units: venues tell more decimals than that. Raises ValueError."""
    try:
        exact = Decimal(text).quantize(Decimal(1).scaleb(-PX_SCALE), ROUND_FLOOR)
    except InvalidOperation:
        raise ValueError(f"{text[:40]!r} is not a number that we can hold") from None
    return to_units(exact, PX_SCALE)
