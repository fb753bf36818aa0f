"""F23: the machine's clock steps under a session that trades. Deadlines are monotonic, venue time is the venue's."""

import itertools
import mmap
import random
import struct
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from tests.e2e.faults.processes import Child, Zygote
from tests.e2e.faults.record import record
from tests.e2e.faults.scenario import Life, life
from tests.sizes import size

from pyrt.journal.inspect import show
from pyrt.model import Refused

HOUR = 3600.0
NIGHTS = {
    "spring forward": datetime(2026, 3, 8, 6, 59, 59, tzinfo=UTC),
    "fall back": datetime(2026, 11, 1, 5, 59, 59, tzinfo=UTC),
    "leap day": datetime(2028, 2, 28, 23, 59, 59, tzinfo=UTC),
    "before 32 bits": datetime(2038, 1, 19, 3, 14, 6, tzinfo=UTC),
    "no battery": datetime(1980, 1, 1, tzinfo=UTC),
}


class WallClock:
    """CLOCK_REALTIME of the zygote's children, s away from the true one."""

    def __init__(self, path: Path) -> None:
        path.write_bytes(bytes(8))
        self._file = path.open("r+b")
        self._page = mmap.mmap(self._file.fileno(), 8)
        self.steps = 0

    def shift(self, seconds: float) -> None:
        self._page[:8] = struct.pack("q", int(seconds * 1e9))
        self.steps += 1

    def set(self, instant: datetime) -> None:
        self.shift(instant.timestamp() - time.time())

    def close(self) -> None:
        self._page.close()
        self._file.close()


@pytest.fixture(scope="module")
def moved(shim: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[WallClock, Zygote]]:
    """A clock that can be moved, and sessions that live by it, in the time zone of the exchange."""
    path = tmp_path_factory.mktemp("clock") / "clock"
    wall = WallClock(path)
    with Zygote(shim, SHIM_CLOCK=str(path), TZ="America/New_York") as it:
        yield wall, it
    wall.close()


@pytest.fixture
def wall(moved: tuple[WallClock, Zygote]) -> WallClock:
    """The clock, at the true time."""
    moved[0].shift(0)
    moved[0].steps = 0
    return moved[0]


@pytest.fixture
def stepped(moved: tuple[WallClock, Zygote]) -> Zygote:
    """The sessions."""
    return moved[1]


def stamps(it: Life) -> list[int]:
    return [ts for _, ts, _ in show(it.journal) if ts]


def refused_for_the_clock(it: Life) -> bool:
    """Whether R17 denied an intent because our clock was 0.1 s off, and not because a price was old."""
    denied = (breach for _, _, fact in show(it.journal) if isinstance(fact, Refused) for breach in fact.breaches)
    return any(breach.code == "STALE_DATA" and breach.limit == "0.1" for breach in denied)


def check(it: Life, run: Child, begun: int) -> list[str]:
    """Whole, in order, and every time in the journal is the venue's."""
    assert run.status == 0, run.log[-3000:]
    told = it.violations()
    times = stamps(it)
    if not begun <= times[0] <= times[-1] <= it.venue.clock()["now_ns"]:  # type: ignore[union-attr]
        told.append(f"the journal's times {times[0]} to {times[-1]} are not the venue's since {begun}")
    if any(b < a for a, b in itertools.pairwise(times)):
        told.append("the journal's times go back")
    for word in ("Traceback", "CLOCK_OFFSET", "AMBIGUOUS"):
        if word in run.log:
            told.append(f"{word} in the log: {run.log[-2000:]}")
    return told


def lived(stepped: Zygote, directory: Path, wall: WallClock, offsets: list[float], seed: int) -> list[str]:
    """A life in which the clock steps to each of the offsets, at random moments."""
    rng = random.Random(seed)
    with life(stepped, directory) as it:
        it.deadline = "60"  # far less than a step, and more than a machine stands still
        begun = it.venue.clock()["now_ns"]  # type: ignore[union-attr]
        run = it.start(rounds=len(offsets))
        for offset in offsets:
            time.sleep(rng.random() * 0.4)
            wall.shift(offset)
        assert run.wait() == 0, run.log[-3000:]
        return check(it, run, begun)


