"""The book order by order in whole units: equal to the raw one, exact at the edge, and what cannot be is refused in one line."""

import random
from decimal import Decimal
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyrt import ItchBooks, L3Book, Side
from pyrt._core.itch_records import message
from pyrt._core.l3 import L3Book as RawBook
from pyrt._core.l3 import OrderAction, order_event_dtype
from pyrt.errors import ConfigError, OrderError

SECOND = 1_000_000_000
CENT = SECOND // 100


@pytest.mark.parametrize("price", [101, 101.0, "101", "101.00", Decimal("101"), np.float64(101), np.int32(101)])
def test_101_is_101_dollars_in_every_type(price: Any) -> None:
    book = L3Book(qty_exp=2)
    book.add(1, "buy", price, price)
    assert book.best_bid == (101 * SECOND, 10_100)
    assert book.bid == (101.0, 101.0)
    assert book.order(1) == (Side.BUY, 101.0, 101.0)


def test_a_queue_in_five_lines() -> None:
    book = L3Book()
    book.add(1, "sell", "101.25", 300)
    book.add(2, Side.SELL, 101.25, 200)
    book.add(3, "ask", 101.26, 50)
    book.add(4, "bid", Decimal("101.20"), 10)
    book.execute(1, 100)
    assert (book.bid, book.ask, book.spread, book.mid) == ((101.2, 10), (101.25, 400), 0.05, 101.225)
    assert book.levels(5) == ([(101.2, 10, 1)], [(101.25, 400, 2), (101.26, 50, 1)])
    assert book.queue("sell", 101.25) == [(1, 200), (2, 200)]
    assert book.ahead(2) == (1, 200)
    book.modify(1, 101.25, 300)  # it grows: to the end
    assert book.queue("sell", 101.25) == [(2, 200), (1, 300)]
    book.replace(2, 7, 101.26, 5)
    assert book.queue("sell", 101.26) == [(3, 50), (7, 5)]
    book.cancel(1, 300)
    assert (book.order(1), book.ahead(1), book.ask) == (None, None, (101.26, 55))
    book.delete(4)
    assert (book.bid, book.mid, book.spread) == (None, None, None)
    book.clear()
    assert book.levels() == ([], [])


WRONG = [
    (lambda b: b.add(2, "long", 101, 1), "'long' is no side"),
    (lambda b: b.add(2, "buy", 101, 0), "quantity 0 is not above 0"),
    (lambda b: b.add(2, "buy", 101, -1), "quantity -1 is not above 0"),
    (lambda b: b.add(2, "buy", 101, 0.5), "0.5"),
    (lambda b: b.add(2, "buy", "nan", 1), "'nan' is not a number"),
    (lambda b: b.add(2, "buy", 5 * 10**9, 1), "price 5000000000 is beyond"),
    (lambda b: b.add(2, "buy", 10**12, 1), "64 bits"),
    (lambda b: b.add(1, "buy", 101, 1), "order 1 is here already"),
    (lambda b: b.add(-1, "buy", 101, 1), "-1 is no order's number"),
    (lambda b: b.add(1 << 64, "buy", 101, 1), "is no order's number"),
    (lambda b: b.add(2, "buy", 101, (1 << 62) - 1), "a level holds less than"),
    (lambda b: b.cancel(1, 301), "order 1 has 300 left, not 301"),
    (lambda b: b.execute(2, 1), "order 2 is not here"),
    (lambda b: b.execute(1, 0), "quantity 0 is not above 0"),
    (lambda b: b.delete(-5), "order -5 is not here"),
    (lambda b: b.replace(1, 2, 101, 0), "quantity 0 is not above 0"),
    (lambda b: b.replace(1, 2, 5 * 10**9, 1), "is beyond"),
    (lambda b: b.replace(2, 3, 101, 1), "order 2 is not here"),
    (lambda b: b.replace(1, 9, 101, 1), "order 9 is here already"),
    (lambda b: b.modify(2, 101, 1), "order 2 is not here"),
    (lambda b: b.queue("sell", "x"), "'x' is not a number"),
]


@pytest.mark.parametrize(("call", "words"), WRONG)
def test_what_cannot_be_is_refused_in_one_line_and_changes_nothing(call: Any, words: str) -> None:
    book = L3Book()
    book.add(1, "buy", 101, 300)
    book.add(9, "sell", 102, 300)
    before = book.levels()
    with pytest.raises(OrderError, match=words) as told:
        call(book)
    assert "\n" not in str(told.value)
    assert " -- " in str(told.value)
    assert book.levels() == before
    assert book.order(1) == (Side.BUY, 101, 300)


