"""ITCH 5.0: every message by its table, streams cut anywhere and damaged, and books equal to the reference."""

import os
import random
import sys
import time

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tests.reference.l3 import ReferenceL3
from tests.unlocked import lets_others_run

from pyrt._core.itch import ItchBooks
from pyrt._core.itch_records import MESSAGES, decode, encode, message, parse
from pyrt._core.l3 import OrderAction, order_event_dtype
from pyrt._core.types import Side, TradingState

CENT = 10_000_000
# The lengths of the specification, behind the length itself.
LENGTHS = {
    "S": 12, "R": 39, "H": 25, "Y": 20, "L": 26, "V": 35, "W": 12, "K": 28, "J": 35, "h": 21, "A": 36, "F": 40, "E": 31, "C": 36,
    "X": 23, "D": 19, "U": 35, "P": 44, "Q": 40, "B": 19, "I": 50, "N": 20, "O": 48,
}  # fmt: skip


def framed(*messages):
    return b"".join(len(m).to_bytes(2, "big") + m for m in messages)


def random_day(seed, n, shares=4):
    """Events as a venue sends them, and now and then as none would."""
    rng = random.Random(seed)
    live, number = [], 500
    out = np.zeros(n, order_event_dtype)
    for k in range(n):
        draw = rng.random()
        order = rng.choice(live) if live and rng.random() < 0.97 else rng.randrange(1_000_000)
        row = out[k]
        row["ts"], row["instrument"], row["order"] = 34_200 * 10**9 + k, rng.randint(1, shares), order
        if draw < 0.5 or not live:
            number += rng.choice((1, 1, 2, 9))
            side = rng.choice((Side.BUY, Side.SELL))
            row["action"], row["side"] = OrderAction.ADD, side
            row["order"] = number if rng.random() < 0.99 else order
            row["px"] = (5_000 + (-1 if side == Side.BUY else 1) * int(rng.expovariate(0.2))) * CENT
            row["qty"], row["by"] = rng.randint(1, 900), rng.choice((b"", b"NSDQ"))
            live.append(int(row["order"]))
        elif draw < 0.75:
            row["action"] = OrderAction.DELETE
        elif draw < 0.87:
            row["action"], row["qty"] = rng.choice((OrderAction.EXECUTE, OrderAction.CANCEL)), rng.randint(1, 500)
        elif draw < 0.95:
            number += 1
            row["action"], row["other"], row["px"], row["qty"] = OrderAction.REPLACE, number, 5_000 * CENT, rng.randint(1, 900)
            live.append(number)
        else:
            row["action"], row["side"], row["px"], row["qty"], row["other"] = OrderAction.TRADE, Side.BUY, 5_000 * CENT, 100, k
        if row["action"] in (OrderAction.DELETE, OrderAction.REPLACE) and order in live:
            live.remove(order)
        if row["action"] == OrderAction.EXECUTE:
            row["other"] = k
            if rng.random() < 0.1:
                row["px"], row["flags"] = 4_999 * CENT, rng.randint(0, 1)
    out["seq"] = np.arange(n)
    return out


def state_of(books, shares=4):
    """Everything the books say, to compare two of them."""
    told = [books.counters | {"waiting": 0}, books.counts]
    for share in range(1, shares + 1):
        book = books.book(share)
        sides = book.depth(1_000)
        told += [rows.tolist() for rows in sides]
        told += [book.queue(side, int(px)).tolist() for side, rows in zip((1, 2), sides, strict=True) for px in rows["px"]]
    return told


def test_the_table_has_the_lengths_of_the_specification():
    assert {letter: len(message(letter)) for letter in MESSAGES} == LENGTHS


@pytest.mark.parametrize("letter", LENGTHS)
def test_every_message_comes_back_as_it_was_written(letter):
    rng = random.Random(letter)
    fields = {"share": 7, "tracking": 3, "ts": 2**47 + 5}
    for name, kind in MESSAGES[letter]:
        size = kind if isinstance(kind, int) else int(kind[0])
        text = isinstance(kind, str) and kind.endswith("s")
        fields[name] = "ABCDEFGH"[:size] if text else rng.randrange(256**size)
    assert parse(message(letter, **fields)) == {"letter": letter, **fields}
    books = ItchBooks()
    books.feed(framed(message(letter, **fields)))
    assert books.counts == {letter: 1}
    assert books.counters["malformed"] == books.counters["letters"] == 0
    assert books.ts == 2**47 + 5


