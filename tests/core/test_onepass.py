"""Frames through decoder and pipeline in one call: what it comes to is what decode, then run come to."""

import sys
import threading
import tracemalloc
from collections.abc import Callable
from itertools import repeat
from typing import Any

import numpy as np
import pytest
from bench import material
from bench.material import SECOND, SUB_TICK, T0
from hypothesis import given, settings
from hypothesis import strategies as st

from pyrt._core.onepass import OnePass
from pyrt._core.pipeline import Pipeline
from pyrt._core.types import RecordType, market_dtype
from pyrt._core.wire import Decoder

RECORD, BARS, CONTROL = 1, 2, 4
SYMBOLS = 7
WELCOME = b"\x91\x82\xa1T\xa7success\xa3msg\xa9connected"


def stage(symbols: int = SYMBOLS, wake: int = 0, intervals: tuple[int, ...] = (SECOND,)) -> Pipeline:
    pipeline = Pipeline(grace=0)
    for i in range(1, symbols + 1):
        pipeline.add(i, SUB_TICK, intervals=intervals, wake=wake)
    return pipeline


def passage(symbols: int = SYMBOLS, wake: int = 0, codec: str = "msgpack") -> OnePass:
    return OnePass(material.decoder(codec, symbols), stage(symbols, wake))


def twice(pipeline: Pipeline, decoder: Decoder, frames: list[bytes]) -> list[tuple[int, bytes]]:
    """What is due, record for record, by decode and then run."""
    out = []
    for frame in frames:
        decoder.feed(frame, T0)
        records, _ = decoder.take()
        at = 0
        while at < len(records):
            at = pipeline.run(records, at)
            if pipeline.due:
                out.append((pipeline.due, records[at - 1].tobytes()))
                if pipeline.due & BARS:
                    out.append((BARS, pipeline.take_bars().tobytes()))
    return out


def drained(one: OnePass) -> list[tuple[int, bytes]]:
    out = []
    while due := one.due:
        if due & (RECORD | BARS):
            out.append((due & (RECORD | BARS), one.records[one.at - 1].tobytes()))
        if due & BARS:
            out.append((BARS, one.take_bars().tobytes()))
        one.resume()
    return out


