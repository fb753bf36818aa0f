"""Generated pairs: their book, their bars, and alpaca-py on them."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest
import requests
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

from pyrt._core.book import OrderBook
from pyrt._core.types import Action, Flag, RecordType, Side, delta_dtype, quote_dtype, trade_dtype
from pyrt.clock import MINUTE, SECOND
from pyrt.model import AssetClass
from pyrt.venues.sim.exchange.exchange import Exchange
from pyrt.venues.sim.library import SimulatedVenue
from pyrt.venues.sim.market.archive import last_seen
from pyrt.venues.sim.market.market import DEFAULT_START, open_market
from pyrt.venues.sim.market.stream_bars import StreamBars
from pyrt.venues.sim.times import CHICAGO

pytestmark = pytest.mark.row("X08")

S = DEFAULT_START
PAIRS = "generated:symbols=BTC/USD+ETH/USD"
VENUE = {"speed": 20.0, "market": PAIRS, "start": S}


def groups(records: Any) -> list[Any]:
    """Single records, and the deltas of one event together."""
    parts = (records["type"] == int(RecordType.DELTA)) & (records["flags"] & int(Flag.LAST) == 0)
    return np.split(records, np.flatnonzero(~parts)[:-1] + 1)


def test_pairs_are_listed_beside_shares_with_ids_of_their_own() -> None:
    pairs = {i.symbol: i for i in open_market("generated", 1).instruments if i.asset_class == AssetClass.CRYPTO}
    assert {symbol: i.id for symbol, i in pairs.items()} == {"BTC/USD": 101, "ETH/USD": 102}
    assert [(i.qty_exp, i.lot) for i in pairs.values()] == [(9, 1)] * 2
    alone = open_market("generated:symbols=ETH/USD", 1).advance(S + 10 * SECOND)
    both = open_market("generated", 1).advance(S + 10 * SECOND)
    assert alone.tobytes() == both[both["instrument"] == 102].tobytes()


def test_the_top_of_the_book_is_the_quote_and_the_book_can_be_had_whole() -> None:
    market = open_market(PAIRS, 5, S + 50 * SECOND)  # over the end of a minute
    book = OrderBook(10_000_000)
    book.apply(market.book("BTC/USD", S + 50 * SECOND - 1))
    records = market.advance(S + 75 * SECOND)
    quotes = removals = 0
    for group in groups(records[records["instrument"] == 101]):
        if group["type"][0] == int(RecordType.DELTA):
            book.apply(group)
            removals += int((group.view(delta_dtype)["qty"] == 0).sum())
        elif group["type"][0] == int(RecordType.QUOTE):
            quote = group.view(quote_dtype)[0]
            assert (book.best_bid, book.best_ask) == ((quote["bid_px"], quote["bid_qty"]), (quote["ask_px"], quote["ask_qty"]))
            assert quote["bid_px"] < quote["ask_px"]
            quotes += 1
        else:
            trade = group.view(trade_dtype)[0]
            px, qty = book.best_ask if trade["taker"] == int(Side.BUY) else book.best_bid  # type: ignore[misc]
            assert trade["px"] == px
            assert 0 < trade["qty"] <= qty
    assert quotes > 200
    assert removals > 100
    whole = OrderBook(10_000_000)
    event = market.book("BTC/USD", S + 75 * SECOND)
    assert event.view(delta_dtype)["action"][0] == int(Action.CLEAR)
    whole.apply(event)
    assert [side.tolist() for side in whole.depth(50)] == [side.tolist() for side in book.depth(50)]
    assert len(whole.depth(50)[0]) == 10


def test_orders_meet_the_book_level_by_level() -> None:
    market = open_market(PAIRS, 1)
    exchange = Exchange(market.instruments, cash="10000000")
    exchange.on_market(last_seen(market, S))
    asks = [row for row in market.book("BTC/USD", S).view(delta_dtype) if row["side"] == int(Side.SELL)][:3]
    wanted = int(asks[0]["qty"]) + int(asks[1]["qty"]) + 1
    body = {"symbol": "BTC/USD", "qty": f"{wanted / 1e9:.9f}", "side": "buy", "type": "market", "time_in_force": "gtc"}
    exchange.submit(body, S)
    fills = [u for _, u in exchange.take_updates() if "price" in u]
    assert [(float(f["price"]), round(float(f["qty"]) * 1e9)) for f in fills] == [
        (int(row["px"]) / 1e9, qty) for row, qty in zip(asks, [int(asks[0]["qty"]), int(asks[1]["qty"]), 1], strict=True)
    ]


def test_a_minute_in_which_nothing_traded_is_made_of_quotes() -> None:
    market = open_market("generated:rate=0.1,symbols=BTC/USD", 4)
    bars = market.history_bars("BTC/USD", S, S + 60 * MINUTE, MINUTE)
    assert len(bars) == 61
    quiet = bars[bars["trades"] == 0]
    assert 0 < len(quiet) < 61
    assert (quiet["volume"] == 0).all()
    one = int(quiet["start"][0])
    quotes = market.history_quotes("BTC/USD", one, one + MINUTE - 1).view(quote_dtype)
    middles = (quotes["bid_px"] + quotes["ask_px"]) // 2
    told = [int(quiet[name][0]) for name in ("open_px", "high_px", "low_px", "close_px")]
    assert told == [middles[0], middles.max(), middles.min(), middles[-1]]
    stream, heard = StreamBars(market.instruments, market, CHICAGO), []
    for second in range(0, 3660, 5):
        now = S + second * SECOND
        heard.append(stream.take(market.advance(now), now).get("b", bars[:0]))
    streamed = np.concatenate(heard)
    for name in ("start", "open_px", "high_px", "low_px", "close_px", "volume", "trades", "notional_lo"):
        assert streamed[name].tolist() == bars[:-1][name].tolist(), name


# ---------------------------------------------------------------------------------------------------- over sockets
def get(venue: SimulatedVenue, path: str, **query: Any) -> Any:
    return requests.get(f"{venue.url}/v1beta3/crypto/{path}", params=query, timeout=30)


def test_data_of_pairs_needs_no_keys_but_wrong_ones_are_refused(venue: SimulatedVenue) -> None:
    assert get(venue, "us/latest/quotes", symbols="BTC/USD").status_code == 200
    wrong = {"APCA-API-KEY-ID": "x", "APCA-API-SECRET-KEY": "y"}
    url = f"{venue.url}/v1beta3/crypto/us/latest/quotes"
    assert requests.get(url, params={"symbols": "BTC/USD"}, headers=wrong, timeout=30).status_code == 403
    assert get(venue, "us-1/latest/quotes", symbols="BTC/USD").status_code == 200
    assert get(venue, "mars/latest/quotes", symbols="BTC/USD").status_code in (403, 404)


def test_shapes(venue: SimulatedVenue) -> None:
    body = get(venue, "us/trades", symbols="ETH/USD,AAPL,BTC/USD", limit=3, sort="desc").json()
    assert list(body["trades"]) == ["BTC/USD"]
    assert body["next_page_token"]
    assert {frozenset(row) for row in body["trades"]["BTC/USD"]} == {frozenset(("t", "p", "s", "i", "tks"))}
    quote = get(venue, "us/latest/quotes", symbols="BTC/USD").json()["quotes"]["BTC/USD"]
    assert set(quote) == {"t", "bp", "bs", "ap", "as"}
    book = get(venue, "us/latest/orderbooks", symbols="BTC/USD,NONE/USD").json()["orderbooks"]
    assert list(book) == ["BTC/USD"]
    bids, asks = ([level["p"] for level in book["BTC/USD"][side]] for side in "ba")
    assert bids == sorted(bids, reverse=True)
    assert asks == sorted(asks)
    assert bids[0] < asks[0]
    days = get(venue, "us/bars", symbols="BTC/USD", timeframe="1Day", start="2026-03-02T06:00:00Z").json()["bars"]["BTC/USD"]
    assert days[0]["t"] == "2026-03-02T06:00:00Z"  # the day of Chicago
    assert get(venue, "us/bars", timeframe="1Day").json() == {"message": "symbols is required"}


def test_alpaca_pys_historical_client(venue: SimulatedVenue) -> None:
    client = CryptoHistoricalDataClient(url_override=venue.url)
    now = datetime.fromtimestamp(venue.clock()["now_ns"] / 1e9, UTC)
    both, span = ["BTC/USD", "ETH/USD"], {"start": now - timedelta(minutes=3), "end": now}
    bars = client.get_crypto_bars(CryptoBarsRequest(symbol_or_symbols=both, timeframe=TimeFrame.Minute, **span))
    assert [len(bars[symbol]) for symbol in both] >= [2, 2]
    assert bars["BTC/USD"][0].low <= bars["BTC/USD"][0].vwap <= bars["BTC/USD"][0].high
    trades = client.get_crypto_trades(CryptoTradesRequest(symbol_or_symbols=both, **span))
    some = client.get_crypto_trades(CryptoTradesRequest(symbol_or_symbols=both, limit=7, **span))
    assert some["BTC/USD"] == trades["BTC/USD"][:7]
    quotes = client.get_crypto_quotes(CryptoQuoteRequest(symbol_or_symbols="ETH/USD", limit=5, **span))
    assert all(0 < q.bid_price < q.ask_price for q in quotes["ETH/USD"])
    latest = client.get_crypto_latest_trade(CryptoLatestTradeRequest(symbol_or_symbols=both))
    assert latest["BTC/USD"].price > latest["ETH/USD"].price > 0
    quote = client.get_crypto_latest_quote(CryptoLatestQuoteRequest(symbol_or_symbols="BTC/USD"))["BTC/USD"]
    assert quote.bid_price < quote.ask_price
    assert client.get_crypto_latest_bar(CryptoLatestBarRequest(symbol_or_symbols="BTC/USD"))["BTC/USD"].volume > 0
    book = client.get_crypto_latest_orderbook(CryptoLatestOrderbookRequest(symbol_or_symbols="BTC/USD"))["BTC/USD"]
    assert len(book.bids) == len(book.asks) == 10
    client._session.close()


@pytest.mark.nightly
def test_alpaca_pys_snapshot_of_pairs(venue: SimulatedVenue) -> None:
    client = CryptoHistoricalDataClient(url_override=venue.url)
    snapshot = client.get_crypto_snapshot(CryptoSnapshotRequest(symbol_or_symbols="BTC/USD"))["BTC/USD"]
    assert snapshot.daily_bar.timestamp > snapshot.previous_daily_bar.timestamp
    assert snapshot.latest_trade.price > 0
    client._session.close()


@contextmanager
def running(stream: CryptoDataStream) -> Iterator[None]:
    thread = threading.Thread(target=stream.run, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stream.stop()
        thread.join(30)


def wait_for(done: Callable[[], Any]) -> None:
    until = time.monotonic() + 60
    while not done():
        assert time.monotonic() < until
        time.sleep(0.02)


def test_alpaca_pys_stream(venue: SimulatedVenue) -> None:
    stream = CryptoDataStream(venue.key, venue.secret, url_override=venue.data_url.replace("/v2/iex", "/v1beta3/crypto/us"))
    heard: dict[str, list[Any]] = {"trades": [], "quotes": [], "bars": [], "books": []}

    def keeper(name: str) -> Any:
        async def keep(message: Any) -> None:
            heard[name].append(message)

        return keep

    stream.subscribe_trades(keeper("trades"), "BTC/USD")
    stream.subscribe_quotes(keeper("quotes"), "*")
    stream.subscribe_bars(keeper("bars"), "BTC/USD")
    stream.subscribe_orderbooks(keeper("books"), "BTC/USD")
    with running(stream):
        wait_for(lambda: all(heard.values()) and len(heard["books"]) > 300)
    assert {q.symbol for q in heard["quotes"]} == {"BTC/USD", "ETH/USD"}
    assert heard["books"][0].reset
    levels: dict[str, dict[float, float]] = {"bids": {}, "asks": {}}
    for book in heard["books"]:
        for side, held in levels.items():
            for level in getattr(book, side):
                held[level.price] = level.size
                if not level.size:
                    del held[level.price]
        assert max(levels["bids"]) < min(levels["asks"])
    assert len(levels["bids"]) == 10
    last = heard["books"][-1].timestamp
    assert (max(levels["bids"]), min(levels["asks"])) in {
        (q.bid_price, q.ask_price) for q in heard["quotes"] if q.symbol == "BTC/USD" and q.timestamp == last
    } or not any(q.timestamp == last for q in heard["quotes"])
