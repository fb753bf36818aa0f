"""The loop: one inbox entry in, commands out, facts applied. Live, backtest and replay drive this same object.

    market records -> MarketData -> Strategy -> RiskManager -> ExecutionEngine -> Shell

The session owns no clock, socket, file or thread: the Shell does, and feeds what happens back as events.
"""

from collections import Counter, deque
from collections.abc import Callable, Iterable
from itertools import chain
from typing import Any, Protocol

import numpy as np

from pyrt._core.events import bar_at, event_at, header_at
from pyrt._core.loop import Loop
from pyrt._core.strategy import CompiledStrategy
from pyrt._core.types import Flag, RecordType, status_dtype
from pyrt.clock import Now, interval_ns
from pyrt.compiled import CompiledStage
from pyrt.desk import Call, TradingDesk
from pyrt.errors import ConfigError, OrderError
from pyrt.execution import ExecutionEngine
from pyrt.fast_lane import FastLane
from pyrt.indicators import IndicatorSet
from pyrt.market import MarketData
from pyrt.model import (
    Approved,
    Breach,
    CancelIntent,
    Defined,
    Fact,
    Filled,
    Instruments,
    Intended,
    Intent,
    Message,
    Refused,
    ReplaceIntent,
    Signal,
    StrategyNamed,
)
from pyrt.ports import (
    Alarm,
    Append,
    AssetTold,
    ClockMeasured,
    Command,
    Event,
    ExitWanted,
    HistoryTold,
    Kill,
    ListTold,
    Publish,
    Resume,
    SetLimits,
    SetTimer,
    Start,
    Stop,
    StreamState,
    Submit,
    Sync,
    TimerFired,
    VenueSnapshot,
)
from pyrt.risk import RiskManager
from pyrt.signals import Fixed, Sizer
from pyrt.strategies import Order, Strategy
from pyrt.strategies.fed_bars import FedBars


class Shell(Protocol):
    """What the session asks of the world. No verb answers; answers come back through Session.step."""

    def append(self, fact: Fact, sync: Sync, now: Now) -> None:
        """Journal a fact. What `perform` gets after it leaves the process only when the fact is as durable as `sync` demands."""
        ...

    def perform(self, command: Command) -> None:
        """Submit, Replace, Cancel, CancelAll, Lookup or TakeSnapshot."""
        ...

    def set_timer(self, command: SetTimer) -> None: ...

    def tell(self, message: Message) -> None:
        """A message that other processes and people may want to see."""
        ...

    def alarm(self, alarm: Alarm) -> None: ...


class Hasty(Shell, Protocol):
    """A shell that may take an order's record before there is a fact."""

    def intend(self, number: int, record: bytes, body: bytes, now: Now) -> None:
        """Journal the Intended of an order as codec has it, BEFORE_ACT; the same fact comes next through `append`, then its Submit.

        body: what is sent of it.
        """
        ...


