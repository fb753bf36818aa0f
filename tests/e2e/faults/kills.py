"""A session is killed at its n-th system call, for every n; each time it starts again, and the venue's truth is compared."""

import shutil
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from tests.e2e.faults.processes import Calls, What, Zygote
from tests.e2e.faults.scenario import life

ORDER_PATH = "/journal,risk.page,control"  # what a kill may tear there matters; the rest can be made again
REBUILDABLE = "sqlite,recording"
SWEPT = 5  # every so many-th restart ends in order, with its sweep


@dataclass
class Tally:
    """What a sweep did and found."""

    points: int = 0
    unharmed: int = 0  # the life was over before its n-th call
    at: Counter[str] = field(default_factory=Counter)  # call and kind of file -> kills
    violations: list[str] = field(default_factory=list)
    seconds: float = 0.0

    def add(self, other: "Tally") -> None:
        self.points += other.points
        self.unharmed += other.unharmed
        self.at += other.at
        self.violations += other.violations

    def __str__(self) -> str:
        kinds = ", ".join(f"{n} {name}" for name, n in self.at.most_common())
        late = f"{self.unharmed} after the end"
        return f"{self.points} points ({late}), {len(self.violations)} violations, {self.seconds:.0f} s; {kinds}"


def traced(zygote: Zygote, directory: Path, only: str, mask: Calls = Calls.ALL) -> list[str]:
    """The calls of one undisturbed life."""
    with life(zygote, directory) as it:
        trace = directory / "trace"
        run = it.start(arm=it.arm(What.TRACE, only=only, mask=mask, trace=trace))
        assert run.wait() == 0, run.log
        assert not (told := it.violations()), told
        lines = [line for line in trace.read_text().splitlines() if not line.startswith("0 ")]
    shutil.rmtree(directory)
    return lines


def kind_of(line: str) -> str:
    """`fdatasync journal`: the call and what it was on."""
    _, call, where = line.split()[:3]
    return f"{call} {where.strip('/').split('/')[0]}"


def kill_at(
    zygote: Zygote, directory: Path, n: int, what: What, only: str, *, depth: int = 1, live: bool = False, mutant: str = ""
) -> Tally:
    """One trial: a life that is killed, `depth` - 1 recoveries that are killed at the same call, a recovery that is not."""
    tally = Tally(points=1)
    with life(zygote, directory) as it:
        trace, it.mutant = directory / "trace", mutant
        for _ in range(depth):
            run = it.start(arm=it.arm(what, n, only=only, trace=trace))
            status = run.wait()
            last = trace.read_text().splitlines()[-1]
            if status == -9:
                tally.at[kind_of(last)] += 1
            elif status != 0:
                tally.violations.append(f"{what.name} {n} ({last}): ended with {status}: {run.log[-1500:]}")
        tally.unharmed = not tally.at
        told = it.recover(live=live, sweep=n % SWEPT == 0)
        tally.violations += [f"{what.name} {n} ({last}): {fault}" for fault in told]
    if not tally.violations:
        shutil.rmtree(directory)
    return tally


def sweep(
    zygotes: Sequence[Zygote], directory: Path, points: Iterable[int], what: What, only: str = ORDER_PATH, *, depth: int = 1
) -> Tally:
    """Kill at each of the points, side by side on the zygotes; every third restart lives a whole life again."""
    begun, total = time.monotonic(), Tally()
    todo = list(points)

    def work(number: int) -> Tally:
        mine = Tally()
        for n in todo[number :: len(zygotes)]:
            mine.add(kill_at(zygotes[number], directory / f"{what.name}{n}", n, what, only, depth=depth, live=n % 3 == 0))
        return mine

    with ThreadPoolExecutor(len(zygotes)) as pool:
        for tally in pool.map(work, range(len(zygotes))):
            total.add(tally)
    total.seconds = time.monotonic() - begun
    return total
