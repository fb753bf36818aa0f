import os
import subprocess
import sys
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import exchange_calendars
import numpy as np
import pytest

from pyrt.calendar import CLOSING_PRINTS, Calendar
from pyrt.errors import DataError
from pyrt.venues.alpaca.wire import parse_time

NEW_YORK = ZoneInfo("America/New_York")
CALENDAR = Calendar()


def at(text: str) -> int:
    """New York wall time as ns UTC."""
    return int(datetime.fromisoformat(text).replace(tzinfo=NEW_YORK).timestamp()) * 10**9


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # pandas, inside the oracle
def test_every_session_from_1990_to_2027_equals_exchange_calendars() -> None:
    """No exceptions: the oracle, too, lists scheduled hours, not the halt of 1997-10-27 or the late opening of 2001-09-17."""
    oracle = exchange_calendars.get_calendar("XNYS", start="1990-01-01", end="2027-12-31").schedule
    sessions = CALENDAR.sessions(date(1990, 1, 1), date(2027, 12, 31))
    assert [s.date for s in sessions] == [day.date() for day in oracle.index]
    assert [s.open for s in sessions] == [t.value for t in oracle["open"]]
    assert [s.close for s in sessions] == [t.value for t in oracle["close"]]
    assert len(sessions) == 9569


@pytest.mark.parametrize(
    ("day", "pre", "open_", "close", "post"),
    [
        ("2026-03-06", "09:00", "14:30", "21:00", "01:00"),  # the last session of winter time
        ("2026-03-09", "08:00", "13:30", "20:00", "00:00"),  # the first of summer time
        ("2026-10-30", "08:00", "13:30", "20:00", "00:00"),
        ("2026-11-02", "09:00", "14:30", "21:00", "01:00"),
        ("2026-11-27", "09:00", "14:30", "18:00", "22:00"),  # half day
        ("2024-07-03", "08:00", "13:30", "17:00", "21:00"),
    ],
)
def test_extended_hours_on_both_sides_of_a_clock_change(day: str, pre: str, open_: str, close: str, post: str) -> None:
    session = CALENDAR.session_on(date.fromisoformat(day))
    assert session is not None
    got = [datetime.fromtimestamp(ns / 1e9, UTC).strftime("%H:%M") for ns in session[1:]]
    assert got == [pre, open_, close, post]
    assert session.is_half == (day in ("2026-11-27", "2024-07-03"))


def test_boundaries_are_half_open() -> None:
    day = CALENDAR.session_on(date(2026, 3, 2))
    assert day is not None
    assert [CALENDAR.is_open(t) for t in (day.open - 1, day.open, day.close - 1, day.close)] == [False, True, True, False]
    assert [CALENDAR.is_open(t, extended=True) for t in (day.pre_open - 1, day.pre_open, day.post_close - 1, day.post_close)] == [
        False,
        True,
        True,
        False,
    ]
    assert CALENDAR.session_at(day.pre_open) == CALENDAR.session_at(day.post_close - 1) == day
    assert CALENDAR.session_at(day.pre_open - 1) is None
    assert CALENDAR.session_at(day.post_close) is None


def test_next_open_and_close() -> None:
    assert CALENDAR.next_open(at("2026-03-02T10:04:06")) == at("2026-03-03T09:30:00")
    assert CALENDAR.next_close(at("2026-03-02T10:04:06")) == at("2026-03-02T16:00:00")
    assert CALENDAR.next_open(at("2026-03-02T09:30:00")) == at("2026-03-03T09:30:00")
    assert CALENDAR.next_open(at("2026-03-02T09:29:59")) == at("2026-03-02T09:30:00")
    assert CALENDAR.next_close(at("2026-03-02T16:00:00")) == at("2026-03-03T16:00:00")
    assert CALENDAR.next_close(at("2026-11-26T12:00:00")) == at("2026-11-27T13:00:00")
    assert CALENDAR.next_open(at("2026-12-31T19:30:00")) == at("2027-01-04T09:30:00")


def test_after_hours_of_the_last_day_of_a_year_run_into_the_next_year_of_utc() -> None:
    late = at("2026-12-31T19:59:59")
    session = CALENDAR.session_at(late)
    assert session is not None
    assert session.date == date(2026, 12, 31)
    assert CALENDAR.session_at(at("2026-12-31T20:00:00")) is None


def test_a_brute_force_walk_over_two_years_agrees() -> None:
    sessions = CALENDAR.sessions(date(2024, 1, 1), date(2026, 1, 31))
    ns = sessions[0].pre_open
    for _ in range(4000):
        ns += 3_971_000_000_000  # about an hour and six minutes, so that every boundary is met from both sides
        assert CALENDAR.is_open(ns) == any(s.open <= ns < s.close for s in sessions)
        assert CALENDAR.session_at(ns) == next((s for s in sessions if s.pre_open <= ns < s.post_close), None)
        if ns > sessions[-5].open:
            break
        assert CALENDAR.next_open(ns) == min(s.open for s in sessions if s.open > ns)
        assert CALENDAR.next_close(ns) == min(s.close for s in sessions if s.close > ns)


