"""Alpaca's frames to records: nine quotes to a trade, 50 messages a frame, 100 symbols; stamps and ids as long as the venue's."""

import ctypes
import json
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from bench import material
from bench.limits import limit
from bench.material import SUB_TICK, T0, TICK
from bench.rows import Contender, Row, Run, peer
from pyrt._core.messages import INELIGIBLE
from pyrt._core.types import Flag, market_dtype, trade_dtype

N, SLOW, FRAME, SYMBOLS = 4_000, 1_000, 50, 100


def rows() -> Iterator[Row]:
    for codec, peers in (("msgpack", msgpack_peers), ("json", json_peers)):
        frames = material.frames(messages(), codec, FRAME, SYMBOLS)
        yield Row(
            f"decode.{codec}",
            f"decode a {codec} message into a record, frames of {FRAME}",
            "ns",
            N,
            (ours(frames, codec), bare(frames, codec), *peers(frames)),
            bound=1.3,
        )


def messages() -> material.Records:
    records = material.mixed(N, SYMBOLS)
    view = records.view(trade_dtype)
    view["ts_event"] += np.random.default_rng(3).integers(0, 1_000_000, N)
    view["trade_id"][::10] += 52_983_525_000_000
    return records


def ours(frames: list[bytes], codec: str) -> Contender:
    decoder = material.decoder(codec, SYMBOLS)

    def run() -> Any:
        for frame in frames:
            decoder.feed(frame, T0)
        return decoder.take()[0]

    return Contender("Decoder.feed + take", "ours", run)


def bare(frames: list[bytes], codec: str) -> Contender:
    c = limit("decode")
    c.decoder_new.restype = ctypes.c_void_p
    c.decoder_feed.restype = c.decoder_take.restype = ctypes.c_int64
    decoder = ctypes.c_void_p(c.decoder_new(int(Flag.FEED_IEX), INELIGIBLE, len(INELIGIBLE)))
    for i in range(1, SYMBOLS + 1):
        c.decoder_register(decoder, material.symbol(i).encode(), i, ctypes.c_int64(TICK), ctypes.c_int64(SUB_TICK))
    whole = b"".join(frames)
    at = np.concatenate([[0], np.cumsum([len(frame) for frame in frames])]).astype(np.int64)
    arguments = (
        decoder,
        whole,
        ctypes.c_void_p(at.ctypes.data),
        ctypes.c_int64(len(frames)),
        int(codec == "json"),
        ctypes.c_int64(T0),
    )

    def run() -> Any:
        c.decoder_feed(*arguments)
        records = ctypes.c_void_p()
        n = c.decoder_take(decoder, ctypes.byref(records))
        return np.frombuffer(ctypes.string_at(records.value or 0, n * market_dtype.itemsize), market_dtype)

    return Contender("C pass", "limit", run)


def each(frames: list[bytes], decode: Callable[[bytes], object]) -> Run:
    few = frames[: SLOW // FRAME]

    def run() -> None:
        for frame in few:
            decode(frame)

    return run


def msgpack_peers(frames: list[bytes]) -> Iterator[Contender]:
    def typed() -> Run:
        import msgspec

        return each(frames, msgspec.msgpack.Decoder(list[message_type()]).decode)

    def untyped() -> Run:
        import msgspec

        return each(frames, msgspec.msgpack.Decoder().decode)

    yield peer("msgspec typed", typed, operations=SLOW)
    yield peer("msgspec dicts", untyped, operations=SLOW)


def json_peers(frames: list[bytes]) -> Iterator[Contender]:
    def typed() -> Run:
        import msgspec

        return each(frames, msgspec.json.Decoder(list[message_type()]).decode)

    def quick() -> Run:
        import orjson

        return each(frames, orjson.loads)

    yield peer("msgspec typed", typed, operations=SLOW)
    yield peer("orjson", quick, operations=SLOW)
    yield peer("json", lambda: each(frames, json.loads), operations=SLOW)


def message_type() -> Any:
    """A trade or a quote, as msgspec's users would declare it."""
    import datetime

    import msgspec

    fields = [("S", str), ("t", datetime.datetime), ("c", list[str], []), ("z", str, "")]
    trade = [("i", int), ("x", str), ("p", float), ("s", float)]
    quote = [("bx", str), ("bp", float), ("bs", float), ("ax", str), ("ap", float), ("as", float)]
    quote = [(name if name != "as" else "as_", kind) for name, kind in quote]
    made = [
        msgspec.defstruct(name, [*own, *fields], tag_field="T", tag=tag, rename={"as_": "as"}, kw_only=True)
        for name, tag, own in (("Trade", "t", trade), ("Quote", "q", quote))
    ]
    return made[0] | made[1]
