"""RFC 3339 text and ns UTC, both ways, to the nanosecond."""

import re
from datetime import UTC, datetime
from functools import lru_cache
from zoneinfo import ZoneInfo

from pyrt.calendar import NEW_YORK
from pyrt.clock import SECOND
from pyrt.errors import Misbehaved
from pyrt.venues.alpaca import wire

# A date, a time to the minute, an offset left out: Alpaca takes them in a query, but never sends them.
_QUERY = re.compile(r"(\d{4}-\d\d-\d\d)(?:[Tt ](\d\d:\d\d)(:\d\d(?:\.\d+)?)?([Zz]|[+ -]\d\d:?\d\d)?)?", re.ASCII)
CHICAGO = ZoneInfo("America/Chicago")  # whose days crypto data has
_YEARS = range(1900, 2200)  # what int64 nanoseconds hold, with room for offsets


def parse_time(text: str) -> int:
    """RFC 3339 with 0 to 9 fractional digits, or a date (its midnight UTC), as ns UTC. Raises ValueError.

    A blank stands for `+` in an offset: that is what an unescaped plus in a query becomes.
    """
    found = _QUERY.fullmatch(text)
    if found is None or int(text[:4]) not in _YEARS:
        raise ValueError(f"{text!r} is not an RFC 3339 time")
    day, minute, second, zone = found.groups()
    try:
        return wire.parse_time(f"{day}T{minute or '00:00'}{second or ':00'}{(zone or 'Z').replace(' ', '+')}")
    except Misbehaved:
        raise ValueError(f"{text!r} is not an RFC 3339 time") from None


@lru_cache(maxsize=4096)
def _second(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")


def format_time(ns: int) -> str:
    """Ns UTC as RFC 3339 with as many fractional digits as it needs."""
    seconds, fraction = divmod(ns, SECOND)
    return _second(seconds) + (f".{fraction:09d}".rstrip("0") if fraction else "") + "Z"


def format_new_york(ns: int) -> str:
    """Ns UTC as RFC 3339 in New York's time, microseconds cut, as Alpaca's clock shows it."""
    return new_york(ns).replace(microsecond=ns % SECOND // 1000).isoformat()


def new_york(ns: int) -> datetime:
    """The wall time of New York, to the second."""
    return datetime.fromtimestamp(ns // SECOND, NEW_YORK)


def day_start(ns: int, zone: ZoneInfo = NEW_YORK, days: int = 0) -> int:
    """The midnight of a zone that begins the day of `ns`, `days` later, as ns UTC."""
    local = datetime.fromtimestamp(ns // SECOND, zone)
    # Ordinals, not timedelta: a day that changes the clock has 23 or 25 hours.
    day = datetime.fromordinal(local.toordinal() + days).replace(tzinfo=zone)
    return int(day.timestamp()) * SECOND


def new_york_midnight(ns: int, days: int = 0) -> int:
    """The midnight in New York that begins the day of `ns`, `days` later, as ns UTC."""
    return day_start(ns, NEW_YORK, days)
