"""The exchange: Alpaca's shapes, its refusals, and an account that adds up to the last digit."""

import random
import re
from decimal import Decimal, localcontext
from uuid import UUID

import alpaca.trading.models as alpaca
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.venues.sim.orders_world import quote, trade

from pyrt._core.types import Flag
from pyrt.calendar import Calendar
from pyrt.errors import DataError
from pyrt.model import Instrument
from pyrt.venues.sim.exchange.exchange import Exchange
from pyrt.venues.sim.exchange.orders import VenueRefusal
from pyrt.venues.sim.times import format_time

T = 1_772_463_846_000_000_000  # 2026-03-02T15:04:06Z
SECOND = 1_000_000_000
INSTRUMENTS = [Instrument(id=1, symbol="AAPL"), Instrument(id=2, symbol="MSFT")]
ORDER_KEYS = {
    "id",
    "client_order_id",
    "created_at",
    "updated_at",
    "submitted_at",
    "filled_at",
    "expired_at",
    "expires_at",
    "canceled_at",
    "failed_at",
    "replaced_at",
    "replaced_by",
    "replaces",
    "asset_id",
    "symbol",
    "asset_class",
    "notional",
    "qty",
    "filled_qty",
    "filled_avg_price",
    "order_class",
    "order_type",
    "type",
    "side",
    "position_intent",
    "time_in_force",
    "limit_price",
    "stop_price",
    "status",
    "extended_hours",
    "legs",
    "trail_percent",
    "trail_price",
    "hwm",
    "subtag",
    "source",
    "ratio_qty",
}


def body(side="buy", qty="10", kind="market", tif="day", symbol="AAPL", **more):
    return {"symbol": symbol, "qty": qty, "side": side, "type": kind, "time_in_force": tif, **more}


@pytest.fixture
def exchange():
    ex = Exchange(INSTRUMENTS)
    ex.on_market(np.concatenate([quote("189.50", 300, "189.53", 60), quote("410", 100, "410.05", 100, instrument=2)]))
    ex.on_market(trade("189.52", 100))
    return ex


def events(ex):
    return [(u["event"], u["order"]["status"], u.get("price"), u.get("qty"), u.get("position_qty")) for _, u in ex.take_updates()]


def refusal(call, *args, **named):
    with pytest.raises(VenueRefusal) as caught:
        call(*args, **named)
    return caught.value


# ---------------------------------------------------------------------------------------------------- the life of an order
def test_a_market_order_fills_by_what_is_displayed(exchange):
    answer = exchange.submit(body(qty=100, client_order_id="a"), T + 1)
    assert set(answer) == ORDER_KEYS
    assert (answer["status"], answer["filled_qty"], answer["position_intent"]) == ("pending_new", "0", "buy_to_open")
    assert events(exchange) == [
        ("new", "new", None, None, None),
        ("partial_fill", "partially_filled", "189.53", "60", "60"),
    ]
    exchange.on_market(quote("189.50", 300, "189.54", 90, T + 2))
    assert events(exchange) == [("fill", "filled", "189.54", "40", "100")]
    order = exchange.order_by_cid("a")
    assert (order["filled_avg_price"], order["filled_at"]) == ("189.534", "2026-03-02T15:04:06.000000002Z")
    assert exchange.orders() == []
    assert [o["id"] for o in exchange.orders("closed")] == [answer["id"]]


def test_numbers_may_be_numbers_or_text(exchange):
    a = exchange.submit(body(kind="limit", qty=10.0, limit_price=189.1), T)
    b = exchange.submit(body(kind="limit", qty="10", limit_price="189.10"), T)
    assert (a["qty"], a["limit_price"]) == (b["qty"], b["limit_price"]) == ("10", "189.1")


def test_cancel_gives_back_what_was_reserved(exchange):
    before = exchange.account()
    order = exchange.submit(body(kind="limit", qty="100", limit_price="189.00"), T)
    assert Decimal(before["buying_power"]) - Decimal(exchange.account()["buying_power"]) == 18900
    exchange.take_updates()
    exchange.cancel(order["id"], T + SECOND)
    assert events(exchange) == [("canceled", "canceled", None, None, None)]
    assert exchange.account() == before
    assert exchange.order(order["id"])["canceled_at"] == "2026-03-02T15:04:07Z"
    again = refusal(exchange.cancel, order["id"], T + SECOND)
    assert (again.http, again.code) == (422, 42210000)


def test_stop_orders_wait_for_a_trade(exchange):
    exchange.submit(body(qty="10"), T)
    stop = exchange.submit(body("sell", "10", "stop", "gtc", stop_price="189.40"), T)
    exchange.take_updates()
    exchange.on_market(quote("189.30", 300, "189.33", 60))
    assert events(exchange) == []
    exchange.on_market(trade("189.40", 1))
    assert events(exchange) == [("fill", "filled", "189.3", "10", "0")]
    assert exchange.order(stop["id"])["status"] == "filled"


