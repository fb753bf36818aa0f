"""Options through the server's REST and stream: alpaca-py, unmodified, and what it does not ask."""

import asyncio
import json
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from functools import partial
from itertools import pairwise
from typing import Any

import aiohttp
import msgspec
import pytest
import requests
from alpaca.common.exceptions import APIError
from alpaca.data.historical.option import OptionHistoricalDataClient
from alpaca.data.live.option import OptionDataStream
from alpaca.data.requests import (
    OptionBarsRequest,
    OptionChainRequest,
    OptionLatestQuoteRequest,
    OptionLatestTradeRequest,
    OptionSnapshotRequest,
    OptionTradesRequest,
)
from alpaca.data.timeframe import TimeFrame
from alpaca.trading.client import TradingClient
from alpaca.trading.enums import AssetStatus, ContractType, OrderClass, OrderSide, OrderStatus, PositionIntent, TimeInForce
from alpaca.trading.requests import (
    GetOptionContractsRequest,
    GetOrdersRequest,
    LimitOrderRequest,
    MarketOrderRequest,
    OptionLegRequest,
    ReplaceOrderRequest,
)
from alpaca.trading.stream import TradingStream
from tests.venues.sim.option_market import SECOND

from pyrt.venues.sim.exchange.orders import VenueRefusal
from pyrt.venues.sim.library import SimulatedVenue, simulated_venue
from pyrt.venues.sim.server.config import SimConfig
from pyrt.venues.sim.server.options_rest import known
from pyrt.venues.sim.server.server import open_venue

pytestmark = pytest.mark.row("X08")

START = 1_772_463_600 * SECOND  # 2026-03-02 10:00 New York
VENUE = {"start": START, "cash": "1000000", "speed": 20.0, "seed": 7}


def wait_for(ready: Callable[[], Any], seconds: float = 60.0) -> Any:
    deadline = time.monotonic() + seconds
    while not (found := ready()):
        assert time.monotonic() < deadline, "it never happened"
        time.sleep(0.02)
    return found


@pytest.fixture
def trading(venue: SimulatedVenue) -> Iterator[TradingClient]:
    client = TradingClient(venue.key, venue.secret, paper=True, url_override=venue.url)
    yield client
    client.cancel_orders()
    client._session.close()


@pytest.fixture
def data(venue: SimulatedVenue) -> Iterator[OptionHistoricalDataClient]:
    client = OptionHistoricalDataClient(venue.key, venue.secret, url_override=venue.url)
    yield client
    client._session.close()


def get(venue: SimulatedVenue, path: str, expected: int = 200, method: str = "GET", **query: Any) -> Any:
    headers = {"APCA-API-KEY-ID": venue.key, "APCA-API-SECRET-KEY": venue.secret}
    response = requests.request(method, venue.url + path, params=query, headers=headers, timeout=30)
    assert response.status_code == expected, response.text[:300]
    return response.json() if response.content else None


def near_money(trading: TradingClient, kind: ContractType = ContractType.CALL, count: int = 4) -> list[str]:
    """Neighbouring strikes of AAPL around the price, lowest first, three weeks ahead."""
    found = trading.get_option_contracts(
        GetOptionContractsRequest(underlying_symbols=["AAPL"], type=kind, expiration_date=date(2026, 3, 20))
    ).option_contracts
    strikes = sorted(found, key=lambda contract: contract.strike_price)
    middle = len(strikes) // 2 - count // 2
    return [contract.symbol for contract in strikes[middle : middle + count]]


