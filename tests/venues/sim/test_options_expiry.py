"""How contracts end: exercise, assignment, expiry, and what they do to cash and shares."""

from decimal import Decimal

import numpy as np
import pytest
from tests.venues.sim.option_market import NEAR, NEAR_ENDS, SECOND, T, call, exchange, fills, order, package, put, quote

from pyrt.calendar import Calendar
from pyrt.venues.sim.exchange import expiry
from pyrt.venues.sim.exchange.orders import VenueRefusal

pytestmark = pytest.mark.row("X08")


def buy_shares(venue, qty):
    venue.submit({"symbol": "AAPL", "qty": str(qty), "side": "buy", "type": "market", "time_in_force": "day"}, T + SECOND)
    venue.take_updates()


def end(venue, px):
    """The underlying closes at `px`."""
    venue.on_market(np.concatenate([quote(px, NEAR_ENDS - SECOND), quote(px, NEAR_ENDS + SECOND)]))
    return [
        (a["activity_type"], a["symbol"], a["qty"], a["net_amount"])
        for a in venue.activities(direction="asc")
        if a["activity_type"] != "FILL"
    ]


def held(venue):
    return {p["symbol"]: p["qty"] for p in venue.positions()}


def test_a_long_call_in_the_money_becomes_shares() -> None:
    venue = exchange()
    venue.submit(order(call(185, NEAR), "buy", 2), T + SECOND)
    cash = Decimal(venue.account()["cash"])
    assert end(venue, "190.00") == [("OPEXC", call(185, NEAR), "-2", "0"), ("OPTRD", "AAPL", "200", "-37000")]
    assert held(venue) == {"AAPL": "200"}
    assert Decimal(venue.account()["cash"]) == cash - 37_000
    assert venue.position("AAPL")["avg_entry_price"] == "185"
    row = venue.activities(types=["OPTRD"])[0]
    assert (row["price"], row["date"], row["status"]) == ("185", "2026-03-06", "executed")


@pytest.mark.parametrize(("close", "exercised"), [("185.00", False), ("185.01", True)])
def test_a_cent_in_the_money_is_enough(close, exercised) -> None:
    venue = exchange()
    venue.submit(order(call(185, NEAR), "buy"), T + SECOND)
    kinds = [kind for kind, *_ in end(venue, close)]
    assert kinds == (["OPEXC", "OPTRD"] if exercised else ["OPEXP"])
    assert bool(held(venue)) == exercised


def test_out_of_the_money_nothing_is_left_and_equity_is_cash() -> None:
    venue = exchange()
    venue.submit(order(call(195, NEAR), "buy", 3), T + SECOND)
    venue.submit(order(put(180, NEAR), "sell", 1, "0.01"), T + SECOND)
    assert sorted(end(venue, "190")) == [("OPEXP", call(195, NEAR), "-3", "0"), ("OPEXP", put(180, NEAR), "1", "0")]
    shown = venue.account()
    assert shown["cash"] == shown["equity"] == shown["options_buying_power"]
    assert not held(venue)


def test_a_covered_call_gives_its_shares_away() -> None:
    venue = exchange()
    buy_shares(venue, 150)
    venue.submit(order(call(190, NEAR), "sell", 1, "0.01"), T + 2 * SECOND)
    assert end(venue, "199") == [("OPASN", call(190, NEAR), "1", "0"), ("OPTRD", "AAPL", "-100", "19000")]
    assert held(venue) == {"AAPL": "50"}
    assert venue.position("AAPL")["qty_available"] == "50"


def test_a_short_put_buys_its_shares_with_the_cash_that_waited() -> None:
    venue = exchange(cash="20000", multiplier=1)
    venue.submit(order(put(190, NEAR), "sell", 1, "0.01"), T + SECOND)
    assert end(venue, "180") == [("OPASN", put(190, NEAR), "1", "0"), ("OPTRD", "AAPL", "100", "-19000")]
    assert held(venue) == {"AAPL": "100"}


def test_a_long_put_sells_the_shares_there_are_and_the_rest_expires() -> None:
    venue = exchange()
    buy_shares(venue, 120)
    venue.submit(order(put(195, NEAR), "buy", 2), T + 2 * SECOND)
    assert end(venue, "190") == [
        ("OPEXC", put(195, NEAR), "-1", "0"),
        ("OPTRD", "AAPL", "-100", "19500"),
        ("OPEXP", put(195, NEAR), "-1", "0"),
    ]
    assert held(venue) == {"AAPL": "20"}


def test_a_call_that_nobody_can_pay_for_is_settled_in_cash() -> None:
    venue = exchange(cash="2000", multiplier=1)
    venue.submit(order(call(185, NEAR), "buy"), T + SECOND)
    assert end(venue, "192.50") == [("OPCSH", call(185, NEAR), "-1", "750")]
    assert not held(venue)


