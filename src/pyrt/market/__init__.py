"""MarketData: sequencing, books, bars, gaps and quality, pure."""

from pyrt.market.data import MarketData
from pyrt.market.sequencer import Sequencer, gap_record

__all__ = ["MarketData", "Sequencer", "gap_record"]
