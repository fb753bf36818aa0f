"""The live driver: shell, timers, runner."""

from pyrt.live.runner import Link, Plan, Runner
from pyrt.live.summary import Summary

__all__ = ["Link", "Plan", "Runner", "Summary"]
