"""What an account's owner, the venue and the asset allow, before money and shares are looked at; and the rules of July 2026."""

from decimal import Decimal

import alpaca.trading.models as alpaca
import numpy as np
import pytest

from pyrt._core.types import RecordType, market_dtype, quote_dtype, to_units
from pyrt.calendar import Calendar
from pyrt.clock import DAY, SECOND
from pyrt.model import AssetClass, Instrument
from pyrt.venues.sim.exchange.assets import UNLIKE, unlike
from pyrt.venues.sim.exchange.configuration import CLASSES
from pyrt.venues.sim.exchange.exchange import Exchange
from pyrt.venues.sim.exchange.orders import VenueRefusal

pytestmark = pytest.mark.row("X08")

T = 1_772_463_846_000_000_000  # 2026-03-02T15:04:06Z, a Monday
AAPL = Instrument(id=1, symbol="AAPL")
BTC = Instrument(id=101, symbol="BTC/USD", asset_class=AssetClass.CRYPTO, sub_tick=10_000_000, lot=1)
OLD = {"pattern_day_trader", "daytrade_count", "daytrading_buying_power", "bod_dtbp"}


def quote(bid: str, ask: str, ts: int = T, instrument: int = 1, size: int = 10_000) -> np.ndarray:
    row = np.zeros(1, dtype=quote_dtype)
    row["type"], row["instrument"], row["ts_event"] = int(RecordType.QUOTE), instrument, ts
    row["bid_px"], row["ask_px"] = to_units(bid), to_units(ask)
    row["bid_qty"] = row["ask_qty"] = size * SECOND
    return row.view(market_dtype)


def opened(**settings: object) -> Exchange:
    exchange = Exchange([AAPL, BTC, *unlike()], **settings)
    exchange.on_market(quote("100", "100.02"))
    exchange.on_market(quote("60000", "60010", instrument=101))
    return exchange


def order(
    symbol: str = "AAPL", side: str = "buy", qty: object = "1", kind: str = "market", tif: str = "day", **more: object
) -> dict:
    return {"symbol": symbol, "side": side, "qty": qty, "type": kind, "time_in_force": tif, **more}


def refused(exchange: Exchange, body: dict, now: int = T) -> VenueRefusal:
    before = exchange.account()
    with pytest.raises(VenueRefusal) as error:
        exchange.submit(body, now)
    assert exchange.account() == before
    return error.value


# ---------------------------------------------------------------------------------------------------- the owner's wishes
def test_configurations_are_shown_and_changed() -> None:
    exchange = opened()
    shown = alpaca.AccountConfiguration(**exchange.configuration())
    assert (shown.no_shorting, shown.suspend_trade, shown.fractional_trading, shown.max_margin_multiplier) == (
        False,
        False,
        True,
        "4",
    )
    assert "pdt_check" not in exchange.configuration()
    body = {
        "no_shorting": True,
        "max_margin_multiplier": "1",
        "max_options_trading_level": 2,
        "trade_confirm_email": "none",
        "new": 1,
    }
    assert exchange.configure(body) == {**exchange.configuration(), **{k: v for k, v in body.items() if k != "new"}}
    assert exchange.configure({"max_options_trading_level": None, "max_margin_multiplier": 2})["max_margin_multiplier"] == "2"


@pytest.mark.parametrize(
    "wrong",
    [
        {"no_shorting": "yes"},
        {"suspend_trade": None},
        {"max_margin_multiplier": "3"},
        {"max_margin_multiplier": True},
        {"trade_confirm_email": "some"},
        {"max_options_trading_level": 4},
        {"max_options_trading_level": True},
        {"fractional_trading": []},
    ],
)
def test_a_wrong_configuration_changes_nothing(wrong: dict) -> None:
    exchange = opened()
    before = exchange.configuration()
    with pytest.raises(VenueRefusal) as error:
        exchange.configure({"ptp_no_exception_entry": True, **wrong})
    assert (error.value.http, error.value.code) == (422, 40010001)
    assert exchange.configuration() == before


