"""Option contracts made from their underlying: what is listed, what it is worth, what is quoted and printed.

Nothing is stored and nothing is random: a quote is a function of the contract, the underlying's mid price and the time, a print
of the contract and the time, so that stream, REST and matcher agree whoever asks first. Prices come from Black and Scholes
(European, 4 % interest, no dividends) over a fixed smile; a price is never below what exercise would give.
"""

import math
import re
from collections.abc import Iterator, Mapping
from datetime import date, timedelta
from typing import NamedTuple
from zlib import crc32

import msgspec

from pyrt._core.types import format_units
from pyrt.clock import DAY, MINUTE, SECOND
from pyrt.venues.sim.market.generator import LISTINGS

GRID = SECOND  # quotes change, and prints happen, at multiples of this
MULTIPLIER = 100
CENT = 10_000_000  # px units
NICKEL = 5 * CENT
COARSE = 300 * CENT  # from this price on the tick is a nickel
RATE = 0.04  # a year, continuous
YEAR = 365 * DAY
WEEKS = 5  # that have a weekly expiration
MONTHS = 3  # that have a monthly one
STRIKES = 11
SIZES = range(10, 51)  # contracts shown at a price

_OCC = re.compile(r"([A-Z][A-Z0-9]{0,5})(\d{6})([CP])(\d{8})", re.ASCII)
_VOLATILITY = {listing.symbol: listing.sigma * math.sqrt(252) * 1.15 for listing in LISTINGS}
_USUAL = 0.30


class Contract(msgspec.Struct, frozen=True, kw_only=True):
    """One listed option. `id` is the instrument's, `underlying` that of what it is on."""

    id: int
    symbol: str
    root: str
    underlying: int
    expiration: date
    expires: int  # ns UTC: the last instant of trading
    is_call: bool
    strike: int  # px units

    @property
    def type(self) -> str:
        """As the venue writes it."""
        return "call" if self.is_call else "put"

    @property
    def name(self) -> str:
        """AAPL Mar 20 2026 190 Call."""
        return f"{self.root} {self.expiration:%b %d %Y} {format_units(self.strike)} {self.type.title()}"

    def intrinsic(self, spot: int) -> int:
        """What exercise gives at a price of the underlying; px units."""
        return max(0, spot - self.strike if self.is_call else self.strike - spot)


class Quote(NamedTuple):
    """Best bid and ask in px units, sizes in contracts; 0 = that side is empty."""

    bid: int
    bid_qty: int
    ask: int
    ask_qty: int

    @property
    def mid(self) -> int:
        """Px units; the ask alone counts half."""
        return (self.bid + self.ask) // 2


class Print(NamedTuple):
    """A trade of the contract's market, at the bid or the ask that stands at its instant."""

    at: int
    lifts: bool  # at the ask
    qty: int


class Greeks(NamedTuple):
    """Black-Scholes sensitivities: theta a day, vega and rho a percentage point."""

    delta: float
    gamma: float
    theta: float
    vega: float
    rho: float


def occ(root: str, expiration: date, is_call: bool, strike: int) -> str:
    """The OCC symbol; strike in px units."""
    return f"{root}{expiration:%y%m%d}{'C' if is_call else 'P'}{strike // 1_000_000:08d}"


def parse_occ(symbol: str) -> tuple[str, date, bool, int]:
    """Root, expiration, whether it is a call, strike in px units. Raises ValueError."""
    found = _OCC.fullmatch(symbol)
    if found is None:
        raise ValueError(f"{symbol!r} is not an OCC symbol")
    root, day, right, strike = found.groups()
    expiration = date(2000 + int(day[:2]), int(day[2:4]), int(day[4:]))
    return root, expiration, right == "C", int(strike) * 1_000_000


def expirations(today: date) -> list[date]:
    """The Fridays of the next weeks and the third Fridays of the next months, from `today` on."""
    friday = today + timedelta((4 - today.weekday()) % 7)
    days = {friday + timedelta(7 * n) for n in range(WEEKS)}
    month, found = today.replace(day=1), 0
    while found < MONTHS:
        third = month + timedelta((4 - month.weekday()) % 7 + 14)
        if third >= today:
            days.add(third)
            found += 1
        month = (month + timedelta(32)).replace(day=1)
    return sorted(days)


