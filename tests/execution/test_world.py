"""Whole histories under chaos: losses, delays, repeats, crashes at any command, then healing; the invariants hold throughout."""

import pytest
from tests.reference.world import World, aapl
from tests.sizes import size

from pyrt.execution.engine import ExecutionEngine
from pyrt.model import ExternalSeen


@pytest.mark.row("X02", "X03", "S070")
@pytest.mark.parametrize("block", range(6))
def test_no_order_is_lost_or_doubled(block: int) -> None:
    for seed in range(block * 80, (block + 1) * 80):
        World(seed).run()


@pytest.mark.row("X03")
@pytest.mark.parametrize("block", range(3))
def test_a_venue_that_lies_is_survived(block: int) -> None:
    for seed in range(block * 80, (block + 1) * 80):
        World(seed, hostile=True).run()


@pytest.mark.parametrize("drills", [120, pytest.param(1000, marks=pytest.mark.nightly)])
def test_a_kill_leaves_nothing_whether_all_is_cancelled_at_once_or_one_by_one(drills: int) -> None:
    calls = 0
    for seed in range(drills):
        world = World(seed, killed=True)
        world.run()
        calls += world.all_cancelled
    assert calls > drills // 6


@pytest.mark.parametrize("seed", [176, 573, 590, 765, 1412, 1973, 14266, 27471, 43366, 51235, 51561, 52110, 58031, 63972])
@pytest.mark.parametrize("hostile", [False, True])
def test_seeds_that_once_failed(seed: int, hostile: bool) -> None:
    World(seed, hostile=hostile).run()


def test_the_world_is_deterministic() -> None:
    one, two = World(7, trace=True), World(7, trace=True)
    one.run()
    two.run()
    assert one.trace == two.trace
    assert one.facts == two.facts


def test_recovering_twice_changes_nothing() -> None:
    for seed in range(20):
        world = World(seed)
        world.run()
        for again in range(2):
            before, orders = len(world.facts), dict(world.life.engine.orders)
            world.life = None
            world._boot()
            while world.life is None or not world.life.engine.recovered:
                world._tick()
            new = world.facts[before:]
            strangers = [fact for fact in new if isinstance(fact, ExternalSeen) and fact.cid.startswith("human-")]
            assert not strangers or again == 0  # an order of somebody else that came after the last look is seen once
            assert {type(fact).__name__ for fact in new if fact not in strangers} <= {"EpochOpened", "Recovered", "AccountSeen"}
            found = {fact.number for fact in strangers}
            assert {number: order for number, order in world.life.engine.orders.items() if number not in found} == orders


@pytest.mark.row("X02")
def test_replay_stops_anywhere() -> None:
    """Every prefix of a journal replays, and two replays of it agree."""
    world = World(11)
    world.run()
    for cut in range(len(world.facts)):
        digests = set()
        for _ in range(2):
            engine = ExecutionEngine("k3v9q2xa", aapl())
            for fact in world.facts[:cut]:
                engine.apply(fact)
            digests.add(engine.state_digest())
        assert len(digests) == 1


@pytest.mark.nightly
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("hostile", [False, True])
def test_many_seeds(hostile: bool) -> None:
    """100,000 seeds take half an hour a mode on one busy core: PYRT_SEEDS=100000."""
    for seed in range(size("SEEDS", 20_000)):
        World(seed, hostile=hostile).run()
