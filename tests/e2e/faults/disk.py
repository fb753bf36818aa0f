"""The n-th write or sync of the journal fails: no order leaves without its intent on disk, and what works is cancelled (F5)."""

import errno
import shutil
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.e2e.faults.kills import Tally, kind_of
from tests.e2e.faults.processes import Calls, What, Zygote
from tests.e2e.faults.scenario import life

JOURNAL = "/journal/"


def fail_at(zygote: Zygote, directory: Path, n: int, what: What, mask: Calls, number: int, mutant: str = "") -> Tally:
    """One trial: a life whose n-th call on the journal fails; then a start on a disk that works."""
    tally = Tally(points=1)
    with life(zygote, directory) as it:
        trace, it.mutant = directory / "trace", mutant
        run = it.start(arm=it.arm(what, n, mask=mask, only=JOURNAL, error=number, trace=trace))
        status = run.wait()
        told = trace.read_text().splitlines()
        lines = [line for line in told if not line.startswith("0 ")]
        where = f"{what.name} {errno.errorcode[number]} at {n}"
        if len(lines) < n:
            tally.unharmed += 1
        else:
            tally.at[kind_of(lines[n - 1])] += 1
            where += f" ({lines[n - 1]})"
            tally.violations += [f"{where}: {fault}" for fault in _ending(it.get, run.log, status, lines, n)]
        tally.violations += [f"{where}: then {fault}" for fault in it.recover(sweep=False)]
    if not tally.violations:
        shutil.rmtree(directory)
    return tally


def _ending(get, log: str, status: int, lines: list[str], n: int) -> list[str]:  # type: ignore[no-untyped-def]
    """What is wrong with how a session with a broken journal ended."""
    told = []
    if "Traceback" in log:
        told.append(f"a traceback: {log[-2500:]}")
    segment = ".journal " in lines[n - 1]
    if status not in ((1, 2) if segment else (0, 1, 2)):
        told.append(f"ended with {status}: {log[-1500:]}")
    if status and not any(line.startswith("pyrt: ") for line in log.splitlines()):
        told.append(f"nothing says why it ended with {status}: {log[-1500:]}")
    if left := get("/v2/orders?status=open"):
        told.append(f"{len(left)} orders were left working: {log[-1500:]}")
    return told


def sweep(zygotes: Sequence[Zygote], directory: Path, points: Iterable[int], what: What, mask: Calls, number: int) -> Tally:
    """Fail at each of the points, side by side on the zygotes."""
    begun, total, todo = time.monotonic(), Tally(), list(points)

    def work(worker: int) -> Tally:
        mine = Tally()
        for n in todo[worker :: len(zygotes)]:
            mine.add(fail_at(zygotes[worker], directory / f"{what.name}{number}-{n}", n, what, mask, number))
        return mine

    with ThreadPoolExecutor(len(zygotes)) as pool:
        for tally in pool.map(work, range(len(zygotes))):
            total.add(tally)
    total.seconds = time.monotonic() - begun
    return total


def counted(lines: list[str]) -> Counter[str]:
    """Calls of a trace by kind."""
    return Counter(kind_of(line) for line in lines)
