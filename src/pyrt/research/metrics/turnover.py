"""Turnover."""

from pyrt.research.metrics.series import Floats


def turnover(traded: float, equity: Floats) -> float:
    """Money traded, purchases and sales, / mean equity: how often the account was turned over in the whole time, both ways."""
    return traded / float(equity.mean()) if len(equity) and equity.mean() else 0.0
