"""The journal as tables in a schema of a PostgreSQL database: those of state.sqlite, under the same names.

`meta.seq` moves in the transaction of the rows, so a fact is applied once, whatever becomes of the connection. The tables of
another journal are never touched. Needs the extra [pg].
"""

import logging
import os
import socket
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, LiteralString

import msgspec

from pyrt.config import Secret, SecretFilter
from pyrt.errors import ConfigError, JournalError
from pyrt.journal import postgres_schema as schema
from pyrt.journal.journal import Journal
from pyrt.journal.projection_feed import QUEUE, Feed
from pyrt.journal.projection_tables import DEFINED, TABLES, Change, Tables, fold, gently, in_batches
from pyrt.model import Fact

if TYPE_CHECKING:
    from psycopg import Connection
    from psycopg.sql import Composed

CONNECT = 5  # s until a server that does not answer is no server
STALLED = 30.0  # s after which a statement without an answer is given up, and its connection with it
_SETTINGS = {
    "lock_timeout": "5s",
    "idle_in_transaction_session_timeout": "60s",
    "synchronous_commit": "off",  # what a crash of the server takes back is applied again: meta.seq went with it
}
_STAGED = ("instruments", "strategies", "orders", "fills")  # whose rows may be there already; the others are keyed by seq
log = logging.getLogger(__name__)


class Database(msgspec.Struct, frozen=True, kw_only=True):
    """Where the tables are kept."""

    dsn: Secret  # as libpq reads it: postgresql://user:password@host/database
    schema: str = ""  # empty: pyrt_ and the journal's id
    reader: str = ""  # a role that may read the tables; empty: none

    def schema_of(self, journal: str) -> str:
        """The schema of a journal's tables."""
        return self.schema or f"pyrt_{journal}"


def check(database: Database) -> dict[str, Any]:
    """The parameters of a DSN. Raises ConfigError, which holds nothing of it, and where the extra is not installed."""
    try:
        from psycopg import ProgrammingError
        from psycopg.conninfo import conninfo_to_dict
    except ImportError:
        raise ConfigError("PostgreSQL needs psycopg", where="[postgres]", mend="pip install 'pyrt-trading[pg]'") from None
    mend = "write postgresql://user@host/database; a password's special characters as %XX"
    try:
        parameters = conninfo_to_dict(database.dsn.reveal())
    except ProgrammingError:  # libpq's words repeat what it could not read
        parameters = {}
    # A password with an @ or a / that is not written as %XX ends up here, and from here in the server's answers.
    if not parameters or any("@" in str(parameters.get(name, "")) for name in ("host", "port", "dbname")):
        raise ConfigError("the DSN is no connection string", where="[postgres] dsn", mend=mend)
    if len(database.schema.encode()) > 63 or "\0" in database.schema:
        raise ConfigError(f"{database.schema!r} is no name", where="[postgres] schema", mend="use at most 63 bytes")
    return parameters


