"""The book of orders against dicts and lists, with histories that no venue would send."""

import random
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.reference.l3 import ReferenceL3
from tests.unlocked import lets_others_run

from pyrt._core.l3 import L3Book, OrderAction, order_event_dtype
from pyrt._core.types import Flag, Side

TICK = 10_000_000
COUNTED = ("unknown", "duplicates", "refused", "clipped")


def event(action, order=0, px=0, qty=0, *, other=0, side=0, by=b""):
    return {"action": int(action), "order": order, "px": px, "qty": qty, "other": other, "side": int(side), "by": by}


def records(events):
    out = np.zeros(len(events), order_event_dtype)
    for name in ("action", "order", "px", "qty", "other", "side", "by"):
        out[name] = [e[name] for e in events]
    return out


def check(book, oracle):
    bids, asks = book.depth(10**6)
    for rows, side in ((bids, Side.BUY), (asks, Side.SELL)):
        levels = oracle.levels(side)
        assert rows.tolist() == levels
        for px, _, orders in levels:
            queue = book.queue(side, px)
            assert [(n, qty, by) for n, qty, by, _ in queue.tolist()] == oracle.queue(side, px)
            assert len(queue) == orders
    assert book.best_bid == next((row[:2] for row in oracle.levels(Side.BUY)), None)
    assert book.best_ask == next((row[:2] for row in oracle.levels(Side.SELL)), None)
    assert book.counters["orders"] == len(oracle.orders)
    assert {name: book.counters[name] for name in COUNTED} == {name: oracle.counts[name] for name in COUNTED}


def check_orders(book, oracle, numbers):
    for number in numbers:
        told = oracle.orders.get(number)
        assert book.order(number) == (tuple(told[:3]) if told else None)
        assert book.ahead(number) == oracle.ahead(number)


# Few numbers and prices, so that they meet; some at the ends of what 64 bits hold.
numbers = st.integers(0, 12) | st.sampled_from([2**64 - 1, 2**63, 64, 128, 4096])
prices = st.integers(-3, 6).map(lambda tick: tick * TICK) | st.sampled_from([2**62, -(2**62), 2**63 - 1, -(2**63)])
sizes = st.integers(-1, 9) | st.sampled_from([2**62, 2**62 - 1, 2**63 - 1, -(2**63)])
events = st.builds(
    event,
    st.integers(0, 9),
    numbers,
    prices,
    sizes,
    other=numbers,
    side=st.integers(0, 3),
    by=st.sampled_from([b"", b"ABCD"]),
)


@settings(max_examples=200)
@given(st.lists(events, max_size=60))
def test_any_history_equals_the_reference(history):
    book, oracle = L3Book(), ReferenceL3()
    applied = book.apply(records(history))
    assert applied == sum(oracle.apply(e) for e in history)
    check(book, oracle)
    check_orders(book, oracle, {e["order"] for e in history} | {e["other"] for e in history})


@settings(max_examples=100)
@given(st.lists(events, max_size=40))
def test_a_call_each_equals_a_batch(history):
    book, oracle = L3Book(), ReferenceL3()
    calls = {
        OrderAction.ADD: lambda e: book.add(e["order"], e["side"], e["px"], e["qty"]),
        OrderAction.CANCEL: lambda e: book.cancel(e["order"], e["qty"]),
        OrderAction.DELETE: lambda e: book.delete(e["order"]),
        OrderAction.EXECUTE: lambda e: book.execute(e["order"], e["qty"]),
        OrderAction.REPLACE: lambda e: book.replace(e["order"], e["other"], e["px"], e["qty"]),
        OrderAction.MODIFY: lambda e: book.modify(e["order"], e["px"], e["qty"]),
        OrderAction.CLEAR: lambda e: book.clear() or True,
    }
    for e in history:
        if e["action"] in calls:
            e = e | {"by": b""}
            assert calls[e["action"]](e) == oracle.apply(e)
    check(book, oracle)


def market(rng, n, spread, live_at_most):
    """Orders that come and go round a price that drifts, numbered as a venue numbers them."""
    live, number, mid = {}, 10_000, 5_000
    for _ in range(n):
        mid += rng.choice((-1, 0, 0, 0, 1))
        draw = rng.random()
        if not live or (draw < 0.5 and len(live) < live_at_most):
            number += rng.choice((1, 1, 1, 2, 5, 70))
            side = rng.choice((Side.BUY, Side.SELL))
            away = int(rng.expovariate(1 / spread))
            live[number] = side
            px = (mid - away if side == Side.BUY else mid + 1 + away) * TICK
            yield event(OrderAction.ADD, number, px, rng.randint(1, 500), side=side)
            continue
        order = rng.choice(tuple(live)) if rng.random() < 0.02 else next(reversed(live)) if rng.random() < 0.6 else next(iter(live))
        if draw < 0.75:
            del live[order]
            yield event(OrderAction.DELETE, order)
        elif draw < 0.85:
            yield event(rng.choice((OrderAction.EXECUTE, OrderAction.CANCEL)), order, 0, rng.randint(1, 300))
        elif draw < 0.92:
            yield event(OrderAction.MODIFY, order, (mid + rng.randint(-20, 20)) * TICK, rng.randint(1, 500))
        else:
            side = live.pop(order)
            number += 1
            live[number] = side
            yield event(OrderAction.REPLACE, order, (mid + rng.randint(-20, 20)) * TICK, rng.randint(1, 500), other=number)


