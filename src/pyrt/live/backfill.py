"""After a loss of the data stream: the venue's history is asked for what was not told, and the session is fed it."""

import asyncio
import logging
import threading
from typing import Any, Protocol

import numpy as np

from pyrt.live.shell import LiveShell
from pyrt.market.backfill import Hole, Holes
from pyrt.market.halts import Halts
from pyrt.model import Instrument
from pyrt.ports import Alarm, Event, StreamState
from pyrt.session import Session

log = logging.getLogger("pyrt")
PACE = 0.3  # seconds between two questions: 200 a minute is what a data plan allows at least
PAUSES = (1.0, 60.0)  # seconds before the first and, at most, the later tries after a failure
LOOK = 0.1  # seconds between two looks at a clock that must come to the end of a hole

Records = np.ndarray[Any, Any]


class Archive(Protocol):
    """What the venue remembers."""

    def trades(self, instrument: Instrument, start: int, end: int) -> Records: ...


class Backfill:
    """Fills the holes of a session's data stream while it runs; those of instruments with bars first.

    What it feeds goes through the inbox as everything else, so a recording holds it. A filling that fails is tried again, after
    longer and longer pauses; until it succeeds the bars stay flagged GAP.
    """

    def __init__(
        self,
        session: Session,
        shell: LiveShell,
        archive: Archive,
        *,
        holes: Holes | None = None,
        pace: float = PACE,
        pauses: tuple[float, float] = PAUSES,
    ) -> None:
        self.holes = holes or Holes()
        self.failures = 0  # questions that the venue did not answer
        self._session, self._shell, self._archive = session, shell, archive
        self._pace, self._pauses = pace, pauses
        self._begun = False
        self._news = asyncio.Event()
        self.halts = Halts(lambda: session.market.refs)
        self.holes.on_loss, self.holes.doubts = self.halts.lost, lambda: bool(self.halts.doubted)
        shell.screen = self.holes.screen
        shell.heard = self._heard
        shell.inbox.passed = self.holes.passed
        shell.watchers.append(self._hear)

    async def run(self) -> None:
        """Fill until cancelled."""
        pause = self._pauses[0]
        while True:
            hole = await self._next()
            instrument = self._session.instruments[hole.instrument]
            try:
                trades = await _in_thread(self._archive, instrument, hole)
            except Exception as e:  # whatever it is, the session goes on, and the bars stay flagged
                self.failures += 1
                log.warning("%s: trades missed by the stream were not filled (%s); next try in %.1f s", instrument.symbol, e, pause)
                await asyncio.sleep(pause)
                pause = min(pause * 2, self._pauses[1])
                continue
            pause = self._pauses[0]
            self._feed(instrument, hole, trades)
            await asyncio.sleep(self._pace)

    async def _next(self) -> Hole:
        while True:
            now = self._shell.now().venue
            if self._session.running and not self._begun:
                self._begun = True
                self.holes.begin(self._shell.known_from)
            hole = self.holes.due(now, self._rank) if self._begun else None
            if hole is not None:
                return hole
            if self.holes.next_end:
                await asyncio.sleep(LOOK)
            else:
                self._news.clear()
                await self._news.wait()

    def _rank(self, instrument: int) -> int:
        return 0 if self._session.intervals(instrument) else 1

    def _feed(self, instrument: Instrument, hole: Hole, trades: Records) -> None:
        shell, before = self._shell, self.holes.filled
        records = self.holes.fill(hole, trades, shell.now().venue)
        shell.handle_market(records)
        self._heard(records)
        filled = self.holes.filled - before
        self._session.counts["backfilled"] += filled
        if filled:
            seconds = (hole.end - hole.start) / 1e9
            text = (
                f"{instrument.symbol}: {filled} trades that the stream did not tell, of {seconds:.1f} s, were filled from history"
            )
            shell.alarm(Alarm(severity="info", code="BACKFILLED", text=text))
        else:
            log.info("%s: the stream's loss missed no trade", instrument.symbol)

    def _heard(self, records: Records) -> None:
        self.holes.heard(records)
        if self.halts.doubted and len(resumed := self.halts.heard(records)):
            self._shell.handle_market(resumed)
            for number in resumed["instrument"].tolist():
                text = (
                    f"{self._session.instruments[number].symbol} trades: the end of its halt was not told while the stream was away"
                )
                self._shell.alarm(Alarm(severity="info", code="RESUMED", text=text))

    def _hear(self, event: Event) -> None:
        if isinstance(event, StreamState) and event.stream == "data" and event.up:
            self.holes.up(self._shell.now().venue)
            self._news.set()


async def _in_thread(archive: Archive, instrument: Instrument, hole: Hole) -> Records:
    """Ask in a thread that nobody waits for at the end of a session: a venue may take minutes to refuse."""
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[Records] = loop.create_future()

    def give(trades: Records | None, error: Exception | None) -> None:
        if answer.done():  # cancelled
            return
        if error is not None:
            answer.set_exception(error)
        elif trades is not None:
            answer.set_result(trades)

    def ask() -> None:
        trades, error = None, None
        try:
            trades = archive.trades(instrument, hole.start, hole.end)
        except Exception as e:
            error = e
        try:
            loop.call_soon_threadsafe(give, trades, error)
        except RuntimeError:  # the loop has ended
            log.debug("the history of %s came after the session's end", instrument.symbol)

    threading.Thread(target=ask, name="backfill", daemon=True).start()
    return await answer
