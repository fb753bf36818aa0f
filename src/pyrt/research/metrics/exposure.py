"""Exposure."""

import numpy as np

from pyrt.research.metrics.series import Floats, Ints


def exposure(held: Floats, ts: Ints) -> float:
    """The share of the time in which a position was open: sum of the intervals that began with one / the whole time."""
    if len(ts) < 2:
        return 0.0
    spans = np.diff(ts)
    return float(spans[held[:-1] != 0].sum() / spans.sum())
