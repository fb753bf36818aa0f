"""What a running session shows of itself to other processes."""

from pyrt.monitor.page import Level, RiskPage

__all__ = ["Level", "RiskPage"]
