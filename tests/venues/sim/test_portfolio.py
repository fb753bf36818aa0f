"""The history of the portfolio: windows, bases, and the equity that the exchange wrote down, exact."""

from decimal import Decimal

import alpaca.trading.models as alpaca
import pytest
from tests.venues.sim.test_admission import order, quote

from pyrt.calendar import Calendar
from pyrt.clock import DAY, MINUTE, SECOND
from pyrt.model import Instrument
from pyrt.venues.sim.exchange.exchange import Exchange
from pyrt.venues.sim.exchange.orders import VenueRefusal
from pyrt.venues.sim.exchange.samples import MINUTES_KEPT, QUARTERS_KEPT, SLACK, Samples
from pyrt.venues.sim.times import new_york_midnight

pytestmark = pytest.mark.row("X08")

T = 1_772_463_846_000_000_000  # 2026-03-02T15:04:06Z, a Monday
M = T // MINUTE * MINUTE  # 15:04


def running(**settings: object) -> Exchange:
    """Ten shares bought at 100.02 in the first minute; the price is then 100 + the number of the minute."""
    exchange = Exchange([Instrument(id=1, symbol="AAPL")], start=T, **settings)
    exchange.keep_samples(T)
    exchange.on_market(quote("100", "100.02", ts=T + SECOND))
    exchange.submit(order(qty="10"), T + SECOND)
    return exchange


def ask(exchange: Exchange, now: int, **asked: object) -> dict:
    body = exchange.portfolio_history(now, asked)
    lengths = {len(body[key]) for key in ("timestamp", "equity", "profit_loss", "profit_loss_pct")}
    assert len(lengths) == 1
    alpaca.PortfolioHistory(**body)
    return body


