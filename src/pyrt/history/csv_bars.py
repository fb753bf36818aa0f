"""Bars from any CSV with a header: a time column in one of many forms, open, high, low, close, and a volume if it has one."""

import csv
import io
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, tzinfo
from decimal import Decimal, InvalidOperation
from itertools import islice
from pathlib import Path
from typing import Literal, NamedTuple
from zoneinfo import ZoneInfo

import numpy as np

from pyrt._core.types import RecordType, bar_dtype, to_units
from pyrt.errors import DataError
from pyrt.history.source import DIGITS, Records
from pyrt.history.text import open_lines
from pyrt.model import AssetClass, Instrument

CHUNK = 8192
NAMES = {
    "time": ("date", "time", "datetime", "timestamp", "date_utc", "time_utc", "datetime_utc", "timestamp_utc", "open time",
             "open_time", "start", "gmt time", "local time", "unix", "t", ""),
    "open": ("open", "o", "open_px"), "high": ("high", "h", "high_px"), "low": ("low", "l", "low_px"),
    "close": ("close", "c", "close_px", "last"), "volume": ("volume", "vol", "v", "volume btc", "tick_volume"),
}  # fmt: skip
_FORMS = ("%Y%m%d", "%Y%m%d %H:%M", "%Y%m%d %H:%M:%S", "%Y%m%d %H%M%S", "%Y/%m/%d", "%Y/%m/%d %H:%M", "%Y/%m/%d %H:%M:%S",
          "%Y.%m.%d", "%Y.%m.%d %H:%M", "%Y.%m.%d %H:%M:%S", "%m/%d/%Y", "%m/%d/%Y %H:%M", "%m/%d/%Y %H:%M:%S",
          "%d.%m.%Y %H:%M:%S.%f", "%b %d, %Y", "%d-%b-%Y", "%d-%b-%y")  # fmt: skip
_NOISE = Decimal("1e-6")  # px units: what a double's repr leaves behind


class _Row(NamedTuple):
    line: int
    start: int
    cells: list[str]  # open, high, low, close, volume


