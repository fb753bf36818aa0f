"""Disks that fail (F5): the journal's n-th write or sync, once and for ever; no descriptors; a file system that is read-only."""

import errno
import resource
from pathlib import Path

import pytest
from tests.e2e.faults.disk import counted, fail_at, sweep
from tests.e2e.faults.kills import Tally, traced
from tests.e2e.faults.processes import Calls, What, Zygote
from tests.e2e.faults.record import record
from tests.e2e.faults.scenario import life
from tests.sizes import size

KINDS = [
    (What.FAIL_ONCE, Calls.SYNC, errno.EIO),
    (What.FAIL_EVER, Calls.SYNC, errno.EIO),
    (What.FAIL_ONCE, Calls.WRITE, errno.ENOSPC),
    (What.FAIL_EVER, Calls.WRITE, errno.ENOSPC),
    (What.FAIL_EVER, Calls.FILES, errno.EROFS),
    (What.FAIL_EVER, Calls.NAME, errno.EMFILE),
]


def check(tally: Tally) -> None:
    assert not tally.violations, "\n".join(tally.violations[:10])
    assert tally.points > tally.unharmed, tally


@pytest.mark.row("S122")
@pytest.mark.parametrize(("what", "mask", "number", "at"), [(*KINDS[0], 12), (*KINDS[3], 14), (*KINDS[4], 40)])
def test_no_order_leaves_without_its_intent(zygote: Zygote, tmp_path: Path, what: What, mask: Calls, number: int, at: int) -> None:
    check(fail_at(zygote, tmp_path / "life", at, what, mask, number))


def test_a_failure_of_the_last_record_is_told(zygote: Zygote, tmp_path: Path) -> None:
    """Nothing is lost by it, but a disk that fails must not end in status 0."""
    told, at = [], 0
    for n in range(6):  # how many groups a session makes varies: until the one that fails is its last
        with life(zygote, tmp_path / f"life{n}") as it:
            trace = tmp_path / f"trace{n}"
            what = What.FAIL_ONCE if at else What.TRACE
            run = it.start(arm=it.arm(what, at, mask=Calls.SYNC, only="/journal/", error=errno.EIO, trace=trace), idle="true")
            run.until_said("trading:")
            status = run.end()
            seen = sum(not line.startswith("0 ") for line in trace.read_text().splitlines())
            if at and seen == at and "the journal has failed" in run.log.partition("SWEPT")[2]:
                told.append(status)
                assert status == 2, run.log
                assert "Traceback" not in run.log, run.log
                assert "the journal has failed" in run.log.splitlines()[-1]
                assert it.recover() == []
                break
            at = seen if seen != at else at + 1
    assert told, "the last sync was never met"


def test_no_descriptor_is_left_for_the_next_segment(zygote: Zygote, tmp_path: Path) -> None:
    with life(zygote, tmp_path / "life") as it:
        run = it.start(rounds=1000)
        run.until(lambda: it.journal.exists() and len(it.truth()["orders"]) > 3, "orders")
        hard = resource.prlimit(run.pid, resource.RLIMIT_NOFILE)[1]
        resource.prlimit(run.pid, resource.RLIMIT_NOFILE, (3, hard))
        assert run.wait() == 2, run.log[-3000:]
        assert "Traceback" not in run.log, run.log[-3000:]
        assert "raise the limit of open files" in run.log.splitlines()[-1]
        assert it.get("/v2/orders?status=open") == []
        assert it.recover() == []


@pytest.mark.nightly
def test_no_descriptor_is_left_for_a_connection(zygote: Zygote, tmp_path: Path) -> None:
    """It is tried again, and with descriptors all is well."""
    with life(zygote, tmp_path / "life") as it:
        run = it.start(idle="true")
        run.until_said("trading:")
        before = resource.prlimit(run.pid, resource.RLIMIT_NOFILE)
        resource.prlimit(run.pid, resource.RLIMIT_NOFILE, (3, before[1]))
        it.venue.fault("drop_stream", how="rst")
        run.until_said("not connected: OSError")
        resource.prlimit(run.pid, resource.RLIMIT_NOFILE, before)
        run.until_said("the trading stream is back")
        assert run.end() == 0, run.log[-3000:]
        assert "Traceback" not in run.log, run.log[-3000:]
        assert it.recover(sweep=False) == []


@pytest.mark.nightly
@pytest.mark.timeout(7200)
@pytest.mark.parametrize(("what", "mask", "number"), KINDS)
def test_every_call_on_the_journal_fails(zygotes: list[Zygote], tmp_path: Path, what: What, mask: Calls, number: int) -> None:
    lines = [x for x in traced(zygotes[0], tmp_path / "life", "/journal/", mask) if not x.startswith("0 ")]
    tally = sweep(zygotes, tmp_path, range(1, len(lines) + 1, size("SYSCALL_STEP", 1)), what, mask, number)
    name = f"{what.name.lower()} {mask.name or mask} {errno.errorcode[number]}"
    print(f"F5 {name}: {tally} of {counted(lines)}")
    injection = f"every {mask.name or mask} on the journal fails with {errno.errorcode[number]}, {what.name[5:].lower()}"
    record("F5", name, injection, tally.points, len(tally.violations), seconds=round(tally.seconds), at=dict(tally.at))
    check(tally)
