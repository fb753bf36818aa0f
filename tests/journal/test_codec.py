"""Every fact comes back exactly; what this version does not know is refused."""

import struct

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.journal.facts import ANY, FACTS, defined, fill, intended, order

from pyrt.errors import JournalError
from pyrt.journal import codec
from pyrt.model import BaselineSet, Defined, Filled, Intended, OrderChanged, OrderStatus


@pytest.mark.parametrize("kind", FACTS)
def test_every_fact_comes_back(kind):
    @settings(max_examples=120, deadline=None)
    @given(FACTS[kind])
    def check(fact):
        number, payload = codec.encode(fact)
        back = codec.decode(number, codec.VERSION, payload)
        assert back == fact
        assert type(back) is type(fact)
        if isinstance(fact, Intended):
            assert type(back.intent.side) is type(fact.intent.side)

    check()


@pytest.mark.nightly
@settings(max_examples=20_000, deadline=None)
@given(ANY)
def test_every_fact_comes_back_often(fact):
    assert codec.decode(*_place(fact)) == fact


def _place(fact):
    number, payload = codec.encode(fact)
    return number, codec.VERSION, payload


def test_the_frequent_facts_are_128_bytes():
    for fact in (defined(), intended(7, 5), order(7, OrderStatus.ACCEPTED), fill(7, 10, 10)):
        kind, payload = codec.encode(fact)
        assert kind != codec.Kind.MESSAGE
        assert len(payload) == 128
        assert codec.decode(kind, codec.VERSION, payload) == fact


def test_an_activity_id_of_the_venue_fits():
    fact = msgspec.structs.replace(
        fill(7, 10, 10), execution_id="", activity_id="20220202135509981::2d7be4ff-d1f3-43e9-856a-0f5cf5c5088e", source="activity"
    )
    assert codec.encode(fact)[0] == codec.Kind.FILL
    assert codec.decode(*_place(fact)) == fact


def test_what_does_not_fit_falls_back_and_comes_back():
    for fact in (
        Defined(instrument=msgspec.structs.replace(defined().instrument, symbol="X" * 33)),
        msgspec.structs.replace(order(1, OrderStatus.REJECTED), reason="é" * 25),
        msgspec.structs.replace(order(1, OrderStatus.REJECTED), venue_order_id="not-a-uuid"),
        msgspec.structs.replace(fill(1, 1, 1), activity_id="both"),
        msgspec.structs.replace(intended(1), limits_version=2**32),
    ):
        assert codec.encode(fact)[0] == codec.Kind.MESSAGE
        assert codec.decode(*_place(fact)) == fact


def test_the_header_is_that_of_the_records():
    _, payload = codec.encode(intended(7, 99))
    assert struct.unpack_from("<HHIQqq", payload) == (codec.Kind.INTENDED, 0, 1, 0, 99, 0)


def test_a_number_beyond_64_bits_is_refused_not_cut():
    with pytest.raises(JournalError, match="no record can hold"):
        codec.encode(BaselineSet(day="2024-01-02", equity=2**64, ts=0))


@pytest.mark.parametrize(
    ("kind", "version", "payload"),
    [
        (999, codec.VERSION, b""),
        (codec.Kind.ORDER, codec.VERSION + 1, codec.encode(order(1, OrderStatus.SENT))[1]),
        (codec.Kind.ORDER, codec.VERSION, codec.encode(order(1, OrderStatus.SENT))[1] + b"\0"),
        (codec.Kind.FILL, codec.VERSION, codec.encode(order(1, OrderStatus.SENT))[1]),
        (codec.Kind.MESSAGE, codec.VERSION, msgspec.msgpack.encode({"kind": "FromTheFuture", "ts": 1})),
        (codec.Kind.MESSAGE, codec.VERSION, b"\xc1"),
    ],
)
def test_the_unknown_is_refused_loudly(kind, version, payload):
    with pytest.raises(JournalError, match=r"record"):
        codec.decode(kind, version, payload)


@pytest.mark.parametrize("kind", [codec.Kind.DEFINED, codec.Kind.INTENDED, codec.Kind.ORDER, codec.Kind.FILL])
@settings(max_examples=200, deadline=None)
@given(body=st.binary(min_size=126, max_size=126))
def test_any_bytes_decode_or_are_refused(kind, body):
    try:
        fact = codec.decode(kind, codec.VERSION, kind.to_bytes(2, "little") + body)
    except JournalError:
        return
    assert type(fact) in (Defined, Intended, OrderChanged, Filled)
