"""Bracket, OCO and OTO orders at the exchange."""

from decimal import Decimal

import alpaca.trading.models as alpaca
import numpy as np
import pytest
from tests.venues.sim.orders_world import INSTRUMENTS, SECOND, T, body, bracket, opened, power, quote, refusal, told, trade

from pyrt.calendar import Calendar
from pyrt.errors import ConfigError
from pyrt.venues.sim.exchange.exchange import Exchange

pytestmark = pytest.mark.row("X08")

OPEN = 1_772_461_800 * SECOND  # 2026-03-02 09:30 New York
CLOSE = OPEN + 23_400 * SECOND


def held(ex):
    position = ex.position("AAPL")
    return position["qty"], position["qty_available"]


def oco(target="199", stop="180", stop_limit=None, **more):
    return bracket(target, stop, stop_limit, "oco", **{"side": "sell", "kind": "limit", "tif": "gtc", **more})


# ---------------------------------------------------------------------------------------------------- bracket
def test_a_bracket_waits_for_its_entry_and_one_exit_ends_the_other():
    ex = opened()
    answer = ex.submit(bracket(qty="80", client_order_id="mine"), T)
    legs = answer["legs"]
    assert [(leg["type"], leg["side"], leg["status"], leg["limit_price"], leg["stop_price"], leg["qty"]) for leg in legs] == [
        ("limit", "sell", "held", "199", None, "80"),
        ("stop", "sell", "held", None, "180", "80"),
    ]
    assert {answer["order_class"], *(leg["order_class"] for leg in legs)} == {"bracket"}
    assert len({answer["client_order_id"], *(leg["client_order_id"] for leg in legs)}) == 3
    assert told(ex) == [
        ("held", "take_profit", "held", None),
        ("held", "stop_loss", "held", None),
        ("new", "entry", "new", None),
        ("partial_fill", "entry", "partially_filled", "60"),
    ]
    assert held(ex) == ("60", "60")
    ex.on_market(trade("170", 500, T + 1))  # held legs do not hear the market
    assert told(ex) == []
    ex.on_market(quote("189.50", 300, "189.53", 90, T + 2))
    assert told(ex) == [("fill", "entry", "filled", "20"), ("new", "take_profit", "new", None)]
    assert held(ex) == ("80", "0")
    assert ex.order(legs[1]["id"])["status"] == "held"
    ex.on_market(quote("199.00", 80, "199.10", 90, T + 3))
    assert told(ex) == [("fill", "take_profit", "filled", "80"), ("canceled", "stop_loss", "canceled", None)]
    assert ex.positions() == []
    assert ex.orders() == []
    assert alpaca.Order(**ex.order(answer["id"], nested=True)).legs[0].limit_price == "199"


def test_the_stop_takes_the_shares_over_when_it_is_reached():
    ex = opened()
    ex.submit(bracket(qty="10", stop_limit="179.50"), T)
    told(ex)
    ex.on_market(quote("179.40", 300, "179.60", 60, T + 1))
    ex.on_market(trade("180", 1, T + 2))
    assert told(ex) == [("canceled", "take_profit", "canceled", None), ("new", "stop_loss", "new", None)]
    assert held(ex) == ("10", "0")
    ex.on_market(quote("179.50", 4, "179.60", 60, T + 3))
    assert told(ex) == [("partial_fill", "stop_loss", "partially_filled", "4")]
    ex.on_market(quote("179.60", 40, "179.70", 60, T + 4))
    assert told(ex) == [("fill", "stop_loss", "filled", "6")]


def test_the_second_leg_may_be_shown_as_new():
    ex = opened(second_leg="new")
    ex.submit(bracket(), T)
    assert told(ex)[-2:] == [("new", "take_profit", "new", None), ("new", "stop_loss", "new", None)]
    for wrong, text in (({"second_leg": "x"}, "held or new"), ({"queue": "x"}, "pessimistic or proportional")):
        with pytest.raises(ConfigError, match=text):
            opened(**wrong)


