"""A backtest: the session of live trading, driven by a file, with the simulated exchange in the same process."""

from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any

from pyrt.calendar import Calendar, ExchangeDays
from pyrt.clock import DAY, MINUTE, SECOND, Now, interval_ns
from pyrt.errors import ConfigError, DataError
from pyrt.execution import ExecutionEngine, Settings
from pyrt.market import MarketData
from pyrt.model import Defined, Instrument, Instruments
from pyrt.ports import Append, Sync
from pyrt.research.data import Source, load
from pyrt.research.driver import Driver
from pyrt.research.latency import Latency, LatencyModel
from pyrt.research.progress import shown
from pyrt.research.result import Result
from pyrt.research.samples import Samples
from pyrt.research.tape import NEVER, Tape, tape_chunks
from pyrt.research.venue import BacktestVenue
from pyrt.risk import Limits, RiskManager
from pyrt.session import Session
from pyrt.strategies import Strategy
from pyrt.venues.sim.exchange.exchange import Exchange

LEAD = 10 * MINUTE  # before the first record: time to recover, at a slow venue too
JOURNAL_ID = "backtest"
SETTINGS = Settings(reconcile_every=SECOND, poll_every=SECOND, snapshot_gap=SECOND // 100)


def backtest_limits(cash: str) -> Limits:
    """The profile `paper` with every control on, its amounts in proportion to the cash: four times it open, all of it lost."""
    money = Decimal(cash)
    amounts = ("max_order_notional", "max_position_notional", "max_gross_exposure", "max_net_exposure", "max_open_order_value")
    sizes = ("max_order_qty", "max_position_qty", "max_strategy_qty")
    values: dict[str, Any] = {name: str(4 * money) for name in amounts} | dict.fromkeys(sizes, str(100 * money))
    return Limits.of({**values, "max_daily_loss": str(money), "max_drawdown": str(money)}, base=Limits.profile("paper"))


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
    calendar: bool = False,
) -> Result:
    """Run strategies on recorded data through the same session, risk and execution as live.

    data: see research.data.load; bars become prints as research.synthetic says. limits: by default backtest_limits(cash).
    latency: 20 ms to the venue and back unless told. seed: of the venue's ids. progress: a bar, or a function of (done, rows).
    calendar: the hours of the exchange (XNYS), as live: nothing but crypto trades outside of them, day orders end with the session,
    auctions are held, bars of a day are those of its session. Without it the market never closes.
    Raises PyrtError for input that cannot be run; what a strategy raises halts it and is told in result.alarms.
    """
    given = strategy if isinstance(strategy, Sequence) else [strategy]
    strategies = [s() if isinstance(s, type) else s for s in given]
    symbols = tuple(dict.fromkeys(s for one in strategies for s in one.symbols))
    if not symbols:
        raise ConfigError("the strategies have no symbols", mend="give them a class attribute `symbols`")
    loaded = load(data, symbols, instruments)
    intervals = sorted({interval_ns(s.interval) for s in strategies})
    clocked = [interval for interval in intervals if interval > 0] or [MINUTE]  # what the figures are sampled by
    known = Instruments()
    hours = Calendar() if calendar else None
    market = MarketData(known, grace=0, calendar=hours)
    risk = RiskManager(
        known,
        market.refs,
        limits=limits or backtest_limits(str(cash)),
        day_of=ExchangeDays(),
        calendar=hours,
        mark_every=max(clocked[0], SECOND),
    )
    samples = Samples(loaded.instruments, clocked[0])
    ends = hours.day_edges()[1::2] if hours is not None and intervals[-1] >= DAY else None
    tape = Tape(tape_chunks(samples.watch(loaded.chunks), clocked, market.sequence, ends))
    if tape.begun == NEVER:
        raise DataError("there are no records", where="data", mend="give data that is not empty")
    begin = Now(tape.begun - LEAD, tape.begun - LEAD)
    exchange = Exchange(loaded.instruments, cash=str(cash), seed=seed, start=begin.venue, always_open=not calendar, calendar=hours)
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
