"""What `pyrt why` shows of every optional control that is on: its name, what it found, the headroom."""

from pathlib import Path

import pytest
from tests.e2e.one_process import MONDAY, PX, World
from tests.e2e.test_controls import history

from pyrt._core.measure import measure
from pyrt._core.types import Side
from pyrt.live.why import _control
from pyrt.model import Intent, OrderType, TimeInForce

ON = {
    "max_adv_pct": 1,
    "max_daily_loss_if_filled": 100,
    "max_days_drawdown": 200,
    "max_drift_bps": 100,
    "max_sends_per_signal": 3,
    "max_var": 50,
    "max_es": 50,
    "max_delta": 5000,
    "max_gamma": 5000,
    "max_vega": 5000,
}


@pytest.mark.parametrize("reducing", [False, True])
def test_every_optional_control_is_shown_with_its_headroom(reducing: bool, tmp_path: Path) -> None:
    world = World(tmp_path, ON)
    history()(world)
    world.do(lambda: world.hand.buy("AAPL", 5))
    risk, side = world.session.risk, Side.SELL if reducing else Side.BUY
    what = {"type": OrderType.LIMIT, "tif": TimeInForce.DAY, "qty": 2 * PX, "limit_px": 100 * PX, "signal": 9}
    intent = Intent(strategy=1, source=99, instrument=1, side=side, **what)
    found = measure(risk.gate, intent.key, 1, 1, side, 2, intent.qty, intent.limit_px, now=MONDAY + 5 * PX, mono=world.now.mono)
    shown = [_control(name, f, 9) for name, f in found]
    shown += [_control(name, f, 9, not no) for name, f, no in risk.others(intent, MONDAY + 5 * PX, 0)]
    by_name = {c.name: c for c in shown}
    assert all(c.passed for c in shown)
    exempt = {"max_daily_loss_if_filled", "max_days_drawdown", "max_drift_bps"} if reducing else set()
    assert set(by_name) >= set(ON) - exempt
    assert by_name["symbols of the strategy"].passed
    assert (by_name["max_adv_pct"].observed, by_name["max_adv_pct"].headroom) == ("2", "8")
    assert by_name["max_sends_per_signal"].headroom == "2"
    if not reducing:
        assert by_name["max_daily_loss_if_filled"].observed == "-10"  # two at 100, marked at 95
        assert by_name["max_days_drawdown"].limit == "-200"
        assert by_name["max_drift_bps"].observed == "0"
        assert by_name["max_delta"].observed == "700.07"
    world.close()
