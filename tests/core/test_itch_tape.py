"""Market records of watched shares: each trade, each change of the best prices and of the trading state, and nothing else."""

import numpy as np
import pytest
from tests.core.test_itch import framed, messages_of, random_day
from tests.reference.l3 import ReferenceL3

from pyrt._core.bars import BarAggregator
from pyrt._core.book import OrderBook
from pyrt._core.itch import ItchBooks
from pyrt._core.itch_records import encode, message
from pyrt._core.l3 import OrderAction, order_event_dtype
from pyrt._core.types import NO_PRICE, RecordType, Side, TradingState, quote_dtype, status_dtype, trade_dtype

ONE, SECOND = 10**9, 10**9
MIDNIGHT = 1_577_682_000 * SECOND
HIDDEN = 1


def expected_trade(e, book):
    """(px, shares, match, taker) of a message, from what stood before it; None where nothing was printed."""
    if e["action"] == OrderAction.TRADE:
        return e["px"], e["qty"], e["other"], 0
    standing = book.orders.get(e["order"])
    if e["action"] != OrderAction.EXECUTE or standing is None or e["flags"] & HIDDEN:
        return None
    taker = Side.SELL if standing[0] == Side.BUY else Side.BUY
    return e["px"] or standing[1], min(e["qty"], standing[2]), e["other"], taker


def best(book):
    tops = [next(iter(book.levels(side)), (NO_PRICE, 0, 0)) for side in (Side.BUY, Side.SELL)]
    return tuple(value for px, qty, _ in tops for value in (px, qty * ONE))


def test_each_message_of_a_share_tells_what_it_changed():
    events = random_day(3, 2_500, shares=1)
    books, oracle = ItchBooks(midnight=MIDNIGHT), ReferenceL3()
    books.watch(1, 42)
    last, counted = (NO_PRICE, 0, NO_PRICE, 0), {RecordType.TRADE: 0, RecordType.QUOTE: 0}
    told = []
    for row in events:
        e = {name: row[name].item() for name in order_event_dtype.names}
        trade = expected_trade(e, oracle)
        oracle.apply(e)
        books.feed(encode(row.reshape(1)))
        records = books.take()
        told.append(records)
        kinds = [RecordType.TRADE] * (trade is not None) + [RecordType.QUOTE] * (best(oracle) != last)
        assert records["type"].tolist() == kinds
        assert set(records["instrument"].tolist()) <= {42}
        assert set(records["ts_event"].tolist()) <= {MIDNIGHT + e["ts"]}
        if trade is not None:
            r = records[:1].view(trade_dtype)[0]
            px, qty, match, taker = trade
            assert (r["px"], r["qty"], r["trade_id"], r["taker"]) == (px, qty * ONE, match, taker)
        if best(oracle) != last:
            last = best(oracle)
            r = records[-1:].view(quote_dtype)[0]
            assert (r["bid_px"], r["bid_qty"], r["ask_px"], r["ask_qty"]) == last
        for kind in kinds:
            counted[kind] += 1
    assert min(counted.values()) > 100
    whole = ItchBooks(midnight=MIDNIGHT)
    whole.watch(1, 42)
    whole.feed(encode(events))
    assert np.array_equal(whole.take(), np.concatenate(told))
    assert len(whole.take()) == 0