# ---------------------------------------------------------------------------------------------------- contracts
def test_contracts_by_every_filter_and_in_pages(venue: SimulatedVenue, trading: TradingClient) -> None:
    month = {"expiration_date_gte": date(2026, 3, 2), "expiration_date_lte": date(2026, 6, 1)}
    everything = trading.get_option_contracts(GetOptionContractsRequest(limit=10_000, **month)).option_contracts
    assert {c.underlying_symbol for c in everything} == {"AAPL", "MSFT", "SPY", "GOOGL", "AMZN", "TSLA"}
    week = trading.get_option_contracts(GetOptionContractsRequest(limit=10_000)).option_contracts
    assert {c.expiration_date for c in week} == {date(2026, 3, 6)}
    mine = trading.get_option_contracts(
        GetOptionContractsRequest(
            underlying_symbols=["AAPL", "SPY"],
            status=AssetStatus.ACTIVE,
            type=ContractType.PUT,
            root_symbol="AAPL",
            strike_price_gte="100",
            strike_price_lte="1000",
            expiration_date=date(2026, 3, 20),
            limit=100,
        )
    ).option_contracts
    assert len(mine) == 11
    assert {(c.root_symbol, c.type, c.expiration_date) for c in mine} == {("AAPL", ContractType.PUT, date(2026, 3, 20))}
    low, high = sorted(c.strike_price for c in mine)[3:5]
    fewer = GetOptionContractsRequest(root_symbol="AAPL", strike_price_gte=str(low), strike_price_lte=str(high), **month)
    assert {c.strike_price for c in trading.get_option_contracts(fewer).option_contracts} == {low, high}
    pages, token = [], None
    while True:
        page = trading.get_option_contracts(GetOptionContractsRequest(limit=97, page_token=token, **month))
        pages += page.option_contracts
        token = page.next_page_token
        if token is None:
            break
        assert len(page.option_contracts) == 97
    assert [c.symbol for c in pages] == [c.symbol for c in everything] == sorted(c.symbol for c in everything)
    inactive = GetOptionContractsRequest(status=AssetStatus.INACTIVE, **month)
    assert trading.get_option_contracts(inactive).option_contracts == []
    assert get(venue, "/v2/options/contracts", style="european")["option_contracts"] == []


def test_one_contract_by_symbol_and_id(venue: SimulatedVenue, trading: TradingClient) -> None:
    symbol = near_money(trading)[0]
    shown = get(venue, f"/v2/options/contracts/{symbol}")
    assert set(shown) == {
        "id", "symbol", "name", "status", "tradable", "expiration_date", "root_symbol", "underlying_symbol",
        "underlying_asset_id", "type", "style", "strike_price", "multiplier", "size", "open_interest", "open_interest_date",
        "close_price", "close_price_date",
    }  # fmt: skip
    assert (shown["size"], shown["multiplier"], shown["style"], shown["close_price_date"]) == (
        "100",
        "100",
        "american",
        "2026-02-27",
    )
    assert trading.get_option_contract(shown["id"]) == trading.get_option_contract(symbol)
    assert shown["underlying_asset_id"] == get(venue, "/v2/assets/AAPL")["id"]
    assert "has_options" in get(venue, "/v2/assets/AAPL")["attributes"]
    with pytest.raises(APIError) as caught:
        trading.get_option_contract("AAPL991218C00190000")
    assert (caught.value.status_code, caught.value.code) == (404, 40410000)


def test_the_close_of_a_contract_stays_while_its_underlying_moves(venue: SimulatedVenue, trading: TradingClient) -> None:
    def last() -> float:
        return float(get(venue, "/v2/stocks/trades/latest", symbols="AAPL")["trades"]["AAPL"]["p"])

    def moved(before: float) -> bool:
        return abs(last() - before) > 0.05

    symbol = near_money(trading)[0]
    close = get(venue, f"/v2/options/contracts/{symbol}")["close_price"]
    for _ in range(3):
        wait_for(partial(moved, last()))
        assert get(venue, f"/v2/options/contracts/{symbol}")["close_price"] == close


@pytest.mark.parametrize(
    "query",
    [
        {"limit": "0"},
        {"limit": "10001"},
        {"type": "straddle"},
        {"expiration_date": "soon"},
        {"strike_price_gte": "x"},
        {"page_token": "%%%"},
        {"status": "old"},
    ],
)
def test_filters_that_cannot_be_read(venue: SimulatedVenue, query: dict[str, str]) -> None:
    assert get(venue, "/v2/options/contracts", 400, **query)["code"] == 40010001


# ---------------------------------------------------------------------------------------------------- data
def test_the_chain_and_snapshots(data: OptionHistoricalDataClient, trading: TradingClient) -> None:
    chain = data.get_option_chain(
        OptionChainRequest(underlying_symbol="AAPL", expiration_date=date(2026, 3, 20), type=ContractType.CALL)
    )
    assert len(chain) == 11
    deltas = [chain[symbol].greeks.delta for symbol in sorted(chain)]
    assert deltas == sorted(deltas, reverse=True)
    assert 0 < deltas[-1] < deltas[0] < 1
    for symbol, shown in chain.items():
        assert shown.symbol == symbol
        assert shown.latest_quote.bid_price < shown.latest_quote.ask_price
        assert 0.05 < shown.implied_volatility < 1
        assert shown.greeks.gamma > 0 > shown.greeks.theta
        assert shown.latest_trade.price > 0
    two = near_money(trading)[:2]
    found = data.get_option_snapshot(OptionSnapshotRequest(symbol_or_symbols=[*two, "AAPL991218C00190000"]))
    assert sorted(found) == two
    whole = data.get_option_chain(OptionChainRequest(underlying_symbol="AAPL"))
    assert len(whole) > 150
    assert data.get_option_chain(OptionChainRequest(underlying_symbol="NOTHING")) == {}


