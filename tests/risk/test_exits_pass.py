"""What only reduces passes the controls that exist against entries, in the rules and natively."""

import msgspec
import pytest
from tests.risk.test_manager import BUY, LOOSE, PX, QTY, SELL, T0, Desk, answer, codes
from tests.risk.test_marks import alarms

from pyrt.clock import SECOND, VenueClock
from pyrt.model import Approved, OrderType, PositionAdjusted
from pyrt.ports import ClockMeasured
from pyrt.risk import Limits

MANY = Limits.of({"repeat_max": 60, "symbol_order_rate_max": 60, "max_order_qty": 5000, "max_sends_per_signal": 3}, base=LOOSE)


def busy(sells: int = 60, limits: Limits = MANY) -> Desk:
    """A desk that holds 100 and sold one so many times within a minute."""
    desk = Desk(limits)
    desk.bought(100 * QTY)
    for n in range(sells):
        desk.later(SECOND * 3 // 4)
        desk.quote(100 * PX)
        number, intent = desk.working(1000 + n, SELL, QTY, 99_500_000_000)
        desk.fill(number, intent, QTY, 100 * PX)
    return desk


def test_the_stop_behind_a_position_passes_after_sixty_sells_in_a_minute() -> None:
    desk = busy()
    stop = desk.intent(2000, SELL, 40 * QTY, 0, reduce_only=True)
    assert isinstance(answer(desk.tell(msgspec.structs.replace(stop, type=OrderType.STOP, stop_px=95 * PX))), Approved)
    assert not desk.risk.latches
    # Beyond what is held it is no exit: there the control stands, and closes its latch.
    refused = desk.ask(2001, SELL, QTY, 99_600_000_000)
    assert {"REPEAT_EXEC", "ORDER_RATE"} <= codes(refused)
    assert desk.risk.latches["strategy:3"].level == "REDUCING"


def test_an_exit_passes_behind_the_latch_that_repeats_closed() -> None:
    desk = Desk(Limits.of({"repeat_max": 3}, base=LOOSE))
    desk.bought(10 * QTY)
    for n in range(2):
        desk.working(n + 1, BUY, QTY, (99 - n) * PX)
    assert "REPEAT_EXEC" in codes(desk.ask(3, BUY, QTY, 97 * PX))
    for n in range(10):
        assert isinstance(desk.ask(10 + n, SELL, QTY, (101 + n) * PX), Approved), n
    assert codes(desk.ask(30, BUY, QTY, 96 * PX)) >= {"KILLED", "REPEAT_EXEC"}


def test_the_orders_of_one_signal_are_bounded_and_its_exits_are_not() -> None:
    desk = Desk(MANY)
    desk.bought(10 * QTY)
    for n in range(6):
        assert isinstance(desk.ask(n + 1, SELL, QTY, (101 + n) * PX, signal=7), Approved), n
    assert codes(desk.ask(20, BUY, QTY, 99 * PX, signal=7)) == {"REPEAT_EXEC"}
    assert desk.risk.latches["strategy:3"].code == "REPEAT_EXEC"


def off(desk: Desk, ns: int) -> list[str]:
    """The venue's clock turns out to be so far from ours."""
    clock = VenueClock(epoch=desk.now.venue + ns, origin=desk.now.mono)
    return [c.code for c in alarms(desk.tell(ClockMeasured(clock=clock, uncertainty=0)))]


@pytest.mark.parametrize(("ns", "denies"), [(100_000_000, False), (100_000_001, True), (-100_000_001, True)])
def test_a_plain_sell_of_what_is_held_passes_while_the_clock_is_off(ns: int, denies: bool) -> None:
    desk = Desk()
    desk.bought(10 * QTY)
    assert off(desk, ns) == ["CLOCK_OFFSET"]
    assert isinstance(desk.ask(1, SELL, 6 * QTY, 101 * PX), Approved)
    refused = desk.ask(2, SELL, 5 * QTY, 102 * PX)  # one more than is left: it would open
    assert ("STALE_DATA" in codes(refused)) == denies
    if denies:
        [breach] = [b for b in refused.breaches if b.code == "STALE_DATA"]
        assert (breach.limit, breach.observed) == ("0.1", "0.100000001")
    assert isinstance(desk.ask(3, BUY, QTY, 99 * PX), Approved) == (not denies)
    assert isinstance(desk.ask(4, SELL, 4 * QTY, 103 * PX, reduce_only=True), Approved)
    off(desk, 0)
    assert isinstance(desk.ask(5, BUY, QTY, 98 * PX), Approved)


def test_a_cover_passes_while_the_clock_is_off_and_what_reduces_its_own_strategy_alone_does_not_without_saying_so() -> None:
    desk = Desk()
    desk.fact(PositionAdjusted(instrument=1, strategy=3, qty=5 * QTY, cost=0, reason="held", ts=T0))
    desk.fact(PositionAdjusted(instrument=1, strategy=4, qty=-15 * QTY, cost=0, reason="held", ts=T0))
    off(desk, SECOND)
    assert isinstance(desk.ask(1, BUY, QTY, 99 * PX, strategy=4), Approved)
    assert "STALE_DATA" in codes(desk.ask(2, SELL, QTY, 101 * PX))
    assert "STALE_DATA" not in codes(desk.ask(3, SELL, QTY, 102 * PX, reduce_only=True))
