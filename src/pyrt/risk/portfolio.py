"""Portfolio limits: value at risk, expected shortfall and greeks of the worst that open orders can make of what is held.

Nothing nets: each instrument may end anywhere between q - S and q + B, the new order included, so a loss is the sum of what each
instrument loses at its worse end. The figures are bounds: never below that of any subset of fills. Off the hot path, in floats;
a figure is rounded up to whole 1e-9 money before it is compared.
"""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from itertools import product
from math import ceil, erf, exp, isfinite, log, pi, sqrt
from statistics import NormalDist
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pyrt._core.codes import Code, Failure
from pyrt._core.ledger import Ledger
from pyrt.calendar import close_of
from pyrt.clock import DAY
from pyrt.model import AssetClass, Instrument, Intent
from pyrt.ports import HistoryTold
from pyrt.risk.limits import Limits
from pyrt.risk.names import Contract, contract, plain

UNKNOWN = 1 << 120  # what a control finds where a price, a volatility or history is missing: above every limit
FEWEST = 20  # days without which there is no value at risk
CORNERS = 10  # underlyings up to which each corner of the worst case is looked at; beyond, a bound that is not below any
YEAR = 365 * DAY
LEAST, MOST, HALVINGS = 0.001, 10.0, 50  # volatilities of a year between which a contract's own is looked for
_PX = 1e-9
_MONEY = 10**18
Floats = NDArray[np.float64]


class Greeks(NamedTuple):
    """Of one option on one unit: value, delta, gamma, vega (per 1.00 of volatility)."""

    value: float
    delta: float
    gamma: float
    vega: float


class Line(NamedTuple):
    """What one instrument may come to; quantities in units of the underlying."""

    underlying: int
    low: float
    high: float
    spot: float
    greeks: Greeks
    option: Contract | None
    years: float
    vol: float


def black_scholes(spot: float, strike: float, years: float, vol: float, *, call: bool) -> Greeks:
    """Without interest and dividends (Black and Scholes 1973). From expiry on what exercise is worth: delta is all or nothing."""
    if years <= 0:
        inside = spot > strike if call else spot < strike
        sign = 1.0 if call else -1.0
        return Greeks(max(sign * (spot - strike), 0.0), sign * inside, 0.0, 0.0)
    width = vol * sqrt(years)
    d1 = log(spot / strike) / width + width / 2
    density = exp(-d1 * d1 / 2) / sqrt(2 * pi)
    value = spot * _below(d1) - strike * _below(d1 - width)
    delta = _below(d1)
    if not call:
        value, delta = value - spot + strike, delta - 1
    return Greeks(value, delta, density / (spot * width), spot * density * sqrt(years))


def implied(value: float, spot: float, strike: float, years: float, *, call: bool) -> float | None:
    """The volatility at which an option is worth so much; None where none between LEAST and MOST makes it so."""
    if years <= 0:
        return LEAST  # on its last day it is worth what exercise is
    low, high = LEAST, MOST
    least, most = (black_scholes(spot, strike, years, vol, call=call).value for vol in (low, high))
    if not least <= value <= most:
        return None
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if black_scholes(spot, strike, years, middle, call=call).value < value else (low, middle)
    return high


def _below(x: float) -> float:
    return (1 + erf(x / sqrt(2))) / 2