def test_a_partial_fill_of_one_exit_shrinks_the_other():
    ex = opened()
    legs = ex.submit(bracket(qty="50"), T)["legs"]
    ex.on_market(quote("199.00", 20, "199.10", 90, T + 1))
    told(ex)
    assert (ex.order(legs[0]["id"])["filled_qty"], ex.order(legs[1]["id"])["qty"]) == ("20", "30")
    assert held(ex) == ("30", "0")
    ex.on_market(np.concatenate([quote("179.90", 300, "180.10", 60, T + 2), trade("179.95", 1, T + 3)]))
    assert told(ex) == [
        ("canceled", "take_profit", "canceled", None),
        ("new", "stop_loss", "new", None),
        ("fill", "stop_loss", "filled", "30"),
    ]
    assert ex.positions() == []


@pytest.mark.parametrize("member", [0, 1, 2])
@pytest.mark.parametrize("is_filled", [False, True])
def test_canceling_any_member_cancels_the_group(member, is_filled):
    ex = opened()
    more = {} if is_filled else {"kind": "limit", "limit_price": "189.00"}
    before = power(ex)
    answer = ex.submit(bracket(**more), T)
    told(ex)
    ids = [answer["id"], *(leg["id"] for leg in answer["legs"])]
    if is_filled and member == 0:
        assert refusal(ex.cancel, ids[0], T).http == 422
        return
    ex.cancel(ids[member], T + 1)
    assert {event for event, *_ in told(ex)} == {"canceled"}
    assert ex.orders() == []
    if not is_filled:
        assert power(ex) == before


def test_cancel_all_tells_each_member_once():
    ex = opened()
    ex.submit(bracket(kind="limit", limit_price="189"), T)
    told(ex)
    assert [http for _, http, _ in ex.cancel_all(T)] == [200, 200, 200]
    assert [(event, who) for event, who, *_ in told(ex)] == [
        ("canceled", "entry"),
        ("canceled", "take_profit"),
        ("canceled", "stop_loss"),
    ]


def test_a_group_is_paid_for_once():
    ex = opened()
    before = Decimal(power(ex))
    ex.submit(bracket(kind="limit", limit_price="189", qty="100"), T)
    assert before - Decimal(power(ex)) == 18_900


def test_a_short_bracket():
    ex = opened()
    answer = ex.submit(bracket("180", "199", side="sell"), T)
    assert [(leg["side"], leg["position_intent"]) for leg in answer["legs"]] == [("buy", "buy_to_close")] * 2
    told(ex)
    ex.on_market(quote("179.50", 300, "179.90", 60, T + 1))
    assert [(event, who) for event, who, *_ in told(ex)] == [("fill", "take_profit"), ("canceled", "stop_loss")]
    assert ex.positions() == []


def test_exits_take_no_more_than_what_other_orders_left():
    ex = opened()
    legs = ex.submit(bracket(qty="80", kind="limit", limit_price="189.53"), T)["legs"]  # 60 filled
    ex.submit(body("sell", "50", "limit", limit_price="195"), T)
    ex.on_market(quote("189.50", 300, "189.53", 90, T + 2))
    assert {ex.order(leg["id"])["qty"] for leg in legs} == {"30"}
    assert held(ex) == ("80", "0")
    ex.on_market(quote("200", 300, "200.10", 90, T + 3))
    assert ex.positions() == []


def test_exits_that_find_no_shares_are_canceled():
    ex = opened()
    ex.submit(bracket(qty="80", kind="limit", limit_price="189.53"), T)
    other = ex.submit(body("sell", "60", "limit", limit_price="195"), T)
    ex.force_fill(other["id"], "100", "195", T + 1)
    told(ex)
    ex.on_market(quote("189.50", 300, "189.53", 90, T + 2))
    assert told(ex) == [
        ("fill", "entry", "filled", "20"),
        ("canceled", "take_profit", "canceled", None),
        ("canceled", "stop_loss", "canceled", None),
    ]
    assert ex.position("AAPL")["qty"] == "-20"


# ---------------------------------------------------------------------------------------------------- OCO, OTO
def test_an_oco_sells_what_is_held_once():
    ex = opened()
    ex.submit(body(qty="10"), T)
    told(ex)
    answer = ex.submit(oco(), T)
    assert (answer["type"], answer["limit_price"], answer["order_class"]) == ("limit", "199", "oco")
    assert [(leg["type"], leg["stop_price"], leg["status"]) for leg in answer["legs"]] == [("stop", "180", "held")]
    assert told(ex) == [("held", "stop_loss", "held", None), ("new", "take_profit", "new", None)]
    assert held(ex) == ("10", "0")
    assert refusal(ex.submit, body("sell", "1"), T).code == 40310000
    ex.on_market(trade("180", 1, T + 1))
    assert told(ex) == [
        ("canceled", "take_profit", "canceled", None),
        ("new", "stop_loss", "new", None),
        ("fill", "stop_loss", "filled", "10"),
    ]


