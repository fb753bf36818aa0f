"""History before the first callback, joined to the live bars without a hole."""

import asyncio
import logging
import time
from typing import Any, Protocol

import numpy as np

from pyrt._core.types import GapCause
from pyrt.clock import interval_ns
from pyrt.live.shell import LiveShell
from pyrt.market.sequencer import gap_record
from pyrt.model import Instrument
from pyrt.ports import Alarm
from pyrt.session import Session

log = logging.getLogger("pyrt")
BAR_GRACE = 250_000_000  # ns of venue time that a bar waits for late trades
DATA_PATIENCE = 15.0  # seconds that a warm-up waits for the data stream

Records = np.ndarray[Any, Any]


class Archive(Protocol):
    """What the venue remembers."""

    def warm_up(self, instrument: Instrument, interval: int, n: int, before: int) -> Records: ...

    def trades(self, instrument: Instrument, start: int, end: int) -> Records: ...


async def warm_up(session: Session, shell: LiveShell, archive: Archive, stopping: asyncio.Event) -> None:
    """Fill each strategy's history with the venue's bars before its on_start.

    The bar that was forming when the stream came up is whole too: the venue is asked for the trades of its beginning. Bars that
    trades close have no history at the venue: the log says so. Raises PyrtError where the venue does not answer.
    """
    wanted: dict[tuple[int, int], int] = {}  # (instrument, interval) -> bars
    for strategy in session.strategies.values():
        for symbol in strategy.symbols if strategy.warmup else ():
            key = (session.instruments[symbol].id, interval_ns(strategy.interval))
            if key[1] < 0:
                log.warning("%s: there is no history of %s bars, its warm-up is empty", strategy.name, strategy.interval)
                continue
            wanted[key] = max(wanted.get(key, 0), strategy.warmup)
    if wanted:
        await _data_is_up(shell, stopping)
    rose = shell.known_from = shell.rose.get("data", shell.now().venue)
    market, known = session.market, session.instruments
    cut = {key: market.bar_start(known[key[0]], key[1], rose) for key in wanted}  # the bar that the stream saw only the end of
    for number in {number for number, _ in wanted}:
        forming = [s for (n, i), s in cut.items() if n == number and s < rose and s + i + BAR_GRACE > shell.now().venue]
        if forming:
            _tell_forgotten(shell, known[number], min(forming))
            shell.backfill(await asyncio.to_thread(archive.trades, known[number], min(forming), rose))
    for key, n in wanted.items():
        await _keep(session, shell, archive, key, n, cut[key])
    for key, start in cut.items():
        if start + key[1] + BAR_GRACE <= shell.now().venue:  # it is over by now: the venue has it whole, whatever came late
            await _keep(session, shell, archive, key, 1, start + key[1])
    shell.close_bars(shell.now().venue)  # what the backfill amended is told before anything runs
    shell.trades = None


def _tell_forgotten(shell: LiveShell, instrument: Instrument, start: int) -> None:
    """Where more was told since a bar began than is kept, nobody can say what of the history is news: the bar is flagged."""
    told, now = shell.trades, shell.now().venue
    if told is None or told.dropped_to < start:
        return
    gap = gap_record(instrument.id, GapCause.SEQUENCE, ts=now, from_ts=start, to_ts=told.dropped_to)
    shell.handle_market(gap)
    text = f"{instrument.symbol}: {told.dropped} trades told while the session started are more than it keeps: its bar lacks some"
    shell.alarm(Alarm(severity="warning", code="BAR_INCOMPLETE", text=text))


async def _keep(session: Session, shell: LiveShell, archive: Archive, key: tuple[int, int], n: int, before: int) -> None:
    number, interval = key
    bars = await asyncio.to_thread(archive.warm_up, session.instruments[number], interval, n, before)
    bars["instrument"] = number
    if shell.recorder is not None and len(bars):
        shell.recorder.records(bars, session.now)
    for i in range(len(bars)):
        session.desk.keep_bar(number, interval, bars[i])


async def _data_is_up(shell: LiveShell, stopping: asyncio.Event) -> None:
    give_up = time.monotonic() + DATA_PATIENCE
    while not shell.rose.get("data") and not stopping.is_set():
        if time.monotonic() > give_up:
            log.warning("the data stream is not up after %.0f s: the first live bar may lack its beginning", DATA_PATIENCE)
            return
        await asyncio.sleep(0.02)
