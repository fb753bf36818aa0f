"""Sizers: exact, never more than asked."""

from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyrt.errors import ConfigError, OrderError
from pyrt.model import Instrument, Signal
from pyrt.signals import Fixed, Notional, Scaled

PX = QTY = 10**9
WHOLE = Instrument(id=1, symbol="AAPL")
PARTS = Instrument(id=2, symbol="PART", lot=1)


def signal(confidence: float = 1.0) -> Signal:
    return Signal(strategy=1, instrument=1, action="buy", confidence=confidence, ts=0, valid_until=1)


def test_fixed() -> None:
    assert Fixed(10).size(signal(), WHOLE, 0) == 10 * QTY
    assert Fixed("0.25").size(signal(), PARTS, 0) == QTY // 4
    with pytest.raises(OrderError, match="multiple of 1"):
        Fixed("0.25").size(signal(), WHOLE, 0)


@given(
    amount=st.integers(1, 10**15),
    px=st.integers(1, 10**15),
    lot=st.sampled_from([1, 10**5, QTY, 100 * QTY]),
    multiplier=st.sampled_from([1, 100]),
)
def test_notional_never_overspends_and_one_more_lot_would(amount: int, px: int, lot: int, multiplier: int) -> None:
    instrument = Instrument(id=1, symbol="X", lot=lot, multiplier=multiplier)
    qty = Notional(Decimal(amount).scaleb(-9)).size(signal(), instrument, px)
    assert qty % lot == 0
    assert qty >= 0

    def cost(q: int) -> Fraction:
        return Fraction(q, QTY) * Fraction(px, PX) * multiplier

    assert cost(qty) <= Fraction(amount, PX) < cost(qty + lot)


def test_notional_without_a_price_is_nothing_and_without_an_amount_a_mistake() -> None:
    assert Notional(1000).size(signal(), WHOLE, 0) == 0
    for amount in (0, -5):
        with pytest.raises(ConfigError, match="amount above 0"):
            Notional(amount)


@pytest.mark.parametrize(
    ("confidence", "shares"), [(0.57, 57), (0.29, 29), (0.1, 10), (1.0, 100), (0.0, 0), (0.999, 99), (1 / 3, 33)]
)
def test_scaled_reads_a_confidence_as_it_is_written(confidence: float, shares: int) -> None:
    assert Scaled(Fixed(100)).size(signal(confidence), WHOLE, 0) == shares * QTY


@given(confidence=st.floats(0, 1), quantity=st.integers(1, 10**6))
def test_scaled_rounds_down_to_the_lot_and_never_above(confidence: float, quantity: int) -> None:
    qty = Scaled(Fixed(quantity)).size(signal(confidence), WHOLE, 0)
    exact = Fraction(repr(confidence)) * quantity * QTY
    assert qty % QTY == 0
    assert qty <= exact < qty + QTY
