"""Stored market data: readers of recorded files, and the catalog of what was downloaded."""

from pyrt.history.catalog import Catalog
from pyrt.history.source import Source
from pyrt.history.spec import open_history

__all__ = ["Catalog", "Source", "open_history"]
