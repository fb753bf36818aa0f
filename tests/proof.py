"""`make proof`: run the fault programme on this source tree and write the record that unlocks live trading.

Every part runs as a process of its own and must end with status 0; before and after each the digest of the tree must be the same.
A programme that was cut goes on with the part that was cut, if neither the tree nor the programme changed since. One that fails
begins anew: no record is written, an old one is removed, and what passed before counts no more. Parts that wait, for real processes
and sockets, run beside those that compute.
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from datetime import UTC, datetime
from pathlib import Path
from threading import Lock
from typing import Any, NamedTuple
from xml.etree import ElementTree

from pyrt import proof
from pyrt.sources import digest

ROOT = Path(__file__).parents[1]
PASSED = "passed.json"  # what passed of a programme that is not at its end
TOLD = ("F31", "kills")  # of suites that tell their trials: each step of an oracle, each kill
SLICE = 2_000  # seeds of a part: what a cut may lose


class Part(NamedTuple):
    """One programme: writes its figures to the file that {json} stands for. Of a suite for `fault` each passed test is a trial."""

    name: str
    command: tuple[str, ...]
    fault: str = ""
    also: tuple[tuple[str, str], ...] = ()  # (fault, name) of figures that the record tells by themselves, too
    waits: bool = True  # most of its time


SUITES = {
    "F11": ("tests/e2e/test_adapter_faults_reconnect.py", "tests/venues/alpaca/test_feed.py"),
    "F20": ("tests/core/test_book.py", "tests/market"),
    "F22": ("tests/test_calendar.py", "tests/core/test_bars.py", "tests/core/test_pipeline.py"),
    "F24": ("tests/journal",),
    "F29": ("tests/security/test_secrets.py", "-m", "nightly or not nightly"),
    "F31": ("tests/core/test_limits_oracle.py", "-m", "nightly or not nightly"),
    "kills": ("tests/e2e/test_kill_drill.py", "-m", "nightly or not nightly"),
}

ALSO = {"F31": (("F31", "limits"),)}


def parts(seeds: int, jobs: int = 1) -> list[Part]:
    """What a proof consists of: the short parts first, so that what fails fails soon."""
    python = sys.executable
    options = ("-o", "addopts=--import-mode=importlib", "-o", "junit_family=xunit1")  # in a newer family no test may tell a figure
    suite = (python, "-m", "pytest", "-q", *options, "--timeout", "36000", "--junitxml", "{json}")
    mutants = (python, "-m", "tests.faults.mutants", "--jobs", str(jobs), "--json", "{json}")
    return [
        *(Part(f"tests of {fault}", (*suite, *paths), fault, ALSO.get(fault, ())) for fault, paths in SUITES.items()),
        Part("broken versions", mutants, waits=False),
        Part("real processes", ("make", "real-faults", "JSON={json}"), also=(("F1", "syscalls"), ("F2", "powercuts"))),
        *simulated(seeds, jobs),
    ]


def simulated(seeds: int, jobs: int = 1, slice_: int = SLICE) -> list[Part]:
    """The simulation of so many seeds, in slices."""
    command = (sys.executable, "-m", "tests.faults", "--mode", "all", "--jobs", str(jobs), "--json", "{json}")
    ends = [(begin, min(begin + slice_, seeds)) for begin in range(0, seeds, slice_)]
    return [Part(f"seeds {begin} to {end - 1}", (*command, "--seeds", f"{begin}:{end}"), waits=False) for begin, end in ends]


def prove(work: Path, programme: Iterable[Part], package: Path | None = None) -> Path:
    """Run the parts and write the record. Raises SystemExit at the first part that fails, without a record."""
    programme = list(programme)
    record = (package or proof.PACKAGE) / proof.RECORD
    record.unlink(missing_ok=True)
    work.mkdir(parents=True, exist_ok=True)
    run = _Run(work, programme, package)
    with ThreadPoolExecutor(2) as pool:
        lanes = [pool.submit(run.lane, [part for part in programme if part.waits is waits]) for waits in (True, False)]
        wait(lanes, return_when=FIRST_EXCEPTION)
        run.over = True
        run.end()
        wait(lanes)
    failures = [failure for lane in lanes if (failure := lane.exception())]
    if failures:
        if any(not isinstance(failure, KeyboardInterrupt) for failure in failures):
            run.forget()
        raise sorted(failures, key=lambda failure: isinstance(failure, KeyboardInterrupt))[0]  # what failed, before what was cut
    found = [run.passed[part.name]["figures"] for part in programme]
    run.forget()  # the last run counts, and this one is over
    return proof.write(proof.merge(found, tree=run.tree, date=datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")), package)


class _Run:
    """A programme on its way. What passed is kept in a file, part by part, as long as the tree and the programme are the same."""

    def __init__(self, work: Path, programme: list[Part], package: Path | None) -> None:
        self._work, self._file, self._programme, self._package = work, work / PASSED, programme, package
        self._numbers = {part.name: number for number, part in enumerate(programme, 1)}
        self.tree, self._digest = proof.tree(package), _digest(programme)
        self.passed: dict[str, dict[str, Any]] = {}
        self.over = False  # a part failed or was cut
        self._lock = Lock()
        self._running: set[subprocess.Popen[bytes]] = set()
        try:
            kept = json.loads(self._file.read_text())
        except (OSError, ValueError):
            return
        if (kept["tree"], kept["programme"]) == (self.tree, self._digest):
            self.passed = kept["passed"]
        else:
            print("the source tree or the programme changed since the cut: it begins anew", flush=True)

    def lane(self, parts: list[Part]) -> None:
        """Run parts one after the other. Raises SystemExit for one that fails, KeyboardInterrupt for one that is cut."""
        for part in parts:
            place = f"{self._numbers[part.name]} of {len(self._programme)}, {part.name}"
            if part.name in self.passed:
                print(f"{place}: passed before the cut", flush=True)
                continue
            print(f"{place} ...", flush=True)
            begun = time.monotonic()
            figures = _figures(part, self._work / f"{part.name}.json", self._run)
            if proof.tree(self._package) != self.tree:
                raise SystemExit(f"{part.name}: the source tree changed while it ran: begin again")
            self._keep(part, figures, time.monotonic() - begun)
            print(f"{place}: passed in {_hours(time.monotonic() - begun)}{self._left()}", flush=True)

    def end(self) -> None:
        """End what still runs: it counts as cut."""
        with self._lock:
            for process in self._running:
                process.terminate()

    def forget(self) -> None:
        self._file.unlink(missing_ok=True)

    def _run(self, command: list[str]) -> int:
        """The status of a command, which `end` may end."""
        with self._lock:
            if self.over:
                raise KeyboardInterrupt
            process = subprocess.Popen(command, cwd=ROOT)
            self._running.add(process)
        try:
            return process.wait()
        finally:
            with self._lock:
                self._running.discard(process)

    def _keep(self, part: Part, figures: dict[str, Any], seconds: float) -> None:
        with self._lock:
            self.passed[part.name] = {"figures": figures, "seconds": seconds}
            new = self._file.with_suffix(".new")
            new.write_text(json.dumps({"tree": self.tree, "programme": self._digest, "passed": self.passed}))
            new.replace(self._file)  # whole, or as it was

    def _left(self) -> str:
        """How long the slices that are left may take."""
        seconds = [kept["seconds"] for name, kept in self.passed.items() if name.startswith("seeds ")]
        left = sum(part.name.startswith("seeds ") and part.name not in self.passed for part in self._programme)
        return f"; about {_hours(sum(seconds) / len(seconds) * left)} of seeds to go" if seconds and left else ""


def _hours(seconds: float) -> str:
    return f"{seconds / 3600:.1f} h" if seconds >= 3600 else f"{seconds / 60:.0f} min" if seconds >= 60 else f"{seconds:.0f} s"


def _digest(programme: list[Part]) -> str:
    """Of what is run: the parts, and every file of the tests."""
    files = sorted(path for path in (ROOT / "tests").rglob("*") if path.is_file() and path.suffix != ".pyc")
    named = ((path.relative_to(ROOT).as_posix(), path.read_bytes()) for path in [*files, ROOT / "Makefile"])
    return digest([*named, ("parts", repr(programme).encode())])


def _figures(part: Part, file: Path, run: Callable[[list[str]], int]) -> dict[str, Any]:
    file.unlink(missing_ok=True)
    status = run([word.replace("{json}", str(file)) for word in part.command])
    if -status in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM):  # somebody ended it: that says nothing of the tree
        raise KeyboardInterrupt
    if status:
        raise SystemExit(f"{part.name}: ended with status {status}: no proof")
    try:
        figures = _passed(part, file) if part.fault else json.loads(file.read_text())
    except (OSError, ValueError, ElementTree.ParseError) as e:
        raise SystemExit(f"{part.name}: left no figures in {file.name} ({type(e).__name__}): no proof") from None
    return {**figures, **{name: figures[fault] for fault, name in part.also if fault in figures}}


def _passed(part: Part, file: Path) -> dict[str, Any]:
    """The tests of a suite that ran to their end; a skipped one is no trial. Of some, the trials are what they tell."""
    cases = [case for case in ElementTree.parse(file).iter("testcase") if case.find("skipped") is None]
    told = [int(value.get("value", "")) for case in cases for value in case.iter("property") if value.get("name") == part.fault]
    trials = sum(told) if part.fault in TOLD else sum(not len(case) or case.find("properties") is not None for case in cases)
    return {part.fault: {"injection": part.name, "trials": trials, "violations": 0}}


if __name__ == "__main__":
    try:
        made = prove(ROOT / "build" / "proof", parts(int(os.environ.get("PYRT_SEEDS", "30000")), os.cpu_count() or 1))
    except KeyboardInterrupt:
        raise SystemExit("cut: what passed is kept, and the same command goes on from there") from None
    print(f"{made}: build the wheel now")
