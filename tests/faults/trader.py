"""What trades in the world: strategies that do anything, and decide again after each restart."""

from collections.abc import Callable
from decimal import Decimal
from random import Random
from typing import Any

from pyrt._core.types import Side
from pyrt.strategies import Strategy

SYMBOLS = ("AAPL", "MSFT")


class Chaos(Strategy):
    """Acts at random instants: entries, exits, stops, cancels and replacements, near the market and far from it."""

    symbols = SYMBOLS

    def __init__(self, rng: Random, pace: float, happens: Callable[[str], bool]) -> None:
        super().__init__()
        self._rng = rng
        self._pace = pace
        self._happens = happens
        self._last: dict[str, Any] = {}

    def on_start(self) -> None:
        self._again()

    def on_quote(self, quote: Any) -> None:
        self._last[quote.symbol] = quote

    def on_timer(self, name: str) -> None:
        self.act()
        self._again()

    def _again(self) -> None:
        self.set_timer("act", self._rng.expovariate(1 / self._pace))

    def act(self) -> None:
        """One decision."""
        if self._happens("strategy raises"):
            raise RuntimeError("a strategy that raises")
        rng = self._rng
        symbol = rng.choice(SYMBOLS)
        quote = self._last.get(symbol)
        mine = self.open_orders()
        dice = rng.random()
        if mine and dice < 0.2:
            self.cancel(rng.choice(mine))
        elif mine and dice < 0.35:
            order = rng.choice(mine)
            if order.limit is not None and order.status is not None and not order.is_done:
                changed = rng.choice(
                    (
                        {"quantity": order.quantity + rng.randrange(1, 5)},
                        {"limit": order.limit + Decimal(rng.randrange(-3, 4)) / 100},
                    )
                )
                self.replace(order, **changed, round="nearest")
        elif dice < 0.42 and self.position(symbol):
            self.close(symbol)
        elif quote is not None:
            self._enter(symbol, quote)

    def _enter(self, symbol: str, quote: Any) -> None:
        rng = self._rng
        held = int(self.position(symbol).quantity)
        going = sum(int(order.quantity - order.filled) for order in self.open_orders(symbol) if order.side is Side.SELL)
        free = held - going  # nothing is sold short here: there is nobody to borrow from
        verb = self.sell if free > 0 and rng.random() < 0.6 else self.buy
        qty = rng.randrange(1, 40) if verb == self.buy else rng.randrange(1, free + 1)
        mid = (quote.bid_px + quote.ask_px) // 2 // 10_000_000
        how = rng.random()
        if how < 0.15:
            verb(symbol, qty)
        elif how < 0.25:
            away = rng.randrange(3, 30) * (1 if verb == self.buy else -1)
            verb(symbol, qty, stop=f"{(mid + away) / 100:.2f}")
        else:
            away = rng.choice((0, 1, 2, 3, 5, 50)) * (-1 if verb == self.buy else 1) + rng.choice((0, 0, 2))
            tif = rng.choice(("day", "day", "gtc", "ioc"))
            verb(symbol, qty, limit=f"{(mid + away) / 100:.2f}", tif=tif, valid_for=rng.choice((2.0, 30.0)))


class Other(Chaos):
    """A second strategy in the same session."""
