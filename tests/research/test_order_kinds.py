"""Orders that are more than a market or a limit order, from the strategy to the fill, in a backtest."""

from decimal import Decimal
from typing import Any

from tests.research.test_backtest import Watcher, run

from pyrt.model import OrderStatus, OrderType

UP = [(100.0, 100.2, 99.9, 100.0, 4000)] * 3 + [(100.0 + i, 101.1 + i, 99.9 + i, 101.0 + i, 4000) for i in range(5)]
DOWN = [(105.0 - i, 105.1 - i, 103.9 - i, 104.0 - i, 4000) for i in range(5)]


class Trailer(Watcher):
    """Buys on the second bar, then lets a stop follow the price."""

    def plan(self) -> dict[int, Any]:
        return {2: lambda: self.buy("AAPL", 10), 3: lambda: self.protect("AAPL", trail=2)}


def test_a_trailing_stop_follows_the_best_price_and_ends_the_position() -> None:
    trailer = Trailer()
    result = run(trailer, UP + DOWN)
    _entry, stop = trailer.orders
    assert (stop.type, stop.status, stop.filled) == (OrderType.TRAILING_STOP, OrderStatus.FILLED, Decimal(10))
    assert stop.average is not None
    assert Decimal(102) < stop.average < Decimal(105)
    assert not trailer.position("AAPL")
    assert len(result.fills) == 2


class Auctioneer(Watcher):
    """Asks for the closing auction of a market that never closes."""

    def plan(self) -> dict[int, Any]:
        return {2: lambda: self.buy("AAPL", 10, tif="cls")}


def test_a_backtest_without_opening_hours_has_no_auctions() -> None:
    auctioneer = Auctioneer()
    run(auctioneer, UP)
    assert auctioneer.orders[0].breaches == ("MARKET_CLOSED",)
