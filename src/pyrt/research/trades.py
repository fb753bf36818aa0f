"""Round trips: what each entry from flat to flat again has brought."""

from collections.abc import Iterable
from typing import Any

import numpy as np

from pyrt._core.types import Side
from pyrt.model import Filled, Instruments

trade_dtype = np.dtype(
    [
        ("strategy", "<u4"),
        ("instrument", "<u4"),
        ("side", "<u1"),  # of the entry
        ("qty", "<f8"),  # whole units that were opened, in sum
        ("entry_ts", "<i8"),
        ("exit_ts", "<i8"),
        ("entry_price", "<f8"),  # averages
        ("exit_price", "<f8"),
        ("pnl", "<f8"),  # after fees
        ("fees", "<f8"),
    ]
)


class _Trip:
    def __init__(self, fill: Filled, side: Side) -> None:
        self.fill = fill
        self.side = side
        self.opened = self.closed = self.bought = self.sold = self.fees = 0

    @property
    def left(self) -> int:
        return self.opened - self.closed

    def add(self, fill: Filled, qty: int, fee: int) -> None:
        self.fees += fee
        if fill.side == self.side:
            self.opened += qty
            self.bought += qty * fill.px
        else:
            self.closed += qty
            self.sold += qty * fill.px

    def row(self, last: Filled, unit: float) -> tuple[Any, ...]:
        entry, exit_, fees = self.bought / self.opened / 1e9, self.sold / self.closed / 1e9, self.fees / 1e9
        gain = (self.sold - self.bought) * (1 if self.side == Side.BUY else -1) / 1e9 / unit
        first = self.fill
        ends = (first.ts, last.ts, entry, exit_, gain - fees, fees)
        return first.strategy, first.instrument, int(self.side), self.opened / unit, *ends


def round_trips(fills: Iterable[Filled], instruments: Instruments) -> np.ndarray[Any, Any]:
    """The completed round trips of each strategy and instrument, by exit; a fill that turns a position ends one and begins one."""
    open_: dict[tuple[int, int], _Trip] = {}
    rows: list[tuple[Any, ...]] = []
    for fill in fills:
        key = (fill.strategy, fill.instrument)
        left, fee = fill.qty, fill.fee
        while left:
            trip = open_.get(key)
            if trip is None:
                trip = open_[key] = _Trip(fill, fill.side)
            part = left if fill.side == trip.side else min(left, trip.left)
            own = fee if part == left else fee * part // left
            trip.add(fill, part, own)
            left, fee = left - part, fee - own
            if not trip.left:
                rows.append(trip.row(fill, float(10 ** instruments[fill.instrument].qty_exp)))
                del open_[key]
    return np.array(rows, trade_dtype)
