"""A strategy that raised is called no more in its life, and enters nothing in any life until a human says so."""

from typing import TYPE_CHECKING

from tests.faults.kernel import SECOND

from pyrt._core.types import Side
from pyrt.model import Intended

if TYPE_CHECKING:
    from tests.faults.world import Simulation

KEPT = SECOND  # after which what the process said of it is on the disk, whatever it waits for


class Mistakes:
    """Which strategies raised."""

    def __init__(self, sim: "Simulation") -> None:
        self._sim = sim
        self._raised: dict[str, int] = {}  # name -> when, in the process that lives
        self._barred: set[str] = set()

    def raised(self, name: str) -> None:
        """Its callback raised, in the process that lives."""
        self._raised.setdefault(name, self._sim.kernel.now)

    def opened(self) -> None:
        """A human let them all enter again."""
        self._raised.clear()
        self._barred.clear()

    def ended(self) -> None:
        """A process is gone: what it had the time to keep holds in the next one."""
        if not self._sim.oracle.failed_at:
            self._barred |= {name for name, at in self._raised.items() if self._sim.kernel.now > at + KEPT}
        self._raised.clear()

    def decided(self, fact: Intended) -> None:
        """An order was approved."""
        session = self._sim.shell.session if self._sim.shell is not None else None
        if session is None or fact.intent.side is not Side.BUY or fact.replaces or fact.intent.strategy not in session.strategies:
            return
        if (name := session.strategies[fact.intent.strategy].name) in self._barred:
            self._sim.violate("20", f"{name} raised, nobody opened its latch, and order {fact.number} is an entry of it")
