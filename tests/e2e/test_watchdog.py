"""The watchdog: entries are cancelled when the session hangs, dies or loses its data; exits and strangers stay."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import requests
from tests.e2e.drill import refused_by_the_latch
from tests.e2e.processes import HEADERS, Run, Venue, wait_for

from pyrt.monitor import RiskPage

Start = Callable[..., Run]
DEATH_ALONE = ["--silence", "600", "--data-down", "600"]  # what a machine does that stands still is no test of what a death does

# Buys one share at the market; then a far entry and a far exit rest. What comes then is the test's.
RESTING = """
from pyrt import Strategy

class Resting(Strategy):
    symbols = ("AAPL",)
    hang = ""  # a file that it makes when it begins to loop
    entry = exit = None

    def on_quote(self, quote):
        if self.entry is None and quote.ask > quote.bid > 0:
            self.buy("AAPL", 1)
            self.entry = self.buy("AAPL", 2, limit=round(quote.bid * 0.9, 2))
        elif self.exit is None and self.position("AAPL"):
            self.exit = self.sell("AAPL", 1, limit=round(quote.ask * 1.1, 2), reduce_only=True)
        elif self.hang and self.exit is not None and self.exit.status == 4 and self.entry.status in (4, 21):
            open(self.hang, "w").close()  # with the entry, or without it where a starved session was taken for a dead one
            while True:
                pass
