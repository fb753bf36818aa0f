"""Historical bars from a venue into CSV files, a day at a time, so that a later run goes on where the last one ended."""

import csv
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Protocol

import msgspec
import numpy as np

from pyrt._core.types import format_units
from pyrt.clock import DAY
from pyrt.errors import DataError
from pyrt.model import Instrument

Records = np.ndarray[Any, Any]
HEADER = ("time", "open", "high", "low", "close", "volume", "trades")
PARTS = 16  # requests that a whole range is split into at most, so that what was fetched is kept


class BarSource(Protocol):
    """A client of historical bars, page by page; start and end in ns, both included."""

    def bars(self, instrument: Instrument, interval: int, start: int, end: int) -> Iterator[Records]: ...


class Progress(msgspec.Struct):
    """What is known to be whole of one file."""

    symbol: str
    interval: int
    start: int  # ns, inclusive
    end: int  # ns, exclusive


def download(
    source: BarSource,
    instrument: Instrument,
    interval: int,
    start: int,
    end: int,
    directory: Path,
    tell: Callable[[int, int], None] = lambda done, of: None,
) -> tuple[Path, int]:
    """Fetch the bars that begin in [start, end) ns and are not there yet. Returns the file and how many bars were added.

    A file holds one stretch of time; what a failure interrupts is not lost. tell: (ns done, ns of the whole). Raises DataError
    where the new range does not begin inside, or right behind, what the file holds.
    """
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / f"{instrument.symbol.replace('/', '-')}.csv"
    note = path.with_suffix(".json")
    known = _read(note)
    if known is not None and known.interval != interval:
        raise DataError("holds bars of another interval", where=str(path), mend="give another --to directory")
    if known is not None and not known.start <= start <= known.end:
        raise DataError("the new range does not join what is there", where=str(path), mend="begin within it, or use another --to")
    first, begin = (known.start, known.end) if known is not None else (start, start)
    _cut(path, begin)
    added, step = 0, max(-(-(end - begin) // PARTS), DAY)
    while begin < end:
        stop = min(begin + step, end)
        rows = [bar for page in source.bars(instrument, interval, begin, stop - 1) for bar in page]
        _append(path, rows, instrument)
        begin = stop
        if rows:  # nothing says that the venue already had what it did not give: a later run asks again
            whole = int(rows[-1]["start"]) + interval
            _write(note, Progress(symbol=instrument.symbol, interval=interval, start=first, end=whole))
        added += len(rows)
        tell(begin - start, end - start)
    return path, added


def _read(note: Path) -> Progress | None:
    try:
        return msgspec.json.decode(note.read_bytes(), type=Progress)
    except FileNotFoundError:
        return None
    except msgspec.DecodeError as e:
        raise DataError(f"is not what a download writes: {e}", where=str(note), mend="remove it, and the CSV beside it") from None


def _write(note: Path, progress: Progress) -> None:
    part = note.with_suffix(".part")
    part.write_bytes(msgspec.json.encode(progress))
    part.replace(note)


def _cut(path: Path, end: int) -> None:
    """Drop rows from `end` on: an interrupted run wrote them without saying so."""
    if not path.exists():
        return
    lines = path.read_text(encoding="utf-8").splitlines()
    kept = [line for line in lines[1:] if line.count(",") == len(HEADER) - 1 and int(line.partition(",")[0]) < end]
    part = path.with_suffix(".part")
    part.write_text("\n".join([",".join(HEADER), *kept, ""]), encoding="utf-8")
    part.replace(path)


def _append(path: Path, rows: list[Any], instrument: Instrument) -> None:
    new = not path.exists()
    with path.open("a", newline="", encoding="utf-8") as file:
        out = csv.writer(file, lineterminator="\n")
        if new:
            out.writerow(HEADER)
        for bar in rows:
            prices = (format_units(int(bar[f"{name}_px"])) for name in HEADER[1:5])
            out.writerow((int(bar["start"]), *prices, format_units(int(bar["volume"]), instrument.qty_exp), int(bar["trades"])))
        file.flush()
        os.fsync(file.fileno())
