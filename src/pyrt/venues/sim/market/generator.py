"""A market that never was: seeded quotes and trades, the same for a symbol and a minute whenever and however they are asked for.

Three layers, each a function of (seed, symbol, place) alone: a mean-reverting walk of daily log prices; in each day a
Brownian bridge over its minutes, busier where New York trades and busiest at the open and the close; in each minute a
bridge over its events. So the price path is continuous from 2020 on, and history is the same path, earlier.
"""

from datetime import UTC, datetime
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from pyrt._core.types import Flag, RecordType, market_dtype, quote_dtype, trade_dtype
from pyrt.calendar import NEW_YORK
from pyrt.clock import SECOND
from pyrt.errors import ConfigError
from pyrt.model import Instrument

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Records = npt.NDArray[np.void]

BLOCK = 60 * SECOND  # ns that are generated at once
MINUTES = 1440
DAY = MINUTES * BLOCK
FIRST_DAY = 18262  # 2020-01-01: where the walk begins
REVERSION = 0.985  # of the daily walk's distance from its base
TICK = 10_000_000  # px units
LOT = 100 * SECOND  # qty units of a round lot


class Listing(NamedTuple):
    """One generated symbol."""

    symbol: str
    base: float  # price that the walk returns to
    sigma: float  # standard deviation of a day's log return
    spreads: tuple[int, ...]  # weights of a spread of 1, 2, ... 5 ticks
    lots: float  # mean displayed size in round lots
    busy: float  # event rate against the others
    tape: str


LISTINGS = (
    Listing("AAPL", 190.0, 0.013, (55, 30, 10, 4, 1), 4.0, 1.1, "C"),
    Listing("MSFT", 410.0, 0.012, (25, 40, 20, 10, 5), 2.5, 0.9, "C"),
    Listing("SPY", 505.0, 0.009, (80, 15, 4, 1, 0), 8.0, 1.3, "B"),
    Listing("GOOGL", 150.0, 0.015, (55, 30, 10, 4, 1), 3.5, 0.8, "C"),
    Listing("AMZN", 175.0, 0.016, (50, 32, 12, 5, 1), 3.0, 0.9, "C"),
    Listing("TSLA", 205.0, 0.019, (30, 35, 20, 10, 5), 2.5, 1.2, "C"),
)


def _table(weights: npt.ArrayLike) -> Ints:
    """256 entries that pick 1, 2, ... with these weights from eight random bits."""
    edges = np.cumsum(weights) / np.sum(weights)
    return np.searchsorted(edges, (np.arange(256) + 0.5) / 256).astype(np.int64) + 1


def _bridge(steps: Floats, share: Floats, begin: float, end: float) -> Floats:
    """A path over `steps`, tied to `begin` before the first and to `end` after the last; share = part of the time gone by."""
    path = np.cumsum(steps)
    tied: Floats = begin + (end - begin) * share + path - path[-1] * share
    return tied


def _hold(fresh: npt.NDArray[np.bool_]) -> Ints:
    """For each place the last one at or before it that is fresh; the first is."""
    at = np.where(fresh, np.arange(len(fresh)), 0)
    held: Ints = np.maximum.accumulate(at)
    return held


