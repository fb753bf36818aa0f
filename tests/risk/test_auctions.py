"""Auction orders: when the calendar lets them pass, beside the venue's own rule."""

from datetime import UTC, datetime

import pytest

from pyrt.calendar import Calendar
from pyrt.clock import MINUTE, SECOND
from pyrt.model import TimeInForce
from pyrt.venues.sim.exchange.hours import Hours

OPG, CLS = TimeInForce.OPG, TimeInForce.CLS


def at(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()) * SECOND


@pytest.mark.parametrize("day", ["2026-03-02", "2026-03-06", "2026-03-08", "2025-11-28", "2026-07-03"])
def test_the_gate_and_the_venue_shut_at_the_same_instants(day: str) -> None:
    """A plain day, one before a clock change, a Sunday, a half day, a holiday: each quarter of an hour and both edges."""
    calendar = Calendar()
    hours = Hours(calendar, always_open=False)
    start, told = at(f"{day}T05:00:00"), set()
    for tif in (OPG, CLS):
        for minute in range(24 * 60):
            now = start + minute * MINUTE
            shut = calendar.auction_shut(now, closing=tif is CLS) is not None
            assert shut == hours.is_shut(now, tif), (tif, minute)
            told.add(shut)
    assert told == ({True, False} if day not in ("2026-03-08", "2026-07-03") else {False})
