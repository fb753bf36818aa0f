"""A user's mistakes, as real processes: one line that says what and how to mend it, a status that is not 0, never a traceback."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.cli.processes import call, environment, pyrt, running, running_sim

from pyrt.journal import Journal
from pyrt.model import StrategyNamed
from pyrt.ports import Sync

STRATEGY = "import pyrt\n\n\nclass Mine(pyrt.Strategy):\n    symbols = ('AAPL',)\n    interval = '1s'\n\n"


@pytest.fixture(scope="module")
def sim() -> Iterator[str]:
    with running_sim() as url:
        yield url


def one_line(done: subprocess.CompletedProcess[str], *words: str) -> None:
    """It ended with one line that holds the words."""
    assert done.returncode == 1, done.stderr
    said = [line for line in done.stderr.splitlines() if line.startswith("pyrt: ")]
    assert len(said) == 1, done.stderr
    assert done.stderr.splitlines()[-1] == said[0]
    assert "Traceback" not in done.stdout + done.stderr
    for word in words:
        assert word in said[0]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("run", "--vneue", "sim"), ("Unknown option", "Did you mean --venue?", "pyrt run --help")),
        (("run", "--seed", "x"), ("--seed", "pyrt run --help")),
        (("rnu",), ('Unknown command "rnu"', "run")),
        (("run", "--venue", "nyse"), ("no venue 'nyse'", "sim, alpaca-paper or alpaca-live")),
        (("run", "--venue", "alpaca-live"), ("live trading is refused", "name every limit")),
        (("run", "--venue", "alpaca-paper"), ("no API keys", "set APCA_API_KEY_ID")),
        (("run", "--for", "soon"), ("'soon' is not a duration", "30s, 5m or 2h")),
        (("run", "--for", "nan s"), ("is not a duration",)),
        (("run", "--strategy", "nowhere.py"), ("nowhere.py does not exist", "check the path")),
        (("run", "--strategy", "no.such.module"), ("no module 'no.such.module'",)),
        (("run", "--strategy", "nothing"), ("no strategy 'nothing'", "FILE.py")),
        (("run", "--set", "SmaCross.fats=3"), ("no parameter 'fats'", "fast")),
        (("run", "--set", "SmaCross.fast=x"), ("'x' is not a int", "its default is 5")),
        (("run", "--config", "none.toml"), ("none.toml", "cannot be read", "check the path")),
        (("run", "--limits", "none.toml"), ("none.toml", "cannot be read")),
        (("run", "--durability", "maybe"), ("durability 'maybe'", "'sync'")),
        (("run", "--speed", "-1"), ("not a speed",)),
        (("run", "--sim-state", "/dev/null/x"), ("/dev/null", "cannot be used", "--sim-state")),
        (("run", "--sim-state", "/proc/pyrt"), ("/proc/pyrt", "cannot be used", "--sim-state")),
        (("run", "--sim-url", "http://127.0.0.1:9"), ("no answer", "check the address")),
        (("run", "--sim-url", "http://example.com"), ("keys are not sent to http://example.com",)),
        (("status",), ("no session has run yet", "pyrt run")),
        (("status", "--state", "/tmp"), ("no journal in it",)),
        (("resume", "--who", " ", "--why", "x"), ("--who", "name and a reason")),
        (("explain", "AAPL", "--why", " "), ("--why", "name and a reason")),
        (("explain", "AAPL"), ("--why", "pyrt explain --help")),
        (("flatten",), ("--sim-state", "name the state")),
        (("flatten", "--venue", "alpaca-paper"), ("nobody is there to confirm", "add --yes")),
    ],
    ids=lambda v: " ".join(v) if isinstance(v, tuple) else None,
)
def test_options(tmp_path: Path, arguments: tuple[str, ...], words: tuple[str, ...]) -> None:
    one_line(call(tmp_path, *arguments, keys="--sim-url" in arguments), *words)


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.toml", "[venue\n", ("a.toml", "is not TOML", "pyrt config init")),
        ("a.toml", "[risk]\nmax_order_sise = 3\n", ("unknown limit 'max_order_sise'", "'max_order_size'")),
        ("a.toml", "[risk]\nmax_order_size = -3\n", ("max_order_notional is -3",)),
        ("a.toml", "[risk]\nprofile = 'live'\n", ("no shipped profile 'live'",)),
        ("a.toml", "[strategies.Breakout]\nlookback = 3\n", ("[strategies.Breakout]", 'use = "FILE.py"')),
        ("a.toml", "[strategies.Breakout]\nuse = 'my.py'\n", ("my.py does not exist",)),
        ("a.json", '{"max_order_sise": 3}', ("a.json", "did you mean 'max_order_size'?")),
    ],
)
def test_configuration_files(tmp_path: Path, name: str, content: str, words: tuple[str, ...]) -> None:
    (tmp_path / name).write_text(content)
    one_line(call(tmp_path, "config", "check", str(tmp_path / name)), *words)
    one_line(call(tmp_path, "run", "--config", str(tmp_path / name)), *words)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("import no_such_package\n", ("ModuleNotFoundError", "my.py:1", "no_such_package")),
        ("def f(:\n", ("SyntaxError", "my.py:1")),
        ("x = 1\n\nraise ValueError('two\\nlines')\n", ("ValueError: two lines", "my.py:3")),
        ("x = 1\n", ("holds 0 strategies",)),
        (STRATEGY + "    def __init__(self, **p):\n        raise KeyError('mine')\n", ("KeyError: 'mine'", "Mine()")),
        (STRATEGY.replace("'AAPL',", ""), ("Mine has no symbols", "--symbols")),
        (STRATEGY.replace("1s", "often"), ("'often' is not an interval",)),
    ],
)
def test_strategies_that_do_not_load(tmp_path: Path, content: str, words: tuple[str, ...]) -> None:
    (tmp_path / "my.py").write_text(content)
    one_line(call(tmp_path, "run", "--strategy", "my.py"), *words)


def test_the_main_mistakes_as_processes(tmp_path: Path) -> None:
    (tmp_path / "my.py").write_text("import no_such_package\n")
    (tmp_path / "a.toml").write_text("[venue\n")
    for arguments, words in (
        (("run", "--vneue", "sim"), ("Did you mean --venue?",)),
        (("run", "--strategy", "my.py"), ("ModuleNotFoundError", "my.py:1")),
    ):
        one_line(pyrt(tmp_path, *arguments, cwd=tmp_path), *words)


def test_wrong_keys(tmp_path: Path, sim: str) -> None:
    secret = "notthesecret-of-anybody"
    (tmp_path / "keys.json").write_text(f'{{"alpaca_api_key": "PKWRONG", "alpaca_secret_key": "{secret}"}}')
    (tmp_path / "keys.json").chmod(0o600)
    done = pyrt(tmp_path, "run", "--sim-url", sim, "--config", str(tmp_path / "keys.json"))
    one_line(done, "refused the keys", "check key, secret")
    assert secret not in done.stdout + done.stderr
    doctor = pyrt(tmp_path, "doctor", "--sim-url", sim, "--config", str(tmp_path / "keys.json"))
    assert doctor.returncode == 1
    assert "the venue refused the keys" in doctor.stdout
    assert secret not in doctor.stdout + doctor.stderr


def test_an_unknown_symbol(tmp_path: Path, sim: str) -> None:
    done = pyrt(tmp_path, "run", "--sim-url", sim, "--symbols", "NOSUCH", keys=True)
    one_line(done, "no symbol 'NOSUCH'", "check its spelling")


RAISING = """
import os
import signal

