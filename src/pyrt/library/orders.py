"""The book order by order, in whole units."""

from typing import Any, NamedTuple, Self

from numpy.typing import NDArray
from typing_extensions import Buffer

from pyrt._core.l3 import L3Book as RawBook
from pyrt._core.types import PX_SCALE, Side
from pyrt.errors import ConfigError, OrderError
from pyrt.library.touch import PX, Touch
from pyrt.library.units import side_of, units_of
from pyrt.model import Number

_MOST = 1 << 62  # px, qty
_NUMBERS = 1 << 64


class Rank(NamedTuple):
    """A price, what is there, and of how many orders."""

    price: float
    quantity: float
    orders: int


class Resting(NamedTuple):
    """An order that stands in a book, and what is left of it."""

    side: Side
    price: float
    quantity: float


class Ahead(NamedTuple):
    """What trades before an order at its price."""

    orders: int
    quantity: float


class L3Book(Touch):
    """Every order of one instrument: events in arrays or single calls in, prices, queues and places in them out.

    Quantities have up to `qty_exp` decimals (0: whole shares, as ITCH has them). `reserve`: orders to make room for. What a single
    call cannot do is refused with OrderError and changes nothing; `apply` goes on and counts it. `raw`: the same book in integers.

    >>> book = L3Book()
    >>> book.add(1, "sell", "101.25", 300)
    >>> book.add(2, "sell", 101.25, 200)
    >>> book.execute(1, 100)
    >>> book.ask, book.ahead(2)
    (Level(price=101.25, quantity=400.0), Ahead(orders=1, quantity=200.0))
    """

    __slots__ = ("_one", "qty_exp", "raw")

    qty_exp: int

    def __init__(self, *, qty_exp: int = 0, reserve: int = 0) -> None:
        self._see(RawBook(reserve=reserve), qty_exp)

    @classmethod
    def of(cls, raw: RawBook, qty_exp: int = 0) -> Self:
        """The same orders as another book, live: `L3Book.of(books["AAPL"])` of an ItchBooks."""
        book = cls.__new__(cls)
        book._see(raw, qty_exp)
        return book

    def _see(self, raw: RawBook, qty_exp: int) -> None:
        if not 0 <= qty_exp <= 9:
            raise ConfigError(f"{qty_exp} decimals", where="L3Book", mend="qty_exp is 0 to 9")
        self.raw, self.qty_exp, self._one = raw, qty_exp, 10.0**qty_exp

    # ------------------------------------------------------------------------------------------------ changes
    def apply(self, events: Buffer) -> int:
        """An array of `order_event_dtype`, without the interpreter's lock: how many changed the book; `counters` has the others."""
        return self.raw.apply(events)

    def add(self, order: int, side: Side | str, price: Number, quantity: Number) -> None:
        """A new order, behind all others at its price."""
        self._new(order)
        _done(self.raw.add(order, side_of(side), self._px(price), self._qty(quantity)))

    def cancel(self, order: int, quantity: Number) -> None:
        """So much less of it; it keeps its place and is gone when nothing is left."""
        _done(self.raw.cancel(order, self._part(order, quantity)))

    def execute(self, order: int, quantity: Number) -> None:
        """So much of it traded; it keeps its place and is gone when nothing is left."""
        _done(self.raw.execute(order, self._part(order, quantity)))

    def delete(self, order: int) -> None:
        """Take it out."""
        self._left(order)
        _done(self.raw.delete(order))

    def replace(self, order: int, other: int, price: Number, quantity: Number) -> None:
        """Another number in its stead, the same side, behind all others at its price."""
        self._left(order)
        if other != order:
            self._new(other)
        _done(self.raw.replace(order, other, *self._moved(order, price, quantity)))

    def modify(self, order: int, price: Number, quantity: Number) -> None:
        """Price and quantity anew: it keeps its place where the price stays and the quantity does not grow."""
        self._left(order)
        _done(self.raw.modify(order, *self._moved(order, price, quantity)))

    def clear(self) -> None:
        """Drop every order."""
        self.raw.clear()

    def reserve(self, orders: int) -> None:
        """Make room for this many orders at once."""
        self.raw.reserve(orders)

    # ------------------------------------------------------------------------------------------------ what stands
    def levels(self, n: int = 10) -> tuple[list[Rank], list[Rank]]:
        """The best n bids and asks, best first."""
        bids, asks = self.raw.depth(n)
        return self._ranks(bids), self._ranks(asks)

    def queue(self, side: Side | str, price: Number) -> list[tuple[int, float]]:
        """(order, quantity) of each order at a price, in the order in which they will trade."""
        found = self.raw.queue(side_of(side), units_of(price, PX_SCALE, "price"))
        return [(number, qty / self._one) for number, qty in found[["order", "qty"]].tolist()]

    def order(self, order: int) -> Resting | None:
        """What stands under this number."""
        found = self.raw.order(order)
        return None if found is None else Resting(Side(found[0]), found[1] / PX, found[2] / self._one)

    def ahead(self, order: int) -> Ahead | None:
        """What stands before an order at its price; None where it is not here."""
        found = self.raw.ahead(order)
        return None if found is None else Ahead(found[0], found[1] / self._one)

    @property
    def best_bid(self) -> tuple[int, int] | None:
        """(px, qty) of the highest bid."""
        return self.raw.best_bid

    @property
    def best_ask(self) -> tuple[int, int] | None:
        """(px, qty) of the lowest ask."""
        return self.raw.best_ask

    def depth(self, n: int) -> tuple[NDArray[Any], NDArray[Any]]:
        """The best n levels as (bids, asks): arrays with fields px, qty and orders."""
        return self.raw.depth(n)

    @property
    def flags(self) -> int:
        """Flag bits: CROSSED where the best bid is at or above the best ask."""
        return self.raw.flags

    @property
    def counters(self) -> dict[str, int]:
        """Orders here, levels a side, and what could not be."""
        return self.raw.counters

    @property
    def nbytes(self) -> int:
        """Bytes of memory that the orders hold."""
        return self.raw.nbytes

    # ------------------------------------------------------------------------------------------------ units
    def _px(self, price: Number) -> int:
        px = units_of(price, PX_SCALE, "price")
        if not -_MOST < px < _MOST:
            raise _refused(f"price {price} is beyond what a book holds", f"stay below {_MOST / PX:g}")
        return px

    def _qty(self, quantity: Number) -> int:
        qty = units_of(quantity, self.qty_exp, "quantity")
        if not 0 < qty < _MOST:
            raise _refused(f"quantity {quantity} is not above 0 and below {_MOST / self._one:g}", "`delete` takes all")
        return qty

    def _part(self, order: int, quantity: Number) -> int:
        left, qty = self._left(order), self._qty(quantity)
        if qty > left:
            raise _refused(f"order {order} has {left / self._one:g} left, not {quantity}", "`delete` takes all")
        return qty

    def _moved(self, order: int, price: Number, quantity: Number) -> tuple[int, int]:
        # The raw book takes the order out before it finds that the new place has no room.
        px, qty = self._px(price), self._qty(quantity)
        side, was, left = self.raw.order(order) or (0, 0, 0)
        _done(self.raw.quantity_at(side, px) - (left if was == px else 0) + qty < _MOST)
        return px, qty

    def _left(self, order: int) -> int:
        found = self.raw.order(order) if 0 <= order < _NUMBERS else None
        if found is None:
            self._own(order)
            raise _refused(f"order {order} is not here", "add it first; `apply` counts such events instead")
        return found[2]

    def _new(self, order: int) -> None:
        if not 0 <= order < _NUMBERS:
            raise _refused(f"{order} is no order's number", "the venue's numbers are 0 to 2^64 - 1")
        self._own(order)
        if self.raw.order(order) is not None:
            raise _refused(f"order {order} is here already", "delete or replace it, or take another number")

    def _own(self, order: int) -> None:
        share = self.raw.elsewhere(order) if 0 <= order < _NUMBERS else None
        if share is not None:
            raise _refused(f"order {order} stands in the book of share {share}", "a number is one order's in all books of a day")

    def _ranks(self, rows: NDArray[Any]) -> list[Rank]:
        return [Rank(px / PX, qty / self._one, orders) for px, qty, orders in rows.tolist()]


def _done(applied: bool) -> None:
    if not applied:
        raise _refused("a level holds less than 2^62 units", "take fewer decimals (qty_exp)")


def _refused(what: str, mend: str) -> OrderError:
    return OrderError(what, where="L3Book", mend=mend)
