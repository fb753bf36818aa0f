"""The gate: every control at limit-1, limit and limit+1; atomicity; worst case against every subset of fills; ends of 64 bits."""

from ast import literal_eval
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pyrt._core.book import OrderBook
from pyrt._core.ledger import Ledger
from pyrt._core.risk import BOUNDS, OFF, OFF_MONEY, RULES, Code, Gate, Level
from pyrt._core.types import NO_PRICE, Flag, ref_dtype

BUY, SELL = 1, 2
MARKET, LIMIT, STOP, STOP_LIMIT = 1, 2, 3, 4
PX = QTY = 10**9
USD = 10**18
SECOND = 10**9
NOW = 1_800_000_000 * SECOND
MONO = 5_000 * SECOND
FAR = 10**15
BIG = 10**40 // 10**6

FREE = (
    dict.fromkeys(RULES, FAR)
    | {
        "repeat_max": 127,
        "round_trips": 127,
        "rate_max": 127,
        "cancel_ratio": 127,
        "max_spread_bps": 200,
        "slippage_absolute": 0,
        "max_age": 10 * SECOND,
        "max_trade_age": 20 * SECOND,
        "haircut_bps": 1000,
        "gap_bps": 500,
        "duplicate_window": 0,
        "account_interval": 1,
        "strategy_interval": 1,
        "symbol_interval": 1,
    }
    | dict.fromkeys(("open_value", "gross", "net", "daily_loss", "drawdown"), BIG)
    | {"drift_bps": OFF, "filled_loss": OFF_MONEY, "days_drawdown": OFF_MONEY}
)
WIDE = {
    "notional": BIG,
    "position_notional": BIG,
    "qty": 10**17,
    "position_qty": 10**18,
    "strategy_qty": 10**18,
    "collar_bps": 500,
    "passive_bps": 2000,
    "adv_qty": OFF,
}


class Desk:
    """A gate with one instrument (7) quoted 100.00 x 100.02, everything allowed but what a test narrows."""

    def __init__(self, rules=None, bounds=None, instruments=(7,), buying_power=BIG):
        self.ledger = Ledger()
        self.refs = np.zeros(64, ref_dtype)
        self.gate = Gate(self.ledger, self.refs)
        self.gate.set_rules(FREE | (rules or {}))
        for i in instruments:
            self.ledger.define(i, lot=1)
            self.gate.set_bounds(i, WIDE | (bounds or {}))
            self.gate.session(i, 0, 0)
            self.quote(100 * PX, 100 * PX + 20_000_000, instrument=i)
        self.gate.open(2)
        self.gate.account(buying_power, NOW)
        self.source = 0

    def quote(self, bid, ask, *, at=NOW, last=0, last_at=0, flags=0, instrument=7):
        self.refs[instrument] = (bid, ask, QTY, QTY, at, last, last_at, flags, 0)

    def hold(self, qty, px=100 * PX, strategy=3, instrument=7):
        self.ledger.fill(999, strategy, instrument, BUY if qty > 0 else SELL, px, abs(qty))

    def send(
        self, side=BUY, qty=QTY, px=100 * PX, type=LIMIT, *, strategy=3, instrument=7, now=NOW, mono=MONO, key=0, stop=0, **more
    ):
        self.source += 1
        self.key = key or strategy << 48 | self.source
        px = 0 if type in (MARKET, STOP) else px
        return Code(self.gate.check(self.key, strategy, instrument, side, type, qty, px, stop, now=now, mono=mono, **more))

    def firm(self, side=BUY, qty=QTY, px=100 * PX, type=LIMIT, *, strategy=3, instrument=7, at=NOW, **more):
        """Send and journal."""
        assert self.send(side, qty, px, type, strategy=strategy, instrument=instrument, now=at, **more) == 0
        self.gate.confirm(self.key, strategy, instrument, side, type, qty, px, 0, ref_px=100 * PX, at=at)
        return self.key


def edge(make, code):
    """make(d) sends one order d beyond the limit: -1 and 0 pass, +1 fails with exactly that code, in both modes."""
    assert make(-1, True) == 0
    assert make(0, True) == 0
    assert make(1, True) == code
    assert make(1, False) == code


@pytest.mark.row("S047")
def test_order_qty():
    edge(lambda d, every: Desk(bounds={"qty": 50}).send(qty=50 + d, every=every), Code.ORDER_QTY)


@pytest.mark.parametrize("qty", [0, -1, 15])
def test_order_qty_is_above_zero_and_on_the_lot(qty):
    desk = Desk()
    desk.ledger.define(7, lot=10)
    assert desk.send(qty=qty) == Code.ORDER_QTY


@pytest.mark.row("S047", "S054")
def test_order_notional():
    # The buyer's price is the ask here: 10 shares at 100.02.
    limit = 10 * QTY * (100 * PX + 20_000_000)
    edge(lambda d, every: Desk(bounds={"notional": limit - d}).send(qty=10 * QTY, every=every), Code.ORDER_NOTIONAL)


@pytest.mark.row("S049")
def test_a_market_order_is_valued_at_the_collar():
    value = (100 * PX + 10_000_000) * 10500 // 10000 * QTY
    edge(lambda d, every: Desk(bounds={"notional": value - d}).send(type=MARKET, every=every), Code.ORDER_NOTIONAL)


@pytest.mark.parametrize(
    ("side", "good", "bad"),
    [
        (BUY, 105_010_000_000, 105_020_000_000),  # marketable: 5 % over the mid of 100.01
        (BUY, 80_010_000_000, 80_000_000_000),  # passive: 20 % under
        (SELL, 95_010_000_000, 95_000_000_000),
        (SELL, 120_010_000_000, 120_020_000_000),
    ],
)
def test_price_collar(side, good, bad):
    for every in (True, False):
        desk = Desk()
        desk.hold(10 * QTY)
        assert desk.send(side, px=good, every=every) == 0
        assert desk.send(side, px=bad, every=every) == Code.PRICE_COLLAR
    assert desk.gate.failures[0].observed == bad


def test_off_tick_prices_are_refused():
    desk = Desk()
    assert desk.send(px=100 * PX + 1) == Code.PRICE_COLLAR
    assert desk.send(px=0) == Code.PRICE_COLLAR