def test_latest_quotes_and_trades(data: OptionHistoricalDataClient, trading: TradingClient) -> None:
    symbols = near_money(trading)
    quotes = data.get_option_latest_quote(OptionLatestQuoteRequest(symbol_or_symbols=symbols))
    asks = [quotes[symbol].ask_price for symbol in symbols]
    assert asks == sorted(asks, reverse=True)
    trades = data.get_option_latest_trade(OptionLatestTradeRequest(symbol_or_symbols=symbols))
    assert set(trades) == set(symbols)
    assert all(trade.exchange == "C" and trade.size > 0 for trade in trades.values())


def test_bars_are_those_of_the_trades(venue: SimulatedVenue, data: OptionHistoricalDataClient, trading: TradingClient) -> None:
    symbol, other = near_money(trading)[:2]
    start = datetime(2026, 3, 2, 14, 30, tzinfo=UTC)
    end = start + timedelta(minutes=25)
    asked = {"symbol_or_symbols": [symbol, other], "start": start, "end": end}
    trades = data.get_option_trades(OptionTradesRequest(**asked)).data
    bars = data.get_option_bars(OptionBarsRequest(timeframe=TimeFrame.Minute, **asked)).data
    assert trades.keys() == bars.keys()
    assert trades
    for name, rows in trades.items():
        minutes: dict[datetime, list[Any]] = {}
        for trade in rows:
            minutes.setdefault(trade.timestamp.replace(second=0, microsecond=0), []).append(trade)
        assert [bar.timestamp for bar in bars[name]] == list(minutes)
        for bar, group in zip(bars[name], minutes.values(), strict=True):
            prices = [trade.price for trade in group]
            assert (bar.open, bar.high, bar.low, bar.close) == (prices[0], max(prices), min(prices), prices[-1])
            assert (bar.volume, bar.trade_count) == (sum(trade.size for trade in group), len(group))
    query = {"symbols": f"{symbol},{other}", "start": start.isoformat(), "end": end.isoformat()}
    whole = get(venue, "/v1beta1/options/trades", **query)["trades"]
    paged: dict[str, list[Any]] = {}
    token: str | None = ""
    while token is not None:
        page = get(venue, "/v1beta1/options/trades", limit="1", page_token=token, **query)
        for name, rows in page["trades"].items():
            assert len(rows) == 1
            paged.setdefault(name, []).extend(rows)
        token = page["next_page_token"]
    assert paged == whole
    backwards = get(venue, "/v1beta1/options/trades", sort="desc", **query)["trades"]
    assert {name: rows[::-1] for name, rows in backwards.items()} == whole
    daily = get(venue, "/v1beta1/options/bars", timeframe="1Day", **query)["bars"]
    assert all(len(rows) <= 1 for rows in daily.values())


def test_reference_tables_and_refusals(venue: SimulatedVenue, data: OptionHistoricalDataClient) -> None:
    assert data.get_option_exchange_codes()["C"].startswith("CBOE")
    assert "I" in get(venue, "/v1beta1/options/meta/conditions/trade")
    assert set(get(venue, "/v1beta1/options/meta/conditions/nothing", 400)) == {"message"}
    assert get(venue, "/v1beta1/options/quotes/latest", 400) == {"message": "symbols is required"}
    assert set(get(venue, "/v1beta1/options/bars", 400, symbols="X", timeframe="7Sec")) == {"message"}
    assert get(venue, "/v1beta1/options/trades", symbols="AAPL991218C00190000") == {"trades": {}, "next_page_token": None}
    refused = get(venue, "/v1beta1/options/quotes/latest", 403, symbols="X", feed="opra")
    assert refused == {"message": "OPRA agreement is not signed"}