import pyrt


class Mine(pyrt.Strategy):
    symbols = ("AAPL",)
    interval = "1s"


class Starts(Mine):
    def on_start(self):
        raise ValueError("two\\nlines")


class Divides(Mine):
    def on_bar(self, bar):
        return 1 / 0


class OffTick(Mine):
    def on_start(self):
        self.buy("AAPL", 1, limit="190.001")


class Elsewhere(Mine):
    def on_start(self):
        self.buy("TSLA", 1)


class Good(Mine):
    bars = 0

    def on_bar(self, bar):
        self.log("alive")
        self.bars += 1
        if self.bars == 2:  # every other one has had its first
            os.kill(os.getpid(), signal.SIGTERM)
"""


def test_a_strategy_that_raises_is_halted_and_the_others_go_on(tmp_path: Path, sim: str) -> None:
    (tmp_path / "my.py").write_text(RAISING)
    classes = ("Starts", "Divides", "OffTick", "Elsewhere", "Good")
    options = [word for name in classes for word in ("--strategy", f"my.py:{name}")]
    done = pyrt(tmp_path, "run", *options, "--sim-url", sim, keys=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    lines = [line for line in done.stderr.splitlines() if "STRATEGY_FAILED" in line]
    assert len(lines) == 4, done.stderr
    for name, words in {
        "Starts": ("on_start raised ValueError: two lines", "my.py:15"),
        "Divides": ("on_bar raised ZeroDivisionError", "my.py:20"),
        "OffTick": ("price 190.001 is off the tick of 0.01", "use 190 or 190.01, or pass round="),
        "Elsewhere": ("no instrument 'TSLA'", "known are AAPL"),
    }.items():
        (line,) = (line for line in lines if f"{name}.on_" in line)
        for word in (*words, "the strategy is halted"):
            assert word in line
    assert "Good: alive" in done.stderr
    assert "unexplained shares: 0" in done.stdout


def test_a_second_run_on_one_journal(tmp_path: Path, sim: str) -> None:
    state = str(tmp_path / "state")
    with running(tmp_path, "--sim-state", state) as first:
        owned = f"process {first.pid} owns this journal"
        one_line(pyrt(tmp_path, "run", "--sim-state", state), owned, "stop that process")
        one_line(call(tmp_path, "run", "--sim-url", sim, "--journal", state, keys=True), owned)
        one_line(call(tmp_path, "flatten", "--yes", "--sim-state", state), owned)


def test_a_journal_that_is_damaged(tmp_path: Path, sim: str) -> None:
    state = tmp_path / "state"
    with Journal.open(state / "journal") as journal:
        for n in range(1, 50):
            journal.append(StrategyNamed(strategy=n, name=f"strategy {n}"), Sync.SOON, n)
    segment = min((state / "journal").glob("*.journal"))
    content = bytearray(segment.read_bytes())
    content[4096 + 200] ^= 0xFF
    segment.write_bytes(content)
    for verb in (("run", "--sim-url", sim, "--journal", str(state)), ("status", "--state", str(state))):
        one_line(call(tmp_path, *verb, keys=True), str(segment), "nothing was changed")
    assert segment.read_bytes() == content


def test_a_websocket_library_of_another_release_is_told_in_one_line(tmp_path: Path) -> None:
    """What was compiled against it reads its objects where they lie."""
    change = "import picows, sys\npicows.__version__, sys.argv = '9.9', ['pyrt', 'run', '--for', '1s']"
    program = f"{change}\nfrom pyrt.__main__ import main\nmain()"
    argv = [sys.executable, "-c", program]
    done = subprocess.run(argv, cwd=tmp_path, env=environment(tmp_path), capture_output=True, text=True, check=False)
    one_line(done, "pip install picows==")