@pytest.mark.parametrize(
    ("side", "type", "stop", "px", "allowed"),
    [
        (BUY, STOP, 101 * PX, 0, True),
        (BUY, STOP, 100 * PX + 20_000_000, 0, False),  # at the ask: it would fire at once
        (BUY, STOP, 121 * PX, 0, False),
        (SELL, STOP, 99 * PX, 0, True),
        (SELL, STOP, 100 * PX, 0, False),
        (SELL, STOP, 79 * PX, 0, False),
        (BUY, STOP_LIMIT, 101 * PX, 106 * PX, True),
        (BUY, STOP_LIMIT, 101 * PX, 107 * PX, False),
        (SELL, STOP_LIMIT, 99 * PX, 95 * PX, True),
        (SELL, STOP_LIMIT, 99 * PX, 94 * PX, False),
    ],
)
def test_triggers_have_collars_too(side, type, stop, px, allowed):
    desk = Desk()
    desk.hold(10 * QTY)
    assert desk.send(side, px=px, type=type, stop=stop) == (0 if allowed else Code.PRICE_COLLAR)


@pytest.mark.row("S063", "S068")
def test_slippage_is_signed():
    def make(d, every):
        desk = Desk({"max_slippage_bps": 50 - d})
        desk.quote(99_500_000_000, 100_500_000_000)  # both touches are 50 bps from the mid
        return desk.send(type=MARKET, every=every)

    edge(make, Code.SLIPPAGE)
    desk = Desk({"max_slippage_bps": 49})
    desk.quote(99_500_000_000, 100_500_000_000)
    assert desk.send(px=99 * PX) == 0  # it rests: a favourable price is none
    assert desk.send(px=90 * PX) == 0


@pytest.mark.row("S063", "S068")
@pytest.mark.parametrize(("side", "sign"), [(BUY, 1), (BUY, -1), (SELL, 1), (SELL, -1)])
def test_the_absolute_rule_holds_a_limit_on_both_sides(side, sign):
    def make(d, every, absolute=1):
        desk = Desk({"max_slippage_bps": 50, "slippage_absolute": absolute})
        desk.hold(10 * QTY)
        desk.quote(99_990_000_000, 100_010_000_000)
        return desk.send(side, px=100 * PX + sign * (500_000_000 + d * 10_000_000), every=every)

    edge(make, Code.SLIPPAGE)
    worse = (side == BUY) == (sign > 0)
    assert make(1, True, absolute=0) == 0  # the whole order is met at the touch, or rests
    assert worse or make(100, True, absolute=0) == 0


def deep(rules, *, top_only=False):
    """100.00 x 100.02 with asks 2 @ 100.02, 3 @ 100.50, 5 @ 101.00 and the mirror below."""
    desk = Desk(rules)
    book = OrderBook(10_000_000, top_only=top_only)
    for px, qty in ((100_020, 2), (100_500, 3), (101_000, 5)):
        book.update(SELL, px * 10**6, qty * QTY)
        book.update(BUY, (200_020 - px) * 10**6, qty * QTY)
    desk.refs[7]["bid_qty"] = desk.refs[7]["ask_qty"] = 2 * QTY
    desk.gate.watch(7, book)
    return desk


@pytest.mark.row("S063")
@pytest.mark.parametrize("side", [BUY, SELL])
def test_a_market_order_walks_the_visible_book(side):
    mid = 100_010_000_000
    average = (2 * 100_020 + 3 * 100_500) * 10**6 // 5  # 100.308: 29.8 bps
    assert 29 < (average - mid) * 10_000 / mid < 30
    for limit, qty, code in ((29, 5, Code.SLIPPAGE), (30, 5, 0), (1, 2, 0), (0, 2, Code.SLIPPAGE), (30, 6, Code.SLIPPAGE)):
        for every in (True, False):
            desk = deep({"max_slippage_bps": limit})
            desk.hold(100 * QTY)
            assert desk.send(side, qty * QTY, type=MARKET, every=every) == code, (limit, qty)
    assert desk.gate.failures[0][1:] == (30, 42, "bps")


@pytest.mark.row("S063")
def test_what_lies_beyond_the_book_pays_the_collar_and_an_exit_the_last_level():
    # Ten are visible at 100.654 on average; each further one counts at 105.0105.
    at = lambda desk, qty, **more: desk.send(BUY, qty * QTY, type=MARKET, **more)  # noqa: E731
    assert at(deep({"max_slippage_bps": 65}), 10) == 0
    assert at(deep({"max_slippage_bps": 103}), 11) == Code.SLIPPAGE
    assert at(deep({"max_slippage_bps": 104}), 11) == 0
    exit_ = deep({"max_slippage_bps": 68})
    exit_.hold(-11 * QTY)
    assert at(exit_, 11) == 0
    flat = Desk({"max_slippage_bps": 250})  # without a book the touch of 1 is all there is
    assert at(flat, 2) == Code.SLIPPAGE
    assert at(Desk({"max_slippage_bps": 251}), 2) == 0
    empty = Desk({"max_slippage_bps": 499})
    empty.quote(NO_PRICE, NO_PRICE, last=100 * PX, last_at=NOW)
    assert at(empty, 1) == Code.SLIPPAGE
    empty.refs[7]["quote_ts"] = 0  # a feed of trades alone shows no book
    assert at(empty, 1) == 0


def test_a_marketable_limit_never_pays_more_than_its_limit():
    desk = deep({"max_slippage_bps": 30})
    assert desk.send(qty=6 * QTY, px=100_500_000_000) == Code.SLIPPAGE  # 4 rest at 100.50: 33 bps
    assert desk.send(qty=6 * QTY, px=100_300_000_000) == 0
    assert desk.send(qty=2 * QTY, px=101 * PX) == 0


@pytest.mark.row("S047", "S049", "S053")
def test_position_limit_counts_open_orders_and_never_nets():
    def make(d, every):
        desk = Desk(bounds={"position_qty": 100})
        desk.hold(40)
        desk.firm(SELL, 10, 101 * PX)  # may fill or not: it makes no room
        desk.firm(BUY, 30, 99 * PX)
        return desk.send(qty=30 + d, every=every)

    edge(make, Code.POSITION_LIMIT)