def test_only_watched_shares_tell_and_books_stay_the_same():
    raw = encode(random_day(4, 3_000))
    plain, some = ItchBooks(), ItchBooks()
    some.watch(2, 7, qty_exp=0)
    some.watch(3, 8)
    plain.feed(raw)
    some.feed(raw)
    records = some.take()
    assert set(records["instrument"].tolist()) == {7, 8}
    assert records["seq"].tolist() == list(range(1, len(records) + 1))
    assert len(plain.take()) == 0
    assert some.counters == plain.counters
    for share, instrument, one in ((2, 7, 1), (3, 8, ONE)):
        book = plain.book(share)
        top = records[(records["instrument"] == instrument) & (records["type"] == RecordType.QUOTE)][-1:].view(quote_dtype)[0]
        assert (top["bid_px"], top["bid_qty"] // one) == book.best_bid
        assert (top["ask_px"], top["ask_qty"] // one) == book.best_ask


def test_crosses_states_and_what_is_not_printed():
    books = ItchBooks()
    books.watch(5, 1)
    books.feed(
        framed(
            message("H", share=5, symbol="X", state="P", reason="LUDP", ts=1),
            message("Q", share=5, qty=0, px=10_0000, cross="O"),  # a cross without a trade
            message("Q", share=5, qty=7, px=10_0000, match=3, cross="O"),
            message("A", share=5, order=1, side="S", qty=10, px=11_0000),
            message("C", share=5, order=1, qty=4, match=4, printable="N", px=11_0000),
            message("C", share=5, order=1, qty=4, match=5, printable="Y", px=10_9900),
            message("E", share=5, order=1, qty=9, match=6),  # more than is left
            message("E", share=5, order=1, qty=1, match=7),  # of an order that is gone
            message("H", share=5, symbol="X", state="T"),
            message("B", share=5, match=5),
        )
    )
    records = books.take()
    kinds = [
        RecordType.STATUS,
        *[RecordType.TRADE, RecordType.QUOTE, RecordType.QUOTE],
        *[RecordType.TRADE, RecordType.QUOTE] * 2,
        4,
    ]
    assert records["type"].tolist() == kinds
    trades = records[records["type"] == RecordType.TRADE].view(trade_dtype)
    assert trades[["px", "qty", "trade_id", "taker"]].tolist() == [
        (10 * ONE, 7 * ONE, 3, 0),
        (10_990_000_000, 4 * ONE, 5, Side.BUY),
        (11 * ONE, 2 * ONE, 6, Side.BUY),
    ]
    assert [chr(c) for c in trades["conditions"]] == ["X", "@", "@"]
    states = records[records["type"] == RecordType.STATUS].view(status_dtype)
    assert states["state"].tolist() == [TradingState.PAUSED, TradingState.TRADING]
    assert int(states["reason"][0]).to_bytes(4, "little") == b"LUDP"


def test_records_go_straight_into_bars_and_level_books():
    books, bars, book = ItchBooks(midnight=MIDNIGHT), BarAggregator([SECOND]), OrderBook(10_000_000, top_only=True)
    books.watch(1, 1)
    books.feed(encode(random_day(6, 2_000, shares=1)))
    records = books.take()
    trades = int((records["type"] == RecordType.TRADE).sum())
    assert bars.apply(records) == trades > 50
    book.apply(records)
    px, qty = books.book(1).best_bid
    assert book.best_bid == (px, qty * ONE)


def test_what_cannot_be_watched_is_refused():
    books = ItchBooks()
    for share, exp in ((-1, 9), (65_536, 9), (1, 10), (1, -1)):
        with pytest.raises(ValueError, match="16 bits"):
            books.watch(share, 1, qty_exp=exp)
    many = framed(*[message("A", share=1, order=k, side="B", qty=2**32 - 1, px=10_0000) for k in range(1, 60)])
    books.watch(1, 1)
    books.feed(many)
    assert books.take().view(quote_dtype)["bid_qty"][-1] == 2**63 - 1  # what 64 bits hold
    assert len(list(messages_of(many))) == 59


def test_nothing_is_sold_for_no_price():
    books = ItchBooks()
    books.watch(5, 1)
    books.feed(
        framed(
            message("P", share=5, side="B", qty=10, px=0, match=1),
            message("P", share=5, side="B", qty=0, px=11_0000, match=2),
            message("Q", share=5, qty=7, px=0, match=3, cross="O"),
            message("A", share=5, order=1, side="S", qty=10, px=11_0000),
            message("C", share=5, order=1, qty=4, match=4, printable="Y", px=0),
            message("E", share=5, order=1, qty=0, match=5),
        )
    )
    assert RecordType.TRADE not in books.take()["type"].tolist()
    assert books.counters["refused"] == 5
    assert books.book(5).best_ask == (11 * ONE, 6)
