"""alpaca-py's TradingClient, unmodified, on the simulated venue: every method, and what it answers is right."""

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import uuid4

import pytest
from alpaca.common.exceptions import APIError
from alpaca.trading.client import TradingClient
from alpaca.trading.enums import AssetClass, AssetStatus, OrderSide, OrderStatus, PositionIntent, QueryOrderStatus, TimeInForce
from alpaca.trading.models import Clock
from alpaca.trading.requests import (
    ClosePositionRequest,
    GetAssetsRequest,
    GetCalendarRequest,
    GetOrderByIdRequest,
    GetOrdersRequest,
    LimitOrderRequest,
    MarketOrderRequest,
    ReplaceOrderRequest,
    StopLimitOrderRequest,
    StopOrderRequest,
)
from tests.venues.sim.clients import until

from pyrt.venues.sim.library import SimulatedVenue, simulated_venue

pytestmark = pytest.mark.row("X08")

DAY = {"time_in_force": TimeInForce.DAY}
GTC = {"time_in_force": TimeInForce.GTC}
BUY, SELL = {"side": OrderSide.BUY}, {"side": OrderSide.SELL}
VENUE = {"speed": 20.0, "cash": "1000000"}


@pytest.fixture
def client(trading: TradingClient) -> Iterator[TradingClient]:
    """The client of a flat account."""
    yield trading
    trading.cancel_orders()
    for _ in range(3):
        trading.close_all_positions(cancel_orders=True)
        until(lambda: not trading.get_orders())
    assert trading.get_all_positions() == []


def filled(client: TradingClient, order: Any) -> Any:
    return until(lambda: (o := client.get_order_by_id(order.id)).status == OrderStatus.FILLED and o)


def buy(client: TradingClient, symbol: str, qty: float) -> Any:
    return filled(client, client.submit_order(MarketOrderRequest(symbol=symbol, qty=qty, **BUY, **DAY)))


# ---------------------------------------------------------------------------------------------------- orders
def test_an_order_comes_back_as_it_was_sent(client: TradingClient) -> None:
    request = LimitOrderRequest(symbol="AAPL", qty=7, limit_price=12.34, client_order_id=str(uuid4()), **BUY, **GTC)
    order = client.submit_order(request)
    assert (order.client_order_id, order.symbol, order.qty, order.limit_price) == (request.client_order_id, "AAPL", "7", "12.34")
    assert (order.side, order.time_in_force, order.type.value) == (OrderSide.BUY, TimeInForce.GTC, "limit")
    assert (order.status, order.filled_qty) in {(OrderStatus.PENDING_NEW, "0"), (OrderStatus.NEW, "0")}
    assert order.position_intent == PositionIntent.BUY_TO_OPEN
    until(lambda: client.get_order_by_id(order.id).status == OrderStatus.NEW)
    assert client.get_order_by_id(order.id, GetOrderByIdRequest(nested=True)).id == order.id
    assert client.get_order_by_client_id(request.client_order_id).id == order.id
    asset = client.get_asset("AAPL")
    assert order.asset_id == asset.id


def test_orders_are_listed_by_every_filter(client: TradingClient) -> None:
    made = [
        client.submit_order(LimitOrderRequest(symbol=symbol, qty=1, limit_price=5 + n, **BUY, **GTC))
        for n, symbol in enumerate(["AAPL", "MSFT", "AAPL", "SPY"])
    ]
    client.cancel_order_by_id(made[3].id)
    until(lambda: client.get_order_by_id(made[3].id).status == OrderStatus.CANCELED)

    def ids(**filters: Any) -> list[Any]:
        return [order.id for order in client.get_orders(GetOrdersRequest(**filters))]

    assert [o.id for o in client.get_orders()] == [made[2].id, made[1].id, made[0].id]
    assert ids(status=QueryOrderStatus.OPEN, direction="asc") == [made[0].id, made[1].id, made[2].id]
    assert ids(symbols=["AAPL"]) == [made[2].id, made[0].id]
    assert ids(limit=1) == [made[2].id]
    assert made[3].id in ids(status=QueryOrderStatus.CLOSED)
    assert made[3].id not in ids(status=QueryOrderStatus.OPEN)
    assert ids(side=OrderSide.SELL) == []
    assert ids(status=QueryOrderStatus.ALL, after=made[1].submitted_at - timedelta(microseconds=1), direction="asc")[:1] == [
        made[1].id
    ]
    assert made[1].id not in ids(until=made[1].submitted_at)
    assert ids(nested=True, symbols=["MSFT"]) == [made[1].id]


