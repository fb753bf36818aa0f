"""F24: the projection is locked, gone or damaged. The journal is what trading depends on; the tables can be made again."""

import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from tests.e2e.faults.processes import Zygote
from tests.e2e.faults.record import record
from tests.e2e.faults.scenario import Life, life
from tests.sizes import size

from pyrt.journal.inspect import show
from pyrt.model import Filled

NAME = "state.sqlite"


def fills(it: Life) -> tuple[int, int]:
    """In the journal, in the tables."""
    with closing(sqlite3.connect(f"file:{it.home / NAME}?mode=ro", uri=True)) as tables:
        [(shown,)] = tables.execute("SELECT count(*) FROM fills").fetchall()
    return sum(isinstance(fact, Filled) for _, _, fact in show(it.journal)), shown


def locked(it: Life) -> list[str]:
    """Another program holds the tables for a whole life, then lets go."""
    run = it.start(idle="true")
    run.until_said("trading:")
    run.end()
    with closing(sqlite3.connect(it.home / NAME, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        run = it.start()
        run.until_said("the life is over")
        other.execute("ROLLBACK")
    return [] if run.wait() == 0 else [f"ended with {run.status}: {run.log[-2000:]}"]


def gone(it: Life) -> list[str]:
    """The files are deleted under a session."""
    run = it.start(rounds=3)
    run.until(lambda: it.home.exists() and it.truth()["orders"], "orders")
    for path in it.home.glob(NAME + "*"):
        path.unlink(missing_ok=True)
    return [] if run.wait() == 0 else [f"ended with {run.status}: {run.log[-2000:]}"]


def damaged(it: Life) -> list[str]:
    """The file is not a database any more."""
    run = it.start()
    run.wait()
    for path in it.home.glob(NAME + "*"):
        path.write_bytes(b"this was a database " * 1000)
    run = it.start()
    return [] if run.wait() == 0 else [f"ended with {run.status}: {run.log[-2000:]}"]


TROUBLES: list[Callable[[Life], list[str]]] = [locked, gone, damaged]


def test_trading_goes_on_while_the_tables_are_locked(zygote: Zygote, tmp_path: Path) -> None:
    assert not (told := trial(zygote, tmp_path / "life", locked)), "\n".join(told)


def trial(zygote: Zygote, directory: Path, trouble: Callable[[Life], list[str]]) -> list[str]:
    with life(zygote, directory) as it:
        told = trouble(it) + it.recover(sweep=False)
        journal, shown = fills(it)
        return told if journal == shown else [*told, f"{journal} fills in the journal, {shown} in the tables"]


@pytest.mark.nightly
@pytest.mark.timeout(3600)
def test_many_troubles(zygote: Zygote, tmp_path: Path) -> None:
    begun, told, trials = time.monotonic(), list[str](), size("TROUBLES", 30)
    for n in range(trials):
        told += trial(zygote, tmp_path / f"life{n}", TROUBLES[n % len(TROUBLES)])
    print(f"F24: {trials} trials, {len(told)} violations, {time.monotonic() - begun:.0f} s")
    record("F24", "sqlite", "tables locked for a session's life, deleted under it, overwritten before it", trials, len(told))
    assert not told, "\n".join(told[:10])
