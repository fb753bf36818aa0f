"""The controls that are off unless they are set, and shorts, auctions, lists and stops of the whole market: each at its edge."""

import pytest
from tests.core.test_risk import (
    BUY,
    LIMIT,
    MARKET,
    NOW,
    PX,
    QTY,
    SECOND,
    SELL,
    STOP,
    STOP_LIMIT,
    USD,
    WIDE,
    Desk,
    edge,
)

from pyrt._core.measure import measure
from pyrt._core.risk import Code, Level
from pyrt._core.types import NO_PRICE

CENT = 10_000_000
MINUTE = 60 * SECOND
FOREVER = (1 << 63) - 1
SHORT = {"shorts": 1, "share": QTY, "equity": 1}


# ---------------------------------------------------------------------------------------------------- R1
@pytest.mark.row("S047")
def test_a_share_of_the_days_volume():
    edge(lambda d, every: Desk(bounds={"adv_qty": 50}).send(qty=50 + d, every=every), Code.ORDER_QTY)
    desk = Desk(bounds={"adv_qty": 0})  # it is wanted, and nobody knows the volume
    desk.hold(10)
    assert desk.send(qty=1) == Code.ORDER_QTY
    found = dict(measure(desk.gate, 1 << 48 | 99, 3, 7, BUY, LIMIT, 1, 100 * PX, now=NOW, mono=1))
    assert found["max_adv_pct"] == (Code.ORDER_QTY, 0, 1, "qty")


def test_a_replace_up_is_held_to_the_days_volume():
    desk = Desk(bounds={"adv_qty": 50})
    key = desk.firm(qty=40)
    assert desk.send(qty=51, replaces=key) == Code.ORDER_QTY
    assert desk.send(qty=50, replaces=key) == 0


# ---------------------------------------------------------------------------------------------------- R4
def drifted(side, moved, *, bps=100, window=60 * SECOND, at=NOW, now=NOW, held=100 * QTY):
    """A desk that executed at 100 at `at`; the market's mid is now `moved` hundredths of a percent the other side of it."""
    desk = Desk({"drift_bps": bps, "drift_window": window})
    if held:
        desk.hold(held)
    desk.gate.fill(5, 3, 7, side, 100 * PX, QTY, 0, at)
    mid = 100 * PX + moved * PX // 100
    desk.quote(mid - CENT, mid + CENT, at=now)
    return desk


@pytest.mark.row("S047")
@pytest.mark.parametrize(("side", "sign"), [(BUY, 1), (SELL, -1)])
def test_own_executions_that_moved_the_price(side, sign):
    held = -100 * QTY if side == SELL else 100 * QTY
    bounds = WIDE | SHORT

    def make(d, every):
        desk = drifted(side, sign * (100 + d), held=held)
        desk.gate.set_bounds(7, bounds)
        desk.gate.borrow(7, FOREVER)
        desk.gate.ssr(7, 1, 0)
        return desk.send(side, px=100 * PX + sign * (102 * CENT), every=every)

    edge(make, Code.PRICE_DRIFT)


def test_drift_is_of_our_direction_alone_within_the_window_and_lets_exits_out():
    assert drifted(BUY, -300).send(px=97 * PX) == 0  # it fell after we bought: that is no push of ours
    assert drifted(BUY, 300, at=NOW - 60 * SECOND).send(px=103 * PX) == 0  # too long ago
    assert drifted(BUY, 300, at=NOW - 60 * SECOND + 1).send(px=103 * PX) == Code.PRICE_DRIFT
    desk = drifted(BUY, 300)
    assert desk.send(SELL, px=103 * PX) == 0
    desk = Desk({"drift_bps": 100, "drift_window": 60 * SECOND})
    desk.hold(-10 * QTY)
    desk.gate.fill(5, 3, 7, BUY, 100 * PX, QTY, 0, NOW)
    desk.quote(105 * PX, 105 * PX + 2 * CENT)
    assert desk.send(BUY, 9 * QTY, 105 * PX) == 0  # it covers


def test_many_executions_keep_the_price_that_they_began_at():
    desk = Desk({"drift_bps": 100, "drift_window": 60 * SECOND})
    for i in range(200):
        desk.gate.fill(1000 + i, 3, 7, BUY, 100 * PX + i * CENT, QTY, 0, NOW + i)
    desk.quote(102 * PX, 102 * PX + 2 * CENT)
    assert desk.send(px=102 * PX, now=NOW + 200) & Code.PRICE_DRIFT
    assert {f.code: f for f in desk.gate.failures}[Code.PRICE_DRIFT].observed >= 200  # from the first, no longer known singly


