"""alpaca-py's stock data, unmodified, on the simulated venue: history, latest and stream tell one and the same market."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import pytest
from alpaca.common.exceptions import APIError
from alpaca.data.enums import Adjustment, DataFeed
from alpaca.data.historical import StockHistoricalDataClient
from alpaca.data.live import StockDataStream
from alpaca.data.models import Bar
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
from alpaca.trading.enums import OrderSide, TimeInForce
from alpaca.trading.requests import MarketOrderRequest
from alpaca.trading.stream import TradingStream
from tests.venues.sim.clients import Heard, hears, running, until

from pyrt.venues.sim.library import SimulatedVenue, simulated_venue
from pyrt.venues.sim.times import parse_time

pytestmark = pytest.mark.row("X08")

BEGIN = "2026-03-04T16:00:30"
SECOND = timedelta(seconds=1)
VENUE = {"market": "generated:rate=5", "speed": 60.0, "start": parse_time(BEGIN + "Z"), "seed": 5}


@pytest.fixture(scope="module")
def data(venue: SimulatedVenue) -> Iterator[StockHistoricalDataClient]:
    client = StockHistoricalDataClient(venue.key, venue.secret, url_override=venue.url)
    yield client
    client._session.close()


@pytest.fixture
def unhurried() -> Iterator[StockHistoricalDataClient]:
    """Data of a venue whose time is ours: the bar of a day takes long where time is fast, and prints are taken back soon."""
    with simulated_venue(start=parse_time(BEGIN + "Z"), seed=5) as venue:
        client = StockHistoricalDataClient(venue.key, venue.secret, url_override=venue.url)
        yield client
        client._session.close()


# ---------------------------------------------------------------------------------------------------- history
def at(minutes: float) -> datetime:
    """An instant of the past of the venue."""
    return datetime.fromisoformat(BEGIN) + timedelta(minutes=minutes)


def test_bars_are_made_of_the_trades_of_their_minute(venue: SimulatedVenue, data: StockHistoricalDataClient) -> None:
    span = {"symbol_or_symbols": "AAPL", "start": at(-12), "end": at(-1)}
    bars = data.get_stock_bars(StockBarsRequest(timeframe=TimeFrame.Minute, **span))["AAPL"]
    raw = StockHistoricalDataClient(venue.key, venue.secret, url_override=venue.url, raw_data=True)
    rows = raw.get_stock_trades(StockTradesRequest(**span))["AAPL"]
    raw._session.close()
    trades = data.get_stock_trades(StockTradesRequest(**span))["AAPL"]
    assert len(rows) == len(trades)
    trades = [t for t, row in zip(trades, rows, strict=True) if row.get("u") not in ("canceled", "incorrect")]
    assert 9 <= len(bars) <= 12
    for bar in bars[1:-1]:
        mine = [t for t in trades if bar.timestamp <= t.timestamp < bar.timestamp + 60 * SECOND]
        regular = [t for t in mine if not set(t.conditions or []) & {"I"}]
        assert (bar.volume, bar.trade_count) == (sum(t.size for t in mine), len(mine))
        prices = [t.price for t in regular]
        assert (bar.open, bar.high, bar.low, bar.close) == (prices[0], max(prices), min(prices), prices[-1])
        assert bar.low <= bar.vwap <= bar.high


@pytest.mark.parametrize(
    ("amount", "unit", "minutes"), [(5, "Minute", 5), (1, "Hour", 60), pytest.param(1, "Day", 1440, marks=pytest.mark.nightly)]
)
def test_longer_bars_are_made_of_shorter_ones(data: StockHistoricalDataClient, amount: int, unit: str, minutes: int) -> None:
    begin, end = at(-2.1 * minutes), at(-1)
    small = StockBarsRequest(symbol_or_symbols="MSFT", timeframe=TimeFrame.Minute, start=begin, end=end)
    large = StockBarsRequest(
        symbol_or_symbols="MSFT", timeframe=TimeFrame(amount, TimeFrameUnit[unit]), start=begin, end=end, adjustment=Adjustment.RAW
    )
    ones = data.get_stock_bars(small)["MSFT"]
    bar = data.get_stock_bars(large)["MSFT"][0]  # over, whatever the time is
    parts = [b for b in ones if bar.timestamp <= b.timestamp < bar.timestamp + 60 * minutes * SECOND]
    assert parts
    assert (bar.open, bar.close, bar.high, bar.low) == (
        parts[0].open,
        parts[-1].close,
        max(b.high for b in parts),
        min(b.low for b in parts),
    )
    assert bar.volume == sum(b.volume for b in parts)


def test_pages_limits_sort_and_empty_answers(data: StockHistoricalDataClient) -> None:
    span = {"symbol_or_symbols": ["AAPL", "MSFT"], "start": at(-30), "end": at(-20)}
    whole = data.get_stock_trades(StockTradesRequest(feed=DataFeed.IEX, **span))
    some = data.get_stock_trades(StockTradesRequest(limit=5, **span))
    assert some.data == {"AAPL": whole["AAPL"][:5]}
    newest = data.get_stock_trades(StockTradesRequest(limit=5, sort="desc", **span))
    assert newest["AAPL"] == whole["AAPL"][::-1][:5]
    quotes = data.get_stock_quotes(StockQuotesRequest(**span))
    for symbol in ("AAPL", "MSFT"):
        assert all(q.bid_price < q.ask_price and q.bid_size > 0 and q.ask_size > 0 for q in quotes[symbol])
        assert [q.timestamp for q in quotes[symbol]] == sorted(q.timestamp for q in quotes[symbol])
    nothing = data.get_stock_bars(
        StockBarsRequest(symbol_or_symbols="NOSUCH", timeframe=TimeFrame.Minute, start=at(-9), end=at(-8))
    )
    assert nothing.data == {}
    with pytest.raises(APIError) as refused:
        data.get("/stocks/bars", {"symbols": "AAPL", "timeframe": "7Fortnights"})
    assert refused.value.status_code == 400


def test_latest_is_the_end_of_history(unhurried: StockHistoricalDataClient) -> None:
    data = unhurried
    trade = data.get_stock_latest_trade(StockLatestTradeRequest(symbol_or_symbols="SPY"))["SPY"]
    quote = data.get_stock_latest_quote(StockLatestQuoteRequest(symbol_or_symbols=["SPY", "NOSUCH"]))
    bar = data.get_stock_latest_bar(StockLatestBarRequest(symbol_or_symbols="SPY"))["SPY"]
    assert set(quote) == {"SPY"}
    for kind, latest, request, more in (
        (data.get_stock_trades, trade, StockTradesRequest, {}),
        (data.get_stock_quotes, quote["SPY"], StockQuotesRequest, {}),
        (data.get_stock_bars, bar, StockBarsRequest, {"timeframe": TimeFrame.Minute}),
    ):
        begin = latest.timestamp - (120 if more else 2) * SECOND
        rows = kind(request(symbol_or_symbols="SPY", start=begin, end=latest.timestamp + SECOND / 10**6, **more))["SPY"]
        assert rows[-1] == latest
    snapshot = data.get_stock_snapshot(StockSnapshotRequest(symbol_or_symbols=["SPY"]))["SPY"]
    assert snapshot.latest_trade.timestamp >= trade.timestamp
    assert snapshot.minute_bar.timestamp >= bar.timestamp
    assert snapshot.daily_bar.timestamp > snapshot.previous_daily_bar.timestamp
    assert snapshot.daily_bar.low <= snapshot.minute_bar.low


# ---------------------------------------------------------------------------------------------------- streams
def test_the_stream_tells_what_history_will_tell(venue: SimulatedVenue, data: StockHistoricalDataClient) -> None:
    stream, heard = StockDataStream(venue.key, venue.secret, url_override=venue.data_url), Heard()
    stream.subscribe_trades(hears(heard, "trades"), "AAPL")
    stream.subscribe_quotes(hears(heard, "quotes"), "AAPL")
    stream.subscribe_bars(hears(heard, "bars"), "AAPL")
    stream.subscribe_daily_bars(hears(heard, "days"), "AAPL")
    with running(stream):
        until(lambda: len(heard.get("bars", ())) >= 2 and heard.get("days"))
    for name, kind, request in (
        ("trades", data.get_stock_trades, StockTradesRequest),
        ("quotes", data.get_stock_quotes, StockQuotesRequest),
    ):
        live = heard[name]
        assert [m.timestamp for m in live] == sorted(m.timestamp for m in live)
        later = kind(request(symbol_or_symbols="AAPL", start=live[0].timestamp, end=live[-1].timestamp))["AAPL"]
        assert [tell(m) for m in later if live[0].timestamp < m.timestamp < live[-1].timestamp] == [
            tell(m) for m in live if live[0].timestamp < m.timestamp < live[-1].timestamp
        ]
    bar: Bar = heard["bars"][-1]
    minute = StockBarsRequest(symbol_or_symbols="AAPL", timeframe=TimeFrame.Minute, start=bar.timestamp, end=bar.timestamp)
    assert data.get_stock_bars(minute)["AAPL"] == [bar]
    day = heard["days"][-1]
    assert (day.timestamp.hour, day.timestamp.minute) == (5, 0)
    assert day.low <= bar.low <= bar.high <= day.high


def tell(message: Any) -> tuple[Any, ...]:
    """What matters of a trade or a quote, whichever way it came."""
    fields = (
        ("timestamp", "price", "size", "id") if hasattr(message, "price") else ("timestamp", "bid_price", "ask_price", "bid_size")
    )
    return tuple(getattr(message, field) for field in fields)


def test_every_subscription_can_be_taken_back(venue: SimulatedVenue) -> None:
    stream, heard = StockDataStream(venue.key, venue.secret, url_override=venue.data_url), Heard()
    names = ("trades", "quotes", "bars", "updated_bars", "daily_bars", "trading_statuses")
    stream.register_trade_corrections(hears(heard, "corrections"))
    stream.register_trade_cancels(hears(heard, "cancels"))
    for name in names:
        getattr(stream, f"subscribe_{name}")(hears(heard, name), "AAPL", "SPY")
    with running(stream):
        until(lambda: heard.get("trades") and heard.get("quotes") and heard.get("bars"))
        for name in names:
            getattr(stream, f"unsubscribe_{name}")("AAPL", "SPY")
        stream.subscribe_trades(hears(heard, "others"), "MSFT")
        until(lambda: heard.get("others"))
        count = {name: len(rows) for name, rows in heard.items() if name != "others"}
        seen = len(heard["others"])
        until(lambda: len(heard["others"]) > seen + 20)
        assert count == {name: len(rows) for name, rows in heard.items() if name != "others"}
    assert {m.symbol for m in heard["trades"]} == {"AAPL", "SPY"}
    assert {m.symbol for m in heard["others"]} == {"MSFT"}


def test_a_star_is_every_symbol(venue: SimulatedVenue) -> None:
    stream, heard = StockDataStream(venue.key, venue.secret, url_override=venue.data_url), Heard()
    stream.subscribe_quotes(hears(heard, "quotes"), "*")
    with running(stream):
        until(lambda: len({q.symbol for q in heard.get("quotes", ())}) >= 6)


def test_stop_ws_and_close_end_a_stream(venue: SimulatedVenue) -> None:
    for _ in range(2):  # the one slot of the account is free again at once
        stop_by_itself(StockDataStream(venue.key, venue.secret, url_override=venue.data_url))


def stop_by_itself(stream: StockDataStream) -> None:
    heard = Heard()
    stream.subscribe_quotes(hears(heard, "quotes"), "AAPL")
    with running(stream) as thread:
        until(lambda: heard.get("quotes"))
        stream._loop.call_soon_threadsafe(lambda: stream._loop.create_task(stream.stop_ws()))
        thread.join(30)
        assert not stream._running


def test_the_trading_stream_tells_the_life_of_an_order(venue: SimulatedVenue) -> None:
    client = TradingClient(venue.key, venue.secret, paper=True, url_override=venue.url)
    stream, heard = TradingStream(venue.key, venue.secret, paper=True, url_override=venue.stream_url), Heard()
    stream.subscribe_trade_updates(hears(heard, "updates"))
    with running(stream) as thread:
        until(lambda: venue.truth()["connections"][-1]["path"] == "/stream")
        request = MarketOrderRequest(symbol="AAPL", qty=3, side=OrderSide.BUY, time_in_force=TimeInForce.DAY)
        order = client.submit_order(request)
        until(lambda: any(u.event == "fill" for u in heard.get("updates", ())))
        stream._loop.call_soon_threadsafe(lambda: stream._loop.create_task(stream.stop_ws()))
        venue.fault("drop_stream")  # it ends when it hears something, or after 5 s
        thread.join(30)
    client._session.close()
    assert heard["updates"][0].event == "new"
    fills = [u for u in heard["updates"] if u.event in ("partial_fill", "fill")]
    assert {u.order.id for u in fills} == {order.id}
    assert sum(u.qty for u in fills) == fills[-1].position_qty == 3
    assert fills[-1].order.filled_avg_price is not None
    assert all(u.execution_id for u in fills)
