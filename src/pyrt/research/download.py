"""Historical bars from a venue into a catalog, piece by piece, so that a later run asks only for what is missing."""

from collections.abc import Callable, Iterator
from typing import Any, Protocol

import numpy as np

from pyrt._core.types import bar_dtype
from pyrt.clock import DAY
from pyrt.history import Catalog
from pyrt.model import Instrument

Records = np.ndarray[Any, Any]
PIECES = 16  # that a range is split into at most; what was fetched of a whole piece is kept


class BarSource(Protocol):
    """A client of historical bars, page by page; start and end in ns, both included."""

    def bars(self, instrument: Instrument, interval: int, start: int, end: int) -> Iterator[Records]: ...


def download(
    source: BarSource,
    catalog: Catalog,
    instrument: Instrument,
    interval: int,
    start: int,
    end: int,
    tell: Callable[[int, int], None] = lambda done, of: None,
) -> int:
    """Fetch the bars that begin in [start, end) ns and are not there yet; returns how many came. tell: (ns done, ns in all).

    The time behind the last bar counts as not asked for: the venue may not have had it yet.
    """
    added, whole = 0, end - start
    for first, last in catalog.missing(instrument.symbol, interval, start, end):
        step = max(-(-(last - first) // PIECES), DAY)
        for begin in range(first, last, step):
            stop = min(begin + step, last)
            pages = list(source.bars(instrument, interval, begin, stop - 1))
            bars = np.concatenate([np.empty(0, bar_dtype), *pages])
            if len(bars):
                until = stop if stop < last else int(bars["start"][-1]) + interval
                catalog.add_bars(instrument.symbol, interval, bars, covers=(begin, until))
            added += len(bars)
            tell(stop - start, whole)
    return added
