"""Deaths at one point after the other: each at a state of disk, venue and net at which no process of the history died before.

A step at which nothing changed that outlives the process (an append not yet written, an answer read) is the same death as the step
before it, so lives are counted in changes. One life in two ends within its recovery. After some deaths the faults stop: the next
start must recover, and everything must come to be as the venue has it.
"""

import random

from tests.faults.kernel import SECOND, World
from tests.faults.plan import REST, UPDATES, Plan
from tests.faults.themes import OTHERS, rare
from tests.faults.world import Simulation, Verdict

from pyrt.execution import Settings

ROUNDS = 2  # judgements in a history
DEATHS = (6, 8, 12, 16)  # before a judgement
LONGEST = 20 * SECOND  # of a round
RECOVERY = 25  # changes in which a recovery ends, as a rule
LIFE = 50  # the longest life, in changes
HARMLESS = frozenset((*REST, *UPDATES, "ws refused", "slow disk", "disk error"))


def weather(seed: int, rng: random.Random) -> Plan:
    """Every other history is without faults but death; the weather of others leaves out what closes latches for good."""
    plan = Plan.of(rng)
    if seed % 2:
        plan.chances, plan.events = {}, {}
    plan.chances = {kind: chance for kind, chance in plan.chances.items() if kind in HARMLESS}
    plan.events = {kind: times for kind, times in plan.events.items() if kind not in (*OTHERS, "kill")}
    plan.pace = rng.choice((0.03, 0.05, 0.1))
    plan.rate_limit = 2_000  # so many starts in a minute are no matter of the budget
    plan.page = rng.choice((10, 500))
    plan.pause = rng.choice((50, 50, 500, 3000))
    plan.keep = rng.choice((15, 60))
    plan.unheard = rng.choice((SECOND // 10, SECOND // 10, SECOND, 90 * SECOND))
    if rng.random() < 0.8:  # what is in doubt is settled sooner: more of a history lies behind it
        plan.settings = Settings(deadline=SECOND, settle=SECOND)
    plan.lives, plan.nested = 1.0, 0.0
    return rare(plan, seed)


class Points(Simulation):
    """A history of many deaths."""

    def __init__(self, seed: int, mode: str, plan: Plan | None, trace: bool) -> None:
        super().__init__(seed, mode, plan or weather(seed, random.Random(seed ^ 0x90175)), trace)
        self._seen = World.changes
        self._left = 0  # changes until this life ends
        self._dying = random.Random(seed ^ 0xDEAD)

    def boot(self) -> None:
        """Start the process, and say how long it lives."""
        super().boot()
        self._left, self.countdown = self._life_of() if self.faulty else 0, 0

    def _life_of(self) -> int:
        dying = self._dying
        return 1 + dying.randrange(RECOVERY if dying.random() < 0.5 else LIFE)

    def point(self, name: str) -> None:
        """A step: a new one where something changed that outlives the process."""
        super().point(name)
        if World.changes != self._seen:
            self._seen = World.changes
            if self._left and self.kernel.task is not None:
                self._left -= 1
                if not self._left:
                    self.trace("crash", name)
                    self.verdict.at[name] += 1
                    self.crash(name)

    def run(self) -> Verdict:
        """Rounds of deaths, each with its judgement."""
        self.kernel.later(0, self._market)
        self.boot()
        for _ in range(ROUNDS):
            if not self._round():
                break
        else:
            self._end_in_order()
        return self._end()

    def _round(self) -> bool:
        self.faulty, self.idle, self._left = True, False, self._life_of()
        if self.verdict.crashes:
            self.verdict.at["at rest"] += 1
            self.crash("at rest")
        self.plan.schedule(self)
        most = self.verdict.crashes + self._dying.choice(DEATHS)
        wrong = self.verdict.violations
        self.kernel.run(self.kernel.now + LONGEST, lambda: bool(wrong) or (self.verdict.crashes >= most and not self.machine.dead))
        self._left = 0
        return not wrong and self._healed()
