"""The same job, the same faults, three bots, one neutral referee: `make derby`."""
