"""The journal of one account: facts in order, durable before they are acted on, replayed at every start."""

import base64
import errno
import fcntl
import logging
import os
import secrets
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Self

from pyrt._core.log import ANCHOR, CLOSED, USER, Appender, Full, Record, SegmentHeader, release
from pyrt.errors import ConfigError, JournalBusy, JournalError
from pyrt.journal import codec, segments, snapshots
from pyrt.journal.snapshots import Snapshot
from pyrt.model import Fact
from pyrt.ports import Sync

OS_WARNING = "durability 'os': the journal survives a kill of this process, but not a crash of the machine or a loss of power"
LINGER = 5_000_000  # ns: half of the 10 ms that a fact may wait for its sync
WATCH = 100_000 if (os.cpu_count() or 1) > 1 else 0  # ns: a few times what it takes to wake a thread

Durable = Callable[[int, JournalError | None], None]

log = logging.getLogger(__name__)


class Journal:
    """Open with `Journal.open`; one thread appends and never waits, a thread of the journal's own writes and syncs.

    After the first error of a write or a sync nothing is written any more: `failed` says why, and every later append raises.
    """

    @classmethod
    def open(
        cls,
        directory: Path | str,
        *,
        durability: str = "sync",
        segment_size: int = 64 << 20,
        term: int = 0,
        capacity: int = 4 << 20,
    ) -> Self:
        """Take the directory for this process, check everything in it, and begin a new segment.

        durability: "sync", "group:<ms>" (a sync at most so often), "os" (none); capacity: bytes that may wait for the disk.
        Raises JournalBusy, JournalDamaged (nothing is changed then), ConfigError, JournalError.
        """
        return cls(Path(directory), durability, segment_size, term, capacity)

    def __init__(self, directory: Path, durability: str, segment_size: int, term: int, capacity: int) -> None:
        """Use `open`."""
        self._linger, self._urgent, sync = _policy(durability)
        if segment_size < 8192 or segment_size % 4096:
            raise ConfigError(f"a segment of {segment_size} bytes", mend="give a multiple of 4096, at least 8192")
        self.directory = directory
        self.warning = "" if sync else OS_WARNING
        self.failed: JournalError | None = None
        self.lazy_dropped = 0  # LAZY facts that found the ring half full
        self._size, self._capacity = segment_size, capacity
        self._callbacks: list[Durable] = []
        self._moved = threading.Condition()
        self._closing = False
        self._preparing: threading.Thread | None = None
        self._fd = self._bell = self._ringer = -1
        self._lock = _lock(directory)
        try:
            self._ends, last = segments.survey(directory)
            if last:  # what a killed process wrote and did not sync is acted upon from here on, and named by the next header
                segments.sync_segment(directory, len(self._ends))
            self.id = last.header.journal if last else base64.b32encode(secrets.token_bytes(5)).decode().lower()
            self.run = secrets.token_bytes(16)
            self.torn = last is not None and last.torn  # the run before ended in the middle of a write
            self.clean = last is None or last.closed  # the run before was closed
            self.replayed = self._ends[-1] if self._ends else 0  # the last seq that was here before this run
            self._bell, self._ringer = _bell()
            self._log = Appender(
                self._next_segment,
                self.replayed,
                last.chain if last else bytes(16),
                self._bell,
                self._ringer,
                term=term,
                capacity=capacity,
                linger=self._linger,
                sync=sync,
                watch=WATCH if self._urgent else 0,
            )
        except OSError as e:
            self._let_go()
            raise JournalError(f"the journal cannot be opened: {e.strerror}", where=str(directory), mend=_mend(e.errno)) from None
        except BaseException:
            self._let_go()
            raise
        if last and not last.torn:
            self._release_tail(len(self._ends), last.end)
        if self.warning:
            log.warning(self.warning)
        self._thread = threading.Thread(target=self._write, name="journal", daemon=True)
        self._thread.start()

    # ---- reading
    def facts(self, after: int = 0) -> Iterator[tuple[int, Fact]]:
        """(seq, fact) of everything durable whose seq is above `after`, in order; from any thread. Raises JournalDamaged."""
        for record in self.records(after):
            if record.type >= USER:
                yield record.seq, codec.decode(record.type, record.flags, record.payload)

    def records(self, after: int = 0) -> Iterator[Record]:
        """The records themselves, those of the format (chain, anchor, closed) included."""
        number = 0
        while number <= len(self._ends):
            # Segments before the open one end where the next begins; the open one is read as far as it is durable. The order
            # of the two reads matters: a switch between them moves the end of this segment into `_ends`.
            durable = self.durable
            until = self._ends[number] if number < len(self._ends) else durable
            if number == len(self._ends) or until > after:
                with segments.reading(segments.segment_path(self.directory, number + 1), until) as reader:
                    yield from reader.records(after)
            number += 1

    # ---- writing
    @property
    def seq(self) -> int:
        """The last seq given out."""
        return self._log.seq

    @property
    def durable(self) -> int:
        """The last seq on stable storage (with durability "os": handed to the kernel)."""
        return self._log.durable

    @property
    def sync_latency(self) -> dict[str, int]:
        """Of the last 4,096 groups: p50, p99 and max of write and sync in ns; records and syncs since open."""
        took = sorted(self._log.latencies()) or [0]
        at = len(took) - 1
        return {"p50": took[at // 2], "p99": took[at * 99 // 100], "max": took[at], **self._log.counters}

    def append(self, fact: Fact, sync: Sync, ts: int) -> int:
        """Put a fact behind all others and return its seq, at once; from one thread only. ts: venue ns.

        A LAZY fact is dropped, counted and answered with the seq before it where the ring is half full.
        Raises JournalError once the journal has failed, and where the disk is so far behind that the ring is full (final too).
        """
        if sync is Sync.LAZY and self._log.pending * 2 > self._capacity:
            self.lazy_dropped += 1
            return self._log.seq
        return self.append_record(*codec.encode(fact), sync, ts)

    def append_record(self, kind: int, payload: bytes, sync: Sync, ts: int) -> int:
        """Put a fact that is encoded already behind all others, as `append` does."""
        return self._append(kind, payload, ts, sync is Sync.BEFORE_ACT and self._urgent, codec.VERSION)

    def _append(self, kind: int, payload: bytes, ts: int, urgent: bool, version: int) -> int:
        if self.failed is not None:
            raise self.failed
        try:
            return self._log.append(kind, payload, ts, urgent, version)
        except ValueError as e:
            raise JournalError(str(e), where=str(self.directory), mend="open the journal with a larger segment_size") from None
        except (Full, OSError) as e:
            error = self._error(e)
            self.failed = error
            raise error from None

    def on_durable(self, callback: Durable) -> None:
        """Call callback(durable seq, None) on the journal's thread after each sync, and (durable seq, error) once if it fails."""
        self._callbacks.append(callback)

    def sync(self, timeout: float | None = None) -> int:
        """Wait until everything appended is durable; the seq that is. Blocks: not for the loop. Raises JournalError."""
        wanted = self._log.seq
        with self._moved:
            while self._log.durable < wanted and self.failed is None:
                if not self._moved.wait(timeout):
                    raise JournalError(f"no sync within {timeout} s", where=str(self.directory), mend="look at the disk")
        if self.failed is not None:
            raise self.failed
        return self._log.durable

    def close(self) -> None:
        """Bring everything to stable storage and let the directory go; twice is once. Raises nothing: look at `failed`."""
        if self._lock < 0:
            return
        self._closing = True
        self._log.wake()
        self._thread.join()
        if self.failed is None:
            try:
                self._log.append(CLOSED, b"", 0)
                self._log.commit(0, flush=True)
            except (OSError, Full) as e:
                self._fail(e)
        if self._preparing is not None:
            self._preparing.join()
        self._let_go()

    def _let_go(self) -> None:
        for fd in {self._bell, self._ringer, self._lock, self._fd} - {-1}:
            os.close(fd)
        self._bell = self._ringer = self._lock = self._fd = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # ---- snapshots
    def write_snapshot(self, seq: int, state: bytes, state_hash: bytes) -> None:
        """Write the snapshot of record `seq` beside the journal; it counts once its anchor is appended.

        Blocks until all is durable: not for the loop. Raises JournalError; OSError where the file cannot be written, which does
        not hurt the journal.
        """
        self.sync()
        snapshots.write(self.directory, Snapshot(seq=seq, state=state, state_hash=state_hash))

    def anchor(self, seq: int, state_hash: bytes) -> int:
        """Say in the journal that the snapshot of record `seq` is there; from the thread that appends. Returns its own seq."""
        return self._append(ANCHOR, snapshots.anchor(seq, state_hash), 0, False, codec.VERSION)

    def snapshot(self, seq: int, state: bytes, state_hash: bytes, *, keep: int = 2) -> int:
        """Take the snapshot of record `seq`, all of it at once; the seq of its anchor. Blocks. Raises JournalError, OSError."""
        self.write_snapshot(seq, state, state_hash)
        anchor = self.anchor(seq, state_hash)
        self.sync()
        snapshots.prune(self.directory, keep=keep)
        return anchor

    def prune(self, keep: int) -> None:
        """Remove all snapshots but the newest `keep`."""
        snapshots.prune(self.directory, keep=keep)

    def snapshots(self) -> Iterator[Snapshot]:
        """The snapshots that read and are anchored, newest first."""
        anchors: set[bytes] | None = None
        for snapshot in snapshots.newest_first(self.directory):
            if anchors is None:
                oldest = snapshots.oldest(self.directory)
                anchors = {r.payload for r in self.records(oldest) if r.type == ANCHOR}
            if snapshots.anchor(snapshot.seq, snapshot.state_hash) in anchors:
                yield snapshot

    def latest_snapshot(self) -> Snapshot | None:
        """The newest state that reads and is anchored."""
        return next(self.snapshots(), None)

    # ---- the journal's thread
    def _write(self) -> None:
        try:
            while not self._closing:
                self._prepare_next()
                if self._log.commit():
                    self._tell(None)
            if self._log.pending and self._log.commit(0, flush=True):
                self._tell(None)
        except Exception as e:  # whatever it was: nothing more is acknowledged
            self._fail(e)

    def _fail(self, e: Exception) -> None:
        self.failed = self.failed or self._error(e)
        self._tell(self.failed)

    def _tell(self, error: JournalError | None) -> None:
        durable = self._log.durable
        for callback in self._callbacks:
            try:
                callback(durable, error)
            except Exception:  # the listener's mistake must not end the journal
                log.exception("a listener of the journal raised")
        with self._moved:
            self._moved.notify_all()

    def _error(self, e: Exception) -> JournalError:
        number = e.errno if isinstance(e, OSError) else None
        return JournalError(f"the journal has failed: {e}", where=str(self.directory), mend=_mend(number))

    # ---- segments
    def _next_segment(self, last_seq: int, chain: bytes) -> tuple[int, int]:
        if self._preparing is not None:
            self._preparing.join()
            self._preparing = None
        first = self._fd < 0
        number = len(self._ends) + (1 if first else 2)
        header = SegmentHeader(self.id, self.run, number, last_seq + 1, last_seq, chain, self._size)
        fd = segments.activate(self.directory, header)
        if not first:
            self._ends.append(last_seq)
            os.close(self._fd)
        self._fd = fd
        return fd, self._size

    def _prepare_next(self) -> None:
        if self._preparing is None:
            self._preparing = threading.Thread(target=self._prepare, name="journal-prepare", daemon=True)
            self._preparing.start()

    def _prepare(self) -> None:
        try:
            segments.prepare(self.directory, self._size, lambda: not self._closing)
        except OSError as e:  # not fatal yet: the switch tries again, and then it is
            log.warning("%s: no room for the next segment: %s", self.directory, e.strerror)

    def _release_tail(self, number: int, end: int) -> None:
        # The segment that the run before left half empty: its end is named by the new header, what follows it is dead.
        with segments.segment_path(self.directory, number).open("rb+") as file:
            begin = -(-end // 4096) * 4096
            size = os.fstat(file.fileno()).st_size
            if begin < size:
                release(file.fileno(), begin, size - begin)


def _policy(durability: str) -> tuple[int, bool, bool]:
    # (linger in ns, whether BEFORE_ACT ends it, whether to sync at all)
    if durability == "sync":
        return LINGER, True, True
    if durability == "os":
        return LINGER, True, False
    name, _, ms = durability.partition(":")
    if name == "group" and ms.isascii() and ms.isdigit() and 0 < int(ms) <= 1000:
        return int(ms) * 1_000_000, False, True
    raise ConfigError(f"durability {durability!r}", mend="use 'sync', 'group:<ms>' with 1 to 1000 ms, or 'os'")


@contextmanager
def held(directory: Path) -> Iterator[None]:
    """Own a journal without opening it: nobody else can while the block runs. Raises JournalBusy, JournalError."""
    fd = _lock(directory)
    try:
        yield
    finally:
        os.close(fd)


def _lock(directory: Path) -> int:
    fd = -1
    try:
        missing = {d for d in (directory, *directory.parents) if not d.exists()}
        for made in sorted(missing):  # one by one: `parents` would make all but the last readable by others
            made.mkdir(mode=0o700, exist_ok=True)
        # A directory whose name is lost takes every record with it. One that is there may have been made by a process that was
        # killed before it synced the name; once a segment is there, its maker has been here.
        if missing or next(directory.glob("*.journal"), None) is None:
            for made in (directory, *directory.parents):
                _sync_name(made, made in missing)
        own = directory.stat()
        if own.st_uid != os.geteuid():
            raise ConfigError("the directory belongs to another user", where=str(directory), mend="give another directory")
        if own.st_mode & 0o077:
            directory.chmod(0o700)
        fd = os.open(directory / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.ftruncate(fd, 0)
        os.pwrite(fd, f"{os.getpid()}\n".encode(), 0)
    except BlockingIOError:
        owner = os.pread(fd, 32, 0).decode("ascii", "replace").strip() or "unknown"
        os.close(fd)
        what = f"process {owner} owns this journal"
        raise JournalBusy(what, where=str(directory), mend="stop that process, or use another directory") from None
    except BaseException as e:
        if fd >= 0:
            os.close(fd)
        if isinstance(e, OSError):
            what = f"the journal cannot be opened: {e.strerror}"
            raise JournalError(what, where=str(directory), mend=_mend(e.errno)) from None
        raise
    return fd


def _sync_name(directory: Path, made: bool) -> None:
    # Of what others made long ago, some levels cannot be read or synced by us.
    if directory == directory.parent:
        return
    try:
        segments.sync_directory(directory.parent)
    except OSError as e:
        if made or e.errno not in (errno.EACCES, errno.EPERM, errno.EINVAL, errno.EROFS):
            raise


def _bell() -> tuple[int, int]:
    if hasattr(os, "eventfd"):
        fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        return fd, fd
    reader, writer = os.pipe()
    os.set_blocking(reader, False)
    os.set_blocking(writer, False)
    return reader, writer


def _mend(number: int | None) -> str:
    if number in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return "free disk space (or raise the file size limit), then start again"
    if number in (errno.EMFILE, errno.ENFILE):
        return "raise the limit of open files (ulimit -n), then start again: what was durable is replayed"
    if number in (errno.EACCES, errno.EPERM, errno.EROFS):
        return "make the directory writable for this user, then start again"
    return "look at the disk, then start again: what was durable is replayed"
