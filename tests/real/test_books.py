"""Books of recorded days, each against what its own venue said of it."""

import numpy as np
import pytest

from pyrt._core.book import OrderBook
from pyrt._core.types import Flag, RecordType, trade_dtype
from pyrt.history.binance import Binance, best_prices
from pyrt.history.bitstamp import Bitstamp
from pyrt.history.kraken import KrakenBook, checksum
from pyrt.history.lobster import NONE, PX, SHARE, Lobster
from pyrt.market import Sequencer

pytestmark = [pytest.mark.real_data, pytest.mark.row("S021")]


def events(records):
    """The events of an array of deltas, one by one."""
    return np.split(records, np.flatnonzero(records["flags"] & Flag.LAST) + 1)


def deltas_of(source):
    for chunk in source.chunks():
        yield chunk[chunk["type"] == RecordType.DELTA]


@pytest.mark.parametrize(("name", "diffs", "tickers"), [("spot_btcusdt", 3_449, 564), ("cm_ethusd_perp", 22_887, 1_345)])
def test_binance_equals_its_own_best_prices(market_data, name, diffs, tickers):
    """Joined by the venue's rule: no gap, never crossed, and the best prices are those told under the same update id."""
    (path,) = (market_data / "binance").glob(f"{name}*")
    source = Binance(path)
    best = best_prices(source)
    book, s = OrderBook(source.instruments[0].tick), Sequencer(source.instruments[0].id)
    through = compared = 0
    for records in deltas_of(source):
        for event in events(records):
            whole = len(event) and event["flags"][0] & Flag.SNAPSHOT
            for part in events(s.on_snapshot(event) if whole else s.on_deltas(event)):
                if not len(part):
                    continue
                assert part["type"][0] == RecordType.DELTA
                book.apply(part)
                assert not book.flags & (Flag.CROSSED | Flag.GAP)
                through += 1
                if book.update_id in best:
                    compared += 1
                    assert (book.best_bid, book.best_ask) == best[book.update_id]
    assert (s.gaps, s.live, book.counters["refused"]) == (0, True, 0)
    assert through == diffs + 1  # and the snapshot
    assert compared == tickers


@pytest.mark.parametrize("name", ["spot_btcusdt", "cm_ethusd_perp"])
def test_binance_trade_ids_have_no_hole(market_data, name):
    (path,) = (market_data / "binance").glob(f"{name}*")
    trades = np.concatenate([chunk[chunk["type"] == RecordType.TRADE] for chunk in Binance(path).chunks()]).view(trade_dtype)
    assert len(trades) > 1_000
    assert (np.diff(trades["trade_id"].astype(np.int64)) == 1).all()


def test_kraken_checksum_after_every_update(market_data):
    (path,) = (market_data / "kraken-book").iterdir()
    source = KrakenBook(path)
    terms = {i.id: i for i in source.instruments}
    books = {i.id: OrderBook(i.tick) for i in source.instruments}
    right = 0
    for update in source.updates():
        book = books[update.instrument]
        book.apply(update.records)
        assert not book.flags & Flag.CROSSED
        if update.checksum is not None:
            bids, asks = (side.tolist() for side in book.depth(10))
            decimals = source.px_decimals[update.instrument]
            assert checksum(bids, asks, decimals, terms[update.instrument].qty_exp) == update.checksum
            right += 1
    assert right == 4_269
    assert len(books) == 10
    assert not any(book.counters["refused"] for book in books.values())


def test_bitstamp_never_crosses(market_data):
    source = Bitstamp(market_data / "bitstamp-book")
    books = {i.id: OrderBook(i.tick) for i in source.instruments}
    for records in deltas_of(source):
        for event in events(records):
            if len(event):
                book = books[int(event["instrument"][0])]
                book.apply(event)
                assert book.flags == 0
    assert source.counts["diff"] == 615
    assert source.counts["price beyond 64 bits"] == 1  # 9999999999.00
    assert not source.counts["diff without a snapshot"]
    assert not any(book.counters["refused"] for book in books.values())


@pytest.mark.parametrize(("levels", "rows"), [(1, 57_515), (5, 155_935)])
def test_lobster_every_row_after_its_message(market_data, levels, rows):
    """Seeded from row 1, changed by the messages alone: every level of every row, and nothing beside."""
    (path,) = (market_data / "lobster").glob(f"*_{levels}.zip")
    source = Lobster(path, view="book")
    book = OrderBook(source.instruments[0].tick)
    compared, previous = 0, np.zeros((1, 4 * levels), np.int64)
    for records, (message, truth) in zip(deltas_of(source), source.rows(), strict=True):
        assert len(message) == len(truth)
        parts = iter(events(records))
        state = None
        times = np.rint(message[:, 0] * 1e9).astype(np.int64)
        changed = (truth != np.concatenate([previous, truth[:-1]])).any(axis=1)
        previous = truth[-1:]
        for k, row in enumerate(truth.tolist()):
            if changed[k]:
                event = next(parts)
                assert event["ts_event"][0] % (86_400 * 10**9) == times[k] + 4 * 3600 * 10**9
                book.apply(event)
                bids, asks = book.depth(levels + 1)
                state = [[], []]
                for side, (px, size) in enumerate(((0, 1), (2, 3))):
                    pairs = zip(row[px::4], row[size::4], strict=True)
                    state[side] = [(p * PX, q * SHARE) for p, q in pairs if abs(p) != NONE]
                assert asks.tolist() == state[0]
                assert bids.tolist() == state[1]
            compared += 1
        assert not any(len(part) for part in parts)
    assert compared == rows
    assert not source.counts["rows that their message does not explain"]
    assert not source.counts["message below the window"]
    assert source.counts["levels revealed"] > 1_000
    assert book.counters["refused"] == 0