def test_what_is_no_message_is_refused():
    with pytest.raises(ValueError, match="no message of ITCH"):
        parse(b"A" * 12)
    with pytest.raises(ValueError, match="no message of ITCH"):
        parse(b"")
    with pytest.raises(ValueError, match="no field size"):
        message("D", size=1)
    with pytest.raises(ValueError, match="8 bytes"):
        message("R", symbol="TOOLONGNAME")


def test_known_bytes():
    """An add as it stands in the specification's table, byte for byte."""
    raw = (
        b"A" + b"\x00\x05\x00\x02" + b"\x1f\x1a\xce\xd9\xf0\x00" + b"\x00" * 7 + b"\x09" + b"B" + b"\x00\x00\x00\x64" + b"AAPL    "
    )
    raw += (1_892_500).to_bytes(4, "big")
    books = ItchBooks()
    books.feed(framed(raw))
    assert books.book(5).order(9) == (Side.BUY, 189_250_000_000, 100)
    assert books.book(5).best_bid == (189_250_000_000, 100)
    assert books.ts == 34_200 * 10**9
    (e,) = decode(framed(raw))
    assert (e["order"], e["px"], e["qty"], e["side"], e["instrument"]) == (9, 189_250_000_000, 100, Side.BUY, 5)


def test_the_day_of_a_share():
    books = ItchBooks(reserve=1_000)
    books.feed(framed(message("S", event="O"), message("R", share=12, symbol="ZVZZT", lot=100)))
    books.feed(framed(message("H", share=12, symbol="ZVZZT", state="H", reason="IPO1")))
    assert books.state("ZVZZT") == TradingState.HALTED
    books.feed(framed(message("F", share=12, order=1, side="S", qty=300, symbol="ZVZZT", px=100_0000, mpid="NITE")))
    books.feed(framed(message("H", share=12, symbol="ZVZZT", state="T"), message("S", event="Q")))
    assert books.state("ZVZZT") == TradingState.TRADING
    assert books.event == "Q"
    assert books.shares == {"ZVZZT": 12}
    book = books["ZVZZT"]
    assert book.best_ask == (100_000_000_000, 300)
    assert book.queue(Side.SELL, 100_000_000_000).tolist() == [(1, 300, b"NITE", 0)]
    books.feed(framed(message("C", share=12, order=1, qty=100, match=5, printable="N", px=99_9900)))
    assert book.best_ask == (100_000_000_000, 200)
    with pytest.raises(KeyError, match="AAPL"):
        books["AAPL"]
    with pytest.raises(KeyError):
        books["A symbol that is too long"]
    with pytest.raises(ValueError, match="16 bits"):
        books.book(65_536)
    del books
    assert book.best_ask == (100_000_000_000, 200)  # a view keeps what it looks at


