"""Columns into records and back: lists, arrays or a DataFrame's columns in whole units, records as the core takes them.

Times are ns UTC, or whatever NumPy reads as datetime64. Quantities have up to `qty_exp` decimals. A number that its units cannot
hold exactly, or that is off the tick, is refused with its row; floats are taken by their shortest repr, so 190.1 is 190.1.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pyrt._core.types import (
    NO_PRICE,
    PX_SCALE,
    Flag,
    RecordType,
    Side,
    bar_dtype,
    delta_dtype,
    format_units,
    market_dtype,
    quote_dtype,
    to_units,
    trade_dtype,
)
from pyrt.errors import DataError

Records = NDArray[np.void]
_EXACT = float(1 << 51)  # products below it are rounded to the integer that is meant
_SIDES = {"buy": 1, "bid": 1, "b": 1, "sell": 2, "ask": 2, "s": 2, "a": 2}


def trades(
    ts: ArrayLike, price: ArrayLike, quantity: ArrayLike, *, instrument: ArrayLike = 1, tick: str | None = None, qty_exp: int = 9
) -> Records:
    """Prints, as market_dtype."""
    out = _begin(trade_dtype, RecordType.TRADE, ts, instrument)
    _value(out, price, quantity, tick, qty_exp)
    out["trade_id"] = np.arange(1, len(out) + 1)
    return out.view(market_dtype)


def quotes(
    ts: ArrayLike,
    bid: ArrayLike,
    ask: ArrayLike,
    bid_quantity: ArrayLike,
    ask_quantity: ArrayLike,
    *,
    instrument: ArrayLike = 1,
    tick: str | None = None,
    qty_exp: int = 9,
) -> Records:
    """Best bids and offers, as market_dtype; NaN in a price: that side is empty."""
    out = _begin(quote_dtype, RecordType.QUOTE, ts, instrument)
    for name, price, quantity in (("bid", bid, bid_quantity), ("ask", ask, ask_quantity)):
        column = np.broadcast_to(np.asarray(price), out.shape)
        empty = np.isnan(column) if column.dtype.kind == "f" else np.zeros(len(out), bool)
        out[f"{name}_px"] = np.where(empty, NO_PRICE, prices(np.where(empty, 0, column) if empty.any() else column, tick))
        out[f"{name}_qty"] = np.where(empty, 0, units(quantity, qty_exp, f"{name}_quantity"))
    return out.view(market_dtype)


def deltas(
    ts: ArrayLike,
    side: ArrayLike,
    price: ArrayLike,
    quantity: ArrayLike,
    *,
    instrument: ArrayLike = 1,
    tick: str | None = None,
    qty_exp: int = 9,
) -> Records:
    """Changes of levels, each an event of its own: the level's new quantity, 0 removes it. As market_dtype."""
    out = _begin(delta_dtype, RecordType.DELTA, ts, instrument)
    out["flags"] = Flag.LAST
    out["side"] = _sides(side)
    _value(out, price, quantity, tick, qty_exp)
    out["update_id"] = np.arange(1, len(out) + 1)
    return out.view(market_dtype)


def bars(
    start: ArrayLike,
    open: ArrayLike,
    high: ArrayLike,
    low: ArrayLike,
    close: ArrayLike,
    volume: ArrayLike,
    *,
    interval: int,
    instrument: ArrayLike = 1,
    tick: str | None = None,
    qty_exp: int = 9,
) -> Records:
    """Bars of an interval (ns), as bar_dtype: what a backtest takes."""
    out = _begin(bar_dtype, RecordType.BAR, start, instrument)
    out["start"], out["interval"] = out["ts_event"], interval
    out["ts_event"] += interval
    out["ts_recv"] = out["ts_event"]
    for name, column in (("open", open), ("high", high), ("low", low), ("close", close)):
        out[f"{name}_px"] = prices(column, tick)
    out["volume"] = units(volume, qty_exp, "volume")
    return out


def columns(records: Records, *, qty_exp: int = 9) -> dict[str, NDArray[Any]]:
    """Records of one type as columns in whole units, times as datetime64[ns]: pandas.DataFrame(columns(bars)).

    Raises DataError for records of several types.
    """
    records = _typed(records)
    out: dict[str, NDArray[Any]] = {}
    for name in records.dtype.names or ():
        column = records[name]
        if name.startswith("ts_") or name == "start":
            out[name] = column.astype("datetime64[ns]")
        elif name.endswith("_px") or name == "px":
            out[name.removesuffix("_px").replace("px", "price")] = np.where(column == NO_PRICE, np.nan, column / 1e9)
        elif name.endswith("qty") or name == "volume":
            out[name.replace("qty", "quantity")] = column / 10.0**qty_exp
        elif name == "instrument" or name in _PLAIN:
            out[name] = column.copy()
    return out