@given(
    codec=st.sampled_from(("msgpack", "json")),
    size=st.integers(1, 60),
    wake=st.sets(st.sampled_from((RecordType.TRADE, RecordType.QUOTE, RecordType.BAR))),
    seed=st.integers(0, 1000),
    batch=st.booleans(),
)
@settings(max_examples=40, deadline=None)
def test_one_call_comes_to_what_decode_and_run_come_to(codec: str, size: int, wake: set[int], seed: int, batch: bool) -> None:
    mask = sum(1 << kind for kind in wake)
    frames = material.frames(material.mixed(300, SYMBOLS, seed=seed), codec, size, SYMBOLS)
    frames.insert(len(frames) // 2, frames[0][:-1])  # one that is cut
    pipeline = stage(wake=mask)
    expected = twice(pipeline, material.decoder(codec, SYMBOLS), frames)
    one = passage(wake=mask, codec=codec)
    out = []
    if batch:
        ends = np.cumsum([len(f) for f in frames]).astype(np.int64)
        times, at = np.full(len(frames), T0, np.int64), 0
        while at < len(frames):
            at = one.feed_batch(b"".join(frames), ends, times, at)
            out += drained(one)
    else:
        for frame in frames:
            assert one.feed(frame, T0) == one.due
            out += drained(one)
    assert out == expected
    assert one.pipeline.refs.tobytes() == pipeline.refs.tobytes()
    assert one.take_bars().tobytes() == pipeline.take_bars().tobytes()
    assert one.decoder.counters["malformed"] == 1


def test_control_messages_are_due_before_the_frame_is_over() -> None:
    one = passage(wake=1 << RecordType.QUOTE)
    quote = material.frames(material.quotes(1), "msgpack", 1)[0]
    both = b"\x92" + WELCOME[1:] + quote[1:]
    assert one.feed(both, T0) == RECORD | CONTROL
    assert one.control == [WELCOME[1:]]
    assert one.resume() == 0
    assert one.feed(quote, T0) == RECORD
    assert one.control == []


def test_a_batch_stops_at_control_messages_and_goes_on() -> None:
    one = passage()
    quote = material.frames(material.quotes(1), "msgpack", 1)[0]
    data = quote + WELCOME + quote
    ends = np.array([len(quote), len(quote) + len(WELCOME), len(data)], np.int64)
    times = np.array([T0, T0 + 1, T0 + 2], np.int64)
    assert one.feed_batch(data, ends, times) == 2
    assert (one.due, one.control) == (CONTROL, [WELCOME[1:]])
    one.resume()
    assert one.feed_batch(data, ends, times, 2) == 3
    assert one.records["ts_recv"].tolist() == [T0 + 2]


def test_nothing_new_before_what_is_due_was_taken() -> None:
    one = passage(wake=1 << RecordType.QUOTE)
    frame = material.frames(material.quotes(3), "msgpack", 3)[0]
    one.feed(frame, T0)
    with pytest.raises(RuntimeError, match="resume"):
        one.feed(frame, T0)
    seen = [int(one.at)]
    while one.resume():
        seen.append(one.at)
    assert seen == [1, 2, 3]
    assert one.feed(frame, T0) == RECORD


@pytest.mark.parametrize("ends", [[5, 3], [0, 10**9], [-1, 4], [2**62, 2**62]])
def test_ends_that_cannot_be_are_refused_before_they_are_read(ends: list[int]) -> None:
    one = passage()
    with pytest.raises(ValueError, match="ends"):
        one.feed_batch(b"\x90" * 8, np.array(ends, np.int64), np.zeros(2, np.int64))


def test_a_batch_of_other_lengths_or_from_nowhere_is_refused() -> None:
    one = passage()
    for times, start in ((1, 0), (2, 3), (2, -1)):
        with pytest.raises(ValueError, match="times"):
            one.feed_batch(b"\x90\x90", np.array([1, 2], np.int64), np.zeros(times, np.int64), start)


def test_records_and_the_venues_bars_are_copies_that_stay() -> None:
    one = passage()
    frames = material.frames(material.quotes(2), "msgpack", 1)
    one.feed(frames[0], T0)
    kept = one.records
    before = kept.tobytes()
    one.feed(frames[1], T0 + 1)
    assert kept.tobytes() == before != one.records.tobytes()
    assert one.records.dtype == market_dtype
    assert len(one.bars) == 0


def made_by(call: Callable[..., object], arguments: list[tuple[Any, ...]], times: int) -> int:
    """Bytes that the most of them held at one time: what is made and freed at once shows too."""
    for each in arguments:
        call(*each)
    tracemalloc.start()
    try:
        for _ in repeat(None, 2):  # the first pass is the loop's own
            tracemalloc.reset_peak()
            held, _ = tracemalloc.get_traced_memory()
            for _ in repeat(None, times):
                for each in arguments:
                    call(*each)
            _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    return peak - held


def test_a_frame_makes_no_object() -> None:
    one = passage()
    frames = material.frames(material.quotes(2000), "msgpack", 2, SYMBOLS)
    before = sys.getallocatedblocks()
    made = made_by(one.feed, [(frame, T0) for frame in frames], 100)
    assert made <= made_by(max, [(1, 2)] * len(frames), 1), "beyond what the loop itself takes"
    assert one.decoder.counters["frames"] > 10**5
    assert abs(sys.getallocatedblocks() - before) < 500, "of 200,000 frames"
    assert made_by(lambda frame: (one.feed(frame, T0), one.records), [(frames[0],)], 3) > made, (
        "the records show where they are asked for"
    )


def test_a_batch_leaves_the_gil_to_others_and_refuses_them_its_pipeline() -> None:
    one = passage()
    frames = material.frames(material.quotes(20_000), "msgpack", 50, SYMBOLS) * 10
    data = b"".join(frames)
    ends, times = np.cumsum([len(f) for f in frames]).astype(np.int64), np.full(len(frames), T0, np.int64)
    refused = threading.Event()
    over = threading.Event()

    def batches() -> None:
        while not refused.is_set() and not over.is_set():
            one.feed_batch(data, ends, times)

    thread = threading.Thread(target=batches)
    thread.start()
    try:
        while not refused.is_set():
            try:
                one.pipeline.take_bars()
            except RuntimeError:
                refused.set()
    finally:
        over.set()
        thread.join()
    assert refused.is_set()
