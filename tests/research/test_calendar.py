"""A backtest that keeps the hours of the exchange: day orders, auctions, half days, changes of the clocks, bars of a day."""

from datetime import date, datetime
from decimal import Decimal
from typing import Any

import numpy as np
import pytest
from tests.research.conftest import make_bars
from tests.research.test_backtest import Watcher

from pyrt import Order
from pyrt.calendar import NEW_YORK, Calendar
from pyrt.clock import MINUTE
from pyrt.model import OrderStatus
from pyrt.research import backtest

CALENDAR = Calendar()
pytestmark = pytest.mark.row("X12", "S055")


def at(text: str) -> int:
    """New York wall time as ns UTC."""
    return int(datetime.fromisoformat(text).replace(tzinfo=NEW_YORK).timestamp()) * 10**9


def days(*names: str, extended: bool = False) -> Any:
    """Bars of a minute of whole sessions, each at 100 and a bit; with pre-market and after hours where asked."""
    parts = []
    for name in names:
        session = CALENDAR.session_on(date.fromisoformat(name))
        assert session is not None
        start, end = (session.pre_open, session.post_close) if extended else (session.open, session.close)
        parts.append(make_bars([(100.0, 100.1, 99.9, 100.0, 4000)] * ((end - start) // MINUTE), start=start))
    return np.concatenate(parts)


class Timed(Watcher):
    """Acts at wall times."""

    def on_start(self) -> None:
        super().on_start()
        self.changes: list[tuple[int, OrderStatus | None]] = []
        for text in self.acts():
            self.set_timer(text, (at(text) - self.now) / 1e9)

    def acts(self) -> dict[str, Any]:
        return {}

    def on_timer(self, name: str) -> None:
        self.orders.append(self.acts()[name]())

    def on_order(self, order: Order) -> None:
        self.changes.append((self.now, order.status))


def run(strategy: Timed, data: Any) -> Any:
    return backtest(strategy, {"AAPL": data}, progress=False, calendar=True)


class HalfDay(Timed):
    def acts(self) -> dict[str, Any]:
        return {"2026-11-27T12:30": lambda: self.buy("AAPL", 1, limit=90)}


def test_a_day_order_ends_with_a_half_day_s_session() -> None:
    strategy = HalfDay()
    run(strategy, days("2026-11-27", "2026-11-30"))
    assert strategy.orders[0].status == OrderStatus.EXPIRED
    [ended] = [when for when, status in strategy.changes if status == OrderStatus.EXPIRED]
    assert at("2026-11-27T13:00") <= ended < at("2026-11-27T13:01")


class OverClock(Timed):
    def acts(self) -> dict[str, Any]:
        return {
            "2026-03-06T15:58": lambda: self.buy("AAPL", 1, limit=90),
            "2026-03-06T15:59": lambda: self.buy("AAPL", 2, limit=91, tif="gtc"),
            "2026-03-09T09:29": lambda: self.buy("AAPL", 1),
            "2026-03-09T09:31": lambda: self.buy("AAPL", 1),
        }


def test_the_session_begins_an_hour_earlier_in_utc_when_the_clocks_change() -> None:
    """Friday in winter time, Monday in summer time: a day order ended, a gtc order did not, and the open is at 13:30 UTC."""
    strategy = OverClock()
    run(strategy, days("2026-03-06", "2026-03-09", extended=True))
    day, gtc, early, late = strategy.orders
    assert day.status == OrderStatus.EXPIRED
    [ended] = [when for when, status in strategy.changes if status == OrderStatus.EXPIRED]
    assert at("2026-03-06T16:00") <= ended < at("2026-03-06T16:01")
    assert gtc.status in (OrderStatus.ACCEPTED, OrderStatus.CANCELED)  # the end of the data ends it
    assert early.breaches == ("MARKET_CLOSED",)
    assert late.status == OrderStatus.FILLED


class Closing(Timed):
    def acts(self) -> dict[str, Any]:
        return {
            "2026-11-24T10:00": lambda: self.buy("AAPL", 3, tif="cls"),
            "2026-11-24T15:55": lambda: self.buy("AAPL", 1, tif="cls"),
            "2026-11-24T19:30": lambda: self.buy("AAPL", 2, tif="opg"),
        }


def test_auction_orders_trade_at_the_close_and_at_the_next_open() -> None:
    strategy = Closing()
    result = run(strategy, days("2026-11-24", "2026-11-25", extended=True))
    close, late, opening = strategy.orders
    assert late.breaches == ("MARKET_CLOSED",)
    assert late.reason == "auction-time: send it before 2026-11-24 15:50, or from 2026-11-24 19:00 on"
    assert (close.status, close.filled) == (OrderStatus.FILLED, Decimal(3))
    assert (opening.status, opening.filled) == (OrderStatus.FILLED, Decimal(2))
    assert len(result.fills) == 2


class Daily(Timed):
    interval = "1d"

    def on_bar(self, bar: Any) -> None:
        self.seen.append(bar)
        self.changes.append((self.now, None))


def test_a_day_s_bar_comes_after_the_close_and_holds_the_session_alone() -> None:
    bars = days("2026-11-25", "2026-11-27", "2026-11-30", extended=True)
    early = bars["start"] < at("2026-11-25T09:30")
    bars["high_px"][early] = 140 * 10**9  # pre-market is not of the day
    strategy = Daily()
    run(strategy, bars)
    assert [bar.start for bar in strategy.seen] == [at(f"2026-11-{day}T09:30") for day in (25, 27, 30)]
    assert [when for when, _ in strategy.changes] == [at("2026-11-25T16:05"), at("2026-11-27T13:05"), at("2026-11-30T16:05")]
    assert {bar.high_px for bar in strategy.seen} == {100_100_000_000}


def test_without_a_calendar_nothing_closes() -> None:
    strategy = HalfDay()
    backtest(strategy, {"AAPL": days("2026-11-27", "2026-11-30")}, progress=False)
    assert all(status != OrderStatus.EXPIRED for _, status in strategy.changes)
