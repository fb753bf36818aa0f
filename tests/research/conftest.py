"""Bars for backtests: a seeded walk, and bars told by hand."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from pyrt._core.types import RecordType, bar_dtype
from pyrt.clock import MINUTE

START = 1_772_461_800_000_000_000  # 2026-03-02 14:30 UTC


def make_bars(rows: Sequence[tuple[float, float, float, float, int]], *, start: int = START, interval: int = MINUTE) -> Any:
    """(open, high, low, close, whole shares) of consecutive intervals."""
    bars = np.zeros(len(rows), bar_dtype)
    bars["type"], bars["interval"] = RecordType.BAR, interval
    bars["start"] = start + interval * np.arange(len(rows))
    bars["ts_event"] = bars["start"] + interval
    for i, name in enumerate(("open_px", "high_px", "low_px", "close_px")):
        bars[name] = [round(row[i] * 100) * 10_000_000 for row in rows]
    bars["volume"] = [row[4] * 10**9 for row in rows]
    return bars


def walk(n: int, seed: int = 1) -> Any:
    """A random walk on the cent."""
    rng = np.random.default_rng(seed)
    close = np.round(100 * np.exp(np.cumsum(rng.normal(0, 0.001, n))), 2)
    opening = np.append(100.0, close[:-1])
    high = np.maximum(opening, close) + np.round(rng.uniform(0, 0.1, n), 2)
    low = np.minimum(opening, close) - np.round(rng.uniform(0, 0.1, n), 2)
    return make_bars(list(zip(opening, high, low, close, rng.integers(1000, 5000, n).tolist(), strict=True)))


@pytest.fixture(scope="session")
def walked() -> Any:
    return walk(600)
