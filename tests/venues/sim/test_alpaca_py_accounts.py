"""alpaca-py's watchlists, configurations and portfolio history, unmodified, on the simulated venue."""

import time
from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any
from uuid import uuid4

import pytest
from alpaca.common.exceptions import APIError
from alpaca.trading.client import TradingClient
from alpaca.trading.enums import OrderSide, OrderStatus, TimeInForce, TradeConfirmationEmail
from alpaca.trading.requests import (
    CreateWatchlistRequest,
    GetPortfolioHistoryRequest,
    LimitOrderRequest,
    MarketOrderRequest,
    UpdateWatchlistRequest,
)

from pyrt.venues.sim.library import SimulatedVenue, simulated_venue
from pyrt.venues.sim.market.market import DEFAULT_START

pytestmark = pytest.mark.row("X08")

BUY = {"side": OrderSide.BUY, "time_in_force": TimeInForce.DAY}
SELL = {"side": OrderSide.SELL, "time_in_force": TimeInForce.DAY}


@pytest.fixture(scope="module")
def venue() -> Iterator[SimulatedVenue]:
    with simulated_venue(speed=60.0, start=DEFAULT_START) as v:
        yield v


@pytest.fixture(scope="module")
def client(venue: SimulatedVenue) -> Iterator[TradingClient]:
    client = TradingClient(venue.key, venue.secret, paper=True, url_override=venue.url)
    yield client
    client._session.close()


def until(condition: Callable[[], Any], seconds: float = 60.0) -> Any:
    end = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.02)
    return found


def symbols(watchlist: Any) -> list[str]:
    return [asset.symbol for asset in watchlist.assets]


def test_a_watchlist_from_its_making_to_its_end(client: TradingClient) -> None:
    assert client.get_watchlists() == []
    made = client.create_watchlist(CreateWatchlistRequest(name="tech", symbols=["AAPL", "MSFT"]))
    assert (made.name, symbols(made), made.account_id) == ("tech", ["AAPL", "MSFT"], client.get_account().id)
    assert [w.id for w in client.get_watchlists()] == [made.id]
    assert symbols(client.get_watchlist_by_id(made.id)) == ["AAPL", "MSFT"]
    assert symbols(client.add_asset_to_watchlist_by_id(made.id, "SPY")) == ["AAPL", "MSFT", "SPY"]
    assert symbols(client.remove_asset_from_watchlist_by_id(made.id, "MSFT")) == ["AAPL", "SPY"]
    changed = client.update_watchlist_by_id(made.id, UpdateWatchlistRequest(name="all", symbols=["TSLA"]))
    assert (changed.name, symbols(changed)) == ("all", ["TSLA"])
    assert changed.updated_at >= made.updated_at
    assert client.delete_watchlist_by_id(made.id) is None
    for call in (client.get_watchlist_by_id, client.delete_watchlist_by_id):
        with pytest.raises(APIError) as refused:
            call(made.id)
        assert refused.value.status_code == 404


def test_what_a_watchlist_cannot_hold(client: TradingClient) -> None:
    with pytest.raises(APIError) as refused:
        client.create_watchlist(CreateWatchlistRequest(name="bad", symbols=["NOSUCH"]))
    assert refused.value.status_code in (404, 422)
    assert client.get_watchlists() == []
    with pytest.raises(APIError) as refused:
        client.add_asset_to_watchlist_by_id(uuid4(), "AAPL")
    assert refused.value.status_code == 404


def test_configurations_have_an_effect(client: TradingClient) -> None:
    before = client.get_account_configurations()
    assert (before.no_shorting, before.suspend_trade, before.trade_confirm_email) == (False, False, TradeConfirmationEmail.ALL)
    changed = client.set_account_configurations(before.model_copy(update={"no_shorting": True}))
    assert changed.no_shorting
    assert client.get_account_configurations() == changed
    with pytest.raises(APIError) as refused:
        client.submit_order(MarketOrderRequest(symbol="SPY", qty=1, **SELL))
    assert refused.value.status_code == 403
    client.set_account_configurations(before.model_copy(update={"suspend_trade": True}))
    assert client.get_account().trade_suspended_by_user
    with pytest.raises(APIError) as refused:
        client.submit_order(LimitOrderRequest(symbol="SPY", qty=1, limit_price=10, **BUY))
    assert refused.value.status_code == 403
    assert client.set_account_configurations(before) == before
    order = client.submit_order(LimitOrderRequest(symbol="SPY", qty=1, limit_price=10, **BUY))
    client.cancel_order_by_id(order.id)


def test_portfolio_history_ends_at_the_equity(client: TradingClient) -> None:
    order = client.submit_order(MarketOrderRequest(symbol="AAPL", qty=10, **BUY))
    until(lambda: client.get_order_by_id(order.id).status == OrderStatus.FILLED)
    asked = GetPortfolioHistoryRequest(period="1D", timeframe="1Min", intraday_reporting="continuous", extended_hours=True)
    history = until(lambda: len((h := client.get_portfolio_history(asked)).timestamp) >= 3 and h)
    assert len(history.equity) == len(history.profit_loss) == len(history.profit_loss_pct) == len(history.timestamp)
    assert all(b - a == 60 for a, b in zip(history.timestamp, history.timestamp[1:], strict=False))
    assert history.timeframe == "1Min"
    assert history.base_value == 100_000
    assert abs(history.equity[0] - 100_000) < 100  # at the end of the first minute, before or after the fill
    worth = Decimal(client.get_account().equity)
    assert abs(Decimal(str(history.equity[-1])) - worth) < 100
    for equity, gain in zip(history.equity, history.profit_loss, strict=True):
        assert abs(equity - history.base_value - gain) < 0.01
    assert client.get_portfolio_history().timeframe == "1D"