def test_a_buy_stop_does_not_chase_beyond_its_collar(exchange):
    exchange.submit(body("buy", "10", "stop", "gtc", stop_price="190.00"), T)
    exchange.on_market(quote("195.00", 300, "195.03", 60))
    exchange.take_updates()
    exchange.on_market(trade("195.00", 1))
    assert events(exchange) == []
    exchange.on_market(quote("194.70", 300, "194.75", 60))  # 190 * 1.025
    assert [e[0] for e in events(exchange)] == ["fill"]


def test_ioc_and_fok(exchange):
    exchange.submit(body(qty="100", kind="limit", tif="ioc", limit_price="189.53"), T)
    assert [e[:4] for e in events(exchange)] == [
        ("new", "new", None, None),
        ("partial_fill", "partially_filled", "189.53", "60"),
        ("canceled", "canceled", None, None),
    ]
    exchange.submit(body("sell", "60", "limit", "fok", limit_price="189.51"), T)
    assert [e[0] for e in events(exchange)] == ["new", "canceled"]
    exchange.submit(body("sell", "60", "limit", "fok", limit_price="189.50"), T)
    assert [e[0] for e in events(exchange)] == ["new", "fill"]


def test_replace_makes_a_new_order_with_a_new_id(exchange):
    old = exchange.submit(body(kind="limit", qty="100", limit_price="189.00", client_order_id="a"), T)
    exchange.take_updates()
    new = exchange.replace(old["id"], {"qty": 80, "limit_price": "189.10", "client_order_id": "b"}, T + SECOND)
    assert (new["replaces"], new["qty"], new["limit_price"], new["client_order_id"]) == (old["id"], "80", "189.1", "b")
    assert new["id"] != old["id"]
    told = exchange.take_updates()
    assert [(u["event"], u["order"]["id"]) for _, u in told] == [("replaced", old["id"]), ("new", new["id"])]
    assert told[0][1]["order"]["replaced_by"] == new["id"]
    assert Decimal("200000") - Decimal(exchange.account()["buying_power"]) == 80 * Decimal("189.10")
    assert refusal(exchange.replace, old["id"], {"qty": 50}, T + SECOND).http == 422
    assert refusal(exchange.replace, new["id"], {"client_order_id": "a"}, T + SECOND).code == 40010001


def test_replace_of_a_partly_filled_order_asks_for_the_rest(exchange):
    old = exchange.submit(body(kind="limit", qty="100", limit_price="189.53"), T)
    new = exchange.replace(old["id"], {"limit_price": "189.52"}, T)
    assert (new["qty"], new["filled_qty"], new["filled_avg_price"]) == ("100", "0", None)
    assert "greater than the filled" in refusal(exchange.replace, new["id"], {"qty": "60"}, T).message
    exchange.take_updates()
    exchange.on_market(trade("189.51", 500))
    assert events(exchange) == [("fill", "filled", "189.52", "40", "100")]
    last = exchange.activities()[0]
    assert (last["order_id"], last["cum_qty"], last["leaves_qty"]) == (new["id"], "40", "0")
    assert exchange.order(old["id"])["filled_qty"] == "60"


def test_a_dearer_replacement_must_fit_the_buying_power(exchange):
    old = exchange.submit(body(kind="limit", qty="1000", limit_price="189.00"), T)
    exchange.replace(old["id"], {"limit_price": "189.40"}, T)
    order = exchange.orders()[0]
    no = refusal(exchange.replace, order["id"], {"qty": "1100"}, T)
    assert (no.http, no.code, no.body["cost_basis"], no.body["buying_power"]) == (403, 40310000, "208340", "200000")
    assert exchange.order(order["id"])["status"] == "new"


def test_cancel_all_and_close_all(exchange):
    exchange.submit(body(qty="10"), T)
    exchange.submit(body(qty="10", symbol="MSFT"), T)
    exchange.submit(body("sell", "4", "limit", "gtc", limit_price="200"), T)
    held = exchange.position("AAPL")
    assert (held["qty"], held["qty_available"]) == ("10", "6")
    refused = exchange.close_all(T)
    assert [(symbol, http) for symbol, http, _ in refused] == [("AAPL", 403), ("MSFT", 200)]
    closed = exchange.close_all(T, cancel_orders=True)
    assert [(symbol, http) for symbol, http, _ in closed] == [("AAPL", 200)]
    assert exchange.positions() == []
    assert exchange.cancel_all(T) == []
    exchange.submit(body(kind="limit", limit_price="100"), T)
    assert [(http, order["status"]) for _, http, order in exchange.cancel_all(T)] == [(200, "canceled")]


def test_close_by_quantity_and_percent(exchange):
    exchange.submit(body(qty="10"), T)
    assert exchange.close_position("AAPL", T, qty="3")["qty"] == "3"
    assert exchange.close_position(exchange.asset("AAPL")["id"], T, percentage="50")["qty"] == "3.5"
    assert refusal(exchange.close_position, "AAPL", T, percentage="101").http == 422
    assert refusal(exchange.close_position, "MSFT", T).code == 40410000


