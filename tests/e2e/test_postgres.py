"""A session with a PostgreSQL projection: a frozen server costs it nothing, and nothing is missing in the end."""

import signal
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.cli.processes import pyrt
from tests.e2e.processes import Run, Venue, wait_for

from pyrt.config import Secret
from pyrt.journal import inspect
from pyrt.journal.projection import TABLES, Projection

MORE = 40  # orders that a session must send while the database hangs


@pytest.mark.row("S130")
def test_a_session_trades_on_while_its_database_is_frozen(
    postgres: Any, venue: Venue, start: Callable[..., Run], busy: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pyrt.journal.postgres import Database, PostgresTables

    schema = f"s{uuid.uuid4().hex}"
    config = tmp_path / "pg.toml"
    config.write_text(f'[postgres]\nschema = "{schema}"\nreader = "pyrt_reader"\n')
    dsn = tmp_path / "dsn"
    dsn.write_text(f"{postgres.dsn()}\n")
    dsn.chmod(0o600)
    where = Database(dsn=Secret(postgres.dsn()), schema=schema)

    def sent() -> int:
        return len(venue.truth()["orders"])

    def projected() -> int:
        with psycopg.connect(postgres.dsn("pyrt_reader")) as db:
            if db.execute("SELECT to_regclass(%s)", (f"{schema}.meta",)).fetchone() == (None,):
                return 0
            (n,) = db.execute(f"SELECT count(*) FROM {schema}.orders").fetchone()
            return int(n)

    psycopg = pytest.importorskip("psycopg")
    run = start(*busy, "--config", str(config), PYRT_POSTGRES_DSN_FILE=str(dsn)).until("trading:")
    wait_for(lambda: projected() > 10, "orders in PostgreSQL")
    postgres.freeze()
    try:
        before = sent()
        wait_for(lambda: sent() > before + MORE, "orders while the database is frozen")
        assert "session on sim" in run.end(signal.SIGINT)  # in order
    finally:
        postgres.thaw()
    assert run.process.returncode == 0
    assert "Correct-Horse" not in run.log
    state = tmp_path / "home"
    monkeypatch.setenv("PYRT_POSTGRES_DSN_FILE", str(dsn))
    done = pyrt(tmp_path, "journal", "rebuild", str(state), "--pg", "env", "--schema", schema)
    assert done.returncode == 0, done.stderr
    verdict = inspect.verify(state / "journal")
    assert done.stdout == f"PostgreSQL {schema}: {verdict.facts} facts, up to record {verdict.last_seq}\n"
    held, wanted = PostgresTables(where, verdict.journal), Projection(state / "state.sqlite", verdict.journal)
    assert {t: held.rows(t) for t in TABLES} == {t: wanted.rows(t) for t in TABLES}
    assert len(held.rows("orders")) > MORE
    held.close()
    wanted.close()
