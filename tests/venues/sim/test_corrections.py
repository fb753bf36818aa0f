"""Busts, corrections, restated orders, money that moves without a trade, and the day roll: accounts that add up afterwards."""

from decimal import Decimal

import alpaca.trading.models as alpaca
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.venues.sim.orders_world import SECOND, T, body, level, refusal, trade

from pyrt._core.types import to_units
from pyrt.calendar import Calendar
from pyrt.model import Instrument
from pyrt.venues.sim.exchange.activities import Fees
from pyrt.venues.sim.exchange.exchange import Exchange
from pyrt.venues.sim.exchange.orders import VenueRefusal
from pyrt.venues.sim.times import parse_time

DAY = 86_400 * SECOND
INSTRUMENTS = [Instrument(id=1, symbol="AAPL"), Instrument(id=2, symbol="MSFT")]


def traded(*steps, **config):
    """An exchange in which each (side, qty, price) was filled at once; a price stands on both sides."""
    ex = Exchange(INSTRUMENTS, **config)
    for n, (side, qty, px) in enumerate(steps):
        ts = T + n * SECOND
        ex.on_market(level(px, str(Decimal(px) + Decimal("0.01")) if side == "sell" else px, ts))
        ex.submit(body(side, str(qty)), ts)
    return ex


def books(ex):
    account, (position,) = ex.account(), ex.positions() or [None]
    held = position and (position["qty"], position["cost_basis"], position["avg_entry_price"])
    return account["cash"], account["equity"], account["buying_power"], held


# ---------------------------------------------------------------------------------------------------- busts and corrections
@pytest.mark.row("X08")
def test_a_bust_takes_an_execution_back():
    ex = traded(("buy", 10, "100"), ("buy", 5, "104"))
    first, second = ex.activities(direction="asc")
    told = [u for _, u in ex.take_updates() if u["event"] == "fill"]
    update = ex.bust(first["id"], T + 5 * SECOND)
    assert (update["event"], update["price"], update["qty"], update["position_qty"]) == ("trade_bust", "100", "10", "5")
    assert update["execution_id"] == told[0]["execution_id"] != first["id"]
    assert (update["order"]["status"], update["order"]["filled_qty"], update["order"]["filled_avg_price"]) == ("filled", "0", None)
    assert ex.take_updates() == [(ex.default, update)]
    assert ex.activities() == [second]
    ex.on_market(level("104", "104", T + 6 * SECOND))
    assert books(ex) == ("99480", "100000", "199480", ("5", "520", "104"))
    alpaca.TradeUpdate(**update)
    again = refusal(ex.bust, first["id"], T + 7 * SECOND)
    assert (again.http, again.message) == (422, f"execution {first['id']} was taken back before")
    assert refusal(ex.bust, "nothing", T + 7 * SECOND).http == 404
    (told,) = ex.truth()["corrections"]
    assert (told["kind"], told["activity_id"], told["was_px"], told["was_qty"]) == (
        "trade_bust",
        first["id"],
        to_units("100"),
        10 * SECOND,
    )


@pytest.mark.row("X08")
def test_a_correction_gives_another_price_and_quantity():
    ex = traded(("buy", 10, "100"))
    (fill,) = ex.activities()
    execution = ex.state.fills[0].execution_id
    ex.take_updates()
    update = ex.correct(execution, "8", "99.5", T + SECOND)
    assert (update["event"], update["price"], update["qty"], update["position_qty"]) == ("trade_correct", "99.5", "8", "8")
    assert (update["order"]["filled_qty"], update["order"]["filled_avg_price"]) == ("8", "99.5")
    (shown,) = ex.activities()
    assert shown == {**fill, "price": "99.5", "qty": "8"}
    assert books(ex)[0] == "99204"
    assert books(ex)[3] == ("8", "796", "99.5")


def test_a_bust_of_a_partial_fill_leaves_the_rest_of_the_order_alone():
    ex = Exchange(INSTRUMENTS)
    ex.on_market(level("99", "100", size=4))
    placed = ex.submit(body(qty="10", kind="limit", limit_price="100"), T)
    before = ex.account()["cash"]
    ex.bust(ex.activities()[0]["id"], T + 1)
    assert ex.account()["cash"] == "100000" != before
    assert ex.order(placed["id"])["filled_qty"] == "0"
    ex.on_market(level("99", "100", T + 2, size=50))
    shown = ex.order(placed["id"])
    assert (shown["status"], shown["filled_qty"], shown["qty"]) == ("filled", "6", "10")
    assert ex.orders() == []
    assert ex.account()["buying_power"] == str(2 * 100_000 - 600 - 6)  # the mark is the bid: 6 of the 600 are lost


