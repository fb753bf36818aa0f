"""A market made of bars: the records that a bar could have come from.

Each bar is four prints, of a quarter of its volume each: its open at its start, then a third and two thirds through it its low
and high (the low first where it closes at or above its open), and its close in its last nanosecond. Only the exchange sees quotes:

* at the open, bid and ask are the open price: an order decided on the bar before, and sent within it, trades there;
* at the other points the side that the price moved to shows that price, and the other side is a tick behind it: a limit order is
  filled only when the price trades through it, a stop by the first point at or beyond it, at that point's price;
* with the close the quotes go: between bars nothing trades, and what waits meets the next open, a limit order at its own price.

A bar without volume is no print and is left out.
"""

from typing import Any

import numpy as np

from pyrt._core.types import NO_PRICE, RecordType, market_dtype, quote_dtype, trade_dtype
from pyrt.research.tape import Chunk

Records = np.ndarray[Any, Any]
_RAW = f"V{market_dtype.itemsize}"


def market_of(bars: Records, ticks: dict[int, int]) -> Chunk:
    """Bars (bar_dtype, by start) as records for the session and for the exchange; ticks: px units by instrument id."""
    bars = bars[bars["volume"] > 0]
    if not len(bars):
        nothing = np.empty(0, market_dtype)
        return nothing, nothing
    rising = bars["close_px"] >= bars["open_px"]
    low, high = bars["low_px"], bars["high_px"]
    first, second = np.where(rising, low, high), np.where(rising, high, low)
    px = np.stack([bars["open_px"], first, second, bars["close_px"]], axis=1)
    step = (bars["interval"] - 1) // 3
    at = np.stack([bars["start"], bars["start"] + step, bars["start"] + 2 * step, bars["start"] + bars["interval"] - 1], axis=1)
    quarter = bars["volume"] // 4
    qty = np.stack([quarter, quarter, quarter, bars["volume"] - 3 * quarter], axis=1)
    trades = _trades(bars, px, at, qty)
    tick = np.array([ticks[i] for i in bars["instrument"].tolist()], np.int64)
    both = np.empty((len(bars), 9), _RAW)  # whole records are copied, not field by field
    quotes = _quotes(bars, px, at, qty, tick).view(_RAW)
    both[:, 0:8:2], both[:, 1:8:2], both[:, 8] = quotes[:, :4], trades.view(_RAW), quotes[:, 4]
    seen = trades.view(_RAW).reshape(-1)
    if not qty.all():
        seen = seen[qty.reshape(-1) > 0]
    return _in_time(seen.view(market_dtype)), _in_time(both.reshape(-1).view(market_dtype))


def _trades(bars: Records, px: Records, at: Records, qty: Records) -> Records:
    trades = np.zeros(px.shape, trade_dtype)
    trades["type"] = RecordType.TRADE
    trades["instrument"] = bars["instrument"][:, None]
    trades["ts_event"] = trades["ts_recv"] = at
    trades["px"], trades["qty"] = px, qty
    return trades


def _quotes(bars: Records, px: Records, at: Records, qty: Records, tick: Records) -> Records:
    moved = np.sign(np.diff(px, axis=1, prepend=px[:, :1]))
    quotes = np.zeros((len(bars), 5), quote_dtype)
    quotes["type"] = RecordType.QUOTE
    quotes["instrument"] = bars["instrument"][:, None]
    quotes["ts_event"][:, :4], quotes["ts_event"][:, 4] = at, at[:, 3]
    quotes["ts_recv"] = quotes["ts_event"]
    quotes["bid_px"][:, :4] = px - np.where(moved > 0, tick[:, None], 0)
    quotes["ask_px"][:, :4] = px + np.where(moved < 0, tick[:, None], 0)
    quotes["bid_qty"][:, :4] = quotes["ask_qty"][:, :4] = np.maximum(qty, 1)
    quotes["bid_px"][:, 4] = quotes["ask_px"][:, 4] = NO_PRICE
    return quotes


def _in_time(records: Records) -> Records:
    times = records["ts_event"]
    if (times[1:] < times[:-1]).any():
        return records.view(_RAW)[np.argsort(times, kind="stable")].view(market_dtype)
    return records
