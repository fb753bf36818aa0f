"""Binance: recorded WebSocket messages, one a line: local receive time in ns, a space, raw JSON; gz or plain.

Depth updates (spot U, u; futures also pu), best prices, trades, and REST snapshots of the book (lastUpdateId).
"""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import msgspec

from pyrt._core.types import Side
from pyrt.errors import DataError
from pyrt.history.source import Precision, Records, Rows, book_units
from pyrt.history.text import open_lines
from pyrt.model import AssetClass, Instrument

CHUNK = 16_384  # records
_SIDES = ((Side.BUY, "b", "bids"), (Side.SELL, "a", "asks"))


class Binance:
    """One instrument. Deltas carry the venue's ids and wait for nothing: `market.Sequencer` joins them with the snapshot.

    An event of futures begins after `pu`. A best price of spot has no time of its own and gets that of the last message that has.
    """

    kind: Literal["market"] = "market"

    def __init__(self, path: Path, *, symbol: str = "", instrument: int = 1) -> None:
        self.path = path
        self.counts: Counter[str] = Counter()
        self._venue_symbol = ""
        precision = Precision()
        for where, _, data in self.messages():
            self._look(data, precision, where)
        precision.check(str(path))
        if not self._venue_symbol:
            raise DataError("no message of a known kind", where=str(path), mend="give lines of `ns JSON`")
        self.instruments = [
            Instrument(
                id=instrument,
                symbol=symbol or self._venue_symbol,
                asset_class=AssetClass.CRYPTO,
                tick=precision.tick,
                sub_tick=precision.tick,
                lot=1,
                qty_exp=precision.qty_decimals,
            )
        ]

    def messages(self) -> Iterator[tuple[str, int, dict[str, Any]]]:
        """(place, receive ns, message) of each line. Raises DataError for a line that is none."""
        with open_lines(self.path) as lines:
            for number, line in enumerate(lines, 1):
                where = f"{self.path} line {number}"
                head, _, body = line.partition(b" ")
                try:
                    message = msgspec.json.decode(body)
                    yield where, int(head), message.get("data", message)
                except (ValueError, AttributeError):
                    raise DataError("not a receive time and a JSON object", where=where, mend="the file is damaged") from None

    def _look(self, data: dict[str, Any], precision: Precision, where: str) -> None:
        name = data.get("s", "")
        if name and name != self._venue_symbol:
            if self._venue_symbol:
                raise DataError(f"{name} beside {self._venue_symbol}", where=where, mend="split the file by symbol")
            self._venue_symbol = name
        kind = _kind(data)
        try:
            if kind in ("depth", "snapshot"):
                for _, *keys in _SIDES:
                    for px, qty, *_ in _levels(data, keys):
                        precision.see(px, qty)
            elif kind == "trade":
                precision.see(data["p"], data["q"])
            elif kind == "best":
                precision.see(data["b"], data["B"])
                precision.see(data["a"], data["A"])
        except (KeyError, TypeError, ValueError, AttributeError):
            raise DataError(f"a {kind} message without its fields", where=where, mend="the file is damaged") from None

    def chunks(self) -> Iterator[Records]:
        """The records of the file in its order."""
        self.counts.clear()
        rows, now = Rows(), 0
        for where, recv, data in self.messages():
            now = _ns(data.get("E") or data.get("T") or 0) or now
            try:
                self._read(rows, where, now or recv, recv, data)
            except (KeyError, TypeError, OverflowError):
                raise DataError("a message without its fields", where=where, mend="the file is damaged") from None
            if len(rows) >= CHUNK:
                yield rows.take()
        yield rows.take()

    def _read(self, rows: Rows, where: str, now: int, recv: int, data: dict[str, Any]) -> None:
        own, exp = self.instruments[0].id, self.instruments[0].qty_exp
        kind = _kind(data)
        if kind == "depth":
            first = data["pu"] + 1 if "pu" in data else data["U"]
            rows.event(own, now, recv, self._book(data, where), update_id=data["u"], span=data["u"] - first)
        elif kind == "snapshot":
            rows.event(own, now, recv, self._book(data, where), whole=True, update_id=data["lastUpdateId"])
        elif kind == "best":
            bid, ask = (book_units(data[p], data[q], exp, self.counts, where) or (0, 0) for p, q in (("b", "B"), ("a", "A")))
            rows.quote(own, now, recv, bid, ask)
        elif kind == "trade":
            units = book_units(data["p"], data["q"], exp, self.counts, where)
            if units is None or units[0] <= 0:  # futures tell settlements as trades at 0
                self.counts["trade without a price"] += 1
                return
            taker = Side.SELL if data["m"] else Side.BUY
            rows.trade(own, _ns(data["T"]), recv, *units, data["t"] if "t" in data else data["a"], int(taker))
        else:
            self.counts["message of another kind"] += 1
            return
        self.counts[kind] += 1

    def _book(self, data: dict[str, Any], where: str) -> list[tuple[Side, int, int]]:
        levels = []
        for side, *keys in _SIDES:
            for px, qty, *_ in _levels(data, keys):
                units = book_units(px, qty, self.instruments[0].qty_exp, self.counts, where)
                if units is not None:
                    levels.append((side, *units))
        return levels


def best_prices(source: Binance) -> dict[int, tuple[tuple[int, int], tuple[int, int]]]:
    """The best bid and ask (px, qty) that the venue told, by update id: what its book must show after that update."""
    exp = source.instruments[0].qty_exp
    found = {}
    for where, _, data in source.messages():
        if _kind(data) == "best":
            bid, ask = (book_units(data[p], data[q], exp, Counter(), where) or (0, 0) for p, q in (("b", "B"), ("a", "A")))
            found[data["u"]] = (bid, ask)
    return found


def _kind(data: dict[str, Any]) -> str:
    told = data.get("e")
    if told == "depthUpdate":
        return "depth"
    if told == "bookTicker" or (told is None and "B" in data and "A" in data):
        return "best"
    if told in ("trade", "aggTrade"):
        return "trade"
    return "snapshot" if "lastUpdateId" in data else ""


def _levels(data: dict[str, Any], keys: list[str]) -> list[list[str]]:
    for key in keys:
        if key in data:
            levels: list[list[str]] = data[key]
            return levels
    return []


def _ns(told: int) -> int:
    """A time of the venue, ms or (where asked for) us, as ns."""
    return told * (1_000_000 if told < 10**14 else 1_000)
