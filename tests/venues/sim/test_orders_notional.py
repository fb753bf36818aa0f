"""Orders by money, and fractions of shares."""

from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.venues.sim.orders_world import INSTRUMENTS, T, body, opened, power, quote, refusal, told, trade

from pyrt.venues.sim.exchange.exchange import Exchange

pytestmark = pytest.mark.row("X08")

UNIT = Decimal(1).scaleb(-9)


def money(amount, side="buy", kind="market", **more):
    return body(side, None, kind, notional=amount, **more)


def test_a_market_buy_spends_its_money():
    ex = opened()
    order = ex.submit(money("1000"), T)
    assert (order["qty"], order["notional"], order["status"]) == (None, "1000", "pending_new")
    assert [event for event, *_ in told(ex)] == ["new", "fill"]
    shown = ex.order(order["id"])
    want = (Decimal(1000) / Decimal("189.53")).quantize(UNIT, "ROUND_FLOOR")
    assert (shown["qty"], Decimal(shown["filled_qty"]), shown["status"]) == (None, want, "filled")
    spent = Decimal(100_000) - Decimal(ex.account()["cash"])
    assert spent == want * Decimal("189.53")
    assert 0 <= 1000 - spent < UNIT * 190
    assert ex.position("AAPL")["qty"] == str(want)


def test_money_that_waits_is_reserved_and_spent_level_by_level():
    ex = opened()
    before = Decimal(power(ex))
    order = ex.submit(money("20000"), T)  # 60 at 189.53 leave 8628.20
    assert [(event, qty) for event, _, _, qty in told(ex)] == [("new", None), ("partial_fill", "60")]
    bought = 60 * Decimal("189.53")
    mark = Decimal("189.52")
    assert Decimal(power(ex)) == 2 * (Decimal(100_000) - bought + 60 * mark) - 60 * mark - (20_000 - bought)
    assert before - Decimal(power(ex)) > 0
    assert "cannot be replaced" in refusal(ex.replace, order["id"], {"qty": "1"}, T).message
    ex.on_market(quote("199", 10, "200", 1000, T + 1))
    rest = ((20_000 - bought) / 200).quantize(UNIT, "ROUND_FLOOR")
    assert [(event, qty) for event, _, _, qty in told(ex)] == [("fill", str(rest.normalize()))]
    assert Decimal(ex.account()["cash"]) == Decimal(100_000) - bought - rest * 200
    assert ex.state.accounts[ex.default].reserved == 0
    assert ex.activities()[0]["leaves_qty"] == "0"


def test_canceling_gives_the_rest_back():
    ex = opened()
    order = ex.submit(money("20000"), T)
    ex.cancel(order["id"], T)
    assert ex.state.accounts[ex.default].reserved == 0
    assert ex.order(order["id"])["filled_qty"] == "60"


def test_a_limit_by_money_is_for_so_many_shares_at_its_limit():
    ex = opened()
    before = Decimal(power(ex))
    order = ex.submit(money("1000", kind="limit", limit_price="189.00"), T)
    want = (Decimal(1000) / 189).quantize(UNIT, "ROUND_FLOOR")
    assert before - Decimal(power(ex)) == want * 189
    ex.on_market(trade("188.99", 100, T + 1))
    shown = ex.order(order["id"])
    assert (shown["qty"], Decimal(shown["filled_qty"]), shown["status"]) == (None, want, "filled")


def test_a_sale_by_money_never_sells_more_than_is_there():
    ex = opened()
    ex.submit(body(qty="2"), T)
    no = refusal(ex.submit, money("379.01", "sell"), T)  # 2 * 189.50 = 379
    assert (no.code, no.body["existing_qty"]) == (40310000, "2")
    ex.on_market(quote("100", 1, "100.10", 60, T))
    told(ex)
    ex.submit(money("199", "sell"), T)  # 1 at 100, then the market falls
    assert ex.position("AAPL")["qty_available"] == "0"
    ex.on_market(quote("50", 300, "50.10", 60, T + 1))
    assert ex.positions() == []
    assert [event for event, *_ in told(ex)] == ["new", "partial_fill", "fill"]


def test_a_sale_by_money():
    ex = opened()
    ex.submit(body(qty="10"), T)
    cash = Decimal(ex.account()["cash"])
    ex.submit(money("500", "sell"), T)
    got = Decimal(ex.account()["cash"]) - cash
    assert 0 <= 500 - got < UNIT * 190


def test_nothing_is_known_nothing_can_be_estimated():
    assert "no market price" in refusal(Exchange(INSTRUMENTS).submit, money("10"), T).message


def test_fractions_may_be_stop_and_stop_limit_orders():
    ex = opened()
    ex.submit(body(qty="2.5"), T)
    ex.submit(body("sell", "1.000000001", "stop", stop_price="180"), T)
    ex.submit(body("sell", "0.5", "stop_limit", stop_price="180", limit_price="179"), T)
    ex.on_market(np.concatenate([quote("179.5", 300, "179.6", 60, T + 1), trade("180", 1, T + 2)]))
    assert ex.position("AAPL")["qty"] == "0.999999999"


def test_an_order_by_money_survives_a_restart():
    ex = opened()
    ex.submit(money("20000"), T)
    again = Exchange.load(ex.save(), INSTRUMENTS)
    assert again.save() == ex.save()
    for venue in (ex, again):
        venue.on_market(quote("199", 10, "200", 1000, T + 1))
    assert again.position("AAPL")["qty"] == ex.position("AAPL")["qty"] == "103.141"
    assert again.account()["cash"] == ex.account()["cash"]


@settings(max_examples=60, deadline=None)
@given(
    st.integers(100, 3_000_000),
    st.lists(st.tuples(st.integers(10, 99_999), st.integers(1, 40)), min_size=1, max_size=8),
    st.sampled_from(["buy", "sell"]),
)
def test_money_is_never_overspent_and_stops_only_below_a_unit(cents, offers, side):
    ex = Exchange(INSTRUMENTS, cash="10000000")
    ex.on_market(quote("50", 500_000, "50.01", 500_000))
    if side == "sell":
        ex.submit(body(qty="20000"), T)
    amount = Decimal(cents) / 100
    start = Decimal(ex.account()["cash"])
    ex.on_market(quote("50", 1, "50.01", 1, T + 1))
    order = ex.submit(money(str(amount), side), T + 1)
    for i, (px, qty) in enumerate(offers):
        text = str(Decimal(px) / 100)
        ex.on_market(quote(text, qty, text, qty, T + 2 + i))
        moved = abs(Decimal(ex.account()["cash"]) - start)
        assert moved <= amount
        assert ex.state.rows[-1].reserved >= 0
        if ex.order(order["id"])["status"] == "filled":
            left = amount - moved
            last = Decimal(ex.activities()[0]["price"])
            fills = len(ex.state.fills)
            if side == "buy":  # a sale may end before, by the shares that it holds
                assert left < last * UNIT + fills * UNIT
            assert ex.state.accounts[ex.default].reserved == 0
            break
