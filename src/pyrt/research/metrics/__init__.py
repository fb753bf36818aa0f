"""What an equity curve and its round trips say, one measure a file."""

from pyrt.research.metrics.cagr import cagr
from pyrt.research.metrics.costs import costs
from pyrt.research.metrics.drawdown import drawdowns, max_drawdown, max_drawdown_duration
from pyrt.research.metrics.exposure import exposure
from pyrt.research.metrics.hit_rate import hit_rate
from pyrt.research.metrics.sharpe import sharpe
from pyrt.research.metrics.sortino import sortino
from pyrt.research.metrics.total_return import total_return
from pyrt.research.metrics.turnover import turnover

__all__ = [
    "cagr",
    "costs",
    "drawdowns",
    "exposure",
    "hit_rate",
    "max_drawdown",
    "max_drawdown_duration",
    "sharpe",
    "sortino",
    "total_return",
    "turnover",
]
