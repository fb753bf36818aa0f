"""The journal: appender thread, recovery, projections, recorder."""

from pyrt.journal.journal import Journal

__all__ = ["Journal"]
