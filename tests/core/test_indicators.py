"""Indicators: what TA-Lib says, what the definitions say, and that one number at a time is the same as an array, to the bit."""

import random
import sys
from decimal import Decimal
from itertools import pairwise
from math import fsum
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.reference import indicators as reference

from pyrt import indicators as ta
from pyrt._core.events import Bar
from pyrt._core.types import NO_PRICE, RecordType, bar_dtype
from pyrt.indicators import (
    ADX,
    ATR,
    CCI,
    EMA,
    MACD,
    OBV,
    ROC,
    RSI,
    SMA,
    VWAP,
    WMA,
    Bollinger,
    Deviation,
    IndicatorSet,
    RealisedVolatility,
    Returns,
    Stochastic,
    ZScore,
)  # fmt: skip

MAKE: dict[str, Any] = {
    "ADX": ADX, "ATR": ATR, "Bollinger": Bollinger, "CCI": CCI, "Deviation": Deviation, "EMA": EMA, "MACD": MACD, "OBV": OBV,
    "RealisedVolatility": RealisedVolatility, "Returns": Returns, "ROC": ROC, "RSI": RSI, "SMA": SMA, "Stochastic": Stochastic,
    "VWAP": VWAP, "rolling VWAP": lambda: VWAP(7), "WMA": WMA, "ZScore": ZScore, "log returns": lambda: Returns(3, log=True),
    "long SMA": lambda: SMA(257), "SMA of one": lambda: SMA(1), "sample deviation": lambda: Deviation(5, ddof=1),
}  # fmt: skip


def walk(seed: int, n: int) -> tuple[np.ndarray, ...]:
    """High, low, close and volume of a market that also stands still and jumps."""
    rng = np.random.default_rng(seed)
    moves = rng.normal(0, 0.3, n) * (rng.random(n) > 0.1)
    moves[rng.random(n) < 0.01] *= 30
    close = 200 + np.cumsum(moves)
    close = np.maximum(close, 5 + rng.random(n))
    flat = rng.random(n) < 0.05
    return close + rng.random(n) * ~flat, close - rng.random(n) * ~flat, close, rng.integers(0, 900, n) * 1.0


def arguments(indicator: Any, high: Any, low: Any, close: Any, volume: Any) -> tuple[Any, ...]:
    if isinstance(indicator, ADX | ATR | CCI | Stochastic):
        return high, low, close
    return (close, volume) if isinstance(indicator, OBV | VWAP) else (close,)


def table(applied: Any) -> np.ndarray:
    """A batch's outputs as rows."""
    return np.column_stack(applied) if isinstance(applied, tuple) else applied.reshape(-1, 1)


def bits(x: Any) -> bytes:
    return np.ascontiguousarray(x, np.float64).tobytes()


def near(ours: Any, theirs: Any, most: float = 1e-9) -> None:
    ours, theirs = np.asarray(ours), np.asarray(theirs)
    assert np.array_equal(np.isnan(ours), np.isnan(theirs))
    assert np.nanmax(np.abs(ours - theirs) / np.maximum(1, np.abs(theirs))) < most


# ---------------------------------------------------------------------------------------------------- TA-Lib
THEIRS: dict[str, Any] = {
    "SMA": (lambda: SMA(9), lambda t, hi, lo, c, v: t.SMA(c, 9)),
    "EMA": (lambda: EMA(9), lambda t, hi, lo, c, v: t.EMA(c, 9)),
    "WMA": (lambda: WMA(9), lambda t, hi, lo, c, v: t.WMA(c, 9)),
    "RSI": (lambda: RSI(14), lambda t, hi, lo, c, v: t.RSI(c, 14)),
    "MACD": (lambda: MACD(12, 26, 9), lambda t, hi, lo, c, v: t.MACD(c, 12, 26, 9)),
    "MACD 3, 5, 2": (lambda: MACD(3, 5, 2), lambda t, hi, lo, c, v: t.MACD(c, 3, 5, 2)),
    "Bollinger": (lambda: Bollinger(20, 2.5), lambda t, hi, lo, c, v: [t.BBANDS(c, 20, 2.5, 2.5)[k] for k in (1, 0, 2)]),
    "ATR": (lambda: ATR(14), lambda t, hi, lo, c, v: t.ATR(hi, lo, c, 14)),
    "Stochastic": (lambda: Stochastic(14, 3, 5), lambda t, hi, lo, c, v: t.STOCH(hi, lo, c, 14, 3, 0, 5, 0)),
    "OBV": (OBV, lambda t, hi, lo, c, v: t.OBV(c, v)),
    "CCI": (lambda: CCI(13), lambda t, hi, lo, c, v: t.CCI(hi, lo, c, 13)),
    "ROC": (lambda: ROC(10), lambda t, hi, lo, c, v: t.ROC(c, 10)),
    "Deviation": (lambda: Deviation(11), lambda t, hi, lo, c, v: t.STDDEV(c, 11, 1)),
}