"""


@pytest.fixture
def resting(tmp_path: Path) -> list[str]:
    (tmp_path / "resting.py").write_text(RESTING)
    return ["--strategy", str(tmp_path / "resting.py")]


def working(venue: Venue) -> dict[str, list[dict[str, Any]]]:
    found = venue.open_orders()
    return {side: [o for o in found if o["side"] == side] for side in ("buy", "sell")}


def both(venue: Venue) -> dict[str, list[dict[str, Any]]]:
    """Wait until the entry and the exit work."""

    def seen() -> dict[str, list[dict[str, Any]]] | None:
        found = working(venue)
        return found if len(found["buy"]) == len(found["sell"]) == 1 else None

    found: dict[str, list[dict[str, Any]]] = wait_for(seen, "entry and exit")
    return found


def only_the_exit(venue: Venue) -> bool:
    found = working(venue)
    return not found["buy"] and len(found["sell"]) == 1


def watchdog_log(tmp_path: Path) -> str:
    return (tmp_path / "home" / "watchdog.log").read_text()


@pytest.mark.row("S047")
def test_a_strategy_that_loops_for_ever(venue: Venue, start: Start, resting: list[str], tmp_path: Path) -> None:
    stranger = requests.post(
        f"{venue.url}/v2/orders",
        headers=HEADERS,
        json={"symbol": "SPY", "qty": "1", "side": "buy", "type": "limit", "time_in_force": "day", "limit_price": "1"},
        timeout=30,
    ).json()["id"]
    start(*resting, "--silence", "1", "--set", f"Resting.hang={tmp_path / 'hangs'}").until("trading:")
    wait_for((tmp_path / "hangs").exists, "the loop")
    wait_for(lambda: [o["side"] for o in venue.open_orders() if o["id"] != stranger] == ["sell"], "the entry to be cancelled")
    wait_for(lambda: "verified twice" in watchdog_log(tmp_path), "the proof")
    assert "no sign of life for 1 s" in watchdog_log(tmp_path)
    assert stranger in {o["id"] for o in venue.open_orders()}
    cancelled = [o for o in venue.truth()["orders"] if o["status"] == "canceled"]
    assert [(o["side"], o["qty"]) for o in cancelled] == [("buy", "2")]


@pytest.mark.row("S122")
def test_a_session_that_is_killed(venue: Venue, start: Start, resting: list[str], tmp_path: Path) -> None:
    run = start(*resting, *DEATH_ALONE).until("trading:")
    entry = both(venue)["buy"][0]["client_order_id"]
    run.kill()
    wait_for(lambda: only_the_exit(venue), "the entry to be cancelled")
    wait_for(lambda: "verified twice" in watchdog_log(tmp_path), "the proof")
    assert "ended without a word" in watchdog_log(tmp_path)
    assert entry in watchdog_log(tmp_path)
    again = start(*resting).until("trading:")
    summary = again.end(signal.SIGINT)
    assert again.process.returncode == 0, again.log
    assert "unknown orders: 0   unexplained shares: 0" in summary


def test_a_kill_of_a_session_that_hangs_waits_for_the_next_one(
    venue: Venue, start: Start, resting: list[str], tmp_path: Path
) -> None:
    home = tmp_path / "home"
    run = start(*resting, "--silence", "1", "--set", f"Resting.hang={tmp_path / 'hangs'}").until("trading:")
    wait_for((tmp_path / "hangs").exists, "the loop")
    wait_for(lambda: "verified twice" in watchdog_log(tmp_path), "the watchdog")
    argv = [sys.executable, "-m", "pyrt", "kill", "--state", str(home), "--why", "it hangs", "--wait", "2"]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (3, "")
    assert "the session does not answer; no order leaves it" in done.stdout
    page = RiskPage.find(home)
    assert page is not None
    assert page.blocks()
    page.close()
    run.kill()
    sent = len(venue.truth()["orders"])
    again = start(*resting).until("trading:")
    wait_for(lambda: not (home / "KILL").exists(), "the request to be taken")
    wait_for(lambda: not venue.open_orders(), "the exit to be cancelled too")
    wait_for(lambda: refused_by_the_latch(home), "an intent that is refused")
    summary = again.end(signal.SIGINT)
    assert "KILLED" in summary
    assert len(venue.truth()["orders"]) == sent


def test_a_watchdog_that_ends_is_replaced(venue: Venue, start: Start, resting: list[str], tmp_path: Path) -> None:
    run = start(*resting, *DEATH_ALONE).until("trading:")
    both(venue)
    [child] = _children(run.process.pid)
    os.kill(child, signal.SIGKILL)
    run.until("WATCHDOG: the watchdog ended with status -9")
    wait_for(lambda: [c for c in _children(run.process.pid) if c != child], "another watchdog")
    run.kill()
    wait_for(lambda: only_the_exit(venue), "the entry to be cancelled")


def _children(pid: int) -> list[int]:
    """Its watchdogs."""
    found = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        found += [int(child) for child in (task / "children").read_text().split()]
    return [child for child in found if b"pyrt.watchdog" in Path(f"/proc/{child}/cmdline").read_bytes()]


def test_a_journal_that_cannot_be_read(venue: Venue, start: Start, resting: list[str], tmp_path: Path) -> None:
    run = start(*resting, *DEATH_ALONE).until("trading:")
    both(venue)
    run.process.send_signal(signal.SIGSTOP)
    (tmp_path / "home" / "journal" / "00000001.journal").rename(tmp_path / "elsewhere")
    (tmp_path / "home" / "journal" / "00000002.journal").write_bytes(b"x" * 8192)
    run.kill()
    wait_for(lambda: not venue.open_orders(), "everything with the journal's mark to be cancelled")
    assert "ALARM: the journal cannot be read" in watchdog_log(tmp_path)


def test_a_data_feed_that_is_gone(venue: Venue, start: Start, resting: list[str], tmp_path: Path) -> None:
    run = start(*resting, "--data-down", "1", "--silence", "600").until("trading:")
    wait_for(lambda: working(venue)["sell"], "the exit, which comes after the entry")
    venue.fault("drop_data", seconds=300)
    wait_for(lambda: only_the_exit(venue), "the entry to be cancelled")
    assert "no market data for 1 s" in watchdog_log(tmp_path)
    wait_for(lambda: "verified twice" in watchdog_log(tmp_path), "the proof")
    summary = run.end(signal.SIGINT)
    assert run.process.returncode == 0, run.log
    assert "open 1" in summary


@pytest.mark.parametrize("late", [False, True])
def test_orders_of_the_next_life_are_not_touched(
    venue: Venue, start: Start, resting: list[str], tmp_path: Path, late: bool
) -> None:
    run = start(*resting, *DEATH_ALONE).until("trading:")
    both(venue)
    [child] = _children(run.process.pid)
    if late:  # the machine gives it no time until the next life trades
        os.kill(child, signal.SIGSTOP)
    run.kill()
    again = start(*resting, "--no-watchdog").until("trading:")
    if late:
        wait_for(lambda: len(_entries(venue)) == 2, "the entry of the second life")
        os.kill(child, signal.SIGCONT)
    wait_for(lambda: "verified twice" in watchdog_log(tmp_path), "the proof")
    first, entry = wait_for(lambda: _entries(venue), "the entry of the second life")
    assert (first["status"], entry["status"]) == ("canceled", "new")
    again.end(signal.SIGINT)


def _entries(venue: Venue) -> list[dict[str, Any]]:
    found = [o for o in venue.truth()["orders"] if o["side"] == "buy" and o["qty"] == "2"]
    return sorted(found, key=lambda o: o["created_at"]) if len(found) == 2 else []


def test_an_ordered_end_leaves_no_watchdog(venue: Venue, start: Start, resting: list[str], tmp_path: Path) -> None:
    run = start(*resting, *DEATH_ALONE).until("trading:")
    both(venue)
    summary = run.end(signal.SIGINT)
    assert run.process.returncode == 0, run.log
    assert "open 1" in summary
    assert only_the_exit(venue)
    assert watchdog_log(tmp_path) == ""


@pytest.mark.nightly
def test_what_an_ordered_end_could_not_prove_it_cancels(venue: Venue, start: Start, resting: list[str], tmp_path: Path) -> None:
    run = start(*resting, *DEATH_ALONE).until("trading:")
    both(venue)
    venue.fault("rate_limited", seconds=18)  # no cancel of the session gets through
    summary = run.end(signal.SIGINT)
    assert "open 2" in summary
    assert "the watchdog goes on cancelling" in run.log
    wait_for(lambda: only_the_exit(venue), "the entry to be cancelled")
    wait_for(lambda: "verified twice" in watchdog_log(tmp_path), "the proof")
