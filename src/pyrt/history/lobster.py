"""LOBSTER: the messages of one share and its book after each of them (lobsterdata.com, "Output structure").

A zip that holds `TICKER_DATE_START_END_message_N.csv` and `..._orderbook_N.csv`, or the message file with the other beside it.
"""

import re
import zipfile
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import IO, Any, Literal

import numpy as np
import numpy.typing as npt

from pyrt._core.types import (
    NO_PRICE,
    Action,
    Flag,
    RecordType,
    Side,
    TradingState,
    delta_dtype,
    market_dtype,
    quote_dtype,
    status_dtype,
    trade_dtype,
)  # fmt: skip
from pyrt.errors import DataError
from pyrt.history.source import Records
from pyrt.history.text import line_blocks, member, new_york_ns, table
from pyrt.model import AssetClass, Instrument

PX = 100_000  # px units of a ten-thousandth
SHARE = 1_000_000_000
NONE = 9_999_999_999  # the price of a level that is not there
ADD, REDUCE, DELETE, VISIBLE, HIDDEN, CROSS, HALT = 1, 2, 3, 4, 5, 6, 7
_NAME = re.compile(r"([^/_]+)_(\d{4})-(\d\d)-(\d\d)_\d+_\d+_message_(\d+)\.csv$")
_LEAST, _MOST = (0, ADD, -1, 0, -1, -1), (172_800, HALT, 1 << 53, 1 << 32, NONE, 1)  # of a message; a float knows no more orders
Ints = npt.NDArray[np.int64]


