"""Races of travelling requests, of fills taken back and of groups: nothing is worked twice, nothing sold that is not there."""

import numpy as np
import pytest
from tests.venues.sim import option_market
from tests.venues.sim.orders_world import SECOND, T, body, bracket, opened, quote, trade

from pyrt.calendar import Calendar
from pyrt.venues.sim.exchange.travel import Latency

pytestmark = pytest.mark.row("X08")


def held(ex, qty="10"):
    ex.submit(body(qty=qty), T + SECOND)
    ex.take_updates()


def at(n):
    return T + n * SECOND


def exits(ex, **more):
    """An OCO of ten shares that are there: its take-profit and its stop."""
    held(ex)
    target = ex.submit(bracket(side="sell", kind="limit", order_class="oco", target="189.60", stop="180", **more), at(2))
    return target["id"], ex.state.rows[-1].id


def test_a_stop_that_is_being_replaced_shrinks_with_the_fills_of_its_take_profit():
    ex = opened(latency=Latency(replace=10 * SECOND))
    _, stop = exits(ex)
    new = ex.replace(stop, {"stop_price": "181"}, at(3))
    ex.on_market(quote("189.60", 4, "189.70", 60, at(4)))  # four of ten at the target
    assert ex.position("AAPL")["qty"] == "6"
    ex.advance(at(20))
    ex.on_market(np.concatenate([quote("180.40", 300, "180.50", 60, at(21)), trade("180.50", 100, at(22))]))
    assert ex.order(new["id"])["status"] == "filled"
    assert [row.symbol for row in ex.state.rows if row.leaves] == []
    assert ex.positions() == []


def test_a_stop_that_is_reached_while_its_replacement_travels_stays_reached():
    ex = opened(latency=Latency(replace=10 * SECOND))
    _, stop = exits(ex, stop_limit="180")
    new = ex.replace(stop, {"limit_price": "179"}, at(3))
    ex.on_market(np.concatenate([quote("178.00", 5, "181", 60, at(4)), trade("180", 100, at(5))]))
    ex.advance(at(14))
    ex.on_market(quote("179.50", 300, "181", 60, at(15)))  # above the stop's limit, with no print that would reach it again
    assert ex.order(new["id"])["status"] == "filled"


def test_a_replacement_that_comes_after_the_close_is_accepted_for_the_next_day():
    calendar = Calendar()
    close = calendar.session_on(option_market.MARCH.replace(day=2)).close
    ex = opened(always_open=False, calendar=calendar, latency=Latency(replace=10 * SECOND))
    old = ex.submit(body(kind="limit", tif="gtc", limit_price="100"), close - 20 * SECOND)
    new = ex.replace(old["id"], {"limit_price": "101"}, close - 5 * SECOND)
    ex.advance(close + 60 * SECOND)
    assert ex.order(new["id"])["status"] == "accepted"
    ex.advance(calendar.next_open(close) + SECOND)
    assert ex.order(new["id"])["status"] == "new"


@pytest.mark.parametrize("way", [0, 10 * SECOND])
@pytest.mark.parametrize("when", ["before", "under way", "after"])
def test_what_was_taken_back_is_not_worked_again_by_a_replacement(way, when):
    ex = opened(latency=Latency(replace=way))
    old = ex.submit(body(kind="limit", tif="gtc", limit_price="189.53", qty="100"), at(1))  # sixty are there
    ex.on_market(quote("189.50", 300, "189.60", 60, at(2)))
    (fill,) = ex.state.fills
    if when == "before":
        ex.bust(fill.id, at(3))
    new = ex.replace(old["id"], {"limit_price": "189.55"}, at(4))
    if when == "under way":
        ex.bust(fill.id, at(5))
    ex.advance(at(20))
    if when == "after":
        ex.bust(fill.id, at(21))
    row = ex.state.rows[-1]
    assert row.leaves == 40 * SECOND
    assert ex.state.accounts[ex.default].reserved == row.unit_px * row.leaves
    ex.on_market(quote("189.50", 300, "189.54", 500, at(22)))
    assert (ex.order(new["id"])["status"], ex.position("AAPL")["qty"]) == ("filled", "40")
    assert ex.state.accounts[ex.default].reserved == 0


def test_a_package_waits_while_one_of_its_contracts_is_halted():
    venue = option_market.exchange()
    halted = option_market.call(195)
    venue.options.find(halted)
    venue.halt(halted, at(1))
    shown = venue.submit(option_market.package([(option_market.call(190), "buy", 1), (halted, "sell", 1)]), at(2))
    assert venue.order(shown["id"])["filled_qty"] == "0"
    assert venue.positions() == []
    venue.resume(halted, at(3))
    venue.on_market(option_market.quote("190.10", at(130)))
    assert {p["symbol"]: p["qty"] for p in venue.positions()} == {option_market.call(190): "1", halted: "-1"}
