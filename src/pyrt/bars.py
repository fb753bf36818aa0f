"""Bars for scripts and notebooks: the aggregator, and the words for what closes a bar."""

from pyrt._core.sampled import BarSpec, Dollar, Imbalance, Range, Tick, Time, Volume, bar_spec
from pyrt.library.bars import BarAggregator

__all__ = ["BarAggregator", "BarSpec", "Dollar", "Imbalance", "Range", "Tick", "Time", "Volume", "bar_spec"]
