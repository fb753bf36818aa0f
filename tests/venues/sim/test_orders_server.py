"""Order classes, trailing stops, orders by money and latency through the port, by the official client unmodified."""

import pytest
from alpaca.common.exceptions import APIError
from alpaca.trading.client import TradingClient
from alpaca.trading.enums import OrderClass, OrderSide, OrderStatus, QueryOrderStatus, TimeInForce
from alpaca.trading.requests import (
    GetOrderByIdRequest,
    GetOrdersRequest,
    LimitOrderRequest,
    MarketOrderRequest,
    ReplaceOrderRequest,
    StopLossRequest,
    TakeProfitRequest,
    TrailingStopOrderRequest,
)

from pyrt.venues.sim.library import simulated_venue
from pyrt.venues.sim.market.market import DEFAULT_START

pytestmark = pytest.mark.row("X08")

MS = 1_000_000


@pytest.fixture(scope="module")
def client():
    with simulated_venue(seed=5, start=DEFAULT_START) as venue:
        yield TradingClient(venue.key, venue.secret, paper=True, url_override=venue.url)


@pytest.fixture(autouse=True)
def _flat(request):
    if "client" in request.fixturenames:
        request.getfixturevalue("client").close_all_positions(cancel_orders=True)


def legs(kind, target, stop):
    return {"order_class": kind, "take_profit": target and TakeProfitRequest(limit_price=target), "stop_loss": stop}


def until(get, wanted):
    """Ask until the answer is as wanted (the test's own time-out ends it)."""
    while not wanted(found := get()):
        pass
    return found


def test_a_bracket_by_the_official_client(client):
    request = MarketOrderRequest(
        symbol="AAPL",
        qty=1,
        side=OrderSide.BUY,
        time_in_force=TimeInForce.GTC,
        **legs(OrderClass.BRACKET, 900, StopLossRequest(stop_price=5, limit_price=4.5)),
    )
    order = client.submit_order(request)
    assert [leg.status for leg in order.legs] == [OrderStatus.HELD] * 2

    def nested():
        return client.get_order_by_id(order.id, GetOrderByIdRequest(nested=True))

    filled = until(nested, lambda found: found.status is OrderStatus.FILLED)
    assert [leg.status for leg in filled.legs] == [OrderStatus.NEW, OrderStatus.HELD]
    assert client.get_open_position("AAPL").qty_available == "0"
    client.replace_order_by_id(filled.legs[0].id, ReplaceOrderRequest(limit_price=901))
    with pytest.raises(APIError, match="insufficient qty available"):
        client.submit_order(MarketOrderRequest(symbol="AAPL", qty=1, side=OrderSide.SELL, time_in_force=TimeInForce.DAY))
    client.cancel_order_by_id(nested().legs[1].id)
    assert client.get_orders(GetOrdersRequest(status=QueryOrderStatus.OPEN)) == []


def test_an_oco_and_a_trailing_stop_by_the_official_client(client):
    client.submit_order(MarketOrderRequest(symbol="MSFT", qty=2, side=OrderSide.BUY, time_in_force=TimeInForce.DAY))
    until(client.get_all_positions, lambda found: found and found[0].qty == "2")
    request = LimitOrderRequest(
        symbol="MSFT",
        qty=1,
        side=OrderSide.SELL,
        time_in_force=TimeInForce.GTC,
        limit_price=5000,
        **legs(OrderClass.OCO, 5000, StopLossRequest(stop_price=5)),
    )
    order = client.submit_order(request)
    assert (order.order_class, order.legs[0].order_class) == (OrderClass.OCO, OrderClass.OCO)
    trailing = client.submit_order(
        TrailingStopOrderRequest(symbol="MSFT", qty=1, side=OrderSide.SELL, time_in_force=TimeInForce.GTC, trail_percent=50)
    )
    seen = until(lambda: client.get_order_by_id(trailing.id), lambda found: found.hwm is not None)
    assert float(seen.stop_price) == pytest.approx(float(seen.hwm) / 2)
    tighter = client.replace_order_by_id(trailing.id, ReplaceOrderRequest(trail=40))
    assert tighter.trail_percent == "40"
    assert len(client.get_orders(GetOrdersRequest(status=QueryOrderStatus.OPEN, nested=True))) == 2


def test_money_by_the_official_client(client):
    order = client.submit_order(MarketOrderRequest(symbol="SPY", notional=100.5, side=OrderSide.BUY, time_in_force=TimeInForce.DAY))
    filled = until(lambda: client.get_order_by_id(order.id), lambda found: found.status is OrderStatus.FILLED)
    assert (filled.qty, filled.notional) == (None, "100.5")
    assert 100.4 < float(filled.filled_qty) * float(filled.filled_avg_price) <= 100.5


def test_latency_is_seen_through_the_port():
    settings = {"entry_latency": 50 * MS, "cancel_latency": 10**12, "replace_latency": 10**12}
    with simulated_venue(seed=5, start=DEFAULT_START, speed=5, second_leg="new", queue="proportional", **settings) as venue:
        client = TradingClient(venue.key, venue.secret, paper=True, url_override=venue.url)
        order = client.submit_order(
            LimitOrderRequest(symbol="AAPL", qty=1, side=OrderSide.BUY, time_in_force=TimeInForce.DAY, limit_price=1)
        )
        assert order.status is OrderStatus.PENDING_NEW
        until(lambda: client.get_order_by_id(order.id), lambda found: found.status is OrderStatus.NEW)
        client.replace_order_by_id(order.id, ReplaceOrderRequest(qty=2))
        assert client.get_order_by_id(order.id).status is OrderStatus.PENDING_REPLACE
        with pytest.raises(APIError, match="pending_replace"):
            client.cancel_order_by_id(order.id)