steps = st.lists(
    st.tuples(st.sampled_from(["buy", "sell"]), st.integers(1, 9), st.integers(9_000, 11_000).map(lambda c: f"{c / 100:.2f}")),
    min_size=1,
    max_size=12,
)


@settings(max_examples=60, deadline=None)
@given(steps, st.data())
def test_what_is_left_is_as_if_the_fill_had_been_otherwise(history, data):
    ex = Exchange(INSTRUMENTS)
    done = []
    for n, (side, qty, px) in enumerate(history):
        ts = T + n * SECOND
        ex.on_market(level(px, px, ts))
        try:
            ex.submit(body(side, str(qty)), ts)
        except VenueRefusal:  # it would turn the position round
            continue
        done.append((side, qty, px))
    if not done:
        return
    place = data.draw(st.integers(0, len(done) - 1))
    fill = ex.activities(direction="asc")[place]
    if data.draw(st.booleans()):
        ex.bust(fill["id"], T + 60 * SECOND)
        wanted = done[:place] + done[place + 1 :]
    else:
        qty, px = data.draw(st.integers(1, 9)), "95.55"
        ex.correct(fill["id"], str(qty), px, T + 60 * SECOND)
        wanted = [*done[:place], (done[place][0], qty, px), *done[place + 1 :]]
    cash, held, cost = Decimal(100_000), 0, Decimal(0)
    for side, qty, px in wanted:  # plain arithmetic: average cost, what closes takes its part of it
        signed = qty if side == "buy" else -qty
        cash -= signed * Decimal(px)
        closed = min(abs(signed), abs(held)) if held * signed < 0 else 0
        if closed:
            cost -= cost * closed / abs(held)
            held += closed if signed > 0 else -closed
            signed += -closed if signed > 0 else closed
        held, cost = held + signed, cost + signed * Decimal(px)
    assert Decimal(ex.account()["cash"]) == cash
    position = ex.state.accounts[ex.default].positions[1]
    assert position.qty == held * SECOND
    assert abs(Decimal(position.cost).scaleb(-18) - cost) < Decimal("1e-14")
    assert Exchange.load(ex.save(), INSTRUMENTS).save() == ex.save()


@pytest.mark.row("X08")
def test_an_order_is_restated():
    ex = Exchange(INSTRUMENTS)
    ex.on_market(level("99", "100"))
    placed = ex.submit(body(kind="limit", limit_price="98", tif="gtc"), T)
    ex.take_updates()
    update = ex.restate(placed["id"], T + 1, qty="20", limit_price="97")
    assert (update["event"], update["order"]["qty"], update["order"]["limit_price"]) == ("restated", "20", "97")
    assert update["order"]["id"] == placed["id"]
    assert ex.account()["buying_power"] == str(200_000 - 20 * 97)
    ex.on_market(trade("96.99", 500, T + 2))
    assert ex.order(placed["id"])["filled_qty"] == "20"
    assert refusal(ex.restate, placed["id"], T + 3, qty="5").http == 422
    assert refusal(ex.restate, "x", T + 3).http == 404


def test_a_correction_of_an_order_by_money():
    ex = Exchange(INSTRUMENTS)
    ex.on_market(level("99", "100", size=4))
    body = {"symbol": "AAPL", "notional": "1000", "side": "buy", "type": "market", "time_in_force": "day"}
    placed = ex.submit(body, T)
    assert ex.order(placed["id"])["filled_qty"] == "4"
    ex.correct(ex.activities()[0]["id"], "5", "100", T + 1)
    ex.on_market(level("99", "100", T + 2, size=50))
    shown = ex.order(placed["id"])
    assert (shown["status"], shown["filled_qty"], ex.orders()) == ("filled", "11", [])  # the matcher had six to spend
    assert ex.state.accounts[ex.default].reserved == 0
    assert ex.positions()[0]["cost_basis"] == "1100"


def test_a_busted_day_trade_was_none():
    ex = traded(("buy", 10, "100"), ("sell", 10, "100"), account_fields="before")
    assert ex.account()["daytrade_count"] == 1
    ex.bust(ex.activities()[0]["id"], T + 5 * SECOND)
    assert ex.account()["daytrade_count"] == 0