# ---------------------------------------------------------------------------------------------------- refusals
REFUSALS = [
    (body(symbol="NOPE"), 422, 42210000, "not found"),
    (body(symbol=None), 422, 40010001, "symbol is required"),
    (body(qty=None), 422, 40010001, "qty or notional is required"),
    (body(qty="0"), 422, 40010001, "qty must be > 0"),
    (body(qty="-1"), 422, 40010001, "qty must be > 0"),
    (body(qty="x"), 422, 40010001, "invalid qty"),
    (body(qty=True), 400, 40010000, "not a number"),
    (body(qty="1.0000000001"), 422, 40010001, "invalid qty"),
    (body(qty=None, notional="0.99"), 422, 42210000, "minimal amount of order 1"),
    (body(qty=None, notional="0"), 422, 40010001, "notional must be > 0"),
    (body(qty=None, notional="100.001"), 422, 42210000, "limited to 2 decimal places"),
    (body(qty=None, notional="100", tif="gtc"), 422, 42210000, "fractional orders must be DAY"),
    (body(qty=None, notional="100", kind="stop", stop_price="180"), 422, 40010001, "must be market or limit"),
    (body("sell", None, notional="100"), 422, 42210000, "fractional orders cannot be sold short"),
    (body(qty=None, notional="999999"), 403, 40310000, "insufficient buying power"),
    (body(notional="100"), 422, 40010001, "only one of qty or notional"),
    (body("hold"), 422, 40010001, "side"),
    (body(kind="iceberg"), 422, 40010001, "type"),
    (body(trail_price="1"), 422, 40010001, "allowed for trailing stop orders only"),
    (body(kind="trailing_stop"), 422, 40010001, "one of trail_price or trail_percent"),
    (body(kind="trailing_stop", trail_price="1", trail_percent="1"), 422, 40010001, "one of trail_price or trail_percent"),
    (body(kind="trailing_stop", trail_price="0"), 422, 40010001, "trail price must be > 0"),
    (body(kind="trailing_stop", trail_price="1.001"), 422, 42210000, "sub-penny"),
    (body(kind="trailing_stop", trail_percent="100"), 422, 40010001, "trail_percent must be"),
    (body(kind="trailing_stop", trail_percent="1", tif="ioc"), 422, 40010001, "must be day or gtc"),
    (body(kind="trailing_stop", trail_percent="1", stop_price="1"), 422, 40010001, "require no stop or limit price"),
    (body(kind="trailing_stop", trail_percent="1", extended_hours=True), 422, 40010001, 'only type="limit"'),
    (body(kind="trailing_stop", trail_percent="1", qty="0.5"), 422, 42210000, "fractional orders"),
    (body(tif="forever"), 422, 40010001, "time_in_force"),
    (body(kind="limit"), 422, 40010001, "require limit price"),
    (body(kind="stop"), 422, 40010001, "require stop price"),
    (body(kind="stop_limit", stop_price="1"), 422, 40010001, "require limit price"),
    (body(limit_price="1"), 422, 40010001, "market orders require no stop or limit price"),
    (body(kind="limit", limit_price="1", stop_price="1"), 422, 40010001, "limit orders require only limit price"),
    (body(kind="stop", limit_price="1", stop_price="1"), 422, 40010001, "stop orders require only stop price"),
    (body(kind="limit", limit_price="0"), 422, 40010001, "limit price must be > 0"),
    (body(kind="limit", limit_price="189.501"), 422, 42210000, "sub-penny"),
    (body(kind="limit", limit_price="0.99999"), 422, 42210000, "sub-penny"),
    (body(extended_hours=True), 422, 40010001, 'only type="limit"'),
    (body(kind="limit", limit_price="189", tif="ioc", extended_hours=True), 422, 40010001, 'only type="limit"'),
    (body(extended_hours="yes"), 400, 40010000, "not a boolean"),
    (body(qty="0.5", tif="gtc"), 422, 42210000, "fractional orders must be DAY"),
    (body("sell", "0.5"), 422, 42210000, "fractional orders cannot be sold short"),
    (body(qty="0.001"), 422, 42210000, "minimal amount of order 1"),
    (body(order_class="mleg"), 422, 40010001, "order_class"),
    (body(order_class=["bracket"]), 422, 40010001, "order_class"),
    (body(legs=[]), 422, 40010001, "legs"),
    (body(client_order_id="x" * 129), 422, 40010001, "128"),
    (body(client_order_id=7), 400, 40010000, "not a string"),
    (body(position_intent="sell_to_open"), 422, 40010001, "position_intent"),
    (body(position_intent="buy_to_close"), 422, 42210000, "position intent mismatch"),
    (body(qty="10000"), 403, 40310000, "insufficient buying power"),
    (body("sell", "10000"), 403, 40310000, "insufficient buying power"),
]


@pytest.mark.parametrize(("request_body", "http", "code", "text"), REFUSALS)
def test_each_refusal_has_its_status_code_and_text(exchange, request_body, http, code, text):
    before = exchange.account(), exchange.orders("all")
    no = refusal(exchange.submit, request_body, T)
    assert (no.http, no.code) == (http, code)
    assert text in no.message
    assert (exchange.account(), exchange.orders("all")) == before
    assert exchange.take_updates() == []
    assert exchange.truth()["refused"][-1]["answer"] == no.body


