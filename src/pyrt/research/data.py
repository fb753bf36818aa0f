"""What a backtest may be given: arrays, iterators of arrays, recorded files, what `pyrt download` fetched."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from pyrt._core.types import bar_dtype, market_dtype
from pyrt.errors import ConfigError, DataError
from pyrt.history import Catalog, open_history
from pyrt.history import Source as HistorySource
from pyrt.model import Instrument
from pyrt.research.synthetic import market_of
from pyrt.research.tape import ROWS, Chunk, chunks_of

Records = np.ndarray[Any, Any]
Source = str | Path | Records | Iterable[Records] | Mapping[str, Records] | Sequence[str | Path]
_CENT, _SUB_CENT = 10_000_000, 100_000
_UNTOLD = 10_000_000  # whole shares of a bar in a file that tells no volume


class Data(msgspec.Struct, frozen=True, kw_only=True):
    """A market that a backtest can run: instruments, chunks, and how many rows they have (0 = not known)."""

    instruments: tuple[Instrument, ...]
    chunks: Iterator[Chunk]
    rows: int = 0


def load(source: Source, symbols: Sequence[str], instruments: Sequence[Instrument] = ()) -> Data:
    """Read `source` for `symbols`.

    A path is a CSV of bars or a directory of `pyrt download`, a text may be any spec of history.open_history; several of them
    together have bars. A mapping is symbol -> bars. An array is market_dtype or bar_dtype records whose instrument ids are those of
    `instruments`, or count from 1 in the order of `symbols`; an iterator gives market_dtype arrays. Raises DataError, ConfigError.
    """
    if isinstance(source, str | Path):
        return _stored([source], symbols)
    if isinstance(source, Mapping):
        return _of_bars(source, symbols, instruments)
    if isinstance(source, Sequence) and source and all(isinstance(s, str | Path) for s in source):
        return _stored([s for s in source if isinstance(s, str | Path)], symbols)
    known = tuple(instruments) or tuple(Instrument(id=i, symbol=s) for i, s in enumerate(symbols, 1))
    if isinstance(source, np.ndarray):
        if source.dtype.itemsize == bar_dtype.itemsize:
            return _of_bars({i.symbol: source[source["instrument"] == i.id] for i in known}, symbols, known)
        return Data(instruments=known, chunks=_each([source]), rows=len(source))
    if isinstance(source, Iterable):
        return Data(instruments=known, chunks=_each(source))
    raise ConfigError(f"data cannot be {type(source).__name__}", mend="give a CSV path, a dict of bars or an array of records")


def _each(parts: Iterable[Any]) -> Iterator[Chunk]:
    last = 0
    for part in parts:
        for records in chunks_of(part.view(market_dtype)):
            if int(records["ts_event"][0]) < last:
                raise DataError("a part of the data is older than the one before it", mend="give the parts in time order")
            last = int(records["ts_event"][-1])
            yield records, records


# ---------------------------------------------------------------------------------------------------- stored history
def _stored(specs: Sequence[str | Path], symbols: Sequence[str]) -> Data:
    found: dict[str, Records] = {}
    terms: list[Instrument] = []
    for spec in specs:
        if Path(spec).is_dir():
            for symbol in symbols:
                found[symbol] = _kept(Catalog(spec), symbol)
            continue
        source = _open(str(spec), symbols if len(specs) == 1 else ())
        if source.kind == "market":
            return _of_records(source, symbols, len(specs))
        instrument = source.instruments[0]
        if instrument.symbol in found:
            raise DataError(f"bars of {instrument.symbol} come twice", where=str(spec), mend="name each: FILE.csv?symbol=NAME")
        found[instrument.symbol] = np.concatenate([np.empty(0, bar_dtype), *source.chunks()])
        terms.append(instrument)
    return _of_bars(found, symbols, terms)


def _open(spec: str, symbols: Sequence[str]) -> HistorySource:
    kind, colon, _ = spec.partition(":")
    if not colon or Path(spec.partition("?")[0]).expanduser().exists():
        spec, kind = f"csv:{spec}", "csv"
    if kind == "csv" and "symbol=" not in spec and len(symbols) == 1:
        spec += ("&" if "?" in spec else "?") + f"symbol={symbols[0]}"
    return open_history(spec)


def _kept(catalog: Catalog, symbol: str) -> Records:
    """The bars of the shortest interval that a catalog has of a symbol."""
    intervals = catalog.intervals(symbol)
    if not intervals:
        there = ", ".join(catalog.symbols()) or "nothing"
        raise DataError(f"holds no bars of {symbol}", where=str(catalog.directory), mend=f"there is {there}; see pyrt download")
    return catalog.bars(symbol, intervals[0])


def _of_records(source: HistorySource, symbols: Sequence[str], specs: int) -> Data:
    names = [i.symbol for i in source.instruments]
    if specs > 1:
        raise ConfigError("recorded ticks cannot be joined with other data", where="data", mend="give one file")
    if missing := [s for s in symbols if s not in names]:
        mend = f"there is {', '.join(names)}; set `symbols`"
        raise ConfigError(f"no data for {', '.join(missing)}", where="data", mend=mend)
    return Data(instruments=tuple(source.instruments), chunks=_each(source.chunks()))


# ---------------------------------------------------------------------------------------------------- bars
def _of_bars(named: Mapping[str, Records], symbols: Sequence[str], known: Sequence[Instrument] = ()) -> Data:
    missing = [s for s in symbols if s not in named or not len(named[s])]
    if missing:
        there = ", ".join(sorted(named)) or "none"
        raise ConfigError(f"no data for {', '.join(missing)}", where="data", mend=f"there is {there}; set `symbols`")
    terms = {i.symbol: i for i in known}
    parts, instruments = [], []
    for number, symbol in enumerate(symbols, 1):
        bars = named[symbol].copy()
        instrument = terms.get(symbol) or Instrument(id=number, symbol=symbol, **_ticks(bars))
        instrument = msgspec.structs.replace(instrument, id=number)
        bars["instrument"] = number
        if not bars["volume"].any():
            bars["volume"] = _UNTOLD * 10**instrument.qty_exp
        instruments.append(instrument)
        parts.append(bars)
    whole = np.concatenate(parts)
    whole = whole[np.argsort(whole["start"], kind="stable")]
    ticks = {i.id: i.tick for i in instruments}
    return Data(instruments=tuple(instruments), chunks=_bar_chunks(whole, ticks), rows=len(whole))


def _bar_chunks(bars: Records, ticks: dict[int, int]) -> Iterator[Chunk]:
    # A chunk ends where no bar is under way, so that its records come before those of the next.
    ends = np.maximum.accumulate(bars["start"] + bars["interval"])
    whole = np.append(np.flatnonzero(bars["start"][1:] >= ends[:-1]) + 1, len(bars))
    begin = 0
    while begin < len(bars):
        end = int(whole[min(int(whole.searchsorted(begin + ROWS // 4)), len(whole) - 1)])
        yield market_of(bars[begin:end], ticks)
        begin = end


def _ticks(bars: Records) -> dict[str, Any]:
    """The coarsest of 0.01, 0.0001 and 1e-9 that all prices lie on: adjusted prices are off the cent."""
    for tick in (_CENT, _SUB_CENT):
        if not any((bars[f] % tick).any() for f in ("open_px", "high_px", "low_px", "close_px")):
            return {"tick": tick, "sub_tick": min(tick, _SUB_CENT)}
    return {"tick": 1, "sub_tick": 1}
