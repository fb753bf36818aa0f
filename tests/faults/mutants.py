"""The harness must be able to fail: it is run against broken versions of our own code until it finds each of them.

python -m tests.faults.mutants [--only NAME ...] [--seeds N] [--known] [--check] [--jobs N] [--json FILE]

Each mutant lives in an interpreter of its own. Its known seed comes first (tests/seeds/mutants.txt), then seeds from 0 up, in the
seed's own weather or in one that is named with the mutant. Exit status 1 when one is not caught.
"""

import argparse
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from tests.faults.mutant_list import MUTANTS, Mutant
from tests.faults.patching import Misfit, install, patched

ROOT = Path(__file__).parents[2]
SEEDS = ROOT / "tests" / "seeds" / "mutants.txt"
PATIENCE = 120  # s of a history that does not end
SWEPT = 10  # histories after which the dead are thrown away: nothing collects them while one runs
# What the oracle may say; a mutant trips at least one of each (docs/reliability.md shows which).
INVARIANTS = (
    "1",
    "2",
    "3",
    "3/5",
    "4",
    "5",
    "6",
    "7",
    "8",
    "9",
    "10",
    "11",
    "12",
    "15",
    "17",
    "18",
    "20",
    "S9",
    "exits",
    "tables",
    "-",
)


def known() -> dict[str, tuple[str, int]]:
    """Mutant -> mode and seed that caught it."""
    rows = [line.split() for line in SEEDS.read_text().splitlines() if line and not line.startswith("#")]
    return {name: (mode, int(seed)) for name, mode, seed in rows}


def misfits() -> list[str]:
    """Mutants that do not fit the source as it is."""
    found = []
    for mutant in MUTANTS:
        for module in {patch.module for patch in mutant.patches}:
            path = ROOT / "src" / Path(*module.split("."))
            path = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
            try:
                theirs = [patch for patch in mutant.patches if patch.module == module]
                compile(patched(theirs, path.read_text()), str(path), "exec")
            except (Misfit, OSError, SyntaxError) as e:
                found.append(f"{mutant.name}: {e}")
    return found


# ------------------------------------------------------------------------------------- one mutant, in its own process
def _histories(mutant: Mutant, seeds: int, first: tuple[str, int] | None) -> Iterator[tuple[str, int]]:
    if first is not None:
        yield first
    for seed in range(seeds):
        for mode in mutant.modes:
            if (mode, seed) != first:
                yield mode, seed


def _plan(weather: dict[str, Any]) -> Any:
    """The weather of a mutant; None for the seed's own."""
    from tests.faults.plan import Plan

    from pyrt.execution import Settings
    from pyrt.venues.sim.exchange.travel import Latency

    if not weather:
        return None
    words = {name: dict(value) if isinstance(value, dict) else value for name, value in weather.items()}
    short = {"deadline": 10**9, "settle": 10**9} if words.pop("quick", False) else {}  # they make more of what happens after them
    if "history" in words:
        short["history"] = words.pop("history")
    words["settings"] = Settings(**short)
    if "travel" in words:
        words["latency"] = Latency(**dict.fromkeys(("entry", "cancel", "replace"), words.pop("travel")))
    return Plan(**words)


def child(mutant: Mutant, seeds: int, first: tuple[str, int] | None) -> dict[str, Any]:
    """Run histories of the mutated system until one is wrong."""
    hook = install(mutant.patches)
    from tests.faults.installed import sweep
    from tests.faults.world import run

    hook.check()
    begun, tried, words = time.monotonic(), 0, ""
    mode, seed = "", -1
    for mode, seed in _histories(mutant, seeds, first):
        tried += 1
        signal.alarm(PATIENCE)
        try:
            words = next(iter(run(seed, mode=mode, plan=_plan(mutant.weather)).violations), "")
        except TimeoutError:
            words = f"invariant - : the history did not end within {PATIENCE} s"
        except Exception as e:  # the harness itself falls: nobody overlooks that
            words = f"invariant - : {type(e).__name__}: {e}"
        signal.alarm(0)
        if words:
            break
        if tried % SWEPT == 0:
            sweep()
    match = re.match(r"invariant (\S+)", words)
    return {
        "mutant": mutant.name,
        "where": sorted({p.module for p in mutant.patches}),
        "what": mutant.what,
        "caught": bool(words),
        "invariant": match[1] if match else "",
        "said": words,
        "mode": mode if words else "",
        "seed": seed if words else None,
        "histories": tried,
        "seconds": round(time.monotonic() - begun, 1),
    }


def control() -> list[str]:
    """The same seeds in the same weather without any mutant: what is said here says nothing of a mutant."""
    from tests.faults.world import run

    by_name = {mutant.name: mutant for mutant in MUTANTS}
    found = []
    for name, (mode, seed) in known().items():
        found += [f"{name}: {words}" for words in run(seed, mode=mode, plan=_plan(by_name[name].weather)).violations[:1]]
    return found


