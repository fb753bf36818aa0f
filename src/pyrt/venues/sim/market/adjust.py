"""Bars as they would have been had a corporate action always been in force."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from decimal import Decimal
from fractions import Fraction

import numpy as np
import numpy.typing as npt

from pyrt._core.types import trade_dtype
from pyrt.clock import DAY, MINUTE
from pyrt.venues.sim.actions import Action, since
from pyrt.venues.sim.market.market import Market

Records = npt.NDArray[np.void]

ADJUSTMENTS = frozenset({"raw", "split", "dividend", "spin-off", "all"})
LOOK_BACK = (MINUTE, 60 * MINUTE, 5 * DAY)  # for the last price before an ex instant
_PRICES = ("open_px", "high_px", "low_px", "close_px")


def adjust(bars: Records, actions: Iterable[Action], adjustment: str, closes: Mapping[str, int] | None = None) -> Records:
    """Bars of one symbol, in time order, adjusted for the actions of that symbol: a copy where anything changes.

    adjustment: raw, split (prices divided, volumes multiplied by the ratio), dividend (prices times 1 - rate / close), all, or
    some of them with commas between; spin-offs there are none.
    A bar is adjusted for the actions whose ex instant is after its start; give those alone that the venue's present has reached.
    closes: the raw close before the ex instant by action id, px units; without it that of the last of `bars` before it.
    Prices are rounded half up to 1e-9, volumes down. Raises ValueError for another adjustment.
    """
    asked = set(adjustment.split(","))
    if not asked <= ADJUSTMENTS:
        raise ValueError(f"invalid adjustment: {adjustment}")
    wanted = [a for a in actions if asked & {"all", "split" if a.is_split else "dividend"}]
    factors = [(a, _factor(a, bars, closes or {})) for a in sorted(wanted, key=lambda a: a.ex)]
    if not len(bars) or not factors:
        return bars
    adjusted = bars.copy()
    for action, factor in factors:
        before = adjusted["start"] < action.ex
        if before.any() and factor != 1:
            _scale(adjusted, before, factor, action.ratio if action.is_split else Fraction(1))
    return adjusted


class Adjuster:
    """`adjust` for the archive of a market: with the actions that its present has reached, and its closes before them."""

    def __init__(self, market: Market, actions: Sequence[Action], now: Callable[[], int]) -> None:
        self._market = market
        self._actions = actions
        self._now = now
        self._closes: dict[str, int] = {}  # by action id

    def __call__(self, bars: Records, symbol: str, adjustment: str) -> Records:
        """Bars of a symbol as `adjustment` wants them."""
        own = since(self._actions, symbol, 0, self._now())
        if adjustment == "raw" or not own:
            return bars
        for action in own:
            if not action.is_split and action.id not in self._closes:
                self._closes[action.id] = self._close(action)
        return adjust(bars, own, adjustment, self._closes)

    def _close(self, action: Action) -> int:
        for span in LOOK_BACK:
            before = self._market.history_trades(action.symbol, action.ex - span, action.ex - 1).view(trade_dtype)
            if len(before):
                return int(before["px"][-1])
        return 0


def _factor(action: Action, bars: Records, closes: Mapping[str, int]) -> Fraction:
    """What prices before an action are multiplied by; both price and rate are of the day before, so no other action matters."""
    if action.is_split:
        return 1 / action.ratio
    before = bars["close_px"][bars["start"] < action.ex]
    close = closes.get(action.id) or (int(before[-1]) if len(before) else 0)
    factor = 1 - Fraction(Decimal(action.rate)) * 10**9 / close if close else Fraction(1)
    return factor if factor > 0 else Fraction(1)


def _scale(bars: Records, where: npt.NDArray[np.bool_], factor: Fraction, shares: Fraction) -> None:
    for name in _PRICES:
        bars[name][where] = [int(px * factor + Fraction(1, 2)) for px in bars[name][where].tolist()]
    bars["volume"][where] = [int(volume * shares) for volume in bars["volume"][where].tolist()]
    rows = zip(bars["notional_hi"][where].tolist(), bars["notional_lo"][where].tolist(), strict=True)
    totals = [int(((hi << 64) + lo) * factor * shares) for hi, lo in rows]
    bars["notional_hi"][where] = [total >> 64 for total in totals]
    bars["notional_lo"][where] = [total & (1 << 64) - 1 for total in totals]
