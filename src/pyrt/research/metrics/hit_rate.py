"""Hit rate."""

import numpy as np

from pyrt.research.metrics.series import Floats


def hit_rate(pnl: Floats) -> float:
    """Round trips that gained after fees / all round trips; nan where there are none."""
    return float(np.mean(pnl > 0)) if len(pnl) else float("nan")