@pytest.mark.parametrize(("target", "stop", "leg"), [("199", None, "limit"), (None, "180", "stop")])
def test_an_oto_has_one_exit(target, stop, leg):
    ex = opened()
    answer = ex.submit(bracket(target, stop, order_class="oto"), T)
    assert [row["type"] for row in answer["legs"]] == [leg]
    assert [event for event, *_ in told(ex)] == ["held", "new", "fill", "new"]
    ex.cancel(answer["legs"][0]["id"], T)
    assert held(ex) == ("10", "10")


# ---------------------------------------------------------------------------------------------------- replace
def test_the_entry_is_replaced_and_keeps_its_legs():
    ex = opened()
    old = ex.submit(bracket(kind="limit", limit_price="189", qty="20"), T)
    told(ex)
    new = ex.replace(old["id"], {"qty": "30", "limit_price": "189.60"}, T)
    assert [(event, who) for event, who, *_ in told(ex)] == [
        ("replaced", "entry"),
        ("new", "entry"),
        ("fill", "entry"),
        ("new", "take_profit"),
    ]
    assert ex.order(old["id"], nested=True)["legs"] is None
    shown = ex.order(new["id"], nested=True)
    assert (shown["order_class"], [leg["id"] for leg in shown["legs"]]) == ("bracket", [leg["id"] for leg in old["legs"]])
    assert {leg["qty"] for leg in shown["legs"]} == {"30"}


@pytest.mark.parametrize("is_filled", [False, True])
def test_a_legs_price_is_replaced_and_it_stays_in_its_group(is_filled):
    ex = opened()
    more = {} if is_filled else {"kind": "limit", "limit_price": "189.00"}
    answer = ex.submit(bracket(**more), T)
    profit, loss = (leg["id"] for leg in answer["legs"])
    told(ex)
    new_loss = ex.replace(loss, {"stop_price": "182"}, T + 1)["id"]
    assert told(ex) == [("replaced", "stop_loss", "replaced", None), ("held", "stop_loss", "held", None)]
    new_profit = ex.replace(profit, {"limit_price": "195"}, T + 2)["id"]
    assert told(ex)[1][:3] == (("new", "take_profit", "new") if is_filled else ("held", "take_profit", "held"))
    assert [leg["id"] for leg in ex.order(answer["id"], nested=True)["legs"]] == [new_profit, new_loss]
    for crossed in ({"stop_price": "196"}, {"stop_price": "195"}):
        assert "take_profit.limit_price must be >" in refusal(ex.replace, new_loss, crossed, T + 2).message
    assert "take_profit.limit_price must be >" in refusal(ex.replace, new_profit, {"limit_price": "181"}, T + 2).message
    assert "follows its entry" in refusal(ex.replace, new_profit, {"qty": "5"}, T + 2).message
    assert refusal(ex.replace, new_profit, {"time_in_force": "ioc"}, T + 2).http == 422
    if is_filled:
        assert held(ex) == ("10", "0")
        ex.on_market(trade("182", 1, T + 3))
        assert [(event, who) for event, who, *_ in told(ex)] == [
            ("canceled", "take_profit"),
            ("new", "stop_loss"),
            ("fill", "stop_loss"),
        ]
        assert ex.positions() == []
    ex.cancel_all(T + 3)
    assert ex.orders() == []


def test_a_stop_that_was_reached_stays_reached_unless_it_moves():
    ex = opened()
    ex.submit(bracket(qty="10", stop_limit="179.50"), T)
    ex.on_market(np.concatenate([quote("179.00", 300, "179.20", 60, T + 1), trade("180", 1, T + 2)]))
    stop = ex.orders()[0]
    assert (stop["type"], stop["status"]) == ("stop_limit", "new")
    moved = ex.replace(stop["id"], {"stop_price": "170", "limit_price": "169"}, T + 3)
    told(ex)
    ex.on_market(trade("175", 1, T + 4))
    assert told(ex) == []
    ex.on_market(trade("170", 1, T + 5))
    assert told(ex) == [("fill", "stop_loss", "filled", "10")]
    assert ex.order(moved["id"])["filled_avg_price"] == "179"
    other = opened()
    other.submit(bracket(qty="10", stop_limit="179.50"), T)
    other.on_market(np.concatenate([quote("179.00", 300, "179.20", 60, T + 1), trade("180", 1, T + 2)]))
    told(other)
    other.replace(other.orders()[0]["id"], {"limit_price": "178"}, T + 3)
    assert told(other)[-1] == ("fill", "stop_loss", "filled", "10")


