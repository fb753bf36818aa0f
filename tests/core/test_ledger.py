"""The ledger against unbounded integers: positions, cost, P&L, fees, reservations, worst case."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from tests.reference.ledger import Account, Order

from pyrt._core.ledger import Ledger
from pyrt._core.types import NO_PRICE, ref_dtype

BUY, SELL = 1, 2
PX = 10**9
SHARE = 10**9


def make(qty_exp: int = 9, multiplier: int = 1) -> Ledger:
    ledger = Ledger(positions=1, reservations=1)
    ledger.define(7, qty_exp=qty_exp, multiplier=multiplier)
    return ledger


def refs(bid: int, ask: int, last: int = 0, instrument: int = 7) -> np.ndarray:
    rows = np.zeros(instrument + 1, ref_dtype)
    rows[instrument]["bid_px"], rows[instrument]["ask_px"], rows[instrument]["last_px"] = bid, ask, last
    return rows


@pytest.mark.row("S048")
def test_long_partial_flip_and_fees():
    ledger = make()
    assert ledger.fill(1, 3, 7, BUY, 100 * PX, 10 * SHARE, 10**18) == 1  # nothing was reserved
    ledger.fill(2, 3, 7, SELL, 110 * PX, 4 * SHARE)
    p = ledger.position(3, 7)
    assert (p.qty, p.cost, p.realised, p.fees) == (6 * SHARE, 600 * 10**18, 40 * 10**18, 10**18)
    ledger.fill(3, 3, 7, SELL, 90 * PX, 10 * SHARE)
    p = ledger.position(3, 7)
    assert (p.qty, p.cost, p.realised) == (-4 * SHARE, -360 * 10**18, -20 * 10**18)
    assert ledger.pnl(refs(94 * PX, 95 * PX)) == (-20 * 10**18, -20 * 10**18, 10**18, 0)
    ledger.fill(4, 3, 7, BUY, 80 * PX, 4 * SHARE)
    assert ledger.position(3, 7)[:3] == (0, 0, 20 * 10**18)


def test_marks_long_at_bid_short_at_ask_else_last_else_nothing():
    ledger = make()
    ledger.fill(1, 3, 7, BUY, 100 * PX, SHARE)
    assert ledger.pnl(refs(99 * PX, 105 * PX)).unrealised == -(10**18)
    assert ledger.pnl(refs(NO_PRICE, 105 * PX, 103 * PX)).unrealised == 3 * 10**18
    assert ledger.pnl(refs(NO_PRICE, 105 * PX)) == (0, 0, 0, 1)
    ledger.fill(2, 3, 7, SELL, 100 * PX, 2 * SHARE)
    assert ledger.pnl(refs(99 * PX, 105 * PX)).unrealised == -5 * 10**18


@pytest.mark.parametrize(("held", "closed", "px", "cost"), [(3, 1, 1, 10), (3, 1, 1, -10), (7, 3, 5, 100), (7, 3, 5, -100)])
def test_a_reduction_rounds_toward_minus_infinity(held, closed, px, cost):
    ledger = make()
    ledger.adjust(3, 7, held if cost > 0 else -held, cost)
    ledger.fill(1, 3, 7, SELL if cost > 0 else BUY, px, closed)
    assert ledger.position(3, 7).cost == cost - cost * closed // held


def test_a_share_of_a_cost_takes_more_than_128_bits():
    ledger = make()
    cost = (1 << 126) - 12345
    held, closed = (1 << 63) - 1, (1 << 62) + 987654321
    ledger.adjust(3, 7, held, cost)
    ledger.fill(1, 3, 7, SELL, 1, closed)
    assert ledger.position(3, 7).cost == cost - cost * closed // held


def test_two_strategies_share_an_account():
    ledger = make()
    ledger.fill(1, 3, 7, BUY, 100 * PX, 10 * SHARE)
    ledger.fill(2, 4, 7, SELL, 110 * PX, 10 * SHARE)
    assert ledger.position(3, 7).qty == 10 * SHARE
    assert ledger.position(4, 7).qty == -10 * SHARE
    assert ledger.account(7).qty == 0
    assert ledger.pnl(refs(1, 2)).unrealised == 100 * 10**18  # locked in, whatever the market does


def test_reservation_counts_until_it_is_released_and_moves_with_the_fill():
    ledger = make()
    assert ledger.reserve(11, 3, 7, BUY, 100, 5 * PX)
    assert not ledger.reserve(11, 3, 7, BUY, 100, 5 * PX)
    assert ledger.reserve(12, 4, 7, SELL, 30, 5 * PX)
    assert ledger.worst_case(7) == (100, -30)
    assert ledger.position(3, 7).buys == 100
    assert ledger.fill(11, 3, 7, BUY, 5 * PX, 40) == 0
    assert ledger.worst_case(7) == (100, 10)
    assert ledger.reservation(11).leaves == 60
    assert ledger.open_value == 90 * 5 * PX
    assert ledger.fill(11, 3, 7, BUY, 5 * PX, 61) == 2  # the venue is right: booked
    assert ledger.account(7).qty == 101
    assert ledger.release(11)
    assert not ledger.release(11)
    assert ledger.release(12)
    assert (ledger.worst_case(7), ledger.open_orders, ledger.open_value, ledger.open_keys()) == ((101, 101), 0, 0, [])


def test_replace_counts_the_larger_until_it_settles():
    ledger = make()
    ledger.reserve(11, 3, 7, BUY, 100, 5 * PX)
    ledger.fill(11, 3, 7, BUY, 5 * PX, 20)
    assert ledger.replace(11, 60, 6 * PX)
    assert ledger.account(7).buys == 80  # a smaller quantity frees nothing before the answer
    assert ledger.open_value == 80 * 6 * PX  # and the worse price counts
    ledger.fill(11, 3, 7, BUY, 5 * PX, 10)
    assert ledger.settle(11, True)
    assert (ledger.account(7).buys, ledger.open_value) == (30, 30 * 6 * PX)
    ledger.replace(11, 500, 7 * PX)
    assert ledger.account(7).buys == 470
    ledger.settle(11, False)
    assert (ledger.account(7).buys, ledger.open_value) == (30, 30 * 6 * PX)


def test_bust_restores_quantity_and_total():
    ledger = make()
    ledger.fill(1, 3, 7, BUY, 100 * PX, 10, 5)
    ledger.fill(2, 3, 7, SELL, 120 * PX, 4, 5)
    before = ledger.position(3, 7)
    ledger.fill(3, 3, 7, SELL, 130 * PX, 3, 7)
    ledger.bust(3, 7, SELL, 130 * PX, 3, 7)
    after = ledger.position(3, 7)
    assert (after.qty, after.fees, after.realised - after.cost) == (before.qty, before.fees, before.realised - before.cost)


@pytest.mark.parametrize(("px", "qty"), [((1 << 63) - 1, (1 << 63) - 1), (1, (1 << 63) - 1)])
def test_numbers_at_the_end_of_64_bits_never_wrap(px, qty):
    ledger = make()
    ledger.fill(1, 3, 7, BUY, px, qty)
    assert ledger.account(7).qty == qty
    assert ledger.account(7).cost == px * qty
    assert ledger.fill(2, 3, 7, BUY, px, 1) & 4
    assert ledger.broken
    assert ledger.account(7).qty == qty


def test_money_beyond_128_bits_is_told():
    ledger = make(qty_exp=0, multiplier=100)
    assert ledger.fill(1, 3, 7, BUY, (1 << 62), (1 << 62)) & 4
    assert ledger.broken
    with pytest.raises(ValueError, match="qty_exp"):
        ledger.define(8, qty_exp=10)
    with pytest.raises(ValueError, match="ids end"):
        ledger.define(1 << 30)


def test_state_depends_on_the_facts_not_on_the_slots():
    a, b = make(), make()
    for i in range(1, 200):
        a.reserve(i, 3, 7, BUY, i, PX)
    for i in range(1, 200, 2):
        a.release(i)
    for i in range(198, 0, -2):
        b.reserve(i, 3, 7, BUY, i, PX)
    assert a.open_keys() == b.open_keys()
    assert [a.reservation(k) for k in a.open_keys()] == [b.reservation(k) for k in b.open_keys()]
    assert a.account(7) == b.account(7)
    assert a.state() == b.state()
    a.fill(2, 3, 7, BUY, PX, 1)
    assert a.state() != b.state()


keys = st.integers(1, 12)
sides = st.sampled_from([BUY, SELL])
prices = st.integers(1, 1 << 40)
sizes = st.one_of(st.integers(1, 50), st.integers(1, 1 << 45))


class LedgerMachine(RuleBasedStateMachine):
    """Random lives of orders in one instrument, two strategies: ledger = oracle after every step."""

    def __init__(self) -> None:
        super().__init__()
        self.ledger = make(qty_exp=6, multiplier=3)
        self.oracle = Account(scale=3 * 1000)

    @rule(key=keys, side=sides, qty=sizes, px=prices)
    def reserve(self, key, side, qty, px):
        fresh = key not in self.oracle.orders
        assert self.ledger.reserve(key, key % 2, 7, side, qty, px) == fresh
        if fresh:
            self.oracle.orders[key] = Order(key % 2, qty if side == BUY else -qty)

    @rule(key=keys, side=sides, qty=sizes, px=prices, fee=st.integers(-(10**12), 10**12))
    def fill(self, key, side, qty, px, fee):
        order = self.oracle.orders.get(key)
        if order is not None:
            side = BUY if order.leaves > 0 else SELL if order.leaves < 0 else self.ledger.reservation(key).side
        told = self.ledger.fill(key, key % 2, 7, side, px, qty, fee)
        assert told == (1 if order is None else 2 if qty > abs(order.leaves) else 0)
        self.oracle.fill(key, key % 2, qty if side == BUY else -qty, px, fee)

    @rule(key=keys)
    def release(self, key):
        assert self.ledger.release(key) == (self.oracle.orders.pop(key, None) is not None)

    @invariant()
    def equal(self):
        for strategy, book in self.oracle.books.items():
            p = self.ledger.position(strategy, 7)
            assert (p.qty, p.cost, p.realised, p.fees) == (book.qty, book.cost, book.realised, book.fees)
            assert p.realised - p.cost == book.cash
        account = self.ledger.account(7)
        assert (account.qty, account.cost, account.realised) == (self.oracle.qty, self.oracle.cost, self.oracle.realised)
        assert self.ledger.pnl(refs(17, 19)).unrealised == self.oracle.unrealised(17, 19)
        reach = [self.oracle.qty + sum(o.leaves for o in self.oracle.orders.values() if o.leaves * s > 0) for s in (1, -1)]
        assert self.ledger.worst_case(7) == tuple(reach)
        assert self.ledger.open_orders == len(self.oracle.orders)
        assert not self.ledger.broken


LedgerMachine.TestCase.settings = settings(max_examples=40, stateful_step_count=40, deadline=None)
TestLedger = LedgerMachine.TestCase


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(sides, st.integers(1, 9)), max_size=8), st.integers(-9, 9))
def test_the_two_ends_bound_every_subset_of_fills(orders, held):
    ledger = make()
    oracle = Account(scale=1)
    if held:
        ledger.fill(99, 1, 7, BUY if held > 0 else SELL, PX, abs(held))
        oracle.fill(99, 1, held, PX, 0)
    for i, (side, qty) in enumerate(orders, 1):
        ledger.reserve(i, 1, 7, side, qty, PX)
        oracle.orders[i] = Order(1, qty if side == BUY else -qty)
    assert ledger.worst_case(7) == (max(oracle.reachable()), min(oracle.reachable()))
    assert ledger.exposure(7) == max(abs(x) for x in oracle.reachable())
