"""alpaca-py's options, unmodified, on the simulated venue: contracts, data, stream, orders of one leg and of several, exercise."""

from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from alpaca.common.exceptions import APIError
from alpaca.data.historical import OptionHistoricalDataClient
from alpaca.data.live import OptionDataStream
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
from alpaca.trading.enums import (
    AssetClass,
    AssetStatus,
    ContractType,
    OrderClass,
    OrderSide,
    OrderStatus,
    PositionIntent,
    TimeInForce,
)
from alpaca.trading.requests import GetOptionContractsRequest, LimitOrderRequest, MarketOrderRequest, OptionLegRequest
from tests.venues.sim.clients import Heard, hears, running, until

from pyrt.venues.sim.library import SimulatedVenue
from pyrt.venues.sim.times import parse_time

pytestmark = pytest.mark.row("X08")

BEGIN = parse_time("2026-03-04T16:00:30Z")
BUY, SELL = {"side": OrderSide.BUY, "time_in_force": TimeInForce.DAY}, {"side": OrderSide.SELL, "time_in_force": TimeInForce.DAY}
VENUE = {"speed": 30.0, "start": BEGIN, "calendar": True, "seed": 5, "cash": "1000000"}


@pytest.fixture(scope="module")
def data(venue: SimulatedVenue) -> Iterator[OptionHistoricalDataClient]:
    client = OptionHistoricalDataClient(venue.key, venue.secret, url_override=venue.url)
    yield client
    client._session.close()


@pytest.fixture(scope="module")
def calls(trading: TradingClient) -> list[Any]:
    """The calls of one expiration, the lowest strike first."""
    asked = GetOptionContractsRequest(underlying_symbols=["AAPL"], type=ContractType.CALL, status=AssetStatus.ACTIVE, limit=100)
    found = trading.get_option_contracts(asked).option_contracts
    first = [c for c in found if c.expiration_date == found[0].expiration_date]
    return sorted(first, key=lambda c: c.strike_price)


def filled(client: TradingClient, order: Any) -> Any:
    return until(lambda: (o := client.get_order_by_id(order.id)).status == OrderStatus.FILLED and o)


def test_contracts_are_found_by_every_name(trading: TradingClient, calls: list[Any]) -> None:
    contract = calls[0]
    assert contract.symbol == f"AAPL{contract.expiration_date:%y%m%d}C{round(contract.strike_price * 1000):08d}"
    assert (contract.underlying_symbol, contract.size, contract.tradable) == ("AAPL", "100", True)
    assert contract.underlying_asset_id == trading.get_asset("AAPL").id
    for name in (contract.symbol, contract.id):  # on its first day the venue knows no close: that price moves
        assert trading.get_option_contract(name).model_dump(exclude={"close_price"}) == contract.model_dump(exclude={"close_price"})
    high = str(calls[-2].strike_price)
    asked = GetOptionContractsRequest(
        underlying_symbols=["AAPL"], expiration_date=contract.expiration_date, strike_price_gte=high, type=ContractType.CALL
    )
    assert [c.symbol for c in trading.get_option_contracts(asked).option_contracts] == [c.symbol for c in calls[-2:]]
    page = trading.get_option_contracts(GetOptionContractsRequest(underlying_symbols=["AAPL"], limit=2))
    assert len(page.option_contracts) == 2
    more = GetOptionContractsRequest(underlying_symbols=["AAPL"], limit=2, page_token=page.next_page_token)
    assert not {c.symbol for c in page.option_contracts} & {c.symbol for c in trading.get_option_contracts(more).option_contracts}
    with pytest.raises(APIError) as refused:
        trading.get_option_contract("AAPL200117C00100000")
    assert refused.value.status_code == 404


def test_data_of_contracts(data: OptionHistoricalDataClient, calls: list[Any]) -> None:
    names = [c.symbol for c in calls]
    quotes = data.get_option_latest_quote(OptionLatestQuoteRequest(symbol_or_symbols=names))
    middle = [(quotes[name].bid_price + quotes[name].ask_price) / 2 for name in names]
    assert middle == sorted(middle, reverse=True), "a call of a higher strike is worth less"
    snapshots = data.get_option_snapshot(OptionSnapshotRequest(symbol_or_symbols=names[:2]))
    assert set(snapshots) == set(names[:2])
    chain = data.get_option_chain(OptionChainRequest(underlying_symbol="AAPL", type=ContractType.CALL))
    assert set(names) <= set(chain)
    deltas = [chain[name].greeks.delta for name in names]
    assert deltas == sorted(deltas, reverse=True)
    assert all(0 <= delta <= 1 for delta in deltas)
    begin = quotes[names[0]].timestamp - timedelta(hours=1)
    trades = data.get_option_trades(OptionTradesRequest(symbol_or_symbols=names, start=begin))
    bars = data.get_option_bars(OptionBarsRequest(symbol_or_symbols=names, timeframe=TimeFrame.Minute, start=begin))
    assert trades.data
    for name, rows in bars.data.items():
        assert sum(bar.trade_count for bar in rows) <= len(trades[name])
    latest = data.get_option_latest_trade(OptionLatestTradeRequest(symbol_or_symbols=names))
    assert set(trades.data) <= set(latest)
    assert isinstance(data.get_option_exchange_codes(), dict)


