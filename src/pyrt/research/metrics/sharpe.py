"""Sharpe ratio."""

import math

from pyrt.research.metrics.series import Floats, Ints, periods_per_year, returns


def sharpe(equity: Floats, ts: Ints, *, risk_free: float = 0.0) -> float:
    """sqrt(N) * mean(r - f) / std(r), std with n - 1; nan where returns do not vary.

    r: return of each interval of `equity`; N: intervals a year as observed, (n - 1) / years; f = (1 + risk_free)^(1/N) - 1, with
    `risk_free` a year. Source: W. F. Sharpe, "The Sharpe Ratio", Journal of Portfolio Management 21 (1994).
    """
    r = returns(equity)
    if len(r) < 2 or not (spread := float(r.std(ddof=1))):
        return float("nan")
    n = periods_per_year(ts)
    free = (1.0 + risk_free) ** (1.0 / n) - 1.0 if risk_free else 0.0
    return math.sqrt(n) * (float(r.mean()) - free) / spread
