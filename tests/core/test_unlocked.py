"""Batches let go of the interpreter while they run, and make no object for what is in them."""

import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bench import material
from tests.unlocked import lets_others_run

from pyrt import RingBuffer
from pyrt._core.controls import order_dtype
from pyrt._core.indicators import ATR, EMA, SMA, VWAP, IndicatorSet
from pyrt._core.ledger import Ledger
from pyrt._core.pipeline import Pipeline
from pyrt._core.quoted import BookImbalance, Microprice, Spread
from pyrt._core.risk import RULES, Gate
from pyrt._core.types import bar_dtype, ref_dtype

N = 40_000
Call = Callable[[], object]


def columns() -> tuple[np.ndarray, ...]:
    close = 100 + np.arange(N) % 7
    return close + 1.0, close - 1.0, close * 1.0, np.ones(N)


def bars() -> np.ndarray:
    rows = np.zeros(N, bar_dtype)
    rows["high_px"], rows["low_px"], rows["close_px"] = (int(x) * 10**9 for x in (102, 99, 100))
    return rows


def of_indicator(make: Callable[[], Any], *given: Any) -> Call:
    indicator = make()
    return lambda: indicator.apply(*given)


def of_set(*given: Any) -> Call:
    together, out = IndicatorSet(SMA(9), EMA(9), ATR(9)), np.empty((N, 3))
    return lambda: together.apply(*given, out=out)


def of_quotes(make: Callable[[], Any]) -> Call:
    indicator, records = make(), material.quotes(N)
    return lambda: indicator.apply_records(records)


def of_gate(verb: str) -> Call:
    gate = Gate(Ledger(), np.zeros(8, ref_dtype))  # nothing is set: all are denied
    gate.set_rules(dict.fromkeys(RULES, 1))
    gate.ledger.define(1, lot=1)
    rows = np.zeros(N, order_dtype)
    rows["instrument"], rows["side"], rows["type"], rows["qty"], rows["limit_px"] = 1, 1, 2, 10**9, 10**9
    return lambda: getattr(gate, verb)(rows, now=1, mono=1)


def of_pipeline() -> Call:
    pipeline, records = Pipeline(capacity=8), material.mixed(N)
    pipeline.add(1, 10_000_000, intervals=(1_000_000_000,))

    def run() -> None:
        pipeline.run(records)
        pipeline.take_bars()

    return run


BATCHES: dict[str, Callable[[], Call]] = {
    "SMA": lambda: of_indicator(lambda: SMA(9), columns()[2]),
    "ATR": lambda: of_indicator(lambda: ATR(9), *columns()[:3]),
    "VWAP": lambda: of_indicator(lambda: VWAP(9), *columns()[2:]),
    "ATR of bars": lambda: of_indicator(lambda: ATR(9), bars()),
    "a set": lambda: of_set(*columns()),
    "a set of bars": lambda: of_set(bars()),
    "BookImbalance": lambda: of_indicator(BookImbalance, *columns()[2:]),
    "Microprice": lambda: of_indicator(Microprice, *columns()),
    "Spread": lambda: of_indicator(Spread, *columns()[:2]),
    "BookImbalance of records": lambda: of_quotes(BookImbalance),
    "Microprice of records": lambda: of_quotes(Microprice),
    "Spread of records": lambda: of_quotes(Spread),
    "check_all": lambda: of_gate("check_all"),
    "check_firm": lambda: of_gate("check_firm"),
    "Pipeline.run": of_pipeline,
}


@pytest.mark.parametrize("name", BATCHES)
def test_a_batch_lets_other_threads_run(name: str) -> None:
    assert lets_others_run(BATCHES[name](), 2_000)


@pytest.mark.parametrize("name", BATCHES)
def test_a_batch_makes_no_object_for_what_is_in_it(name: str) -> None:
    call = BATCHES[name]()
    call()
    before, kept = sys.getallocatedblocks(), call()
    assert sys.getallocatedblocks() - before < 50, kept


