"""The live shell: what may leave and when, time, and what happens when something breaks."""

import asyncio
import threading
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
import numpy as np
import pytest
from tests.reference.room import ACCOUNT, PX, QTY, SECOND, Room

from pyrt._core.types import Clock, RecordType, market_dtype, quote_dtype, trade_dtype
from pyrt.clock import Now, VenueClock
from pyrt.errors import JournalDamaged, JournalError
from pyrt.journal import codec
from pyrt.live.shell import LiveShell
from pyrt.model import Alarmed, Intended, Latched, OrderStatus
from pyrt.ports import (
    Alarm,
    Cancel,
    CancelResult,
    ClockMeasured,
    Kill,
    Lookup,
    QueryFailed,
    Recall,
    Remembered,
    Replace,
    SetTimer,
    Start,
    Stop,
    StreamState,
    Submit,
    Sync,
    TakeSnapshot,
    TimerFired,
    VenueSnapshot,
)
from pyrt.strategies import Order, Strategy


class BlockedJournal:
    """A journal whose sync happens when the test says so."""

    def __init__(self) -> None:
        self.id = "k3v9q2xa"
        self.facts: list[tuple[Any, Sync]] = []
        self.durable = 0
        self.broken: JournalError | None = None
        self._callbacks: list[Any] = []

    def append(self, fact: Any, sync: Sync, ts: int) -> int:
        if self.broken is not None:
            raise self.broken
        self.facts.append((fact, sync))
        return len(self.facts)

    def append_record(self, kind: int, payload: bytes, sync: Sync, ts: int) -> int:
        return self.append(codec.decode(kind, codec.VERSION, payload), sync, ts)

    def on_durable(self, callback: Any) -> None:
        self._callbacks.append(callback)

    def sync(self, upto: int = 0) -> None:
        """On another thread, as the journal does it."""
        self.durable = upto or len(self.facts)
        self._tell(None)

    def fail(self) -> None:
        self.broken = JournalError("the journal has failed: no space", mend="make room")
        self._tell(self.broken)

    def _tell(self, error: JournalError | None) -> None:
        thread = threading.Thread(target=lambda: [c(self.durable, error) for c in self._callbacks])
        thread.start()
        thread.join()


class Recording:
    """A broker that only remembers."""

    def __init__(self) -> None:
        self.sent: list[Any] = []

    def _take(self, command: Any) -> None:
        self.sent.append(command)

    submit = replace = cancel = lookup = snapshot = _take

    def take(self, kind: type) -> list[Any]:
        found = [c for c in self.sent if isinstance(c, kind)]
        self.sent = [c for c in self.sent if not isinstance(c, kind)]
        return found

    def close(self) -> None: ...


class Buyer(Strategy):
    symbols = ("AAPL",)

    def on_start(self) -> None:
        self.log: list[Any] = []

    def on_timer(self, name: str) -> None:
        self.log.append((name, self.now))

    def on_order(self, order: Order) -> None:
        self.log.append(order.status)


class Live:
    """A session in a live shell on a running loop."""

    def __init__(self, strategy: Strategy, *, rate: float = 1.0) -> None:
        self.journal = BlockedJournal()
        self.broker = Recording()
        self.failures: list[str] = []
        clock = VenueClock(epoch=1_800_000_000 * SECOND, origin=0, rate=rate)
        self.shell = LiveShell(journal=self.journal, clock=clock, recorder=None, projection=None)  # type: ignore[arg-type]
        self.shell.on_failure = self.failures.append
        self.room = Room(strategy, start=False, shell=lambda: self.shell)
        self.session = self.room.session
        self.shell.session = self.session
        self.shell.broker = self.broker

    def start(self) -> None:
        self.shell.handle(Start(epoch=1))
        self.shell.handle(StreamState(stream="trading", up=True))
        [query] = self.broker.take(TakeSnapshot)
        now = self.shell.now().venue
        whole = {"begun": now, "since": query.since, "account": ACCOUNT, "positions": (), "orders": (), "fills": ()}
        self.shell.handle(VenueSnapshot(query=query.query, **whole))
        assert self.session.execution.recovered
        self.shell.call(self.session.start)
        self.quote()
        self.journal.sync()

    def quote(self) -> None:
        record = np.zeros(1, quote_dtype)
        record["type"], record["instrument"] = RecordType.QUOTE, 1
        record["ts_event"] = self.shell.now().venue
        record["bid_px"], record["ask_px"] = 99 * PX, 101 * PX
        record["bid_qty"] = record["ask_qty"] = 100 * QTY
        self.shell.handle_market(record.view(market_dtype))

    def trade(self, ts: int) -> None:
        record = np.zeros(1, trade_dtype)
        record["type"], record["instrument"], record["ts_event"] = RecordType.TRADE, 1, ts
        record["px"], record["qty"] = 100 * PX, QTY
        self.shell.handle_market(record.view(market_dtype))


