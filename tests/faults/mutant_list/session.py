"""Broken versions of the live session."""

from tests.faults.mutant_list.mutant import CALM, HEALED, QUICK, Mutant, one, orders

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
        "max(self._venue, self.clock.at(mono))",
        "max(self._venue, time.time_ns())",
        {**CALM, "events": {"clock step": 3}},
    ),
)
