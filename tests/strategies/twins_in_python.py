"""What tests/strategies/twins.pyx has compiled, in Python: the same orders from the same data."""

from pyrt import Order, OrderBook, Quote, Side, Strategy, Trade
from pyrt.model import OrderStatus


class Momentum(Strategy):
    symbols = ("AAPL",)

    def on_start(self) -> None:
        self.last_px = self.ups = 0

    def on_trade(self, trade: Trade) -> None:
        self.ups = self.ups + 1 if trade.price_px > self.last_px else 0
        self.last_px = trade.price_px
        if self.open_orders(trade.symbol):
            return
        if self.ups >= 2 and not self.position(trade.symbol):
            self.buy(trade.symbol, 3)
        elif self.ups == 0 and self.position(trade.symbol):
            self.close(trade.symbol)


class Quoter(Strategy):
    symbols = ("AAPL",)
    quotes = 12

    def on_start(self) -> None:
        self.mine: Order | None = None
        self.seen = self.since = self.filled = 0

    def on_fill(self, order: Order, fill: object) -> None:
        self.filled += 1
        if self.filled % 5 == 0:
            self.buy(self.symbols[0], 1)

    def on_quote(self, quote: Quote) -> None:
        held = self.position(quote.symbol).quantity
        self.seen += 1
        mine = self.mine
        if mine is None or mine.is_done:
            if held > 0:
                self.mine = self.sell(quote.symbol, held, limit=quote.ask, reduce_only=True)
            else:
                self.mine = self.buy(quote.symbol, 5, limit=quote.bid)
            self.since = self.seen
        elif mine.status in (OrderStatus.ACCEPTED, OrderStatus.PARTIAL) and self.seen - self.since >= self.quotes:
            if self.seen % 2:
                self.cancel(mine)
            else:
                self.mine = self.replace(mine, limit=quote.bid if mine.side is Side.BUY else quote.ask)
            self.since = self.seen


class Leaner(Strategy):
    symbols = ("BTC/USD",)

    def on_book(self, symbol: str, book: OrderBook) -> None:
        if self.open_orders(symbol):
            return
        held = self.position(symbol)
        if held:
            self.sell(symbol, held.quantity, tif="ioc")
            return
        bid, ask = book.best_bid, book.best_ask
        if bid is None or ask is None or bid[1] <= 2 * ask[1]:
            return
        worst = book.walk(Side.BUY, 10**8)[2]
        assert worst is not None
        self.buy(symbol, "0.1", limit=self.instrument(symbol).price(worst), tif="ioc")


class Faulty(Strategy):
    symbols = ("AAPL",)

    def on_start(self) -> None:
        self.seen = 0

    def on_trade(self, trade: Trade) -> None:
        self.seen += 1
        if self.seen == 1:
            self.buy(self.symbols[0], 1)
        if self.seen == 40:
            self.buy(self.symbols[0], 1)
            raise ValueError("enough")


class Mixer(Strategy):
    symbols = ("AAPL",)

    def on_start(self) -> None:
        self.seen = self.fills = 0

    def more(self, quantity: int) -> None:
        self.buy(self.symbols[0], quantity)
        self.set_timer("more", 0.5)

    def on_timer(self, name: str) -> None:
        self.buy(self.symbols[0], 3)

    def on_fill(self, order: Order, fill: object) -> None:
        self.fills += 1
        if self.fills % 3 == 0:
            self.sell("AAPL", 1)
            self.more(1)
        elif self.fills % 3 == 1 and self.position("AAPL").quantity > 0:
            self.sell("AAPL", 1)

    def on_quote(self, quote: Quote) -> None:
        self.seen += 1
        if len(self.open_orders("AAPL")) > 4:
            return
        if self.seen % 12 == 3:
            self.more(1)
            self.buy("AAPL", 1, limit=quote.ask)
        elif self.seen % 12 == 6:
            self.buy("AAPL", 1, limit=quote.ask)
            self.more(2)
        elif self.seen % 12 == 9:
            self.more(1)
