"""Multi-leg orders: shapes, money, fills in proportion or not at all."""

from decimal import Decimal

import alpaca.trading.models as alpaca
import pytest
from tests.venues.sim.option_market import NEAR, SECOND, T, call, exchange, fills, order, package, put, quote

from pyrt.clock import MINUTE
from pyrt.venues.sim.exchange.orders import VenueRefusal

pytestmark = pytest.mark.row("X08")

DEBIT = [(call(190), "buy", 1), (call(195), "sell", 1)]
CREDIT = [(put(185), "sell", 1), (put(180), "buy", 1)]
CONDOR = [(put(180), "buy", 1), (put(185), "sell", 1), (call(195), "sell", 1), (call(200), "buy", 1)]


def power(venue):
    return Decimal(venue.account()["options_buying_power"])


def test_the_order_is_shown_as_alpaca_shows_it() -> None:
    venue = exchange()
    body = package(DEBIT, 2, "1.00", client_order_id="spread-1")
    shown = venue.submit(body, T + SECOND)
    assert [shown[key] for key in ("symbol", "side", "asset_id", "asset_class", "position_intent")] == [""] * 5
    assert (shown["order_class"], shown["limit_price"], shown["qty"], shown["client_order_id"]) == ("mleg", "1", "2", "spread-1")
    first, second = shown["legs"]
    assert (first["symbol"], first["side"], first["ratio_qty"], first["position_intent"]) == (call(190), "buy", "1", "buy_to_open")
    assert (second["side"], second["position_intent"], second["qty"]) == ("sell", "sell_to_open", "2")
    assert len({shown["id"], first["id"], second["id"]}) == 3
    assert first["type"] == first["order_type"] == ""
    assert set(first) == set(shown)
    parsed = alpaca.Order(**venue.order(shown["id"]))
    assert parsed.legs[0].ratio_qty == "1"
    assert parsed.symbol is None
    nested, flat = venue.orders(nested=True), venue.orders()
    assert [row["id"] for row in nested] == [shown["id"]]
    assert len(nested[0]["legs"]) == 2
    assert len(flat) == 3
    assert all(row["legs"] is None for row in flat)
    assert [row["id"] for row in venue.orders(nested=True, symbols=[call(195)])] == [shown["id"]]


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"legs": DEBIT[:1]}, "2 to 4 legs"),
        ({"legs": [*CONDOR, (call(205), "buy", 1)]}, "2 to 4 legs"),
        ({"legs": [(call(190), "buy", 2), (call(195), "sell", 2)]}, "relatively prime"),
        ({"legs": [(call(190), "buy", 1), (call(190), "sell", 1)]}, "unique"),
        ({"legs": [(call(190), "buy", 1), (call(410, root="MSFT"), "sell", 1)]}, "same underlying"),
        ({"legs": [(call(190), "buy", 1), ("AAPL", "sell", 1)]}, "not found"),
        ({"legs": [(call(190), "buy", 0), (call(195), "sell", 1)]}, "ratio_qty"),
        ({"symbol": "AAPL"}, "symbol is not allowed"),
        ({"limit_price": "1.005"}, "two decimals"),
        ({"limit_price": None}, "limit price"),
        ({"type": "stop"}, "not supported"),
        ({"time_in_force": "fok"}, "not supported"),
        ({"extended_hours": True}, "extended hours"),
        ({"qty": "1.5"}, "qty"),
        ({"stop_price": "3"}, "stop_price"),
    ],
)
def test_what_a_package_may_not_be(more, message) -> None:
    venue = exchange()
    parts = more.get("legs", DEBIT)
    body = package(parts, 1, "1.00") | {key: value for key, value in more.items() if key != "legs"}
    with pytest.raises(VenueRefusal, match=message) as caught:
        venue.submit(body, T + SECOND)
    assert caught.value.http == 422
    assert not venue.state.rows
    assert venue.state.refused[-1]["verb"] == "submit"


def test_a_client_order_id_is_used_once() -> None:
    venue = exchange()
    shown = venue.submit(package(DEBIT, 1, "0.01", client_order_id="one"), T + SECOND)
    with pytest.raises(VenueRefusal, match="unique"):
        venue.submit(package(DEBIT, 1, "0.01", client_order_id="one"), T + SECOND)
    assert venue.order_by_cid("one")["id"] == shown["id"]


