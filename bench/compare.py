"""`python -m bench.compare [ROW ...] [--rounds N] [--json] [--guard]`: ours beside the limit and the peers, in interleaved rounds.

CPU time of the thread (a row that crosses processes brings its own clock), garbage collection off, the least of the rounds with the
median beside it. Results are checked equal before anything is timed. Rows are families or names; none: all. A row takes as many
rounds as a second and a half has room for, N (15) at least.

`noise` is a fixed loop of arithmetic timed each round: its least, and how much longer it took in the median round. A claim that the
even rounds and the odd ones would not both make is `unsure`, and so is an absolute one made while that loop ran slower than before.
"""

import argparse
import gc
import json
import sys
import time
import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from bench.limits import limit
from bench.rows import Contender, Row, rows

ROUNDS = 15
SECONDS = 1.5  # of rounds, where more than ROUNDS of them fit in
SLOWED = 1.1  # a least time of the fixed loop above its best by this: the processor is not ours alone
PER = {"ns": 1.0, "us": 1e3, "ms": 1e6}
SPINS = 200_000
BOUNDS = Path(__file__).with_name("bounds.toml")
GUARD_SECONDS = 0.4  # of rounds a row
SLACK = 1.5  # the guard's: a ratio worse than its bound by this is no noise


@dataclass(frozen=True)
class Figure:
    """Of one contender, in the row's unit an operation."""

    name: str
    kind: str
    least: float
    median: float
    halves: tuple[float, float]  # the least of the even rounds and of the odd ones: two runs, as it were


@dataclass(frozen=True)
class Result:
    name: str
    what: str
    unit: str
    operations: int
    figures: tuple[Figure, ...]
    absent: tuple[str, ...]
    bound: float | None
    most: float | None
    rounds: int
    paired: float  # the median of the rounds' own ratios, 0 without a limit: what a busy machine moves least
    spin: float  # ns of the fixed loop a step, its least
    noise: float  # how much longer than that it took in the median round

    def of(self, kind: str) -> Figure | None:
        return next((f for f in self.figures if f.kind == kind), None)

    @property
    def ours(self) -> Figure:
        return next(f for f in self.figures if f.kind == "ours")

    @property
    def ratio(self) -> float | None:
        least = self.of("limit")
        return self.ours.least / least.least if least else None

    def word(self, calm: float = 0.0) -> str:
        """Whether what is promised holds. calm: ns of a step of the fixed loop where nothing disturbed it; 0: this row's."""
        words = []
        least = self.of("limit")
        if self.bound is not None and least is not None and self.ratio is not None:
            halves = [ours / bare for ours, bare in zip(self.ours.halves, least.halves, strict=True)]
            words.append(_word(self.ratio, self.bound, halves))
        if self.most is not None:
            slowed = calm > 0 and self.spin > SLOWED * calm and self.ours.least > self.most
            words.append("unsure" if slowed else _word(self.ours.least, self.most, self.ours.halves))
        return next((word for word in ("over", "unsure", "holds") for w in words if w.startswith(word)), "")


def _word(value: float, bound: float, halves: Sequence[float]) -> str:
    if max(halves) - min(halves) > abs(value - bound):
        return "unsure"
    return "holds" if value <= bound else "over"


def same(a: Any, b: Any) -> bool:
    if isinstance(a, np.ndarray) or isinstance(b, np.ndarray):
        return np.array_equal(a, b)
    if isinstance(a, list | tuple) and isinstance(b, list | tuple):
        return len(a) == len(b) and all(same(x, y) for x, y in zip(a, b, strict=True))
    return bool(a == b)


def once(contender: Contender) -> tuple[float, Any]:
    """Seconds and result of one round."""
    assert contender.run is not None
    if contender.before:
        contender.before()
    if contender.clock == "own":
        took = contender.run()
        return took.seconds, took.result
    begun = time.thread_time_ns()
    result = contender.run()
    return (time.thread_time_ns() - begun) / 1e9, result


def check(row: Row, contenders: Sequence[Contender]) -> None:
    """One round of each, whose results must agree. Raises AssertionError naming the row and who differs."""
    results = {c: once(c)[1] for c in contenders}
    wanted = results[next(c for c in contenders if c.kind == "ours")]
    for contender, result in results.items():
        if contender.kind == "peer" and result is None:
            continue
        if not same(result, wanted):
            raise AssertionError(f"{row.name}: {contender.name} gives {result!r:.300}, ours {wanted!r:.300}")