def test_a_client_order_id_is_unique_for_ever(exchange):
    order = exchange.submit(body(kind="limit", limit_price="100", client_order_id="once"), T)
    exchange.cancel(order["id"], T)
    for ex in (exchange, Exchange.load(exchange.save(), INSTRUMENTS)):
        no = refusal(ex.submit, body(client_order_id="once"), T)
        assert (no.http, no.code, no.message) == (422, 40010001, "client_order_id must be unique")
        assert ex.order_by_cid("once")["id"] == order["id"]


def test_insufficient_quantity_says_what_is_held(exchange):
    exchange.submit(body(qty="10"), T)
    waiting = exchange.submit(body("sell", "8", "limit", limit_price="200"), T)
    no = refusal(exchange.submit, body("sell", "5", "limit", limit_price="201"), T)
    assert no.http == 403
    assert no.body == {
        "code": 40310000,
        "message": "insufficient qty available for order (requested: 5, available: 2)",
        "available": "2",
        "existing_qty": "10",
        "held_for_orders": "8",
        "related_orders": [waiting["id"]],
        "symbol": "AAPL",
    }


def test_an_order_that_could_meet_ones_own_is_refused(exchange):
    resting = exchange.submit(body(kind="limit", limit_price="189.00", qty="5"), T)
    for kind in ({"kind": "limit", "limit_price": "189.00"}, {"kind": "market"}, {"kind": "stop", "stop_price": "180"}):
        no = refusal(exchange.submit, body("sell", "5", **kind), T)
        assert (no.http, no.code, no.body["existing_order_id"]) == (403, 40310000, resting["id"])
    exchange.submit(body("sell", "5", kind="limit", limit_price="189.01"), T)


def test_shorts(exchange):
    exchange.submit(body("sell", "10"), T)
    position = exchange.position("AAPL")
    assert (position["side"], position["qty"], position["cost_basis"], position["avg_entry_price"]) == (
        "short",
        "-10",
        "-1895",
        "189.5",
    )
    account = exchange.account()
    assert (account["cash"], account["short_market_value"], account["equity"]) == ("101895", "-1895.2", "99999.8")
    assert refusal(exchange.submit, body(qty="11"), T).body["existing_qty"] == "10"
    exchange.submit(body(qty="10"), T)
    assert exchange.positions() == []
    poor = Exchange(INSTRUMENTS, cash="1999")
    poor.on_market(quote("10", 100, "10.01", 100))
    assert refusal(poor.submit, body("sell", "1"), T).message == "account is not allowed to short"
    cash_only = Exchange(INSTRUMENTS, multiplier=1)
    cash_only.on_market(quote("10", 100, "10.01", 100))
    assert refusal(cash_only.submit, body("sell", "1"), T).body["available"] == "0"


@pytest.mark.parametrize(("multiplier", "power"), [(1, "100000"), (2, "200000"), (4, "400000")])
def test_buying_power_by_multiplier(multiplier, power):
    ex = Exchange(INSTRUMENTS, multiplier=multiplier)
    ex.on_market(quote("99.99", 100, "100", 10_000))
    assert ex.account()["buying_power"] == power
    ex.submit(body(kind="limit", qty=str(1000 * multiplier), limit_price="100"), T)
    assert Decimal(ex.account()["buying_power"]) == 0
    assert refusal(ex.submit, body(qty="1"), T).message == "insufficient buying power"


junk = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(alphabet=st.characters(), max_size=5),
    st.sampled_from(["\ud800", "1e400", "-0", "NaN", "9" * 40, "0.000000001", "AAPL", "buy", "limit", "gtc"]),
    st.lists(st.integers(), max_size=2),
    st.dictionaries(st.text(max_size=3), st.integers(), max_size=2),
)
FIELDS = [
    *body(),
    "limit_price",
    "stop_price",
    "notional",
    "extended_hours",
    "client_order_id",
    "order_class",
    "position_intent",
    "take_profit",
    "stop_loss",
    "trail_price",
    "trail_percent",
    "trail",
    "x",
]


@settings(max_examples=300, deadline=None)
@given(
    st.fixed_dictionaries({"type": st.sampled_from(["market", "limit", "stop", "stop_limit", "trailing_stop"])}),
    st.dictionaries(st.sampled_from(FIELDS), junk, min_size=1, max_size=4),
)
def test_no_request_breaks_the_exchange(form, wrong):
    ex = Exchange(INSTRUMENTS)
    ex.on_market(quote("189.50", 300, "189.53", 60))
    resting = ex.submit(body(kind="limit", limit_price="100"), T)
    for call, arguments in [(ex.submit, ({**body(), **form, **wrong}, T)), (ex.replace, (resting["id"], wrong, T))]:
        before = ex.account()
        try:
            call(*arguments)
        except VenueRefusal as no:
            assert no.http in (400, 403, 404, 422)  # noqa: PT017
            assert ex.account() == before
    assert Exchange.load(ex.save(), INSTRUMENTS).account() == ex.account()


