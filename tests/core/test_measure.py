"""What the controls say they find is what they deny by, and asking changes nothing."""

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.core.test_risk import BUY, LIMIT, MARKET, MONO, NOW, PX, QTY, SELL, STOP, USD, Desk

from pyrt._core.measure import measure
from pyrt._core.risk import Code

LIMITS = {
    "rules": {"gross": 9_000 * USD, "net": 8_000 * USD, "open_value": 6_000 * USD, "open_count": 4, "repeat_max": 3, "rate_max": 5},
    "bounds": {
        "qty": 40 * QTY,
        "notional": 4_000 * USD,
        "position_qty": 60 * QTY,
        "position_notional": 7_000 * USD,
        "strategy_qty": 50 * QTY,
    },
}
ORDER = st.tuples(
    st.sampled_from([BUY, SELL]),
    st.integers(1, 60),
    st.sampled_from([LIMIT, MARKET, STOP]),
    st.integers(-700, 700),  # hundredths from the touch
    st.integers(1, 3),  # strategy
)


@settings(max_examples=60, deadline=None)
@given(st.lists(ORDER, min_size=1, max_size=12), st.integers(-30, 30))
def test_what_is_measured_is_what_denies(orders, held):
    desk = Desk(**LIMITS, buying_power=12_000 * USD)
    if held:
        desk.hold(held * QTY)
    for n, (side, qty, kind, off, strategy) in enumerate(orders):
        now, mono = NOW + n * 1000, MONO + n * 1000
        px = 100 * PX + off * PX // 100
        what = (side, kind, qty * QTY, px if kind == LIMIT else 0, px if kind == STOP else 0)
        key = strategy << 48 | n + 1
        before = desk.gate.state()
        found = measure(desk.gate, key, strategy, 7, *what, now=now, mono=mono)
        assert desk.gate.state() == before
        failed = Code(desk.gate.check(key, strategy, 7, *what, now=now, mono=mono))
        denied = {f.code: f for f in desk.gate.failures}
        told = {f.code for _, f in found}
        assert len(found) >= 5 - (Code.REPEAT_EXEC not in told)  # an exit is asked of neither repeats nor rates
        over = {f.code for name, f in found if f.observed > f.limit and name not in ("max_daily_loss", "max_drawdown")}
        # A collar has two sides, and the ratio looks only where there were enough cancels.
        measured = {f.code for _, f in found} - {
            Code.PRICE_COLLAR,
            Code.CANCEL_RATIO,
        }
        assert over & measured == {code for code in denied if code in measured}
        for name, f in found:
            if f.code in denied and f.code not in (Code.REPEAT_EXEC, Code.ORDER_RATE, Code.POSITION_LIMIT, Code.PRICE_COLLAR):
                assert (f.limit, f.observed) == (denied[f.code].limit, denied[f.code].observed), name
        if not failed:
            desk.gate.confirm(key, strategy, 7, *what, ref_px=100 * PX, at=now)


def test_an_instrument_that_nobody_defined_has_nothing_to_tell():
    assert measure(Desk().gate, 1, 1, 1000, BUY, LIMIT, QTY, 100 * PX, now=NOW, mono=MONO) == []
