"""Files of orders: DBN records of every action, and what is no such file."""

import sys
import zipfile
from functools import partial

import numpy as np
import pytest

from pyrt._core.l3 import L3Book, OrderAction
from pyrt._core.types import Side
from pyrt.errors import DataError
from pyrt.history import text
from pyrt.history.lobster import Lobster
from pyrt.history.orders import LobsterOrders, mbo_dtype, read_mbo

TICK = 250_000_000


def dbn(rows, *, version=1, metadata=b"m" * 100):
    out = np.zeros(len(rows), mbo_dtype)
    out["length"], out["rtype"], out["instrument"] = mbo_dtype.itemsize // 4, 0xA0, 17_077
    for k, (action, side, order, px, size) in enumerate(rows):
        out[k]["action"], out[k]["side"], out[k]["order"], out[k]["px"], out[k]["size"] = action, side, order, px, size
        out[k]["sequence"], out[k]["ts_event"] = k + 1, 1_700_000_000 * 10**9 + k
    return b"DBN" + bytes([version]) + len(metadata).to_bytes(4, "little") + metadata + out.tobytes()


def test_every_action_of_a_dbn_file(tmp_path):
    path = tmp_path / "day.dbn"
    path.write_bytes(
        dbn([
            (b"R", b"N", 0, 0, 0),
            (b"A", b"B", 1, 100 * TICK, 5),
            (b"A", b"B", 2, 100 * TICK, 7),
            (b"A", b"A", 3, 102 * TICK, 4),
            (b"M", b"B", 1, 100 * TICK, 9),  # more: behind the other
            (b"C", b"B", 2, 100 * TICK, 3),
            (b"T", b"A", 0, 100 * TICK, 1),
            (b"F", b"B", 2, 100 * TICK, 1),
            (b"N", b"N", 0, 0, 0),
            (b"C", b"A", 3, 102 * TICK, 4),
        ])
    )  # fmt: skip
    events = read_mbo(path)
    assert events["seq"].tolist() == list(range(1, 11))
    assert set(events["instrument"].tolist()) == {17_077}
    book = L3Book()
    assert book.apply(events) == 7
    assert [(order, qty) for order, qty, *_ in book.queue(Side.BUY, 100 * TICK).tolist()] == [(2, 4), (1, 9)]
    assert book.best_ask is None
    assert (events["action"] == OrderAction.TRADE).sum() == 3


@pytest.mark.parametrize("version", [1, 2, 3])
def test_a_file_without_records(tmp_path, version):
    path = tmp_path / "day.dbn"
    path.write_bytes(dbn([], version=version))
    assert len(read_mbo(path)) == 0


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (lambda raw: b"PAR1" + raw, "no DBN file"),
        (lambda raw: raw[:5], "no DBN file"),
        (lambda raw: raw[:-1], "cut off"),
        (lambda raw: raw[:4] + b"\xff\xff\xff\x7f" + raw[8:], "cut off"),
        (lambda raw: raw[:-55] + b"\x00" + raw[-54:], "record 1"),
    ],
)
def test_what_is_no_such_file_is_told(tmp_path, change, what):
    path = tmp_path / "day.dbn"
    path.write_bytes(change(dbn([(b"A", b"B", 1, TICK, 5)] * 2)))
    with pytest.raises(DataError, match=what):
        read_mbo(path)
    with pytest.raises(DataError, match="cannot be read"):
        read_mbo(tmp_path / "another.dbn")


def test_a_packed_file_without_the_package_says_what_to_install(tmp_path, monkeypatch):
    path = tmp_path / "day.dbn.zst"
    path.write_bytes(b"\x28\xb5\x2f\xfd" + bytes(20))
    monkeypatch.setitem(sys.modules, "zstandard", None)
    with pytest.raises(DataError, match="pip install zstandard"):
        read_mbo(path)


def test_a_packed_file_ends_before_the_memory_does(tmp_path, monkeypatch):
    zstandard = pytest.importorskip("zstandard")
    path = tmp_path / "day.dbn.zst"
    raw = dbn([(b"A", b"B", 1, TICK, 5)] * 1000)
    path.write_bytes(zstandard.compress(raw))
    assert len(read_mbo(path)) == 1000
    path.write_bytes(zstandard.compress(raw + bytes(20 << 20)))  # of one byte, over and over
    monkeypatch.setattr(text, "SMALL", 1 << 20)
    with pytest.raises(DataError, match="more than 200 times its size"):
        read_mbo(path)


def lobster(path, messages, rows):
    levels = len(rows[0]) // 4
    with zipfile.ZipFile(path, "w") as archive:
        for what, lines in (("message", messages), ("orderbook", rows)):
            text = "".join(",".join(map(str, line)) + "\n" for line in lines)
            archive.writestr(f"X_2012-06-21_34200000_57600000_{what}_{levels}.csv", text)