def test_an_entry_that_is_canceled_half_way_leaves_its_shares_alone():
    ex = opened()
    answer = ex.submit(bracket(qty="80", kind="limit", limit_price="189.53"), T)
    told(ex)
    ex.cancel(answer["id"], T)
    assert {(event, status) for event, _, status, _ in told(ex)} == {("canceled", "canceled")}
    assert held(ex) == ("60", "60")
    assert ex.state.accounts[ex.default].reserved == 0


# ---------------------------------------------------------------------------------------------------- lists, time, wash
def test_nested_lists_roll_legs_up():
    ex = opened()
    answer = ex.submit(bracket(kind="limit", limit_price="189"), T)
    simple = ex.submit(body(kind="limit", limit_price="100"), T)
    ids = [answer["id"], *(leg["id"] for leg in answer["legs"])]
    assert [order["id"] for order in ex.orders(direction="asc")] == [*ids, simple["id"]]
    nested = ex.orders(nested=True, direction="asc")
    assert [(order["id"], len(order["legs"] or ())) for order in nested] == [(ids[0], 2), (simple["id"], 0)]
    ex.on_market(quote("188", 300, "188.10", 60, T + 1))  # the entry is filled: its legs are what is open
    assert [order["id"] for order in ex.orders(nested=True, direction="asc")] == [*ids[1:], simple["id"]]
    assert [order["id"] for order in ex.orders("all", nested=True, direction="asc")] == [ids[0], simple["id"]]


def test_a_day_bracket_ends_with_the_day():
    ex = Exchange(INSTRUMENTS, calendar=Calendar(), always_open=False)
    ex.on_market(quote("189.50", 300, "189.53", 60, OPEN + SECOND))
    ex.submit(bracket(kind="limit", limit_price="189"), OPEN + SECOND)
    ex.submit(bracket(kind="limit", limit_price="189.53", qty="10", symbol="AAPL", tif="gtc"), OPEN + SECOND)
    told(ex)
    ex.advance(CLOSE)
    assert [(event, who) for event, who, *_ in told(ex)] == [
        ("expired", "entry"),
        ("expired", "take_profit"),
        ("expired", "stop_loss"),
    ]
    ex.on_market(trade("170", 1, CLOSE + SECOND))  # gtc exits wait for the next session
    assert told(ex) == []
    ex.on_market(trade("170", 1, OPEN + 86_400 * SECOND + 1))
    assert [(event, who) for event, who, *_ in told(ex)] == [
        ("canceled", "take_profit"),
        ("new", "stop_loss"),
        ("fill", "stop_loss"),
    ]


def test_a_bracket_entered_out_of_hours_works_from_the_open():
    ex = Exchange(INSTRUMENTS, calendar=Calendar(), always_open=False)
    ex.on_market(quote("189.50", 300, "189.53", 60, OPEN + SECOND))
    answer = ex.submit(bracket(tif="gtc"), CLOSE + SECOND)
    assert [answer["status"], *(leg["status"] for leg in answer["legs"])] == ["accepted", "held", "held"]
    told(ex)
    ex.advance(OPEN + 86_400 * SECOND)
    assert [(event, who) for event, who, *_ in told(ex)] == [("new", "entry"), ("fill", "entry"), ("new", "take_profit")]


def test_legs_of_one_group_are_no_wash_trade_but_others_are():
    ex = opened()
    ex.submit(bracket(kind="limit", limit_price="189"), T)
    ex.submit(bracket(kind="limit", limit_price="189.10"), T)  # its entry faces only legs that wait
    entry = ex.orders(side="buy")[0]["id"]
    no = refusal(ex.submit, body("sell", "1", "limit", limit_price="189.10"), T)
    assert (no.code, no.body["existing_order_id"]) == (40310000, entry)
    ex.cancel_all(T)
    ex.submit(bracket(qty="10"), T)
    ex.submit(bracket(qty="1", kind="limit", limit_price="189"), T)  # the stop is held: it meets nobody
    no = refusal(ex.submit, body("buy", "1"), T)  # but the take-profit works
    assert no.message == "potential wash trade detected. use complex orders"


