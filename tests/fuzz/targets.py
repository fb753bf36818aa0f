"""What is fed: frames to the decoder and to the inbox, streams to the ITCH books, first pages to the ring's reader."""

import random
import zlib
from collections import deque
from collections.abc import Hashable
from pathlib import Path
from typing import Any, ClassVar, NamedTuple, cast

import numpy as np
from picows import WSMsgType
from picows.picows import _make_test_ws_frame  # type: ignore[attr-defined]
from tests.core.test_itch import feed_hostile
from tests.core.test_wire import DTYPES, SAMPLES, decoder, pack
from tests.fuzz.target import Target

from pyrt import RingBuffer
from pyrt._core import frames as wire
from pyrt._core.entries import Entries
from pyrt._core.events import Quote, Trade
from pyrt._core.inbox import Inbox, Passed
from pyrt._core.loop import Loop
from pyrt._core.onepass import Intake
from pyrt._core.pipeline import Pipeline
from pyrt._core.ring import RingError
from pyrt._core.types import RecordType, market_dtype, trade_dtype


class Frames:
    """`Decoder.feed`: whatever a frame holds, the frames before it and behind it are read as ever."""

    words: ClassVar[bytes] = b'\0"[\\]{}:,.-+eE019tfnTSZ' + bytes(
        (0x81, 0x91, 0xA1, 0xC0, 0xC1, 0xC4, 0xC7, 0xCB, 0xD3, 0xD7, 0xDB, 0xDD, 0xDF)
    )

    def __init__(self, codec: str) -> None:
        frame = f"[{SAMPLES['t']}]"
        self.good = frame.encode() if codec == "json" else pack(frame)
        self.decoder = decoder(codec)
        self.decoder.feed(self.good, 77)
        self.wanted = self.decoder.take()[0].tobytes()

    def seed(self, data: bytes) -> bytes:
        return data

    def __call__(self, data: memoryview) -> Hashable:
        before = self.decoder.counters
        self.decoder.feed(self.good, 77)
        given = self.decoder.feed(data, 77)
        controls = self.decoder.control
        self.decoder.feed(self.good, 77)
        records, bars = self.decoder.take()
        assert records[:1].tobytes() == records[-1:].tobytes() == self.wanted, "a frame beside it was read as another"
        assert len(records) + len(bars) == given + 2, "what feed counts is not what it gives"
        assert given <= len(data), "more records than bytes"
        assert sum(map(len, controls)) <= len(data), "controls longer than their frame"
        kinds = set(records["type"].tolist())
        assert kinds <= set(DTYPES), "records of no type"
        trades = records[records["type"] == RecordType.TRADE].view(trade_dtype)
        assert (trades["px"] > 0).all(), "a price of nothing"
        assert (trades["qty"] >= 0).all(), "a quantity below nothing"
        counted = frozenset(name for name, n in self.decoder.counters.items() if n != before.get(name, 0))
        return counted, frozenset(kinds), min(len(controls), 3), min(given, 4)


class Ear(Loop):
    """Hears quotes and trades, and nothing is decided."""

    lane = None

    def __init__(self, log: list[tuple[Any, ...]]) -> None:
        self.log, self.now, self.running, self.halted = log, (0, 0), True, set()
        self._busy, self._told, self._calls, self._queue, self._decider = False, deque(), deque(), deque(), None
        for instrument, symbol in ((1, "AAPL"), (2, "MSFT")):
            wanted = [(1, self.hear)]
            self.listen(instrument, symbol, 1e9, wanted if instrument == 1 else [], wanted, False)

    def hear(self, event: Quote | Trade) -> None:
        self.log.append((type(event).__name__, event.symbol, event.ts, *self.now))


class Inboxed:
    """`Inbox.take`: what frames leave that go through it is what they leave when each goes through Python, whatever they hold."""

    words: ClassVar[bytes] = Frames.words

    def __init__(self) -> None:
        self.good = pack(f"[{SAMPLES['t']},{SAMPLES['q']}]")

    def seed(self, data: bytes) -> bytes:
        return data

    def __call__(self, data: memoryview) -> Hashable:
        frames = [self.good, bytes(data), self.good, bytes(data)]
        ours, theirs = Heard(), Heard()
        ours.natively(frames)
        theirs.in_python(frames)
        assert ours.left() == theirs.left(), "the two ways differ"
        return min(len(ours.log), 9), frozenset(entry[0] for entry in ours.log), min(ours.seq, 9)


