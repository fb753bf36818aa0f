"""`make proof`: run the fault programme on this source tree and write the record that unlocks live trading.

Every part runs as a process of its own and must end with status 0; before and after each the digest of the tree must be the same.
A programme that was cut goes on with the part that was cut, if neither the tree nor the programme changed since. One that fails
begins anew: no record is written, an old one is removed, and what passed before counts no more.
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple
from xml.etree import ElementTree

from pyrt import proof
from pyrt.sources import digest

ROOT = Path(__file__).parents[1]
PASSED = "passed.json"  # what passed of a programme that is not at its end
SLICE = 2_000  # seeds of a part: what a cut may lose


class Part(NamedTuple):
    """One programme: writes its figures to the file that {json} stands for. Of a suite for `fault` each passed test is a trial."""

    name: str
    command: tuple[str, ...]
    fault: str = ""
    also: tuple[tuple[str, str], ...] = ()  # (fault, name) of figures that the record tells by themselves, too


SUITES = {
    "F11": ("tests/e2e/test_adapter_faults_reconnect.py", "tests/venues/alpaca/test_feed.py"),
    "F20": ("tests/core/test_book.py", "tests/market"),
    "F22": ("tests/test_calendar.py", "tests/core/test_bars.py", "tests/core/test_pipeline.py"),
    "F24": ("tests/journal",),
    "F29": ("tests/security/test_secrets.py",),
    "kills": ("tests/e2e/test_kill_drill.py",),
}


def parts(seeds: int, jobs: int = 1) -> list[Part]:
    """What a proof consists of: the short parts first, so that what fails fails soon."""
    python = sys.executable
    suite = (python, "-m", "pytest", "-q", "-o", "addopts=--import-mode=importlib", "--timeout", "36000", "--junitxml", "{json}")
    mutants = (python, "-m", "tests.faults.mutants", "--jobs", str(jobs), "--json", "{json}")
    return [
        *(Part(f"tests of {fault}", (*suite, *paths), fault) for fault, paths in SUITES.items()),
        Part("broken versions", mutants),
        Part("real processes", ("make", "real-faults", "JSON={json}"), also=(("F1", "syscalls"), ("F2", "powercuts"))),
        *simulated(seeds, jobs),
    ]


def simulated(seeds: int, jobs: int = 1, slice_: int = SLICE) -> list[Part]:
    """The simulation of so many seeds, in slices."""
    command = (sys.executable, "-m", "tests.faults", "--mode", "all", "--jobs", str(jobs), "--json", "{json}")
    ends = [(begin, min(begin + slice_, seeds)) for begin in range(0, seeds, slice_)]
    return [Part(f"seeds {begin} to {end - 1}", (*command, "--seeds", f"{begin}:{end}")) for begin, end in ends]


def prove(work: Path, programme: Iterable[Part], package: Path | None = None) -> Path:
    """Run the parts and write the record. Raises SystemExit at the first part that fails, without a record."""
    programme = list(programme)
    record = (package or proof.PACKAGE) / proof.RECORD
    record.unlink(missing_ok=True)
    work.mkdir(parents=True, exist_ok=True)
    run = _Run(work / PASSED, proof.tree(package), _digest(programme))
    for number, part in enumerate(programme, 1):
        place = f"{number} of {len(programme)}, {part.name}"
        if part.name in run.passed:
            print(f"{place}: passed before the cut", flush=True)
            continue
        print(f"{place} ...", flush=True)
        begun = time.monotonic()
        try:
            figures = _figures(part, work / f"{part.name}.json")
            if proof.tree(package) != run.tree:
                raise SystemExit(f"{part.name}: the source tree changed while it ran: begin again")
        except SystemExit:
            run.forget()
            raise
        run.keep(part, figures, time.monotonic() - begun)
        print(f"{place}: passed in {_hours(time.monotonic() - begun)}{run.left(programme)}", flush=True)
    found = [run.passed[part.name]["figures"] for part in programme]
    run.forget()  # the last run counts, and this one is over
    return proof.write(proof.merge(found, tree=run.tree, date=datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")), package)


class _Run:
    """What passed of a programme: kept in a file, part by part, as long as the tree and the programme are the same."""

    def __init__(self, file: Path, tree: str, programme: str) -> None:
        self._file, self.tree, self._programme = file, tree, programme
        self.passed: dict[str, dict[str, Any]] = {}
        try:
            kept = json.loads(file.read_text())
        except (OSError, ValueError):
            return
        if (kept["tree"], kept["programme"]) == (tree, programme):
            self.passed = kept["passed"]
        else:
            print("the source tree or the programme changed since the cut: it begins anew", flush=True)

    def keep(self, part: Part, figures: dict[str, Any], seconds: float) -> None:
        self.passed[part.name] = {"figures": figures, "seconds": seconds}
        new = self._file.with_suffix(".new")
        new.write_text(json.dumps({"tree": self.tree, "programme": self._programme, "passed": self.passed}))
        new.replace(self._file)  # whole, or as it was

    def forget(self) -> None:
        self._file.unlink(missing_ok=True)

    def left(self, programme: list[Part]) -> str:
        """How long the slices that are left may take."""
        seconds = [kept["seconds"] for name, kept in self.passed.items() if name.startswith("seeds ")]
        left = len(programme) - len(self.passed)
        return f"; about {_hours(sum(seconds) / len(seconds) * left)} to go" if seconds and left else ""


def _hours(seconds: float) -> str:
    return f"{seconds / 3600:.1f} h" if seconds >= 3600 else f"{seconds / 60:.0f} min" if seconds >= 60 else f"{seconds:.0f} s"


def _digest(programme: list[Part]) -> str:
    """Of what is run: the parts, and every file of the tests."""
    files = sorted(path for path in (ROOT / "tests").rglob("*") if path.is_file() and path.suffix != ".pyc")
    named = ((path.relative_to(ROOT).as_posix(), path.read_bytes()) for path in [*files, ROOT / "Makefile"])
    return digest([*named, ("parts", repr(programme).encode())])


def _figures(part: Part, file: Path) -> dict[str, Any]:
    file.unlink(missing_ok=True)
    command = [word.replace("{json}", str(file)) for word in part.command]
    status = subprocess.run(command, cwd=ROOT, check=False).returncode
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
    """The tests of a suite that ran to their end; a skipped one is no trial. A drill says in PYRT_KILLS how often it kills."""
    cases = list(ElementTree.parse(file).iter("testcase"))
    trials = sum(not len(case) or case.find("properties") is not None for case in cases if case.find("skipped") is None)
    if part.fault == "kills" and trials:
        trials = int(os.environ.get("PYRT_KILLS", "200"))
    return {part.fault: {"injection": part.name, "trials": trials, "violations": 0}}


if __name__ == "__main__":
    try:
        made = prove(ROOT / "build" / "proof", parts(int(os.environ.get("PYRT_SEEDS", "100000")), os.cpu_count() or 1))
    except KeyboardInterrupt:
        raise SystemExit("cut: what passed is kept, and the same command goes on from there") from None
    print(f"{made}: build the wheel now")
