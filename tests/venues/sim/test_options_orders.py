"""Orders in contracts: what may be asked for, what it costs and needs, whom it meets, what it leaves in the account."""

from decimal import Decimal

import alpaca.trading.models as alpaca
import numpy as np
import pytest
from tests.venues.sim.option_market import INSTRUMENTS, NEAR, SECOND, T, call, exchange, fills, order, package, put, quote

from pyrt._core.types import Side
from pyrt.calendar import Calendar
from pyrt.clock import MINUTE
from pyrt.venues.sim.exchange.exchange import Exchange
from pyrt.venues.sim.exchange.orders import VenueRefusal
from pyrt.venues.sim.market import options

pytestmark = pytest.mark.row("X08")


def refused(venue, body, at=T + SECOND):
    before = venue.state.accounts[venue.default], len(venue.state.rows)
    with pytest.raises(VenueRefusal) as caught:
        venue.submit(body, at)
    assert (venue.state.accounts[venue.default], len(venue.state.rows)) == before
    return caught.value


def account(venue):
    return {
        key: Decimal(text)
        for key, text in venue.account().items()
        if key in ("cash", "equity", "options_buying_power", "buying_power")
    }


def shares(venue, qty, at=T + SECOND):
    venue.submit({"symbol": "AAPL", "qty": str(qty), "side": "buy", "type": "market", "time_in_force": "day"}, at)
    venue.take_updates()
    assert venue.position("AAPL")["qty"] == str(qty)


# ---------------------------------------------------------------------------------------------------- listing
def test_contracts_are_listed_around_each_underlying_and_found_by_symbol_and_id() -> None:
    venue = exchange()
    listed = venue.options.contracts
    assert len(listed) == 2 * 7 * 11 * 2
    assert all(number >= 65_536 for number in listed)
    contract = venue.options.contract(call(190))
    shown = venue.submit(order(contract.symbol, "buy"), T + SECOND)
    assert venue.options.contract(shown["asset_id"]) is contract
    assert "has_options" in venue.asset("AAPL")["attributes"]
    assert contract.symbol not in {asset["symbol"] for asset in venue.assets()}


def test_new_strikes_and_days_are_listed_at_midnight_and_ids_stay() -> None:
    venue = exchange()
    before = {c.symbol: c.id for c in venue.options.contracts.values()}
    venue.on_market(quote("215", T + 24 * 3600 * SECOND))
    venue.advance(T + 48 * 3600 * SECOND)
    after = {c.symbol: c.id for c in venue.options.contracts.values()}
    assert before.items() < after.items()
    assert call(240) in after
    assert call(240) not in before
    assert sorted(after.values()) == list(range(65_536, 65_536 + len(after)))


def test_without_a_level_there_are_no_options() -> None:
    venue = Exchange(INSTRUMENTS)
    venue.on_market(quote("190"))
    assert refused(venue, order(call(190), "buy")).http == 422
    assert refused(venue, package([(call(190), "buy", 1), (call(195), "sell", 1)])).http == 422
    assert venue.account()["options_trading_level"] == 0


def test_an_underlying_gets_contracts_when_it_has_a_price() -> None:
    venue = Exchange(INSTRUMENTS, options_level=3, start=T)
    venue.advance(T + 5 * SECOND)
    assert not venue.options.contracts
    venue.on_market(quote("190", T + 6 * SECOND))
    venue.advance(T + 20 * SECOND)
    assert {c.root for c in venue.options.contracts.values()} == {"AAPL"}
    venue.on_market(quote("410", T + 21 * SECOND, 2))
    venue.advance(T + MINUTE)
    assert {c.root for c in venue.options.contracts.values()} == {"AAPL", "MSFT"}


