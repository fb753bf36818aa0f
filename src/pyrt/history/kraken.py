"""Kraken: books of its WebSocket (v1) as cryptofeed recorded them, and trades and minutes of its REST."""

import zlib
from bisect import bisect_left, insort
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import msgspec
import numpy as np

from pyrt._core.types import RecordType, Side, bar_dtype, market_dtype, to_units, trade_dtype
from pyrt.clock import MINUTE, SECOND
from pyrt.errors import DataError
from pyrt.history.cryptofeed import read_lines
from pyrt.history.source import Precision, Records, Rows, book_units
from pyrt.history.text import open_lines
from pyrt.model import AssetClass, Instrument

CHUNK = 16_384
_SIDES = ((Side.SELL, ("as", "a")), (Side.BUY, ("bs", "b")))
Level = tuple[int, int]


class Update(NamedTuple):
    """One message of a book: its records, and the venue's checksum over the best ten levels after it, None where it told none."""

    instrument: int
    records: Records
    checksum: int | None


def checksum(bids: Sequence[Level], asks: Sequence[Level], px_decimals: int, qty_exp: int) -> int:
    """CRC-32 of the best ten asks, then bids, (px, qty) best first: as the venue writes them, without point and leading zeros.

    docs.kraken.com, "Book checksum" (v1). `px_decimals`: as written, quantities are written with eight.
    """
    text = []
    for px, qty in (*asks[:10], *bids[:10]):
        text.append(str(px // 10 ** (9 - px_decimals) if px_decimals <= 9 else px * 10 ** (px_decimals - 9)))
        text.append(str(qty * 10 ** (8 - qty_exp) if qty_exp <= 8 else qty // 10 ** (qty_exp - 8)))
    return zlib.crc32("".join(text).encode())


class KrakenBook:
    """The books of one recorded connection. Levels beyond the subscribed depth are taken away, as the venue does without a word.

    `px_decimals`: of each instrument id, as the venue writes its prices.
    """

    kind: Literal["market"] = "market"

    def __init__(self, path: Path, *, symbol: str = "", instrument: int = 1) -> None:
        self.path = path
        self.counts: Counter[str] = Counter()
        precisions: dict[str, Precision] = {}
        written: dict[str, int] = {}
        for where, _, pair, parts in self._messages():
            for px, qty in (level[:2] for part in parts for key in ("as", "bs", "a", "b") for level in part.get(key, ())):
                precisions.setdefault(pair, Precision()).see(px, qty)
                written[pair] = max(written.get(pair, 0), len(px.partition(".")[2]))
            if pair in precisions:
                precisions[pair].check(where)
        if not precisions:
            raise DataError("no book here", where=str(path), mend="give recorded v1 messages of the channel `book`")
        wanted = [pair for pair in precisions if not symbol or pair == symbol]
        self._ids = {pair: instrument + i for i, pair in enumerate(wanted)}
        self.px_decimals = {number: written[pair] for pair, number in self._ids.items()}
        self.instruments = [_instrument(number, pair, precisions[pair]) for pair, number in self._ids.items()]

    def _messages(self) -> Iterator[tuple[str, int, str, list[dict[str, Any]]]]:
        for where, _, recv, message in read_lines(self.path):
            if isinstance(message, list) and len(message) >= 4 and str(message[-2]).startswith("book"):
                yield where, recv, message[-1], message[1:-2]
            else:
                self.counts["message of another kind"] += 1

    def updates(self) -> Iterator[Update]:
        """The messages of the file in its order."""
        self.counts.clear()
        books: dict[int, _Window] = {}
        exps = {i.id: i.qty_exp for i in self.instruments}
        depths = self._depths()
        rows = Rows()
        for where, recv, pair, parts in self._messages():
            number = self._ids.get(pair)
            if number is None:
                self.counts["message of another pair"] += 1
                continue
            whole = any("as" in part or "bs" in part for part in parts)
            if whole:
                books[number] = _Window(depths.get(pair, 0))
            elif number not in books:
                self.counts["update before the whole book"] += 1
                continue
            levels, ts = self._levels(parts, exps[number], where)
            dropped = books[number].apply(levels)
            if dropped:
                self.counts["level below the depth"] += len(dropped)
            rows.event(number, ts or recv, recv, levels + dropped, whole=whole)
            told = next((part["c"] for part in parts if "c" in part), None)
            yield Update(number, rows.take(), None if told is None else int(told))

    def _depths(self) -> dict[str, int]:
        found = {}
        for _, _, _, message in read_lines(self.path):
            if isinstance(message, list) and len(message) >= 4:
                depth = str(message[-2]).rpartition("-")[2]
                if depth.isdigit():
                    found[message[-1]] = int(depth)
        return found

    def _levels(self, parts: list[dict[str, Any]], exp: int, where: str) -> tuple[list[tuple[Side, int, int]], int]:
        levels, latest = [], 0
        for part in parts:
            for side, keys in _SIDES:
                for px, qty, told, *_ in (level for key in keys for level in part.get(key, ())):
                    latest = max(latest, to_units(told))
                    units = book_units(px, qty, exp, self.counts, where)
                    if units is not None:
                        levels.append((side, *units))
        return levels, latest

    def chunks(self) -> Iterator[Records]:
        """The records of the file in its order; every event carries the totals of its levels."""
        held: list[Records] = []
        n = 0
        for update in self.updates():
            held.append(update.records)
            n += len(update.records)
            if n >= CHUNK:
                yield np.concatenate(held)
                held, n = [], 0
        if held:
            yield np.concatenate(held)


class _Window:
    """The prices of one book, cut at its depth; 0 = no limit."""

    def __init__(self, depth: int) -> None:
        self._depth = depth
        self._keys: dict[Side, list[int]] = {Side.BUY: [], Side.SELL: []}  # best first

    def apply(self, levels: list[tuple[Side, int, int]]) -> list[tuple[Side, int, int]]:
        """Take in levels; those that are out of sight now, as removals."""
        for side, px, qty in levels:
            keys, key = self._keys[side], -px if side is Side.BUY else px
            i = bisect_left(keys, key)
            there = i < len(keys) and keys[i] == key
            if qty and not there:
                insort(keys, key)
            elif not qty and there:
                del keys[i]
        dropped = []
        for side, keys in self._keys.items():
            while self._depth and len(keys) > self._depth:
                key = keys.pop()
                dropped.append((side, -key if side is Side.BUY else key, 0))
        return dropped


class KrakenTrades:
    """The reply of GET /0/public/Trades of one pair, gz or plain JSON."""

    kind: Literal["market"] = "market"

    def __init__(self, path: Path, *, symbol: str = "", instrument: int = 1) -> None:
        self.counts: Counter[str] = Counter()
        pair, self._rows = _reply(path)
        precision = Precision()
        try:
            for px, qty, *_ in self._rows:
                precision.see(px, qty)
        except (ValueError, TypeError, AttributeError):
            raise DataError("a trade is not [price, volume, time, side ...]", where=str(path), mend="the file is damaged") from None
        precision.check(str(path))
        self._where = str(path)
        self.instruments = [_instrument(instrument, symbol or pair, precision)]

    def chunks(self) -> Iterator[Records]:
        """All trades."""
        terms, where = self.instruments[0], self._where
        out: Records = np.zeros(len(self._rows), trade_dtype)
        out["type"], out["instrument"] = int(RecordType.TRADE), terms.id
        for i, row in enumerate(self._rows):
            units = book_units(row[0], row[1], terms.qty_exp, self.counts, f"{where} trade {i + 1}")
            if units is None:
                raise DataError(f"a price of {row[0]}", where=f"{where} trade {i + 1}", mend="no record holds it")
            out[i]["px"], out[i]["qty"] = units
            out[i]["ts_event"] = to_units(repr(row[2]) if isinstance(row[2], float) else row[2])
            out[i]["taker"] = Side.BUY if row[3] == "b" else Side.SELL
            out[i]["trade_id"] = row[6] if len(row) > 6 else 0
        out["ts_recv"] = out["ts_event"]
        yield out.view(market_dtype)


class KrakenBars:
    """The reply of GET /0/public/OHLC of one pair. Its minutes without a trade are flat; here they are no bars, and counted."""

    kind: Literal["bars"] = "bars"

    def __init__(self, path: Path, *, symbol: str = "", instrument: int = 1, interval: int = MINUTE) -> None:
        self.counts: Counter[str] = Counter()
        self.interval = interval
        pair, self._rows = _reply(path)
        precision = Precision()
        for _, *prices, _, volume, _ in self._rows:
            for px in prices:
                precision.see(px, volume)
        precision.check(str(path))
        self.instruments = [_instrument(instrument, symbol or pair, precision)]

    def chunks(self) -> Iterator[Records]:
        """All bars that hold a trade."""
        self.counts.clear()
        terms = self.instruments[0]
        rows = [row for row in self._rows if row[7]]
        self.counts["flat minute without a trade"] = len(self._rows) - len(rows)
        out: Records = np.zeros(len(rows), bar_dtype)
        out["type"], out["instrument"], out["interval"] = int(RecordType.BAR), terms.id, self.interval
        for i, (start, *prices, _, volume, trades) in enumerate(rows):
            out[i]["start"], out[i]["trades"] = start * SECOND, trades
            for name, px in zip(("open_px", "high_px", "low_px", "close_px"), prices, strict=True):
                out[i][name] = to_units(px)
            out[i]["volume"] = to_units(volume, terms.qty_exp)
        out["ts_event"] = out["ts_recv"] = out["start"] + self.interval
        yield out


def _instrument(id: int, symbol: str, precision: Precision) -> Instrument:
    tick = precision.tick
    crypto = AssetClass.CRYPTO
    return Instrument(id=id, symbol=symbol, asset_class=crypto, tick=tick, sub_tick=tick, lot=1, qty_exp=precision.qty_decimals)


def _reply(path: Path) -> tuple[str, list[Any]]:
    with open_lines(path) as stream:
        try:
            result = msgspec.json.decode(stream.read())["result"]
            return next((key, rows) for key, rows in result.items() if key != "last")
        except (msgspec.DecodeError, KeyError, TypeError, AttributeError, StopIteration):
            raise DataError("not a reply of Kraken's REST", where=str(path), mend="give its JSON as it came") from None