# ---------------------------------------------------------------------------------------------------- lists, pages, accounts
def test_lists_are_filtered_ordered_and_limited(exchange):
    ids = [
        exchange.submit(body(kind="limit", limit_price="100", symbol=s), T + i)["id"] for i, s in enumerate(["AAPL", "MSFT"] * 3)
    ]
    exchange.cancel(ids[0], T + 9)
    listed = [o["id"] for o in exchange.orders("all", direction="asc")]
    assert listed == ids
    assert [o["id"] for o in exchange.orders(limit=2)] == [ids[5], ids[4]]
    assert [o["id"] for o in exchange.orders("all", after=T + 1, until=T + 4)] == [ids[3], ids[2]]
    assert [o["id"] for o in exchange.orders(symbols=["MSFT"], direction="asc")] == [ids[1], ids[3], ids[5]]
    assert exchange.orders(side="sell") == []
    assert [o["id"] for o in exchange.orders("closed")] == [ids[0]]


def test_activities_are_paged_without_gap_or_overlap(exchange):
    for i in range(7):
        exchange.on_market(quote("189.50", 300, "189.53", 60 + i, T + i))
        exchange.submit(body(qty="1"), T + i)
    whole = exchange.activities()
    pages, token = [], None
    while page := exchange.activities(["FILL"], page_size=3, page_token=token):
        pages += page
        token = page[-1]["id"]
    assert pages == whole == exchange.activities(direction="asc")[::-1]
    assert len(whole) == 7
    assert whole[0]["id"].startswith("20260302100406000::")
    assert [a["transaction_time"] for a in exchange.activities(after=T + 1, until=T + 4, direction="asc")] == [
        format_time(T + 2),
        format_time(T + 3),
    ]
    assert exchange.activities(["DIV"]) == []
    assert refusal(exchange.activities, page_token="nobody's").http == 422


def test_accounts_are_apart_and_trade_with_each_other(exchange):
    other = exchange.open_account(cash="50000", multiplier=1)
    mine = exchange.submit(body("sell", "10", "limit", limit_price="189.51", client_order_id="a"), T)
    theirs = exchange.submit(body(qty="10", client_order_id="a"), T, account=other)
    assert [(account == other, u["event"]) for account, u in exchange.take_updates()] == [
        (False, "new"),
        (True, "new"),
        (False, "fill"),
        (True, "fill"),
    ]
    assert exchange.account(other)["cash"] == "48104.9"
    assert exchange.account()["cash"] == "101895.1"
    assert refusal(exchange.order, theirs["id"]).http == 404
    assert refusal(exchange.cancel, mine["id"], T, account=other).http == 404


def test_unknown_names_are_404(exchange):
    for call, argument in [
        (exchange.order, "x"),
        (exchange.order_by_cid, "x"),
        (exchange.position, "AAPL"),
        (exchange.position, "X"),
        (exchange.asset, "X"),
    ]:
        no = refusal(call, argument)
        assert (no.http, no.code) == (404, 40410000)


# ---------------------------------------------------------------------------------------------------- hours
OPEN = 1_772_461_800 * SECOND  # 2026-03-02 09:30 New York
CLOSE = OPEN + 23_400 * SECOND


def timed(**settings):
    ex = Exchange(INSTRUMENTS, calendar=Calendar(), always_open=False, **settings)
    ex.on_market(quote("189.50", 300, "189.53", 60, OPEN + SECOND))
    return ex


def test_day_orders_end_with_the_session_and_gtc_orders_rest():
    ex = timed()
    day = ex.submit(body(kind="limit", limit_price="189.00"), OPEN + 2 * SECOND)
    gtc = ex.submit(body(kind="limit", limit_price="189.10", tif="gtc"), OPEN + 2 * SECOND)
    assert day["expires_at"] == "2026-03-02T21:00:00Z"
    ex.take_updates()
    ex.on_market(np.concatenate([quote("189.50", 300, "189.53", 70, CLOSE - 1), trade("188", 500, CLOSE + SECOND)]))
    assert [(u["event"], u["order"]["id"], u["timestamp"]) for _, u in ex.take_updates()] == [
        ("expired", day["id"], "2026-03-02T21:00:00Z")
    ]
    assert ex.order(gtc["id"])["status"] == "new"  # not filled after hours
    assert Decimal(ex.account()["buying_power"]) == 200_000 - 1891
    ex.on_market(trade("188", 500, OPEN + 86_400 * SECOND + 1))
    assert [u["event"] for _, u in ex.take_updates()] == ["fill"]


def test_orders_wait_for_the_opening():
    ex = timed()
    order = ex.submit(body(tif="gtc"), CLOSE + 3600 * SECOND)
    assert order["status"] == "accepted"
    assert ex.take_updates() == []
    assert refusal(ex.replace, order["id"], {"qty": "5"}, CLOSE + 3600 * SECOND).http == 422
    ex.advance(OPEN + 86_400 * SECOND)
    assert [u["event"] for _, u in ex.take_updates()] == ["new", "fill"]


