"""Sessions of the New York exchanges (XNYS), computed by rule; boundaries are int64 ns UTC.

Holidays and half days follow the exchange's published rules; only what no rule foretells (mourning, storms, 2001-09-11) is a
table, so the calendar needs no data after the last entry. Scheduled hours only: a market-wide halt or a late opening on the day
is the feed's to tell.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from typing import NamedTuple
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt

from pyrt.errors import DataError

NEW_YORK = ZoneInfo("America/New_York")
FIRST_YEAR = 1990  # before it the rules were others
LAST_YEAR = 2261  # int64 ns end in 2262

_MON, _TUE, _WED, _THU, _FRI, _SAT, _SUN = range(7)
_UNIX_DAY = date(1970, 1, 1)
_NS = 1_000_000_000

_SPECIAL_CLOSURES = frozenset(
    date.fromisoformat(day)
    for day in (
        "1994-04-27",  # mourning, Nixon
        "2001-09-11",
        "2001-09-12",
        "2001-09-13",
        "2001-09-14",
        "2004-06-11",  # mourning, Reagan
        "2007-01-02",  # mourning, Ford
        "2012-10-29",  # storm Sandy
        "2012-10-30",
        "2018-12-05",  # mourning, G. H. W. Bush
        "2025-01-09",  # mourning, Carter
    )
)
_SPECIAL_HALF_DAYS = frozenset({date(1997, 12, 26), date(1999, 12, 31), date(2003, 12, 26)})
# Trade date from which a sale settles after so many business days (SEC rule 15c6-1 and its amendments).
_CYCLES = ((date(2024, 5, 28), 1), (date(2017, 9, 5), 2), (date(1995, 6, 7), 3), (date.min, 5))

OPG_SHUT = 120 * _NS  # so long before an auction no more orders for it are taken
CLS_SHUT = 600 * _NS
CLOSING_PRINTS = 300 * _NS  # after the close, the tape may still tell the closing auction: a day's bar waits so long
OVERNIGHT_AT = time(20)  # New York, the evening before a session: its overnight trading begins
QUEUE_AT = time(19)  # New York: from here on they are, for the next session


class Session(NamedTuple):
    """One trading day; times in ns UTC, each interval half open."""

    date: date
    pre_open: int  # 04:00 New York: extended hours begin
    open: int  # 09:30
    close: int  # 16:00, 13:00 on a half day
    post_close: int  # 20:00, 17:00 on a half day: extended hours end

    @property
    def is_half(self) -> bool:
        """The session ends early."""
        return self.close - self.open < 6 * 3600 * _NS


class Boundaries(NamedTuple):
    """The boundaries of consecutive sessions as int64 arrays of ns UTC, one row a session."""

    pre_open: npt.NDArray[np.int64]
    open: npt.NDArray[np.int64]
    close: npt.NDArray[np.int64]
    post_close: npt.NDArray[np.int64]


def _weekday(year: int, month: int, weekday: int, nth: int) -> date:
    """The nth such weekday of a month; nth -1 is the last."""
    if nth < 0:
        last = date(year + month // 12, month % 12 + 1, 1) - timedelta(days=1)
        return last - timedelta(days=(last.weekday() - weekday) % 7)
    first = date(year, month, 1)
    return first + timedelta(days=(weekday - first.weekday()) % 7 + 7 * (nth - 1))


def _easter(year: int) -> date:
    """Easter Sunday, Gregorian (the anonymous algorithm, Nature 1876)."""
    a, b, c = year % 19, year // 100, year % 100
    d = (19 * a + b - b // 4 - (b - (b + 8) // 25 + 1) // 3 + 15) % 30
    e = (32 + 2 * (b % 4) + 2 * (c // 4) - d - c % 4) % 7
    f = d + e - 7 * ((a + 11 * d + 22 * e) // 451) + 114
    return date(year, f // 31, f % 31 + 1)


def _observed(day: date) -> date:
    """A holiday on Saturday is kept on Friday, one on Sunday on Monday."""
    return day + timedelta(days={_SAT: -1, _SUN: 1}.get(day.weekday(), 0))


@lru_cache(maxsize=256)
def _holidays(year: int) -> frozenset[date]:
    new_year = date(year, 1, 1)
    days = {
        _weekday(year, 2, _MON, 3),
        _easter(year) - timedelta(days=2),
        _weekday(year, 5, _MON, -1),
        _observed(date(year, 7, 4)),
        _weekday(year, 9, _MON, 1),
        _weekday(year, 11, _THU, 4),
        _observed(date(year, 12, 25)),
    }
    # A New Year's Day on Saturday would close the last day of the year's accounts: the exchange stays open then.
    if new_year.weekday() != _SAT:
        days.add(_observed(new_year))
    if year >= 1998:
        days.add(_weekday(year, 1, _MON, 3))
    if year >= 2022:
        days.add(_observed(date(year, 6, 19)))
    return frozenset(days)


def _close_time(day: date) -> time:
    """The scheduled close of a session, New York time."""
    early = time(13) if day.year >= 1993 else time(14)
    weekday = day.weekday()
    eve_of_july_4 = {_MON, _TUE, _THU} | ({_WED} if day.year >= 2013 else set())
    half = (
        (day.month == 7 and day.day == 3 and day.year >= 1995 and weekday in eve_of_july_4)
        or (day.month == 7 and day.day == 5 and 1995 <= day.year < 2013 and weekday == _FRI)
        or (day.year >= 1992 and day == _weekday(day.year, 11, _THU, 4) + timedelta(days=1))
        or (day.month == 12 and day.day == 24)  # on a Friday it is the holiday itself
        or day in _SPECIAL_HALF_DAYS
    )
    return early if half else time(16)


def _ns(day: date, at: time) -> int:
    """Ns UTC of a New York wall time; sessions never touch the hours that a clock change repeats or skips."""
    return int(datetime.combine(day, at, NEW_YORK).timestamp()) * _NS


@lru_cache(maxsize=256)
def _year(year: int) -> tuple[Session, ...]:
    sessions = []
    day = date(year, 1, 1)
    while day.year == year:
        if _is_session(day):
            close = _close_time(day)
            post = time(20) if close == time(16) else time(close.hour + 4)
            sessions.append(Session(day, _ns(day, time(4)), _ns(day, time(9, 30)), _ns(day, close), _ns(day, post)))
        day += timedelta(days=1)
    return tuple(sessions)


def _is_session(day: date) -> bool:
    if not FIRST_YEAR <= day.year <= LAST_YEAR:
        raise DataError(f"no exchange calendar for {day.year}", mend=f"use dates from {FIRST_YEAR} to {LAST_YEAR}")
    return day.weekday() < _SAT and day not in _holidays(day.year) and day not in _SPECIAL_CLOSURES


def _is_settlement_day(day: date) -> bool:
    """A session on which banks work too: nothing settles on Columbus Day and Veterans Day, although shares trade."""
    veterans = date(day.year, 11, 11)
    if veterans.weekday() == _SUN:
        veterans += timedelta(days=1)
    return _is_session(day) and day not in (_weekday(day.year, 10, _MON, 2), veterans)


class Calendar:
    """The sessions of XNYS. Raises DataError for a time outside 1990 to 2261."""

    name = "XNYS"

    def sessions(self, start: date, end: date) -> tuple[Session, ...]:
        """The sessions from `start` to `end`, both included."""
        found: list[Session] = []
        for year in range(start.year, end.year + 1):
            whole = _year(year)
            first = bisect_left(whole, start, key=_date)
            found += whole[first : bisect_right(whole, end, key=_date)]
        return tuple(found)

    def session_on(self, day: date) -> Session | None:
        """The session of a date, or None on a day without trading."""
        return next(iter(self.sessions(day, day)), None)

    def session_at(self, ns: int) -> Session | None:
        """The session whose span from pre-market to after hours holds `ns`, or None between sessions."""
        session = next(self._from(ns))
        return session if session.pre_open <= ns else None

    def session_from(self, ns: int) -> Session:
        """The session whose span from pre-market to after hours holds `ns`, else the next one."""
        return next(self._from(ns))

    def is_open(self, ns: int, *, extended: bool = False) -> bool:
        """Regular trading (with `extended` also pre-market and after hours) is scheduled at `ns`."""
        session = self.session_at(ns)
        return session is not None and (extended or session.open <= ns < session.close)

    def next_open(self, ns: int) -> int:
        """The first regular opening after `ns`."""
        return next(session.open for session in self._from(ns) if session.open > ns)

    def next_close(self, ns: int) -> int:
        """The first regular close after `ns`: of the running session, or of the next one."""
        return next(session.close for session in self._from(ns) if session.close > ns)

    def auction_shut(self, ns: int, *, closing: bool) -> tuple[int, int] | None:
        """From when until when the venue takes no orders for the opening (closing) auction, where that is so at `ns`; else None.

        On the day of a session from two (ten) minutes before its auction until 19:00 New York, as Alpaca says; on a half day
        the closing auction is at 13:00.
        """
        day = datetime.fromtimestamp(ns // _NS, NEW_YORK).date()
        session = self.session_on(day)
        if session is None:
            return None
        since = session.close - CLS_SHUT if closing else session.open - OPG_SHUT
        until = _ns(day, QUEUE_AT)
        return (since, until) if since <= ns < until else None

    def overnight_at(self, ns: int) -> Session | None:
        """The session whose overnight trading (from 20:00 New York the evening before until its pre-market) holds `ns`, or None.

        It runs from Sunday evening on; an evening before a day without a session has none.
        """
        session = self.session_from(ns)
        return session if ns >= _ns(session.date - timedelta(days=1), OVERNIGHT_AT) and ns < session.pre_open else None

    def day_bar(self, ns: int) -> tuple[int, int]:
        """Start and end of the bar of the day that holds `ns`, or of the next one: see `day_edges`."""
        start, end = next((s.open, s.close + CLOSING_PRINTS) for s in self._from(ns) if s.close + CLOSING_PRINTS > ns)
        return start, end

    def day_edges(self) -> npt.NDArray[np.int64]:
        """Start, end, start, end ... of the bars of days from 1990 to 2049: the regular session and its closing auction's print."""
        return _day_edges()

    def boundaries(self, start: date, end: date) -> Boundaries:
        """The boundaries of the sessions from `start` to `end`, both included."""
        table = np.array([session[1:] for session in self.sessions(start, end)], np.int64).reshape(-1, 4)
        return Boundaries(*np.ascontiguousarray(table.T))

    def settlement_date(self, day: date) -> date:
        """The date on which a trade of `day` settles: T+1, T+2 before 2024-05-28, T+3 before 2017-09-05, T+5 before 1995-06-07."""
        left = next(days for since, days in _CYCLES if day >= since)
        while left:
            day += timedelta(days=1)
            left -= _is_settlement_day(day)
        return day

    def _from(self, ns: int) -> Iterator[Session]:
        """The sessions that end (after hours) after `ns`, in order."""
        day = _UNIX_DAY + timedelta(days=ns // (86_400 * _NS))
        # After hours in New York run into the next day of UTC, so the year may be the one before.
        year = day.year - (day.month == 1 and day.day == 1 and day.year > FIRST_YEAR)
        while True:
            sessions = _year(year)
            yield from sessions[bisect_right(sessions, ns, key=_post_close) :]
            year += 1


class ExchangeDays:
    """The date in New York of a time: the day that a loss counts in. Weekends and holidays are days of their own.

    Callable with ns UTC, gives YYYY-MM-DD; remembers the bounds of the day asked for last, so that asking often is cheap.
    """

    def __init__(self) -> None:
        self._start = self._end = 0
        self._day = ""

    def start(self, ns: int) -> int:
        """When the day of `ns` began: midnight in New York, ns UTC."""
        self(ns)
        return self._start

    def __call__(self, ns: int) -> str:
        """The date at `ns`."""
        if not self._start <= ns < self._end:
            day = datetime.fromtimestamp(ns // _NS, NEW_YORK).date()
            self._start, self._end = _ns(day, time()), _ns(day + timedelta(days=1), time())
            self._day = day.isoformat()
        return self._day


def close_of(day: str) -> int:
    """The regular close of a date (YYYY-MM-DD), ns UTC; 16:00 New York where there is no session. Raises ValueError for no date."""
    on = date.fromisoformat(day)
    session = Calendar().session_on(on) if FIRST_YEAR <= on.year <= LAST_YEAR else None
    return session.close if session else _ns(on, time(16))


@lru_cache(maxsize=1)
def _day_edges() -> npt.NDArray[np.int64]:
    bounds = Calendar().boundaries(date(FIRST_YEAR, 1, 1), date(2049, 12, 31))
    edges = np.stack([bounds.open, bounds.close + CLOSING_PRINTS], axis=1).reshape(-1)
    edges.flags.writeable = False
    return edges


def utc_text(ns: int) -> str:
    """A time in ns UTC as people write it, to the second."""
    return datetime.fromtimestamp(ns // _NS, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def new_york_text(ns: int) -> str:
    """A time in ns UTC as the wall clock in New York shows it, to the minute."""
    return datetime.fromtimestamp(ns // _NS, NEW_YORK).strftime("%Y-%m-%d %H:%M")


def _date(session: Session) -> date:
    return session.date


def _post_close(session: Session) -> int:
    return session.post_close