def test_what_rested_before_stands_in_front_and_levels_come_into_view(tmp_path):
    none = (9_999_999_999, 0)
    path = tmp_path / "day.zip"
    lobster(
        path,
        [
            (34_200.0, 1, 11, 30, 100_0000, 1),  # joins 70 that rested
            (34_200.1, 4, 5, 40, 100_0000, 1),  # of one that nobody told of
            (34_200.2, 1, 12, 10, 100_0100, 1),  # a better level pushes the other out of view
            (34_200.3, 3, 12, 10, 100_0100, 1),  # and it comes back, changed
            (34_200.4, 3, 11, 30, 100_0000, 1),  # an order that stood there when it was last seen
            (34_200.5, 5, 0, 5, 100_0050, 1),
        ],
        [
            (*none, 100_0000, 100),
            (*none, 100_0000, 60),
            (*none, 100_0100, 10),
            (*none, 100_0000, 80),
            (*none, 100_0000, 50),
            (*none, 100_0000, 50),
        ],
    )
    source, book = LobsterOrders(path), L3Book()
    ((events, ends, rows),) = source.chunks()
    seen = []
    begin = 0
    for end, row in zip(ends.tolist(), rows.tolist(), strict=True):
        book.apply(events[begin:end])
        begin = end
        assert book.best_bid == (row[2] * 100_000, row[3])
        seen.append((book.ahead(11), book.order(11) is not None))
    assert seen == [((1, 70), True), ((1, 30), True), ((1, 30), True), (None, False), (None, False), (None, False)]
    assert events["action"][-1] == OrderAction.TRADE
    assert dict(source.counts) == {"levels of the first row": 1, "levels revealed": 1}
    assert {book.counters[name] for name in ("unknown", "duplicates", "refused", "clipped")} == {0}


def test_a_row_that_its_message_does_not_explain_is_counted_and_believed(tmp_path):
    path = tmp_path / "day.zip"
    lobster(
        path,
        [
            (34_200.0, 1, 1, 100, 100_0000, 1),
            (34_200.1, 1, 2, 50, 100_0000, 1),  # the row says that nothing came
            (34_200.2, 7, 0, 0, -1, -1),  # a halt, and the ask is gone
            (34_200.3, 3, 77, 40, 101_0000, -1),  # of an order at a price that nobody shows
        ],
        [
            (102_0000, 10, 100_0000, 100),
            (102_0000, 10, 100_0000, 100),
            (9_999_999_999, 0, 100_0000, 100),
            (9_999_999_999, 0, 100_0000, 100),
        ],
    )
    source, book = LobsterOrders(path), L3Book()
    for events, _, _ in source.chunks():
        book.apply(events)
    assert book.best_bid == (1_000_000 * 100_000, 100)
    assert book.best_ask is None
    assert source.counts["rows that their message does not explain"] == 2


@pytest.mark.parametrize(
    ("message", "row"),
    [
        ((34_200.0, 1, -5, 100, 100_0000, 1), (101_0000, 10, 100_0000, 100)),
        ((34_200.0, 1, 1 << 60, 100, 100_0000, 1), (101_0000, 10, 100_0000, 100)),  # a float would give it to another order
        ((34_200.0, 1, 5, -100, 100_0000, 1), (101_0000, 10, 100_0000, 100)),
        ((34_200.0, 1, 5, 1e300, 100_0000, 1), (101_0000, 10, 100_0000, 100)),
        ((34_200.0, 1, 5, 100, 99_999_999_999_999, 1), (101_0000, 10, 100_0000, 100)),
        ((34_200.0, 1, 5, 100, -100_0000, 1), (101_0000, 10, 100_0000, 100)),
        ((34_200.0, 6, -1, 100, -2, 1), (101_0000, 10, 100_0000, 100)),
        ((1e300, 1, 5, 100, 100_0000, 1), (101_0000, 10, 100_0000, 100)),
        ((34_200.0, 9, 5, 100, 100_0000, 1), (101_0000, 10, 100_0000, 100)),
        ((34_200.0, 1, 5, 100, 100_0000, 1), (99_999_999_999_999_999, 10, 100_0000, 100)),
        ((34_200.0, 1, 5, 100, 100_0000, 1), (101_0000, 10, -100_0000, 100)),
        ((34_200.0, 1, 5, 100, 100_0000, 1), (101_0000, 10, 100_0000, -100)),
        ((34_200.0, 1, 5, 100, 100_0000, 1), (101_0000, 1 << 40, 100_0000, 100)),
    ],
)
@pytest.mark.parametrize("read", [LobsterOrders, partial(Lobster, view="book"), partial(Lobster, view="top")])
def test_numbers_that_no_day_has_are_told_with_their_line(tmp_path, read, message, row):
    path = tmp_path / "day.zip"
    good, beside = (34_200.0, 6, -1, 5, 100_0000, 1), (101_0000, 10, 100_0000, 100)  # a cross is of no order
    lobster(path, [good, good], [beside, beside])
    assert sum(len(chunk[0] if isinstance(chunk, tuple) else chunk) for chunk in read(path).chunks()) > 0
    lobster(path, [good, message], [beside, row])
    with pytest.raises(DataError, match=r"line 2.* cannot be"):
        list(read(path).chunks())


def test_a_zip_that_is_a_bomb_is_told_before_it_is_read(tmp_path, monkeypatch):
    """A line without an end is as long as what it is unpacked from."""
    path = tmp_path / "day.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("X_2012-06-21_34200000_57600000_message_1.csv", bytes(2 << 20))
        archive.writestr("X_2012-06-21_34200000_57600000_orderbook_1.csv", "1,1,1,1\n")
    monkeypatch.setattr(text, "SMALL", 1 << 20)
    with pytest.raises(DataError, match=r"message_1.csv unpacks to more than 200 times its size"):
        list(LobsterOrders(path).chunks())
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("day.csv", bytes(2 << 20))
    with pytest.raises(DataError, match=r"day.csv unpacks to more than 200 times its size"):
        text.open_lines(path)