def test_extended_hours_orders_work_after_the_close():
    ex = timed()
    ex.submit(body(kind="limit", limit_price="189.60", extended_hours=True), CLOSE + SECOND)
    assert [u["event"] for _, u in ex.take_updates()] == ["new", "fill"]
    rests = ex.submit(body(kind="limit", limit_price="189.00", extended_hours=True), CLOSE + SECOND)
    assert rests["expires_at"] == "2026-03-03T01:00:00Z"
    ex.take_updates()
    ex.advance(CLOSE + 4 * 3600 * SECOND)
    assert [u["event"] for _, u in ex.take_updates()] == ["expired"]


def test_a_new_day_keeps_yesterdays_worth():
    ex = Exchange(INSTRUMENTS)
    ex.on_market(np.concatenate([quote("189.50", 300, "189.53", 60, OPEN), trade("189.50", 1, OPEN)]))
    ex.submit(body(), OPEN)
    ex.on_market(trade("190", 1, OPEN + 86_400 * SECOND))
    ex.on_market(trade("191", 1, OPEN + 86_400 * SECOND + 1))
    account, position = ex.account(), ex.position("AAPL")
    assert (account["last_equity"], account["balance_asof"]) == ("99999.7", "2026-03-03")
    assert (position["lastday_price"], position["unrealized_intraday_pl"], position["unrealized_pl"]) == ("189.5", "15", "14.7")


# ---------------------------------------------------------------------------------------------------- the official client's models
def test_alpaca_py_reads_what_goes_out(exchange):
    exchange.submit(body(qty="100"), T)
    exchange.on_market(quote("189.50", 300, "189.53", 90))
    exchange.submit(body("sell", "5", "limit", "gtc", limit_price="200"), T)
    exchange.submit(body("buy", "5", "stop_limit", "gtc", "MSFT", limit_price="500", stop_price="490"), T)
    for order in exchange.orders("all"):
        assert str(alpaca.Order(**order).id) == order["id"]
    updates = [alpaca.TradeUpdate(**data) for _, data in exchange.take_updates()]
    assert [u.event for u in updates] == ["new", "partial_fill", "fill", "new", "new"]
    assert updates[1].qty == 60
    assert alpaca.Position(**exchange.position("AAPL")).qty == "100"
    assert alpaca.TradeAccount(**exchange.account()).multiplier == "2"
    for asset in exchange.assets():
        assert alpaca.Asset(**asset).tradable
    row = exchange.activities()[0]
    assert alpaca.TradeActivity(**row, account_id=exchange.account()["id"]).cum_qty == 100
    assert row["id"].split("::")[1] != str(updates[2].execution_id)
    assert UUID(row["id"].split("::")[1])


# ---------------------------------------------------------------------------------------------------- everything at once
class Oracle:
    """The account in Decimals, from what went out alone."""

    def __init__(self, ex):
        self.ex = ex
        self.cash = Decimal(ex.account()["cash"])
        self.qty = {"AAPL": Decimal(0), "MSFT": Decimal(0)}
        self.cost = dict(self.qty)
        self.reserve = {}  # order id -> price held for each open share
        self.open = {}
        self.seen = set()
        self.traded = {}  # order id -> shares that it and the orders before it traded

    def take(self):
        """Book the updates; the (side, qty) of the fills among them."""
        fills = []
        for _, u in self.ex.take_updates():
            order = u["order"]
            if u["event"] in ("fill", "partial_fill"):
                sign = 1 if order["side"] == "buy" else -1
                qty, px = Decimal(u["qty"]), Decimal(u["price"])
                self.cash -= sign * qty * px
                self.book(order["symbol"], sign * qty, px)
                assert Decimal(u["position_qty"]) == self.qty[order["symbol"]]
                assert u["execution_id"] not in self.seen
                self.seen.add(u["execution_id"])
                fills.append((order["symbol"], order["side"], qty, px, order["type"]))
                if order["limit_price"]:
                    assert (px - Decimal(order["limit_price"])) * sign <= 0
            self.open[order["id"]] = order
            self.traded[order["id"]] = self.traded.get(order["replaces"], 0) + Decimal(order["filled_qty"])
            if order["status"] in ("filled", "canceled", "replaced", "expired"):
                del self.open[order["id"]]
        return fills

    def book(self, symbol, qty, px):
        """Cost basis as the books of a broker: a reduction takes its part out, rounded down to 1e-18."""
        unit = Decimal(10) ** -18
        old = self.qty[symbol]
        closed = min(abs(qty), abs(old)) if old * qty < 0 else Decimal(0)
        with localcontext(prec=60):
            if closed:
                self.cost[symbol] -= (self.cost[symbol] * closed / abs(old)).quantize(unit, "ROUND_FLOOR")
        opened = abs(qty) - closed
        self.cost[symbol] += (opened if qty > 0 else -opened) * px
        self.qty[symbol] = old + qty

    def check(self, marks):
        account = self.ex.account()
        assert Decimal(account["cash"]) == self.cash
        values = {s: q * marks[s] for s, q in self.qty.items()}
        equity = self.cash + sum(values.values())
        assert Decimal(account["equity"]) == equity
        held = Decimal(0)
        for order in self.open.values():
            if order["position_intent"].endswith("open"):
                held += (Decimal(order["qty"]) - self.traded[order["id"]]) * self.reserve[order["id"]]
        power = 2 * equity - sum(abs(v) for v in values.values()) - held
        assert Decimal(account["buying_power"]) == max(0, power)
        assert {p["symbol"]: Decimal(p["qty"]) for p in self.ex.positions()} == {s: q for s, q in self.qty.items() if q}
        assert all(Decimal(p["cost_basis"]) == self.cost[p["symbol"]] for p in self.ex.positions())
        assert {o["id"] for o in self.ex.orders(limit=10**6)} == set(self.open)


