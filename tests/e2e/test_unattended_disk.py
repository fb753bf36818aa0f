"""What a journal takes of the disk over many sessions: its records, and the room of two segments; not a segment a session."""

import os
from pathlib import Path

import pytest

from pyrt._core.log import release
from pyrt.journal import Journal
from pyrt.journal.inspect import verify
from pyrt.model import Alarmed
from pyrt.ports import Sync

SEGMENT = 1 << 20
SESSIONS = 25


def taken(directory: Path) -> int:
    """Bytes of the disk that the files of a directory take."""
    return sum(path.stat().st_blocks * 512 for path in directory.rglob("*") if path.is_file())


def releases(tmp_path: Path) -> bool:
    fd = os.open(tmp_path / "probe", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        os.write(fd, bytes(1 << 16))
        return release(fd, 0, 1 << 16)
    finally:
        os.close(fd)


def test_many_sessions_take_the_room_of_their_records(tmp_path: Path) -> None:
    if not releases(tmp_path):
        pytest.skip("this file system gives no room back within a file")
    journal = tmp_path / "journal"
    for n in range(SESSIONS):
        with Journal.open(journal, segment_size=SEGMENT, durability="os") as opened:
            for i in range(20):
                opened.append(Alarmed(severity="info", code="X", text=f"{n} {i}", ts=i), Sync.SOON, i)
            opened.snapshot(opened.seq, bytes(1000), b"h" * 16, keep=3)
    assert len(list(journal.glob("*.journal"))) == SESSIONS
    assert len(list(journal.glob("snapshot-*.bin"))) == 3
    assert len(list(journal.glob("*.tmp"))) <= 2
    assert taken(journal) < 4 * SEGMENT  # the open one, the prepared one, one that is being prepared, and a page or three each
    verdict = verify(journal)
    assert (verdict.exit, verdict.facts) == (0, 20 * SESSIONS)
