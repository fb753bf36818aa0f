"""The matcher against its rules in plain Python, and its promises one by one."""

import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.reference.match import BUY, DAY, FOK, GTC, IOC, SELL, ReferenceMatcher

from pyrt._core import match
from pyrt._core.match import Matcher, execution_dtype
from pyrt._core.types import (
    NO_PRICE,
    Action,
    Flag,
    RecordType,
    TradingState,
    delta_dtype,
    market_dtype,
    quote_dtype,
    status_dtype,
    trade_dtype,
)

ID = 7


def record(dtype, kind, **fields):
    row = np.zeros(1, dtype=dtype)
    row["type"], row["instrument"] = int(kind), ID
    for name, value in fields.items():
        row[name] = value
    return row.view(market_dtype)


def quote(bid, bid_qty, ask, ask_qty, ts=1):
    return record(
        quote_dtype,
        RecordType.QUOTE,
        bid_px=bid or NO_PRICE,
        bid_qty=bid_qty,
        ask_px=ask or NO_PRICE,
        ask_qty=ask_qty,
        ts_event=ts,
    )


def trade(px, qty, taker=0, flags=0):
    return record(trade_dtype, RecordType.TRADE, px=px, qty=qty, taker=taker, flags=flags, ts_event=2)


def delta(side, px, qty, last=True, action=Action.SET):
    return record(delta_dtype, RecordType.DELTA, side=side, px=px, qty=qty, action=int(action), flags=Flag.LAST if last else 0)


def status(halted):
    return record(status_dtype, RecordType.STATUS, state=TradingState.HALTED if halted else TradingState.TRADING)


def fills(matcher):
    return [(int(e["order"]), int(e["px"]), int(e["qty"]), int(e["leaves"])) for e in matcher.take() if e["kind"] == match.FILL]


@pytest.fixture
def matcher():
    m = Matcher([ID])
    m.market(quote(100, 30, 102, 50))
    return m


def told(matcher):
    fields = ("order", "contra", "px", "qty", "leaves", "kind", "maker")
    return [tuple(int(row[name]) for name in fields) for row in matcher.take()]


prices = st.integers(95, 105)
sizes = st.integers(1, 40)
sides = st.sampled_from([BUY, SELL])
operations = st.one_of(
    st.tuples(st.just("quote"), prices, st.integers(0, 40), prices, st.integers(0, 40)),
    st.tuples(st.just("trade"), prices, sizes, st.sampled_from([0, 0, BUY, SELL])),
    st.tuples(
        st.just("submit"),
        st.integers(1, 3),
        sides,
        sizes,
        st.one_of(st.just(0), prices, prices),
        st.one_of(st.just(0), st.just(0), prices),
        st.sampled_from([DAY, DAY, GTC, IOC, FOK]),
    ),
    st.tuples(st.just("trail"), st.integers(1, 3), sides, sizes, st.integers(0, 4), st.sampled_from([DAY, GTC, IOC])),
    st.tuples(
        st.just("money"), st.integers(1, 3), sides, st.integers(1, 5_000), st.sampled_from([1, 3, 10]), st.sampled_from([DAY, IOC])
    ),
    st.tuples(st.just("reduce"), st.integers(0, 40), st.integers(0, 20)),
    st.tuples(st.just("cancel"), st.integers(0, 40)),
    st.tuples(st.just("status"), st.sampled_from([False, False, True])),
)
deep = st.one_of(
    operations,
    st.tuples(st.just("delta"), sides, prices, st.integers(0, 40), st.booleans()),
    st.tuples(st.just("delta"), sides, prices, st.integers(0, 40), st.booleans()),
    st.just(("clear",)),
)


def run_both(ops, queue="pessimistic"):
    ours, theirs, count = Matcher([ID], queue), ReferenceMatcher(proportional=queue == "proportional"), 0
    for name, *args in ops:
        if name == "submit":
            count += 1
            owner, side, qty, limit, stop, tif = args
            ours.submit(ID, count, owner, side, qty, limit, stop, tif)
            theirs.submit(count, owner, side, qty, limit, stop, tif)
        elif name == "trail":
            count += 1
            owner, side, qty, trail, tif = args
            # no distance in ticks: 2 % of the best price
            more = {"trail": trail} if trail else {"ratio": 20_000_000}
            ours.submit(ID, count, owner, side, qty, tif=tif, **more)
            theirs.submit(count, owner, side, qty, tif=tif, **more)
        elif name == "money":
            count += 1
            owner, side, budget, one, tif = args
            ours.submit(ID, count, owner, side, 10**6, tif=tif, budget=budget, one=one)
            theirs.submit(count, owner, side, 10**6, tif=tif, budget=budget, one=one)
        elif name == "reduce":
            number, qty = args[0] % (count + 1), args[1]
            assert ours.reduce(ID, number, qty) == theirs.reduce(number, qty)
        elif name == "cancel":
            assert ours.cancel(ID, args[0] % (count + 1)) == theirs.cancel(args[0] % (count + 1))
        elif name == "delta":
            side, px, qty, last = args
            ours.market(delta(side, px, qty, last))
            theirs.delta(side, px, qty, last=last)
        elif name == "clear":
            ours.market(delta(BUY, 0, 0, last=False, action=Action.CLEAR))
            theirs.clear()
        else:
            ours.market({"quote": quote, "trade": trade, "status": status}[name](*args))
            getattr(theirs, name)(*args)
        got, want = told(ours), theirs.out
        assert got == want
        theirs.out = []
        for order in theirs.resting:
            if order.limit:
                assert ours.ahead(ID, order.number) == order.ahead
    return ours, theirs


