"""Frames of 50 msgpack messages, nine quotes to a trade, through decoder, book, reference and three kinds of bars in one call."""

import ctypes
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from bench import material
from bench.limits import limit
from bench.material import SECOND, SUB_TICK, T0, TICK
from bench.rows import Contender, Row
from bench.rows.bars import INTERVALS, intervals, output, rules, taken
from bench.rows.indicators import OUTPUTS, six
from pyrt._core.messages import INELIGIBLE
from pyrt._core.onepass import OnePass
from pyrt._core.pipeline import Pipeline
from pyrt._core.types import Clock, Flag, RecordType, market_dtype, ref_dtype, timer_dtype

N, FRAME = 20_000, 50
COUNTS = (1, 10, 100, 1_000, 10_000)
SIX = 100  # symbols that have indicators
BEFORE = 10  # rounds until the averages of all are past their beginning


def rows() -> Iterator[Row]:
    for symbols in COUNTS:
        frames = material.frames(material.mixed(N, symbols), "msgpack", FRAME, symbols)
        yield Row(
            f"onepass.{symbols}",
            f"a msgpack message to book, reference and bars, {symbols:,} symbol{'s' if symbols > 1 else ''}",
            "ns",
            N,
            (ours(frames, symbols), bare(frames, symbols), in_two(frames, symbols)),
            bound=1.3 if symbols <= 100 else None,  # the decoder's; beyond, memory decides, of which the limit holds less
            most=1000 / 3 if symbols <= 100 else None,
        )

    frames = material.frames(material.mixed(N, SIX), "msgpack", FRAME, SIX)
    yield Row(
        "onepass.six",
        f"a msgpack message to book, reference, bars and six indicators of each bar, {SIX:,} symbols",
        "ns",
        N,
        (with_six(frames), bare_six(frames), six_in_two(frames)),
        bound=1.3,
        most=1000 / 3,
    )


def stage(symbols: int) -> Pipeline:
    """A pipeline as `ours` has it."""
    pipeline = Pipeline(grace=0, capacity=symbols + 2)
    for i in range(1, symbols + 1):
        pipeline.add(i, SUB_TICK, intervals=INTERVALS)
    return pipeline


def passage(symbols: int) -> OnePass:
    return OnePass(material.decoder("msgpack", symbols), stage(symbols))


def packed(frames: list[bytes]) -> tuple[Any, Any]:
    """The frames in one piece, which may be written to, and where each ends."""
    return np.frombuffer(b"".join(frames), np.uint8).copy(), np.cumsum([len(frame) for frame in frames]).astype(np.int64)