class CsvBars:
    """One symbol from one file, plain, gz or a zip of it. Times without a zone are those of `zone`; a bar is named by its start.

    `interval` ns, 0 = the most common distance. `tick` px units, 0 = the finest decimal that is used; where it is given, prices are
    rounded to it and counted, otherwise a price off the grid of 1e-9 is refused. Volumes are rounded where 64 bits ask for it.
    Raises DataError that names line and column: bad numbers and times, a high below a low, times that do not ascend.
    """

    kind: Literal["bars"] = "bars"

    def __init__(
        self, path: Path, *, symbol: str = "", instrument: int = 1, interval: int = 0, tick: int = 0, zone: str = "UTC"
    ) -> None:
        self.path = path
        self.counts: Counter[str] = Counter()
        self._zone: tzinfo = UTC if zone == "UTC" else ZoneInfo(zone)
        self._columns: list[int] = []
        self._names: list[str] = []
        self._tick = tick
        self._exp = 9
        decimals, digits, steps, before = 2, 1, Counter[int](), 0
        for row in self._rows():
            if row.start <= before:
                mend = "sort the rows by time, one bar each"
                raise DataError(
                    f"its time is not after that of the row before it ({row.cells[0]})", where=self._at(row.line), mend=mend
                )
            if before:
                steps[row.start - before] += 1
            before = row.start
            for i, text in enumerate(row.cells[:4]):
                px = self._px(text, row.line, i)
                while decimals < 9 and px % 10 ** (9 - decimals):
                    decimals += 1
            digits = max(digits, len(row.cells[4].partition(".")[0]))
        self._exp = max(0, min(9, DIGITS - digits))
        self.interval = interval or (steps.most_common(1)[0][0] if steps else 0)
        if not self.interval:
            raise DataError("one bar does not tell its interval", where=str(path), mend="name it: ?interval=1m")
        name = symbol or path.name.partition(".")[0]
        self._tick = tick or int(10 ** (9 - decimals))
        terms = {"tick": self._tick, "sub_tick": min(self._tick, 100_000) if decimals == 2 else self._tick, "qty_exp": self._exp}
        if "/" in name:
            self.instruments = [Instrument(id=instrument, symbol=name, asset_class=AssetClass.CRYPTO, lot=1, **terms)]  # type: ignore[arg-type]
        else:
            self.instruments = [Instrument(id=instrument, symbol=name, lot=10**self._exp, **terms)]  # type: ignore[arg-type]

    def chunks(self) -> Iterator[Records]:
        """The bars by time."""
        self.counts.clear()
        rows = self._rows()
        while part := list(islice(rows, CHUNK)):
            out: Records = np.zeros(len(part), bar_dtype)
            out["type"], out["instrument"], out["interval"] = int(RecordType.BAR), self.instruments[0].id, self.interval
            out["start"] = [row.start for row in part]
            for i, name in enumerate(("open_px", "high_px", "low_px", "close_px")):
                out[name] = [self._px(row.cells[i], row.line, i) for row in part]
            out["volume"] = [self._qty(row.cells[4], row.line) for row in part]
            out["ts_event"] = out["ts_recv"] = out["start"] + self.interval
            low, high = out["low_px"], out["high_px"]
            wrong = (low > np.minimum(out["open_px"], out["close_px"])) | (high < np.maximum(out["open_px"], out["close_px"]))
            if wrong.any():
                line = part[int(np.argmax(wrong))].line
                raise DataError("open and close are not between low and high", where=self._at(line), mend="mend the row")
            yield out

    def _at(self, line: int, column: int | None = None) -> str:
        return f"{self.path} line {line}" + ("" if column is None else f" column {self._names[column]!r}")

    def _rows(self) -> Iterator[_Row]:
        with open_lines(self.path) as raw:
            lines = csv.reader(io.TextIOWrapper(raw, encoding="utf-8-sig", errors="replace", newline=""))
            self._read_header(next(lines, []))
            time, clock, *columns = self._columns
            for cells in lines:
                if not any(cells):
                    continue
                try:
                    text = cells[time] if clock < 0 else f"{cells[time]} {cells[clock]}"
                    values = [cells[i].strip() if i >= 0 else "0" for i in columns]
                except IndexError:
                    where = self._at(lines.line_num)
                    raise DataError(f"{len(cells)} columns", where=where, mend="as many as the header has") from None
                yield _Row(lines.line_num, self._time(text.strip(), lines.line_num, time), values)

    def _read_header(self, header: list[str]) -> None:
        names = [name.strip().lower() for name in header]
        found = {what: next((names.index(name) for name in known if name in names), -1) for what, known in NAMES.items()}
        missing = [what for what, at in found.items() if at < 0 and what != "volume"]
        if missing:
            mend = "the first line names the columns: time (or date), open, high, low, close, volume"
            raise DataError(f"no column for {', '.join(missing)}", where=f"{self.path} line 1", mend=mend)
        self._names = header
        clock = names.index("time") if names[found["time"]] == "date" and "time" in names else -1
        self._columns = [found["time"], clock, *(found[what] for what in ("open", "high", "low", "close", "volume"))]

    def _time(self, text: str, line: int, column: int) -> int:
        try:
            if text.replace(".", "", 1).isdigit() and len(text.partition(".")[0]) > 8:
                whole = len(text.partition(".")[0])  # seconds, ms, us or ns since 1970
                return to_units(text, 9 if whole < 12 else 6 if whole < 15 else 3 if whole < 18 else 0)
            return _ns(_parse(text), self._zone)
        except ValueError:
            mend = "use 2024-01-31, 2024-01-31T09:30:00Z, 20240131 or seconds since 1970"
            raise DataError(f"{text!r} is not a time", where=self._at(line, column), mend=mend) from None

    def _px(self, text: str, line: int, column: int) -> int:
        where = self._at(line, self._columns[2 + column])
        try:
            px = to_units(text)
        except ValueError:
            px = self._noisy(text, where)
        if self._tick and px % self._tick:
            px = (px + self._tick // 2) // self._tick * self._tick
            self.counts["price rounded to the tick"] += 1
        if px <= 0:
            raise DataError(f"a price of {text}", where=where, mend="prices are above 0")
        return px

    def _noisy(self, text: str, where: str) -> int:
        try:
            scaled = Decimal(text) * 10**9
            near = scaled.to_integral_value()
        except InvalidOperation:
            raise DataError(f"{text!r} is not a number", where=where, mend="mend the cell") from None
        if not scaled.is_finite() or abs(near) >= 2**63:
            raise DataError(f"{text} cannot be a price", where=where, mend="prices are from 0.000000001 to 9 thousand million")
        if abs(scaled - near) > _NOISE and not self._tick:
            raise DataError(f"{text} is off the grid of 0.000000001", where=where, mend="round prices to a tick: ?tick=0.01")
        return int(near)

    def _qty(self, text: str, line: int) -> int:
        where = self._at(line, self._columns[6])
        try:
            scaled = Decimal(text or "0").scaleb(self._exp)
            near = int(scaled.to_integral_value())
        except (InvalidOperation, ValueError, OverflowError):
            raise DataError(f"{text!r} is not a number", where=where, mend="mend the cell") from None
        if near < 0 or near >= 2**63:
            raise DataError(f"a volume of {text}", where=where, mend="volumes are 0 or above")
        if near != scaled:
            self.counts["volume rounded"] += 1
        return near


def _parse(text: str) -> datetime:
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        for form in _FORMS:
            try:
                return datetime.strptime(text, form)
            except ValueError:
                continue
        raise


def _ns(at: datetime, zone: tzinfo) -> int:
    since = (at if at.tzinfo else at.replace(tzinfo=zone)) - datetime(1970, 1, 1, tzinfo=UTC)
    return ((since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds) * 1000
