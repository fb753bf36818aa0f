"""Files of QuantConnect's Lean, US equities: zips of one CSV without header, times of New York, prices in ten-thousandths.

tick, second and minute: `RESOLUTION/SYMBOL/YYYYMMDD_{trade,quote}.zip`, ms after midnight; hour and daily: `RESOLUTION/SYMBOL.zip`.
What a row holds is seen from the file itself. Prices are raw: splits and dividends are not undone.
"""

import re
import zipfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from pyrt._core.types import NO_PRICE, Flag, RecordType, bar_dtype, market_dtype, quote_dtype, trade_dtype
from pyrt.clock import DAY, MINUTE, SECOND
from pyrt.errors import DataError
from pyrt.history.source import Records
from pyrt.history.text import line_blocks, new_york_ns, open_lines, table
from pyrt.model import Instrument

HOUR = 60 * MINUTE
MS = 1_000_000
PX = 100_000  # px units of a ten-thousandth
SHARE = 1_000_000_000
# Bits of the sale condition -> the tapes' letters (Lean's TradeConditionFlags); the others say nothing of price or volume.
CONDITIONS = {
    0: "@", 1: "C", 2: "N", 3: "R", 4: "Y", 5: "F", 6: "O", 7: "6", 8: "5", 9: "4", 10: "T", 11: "L", 12: "1", 13: "T", 14: "Z",
    15: "S", 16: "A", 18: "V", 19: "D", 20: "W", 21: "X", 22: "H", 23: "K", 24: "M", 25: "P", 26: "Q", 28: "E", 31: "I",
}  # fmt: skip
NO_PRICE_FROM = frozenset("IBWCNRV74PTUQM9H")  # a print with one of these says no price of the present
_NAME = re.compile(r"(?:(\d{8})_)?(.+?)(?:_(minute|second|tick|hour|daily))?(?:_(trade|quote))?(?:_(tick))?$", re.I)
_TAPE = {"N": "A", "Q": "C"}
Ints = npt.NDArray[np.int64]


