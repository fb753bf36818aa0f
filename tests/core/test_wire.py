"""Frames to records and back, against an oracle, the protocol's samples, Alpaca's own models, and noise."""

import struct
from decimal import Decimal
from typing import Any

import msgpack
import msgspec
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tests.reference import wire as oracle

from pyrt._core.types import (
    NO_PRICE,
    Action,
    Flag,
    RecordType,
    TradingState,
    bar_dtype,
    delta_dtype,
    market_dtype,
    quote_dtype,
    status_dtype,
    trade_dtype,
)
from pyrt._core.wire import Decoder, Encoder

DTYPES = {1: trade_dtype, 2: quote_dtype, 3: delta_dtype, 4: status_dtype, 7: trade_dtype}
TERMS = {
    "AAPL": oracle.Terms(1),
    "XYZ": oracle.Terms(2),
    "BTC/USD": oracle.Terms(3, tick=10_000_000, sub_tick=10_000_000),
    "SHIB/USD": oracle.Terms(4, tick=1, sub_tick=1, qty_exp=0),
    "ABCDEFGH.WS": oracle.Terms(5, lot=10**14, qty_exp=15),
}
NS = 1_772_463_845_123_456_789  # 2026-03-02T15:04:05.123456789Z

SAMPLES = {
    "t": '{"T":"t","S":"AAPL","i":52983,"x":"V","p":189.51,"s":100,"c":["@"],"z":"C","t":"2026-03-02T15:04:05.123456789Z"}',
    "q": '{"T":"q","S":"AAPL","bx":"V","bp":189.5,"bs":3,"ax":"V","ap":189.53,"as":2,"c":["R"],"z":"C","t":"2026-03-02T15:04:05.2Z"}',  # noqa: E501
    "b": '{"T":"b","S":"AAPL","o":189.4,"h":189.6,"l":189.33,"c":189.51,"v":18230,"n":211,"vw":189.472113,"t":"2026-03-02T15:04:00Z"}',  # noqa: E501
    "s": '{"T":"s","S":"XYZ","sc":"H","sm":"Trading Halt","rc":"LUDP","rm":"Volatility Trading Pause","z":"C","t":"2026-03-02T15:05:00.01Z"}',  # noqa: E501
    "l": '{"T":"l","S":"XYZ","u":10.5,"d":9.5,"i":"B","z":"C","t":"2026-03-02T15:05:30.4Z"}',
    "c": '{"T":"c","S":"AAPL","x":"D","oi":7,"op":189.5,"os":10,"oc":["@"],"ci":8,"cp":189.4,"cs":10,"cc":["@"],"z":"C","t":"2026-03-02T15:06:00Z"}',  # noqa: E501
    "x": '{"T":"x","S":"AAPL","i":8,"x":"D","p":189.4,"s":10,"a":"C","z":"C","t":"2026-03-02T15:07:00Z"}',
    "o": '{"T":"o","S":"BTC/USD","t":"2026-03-02T00:00:00.1Z","b":[{"p":61999.5,"s":0.5},{"p":61990,"s":1.1}],"a":[{"p":62001,"s":0.4}],"r":true}',  # noqa: E501
    "o2": '{"T":"o","S":"BTC/USD","t":"2026-03-02T00:00:00.2Z","b":[{"p":61999.5,"s":0}],"a":[]}',
}


def decoder(codec: str, **options: Any) -> Decoder:
    made = Decoder(codec, **options)
    for symbol, t in TERMS.items():
        made.register(symbol, t.instrument, tick=t.tick, sub_tick=t.sub_tick, lot=t.lot, qty_exp=t.qty_exp)
    return made


def encoder(codec: str) -> Encoder:
    made = Encoder(codec)
    for symbol, t in TERMS.items():
        made.register(symbol, t.instrument, qty_exp=t.qty_exp)
    return made


