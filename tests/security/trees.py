"""Small source trees that were built, and records of a programme that passed on them."""

from pathlib import Path
from typing import Any

from pyrt import proof
from pyrt.proof import Figure, Record
from pyrt.sources import BUILT, core_digest

GOOD = {name: Figure(trials=least, violations=0) for name, least in proof.LEAST.items()}


def package(tmp_path: Path) -> Path:
    """A small source tree that was built."""
    core = tmp_path / "src" / "pyrt" / "_core"
    core.mkdir(parents=True)
    for name in ("pyproject.toml", "setup.py", "src/pyrt/__init__.py", "src/pyrt/_core/a.pyx", "src/pyrt/_core/a.pxd"):
        (tmp_path / name).write_text(f"# {name}\n")
    (core / "CMakeLists.txt").write_text("project(x)\n")
    (core / BUILT).write_text(f'{{"core": "{core_digest(tmp_path)}"}}')
    return tmp_path / "src" / "pyrt"


def record(place: Path, **changes: Any) -> Record:
    values = {"format": 1, "tree": proof.tree(place), "date": "2026-11-22T00:00:00Z", "crash_points": 10**6, "figures": GOOD}
    return Record(**{**values, **changes})
