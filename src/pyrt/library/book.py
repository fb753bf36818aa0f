"""The level book, in whole units."""

from typing import NamedTuple, Self

from pyrt._core.book import OrderBook as RawBook
from pyrt._core.types import PX_SCALE, Side, format_units
from pyrt.errors import ConfigError, OrderError
from pyrt.library.units import positive, side_of, units_of
from pyrt.model import Number

_PX = 1e9


class Level(NamedTuple):
    """A price and what is there, in whole units."""

    price: float
    quantity: float


class OrderBook(RawBook):
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
        px, qty = units_of(price, PX_SCALE, "price"), units_of(quantity, self.qty_exp, "quantity")
        if not self.update(side_of(side), px, qty):
            if qty < 0:
                raise OrderError(f"quantity {quantity} is below 0", mend="0 removes a level")
            raise OrderError(f"price {price} is off the tick of {format_units(self.tick)}", mend="round it to the tick")

    @property
    def bid(self) -> Level | None:
        """The highest bid."""
        return self._level(self.best_bid)

    @property
    def ask(self) -> Level | None:
        """The lowest ask."""
        return self._level(self.best_ask)

    @property
    def mid(self) -> float | None:
        """Halfway between bid and ask; None where a side is empty."""
        bid, ask = self.best_bid, self.best_ask
        return (bid[0] + ask[0]) / 2 / _PX if bid and ask else None

    @property
    def spread(self) -> float | None:
        """Ask less bid; None where a side is empty."""
        bid, ask = self.best_bid, self.best_ask
        return (ask[0] - bid[0]) / _PX if bid and ask else None

    def levels(self, n: int = 10) -> tuple[list[Level], list[Level]]:
        """The best n bids and asks, best first."""
        one = 10.0**self.qty_exp
        bids, asks = self.depth(n)
        return tuple([Level(px / _PX, qty / one) for px, qty in side.tolist()] for side in (bids, asks))  # type: ignore[return-value]

    def cost(self, side: Side | str, quantity: Number) -> float | None:
        """The average price that an order of this side would get from the levels; None where they are not enough."""
        filled, notional, _, enough = self.walk(side_of(side), positive(quantity, self.qty_exp, "quantity"))
        return notional / filled / _PX if enough else None

    def _level(self, best: tuple[int, int] | None) -> Level | None:
        return None if best is None else Level(best[0] / _PX, best[1] / 10.0**self.qty_exp)
