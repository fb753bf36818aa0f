"""`pyrt journal`: is it whole, what does it say, its tables built again, its old part made small. Facts are never written."""

import sys
import time
from collections import deque
from collections.abc import Iterator
from datetime import UTC, datetime
from heapq import merge
from itertools import islice
from pathlib import Path
from typing import Annotated, get_args

import msgspec
from cyclopts import App, Parameter
from rich.console import Console
from rich.progress import Progress

from pyrt.cli.postgres import named, rebuild_in
from pyrt.cli.state import find_state
from pyrt.errors import ConfigError
from pyrt.journal import inspect
from pyrt.journal.archive import KEEP_DAYS, due, pack
from pyrt.journal.head import check_head, head_of, read_head
from pyrt.journal.journal import held
from pyrt.journal.projection import Projection
from pyrt.model import Fact

_EXAMPLES = """Is the journal of the last session whole? (exit status 0 whole, 1 damaged, 2 not readable)

    pyrt journal verify

Its last twenty facts, then every fill, for a program:

    pyrt journal show --last 20
    pyrt journal export --kind Filled > fills.jsonl

Segments of more than 400 days ago, compressed and still read by all of these:

    pyrt journal archive

The tables of state.sqlite anew, from the facts:

    pyrt journal rebuild

Those in PostgreSQL, whose address is in PYRT_POSTGRES_DSN:

    pyrt journal rebuild --pg env
"""
BATCH = 5_000  # facts between two looks at the progress
app = App(
    name="journal", help="Look at a session's journal: verify, show, export, archive, rebuild its tables.", help_epilogue=_EXAMPLES
)


@app.command
def verify(directory: Path | None = None, *, head: Path | None = None) -> None:
    """Check every checksum, the chain over all records, their order, that each fact decodes, and the snapshots.

    Where there are snapshots, the journal is replayed from its beginning and from each of the last two: all must come to the same.

    Exit status 0: whole (a last write that was cut short is no part of it). 1: damaged. 2: no journal, or not one of this program.

    Parameters
    ----------
    directory
        A session's state, or a copy of its journal; by default the session used last.
    head
        What `pyrt journal head` printed some time ago: the journal must begin with exactly those records.
    """
    kept = read_head(head) if head is not None else None
    verdict = inspect.verify(_journal(directory))
    print(verdict.text, file=sys.stderr if verdict.exit else sys.stdout)
    if verdict.exit:
        raise SystemExit(verdict.exit)
    if kept is not None:
        check_head(_journal(directory), kept)
        print(f"it begins with the records of the head that was kept: {kept.seq}, {kept.chain}")
    from pyrt.live.recovery import check  # all components, which the other verbs do not need

    checked = check(_journal(directory))
    if checked.anchors:
        records = " and ".join(map(str, checked.anchors))
        print(f"snapshots of records {records}: {'different' if checked.faults else 'equal to those of a replay'}")
    for line in checked.passed:
        print(line)
    for line in checked.faults:
        print(line, file=sys.stderr)
    if checked.faults:
        raise SystemExit(1)


@app.command(name="head")
def print_head(directory: Path | None = None) -> None:
    """Print the journal's head as JSON: one line that stands for all its records. Keep it elsewhere, signed if you like.

    Parameters
    ----------
    directory
        A session's state, or a copy of its journal; by default the session used last.
    """
    print(msgspec.json.encode(head_of(_journal(directory))).decode())


@app.command
def show(
    directory: Path | None = None,
    *,
    after: int = 0,
    last: int | None = None,
    kind: Annotated[tuple[str, ...], Parameter(negative="", consume_multiple=True)] = (),
) -> None:
    """Show facts: their place, the venue's time, what they are and what they say; and the anchors of snapshots.

    Parameters
    ----------
    directory
        A session's state, or a copy of its journal; by default the session used last.
    after
        Only facts above this place.
    last
        Only so many, the latest.
    kind
        Only facts of these kinds, e.g. Intended Filled Latched.
    """
    if last is not None and last < 1:
        raise ConfigError(f"{last} is out of range", where="--last", mend="give a number above 0")
    lines = merge(_lines(_journal(directory), after, kind), _anchors(_journal(directory), after, kind))
    for seq, ts, name, text in deque(lines, last) if last else lines:
        print(f"{seq:>8} {_time(ts)} {name:<17} {text}")


@app.command
def export(
    directory: Path | None = None,
    *,
    after: int = 0,
    kind: Annotated[tuple[str, ...], Parameter(negative="", consume_multiple=True)] = (),
) -> None:
    """Write facts to the standard output as JSON, one a line: {"seq", "ts", "fact"}; all numbers are the model's integers.

    Parameters
    ----------
    directory
        A session's state, or a copy of its journal; by default the session used last.
    after
        Only facts above this place.
    kind
        Only facts of these kinds, e.g. Intended Filled Latched.
    """
    for seq, ts, fact in _facts(_journal(directory), after, kind):
        sys.stdout.buffer.write(inspect.line(seq, ts, fact))
    sys.stdout.buffer.flush()


