"""The whole system in one process, on a clock, a net and a disk that do their worst. Nightly: `make faults`."""

import gc
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.faults.installed import sweep
from tests.faults.plan import Plan
from tests.faults.table import Tally, chunk
from tests.faults.world import run
from tests.sizes import size

SEEDS = Path(__file__).parents[1] / "seeds"


@pytest.fixture(autouse=True)
def _swept() -> Iterator[None]:
    """What dead processes left must not complain in somebody else's test."""
    yield
    sweep()
    gc.unfreeze()  # what a chunk froze is not for other tests of this process


@pytest.mark.parametrize("mode", ["safety", "liveness", "points"])
def test_a_seed_is_one_history(mode: str) -> None:
    """The same seed, the same history, byte for byte."""
    for seed in (3, 8):
        first, second = run(seed, mode=mode, trace=True), run(seed, mode=mode, trace=True)
        assert "\n".join(first.trace).encode() == "\n".join(second.trace).encode()
        assert first == second


@pytest.mark.parametrize(("mode", "seeds"), [("safety", range(24)), ("liveness", range(100, 110)), ("points", range(200, 204))])
def test_nothing_is_lost_and_nothing_is_done_twice(mode: str, seeds: range) -> None:
    tally = chunk((seeds.start, seeds.stop, mode))
    assert not tally.violations
    assert tally.crashes > len(seeds)
    assert tally.orders > len(seeds)


def kept(name: str) -> list[tuple[int, str]]:
    lines = (SEEDS / name).read_text().splitlines()
    rows = [line.split(None, 2) for line in lines if line and not line.startswith("#")]
    return [(int(seed), mode) for seed, mode, _ in rows]


@pytest.mark.parametrize(("seed", "mode"), kept("faults.txt"))
def test_seeds_that_once_failed(seed: int, mode: str) -> None:
    assert not run(seed, mode=mode).violations


def test_the_oracle_sees_what_it_is_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """An appender that says durable before it is, and a power cut: the first byte of an order is one too early."""
    from tests.faults import appender

    monkeypatch.setattr(appender.AppenderShell, "durable", property(lambda self: self._real.seq))
    found = [text for seed in range(5) for text in run(seed, plan=Plan(lives=0.0, pace=0.1)).violations]
    assert any(text.startswith("invariant 1 ") for text in found)


@pytest.mark.nightly
@pytest.mark.timeout(36_000)
@pytest.mark.parametrize("mode", ["safety", "liveness", "points"])
def test_many_seeds(mode: str) -> None:
    """Some 80,000 crash points in all; a million are `make proof`, 30,000 seeds. PYRT_SEEDS=100000 is a night of one core."""
    tally = Tally(mode)
    for begin in range(0, size("SEEDS", 2_000), 20):
        tally.join([chunk((begin, begin + 20, mode))])
    print(tally.text())
    assert not tally.violations
