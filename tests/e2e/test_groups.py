"""Entries with exits and pairs of exits through the whole chain: strategy, risk, journal, wire, exchange, fills, position."""

from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.e2e.one_process import World, refusals

from pyrt._core.types import TradingState
from pyrt.model import ExternalSeen, Filled, Intended, OrderClass, OrderStatus, OrderType, ReplaceIntent
from pyrt.venues.sim.actions import Action
from pyrt.venues.sim.exchange import corporate

QTY = 10**9


def bracket(world: World, **more: Any) -> Any:
    [order] = world.do(lambda: world.hand.buy("AAPL", 10, take_profit=104, stop_loss=98, tif="gtc", **more))
    return order


def quiet(world: World) -> None:
    """Everything agrees: no order of somebody else, no reservation left, no position that fills do not explain."""
    facts = world.close()
    assert not [fact for fact in facts if isinstance(fact, ExternalSeen)]
    assert not world.session.execution.unexplained
    assert sum(fact.qty if fact.side == 1 else -fact.qty for fact in facts if isinstance(fact, Filled)) == 0
    assert not world.session.risk.ledger.open_orders
    assert not world.session.execution.open_orders()


@pytest.mark.parametrize(("px", "ended"), [("104.05", "take_profit"), ("97.90", "stop_loss")])
def test_a_bracket_ends_by_one_of_its_exits(tmp_path: Path, px: str, ended: str) -> None:
    world = World(tmp_path)
    order = bracket(world)
    world.later(2)
    assert len(world.requests) == 1  # one POST for the three
    assert order.status is OrderStatus.FILLED
    assert order.take_profit.status is OrderStatus.ACCEPTED
    assert order.stop_loss.status is OrderStatus.HELD  # it shares the shares of the other
    assert [o.type for o in world.hand.open_orders("AAPL")] == [OrderType.LIMIT, OrderType.STOP]
    assert world.session.risk.account(1).sells == 10 * QTY  # the larger of the two, not their sum
    world.trade("AAPL", px)
    world.trade("AAPL", px)
    world.later(3)
    exit_ = getattr(order, ended)
    assert (exit_.status, exit_.filled) == (OrderStatus.FILLED, Decimal(10))
    [other] = [leg for leg in order.legs if leg is not exit_]
    assert other.status is OrderStatus.CANCELED
    assert not world.hand.position("AAPL")
    [intended] = [fact for fact in world.close() if isinstance(fact, Intended)]
    assert intended.intent.order_class is OrderClass.BRACKET
    world = None  # type: ignore[assignment]


def test_nothing_is_left_of_a_bracket_and_nothing_was_taken_for_somebody_elses(tmp_path: Path) -> None:
    world = World(tmp_path)
    bracket(world)
    world.trade("AAPL", "104.05")
    world.later(5)
    quiet(world)


def test_the_exits_hold_nothing_while_the_entry_works(tmp_path: Path) -> None:
    world = World(tmp_path)
    order = bracket(world, limit=99)
    world.later(2)
    assert [leg.status for leg in order.legs] == [OrderStatus.HELD, OrderStatus.HELD]
    risk = world.session.risk
    assert (risk.account(1).buys, risk.account(1).sells, risk.ledger.open_orders) == (10 * QTY, 0, 3)
    world.do(lambda: world.hand.cancel(order))
    world.later(3)
    assert [o.status for o in (order, *order.legs)] == [OrderStatus.CANCELED] * 3
    assert (risk.account(1).buys, risk.ledger.open_orders) == (0, 0)
    quiet(world)


