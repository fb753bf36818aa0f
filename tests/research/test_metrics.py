"""Each measure against its written formula, computed with pandas."""

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyrt.research import metrics

DAY = 86_400 * 10**9
YEAR = 365.25 * DAY


def curve(n: int = 500, seed: int = 7) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return 1e5 * np.cumprod(1 + rng.normal(0.0004, 0.01, n)), np.arange(n, dtype=np.int64) * DAY


@pytest.mark.row("S139")
def test_sharpe_sortino_and_growth_are_their_formulas() -> None:
    equity, ts = curve()
    r = pd.Series(equity).pct_change().dropna()
    a_year = (len(equity) - 1) / ((ts[-1] - ts[0]) / YEAR)
    assert metrics.sharpe(equity, ts) == pytest.approx(math.sqrt(a_year) * r.mean() / r.std(ddof=1))
    free = 1.03 ** (1 / a_year) - 1
    assert metrics.sharpe(equity, ts, risk_free=0.03) == pytest.approx(math.sqrt(a_year) * (r - free).mean() / r.std(ddof=1))
    downside = math.sqrt((r.clip(upper=0) ** 2).mean())
    assert metrics.sortino(equity, ts) == pytest.approx(math.sqrt(a_year) * r.mean() / downside)
    assert metrics.total_return(equity) == pytest.approx(equity[-1] / equity[0] - 1)
    assert metrics.cagr(equity, ts) == pytest.approx((equity[-1] / equity[0]) ** (YEAR / (ts[-1] - ts[0])) - 1)


@pytest.mark.row("S139")
def test_drawdown_is_pandas_s() -> None:
    equity, ts = curve()
    s = pd.Series(equity)
    under = s / s.cummax() - 1
    assert metrics.drawdowns(equity) == pytest.approx(under.to_numpy())
    assert metrics.max_drawdown(equity) == pytest.approx(under.min())
    at_peak = s[s == s.cummax()].index
    gaps = [*np.diff(at_peak), len(s) - 1 - at_peak[-1]]
    assert metrics.max_drawdown_duration(equity, ts) == max(gaps) * DAY


@given(st.lists(st.floats(1.0, 1e6), min_size=2, max_size=30))
def test_the_duration_is_the_longest_time_below_a_peak(values: list[float]) -> None:
    equity, ts = np.array(values), np.arange(len(values), dtype=np.int64) + 5
    longest = 0
    for i, value in enumerate(values):
        if value < max(values[:i], default=0):
            continue
        higher = [j for j in range(i + 1, len(values)) if values[j] >= value]
        longest = max(longest, (higher[0] if higher else len(values) - 1) - i)
    assert metrics.max_drawdown_duration(equity, ts) == longest


def test_the_small_ones() -> None:
    assert metrics.hit_rate(np.array([1.0, -1.0, 0.0, 2.0])) == 0.5
    assert math.isnan(metrics.hit_rate(np.array([])))
    assert metrics.turnover(300.0, np.array([100.0, 200.0])) == 2.0
    assert metrics.costs(np.array([0.5, 0.25])) == 0.75
    assert metrics.exposure(np.array([1.0, 0.0, 5.0]), np.array([0, 30, 40])) == 0.75


def test_what_has_no_value_is_nan() -> None:
    flat, ts = np.full(10, 100.0), np.arange(10, dtype=np.int64) * DAY
    assert math.isnan(metrics.sharpe(flat, ts))
    assert math.isnan(metrics.sortino(flat, ts))
    assert metrics.max_drawdown(flat) == 0.0
    assert math.isnan(metrics.cagr(flat, ts // 1000))
    assert metrics.cagr(np.array([100.0, -1.0]), np.array([0, 2 * DAY])) == -1.0
