"""One live session from start-up recovery to the summary."""

import asyncio
import concurrent.futures.thread  # noqa: F401 -- asyncio imports it with the first thread: too late where no descriptor is left
import logging
import os
import sys
import time
from collections.abc import Coroutine
from contextlib import ExitStack, suppress
from decimal import Decimal
from typing import Any

import numpy as np

from pyrt._core.types import bar_dtype
from pyrt.calendar import Calendar, ExchangeDays
from pyrt.clock import SECOND, Now
from pyrt.errors import PyrtError, VenueError
from pyrt.execution import ExecutionEngine
from pyrt.journal import Journal
from pyrt.journal.postgres import PostgresFeed
from pyrt.journal.projection import ProjectionFeed
from pyrt.journal.projection_feed import Both, Offered
from pyrt.journal.recorder import Recorder, Run
from pyrt.live.backfill import Backfill
from pyrt.live.control import Control
from pyrt.live.halt import HaltNote
from pyrt.live.inform import Informer
from pyrt.live.keeper import Keeper
from pyrt.live.os_signals import Signals
from pyrt.live.plan import Companion, Live, Plan
from pyrt.live.recipe import run_of
from pyrt.live.recovery import recover
from pyrt.live.room import Room
from pyrt.live.shell import LiveShell
from pyrt.live.summary import Summary
from pyrt.live.troubles import Vigil, missing
from pyrt.live.warm_up import BAR_GRACE, warm_up
from pyrt.market import MarketData
from pyrt.model import AssetClass, Defined, Instruments, Message, Recovered, money
from pyrt.monitor import RiskPage
from pyrt.ports import Append, ClockMeasured, Start, Stop, Subscription, Sync
from pyrt.process import FreeMemory, make_private, steady_memory
from pyrt.risk import RiskManager
from pyrt.session import Session
from pyrt.venues.alpaca.keys import LIVE
from pyrt.watchdog import Watchdog, WatchOrder

SIM = "sim"  # the one venue that may be always open
log = logging.getLogger("pyrt")
STOP_PATIENCE = 10.0  # seconds that the end of a session waits for cancelled entries
CLOCK_EVERY = 60.0  # seconds between two measurements of the venue's clock
CLOCK_AGAIN = 2.0  # seconds after one that nobody believes yet
TELL_EVERY = 10.0  # seconds between two lines about a recovery that does not end


