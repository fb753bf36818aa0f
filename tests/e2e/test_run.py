"""`python -m pyrt run` as a user types it: real processes, real sockets."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from tests.e2e.processes import Run


def run_pyrt(tmp_path: Path, *options: str, **kwargs: object) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "XDG_STATE_HOME": str(tmp_path / "state")}
    argv = [sys.executable, "-m", "pyrt", "run", *options]
    return subprocess.run(argv, capture_output=True, text=True, env=env, timeout=100, **kwargs)  # type: ignore[call-overload]


def number(summary: str, name: str) -> int:
    found = re.search(rf"{name} ([\d,]+)", summary)
    assert found, summary
    return int(found[1].replace(",", ""))


@pytest.mark.row("S018", "S072")
def test_a_session_without_options_trades_and_ends_in_order(tmp_path: Path) -> None:
    run = Run("--seed", "3", XDG_STATE_HOME=str(tmp_path / "state"))
    try:
        said = run.counted(messages=100, bars=5, orders=1, fills=1).end(signal.SIGINT)
    finally:
        run.close()
    assert run.process.returncode == 0, run.log
    assert "Traceback" not in run.log
    assert number(said, "messages") >= 100
    assert number(said, "bars") >= 5
    assert number(said, "orders") >= 1
    assert number(said, "fills") >= 1
    assert "unexplained shares: 0" in said
    assert "unknown orders: 0" in said


@pytest.mark.row("S122")
def test_a_restart_finds_the_same_account_and_journal(tmp_path: Path) -> None:
    run = Run("--sim-state", str(tmp_path / "sim"))
    try:
        first = run.counted(fills=1).end(signal.SIGINT)
    finally:
        run.close()
    assert run.process.returncode == 0, run.log
    again = run_pyrt(tmp_path, "--for", "3s", "--sim-state", str(tmp_path / "sim"))
    assert again.returncode == 0, again.stderr
    account = re.search(r"account (\S+)", first)
    assert account
    assert account[1] in again.stdout
    assert "unexplained shares: 0" in again.stdout
    replayed = re.search(r"the snapshot of record (\d+) and (\d+) facts replayed", again.stderr)
    assert replayed
    assert int(replayed[1]) > 5
    assert int(replayed[2]) <= 2, "a session that ended in order leaves its snapshot at the end of its journal"


@pytest.mark.row("S010")
def test_ctrl_c_ends_the_session_with_a_summary(tmp_path: Path) -> None:
    env = {**os.environ, "XDG_STATE_HOME": str(tmp_path / "state")}
    with subprocess.Popen(
        [sys.executable, "-m", "pyrt", "run"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env
    ) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if "trading:" in line:
                break
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert "unexplained shares: 0" in out
    assert "Traceback" not in err


def test_a_user_s_mistake_is_one_line(tmp_path: Path) -> None:
    done = run_pyrt(tmp_path, "--strategy", "nowhere.py")
    assert done.returncode == 1
    assert done.stderr.strip() == "pyrt: --strategy: nowhere.py does not exist -- check the path"


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--venue", "alpaca-live"], "live"),
        (["--for", "soon"], "30s"),
        (["--set", "SmaCross.fats=3"], "fast"),
        (["--venue", "nyse"], "alpaca-paper"),
    ],
)
def test_what_is_refused_says_why(tmp_path: Path, options: list[str], says: str) -> None:
    done = run_pyrt(tmp_path, *options)
    assert done.returncode == 1
    assert says in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