# ---------------------------------------------------------------------------------------------------- other activities
@pytest.mark.row("X08")
def test_money_comes_and_goes():
    ex = traded(("buy", 10, "100"))
    came = ex.deposit("500.50", T + SECOND)
    went = ex.withdraw("100", T + 2 * SECOND)
    earned = ex.journal("INT", "1.23", T + 3 * SECOND, description="interest")
    assert ex.account()["cash"] == "99401.73"
    assert (came["activity_type"], came["net_amount"], came["date"]) == ("CSD", "500.5", "2026-03-02")
    assert (went["activity_type"], went["net_amount"]) == ("CSW", "-100")
    fill = ex.activities(["FILL"])[0]
    assert ex.activities() == [earned, went, came, fill]
    assert ex.activities(direction="asc") == [fill, came, went, earned]
    assert ex.activities(["CSD", "INT"]) == [earned, came]
    assert ex.activities(page_size=2) == [earned, went]
    assert ex.activities(page_size=2, page_token=went["id"]) == [came, fill]
    assert ex.activities(after=T + SECOND, until=T + 3 * SECOND) == [went]
    alpaca.NonTradeActivity(account_id=ex.default, **came)
    for amount in ("0", "-1", "1.234", "x"):
        assert refusal(ex.deposit, amount, T + 4 * SECOND).http == 422
    assert refusal(ex.withdraw, "99500", T + 4 * SECOND).body["cash_withdrawable"] == "99401.73"
    assert Exchange.load(ex.save(), INSTRUMENTS).activities() == ex.activities()


@pytest.mark.row("X08")
def test_sales_cost_fees_where_the_venue_takes_them():
    fees = Fees(sec_per_million="27.80", taf_per_share="0.000166", taf_max="8.30")
    ex = traded(("buy", 100, "100"), ("sell", 100, "100"), fees=fees)
    assert [(a["net_amount"], a["description"][:3]) for a in ex.activities(["FEE"], direction="asc")] == [
        ("-0.28", "SEC"),
        ("-0.02", "TAF"),
    ]
    assert ex.account()["cash"] == "99999.7"
    assert traded(("buy", 100, "100"), ("sell", 100, "100")).activities(["FEE"]) == []
    capped = Fees(taf_per_share="1", taf_max="8.30")
    assert traded(("buy", 100, "100"), ("sell", 100, "100"), fees=capped).activities(["FEE"])[0]["net_amount"] == "-8.3"


# ---------------------------------------------------------------------------------------------------- the day roll
@pytest.mark.row("X08")
def test_a_day_begins_at_the_official_close():
    start = parse_time("2026-03-02T15:00:00Z")
    ex = Exchange(INSTRUMENTS, calendar=Calendar(), always_open=False, start=start)
    ex.on_market(np.concatenate([level("100", "100", start), trade("100", 1, start), trade("50", 1, start, instrument=2)]))
    ex.submit(body(qty="10"), start + SECOND)
    ex.on_market(trade("110", 1, parse_time("2026-03-02T20:59:59Z")))
    ex.on_market(trade("120", 1, parse_time("2026-03-02T23:00:00Z")))  # after hours
    assert ex.account()["last_equity"] == "100000"
    ex.advance(parse_time("2026-03-03T05:00:00Z"))  # midnight in New York
    assert (ex.account()["last_equity"], ex.account()["equity"]) == ("100100", "100200")
    (position,) = ex.positions()
    assert (position["lastday_price"], position["current_price"], position["unrealized_intraday_pl"]) == ("110", "120", "100")
    ex.on_market(np.concatenate([level("130", "130", T + DAY), level("50", "50", T + DAY, instrument=2)]))
    ex.submit(body(qty="2"), T + DAY)
    ex.submit(body(qty="1", symbol="MSFT"), T + DAY)
    ex.on_market(np.concatenate([trade("131", 1, T + DAY + 1), trade("55", 1, T + DAY + 2, instrument=2)]))
    aapl, msft = ex.positions()
    # Ten shares since yesterday's 110, two since today's 130.
    assert (aapl["unrealized_intraday_pl"], aapl["unrealized_pl"]) == (str(10 * 21 + 2 * 1), str(10 * 31 + 2 * 1))
    assert (msft["lastday_price"], msft["change_today"], msft["unrealized_intraday_pl"]) == ("50", "0.1", "5")
    ex.bust(ex.activities(["FILL"])[1]["id"], T + DAY + 3)
    assert ex.position("AAPL")["unrealized_intraday_pl"] == "210"


def test_a_weekend_keeps_fridays_close():
    start = parse_time("2026-03-06T15:00:00Z")
    ex = Exchange(INSTRUMENTS, calendar=Calendar(), always_open=False, start=start)
    ex.on_market(np.concatenate([level("100", "100", start), trade("100", 1, start)]))
    ex.submit(body(qty="10"), start + SECOND)
    ex.on_market(trade("90", 1, parse_time("2026-03-06T20:00:00Z")))
    ex.advance(parse_time("2026-03-09T13:00:00Z"))
    assert (ex.account()["last_equity"], ex.positions()[0]["lastday_price"]) == ("99900", "90")
