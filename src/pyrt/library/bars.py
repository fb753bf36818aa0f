"""Bars of trades, in whole units."""

from collections.abc import Iterable
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from pyrt import records
from pyrt._core.bars import BarAggregator as RawBars
from pyrt._core.sampled import BarSpec
from pyrt._core.types import PX_SCALE, RecordType, trade_dtype
from pyrt.clock import interval_ns
from pyrt.errors import ConfigError
from pyrt.library.units import units_of
from pyrt.model import Number

Kind = str | int | BarSpec


def _kind(kind: Kind) -> int | str | BarSpec:
    return kind if isinstance(kind, BarSpec) or ":" in str(kind) else interval_ns(kind)


class BarAggregator(RawBars):
    """Bars of one instrument, of several kinds at once: "1s", "5m", "1h", "1d", ns, "tick:100" or Tick(100) (see pyrt.bars).

    Arrays of trades in (`apply`) or one at a time (`add`); what closed comes out of `take` (bar_dtype) or `bars` (whole units).
    Raises ConfigError for what is no interval.

    >>> bars = BarAggregator("1s", "1m")
    >>> for second in range(90):
    ...     bars.add(190 + second / 100, 5, at=second * 1_000_000_000)
    >>> bars.close(90 * 1_000_000_000)
    >>> bars.bars()["close"][-1]
    190.59
    """

    qty_exp: int
    _row: NDArray[np.void]  # the trade that `add` takes in
    _bytes: memoryview

    def __new__(cls, *intervals: Kind | Iterable[Kind], qty_exp: int = 9, **settings: Any) -> Self:
        named = [i for each in intervals for i in ([each] if isinstance(each, Kind) else each)]
        if not named:
            raise ConfigError("no interval", where="BarAggregator", mend='write "1s", "1m", "5m"')
        try:
            made = super().__new__(cls, [_kind(i) for i in named], qty_exp=qty_exp, **settings)
        except ValueError as e:
            raise ConfigError(str(e), where="BarAggregator", mend='write "1s", "1m", "5m"') from None
        made.qty_exp = qty_exp
        made._row = np.zeros(1, trade_dtype)
        made._row["type"] = RecordType.TRADE
        made._bytes = made._row.view(np.uint8).data
        return made

    def add(self, price: Number, quantity: Number, *, at: int) -> None:
        """One trade at a time, ns UTC. Raises OrderError for what does not fit the units."""
        row = self._row
        row["px"], row["qty"] = units_of(price, PX_SCALE, "price"), units_of(quantity, self.qty_exp, "quantity")
        row["ts_event"] = row["ts_recv"] = at
        self.apply(self._bytes)

    def bars(self) -> dict[str, NDArray[Any]]:
        """What closed since the last call, as columns in whole units: a DataFrame's, for instance."""
        return records.columns(self.take(), qty_exp=self.qty_exp)
