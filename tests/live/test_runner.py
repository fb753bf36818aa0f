"""One live session from start to end against a venue played in the process; every way it can end."""

import asyncio
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from tests.reference.room import ACCOUNT, LOOSE, PX, QTY, SECOND

from pyrt._core.types import RecordType, bar_dtype, market_dtype, quote_dtype, trade_dtype
from pyrt.clock import VenueClock
from pyrt.errors import JournalBusy, NotConnected
from pyrt.execution import Settings, past
from pyrt.journal import Journal, inspect
from pyrt.journal.snapshots import newest_first
from pyrt.live import Plan, Runner, Summary, keeper, runner
from pyrt.live.recovery import check
from pyrt.live.state import hash_of
from pyrt.model import BaselineSet, Instrument
from pyrt.ports import (
    CancelResult,
    ClockMeasured,
    Outcome,
    QueryFailed,
    StreamState,
    SubmitResult,
    Sync,
    TradeUpdate,
    VenueOrder,
    VenuePosition,
    VenueSnapshot,
)
from pyrt.strategies import Order, Strategy


class Stream:
    """Runs until it is closed or told to end."""

    def __init__(self, sink: Any, name: str, *, up: bool = True) -> None:
        self.sink, self.name, self.up = sink, name, up
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.wanted: Any = None

    def want(self, subscription: Any) -> None:
        self.wanted = subscription

    async def run(self) -> None:
        self.sink(StreamState(stream=self.name, up=self.up, text="" if self.up else "refused by nobody"))
        await self.ended

    async def close(self) -> None:
        if not self.ended.done():
            self.ended.set_result(None)

    def refuse(self, text: str) -> None:
        self.sink(StreamState(stream=self.name, up=False, text=text, final=True))
        self.ended.set_result(None)


class Broker:
    """Accepts every order and cancels every one."""

    def __init__(self, link: "Link", sink: Any) -> None:
        self.link, self.sink = link, sink
        self.orders: dict[int, VenueOrder] = link.orders

    def snapshot(self, command: Any) -> None:
        if self.link.down:
            self.sink(QueryFailed(query=command.query, text=self.link.down, final=self.link.final))
            return
        whole = {"account": ACCOUNT, "positions": self.link.positions, "fills": (), "orders": tuple(self.orders.values())}
        self.sink(VenueSnapshot(query=command.query, begun=self.link.now(), since=command.since, **whole))

    def submit(self, command: Any) -> None:
        r = command.request
        order = VenueOrder(
            id=f"v{r.number}",
            cid=r.cid,
            symbol=r.symbol,
            side=r.side,
            type=r.type.name.lower(),
            tif="day",
            qty=r.qty,
            filled_qty="0",
            limit_price=r.limit_price,
            status="new",
            created_at=self.link.now(),
            updated_at=self.link.now(),
        )
        self.orders[r.number] = order
        self.sink(SubmitResult(number=r.number, attempt=command.attempt, outcome=Outcome.ACCEPTED, order=order, http=200))

    def cancel(self, command: Any) -> None:
        self.link.cancelled.append(command.number)
        self.sink(CancelResult(number=command.number, venue_order_id=command.venue_order_id, accepted=True, http=204))
        if self.link.deaf:
            return
        order = self.orders[command.number] = msgspec.structs.replace(
            self.orders[command.number], status="canceled", updated_at=self.link.now()
        )
        self.sink(TradeUpdate(event="canceled", order=order, ts=self.link.now()))

    def lookup(self, command: Any) -> None: ...

    def replace(self, command: Any) -> None: ...

    def withdraw(self, command: Any) -> None: ...

    def close(self) -> None:
        self.link.closed = True


