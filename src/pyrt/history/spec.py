"""`FORMAT:FILE[?option=value&...]`: how a command or a notebook names recorded data."""

from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

from pyrt._core.types import to_units
from pyrt.clock import DAY, MINUTE, SECOND
from pyrt.errors import ConfigError, DataError
from pyrt.history.binance import Binance
from pyrt.history.bitstamp import Bitstamp
from pyrt.history.csv_bars import CsvBars
from pyrt.history.kraken import KrakenBars, KrakenBook, KrakenTrades
from pyrt.history.lean import Lean
from pyrt.history.lobster import Lobster
from pyrt.history.source import Source

UNITS = {"s": SECOND, "m": MINUTE, "h": 60 * MINUTE, "d": DAY}


READERS: dict[str, tuple[Callable[..., Source], frozenset[str]]] = {
    "lobster": (Lobster, frozenset({"view"})),
    "binance": (Binance, frozenset()),
    "kraken": (KrakenBook, frozenset()),
    "kraken-trades": (KrakenTrades, frozenset()),
    "kraken-bars": (KrakenBars, frozenset({"interval"})),
    "bitstamp": (Bitstamp, frozenset()),
    "lean": (Lean, frozenset()),
    "csv": (CsvBars, frozenset({"interval", "tick", "zone"})),
}


def open_history(spec: str, *, instrument: int = 1) -> Source:
    """The reader that a spec names, e.g. `csv:prices.csv?symbol=AAPL&interval=1d`; `instrument` is the first id it gives.

    lobster (view=top|book), binance, kraken, kraken-trades, kraken-bars (interval), bitstamp (a folder), lean,
    csv (interval, tick, zone); all: symbol. Raises ConfigError for a wrong spec, DataError for a file that is not what it says.
    """
    kind, _, rest = spec.partition(":")
    if kind not in READERS:
        raise ConfigError(f"there is no format {kind!r}", where=spec, mend=f"use FORMAT:FILE with one of {', '.join(READERS)}")
    name, _, query = rest.partition("?")
    reader, known = READERS[kind]
    options: dict[str, Any] = {}
    for key, value in parse_qsl(query, keep_blank_values=True):
        if key not in known | {"symbol"}:
            raise ConfigError(f"{kind} has no option {key!r}", where=spec, mend=f"use {', '.join(sorted(known | {'symbol'}))}")
        options[key] = _read(key, value, spec)
    path = Path(name).expanduser()
    if not path.exists():
        raise DataError("there is no such file", where=str(path), mend="check the path")
    return reader(path, instrument=instrument, **options)


def _read(key: str, value: str, spec: str) -> object:
    try:
        if key == "interval":
            return parse_interval(value)
        if key == "tick":
            return to_units(value)
        if key == "view" and value not in ("top", "book"):
            raise ValueError
    except ValueError:
        raise ConfigError(f"{key}={value} is not understood", where=spec, mend="interval=5m, tick=0.01, view=book") from None
    return value


def parse_interval(text: str) -> int:
    """1s, 5m, 1h or 1d as ns. Raises ValueError."""
    if text[-1:] not in UNITS or not text[:-1].isdigit() or not int(text[:-1]):
        raise ValueError(f"{text!r} is not an interval")
    return int(text[:-1]) * UNITS[text[-1]]