@lru_cache(maxsize=64)
def _activity(day: int) -> Floats:
    """How busy each UTC minute of a day is: 0.7 in the middle of New York's session, 2 at its ends, 0.5 outside it."""
    noon = datetime.fromtimestamp(day * 86_400 + 43_200, UTC).astimezone(NEW_YORK)
    offset = noon.utcoffset()
    opening = 9 * 60 + 30 - (int(offset.total_seconds()) // 60 if offset else 0)
    place = (np.arange(MINUTES) - opening + 0.5) / 390
    inside = (place > 0) & (place < 1) & (noon.weekday() < 5)
    profile: Floats = np.where(inside, 0.7 + 1.3 * (2 * place - 1) ** 2, 0.5)
    return profile


class Tape:
    """The quotes and trades of one generated symbol. `rate`: events a second at a busyness of 1."""

    def __init__(self, instrument: Instrument, listing: Listing, seed: int, rate: float) -> None:
        self.instrument = instrument
        self.listing = listing
        self._key = [seed, *listing.symbol.encode()]
        self._rate = rate * listing.busy
        self._spreads = _table(np.array(listing.spreads, dtype=float))
        ladder = np.arange(1, 31)
        self._lots = _table((1 - 1 / listing.lots) ** ladder)
        self._prints = _table(0.45**ladder)
        self._daily: list[float] = []
        self._minutes = lru_cache(maxsize=16)(self._walk_minutes)
        self.block = lru_cache(maxsize=32)(self._generate)

    def _bits(self, layer: int, place: int) -> np.random.PCG64:
        return np.random.PCG64(np.random.SeedSequence([*self._key, layer, place]))

    def _close(self, day: int) -> float:
        """Log price at the end of a day (= the beginning of the next), against the base."""
        if day < FIRST_DAY:
            raise ConfigError("the generated market begins on 2020-01-01", mend="start it later")
        if day - FIRST_DAY >= len(self._daily):
            # One generator for all days: its first n numbers do not depend on how many are drawn.
            shocks = np.random.Generator(self._bits(0, 0)).standard_normal(day - FIRST_DAY + 400) * self.listing.sigma
            level, walk = 0.0, []
            for shock in shocks.tolist():
                level = REVERSION * level + shock
                walk.append(level)
            self._daily = walk
        return self._daily[day - FIRST_DAY]

    def _walk_minutes(self, day: int) -> tuple[Floats, Floats]:
        """Log prices at the 1441 minute boundaries of a day, and each minute's standard deviation."""
        weight = _activity(day) ** 2
        weight = np.cumsum(weight / weight.sum())
        parts = np.diff(weight, prepend=0.0)
        sigma = self.listing.sigma * np.sqrt(parts)
        steps = np.random.Generator(self._bits(1, day)).standard_normal(MINUTES) * sigma
        begin, end = self._close(day - 1), self._close(day)
        return np.concatenate(([begin], _bridge(steps, weight, begin, end))), sigma

    def _generate(self, number: int) -> Records:
        """The records of one minute (number = ns UTC // BLOCK), in time order; the first is a quote."""
        day, minute = divmod(number, MINUTES)
        path, sigma = self._minutes(day)
        bits = self._bits(2, number)
        n = max(4, int(self._rate * 60 * _activity(day)[minute] * (0.8 + 0.4 * (bits.random_raw() >> 11) / 2**53)))
        raw = bits.random_raw(n)
        more = bits.random_raw(n)
        share = np.arange(1, n + 1) / n
        steps = ((raw >> np.uint64(40)) / 2**24 - 0.5) * (np.sqrt(12 / n) * sigma[minute])
        middle = np.exp(_bridge(steps, share, path[minute], path[minute + 1])) * (self.listing.base / 0.01)
        times = number * BLOCK + ((np.arange(n) + (more >> np.uint64(40)) / 2**24) * (BLOCK / n)).astype(np.int64)

        def eight(words: npt.NDArray[np.uint64], shift: int) -> Ints:
            return ((words >> np.uint64(shift)) & np.uint64(255)).astype(np.int64)

        first = np.arange(n) == 0
        spread = self._spreads[eight(raw, 0)][_hold(first | (eight(raw, 8) < 16))]
        bid = np.maximum(np.floor(middle - spread / 2 + 0.5).astype(np.int64), 1)
        ask = bid + spread
        trades = (eight(raw, 16) < 64) & ~first
        fresh = eight(raw, 24) < 96
        bid_lots = self._lots[eight(more, 0)][_hold(first | fresh | (np.diff(bid, prepend=0) != 0))]
        ask_lots = self._lots[eight(more, 8)][_hold(first | fresh | (np.diff(ask, prepend=0) != 0))]
        rows = np.zeros(n, dtype=market_dtype)
        rows["instrument"] = self.instrument.id
        rows["ts_event"] = rows["ts_recv"] = times
        rows["type"] = np.where(trades, int(RecordType.TRADE), int(RecordType.QUOTE))
        quotes = ~trades
        view = rows.view(quote_dtype)
        for name, column in (
            ("bid_px", bid * TICK),
            ("ask_px", ask * TICK),
            ("bid_qty", bid_lots * LOT),
            ("ask_qty", ask_lots * LOT),
        ):
            view[name][quotes] = column[quotes]
        # A print happens at the quote that stands, at most for what it shows.
        (at,) = np.nonzero(trades)
        standing = _hold(quotes)[at]
        lifts = eight(more, 16)[at] < 128
        size = np.minimum(self._prints[eight(more, 24)[at]], np.where(lifts, ask_lots[standing], bid_lots[standing]))
        odd = eight(more, 32)[at] < 40
        shares = np.where(odd, 1 + eight(raw, 32)[at] * 99 // 256, size * 100)
        prints = np.zeros(len(at), dtype=trade_dtype)
        prints.view(market_dtype)[:] = rows[at]
        prints["px"] = np.where(lifts, ask[standing], bid[standing]) * TICK
        prints["qty"] = shares * SECOND
        prints["trade_id"] = minute * 100_000 + at
        prints["conditions"] = np.where(odd, ord("@") | ord("I") << 8, ord("@"))
        prints["flags"] = np.where(odd, int(Flag.INELIGIBLE), 0)
        prints["exchange"], prints["tape"] = ord("V"), ord(self.listing.tape)
        rows[at] = prints.view(market_dtype)
        return rows
