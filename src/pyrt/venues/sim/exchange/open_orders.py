"""The open orders of one account in one instrument, kept so that no rule has to walk them all."""

from bisect import bisect_left, insort
from collections.abc import Collection, Iterator

from pyrt._core.types import Side
from pyrt.model import OrderType
from pyrt.venues.sim.exchange.orders import Row


def worst_px(kind: OrderType, limit_px: int) -> int | None:
    """The worst price at which an order may trade once it works, px units; None = any."""
    return limit_px if kind in (OrderType.LIMIT, OrderType.STOP_LIMIT) else None


class OpenOrders:
    """Rows by number, oldest first, what they hold back by side, and those of each side by their worst price."""

    def __init__(self) -> None:
        self.rows: dict[int, Row] = {}
        self.held = {Side.BUY: 0, Side.SELL: 0}  # qty units of the position
        self._priced: dict[Side, list[tuple[int, int]]] = {Side.BUY: [], Side.SELL: []}  # (px, number), ascending
        self._unpriced: dict[Side, dict[int, None]] = {Side.BUY: {}, Side.SELL: {}}
        self._placed: dict[int, tuple[Side, int | None]] = {}

    def __iter__(self) -> Iterator[Row]:
        return iter(self.rows.values())

    def add(self, row: Row) -> None:
        """Another open order; one that is held, or trades with other legs only, meets nobody."""
        self.rows[row.number] = row
        self.held[row.side] += row.held
        if row.status != "held" and not row.ratio:
            self.place(row)

    def remove(self, row: Row) -> None:
        """An order that has ended, and holds nothing back any more."""
        del self.rows[row.number]
        self.held[row.side] -= row.held
        self.unplace(row)

    def place(self, row: Row) -> None:
        """From now on `row` may meet others; also to be called where its prices were changed."""
        self.unplace(row)
        px = worst_px(row.type, row.limit_px)
        self._placed[row.number] = (row.side, px)
        if px is None:
            self._unpriced[row.side][row.number] = None
        else:
            insort(self._priced[row.side], (px, row.number))

    def unplace(self, row: Row) -> None:
        """From now on `row` meets nobody."""
        side, px = self._placed.pop(row.number, (row.side, None))
        if px is None:
            self._unpriced[side].pop(row.number, None)
        else:
            priced = self._priced[side]
            del priced[bisect_left(priced, (px, row.number))]

    def facing(self, side: Side, px: int | None, friends: Collection[int]) -> Row | None:
        """An order of the other side that an order with this worst price could trade with, if there is one."""
        other = Side.SELL if side is Side.BUY else Side.BUY
        for number in self._unpriced[other]:
            if number not in friends:
                return self.rows[number]
        priced = self._priced[other]
        for theirs, number in priced if other is Side.SELL else reversed(priced):
            if px is not None and (theirs > px if other is Side.SELL else theirs < px):
                return None
            if number not in friends:
                return self.rows[number]
        return None
