"""Where the simulated venue's market comes from: the port, the generated one, and the argument of --market."""

from collections.abc import Iterable
from typing import Protocol

import numpy as np
import numpy.typing as npt

from pyrt._core.types import RecordType, bar_dtype, market_dtype
from pyrt.errors import ConfigError
from pyrt.model import Instrument
from pyrt.venues.sim.market.bars_of import bars_of, merge_bars
from pyrt.venues.sim.market.generator import BLOCK, DAY, LISTINGS, Tape
from pyrt.venues.sim.market.replay import FORMATS, Replay

Records = npt.NDArray[np.void]
HISTORY_DAYS = 10  # before the start of a generated market
DEFAULT_START = 1_772_461_800_000_000_000  # 2026-03-02 09:30 New York


class Market(Protocol):
    """A market that runs once, forward, and can show its past. Times ns UTC; both ends of a range are included."""

    instruments: list[Instrument]

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

    def history_bars(self, symbol: str, start: int, end: int, interval: int) -> Records:
        """Bars of a symbol that begin in the range: bar_dtype. An interval without a trade that sets a price has none."""
        ...


class GeneratedMarket:
    """The seeded market of `generator`, from `start` on and HISTORY_DAYS before. It never ends."""

    def __init__(self, seed: int, start: int, *, rate: float = 20.0, symbols: Iterable[str] = ()) -> None:
        wanted = set(symbols)
        unknown = wanted - {listing.symbol for listing in LISTINGS}
        if unknown:
            known = ", ".join(listing.symbol for listing in LISTINGS)
            raise ConfigError(f"the generated market has no {', '.join(sorted(unknown))}", where="--market", mend=f"use {known}")
        if not 0.1 <= rate <= 100_000:
            raise ConfigError(f"a rate of {rate:g} events a second is out of range", where="--market", mend="use 0.1 to 100000")
        self._tapes = {
            listing.symbol: Tape(Instrument(id=number, symbol=listing.symbol), listing, seed, rate)
            for number, listing in enumerate(LISTINGS, 1)
            if not wanted or listing.symbol in wanted
        }
        self.instruments = [tape.instrument for tape in self._tapes.values()]
        self._oldest = (start // DAY - HISTORY_DAYS) * DAY
        self._minutes: dict[tuple[str, int], Records] = {}
        self._load(start // BLOCK)
        self._at = int(np.searchsorted(self._rows["ts_event"], start))

    def _load(self, number: int) -> None:
        rows = np.concatenate([tape.block(number) for tape in self._tapes.values()])
        self._block = number
        self._rows = rows[np.argsort(rows["ts_event"], kind="stable")]
        self._at = 0

    @property
    def next_event(self) -> int:
        """When the next record is due."""
        if self._at == len(self._rows):
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
        start = max(start, self._oldest)
        if tape is None or end < start:
            return np.zeros(0, dtype=market_dtype)
        rows: Records = np.concatenate([tape.block(number) for number in range(start // BLOCK, end // BLOCK + 1)])
        times = rows["ts_event"]
        found: Records = rows[(times >= start) & (times <= end) & (rows["type"] == int(kind))]
        return found

    def history_trades(self, symbol: str, start: int, end: int) -> Records:
        """Trades of a symbol; none of one that is not traded here."""
        return self._history(symbol, start, end, RecordType.TRADE)

    def history_quotes(self, symbol: str, start: int, end: int) -> Records:
        """Quotes of a symbol; none of one that is not traded here."""
        return self._history(symbol, start, end, RecordType.QUOTE)

    def history_bars(self, symbol: str, start: int, end: int, interval: int) -> Records:
        """Bars of a symbol that begin in the range, each whole; none of a symbol that is not traded here."""
        begin = -(-max(start, self._oldest) // interval) * interval
        last = end // interval * interval + interval - 1
        if symbol not in self._tapes or last < begin:
            return np.zeros(0, dtype=bar_dtype)
        if interval % BLOCK:
            return bars_of(self.history_trades(symbol, begin, last), interval)
        minutes = [self._minute_bar(symbol, number) for number in range(begin // BLOCK, last // BLOCK + 1)]
        return merge_bars(np.concatenate(minutes), interval)

    def _minute_bar(self, symbol: str, number: int) -> Records:
        bar = self._minutes.get((symbol, number))
        if bar is None:
            rows = self._tapes[symbol].block(number)
            bar = self._minutes[symbol, number] = bars_of(rows[rows["type"] == int(RecordType.TRADE)], BLOCK)
        return bar


def _open_generated(options: str, seed: int, start: int) -> Market:
    rate, symbols = 20.0, ""
    for option in filter(None, options.split(",")):
        name, _, value = option.partition("=")
        if name == "rate" and value.replace(".", "", 1).isdigit():
            rate = float(value)
        elif name == "symbols" and value:
            symbols = value
        else:
            raise ConfigError(
                f"{option!r} is not an option of the generated market", where="--market", mend="use rate=20 or symbols=AAPL+SPY"
            )
    return GeneratedMarket(seed, start, rate=rate, symbols=symbols.split("+") if symbols else ())


def open_market(spec: str, seed: int, start: int = DEFAULT_START) -> Market:
    """The market that `--market KIND[:OPTIONS]` names, ready at `start` (ns UTC). Raises ConfigError.

    generated[:rate=EVENTS_A_SECOND_AND_SYMBOL,symbols=AAPL+SPY], or a recorded one as open_history
    reads it: FORMAT:FILE[?option=value]. Raises DataError for a file that is not what it says.
    """
    kind, _, options = spec.partition(":")
    if kind in FORMATS:
        return Replay(spec, start)
    if kind != "generated":
        known = ", ".join(("generated", *FORMATS))
        raise ConfigError(f"there is no market {kind!r}", where="--market", mend=f"use one of {known}")
    return _open_generated(options, seed, start)
