"""The level book against two dicts, far beyond what the ladder covers, and what it says about itself."""

import random
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.reference.book import ReferenceBook

from pyrt._core.book import OrderBook
from pyrt._core.types import Action, Flag, RecordType, Side, delta_dtype, gap_dtype, quote_dtype, trade_dtype

CENT, ONE = 10_000_000, 1_000_000_000
# tick and a first price, px units: shares, sub-dollar shares, BTC at a cent and at a dollar, SHIB
SCALES = {
    "share": (CENT, 189 * ONE),
    "sub-dollar": (100_000, 430_000_000),
    "btc-cent": (CENT, 97_000 * ONE),
    "btc-dollar": (ONE, 97_000 * ONE),
    "shib": (1, 8_731),
    "odd": (70_000_003, 50 * 70_000_003),
}


def deltas(rows, *, update_id=0):
    """Rows of (side, px, qty[, action[, flags]]) as records."""
    out = np.zeros(len(rows), delta_dtype)
    out["type"] = RecordType.DELTA
    out["update_id"] = update_id
    for i, row in enumerate(rows):
        side, px, qty, *rest = row
        out[i]["side"], out[i]["px"], out[i]["qty"] = side, px, qty
        out[i]["action"] = rest[0] if rest else Action.SET
        out[i]["flags"] = rest[1] if len(rest) > 1 else Flag.LAST
    return out


def quote(bid_px, bid_qty, ask_px, ask_qty, ts=1):
    out = np.zeros(1, quote_dtype)
    out[0] = (RecordType.QUOTE, 0, 1, 0, ts, ts, bid_px, ask_px, bid_qty, ask_qty)
    return out


def gap():
    out = np.zeros(1, gap_dtype)
    out["type"] = RecordType.GAP
    return out


def random_operations(rng, tick, start, n, width):
    """A market that drifts, jumps, empties a side now and then, and keeps levels far from the touch."""
    mid = start // tick
    live = {Side.BUY: [], Side.SELL: []}
    for _ in range(n):
        draw = rng.random()
        if draw < 0.02:
            mid = max(mid + rng.randint(-3, 3) * 40, 8)
        elif draw < 0.0203:
            mid = max(mid + rng.choice((-1, 1)) * rng.randint(500, 5000), 8)
        side = rng.choice((Side.BUY, Side.SELL))
        if live[side] and rng.random() < 0.45:
            k = rng.randrange(len(live[side]))
            live[side][k], live[side][-1] = live[side][-1], live[side][k]
            yield side, live[side].pop() * tick, 0
            continue
        distance = int(rng.expovariate(1 / 12)) if rng.random() < 0.8 else rng.randint(0, width)
        key = max(mid - distance if side == Side.BUY else mid + 1 + distance, 1)
        live[side].append(key)
        yield side, key * tick, rng.randint(1, 10**12)


def check(book, oracle, n=None):
    bids, asks = book.depth(n or 10**6)
    assert bids.tolist() == oracle.levels(Side.BUY)[:n]
    assert asks.tolist() == oracle.levels(Side.SELL)[:n]
    assert (book.counters["bids"], book.counters["asks"]) == tuple(len(oracle.sides[s]) for s in (Side.BUY, Side.SELL))


def compare(seed, tick, start, n, width, every=97):
    rng = random.Random(seed)
    book, oracle = OrderBook(tick), ReferenceBook(tick)
    for i, (side, px, qty) in enumerate(random_operations(rng, tick, start, n, width)):
        assert book.update(side, px, qty) is oracle.update(side, px, qty)
        if i % every == 0:
            assert book.best_bid == oracle.best(Side.BUY)
            assert book.best_ask == oracle.best(Side.SELL)
        if i % (every * 11) == 0:
            check(book, oracle)
            depth = rng.randint(1, 40)
            assert book.imbalance(depth) == pytest.approx(oracle.imbalance(depth), abs=1e-15)
            size = rng.randint(1, 10**13)
            side = rng.choice((Side.BUY, Side.SELL))
            assert book.walk(side, size) == oracle.walk(side, size)
    check(book, oracle)
    return book


@pytest.mark.row("S021")
@pytest.mark.parametrize("scale", SCALES)
def test_equals_the_oracle(scale):
    tick, start = SCALES[scale]
    compare(scale, tick, start, 10_000, 3_000)