def test_drift_survives_in_the_state():
    desk = drifted(BUY, 0)
    assert str((NOW, 100 * PX)) in desk.gate.state().decode()


# ---------------------------------------------------------------------------------------------------- R14
def short_desk(**more):
    desk = Desk(bounds=SHORT | more)
    desk.gate.borrow(7, NOW + 10)
    desk.gate.ssr(7, 90 * PX, 0)
    return desk


def test_an_opening_short_needs_the_limit_and_a_young_flag():
    for every in (True, False):
        desk = short_desk()
        assert desk.send(SELL, px=101 * PX, now=NOW + 9, every=every) == 0
        assert desk.send(SELL, px=102 * PX, now=NOW + 10, every=every) == Code.SHORT_NOT_ALLOWED  # a day is over
        desk.gate.borrow(7, 0)  # the flag flipped
        assert desk.send(SELL, px=103 * PX, every=every) == Code.SHORT_NOT_ALLOWED
    assert short_desk(shorts=0).send(SELL, px=101 * PX) == Code.SHORT_NOT_ALLOWED
    assert Desk(bounds=SHORT).send(SELL, px=101 * PX) == Code.SHORT_NOT_ALLOWED  # nobody told


def test_a_short_that_works_may_shrink_whatever_the_flag_says():
    desk = short_desk()
    key = desk.firm(SELL, 4 * QTY, 101 * PX)
    desk.gate.borrow(7, 0)
    assert desk.send(SELL, 3 * QTY, 101 * PX, replaces=key) == 0
    desk.gate.expire(desk.key, key)
    assert desk.send(SELL, 3 * QTY, 100 * PX + CENT, replaces=key) == Code.SHORT_NOT_ALLOWED  # more eager
    assert desk.send(SELL, 5 * QTY, 101 * PX, replaces=key) == Code.SHORT_NOT_ALLOWED


