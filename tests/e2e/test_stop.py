"""How a session ends: in order, at once, and when its disk fails it."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.e2e.drill import Report, compare
from tests.e2e.processes import Run, Venue, wait_for

from pyrt.journal.inspect import show
from pyrt.model import Intended

Start = Callable[..., Run]


def trading(run: Run, venue: Venue) -> Run:
    run.until("trading:")
    wait_for(lambda: venue.truth()["orders"] and venue.open_orders(), "orders")
    return run


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of a few megabytes, as the session's home."""
    home = tmp_path / "home"
    home.mkdir(mode=0o700)
    argv = ["mount", "-t", "tmpfs", "-o", "size=4m,mode=0700", "tmpfs", str(home)]
    if os.geteuid() or subprocess.run(argv, capture_output=True).returncode:
        pytest.skip("mounting a small tmpfs needs root and the right to mount")
    yield home
    subprocess.run(["umount", "-l", str(home)], check=True)


def fill(disk: Path) -> None:
    """Until not a byte is left."""
    with (disk / "filler").open("wb", buffering=0) as file:
        for size in (1 << 20, 1 << 12, 1):
            with contextlib.suppress(OSError):
                while file.write(bytes(size)):
                    pass


def ended_by_its_journal(run: Run, venue: Venue) -> None:
    """One line that says so, a status that says so, no order left, none sent without its intent on disk."""
    out = run.end()
    assert run.process.returncode == 2, run.log
    assert "Traceback" not in run.log
    [line] = [line for line in run.lines if line.startswith("pyrt: ")]
    assert "the journal has failed" in line
    assert "ended by a failure" in out
    assert venue.open_orders() == []


def nothing_lost(venue: Venue, start: Start, busy: list[str], home: Path) -> None:
    again = start(*busy).until("trading:")
    summary = again.end(signal.SIGINT)
    assert again.process.returncode == 0, again.log
    assert "unknown orders: 0   unexplained shares: 0" in summary
    report = Report()
    compare(venue, home / "journal", report)
    assert not report.faults, "\n".join(report.faults)


@pytest.mark.row("S122")
def test_a_full_disk(venue: Venue, start: Start, busy: list[str], small_disk: Path) -> None:
    run = trading(start(*busy, "--no-watchdog", "--segment-size", "16384"), venue)
    fill(small_disk)
    ended_by_its_journal(run, venue)
    (small_disk / "filler").unlink()
    nothing_lost(venue, start, [*busy, "--segment-size", "16384"], small_disk)


def test_a_disk_that_is_full_at_the_start_is_one_line(venue: Venue, start: Start, busy: list[str], small_disk: Path) -> None:
    fill(small_disk)
    run = start(*busy)
    run.end()
    assert run.process.returncode == 1, run.log
    assert "Traceback" not in run.log
    [line] = [line for line in run.lines if line.startswith("pyrt: ")]
    assert "No space left on device" in line


FAILING_SYNC = """
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

int fdatasync(int fd) {
    static int (*real)(int);
    const char *broken = getenv("PYRT_BROKEN_DISK");
    if (broken && access(broken, F_OK) == 0) { errno = EIO; return -1; }
    if (!real) real = (int (*)(int))dlsym(RTLD_NEXT, "fdatasync");
    return real(fd);
}
"""


def test_a_disk_that_does_not_sync(venue: Venue, start: Start, busy: list[str], tmp_path: Path) -> None:
    compiler = shutil.which("gcc") or shutil.which("cc")
    if sys.platform != "linux" or compiler is None:
        pytest.skip("replacing fdatasync needs Linux and a C compiler")
    (tmp_path / "sync.c").write_text(FAILING_SYNC)
    library = str(tmp_path / "sync.so")
    subprocess.run([compiler, "-shared", "-fPIC", "-o", library, str(tmp_path / "sync.c"), "-ldl"], check=True)
    broken = tmp_path / "broken"
    run = trading(start(*busy, "--no-watchdog", LD_PRELOAD=library, PYRT_BROKEN_DISK=str(broken)), venue)
    broken.touch()
    ended_by_its_journal(run, venue)
    nothing_lost(venue, start, busy, tmp_path / "home")


def test_a_second_ctrl_c_ends_at_once_and_nothing_is_lost(venue: Venue, start: Start, busy: list[str], tmp_path: Path) -> None:
    run = trading(start(*busy, "--no-watchdog"), venue)
    venue.fault("rate_limited", seconds=600)  # no cancel gets through: an ordered end would wait
    run.process.send_signal(signal.SIGINT)
    run.until("again to end at once")
    run.end(signal.SIGINT)
    assert run.process.returncode == 130, run.log
    assert "Traceback" not in run.log
    assert "pyrt: ended at once" in run.log
    venue.disarm()
    again = start(*busy, "--no-watchdog").until("trading:")
    summary = again.end(signal.SIGINT)
    assert "unknown orders: 0   unexplained shares: 0" in summary
    report = Report()
    compare(venue, tmp_path / "home" / "journal", report)
    assert not report.faults, "\n".join(report.faults)


def test_ctrl_c_before_anything_runs_is_silent() -> None:
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        run = Run("--sim-url", f"http://127.0.0.1:{deaf.getsockname()[1]}")
        connection, _ = deaf.accept()
        with connection:
            out = run.end(signal.SIGINT)
    assert (run.process.returncode, out, run.log) == (130, "", "")


def test_orders_that_wait_for_the_request_budget_end_here_at_a_stop(busy: list[str], tmp_path: Path) -> None:
    venue, home = Venue(rate_limit=60), tmp_path / "home"
    run = Run(*("--sim-url", venue.url, "--sim-state", str(home), "--rate-limit", "60", "--deadline", "1", "--settle", "1"), *busy)

    def queued() -> bool:
        intents = sum(isinstance(fact, Intended) for _, _, fact in show(home / "journal"))
        return intents > len(venue.truth()["orders"]) + 3

    try:
        run.until("trading:")
        wait_for(queued, "orders that wait")
        summary = run.end(signal.SIGINT)
    finally:
        run.close()
        venue.close()
    assert run.process.returncode == 0, run.log
    assert "NO_ANSWER" not in run.log
    assert "NOT_SENT, HTTP 0: withdrawn" in run.log
    assert "unknown orders: 0   unexplained shares: 0" in summary
