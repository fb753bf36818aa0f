"""F2: the power fails under a trading session; after the restart nothing is lost and nothing is there twice."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.e2e.faults.kills import ORDER_PATH, Tally, traced
from tests.e2e.faults.power import Disk, cut_after, cut_at, many
from tests.e2e.faults.processes import Zygote
from tests.e2e.faults.record import record
from tests.sizes import size


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    """A file system of its own."""
    disk = Disk(tmp_path / "disk")
    yield disk
    disk.close()


def check(tally: Tally, part: str = "", injection: str = "") -> None:
    print(f"F2 {part}: {tally}")
    if part:
        record("F2", part, injection, tally.points, len(tally.violations), seconds=round(tally.seconds), at=dict(tally.at))
    assert not tally.violations, "\n".join(tally.violations[:10])
    assert tally.points > tally.unharmed, tally


@pytest.mark.row("S122")
def test_two_power_cuts(zygote: Zygote, disk: Disk, tmp_path: Path) -> None:
    check(many([cut_at(zygote, disk, tmp_path / "life", 75), cut_after(zygote, disk, tmp_path / "life", 4)]))


def test_the_same_without_syncs_is_found_out(zygote: Zygote, disk: Disk, tmp_path: Path) -> None:
    """The check of the check: where nothing is synced, the cut must show."""
    assert cut_at(zygote, disk, tmp_path / "life", 80, durability="os").violations


@pytest.mark.nightly
@pytest.mark.timeout(7200)
@pytest.mark.row("S122")
def test_a_power_cut_at_every_call(zygote: Zygote, disk: Disk, tmp_path: Path) -> None:
    total = len([x for x in traced(zygote, tmp_path / "life", ORDER_PATH) if not x.startswith("0 ")])
    points = range(1, total + 1, size("SYSCALL_STEP", 1))
    tally = many(cut_at(zygote, disk, tmp_path / "life", n) for n in points)
    check(tally, "calls", "power cut (ext4 shutdown without flush) before every system call of the order path")


@pytest.mark.nightly
@pytest.mark.timeout(7200)
@pytest.mark.row("S122")
def test_power_cuts_at_random_moments(zygote: Zygote, disk: Disk, tmp_path: Path) -> None:
    tally = many(cut_after(zygote, disk, tmp_path / "life", seed) for seed in range(size("CUTS", 100)))
    check(tally, "random", "power cut at a random moment of trading, three quarters with the machine, one with the disk alone")
