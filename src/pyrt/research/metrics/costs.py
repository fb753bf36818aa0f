"""Costs."""

from pyrt.research.metrics.series import Floats


def costs(fees: Floats) -> float:
    """Fees paid, in sum; what the spread cost is in the prices of the fills."""
    return float(fees.sum())
