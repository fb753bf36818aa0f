"""Six indicators of a bar in one pass: SMA(20), EMA(20), RSI(14), MACD(12, 26, 9), Bollinger(20, 2), ATR(14)."""

import ctypes
from collections.abc import Iterator
from typing import Any

import numpy as np

from bench.limits import limit
from bench.rows import Contender, Row, Run, peer
from pyrt.indicators import ATR, EMA, MACD, RSI, SMA, Bollinger, IndicatorSet

N = 20_000
SLOW = 500  # operations a round of what makes objects
OUTPUTS = 10
WARMUP = 33
Columns = tuple[np.ndarray[Any, Any], ...]


def market() -> Columns:
    """High, low and close."""
    rng = np.random.default_rng(1)
    close = 100 + np.cumsum(rng.normal(0, 0.03, N))
    return close + rng.random(N) * 0.01, close - rng.random(N) * 0.01, close


def six() -> IndicatorSet:
    return IndicatorSet(SMA(20), EMA(20), RSI(14), MACD(12, 26, 9), Bollinger(20, 2), ATR(14))


def rows() -> Iterator[Row]:
    columns = market()
    yield Row(
        "indicators.six",
        "six indicators, streaming, one bar",
        "ns",
        N,
        (
            Contender("IndicatorSet.apply", "ours", ours(columns)),
            Contender("C, one function", "limit", bare(columns)),
            peer("TA-Lib, six whole arrays", lambda: ta_lib(columns)),
            peer("talipp", lambda: talipp(columns), operations=SLOW),
            peer("nautilus_trader", lambda: nautilus(columns), operations=SLOW),
        ),
        bound=1.3,
    )
    yield Row(
        "indicators.call",
        "the same, one Python call a bar",
        "ns",
        N,
        (
            Contender("IndicatorSet.update", "ours", calls(columns)),
            peer("talipp", lambda: talipp(columns), operations=SLOW),
            peer("nautilus_trader", lambda: nautilus(columns), operations=SLOW),
        ),
    )


def ours(columns: Columns) -> Run:
    together, out = six(), np.empty((N, OUTPUTS))

    def run() -> Any:
        together.reset()
        return together.apply(*columns, out=out)[WARMUP:]

    return run


def bare(columns: Columns) -> Run:
    c = limit("indicators")
    c.six_size.restype = c.six_apply.restype = ctypes.c_int64
    state, out = ctypes.create_string_buffer(c.six_size()), np.empty((N, OUTPUTS))
    arguments = [ctypes.c_void_p(column.ctypes.data) for column in columns]
    n, to = ctypes.c_int64(N), ctypes.c_void_p(out.ctypes.data)

    def run() -> Any:
        c.six_new(state)
        if c.six_apply(state, *arguments, n, to) != N:
            raise AssertionError("the limit took fewer bars")
        return out[WARMUP:]

    return run


def calls(columns: Columns) -> Run:
    together, bars = six(), list(zip(*(column.tolist() for column in columns), strict=True))

    def run() -> None:
        together.reset()
        update = together.update
        for high, low, close in bars:
            update(high, low, close)

    return run


def ta_lib(columns: Columns) -> Run:
    import talib

    high, low, close = columns

    def run() -> None:
        talib.SMA(close, 20)
        talib.EMA(close, 20)
        talib.RSI(close, 14)
        talib.MACD(close, 12, 26, 9)
        talib.BBANDS(close, 20, 2, 2)
        talib.ATR(high, low, close, 14)

    return run


def talipp(columns: Columns) -> Run:
    from talipp.indicators import ATR as Range
    from talipp.indicators import BB, MACD, RSI, SMA
    from talipp.indicators import EMA as Exponential
    from talipp.ohlcv import OHLCV

    bars = list(zip(*(column[:SLOW].tolist() for column in columns), strict=True))

    def run() -> None:
        closes = [SMA(20), Exponential(20), RSI(14), MACD(12, 26, 9), BB(20, 2)]
        ranges = Range(14)
        for high, low, close in bars:
            for each in closes:
                each.add(close)
            ranges.add(OHLCV(close, high, low, close))

    return run


def nautilus(columns: Columns) -> Run:
    from nautilus_trader import indicators as theirs

    bars = list(zip(*(column[:SLOW].tolist() for column in columns), strict=True))

    def run() -> None:
        closes = [
            theirs.SimpleMovingAverage(20),
            theirs.ExponentialMovingAverage(20),
            theirs.RelativeStrengthIndex(14),
            theirs.MovingAverageConvergenceDivergence(12, 26),
        ]
        bands, ranges = theirs.BollingerBands(20, 2), theirs.AverageTrueRange(14)
        for high, low, close in bars:
            for each in closes:
                each.update_raw(close)
            bands.update_raw(high, low, close)
            ranges.update_raw(high, low, close)

    return run
