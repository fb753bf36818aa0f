"""The weather of a history: which faults may strike and how often, when processes die, what others do."""

import random
from typing import TYPE_CHECKING

import msgspec
from tests.faults.kernel import MS, SECOND

from pyrt.execution import Settings
from pyrt.venues.sim.exchange.travel import Latency

if TYPE_CHECKING:
    from tests.faults.world import Simulation

REST = (
    "lost request",
    "lost answer",
    "held",
    "error before",
    "error after",
    "429",
    "truncated",
    "html",
    "refused",
    "slow",
    "reset",
)


class Plan(msgspec.Struct, kw_only=True):
    """One kind of weather."""

    chances: dict[str, float] = {}  # of a fault, at each occasion
    chaos: int = 20 * SECOND
    lives: float = 200.0  # mean number of points in a life; 0 = it does not die
    power: float = 0.5  # share of deaths that are power cuts
    pace: float = 1.0  # s between two decisions of a strategy
    two: bool = False
    rate_limit: int = 600
    preempt: float = 0.0
    latency: Latency = Latency()
    settings: Settings = Settings()
    drops: int = 0  # times that a stream is cut

    @classmethod
    def of(cls, rng: random.Random) -> "Plan":
        """The weather of a seed."""
        plan = cls()
        fierce = rng.choice((0.0, 0.02, 0.05, 0.1, 0.2))
        plan.chances = {kind: fierce * rng.random() for kind in REST if rng.random() < 0.5}
        plan.lives = rng.choice((25.0, 60.0, 120.0, 250.0))
        plan.pace = rng.choice((0.2, 0.5, 1.0))
        plan.two = rng.random() < 0.3
        return plan

    def countdown(self, rng: random.Random) -> int:
        """Points until the process dies; 0 = it does not."""
        return 1 + int(rng.expovariate(1 / self.lives)) if self.lives else 0

    def rest(self, rng: random.Random) -> int:
        """Ns between a death and the next start."""
        return rng.randrange(10 * MS, rng.choice((100 * MS, SECOND, 5 * SECOND)))

    def schedule(self, sim: "Simulation") -> None:
        """Put onto the queue what happens at instants of its own."""
