"""alpaca-py, unmodified, on the simulated venue: only the URLs are changed."""

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from alpaca.common.exceptions import APIError
from alpaca.data.historical import StockHistoricalDataClient
from alpaca.data.live import StockDataStream
from alpaca.data.models import Bar, Quote, Trade
from alpaca.data.requests import (
    StockBarsRequest,
    StockLatestBarRequest,
    StockLatestQuoteRequest,
    StockLatestTradeRequest,
    StockQuotesRequest,
    StockSnapshotRequest,
    StockTradesRequest,
)
from alpaca.data.timeframe import TimeFrame, TimeFrameUnit
from alpaca.trading.client import TradingClient
from alpaca.trading.enums import OrderSide, OrderStatus, QueryOrderStatus, TimeInForce
from alpaca.trading.requests import (
    GetCalendarRequest,
    GetOrdersRequest,
    LimitOrderRequest,
    MarketOrderRequest,
    ReplaceOrderRequest,
    StopLimitOrderRequest,
    StopOrderRequest,
)
from alpaca.trading.stream import TradingStream
from tests.venues.sim.clients import running, until

from pyrt.venues.sim.library import SimulatedVenue

pytestmark = pytest.mark.row("X08")
VENUE = {"speed": 60.0, "cash": "1000000"}


@pytest.fixture
def trading(venue: SimulatedVenue) -> Iterator[TradingClient]:
    client = TradingClient(venue.key, venue.secret, paper=True, url_override=venue.url)
    yield client
    client.cancel_orders()
    client.close_all_positions(cancel_orders=True)
    client._session.close()


@pytest.fixture
def data(venue: SimulatedVenue) -> Iterator[StockHistoricalDataClient]:
    client = StockHistoricalDataClient(venue.key, venue.secret, url_override=venue.url)
    yield client
    client._session.close()


def now(venue: SimulatedVenue) -> datetime:
    return datetime.fromtimestamp(venue.clock()["now_ns"] / 1e9, UTC)


def test_account_assets_clock_calendar(trading: TradingClient) -> None:
    account = trading.get_account()
    assert account.currency == "USD"
    assert float(account.buying_power) > 0
    assets = trading.get_all_assets()
    assert {"AAPL", "MSFT", "SPY", "GOOGL", "AMZN", "TSLA"} <= {a.symbol for a in assets}
    apple = trading.get_asset("AAPL")
    assert trading.get_asset(apple.id) == apple
    clock = trading.get_clock()
    assert clock.is_open
    assert clock.next_open > clock.timestamp
    days = trading.get_calendar(GetCalendarRequest(start=date(2026, 3, 2), end=date(2026, 3, 8)))
    assert len(days) == 7


def test_orders_from_submit_to_close(venue: SimulatedVenue, trading: TradingClient) -> None:
    order = trading.submit_order(MarketOrderRequest(symbol="AAPL", qty=3, side=OrderSide.BUY, time_in_force=TimeInForce.DAY))
    done = until(lambda: (o := trading.get_order_by_id(order.id)).status == OrderStatus.FILLED and o)
    assert float(done.filled_qty) == 3
    position = trading.get_open_position("AAPL")
    assert position.qty == "3"
    assert trading.get_all_positions()[0].symbol == "AAPL"
    fill = next(f for f in venue.truth()["fills"] if f["order_id"] == str(order.id))
    assert float(fill["price"]) == float(done.filled_avg_price)
    closing = trading.close_position("AAPL")
    until(lambda: trading.get_order_by_id(closing.id).status == OrderStatus.FILLED)
    with pytest.raises(APIError, match="position does not exist") as refused:
        trading.get_open_position("AAPL")
    assert refused.value.code == 40410000