# ---------------------------------------------------------------------------------------------------- what may be asked for
@pytest.mark.parametrize(
    ("more", "code"),
    [
        ({"qty": "1.5"}, 40010001),
        ({"qty": None, "notional": "100"}, 40010001),
        ({"time_in_force": "ioc"}, 40010001),
        ({"extended_hours": True, "type": "limit", "limit_price": "1"}, 40010001),
        ({"type": "limit", "limit_price": "1.005"}, 42210000),
        ({"type": "limit", "limit_price": "0"}, 40010001),
        ({"order_class": "bracket"}, 40010001),
        ({"type": "trailing_stop", "trail_price": "1"}, 40010001),
        ({"position_intent": "buy_to_close"}, 42210000),
    ],
)
def test_what_options_do_not_allow(more, code) -> None:
    refusal = refused(exchange(), order(call(190), "buy") | more)
    assert (refusal.http, refusal.code) == (422, code)


@pytest.mark.parametrize(
    ("level", "body", "http"),
    [
        (0, order(call(190), "buy"), 403),
        (1, order(call(190), "buy"), 403),
        (1, order(put(180), "sell", limit="1.00"), 200),
        (2, order(call(190), "buy"), 200),
        (2, package([(call(190), "buy", 1), (call(195), "sell", 1)]), 403),
        (3, package([(call(190), "buy", 1), (call(195), "sell", 1)]), 200),
    ],
)
def test_levels(level, body, http) -> None:
    venue = exchange(level=level)
    assert venue.account()["options_trading_level"] == level
    if http == 200:
        assert venue.submit(body, T + SECOND)["status"] == "pending_new"
    else:
        assert refused(venue, body).body["options_trading_level"] == level


# ---------------------------------------------------------------------------------------------------- money
def test_a_long_call_costs_its_premium_a_hundredfold() -> None:
    venue = exchange()
    ask = venue.options.quote(venue.options.contract(call(190))).ask
    venue.submit(order(call(190), "buy", 2, position_intent="buy_to_open"), T + SECOND)
    (update,) = fills(venue)
    assert Decimal(update["price"]) == Decimal(ask).scaleb(-9)
    position = venue.position(call(190))
    assert Decimal(position["cost_basis"]) == 200 * Decimal(update["price"])
    assert Decimal(position["avg_entry_price"]) == Decimal(update["price"])
    assert Decimal(position["market_value"]) == 200 * Decimal(position["current_price"])
    assert (position["asset_class"], position["qty"], position["side"]) == ("us_option", "2", "long")
    figures = account(venue)
    assert figures["cash"] == 100_000 - Decimal(position["cost_basis"])
    assert figures["equity"] == figures["cash"] + Decimal(position["market_value"])
    assert figures["options_buying_power"] == figures["cash"]
    assert figures["buying_power"] == 2 * figures["cash"]
    assert alpaca.Position(**position).qty == "2"


def test_open_orders_reserve_and_give_back() -> None:
    venue = exchange()
    shown = venue.submit(order(call(190), "buy", 3, "1.00"), T + SECOND)
    assert account(venue)["options_buying_power"] == 100_000 - 300
    assert account(venue)["buying_power"] == 2 * (100_000 - 300)
    shown = venue.replace(shown["id"], {"limit_price": "2.00"}, T + 2 * SECOND)
    assert account(venue)["options_buying_power"] == 100_000 - 600
    venue.cancel(shown["id"], T + 3 * SECOND)
    assert account(venue)["options_buying_power"] == 100_000
    assert venue.state.accounts[venue.default].reserved == 0


def test_premium_beyond_the_buying_power() -> None:
    venue = exchange(cash="1000")
    refusal = refused(venue, order(call(190), "buy", 3, "4.00"))
    assert (refusal.http, refusal.code) == (403, 40310000)
    assert refusal.body["options_buying_power"] == "1000"
    assert refusal.body["cost_basis"] == "1200"