@pytest.mark.row("S053", "S057")
def test_position_notional():
    value = 70 * QTY * (100 * PX + 20_000_000)

    def make(d, every):
        desk = Desk(bounds={"position_notional": value - d})
        desk.hold(40 * QTY)
        return desk.send(qty=30 * QTY, every=every)

    edge(make, Code.POSITION_LIMIT)
    assert make(1, True)


def test_strategy_position_limit():
    def make(d, every):
        desk = Desk(bounds={"strategy_qty": 100})
        desk.hold(1000, strategy=4)
        desk.hold(60)
        return desk.send(qty=40 + d, every=every)

    edge(make, Code.POSITION_LIMIT)


def test_both_ends_of_the_reachable_interval_count():
    desk = Desk(bounds={"position_qty": 80, "strategy_qty": 80})
    desk.hold(-90)
    assert desk.send(BUY, 91) == Code.POSITION_LIMIT  # it may end at +1, and until it fills it is at -90
    assert desk.send(BUY, 90) == 0


def test_a_lowered_limit_lets_only_reducing_orders_through():
    desk = Desk()
    desk.hold(100)
    desk.gate.set_bounds(7, WIDE | {"position_qty": 50, "strategy_qty": 50})
    assert desk.send(BUY, 1) == Code.POSITION_LIMIT
    assert desk.send(SELL, 70, 101 * PX) == 0
    assert desk.send(SELL, 31, 101 * PX) == Code.SHORT_NOT_ALLOWED | Code.POSITION_LIMIT  # 70 are in flight
    assert desk.send(SELL, 30, 101 * PX) == 0


def test_short_counts_the_sells_in_flight():
    def make(d, every):
        desk = Desk()
        desk.hold(100)
        desk.firm(SELL, 60, 101 * PX)
        return desk.send(SELL, 40 + d, 101 * PX, every=every)

    edge(make, Code.SHORT_NOT_ALLOWED)


def test_reduce_only():
    desk = Desk()
    desk.hold(100, strategy=4)
    desk.hold(10)
    assert desk.send(SELL, 10, 101 * PX, reduce_only=True) == 0
    assert desk.send(SELL, 1, 101 * PX, reduce_only=True) == Code.REDUCE_ONLY
    assert desk.gate.failures[0][1:3] == (0, 1)  # what is left to reduce, and what was asked
    assert desk.send(BUY, 1, reduce_only=True) == Code.REDUCE_ONLY
    assert desk.gate.failures[0][1:3] == (0, 1)
    flat, long = Desk(), Desk()
    assert flat.send(SELL, 3, 101 * PX, reduce_only=True) & Code.REDUCE_ONLY
    assert {f.code: f[1:3] for f in flat.gate.failures}[Code.REDUCE_ONLY] == (0, 3)
    long.hold(10)
    long.firm(SELL, 4, 101 * PX)
    assert long.send(SELL, 7, 101 * PX, reduce_only=True) & Code.REDUCE_ONLY
    assert {f.code: f[1:3] for f in long.gate.failures}[Code.REDUCE_ONLY] == (6, 7)


def test_unknown_volume_holds_up_entries_and_no_exit():
    desk = Desk()
    desk.hold(10)
    desk.gate.set_bounds(7, WIDE | {"adv_qty": 0})
    assert desk.send(BUY, 1) == Code.ORDER_QTY
    assert desk.send(SELL, 10, 101 * PX) == 0
    desk.gate.set_bounds(7, WIDE | {"adv_qty": 5})
    assert desk.send(BUY, 6) == Code.ORDER_QTY


@pytest.mark.parametrize(("rule", "code"), [("gross", Code.GROSS_EXPOSURE), ("net", Code.NET_EXPOSURE)])
def test_exposure_sums_over_instruments(rule, code):
    ask = 100 * PX + 20_000_000

    def make(d, every):
        desk = Desk({rule: 30 * QTY * ask - d}, instruments=(7, 8))
        desk.hold(10 * QTY, instrument=8)
        desk.gate.mark()
        desk.firm(BUY, 5 * QTY, ask)
        return desk.send(qty=15 * QTY, px=ask, every=every)

    edge(make, code)


def test_open_order_value_and_count():
    ask = 100 * PX + 20_000_000

    def value(d, every):
        desk = Desk({"open_value": 12 * ask * QTY - d})
        desk.send(qty=5 * QTY)
        return desk.send(qty=7 * QTY, every=every)

    def count(d, every):
        desk = Desk({"open_count": 3})
        for _ in range(2 + d):
            desk.send()
        return desk.send(every=every)

    edge(value, Code.OPEN_ORDER_VALUE)
    edge(count, Code.OPEN_ORDER_COUNT)


@pytest.mark.row("S047", "S056")
def test_buying_power_is_the_venues_less_what_it_does_not_know_yet():
    cost = QTY * (100 * PX + 20_000_000)
    edge(lambda d, every: Desk(buying_power=cost - d).send(every=every), Code.BUYING_POWER)

    desk = Desk(buying_power=3 * cost)
    first = desk.firm()
    second = desk.firm()
    assert desk.send(qty=2 * QTY) == Code.BUYING_POWER
    desk.gate.seen(first, NOW + 1)
    desk.gate.account(2 * cost, NOW + 1)  # the venue took the first one off already: not twice
    assert desk.send() == 0
    desk.gate.expire(desk.key)
    assert desk.send(qty=2 * QTY) == Code.BUYING_POWER
    desk.gate.fill(second, 3, 7, BUY, 100 * PX, QTY, 0, NOW + 2)
    desk.gate.release(second)
    assert desk.send(qty=2 * QTY) == Code.BUYING_POWER  # spent, though the venue's figure is older
    desk.gate.account(2 * cost, NOW + 3)
    assert desk.send(qty=2 * QTY) == 0