def test_a_replaced_order_is_another(client: TradingClient) -> None:
    order = client.submit_order(LimitOrderRequest(symbol="AAPL", qty=2, limit_price=10, **BUY, **DAY))
    until(lambda: client.get_order_by_id(order.id).status == OrderStatus.NEW)
    fresh = client.replace_order_by_id(order.id, ReplaceOrderRequest(qty=3, limit_price=11.5, time_in_force=TimeInForce.GTC))
    assert fresh.id != order.id
    assert fresh.client_order_id != order.client_order_id
    assert (fresh.replaces, fresh.qty, fresh.limit_price, fresh.time_in_force) == (order.id, "3", "11.5", TimeInForce.GTC)
    old = until(lambda: (o := client.get_order_by_id(order.id)).status == OrderStatus.REPLACED and o)
    assert old.replaced_by == fresh.id
    assert old.replaced_at is not None
    with pytest.raises(APIError) as refused:
        client.replace_order_by_id(order.id, ReplaceOrderRequest(qty=4))
    assert refused.value.status_code == 422


def test_one_order_or_all_are_cancelled(client: TradingClient) -> None:
    orders = [client.submit_order(StopOrderRequest(symbol="AAPL", qty=1, stop_price=9000 + n, **BUY, **DAY)) for n in range(3)]
    orders.append(client.submit_order(StopLimitOrderRequest(symbol="MSFT", qty=1, stop_price=9000, limit_price=9001, **BUY, **DAY)))
    assert client.cancel_order_by_id(orders[0].id) is None
    done = until(lambda: (o := client.get_order_by_id(orders[0].id)).status == OrderStatus.CANCELED and o)
    assert done.canceled_at is not None
    with pytest.raises(APIError) as refused:
        client.cancel_order_by_id(orders[0].id)
    assert refused.value.status_code == 422
    with pytest.raises(APIError) as refused:
        client.cancel_order_by_id(uuid4())
    assert (refused.value.status_code, refused.value.code) == (404, 40410000)
    answers = client.cancel_orders()
    assert {(a.id, a.status) for a in answers} == {(o.id, 200) for o in orders[1:]}
    assert client.cancel_orders() == []


# ---------------------------------------------------------------------------------------------------- positions
def test_positions_add_up(client: TradingClient) -> None:
    first = buy(client, "AAPL", 3)
    second = buy(client, "AAPL", 5)
    position = client.get_open_position("AAPL")
    cost = 3 * Decimal(first.filled_avg_price) + 5 * Decimal(second.filled_avg_price)
    assert Decimal(position.cost_basis) == cost
    assert abs(Decimal(position.avg_entry_price) - cost / 8) < Decimal("1e-8")
    assert (position.qty, position.qty_available, position.side.value) == ("8", "8", "long")
    assert Decimal(position.market_value) == 8 * Decimal(position.current_price)
    assert Decimal(position.unrealized_pl) == Decimal(position.market_value) - cost
    assert [p.symbol for p in client.get_all_positions()] == ["AAPL"]
    assert client.get_open_position(position.asset_id).symbol == "AAPL"
    account = client.get_account()
    assert Decimal(account.equity) == Decimal(account.cash) + Decimal(account.long_market_value) + Decimal(
        account.short_market_value
    )


