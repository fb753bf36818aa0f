"""The plugin `pyrt.testing`, as a project that is not ours uses it: pytest in a process and a directory of its own."""

import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import pyrt

ROOT = Path(__file__).parents[3]
SETTINGS = """[pytest]
addopts = -p no:cacheprovider --strict-markers
filterwarnings = error
    ignore::DeprecationWarning:websockets.*
"""


def project(path: Path, files: dict[str, str], *options: str, alone: bool = False) -> subprocess.CompletedProcess[str]:
    """Run the project's tests with the plugin found by the entry point of pyproject.toml, as from an installed wheel."""
    table = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["entry-points"]["pytest11"]
    site = path / "site" / "pyrt_as_installed-0.dist-info"
    site.mkdir(parents=True)
    (site / "METADATA").write_text("Metadata-Version: 2.1\nName: pyrt-as-installed\nVersion: 0\n")
    (site / "entry_points.txt").write_text("[pytest11]\n" + "".join(f"{name} = {value}\n" for name, value in table.items()))
    for name, text in {"pytest.ini": SETTINGS, **files}.items():
        (path / name).write_text(text)
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("PYTEST_", "APCA_", "ALPACA_"))}
    environment["PYTHONPATH"] = os.pathsep.join([str(site.parent), str(Path(pyrt.__file__).parents[1])])
    if alone:  # plugins of others import much
        environment["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
    else:
        foreign = ("xdist", "xdist.looponfail", "benchmark", "schemathesis", "hypothesispytest", "anyio", "timeout")
        options = (*(word for name in foreign for word in ("-p", f"no:{name}")), *options)
    argv = [sys.executable, "-m", "pytest", "-q", *options, str(path)]
    return subprocess.run(argv, cwd=path, env=environment, capture_output=True, text=True, timeout=110, check=False)


@pytest.mark.row("X08")
def test_a_bot_of_somebody_else_is_tested_on_it(tmp_path: Path) -> None:
    for file in sorted((ROOT / "examples" / "alpaca_bot").glob("*.py")):
        shutil.copy(file, tmp_path)
    done = project(tmp_path, {})
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 passed" in done.stdout


def test_each_test_has_a_venue_of_its_own_set_up_by_markers(tmp_path: Path) -> None:
    text = """
import os, urllib.request, json, pytest
pytestmark = pytest.mark.alpaca_venue(cash=7000, seed=5, start="2026-03-02T15:00:00Z")

def get(venue, path):
    keys = {"APCA-API-KEY-ID": venue.key, "APCA-API-SECRET-KEY": venue.secret}
    with urllib.request.urlopen(urllib.request.Request(venue.url + path, headers=keys), timeout=30) as answer:
        return json.load(answer)

seen = []

@pytest.mark.parametrize("n", range(3))
def test_a_new_account_each_time(alpaca_venue, n):
    assert get(alpaca_venue, "/v2/account")["cash"] == "7000"
    seen.append((alpaca_venue.url, get(alpaca_venue, "/v2/account")["id"]))
    assert len(set(seen)) == n + 1 and len({id for _, id in seen}) == 1  # the same seed at the same time: the same account
    assert "APCA_API_KEY_ID" not in os.environ

@pytest.mark.alpaca_venue(cash=100)
def test_the_nearer_marker_wins(alpaca_env):
    assert get(alpaca_env, "/v2/account")["cash"] == "100"
    assert os.environ["APCA_API_BASE_URL"] == alpaca_env.url
    assert alpaca_env.clock()["epoch_ns"] == 1772463600000000000

def test_without(monkeypatch):
    assert "APCA_API_BASE_URL" not in os.environ

@pytest.mark.alpaca_venue(speed="fast")
def test_a_mistake_is_an_error_of_this_test(alpaca_venue): ...

@pytest.mark.alpaca_venue("generated")
def test_settings_have_names(alpaca_venue): ...
"""
    done = project(tmp_path, {"test_markers.py": text})
    assert "5 passed, 2 errors" in done.stdout, done.stdout + done.stderr
    assert "fast is not a speed" in done.stdout
    assert "write the settings of alpaca_venue by name" in done.stdout


def test_unused_it_costs_nothing_and_may_be_named_or_left_out(tmp_path: Path) -> None:
    text = """
import sys

def test_it():
    assert "pyrt.testing" in sys.modules
    heavy = ("numpy", "aiohttp", "requests", "msgspec", "pyrt.venues", "pyrt._core", "pyrt.errors")
    assert not [m for m in heavy if m in sys.modules]
"""
    done = project(tmp_path / "alone", {"test_light.py": text}, "-p", "pyrt.testing", alone=True)
    assert "1 passed" in done.stdout, done.stdout + done.stderr
    done = project(tmp_path / "without", {"test_none.py": "def test_it(alpaca_venue): ...\n"}, "-p", "no:pyrt.testing")
    assert "fixture 'alpaca_venue' not found" in done.stdout
