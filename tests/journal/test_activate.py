"""The switch to a new segment: what its header names is on the disk before it, and it is written whole."""

import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from pyrt.journal import Journal, segments
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