@pytest.mark.parametrize("qty_exp", [-1, 10])
def test_decimals_that_cannot_be(qty_exp: int) -> None:
    with pytest.raises(ConfigError, match="decimals"):
        L3Book(qty_exp=qty_exp)


def test_a_batch_counts_what_it_leaves_out() -> None:
    events = np.zeros(3, order_event_dtype)
    events["action"], events["side"] = (OrderAction.ADD, OrderAction.DELETE, OrderAction.ADD), Side.BUY
    events["order"], events["px"], events["qty"] = (1, 2, 3), 101 * SECOND, (7, 0, 0)
    book = L3Book()
    assert book.apply(events) == 1
    assert {name: book.counters[name] for name in ("orders", "unknown", "refused")} == {"orders": 1, "unknown": 1, "refused": 1}
    assert book.levels() == ([(101, 7, 1)], [])


@given(st.integers(0, 2**32), st.integers(0, 4))
def test_whole_units_are_the_raw_book(seed: int, qty_exp: int) -> None:
    rng, one, live = random.Random(seed), 10**qty_exp, list[int]()
    book, raw = L3Book(qty_exp=qty_exp), RawBook()
    for number in range(60):
        px, qty = rng.randrange(1, 500) * CENT, rng.randrange(1, 900)
        price, quantity = Decimal(px) / SECOND, Decimal(qty) / one
        verb = rng.choice(("add", "add", "delete", "cancel", "replace", "modify")) if live else "add"
        order = live[rng.randrange(len(live))] if live else 0
        if verb == "add":
            side = rng.choice((Side.BUY, Side.SELL))
            book.add(number, side, price, quantity)
            assert raw.add(number, side, px, qty)
            live.append(number)
        elif verb == "replace":
            book.replace(order, number, price, quantity)
            assert raw.replace(order, number, px, qty)
            live[live.index(order)] = number
        elif verb == "modify":
            book.modify(order, price, quantity)
            assert raw.modify(order, px, qty)
        elif verb == "delete" or (left := raw.order(order) or (0, 0, 0))[2] <= qty:
            book.delete(order)
            assert raw.delete(order)
            live.remove(order)
        else:
            book.execute(order, quantity)
            assert left[2] > qty
            assert raw.execute(order, qty)
    assert [rows.tolist() for rows in book.depth(99)] == [rows.tolist() for rows in raw.depth(99)]
    for ours, theirs in zip(book.levels(99), raw.depth(99), strict=True):
        assert ours == [(px / 1e9, qty / one, n) for px, qty, n in theirs.tolist()]
    assert book.counters == raw.counters


def test_a_share_of_a_day_in_whole_units_is_live() -> None:
    day = ItchBooks()
    told = [message("R", share=7, symbol="ZVZZT", lot=100), message("A", share=7, order=1, side="B", qty=300, px=10_0000)]
    day.feed(b"".join(len(m).to_bytes(2, "big") + m for m in told))
    book = L3Book.of(day["ZVZZT"])
    assert book.bid == (10.0, 300)
    day.feed(b"\0\x1f" + message("E", share=7, order=1, qty=100, match=1))
    assert book.order(1) == (Side.BUY, 10.0, 200)


def test_a_share_of_a_day_knows_its_own_orders_only() -> None:
    day = ItchBooks()
    for share in (1, 2):
        day.feed_bare(message("A", share=share, order=share, side="B", qty=100 * share, px=10_0000))
        day.feed_bare(message("A", share=share, order=10 + share, side="B", qty=5, px=10_0000))
    first = day.book(1)
    assert (first.order(1), first.ahead(11)) == ((Side.BUY, 10 * SECOND, 100), (1, 100))
    assert (first.order(2), first.ahead(12)) == (None, None)


def two_shares() -> ItchBooks:
    """Share 1 has the orders 1 and 11, share 2 has 2 and 12."""
    day = ItchBooks()
    for share in (1, 2):
        day.feed_bare(message("R", share=share, symbol="AB"[share - 1], lot=100))
        day.feed_bare(message("A", share=share, order=share, side="B", qty=100 * share, px=10_0000))
        day.feed_bare(message("A", share=share, order=10 + share, side="B", qty=5, px=10_0000))
    return day


