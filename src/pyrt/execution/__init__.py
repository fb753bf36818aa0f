"""ExecutionEngine: order lifecycle, submit algorithm, recovery and reconciliation; pure."""
