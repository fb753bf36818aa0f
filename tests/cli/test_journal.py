"""`pyrt journal` on journals that are whole, damaged, in use and absent."""

import json
import sqlite3
from pathlib import Path

import pytest
from tests.cli.processes import call
from tests.journal.facts import fill, intended
from tests.journal.test_journal import spoil

from pyrt._core import log
from pyrt.cli.journal import export
from pyrt.journal import Journal
from pyrt.journal.projection import Projection
from pyrt.ports import Sync


@pytest.fixture
def state(tmp_path: Path) -> Path:
    with Journal.open(tmp_path / "state" / "journal") as journal:
        for n in range(1, 30):
            journal.append(intended(n), Sync.SOON, n)
        journal.append(fill(1, 5, 5), Sync.SOON, 30)
    return tmp_path / "state"


def test_verify_tells_whole_from_damaged_and_from_absent(tmp_path: Path, state: Path) -> None:
    done = call(tmp_path, "journal", "verify", str(state))
    assert (done.returncode, done.stderr) == (0, "")
    assert "30 facts" in done.stdout
    assert call(tmp_path, "journal", "verify", str(state / "journal")).stdout == done.stdout  # a copy of the directory alone
    spoil(state / "journal" / "00000001.journal", log.PAGE + 300)
    done = call(tmp_path, "journal", "verify", str(state))
    assert done.returncode == 1
    assert "00000001.journal" in done.stderr
    assert call(tmp_path, "journal", "verify", str(tmp_path)).returncode == 2


def test_show_and_export_choose_by_place_and_kind(tmp_path: Path, state: Path) -> None:
    lines = call(tmp_path, "journal", "show", str(state), "--last", "2").stdout.splitlines()
    assert [line.split()[0] for line in lines] == ["29", "30"]
    assert "Filled" in lines[1]
    assert "px=" in lines[1]
    (line,) = call(tmp_path, "journal", "show", str(state), "--kind", "Filled").stdout.splitlines()
    assert line == lines[1]
    assert len(call(tmp_path, "journal", "show", str(state), "--after", "28").stdout.splitlines()) == 2
    done = call(tmp_path, "journal", "show", str(state), "--kind", "Fills")
    assert done.returncode == 1
    assert done.stderr.startswith("pyrt: --kind: there is no kind Fills")
    assert len(done.stderr.splitlines()) == 1


def test_export_is_json_a_line(tmp_path: Path, state: Path, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    export(state, kind=("Intended",))
    rows = [json.loads(line) for line in capfdbinary.readouterr().out.splitlines()]
    assert [row["seq"] for row in rows] == list(range(1, 30))
    assert {row["fact"]["kind"] for row in rows} == {"Intended"}


def test_rebuild_makes_the_tables_that_the_facts_say(tmp_path: Path, state: Path) -> None:
    target = state / "state.sqlite"
    target.write_bytes(b"this was a database once")
    done = call(tmp_path, "journal", "rebuild", str(state))
    assert (done.returncode, done.stderr) == (0, "")
    database = sqlite3.connect(target)
    assert database.execute("SELECT count(*) FROM orders").fetchone() == (29,)
    assert database.execute("SELECT count(*) FROM fills").fetchone() == (1,)
    assert database.execute("SELECT seq FROM meta").fetchone() == (30,)
    database.close()
    assert sorted(p.name for p in state.iterdir()) == ["journal", "state.sqlite"]
    with Journal.open(state / "journal") as journal:  # a run goes on from it
        projection = Projection(target, journal.id)
        assert projection.catch_up(journal) == 0
        projection.close()


def test_rebuild_refuses_a_journal_in_use_or_damaged_and_leaves_the_tables(tmp_path: Path, state: Path) -> None:
    target = state / "state.sqlite"
    target.write_bytes(b"the old tables")
    with Journal.open(state / "journal"):
        done = call(tmp_path, "journal", "rebuild", str(state))
    assert done.returncode == 1
    assert "owns this journal" in done.stderr
    spoil(state / "journal" / "00000001.journal", log.PAGE + 300)
    assert call(tmp_path, "journal", "rebuild", str(state)).returncode == 1
    assert target.read_bytes() == b"the old tables"


def test_rebuild_in_postgresql_says_what_is_wrong_without_the_password(
    tmp_path: Path, state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYRT_POSTGRES_DSN", f"postgresql://u:Correct-Horse-77@/d?host={tmp_path}")
    done = call(tmp_path, "journal", "rebuild", str(state), "--pg", "env")
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
    assert "pyrt_" in done.stderr
    assert "Horse" not in done.stderr + done.stdout
    monkeypatch.setenv("PYRT_POSTGRES_DSN", "postgresql://u:Correct@Horse-77@h/d")
    for argument in ("env", "Horse-77"):
        done = call(tmp_path, "journal", "rebuild", str(state), "--pg", argument)
        assert (done.returncode, len(done.stderr.splitlines())) == (1, 1)
        assert "no connection string" in done.stderr
        assert "Horse" not in done.stderr
    assert not (state / "state.sqlite").exists()
