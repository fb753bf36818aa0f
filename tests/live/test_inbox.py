"""Frames that the inbox takes in natively leave behind what they leave when each goes through Python: to the byte."""

import asyncio
import random
from collections import deque
from collections.abc import Sequence
from types import ModuleType, SimpleNamespace
from typing import Any, cast

import msgspec
import numpy as np
import pytest
from bench.rig import Venue
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from picows import WSMsgType
from picows.picows import _make_test_ws_frame  # type: ignore[attr-defined]
from tests.reference.room import ACCOUNT, PX, QTY, SECOND, Room

from pyrt._core.encode import Encoder
from pyrt._core.entries import Entries
from pyrt._core.events import Bar, Quote, Trade
from pyrt._core.types import Clock, GapCause, RecordType, market_dtype, quote_dtype, trade_dtype
from pyrt.clock import VenueClock
from pyrt.journal.recorder import Recorder
from pyrt.live import shell as shell_module
from pyrt.live.backfill import Backfill
from pyrt.live.shell import LiveShell
from pyrt.market.backfill import MARGIN, OVERLAP, Holes
from pyrt.market.sequencer import Sequencer
from pyrt.ports import ClockMeasured, Start, StreamState, Submit, Subscription, TakeSnapshot, TimerFired, VenueSnapshot
from pyrt.strategies import Strategy
from pyrt.venues.alpaca.feed import AlpacaFeed

MS = 10**6
SYMBOLS = ("AAPL", "MSFT")


class OnBars(Strategy):
    symbols = SYMBOLS
    interval = "1s"

    def on_start(self) -> None:
        self.log: list[Any] = []

    def on_bar(self, bar: Bar) -> None:
        self.log.append((bar.symbol, bar.start, bar.close, bar.volume, bar.flags, self.now))


class OnTrades(OnBars):
    def on_trade(self, trade: Trade) -> None:
        self.log.append((trade.symbol, trade.price, trade.size, self.now))


class Trader(OnTrades):
    """Sends an order with every second quote of one symbol."""

    def on_start(self) -> None:
        super().on_start()
        self.quotes = 0

    def on_quote(self, quote: Quote) -> None:
        self.quotes += 1
        self.log.append((quote.symbol, quote.bid, quote.ask, self.now))
        if quote.symbol == "AAPL" and self.quotes % 2:
            self.buy("AAPL", 1, limit=quote.bid)


class Queue:
    """A recorder without a disk."""

    records, event, command = Recorder.records, Recorder.event, Recorder.command

    def __init__(self) -> None:
        self.queue = Entries(1 << 30, wake=lambda: None)


class Journal:
    """Everything is durable at once."""

    id = "k3v9q2xa"
    durable = 1 << 60

    def __init__(self) -> None:
        self.facts: list[Any] = []

    def on_durable(self, callback: Any) -> None: ...

    def append(self, fact: Any, sync: Any, ts: int) -> int:
        self.facts.append((fact, sync, ts))
        return len(self.facts)

    def append_record(self, kind: Any, record: bytes, sync: Any, ts: int) -> int:
        """An order that the lane decided."""
        self.facts.append((kind, record, sync, ts))
        return len(self.facts)


class Broker:
    def __init__(self) -> None:
        self.sent: list[Any] = []

    def submit(self, command: Any) -> None:
        self.sent.append(command)

    snapshot = cancel = lookup = submit