@settings(max_examples=300, deadline=None)
@given(st.lists(st.one_of(operations, operations), max_size=40), st.sampled_from(["pessimistic", "proportional"]))
def test_top_of_book_equals_the_rules(ops, queue):
    run_both(ops, queue)


@settings(max_examples=200, deadline=None)
@given(st.lists(deep, max_size=50), st.sampled_from(["pessimistic", "proportional"]))
def test_depth_equals_the_rules(ops, queue):
    run_both(ops, queue)


def random_operation(rng, deep_book):
    name = rng.choice(
        ["quote"] * 4
        + ["trade"] * 3
        + ["submit"] * 5
        + ["trail", "money", "reduce"]
        + ["cancel"] * 2
        + ["status"]
        + ["delta"] * (6 * deep_book)
    )
    side, px, qty = rng.choice([BUY, SELL]), rng.randint(90, 110), rng.randint(1, 60)
    if name == "quote":
        return name, px, rng.randint(0, 60), px + rng.randint(-1, 4), rng.randint(0, 60)
    if name == "trade":
        return name, px, qty, rng.choice([0, BUY, SELL])
    if name == "submit":
        limit = rng.choice([0, rng.randint(90, 110), rng.randint(90, 110)])
        return (
            name,
            rng.randint(1, 4),
            side,
            qty,
            limit,
            rng.choice([0, 0, rng.randint(90, 110)]),
            rng.choice([DAY, DAY, GTC, IOC, FOK]),
        )
    if name == "trail":
        return name, rng.randint(1, 4), side, qty, rng.randint(0, 4), rng.choice([DAY, GTC, IOC])
    if name == "money":
        return name, rng.randint(1, 4), side, rng.randint(1, 5_000), rng.choice([1, 3, 10]), rng.choice([DAY, IOC])
    if name == "reduce":
        return name, rng.randint(0, 10**6), rng.randint(0, 30)
    if name == "cancel":
        return name, rng.randint(0, 10**6)
    if name == "status":
        return name, rng.random() < 0.2
    return name, side, px, rng.randint(0, 60), rng.random() < 0.7


@pytest.mark.parametrize("deep_book", [0, 1])
def test_long_run_equals_the_rules(deep_book):
    rng = random.Random(deep_book)
    run_both([random_operation(rng, deep_book) for _ in range(6_000)], ["pessimistic", "proportional"][deep_book])


def test_offered_size_is_sold_once(matcher):
    matcher.submit(ID, 1, 1, BUY, 40)
    matcher.submit(ID, 2, 2, BUY, 40)
    assert fills(matcher) == [(1, 102, 40, 0), (2, 102, 10, 30)]
    matcher.market(quote(100, 30, 102, 50))  # says nothing new
    assert fills(matcher) == []
    matcher.market(quote(100, 30, 102, 20))
    assert fills(matcher) == [(2, 102, 20, 10)]


def test_queue_position_shrinks_by_trades_and_by_the_level(matcher):
    matcher.submit(ID, 1, 1, BUY, 10, 100)
    assert matcher.ahead(ID, 1) == 30
    matcher.market(trade(100, 12))
    assert matcher.ahead(ID, 1) == 18
    matcher.market(quote(100, 5, 102, 50))
    assert matcher.ahead(ID, 1) == 5
    matcher.market(trade(100, 9))
    assert fills(matcher) == [(1, 100, 4, 6)]


def test_a_buyer_does_not_fill_a_resting_buy(matcher):
    matcher.submit(ID, 1, 1, BUY, 10, 101)
    matcher.market(trade(101, 50, taker=BUY))
    assert fills(matcher) == []
    matcher.market(trade(101, 50, taker=SELL))
    assert fills(matcher) == [(1, 101, 10, 0)]


