"""Random clients on the exchange: after every step the account is what requests, events and the market make of it."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.reference.random_client import SIZE, Desk, Operation, random_operations

pytestmark = pytest.mark.row("X08")

number_of = st.integers(0, SIZE - 1)
OPERATIONS = st.lists(st.tuples(*[number_of] * 6), min_size=10, max_size=80)


@settings(max_examples=40)
@given(operations=OPERATIONS, hours=st.booleans(), multiplier=st.sampled_from([1, 2, 4]))
def test_any_client_and_the_account_adds_up(operations: list[Operation], hours: bool, multiplier: int) -> None:
    Desk(hours=hours, multiplier=multiplier).run(operations)


@pytest.mark.parametrize(("seed", "hours", "multiplier"), [(1, False, 2), (2, True, 2), (3, False, 4), (4, True, 1)])
def test_five_hundred_operations(seed: int, hours: bool, multiplier: int) -> None:
    desk = Desk(hours=hours, multiplier=multiplier)
    desk.run(random_operations(seed, 500))
    for what in ("fill", "partial_fill", "canceled", "replaced", "refused", "restart"):
        assert desk.counts.get(what), f"{what} never happened"
    assert not hours or desk.counts.get("expired")


@pytest.mark.nightly
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("seed", range(100, 116))
def test_ten_thousand_operations(seed: int) -> None:
    desk = Desk(hours=bool(seed % 2), multiplier=(1, 2, 2, 4)[seed // 2 % 4], cash=50_000)
    desk.run(random_operations(seed, 10_000))
