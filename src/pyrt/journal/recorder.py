"""The inbox as it was received, and the commands that left: all in order, with both clocks, so that a session can be played again.

NNNNNNNN.inbox = a header (magic, version, run), then entries: u32 len, u32 crc32c over everything but itself, u64 number,
i64 venue, i64 mono, u16 kind, 6 bytes zero; payload. Entries are numbered from 1 within a run, dropped ones too, so a reader
sees what is missing. The recorder is an observer: it never waits, never fails its session, and drops when it must.
"""

import logging
import os
import secrets
import struct
import threading
import time
from collections.abc import Callable, Iterator
from enum import IntEnum
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, Self, cast

import msgspec
import numpy as np
from numpy.typing import NDArray

from pyrt._core.entries import Entries
from pyrt._core.log import crc32c_of
from pyrt._core.types import bar_dtype, market_dtype
from pyrt.clock import Now
from pyrt.errors import DataError
from pyrt.ports import Command, Event

VERSION = 2
PAUSE = 0.02  # s: entries gather so long before they are written together
FILES = 64  # the limit is kept by removing the oldest of about so many files

_MAGIC = b"PYRTINB1"
_FILE = struct.Struct("<8sI16s4x")
_ENTRY = struct.Struct("<IIQqqH6x")

_pack = msgspec.msgpack.Encoder().encode

log = logging.getLogger(__name__)

Records = NDArray[np.void]


class Recipe(msgspec.Struct, frozen=True, kw_only=True):
    """How a strategy was made."""

    use: str  # FILE.py:Class or dotted.name:Class
    parameters: dict[str, Any]
    source: str  # BLAKE2b-128 of the file that holds the class, hexadecimal


class Kind(IntEnum):
    """What an entry holds."""

    MARKET = 1  # market_dtype records
    BARS = 2  # bar_dtype records
    EVENT = 3  # msgpack
    CLOSED = 4  # the recorder was closed; its number says how many entries there were
    RUN = 5  # msgpack of Run: what the session was made of; before its first input
    COMMAND = 6  # msgpack of what the session asked of the venue: an output, to compare with


_DTYPES = {Kind.MARKET: market_dtype, Kind.BARS: bar_dtype}
_OUTPUTS = frozenset({Kind.RUN, Kind.COMMAND})


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """What a recorded session was made of, in plain values; no secret is among them."""

    journal: str
    seq: int  # facts up to here were there before its first input
    hours: bool  # it kept the hours of the exchange
    dry_run: bool
    limits: dict[str, Any]
    settings: dict[str, Any]  # of the execution engine
    signals: dict[str, Any] | None  # the section [signals]; None = the sizer was given as an object
    strategies: list[Recipe] | None  # None = they were given as objects