def test_a_debit_spread_costs_its_net_price() -> None:
    venue = exchange()
    venue.submit(package(DEBIT, 2), T + SECOND)
    (update,) = fills(venue)
    assert update["event"] == "fill"
    long, short = update["legs"]
    assert (long["qty"], long["position_qty"], short["position_qty"]) == ("2", "2", "-2")
    assert Decimal(update["price"]) == Decimal(long["price"]) - Decimal(short["price"])
    assert update["order"]["filled_avg_price"] == update["price"]
    assert [leg["status"] for leg in update["order"]["legs"]] == ["filled", "filled"]
    assert power(venue) == 100_000 - 200 * Decimal(update["price"])
    assert venue.state.accounts[venue.default].reserved == 0
    assert {a["symbol"] for a in venue.activities()} == {call(190), call(195)}
    assert alpaca.TradeUpdate(**update).order.order_class == "mleg"


def test_a_credit_spread_reserves_its_greatest_loss() -> None:
    venue = exchange()
    open_ = venue.submit(package(CREDIT, 1, "-4.90"), T + SECOND)
    assert power(venue) == 100_000 - 10  # width 5.00 less 4.90 to be received
    venue.cancel(open_["id"], T + SECOND)
    assert power(venue) == 100_000
    venue.submit(package(CREDIT, 1, "-0.01"), T + 2 * SECOND)
    got = -100 * Decimal(fills(venue)[0]["price"])
    assert got > 1
    assert power(venue) == 100_000 - 500 + got


def test_an_iron_condor_needs_its_wider_wing_only() -> None:
    venue = exchange(cash="1000")
    venue.submit(package(CONDOR), T + SECOND)
    got = -100 * Decimal(fills(venue)[0]["price"])
    assert power(venue) == 1_000 - 500 + got
    with pytest.raises(VenueRefusal, match="insufficient options buying power"):
        venue.submit(package(CONDOR, 2, "-0.10"), T + 2 * SECOND)


@pytest.mark.parametrize(
    "parts",
    [
        [(call(190), "buy", 1), (call(195), "sell", 2)],  # a ratio spread is naked above
        [(call(195), "sell", 1), (put(185), "sell", 1)],  # a short strangle
        [(call(195, NEAR), "buy", 1), (call(195), "sell", 1)],  # the long leg ends first
    ],
)
def test_calls_are_never_naked(parts) -> None:
    with pytest.raises(VenueRefusal, match="covered call") as caught:
        exchange().submit(package(parts), T + SECOND)
    assert caught.value.http == 403


def test_a_package_rests_until_its_net_meets_the_limit() -> None:
    venue = exchange()
    desk = venue.options

    def net():
        return desk.quote(desk.contract(call(190))).ask - desk.quote(desk.contract(call(195))).bid

    limit = net() - 300_000_000
    shown = venue.submit(package(DEBIT, 1, str(Decimal(limit).scaleb(-9))), T + SECOND)
    assert not fills(venue)
    for n in range(1, 40):
        venue.on_market(quote(str(190 - n / 4), T + (1 + n) * SECOND))
        if found := fills(venue):
            assert Decimal(found[0]["price"]) <= Decimal(limit).scaleb(-9)
            break
        assert venue.order(shown["id"])["status"] == "new"
    assert venue.order(shown["id"])["status"] == "filled"


