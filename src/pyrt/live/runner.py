"""One live session from start-up recovery to the summary."""

import asyncio
import logging
import signal
import time
from collections.abc import Callable, Coroutine, Sequence
from contextlib import ExitStack, suppress
from decimal import Decimal
from pathlib import Path
from typing import Any, Protocol

import msgspec
import numpy as np

from pyrt.clock import SECOND, VenueClock
from pyrt.desk import money
from pyrt.errors import PyrtError, VenueError
from pyrt.execution import ExecutionEngine, Settings
from pyrt.journal import Journal
from pyrt.journal.projection import ProjectionFeed
from pyrt.journal.recorder import Recorder
from pyrt.live.shell import LiveShell
from pyrt.live.summary import Summary
from pyrt.market import MarketData
from pyrt.model import Defined, Instrument, Instruments, Message, Recovered
from pyrt.ports import Append, Broker, ClockMeasured, Feed, Sink, Start, Stop, Subscription, Sync
from pyrt.risk import Limits, RiskManager
from pyrt.session import Session
from pyrt.signals import Sizer
from pyrt.strategies import Strategy
from pyrt.strategies.strategy import interval_ns

log = logging.getLogger("pyrt")
BAR_GRACE = 250_000_000  # ns of venue time that a bar waits for late trades
STOP_PATIENCE = 10.0  # seconds that the end of a session waits for cancelled entries
DATA_PATIENCE = 15.0  # seconds that a warm-up waits for the data stream
CLOCK_EVERY = 60.0  # seconds between two measurements of the venue's clock
TELL_EVERY = 10.0  # seconds between two lines about a recovery that does not end

Records = np.ndarray[Any, Any]
Clock = Callable[[], VenueClock]


class Stream(Protocol):
    """The trading stream: runs until closed, its events go to the sink it was made with."""

    async def run(self) -> None: ...

    async def close(self) -> None: ...


class Link(Protocol):
    """A venue as the runner needs it: who we are there, and how to make the adapters."""

    name: str
    account_id: str
    clock: VenueClock

    def measure(self) -> ClockMeasured: ...

    def instruments(self, symbols: Sequence[str], first_id: int) -> list[Instrument]: ...

    def feed(self, instruments: Instruments, *, sink: Callable[[Records, Records], None], events: Sink, clock: Clock) -> Feed: ...

    def stream(self, sink: Sink) -> Stream: ...

    def broker(self, sink: Sink, clock: Clock, *, deadline: float) -> Broker: ...

    def warm_up(self, instrument: Instrument, interval: int, n: int, before: int) -> np.ndarray[Any, Any]: ...

    def trades(self, instrument: Instrument, start: int, end: int) -> np.ndarray[Any, Any]: ...


class Plan(msgspec.Struct, kw_only=True):
    """What to run."""

    link: Link
    directory: Path
    strategies: list[Strategy]
    limits: Limits
    settings: Settings = Settings()
    sizer: Sizer | None = None
    duration: float | None = None  # seconds of this machine's time; None = until stopped
    durability: str = "sync"
    record: bool = True
    dry_run: bool = False
    listeners: list[Any] = []


