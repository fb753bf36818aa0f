"""`pyrt replay`, `why`, `why-not`: sessions on the simulated venue, one that ended and one that was killed, come out the same."""

import json
import os
import re
import shutil
from datetime import UTC, datetime
from pathlib import Path
from unittest import mock

import pytest
from tests.cli.processes import call, pyrt

from pyrt.cli.recorded import recorded_runs, recorded_sizer, strategies_of
from pyrt.journal.inspect import show
from pyrt.journal.recorder import Kind
from pyrt.live.replay import Replay
from pyrt.model import Alarmed, OrderChanged
from pyrt.ports import Stop

STRATEGY = """
import os
import signal

import pyrt


class Trader(pyrt.Strategy):
    symbols = ("AAPL", "MSFT")
    interval = "1s"
    size = 3
    die = 0

    def on_start(self):
        self.quotes = 0

    def on_quote(self, quote):
        self.quotes += 1
        if self.quotes % 20 == 1:
            self.buy(quote.symbol, self.size)
        elif self.quotes % 20 == 11 and self.position(quote.symbol):
            self.sell(quote.symbol, 1, limit=quote.bid - 1)
        if str(self.quotes) == os.environ.get("TRADER_ENDS"):  # of the process, not of the session: no replay ends by it
            os.kill(os.getpid(), signal.SIGTERM)
        if self.die and self.quotes == self.die:
            os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A strategy's file, and the state of two runs of it: one that ended, one that was killed."""
    here = tmp_path_factory.mktemp("played")
    (here / "trader.py").write_text(STRATEGY)
    own = ("--strategy", str(here / "trader.py"), "--sim-state", str(here / "state"))
    with mock.patch.dict(os.environ, TRADER_ENDS="60"):
        done = pyrt(here, "run", *own)
    assert done.returncode == 0, done.stderr
    assert pyrt(here, "run", *own, "--set", "die=60").returncode == -9
    return here


