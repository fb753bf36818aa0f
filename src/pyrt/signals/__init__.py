"""From signal to intent: sizers, pure."""

from pyrt.signals.sizers import Fixed, Notional, Scaled, Sizer

__all__ = ["Fixed", "Notional", "Scaled", "Sizer"]
