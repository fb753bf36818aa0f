"""The drills must be able to fail: sessions with a broken policy are found out."""

import errno
from pathlib import Path

import pytest
from tests.e2e.faults.disk import fail_at
from tests.e2e.faults.kills import kill_at
from tests.e2e.faults.processes import Calls, What, Zygote


def test_an_order_that_does_not_wait_for_its_intent(zygote: Zygote, tmp_path: Path) -> None:
    found: list[str] = []
    for n in (9, 10, 11, 12, 13, 14, 8, 15):  # the groups with intents are among these syncs
        found += fail_at(
            zygote, tmp_path / f"at{n}", n, What.FAIL_ONCE, Calls.SYNC, errno.EIO, "send_before_it_is_durable"
        ).violations
        if any("without a durable intent" in fault for fault in found):
            return
    raise AssertionError(f"not found: {found}")


@pytest.mark.nightly
def test_a_recovery_that_does_not_ask_for_fills(zygote: Zygote, tmp_path: Path) -> None:
    found: list[str] = []
    for n in (92, 96, 100, 104, 108, 88, 112, 116):  # calls around the first fill
        mutant = "forget_what_happened_meanwhile"
        found += kill_at(zygote, tmp_path / f"at{n}", n, What.BEFORE, "/journal,risk.page,control", mutant=mutant).violations
        if found:
            return
    raise AssertionError("not found")
