"""Names of activities: bounded, and nothing is counted twice, however late and however often it is told."""

import random

import pytest
from tests.execution.test_activities import activity, read
from tests.reference.bench import Bench

from pyrt.execution import told
from pyrt.execution.told import Told

DAY = 86_400 * 10**9


def test_names_are_bounded_and_none_is_counted_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(told, "KEPT", 100)
    rng, known = random.Random(3), Told()
    happened = {f"a{n}": n * DAY // 10 for n in range(1, 5000)}
    counted: list[str] = []
    now = 0
    for name, ts in happened.items():
        now = max(now, ts + rng.randrange(3 * DAY))
        for again in (name, *rng.sample(counted[-2000:], min(5, len(counted)))):
            if not known.knows(again, happened[again]):
                counted.append(again)
                known.add(again, now)
        if rng.random() < 0.05:
            state = known.save()
            known = Told()
            known.restore(state)
    assert counted == list(happened)  # each, and once
    assert len(known) < 100 + 400  # ten a day, for thirty days, told up to three days late
    assert not [name for name, ts in happened.items() if not known.knows(name, ts)]


def test_without_many_every_name_is_kept() -> None:
    known = Told()
    for n in range(5000):
        known.add(f"a{n}", n * DAY)
    assert (len(known), known.floor) == (5000, 0)
    assert not known.knows("b", 0)


def test_what_was_let_go_and_is_told_again_moves_no_cash(monkeypatch: pytest.MonkeyPatch, bench: Bench) -> None:
    monkeypatch.setattr(told, "KEPT", 1)  # until after the bench was replayed
    monkeypatch.setattr(told, "KEPT_FOR", 0)
    first, second = activity(1), activity(2)
    read(bench, "998.75", activities=(first,))
    read(bench, "997.5", activities=(second,))
    assert len(bench.engine._orders.activities) == 1
    read(bench, "997.5", activities=(first, second))
    read(bench, "997.5", activities=(first, second))
    assert "CASH_BREAK" not in bench.codes()