class Session(Loop):
    """Components, strategies and the routes between them.

    `instruments` must be the registry that the components share. Facts of an earlier life go through `replay` before `start`.
    fast: plain orders take the fast lane, where the shell has one.
    """

    now: Now

    def __init__(
        self,
        *,
        instruments: Instruments,
        market: MarketData,
        risk: RiskManager,
        execution: ExecutionEngine,
        shell: Shell,
        strategies: Iterable[Strategy] = (),
        sizer: Sizer | None = None,
        dry_run: bool = False,
        fast: bool = True,
    ) -> None:
        self.instruments = instruments
        self.market = market
        self.risk = risk
        self.execution = execution
        execution.mark_by(market.mark)
        self.shell = shell
        self.strategies: dict[int, Strategy] = {}
        self.halted = set()  # strategies whose callbacks are no longer called
        self.counts: Counter[str] = Counter()
        self.refusals: Counter[str] = Counter()
        self.now, self.instant = Now(0, 0), Now
        self.running = False  # callbacks are delivered, intents accepted
        self._waiting = list(strategies)
        self._names: dict[str, int] = {}
        self._told: deque[Event] = deque()  # what components said to one another: before anything else
        self._calls: deque[Call] = deque()  # callbacks that facts call for: before the next event
        self._queue: deque[Event | Order] = deque()  # an Order is its Intent, which need not be there yet
        self._busy = False
        self._refused_now = 0  # orders, since the event that is handled came
        self._started = False
        self._dry_run = dry_run
        self._wants: dict[int, dict[str, list[tuple[int, Callable[..., None]]]]] = {}  # instrument -> callback -> strategies
        self._bar_wants: dict[tuple[int, int], list[tuple[int, Callable[..., None] | None]]] = {}  # (instrument, interval)
        self._units: dict[int, tuple[str, float]] = {}
        self.desk = TradingDesk(self, sizer or Fixed(1))
        self.compiled: CompiledStage | None = None  # where some strategies are compiled
        intend = getattr(shell, "intend", None)
        self.lane = FastLane(self, intend) if fast and intend is not None and not dry_run else None
        self._decider = self.lane.core if self.lane is not None else None
        self._routes: dict[type, tuple[Callable[[Any, Now], Iterable[Command]], ...]] = {
            Intent: (self._intent,),
            ReplaceIntent: (self._intent,),
            CancelIntent: (risk.on, execution.on),
            Approved: (self._approved if dry_run else execution.on,),
            Refused: (self._refused,),
            TimerFired: (self._timer,),
            Kill: (risk.on, execution.on),
            Resume: (risk.on,),
            ExitWanted: (self._exit_wanted,),
            Start: (risk.on, execution.on),
            Stop: (risk.on, execution.on),
            StreamState: (risk.on, execution.on),
            ClockMeasured: (risk.on,),
            VenueSnapshot: (execution.on, risk.on),
            **dict.fromkeys((SetLimits, AssetTold, HistoryTold, ListTold), (risk.on,)),
        }
        self._otherwise = (execution.on,)

    @property
    def names(self) -> dict[int, str]:
        """Every strategy that this journal knows: id -> name."""
        return {number: name for name, number in self._names.items()}

    # ------------------------------------------------------------------------------------------------ start
    def replay(self, facts: Iterable[Fact]) -> int:
        """Apply the facts of an earlier life; nothing is sent and no callback runs. Returns how many there were."""
        n = 0
        for n, fact in enumerate(facts, 1):  # noqa: B007
            self._apply(fact)
        self.counts.clear()  # they tell of this life
        return n

    def prepare(self, now: Now) -> None:
        """Give every strategy its id and connect instruments to the market stage and to the callbacks that want them."""
        self.now = now
        for strategy in self._waiting:
            if any(strategy.name == other.name for other in self.strategies.values()):
                what = f"two strategies are named {strategy.name}"
                raise ConfigError(what, mend="their orders could not be told apart: subclass one under another name")
            number = self._names.get(strategy.name)
            if number is None:
                number = max(self._names.values(), default=0) + 1
                self._perform([Append(fact=StrategyNamed(strategy=number, name=strategy.name), sync=Sync.SOON)])
            strategy._id = number
            strategy._desk = self.desk
            strategy._seat = self.desk.seat(number)
            self.strategies[number] = strategy
            self._connect(number, strategy)
            self.risk.exits.names[number] = strategy.name
            self.risk.authorise(number, [self.instruments[symbol].id for symbol in strategy.symbols])
        self._waiting.clear()
        for instrument in self.instruments:
            wake = 0
            for callback, types in _WAKE.items():
                if self._wants.get(instrument.id, {}).get(callback):
                    wake |= types
            intervals = sorted({i for (who, i), wanted in self._bar_wants.items() if who == instrument.id and wanted})
            if intervals:
                wake |= 1 << RecordType.BAR
            wake |= 1 << RecordType.STATUS
            if self.compiled is not None:
                wake |= self.compiled.watch(instrument.id, wake)
            self.market.watch(instrument, intervals=intervals, wake=wake)
            self.risk.watch(instrument.id, self.market.book(instrument.id))
            units = self._units[instrument.id] = (instrument.symbol, float(10**instrument.qty_exp))
            wants = self._wants.get(instrument.id, {})
            calls = wants.get("on_trade", []), wants.get("on_quote", [])
            special = bool(wants.get("on_book")) or any(number in self.desk.compiled for number, _ in chain(*calls))
            self.listen(instrument.id, *units, *calls, special)
        if self.compiled is not None:
            self.compiled.connect(self._bar_wants)
        if self.lane is not None:
            self.lane.forget()

    def _connect(self, number: int, strategy: Strategy) -> None:
        on_bar = strategy.on_bar if type(strategy).on_bar is not Strategy.on_bar else None
        if isinstance(strategy, CompiledStrategy):
            self.compiled = self.compiled or CompiledStage(self)
            self.compiled.add(number, strategy)
        for symbol in dict.fromkeys(strategy.symbols):
            instrument = self.instruments.get(symbol)
            if instrument is None:
                raise ConfigError(f"{strategy.name} trades {symbol!r}, which is not defined", mend="define the instrument first")
            wants = self._wants.setdefault(instrument.id, {})
            for callback in _WAKE:
                if getattr(type(strategy), callback) is not getattr(Strategy, callback):
                    wants.setdefault(callback, []).append((number, getattr(strategy, callback)))
            self._bar_wants.setdefault((instrument.id, interval_ns(strategy.interval)), []).append((number, on_bar))

    def intervals(self, instrument: int) -> list[int]:
        """The bar intervals, in ns, that this session makes of an instrument."""
        return sorted(interval for who, interval in self._bar_wants if who == instrument)

    def feed(self, number: int, instrument: int, indicators: IndicatorSet) -> None:
        """Give indicators each bar of a strategy's interval before its on_bar gets it."""
        wanted = self._bar_wants[instrument, interval_ns(self.strategies[number].interval)]
        for i, (owner, on_bar) in enumerate(wanted):
            if owner == number:
                if on_bar is None and self.compiled is not None:
                    what = f"{self.strategies[number].name} has indicators and no on_bar"
                    raise ConfigError(what, mend="define one: beside compiled strategies only what is called is fed")
                fed = on_bar if isinstance(on_bar, FedBars) else FedBars(on_bar)
                fed.sets.append(indicators)
                wanted[i] = number, fed

    def start(self, now: Now) -> None:
        """Recovery is over: call every on_start, then deliver callbacks and accept intents."""
        self.now = now
        self.running = self._started = True
        for number, strategy in self.strategies.items():
            self.call(number, strategy.on_start)
        self._drain()

    def stop(self, now: Now) -> None:
        """Call every on_stop where there was an on_start; from here on no callback runs and no intent is accepted."""
        self.now = now
        self.running = False
        for number, strategy in self.strategies.items():
            if self._started:
                self.call(number, strategy.on_stop)
        self._started = False
        self._drain()

    # ------------------------------------------------------------------------------------------------ the loop
    def step(self, event: Event, now: Now) -> None:
        """Take one inbox entry through every stage that it concerns."""
        self.now = now
        self._queue.append(event)
        self._drain()

    def on_market(self, records: np.ndarray[Any, Any], now: Now) -> None:
        """Take market records (market_dtype, in inbox order) through book, bars and callbacks."""
        self.now = now
        self.counts["messages"] += len(records)
        records = self.market.sequence(records)
        at, end = 0, len(records)
        while at < end:
            at = self.advance(records, at)

    def advance(self, records: np.ndarray[Any, Any], at: int = 0, *, timed: bool = False) -> int:
        """Run sequenced records from `at` to the first that is due a callback, and handle that; returns the index after it.

        timed: the time of that callback is the record's own, on both clocks, because a file drives.
        """
        if self.compiled is not None:
            return self.compiled.advance(records, at, timed)
        pipeline = self.market.pipeline
        at = pipeline.run(records, at)  # type: ignore[arg-type]  # before 3.12 nothing says that an array is a buffer
        if timed and at:
            ts = int(records["ts_event"][at - 1])
            self.now = Now(ts, ts)
        self._due(records, at)
        return at

    def _due(self, records: np.ndarray[Any, Any], at: int) -> None:
        pipeline = self.market.pipeline
        if due := pipeline.due:
            if due == DUE_RECORD and self.give_record(records, at - 1):
                return
            if due & DUE_BARS:
                self.bars(pipeline.take_bars())
            if due & DUE_RECORD:
                self.record(records, at - 1)
        self.settle()

    def resume(self, records: np.ndarray[Any, Any], at: int, now: Now) -> None:
        """Go on with records that are counted, and that the pipeline has seen up to `at`, where something is due."""
        self.now = now
        if self.compiled is not None:
            self.compiled.finish(records, at)
        else:
            self._due(records, at)
        while at < len(records):
            at = self.advance(records, at)

    def settle(self) -> None:
        """Handle what callbacks asked for."""
        if self._queue or self._told:
            self._drain()

    def _drain(self) -> None:
        if self._busy:  # a callback that sends: the outer loop takes what it queued
            return
        self._busy = True
        self._refused_now = 0
        told, calls, queue, lane, moved = self._told, self._calls, self._queue, self.lane, False
        try:
            while True:
                if told:
                    self._dispatch(told.popleft())
                elif calls:
                    number, (callback, *arguments) = calls.popleft()
                    self.call(number, callback, *arguments)
                elif queue:
                    event = queue.popleft()
                    if lane is not None and isinstance(event, Intent | Order):
                        if moved:  # what it was told may not be so any more
                            lane.refresh(self.now)
                        lane.take(event, self.now)
                    self._dispatch(event.intent if isinstance(event, Order) else event)
                else:
                    if lane is not None:
                        lane.refresh(self.now)
                    return
                moved = True
        except BaseException:
            if lane is not None:
                lane.close()
            raise
        finally:
            self._busy = False

    @property
    def is_idle(self) -> bool:
        """Nothing waits to be handled."""
        return not (self._busy or self._told or self._calls or self._queue)

    def _dispatch(self, event: Event) -> None:
        for stage in self._routes.get(type(event), self._otherwise):
            self._perform(stage(event, self.now))

    def _intent(self, event: Intent | ReplaceIntent, now: Now) -> list[Command]:
        self.counts["intents"] += 1
        return self.risk.on(event, now)

    def _approved(self, event: Approved, now: Now) -> list[Command]:
        return [Publish(message=_dry(event, now))]

    def _exit_wanted(self, event: ExitWanted, now: Now) -> list[Command]:
        if self.running:
            self.desk.exit(event)
        return []

    def _timer(self, event: TimerFired, now: Now) -> list[Command]:
        owner, _, rest = event.key.partition(".")
        if owner != "strategy":
            return self.risk.on(event, now) if owner == "risk" else self.execution.on(event, now)
        number, _, name = rest.partition(".")
        strategy = self.strategies.get(int(number))
        if self.running and strategy is not None:
            self.call(int(number), strategy.on_timer, name)
        return []

    def _perform(self, commands: Iterable[Command]) -> None:
        shell = self.shell
        for command in commands:
            if isinstance(command, Append):
                fact = command.fact
                shell.append(fact, command.sync, self.now)
                self._apply(fact)
            elif isinstance(command, Submit):  # before the others: it alone is waited for
                shell.perform(command)
            elif isinstance(command, Publish):
                shell.tell(command.message)
                self._told.append(command.message)  # type: ignore[arg-type]  # what components publish are events
            elif isinstance(command, SetTimer):
                shell.set_timer(command)
            elif isinstance(command, Alarm):
                shell.alarm(command)
            else:
                shell.perform(command)

    def post(self, event: Event | Order) -> None:
        """Queue an event from within a callback; it is handled when the callback has returned."""
        self._queue.append(event)
        if self.compiled is not None:
            self.compiled.posted()

    def request(self, commands: list[Command]) -> None:
        """Perform commands of the desk."""
        self._perform(commands)

    # ------------------------------------------------------------------------------------------------ facts
    def _apply(self, fact: Fact) -> None:
        if isinstance(fact, Intended):
            self.counts["orders"] += 1
        elif isinstance(fact, Filled):
            self.counts["fills"] += 1
        elif isinstance(fact, Defined):
            self.instruments.add(fact.instrument)
        elif isinstance(fact, StrategyNamed):
            self._names[fact.name] = fact.strategy
        gone = self.execution.apply(fact)
        self.risk.apply(fact)
        call = self.desk.apply(fact)
        if gone:
            numbers = [order.number for order in gone]
            self.risk.let_go(numbers)
            self.desk.let_go(numbers)
        if call is not None and self.running:
            self._calls.append(call)
        if self.lane is not None:
            self.lane.told(fact)

    def _refused(self, event: Refused, now: Now) -> list[Command]:
        for breach in event.breaches:
            self.refusals[breach.code] += 1
        self._refused_now += 1
        if self._refused_now > MOST_REFUSALS and event.intent.strategy in self.strategies:
            self._spinning(event.intent.strategy)
        call = self.desk.refused(event)
        if call is not None and self.running:
            self._calls.append(call)
        return []

    def _spinning(self, number: int) -> None:
        if number not in self.halted:
            what = f"{MOST_REFUSALS:,} orders in a row were refused within one event"
            self.halt(number, "on_order", OrderError(what, mend="do not send again whenever an order is refused"))

    # ------------------------------------------------------------------------------------------------ callbacks
    def bars(self, bars: np.ndarray[Any, Any]) -> None:
        """Keep bars that closed, and call whoever wants them."""
        self.counts["bars"] += len(bars)
        owners, intervals = bars["instrument"].tolist(), bars["interval"].tolist()
        for i, key in enumerate(zip(owners, intervals, strict=True)):
            wanted = self._bar_wants.get(key)
            if not wanted:
                continue
            if self.compiled is None:  # else its dispatch keeps them
                self.desk.keep_bar(*key, bars[i])
            if not self.running:
                continue
            bar = None
            for number, on_bar in wanted:
                if on_bar is not None:
                    bar = bar or bar_at(bars, i, *self._units[key[0]])
                    self.call(number, on_bar, bar)
            self._drain()

    def record(self, records: np.ndarray[Any, Any], index: int) -> None:
        """Call whoever wants a record."""
        kind, instrument, flags = header_at(records, index)
        if kind == _STATUS:
            status = records.view(status_dtype)[index]
            self.risk.on_status(instrument, *(int(status[name]) for name in ("lower_px", "upper_px", "state", "reason")))
        wants = self._wants.get(instrument)
        if not wants or not self.running:
            return
        wanted = wants.get(_CALLBACKS.get(kind, ""))
        if wanted:
            event = event_at(records, index, *self._units[instrument])
            for number, callback in wanted:
                self.call(number, callback, event)
        wanted = wants.get("on_book")
        if wanted and (kind == _QUOTE or (kind == _DELTA and flags & _LAST)):
            symbol, _ = self._units[instrument]
            for number, callback in wanted:
                self.call(number, callback, symbol, self.desk.book(self.instruments[instrument]))

    def call(self, number: int, callback: Callable[..., None], *arguments: Any) -> None:
        """Run user code. What it raises halts this strategy alone: its entries are cancelled, exits stay."""
        if number in self.halted:
            return
        compiled = self.compiled
        if compiled is not None:
            compiled.enter(number, self.now.venue)
        try:
            callback(*arguments)
        except KeyboardInterrupt:
            raise
        except BaseException as e:  # sys.exit() too: a strategy does not end the session
            if compiled is not None:
                compiled.collect(number)
            self._failed(number, callback, e)
        else:
            if compiled is not None:
                compiled.collect(number)

    def _failed(self, number: int, callback: Callable[..., None], e: BaseException) -> None:
        self.halt(number, getattr(callback, "__name__", "callback"), e)

    def halt(self, number: int, callback: str, e: BaseException) -> None:
        """Call a strategy no more, because a callback raised; it may only reduce from here on."""
        self.halted.add(number)
        if self.compiled is not None:
            self.compiled.halt(number)
        name, error = self.strategies[number].name, type(e).__name__
        text = f"{name}.{callback} raised {error}: {_words(e)} ({_line(e)}); the strategy is halted"
        self.shell.alarm(Alarm(severity="critical", code="STRATEGY_FAILED", text=text))
        # The latch comes before what the callback sent: from here on it can only reduce.
        reason = f"{callback} raised {error}"
        self._told.append(Kill(level="REDUCING", scope=f"strategy:{number}", reason=reason, who="session"))
        for order in self.desk.open_orders(number, None):
            if order.number and not order.intent.reduce_only:
                self.post(CancelIntent(strategy=number, source=order.intent.source))

    def signal(self, signal: Signal) -> None:
        """Count and publish an opinion."""
        self.counts["signals"] += 1
        self.shell.tell(signal)