class Link:
    """A venue in this process."""

    name, account_id = "sim", "a"

    def __init__(self) -> None:
        self.clock = VenueClock(epoch=1_800_000_000 * SECOND, origin=time.monotonic_ns())
        self.orders: dict[int, VenueOrder] = {}
        self.positions: tuple[VenuePosition, ...] = ()
        self.cancelled: list[int] = []
        self.closed = self.final = self.deaf = False
        self.down = ""
        self.measured = 0
        self.history: Callable[[], np.ndarray[Any, Any]] = lambda: np.empty(0, bar_dtype)
        self.streams: dict[str, Stream] = {}

    def now(self) -> int:
        return self.clock.at(time.monotonic_ns())

    def measure(self) -> ClockMeasured:
        self.measured += 1
        if self.measured == 1:
            raise NotConnected("the venue's clock was not read")
        return ClockMeasured(clock=VenueClock(epoch=self.now() + SECOND, origin=time.monotonic_ns()), uncertainty=0)

    def instruments(self, symbols: Any, first_id: int) -> list[Instrument]:
        return [Instrument(id=first_id + i, symbol=s) for i, s in enumerate(symbols)]

    def feed(self, instruments: Any, *, sink: Any, events: Any, clock: Any, symbols: Any, inbox: Any) -> Stream:
        self.sink = sink
        self.streams["data"] = Stream(events, "data")
        return self.streams["data"]

    def stream(self, sink: Any) -> Stream:
        self.streams["trading"] = Stream(sink, "trading", up=not self.down or self.final)
        return self.streams["trading"]

    def broker(self, sink: Any, clock: Any, **options: Any) -> Broker:
        return Broker(self, sink)

    def warm_up(self, *arguments: Any) -> np.ndarray[Any, Any]:
        return self.history()

    def trades(self, *arguments: Any) -> np.ndarray[Any, Any]:
        return np.empty(0, trade_dtype)

    def quote(self) -> None:
        record = np.zeros(1, quote_dtype)
        record["type"], record["instrument"], record["ts_event"] = RecordType.QUOTE, 1, self.now()
        record["bid_px"], record["ask_px"], record["bid_qty"], record["ask_qty"] = 99 * PX, 101 * PX, QTY, QTY
        self.sink(record.view(market_dtype), np.empty(0, bar_dtype))


class Rests(Strategy):
    """Rests one entry and then does what the test wants."""

    symbols = ("AAPL",)

    def on_start(self) -> None:
        self.set_timer("go", 0.01)

    def on_timer(self, name: str) -> None:
        link.quote()
        self.buy("AAPL", 1, limit=90)

    def on_order(self, order: Order) -> None:
        if order.status and order.status.name == "ACCEPTED":
            then(self)


link: Link
then: Callable[[Strategy], None]