def test_a_call_is_sold_against_shares_which_then_stay() -> None:
    venue = exchange()
    refusal = refused(venue, order(call(195), "sell"))
    assert (refusal.http, refusal.body["available_qty"], refusal.body["required_qty"]) == (403, "0", "100")
    shares(venue, 150)
    venue.submit(order(call(195), "sell", limit="0.01"), T + 2 * SECOND)
    assert fills(venue)[0]["position_qty"] == "-1"
    assert venue.position("AAPL")["qty_available"] == "50"
    assert refused(venue, order("AAPL", "sell", 51)).body["available"] == "50"
    assert refused(venue, order(call(195), "sell")).body["required_qty"] == "200"
    assert venue.state.accounts[venue.default].reserved == 0
    venue.submit(order(call(195), "buy", position_intent="buy_to_close"), T + 4 * SECOND)
    assert fills(venue)
    assert venue.position("AAPL")["qty_available"] == "150"


def test_an_open_sale_of_shares_covers_no_call() -> None:
    venue = exchange()
    shares(venue, 100)
    venue.submit(order("AAPL", "sell", 1, "250.00"), T + 2 * SECOND)
    assert refused(venue, order(call(195), "sell"), T + 3 * SECOND).body["available_qty"] == "99"


def test_a_put_is_sold_against_cash() -> None:
    venue = exchange(cash="40000")
    venue.submit(order(put(185), "sell", limit="9.00"), T + SECOND)
    assert account(venue)["options_buying_power"] == 40_000 - 18_500
    venue.submit(order(put(185), "sell", limit="0.01"), T + 2 * SECOND)
    (update,) = fills(venue)
    got = 100 * Decimal(update["price"])
    assert account(venue)["options_buying_power"] == 40_000 + got - 37_000
    refusal = refused(venue, order(put(185), "sell"), T + 3 * SECOND)
    assert "cash-secured put" in refusal.message
    assert refusal.body["cost_basis"] == "18500"


def test_nothing_is_closed_twice_or_turned_round() -> None:
    venue = exchange()
    venue.submit(order(call(190), "buy", 2), T + SECOND)
    assert refused(venue, order(call(190), "sell", 3), T + 2 * SECOND).body["available"] == "2"
    venue.submit(order(call(190), "sell", 2, "50.00"), T + 2 * SECOND)
    assert refused(venue, order(call(190), "sell", 1), T + 3 * SECOND).body["available"] == "0"


def test_the_long_leg_of_a_spread_stays_while_the_short_one_needs_it() -> None:
    venue = exchange()
    venue.submit(package([(call(190), "buy", 1), (call(195), "sell", 1)]), T + SECOND)
    assert fills(venue)
    assert refused(venue, order(call(190), "sell"), T + 2 * SECOND).body["required_qty"] == "100"


# ---------------------------------------------------------------------------------------------------- the market
def test_fills_are_bounded_by_the_shown_size_until_it_changes() -> None:
    venue = exchange(cash="1000000")
    contract = venue.options.contract(call(190))
    shown = venue.options.quote(contract)
    venue.submit(order(call(190), "buy", 100), T + SECOND)
    assert sum(int(u["qty"]) for u in fills(venue)) == shown.ask_qty
    venue.on_market(quote("190", T + 30 * SECOND))  # the same minute, the same quote
    assert not fills(venue)
    venue.on_market(quote("190", T + 90 * SECOND))
    assert int(venue.position(call(190))["qty"]) > shown.ask_qty


def test_a_resting_order_fills_when_the_underlying_brings_the_quote() -> None:
    venue = exchange()
    contract = venue.options.contract(call(190))
    bid = venue.options.quote(contract).bid
    limit = options.format_units(bid)
    shown = venue.submit(order(call(190), "buy", 1, limit), T + SECOND)
    venue.take_updates()
    venue.on_market(np.concatenate([quote("190", T + 2 * SECOND + n * 1_000_000) for n in range(50)]))
    assert venue.order(shown["id"])["status"] == "new"
    for n in range(1, 40):
        venue.on_market(quote(str(190 - n / 8), T + (2 + n) * SECOND))
    done = venue.order(shown["id"])
    assert done["status"] == "filled"
    assert Decimal(done["filled_avg_price"]) <= Decimal(limit)