@pytest.mark.row("S040")
@pytest.mark.parametrize("name", THEIRS)
@pytest.mark.parametrize("seed", range(3))
def test_as_ta_lib(name, seed):
    talib = pytest.importorskip("talib", reason="TA-Lib has no wheel for this Python")
    make, theirs = THEIRS[name]
    columns = walk(seed, 3_000)
    ours = make()
    near(table(ours.apply(*arguments(ours, *columns))), np.column_stack(np.atleast_2d(theirs(talib, *columns))))


@pytest.mark.row("S040")
@pytest.mark.parametrize("period", [2, 7, 14])
def test_adx_and_its_directions_as_ta_lib(period):
    talib = pytest.importorskip("talib", reason="TA-Lib has no wheel for this Python")
    high, low, close, _ = walk(period, 3_000)
    adx, plus, minus = ADX(period).apply(high, low, close)
    near(adx, talib.ADX(high, low, close, period))
    late = slice(2 * period - 1, None)  # TA-Lib has the directions before the index
    near(plus[late], talib.PLUS_DI(high, low, close, period)[late])
    near(minus[late], talib.MINUS_DI(high, low, close, period)[late])


# ---------------------------------------------------------------------------------------------------- the definitions
def close_to_z_scores(ours: Any, close: Any, n: int) -> None:
    """Each value as far from the exact one as its conditioning says, to the first order, and no further.

    In units of the last place: the mean rounded to a price (price / deviation), sums of n terms about a value of the window, whose
    cancellation is at most 2n (2n(n + 2) of the score), and the distances in the mean (the root of 2n for each of its sums).
    """
    exact, spread = np.asarray(reference.z_score(close.tolist(), n)), np.asarray(reference.deviation(close.tolist(), n))
    assert np.array_equal(np.isnan(ours), np.isnan(exact))
    assert not ours[spread == 0].any()
    moved = spread > 0
    ulps = close[moved] / spread[moved] + 2 * n * (n + 2) * np.abs(exact[moved]) + (n + 1) * (2 * n) ** 0.5
    assert np.all(np.abs(ours - exact)[moved] <= np.finfo(float).eps * ulps)


@pytest.mark.row("S040")
@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32), st.integers(2, 25))
def test_as_defined(seed, n):
    _, _, close, volume = walk(seed, 120)
    x, v = close.tolist(), volume.tolist()
    near(SMA(n).apply(close), reference.sma(x, n), 1e-13)
    near(WMA(n).apply(close), reference.wma(x, n), 1e-13)
    near(EMA(n).apply(close), reference.ema(x, n), 1e-12)
    near(RSI(n).apply(close), reference.rsi(x, n), 1e-10)
    near(Deviation(n).apply(close), reference.deviation(x, n), 1e-12)
    near(Deviation(n, ddof=1).apply(close), reference.deviation(x, n, 1), 1e-12)
    close_to_z_scores(ZScore(n).apply(close), close, n)
    near(Returns(n).apply(close), reference.returns(x, n), 1e-13)
    near(Returns(n, log=True).apply(close), reference.returns(x, n, True), 1e-13)
    near(RealisedVolatility(n).apply(close), reference.volatility(x, n), 1e-13)
    near(RealisedVolatility(n, 252).apply(close), reference.volatility(x, n, 252), 1e-13)
    near(VWAP().apply(close, volume), reference.vwap(x, v), 1e-13)
    near(VWAP(n).apply(close, volume), reference.vwap(x, v, n), 1e-13)


