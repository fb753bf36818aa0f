"""Recorded days order by order, as events for an L3Book: LOBSTER's messages with its rows, Databento's files of kind `mbo`."""

import io
from collections import Counter
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from pyrt._core.l3 import L3Book, OrderAction, order_event_dtype
from pyrt._core.types import Side
from pyrt.errors import DataError
from pyrt.history.lobster import ADD, CROSS, DELETE, HIDDEN, NONE, PX, REDUCE, VISIBLE, Lobster
from pyrt.history.text import PACKED, too_dense

Events = npt.NDArray[np.void]
Ints = npt.NDArray[np.int64]
RESTED = 1 << 63  # numbers of orders of our own, for what rested at a price before anybody told of it
MBO = 0xA0

mbo_dtype = np.dtype([
    ("length", "u1"), ("rtype", "u1"), ("publisher", "<u2"), ("instrument", "<u4"), ("ts_event", "<u8"), ("order", "<u8"),
    ("px", "<i8"), ("size", "<u4"), ("flags", "u1"), ("channel", "u1"), ("action", "S1"), ("side", "S1"), ("ts_recv", "<u8"),
    ("ts_in_delta", "<i4"), ("sequence", "<u4"),
])  # fmt: skip
ACTIONS = {
    b"A": OrderAction.ADD,
    b"C": OrderAction.CANCEL,
    b"M": OrderAction.MODIFY,
    b"R": OrderAction.CLEAR,
    b"T": OrderAction.TRADE,  # the orders that it met are told by cancels and changes of their own
    b"F": OrderAction.TRADE,
    b"N": OrderAction.TRADE,
}


