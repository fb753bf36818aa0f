"""Recorded files as the simulated venue's market: the same records at the same venue times, at any speed."""

from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np

from pyrt._core.types import Action, Flag, RecordType, bar_dtype, delta_dtype, market_dtype, trade_dtype
from pyrt.errors import ConfigError
from pyrt.history import Source, open_history
from pyrt.history.source import Records
from pyrt.model import AssetClass, Instrument
from pyrt.venues.sim.market.bars_of import bars_of, fill_bars
from pyrt.venues.sim.market.depth import Depth

FORMATS = ("lobster", "binance", "kraken", "bitstamp", "lean", "csv")
SHARE = 1_000_000_000
_QUOTED_IN = ("USDT", "USDC", "FDUSD", "TUSD", "BUSD", "USD", "EUR", "GBP", "BTC", "XBT", "ETH", "BNB", "TRY", "JPY")


class Tape(NamedTuple):
    """What a spec holds, by venue time; shared and read-only."""

    instruments: tuple[Instrument, ...]
    records: Records


class Replay:
    """A market that was recorded: it begins at `start` (ns UTC) or later, and ends with the file.

    A share is told by quotes and trades, a pair by the deltas of its book; a LOBSTER file with more than one level is both: AMZN
    and AMZN/USD. Bars are told as prints of their open, high, low and close. A time that goes backwards becomes the one before it.
    """

    def __init__(self, spec: str, start: int) -> None:
        tape = load(spec)
        self.instruments = list(tape.instruments)
        self._ids = {i.symbol: i.id for i in self.instruments}
        self._pairs = {i.symbol: i for i in self.instruments if i.asset_class == AssetClass.CRYPTO}
        self._depths: dict[str, tuple[int, Depth]] = {}
        self._rows = tape.records
        self._times = self._rows["ts_event"]
        self.oldest = int(self._times[0])
        self._at = int(np.searchsorted(self._times, start))

    @property
    def next_event(self) -> int:
        """When the next record is due; 0 = the file has ended."""
        return int(self._times[self._at]) if self._at < len(self._rows) else 0

    def advance(self, until: int) -> Records:
        """The records up to `until` that were not given yet."""
        begin, self._at = self._at, max(self._at, int(np.searchsorted(self._times, until, side="right")))
        return self._rows[begin : self._at]

    def _history(self, symbol: str, start: int, end: int, kind: RecordType) -> Records:
        rows = self._rows[np.searchsorted(self._times, start) : np.searchsorted(self._times, end, side="right")]
        found: Records = rows[(rows["type"] == int(kind)) & (rows["instrument"] == self._ids.get(symbol, 0))]
        return found

    def history_trades(self, symbol: str, start: int, end: int) -> Records:
        """Trades of a symbol; none of one that is not traded here."""
        return self._history(symbol, start, end, RecordType.TRADE)

    def history_quotes(self, symbol: str, start: int, end: int) -> Records:
        """Quotes of a symbol; none of one that is not traded here."""
        return self._history(symbol, start, end, RecordType.QUOTE)

    def history_bars(self, symbol: str, start: int, end: int, interval: int, now: int = 0) -> Records:
        """Bars of a symbol that begin in the range, each whole; a file has no corrections, so `now` changes nothing."""
        begin, last = -(-start // interval) * interval, end // interval * interval + interval - 1
        trades = self.history_trades(symbol, begin, last)
        bars = bars_of(trades, interval) if len(trades) else np.zeros(0, bar_dtype)
        quotes = self.history_quotes(symbol, begin, last) if symbol in self._pairs else trades[:0]
        return fill_bars(bars, quotes, interval) if len(quotes) else bars

    def history_corrections(self, symbol: str, start: int, end: int) -> Records:
        """None: what a file says stands."""
        return np.zeros(0, market_dtype)

    def book(self, symbol: str, at: int) -> Records:
        """The whole book of a pair at an instant; a later instant of the same market costs only what is between."""
        instrument = self._pairs.get(symbol)
        if instrument is None:
            return np.zeros(0, market_dtype)
        end = int(np.searchsorted(self._times, at, side="right"))
        begin, depth = self._depths.get(symbol, (0, Depth([instrument])))
        if end < begin:
            begin, depth = 0, Depth([instrument])
        rows = self._rows[begin:end]
        depth.apply(rows[rows["instrument"] == instrument.id])
        self._depths[symbol] = (end, depth)
        whole = depth.whole(instrument.id, at)
        return whole if len(whole) > 1 else whole[:0]


def first_instant(spec: str) -> int:
    """Just before the first record of a recorded market, ns UTC; 0 for a market that is not recorded."""
    if spec.partition(":")[0] not in FORMATS:
        return 0
    return int(load(spec).records["ts_event"][0]) - 1


@lru_cache(maxsize=2)
def load(spec: str) -> Tape:
    """Read a spec as open_history knows it. Raises ConfigError, and DataError for a file that is not what it says."""
    instruments: dict[int, Instrument] = {}
    parts: list[Records] = []
    for source in _sources(spec):
        instruments.update((i.id, _listed(i)) for i in source.instruments)
        joined = _Joined()
        chunks = [_prints(chunk) if source.kind == "bars" else joined.take(chunk) for chunk in source.chunks()]
        whole = np.concatenate([np.empty(0, market_dtype), *chunks])
        # A file is in the order in which things were seen: time stands still where a stamp is older.
        whole["ts_event"] = np.maximum.accumulate(whole["ts_event"])
        parts.append(whole)
    records = np.concatenate(parts)
    records = records[np.argsort(records["ts_event"], kind="stable")]
    if not len(records):
        raise ConfigError("there is nothing to replay in it", where=spec, mend="choose another file")
    records["ts_recv"] = records["ts_event"]
    records.setflags(write=False)
    return Tape(tuple(instruments.values()), records)


def _sources(spec: str) -> Iterator[Source]:
    kind, _, rest = spec.partition(":")
    first = open_history(spec)
    yield first
    after = max(i.id for i in first.instruments) + 1
    name, _, query = rest.partition("?")
    if kind == "lobster" and "view=" not in query and getattr(first, "levels", 1) > 1:
        yield open_history(f"{kind}:{name}?view=book", instrument=after)
    beside = Path(name.replace("_trade.", "_quote."))
    if kind == "lean" and beside != Path(name) and beside.exists():
        yield open_history(f"{kind}:{beside}" + (f"?{query}" if query else ""), instrument=first.instruments[0].id)


def _listed(instrument: Instrument) -> Instrument:
    """As this venue lists it: pairs are written with a slash."""
    if instrument.asset_class != AssetClass.CRYPTO or "/" in instrument.symbol:
        return instrument
    symbol = instrument.symbol.upper()
    for money in _QUOTED_IN:
        base = symbol.removesuffix(money)
        if base and base != symbol:
            return msgspec.structs.replace(instrument, symbol=f"{base}/{money}")
    return msgspec.structs.replace(instrument, symbol=f"{symbol}/")


class _Joined:
    """Deltas from a whole book on, in the chain of the venue's ids; a break waits for the next whole book."""

    def __init__(self) -> None:
        self._live: dict[int, int] = {}  # instrument: last id
        self._waiting: dict[int, list[tuple[Records, int, int]]] = {}

    def take(self, records: Records) -> Records:
        """What may be told of a chunk, in its order."""
        deltas = records["type"] == int(RecordType.DELTA)
        view = records.view(delta_dtype)
        known = np.isin(records["instrument"][deltas], list(self._live))
        if known.all() and not view["update_id"][deltas].any():
            return records
        ends = np.flatnonzero(~deltas | (records["flags"] & int(Flag.LAST) != 0)) + 1
        out: list[Records] = []
        begin = first = 0  # what is told from `begin` on goes out in one piece
        ids, spans, owners = (view[name][ends - 1].tolist() for name in ("update_id", "span", "instrument"))
        clears = (view["action"] == int(Action.CLEAR)) & deltas
        for end, is_delta, own, update_id, span in zip(ends.tolist(), deltas[ends - 1].tolist(), owners, ids, spans, strict=True):
            if is_delta:
                whole = bool(clears[first])
                if whole or not self._follows(own, update_id, span):
                    out.append(records[begin:first])
                    begin = first if whole else end
                if whole:
                    self._live[own] = update_id
                    out.append(records[begin:end])
                    out += [held for held, last, reach in self._waiting.pop(own, []) if self._follows(own, last, reach)]
                    begin = end
                elif begin == end and own not in self._live and update_id:
                    self._waiting.setdefault(own, []).append((records[first:end], update_id, span))
            first = end
        return np.concatenate([*out, records[begin:first]])

    def _follows(self, own: int, update_id: int, span: int) -> bool:
        before = self._live.get(own)
        if before is None or not update_id:
            return before is not None
        if update_id <= before:
            return False
        if span and update_id - span > before + 1:
            del self._live[own]  # something is missing
            return False
        self._live[own] = update_id
        return True


def _prints(bars: Records) -> Records:
    """Open, high and low in the order that is the shorter way, and close, with a quarter of the volume each."""
    out: Any = np.zeros((len(bars), 4), trade_dtype)
    up = bars["close_px"] >= bars["open_px"]
    names = ("open_px", np.where(up, bars["low_px"], bars["high_px"]), np.where(up, bars["high_px"], bars["low_px"]), "close_px")
    unit = np.where(bars["volume"] >= 4 * SHARE, SHARE, 1)
    quarter = bars["volume"] // (4 * unit) * unit
    for i, px in enumerate(names):
        row = out[:, i]
        row["type"], row["instrument"] = int(RecordType.TRADE), bars["instrument"]
        row["ts_event"] = bars["start"] + np.minimum(bars["interval"] * i // 3, bars["interval"] - 1)
        row["px"] = bars[px] if isinstance(px, str) else px
        row["qty"] = quarter if i else bars["volume"] - 3 * quarter
        row["conditions"], row["exchange"], row["tape"] = ord("@"), ord("V"), ord("C")
        row["trade_id"] = bars["start"] // 10**9 * 4 + i
    flat: Records = out.reshape(-1)
    return flat[flat["qty"] > 0].view(market_dtype)
