"""`pyrt journal archive`, and every verb that reads a journal: the same before and after; one line where the archive is damaged."""

import gzip
import os
import shutil
import sqlite3
import subprocess
from pathlib import Path
from unittest import mock

import pytest
from tests.cli.processes import call, pyrt
from tests.cli.test_replay import STRATEGY

from pyrt._core.log import PAGE
from pyrt.journal import segments
from pyrt.journal.inspect import show
from pyrt.model import Intended

READERS = ("verify", "show", "export", "rebuild", "head", "status", "orders", "why", "why-not", "replay", "archive", "backup")


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The state of two sessions, a segment each."""
    here = tmp_path_factory.mktemp("played")
    (here / "trader.py").write_text(STRATEGY)
    for _ in range(2):
        own = ("--strategy", str(here / "trader.py"), "--sim-state", str(here / "state"), "--segment-size", str(1 << 17))
        with mock.patch.dict(os.environ, TRADER_ENDS="20"):
            done = pyrt(here, "run", *own)
        assert done.returncode == 0, done.stderr
    assert sorted(p.name for p in (here / "state" / "journal").glob("*.journal")) == ["00000001.journal", "00000002.journal"]
    return here / "state"


@pytest.fixture
def state(played: Path, tmp_path: Path) -> Path:
    shutil.copytree(played, tmp_path / "state", ignore=shutil.ignore_patterns("*.sock"))
    return tmp_path / "state"


def read(tmp_path: Path, state: Path, verb: str) -> subprocess.CompletedProcess[str]:
    """What one reader says of a state."""
    line = {
        "rebuild": ("journal", "rebuild", str(state)),
        "status": ("status", "--state", str(state), "--json"),
        "orders": ("orders", "--state", str(state), "--all", "--json"),
        "why": ("why", "1", str(state)),
        "why-not": ("why-not", "AAPL", "00:00", str(state), "--for", "86400"),
        "replay": ("replay", str(state), "--all"),
        "archive": ("journal", "archive", str(state), "--keep-days", "0", "--dry-run"),
        "backup": ("backup", "--state", str(state), str(tmp_path / "copy")),
    }.get(verb, ("journal", verb, str(state)))
    return (pyrt if verb == "export" else call)(tmp_path, *line)  # it writes to the standard output's bytes


def tables(state: Path) -> list[str]:
    database = sqlite3.connect(state / "state.sqlite")
    try:
        return list(database.iterdump())
    finally:
        database.close()


def archived(tmp_path: Path, state: Path) -> Path:
    """Archive all that may be; the file that the first segment is then."""
    done = call(tmp_path, "journal", "archive", str(state), "--keep-days", "0")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("1 segments archived: ")
    return segments.archive_path(state / "journal", 1)


def test_the_verb_archives_what_is_old_and_says_what_it_would(tmp_path: Path, state: Path) -> None:
    assert call(tmp_path, "journal", "archive", str(state)).stdout == "segments to archive: none\n"  # all of today
    done = read(tmp_path, state, "archive")
    assert (done.returncode, done.stdout) == (0, "segments to archive: 1\n")
    assert not (state / "journal" / segments.ARCHIVE).exists()
    packed = archived(tmp_path, state)
    assert packed.exists()
    assert not segments.segment_path(state / "journal", 1).exists()
    assert read(tmp_path, state, "archive").stdout == "segments to archive: none\n"
    done = call(tmp_path, "journal", "archive", str(state), "--keep-days", "-1")
    assert (done.returncode, len(done.stderr.splitlines())) == (1, 1)
    assert "--keep-days" in done.stderr


def test_the_verb_leaves_a_journal_that_is_damaged_as_it_is(tmp_path: Path, state: Path) -> None:
    first = segments.segment_path(state / "journal", 1)
    data = bytearray(first.read_bytes())
    data[PAGE + 300] ^= 1
    first.write_bytes(data)
    done = call(tmp_path, "journal", "archive", str(state), "--keep-days", "0")
    assert (done.returncode, len(done.stderr.splitlines())) == (1, 1)
    assert "00000001.journal" in done.stderr
    assert first.read_bytes() == data
    assert not (state / "journal" / segments.ARCHIVE).exists()


def test_every_verb_says_of_an_archived_journal_what_it_said_before(tmp_path: Path, state: Path) -> None:
    verbs = [verb for verb in READERS if verb not in ("archive", "backup")]
    before = {verb: read(tmp_path, state, verb) for verb in verbs}
    said = tables(state)
    assert all(done.returncode == 0 for done in before.values()), before
    assert any(isinstance(fact, Intended) for _, _, fact in show(state / "journal"))
    archived(tmp_path, state)
    for verb in verbs:
        done = read(tmp_path, state, verb)
        assert (done.returncode, done.stdout, done.stderr) == (0, before[verb].stdout, before[verb].stderr), verb
    assert tables(state) == said
    assert read(tmp_path, state, "backup").returncode == 0
    assert segments.archive_path(tmp_path / "copy" / "state" / "journal", 1).exists()


@pytest.mark.parametrize("damage", ["flipped", "cut", "empty", "short", "gone"])
def test_a_damaged_archive_is_one_line_of_every_reader(tmp_path: Path, state: Path, damage: str) -> None:
    packed = archived(tmp_path, state)
    data = bytearray(packed.read_bytes())
    if damage == "flipped":
        data[600] ^= 1
    harmed = {"cut": bytes(data[: len(data) // 2]), "empty": b"", "short": gzip.compress(b"PYRT")}
    packed.write_bytes(harmed.get(damage, bytes(data)))
    if damage == "gone":
        packed.unlink()
    for verb in READERS:
        done = read(tmp_path, state, verb)
        assert done.returncode == 1, (verb, done)
        assert (done.stdout, len(done.stderr.splitlines())) == ("", 1), (verb, done)
        named = "segment 1" if damage == "gone" else "00000001.journal.gz"
        assert named in done.stderr, (verb, done)
    assert not (tmp_path / "copy").exists()