class LobsterOrders:
    """One day of one share, order by order: events that keep an L3Book equal to LOBSTER's row after every message.

    Quantities are shares. What rested before the day's first message, and levels that come into view from below the file's
    window, are in no message: they are taken from the row as one order of our own, at the front of its queue. `counts` says
    how often, and how many rows their message does not explain.
    """

    def __init__(self, path: Path, *, instrument: int = 1) -> None:
        self.source = Lobster(path, view="book", instrument=instrument)
        self.instrument = instrument
        self.counts: Counter[str] = Counter()
        self._book = L3Book()
        self._told: list[tuple[int, ...]] = []
        self._view: list[set[int]] = [set(), set()]

    def chunks(self) -> Iterator[tuple[Events, Ints, Ints]]:
        """(events, how many of them each message ends with, rows of the file) of blocks of messages, once."""
        last = np.zeros((1, 4 * self.source.levels), np.int64)
        for message, rows in self.source.rows():
            ends = np.zeros(len(rows), np.int64)
            columns = np.rint(message * (1e9, 1, 1, 1, 1, 1)).astype(np.int64)
            before = np.concatenate([last, rows[:-1]])
            last = rows[-1:]
            asks, bids = (
                ((rows != before).reshape(len(rows), -1, 4)[:, :, at : at + 2]).any(axis=(1, 2)).tolist() for at in (0, 2)
            )
            for k, (told, row) in enumerate(zip(columns.tolist(), rows.tolist(), strict=True)):
                self._message(*told)
                if asks[k] or told[5] < 0:  # a side that nothing is said of stays as it was
                    self._match_row(Side.SELL, row[0::4], row[1::4], told[0])
                if bids[k] or told[5] > 0:
                    self._match_row(Side.BUY, row[2::4], row[3::4], told[0])
                ends[k] = len(self._told)
            yield self._events(), ends, rows

    def _events(self) -> Events:
        out = np.zeros(len(self._told), order_event_dtype)
        columns = list(zip(*self._told, strict=True)) or [()] * 7
        for name, column in zip(("ts", "action", "order", "side", "px", "qty", "other"), columns, strict=True):
            out[name] = np.array(column, np.uint64) if name == "order" else column
        out["instrument"] = self.instrument
        self._told.clear()
        return out

    def _tell(self, ts: int, action: OrderAction, order: int, side: Side = Side.BUY, px: int = 0, qty: int = 0) -> None:
        match action:
            case OrderAction.ADD:
                self._book.add(order, side, px, qty)
            case OrderAction.DELETE:
                self._book.delete(order)
            case OrderAction.CANCEL | OrderAction.EXECUTE:
                self._book.cancel(order, qty)
        self._told.append((ts, action, order, side if action in (OrderAction.ADD, OrderAction.TRADE) else 0, px, qty, 0))

    def _message(self, ts: int, kind: int, order: int, size: int, price: int, direction: int) -> None:
        side, px = (Side.BUY if direction > 0 else Side.SELL), price * PX
        if kind == ADD:
            self._tell(ts, OrderAction.ADD, order, side, px, size)
        elif kind in (REDUCE, DELETE, VISIBLE):
            known = self._book.order(order)
            if known is None or known[:2] != (side, px) or known[2] < size or (kind == DELETE and known[2] != size):
                order = self._rested(ts, side, px, size)
                kind = REDUCE if kind == DELETE else kind
            if order and kind == DELETE:
                self._tell(ts, OrderAction.DELETE, order)
            elif order:
                self._tell(ts, OrderAction.EXECUTE if kind == VISIBLE else OrderAction.CANCEL, order, qty=size)
        elif kind in (HIDDEN, CROSS):
            self._tell(ts, OrderAction.TRADE, max(order, 0), side, px, size)  # of no order that anybody saw

    def _rested(self, ts: int, side: Side, px: int, size: int) -> int:
        """The order of our own that stands for what nobody told of; 0 where there is nothing at the price."""
        own = RESTED | (side - 1) << 62 | px // PX
        known = self._book.order(own)
        if known is not None and known[2] >= size:
            return own
        if (total := int(self._book.queue(side, px)["qty"].sum())) < size:
            return 0  # the row will tell
        self.counts["queues that changed out of view"] += 1
        self._set_level(ts, side, px, total)
        return own

    def _set_level(self, ts: int, side: Side, px: int, qty: int) -> None:
        """All that stands at a price is one order of our own."""
        for order in self._book.queue(side, px)["order"].tolist():
            self._tell(ts, OrderAction.DELETE, order)
        if qty:
            self._tell(ts, OrderAction.ADD, RESTED | (side - 1) << 62 | px // PX, side, px, qty)

    def _match_row(self, side: Side, prices: list[int], sizes: list[int], ts: int) -> None:
        """What the row shows and the messages did not: the first row, and what comes into view from below."""
        row = [(p * PX, q) for p, q in zip(prices, sizes, strict=True) if abs(p) != NONE]
        seen = self._view[side - 1]
        if self._standing(side, len(row)) != row or len(row) < len(prices):
            while gone := [px for px, _ in self._standing(side, len(prices)) if self._inside(side, px, row, len(prices))]:
                for px in gone:
                    self.counts["levels gone out of view" if px not in seen else "rows that their message does not explain"] += 1
                    self._set_level(ts, side, px, 0)
            standing = dict(self._standing(side, len(prices)))
            for px, qty in row:
                if standing.get(px) != qty:
                    self._learn(ts, side, px, qty, seen)
        self._view[side - 1] = {px for px, _ in row}

    def _standing(self, side: Side, n: int) -> list[tuple[int, int]]:
        return [(px, qty) for px, qty, _ in self._book.depth(n)[side - 1].tolist()]

    def _learn(self, ts: int, side: Side, px: int, qty: int, seen: set[int]) -> None:
        if not seen:
            self._seed(ts, side, px, qty)
            return
        self.counts["levels revealed" if px not in seen else "rows that their message does not explain"] += 1
        self._set_level(ts, side, px, qty)

    @staticmethod
    def _inside(side: Side, px: int, row: list[tuple[int, int]], levels: int) -> bool:
        """Whether a price would be in the row if it stood: better than the last shown, or the row has room."""
        if any(px == shown for shown, _ in row):
            return False
        return len(row) < levels or (px > row[-1][0] if side == Side.BUY else px < row[-1][0])

    def _seed(self, ts: int, side: Side, px: int, qty: int) -> None:
        """What rested here before the first message, in front of the order that it brought."""
        behind = [(order, size) for order, size, *_ in self._book.queue(side, px).tolist()]
        self.counts["levels of the first row"] += 1
        self._set_level(ts, side, px, qty - sum(size for _, size in behind))
        for order, size in behind:
            self._tell(ts, OrderAction.ADD, order, side, px, size)


def read_mbo(path: Path) -> Events:
    """The events of a DBN file (versions 1 to 3, schema mbo), as it is or packed by zstd; qty in contracts, seq the venue's.

    A file may hold several instruments: a book takes those of its own, events[events["instrument"] == number].
    Raises DataError where it is no such file, where it is packed and the package zstandard is not installed, or where it unpacks to
    more than 1 GiB and 200 times its size.
    """
    raw = _unpacked(path)
    if raw[:3] != b"DBN" or len(raw) < 8:
        raise DataError("is no DBN file", where=str(path), mend="download the schema mbo in the encoding dbn")
    at = 8 + int.from_bytes(raw[4:8], "little")
    size = mbo_dtype.itemsize
    if (len(raw) - at) % size or at > len(raw):
        raise DataError(
            "holds other records than those of the schema mbo, or is cut off", where=str(path), mend="download it again"
        )
    rows: npt.NDArray[Any] = np.frombuffer(raw, mbo_dtype, offset=at)
    strange = (rows["rtype"] != MBO) | (rows["length"] * 4 != size) | ~np.isin(rows["action"], list(ACTIONS))
    if strange.any():
        raise DataError(
            f"record {int(strange.argmax())} is none of the schema mbo", where=str(path), mend="download the schema mbo alone"
        )
    out = np.zeros(len(rows), order_event_dtype)
    for letter, action in ACTIONS.items():
        out["action"][rows["action"] == letter] = action
    out["side"] = np.select([rows["side"] == b"B", rows["side"] == b"A"], [int(Side.BUY), int(Side.SELL)], 0)
    out["order"], out["px"], out["qty"], out["ts"] = rows["order"], rows["px"], rows["size"], rows["ts_event"].astype(np.int64)
    out["seq"], out["instrument"], out["flags"] = rows["sequence"], rows["instrument"], rows["flags"]
    return out


def _unpacked(path: Path) -> bytes | bytearray:
    try:
        raw = path.read_bytes()
    except OSError as e:
        raise DataError(f"cannot be read: {e}", where=str(path), mend="check the path and the file") from None
    if raw[:4] != b"\x28\xb5\x2f\xfd":
        return raw
    try:
        zstandard = import_module("zstandard")
    except ImportError:
        raise DataError("is packed by zstd", where=str(path), mend="pip install zstandard, or unpack it with zstd -d") from None
    out = bytearray()
    try:
        with zstandard.ZstdDecompressor().stream_reader(io.BytesIO(raw), read_across_frames=True) as stream:
            while block := stream.read(1 << 20):
                out += block
                if too_dense(len(raw), len(out)):
                    raise DataError(f"unpacks to more than {PACKED} times its size", where=str(path), mend="download it again")
        return out
    except zstandard.ZstdError as e:
        raise DataError(f"is damaged: {e}", where=str(path), mend="download it again") from None
