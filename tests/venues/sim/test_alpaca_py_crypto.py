"""alpaca-py's crypto data and crypto orders, unmodified, on the simulated venue."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from decimal import Decimal

import pytest
from alpaca.common.exceptions import APIError
from alpaca.data.historical import CryptoHistoricalDataClient
from alpaca.data.live import CryptoDataStream
from alpaca.data.requests import (
    CryptoBarsRequest,
    CryptoLatestBarRequest,
    CryptoLatestOrderbookRequest,
    CryptoLatestQuoteRequest,
    CryptoLatestTradeRequest,
    CryptoQuoteRequest,
    CryptoSnapshotRequest,
    CryptoTradesRequest,
)
from alpaca.data.timeframe import TimeFrame
from alpaca.trading.client import TradingClient
from alpaca.trading.enums import AssetClass, OrderSide, OrderStatus, TimeInForce
from alpaca.trading.requests import GetAssetsRequest, LimitOrderRequest, MarketOrderRequest, StopLimitOrderRequest
from tests.venues.sim.clients import Heard, hears, running, until

from pyrt.venues.sim.library import SimulatedVenue, simulated_venue
from pyrt.venues.sim.times import parse_time

pytestmark = pytest.mark.row("X08")

BEGIN = "2026-03-07T16:00:30"  # a Saturday: coins know no weekend
COIN = "BTC/USD"
SECOND = timedelta(seconds=1)
GTC = {"symbol": COIN, "time_in_force": TimeInForce.GTC}
VENUE = {"speed": 30.0, "start": parse_time(BEGIN + "Z"), "seed": 5, "cash": "1000000"}


@pytest.fixture(scope="module")
def data(venue: SimulatedVenue) -> Iterator[CryptoHistoricalDataClient]:
    client = CryptoHistoricalDataClient(venue.key, venue.secret, url_override=venue.url)
    yield client
    client._session.close()


def at(minutes: float) -> datetime:
    return datetime.fromisoformat(BEGIN) + timedelta(minutes=minutes)


def test_history_needs_no_keys_and_is_one_market(venue: SimulatedVenue, data: CryptoHistoricalDataClient) -> None:
    span = {"symbol_or_symbols": [COIN, "ETH/USD"], "start": at(-12), "end": at(-1)}
    bars = data.get_crypto_bars(CryptoBarsRequest(timeframe=TimeFrame.Minute, **span))
    trades = data.get_crypto_trades(CryptoTradesRequest(**span))
    quotes = data.get_crypto_quotes(CryptoQuoteRequest(**span))
    assert set(bars.data) == set(trades.data) == set(quotes.data) == {COIN, "ETH/USD"}
    assert [b.timestamp for b in bars[COIN]] == [bars[COIN][0].timestamp + 60 * n * SECOND for n in range(len(bars[COIN]))]
    for bar in bars[COIN][1:-1]:
        mine = [t for t in trades[COIN] if bar.timestamp <= t.timestamp < bar.timestamp + 60 * SECOND]
        assert bar.trade_count == len(mine)
        assert bar.volume == pytest.approx(sum(t.size for t in mine), abs=1e-8)
        if mine:
            assert (bar.open, bar.close) == (mine[0].price, mine[-1].price)
            assert (bar.high, bar.low) == (max(t.price for t in mine), min(t.price for t in mine))
    assert all(q.bid_price < q.ask_price for q in quotes[COIN])


@pytest.fixture
def unhurried() -> Iterator[CryptoHistoricalDataClient]:
    """Data of a venue whose time is ours: the bar of a day takes long where time is fast."""
    with simulated_venue(start=parse_time(BEGIN + "Z"), seed=5) as venue:
        client = CryptoHistoricalDataClient(venue.key, venue.secret, url_override=venue.url)
        yield client
        client._session.close()


def test_latest_snapshot_and_book_agree(unhurried: CryptoHistoricalDataClient) -> None:
    data = unhurried
    trade = data.get_crypto_latest_trade(CryptoLatestTradeRequest(symbol_or_symbols=COIN))[COIN]
    quote = data.get_crypto_latest_quote(CryptoLatestQuoteRequest(symbol_or_symbols=COIN))[COIN]
    bar = data.get_crypto_latest_bar(CryptoLatestBarRequest(symbol_or_symbols=COIN))[COIN]
    book = data.get_crypto_latest_orderbook(CryptoLatestOrderbookRequest(symbol_or_symbols=COIN))[COIN]
    snapshot = data.get_crypto_snapshot(CryptoSnapshotRequest(symbol_or_symbols=[COIN]))[COIN]
    assert quote.bid_price < quote.ask_price
    assert bar.low <= bar.close <= bar.high
    assert trade.price == pytest.approx(quote.bid_price, rel=0.01)
    bids, asks = [level.price for level in book.bids], [level.price for level in book.asks]
    assert bids == sorted(bids, reverse=True)
    assert asks == sorted(asks)
    assert bids[0] < asks[0]
    assert bids[0] == pytest.approx(quote.bid_price, rel=0.01)
    assert all(level.size > 0 for level in (*book.bids, *book.asks))
    assert snapshot.latest_trade.timestamp >= trade.timestamp
    assert snapshot.daily_bar.timestamp > snapshot.previous_daily_bar.timestamp


def crypto_stream(venue: SimulatedVenue) -> CryptoDataStream:
    return CryptoDataStream(venue.key, venue.secret, url_override=venue.url.replace("http", "ws") + "/v1beta3/crypto/us")


def test_the_book_of_the_stream_is_whole_first_then_kept(venue: SimulatedVenue) -> None:
    stream, heard = crypto_stream(venue), Heard()
    stream.subscribe_orderbooks(hears(heard, "books"), COIN)
    stream.subscribe_quotes(hears(heard, "quotes"), COIN)
    with running(stream):
        until(lambda: len(heard.get("books", ())) > 40 and heard.get("quotes"))
    first, *later = heard["books"]
    assert first.reset
    sides: dict[str, dict[float, float]] = {"bids": {}, "asks": {}}
    for book in heard["books"]:
        if book.reset:
            sides = {"bids": {}, "asks": {}}
        for name, levels in sides.items():
            levels.update({level.price: level.size for level in getattr(book, name)})
            sides[name] = {px: size for px, size in levels.items() if size}
        assert max(sides["bids"]) < min(sides["asks"])
    assert any(level.size == 0 for book in later for level in (*book.bids, *book.asks))


def test_every_channel_and_its_end(venue: SimulatedVenue) -> None:
    stream, heard = crypto_stream(venue), Heard()
    names = ("trades", "quotes", "bars", "updated_bars", "daily_bars", "orderbooks")
    for name in names:
        getattr(stream, f"subscribe_{name}")(hears(heard, name), COIN)
    with running(stream):
        until(lambda: all(heard.get(name) for name in ("trades", "quotes", "bars", "daily_bars", "orderbooks")))
        for name in names:
            getattr(stream, f"unsubscribe_{name}")(COIN)
        stream.subscribe_quotes(hears(heard, "others"), "ETH/USD")
        until(lambda: heard.get("others"))
    assert {m.symbol for name in names for m in heard.get(name, ())} == {COIN}
    assert {m.symbol for m in heard["others"]} == {"ETH/USD"}
    assert all(isinstance(t.size, float) for t in heard["trades"])


def test_coins_are_bought_and_sold(venue: SimulatedVenue) -> None:
    client = TradingClient(venue.key, venue.secret, paper=True, url_override=venue.url)
    assets = client.get_all_assets(GetAssetsRequest(asset_class=AssetClass.CRYPTO))
    coin = next(asset for asset in assets if asset.symbol == COIN)
    assert coin.fractionable
    assert not coin.shortable
    assert float(coin.min_order_size) > 0
    order = client.submit_order(MarketOrderRequest(qty=0.25, side=OrderSide.BUY, **GTC))
    done = until(lambda: (o := client.get_order_by_id(order.id)).status == OrderStatus.FILLED and o)
    assert (done.asset_class, done.filled_qty) == (AssetClass.CRYPTO, "0.25")
    position = client.get_open_position(coin.id)
    assert Decimal(position.cost_basis) == Decimal("0.25") * Decimal(done.filled_avg_price)
    stop = client.submit_order(StopLimitOrderRequest(qty=0.1, side=OrderSide.SELL, stop_price=100, limit_price=99, **GTC))
    assert Decimal(client.get_open_position("BTCUSD").qty_available) == Decimal("0.15")
    client.cancel_order_by_id(stop.id)
    for wrong in (
        MarketOrderRequest(qty=1, side=OrderSide.SELL, **GTC),  # more than there is: no shorts
        LimitOrderRequest(symbol=COIN, qty=0.1, side=OrderSide.BUY, limit_price=10, time_in_force=TimeInForce.DAY),
        LimitOrderRequest(qty=0.1, side=OrderSide.BUY, limit_price=10, extended_hours=True, **GTC),
    ):
        with pytest.raises(APIError) as refused:
            client.submit_order(wrong)
        assert refused.value.status_code in (403, 422)
    client.close_all_positions(cancel_orders=True)
    until(lambda: client.get_all_positions() == [])
    client._session.close()
