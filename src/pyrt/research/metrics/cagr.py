"""Compound annual growth rate."""

from pyrt.research.metrics.series import Floats, Ints, years


def cagr(equity: Floats, ts: Ints) -> float:
    """(E_n / E_0)^(1 / years) - 1, a year = 365.25 days; -1 where nothing is left. Source: CFA Institute, geometric mean return.

    Of less than a day it would be a number without meaning: nan.
    """
    span = years(ts)
    if span < 1 / 365.25:
        return float("nan")
    grown = float(equity[-1] / equity[0])
    if grown <= 0:
        return -1.0
    try:
        return float(grown ** (1.0 / span) - 1.0)
    except OverflowError:
        return float("inf")
