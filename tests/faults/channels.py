"""Two channels tell of each fill: where REST works, one that the stream lost is seen, and booked, each within a bound."""

from typing import TYPE_CHECKING, Any

from tests.faults.kernel import SECOND
from tests.faults.plan import STREAMS, UPDATES
from tests.faults.venue import VenueClock

from pyrt._core.types import to_units
from pyrt.ports import LookupResult, VenueSnapshot

if TYPE_CHECKING:
    from tests.faults.world import Simulation

SEEN = 5 * SECOND  # each second it is asked for what nothing proved for 3 s
BOOKED = 10 * SECOND  # then the fills are read, page by page, behind other requests
LASTS = 15 * SECOND  # how long a fault of REST may keep a request: deadline and settle
# What does not hinder REST, or is no fault.
_SEEN = ("cancel all", "406", "worst case", "exits", "raced", "rejected", "F32 replay", "healed", "ended without a journal")
HARMLESS = frozenset((*UPDATES, *STREAMS, "ws refused", "clock step", *_SEEN))


class Channels:
    """Looks at the venue's fills now and then: each must be booked when nothing hindered REST for so long."""

    def __init__(self, sim: "Simulation") -> None:
        self.sim = sim
        self._judged = {SEEN: 0, BOOKED: 0}  # of the venue's fills
        self._shown: dict[str, int] = {}  # venue id -> what an answer of REST showed as filled
        self._hindered = 0  # until this instant

    def struck(self, kind: str) -> None:
        """A fault of a kind struck."""
        if kind not in HARMLESS:
            self._hindered = self.sim.kernel.now + LASTS

    def heard(self, event: Any) -> None:
        """An answer of REST reached the session."""
        orders: tuple[Any, ...] = ()
        if isinstance(event, LookupResult) and event.order is not None:
            orders = (event.order,)
        elif isinstance(event, VenueSnapshot):
            orders = event.orders
        for order in orders:
            self._shown[order.id] = max(self._shown.get(order.id, 0), to_units(order.filled_qty or "0"))

    def look(self) -> None:
        """Judge the fills that are old enough."""
        sim, now = self.sim, self.sim.kernel.now
        if sim.meddled:
            return
        spent = 2 * len(sim.oracle.sends) > sim.rate_limit  # by our own sliding count, when the venue has begun a new minute
        if not sim.is_trading or sim.venue.crowded or spent:
            self._hindered = max(self._hindered, now)
        for bound in (SEEN, BOOKED):
            if now >= self._hindered + bound:
                self._judge(bound)

    def _judge(self, bound: int) -> None:
        sim, now = self.sim, self.sim.kernel.now
        state = sim.venue.exchange.state
        while self._judged[bound] < len(state.fills):
            fill = state.fills[self._judged[bound]]
            age = now + VenueClock.begin - fill.ts
            if age < bound:
                break
            row = state.rows[fill.number - 1]
            known = (row.id, fill.cum) in sim.oracle.fills
            if not known and (bound == BOOKED or self._shown.get(row.id, 0) < fill.cum):
                what = "booked" if bound == BOOKED else "seen"
                sim.violate("12", f"a fill of {row.id} up to {fill.cum} is not {what} after {age / 1e9:.1f} s in which REST worked")
            self._judged[bound] += 1
