"""alpaca-py's order classes and types, unmodified, on the simulated venue: groups, trailing stops, money, and who hears of them."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from typing import Any

import pytest
from alpaca.common.exceptions import APIError
from alpaca.data.historical import StockHistoricalDataClient
from alpaca.data.requests import StockLatestQuoteRequest
from alpaca.trading.client import TradingClient
from alpaca.trading.enums import OrderClass, OrderSide, OrderStatus, OrderType, TimeInForce
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
from alpaca.trading.stream import TradingStream
from tests.venues.sim.clients import until

from pyrt.venues.sim.library import SimulatedVenue

pytestmark = pytest.mark.row("X08")

DAY, GTC = {"time_in_force": TimeInForce.DAY}, {"time_in_force": TimeInForce.GTC}
BUY, SELL = {"side": OrderSide.BUY}, {"side": OrderSide.SELL}
NESTED = GetOrderByIdRequest(nested=True)
VENUE = {"speed": 20.0, "cash": "1000000"}


@pytest.fixture
def client(trading: TradingClient) -> Iterator[TradingClient]:
    """The client of a flat account."""
    yield trading
    trading.cancel_orders()
    trading.close_all_positions(cancel_orders=True)
    until(lambda: not trading.get_orders() and not trading.get_all_positions())


def reach(client: TradingClient, order: Any, status: OrderStatus) -> Any:
    return until(lambda: (o := client.get_order_by_id(order.id, NESTED)).status == status and o)


def buy(client: TradingClient, symbol: str, qty: float) -> Any:
    return reach(client, client.submit_order(MarketOrderRequest(symbol=symbol, qty=qty, **BUY, **DAY)), OrderStatus.FILLED)


def ask_price(venue: SimulatedVenue, symbol: str) -> float:
    data = StockHistoricalDataClient(venue.key, venue.secret, url_override=venue.url)
    price = data.get_stock_latest_quote(StockLatestQuoteRequest(symbol_or_symbols=symbol))[symbol].ask_price
    data._session.close()
    return price


def exits(px: float) -> dict[str, Any]:
    return {
        "take_profit": TakeProfitRequest(limit_price=round(px * 1.5, 2)),
        "stop_loss": StopLossRequest(stop_price=round(px * 0.5, 2), limit_price=round(px * 0.45, 2)),
    }


def test_a_bracket_whose_exits_work_when_its_entry_is_filled(client: TradingClient, venue: SimulatedVenue) -> None:
    px = ask_price(venue, "AAPL")
    request = MarketOrderRequest(symbol="AAPL", qty=2, order_class=OrderClass.BRACKET, **exits(px), **BUY, **GTC)
    order = client.submit_order(request)
    assert order.order_class == OrderClass.BRACKET
    profit, loss = order.legs
    assert (profit.type, profit.side, profit.qty, profit.status) == (OrderType.LIMIT, OrderSide.SELL, "2", OrderStatus.HELD)
    assert (loss.type, loss.side, loss.qty, loss.status) == (OrderType.STOP_LIMIT, OrderSide.SELL, "2", OrderStatus.HELD)
    assert float(profit.limit_price) == round(px * 1.5, 2)
    done = reach(client, order, OrderStatus.FILLED)
    assert {leg.id for leg in done.legs} == {profit.id, loss.id}
    reach(client, profit, OrderStatus.NEW)
    assert client.get_order_by_id(loss.id).status in (OrderStatus.HELD, OrderStatus.NEW)
    assert client.get_open_position("AAPL").qty_available == "0"
    with pytest.raises(APIError) as refused:
        client.close_position("AAPL")
    assert refused.value.status_code == 403
    client.cancel_order_by_id(loss.id)
    reach(client, profit, OrderStatus.CANCELED)
    assert client.get_open_position("AAPL").qty_available == "2"


def test_nested_lists_hold_the_legs_and_flat_ones_show_each(client: TradingClient, venue: SimulatedVenue) -> None:
    px = ask_price(venue, "AAPL")
    low = {"limit_price": round(px * 0.7, 2)}
    legs = {"take_profit": TakeProfitRequest(limit_price=round(px, 2)), "stop_loss": StopLossRequest(stop_price=round(px * 0.5, 2))}
    order = client.submit_order(
        LimitOrderRequest(symbol="AAPL", qty=2, order_class=OrderClass.BRACKET, **low, **legs, **BUY, **GTC)
    )
    nested = client.get_orders(GetOrdersRequest(nested=True))
    assert [(o.id, len(o.legs)) for o in nested] == [(order.id, 2)]
    flat = client.get_orders(GetOrdersRequest(nested=False))
    assert {o.id for o in flat} == {order.id, *(leg.id for leg in order.legs)}
    client.cancel_order_by_id(order.id)
    for one in (order, *order.legs):
        reach(client, one, OrderStatus.CANCELED)


def test_an_oco_ends_both_ways(client: TradingClient, venue: SimulatedVenue) -> None:
    buy(client, "MSFT", 4)
    px = ask_price(venue, "MSFT")
    request = LimitOrderRequest(
        symbol="MSFT",
        qty=4,
        order_class=OrderClass.OCO,
        take_profit=TakeProfitRequest(limit_price=round(px * 0.98, 2)),  # marketable: it is filled at once
        stop_loss=StopLossRequest(stop_price=round(px * 0.5, 2)),
        **SELL,
        **GTC,
    )
    order = client.submit_order(request)
    assert (order.type, order.order_class, len(order.legs)) == (OrderType.LIMIT, OrderClass.OCO, 1)
    done = reach(client, order, OrderStatus.FILLED)
    assert float(done.filled_avg_price) >= round(px * 0.98, 2)
    reach(client, order.legs[0], OrderStatus.CANCELED)
    with pytest.raises(APIError) as refused:
        client.get_open_position("MSFT")
    assert refused.value.status_code == 404


def test_an_oto_has_one_exit(client: TradingClient, venue: SimulatedVenue) -> None:
    px = ask_price(venue, "SPY")
    loss = StopLossRequest(stop_price=round(px * 0.5, 2))
    request = MarketOrderRequest(symbol="SPY", qty=3, order_class=OrderClass.OTO, stop_loss=loss, **BUY, **DAY)
    order = client.submit_order(request)
    (leg,) = order.legs
    assert (leg.type, leg.status) == (OrderType.STOP, OrderStatus.HELD)
    reach(client, order, OrderStatus.FILLED)
    working = reach(client, leg, OrderStatus.NEW)
    assert working.qty == "3"
    fresh = client.replace_order_by_id(leg.id, ReplaceOrderRequest(stop_price=round(px * 0.6, 2)))
    assert (fresh.replaces, fresh.order_class) == (leg.id, OrderClass.OTO)
    assert float(fresh.stop_price) == round(px * 0.6, 2)


def test_groups_that_cannot_be(client: TradingClient, venue: SimulatedVenue) -> None:
    px = ask_price(venue, "AAPL")
    good = exits(px)
    crossed = {
        "take_profit": TakeProfitRequest(limit_price=round(px * 0.5, 2)),
        "stop_loss": StopLossRequest(stop_price=round(px * 1.5, 2)),
    }
    for change in (
        {**good, "qty": 1.5},
        {**good, "time_in_force": TimeInForce.IOC},
        {**good, "extended_hours": True},
        {**crossed},
        {**good, "order_class": OrderClass.OCO, "side": OrderSide.SELL, "limit_price": round(px * 1.5, 2)},  # nothing to exit
    ):
        fields = {"symbol": "AAPL", "qty": 1, "order_class": OrderClass.BRACKET, "limit_price": round(px, 2), **BUY, **GTC}
        with pytest.raises(APIError) as refused:
            client.submit_order(LimitOrderRequest(**{**fields, **change}))
        assert refused.value.status_code in (403, 422), change
    assert client.get_orders() == []


def test_a_trailing_stop_follows_and_can_be_changed(client: TradingClient) -> None:
    buy(client, "AAPL", 2)
    percent = client.submit_order(TrailingStopOrderRequest(symbol="AAPL", qty=1, trail_percent=2.5, **SELL, **GTC))
    price = client.submit_order(TrailingStopOrderRequest(symbol="AAPL", qty=1, trail_price=3, **SELL, **DAY))
    shown = until(lambda: (o := client.get_order_by_id(percent.id)).hwm and o)
    assert (shown.type, shown.trail_percent, shown.trail_price) == (OrderType.TRAILING_STOP, "2.5", None)
    assert Decimal(shown.stop_price) == Decimal(shown.hwm) * Decimal("0.975")
    shown = until(lambda: (o := client.get_order_by_id(price.id)).hwm and o)
    assert Decimal(shown.stop_price) == Decimal(shown.hwm) - 3
    fresh = client.replace_order_by_id(price.id, ReplaceOrderRequest(trail=5))
    assert (fresh.trail_price, fresh.replaces) == ("5", price.id)


def test_money_buys_a_fraction(client: TradingClient) -> None:
    order = client.submit_order(MarketOrderRequest(symbol="SPY", notional=150.5, **BUY, **DAY))
    assert (order.notional, order.qty) == ("150.5", None)
    done = reach(client, order, OrderStatus.FILLED)
    spent = Decimal(done.filled_qty) * Decimal(done.filled_avg_price)
    assert Decimal("150.49") < spent <= Decimal("150.5")
    assert done.qty is None
    assert client.get_open_position("SPY").qty == done.filled_qty
    with pytest.raises(APIError) as refused:
        client.submit_order(MarketOrderRequest(symbol="SPY", notional=0.5, **BUY, **DAY))
    assert refused.value.status_code == 422
    with pytest.raises(APIError) as refused:
        client.submit_order(MarketOrderRequest(symbol="SPY", notional=10, **BUY, **GTC))
    assert refused.value.status_code == 422


@contextmanager
def listening(venue: SimulatedVenue) -> Iterator[list[Any]]:
    heard: list[Any] = []
    stream = TradingStream(venue.key, venue.secret, paper=True, url_override=venue.stream_url)

    async def on_update(update: Any) -> None:
        heard.append(update)

    stream.subscribe_trade_updates(on_update)
    thread = threading.Thread(target=stream.run, daemon=True)
    thread.start()
    try:
        until(lambda: stream._running and venue.truth()["connections"][-1]["path"] == "/stream")
        yield heard
    finally:
        stream.stop()
        venue.fault("drop_stream")  # it ends when it hears something, or after 5 s
        thread.join(30)
        assert not thread.is_alive()


def test_the_stream_tells_of_every_leg(client: TradingClient, venue: SimulatedVenue) -> None:
    px = ask_price(venue, "AAPL")
    with listening(venue) as heard:
        request = MarketOrderRequest(symbol="AAPL", qty=2, order_class=OrderClass.BRACKET, **exits(px), **BUY, **GTC)
        order = client.submit_order(request)
        profit, loss = order.legs
        reach(client, profit, OrderStatus.NEW)
        client.cancel_order_by_id(profit.id)
        until(lambda: {u.order.id for u in heard if u.event == "canceled"} >= {profit.id, loss.id})
    told = {one.id: [u.event for u in heard if u.order.id == one.id] for one in (order, profit, loss)}
    assert told[order.id][0] == "new"
    assert told[order.id][-1] == "fill"
    assert told[profit.id][0] == told[loss.id][0] == "held"
    assert told[profit.id][-2:] == ["new", "canceled"]
