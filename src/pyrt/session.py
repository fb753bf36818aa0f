"""The loop: one inbox entry in, commands out, facts applied. Live, backtest and replay drive this same object.

    market records -> MarketData -> Strategy -> RiskManager -> ExecutionEngine -> Shell

The session owns no clock, socket, file or thread: the Shell does, and feeds what happens back as events.
"""

from collections import Counter, deque
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, Protocol

import numpy as np

from pyrt._core.events import bar_at, event_at
from pyrt._core.types import Flag, RecordType, status_dtype
from pyrt.clock import Now
from pyrt.desk import TradingDesk
from pyrt.execution import ExecutionEngine
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
    Command,
    Event,
    Kill,
    Publish,
    Resume,
    SetTimer,
    Start,
    Stop,
    StreamState,
    Sync,
    TimerFired,
)
from pyrt.risk import RiskManager
from pyrt.signals import Fixed, Sizer
from pyrt.strategies import Strategy
from pyrt.strategies.strategy import interval_ns


class Shell(Protocol):
    """What the session asks of the world. No verb answers; answers come back through Session.step."""

    def append(self, fact: Fact, sync: Sync, now: Now) -> None:
        """Journal a fact. What `perform` gets after it leaves the process only when the fact is as durable as `sync` demands."""
        ...

    def perform(self, command: Command) -> None:
        """Submit, Replace, Cancel, Lookup or TakeSnapshot."""
        ...

    def set_timer(self, command: SetTimer) -> None: ...

    def tell(self, message: Message) -> None:
        """A message that other processes and people may want to see."""
        ...

    def alarm(self, alarm: Alarm) -> None: ...