def test_configurations_work_on_orders() -> None:
    exchange = opened()
    resting = exchange.submit(order(kind="limit", limit_price="90"), T)
    exchange.configure({"suspend_trade": True})
    assert exchange.account()["trade_suspended_by_user"] is True
    no = refused(exchange, order())
    assert (no.http, no.code, no.message) == (403, 40310000, "new orders are rejected by user request")
    with pytest.raises(VenueRefusal, match="by user request"):
        exchange.replace(resting["id"], {"qty": "2"}, T)
    exchange.cancel(resting["id"], T)
    exchange.configure({"suspend_trade": False, "fractional_trading": False, "no_shorting": True})
    no = refused(exchange, order(qty="0.5"))
    assert (no.http, no.code) == (403, 40310000)
    assert refused(exchange, {"notional": "50"} | {k: v for k, v in order().items() if k != "qty"}).code == 40310000
    no = refused(exchange, order(side="sell"))
    assert (no.http, no.code, no.message) == (403, 40310000, "account is not allowed to short")
    assert exchange.account()["shorting_enabled"] is False
    exchange.configure({"fractional_trading": True, "no_shorting": False})
    exchange.submit(order(qty="0.5"), T)
    assert exchange.position("AAPL")["qty"] == "0.5"


@pytest.mark.parametrize(
    ("own", "wish", "cash", "power"),
    [
        (4, "4", "10000", "40000"),
        (4, "2", "10000", "20000"),
        (2, "4", "10000", "20000"),
        (4, "1", "10000", "10000"),
        (4, "4", "1999", "1999"),
        (4, "4", "2000", "8000"),
    ],
)
def test_the_multiplier_is_the_least_of_all(own: int, wish: str, cash: str, power: str) -> None:
    exchange = opened(multiplier=own, cash=cash)
    exchange.configure({"max_margin_multiplier": wish})
    account = exchange.account()
    assert account["buying_power"] == power
    assert account["multiplier"] == str(Decimal(power) // Decimal(cash))
    assert account["regt_buying_power"] == str(min(Decimal(power), 2 * Decimal(cash)))


def test_the_venue_takes_rights_away() -> None:
    exchange = opened()
    exchange.permit(trading_blocked=True)
    assert refused(exchange, order()).http == 403
    exchange.permit(trading_blocked=False, asset_classes=("us_equity",))
    no = refused(exchange, order("BTC/USD", tif="gtc"))
    assert (no.http, no.code, no.message) == (422, 40010001, "crypto orders not allowed for account")
    assert exchange.account()["crypto_status"] == "INACTIVE"
    exchange.permit(asset_classes=CLASSES)
    assert exchange.submit(order("BTC/USD", tif="gtc"), T)["status"] == "pending_new"


# ---------------------------------------------------------------------------------------------------- assets
def test_assets_that_are_not_like_the_others() -> None:
    exchange = opened()
    for symbol, unusual in UNLIKE.items():
        assert alpaca.Asset(**exchange.asset(symbol)).symbol == symbol
        assert {key: exchange.asset(symbol)[key] for key in unusual} == unusual
    limit = {"kind": "limit", "limit_price": "10"}
    for body, message in (
        (order("GONE", **limit), "asset GONE is not active"),
        (order("WHOL", qty="1.5", **limit), "asset WHOL is not fractionable"),
        (order("NOSH", "sell", **limit), 'asset "NOSH" cannot be sold short'),
        (order("HARD", "sell", tif="gtc", **limit), 'only day orders are allowed for hard-to-borrow asset "HARD"'),
        (order("HARD", tif="gtc", **limit), 'only day orders are allowed for hard-to-borrow asset "HARD"'),
        (order("NONE", **limit), 'asset "NONE" not found'),
        (order("AAPL", "sell", qty="1.5"), "fractional orders cannot be sold short"),
    ):
        no = refused(exchange, body)
        assert (no.http, no.code, no.message) == (422, 42210000, message)
    assert exchange.submit(order("HARD", "sell", **limit), T)["position_intent"] == "sell_to_open"
    assert exchange.submit(order("NOSH", **limit), T)["status"] == "pending_new"


# ---------------------------------------------------------------------------------------------------- pairs
@pytest.mark.parametrize(
    ("body", "code", "message"),
    [
        (order("BTC/USD"), 42210000, "invalid crypto time_in_force"),
        (order("BTC/USD", tif="fok"), 42210000, "invalid crypto time_in_force"),
        (order("BTC/USD", kind="stop", tif="gtc", stop_price="70000"), 40010001, "invalid order type for crypto order"),
        (order("BTC/USD", kind="trailing_stop", tif="gtc", trail_percent="1"), 40010001, "invalid order type for crypto order"),
        (order("BTC/USD", qty="0.00001", tif="gtc"), 42210000, "qty must be >= minimal amount of order 0.000013"),
        (order("BTC/USD", tif="gtc", kind="limit", limit_price="60000.001"), 42210000, "sub-penny"),
        (order("BTC/USD", tif="gtc", kind="limit", limit_price="60000", extended_hours=True), 40010001, "extended hours"),
        (order("BTC/USD", tif="gtc", order_class="bracket"), 40010001, "order_class"),
    ],
)
def test_orders_that_pairs_do_not_have(body: dict, code: int, message: str) -> None:
    no = refused(opened(), body)
    assert (no.http, no.code) == (422, code)
    assert message in no.message


def test_a_pair_is_bought_with_cash_and_sold_from_what_is_there() -> None:
    exchange = opened(cash="100000", multiplier=4)
    no = refused(exchange, order("BTC/USD", "sell", tif="gtc", qty="0.1"))
    assert (no.http, no.code, no.message) == (403, 40310000, "insufficient balance for BTC (requested: 0.1, available: 0)")
    assert {no.body[key] for key in ("available", "balance")} == {"0"}
    assert no.body["symbol"] == "BTC"
    no = refused(exchange, order("BTC/USD", tif="gtc", kind="limit", limit_price="60000", qty="2"))
    assert (no.http, no.message) == (403, "insufficient balance for USD (requested: 120000, available: 100000)")
    exchange.submit(order("BTC/USD", tif="ioc", kind="limit", limit_price="60010", qty="0.500000001"), T)
    position = exchange.position("BTC/USD")
    assert position == exchange.position("BTCUSD") == exchange.position(exchange.asset("BTCUSD")["id"])
    assert (position["qty"], position["asset_class"], position["asset_marginable"]) == ("0.500000001", "crypto", False)
    account = exchange.account()
    value = Decimal(position["market_value"])
    cash = Decimal("100000") - Decimal("0.500000001") * 60010
    assert Decimal(account["cash"]) == Decimal(account["non_marginable_buying_power"]) == cash
    assert Decimal(account["buying_power"]) == 4 * (Decimal(account["equity"]) - value)  # nothing is borrowed on coins
    assert Decimal(account["initial_margin"]) == Decimal(account["maintenance_margin"]) == value
    no = refused(exchange, order("BTC/USD", "sell", tif="gtc", qty="0.6"))
    assert no.body["available"] == "0.500000001"
    half = exchange.close_position("BTCUSD", T, percentage="50")
    assert (half["time_in_force"], half["qty"]) == ("gtc", "0.25")
    resting = exchange.submit(
        order("BTC/USD", "sell", tif="gtc", kind="stop_limit", stop_price="50000", limit_price="49000", qty="0.2"), T
    )
    assert refused(exchange, order("BTC/USD", "sell", tif="gtc", qty="0.1")).body["available"] == "0.050000001"
    exchange.replace(resting["id"], {"limit_price": "48000"}, T)
    assert exchange.position("BTC/USD")["qty_available"] == "0.050000001"
    exchange.cancel_all(T)
    assert [http for _, http, _ in exchange.close_all(T)] == [200]
    assert exchange.positions() == []


def test_a_pair_is_bought_for_money() -> None:
    exchange = opened(cash="1000")
    by_money = {"symbol": "BTC/USD", "side": "buy", "type": "market", "time_in_force": "gtc"}
    assert refused(exchange, {**by_money, "notional": "0.99"}).message == "cost basis must be >= minimal amount of order 1"
    assert refused(exchange, {**by_money, "notional": "1001"}).body["symbol"] == "USD"
    exchange.submit({**by_money, "notional": "600.1"}, T)
    assert exchange.position("BTC/USD")["qty"] == "0.01"
    exchange.submit({**by_money, "side": "sell", "notional": "300"}, T)
    assert exchange.position("BTC/USD")["qty"] == "0.005"
    assert exchange.account()["cash"] == "699.9"


# ---------------------------------------------------------------------------------------------------- before July 2026
def test_the_fields_that_left_are_there_before() -> None:
    new, old = opened(multiplier=4), opened(multiplier=4, account_fields="before")
    assert not OLD & new.account().keys()
    account = old.account()
    assert account.keys() == new.account().keys() | OLD
    assert (account["pattern_day_trader"], account["daytrade_count"], account["daytrading_buying_power"]) == (False, 0, "400000")
    assert alpaca.TradeAccount(**account).daytrade_count == 0
    assert alpaca.AccountConfiguration(**old.configuration()).pdt_check.value == "entry"
    assert old.configure({"pdt_check": "both", "dtbp_check": "exit"})["dtbp_check"] == "exit"
    with pytest.raises(VenueRefusal):
        old.configure({"pdt_check": "never"})
    poor = opened(multiplier=4, cash="24999", account_fields="before")
    assert poor.account()["multiplier"] == "2"
    assert opened(multiplier=4, cash="24999").account()["multiplier"] == "4"


def round_trip(exchange: Exchange, now: int) -> None:
    exchange.submit(order(), now)
    exchange.submit(order(side="sell"), now)


def test_the_fourth_day_trade_in_five_days_is_refused() -> None:
    exchange = opened(cash="24000", account_fields="before")
    for made in range(3):
        round_trip(exchange, T)
        assert exchange.account()["daytrade_count"] == made + 1
    exchange.submit(order(), T)
    no = refused(exchange, order(side="sell"))
    assert (no.http, no.code, no.message) == (403, 40310100, "trade denied due to pattern day trading protection")
    exchange.advance(T + DAY)  # shares of yesterday may go
    exchange.submit(order(side="sell"), T + DAY)
    assert exchange.account()["daytrade_count"] == 3
    exchange.submit(order(), T + DAY)
    assert refused(exchange, order(side="sell"), T + DAY).code == 40310100
    later = T + 7 * DAY  # the five business days have passed
    exchange.submit(order(side="sell"), later)
    assert exchange.account()["daytrade_count"] == 0
    round_trip(exchange, later)
    assert exchange.account()["daytrade_count"] == 1


def test_a_weekend_does_not_count() -> None:
    exchange = opened(cash="24000", account_fields="before")
    friday = T + 4 * DAY
    round_trip(exchange, friday)
    for days, made in ((3, 1), (6, 1), (7, 0)):  # Monday, Thursday, Friday
        exchange.advance(friday + days * DAY)
        assert exchange.account()["daytrade_count"] == made


def test_pending_pairs_count_and_partial_fills_count_once() -> None:
    exchange = opened(cash="24000", account_fields="before")
    exchange.on_market(quote("100", "100.02", size=6))
    exchange.submit(order(qty="6"), T)
    exchange.submit(order(side="sell", qty="3", kind="limit", limit_price="101"), T)
    for _ in range(2):
        exchange.submit(order(side="sell", kind="limit", limit_price="102"), T)
    assert refused(exchange, order(side="sell")).code == 40310100
    for px in range(3):
        exchange.on_market(quote("101", "101.02", ts=T + px + 1, size=1))
    assert exchange.account()["daytrade_count"] == 1


def test_who_is_free_of_the_rule() -> None:
    old = {"account_fields": "before"}
    for settings in ({"cash": "25000", **old}, {"cash": "24000", "multiplier": 1, **old}, {"cash": "24000"}):
        exchange = opened(**settings)
        for _ in range(5):
            round_trip(exchange, T)
        assert exchange.account().get("pattern_day_trader") in (None, True)
    exchange = opened(cash="24000", account_fields="before")
    for _ in range(5):
        exchange.submit(order("BTC/USD", tif="gtc", qty="0.1"), T)
        exchange.submit(order("BTC/USD", "sell", tif="gtc", qty="0.1"), T)
    assert exchange.account()["daytrade_count"] == 0


# ---------------------------------------------------------------------------------------------------- across restarts
def test_all_of_it_outlives_the_venue() -> None:
    calendar = Calendar()
    exchange = opened(cash="24000", account_fields="before")
    exchange.configure({"no_shorting": True})
    exchange.permit(asset_classes=("us_equity",))
    exchange.add_watchlist({"name": "one", "symbols": ["AAPL"]}, T)
    exchange.keep_samples(T)
    exchange.advance(T + 600 * SECOND)
    round_trip(exchange, T + 600 * SECOND)
    again = Exchange.load(exchange.save(), [AAPL, BTC, *unlike()], account_fields="before", calendar=calendar)
    assert again.save() == exchange.save()
    assert again.account() == exchange.account()
    assert (again.configuration(), again.watchlists()) == (exchange.configuration(), exchange.watchlists())
    again.keep_samples(T + 600 * SECOND)  # the state has it already: nothing is written down twice
    assert [due.kind for due in again.state.agenda].count("sample") == 1