@pytest.mark.row("S040")
@pytest.mark.parametrize("name", MAKE)
@pytest.mark.parametrize("market", ["walk", "still", "once"])
def test_nan_only_in_the_warm_up(name, market):
    high, low, close, volume = walk(1, 400)
    if market != "walk":
        high = low = close = np.full(400, 0.1)  # 0.1 has no exact sum
        volume = np.zeros(400)
    if market == "once":
        high = low = close = np.where(np.arange(400) == 200, 0.3, 0.1)
    indicator = MAKE[name]()
    assert not indicator.ready
    out = table(indicator.apply(*arguments(indicator, high, low, close, volume)))
    assert np.isnan(out[: indicator.warmup]).all()
    assert np.isfinite(out[indicator.warmup :]).all()
    assert indicator.ready
    assert indicator.values == tuple(out[-1])
    if market == "still" and name in ("CCI", "ZScore", "Deviation", "Returns", "RealisedVolatility", "ROC", "RSI", "ADX"):
        assert not out[indicator.warmup :].any()


# ---------------------------------------------------------------------------------------------------- one and many
@pytest.mark.row("S011")
@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32), st.lists(st.integers(0, 70), min_size=1, max_size=8))
def test_one_at_a_time_is_the_array_to_the_bit(seed, cuts):
    columns = walk(seed, sum(cuts))
    members = [make() for make in MAKE.values()]
    together = IndicatorSet(*(make() for make in MAKE.values()))
    rows = together.apply(*columns)
    at = 0
    for name, make in MAKE.items():
        whole, single, cut = make(), make(), make()
        given_ = arguments(whole, *columns)
        out = table(whole.apply(*given_))
        ones = [(single.update(*row), single.values) for row in zip(*(c.tolist() for c in given_), strict=True)]
        assert bits([values for _, values in ones]) == bits(out), name
        assert bits([first for first, _ in ones]) == bits(out[:, 0]), name
        edges = np.cumsum([0, *cuts])
        parts = [table(cut.apply(*(c[a:b] for c in given_))) for a, b in pairwise(edges)]
        assert bits(np.concatenate(parts)) == bits(out), name
        if "VWAP" not in name:  # of a set the typical price counts
            assert bits(rows[:, at : at + out.shape[1]]) == bits(out), name
        at += out.shape[1]
    assert at == rows.shape[1]
    again = IndicatorSet(*members)
    by_one = [again.update(*row).copy() for row in zip(*(c.tolist() for c in columns), strict=True)]
    assert bits(np.array(by_one).reshape(rows.shape)) == bits(rows)
    assert again.ready == together.ready == all(member.ready for member in members)


@pytest.mark.parametrize("name", MAKE)
def test_reset_is_as_new(name):
    first, second = walk(1, 333), walk(2, 333)
    used, new = MAKE[name](), MAKE[name]()
    used.apply(*arguments(used, *first))
    used.reset()
    assert not used.ready
    assert np.isnan(used.value)
    assert bits(table(used.apply(*arguments(used, *second)))) == bits(table(new.apply(*arguments(new, *second))))


def test_a_set_shares_windows_and_its_members_say_what_it_says():
    columns = walk(3, 500)
    sma, bands, score, other = SMA(20), Bollinger(20), ZScore(20), SMA(21)
    together = IndicatorSet(sma, bands, score, other)
    rows = together.apply(*columns)
    assert together.members == (sma, bands, score, other)
    assert bits(rows[-1]) == bits(together.values)
    assert bits(together.values) == bits([sma.value, *bands.values, score.value, other.value])
    assert bits(rows[:, 0]) == bits(SMA(20).apply(columns[2]))
    assert bits(rows[:, 1:4]) == bits(table(Bollinger(20).apply(columns[2])))
    assert (bands.upper, bands.middle, bands.lower) == (bands.values[1], sma.value, bands.values[2])
    assert together.warmup == 20
    together.reset()
    assert not together.ready
    assert bits(together.apply(*columns)) == bits(rows)


