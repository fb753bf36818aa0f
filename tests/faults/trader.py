"""What trades in the world: strategies that do anything, and decide again after each restart."""

from collections.abc import Callable
from decimal import Decimal
from random import Random
from typing import Any

from pyrt._core.types import Side
from pyrt.model import OrderClass
from pyrt.strategies import Strategy

SYMBOLS = ("AAPL", "MSFT")


class Chaos(Strategy):
    """Acts at random instants: entries, exits, stops, cancels and replacements, near the market and far from it."""

    symbols = SYMBOLS

    def __init__(self, rng: Random, pace: float, happens: Callable[[str], bool], exits: float = 0.0) -> None:
        super().__init__()
        self._rng = rng
        self._pace = pace
        self._happens = happens
        self._exits = exits  # how often an entry has exits, and a position gets some
        self.resting = 0.0  # how often an entry is small and far from the market
        self._last: dict[str, Any] = {}
        self.idle = False  # decides nothing any more
        self._raised = False

    def on_start(self) -> None:
        self._again()

    def on_quote(self, quote: Any) -> None:
        if self._raised:
            raise AssertionError("a strategy that raised is called again")
        if quote.bid_px > 0 < quote.ask_px:  # of what has no middle, the last that had
            self._last[quote.symbol] = quote

    def on_timer(self, name: str) -> None:
        self.act()
        self._again()

    def _again(self) -> None:
        self.set_timer("act", self._rng.expovariate(1 / self._pace))

    def act(self) -> None:
        """One decision."""
        if self.idle:
            return
        if self._happens("strategy raises"):
            self._raised = True
            raise RuntimeError("a strategy that raises")
        rng = self._rng
        symbol = rng.choice(SYMBOLS)
        quote = self._last.get(symbol)
        mine = self.open_orders()
        dice = rng.random()
        if mine and dice < 0.2:
            self.cancel(rng.choice(mine))
        elif mine and dice < 0.35:
            self._change(rng.choice(mine))
        elif dice < 0.42 and self.position(symbol):
            self.close(symbol)
        elif quote is not None and dice < 0.42 + 0.2 * self._exits and self._free(symbol) > 0:
            self._protect(symbol, quote)
        elif quote is not None:
            self._enter(symbol, quote)

    def _change(self, order: Any) -> None:
        """Other terms of an order, of an exit's price too."""
        rng = self._rng
        if order.status is None or order.is_done:
            return
        away = Decimal(rng.randrange(-3, 4)) / 100
        kinds: list[dict[str, Any]] = []
        if order.limit is not None:
            kinds.append({"limit": order.limit + away})
            if not order.is_exit and order.intent.order_class is not OrderClass.OCO:
                kinds.append({"quantity": order.quantity + rng.randrange(1, 5)})
        if order.stop is not None and self._exits:
            kinds.append({"stop": order.stop + away})
        if order.intent.trail_px:
            kinds.append({"trail": Decimal(rng.randrange(2, 20)) / 100})
        if kinds:
            self.replace(order, **rng.choice(kinds), round="nearest")

    def _free(self, symbol: str) -> int:
        """Shares that no order offers yet; nothing is sold short here: there is nobody to borrow from."""
        held = int(self.position(symbol).quantity)
        return held - sum(int(order.quantity - order.filled) for order in self.open_orders(symbol) if order.side is Side.SELL)

    def _protect(self, symbol: str, quote: Any) -> None:
        """An OCO, a stop, a trailing stop or a take-profit behind what is held; both exits so near that they race."""
        rng, mid = self._rng, _cents(quote)
        above, below = f"{(mid + rng.randrange(1, 12)) / 100:.2f}", f"{(mid - rng.randrange(1, 12)) / 100:.2f}"
        qty = rng.randrange(1, self._free(symbol) + 1)
        how = rng.random()
        if how < 0.5:
            under = {"stop_loss_limit": f"{float(below) - 0.02:.2f}"} if rng.random() < 0.3 else {}
            self.protect(symbol, take_profit=above, stop_loss=below, quantity=qty, **under)
        elif how < 0.7:
            self.protect(symbol, stop_loss=below, quantity=qty, tif=rng.choice(("day", "gtc")))
        elif how < 0.9:
            trail: dict[str, Any] = {"trail": "0.05"} if rng.random() < 0.5 else {"trail_percent": "0.1"}
            self.protect(symbol, quantity=qty, **trail)
        else:
            self.protect(symbol, take_profit=above, quantity=qty)

    def _enter(self, symbol: str, quote: Any) -> None:
        rng, mid = self._rng, _cents(quote)
        if self.resting and rng.random() < self.resting:
            self.buy(symbol, 1, limit=f"{(mid - rng.randrange(40, 60)) / 100:.2f}", tif="gtc")
            return
        free = self._free(symbol)
        verb = self.sell if free > 0 and rng.random() < 0.6 else self.buy
        qty = rng.randrange(1, 40) if verb == self.buy else rng.randrange(1, free + 1)
        how = rng.random()
        if verb == self.buy and rng.random() < self._exits:
            self._enter_with_exits(symbol, qty, mid)
        elif how < 0.15:
            verb(symbol, qty)
        elif how < 0.25:
            away = rng.randrange(3, 30) * (1 if verb == self.buy else -1)
            verb(symbol, qty, stop=f"{(mid + away) / 100:.2f}")
        else:
            away = rng.choice((0, 1, 2, 3, 5, 50)) * (-1 if verb == self.buy else 1) + rng.choice((0, 0, 2))
            tif = rng.choice(("day", "day", "gtc", "ioc"))
            verb(symbol, qty, limit=f"{(mid + away) / 100:.2f}", tif=tif, valid_for=rng.choice((2.0, 30.0)))

    def _enter_with_exits(self, symbol: str, qty: int, mid: int) -> None:
        """A bracket or an OTO, at the market or at a limit."""
        rng = self._rng
        entry = mid + rng.choice((-3, -1, 0, 1, 2))
        exits: dict[str, Any] = {}
        which = rng.random()
        if which < 0.8:
            exits["take_profit"] = f"{(max(entry, mid) + rng.randrange(2, 15)) / 100:.2f}"
        if which > 0.2:
            stop = min(entry, mid) - rng.randrange(2, 15)
            exits["stop_loss"] = f"{stop / 100:.2f}"
            if rng.random() < 0.3:
                exits["stop_loss_limit"] = f"{(stop - 2) / 100:.2f}"
        if rng.random() < 0.7:
            exits["limit"] = f"{entry / 100:.2f}"
        self.buy(symbol, qty, tif=rng.choice(("day", "gtc")), **exits)


def _cents(quote: Any) -> int:
    return int((quote.bid_px + quote.ask_px) // 2 // 10_000_000)


class Other(Chaos):
    """A second strategy in the same session."""