class Life:
    """A session in a live shell with its data stream; `native`: frames go to the inbox first."""

    def __init__(self, *strategies: Strategy, native: bool, mono: list[int], symbols: tuple[str, ...] = SYMBOLS) -> None:
        self.mono, self.strategies = mono, strategies
        self.venue, self.open = Venue(), deque[Any]()  # what it says to each order, while there is something left to say
        self.told: list[tuple[int, int, int, int]] = []  # trades of frames: instrument, price, size, time
        self.journal, self.recorder, self.broker = Journal(), Queue(), Broker()
        clock = VenueClock(epoch=1_800_000_000 * SECOND, origin=0)
        self.shell = LiveShell(journal=cast(Any, self.journal), clock=clock, recorder=cast(Any, self.recorder), projection=None)
        self.session = Room(*strategies, start=False, shell=lambda: self.shell, symbols=symbols).session
        self.shell.session, self.shell.broker, self.shell.trades = self.session, cast(Any, self.broker), None
        self.holes = Holes()
        self.backfill = Backfill(self.session, self.shell, cast(Any, None), holes=self.holes)
        self.feed = AlpacaFeed(
            url="ws://127.0.0.1:1/v2/sip",
            key="key",
            secret="secret",
            instruments=self.session.instruments,
            sink=self.shell.handle_feed,
            events=self.shell.handle,
            clock=lambda: self.shell.clock.at(mono[0]),
            inbox=self.shell.inbox if native else None,
        )
        self.feed.want(Subscription(trades=frozenset(symbols), quotes=frozenset(symbols)))
        while self.feed.channels.next() is not None:
            self.feed._on_acknowledged({"T": "subscription", "trades": list(symbols), "quotes": list(symbols)})
        self.frames = self.feed._listen()
        self.encoder = Encoder("msgpack")
        for i, symbol in enumerate(symbols, 1):
            self.encoder.register(symbol, i)
        self.start()

    def start(self) -> None:
        self.shell.handle(Start(epoch=1))
        self.shell.handle(StreamState(stream="trading", up=True))
        query = next(c for c in self.broker.sent if isinstance(c, TakeSnapshot))
        whole = {"begun": self.shell.now().venue, "since": query.since, "account": ACCOUNT}
        self.shell.handle(VenueSnapshot(query=query.query, positions=(), orders=(), fills=(), **whole))
        self.shell.call(self.session.start)
        self.holes.begin(0)

    # ---- what may happen
    def frame(self, rows: list[tuple[int, int, int, int, int]]) -> None:
        now = self.shell.clock.at(self.mono[0])
        records = np.zeros(len(rows), market_dtype)
        for i, (kind, instrument, price, size, late) in enumerate(rows):
            record = records[i : i + 1].view(trade_dtype if kind == RecordType.TRADE else quote_dtype)
            record["type"], record["instrument"], record["ts_event"] = kind, instrument, now - late * MS
            if kind == RecordType.TRADE:
                record["px"], record["qty"], record["trade_id"] = price * PX, size * QTY, price * 100 + size
                self.told.append((instrument, price, size, now - late * MS))
            else:
                record["bid_px"], record["ask_px"] = price * PX, (price + 1) * PX
                record["bid_qty"] = record["ask_qty"] = size * QTY
        wire = _make_test_ws_frame(WSMsgType.BINARY, self.encoder.encode(records), True, False)
        self.frames.on_ws_frame(cast(Any, None), wire)
        if self.frames.failure is not None:
            raise self.frames.failure

    def lose(self) -> None:
        self.feed._mark_missed(GapCause.DISCONNECT)

    def up(self) -> None:
        self.shell.handle(StreamState(stream="data", up=True))

    def fill(self, news: int) -> None:
        """History tells a hole: what the stream told of it, and some trades more."""
        hole = self.holes.due(self.shell.now().venue + 2 * SECOND)
        if hole is None:
            return
        trades = np.zeros(news, trade_dtype)
        trades["type"], trades["instrument"] = RecordType.TRADE, hole.instrument
        trades["ts_event"] = hole.start + np.arange(news) * (hole.end - hole.start) // max(news, 1)
        trades["px"], trades["qty"], trades["trade_id"] = 100 * PX, QTY, 10**6 + np.arange(news)
        held = np.zeros(len(self.told), trade_dtype)
        for i, (instrument, price, size, at) in enumerate(self.told):
            held["instrument"][i], held["ts_event"][i] = instrument, at
            held["px"][i], held["qty"][i], held["trade_id"][i] = price * PX, size * QTY, price * 100 + size
        held["type"] = RecordType.TRADE
        near = (held["instrument"] == hole.instrument) & (held["ts_event"] >= hole.start) & (held["ts_event"] < hole.end)
        trades = np.concatenate([trades, held[near]])
        self.backfill._feed(self.session.instruments[hole.instrument], hole, trades)

    def answer(self) -> None:
        """The venue accepts the orders that it has not seen, and fills the oldest that it has accepted."""
        accepted = [iter(self.venue.answers(c, self.shell.now().venue)) for c in self.broker.sent if isinstance(c, Submit)]
        self.broker.sent[:] = [c for c in self.broker.sent if not isinstance(c, Submit)]
        for answers in accepted:
            self.shell.handle(next(answers))
            self.open.append(answers)
        if self.open:
            self.shell.handle(next(self.open.popleft()))

    def timer(self) -> None:
        self.shell.handle(TimerFired(key="execution.none", at=1, clock=Clock.MONO))

    def close(self) -> None:
        self.shell.close_bars(self.shell.now().venue)

    def measure(self, ms: int) -> None:
        clock = VenueClock(epoch=self.shell.clock.at(self.mono[0]) + ms * MS, origin=self.mono[0])
        self.shell.handle(ClockMeasured(clock=clock, uncertainty=1))

    # ---- what is left
    def left(self) -> dict[str, Any]:
        self.holes._catch_up()
        since = self.holes._newest - MARGIN
        recent = [key for part in self.holes._recent.since(since) for key in zip(*(c.tolist() for c in part), strict=True)]
        return {
            "logs": [list(s.log) for s in self.strategies if isinstance(s, OnBars)],
            "seq": self.shell.seq,
            "counts": dict(self.session.counts),
            "refs": self.session.market.refs.tobytes(),
            "recorded": self.recorder.queue.take(1 << 40)[0],
            "facts": list(self.journal.facts),
            "sent": [c for c in self.broker.sent if not isinstance(c, TakeSnapshot)],
            "trades": sorted(recent),
            "holes": (self.holes._holes, self.holes._early, self.holes.filled, self.holes.told_again, self.holes.closed),
            "next close": self.session.market.pipeline.next_close,
            "timers": self.shell._timers.next(Clock.VENUE),
            "now": self.shell.now(),
            "connection": (self.feed._intake.messages, self.feed._intake.last),
        }