@pytest.mark.parametrize(("spread", "live"), [(3, 50), (40, 3_000)])
def test_a_long_market_equals_the_reference_all_along(spread, live):
    rng = random.Random(7)
    book, oracle = L3Book(), ReferenceL3()
    history = list(market(rng, 12_000, spread, live))
    for k in range(0, len(history), 1_000):
        part = history[k : k + 1_000]
        assert book.apply(records(part)) == sum(oracle.apply(e) for e in part)
        check(book, oracle)
    check_orders(book, oracle, rng.sample(sorted(oracle.orders), min(200, len(oracle.orders))))
    assert book.counters["unknown"] > 0  # of orders that an execution had finished


@pytest.mark.parametrize("stride", [1, 4, 64, 2**20, 2**58, 0x9E3779B97F4A7C15])
def test_numbers_that_fall_on_one_another_are_found(stride):
    """Whatever a venue's numbers look like: each order is found, none is left behind."""
    n = 3_000
    orders = (np.arange(1, n + 1, dtype=np.uint64) * np.uint64(stride % 2**64)).tolist()
    assert len(set(orders)) == n or stride == 2**58  # which has only 64 different ones
    orders = list(dict.fromkeys(orders))
    book = L3Book()
    for k, order in enumerate(orders):
        assert book.add(order, Side.BUY, (k % 50 + 1) * TICK, k + 1)
    assert all(book.order(order) == (Side.BUY, (k % 50 + 1) * TICK, k + 1) for k, order in enumerate(orders))
    for order in orders[::2]:
        assert book.delete(order)
    assert [book.order(order) is not None for order in orders] == [k % 2 == 1 for k in range(len(orders))]
    for order in orders[1::2]:
        assert book.delete(order)
    assert book.counters["orders"] == book.counters["bids"] == 0


def test_nobody_is_searched_for_ever():
    """Every line was passed by an order that found no place: a number that is not here still gets its answer."""
    book = L3Book()
    rng = random.Random(3)
    live = []
    for _ in range(60_000):
        if len(live) < 150:
            live.append(rng.randrange(2**64) & ~0x3F)  # all at the first line of their group
            book.add(live[-1], Side.BUY, TICK, 1)
        else:
            assert book.delete(live.pop(rng.randrange(len(live))))
    assert all(book.order(order) for order in live)
    assert not any(book.delete(rng.randrange(2**64)) for _ in range(1_000))


def test_memory_grows_and_is_kept():
    book = L3Book(reserve=20_000)
    before = book.nbytes
    add = records([event(OrderAction.ADD, k, TICK * (k % 15 + 1), 1, side=Side.BUY) for k in range(20_000)])
    for _ in range(2):
        assert book.apply(add) == 20_000
        assert book.nbytes - before <= 1024  # fifteen levels
        book.clear()
    small = L3Book()
    assert small.apply(add) == 20_000
    assert 0 < small.nbytes < 4 * before


def test_a_reserve_beyond_memory_is_told():
    with pytest.raises(MemoryError):
        L3Book(reserve=2**40)


def test_places_in_the_queue():
    book = L3Book()
    for order, qty in ((1, 100), (2, 50), (3, 70)):
        book.add(order, Side.SELL, 101 * TICK, qty)
    assert book.ahead(3) == (2, 150)
    book.execute(1, 30)
    assert book.ahead(3) == (2, 120)
    book.modify(2, 101 * TICK, 40)  # less: keeps its place
    assert book.ahead(3) == (2, 110)
    book.modify(2, 101 * TICK, 60)  # more: to the end
    assert (book.ahead(3), book.ahead(2)) == ((1, 70), (2, 140))
    book.replace(1, 9, 101 * TICK, 70)
    assert [order for order, *_ in book.queue(Side.SELL, 101 * TICK).tolist()] == [3, 2, 9]
    assert book.ahead(1) is None
    assert book.order(9) == (Side.SELL, 101 * TICK, 70)


def test_a_crossed_book_says_so():
    book = L3Book()
    book.add(1, Side.BUY, 100 * TICK, 1)
    book.add(2, Side.SELL, 101 * TICK, 1)
    assert book.flags == 0
    book.add(3, Side.BUY, 101 * TICK, 1)
    assert book.flags == Flag.CROSSED


def test_what_is_no_event_is_refused():
    book = L3Book()
    with pytest.raises(ValueError, match="64 bytes"):
        book.apply(bytes(63))
    with pytest.raises(ValueError, match="side"):
        book.queue(0, TICK)
    assert len(book.queue(Side.BUY, TICK)) == 0


def test_a_batch_makes_no_object_for_an_event():
    history = records(list(market(random.Random(1), 5_000, 5, 500)))
    book = L3Book()
    before = sys.getallocatedblocks()
    book.apply(history)
    assert sys.getallocatedblocks() - before < 20


def test_a_batch_lets_other_threads_run():
    history = np.tile(records(list(market(random.Random(1), 5_000, 5, 500))), 20)
    book = L3Book()
    assert lets_others_run(lambda: book.apply(history), 2_000)
