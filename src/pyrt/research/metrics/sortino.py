"""Sortino ratio."""

import math

import numpy as np

from pyrt.research.metrics.series import Floats, Ints, periods_per_year, returns


def sortino(equity: Floats, ts: Ints, *, target: float = 0.0) -> float:
    """sqrt(N) * mean(r - t) / sqrt(mean(min(r - t, 0)^2)); nan where no return is below the target.

    r, N as in the Sharpe ratio; t = (1 + target)^(1/N) - 1, `target` a year. The mean of the squares runs over all returns.
    Source: F. Sortino, L. Price, "Performance Measurement in a Downside Risk Framework", Journal of Investing 3 (1994).
    """
    r = returns(equity)
    if len(r) < 2:
        return float("nan")
    n = periods_per_year(ts)
    excess = r - ((1.0 + target) ** (1.0 / n) - 1.0 if target else 0.0)
    downside = math.sqrt(float(np.mean(np.minimum(excess, 0.0) ** 2)))
    return math.sqrt(n) * float(excess.mean()) / downside if downside else float("nan")