def test_groups_survive_a_restart():
    ex = opened()
    ex.submit(bracket(qty="50"), T)
    ex.on_market(quote("199.00", 20, "199.10", 90, T + 1))
    ex.submit(bracket(qty="10", symbol="AAPL", kind="limit", limit_price="150", target="160", stop="140"), T + 2)
    again = Exchange.load(ex.save(), INSTRUMENTS)
    assert again.save() == ex.save()
    for venue in (ex, again):
        venue.take_updates()
        venue.on_market(np.concatenate([quote("179.90", 300, "180.10", 60, T + 3), trade("179.95", 1, T + 4)]))
    assert told(again) == told(ex) != []
    assert again.positions() == ex.positions()
    assert again.account()["buying_power"] == ex.account()["buying_power"]


def test_a_stop_comes_back_as_it_was_though_its_partner_is_a_later_order():
    ex = opened()
    answer = ex.submit(bracket(qty="50"), T)
    profit, loss = (leg["id"] for leg in answer["legs"])
    new = ex.replace(profit, {"limit_price": "198"}, T + 1)["id"]
    again = Exchange.load(ex.save(), INSTRUMENTS)
    assert again.take_updates() == []
    assert (again.order(loss)["status"], again.order(new)["status"]) == ("held", "new")


REFUSALS = [
    (bracket(target=None), 40010001, "bracket orders require take_profit.limit_price"),
    (bracket(stop=None), 40010001, "bracket orders require stop_loss.stop_price"),
    (bracket(order_class="oto"), 40010001, "exactly one of take_profit and stop_loss"),
    (bracket(order_class=""), 40010001, "bracket, oco and oto orders only"),
    (
        body(order_class="bracket", take_profit={"limit_price": "199"}, stop_loss={"limit_price": "1"}),
        40010001,
        "stop_loss.stop_price",
    ),
    (bracket("180", "199"), 42210000, "take_profit.limit_price must be > stop_loss.stop_price"),
    (bracket("189.53"), 42210000, "take_profit.limit_price must be >= base_price + 0.01"),
    (bracket("199", "189.53"), 42210000, "stop_loss.stop_price must be <= base_price - 0.01"),
    (bracket("189.50", "199", side="sell"), 42210000, "take_profit.limit_price must be <= base_price - 0.01"),
    (bracket("199.001"), 42210000, "sub-penny"),
    (bracket(tif="ioc"), 42210000, "bracket orders must be day or gtc"),
    (bracket(kind="limit", limit_price="189", extended_hours=True), 42210000, "extended hours orders must be simple"),
    (bracket(qty="0.5"), 42210000, "fractional orders must be simple orders"),
    (bracket(qty=None, notional="100"), 42210000, "fractional orders must be simple orders"),
    (bracket(kind="stop", stop_price="195"), 40010001, "bracket orders must be market or limit orders"),
    (bracket(kind="trailing_stop", trail_price="1"), 40010001, "bracket orders must be market or limit orders"),
    (oco(), 42210000, "oco orders must be exit orders"),
    (oco(kind="market"), 40010001, "market orders require no"),
    (oco(limit_price="198"), 40010001, "of an oco order differ"),
    (oco("180", "199"), 42210000, "take_profit.limit_price must be > stop_loss.stop_price"),
]


@pytest.mark.parametrize(("request_body", "code", "text"), REFUSALS)
def test_each_refusal_has_its_code_and_text(request_body, code, text):
    ex = opened()
    before = ex.account(), ex.state.ids
    no = refusal(ex.submit, request_body, T)
    assert (no.http, no.code) == (422, code)
    assert text in no.message
    assert (ex.account(), ex.state.ids) == before
    assert ex.orders("all") == []
    assert ex.take_updates() == []


def test_a_bracket_must_open_a_position():
    ex = opened()
    ex.submit(body(qty="10"), T)
    no = refusal(ex.submit, bracket("180", "199", side="sell"), T)
    assert (no.code, no.message) == (42210000, "bracket orders must be entry orders")
    no = refusal(ex.submit, body(order_class="bracket", take_profit="199", stop_loss={"stop_price": "1"}), T)
    assert no.http == 400


def test_base_price_is_told():
    assert refusal(opened().submit, bracket("189.53"), T).body["base_price"] == "189.53"
