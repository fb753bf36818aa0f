"""The market stage in one pass: the top of the book, the reference and bars of 1 s + 1 m + 5 m; nine quotes to a trade."""

import ctypes
from collections.abc import Iterator
from typing import Any

import numpy as np

from bench import material
from bench.limits import limit
from bench.material import SECOND, SUB_TICK, T0
from bench.rows import Contender, Row
from bench.rows.bars import INTERVALS, again, intervals, output, rules, taken
from pyrt._core.pipeline import Pipeline
from pyrt._core.types import Clock, RecordType, market_dtype, ref_dtype, timer_dtype, trade_dtype

N = 50_000


def rows() -> Iterator[Row]:
    for symbols in (1, 100, 1_000):
        records = timed(material.mixed(N, symbols))
        yield Row(
            f"pipeline.{symbols}",
            f"a record through book, reference and bars, {symbols:,} symbol{'s' if symbols > 1 else ''}",
            "ns",
            N,
            (ours(records, symbols), bare(records, symbols)),
            bound=1.15,
        )


def timed(records: material.Records) -> material.Records:
    """The records (1 ms apart) with a timer before the first of each second, as the driver feeds the data's own time."""
    ends = np.arange(1, N // 1000 + 1) * SECOND + T0
    timers = np.zeros(len(ends), timer_dtype)
    timers["type"], timers["clock"], timers["at"] = RecordType.TIMER, Clock.VENUE, ends
    whole = np.concatenate([timers.view(market_dtype), records])
    order = np.argsort(np.concatenate([ends, records.view(trade_dtype)["ts_event"]]), kind="stable")
    return whole[order].copy()


def ours(records: material.Records, symbols: int) -> Contender:
    stage = Pipeline(grace=0)
    for i in range(1, symbols + 1):
        stage.add(i, SUB_TICK, intervals=INTERVALS)
    data, later = again(records)

    def run() -> Any:
        stage.run(data, 0)
        return stage.refs[: symbols + 1].copy(), stage.take_bars()

    return Contender("Pipeline.run", "ours", run, later)


def bare(records: material.Records, symbols: int) -> Contender:
    c = limit("pipeline")
    c.pipeline_new.restype = c.pipeline_refs.restype = ctypes.c_void_p
    out, table = output(c), rules()
    stage = ctypes.c_void_p(c.pipeline_new(symbols + 1, *intervals(), table.ctypes, out))
    data, later = again(records)
    n = ctypes.c_int64(len(records))

    def run() -> Any:
        c.pipeline_run(stage, data.ctypes, n)
        refs = ctypes.string_at(c.pipeline_refs(stage), (symbols + 1) * ref_dtype.itemsize)
        return np.frombuffer(refs, ref_dtype), taken(c, out)

    return Contender("C loop", "limit", run, later)