def test_a_position_is_closed_by_quantity_percent_and_whole(client: TradingClient) -> None:
    buy(client, "MSFT", 10)
    part = client.close_position("MSFT", ClosePositionRequest(qty="4"))
    assert (part.qty, part.side, part.type.value) == ("4", OrderSide.SELL, "market")
    filled(client, part)
    half = client.close_position("MSFT", ClosePositionRequest(percentage="50"))
    assert half.qty == "3"
    filled(client, half)
    assert client.get_open_position("MSFT").qty == "3"
    filled(client, client.close_position("MSFT"))
    with pytest.raises(APIError, match="position does not exist") as refused:
        client.get_open_position("MSFT")
    assert (refused.value.status_code, refused.value.code) == (404, 40410000)
    with pytest.raises(APIError) as refused:
        client.close_position("MSFT")
    assert refused.value.status_code == 404


def test_a_short_is_a_negative_position(client: TradingClient) -> None:
    order = filled(client, client.submit_order(MarketOrderRequest(symbol="SPY", qty=2, **SELL, **DAY)))
    assert order.position_intent == PositionIntent.SELL_TO_OPEN
    position = client.get_open_position("SPY")
    assert (position.qty, position.side.value) == ("-2", "short")
    assert Decimal(position.cost_basis) == -2 * Decimal(order.filled_avg_price)
    assert Decimal(position.market_value) < 0
    assert Decimal(client.get_account().short_market_value) < 0


def test_all_positions_are_closed(client: TradingClient) -> None:
    buy(client, "AAPL", 1)
    buy(client, "SPY", 2)
    resting = client.submit_order(LimitOrderRequest(symbol="AAPL", qty=1, limit_price=9000, **SELL, **GTC))
    answers = client.close_all_positions(cancel_orders=True)
    assert {a.symbol: (a.status, a.body.qty, a.body.side) for a in answers} == {
        "AAPL": (200, "1", OrderSide.SELL),
        "SPY": (200, "2", OrderSide.SELL),
    }
    until(lambda: client.get_all_positions() == [])
    assert client.get_order_by_id(resting.id).status == OrderStatus.CANCELED


def test_shares_held_by_an_order_cannot_be_sold_twice(client: TradingClient) -> None:
    buy(client, "AAPL", 2)
    client.submit_order(LimitOrderRequest(symbol="AAPL", qty=2, limit_price=9000, **SELL, **GTC))
    assert client.get_open_position("AAPL").qty_available == "0"
    with pytest.raises(APIError, match="insufficient qty available") as refused:
        client.close_position("AAPL")
    assert (refused.value.status_code, refused.value.code) == (403, 40310000)


# ---------------------------------------------------------------------------------------------------- money
def test_buying_power_is_reserved_and_given_back(client: TradingClient) -> None:
    before = Decimal(client.get_account().buying_power)
    order = client.submit_order(LimitOrderRequest(symbol="AAPL", qty=100, limit_price=12.5, **BUY, **GTC))
    assert before - Decimal(client.get_account().buying_power) == 1250
    client.cancel_order_by_id(order.id)
    until(lambda: Decimal(client.get_account().buying_power) == before)
    with pytest.raises(APIError, match="insufficient buying power") as refused:
        client.submit_order(LimitOrderRequest(symbol="AAPL", qty=1_000_000, limit_price=100, **BUY, **GTC))
    assert (refused.value.status_code, refused.value.code) == (403, 40310000)


def test_what_the_venue_refuses_and_alpaca_py_does_not(client: TradingClient) -> None:
    for request, status, code, words in (
        (LimitOrderRequest(symbol="AAPL", qty=1, limit_price=100.001, **BUY, **DAY), 422, 42210000, "sub-penny"),
        (LimitOrderRequest(symbol="NOSUCH", qty=1, limit_price=1, **BUY, **DAY), 422, 42210000, "not found"),
        (LimitOrderRequest(symbol="AAPL", qty=1, limit_price=0, **BUY, **DAY), 422, 40010001, "limit price must be > 0"),
        (MarketOrderRequest(symbol="AAPL", qty=1, extended_hours=True, **BUY, **DAY), 422, 40010001, "extended hours"),
        (MarketOrderRequest(symbol="AAPL", qty=0.5, **SELL, **DAY), 422, 42210000, "fractional"),
        (MarketOrderRequest(symbol="AAPL", qty=-1, **BUY, **DAY), 422, 40010001, "qty must be > 0"),
        (MarketOrderRequest(symbol="AAPL", qty=1, client_order_id="x" * 129, **BUY, **DAY), 422, 40010001, "128"),
    ):
        with pytest.raises(APIError, match=words) as refused:
            client.submit_order(request)
        assert (refused.value.status_code, refused.value.code) == (status, code), request
    client.submit_order(LimitOrderRequest(symbol="AAPL", qty=1, limit_price=10, **BUY, **DAY))
    with pytest.raises(APIError, match="wash trade") as refused:
        client.submit_order(MarketOrderRequest(symbol="AAPL", qty=1, **SELL, **DAY))
    assert refused.value.status_code == 403


