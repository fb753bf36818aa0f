"""Trailing stops at the exchange: exact, from the prints, in regular hours only."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.venues.sim.orders_world import INSTRUMENTS, SECOND, T, body, opened, quote, refusal, told, trade

from pyrt.calendar import Calendar
from pyrt.venues.sim.exchange.exchange import Exchange

pytestmark = pytest.mark.row("X08")

OPEN = 1_772_461_800 * SECOND  # 2026-03-02 09:30 New York
CLOSE = OPEN + 23_400 * SECOND


def trailing(side="sell", qty="10", tif="gtc", **distance):
    return body(side, qty, "trailing_stop", tif, **distance)


def shown(ex, order):
    row = ex.order(order["id"])
    return row["hwm"], row["stop_price"]


def test_it_follows_the_best_print_and_sells_at_the_market():
    ex = opened()
    ex.submit(body(qty="10"), T)
    order = ex.submit(trailing(trail_price="1.50"), T)
    assert (order["type"], order["order_type"], order["trail_price"], order["trail_percent"]) == (
        "trailing_stop",
        "trailing_stop",
        "1.5",
        None,
    )
    assert shown(ex, order) == ("189.52", "188.02")
    for px, want in (("190.00", ("190", "188.5")), ("189.00", ("190", "188.5")), ("191.25", ("191.25", "189.75"))):
        ex.on_market(trade(px, 1, T + 1))
        assert shown(ex, order) == want
    told(ex)
    ex.on_market(quote("189.00", 300, "189.10", 60, T + 2))  # quotes do not trigger
    assert told(ex) == []
    ex.on_market(trade("189.75", 1, T + 3))
    assert [(event, status) for event, _, status, _ in told(ex)] == [("fill", "filled")]
    assert ex.order(order["id"])["filled_avg_price"] == "189"
    assert shown(ex, order) == ("191.25", "189.75")


def test_percent_of_the_best_price_to_the_last_digit():
    ex = opened()
    ex.submit(body(qty="10"), T)
    order = ex.submit(trailing(trail_percent=2.5), T)
    assert (order["trail_percent"], order["trail_price"]) == ("2.5", None)
    assert shown(ex, order) == ("189.52", "184.782")
    ex.on_market(trade("189.53", 1, T + 1))
    assert shown(ex, order) == ("189.53", "184.79175")


def test_a_buy_trails_from_above():
    ex = opened()
    ex.submit(body("sell", "10"), T)
    order = ex.submit(trailing("buy", trail_price="2"), T)
    ex.on_market(np.concatenate([trade("188", 1, T + 1), trade("189.99", 1, T + 2)]))
    assert shown(ex, order) == ("188", "190")
    told(ex)
    ex.on_market(trade("190", 1, T + 3))
    assert [event for event, *_ in told(ex)] == ["fill"]
    assert ex.positions() == []


def test_no_print_yet_no_stop_yet():
    ex = Exchange(INSTRUMENTS)
    ex.on_market(quote("189.50", 300, "189.53", 60))
    ex.submit(body(qty="10"), T)
    order = ex.submit(trailing(trail_price="1"), T)
    assert shown(ex, order) == (None, None)
    ex.on_market(trade("100", 1, T + 1))
    assert shown(ex, order) == ("100", "99")


def test_the_distance_is_replaced_and_the_best_price_kept():
    ex = opened()
    ex.submit(body(qty="10"), T)
    old = ex.submit(trailing(trail_price="5"), T)
    ex.on_market(np.concatenate([trade("195", 1, T + 1), trade("193", 1, T + 2)]))
    new = ex.replace(old["id"], {"trail": "2.5", "qty": "9", "client_order_id": "tighter"}, T + 3)
    assert (new["trail_price"], new["qty"], new["client_order_id"]) == ("2.5", "9", "tighter")
    assert shown(ex, new) == ("195", "192.5")
    assert shown(ex, old) == ("195", "190")
    for wrong in ({"stop_price": "190"}, {"limit_price": "190"}, {"trail": "0"}, {"time_in_force": "ioc"}):
        assert refusal(ex.replace, new["id"], wrong, T + 3).http == 422
    told(ex)
    ex.on_market(trade("192.5", 1, T + 4))
    assert [event for event, *_ in told(ex)] == ["fill"]
    plain = ex.submit(body(kind="limit", limit_price="100"), T)
    assert "trailing stop orders only" in refusal(ex.replace, plain["id"], {"trail": "1"}, T + 4).message


def test_it_sleeps_out_of_regular_hours_and_keeps_what_it_saw():
    ex = Exchange(INSTRUMENTS, calendar=Calendar(), always_open=False)
    ex.on_market(np.concatenate([quote("189.50", 300, "189.53", 60, OPEN), trade("189.52", 1, OPEN)]))
    ex.submit(body(qty="10"), OPEN)
    order = ex.submit(trailing(trail_price="1"), OPEN)
    ex.on_market(np.concatenate([trade("190", 1, OPEN + 1), trade("250", 1, CLOSE + 1), trade("100", 1, CLOSE + 2)]))
    assert shown(ex, order) == ("190", "189")
    again = Exchange.load(ex.save(), INSTRUMENTS, calendar=Calendar(), always_open=False)
    for venue in (ex, again):
        told(venue)
        venue.on_market(trade("189.01", 1, OPEN + 86_400 * SECOND + 1))
        assert told(venue) == []
        assert shown(venue, order) == ("190", "189")
        venue.on_market(trade("189", 1, OPEN + 86_400 * SECOND + 2))
        assert "189" in [venue.order(order["id"])["stop_price"]]
        assert venue.order(order["id"])["status"] != "held"


def test_looking_changes_nothing():
    a, b = opened(), opened()
    for ex in (a, b):
        ex.submit(body(qty="10"), T)
        ex.submit(trailing(trail_price="1"), T)
        ex.on_market(trade("190", 1, T + 1))
    a.orders("all")
    assert a.save() == b.save()


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.integers(18_000, 20_000), min_size=1, max_size=12),
    st.sampled_from(["sell", "buy"]),
    st.one_of(
        st.integers(1, 900).map(lambda cents: ("trail_price", cents * 10**7)),
        st.integers(1, 5_000).map(lambda bp: ("trail_percent", bp * 10**5)),
    ),
)
def test_it_triggers_where_plain_arithmetic_says(prints, side, distance):
    kind, units = distance
    ex = opened()
    ex.submit(body("buy" if side == "sell" else "sell", "10"), T)
    text = f"{units / 10**9:.2f}" if kind == "trail_price" else f"{units / 10**7:.2f}"
    order = ex.submit(trailing(side, **{kind: text}), T)
    best, fires = 189_520_000_000, None
    for i, cents in enumerate(prints):
        px = cents * 10**7
        best = max(best, px) if side == "sell" else min(best, px)
        off = units if kind == "trail_price" else best * units // 10**9
        if fires is None and (px <= best - off if side == "sell" else px >= best + off):
            fires = i
            break
    for i, cents in enumerate(prints):
        ex.on_market(trade(f"{cents / 100:.2f}", 1, T + 1 + i))
        filled = ex.order(order["id"])["filled_qty"] != "0"
        assert filled == (fires is not None and i >= fires)