def at_hand(mono: list[int]) -> Any:
    """The module `time` as the shell sees it, moved by hand."""
    return SimpleNamespace(monotonic_ns=lambda: mono[0])


def lived(
    strategies: type[Strategy] | Sequence[type[Strategy]], story: list[tuple[int, tuple[Any, ...]]], *, native: bool
) -> tuple[dict[str, Any], Life]:
    async def body() -> tuple[dict[str, Any], Life]:
        mono = [1000 * SECOND]
        before, shell_module.time = shell_module.time, at_hand(mono)
        try:
            makes = strategies if isinstance(strategies, Sequence) else (strategies,)
            life = Life(*(make() for make in makes), native=native, mono=mono)
            for ms, (verb, *arguments) in story:
                mono[0] += ms * MS
                getattr(life, verb)(*arguments)
            return life.left(), life
        finally:
            shell_module.time = before

    return asyncio.run(body())


ROW = st.tuples(
    st.sampled_from((RecordType.QUOTE, RecordType.TRADE)),
    st.integers(1, 2),
    st.integers(90, 110),
    st.integers(1, 9),
    st.integers(0, 3000),
)
FRAME = st.tuples(st.just("frame"), st.lists(ROW, min_size=1, max_size=6))
REST = st.one_of(
    st.sampled_from((("lose",), ("up",), ("timer",), ("close",), ("answer",), ("answer",))),
    st.tuples(st.just("fill"), st.integers(0, 3)),
    st.tuples(st.just("measure"), st.integers(-300, 300)),
)
STORY = st.lists(st.tuples(st.integers(0, 900), st.one_of(FRAME, FRAME, FRAME, REST)), max_size=40)


@pytest.mark.parametrize("strategy", [OnBars, OnTrades, Trader])
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(story=STORY)
def test_both_ways_leave_the_same(strategy: type[Strategy], story: list[tuple[int, tuple[Any, ...]]]) -> None:
    in_python, _ = lived(strategy, story, native=False)
    natively, _ = lived(strategy, story, native=True)
    assert natively == in_python


MIXES = (
    ("Quoter",),
    ("Momentum", "Quoter", "SmaCross"),
    ("Quoter", Trader),
    ("Faulty", OnTrades),
    ("Momentum", OnBars),
    ("Mixer", "Quoter"),
)


def mix(compiled: ModuleType, names: tuple[Any, ...]) -> list[type[Strategy]]:
    return [getattr(compiled, name) if isinstance(name, str) else name for name in names]


@pytest.mark.parametrize("names", MIXES)
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(story=STORY)
def test_both_ways_leave_the_same_of_compiled_strategies(
    compiled: ModuleType, names: tuple[Any, ...], story: list[tuple[int, tuple[Any, ...]]]
) -> None:
    in_python, _ = lived(mix(compiled, names), story, native=False)
    natively, _ = lived(mix(compiled, names), story, native=True)
    assert natively == in_python


@pytest.mark.parametrize("names", MIXES)
def test_compiled_strategies_trade_on_both_ways(compiled: ModuleType, names: tuple[Any, ...]) -> None:
    rng = random.Random(3)
    story: list[tuple[int, tuple[Any, ...]]] = []
    for _ in range(150):
        rows = [
            (rng.choice((RecordType.QUOTE, RecordType.TRADE)), 1, rng.randrange(98, 103), 2, 0) for _ in range(rng.randrange(1, 5))
        ]
        story += [(rng.randrange(400), ("frame", rows)), (rng.randrange(100), ("answer",))]
    natively, life = lived(mix(compiled, names), story, native=True)
    assert natively == lived(mix(compiled, names), story, native=False)[0]
    assert natively["counts"]["intents"] > 1
    if "Quoter" in names:
        assert natively["counts"]["fills"] > 50
        assert life.session.lane is not None
        assert life.session.lane.decided > 50
    assert life.shell.inbox.open