def test_a_member_moves_only_with_its_set():
    sma = SMA(3)
    together = IndicatorSet(sma)
    for verb in (lambda: sma.update(1), lambda: sma.apply([1.0]), sma.reset):
        with pytest.raises(RuntimeError, match="belongs to a set"):
            verb()
    with pytest.raises(ValueError, match="in a set already"):
        IndicatorSet(sma)
    used = EMA(3)
    used.update(1)
    for members in ((used,), (used, used)):
        with pytest.raises(ValueError, match="updated"):
            IndicatorSet(*members)
    same = EMA(3)
    with pytest.raises(ValueError, match="number 1"):
        IndicatorSet(same, same)
    same.update(1.0)  # nothing was left behind
    with pytest.raises(ValueError, match="without"):
        IndicatorSet()
    with pytest.raises(ValueError, match="read-only"):
        together.values[0] = 1


def test_a_close_is_not_enough_for_an_indicator_of_bars():
    for together, enough in ((IndicatorSet(SMA(3), ATR(3)), False), (IndicatorSet(SMA(3), OBV()), True)):
        for verb in (lambda t=together: t.update(1.0), lambda t=together: t.apply([1.0, 2.0])):
            if enough:
                verb()
                continue
            with pytest.raises(ValueError, match="high, low and close"):
                verb()


@settings(max_examples=40, deadline=None)
@given(
    st.integers(0, 2**32),
    st.integers(0, 60),
    st.lists(st.integers(0, 3), min_size=3, max_size=3),
    st.integers(0, 3),
    st.booleans(),
)
def test_the_same_array_in_several_places_is_what_it_says_in_each(seed, n, which, of_volume, views):
    """One object, or views of one memory: the array says what one number at a time says, alone and in a set."""
    pool = walk(seed, n)
    high, low, close = (pool[k][:] if views else pool[k] for k in which)
    volume = pool[of_volume] if pool[of_volume].size == 0 or pool[of_volume].min() >= 0 else pool[3]
    rows = list(zip(high.tolist(), low.tolist(), close.tolist(), volume.tolist(), strict=True))
    for name, make in MAKE.items():
        if name in ("log returns", "RealisedVolatility") and n and close.min() <= 0:
            continue
        whole, single, alone, ones = make(), make(), IndicatorSet(make()), IndicatorSet(make())
        columns = arguments(whole, high, low, close, volume)
        out = table(whole.apply(*columns))
        streamed = [(single.update(*row), single.values)[1] for row in zip(*(c.tolist() for c in columns), strict=True)]
        assert bits(streamed) == bits(out), name
        together = alone.apply(high, low, close, volume)
        assert bits([ones.update(*row).copy() for row in rows]) == bits(together), name


@pytest.mark.parametrize("shape", ["same object", "same memory"])
def test_a_close_that_is_the_high_leaves_the_low_what_it_is(shape):
    high, low, _, _ = walk(11, 50)
    close = high if shape == "same object" else high[:]
    single, members = ATR(14), (ATR(14), VWAP())
    expected = [single.update(h, x, h) for h, x in zip(high.tolist(), low.tolist(), strict=True)]
    assert bits(ATR(14).apply(high, low, close)) == bits(expected)
    assert bits(IndicatorSet(*members).apply(high, low, close)[:, 0]) == bits(expected)
    wrong = low.copy()
    wrong[7] = np.nan
    with pytest.raises(ValueError, match="not finite"):
        ATR(14).apply(high, wrong, close)


