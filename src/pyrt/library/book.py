"""The level book, in whole units."""

from typing import Self

from pyrt._core.book import OrderBook as RawBook
from pyrt._core.types import PX_SCALE, Flag, Side, format_units
from pyrt.errors import ConfigError, OrderError
from pyrt.library.touch import PX, Level, Touch
from pyrt.library.units import positive, side_of, units_of
from pyrt.model import Number


class OrderBook(RawBook, Touch):
    """The levels of one instrument: arrays of records or single calls in, best prices out.

    tick: the price increment, "0.01"; quantities have up to `qty_exp` decimals. Raises ConfigError for a tick that cannot be.

    >>> book = OrderBook("0.01")
    >>> book.set("buy", 190.25, 300)
    >>> book.set("sell", "190.27", 100)
    >>> book.bid, book.spread
    (Level(price=190.25, quantity=300.0), 0.02)
    """

    qty_exp: int

    def __new__(cls, tick: Number = "0.01", *, qty_exp: int = 9, top_only: bool = False) -> Self:
        if not 0 <= qty_exp <= 9:
            raise ConfigError(f"{qty_exp} decimals", where="OrderBook", mend="qty_exp is 0 to 9")
        book = super().__new__(cls, positive(tick, PX_SCALE, "tick"), top_only=top_only)
        book.qty_exp = qty_exp
        return book

    @classmethod
    def of(cls, raw: RawBook, qty_exp: int) -> Self:
        """The same levels as another book, live."""
        book = raw.seen_as(cls)
        book.qty_exp = qty_exp
        return book

    def set(self, side: Side | str, price: Number, quantity: Number) -> None:
        """Set a level's whole quantity, 0 removes it. Raises OrderError for a price off the tick or a quantity below 0."""
        self.update(side_of(side), units_of(price, PX_SCALE, "price"), units_of(quantity, self.qty_exp, "quantity"))

    def refused(self, side: int, px: int, qty: int) -> bool:
        """A single change that the book cannot hold: raises OrderError, which says why. `apply` only counts such changes."""
        price, raw = format_units(px), f"a px of {px} is {px}e-9; `set` takes whole units"
        if side not in (Side.BUY, Side.SELL):
            raise OrderError(f"{side} is no side", where="OrderBook", mend="say Side.BUY or Side.SELL")
        if qty < 0:
            raise OrderError(f"quantity {format_units(qty, self.qty_exp)} is below 0", where="OrderBook", mend="0 removes a level")
        if px % self.tick:
            tick = format_units(self.tick)
            raise OrderError(f"price {price} is off the tick of {tick}", where="OrderBook", mend=f"round it to the tick ({raw})")
        if self.flags & Flag.TOP_ONLY:  # the first change would have made it a book with depth
            raise OrderError("a book of quotes has no levels to set", where="OrderBook", mend="make it without top_only=True")
        raise OrderError(f"price {price} is beyond what a book holds", where="OrderBook", mend=f"stay below 2^61 px ({raw})")

    def levels(self, n: int = 10) -> tuple[list[Level], list[Level]]:
        """The best n bids and asks, best first."""
        one = 10.0**self.qty_exp
        bids, asks = ([Level(px / PX, qty / one) for px, qty in side.tolist()] for side in self.depth(n))
        return bids, asks

    def cost(self, side: Side | str, quantity: Number) -> float | None:
        """The average price that an order of this side would get from the levels; None where they are not enough."""
        filled, notional, _, enough = self.walk(side_of(side), positive(quantity, self.qty_exp, "quantity"))
        return notional / filled / PX if enough else None
