"""`pyrt why`, `why-not` where the recording is gone, has holes, lost its beginning, or was made with another strategy's file."""

import json
import os
import re
import shutil
from datetime import UTC, datetime
from itertools import groupby
from pathlib import Path
from unittest import mock

import pytest
from tests.cli.processes import call, pyrt

from pyrt.journal.inspect import show
from pyrt.journal.recorder import Kind, Raw, Recorder, RecordingFile, files_of
from pyrt.journal.runs import runs_of
from pyrt.model import Intended, Refused

STRATEGY = """
import os
import signal

import pyrt


class Trader(pyrt.Strategy):
    symbols = ("AAPL", "MSFT")
    interval = "1s"
    size = 3

    def on_start(self):
        self.quotes = 0

    def on_quote(self, quote):
        self.quotes += 1
        if self.quotes % 20 == 1:
            self.buy(quote.symbol, self.size)
        elif self.quotes % 20 == 6:
            self.buy(quote.symbol, 100_000)
        elif self.quotes % 20 == 11 and self.position(quote.symbol):
            self.sell(quote.symbol, 1, limit=quote.bid - 1)
        if str(self.quotes) == os.environ.get("TRADER_ENDS"):
            os.kill(os.getpid(), signal.SIGTERM)
"""


@pytest.fixture(scope="module")
def traded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A strategy's file, and the state of two runs of it."""
    here = tmp_path_factory.mktemp("traded")
    (here / "trader.py").write_text(STRATEGY)
    for _ in range(2):
        with mock.patch.dict(os.environ, TRADER_ENDS="60"):
            done = pyrt(here, "run", "--strategy", str(here / "trader.py"), "--sim-state", str(here / "state"))
        assert done.returncode == 0, done.stderr
    return here


@pytest.fixture
def state(traded: Path, tmp_path: Path) -> Path:
    """A copy of that state."""
    shutil.copytree(traded / "state", tmp_path / "state", ignore=shutil.ignore_patterns("*.sock"))
    return tmp_path / "state"


def orders(state: Path) -> dict[int, list[int]]:
    """The numbers of the orders of each run, by the recorded run that made them."""
    begins = [run.made_of.seq for run in runs_of(state / "recording")]  # type: ignore[union-attr]
    found: dict[int, list[int]] = {}
    for seq, _, fact in show(state / "journal"):
        if isinstance(fact, Intended):
            found.setdefault(sum(begin < seq for begin in begins), []).append(fact.number)
    return found


def raw_of(directory: Path) -> list[tuple[str, Raw]]:
    """Every entry with its run, as it was written."""
    return [(file.run, raw) for file in map(RecordingFile, files_of(directory)) for raw in file]


def written_again(state: Path, limit: int) -> None:
    """The same runs, recorded where so many bytes are kept."""
    old = state / "recording"
    rows = raw_of(old)
    old.rename(state / "whole")
    for _, own in groupby(rows, lambda row: row[0]):
        with Recorder(old, limit_bytes=limit, queue_bytes=1 << 30) as out:
            for _, raw in own:
                if raw.kind != Kind.CLOSED:
                    out.queue.put(raw.kind, raw.now.venue, raw.now.mono, raw.payload)


def without(directory: Path, number: int) -> None:
    """Take one entry out of the first run, as a queue that was full does."""
    path = files_of(directory)[0]
    data, at = path.read_bytes(), 32
    for raw in RecordingFile(path):
        size = int.from_bytes(data[at : at + 4], "little")
        if raw.number == number:
            path.write_bytes(data[:at] + data[at + size :])
            return
        at += size
    raise AssertionError("no such entry")


@pytest.mark.row("X05")
def test_an_order_is_explained_by_the_journal_where_nothing_is_recorded(state: Path, tmp_path: Path) -> None:
    numbers = [n for own in orders(state).values() for n in own]
    (state / "recording").rename(tmp_path / "elsewhere")
    for number in (numbers[0], numbers[1], numbers[-1]):
        done = call(tmp_path, "why", str(number), str(state))
        assert done.returncode == 0, done.stdout + done.stderr
        assert "the journal alone: nothing was recorded here" in done.stdout
        assert "again    approved: the same" in done.stdout
        assert re.search(r"limits   version \d+, set .* by configuration", done.stdout)
        assert "approval" in done.stdout
        assert "reference price" in done.stdout
        assert "only a recording has these" in done.stdout
    done = call(tmp_path, "why", str(numbers[0]), str(state))
    assert done.stdout.startswith(f"order {numbers[0]}: buy 3 ")
    assert re.search(r"ok max_order_qty +3 of 5000 +headroom 4997", done.stdout)
    way = done.stdout.partition("\nway\n")[2]
    assert 0 <= way.index("intended") < way.index("filled 3")
    assert "before   position 0 of Trader" in done.stdout
    first = json.loads(call(tmp_path, "orders", "--all", "--json", "--state", str(state)).stdout.splitlines()[0])
    assert call(tmp_path, "why", first["cid"], str(state)).stdout == done.stdout
    (state / "recording").mkdir()  # somebody emptied it
    assert call(tmp_path, "why", str(numbers[0]), str(state)).returncode == 0


