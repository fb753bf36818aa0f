"""The versions of the tables in PostgreSQL: numbered SQL files, each applied once, in order; there is no way back."""

from importlib.resources import files
from typing import TYPE_CHECKING, Any, NamedTuple

from pyrt.errors import JournalError

if TYPE_CHECKING:
    from psycopg import Connection


class Migration(NamedTuple):
    """One step, from the version before it."""

    version: int
    name: str
    text: str


def migrations() -> list[Migration]:
    """Every step, in order: migrations/NNNN_name.sql of this package."""
    folder = files("pyrt.journal") / "migrations"
    found = sorted((file.name, file) for file in folder.iterdir() if file.name.endswith(".sql"))
    return [Migration(int(name[:4]), name[5:].removesuffix(".sql"), file.read_text("utf-8")) for name, file in found]


def migrate(db: "Connection[Any]", name: str, upto: int | None = None) -> int:
    """Bring a schema to the newest version (or to `upto`) in one transaction; its version. Raises JournalError for a newer one."""
    from psycopg import sql

    steps = migrations()
    newest = steps[-1].version if upto is None else upto
    with db.transaction():
        db.execute("SELECT pg_advisory_xact_lock(hashtext(%s))", (f"pyrt {name}",))  # two that start at once
        if db.execute("SELECT to_regnamespace(quote_ident(%s))", (name,)).fetchone() == (None,):
            db.execute(sql.SQL("CREATE SCHEMA {}").format(sql.Identifier(name)))
        db.execute("SELECT set_config('search_path', quote_ident(%s), true)", (name,))
        db.execute("SELECT set_config('client_min_messages', 'warning', true)")
        version = _version(db)
        if version > newest and upto is None:
            what = f"the schema {name} is of version {version}, this program knows {newest}"
            raise JournalError(what, where="PostgreSQL", mend="use the newer program, or name another schema")
        for step in steps:
            if version < step.version <= newest:
                db.execute(step.text.encode())
                db.execute("INSERT INTO migrations (version, name) VALUES (%s, %s)", (step.version, step.name))
    return max(version, newest)


def _version(db: "Connection[Any]") -> int:
    if db.execute("SELECT to_regclass('migrations')").fetchone() == (None,):
        db.execute(
            "CREATE TABLE migrations (version integer PRIMARY KEY, name text NOT NULL, applied timestamptz NOT NULL DEFAULT now())"
        )
    row = db.execute("SELECT coalesce(max(version), 0) FROM migrations").fetchone()
    assert row is not None
    return int(row[0])


def grant(db: "Connection[Any]", name: str, reader: str) -> None:
    """Let a role read the tables, and nothing more."""
    from psycopg import sql

    for text in ("GRANT USAGE ON SCHEMA {} TO {}", "GRANT SELECT ON ALL TABLES IN SCHEMA {} TO {}"):
        db.execute(sql.SQL(text).format(sql.Identifier(name), sql.Identifier(reader)))
