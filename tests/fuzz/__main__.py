"""See the package. Exit status 1 where something was found; its input is then a new file of the corpus."""

import argparse
import sys
import time
from pathlib import Path

from tests.fuzz.hunt import hunt, watch
from tests.fuzz.target import CORPUS, TARGETS


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=f"of {', '.join(TARGETS)}; none: all")
    parser.add_argument("--seconds", type=float, default=20.0, help="each")
    parser.add_argument("--seed", type=int, default=time.time_ns() % 2**32)
    parser.add_argument("--jobs", type=int, default=2, help="processes at a time")
    parser.add_argument("--corpus", type=Path, default=CORPUS, help="folder of folders, where findings are written too")
    parser.add_argument("--hunt", type=Path, metavar="FILE", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.hunt:
        hunt(asked.targets[0], asked.hunt, asked.seconds, asked.seed, asked.corpus)
        return 0
    if lost := set(asked.targets) - set(TARGETS):
        parser.error(f"no target {', '.join(sorted(lost))}")
    bad = 0
    for found in watch(asked.targets or list(TARGETS), asked.seconds, asked.seed, jobs=asked.jobs, folder=asked.corpus):
        if found.input is None:
            print(f"{found.target}: {found.inputs:,} inputs, nothing found (seed {asked.seed})", flush=True)
            continue
        bad += 1
        print(
            f"{found.target}: input {found.inputs:,} of seed {asked.seed} broke it: {found.how}\nkept as {found.input}", flush=True
        )
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
