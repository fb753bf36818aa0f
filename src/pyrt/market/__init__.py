"""MarketData: sequencing, books, bars, gaps and quality, pure."""
