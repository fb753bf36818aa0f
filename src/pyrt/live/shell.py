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

from pyrt._core.inbox import Inbox
from pyrt._core.types import Clock, RecordType, market_dtype, timer_dtype
from pyrt.clock import Now, VenueClock
from pyrt.errors import JournalError, PyrtError
from pyrt.execution.recall import recall
from pyrt.journal import Journal, codec
from pyrt.journal.codec import Kind
from pyrt.journal.projection_feed import Offered
from pyrt.journal.recorder import Recorder
from pyrt.live.clock_steps import ClockSteps
from pyrt.live.latest import Latest
from pyrt.live.timers import Timers
from pyrt.market.told import Told
from pyrt.model import Alarmed, Fact, Intended, Message
from pyrt.ports import (
    Alarm,
    Broker,
    Cancel,
    CancelAll,
    ClockMeasured,
    Command,
    Event,
    Kill,
    Lookup,
    Outcome,
    QueryFailed,
    Recall,
    Remembered,
    Replace,
    SetTimer,
    StreamState,
    Submit,
    SubmitResult,
    Sync,
    TakeSnapshot,
    VenueSnapshot,
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

    def __init__(self, *, journal: Journal, clock: VenueClock, recorder: Recorder | None, projection: Offered | None) -> None:
        self.journal = journal
        self.inbox = Inbox(monotonic=time.monotonic_ns, on_due=self._due, on_close=self._schedule)  # of frames that need nobody
        self.clock = clock
        self.recorder = recorder
        self.projection = projection
        self.broker: Broker | None = None
        self.session: Session | None = None
        self.listeners: list[Callable[[Message], None]] = []
        self.watchers: list[Callable[[Event], None]] = []  # see each event before the session does
        self.on_failure: Callable[[str], None] = lambda text: None  # called once, when `failed` is set
        self.on_unjournaled: Callable[[str], None] = lambda text: None  # called once, when the journal failed
        self.failed = ""  # why the session cannot go on
        self.half_done = False  # a fault of ours may have left components without a fact that the journal has
        self.steps = ClockSteps()
        self.refused = False  # the venue answers nothing any more: there is no use in waiting for it
        self.states: dict[str, StreamState] = {}  # what each stream said last
        self.rose: dict[str, int] = {}  # venue ns at which each stream last came up
        self.trades: Told | None = Told()  # until the warm-up is over
        self.known_from = 0  # venue ns: trades before it are the warm-up's
        self.screen: Callable[[np.ndarray[Any, Any]], np.ndarray[Any, Any]] = lambda records: records  # what of the feed is news
        self.heard: Callable[[np.ndarray[Any, Any]], None] = lambda records: None  # told of what was fed, after the session
        self.query = ""  # why the last query of the venue failed; "" = it did not
        self._loop = asyncio.get_running_loop()
        self._timers = Timers()
        self._wake: asyncio.TimerHandle | None = None
        self._wake_at = 0  # monotonic ns
        self._closed = False
        self._unjournaled = False  # the journal failed: what happens then is only known here, and at the venue
        self.latencies = Latest(4096)  # ns from an inbox entry to the start of an order that it caused
        self._causes: dict[int, int] = {}  # order number -> when its cause came, until it leaves
        self._held: deque[tuple[int, Submit | Replace]] = deque()
        self._holding = threading.Lock()
        self._recalls: set[asyncio.Task[None]] = set()  # readings of the journal under way
        self._appended = 0
        self._ahead = b""  # the record of an order that is in the journal, and whose fact is to come
        self._barrier = 0  # the last fact that must be durable before an order leaves
        self._next_close = 0
        journal.on_durable(self._durable)

    def now(self) -> Now:
        """This instant on both clocks. Venue time never goes back: a clock that was ahead waits until it is not."""
        mono = time.monotonic_ns()
        return Now(self.inbox.show(mono), mono)

    @property
    def seq(self) -> int:
        """Number of the inbox's last entry."""
        return self.inbox.seq

    @property
    def clock(self) -> VenueClock:
        """The present map from monotonic to venue time."""
        return self._clock

    @clock.setter
    def clock(self, clock: VenueClock) -> None:
        self._clock = clock
        self.inbox.clock(clock.epoch, clock.origin, clock.rate)

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

    def handle(self, event: Event, now: Now | None = None) -> None:
        """One event through the session, at this instant unless told; loop thread only."""
        if self.session is None:
            return
        now = now or self.now()
        self.inbox.begun = now.mono
        self._look(event, now)
        self.inbox.seq += 1
        if self.recorder is not None:
            self.recorder.event(event, now)
        for watcher in self.watchers:
            watcher(event)
        try:
            self.session.step(event, now)
        except Exception as e:
            self._broken(e)
        self._schedule()

    def call(self, verb: Callable[[Now], None], now: Now | None = None) -> None:
        """Session.start or stop, at this instant."""
        try:
            verb(now or self.now())
        except Exception as e:
            self._broken(e)
        self._schedule()

    def _look(self, event: Event, now: Now) -> None:
        """What the shell itself takes from an event on its way in."""
        if isinstance(event, ClockMeasured):
            if self.steps.takes(event, self.clock, now):
                self.clock = event.clock
        elif isinstance(event, StreamState):
            before = self.states.get(event.stream)
            self.states[event.stream] = event
            if event.without != (before.without if before is not None else ()):
                self._tell_without(event)
            if event.up and (before is None or not before.up):
                self.rose[event.stream] = now.venue
            if event.final:
                self.fail(f"the {event.stream} stream is refused: {event.text}")
            elif event.up and event.text:
                log.warning("%s stream: %s", event.stream, event.text)
            elif event.up and before is not None and not before.up:
                log.info("the %s stream is back", event.stream)
        elif isinstance(event, QueryFailed):
            self.query = event.text
            if event.final:
                self.refused = True
                self.fail(f"the venue refuses our queries: {event.text}")
        elif isinstance(event, VenueSnapshot):
            self.query = ""

    def _tell_without(self, state: StreamState) -> None:
        if state.without:
            text = f"the {state.stream} stream does not tell all that is wanted of {', '.join(state.without)}"
            self.alarm(Alarm(severity="critical", code="NO_DATA", text=f"{text}: entries in what is stale are refused"))

    def handle_feed(self, records: np.ndarray[Any, Any], bars: np.ndarray[Any, Any]) -> None:
        """Sink of the data feed. The venue's own bars are not asked for: ours come from the trades."""
        records = self.screen(records)
        self.handle_market(records)
        self.heard(records)
        if not self.inbox.open and self.trades is None and self.session is not None:
            self._open_inbox(self.session)

    def _open_inbox(self, session: Session) -> None:
        """From now on frames are taken in natively."""
        entries = self.recorder.queue if self.recorder is not None else None
        self.inbox.connect(session.market.pipeline, session.counts, entries, sequenced=session.market.has_depth)
        dispatch = session.compiled.dispatch if session.compiled is not None else None
        self.inbox.give_to(session, instant=Now, on_fault=self._broken, dispatch=dispatch)
        self.inbox.open = True

    def _due(self, records: np.ndarray[Any, Any], at: int, venue: int, mono: int) -> None:
        """A frame that the inbox took in, numbered and recorded, from the first record on that is due a callback."""
        if self.session is None:
            return
        self.inbox.begun = mono
        try:
            self.session.resume(records, at, Now(venue, mono))
        except Exception as e:
            self._broken(e)
        self._schedule()

    def handle_market(self, records: np.ndarray[Any, Any]) -> None:
        """Market records through the session, numbered in the inbox's order; loop thread only."""
        if self.session is None or not len(records):
            return
        now = self.now()
        self.inbox.begun = now.mono
        records["seq"] = np.arange(self.seq + 1, self.seq + 1 + len(records), dtype=np.uint64)
        self.inbox.seq += len(records)
        if self.recorder is not None:
            self.recorder.records(records, now)
        if self.trades is not None:
            self.trades.add(records)
        try:
            self.session.on_market(records, now)
        except Exception as e:
            self._broken(e)
        self._schedule()

    def close_bars(self, at: int) -> None:
        """A TIMER record into the inbox: bars that end at or before `at`, grace included, are published."""
        record = np.zeros(1, timer_dtype)
        record["type"] = RecordType.TIMER
        record["ts_event"] = record["ts_recv"] = record["at"] = at
        record["clock"] = Clock.VENUE
        self.handle_market(record.view(market_dtype))

    def backfill(self, trades: np.ndarray[Any, Any]) -> None:
        """Trades from before the stream came up into the inbox, without those that the stream told too."""
        records = (trades if self.trades is None else self.trades.untold(trades)).view(market_dtype)
        self.handle_market(records)
        self.heard(records)

    # ------------------------------------------------------------------------------------------------ Shell
    def append(self, fact: Fact, sync: Sync, now: Now) -> None:
        if self._journal(fact, sync, now.venue) and sync is Sync.BEFORE_ACT:
            self._barrier = self._appended
        self.tell(fact)

    def intend(self, number: int, record: bytes, body: bytes, now: Now) -> None:
        """Journal an order's Intended before there is a fact of it: its sync begins while the fact is made."""
        if self._ahead:
            raise RuntimeError("an order was decided, and no fact followed")
        if self._unjournaled:
            return
        try:
            self._appended = self.journal.append_record(Kind.INTENDED, record, Sync.BEFORE_ACT, now.venue)
        except JournalError as e:
            self._fail(e)
            return
        self._ahead = record
        prepare = getattr(self.broker, "prepare", None)  # not every broker keeps bodies
        if prepare is not None:
            prepare(number, body)

    def _journal(self, fact: Fact, sync: Sync, ts: int) -> bool:
        if self._unjournaled:
            return False
        if self._ahead and isinstance(fact, Intended):
            if codec.encode(fact) != (Kind.INTENDED, self._ahead):
                raise RuntimeError(f"the journal has another record than this {type(fact).__name__}")
            self._ahead = b""
        else:
            if self._ahead:  # no order leaves any more, but what else is true is kept: latches, cancels, fills
                self._broken(RuntimeError(f"an order was decided, and this {type(fact).__name__} followed"))
            try:
                self._appended = self.journal.append(fact, sync, ts)
            except JournalError as e:
                self._fail(e)
                return False
        if self.projection is not None:
            self.projection.offer(self._appended, fact)
        return True

    def perform(self, command: Command) -> None:
        broker = self.broker
        if broker is None:
            raise RuntimeError("a command before the broker was connected")
        if isinstance(command, Submit | Replace):
            self._hold(command)
        elif isinstance(command, Cancel):
            broker.cancel(command)
        elif isinstance(command, CancelAll):
            broker.cancel_all(command)
        elif isinstance(command, Withdraw):
            self._withdraw(command)
        elif isinstance(command, Lookup):
            broker.lookup(command)
        elif isinstance(command, TakeSnapshot):
            broker.snapshot(command)
        elif isinstance(command, Recall):
            self._recalls.add(task := self._loop.create_task(self._recall(command)))
            task.add_done_callback(self._recalls.discard)
        else:
            raise TypeError(f"the shell cannot perform {type(command).__name__}")
        if self.recorder is not None and self.session is not None:
            self.recorder.command(command, self.session.now)

    async def _recall(self, command: Recall) -> None:
        """Read the journal in a thread. That it cannot be read is an answer too, which closes the latch of the system."""
        try:
            answer = await asyncio.to_thread(self._read, command)
        except (OSError, PyrtError) as e:
            log.error("order %d cannot be read from the journal: %s", command.number, e)
            answer = Remembered(number=command.number, venue_order_id=command.venue_order_id, unread=str(e))
        except Exception as e:
            self._broken(e)
            return
        self.handle(answer)

    def _read(self, command: Recall) -> Remembered:
        last = self.journal.sync()
        return recall(lambda after: (fact for _, fact in self.journal.facts(after)), last, command)

    def set_timer(self, command: SetTimer) -> None:
        self._timers.set(command)

    def tell(self, message: Message) -> None:
        for listener in self.listeners:
            try:
                listener(message)
            except Exception:  # who only listens must not end a session
                log.exception("a listener failed at %s", type(message).__name__)

    def alarm(self, alarm: Alarm) -> None:
        log.log(_LEVELS.get(alarm.severity, logging.ERROR), "%s: %s", alarm.code, alarm.text)
        now = self.now().venue if self.session is None else max(self.session.now.venue, self.inbox.venue)
        fact = Alarmed(severity=alarm.severity, code=alarm.code, text=alarm.text, ts=now)
        if alarm.severity != "info":
            self._journal(fact, Sync.SOON, now)
        self.tell(fact)

    # ------------------------------------------------------------------------------------------------ failure
    def fail(self, text: str) -> None:
        """The session cannot go on: it ends in order, with this as its reason. The first reason stays."""
        if self.failed:
            return
        self.failed = text
        log.error("%s; the session ends", text)
        self.on_failure(text)

    def _broken(self, e: Exception) -> None:
        """A fault of ours. What the components hold may be half done, so nothing new is begun; the next start recovers."""
        self.half_done = True
        if self.session is not None:
            self.session.running = False
        if not self.failed:
            log.error("a fault inside pyrt", exc_info=e)
        self.fail(f"a fault inside pyrt: {type(e).__name__}: {e}")

    # ------------------------------------------------------------------------------------------------ durability
    def _hold(self, command: Submit | Replace) -> None:
        if self._unjournaled:
            self._refuse(command, "the journal has failed")
            return
        self._causes[command.request.number] = self.inbox.begun
        with self._holding:
            if self._held or self.journal.durable < self._barrier:
                self._held.append((self._barrier, command))
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
                try:
                    self._send(self._held.popleft()[1])
                except Exception as e:  # nobody is above us here: without a word it would stay an intent for ever
                    self._loop.call_soon_threadsafe(self._broken, e)

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
        if self._unjournaled or self._closed:
            return
        self._unjournaled = True
        self.on_unjournaled(str(error))
        with self._holding:
            held, self._held = self._held, deque()
        for _, command in held:
            self._refuse(command, "the journal has failed")
        self.put(Kill(level="HALTED", scope="system", reason=str(error), who="journal"))
        self.fail(str(error))

    # ------------------------------------------------------------------------------------------------ timers
    def _schedule(self) -> None:
        """Ask the loop to wake for the timer that is due first."""
        if self.session is None:
            return
        close = self.session.market.pipeline.next_close
        if close != self._next_close:
            self._next_close = close
            self._timers.set(SetTimer(key=BARS_TIMER, at=close, clock=Clock.VENUE))
        venue, mono = self._timers.next(Clock.VENUE), self._timers.next(Clock.MONO)
        at = 0 if mono is None else mono
        if venue is not None and ((due := self.clock.mono_at(venue)) < at or not at):
            at = max(due, 1)
        if at != self._wake_at:
            if self._wake is not None:
                self._wake.cancel()
            self._wake_at = at
            self._wake = self._loop.call_at(at / 1e9, self._fire) if at else None

    def _fire(self) -> None:
        self._wake, self._wake_at = None, 0
        fired = 0
        while fired < 1000 and (timer := self._timers.pop(self.now())) is not None:
            fired += 1
            if timer.key == BARS_TIMER:
                self._next_close = 0
                self.close_bars(timer.at)
            else:
                self.handle(timer)
        self._schedule()

    def close(self) -> None:
        """Stop waking; the owner closes broker and journal, and tells where that one could not keep its last records."""
        self._closed = True
        if self._wake is not None:
            self._wake.cancel()
        self.inbox.open = False
        self.session = None
