"""What alpaca-py's README and its first notebooks do, call for call, with only the URLs (and, for the README, the year) changed."""

from datetime import datetime, timedelta

import pytest
from alpaca.common.exceptions import APIError
from alpaca.data.historical import CryptoHistoricalDataClient, StockHistoricalDataClient
from alpaca.data.historical.news import NewsClient
from alpaca.data.requests import (
    CryptoBarsRequest,
    CryptoLatestOrderbookRequest,
    CryptoLatestQuoteRequest,
    NewsRequest,
    StockBarsRequest,
    StockLatestQuoteRequest,
    StockQuotesRequest,
    StockTradesRequest,
)
from alpaca.data.timeframe import TimeFrame, TimeFrameUnit
from alpaca.trading.client import TradingClient
from alpaca.trading.enums import AssetClass, AssetStatus, OrderClass, OrderSide, OrderStatus, QueryOrderStatus, TimeInForce
from alpaca.trading.requests import (
    ClosePositionRequest,
    GetAssetsRequest,
    GetOrdersRequest,
    LimitOrderRequest,
    MarketOrderRequest,
    ReplaceOrderRequest,
    StopLimitOrderRequest,
    StopLossRequest,
    StopOrderRequest,
    TakeProfitRequest,
    TrailingStopOrderRequest,
)
from tests.venues.sim.clients import until

from pyrt.venues.sim.library import SimulatedVenue
from pyrt.venues.sim.times import parse_time

pytestmark = pytest.mark.row("X08")

JULY = "2022-07-01"  # since when the README asks for bars; the venue's time is that morning
VENUE = {"start": parse_time("2022-07-01T06:00:00Z"), "speed": 20.0, "cash": "1000000"}


# ---------------------------------------------------------------------------------------------------- README
def test_bars_of_coins_since_july_without_keys(venue: SimulatedVenue) -> None:
    client = CryptoHistoricalDataClient(url_override=venue.url)
    request = CryptoBarsRequest(
        symbol_or_symbols=["BTC/USD", "ETH/USD"], timeframe=TimeFrame.Day, start=datetime.strptime(JULY, "%Y-%m-%d")
    )
    bars = client.get_crypto_bars(request)
    client._session.close()
    frame = bars.df
    assert frame.index.names == ["symbol", "timestamp"]
    assert set(frame.index.get_level_values("symbol")) == {"BTC/USD", "ETH/USD"}
    assert list(frame.columns) == ["open", "high", "low", "close", "volume", "trade_count", "vwap"]
    assert frame.index.get_level_values("timestamp").min().date().isoformat() >= JULY
    assert (frame["low"] <= frame["high"]).all()


def test_an_order_for_a_coin(trading: TradingClient) -> None:
    order = {"symbol": "BTC/USD", "qty": 0.0001, "side": OrderSide.BUY}
    # The README says DAY; coins are traded gtc or ioc only, and its own venue refuses DAY too.
    with pytest.raises(APIError) as refused:
        trading.submit_order(order_data=MarketOrderRequest(time_in_force=TimeInForce.DAY, **order))
    assert refused.value.status_code == 422
    made = trading.submit_order(order_data=MarketOrderRequest(time_in_force=TimeInForce.GTC, **order))
    done = until(lambda: (o := trading.get_order_by_id(made.id)).status == OrderStatus.FILLED and o)
    assert done.filled_qty == "0.0001"


def test_a_request_from_a_dictionary(trading: TradingClient) -> None:
    posted = {"symbol": "SPY", "qty": 3, "side": "buy", "time_in_force": "day"}
    request = MarketOrderRequest(**posted)
    made = trading.submit_order(order_data=request)
    until(lambda: trading.get_order_by_id(made.id).status == OrderStatus.FILLED)
    assert float(trading.get_open_position("SPY").qty) == 3


def test_news_are_absent_and_say_so(venue: SimulatedVenue) -> None:
    client = NewsClient(venue.key, venue.secret, url_override=venue.url)
    with pytest.raises(APIError, match="news") as refused:
        client.get_news(NewsRequest(symbols="TSLA", start=datetime.strptime(JULY, "%Y-%m-%d")))
    assert 400 <= refused.value.status_code < 500
    client._session.close()