def test_the_equity_at_the_ends_of_minutes_is_exact() -> None:
    exchange = running()
    expected = []
    for minute in range(1, 6):
        at = M + minute * MINUTE
        exchange.advance(at)
        bid = 100 + minute - 1
        expected.append(float(Decimal(100_000) + 10 * (bid - Decimal("100.02"))))
        exchange.on_market(quote(str(bid + 1), f"{bid + 1}.02", ts=at + SECOND))
    now = M + 5 * MINUTE + 30 * SECOND
    exchange.advance(now)
    body = ask(exchange, now, period="1D", timeframe="1min")
    assert body["timestamp"] == [(M + minute * MINUTE) // SECOND for minute in range(6)]
    present = float(exchange.account()["equity"])
    assert body["equity"] == [*expected, present]  # the last window is not over: what the account is worth now
    assert body["base_value"] == 100_000.0
    assert body["profit_loss"] == [float(Decimal(str(value)) - 100_000) for value in body["equity"]]
    assert body["profit_loss_pct"] == pytest.approx([value / 100_000 - 1 for value in body["equity"]], abs=1e-12)
    five = ask(exchange, now, period="1D", timeframe="5Min")
    assert five["timestamp"] == [(M - 4 * MINUTE) // SECOND, (M + MINUTE) // SECOND]
    assert five["equity"] == [expected[0], present]
    later = ask(exchange, now, start=M + 3 * MINUTE, end=M + 4 * MINUTE, timeframe="1min")
    assert later["equity"] == [expected[3], expected[4]]
    assert later["base_value"] == expected[2]


def test_days_and_what_the_profit_counts_from() -> None:
    exchange = running()
    for day in range(1, 4):
        exchange.on_market(quote(f"{100 + day}", f"{100 + day}.02", ts=T + day * DAY))
    now = T + 3 * DAY + MINUTE
    exchange.advance(now)
    days = ask(exchange, now)  # 1M of days
    midnights = [new_york_midnight(T, n) for n in range(4)]
    assert days["timestamp"] == [at // SECOND for at in midnights]
    assert days["equity"] == [100_000 - 0.2 + 10 * day for day in range(4)]
    assert days["profit_loss"] == [-0.2, 9.8, 19.8, 29.8]
    reset = ask(exchange, now, start=midnights[1], end=now, timeframe="1H", intraday_reporting="continuous")
    kept = ask(exchange, now, start=midnights[1], end=now, timeframe="1H", intraday_reporting="continuous", pnl_reset="no_reset")
    assert reset["equity"] == kept["equity"]
    assert reset["profit_loss"][-1] == 10.0  # of the day
    assert kept["profit_loss"][-1] == 30.0
    assert kept["base_value"] == reset["base_value"] == 99_999.8


def test_the_hours_that_are_shown() -> None:
    exchange = running(calendar=Calendar(), always_open=False)
    exchange.advance(T + 8 * DAY)
    day = {"start": new_york_midnight(T, 1), "end": new_york_midnight(T, 2) - 1, "timeframe": "15Min"}
    hours = {}
    for reporting in ("market_hours", "extended_hours", "continuous"):
        body = ask(exchange, T + 8 * DAY, **day, intraday_reporting=reporting)
        hours[reporting] = len(body["timestamp"])
    assert hours == {"market_hours": 26, "extended_hours": 64, "continuous": 96}
    old = ask(exchange, T + 8 * DAY, **day, extended_hours=True)
    assert len(old["timestamp"]) == 64
    assert len(ask(exchange, T + 8 * DAY, timeframe="1D")["timestamp"]) == 7  # of nine days two are a weekend's


@pytest.mark.parametrize(
    ("asked", "timeframe"),
    [({"period": "1D"}, "1Min"), ({"period": "1W"}, "15Min"), ({"period": "3W"}, "15Min"), ({}, "1D"), ({"period": "1A"}, "1D")],
)
def test_the_timeframe_that_is_taken(asked: dict, timeframe: str) -> None:
    assert ask(running(), T + SECOND, **asked)["timeframe"] == timeframe


@pytest.mark.parametrize(
    "asked",
    [
        {"period": "1X"},
        {"period": "0D"},
        {"period": "M"},
        {"period": "99999A"},
        {"period": "1D", "start": T - DAY, "end": T},
        {"start": T, "end": T - 1},
        {"period": "2M", "timeframe": "1min"},
        {"start": T - 31 * DAY, "timeframe": "1h"},
    ],
)
def test_questions_that_make_no_sense(asked: dict) -> None:
    with pytest.raises(VenueRefusal) as error:
        running().portfolio_history(T + SECOND, asked)
    assert (error.value.http, error.value.code) == (422, 40010001)


def test_money_that_came_and_went_is_told_by_its_kind() -> None:
    exchange = running()
    exchange.deposit("500", T + 2 * MINUTE)
    exchange.deposit("0.25", T + 2 * MINUTE)
    exchange.withdraw("100", T + 4 * MINUTE)
    now = T + 5 * MINUTE
    exchange.advance(now)
    asked = {"period": "1D", "timeframe": "1min"}
    assert "cashflow" not in ask(exchange, now, **asked)
    assert "cashflow" not in ask(exchange, now, **asked, cashflow_types="none")
    both = {"CSD": [0.0, 0.0, 500.25, 0.0, 0.0, 0.0], "CSW": [0.0, 0.0, 0.0, 0.0, -100.0, 0.0]}
    assert ask(exchange, now, **asked, cashflow_types="ALL")["cashflow"] == both
    assert ask(exchange, now, **asked, cashflow_types="csw,DIV")["cashflow"] == {"CSW": both["CSW"], "DIV": [0.0] * 6}
    with pytest.raises(VenueRefusal):
        ask(exchange, now, **asked, cashflow_types="CSD,1")


def test_before_the_account_there_is_nothing() -> None:
    exchange = running()
    assert ask(exchange, T + SECOND, end=T - DAY)["timestamp"] == []
    assert ask(exchange, T + SECOND, period="9999A")["equity"] == [float(exchange.account()["equity"])]


def test_samples_are_bounded_and_coarsen() -> None:
    samples = Samples()
    begin = new_york_midnight(T)
    for minute in range(60 * 24 * 60):
        at = begin + minute * MINUTE
        samples.add(at, minute, midnight=minute % 1440 == 0)
    assert len(samples.minutes) <= MINUTES_KEPT // MINUTE + SLACK
    assert len(samples.quarters) <= QUARTERS_KEPT // (15 * MINUTE) + SLACK
    assert len(samples.days) == 60
    last = begin + (60 * 24 * 60 - 1) * MINUTE
    assert samples.at(last) == samples.at(last + DAY) == 60 * 24 * 60 - 1
    assert samples.at(begin + 20 * DAY + 20 * MINUTE) == 20 * 1440 + 15  # to the quarter
    assert samples.at(begin + 2 * DAY + 20 * MINUTE) == 2 * 1440  # to the day
    assert samples.at(begin - 1) is None


def test_nothing_is_written_down_where_nobody_asked_for_it() -> None:
    exchange = Exchange([Instrument(id=1, symbol="AAPL")], start=T)
    exchange.advance(T + DAY)
    (owner,) = exchange.state.accounts.values()
    assert not owner.samples.minutes
    assert exchange.state.put_down == 0
