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
TOLD = 20 * SECOND  # after a print it is certain what became of it
FEW = 4  # minutes: fewer are made one by one, and kept for the next who asks
AT_ONCE = 60_000  # events, more or less, that are made in one pass: they stay in the processor's cache
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


def _bridges(steps: Floats, share: Floats, walk: tuple[Ints, Ints], begin: Floats, end: Floats) -> Floats:
    """The same, of minutes one behind the other, to the last bit; walk: their counts and begins. Uses up `share`."""
    counts, begins = walk
    path = np.empty(len(steps))
    for at, until in zip(begins.tolist(), (begins + counts).tolist(), strict=True):
        steps[at:until].cumsum(out=path[at:until])
    tied: Floats = np.repeat(end - begin, counts)
    tied *= share
    tied += np.repeat(begin, counts)
    tied += path
    share *= np.repeat(path[begins + counts - 1], counts)
    tied -= share
    return tied


def held(fresh: npt.NDArray[np.bool_], places: Ints) -> Ints:
    """For each of `places` the last place at or before it that is fresh; the first is."""
    (at,) = np.nonzero(fresh)
    found: Ints = at[np.cumsum(fresh)[places] - 1]
    return found


def changed(values: Ints) -> npt.NDArray[np.bool_]:
    """Where a value is not the one before; the first is."""
    different = np.ones(len(values), dtype=bool)
    np.not_equal(values[1:], values[:-1], out=different[1:])
    return different


def eight(words: npt.NDArray[np.uint64], shift: int) -> Ints:
    """Eight of the bits of each word."""
    return ((words >> np.uint64(shift)) & np.uint64(255)).view(np.int64)


def fraction(words: npt.NDArray[np.uint64]) -> Floats:
    """The upper 24 bits of each word as a number from 0 to 1."""
    share: Floats = (words >> np.uint64(40)).view(np.int64) / 2**24
    return share


class Dice(NamedTuple):
    """The random words of some minutes: two for each event."""

    raw: npt.NDArray[np.uint64]
    more: npt.NDArray[np.uint64]


class Sides(NamedTuple):
    """One quantity of the bid and of the ask, event by event."""

    bid: Ints
    ask: Ints