class Lobster:
    """One day of one share. `view`: "top" gives trades and a quote for each change of the best prices, "book" trades and deltas.

    The book is kept order by order: seeded from the first row, changed by the messages. Orders that rested before are not listed
    and levels that come into view from below are in no message: those are taken from the row, and counted. So is any row that its
    message does not explain.
    """

    kind: Literal["market"] = "market"

    def __init__(self, path: Path, *, view: Literal["top", "book"] = "top", symbol: str = "", instrument: int = 1) -> None:
        self.path = path
        self.view = view
        self.counts: Counter[str] = Counter()
        self._message, match = _find(path)
        ticker, *day, levels = match.groups()
        self._day = "".join(day)
        self.levels = int(levels)
        terms: dict[str, Any] = {"asset_class": AssetClass.CRYPTO, "tick": PX, "sub_tick": PX} if view == "book" else {}
        name = symbol or (f"{ticker}/USD" if view == "book" else ticker)
        self.instruments = [Instrument(id=instrument, symbol=name, **terms)]

    def rows(self) -> Iterator[tuple[npt.NDArray[np.float64], Ints]]:
        """Blocks of the two files side by side: messages (seconds, type, order, size, price, direction) and rows of the book."""
        with ExitStack() as stack:
            messages, books = (stack.enter_context(stream) for stream in self._open())
            line = 1
            where = f"{self.path} {self._message}"
            book_where = where.replace("_message_", "_orderbook_")
            for block in line_blocks(messages):
                if block.partition(b"\n")[0].count(b",") == 6:  # later files name the participant in a seventh column
                    block = b"".join(text.rpartition(b",")[0] + b"\n" for text in block.splitlines())
                message = table(block, 6, float, where, line)
                rows = next(line_blocks(books), b"")
                book = table(rows, 4 * self.levels, int, book_where, line)
                if len(book) != len(message):
                    raise DataError(
                        f"{len(book)} rows of the book for {len(message)} messages", where=book_where, mend="one is cut off"
                    )
                if (strange := _strange(message, book)).any():
                    at = f"{where} line {line + int(strange.argmax())}"
                    raise DataError("a number of the message or of its row cannot be", where=at, mend="the file is damaged")
                yield message, book
                line += len(message)
            if next(line_blocks(books, 1), b""):
                raise DataError("more rows of the book than messages", where=book_where, mend="the message file is cut off")

    def _open(self) -> list[IO[bytes]]:
        names = [self._message, self._message.replace("_message_", "_orderbook_")]
        try:
            if self.path.suffix == ".zip":
                archive = zipfile.ZipFile(self.path)
                return [member(archive, name) for name in names]
            return [(self.path.parent / name).open("rb") for name in names]
        except (OSError, KeyError, zipfile.BadZipFile) as e:
            raise DataError(
                f"cannot be read: {e}", where=str(self.path), mend="it needs the message and the orderbook file"
            ) from None

    def chunks(self) -> Iterator[Records]:
        """The records of the day."""
        self.counts.clear()
        top: Ints = np.full((1, 4), -1, np.int64)
        book = _Book(self.levels, self.counts)
        for message, rows in self.rows():
            times = new_york_ns(self._day, np.rint(message[:, 0] * 1e9).astype(np.int64))
            parts = [self._trades(message, times), self._statuses(message, times)]
            if self.view == "top":
                best = rows[:, :4]
                changed = (best != np.concatenate([top, best[:-1]])).any(axis=1)
                top = best[-1:]
                parts.append(self._quotes(best, times, np.flatnonzero(changed)))
            else:
                parts.append(self._deltas(book.run(message, rows), times))
            at = np.concatenate([part[0] for part in parts])
            records: Records = np.concatenate([part[1] for part in parts])
            yield records[np.argsort(at, kind="stable")]

    def _head(self, out: Records, kind: RecordType, ts: Ints) -> None:
        out["type"], out["instrument"] = int(kind), self.instruments[0].id
        out["ts_event"] = out["ts_recv"] = ts

    def _trades(self, message: npt.NDArray[np.float64], times: Ints) -> tuple[Ints, Records]:
        at = np.flatnonzero(np.isin(message[:, 1], (VISIBLE, HIDDEN, CROSS)))
        rows = message[at]
        out: Records = np.zeros(len(at), trade_dtype)
        self._head(out, RecordType.TRADE, times[at])
        out["px"], out["qty"] = rows[:, 4].astype(np.int64) * PX, rows[:, 3].astype(np.int64) * SHARE
        resting_buy = rows[:, 5] > 0  # the taker is on the other side
        cross = rows[:, 1] == CROSS
        out["taker"] = np.where(cross, 0, np.where(resting_buy, int(Side.SELL), int(Side.BUY)))
        out["conditions"] = np.where(cross, ord("X"), ord("@"))
        out["exchange"], out["tape"] = ord("Q"), ord("C")
        out["trade_id"] = np.arange(self.counts["trades"] + 1, self.counts["trades"] + 1 + len(at))
        self.counts["trades"] += len(at)
        return at, out.view(market_dtype)

    def _statuses(self, message: npt.NDArray[np.float64], times: Ints) -> tuple[Ints, Records]:
        at = np.flatnonzero(message[:, 1] == HALT)
        out: Records = np.zeros(len(at), status_dtype)
        self._head(out, RecordType.STATUS, times[at])
        out["upper_px"] = out["lower_px"] = NO_PRICE
        for told, state, letter in ((-1, TradingState.HALTED, "H"), (0, TradingState.QUOTING, "Q"), (1, TradingState.TRADING, "T")):
            found = message[at, 4] == told
            out["state"][found], out["code"][found] = int(state), ord(letter)
        out["tape"] = ord("C")
        return at, out.view(market_dtype)

    def _quotes(self, best: Ints, times: Ints, at: Ints) -> tuple[Ints, Records]:
        out: Records = np.zeros(len(at), quote_dtype)
        self._head(out, RecordType.QUOTE, times[at])
        for side, column in (("ask", 0), ("bid", 2)):
            px, qty = best[at, column], best[at, column + 1]
            there = np.abs(px) != NONE
            out[f"{side}_px"], out[f"{side}_qty"] = np.where(there, px * PX, NO_PRICE), np.where(there, qty * SHARE, 0)
        return at, out.view(market_dtype)

    def _deltas(self, rows: list[tuple[int, int, int, int, int, int]], times: Ints) -> tuple[Ints, Records]:
        columns = np.array(rows, np.int64).reshape(-1, 6).T
        out: Records = np.zeros(len(rows), delta_dtype)
        self._head(out, RecordType.DELTA, times[columns[0]])
        out["side"], out["px"], out["qty"] = columns[1], columns[2] * PX, columns[3] * SHARE
        out["action"], out["flags"] = columns[4], columns[5]
        return columns[0], out.view(market_dtype)


def _strange(message: npt.NDArray[np.float64], rows: Ints) -> npt.NDArray[np.bool_]:
    """Which messages or rows hold a number that no day has, and that 64 bits may not hold in our units."""
    kind, prices, sizes = message[:, 1], rows[:, 0::2], rows[:, 1::2]
    beyond: npt.NDArray[np.bool_] = ((message < _LEAST) | (message > _MOST)).any(axis=1) | ((kind <= VISIBLE) & (message[:, 2] < 0))
    beyond |= (kind <= CROSS) & (message[:, 4] < 0)
    beyond |= (((prices < 0) & (prices != -NONE)) | (prices > NONE) | (sizes < 0) | (sizes > _MOST[3])).any(axis=1)
    return beyond


def _find(path: Path) -> tuple[str, re.Match[str]]:
    names = [path.name]
    if path.suffix == ".zip":
        try:
            with zipfile.ZipFile(path) as archive:
                names = archive.namelist()
        except (OSError, zipfile.BadZipFile) as e:
            raise DataError(f"cannot be read: {e}", where=str(path), mend="check the path and the file") from None
    found = [(name, match) for name in names if (match := _NAME.search(name))]
    if len(found) != 1:
        mend = "give the zip of one day, or its TICKER_DATE_START_END_message_N.csv"
        raise DataError(f"{len(found)} message files here", where=str(path), mend=mend)
    return found[0]


