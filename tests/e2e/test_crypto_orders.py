"""Pairs through the whole chain: what nobody says of an order is what the venue takes of a pair."""

from decimal import Decimal
from pathlib import Path

from tests.e2e.one_process import World

from pyrt.model import AssetClass, Instrument, OrderStatus, OrderType, TimeInForce

_TICK = 10_000_000
PAIR = Instrument(id=3, symbol="SOL/USD", asset_class=AssetClass.CRYPTO, tick=_TICK, sub_tick=_TICK, lot=1, shortable=False)
POLICY = {"require_exit": ("Hand",), "exit_within_ms": 3000, "exit_distance_bps": 200}


def world_of(tmp_path: Path, **limits: object) -> World:
    return World(tmp_path, limits, more=(PAIR,))


def test_an_order_without_a_tif_rests_until_it_is_cancelled(tmp_path: Path) -> None:
    world = world_of(tmp_path)
    [bought, share] = world.do(lambda: world.hand.buy("SOL/USD", "1.5"), lambda: world.hand.buy("AAPL", 1))
    assert (bought.status, bought.intent.tif) == (OrderStatus.FILLED, TimeInForce.GTC)
    assert (share.status, share.intent.tif) == (OrderStatus.FILLED, TimeInForce.DAY)
    [closed] = world.do(lambda: world.hand.close("SOL/USD"))
    assert (closed.status, closed.filled) == (OrderStatus.FILLED, Decimal("1.5"))
    assert not world.hand.position("SOL/USD")
    [signalled] = world.do(lambda: world.hand.signal("SOL/USD", "buy"))
    assert (signalled.status, signalled.intent.tif) == (OrderStatus.FILLED, TimeInForce.GTC)
    assert [o["time_in_force"] for o in world.at_venue()] == ["gtc", "day", "gtc", "gtc"]
    world.close()


def test_a_day_order_that_somebody_asked_for_is_still_refused(tmp_path: Path) -> None:
    world = world_of(tmp_path)
    [order] = world.do(lambda: world.hand.buy("SOL/USD", "1.5", tif="day"))
    assert order.breaches == ("BROKER_RULE",)
    assert order.reason.startswith("pair-tif: ")
    world.close()


def test_a_pair_that_must_have_an_exit_gets_the_kind_that_a_pair_may_have(tmp_path: Path) -> None:
    world = world_of(tmp_path, **POLICY)
    world.do(lambda: world.hand.buy("SOL/USD", "1.5"))
    world.later(6)
    [stop] = world.hand.open_orders()
    assert (stop.type, stop.stop, stop.limit) == (OrderType.STOP_LIMIT, Decimal("98.00"), Decimal("96.04"))
    assert (stop.quantity, stop.status) == (Decimal("1.5"), OrderStatus.ACCEPTED)
    world.later(30)
    assert len([alarm for alarm in world.alarms if alarm.code == "NO_EXIT"]) == 1
    world.close()
