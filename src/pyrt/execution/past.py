"""Orders that are over: the last ones stay whole, of the others a row of numbers is kept, and the journal has the rest.

An order is let go by the fact that makes it the oldest of more than KEPT that are over, so every replay of the same facts lets go
of the same ones. The orders of a group are one request: they go together, and are over when the last of them is. What the venue
says of an order that was let go is held against its row: what the row explains is old, and for the rest the order is read from the
journal (`late`).
"""

from collections import OrderedDict
from collections.abc import Iterable
from hashlib import blake2b
from struct import Struct
from typing import TYPE_CHECKING

import msgspec
import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from pyrt.execution.orders import Booked, Order

KEPT = 1024  # requests that are over and still whole: orders, some 5 KB each with their fills, or groups of them
ROWS = 1 << 17  # rows of 40 bytes; older ones are written over, and only the journal knows those orders
_ROW = Struct("<QqQQq")  # number, filled, name, worth, ts
_WORDS = _ROW.size // 8
_WORD = (1 << 64) - 1


class Row(msgspec.Struct, frozen=True):
    """What is remembered of one order that was let go."""

    filled: int  # qty units
    name: int  # a hash of its venue order id; 0 = it had none
    worth: int  # of its fills, modulo 2**64
    ts: int  # venue ns by which it was let go


class PastState(msgspec.Struct, frozen=True, array_like=True, kw_only=True):
    """The rows, by number, and what was written over."""

    rows: bytes
    lost: int
    lost_ts: int
    sources: list[tuple[int, int]]
    settled: list[int]


def name_of(venue_order_id: str) -> int:
    """A venue order id as a row has it."""
    return int.from_bytes(blake2b(venue_order_id.encode(), digest_size=8).digest(), "little") or 1 if venue_order_id else 0


def worth_of(fills: Iterable[tuple[int, int]]) -> int:
    """What fills, (px, qty) each, come to in a row: another price of one of them makes another number."""
    return sum(px * qty for px, qty in fills) & _WORD


def row_of(order: "Order", fills: Iterable["Booked"], ts: int) -> Row:
    """What is remembered of an order that is let go at a venue time."""
    return Row(order.filled, name_of(order.venue_order_id), worth_of((fill.px, fill.qty) for fill in fills), ts)


class Past:
    """Which orders are over, in the order in which that was last said of them, and the rows of those that were let go."""

    def __init__(self) -> None:
        self.kept = KEPT
        self.settled: OrderedDict[int, None] = OrderedDict()  # requests that are over and still whole, by their first number
        self.sources: dict[int, int] = {}  # strategy -> highest source of an order that was let go
        self.lost = 0  # the highest number whose row was written over
        self.lost_ts = 0  # and the last instant, venue ns, at which such an order was let go
        self._rows = bytearray()  # a number's row lies at number modulo ROWS

    def settle(self, request: int, over: bool) -> None:
        """A request is over, once more where it was so before, or it is not."""
        settled = self.settled
        if request in settled:
            del settled[request]
        if over:
            settled[request] = None

    @property
    def full(self) -> int:
        """How many requests are over beyond those that are kept."""
        return len(self.settled) - self.kept

    def reserve(self) -> None:
        """Take the memory of all rows, five megabytes: at the start of a session, so that no order waits for it."""
        if not self._rows:
            self._rows = bytearray(ROWS * _ROW.size)

    def add(self, order: "Order", fills: Iterable["Booked"], ts: int) -> None:
        """An order is let go, at a venue time."""
        self.reserve()
        number, _, _, _, then = _ROW.unpack_from(self._rows, order.number % ROWS * _ROW.size)
        if number:
            self.lost, self.lost_ts = max(self.lost, number), max(self.lost_ts, then)
        self._put(order.number, row_of(order, fills, ts))
        if not order.external:
            self.sources[order.strategy] = max(self.sources.get(order.strategy, 0), order.source)

    def fill(self, number: int, px: int, qty: int) -> None:
        """A fill that a journal of an earlier program booked to an order that we let go of."""
        row = self.row(number)
        if row is not None:
            self._put(number, Row(row.filled + qty, row.name, (row.worth + px * qty) & _WORD, row.ts))

    def remove(self, number: int) -> None:
        """An order is whole again."""
        if self.row(number) is not None:
            self._put(0, Row(0, 0, 0, 0), at=number)

    def _put(self, number: int, row: Row, *, at: int = 0) -> None:
        place = (at or number) % ROWS * _ROW.size
        _ROW.pack_into(self._rows, place, number, row.filled, row.name, row.worth, row.ts)

    def row(self, number: int) -> Row | None:
        """What is remembered of a number; None where nothing is."""
        if not self._rows or not number:
            return None
        found, *row = _ROW.unpack_from(self._rows, number % ROWS * _ROW.size)
        return Row(*row) if found == number else None

    def number_of(self, venue_order_id: str) -> int:
        """The order that was let go and that the venue calls so; 0 = none."""
        if not self._rows or not venue_order_id:
            return 0
        table = self._table()
        found = np.flatnonzero(table[:, 2] == np.uint64(name_of(venue_order_id)))
        return int(table[found[-1], 0]) if len(found) else 0

    def _table(self) -> NDArray[np.uint64]:
        """The rows as words; where they lie, so only to look at."""
        return np.frombuffer(self._rows, "<u8").reshape(-1, _WORDS)

    def save(self) -> PastState:
        """Everything, to go on from."""
        table = self._table()
        rows = table[table[:, 0] != 0]
        return PastState(
            rows=rows[np.argsort(rows[:, 0])].tobytes(),
            lost=self.lost,
            lost_ts=self.lost_ts,
            sources=sorted(self.sources.items()),
            settled=list(self.settled),
        )

    def restore(self, state: PastState) -> None:
        """Go on from a state. Raises ValueError for rows that are none."""
        if state.rows:
            self._rows = bytearray(ROWS * _ROW.size)
            rows = np.frombuffer(state.rows, "<u8").reshape(-1, _WORDS)
            self._table()[rows[:, 0] % np.uint64(ROWS)] = rows
        self.lost, self.lost_ts, self.sources = state.lost, state.lost_ts, dict(state.sources)
        self.settled = OrderedDict.fromkeys(state.settled)