_PLAIN = ("side", "trades", "revision", "interval", "trade_id", "update_id", "flags")
_TYPES = {
    RecordType.TRADE: trade_dtype,
    RecordType.QUOTE: quote_dtype,
    RecordType.DELTA: delta_dtype,
    RecordType.BAR: bar_dtype,
}


def prices(column: ArrayLike, tick: str | None = None) -> NDArray[np.int64]:
    """A column of prices as px units. Raises DataError for one that is off the tick, naming the row."""
    px = units(column, PX_SCALE, "price")
    if tick is not None:
        step = int(units(tick, PX_SCALE, "tick")[0])
        if step <= 0:
            raise DataError(f"{tick} is not above 0", where="tick", mend='pass a price increment, "0.01"')
        off = np.flatnonzero(px % step)
        if len(off):
            what = f"{format_units(int(px[off[0]]))} is off the tick of {tick}"
            raise DataError(what, where=f"price, row {off[0]}", mend="round the column to the tick")
    return px


def units(column: ArrayLike, exp: int, name: str = "column") -> NDArray[np.int64]:
    """A column of numbers in whole units as units of 10^-exp, exactly. Raises DataError, naming the row, where one does not fit."""
    values = np.atleast_1d(np.asarray(column))
    scale = 10**exp
    if values.dtype.kind in "iu":
        if len(values) and max(abs(int(values.min())), abs(int(values.max()))) * scale >= 1 << 63:
            return _each(values, exp, name)
        out: NDArray[np.int64] = values.astype(np.int64) * scale
        return out
    if values.dtype.kind == "f" and values.dtype.itemsize == 8:
        scaled = values * scale
        with np.errstate(invalid="ignore"):
            whole = np.rint(scaled)
            if bool((np.abs(scaled) < _EXACT).all() and (whole / scale == values).all()):
                rounded: NDArray[np.int64] = whole.astype(np.int64)
                return rounded
    return _each(values, exp, name)


def _each(values: NDArray[Any], exp: int, name: str) -> NDArray[np.int64]:
    out = np.empty(len(values), np.int64)
    for row, value in enumerate(values.tolist()):
        try:
            out[row] = to_units(value, exp)
        except (TypeError, ValueError) as e:
            raise DataError(str(e), where=f"{name}, row {row}", mend="pass int, str, Decimal or float") from None
    return out


def _value(out: Records, price: ArrayLike, quantity: ArrayLike, tick: str | None, qty_exp: int) -> None:
    out["px"] = prices(price, tick)
    out["qty"] = units(quantity, qty_exp, "quantity")


def _begin(dtype: np.dtype[np.void], kind: RecordType, ts: ArrayLike, instrument: ArrayLike) -> Records:
    times = np.atleast_1d(np.asarray(ts))
    if times.dtype.kind not in "iu":
        try:
            times = np.atleast_1d(np.asarray(ts, dtype="datetime64[ns]"))
        except (TypeError, ValueError) as e:
            raise DataError(str(e), where="ts", mend="pass ns UTC as int, or datetime64") from None
    out = np.zeros(len(times), dtype)
    out["type"], out["instrument"] = kind, _ids(instrument)
    stamps = times.astype(np.int64)
    # NaT, and what an unsigned column holds beyond 63 bits, would be years before 1970.
    lost = np.flatnonzero(np.isnat(times) if times.dtype.kind == "M" else (times > 0) != (stamps > 0))
    if len(lost):
        raise DataError(f"{times[lost[0]]} is no time", where=f"ts, row {lost[0]}", mend="pass ns UTC as int, or datetime64")
    out["ts_event"] = out["ts_recv"] = stamps
    return out


def _ids(instrument: ArrayLike) -> NDArray[np.uint32]:
    values = np.asarray(instrument)
    if values.dtype.kind not in "iu" or ((values < 0) | (values >= 1 << 32)).any():
        raise DataError(f"{instrument!r} is no id", where="instrument", mend="pass an int, 0 or more, below 2**32")
    return values.astype(np.uint32)


def _sides(side: ArrayLike) -> Any:
    values = np.atleast_1d(np.asarray(side))
    if values.dtype.kind in "iu":
        found: Sequence[int] = values.tolist()
    else:
        found = [_SIDES.get(str(s).lower(), 0) for s in values.tolist()]
    wrong = next((row for row, value in enumerate(found) if value not in (Side.BUY, Side.SELL)), None)
    if wrong is not None:
        raise DataError(f"{values[wrong]!r} is no side", where=f"side, row {wrong}", mend='say "buy" or "sell"')
    return found


def _typed(records: Records) -> Records:
    if records.dtype != market_dtype or not len(records):
        return records
    kinds = np.unique(records["type"])
    if len(kinds) > 1 or int(kinds[0]) not in _TYPES:
        raise DataError(f"records of types {kinds.tolist()}", where="columns", mend="select one type first")
    return records.view(_TYPES[RecordType(int(kinds[0]))])
