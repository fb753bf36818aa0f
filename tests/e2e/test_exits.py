"""The policy of protective exits, live in one process: a position without a working stop is told, and gets one."""

from decimal import Decimal
from pathlib import Path

from tests.e2e.one_process import World

from pyrt.model import ExternalSeen, Filled, OrderStatus, OrderType

POLICY = {"require_exit": ("Hand",), "exit_within_ms": 3000, "exit_distance_bps": 200}


def told(world: World) -> list[str]:
    return [alarm.text for alarm in world.alarms if alarm.code == "NO_EXIT"]


def test_a_position_without_a_stop_gets_one(tmp_path: Path) -> None:
    world = World(tmp_path, POLICY)
    _, other = world.do(lambda: world.hand.buy("AAPL", 10), lambda: world.other.buy("AAPL", 5))
    assert not other.breaches
    world.later(2)
    assert not told(world)  # it may stand alone for three seconds
    world.later(4)
    [words] = told(world)
    assert words == "Hand: 10 of 10 AAPL without a working stop for 3 s; one is sent"
    [stop] = world.hand.open_orders()
    assert (stop.type, stop.stop, stop.quantity, stop.status) == (
        OrderType.STOP,
        Decimal("98.00"),
        Decimal(10),
        OrderStatus.ACCEPTED,
    )
    assert stop.intent.reduce_only
    world.later(20)
    assert len(told(world)) == 1
    assert len(world.requests) == 3  # the other strategy need not have one
    world.do(lambda: world.hand.cancel(stop))
    world.later(8)
    assert len(told(world)) == 2  # somebody took it away: again
    assert len(world.hand.open_orders()) == 1
    assert not [fact for fact in world.close() if isinstance(fact, ExternalSeen)]


def test_a_bracket_is_exit_enough_and_a_take_profit_alone_is_not(tmp_path: Path) -> None:
    world = World(tmp_path, POLICY)
    world.do(lambda: world.hand.buy("AAPL", 10, take_profit=104, stop_loss=98, tif="gtc"))
    world.later(10)
    assert not told(world)
    world.do(lambda: world.hand.buy("MSFT", 10, take_profit=104, tif="gtc"))
    world.later(10)
    assert len(told(world)) == 1
    assert "MSFT" in told(world)[0]


def test_what_is_left_without_a_stop_is_covered(tmp_path: Path) -> None:
    world = World(tmp_path, POLICY)
    world.do(lambda: world.hand.buy("AAPL", 10))
    world.do(lambda: world.hand.sell("AAPL", 4, stop=97, tif="gtc", reduce_only=True))
    world.later(8)
    assert [(o.quantity, o.stop) for o in world.hand.open_orders()] == [(4, Decimal(97)), (6, Decimal("98.00"))]
    world.trade("AAPL", "97.50")
    world.later(3)
    assert world.hand.position("AAPL").quantity == 4
    fills = [fact for fact in world.close() if isinstance(fact, Filled)]
    assert sum(fact.qty if fact.side == 1 else -fact.qty for fact in fills) == 4 * 10**9


def test_what_another_order_offers_already_does_not_keep_the_rest_from_its_stop(tmp_path: Path) -> None:
    """A stop for more than is free would be refused as a turn of the position, and the rest would stand alone for ever."""
    world = World(tmp_path, POLICY)
    world.do(lambda: world.hand.buy("AAPL", 10))
    world.do(lambda: world.hand.sell("AAPL", 4, limit=120, tif="gtc"))
    world.later(8)
    assert told(world) == [
        "Hand: 10 of 10 AAPL without a working stop for 3 s; one is sent for 6, the rest is offered by other orders"
    ]
    assert [(o.quantity, o.type) for o in world.hand.open_orders()] == [(4, OrderType.LIMIT), (6, OrderType.STOP)]
    world.do(lambda: world.hand.cancel(world.hand.open_orders()[0]))
    world.later(15)
    assert [(o.quantity, o.type) for o in world.hand.open_orders()] == [(6, OrderType.STOP), (4, OrderType.STOP)]
    world.close()
