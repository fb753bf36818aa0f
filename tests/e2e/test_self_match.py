"""The policy `cancel` of SELF_MATCH in a running session: what is in the way goes first, and nothing is sent before it is gone."""

from pathlib import Path
from typing import Any

import pytest
from tests.e2e.one_process import World, refusals

from pyrt.model import Intended
from pyrt.ports import Cancel

CANCEL: dict[str, Any] = {"self_match": "cancel"}


def shown(world: World) -> list[tuple[str, str, str]]:
    return [(o["side"], o["limit_price"] or o["type"], o["status"]) for o in world.at_venue()]


def test_the_order_in_the_way_is_cancelled_and_then_the_new_one_goes(tmp_path: Path) -> None:
    world = World(tmp_path, CANCEL)
    world.do(lambda: world.hand.buy("AAPL", 5))
    world.do(lambda: world.hand.sell("AAPL", 3, limit=101))
    (order,) = world.do(lambda: world.other.buy("AAPL", 2, limit=101))
    assert shown(world)[1:] == [("sell", "101", "canceled")]  # asked for; the new one waits for the proof
    world.later(0.2)
    assert shown(world)[1:] == [("sell", "101", "canceled"), ("buy", "101", "filled")]
    assert order.is_done
    journal = world.close()
    assert refusals(journal) == []
    assert len([f for f in journal if isinstance(f, Intended)]) == 3


def test_one_after_the_other_where_several_are_in_the_way(tmp_path: Path) -> None:
    world = World(tmp_path, CANCEL)
    world.do(lambda: world.hand.buy("AAPL", 5))
    for limit in (101, 100.5, 103):
        world.do(lambda limit=limit: world.hand.sell("AAPL", 1, limit=limit))
    world.do(lambda: world.other.buy("AAPL", 2, limit=102))
    world.later(3)
    assert [s for _, _, s in shown(world)[1:]] == ["canceled", "canceled", "new", "filled"]
    assert refusals(world.close()) == []


@pytest.mark.parametrize("more", [{"stop": 95}, {"trail": 2}, {"limit": 101, "reduce_only": True}])
def test_protection_is_never_cancelled(more: dict[str, Any], tmp_path: Path) -> None:
    world = World(tmp_path, CANCEL)
    world.do(lambda: world.hand.buy("AAPL", 5))
    world.do(lambda: world.hand.sell("AAPL", 3, **more))
    world.do(lambda: world.other.buy("AAPL", 2, limit=101))
    world.later(1)
    assert [s for _, _, s in shown(world)[1:]] == ["new"]
    assert [set(r) for r in refusals(world.close())] == [{"SELF_MATCH"}]


def test_an_order_that_is_cancelled_while_it_waits_never_leaves(tmp_path: Path) -> None:
    world = World(tmp_path, CANCEL)
    world.do(lambda: world.hand.buy("AAPL", 5))
    world.do(lambda: world.hand.sell("AAPL", 3, limit=101))
    (order,) = world.do(lambda: world.other.buy("AAPL", 2, limit=101))
    world.do(lambda: world.other.cancel(order))
    world.later(1)
    assert len(shown(world)) == 2
    assert refusals(world.close()) == [{"SELF_MATCH": ("nothing in the way", "cancelled while it waited")}]


def test_what_does_not_end_in_time_is_refused(tmp_path: Path, monkeypatch: Any) -> None:
    world = World(tmp_path, CANCEL)
    world.do(lambda: world.hand.buy("AAPL", 5))
    world.do(lambda: world.hand.sell("AAPL", 3, limit=101))
    perform = world.perform
    monkeypatch.setattr(world, "perform", lambda command: None if isinstance(command, Cancel) else perform(command))
    world.do(lambda: world.other.buy("AAPL", 2, limit=101))
    world.later(9)
    assert len(shown(world)) == 2
    world.later(2)
    assert len(shown(world)) == 2
    assert [set(r) for r in refusals(world.close())] == [{"SELF_MATCH"}]