def test_buying_power_keeps_what_the_venue_did_not_know_when_it_told():
    cost = QTY * (100 * PX + 20_000_000)
    desk = Desk(buying_power=3 * cost)
    first, second = desk.firm(), desk.firm()
    desk.gate.seen(first, NOW + 5)
    desk.gate.fill(second, 3, 7, BUY, 100 * PX, QTY, 0, NOW + 5)
    desk.gate.release(second)
    desk.gate.account(3 * cost, NOW + 4)  # older than both
    assert desk.send(qty=2 * QTY) == Code.BUYING_POWER
    desk.gate.account(3 * cost, NOW + 5)
    assert desk.send(qty=2 * QTY) == 0


def test_a_replace_of_what_the_venue_counts_needs_the_difference():
    cost = QTY * (100 * PX + 20_000_000)
    desk = Desk(buying_power=10 * cost)
    key = desk.firm(qty=2 * QTY)
    desk.gate.seen(key, NOW)
    desk.gate.account(2 * cost, NOW)
    assert desk.send(qty=5 * QTY, replaces=key) == Code.BUYING_POWER
    assert desk.send(qty=3 * QTY, replaces=key) == 0
    desk.gate.confirm(desk.key, 3, 7, BUY, LIMIT, 3 * QTY, 100 * PX, 0, ref_px=100 * PX, at=NOW, replaces=key)
    assert desk.send(qty=QTY) == 0
    desk.gate.expire(desk.key)
    desk.gate.settle(key, True)
    assert desk.send(qty=QTY) == 0
    desk.gate.expire(desk.key)
    assert desk.send(qty=2 * QTY) == Code.BUYING_POWER


def test_no_account_no_orders_but_exits():
    desk = Desk(buying_power=0)
    desk.hold(QTY)
    assert desk.send() == Code.BUYING_POWER
    assert desk.send(SELL, px=101 * PX) == 0


@pytest.mark.parametrize("what", ["sends", "execs", "trips"])
def test_repeated_execution(what):
    def make(d, every):
        desk = Desk({"repeat_max": 100 if what == "trips" else 5, "round_trips": 5, "repeat_window": 60 * SECOND})
        for i in range(4 + d):
            at = NOW + i
            if what == "sends":
                desk.firm(qty=10 + i, at=at)
            elif what == "execs":
                desk.gate.fill(1000 + i, 3, 7, BUY, 100 * PX, 1, 0, at)
            else:
                desk.gate.fill(1000 + i, 3, 7, BUY, 100 * PX, 1, 0, at)
                desk.gate.fill(2000 + i, 3, 7, SELL, 100 * PX, 1, 0, at)
        assert desk.send(now=NOW + 60 * SECOND + 10, qty=77, mono=MONO + 1) & Code.REPEAT_EXEC == 0  # the window has passed
        desk.gate.expire(desk.key)
        return desk.send(every=every, now=NOW + 10, qty=78)

    edge(make, Code.REPEAT_EXEC)


def test_a_clock_that_steps_back_frees_no_window():
    desk = Desk({"repeat_max": 1, "repeat_window": 60 * SECOND})
    for source, at in ((1, NOW), (2, NOW - 3600 * SECOND)):
        desk.gate.confirm(3 << 48 | source, 3, 7, BUY, LIMIT, QTY, 100 * PX, 0, ref_px=100 * PX, at=at)
    desk.source = 2
    assert desk.send(now=NOW + 1, qty=5) == Code.REPEAT_EXEC
    assert desk.send(now=NOW + 60 * SECOND, qty=5) & Code.REPEAT_EXEC == 0


def test_partial_fills_of_one_order_are_one_execution():
    desk = Desk({"repeat_max": 3, "repeat_window": 60 * SECOND})
    key = desk.firm(qty=50)
    for _ in range(20):
        desk.gate.fill(key, 3, 7, BUY, 100 * PX, 1, 0, NOW)
    assert desk.send() == 0


def test_duplicate():
    window = 500
    for dt, code in ((window - 1, Code.DUPLICATE), (window, Code(0)), (window + 1, Code(0))):
        desk = Desk({"duplicate_window": window})
        desk.firm()
        assert desk.send(now=NOW + dt) == code
    desk = Desk({"duplicate_window": window})
    assert desk.send() == 0
    assert desk.send() == Code.DUPLICATE  # the first is only approved so far
    assert desk.send(px=99 * PX) == 0  # a ladder
    assert desk.send(strategy=4) == 0  # another strategy
    assert desk.send(key=3 << 48 | 1, qty=5) == Code.DUPLICATE  # the same identity, whatever it says


@pytest.mark.parametrize(
    ("resting", "side", "type", "px", "code"),
    [
        ((SELL, LIMIT, 102 * PX, 0), BUY, LIMIT, 102 * PX - 10_000_000, Code(0)),
        ((SELL, LIMIT, 102 * PX, 0), BUY, LIMIT, 102 * PX, Code.SELF_MATCH),
        ((SELL, LIMIT, 102 * PX, 0), BUY, MARKET, 0, Code.SELF_MATCH),
        ((SELL, STOP, 0, 99 * PX), BUY, LIMIT, 98 * PX, Code.SELF_MATCH),
        ((SELL, STOP_LIMIT, 98 * PX, 99 * PX), BUY, LIMIT, 98 * PX - 10_000_000, Code(0)),
        ((BUY, LIMIT, 99 * PX, 0), SELL, LIMIT, 99 * PX + 10_000_000, Code(0)),
        ((BUY, LIMIT, 99 * PX, 0), SELL, LIMIT, 99 * PX, Code.SELF_MATCH),
        ((BUY, LIMIT, 99 * PX, 0), SELL, MARKET, 0, Code.SELF_MATCH),
    ],
)
def test_self_match_across_strategies(resting, side, type, px, code):
    desk = Desk()
    desk.hold(100 * QTY)
    other, kind, limit, stop = resting
    assert desk.send(other, px=limit, type=kind, stop=stop, strategy=4) == 0
    assert desk.send(side, px=px, type=type) == code


@pytest.mark.parametrize("age", [-1, 0, 1])
def test_stale_quote_and_stale_trade(age):
    desk = Desk()
    desk.quote(100 * PX, 100 * PX + 20_000_000, at=NOW - 10 * SECOND - age)
    assert desk.send() == (Code.STALE_DATA if age > 0 else 0)
    desk.quote(NO_PRICE, NO_PRICE, last=100 * PX, last_at=NOW - 20 * SECOND - age)
    assert desk.send() == (Code.STALE_DATA if age > 0 else 0)


