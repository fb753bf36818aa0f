"""Text files, compressed or not, as lines and as tables of numbers."""

import gzip
import io
import warnings
import zipfile
from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import IO, Any
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt

from pyrt.errors import DataError

NEW_YORK = ZoneInfo("America/New_York")
MILLISECOND = 1_000_000
LINES = 8192  # of a block
PACKED = 200  # times: no file of numbers and times is packed so well
SMALL = 1 << 30  # bytes that a file may unpack to however small it is


def open_lines(path: Path) -> IO[bytes]:
    """A file to read bytes from: gz is unpacked, of a zip the only member. Raises DataError."""
    try:
        if path.suffix == ".gz":
            return buffered(gzip.open(path))
        if path.suffix == ".zip":
            archive = zipfile.ZipFile(path)
            names = archive.namelist()
            if len(names) != 1:
                raise DataError(f"holds {len(names)} files", where=str(path), mend="one was expected")
            return member(archive, names[0])
        return path.open("rb")
    except (OSError, zipfile.BadZipFile) as e:
        raise DataError(f"cannot be read: {e}", where=str(path), mend="check the path and the file") from None


def member(archive: zipfile.ZipFile, name: str) -> IO[bytes]:
    """A file of a zip, which gives no more bytes than its entry says. Raises DataError for a bomb, KeyError for none."""
    entry = archive.getinfo(name)
    if too_dense(entry.compress_size, entry.file_size):
        raise DataError(
            f"{name} unpacks to more than {PACKED} times its size", where=str(archive.filename), mend="download it again"
        )
    return buffered(archive.open(entry))


def too_dense(packed: int, unpacked: int) -> bool:
    """Whether a file of so many bytes unpacks to more than any data does."""
    return unpacked > max(SMALL, PACKED * packed)


def buffered(stream: Any) -> IO[bytes]:
    """An unpacking stream whose lines are found in C."""
    return io.BufferedReader(stream, 1 << 20)


def line_blocks(stream: IO[bytes], lines: int = LINES) -> Iterator[bytes]:
    """The file in blocks of so many whole lines."""
    while block := b"".join(islice(stream, lines)):
        yield block if block.endswith(b"\n") else block + b"\n"


def table(block: bytes, columns: int, dtype: type, where: str, line: int) -> npt.NDArray[Any]:
    """Comma-separated numbers as an array (rows, columns); `line`: the number of the first. Raises DataError with the place."""
    block = block.replace(b"\r\n", b"\n")
    raw = np.frombuffer(block, np.uint8)
    ends = np.flatnonzero(raw == 10)
    commas = np.searchsorted(np.flatnonzero(raw == 44), ends)
    if np.array_equal(np.diff(commas, prepend=0), np.full(len(ends), columns - 1)):
        flat: npt.NDArray[Any] = np.empty(0, dtype)
        with warnings.catch_warnings(), suppress(ValueError):
            warnings.simplefilter("ignore", DeprecationWarning)  # of text that is no number, which is looked for below
            flat = np.fromstring(block.replace(b"\n", b",")[:-1].decode("latin-1"), dtype, sep=",")
        if len(flat) == len(ends) * columns and np.isfinite(flat).all():
            return flat.reshape(-1, columns)
    for number, text in enumerate(block.splitlines(), line):
        cells = text.decode("latin-1").split(",")
        if len(cells) != columns:
            raise DataError(
                f"{len(cells)} columns instead of {columns}", where=f"{where} line {number}", mend="the file is damaged"
            )
        for column, cell in enumerate(cells, 1):
            try:
                if not np.isfinite(dtype(cell)):
                    raise ValueError
            except (ValueError, OverflowError):
                raise DataError(f"{cell!r} is not a number", where=f"{where} line {number} column {column}") from None
    raise DataError("cannot be read as numbers", where=f"{where} line {line}", mend="the file is damaged")


def new_york_ns(day: str, ns: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Wall time in New York, ns after midnight of YYYYMMDD, as ns UTC."""
    night, noon = _offset(day, 0), _offset(day, 12)
    midnight = int(np.datetime64(f"{day[:4]}-{day[4:6]}-{day[6:]}", "ns").astype(np.int64))
    changed = ns >= 2 * 3_600_000_000_000  # clocks change at two
    out: npt.NDArray[np.int64] = midnight + ns - np.where(changed, noon, night)
    return out


def _offset(day: str, hour: int) -> int:
    offset = datetime(int(day[:4]), int(day[4:6]), int(day[6:]), hour, tzinfo=NEW_YORK).utcoffset()
    assert offset is not None
    return int(offset.total_seconds()) * 1_000_000_000
