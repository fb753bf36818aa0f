"""The live shell: the one place that owns the journal, the broker, the clocks and the timers of a running session."""

import asyncio
import contextlib
import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any

import numpy as np

from pyrt._core.types import Clock, RecordType, market_dtype, timer_dtype
from pyrt.clock import Now, VenueClock
from pyrt.errors import JournalError
from pyrt.journal import Journal
from pyrt.journal.projection import ProjectionFeed
from pyrt.journal.recorder import Recorder
from pyrt.live.timers import Timers
from pyrt.model import Alarmed, Fact, Message
from pyrt.ports import (
    Alarm,
    Broker,
    Cancel,
    ClockMeasured,
    Command,
    Event,
    Kill,
    Lookup,
    Outcome,
    Replace,
    SetTimer,
    Submit,
    SubmitResult,
    Sync,
    TakeSnapshot,
    Withdraw,
)
from pyrt.session import Session

log = logging.getLogger("pyrt")
_LEVELS = {"info": logging.INFO, "warning": logging.WARNING, "critical": logging.ERROR}
BARS_TIMER = "market.bars"


class LiveShell:
    """Performs what components command and feeds what happens back, one inbox entry at a time, on the loop's thread.

    A Submit or Replace waits until every fact appended before it is durable; the journal's own thread lets it go. Cancels and
    queries never wait.
    """

    def __init__(
        self, *, journal: Journal, clock: VenueClock, recorder: Recorder | None, projection: ProjectionFeed | None
    ) -> None:
        self.journal = journal
        self.clock = clock
        self.recorder = recorder
        self.projection = projection
        self.broker: Broker | None = None
        self.session: Session | None = None
        self.listeners: list[Callable[[Message], None]] = []
        self.watchers: list[Callable[[Event], None]] = []  # see each event before the session does
        self.on_failure: Callable[[str], None] = lambda text: None  # called once, when `failed` is set
        self.failed = ""  # why the session cannot go on
        self.seq = 0
        self._loop = asyncio.get_running_loop()
        self._timers = Timers()
        self._wake: asyncio.TimerHandle | None = None
        self.latencies: deque[int] = deque(maxlen=4096)  # ns from an inbox entry to the start of an order that it caused
        self._begun = 0  # monotonic ns at which the present inbox entry came
        self._causes: dict[int, int] = {}  # order number -> `_begun` of its cause, until it leaves
        self._held: deque[tuple[int, Submit | Replace]] = deque()
        self._holding = threading.Lock()
        self._appended = 0
        self._next_close = 0
        journal.on_durable(self._durable)

    def now(self) -> Now:
        """This instant on both clocks."""
        mono = time.monotonic_ns()
        return Now(self.clock.at(mono), mono)

    @property
    def appended(self) -> int:
        """Seq of the last fact appended."""
        return self._appended

    def venue_clock(self) -> VenueClock:
        """The present map from monotonic to venue time."""
        return self.clock

    # ------------------------------------------------------------------------------------------------ inbox
    def put(self, event: Event) -> None:
        """Sink for events; any thread."""
        with contextlib.suppress(RuntimeError):  # the loop has ended: nobody is left to hear it, recovery will ask again
            self._loop.call_soon_threadsafe(self.handle, event)

    def handle(self, event: Event) -> None:
        """One event through the session; loop thread only."""
        if self.session is None:
            return
        now = self.now()
        self._begun = now.mono
        if isinstance(event, ClockMeasured):
            self.clock = event.clock
        self.seq += 1
        if self.recorder is not None:
            self.recorder.event(event, now)
        for watcher in self.watchers:
            watcher(event)
        self.session.step(event, now)
        self._schedule()

    def handle_feed(self, records: np.ndarray[Any, Any], bars: np.ndarray[Any, Any]) -> None:
        """Sink of the data feed. The venue's own bars are not asked for: ours come from the trades."""
        self.handle_market(records)

    def handle_market(self, records: np.ndarray[Any, Any]) -> None:
        """Market records through the session, numbered in the inbox's order; loop thread only."""
        if self.session is None or not len(records):
            return
        now = self.now()
        self._begun = now.mono
        records["seq"] = np.arange(self.seq + 1, self.seq + 1 + len(records), dtype=np.uint64)
        self.seq += len(records)
        if self.recorder is not None:
            self.recorder.records(records, now)
        self.session.on_market(records, now)
        self._schedule()

    # ------------------------------------------------------------------------------------------------ Shell
    def append(self, fact: Fact, sync: Sync, now: Now) -> None:
        self._journal(fact, sync, now.venue)
        for listener in self.listeners:
            listener(fact)

    def _journal(self, fact: Fact, sync: Sync, ts: int) -> None:
        """A journal that has failed takes nothing more: what happens then is only known here, and at the venue."""
        if self.failed:
            return
        try:
            self._appended = self.journal.append(fact, sync, ts)
        except JournalError as e:
            self._fail(e)
            return
        if self.projection is not None:
            self.projection.offer(self._appended, fact)

    def perform(self, command: Command) -> None:
        broker = self.broker
        if broker is None:
            raise RuntimeError("a command before the broker was connected")
        if isinstance(command, Submit | Replace):
            self._hold(command)
        elif isinstance(command, Cancel):
            broker.cancel(command)
        elif isinstance(command, Withdraw):
            self._withdraw(command)
        elif isinstance(command, Lookup):
            broker.lookup(command)
        elif isinstance(command, TakeSnapshot):
            broker.snapshot(command)
        else:
            raise TypeError(f"the shell cannot perform {type(command).__name__}")

    def set_timer(self, command: SetTimer) -> None:
        self._timers.set(command)

    def tell(self, message: Message) -> None:
        for listener in self.listeners:
            listener(message)

    def alarm(self, alarm: Alarm) -> None:
        log.log(_LEVELS[alarm.severity], "%s: %s", alarm.code, alarm.text)
        now = self.now().venue
        fact = Alarmed(severity=alarm.severity, code=alarm.code, text=alarm.text, ts=now)
        if alarm.severity != "info":
            self._journal(fact, Sync.SOON, now)
        for listener in self.listeners:
            listener(fact)

    # ------------------------------------------------------------------------------------------------ durability
    def _hold(self, command: Submit | Replace) -> None:
        if self.failed:
            self._refuse(command, "the journal has failed")
            return
        self._causes[command.request.number] = self._begun
        with self._holding:
            if self._held or self.journal.durable < self._appended:
                self._held.append((self._appended, command))
                return
        self._send(command)

    def _withdraw(self, command: Withdraw) -> None:
        with self._holding:
            mine = [held for _, held in self._held if held.request.number == command.number]
            self._held = deque(entry for entry in self._held if entry[1] not in mine)
        for held in mine:
            self._refuse(held, "withdrawn")
        if not mine and self.broker is not None:
            self.broker.withdraw(command)

    def _refuse(self, command: Submit | Replace, text: str) -> None:
        number, attempt = command.request.number, command.attempt
        self._causes.pop(number, None)
        self.put(SubmitResult(number=number, attempt=attempt, outcome=Outcome.NOT_SENT, text=text))

    def _durable(self, seq: int, error: BaseException | None) -> None:
        """Called by the journal's thread: everything up to `seq` is on stable storage, or the journal has failed."""
        if error is not None:
            with contextlib.suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._fail, error)
            return
        with self._holding:
            while self._held and self._held[0][0] <= seq:
                self._send(self._held.popleft()[1])

    def _send(self, command: Submit | Replace) -> None:
        assert self.broker is not None
        if begun := self._causes.pop(command.request.number, 0):
            self.latencies.append(time.monotonic_ns() - begun)
        if isinstance(command, Submit):
            self.broker.submit(command)
        else:
            self.broker.replace(command)

    def _fail(self, error: BaseException) -> None:
        """No order leaves any more: what was not durable is not sent, what works is cancelled."""
        if self.failed:
            return
        self.failed = str(error)
        with self._holding:
            held, self._held = self._held, deque()
        for _, command in held:
            self._refuse(command, "the journal has failed")
        log.error("JOURNAL: %s; no further order is sent, what works is cancelled", error)
        self.put(Kill(level="HALTED", scope="system", reason=self.failed, who="journal"))
        self.on_failure(self.failed)

    # ------------------------------------------------------------------------------------------------ timers
    def _schedule(self) -> None:
        """Ask the loop to wake for the timer that is due first."""
        assert self.session is not None
        close = self.session.market.pipeline.next_close
        if close != self._next_close:
            self._next_close = close
            self._timers.set(SetTimer(key=BARS_TIMER, at=close, clock=Clock.VENUE))
        venue, mono = self._timers.next(Clock.VENUE), self._timers.next(Clock.MONO)
        due = [at for at in (None if venue is None else self.clock.mono_at(venue), mono) if at is not None]
        if self._wake is not None:
            self._wake.cancel()
            self._wake = None
        if due:
            self._wake = self._loop.call_at(min(due) / 1e9, self._fire)

    def _fire(self) -> None:
        self._wake = None
        fired = 0
        while fired < 1000 and (timer := self._timers.pop(self.now())) is not None:
            fired += 1
            if timer.key == BARS_TIMER:
                self._next_close = 0
                record = np.zeros(1, timer_dtype)
                record["type"] = RecordType.TIMER
                record["ts_event"] = record["ts_recv"] = record["at"] = timer.at
                record["clock"] = Clock.VENUE
                self.handle_market(record.view(market_dtype))
            else:
                self.handle(timer)
        self._schedule()

    def close(self) -> None:
        """Stop waking; the owner closes broker and journal."""
        if self._wake is not None:
            self._wake.cancel()
        self.session = None