@pytest.mark.nightly
def test_the_shim_moves_the_clock_of_a_session(stepped: Zygote, wall: WallClock, tmp_path: Path) -> None:
    """The check of the check: log lines carry the wall clock."""
    wall.set(NIGHTS["no battery"])
    with life(stepped, tmp_path / "life") as it:
        run = it.start(idle="true")
        run.until_said("trading:")
        assert run.end() == 0
        hour = run.log.splitlines()[0][:5]
        assert hour == "19:00", run.log  # New York, the evening before


def test_steps_of_an_hour_while_it_trades(stepped: Zygote, wall: WallClock, tmp_path: Path) -> None:
    assert not (told := lived(stepped, tmp_path / "life", wall, [HOUR, -HOUR], 1)), "\n".join(told)


@pytest.mark.parametrize("step", [HOUR, -HOUR])
def test_a_deadline_is_not_the_wall_clocks(stepped: Zygote, wall: WallClock, tmp_path: Path, step: float) -> None:
    """A request that is held past its deadline lands before it may be given up, though the clock steps in between."""
    with life(stepped, tmp_path / "life") as it:
        it.settle = "10"  # far less than the step, and more than a machine stands still
        it.venue.fault("delay_accept", seconds=0.4, count=1)
        run = it.start()
        run.until(
            lambda: any(r["method"] == "POST" for r in it.truth()["requests"]) or "AMBIGUOUS" in run.log, "the order to leave"
        )
        wall.shift(step)
        assert run.wait() == 0, run.log[-3000:]
        assert "AMBIGUOUS" in run.log
        assert "ABANDONED" not in run.log
        assert it.recover() == []


@pytest.mark.nightly
@pytest.mark.timeout(3600)
def test_many_steps_and_nights(stepped: Zygote, wall: WallClock, tmp_path: Path) -> None:
    told: list[str] = []
    for n, (name, instant) in enumerate(NIGHTS.items()):
        wall.set(instant)
        with life(stepped, tmp_path / f"night{n}") as it:
            it.deadline = "60"
            begun = it.venue.clock()["now_ns"]  # type: ignore[union-attr]
            run = it.start(rounds=4)
            run.wait()
            told += [f"{name}: {fault}" for fault in check(it, run, begun)]
    rng = random.Random(7)
    for n in range(size("STEPS", 200) // 10):
        offsets = [rng.choice((HOUR, -HOUR, 0.0, rng.uniform(-86_400, 86_400), rng.uniform(-1, 1))) for _ in range(10)]
        told += [f"seed {n}: {fault}" for fault in lived(stepped, tmp_path / f"life{n}", wall, offsets, n)]
    print(f"F23: {wall.steps} steps, {len(told)} violations")
    record("F23", "steps", "steps of the wall clock by up to a day, DST nights, leap day, 1980 and 2038", wall.steps, len(told))
    assert not told, "\n".join(told[:10])


@pytest.mark.nightly
@pytest.mark.timeout(600)
def test_a_venue_clock_that_jumps_stops_entries_until_it_is_measured_again(zygote: Zygote, tmp_path: Path) -> None:
    """R17: the first measurement proves the offset, the second that it is mended; both come within two minutes."""
    with life(zygote, tmp_path / "life") as it:
        it.segment = 1 << 20
        run = it.start(rounds=10**6)
        run.until(lambda: it.truth()["orders"], "orders")
        it.venue.fault("clock_skew", offset=5)
        run.until_said("CLOCK_OFFSET", 100)
        run.until(lambda: refused_for_the_clock(it), "an entry that is refused")
        sent = len(it.truth()["orders"])
        run.until(lambda: len(it.truth()["orders"]) > sent, "entries after the next measurement", 150)
        assert run.end() == 0, run.log[-3000:]
        faults = it.violations()
    record("F23", "venue", "the venue's clock jumps by 5 s (R17)", 1, len(faults))
    assert not faults, "\n".join(faults)