def stamp(ns: int) -> msgspec.msgpack.Ext:
    return msgspec.msgpack.Ext(-1, struct.pack(">Q", ns % 10**9 << 34 | ns // 10**9))


def as_msgpack(value: Any) -> Any:
    """A parsed JSON message in msgpack's terms: `t` as the timestamp extension."""
    if isinstance(value, list):
        return [as_msgpack(v) for v in value]
    if isinstance(value, dict):
        return {k: stamp(oracle.time(v)) if k == "t" and isinstance(v, str) else as_msgpack(v) for k, v in value.items()}
    return value


def pack(json_frame: str) -> bytes:
    return msgspec.msgpack.encode(as_msgpack(msgspec.json.decode(json_frame)))


def read(codec: str, frame: bytes, **options: Any) -> tuple[Any, Any, dict[str, int]]:
    d = decoder(codec, **options)
    n = d.feed(frame, 77)
    records, bars = d.take()
    assert n == len(records) + len(bars)
    return records, bars, {k: v for k, v in d.counters.items() if v}


def both(text: str) -> tuple[Any, Any, dict[str, int]]:
    """What a JSON frame gives, proved equal to what its msgpack form gives."""
    got, packed = read("json", text.encode()), read("msgpack", pack(text))
    assert got[0].tobytes() == packed[0].tobytes()
    assert got[1].tobytes() == packed[1].tobytes()
    assert got[2] == packed[2]
    return got


def rows(records: Any, bars: Any) -> list[dict[str, Any]]:
    out = []
    for r in records:
        typed = r.reshape(1).view(DTYPES[int(r["type"])])[0]
        out.append({n: int(typed[n]) for n in typed.dtype.names if typed.dtype[n].kind != "V"})
    return out + [{n: int(b[n]) for n in b.dtype.names if b.dtype[n].kind != "V"} for b in bars]


def expected(frame: bytes, codec: str) -> list[dict[str, Any]]:
    out: list[dict[str, Any]] = []
    for m in oracle.messages(frame, codec):
        try:
            out += oracle.records(m, TERMS)
        except oracle.Refused:
            continue
    return [r for r in out if r["type"] < 20] + [r for r in out if r["type"] == 20]


def check(frame: bytes, codec: str) -> list[dict[str, Any]]:
    records, bars, counters = read(codec, frame)
    assert "malformed" not in counters
    got, want = rows(records, bars), expected(frame, codec)
    zeros = [dict.fromkeys(g, 0) | {"ts_recv": 77} | w for g, w in zip(got, want, strict=True)]
    assert got == zeros
    return got


# ---------------------------------------------------------------------------------------------------- samples
@pytest.mark.row("S020")
@pytest.mark.parametrize("name", SAMPLES)
def test_samples_equal_the_oracle_in_both_codecs(name: str) -> None:
    frame = f"[{SAMPLES[name]}]"
    both(frame)
    got = check(frame.encode(), "json")
    assert got == check(pack(frame), "msgpack")
    assert len(got) == {"c": 2, "o": 4}.get(name, 1)


def test_a_trade_field_by_field() -> None:
    (trade,) = both(f"[{SAMPLES['t']}]")[0].view(trade_dtype)
    assert trade.tolist() == (1, 0, 1, 0, NS, 77, 189_510_000_000, 100 * 10**9, 52983, ord("@"), ord("V"), ord("C"), 0, 0)


def test_a_mixed_frame_keeps_the_order_of_the_wire() -> None:
    records, bars, counters = both("[" + ",".join(SAMPLES.values()) + "]")
    assert records["type"].tolist() == [1, 2, 4, 4, 7, 1, 7, 3, 3, 3, 3, 3]
    assert len(bars) == 1
    assert counters == {"frames": 1, "messages": 9}
    deltas = records[records["type"] == RecordType.DELTA].view(delta_dtype)
    assert deltas["action"].tolist() == [Action.CLEAR, Action.SET, Action.SET, Action.SET, Action.SET]
    assert deltas["flags"].tolist() == [Flag.SNAPSHOT, 0, 0, Flag.LAST, Flag.LAST]
    correction = records[4:6].view(trade_dtype)
    assert (correction["flags"] == Flag.CORRECTED).all()
    assert correction["trade_id"].tolist() == [7, 8]


def test_bars() -> None:
    frame = ",".join(SAMPLES["b"].replace('"T":"b"', f'"T":"{k}"') for k in "bud")
    bars = both(f"[{frame}]")[1]
    assert bars["interval"].tolist() == [60 * 10**9, 60 * 10**9, 86_400 * 10**9]
    assert (bars["revision"].tolist(), bars["flags"].tolist()) == ([0, 1, 0], [0, Flag.AMENDED, 0])
    assert (bars["ts_event"] == bars["start"] + bars["interval"]).all()
    notional = int(bars[0]["notional_hi"]) << 64 | int(bars[0]["notional_lo"])
    assert notional == 189_472_113_000 * 18_230 * 10**9
    assert notional > 2**64


@pytest.mark.parametrize(
    ("code", "reason", "state"),
    [
        ("H", "T1", TradingState.HALTED),
        ("H", "LUDP", TradingState.PAUSED),
        ("P", "", TradingState.PAUSED),
        ("Q", "T2", TradingState.QUOTING),
        ("T", "", TradingState.TRADING),
        ("2", "", TradingState.HALTED),
        ("2", "M", TradingState.PAUSED),
        ("3", "", TradingState.TRADING),
        ("A", "", 0),
    ],
)
def test_trading_states(code: str, reason: str, state: int) -> None:
    status = both(f'[{{"T":"s","S":"XYZ","sc":"{code}","rc":"{reason}","t":"2026-03-02T15:05:00Z"}}]')[0].view(status_dtype)[0]
    assert (status["state"], status["upper_px"], status["lower_px"]) == (state, NO_PRICE, NO_PRICE)


def test_crypto_trades_take_decimals_and_tell_the_taker() -> None:
    base = '{"T":"t","S":"BTC/USD","p":61999.5,"s":0.00012,"i":7,"tks":"%s","t":"2026-03-02T00:00:00Z"}'
    trades = both("[" + ",".join(base % s for s in ("B", "S", "?")) + "]")[0].view(trade_dtype)
    assert trades["taker"].tolist() == [1, 2, 0]
    assert trades["qty"].tolist() == [120_000] * 3


def test_a_missing_side_is_no_price() -> None:
    base = '{"T":"q","S":"AAPL",%s"t":"2026-03-02T15:04:05Z"}'
    sides = ('"bp":0,"bs":0,"ap":5,"as":1,', '"ap":5,"as":1,', '"bp":4,"bs":0,"ap":5,"as":1,', '"bp":null,"bs":3,"ap":5,"as":1,')
    quotes = both("[" + ",".join(base % s for s in sides) + "]")[0].view(quote_dtype)
    assert (quotes["bid_px"] == NO_PRICE).all()
    assert (quotes["bid_qty"] == 0).all()
    assert (quotes["ask_px"] == 5 * 10**9).all()


def test_conditions_bar_a_print_from_setting_a_price() -> None:
    base = '{"T":"t","S":"AAPL","p":5,"s":%d,"c":%s,"t":"2026-03-02T15:04:05Z"}'
    cases = [(1, '["@"]'), (1, '["@","I"]'), (1, '[" ","F","T"]'), (1, '"I"'), (0, "[]"), (1, '["@","F","X","@","Z"]')]
    records, _, counters = both("[" + ",".join(base % c for c in cases) + "]")
    assert (records["flags"] == Flag.INELIGIBLE).tolist() == [False, True, True, True, True, False]
    assert counters["more_conditions"] == 1
    assert records.view(trade_dtype)["conditions"][5] == int.from_bytes(b"@FX@", "little")


def test_feed_flag_and_quote_unit() -> None:
    d = decoder("json", feed_flag=int(Flag.FEED_IEX))
    d.register("AAPL", 1, tick=10_000_000, sub_tick=100_000, quote_unit=100)
    d.feed(f"[{SAMPLES['q']},{SAMPLES['t']},{SAMPLES['b']}]".encode(), 1)
    records, bars = d.take()
    assert records["flags"].tolist() == [Flag.FEED_IEX] * 2
    assert bars["flags"].tolist() == [Flag.FEED_IEX]
    assert records[:1].view(quote_dtype)["bid_qty"][0] == 300 * 10**9
    assert records[1:].view(trade_dtype)["qty"][0] == 100 * 10**9


# ---------------------------------------------------------------------------------------------------- numbers
def price_of(number: str, *, kind: str = "t") -> tuple[list[int], dict[str, int]]:
    text = f'[{{"T":"t","S":"AAPL","p":{number},"s":1,"t":"2026-03-02T15:04:05Z"}}]'
    if kind == "q":
        text = f'[{{"T":"q","S":"AAPL","bp":{number},"bs":1,"ap":{number},"as":1,"t":"2026-03-02T15:04:05Z"}}]'
    records, _, counters = both(text)
    out = records.view(quote_dtype if kind == "q" else trade_dtype)
    return [int(v) for n in (("bid_px", "ask_px") if kind == "q" else ("px",)) for v in out[n]], counters


@pytest.mark.parametrize(
    ("number", "px"),
    [
        ("189.51", 189_510_000_000),
        ("189.51000000000002", 189_510_000_000),
        ("189.509999999999", 189_510_000_000),
        ("189.5125", 189_512_500_000),
        ("1.8951e2", 189_510_000_000),
        ("18951E-2", 189_510_000_000),
        ("0.00015", 150_000),
        ("0.30000000000000004", 300_000_000),
        ("123456.78", 123_456_780_000_000),
        ("1e9", 10**18),
    ],
)
def test_prints_keep_their_price_and_lose_float_noise(number: str, px: int) -> None:
    assert price_of(number)[0] == [px]


def test_quotes_off_the_tick_move_away_from_the_market() -> None:
    assert price_of("189.515", kind="q") == ([189_510_000_000, 189_520_000_000], {"frames": 1, "messages": 1, "off_tick": 2})
    assert price_of("0.12345", kind="q")[0] == [123_400_000, 123_500_000]
    assert price_of("189.51000000000002", kind="q")[0] == [189_510_000_000] * 2


@pytest.mark.row("S020")
@pytest.mark.parametrize(
    ("number", "counter"),
    [
        ("0", "bad_price"),
        ("-1", "bad_price"),
        ("1e11", "bad_price"),
        ("1e308", "bad_price"),
        ("4e-10", "vanished_px"),
        ("null", "bad_price"),
        ("1e-300", "vanished_px"),
        ("true", "bad_price"),
        ("[]", "bad_price"),
        ('"abc"', "bad_price"),
        ('""', "bad_price"),
        ("{}", "bad_price"),
    ],
)
def test_impossible_prices_are_refused_and_counted(number: str, counter: str) -> None:
    prices, counters = price_of(number)
    assert prices == []
    assert counters == {"frames": 1, "messages": 1, counter: 1}


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf"), -1.5, 2.0**63, -1, -(2**63), 2**64 - 1])
def test_impossible_msgpack_numbers_are_refused_and_counted(value: float) -> None:
    for key in ("p", "s"):
        message = {"T": "t", "S": "AAPL", "p": 5, "s": 1, "t": stamp(NS)} | {key: value}
        records, _, counters = read("msgpack", msgspec.msgpack.encode([message, as_msgpack(msgspec.json.decode(SAMPLES["t"]))]))
        assert len(records) == 1
        assert counters["bad_price" if key == "p" else "bad_qty"] == 1


def test_a_quote_that_would_snap_to_nothing_is_refused() -> None:
    assert price_of("0.00003", kind="q") == ([], {"frames": 1, "messages": 1, "off_tick": 1, "vanished_px": 1})


def test_quantities_of_less_than_a_unit_stay_visible() -> None:
    records, _, counters = both('[{"T":"t","S":"BTC/USD","p":5,"s":0.0000000001,"t":"2026-03-02T15:04:05Z"}]')
    assert records.view(trade_dtype)["qty"][0] == 1
    assert counters["vanished_qty"] == 1


def test_decimal_text_and_any_width_of_number() -> None:
    message = {"T": "t", "S": "AAPL", "p": "189.51", "s": "100", "t": "2026-03-02T15:04:05Z"}
    (trade,) = read("msgpack", msgspec.msgpack.encode([message]))[0].view(trade_dtype)
    assert (trade["px"], trade["qty"]) == (189_510_000_000, 100 * 10**9)
    packed = msgspec.msgpack.encode([{**message, "p": 5, "s": 1}])
    heads = [b"\x05", b"\xcc\x05", b"\xcd\0\x05", b"\xce\0\0\0\x05", b"\xcf" + bytes(7) + b"\x05", b"\xd0\x05", b"\xd1\0\x05"]
    heads += [b"\xd2\0\0\0\x05", b"\xd3" + bytes(7) + b"\x05", b"\xca" + struct.pack(">f", 5.0), b"\xcb" + struct.pack(">d", 5.0)]
    for head in heads:
        frame = packed.replace(b"\xa1p\x05", b"\xa1p" + head)
        assert read("msgpack", frame)[0].view(trade_dtype)["px"].tolist() == [5 * 10**9], head


@given(st.floats(min_value=0, allow_nan=False), st.integers(0, 18))
@settings(max_examples=300)
@example(0.5e-9, 9)
@example(1.5e-9, 9)
@example(9223372036.854775, 9)
def test_floats_are_rounded_once_half_to_even(value: float, exp: int) -> None:
    d = Decoder("msgpack")
    d.register("A", 1, tick=1, sub_tick=1, qty_exp=exp)
    d.feed(msgspec.msgpack.encode([{"T": "t", "S": "A", "p": 1, "s": value, "t": stamp(NS)}]), 0)
    try:
        want = [max(oracle.scaled(value, exp)[0], int(value > 0))]
    except oracle.Refused:
        want = []
    assert d.take()[0].view(trade_dtype)["qty"].tolist() == want


@given(st.from_regex(r"(0|[1-9][0-9]{0,24})(\.[0-9]{1,24})?([eE][-+]?[0-9]{1,2})?", fullmatch=True), st.integers(0, 18))
@settings(max_examples=300)
@example("0.0000000005", 9)
@example("0.00000000050000000000000001", 9)
@example("18446744073709551616", 0)
@example("1000000000000000.00051", 3)
@example("1000000000000000001.5", 0)
@example("1000000000000000000.50", 0)
@example("9223372036854775807.49999", 0)
def test_json_numbers_are_read_exactly(text: str, exp: int) -> None:
    d = Decoder("json")
    d.register("A", 1, tick=1, sub_tick=1, qty_exp=exp)
    d.feed(f'[{{"T":"t","S":"A","p":1,"s":{text},"t":"2026-03-02T15:04:05Z"}}]'.encode(), 0)
    try:
        want = [max(oracle.scaled(Decimal(text), exp)[0], int(Decimal(text) > 0))]
    except oracle.Refused:
        want = []
    assert d.take()[0].view(trade_dtype)["qty"].tolist() == want


# ---------------------------------------------------------------------------------------------------- times
@pytest.mark.parametrize(
    ("text", "ns"),
    [("2026-03-02T15:04:05Z", NS // 10**9 * 10**9)]
    + [(f"2026-03-02T15:04:05.{str(NS)[10 : 10 + k]}Z", NS // 10 ** (9 - k) * 10 ** (9 - k)) for k in range(1, 10)]
    + [("2026-03-02T10:04:05.123456789-05:00", NS), ("2026-03-02T20:34:05.123456789+05:30", NS), ("1970-01-01T00:00:00z", 0)]
    + [("2024-02-29t00:00:00Z", 1_709_164_800 * 10**9), ("2261-12-31T23:59:59.999999999Z", 9_214_646_399_999_999_999)],
)
def test_times(text: str, ns: int) -> None:
    assert oracle.time(text) == ns
    records = read("json", f'[{{"T":"t","S":"AAPL","p":5,"s":1,"t":"{text}"}}]'.encode())[0]
    assert records["ts_event"].tolist() == [ns]
    assert read("msgpack", msgspec.msgpack.encode([{"T": "t", "S": "AAPL", "p": 5, "s": 1, "t": text}]))[0][
        "ts_event"
    ].tolist() == [ns]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "2026-03-02",
        "2026-03-02T15:04:05",
        "2026-02-29T00:00:00Z",
        "2026-13-01T00:00:00Z",
        "2026-03-02T24:00:00Z",
        "2026-03-02T15:60:05Z",
        "2026-03-02T15:04:05.Z",
        "2026-03-02T15:04:05.1234567890Z",
        "2026-03-02T15:04:05+0500",
        "2026-03-02 15:04:05Z",
        "2026-03-02T15:04:05Zx",
        "1969-12-31T23:59:59Z",
        "2262-01-01T00:00:00Z",
        "1970-01-01T00:00:00+00:01",
        "2026-03-02T15:04:60Z",
    ],
)
def test_other_times_are_refused_and_counted(text: str) -> None:
    records, _, counters = read("json", f'[{{"T":"t","S":"AAPL","p":5,"s":1,"t":"{text}"}}]'.encode())
    assert len(records) == 0
    assert counters == {"frames": 1, "messages": 1, "bad_time": 1}


@pytest.mark.parametrize(
    ("ext", "ns"),
    [
        (struct.pack(">I", 2**32 - 1), (2**32 - 1) * 10**9),
        (struct.pack(">Q", 999_999_999 << 34 | 1_772_463_845), 1_772_463_845_999_999_999),
        (struct.pack(">IQ", 7, 1_772_463_845), 1_772_463_845_000_000_007),
        (struct.pack(">Q", 1_000_000_000 << 34 | 5), None),
        (struct.pack(">Iq", 0, -1), None),
        (struct.pack(">IQ", 0, 2**62), None),
        (b"12345", None),
    ],
)
def test_timestamp_extensions(ext: bytes, ns: int | None) -> None:
    frame = msgspec.msgpack.encode([{"T": "t", "S": "AAPL", "p": 5, "s": 1, "t": msgspec.msgpack.Ext(-1, ext)}])
    records, _, counters = read("msgpack", frame)
    assert records["ts_event"].tolist() == ([] if ns is None else [ns])
    assert counters.get("bad_time", 0) == (ns is None)


# ---------------------------------------------------------------------------------------------------- what is not known
def test_unknown_things_are_left_out_and_counted() -> None:
    nested = '{"a":[1,{"b":null}],"p":true}'
    text = (
        f'[{{"T":"t","S":"NONE","p":1,"s":1,"t":"2026-03-02T15:04:05Z"}},{{"T":"zz","S":"AAPL"}},{{"S":"AAPL"}},{{}},{{"T":7}},'
        f'{{"T":"i","S":"AAPL","p":1,"t":"2026-03-02T15:04:05Z"}},5,[[]],{{"new":{nested},"T":"t","other":[],"S":"AAPL","p":5,"s":1,"zzz":"x",'
        f'"t":"2026-03-02T15:04:05Z"}}]'
    )
    records, _, counters = both(text)
    assert len(records) == 1
    assert counters == {"frames": 1, "messages": 7, "unknown_symbol": 1, "unknown_type": 7, "unknown_field": 3}


def test_the_last_of_a_doubled_key_counts_and_null_is_absent() -> None:
    text = '[{"T":"q","T":"t","S":"XYZ","S":"AAPL","p":1,"p":5,"c":["@"],"c":null,"s":1,"t":"2026-03-02T15:04:05Z"}]'
    (trade,) = read("json", text.encode())[0].view(trade_dtype)
    assert (trade["instrument"], trade["px"], trade["conditions"]) == (1, 5 * 10**9, 0)


def test_escaped_text_is_understood() -> None:
    text = r'[{"\u0054":"\u0074","S":"BTC\/USD","p":5,"s":1,"sm":"\ud83d\ude00 \"x\" \\ \n","t":"2026-03-02T15:04:05Z"}]'
    assert read("json", text.encode())[0].view(trade_dtype)["instrument"].tolist() == [3]


def test_a_bad_level_costs_its_whole_book_message() -> None:
    bad = SAMPLES["o"].replace('"p":61990', '"p":-1')
    records, _, counters = both(f"[{bad},{SAMPLES['o2']}]")
    assert len(records) == 1
    assert counters["bad_price"] == 1
    for level in ("5", '{"p":5}', '{"s":5}', "[]", "null"):
        text = f'[{{"T":"o","S":"BTC/USD","t":"2026-03-02T00:00:00Z","b":[{level}]}}]'
        assert len(both(text)[0]) == 0


def test_an_empty_book_message_still_says_something() -> None:
    for text, action, flags in (("", Action.NOTHING, Flag.LAST), (',"r":true', Action.CLEAR, Flag.SNAPSHOT | Flag.LAST)):
        deltas = both(f'[{{"T":"o","S":"BTC/USD","t":"2026-03-02T00:00:00Z","b":[],"a":[]{text}}}]')[0].view(delta_dtype)
        assert (deltas["action"].tolist(), deltas["flags"].tolist()) == ([action], [flags])


@pytest.mark.row("S020")
def test_control_messages_are_handed_out_raw() -> None:
    messages = [
        {"T": "success", "msg": "connected"},
        {"T": "error", "code": 406, "msg": "x"},
        {"T": "subscription", "trades": ["AAPL"]},
    ]
    for codec, module in (("json", msgspec.json), ("msgpack", msgspec.msgpack)):
        d = decoder(codec)
        assert d.feed(module.encode(messages), 1) == 0
        assert [module.decode(c) for c in d.control] == messages
        assert d.counters["control"] == 3
        d.feed(module.encode([]), 1)
        assert d.control == []


@pytest.mark.parametrize(
    "frame",
    [
        "",
        "[",
        "]",
        "{}",
        "[{]",
        "[{}",
        "[}]",
        '[{"T"}]',
        '[{"T":}]',
        '[{"T":"t",}]',
        "[{},]",
        "[,]",
        "[1 2]",
        '[{"a":01}]',
        '[{"a":1.}]',
        '[{"a":.5}]',
        '[{"a":1e}]',
        '[{"a":-}]',
        '[{"a":tru}]',
        '[{"a":nul]',
        '[{"a":"]',
        '[{"a":"\\x"}]',
        '[{"a":"\\u12"}]',
        '[{"a":[}]',
        '[{"a":[1}]]',
        "[]]",
        "[] []",
        "x",
        '[{"a":"\n"}]',
        '[{"a":"\\ud800"}]',
        "[{a:1}]",
        "[" * 40 + "]" * 40,
        '[{"c":[1]',
        '[{"b":[{"p":1]',
        '[{"a":{"b":1]}]',
        '[{"T":"t"}{}]',
        "[true",
        "[nul]",
    ],
)
def test_malformed_json_costs_the_frame(frame: str) -> None:
    good = f"[{SAMPLES['t']}]".encode()
    d = decoder("json")
    assert d.feed(good, 1) == 1
    bad = frame.encode() if not frame.startswith("[{") else f"[{SAMPLES['t']},{SAMPLES['b']},".encode() + frame[1:].encode()
    assert d.feed(bad, 1) == 0
    assert d.feed(good, 1) == 1
    assert d.counters["malformed"] == 1
    records, bars = d.take()
    assert (len(records), len(bars)) == (2, 0)


def test_deep_values_are_malformed_not_fatal() -> None:
    for depth, malformed in ((20, 0), (100_000, 1)):
        text = '[{"n1":' + "[" * depth + "]" * depth + "}]"
        assert read("json", text.encode())[2].get("malformed", 0) == malformed
        packed = b"\x91\x81\xa2n1" + b"\x91" * depth + b"\xc0"
        assert read("msgpack", packed)[2].get("malformed", 0) == malformed


@pytest.mark.parametrize(
    "frame",
    [
        b"",
        b"\x91",
        b"\xc0",
        b"\x80",
        b"\x91\x81",
        b"\x91\x81\xa1T",
        b"\x91\x81\xc1\x01",
        b"\xdd\xff\xff\xff\xff",
        b"\xdf\xff\xff\xff\xff\x01",
        b"\x91\x81\xa1T\xdb\xff\xff\xff\xff",
        b"\x91\x81\xa1T\xc9\xff\xff\xff\xff\x01",
        b"\x91\x81\xa1c\xdd\x7f\xff\xff\xff\x01",
        b"\x90\x90",
        b"\x91\x81\xa1b\x91\x82\xa1p\x01",
        b"\x91\x81\xa1p\xcb\x00\x00",
        b"\x91\x81\xa1t\xd7\xff\x00\x00",
        b"\x91\x81\xbf" + b"x" * 30,
    ],
)
def test_malformed_msgpack_costs_the_frame(frame: bytes) -> None:
    d = decoder("msgpack")
    good = pack(f"[{SAMPLES['t']}]")
    assert d.feed(good, 1) == 1
    assert d.feed(frame, 1) == 0
    assert d.feed((b"\x93" if frame in (b"\xc0", b"\x80") else b"\x92") + good[1:] + frame, 1) == 0  # those two are whole values
    assert d.feed(good, 1) == 1
    assert d.counters["malformed"] == 2
    assert len(d.take()[0]) == 2


# ---------------------------------------------------------------------------------------------------- generated messages
NUMBERS = (
    st.decimals(min_value=0, max_value=10**6, places=2).map(float)
    | st.decimals(min_value=0, max_value=10**6, places=4).map(float)
    | st.floats(min_value=0, max_value=1e12)
    | st.integers(0, 10**7)
)
ODD = (
    st.none()
    | st.booleans()
    | st.just("12.5")
    | st.just("x")
    | st.just([])
    | st.just([1, {"p": 2}])
    | st.just({"p": 1})
    | st.floats(allow_nan=False, allow_infinity=False)
)
LETTERS = st.sampled_from(["", "@", "I", "V", "C", " ", "F", "LUDP", "T12", "H"])
VALUES: dict[str, Any] = {
    "i": st.integers(0, 2**64 - 1),
    "oi": st.integers(0, 2**63),
    "ci": st.integers(0, 2**63),
    "c": st.lists(LETTERS, max_size=5),
    "oc": st.lists(LETTERS, max_size=5),
    "cc": st.lists(LETTERS, max_size=3) | LETTERS,
    "r": st.booleans(),
    "tks": st.sampled_from(["B", "S", ""]),
    "n": st.integers(0, 10**6),
} | dict.fromkeys(["x", "z", "sc", "rc", "sm", "bx"], LETTERS)
LEVELS = st.lists(st.fixed_dictionaries({"p": NUMBERS, "s": NUMBERS}, optional={"q": ODD}), max_size=20)
SHAPES = {
    "t": "i x p s c z tks",
    "q": "bx bp bs ax ap as z",
    "b": "o h l c v n vw",
    "u": "o h l c v n vw",
    "d": "o h l c v n vw",
    "s": "sc sm rc rm z",
    "l": "u d i z",
    "c": "x oi op os oc ci cp cs cc z",
    "x": "i x p s a z",
    "o": "b a r",
}


@st.composite
def a_message(draw: Any) -> dict[str, Any]:
    kind = draw(st.sampled_from(list(SHAPES)))
    m: dict[str, Any] = {"T": kind, "S": draw(st.sampled_from([*TERMS, "NONE"])), "t": NS + draw(st.integers(0, 10**18))}
    for key in SHAPES[kind].split():
        if kind == "o" and key in "ba":
            m[key] = draw(LEVELS)
        elif kind in "bud" and key == "c":
            m[key] = draw(NUMBERS)
        elif kind == "l" and key == "i":
            m[key] = draw(LETTERS)
        elif kind == "x" and key == "a":
            m[key] = "C"
        else:
            m[key] = draw(VALUES.get(key, NUMBERS))
    if draw(st.booleans()):
        key = draw(st.sampled_from([k for k in m if k not in ("i", "oi", "ci", "c", "oc", "cc", "tks", "T", "S", "t")] or ["zzz"]))
        m[key] = draw(ODD)
    if draw(st.integers(0, 9)) == 0:
        m[draw(st.sampled_from(["zz", "extra", "q"]))] = draw(ODD)
    keys = draw(st.permutations(list(m)))
    return {k: m[k] for k in keys}


def text_time(ns: int) -> str:
    seconds = np.datetime64(ns // 10**9, "s")
    return f"{seconds}.{ns % 10**9:09d}Z"


@given(st.lists(a_message(), max_size=6))
@settings(max_examples=120, deadline=None)
def test_any_message_equals_the_oracle(messages: list[dict[str, Any]]) -> None:
    check(msgspec.json.encode([m | {"t": text_time(m["t"])} for m in messages]), "json")
    check(msgspec.msgpack.encode([m | {"t": stamp(m["t"])} for m in messages]), "msgpack")


def mutated(frame: bytes, rng: np.random.Generator) -> bytes:
    out = bytearray(frame)
    for _ in range(rng.integers(1, 4)):
        kind, at = rng.integers(0, 4), int(rng.integers(0, max(len(out), 1)))
        if kind == 0 and out:
            out[at] ^= 1 << int(rng.integers(0, 8))
        elif kind == 1:
            del out[at:]
        elif kind == 2 and out:
            out[at] = int(rng.choice([0, 0x22, 0x5B, 0x5C, 0x5D, 0x7B, 0x7D, 0x81, 0x91, 0xC1, 0xD7, 0xDB, 0xDD, 0xDF, 0xFF]))
        else:
            out[at:at] = out[: int(rng.integers(0, 20))]
    return bytes(out)


def fuzz(codec: str, rounds: int, seed: int) -> None:
    text = "[" + ",".join(SAMPLES.values()) + "]"
    frames = [f"[{s}]".encode() if codec == "json" else pack(f"[{s}]") for s in SAMPLES.values()]
    frames.append(text.encode() if codec == "json" else pack(text))
    good, wanted = frames[0], read(codec, frames[0])[0].tobytes()
    rng = np.random.default_rng(seed)
    d = decoder(codec)
    for _ in range(rounds):
        bad = mutated(frames[int(rng.integers(0, len(frames)))], rng)
        d.feed(good, 77)
        d.feed(bytes(bad), 77)  # a copy of its own length: a sanitizer sees a read beyond it
        d.feed(good, 77)
        records, bars = d.take()
        assert records[:1].tobytes() == records[-1:].tobytes() == wanted
        assert len(records) + len(bars) < 200
        assert set(records["type"]) <= set(DTYPES)
        prices = records[records["type"] == RecordType.TRADE].view(trade_dtype)
        assert (prices["px"] > 0).all()
        assert (prices["qty"] >= 0).all()


@pytest.mark.parametrize("codec", ["json", "msgpack"])
def test_noise_never_harms_what_came_before_or_after(codec: str) -> None:
    fuzz(codec, 4_000, 5)


@pytest.mark.nightly
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("codec", ["json", "msgpack"])
def test_much_noise(codec: str) -> None:
    fuzz(codec, 500_000, 6)


def test_every_truncation_and_every_flipped_bit() -> None:
    text = "[" + ",".join(SAMPLES.values()) + "]"
    for codec, frame in (("json", text.encode()), ("msgpack", pack(text))):
        d = decoder(codec)
        for n in range(len(frame)):
            assert d.feed(frame[:n], 1) == 0, n
        for i in range(8 * len(frame)):
            flipped = bytearray(frame)
            flipped[i >> 3] ^= 1 << (i & 7)
            assert 0 <= d.feed(bytes(flipped), 1) <= 20
            d.take()
        assert d.feed(frame, 1) == 13


# ---------------------------------------------------------------------------------------------------- the other direction
IDS = {t.instrument: t for t in TERMS.values()}
QTY = {9: st.integers(1, 2**50), 0: st.integers(1, 2**50), 15: st.integers(1, 30_000).map(lambda n: n * 10**14)}


@st.composite
def a_group(draw: Any) -> Any:
    """Records of one message, as a decoder would make them."""
    instrument = draw(st.sampled_from(list(IDS)))
    crypto = instrument in (3, 4)
    t = IDS[instrument]
    qty = QTY[t.qty_exp]
    px = st.integers(101, 10**7).map(lambda n: n * t.tick)
    kind = draw(
        st.sampled_from(
            [RecordType.TRADE, RecordType.QUOTE, RecordType.STATUS, RecordType.DELTA, RecordType.TRADE_CANCEL, "c", "l"]
        )
    )
    n = {RecordType.DELTA: draw(st.integers(1, 5)), "c": 2}.get(kind, 1)
    letters = st.lists(st.sampled_from(b"@FX "), max_size=4).map(lambda v: int.from_bytes(bytes(v), "little"))
    if kind == RecordType.QUOTE:
        out = np.zeros(1, quote_dtype)
        for side in ("bid", "ask"):
            empty = draw(st.booleans())
            out[f"{side}_px"], out[f"{side}_qty"] = (NO_PRICE, 0) if empty else (draw(px), draw(qty))
    elif kind in (RecordType.STATUS, "l"):
        out = np.zeros(1, status_dtype)
        kind_letters = draw(st.sampled_from([b"H", b"T", b"Q", b"2"]))
        out["tape"], out["upper_px"], out["lower_px"] = ord("C"), NO_PRICE, NO_PRICE
        out["code"] = int.from_bytes(kind_letters, "little")
        if kind == "l":
            out["upper_px"], out["lower_px"] = draw(px), draw(px)
        else:
            out["reason"] = int.from_bytes(draw(st.sampled_from([b"", b"LUDP", b"T1"])), "little")
            out["state"] = oracle.state(int(out["code"][0]), int(out["reason"][0]))
    elif kind == RecordType.DELTA:
        out = np.zeros(n, delta_dtype)
        whole = draw(st.booleans())
        out["side"] = sorted(draw(st.integers(1, 2)) for _ in range(n))
        out["px"], out["qty"] = [draw(px) for _ in range(n)], [draw(qty | st.just(0)) for _ in range(n)]
        if whole:
            out[0:1] = np.array([(0,) * len(delta_dtype)], delta_dtype)
            out[0]["action"], out[0]["flags"] = Action.CLEAR, Flag.SNAPSHOT
        out[-1]["flags"] |= Flag.LAST
    else:
        out = np.zeros(n, trade_dtype)
        out["px"], out["qty"] = [draw(px) for _ in range(n)], [draw(qty) for _ in range(n)]
        out["trade_id"] = [draw(st.integers(0, 2**64 - 1)) for _ in range(n)]
        if kind != RecordType.TRADE or not crypto:
            out["tape"] = ord("C")
        if kind == "c" or (kind == RecordType.TRADE and not crypto):
            out["conditions"] = [draw(letters) for _ in range(n)]
        if kind == RecordType.TRADE and crypto:
            out["taker"] = draw(st.integers(0, 2))
        out["exchange"] = draw(st.sampled_from(b"VDQ"))
    out["type"] = {"c": RecordType.TRADE, "l": RecordType.STATUS}.get(kind, kind)
    if kind == "c":
        out["type"], out["flags"] = [RecordType.TRADE_CANCEL, RecordType.TRADE], Flag.CORRECTED
    out["instrument"], out["ts_event"], out["ts_recv"] = instrument, NS + draw(st.integers(0, 10**18)), 77
    return out.view(market_dtype)


@given(st.lists(a_group(), min_size=1, max_size=8), st.sampled_from(["json", "msgpack"]))
@settings(max_examples=100, deadline=None)
def test_what_was_encoded_is_decoded(groups: list[Any], codec: str) -> None:
    records = np.concatenate(groups)
    e = encoder(codec)
    messages = e.encode_each(records)
    assert len(messages) == len(records)
    assert len([m for m in messages if m]) == len(groups)
    frame = e.join(messages)
    assert frame == e.encode(records)
    got, bars, counters = read(codec, frame)
    assert len(bars) == 0
    assert counters == {"frames": 1, "messages": len(groups)}
    assert got.tobytes() == records.tobytes()


@given(
    st.integers(1, 10**7),
    st.integers(0, 2**40),
    st.integers(0, 2**32 - 1),
    st.sampled_from("bud"),
    st.sampled_from(["json", "msgpack"]),
)
@settings(max_examples=100, deadline=None)
def test_bars_that_were_encoded_are_decoded(cents: int, volume: int, trades: int, kind: str, codec: str) -> None:
    interval = (86_400 if kind == "d" else 60) * 10**9
    bars = np.zeros(1, bar_dtype)
    bars["type"], bars["instrument"], bars["ts_recv"], bars["start"], bars["interval"] = 20, 1, 77, NS, interval
    bars["ts_event"], bars["trades"], bars["volume"] = NS + interval, trades, volume
    for name, more in (("open_px", 1), ("high_px", 3), ("low_px", 0), ("close_px", 2)):
        bars[name] = (cents + more) * 10_000_000
    notional = (cents * 10_000_000 + 1) * volume if codec == "json" else cents * 10_000_000 * volume
    bars["notional_lo"], bars["notional_hi"] = notional % 2**64, notional >> 64
    bars["revision"], bars["flags"] = int(kind == "u"), Flag.AMENDED if kind == "u" else 0
    frame = encoder(codec).encode_bars(bars, kind)
    assert read(codec, frame)[1].tobytes() == bars.tobytes()


def test_messages_have_the_venues_form() -> None:
    for name, text in SAMPLES.items():
        records, bars, _ = both(f"[{text}]")
        e = encoder("json")
        (got,) = msgspec.json.decode(e.encode(records) if len(records) else e.encode_bars(bars))
        want = msgspec.json.decode(text)
        if name == "s":
            want["rm"] = ""
        assert got == want
        assert list(got)[:2] == ["T", "S"]
        packed = encoder("msgpack")
        (raw,) = msgpack.unpackb(packed.encode(records) if len(records) else packed.encode_bars(bars))
        assert isinstance(raw["t"], msgpack.Timestamp)
        assert set(raw) == set(want)
        assert all(isinstance(raw[k], float) for k in ("p", "bp", "ap", "o", "h", "vw", "op") if k in raw)
        assert all(isinstance(raw[k], int) for k in ("s", "bs", "as", "v", "os") if k in raw)


def test_a_slice_of_messages_makes_a_frame() -> None:
    records = np.concatenate([both(f"[{SAMPLES[k]}]")[0] for k in ("t", "o", "q", "c")])
    for codec in ("json", "msgpack"):
        e = encoder(codec)
        each = e.encode_each(records)
        assert [bool(m) for m in each] == [True, False, False, False, True, True, False, True]
        assert read(codec, e.join([each[0], each[5]]))[0]["type"].tolist() == [1, 2]
        assert read(codec, e.join([]))[2] == {"frames": 1}
        assert len(read(codec, e.join(each[:1] * 20))[0]) == 20
        assert len(read(codec, e.join(each[:1] * 70_000))[0]) == 70_000


def test_what_cannot_be_encoded_is_said() -> None:
    e = encoder("json")
    records = both(f"[{SAMPLES['t']}]")[0].copy()
    records["type"] = RecordType.GAP
    assert e.encode(records) == b"[]"
    assert e.skipped == 1
    records["type"], records["instrument"] = RecordType.TRADE, 99
    with pytest.raises(ValueError, match="instrument 99 has no name"):
        e.encode(records)
    with pytest.raises(ValueError, match="64 bytes"):
        e.encode(np.zeros(2, bar_dtype))
    with pytest.raises(ValueError, match="codec"):
        Encoder("xml")
    for bad in ("", "x" * 33, 'A"B'):
        with pytest.raises(ValueError, match=r"symbol|bytes"):
            e.register(bad, 1)


def test_terms_that_cannot_be() -> None:
    d = Decoder("json")
    for options in ({"tick": 0}, {"sub_tick": -1}, {"lot": 0}, {"qty_exp": 19}, {"quote_unit": 0}):
        with pytest.raises(ValueError, match="above 0"):
            d.register("A", 1, **({"tick": 1, "sub_tick": 1} | options))
    with pytest.raises(ValueError, match="1 to 32 bytes"):
        d.register("", 1, tick=1, sub_tick=1)
    with pytest.raises(ValueError, match="codec"):
        Decoder("xml")


def test_ten_thousand_symbols() -> None:
    d = Decoder("json")
    names = [f"S{i:05d}{'/USD' if i % 3 else ''}" for i in range(10_000)]
    for i, name in enumerate(names, 1):
        d.register(name, i, tick=1, sub_tick=1)
    for i, name in enumerate(names, 1):
        d.feed(f'[{{"T":"t","S":"{name}","p":5,"s":1,"t":"2026-03-02T15:04:05Z"}}]'.encode(), 0)
        assert d.take()[0]["instrument"].tolist() == [i]
    d.register(names[7], 77, tick=1, sub_tick=1)
    d.feed(f'[{{"T":"t","S":"{names[7]}","p":5,"s":1,"t":"2026-03-02T15:04:05Z"}}]'.encode(), 0)
    assert d.take()[0]["instrument"].tolist() == [77]


def test_alpacas_own_models_read_what_is_written() -> None:
    from alpaca.data import mappings, models

    made: dict[str, tuple[Any, dict[str, str]]] = {
        "t": (models.Trade, mappings.TRADE_MAPPING),
        "q": (models.Quote, mappings.QUOTE_MAPPING),
        "b": (models.Bar, mappings.BAR_MAPPING),
        "s": (models.TradingStatus, mappings.TRADING_STATUS_MAPPING),
        "x": (models.TradeCancel, mappings.TRADE_CANCEL_MAPPING),
        "c": (models.TradeCorrection, mappings.TRADE_CORRECTION_MAPPING),
        "o": (models.Orderbook, {}),
    }
    for kind, (model, _) in made.items():
        records, bars, _ = both(f"[{SAMPLES[kind]}]")
        e = encoder("msgpack")
        (raw,) = msgpack.unpackb(e.encode(records) if len(records) else e.encode_bars(bars))
        raw["t"] = raw["t"].to_datetime()  # as alpaca.data.live does
        read_back = model(raw["S"], raw)
        assert read_back.symbol == raw["S"]
        if kind == "t":
            assert (read_back.price, read_back.size, read_back.id, read_back.conditions) == (189.51, 100, 52983, ["@"])
        if kind == "q":
            assert (read_back.bid_price, read_back.ask_size) == (189.5, 2)
        if kind == "o":
            assert (read_back.bids[0].price, read_back.bids[0].size, read_back.reset) == (61999.5, 0.5, True)
