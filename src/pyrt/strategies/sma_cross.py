"""Two moving averages of the close: long while the fast one is above the slow one."""

from pyrt._core.events import Bar
from pyrt.strategies.strategy import Strategy


class SmaCross(Strategy):
    """Buys when the fast average of closes crosses above the slow one, and closes when it crosses back."""

    symbols = ("AAPL", "MSFT")
    interval = "1s"
    fast = 5
    slow = 20
    quantity = "10"
    warmup = 20

    def on_bar(self, bar: Bar) -> None:
        if bar.revision:
            return
        closes = self.history(bar.symbol, self.slow)["close_px"]
        if len(closes) < self.slow:
            return
        above = int(closes[-self.fast :].sum()) * self.slow > int(closes.sum()) * self.fast
        if self.open_orders(bar.symbol):
            return
        if above and not self.position(bar.symbol):
            self.buy(bar.symbol, self.quantity)
        elif not above and self.position(bar.symbol):
            self.close(bar.symbol)
