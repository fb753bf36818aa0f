"""The journal: appender thread, recovery, projections, recorder."""