@pytest.mark.row("S124")
def test_a_session_is_a_function_of_what_it_saw(played: Path, tmp_path: Path) -> None:
    shutil.copytree(played / "state", tmp_path / "state", ignore=shutil.ignore_patterns("*.sock"))
    file, state = played / "trader.py", str(tmp_path / "state")
    done = call(tmp_path, "replay", state, "--all")
    assert done.returncode == 0, done.stderr
    lines = [line for line in done.stdout.splitlines() if line.startswith("run ")]
    assert [line.partition(":")[0] for line in lines] == ["run 1 of 2", "run 2 of 2"]
    for line in lines:  # both traded, and recovery alone makes four commands
        inputs, facts, commands = map(int, re.findall(r"(\d+) (?:inputs|facts|commands)", line))
        assert inputs > 50
        assert facts > 10
        assert commands > 4

    file.write_text(STRATEGY.replace("size = 3", "size = 4"))
    done = call(tmp_path, "replay", state, "--run", "1")
    assert done.returncode == 1
    assert "has changed since it was recorded" in done.stderr
    assert "qty=3000000000" in done.stderr
    assert "qty=4000000000" in done.stderr

    file.write_text(STRATEGY)
    first = min((tmp_path / "state" / "recording").glob("*.inbox"))
    whole = first.read_bytes()
    first.write_bytes(whole[: len(whole) // 2])  # a power cut: what is there is played, what is not is told
    done = call(tmp_path, "replay", state, "--run", "1")
    assert done.returncode == 0
    assert "facts of the journal are from after the recording's end" in done.stdout
    at = 32  # of the first entry
    second = at + int.from_bytes(whole[at : at + 4], "little")
    third = second + int.from_bytes(whole[second : second + 4], "little")
    first.write_bytes(whole[:second] + whole[third:])
    done = call(tmp_path, "replay", state, "--run", "1")
    assert done.returncode == 2
    assert "run 1 of 2: not replayable, 1 dropped" in done.stderr
    assert call(tmp_path, "replay", state).returncode == 0  # the other run lacks nothing
    done = call(tmp_path, "replay", state, "--all")
    assert (done.returncode, done.stdout.partition(":")[0]) == (2, "run 2 of 2")


@pytest.mark.parametrize("ended", [True, False])
def test_what_a_journal_that_ended_in_order_lacks_is_a_difference(played: Path, ended: bool) -> None:
    first, second = recorded_runs(played / "state")
    run, upto = first.made_of, second.made_of.seq
    facts = [row for row in show(played / "state" / "journal") if row[0] <= upto]
    last = max(n for n, row in enumerate(facts) if isinstance(row[2], OrderChanged))
    outcome = Replay(run, facts[:last], strategies_of(run), recorded_sizer(run), ended=ended).play(first.entries())
    assert outcome.equal != ended
    assert bool(outcome.missing) != ended


def test_a_recording_that_ends_before_a_command_left_is_no_difference(played: Path) -> None:
    """A kill between an order and the sync that it waits for; in a run that ended in order the same is one."""
    first, second = recorded_runs(played / "state")
    run, upto, whole = first.made_of, second.made_of.seq, list(first.entries())
    facts = [row for row in show(played / "state" / "journal") if row[0] <= upto]
    places = [n for n, entry in enumerate(whole) if entry.kind is Kind.COMMAND]
    stopped = next(n for n, entry in enumerate(whole) if isinstance(entry.body, Stop))
    for place in (places[0], max(place for place in places if place < stopped)):
        outcome = Replay(run, facts, strategies_of(run), recorded_sizer(run)).play(whole[:place])
        assert outcome.equal, outcome
        assert outcome.unsent > 0
    lacking = [entry for n, entry in enumerate(whole) if n != places[-1]]
    outcome = Replay(run, facts, strategies_of(run), recorded_sizer(run)).play(lacking)
    assert not outcome.equal
    assert outcome.unsent == 0


@pytest.mark.parametrize("code", ["WATCHDOG", "NO_DATA", "BAR_INCOMPLETE", "DATA_AWAY", "VENUE_AWAY", "NOT_RECOVERED", "another"])
def test_an_alarm_of_what_stands_beside_a_session_is_no_output_of_it(played: Path, code: str) -> None:
    first, second = recorded_runs(played / "state")
    run, upto = first.made_of, second.made_of.seq
    facts = [row for row in show(played / "state" / "journal") if row[0] <= upto]
    place = next(n for n, row in enumerate(facts) if isinstance(row[2], OrderChanged))
    seq, ts, _ = facts[place]
    facts.insert(place, (seq, ts, Alarmed(severity="critical", code=code, text="a child ended", ts=ts)))
    outcome = Replay(run, facts, strategies_of(run), recorded_sizer(run), ended=True).play(first.entries())
    assert outcome.equal == (code != "another")


@pytest.mark.row("X05")
def test_why_tells_what_an_order_went_by(played: Path, tmp_path: Path) -> None:
    state = str(played / "state")
    rows = [json.loads(line) for line in call(tmp_path, "orders", "--all", "--json", "--state", state).stdout.splitlines()]
    first = rows[0]
    done = call(tmp_path, "why", "1", state)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"order 1: buy 3 {first['symbol']} market day, by Trader")
    assert "in on_quote" in done.stdout
    assert "quotes = 0" in done.stdout  # what the strategy held when it was called
    assert re.search(r"ok max_order_qty +3 of 5000 +headroom 4997", done.stdout)
    way = done.stdout.partition("\nway\n")[2]
    assert [way.index(word) for word in ("intended", "submit asked for", "filled 3")] == sorted(
        way.index(word) for word in ("intended", "submit asked for", "filled 3")
    )
    assert call(tmp_path, "why", first["cid"], state).stdout == done.stdout
    assert call(tmp_path, "why", str(rows[-1]["number"]), state).returncode == 0  # of the run that was killed
    done = call(tmp_path, "why", "4711", state)
    assert (done.returncode, len(done.stderr.splitlines())) == (1, 1)


@pytest.mark.row("X05")
def test_why_not_tells_who_was_asked_and_what_was_not_recorded(played: Path, tmp_path: Path) -> None:
    state = str(played / "state")
    first = json.loads(call(tmp_path, "orders", "--all", "--json", "--state", state).stdout.splitlines()[0])
    symbol = first["symbol"]  # whose quote came first
    at = datetime.fromtimestamp(first["ts"] // 10**9, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    done = call(tmp_path, "why-not", symbol, at, state, "--for", "3")
    assert done.returncode == 0, done.stderr
    assert "strategies that trade it: Trader" in done.stdout
    assert f"Trader.on_quote asked to buy 3 {symbol} market day: order" in done.stdout
    callbacks, idle = map(int, re.findall(r"(\d+) callbacks, (\d+) of them", done.stdout)[0])
    assert callbacks > idle > 5
    for words, what in (
        (("TSLA", at), "TSLA was never watched"),
        (("AAPL", "yesterday"), "is not a time"),
        (("AAPL", "2020-01-01T00:00:00"), "nothing was recorded"),
    ):
        done = call(tmp_path, "why-not", *words, state)
        assert done.returncode == 1
        assert what in done.stderr
        assert len(done.stderr.splitlines()) == 1


def test_nothing_to_replay_is_one_line(tmp_path: Path) -> None:
    done = call(tmp_path, "replay", str(tmp_path))
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