@pytest.mark.parametrize("age", [-1, 0, 1])
def test_what_is_dated_ahead_is_no_reference_either(age):
    """By a stamp of next hour a quote would be young for an hour, whatever the market does meanwhile."""
    desk = Desk()
    desk.quote(100 * PX, 100 * PX + 20_000_000, at=NOW + 10 * SECOND + age)
    assert desk.send() == (Code.STALE_DATA if age > 0 else 0)
    desk.quote(NO_PRICE, NO_PRICE, last=100 * PX, last_at=NOW + 20 * SECOND + age)
    assert desk.send() == (Code.STALE_DATA if age > 0 else 0)


@pytest.mark.parametrize(
    ("bid", "ask", "flags", "code"),
    [
        (100 * PX, 102 * PX, 0, 0),  # 198 bps
        (100 * PX, 103 * PX, 0, Code.STALE_DATA),  # too wide
        (100 * PX, 100 * PX, 0, Code.STALE_DATA),  # locked
        (101 * PX, 100 * PX, 0, Code.STALE_DATA),
        (NO_PRICE, 100 * PX, 0, Code.STALE_DATA),
        (100 * PX, NO_PRICE, 0, Code.STALE_DATA),
        (100 * PX, 101 * PX, Flag.CROSSED, Code.STALE_DATA),
        (100 * PX, 101 * PX, Flag.GAP, Code.STALE_DATA),
        (100 * PX, 101 * PX, Flag.HALTED, Code.HALTED),
    ],
)
def test_what_is_no_reference(bid, ask, flags, code):
    desk = Desk()
    desk.quote(bid, ask, flags=flags)
    assert desk.send() == code


def test_a_reducing_order_may_use_the_last_good_price():
    desk = Desk()
    desk.hold(10 * QTY)
    desk.quote(NO_PRICE, NO_PRICE, last=100 * PX, last_at=1)
    assert desk.send(SELL, type=MARKET) == 0
    desk.gate.expire(desk.key)
    assert desk.send(BUY) == Code.STALE_DATA
    desk.quote(NO_PRICE, NO_PRICE)
    assert desk.send(SELL, type=MARKET) == Code.STALE_DATA  # nothing to value it with


@pytest.mark.parametrize("who", ["account", "strategy", "symbol"])
def test_throttle_keeps_the_last_fifth_for_cancels(who):
    def make(d, every):
        desk = Desk({f"{who}_burst": 10, f"{who}_interval": SECOND})
        start = 5 if who == "account" else 0  # a start assumes that half of the venue's budget is spent
        for i in range(7 - start + d):
            desk.firm(qty=100 + i)
        return desk.send(every=every)

    edge(make, Code.THROTTLE)


def test_throttle_counts_approvals_in_flight_and_a_clock_that_steps_back_refills_nothing():
    desk = Desk({"strategy_burst": 5, "strategy_interval": SECOND})
    for _ in range(3):
        desk.firm()
    assert desk.send() == 0
    assert desk.send() == Code.THROTTLE  # the fourth is only approved
    assert desk.send(now=NOW - 3600 * SECOND) & Code.THROTTLE
    desk.gate.confirm(3 << 48 | 4, 3, 7, BUY, LIMIT, QTY, 100 * PX, 0, ref_px=100 * PX, at=NOW - 3600 * SECOND)
    assert desk.send(now=NOW) == Code.THROTTLE
    assert desk.send(now=NOW + SECOND) == 0


def test_cancels_take_from_the_accounts_bucket_and_are_never_asked():
    desk = Desk({"account_burst": 10, "account_interval": SECOND})
    assert desk.send(mono=MONO) == 0
    for _ in range(50):
        desk.gate.cancel_sent(MONO)
    assert desk.send(mono=MONO + 30 * SECOND) == Code.THROTTLE
    assert desk.send(mono=MONO + 60 * SECOND) == 0


def test_order_rate_of_a_symbol():
    def make(d, every):
        desk = Desk({"rate_max": 6, "rate_window": SECOND})
        for i in range(5 + d):
            desk.firm(at=NOW + i, strategy=3 + i)
        return desk.send(now=NOW + 10, every=every)

    edge(make, Code.ORDER_RATE)


def test_cancels_per_fill():
    def make(d, every, fills=0):
        desk = Desk({"cancel_ratio": 3, "cancel_window": SECOND})
        for i in range(fills):
            desk.gate.fill(5000 + i, 3, 7, BUY, 100 * PX, 1, 0, NOW)
        for i in range(3 * max(fills, 1) + d):
            desk.gate.release(desk.firm(at=NOW + i), canceled_at=NOW + i)
        return desk.send(now=NOW + 50, every=every)

    edge(make, Code.CANCEL_RATIO)
    edge(lambda d, every: make(d, every, fills=4), Code.CANCEL_RATIO)


@pytest.mark.row("S049", "S055")
@pytest.mark.parametrize(("rule", "code"), [("daily_loss", Code.DAILY_LOSS), ("drawdown", Code.DRAWDOWN)])
def test_loss_at_bid_with_fees(rule, code):
    # 10 shares bought at 101, marked at the bid of 100, one dollar of fees: 11 dollars down. At the limit is over it.
    def make(d, every):
        desk = Desk({rule: 11 * USD + 1 - d})
        desk.ledger.fill(1, 3, 7, BUY, 101 * PX, 10 * QTY, USD)
        assert desk.gate.mark() == -11 * USD
        answer = desk.send(every=every)
        assert desk.send(SELL, 10 * QTY, 101 * PX) == 0 if answer else True  # exits pass
        return answer

    edge(make, code)


def test_loss_counts_from_the_days_baseline():
    desk = Desk({"daily_loss": 10 * USD, "drawdown": 10 * USD})
    desk.ledger.fill(1, 3, 7, BUY, 101 * PX, 10 * QTY, USD)
    desk.gate.begin_day(-11 * USD)
    desk.gate.mark()
    assert desk.send() == 0
    desk.quote(99 * PX, 99 * PX + 20_000_000)
    desk.gate.mark()
    assert desk.gate.day_pnl == -10 * USD
    assert desk.send(px=99 * PX) == Code.DAILY_LOSS | Code.DRAWDOWN