class Portfolio:
    """Bounds on what the portfolio may lose; the shell hands in history, and what is missing denies.

    A contract is valued at the volatility that its own quote implies, at the middle.
    """

    def __init__(self, ledger: Ledger, refs: NDArray[np.void], defined: Mapping[int, Instrument]) -> None:
        self._ledger = ledger
        self._refs = refs
        self._defined = defined
        self._returns: dict[int, Floats] = {}

    def history_told(self, event: HistoryTold) -> None:
        """The last daily closes of an instrument."""
        closes = np.array(event.closes, dtype=float)
        if len(closes) > FEWEST and bool((closes > 0).all()):
            self._returns[event.instrument] = closes[1:] / closes[:-1] - 1
        else:
            self._returns.pop(event.instrument, None)

    @staticmethod
    def limited(limits: Limits) -> bool:
        """Whether any limit here is on."""
        return any(x is None or x.is_finite() for x in (*_risk(limits).values(), *_greek(limits).values()))

    def find(self, limits: Limits, intent: Intent, n: int, now: int) -> list[tuple[str, Failure, bool]]:
        """What each limit that is on finds if n more of the intent's side (0 = it only reduces) may fill, at venue ns."""
        lines = self.lines(intent.instrument, n if intent.side == 1 else 0, n if intent.side != 1 else 0, now)
        seen: dict[str, float | None] = dict.fromkeys((*_risk(limits), *_greek(limits)))
        if lines is not None:
            seen |= {} if (tail := self.tail(lines, float(limits.var_confidence))) is None else dict(zip(_VAR, tail, strict=True))
            seen |= dict(zip(_GREEK, greeks(lines), strict=True))
        found = []
        for names, code in ((_risk(limits), Code.VAR_LIMIT), (_greek(limits), Code.GREEKS_LIMIT)):
            for name, limit in names.items():
                if limit is None or limit.is_finite():
                    most = -1 if limit is None else int(limit * _MONEY)
                    figure = _money(seen[name])
                    found.append((name, Failure(code, most, figure, "money"), n > 0 and figure > most))
        return found

    def lines(self, instrument: int, buys: int, sells: int, now: int) -> list[Line] | None:
        """What each instrument may come to with so many more of one; None where it cannot be valued."""
        found = []
        by_name = {plain(i.symbol): i.id for i in self._defined.values() if i.asset_class != AssetClass.OPTION}
        for number, i in self._defined.items():
            high, low = self._ledger.worst_case(number)
            high, low = (high + buys, low - sells) if number == instrument else (high, low)
            if high == low == 0:
                continue
            unit = i.multiplier / 10**i.qty_exp
            option = contract(i.symbol) if i.asset_class == AssetClass.OPTION else None
            of = by_name.get(plain(option.root), 0) if option else number
            spot = self._spot(of)
            if not spot or (i.asset_class == AssetClass.OPTION and option is None):
                return None
            greeks, years, vol = Greeks(spot, 1.0, 0.0, 0.0), 0.0, 0.0
            if option:
                try:
                    years = (close_of(option.expiry) - now) / YEAR
                except ValueError:  # a symbol that only looks like a contract's
                    return None
                found_vol = self._vol(number, option, spot, years)
                if found_vol is None:
                    return None
                vol = found_vol
                greeks = black_scholes(spot, option.strike * _PX, years, vol, call=option.call)
            found.append(Line(of, low * unit, high * unit, spot, greeks, option, years, vol))
        return found

    def _spot(self, instrument: int) -> float:
        if not 0 < instrument < len(self._refs):
            return 0.0
        ref = self._refs[instrument]
        bid, ask, last = int(ref["bid_px"]), int(ref["ask_px"]), int(ref["last_px"])
        return ((bid + ask) / 2 if bid > 0 and ask > 0 else max(last, 0)) * _PX

    def _vol(self, contract: int, option: Contract, spot: float, years: float) -> float | None:
        """What the middle of the contract's quote implies; None without two sides, or where no volatility explains it."""
        ref = self._refs[contract] if contract < len(self._refs) else None
        if ref is None or not 0 < int(ref["bid_px"]) <= int(ref["ask_px"]):
            return None
        value = (int(ref["bid_px"]) + int(ref["ask_px"])) / 2 * _PX
        return implied(value, spot, option.strike * _PX, years, call=option.call)

    def tail(self, lines: Sequence[Line], confidence: float) -> tuple[float, float] | None:
        """(value at risk, expected shortfall) of a day: the larger of history's and of the normal law's; None without history."""
        if not lines:
            return 0.0, 0.0
        of = sorted({line.underlying for line in lines})
        if any(number not in self._returns for number in of):
            return None
        days = min(len(self._returns[number]) for number in of)
        returns = {number: self._returns[number][-days:] for number in of}
        losses = np.sort(np.sum([_losses(line, returns[line.underlying]) for line in lines], axis=0))
        at = ceil(confidence * days) - 1
        sigma = self._sigma(lines, of, np.array([returns[number] for number in of]))
        normal = NormalDist()
        z = normal.inv_cdf(confidence)
        return max(float(losses[at]), z * sigma, 0.0), max(float(losses[at:].mean()), normal.pdf(z) / (1 - confidence) * sigma, 0.0)

    @staticmethod
    def _sigma(lines: Sequence[Line], of: Sequence[int], returns: Floats) -> float:
        """The largest standard deviation of a day's gain over all that fills may make of it, at the present deltas."""
        ends = np.array([np.sum([_ends(x, _delta(x)) for x in lines if x.underlying == number], axis=0) for number in of])
        covariance = np.atleast_2d(np.cov(returns))
        if len(of) > CORNERS:
            most = np.abs(ends).max(axis=1)
            return sqrt(max(float(most @ np.abs(covariance) @ most), 0.0))
        corners = np.array(list(product(*ends)))
        return sqrt(max(float(np.einsum("ci,ij,cj->c", corners, covariance, corners).max()), 0.0))


def greeks(lines: Sequence[Line]) -> tuple[float, float, float]:
    """(delta, gamma, vega) in money: the largest that an underlying may come to."""
    worst = [0.0, 0.0, 0.0]
    for number in {line.underlying for line in lines}:
        own = [line for line in lines if line.underlying == number]
        for k, unit in enumerate((_delta, _gamma, _vega)):
            ends = [_ends(line, unit(line)) for line in own]
            worst[k] = max(worst[k], abs(sum(low for low, _ in ends)), abs(sum(high for _, high in ends)))
    return worst[0], worst[1], worst[2]


def _delta(line: Line) -> float:
    return line.greeks.delta * line.spot


def _gamma(line: Line) -> float:
    return line.greeks.gamma * line.spot**2 / 100


def _vega(line: Line) -> float:
    return line.greeks.vega / 100


def _ends(line: Line, unit: float) -> tuple[float, float]:
    a, b = line.low * unit, line.high * unit
    return min(a, b), max(a, b)


def _losses(line: Line, returns: Floats) -> Floats:
    """What an instrument loses on each day of history at the worse of its ends; options are valued anew."""
    if line.option is None:
        gains = line.spot * returns
    else:
        strike, call = line.option.strike * _PX, line.option.call
        spots = line.spot * (1 + returns)
        values = [black_scholes(max(float(s), _PX), strike, line.years, line.vol, call=call).value for s in spots]
        gains = np.array(values) - line.greeks.value
    return np.maximum(-line.low * gains, -line.high * gains)


_VAR = ("max_var", "max_es")
_GREEK = ("max_delta", "max_gamma", "max_vega")


def _risk(limits: Limits) -> dict[str, Decimal | None]:
    return {name: getattr(limits, name) for name in _VAR}


def _greek(limits: Limits) -> dict[str, Decimal | None]:
    return {name: getattr(limits, name) for name in _GREEK}


def _money(figure: float | None) -> int:
    return UNKNOWN if figure is None or not isfinite(figure) else ceil(figure * 1e9) * 10**9