def held_price(request, ask):
    """What a share of an opening order holds back, by the written rule."""
    cent = Decimal("0.01")
    limit, stop = (Decimal(request[k]) if request.get(k) else None for k in ("limit_price", "stop_price"))
    if request["side"] == "buy":
        at = limit or (stop or ask) * Decimal("1.025")
        return max(at.quantize(cent, "ROUND_FLOOR"), limit or stop or ask)
    return max(limit or 0, stop or 0, ask * Decimal("1.03"))


def attempt(call, *args):
    """The answer, or None where the venue refused for money, shares or form."""
    try:
        return call(*args)
    except VenueRefusal as no:
        if no.http not in (403, 422):
            raise
        return None


def random_request(rng, px, count):
    kind = rng.choice(["market", "limit", "limit", "limit", "stop", "stop_limit"])
    request = body(
        rng.choice(["buy", "sell"]),
        rng.choice([1, 7, 20, "55", 300]),
        kind,
        rng.choice(["day", "gtc", "ioc", "fok"]),
        rng.choice(["AAPL", "MSFT"]),
        client_order_id=f"c{count if rng.random() < 0.95 else rng.randint(0, count)}",
    )
    cents = px[request["symbol"]]
    if "limit" in kind:
        request["limit_price"] = str(Decimal(cents + rng.randint(-6, 6)) / 100)
    if "stop" in kind:
        request["stop_price"] = str(Decimal(cents + rng.randint(-6, 6)) / 100)
    return request