def test_each_run_is_asked_by_itself(state: Path, tmp_path: Path) -> None:
    first, second = orders(state).values()
    without(state / "recording", 2)
    done = call(tmp_path, "why", str(first[0]), str(state))
    assert done.returncode == 0, done.stderr
    assert "the journal alone: not replayable, 1 dropped" in done.stdout
    done = call(tmp_path, "why", str(second[-1]), str(state))
    assert done.returncode == 0, done.stderr
    assert "decided" in done.stdout
    assert "in on_quote" in done.stdout


def test_what_was_dropped_later_is_no_reason_not_to_play(state: Path, tmp_path: Path) -> None:
    first, _ = orders(state).values()
    entries = [raw.number for raw in RecordingFile(files_of(state / "recording")[0])]
    without(state / "recording", entries[-8])
    done = call(tmp_path, "why", str(first[0]), str(state))
    assert done.returncode == 0, done.stderr
    assert "in on_quote" in done.stdout
    assert "until not replayable, 1 dropped" in done.stdout


def test_a_beginning_that_was_rotated_away_is_said(state: Path, tmp_path: Path) -> None:
    first, second = orders(state).values()
    size = sum(len(raw.payload) + 40 for _, raw in raw_of(state / "recording"))
    written_again(state, size * 9 // 10)
    runs = runs_of(state / "recording")
    assert [run.made_of is None for run in runs] == [True, False]
    assert runs[0].holes.rotated > 0
    assert runs[0].holes.dropped == runs[1].holes.dropped == runs[1].holes.rotated == 0
    facts = {fact.number: fact for _, _, fact in show(state / "journal") if isinstance(fact, Intended)}
    heard: dict[int, int] = {}  # instrument -> when what is left first tells of it
    for entry in runs[0].entries():
        for instrument in entry.body["instrument"].tolist() if entry.kind is Kind.MARKET else ():
            heard.setdefault(instrument, entry.now.venue)
    for number in first:
        fact = facts[number]
        done = call(tmp_path, "why", str(number), str(state))
        assert done.returncode == 0, done.stderr
        assert "its beginning was rotated away" in done.stdout
        assert ("by what is left of the recording" in done.stdout) == (heard.get(fact.intent.instrument, fact.ts + 1) <= fact.ts)
    done = call(tmp_path, "why", str(second[0]), str(state))
    assert done.returncode == 0, done.stderr
    assert "in on_quote" in done.stdout
    done = call(tmp_path, "replay", str(state), "--all")
    assert done.returncode == 2
    assert "run 1 of 2: not replayable, its beginning was rotated away" in done.stderr
    assert done.stdout.startswith("run 2 of 2")


def test_a_strategy_that_changed_is_named_and_the_answer_stays(state: Path, traded: Path, tmp_path: Path) -> None:
    first, _ = orders(state).values()
    file = traded / "trader.py"
    whole = call(tmp_path, "why", str(first[1]), str(state)).stdout
    quoted = re.search(r"market (bid [0-9.]+, ask [0-9.]+), ", whole)
    assert quoted is not None
    try:
        file.write_text(STRATEGY + "\n# a word\n")
        done = call(tmp_path, "why", str(first[1]), str(state))
        assert done.returncode == 0
        assert done.stdout.startswith(whole.rstrip("\n"))  # the same decision, and that its file is another one
        assert "has changed since it was recorded: its file's digest was" in done.stdout.removeprefix(whole.rstrip("\n"))
        file.write_text(STRATEGY.replace("size = 3", "size = 4"))
        done = call(tmp_path, "why", str(first[1]), str(state))
        assert done.returncode == 0
        assert re.search(
            "source   the journal alone: .*has changed since .*: after entry [0-9]+ it does something else", done.stdout
        )
        assert "again    approved: the same" in done.stdout
        assert f"  market {quoted[1]}" in done.stdout  # no strategy is needed to know that
        file.unlink()
        done = call(tmp_path, "why", str(first[1]), str(state))
        assert done.returncode == 0
        assert "again    approved: the same" in done.stdout
    finally:
        file.write_text(STRATEGY)


@pytest.mark.row("X05")
def test_why_not_answers_from_the_journal_where_nothing_is_recorded(state: Path, tmp_path: Path) -> None:
    refused = [fact for _, _, fact in show(state / "journal") if isinstance(fact, Refused)]
    assert refused
    one = refused[0]
    symbol = ("AAPL", "MSFT")[one.intent.instrument - 1]
    at = datetime.fromtimestamp(one.ts // 10**9, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    recorded = call(tmp_path, "why-not", symbol, at, str(state), "--for", "3")
    assert recorded.returncode == 0, recorded.stderr
    (state / "recording").rename(tmp_path / "elsewhere")
    done = call(tmp_path, "why-not", symbol, at, str(state), "--for", "3")
    assert done.returncode == 0, done.stderr
    for told in (recorded, done):
        assert f"asked to buy 100000 {symbol} market day: refused: " in told.stdout
    assert "the journal alone: nothing was recorded here" in done.stdout
    assert re.search(r"ORDER_QTY: 100000 of 5000", done.stdout)
    assert re.search(r"again: refused: .*ORDER_QTY.*: the same", done.stdout)
    assert "NOT the same" not in done.stdout
    done = call(tmp_path, "why-not", symbol, "2020-01-01T00:00:00", str(state))
    assert (done.returncode, len(done.stderr.splitlines())) == (1, 1)
