"""Exits of one request against the written rule: their worst is counted once, and never before the entry is filled."""

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.risk.test_manager import LOOSE, Desk, answer

from pyrt._core.types import Side
from pyrt.model import Approved, Filled, Intent, OrderChanged, OrderClass, OrderStatus, OrderType, TimeInForce
from pyrt.risk import RiskManager

PX = QTY = 10**9
BUY, SELL = Side.BUY, Side.SELL


class Oracle:
    """The states of one bracket, in plain numbers: every subset of fills that may yet come is tried."""

    def __init__(self, qty: int) -> None:
        self.qty, self.entered, self.entry_over, self.live = qty, 0, False, False
        self.left = [qty, qty]  # of the two exits
        self.open = [True, True]
        self.held = 0

    def worst(self) -> tuple[int, int]:
        """(q + B, q - S) over all that may fill: the entry, then one of the exits, or parts of both that make a whole."""
        buys = 0 if self.entry_over else self.qty - self.entered
        sells = {0}
        if self.live:
            total = max((left for left, o in zip(self.left, self.open, strict=True) if o), default=0)
            for first in range(total + 1):
                for second in range(total + 1 - first):
                    if (not first or (self.open[0] and first <= self.left[0])) and (
                        not second or (self.open[1] and second <= self.left[1])
                    ):
                        sells.add(first + second)
        return self.held + buys, self.held - max(sells)


def bracket(qty: int, side: Side) -> Intent:
    up, down = (104 * PX, 98 * PX) if side is BUY else (98 * PX, 104 * PX)
    return Intent(
        strategy=3, source=1, instrument=1, side=side, type=OrderType.LIMIT, tif=TimeInForce.GTC, qty=qty * QTY, limit_px=100 * PX,
        order_class=OrderClass.BRACKET, target_px=up, guard_px=down,
    )  # fmt: skip


@given(st.integers(1, 4), st.lists(st.tuples(st.sampled_from("efxyrc"), st.integers(1, 4)), max_size=14))
@settings(max_examples=150, deadline=None)
def test_what_is_counted_is_the_worst_that_can_come(qty: int, steps: list[tuple[str, int]]) -> None:
    desk = Desk()
    got = answer(desk.tell(bracket(qty, BUY)))
    assert isinstance(got, Approved)
    number, oracle = desk.order(got), Oracle(qty)
    desk.number += 2
    cum = {number: 0, number + 1: 0, number + 2: 0}

    def fill(which: int, n: int) -> None:
        cum[which] += n
        side = BUY if which == number else SELL
        desk.fact(
            Filled(
                number=which,
                strategy=3,
                instrument=1,
                side=side,
                px=100 * PX,
                qty=n * QTY,
                cum_qty=cum[which] * QTY,
                venue_order_id=f"v{which}",
                ts=desk.now.venue,
            )
        )
        oracle.held += n if side is BUY else -n

    for what, n in steps:
        if what == "e" and not oracle.entry_over:  # a part of the entry
            n = min(n, qty - oracle.entered)
            fill(number, n)
            oracle.entered += n
            if oracle.entered == qty:
                desk.change(number, OrderStatus.FILLED)
                oracle.entry_over = oracle.live = True
        elif what == "c" and not oracle.entry_over:  # the entry is cancelled, and with it its exits
            for each in (number, number + 1, number + 2):
                desk.change(each, OrderStatus.CANCELED)
            oracle.entry_over, oracle.open = True, [False, False]
        elif what in "xy" and oracle.live and oracle.open["xy".index(what)]:  # a part of an exit: the other one shrinks
            me = "xy".index(what)
            n = min(n, oracle.left[me])
            fill(number + 1 + me, n)
            oracle.left[me] -= n
            other = 1 - me
            if not oracle.left[me]:
                desk.change(number + 1 + me, OrderStatus.FILLED)
                desk.change(number + 1 + other, OrderStatus.CANCELED)
                oracle.open = [False, False]
            else:
                oracle.left[other] -= n
                shrunk = (oracle.left[other] + cum[number + 1 + other]) * QTY
                desk.fact(OrderChanged(number=number + 1 + other, status=OrderStatus.HELD, qty=shrunk, ts=desk.now.venue))
        account = desk.risk.account(1)
        assert (account.qty + account.buys, account.qty - account.sells) == tuple(w * QTY for w in oracle.worst())
        left = (not oracle.entry_over) + sum(oracle.open)
        assert desk.risk.ledger.open_orders == left
    again = RiskManager(desk.instruments, desk.refs, limits=LOOSE)
    for fact in desk.facts:
        again.apply(fact)
    assert again.state_digest() == desk.risk.state_digest()
    later = RiskManager(desk.instruments, desk.refs, limits=LOOSE)
    later.restore(desk.risk.save())
    assert later.state_digest() == desk.risk.state_digest()


def test_the_exits_of_a_market_entry_lie_on_their_sides_of_the_price() -> None:
    desk = Desk()
    wrong = Intent(
        strategy=3, source=1, instrument=1, side=BUY, type=OrderType.MARKET, tif=TimeInForce.DAY, qty=QTY,
        order_class=OrderClass.BRACKET, target_px=100 * PX, guard_px=98 * PX,
    )  # fmt: skip
    refused = answer(desk.tell(wrong))
    assert [(b.code, b.limit) for b in refused.breaches] == [("PRICE_COLLAR", "above 100.01")]


def test_exits_count_among_the_open_orders() -> None:
    desk = Desk(LOOSE.__class__.of({"max_open_orders": 2}, base=LOOSE))
    assert [b.code for b in answer(desk.tell(bracket(1, BUY))).breaches] == ["OPEN_ORDER_COUNT"]