class Lean:
    """One file. Bars of trades are bars; ticks and quotes are market records: a bar of quotes is the quote at its end.

    `suspicious` prints of a tick file are left out and counted.
    """

    kind: Literal["market", "bars"]

    def __init__(self, path: Path, *, symbol: str = "", instrument: int = 1) -> None:
        self.path = path
        self.counts: Counter[str] = Counter()
        member, cells = _peek(path)
        self._columns = len(cells)
        match = _NAME.match(member.rpartition("/")[2].removesuffix(".csv"))
        assert match is not None
        named = _NAME.match(path.stem)
        self._day = match[1] or (named[1] if named else None) or ""
        self._is_quote = "quote" in f"{member} {path.name}".lower()
        by_date = " " in cells[0]
        if not by_date and not self._day:
            raise DataError("no date in its name", where=str(path), mend="name it YYYYMMDD_trade.zip, as Lean does")
        is_tick = len(cells) == 8 or not (by_date or self._is_quote or cells[3].isdigit())
        self.interval = (DAY if cells[0].endswith(" 00:00") else HOUR) if by_date else 0 if is_tick else _interval(path)
        self.kind = "bars" if self.interval and not self._is_quote else "market"
        told = match[2] if match[2] not in ("trade", "quote") else path.parent.name
        name = symbol or (told if self._day else path.stem).upper()
        self.instruments = [Instrument(id=instrument, symbol=name)]

    def chunks(self) -> Iterator[Records]:
        """The records of the file."""
        self.counts.clear()
        with open_lines(self.path) as stream:
            line = 1
            for block in line_blocks(stream):
                block = block.replace(b"\r\n", b"\n")
                if self._is_quote:
                    yield self._quotes(block, line)
                elif self.interval:
                    yield self._bars(block, line)
                else:
                    yield self._ticks(block, line)
                line += block.count(b"\n")

    def _bars(self, block: bytes, line: int) -> Records:
        where = str(self.path)
        if self._day:
            rows = table(block, 6, int, where, line)
            starts = new_york_ns(self._day, rows[:, 0] * MS)
        else:
            # `yyyymmdd hh:mm` as two columns of digits
            rows = table(block.replace(b" ", b",").replace(b":", b""), 7, int, where, line)
            starts = _wall(rows[:, 0], (rows[:, 1] // 100 * 60 + rows[:, 1] % 100) * MINUTE)
            rows = rows[:, 1:]
        out: Records = np.zeros(len(rows), bar_dtype)
        out["type"], out["instrument"], out["interval"] = int(RecordType.BAR), self.instruments[0].id, self.interval
        for i, name in enumerate(("open_px", "high_px", "low_px", "close_px"), 1):
            out[name] = rows[:, i] * PX
        out["start"], out["volume"] = starts, rows[:, 5] * SHARE
        out["ts_event"] = out["ts_recv"] = starts + self.interval
        low, high = out["low_px"], out["high_px"]
        wrong = (
            (low <= 0) | (low > np.minimum(out["open_px"], out["close_px"])) | (high < np.maximum(out["open_px"], out["close_px"]))
        )
        if wrong.any():
            at = int(np.argmax(wrong))
            raise DataError(
                "open and close are not between low and high", where=f"{where} line {line + at}", mend="the file is damaged"
            )
        return out

    def _ticks(self, block: bytes, line: int) -> Records:
        cells = [text.split(b",") for text in block.splitlines()]
        exchanges: dict[bytes, int] = {}
        codes: dict[bytes, int] = {}
        try:
            flat = b"".join(
                b"%b,%b,%b,%d,%d,%b\n"
                % (
                    ms,
                    px,
                    size,
                    codes.setdefault(code, int(code or b"0", 16)),
                    exchanges.setdefault(exchange, _letter(exchange)),
                    bad,
                )
                for ms, px, size, exchange, code, bad in cells
            )
        except ValueError:
            flat = block  # table finds the place
        rows = table(flat, 6, int, str(self.path), line)
        good = rows[rows[:, 5] == 0]
        if len(good) < len(rows):
            self.counts["suspicious print"] += len(rows) - len(good)
        out: Records = np.zeros(len(good), trade_dtype)
        out["type"], out["instrument"] = int(RecordType.TRADE), self.instruments[0].id
        out["ts_event"] = out["ts_recv"] = new_york_ns(self._day, good[:, 0] * MS)
        out["px"], out["qty"], out["exchange"] = good[:, 1] * PX, good[:, 2] * SHARE, good[:, 4]
        out["trade_id"] = line + np.flatnonzero(rows[:, 5] == 0)
        for code in np.unique(good[:, 3]).tolist():
            letters = _letters(code)
            here = good[:, 3] == code
            out["conditions"][here] = int.from_bytes(letters.encode(), "little")
            out["flags"][here] = int(Flag.INELIGIBLE) if NO_PRICE_FROM & set(letters) else 0
        out["tape"] = ord("A")
        return out.view(market_dtype)

    def _quotes(self, block: bytes, line: int) -> Records:
        # ms, then bid o,h,l,c,size, ask o,h,l,c,size; of a tick: bid, size, ask, size, exchange, condition, suspicious.
        last = {11: (4, 5, 9, 10), 8: (1, 2, 3, 4)}[self._columns]
        times, sides = [], []
        for number, text in enumerate(block.decode("latin-1").splitlines(), line):
            cells = text.split(",")
            try:
                if len(cells) == 8 and int(cells[7] or 0):
                    self.counts["suspicious quote"] += 1
                    continue
                times.append(int(cells[0]) * MS)
                sides.append([int(cells[i] or 0) for i in last])
            except (ValueError, IndexError):
                raise DataError("not a quote", where=f"{self.path} line {number}", mend="the file is damaged") from None
        rows = np.array(sides, np.int64).reshape(-1, 4)
        out: Records = np.zeros(len(rows), quote_dtype)
        out["type"], out["instrument"] = int(RecordType.QUOTE), self.instruments[0].id
        out["ts_event"] = out["ts_recv"] = new_york_ns(self._day, np.array(times, np.int64)) + max(self.interval - 1, 0)
        for side, i in (("bid", 0), ("ask", 2)):
            there = rows[:, i] > 0
            out[f"{side}_px"] = np.where(there, rows[:, i] * PX, NO_PRICE)
            out[f"{side}_qty"] = np.where(there, rows[:, i + 1] * SHARE, 0)
        return out.view(market_dtype)


def _peek(path: Path) -> tuple[str, list[str]]:
    """The CSV's name and its first row."""
    member = path.name
    if path.suffix == ".zip":
        try:
            with zipfile.ZipFile(path) as archive:
                member = archive.namelist()[0]
        except (OSError, zipfile.BadZipFile, IndexError) as e:
            raise DataError(f"cannot be read: {e}", where=str(path), mend="give a zip as Lean keeps them") from None
    with open_lines(path) as stream:
        cells = stream.readline().decode("latin-1").strip().split(",")
    if len(cells) not in (6, 8, 11):
        raise DataError(f"{len(cells)} columns", where=str(path), mend="a file of Lean has 6, 8 or 11")
    return member, cells


def _interval(path: Path) -> int:
    """Of bars within a day: a minute where all of the first rows begin on one, else a second."""
    with open_lines(path) as stream:
        block = next(line_blocks(stream, 2000))
    starts = [int(text.partition(b",")[0]) for text in block.splitlines()]
    return MINUTE if all(ms % 60_000 == 0 for ms in starts) else SECOND


def _wall(days: Ints, ns: Ints) -> Ints:
    out = np.empty(len(days), np.int64)
    for day in np.unique(days).tolist():
        here = days == day
        out[here] = new_york_ns(str(day), ns[here])
    return out


def _letter(exchange: bytes) -> int:
    return exchange[0] if exchange else 0


def _letters(code: int) -> str:
    """At most four, those that take something away first."""
    found = [letter for bit, letter in CONDITIONS.items() if code >> bit & 1]
    return "".join(sorted(found, key=lambda letter: letter not in NO_PRICE_FROM)[:4]) or "@"