class Tape:
    """The frames in one piece; each second of them ends with the timer that closes its bars. `later`: the same, at later times."""

    def __init__(self, frames: list[bytes]) -> None:
        self.bytes, self.ends = packed(frames)
        self.starts = np.concatenate([[0], self.ends[:-1]])
        self.times = np.full(len(frames), T0, np.int64)
        self.timers = np.zeros(N // 1000, timer_dtype)
        self.timers["type"], self.timers["clock"] = RecordType.TIMER, Clock.VENUE
        self.timers["at"] = T0 + np.arange(1, N // 1000 + 1) * SECOND
        self.each = 1000 // FRAME  # frames of a second: messages are 1 ms apart
        wide, whole = (np.flatnonzero((self.bytes[:-1] == ext) & (self.bytes[1:] == 0xFF)) for ext in (0xD7, 0xD6))
        if len(wide) + len(whole) != N:
            raise ValueError(f"{len(wide) + len(whole)} stamps in {N} messages")
        at = np.sort(np.concatenate([wide + 6, whole + 2]))  # where the low 32 bits of the seconds are
        self._seconds = at[:, None] + np.arange(4)
        self.later()

    def later(self) -> None:
        stamps = self.bytes[self._seconds].view(">u4") + np.uint32(N // 1000)
        self.bytes[self._seconds] = stamps.astype(">u4").view(np.uint8)
        self.timers["at"] += N // 1000 * SECOND

    def parts(self) -> list[tuple[Any, Any, Any, Any]]:
        """Of each second: the bytes, where its frames end in them, their times, and the timer."""
        out = []
        for frames_of, timer in self.seconds():
            first = int(self.starts[frames_of][0])
            part = self.ends[frames_of] - first
            out.append((self.bytes[first : first + int(part[-1])], part, self.times[frames_of], timer))
        return out

    def seconds(self) -> Iterator[tuple[slice, Any]]:
        for i in range(len(self.timers)):
            yield slice(i * self.each, (i + 1) * self.each), self.timers[i : i + 1].view(market_dtype)


def ours(frames: list[bytes], symbols: int) -> Contender:
    one, tape = passage(symbols), Tape(frames)
    parts = tape.parts()

    def run() -> Any:
        for data, ends, times, timer in parts:
            one.feed_batch(data, ends, times)
            one.pipeline.run(timer)
        return one.pipeline.refs[: symbols + 1].copy(), one.take_bars()

    return Contender("OnePass.feed_batch", "ours", run, tape.later)


def in_two(frames: list[bytes], symbols: int) -> Contender:
    """What a user does without it: Decoder.feed, take, Pipeline.run."""
    decoder, pipeline, tape = material.decoder("msgpack", symbols), stage(symbols), Tape(frames)
    parts = [
        ([tape.bytes[a:b] for a, b in zip(tape.starts[part], tape.ends[part], strict=True)], timer)
        for part, timer in tape.seconds()
    ]

    def run() -> Any:
        for pieces, timer in parts:
            for piece in pieces:
                decoder.feed(piece, T0)  # type: ignore[arg-type]  # before 3.12 nothing says that an array is a buffer
                pipeline.run(decoder.take()[0])  # type: ignore[arg-type]
            pipeline.run(timer)
        return pipeline.refs[: symbols + 1].copy(), pipeline.take_bars()

    return Contender("feed, take, run", "peer", run, tape.later)


def bare(frames: list[bytes], symbols: int) -> Contender:
    c, tape = limit("onepass"), Tape(frames)
    c.pipeline_new.restype = c.pipeline_refs.restype = c.decoder_new.restype = ctypes.c_void_p
    out, table = output(c), rules()
    pipeline = ctypes.c_void_p(c.pipeline_new(symbols + 1, *intervals(), table.ctypes, out))
    decoder = ctypes.c_void_p(c.decoder_new(int(Flag.FEED_IEX), INELIGIBLE, len(INELIGIBLE)))
    for i in range(1, symbols + 1):
        c.decoder_register(decoder, material.symbol(i).encode(), i, ctypes.c_int64(TICK), ctypes.c_int64(SUB_TICK))
    at = np.concatenate([[0], tape.ends]).astype(np.int64)
    parts = [(at[part.start :].ctypes, part.stop - part.start, timer.ctypes) for part, timer in tape.seconds()]
    data, ts_recv, one = tape.bytes.ctypes, ctypes.c_int64(T0), ctypes.c_int64(1)

    def run() -> Any:
        for where, count, timer in parts:
            c.onepass_feed(decoder, pipeline, data, where, ctypes.c_int64(count), ts_recv)
            c.pipeline_run(pipeline, timer, one)
        refs = ctypes.string_at(c.pipeline_refs(pipeline), (symbols + 1) * ref_dtype.itemsize)
        return np.frombuffer(refs, ref_dtype), taken(c, out)

    return Contender("C pass", "limit", run, tape.later)


def past(run: Callable[[], Any], later: Callable[[], object]) -> None:
    for _ in range(BEFORE):
        later()
        run()


def traded(values: Any) -> Any:
    """Those of the symbols that have bars: the others' are zeros."""
    return values[values.any(axis=1)]


def with_six(frames: list[bytes]) -> Contender:
    one, tape = passage(SIX), Tape(frames)
    sets = {(i, interval): six() for i in range(1, SIX + 1) for interval in INTERVALS}
    for (i, interval), each in sets.items():
        one.pipeline.attach(i, interval, each)
    parts = tape.parts()
    values = [sets[i, INTERVALS[0]].values for i in range(1, SIX + 1)]

    def run() -> Any:
        for data, ends, times, timer in parts:
            one.feed_batch(data, ends, times)
            one.pipeline.run(timer)
        return one.take_bars(), traded(np.nan_to_num(values))

    past(run, tape.later)
    return Contender("OnePass.feed_batch", "ours", run, tape.later)


def six_in_two(frames: list[bytes]) -> Contender:
    """What a user does without it: the bars of each second, taken and given to their sets one by one."""
    one, tape = passage(SIX), Tape(frames)
    sets = {(i, interval): six() for i in range(1, SIX + 1) for interval in INTERVALS}
    parts = tape.parts()

    def run() -> Any:
        for data, ends, times, timer in parts:
            one.feed_batch(data, ends, times)
            one.pipeline.run(timer)
            bars = one.take_bars()
            keys = zip(bars["instrument"].tolist(), bars["interval"].tolist(), strict=True)
            columns = zip(*((bars[name] / 1e9).tolist() for name in ("high_px", "low_px", "close_px")), strict=True)
            for key, column in zip(keys, columns, strict=True):
                sets[key].update(*column)

    return Contender("take_bars, IndicatorSet.update", "peer", run, tape.later)


def bare_six(frames: list[bytes]) -> Contender:
    c, tape = limit("onepass_six"), Tape(frames)
    c.pipeline_new.restype = c.feds_new.restype = c.feds_values.restype = c.decoder_new.restype = ctypes.c_void_p
    out, table = output(c), rules()
    pipeline = ctypes.c_void_p(c.pipeline_new(SIX + 1, *intervals(), table.ctypes, out))
    feds = ctypes.c_void_p(c.feds_new(ctypes.c_int64((SIX + 1) * len(INTERVALS))))
    decoder = ctypes.c_void_p(c.decoder_new(int(Flag.FEED_IEX), INELIGIBLE, len(INELIGIBLE)))
    for i in range(1, SIX + 1):
        c.decoder_register(decoder, material.symbol(i).encode(), i, ctypes.c_int64(TICK), ctypes.c_int64(SUB_TICK))
    at = np.concatenate([[0], tape.ends]).astype(np.int64)
    parts = [(at[part.start :].ctypes, ctypes.c_int64(part.stop - part.start), timer.ctypes) for part, timer in tape.seconds()]
    data, ts_recv, kinds = tape.bytes.ctypes, ctypes.c_int64(T0), ctypes.c_int64(len(INTERVALS))
    where = [c.feds_values(feds, ctypes.c_int64(i * len(INTERVALS))) for i in range(1, SIX + 1)]
    values = [np.frombuffer((ctypes.c_double * OUTPUTS).from_address(address)) for address in where]

    def run() -> Any:
        for frame, count, timer in parts:
            c.onepass_six(decoder, pipeline, feds, out, intervals()[0], kinds, data, frame, count, ts_recv, timer)
        return taken(c, out), traded(np.array(values))

    past(run, tape.later)
    return Contender("C pass", "limit", run, tape.later)