def test_units_fill_in_proportion_to_the_thinnest_leg() -> None:
    venue = exchange(cash="1000000")
    desk = venue.options
    parts = [(call(190), "buy", 2), (call(195), "sell", 1)]
    long, short = (desk.quote(desk.contract(symbol)) for symbol in (call(190), call(195)))
    shown = venue.submit(package(parts, 90), T + SECOND)
    (update,) = fills(venue)
    units = min(long.ask_qty // 2, short.bid_qty)
    assert (update["event"], update["qty"]) == ("partial_fill", str(units))
    assert [leg["qty"] for leg in update["legs"]] == [str(2 * units), str(units)]
    venue.on_market(quote("190", T + 30 * SECOND))
    assert not fills(venue)
    for minute in range(1, 40):
        venue.on_market(quote("190", T + minute * MINUTE))
        for each in fills(venue):
            a, b = each["order"]["legs"]
            assert int(a["filled_qty"]) == 2 * int(b["filled_qty"]) == 2 * int(each["order"]["filled_qty"])
    assert venue.order(shown["id"])["status"] == "filled"
    assert (venue.position(call(190))["qty"], venue.position(call(195))["qty"]) == ("180", "-90")


def test_a_single_order_and_a_package_share_what_is_shown() -> None:
    venue = exchange(cash="1000000")
    desk = venue.options
    size = desk.quote(desk.contract(call(190))).ask_qty
    venue.submit(order(call(190), "buy", size), T + SECOND)
    venue.submit(package(DEBIT, 1), T + SECOND)
    done = fills(venue)
    assert [u["order"]["symbol"] for u in done] == [call(190)]


def test_cancel_and_replace_move_the_whole() -> None:
    venue = exchange()
    shown = venue.submit(package(DEBIT, 2, "0.05"), T + SECOND)
    leg = shown["legs"][0]["id"]
    for refused in (lambda: venue.cancel(leg, T + SECOND), lambda: venue.replace(leg, {"qty": "3"}, T + SECOND)):
        with pytest.raises(VenueRefusal, match="leg of a multi-leg order"):
            refused()
    new = venue.replace(shown["id"], {"qty": "3", "limit_price": "0.06"}, T + 2 * SECOND)
    assert (new["replaces"], new["qty"], new["limit_price"], len(new["legs"])) == (shown["id"], "3", "0.06", 2)
    old = venue.order(shown["id"])
    assert (old["status"], old["replaced_by"]) == ("replaced", new["id"])
    assert {each["status"] for each in old["legs"]} == {"replaced"}
    assert power(venue) == 100_000 - 18
    events = [(u["event"], u["order"]["id"]) for _, u in venue.take_updates()]
    assert events == [("new", shown["id"]), ("replaced", shown["id"]), ("new", new["id"])]
    assert [http for _, http, _ in venue.cancel_all(T + 3 * SECOND)] == [200]
    assert {row["status"] for row in venue.orders("all")} == {"replaced", "canceled"}
    assert power(venue) == 100_000
    with pytest.raises(VenueRefusal, match="already"):
        venue.cancel(new["id"], T + 4 * SECOND)


def test_a_partly_filled_package_is_replaced_to_a_new_total() -> None:
    venue = exchange(cash="1000000")
    shown = venue.submit(package(DEBIT, 90), T + SECOND)
    done = int(fills(venue)[0]["qty"])
    with pytest.raises(VenueRefusal, match="filled"):
        venue.replace(shown["id"], {"qty": str(done)}, T + 2 * SECOND)
    new = venue.replace(shown["id"], {"qty": str(done + 1)}, T + 2 * SECOND)
    venue.take_updates()
    venue.on_market(quote("190", T + MINUTE))
    assert venue.order(new["id"])["filled_qty"] == "1"
    assert venue.order(new["id"])["status"] == "filled"
    assert venue.position(call(190))["qty"] == str(done + 1)


def test_a_spread_is_closed_as_a_package_without_money() -> None:
    venue = exchange(cash="1000")
    venue.submit(package(CREDIT, 1), T + SECOND)
    fills(venue)
    back = [(symbol, "sell" if side == "buy" else "buy", ratio) for symbol, side, ratio in CREDIT]
    shown = venue.submit(package(back, 1, "3.00"), T + MINUTE)
    assert [leg["position_intent"] for leg in shown["legs"]] == ["buy_to_close", "sell_to_close"]
    assert fills(venue)
    assert not venue.positions()
    assert power(venue) == Decimal(venue.account()["cash"])


def test_closing_more_than_is_held() -> None:
    venue = exchange()
    venue.submit(order(call(190), "buy"), T + SECOND)
    parts = [(call(190), "sell", 1), (call(195), "buy", 1)]
    with pytest.raises(VenueRefusal, match="insufficient qty"):
        venue.submit(package(parts, 2), T + 2 * SECOND)
    assert venue.submit(package(parts, 1), T + 2 * SECOND)["legs"][0]["position_intent"] == "sell_to_close"


def test_day_packages_end_with_the_day() -> None:
    from pyrt.calendar import Calendar

    venue = exchange(calendar=Calendar(), always_open=False)
    shown = venue.submit(package(DEBIT, 1, "0.01"), T + SECOND)
    venue.advance(T + 12 * 3600 * SECOND)
    done = venue.order(shown["id"])
    assert (done["status"], [leg["status"] for leg in done["legs"]]) == ("expired", ["expired", "expired"])
    assert not venue.orders()
    assert power(venue) == 100_000