def test_no_part_of_a_share_is_sold_short():
    desk = short_desk()
    assert desk.send(SELL, QTY // 2, 101 * PX) == Code.SHORT_NOT_ALLOWED
    assert desk.send(SELL, 3 * QTY // 2, 101 * PX) == Code.SHORT_NOT_ALLOWED
    assert desk.send(SELL, 2 * QTY, 101 * PX) == 0


def test_from_long_to_short_is_two_orders():
    desk = short_desk()
    desk.hold(5 * QTY)
    assert desk.send(SELL, 6 * QTY, 101 * PX) == Code.SHORT_NOT_ALLOWED  # a flip
    assert desk.send(SELL, 5 * QTY, 101 * PX) == 0
    assert desk.send(SELL, QTY, 102 * PX) == Code.SHORT_NOT_ALLOWED  # sells in flight make it a short; the long one is not gone yet
    desk.gate.fill(desk.key - 1, 3, 7, SELL, 101 * PX, 5 * QTY, 0, NOW)
    assert desk.ledger.account(7).qty == 0
    assert desk.send(SELL, QTY, 102 * PX) == 0


@pytest.mark.parametrize(
    ("type", "px", "stop", "allowed"),
    [
        (LIMIT, 100 * PX, 0, False),  # at the bid
        (LIMIT, 100 * PX + CENT, 0, True),
        (MARKET, 0, 0, False),
        (STOP, 0, 99 * PX, False),
        (STOP_LIMIT, 100 * PX, 99 * PX + 50 * CENT, False),
    ],
)
def test_the_short_sale_restriction_wants_a_limit_above_the_bid(type, px, stop, allowed):
    restricted = (
        lambda d: d.gate.ssr(7, 0, 0),  # the close before is not known: it counts as in force
        lambda d: d.gate.ssr(7, 90 * PX, NOW + 1),
        lambda d: d.quote(100 * PX, 100 * PX + 2 * CENT, last=90 * PX, last_at=NOW),  # a tenth below the close
    )
    for restrict in restricted:
        desk = short_desk()
        restrict(desk)
        code = desk.send(SELL, px=px, type=type, stop=stop)
        assert (code & Code.SHORT_NOT_ALLOWED == 0) == allowed
    desk = short_desk()
    desk.quote(100 * PX, 100 * PX + 2 * CENT, last=90 * PX, last_at=NOW)
    desk.send(SELL, type=MARKET)
    desk.quote(100 * PX, 100 * PX + 2 * CENT, last=95 * PX, last_at=NOW)
    assert desk.send(SELL, type=MARKET) & Code.SHORT_NOT_ALLOWED  # once in force it stays for the day
    desk.gate.ssr(7, 85 * PX, 0)
    assert desk.send(SELL, type=MARKET) & Code.SHORT_NOT_ALLOWED == 0  # another day


def test_a_short_needs_buying_power_for_103_percent_of_the_ask():
    cost = QTY * (100 * PX + 2 * CENT) * 103 // 100
    for power, code in ((cost - 1, Code.BUYING_POWER), (cost, Code(0))):
        desk = Desk(bounds=SHORT, buying_power=power)
        desk.gate.borrow(7, FOREVER)
        desk.gate.ssr(7, 90 * PX, 0)
        assert desk.send(SELL, px=100 * PX + CENT) == code
    desk.gate.confirm(desk.key, 3, 7, SELL, LIMIT, QTY, 100 * PX + CENT, 0, ref_px=100 * PX, at=NOW)
    assert desk.ledger.reservation(desk.key).cost == 103 * USD
    covering = Desk(bounds=SHORT, buying_power=0)
    covering.hold(-2 * QTY)
    assert covering.send(BUY, 2 * QTY) == 0  # covering needs none


# ---------------------------------------------------------------------------------------------------- R15, R16
def test_a_list_that_is_too_old_lets_only_exits_pass():
    desk = Desk()
    desk.hold(5 * QTY)
    desk.gate.lists(NOW)
    assert desk.send(now=NOW - 1) == 0
    assert desk.send(px=99 * PX) == Code.RESTRICTED
    assert desk.send(SELL, px=101 * PX) == 0
    desk.gate.lists(FOREVER)
    assert desk.send(px=98 * PX) == 0


def test_a_stop_of_the_whole_market_is_not_for_crypto():
    desk = Desk(instruments=(7, 8))
    desk.hold(5 * QTY)
    desk.gate.set_bounds(7, WIDE | SHORT)
    desk.gate.halt_market(True)
    assert desk.send() == Code.HALTED
    assert desk.gate.failures[0].observed == 2
    assert desk.send(SELL, px=101 * PX) == Code.HALTED
    assert desk.send(instrument=8) == 0
    desk.gate.halt_market(False)
    assert desk.send(px=99 * PX) == 0


def test_limit_state_lets_only_exits_pass():
    for bid, ask, sign in ((101 * PX, 101 * PX + 2 * CENT, BUY), (98 * PX, 99 * PX, SELL)):
        desk = Desk()
        desk.hold(5 * QTY)
        desk.gate.bands(7, 99 * PX, 101 * PX)
        desk.quote(bid, ask)
        assert desk.send(px=99 * PX + CENT) & Code.LULD, sign
        assert desk.send(SELL, px=101 * PX - CENT) & Code.LULD == 0
        desk.gate.session(7, NOW + 1, NOW + 2, pre_open=NOW - 1, post_close=NOW + 3)
        assert desk.send(px=99 * PX + 2 * CENT, extended=True) & Code.LULD == 0  # there are no bands then


# ---------------------------------------------------------------------------------------------------- R19, R20, R21
@pytest.mark.parametrize("scope", ["system", "account", "strategy:3", "instrument:7"])
def test_the_cancels_of_a_kill_count_in_no_ratio(scope):
    def make(kill):
        desk = Desk({"cancel_ratio": 1, "cancel_window": SECOND})
        keys = [desk.firm(px=(90 + i) * PX) for i in range(3)]
        if kill:
            desk.gate.latch(scope, Level.HALTED)
        for key in keys:
            desk.gate.release(key, canceled_at=NOW)
        desk.gate.latch(scope, Level.ACTIVE)
        return desk.send()

    assert make(False) == Code.CANCEL_RATIO
    assert make(True) == 0


@pytest.mark.row("S047", "S055")
def test_the_loss_if_everything_filled():
    # Ten at 100.02 marked at the bid of 100 less 5 %: 50.20 dollars; as many rest already at 99: 40.
    def make(d, every, resting=True):
        desk = Desk({"filled_loss": (50 + 40 * resting) * USD + 20 * USD // 100 + 1 - d})
        if resting:
            assert desk.send(BUY, 10 * QTY, 99 * PX) == 0
        return desk.send(BUY, 10 * QTY, 100 * PX + 2 * CENT, every=every)

    def exactly(d, every):
        return make(d, every, resting=False)

    for one in (exactly, make):
        assert one(-1, True) == one(0, True) == 0
        assert one(1, True) == one(1, False) == Code.DAILY_LOSS
    desk = Desk({"filled_loss": 60 * USD})
    desk.hold(10 * QTY, 101 * PX)
    desk.gate.mark()  # ten dollars down
    assert desk.send(BUY, 10 * QTY, 100 * PX + 2 * CENT) == Code.DAILY_LOSS
    assert desk.send(SELL, 10 * QTY, 96 * PX) == 0  # an exit is not asked
    assert desk.send(BUY, 9 * QTY, 90 * PX) == 0  # it is bought below where it would be marked


def test_the_loss_if_filled_of_other_instruments_stops_and_shorts():
    desk = Desk({"filled_loss": 100 * USD}, bounds=SHORT, instruments=(7, 8))
    for i in (7, 8):
        desk.gate.borrow(i, FOREVER)
        desk.gate.ssr(i, 90 * PX, 0)
    assert desk.send(SELL, 10 * QTY, 101 * PX, instrument=8) == 0  # marked at 105.021: 40.21
    assert desk.send(SELL, 10 * QTY, 100 * PX + CENT) == 0  # 50.11
    assert desk.send(BUY, 10 * QTY, 96 * PX, instrument=7) == Code.DAILY_LOSS  # 10 more, at 95
    assert desk.send(BUY, 9 * QTY, 96 * PX, instrument=7) == 0  # 99.32


def test_days_drawdown():
    def make(d, every):
        desk = Desk({"days_drawdown": 30 * USD + 1 - d})
        desk.gate.begin_day(0)
        desk.gate.days(20 * USD)
        desk.hold(10 * QTY, 101 * PX)
        desk.gate.mark()
        return desk.send(every=every)

    edge(make, Code.DRAWDOWN)
    desk = Desk()
    desk.gate.days(5 * USD)
    desk.gate.begin_day(7 * USD)
    assert desk.gate.days_drawdown == 7 * USD  # a day that begins higher is a peak


# ---------------------------------------------------------------------------------------------------- marks
@pytest.mark.parametrize(
    ("held", "quote", "last", "bands", "worth"),
    [
        (10, (100, 101), 99, (0, 0), 99),  # the worse of the touch and the last
        (10, (100, 101), 102, (0, 0), 100),
        (10, (100, 101), 102, (97, 110), 97),  # and of the band
        (10, (100, 101), 96, (97, 110), 96),
        (-10, (100, 101), 99, (0, 0), 101),
        (-10, (100, 101), 103, (0, 0), 103),
        (-10, (100, 101), 99, (90, 104), 104),
    ],
)
def test_a_stale_mark_takes_the_worst(held, quote, last, bands, worth):
    desk = Desk()
    desk.hold(held * QTY)
    bid, ask = (q * PX for q in quote)
    desk.gate.bands(7, *(b * PX for b in bands))
    desk.quote(bid, ask, last=last * PX, last_at=NOW)
    late = NOW + 20 * SECOND
    assert desk.gate.mark(late) == held * ((bid if held > 0 else ask) // PX - 100) * USD  # the trade is not too old yet
    assert desk.gate.mark(late + 1) == held * (worth - 100) * USD
    assert desk.gate.mark() == held * ((bid if held > 0 else ask) // PX - 100) * USD


def test_a_stale_mark_knows_no_band_outside_the_session():
    desk = Desk()
    desk.hold(10 * QTY)
    desk.gate.bands(7, 90 * PX, 110 * PX)
    desk.gate.session(7, NOW - 100, NOW - 50)
    assert desk.gate.mark(NOW + 60 * SECOND) == 0
    desk.quote(NO_PRICE, NO_PRICE)
    assert (desk.gate.mark(NOW + 60 * SECOND), desk.gate.unmarked) == (0, 0)  # at its last mark
