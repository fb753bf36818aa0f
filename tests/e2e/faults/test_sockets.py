"""F9, F10: frozen, muted, half-open and reset connections under a session that trades; nothing is lost, nothing is left over."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.e2e.faults.processes import Zygote
from tests.e2e.faults.record import record
from tests.e2e.faults.scenario import CASH, Life
from tests.e2e.faults.sockets import REAPED, Drill, Proxy
from tests.e2e.processes import Venue
from tests.sizes import size

SEEN, HEALED = 5.0, 10.0  # s until a muted busy stream is found, and until data flows again and what was missed is filled
SETTLED = 6  # drills until all threads that a session may start have been started
FREE = (6, 3)  # descriptors and threads that one moment may have more than another


@pytest.fixture
def drill(zygote: Zygote, tmp_path: Path) -> Iterator[Callable[[], Drill]]:
    """Starts a session behind a proxy, that trades without end."""
    venue = Venue("--seed", "5", "--market", "generated:rate=50,symbols=AAPL,days=1", "--cash", str(CASH))
    proxy = Proxy(int(venue.url.rsplit(":", 1)[1]))

    def start() -> Drill:
        it = Life(zygote, tmp_path / "life", venue=venue, url=f"http://127.0.0.1:{proxy.port}")
        it.segment = 1 << 20
        run = it.start(rounds=10**6)
        run.until(lambda: it.truth()["orders"], "orders")
        return Drill(it, run, venue, proxy)

    yield start
    proxy.close()
    venue.close()


def finish(drill: Drill) -> None:
    """End in order, compare with the venue's truth."""
    drill.run.end()
    assert drill.run.status == 0, drill.run.log[-3000:]
    assert "Traceback" not in drill.run.log, drill.run.log
    assert "unexplained shares: 0" in drill.run.log
    drill.drills.violations += drill.it.violations()


@pytest.mark.row("S122")
def test_reset_and_dropped_connections(drill: Callable[[], Drill]) -> None:
    it = drill()
    for kind in ("reset", "dropped stream", "reset"):
        it.once(kind)
    finish(it)
    assert not it.drills.violations, "\n".join(it.drills.violations)


@pytest.mark.nightly
@pytest.mark.timeout(3600)
@pytest.mark.row("S122")
def test_muted_streams_are_found_in_five_seconds_and_filled_in_ten(drill: Callable[[], Drill]) -> None:
    """The figures of F9 themselves: on a machine that is busy with other things they may not hold."""
    it = drill()
    quotes = it.quotes()
    it.run.until(lambda: it.quotes() > quotes + 100, "a flow from which the rate is known")
    for _ in range(size("MUTES", 12)):
        it.once("muted data")
    finish(it)
    drills = it.drills
    seen, healed = (figures["muted data"] for figures in (drills.seen, drills.healed))
    drills.violations += [f"seen after {s:.1f} s" for s in seen if s > SEEN] + [
        f"healed after {s:.1f} s" for s in healed if s > HEALED
    ]
    print(f"F9: {drills}; seen {sorted(round(s, 1) for s in seen)}, healed {sorted(round(s, 1) for s in healed)}")
    record(
        "F9", "mutes", "data stream muted, in a row", drills.trials, len(drills.violations), seen_s=max(seen), healed_s=max(healed)
    )
    assert not drills.violations, "\n".join(drills.violations)


@pytest.mark.nightly
@pytest.mark.timeout(7200)
@pytest.mark.row("S122")
def test_many_drills(drill: Callable[[], Drill]) -> None:
    it = drill()
    for n in range(size("DRILLS", 50)):
        it.once(it.kinds[n % len(it.kinds)])
    it.once(REAPED)
    finish(it)
    drills = it.drills
    flat = [max(r[i] for r in drills.resources[:SETTLED]) for i in range(2)]
    last = [min(r[i] for r in drills.resources[-len(it.kinds) :]) for i in range(2)]
    for name, before, after, free in zip(("descriptors", "threads"), flat, last, FREE, strict=True):
        if after > before + free:
            drills.violations.append(f"{name} grew from {before} to {after}")
    print(f"F9, F10: {drills}")
    for fault, kinds in (("F9", ("muted data",)), ("F10", ("frozen venue", "half-open", REAPED, "reset", "dropped stream"))):
        seen = {kind: round(max(drills.seen[kind]), 2) for kind in kinds}
        healed = {kind: round(max(drills.healed[kind]), 2) for kind in kinds}
        trials = sum(len(drills.seen[kind]) for kind in kinds)
        record(fault, "sockets", ", ".join(kinds), trials, len(drills.violations), seen_s=seen, healed_s=healed)
    assert not drills.violations, "\n".join(drills.violations)