@pytest.mark.nightly
@pytest.mark.parametrize("strategy", [OnBars, OnTrades, Trader])
@settings(max_examples=1500, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(story=STORY)
def test_both_ways_leave_the_same_in_many_stories(strategy: type[Strategy], story: list[tuple[int, tuple[Any, ...]]]) -> None:
    in_python, _ = lived(strategy, story, native=False)
    natively, _ = lived(strategy, story, native=True)
    assert natively == in_python


QUOTES = ("frame", [(RecordType.QUOTE, 1, 100, 1, 0)] * 3)
TRADES = ("frame", [(RecordType.TRADE, 1, 100, 1, 0)] * 3)


def test_frames_that_nobody_waits_for_are_seen_by_no_python() -> None:
    story = [(10, QUOTES), *[(10, TRADES), (10, QUOTES)] * 20]
    seen: list[int] = []

    class Watched(Life):
        def start(self) -> None:
            super().start()
            sink = self.feed._sink
            self.feed._sink = lambda records, bars: (seen.append(len(records)), sink(records, bars))[1]

    async def body() -> int:
        mono = [1000 * SECOND]
        before, shell_module.time = shell_module.time, at_hand(mono)
        try:
            life = Watched(OnBars(), native=True, mono=mono)
            for ms, (verb, *arguments) in story:
                mono[0] += ms * MS
                getattr(life, verb)(*arguments)
            return life.session.counts["messages"]
        finally:
            shell_module.time = before

    assert asyncio.run(body()) == 3 * len(story)
    assert seen == [3]  # the first opens the inbox


def test_a_hole_sends_frames_through_python_until_it_is_filled_and_its_overlap_is_over() -> None:
    story: list[tuple[int, tuple[Any, ...]]] = [(10, QUOTES), (10, TRADES), (10, ("lose",)), (10, QUOTES)]
    _, life = lived(OnBars, story, native=True)
    assert not life.holes.passed.quiet
    story += [(10, ("up",)), (2000, TRADES), (10, ("fill", 2)), (10, ("fill", 2))]
    _, life = lived(OnBars, story, native=True)
    assert life.holes.filled == 4
    assert not life.holes.open
    assert not life.holes.passed.quiet  # the stream may tell them yet
    story += [(OVERLAP // MS + 5000, TRADES), (10, QUOTES)]
    left, life = lived(OnBars, story, native=True)
    assert life.holes.passed.quiet
    assert left == lived(OnBars, story, native=False)[0]


def test_a_closed_shell_takes_nothing_in() -> None:
    async def body() -> None:
        mono = [1000 * SECOND]
        before, shell_module.time = shell_module.time, at_hand(mono)
        try:
            life = Life(OnBars(), native=True, mono=mono)
            life.frame(QUOTES[1])
            assert life.shell.inbox.open
            seq = life.shell.seq
            life.shell.close()
            life.frame(QUOTES[1])
            assert life.shell.seq == seq
        finally:
            shell_module.time = before

    asyncio.run(body())


def test_a_frame_with_depth_goes_through_the_sequencers() -> None:
    stamp = msgspec.msgpack.Ext(-1, (1_800_001_000).to_bytes(4, "big"))
    depth = {"T": "o", "S": "AAPL", "t": stamp, "b": [{"p": 100, "s": 1}], "a": [{"p": 101, "s": 1}], "r": True}
    seen: list[int] = []

    async def body() -> None:
        mono = [1000 * SECOND]
        before, shell_module.time = shell_module.time, at_hand(mono)
        try:
            life = Life(OnBars(), native=True, mono=mono)
            life.session.market._sequencers[1] = Sequencer(1, ids=False)
            sink = life.feed._sink
            life.feed._sink = lambda records, bars: (seen.append(len(records)), sink(records, bars))[1]
            for _ in range(3):
                life.frame(QUOTES[1])
                wire = _make_test_ws_frame(WSMsgType.BINARY, msgspec.msgpack.encode([depth]), True, False)
                life.frames.on_ws_frame(cast(Any, None), wire)
        finally:
            shell_module.time = before

    asyncio.run(body())
    assert len(seen) == 4  # the first frame, and each with depth
    assert all(n > 1 for n in seen)
