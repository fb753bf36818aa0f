"""The offline side: backtest, metrics, reports."""
