"""alpaca-py's watchlists, configurations and portfolio history, unmodified, on the simulated venue."""

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
from tests.venues.sim.clients import until

pytestmark = pytest.mark.row("X08")

BUY = {"side": OrderSide.BUY, "time_in_force": TimeInForce.DAY}
SELL = {"side": OrderSide.SELL, "time_in_force": TimeInForce.DAY}
VENUE = {"speed": 60.0}


def symbols(watchlist: Any) -> list[str]:
    return [asset.symbol for asset in watchlist.assets]


def test_a_watchlist_from_its_making_to_its_end(trading: TradingClient) -> None:
    assert trading.get_watchlists() == []
    made = trading.create_watchlist(CreateWatchlistRequest(name="tech", symbols=["AAPL", "MSFT"]))
    assert (made.name, symbols(made), made.account_id) == ("tech", ["AAPL", "MSFT"], trading.get_account().id)
    assert [w.id for w in trading.get_watchlists()] == [made.id]
    assert symbols(trading.get_watchlist_by_id(made.id)) == ["AAPL", "MSFT"]
    assert symbols(trading.add_asset_to_watchlist_by_id(made.id, "SPY")) == ["AAPL", "MSFT", "SPY"]
    assert symbols(trading.remove_asset_from_watchlist_by_id(made.id, "MSFT")) == ["AAPL", "SPY"]
    changed = trading.update_watchlist_by_id(made.id, UpdateWatchlistRequest(name="all", symbols=["TSLA"]))
    assert (changed.name, symbols(changed)) == ("all", ["TSLA"])
    assert changed.updated_at >= made.updated_at
    assert trading.delete_watchlist_by_id(made.id) is None
    for call in (trading.get_watchlist_by_id, trading.delete_watchlist_by_id):
        with pytest.raises(APIError) as refused:
            call(made.id)
        assert refused.value.status_code == 404


def test_what_a_watchlist_cannot_hold(trading: TradingClient) -> None:
    with pytest.raises(APIError) as refused:
        trading.create_watchlist(CreateWatchlistRequest(name="bad", symbols=["NOSUCH"]))
    assert refused.value.status_code in (404, 422)
    assert trading.get_watchlists() == []
    with pytest.raises(APIError) as refused:
        trading.add_asset_to_watchlist_by_id(uuid4(), "AAPL")
    assert refused.value.status_code == 404


def test_configurations_have_an_effect(trading: TradingClient) -> None:
    before = trading.get_account_configurations()
    assert (before.no_shorting, before.suspend_trade, before.trade_confirm_email) == (False, False, TradeConfirmationEmail.ALL)
    changed = trading.set_account_configurations(before.model_copy(update={"no_shorting": True}))
    assert changed.no_shorting
    assert trading.get_account_configurations() == changed
    with pytest.raises(APIError) as refused:
        trading.submit_order(MarketOrderRequest(symbol="SPY", qty=1, **SELL))
    assert refused.value.status_code == 403
    trading.set_account_configurations(before.model_copy(update={"suspend_trade": True}))
    assert trading.get_account().trade_suspended_by_user
    with pytest.raises(APIError) as refused:
        trading.submit_order(LimitOrderRequest(symbol="SPY", qty=1, limit_price=10, **BUY))
    assert refused.value.status_code == 403
    assert trading.set_account_configurations(before) == before
    order = trading.submit_order(LimitOrderRequest(symbol="SPY", qty=1, limit_price=10, **BUY))
    trading.cancel_order_by_id(order.id)


def test_portfolio_history_ends_at_the_equity(trading: TradingClient) -> None:
    order = trading.submit_order(MarketOrderRequest(symbol="AAPL", qty=10, **BUY))
    until(lambda: trading.get_order_by_id(order.id).status == OrderStatus.FILLED)
    asked = GetPortfolioHistoryRequest(period="1D", timeframe="1Min", intraday_reporting="continuous", extended_hours=True)
    history = until(lambda: len((h := trading.get_portfolio_history(asked)).timestamp) >= 3 and h)
    assert len(history.equity) == len(history.profit_loss) == len(history.profit_loss_pct) == len(history.timestamp)
    assert all(b - a == 60 for a, b in zip(history.timestamp, history.timestamp[1:], strict=False))
    assert history.timeframe == "1Min"
    assert history.base_value == 100_000
    assert abs(history.equity[0] - 100_000) < 100  # at the end of the first minute, before or after the fill
    worth = Decimal(trading.get_account().equity)
    assert abs(Decimal(str(history.equity[-1])) - worth) < 100
    for equity, gain in zip(history.equity, history.profit_loss, strict=True):
        assert abs(equity - history.base_value - gain) < 0.01
    assert trading.get_portfolio_history().timeframe == "1D"
