"""The one question that plain orders of shares are asked finds what the table of rules finds, rule by rule."""

from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pyrt._core.ledger import Ledger
from pyrt._core.screen import Screen
from pyrt._core.types import NO_PRICE, Side, ref_dtype
from pyrt.model import AccountSeen, AssetClass, AssetSeen, Instrument, Intent, OrderClass, OrderType, TimeInForce
from pyrt.risk.broker_rules import BrokerRules

ONE = 10**9
CENT = ONE // 100
pytestmark = pytest.mark.row("X15")


class Asked(BrokerRules):
    """The table alone."""

    def _is_clean(self, i: Intent, instrument: Instrument) -> bool:
        return False


@dataclass(frozen=True)
class Scene:
    """What is held and open, what is known of the asset, the account and the prices."""

    held: int
    bought: int
    sold: int
    tradable: bool
    shortable: bool
    easy: bool
    account: tuple[bool, int, int] | None  # shorting, equity, buying power
    prices: tuple[int, int, int]  # bid, ask, last


PRICE = st.sampled_from([0, NO_PRICE, ONE // 2, ONE, 49 * ONE, 50 * ONE, 190 * ONE + CENT, 20_000_000 * ONE])
MONEY = st.sampled_from([-ONE, 0, 1999 * ONE, 2000 * ONE, 19_000 * ONE, 10**6 * ONE, 1 << 63])
SCENES = st.builds(
    Scene,
    held=st.sampled_from([-100 * ONE, -ONE, 0, ONE, 5 * ONE // 2, 100 * ONE]),
    bought=st.sampled_from([0, ONE, 60 * ONE]),
    sold=st.sampled_from([0, ONE, 60 * ONE]),
    tradable=st.booleans(),
    shortable=st.booleans(),
    easy=st.booleans(),
    account=st.none() | st.tuples(st.booleans(), MONEY, MONEY),
    prices=st.tuples(PRICE, PRICE, PRICE),
)
ORDERS = st.builds(
    Intent,
    strategy=st.just(1),
    source=st.just(1),
    instrument=st.just(1),
    side=st.sampled_from(Side),
    type=st.sampled_from(OrderType),
    tif=st.sampled_from(TimeInForce),
    qty=st.sampled_from([ONE // 2, ONE, 2 * ONE, 40 * ONE, 100 * ONE, 101 * ONE, 10**9 * ONE]),
    limit_px=st.sampled_from([0, 100_000, 150_000, ONE, ONE + CENT // 2, 50 * ONE, 190 * ONE, 20_000_000 * ONE]),
    stop_px=st.sampled_from([0, 0, ONE // 2, 49 * ONE + 1, 49 * ONE, 191 * ONE]),
    extended_hours=st.booleans(),
    trail_px=st.sampled_from([0, 0, 0, CENT, CENT // 3]),
    order_class=st.sampled_from([OrderClass.SIMPLE] * 5 + [OrderClass.BRACKET]),
    target_px=st.sampled_from([0, 0, 0, 200 * ONE, ONE + 1]),
    guard_px=st.sampled_from([0, 0, 0, 180 * ONE]),
)
PLAIN = st.builds(
    Intent,
    strategy=st.just(1),
    source=st.just(1),
    instrument=st.just(1),
    side=st.sampled_from(Side),
    type=st.sampled_from([OrderType.MARKET, OrderType.LIMIT, OrderType.STOP, OrderType.STOP_LIMIT]),
    tif=st.sampled_from([TimeInForce.DAY, TimeInForce.GTC, TimeInForce.IOC, TimeInForce.FOK]),
    qty=st.integers(1, 200).map(lambda n: n * ONE),
    limit_px=st.integers(0, 30_000).map(lambda n: n * CENT),
    stop_px=st.integers(0, 30_000).map(lambda n: n * CENT),
)


def rules(kind: type[BrokerRules], scene: Scene, asset_class: AssetClass = AssetClass.US_EQUITY) -> tuple[BrokerRules, Instrument]:
    refs = np.zeros(2, ref_dtype)
    refs[1]["bid_px"], refs[1]["ask_px"], refs[1]["last_px"] = scene.prices
    ledger = Ledger()
    ledger.define(1)
    if scene.held:
        ledger.adjust(1, 1, scene.held, scene.held * 100)
    for key, side, qty in ((1 << 48 | 10, Side.BUY, scene.bought), (1 << 48 | 11, Side.SELL, scene.sold)):
        if qty:
            ledger.reserve(key, 1, 1, side, qty, 100 * ONE, 100 * qty * ONE)
    seen = {
        1: AssetSeen(
            instrument=1, tradable=scene.tradable, shortable=scene.shortable, easy_to_borrow=scene.easy, overnight=False, ts=0
        )
    }
    made = kind(ledger, refs, None, seen)
    if scene.account is not None:
        shorting, equity, power = scene.account
        made.account = AccountSeen(
            account_id="a",
            cash=0,
            buying_power=power,
            equity=equity,
            last_equity=0,
            multiplier=2,
            blocked=False,
            ts=0,
            shorting=shorting,
        )
    return made, Instrument(id=1, symbol="AAA", asset_class=asset_class)


@settings(max_examples=250, deadline=None)
@given(scene=SCENES, order=ORDERS)
@example(
    scene=Scene(0, 0, 0, True, True, True, (True, 2000 * ONE, 104 * ONE), (99 * ONE, 101 * ONE, NO_PRICE)),
    order=Intent(strategy=1, source=1, instrument=1, side=Side.BUY, type=OrderType.MARKET, tif=TimeInForce.DAY, qty=ONE),
)
@example(  # a short without the equity that it needs
    scene=Scene(0, 0, 0, True, True, True, (True, 1999 * ONE, 10**6 * ONE), (99 * ONE, 101 * ONE, NO_PRICE)),
    order=Intent(strategy=1, source=1, instrument=1, side=Side.SELL, type=OrderType.MARKET, tif=TimeInForce.DAY, qty=ONE),
)
@example(  # a distance off the tick
    scene=Scene(0, 0, 0, True, True, True, None, (99 * ONE, 101 * ONE, NO_PRICE)),
    order=Intent(
        strategy=1, source=1, instrument=1, side=Side.BUY, type=OrderType.STOP, tif=TimeInForce.DAY, qty=ONE, trail_px=CENT // 3
    ),
)
def test_it_lets_nothing_pass_that_a_rule_refuses(scene: Scene, order: Intent) -> None:
    """Whatever the order: the words, and their order, are those of the table."""
    quick, instrument = rules(BrokerRules, scene)
    table, _ = rules(Asked, scene)
    assert quick.broken(order, instrument, 0) == table.broken(order, instrument, 0)


@settings(max_examples=250, deadline=None)
@given(scene=SCENES, order=PLAIN)
@example(  # without any price no rule says what it costs
    scene=Scene(0, 0, ONE, True, False, False, (False, 0, 0), (0, 0, 0)),
    order=Intent(strategy=1, source=1, instrument=1, side=Side.BUY, type=OrderType.MARKET, tif=TimeInForce.DAY, qty=ONE),
)
def test_a_plain_order_that_breaks_nothing_is_asked_once(scene: Scene, order: Intent) -> None:
    """Else it would be right and of no use. What is beyond its numbers it leaves to the table."""
    quick, instrument = rules(BrokerRules, scene)
    table, _ = rules(Asked, scene)
    huge = scene.account is not None and (scene.account[2] > 1 << 62 or scene.account[2] < 0)
    if huge or max(scene.prices) > 10_000_000 * ONE:
        return
    assert quick._is_clean(order, instrument) == (not table.broken(order, instrument, 0))


@pytest.mark.parametrize("kind", [AssetClass.CRYPTO, AssetClass.OPTION])
def test_other_assets_have_rules_of_their_own(kind: AssetClass) -> None:
    scene = Scene(0, 0, 0, True, True, True, None, (99 * ONE, 101 * ONE, 100 * ONE))
    quick, instrument = rules(BrokerRules, scene, kind)
    order = Intent(strategy=1, source=1, instrument=1, side=Side.BUY, type=OrderType.MARKET, tif=TimeInForce.DAY, qty=ONE)
    assert not quick._is_clean(order, instrument)


def test_what_is_not_defined_is_not_clean() -> None:
    screen = Screen(Ledger(), np.zeros(2, ref_dtype))
    screen.account(True, True, 10**18)
    told = {"today": True, "shortable": True, "easy": True}
    assert not screen.clean(1, Side.BUY, ONE, 100 * ONE, 0, ONE, **told)
    assert not screen.clean(9, Side.BUY, ONE, 100 * ONE, 0, ONE, **told)
    assert not screen.clean(1, Side.BUY, ONE, 100 * ONE, 0, 0, **told)