def test_a_stop_is_triggered_by_a_print() -> None:
    venue = exchange()
    contract = venue.options.contract(call(190))
    venue.submit(order(call(190), "buy"), T + SECOND)
    venue.take_updates()
    body = order(call(190), "sell") | {"type": "stop", "stop_price": "3.00"}
    shown = venue.submit(body, T + 2 * SECOND)
    fallen = T + 5 * MINUTE
    venue.on_market(quote("184", fallen))
    printed = next(options.prints(contract, fallen + SECOND, fallen + 120 * MINUTE)).at
    venue.advance(printed - 1)
    assert venue.order(shown["id"])["status"] == "new"
    venue.advance(printed)
    assert venue.order(shown["id"])["status"] == "filled"


def test_how_the_market_is_batched_changes_nothing() -> None:
    records = np.concatenate(
        [quote(f"{190 + (n * 7919 % 400 - 200) / 100:.2f}", T + 2 * SECOND + n * 37_000_001) for n in range(600)]
    )

    def run(size):
        venue = exchange()
        venue.submit(order(call(190), "buy", 30, "4.05"), T + SECOND)
        venue.submit(package([(put(185), "sell", 1), (put(180), "buy", 1)], 60, "-1.02"), T + SECOND)
        for at in range(0, len(records), size):
            venue.on_market(records[at : at + size])
        return venue.take_updates(), venue.save()

    one = run(1)
    assert run(7) == one
    assert run(600) == one
    assert sum(update["event"] in ("fill", "partial_fill") for _, update in one[0]) > 2


def test_the_agenda_is_empty_of_quotes_when_no_order_is_open() -> None:
    venue = exchange()
    shown = venue.submit(order(call(190), "buy", 1, "0.50"), T + SECOND + 300_000_000)
    assert [due.at for due in venue.state.agenda if due.kind == "requote"] == [T + 2 * SECOND]
    venue.cancel(shown["id"], T + 2 * SECOND)
    venue.advance(T + 3 * SECOND)
    assert "requote" not in {due.kind for due in venue.state.agenda}


def test_orders_wait_for_the_session_and_end_with_it() -> None:
    closed = T - 12 * 3600 * SECOND  # Sunday night in New York
    venue = exchange(calendar=Calendar(), always_open=False)
    shown = venue.submit(order(call(190, NEAR), "buy", 1, "0.02"), T + SECOND)
    assert shown["expires_at"] == "2026-03-02T21:00:00Z"
    venue.advance(T + 12 * 3600 * SECOND)
    assert venue.order(shown["id"])["status"] == "expired"
    late = venue.submit(order(call(190), "buy"), T + 12 * 3600 * SECOND)
    assert late["status"] == "accepted"
    venue.on_market(quote("191", T + 24 * 3600 * SECOND))
    assert venue.order(late["id"])["status"] == "filled"
    assert closed < T


def test_a_saved_exchange_goes_on() -> None:
    venue = exchange()
    venue.submit(order(call(190), "buy", 2), T + SECOND)
    venue.submit(order(put(180), "sell", 1, "9.00"), T + SECOND)
    open_ = venue.submit(package([(call(195), "buy", 1), (call(200), "sell", 1)], 2, "0.01"), T + SECOND)
    loaded = Exchange.load(venue.save(), INSTRUMENTS, options_level=3)
    loaded.on_market(np.concatenate([quote("190", T + 2 * SECOND), quote("410", T + 2 * SECOND, 2)]))
    venue.on_market(np.concatenate([quote("190", T + 2 * SECOND), quote("410", T + 2 * SECOND, 2)]))
    assert loaded.positions() == venue.positions()
    assert loaded.account() == venue.account()
    loaded.cancel(open_["id"], T + 3 * SECOND)
    assert loaded.order(open_["id"])["status"] == "canceled"
    assert loaded.state.accounts[loaded.default].reserved == 18_000 * 10**18
    assert loaded.options.left(loaded.options.contract(call(190)), Side.BUY) >= 0
