"""Bitstamp: diffs and trades of its WebSocket and REST snapshots, as cryptofeed recorded them in two files."""

import heapq
from collections import Counter
from collections.abc import Iterator
from operator import itemgetter
from pathlib import Path
from typing import Any, Literal

from pyrt._core.types import Side
from pyrt.errors import DataError
from pyrt.history.cryptofeed import read_lines
from pyrt.history.source import Precision, Records, Rows, book_units
from pyrt.model import AssetClass, Instrument

CHUNK = 16_384
DIFFS, TRADES = "diff_order_book_", "live_trades_"
_SIDES = ((Side.BUY, "bids"), (Side.SELL, "asks"))


class Bitstamp:
    """All pairs of a folder with `*.http.*` and `*.ws.*`. A book begins with its snapshot; older diffs are counted.

    There is no chain of ids: a diff that was never recorded cannot be seen. update_id = the venue's microsecond.
    """

    kind: Literal["market"] = "market"

    def __init__(self, folder: Path, *, symbol: str = "", instrument: int = 1) -> None:
        self._where = str(folder)
        self.counts: Counter[str] = Counter()
        self._files = [path for path in sorted(folder.glob("*")) if ".http." in path.name or ".ws." in path.name]
        precisions: dict[str, Precision] = {}
        where = str(folder)
        try:
            for place, pair, kind, data in self._messages():
                where = place
                if pair and (not symbol or pair == symbol):
                    _look(precisions.setdefault(pair, Precision()), kind, data)
        except (KeyError, TypeError, ValueError, AttributeError):
            raise DataError("a message without its fields", where=where, mend="the file is damaged") from None
        if not precisions:
            raise DataError("no book here", where=self._where, mend="give the folder of the *.http.* and *.ws.* files")
        self.instruments = []
        for i, (pair, precision) in enumerate(precisions.items()):
            precision.check(f"{folder} {pair}")
            tick, exp = precision.tick, precision.qty_decimals
            terms = {"asset_class": AssetClass.CRYPTO, "tick": tick, "sub_tick": tick, "lot": 1, "qty_exp": exp}
            self.instruments.append(Instrument(id=instrument + i, symbol=pair, **terms))  # type: ignore[arg-type]

    def _messages(self) -> Iterator[tuple[str, str, str, dict[str, Any]]]:
        merged = heapq.merge(*(read_lines(path) for path in self._files), key=itemgetter(2))
        for where, address, recv, message in merged:
            if address:
                yield where, address.rstrip("/").rpartition("/")[2], "snapshot", {**message, "recv": recv}
                continue
            channel, event = message.get("channel", ""), message.get("event")
            for prefix, wanted in ((DIFFS, "data"), (TRADES, "trade")):
                if channel.startswith(prefix) and event == wanted:
                    yield where, channel.removeprefix(prefix), wanted, {**message["data"], "recv": recv}
                    break
            else:
                yield where, "", "", {}

    def chunks(self) -> Iterator[Records]:
        """The records by receive time."""
        self.counts.clear()
        terms = {i.symbol: i for i in self.instruments}
        live: dict[str, int] = {}
        waiting: dict[str, list[tuple[str, dict[str, Any]]]] = {}
        rows = Rows()
        for where, pair, kind, data in self._messages():
            if pair not in terms:
                self.counts["message of another kind"] += 1
                continue
            if kind == "trade":
                self._trade(rows, terms[pair], data, where)
            elif kind == "snapshot":
                live[pair] = int(data["microtimestamp"])
                self._event(rows, terms[pair], data, where, whole=True)
                for place, diff in waiting.pop(pair, []):
                    self._diff(rows, terms[pair], diff, place, live[pair])
            elif pair in live:
                self._diff(rows, terms[pair], data, where, live[pair])
            else:
                waiting.setdefault(pair, []).append((where, data))
            if len(rows) >= CHUNK:
                yield rows.take()
        for diffs in waiting.values():
            self.counts["diff without a snapshot"] += len(diffs)
        yield rows.take()

    def _diff(self, rows: Rows, terms: Instrument, data: dict[str, Any], where: str, begin: int) -> None:
        if int(data["microtimestamp"]) <= begin:
            self.counts["diff older than the snapshot"] += 1
        else:
            self.counts["diff"] += 1
            self._event(rows, terms, data, where)

    def _event(self, rows: Rows, terms: Instrument, data: dict[str, Any], where: str, *, whole: bool = False) -> None:
        levels = []
        for side, key in _SIDES:
            for px, qty, *_ in data[key]:
                units = book_units(px, qty, terms.qty_exp, self.counts, where)
                if units is not None:
                    levels.append((side, *units))
        told = int(data["microtimestamp"])
        rows.event(terms.id, told * 1000, data["recv"], levels, whole=whole, update_id=told)

    def _trade(self, rows: Rows, terms: Instrument, data: dict[str, Any], where: str) -> None:
        units = book_units(data["price_str"], data["amount_str"], terms.qty_exp, self.counts, where)
        if units is not None:
            taker = Side.SELL if data["type"] else Side.BUY
            rows.trade(terms.id, int(data["microtimestamp"]) * 1000, data["recv"], *units, data["id"], int(taker))


def _look(precision: Precision, kind: str, data: dict[str, Any]) -> None:
    if kind == "trade":
        precision.see(data["price_str"], data["amount_str"])
        return
    for _, key in _SIDES:
        for px, qty, *_ in data[key]:
            precision.see(px, qty)