def test_limit_stop_replace_cancel_and_lists(trading: TradingClient) -> None:
    day = {"qty": 1, "side": OrderSide.BUY, "time_in_force": TimeInForce.GTC, "symbol": "MSFT"}
    limit = trading.submit_order(LimitOrderRequest(limit_price=10.01, client_order_id="limit-1", **day))
    stop = trading.submit_order(StopOrderRequest(stop_price=9000.5, **day))
    both = trading.submit_order(StopLimitOrderRequest(stop_price=9000, limit_price=9001, **day))
    assert limit.limit_price == "10.01"
    open_ids = {o.id for o in trading.get_orders(GetOrdersRequest(status=QueryOrderStatus.OPEN, symbols=["MSFT"]))}
    assert {limit.id, stop.id, both.id} <= open_ids
    until(lambda: trading.get_order_by_client_id("limit-1").status == OrderStatus.NEW)
    fresh = trading.replace_order_by_id(limit.id, ReplaceOrderRequest(limit_price=10.02))
    assert fresh.replaces == limit.id
    until(lambda: trading.get_order_by_id(limit.id).status == OrderStatus.REPLACED)
    trading.cancel_order_by_id(fresh.id)
    until(lambda: trading.get_order_by_id(fresh.id).status == OrderStatus.CANCELED)
    with pytest.raises(APIError) as refused:
        trading.cancel_order_by_id(fresh.id)
    assert refused.value.status_code == 422
    answers = trading.cancel_orders()
    assert {stop.id, both.id} <= {a.id for a in answers}
    assert all(a.status == 200 for a in answers)


def test_a_duplicate_cid_is_refused(trading: TradingClient) -> None:
    request = LimitOrderRequest(
        symbol="AAPL", qty=1, side=OrderSide.BUY, time_in_force=TimeInForce.DAY, limit_price=1, client_order_id="twice"
    )
    first = trading.submit_order(request)
    with pytest.raises(APIError, match="client_order_id must be unique") as refused:
        trading.submit_order(request)
    assert refused.value.code == 40010001
    assert refused.value.status_code == 422
    assert trading.get_order_by_client_id("twice").id == first.id


def test_wrong_keys(venue: SimulatedVenue) -> None:
    client = TradingClient(venue.key, "wrong", paper=True, url_override=venue.url)
    with pytest.raises(APIError) as refused:
        client.get_account()
    assert refused.value.status_code == 401
    assert refused.value.code == 40110000
    client._session.close()
    client = StockHistoricalDataClient(venue.key, "wrong", url_override=venue.url)
    with pytest.raises(APIError) as refused:
        client.get_stock_latest_quote(StockLatestQuoteRequest(symbol_or_symbols="AAPL"))
    assert refused.value.status_code == 403
    client._session.close()


def test_history_is_paged_to_the_end_without_holes(venue: SimulatedVenue, data: StockHistoricalDataClient) -> None:
    end = now(venue)
    start = end - timedelta(hours=30)
    bars = data.get_stock_bars(
        StockBarsRequest(symbol_or_symbols=["AAPL", "MSFT"], timeframe=TimeFrame.Minute, start=start, end=end)
    )
    assert set(bars.data) == {"AAPL", "MSFT"}
    for symbol in ("AAPL", "MSFT"):
        times = [bar.timestamp for bar in bars[symbol]]
        assert len(times) == len(set(times)) > 600
        assert times == sorted(times)
        assert start <= times[0] <= times[-1] <= end
    hours = data.get_stock_bars(
        StockBarsRequest(symbol_or_symbols="AAPL", timeframe=TimeFrame(1, TimeFrameUnit.Hour), start=start, end=end)
    )
    inner = hours["AAPL"][1]
    minutes = [b for b in bars["AAPL"] if inner.timestamp <= b.timestamp < inner.timestamp + timedelta(hours=1)]
    assert inner.high == max(b.high for b in minutes)
    assert inner.volume == sum(b.volume for b in minutes)


