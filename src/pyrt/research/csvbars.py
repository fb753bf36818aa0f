"""Bars from a CSV file with a header: a time column, open, high, low, close, and volume if there is one."""

import csv
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from pyrt._core.types import RecordType, bar_dtype, to_units
from pyrt.clock import SECOND
from pyrt.errors import DataError

_TIMES = ("datetime", "timestamp", "date", "time", "start", "ts", "t", "day", "open time", "opentime")
_FIELDS = {
    "open": ("open", "o"),
    "high": ("high", "h"),
    "low": ("low", "l"),
    "close": ("close", "c", "last"),
    "volume": ("volume", "vol", "v"),
}
_LARGEST = 10_000_000  # whole shares of a bar in a file that tells no volume
_UNITS = ((1e17, 1), (1e14, 1_000), (1e11, 1_000_000), (0.0, SECOND))  # an epoch number above this counts so many ns


def read_bars(path: Path, symbols: tuple[str, ...] = ()) -> dict[str, np.ndarray[Any, Any]]:
    """Symbol -> bars (bar_dtype, instrument 0). A time without zone is UTC; a file without volume has bars of 10 million shares.

    Without a symbol column the one of `symbols` is meant, else the name of the file. Raises DataError with line and column.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = csv.reader(file)
            header = [name.strip().lower() for name in next(rows, [])]
            columns = _columns(header, path)
            own = symbols[0] if len(symbols) == 1 else path.stem.upper()
            kept: dict[str, list[tuple[int, ...]]] = {}
            for line, row in enumerate(rows, 2):
                if row:
                    symbol = _cell(row, columns["symbol"], path, line).upper() if "symbol" in columns else own
                    kept.setdefault(symbol, []).append(_bar(row, columns, path, line))
    except OSError as e:
        raise DataError(f"cannot be read: {e.strerror}", where=str(path), mend="check the path") from None
    except (UnicodeDecodeError, csv.Error) as e:
        raise DataError(f"is not CSV text: {e}", where=str(path), mend="save it as CSV in UTF-8") from None
    if not kept:
        raise DataError("holds no bars", where=str(path), mend="give a file with at least two rows of bars")
    return {symbol: _array(values, path, symbol) for symbol, values in kept.items()}


def _columns(header: list[str], path: Path) -> dict[str, int]:
    found = {name: header.index(alias) for name, aliases in _FIELDS.items() for alias in reversed(aliases) if alias in header}
    for alias in reversed(_TIMES):
        if alias in header:
            found["time"] = header.index(alias)
    if "symbol" in header:
        found["symbol"] = header.index("symbol")
    if "date" in header and "time" in header:
        found["time"], found["clock"] = header.index("date"), header.index("time")
    for name in ("time", "open", "high", "low", "close"):
        if name not in found:
            shown = ", ".join(header) or "nothing"
            raise DataError(f"has no column for {name}", where=f"{path}:1", mend=f"its header names: {shown}")
    return found


def _cell(row: list[str], column: int, path: Path, line: int) -> str:
    if column >= len(row):
        raise DataError(f"has {len(row)} columns", where=f"{path}:{line}", mend="every row needs the columns of the header")
    return row[column].strip()


def _bar(row: list[str], columns: dict[str, int], path: Path, line: int) -> tuple[int, ...]:
    values = []
    for name in ("open", "high", "low", "close", "volume"):
        if name not in columns:
            values.append(_LARGEST * SECOND)
            continue
        cell = _cell(row, columns[name], path, line)
        try:
            units = to_units(float(cell) if "e" in cell.lower() else cell.replace("_", ""))
        except (ValueError, TypeError) as e:
            raise DataError(f"{name}: {e}", where=f"{path}:{line}", mend="give a plain number") from None
        if units < 0 or (units == 0 and name != "volume"):
            raise DataError(f"{name} is {cell}", where=f"{path}:{line}", mend="give a number above 0")
        values.append(units)
    opening, high, low, close, _ = values
    if not low <= min(opening, close) <= max(opening, close) <= high:
        raise DataError("low, open, close and high do not fit", where=f"{path}:{line}", mend="low is the lowest, high the highest")
    text = _cell(row, columns["time"], path, line)
    if "clock" in columns:
        text += "T" + _cell(row, columns["clock"], path, line)
    return _time(text, path, line), *values


def _time(text: str, path: Path, line: int) -> int:
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if number and not (text.isdigit() and len(text) == 8):  # 20260302 is a date
        scale = next(scale for above, scale in _UNITS if number >= above)
        return int(text) * scale if text.isdigit() else round(number * scale)
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        for form in ("%Y%m%d %H:%M:%S", "%m/%d/%Y", "%m/%d/%Y %H:%M", "%m/%d/%Y %H:%M:%S", "%Y/%m/%d", "%Y/%m/%d %H:%M:%S"):
            try:
                moment = datetime.strptime(text, form)
                break
            except ValueError:
                continue
        else:
            mend = "write 2026-03-02, 2026-03-02 14:30:00 or an epoch"
            raise DataError(f"{text!r} is not a time", where=f"{path}:{line}", mend=mend) from None
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    since = moment - datetime(1970, 1, 1, tzinfo=UTC)
    return (since.days * 86_400 + since.seconds) * SECOND + since.microseconds * 1000


def _array(values: list[tuple[int, ...]], path: Path, symbol: str) -> np.ndarray[Any, Any]:
    table = np.array(values, np.int64)
    gaps = np.diff(table[:, 0])
    if (gaps <= 0).any():
        line = int(np.flatnonzero(gaps <= 0)[0]) + 3
        raise DataError(f"a bar of {symbol} is not newer than the one before it", where=f"{path}:{line}", mend="sort by time")
    bars = np.zeros(len(table), bar_dtype)
    bars["type"] = RecordType.BAR
    bars["start"], bars["interval"] = table[:, 0], int(gaps.min()) if len(gaps) else 60 * SECOND
    bars["ts_event"] = bars["ts_recv"] = bars["start"] + bars["interval"]
    for i, name in enumerate(("open_px", "high_px", "low_px", "close_px", "volume"), 1):
        bars[name] = table[:, i]
    return bars
