"""The stage that calls compiled strategies: what it is asked of instruments that nobody watches."""

import numpy as np
import pytest

from pyrt._core.pipeline import Pipeline
from pyrt._core.recent import RecentBars
from pyrt._core.strategy import CompiledStrategy, Dispatch
from pyrt._core.types import Clock, RecordType, market_dtype, timer_dtype, trade_dtype

SECOND = 1_000_000_000
BARS = 2  # of Dispatch.due


def test_an_instrument_that_is_not_watched_is_refused() -> None:
    dispatch = Dispatch(Pipeline())
    for instrument in (0, 1, 4_000_000_000):
        with pytest.raises(ValueError, match=f"instrument {instrument} is not watched"):
            dispatch.stream(instrument, SECOND, RecentBars(2), False)
        with pytest.raises(ValueError, match=f"instrument {instrument} is not watched"):
            dispatch.join(instrument, CompiledStrategy(), 1, SECOND)
    dispatch.watch(1, 0)
    dispatch.stream(1, SECOND, RecentBars(2), False)


def test_bars_that_nobody_watches_are_the_sessions() -> None:
    pipeline = Pipeline(grace=0)
    pipeline.add(3000, 10_000_000, intervals=[SECOND], wake=1 << RecordType.BAR)
    dispatch = Dispatch(pipeline)
    dispatch.watch(1, 0)
    trade, timer = np.zeros(1, trade_dtype), np.zeros(1, timer_dtype)
    trade["type"], trade["instrument"], trade["px"], trade["qty"], trade["ts_event"] = RecordType.TRADE, 3000, SECOND, SECOND, 5
    timer["type"], timer["clock"], timer["at"] = RecordType.TIMER, Clock.VENUE, SECOND
    assert dispatch.run(np.concatenate([trade.view(market_dtype), timer.view(market_dtype)]), 0, 0, True) == 2
    assert dispatch.due == BARS
    assert dispatch.take_bars()["instrument"].tolist() == [3000]
    dispatch.resume()
    assert dispatch.due == 0
