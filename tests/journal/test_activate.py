"""The switch to a new segment: what its header names is on the disk before it, and it is written whole."""

import errno
import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from pyrt.journal import Journal, segments, snapshots
from pyrt.journal.snapshots import Snapshot
from pyrt.model import Latched
from pyrt.ports import Sync

FACT = Latched(level="HALTED", scope="system", code="KILLED", reason="test", who="test", ts=1)


def written(directory: Path) -> None:
    with Journal.open(directory, segment_size=8192) as journal:
        journal.append(FACT, Sync.BEFORE_ACT, 1)


def test_what_the_new_header_names_is_synced_before_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A killed process leaves records that were written and not synced: a power cut after the restart must not take them."""
    written(tmp_path)
    old = (tmp_path / "00000001.journal").stat().st_ino
    synced: list[int] = []
    real = segments.sync_file

    def note(fd: int) -> None:
        synced.append(os.fstat(fd).st_ino)
        real(fd)

    monkeypatch.setattr(segments, "sync_file", note)
    with Journal.open(tmp_path, segment_size=8192):
        pass
    new = (tmp_path / "00000002.journal").stat().st_ino
    assert old in synced
    assert synced.index(old) < synced.index(new)


def test_a_short_write_of_the_header_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def pwrite(fd: int, data: bytes, at: int) -> int:
        return os.pwrite(fd, data[:100], at)

    short: Any = SimpleNamespace(**{name: getattr(os, name) for name in dir(os) if not name.startswith("__")})
    short.pwrite = pwrite
    monkeypatch.setattr(segments, "os", short)
    written(tmp_path)
    with Journal.open(tmp_path, segment_size=8192) as journal:
        assert [fact for _, fact in journal.facts()] == [FACT]


def test_the_names_of_directories_are_synced_until_a_segment_is_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that was killed between mkdir and sync leaves directories whose names a power cut may still take."""
    directory = tmp_path / "state" / "journal"
    directory.mkdir(mode=0o700, parents=True)
    synced: list[Path] = []
    real = segments.sync_directory

    def note(path: Path) -> None:
        synced.append(path)
        real(path)

    monkeypatch.setattr(segments, "sync_directory", note)
    written(directory)
    assert {directory.parent, tmp_path} <= set(synced)
    synced.clear()
    written(directory)
    assert directory.parent not in synced


def test_what_found_no_room_gives_back_what_it_took(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    written = 0

    def fills_up(fd: int) -> None:
        nonlocal written
        written += 1
        if written == 3:
            raise full

    monkeypatch.setattr(segments, "sync_file", fills_up)
    with pytest.raises(OSError, match="No space left"):
        segments.prepare(tmp_path, 8 << 20)
    assert written == 3
    assert list(tmp_path.iterdir()) == []

    def refuses(fd: int) -> None:
        raise full

    monkeypatch.setattr(snapshots.os, "fsync", refuses)
    with pytest.raises(OSError, match="No space left"):
        snapshots.write(tmp_path, Snapshot(seq=1, state=bytes(1 << 20), state_hash=bytes(16)))
    assert list(tmp_path.iterdir()) == []


def test_a_snapshot_that_the_disk_does_not_give_back_is_passed_over(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with Journal.open(tmp_path, segment_size=8192) as journal:
        for state in (b"old", b"new"):
            journal.snapshot(journal.append(FACT, Sync.BEFORE_ACT, 1), state, bytes(16))
        newest = max(tmp_path.glob("snapshot-*.bin"))
        newest.unlink()
        newest.mkdir()  # reading it is an error of the system's, as of a bad sector
        found = journal.latest_snapshot()
    assert found is not None
    assert found.state == b"old"
    assert "cannot be read (Is a directory): passed over" in caplog.text
