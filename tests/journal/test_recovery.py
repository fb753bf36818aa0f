"""Recovery changes nothing that was there, wherever the run before it ended: in a write, in a switch, in recovery itself."""

import itertools
import os
import threading
from pathlib import Path

import pytest
from tests.journal.facts import intended
from tests.journal.test_journal import SIZE, appending_child, content, opened

from pyrt._core import log
from pyrt.errors import JournalError
from pyrt.journal import Journal, segments
from pyrt.ports import Sync


class Crash(BaseException):
    """The process ends here."""


def crash_at(monkeypatch, nth):
    """Let the nth of the steps that touch the disk not happen."""
    count = itertools.count(1)

    def wrap(function):
        def call(*args, **options):
            if threading.current_thread() is threading.main_thread() and next(count) == nth:
                raise Crash
            return function(*args, **options)

        return call

    for owner, name in ((os, "pwrite"), (os, "write"), (os, "fsync"), (segments, "sync_file"), (Path, "rename"), (Path, "mkdir")):
        monkeypatch.setattr(owner, name, wrap(getattr(owner, name)))


@pytest.mark.parametrize("runs", [0, 1, 2])
def test_a_crash_at_any_step_of_opening_changes_nothing(tmp_path, monkeypatch, runs):
    written = []
    for run in range(runs):
        with opened(tmp_path / "j") as journal:
            written.append(intended(run + 1))
            journal.append(written[-1], Sync.BEFORE_ACT, 0)
    steps = 0
    for nth in itertools.count(1):
        with monkeypatch.context() as patch:
            crash_at(patch, nth)
            (tmp_path / "j" / "prepared.tmp").unlink(missing_ok=True)  # so that each round makes one
            try:
                journal = opened(tmp_path / "j")
            except Crash:
                steps += 1
            else:
                patch.undo()
                journal.close()
                break
        with opened(tmp_path / "j") as journal:
            assert content(journal) == written
            number = len(written) + 1
            journal.append(intended(number), Sync.BEFORE_ACT, 0)
            written.append(intended(number))
    assert steps > 6


def last_record(path):
    """Offset of the last record of a segment, and its bytes."""
    data = path.read_bytes()
    at, last = log.PAGE, 0
    while n := int.from_bytes(data[at : at + 4], "little"):
        last, at = at, at + -(-n // 8) * 8
    return last, data[last:at]


def test_what_a_torn_write_left_is_dead_for_ever(tmp_path):
    appending_child(tmp_path, groups=7).communicate()
    path = max(tmp_path.glob("*.journal"))
    at, record = last_record(path)
    with path.open("r+b") as file:  # the last record never came to the disk whole
        file.seek(at + 50)
        file.write(b"\xff" * 8)
    with opened(tmp_path) as journal:
        assert journal.torn
        kept = content(journal)
        journal.append(intended(1000), Sync.BEFORE_ACT, 0)
    with path.open("r+b") as file:  # now it is whole after all, under a seq that was given out again
        file.seek(at)
        file.write(record)
    for _ in range(2):
        with opened(tmp_path) as journal:
            assert content(journal) == [*kept, intended(1000)]


@pytest.mark.nightly
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("limit", range(4096, 16384, 256))  # below the size of a segment: at it nothing would ever fail
def test_the_system_refuses_every_byte_beyond_a_limit(tmp_path, limit):
    out, _ = appending_child(tmp_path, limit=limit, size=1 << 14).communicate()
    lines = out.split()
    assert lines[-1] == b"FAILED"
    acknowledged = max([0, *map(int, lines[:-1])])
    with opened(tmp_path) as journal:
        assert journal.replayed >= acknowledged


def test_a_directory_that_is_read_only_is_an_error_with_a_mend(tmp_path):
    if os.geteuid() == 0:
        (tmp_path / "file").write_bytes(b"")
        with pytest.raises(JournalError, match=r"Not a directory|File exists"):
            Journal.open(tmp_path / "file" / "j", segment_size=SIZE)
        return
    tmp_path.chmod(0o500)
    with pytest.raises(JournalError, match="make the directory writable"):
        Journal.open(tmp_path / "j", segment_size=SIZE)
