"""BookImbalance, microprice and spread: the formulas, one at a time and in arrays, from numbers, quotes and records."""

from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyrt import Quote, Side
from pyrt._core.book import OrderBook
from pyrt._core.types import NO_PRICE, RecordType, quote_dtype, trade_dtype
from pyrt.indicators import BookImbalance, Microprice, Spread

SIZE = st.just(0.0) | st.floats(1e-9, 1e9)
PRICE = st.floats(0.01, 1e6)


def bits(x: object) -> bytes:
    return np.asarray(x, np.float64).tobytes()


@pytest.mark.row("S040")
@given(st.lists(st.tuples(PRICE, PRICE, SIZE, SIZE), min_size=1, max_size=30))
def test_one_at_a_time_is_the_array_to_the_bit_and_both_the_formula(quotes):
    bid, ask, bid_size, ask_size = np.array(quotes).T
    for make, pick in (
        (BookImbalance, slice(2, 4)),
        (Microprice, slice(0, 4)),
        (Spread, slice(0, 2)),
        (lambda: Spread(relative=True), slice(0, 2)),
    ):
        single, batch = make(), make()
        ones = [single.update(*quote[pick]) for quote in quotes]
        assert bits(batch.apply(*(bid, ask, bid_size, ask_size)[pick])) == bits(ones)
        assert single.value == batch.value == ones[-1]
    sizes = bid_size + ask_size
    some = sizes > 0
    imbalance = np.where(some, (bid_size - ask_size) / np.where(some, sizes, 1), 0)
    assert BookImbalance().apply(bid_size, ask_size) == pytest.approx(imbalance, rel=1e-12)
    middle = np.where(some, (bid * ask_size + ask * bid_size) / np.where(some, sizes, 1), (bid + ask) / 2)
    assert np.all(np.abs(Microprice().apply(bid, ask, bid_size, ask_size) - middle) <= 1e-12 * np.maximum(bid, ask))
    assert Spread(relative=True).apply(bid, ask) == pytest.approx(20_000 * (ask - bid) / (bid + ask), rel=1e-12, abs=1e-9)


def quote(bid: float | None, ask: float | None, bid_size: float = 1, ask_size: float = 3) -> Quote:
    return Quote("AAA", bid=bid, ask=ask, bid_size=bid_size if bid else 0, ask_size=ask_size if ask else 0, ts=1)


def test_an_empty_side_leaves_the_last_two_sided_market():
    micro, spread, imbalance = Microprice(), Spread(), BookImbalance()
    for indicator in (micro, spread):
        assert np.isnan(indicator.on_quote(quote(None, 10)))
        assert not indicator.ready
    assert micro.on_quote(quote(10, 12)) == 10.5
    assert spread.on_quote(quote(10, 12)) == 2
    assert micro.on_quote(quote(11, None)) == 10.5
    assert spread.update(11, float("nan")) == 2
    assert imbalance.on_quote(quote(10, 12)) == -0.5
    assert imbalance.on_quote(quote(10, None)) == 1
    assert micro.ready
    micro.reset()
    assert not micro.ready


@pytest.mark.parametrize("kind", [str, Decimal, int, np.float64, np.int64])
def test_every_kind_of_number_is_taken(kind):
    quotes = [(10, 12, 3, 5), (11, 12, 0, 0), (9, 14, 7, 1)]
    for make, pick in ((BookImbalance, slice(2, 4)), (Microprice, slice(0, 4)), (Spread, slice(0, 2))):
        single, theirs, batch = make(), make(), make()
        expected = [single.update(*map(float, quote[pick])) for quote in quotes]
        assert bits([theirs.update(*map(kind, quote[pick])) for quote in quotes]) == bits(expected)
        columns = zip(*(tuple(map(kind, quote[pick])) for quote in quotes), strict=True)
        assert bits(batch.apply(*map(list, columns))) == bits(expected)
    for bad in ("", "ten", None, [1.0], 10**400):
        with pytest.raises((ValueError, TypeError)):
            Microprice().update(1, 2, 3, bad)


def test_records_and_quotes_say_the_same_and_only_quotes_count():
    quotes = [quote(10, 12), quote(11, None), quote(11, 12, 5, 5), quote(None, None)]
    rows = np.frombuffer(b"".join(q.to_bytes() for q in quotes), quote_dtype).copy()
    trade = np.zeros(1, trade_dtype)
    trade["type"], trade["px"], trade["qty"] = RecordType.TRADE, 7, 7
    mixed = np.concatenate([rows[:1].view("V64"), trade.view("V64"), rows[1:].view("V64")])
    assert rows["ask_px"][1] == NO_PRICE
    for make in (BookImbalance, Microprice, Spread, lambda: Spread(relative=True)):
        single, batch = make(), make()
        ones = [single.on_quote(q) for q in quotes]
        assert bits(batch.apply_records(rows)) == bits(ones)
        assert bits(make().apply_records(mixed)) == bits([ones[0], *ones])
    assert len(Spread().apply_records(rows[:0])) == 0


def test_the_book_says_the_same_imbalance():
    book = OrderBook(1)
    book.update(Side.BUY, 10, 7)
    book.update(Side.SELL, 11, 2)
    assert book.imbalance(1) == BookImbalance().update(7, 2)


@pytest.mark.parametrize("bad", [-1.0, float("nan"), float("inf")])
def test_what_is_no_size_is_refused(bad):
    for verb in (lambda: BookImbalance().update(bad, 1), lambda: Microprice().update(1, 2, 1, bad)):
        with pytest.raises(ValueError, match="can take"):
            verb()
    with pytest.raises(ValueError, match="1 quotes"):
        BookImbalance().apply([1.0, bad], [1.0, 1.0])
    with pytest.raises(ValueError, match="lengths"):
        BookImbalance().apply([1.0], [1.0, 1.0])
    with pytest.raises(ValueError, match="can take"):
        Spread().update(float("inf"), 1)
