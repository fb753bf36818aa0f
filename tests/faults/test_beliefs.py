"""What a closed latch excuses: as long as the journal has it closed, and no longer."""

from types import SimpleNamespace
from typing import Any

import pytest
from tests.faults.beliefs import Beliefs

from pyrt._core.risk import Level
from pyrt.journal import codec
from pyrt.model import Latched


def alone(levels: list[tuple[str, str]], believed: dict[str, Level]) -> list[tuple[str, str]]:
    """What is said of 10 shares without an exit after these latches, while risk believes in those."""
    facts = [Latched(level=level, scope=scope, code="KILLED", reason="", who="somebody", ts=1) for scope, level in levels]
    history = {seq: codec.encode(fact) for seq, fact in enumerate(facts, 1)}
    oracle = SimpleNamespace(history=history, killed_at=0)
    sim: Any = SimpleNamespace(oracle=oracle, plan=SimpleNamespace(require_exit=True), idle=True, hours=None)
    gate = SimpleNamespace(level=lambda scope: believed.get(scope, Level.ACTIVE))
    beliefs = Beliefs(sim)
    beliefs.exposure = lambda: {"AAPL": (10, 0, 0, 0)}  # type: ignore[method-assign]
    session: Any = SimpleNamespace(risk=SimpleNamespace(gate=gate))
    return beliefs._alone(session)


@pytest.mark.parametrize("level", ["HALTED", "KILLED"])
@pytest.mark.parametrize("scope", ["system", "account"])
def test_a_closed_latch_of_the_whole_excuses(scope: str, level: str) -> None:
    assert alone([(scope, level)], {scope: Level[level]}) == []


@pytest.mark.parametrize(("scope", "level"), [("system", "REDUCING"), ("instrument:1", "KILLED"), ("strategy:1", "HALTED")])
def test_no_other_latch_does(scope: str, level: str) -> None:
    assert alone([(scope, level)], {scope: Level[level]}) == [("exits", "AAPL: 10 held have no exit")]


def test_nor_one_that_was_opened_again() -> None:
    latches = [("system", "KILLED"), ("system", "ACTIVE")]
    assert alone(latches, {}) == [("exits", "AAPL: 10 held have no exit")]
    assert [number for number, _ in alone(latches, {"system": Level.KILLED})] == ["20"]
    assert [number for number, _ in alone([("account", "HALTED")], {})] == ["20"]
