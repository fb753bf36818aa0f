"""`python -m pyrt download`: historical bars from the simulated venue or from Alpaca."""

import sys
from contextlib import ExitStack
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from rich.console import Console
from rich.progress import Progress, TaskID

from pyrt.clock import SECOND, interval_ns
from pyrt.config import Secret
from pyrt.errors import ConfigError
from pyrt.history import Catalog
from pyrt.model import Instrument
from pyrt.research.download import download as fetch
from pyrt.venues.alpaca.history import History, timeframe
from pyrt.venues.alpaca.keys import PAPER, SIM, check_url, load_keys
from pyrt.venues.alpaca.link import PAPER as PAPER_ADDRESSES
from pyrt.venues.sim.child import SimProcess


def download(
    symbols: str,
    *,
    start: str,
    end: str,
    interval: str = "1m",
    to: Path,
    venue: str = SIM,
    sim_url: str | None = None,
    seed: int = 0,
    feed: str = "iex",
) -> None:
    """Fetch historical bars into a directory that `pyrt backtest --data` reads. A later run asks only for what is missing.

    pyrt download AAPL,MSFT --start 2026-02-20 --end 2026-03-02 --interval 1m --to data
    pyrt download AAPL --venue alpaca-paper --start 2026-01-02 --end 2026-02-02 --to data

    Parameters
    ----------
    symbols
        With commas between.
    start
        The first instant, such as 2026-02-20 or 2026-02-20T14:30:00Z; without a zone it is UTC.
    end
        The instant behind the last.
    interval
        1m, 5m, 1h or 1d.
    to
        Directory of the files.
    venue
        sim (the default) or alpaca-paper, whose keys come from the environment or the key file.
    sim_url
        Use the simulated venue that answers there instead of starting one; its keys come from the environment.
    seed
        The simulated market's seed.
    feed
        Alpaca's data feed: iex, or sip where the account has it.
    """
    begin, stop, ns = _time(start, "--start"), _time(end, "--end"), interval_ns(interval)
    timeframe(ns)
    if stop <= begin:
        raise ConfigError("the end is not behind the start", where="--end", mend="give a later one")
    names = [s.strip().upper() for s in symbols.split(",") if s.strip()]
    if not names:
        raise ConfigError("no symbols", where="download", mend="write AAPL,MSFT")
    with ExitStack() as stack:
        source = _source(stack, venue, sim_url, seed, feed)
        bar = stack.enter_context(Progress(console=Console(stderr=True), disable=not sys.stderr.isatty(), transient=True))
        for number, symbol in enumerate(names, 1):
            task = bar.add_task(symbol, total=stop - begin)
            instrument = Instrument(id=number, symbol=symbol)
            added = fetch(source, Catalog(to), instrument, ns, begin, stop, partial(_tell, bar, task))
            print(f"{symbol}: {added:,} bars added to {to}")


def _tell(bar: Progress, task: TaskID, done: int, whole: int) -> None:
    bar.update(task, completed=done, total=whole)


def _source(stack: ExitStack, venue: str, sim_url: str | None, seed: int, feed: str) -> History:
    if venue == SIM and sim_url:
        check_url(sim_url, SIM)
        keys = load_keys()
        url, key, secret = sim_url, keys.key, keys.secret
    elif venue == SIM:
        state = Path(stack.enter_context(TemporaryDirectory(prefix="pyrt-")))
        sim = stack.enter_context(SimProcess(state=state, seed=seed))
        url, key, secret = sim.address.url, Secret(sim.address.key), Secret(sim.address.secret)
    elif venue == PAPER:
        keys = load_keys()
        url, key, secret = PAPER_ADDRESSES.data, keys.key, keys.secret
    else:
        raise ConfigError(f"no venue {venue!r}", where="--venue", mend=f"use {SIM} or {PAPER}")
    source = History(url=url, key=key, secret=secret, feed=feed)
    stack.callback(source.close)
    return source


def _time(text: str, where: str) -> int:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise ConfigError(f"{text!r} is not a time", where=where, mend="write 2026-03-02 or 2026-03-02T14:30:00Z") from None
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return int(moment.timestamp()) * SECOND
