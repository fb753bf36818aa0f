"""Where the simulated venue's market comes from: the port, the generated one, and the argument of --market."""

from collections.abc import Callable, Iterable
from itertools import pairwise
from typing import Protocol

import numpy as np
import numpy.typing as npt

from pyrt._core.types import Flag, RecordType, bar_dtype, market_dtype, trade_dtype
from pyrt.errors import ConfigError
from pyrt.model import Instrument
from pyrt.venues.sim.generator import BLOCK, DAY, LISTINGS, Tape

Records = npt.NDArray[np.void]
Ints = npt.NDArray[np.int64]
SHARE = 1_000_000_000  # qty units of the generated symbols
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


def bars_of(trades: Records, interval: int) -> Records:
    """Trades in time order (market_dtype) as bars; prints that may not set a price count for volume only.

    interval: ns. Bars begin at multiples of it since 1970.
    """
    prints = trades.view(trade_dtype)
    starts = prints["ts_event"] // interval * interval
    edges = np.flatnonzero(np.diff(starts, prepend=-1))
    bars = np.zeros(len(edges), dtype=bar_dtype)
    if not len(edges):
        return bars
    regular = (prints["flags"] & int(Flag.INELIGIBLE)) == 0
    px, top = prints["px"], np.iinfo(np.int64).max
    bars["type"], bars["instrument"] = int(RecordType.BAR), prints["instrument"][0]
    bars["start"], bars["interval"] = starts[edges], interval
    bars["ts_event"] = bars["ts_recv"] = starts[edges] + interval
    bars["high_px"] = np.maximum.reduceat(np.where(regular, px, 0), edges)
    bars["low_px"] = np.minimum.reduceat(np.where(regular, px, top), edges)
    order = np.arange(len(px))
    first = np.minimum.reduceat(np.where(regular, order, len(px) - 1), edges)
    last = np.maximum.reduceat(np.where(regular, order, 0), edges)
    bars["open_px"], bars["close_px"] = px[first], px[last]
    bars["volume"] = np.add.reduceat(prints["qty"], edges)
    bars["trades"] = np.diff(edges, append=len(px))
    _set_notional(bars, _notionals(px, prints["qty"], edges))
    return bars[bars["high_px"] > 0]


def _notionals(px: Ints, qty: Ints, edges: Ints) -> list[int]:
    """Exact sums of px * qty from edge to edge; whole shares fit machine words, the rest does not have to."""
    shares = qty // SHARE
    if not (qty % SHARE).any() and int(px.max()) * int(shares.sum()) < 2**62:
        return [total * SHARE for total in np.add.reduceat(px * shares, edges).tolist()]
    return _sums([p * q for p, q in zip(px.tolist(), qty.tolist(), strict=True)], edges)


def _sums(values: list[int], edges: Ints) -> list[int]:
    return [sum(values[a:b]) for a, b in pairwise([*edges.tolist(), len(values)])]


def _set_notional(bars: Records, sums: list[int]) -> None:
    bars["notional_lo"] = [total & (1 << 64) - 1 for total in sums]
    bars["notional_hi"] = [total >> 64 for total in sums]


def merge_bars(bars: Records, interval: int) -> Records:
    """Shorter bars in time order as longer ones; `interval` is a multiple of theirs."""
    starts = bars["start"] // interval * interval
    edges = np.flatnonzero(np.diff(starts, prepend=-1))
    merged = bars[edges].copy()
    if not len(edges):
        return merged
    merged["start"], merged["interval"] = starts[edges], interval
    merged["ts_event"] = merged["ts_recv"] = starts[edges] + interval
    merged["high_px"] = np.maximum.reduceat(bars["high_px"], edges)
    merged["low_px"] = np.minimum.reduceat(bars["low_px"], edges)
    merged["close_px"] = bars["close_px"][np.append(edges[1:], len(bars)) - 1]
    merged["volume"] = np.add.reduceat(bars["volume"], edges)
    merged["trades"] = np.add.reduceat(bars["trades"], edges)
    totals = zip(bars["notional_hi"].tolist(), bars["notional_lo"].tolist(), strict=True)
    _set_notional(merged, _sums([(hi << 64) + lo for hi, lo in totals], edges))
    return merged


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


KINDS: dict[str, Callable[[str, int, int], Market]] = {"generated": _open_generated}


def open_market(spec: str, seed: int, start: int = DEFAULT_START) -> Market:
    """The market that `--market KIND[:OPTIONS]` names, ready at `start` (ns UTC). Raises ConfigError.

    generated[:rate=EVENTS_A_SECOND_AND_SYMBOL,symbols=AAPL+SPY]
    """
    kind, _, options = spec.partition(":")
    if kind not in KINDS:
        raise ConfigError(f"there is no market {kind!r}", where="--market", mend=f"use one of {', '.join(KINDS)}")
    return KINDS[kind](options, seed, start)