# ---------------------------------------------------------------------------------------------------- orders
def test_a_contract_is_bought_sold_and_exercised(trading: TradingClient) -> None:
    symbol = near_money(trading)[0]
    order = trading.submit_order(
        MarketOrderRequest(
            symbol=symbol, qty=3, side=OrderSide.BUY, time_in_force=TimeInForce.DAY, position_intent=PositionIntent.BUY_TO_OPEN
        )
    )
    assert order.asset_class == "us_option"
    wait_for(lambda: trading.get_order_by_id(order.id).status == OrderStatus.FILLED)
    position = trading.get_open_position(symbol)
    assert (position.asset_class, position.qty) == ("us_option", "3")
    assert Decimal(position.cost_basis) == 300 * Decimal(position.avg_entry_price)
    trading.exercise_options_position(symbol)
    assert symbol not in {p.symbol for p in trading.get_all_positions()}
    assert trading.get_open_position("AAPL").qty == "300"
    kinds = [row["activity_type"] for row in trading.get("/account/activities", {"direction": "desc"})[:2]]
    assert sorted(kinds) == ["OPEXC", "OPTRD"]
    with pytest.raises(APIError) as caught:
        trading.exercise_options_position(symbol)
    assert caught.value.status_code == 404
    trading.close_position("AAPL")
    wait_for(lambda: all(p.symbol != "AAPL" for p in trading.get_all_positions()))


def test_a_spread_as_one_order(venue: SimulatedVenue, trading: TradingClient) -> None:
    stream = TradingStream(venue.key, venue.secret, paper=True, url_override=venue.stream_url)
    heard: list[Any] = []

    async def hear(update: Any) -> None:
        heard.append(update)

    stream.subscribe_trade_updates(hear)
    thread = threading.Thread(target=stream.run, daemon=True)
    thread.start()
    wait_for(lambda: stream._running)
    low, _, high, _ = near_money(trading)
    legs = [
        OptionLegRequest(symbol=low, ratio_qty=1, side=OrderSide.BUY),
        OptionLegRequest(symbol=high, ratio_qty=1, side=OrderSide.SELL),
    ]
    resting = trading.submit_order(
        LimitOrderRequest(qty=1, order_class=OrderClass.MLEG, time_in_force=TimeInForce.DAY, legs=legs, limit_price=0.01)
    )
    assert (resting.symbol, resting.side, resting.order_class) == (None, None, OrderClass.MLEG)
    assert [leg.symbol for leg in resting.legs] == [low, high]
    wait_for(lambda: trading.get_order_by_id(resting.id).status == OrderStatus.NEW)
    changed = trading.replace_order_by_id(resting.id, ReplaceOrderRequest(limit_price=0.02))
    nested = trading.get_orders(GetOrdersRequest(nested=True))
    assert [order.id for order in nested if order.order_class == OrderClass.MLEG] == [changed.id]
    trading.cancel_order_by_id(changed.id)
    filled = trading.submit_order(MarketOrderRequest(qty=2, order_class=OrderClass.MLEG, time_in_force=TimeInForce.DAY, legs=legs))
    wait_for(lambda: any(u.event == "fill" and u.order.id == filled.id for u in heard))
    (fill,) = [u for u in heard if u.event == "fill" and u.order.id == filled.id]
    assert [leg.filled_qty for leg in fill.order.legs] == ["2", "2"]
    assert fill.price > 0
    assert {trading.get_open_position(low).qty, trading.get_open_position(high).qty} == {"2", "-2"}
    account = trading.get_account()
    assert account.options_trading_level == 3
    assert Decimal(account.options_buying_power) * 2 == Decimal(account.buying_power)
    stream.stop()
    venue.fault("drop_stream")  # it ends when it hears something, or after 5 s
    thread.join()


def test_a_lower_level_by_wish(venue: SimulatedVenue, trading: TradingClient) -> None:
    symbol = near_money(trading)[0]
    trading.patch("/account/configurations", {"max_options_trading_level": 1})
    try:
        assert trading.get_account().options_trading_level == 1
        with pytest.raises(APIError) as caught:
            trading.submit_order(MarketOrderRequest(symbol=symbol, qty=1, side=OrderSide.BUY, time_in_force=TimeInForce.DAY))
        assert caught.value.status_code == 403
    finally:
        trading.patch("/account/configurations", {"max_options_trading_level": None})


def test_do_not_exercise(venue: SimulatedVenue, trading: TradingClient) -> None:
    symbol = near_money(trading, ContractType.PUT)[-1]
    get(venue, f"/v2/positions/{symbol}/do-not-exercise", 404, method="POST")
    order = trading.submit_order(MarketOrderRequest(symbol=symbol, qty=1, side=OrderSide.BUY, time_in_force=TimeInForce.DAY))
    wait_for(lambda: trading.get_order_by_id(order.id).status == OrderStatus.FILLED)
    assert get(venue, f"/v2/positions/{symbol}/do-not-exercise", method="POST") is None


