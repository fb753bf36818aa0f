"""A passive buyer at the bid that offers what it got one spread higher."""

from pyrt._core.events import Quote
from pyrt.strategies.order import Order
from pyrt.strategies.strategy import Strategy


class QuoteMaker(Strategy):
    """Rests a limit buy at the best bid and, once filled, a limit sell at the best offer; gives up a stale order after a while."""

    symbols = ("SPY",)
    quantity = "5"
    patience = 3.0  # seconds of venue time that an order may rest

    def on_start(self) -> None:
        self.resting: dict[str, Order] = {order.symbol: order for order in self.open_orders()}  # of an earlier life
        self.since: dict[str, int] = dict.fromkeys(self.resting, self.now)

    def on_quote(self, quote: Quote) -> None:
        order = self.resting.get(quote.symbol)
        if order is not None and not order.is_done:
            if self.now - self.since[quote.symbol] > self.patience * 1_000_000_000:
                self.since[quote.symbol] = self.now
                self.cancel(order)
            return
        if not quote.bid > 0 or not quote.ask > quote.bid:
            return
        held = self.position(quote.symbol).quantity
        if held > 0:
            self.resting[quote.symbol] = self.sell(quote.symbol, held, limit=quote.ask, reduce_only=True)
        else:
            self.resting[quote.symbol] = self.buy(quote.symbol, self.quantity, limit=quote.bid)
        self.since[quote.symbol] = self.now
