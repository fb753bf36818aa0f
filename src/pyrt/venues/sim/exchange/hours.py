"""When the simulated venue trades, and the instants at which something changes by itself.

Chosen where Alpaca's documents are silent: the overnight session (20:00 to 4:00) is not traded, orders for it wait until 4:00;
`done_for_day` is never told, a day order ends as `expired` and a gtc order keeps its status overnight.
"""

from datetime import datetime, time
from typing import Protocol

from pyrt.calendar import NEW_YORK, Session
from pyrt.clock import MINUTE, SECOND
from pyrt.model import TimeInForce
from pyrt.venues.sim.exchange.orders import Row
from pyrt.venues.sim.times import new_york, new_york_midnight

NEVER = 2**63 - 1
AFTER_HOURS = 4 * 3600 * SECOND
BEFORE_HOURS = 11 * 1800 * SECOND
AGE_DAYS = 90  # of a gtc order
AGED_AT = time(16, 15)  # New York: when it ends
QUEUE_AT = time(19)  # New York: from here on auction orders are taken for the next session
SHUT_BEFORE = {TimeInForce.OPG: 2 * MINUTE, TimeInForce.CLS: 10 * MINUTE}  # no more orders this long before the auction


class Sessions(Protocol):
    """What the venue asks of an exchange calendar; times ns UTC."""

    def is_open(self, ns: int, *, extended: bool = False) -> bool: ...

    def next_open(self, ns: int) -> int: ...

    def next_close(self, ns: int) -> int: ...

    def session_from(self, ns: int) -> Session: ...


class Hours:
    """Opening hours: always open, or the calendar's. With a calendar day orders end with the regular session.

    An extended-hours day order ends four hours after the regular close, as the after-hours session does; a gtc order 90 days
    after it was made, at 16:15 New York.
    """

    def __init__(self, calendar: Sessions | None, *, always_open: bool) -> None:
        self.calendar = calendar
        self.always_open = always_open or calendar is None

    def is_open(self, ns: int, *, extended: bool = False) -> bool:
        """Whether an order can work at `ns`."""
        return self.always_open or (self.calendar is not None and self.calendar.is_open(ns, extended=extended))

    def works(self, ns: int, row: Row) -> bool:
        """Whether this order can work at `ns`: pairs trade at all hours."""
        return row.is_pair or self.is_open(ns, extended=row.extended)

    def trades(self, begin: int, end: int) -> bool:
        """Whether the venue opens between two instants at which it is closed, such as midnights."""
        return self.always_open or (self.calendar is not None and self.calendar.next_open(begin) < end)

    def takes(self, ns: int, tif: TimeInForce, *, extended: bool = False, pair: bool = False) -> bool:
        """Whether an order entered at `ns` works at once; one for an auction waits for it."""
        return pair or (tif not in SHUT_BEFORE and self.is_open(ns, extended=extended))

    def expiry(self, ns: int, tif: TimeInForce, extended: bool) -> int:
        """When an order entered at `ns` ends by itself; 0 = never."""
        if self.calendar is None:
            return 0
        if tif is TimeInForce.GTC:
            return _wall(new_york_midnight(ns, AGE_DAYS), AGED_AT)
        if tif in SHUT_BEFORE and not self.always_open:
            return self.close_after(self.auction(ns, tif)) if tif is TimeInForce.OPG else self.auction(ns, tif)
        if tif is not TimeInForce.DAY:
            return 0
        if extended and self.calendar.is_open(ns, extended=True):
            return self.calendar.next_close(ns - AFTER_HOURS) + AFTER_HOURS
        return self.calendar.next_close(ns) + (AFTER_HOURS if extended else 0)

    def next_edge(self, ns: int) -> int:
        """The first instant after `ns` at which hours change, gtc orders come of age, or a New York day begins."""
        edge = new_york_midnight(ns, 1)
        if self.calendar is None:
            return edge
        aged = _wall(new_york_midnight(ns), AGED_AT)
        close = self.calendar.next_close(ns - AFTER_HOURS) + AFTER_HOURS
        opening = self.calendar.next_open(ns)
        before = self.calendar.next_open(ns + BEFORE_HOURS) - BEFORE_HOURS
        return min(edge, close, opening, self.calendar.next_close(ns), before, aged if aged > ns else NEVER)

    def is_close(self, ns: int) -> bool:
        """Whether a regular session ends at `ns`."""
        return self.calendar is not None and self.calendar.next_close(ns - 1) == ns

    # ------------------------------------------------------------------------------------------------ auctions
    def is_shut(self, ns: int, tif: TimeInForce) -> bool:
        """Whether orders of this auction are refused: from shortly before it until 19:00, on a day with a session."""
        if self.calendar is None:
            return True
        session = self.calendar.session_from(new_york_midnight(ns))
        auction = session.open if tif is TimeInForce.OPG else session.close
        return session.date == new_york(ns).date() and auction - SHUT_BEFORE[tif] <= ns < _wall(ns, QUEUE_AT)

    def auction(self, ns: int, tif: TimeInForce) -> int:
        """When the auction is that an order entered at `ns` takes part in."""
        assert self.calendar is not None
        return self.calendar.next_open(ns) if tif is TimeInForce.OPG else self.calendar.next_close(ns)

    def close_after(self, ns: int) -> int:
        """The first regular close after `ns`."""
        assert self.calendar is not None
        return self.calendar.next_close(ns)


def _wall(ns: int, at: time) -> int:
    """A wall time of the New York day that holds `ns`, as ns UTC."""
    return int(datetime.combine(new_york(ns).date(), at, NEW_YORK).timestamp()) * SECOND
