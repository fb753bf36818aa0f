"""`make proof`: run the fault programme on this source tree and write the record that unlocks live trading.

Every part runs as a process of its own and must end with status 0; before and after each the digest of the tree must be the same.
Where a part fails, or is not there, no record is written, and an old one is removed: the last run counts.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple
from xml.etree import ElementTree

from pyrt import proof

ROOT = Path(__file__).parents[1]


class Part(NamedTuple):
    """One programme: writes its figures to the file that {json} stands for. Of a suite for `fault` each passed test is a trial."""

    name: str
    command: tuple[str, ...]
    fault: str = ""


SUITES = {
    "F11": ("tests/e2e/test_adapter_faults_reconnect.py", "tests/venues/alpaca/test_feed.py"),
    "F20": ("tests/core/test_book.py", "tests/market"),
    "F22": ("tests/test_calendar.py", "tests/core/test_bars.py", "tests/core/test_pipeline.py"),
    "F24": ("tests/journal",),
    "F29": ("tests/security/test_secrets.py",),
    "kills": ("tests/e2e/test_kill_drill.py",),
}


def parts(seeds: int, jobs: int = 1) -> list[Part]:
    """What a proof consists of."""
    python = sys.executable
    suite = (python, "-m", "pytest", "-q", "-o", "addopts=--import-mode=importlib", "--timeout", "36000", "--junitxml", "{json}")
    simulated = ("--mode", "both", "--seeds", f"0:{seeds}", "--jobs", str(jobs))
    return [
        Part("simulated faults", (python, "-m", "tests.faults", *simulated, "--json", "{json}")),
        Part("broken versions", (python, "-m", "tests.faults.mutants", "--json", "{json}")),
        Part("real processes", ("make", "real-faults", "JSON={json}")),
        *(Part(f"tests of {fault}", (*suite, *paths), fault) for fault, paths in SUITES.items()),
    ]


def prove(work: Path, programme: Iterable[Part], package: Path | None = None) -> Path:
    """Run the parts and write the record. Raises SystemExit at the first part that fails, without a record."""
    record = (package or proof.PACKAGE) / proof.RECORD
    record.unlink(missing_ok=True)
    before = proof.tree(package)
    work.mkdir(parents=True, exist_ok=True)
    found = []
    for part in programme:
        begun = time.monotonic()
        print(f"{part.name} ...", flush=True)
        found.append(_run(part, work / f"{part.name}.json"))
        if proof.tree(package) != before:
            raise SystemExit(f"{part.name}: the source tree changed while it ran: begin again")
        print(f"{part.name}: passed in {time.monotonic() - begun:,.0f} s", flush=True)
    return proof.write(proof.merge(found, tree=before, date=datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")), package)


def _run(part: Part, file: Path) -> dict[str, Any]:
    file.unlink(missing_ok=True)
    command = [word.replace("{json}", str(file)) for word in part.command]
    status = subprocess.run(command, cwd=ROOT, check=False).returncode
    if status:
        raise SystemExit(f"{part.name}: ended with status {status}: no proof")
    try:
        return _passed(part, file) if part.fault else json.loads(file.read_text())
    except (OSError, ValueError, ElementTree.ParseError) as e:
        raise SystemExit(f"{part.name}: left no figures in {file.name} ({type(e).__name__}): no proof") from None


def _passed(part: Part, file: Path) -> dict[str, Any]:
    """The tests of a suite that ran to their end; a skipped one is no trial. A drill says in PYRT_KILLS how often it kills."""
    cases = list(ElementTree.parse(file).iter("testcase"))
    trials = sum(not len(case) or case.find("properties") is not None for case in cases if case.find("skipped") is None)
    if part.fault == "kills" and trials:
        trials = int(os.environ.get("PYRT_KILLS", "200"))
    return {part.fault: {"injection": part.name, "trials": trials, "violations": 0}}


if __name__ == "__main__":
    programme = parts(int(os.environ.get("PYRT_SEEDS", "100000")), os.cpu_count() or 1)
    print(f"{prove(ROOT / 'build' / 'proof', programme)}: build the wheel now")
