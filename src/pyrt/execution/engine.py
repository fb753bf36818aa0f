"""The execution engine: approvals in, orders that exist once at the venue, and the facts that prove it."""

from collections import deque
from collections.abc import Callable, Mapping
from functools import partial

from pyrt.clock import Now
from pyrt.execution import cancel_all, saved
from pyrt.execution.broken import Broken
from pyrt.execution.cancel import Canceller
from pyrt.execution.explain import Explainer
from pyrt.execution.late import Late
from pyrt.execution.observe import Observer
from pyrt.execution.orders import Order, Orders
from pyrt.execution.reconcile import Reconciler
from pyrt.execution.step import Settings, Step
from pyrt.execution.submit import Submitter
from pyrt.model import Approved, CancelIntent, EpochOpened, Fact, Instruments, Latched, OrderStatus, PositionAdjusted, Recovered
from pyrt.ports import (
    AllCancelled,
    CancelResult,
    Command,
    Event,
    Explain,
    Found,
    Kill,
    LookupResult,
    QueryFailed,
    Remembered,
    Start,
    Stop,
    StreamState,
    SubmitResult,
    Sync,
    TimerFired,
    TradeUpdate,
    VenueSnapshot,
)

_PREFIX = "execution."
_GONE = (OrderStatus.REJECTED, OrderStatus.ABANDONED, OrderStatus.CANCELED_LOCAL)


