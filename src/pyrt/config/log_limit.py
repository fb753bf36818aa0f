"""A log that a fault cannot fill: so many lines of a kind, and of all kinds, in a span of time; what was left out is counted."""

import logging
import time
from collections.abc import Callable

SPAN = 10.0  # seconds
SAME = 50  # lines of one place in the code within a span
ALL = 1_000  # lines of all places
KINDS = 1_000  # places remembered


class LogLimit(logging.Filter):
    """Attach it to a handler. A line that follows others which were left out says how many."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic, same: int = SAME, every: int = ALL) -> None:
        super().__init__()
        self.dropped = 0  # since the beginning
        self._clock, self._same, self._all = clock, same, every
        self._since = clock()
        self._seen: dict[tuple[str, int], int] = {}  # (file, line) -> how many within the span
        self._lines = 0
        self._untold = 0

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the line is written."""
        now = self._clock()
        if now - self._since >= SPAN:
            self._since, self._lines = now, 0
            self._seen.clear()
        place = record.pathname, record.lineno
        n = self._seen.get(place, 0) + 1
        if len(self._seen) < KINDS or place in self._seen:
            self._seen[place] = n
        if n > self._same or self._lines >= self._all:
            self.dropped += 1
            self._untold += 1
            return False
        self._lines += 1
        if self._untold:
            record.msg, record.args = f"{record.getMessage()} ({self._untold} lines before this one were left out)", ()
            self._untold = 0
        return True