def test_boundaries_as_arrays() -> None:
    arrays = CALENDAR.boundaries(date(2024, 7, 1), date(2024, 7, 5))
    sessions = CALENDAR.sessions(date(2024, 7, 1), date(2024, 7, 5))
    assert [d.day for d in (s.date for s in sessions)] == [1, 2, 3, 5]
    for name in ("pre_open", "open", "close", "post_close"):
        column = getattr(arrays, name)
        assert column.dtype == np.int64
        assert column.tolist() == [getattr(s, name) for s in sessions]
    assert CALENDAR.boundaries(date(2024, 7, 4), date(2024, 7, 4)).open.tolist() == []


@pytest.mark.parametrize(
    ("traded", "settled"),
    [
        ("2024-07-03", "2024-07-05"),
        ("2024-05-24", "2024-05-29"),  # the last day of T+2, before a holiday
        ("2024-05-28", "2024-05-29"),  # the first of T+1
        ("2017-09-01", "2017-09-07"),  # the last of T+3
        ("2017-09-05", "2017-09-07"),
        ("1995-06-06", "1995-06-13"),
        ("1995-06-07", "1995-06-12"),
        ("2025-10-10", "2025-10-14"),  # Columbus Day: shares trade, nothing settles
        ("2025-10-13", "2025-10-14"),
        ("2025-11-10", "2025-11-12"),  # Veterans Day
        ("2018-11-09", "2018-11-14"),  # Veterans Day kept on Monday
    ],
)
def test_settlement_date(traded: str, settled: str) -> None:
    assert CALENDAR.settlement_date(date.fromisoformat(traded)) == date.fromisoformat(settled)


def test_rules_hold_beyond_the_oracle() -> None:
    assert CALENDAR.session_on(date(2027, 12, 31)) is not None  # New Year's Day 2028 is a Saturday
    assert CALENDAR.session_on(date(2030, 4, 19)) is None  # Good Friday
    assert CALENDAR.session_on(date(2032, 6, 18)) is None  # Juneteenth on a Saturday
    half = CALENDAR.session_on(date(2030, 7, 3))
    assert half is not None
    assert half.is_half
    year = CALENDAR.sessions(date(2100, 1, 1), date(2100, 12, 31))
    assert 249 <= len(year) <= 253


def test_a_time_outside_the_calendar_is_refused() -> None:
    with pytest.raises(DataError, match="no exchange calendar for 1989"):
        CALENDAR.sessions(date(1989, 12, 1), date(1990, 1, 5))
    with pytest.raises(DataError):
        CALENDAR.next_open(0)
    assert CALENDAR.sessions(date(1990, 1, 1), date(1990, 1, 1) + timedelta(days=1))[0].date == date(1990, 1, 2)


def test_overnight_trading_belongs_to_the_session_of_the_morning_after() -> None:
    for text, day in (
        ("2026-11-22T19:59:59", None),  # a Sunday
        ("2026-11-22T20:00:00", "2026-11-23"),
        ("2026-11-23T03:59:59", "2026-11-23"),
        ("2026-11-23T04:00:00", None),
        ("2026-11-25T20:00:00", None),  # the evening before Thanksgiving
        ("2026-11-26T20:00:00", "2026-11-27"),
        ("2026-11-27T20:00:00", None),  # Friday
        ("2026-03-08T20:00:00", "2026-03-09"),  # the Sunday on which the clocks change
    ):
        session = CALENDAR.overnight_at(at(text))
        assert (session and session.date.isoformat()) == day, text


def test_the_bars_of_days_are_the_sessions_and_the_closing_print() -> None:
    edges = CALENDAR.day_edges().reshape(-1, 2)
    bounds = CALENDAR.boundaries(date(1990, 1, 1), date(2049, 12, 31))
    assert np.array_equal(edges[:, 0], bounds.open)
    assert np.array_equal(edges[:, 1], bounds.close + CLOSING_PRINTS)
    assert np.all(np.diff(edges.reshape(-1)) > 0)
    day = CALENDAR.session_on(date(2026, 11, 24))
    assert day is not None
    late = day.close + CLOSING_PRINTS
    assert CALENDAR.day_bar(day.open) == CALENDAR.day_bar(late - 1) == CALENDAR.day_bar(day.pre_open) == (day.open, late)
    assert CALENDAR.day_bar(late)[0] == at("2026-11-25T09:30:00")


def test_a_leap_second_is_the_next_minute_s_first() -> None:
    """2016-12-31 had 23:59:60 UTC, 18:59:60 in New York: our clocks have no such second."""
    leap = parse_time("2016-12-31T23:59:60Z")
    assert leap == at("2016-12-31T19:00:00") == parse_time("2017-01-01T00:00:00Z")
    assert not CALENDAR.is_open(leap, extended=True)
    assert CALENDAR.next_open(leap) == at("2017-01-03T09:30:00")


def test_where_the_machine_stands_changes_nothing() -> None:
    """In processes of their own, whose local times are others'."""
    code = (
        "from datetime import date; from pyrt.calendar import *; c, ns = Calendar(), 1796134800000000000;"
        "print(c.boundaries(date(2026, 1, 1), date(2026, 12, 31)), c.auction_shut(ns, closing=True), ExchangeDays()(ns))"
    )
    told = set()
    for zone in ("UTC", "Pacific/Apia"):
        env = {**os.environ, "TZ": zone}
        told.add(subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True).stdout)
    assert len(told) == 1
    assert "2026-12-01" in told.pop()
