"""Old segments, made small: what no start needs any more is kept compressed beside the journal, and read as if it were not.

archive/NNNNNNNN.journal.gz = the segment's bytes. It is durable under its name, and was read back and compared, before the segment
itself goes; so at every instant one of the two is whole, and a reader that finds no segment looks here. Nothing is ever deleted.
"""

import gzip
import os
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from pyrt.clock import DAY
from pyrt.errors import JournalError
from pyrt.journal import segments

KEEP_DAYS = 400  # a year of trading, its report and some weeks


class Moved(NamedTuple):
    """What was archived."""

    numbers: list[int]
    before: int  # bytes on the disk
    after: int


def due(directory: Path, checked: Iterable[int], now: int, keep_days: float = KEEP_DAYS) -> list[int]:
    """The closed segments that lie wholly before a snapshot which was compared with the facts, and were last written so long ago.

    checked: records of such snapshots. now: ns since 1970. Raises JournalDamaged.
    """
    ends, _ = segments.survey(directory)
    covered = max(checked, default=0)
    found = []
    for number, end in enumerate(ends[:-1], 1):
        path = segments.segment_path(directory, number)
        if end <= covered and path.exists() and path.stat().st_mtime_ns <= now - keep_days * DAY:
            found.append(number)
    return found


def pack(directory: Path, numbers: Iterable[int]) -> Moved:
    """Archive segments, one by one; what is done stays done. Raises JournalError, OSError."""
    folder = directory / segments.ARCHIVE
    folder.mkdir(mode=0o700, exist_ok=True)
    segments.sync_directory(directory)
    done, before, after = list[int](), 0, 0
    for number in numbers:
        path, target = segments.segment_path(directory, number), segments.archive_path(directory, number)
        data = path.read_bytes()
        _write(target, gzip.compress(data, 6, mtime=0))
        if segments.unpacked(target) != data:
            target.unlink()
            raise JournalError(f"segment {number} does not read as it was written", where=str(target), mend="look at the disk")
        before, after = before + path.stat().st_blocks * 512, after + target.stat().st_size
        path.unlink()
        segments.sync_directory(directory)
        done.append(number)
    return Moved(done, before, after)


def _write(target: Path, data: bytes) -> None:
    unfinished = target.with_suffix(".tmp")
    fd = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(fd, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(fd)
        unfinished.rename(target)
    except BaseException:  # where the disk is full, what is left of it takes room from the journal
        unfinished.unlink(missing_ok=True)
        raise
    segments.sync_directory(target.parent)
