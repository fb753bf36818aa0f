"""Pre-trade risk: limits, latches, positions and the gate that alone makes an Approved."""

from pyrt.risk.limits import Limits
from pyrt.risk.manager import RiskManager

__all__ = ["Limits", "RiskManager"]