class Ring:
    """One writer and one reader; `few` records at a time keep the interpreter."""

    def __init__(self, path: Path) -> None:
        path.chmod(0o700)
        self.writer = RingBuffer.create("market", capacity=65_536, directory=path)
        self.reader = RingBuffer.open("market", directory=path)
        self.records, self.few = material.trades(30_000), material.trades(16)
        self.out = np.empty(65_536, self.records.dtype)

    def publish(self) -> None:
        self.writer.publish(self.records)

    def publish_few(self) -> None:
        for at in range(0, len(self.records), len(self.few)):
            self.writer.publish(self.records[at : at + len(self.few)])


def test_a_ring_lets_others_run_while_many_records_are_published(tmp_path: Path) -> None:
    assert lets_others_run(Ring(tmp_path).publish, 2_000)


@pytest.mark.parametrize("verb", ["read", "read_into"])
def test_a_ring_lets_others_run_while_many_records_are_read(tmp_path: Path, verb: str) -> None:
    ring = Ring(tmp_path)

    def read() -> None:
        ring.publish_few()  # the writer lets go of nothing here: it is the reader who does
        assert len(ring.reader.read()) if verb == "read" else ring.reader.read_into(ring.out)

    assert not lets_others_run(ring.publish_few, 20)
    assert lets_others_run(read, 500)


def test_a_ring_makes_no_object_for_a_record(tmp_path: Path) -> None:
    ring = Ring(tmp_path)

    def through() -> int:
        ring.publish()
        return ring.reader.read_into(ring.out)

    assert through() == len(ring.records)
    before = sys.getallocatedblocks()
    assert through() == len(ring.records)
    assert sys.getallocatedblocks() - before < 20


def frame_of(n: int) -> bytes:
    return material.frames(material.trades(n), "msgpack", n)[0]


def test_a_long_frame_is_read_without_the_interpreter_and_a_short_one_with_it() -> None:
    decoder = material.decoder("msgpack")
    long, short = frame_of(10_000), frame_of(500)
    assert len(long) > 262_144 > len(short)

    def feed(frame: bytes) -> None:
        decoder.feed(frame, 1)
        decoder.take()

    assert not lets_others_run(lambda: feed(short), 20)
    assert lets_others_run(lambda: feed(long), 2_000)


def test_a_long_frame_gives_what_its_messages_give_in_short_ones() -> None:
    one, many, records = material.decoder("msgpack"), material.decoder("msgpack"), material.mixed(10_000)
    assert one.feed(material.frames(records, "msgpack", 10_000)[0], 1) == 10_000
    for frame in material.frames(records, "msgpack", 100):
        many.feed(frame, 1)
    assert [rows.tobytes() for rows in one.take()] == [rows.tobytes() for rows in many.take()]


def test_a_decoder_that_reads_in_another_thread_is_left_alone() -> None:
    """Memory moves while it reads: whoever comes is turned away until it is done."""
    decoder, frame, seen = material.decoder("msgpack"), frame_of(40_000), list[str]()
    start = threading.Barrier(2)

    def beside() -> None:
        start.wait()
        while "done" not in seen:
            for verb in (decoder.take, lambda: decoder.feed(b"", 1), lambda: decoder.register("B", 9, tick=1, sub_tick=1)):
                try:
                    verb()
                except RuntimeError as e:
                    seen.append(str(e))

    thread = threading.Thread(target=beside)
    thread.start()
    start.wait()
    for _ in range(2_000):
        try:
            decoder.feed(frame, 1)
            decoder.take()
        except RuntimeError as e:  # never: the other thread's calls are short and keep the interpreter
            seen.append(f"own: {e}")
        if seen:
            break
    seen.append("done")
    thread.join()
    assert seen[0] == "a frame is being read in another thread"
    assert not [said for said in seen if said.startswith("own")]
