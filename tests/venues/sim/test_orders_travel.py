"""Requests that take time, and the races that this makes."""

from decimal import Decimal

import numpy as np
import pytest
from tests.venues.sim.orders_world import INSTRUMENTS, SECOND, T, body, bracket, opened, power, quote, refusal, told, trade

from pyrt.calendar import Calendar
from pyrt.errors import ConfigError
from pyrt.venues.sim.exchange.exchange import Exchange
from pyrt.venues.sim.exchange.travel import Latency

pytestmark = pytest.mark.row("X08")

MS = 1_000_000
SLOW = Latency(entry=10 * MS, cancel=10 * MS, replace=10 * MS)


def slow(**settings):
    return opened(latency=SLOW, **settings)


def limit(px="189.00", qty="100", **more):
    return body(kind="limit", qty=qty, limit_price=px, **more)


def working(ex, **more):
    order = ex.submit(limit(**more), T)
    ex.advance(T + 10 * MS)
    told(ex)
    return order


def test_an_order_arrives_after_its_journey():
    ex = slow()
    order = ex.submit(body(), T)
    assert [(event, status) for event, _, status, _ in told(ex)] == [("pending_new", "pending_new")]
    ex.on_market(quote("189.60", 300, "189.63", 60, T + 9 * MS))
    assert told(ex) == []
    ex.on_market(quote("189.70", 300, "189.73", 60, T + 11 * MS))
    assert [event for event, *_ in told(ex)] == ["new", "fill"]
    assert ex.order(order["id"])["filled_avg_price"] == "189.63"  # what was there when it came
    assert ex.order(order["id"])["filled_at"] == "2026-03-02T15:04:06.01Z"


def test_a_cancel_may_overtake_and_a_fill_may_win():
    ex = slow()
    order = working(ex)
    ex.cancel(order["id"], T + 20 * MS)
    ex.cancel(order["id"], T + 21 * MS)  # once more is no sin
    assert [(event, status) for event, _, status, _ in told(ex)] == [("pending_cancel", "pending_cancel")]
    assert refusal(ex.replace, order["id"], {"qty": "50"}, T + 21 * MS).http == 422
    ex.on_market(trade("188.99", 40, T + 25 * MS))
    assert [(event, status, qty) for event, _, status, qty in told(ex)] == [("partial_fill", "pending_cancel", "40")]
    ex.advance(T + 30 * MS)
    assert [(event, status) for event, _, status, _ in told(ex)] == [("canceled", "canceled")]
    assert ex.order(order["id"])["filled_qty"] == "40"
    assert ex.state.accounts[ex.default].reserved == 0

    order = ex.submit(limit(), T + 40 * MS)
    ex.cancel(order["id"], T + 45 * MS)
    told(ex)
    ex.on_market(np.concatenate([trade("188.99", 500, T + 51 * MS), trade("188.99", 500, T + 60 * MS)]))
    assert [(event, status) for event, _, status, _ in told(ex)] == [
        ("new", "pending_cancel"),
        ("fill", "filled"),
        ("order_cancel_rejected", "filled"),
    ]


def test_a_latency_is_not_negative():
    with pytest.raises(ConfigError, match="below 0"):
        Latency(cancel=-1)


def test_a_cancel_may_come_before_the_order():
    ex = opened(latency=Latency(entry=10 * MS, cancel=2 * MS))
    order = ex.submit(limit(), T)
    ex.cancel(order["id"], T + MS)
    ex.advance(T + SECOND)
    assert [(event, status) for event, _, status, _ in told(ex)] == [
        ("pending_new", "pending_new"),
        ("pending_cancel", "pending_cancel"),
        ("canceled", "canceled"),
    ]


