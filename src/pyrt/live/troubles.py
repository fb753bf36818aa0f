"""What keeps a session from trading and closes no latch: a stream that is down, a venue that shows nothing, a recovery without end.

Each is an alarm when it has lasted, once, and one word when it is over; until then the heartbeat of the alerts is silent.
"""

import asyncio
import time
from typing import NamedTuple

from pyrt.calendar import Calendar
from pyrt.live.shell import LiveShell
from pyrt.model import AssetClass, Instrument
from pyrt.ports import Alarm, Event, QueryFailed, StreamState, VenueSnapshot
from pyrt.session import Session

LOOK = 1.0  # s between two looks
STILL = 10.0  # s between two looks from which on nobody looked
STEADY = 30.0  # s that a stream stays up until it is back: one that comes and goes is one trouble
RECOVERY, VENUE = "recovery", "venue"  # beside the names of the streams
CODES = {
    RECOVERY: ("NOT_RECOVERED", "RECOVERED"),
    VENUE: ("VENUE_AWAY", "VENUE_BACK"),
    "data": ("DATA_AWAY", "DATA_BACK"),
    "trading": ("UPDATES_AWAY", "UPDATES_BACK"),
}
OVER = frozenset(over for _, over in CODES.values())
_MEANS = {
    RECOVERY: "recovery has not ended: nothing is traded, and nobody knows what works at the venue",
    VENUE: "the venue gave no snapshot of its books: orders, fills and positions are not compared",
    "data": "the data stream has been down: no decision has fresh prices",
    "trading": "the stream of order updates has been down: fills are known late, by asking",
}


class Seen(NamedTuple):
    """What a look finds beside the troubles themselves."""

    recovered: bool
    ought: bool  # the session ought to trade now
    why: str  # what is known of it


class Troubles:
    """Pure: times are seconds of one clock that never goes back. patience: how long something lasts until it is a trouble.

    every: seconds from a snapshot in which the next one is due; without it nobody is missed.
    """

    def __init__(self, patience: float, every: float, now: float) -> None:
        self.standing: dict[str, str] = {}  # what was alarmed and is not over -> the alarm's code
        self._patience, self._every = patience, every
        self._steady = min(STEADY, patience / 4)
        self._since = {RECOVERY: now}
        self._fine: dict[str, float] = {}  # since when what was in trouble is not
        self._snapshot = self._looked = now

    def stream(self, name: str, up: bool, now: float) -> None:
        """A stream went up or down, or said again where it is."""
        if not up:
            self._since.setdefault(name, now)
            self._fine.pop(name, None)
        elif name in self._since:
            self._fine.setdefault(name, now)

    def query(self, whole: bool, now: float) -> None:
        """A query of the venue's books ended: with a snapshot, or without."""
        if whole:
            self._snapshot = now
            if VENUE in self._since:
                self._fine[VENUE] = now
        else:
            self._since.setdefault(VENUE, now)
            self._fine.pop(VENUE, None)

    def look(self, now: float, seen: Seen) -> list[Alarm]:
        """What to tell now."""
        if now - self._looked > STILL:  # this process stood still, or the machine: nobody could answer it
            self._snapshot = max(self._snapshot, now - self._every)
        self._looked = now
        if seen.recovered and RECOVERY in self._since:
            self._fine.setdefault(RECOVERY, now)
        if now > self._snapshot + self._every:  # no query ended at all
            self._since.setdefault(VENUE, self._snapshot + self._every)
        told = []
        for name, fine in list(self._fine.items()):
            if name in (RECOVERY, VENUE) or now - fine >= self._steady:
                lasted = fine - self._since.pop(name)
                del self._fine[name]
                if self.standing.pop(name, ""):
                    told.append(Alarm(severity="info", code=CODES[name][1], text=f"over after {lasted:.0f} s"))
        for name, since in self._since.items():
            # Until recovery has ended what is missing is a part of it; it is asked for at any hour: somebody began the session.
            judged = name == RECOVERY if not seen.recovered else seen.ought
            if judged and name not in self.standing and name not in self._fine and now - since >= self._patience:
                self.standing[name] = CODES[name][0]
                why = f" ({seen.why})" if seen.why else ""
                told.append(Alarm(severity="critical", code=CODES[name][0], text=f"for {now - since:.0f} s {_MEANS[name]}{why}"))
        return told


class Vigil:
    """Looks after a session's troubles while it runs, and alarms. hours: of the exchange, None = the venue never closes."""

    def __init__(self, shell: LiveShell, session: Session, *, patience: float, every: float, hours: Calendar | None) -> None:
        self._shell, self._session, self._hours = shell, session, hours
        self._pace = min(LOOK, patience / 10)
        self._troubles = Troubles(patience, every, time.monotonic())
        shell.watchers.append(self._hear)

    @property
    def standing(self) -> str:
        """The codes of what was alarmed and is not over."""
        return ", ".join(self._troubles.standing.values())

    async def run(self, recovered: asyncio.Event, stopping: asyncio.Event) -> None:
        """Look until the session ends: what is taken down then is no trouble."""
        while not stopping.is_set():
            seen = Seen(recovered.is_set(), self._ought(), missing(self._shell))
            for alarm in self._troubles.look(time.monotonic(), seen):
                self._shell.alarm(alarm)
            await asyncio.sleep(self._pace)

    def _ought(self) -> bool:
        session, venue = self._session, self._shell.now().venue
        traded = [session.instruments[s] for strategy in session.strategies.values() for s in strategy.symbols]
        return trades_at(venue, self._hours, traded, by_night=session.risk.limits.overnight)

    def _hear(self, event: Event) -> None:
        now = time.monotonic()
        if isinstance(event, StreamState) and event.stream in CODES:
            self._troubles.stream(event.stream, event.up, now)
        elif isinstance(event, VenueSnapshot | QueryFailed):
            self._troubles.query(isinstance(event, VenueSnapshot), now)


def trades_at(venue: int, hours: Calendar | None, traded: list[Instrument], *, by_night: bool | None) -> bool:
    """Whether something of it trades at a venue's time, ns, from the pre-market to after hours; coins always do."""
    if hours is None or any(i.asset_class == AssetClass.CRYPTO for i in traded):
        return True
    return hours.is_open(venue, extended=True) or (bool(by_night) and hours.overnight_at(venue) is not None)


def missing(shell: LiveShell) -> str:
    """What a recovery waits for, as far as it is known."""
    streams = [f"the {s.stream} stream is down ({s.text})" for s in shell.states.values() if not s.up]
    return "; ".join([*streams, *([f"a query failed ({shell.query})"] if shell.query else [])])
