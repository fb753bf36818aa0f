"""The ledger in plain Python with unbounded integers: the oracle of tests/core/test_ledger.py."""

from dataclasses import dataclass, field
from itertools import combinations


@dataclass
class Book:
    """One (strategy, instrument): cost basis removed in proportion, rounded toward minus infinity."""

    qty: int = 0
    cost: int = 0
    realised: int = 0
    fees: int = 0
    cash: int = 0  # what really moved, fees apart: realised - cost must always equal it

    def fill(self, signed: int, px: int, scale: int, fee: int) -> None:
        self.cash -= signed * px * scale
        self.fees += fee
        closing = 0
        if self.qty * signed < 0:
            size = min(abs(self.qty), abs(signed))
            closing = size if signed > 0 else -size
            removed = self.cost * size // abs(self.qty)
            self.realised += -closing * px * scale - removed
            self.cost -= removed
        self.cost += (signed - closing) * px * scale
        self.qty += signed


@dataclass
class Order:
    """An open order: signed leaves."""

    strategy: int
    leaves: int


@dataclass
class Account:
    """Books by strategy and open orders by key, of one instrument."""

    scale: int
    books: dict[int, Book] = field(default_factory=dict)
    orders: dict[int, Order] = field(default_factory=dict)

    def fill(self, key: int, strategy: int, signed: int, px: int, fee: int) -> None:
        self.books.setdefault(strategy, Book()).fill(signed, px, self.scale, fee)
        order = self.orders.get(key)
        if order is not None:
            left = abs(order.leaves) - abs(signed)
            order.leaves = 0 if left < 0 else (left if order.leaves > 0 else -left)

    @property
    def qty(self) -> int:
        return sum(b.qty for b in self.books.values())

    @property
    def cost(self) -> int:
        return sum(b.cost for b in self.books.values())

    @property
    def realised(self) -> int:
        return sum(b.realised for b in self.books.values())

    def unrealised(self, bid: int, ask: int) -> int:
        return self.qty * (bid if self.qty > 0 else ask) * self.scale - self.cost

    def reachable(self) -> set[int]:
        """Every position that some subset of the open orders' fills leads to."""
        leaves = [o.leaves for o in self.orders.values() if o.leaves]
        return {self.qty + sum(c) for n in range(len(leaves) + 1) for c in combinations(leaves, n)}
