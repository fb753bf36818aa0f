"""Where downloaded bars live: DIRECTORY/SYMBOL/bars-INTERVAL.npy, and beside it which times were asked for.

One process writes at a time. A file is replaced as a whole, data before coverage: after a crash at most the last piece is
fetched again.
"""

import os
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

import msgspec
import numpy as np

from pyrt._core.types import bar_dtype
from pyrt.errors import DataError
from pyrt.history.source import Records

Range = tuple[int, int]  # ns UTC: from, until (not included)


class Catalog:
    """Bars by symbol and interval (ns). Times ns UTC; ranges are half open."""

    def __init__(self, directory: Path | str) -> None:
        self.directory = Path(directory)

    def symbols(self) -> list[str]:
        """The symbols of which something is kept."""
        return sorted(unquote(path.name) for path in self.directory.glob("*") if path.is_dir())

    def intervals(self, symbol: str) -> list[int]:
        """The intervals of which bars of a symbol are kept, ns, ascending."""
        files = (self.directory / quote(symbol, safe="")).glob("bars-*s.npy")
        return sorted(int(path.stem.removeprefix("bars-").removesuffix("s")) * 10**9 for path in files)

    def bars(self, symbol: str, interval: int, start: int = 0, end: int = 2**63 - 1) -> Records:
        """The bars that begin in [start, end): bar_dtype, ascending; none where none are kept. Raises DataError."""
        path = self._file(symbol, interval, "npy")
        if not path.exists():
            return np.empty(0, bar_dtype)
        try:
            whole = np.load(path, mmap_mode="r", allow_pickle=False)
        except (OSError, ValueError) as e:
            raise DataError(f"cannot be read: {e}", where=str(path), mend="delete it and download again") from None
        if whole.dtype != bar_dtype:
            raise DataError("holds no bars of this version", where=str(path), mend="delete it and download again")
        first, last = np.searchsorted(whole["start"], (start, end))
        return np.array(whole[first:last])

    def add_bars(self, symbol: str, interval: int, bars: Records, *, covers: Range | None = None) -> None:
        """Keep bars; one with the start of a kept one replaces it. `covers` is what was asked for, by default from first to last.

        Raises DataError for bars of another interval or out of order.
        """
        starts = bars["start"]
        if (bars["interval"] != interval).any() or (np.diff(starts) <= 0).any():
            raise DataError(
                "bars of another interval, or out of order", where=f"{symbol} {interval} ns", mend="add one series at a time"
            )
        if covers is None:
            if not len(bars):
                return
            covers = (int(starts[0]), int(starts[-1]) + interval)
        if len(bars):
            kept = self.bars(symbol, interval)
            kept = kept[~np.isin(kept["start"], starts)]
            merged = np.concatenate([kept, bars])
            self._write_array(self._file(symbol, interval, "npy"), merged[np.argsort(merged["start"], kind="stable")])
        self._write_bytes(
            self._file(symbol, interval, "json"), msgspec.json.encode(_joined([*self.coverage(symbol, interval), covers]))
        )

    def coverage(self, symbol: str, interval: int) -> list[Range]:
        """What was asked for and is kept, ascending; a range without bars had none at its source. Raises DataError."""
        path = self._file(symbol, interval, "json")
        if not path.exists():
            return []
        try:
            return msgspec.json.decode(path.read_bytes(), type=list[Range])
        except msgspec.DecodeError:
            raise DataError("not a list of ranges", where=str(path), mend="delete it; the download asks again") from None

    def missing(self, symbol: str, interval: int, start: int, end: int) -> list[Range]:
        """What of [start, end) a download still has to ask for."""
        found, at = [], start
        for first, last in self.coverage(symbol, interval):
            if last <= at or first >= end:
                continue
            if first > at:
                found.append((at, first))
            at = last
        if at < end:
            found.append((at, end))
        return found

    def _file(self, symbol: str, interval: int, suffix: str) -> Path:
        return self.directory / quote(symbol, safe="") / f"bars-{interval // 10**9}s.{suffix}"

    def _write_array(self, path: Path, array: Records) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(".partial")
        with partial.open("wb") as file:
            np.save(file, array, allow_pickle=False)
            _settle(file, partial, path)

    def _write_bytes(self, path: Path, data: bytes) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(".partial")
        with partial.open("wb") as file:
            file.write(data)
            _settle(file, partial, path)


def _settle(file: Any, partial: Path, path: Path) -> None:
    file.flush()
    os.fsync(file.fileno())
    partial.replace(path)


def _joined(ranges: list[Range]) -> list[Range]:
    out: list[Range] = []
    for start, end in sorted(ranges):
        if out and start <= out[-1][1]:
            out[-1] = (out[-1][0], max(end, out[-1][1]))
        elif start < end:
            out.append((start, end))
    return out