def test_the_stream_of_contracts(venue: SimulatedVenue, calls: list[Any]) -> None:
    stream = OptionDataStream(venue.key, venue.secret, url_override=venue.url.replace("http", "ws") + "/v1beta1/indicative")
    heard, names = Heard(), [c.symbol for c in calls]
    stream.subscribe_quotes(hears(heard, "quotes"), *names)
    stream.subscribe_trades(hears(heard, "trades"), *names)
    with running(stream):
        until(lambda: heard.get("quotes") and heard.get("trades"))
        stream.unsubscribe_quotes(*names)
        stream.unsubscribe_trades(*names)
        stream.subscribe_quotes(hears(heard, "others"), names[0])
        until(lambda: heard.get("others"))
    assert {m.symbol for m in (*heard["quotes"], *heard["trades"])} <= set(names)
    assert {m.symbol for m in heard["others"]} == {names[0]}
    assert all(0 <= q.bid_price < q.ask_price for q in heard["quotes"])


def test_a_call_is_bought_and_exercised(trading: TradingClient, calls: list[Any]) -> None:
    deep = calls[0]
    order = trading.submit_order(MarketOrderRequest(symbol=deep.symbol, qty=2, **BUY))
    done = filled(trading, order)
    assert (done.asset_class, done.position_intent) == (AssetClass.US_OPTION, PositionIntent.BUY_TO_OPEN)
    position = trading.get_open_position(deep.symbol)
    assert Decimal(position.cost_basis) == 200 * Decimal(done.filled_avg_price)
    with pytest.raises(APIError) as refused:
        trading.submit_order(MarketOrderRequest(symbol=deep.symbol, qty=0.5, **BUY))
    assert refused.value.status_code == 422
    filled(trading, trading.submit_order(MarketOrderRequest(symbol=deep.symbol, qty=1, **SELL)))
    cash = Decimal(trading.get_account().cash)
    assert trading.exercise_options_position(deep.symbol) is None
    shares = until(lambda: next((p for p in trading.get_all_positions() if p.symbol == "AAPL"), None))
    assert shares.qty == "100"
    assert cash - Decimal(trading.get_account().cash) == 100 * Decimal(str(deep.strike_price))
    assert all(p.symbol != deep.symbol for p in trading.get_all_positions())


def test_a_spread_trades_as_one(trading: TradingClient, calls: list[Any]) -> None:
    low, high = calls[4].symbol, calls[6].symbol
    legs = [
        OptionLegRequest(symbol=low, ratio_qty=1, side=OrderSide.BUY, position_intent=PositionIntent.BUY_TO_OPEN),
        OptionLegRequest(symbol=high, ratio_qty=1, side=OrderSide.SELL, position_intent=PositionIntent.SELL_TO_OPEN),
    ]
    day = {"order_class": OrderClass.MLEG, "time_in_force": TimeInForce.DAY, "legs": legs}
    order = trading.submit_order(MarketOrderRequest(qty=1, **day))
    assert order.order_class == OrderClass.MLEG
    assert {leg.symbol for leg in order.legs} == {low, high}
    filled(trading, order)
    assert {p.symbol: p.qty for p in trading.get_all_positions() if p.symbol in (low, high)} == {low: "1", high: "-1"}
    far = trading.submit_order(LimitOrderRequest(qty=1, limit_price=0.01, **day))
    trading.cancel_order_by_id(far.id)
    until(lambda: trading.get_order_by_id(far.id).status == OrderStatus.CANCELED)


def test_nobody_sells_naked(trading: TradingClient, calls: list[Any]) -> None:
    with pytest.raises(APIError) as refused:
        trading.submit_order(MarketOrderRequest(symbol=calls[-1].symbol, qty=50, **SELL))
    assert refused.value.status_code == 403