# ---------------------------------------------------------------------------------------------------- reference
def test_assets(client: TradingClient) -> None:
    assets = client.get_all_assets(GetAssetsRequest(status=AssetStatus.ACTIVE, asset_class=AssetClass.US_EQUITY))
    by_symbol = {asset.symbol: asset for asset in assets}
    assert {"AAPL", "MSFT", "SPY"} <= set(by_symbol)
    assert all(a.status == AssetStatus.ACTIVE and a.asset_class == AssetClass.US_EQUITY for a in assets)
    assert client.get_asset("AAPL") == by_symbol["AAPL"] == client.get_asset(by_symbol["AAPL"].id)
    assert by_symbol["AAPL"].name == "Apple Inc. Common Stock"
    with pytest.raises(APIError, match="asset not found") as refused:
        client.get_asset("NOSUCH")
    assert refused.value.status_code == 404


def test_clock_and_calendar(client: TradingClient, venue: SimulatedVenue) -> None:
    clock = client.get_clock()
    assert clock.timestamp.tzinfo is not None
    assert abs(clock.timestamp.timestamp() - venue.clock()["now_ns"] / 1e9) < 600
    assert clock.next_close > clock.timestamp
    days = client.get_calendar(GetCalendarRequest(start=date(2026, 3, 2), end=date(2026, 3, 3)))
    assert [day.date for day in days] == [date(2026, 3, 2), date(2026, 3, 3)]
    assert all(day.open < day.close for day in days)


def test_calendar_of_the_exchange() -> None:
    with simulated_venue(calendar=True) as venue:
        client = TradingClient(venue.key, venue.secret, paper=True, url_override=venue.url)
        days = client.get_calendar(GetCalendarRequest(start=date(2024, 7, 1), end=date(2024, 7, 7)))
        client._session.close()
    assert [(d.date.day, d.open.hour, d.open.minute, d.close.hour) for d in days] == [
        (1, 9, 30, 16),
        (2, 9, 30, 16),
        (3, 9, 30, 13),
        (5, 9, 30, 16),
    ]


def test_the_account(client: TradingClient) -> None:
    account = client.get_account()
    assert (account.status.value, account.currency, account.multiplier) == ("ACTIVE", "USD", "2")
    assert Decimal(account.buying_power) == 2 * Decimal(account.equity)
    assert account.created_at < datetime.now(UTC) + timedelta(days=365)
    assert account.shorting_enabled
    assert not account.trading_blocked


def test_raw_data_and_bare_verbs(client: TradingClient, venue: SimulatedVenue) -> None:
    raw = TradingClient(venue.key, venue.secret, paper=True, url_override=venue.url, raw_data=True)
    body = {"symbol": "AAPL", "qty": "1", "side": "buy", "type": "limit", "limit_price": "2.5", "time_in_force": "gtc"}
    order = raw.post("/orders", body)
    assert raw.get(f"/orders/{order['id']}")["limit_price"] == "2.5"
    fresh = raw.patch(f"/orders/{order['id']}", {"limit_price": "2.6"})
    assert raw.get("/orders")[0]["id"] == fresh["id"]
    assert not raw.delete(f"/orders/{fresh['id']}")
    with pytest.raises(APIError) as refused:
        raw.put("/orders", {})
    assert refused.value.status_code == 405
    activities = raw.get("/account/activities/FILL", {"page_size": 2})
    assert all(row["activity_type"] == "FILL" for row in activities)
    assert raw.response_wrapper(Clock, raw.get("/clock"))["is_open"] is True
    raw._session.close()
