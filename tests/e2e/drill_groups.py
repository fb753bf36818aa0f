"""A strategy for the kill drill whose orders are groups: brackets, OCOs, OTOs, trailing stops, moved stops."""

STRATEGY = '''
from pyrt import Strategy

FAR = 0.05


class Groups(Strategy):
    """In with exits or without, exits behind what is held, stops that move, entries and exits that are taken back."""

    symbols = ("AAPL", "MSFT", "SPY", "GOOGL", "AMZN", "TSLA")
    n = 0

    def on_quote(self, quote):
        if not 0 < quote.bid < quote.ask:
            return
        self.n += 1
        symbol, kind = quote.symbol, self.n % 8
        open_, held = self.open_orders(symbol), self.position(symbol).quantity
        low, high = quote.bid - FAR, quote.ask + FAR
        if not open_ and not held:
            entry = {0: None, 1: None, 2: quote.bid, 3: quote.ask, 4: None}.get(kind, quote.ask)
            exits = {4: {"stop_loss": low}, 5: {}}.get(kind, {"take_profit": high, "stop_loss": low})
            self.buy(symbol, 2 + kind, limit=entry, tif="gtc", round="nearest", **exits)
        elif not open_ and held > 0:
            if kind < 3:
                self.protect(symbol, take_profit=high, stop_loss=low, round="nearest")
            elif kind < 5:
                self.protect(symbol, trail=0.08)
            elif kind < 6:
                self.close(symbol)
        elif kind == 6:
            for order in open_:
                if order.is_exit and order.stop is not None and order.status in (4, 5) and order.limit is None:
                    self.replace(order, stop=quote.bid - 0.02, round="nearest")
        elif kind == 7 and self.n % 3 == 0:
            for order in open_:
                if order.status:
                    self.cancel(order)
'''
