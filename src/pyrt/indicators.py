"""Indicators for strategies, scripts and notebooks: `update` takes one number or bar, `apply` an array, both to the same bits."""

from pyrt._core.indicators import (
    ADX,
    ATR,
    CCI,
    EMA,
    MACD,
    OBV,
    ROC,
    RSI,
    SMA,
    VWAP,
    WMA,
    Bollinger,
    Deviation,
    Indicator,
    IndicatorSet,
    RealisedVolatility,
    Returns,
    Stochastic,
    ZScore,
)
from pyrt._core.quoted import BookImbalance, Microprice, Spread

__all__ = [
    "ADX", "ATR", "Bollinger", "BookImbalance", "CCI", "Deviation", "EMA", "Indicator", "IndicatorSet", "MACD", "Microprice", "OBV",
    "RealisedVolatility", "Returns", "ROC", "RSI", "SMA", "Spread", "Stochastic", "VWAP", "WMA", "ZScore",
]  # fmt: skip
