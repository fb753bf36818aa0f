"""What the drills found, as JSON by fault: docs/reliability.md is generated from it.

{"F1": {"injection": "...", "trials": 345, "violations": 0, "parts": {name: {"injection", "trials", "violations", "seconds"}}}}: the
sums are over the parts, and a part that runs again replaces what it said before.
"""

import fcntl
import json
import os
from pathlib import Path
from typing import Any

DEFAULT = Path(__file__).parents[3] / "build" / "faults-real.json"


def record(fault: str, part: str, injection: str, trials: int, violations: int, **figures: Any) -> None:
    """Put one part's figures into $PYRT_FAULTS_JSON, else build/faults-real.json."""
    path = Path(os.environ.get("PYRT_FAULTS_JSON", DEFAULT))
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.seek(0)
        everything = json.loads(file.read() or "{}")
        parts = everything.get(fault, {}).get("parts", {})
        parts[part] = {"injection": injection, "trials": trials, "violations": violations, **figures}
        everything[fault] = {
            "injection": "; ".join(p["injection"] for p in parts.values()),
            "trials": sum(p["trials"] for p in parts.values()),
            "violations": sum(p["violations"] for p in parts.values()),
            "parts": parts,
        }
        file.truncate(0)
        file.write(json.dumps(everything, indent=1, sort_keys=True) + "\n")