@pytest.mark.parametrize(
    "given_",
    [
        lambda: ATR().apply([2.0], [1.0]),
        lambda: ATR().apply([2.0]),
        lambda: ATR().apply([2.0], close=[1.0]),
        lambda: IndicatorSet(ATR()).apply([2.0], [1.0]),
        lambda: IndicatorSet(SMA()).apply([2.0], [1.0]),
        lambda: IndicatorSet(SMA()).apply([2.0], close=[1.0]),
        lambda: IndicatorSet(ATR()).update(2.0, 1.0),
        lambda: IndicatorSet(SMA()).update(2.0, 1.0),
        lambda: IndicatorSet(SMA()).update(2.0, close=1.0),
        lambda: OBV().apply([2.0]),
        lambda: VWAP().apply([2.0]),
    ],
)
def test_a_column_that_is_missing_is_named_and_not_made_up(given_):
    with pytest.raises(ValueError, match=r"high, low and close|volume of each"):
        given_()


def test_bars_bring_their_own_columns():
    bars, _ = bars_of(*walk(12, 5))
    for verb in (
        lambda: ATR().apply(bars, close=[1.0] * 5),
        lambda: OBV().apply(bars, [1.0] * 5),
        lambda: IndicatorSet(SMA()).apply(bars, close=[1.0] * 5),
        lambda: IndicatorSet(SMA()).apply(bars, volume=[1.0] * 5),
    ):
        with pytest.raises(ValueError, match="bars bring"):
            verb()


@pytest.mark.parametrize("skip", [0, 1, 3])
def test_out_may_lie_where_the_numbers_lie(skip):
    """What is written over the numbers is written after they were read."""
    _, _, close, _ = walk(13, 600)
    memory = np.empty(1203)
    numbers, out = memory[skip : skip + 600], memory[:1200].reshape(600, 2)
    numbers[:] = close
    expected = IndicatorSet(SMA(5), WMA(7)).apply(close)
    assert bits(IndicatorSet(SMA(5), WMA(7)).apply(numbers, out=out)) == bits(expected)


# ---------------------------------------------------------------------------------------------------- kinds of numbers
@pytest.mark.parametrize("kind", [str, Decimal, int, np.float64, np.int64, np.float32])
@pytest.mark.parametrize("name", MAKE)
def test_every_kind_of_number_is_taken(name, kind):
    floats, others, whole, together = MAKE[name](), MAKE[name](), MAKE[name](), IndicatorSet(MAKE[name]())
    columns = [[float(kind(round(x))) for x in c] for c in walk(14, 60)]
    theirs = [[kind(repr(x)) if kind in (str, Decimal) else kind(x) for x in c] for c in columns]
    out = [(floats.update(*row), floats.values)[1] for row in zip(*arguments(floats, *columns), strict=True)]
    assert bits([(others.update(*row), others.values)[1] for row in zip(*arguments(floats, *theirs), strict=True)]) == bits(out)
    assert bits(table(whole.apply(*arguments(floats, *theirs)))) == bits(out)
    if name not in ("VWAP", "rolling VWAP"):
        assert bits([together.update(*row).copy() for row in zip(*theirs, strict=True)]) == bits(out)


@pytest.mark.parametrize("bad", ["", "abc", "nan", "inf", "1e400", None, [1.0], {}, 10**400, Decimal("sNaN"), "1\x002"])
def test_what_is_no_number_of_any_kind_is_refused(bad):
    for verb in (SMA(3).update, IndicatorSet(SMA(3)).update, lambda x: SMA(3).apply([x]), lambda x: OBV().update(1.0, x)):
        with pytest.raises((ValueError, TypeError)):
            verb(bad)
    with pytest.raises(TypeError, match="not bytes"):
        SMA(3).update(b"190")


def test_out_is_filled():
    columns = walk(4, 100)
    out = np.empty((100, 2))
    together = IndicatorSet(SMA(3), EMA(3))
    assert together.apply(columns[2], out=out) is out
    assert bits(out[:, 0]) == bits(SMA(3).apply(columns[2]))
    with pytest.raises(ValueError, match="out is"):
        together.apply(columns[2], out=out[:50])


