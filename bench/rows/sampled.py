"""Trades to bars of 100 ticks, 10,000 shares, $2,000,000 and a range of $0.10, in one pass."""

import ctypes
from collections.abc import Iterator
from typing import Any

import numpy as np

from bench import material
from bench.limits import limit
from bench.rows import Contender, Row, Run, peer
from bench.rows.bars import rules
from pyrt._core.types import bar_dtype, trade_dtype
from pyrt.bars import BarAggregator, Dollar, Range, Tick, Volume

N = 100_000
SPECS = (Tick(100), Volume(10_000), Dollar(2_000_000), Range("0.10"))
CODES = np.array([spec.code for spec in SPECS], np.int64)


def rows() -> Iterator[Row]:
    trades = material.trades(N)
    trades.view(trade_dtype)["instrument"] = 0
    yield Row(
        "sampled.batch",
        "a trade into tick + volume + dollar + range bars, batch",
        "ns",
        N,
        (
            ours(trades),
            bare(trades),
            peer("pandas, tick bars alone", lambda: pandas_ticks(trades)),
        ),
        bound=1.3,
    )


def ours(trades: material.Records) -> Contender:
    made: list[BarAggregator] = []
    data = trades.view(np.uint8)

    def before() -> None:
        made[:] = [BarAggregator(SPECS)]

    def run() -> Any:
        return made[0].apply(data), made[0].take()

    return Contender("BarAggregator.apply + take", "ours", run, before)


def bare(trades: material.Records) -> Contender:
    c = limit("sampled")
    c.sampled_new.restype = ctypes.c_void_p
    c.sampled_apply.restype = c.sampled_take.restype = ctypes.c_int64
    data, n, table = ctypes.c_void_p(trades.ctypes.data), ctypes.c_int64(len(trades)), rules()
    made: list[ctypes.c_void_p] = []
    found = ctypes.c_void_p()

    def before() -> None:
        for old in made:
            c.sampled_free(old)
        made[:] = [ctypes.c_void_p(c.sampled_new(CODES.ctypes, table.ctypes))]

    def run() -> Any:
        applied = c.sampled_apply(made[0], data, n)
        count = c.sampled_take(made[0], ctypes.byref(found))
        return applied, np.frombuffer(ctypes.string_at(found.value or 0, count * bar_dtype.itemsize), bar_dtype)

    return Contender("C loop", "limit", run, before)


def pandas_ticks(trades: material.Records) -> Run:
    import pandas as pd

    view = trades.view(trade_dtype)
    frame = pd.DataFrame({"px": view["px"] / 1e9, "qty": view["qty"] / 1e9})
    number = np.arange(N) // 100

    def run() -> None:
        groups = frame.groupby(number)
        groups["px"].ohlc()
        groups["qty"].sum()

    return run
