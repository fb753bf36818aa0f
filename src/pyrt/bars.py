"""Bars for scripts and notebooks: the aggregator, and the words for what closes a bar."""

from pyrt._core.bars import BarAggregator
from pyrt._core.sampled import BarSpec, Dollar, Imbalance, Range, Tick, Time, Volume, bar_spec

__all__ = ["BarAggregator", "BarSpec", "Dollar", "Imbalance", "Range", "Tick", "Time", "Volume", "bar_spec"]
