"""When the simulated venue trades, and the instants at which something changes by itself."""

from typing import Protocol

from pyrt.clock import SECOND
from pyrt.model import TimeInForce
from pyrt.venues.sim.times import new_york_midnight

NEVER = 2**63 - 1


class Sessions(Protocol):
    """What the venue asks of an exchange calendar; times ns UTC."""

    def is_open(self, ns: int, *, extended: bool = False) -> bool: ...

    def next_open(self, ns: int) -> int: ...

    def next_close(self, ns: int) -> int: ...


class Hours:
    """Opening hours: always open, or the calendar's. With a calendar day orders end with the regular session.

    An extended-hours day order ends four hours after the regular close, as the after-hours session does.
    """

    def __init__(self, calendar: Sessions | None, *, always_open: bool) -> None:
        self.calendar = calendar
        self.always_open = always_open or calendar is None

    def is_open(self, ns: int, *, extended: bool = False) -> bool:
        """Whether an order can work at `ns`."""
        return self.always_open or (self.calendar is not None and self.calendar.is_open(ns, extended=extended))

    def trades(self, begin: int, end: int) -> bool:
        """Whether the venue opens between two instants at which it is closed, such as midnights."""
        return self.always_open or (self.calendar is not None and self.calendar.next_open(begin) < end)

    def expiry(self, ns: int, tif: TimeInForce, extended: bool) -> int:
        """When an order entered at `ns` ends by itself; 0 = never."""
        if self.calendar is None or tif is not TimeInForce.DAY:
            return 0
        if extended and self.calendar.is_open(ns, extended=True):
            after_hours = 4 * 3600 * SECOND
            return self.calendar.next_close(ns - after_hours) + after_hours
        return self.calendar.next_close(ns) + (4 * 3600 * SECOND if extended else 0)

    def next_edge(self, ns: int) -> int:
        """The first instant after `ns` at which hours change or a New York day begins."""
        edge = new_york_midnight(ns, 1)
        if self.calendar is None:
            return edge
        after_hours = 4 * 3600 * SECOND
        close = self.calendar.next_close(ns - after_hours) + after_hours
        opening = self.calendar.next_open(ns)
        before = self.calendar.next_open(ns + 11 * 1800 * SECOND) - 11 * 1800 * SECOND
        return min(edge, close, opening, self.calendar.next_close(ns), before)
