"""How a session ends: in order, at once, and when its disk fails it."""

import signal
import socket
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.e2e.drill import LIMITS, STRATEGY, Report, compare
from tests.e2e.processes import Run, Venue, wait_for

from pyrt.journal.inspect import show
from pyrt.model import Intended

Start = Callable[..., Run]


@pytest.fixture
def busy(tmp_path: Path) -> list[str]:
    """Options of a session that sends orders without end."""
    (tmp_path / "busy.py").write_text(STRATEGY)
    (tmp_path / "limits.toml").write_text(LIMITS)
    return ["--strategy", str(tmp_path / "busy.py"), "--limits", str(tmp_path / "limits.toml")]


def trading(run: Run, venue: Venue) -> Run:
    run.until("trading:")
    wait_for(lambda: venue.truth()["orders"] and venue.open_orders(), "orders")
    return run


def test_a_second_ctrl_c_ends_at_once_and_nothing_is_lost(venue: Venue, start: Start, busy: list[str], tmp_path: Path) -> None:
    run = trading(start(*busy, "--no-watchdog"), venue)
    venue.fault("rate_limited", seconds=600)  # no cancel gets through: an ordered end would wait
    run.process.send_signal(signal.SIGINT)
    run.until("again to end at once")
    run.end(signal.SIGINT)
    assert run.process.returncode == 130, run.log
    assert "Traceback" not in run.log
    assert "pyrt: ended at once" in run.log
    venue.disarm()
    again = start(*busy, "--no-watchdog").until("trading:")
    summary = again.end(signal.SIGINT)
    assert "unknown orders: 0   unexplained shares: 0" in summary
    report = Report()
    compare(venue, tmp_path / "home" / "journal", report)
    assert not report.faults, "\n".join(report.faults)


def test_ctrl_c_before_anything_runs_is_silent() -> None:
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        run = Run("--sim-url", f"http://127.0.0.1:{deaf.getsockname()[1]}")
        connection, _ = deaf.accept()
        with connection:
            out = run.end(signal.SIGINT)
    assert (run.process.returncode, out, run.log) == (130, "", "")


def test_orders_that_wait_for_the_request_budget_end_here_at_a_stop(busy: list[str], tmp_path: Path) -> None:
    venue, home = Venue(rate_limit=60), tmp_path / "home"
    run = Run(
        *("--sim-url", venue.url, "--sim-state", str(home), "--rate-limit", "60", "--deadline", "1", "--settle", "1"), *busy
    )

    def queued() -> bool:
        intents = sum(isinstance(fact, Intended) for _, _, fact in show(home / "journal"))
        return intents > len(venue.truth()["orders"]) + 3

    try:
        run.until("trading:")
        wait_for(queued, "orders that wait")
        summary = run.end(signal.SIGINT)
    finally:
        run.close()
        venue.close()
    assert run.process.returncode == 0, run.log
    assert "NO_ANSWER" not in run.log
    assert "NOT_SENT: withdrawn" in run.log
    assert "unknown orders: 0   unexplained shares: 0" in summary
