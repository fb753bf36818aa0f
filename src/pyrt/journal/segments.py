"""The journal's files: prepared ahead, switched to durably, read in order.

NNNNNNNN.journal   a segment (layout: _core/include/log.h); numbers run from 1 without a hole
prepared.tmp       the next one: zeros, synced; it becomes a segment by rename, after its header is durable
preparing.tmp      the same while it is being written; worthless after a crash
archive/           old segments, compressed (`archive`): NNNNNNNN.journal.gz
"""

import mmap
import os
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from pyrt._core.log import PAGE, Damaged, Newer, Reader, SegmentHeader, pack_header, sync_file
from pyrt.errors import JournalDamaged, JournalNewer

MEND = "nothing was changed; copy the directory away, run `python -m pyrt journal verify` on it, and start on a new journal"
CHUNK = 1 << 20
ARCHIVE = "archive"
_GZIP = 31  # zlib's window, with the header and the checksum of gzip


def sync_directory(directory: Path) -> None:
    """Make the names in a directory durable. Raises OSError."""
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def segment_path(directory: Path, number: int) -> Path:
    """Where segment `number` lies."""
    return directory / f"{number:08d}.journal"


def prepare(directory: Path, size: int, wanted: Callable[[], bool] = lambda: True) -> None:
    """Write the zeros of the next segment, unless they are there; stops early when no longer wanted. Raises OSError."""
    prepared, preparing = directory / "prepared.tmp", directory / "preparing.tmp"
    if prepared.exists() and prepared.stat().st_size == size:
        return
    fd = os.open(preparing, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        zeros = bytes(min(CHUNK, size))
        for begin in range(0, size, len(zeros)):
            if not wanted():
                return
            _write(fd, zeros[: size - begin])
            sync_file(fd)  # in small steps: one large one would hold up the journal's own syncs
        os.fsync(fd)
    except OSError:  # where the disk is full, what is left of it takes the room that a KILL needs
        preparing.unlink(missing_ok=True)
        raise
    finally:
        os.close(fd)
    preparing.rename(prepared)
    sync_directory(directory)


def _write(fd: int, data: bytes) -> None:
    while data:
        data = data[os.write(fd, data) :]


def _write_at_start(fd: int, data: bytes) -> None:
    done = 0
    while done < len(data):  # a short write is legal
        done += os.pwrite(fd, data[done:], done)


def sync_segment(directory: Path, number: int) -> None:
    """Make what reads of a segment durable. Raises OSError."""
    fd = os.open(segment_path(directory, number), os.O_RDWR | os.O_CLOEXEC)
    try:
        sync_file(fd)
    finally:
        os.close(fd)


def activate(directory: Path, header: SegmentHeader) -> int:
    """Turn the prepared file into a segment and return its descriptor; when it returns, the segment survives a power cut."""
    prepared = directory / "prepared.tmp"
    prepare(directory, header.size)
    fd = os.open(prepared, os.O_RDWR | os.O_CLOEXEC)
    try:
        _write_at_start(fd, pack_header(header))
        sync_file(fd)
        target = segment_path(directory, header.segment)
        if target.exists():  # rename would replace it
            raise FileExistsError(17, "the segment exists already", str(target))
        prepared.rename(target)
        sync_directory(directory)
    except BaseException:
        os.close(fd)
        raise
    return fd


def archive_path(directory: Path, number: int) -> Path:
    """Where segment `number` lies once it is archived."""
    return directory / ARCHIVE / f"{number:08d}.journal.gz"


def unpacked(path: Path) -> bytes:
    """The bytes of an archived segment. Raises JournalDamaged."""
    try:
        return zlib.decompress(path.read_bytes(), _GZIP)
    except zlib.error as e:
        raise JournalDamaged(f"the archived segment does not unpack: {e}", where=str(path), mend=MEND) from None


@contextmanager
def reading(path: Path, until: int | None) -> Iterator[Reader]:
    """A segment's reader, from the archive where it lies there. Raises JournalDamaged; JournalNewer for one in another format."""
    try:
        plain = path.open("rb")
    except FileNotFoundError:
        packed = path.parent / ARCHIVE / f"{path.name}.gz"
        with _read(packed, unpacked(packed), until) as reader:
            yield reader
        return
    with plain as file:
        if os.fstat(file.fileno()).st_size < PAGE:
            raise JournalDamaged("the segment is shorter than its header", where=str(path), mend=MEND)
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data, _read(path, data, until) as reader:
            yield reader


@contextmanager
def _read(path: Path, data: bytes | mmap.mmap, until: int | None) -> Iterator[Reader]:
    view = memoryview(data)
    try:
        reader = Reader(view, until)
    except Newer as e:
        view.release()
        raise JournalNewer(str(e), where=str(path), mend="use the program that wrote it, or a newer one") from None
    except Damaged as e:
        view.release()
        raise JournalDamaged(str(e), where=str(path), mend=MEND) from None
    try:
        yield reader
    finally:
        reader.close()
        view.release()


def survey(directory: Path) -> tuple[list[int], Reader | None]:
    """Check every segment against the one after it; the last seq of each, and the facts about the last one.

    Raises JournalDamaged. Changes nothing.
    """
    plain = {int(p.stem) for p in directory.glob("*.journal") if p.stem.isdigit()}  # first: what goes from here is packed by then
    packed = {int(n) for p in (directory / ARCHIVE).glob("*.journal.gz") if (n := p.name.split(".")[0]).isdigit()}
    numbers = sorted(plain | packed)
    if numbers != list(range(1, len(numbers) + 1)):
        missing = min(set(range(1, numbers[-1] + 1)) - set(numbers))
        raise JournalDamaged(f"segment {missing} of {numbers[-1]} is missing", where=str(directory), mend=MEND)
    ends: list[int] = []
    last: Reader | None = None
    after: SegmentHeader | None = None
    for number in reversed(numbers):
        path = segment_path(directory, number)
        with reading(path, after.last_seq if after else None) as reader:
            _check_place(path, number, reader, after)
            after = reader.header
            last = last or reader
            ends.append(reader.end_seq)
    return ends[::-1], last


def _check_place(path: Path, number: int, reader: Reader, after: SegmentHeader | None) -> None:
    own = reader.header
    what = ""
    if own.segment != number or own.first_seq != own.last_seq + 1:
        what = f"the header is that of segment {own.segment}"
    elif number == 1 and (own.last_seq or any(own.chain)):
        what = "the first segment names records before it"
    elif after and (after.journal != own.journal or after.chain != reader.chain):
        what = f"the chain hash at record {reader.end_seq} is not the one that the next segment names"
    if what:
        raise JournalDamaged(what, where=str(path), mend=MEND)
