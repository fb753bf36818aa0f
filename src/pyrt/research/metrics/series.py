"""What the metrics share: returns, and how many of them a year has."""

from typing import Any

import numpy as np

Floats = np.ndarray[Any, np.dtype[np.float64]]
Ints = np.ndarray[Any, np.dtype[np.int64]]
YEAR = 365.25 * 86_400e9  # ns


def returns(equity: Floats) -> Floats:
    """E_t / E_(t-1) - 1; nothing for a series of fewer than two."""
    changed: Floats = equity[1:] / equity[:-1] - 1.0
    return changed


def years(ts: Ints) -> float:
    """The time from the first to the last, in years of 365.25 days."""
    return float(ts[-1] - ts[0]) / YEAR if len(ts) > 1 else 0.0


def periods_per_year(ts: Ints) -> float:
    """Intervals a year as observed: of days of trading about 252, of minutes around the clock 525960."""
    span = years(ts)
    return (len(ts) - 1) / span if span else 0.0
