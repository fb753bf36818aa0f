"""The judges of the soak and of the derby see what they are there to see."""

from typing import Any

import pytest
from bench.derby.__main__ import blind
from bench.soak import EVERY, JUDGED, MIB, Sample, judge

LONG = int(JUDGED / EVERY * 1.5)


def samples(count: int, **growing: float) -> list[Sample]:
    """Every ten seconds; what is named grows by so much an hour."""
    flat = dict.fromkeys(Sample.__struct_fields__, 100) | {"rss": 80 * MIB, "anonymous": 50 * MIB, "watchdog_rss": 40 * MIB}
    return [
        Sample(**{**flat, "at": i * EVERY, **{name: int(flat[name] + rate * i * EVERY / 3600) for name, rate in growing.items()}})
        for i in range(count)
    ]


def test_a_session_that_stays_as_it_is_has_no_fault() -> None:
    verdict = judge(samples(LONG))
    assert (verdict.judged, verdict.faults) == (True, [])


@pytest.mark.parametrize("name", ["rss", "watchdog_rss"])
def test_two_mebibytes_an_hour_are_seen_and_half_of_one_is_not(name: str) -> None:
    assert len(judge(samples(LONG, **{name: 2 * MIB})).faults) == 1
    assert judge(samples(LONG, **{name: MIB / 2})).faults == []


@pytest.mark.parametrize("name", ["fds", "threads", "tasks", "sockets", "shared", "watchdog_fds"])
def test_what_grows_by_one_a_minute_is_seen_in_a_short_run_too(name: str) -> None:
    verdict = judge(samples(60, **{name: 60}))
    assert not verdict.judged
    assert [fault.split()[0] for fault in verdict.faults] == [name]


def told(*rows: tuple[float, str]) -> list[dict[str, Any]]:
    return [{"at": at, "kind": kind} for at, kind in rows]


def test_blind_is_the_longest_gap_and_a_notice_ends_it() -> None:
    data = [(10.0, "data"), (11.0, "data"), (19.0, "data"), (20.0, "data")]
    assert blind(told(*data), 10.0, 20.0) == 8.0
    assert blind(told(*data, (13.0, "notice")), 10.0, 20.0) == 2.0


def test_no_data_at_all_is_blind_for_the_whole_course() -> None:
    assert blind(told((9.0, "data"), (9.5, "notice")), 10.0, 20.0) == 10.0