def test_a_replacement_takes_over_when_it_arrives():
    ex = slow()
    before = Decimal(power(ex))
    old = working(ex)
    new = ex.replace(old["id"], {"qty": "120", "limit_price": "189.10"}, T + 20 * MS)
    assert (new["status"], new["replaces"], ex.order(old["id"])["status"]) == ("pending_new", old["id"], "pending_replace")
    assert [event for event, *_ in told(ex)] == ["pending_replace", "pending_new"]
    assert before - Decimal(power(ex)) == 120 * Decimal("189.10")  # the larger of both
    for call, *args in ((ex.cancel, old["id"], T), (ex.replace, old["id"], {"qty": "1"}, T), (ex.replace, new["id"], {}, T)):
        assert refusal(call, *args).http == 422
    ex.on_market(trade("188.99", 40, T + 25 * MS))
    ex.advance(T + 30 * MS)
    assert [(event, status) for event, _, status, _ in told(ex)] == [
        ("partial_fill", "pending_replace"),
        ("replaced", "replaced"),
        ("new", "new"),
    ]
    assert ex.order(old["id"])["replaced_by"] == new["id"]
    assert ex.state.accounts[ex.default].reserved == 80 * 18_910 * 10**16
    ex.on_market(trade("188.99", 500, T + 40 * MS))
    assert ex.order(new["id"])["filled_qty"] == "80"
    assert ex.position("AAPL")["qty"] == "120"


def test_a_smaller_replacement_frees_nothing_before_it_is_there():
    ex = slow()
    before = Decimal(power(ex))
    old = working(ex)
    ex.replace(old["id"], {"qty": "50"}, T + 20 * MS)
    assert before - Decimal(power(ex)) == 18_900
    ex.advance(T + 30 * MS)
    assert before - Decimal(power(ex)) == 9_450


@pytest.mark.parametrize(("traded", "status"), [(500, "filled"), (60, "partially_filled")])
def test_a_fill_in_time_defeats_the_replacement(traded, status):
    ex = slow()
    old = working(ex)
    new = ex.replace(old["id"], {"qty": "50"}, T + 20 * MS)
    told(ex)
    ex.on_market(trade("188.99", traded, T + 25 * MS))
    told(ex)
    ex.advance(T + 30 * MS)
    events = ex.take_updates()
    assert [(u["event"], u["order"]["id"], u["order"]["status"]) for _, u in events] == [
        ("order_replace_rejected", old["id"], status),
        ("rejected", new["id"], "rejected"),
    ]
    assert events[1][1]["order"]["failed_at"]
    assert len(ex.orders()) == (status != "filled")
    ex.cancel_all(T + 31 * MS)
    ex.advance(T + SECOND)
    assert ex.state.accounts[ex.default].reserved == 0


def test_a_replacement_may_be_canceled_on_its_way():
    ex = opened(latency=Latency(replace=10 * MS))
    answer = ex.submit(bracket(kind="limit", limit_price="189"), T)
    new = ex.replace(answer["id"], {"limit_price": "188"}, T + MS)
    told(ex)
    ex.cancel(new["id"], T + 2 * MS)
    ex.advance(T + 11 * MS)
    assert [(event, status) for event, _, status, _ in told(ex)] == [("canceled", "canceled"), ("order_replace_rejected", "new")]
    assert len(ex.orders()) == 3


def test_cancel_all_says_which_it_could_not():
    ex = slow()
    old = working(ex)
    new = ex.replace(old["id"], {"qty": "50"}, T + 20 * MS)
    results = {order_id: (http, answer.get("status") or answer["code"]) for order_id, http, answer in ex.cancel_all(T + 21 * MS)}
    assert results == {old["id"]: (422, 42210000), new["id"]: (200, "pending_cancel")}


def test_shares_are_held_once_while_a_sale_is_replaced():
    ex = slow()
    ex.submit(body(qty="10"), T)
    ex.advance(T + 10 * MS)
    old = ex.submit(body("sell", "10", "limit", limit_price="195"), T + 10 * MS)
    ex.advance(T + 20 * MS)
    ex.replace(old["id"], {"limit_price": "196"}, T + 20 * MS)
    assert ex.position("AAPL")["qty_available"] == "0"
    assert ex._open_orders(ex.default, 1).held[2] == 10 * SECOND
    ex.advance(T + 30 * MS)
    assert ex._open_orders(ex.default, 1).held[2] == 10 * SECOND