class PostgresTables:
    """The tables in one schema. Not for several threads, but `stop`. Methods raise psycopg.Error, JournalError.

    The schema is made where it is missing, and brought up to date where an older version made it. Raises ConfigError (see `check`);
    JournalError for the tables of another journal, or of a newer version.
    """

    def __init__(self, database: Database, journal: str, *, stalled: float = STALLED) -> None:
        parameters = check(database)
        import psycopg

        self.journal, self.schema = journal, database.schema_of(journal)
        self.stalled = ""  # why the connection was given up
        self._patience = stalled
        self._psycopg = psycopg
        defaults = {"connect_timeout": CONNECT, "application_name": "pyrt", "keepalives_idle": 15, "keepalives_interval": 5}
        self._db: Connection[Any] = psycopg.connect(
            **{**defaults, **parameters, "client_encoding": "UTF8"},
            autocommit=True,
            prepare_threshold=None,
        )
        try:
            with self._limited():
                self._prepare(database.reader)
        except BaseException:
            self._db.close()
            raise

    def _prepare(self, reader: str) -> None:
        db = self._db
        # A statement ends a little before the connection would be given up, so that the server knows too.
        for name, value in {**_SETTINGS, "statement_timeout": f"{self._patience * 800:.0f}"}.items():
            db.execute("SELECT set_config(%s, %s, false)", (name, value))
        if (encoding := db.info.parameter_status("server_encoding")) != "UTF8":
            raise JournalError(f"the database holds {encoding}", where=self.schema, mend="create it with ENCODING 'UTF8'")
        if db.execute("SELECT rolsuper FROM pg_roles WHERE rolname = current_user").fetchone() == (True,):
            log.warning("PostgreSQL: this role is a superuser; one that owns the schema %s is enough", self.schema)
        with db.transaction():  # who may read sees all of it, with the right to, or nothing
            schema.migrate(db, self.schema)
            held = db.execute(self._sql("SELECT journal, seq FROM {schema}.meta FOR UPDATE")).fetchone()
            if held is None:
                held = (self.journal, 0)
                db.execute(self._sql("INSERT INTO {schema}.meta VALUES (1, %s, 0)"), (self.journal,))
            if held[0] != self.journal:
                what = f"the schema {self.schema} holds the tables of the journal {held[0]}"
                raise JournalError(what, where="PostgreSQL", mend="name another schema, or drop this one")
            if reader:
                schema.grant(db, self.schema, reader)
        self.seq: int = held[1]
        self._stage()

    def _stage(self) -> None:
        for name in _STAGED:
            self._db.execute(self._sql("CREATE TEMP TABLE {stage} (LIKE {table})", table=name))
        self._db.execute(
            "CREATE TEMP TABLE stage_changes (number bigint, filled_qty bigint, status text, venue_order_id text, code bigint,"
            " reason text, tries bigint, changed_ts bigint)"
        )

    def reset(self) -> None:
        """Forget everything: the tables begin at the journal's first fact again. Readers see the old rows until the commit."""
        with self._limited(), self._db.transaction():
            for name in DEFINED:
                self._db.execute(self._sql("DELETE FROM {table}", table=name))
            self._db.execute(self._sql("UPDATE {schema}.meta SET seq = 0"))
        self.seq = 0

    def apply(self, facts: Iterable[tuple[int, Fact]]) -> int:
        """Take in (seq, fact) pairs, in order, in one transaction; those already there are passed over. How many were new."""
        new = [(seq, fact) for seq, fact in facts if seq > self.seq]
        if not new:
            return 0
        batch, last = fold(gently(new)), new[-1][0]
        with self._limited(), self._db.transaction():
            held = self._db.execute(self._sql("SELECT seq FROM {schema}.meta FOR UPDATE")).fetchone()
            if held != (self.seq,):
                raise JournalError("another process writes these tables", where=self.schema, mend="end the other one")
            for name, rows in batch.rows.items():
                if rows:
                    self._put(name, rows.values())
            if batch.changes:
                self._change(batch.changes.values())
            self._db.execute(self._sql("UPDATE {schema}.meta SET seq = %s"), (last,))
        self.seq = last
        return len(new)

    def rebuild(self, facts: Iterator[tuple[int, Fact]]) -> Iterator[int]:
        """All tables anew from the facts, in one transaction; yields how many facts each step took in."""
        with self._db.transaction():
            self.reset()
            for batch in in_batches(facts):
                yield self.apply(batch)

    def rows(self, table: str) -> list[tuple[Any, ...]]:
        """The rows of one of TABLES, sorted."""
        if table not in TABLES:
            raise ValueError(f"no table {table!r}; there are {', '.join(TABLES)}")
        names = DEFINED[table].names if table in DEFINED else ("strategy", "instrument", "qty")
        return sorted(self._db.execute(self._sql("SELECT {names} FROM {table}", table=table, names=names)))

    def stop(self) -> None:
        """Give the connection up: what waits for the server fails at once. Any thread."""
        self.stalled = self.stalled or f"no answer within {self._patience:g} s"
        try:
            with socket.socket(fileno=os.dup(self._db.fileno())) as own:
                own.shutdown(socket.SHUT_RDWR)
        except (OSError, self._psycopg.Error):  # it is closed already
            return

    def close(self) -> None:
        """Let the connection go."""
        self._db.close()

    # ---- statements
    def _put(self, name: str, rows: Iterable[tuple[int | str, ...]]) -> None:
        table = DEFINED[name]
        if name not in _STAGED:
            self._copy(self._sql("COPY {table} ({names}) FROM STDIN", table=name, names=table.names), rows)
            return
        self._copy(self._sql("COPY {stage} ({names}) FROM STDIN", table=name, names=table.names), rows)
        self._db.execute(
            self._sql(
                "INSERT INTO {table} ({names}) SELECT {names} FROM {stage} ON CONFLICT ({key}) DO UPDATE SET {all}",
                table=name,
                names=table.names,
            )
        )
        self._db.execute(self._sql("TRUNCATE {stage}", table=name))

    def _change(self, changes: Iterable[Change]) -> None:
        self._copy(self._sql("COPY stage_changes FROM STDIN"), changes)
        self._db.execute(
            self._sql(
                "UPDATE {table} AS o SET filled_qty = greatest(o.filled_qty, c.filled_qty), status = coalesce(c.status, o.status),"
                " venue_order_id = coalesce(c.venue_order_id, o.venue_order_id), code = coalesce(c.code, o.code),"
                " reason = coalesce(c.reason, o.reason), tries = coalesce(c.tries, o.tries),"
                " changed_ts = coalesce(c.changed_ts, o.changed_ts) FROM stage_changes AS c WHERE o.number = c.number",
                table="orders",
            )
        )
        self._db.execute("TRUNCATE stage_changes")

    def _copy(self, statement: "Composed", rows: Iterable[tuple[Any, ...]]) -> None:
        with self._db.cursor() as cursor, cursor.copy(statement) as copy:
            for row in gently(rows):
                copy.write_row(row)

    def _sql(self, text: LiteralString, *, table: str = "", names: tuple[str, ...] = ()) -> "Composed":
        sql = self._psycopg.sql
        key = DEFINED[table].names[: DEFINED[table].key] if table in DEFINED else ()
        listed = sql.SQL(", ").join
        every = [sql.SQL("{0} = excluded.{0}").format(sql.Identifier(name)) for name in names]
        made: Composed = sql.SQL(text).format(
            schema=sql.Identifier(self.schema),
            table=sql.Identifier(self.schema, table),
            stage=sql.Identifier(f"stage_{table}"),
            names=listed(map(sql.Identifier, names)),
            key=listed(map(sql.Identifier, key)),
            all=listed(every),
        )
        return made

    @contextmanager
    def _limited(self) -> Iterator[None]:
        """The server answers in time, or the connection is given up."""
        timer = threading.Timer(self._patience, self.stop)
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()