class ExecutionEngine:
    """Owns the life of every order. Pure: `on` decides, `apply` folds facts; neither reads a clock or a socket.

    A fact that `on` decides is folded in at once, so that the rest of the same event sees it; when the session then applies it to
    every component, the engine knows it as its own and does not fold it twice.
    """

    def __init__(self, journal_id: str, instruments: Instruments, *, settings: Settings | None = None) -> None:
        self._settings = settings or Settings()
        self._orders = Orders(journal_id, instruments, self._settings.valid_for)
        self._broken = Broken()
        self._saver = saved.Saver(self._orders)
        self._late = Late(self._orders)
        self._reconciler = Reconciler(self._orders, self._settings, self._late)
        self._observer = Observer(self._orders, self._found, self._reconciler.ask)
        self._canceller = Canceller(
            self._orders, self._settings, self._reconciler.ask, self._observer.held, is_whole=self._sees_all
        )
        self._submitter = Submitter(self._orders, self._observer, self._settings, self._canceller.barred, self._canceller.bars)
        self._reconciler.observer, self._reconciler.submitter = self._observer, self._submitter
        self._explainer = Explainer(self._orders, self._reconciler)
        self._reconciler.urgent = lambda: bool(self._canceller.sweeps)
        self._own: deque[tuple[Fact, list[Order]]] = deque()  # decided here, not yet come back through apply; what each let go of
        self._buffer: list[TradeUpdate] = []  # the stream until the first snapshot is folded in
        self._started = False
        self._streaming = False
        self._told_at = 0  # mono since which the trading stream tells everything

    def reserve(self) -> None:
        """Take now what a long life will need: a session that trades calls it before its first order."""
        self._orders.past.reserve()

    def mark_by(self, mark: Callable[[int, int], int]) -> None:
        """Say what a share of a position (instrument, qty) is worth: what an owner moves counts as bought or sold at that."""
        self._reconciler.activities.mark = mark

    # -------------------------------------------------------------------------------------------- views
    @property
    def orders(self) -> Mapping[int, Order]:
        """The orders that are not over, and the last of those that are, by number."""
        return self._orders.by_number

    @property
    def journal_id(self) -> str:
        """Whose orders these are."""
        return self._orders.journal_id

    def next_after(self, epoch: int, approval: int) -> int | None:
        """The last order's number, where the approval after that one surely becomes an order and is sent at once; else None."""
        if (
            self._orders.epoch != epoch
            or not self._reconciler.recovered
            or not self._submitter.follows(epoch, approval)
            or self._canceller.stopped
            or self._canceller.any_closed
            or self._observer.groups.parked
        ):
            return None
        return self._orders.last_number

    def open_orders(self) -> list[Order]:
        """The orders that are not final, by number."""
        return [self._orders.open[number] for number in sorted(self._orders.open)]

    def foreign(self, order: Order) -> bool:
        """Whether an order is none of this journal's, neither by its intent nor by its cid."""
        return self._orders.foreign(order)

    def order_of(self, strategy: int, source: int) -> Order | None:
        """The order of an intent."""
        number = self._orders.by_source.get((strategy, source))
        return None if number is None else self._orders.by_number[number]

    @property
    def epoch(self) -> int:
        """The last risk epoch that was granted."""
        return self._orders.epoch

    @property
    def recovered(self) -> bool:
        """Whether recovery ended, so that approvals are accepted."""
        return self._reconciler.recovered

    @property
    def unresolved(self) -> int:
        """Orders whose fate at the venue is open."""
        return sum(1 for order in self._orders.open.values() if order.status is OrderStatus.UNKNOWN)

    @property
    def unexplained(self) -> Mapping[int, int]:
        """Instrument -> quantity units that the venue has beyond what the fills explain."""
        return self._reconciler.unexplained

    @property
    def differences(self) -> Mapping[int, int]:
        """The same as the last reading alone shows it."""
        return {instrument: seen.difference for instrument, seen in self._reconciler.breaks.items()}

    def refusal(self, event: Explain) -> str:
        """Why what a human explains cannot be booked now; empty where it can."""
        return self._explainer.refusal(event)

    @property
    def positions(self) -> Mapping[int, int]:
        """Instrument -> signed quantity units that fills and adjustments sum to; flat ones are absent."""
        return self._orders.positions

    @property
    def sweeping(self) -> bool:
        """Whether a kill or a stop is not yet verified."""
        return bool(self._canceller.sweeps)

    @property
    def strange(self) -> Mapping[str, int]:
        """Words of the venue that its protocol does not have, counted."""
        return self._observer.strange

    def state_digest(self) -> str:
        """A hash of all durable state: equal for equal journals, live and replayed."""
        return self._orders.digest()

    def save(self) -> saved.OrdersState:
        """Everything that the facts determine, to go on from."""
        return self._saver.save()

    def restore(self, state: saved.OrdersState) -> None:
        """Go on from a snapshot instead of the facts that made it; only once, and first. Raises ValueError, KeyError."""
        saved.restore(self._orders, state)

    # -------------------------------------------------------------------------------------------- the two verbs
    def apply(self, fact: Fact) -> list[Order]:
        """Fold in a journaled fact; gives the orders that it lets go of: from here on `orders` does not have them."""
        if self._own and (self._own[0][0] is fact or self._own[0][0] == fact):
            _, gone = self._own.popleft()
        else:
            gone = self._orders.apply(fact)
        if isinstance(fact, Latched):
            self._canceller.on_latched(fact)
        elif isinstance(fact, PositionAdjusted):
            self._broken.adjusted(fact)
        return gone

    def on(self, event: Event, now: Now) -> list[Command]:
        """Decide about one event."""
        self._own.clear()
        step = Step(now, self._decide)
        try:
            self._dispatch(event, step)
        except ValueError as e:
            step.alarm("critical", "UNREADABLE", f"{type(event).__name__}: {e}")
            self._reconciler.legible = False
            self._reconciler.ask(step)
        if step.changes:
            self._restore_replaced(step)
            self._observer.groups.after(step)
        self._unpark(step)
        for _, gone in list(self._own):
            for order in gone:
                self._forget(order, step)
        return step.commands

    def _forget(self, order: Order, step: Step) -> None:
        """An order was let go: what is still owed of it needs it whole."""
        if order.number in self._observer.missing:
            self._late.fetch(order.number, step)
            return
        self._observer.forget(order.number)
        self._reconciler.forget(order.number)
        self._canceller.wishes.pop(order.number, None)

    def _unpark(self, step: Step, *, force: bool = False) -> None:
        """Take up what the stream told of exits that are known by now; `force`: of all the others too."""
        groups = self._observer.groups
        if not groups.parked:
            return
        parked, groups.parked = groups.parked, []
        for update in parked:
            if force or self._orders.find(update.order.cid, update.order.id) is not None:
                self._reduce(update, self._orders.opened_at, step, force=force)
            else:
                groups.parked.append(update)

    def _decide(self, fact: Fact) -> None:
        self._own.append((fact, self._orders.apply(fact)))

    def _dispatch(self, event: Event, step: Step) -> None:
        match event:
            case Approved():
                self._submitter.on_approved(event, step, ready=self._reconciler.recovered)
            case SubmitResult():
                self._submitter.on_result(event, step)
            case TradeUpdate():
                self._on_update(event, step)
            case LookupResult():
                self._on_lookup(event, step)
            case TimerFired():
                self._on_timer(event, step)
            case CancelIntent():
                self._canceller.on_intent(event, self._submitter, step)
            case CancelResult():
                self._canceller.on_result(event, step)
            case AllCancelled():
                self._canceller.on_all(event, step)
            case VenueSnapshot():
                with self._canceller.together(step):
                    self._on_snapshot(event, step)
            case Remembered():
                self._late.on_remembered(event, step)
            case QueryFailed():
                self._reconciler.on_failed(event, step)
            case StreamState():
                self._on_stream(event, step)
            case Kill():
                self._canceller.on_kill(event, self._submitter, step)
            case Explain():
                self._explainer.on_explain(event, step)
            case Start():
                self._on_start(event, step)
            case Stop():
                self._canceller.on_stop(event, self._submitter, step)
            case _:  # intents, refusals and resumptions are risk's; the clock's measure is the shell's
                pass

    # -------------------------------------------------------------------------------------------- start and the whole view
    def _on_start(self, start: Start, step: Step) -> None:
        self._started = True
        if start.epoch > self._orders.epoch:
            step.append(EpochOpened(epoch=start.epoch, ts=step.now.venue), Sync.BEFORE_ACT)
        step.wake("poll", self._settings.poll_every)
        step.wake("reconcile", self._settings.reconcile_every)
        if self._streaming:
            self._reconciler.ask(step)

    def _on_stream(self, state: StreamState, step: Step) -> None:
        if state.stream == "trading":
            self._streaming, self._told_at = state.up, step.now.mono
            if state.up and self._started:
                self._reconciler.ask(step)

    def _on_snapshot(self, snapshot: VenueSnapshot, step: Step) -> None:
        floor = snapshot.begun if self._orders.is_new else self._orders.opened_at
        if not self._reconciler.on_snapshot(snapshot, step):
            return
        buffered, self._buffer = self._buffer, []
        self._unpark(step, force=not self._observer.groups.unbound())
        for update in buffered:
            self._reduce(update, floor, step)
        self._observer.groups.on_snapshot(step)
        self._canceller.on_snapshot(self._reconciler.folded, self._submitter, step)
        if self._reconciler.recovered:
            self._broken.tell(self.differences, self._reconciler.unexplained, step)
        elif self._reconciler.settled():
            self._recover(snapshot, step)
        self._reconciler.finish(step)

    def _sees_all(self) -> bool:
        """Whether what is open at the venue is known, whoever placed it: it was read, and what came since was understood."""
        read = self._reconciler.recovered and self._reconciler.legible and self._reconciler.folded >= self._told_at
        return read and self._streaming and not (self._observer.groups.parked or self._late.waiting)

    def _recover(self, snapshot: VenueSnapshot, step: Step) -> None:
        self._reconciler.recovered = True
        unexplained = len(self._reconciler.breaks)
        if unexplained:
            step.alarm("critical", "UNEXPLAINED", f"{unexplained} positions at the venue are not explained by fills")
        differences = self.differences
        self._broken.tell(differences, differences, step)
        self._canceller.resume_sweeps(self._submitter, step)
        for order in list(self._orders.open.values()):
            if order.status is OrderStatus.PENDING_CANCEL and not order.external:
                self._canceller.want(order, self._submitter, step)
        fact = Recovered(state_hash=self.state_digest(), unexplained=unexplained, ts=snapshot.begun)
        step.append(fact, Sync.BEFORE_ACT)

    # -------------------------------------------------------------------------------------------- sightings
    def _on_update(self, update: TradeUpdate, step: Step) -> None:
        if self._reconciler.recovered:
            self._reduce(update, self._orders.opened_at, step)
        else:
            self._buffer.append(update)

    def _reduce(self, update: TradeUpdate, floor: int, step: Step, *, force: bool = False) -> None:
        if update.ts < floor and self._orders.find(update.order.cid, update.order.id) is None:
            return  # of somebody else's order that ended before this journal began: the opening position holds it
        try:
            exp = self._observer.exp_of(update.order.symbol)
            if self._late.is_update(update, exp, step, partial(self._reduce, update, floor, force=force)):
                return
            self._observer.on_update(update, step, force=force)
        except ValueError as e:
            step.alarm("critical", "UNREADABLE", f"{update.event} of order {update.order.id}: {e}")
            self._reconciler.legible = False
            self._reconciler.ask(step)
        if update.event == "order_cancel_rejected":
            order = self._orders.find(update.order.cid, update.order.id)
            if order is not None:
                self._canceller.refused(order)

    def _on_lookup(self, result: LookupResult, step: Step) -> None:
        order = self._orders.by_number.get(result.number)
        if order is None:
            return
        if result.number in self._submitter.attempts:
            self._submitter.on_lookup(result, step)
        elif result.found is Found.FOUND and result.order is not None:
            self._observer.observe(self._observer.resolve(result.order, step), result.order, step)
        elif result.found is Found.ABSENT and order.working:
            self._reconciler.vanished(order, step)

    def _found(self, order: Order, stray: bool, step: Step) -> None:
        """The venue showed an order: its fate is no longer open, and what nobody wants is cancelled."""
        self._submitter.forget(order.number)
        self._late.known(order.venue_order_id)
        if stray and order.is_open:
            self._canceller.want(order, self._submitter, step)
        self._canceller.seen(order, step)

    # -------------------------------------------------------------------------------------------- time
    def _on_timer(self, timer: TimerFired, step: Step) -> None:
        if not timer.key.startswith(_PREFIX):
            return
        name, _, number = timer.key.removeprefix(_PREFIX).partition(".")
        match name:
            case "retry":
                self._submitter.on_retry(int(number), step)
            case "lookup":
                self._submitter.on_look(int(number), step)
            case "cancel":
                self._canceller.on_retry(int(number), step)
            case cancel_all.TIMER:
                self._canceller.on_all_timer(step)
            case "groups":
                self._observer.groups.on_timer(step)
            case "snapshot":
                self._reconciler.on_timer(step)
            case "sweep":
                if self._canceller.sweeps:
                    self._reconciler.ask(step)
            case "poll":
                self._submitter.overdue(step)
                self._reconciler.overdue(step)
                if self._reconciler.recovered:
                    self._reconciler.poll(step)
                step.wake("poll", self._settings.poll_every)
            case "reconcile":
                if self._started and self._reconciler.recovered:
                    self._reconciler.ask(step)
                step.wake("reconcile", self._settings.reconcile_every)

    def _restore_replaced(self, step: Step) -> None:
        """A replacement that came to nothing leaves the order that it meant to change as it was."""
        for fact in list(step.changes):
            if fact.status in _GONE:
                ended = self._orders.by_number.get(fact.number)
                old = self._orders.by_number.get(ended.replaces) if ended is not None else None
                if old is not None and old.status is OrderStatus.PENDING_REPLACE:
                    self._observer.restore(old, "the replacement was not made", step)
