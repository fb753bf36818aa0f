"""The best prices of a book, in whole units."""

from typing import NamedTuple, Protocol

PX = 1e9


class Level(NamedTuple):
    """A price and what is there, in whole units."""

    price: float
    quantity: float


class _Book(Protocol):
    """What a book says in raw integers."""

    qty_exp: int

    @property
    def best_bid(self) -> tuple[int, int] | None: ...
    @property
    def best_ask(self) -> tuple[int, int] | None: ...


class Touch:
    """Best prices of whatever has `best_bid`, `best_ask` and `qty_exp`."""

    __slots__ = ()

    @property
    def bid(self: _Book) -> Level | None:
        """The highest bid."""
        return _level(self.best_bid, self.qty_exp)

    @property
    def ask(self: _Book) -> Level | None:
        """The lowest ask."""
        return _level(self.best_ask, self.qty_exp)

    @property
    def mid(self: _Book) -> float | None:
        """Halfway between bid and ask; None where a side is empty."""
        bid, ask = self.best_bid, self.best_ask
        return (bid[0] + ask[0]) / 2 / PX if bid and ask else None

    @property
    def spread(self: _Book) -> float | None:
        """Ask less bid; None where a side is empty."""
        bid, ask = self.best_bid, self.best_ask
        return (ask[0] - bid[0]) / PX if bid and ask else None


def _level(best: tuple[int, int] | None, qty_exp: int) -> Level | None:
    return None if best is None else Level(best[0] / PX, best[1] / 10.0**qty_exp)
