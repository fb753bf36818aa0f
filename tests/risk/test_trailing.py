"""Trailing stops: what the gate values them at, by the written formula, and what it refuses."""

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.risk.test_manager import LOOSE, Desk, answer

from pyrt._core.types import Side
from pyrt.model import Approved, Intent, OrderType, Refused, TimeInForce

PX = QTY = 10**9
GAP, PASSIVE = LOOSE.gap_bps, LOOSE.passive_bps


def trailing(source: int, side: Side, trail_px: int, trail_ratio: int, qty: int = QTY, **more: object) -> Intent:
    return Intent(
        strategy=3, source=source, instrument=1, side=side, type=OrderType.TRAILING_STOP, tif=TimeInForce.GTC, qty=qty,
        trail_px=trail_px, trail_ratio=trail_ratio, **more,
    )  # fmt: skip


def worst(side: Side, ref: int, trail_px: int, trail_ratio: int) -> int:
    """Section 1 of the specification: the worst of the current trail and ref * (1 + gap)."""
    off = trail_px or -(-ref * trail_ratio // 10**9)
    return max(-(-ref * (10_000 + GAP) // 10_000), ref + off if side is Side.BUY else 0)


@given(st.sampled_from(Side), st.integers(1, 3000), st.integers(1, 300_000_000), st.booleans())
@settings(max_examples=60, deadline=None)
def test_a_trailing_stop_is_valued_at_the_worst_of_trail_and_gap(side: Side, cents: int, ratio: int, by_price: bool) -> None:
    desk = Desk()
    trail_px, trail_ratio = (cents * 10_000_000, 0) if by_price else (0, ratio)
    if side is Side.SELL:
        desk.fill(desk.order(desk.ask(1)), desk.intent(1), QTY)
    intent = trailing(2, side, trail_px, trail_ratio)
    got = answer(desk.tell(intent))
    ref = 100 * PX + 10_000_000  # the mid of 100.00 and 100.02
    off = trail_px or -(-ref * trail_ratio // 10**9)
    if off * 10_000 > ref * PASSIVE:
        assert isinstance(got, Refused)
        assert [b.code for b in got.breaches] == ["PRICE_COLLAR"]
        return
    assert isinstance(got, Approved)
    before = desk.risk.ledger.reservation(intent.key)
    assert before.px == worst(side, ref, trail_px, trail_ratio)
    desk.order(got)
    assert desk.risk.ledger.reservation(intent.key).px == before.px  # what the facts alone say
    assert desk.risk.ledger.reservation(intent.key).leaves == QTY


def test_a_trail_that_would_stand_at_or_below_nothing_is_refused() -> None:
    desk = Desk()
    desk.fill(desk.order(desk.ask(1)), desk.intent(1), QTY)
    assert isinstance(answer(desk.tell(trailing(2, Side.SELL, 0, 0))), Refused)
    assert isinstance(answer(desk.tell(trailing(3, Side.SELL, 101 * PX, 0))), Refused)