def test_what_is_left_of_an_aggressive_limit_pays_what_is_displayed(matcher):
    matcher.submit(ID, 1, 1, BUY, 80, 110)
    assert fills(matcher) == [(1, 102, 50, 30)]
    matcher.market(trade(102, 500))
    matcher.market(quote(100, 30, 103, 10))
    assert fills(matcher) == [(1, 103, 10, 20)]
    matcher.market(quote(100, 30, 111, 10))  # beyond its limit: now it rests
    matcher.market(quote(100, 30, 109, 10))
    assert fills(matcher) == [(1, 110, 10, 10)]


def test_a_trade_through_fills_up_to_its_size_at_the_limit(matcher):
    matcher.submit(ID, 1, 1, BUY, 10, 100)
    matcher.submit(ID, 2, 2, BUY, 10, 99)
    matcher.market(trade(98, 15))
    assert fills(matcher) == [(1, 100, 10, 0), (2, 99, 5, 5)]


def test_a_print_that_may_not_set_a_price_does_nothing(matcher):
    matcher.submit(ID, 1, 1, BUY, 10, 100)
    matcher.submit(ID, 2, 1, BUY, 10, 0, 103)
    for flag in (Flag.INELIGIBLE, Flag.CORRECTED):
        matcher.market(trade(110, 15, flags=flag))
        matcher.market(trade(90, 15, flags=flag))
    assert len(matcher.take()) == 0
    assert matcher.top(ID) == (100, 30, 102, 50, 0)


def test_stops_trigger_in_order_and_take_what_is_there(matcher):
    matcher.submit(ID, 1, 1, BUY, 30, 0, 105)
    matcher.submit(ID, 2, 1, BUY, 30, 101, 104)
    matcher.submit(ID, 3, 1, BUY, 30, 0, 103)
    matcher.market(trade(105, 1))
    kinds = [(int(e["order"]), int(e["kind"]), int(e["qty"])) for e in matcher.take()]
    assert kinds == [
        (3, match.TRIGGERED, 0),
        (3, match.FILL, 30),
        (2, match.TRIGGERED, 0),
        (1, match.TRIGGERED, 0),
        (1, match.FILL, 20),
    ]


def test_owners_meet_at_the_resting_price_and_nobody_meets_himself(matcher):
    matcher.submit(ID, 1, 1, SELL, 10, 101)
    matcher.submit(ID, 2, 1, BUY, 5, 101)
    assert fills(matcher) == []
    matcher.submit(ID, 3, 2, BUY, 15, 102)
    assert fills(matcher) == [(1, 101, 10, 0), (3, 101, 10, 5), (3, 102, 5, 0)]


def test_fok_takes_all_or_nothing_and_ioc_what_is_there(matcher):
    matcher.submit(ID, 1, 1, BUY, 51, 102, 0, FOK)
    matcher.submit(ID, 2, 1, BUY, 50, 102, 0, FOK)
    matcher.submit(ID, 3, 1, SELL, 31, 0, 0, IOC)
    got = [(int(e["order"]), int(e["kind"]), int(e["qty"])) for e in matcher.take()]
    assert got == [(1, match.CANCELED, 51), (2, match.FILL, 50), (3, match.FILL, 30), (3, match.CANCELED, 1)]


def test_nothing_trades_in_a_halt(matcher):
    matcher.market(status(True))
    matcher.submit(ID, 1, 1, BUY, 10)
    matcher.submit(ID, 2, 1, BUY, 10, 0, 101)
    matcher.market(trade(110, 5))
    assert len(matcher.take()) == 0
    matcher.market(status(False))
    assert fills(matcher) == [(1, 102, 10, 0)]


def test_slices_of_a_batch_make_no_difference():
    rng = random.Random(5)
    rows = []
    for ts in range(2_000):
        px = rng.randint(97, 103)
        rows.append(
            quote(px, rng.randint(1, 9), px + 1, rng.randint(1, 9), ts) if rng.random() < 0.6 else trade(px, rng.randint(1, 9))
        )
    batch = np.concatenate(rows)
    results = []
    for step in (1, 7, 2_000):
        m = Matcher([ID])
        for number in range(1, 41):
            m.submit(ID, number, 1, 1 + number % 2, 20, 95 + number % 11)
        results.append(b"".join((m.market(batch[i : i + step]), m.take().tobytes())[1] for i in range(0, len(batch), step)))
    assert results[0] == results[1] == results[2] != b""


def test_run_stops_after_the_record_that_causes_executions(matcher):
    matcher.submit(ID, 1, 1, BUY, 10, 99)
    rows = np.concatenate([quote(100, 30, 102, 50), trade(98, 4), quote(100, 30, 102, 50), trade(98, 50), trade(98, 1)])
    assert matcher.run(rows) == 2
    assert fills(matcher) == [(1, 99, 4, 6)]
    assert matcher.run(rows, 2) == 4
    assert fills(matcher) == [(1, 99, 6, 0)]
    assert matcher.run(rows, 4) == 5
    assert matcher.run(rows, 5) == 5
    with pytest.raises(ValueError, match="64 bytes"):
        matcher.run(rows, -1)


