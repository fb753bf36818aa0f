"""A batch of orders is checked and reserved as the same orders one by one."""

import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pyrt._core.controls import order_dtype
from pyrt._core.ledger import Ledger
from pyrt._core.risk import BOUNDS, OFF, OFF_MONEY, RULES, Gate
from pyrt._core.types import Side, ref_dtype

PX = QTY = 10**9
NOW, MONO = 10**18, 10**12
LIMIT = 2


def gate():
    refs = np.zeros(64, ref_dtype)
    refs[7] = (100 * PX, 100 * PX + 20_000_000, QTY, QTY, NOW, 0, 0, 0, 0)
    made = Gate(Ledger(), refs)
    money = ("open_value", "gross", "net", "daily_loss", "drawdown", "filled_loss", "days_drawdown")
    rules = {name: OFF_MONEY if name in money else 10**6 for name in RULES}
    made.set_rules(
        rules | {"slippage_absolute": 0, "max_age": OFF, "account_interval": 1, "strategy_interval": 1, "symbol_interval": 1}
    )
    made.ledger.define(7, lot=1)
    made.set_bounds(7, dict.fromkeys(BOUNDS, OFF) | {"qty": 50 * QTY, "collar_bps": 500, "passive_bps": 500})
    made.session(7, 0, 0)
    made.open(2)
    made.account(10**30, NOW)
    return made


def orders(rows):
    out = np.zeros(len(rows), order_dtype)
    for i, (side, qty, cents, instrument) in enumerate(rows):
        out[i] = (i + 1, 0, qty, cents * 10_000_000, 0, 0, instrument, 3, side, LIMIT, 0, 0, 0)
    return out


one = st.tuples(
    st.sampled_from([Side.BUY, Side.SELL]),
    st.integers(-1, 60).map(QTY.__mul__),
    st.integers(9_000, 11_000),
    st.sampled_from([7, 8]),
)


@given(st.lists(one, max_size=70), st.booleans())
@settings(max_examples=60, deadline=None)
def test_a_batch_is_its_orders_one_by_one(rows, every):
    batch, single = gate(), gate()
    codes = batch.check_all(orders(rows), now=NOW, mono=MONO, every=every)
    for i, (side, qty, cents, instrument) in enumerate(rows):
        code = single.check(i + 1, 3, instrument, side, LIMIT, qty, cents * 10_000_000, now=NOW, mono=MONO, every=every)
        assert codes[i] == code
    assert batch.failures == single.failures
    assert batch.ledger.open_keys() == single.ledger.open_keys()
    assert batch.state() == single.state()


def test_records_of_another_size_are_refused():
    with pytest.raises(ValueError, match="64 bytes"):
        gate().check_all(np.zeros(3, np.int64), now=NOW, mono=MONO)


def test_a_batch_makes_no_object_per_order():
    made = gate()
    bad = orders([(Side.BUY, 60 * QTY, 10_000, 7)] * 20_000)
    made.check_all(bad, now=NOW, mono=MONO)
    before = sys.getallocatedblocks()
    codes = made.check_all(bad, now=NOW, mono=MONO)
    assert sys.getallocatedblocks() - before < 50
    assert codes.all()
