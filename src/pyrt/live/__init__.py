"""The live driver: shell, timers, runner, control socket, console view."""

from pyrt.live.plan import Companion, Link, Live, Plan
from pyrt.live.runner import Runner
from pyrt.live.summary import Summary

__all__ = ["Companion", "Link", "Live", "Plan", "Runner", "Summary"]
