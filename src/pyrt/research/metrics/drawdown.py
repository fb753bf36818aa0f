"""Drawdown: how far below its highest the equity was, and for how long."""

import numpy as np

from pyrt.research.metrics.series import Floats, Ints


def drawdowns(equity: Floats) -> Floats:
    """E_t / max(E_0..E_t) - 1 at each instant, 0 or below.

    Source: M. Magdon-Ismail, A. Atiya, "Maximum Drawdown", Risk 17 (2004).
    """
    under: Floats = equity / np.maximum.accumulate(equity) - 1.0
    return under


def max_drawdown(equity: Floats) -> float:
    """The deepest drawdown as a fraction, 0 or below."""
    return float(drawdowns(equity).min()) if len(equity) else 0.0


def max_drawdown_duration(equity: Floats, ts: Ints) -> int:
    """The longest time, ns, from a peak until the equity is at that height again, or until the end."""
    longest, peak, since = 0, -np.inf, 0
    for value, at in zip(equity.tolist(), ts.tolist(), strict=True):
        if value >= peak:
            longest = max(longest, at - since if since else 0)
            peak, since = value, at
    return max(longest, int(ts[-1]) - since) if len(ts) else 0