def on_loop(body: Callable[[], Awaitable[None]]) -> None:
    asyncio.run(asyncio.wait_for(body(), 60))  # type: ignore[arg-type]


async def until(condition: Callable[[], object]) -> None:
    while not condition():
        await asyncio.sleep(0.005)


# ---------------------------------------------------------------------------------------------------- durability
@pytest.mark.row("S107")
def test_a_submit_waits_until_its_intent_is_durable() -> None:
    async def body() -> None:
        s = Buyer()
        live = Live(s)
        live.start()
        s.buy("AAPL", 1, limit=90)
        live.quote()
        s.buy("AAPL", 2, limit=90)
        live.quote()
        assert live.broker.take(Submit) == []
        first = next(i for i, (f, _) in enumerate(live.journal.facts, 1) if isinstance(f, Intended))
        live.journal.sync(first - 1)
        assert live.broker.take(Submit) == []
        live.journal.sync(first)
        assert [c.request.number for c in live.broker.take(Submit)] == [1]
        live.journal.sync()
        assert [c.request.number for c in live.broker.take(Submit)] == [2]

    on_loop(body)


@pytest.mark.parametrize("sent_before", [0, 2])
def test_a_fact_that_is_not_the_record_which_went_before_it_ends_the_session_and_nothing_leaves(sent_before: int) -> None:
    """The fast lane journals an order before there is a fact; what then comes must be that fact, to the byte."""

    async def body() -> None:
        s = Buyer()
        live = Live(s)
        live.start()
        for _ in range(sent_before + 1):
            s.buy("AAPL", 1, limit=90)
            live.quote()
        live.journal.sync()
        assert len(live.broker.take(Submit)) == sent_before + 1
        told = next(f for f, _ in live.journal.facts if isinstance(f, Intended))
        record = codec.encode(msgspec.structs.replace(told, number=99))[1]
        live.shell.intend(99, record, b"{}", live.shell.now())
        known = len(live.journal.facts)
        assert not live.shell.failed
        s.buy("AAPL", 3, limit=90)
        live.quote()
        assert "a fault inside pyrt: RuntimeError" in live.shell.failed
        live.journal.sync()
        assert live.broker.take(Submit) == []
        assert not [f for f, _ in live.journal.facts[known:] if isinstance(f, Intended)]

    on_loop(body)


def test_a_submit_does_not_wait_for_what_need_not_be_durable_before_it() -> None:
    async def body() -> None:
        s = Buyer()
        live = Live(s)
        live.start()
        s.buy("AAPL", 1, limit=90)
        live.quote()
        durable = len(live.journal.facts)
        live.shell.alarm(Alarm(severity="warning", code="X", text="after it"))
        live.journal.sync(durable)
        assert len(live.broker.take(Submit)) == 1

    on_loop(body)


def test_a_journal_that_does_not_give_back_an_order_halts_and_a_fault_of_ours_ends_the_session() -> None:
    async def body() -> None:
        live = Live(Buyer())
        live.start()
        error: Exception = JournalDamaged("the archived segment does not unpack", where="00000001.journal.gz")

        def read(command: Recall) -> Remembered:
            raise error

        live.shell._read = read  # type: ignore[method-assign]
        live.shell.perform(Recall(number=7, venue_order_id=""))
        await until(lambda: any(isinstance(f, Latched) for f, _ in live.journal.facts))
        [latched] = [f for f, _ in live.journal.facts if isinstance(f, Latched)]
        assert (latched.scope, latched.level) == ("system", "HALTED")
        assert "00000001.journal.gz" in latched.reason
        assert not live.failures
        error = KeyError("a fault of ours")
        live.shell.perform(Recall(number=8, venue_order_id=""))
        await until(lambda: live.failures)

    on_loop(body)


def test_cancels_lookups_and_snapshots_never_wait() -> None:
    async def body() -> None:
        live = Live(Buyer())
        live.start()
        live.shell.append(live.journal.facts[0][0], Sync.BEFORE_ACT, live.shell.now())
        for command in (
            Cancel(number=1, venue_order_id="v", symbol="AAPL"),
            Lookup(number=1, cid="c"),
            TakeSnapshot(query=9, since=0),
        ):
            live.shell.perform(command)
            assert live.broker.take(type(command)) == [command]
        with pytest.raises(TypeError):
            live.shell.perform(object())  # type: ignore[arg-type]

    on_loop(body)


