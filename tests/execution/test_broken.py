"""Positions that differ from what the fills explain, as facts."""

import pytest
from tests.reference.bench import SHARE, Bench, position

from pyrt.model import BreakSeen, PositionAdjusted, Recovered


def seen(bench: Bench) -> list[tuple[int, int]]:
    return [(f.instrument, f.difference) for f in bench.facts if isinstance(f, BreakSeen)]


def test_a_difference_is_told_when_two_readings_show_it_and_again_when_it_is_gone(bench: Bench) -> None:
    for shown, told in (("1", []), ("1", [(1, SHARE)]), ("1", [(1, SHARE)]), ("3", [(1, SHARE), (1, 3 * SHARE)])):
        bench.fire("execution.reconcile" if "execution.snapshot" not in bench.timers else "execution.snapshot")
        bench.snapshot(positions=(position(shown),))
        assert seen(bench) == told
    bench.fire("execution.snapshot")
    bench.snapshot()
    assert seen(bench)[2:] == [(1, 0)]
    bench.fire("execution.reconcile")
    bench.snapshot()
    assert len(seen(bench)) == 3


def test_a_start_tells_every_difference_before_it_ends(bench: Bench) -> None:
    again = Bench(bench.facts)
    again.t = 100 * 10**9
    again.start(positions=(position("7"),))
    again.fire("execution.snapshot")
    again.snapshot(positions=(position("7"),))
    kinds = [type(f) for f in again.facts]
    assert seen(again) == [(1, 7 * SHARE)]
    assert kinds.index(BreakSeen) < kinds.index(Recovered, len(bench.facts))


@pytest.mark.parametrize("left", ["", "2"])
def test_what_somebody_explained_is_told_anew_were_it_nothing(bench: Bench, left: str) -> None:
    for _ in range(2):
        bench.fire("execution.reconcile" if "execution.snapshot" not in bench.timers else "execution.snapshot")
        bench.snapshot(positions=(position("7"),))
    bench.facts.append(PositionAdjusted(instrument=1, strategy=0, qty=7 * SHARE, cost=0, reason="a transfer", ts=1))
    bench.engine.apply(bench.facts[-1])
    bench.fire("execution.reconcile")
    bench.snapshot(positions=(position("7" if not left else "9"),))
    assert seen(bench) == [(1, 7 * SHARE), (1, 2 * SHARE if left else 0)]
