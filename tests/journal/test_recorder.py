"""The inbox comes back in order, or says what is missing."""

import os
import signal
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.journal.facts import EVENTS, intended
from tests.journal.test_journal import environment

from pyrt import ports
from pyrt._core.types import RecordType, bar_dtype, market_dtype, trade_dtype
from pyrt.clock import Now
from pyrt.errors import DataError
from pyrt.journal import recorder
from pyrt.journal.recorder import Recorder, read_recording
from pyrt.ports import TimerFired


def trades(n, seq=1):
    records = np.zeros(n, trade_dtype)
    records["type"] = RecordType.TRADE
    records["seq"] = np.arange(seq, seq + n)
    records["px"] = 190 * 10**9
    return records


def timer(n):
    return TimerFired(key=str(n), at=n, clock=ports.Clock.VENUE)


def test_records_bars_and_events_come_back_in_order(tmp_path):
    wrote = []
    with Recorder(tmp_path / "r") as out:
        for n in range(500):
            now = Now(10**18 + n, n)
            if n % 3 == 0:
                body = trades(n % 7 + 1, n)
                out.records(body, now)
            elif n % 3 == 1:
                body = np.full(2, 7, np.uint8).repeat(128)[: 2 * 128].view(bar_dtype)
                out.records(body, now)
            else:
                body = intended(n).intent
                out.event(body, now)
            wrote.append((now, body))
    recording = read_recording(tmp_path / "r")
    read = list(recording)
    assert len(read) == len(wrote)
    for n, (entry, (now, body)) in enumerate(zip(read, wrote, strict=True), 1):
        assert (entry.number, entry.now) == (n, now)
        if isinstance(body, np.ndarray):
            assert entry.is_records
            assert entry.body.dtype == (bar_dtype if body.dtype == bar_dtype else market_dtype)
            assert entry.body.tobytes() == body.tobytes()
        else:
            assert entry.body == body
    assert recording.replayable
    assert recording.summary() == "500 entries"
    assert (tmp_path / "r").stat().st_mode & 0o777 == 0o700
    assert {p.stat().st_mode & 0o777 for p in (tmp_path / "r").iterdir()} == {0o600}


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(events=st.lists(st.one_of(*EVENTS.values()), max_size=8))
def test_every_event_comes_back(tmp_path_factory, events):
    directory = tmp_path_factory.mktemp("r")
    with Recorder(directory) as out:
        for event in events:
            out.event(event, Now(1, 2))
    assert [e.body for e in read_recording(directory)] == events


def test_what_the_queue_cannot_hold_is_dropped_and_counted(tmp_path, monkeypatch):
    monkeypatch.setattr(recorder, "PAUSE", 0.5)
    with Recorder(tmp_path, queue_bytes=64 * 100) as out:
        for n in range(300):
            out.records(trades(1, n), Now(n, n))
        assert out.dropped >= 100
        dropped = out.dropped
    recording = read_recording(tmp_path)
    assert len(list(recording)) == 300 - dropped
    assert recording.dropped == dropped
    assert not recording.replayable
    assert f"not replayable, {dropped} dropped" in recording.summary()


def test_the_oldest_files_go_and_the_reader_says_so(tmp_path):
    limit = 1 << 16
    with Recorder(tmp_path, limit_bytes=limit) as out:
        for n in range(1, 4001):
            out.event(timer(n), Now(n, n))
    assert out.dropped == 0
    assert sum(p.stat().st_size for p in tmp_path.iterdir()) <= limit
    recording = read_recording(tmp_path)
    numbers = [e.number for e in recording]
    assert numbers == list(range(numbers[0], 4001))
    assert recording.dropped == numbers[0] - 1 > 1000


def test_runs_follow_one_another(tmp_path):
    for run in range(3):
        with Recorder(tmp_path) as out:
            out.event(timer(run), Now(run, run))
    entries = list(read_recording(tmp_path))
    assert [e.body for e in entries] == [timer(0), timer(1), timer(2)]
    assert len({e.run for e in entries}) == 3


@pytest.mark.parametrize("step", [1, 7])
def test_any_cut_leaves_a_prefix(tmp_path, step):
    with Recorder(tmp_path) as out:
        for n in range(20):
            out.event(timer(n), Now(n, n))
    (path,) = tmp_path.iterdir()
    data = path.read_bytes()
    for n in range(0, len(data), step):
        path.write_bytes(data[:n])
        recording = read_recording(tmp_path)
        got = [e.body for e in recording]
        assert got == [timer(k) for k in range(len(got))]
        if n > 32:
            assert recording.unclosed == 1
            assert "not closed" in recording.summary()


def test_a_flip_never_gives_a_wrong_entry(tmp_path):
    with Recorder(tmp_path) as out:
        for n in range(10):
            out.event(timer(n), Now(n, n))
    (path,) = tmp_path.iterdir()
    data = path.read_bytes()
    good = list(read_recording(tmp_path))
    for at in range(32, len(data)):
        path.write_bytes(data[:at] + bytes([data[at] ^ 0x20]) + data[at + 1 :])
        recording = read_recording(tmp_path)
        got = list(recording)
        assert got == good[: len(got)]
        assert recording.truncated > 0


def test_kill_9_leaves_what_was_written(tmp_path):
    code = f"""
import itertools
from pyrt.journal.recorder import Recorder
from pyrt.clock import Now
from tests.journal.test_recorder import timer
out = Recorder({str(tmp_path)!r})
for n in itertools.count():
    out.event(timer(n), Now(n, n))
    if n == 20_000: print("go", flush=True)
"""
    child = subprocess.Popen([sys.executable, "-c", code], env=environment(), stdout=subprocess.PIPE)
    assert child.stdout.readline() == b"go\n"
    while sum(path.stat().st_size for path in tmp_path.glob("*.inbox")) < 10_000:  # a file may be made and not yet written
        os.sched_yield()
    child.send_signal(signal.SIGKILL)
    child.communicate()
    recording = read_recording(tmp_path)
    for entry in recording:
        assert entry.body == timer(entry.number - 1)
    assert recording.unclosed == 1


def test_a_disk_that_fails_ends_the_recording_only(tmp_path):
    broken = Recorder(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    broken.event(timer(1), Now(1, 1))
    broken.close()
    assert "recording ended" in broken.failed
    broken.event(timer(2), Now(1, 1))
    assert broken.dropped == 1


def test_no_recording_is_an_error_with_a_name(tmp_path):
    with pytest.raises(DataError, match="no recording"):
        read_recording(tmp_path / "none")
