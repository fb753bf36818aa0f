"""Orders that are more than a market or a limit order, from the strategy to the fill, in a backtest."""

from decimal import Decimal
from typing import Any

import pytest
from tests.research.test_backtest import Watcher, run

from pyrt.model import OrderStatus, OrderType

UP = [(100.0, 100.2, 99.9, 100.0, 4000)] * 3 + [(100.0 + i, 101.1 + i, 99.9 + i, 101.0 + i, 4000) for i in range(5)]
FALL = [(100.0 - i, 100.1 - i, 98.9 - i, 99.0 - i, 4000) for i in range(4)]
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


class Bracketed(Watcher):
    """One bracket: in on the second bar, out by whichever exit comes first."""

    def plan(self) -> dict[int, Any]:
        return {2: lambda: self.buy("AAPL", 10, take_profit="103.50", stop_loss="98.50", tif="gtc")}


@pytest.mark.parametrize(("bars", "ended", "px"), [(UP, 0, "103.50"), (UP[:3] + FALL, 1, "98.50")])
def test_a_bracket_ends_by_one_exit_and_the_other_is_cancelled(bars: list[Any], ended: int, px: str) -> None:
    strategy = Bracketed()
    result = run(strategy, bars)
    [entry] = strategy.orders
    out, other = entry.legs[ended], entry.legs[1 - ended]
    assert (entry.status, out.status, other.status) == (OrderStatus.FILLED, OrderStatus.FILLED, OrderStatus.CANCELED)
    assert out.average is not None
    assert abs(out.average - Decimal(px)) < 1  # a stop trades at the next print
    assert not strategy.position("AAPL")
    assert len(result.fills) == 2


class Protected(Watcher):
    """A pair behind a position, whose stop is moved up."""

    def plan(self) -> dict[int, Any]:
        return {
            2: lambda: self.buy("AAPL", 10),
            3: lambda: self.protect("AAPL", take_profit=104, stop_loss=95),
            4: lambda: self.replace(self.orders[1].stop_loss, stop=98),
        }


def test_a_pair_behind_a_position_and_its_moved_stop() -> None:
    strategy = Protected()
    result = run(strategy, UP[:3] * 2 + FALL)
    _entry, pair, moved = strategy.orders
    assert (pair.status, moved.status, moved.filled) == (OrderStatus.CANCELED, OrderStatus.FILLED, Decimal(10))
    assert pair.stop_loss.status is OrderStatus.REPLACED
    assert not strategy.position("AAPL")
    assert len(result.fills) == 2


class Auctioneer(Watcher):
    """Asks for the closing auction of a market that never closes."""

    def plan(self) -> dict[int, Any]:
        return {2: lambda: self.buy("AAPL", 10, tif="cls")}


def test_a_backtest_without_opening_hours_has_no_auctions() -> None:
    auctioneer = Auctioneer()
    run(auctioneer, UP)
    assert auctioneer.orders[0].breaches == ("MARKET_CLOSED",)
    assert auctioneer.orders[0].reason == "auction-time: use tif=day, or run the venue with its calendar"
