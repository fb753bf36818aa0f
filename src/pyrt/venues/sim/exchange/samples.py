"""What an account was worth at the ends of minutes; earlier of quarters of an hour, long ago of days."""

from bisect import bisect_right
from operator import itemgetter

import msgspec

from pyrt.clock import DAY, MINUTE

Sample = tuple[int, int]  # ns UTC, money units

QUARTER = 15 * MINUTE
MINUTES_KEPT = 8 * DAY  # of samples to the minute
QUARTERS_KEPT = 40 * DAY
SLACK = 1024  # samples too many before the oldest go

_time = itemgetter(0)


class Samples(msgspec.Struct):
    """Three lists, each in the order of time; bounded but for the days."""

    minutes: list[Sample] = msgspec.field(default_factory=list)
    quarters: list[Sample] = msgspec.field(default_factory=list)
    days: list[Sample] = msgspec.field(default_factory=list)  # at the midnights of New York

    def add(self, at: int, equity: int, *, midnight: bool) -> None:
        """Write down the equity at the end of a minute."""
        self.minutes.append((at, equity))
        if at % QUARTER == 0:
            self.quarters.append((at, equity))
        if midnight:
            self.days.append((at, equity))
        for kept, span in ((self.minutes, MINUTES_KEPT), (self.quarters, QUARTERS_KEPT)):
            old = bisect_right(kept, at - span, key=_time)
            if old > SLACK:
                del kept[:old]

    def at(self, ns: int) -> int | None:
        """The latest equity written down at or before `ns`; None = there is none."""
        lists = (self.minutes, self.quarters, self.days)
        found = [kept[place - 1] for kept in lists if (place := bisect_right(kept, ns, key=_time))]
        return max(found, key=_time)[1] if found else None


def next_minute(ns: int) -> int:
    """The end of the minute that `ns` is in, or the next one's."""
    return (ns // MINUTE + 1) * MINUTE
