"""`pyrt replay`: sessions on the simulated venue, one that ended and one that was killed, come out the same."""

import re
from pathlib import Path

import pytest
from tests.cli.processes import call, pyrt

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
        if self.die and self.quotes == self.die:
            os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.row("S124")
def test_a_session_is_a_function_of_what_it_saw(tmp_path: Path) -> None:
    file, state = tmp_path / "trader.py", str(tmp_path / "state")
    file.write_text(STRATEGY)
    own = ("--strategy", str(file), "--sim-state", state)
    done = pyrt(tmp_path, "run", *own, "--for", "3s")
    assert done.returncode == 0, done.stderr
    assert pyrt(tmp_path, "run", *own, "--set", "die=60", "--for", "60s").returncode == -9

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
    done = call(tmp_path, "replay", state)
    assert done.returncode == 2
    assert "not replayable, 1 dropped" in done.stderr


def test_nothing_to_replay_is_one_line(tmp_path: Path) -> None:
    done = call(tmp_path, "replay", str(tmp_path))
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
