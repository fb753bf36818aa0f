"""The level book: updates that each leave the best price up to date, in a batch and one Python call at a time."""

import ctypes
from bisect import bisect_left, insort
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from bench import material, peers_book
from bench.limits import limit
from bench.material import TICK
from bench.rows import Contender, Row, Run, peer
from pyrt._core.book import OrderBook
from pyrt._core.types import Side, delta_dtype

N = 100_000
SLOW = 20_000  # operations a round of what makes objects
State = tuple[int, ...]


def rows() -> Iterator[Row]:
    records = material.deltas(N)
    yield Row(
        "book.batch",
        "book update + best price, one instrument, batch",
        "ns",
        N,
        (
            Contender("OrderBook.apply", "ours", ours(records)),
            Contender("C ladder", "limit", bare(records)),
            peer("numba ladder", lambda: numba_ladder(records)),
            peer("sortedcontainers", lambda: sorted_dicts(records[:SLOW]), operations=SLOW),
            peer("fastmm-engine", lambda: peers_book.fastmm_batch(records)),
            hftbacktest(records),
        ),
        bound=1.15,
    )
    few = records[:SLOW]
    yield Row(
        "book.call",
        "book update + best price, one Python call",
        "ns",
        SLOW,
        (
            Contender("OrderBook.update_best", "ours", calls(few)),
            Contender("C ladder, batch", "limit", bare(few)),
            peer("dict + bisect", lambda: dicts(few)),
            peer("sortedcontainers", lambda: sorted_dicts(few)),
            peer("order-book", lambda: order_books(few)),
            peer("nautilus_trader", lambda: nautilus(few)),
            peer("fastmm-engine", lambda: peers_book.fastmm_calls(few)),
        ),
        most=120,
    )


def hftbacktest(records: material.Records) -> Contender:
    """Its book can be fed once only: a new one is made before each round."""
    made: list[peers_book.HftBacktest] = []

    def make() -> Run:
        made.append(peers_book.HftBacktest(records))
        return made[0].run

    found = peer("hftbacktest", make)
    return replace(found, before=made[0].make) if found.run else found


def updates(records: material.Records) -> list[tuple[int, int, int]]:
    columns = records.view(delta_dtype)
    return list(zip(columns["side"].tolist(), columns["px"].tolist(), columns["qty"].tolist(), strict=True))


def calls(records: material.Records) -> Run:
    """The limit's answer is the batch's: how many were applied, the last id and time are told beside the book here."""
    changes, book = updates(records), OrderBook(TICK)
    last = records.view(delta_dtype)[-1]

    def run() -> State:
        update = book.update_best
        for side, px, qty in changes:
            update(side, px, qty)
        (bid, bid_qty), (ask, ask_qty) = book.best_bid or (0, 0), book.best_ask or (0, 0)
        return len(changes), bid, bid_qty, ask, ask_qty, int(last["update_id"]), int(last["ts_event"]), book.counters["refused"]

    return run


def dicts(records: material.Records) -> Run:
    """A dictionary of quantities and a sorted list of prices a side."""
    changes = updates(records)

    def run() -> None:
        sizes: dict[int, dict[int, int]] = {1: {}, 2: {}}
        prices: dict[int, list[int]] = {1: [], 2: []}
        for side, px, qty in changes:
            levels, known = sizes[side], prices[side]
            if not qty:
                if levels.pop(px, None) is not None:
                    del known[bisect_left(known, px)]
            else:
                if px not in levels:
                    insort(known, px)
                levels[px] = qty
            if known:
                known[-1 if side == 1 else 0]

    return run


def order_books(records: material.Records) -> Run:
    from order_book import OrderBook as Peer

    changes, book = updates(records), Peer()

    def run() -> None:
        for side, px, qty in changes:
            levels = book.bids if side == Side.BUY else book.asks
            if qty:
                levels[px] = qty
            elif px in levels:
                del levels[px]
            if len(levels):
                levels.index(0)

    return run


def nautilus(records: material.Records) -> Run:
    """Its objects are made beforehand; what is timed is apply_delta and the best price."""
    from nautilus_trader.model.book import OrderBook as Peer
    from nautilus_trader.model.data import BookOrder, OrderBookDelta
    from nautilus_trader.model.enums import BookAction, BookType, OrderSide
    from nautilus_trader.model.identifiers import InstrumentId
    from nautilus_trader.model.objects import Price, Quantity

    instrument, deltas = InstrumentId.from_str("AAA.XNAS"), []
    for i, (side, px, qty) in enumerate(updates(records)):
        order = BookOrder(OrderSide(side), Price(px / 1e9, 2), Quantity(qty / 1e9, 0), 0)
        deltas.append(OrderBookDelta(instrument, BookAction.UPDATE if qty else BookAction.DELETE, order, 0, i, i, i))

    def run() -> None:
        book = Peer(instrument, BookType.L2_MBP)
        for delta in deltas:
            book.apply_delta(delta)
            book.best_bid_price()

    return run


def ours(records: material.Records) -> Run:
    book, data = OrderBook(TICK), records.view(np.uint8)

    def run() -> State:
        applied = book.apply(data)
        (bid, bid_qty), (ask, ask_qty) = book.best_bid or (0, 0), book.best_ask or (0, 0)
        return applied, bid, bid_qty, ask, ask_qty, book.update_id, book.ts, book.counters["refused"]

    return run


def bare(records: material.Records) -> Run:
    c = limit("book")
    c.book_new.restype = ctypes.c_void_p
    c.book_apply.restype = ctypes.c_int64
    book = ctypes.c_void_p(c.book_new(ctypes.c_int64(TICK)))
    data, n = ctypes.c_void_p(records.ctypes.data), ctypes.c_int64(len(records))
    state = (ctypes.c_int64 * 7)()

    def run() -> State:
        applied = c.book_apply(book, data, n)
        c.book_state(book, state)
        return applied, *state

    return run


def numba_ladder(records: material.Records) -> Run:
    """As a quant would write it: a dense array of quantities, the best price walked from where it was."""
    import numba

    columns = records.view(delta_dtype)
    ticks = columns["px"] // TICK - 18_000

    @numba.njit  # type: ignore[untyped-decorator]
    def apply(side: Any, tick: Any, qty: Any, sizes: Any, best: Any) -> None:
        for i in range(len(tick)):
            s, t = side[i] - 1, tick[i]
            sizes[s, t] = qty[i]
            if s == 0:
                if qty[i] > 0 and t > best[0]:
                    best[0] = t
                while best[0] > 0 and sizes[0, best[0]] == 0:
                    best[0] -= 1
            else:
                if qty[i] > 0 and t < best[1]:
                    best[1] = t
                while best[1] < 2047 and sizes[1, best[1]] == 0:
                    best[1] += 1

    side, tick, qty = columns["side"].astype(np.int64), ticks.astype(np.int64), columns["qty"].astype(np.int64)
    sizes, best = np.zeros((2, 2048), np.int64), np.array([0, 2047])
    return lambda: apply(side, tick, qty, sizes, best)


def sorted_dicts(records: material.Records) -> Run:
    from sortedcontainers import SortedDict

    changes = updates(records)
    bids, asks = SortedDict(), SortedDict()

    def run() -> None:
        for side, px, qty in changes:
            levels, at = (bids, -1) if side == Side.BUY else (asks, 0)
            if qty:
                levels[px] = qty
            else:
                levels.pop(px, None)
            if levels:
                levels.peekitem(at)

    return run
