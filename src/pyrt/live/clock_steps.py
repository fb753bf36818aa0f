"""Whether a measured clock is believed: by one wrong answer of an hour ahead time would stand still for that hour. Pure."""

import logging

from pyrt.clock import SECOND, Now, VenueClock
from pyrt.ports import ClockMeasured

log = logging.getLogger("pyrt")
STEP = 5 * SECOND  # venue ns; a greater difference is believed when a second measurement shows it too


class ClockSteps:
    """Takes small corrections at once, a step from the second measurement on. A clock that is not real time steps as it likes."""

    def __init__(self) -> None:
        self.doubted: VenueClock | None = None  # what one measurement alone says

    def takes(self, told: ClockMeasured, known: VenueClock, now: Now) -> bool:
        """Whether the clock told stands in for the one that is known from now on."""
        shown = told.clock.at(now.mono)
        off, before = abs(shown - now.venue), self.doubted
        self.doubted = None
        if off <= told.uncertainty:
            return False  # it proves nothing
        twice = before is not None and abs(before.at(now.mono) - shown) <= STEP
        if off <= STEP or twice or not known.rate == told.clock.rate == 1.0:
            return True
        self.doubted = told.clock
        log.warning("the venue's clock was measured %.0f s off ours: it is set when a second measurement says so", off / SECOND)
        return False
