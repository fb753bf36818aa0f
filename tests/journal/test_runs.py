"""Each run of a recording by itself: what it lacks, and that reading it takes the room of an entry."""

import gc
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from pyrt._core.types import trade_dtype
from pyrt.clock import Now
from pyrt.errors import DataError
from pyrt.journal.recorder import Recorder, Run, files_of
from pyrt.journal.runs import runs_of
from pyrt.live.replay import Replay
from pyrt.model import Alarmed

BOUND = 1 << 20  # bytes; of a recording of five times as many


def made_of(seq: int = 0) -> Run:
    return Run(journal="ABCDEFGH", seq=seq, hours=False, dry_run=False, limits={}, settings={}, signals=None, strategies=[])


def record(directory: Path, entries: int, *, limit: int = 1 << 30, seq: int = 0, size: int = 1) -> None:
    records = np.zeros(size, trade_dtype)
    with Recorder(directory, limit_bytes=limit, queue_bytes=1 << 30) as out:
        out.begin(made_of(seq), Now(1, 1))
        for n in range(2, entries + 1):
            out.records(records, Now(n, n))


def cut(path: Path, number: int) -> None:
    """Take the entry of this place out of a file."""
    data, at = path.read_bytes(), 32
    for _ in range(number - 1):
        at += int.from_bytes(data[at : at + 4], "little")
    path.write_bytes(data[:at] + data[at + int.from_bytes(data[at : at + 4], "little") :])


def test_every_run_says_what_it_lacks_and_the_others_are_whole(tmp_path: Path) -> None:
    for seq in (0, 10, 20):
        record(tmp_path, 50, seq=seq)
    cut(files_of(tmp_path)[1], 20)
    runs = runs_of(tmp_path)
    assert [run.made_of.seq for run in runs if run.made_of is not None] == [0, 10, 20]
    assert [run.holes.summary() for run in runs] == ["", "not replayable, 1 dropped", ""]
    assert [len(list(run.entries())) for run in runs] == [50, 49, 50]
    assert [len(list(run.beginning())) for run in runs] == [50, 19, 50]
    assert [(run.began.venue, run.holes.end.venue) for run in runs] == [(1, 50)] * 3


def test_a_beginning_that_was_rotated_away_is_not_called_dropped(tmp_path: Path) -> None:
    record(tmp_path, 3000, limit=1 << 16)
    record(tmp_path, 100, limit=1 << 16, seq=10)
    first, second = runs_of(tmp_path)
    assert first.made_of is None
    assert (first.holes.rotated, first.holes.dropped, first.holes.whole) == (first.first - 1, 0, 0)
    assert first.holes.rotated > 1000
    assert "its beginning was rotated away" in first.holes.summary()
    assert list(first.beginning()) == []
    assert second.made_of == made_of(10)
    assert second.holes.summary() == ""
    lost = tmp_path / "lost"
    record(lost, 10)
    cut(files_of(lost)[0], 1)  # the queue was full at the very beginning: no file is gone
    (run,) = runs_of(lost)
    assert (run.made_of, run.holes.rotated, run.holes.dropped) == (None, 0, 1)


def test_a_file_that_goes_while_it_is_read_is_told(tmp_path: Path) -> None:
    record(tmp_path, 3000, limit=1 << 20)
    (run,) = runs_of(tmp_path)
    path = files_of(tmp_path)[0]
    path.rename(tmp_path / "gone")
    with pytest.raises(DataError, match="rotated away while it was being read"):
        list(run.entries())


def test_a_recording_and_a_journal_larger_than_the_bound_are_played_within_it(tmp_path: Path) -> None:
    record(tmp_path, 700, size=128)
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) > 5 * BOUND
    facts = ((n, n, Alarmed(severity="warning", code="A", text="x" * 1000 + str(n), ts=n)) for n in range(1, 6001))
    Replay(made_of(), [], [], None)  # what is made once
    tracemalloc.start()
    try:
        (run,) = runs_of(tmp_path)
        assert run.holes.last == 701
        base = tracemalloc.get_traced_memory()[0]
        nothing = Replay(made_of(), [], [], None)
        empty = tracemalloc.get_traced_memory()[0] - base
        del nothing
        gc.collect()
        base = tracemalloc.get_traced_memory()[0]
        replay = Replay(made_of(6000), facts, [], None)
        tracemalloc.reset_peak()
        before = tracemalloc.get_traced_memory()[0]
        outcome = replay.play(run.entries())
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert outcome.inputs == 699
    assert before - base < empty + BOUND
    assert peak - before < BOUND
