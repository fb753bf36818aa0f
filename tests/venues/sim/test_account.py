"""Shares and margin of one account, by hand."""

import pytest

from pyrt._core.types import Side
from pyrt.model import Instrument
from pyrt.venues.sim.exchange.account import ONE, Account, Position, figures

SHARE = DOLLAR = 1_000_000_000
INSTRUMENT = Instrument(id=1, symbol="AAPL")


def held(*fills: tuple[Side, int], day: int = 0) -> Position:
    position = Position(qty=day * SHARE, cost=day * 100 * ONE, day_qty=day * SHARE)
    for side, shares in fills:
        position.fill(side, 100 * DOLLAR, shares * SHARE, 9)
    return position


@pytest.mark.parametrize(
    ("day", "fills", "left"),
    [
        (10, [(Side.SELL, 4)], 6),
        (10, [(Side.SELL, 4), (Side.BUY, 4)], 6),  # what was bought back is of today
        (10, [(Side.BUY, 5), (Side.SELL, 5)], 10),
        (10, [(Side.SELL, 20)], 0),
        (-10, [(Side.BUY, 4)], -6),
        (-10, [(Side.BUY, 20)], 0),
        (0, [(Side.BUY, 3)], 0),
    ],
)
def test_what_is_left_of_the_shares_that_the_day_began_with(day: int, fills: list[tuple[Side, int]], left: int) -> None:
    position = held(*fills, day=day)
    assert position.day_qty == left * SHARE
    assert position.cost == position.qty // SHARE * 100 * ONE


@pytest.mark.parametrize(
    ("shares", "cents", "a_share"),
    [
        (10, 10_000, 3_000),  # long: 30 %
        (10, 250, 75),
        (10, 249, 249),  # under 2.50 all of it
        (-10, 10_000, 3_000),  # short: 30 %, but 5.00 at least
        (-10, 1_000, 500),
        (-10, 500, 500),
        (-10, 499, 499),  # under 5.00 all of it, but 2.50 at least
        (-10, 200, 250),
    ],
)
def test_maintenance_margin(shares: int, cents: int, a_share: int) -> None:
    account = Account(id="a", number="1", cash=0, multiplier=4, created_at=0, start_cash=0, last_equity=0)
    account.positions[1] = Position(qty=shares * SHARE, cost=0)
    worth = figures(account, {1: INSTRUMENT}, lambda _: cents * DOLLAR // 100)
    assert worth.maintenance == abs(shares) * a_share * ONE // 100


def test_what_closes_takes_its_part_of_what_today_cost() -> None:
    position = held((Side.BUY, 10), (Side.SELL, 4), day=5)
    assert position.fresh == 600 * ONE
    position.fill(Side.SELL, 100 * DOLLAR, 8 * SHARE, 9)
    assert (position.qty, position.day_qty, position.fresh) == (3 * SHARE, 3 * SHARE, 0)