class Recorder:
    """Takes entries on one thread without waiting; a thread of its own writes them.

    limit_bytes: of all files in the directory, the oldest go first; queue_bytes: of entries not yet written, more are dropped.
    """

    def __init__(self, directory: Path | str, *, limit_bytes: int = 4 << 30, queue_bytes: int = 16 << 20) -> None:
        self.directory = Path(directory)
        self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.failed = ""  # why nothing is recorded any more
        self._limit = limit_bytes
        self._file_limit = max(limit_bytes // FILES, 4096)
        self._run = secrets.token_bytes(16)
        self._wanted = threading.Event()
        self.queue = Entries(queue_bytes, wake=self._wanted.set)  # the live session's inbox adds to it natively
        self._closing = False
        self._fd = -1
        self._room = 0
        self._thread = threading.Thread(target=self._work, name="recorder", daemon=True)
        self._thread.start()

    @property
    def entries(self) -> int:
        """How many there were, dropped ones too."""
        return self.queue.count

    @property
    def dropped(self) -> int:
        """Entries that are not there, because too many waited or nothing can be written."""
        return self.queue.dropped

    def records(self, records: Records, now: Now) -> None:
        """Record market records (any of the 64-byte dtypes) or bars, as one entry."""
        kind = Kind.BARS if records.dtype.itemsize == bar_dtype.itemsize else Kind.MARKET
        self.queue.put(kind, now.venue, now.mono, records.tobytes())

    def event(self, event: Event, now: Now) -> None:
        """Record any other entry of the inbox."""
        self.queue.put(Kind.EVENT, now.venue, now.mono, _pack(event))

    def begin(self, run: Run, now: Now) -> None:
        """Record what the session is made of."""
        self.queue.put(Kind.RUN, now.venue, now.mono, _pack(run))

    def command(self, command: Command, now: Now) -> None:
        """Record what the session asks of the venue."""
        self.queue.put(Kind.COMMAND, now.venue, now.mono, _pack(command))

    def close(self) -> None:
        """Write what waits, and end."""
        if self._closing:
            return
        self._closing = True
        self._wanted.set()
        self._thread.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # ---- the recorder's thread
    def _work(self) -> None:
        try:
            while not self._closing:
                self._wanted.wait()
                time.sleep(0 if self._closing else PAUSE)
                self._wanted.clear()
                self._drain()
            self.queue.put(Kind.CLOSED, 0, 0, b"")
            self._drain()
        except OSError as e:
            self.failed = f"recording ended: {e.strerror}"
            self.queue.closed = True
            log.warning("%s: %s", self.directory, self.failed)
        finally:
            if self._fd >= 0:
                os.close(self._fd)

    def _drain(self) -> None:
        while True:
            data, payload = self.queue.take(min(1 << 18, self._file_limit // 2))
            if not data:
                return
            self._write(data)
            self.queue.written(payload)

    def _write(self, data: bytes) -> None:
        if len(data) > self._room:
            self._rotate()
        self._room -= len(data)
        while data:
            data = data[os.write(self._fd, data) :]

    def _rotate(self) -> None:
        files = files_of(self.directory)
        number = int(files[-1].stem) + 1 if files else 1
        sizes = {path: path.stat().st_size for path in files}
        for path in files:  # the new file may grow to its own limit before the sum is looked at again
            if sum(sizes.values()) + self._file_limit <= self._limit:
                break
            path.unlink(missing_ok=True)
            del sizes[path]
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        self._fd = os.open(self.directory / f"{number:08d}.inbox", flags, 0o600)
        self._room = self._file_limit
        self._write(_FILE.pack(_MAGIC, VERSION, self._run))


def files_of(directory: Path) -> list[Path]:
    """The files of a recording, the oldest first."""
    return sorted(p for p in directory.glob("*.inbox") if p.stem.isdigit())


class Entry(msgspec.Struct, frozen=True):
    """One entry: `body` is an Event, an array of market_dtype or bar_dtype records, a Run or a Command."""

    run: str
    number: int
    now: Now
    kind: Kind
    body: Any

    @property
    def is_input(self) -> bool:
        """Whether the session took it in; else it is what the session was or did."""
        return self.kind not in _OUTPUTS

    @property
    def is_records(self) -> bool:
        """Whether `body` is an array of records."""
        return isinstance(self.body, np.ndarray)


_DECODERS: dict[Kind, Callable[[bytes], Any]] = {
    Kind.EVENT: msgspec.msgpack.Decoder(Event).decode,
    Kind.RUN: msgspec.msgpack.Decoder(Run).decode,
    Kind.COMMAND: msgspec.msgpack.Decoder(Command).decode,
}


class Raw(NamedTuple):
    """One entry as it was written."""

    number: int
    now: Now
    kind: int
    payload: bytes

    def entry(self, file: "RecordingFile") -> Entry:
        """The same, decoded. Raises DataError."""
        return Entry(file.run, self.number, self.now, Kind(self.kind), _body(self.kind, self.payload, file.path))


class RecordingFile:
    """One file, read entry by entry: no more than one of them is in memory. Raises DataError."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.truncated = 0  # bytes behind the last whole entry; known after reading
        with self._open() as file:
            head = file.read(_FILE.size)
        self.run = ""  # hexadecimal; "" = killed while the file was being made
        if len(head) == _FILE.size:
            magic, version, run = _FILE.unpack(head)
            if magic != _MAGIC or version != VERSION:
                raise DataError(
                    "this is not a recording that this program reads", where=str(path), mend="use the one that wrote it"
                )
            self.run = run.hex()

    def _open(self) -> BinaryIO:
        try:
            return self.path.open("rb", buffering=1 << 18)
        except FileNotFoundError:
            what = "it was rotated away while it was being read"
            raise DataError(what, where=str(self.path), mend="ask again") from None

    def __iter__(self) -> Iterator[Raw]:
        with self._open() as file:
            size = os.fstat(file.fileno()).st_size  # what comes while it is read is not looked at
            at = file.seek(_FILE.size) if self.run else 0
            while self.run and at + _ENTRY.size <= size:
                head = file.read(_ENTRY.size)
                length, crc, number, venue, mono, kind = _ENTRY.unpack(head)
                if not _ENTRY.size <= length <= size - at:
                    break
                payload = file.read(length - _ENTRY.size)
                if crc != crc32c_of(head[:4] + head[8:] + payload):
                    break
                yield Raw(number, Now(venue, mono), kind, payload)
                at += length
            self.truncated = size - at


class Recording:
    """The entries of a directory, in order; what is missing is known once they were all read."""

    def __init__(self, directory: Path | str) -> None:
        self.directory = Path(directory)
        self.entries = 0
        self.dropped = 0  # entries that were numbered but are not there: dropped, rotated away or damaged
        self.truncated = 0  # bytes behind the last whole entry of a file
        self.unclosed = 0  # runs that did not end with close: their last moments may be missing
        if not self.directory.is_dir():
            raise DataError("there is no recording", where=str(directory), mend="record a session first")

    def __iter__(self) -> Iterator[Entry]:
        self.entries = self.dropped = self.truncated = self.unclosed = 0
        run, last, closed = "", 0, True
        for path in files_of(self.directory):
            file = RecordingFile(path)
            if file.run and file.run != run:
                self.unclosed += not closed
                run, last, closed = file.run, 0, False
            for raw in file:
                self.dropped += raw.number - last - 1
                last, closed = raw.number, raw.kind == Kind.CLOSED
                if not closed:
                    self.entries += 1
                    yield raw.entry(file)
            self.truncated += file.truncated
        self.unclosed += not closed

    @property
    def replayable(self) -> bool:
        """Whether nothing is known to be missing; ask after reading to the end."""
        return not self.dropped

    def summary(self) -> str:
        """One line: how much is there, and what is not."""
        text = f"{self.entries} entries"
        if self.dropped:
            text += f"; not replayable, {self.dropped} dropped"
        if self.truncated:
            text += f"; {self.truncated} bytes of an entry that was cut short"
        if self.unclosed:
            text += f"; {self.unclosed} runs were not closed"
        return text


def _body(kind: int, payload: bytes, path: Path) -> object:
    dtype = _DTYPES.get(cast(Kind, kind))
    if dtype is not None:
        return np.frombuffer(payload, dtype)
    decode = _DECODERS.get(cast(Kind, kind))
    if decode is None:
        raise DataError(f"an entry of unknown kind {kind}", where=str(path), mend="read it with the program that wrote it")
    return decode(payload)


def read_recording(directory: Path | str) -> Recording:
    """The entries of a recording, in order. Raises DataError."""
    return Recording(directory)