# ---------------------------------------------------------------------------------------------------- the stream
def test_the_stream_tells_quotes_and_prints_that_rest_tells_too(
    venue: SimulatedVenue, data: OptionHistoricalDataClient, trading: TradingClient
) -> None:
    symbols = near_money(trading)
    stream = OptionDataStream(venue.key, venue.secret, url_override=venue.url.replace("http", "ws") + "/v1beta1/indicative")
    quotes: list[Any] = []
    trades: list[Any] = []

    async def on_quote(quote: Any) -> None:
        quotes.append(quote)

    async def on_trade(trade: Any) -> None:
        trades.append(trade)

    stream.subscribe_quotes(on_quote, *symbols[:2])
    stream.subscribe_trades(on_trade, "*")
    thread = threading.Thread(target=stream.run, daemon=True)
    thread.start()
    wait_for(lambda: len(quotes) > 20 and len(trades) > 20)
    stream.stop()
    thread.join()
    assert {quote.symbol for quote in quotes} == set(symbols[:2])
    for name in symbols[:2]:
        own = [(q.bid_price, q.bid_size, q.ask_price, q.ask_size) for q in quotes if q.symbol == name]
        assert all(one != next_ for one, next_ in pairwise(own))
        times = [q.timestamp for q in quotes if q.symbol == name]
        assert times == sorted(set(times))
    asked = OptionTradesRequest(
        symbol_or_symbols=sorted({t.symbol for t in trades}), start=trades[0].timestamp, end=trades[-1].timestamp
    )
    rest = data.get_option_trades(asked).data
    for trade in trades:
        assert (trade.price, trade.size) in {(t.price, t.size) for t in rest[trade.symbol] if t.timestamp == trade.timestamp}


def speak(venue: Any, *messages: Any, path: str = "/v1beta1/indicative", packed: bool = True, count: int) -> list[Any]:
    """What a client that says `messages` hears first."""

    async def talk() -> list[Any]:
        heard: list[Any] = []
        headers = {"Content-Type": "application/msgpack"} if packed else {}
        async with aiohttp.ClientSession() as session, session.ws_connect(venue.url + path, headers=headers) as ws:
            for message in messages:
                await ws.send_bytes(msgspec.msgpack.encode(message))
            while len(heard) < count:
                frame = await ws.receive(timeout=30)
                if frame.type not in (aiohttp.WSMsgType.BINARY, aiohttp.WSMsgType.TEXT):
                    break
                heard += msgspec.msgpack.decode(frame.data) if packed else json.loads(frame.data)
        return heard

    return asyncio.run(talk())


def test_what_the_stream_refuses(venue: SimulatedVenue) -> None:
    auth = {"action": "auth", "key": venue.key, "secret": venue.secret}
    heard = speak(
        venue,
        auth,
        {"action": "subscribe", "quotes": ["*"]},
        {"action": "subscribe", "bars": ["AAPL"]},
        {"action": "subscribe", "trades": ["AAPL260320C00190000"]},
        count=5,
    )
    assert [message.get("code") for message in heard[2:4]] == [413, 410]
    assert heard[4] == {"T": "subscription", "trades": ["AAPL260320C00190000"], "quotes": []}
    told = speak(venue, packed=False, count=3)
    assert [message.get("code") for message in told] == [None, 412]
    assert [message.get("code") for message in speak(venue, auth, path="/v1beta1/opra", count=3)] == [None, 409]


def test_without_options_the_paths_say_so() -> None:
    with pytest.raises(VenueRefusal, match="lists no options") as caught:
        known(None)
    assert caught.value.http == 404


def test_a_killed_venue_keeps_contracts_and_positions(tmp_path: Any) -> None:
    settings = {"start": START, "cash": "100000", "state": str(tmp_path), "seed": 3}
    with simulated_venue(**settings) as v:
        trading = TradingClient(v.key, v.secret, paper=True, url_override=v.url)
        symbol = near_money(trading)[1]
        order = trading.submit_order(MarketOrderRequest(symbol=symbol, qty=2, side=OrderSide.BUY, time_in_force=TimeInForce.DAY))
        wait_for(lambda: trading.get_order_by_id(order.id).status == OrderStatus.FILLED)
        before = trading.get_option_contract(symbol)
        trading._session.close()
    with simulated_venue(**settings) as v:
        trading = TradingClient(v.key, v.secret, paper=True, url_override=v.url)
        assert trading.get_open_position(symbol).qty == "2"
        assert trading.get_option_contract(symbol) == before
        trading._session.close()


@pytest.mark.parametrize("level", [0, 2])
def test_the_level_of_the_venue(level: int) -> None:
    async def run() -> Any:
        async with open_venue(SimConfig(start=START, options_level=level)) as (venue, _):
            return venue.floor.exchange.account()

    assert asyncio.run(run())["options_trading_level"] == level
