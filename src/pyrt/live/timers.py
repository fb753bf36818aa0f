"""Timers on both clocks, by key; the driver asks when the next one is due."""

import heapq
from itertools import count

from pyrt._core.types import Clock
from pyrt.clock import Now
from pyrt.ports import SetTimer, TimerFired


class Timers:
    """A heap for each clock. A key set again moves; the entry it had is skipped when it comes up."""

    def __init__(self) -> None:
        self._heaps: dict[Clock, list[tuple[int, int, str]]] = {Clock.VENUE: [], Clock.MONO: []}
        self._current: dict[str, int] = {}  # key -> the entry that counts
        self._entries = count()

    def set(self, command: SetTimer) -> None:
        """Take in a SetTimer; at 0 removes the key."""
        if command.at == 0:
            self._current.pop(command.key, None)
            return
        entry = next(self._entries)
        self._current[command.key] = entry
        heap = self._heaps[command.clock]
        heapq.heappush(heap, (command.at, entry, command.key))
        if len(heap) > 2 * len(self._current) + 64:  # mostly entries of keys that moved: they would pile up until their time
            heap[:] = [e for e in heap if self._current.get(e[2]) == e[1]]
            heapq.heapify(heap)

    def next(self, clock: Clock) -> int | None:
        """When the next timer of a clock is due, ns of that clock."""
        heap = self._heaps[clock]
        while heap and self._current.get(heap[0][2]) != heap[0][1]:
            heapq.heappop(heap)
        return heap[0][0] if heap else None

    def pop(self, now: Now) -> TimerFired | None:
        """The timer that was due first, if one is; venue time goes before monotonic time."""
        for clock, instant in ((Clock.VENUE, now.venue), (Clock.MONO, now.mono)):
            at = self.next(clock)
            if at is not None and at <= instant:
                _, _, key = heapq.heappop(self._heaps[clock])
                del self._current[key]
                return TimerFired(key=key, at=at, clock=clock)
        return None