class Runner:
    """Builds a session from a Plan, runs it, takes it down in order."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.recovered = asyncio.Event()
        self.stopping = asyncio.Event()
        self.hurried = False  # asked to end at once
        self.reason = ""
        self.recovery: Recovered | None = None
        self._begun = time.monotonic()

    async def run(self) -> Summary:
        """Recover, trade until the time is over or `stop` is called, end in order. Raises PyrtError for what a user can mend."""
        plan = self.plan
        with self._signals():
            journal = Journal.open(plan.directory / "journal", durability=plan.durability)
            try:
                return await self._with(journal)
            finally:
                journal.close()

    def stop(self, reason: str) -> None:
        """Ask the session to end."""
        if not self.stopping.is_set():
            self.reason = reason
            self.stopping.set()

    async def _with(self, journal: Journal) -> Summary:
        plan, link = self.plan, self.plan.link
        with ExitStack() as stack:
            recorder = Recorder(plan.directory / "recording") if plan.record else None
            if recorder is not None:
                stack.callback(recorder.close)
            projection = ProjectionFeed(journal, plan.directory / "state.sqlite")
            stack.callback(projection.close)
            shell = LiveShell(journal=journal, clock=link.clock, recorder=recorder, projection=projection)
            shell.listeners += [self._hear, *plan.listeners]
            shell.on_failure = self.stop
            session = self._assemble(journal, shell)
            shell.broker = link.broker(shell.put, shell.venue_clock, deadline=plan.settings.deadline / SECOND)
            stream = link.stream(shell.put)
            feed = link.feed(session.instruments, sink=shell.handle_feed, events=shell.put, clock=shell.venue_clock)
            feed.want(_wanted(session))
            tasks = [self._task(stream.run(), "trading stream", shell), self._task(feed.run(), "data stream", shell)]
            clock = self._task(self._watch_clock(shell), "clock", shell)
            try:
                await self._trade(session, shell)
                return await self._wind_down(session, shell)
            finally:
                await asyncio.gather(stream.close(), feed.close(), return_exceptions=True)
                for task in (*tasks, clock):
                    task.cancel()
                await asyncio.gather(*tasks, clock, return_exceptions=True)
                shell.close()
                await asyncio.to_thread(shell.broker.close)

    def _task(self, work: Coroutine[Any, Any, None], name: str, shell: LiveShell) -> asyncio.Task[None]:
        """Run what should not end before the session does; where it does, the session ends in order."""

        def ended(task: asyncio.Task[None]) -> None:
            if task.cancelled() or shell.session is None or self.stopping.is_set():
                return
            error = task.exception()
            if error is not None and not isinstance(error, PyrtError):
                log.error("the %s failed", name, exc_info=error)
            shell.fail(f"the {name} ended" + (f": {error}" if error is not None else ""))

        task = asyncio.create_task(work, name=name)
        task.add_done_callback(ended)
        return task

    async def _trade(self, session: Session, shell: LiveShell) -> None:
        """Recover, warm up, then trade until the end; a failure is left in `shell.failed`."""
        shell.handle(Start(epoch=session.risk.epoch + 1))
        await self._recover(shell)
        if self.stopping.is_set():
            return
        try:
            await self._warm_up(session, shell)
        except PyrtError as e:
            shell.fail(f"no history to warm up with: {e}")
        if self.stopping.is_set():
            return
        shell.call(session.start)
        log.info("trading: %s", ", ".join(s.name for s in session.strategies.values()))
        with suppress(TimeoutError):
            await asyncio.wait_for(self.stopping.wait(), self.plan.duration)
        self.stop("the time is over")

    async def _recover(self, shell: LiveShell) -> None:
        """Wait for the end of recovery or a stop, and say why where it takes long."""
        begun = time.monotonic()
        waits = [asyncio.create_task(e.wait()) for e in (self.recovered, self.stopping)]
        try:
            while not (await asyncio.wait(waits, timeout=TELL_EVERY, return_when=asyncio.FIRST_COMPLETED))[0]:
                streams = [f"the {s.stream} stream is down ({s.text})" for s in shell.states.values() if not s.up]
                why = "; ".join([*streams, *([f"a query failed ({shell.query})"] if shell.query else [])])
                log.warning("recovering for %.0f s: %s; it goes on until Ctrl-C", time.monotonic() - begun, why or "no answer yet")
        finally:
            for wait in waits:
                wait.cancel()

    async def _watch_clock(self, shell: LiveShell) -> None:
        while True:
            await asyncio.sleep(CLOCK_EVERY)
            try:
                shell.put(await asyncio.to_thread(self.plan.link.measure))
            except VenueError as e:
                log.warning("the venue's clock was not measured: %s", e)

    def _assemble(self, journal: Journal, shell: LiveShell) -> Session:
        plan = self.plan
        instruments = Instruments()
        market = MarketData(instruments, grace=BAR_GRACE)
        risk = RiskManager(instruments, market.refs, limits=plan.limits)
        execution = ExecutionEngine(journal.id, instruments, settings=plan.settings)
        session = Session(
            instruments=instruments,
            market=market,
            risk=risk,
            execution=execution,
            shell=shell,
            strategies=plan.strategies,
            sizer=plan.sizer,
            dry_run=plan.dry_run,
        )
        replayed = session.replay(fact for _, fact in journal.facts())
        log.info("journal %s: %d facts replayed", journal.id, replayed)
        session.now = shell.now()
        symbols = sorted({s for strategy in plan.strategies for s in strategy.symbols})
        missing = [s for s in symbols if s not in instruments]
        if missing:
            new = plan.link.instruments(missing, instruments.next_id())
            session.request([Append(fact=Defined(instrument=i), sync=Sync.SOON) for i in new])
        session.prepare(shell.now())
        shell.session = session
        return session

    async def _warm_up(self, session: Session, shell: LiveShell) -> None:
        """Fill each strategy's history with the venue's bars before its on_start, without a hole before the live ones.

        The bar that was forming when the stream came up is whole too: the venue is asked for the trades of its beginning.
        """
        wanted: dict[tuple[int, int], int] = {}  # (instrument, interval) -> bars
        for strategy in session.strategies.values():
            for symbol in strategy.symbols if strategy.warmup else ():
                key = (session.instruments[symbol].id, interval_ns(strategy.interval))
                wanted[key] = max(wanted.get(key, 0), strategy.warmup)
        if wanted:
            await self._data_is_up(shell)
        rose = shell.rose.get("data", shell.now().venue)
        cut = {key: rose - rose % key[1] for key in wanted}  # start of the bar that the stream saw only the end of
        for number in {number for number, _ in wanted}:
            await self._backfill(session.instruments[number], [s for (n, _), s in cut.items() if n == number], rose, shell)
        for (number, interval), n in wanted.items():
            await self._keep(session, (number, interval), n, cut[number, interval])
        for (number, interval), start in cut.items():
            if start + interval + BAR_GRACE <= shell.now().venue:  # it is over by now: the venue has it whole, whatever came late
                await self._keep(session, (number, interval), 1, start + interval)
        shell.close_bars(shell.now().venue)  # what the backfill amended is told before anything runs
        shell.trades = None

    async def _backfill(self, instrument: Instrument, starts: list[int], rose: int, shell: LiveShell) -> None:
        """Give the bars that are still forming their beginning, from the venue's trades."""
        intervals = shell.session.intervals(instrument.id) if shell.session is not None else []
        forming = [s for s in starts if any(s + i + BAR_GRACE > shell.now().venue and s % i == 0 for i in intervals)]
        if forming:
            shell.backfill(await asyncio.to_thread(self.plan.link.trades, instrument, min(forming), rose))

    async def _keep(self, session: Session, key: tuple[int, int], n: int, before: int) -> None:
        number, interval = key
        bars = await asyncio.to_thread(self.plan.link.warm_up, session.instruments[number], interval, n, before)
        for i in range(len(bars)):
            session.desk.keep_bar(number, interval, bars[i])

    async def _data_is_up(self, shell: LiveShell) -> None:
        give_up = time.monotonic() + DATA_PATIENCE
        while not shell.rose.get("data") and not self.stopping.is_set():
            if time.monotonic() > give_up:
                log.warning("the data stream is not up after %.0f s: the first live bar may lack its beginning", DATA_PATIENCE)
                return
            await asyncio.sleep(0.02)

    async def _wind_down(self, session: Session, shell: LiveShell) -> Summary:
        """Stop strategies, cancel entries, wait until the venue has proved it, count."""
        shell.call(session.stop)
        shell.handle(Stop(reason=self.reason))
        give_up = time.monotonic() + STOP_PATIENCE
        execution = session.execution
        while (execution.sweeping or execution.unresolved) and time.monotonic() < give_up and not (shell.refused or self.hurried):
            await asyncio.sleep(0.02)
        if self.hurried and execution.sweeping:
            shell.fail("ended at once: what was cancelled is not verified, the next start does it")
        return self._summary(session, shell)

    def _summary(self, session: Session, shell: LiveShell) -> Summary:
        link = self.plan.link
        summary = Summary(venue=link.name, account=link.account_id, seconds=time.monotonic() - self._begun, failed=shell.failed)
        summary.count(session.counts)
        summary.refusals = dict(session.refusals)
        pnl = session.risk.pnl()
        summary.realised, summary.unrealised, summary.fees = money(pnl.realised), money(pnl.unrealised), money(pnl.fees)
        for instrument in session.instruments:
            if qty := session.risk.account(instrument.id).qty:
                summary.positions[instrument.symbol] = instrument.quantity(qty)
        summary.unresolved = session.execution.unresolved
        unexplained = session.execution.unexplained
        summary.unexplained = sum((abs(session.instruments[i].quantity(q)) for i, q in unexplained.items()), Decimal(0))
        summary.open_orders = len(session.execution.open_orders())
        return summary

    def _hear(self, message: Message) -> None:
        if isinstance(message, Recovered):
            self.recovery = message
            self.recovered.set()

    def _signals(self) -> "_Signals":
        return _Signals(self)


class _Signals:
    """Ctrl-C and SIGTERM end the session in order; the second without waiting for proof, the third wherever it stands."""

    def __init__(self, runner: Runner) -> None:
        self._runner = runner
        self._loop = asyncio.get_running_loop()

    def __enter__(self) -> None:
        for number in (signal.SIGINT, signal.SIGTERM):
            with suppress(NotImplementedError, ValueError, RuntimeError):  # not in the main thread: a notebook, a test
                self._loop.add_signal_handler(number, self._hit, number)

    def __exit__(self, *_: object) -> None:
        for number in (signal.SIGINT, signal.SIGTERM):
            with suppress(NotImplementedError, ValueError, RuntimeError):
                self._loop.remove_signal_handler(number)

    def _hit(self, number: int) -> None:
        if self._runner.hurried:
            raise KeyboardInterrupt
        if self._runner.stopping.is_set():
            self._runner.hurried = True
            return
        log.info("%s: ending the session (again to end at once)", signal.Signals(number).name)
        self._runner.stop(signal.Signals(number).name)


def _wanted(session: Session) -> Subscription:
    symbols = frozenset(s for strategy in session.strategies.values() for s in strategy.symbols)
    return Subscription(trades=symbols, quotes=symbols, statuses=symbols)
