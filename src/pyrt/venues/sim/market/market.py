"""Where the simulated venue's market comes from: the port, the generated one, and the argument of --market."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from pyrt._core.types import RecordType, bar_dtype, market_dtype
from pyrt.errors import ConfigError
from pyrt.model import Instrument
from pyrt.venues.sim.actions import Action
from pyrt.venues.sim.market.bars_of import bars_of, merge_bars
from pyrt.venues.sim.market.corrections import revise
from pyrt.venues.sim.market.crypto import PAIRS, PairTape, pair_instrument
from pyrt.venues.sim.market.events import dress
from pyrt.venues.sim.market.generator import BLOCK, CORRECTED, DAY, FIRST_DAY, LISTINGS, Listing, Tape
from pyrt.venues.sim.market.halts import is_rate
from pyrt.venues.sim.market.minute_bars import MinuteBars
from pyrt.venues.sim.market.replay import FORMATS, Replay

Records = npt.NDArray[np.void]
HISTORY_DAYS = 10  # before the start of a generated market, where nothing else is said
DAYS_MAX = 1_000
FIRST_INSTANT = (FIRST_DAY + 2) * DAY  # that has a past
NEVER = 2**63 - 1
DEFAULT_START = 1_772_461_800_000_000_000  # 2026-03-02 09:30 New York


class GeneratedOptions(NamedTuple):
    """What `--market generated:` may say."""

    rate: float = 20.0  # events a second and symbol
    symbols: frozenset[str] = frozenset()  # empty = all
    corrections: float = CORRECTED  # share of the prints of shares
    halts: float = 0.0  # volatility pauses a session
    days: int = HISTORY_DAYS  # of history before the start


class Market(Protocol):
    """A market that runs once, forward, and can show its past. Times ns UTC; both ends of a range are included."""

    instruments: list[Instrument]
    oldest: int  # no record is from before this instant

    @property
    def next_event(self) -> int:
        """When the next record is due; 0 = the market has ended."""
        ...

    def advance(self, until: int) -> Records:
        """The records up to `until` that were not given yet, by ts_event: market_dtype."""
        ...

    def history_trades(self, symbol: str, start: int, end: int) -> Records:
        """Trades of a symbol: market_dtype."""
        ...

    def history_quotes(self, symbol: str, start: int, end: int) -> Records:
        """Quotes of a symbol: market_dtype."""
        ...

    def history_bars(self, symbol: str, start: int, end: int, interval: int, now: int = NEVER) -> Records:
        """Bars of a symbol that begin in the range, with what was corrected up to `now`: bar_dtype.

        An interval without a trade that sets a price has none; that of a pair is made of its quotes.
        """
        ...

    def history_corrections(self, symbol: str, start: int, end: int) -> Records:
        """What becomes of the trades in the range, whenever it happens, as `corrections` says: market_dtype."""
        ...

    def book(self, symbol: str, at: int) -> Records:
        """The whole book of a pair at an instant, one event that begins with CLEAR; empty where there is none: market_dtype."""
        ...


class GeneratedMarket:
    """The seeded market of `generator` and `crypto`, from `start` on and so many `days` before. It never ends."""

    def __init__(
        self,
        start: int,
        tapes: Iterable[Tape],
        *,
        actions: Sequence[Action] = (),
        halts: float = 0.0,
        days: int = HISTORY_DAYS,
    ) -> None:
        self._tapes = {tape.instrument.symbol: tape for tape in tapes}
        dress(self._tapes.values(), actions, halts)
        self.instruments = [tape.instrument for tape in self._tapes.values()]
        if start < FIRST_INSTANT:
            raise ConfigError("the generated market begins on 2020-01-01", mend="start it later")
        self.oldest = max((start // DAY - days) * DAY, FIRST_INSTANT)
        self._minute_bars = MinuteBars(self._tapes)
        # Nothing is made before it is asked for: a market that is only looked back on never runs.
        self._start = start
        self._block = start // BLOCK - 1
        self._rows = np.zeros(0, dtype=market_dtype)
        self._at = 0

    def _load(self, number: int) -> None:
        rows = np.concatenate([tape.live(number) for tape in self._tapes.values()])
        self._block = number
        self._rows = rows[np.argsort(rows["ts_event"], kind="stable")]
        self._at = int(np.searchsorted(self._rows["ts_event"], self._start))

    @property
    def next_event(self) -> int:
        """When the next record is due."""
        while self._at == len(self._rows):
            self._load(self._block + 1)
        return int(self._rows["ts_event"][self._at])

    def advance(self, until: int) -> Records:
        """The records up to `until` that were not given yet."""
        parts = []
        while self.next_event <= until:
            end = int(np.searchsorted(self._rows["ts_event"], until, side="right"))
            parts.append(self._rows[self._at : end])
            self._at = end
        if len(parts) == 1:
            return parts[0]
        return np.concatenate(parts) if parts else np.zeros(0, dtype=market_dtype)

    def _history(self, symbol: str, start: int, end: int, kind: RecordType) -> Records:
        tape = self._tapes.get(symbol)
        start = max(start, self.oldest)
        if tape is None or end < start:
            return np.zeros(0, dtype=market_dtype)
        rows = tape.history(kind, start // BLOCK, end // BLOCK + 1 - start // BLOCK)
        begin, until = np.searchsorted(rows["ts_event"], (start, end + 1)).tolist()
        found: Records = rows[begin:until]
        return found

    def history_trades(self, symbol: str, start: int, end: int) -> Records:
        """Trades of a symbol; none of one that is not traded here."""
        return self._history(symbol, start, end, RecordType.TRADE)

    def history_quotes(self, symbol: str, start: int, end: int) -> Records:
        """Quotes of a symbol; none of one that is not traded here."""
        return self._history(symbol, start, end, RecordType.QUOTE)

    def history_bars(self, symbol: str, start: int, end: int, interval: int, now: int = NEVER) -> Records:
        """Bars of a symbol that begin in the range, each whole; none of a symbol that is not traded here."""
        begin = -(-max(start, self.oldest) // interval) * interval
        last = end // interval * interval + interval - 1
        if symbol not in self._tapes or last < begin:
            return np.zeros(0, dtype=bar_dtype)
        if interval % BLOCK:
            late = self.history_corrections(symbol, begin, last)
            return bars_of(revise(self.history_trades(symbol, begin, last), late[late["ts_event"] <= now]), interval)
        return merge_bars(self._minute_bars.bars(symbol, begin // BLOCK, last // BLOCK, now), interval)

    def history_corrections(self, symbol: str, start: int, end: int) -> Records:
        """What becomes of the trades in the range."""
        tape = self._tapes.get(symbol)
        start = max(start, self.oldest)
        if tape is None or end < start:
            return np.zeros(0, dtype=market_dtype)
        return tape.late(self._history(symbol, start, end, RecordType.TRADE))

    def book(self, symbol: str, at: int) -> Records:
        """The whole book of a pair at an instant."""
        tape = self._tapes.get(symbol)
        return tape.book(at) if isinstance(tape, PairTape) else np.zeros(0, dtype=market_dtype)


def listed(options: GeneratedOptions, seed: int) -> list[Tape]:
    """The tapes of the symbols that are wanted; of all, if none is named. Raises ConfigError."""
    names = [listing.symbol for listing in LISTINGS] + [pair.listing.symbol for pair in PAIRS]
    unknown = ", ".join(sorted(options.symbols.difference(names)))
    if unknown:
        raise ConfigError(f"the generated market has no {unknown}", where="--market", mend=f"use {', '.join(names)}")
    if not 0.1 <= options.rate <= 100_000:
        raise ConfigError(f"a rate of {options.rate:g} events a second is out of range", where="--market", mend="use 0.1 to 100000")
    tapes = [share_tape(number, listing, seed, options.rate, options.corrections) for number, listing in enumerate(LISTINGS, 1)]
    tapes += [PairTape(pair_instrument(number, pair), pair, seed, options.rate) for number, pair in enumerate(PAIRS)]
    return [tape for tape in tapes if not options.symbols or tape.instrument.symbol in options.symbols]


def share_tape(number: int, listing: Listing, seed: int, rate: float, corrected: float = CORRECTED) -> Tape:
    """The tape of a share with this instrument id."""
    return Tape(Instrument(id=number, symbol=listing.symbol), listing, seed, rate, corrected)


def _read_options(text: str) -> GeneratedOptions:
    options = GeneratedOptions()
    for option in filter(None, text.split(",")):
        name, _, value = option.partition("=")
        number = value.replace(".", "", 1).isdigit()
        if name == "rate" and number:
            options = options._replace(rate=float(value))
        elif name == "corrections" and number and float(value) <= 1:
            options = options._replace(corrections=float(value))
        elif name == "symbols" and value:
            options = options._replace(symbols=frozenset(value.split("+")))
        elif name == "halts" and is_rate(value):
            options = options._replace(halts=float(value))
        elif name == "days" and value.isascii() and value.isdecimal() and 1 <= int(value) <= DAYS_MAX:
            options = options._replace(days=int(value))
        else:
            mend = "use rate=20, symbols=AAPL+BTC/USD, corrections=0.0001, halts=2 or days=60"
            raise ConfigError(f"{option!r} is not an option of the generated market", where="--market", mend=mend)
    return options


def open_market(spec: str, seed: int, start: int = DEFAULT_START, actions: Sequence[Action] = ()) -> Market:
    """The market that `--market KIND[:OPTIONS]` names, ready at `start` (ns UTC). Raises ConfigError.

    generated[:rate=EVENTS_A_SECOND_AND_SYMBOL,symbols=AAPL+BTC/USD,corrections=SHARE_OF_PRINTS,halts=PAUSES_A_SESSION,
    days=OF_HISTORY], or a recorded one as open_history reads it: FORMAT:FILE[?option=value]. actions: corporate actions that a
    generated market's prices follow. Raises DataError for a file that is not what it says.
    """
    kind, _, options = spec.partition(":")
    if kind in FORMATS:
        return Replay(spec, start)
    if kind != "generated":
        known = ", ".join(("generated", *FORMATS))
        raise ConfigError(f"there is no market {kind!r}", where="--market", mend=f"use one of {known}")
    given = _read_options(options)
    return GeneratedMarket(start, listed(given, seed), actions=actions, halts=given.halts, days=given.days)
