"""Run seeds: python -m tests.faults --seeds 0:1000 [--mode safety|liveness|points|both|all] [--jobs N] [--trace SEED] [--table]
[--json FILE [--add]] [--minutes N].
"""

import argparse
import multiprocessing
import os
import sys
import time
from pathlib import Path

from tests.faults.table import Tally, chunk
from tests.faults.world import run

from pyrt import proof

CHUNK = 20
SEVERAL = {"both": ("safety", "liveness"), "all": ("safety", "liveness", "points")}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.faults")
    parser.add_argument("--seeds", default="0:100", help="A:B")
    parser.add_argument("--mode", default="safety", choices=("safety", "liveness", "points", "both", "all"))
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--trace", type=int, help="show the history of one seed")
    parser.add_argument("--table", action="store_true")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--add", action="store_true", help="to what the file says of the same sources")
    parser.add_argument("--minutes", type=float, default=0.0, help="begin nothing new after so long")
    asked = parser.parse_args()
    if asked.trace is not None:
        verdict = run(asked.trace, mode="safety" if asked.mode in SEVERAL else asked.mode, trace=True)
        print(*verdict.trace, *verdict.violations, sep="\n")
        return bool(verdict.violations)
    first, last = (int(part) for part in asked.seeds.split(":"))
    modes = SEVERAL.get(asked.mode, (asked.mode,))
    jobs = [(begin, min(begin + CHUNK, last), mode) for begin in range(first, last, CHUNK) for mode in modes]
    tally, began = Tally(asked.mode, first=first, tree=proof.tree()), time.monotonic()
    if asked.add and asked.json.exists():
        tally.join([Tally.of(asked.json.read_bytes(), tally.tree)])
    with multiprocessing.get_context("fork").Pool(asked.jobs, maxtasksperchild=1) as pool:
        for done in pool.imap_unordered(chunk, jobs):
            tally.join([done])
            for seed, text in done.violations:
                print(f"seed {seed} ({done.mode}): {text}", flush=True)
            if asked.json:  # whenever it is ended, what was done counts
                asked.json.write_bytes(tally.json())
            if asked.minutes and time.monotonic() - began > 60 * asked.minutes:
                break
    report = tally.report()
    print(
        f"{tally.seeds} seeds, {tally.crashes} crash points, {tally.orders} orders, {len(tally.violations)} violations in "
        f"{time.monotonic() - began:.0f} s; {report['seeds_per_cpu_second']} seeds/s and "
        f"{report['crash_points_per_cpu_second']} crash points/s of a core"
    )
    if asked.table:
        print(tally.text())
    return bool(tally.violations)


if __name__ == "__main__":
    if os.environ.get("PYTHONHASHSEED") != "0":  # a seed is the same history tomorrow: sets of words keep their order
        os.environ["PYTHONHASHSEED"] = "0"
        os.environ["NUMPY_MADVISE_HUGEPAGE"] = "0"  # each life makes tables of which it touches a corner
        os.environ["MALLOC_MMAP_THRESHOLD_"] = str(1 << 20)  # fixed: what was large once would else be cleared byte by byte
        os.execv(sys.executable, [sys.executable, "-m", "tests.faults", *sys.argv[1:]])
    sys.exit(main())
