"""What risk is told beside the market: the restricted list, what trades and can be borrowed, the last days.

The list and the days only where a limit asks for them; whether a symbol still trades, in every session. A source that does not
answer is asked again; until it does, the limit that needs it denies.
"""

import asyncio
import logging
import time
from hashlib import sha256
from pathlib import Path
from typing import Protocol

import numpy as np

from pyrt.calendar import ExchangeDays
from pyrt.clock import DAY
from pyrt.errors import ConfigError, PyrtError
from pyrt.live.shell import LiveShell
from pyrt.model import Instrument
from pyrt.ports import Alarm, AssetTold, HistoryTold, ListTold
from pyrt.risk import Limits
from pyrt.risk.names import read_list
from pyrt.session import Session

LOOK_EVERY = 1.0  # seconds between two looks at what the limits ask for, and at the list
ASSETS_EVERY = 3600.0
TRY_EVERY = 60.0  # after a source that did not answer, or said that a symbol does not trade
DAYS = 250
LARGEST = 1 << 20  # bytes of a list

log = logging.getLogger("pyrt")


class Source(Protocol):
    """A venue, as asked here; every verb blocks and raises PyrtError."""

    def asset(self, instrument: Instrument) -> AssetTold: ...

    def warm_up(self, instrument: Instrument, interval: int, n: int, before: int) -> np.ndarray: ...


class Informer:
    """Tells a session what its limits need; lives beside it, on its loop."""

    def __init__(self, session: Session, shell: LiveShell, source: Source) -> None:
        self._session = session
        self._shell = shell
        self._source = source
        self._day_of = ExchangeDays()
        self._list: tuple[str, float, str] | None = None  # path, time of change, error: what was told last
        self._assets_at: dict[int, float] = {}  # monotonic s from which an instrument is asked for again
        self._history_of = ""  # the exchange date on which history was told
        self._history_at = 0.0

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            limits = self._session.risk.limits
            if limits.restricted_file:
                self._look_at_list(Path(limits.restricted_file))
            if asks_for_assets(limits) or self._session.running:  # recovery has the requests for itself
                await self._tell_assets(asks_for_assets(limits))
            if asks_for_history(limits) and time.monotonic() >= self._history_at:
                await self._tell_history()
            await asyncio.sleep(LOOK_EVERY)

    # ------------------------------------------------------------------------------------------------ the list
    def _look_at_list(self, path: Path) -> None:
        told = list_of(path, self._shell.now().venue)
        try:
            changed = path.stat().st_mtime
        except OSError:
            changed = 0.0
        key = (str(path), changed, told.error)
        if key != self._list:
            self._list = key
            if told.error:
                log.error("the restricted list %s: %s; no entry is approved", path, told.error)
            self._shell.put(told)

    # ------------------------------------------------------------------------------------------------ the venue
    def _watched(self) -> list[Instrument]:
        symbols = {s for strategy in self._session.strategies.values() for s in strategy.symbols}
        return [self._session.instruments[s] for s in sorted(symbols)]

    async def _tell_assets(self, wanted: bool) -> None:
        """Ask for those that are due; where no limit waits for them one at a look: snapshots are of the same share of requests."""
        now = time.monotonic()
        due = [instrument for instrument in self._watched() if now >= self._assets_at.get(instrument.id, 0.0)]
        for instrument in due if wanted else due[:1]:
            wait = ASSETS_EVERY
            try:
                told = await asyncio.to_thread(self._source.asset, instrument)
            except ConfigError:  # the venue itself says that it has no such symbol
                told = AssetTold(instrument=instrument.id, tradable=False, shortable=False, easy_to_borrow=False)
            except PyrtError as e:
                log.warning("whether %s trades and can be borrowed is not known: %s", instrument.symbol, e)
                told, wait = None, TRY_EVERY
            if told is not None:
                self._take(instrument, told)
                wait = ASSETS_EVERY if told.tradable else TRY_EVERY
            self._assets_at[instrument.id] = time.monotonic() + wait

    def _take(self, instrument: Instrument, told: AssetTold) -> None:
        """Hand on what a limit waits for, and what is news; the rest would only fill the journal."""
        known = self._session.risk.permits.assets.get(instrument.id, instrument)
        if asks_for_assets(self._session.risk.limits) or told.tradable != known.tradable:
            self._shell.put(told)
        if told.tradable == known.tradable:
            return
        if told.tradable:
            self._shell.alarm(Alarm(severity="info", code="ASSET_ACTIVE", text=f"{instrument.symbol} trades again"))
            return
        held = self._session.risk.account(instrument.id).qty
        text = f"{instrument.symbol} is not tradable any more: orders in it are refused; take it out of `symbols`"
        more = f", and ask the venue what becomes of {instrument.quantity(held)} shares" if held else ""
        self._shell.alarm(Alarm(severity="critical" if held else "warning", code="ASSET_INACTIVE", text=text + more))

    async def _tell_history(self) -> None:
        now = self._shell.now().venue
        today = self._day_of(now)
        self._history_at = time.monotonic() + TRY_EVERY
        if today == self._history_of:
            return
        whole = True
        for instrument in self._watched():
            try:
                bars = await asyncio.to_thread(self._source.warm_up, instrument, DAY, DAYS, now + DAY)
            except PyrtError as e:
                log.warning("the last days of %s are not known: %s", instrument.symbol, e)
                whole = False
                continue
            self._shell.put(history_of(instrument, bars, today))
        if whole:
            self._history_of = today


def asks_for_assets(limits: Limits) -> bool:
    """Whether a limit needs what the venue says of an asset through the day."""
    return limits.opening_shorts or limits.overnight


def asks_for_history(limits: Limits) -> bool:
    """Whether a limit needs the last days."""
    return limits.opening_shorts or any(
        x is not None and x.is_finite() for x in (limits.max_adv_pct, limits.max_var, limits.max_es)
    )


def list_of(path: Path, venue: int) -> ListTold:
    """Read a restricted list; venue: the venue's time now, ns, from which the file's age is counted."""
    try:
        age = max(time.time() - path.stat().st_mtime, 0.0)
        with path.open("rb") as file:
            content = file.read(LARGEST + 1)
        if len(content) > LARGEST:
            return ListTold(error=f"more than {LARGEST} bytes")
        names = read_list(content.decode())
    except OSError as e:
        return ListTold(error=e.strerror or type(e).__name__)
    except ValueError as e:
        return ListTold(error=str(e))
    return ListTold(names=tuple(sorted(names)), sha256=sha256(content).hexdigest(), at=venue - int(age * 1e9))


def history_of(instrument: Instrument, bars: np.ndarray, today: str) -> HistoryTold:
    """Daily bars (bar_dtype, oldest first) of the days before today."""
    day_of = ExchangeDays()
    whole = bars[[day_of(int(start)) < today for start in bars["start"]]] if len(bars) else bars
    columns = (tuple(whole[name].tolist()) for name in ("close_px", "low_px", "volume"))
    closes, lows, volumes = columns
    return HistoryTold(instrument=instrument.id, closes=closes, lows=lows, volumes=volumes)