class Walk(NamedTuple):
    """The events of some minutes, those of one minute behind those of the one before."""

    number: int  # of the first minute: ns UTC // BLOCK
    counts: Ints  # events of each minute
    begins: Ints  # place of each minute's first
    first: npt.NDArray[np.bool_]  # whether an event is its minute's first
    dice: Dice
    px: Sides
    quotes: Ints  # places
    trades: Ints  # places

    def standing(self) -> Ints:
        """The place of the quote that stands at each print."""
        found: Ints = self.quotes[self.trades - np.arange(len(self.trades)) - 1]
        return found

    def minutes(self) -> Ints:
        """Of each event, counted from the first."""
        return np.repeat(np.arange(len(self.counts)), self.counts)


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
        # As SeedSequence would take a list apart, but once.
        self._key = [seed >> 32 * n & 0xFFFFFFFF for n in range(max(1, -(-seed.bit_length() // 32)))]
        self._key += listing.symbol.encode()
        self._rate = rate * listing.busy
        self._corrected = np.uint64(corrected * 2**24)
        self._spreads = _table(np.array(listing.spreads, dtype=float))
        ladder = np.arange(1, 31)
        self._lots = _table((1 - 1 / listing.lots) ** ladder)
        self._sizes = _table(0.45**ladder)
        self._daily: list[float] = []
        self.events = Events(self)
        self._at_once = max(1, min(60, int(AT_ONCE / (rate * listing.busy * 60))))  # minutes
        self._minutes = lru_cache(maxsize=16)(self._walk_minutes)
        self.block = lru_cache(maxsize=32)(self._generate)

    def _bits(self, layer: int, place: int) -> np.random.PCG64:
        return np.random.PCG64(np.random.SeedSequence(np.array([*self._key, layer, place], dtype=np.uint32)))

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

    def _walk(self, number: int, count: int) -> Walk:
        """The prices of `count` minutes of one day, from minute `number` on."""
        day, minute = divmod(number, MINUTES)
        path, sigma = self._minutes(day)
        words = []
        for place, busy in enumerate(self._activity(day)[minute : minute + count].tolist(), number):
            bits = self._bits(2, place)
            n = max(4, int(self._rate * 60 * busy * (0.8 + 0.4 * (bits.random_raw() >> 11) / 2**53)))
            words.append(bits.random_raw(2 * n))
        counts = np.array([len(w) // 2 for w in words])
        begins = np.cumsum(counts) - counts
        dice = Dice(np.concatenate([w[: len(w) // 2] for w in words]), np.concatenate([w[len(w) // 2 :] for w in words]))
        first = np.zeros(len(dice.raw), dtype=bool)
        first[begins] = True
        share = (np.arange(1, len(first) + 1) - np.repeat(begins, counts)) / np.repeat(counts, counts)
        steps = fraction(dice.raw)
        steps -= 0.5
        steps *= np.repeat(np.sqrt(12 / counts) * sigma[minute : minute + count], counts)
        bases = np.array([self.listing.base * self.events.scale(place) for place in range(number, number + count)])
        middle = _bridges(steps, share, (counts, begins), path[minute : minute + count], path[minute + 1 : minute + count + 1])
        np.exp(middle, out=middle)
        middle *= np.repeat(bases / (self.grid / 1e9), counts)
        (fresh,) = np.nonzero(first | (eight(dice.raw, 8) < 16))
        spread = np.repeat(self._spreads[eight(dice.raw[fresh], 0)], np.diff(fresh, append=len(first)))
        middle -= spread / 2
        middle += 0.5
        bid = np.floor(middle, out=middle).astype(np.int64)
        np.maximum(bid, 1, out=bid)
        trades = (eight(dice.raw, 16) < 64) & ~first
        return Walk(number, counts, begins, first, dice, Sides(bid, bid + spread), *np.nonzero(~trades), *np.nonzero(trades))

    def _rows(self, number: int, count: int) -> Records:
        """The undisturbed quotes and prints of `count` minutes of one day, in time order; the first of each minute is a quote."""
        walk = self._walk(number, count)
        rows = np.zeros(len(walk.first), dtype=market_dtype)
        quotes = np.zeros(len(walk.quotes), dtype=quote_dtype)
        qty = self._shown(walk, walk.quotes)
        before = walk.trades - np.arange(len(walk.trades)) - 1  # of the quotes: the one that stands at each print
        rows[walk.trades] = self._prints(walk, Sides(qty.bid[before], qty.ask[before])).view(market_dtype)
        quotes["type"], quotes["instrument"] = int(RecordType.QUOTE), self.instrument.id
        quotes["ts_event"] = quotes["ts_recv"] = self._times(walk, walk.quotes)
        quotes["bid_px"], quotes["ask_px"] = walk.px.bid[walk.quotes] * self.grid, walk.px.ask[walk.quotes] * self.grid
        quotes["bid_qty"], quotes["ask_qty"] = qty.bid, qty.ask
        rows[walk.quotes] = quotes.view(market_dtype)
        return rows

    def _generate(self, number: int) -> Records:
        """The quotes and prints of one minute (number = ns UTC // BLOCK), with its events."""
        return self.events.apply(self._rows(number, 1), number)

    def _times(self, walk: Walk, places: Ints) -> Ints:
        minutes = walk.minutes()[places]
        within = (places - walk.begins[minutes] + fraction(walk.dice.more[places])) * (BLOCK / walk.counts)[minutes]
        times: Ints = (walk.number + minutes) * BLOCK + within.astype(np.int64)
        return times

    def _prints(self, walk: Walk, shown: Sides | None = None) -> Records:
        """The undisturbed prints: they happen at the quote that stands, at most for what it shows."""
        at, standing = walk.trades, walk.standing()
        prints = np.zeros(len(at), dtype=trade_dtype)
        prints["type"], prints["instrument"] = int(RecordType.TRADE), self.instrument.id
        prints["ts_event"] = prints["ts_recv"] = self._times(walk, at)
        minutes = walk.minutes()[at]
        prints["trade_id"] = (walk.number % MINUTES + minutes) * 100_000 + at - walk.begins[minutes]
        qty = self._shown(walk, standing) if shown is None else shown
        lifts = eight(walk.dice.more[at], 16) < 128
        prints["px"] = np.where(lifts, walk.px.ask[standing], walk.px.bid[standing]) * self.grid
        self._size(prints, lifts, np.where(lifts, qty.ask, qty.bid), Dice(walk.dice.raw[at], walk.dice.more[at]))
        return prints

    def _activity(self, day: int) -> Floats:
        return _activity(day)

    def _shown(self, walk: Walk, places: Ints) -> Sides:
        """The sizes of the quotes at some places: new ones where the price or the dice say so."""
        fresh = walk.first | (eight(walk.dice.raw, 24) < 96)
        lots = [
            self._lots[eight(walk.dice.more[held(fresh | changed(side), places)], shift)]
            for side, shift in ((walk.px.bid, 0), (walk.px.ask, 8))
        ]
        return Sides(lots[0] * LOT, lots[1] * LOT)

    def _size(self, prints: Records, lifts: npt.NDArray[np.bool_], most: Ints, dice: Dice) -> None:
        """Set what depends on the size of prints; `most`: what the quote shows, `dice`: their own."""
        size = np.minimum(self._sizes[eight(dice.more, 24)] * LOT, most)
        odd = eight(dice.more, 32) < 40
        prints["qty"] = np.where(odd, (1 + eight(dice.raw, 32) * 99 // 256) * SECOND, size)
        prints["conditions"] = np.where(odd, ord("@") | ord("I") << 8, ord("@"))
        prints["flags"] = np.where(odd, int(Flag.INELIGIBLE), 0)
        prints["exchange"], prints["tape"] = ord("V"), ord(self.listing.tape)

    def history(self, kind: RecordType, number: int, count: int) -> Records:
        """The quotes or the prints of some minutes, as `block` has them."""
        if count < FEW:
            rows = np.concatenate([self.block(place) for place in range(number, number + count)])
            found: Records = rows[rows["type"] == int(kind)]
            return found
        parts = []
        while count:
            part = min(count, self._at_once, MINUTES - number % MINUTES)
            if kind == RecordType.TRADE:
                rows = self._prints(self._walk(number, part)).view(market_dtype)
            else:
                rows = self._rows(number, part)
                rows = rows[rows["type"] == int(kind)]
            parts.append(self._disturbed(rows, kind, number, part))
            number, count = number + part, count - part
        return np.concatenate(parts)

    def _disturbed(self, rows: Records, kind: RecordType, number: int, count: int) -> Records:
        parts, done = [], 0
        for place in self.events.disturbed(number, count):
            begin, end = np.searchsorted(rows["ts_event"], (place * BLOCK, (place + 1) * BLOCK)).tolist()
            block = self.block(place)
            parts += [rows[done:begin], block[block["type"] == int(kind)]]
            done = end
        return np.concatenate([*parts, rows[done:]]) if parts else rows

    def corrections(self, number: int) -> Records:
        """What becomes of the prints of one minute, in the order of the prints: market_dtype, see the top of this file."""
        rows = self.block(number)
        return self.late(rows[rows["type"] == int(RecordType.TRADE)])

    def late(self, trades: Records) -> Records:
        """What becomes of these prints."""
        prints = trades.view(trade_dtype)
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
