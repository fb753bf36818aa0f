"""Readers of books on made-up files whose truth is known."""

import random
import zipfile

import numpy as np
import pytest
from tests import synthetic

from pyrt._core.book import OrderBook
from pyrt._core.types import Flag, GapCause, RecordType, TradingState, gap_dtype, status_dtype, trade_dtype
from pyrt.errors import DataError
from pyrt.history import open_history
from pyrt.history.binance import best_prices
from pyrt.history.kraken import checksum
from pyrt.market import Sequencer

pytestmark = pytest.mark.row("S021")


def events(records):
    return [part for part in np.split(records, np.flatnonzero(records["flags"] & Flag.LAST) + 1) if len(part)]


def deltas_of(source):
    for chunk in source.chunks():
        yield chunk[chunk["type"] == RecordType.DELTA]


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("levels", [1, 3])
def test_lobster_book(tmp_path, seed, levels):
    path, truth = synthetic.lobster(tmp_path, random.Random(seed), levels)
    source = open_history(f"lobster:{path}?view=book")
    assert source.instruments[0].symbol == "SYN/USD"
    book, before = OrderBook(source.instruments[0].tick), None
    parts = iter(events(np.concatenate(list(deltas_of(source)))))
    for _, asks, bids in truth:
        if (asks, bids) != before:
            book.apply(next(parts))
        before = (asks, bids)
        assert tuple(side.tolist() for side in book.depth(levels + 5)) == (bids, asks)
    assert next(parts, None) is None
    assert source.counts["levels revealed"] > 0
    assert not source.counts["rows that their message does not explain"]


def test_lobster_top_trades_and_halts(tmp_path):
    path, truth = synthetic.lobster(tmp_path, random.Random(5), 2, rows=2_000)
    source = open_history(f"lobster:{path}")
    records = np.concatenate(list(source.chunks()))
    trades = records[records["type"] == RecordType.TRADE].view(trade_dtype)
    assert len(trades) == sum(kind in (4, 5, 6) for kind, *_ in truth)
    assert (trades["taker"] == 0).sum() == sum(kind == 6 for kind, *_ in truth)
    states = records[records["type"] == RecordType.STATUS].view(status_dtype)["state"]
    assert len(states) == sum(kind == 7 for kind, *_ in truth)
    assert set(states.tolist()) <= {TradingState.HALTED, TradingState.QUOTING, TradingState.TRADING}
    # 2024-11-29 is a day of New York's winter time
    assert records["ts_event"][0] // 10**9 >= 1_732_838_400 + 34_200 + 5 * 3600
    book, changes, before = OrderBook(100_000, top_only=True), 0, None
    for record in np.split(records[records["type"] == RecordType.QUOTE], range(1, 10_000)):
        if len(record):
            book.apply(record)
    for _, asks, bids in truth:
        changes += before != (asks[:1], bids[:1])
        before = asks[:1], bids[:1]
    assert (records["type"] == RecordType.QUOTE).sum() == changes
    assert book.best_bid == (truth[-1][2][0] if truth[-1][2] else None)


def test_lobster_files_that_name_participants(tmp_path):
    path, _ = synthetic.lobster(tmp_path, random.Random(5), 2, rows=50)
    before = np.concatenate(list(open_history(f"lobster:{path}?view=book").chunks()))
    with zipfile.ZipFile(path) as archive:
        files = {name: archive.read(name).decode() for name in archive.namelist()}
    for name, text in files.items():
        if "_message_" in name:
            (tmp_path / name).write_text(text.replace("\n", ",null\r\n"))
        else:
            (tmp_path / name).write_text(text)
    (message,) = tmp_path.glob("*_message_*")
    after = np.concatenate(list(open_history(f"lobster:{message}?view=book").chunks()))
    assert after.tobytes() == before.tobytes()


