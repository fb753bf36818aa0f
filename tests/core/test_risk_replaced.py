"""What the limits say while a replacement is under way, of approvals that are no facts yet, and of stops below the market."""

import pytest
from tests.core.test_risk import BUY, LIMIT, NOW, PX, SELL, STOP, WIDE, Desk

from pyrt._core.risk import Code

CENT = 10_000_000
ASK = 100 * PX + 2 * CENT


def replaced(desk: Desk, key: int, qty: int, px: int, side: int = BUY) -> None:
    """A replacement that is a fact."""
    assert desk.send(side, qty, px, replaces=key) == 0
    desk.gate.confirm(desk.key, 3, 7, side, LIMIT, qty, px, 0, ref_px=100 * PX, at=NOW, replaces=key)


def test_a_replacement_is_under_way_although_fills_left_it_nothing() -> None:
    desk = Desk()
    key = desk.firm(qty=10)
    replaced(desk, key, 4, 100 * PX)
    desk.gate.fill(key, 3, 7, BUY, 100 * PX, 5, 0, NOW)  # more than it asks for: the venue will refuse it
    assert desk.send(qty=8, replaces=key) == Code.PARENT_EXCEEDED
    desk.gate.settle(key, False)
    assert desk.send(qty=8, replaces=key) == 0


@pytest.mark.parametrize("end", ["waits", "expires", "is a fact"])
def test_an_approval_counts_in_gross_and_net_for_the_next_of_another_instrument(end: str) -> None:
    desk = Desk({"gross": 15 * ASK, "net": 15 * ASK}, instruments=(7, 8))
    assert desk.send(qty=10) == 0
    if end == "expires":
        desk.gate.expire(desk.key)
        assert desk.send(qty=15, instrument=8) == 0
        return
    if end == "is a fact":
        desk.gate.confirm(desk.key, 3, 7, BUY, LIMIT, 10, 100 * PX, 0, ref_px=100 * PX, at=NOW)
    assert desk.send(qty=6, instrument=8) == Code.GROSS_EXPOSURE | Code.NET_EXPOSURE
    assert desk.send(qty=5, instrument=8) == 0


def test_a_replacement_for_less_lowers_gross_once_it_stands() -> None:
    desk = Desk({"gross": 15 * ASK}, instruments=(7, 8))
    key = desk.firm(qty=10)
    replaced(desk, key, 4, 100 * PX)
    assert desk.send(qty=6, instrument=8) == Code.GROSS_EXPOSURE
    desk.gate.settle(key, True)
    assert desk.send(qty=11, instrument=8) == 0


def test_a_larger_replacement_at_a_lower_price_counts_at_the_worse_of_the_two() -> None:
    limit = {"open_value": 120 * 104 * PX, "gross": 10**30}
    for qty, expect in ((120, 0), (121, Code.OPEN_ORDER_VALUE)):
        desk = Desk(limit)
        key = desk.firm(qty=100, px=104 * PX)
        assert desk.send(qty=qty, px=90 * PX, replaces=key) == expect
        assert desk.ledger.open_value <= limit["open_value"]


def test_a_larger_replacement_at_a_lower_price_needs_buying_power_at_the_worse_of_the_two() -> None:
    for qty, expect in ((12, 0), (13, Code.BUYING_POWER)):
        desk = Desk(buying_power=12 * 104 * PX)
        key = desk.firm(qty=10, px=104 * PX)
        assert desk.send(qty=qty, px=90 * PX, replaces=key) == expect
    desk = Desk(buying_power=12 * 104 * PX)
    replaced(desk, desk.firm(qty=10, px=104 * PX), 12, 90 * PX)
    assert desk.ledger.committed == 12 * 104 * PX


def test_the_position_in_money_counts_a_replacement_at_the_worse_of_the_two() -> None:
    for qty, expect in ((120, 0), (121, Code.POSITION_LIMIT)):
        desk = Desk(bounds={"position_notional": 120 * 104 * PX})
        key = desk.firm(qty=100, px=104 * PX)
        assert desk.send(qty=qty, px=90 * PX, replaces=key) == expect


def test_what_is_lost_if_filled_counts_the_order_that_a_replacement_leaves_behind() -> None:
    worst = 12 * (104 * PX - 95 * PX)  # bought at the old price, marked at the bid less the collar
    for loss, expect in ((worst + 1, 0), (worst, Code.DAILY_LOSS)):
        desk = Desk({"filled_loss": loss})
        key = desk.firm(qty=10, px=104 * PX)
        assert desk.send(qty=12, px=99 * PX, replaces=key) == expect


def test_what_covers_a_short_counts_replacements_before_it_that_are_facts() -> None:
    desk = Desk()
    desk.hold(-10)
    key = desk.firm(qty=5)
    replaced(desk, key, 10, 100 * PX)  # takes the whole short
    other = desk.firm(qty=5)
    assert desk.ledger.reservation(other).cost == 5 * 100 * PX


@pytest.mark.parametrize("code", [Code.GROSS_EXPOSURE, Code.NET_EXPOSURE, Code.POSITION_LIMIT])
def test_a_stop_below_the_market_does_not_cheapen_what_it_adds_to(code: Code) -> None:
    most = 11 * ASK - 1
    desk = Desk({"gross": most} if code == Code.GROSS_EXPOSURE else {"net": most} if code == Code.NET_EXPOSURE else None)
    bounds = {"position_notional": most} if code == Code.POSITION_LIMIT else {}
    desk.gate.set_bounds(7, WIDE | bounds | {"shorts": 1})
    desk.gate.borrow(7, (1 << 63) - 1)
    desk.gate.ssr(7, 1, 0)
    desk.hold(-10)
    assert desk.send(SELL, 1, type=STOP, stop=90 * PX) == code
    assert desk.send(SELL, 1, type=STOP, stop=99 * PX) == code
    assert desk.send(SELL, 1, px=101 * PX) == code