class _Book:
    """The visible levels, and the orders that we saw come in."""

    def __init__(self, levels: int, counts: Counter[str]) -> None:
        self.levels = levels
        self.counts = counts
        self.orders: dict[int, tuple[int, int, int]] = {}  # id: (side, key, size)
        self._keys: list[list[int]] = []  # of asks, bids: px or -px, so that the best comes first; NONE is no level
        self._qtys: list[list[int]] = []
        self._out: list[tuple[int, int, int, int, int, int]] = []

    def run(self, message: npt.NDArray[np.float64], rows: Ints) -> list[tuple[int, int, int, int, int, int]]:
        """Apply messages; deltas (row, side, px, qty, action, flags), one event a row that changed."""
        keys = rows[:, 0::2] * np.tile([1, -1], self.levels)
        asks, bids = keys[:, 0::2].tolist(), keys[:, 1::2].tolist()
        ask_qtys, bid_qtys = rows[:, 1::4].tolist(), rows[:, 3::4].tolist()
        self._out = []
        for k, (_, kind, order, size, px, direction) in enumerate(message.tolist()):
            before = len(self._out)
            seen = ([asks[k], bids[k]], [ask_qtys[k], bid_qtys[k]])
            if not self._keys:
                self._seed(k, *seen)
            else:
                side = 1 if direction > 0 else 0
                if kind <= VISIBLE:
                    self._message(k, int(kind), int(order), int(size), side, int(-px if side else px))
                if self._keys[0] != asks[k] or self._keys[1] != bids[k] or self._qtys != seen[1]:
                    self._learn(k, *seen)
            if len(self._out) > before:
                *last, flags = self._out[-1]
                self._out[-1] = (*last, flags | int(Flag.LAST))  # type: ignore[assignment]
        return self._out

    def _seed(self, k: int, keys: list[list[int]], qtys: list[list[int]]) -> None:
        self._keys, self._qtys = [list(side) for side in keys], [list(side) for side in qtys]
        self._out.append((k, 0, 0, 0, int(Action.CLEAR), int(Flag.SNAPSHOT)))
        for side in (0, 1):
            for key, qty in zip(keys[side], qtys[side], strict=True):
                if key != NONE:
                    self._set(k, side, key, qty, int(Flag.SNAPSHOT))

    def _set(self, k: int, side: int, key: int, qty: int, flags: int = 0) -> None:
        self._out.append((k, int(Side.BUY) if side else int(Side.SELL), -key if side else key, qty, int(Action.SET), flags))

    def _message(self, k: int, kind: int, order: int, size: int, side: int, key: int) -> None:
        self._follow(kind, order, size, side, key)
        keys, qtys = self._keys[side], self._qtys[side]
        i = bisect_left(keys, key)
        here = i < self.levels and keys[i] == key
        if kind == ADD:
            if here:
                qtys[i] += size
            elif i == self.levels:
                self.counts["message below the window"] += 1
                return
            else:
                keys.insert(i, key)
                qtys.insert(i, size)
                gone = keys.pop()
                qtys.pop()
                if gone != NONE:  # what happens there is not told any more
                    self._set(k, side, gone, 0)
            self._set(k, side, key, qtys[i])
        elif not here:
            self.counts["message below the window"] += 1
        else:
            qtys[i] -= size
            self._set(k, side, key, max(qtys[i], 0))
            if qtys[i] <= 0:
                del keys[i], qtys[i]
                keys.append(NONE)
                qtys.append(0)

    def _follow(self, kind: int, order: int, size: int, side: int, key: int) -> None:
        if kind == ADD:
            self.orders[order] = (side, key, size)
            return
        known = self.orders.pop(order, None)
        if known is None:
            self.counts["orders from before or below"] += 1
        elif known[:2] != (side, key) or known[2] < size:
            self.counts["orders that changed out of view"] += 1
        elif known[2] > size:
            if kind == DELETE:
                self.counts["orders that changed out of view"] += 1
            else:
                self.orders[order] = (side, key, known[2] - size)

    def _learn(self, k: int, keys: list[list[int]], qtys: list[list[int]]) -> None:
        for side in (0, 1):
            ours, n = self._keys[side], self.levels - self._keys[side].count(NONE)
            if ours[:n] == keys[side][:n] and self._qtys[side][:n] == qtys[side][:n]:
                for key, qty in zip(keys[side][n:], qtys[side][n:], strict=True):
                    if key != NONE:
                        self.counts["levels revealed"] += 1
                        self._set(k, side, key, qty)
            else:
                self.counts["rows that their message does not explain"] += 1
                told = dict(zip(keys[side], qtys[side], strict=True))
                for key, qty in zip(ours, self._qtys[side], strict=True):
                    if key != NONE and key not in told and qty:
                        self._set(k, side, key, 0)
                for key, qty in told.items():
                    if key != NONE:
                        self._set(k, side, key, qty)
            self._keys[side], self._qtys[side] = list(keys[side]), list(qtys[side])