# ---------------------------------------------------------------------------------------------------- numbers that hurt
@pytest.mark.row("S040")
def test_ten_million_values_leave_no_trace():
    """What a window has seen before must not show: after 10^7 values it says what a fresh one says of the last ones alone."""
    rng = np.random.default_rng(5)
    x = rng.normal(0, 1, 10_000_000) * 10.0 ** rng.integers(-3, 9, 10_000_000)
    x[-100:] = 1e6 + rng.normal(0, 1e-3, 100)
    last = x[-100:].tolist()
    assert SMA(20).apply(x)[-1] == pytest.approx(reference.sma(last, 20)[-1], rel=1e-15)
    assert WMA(20).apply(x)[-1] == pytest.approx(reference.wma(last, 20)[-1], rel=1e-15)
    assert Deviation(20).apply(x)[-1] == pytest.approx(reference.deviation(last, 20)[-1], rel=1e-9)
    assert EMA(5).apply(x)[-1] == pytest.approx(EMA(5).apply(x[-100:])[-1], rel=1e-15)


def test_sums_without_end_keep_what_is_small():
    """The running sums of 2 * 10^6 volumes between 10^-9 and 10^9 are those of exact arithmetic."""
    rng = np.random.default_rng(6)
    n = 2_000_000
    volume = 10.0 ** rng.uniform(-9, 9, n)
    close = 100 + rng.integers(-1, 2, n) * 0.01
    sides = np.sign(np.diff(close, prepend=0))
    assert OBV().apply(close, volume)[-1] == fsum((volume * sides).tolist())
    assert VWAP().apply(close, volume)[-1] == pytest.approx(fsum((close * volume).tolist()) / fsum(volume.tolist()), rel=1e-15)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.floats(-1e9, 1e9), min_size=5, max_size=60), st.floats(-1e12, 1e12))
def test_a_deviation_is_right_at_any_level(values, level):
    """The relative error is at most some 2n roundings of what the values themselves can hold, or of the least square there is."""
    x = [v + level for v in values]
    ours, exact = Deviation(5).apply(x), reference.deviation(x, 5)
    for i in range(4, len(x)):
        grain = max(abs(v) for v in x[i - 4 : i + 1]) * 2.0**-52
        assert ours[i] == pytest.approx(exact[i], rel=1e-13, abs=2 * grain + (5 * 2.0**-1074) ** 0.5)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 1e101])
@pytest.mark.parametrize("name", MAKE)
def test_what_is_no_number_is_refused_and_nothing_is_taken_in(name, bad):
    indicator, other = MAKE[name](), MAKE[name]()
    columns = arguments(indicator, *walk(7, 300))
    indicator.apply(*columns)
    other.apply(*columns)
    wrong = [c.copy() for c in columns]
    wrong[-1][200] = bad
    with pytest.raises(ValueError, match="finite"):
        indicator.apply(*wrong)
    with pytest.raises(ValueError, match="can take"):
        indicator.update(*(float(c[200]) for c in wrong))
    assert bits(table(indicator.apply(*columns))) == bits(table(other.apply(*columns)))


@pytest.mark.parametrize(
    ("indicator", "row"),
    [(VWAP(), (1.0, -1.0)), (OBV(), (1.0, -1.0)), (Returns(log=True), (0.0,)), (RealisedVolatility(), (-1.0,))],
)
def test_what_has_no_meaning_is_refused(indicator, row):
    with pytest.raises(ValueError, match="can take"):
        indicator.update(*row)
    with pytest.raises(ValueError, match="volume below 0"):
        indicator.apply(*([x] for x in row))


@pytest.mark.parametrize(
    "make",
    [
        lambda: SMA(0), lambda: SMA(-1), lambda: SMA(2.5), lambda: SMA(True), lambda: SMA(10**7), lambda: RSI(1), lambda: ADX(1),
        lambda: MACD(26, 12), lambda: MACD(5, 5), lambda: Bollinger(20, 0), lambda: Bollinger(20, float("nan")), lambda: VWAP(-1),
        lambda: Deviation(1, ddof=1), lambda: RealisedVolatility(5, -1), lambda: Stochastic(14, 0, 3),
    ],
)  # fmt: skip
def test_arguments_out_of_range(make):
    with pytest.raises(ValueError):
        make()