@pytest.mark.parametrize("scope", ["system", "account", "strategy:3", "instrument:7"])
def test_latches(scope):
    desk = Desk(instruments=(7, 8))
    desk.hold(100)
    desk.gate.latch(scope, Level.REDUCING)
    assert desk.gate.level(scope) == Level.REDUCING
    assert desk.send(BUY) == Code.KILLED
    assert desk.send(SELL, 10, 101 * PX) == 0
    for level in (Level.HALTED, Level.KILLED):
        desk.gate.latch(scope, level)
        assert desk.send(SELL, 10, 101 * PX) == Code.KILLED
    others = {"strategy:3": {"strategy": 4}, "instrument:7": {"instrument": 8}}.get(scope)
    if others:
        assert desk.send(**others) == 0
    desk.gate.latch(scope, Level.ACTIVE)
    assert desk.send(BUY) == 0


def test_covering_a_short_counts_the_buys_in_flight():
    desk = Desk(bounds={"position_qty": 100}, buying_power=0)
    desk.hold(-150)
    desk.gate.latch("account", Level.REDUCING)
    assert desk.send(BUY, 90) == 0  # reducing, so neither the limit nor buying power is asked
    assert desk.send(BUY, 61) == Code.KILLED | Code.POSITION_LIMIT | Code.BUYING_POWER
    assert desk.send(BUY, 60) == 0
    assert desk.send(SELL, 1, 102 * PX) & Code.SHORT_NOT_ALLOWED


@pytest.mark.parametrize(("scope", "level"), [("nowhere", 1), ("strategy", 1), ("account:3", 1), ("system", 4), ("system", -1)])
def test_a_latch_that_does_not_exist(scope, level):
    with pytest.raises(ValueError, match="no latch"):
        Desk().gate.latch(scope, level)


def test_start_gate():
    desk = Desk()
    desk.hold(100)
    desk.gate.open(0)
    assert desk.send(SELL, 10, 101 * PX) == Code.NOT_RECONCILED
    desk.gate.open(1)
    assert desk.send() == Code.NOT_RECONCILED
    assert desk.send(SELL, 10, 101 * PX) == 0


def test_an_unknown_order_blocks_its_symbol_for_entries():
    desk = Desk(instruments=(7, 8))
    desk.hold(100)
    key = desk.firm()
    desk.gate.unknown(key, True)
    desk.gate.unknown(key, True)
    assert desk.send() == Code.NOT_RECONCILED
    assert desk.send(SELL, 10, 101 * PX) == 0
    assert desk.send(instrument=8) == 0
    desk.gate.release(key)
    assert desk.send() == 0


def test_restricted_closed_market_and_bands():
    desk = Desk()
    desk.hold(100)
    desk.gate.session(7, NOW, NOW + 10)
    assert desk.send(now=NOW - 1) == Code.MARKET_CLOSED
    assert desk.send(now=NOW) == 0
    assert desk.send(now=NOW + 9) == 0
    assert desk.send(now=NOW + 10) == Code.MARKET_CLOSED
    desk.gate.session(7, 0, 0)
    desk.gate.bands(7, 99 * PX, 101 * PX)
    assert desk.send(px=101 * PX) == 0
    assert desk.send(px=101 * PX + 10_000_000) == Code.LULD
    assert desk.send(SELL, 10, 99 * PX - 10_000_000) & Code.LULD
    assert desk.send(px=101 * PX + 10_000_000, stop=101 * PX, type=STOP_LIMIT) == Code.LULD
    desk.gate.session(7, NOW, NOW + 10, pre_open=NOW - 5, post_close=NOW + 15)
    assert desk.send(px=101 * PX + 10_000_000, now=NOW + 10, extended=True) == 0  # bands hold in the regular session
    desk.gate.session(7, 0, 0)
    desk.gate.bands(7, 0, 0)
    for restricted, exits in ((1, 0), (2, Code.RESTRICTED)):
        desk.gate.set_bounds(7, WIDE | {"restricted": restricted})
        assert desk.send(now=NOW + 20) == Code.RESTRICTED
        assert desk.send(SELL, 10, 102 * PX) == exits


@pytest.mark.parametrize(
    ("at", "plain", "extended", "extended_market"),
    [
        (-6, Code.MARKET_CLOSED, Code.MARKET_CLOSED, Code.MARKET_CLOSED),
        (-5, Code.MARKET_CLOSED, 0, Code.MARKET_CLOSED),
        (-1, Code.MARKET_CLOSED, 0, Code.MARKET_CLOSED),
        (0, 0, 0, 0),
        (9, 0, 0, 0),
        (10, Code.MARKET_CLOSED, 0, Code.MARKET_CLOSED),
        (14, Code.MARKET_CLOSED, 0, Code.MARKET_CLOSED),
        (15, Code.MARKET_CLOSED, Code.MARKET_CLOSED, Code.MARKET_CLOSED),
    ],
)
def test_extended_hours_are_for_limit_orders_that_ask_for_them(at, plain, extended, extended_market):
    desk = Desk()
    desk.gate.session(7, NOW, NOW + 10, pre_open=NOW - 5, post_close=NOW + 15)
    assert desk.send(now=NOW + at) == plain
    assert desk.send(now=NOW + at, extended=True, px=99 * PX) == extended
    assert desk.send(now=NOW + at, extended=True, type=MARKET) == extended_market


def test_without_hours_the_market_is_closed():
    desk = Desk()
    desk.hold(100)
    desk.gate.no_session(7)
    assert desk.send() == Code.MARKET_CLOSED
    assert desk.send(extended=True) == Code.MARKET_CLOSED
    assert desk.send(SELL, 10, 101 * PX) == Code.MARKET_CLOSED


