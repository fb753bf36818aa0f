"""The level book: updates that each leave the best price up to date, in a batch and one Python call at a time."""

import ctypes
from collections.abc import Iterator
from typing import Any

import numpy as np

from bench import material
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
        ),
        bound=1.15,
    )


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
    import numba  # type: ignore[import-not-found]

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
    from sortedcontainers import SortedDict  # type: ignore[import-untyped]

    columns = records.view(delta_dtype)
    updates = list(zip(columns["side"].tolist(), columns["px"].tolist(), columns["qty"].tolist(), strict=True))
    bids, asks = SortedDict(), SortedDict()

    def run() -> None:
        for side, px, qty in updates:
            levels, at = (bids, -1) if side == Side.BUY else (asks, 0)
            if qty:
                levels[px] = qty
            else:
                levels.pop(px, None)
            if levels:
                levels.peekitem(at)

    return run
