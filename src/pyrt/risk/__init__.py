"""RiskManager: limits, latches, kill switch, over the compiled gate and ledger; pure."""
