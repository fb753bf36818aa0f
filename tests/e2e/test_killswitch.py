"""The kill switch on a running session: nothing leaves any more, what worked is gone and proved so, the latch stays."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import requests
from tests.e2e.drill import refused_by_the_latch
from tests.e2e.processes import HEADERS, Run, Venue, environment, wait_for

from pyrt.journal.inspect import show
from pyrt.model import Latched

Start = Callable[..., Run]


def posts(venue: Venue, symbol: str = "") -> int:
    requests = venue.truth()["requests"]
    return sum(r["method"] == "POST" and r["path"] == "/v2/orders" and symbol in r["body"] for r in requests)


def trading(run: Run, venue: Venue) -> Run:
    """Wait until it has orders working."""
    run.until("trading:")
    wait_for(lambda: posts(venue) > 3 and venue.open_orders(), "orders")
    return run


def kill(home: Path, *options: str) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-m", "pyrt", "kill", "--state", str(home), "--why", "a drill", *options]
    return subprocess.run(argv, capture_output=True, text=True, env=environment(), timeout=100)


def latches(home: Path) -> list[Latched]:
    return [fact for _, _, fact in show(home / "journal") if isinstance(fact, Latched)]


def nothing_more(venue: Venue) -> None:
    """No order works, and none is sent while the strategy sees some more seconds of quotes."""
    assert venue.open_orders() == []
    sent = posts(venue)
    time.sleep(1.5)
    assert (posts(venue), venue.open_orders()) == (sent, [])


@pytest.mark.row("S047")
def test_the_command_kills_and_the_latch_survives_a_crash(venue: Venue, start: Start, busy: list[str], tmp_path: Path) -> None:
    home = tmp_path / "home"
    run = trading(start(*busy), venue)
    done = kill(home, "--who", "jane")
    assert (done.returncode, done.stderr) == (0, ""), done.stderr + run.log
    assert "system KILLED: latch durable, 0 open orders left, verified twice" in done.stdout
    nothing_more(venue)
    [latch] = latches(home)
    assert (latch.level, latch.scope, latch.who, latch.reason) == ("KILLED", "system", "jane", "a drill")
    run.kill()

    sent, refused = posts(venue), refused_by_the_latch(home)
    again = start(*busy).until("trading:")
    wait_for(lambda: refused_by_the_latch(home) > refused, "an intent that is refused")
    summary = again.end(signal.SIGINT)
    assert posts(venue) == sent
    assert again.process.returncode == 0, again.log
    assert "KILLED" in summary
    assert "unexplained shares: 0" in summary


@pytest.mark.parametrize("everything", [False, True])
def test_the_orders_of_others_are_cancelled_where_somebody_says_so(
    venue: Venue, start: Start, busy: list[str], tmp_path: Path, everything: bool
) -> None:
    body = {"symbol": "AAPL", "qty": "1", "side": "buy", "type": "limit", "time_in_force": "gtc", "limit_price": "10"}
    run = trading(start(*busy), venue)
    answer = requests.post(f"{venue.url}/v2/orders", json=body, headers=HEADERS, timeout=30)
    assert answer.ok, answer.text
    run.until("EXTERNAL_ORDER")
    done = kill(tmp_path / "home", *(["--all"] if everything else []))
    assert (done.returncode, done.stderr) == (0, ""), done.stderr + run.log
    assert "0 open orders left, verified twice" in done.stdout
    assert [o["id"] for o in venue.open_orders()] == ([] if everything else [answer.json()["id"]])
    called = [r for r in venue.truth()["requests"] if (r["method"], r["path"]) == ("DELETE", "/v2/orders")]
    assert bool(called) is everything


@pytest.mark.parametrize("how", ["signal", "file"])
def test_a_signal_and_an_empty_file_kill_too(venue: Venue, start: Start, busy: list[str], tmp_path: Path, how: str) -> None:
    run = trading(start(*busy), venue)
    if how == "signal":
        run.process.send_signal(signal.SIGUSR1)
    else:
        (tmp_path / "home" / "KILL").touch()
    run.until("SWEPT: system")
    nothing_more(venue)
    assert [latch.level for latch in latches(tmp_path / "home")] == ["KILLED"]
    wait_for(lambda: not (tmp_path / "home" / "KILL").exists(), "the request to be taken")


def test_a_symbol_alone(venue: Venue, start: Start, busy: list[str], tmp_path: Path) -> None:
    run = trading(start(*busy), venue)
    done = kill(tmp_path / "home", "--scope", "msft", "--level", "halted")
    assert done.returncode == 0, done.stderr + run.log
    assert "MSFT" not in {o["symbol"] for o in venue.open_orders()}
    stopped, others = posts(venue, "MSFT"), posts(venue, "AAPL")
    wait_for(lambda: posts(venue, "AAPL") > others + 3, "the other symbols to trade on")
    assert posts(venue, "MSFT") == stopped


def test_unknown_scopes_are_named(venue: Venue, start: Start, busy: list[str], tmp_path: Path) -> None:
    start(*busy).until("trading:")
    done = kill(tmp_path / "home", "--scope", "strategy:nobody")
    assert done.returncode == 3
    assert "strategy:Busy" in done.stdout
    assert latches(tmp_path / "home") == []


def test_what_a_storm_of_429_and_lost_answers_leaves_is_found_and_cancelled(
    venue: Venue, start: Start, busy: list[str], tmp_path: Path
) -> None:
    venue.fault("gateway_timeout", every=2)
    run = trading(start(*busy), venue)
    venue.fault("rate_limited", seconds=3)
    done = kill(tmp_path / "home")
    assert done.returncode == 0, done.stdout + done.stderr + run.log
    nothing_more(venue)


def test_a_kill_before_the_start_holds(venue: Venue, start: Start, busy: list[str], tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir(mode=0o700)
    done = kill(home, "--level", "HALTED")
    assert done.returncode == 3
    assert "the next one starts HALTED" in done.stderr
    run = start(*busy).until("trading:")
    wait_for(lambda: refused_by_the_latch(home), "an intent that is refused")
    summary = run.end(signal.SIGINT)
    assert posts(venue) == 0
    assert "KILLED" in summary
    assert [latch.level for latch in latches(home)] == ["HALTED"]
    assert not (home / "KILL").exists()


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--level", "ACTIVE"], "REDUCING"),
        (["--scope", "no!"], "symbol"),
        (["--all", "--scope", "AAPL"], "--all"),
        ([], "no such directory"),
    ],
)
def test_mistakes_are_one_line(tmp_path: Path, options: list[str], says: str) -> None:
    done = kill(tmp_path / "nowhere", *options)
    assert done.returncode == 1
    assert says in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_without_a_running_session_there_is_nothing_to_kill(tmp_path: Path) -> None:
    argv = [sys.executable, "-m", "pyrt", "kill", "--why", "a drill"]
    env = {**os.environ, "XDG_STATE_HOME": str(tmp_path)}
    done = subprocess.run(argv, capture_output=True, text=True, env=env, timeout=100)
    assert done.returncode == 1
    assert "no session runs" in done.stderr
