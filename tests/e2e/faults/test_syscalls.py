"""kill -9 at every system call of submit, replace, cancel and fill (F1), and of recovery (F3)."""

from pathlib import Path

import pytest
from tests.e2e.faults.kills import ORDER_PATH, REBUILDABLE, Tally, sweep, traced
from tests.e2e.faults.processes import What, Zygote
from tests.e2e.faults.record import record
from tests.sizes import size

SAMPLE = 4  # points in the default suite, half of them of each kind
KILLED = "kill -9 at every system call of submit, replace, cancel, fill"


def check(tally: Tally, fault: str, part: str, injection: str, *, least: int) -> None:
    print(f"{fault} {part}: {tally}")
    record(fault, part, injection, tally.points, len(tally.violations), seconds=round(tally.seconds), at=dict(tally.at))
    assert not tally.violations, "\n".join(tally.violations[:10])
    assert tally.points - tally.unharmed >= least, tally


def test_the_shim_sees_the_whole_order_path(zygote: Zygote, tmp_path: Path) -> None:
    """A count that misses a kind of call would prove less than it says."""
    lines = traced(zygote, tmp_path / "life", ORDER_PATH)
    calls = {(line.split()[1], line.split()[2]) for line in lines}
    assert {("send", "venue"), ("recv", "venue"), ("fsync", "/journal"), ("rename", "/journal/00000001.journal")} <= calls
    journal = [line for line in lines if ".journal " in line]
    writes, syncs = ([x for x in journal if f" {call} " in x] for call in ("pwrite64", "fdatasync"))
    assert len(writes) > 4
    assert abs(len(writes) - len(syncs)) <= 2
    verbs = {line.split()[4] for line in lines if " send " in line and line.count(" ") > 4}
    assert {"POST", "PATCH", "DELETE", "GET"} <= verbs


@pytest.mark.row("S122")
@pytest.mark.parametrize("what", [What.BEFORE, What.TORN])
def test_a_sample_of_calls(zygote: Zygote, tmp_path: Path, what: What) -> None:
    total = len(traced(zygote, tmp_path / "life", ORDER_PATH))
    offset = 0 if what is What.BEFORE else total // SAMPLE // 2
    points = [offset + 1 + i * total // SAMPLE for i in range(SAMPLE // 2)]
    tally = sweep([zygote], tmp_path, points, what)
    assert not tally.violations, "\n".join(tally.violations)
    assert tally.points > tally.unharmed, tally


@pytest.mark.nightly
@pytest.mark.timeout(7200)
@pytest.mark.row("S122")
@pytest.mark.parametrize("what", [What.BEFORE, What.AFTER, What.TORN])
def test_every_call(zygotes: list[Zygote], tmp_path: Path, what: What) -> None:
    total = len(traced(zygotes[0], tmp_path / "life", ORDER_PATH))
    step = size("SYSCALL_STEP", 1)
    tally = sweep(zygotes, tmp_path, range(1, total + 1, step), what)
    check(tally, "F1", what.name.lower(), f"{KILLED}: {what.name.lower()}", least=total // step // 2)


@pytest.mark.nightly
@pytest.mark.timeout(7200)
def test_calls_on_what_can_be_made_again(zygotes: list[Zygote], tmp_path: Path) -> None:
    """The projection and the recording: a kill there costs no order, no fill and no start."""
    total = len(traced(zygotes[0], tmp_path / "life", REBUILDABLE))
    tally = sweep(zygotes, tmp_path, range(1, total + 1, size("SYSCALL_STEP", 5)), What.TORN, REBUILDABLE)
    check(tally, "F1", "projection", "torn writes and kills in projection and recording", least=1)


@pytest.mark.nightly
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("depth", [2, 5])
def test_kills_in_recovery(zygotes: list[Zygote], tmp_path: Path, depth: int) -> None:
    total = len(traced(zygotes[0], tmp_path / "life", ORDER_PATH))
    step = size("SYSCALL_STEP", 1) * (3 if depth == 2 else 12)
    tally = sweep(zygotes, tmp_path, range(2, total + 1, step), What.BEFORE, depth=depth)
    check(tally, "F3", f"depth {depth}", f"kill -9 in {depth} starts one after the other, at the same call of each", least=1)