def test_an_order_that_arrives_after_the_close_waits():
    close = 1_772_461_800 * SECOND + 23_400 * SECOND
    ex = Exchange(INSTRUMENTS, calendar=Calendar(), always_open=False, latency=SLOW)
    ex.on_market(quote("189.50", 300, "189.53", 60, close - SECOND))
    ex.submit(body(tif="gtc"), close - MS)
    ex.advance(close + SECOND)
    assert [event for event, *_ in told(ex)] == ["pending_new", "accepted"]
    ex.advance(close + 17 * 3600 * SECOND + 1800 * SECOND)
    assert [event for event, *_ in told(ex)] == ["new", "fill"]


def test_an_oco_on_its_way_works_as_a_pair():
    ex = slow()
    ex.submit(body(qty="10"), T)
    ex.advance(T + 10 * MS)
    told(ex)
    answer = ex.submit(bracket(order_class="oco", side="sell", kind="limit", tif="gtc"), T + 10 * MS)
    ex.on_market(trade("170", 1, T + 15 * MS))
    assert [event for event, *_ in told(ex)] == ["held", "pending_new"]
    ex.on_market(trade("170", 1, T + 25 * MS))
    assert [(event, who) for event, who, *_ in told(ex)] == [
        ("new", "take_profit"),
        ("canceled", "take_profit"),
        ("new", "stop_loss"),
        ("fill", "stop_loss"),
    ]
    assert answer["legs"][0]["status"] == "held"


def test_what_is_under_way_survives_a_restart():
    ex = slow()
    old = working(ex)
    ex.submit(body(), T + 19 * MS)
    ex.replace(old["id"], {"qty": "50"}, T + 20 * MS)
    again = Exchange.load(ex.save(), INSTRUMENTS, latency=SLOW)
    assert again.save() == ex.save()
    for venue in (ex, again):
        told(venue)
        venue.on_market(quote("189.50", 300, "189.53", 70, T + 25 * MS))
        venue.advance(T + 30 * MS)
    assert [row.status for row in again.state.rows] == [row.status for row in ex.state.rows] == ["replaced", "filled", "new"]


# ---------------------------------------------------------------------------------------------------- forced fills
def test_an_overfill_is_booked_and_told():
    ex = opened()
    order = ex.submit(body(qty="10", client_order_id="a"), T)
    told(ex)
    assert ex.force_fill(order["id"], "5", "190.01", T + 1)["filled_qty"] == "15"
    assert told(ex) == [("fill", "a", "filled", "5")]
    assert ex.position("AAPL")["qty"] == "15"
    assert ex.activities()[0]["price"] == "190.01"
    assert ex.account()["cash"] == str(Decimal(100_000) - 10 * Decimal("189.53") - 5 * Decimal("190.01"))


def test_a_forced_fill_on_a_working_order_leaves_less_to_fill():
    ex = opened()
    order = ex.submit(limit(client_order_id="a"), T)
    told(ex)
    ex.force_fill(order["id"], "60", "188", T + 1)
    assert told(ex) == [("partial_fill", "a", "partially_filled", "60")]
    ex.on_market(trade("188", 500, T + 2))
    assert told(ex) == [("fill", "a", "filled", "40")]
    ended = ex.submit(limit(client_order_id="b"), T + 3)
    ex.cancel(ended["id"], T + 3)
    told(ex)
    ex.force_fill(ended["id"], "1", "188", T + 4)
    assert told(ex) == [("partial_fill", "b", "canceled", "1")]
    assert ex.state.accounts[ex.default].reserved == 0
    assert refusal(ex.force_fill, "x", "1", "1", T).http == 404
    assert refusal(ex.force_fill, order["id"], "0", "1", T).http == 422
    assert refusal(ex.force_fill, order["id"], "x", "1", T).http == 422


def test_a_fill_may_be_forced_while_a_replacement_is_under_way():
    ex = slow()
    old = working(ex)
    ex.replace(old["id"], {"limit_price": "189.10"}, T + 20 * MS)
    ex.force_fill(old["id"], "100", "189", T + 21 * MS)
    told(ex)
    ex.advance(T + 30 * MS)
    assert [(event, status) for event, _, status, _ in told(ex)] == [("order_replace_rejected", "filled"), ("rejected", "rejected")]
