"""What every reader is, and how it makes records."""

from collections import Counter
from collections.abc import Iterator
from decimal import Decimal, InvalidOperation
from typing import Any, Protocol

import numpy as np

from pyrt._core.types import NO_PRICE, Action, Flag, RecordType, Side, delta_dtype, market_dtype, quote_dtype, to_units, trade_dtype
from pyrt.errors import DataError
from pyrt.model import Instrument

Records = np.ndarray[Any, np.dtype[np.void]]
BEYOND = Decimal(2**63) / 10**9  # the first price that no record holds
DIGITS = 18  # of a number in 64 bits


class Source(Protocol):
    """One recorded file, or a few that belong together.

    `chunks` reads them from the start, each time: market_dtype arrays in the order of the file, or bar_dtype arrays in the order of
    time. `counts` tells what was skipped or learned in the last reading, by reason; nothing is left out uncounted.
    """

    instruments: list[Instrument]
    counts: Counter[str]

    @property
    def kind(self) -> str:
        """What the chunks are: "market" or "bars"."""
        ...

    def chunks(self) -> Iterator[Records]:
        """The records. Raises DataError with the place of what cannot be read."""
        ...


class Precision:
    """The finest price and quantity of an instrument, learned from the text of its numbers."""

    def __init__(self) -> None:
        self.px_decimals = 0
        self.qty_decimals = 0
        self.qty_digits = 1

    def see(self, px: str, qty: str) -> None:
        """Take in one level or trade."""
        if (decimals := _decimals(px)) > self.px_decimals:
            self.px_decimals = decimals
        if (decimals := _decimals(qty)) > self.qty_decimals:
            self.qty_decimals = decimals
        if (digits := len(qty.partition(".")[0])) > self.qty_digits:
            self.qty_digits = digits

    def check(self, where: str) -> None:
        """Raise DataError where no 64-bit units hold these numbers."""
        if self.px_decimals > 9:
            raise DataError(f"prices have {self.px_decimals} decimals", where=where, mend="a price is a multiple of 0.000000001")
        if self.qty_digits + self.qty_decimals > DIGITS:
            what = f"quantities of {self.qty_digits} digits and {self.qty_decimals} decimals do not fit 64 bits"
            raise DataError(what, where=where, mend="leave this instrument out")

    @property
    def tick(self) -> int:
        """Px units."""
        return int(10 ** (9 - self.px_decimals))


def _decimals(text: str) -> int:
    return len(text.partition(".")[2].rstrip("0"))


def book_units(px: str, qty: str, qty_exp: int, counts: Counter[str], where: str) -> tuple[int, int] | None:
    """A level in units; None, and counted, where nobody can mean its price. Raises DataError for what is no number of the grid."""
    try:
        return to_units(px), to_units(qty, qty_exp)
    except ValueError as e:
        try:
            absurd = Decimal(px) >= BEYOND and Decimal(qty).is_finite()
        except InvalidOperation:
            absurd = False
        if not absurd:
            raise DataError(str(e), where=where, mend="the file is damaged, or not of this kind") from None
        counts["price beyond 64 bits"] += 1
        return None


class Rows:
    """Records of any kind as they come; `take` gives them as one array in their order."""

    def __init__(self) -> None:
        self._rows: dict[RecordType, list[tuple[int, ...]]] = {}
        self._n = 0

    def __len__(self) -> int:
        return self._n

    def _add(self, kind: RecordType, row: tuple[int, ...]) -> None:
        self._rows.setdefault(kind, []).append((self._n, *row))
        self._n += 1

    def event(
        self,
        instrument: int,
        ts: int,
        recv: int,
        levels: list[tuple[Side, int, int]],
        *,
        whole: bool = False,
        update_id: int = 0,
        span: int = 0,
    ) -> None:
        """One event of a book: new totals of levels (side, px, qty), or with `whole` all there are."""
        rows = [(0, 0, 0, int(Action.CLEAR))] if whole else []
        rows += [(int(side), px, qty, int(Action.SET)) for side, px, qty in levels]
        flags = int(Flag.SNAPSHOT) if whole else 0
        for side, px, qty, action in rows or [(0, 0, 0, int(Action.NOTHING))]:
            self._add(RecordType.DELTA, (instrument, flags, ts, recv, px, qty, update_id, span, side, action))
        last = self._rows[RecordType.DELTA][-1]
        self._rows[RecordType.DELTA][-1] = (*last[:2], last[2] | int(Flag.LAST), *last[3:])

    def trade(self, instrument: int, ts: int, recv: int, px: int, qty: int, trade_id: int, taker: int = 0) -> None:
        """One trade."""
        self._add(RecordType.TRADE, (instrument, 0, ts, recv, px, qty, trade_id, taker))

    def quote(self, instrument: int, ts: int, recv: int, bid: tuple[int, int], ask: tuple[int, int]) -> None:
        """The best (px, qty) of both sides; quantity 0 is an empty side."""
        px = [side[0] if side[1] else NO_PRICE for side in (bid, ask)]
        self._add(RecordType.QUOTE, (instrument, 0, ts, recv, px[0], px[1], bid[1], ask[1]))

    def take(self) -> Records:
        """Everything since the last call: market_dtype."""
        out: Records = np.zeros(self._n, market_dtype)
        for kind, rows in self._rows.items():
            dtype, names = _KINDS[kind]
            fields = [("at", "<i8"), *((name, dtype[name]) for name in names)]
            table = np.array(rows, fields)
            part = np.zeros(len(rows), dtype)
            part["type"] = int(kind)
            for name in names:
                part[name] = table[name]
            out[table["at"]] = part.view(market_dtype)
        self._rows.clear()
        self._n = 0
        return out


_HEAD = ("instrument", "flags", "ts_event", "ts_recv")
_KINDS: dict[RecordType, tuple[np.dtype[np.void], tuple[str, ...]]] = {
    RecordType.TRADE: (trade_dtype, (*_HEAD, "px", "qty", "trade_id", "taker")),
    RecordType.QUOTE: (quote_dtype, (*_HEAD, "bid_px", "ask_px", "bid_qty", "ask_qty")),
    RecordType.DELTA: (delta_dtype, (*_HEAD, "px", "qty", "update_id", "span", "side", "action")),
}