DUE_RECORD, DUE_BARS = 1, 2
_WAKE = {
    "on_trade": 1 << RecordType.TRADE,
    "on_quote": 1 << RecordType.QUOTE,
    "on_book": 1 << RecordType.DELTA | 1 << RecordType.QUOTE,
}


_CALLBACKS = {int(RecordType.TRADE): "on_trade", int(RecordType.QUOTE): "on_quote"}
_STATUS = int(RecordType.STATUS)
MOST_REFUSALS = 10_000  # within one event; a strategy that asks again in on_order would never let go
_QUOTE, _DELTA, _LAST = int(RecordType.QUOTE), int(RecordType.DELTA), int(Flag.LAST)


def _dry(approved: Approved, now: Now) -> Refused:
    breach = Breach(code="DRY_RUN", limit="no orders", observed="approved")
    return Refused(intent=approved.intent, breaches=(breach,), ts=now.venue)


def _words(e: BaseException) -> str:
    """What user code raised, on one line; its own __str__ may raise."""
    try:
        return " ".join(str(e).split())[:500]
    except Exception:
        return "an error without words"


def _line(e: BaseException) -> str:
    """Where user code raised: the innermost frame's file and line."""
    tb = e.__traceback__
    while tb is not None and tb.tb_next is not None:
        tb = tb.tb_next
    return f"{tb.tb_frame.f_code.co_filename}:{tb.tb_lineno}" if tb else "unknown line"