# ---------------------------------------------------------------------------------------------------- notebooks
def test_the_first_notebook_on_stocks(venue: SimulatedVenue, trading: TradingClient) -> None:
    trading.get_account()
    trading.get_account_configurations()
    assets = trading.get_all_assets(GetAssetsRequest(status=AssetStatus.ACTIVE, asset_class=AssetClass.US_EQUITY))
    assert any(asset.symbol == "SPY" for asset in assets)
    data = StockHistoricalDataClient(venue.key, venue.secret, url_override=venue.url)
    px = data.get_stock_latest_quote(StockLatestQuoteRequest(symbol_or_symbols=["SPY"]))["SPY"].ask_price
    day = {"symbol": "SPY", "qty": 1, "time_in_force": TimeInForce.DAY}
    buy, sell = {"side": OrderSide.BUY}, {"side": OrderSide.SELL}
    entry = trading.submit_order(MarketOrderRequest(symbol="SPY", qty=5.5, time_in_force=TimeInForce.DAY, **buy))
    until(lambda: trading.get_order_by_id(entry.id).status == OrderStatus.FILLED)
    by_money = trading.submit_order(MarketOrderRequest(symbol="SPY", notional=1.11, time_in_force=TimeInForce.DAY, **buy))
    until(lambda: trading.get_order_by_id(by_money.id).status == OrderStatus.FILLED)
    for request in (
        LimitOrderRequest(limit_price=round(px * 1.2, 2), **day, **sell),
        StopOrderRequest(stop_price=round(px * 0.8, 2), **day, **sell),
        StopLimitOrderRequest(stop_price=round(px * 0.8, 2), limit_price=round(px * 0.79, 2), **day, **sell),
        TrailingStopOrderRequest(trail_percent=20, **day, **sell),
    ):
        assert trading.submit_order(request).symbol == "SPY"
    working = trading.get_orders(GetOrdersRequest(status=QueryOrderStatus.OPEN, symbols=["SPY"]))
    assert len(working) == 4
    limit = next(order for order in working if order.type.value == "limit")
    trading.replace_order_by_id(limit.id, ReplaceOrderRequest(limit_price=round(px * 1.3, 2)))
    trading.cancel_orders()
    until(lambda: not trading.get_orders())
    legs = {
        "take_profit": TakeProfitRequest(limit_price=round(px * 1.3, 2)),
        "stop_loss": StopLossRequest(stop_price=round(px * 0.7, 2)),
    }
    bracket = trading.submit_order(MarketOrderRequest(order_class=OrderClass.BRACKET, **legs, **day, **buy))
    assert len(bracket.legs) == 2
    oto = trading.submit_order(
        LimitOrderRequest(limit_price=round(px * 0.9, 2), order_class=OrderClass.OTO, take_profit=legs["take_profit"], **day, **buy)
    )
    assert len(oto.legs) == 1
    oco = trading.submit_order(LimitOrderRequest(order_class=OrderClass.OCO, **legs, **day, **sell))
    assert len(oco.legs) == 1
    trading.cancel_orders()
    until(lambda: not trading.get_orders())
    assert trading.get_all_positions()
    trading.close_position("SPY", ClosePositionRequest(qty="0.01"))
    until(lambda: not trading.get_orders())
    trading.close_all_positions(cancel_orders=True)
    until(lambda: not trading.get_all_positions())
    now = datetime.fromtimestamp(venue.clock()["now_ns"] / 1e9) - timedelta(hours=1)
    frame = data.get_stock_bars(
        StockBarsRequest(symbol_or_symbols=["SPY"], timeframe=TimeFrame(amount=1, unit=TimeFrameUnit.Minute), start=now, limit=5)
    ).df
    assert len(frame) == 5
    trades = data.get_stock_trades(StockTradesRequest(symbol_or_symbols=["SPY"], start=now, limit=5)).df
    quotes = data.get_stock_quotes(StockQuotesRequest(symbol_or_symbols=["SPY"], start=now, limit=5)).df
    assert (len(trades), len(quotes)) == (5, 5)
    data._session.close()


def test_the_first_notebook_on_coins(venue: SimulatedVenue, trading: TradingClient) -> None:
    data = CryptoHistoricalDataClient(url_override=venue.url)
    px = data.get_crypto_latest_quote(CryptoLatestQuoteRequest(symbol_or_symbols="ETH/USD"))["ETH/USD"].ask_price
    book = data.get_crypto_latest_orderbook(CryptoLatestOrderbookRequest(symbol_or_symbols="ETH/USD"))["ETH/USD"]
    assert book.bids[0].price < book.asks[0].price
    coin = {"symbol": "ETH/USD", "side": OrderSide.BUY, "time_in_force": TimeInForce.GTC}
    entry = trading.submit_order(MarketOrderRequest(qty=0.1, **coin))
    by_money = trading.submit_order(MarketOrderRequest(notional=20, **coin))
    for order in (entry, by_money):
        until(lambda order=order: trading.get_order_by_id(order.id).status == OrderStatus.FILLED)
    limit = trading.submit_order(LimitOrderRequest(qty=0.01, limit_price=round(px * 0.7, 1), **coin))
    stop = trading.submit_order(
        StopLimitOrderRequest(qty=0.01, stop_price=round(px * 1.4, 1), limit_price=round(px * 1.5, 1), **coin)
    )
    assert {o.id for o in trading.get_orders(GetOrdersRequest(symbols=["ETH/USD"]))} == {limit.id, stop.id}
    trading.cancel_order_by_id(limit.id)
    trading.cancel_orders()
    trading.close_position("ETHUSD")
    until(lambda: all(p.symbol != "ETHUSD" and p.symbol != "ETH/USD" for p in trading.get_all_positions()))
    data._session.close()