def test_the_own_order_that_stands_in_the_way_is_named():
    desk = Desk()
    desk.hold(100 * QTY)
    assert desk.send(SELL, type=STOP, stop=99 * PX, strategy=4) == 0
    key = desk.key
    desk.send(SELL, px=105 * PX, strategy=5)
    assert desk.send(BUY, px=100 * PX) == Code.SELF_MATCH
    assert desk.gate.crossed == key
    assert desk.gate.failures[0][1:] == (0, 100 * PX, "px")


def test_a_side_that_is_empty_now_is_valued_at_its_last_mark():
    desk = Desk()
    desk.quote(NO_PRICE, NO_PRICE)
    desk.hold(10 * QTY)
    desk.gate.mark()
    assert desk.gate.unmarked == 1
    desk.quote(101 * PX, 102 * PX)
    assert (desk.gate.mark(), desk.gate.unmarked) == (10 * USD, 0)
    desk.quote(NO_PRICE, NO_PRICE)
    assert (desk.gate.mark(), desk.gate.unmarked) == (10 * USD, 0)


def test_what_is_not_valued_makes_no_peak():
    desk = Desk(instruments=(7, 8))
    desk.quote(NO_PRICE, NO_PRICE)
    desk.hold(10 * QTY)
    desk.gate.begin_day(-50 * USD, -20 * USD)
    desk.gate.mark()
    assert (desk.gate.peak_pnl, desk.gate.day_pnl) == (-20 * USD, 50 * USD)
    desk.quote(99 * PX, 100 * PX)
    desk.gate.mark()
    assert (desk.gate.peak_pnl, desk.gate.drawdown) == (-10 * USD, 0)


@pytest.mark.parametrize("name", [*RULES, *BOUNDS])
def test_a_missing_limit_denies(name):
    desk = Desk()
    if name in RULES:
        desk.gate.set_rules(FREE | {name: None})
    else:
        desk.gate.set_bounds(7, WIDE | {name: None})
    assert desk.send() == Code.LIMIT_MISSING
    assert desk.send(instrument=9) == Code.LIMIT_MISSING  # no profile at all
    assert desk.send(instrument=1 << 30) == Code.LIMIT_MISSING


@pytest.mark.row("S052")
def test_two_orders_that_fit_alone_but_not_together():
    desk = Desk(bounds={"position_qty": 100})
    assert [desk.send(qty=60, strategy=3), desk.send(qty=60, strategy=4)] == [0, Code.POSITION_LIMIT]
    desk = Desk(buying_power=150 * USD)
    assert [desk.send(strategy=3), desk.send(strategy=4)] == [0, Code.BUYING_POWER]


@pytest.mark.row("S061")
def test_all_failing_codes_with_their_numbers():
    desk = Desk(bounds={"qty": 5, "notional": 1, "position_qty": 5}, buying_power=0)
    expect = Code.ORDER_QTY | Code.ORDER_NOTIONAL | Code.POSITION_LIMIT | Code.BUYING_POWER | Code.PRICE_COLLAR
    assert desk.send(qty=10, px=110 * PX) == expect
    told = {f.code: f for f in desk.gate.failures}
    assert set(told) == set(expect)
    assert told[Code.ORDER_QTY] == (Code.ORDER_QTY, 5, 10, "qty")
    assert told[Code.ORDER_NOTIONAL] == (Code.ORDER_NOTIONAL, 1, 1100 * PX, "money")
    assert desk.send(qty=10, px=110 * PX, every=False) == Code.ORDER_QTY
    assert desk.ledger.open_orders == 0


def test_replace_counts_the_larger_until_it_settles():
    desk = Desk(bounds={"position_qty": 100})
    key = desk.firm(qty=60)
    assert desk.send(qty=101, replaces=key) == Code.POSITION_LIMIT
    assert desk.send(qty=100, px=101 * PX, replaces=key) == 0
    assert desk.send(qty=1) == Code.POSITION_LIMIT
    assert desk.send(qty=70, replaces=key) == Code.PARENT_EXCEEDED  # one at a time
    assert desk.gate.expire(desk.key - 2, key)
    assert desk.send(qty=40) == 0
    desk.gate.expire(desk.key)
    assert desk.send(qty=20, replaces=key) == 0  # smaller frees nothing yet
    assert desk.send(qty=41) == Code.POSITION_LIMIT
    desk.gate.settle(key, True)
    assert desk.send(qty=80) == 0
    assert desk.send(qty=30, replaces=12345) == Code.PARENT_EXCEEDED


def test_an_order_may_always_shrink():
    desk = Desk()
    key = desk.firm(qty=60)
    desk.gate.set_bounds(7, WIDE | {"position_qty": 50})
    desk.gate.latch("account", Level.REDUCING)
    assert desk.send(qty=61, replaces=key) == Code.KILLED | Code.POSITION_LIMIT
    assert desk.send(qty=40, px=101 * PX, replaces=key) == Code.KILLED | Code.POSITION_LIMIT  # more eager
    assert desk.send(qty=40, type=MARKET, replaces=key) == Code.KILLED | Code.POSITION_LIMIT
    assert desk.send(qty=40, reduce_only=True, replaces=key) == Code.REDUCE_ONLY
    assert desk.send(qty=40, replaces=key) == 0
    assert desk.ledger.worst_case(7) == (60, 0)  # and frees nothing before the answer


def test_self_match_sees_the_price_of_a_replace_under_way():
    desk = Desk()
    desk.hold(100 * QTY)
    key = desk.firm(SELL, px=103 * PX, strategy=4)
    assert desk.send(SELL, px=101 * PX, strategy=4, replaces=key) == 0
    assert desk.send(BUY, px=101 * PX) == Code.SELF_MATCH
    desk.gate.settle(key, False)
    assert desk.send(BUY, px=101 * PX) == 0


ENDS = [0, 1, 2, (1 << 31), (1 << 62), (1 << 63) - 2, (1 << 63) - 1, -1, -(1 << 63)]