def test_a_trailing_stop_keeps_the_best_price_it_saw(matcher):
    matcher.market(trade(100, 1))
    matcher.submit(ID, 1, 1, SELL, 10, trail=3)
    matcher.submit(ID, 2, 1, SELL, 10, ratio=50_000_000)
    for px, best in ((104, 104), (102, 104), (106, 106), (104, 106)):
        matcher.market(trade(px, 1))
        assert (matcher.best(ID, 1), matcher.best(ID, 2)) == (best, best)
    assert len(matcher.take()) == 0
    matcher.market(trade(103, 1))  # 106 - 3
    told = [(int(e["order"]), int(e["kind"]), int(e["px"]), int(e["qty"])) for e in matcher.take()]
    assert told == [(1, match.TRIGGERED, 103, 106), (1, match.FILL, 100, 10)]
    matcher.market(trade(101, 1))  # 106 - floor(5.3)
    assert [int(e["order"]) for e in matcher.take()] == [2, 2]


def test_money_buys_what_it_pays_for_and_no_more(matcher):
    matcher.submit(ID, 1, 1, BUY, 10**9, budget=5_300, one=1)  # 50 at 102 leave 200
    assert [(int(e["px"]), int(e["qty"]), int(e["leaves"]) > 0) for e in matcher.take()] == [(102, 50, True)]
    matcher.market(quote(100, 30, 103, 50))
    assert fills(matcher) == [(1, 103, 1, 0)]
    matcher.submit(ID, 2, 1, BUY, 10**9, budget=5_300, one=1)  # 49 at 103 leave 253: two more
    assert fills(matcher)[0][1:3] == (103, 49)
    matcher.market(quote(100, 30, 300, 50))  # and now they buy nothing
    assert [(int(e["kind"]), int(e["leaves"])) for e in matcher.take()] == [(match.CANCELED, 0)]


def test_with_a_proportional_queue_cancels_come_from_before_us_too():
    for queue, ahead in (("pessimistic", 20), ("proportional", 9)):
        m = Matcher([ID], queue)
        m.market(quote(100, 30, 102, 50))
        m.submit(ID, 1, 1, BUY, 10, 100)
        m.market(trade(100, 10))  # 20 before us
        m.market(quote(100, 40, 102, 50))
        m.market(quote(100, 20, 102, 50)) if queue == "pessimistic" else m.market(quote(100, 18, 102, 50))
        assert m.ahead(ID, 1) == ahead
    with pytest.raises(ValueError, match="pessimistic, proportional"):
        Matcher([ID], "optimistic")


def test_what_cannot_be_is_refused(matcher):
    with pytest.raises(KeyError):
        matcher.submit(99, 1, 1, BUY, 10)
    with pytest.raises(ValueError, match="quantity above 0"):
        matcher.submit(ID, 1, 1, BUY, 0)
    for wrong in ({"trail": 1, "ratio": 1}, {"trail": -1}, {"ratio": 10**9}, {"stop_px": 5, "trail": 1}):
        with pytest.raises(ValueError, match="trailing stop"):
            matcher.submit(ID, 1, 1, BUY, 1, **wrong)
    for wrong in ({"budget": 1}, {"one": 1}, {"budget": 1, "one": 1, "limit_px": 1}, {"budget": 1, "one": 1, "tif": FOK}):
        with pytest.raises(ValueError, match="by money"):
            matcher.submit(ID, 1, 1, BUY, 1, **wrong)
    with pytest.raises(ValueError, match="64 bytes"):
        matcher.market(np.zeros(63, dtype=np.uint8))
    assert matcher.market(np.zeros(3, dtype=market_dtype)) == 0
    assert matcher.take().dtype == execution_dtype


@pytest.mark.parametrize("px", [0, -1])
def test_no_price_is_no_level(px):
    """An order by money asks how much of it a price pays for: at 0 that is a division that no process survives."""
    matcher = Matcher([ID])
    matcher.market(record(quote_dtype, RecordType.QUOTE, bid_px=px, bid_qty=5, ask_px=px, ask_qty=5))
    assert matcher.top(ID)[:4] == (0, 0, 0, 0)
    matcher.submit(ID, 1, 1, BUY, 10**9, budget=5_300, one=1)
    matcher.market(delta(SELL, px, 5))
    assert matcher.top(ID)[:4] == (0, 0, 0, 0)
    matcher.submit(ID, 2, 2, BUY, 10**9, budget=5_300, one=1)
    assert len(matcher.take()) == 0
