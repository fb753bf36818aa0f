"""A disk that becomes full while a session trades: nothing unjournaled leaves, and the next start is HALTED (Linux, root only)."""

import contextlib
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.e2e.processes import Run, Venue, wait_for

from pyrt.execution import parse_cid
from pyrt.journal import inspect
from pyrt.model import Intended, Latched


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    """The directory that `start` uses, on a file system of 6 MiB."""
    home = tmp_path / "home"
    home.mkdir()
    if sys.platform != "linux" or os.geteuid() != 0:
        pytest.skip("NOT RUN: a small disk needs Linux and root")
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=6m,mode=0700", "none", str(home)], capture_output=True, check=False)
    if done.returncode:
        pytest.skip(f"NOT RUN: no mount here: {done.stderr.decode().strip()}")
    yield home
    subprocess.run(["umount", "-l", str(home)], check=False)


@pytest.mark.nightly
@pytest.mark.row("S108")
@pytest.mark.timeout(600)
def test_a_full_disk_halts_this_session_and_the_next(small: Path, venue: Venue, start: Callable[..., Run], busy: list[str]) -> None:
    options = [*busy, "--segment-size", "16384", "--no-watchdog"]
    run = start(*options).until("trading:")
    with contextlib.suppress(OSError), (small / "filler").open("wb") as filler:
        while True:
            filler.write(bytes(1 << 12))
            filler.flush()
    wait_for(lambda: run.process.poll() is not None, "the end of the session", 120)
    assert run.process.returncode == 2
    assert "No space left" in run.log
    intents = {fact.number for _, _, fact in inspect.show(small / "journal") if isinstance(fact, Intended)}
    at_venue = {parse_cid(order["client_order_id"])[1] for order in venue.truth()["orders"]}  # type: ignore[index]
    assert at_venue
    assert at_venue <= intents
    assert venue.open_orders() == []
    (small / "filler").unlink()
    again = start(*options).until("trading:")
    wait_for(lambda: not (small / "KILL").exists(), "the latch")
    again.end(2)
    latched = [fact for _, _, fact in inspect.show(small / "journal") if isinstance(fact, Latched)]
    assert [(fact.level, fact.scope, fact.who) for fact in latched] == [("HALTED", "system", "journal")]
    assert {fact.number for _, _, fact in inspect.show(small / "journal") if isinstance(fact, Intended)} == intents
