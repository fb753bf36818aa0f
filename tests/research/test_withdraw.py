"""A backtest in which an order is cancelled while its request is on the way."""

import numpy as np

from pyrt import Bar, Order, Strategy
from pyrt._core.types import bar_dtype
from pyrt.clock import MINUTE
from pyrt.model import OrderStatus
from pyrt.research import backtest

PX, START = 1_000_000_000, 1_767_366_000_000_000_000


class Fickle(Strategy):
    """Buys far below the market, and is sorry at once."""

    symbols = ("AAPL",)
    interval = "1m"

    def on_start(self) -> None:
        self.orders: list[Order] = []

    def on_bar(self, bar: Bar) -> None:
        self.orders.append(self.buy("AAPL", 1, limit=90))
        self.cancel(self.orders[-1])


def test_a_cancel_of_an_order_under_way_follows_it() -> None:
    bars = np.zeros(5, bar_dtype)
    bars["start"] = START + MINUTE * np.arange(5)
    bars["interval"] = MINUTE
    for name in ("open_px", "high_px", "low_px", "close_px"):
        bars[name] = 100 * PX
    bars["volume"] = 4000 * PX
    bars["trades"] = 100
    strategy = Fickle()
    result = backtest(strategy, {"AAPL": bars}, progress=False)
    assert len(strategy.orders) >= 4
    assert {order.status for order in strategy.orders[:4]} == {OrderStatus.CANCELED}
    assert not result.alarms
