"""Order by order: a made-up stretch of an ITCH 5.0 day into the books of all shares."""

import ctypes
import time
from collections.abc import Callable, Iterator
from functools import partial
from importlib import import_module
from typing import Any

import numpy as np

from bench.limits import limit
from bench.material import CENT, Records
from bench.rows import Contender, Row, Took
from pyrt._core.itch import ItchBooks
from pyrt._core.itch_records import encode
from pyrt._core.l3 import OrderAction, order_event_dtype
from pyrt._core.types import Side

CASES = {"few": (200_000, 100, 0.04), "many": (1_000_000, 5_000, 0.3)}
WHAT = "ITCH 5.0 message into its book, {:,} shares, {:,} orders standing at the end"


def rows() -> Iterator[Row]:
    for case, (orders, shares, staying) in CASES.items():
        events = day(orders, shares, staying)
        data = encode(events)
        after = ItchBooks()
        after.feed(data)
        standing = after.counters["orders"]
        contenders = (
            Contender("ItchBooks.feed", "ours", partial(ours, data, shares), clock="own"),
            Contender("C books", "limit", partial(bare, data), clock="own"),
            peer("itch-book", "itch_book._core", itch_book, data, standing),
            peer("itchcpp", "itchcpp._itchcpp", itchcpp, data, standing),
        )
        yield Row(f"itch.{case}", WHAT.format(shares, standing), "ns", len(events), contenders, bound=1.2)


def peer(name: str, module: str, run: Callable[..., Took], data: bytes, standing: int) -> Contender:
    try:
        package = import_module(module)
    except ImportError:
        return Contender(name, "peer", None)
    return Contender(name, "peer", partial(run, package, data, standing), clock="own")


def timed(feed: Callable[[], object]) -> float:
    begun = time.thread_time_ns()
    feed()
    return (time.thread_time_ns() - begun) / 1e9


def ours(data: bytes, shares: int) -> Took:
    """New books each round: what they need of memory is part of the work."""
    books = ItchBooks()
    seconds = timed(lambda: books.feed(data))
    levels = total = 0
    for share in range(1, shares + 1):
        book = books.book(share)
        levels += book.counters["bids"] + book.counters["asks"]
        for side in book.depth(3):
            total += int((side["px"] // 100_000 * 31 + side["qty"] * 7 + side["orders"]).sum())
    lost = sum(books.counters[name] for name in ("unknown", "duplicates", "refused", "clipped", "malformed"))
    return Took(seconds, (books.counters["orders"], levels, lost, total))


def bare(data: bytes) -> Took:
    c = limit("itch")
    c.itch_new.restype = ctypes.c_void_p
    c.itch_feed.restype = ctypes.c_int64
    books = ctypes.c_void_p(c.itch_new())
    size = ctypes.c_int64(len(data))
    state = (ctypes.c_int64 * 4)()
    try:
        seconds = timed(lambda: c.itch_feed(books, data, size))
        c.itch_state(books, state)
    finally:
        c.itch_free(books)
    return Took(seconds, tuple(state))


def itch_book(package: Any, data: bytes, standing: int) -> Took:
    """Without any of its tables: books alone."""
    session = package.Session([], 0, [])
    seconds = timed(lambda: session.feed(data))
    assert session.stats()["live_orders"] == standing
    return Took(seconds, None)


def itchcpp(package: Any, data: bytes, standing: int) -> Took:
    books = package.BookManager()
    return Took(timed(lambda: books.process_stream(data)), None)


def day(orders: int, shares: int, staying: float, seed: int = 1) -> Records:
    """Orders one after the other, most of them soon gone, some replaced, executed in two parts or reduced; `staying` of them stay.

    Half of the shares have most of the orders; prices lie where a geometric distance from the middle puts them.
    """
    rng = np.random.default_rng(seed)
    begun = np.arange(orders) * 2.0
    draw = rng.random(orders)
    soon = np.where(draw < 0.6, rng.exponential(60, orders), rng.exponential(20_000, orders))
    life = 1 + np.where(draw < 1 - staying, soon, 4.0 * orders)
    base = np.zeros(orders, order_event_dtype)
    weights = np.arange(1, shares + 1) ** -0.8
    base["instrument"] = 1 + rng.choice(shares, orders, p=weights / weights.sum())
    base["side"] = rng.integers(1, 3, orders)
    base["order"] = 1_000 + 2 * np.arange(orders)
    base["qty"] = rng.choice([25, 50, 100, 100, 100, 200, 300, 500], orders)
    away = np.minimum(rng.geometric(0.12, orders) - 1 + (rng.random(orders) < 0.05) * rng.integers(0, 300, orders), 900)
    buy = base["side"] == Side.BUY
    base["px"] = (2_000 + 37 * (base["instrument"].astype(np.int64) % 500) + np.where(buy, -away, 1 + away)) * CENT
    fate = rng.random(orders)
    replaced, executed, reduced = fate < 0.16, (fate >= 0.16) & (fate < 0.22), (fate >= 0.22) & (fate < 0.25)
    half = base["qty"] // 2
    moved = base["px"] + np.where(buy, -1, 1) * rng.integers(0, 4, orders) * CENT
    parts = [
        part(base, begun, OrderAction.ADD, np.ones(orders, bool)),
        part(base, begun + life, OrderAction.REPLACE, replaced, other=base["order"] + np.uint64(1), px=moved),
        part(base, begun + 2 * life, OrderAction.DELETE, replaced, order=base["order"] + np.uint64(1)),
        part(base, begun + 0.7 * life, OrderAction.EXECUTE, executed, qty=half, px=0),
        part(base, begun + life, OrderAction.EXECUTE, executed, qty=base["qty"] - half, px=0),
        part(base, begun + 0.7 * life, OrderAction.CANCEL, reduced, qty=half),
        part(base, begun + life, OrderAction.DELETE, ~replaced & ~executed),
    ]
    at, events = (np.concatenate(columns) for columns in zip(*parts, strict=True))
    inside = at < 2.0 * orders
    out: Records = events[inside][np.argsort(at[inside], kind="stable")]
    out["ts"] = 34_200 * 10**9 + np.arange(len(out)) * 1_000
    return out


def part(base: Records, at: Any, action: OrderAction, where: Any, **fields: Any) -> tuple[Any, Records]:
    out = base[where]
    out["action"] = action
    for name, value in fields.items():
        out[name] = value[where] if isinstance(value, np.ndarray) else value
    return at[where], out
