"""A market that never was: seeded quotes and trades, the same for a symbol and a minute whenever and however they are asked for.

Three layers, each a function of (seed, symbol, place) alone: a mean-reverting walk of daily log prices; in each day a
Brownian bridge over its minutes, busier where New York trades and busiest at the open and the close; in each minute a
bridge over its events. So the price path is continuous from 2020 on, and history is the same path, earlier.

A small share of the prints is taken back or corrected 2 to 20 s later: a TRADE_CANCEL, with the
corrected print behind it; `seq` of both is the time of the first print, ns UTC.
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
from pyrt.venues.sim.market.events import Events

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
CORRECTED = 0.0001  # of the prints: half of them taken back, half corrected
MIX = np.uint64(0x9E3779B97F4A7C15)


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


def hold(fresh: npt.NDArray[np.bool_]) -> Ints:
    """For each place the last one at or before it that is fresh; the first is."""
    at = np.where(fresh, np.arange(len(fresh)), 0)
    held: Ints = np.maximum.accumulate(at)
    return held


def eight(words: npt.NDArray[np.uint64], shift: int) -> Ints:
    """Eight of the bits of each word."""
    return ((words >> np.uint64(shift)) & np.uint64(255)).astype(np.int64)


class Dice(NamedTuple):
    """The random words of one minute."""

    raw: npt.NDArray[np.uint64]
    more: npt.NDArray[np.uint64]


class Sides(NamedTuple):
    """One quantity of the bid and of the ask, event by event."""

    bid: Ints
    ask: Ints


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

    grid = TICK  # px units between two prices

    def __init__(self, instrument: Instrument, listing: Listing, seed: int, rate: float, corrected: float = CORRECTED) -> None:
        self.instrument = instrument
        self.listing = listing
        self._key = [seed, *listing.symbol.encode()]
        self._rate = rate * listing.busy
        self._corrected = np.uint64(corrected * 2**24)
        self._spreads = _table(np.array(listing.spreads, dtype=float))
        ladder = np.arange(1, 31)
        self._lots = _table((1 - 1 / listing.lots) ** ladder)
        self._prints = _table(0.45**ladder)
        self._daily: list[float] = []
        self.events = Events(self)
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
        weight = self._activity(day) ** 2
        weight = np.cumsum(weight / weight.sum())
        parts = np.diff(weight, prepend=0.0)
        sigma = self.listing.sigma * np.sqrt(parts)
        steps = np.random.Generator(self._bits(1, day)).standard_normal(MINUTES) * sigma
        begin, end = self._close(day - 1), self._close(day)
        return np.concatenate(([begin], _bridge(steps, weight, begin, end))), sigma

    def _generate(self, number: int) -> Records:
        """The quotes and prints of one minute (number = ns UTC // BLOCK), in time order; the first is a quote."""
        day, minute = divmod(number, MINUTES)
        path, sigma = self._minutes(day)
        bits = self._bits(2, number)
        n = max(4, int(self._rate * 60 * self._activity(day)[minute] * (0.8 + 0.4 * (bits.random_raw() >> 11) / 2**53)))
        dice = Dice(bits.random_raw(n), bits.random_raw(n))
        share = np.arange(1, n + 1) / n
        steps = ((dice.raw >> np.uint64(40)) / 2**24 - 0.5) * (np.sqrt(12 / n) * sigma[minute])
        base = self.listing.base * self.events.scale(number)
        middle = np.exp(_bridge(steps, share, path[minute], path[minute + 1])) * (base / (self.grid / 1e9))
        first = np.arange(n) == 0
        spread = self._spreads[eight(dice.raw, 0)][hold(first | (eight(dice.raw, 8) < 16))]
        bid = np.maximum(np.floor(middle - spread / 2 + 0.5).astype(np.int64), 1)
        px = Sides(bid, bid + spread)
        qty = self._shown(px, dice)
        rows = np.zeros(n, dtype=market_dtype)
        rows["instrument"] = self.instrument.id
        times = number * BLOCK + ((np.arange(n) + (dice.more >> np.uint64(40)) / 2**24) * (BLOCK / n)).astype(np.int64)
        rows["ts_event"] = rows["ts_recv"] = times
        trades = (eight(dice.raw, 16) < 64) & ~first
        rows["type"] = np.where(trades, int(RecordType.TRADE), int(RecordType.QUOTE))
        quotes = ~trades
        view = rows.view(quote_dtype)
        for name, column in (
            ("bid_px", px.bid * self.grid),
            ("ask_px", px.ask * self.grid),
            ("bid_qty", qty.bid),
            ("ask_qty", qty.ask),
        ):
            view[name][quotes] = column[quotes]
        (at,) = np.nonzero(trades)
        prints = self._printed(rows[at], at, hold(quotes)[at], px, qty, dice)
        prints["trade_id"] = minute * 100_000 + at
        rows[at] = prints.view(market_dtype)
        return self.events.apply(rows, number)

    def _activity(self, day: int) -> Floats:
        return _activity(day)

    def _shown(self, px: Sides, dice: Dice) -> Sides:
        """The sizes of the quotes, event by event: new ones where the price or the dice say so."""
        first = np.arange(len(px.bid)) == 0
        fresh = first | (eight(dice.raw, 24) < 96)
        lots = [
            self._lots[eight(dice.more, shift)][hold(fresh | (np.diff(side, prepend=0) != 0))]
            for side, shift in ((px.bid, 0), (px.ask, 8))
        ]
        return Sides(lots[0] * LOT, lots[1] * LOT)

    def _printed(self, rows: Records, at: Ints, standing: Ints, px: Sides, qty: Sides, dice: Dice) -> Records:
        """Prints happen at the quote that stands, at most for what it shows; `at`: their places, `standing`: its places."""
        lifts = eight(dice.more, 16)[at] < 128
        most = np.where(lifts, qty.ask[standing], qty.bid[standing])
        size = np.minimum(self._prints[eight(dice.more, 24)[at]] * LOT, most)
        odd = eight(dice.more, 32)[at] < 40
        prints = np.zeros(len(at), dtype=trade_dtype)
        prints.view(market_dtype)[:] = rows
        prints["px"] = np.where(lifts, px.ask[standing], px.bid[standing]) * self.grid
        prints["qty"] = np.where(odd, (1 + eight(dice.raw, 32)[at] * 99 // 256) * SECOND, size)
        prints["conditions"] = np.where(odd, ord("@") | ord("I") << 8, ord("@"))
        prints["flags"] = np.where(odd, int(Flag.INELIGIBLE), 0)
        prints["exchange"], prints["tape"] = ord("V"), ord(self.listing.tape)
        return prints

    def corrections(self, number: int) -> Records:
        """What becomes of the prints of one minute, in the order of the prints: market_dtype, see the top of this file."""
        rows = self.block(number)
        prints = rows[rows["type"] == int(RecordType.TRADE)].view(trade_dtype)
        word = (prints["ts_event"].astype(np.uint64) ^ prints["trade_id"]) * MIX
        (chosen,) = np.nonzero((word >> np.uint64(40)) < self._corrected)
        out: Records = np.zeros((len(chosen), 2), dtype=trade_dtype)
        old, dice = prints[chosen], word[chosen]
        for pair in (out[:, 0], out[:, 1]):
            pair[:] = old
            pair["seq"] = old["ts_event"]
            delay = 2 * SECOND + (dice & np.uint64(0xFFFF)).astype(np.int64) * (18 * SECOND >> 16)
            pair["ts_event"] = pair["ts_recv"] = old["ts_event"] + delay
        corrected = (dice >> np.uint64(39)) & np.uint64(1) == 1
        out[:, 0]["type"] = int(RecordType.TRADE_CANCEL)
        out[:, 0]["flags"] |= np.where(corrected, int(Flag.CORRECTED), 0).astype(np.uint16)
        out[:, 1]["flags"] |= int(Flag.CORRECTED)
        out[:, 1]["trade_id"] += np.uint64(MINUTES * 100_000)
        out[:, 1]["px"] -= self.grid
        flat: Records = out.reshape(-1)[np.stack([np.ones_like(corrected), corrected], axis=1).reshape(-1)]
        return flat.view(market_dtype)

    def live(self, number: int) -> Records:
        """All records of one minute, as they are told, in time order."""
        begin = number * BLOCK
        late = np.concatenate([self.corrections(number - 1), self.corrections(number)])
        late = late[(late["ts_event"] >= begin) & (late["ts_event"] < begin + BLOCK)]
        if not len(late):
            return self.block(number)
        # The matcher passes over a corrected print: it is no trade of this moment.
        late["flags"][late["type"] == int(RecordType.TRADE)] |= int(Flag.INELIGIBLE)
        rows = np.concatenate([self.block(number), late])
        return rows[np.argsort(rows["ts_event"], kind="stable")]
