"""Trades to bars of 1 s, 1 m and 5 m, as the driver feeds them: a timer at the end of each second closes what has ended."""

import ctypes
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from bench import material
from bench.limits import limit
from bench.material import QTY, SECOND, T0
from bench.rows import Contender, Row, Run, peer
from pyrt._core.bars import BarAggregator
from pyrt._core.conditions import CONDITION_RULES
from pyrt._core.types import Clock, RecordType, bar_dtype, market_dtype, timer_dtype, trade_dtype

N = 100_000
SLOW = 20_000
INTERVALS = [SECOND, 60 * SECOND, 300 * SECOND]


def rows() -> Iterator[Row]:
    trades = material.trades(N)
    records = timed(trades)
    yield Row(
        "bars.batch",
        "a trade into bars of 1 s + 1 m + 5 m, one instrument, batch",
        "ns",
        N,
        (
            ours(records),
            bare(records),
            peer("numba", lambda: numba_bars(trades)),
            peer("polars", lambda: polars_bars(trades)),
            peer("pandas", lambda: pandas_bars(trades[:SLOW]), operations=SLOW),
        ),
        bound=1.15,
    )


def timed(trades: material.Records) -> material.Records:
    """The trades (1 ms apart) with a timer after each second, and one at the end that closes everything."""
    ends = np.arange(1, N // 1000 + 1) * SECOND + T0
    timers = np.zeros(len(ends) + 1, timer_dtype)
    timers["type"], timers["clock"] = RecordType.TIMER, Clock.VENUE
    timers["at"][:-1], timers["at"][-1] = ends, ends[-1] + INTERVALS[-1]
    whole = np.concatenate([timers.view(market_dtype), trades])
    order = np.argsort(np.concatenate([timers["at"], trades.view(trade_dtype)["ts_event"]]), kind="stable")
    return whole[order].copy()


def rules() -> Any:
    """What each condition letter lets a trade change: the table that the limit gets."""
    table = np.full(256, 7, np.uint8)
    for letter, fields in CONDITION_RULES.items():
        table[ord(letter)] = int(fields)
    return table


WIDTHS = np.array(INTERVALS, np.int64)


def intervals() -> tuple[Any, int]:
    return WIDTHS.ctypes, len(WIDTHS)


def output(c: ctypes.CDLL) -> ctypes.c_void_p:
    """Where a limit's bars go."""
    c.output_new.restype = ctypes.c_void_p
    c.output_take.restype = ctypes.c_int64
    return ctypes.c_void_p(c.output_new())


def taken(c: ctypes.CDLL, out: ctypes.c_void_p) -> Any:
    rows = ctypes.c_void_p()
    n = c.output_take(out, ctypes.byref(rows))
    return np.frombuffer(ctypes.string_at(rows.value or 0, n * bar_dtype.itemsize), bar_dtype)


def again(records: material.Records) -> tuple[material.Records, Callable[[], None]]:
    """A contender's own copy, and what moves it past its end: a round meets warm memory, and no trade that is late."""
    own = records.copy()
    times, timers = own["ts_event"], own.view(timer_dtype)
    due = timers["type"] == RecordType.TIMER
    span = (int(max(times.max(), timers["at"][due].max()) - T0) // SECOND + 1) * SECOND

    def later() -> None:
        times[...] += span
        timers["at"][due] += span

    return own, later


def ours(records: material.Records) -> Contender:
    made = BarAggregator(INTERVALS)
    data, later = again(records)

    def run() -> Any:
        return made.apply(data), made.take()

    return Contender("BarAggregator.apply + take", "ours", run, later)


def bare(records: material.Records) -> Contender:
    c = limit("bars")
    c.bars_new.restype = ctypes.c_void_p
    c.bars_apply.restype = ctypes.c_int64
    out, table = output(c), rules()
    made = ctypes.c_void_p(c.bars_new(*intervals(), table.ctypes, out))
    data, later = again(records)
    n = ctypes.c_int64(len(records))

    def run() -> Any:
        return c.bars_apply(made, data.ctypes, n), taken(c, out)

    return Contender("C loop", "limit", run, later)


def columns(trades: material.Records) -> dict[str, Any]:
    view = trades.view(trade_dtype)
    return {"ts": view["ts_event"].copy(), "px": view["px"] / 1e9, "qty": view["qty"] / QTY}


def numba_bars(trades: material.Records) -> Run:
    """Three loops' work in one, on columns of floats: open, high, low, close, volume, count."""
    import numba

    @numba.njit  # type: ignore[untyped-decorator]
    def bars(ts: Any, px: Any, qty: Any, widths: Any, out: Any, counts: Any) -> None:
        current = np.zeros((3, 6))
        ends = np.zeros(3, np.int64)
        for i in range(len(ts)):
            for k in range(3):
                if ts[i] >= ends[k]:
                    if current[k, 5] > 0:
                        out[k, counts[k]] = current[k]
                        counts[k] += 1
                    ends[k] = ts[i] - ts[i] % widths[k] + widths[k]
                    current[k, 0] = current[k, 1] = current[k, 2] = px[i]
                    current[k, 4] = current[k, 5] = 0
                current[k, 1] = max(current[k, 1], px[i])
                current[k, 2] = min(current[k, 2], px[i])
                current[k, 3] = px[i]
                current[k, 4] += qty[i]
                current[k, 5] += 1

    c, widths = columns(trades), np.array(INTERVALS, np.int64)
    out = np.zeros((3, N // 1000 + 2, 6))

    def run() -> None:
        bars(c["ts"], c["px"], c["qty"], widths, out, np.zeros(3, np.int64))

    return run


def polars_bars(trades: material.Records) -> Run:
    import polars as pl

    frame = pl.DataFrame(columns(trades)).with_columns(pl.col("ts").cast(pl.Datetime("ns"))).set_sorted("ts")
    px = pl.col("px")
    wanted = [px.first().alias("o"), px.max().alias("h"), px.min().alias("l"), px.last().alias("c"), pl.col("qty").sum(), pl.len()]

    def run() -> None:
        for every in ("1s", "1m", "5m"):
            frame.group_by_dynamic("ts", every=every).agg(wanted)

    return run


def pandas_bars(trades: material.Records) -> Run:
    import pandas as pd

    c = columns(trades)
    frame = pd.DataFrame({"px": c["px"], "qty": c["qty"]}, index=pd.to_datetime(c["ts"]))

    def run() -> None:
        for every in ("1s", "1min", "5min"):
            frame["px"].resample(every).ohlc()
            frame["qty"].resample(every).sum()

    return run