@pytest.mark.nightly
@pytest.mark.timeout(900)
@pytest.mark.row("S021")
def test_equals_the_oracle_after_a_million_operations():
    for i, (tick, start) in enumerate(SCALES.values()):
        compare(1000 + i, tick, start, 170_000, 20_000, every=499)


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(st.sampled_from((1, 2)), st.integers(1, 2600), st.integers(0, 3)), max_size=300))
def test_any_sequence_equals_the_oracle(rows):
    book, oracle = OrderBook(CENT), ReferenceBook(CENT)
    rows = [(side, key * CENT, qty) for side, key, qty in rows]
    assert book.apply(deltas(rows)) == len(rows)
    for row in rows:
        oracle.update(*row)
    check(book, oracle)
    assert (book.best_bid, book.best_ask) == (oracle.best(1), oracle.best(2))


def test_batch_equals_single_updates():
    rows = list(random_operations(random.Random(5), CENT, 50 * ONE, 5_000, 4_000))
    one, many = OrderBook(CENT), OrderBook(CENT)
    for row in rows:
        one.update(*row)
    records = deltas(rows)
    assert sum(many.apply(records[i : i + 700]) for i in range(0, len(rows), 700)) == len(rows)
    assert [side.tolist() for side in one.depth(9999)] == [side.tolist() for side in many.depth(9999)]


def test_a_whole_deep_book_is_kept():
    book, oracle = OrderBook(CENT), ReferenceBook(CENT)
    rows = [(side, (10_000 + (i + 1) * (1 if side == 2 else -1)) * CENT, i + 1) for i in range(9_000) for side in (1, 2)]
    random.Random(1).shuffle(rows)
    assert book.apply(deltas(rows)) == len(rows)
    for row in rows:
        oracle.update(*row)
    check(book, oracle)
    for side, px, _ in rows[:12_000]:  # eat it up again, whatever the order
        book.update(side, px, 0)
        oracle.update(side, px, 0)
    check(book, oracle)


def test_a_better_price_beyond_the_ladder_and_back():
    book = OrderBook(CENT)
    levels = [(2, (1_000 + i * 90) * CENT, i + 1) for i in range(60)]
    book.apply(deltas(levels))
    book.update(Side.SELL, 3 * CENT, 7)
    assert book.best_ask == (3 * CENT, 7)
    assert [row[0] for row in book.depth(99)[1].tolist()] == [3 * CENT] + [px for _, px, _ in levels]
    book.update(Side.SELL, 3 * CENT, 0)
    assert book.best_ask == (1_000 * CENT, 1)


