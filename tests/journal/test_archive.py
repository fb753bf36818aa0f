"""Old segments are compressed and read as before; no record is ever missing, and nothing young or unconfirmed is touched."""

import os
import shutil
from pathlib import Path

import pytest
from tests.journal.facts import intended

from pyrt.clock import DAY
from pyrt.errors import JournalDamaged, JournalError
from pyrt.journal import Journal, archive, backup, inspect, segments
from pyrt.ports import Sync

SIZE = 8192  # the least: some dozens of records
NOW = 1_800_000_000 * 10**9


def written(directory: Path, facts: int = 120) -> int:
    """A journal of some segments, all of long ago; the record after which its snapshot was taken."""
    with Journal.open(directory, segment_size=SIZE) as journal:
        for n in range(1, facts):
            journal.append(intended(n), Sync.SOON, n)
            if n % 20 == 0:
                journal.sync(60)
        journal.sync(60)
        seq = journal.seq
    for path in directory.glob("*.journal"):
        os.utime(path, ns=(0, NOW - 401 * DAY))
    return seq


def test_every_reader_reads_the_archive(tmp_path: Path) -> None:
    seq = written(tmp_path / "j")
    whole, verdict = list(inspect.show(tmp_path / "j")), inspect.verify(tmp_path / "j")
    numbers = archive.due(tmp_path / "j", [seq], NOW)
    assert numbers == list(range(1, verdict.segments))
    assert len(numbers) > 2
    moved = archive.pack(tmp_path / "j", numbers)
    assert moved.numbers == numbers
    assert len(list((tmp_path / "j").glob("*.journal"))) == 1
    assert list(inspect.show(tmp_path / "j")) == whole
    assert inspect.verify(tmp_path / "j") == verdict
    with Journal.open(tmp_path / "j", segment_size=SIZE) as journal:
        assert [(s, f) for s, f in journal.facts()] == [(s, f) for s, _, f in whole]
        journal.append(intended(1000), Sync.BEFORE_ACT, 0)
        journal.sync(60)
        assert list(journal.facts(after=whole[-1][0]))[-1][1] == intended(1000)


def test_what_is_young_open_or_not_confirmed_stays(tmp_path: Path) -> None:
    seq = written(tmp_path)
    assert archive.due(tmp_path, [], NOW) == []
    ends, _ = segments.survey(tmp_path)
    assert archive.due(tmp_path, [ends[1]], NOW) == [1, 2]
    assert archive.due(tmp_path, [seq], NOW, keep_days=402) == []
    assert len(ends) not in archive.due(tmp_path, [seq], NOW, keep_days=0)


def test_a_death_between_the_copy_and_the_end_of_the_segment_loses_nothing(tmp_path: Path) -> None:
    seq = written(tmp_path)
    whole = list(inspect.show(tmp_path))
    kept = segments.segment_path(tmp_path, 1).read_bytes()
    archive.pack(tmp_path, [1])
    segments.segment_path(tmp_path, 1).write_bytes(kept)  # as it is before the last step
    os.utime(segments.segment_path(tmp_path, 1), ns=(0, NOW - 401 * DAY))
    (tmp_path / "archive" / "00000002.journal.tmp").write_bytes(b"half")
    assert list(inspect.show(tmp_path)) == whole
    archive.pack(tmp_path, archive.due(tmp_path, [seq], NOW))
    assert list(inspect.show(tmp_path)) == whole


def test_damage_in_the_archive_is_told(tmp_path: Path) -> None:
    seq = written(tmp_path)
    archive.pack(tmp_path, archive.due(tmp_path, [seq], NOW))
    packed = segments.archive_path(tmp_path, 2)
    data = bytearray(packed.read_bytes())
    data[len(data) // 2] ^= 1
    packed.write_bytes(bytes(data))
    assert inspect.verify(tmp_path).exit == 1
    with pytest.raises(JournalDamaged):
        Journal.open(tmp_path, segment_size=SIZE)
    packed.unlink()
    assert "segment 2" in inspect.verify(tmp_path).text


def test_a_backup_holds_the_archive(tmp_path: Path) -> None:
    state = tmp_path / "state"
    state.mkdir(mode=0o700)
    seq = written(state / "journal")
    whole = list(inspect.show(state / "journal"))
    archive.pack(state / "journal", archive.due(state / "journal", [seq], NOW))
    backup.backup(state, tmp_path / "copy", made=NOW, pyrt="1")
    shutil.rmtree(state)
    backup.restore(tmp_path / "copy", state, now=NOW // 10**9)
    assert list(inspect.show(state / "journal"))[: len(whole)] == whole


def test_a_segment_that_is_archived_while_somebody_looks_is_never_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A session's recall, an export and a report read while `pyrt journal archive` moves segments."""
    seq = written(tmp_path)
    whole = list(inspect.show(tmp_path))
    numbers = archive.due(tmp_path, [seq], NOW)
    listing = Path.glob
    looks = 0

    def glob(path: Path, pattern: str) -> list[Path]:
        nonlocal looks
        found = list(listing(path, pattern))
        looks += 1
        if looks == 1:  # between the two looks at the names
            archive.pack(tmp_path, numbers)
        return found

    monkeypatch.setattr(Path, "glob", glob)
    ends, _ = segments.survey(tmp_path)
    assert looks == 2
    assert len(ends) == len(numbers) + 1
    assert list(inspect.show(tmp_path)) == whole


def test_a_full_disk_leaves_nothing_half_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seq = written(tmp_path)
    whole = list(inspect.show(tmp_path))

    def full(fd: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("pyrt.journal.archive.os.fsync", full)
        patch.setattr(segments, "sync_directory", lambda directory: None)
        with pytest.raises(OSError, match="No space"):
            archive.pack(tmp_path, archive.due(tmp_path, [seq], NOW))
    assert list((tmp_path / "archive").iterdir()) == []
    assert list(inspect.show(tmp_path)) == whole


def test_a_copy_that_reads_otherwise_is_no_reason_to_let_the_segment_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seq = written(tmp_path)
    whole = list(inspect.show(tmp_path))
    with monkeypatch.context() as patch:
        patch.setattr(segments, "unpacked", lambda path: b"something else")
        with pytest.raises(JournalError, match="does not read as it was written"):
            archive.pack(tmp_path, archive.due(tmp_path, [seq], NOW))
    assert list((tmp_path / "archive").iterdir()) == []
    assert list(inspect.show(tmp_path)) == whole