def test_a_pair_behind_a_position(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.do(lambda: world.hand.buy("AAPL", 10))
    [pair] = world.do(lambda: world.hand.protect("AAPL", take_profit=104, stop_loss=98, stop_loss_limit=97))
    world.later(2)
    assert (pair.status, pair.stop_loss.status) == (OrderStatus.ACCEPTED, OrderStatus.HELD)
    assert world.session.risk.account(1).sells == 10 * QTY
    [_, shown, _] = world.at_venue()
    assert (shown["order_class"], shown["limit_price"]) == ("oco", "104")
    world.trade("AAPL", "97.90")
    world.trade("AAPL", "97.90")
    world.later(3)
    assert (pair.status, pair.stop_loss.filled) == (OrderStatus.CANCELED, Decimal(10))
    quiet(world)


def test_the_stop_of_a_bracket_moves_and_is_still_ours(tmp_path: Path) -> None:
    world = World(tmp_path)
    order = bracket(world)
    world.later(2)
    [moved] = world.do(lambda: world.hand.replace(order.stop_loss, stop="99.5"))
    world.later(3)
    assert (order.stop_loss.status, moved.is_exit) == (OrderStatus.REPLACED, True)
    assert world.session.risk.account(1).sells == 10 * QTY
    world.trade("AAPL", "99.40")
    world.trade("AAPL", "99.40")
    world.later(3)
    assert (moved.filled, order.take_profit.status) == (Decimal(10), OrderStatus.CANCELED)
    quiet(world)


def test_a_stop_may_not_move_beyond_the_take_profit(tmp_path: Path) -> None:
    world = World(tmp_path)
    order = bracket(world)
    world.later(2)
    [moved] = world.do(lambda: world.hand.replace(order.stop_loss, stop=105))
    assert moved.breaches == ("PRICE_COLLAR",)
    assert len(world.requests) == 1


@pytest.mark.parametrize(("of", "reason"), [("AAPL", b"T1"), ("MSFT", b"MWC1")])
def test_an_exit_moves_no_more_while_trading_is_halted(tmp_path: Path, of: str, reason: bytes) -> None:
    world = World(tmp_path)
    order = bracket(world)
    world.later(2)
    world.status(of, state=TradingState.HALTED, reason=reason)
    [moved] = world.do(lambda: world.hand.replace(order.stop_loss, stop="99.5"))
    assert moved.breaches == ("HALTED",)
    world.status(of, state=TradingState.TRADING)
    [moved] = world.do(lambda: world.hand.replace(order.stop_loss, stop="99.5"))
    assert not moved.breaches
    world.close()


def test_an_exit_moves_by_no_quote_that_is_too_wide(tmp_path: Path) -> None:
    """Its middle is no price: the last trade is the reference, as it is for every other order."""
    world = World(tmp_path)
    order = bracket(world)
    world.later(2)
    world.trade("AAPL", "100")
    world.quote("AAPL", "99.90", "160")
    [moved] = world.do(lambda: world.hand.replace(order.stop_loss, stop="99.5"))
    assert not moved.breaches
    world.later(2)
    [moved] = world.do(lambda: world.hand.replace(order.take_profit, limit="125"))
    assert moved.breaches == ("PRICE_COLLAR",)
    world.close()


@pytest.mark.parametrize("qty", [4, 15])
@pytest.mark.parametrize("which", [0, 1])
def test_another_quantity_of_an_exit_is_refused_and_not_taken_for_the_old_one(tmp_path: Path, which: int, qty: int) -> None:
    """The verb of a strategy says so at once; an event of anything else's making is judged here."""
    world = World(tmp_path)
    order = bracket(world)
    world.later(2)
    leg = order.legs[which]
    source = world.session.desk._next(1)
    new = msgspec.structs.replace(leg.intent, source=source, qty=qty * QTY, valid_until=world.now.venue + 10**10)
    world.session.step(ReplaceIntent(replaces=leg.intent.source, intent=new), world.now)
    world._pump()
    world.later(3)
    assert len(world.requests) == 1
    assert not leg.is_done
    assert world.session.risk.account(1).sells == 10 * QTY
    assert refusals(world.close()) == [{"PARENT_EXCEEDED": ("10", str(qty))}]


def test_the_stop_moves_after_the_other_exit_filled_in_part(tmp_path: Path) -> None:
    world = World(tmp_path)
    order = bracket(world)
    world.later(2)
    profit = world.session.execution.order_of(1, order.take_profit.intent.source)
    world.exchange.force_fill(profit.venue_order_id, "4", "104", world.now.venue)
    world._pump()
    world.later(5)
    [moved] = world.do(lambda: world.hand.replace(order.stop_loss, stop="99.5"))
    world.later(3)
    assert (moved.quantity, moved.stop, moved.breaches) == (6, Decimal("99.5"), ())
    [late] = world.do(lambda: world.hand.replace(moved, stop="99.6"))
    assert not late.breaches
    world.close()


def test_an_exit_fills_in_part_and_the_other_shrinks(tmp_path: Path) -> None:
    world = World(tmp_path)
    order = bracket(world)
    world.later(2)
    profit = world.session.execution.order_of(1, order.take_profit.intent.source)
    world.exchange.force_fill(profit.venue_order_id, "4", "104", world.now.venue)
    world._pump()
    world.later(5)
    assert (order.take_profit.filled, order.stop_loss.quantity) == (Decimal(4), Decimal(6))
    assert world.session.risk.account(1).sells == 6 * QTY
    world.trade("AAPL", "97.90")
    world.trade("AAPL", "97.90")
    world.later(3)
    assert (order.stop_loss.filled, order.take_profit.status) == (Decimal(6), OrderStatus.CANCELED)
    quiet(world)


def test_both_exits_fill_in_a_race_and_what_is_too_much_is_bought_back(tmp_path: Path) -> None:
    world = World(tmp_path)
    order = bracket(world)
    world.later(2)
    engine = world.session.execution
    ids = [engine.order_of(1, leg.intent.source).venue_order_id for leg in order.legs]
    for venue_id in ids:
        world.exchange.force_fill(venue_id, "10", "101", world.now.venue)
    world._pump()
    world.later(5)
    codes = [alarm.code for alarm in world.alarms]
    assert "EXITS_RACED" in codes
    assert not world.hand.position("AAPL")
    assert world.requests[-1].request.side == 1
    quiet(world)


def test_the_answer_is_lost_and_the_exits_are_found(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.ambiguous = 1
    order = bracket(world)
    assert order.status is OrderStatus.UNKNOWN
    world.later(20)
    assert [o.status for o in (order, *order.legs)] == [OrderStatus.FILLED, OrderStatus.ACCEPTED, OrderStatus.HELD]
    assert world.hand.position("AAPL").quantity == 10
    world.trade("AAPL", "104.05")
    world.later(5)
    quiet(world)


def test_a_refused_bracket_leaves_nothing(tmp_path: Path) -> None:
    world = World(tmp_path)
    [far] = world.do(lambda: world.hand.buy("AAPL", 10, take_profit=150, stop_loss=98))
    assert far.breaches == ("PRICE_COLLAR",)
    assert [leg.breaches for leg in far.legs] == [("PRICE_COLLAR",)] * 2
    world.exchange.state.accounts[world.exchange.default].cash = 0
    [poor] = world.do(lambda: world.hand.buy("AAPL", 10, take_profit=104, stop_loss=98))
    assert [o.status for o in (poor, *poor.legs)] == [OrderStatus.REJECTED] * 3
    assert not world.session.risk.ledger.open_orders
    assert not world.hand.open_orders()


def test_a_split_rescales_the_exits_and_our_orders_follow(tmp_path: Path) -> None:
    world = World(tmp_path)
    order = bracket(world)
    world.later(2)
    action = Action(kind="forward_split", symbol="AAPL", ex_date=date(2026, 3, 3), new_rate=2, old_rate=1)
    world.exchange.state.actions.append(action)
    corporate._due_split(world.exchange, action.id)
    world._pump()
    world.later(2)
    profit, stop = order.legs
    assert (profit.quantity, profit.limit, stop.quantity, stop.stop) == (20, 52, 20, 49)
    assert world.session.risk.account(1).sells == 20 * QTY
