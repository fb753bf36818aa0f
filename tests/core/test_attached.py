"""Indicators that a pipeline steps natively give what the same indicators give of the bars it published, bit for bit."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pyrt._core.encode import Encoder
from pyrt._core.indicators import ATR, EMA, RSI, SMA, VWAP, Bollinger, IndicatorSet, Returns
from pyrt._core.onepass import OnePass
from pyrt._core.pipeline import Pipeline
from pyrt._core.types import Clock, Flag, RecordType, market_dtype, timer_dtype, trade_dtype
from pyrt._core.wire import Decoder
from pyrt.bars import Tick

SECOND = 10**9
T0 = 1_800_000_000 * SECOND
PX = QTY = 10**9


def six() -> IndicatorSet:
    return IndicatorSet(SMA(3), EMA(3), RSI(2), ATR(2), Bollinger(3), VWAP(2))


def trades(rows: list[tuple[int, int, int, int]]) -> np.ndarray:
    """Rows of instrument, ms since the row before, price, size."""
    out = np.zeros(len(rows), trade_dtype)
    at = T0
    for record, (instrument, ms, price, size) in zip(out, rows, strict=True):
        at += ms * 10**6
        record["type"], record["instrument"], record["ts_event"] = RecordType.TRADE, instrument, at
        record["px"], record["qty"] = price * PX, size * QTY
    return out.view(market_dtype)


def timer(at: int) -> np.ndarray:
    out = np.zeros(1, timer_dtype)
    out["type"], out["clock"], out["at"] = RecordType.TIMER, Clock.VENUE, at
    return out.view(market_dtype)


def closing(records: np.ndarray) -> np.ndarray:
    """The records, before each the timer of its own time; and one behind all."""
    parts = [part for i in range(len(records)) for part in (timer(int(records["ts_event"][i])), records[i : i + 1])]
    return np.concatenate([*parts, timer(int(records["ts_event"].max()) + 60 * SECOND)])


ROWS = st.lists(
    st.tuples(st.integers(1, 2), st.integers(-400, 1500), st.integers(50, 150), st.integers(1, 9)), min_size=1, max_size=80
)


@settings(max_examples=60, deadline=None)
@given(rows=ROWS)
def test_streaming_equals_the_array(rows: list[tuple[int, int, int, int]]) -> None:
    pipeline = Pipeline(grace=0)
    attached = {}
    for instrument in (1, 2):
        pipeline.add(instrument, 1, intervals=(SECOND, 5 * SECOND, Tick(3)), wake=1 << RecordType.BAR)
        for interval in (SECOND, 5 * SECOND, Tick(3)):
            attached[instrument, interval if isinstance(interval, int) else interval.code] = each = six()
            pipeline.attach(instrument, interval, each)
    records, at, bars = closing(trades(rows)), 0, []
    while at < len(records):
        at = pipeline.run(records, at)
        if pipeline.due:
            bars.append(pipeline.take_bars())
    published = np.concatenate(bars)
    for (instrument, interval), live in attached.items():
        mine = published[
            (published["instrument"] == instrument) & (published["interval"] == interval) & (published["revision"] == 0)
        ]
        if interval > 0:  # those that come after newer ones stay out
            mine = mine[mine["start"] >= np.maximum.accumulate(mine["start"])]
        once = six()
        expected = once.apply(mine)[-1] if len(mine) else once.values
        np.testing.assert_array_equal(live.values, expected)
    assert pipeline.unfed == 0


def test_a_bar_is_in_before_anybody_is_called_for_it() -> None:
    pipeline = Pipeline(grace=0)
    pipeline.add(1, 1, intervals=(SECOND,), wake=1 << RecordType.BAR)
    mean = IndicatorSet(SMA(1))
    pipeline.attach(1, SECOND, mean)
    records = closing(trades([(1, 0, 100, 1), (1, 1000, 110, 1), (1, 1000, 120, 1)]))
    at, seen = 0, []
    while at < len(records):
        at = pipeline.run(records, at)
        if pipeline.due:
            seen.append((mean.values[0], pipeline.take_bars()["close_px"][-1] / PX))
    assert seen == [(100, 100), (110, 110), (120, 120)]


def test_one_pass_carries_them_from_the_bytes_of_frames() -> None:
    decoder, encoder, pipeline = Decoder(), Encoder(), Pipeline(grace=0)
    decoder.register("AAPL", 1, tick=PX // 100, sub_tick=PX // 10_000)
    encoder.register("AAPL", 1)
    pipeline.add(1, PX // 10_000, intervals=(Tick(2),))
    live = six()
    pipeline.attach(1, Tick(2), live)
    one = OnePass(decoder, pipeline)
    records = trades([(1, 10, 100 + i % 7, 1 + i % 3) for i in range(40)])
    for i in range(0, 40, 5):
        assert one.feed(encoder.encode(records[i : i + 5]), T0) == 0
    bars = one.take_bars()
    assert len(bars) == 20
    np.testing.assert_array_equal(live.values, six().apply(bars)[-1])


def test_an_amended_bar_stays_out() -> None:
    pipeline = Pipeline(grace=0)
    pipeline.add(1, 1, intervals=(SECOND,))
    mean = IndicatorSet(SMA(1))
    pipeline.attach(1, SECOND, mean)
    late = trades([(1, 0, 100, 1), (1, 1500, 110, 1), (1, -1400, 190, 1)])
    pipeline.run(np.concatenate([late[:1], timer(T0 + SECOND), late[1:], timer(T0 + 2 * SECOND), timer(T0 + 3 * SECOND)]))
    bars = pipeline.take_bars()
    assert bars["revision"].tolist() == [0, 0, 1] or bars["revision"].tolist() == [0, 1, 0]
    assert mean.values[0] == 110


def test_what_a_member_cannot_take_is_counted() -> None:
    pipeline = Pipeline(grace=0)
    pipeline.add(1, 1, intervals=(SECOND,))
    logs = IndicatorSet(Returns(1, log=True))
    pipeline.attach(1, SECOND, logs)
    pipeline.run(closing(trades([(1, 0, 100, 1), (1, 1000, -5, 1), (1, 1000, 110, 1)])))
    assert pipeline.unfed == 1
    assert logs.values[0] == np.log(110 / 100)


def test_only_bars_that_are_made_can_be_waited_for() -> None:
    pipeline = Pipeline()
    pipeline.add(1, 1, intervals=(SECOND,))
    pipeline.add(2, 1)
    with pytest.raises(ValueError, match="no bars of"):
        pipeline.attach(1, 2 * SECOND, six())
    with pytest.raises(ValueError, match="no bars of"):
        pipeline.attach(2, SECOND, six())
    with pytest.raises(KeyError):
        pipeline.attach(3, SECOND, six())


def test_flags_of_a_gap_do_not_keep_a_bar_out() -> None:
    pipeline = Pipeline(grace=0)
    pipeline.add(1, 1, intervals=(SECOND,))
    mean = IndicatorSet(SMA(1))
    pipeline.attach(1, SECOND, mean)
    gap = np.zeros(1, market_dtype)
    gap["type"], gap["instrument"], gap["ts_event"] = RecordType.GAP, 1, T0
    pipeline.run(np.concatenate([trades([(1, 0, 100, 1)]), gap, timer(T0 + SECOND)]))
    assert pipeline.take_bars()["flags"][0] & Flag.GAP
    assert mean.values[0] == 100