class Session:
    """Components, strategies and the routes between them.

    `instruments` must be the registry that the components share. Facts of an earlier life go through `replay` before `start`.
    """

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
    ) -> None:
        self.instruments = instruments
        self.market = market
        self.risk = risk
        self.execution = execution
        self.shell = shell
        self.strategies: dict[int, Strategy] = {}
        self.halted: set[int] = set()  # strategies whose callbacks are no longer called
        self.counts: Counter[str] = Counter()
        self.refusals: Counter[str] = Counter()
        self.now = Now(0, 0)
        self.running = False  # callbacks are delivered, intents accepted
        self._waiting = list(strategies)
        self._names: dict[str, int] = {}
        self._queue: deque[Event | Callable[[], None]] = deque()
        self._busy = False
        self._dry_run = dry_run
        self._wants: dict[int, dict[str, list[int]]] = {}  # instrument -> callback -> strategies
        self._bar_wants: dict[tuple[int, int], list[int]] = {}  # (instrument, interval) -> strategies
        self._units: dict[int, tuple[str, float]] = {}
        self.desk = TradingDesk(self, sizer or Fixed(1))
        self._routes: dict[type, tuple[Callable[[Any, Now], list[Command]], ...]] = {
            Intent: (risk.on,),
            ReplaceIntent: (risk.on,),
            CancelIntent: (risk.on, execution.on),
            Approved: (execution.on,),
            Kill: (risk.on, execution.on),
            Resume: (risk.on,),
            Start: (risk.on, execution.on),
            Stop: (risk.on, execution.on),
            StreamState: (risk.on, execution.on),
        }

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
        return n

    def prepare(self, now: Now) -> None:
        """Give every strategy its id and connect instruments to the market stage and to the callbacks that want them."""
        self.now = now
        for strategy in self._waiting:
            number = self._names.get(strategy.name)
            if number is None:
                number = max(self._names.values(), default=0) + 1
                self._perform([Append(fact=StrategyNamed(strategy=number, name=strategy.name), sync=Sync.SOON)])
            strategy._id = number
            strategy._desk = self.desk
            self.strategies[number] = strategy
            self._connect(number, strategy)
        self._waiting.clear()
        for instrument in self.instruments:
            wake = 0
            for callback, types in _WAKE.items():
                if self._wants.get(instrument.id, {}).get(callback):
                    wake |= types
            intervals = sorted({i for (who, i), wanted in self._bar_wants.items() if who == instrument.id and wanted})
            if intervals:
                wake |= 1 << RecordType.BAR
            self.market.watch(instrument, intervals=intervals, wake=wake | 1 << RecordType.STATUS)
            self.risk.watch(instrument.id, self.market.book(instrument.id))
            self._units[instrument.id] = (instrument.symbol, float(10**instrument.qty_exp))

    def _connect(self, number: int, strategy: Strategy) -> None:
        for symbol in strategy.symbols:
            instrument = self.instruments[symbol]
            wants = self._wants.setdefault(instrument.id, {})
            for callback in _WAKE:
                if getattr(type(strategy), callback) is not getattr(Strategy, callback):
                    wants.setdefault(callback, []).append(number)
            self._bar_wants.setdefault((instrument.id, interval_ns(strategy.interval)), []).append(number)

    def start(self, now: Now) -> None:
        """Recovery is over: call every on_start, then deliver callbacks and accept intents."""
        self.now = now
        self.running = True
        for number, strategy in self.strategies.items():
            self._call(number, strategy.on_start)
        self._drain()

    def stop(self, now: Now) -> None:
        """Call every on_stop; from here on no callback runs and no intent is accepted."""
        self.now = now
        for number, strategy in self.strategies.items():
            self.running = False
            self._call(number, strategy.on_stop)
        self.running = False
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
        at = 0
        while at < len(records):
            at = self.advance(records, at)

    def advance(self, records: np.ndarray[Any, Any], at: int = 0, *, timed: bool = False) -> int:
        """Run sequenced records from `at` to the first that is due a callback, and handle that; returns the index after it.

        timed: the time of that callback is the record's own, on both clocks, because a file drives.
        """
        pipeline = self.market.pipeline
        at = pipeline.run(records, at)  # type: ignore[arg-type]  # before 3.12 nothing says that an array is a buffer
        due = pipeline.due
        if timed and at:
            ts = int(records["ts_event"][at - 1])
            self.now = Now(ts, ts)
        if due & DUE_BARS:
            self._bars(pipeline.take_bars())
        if due & DUE_RECORD:
            self._record(records, at - 1)
        if self._queue:
            self._drain()
        return at

    def _drain(self) -> None:
        if self._busy:  # a callback that sends: the outer loop takes what it queued
            return
        self._busy = True
        try:
            while self._queue:
                entry = self._queue.popleft()
                if callable(entry):
                    entry()
                else:
                    self._dispatch(entry)
        finally:
            self._busy = False

    def _dispatch(self, event: Event) -> None:
        if isinstance(event, Refused):
            self._refused(event)
            return
        if isinstance(event, TimerFired):
            self._timer(event)
            return
        if isinstance(event, Intent | ReplaceIntent):
            self.counts["intents"] += 1
        if isinstance(event, Approved) and self._dry_run:
            self._perform([Publish(message=_dry(event, self.now))])
            return
        for stage in self._routes.get(type(event), (self.execution.on,)):
            self._perform(stage(event, self.now))

    def _timer(self, event: TimerFired) -> None:
        owner, _, rest = event.key.partition(".")
        if owner == "strategy":
            number, _, name = rest.partition(".")
            if self.running and int(number) in self.strategies:
                self._call(int(number), self.strategies[int(number)].on_timer, name)
        else:
            stage = self.risk if owner == "risk" else self.execution
            self._perform(stage.on(event, self.now))

    def _perform(self, commands: list[Command]) -> None:
        told: list[Event] = []
        for command in commands:
            if isinstance(command, Append):
                self.shell.append(command.fact, command.sync, self.now)
                self._apply(command.fact)
            elif isinstance(command, Publish):
                self.shell.tell(command.message)
                told.append(command.message)  # type: ignore[arg-type]  # what components publish are events
            elif isinstance(command, SetTimer):
                self.shell.set_timer(command)
            elif isinstance(command, Alarm):
                self.shell.alarm(command)
            else:
                self.shell.perform(command)
        # An intent goes through all stages before the next entry: a cancel posted behind it finds its order.
        self._queue.extendleft(reversed(told))

    def post(self, event: Event) -> None:
        """Queue an event from within a callback; it is handled when the callback has returned."""
        self._queue.append(event)

    def request(self, commands: list[Command]) -> None:
        """Perform commands of the desk."""
        self._perform(commands)

    # ------------------------------------------------------------------------------------------------ facts
    def _apply(self, fact: Fact) -> None:
        if isinstance(fact, Defined):
            self.instruments.add(fact.instrument)
        elif isinstance(fact, StrategyNamed):
            self._names[fact.name] = fact.strategy
        elif isinstance(fact, Intended):
            self.counts["orders"] += 1
        elif isinstance(fact, Filled):
            self.counts["fills"] += 1
        self.execution.apply(fact)
        self.risk.apply(fact)
        for number, call in self.desk.apply(fact):
            if self.running:
                self._queue.append(partial(self._call, number, *call))

    def _refused(self, event: Refused) -> None:
        for breach in event.breaches:
            self.refusals[breach.code] += 1
        for number, call in self.desk.refused(event):
            if self.running:
                self._call(number, *call)

    # ------------------------------------------------------------------------------------------------ callbacks
    def _bars(self, bars: np.ndarray[Any, Any]) -> None:
        self.counts["bars"] += len(bars)
        raw = bars.view(np.uint8)
        owners = zip(bars["instrument"].tolist(), bars["interval"].tolist(), strict=True)
        for i, (instrument, interval) in enumerate(owners):
            self.desk.keep_bar(instrument, interval, bars[i])
            wanted = self._bar_wants.get((instrument, interval))
            if not wanted or not self.running:
                continue
            bar = bar_at(raw, i, *self._units[instrument])
            for number in wanted:
                if type(self.strategies[number]).on_bar is not Strategy.on_bar:
                    self._call(number, self.strategies[number].on_bar, bar)
            if self._queue:
                self._drain()

    def _record(self, records: np.ndarray[Any, Any], index: int) -> None:
        record = records[index]
        instrument = int(record["instrument"])
        kind = int(record["type"])
        if kind == RecordType.STATUS:
            status = records.view(status_dtype)[index]
            self.risk.on_status(instrument, int(status["lower_px"]), int(status["upper_px"]))
        wants = self._wants.get(instrument)
        if not wants or not self.running:
            return
        symbol, unit = self._units[instrument]
        if kind in (RecordType.TRADE, RecordType.QUOTE):
            event = event_at(records.view(np.uint8), index, symbol, unit)
            callback = "on_trade" if kind == RecordType.TRADE else "on_quote"
            for number in wants.get(callback, ()):
                self._call(number, getattr(self.strategies[number], callback), event)
        if kind == RecordType.QUOTE or (kind == RecordType.DELTA and int(record["flags"]) & Flag.LAST):
            for number in wants.get("on_book", ()):
                self._call(number, self.strategies[number].on_book, symbol, self.market.book(instrument))

    def _call(self, number: int, callback: Callable[..., None], *arguments: Any) -> None:
        """Run user code. What it raises halts this strategy alone: its entries are cancelled, exits stay."""
        if number in self.halted:
            return
        try:
            callback(*arguments)
        except Exception as e:
            self.halted.add(number)
            strategy = self.strategies[number]
            what = f"{type(e).__name__}: {' '.join(str(e).split())} ({_line(e)})"
            text = f"{strategy.name}.{callback.__name__} raised {what}; the strategy is halted"
            self.shell.alarm(Alarm(severity="critical", code="STRATEGY_FAILED", text=text))
            reason = f"{callback.__name__} raised {type(e).__name__}"
            self._queue.append(Kill(level="HALTED", scope=f"strategy:{number}", reason=reason, who="session"))

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


def _dry(approved: Approved, now: Now) -> Refused:
    breach = Breach(code="DRY_RUN", limit="no orders", observed="approved")
    return Refused(intent=approved.intent, breaches=(breach,), ts=now.venue)


def _line(e: BaseException) -> str:
    """Where user code raised: the innermost frame's file and line."""
    tb = e.__traceback__
    while tb is not None and tb.tb_next is not None:
        tb = tb.tb_next
    return f"{tb.tb_frame.f_code.co_filename}:{tb.tb_lineno}" if tb else "unknown line"
