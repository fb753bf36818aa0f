"""The journal as tables in one SQLite file: for people, reports and the command line; nothing that trades reads them.

Everything in the file follows from the journal: it holds the seq of the last fact applied, in the same transaction, so a fact is
applied once; lost, damaged or of another journal, it is built again. What the tables are is said in `projection_tables`.
"""

import os
import sqlite3
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pyrt.errors import JournalError
from pyrt.journal import projection_tables
from pyrt.journal.journal import Journal
from pyrt.journal.projection_feed import QUEUE, Feed
from pyrt.journal.projection_tables import DEFINED, POSITIONS, TABLES, Change, Table, Tables
from pyrt.model import Fact

__all__ = ["SCHEMA", "TABLES", "Projection", "ProjectionFeed"]

SCHEMA = 1


def _create(table: Table) -> str:
    columns = ", ".join(f"{name} {'TEXT' if kind is str else 'INTEGER'} NOT NULL" for name, kind in table.columns)
    return f"CREATE TABLE {table.name} ({columns}, PRIMARY KEY ({', '.join(table.names[: table.key])})) STRICT;"


_META = """CREATE TABLE meta (one INTEGER PRIMARY KEY CHECK (one = 1), schema INTEGER NOT NULL, journal TEXT NOT NULL,
  seq INTEGER NOT NULL) STRICT;"""
_TABLES = "\n".join([_META, *map(_create, DEFINED.values()), "CREATE INDEX fills_by_order ON fills (number);", f"{POSITIONS};"])
_PUT = {  # the names are our own
    name: f"INSERT OR REPLACE INTO {name} VALUES ({', '.join('?' * len(table.columns))})"  # noqa: S608
    for name, table in DEFINED.items()
}
_CHANGE = (
    "UPDATE orders SET filled_qty = max(filled_qty, ?), status = coalesce(?, status),"
    " venue_order_id = coalesce(?, venue_order_id), code = coalesce(?, code), reason = coalesce(?, reason),"
    " tries = coalesce(?, tries), changed_ts = coalesce(?, changed_ts) WHERE number = ?"
)


class Projection:
    """The tables in one SQLite file (":memory:" for none). Not for several threads. Methods raise sqlite3.Error."""

    def __init__(self, path: Path | str, journal: str) -> None:
        if str(path) != ":memory:":
            os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))  # SQLite's other files take its mode
        self._db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        try:
            self._db.execute("PRAGMA journal_mode = WAL")
            self._db.execute("PRAGMA synchronous = NORMAL")
            self._db.execute("PRAGMA cache_size = -512")  # KiB: the pages at work; 2 MiB would fill with the orders of days
            tables = self._db.execute("SELECT count(*) FROM sqlite_master WHERE name = 'meta'").fetchone()[0]
            meta = self._db.execute("SELECT schema, journal, seq FROM meta").fetchone() if tables else None
            if meta is None or meta[:2] != (SCHEMA, journal):
                self._create(journal)
                meta = (SCHEMA, journal, 0)
        except BaseException:
            self._db.close()
            raise
        self.journal = journal
        self.seq: int = meta[2]

    def _create(self, journal: str) -> None:
        ours = "type IN ('table', 'view') AND name NOT LIKE 'sqlite_%'"
        names = self._db.execute(f"SELECT type, name FROM sqlite_master WHERE {ours}")  # noqa: S608
        old = "".join(f'DROP {kind} "{name}";' for kind, name in sorted(names, reverse=True))  # names of our own file; views first
        self._db.executescript(f"BEGIN; {old} {_TABLES} COMMIT;")
        self._db.execute("INSERT INTO meta VALUES (1, ?, ?, 0)", (SCHEMA, journal))

    def reset(self) -> None:
        """Forget everything: the tables begin at the journal's first fact again."""
        self._create(self.journal)
        self.seq = 0

    def apply(self, facts: Iterable[tuple[int, Fact]]) -> int:
        """Take in (seq, fact) pairs, in order, in one transaction; those already there are passed over. How many were new."""
        new, seq = 0, self.seq
        self._db.execute("BEGIN IMMEDIATE")
        try:
            for number, fact in facts:
                if number > seq:
                    self._fact(number, fact)
                    new, seq = new + 1, number
            self._db.execute("UPDATE meta SET seq = ?", (seq,))
            self._db.execute("COMMIT")
        except BaseException:
            self._db.execute("ROLLBACK")
            raise
        self.seq = seq
        return new

    def catch_up(self, journal: Journal, upto: int | None = None) -> int:
        """Apply what the journal has beyond `seq`, in batches. How many facts were new. Raises JournalError too."""
        return projection_tables.catch_up(self, journal, upto)

    def rows(self, table: str) -> list[tuple[Any, ...]]:
        """The rows of one of TABLES, sorted."""
        if table not in TABLES:
            raise ValueError(f"no table {table!r}; there are {', '.join(TABLES)}")
        return sorted(self._db.execute(f"SELECT * FROM {table}"))  # noqa: S608 -- a name from TABLES

    def close(self) -> None:
        """Let the file go."""
        self._db.close()

    def _fact(self, seq: int, fact: Fact) -> None:
        for step in projection_tables.steps(seq, fact):
            if isinstance(step, Change):
                self._db.execute(_CHANGE, (*step[1:], step.number))
            else:
                self._db.execute(_PUT[step.table], step.row)


class ProjectionFeed(Feed):
    """Keeps the SQLite file up to date on a thread of its own; a file that is ruined is made again."""

    errors = (sqlite3.Error, OSError, OverflowError, JournalError)

    def __init__(self, journal: Journal, path: Path | str, *, queue: int = QUEUE) -> None:
        self._path = path
        super().__init__(journal, str(path), queue=queue)

    def _open(self) -> Tables:
        return Projection(self._path, self._journal.id)

    def _repair(self, error: Exception) -> None:
        code = getattr(error, "sqlite_errorcode", 0)  # what the module raises by itself has none
        if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
            for suffix in ("", "-wal", "-shm"):
                Path(f"{self._path}{suffix}").unlink(missing_ok=True)