@settings(max_examples=400, deadline=None)
@given(
    st.sampled_from([BUY, SELL]),
    st.sampled_from([MARKET, LIMIT, STOP, STOP_LIMIT]),
    *[st.one_of(st.sampled_from(ENDS), st.integers(-(1 << 63), (1 << 63) - 1)) for _ in range(6)],
)
def test_ends_of_64_bits_deny_and_never_wrap(side, type, qty, px, stop, bid, ask, held):
    desk = Desk({"max_spread_bps": 10_000}, {"qty": (1 << 63) - 1, "position_qty": (1 << 63) - 1, "strategy_qty": (1 << 63) - 1})
    desk.ledger.define(7, qty_exp=0, lot=1, tick=1, sub_tick=1)
    desk.quote(bid, ask)
    if held > -(1 << 63) and held:
        desk.hold(held, 1)
    code = desk.send(side, qty, px, type, stop=stop)
    if code == 0:
        assert qty > 0
        up, down = desk.ledger.worst_case(7)
        assert max(abs(up), abs(down)) < 1 << 63
        q = desk.ledger.account(7).qty
        assert (up, down) == ((q + qty, q) if side == BUY else (q, q - qty))
        r = desk.ledger.reservation(desk.key)
        assert r.leaves == qty
        assert desk.ledger.open_value == r.px * qty * 10**9 < 1 << 127


def test_a_replace_is_state_once_it_is_a_fact_and_until_its_answer():
    desk = Desk()
    key = desk.firm(qty=60)
    before = desk.ledger.state()
    assert desk.send(qty=100, replaces=key) == 0
    assert desk.ledger.state() == before  # only approved: a replay knows nothing of it
    desk.gate.confirm(desk.key, 3, 7, BUY, LIMIT, 100, 100 * PX, 0, ref_px=100 * PX, at=NOW, replaces=key)
    (order,) = literal_eval(desk.ledger.state().decode())[1]
    assert order[-4:] == (100, 100 * PX, 100 * PX, 40 * 100 * PX)
    desk.gate.fill(key, 3, 7, BUY, 100 * PX, 10, 0, NOW)  # a tenth of what may come, so a tenth of what is held
    assert desk.ledger.reservation(key).cost == 60 * 100 * PX * 9 // 10
    desk.gate.settle(key, True)
    (order,) = literal_eval(desk.ledger.state().decode())[1]
    assert order[4] == 90
    assert len(order) == 11


def test_state_holds_what_the_windows_remember():
    desk = Desk()
    states = {desk.gate.state()}
    key = desk.firm(qty=5)
    for do in (
        lambda: desk.gate.cancel_sent(MONO),  # the venue's budget is no part of it
        lambda: desk.send(),
        lambda: desk.gate.mark(),
    ):
        before = desk.gate.state()
        do()
        assert desk.gate.state() == before
    desk.gate.expire(desk.key)
    gone = desk.firm(qty=6)
    desk.gate.release(gone)
    assert str(gone) in desk.gate.state().decode()  # DUPLICATE still knows it
    for do in (
        lambda: desk.firm(strategy=4),
        lambda: desk.gate.fill(0, 5, 7, BUY, PX, 1, 0, NOW),
        lambda: desk.gate.fill(0, 5, 7, SELL, PX, 1, 0, NOW),
        lambda: desk.gate.unknown(key, True),
        lambda: desk.gate.release(key, canceled_at=NOW),
        lambda: desk.gate.latch("strategy:9", Level.HALTED),
        lambda: desk.gate.account(5, NOW + 1),
        lambda: desk.gate.begin_day(1),
        lambda: desk.gate.open(0),
    ):
        do()
        assert desk.gate.state() not in states
        states.add(desk.gate.state())


def reachable(q, leaves):
    return [q + sum(c) for n in range(len(leaves) + 1) for c in combinations(leaves, n)]


def walk(steps, limit=12, most=7):
    """Random orders, fills and ends against the oracle: allowed iff every subset of fills stays within the limit."""
    desk = Desk(bounds={"position_qty": limit, "strategy_qty": limit}, rules={"repeat_window": 0, "rate_window": 0})
    q, orders, allowed, denied = 0, {}, 0, 0
    for verb, pick, side, qty in steps:
        if verb == 0 and len(orders) < most:
            signed = qty if side == BUY else -qty
            reach = reachable(q, [*orders.values(), signed])
            fits = max(abs(x) for x in reach) <= limit and (side == BUY or min(reach) >= 0)
            # Far prices on both sides, so that own orders never meet; the position is all that can deny.
            code = desk.send(side, qty, 90 * PX if side == BUY else 110 * PX)
            assert code in (0, Code.POSITION_LIMIT, Code.SHORT_NOT_ALLOWED, Code.POSITION_LIMIT | Code.SHORT_NOT_ALLOWED)
            assert (code == 0) == fits, (q, orders, signed)
            if code == 0:
                desk.gate.confirm(
                    desk.key, 3, 7, side, LIMIT, qty, 90 * PX if side == BUY else 110 * PX, 0, ref_px=100 * PX, at=NOW
                )
                orders[desk.key] = signed
            allowed += code == 0
            denied += code != 0
        elif orders:
            key = sorted(orders)[pick % len(orders)]
            if verb == 1:
                part = min(qty, abs(orders[key]))
                sign = 1 if orders[key] > 0 else -1
                desk.gate.fill(key, 3, 7, BUY if sign > 0 else SELL, 100 * PX, part, 0, NOW)
                q += sign * part
                orders[key] -= sign * part
            if verb == 2 or orders[key] == 0:
                desk.gate.release(key)
                del orders[key]
        reach = reachable(q, list(orders.values()))
        assert desk.ledger.worst_case(7) == (max(reach), min(reach))
        assert max(abs(x) for x in reach) <= limit
    return allowed, denied


step = st.tuples(st.integers(0, 2), st.integers(0, 6), st.sampled_from([BUY, SELL]), st.integers(1, 9))


@settings(max_examples=60, deadline=None)
@given(st.lists(step, min_size=20, max_size=60))
def test_worst_case_equals_every_subset_of_fills(steps):
    walk(steps)


@pytest.mark.nightly
def test_worst_case_equals_every_subset_of_fills_a_million_steps():
    rng = np.random.default_rng(7)
    for _ in range(1000):
        draws = zip(*(rng.integers(a, b, 1000).tolist() for a, b in ((0, 3), (0, 7), (1, 3), (1, 10))), strict=True)
        allowed, denied = walk(list(draws), limit=int(rng.integers(5, 40)))
        assert allowed
        assert denied