@pytest.mark.parametrize(
    ("parts", "close", "gain"),
    [
        ([(call(185, NEAR), "buy", 1), (call(190, NEAR), "sell", 1)], "200", 500),
        ([(put(195, NEAR), "buy", 1), (put(190, NEAR), "sell", 1)], "180", 500),
        ([(call(190, NEAR), "sell", 1), (call(195, NEAR), "buy", 1)], "210", -500),
    ],
)
def test_both_sides_of_a_spread_settle_against_each_other(parts, close, gain) -> None:
    venue = exchange(cash="2000", multiplier=1)
    venue.submit(package(parts), T + SECOND)
    assert fills(venue)
    cash = Decimal(venue.account()["cash"])
    done = end(venue, close)
    assert sorted(kind for kind, *_ in done) == ["OPASN", "OPEXC", "OPTRD", "OPTRD"]
    assert not held(venue)
    assert Decimal(venue.account()["cash"]) == cash + gain


def test_open_orders_end_with_the_contract() -> None:
    venue, late = exchange(), NEAR_ENDS - 600 * SECOND
    venue.on_market(quote("190", late))
    single = venue.submit(order(call(190, NEAR), "buy", 1, "0.01", time_in_force="gtc"), late)
    parts = [(call(190, NEAR), "buy", 1), (call(195, NEAR), "sell", 1)]
    whole = venue.submit(package(parts, 1, "0.01", time_in_force="gtc"), late)
    end(venue, "190")
    assert venue.order(single["id"])["status"] == venue.order(whole["id"])["status"] == "expired"
    assert venue.state.accounts[venue.default].reserved == 0
    with pytest.raises(VenueRefusal, match="expired"):
        venue.submit(order(call(190, NEAR), "buy"), NEAR_ENDS + 2 * SECOND)


def test_exercise_by_request() -> None:
    venue = exchange()
    venue.submit(order(call(185), "buy", 2), T + SECOND)
    expiry.exercise(venue, call(185), T + 2 * SECOND)
    assert held(venue) == {"AAPL": "200"}
    assert [a["activity_type"] for a in venue.activities(direction="asc")] == ["FILL", "OPEXC", "OPTRD"]


def test_what_cannot_be_exercised() -> None:
    venue = exchange(cash="3000", multiplier=1)
    venue.submit(order(call(185), "buy"), T + SECOND)
    venue.submit(order(put(185), "buy"), T + SECOND)
    for name, status, message in (
        (call(185), 403, "buying power"),
        (put(185), 403, "shares"),
        (call(190), 404, "position does not exist"),
        ("NOTHING", 404, "not found"),
    ):
        with pytest.raises(VenueRefusal, match=message) as caught:
            expiry.exercise(venue, name, T + 2 * SECOND)
        assert caught.value.http == status
    venue.submit(order(call(185), "sell", 1, "90.00"), T + 2 * SECOND)
    with pytest.raises(VenueRefusal, match="qty"):
        expiry.exercise(venue, call(185), T + 3 * SECOND)


def test_a_leg_that_covers_another_is_not_exercised_away() -> None:
    venue = exchange()
    venue.submit(package([(put(190), "sell", 1), (put(195), "buy", 1)]), T + SECOND)
    buy_shares(venue, 100)
    expiry.exercise(venue, put(195), T + 5 * SECOND)  # 100,000 secures the put that is left
    poor = exchange(cash="3000", multiplier=1)
    poor.submit(package([(put(190), "sell", 1), (put(195), "buy", 1)]), T + SECOND)
    with pytest.raises(VenueRefusal):
        expiry.exercise(poor, put(195), T + 5 * SECOND)


def test_a_word_not_to_exercise() -> None:
    venue = exchange()
    venue.submit(order(call(185, NEAR), "buy"), T + SECOND)
    expiry.do_not_exercise(venue, call(185, NEAR), T + 2 * SECOND)
    assert end(venue, "195") == [("OPEXP", call(185, NEAR), "-1", "0")]
    assert venue.state.accounts[venue.default].no_exercise == []


def test_exercise_waits_for_market_hours_and_half_days_end_early() -> None:
    venue = exchange(calendar=Calendar(), always_open=False)
    venue.submit(order(call(185), "buy"), T + SECOND)
    with pytest.raises(VenueRefusal, match="market hours"):
        expiry.exercise(venue, call(185), T + 10 * 3600 * SECOND)
    good_friday = {c.expiration.isoformat() for c in venue.options.contracts.values()}
    assert "2026-04-02" in good_friday
    assert "2026-04-03" not in good_friday