def measure(row: Row, rounds: int = ROUNDS, seconds: float = SECONDS) -> Result:
    here = [c for c in row.contenders if c.run]
    check(row, here)
    spin = limit("noise").spin
    took: dict[str, list[float]] = {c.name: [] for c in here}
    spun: list[int] = []
    gc.collect()
    gc.disable()
    try:
        until = time.monotonic() + seconds
        while len(spun) < rounds or time.monotonic() < until:
            begun = time.thread_time_ns()
            spin(SPINS)
            spun.append(time.thread_time_ns() - begun)
            first = len(spun) % len(here)
            for contender in here[first:] + here[:first]:
                took[contender.name].append(once(contender)[0])
    finally:
        gc.enable()
    figures = tuple(figure(row, c, took[c.name]) for c in here)
    absent = tuple(c.name for c in row.contenders if not c.run)
    calm, least = min(spun), row.of("limit")
    ours = next(c for c in here if c.kind == "ours")
    ratios = [a / b for a, b in zip(took[ours.name], took[least.name], strict=True)] if least else [0.0]
    paired = median(ratios)
    told = (row.name, row.what, row.unit, row.operations, figures, absent, row.bound, row.most)
    return Result(*told, len(spun), paired, calm / SPINS, median(spun) / calm - 1)


def figure(row: Row, contender: Contender, seconds: Sequence[float]) -> Figure:
    each = [s * 1e9 / PER[row.unit] / (contender.operations or row.operations) for s in seconds]
    return Figure(contender.name, contender.kind, min(each), median(each), (min(each[::2]), min(each[1::2] or each)))


def number(value: float) -> str:
    return f"{value:,.0f}" if value >= 1000 else f"{value:.3g}" if value < 1 else f"{value:.1f}"


def told(figure: Figure | None) -> str:
    """The least, and the median in brackets."""
    return f"{number(figure.least)} ({number(figure.median)})" if figure else ""


def cells(result: Result, calm: float) -> tuple[str, ...]:
    peers = [f"{f.name} {told(f)}" for f in result.figures if f.kind == "peer"]
    peers += [f"{name} not installed" for name in result.absent]
    bounds = [f"<= {result.bound:g} x"] if result.bound is not None else []
    bounds += [f"<= {result.most:g} {result.unit}"] if result.most is not None else []
    ratio = f"{result.ratio:.2f}" if result.ratio is not None else ""
    own = f"{told(result.ours)} {result.unit}"
    noise = f"{result.spin:.2f} ns +{result.noise:.0%}"
    least = told(result.of("limit"))
    return result.name, result.what, own, least, ratio, ", ".join(bounds), result.word(calm), noise, "; ".join(peers)


HEAD = ("row", "an operation", "ours", "limit", "ratio", "bound", "", "noise", "peers")


def table(results: Sequence[Result]) -> Iterator[str]:
    """Markdown."""
    yield "| " + " | ".join(HEAD) + " |"
    yield "|" + "---|" * len(HEAD)
    calm = min((result.spin for result in results), default=0.0)
    yield from ("| " + " | ".join(cells(result, calm)) + " |" for result in results)


def stored() -> dict[str, float]:
    """The highest ratio that each guarded row may have."""
    ratios: dict[str, float] = tomllib.loads(BOUNDS.read_text(encoding="utf-8"))["ratio"]
    return ratios


def guard(wanted: Sequence[str], rounds: int) -> int:
    """Each row of bounds.toml against its ratio x SLACK, again and longer where it fails; how many rows failed twice."""
    bounds, failed = stored(), 0
    for row in rows(*(wanted or bounds), peers=False):
        if row.name not in bounds:
            continue
        most = bounds[row.name] * SLACK
        ratio = steady(measure(row, rounds, GUARD_SECONDS))
        if ratio > most:
            ratio = steady(measure(row, 3 * rounds, 3 * GUARD_SECONDS))
        failed += ratio > most
        word = "FAILED" if ratio > most else "held"
        print(f"{word:6} {row.name}: {ratio:.2f} x its limit, bound {bounds[row.name]:g} x {SLACK}", flush=True)
    return failed


def steady(result: Result) -> float:
    """The better of the ratio of the leasts and the median of the rounds' ratios: noise makes either look worse, hardly both."""
    if result.ratio is None:
        raise ValueError(f"{result.name} has a bound and no limit to hold it against")
    return min(result.ratio, result.paired)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.compare", description=__doc__)
    parser.add_argument("rows", nargs="*", metavar="ROW")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="7 or more")
    parser.add_argument("--json", action="store_true", help="everything measured, not the table")
    parser.add_argument(
        "--guard", action="store_true", help="only the rows of bounds.toml; exit status 1 where one is beyond its bound"
    )
    options = parser.parse_args()
    if options.rounds < 7:
        parser.error("fewer than 7 rounds say nothing")
    if options.guard:
        sys.exit(1 if guard(options.rows, options.rounds) else 0)
    results = []
    for row in rows(*options.rows):
        results.append(measure(row, options.rounds))
        print(f"  {row.name}", file=sys.stderr, flush=True)
    if options.json:
        print(json.dumps([asdict(r) | {"ratio": r.ratio, "word": r.word()} for r in results], indent=1))
    else:
        print("\n".join(table(results)))


if __name__ == "__main__":
    main()
