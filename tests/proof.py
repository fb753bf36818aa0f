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

from pyrt import proof

ROOT = Path(__file__).parents[1]


class Part(NamedTuple):
    """One programme. It writes its figures to the file that stands for {json}, or `figures` says what its success shows."""

    name: str
    command: tuple[str, ...]
    figures: dict[str, Any] | None = None


def parts(seeds: int, kills: int) -> list[Part]:
    """What a proof consists of."""
    python = sys.executable
    nightly = (python, "-m", "pytest", "-q", "-m", "nightly", "--timeout", "36000")
    return [
        Part("faults", (python, "-m", "tests.faults", "--seeds", f"0:{seeds}", "--json", "{json}")),
        Part("mutants", (python, "-m", "tests.faults.mutants", "--json", "{json}")),
        Part("syscalls", ("make", "syscalls", "JSON={json}")),
        Part("powercuts", ("make", "powercuts", "JSON={json}")),
        Part(
            "kills",
            (*nightly, "tests/e2e/test_kill_drill.py"),
            {"kills": {"injection": "kill -9 of a trading session", "trials": kills, "violations": 0}},
        ),
        Part(
            "secrets",
            (*nightly, "tests/security/test_secrets.py"),
            {"F29": {"injection": "a canary in each place of the configuration", "trials": 5, "violations": 0}},
        ),
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
    if part.figures is not None:
        return part.figures
    try:
        figures: dict[str, Any] = json.loads(file.read_text())
    except (OSError, ValueError) as e:
        raise SystemExit(f"{part.name}: left no figures in {file.name} ({type(e).__name__}): no proof") from None
    return figures


if __name__ == "__main__":
    programme = parts(int(os.environ.get("PYRT_SEEDS", "20000")), int(os.environ.get("PYRT_KILLS", "200")))
    print(f"{prove(ROOT / 'build' / 'proof', programme)}: build the wheel now")