@pytest.mark.parametrize(
    ("side", "px", "qty"),
    [
        (1, CENT + 1, 5),
        (1, CENT // 2, 5),
        (1, 5 * CENT, -1),
        (0, CENT, 1),
        (3, CENT, 1),
        (2, -(2**63), 1),
        (2, 2**62, 1),
        (2, 2**63 - 1, 1),
    ],
)
def test_refused_and_counted(side, px, qty):
    book = OrderBook(CENT)
    assert book.update(side, px, qty) is False
    assert book.apply(deltas([(side, px, qty)])) == 0
    assert book.counters["refused"] == 2
    assert book.best_bid is None
    assert book.best_ask is None


@settings(max_examples=300, deadline=None)
@given(st.integers(1, 2**40), st.integers(-(2**63), 2**63 - 1), st.booleans())
def test_divides_exactly(tick, px, snap):
    if snap:
        px -= px % tick if px >= 0 else px % -tick
    book = OrderBook(tick)
    taken = px % tick == 0 and abs(px // tick) <= 2**61 // tick
    assert book.update(Side.SELL, px, 1) is taken
    assert book.best_ask == ((px, 1) if taken else None)


def test_negative_prices():
    book = OrderBook(CENT)
    for side, px in ((1, -3 * CENT), (1, -2 * CENT), (2, -CENT), (2, 4 * CENT)):
        assert book.update(side, px, 1)
    assert (book.best_bid, book.best_ask) == ((-2 * CENT, 1), (-CENT, 1))


def test_a_tick_is_positive():
    with pytest.raises(ValueError, match="tick"):
        OrderBook(0)


def test_quotes_make_a_book_of_one_level():
    book = OrderBook(CENT)
    assert book.apply(quote(99 * ONE, 5, 100 * ONE, 7)) == 1
    assert (book.best_bid, book.best_ask) == ((99 * ONE, 5), (100 * ONE, 7))
    assert book.flags == Flag.TOP_ONLY
    assert [side.tolist() for side in book.depth(5)] == [[(99 * ONE, 5)], [(100 * ONE, 7)]]
    assert book.walk(Side.BUY, 9) == (7, 700 * ONE, 100 * ONE, False)
    assert book.imbalance(3) == pytest.approx(-1 / 6)
    book.apply(quote(-(2**63), 0, 100 * ONE, 7))
    assert book.best_bid is None
    assert book.imbalance() == -1.0
    assert book.nbytes < 600


def test_depth_replaces_quotes():
    book = OrderBook(CENT)
    book.apply(quote(99 * ONE, 5, 100 * ONE, 7))
    book.apply(deltas([(1, 98 * ONE, 1)]))
    assert book.best_bid == (98 * ONE, 1)
    assert book.best_ask is None
    assert not book.flags & Flag.TOP_ONLY
    assert book.apply(quote(99 * ONE, 5, 100 * ONE, 7)) == 0
    assert book.best_bid == (98 * ONE, 1)
    assert book.counters["ignored"] == 1


def test_a_top_only_book_refuses_depth():
    book = OrderBook(CENT, top_only=True)
    assert book.apply(deltas([(1, 98 * ONE, 1)])) == 0
    assert book.update(1, 98 * ONE, 1) is False
    assert book.counters["refused"] == 2
    assert book.best_bid is None


def test_flags_tell_gap_snapshot_and_crossed():
    book = OrderBook(CENT)
    book.apply(deltas([(1, 98 * ONE, 1), (2, 99 * ONE, 1)]))
    assert book.flags == 0
    book.apply(gap())
    assert book.flags == Flag.GAP
    book.apply(deltas([(1, 98 * ONE, 2)]))
    assert book.flags == Flag.GAP  # a delta does not bring back what was missed
    book.apply(deltas([(0, 0, 0, Action.CLEAR, 0), (1, 90 * ONE, 1, 0, 0)]))
    assert book.flags == Flag.GAP | Flag.SNAPSHOT
    assert book.best_ask is None
    book.apply(deltas([(2, 91 * ONE, 1)]))
    assert book.flags == 0
    book.update(1, 91 * ONE, 1)
    assert book.flags == Flag.CROSSED  # equal prices on one venue would have traded
    book.apply(deltas([(1, 91 * ONE, 0)]))
    assert book.flags == 0


def test_quotes_cross_but_may_lock():
    book = OrderBook(CENT)
    book.apply(quote(100 * ONE, 5, 100 * ONE, 7))
    assert book.flags == Flag.TOP_ONLY
    book.apply(quote(101 * ONE, 5, 100 * ONE, 7))
    assert book.flags == Flag.TOP_ONLY | Flag.CROSSED


def test_events_without_levels_move_the_id():
    book = OrderBook(CENT)
    assert book.apply(deltas([(0, 0, 0, Action.NOTHING)], update_id=77)) == 1
    assert book.update_id == 77


def test_takes_any_64_byte_records():
    book = OrderBook(CENT)
    trade = np.zeros(3, trade_dtype)
    trade["type"] = RecordType.TRADE
    assert book.apply(trade) == 0
    assert book.apply(deltas([(1, CENT, 1)]).tobytes()) == 1
    with pytest.raises(ValueError, match="64 bytes"):
        book.apply(b"x" * 65)
    with pytest.raises(ValueError, match="64 bytes"):
        book.apply(np.zeros(64, "<i8"))


@pytest.mark.row("S030")
def test_memory_of_a_book_in_use():
    book = OrderBook(CENT)
    book.apply(deltas(list(random_operations(random.Random(2), CENT, 189 * ONE, 5_000, 1_500))))
    assert book.nbytes < 100_000


def test_a_batch_makes_no_object_per_event():
    records = deltas(list(random_operations(random.Random(3), CENT, 189 * ONE, 20_000, 900)))
    book = OrderBook(CENT)
    book.apply(records)
    book.apply(records)
    before = sys.getallocatedblocks()
    book.apply(records)
    assert sys.getallocatedblocks() - before < 50


def test_update_best_is_update_and_the_best_price_of_its_side():
    random.seed(11)
    one, two = OrderBook(10), OrderBook(10)
    for _ in range(2_000):
        side = random.choice((Side.BUY, Side.SELL))
        px, qty = random.randrange(-20, 3_000) * 5, random.choice((0, 0, 1, 7))
        two.update(side, px, qty)
        best = two.best_bid if side == Side.BUY else two.best_ask
        assert one.update_best(side, px, qty) == (best[0] if best else None)
    assert one.counters == two.counters
    assert one.counters["refused"] > 0