class PostgresFeed(Feed):
    """Keeps the tables in PostgreSQL up to date; a server that is slow, locked, frozen or absent holds nobody up.

    Raises ConfigError for a DSN that cannot be read, or without the extra [pg]; whether the server answers `failed` says later.
    """

    linger = 0.2  # a transaction of the server costs more than one of SQLite
    patience = 2.0

    def __init__(self, journal: Journal, database: Database, *, queue: int = QUEUE, stalled: float = STALLED) -> None:
        parameters = check(database)
        import psycopg

        self.errors = (psycopg.Error, OSError, JournalError)
        self._database, self._stalled = database, stalled
        self._tables: PostgresTables | None = None
        self._filter = SecretFilter(database.dsn, Secret(str(parameters.get("password", ""))))
        super().__init__(journal, f"PostgreSQL {database.schema_of(journal.id)}", queue=queue)

    def _open(self) -> Tables:
        self._tables = None
        self._tables = PostgresTables(self._database, self._journal.id, stalled=self._stalled)
        return self._tables

    def _interrupt(self) -> None:
        if self._tables is not None:
            self._tables.stop()

    def _say(self, error: Exception) -> str:
        stalled = self._tables.stalled if self._tables is not None else ""
        return self._filter.mask(stalled or " ".join(str(error).split()))
