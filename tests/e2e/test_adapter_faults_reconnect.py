"""Connections that are lost again and again cost nothing that stays: descriptors, threads, tasks and memory are flat."""

import asyncio
import gc
import os
import threading
import time
from contextlib import closing
from pathlib import Path

import pytest
from tests.e2e.adapter import Day, trade
from tests.e2e.processes import Venue

pytestmark = pytest.mark.row("X08", "S021")

WARM = 10  # reconnects before the first count
MIB = 1 << 20
POOL = 32  # threads that a loop's executor has at most


def resources() -> tuple[int, int, int, int]:
    """Open descriptors, threads, tasks, and resident bytes of this process."""
    gc.collect()
    resident = int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    return len(list(Path("/proc/self/fd").iterdir())), threading.active_count(), len(asyncio.all_tasks()), resident


async def reconnect(day: Day, how: str) -> None:
    """Both streams end; wait until both are back with all that is wanted."""
    since = time.monotonic_ns()
    await day.fault("drop_data", how=how)
    await day.fault("drop_stream", how=how)

    def back() -> bool:
        told = [day.states(name, since) for name in ("data", "trading")]
        return all(states and not states[0][1].up and states[-1][1].up for states in told)

    await day.until(back, "both streams")
    assert day.feed.channels.acknowledged == day.feed.channels.wanted  # type: ignore[attr-defined]
    day.heard.clear()


async def settled(day: Day, base: tuple[int, int, int, int]) -> tuple[int, int, int, int]:
    """What is in use once nothing that a reconnect began is still ending; the best of what is seen."""
    await day.until(lambda: all(now <= then for now, then in zip(resources()[:3], base[:3], strict=True)), f"no more than {base}")
    return resources()


def story_of(reconnects: int, growth: int, outside: Venue | None = None) -> tuple[list[tuple[int, int, int, int]], object]:
    seen: list[tuple[int, int, int, int]] = []
    theirs: list[int] = []

    async def story(day: Day) -> None:
        for i in range(WARM):
            await reconnect(day, ("rst", "fin")[i % 2])
        await asyncio.gather(*(asyncio.to_thread(time.sleep, 0.1) for _ in range(POOL)))  # the loop's own pool is as big as it gets
        await day.until(lambda: not day.backfill.holes.open, "filled gaps")
        await asyncio.sleep(1.0)
        seen.append(resources())
        theirs.append(outside.resident if outside else 0)
        for i in range(reconnects):
            await reconnect(day, ("rst", "fin")[i % 2])
        seen.append(await settled(day, seen[0]))
        theirs.append(outside.resident if outside else 0)
        print("descriptors, threads, tasks, resident:", seen, "resident of the venue's own process:", theirs)
        assert seen[1][3] - seen[0][3] <= growth, seen
        await day.fresh()
        await day.filled(day.take())
        connections = (await day.truth())["connections"]
        assert len(connections) >= 2 * (reconnects + WARM)
        assert sum(not c["closed_ns"] for c in connections) == 2

    return seen, story


def test_fifty_reconnects_leave_nothing(tmp_path: Path) -> None:
    _, story = story_of(50, 8 * MIB)
    trade(tmp_path, story)  # type: ignore[arg-type]


@pytest.mark.nightly
@pytest.mark.timeout(1800)
def test_a_thousand_reconnects_leave_nothing(tmp_path: Path) -> None:
    with closing(Venue("--seed", "5")) as venue:
        _, story = story_of(1000, 8 * MIB, venue)
        trade(tmp_path, story, patience=1700.0, outside=venue)  # type: ignore[arg-type]