def test_a_row_that_its_message_does_not_explain_is_counted_and_followed(tmp_path):
    path, truth = synthetic.lobster(tmp_path, random.Random(1), 3, rows=50)
    with zipfile.ZipFile(path) as archive:
        files = {name: archive.read(name).decode().splitlines() for name in archive.namelist()}
    for lines in files.values():
        del lines[20:25]  # five messages were lost
    del truth[20:25]
    with zipfile.ZipFile(path, "w") as archive:
        for name, lines in files.items():
            archive.writestr(name, "\n".join(lines))
    source = open_history(f"lobster:{path}?view=book")
    book = OrderBook(source.instruments[0].tick)
    for part in deltas_of(source):
        book.apply(part)
    assert source.counts["rows that their message does not explain"] >= 1
    assert tuple(side.tolist() for side in book.depth(9)) == (truth[-1][2], truth[-1][1])


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (lambda m, b: ([*m, "34300.0,1,7"], [*b, b[-1]]), r"message_3.csv line 41: 3 columns"),
        (lambda m, b: ([*m, "34300.0,1,7,x,5,1"], [*b, b[-1]]), r"line 41 column 4: 'x' is not a number"),
        (lambda m, b: ([*m, "nan,1,7,5,5,1"], [*b, b[-1]]), r"line 41 column 1: 'nan'"),
        (lambda m, b: (m, [*b, b[-1]]), "more rows|rows of the book for"),
        (lambda m, b: (m, b[:-1]), "39 rows of the book for 40 messages"),
    ],
)
def test_a_damaged_file_names_the_place(tmp_path, change, what):
    path, _ = synthetic.lobster(tmp_path, random.Random(1), 3, rows=40)
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
        files = [archive.read(name).decode().splitlines() for name in names]
    with zipfile.ZipFile(path, "w") as archive:
        for name, lines in zip(names, change(*files), strict=True):
            archive.writestr(name, "\n".join(lines))
    with pytest.raises(DataError, match=what):
        list(open_history(f"lobster:{path}").chunks())


@pytest.mark.parametrize("futures", [False, True])
@pytest.mark.parametrize("lose", [(), (100, 101)])
def test_binance(tmp_path, futures, lose):
    path, best = synthetic.binance(tmp_path, random.Random(3), futures, lose=lose)
    source = open_history(f"binance:{path}")
    terms = source.instruments[0]
    assert (terms.symbol, terms.tick, terms.qty_exp) == ("SYNUSDT", 10_000_000, 5)
    assert best_prices(source) == best
    book, s, compared = OrderBook(terms.tick), Sequencer(1), 0
    gaps = []
    for records in deltas_of(source):
        for event in events(records):
            out = s.on_snapshot(event) if event["flags"][0] & Flag.SNAPSHOT else s.on_deltas(event)
            for part in events(out):
                if part["type"][-1] == RecordType.GAP:
                    gaps.append(part[-1:].view(gap_dtype)["cause"][0])
                    part = part[:-1]
                book.apply(part)
                if book.update_id in best and not gaps:
                    compared += 1
                    assert (book.best_bid, book.best_ask) == best[book.update_id]
    assert gaps == [GapCause.SEQUENCE] * s.gaps
    assert s.gaps == bool(lose)
    assert compared > (25 if lose else 90)
    assert source.counts["message of another kind"] == 1
    assert source.counts["trade without a price"] == (22 if futures else 0)


def test_binance_says_where_it_is_damaged(tmp_path):
    path = tmp_path / "b"
    good = '1 {"e":"trade","E":1,"s":"X","t":1,"p":"5.1","q":"1","T":1,"m":true}\n'
    for bad, what in (
        ("1 {", "line 2: not a receive time"),
        ('x {"a":1}', "line 2: not a receive time"),
        ('1 {"e":"trade","E":1,"s":"X"}', "line 2: a trade message without its fields"),
        ('1 {"e":"depthUpdate","s":"X","b":[["1"]]}', "line 2: a depth message without"),
        (good.replace("5.1", "5.0000000001"), "10 decimals"),
        (good.replace("5.1", "abc"), "line 2: 'abc' is not a number"),
        (good.replace('"X"', '"Y"'), "line 2: Y beside X"),
    ):
        path.write_text(good + bad)
        with pytest.raises(DataError, match=what):
            list(open_history(f"binance:{path}").chunks())


@pytest.mark.parametrize("seed", range(3))
def test_kraken_cuts_at_its_depth(tmp_path, seed):
    source = open_history(f"kraken:{synthetic.kraken_book(tmp_path, random.Random(seed))}")
    terms = source.instruments[0]
    book, right = OrderBook(terms.tick), 0
    for update in source.updates():
        book.apply(update.records)
        if update.checksum is not None:
            bids, asks = (side.tolist() for side in book.depth(10))
            assert checksum(bids, asks, source.px_decimals[1], terms.qty_exp) == update.checksum
            right += 1
    assert right > 100
    assert source.counts["level below the depth"] > 20
    assert sum(len(chunk) for chunk in source.chunks()) == sum(len(update.records) for update in source.updates())


def test_bitstamp_joins_by_the_microsecond(tmp_path):
    folder, (bid, ask) = synthetic.bitstamp(tmp_path, random.Random(2))
    source = open_history(f"bitstamp:{folder}")
    terms = source.instruments[0]
    book = OrderBook(terms.tick)
    for records in deltas_of(source):
        book.apply(records)
    scale = 10 ** (8 - terms.qty_exp)
    assert book.best_bid == (bid[0] * 10**7, bid[1] // scale)
    assert book.best_ask == (ask[0] * 10**7, ask[1] // scale)
    assert source.counts == {"diff older than the snapshot": 21, "diff": 39, "price beyond 64 bits": 1}
