"""The weather of a history: which faults may strike and how often, when processes die, what others do."""

import random
from typing import TYPE_CHECKING

import msgspec
from tests.faults.kernel import MS, SECOND
from tests.faults.themes import OTHERS, rare

from pyrt.execution import Settings, past
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
UPDATES = ("update lost", "update doubled", "update late", "update reordered")
STREAMS = ("stream reset", "stream half open", "stream silent", "stream closed", "garbage frame")
THEMES = ("net",) * 4 + ("streams", "updates", "disk", "storm", "others", "kill", "strategy", "calm") + ("all",) * 3


class Plan(msgspec.Struct, kw_only=True):
    """One kind of weather."""

    chances: dict[str, float] = {}  # of a fault, at each occasion
    events: dict[str, int] = {}  # how often a fault strikes at instants of its own
    chaos: int = 20 * SECOND
    lives: float = 200.0  # mean number of points in a life; 0 = it does not die
    pause: int = 1000  # ms between a death and the next start, at most as a rule
    power: float = 0.5  # share of deaths that are power cuts
    pace: float = 1.0  # s between two decisions of a strategy
    two: bool = False
    exits: float = 0.0  # share of entries that have exits, and of positions that get some behind them
    resting: float = 0.0  # share of entries that are small and far from the market, so that many work at once
    require_exit: bool = False  # a position without a stop gets one
    nested: float = 0.0  # chance that a life is so short that it dies in recovery
    second_leg: str = "held"  # how the venue shows the stop of a pair
    rate_limit: int = 600
    preempt: float = 0.0
    latency: Latency = Latency()
    settings: Settings = Settings()
    keep: int = 60  # facts after which a snapshot is taken
    unheard: int = 90 * SECOND  # how long the venue keeps the session of a machine that lost its power
    page: int = 500  # rows of a page of orders or fills
    told: bool = True  # answers name the budget and what is left of it
    hasty: bool = False  # risk does not hold back how often orders leave
    kept: int = past.KEPT  # orders that are over and still whole
    rows: int = 1 << 12  # of those that were let go: more than a history has orders, and no memory that a life must touch
    night: int = -1  # which of hours.NIGHTS the world lives through, with the exchange's hours in force

    @classmethod
    def of(cls, rng: random.Random) -> "Plan":
        """The weather of a seed: a theme, its strength, and how long lives are."""
        plan = cls()
        theme = rng.choice(THEMES)
        fierce = rng.choice((0.02, 0.05, 0.1, 0.2))
        plan.lives, plan.pause = rng.choice(((20.0, 50), (40.0, 100), (70.0, 100), (120.0, 1000), (300.0, 5000)))
        plan.pace = rng.choice((0.05, 0.15, 0.5))
        plan.two = rng.random() < 0.3
        plan.preempt = rng.choice((0.0, 0.0, 0.01, 0.1))
        plan.rate_limit = rng.choice((60, 200, 600))
        if theme in ("net", "all"):
            plan.chances |= {kind: fierce * rng.random() for kind in REST if rng.random() < 0.5}
        if theme in ("updates", "all"):
            plan.chances |= {kind: rng.choice((0.05, 0.2, 0.5)) for kind in UPDATES if rng.random() < 0.5}
        if theme in ("streams", "all"):
            plan.chances["ws refused"] = rng.choice((0.0, 0.2, 0.5))
            plan.events |= {kind: rng.randrange(1, 5) for kind in STREAMS if rng.random() < 0.5}
        if theme in ("disk", "all"):
            plan.chances |= {"disk error": rng.choice((0.0, 0.002, 0.01)), "slow disk": rng.choice((0.0, 0.01, 0.05))}
        if theme in ("storm", "all"):
            plan.events["storm"] = rng.randrange(1, 4)
        if theme == "others":
            plan.events |= {kind: rng.randrange(1, 4) for kind in OTHERS if rng.random() < 0.5}
        if theme == "kill":
            plan.events["kill"] = 1
        if theme == "strategy":
            plan.chances["strategy raises"] = 0.02
        if theme in ("all", "calm") or rng.random() < 0.3:
            entry, cancel, replace = (rng.randrange(1, rng.choice((MS, 50 * MS, 500 * MS))) for _ in range(3))
            plan.latency = Latency(entry=entry, cancel=cancel, replace=replace)
        if rng.random() < 0.2:
            plan.events["clock step"] = 2
        plan.nested = rng.choice((0.0, 0.3, 0.5))
        if rng.random() < 0.6:
            plan.exits = rng.choice((0.3, 0.6, 0.9))
            plan.require_exit = rng.random() < 0.4
            plan.second_leg = rng.choice(("held", "new"))
        return plan

    def beside(self, seed: int) -> "Plan":
        """What came to the weather later, by the seed's own number: the histories of all others stay as they were."""
        if seed % 3 == 0:
            self.page = 10
        if seed % 7 == 4 and "strategy raises" not in self.chances:
            self.chances["doubled request"] = 0.1
        if seed % 7 == 6 and "strategy raises" not in self.chances:
            self.chances["refusal"] = 0.1
        if seed % 5 == 2:  # an engine that lets go of nearly everything, and another that forgets even that it did
            self.kept, self.rows = 2, 4 if seed % 2 else self.rows
        if seed % 11 == 6:  # a quiet day, but for a stream that says nothing any more
            self.chances, self.events, self.lives = {}, {"stream silent for good": 1}, 0.0
            self.chaos = 70 * SECOND
        if seed % 10 == 9:  # nothing but the adapter's own count keeps to the venue's limit
            self.told, self.hasty = False, True
        if seed % 19 == 7:  # others trade while nobody of us lives, and while a start reads
            self.settings = Settings(history=SECOND)
            self.events, self.pause = {**self.events, "foreign trade": 6}, 6000
            self.chances = {**self.chances, "meanwhile": 0.5}
        if seed % 13 == 6:
            self.events["outage"] = 2
        if seed % 17 == 8:  # a quiet day, but for a stream that loses some of what it should tell
            self.chances, self.events, self.lives = {"update lost": 0.3}, {}, 0.0
            self.pace, self.rate_limit, self.chaos = 0.5, 600, 60 * SECOND
        return rare(self, seed)

    def countdown(self, rng: random.Random) -> int:
        """Points until the process dies; 0 = it does not."""
        if self.lives and rng.random() < self.nested:
            return rng.randrange(1, 40)
        return 1 + int(rng.expovariate(1 / self.lives)) if self.lives else 0

    def rest(self, rng: random.Random) -> int:
        """Ns between a death and the next start."""
        return rng.randrange(10 * MS, self.pause * MS if rng.random() < 0.9 else 6 * SECOND)

    def schedule(self, sim: "Simulation") -> None:
        """Put onto the queue what happens at instants of its own."""
        for kind, times in self.events.items():
            for _ in range(times):
                sim.kernel.later(sim.rng.randrange(min(self.chaos, 20 * SECOND)), sim.strike, kind)
