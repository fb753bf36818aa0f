"""From the bytes of a frame to the bytes of an order, in one process; and how many messages, signals and orders a core takes."""

import time
from array import array
from collections.abc import Sequence

from bench import material
from bench.material import T0
from bench.rig import Shell, Taker, assemble, close_bars, symbols
from pyrt._core.book import OrderBook
from pyrt._core.events import Quote
from pyrt._core.types import delta_dtype
from pyrt.clock import Now
from pyrt.model import Instrument, Signal
from pyrt.session import Session
from pyrt.strategies import Strategy
from pyrt.strategies.sma_cross import SmaCross

MS = 1_000_000


def frame_to_order(n: int = 20_000) -> tuple[list[int], list[int]]:
    """From the bytes of a one-quote frame to the body of the order that it causes: decode, book, strategy, risk, execution.

    Wall ns and CPU ns of each; on a busy machine only the second is ours alone.
    """
    queued = array("q", [0, 0])

    def note(body: bytes) -> None:
        queued[0], queued[1] = time.perf_counter_ns(), time.thread_time_ns()

    shell = Shell(note)
    session = assemble(shell, [Taker()], Now(T0, T0))
    decoder = material.decoder("msgpack")
    frames = material.frames(material.quotes(n), "msgpack", 1)
    wall, cpu = [], []
    for k, frame in enumerate(frames):
        now = Now(T0 + k * MS * 10, T0 + k * MS * 10)
        begun_cpu, begun = time.thread_time_ns(), time.perf_counter_ns()
        decoder.feed(frame, now.venue)
        records, _ = decoder.take()
        session.on_market(records, now)
        wall.append(queued[0] - begun)
        cpu.append(queued[1] - begun_cpu)
        shell.answer(now)
    if min(wall) <= 0 or session.counts["fills"] != n:
        raise RuntimeError(f"{session.counts['fills']} fills for {n} quotes, refusals {dict(session.refusals)}")
    return wall[n // 10 :], cpu[n // 10 :]


def pump(session: Session, frames: Sequence[bytes], instruments: int, seconds: float, step: int) -> tuple[int, float]:
    """Messages decoded and handled, and the CPU seconds that it took, for about `seconds`; `step` venue ns between rounds."""
    decoder = material.decoder("msgpack", instruments)
    done, begun, venue = 0, time.thread_time(), T0
    while time.thread_time() - begun < seconds:
        venue += step
        now = Now(venue, venue)
        for frame in frames:
            decoder.feed(frame, venue)
            records, _ = decoder.take()
            session.on_market(records, now)
            done += len(records)
        close_bars(session, now)
    took = time.thread_time() - begun
    if sum(v for k, v in decoder.counters.items() if k.startswith(("malformed", "refused", "unknown"))):
        raise RuntimeError(f"messages were lost: {decoder.counters}")
    return done, took


def messages(instruments: int, size: int, seconds: float) -> float:
    """Market messages a CPU second: frames of `size` messages into books, references and bars, and SmaCross on its bars."""
    shell = Shell(lambda body: None)
    session = assemble(shell, [SmaCross(symbols=symbols(instruments), warmup=0)], Now(T0, T0))
    frames = material.frames(material.mixed(20_000, instruments), "msgpack", size, instruments)
    done, took = pump(session, frames, instruments, seconds, 20_000 * MS)
    if session.counts["messages"] < done:  # more: the timers that close bars
        raise RuntimeError("messages were lost")
    return done / took


class Opinion(Strategy):
    """A signal for every quote, from a running mean: what a model in Python would do at its cheapest."""

    symbols = ("AAA",)

    def on_start(self) -> None:
        self.mean = 0.0

    def on_quote(self, quote: Quote) -> None:
        middle = quote.mid
        self.mean += (middle - self.mean) * 0.01
        self.signal(quote.symbol, "buy" if middle > self.mean else "sell", 0.7)


class Nothing:
    """A sizer that finds every opinion too weak."""

    def size(self, signal: Signal, instrument: Instrument, ref_px: int) -> int:
        return 0


def signals(seconds: float) -> float:
    """Signals a CPU second from a Python strategy that is called for every quote and signals on each."""
    session = assemble(Shell(lambda body: None), [Opinion()], Now(T0, T0))
    session.desk._sizer = Nothing()
    frames = material.frames(material.quotes(20_000), "msgpack", 50)
    done, took = pump(session, frames, 1, seconds, 20_000 * MS)
    if session.counts["signals"] != done:
        raise RuntimeError(f"{session.counts['signals']} signals for {done} quotes")
    return done / took


def orders(n: int = 5_000) -> float:
    """Whole orders a CPU second: quote, decision, check, intent, body, acceptance, fill, position."""
    shell = Shell(lambda body: None)
    session = assemble(shell, [Taker()], Now(T0, T0))
    records = material.quotes(n)
    begun = time.thread_time()
    for k in range(n):
        now = Now(T0 + k * MS * 10, T0 + k * MS * 10)
        session.on_market(records[k : k + 1], now)
        shell.answer(now)
    took = time.thread_time() - begun
    if session.counts["fills"] != n:
        raise RuntimeError(f"{session.counts['fills']} fills for {n} quotes")
    return n / took


def book_updates(n: int = 100_000) -> list[int]:
    """Wall ns of single updates and reads of the best bid, from Python."""
    updates = material.deltas(n).view(delta_dtype)
    rows = list(zip(updates["side"].tolist(), updates["px"].tolist(), updates["qty"].tolist(), strict=True))
    book = OrderBook(material.TICK)
    took = []
    for side, px, qty in rows:
        begun = time.perf_counter_ns()
        book.update(side, px, qty)
        _ = book.best_bid
        took.append(time.perf_counter_ns() - begun)
    return took
