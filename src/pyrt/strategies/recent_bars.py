"""The last bars of an instrument, as a strategy reads them."""

from typing import Any

import numpy as np

from pyrt._core.types import bar_dtype


def interval_text(interval: int) -> str:
    """An interval in ns as one writes it: "1s", "5m"."""
    for unit, ns in (("d", 86_400), ("h", 3600), ("m", 60), ("s", 1)):
        if interval % (ns * 1_000_000_000) == 0:
            return f"{interval // (ns * 1_000_000_000)}{unit}"
    return f"{interval} ns"


class RecentBars:
    """The last bars of one instrument and interval, oldest first, contiguous."""

    def __init__(self, keep: int) -> None:
        self._keep = keep
        self._rows = np.zeros(2 * keep, bar_dtype)
        self._starts = self._rows["start"]
        self._raw = self._rows.view(f"V{bar_dtype.itemsize}")  # copied as one piece, not field by field
        self._end = 0
        self._newest = -1

    def add(self, bar: np.void) -> None:
        """Take in a bar: a new one, or another version of one that is kept."""
        start = int(bar["start"])
        if start > self._newest:
            self._append(bar, start)
            return
        at = int(np.searchsorted(self._starts[: self._end], start))
        if self._starts[at] == start:
            self._raw[at] = bar.tobytes()
        elif at or self._end < self._keep:  # older than all of a full window: nobody would see it
            self._insert(bar, at)

    def _append(self, bar: np.void, start: int) -> None:
        if self._end == len(self._raw):
            self._raw[: self._keep] = self._raw[-self._keep :]
            self._end = self._keep
        self._raw[self._end] = bar.tobytes()
        self._end += 1
        self._newest = start

    def _insert(self, bar: np.void, at: int) -> None:
        last = self._rows[self._end - 1].copy()
        self._raw[at + 1 : self._end] = self._raw[at : self._end - 1].copy()
        self._raw[at] = bar.tobytes()
        self._append(last, int(last["start"]))

    def last(self, n: int) -> np.ndarray[Any, Any]:
        """At most n of the newest, bar_dtype; a copy."""
        rows = self._raw[max(0, self._end - max(0, min(n, self._keep))) : self._end]
        return np.frombuffer(bytearray(rows.tobytes()), bar_dtype)
