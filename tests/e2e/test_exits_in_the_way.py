"""A position must have its stop, and an own order on the other side forbids one: the stop comes first."""

from pathlib import Path

import pytest
from tests.e2e.one_process import Hand, World, refusals

from pyrt.model import OrderStatus, OrderType, PositionAdjusted
from pyrt.ports import Append, Sync
from pyrt.strategies import Order
from pyrt.venues.sim.exchange.configuration import Permissions

POLICY = {"require_exit": ("Hand",), "exit_within_ms": 3000, "exit_distance_bps": 200}


def told(world: World) -> list[str]:
    return [alarm.text for alarm in world.alarms if alarm.code == "NO_EXIT"]


def stops(world: World) -> list[tuple[int, OrderType, OrderStatus | None]]:
    return [(int(o.quantity), o.type, o.status) for o in world.hand.open_orders()]


STANDS = [(10, OrderType.STOP, OrderStatus.ACCEPTED)]


def test_an_entry_on_the_other_side_goes_for_the_stop(tmp_path: Path) -> None:
    world = World(tmp_path, POLICY)
    world.do(lambda: world.hand.buy("AAPL", 10))
    [entry] = world.do(lambda: world.other.buy("AAPL", 5, limit=95))
    world.later(6)
    assert entry.status is OrderStatus.CANCELED
    assert stops(world) == STANDS
    assert refusals(world.close()) == []


def test_what_is_left_of_the_positions_own_entry_goes_too(tmp_path: Path) -> None:
    world = World(tmp_path, POLICY)
    [entry] = world.do(lambda: world.hand.buy("AAPL", 25, limit=99))
    world.exchange.force_fill(world.at_venue()[0]["id"], "10", "99", world.now.venue)
    world._pump()
    world.later(6)
    assert (entry.status, entry.filled) == (OrderStatus.CANCELED, 10)
    assert stops(world) == STANDS


class Eager(Hand):
    """Puts a buy into the market again as soon as it has lost one."""

    def on_order(self, order: Order) -> None:
        if order.status is OrderStatus.CANCELED:
            self.buy("AAPL", 5, limit=95)


def test_who_buys_again_at_once_waits_until_the_stop_stands(tmp_path: Path) -> None:
    world = World(tmp_path, POLICY)
    world.do(lambda: world.hand.buy("AAPL", 10))
    eager = world.session.strategies[2]
    eager.on_order = Eager.on_order.__get__(eager)  # type: ignore[method-assign]
    world.do(lambda: world.other.buy("AAPL", 5, limit=94))
    world.later(6)
    assert stops(world) == STANDS
    assert not eager.open_orders()
    denied = refusals(world.close())
    assert denied == [{"SELF_MATCH": ("any price: sell 10, a protective exit that waits", "on the other side")}]


def test_what_is_not_ours_to_cancel_is_named(tmp_path: Path) -> None:
    """Somebody bids by hand: the alarm says what is in the way, again when that changes, and the stop comes when it is gone."""
    world = World(tmp_path, POLICY)
    world.do(lambda: world.hand.buy("AAPL", 10))
    row = world.exchange.submit(
        {"symbol": "AAPL", "qty": "5", "side": "buy", "type": "limit", "limit_price": "95", "time_in_force": "gtc"}, world.now.venue
    )
    world._pump()
    world.later(6)
    assert not stops(world)
    assert len(told(world)) == 2
    assert told(world)[1].startswith("Hand: the stop behind 10 AAPL is refused: SELF_MATCH (")
    assert f"external order {row['id']}" in told(world)[1]
    world.later(60)
    assert len(told(world)) == 2  # the same reason is told once
    world.exchange.cancel(row["id"], world.now.venue)
    world._pump()
    world.later(65)
    assert stops(world) == STANDS


def test_a_stop_that_was_refused_for_long_is_tried_at_once_when_another_quantity_lacks_it(tmp_path: Path) -> None:
    world = World(tmp_path, POLICY)
    world.do(lambda: world.hand.buy("AAPL", 10))
    row = world.exchange.submit(
        {"symbol": "AAPL", "qty": "5", "side": "buy", "type": "limit", "limit_price": "95", "time_in_force": "gtc"}, world.now.venue
    )
    world._pump()
    world.later(60)  # by now half a minute and more lies between two tries
    assert not stops(world)
    world.exchange.cancel(row["id"], world.now.venue)
    world._pump()
    world.do(lambda: world.hand.sell("AAPL", 2))
    world.later(4)
    assert stops(world) == [(8, OrderType.STOP, OrderStatus.ACCEPTED)]


@pytest.mark.parametrize("short", [0, 5])
def test_a_stop_of_another_strategy_goes_only_where_it_protects_nothing(tmp_path: Path, short: int) -> None:
    """Two protections: neither goes for the other, and the alarm says so. A stop that opens a position is an entry."""
    world = World(tmp_path, POLICY)
    world.do(lambda: world.hand.buy("AAPL", 10))
    if short:
        fact = PositionAdjusted(instrument=1, strategy=2, qty=-short * 10**9, cost=0, reason="carried", ts=world.now.venue)
        world.session.request([Append(fact=fact, sync=Sync.SOON)])
    [theirs] = world.do(lambda: world.other.buy("AAPL", 5, stop=105))
    world.later(6)
    assert theirs.status is (OrderStatus.ACCEPTED if short else OrderStatus.CANCELED)
    assert len(told(world)) == (2 if short else 1)
    assert len(stops(world)) == (0 if short else 1)


def test_a_stop_that_the_venue_rejects_is_told_with_its_words(tmp_path: Path) -> None:
    world = World(tmp_path, POLICY)
    world.do(lambda: world.hand.buy("AAPL", 10))
    account = world.exchange.state.accounts[world.exchange.default]
    account.permissions, before = Permissions(trading_blocked=True), account.permissions
    world.later(6)
    assert not stops(world)
    assert told(world)[1] == "Hand: the stop behind 10 AAPL is refused: REJECTED (account is not allowed to trade); tried again"
    account.permissions = before
    world.later(10)
    assert stops(world) == STANDS
    world.close()