@pytest.mark.row("S108")
def test_a_journal_that_fails_sends_nothing_more_cancels_and_ends_the_session() -> None:
    async def body() -> None:
        s = Buyer()
        live = Live(s)
        live.start()
        working = s.buy("AAPL", 1, limit=90)
        live.quote()
        live.journal.sync()
        [submit] = live.broker.take(Submit)
        live.room.shell = live.shell
        accept(live, submit)
        held = s.buy("AAPL", 2, limit=90)
        live.quote()
        live.journal.fail()
        await until(lambda: live.failures)
        await until(lambda: held.is_done)
        assert live.broker.take(Submit) == []
        assert held.status is OrderStatus.CANCELED_LOCAL
        assert [c.venue_order_id for c in live.broker.take(Cancel)] == ["v1"]
        assert working.status is OrderStatus.PENDING_CANCEL
        assert live.shell.failed == "the journal has failed: no space -- make room"
        assert live.failures == [live.shell.failed]
        late = s.buy("AAPL", 3, limit=90)
        live.quote()
        assert late.is_refused
        live.shell.handle(CancelResult(number=1, venue_order_id="v1", accepted=True, http=204))

    on_loop(body)


def test_an_append_that_raises_on_the_loop_does_the_same() -> None:
    async def body() -> None:
        s = Buyer()
        live = Live(s)
        live.start()
        live.journal.broken = JournalError("the ring is full")
        order = s.buy("AAPL", 2, limit=90)
        live.quote()
        await until(lambda: order.is_done)
        assert live.broker.take(Submit) == live.broker.take(Replace) == []
        assert live.failures == ["the ring is full"]

    on_loop(body)


def accept(live: Live, submit: Submit) -> None:
    from pyrt.ports import Outcome, SubmitResult, VenueOrder

    request = submit.request
    order = VenueOrder(
        id=f"v{request.number}",
        cid=request.cid,
        symbol=request.symbol,
        side=request.side,
        type="limit",
        tif="day",
        qty=request.qty,
        filled_qty="0",
        limit_price=request.limit_price,
        status="new",
        created_at=live.shell.now().venue,
    )
    live.shell.handle(SubmitResult(number=request.number, attempt=submit.attempt, outcome=Outcome.ACCEPTED, order=order, http=200))


# ---------------------------------------------------------------------------------------------------- failures of others
@pytest.mark.parametrize(
    ("event", "says"),
    [
        (StreamState(stream="data", up=False, text="402 auth failed", final=True), "the data stream is refused: 402 auth failed"),
        (StreamState(stream="trading", up=False, text="HTTP 401", final=True), "the trading stream is refused: HTTP 401"),
        (QueryFailed(query=1, text="403 forbidden", final=True), "the venue refuses our queries: 403 forbidden"),
    ],
)
def test_a_final_refusal_ends_the_session(event: Any, says: str) -> None:
    async def body() -> None:
        live = Live(Buyer())
        live.start()
        live.shell.handle(event)
        live.shell.handle(event)
        assert live.failures == [says]
        assert live.shell.failed == says

    on_loop(body)


def test_an_outage_or_a_refused_symbol_is_told_and_ends_nothing(caplog: pytest.LogCaptureFixture) -> None:
    async def body() -> None:
        live = Live(Buyer())
        live.start()
        live.shell.handle(StreamState(stream="data", up=False, text="cut"))
        assert not live.shell.states["data"].up
        live.shell.handle(StreamState(stream="data", up=True, text="405 symbol limit exceeded"))
        assert not live.failures

    on_loop(body)
    assert "405 symbol limit exceeded" in caplog.text


