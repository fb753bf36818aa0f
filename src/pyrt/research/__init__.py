"""Research: the session of live trading on recorded data, and what it would have brought."""

from pyrt.research.backtest import backtest, backtest_limits
from pyrt.research.latency import Latency
from pyrt.research.result import Result

__all__ = ["Latency", "Result", "backtest", "backtest_limits"]
