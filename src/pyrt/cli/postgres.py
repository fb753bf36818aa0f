"""The PostgreSQL projection on the command line: where it is, and its tables built again."""

from pathlib import Path

from rich.console import Console
from rich.progress import Progress

from pyrt.config import Config, Secret, SecretFilter, load_config, mask_logs
from pyrt.errors import JournalError
from pyrt.journal import inspect
from pyrt.journal.postgres import Database, PostgresTables, check
from pyrt.process import DATABASE_NAME
from pyrt.venues.alpaca.keys import find_secret

PATIENCE = 3600.0  # s for one step of a rebuild


def database_of(config: Config) -> Database | None:
    """The database that the configuration's files name, else the environment; None without either. Raises ConfigError.

    Log lines are masked from here on.
    """
    own = config.postgres
    return _checked(Database(dsn=own.dsn or find_secret(DATABASE_NAME), schema=own.schema, reader=own.reader))


def named(pg: str | None, schema: str, reader: str, file: Path | None) -> Database | None:
    """The database of the options of `pyrt journal rebuild`; None where there are none. Raises ConfigError."""
    if pg is None and file is None:
        return None
    own = (load_config([file] if file else ()).config).postgres
    dsn = find_secret(DATABASE_NAME) if pg == "env" else Secret(pg) if pg else own.dsn or find_secret(DATABASE_NAME)
    database = Database(dsn=dsn, schema=schema or own.schema, reader=reader or own.reader)
    check(database)
    return _checked(database)


def _checked(database: Database) -> Database | None:
    if not database.dsn:
        return None
    mask_logs(database.dsn, Secret(str(check(database).get("password", ""))))
    return database


def rebuild_in(database: Database, journal: Path, verdict: inspect.Verdict) -> None:
    """Build the tables anew from a whole journal; readers see the old ones until the new are complete. Raises JournalError."""
    import psycopg

    where = f"PostgreSQL {database.schema_of(verdict.journal)}"
    hidden = SecretFilter(database.dsn, Secret(str(check(database).get("password", ""))))
    console = Console(stderr=True)
    try:
        tables = PostgresTables(database, verdict.journal, stalled=PATIENCE)
        try:
            with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
                task = progress.add_task(where, total=verdict.facts)
                for taken in tables.rebuild((seq, fact) for seq, _, fact in inspect.show(journal)):
                    progress.advance(task, taken)
        finally:
            tables.close()
    except psycopg.Error as e:
        mend = "mend what the server says, then rebuild again; the old tables are as they were"
        raise JournalError(hidden.mask(" ".join(str(e).split())), where=where, mend=mend) from None
    print(f"{where}: {verdict.facts} facts, up to record {verdict.last_seq}")
