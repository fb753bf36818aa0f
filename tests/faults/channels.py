"""Two channels tell of each fill: where REST works, one that the stream lost is booked all the same, within a bound."""

from typing import TYPE_CHECKING

from tests.faults.kernel import SECOND
from tests.faults.plan import STREAMS, UPDATES
from tests.faults.venue import MONDAY

if TYPE_CHECKING:
    from tests.faults.world import Simulation

# Each second it is asked for what nothing proved for 3 s; then the fills are read, page by page.
BOUND = 5 * SECOND
LASTS = 15 * SECOND  # how long a fault of REST may keep a request: deadline and settle
# What does not hinder REST, or is no fault.
_SEEN = ("406", "worst case", "exits", "raced", "rejected", "F32 replay", "healed", "ended without a journal")
HARMLESS = frozenset((*UPDATES, *STREAMS, "ws refused", "clock step", *_SEEN))


class Channels:
    """Looks at the venue's fills now and then: each must be booked when nothing hindered REST for so long."""

    def __init__(self, sim: "Simulation") -> None:
        self.sim = sim
        self._judged = 0  # of the venue's fills
        self._hindered = 0  # until this instant

    def struck(self, kind: str) -> None:
        """A fault of a kind struck."""
        if kind not in HARMLESS:
            self._hindered = self.sim.kernel.now + LASTS

    def look(self) -> None:
        """Judge the fills that are old enough."""
        sim, now = self.sim, self.sim.kernel.now
        if sim.meddled:
            return
        if not sim.is_trading or sim.venue.crowded:
            self._hindered = max(self._hindered, now)
        if now < self._hindered + BOUND:
            return
        state = sim.venue.exchange.state
        while self._judged < len(state.fills):
            fill = state.fills[self._judged]
            age = now + MONDAY - fill.ts
            if age < BOUND:
                break
            row = state.rows[fill.number - 1]
            if (row.id, fill.cum) not in sim.oracle.fills:
                sim.violate("12", f"a fill of {row.id} up to {fill.cum} is not booked after {age / 1e9:.1f} s in which REST worked")
            self._judged += 1