def strikes(px: int) -> list[int]:
    """STRIKES strikes around a price, px units."""
    step = next((step for below, step in ((25, 50), (100, 100), (200, 250)) if px < below * 100 * CENT), 500) * CENT
    middle = (px + step // 2) // step * step
    return [k for n in range(STRIKES) if (k := middle + (n - STRIKES // 2) * step) > 0]


def _normal(x: float) -> float:
    return 0.5 * math.erfc(-x / math.sqrt(2))


def _density(x: float) -> float:
    return math.exp(-x * x / 2) / math.sqrt(2 * math.pi)


def _years(contract: Contract, at: int) -> float:
    return max(contract.expires - at, SECOND) / YEAR


def volatility(contract: Contract, spot: int, at: int, table: Mapping[str, float] = _VOLATILITY) -> float:
    """Implied volatility, a year: the smile's, dearer below the price than above it."""
    k = math.log(contract.strike / spot) / math.sqrt(max(_years(contract, at), 7 / 365))
    k = min(max(k, -1.5), 1.5)
    return round(table.get(contract.root, _USUAL) * (1 - 0.25 * k + 0.5 * k * k), 6)


def black_scholes(is_call: bool, spot: float, strike: float, years: float, sigma: float, rate: float = RATE) -> float:
    """The European price without dividends. Hull, Options, Futures and Other Derivatives, chapter 15."""
    d1, d2, paid = _terms(spot, strike, years, sigma, rate)
    if is_call:
        return spot * _normal(d1) - paid * _normal(d2)
    return paid * _normal(-d2) - spot * _normal(-d1)


def _terms(spot: float, strike: float, years: float, sigma: float, rate: float) -> tuple[float, float, float]:
    spread = sigma * math.sqrt(years)
    d1 = (math.log(spot / strike) + (rate + sigma * sigma / 2) * years) / spread
    return d1, d1 - spread, strike * math.exp(-rate * years)


def greeks_of(is_call: bool, spot: float, strike: float, years: float, sigma: float, rate: float = RATE) -> Greeks:
    """Delta, gamma, theta a day, vega and rho a percentage point; the same source."""
    d1, d2, paid = _terms(spot, strike, years, sigma, rate)
    sign = 1 if is_call else -1
    decay = spot * _density(d1) * sigma / (2 * math.sqrt(years))
    theta = -decay - sign * rate * paid * _normal(sign * d2)
    return Greeks(
        delta=sign * _normal(sign * d1),
        gamma=_density(d1) / (spot * sigma * math.sqrt(years)),
        theta=theta / 365,
        vega=spot * _density(d1) * math.sqrt(years) / 100,
        rho=sign * years * paid * _normal(sign * d2) / 100,
    )


def greeks(contract: Contract, spot: int, at: int) -> Greeks:
    """The greeks at a price of the underlying, to four places."""
    sigma = volatility(contract, spot, at)
    exact = greeks_of(contract.is_call, spot / 1e9, contract.strike / 1e9, _years(contract, at), sigma)
    return Greeks(*(round(value, 4) for value in exact))


def fair(contract: Contract, spot: int, at: int) -> int:
    """What the model says the contract is worth; px units."""
    sigma = volatility(contract, spot, at)
    value = black_scholes(contract.is_call, spot / 1e9, contract.strike / 1e9, _years(contract, at), sigma)
    return max(contract.intrinsic(spot), round(value * 1e9))


def quote(contract: Contract, spot: int, at: int) -> Quote:
    """What is bid and asked while the underlying's mid is `spot`: a function of that and the minute."""
    at = at // MINUTE * MINUTE
    value = fair(contract, spot, at)
    half = max(CENT // 2, value * 3 // 200)
    tick = NICKEL if value >= COARSE else CENT
    bid = max(0, (value - half) // tick * tick)
    ask = max(-(-(value + half) // tick) * tick, bid + tick)
    bits = _bits(contract, at // MINUTE)
    return Quote(bid, SIZES[bits % len(SIZES)] if bid else 0, ask, SIZES[(bits >> 8) % len(SIZES)])


def _bits(contract: Contract, minute: int) -> int:
    return crc32(f"{contract.symbol}:{minute}".encode())


def print_in(contract: Contract, minute: int) -> Print | None:
    """The trade of a minute (ns UTC // MINUTE), if it has one; on the grid, before the expiry."""
    bits = _bits(contract, -minute)
    if bits % 8:
        return None
    at = minute * MINUTE + (1 + (bits >> 3) % (MINUTE // GRID - 1)) * GRID
    return Print(at, bool(bits >> 16 & 1), 1 + (bits >> 17) % 8) if at <= contract.expires else None


def prints(contract: Contract, start: int, end: int) -> Iterator[Print]:
    """The trades from `start` to `end`, both included, ns UTC."""
    for minute in range(start // MINUTE, end // MINUTE + 1):
        found = print_in(contract, minute)
        if found is not None and start <= found.at <= end:
            yield found
