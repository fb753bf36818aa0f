"""Numbers in whole units, read: a float means what it shows."""

import math
from decimal import Decimal

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pyrt._core.types import to_units


@given(value=st.floats(), exp=st.integers(0, 9))
@example(value=190.1, exp=9)
@example(value=-0.0, exp=9)
@example(value=1e-9, exp=9)
@example(value=9223372036.854775, exp=9)
@example(value=1e18, exp=0)
@example(value=1e22, exp=0)
def test_a_float_is_read_through_its_repr(value: float, exp: int) -> None:
    exact = Decimal(repr(value)).scaleb(exp) if math.isfinite(value) else None
    if exact is None or exact != exact.to_integral_value() or not abs(exact) < 1 << 63:
        with pytest.raises(ValueError, match="is not a number that"):
            to_units(value, exp)
    else:
        assert to_units(value, exp) == int(exact)


@given(
    whole=st.integers(-(10**16), 10**16),
    decimals=st.integers(0, 12),
    exp=st.integers(0, 9),
    ulps=st.integers(-2, 2),
    other=st.floats(-2, 2),
)
@example(whole=999_999_999_999_999, decimals=9, exp=9, ulps=0, other=0.0)
@example(whole=-999_998_999_999_999, decimals=9, exp=9, ulps=1, other=0.0)
def test_a_computed_float_is_read_with_its_noise(whole: int, decimals: int, exp: int, ulps: int, other: float) -> None:
    value = whole / 10**decimals
    for _ in range(abs(ulps)):
        value = math.nextafter(value, math.inf if ulps > 0 else -math.inf)
    for each in (value, value + other, value * other, float(f"{value:.4f}")):
        exact = Decimal(repr(each)).scaleb(exp)
        if exact != exact.to_integral_value() or not abs(exact) < 1 << 63:
            with pytest.raises(ValueError, match="is not a number that"):
                to_units(each, exp)
        else:
            assert to_units(each, exp) == int(exact)