def test_columns_of_different_lengths():
    with pytest.raises(ValueError, match="2 of low"):
        ATR().apply([1.0, 2, 3], [1.0, 2], [1.0, 2, 3])
    assert len(SMA(3).apply([])) == 0
    assert SMA(1).apply(np.arange(4)[::2]).tolist() == [0, 2]  # integers, and not contiguous


# ---------------------------------------------------------------------------------------------------- bars
def bars_of(high: Any, low: Any, close: Any, volume: Any) -> tuple[np.ndarray, list[Bar]]:
    rows = np.zeros(len(close), bar_dtype)
    rows["type"] = RecordType.BAR
    rng = random.Random(1)
    for name, column in (("high_px", high), ("low_px", low), ("close_px", close)):
        rows[name] = np.round(column * 100).astype(np.int64) * 10_000_000
    rows["open_px"] = rows["close_px"]
    rows["volume"] = volume.astype(np.int64) * 10**9
    for i, row in enumerate(rows):
        notional = int(row["volume"]) * (int(row["low_px"]) + rng.randint(0, max(0, int(row["high_px"]) - int(row["low_px"]))))
        rows["notional_lo"][i], rows["notional_hi"][i] = notional & (2**64 - 1), notional >> 64
    return rows, [Bar.from_bytes(row.tobytes(), "AAA") for row in rows]


@pytest.mark.row("S011")
@pytest.mark.parametrize("name", MAKE)
def test_bars_in_rows_and_one_by_one(name):
    rows, bars = bars_of(*walk(8, 300))
    in_rows, by_bar, by_number = MAKE[name](), MAKE[name](), MAKE[name]()
    out = table(in_rows.apply(rows))
    assert bits([(by_bar.on_bar(bar), by_bar.values)[1] for bar in bars]) == bits(out)
    for bar in bars:
        price = bar.close if not bar.volume or "VWAP" not in name else bar.vwap
        by_number.update(*arguments(by_number, bar.high, bar.low, price, bar.volume))
    assert bits(by_number.values) == bits(in_rows.values)
    together = IndicatorSet(MAKE[name]())
    assert bits(together.apply(rows)) == bits(out)
    again = IndicatorSet(MAKE[name]())
    assert bits([again.on_bar(bar).copy() for bar in bars]) == bits(out)


def test_a_bar_without_a_price_is_refused():
    rows, _ = bars_of(*walk(8, 30))
    rows["close_px"][7] = NO_PRICE
    for indicator in (SMA(3), IndicatorSet(SMA(3))):
        with pytest.raises(ValueError, match="finite"):
            indicator.apply(rows)
        with pytest.raises(ValueError, match="can take"):
            indicator.on_bar(Bar.from_bytes(rows[7].tobytes(), "AAA"))
        assert not indicator.ready


def test_a_batch_makes_no_object_per_value():
    columns = walk(9, 20_000)
    together = IndicatorSet(SMA(20), EMA(20), RSI(), MACD(), Bollinger(), ATR(), CCI(), ADX(), Stochastic(), OBV())
    out = together.apply(*columns)
    before = sys.getallocatedblocks()
    together.apply(*columns, out=out)
    assert sys.getallocatedblocks() - before < 50


def test_the_public_names_are_all_there():
    assert ta.__all__ == sorted(ta.__all__, key=str.lower)
    assert {type(make()).__name__ for make in MAKE.values()} < set(ta.__all__)


@pytest.mark.parametrize("rows", [lambda bars: bars[0], lambda bars: bars.reshape(2, 3), lambda bars: bars.reshape(3, 2)[:, :0]])
def test_bars_that_are_no_single_column_are_refused(rows: Any) -> None:
    """One bar has the length of its fields, a table that of its rows: neither is how many numbers there are."""
    bars = np.zeros(6, bar_dtype)
    bars["high_px"] = bars["low_px"] = bars["close_px"] = 10**9
    for indicator in (SMA(2), ATR(2), IndicatorSet(SMA(2), EMA(2))):
        with pytest.raises(ValueError, match="one dimension"):
            indicator.apply(rows(bars))
    assert np.array_equal(SMA(1).apply(bars), np.ones(6))