def _too_long(*_: object) -> None:
    raise TimeoutError


# ---------------------------------------------------------------------------------------------------- all of them
def judge(mutant: Mutant, seeds: int, first: tuple[str, int] | None) -> dict[str, Any]:
    """One mutant in a fresh interpreter. Raises RuntimeError where that fails."""
    asked = [sys.executable, "-m", "tests.faults.mutants", "--child", mutant.name, "--seeds", str(seeds)]
    if first is not None:
        asked += ["--first", f"{first[0]}:{first[1]}"]
    source = str(Path(find_spec("pyrt").origin).parents[1])  # type: ignore[union-attr,arg-type] # this checkout's, or the wheel's
    environment = {**os.environ, "PYTHONHASHSEED": "0", "PYTHONPATH": os.pathsep.join([source, os.environ.get("PYTHONPATH", "")])}
    done = subprocess.run(asked, capture_output=True, text=True, cwd=ROOT, env=environment, check=False)
    if done.returncode:
        raise RuntimeError(f"{mutant.name}: {done.stderr[-2000:]}")
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return answer


def row_of(found: dict[str, Any]) -> str:
    """One line of the list."""
    if not found["caught"]:
        return f"SURVIVED   {found['mutant']:40} {found['histories']:5} histories {found['seconds']:7.1f} s"
    where = f"{found['mode']} {found['seed']}"
    said = found["said"].partition(": ")[2]
    return f"{found['invariant']:>4} {where:>14} {found['mutant']:40} {found['histories']:4} {found['seconds']:6.1f} s  {said[:90]}"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.faults.mutants")
    parser.add_argument("--only", action="append", default=[], metavar="NAME")
    parser.add_argument("--seeds", type=int, default=400, help="seeds tried at most")
    parser.add_argument("--known", action="store_true", help="nothing but the seeds of tests/seeds/mutants.txt")
    parser.add_argument("--search", action="store_true", help="forget the known seeds")
    parser.add_argument("--check", action="store_true", help="only whether each mutant fits the source")
    parser.add_argument("--control", action="store_true", help="the known seeds on our code as it is: all must be silent")
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--write", action="store_true", help="note the catching seeds in tests/seeds/mutants.txt")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    parser.add_argument("--first", default="", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    by_name = {mutant.name: mutant for mutant in MUTANTS}
    if asked.child:
        signal.signal(signal.SIGALRM, _too_long)
        mode, _, seed = asked.first.partition(":")
        print(json.dumps(child(by_name[asked.child], asked.seeds, (mode, int(seed)) if mode else None)))
        return 0
    if wrong := misfits():
        print(*wrong, sep="\n")
        return 2
    if asked.check:
        return 0
    if asked.control:
        print(*(said := control()), sep="\n")
        return bool(said)
    if unknown := [name for name in asked.only if name not in by_name]:
        parser.error(f"no such mutant: {', '.join(unknown)}; there are: {', '.join(by_name)}")
    wanted = [by_name[name] for name in asked.only] or list(MUTANTS)
    return _all(wanted, asked)


def _all(wanted: list[Mutant], asked: argparse.Namespace) -> int:
    seeds_known = {} if asked.search else known()
    begun = time.monotonic()
    found: list[dict[str, Any]] = []
    with ThreadPoolExecutor(asked.jobs) as pool:
        most = 0 if asked.known else asked.seeds
        for done in as_completed([pool.submit(judge, mutant, most, seeds_known.get(mutant.name)) for mutant in wanted]):
            found.append(row := done.result())
            print(row_of(row), flush=True)
    found.sort(key=lambda row: [mutant.name for mutant in wanted].index(row["mutant"]))
    survived = [row["mutant"] for row in found if not row["caught"]]
    tripped = Counter(row["invariant"] for row in found if row["caught"])
    never = [name for name in INVARIANTS if name not in tripped]
    print(f"{len(found) - len(survived)} of {len(found)} mutants caught in {time.monotonic() - begun:.0f} s")
    print("invariants and the mutants that trip each: " + ", ".join(f"{name}: {tripped[name]}" for name in INVARIANTS))
    if never:
        print(f"tripped by none: {', '.join(never)}")
    if asked.json:
        report = {"mutants": found, "tripped": tripped, "never_tripped": never}
        asked.json.write_text(json.dumps(report, indent=1) + "\n")
    if asked.write:
        _write(known() | {row["mutant"]: (row["mode"], row["seed"]) for row in found if row["caught"]})
    return bool(survived)


def _write(rows: dict[str, tuple[str, int]]) -> None:
    head = "# Seeds of tests/faults that catch the mutants of tests/faults/mutant_list: name, mode, seed.\n"
    names = [mutant.name for mutant in MUTANTS if mutant.name in rows]
    SEEDS.write_text(head + "".join(f"{name} {rows[name][0]} {rows[name][1]}\n" for name in names))


if __name__ == "__main__":
    sys.exit(main())