class Heard:
    """Frames through decoder, pipeline and callbacks."""

    def __init__(self) -> None:
        self.decoder, self.pipeline = decoder("msgpack"), Pipeline(grace=0)
        self.log: list[tuple[Any, ...]] = []
        self.ear = Ear(self.log)
        self.seq, self.trades = 0, b""
        for instrument in (1, 2, 3):
            wake = 1 << RecordType.QUOTE | 1 << RecordType.TRADE if instrument < 3 else 0
            self.pipeline.add(instrument, 10**7, intervals=[10**9] if instrument == 1 else [], wake=wake)

    def left(self) -> tuple[Any, ...]:
        refs = self.pipeline.refs[:4].tobytes()
        return self.log, self.seq, self.trades, refs, self.pipeline.next_close, self.pipeline.unknown, self.decoder.counters

    def due(self, records: Any, at: int, venue: int, mono: int) -> None:
        """What the pipeline stopped for, and all behind it."""
        self.ear.now = (venue, mono)
        while due := self.pipeline.due:
            if due != 1 or not self.ear.give_record(records, at - 1):
                self.log.append(("due", due, at, venue, mono, self.pipeline.take_bars().tobytes() if due & 2 else b""))
            if at == len(records):
                return
            at = self.pipeline.run(records, at)

    def natively(self, frames: list[bytes]) -> None:
        def failed(e: Exception) -> None:
            raise e

        counts: dict[str, int] = {}
        mono = iter(range(1, 99))
        inbox = Inbox(monotonic=lambda: next(mono), on_due=self.due, on_close=lambda: None)
        inbox.clock(0, 0, 1.0)
        inbox.connect(self.pipeline, counts, Entries(1 << 20, wake=lambda: None), sequenced=False)
        inbox.give_to(self.ear, instant=Both, on_fault=failed)
        inbox.passed, inbox.open = Passed(on_full=lambda: None), True
        intake = Intake(self.decoder, clock=lambda: 0, on_control=lambda c: None, on_records=lambda now: None, inbox=inbox)
        connection = wire.Frames(intake, 1 << 20, None)
        for frame in frames:
            connection.on_ws_frame(cast(Any, None), _make_test_ws_frame(WSMsgType.BINARY, frame, True, False))
            if connection.failure is not None:
                raise connection.failure
        self.seq, self.trades = inbox.seq, inbox.passed.take().tobytes()
        assert counts.get("messages", 0) == inbox.seq, "not all messages are counted"

    def in_python(self, frames: list[bytes]) -> None:
        mono = iter(range(1, 99))
        for frame in frames:
            at = next(mono)
            some = self.decoder.feed(frame, at)
            if self.decoder.control:
                at = next(mono)
            if not some:
                continue
            records, _ = self.decoder.take()
            records["seq"] = np.arange(self.seq + 1, self.seq + 1 + len(records), dtype=np.uint64)
            self.seq += len(records)
            self.trades += records[records["type"] == RecordType.TRADE].tobytes()
            if len(records):
                self.due(records, self.pipeline.run(records, 0), at, at)


class Both(NamedTuple):
    """An instant on two clocks."""

    venue: int
    mono: int


class Itch:
    """`ItchBooks`: both doors, cut anywhere; each level is the sum of its queue."""

    words: ClassVar[bytes] = b"\0\1SRHYLVWKJhAFECXDUPQBINOBS"

    def seed(self, data: bytes) -> bytes:
        return data

    def __call__(self, data: memoryview) -> Hashable:
        rng = random.Random(zlib.crc32(data))  # the same cuts when it is replayed
        books = feed_hostile(data, [rng.randint(1, len(data) + 1) for _ in range(rng.randrange(6))])
        return frozenset(books.counts), frozenset(name for name, n in books.counters.items() if n)


class Header:
    """`RingBuffer.open` on a file that somebody hostile wrote: refused, or read within its bounds."""

    words: ClassVar[bytes] = b"\0\1\2\3\4\7\x08\x10\x20\x3f\x40\x41\x7f\x80\xfe\xff"
    BOOT: ClassVar[slice] = slice(40, 56)  # of the first page: the machine's boot id

    def __init__(self, home: Path) -> None:
        self._home = home / "rings"
        self._home.mkdir(0o700)
        with RingBuffer.create("hostile", capacity=2, directory=self._home) as writer:
            self._path = Path(writer.path)
        self._boot = self._path.read_bytes()[self.BOOT]
        self._out = np.zeros(100, market_dtype)

    def seed(self, data: bytes) -> bytes:
        return data[: self.BOOT.start] + self._boot + data[self.BOOT.stop :] if len(data) >= self.BOOT.stop else data

    def __call__(self, data: memoryview) -> Hashable:
        self._path.write_bytes(data)
        try:
            with RingBuffer.open("hostile", start="oldest", directory=self._home) as reader:
                for _ in range(3):
                    before = reader.cursor, reader.lost
                    n = reader.read_into(self._out)
                    assert n <= len(self._out), "more than there was room for"
                    assert reader.cursor - before[0] == n + reader.lost - before[1], "the counts"
                reader.wait(0)
                return reader.state, reader.gaps > 0, reader.restarts > 0, reader.capacity, n > 0
        except (RingError, FileNotFoundError) as e:  # the latter: nobody has finished it
            return str(e).partition(":")[0]


def msgpack(home: Path) -> Target:
    return Frames("msgpack")


def inbox(home: Path) -> Target:
    return Inboxed()


def json(home: Path) -> Target:
    return Frames("json")


def itch(home: Path) -> Target:
    return Itch()


def ring(home: Path) -> Target:
    return Header(home)