@pytest.mark.parametrize("seed", range(4))
def test_books_equal_the_reference(seed):
    events = random_day(seed, 6_000)
    books, oracle = ItchBooks(), ReferenceL3()
    raw = encode(events)
    for k in range(0, len(events), 1_500):
        part = events[k : k + 1_500]
        books.feed(encode(part))
        for e in part:
            fields = {name: e[name].item() for name in order_event_dtype.names}
            if fields["action"] == OrderAction.ADD:  # one dict of orders, a book each
                fields["px"] += fields["instrument"] * 10**15
                oracle.apply(fields)
            elif fields["action"] == OrderAction.REPLACE and fields["order"] in oracle.orders:
                fields["px"] += oracle.orders[fields["order"]][1] // 10**15 * 10**15
                oracle.apply(fields)
            else:
                oracle.apply(fields)
        for share in range(1, 5):
            for rows, side in zip(books.book(share).depth(10**6), (Side.BUY, Side.SELL), strict=True):
                told = [(px - share * 10**15, qty, n) for px, qty, n in oracle.levels(side) if px // 10**15 == share]
                assert rows.tolist() == told
        assert {k: books.counters[k] for k in oracle.counts} == dict(oracle.counts)
    assert books.counters["orders"] == len(oracle.orders)
    assert books.counters["unknown"] > 50
    assert books.counters["duplicates"] > 5
    assert books.counters["clipped"] > 50
    again = ItchBooks()
    again.feed(raw)
    assert state_of(again) == state_of(books)


def test_events_come_back_as_they_were_written():
    events = random_day(11, 3_000)
    back = decode(encode(events, {1: "ONE", 3: "THREE"}))
    expected = events.copy()
    for field, actions in (("instrument", ()), ("side", (OrderAction.ADD, OrderAction.TRADE))):
        if actions:
            expected[field][~np.isin(events["action"], actions)] = 0
    assert np.array_equal(back, expected)
    stocks = {parse(m)["symbol"] for m in messages_of(encode(events, {1: "ONE", 3: "THREE"})) if m[:1] == b"A"}
    assert stocks == {"ONE", "THREE", ""}


def messages_of(raw):
    at = 0
    while at < len(raw):
        n = int.from_bytes(raw[at : at + 2], "big")
        yield raw[at + 2 : at + 2 + n]
        at += 2 + n


@pytest.mark.parametrize(
    "change",
    [{"px": 1}, {"px": -CENT}, {"px": 2**32 * 100_000}, {"qty": 0}, {"qty": 2**32}, {"side": 0}, {"instrument": 65_536}, {"ts": -1},
     {"ts": 2**48}, {"action": OrderAction.MODIFY}, {"action": OrderAction.CLEAR}, {"action": 99}],
)  # fmt: skip
def test_what_itch_cannot_say_is_refused(change):
    events = random_day(1, 1)
    for name, value in change.items():
        events[name] = value
    with pytest.raises(ValueError, match="event 0"):
        encode(events)


@pytest.mark.parametrize("seed", range(3))
def test_a_stream_may_be_cut_anywhere(seed):
    rng = random.Random(seed)
    raw = encode(random_day(seed, 800)) + bytes(2) + framed(b"Z" * 300, message("S", event="C"))
    whole, cut = ItchBooks(), ItchBooks()
    whole.feed(raw)
    at = 0
    while at < len(raw):
        n = rng.choice((1, 1, 2, 3, 20, 37, 38, 39, 200))
        cut.feed(memoryview(raw)[at : at + n])
        at += n
    assert state_of(cut) == state_of(whole)
    assert cut.counters["ends"] == cut.counters["letters"] == 1
    assert cut.ts == whole.ts
    cut.feed(raw[:1])
    assert cut.counters["waiting"] == 1


def test_messages_without_lengths():
    raw = list(messages_of(encode(random_day(5, 500))))
    one, all_at_once, with_lengths = ItchBooks(), ItchBooks(), ItchBooks()
    for m in raw:
        one.feed_bare(m)
    all_at_once.feed_bare(b"".join(raw))
    with_lengths.feed(framed(*raw))
    assert state_of(one) == state_of(all_at_once) == state_of(with_lengths)
    one.feed_bare(raw[0][:-1])  # cut off
    assert one.counters["malformed"] == 1
    one.feed_bare(b"Z" + raw[0])  # nobody knows where the next begins
    assert one.counters["letters"] == 1
    assert one.counts["A"] == all_at_once.counts["A"] + (raw[0][:1] == b"A")


def test_what_is_wrong_is_counted_and_passed_over():
    add = message("A", share=1, order=7, side="B", qty=100, symbol="X", px=10_0000)
    books = ItchBooks()
    books.feed(framed(add[:-1], add + b"\0", b"\xff" * 9, message("A", order=8, side="?", qty=1, px=1)))
    books.feed(framed(message("A", order=8, side="B", qty=0, px=1), message("A", order=8, side="B", qty=1, px=0)))
    assert books.counters == {
        "orders": 0, "unknown": 0, "duplicates": 0, "refused": 3, "clipped": 0,
        "malformed": 2, "letters": 1, "ends": 0, "waiting": 0,
    }  # fmt: skip
    books.feed(framed(add, message("E", order=7, qty=150), message("D", order=7), message("U", order=7, other=9, qty=1, px=1)))
    assert {k: books.counters[k] for k in ("orders", "clipped", "unknown")} == {"orders": 0, "clipped": 1, "unknown": 2}
    books.feed(framed(add, message("U", order=7, other=9, qty=0, px=1)))  # gone at the venue, whatever came in its place
    assert books.counters["orders"] == 0
    assert books.counters["refused"] == 4


def feed_hostile(data, cuts):
    """Both doors, in pieces: nothing may break, each level is the sum of its queue, and where it was cut does not matter."""
    books, uncut = ItchBooks(), ItchBooks()
    for day in (books, uncut):
        day.watch(1, 7)
    at = 0
    for n in cuts:
        books.feed(data[at : at + n])
        at += n
    books.feed(data[at:])
    uncut.feed(data)
    assert state_of(books) == state_of(uncut)
    assert books.take().tobytes() == uncut.take().tobytes()
    books.feed_bare(data)
    decode(data)
    shares = {int.from_bytes(data[k : k + 2], "big") for k in range(0, min(len(data), 4_000), 19)}
    found = 0
    for share in shares | set(range(8)):
        for side, rows in zip((Side.BUY, Side.SELL), books.book(share).depth(50), strict=True):
            for px, qty, orders in rows.tolist():
                queue = books.book(share).queue(side, px)
                assert (int(queue["qty"].sum()), len(queue)) == (qty, orders)
                found += orders
    assert found <= books.counters["orders"]
    return books


def test_a_feed_makes_no_object_for_a_message_and_holds_no_lock():
    raw = encode(random_day(1, 6_000))
    books = ItchBooks()
    books.feed(raw)
    before = sys.getallocatedblocks()
    books.feed(raw)
    assert sys.getallocatedblocks() - before < 20
    assert lets_others_run(lambda: books.feed(raw), 5_000)


letters = st.sampled_from(sorted(LENGTHS)).map(str.encode)
bodies = st.binary(max_size=60)


def whole(letter, body):
    """A message of the right length, whatever is in it."""
    n = LENGTHS[letter.decode()] - 1
    return letter + (body * 60)[:n].ljust(n, b"\1")


anything = st.one_of(
    st.builds(lambda letter, body: letter + body, letters, bodies), st.builds(whole, letters, bodies), bodies.filter(len)
)
hostile = st.lists(anything.map(framed), max_size=40).map(b"".join)


@settings(max_examples=150)
@given(hostile | st.binary(max_size=400), st.lists(st.integers(1, 60), max_size=8))
@example(b"\xff\xff" + b"A" * 70_000, [65_000])
@example(b"\0", [])
def test_no_bytes_break_it(data, cuts):
    feed_hostile(data, cuts)


@pytest.mark.nightly
def test_twenty_seconds_of_random_bytes():
    """Whole streams with bytes changed, cut out and doubled; PYRT_FUZZ: seconds."""
    end = time.monotonic() + float(os.environ.get("PYRT_FUZZ", "20"))
    seed = time.time_ns()
    good = [encode(random_day(k, 400)) for k in range(4)]
    rounds = 0
    while time.monotonic() < end:
        rng = random.Random(seed + rounds)
        data = bytearray(rng.choice(good))
        for _ in range(rng.choice((1, 5, 50, 500))):
            at = rng.randrange(len(data))
            change = rng.random()
            if change < 0.7:
                data[at] = rng.randrange(256)
            elif change < 0.85:
                del data[at : at + rng.randint(1, 40)]
            else:
                data[at:at] = data[at : at + rng.randint(1, 80)]
        try:
            feed_hostile(bytes(data), [rng.randint(1, 3_000) for _ in range(rng.randrange(6))])
        except BaseException:
            print(f"seed {seed + rounds}")
            raise
        rounds += 1
    assert rounds > 0
