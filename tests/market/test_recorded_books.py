"""Books of two venues that prove themselves: Kraken by its checksum after every update, Bitstamp by never crossing."""

import gzip
import json
import zlib

import numpy as np
import pytest

from pyrt._core.book import OrderBook
from pyrt._core.types import Action, Flag, RecordType, delta_dtype, to_units

BEYOND: list[str] = []  # prices above 2^63 px units: orders that nobody means
PAIRS = ((1, ("bs", "b", "bids")), (2, ("as", "a", "asks")))


def lines(path):
    for line in gzip.decompress(path.read_bytes()).decode().splitlines():
        head, _, body = line.partition(": ")
        if body.startswith(("[", "{")) and "<-" not in head:
            yield head, json.loads(body)


def deltas(parts, *, whole=False):
    """Levels of (price, quantity, ...) text as one event of delta records."""
    rows = [(0, 0, 0, Action.CLEAR)] if whole else []
    for side, keys in PAIRS:
        for part in parts:
            for key in keys:
                rows += [(side, *units(px, qty), Action.SET) for px, qty, *_ in part.get(key, ()) if units(px, qty)]
    out = np.zeros(len(rows), delta_dtype)
    out["type"] = RecordType.DELTA
    for i, row in enumerate(rows):
        out[i]["side"], out[i]["px"], out[i]["qty"], out[i]["action"] = row
    out["flags"][-1:] = Flag.LAST
    return out


def units(px, qty):
    try:
        return to_units(px), to_units(qty)
    except ValueError:
        BEYOND.append(px)
        return ()


def checksum(book, decimals):
    """CRC-32 over the best ten asks, then bids: price and quantity without point and leading zeros (Kraken, v1 books)."""
    bids, asks = book.depth(10)
    text = "".join(f"{px // 10 ** (9 - decimals)}{qty // 10}" for side in (asks, bids) for px, qty in side.tolist())
    return zlib.crc32(text.encode())


@pytest.mark.real_data
@pytest.mark.row("S021")
def test_kraken_checksum_after_every_update(market_data):
    (path,) = (market_data / "kraken-book").iterdir()
    books, decimals, right = {}, {}, 0
    for _, message in lines(path):
        if not isinstance(message, list):
            continue
        pair, parts = message[-1], message[1:-2]
        if "as" in parts[0]:
            decimals[pair] = len(parts[0]["as"][0][0].split(".")[1])
            books[pair] = OrderBook(10 ** (9 - decimals[pair]))
            books[pair].apply(deltas(parts, whole=True))
            assert books[pair].flags == 0
            continue
        book = books[pair]
        book.apply(deltas(parts))
        assert not book.flags & Flag.CROSSED
        assert checksum(book, decimals[pair]) == int(parts[-1]["c"])
        right += 1
    assert right == 4_269
    assert len(books) == 10
    assert not any(book.counters["refused"] for book in books.values())


@pytest.mark.real_data
@pytest.mark.row("S021")
def test_bitstamp_never_crosses(market_data):
    folder = market_data / "bitstamp-book"
    books, begin, newer = {}, {}, 0
    for head, message in lines(folder / "BITSTAMP.http.0.0.gz"):
        text = pair_of(head)
        decimals = max(len(px.partition(".")[2]) for side in ("bids", "asks") for px, _ in message[side])
        books[text] = OrderBook(10 ** (9 - decimals))
        books[text].apply(deltas([message], whole=True))
        begin[text] = int(message["microtimestamp"])
    for _, message in lines(folder / "BITSTAMP.ws.1.0.gz"):
        pair = message.get("channel", "").removeprefix("diff_order_book_")
        if message["event"] != "data" or pair not in books or int(message["data"]["microtimestamp"]) <= begin[pair]:
            continue
        newer += 1
        books[pair].apply(deltas([message["data"]]))
        assert books[pair].flags == 0
    assert newer == 615
    assert all(float(px) > 2**63 / 1e9 for px in BEYOND)
    assert not any(book.counters["refused"] for book in books.values())


def pair_of(head):
    return head.split(" ->")[0].rstrip("/").rsplit("/", 1)[1]