@app.command
def archive(
    directory: Path | None = None,
    *,
    keep_days: float = KEEP_DAYS,
    dry_run: Annotated[bool, Parameter(negative="")] = False,
) -> None:
    """Compress old segments into the journal's archive, where every command reads them as before. Nothing is deleted.

    Only closed segments that lie before a snapshot which a replay of all facts has confirmed just now. A session may be running.

    Parameters
    ----------
    directory
        A session's state, or a copy of its journal; by default the session used last.
    keep_days
        Segments that were written to within so many days stay as they are.
    dry_run
        Only say which would be archived.
    """
    if keep_days < 0:
        raise ConfigError(f"{keep_days} is out of range", where="--keep-days", mend="give a number of days")
    journal = _journal(directory)
    verdict = inspect.verify(journal)
    if verdict.exit:
        print(verdict.text, file=sys.stderr)
        raise SystemExit(verdict.exit)
    from pyrt.live.recovery import check  # all components, which the other verbs do not need

    checked = check(journal)
    if checked.faults:
        print(*checked.faults, sep="\n", file=sys.stderr)
        raise SystemExit(1)
    found = due(journal, checked.anchors, time.time_ns(), keep_days)
    if dry_run or not found:
        names = ", ".join(map(str, found)) or "none"
        print(f"segments to archive: {names}")
        return
    moved = pack(journal, found)
    print(f"{len(moved.numbers)} segments archived: {moved.before:,} bytes are {moved.after:,}")


@app.command
def rebuild(
    directory: Path | None = None, *, pg: str | None = None, schema: str = "", reader: str = "", config: Path | None = None
) -> None:
    """Build state.sqlite anew from the facts, or the tables in PostgreSQL; the old ones are replaced when the new are complete.

    Parameters
    ----------
    directory
        A session's state; by default the session used last. It must not be running: a run keeps its tables itself.
    pg
        The tables in this PostgreSQL database instead of state.sqlite: postgresql://user@host/database. Who looks at the machine's
        processes sees it, so name no password: `env` takes it from PYRT_POSTGRES_DSN or the file in PYRT_POSTGRES_DSN_FILE.
    schema
        That holds the tables; by default pyrt_ and the journal's id.
    reader
        A role that may read the tables.
    config
        File whose section [postgres] says all three.
    """
    state = find_state(directory)
    journal = state / "journal"
    database = named(pg, schema, reader, config)
    with held(journal):
        verdict = inspect.verify(journal)
        if verdict.exit:
            print(verdict.text, file=sys.stderr)
            raise SystemExit(verdict.exit)
        if database is not None:
            rebuild_in(database, journal, verdict)
            return
        unfinished, target = state / "state.sqlite.new", state / "state.sqlite"
        unfinished.unlink(missing_ok=True)
        projection = Projection(unfinished, verdict.journal)
        try:
            facts = ((seq, fact) for seq, _, fact in inspect.show(journal))
            console = Console(stderr=True)
            with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
                task = progress.add_task("state.sqlite", total=verdict.facts)
                while batch := list(islice(facts, BATCH)):
                    projection.apply(batch)
                    progress.advance(task, len(batch))
        finally:
            projection.close()
        for suffix in ("-wal", "-shm"):  # what the old file left unmerged must not meet the new one
            target.with_name(target.name + suffix).unlink(missing_ok=True)
        unfinished.replace(target)
    print(f"{target}: {verdict.facts} facts, up to record {verdict.last_seq}")


def _journal(directory: Path | None) -> Path:
    """The journal in a state directory, or the directory itself where it is a journal."""
    if directory is not None and not (directory / "journal").is_dir():
        return directory
    return find_state(directory) / "journal"


def _lines(directory: Path, after: int, kinds: tuple[str, ...]) -> Iterator[tuple[int, int, str, str]]:
    return ((seq, ts, type(fact).__name__, _text(fact)) for seq, ts, fact in _facts(directory, after, kinds))


def _anchors(directory: Path, after: int, kinds: tuple[str, ...]) -> Iterator[tuple[int, int, str, str]]:
    found = () if kinds else inspect.anchors(directory, after)
    return ((seq, 0, "(anchor)", f"snapshot of record {a.seq}: {a.state_hash.hex()}") for seq, a in found)


def _facts(directory: Path, after: int, kinds: tuple[str, ...]) -> Iterator[tuple[int, int, Fact]]:
    names = {kind.__name__ for kind in get_args(Fact)}
    if unknown := sorted(set(kinds) - names):
        raise ConfigError(f"there is no kind {unknown[0]}", where="--kind", mend=f"use {', '.join(sorted(names))}")
    return (row for row in inspect.show(directory, after) if not kinds or type(row[2]).__name__ in kinds)


def _time(ns: int) -> str:
    return datetime.fromtimestamp(ns / 1e9, UTC).strftime("%Y-%m-%d %H:%M:%S.%f")[:-3] if ns else " " * 23


def _text(fact: Fact) -> str:
    said = msgspec.to_builtins(fact)
    return " ".join(f"{key}={value}" for key, value in said.items() if key != "kind" and value not in (0, "", None, [], False))
