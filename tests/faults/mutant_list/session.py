"""Broken versions of the live session."""

from tests.faults.mutant_list.mutant import DEATHS, HEALED, QUICK, SAFE, Mutant, one, orders

_SHELL = "pyrt.live.shell"

SESSION: tuple[Mutant, ...] = (
    one(
        "timers-lost",
        "a timer that fires takes the others with it",
        "pyrt.live.timers",
        "                del self._current[key]\n",
        "                self._current.clear()\n",
        orders(QUICK, lost_answer=0.3),
        HEALED,
    ),
    one(
        "wall-clock",
        "time is this machine's, not the venue's",
        _SHELL,
        "        self.clock = clock\n",
        "        self.clock = VenueClock(epoch=time.time_ns(), origin=time.monotonic_ns())\n",
        DEATHS,
        SAFE,
    ),
)
