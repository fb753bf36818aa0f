"""Market records as the data host's JSON rows, and the arithmetic of its pages."""

import base64
import re
from collections.abc import Callable
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import numpy as np
import numpy.typing as npt

from pyrt._core.types import NO_PRICE, Side, bar_dtype, quote_dtype, trade_dtype
from pyrt.calendar import NEW_YORK
from pyrt.clock import MINUTE, SECOND
from pyrt.venues.sim.times import format_time

Records = npt.NDArray[np.void]
Row = dict[str, Any]

HOUR = 60 * MINUTE
EXCHANGE = "V"  # what a record without an exchange comes from
TAPE = "C"
_PX = 1e9

_TIMEFRAME = re.compile(r"(\d{1,2})(Min|T|Hour|H|Day|D|Week|W|Month|M)", re.ASCII)
_UNITS = {"Min": "T", "T": "T", "Hour": "H", "H": "H", "Day": "D", "D": "D", "Week": "W", "W": "W", "Month": "M", "M": "M"}
_COUNTS = {"T": range(1, 60), "H": range(1, 24), "D": (1,), "W": (1,), "M": (1, 2, 3, 4, 6, 12)}


class Timeframe(msgspec.Struct, frozen=True):
    """`count` of T minutes, H hours, D days, W weeks, M months."""

    count: int
    unit: str

    @property
    def interval(self) -> int:
        """The length of a bar of minutes or hours, in ns; 0 for days and more, whose length varies."""
        return {"T": MINUTE, "H": HOUR}.get(self.unit, 0) * self.count

    def start_of(self, ns: int, zone: ZoneInfo = NEW_YORK) -> int:
        """The beginning, in ns, of the zone's day, week or month that holds `ns`."""
        day = datetime.fromtimestamp(ns // SECOND, zone).replace(hour=0, minute=0, second=0, microsecond=0, fold=0)
        if self.unit == "W":
            day = datetime.fromordinal(day.toordinal() - day.weekday()).replace(tzinfo=zone)
        elif self.unit == "M":
            day = day.replace(day=1, month=(day.month - 1) // self.count * self.count + 1)
        return int(day.timestamp()) * SECOND


def parse_timeframe(text: str) -> Timeframe:
    """1Min, 5T, 1Hour, 1Day, 1Week, 3Month ... Raises ValueError."""
    found = _TIMEFRAME.fullmatch(text)
    if found is None or int(found[1]) not in _COUNTS[_UNITS[found[2]]]:
        raise ValueError(f"invalid timeframe: {text}")
    return Timeframe(int(found[1]), _UNITS[found[2]])


class Token(msgspec.Struct, array_like=True):
    """Where a page begins: a symbol, a time, and how many rows of that time were served.

    `now` is the venue's time at the first page: what was corrected later is not in the others either.
    """

    symbol: str
    ts: int
    served: int
    now: int = 2**63 - 1

    def text(self) -> str:
        """The `next_page_token` of an answer."""
        return base64.urlsafe_b64encode(msgspec.json.encode(self)).decode()


def parse_token(text: str) -> Token:
    """A `page_token` of ours. Raises ValueError."""
    try:
        token = msgspec.json.decode(base64.urlsafe_b64decode(text.encode()), type=Token)
        if not all(0 <= number < 2**63 for number in (token.ts, token.served, token.now)):
            raise ValueError(text)
        return token
    except (ValueError, msgspec.DecodeError):
        raise ValueError("invalid page token") from None


def trade_rows(records: Records, scale: float) -> list[Row]:
    """Trades; `scale` is the number of quantity units in one."""
    r = records.view(trade_dtype)
    return [
        {"t": format_time(t), "x": chr(x or 86), "p": px / _PX, "s": size(qty, scale), "c": letters(c), "i": i, "z": chr(z or 67)}
        for t, x, px, qty, c, i, z in zip(
            r["ts_event"].tolist(),
            r["exchange"].tolist(),
            r["px"].tolist(),
            r["qty"].tolist(),
            r["conditions"].tolist(),
            r["trade_id"].tolist(),
            r["tape"].tolist(),
            strict=True,
        )
    ]


def pair_trade_rows(records: Records, scale: float) -> list[Row]:
    """Trades of a pair, with the side that took."""
    r = records.view(trade_dtype)
    names = ("ts_event", "px", "qty", "trade_id", "taker")
    return [
        {"t": format_time(t), "p": px / _PX, "s": size(qty, scale), "i": i, "tks": "B" if taker == int(Side.BUY) else "S"}
        for t, px, qty, i, taker in zip(*(r[name].tolist() for name in names), strict=True)
    ]


def pair_quote_rows(records: Records, scale: float) -> list[Row]:
    """Quotes of a pair."""
    keys = ("t", "bp", "bs", "ap", "as")
    return [{key: row[key] for key in keys} for row in quote_rows(records, scale)]


def quote_rows(records: Records, scale: float) -> list[Row]:
    """Quotes; an empty side has price 0 and size 0."""
    r = records.view(quote_dtype)
    return [
        {
            "t": format_time(t),
            "ax": EXCHANGE,
            "ap": 0 if ap == NO_PRICE else ap / _PX,
            "as": size(az, scale),
            "bx": EXCHANGE,
            "bp": 0 if bp == NO_PRICE else bp / _PX,
            "bs": size(bz, scale),
            "c": ["R"],
            "z": TAPE,
        }
        for t, bp, bz, ap, az in zip(
            r["ts_event"].tolist(),
            r["bid_px"].tolist(),
            r["bid_qty"].tolist(),
            r["ask_px"].tolist(),
            r["ask_qty"].tolist(),
            strict=True,
        )
    ]


def bar_rows(records: Records, scale: float) -> list[Row]:
    """Bars, labelled by their start."""
    r = records.view(bar_dtype)
    names = ("start", "open_px", "high_px", "low_px", "close_px", "volume", "trades", "notional_hi", "notional_lo")
    return [
        {
            "t": format_time(t),
            "o": o / _PX,
            "h": h / _PX,
            "l": low / _PX,
            "c": c / _PX,
            "v": size(v, scale),
            "n": n,
            "vw": ((hi << 64) + lo) // v / _PX if v else 0,  # as the stream tells it
        }
        for t, o, h, low, c, v, n, hi, lo in zip(*(r[name].tolist() for name in names), strict=True)
    ]


def group_bars(records: Records, timeframe: Timeframe, zone: ZoneInfo = NEW_YORK) -> Records:
    """Bars of hours and minutes as those of days, weeks or months of a zone."""
    days = records.view(bar_dtype)
    starts = np.array([timeframe.start_of(t, zone) for t in days["start"].tolist()], dtype=np.int64)
    grouped = []
    for start in np.unique(starts).tolist():
        part = days[starts == start]
        bar = part[:1].copy()
        notional = sum((hi << 64) + lo for hi, lo in zip(part["notional_hi"].tolist(), part["notional_lo"].tolist(), strict=True))
        bar["start"], bar["interval"] = start, part["ts_event"][-1] - start
        bar["ts_event"], bar["close_px"] = part["ts_event"][-1], part["close_px"][-1]
        bar["high_px"], bar["low_px"] = part["high_px"].max(), part["low_px"].min()
        bar["volume"], bar["trades"] = part["volume"].sum(), part["trades"].sum()
        bar["notional_hi"], bar["notional_lo"] = notional >> 64, notional & (1 << 64) - 1
        grouped.append(bar)
    return np.concatenate(grouped) if grouped else days[:0]


def size(qty: int, scale: float) -> int | float:
    """A quantity as JSON shows it: whole ones without a point."""
    value = qty / scale
    return int(value) if value.is_integer() else value


def letters(conditions: int) -> list[str]:
    """Up to four condition letters, first one lowest byte; none is a plain print."""
    return [chr(byte) for byte in conditions.to_bytes(4, "little") if byte] or ["@"]


ROWS: dict[str, Callable[[Records, float], list[Row]]] = {"bars": bar_rows, "trades": trade_rows, "quotes": quote_rows}
PAIR_ROWS = {"bars": bar_rows, "trades": pair_trade_rows, "quotes": pair_quote_rows}
