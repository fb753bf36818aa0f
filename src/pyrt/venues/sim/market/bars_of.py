"""Trades as bars, and shorter bars as longer ones, exactly."""

from itertools import pairwise
from operator import mul

import numpy as np
import numpy.typing as npt

from pyrt._core.types import NO_PRICE, Flag, RecordType, bar_dtype, market_dtype, quote_dtype, trade_dtype

Records = npt.NDArray[np.void]
Ints = npt.NDArray[np.int64]
SHARE = 1_000_000_000  # qty units
LIMB = 20  # bits


def bars_of(trades: Records, interval: int) -> Records:
    """Trades in time order (market_dtype) as bars; prints that may not set a price count for volume only.

    interval: ns. Bars begin at multiples of it since 1970.
    """
    prints = trades.view(trade_dtype)
    starts = prints["ts_event"] // interval * interval
    edges = np.flatnonzero(np.diff(starts, prepend=-1))
    bars = np.zeros(len(edges), dtype=bar_dtype)
    if not len(edges):
        return bars
    regular = (prints["flags"] & int(Flag.INELIGIBLE)) == 0
    px, top = prints["px"], np.iinfo(np.int64).max
    bars["type"], bars["instrument"] = int(RecordType.BAR), prints["instrument"][0]
    bars["start"], bars["interval"] = starts[edges], interval
    bars["ts_event"] = bars["ts_recv"] = starts[edges] + interval
    bars["high_px"] = np.maximum.reduceat(np.where(regular, px, 0), edges)
    bars["low_px"] = np.minimum.reduceat(np.where(regular, px, top), edges)
    order = np.arange(len(px))
    first = np.minimum.reduceat(np.where(regular, order, len(px) - 1), edges)
    last = np.maximum.reduceat(np.where(regular, order, 0), edges)
    bars["open_px"], bars["close_px"] = px[first], px[last]
    bars["volume"] = np.add.reduceat(prints["qty"], edges)
    bars["trades"] = np.diff(edges, append=len(px))
    _set_notional(bars, _notionals(px, prints["qty"], edges))
    return bars[bars["high_px"] > 0]


def bars_of_quotes(quotes: Records, interval: int) -> Records:
    """Quotes in time order (market_dtype) as bars of the middle of bid and ask: no volume, no trades."""
    sides = quotes.view(quote_dtype)
    sides = sides[(sides["bid_px"] != NO_PRICE) & (sides["ask_px"] != NO_PRICE)]
    middles = np.zeros(len(sides), dtype=trade_dtype)
    for name in ("instrument", "ts_event"):
        middles[name] = sides[name]
    middles["px"] = (sides["bid_px"] + sides["ask_px"]) // 2
    bars = bars_of(middles.view(market_dtype), interval)
    bars["trades"] = 0
    return bars


def fill_bars(bars: Records, quotes: Records, interval: int) -> Records:
    """Bars with those of the intervals in which there were quotes and nothing traded."""
    quiet = bars_of_quotes(quotes, interval)
    rows = np.concatenate([bars, quiet[~np.isin(quiet["start"], bars["start"])]])
    return rows[np.argsort(rows["start"], kind="stable")]


def _notionals(px: Ints, qty: Ints, edges: Ints) -> list[int]:
    """Exact sums of px * qty from edge to edge; whole shares fit machine words, the rest is summed limb by limb."""
    shares = qty // SHARE
    if not (qty % SHARE).any() and int(px.max()) * int(shares.sum()) < 2**62:
        return [total * SHARE for total in np.add.reduceat(px * shares, edges).tolist()]
    if min(int(px.min()), int(qty.min())) < 0 or len(px) > 1 << LIMB:
        return [sum(map(mul, px[a:b].tolist(), qty[a:b].tolist())) for a, b in pairwise([*edges.tolist(), len(px)])]
    totals = [0] * len(edges)
    for i, left in enumerate(_limbs(px)):
        for j, right in enumerate(_limbs(qty)):
            for group, part in enumerate(np.add.reduceat(left * right, edges).tolist()):
                totals[group] += part << LIMB * (i + j)
    return totals


def _limbs(values: Ints) -> list[Ints]:
    """The digits of numbers >= 0, lowest first: a million products of two of them fit one machine word."""
    limbs, top = [], int(values.max())
    while top:
        limbs.append(values & (1 << LIMB) - 1)
        values, top = values >> LIMB, top >> LIMB
    return limbs


def _sums(high: Ints, low: npt.NDArray[np.uint64], edges: Ints) -> list[int]:
    """Exact sums of high * 2**64 + low from edge to edge, of at most 2**31 numbers."""
    half = np.uint64(32)
    parts = (high, low >> half, low & np.uint64(2**32 - 1))
    sums = (np.add.reduceat(part, edges).tolist() for part in parts)
    return [(a << 64) + (b << 32) + c for a, b, c in zip(*sums, strict=True)]


def _set_notional(bars: Records, sums: list[int]) -> None:
    bars["notional_lo"] = [total & (1 << 64) - 1 for total in sums]
    bars["notional_hi"] = [total >> 64 for total in sums]


def merge_bars(bars: Records, interval: int) -> Records:
    """Shorter bars in time order as longer ones; `interval` is a multiple of theirs."""
    starts = bars["start"] // interval * interval
    edges = np.flatnonzero(np.diff(starts, prepend=-1))
    merged = bars[edges].copy()
    if not len(edges):
        return merged
    merged["start"], merged["interval"] = starts[edges], interval
    merged["ts_event"] = merged["ts_recv"] = starts[edges] + interval
    merged["high_px"] = np.maximum.reduceat(bars["high_px"], edges)
    merged["low_px"] = np.minimum.reduceat(bars["low_px"], edges)
    merged["close_px"] = bars["close_px"][np.append(edges[1:], len(bars)) - 1]
    merged["volume"] = np.add.reduceat(bars["volume"], edges)
    merged["trades"] = np.add.reduceat(bars["trades"], edges)
    _set_notional(merged, _sums(bars["notional_hi"], bars["notional_lo"], edges))
    return merged
