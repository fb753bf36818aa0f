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
