"""Recorded days order by order: LOBSTER's row after every message, CME's book at the start of its session."""

import numpy as np
import pytest
from tests.reference.l3 import ReferenceL3

from pyrt._core.itch import ItchBooks
from pyrt._core.itch_records import encode
from pyrt._core.l3 import L3Book, OrderAction, order_event_dtype
from pyrt._core.types import Side
from pyrt.history.lobster import NONE, PX
from pyrt.history.orders import LobsterOrders, read_mbo

pytestmark = [pytest.mark.real_data, pytest.mark.row("S021")]


@pytest.mark.parametrize(("levels", "messages"), [(1, 57_515), (5, 155_935)])
def test_lobster_every_row_after_its_message(market_data, levels, messages):
    """Prices and sizes of every row, from a book that only applies the events; and again from those events as ITCH bytes."""
    (path,) = (market_data / "lobster").glob(f"*_{levels}.zip")
    source, book, compared, told = LobsterOrders(path), L3Book(), 0, []
    for events, ends, rows in source.chunks():
        told.append(events)
        after, begin = [], 0
        for end in ends.tolist():
            book.apply(events[begin:end])
            begin = end
            after.append(book.depth(levels))
        for side, at in ((0, 2), (1, 0)):
            px, qty = rows[:, at::4], rows[:, at + 1 :: 4]
            there = np.abs(px) != NONE
            ours = np.concatenate([sides[side] for sides in after])
            assert [len(sides[side]) for sides in after] == there.sum(axis=1).tolist()
            assert np.array_equal(ours["px"], px[there] * PX)
            assert np.array_equal(ours["qty"], qty[there])
        compared += len(rows)
    assert compared == messages
    assert not source.counts["rows that their message does not explain"]
    assert source.counts["levels revealed"] > 1_000
    assert {book.counters[name] for name in ("unknown", "duplicates", "refused", "clipped")} == {0}
    day = np.concatenate(told)
    assert (day["action"] == OrderAction.EXECUTE).sum() > 3_000
    books = ItchBooks()
    books.feed(encode(day, {1: "AMZN"}))
    for ours, again in zip(book.depth(1_000), books.book(1).depth(1_000), strict=True):
        assert np.array_equal(ours, again)
        for px in ours["px"].tolist():
            side = Side.BUY if px <= book.best_bid[0] else Side.SELL
            assert np.array_equal(book.queue(side, px), books.book(1).queue(side, px))


def test_cme_the_book_at_the_start_of_the_session(market_data):
    pytest.importorskip("zstandard", reason="CME's file is packed by zstd and the package zstandard is not installed")
    (path,) = (market_data / "cme-mbo").glob("*.dbn.zst")
    events = read_mbo(path)
    assert (events["action"] == OrderAction.ADD).sum() == 8_725
    book, oracle = L3Book(), ReferenceL3()
    for k, row in enumerate(events):  # each of them: what stands before the order is what was told before it
        book.apply(events[k : k + 1])
        fields = {name: row[name].item() for name in order_event_dtype.names}
        oracle.apply(fields)
        if fields["action"] == OrderAction.ADD:
            queue = oracle.queues[fields["side"], fields["px"]]
            orders, _ = book.ahead(fields["order"])
            assert orders == len(queue) - 1
    for rows, side in zip(book.depth(10**6), (Side.BUY, Side.SELL), strict=True):
        assert rows.tolist() == oracle.levels(side)
    assert (book.best_bid[0], book.best_ask[0]) == (4_799_000_000_000, 4_799_500_000_000)
    assert book.flags == 0
    assert {book.counters[name] for name in ("unknown", "duplicates", "refused", "clipped")} == {0}
    whole = L3Book()
    assert whole.apply(events) == len(events) - (events["action"] == OrderAction.TRADE).sum()
    assert [side.tolist() for side in whole.depth(10**6)] == [side.tolist() for side in book.depth(10**6)]
