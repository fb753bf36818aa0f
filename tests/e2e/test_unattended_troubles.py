"""A session that is blind, deaf or cannot begin calls a human once, says once that it is over, and has no heartbeat meanwhile."""

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from tests.e2e.processes import Run, Venue, wait_for

Start = Callable[..., Run]
AWAY = ("DATA_AWAY", "UPDATES_AWAY", "VENUE_AWAY")
BACK = ("DATA_BACK", "UPDATES_BACK", "VENUE_BACK")
# Has an entry at work as soon as there are prices.
RESTING = """
from pyrt import Strategy

class Resting(Strategy):
    symbols = ("AAPL",)
    entry = None

    def on_quote(self, quote):
        if self.entry is None and quote.bid > 0:
            self.entry = self.buy("AAPL", 2, limit=round(quote.bid * 0.9, 2))
"""


class Hook(ThreadingHTTPServer):
    """A webhook and a heartbeat's address."""

    daemon_threads = True

    def __init__(self) -> None:
        self.told: list[dict[str, str]] = []
        self.beats = 0
        super().__init__(("127.0.0.1", 0), Answer)

    @property
    def codes(self) -> list[str]:
        return [told["code"] for told in self.told]

    def told_of(self, *codes: str) -> None:
        """Wait until all of these have been told."""
        wait_for(lambda: set(codes) <= set(self.codes), f"{codes} among {self.codes}")


class Answer(BaseHTTPRequestHandler):
    server: Hook

    def do_POST(self) -> None:
        self.server.told.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        self.send_response(204)
        self.end_headers()

    def do_GET(self) -> None:
        self.server.beats += 1
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Nothing on the terminal."""


@pytest.fixture
def hook() -> Iterator[Hook]:
    with Hook() as server:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        yield server
        server.shutdown()


@pytest.fixture
def alerted(hook: Hook, tmp_path: Path) -> list[str]:
    """Options of a session that calls the hook for what lasts three seconds."""
    file, url = tmp_path / "alerts.toml", f"http://127.0.0.1:{hook.server_port}"
    lines = [f'webhook = "{url}/in"', f'heartbeat = "{url}/beat"', "heartbeat_secs = 0.1", "trouble_secs = 3.0"]
    file.write_text("\n".join(["[alerts]", *lines]) + "\n")
    file.chmod(0o600)
    return ["--config", str(file), "--no-view"]


def paused(run: Run, hook: Hook, why: str) -> int:
    """Wait until the heartbeat pauses; how often it had been taken by then: none is under way any more."""
    run.until(f"the heartbeat pauses: {why}")
    return hook.beats


def test_streams_and_a_venue_that_go_away_are_heard_of_once(
    venue: Venue, hook: Hook, start: Start, alerted: list[str], tmp_path: Path
) -> None:
    run = start(*alerted, "--silence", "600", "--data-down", "600").until("trading:")
    wait_for(lambda: hook.beats > 1, "the heartbeat")
    venue.fault("drop_data", seconds=600)
    beats = paused(run, hook, "DATA_AWAY")
    hook.told_of("DATA_AWAY")
    venue.fault("server_error", on="reads", status=503)
    venue.fault("drop_stream")  # it comes back at once, and the venue's books are asked for then
    hook.told_of("DATA_AWAY", "VENUE_AWAY")
    venue.fault("drop_stream", seconds=600)
    hook.told_of(*AWAY)
    assert hook.beats == beats
    venue.disarm()
    hook.told_of(*BACK)
    wait_for(lambda: hook.beats > beats, "the heartbeat to go on")
    assert sorted(hook.codes) == sorted(AWAY + BACK)
    assert {told["severity"] for told in hook.told} == {"critical", "info"}
    run.end(signal.SIGINT)
    assert run.process.returncode == 0, run.log
    replayed = [sys.executable, "-m", "pyrt", "replay", str(tmp_path / "home")]
    done = subprocess.run(replayed, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_recovery_that_does_not_end_is_heard_of_and_its_end(venue: Venue, hook: Hook, start: Start, alerted: list[str]) -> None:
    venue.fault("drop_stream", seconds=600)
    run = start(*alerted)
    hook.told_of("NOT_RECOVERED")
    assert "the trading stream is down" in hook.told[0]["text"]
    assert hook.beats == 0
    venue.disarm()
    hook.told_of("RECOVERED")
    wait_for(lambda: hook.beats, "the heartbeat to begin")
    assert hook.codes == ["NOT_RECOVERED", "RECOVERED"]
    run.end(signal.SIGINT)
    assert run.process.returncode == 0, run.log


def test_a_halted_session_has_no_heartbeat_until_it_is_resumed(
    venue: Venue, hook: Hook, start: Start, alerted: list[str], tmp_path: Path
) -> None:
    run = start(*alerted).until("trading:")
    wait_for(lambda: hook.beats, "the heartbeat")
    os.kill(run.process.pid, signal.SIGUSR1)
    beats = paused(run, hook, "system KILLED")
    hook.told_of("KILLED")
    assert hook.beats == beats
    resume = [sys.executable, "-m", "pyrt", "resume", "--state", str(tmp_path / "home"), "--who", "anna", "--why", "a drill"]
    done = subprocess.run(resume, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    wait_for(lambda: hook.beats > beats, "the heartbeat to go on")


@pytest.mark.row("S122")
def test_a_watchdog_tells_of_the_sweep_after_a_session_that_was_killed(
    venue: Venue, hook: Hook, start: Start, alerted: list[str], tmp_path: Path
) -> None:
    run = start(*alerted, "--silence", "600", "--data-down", "600").until("trading:")
    run.kill()
    hook.told_of("WATCHDOG_SWEEP")
    log = tmp_path / "home" / "watchdog.log"
    wait_for(lambda: "verified twice" in log.read_text(), "the proof")
    wait_for(lambda: "WATCHDOG_SWEEP was told by webhook" in log.read_text(), "the end of the word")
    [told] = [told for told in hook.told if told["code"] == "WATCHDOG_SWEEP"]
    assert (told["kind"], told["severity"], told["venue"]) == ("alarm", "critical", "sim")
    assert told["text"].startswith("the session ended without a word: the watchdog cancels the entries of journal ")
    assert "alerts" not in log.read_text()
    again = start(*alerted).until("trading:")
    again.end(signal.SIGINT)
    assert hook.codes.count("WATCHDOG_SWEEP") == 1


@pytest.mark.nightly
def test_a_watchdog_tells_of_orders_that_it_cancels_for_want_of_data(
    venue: Venue, hook: Hook, start: Start, alerted: list[str], tmp_path: Path
) -> None:
    (tmp_path / "resting.py").write_text(RESTING)
    options = ["--strategy", str(tmp_path / "resting.py"), "--silence", "600", "--data-down", "1"]
    run = start(*alerted, *options).until("trading:")
    wait_for(venue.open_orders, "the entry")
    venue.fault("drop_data", seconds=600)
    hook.told_of("WATCHDOG_SWEEP", "DATA_AWAY")
    wait_for(lambda: not venue.open_orders(), "the entry to be cancelled")
    assert [told["text"].partition(":")[0] for told in hook.told if told["code"] == "WATCHDOG_SWEEP"] == ["no market data for 1 s"]
    run.end(signal.SIGINT)
