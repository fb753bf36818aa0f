"""The whole way, with small numbers: the programme on a copy of this tree, its record, the wheel, and `run --venue alpaca-live`."""

import shutil
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Callable
from fnmatch import fnmatch
from pathlib import Path

import pytest
from tests.cli.processes import environment
from tests.security import reproducible
from tests.security.canary import KEY, SECRET

import pyrt
from pyrt.sources import core_digest

ROOT = Path(__file__).parents[2]
# What the copy demands of a record, so that seconds are enough; the rest is as it is.
LESS = (
    ("CRASH_POINTS = 1_000_000", "CRASH_POINTS = 3"),
    ('_MEND = "run', 'LEAST = {"F1": 1, "F2": 1, "F30": 1, "F24": 2}\n_MEND = "run'),
)
PROGRAMME = """
import sys
from pathlib import Path
from tests.proof import parts, prove, simulated

whole = {part.name: part for part in parts(4)}
broken, suite = whole["broken versions"], whole["tests of F24"]
small = [
    broken._replace(command=(*broken.command, "--known", "--only", "random-id")),
    suite._replace(command=(*suite.command[:-1], "tests/journal/test_activate.py")),
    *simulated(4, 1, 2),
]
print(prove(Path("build/proof"), small))
"""


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A copy of this tree, built, whose thresholds are small."""
    if not (ROOT / "src").is_dir():
        pytest.skip("this is no checkout")
    place = tmp_path / "pyrt"
    left = shutil.ignore_patterns("__pycache__", "proof.json", ".hypothesis")
    for name in ("src", "tests"):
        shutil.copytree(ROOT / name, place / name, ignore=left)
    for name in ("pyproject.toml", "setup.py", "Makefile", "README.md", "LICENSE"):
        shutil.copyfile(ROOT / name, place / name)
    file = place / "src" / "pyrt" / "proof.py"
    text = file.read_text()
    for old, new in LESS:
        assert text.count(old) == 1
        text = text.replace(old, new)
    file.write_text(text)
    core = place / "src" / "pyrt" / "_core"
    if not (core / "built.json").exists():  # the compiled core is that of the installed package
        for made in (
            *Path(pyrt.__file__).parent.joinpath("_core").glob("*.so"),
            Path(pyrt.__file__).parent / "_core" / "built.json",
        ):
            shutil.copyfile(made, core / made.name)
    if f'"{core_digest(place)}"' not in (place / "src" / "pyrt" / "_core" / "built.json").read_text():
        pytest.skip("the compiled core is older than its sources: run `make build`")
    return place


def run(tmp_path: Path, place: Path, *arguments: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    """An interpreter that finds pyrt in a place of its own."""
    variables = environment(tmp_path, APCA_API_KEY_ID=KEY, APCA_API_SECRET_KEY=SECRET, PYTHONPATH=str(place))
    argv = [sys.executable, *arguments]
    return subprocess.run(argv, env=variables, cwd=cwd or tmp_path, capture_output=True, text=True, check=False, timeout=3000)


def packed(checkout: Path) -> Path:
    """A wheel with what pyproject.toml says, of the modules that lie there: a build without the compiler."""
    table = tomllib.loads((checkout / "pyproject.toml").read_text())["tool"]["scikit-build"]["wheel"]
    wheel = checkout.parent / "packed.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        for package in map(Path, table["packages"]):
            for path in sorted((checkout / package).rglob("*")):
                name = (Path(package.name) / path.relative_to(checkout / package)).as_posix()
                if path.is_file() and not any(fnmatch(name, pattern) for pattern in table["exclude"]):
                    archive.write(path, name)
    return wheel


def built(checkout: Path) -> Path:
    """The wheel as it is published."""
    return reproducible.build(checkout.parent, 0o022)


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("wheel", [packed, pytest.param(built, marks=pytest.mark.nightly)])
def test_from_the_programme_to_live(tmp_path: Path, checkout: Path, wheel: Callable[[Path], Path]) -> None:
    live = ("-m", "pyrt", "run", "--venue", "alpaca-live", "--limits", str(checkout / "src" / "pyrt" / "risk" / "paper.toml"))
    assert "there is no record of the fault programme" in run(tmp_path, checkout / "src", *live).stderr
    done = run(tmp_path, checkout / "src", "-c", PROGRAMME, cwd=checkout)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    assert "4 of 4, seeds 2 to 3: passed" in done.stdout
    site = tmp_path / "site-packages"
    with zipfile.ZipFile(wheel(checkout)) as archive:
        archive.extractall(site)
    said = run(tmp_path, site, *live).stderr
    assert "the account is not confirmed" in said, "the proof is taken; the account is what is asked for next"
    file = site / "pyrt" / "live" / "shell.py"
    file.write_bytes(file.read_bytes()[:-1] + b" ")
    assert "passed on another source tree" in run(tmp_path, site, *live).stderr
    source = checkout / "src" / "pyrt" / "_core" / "risk.pyx"
    source.write_bytes(source.read_bytes()[:-1] + b" ")
    assert "the compiled core is older than its sources" in run(tmp_path, checkout / "src", *live).stderr
