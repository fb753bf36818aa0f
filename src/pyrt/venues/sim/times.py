"""RFC 3339 text and ns UTC, both ways, to the nanosecond."""

import re
from calendar import timegm
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from pyrt.clock import SECOND

NEW_YORK = ZoneInfo("America/New_York")

_RFC3339 = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)"
    r"(?:[Tt ](\d\d):(\d\d)(?::(\d\d)(?:\.(\d{1,9})\d*)?)?(?:[Zz]|([+ -])(\d\d):?(\d\d))?)?",
    re.ASCII,
)
_YEARS = range(1900, 2200)  # what int64 nanoseconds hold, with room for offsets


def parse_time(text: str) -> int:
    """RFC 3339 with 0 to 9 fractional digits, or a date (its midnight UTC), as ns UTC. Raises ValueError.

    A blank stands for `+` in an offset: that is what an unescaped plus in a query becomes.
    """
    found = _RFC3339.fullmatch(text)
    if found is None or int(found[1]) not in _YEARS:
        raise ValueError(f"{text!r} is not an RFC 3339 time")
    day = (int(found[1]), int(found[2]), int(found[3]))
    clock = (int(found[4] or 0), int(found[5] or 0), int(found[6] or 0))
    seconds = timegm(datetime(*day, *clock, tzinfo=UTC).timetuple())
    if found[8]:
        offset = int(found[9]) * 3600 + int(found[10]) * 60
        seconds += offset if found[8] == "-" else -offset
    return seconds * SECOND + int((found[7] or "").ljust(9, "0"))


def format_time(ns: int) -> str:
    """Ns UTC as RFC 3339 with as many fractional digits as it needs."""
    seconds, fraction = divmod(ns, SECOND)
    text = datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    if fraction:
        text += f".{fraction:09d}".rstrip("0")
    return text + "Z"


def format_new_york(ns: int) -> str:
    """Ns UTC as RFC 3339 in New York's time, microseconds cut, as Alpaca's clock shows it."""
    seconds, fraction = divmod(ns, SECOND)
    return datetime.fromtimestamp(seconds, NEW_YORK).replace(microsecond=fraction // 1000).isoformat()


def new_york_midnight(ns: int, days: int = 0) -> int:
    """The midnight in New York that begins the day of `ns`, `days` later, as ns UTC."""
    local = datetime.fromtimestamp(ns // SECOND, NEW_YORK)
    # Ordinals, not timedelta: a day that changes the clock has 23 or 25 hours.
    day = datetime.fromordinal(local.toordinal() + days).replace(tzinfo=NEW_YORK)
    return int(day.timestamp()) * SECOND
