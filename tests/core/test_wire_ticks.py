"""The quick ways of the decoder: ticks without a division, symbols as one word, doubles in 64 bits; against the oracle."""

import json
import struct
import sys
from typing import Any

import msgpack
import msgspec
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tests.reference import wire as oracle

from pyrt._core.types import NO_PRICE, quote_dtype, trade_dtype
from pyrt._core.wire import Decoder

T = "2026-03-02T15:04:05.123456789Z"
names = st.text(st.characters(min_codepoint=33, max_codepoint=126, exclude_characters='"\\'), min_size=1, max_size=32)


def read(codec: str, message: dict[str, Any], **terms: Any) -> Any:
    d = Decoder(codec)
    d.register(message["S"], 1, **terms)
    d.feed(msgpack.packb([message]) if codec == "msgpack" else msgspec.json.encode([message]), 0)
    return d.take()[0], d.counters


@given(
    st.integers(1, 10**12) | st.sampled_from([2**k for k in range(40)] + [3 * 2**20, 10**7, 10**5]),
    st.floats(2.0**-40, 2.0**70) | st.integers(1, 10**9).map(lambda n: n / 100),
    st.sampled_from(["msgpack", "json"]),
)
@settings(max_examples=400, deadline=None)
@example(3, 9007199254740993.0, "msgpack")
@example(1, 2.0**-11, "msgpack")
@example(1, 2.0**53 - 1, "msgpack")
@example(1, 9223372036.854775, "msgpack")
def test_prices_on_any_tick_equal_the_oracle(tick: int, price: float, codec: str) -> None:
    terms = oracle.Terms(1, tick=tick, sub_tick=tick)
    message = {"T": "q", "S": "A", "bp": price, "bs": 1, "ap": price, "as": 2, "t": T}
    records, _ = read(codec, message, tick=tick, sub_tick=tick)
    got = [(int(r["bid_px"]), int(r["ask_px"])) for r in records.view(quote_dtype)]
    wanted = []
    try:
        value: Any = message if codec == "msgpack" else oracle.messages(msgspec.json.encode([message]), "json")[0]
        wanted = [(oracle.price(value["bp"], terms, "down"), oracle.price(value["ap"], terms, "up"))]
    except oracle.Refused:
        pass
    assert got == wanted
    assert NO_PRICE not in (px for pair in got for px in pair)


@given(st.lists(names, min_size=1, max_size=60, unique=True), st.sampled_from(["msgpack", "json"]))
@settings(max_examples=100, deadline=None)
def test_symbols_of_any_length_are_told_apart(symbols: list[str], codec: str) -> None:
    known, strangers = symbols[::2], symbols[1::2]
    d = Decoder(codec)
    for i, name in enumerate(known, 1):
        d.register(name, i, tick=1, sub_tick=1)
    messages = [{"T": "t", "S": name, "p": 5, "s": 1, "t": T} for name in [*known, *strangers]]
    frame = msgpack.packb(messages) if codec == "msgpack" else msgspec.json.encode(messages)
    d.feed(frame, 0)
    assert d.take()[0]["instrument"].tolist() == list(range(1, len(known) + 1))
    assert d.counters["unknown_symbol"] == len(strangers)


@given(st.permutations(["T", "S", "bp", "bs", "ap", "as", "t", "c", "z", "bx", "ax", "zz", "q", "many"]), st.booleans())
@settings(max_examples=150, deadline=None)
def test_keys_in_any_order_and_blanks_anywhere_give_the_same(order: list[str], spaced: bool) -> None:
    whole = {"T": "q", "S": "AAPL", "bp": 189.5, "bs": 3, "ap": 189.51, "as": 70_000, "t": T, "c": ["R", "?"], "z": "C"}
    whole |= {"bx": "V", "ax": "Q", "zz": {"a": [1, None]}, "q": None, "many": "text"}
    message = {name: whole[name] for name in order}
    text = json.dumps([message], separators=(" , ", " : ") if spaced else (",", ":")).encode()
    out = []
    for codec, frame in (("json", text), ("msgpack", msgpack.packb([message]))):
        d = Decoder(codec)
        d.register("AAPL", 1, tick=10_000_000, sub_tick=100_000)
        assert d.feed(frame, 7) == 1
        out.append(d.take()[0].tobytes())
        assert d.counters["unknown_field"] == 3
    assert out[0] == out[1]


def test_a_stamp_of_nine_digits_and_less() -> None:
    for digits in range(10):
        fraction = "." + "987654321"[:digits] if digits else ""
        records, _ = read("json", {"T": "t", "S": "A", "p": 5, "s": 1, "t": f"2026-03-02T15:04:05{fraction}Z"}, tick=1, sub_tick=1)
        assert records["ts_event"][0] % 10**9 == int("987654321"[:digits].ljust(9, "0"))
    for bad in ("12345678x", "1234567/9", "1234567:9", "٣2345678"):
        text = f'[{{"T":"t","S":"A","p":5,"s":1,"t":"2026-03-02T15:04:05.{bad}Z"}}]'.encode()
        d = Decoder("json")
        d.register("A", 1, tick=1, sub_tick=1)
        d.feed(text, 0)
        assert d.counters["bad_time"] == 1


def test_sizes_up_to_the_whole_range() -> None:
    for qty in (0, 1, 127, 128, 2**16, 2**32 - 1, 2**32, 9_223_372_036, 9_223_372_037):
        records, counters = read("msgpack", {"T": "t", "S": "A", "p": 5, "s": qty, "t": T}, tick=1, sub_tick=1)
        assert records.view(trade_dtype)["qty"].tolist() == ([qty * 10**9] if qty <= 9_223_372_036 else [])
        assert counters["bad_qty"] == (qty > 9_223_372_036)


def test_single_precision_floats() -> None:
    frame = b"\x91\x85\xa1T\xa1t\xa1S\xa1A\xa1p\xca" + struct.pack(">f", 2.5) + b"\xa1s\x01\xa1t\xd6\xff" + bytes(4)
    d = Decoder("msgpack")
    d.register("A", 1, tick=1, sub_tick=1)
    assert d.feed(frame, 0) == 1
    assert d.take()[0].view(trade_dtype)["px"].tolist() == [2_500_000_000]


def test_a_frame_makes_no_object_per_message() -> None:
    message = {"T": "t", "S": "A", "p": 189.51, "s": 3, "t": T, "c": ["@"]}
    for codec, frame in (("msgpack", msgpack.packb([message] * 5_000)), ("json", msgspec.json.encode([message] * 5_000))):
        d = Decoder(codec)
        d.register("A", 1, tick=10_000_000, sub_tick=100_000)
        d.feed(frame, 0)
        d.take()
        before = sys.getallocatedblocks()
        assert d.feed(frame, 0) == 5_000
        assert sys.getallocatedblocks() - before < 50
