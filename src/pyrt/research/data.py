"""What a backtest may be given: arrays, iterators of arrays, CSV files, specs of stored history."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from pyrt._core.types import bar_dtype, market_dtype
from pyrt.errors import ConfigError, DataError
from pyrt.model import Instrument
from pyrt.research.csvbars import read_bars
from pyrt.research.synthetic import market_of
from pyrt.research.tape import ROWS, Chunk, chunks_of

Records = np.ndarray[Any, Any]
Source = str | Path | Records | Iterable[Records] | Mapping[str, Records] | Sequence[str | Path]
_CENT, _SUB_CENT = 10_000_000, 100_000


class Data(msgspec.Struct, frozen=True, kw_only=True):
    """A market that a backtest can run: instruments, chunks, and how many rows they have (0 = not known)."""

    instruments: tuple[Instrument, ...]
    chunks: Iterator[Chunk]
    rows: int
    of_bars: bool


def load(source: Source, symbols: Sequence[str], instruments: Sequence[Instrument] = ()) -> Data:
    """Read `source` for `symbols`.

    A path or spec is a CSV of bars, a mapping is symbol -> bars, an array is market_dtype or bar_dtype records whose instrument ids
    are those of `instruments`, or count from 1 in the order of `symbols`; an iterator gives market_dtype arrays. Raises DataError
    and ConfigError.
    """
    if isinstance(source, str | Path):
        return _of_bars(_files([source], symbols), symbols)
    if isinstance(source, Mapping):
        return _of_bars(dict(source), symbols)
    if isinstance(source, Sequence) and source and all(isinstance(s, str | Path) for s in source):
        return _of_bars(_files([s for s in source if isinstance(s, str | Path)], symbols), symbols)
    known = tuple(instruments) or tuple(Instrument(id=i, symbol=s) for i, s in enumerate(symbols, 1))
    if isinstance(source, np.ndarray):
        if source.dtype.itemsize == bar_dtype.itemsize:
            named = {i.symbol: source[source["instrument"] == i.id] for i in known}
            return _of_bars(named, symbols, known)
        records = source.view(market_dtype)
        return Data(instruments=known, chunks=((r, r) for r in chunks_of(records)), rows=len(records), of_bars=False)
    if isinstance(source, Iterable):
        return Data(instruments=known, chunks=_each(source), rows=0, of_bars=False)
    raise ConfigError(f"data cannot be {type(source).__name__}", mend="give a CSV path, a dict of bars or an array of records")


def _each(parts: Iterable[Any]) -> Iterator[Chunk]:
    last = 0
    for part in parts:
        for records in chunks_of(part.view(market_dtype)):
            if int(records["ts_event"][0]) < last:
                raise DataError("a part of the data is older than the one before it", mend="give the parts in time order")
            last = int(records["ts_event"][-1])
            yield records, records


def _files(paths: Sequence[str | Path], symbols: Sequence[str]) -> dict[str, Records]:
    found: dict[str, Records] = {}
    for path in paths:
        text = str(path).removeprefix("csv:")
        name, _, option = text.partition("?symbol=")
        wanted = (option.upper(),) if option else tuple(symbols) if len(paths) == 1 else ()
        for symbol, bars in read_bars(Path(name).expanduser(), wanted).items():
            if symbol in found:
                raise DataError(f"bars of {symbol} come twice", where=name, mend="name each symbol once: FILE.csv?symbol=NAME")
            found[symbol] = bars
    return found


def _of_bars(named: Mapping[str, Records], symbols: Sequence[str], known: Sequence[Instrument] = ()) -> Data:
    missing = [s for s in symbols if s not in named or not len(named[s])]
    if missing:
        there = ", ".join(sorted(named)) or "none"
        raise ConfigError(f"no data for {', '.join(missing)}", where="data", mend=f"there is {there}; set `symbols`")
    terms = {i.symbol: i for i in known}
    parts, instruments = [], []
    for number, symbol in enumerate(symbols, 1):
        instrument = terms.get(symbol) or Instrument(id=number, symbol=symbol, **_ticks(named[symbol]))
        bars = named[symbol].copy()
        bars["instrument"] = instrument.id
        instruments.append(instrument)
        parts.append(bars)
    bars = np.concatenate(parts)
    bars = bars[np.argsort(bars["start"], kind="stable")]
    ticks = {i.id: i.tick for i in instruments}
    return Data(instruments=tuple(instruments), chunks=_bar_chunks(bars, ticks), rows=len(bars), of_bars=True)


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