def test_a_fault_of_ours_ends_the_session_in_order(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    async def body() -> None:
        live = Live(Buyer())
        live.start()
        monkeypatch.setattr(live.session.market, "sequence", lambda records: 1 / 0)
        live.quote()
        assert live.failures == ["a fault inside pyrt: ZeroDivisionError: division by zero"]
        live.quote()  # and it still answers
        assert len(live.failures) == 1

    on_loop(body)
    assert caplog.text.count("Traceback") == 1


def test_a_fault_behind_a_decided_order_leaves_latches_cancels_and_the_end() -> None:
    """The lane decided, and no fact of it came: no order leaves any more, and everything else is kept and done."""

    async def body() -> None:
        s = Buyer()
        live = Live(s)
        live.start()
        s.buy("AAPL", 1, limit=90)
        live.quote()
        live.journal.sync()
        [working] = live.broker.take(Submit)
        accept(live, working)
        told = next(f for f, _ in live.journal.facts if isinstance(f, Intended))
        live.shell.intend(99, codec.encode(msgspec.structs.replace(told, number=99))[1], b"{}", live.shell.now())
        live.shell.handle(Kill(level="KILLED", scope="system", reason="now", who="somebody"))
        assert live.failures == ["a fault inside pyrt: RuntimeError: an order was decided, and this Latched followed"]
        [latched] = [f for f, _ in live.journal.facts if isinstance(f, Latched)]
        assert latched.level == "KILLED"
        assert [c.number for c in live.broker.take(Cancel)] == [working.request.number]
        assert not live.session.running
        s.buy("AAPL", 2, limit=90)
        live.quote()
        live.shell.call(live.session.stop)
        live.shell.handle(Stop(reason="the end"))
        live.journal.sync()
        assert live.broker.take(Submit) == []
        assert len(live.failures) == 1

    on_loop(body)


def test_what_stop_raises_does_not_keep_the_session_from_ending(caplog: pytest.LogCaptureFixture) -> None:
    async def body() -> None:
        live = Live(Buyer())
        live.start()

        def broken(now: Now) -> None:
            raise ZeroDivisionError("a fault")

        live.shell.call(broken)
        assert live.failures == ["a fault inside pyrt: ZeroDivisionError: a fault"]

    on_loop(body)


def test_a_fault_on_the_journals_thread_ends_the_session_too_and_keeps_no_other_order_back() -> None:
    async def body() -> None:
        s = Buyer()
        live = Live(s)
        live.start()
        sends = live.broker.submit

        def submit(command: Submit) -> None:
            if command.request.number == 1:
                raise ZeroDivisionError("a fault")
            sends(command)

        live.broker.submit = submit  # type: ignore[method-assign]
        s.buy("AAPL", 1, limit=90)
        s.buy("AAPL", 2, limit=90)
        live.quote()
        live.journal.sync()
        await until(lambda: live.failures)
        assert live.failures == ["a fault inside pyrt: ZeroDivisionError: a fault"]
        assert live.shell.half_done
        assert [c.request.number for c in live.broker.take(Submit)] == [2]

    on_loop(body)


def test_a_listener_that_fails_costs_the_session_nothing(caplog: pytest.LogCaptureFixture) -> None:
    async def body() -> None:
        live = Live(Buyer())
        heard: list[Any] = []
        live.shell.listeners += [lambda message: 1 / 0, heard.append]  # type: ignore[list-item]
        live.start()
        assert heard
        assert not live.failures

    on_loop(body)
    assert "a listener failed" in caplog.text


def test_events_after_the_end_are_dropped() -> None:
    shells = []

    async def body() -> None:
        live = Live(Buyer())
        live.start()
        live.shell.close()
        live.shell.handle(StreamState(stream="data", up=False, final=True))
        live.quote()
        assert not live.failures
        shells.append(live.shell)

    on_loop(body)
    shells[0].put(StreamState(stream="data", up=True))  # the loop is closed: nobody is left to hear it


# ---------------------------------------------------------------------------------------------------- time
@pytest.mark.parametrize("rate", [1.0, 20.0, 0.5])
def test_timers_fire_on_both_clocks_at_any_rate_even_in_a_silent_market(rate: float) -> None:
    async def body() -> None:
        class Clocked(Buyer):
            def on_start(self) -> None:
                super().on_start()
                self.begun = self.now
                self.set_timer("later", 0.2 * rate)
                self.set_timer("soon", 0.1 * rate)
                self.set_timer("moved", 0.01 * rate)
                self.set_timer("moved", 0.15 * rate)
                self.set_timer("gone", 0.01 * rate)
                self.clear_timer("gone")

        s = Clocked()
        live = Live(s, rate=rate)
        live.start()
        await until(lambda: len(s.log) == 3)
        assert [name for name, _ in s.log] == ["soon", "moved", "later"]
        for (_, at), after in zip(s.log, (0.1, 0.15, 0.2), strict=True):
            assert at >= s.begun + int(after * rate * SECOND)

    on_loop(body)


def test_monotonic_timers_fire_in_order_with_those_of_the_venue() -> None:
    async def body() -> None:
        live = Live(Buyer())
        live.start()
        seen: list[str] = []
        live.session.step = lambda event, now: seen.append(event.key)  # type: ignore[method-assign]
        now = live.shell.now()
        for key, clock, at in (
            ("execution.b", Clock.MONO, now.mono + 60_000_000),
            ("execution.a", Clock.VENUE, now.venue + 20_000_000),
            ("execution.c", Clock.VENUE, now.venue + 90_000_000),
        ):
            live.shell.set_timer(SetTimer(key=key, at=at, clock=clock))
        live.shell._schedule()
        await until(lambda: len(seen) >= 3)
        assert [k for k in seen if k[-2:] in (".a", ".b", ".c")] == ["execution.a", "execution.b", "execution.c"]

    on_loop(body)


def test_bars_close_by_the_clock_without_another_trade_once_each() -> None:
    async def body() -> None:
        class Seconds(Buyer):
            interval = "1s"

            def on_bar(self, bar: Any) -> None:
                self.log.append((bar.start, bar.revision))

        s = Seconds()
        live = Live(s, rate=20.0)
        live.start()
        starts = []
        for _ in range(3):
            now = live.shell.now().venue
            live.trade(now)
            starts.append(now - now % SECOND)
            n = len(starts)
            await until(lambda n=n: len(s.log) >= n)  # type: ignore[misc]
        assert s.log == [(start, 0) for start in starts]
        assert live.session.market.pipeline.next_close == 0

    on_loop(body)


def test_a_measured_clock_is_used_and_time_never_goes_back() -> None:
    async def body() -> None:
        live = Live(Buyer())
        live.start()
        before = live.shell.now()
        doubtful = VenueClock(epoch=before.venue - 400 * 10**6, origin=before.mono)
        live.shell.handle(ClockMeasured(clock=doubtful, uncertainty=500 * 10**6))
        assert live.shell.clock is not doubtful
        slower = VenueClock(epoch=before.venue - 400 * 10**6, origin=before.mono)
        live.shell.handle(ClockMeasured(clock=slower, uncertainty=10**6))
        assert live.shell.clock is slower
        assert live.shell.venue_clock() is slower
        after = live.shell.now()
        assert after.venue >= before.venue
        assert after.mono > before.mono

    on_loop(body)


def test_a_step_of_the_clock_is_believed_from_the_second_measurement_on() -> None:
    async def body() -> None:
        live = Live(Buyer())
        live.start()

        def tell(ahead: int) -> None:
            now = live.shell.now()
            live.shell.handle(ClockMeasured(clock=VenueClock(epoch=true.at(now.mono) + ahead, origin=now.mono), uncertainty=10**6))

        true, hour = live.shell.clock, 3600 * SECOND
        tell(hour)  # one wrong answer, and the next is right
        assert live.shell.clock is true
        tell(0)
        tell(hour)
        assert live.shell.clock is true
        tell(-hour)  # each says something else
        assert live.shell.now().venue < true.at(live.shell.now().mono) + SECOND
        tell(-hour)  # twice: it is so
        assert live.shell.clock is not true
        assert live.shell.clock.at(0) < true.at(0) - hour + SECOND
        told = VenueClock(epoch=true.epoch + 9 * hour, origin=true.origin, rate=60.0)
        live.shell.handle(ClockMeasured(clock=told, uncertainty=10**6))
        assert live.shell.clock is told  # time that somebody makes goes as it likes

    on_loop(body)


def test_the_inbox_is_numbered_without_holes() -> None:
    async def body() -> None:
        live = Live(Buyer())
        numbers: list[int] = []
        live.start()
        on_market = live.session.on_market

        def spy(records: Any, now: Any) -> None:
            numbers.extend(records["seq"].tolist())
            on_market(records, now)

        live.session.on_market = spy  # type: ignore[method-assign]
        first = live.shell.seq
        live.quote()
        live.shell.handle(TimerFired(key="execution.none", at=1, clock=Clock.MONO))
        live.quote()
        assert numbers == [first + 1, first + 3]

    on_loop(body)


def test_a_latch_of_the_failed_journal_is_in_force() -> None:
    async def body() -> None:
        live = Live(Buyer())
        live.start()
        live.journal.fail()
        await until(lambda: live.failures)
        await until(lambda: "system" in live.session.risk.latches)
        assert live.session.risk.latches["system"].level == "HALTED"
        assert not [f for f, _ in live.journal.facts if isinstance(f, Latched)]

    on_loop(body)


def test_symbols_that_the_stream_leaves_out_are_alarmed_and_marked() -> None:
    async def body() -> None:
        live = Live(Buyer())
        live.start()
        for without in (("AAPL",), ("AAPL",), (), ("AAPL",)):
            live.shell.handle(StreamState(stream="data", up=True, without=without))
        alarms = [fact for fact, _ in live.journal.facts if isinstance(fact, Alarmed) and fact.code == "NO_DATA"]
        assert [(a.severity, "AAPL" in a.text) for a in alarms] == [("critical", True)] * 2

    on_loop(body)
