"""A backtest: the session of live trading, driven by a file, with the simulated exchange in the same process."""

from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any

from pyrt._core.types import Clock
from pyrt.calendar import ExchangeDays
from pyrt.clock import MINUTE, SECOND, Now
from pyrt.errors import ConfigError, DataError, PyrtError
from pyrt.execution import ExecutionEngine, Settings
from pyrt.live.timers import Timers
from pyrt.market import MarketData
from pyrt.model import Defined, Fact, Instrument, Instruments, Message
from pyrt.ports import Alarm, Append, Command, SetTimer, Start, Stop, StreamState, Sync
from pyrt.research.data import Source, load
from pyrt.research.latency import Latency, LatencyModel
from pyrt.research.progress import shown
from pyrt.research.result import Result
from pyrt.research.samples import Samples
from pyrt.research.tape import NEVER, Tape, tape_chunks
from pyrt.research.venue import BacktestVenue
from pyrt.risk import Limits, RiskManager
from pyrt.session import Session
from pyrt.strategies import Strategy
from pyrt.strategies.strategy import interval_ns
from pyrt.venues.sim.exchange import Exchange

LEAD = 10 * MINUTE  # before the first record: time to recover, at a slow venue too
JOURNAL_ID = "backtest"
STOP_PATIENCE = MINUTE  # of the data's time, for cancels at the end
POLLS = ("execution.poll", "execution.reconcile")
SETTINGS = Settings(reconcile_every=SECOND, poll_every=SECOND, snapshot_gap=SECOND // 100)


def backtest_limits(cash: str) -> Limits:
    """The profile `paper` with every control on, its amounts in proportion to the cash: four times it open, all of it lost."""
    money = Decimal(cash)
    amounts = ("max_order_notional", "max_position_notional", "max_gross_exposure", "max_net_exposure", "max_open_order_value")
    sizes = ("max_order_qty", "max_position_qty", "max_strategy_qty")
    values: dict[str, Any] = {name: str(4 * money) for name in amounts} | dict.fromkeys(sizes, str(100 * money))
    return Limits.of({**values, "max_daily_loss": str(money), "max_drawdown": str(money)}, base=Limits.profile("paper"))


class Driver:
    """The shell of a backtest: time is that of the data, facts stay in memory, requests go to the exchange beside it.

    While nothing happens to orders the engine's polls and reconciliations of the venue wait: they would tell it nothing.
    """

    def __init__(self, venue: BacktestVenue, tape: Tape) -> None:
        self.venue = venue
        self.tape = tape
        self.facts: list[Fact] = []
        self.alarms: list[Alarm] = []
        self.session: Session
        self.changed = False  # a request or a timer was set since this was last set to False
        self._timers = Timers()
        self._polls: dict[str, SetTimer] = {}

    # ------------------------------------------------------------------------------------------------ Shell
    def append(self, fact: Fact, sync: Sync, now: Now) -> None:
        self.facts.append(fact)

    def perform(self, command: Command) -> None:
        self.changed = True
        self.venue.perform(command, self.session.now)

    def set_timer(self, command: SetTimer) -> None:
        self.changed = True
        if command.key in POLLS:
            self._polls[command.key] = command
        else:
            self._timers.set(command)

    def tell(self, message: Message) -> None:
        pass  # nobody listens but the session itself

    def alarm(self, alarm: Alarm) -> None:
        if alarm.severity != "info" or alarm.code == "STRATEGY":  # what strategies log, and what a human should know
            self.alarms.append(alarm)

    # ------------------------------------------------------------------------------------------------ time
    def run(self, session: Session, tick: Callable[[int], None]) -> None:
        """Recover, play the data to its end, stop. At one instant: the exchange, then market, answers, timers."""
        self.session = session
        begin = session.now
        session.step(Start(epoch=1), begin)
        for stream in ("trading", "data"):
            session.step(StreamState(stream=stream, up=True), begin)
        while not session.execution.recovered:
            if not self._play(NEVER, self.tape.begun):
                raise PyrtError("recovery at the simulated venue did not end", mend="; ".join(a.text for a in self.alarms))
        session.start(Now(self.tape.begun, self.tape.begun))
        while (market := self.tape.next_time) != NEVER:
            self._play(market, NEVER)
            tick(self.tape.total)
        session.stop(session.now)
        session.step(Stop(reason="the data has ended"), session.now)
        give_up = session.now.venue + STOP_PATIENCE
        while (session.execution.sweeping or not self.venue.idle) and self._play(NEVER, give_up):
            pass

    def _play(self, market: int, end: int) -> bool:
        """Handle what is due next, the market's next record included; False where nothing is before `end`."""
        session = self.session
        self._wake_polls(session.now.mono)
        answer, timer = self.venue.next_answer, self._next_timer()
        due = min(market, answer, timer)
        if self.venue.next_event <= min(due, end):
            self.venue.run(self.venue.next_event)
        elif due > end or due == NEVER:
            return False
        elif market <= due:
            self._market(session, min(answer, timer))
        elif answer <= timer:
            now, event = self.venue.take()
            session.step(event, now)
        elif (fired := self._timers.pop(Now(timer, timer))) is not None:
            session.step(fired, Now(timer, timer))
        return True

    def _market(self, session: Session, others: int) -> None:
        tape, begin = self.tape, self.tape.at
        end = tape.until(min(others, self.venue.next_event))
        records = tape.records[:end]
        self.changed = False
        while tape.at < end and not self.changed:
            tape.at = session.advance(records, tape.at, timed=True)
        session.counts["messages"] += tape.at - begin

    def _next_timer(self) -> int:
        dues = (self._timers.next(Clock.VENUE), self._timers.next(Clock.MONO))
        return min((at for at in dues if at is not None), default=NEVER)

    def _wake_polls(self, mono: int) -> None:
        if self.venue.active and self._polls:
            self.venue.active = False
            for command in self._polls.values():
                self._timers.set(SetTimer(key=command.key, at=max(command.at, mono + SECOND // 10), clock=command.clock))
            self._polls.clear()


def backtest(
    strategy: Strategy | type[Strategy] | Sequence[Strategy | type[Strategy]],
    data: Source,
    *,
    cash: str | int = "100000",
    limits: Limits | None = None,
    latency: LatencyModel | None = None,
    seed: int = 0,
    instruments: Sequence[Instrument] = (),
    progress: bool | Callable[[int, int], None] = True,
) -> Result:
    """Run strategies on recorded data through the same session, risk and execution as live.

    data: see research.data.load; bars become prints as research.synthetic says. limits: by default backtest_limits(cash).
    latency: 20 ms to the venue and back unless told. seed: of the venue's ids. progress: a bar, or a function of (done, rows).
    Raises PyrtError for input that cannot be run; what a strategy raises halts it and is told in result.alarms.
    """
    given = strategy if isinstance(strategy, Sequence) else [strategy]
    strategies = [s() if isinstance(s, type) else s for s in given]
    symbols = tuple(dict.fromkeys(s for one in strategies for s in one.symbols))
    if not symbols:
        raise ConfigError("the strategies have no symbols", mend="give them a class attribute `symbols`")
    loaded = load(data, symbols, instruments)
    intervals = sorted({interval_ns(s.interval) for s in strategies})
    known = Instruments()
    market = MarketData(known, grace=0)
    risk = RiskManager(
        known,
        market.refs,
        limits=limits or backtest_limits(str(cash)),
        day_of=ExchangeDays(),
        mark_every=max(intervals[0], SECOND),
    )
    samples = Samples(loaded.instruments, intervals[0])
    tape = Tape(tape_chunks(samples.watch(loaded.chunks), intervals, market.sequence))
    if tape.begun == NEVER:
        raise DataError("there are no records", where="data", mend="give data that is not empty")
    begin = Now(tape.begun - LEAD, tape.begun - LEAD)
    exchange = Exchange(loaded.instruments, cash=str(cash), seed=seed, start=begin.venue)
    driver = Driver(BacktestVenue(exchange, tape, latency or Latency()), tape)
    session = Session(
        instruments=known,
        market=market,
        risk=risk,
        execution=ExecutionEngine(JOURNAL_ID, known, settings=SETTINGS),
        shell=driver,
        strategies=strategies,
    )
    session.request([Append(fact=Defined(instrument=i), sync=Sync.SOON) for i in loaded.instruments])
    session.prepare(begin)
    with shown(progress, loaded.rows) as tick:
        driver.run(session, tick)
    names = {number: one.name for number, one in session.strategies.items()}
    counts = dict(session.counts), dict(session.refusals)
    return Result.of(driver.facts, driver.alarms, samples, names, counts, Decimal(str(cash)))
