"""What is fed: frames to the decoder, streams to the ITCH books, first pages to the ring's reader."""

import random
import zlib
from collections.abc import Hashable
from pathlib import Path
from typing import ClassVar

import numpy as np
from tests.core.test_itch import feed_hostile
from tests.core.test_wire import DTYPES, SAMPLES, decoder, pack
from tests.fuzz.target import Target

from pyrt import RingBuffer
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


def json(home: Path) -> Target:
    return Frames("json")


def itch(home: Path) -> Target:
    return Itch()


def ring(home: Path) -> Target:
    return Header(home)
