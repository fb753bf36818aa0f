"""Orders that are over: the last ones stay whole, of the others a row of numbers is kept, and the journal has the rest.

An order is let go by the fact that makes it the oldest of more than KEPT that are over, so every replay of the same facts lets go
of the same ones. The orders of a group are one request: they go together, and are over when the last of them is. What the venue
says of an order that was let go is held against its row: what the row explains is old, and for the rest the order is read from the
journal (`late`).
"""

from collections import OrderedDict
from collections.abc import Iterable
from hashlib import blake2b
from typing import TYPE_CHECKING

import msgspec
import numpy as np

if TYPE_CHECKING:
    from pyrt.execution.orders import Booked, Order

KEPT = 1024  # requests that are over and still whole: orders, some 5 KB each with their fills, or groups of them
ROWS = 1 << 17  # rows of 40 bytes; older ones are written over, and only the journal knows those orders
_ROW = np.dtype([("number", "<u8"), ("filled", "<i8"), ("name", "<u8"), ("worth", "<u8"), ("ts", "<i8")])
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
        self._rows = np.zeros(0, _ROW)  # a number's row lies at number modulo ROWS

    def settle(self, request: int, over: bool) -> None:
        """A request is over, once more where it was so before, or it is not."""
        self.settled.pop(request, None)
        if over:
            self.settled[request] = None

    @property
    def full(self) -> int:
        """How many requests are over beyond those that are kept."""
        return len(self.settled) - self.kept

    def add(self, order: "Order", fills: Iterable["Booked"], ts: int) -> None:
        """An order is let go, at a venue time."""
        if not len(self._rows):
            self._rows = np.zeros(ROWS, _ROW)
        row = self._rows[order.number % ROWS]
        if row["number"]:
            self.lost = max(self.lost, int(row["number"]))
            self.lost_ts = max(self.lost_ts, int(row["ts"]))
        made = row_of(order, fills, ts)
        self._rows[order.number % ROWS] = (order.number, made.filled, made.name, made.worth, ts)
        if not order.external:
            self.sources[order.strategy] = max(self.sources.get(order.strategy, 0), order.source)

    def fill(self, number: int, px: int, qty: int) -> None:
        """A fill that a journal of an earlier program booked to an order that we let go of."""
        row = self.row(number)
        if row is not None:
            worth = (row.worth + px * qty) & _WORD
            self._rows[number % ROWS] = (number, row.filled + qty, row.name, worth, row.ts)

    def remove(self, number: int) -> None:
        """An order is whole again."""
        if self.row(number) is not None:
            self._rows[number % ROWS] = (0, 0, 0, 0, 0)

    def row(self, number: int) -> Row | None:
        """What is remembered of a number; None where nothing is."""
        if not len(self._rows) or int(self._rows[number % ROWS]["number"]) != number or not number:
            return None
        _, filled, name, worth, ts = self._rows[number % ROWS].tolist()
        return Row(filled, name, worth, ts)

    def number_of(self, venue_order_id: str) -> int:
        """The order that was let go and that the venue calls so; 0 = none."""
        if not len(self._rows):
            return 0
        found = np.flatnonzero(self._rows["name"] == np.uint64(name_of(venue_order_id)))
        return int(self._rows["number"][found[-1]]) if len(found) and venue_order_id else 0

    def save(self) -> PastState:
        """Everything, to go on from."""
        rows = np.sort(self._rows[self._rows["number"] != 0], order="number")
        return PastState(
            rows=rows.tobytes(),
            lost=self.lost,
            lost_ts=self.lost_ts,
            sources=sorted(self.sources.items()),
            settled=list(self.settled),
        )

    def restore(self, state: PastState) -> None:
        """Go on from a state. Raises ValueError for rows that are none."""
        rows = np.frombuffer(state.rows, _ROW)
        if len(rows):
            self._rows = np.zeros(ROWS, _ROW)
            self._rows[rows["number"] % ROWS] = rows
        self.lost, self.lost_ts, self.sources = state.lost, state.lost_ts, dict(state.sources)
        self.settled = OrderedDict.fromkeys(state.settled)
