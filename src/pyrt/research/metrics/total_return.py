"""Total return."""

from pyrt.research.metrics.series import Floats


def total_return(equity: Floats) -> float:
    """E_n / E_0 - 1: the gain of the whole time as a fraction. Source: CFA Institute, GIPS, holding period return."""
    return float(equity[-1] / equity[0] - 1.0) if len(equity) else 0.0
