"""When the venue trades, as /v2/clock and /v2/calendar tell it: always, or in the hours of the exchange."""

from datetime import UTC, date, datetime, timedelta
from typing import Any

from pyrt.calendar import FIRST_YEAR, LAST_YEAR, NEW_YORK, Calendar
from pyrt.clock import SECOND
from pyrt.venues.sim.times import format_new_york, new_york_midnight

_DAYS_MAX = 3660  # of an always-open calendar in one answer


class Schedule:
    """Trading hours; `calendar` None means that the venue never closes."""

    def __init__(self, calendar: Calendar | None = None) -> None:
        self._calendar = calendar

    def clock(self, now: int) -> dict[str, Any]:
        """The answer of GET /v2/clock at venue time `now`."""
        if self._calendar is None:
            is_open, opens, closes = True, new_york_midnight(now, 1), new_york_midnight(now, 1)
        else:
            is_open, opens, closes = self._calendar.is_open(now), self._calendar.next_open(now), self._calendar.next_close(now)
        return {
            "timestamp": format_new_york(now),
            "is_open": is_open,
            "next_open": format_new_york(opens),
            "next_close": format_new_york(closes),
        }

    def calendar(self, start: date | None, end: date | None, now: int) -> list[dict[str, str]]:
        """The answer of GET /v2/calendar; without limits, a year back and a year ahead."""
        today = datetime.fromtimestamp(now // SECOND, UTC).date()
        start = max(start or today - timedelta(days=365), date(FIRST_YEAR, 1, 1))
        end = min(end or today + timedelta(days=365), date(LAST_YEAR, 12, 31))
        if self._calendar is None:
            days = min((end - start).days + 1, _DAYS_MAX)
            return [_always_open(start + timedelta(days=n)) for n in range(days)]
        return [
            {
                "date": s.date.isoformat(),
                "open": _wall(s.open, "%H:%M"),
                "close": _wall(s.close, "%H:%M"),
                "session_open": _wall(s.pre_open, "%H%M"),
                "session_close": _wall(s.post_close, "%H%M"),
                "settlement_date": self._calendar.settlement_date(s.date).isoformat(),
            }
            for s in self._calendar.sessions(start, end)
        ]


def _always_open(day: date) -> dict[str, str]:
    return {
        "date": day.isoformat(),
        "open": "00:00",
        "close": "23:59",
        "session_open": "0000",
        "session_close": "2359",
        "settlement_date": (day + timedelta(days=1)).isoformat(),
    }


def _wall(ns: int, form: str) -> str:
    return datetime.fromtimestamp(ns // SECOND, NEW_YORK).strftime(form)