@pytest.mark.parametrize(
    "call",
    [
        lambda b: b.add(2, "buy", 10, 7),
        lambda b: b.add(12, "sell", 10, 7),
        lambda b: b.cancel(2, 1),
        lambda b: b.execute(2, 200),
        lambda b: b.delete(2),
        lambda b: b.replace(2, 99, 10, 1),
        lambda b: b.replace(1, 2, 10, 1),
        lambda b: b.modify(12, 10, 1),
    ],
)
def test_a_share_of_a_day_leaves_the_orders_of_others_alone(call: Any) -> None:
    day = two_shares()
    before = [[rows.tolist() for rows in day.book(share).depth(9)] for share in (1, 2)]
    counted = day.counters
    with pytest.raises(OrderError, match=r"order (2|12) stands in the book of share 2"):
        call(L3Book.of(day["A"]))
    assert [[rows.tolist() for rows in day.book(share).depth(9)] for share in (1, 2)] == before
    assert day.book(2).order(2) == (Side.BUY, 10 * SECOND, 200)
    assert day.counters == counted


RAW = [
    ("refused", OrderAction.ADD, lambda b: b.add(2, Side.BUY, 10 * SECOND, 7), {"order": 2, "px": 10 * SECOND, "qty": 7}),
    ("unknown", OrderAction.CANCEL, lambda b: b.cancel(2, 1), {"order": 2, "qty": 1}),
    ("unknown", OrderAction.EXECUTE, lambda b: b.execute(2, 1), {"order": 2, "qty": 1}),
    ("unknown", OrderAction.DELETE, lambda b: b.delete(2), {"order": 2}),
    ("unknown", OrderAction.MODIFY, lambda b: b.modify(2, 10 * SECOND, 1), {"order": 2, "px": 10 * SECOND, "qty": 1}),
    ("unknown", OrderAction.REPLACE, lambda b: b.replace(2, 9, SECOND, 1), {"order": 2, "other": 9, "px": SECOND, "qty": 1}),
    ("refused", OrderAction.REPLACE, lambda b: b.replace(1, 2, SECOND, 1), {"order": 1, "other": 2, "px": SECOND, "qty": 1}),
]


@pytest.mark.parametrize(("counter", "action", "call", "fields"), RAW)
def test_a_raw_view_counts_what_is_not_its_own_and_leaves_it(
    counter: str, action: OrderAction, call: Any, fields: dict[str, int]
) -> None:
    event = np.zeros(1, order_event_dtype)
    event["action"], event["side"] = action, Side.BUY
    for name, value in fields.items():
        event[name] = value
    for verb in (call, lambda b: b.apply(event)):
        day = two_shares()
        before = [[rows.tolist() for rows in day.book(share).depth(9)] for share in (1, 2)]
        assert not verb(day["A"])
        assert [[rows.tolist() for rows in day.book(share).depth(9)] for share in (1, 2)] == before
        assert {name: n for name, n in day.counters.items() if n} == {"orders": 4, counter: 1}


def test_a_number_that_another_share_gave_back_is_free() -> None:
    day = two_shares()
    book = L3Book.of(day["A"])
    L3Book.of(day["B"]).delete(2)
    book.add(2, "buy", 10, 7)
    event = np.zeros(1, order_event_dtype)
    event["action"], event["order"], event["other"], event["qty"] = OrderAction.EXECUTE, 2, 12, 3  # `other` is the match's number
    assert day["A"].apply(event) == 1
    assert book.order(2) == (Side.BUY, 10, 4)


@pytest.mark.parametrize("verb", ["replace", "modify"])
def test_a_level_that_would_be_too_large_leaves_the_order_where_it_is(verb: str) -> None:
    book = L3Book()
    book.add(1, "buy", 101, 300)
    book.add(2, "buy", 101, 5)
    book.add(3, "buy", 100, (1 << 62) - 10)
    before = book.levels()
    with pytest.raises(OrderError, match="a level holds less than"):
        book.replace(1, 4, 100, 10) if verb == "replace" else book.modify(1, 100, 10)
    assert (book.levels(), book.ahead(2), book.order(1)) == (before, (1, 300), (Side.BUY, 101, 300))
    book.modify(3, 100, (1 << 62) - 1)  # its own quantity makes way
    assert book.order(3) == (Side.BUY, 100, float((1 << 62) - 1))