@pytest.mark.parametrize(("seed", "steps"), [(1, 2500), (2, 2500), pytest.param(3, 20_000, marks=pytest.mark.nightly)])
def test_a_random_client_keeps_the_account_exact(seed, steps):
    rng = random.Random(seed)
    ex = Exchange(INSTRUMENTS, cash="60000", seed=seed)
    oracle = Oracle(ex)
    px = {"AAPL": 10_000, "MSFT": 20_000}  # cents
    number = {"AAPL": 1, "MSFT": 2}
    shown, taken, last, asks, accepted = {}, {}, {}, {}, 0
    for count in range(steps):
        now = T + count * SECOND
        what = rng.random()
        symbol = rng.choice(["AAPL", "MSFT"])
        allowed = None
        if what < 0.35 or symbol not in shown:
            px[symbol] += rng.randint(-2, 2)
            sides = {"buy": (px[symbol] + rng.randint(1, 3), rng.randint(1, 90)), "sell": (px[symbol], rng.randint(1, 90))}
            for side, offer in sides.items():
                if shown.get(symbol, {}).get(side) != offer:
                    taken[symbol, side] = 0
            shown[symbol] = sides
            asks[symbol] = Decimal(sides["buy"][0]) / 100
            (bid, bid_qty), (ask, ask_qty) = sides["sell"], sides["buy"]
            ex.on_market(quote(str(Decimal(bid) / 100), bid_qty, str(Decimal(ask) / 100), ask_qty, now, number[symbol]))
        elif what < 0.5:
            print_px, allowed = Decimal(px[symbol] + rng.randint(-1, 4)) / 100, rng.randint(1, 60)
            last[symbol] = print_px
            ex.on_market(trade(str(print_px), allowed, now, number[symbol]))
        elif what < 0.85:
            request = random_request(rng, px, count)
            if request["symbol"] in shown:
                symbol = request["symbol"]
                if order := attempt(ex.submit, request, now):
                    accepted += 1
                    oracle.reserve[order["id"]] = held_price(request, asks[symbol])
        elif oracle.open:
            order = oracle.open[rng.choice(sorted(oracle.open))]
            symbol = order["symbol"]
            if what < 0.93:
                ex.cancel(order["id"], now)
            else:
                change = {"qty": str(int(Decimal(order["qty"])) + rng.randint(-3, 3))}
                if order["limit_price"]:
                    change["limit_price"] = str(Decimal(px[symbol] + rng.randint(-6, 6)) / 100)
                if new := attempt(ex.replace, order["id"], change, now):
                    oracle.reserve[new["id"]] = held_price({**order, **change}, asks[symbol])
        fills = oracle.take()
        for name, side, qty, _, kind in fills:
            if allowed is None or kind == "stop":  # a print triggers stops, which take what is displayed
                taken[name, side] = taken.get((name, side), 0) + qty
                assert taken[name, side] <= shown[name][side][1], "the market did not offer this"
        if allowed is not None:
            assert sum(qty for _, _, qty, _, kind in fills if kind in ("market", "limit")) <= allowed
        marks = {s: last.get(s) or Decimal(shown[s]["sell"][0] if s in shown else 0) / 100 for s in px}
        oracle.check(marks)
        if count % (steps // 5) == 250:
            saved = ex.save()
            assert Exchange.load(saved, INSTRUMENTS).account() == ex.account()
    assert accepted > steps // 10
    assert len(ex.truth()["fills"]) > steps // 20
    assert ex.truth()["refused"]


# ---------------------------------------------------------------------------------------------------- restarts, determinism
def test_a_restart_finds_everything(exchange):
    exchange.submit(body(qty="40", client_order_id="a"), T)
    exchange.submit(body("sell", "5", "limit", "gtc", limit_price="190", client_order_id="b"), T)
    exchange.submit(body("sell", "5", "stop", "gtc", stop_price="180", client_order_id="c"), T)
    exchange.cancel_all(T + 1)
    exchange.submit(body("sell", "5", "limit", "gtc", limit_price="190", client_order_id="d"), T + 2)
    again = Exchange.load(exchange.save(), INSTRUMENTS)
    assert again.truth() == exchange.truth()
    assert again.account() == exchange.account()
    assert again.positions() == exchange.positions()
    assert again.activities() == exchange.activities()
    assert again.save() == exchange.save()
    assert again.take_updates() == []
    again.on_market(quote("190.01", 50, "190.02", 50, T + 3))
    assert [(u["event"], u["order"]["client_order_id"], u["price"]) for _, u in again.take_updates()] == [("fill", "d", "190")]
    ids = {o["id"] for o in again.orders("all")} | {a["id"] for a in again.activities()}
    assert len(ids) == 4 + 2
    with pytest.raises(DataError):
        Exchange.load(b'{"seed": 1', INSTRUMENTS)
    with pytest.raises(DataError, match="AAPL"):
        Exchange.load(exchange.save(), INSTRUMENTS[1:])


def test_after_a_restart_orders_stand_behind_what_is_displayed(exchange):
    exchange.submit(body(kind="limit", qty="10", limit_price="189.50"), T)
    again = Exchange.load(exchange.save(), INSTRUMENTS)
    again.on_market(trade("189.50", 1000, T + 1))
    assert again.take_updates() == []
    again.on_market(np.concatenate([quote("189.50", 300, "189.53", 60, T + 2), trade("189.50", 305, T + 3)]))
    assert [e[:4] for e in events(again)] == [("partial_fill", "partially_filled", "189.5", "5")]


def test_the_same_calls_give_the_same_bytes():
    def life(seed):
        ex = Exchange(INSTRUMENTS, seed=seed)
        ex.on_market(quote("189.50", 300, "189.53", 60))
        ex.submit(body(qty="80"), T)
        ex.on_market(quote("189.50", 300, "189.54", 60, T + 5))
        return repr(ex.take_updates()), ex.save()

    assert life(1) == life(1)
    assert life(1) != life(2)


def test_slices_of_the_market_make_no_difference():
    rng = random.Random(9)
    rows = []
    for i in range(400):
        px, qty, ts = 18_900 + rng.randint(-9, 9), rng.randint(1, 50), CLOSE - 200 * SECOND + i * SECOND
        text, above = str(Decimal(px) / 100), str(Decimal(px + 2) / 100)
        rows.append(quote(text, qty, above, qty, ts) if i % 3 else trade(text, qty, ts, flags=int(Flag.INELIGIBLE) * (i % 2)))
    batch = np.concatenate(rows)
    lives = []
    for step in (1, 13, 400):
        ex = timed(seed=4)
        for i in (-30, -8, -6, -4, -2, 1, 3, 5, 7, 30):
            side = "buy" if i < 0 else "sell"
            ex.submit(body(side, "20", "limit", limit_price=str(Decimal(18_900 + i) / 100)), OPEN + 60 * SECOND)
        for begin in range(0, 400, step):
            ex.on_market(batch[begin : begin + step])
        lives.append((ex.take_updates(), ex.save()))
    assert lives[0] == lives[1] == lives[2]
    assert {u["event"] for _, u in lives[0][0]} >= {"fill", "expired"}


@pytest.mark.parametrize(
    ("ns", "text"),
    [
        (T, "2026-03-02T15:04:06Z"),
        (T + 1, "2026-03-02T15:04:06.000000001Z"),
        (T + 100_000_000, "2026-03-02T15:04:06.1Z"),
        (0, "1970-01-01T00:00:00Z"),
    ],
)
def test_times_have_the_digits_they_need(ns, text):
    assert format_time(ns) == text
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?Z", text)