def test_trades_and_quotes_pages_equal_one_large_page(venue: SimulatedVenue, data: StockHistoricalDataClient) -> None:
    end = now(venue) - timedelta(seconds=60)
    start = end - timedelta(seconds=60)
    whole = data.get_stock_trades(StockTradesRequest(symbol_or_symbols=["AAPL", "SPY"], start=start, end=end))
    some = data.get_stock_trades(StockTradesRequest(symbol_or_symbols=["AAPL", "SPY"], start=start, end=end, limit=3))
    assert some["AAPL"] == whole["AAPL"][:3]
    quotes = data.get_stock_quotes(StockQuotesRequest(symbol_or_symbols=["AAPL", "SPY"], start=start, end=end))
    for symbol in ("AAPL", "SPY"):
        assert all(q.bid_price < q.ask_price for q in quotes[symbol])
    newest = data.get_stock_quotes(StockQuotesRequest(symbol_or_symbols="AAPL", start=start, end=end, limit=2, sort="desc"))
    assert [q.timestamp for q in newest["AAPL"]] == [q.timestamp for q in quotes["AAPL"][::-1][:2]]


def test_latest_and_snapshot(data: StockHistoricalDataClient) -> None:
    quote = data.get_stock_latest_quote(StockLatestQuoteRequest(symbol_or_symbols="AAPL"))["AAPL"]
    trade = data.get_stock_latest_trade(StockLatestTradeRequest(symbol_or_symbols="AAPL"))["AAPL"]
    bar = data.get_stock_latest_bar(StockLatestBarRequest(symbol_or_symbols="AAPL"))["AAPL"]
    assert 0 < quote.bid_price < quote.ask_price
    assert trade.price > 0
    assert bar.low <= bar.close <= bar.high
    snapshot = data.get_stock_snapshot(StockSnapshotRequest(symbol_or_symbols=["AAPL"]))["AAPL"]
    assert snapshot.latest_quote is not None
    assert snapshot.daily_bar is not None


def test_the_data_stream_sends_quotes_trades_and_bars(venue: SimulatedVenue) -> None:
    stream = StockDataStream(venue.key, venue.secret, url_override=venue.data_url)
    heard: dict[str, list[Any]] = {"quotes": [], "trades": [], "bars": []}

    async def on_quote(quote: Quote) -> None:
        heard["quotes"].append(quote)

    async def on_trade(trade: Trade) -> None:
        heard["trades"].append(trade)

    async def on_bar(bar: Bar) -> None:
        heard["bars"].append(bar)

    stream.subscribe_quotes(on_quote, "AAPL")
    stream.subscribe_trades(on_trade, "AAPL", "MSFT")
    stream.subscribe_bars(on_bar, "*")
    with running(stream):
        until(lambda: all(heard.values()))
        count = len(heard["quotes"])
        stream.unsubscribe_quotes("AAPL")
        stream.subscribe_trades(on_trade, "SPY")
        until(lambda: any(t.symbol == "SPY" for t in heard["trades"]))
    assert {q.symbol for q in heard["quotes"]} == {"AAPL"}
    assert count > 0
    times = [q.timestamp for q in heard["quotes"]]
    assert times == sorted(times)


def test_the_trading_stream_tells_new_and_fill(venue: SimulatedVenue, trading: TradingClient) -> None:
    stream = TradingStream(venue.key, venue.secret, paper=True, url_override=venue.stream_url)
    heard: list[Any] = []

    async def on_update(update: Any) -> None:
        heard.append(update)

    stream.subscribe_trade_updates(on_update)
    with running(stream):
        until(lambda: venue.truth()["connections"][-1]["path"] == "/stream")
        order = trading.submit_order(MarketOrderRequest(symbol="SPY", qty=2, side=OrderSide.BUY, time_in_force=TimeInForce.DAY))
        until(lambda: any(u.event == "fill" and u.order.id == order.id for u in heard))
    mine = [u for u in heard if u.order.id == order.id]
    assert mine[0].event == "new"
    assert mine[-1].order.status == OrderStatus.FILLED
    assert sum(u.qty or 0 for u in mine) == 2
