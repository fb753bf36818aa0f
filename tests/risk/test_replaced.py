"""A replacement that the venue took and then undid: the order that it meant to replace never ceased to count."""

import pytest
from tests.risk.test_manager import BUY, QTY, Desk, answer

from pyrt.model import OrderStatus
from pyrt.ports import Alarm, ReplaceIntent, Start, StreamState


def replacing(qty=15):
    desk = Desk()
    number, _ = desk.working(1, BUY, 10 * QTY)
    second = desk.order(answer(desk.tell(ReplaceIntent(replaces=1, intent=desk.intent(2, qty=qty * QTY)))), replaces=number)
    desk.change(number, OrderStatus.PENDING_REPLACE)
    desk.change(second, OrderStatus.ACCEPTED)
    return desk, number, second


@pytest.mark.parametrize("end", [OrderStatus.CANCELED, OrderStatus.REJECTED, OrderStatus.EXPIRED])
def test_the_old_order_counts_where_the_replacement_is_undone(end):
    desk, number, second = replacing()
    assert desk.risk.account(1).buys == 15 * QTY
    desk.change(second, end)
    assert desk.risk.account(1).buys == 10 * QTY
    desk.change(number, OrderStatus.ACCEPTED)  # order_replace_rejected
    assert desk.risk.account(1).buys == 10 * QTY
    desk.change(number, OrderStatus.CANCELED)
    assert desk.risk.account(1).buys == 0
    assert desk.replayed().state_digest() == desk.risk.state_digest()


def test_a_smaller_replacement_frees_nothing_before_the_old_order_is_proved_replaced():
    desk, number, second = replacing(qty=4)
    assert desk.risk.account(1).buys == 10 * QTY
    desk.change(number, OrderStatus.REPLACED)
    assert desk.risk.account(1).buys == 4 * QTY
    desk.change(second, OrderStatus.CANCELED)
    assert desk.risk.account(1).buys == 0


@pytest.mark.parametrize("end", [OrderStatus.CANCELED, OrderStatus.EXPIRED])
def test_an_old_order_that_ends_leaves_the_one_that_was_shown(end):
    desk, number, second = replacing(qty=4)
    desk.change(number, end)
    assert desk.risk.account(1).buys == 4 * QTY
    desk.change(second, OrderStatus.FILLED)
    assert desk.risk.account(1).buys == 0


def test_what_a_replay_meets_again_is_not_told_again():
    desk = Desk()
    desk.fill(77, desk.intent(1), QTY)
    assert [c.code for c in desk.tell(StreamState(stream="data", up=True)) if isinstance(c, Alarm)] == ["UNEXPECTED_FILL"]
    again = Desk(start=False)
    for fact in desk.facts:
        again.fact(fact)
    assert not [c for c in again.tell(Start(epoch=2)) if isinstance(c, Alarm)]


def test_fills_of_the_old_order_may_come_after_the_end_of_what_replaced_it():
    """As a restart reads them: the replacement filled, of the old order a part that nobody told."""
    desk, number, second = replacing()
    desk.fill(second, desk.intent(2, qty=15 * QTY), 9 * QTY)
    desk.change(second, OrderStatus.FILLED)
    assert desk.risk.account(1).buys == 6 * QTY
    desk.fill(number, desk.intent(1, qty=10 * QTY), 6 * QTY)
    desk.change(number, OrderStatus.REPLACED)
    assert desk.risk.account(1).buys == 0
    assert not [c for c in desk.tell(StreamState(stream="data", up=True)) if isinstance(c, Alarm)]
    assert desk.replayed().state_digest() == desk.risk.state_digest()