class Runner:
    """Builds a session from a Plan, runs it, takes it down in order."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.recovered = asyncio.Event()
        self.stopping = asyncio.Event()
        self.aborting = False  # ended at once: nothing is waited for but the journal
        self.reason = ""
        self.recovery: Recovered | None = None
        self._begun = time.monotonic()
        self._control: Control | None = None
        self._snapshot_seq = 0  # the record after which the newest snapshot was taken
        self._proved = False  # that no entry is left at the venue, or that the venue answers nobody with our keys

    async def run(self) -> Summary:
        """Recover, trade until the time is over or `stop` is called, end in order. Raises PyrtError for what a user can mend."""
        plan = self.plan
        with Signals(self):
            steady_memory()
            make_private(plan.directory)
            journal = Journal.open(plan.directory / "journal", durability=plan.durability, segment_size=plan.segment_size)
            try:
                summary = await self._with(journal)
            finally:
                journal.close()
            if journal.failed is not None and not summary.failed:  # by its very last records: nobody was left to hear it
                summary.failed = str(journal.failed)
            return summary

    def stop(self, reason: str) -> None:
        """Ask the session to end."""
        if not self.stopping.is_set():
            self.reason = reason
            self.stopping.set()

    def kill(self) -> None:
        """Close the latch of the whole system, as `python -m pyrt kill` does."""
        if self._control is not None:
            self._control.on_signal()

    async def _with(self, journal: Journal) -> Summary:
        plan, link = self.plan, self.plan.link
        with ExitStack() as stack:
            recorder = Recorder(plan.directory / "recording") if plan.record else None
            if recorder is not None:
                stack.callback(recorder.close)
            projection: Offered = stack.enter_context(ProjectionFeed(journal, plan.directory / "state.sqlite"))
            if plan.database is not None:
                projection = Both(projection, stack.enter_context(PostgresFeed(journal, plan.database)))
            shell = LiveShell(journal=journal, clock=link.clock, recorder=recorder, projection=projection)
            shell.listeners += [self._hear, *plan.listeners]
            shell.on_failure = self.stop
            session = self._assemble(journal, shell)
            page = RiskPage.create(plan.directory)
            note = HaltNote(plan.directory, page)
            stack.callback(note.close)
            shell.on_unjournaled = note.tell
            watchdog = self._watchdog(journal, session) if plan.watchdog else None
            control = self._control = Control(plan.directory, page, shell, session, watchdog)
            shell.broker = link.broker(shell.put, shell.venue_clock, deadline=plan.settings.deadline / SECOND, blocked=page.blocks)
            try:
                keeper = Keeper(shell, session, facts=plan.snapshot_facts, seconds=plan.snapshot_seconds, kept=self._snapshot_seq)
                summary = await self._connected(session, shell, control, keeper)
                await keeper.keep()
                return summary
            finally:
                control.close()
                shell.close()
                if not self.aborting:  # else requests under way end with the process, and the watchdog takes over
                    await asyncio.to_thread(shell.broker.close)
                    if watchdog is not None and self._proved:
                        await asyncio.to_thread(watchdog.farewell)
                    elif watchdog is not None:
                        log.warning("the venue did not prove that no entry is left: the watchdog goes on cancelling (see its log)")
                        watchdog.leave()
                    page.close()  # last: until here a SIGUSR1 leaves its word there, for the next start

    async def _connected(self, session: Session, shell: LiveShell, control: Control, keeper: Keeper) -> Summary:
        """Run with both streams, and with whatever stands beside the session."""
        link = self.plan.link
        stream = link.stream(shell.put)
        wanted = _wanted(session)
        feed = link.feed(
            session.instruments,
            sink=shell.handle_feed,
            events=shell.put,
            clock=shell.venue_clock,
            symbols=wanted.trades,
            inbox=shell.inbox,
        )
        feed.want(wanted)
        vigil = Vigil(
            shell,
            session,
            patience=self.plan.trouble,
            every=self.plan.settings.reconcile_every / SECOND,
            hours=self._hours(),
        )
        live = Live(self, session, shell, feed, Backfill(session, shell, link), vigil)
        tasks = [self._task(stream.run(), "trading stream", shell), self._task(feed.run(), "data stream", shell)]
        tasks += [
            asyncio.create_task(self._watch_clock(shell)),
            asyncio.create_task(_beside(lambda live: live.backfill.run(), live)),
            asyncio.create_task(_beside(lambda live: Informer(live.session, live.shell, link).run(), live)),
            asyncio.create_task(_beside(keeper.run, live)),
            asyncio.create_task(_beside(lambda live: live.vigil.run(self.recovered, self.stopping), live)),
            asyncio.create_task(_beside(Room(shell, self.plan.directory).run, live)),
        ]
        tasks += [asyncio.create_task(_beside(companion, live)) for companion in self.plan.companions]
        try:
            await self._trade(session, shell, control)
            return await self._wind_down(session, shell)
        finally:
            await asyncio.gather(stream.close(), feed.close(), return_exceptions=True)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

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

    async def _trade(self, session: Session, shell: LiveShell, control: Control) -> None:
        """Recover, warm up, then trade until the end; a failure is left in `shell.failed`."""
        shell.handle(Start(epoch=session.risk.epoch + 1))
        control.start()
        await self._recover(shell)
        if self.stopping.is_set():
            return
        try:
            await warm_up(session, shell, self.plan.link, self.stopping)
        except PyrtError as e:
            shell.fail(f"no history to warm up with: {e}")
        if self.stopping.is_set():
            return
        shell.call(session.start, self._begin(shell))
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
                why = missing(shell) or "no answer yet"
                log.warning("recovering for %.0f s: %s; it goes on until Ctrl-C", time.monotonic() - begun, why)
        finally:
            for wait in waits:
                wait.cancel()

    async def _watch_clock(self, shell: LiveShell) -> None:
        free = FreeMemory()

        def measure() -> ClockMeasured:
            free.give_back()  # in a thread of its own, once a minute
            return self.plan.link.measure()

        while True:
            await asyncio.sleep(CLOCK_EVERY if shell.steps.doubted is None else CLOCK_AGAIN)
            try:
                shell.put(await asyncio.to_thread(measure))
            except VenueError as e:
                log.warning("the venue's clock was not measured: %s", e)

    def _assemble(self, journal: Journal, shell: LiveShell) -> Session:
        plan = self.plan
        hours = self._hours()

        def build() -> Session:
            instruments = Instruments()
            market = MarketData(instruments, grace=BAR_GRACE, calendar=hours)
            return Session(
                instruments=instruments,
                market=market,
                risk=RiskManager(instruments, market.refs, limits=plan.limits, day_of=ExchangeDays(), calendar=hours),
                execution=ExecutionEngine(journal.id, instruments, settings=plan.settings),
                shell=shell,
                strategies=plan.strategies,
                sizer=plan.sizer,
                dry_run=plan.dry_run,
            )

        session, snapshot_seq, replayed = recover(journal, build)
        snapshot = f"the snapshot of record {snapshot_seq} and " if snapshot_seq else ""
        log.info("journal %s: %s%d facts replayed", journal.id, snapshot, replayed)
        instruments = session.instruments
        self._snapshot_seq = snapshot_seq
        session.now = shell.now()
        symbols = sorted({s for strategy in plan.strategies for s in strategy.symbols})
        missing = [s for s in symbols if s not in instruments]
        new = plan.link.instruments(missing, instruments.next_id()) if missing else []
        session.request([Append(fact=Defined(instrument=i), sync=Sync.SOON) for i in new])
        now = shell.now()
        session.prepare(now)
        session.execution.reserve()
        shell.session = session
        if shell.recorder is not None:
            shell.recorder.begin(self._made_of(journal, hours is not None), now)
        return session

    def _hours(self) -> Calendar | None:
        return Calendar() if self.plan.calendar or self.plan.link.name != SIM else None

    def _made_of(self, journal: Journal, hours: bool) -> Run:
        plan = self.plan
        return run_of(
            journal=journal.id,
            seq=journal.seq,
            strategies=plan.strategies,
            limits=plan.limits,
            settings=plan.settings,
            signals=plan.signals,
            hours=hours,
            dry_run=plan.dry_run,
        )

    def _watchdog(self, journal: Journal, session: Session) -> Watchdog:
        plan = self.plan
        url, (key, secret) = plan.link.egress()
        order = WatchOrder(
            directory=str(plan.directory.absolute()),
            journal=journal.id,
            epoch=session.risk.epoch + 1,
            url=url,
            key=key.reveal(),
            secret=secret.reveal(),
            silent=plan.silence,
            stale=plan.data_down,
            landing=(plan.settings.deadline + plan.settings.settle) / SECOND,
            deadline=plan.settings.deadline / SECOND,
            give_up=30.0 if plan.link.name == "sim" else 0.0,
            live=plan.link.name == LIVE,
            alerts=plan.alerts.reveal(),
            cpus=tuple(os.sched_getaffinity(0)) if sys.platform == "linux" else (),
        )
        return Watchdog(order)

    def _begin(self, shell: LiveShell) -> Now:
        """The instant from which callbacks run; a recording tells it by an entry of no bars."""
        now = shell.now()
        if shell.recorder is not None:
            shell.recorder.records(np.empty(0, bar_dtype), now)
        return now

    async def _wind_down(self, session: Session, shell: LiveShell) -> Summary:
        """Stop strategies, cancel entries, wait until the venue has proved it, count."""
        now = shell.now()  # one instant for both: a recording has one entry for them
        shell.call(session.stop, now)
        shell.handle(Stop(reason=self.reason), now)
        give_up = time.monotonic() + STOP_PATIENCE
        execution = session.execution
        while (execution.sweeping or execution.unresolved) and time.monotonic() < give_up and not shell.refused:
            await asyncio.sleep(0.02)
        self._proved = shell.refused or not (execution.sweeping or execution.unresolved)
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


async def _beside(companion: Companion, live: Live) -> None:
    """What only looks on must not end a session: its mistake is logged."""
    try:
        await companion(live)
    except Exception:
        log.exception("beside the session")


def _wanted(session: Session) -> Subscription:
    symbols = frozenset(s for strategy in session.strategies.values() for s in strategy.symbols)
    streamed = {session.instruments[s].asset_class for s in symbols} or {AssetClass.US_EQUITY}
    held = [i for i in session.instruments if session.risk.account(i.id).qty]
    symbols |= {i.symbol for i in held if i.asset_class in streamed}  # what is held is marked
    if others := sorted({i.symbol for i in held} - symbols):  # somebody's coins or contracts: a stream has one kind
        log.warning("held and not marked, its prices are on another stream: %s", ", ".join(others))
    pairs = frozenset(s for s in symbols if session.instruments[s].asset_class == AssetClass.CRYPTO)  # these have depth
    return Subscription(trades=symbols, quotes=symbols, books=pairs, statuses=symbols - pairs)
