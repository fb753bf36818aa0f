"""Strategies: a record to a callback through the whole session, compiled and in Python, and from a quote to an order's body."""

import ctypes
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from bench import material
from bench.limits import BUILT, limit
from bench.material import SECOND, T0
from bench.rig import Shell, assemble
from bench.rig import Taker as PythonTaker
from bench.rows import Contender, Row, Took
from bench.rows.bars import output, rules
from pyrt import OrderBook, Strategy
from pyrt._core.events import Quote
from pyrt.clock import Now

N, SLOW, ORDERS, DELTAS = 100_000, 5_000, 300, 400_000


def rows() -> Iterator[Row]:
    records = material.quotes(N)
    yield Row(
        "strategy.quote",
        "a quote to a strategy's on_quote, through the session",
        "ns",
        N,
        (
            Contender("compiled", "ours", *seen(records, lambda: compiled("Mid"))),
            Contender("C loop", "limit", bare(records)),
            Contender("Python strategy", "peer", *seen(records[:SLOW], lambda: Mid, told=False), operations=SLOW),
        ),
    )
    yield Row(
        "strategy.body",
        "a quote in, the order's body queued: limits, engine, its record",
        "us",
        ORDERS,
        (
            Contender("compiled", "ours", ordering(lambda: compiled("Taker"), whole=False), clock="own"),
            Contender("Python strategy", "peer", ordering(lambda: PythonTaker, whole=False), clock="own"),
        ),
        most=1,
    )
    yield Row(
        "strategy.order",
        "a quote in, all that its order brings with it handled: limits, engine, record, facts, views",
        "us",
        ORDERS,
        (
            Contender("compiled", "ours", ordering(lambda: compiled("Taker"), whole=True), clock="own"),
            Contender("Python strategy", "peer", ordering(lambda: PythonTaker, whole=True), clock="own"),
        ),
    )
    yield Row(
        "library.threads",
        "an update of a book's level, two threads on two books (wall time; 1 x one thread's = twice the throughput)",
        "ns",
        DELTAS,
        (Contender("two threads", "ours", threaded(2), clock="own"), Contender("one thread", "peer", threaded(1), clock="own")),
    )


class Mid(Strategy):
    """The middle of each quote, summed."""

    symbols = ("AAA",)
    total = 0

    def on_quote(self, quote: Quote) -> None:
        self.total += (quote.bid_px + quote.ask_px) >> 1


@cache
def compiled(name: str) -> type[Strategy]:
    """A class of bench/compiled.pyx. Raises ConfigError where Cython or a compiler is missing."""
    from pyrt.cli.build import compile_file
    from pyrt.cli.strategies import load_class

    BUILT.mkdir(parents=True, exist_ok=True)
    copy = Path(shutil.copy(Path(__file__).parents[1] / "compiled.pyx", BUILT))
    compile_file(copy)
    return load_class(f"{copy}:{name}")


def seen(
    records: material.Records, kind: Callable[[], type[Strategy]], *, told: bool = True
) -> tuple[Callable[[], int | None], Callable[[], None]]:
    made: list[Any] = []
    now = Now(T0, T0)

    def before() -> None:
        strategy: Any = kind()()
        made[:] = [strategy, assemble(Shell(lambda body: None), [strategy], now)]

    def run() -> int | None:
        made[1].on_market(records, now)
        return int(made[0].total) if told else None

    return run, before


def bare(records: material.Records) -> Callable[[], int]:
    c = limit("strategy")
    c.pipeline_new.restype = c.strategy_new.restype = ctypes.c_void_p
    c.strategy_run.restype = ctypes.c_int64
    out, table = output(c), rules()
    pipeline = ctypes.c_void_p(c.pipeline_new(2, None, 0, table.ctypes, out))
    strategy = ctypes.c_void_p(c.strategy_new())
    data, n = ctypes.c_void_p(records.ctypes.data), ctypes.c_int64(len(records))
    return lambda: int(c.strategy_run(pipeline, strategy, data, n))


def ordering(kind: Callable[[], type[Strategy]], *, whole: bool) -> Callable[[], Took]:
    """Only the way in is timed, as far as the body or as a whole: the venue answers between the quotes."""
    quotes = material.quotes(ORDERS)
    quotes["ts_event"] = quotes["ts_recv"] = T0 + np.arange(ORDERS) * SECOND

    def run() -> Took:
        queued: list[float] = []
        shell = Shell(lambda body: queued.append(time.thread_time()))
        session = assemble(shell, [kind()()], Now(T0, T0))
        seconds = 0.0
        for i in range(ORDERS):
            at = T0 + i * SECOND
            record, now = quotes[i : i + 1], Now(at, at)
            begun = time.thread_time()
            session.on_market(record, now)
            over = time.thread_time()
            if whole or len(queued) > i:
                seconds += (over if whole else queued[i]) - begun
            shell.answer(now)
        if len(queued) < ORDERS - 1:
            raise ValueError(f"{len(queued)} orders of {ORDERS} quotes")
        return Took(seconds, None)

    return run


def threaded(n: int) -> Callable[[], Took]:
    """Wall time: what one thread does in it, each of `n` does."""
    records = material.deltas(DELTAS)
    books = [OrderBook("0.01") for _ in range(n)]

    def run() -> Took:
        threads = [threading.Thread(target=book.apply, args=(records,)) for book in books]
        begun = time.perf_counter()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return Took(time.perf_counter() - begun, None)

    return run