def play(tmp_path: Path, does: Callable[[Any], None] = lambda s: None, *, strategy: Any = Rests, **options: Any) -> Summary:
    global then
    then = does
    plan = Plan(
        link=link,
        directory=tmp_path,
        strategies=[strategy()],
        limits=LOOSE,
        settings=Settings(snapshot_gap=SECOND // 20),
        record=False,
        watchdog=False,
        durability="os",
        **options,
    )

    async def body() -> Summary:
        run = Runner(plan)
        link.runner = run  # type: ignore[attr-defined]
        return await asyncio.wait_for(run.run(), 60)

    return asyncio.run(body())


def enough(_: Any) -> None:
    """An entry rests: end in order."""
    link.runner.stop("enough")  # type: ignore[attr-defined]


@pytest.fixture(autouse=True)
def venue(monkeypatch: pytest.MonkeyPatch) -> None:
    global link
    link = Link()
    monkeypatch.setattr(runner, "STOP_PATIENCE", 20.0)


def test_a_stop_cancels_the_entry_verifies_it_and_counts(tmp_path: Path) -> None:
    summary = play(tmp_path, lambda s: link.runner.stop("enough"))  # type: ignore[attr-defined]
    assert (summary.failed, summary.orders, summary.intents, summary.open_orders) == ("", 1, 1, 0)
    assert link.cancelled == [1]
    assert link.closed
    assert not any("failure" in line for line in summary.lines())


def test_what_a_long_life_needs_is_there_from_the_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows: list[int] = []
    steady: list[bool] = []
    monkeypatch.setattr(runner, "steady_memory", lambda: steady.append(not rows))

    def look(strategy: Any) -> None:
        rows.append(len(strategy._desk._session.execution._orders.past._rows))
        link.runner.stop("enough")  # type: ignore[attr-defined]

    play(tmp_path, look)
    assert steady == [True]
    assert min(rows) == past.ROWS * past._ROW.size


def test_the_time_is_over(tmp_path: Path) -> None:
    for duration in (0.5, 5.0, 20.0):  # whichever is enough for an entry on this machine
        assert play(tmp_path, duration=duration).failed == ""
        if link.cancelled:
            break
    assert link.cancelled == [1]


@pytest.mark.parametrize("stream", ["data", "trading"])
def test_a_stream_refused_for_good_cancels_entries_and_fails(tmp_path: Path, stream: str) -> None:
    summary = play(tmp_path, lambda s: link.streams[stream].refuse("402 auth failed"))
    assert summary.failed == f"the {stream} stream is refused: 402 auth failed"
    assert link.cancelled == [1]
    assert summary.lines()[-1] == f"  ended by a failure: {summary.failed}"


def test_a_stream_that_ends_with_an_error_cancels_entries_and_fails(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    summary = play(tmp_path, lambda s: link.streams["data"].ended.set_exception(ZeroDivisionError("oh")))
    assert summary.failed == "the data stream ended: oh"
    assert link.cancelled == [1]
    assert "ZeroDivisionError" in caplog.text


def test_a_stream_that_just_ends_fails(tmp_path: Path) -> None:
    summary = play(tmp_path, lambda s: link.streams["trading"].ended.set_result(None))
    assert summary.failed == "the trading stream ended"


def test_a_feed_refused_during_recovery_ends_and_no_strategy_starts(tmp_path: Path) -> None:
    link.down, link.final = "403 forbidden", True
    summary = play(tmp_path)
    assert summary.failed == "the venue refuses our queries: 403 forbidden"
    assert summary.intents == 0


def test_a_recovery_that_does_not_end_says_why_until_it_is_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("WARNING")
    link.down = "the venue is away"
    monkeypatch.setattr(runner, "TELL_EVERY", 0.05)
    monkeypatch.setattr(runner, "STOP_PATIENCE", 0.1)

    async def body() -> Summary:
        plan = Plan(
            link=link, directory=tmp_path, strategies=[Rests()], limits=LOOSE, record=False, watchdog=False, durability="os"
        )
        run = Runner(plan)
        task = asyncio.create_task(run.run())
        while caplog.text.count("recovering for") < 3:
            await asyncio.sleep(0.02)
        run.stop("enough")
        return await task

    summary = asyncio.run(asyncio.wait_for(body(), 60))
    assert summary.intents == 0
    assert "the trading stream is down (refused by nobody); " in caplog.text or "the trading stream is down" in caplog.text
    assert "it goes on until Ctrl-C" in caplog.text


def test_history_that_cannot_be_read_fails_before_anything_is_sent(tmp_path: Path) -> None:
    class Warm(Rests):
        warmup = 5

    def away() -> np.ndarray[Any, Any]:
        raise NotConnected("no page after 5 tries (ConnectTimeout)")

    link.history = away
    summary = play(tmp_path, strategy=Warm)
    assert summary.failed == "no history to warm up with: no page after 5 tries (ConnectTimeout)"
    assert summary.intents == 0


def test_warm_up_bars_are_there_at_on_start(tmp_path: Path) -> None:
    seen: list[Any] = []

    class Warm(Rests):
        warmup = 2
        interval = "1m"

        def on_start(self) -> None:
            seen.append(self.history(5)["close_px"].tolist())
            link.runner.stop("enough")  # type: ignore[attr-defined]

    rows = np.zeros(2, bar_dtype)
    rows["start"], rows["close_px"] = [60 * SECOND, 120 * SECOND], [7, 8]
    link.history = lambda: rows
    play(tmp_path, strategy=Warm)
    assert seen == [[7, 8]]


def test_the_clock_is_measured_again_and_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(runner, "CLOCK_EVERY", 0.02)
    heard: list[Any] = []

    def stop_when_measured(message: Any) -> None:
        if getattr(message, "code", "") == "CLOCK_OFFSET":
            heard.append(message.text)
            link.runner.stop("enough")  # type: ignore[attr-defined]

    summary = play(tmp_path, listeners=[stop_when_measured])
    assert "1.000 s off" in heard[0]
    assert "was not measured" in caplog.text
    assert summary.failed == ""


def test_a_second_session_on_the_same_journal_is_refused(tmp_path: Path) -> None:
    def second(s: Any) -> None:
        with pytest.raises(JournalBusy):
            Journal.open(tmp_path / "journal")
        link.runner.stop("enough")  # type: ignore[attr-defined]

    assert play(tmp_path, second).failed == ""


def test_the_wanted_set_is_that_of_the_strategies(tmp_path: Path) -> None:
    play(tmp_path, lambda s: link.runner.stop("enough"))  # type: ignore[attr-defined]
    assert link.streams["data"].wanted.trades == link.streams["data"].wanted.quotes == frozenset({"AAPL"})


def test_coins_and_contracts_of_others_are_not_wanted_of_a_stream_of_shares(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Else the venue refuses the request with everything in it, or the link two kinds in one session."""
    symbols = ("MSFT", "BTC/USD", "AAPL260320C00190000")
    link.positions = tuple(VenuePosition(symbol=s, qty="1", avg_entry_price="5", price="5") for s in symbols)
    for _ in range(2):  # what is held is known from the first session on
        play(tmp_path, lambda s: link.runner.stop("enough"))  # type: ignore[attr-defined]
    wanted = link.streams["data"].wanted
    assert wanted.trades == wanted.quotes == wanted.statuses == frozenset({"AAPL", "MSFT"})
    assert wanted.books == frozenset()
    assert "not marked, its prices are on another stream: AAPL260320C00190000, BTC/USD" in caplog.text


# ---------------------------------------------------------------------------------------------------- snapshots
def facts_of(tmp_path: Path) -> list[Any]:
    return [fact for _, _, fact in inspect.show(tmp_path / "journal")]


@pytest.mark.row("S122")
def test_a_start_goes_on_from_the_kept_state_and_finds_what_a_replay_finds(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "pyrt")
    play(tmp_path, enough)
    assert "facts replayed" in caplog.text
    assert "the snapshot of record" not in caplog.text
    [(at, anchor)] = inspect.anchors(tmp_path / "journal")
    assert at == anchor.seq + 1
    caplog.clear()
    summary = play(tmp_path, enough)
    assert f"the snapshot of record {anchor.seq} and 0 facts replayed" in caplog.text
    assert (summary.failed, link.cancelled) == ("", [1, 2])  # numbers go on where they were
    checked = check(tmp_path / "journal")
    assert (len(checked.anchors), checked.faults, checked.passed) == (2, [], [])


@pytest.mark.parametrize("spoil", ["cut", "flip", "version"])
def test_a_state_that_does_not_read_is_passed_over_with_one_line(
    tmp_path: Path, spoil: str, caplog: pytest.LogCaptureFixture
) -> None:
    play(tmp_path, duration=0.3)
    play(tmp_path, duration=0.3)
    _, newest = sorted((tmp_path / "journal").glob("snapshot-*.bin"))
    data = newest.read_bytes()
    if spoil == "version":
        kept = next(newest_first(tmp_path / "journal"))
        with Journal.open(tmp_path / "journal", durability="os") as journal:
            state = b"another program" + kept.state[15:]
            journal.snapshot(kept.seq + 1, state, hash_of(state), keep=3)
    else:
        newest.write_bytes(data[:-1] if spoil == "cut" else data[:-1] + bytes([data[-1] ^ 1]))
    begins = next(newest_first(tmp_path / "journal")).seq if spoil != "version" else kept.seq
    caplog.clear()
    caplog.set_level("INFO", "pyrt")
    caplog.set_level("INFO", "pyrt.journal")
    assert play(tmp_path, duration=0.3).failed == ""
    assert sum("passed over" in line for line in caplog.messages) == 1
    assert any(f"the snapshot of record {begins} and" in line for line in caplog.messages)


def test_a_state_that_is_not_the_facts_is_a_fault(tmp_path: Path) -> None:
    play(tmp_path, duration=0.3)
    with Journal.open(tmp_path / "journal", durability="os") as journal:
        [kept] = journal.snapshots()
        journal.append(BaselineSet(day="2099-01-01", equity=1, ts=1), Sync.SOON, 1)
        journal.snapshot(journal.seq, kept.state, kept.state_hash)
    assert "does not give the state" in check(tmp_path / "journal").faults[0]


def test_what_a_fault_of_ours_left_half_done_is_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def breaks(strategy: Any) -> None:
        risk = link.runner._control._session.risk  # type: ignore[attr-defined]

        def apply(fact: Any) -> None:
            raise ZeroDivisionError

        monkeypatch.setattr(risk, "apply", apply)

    monkeypatch.setattr(runner, "STOP_PATIENCE", 0.1)
    play(tmp_path, duration=0.3)
    before = list(inspect.anchors(tmp_path / "journal"))
    assert "a fault inside pyrt: ZeroDivisionError" in play(tmp_path, breaks, duration=5).failed
    assert list(inspect.anchors(tmp_path / "journal")) == before
    assert check(tmp_path / "journal").faults == []


def test_states_are_kept_while_the_session_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keeper, "LOOK", 0.01)

    def until_three_are_kept(strategy: Any) -> None:
        async def watch() -> None:
            while len(list(inspect.anchors(tmp_path / "journal"))) < 5:
                strategy.buy("AAPL", 1, limit=90)
                link.quote()
                await asyncio.sleep(0.02)
            link.runner.stop("enough")  # type: ignore[attr-defined]

        if not hasattr(strategy, "watching"):
            strategy.watching = asyncio.get_running_loop().create_task(watch())

    play(tmp_path, until_three_are_kept, snapshot_facts=5)
    assert len(list((tmp_path / "journal").glob("snapshot-*"))) == keeper.KEPT
    checked = check(tmp_path / "journal", last=3)
    assert (len(checked.anchors), checked.faults) == (3, [])
