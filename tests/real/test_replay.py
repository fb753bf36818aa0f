"""A recorded day through the simulated venue: file -> server -> WebSocket -> decoder -> pipeline, compared row by row."""

import asyncio
import zipfile

import aiohttp
import msgspec
import numpy as np
import pytest
from tests.reference.lobster import rows

from pyrt._core.types import Flag, RecordType, delta_dtype
from pyrt._core.wire import Decoder
from pyrt.history import open_history
from pyrt.market import MarketData
from pyrt.model import Instruments
from pyrt.venues.sim.library import simulated_venue

pytestmark = [pytest.mark.real_data, pytest.mark.row("S003")]


def first_rows(path, folder, n):
    """The same zip with the first n rows only."""
    short = folder / path.name
    with zipfile.ZipFile(path) as source, zipfile.ZipFile(short, "w", zipfile.ZIP_DEFLATED) as target:
        for name in source.namelist():
            if name.endswith(".csv"):
                with source.open(name) as stream:
                    target.writestr(name, b"".join(line for _, line in zip(range(n), stream, strict=False)))
    return short


def listen(venue, path, instrument, channels, count):
    """Everything that the venue says of an instrument, until `count` records of the market were heard."""
    decoder = Decoder("msgpack")
    terms = {"tick": instrument.tick, "sub_tick": instrument.sub_tick, "lot": instrument.lot, "qty_exp": instrument.qty_exp}
    decoder.register(instrument.symbol, instrument.id, **terms)
    heard, n = [], 0

    async def main():
        nonlocal n
        headers = {"Content-Type": "application/msgpack"}
        url = venue.data_url.replace("/v2/iex", path)
        async with aiohttp.ClientSession() as session, session.ws_connect(url, headers=headers, max_msg_size=0) as ws:
            await ws.send_bytes(msgspec.msgpack.encode({"action": "auth", "key": venue.key, "secret": venue.secret}))
            for channel in channels:
                wish = {"action": "subscribe", channel: [instrument.symbol]}
                await ws.send_bytes(msgspec.msgpack.encode(wish))
            while n < count:
                frame = await ws.receive(timeout=60)
                assert frame.type == aiohttp.WSMsgType.BINARY, frame
                decoder.feed(frame.data, 1)
                records, _ = decoder.take()
                heard.append(records)
                n += len(records)

    asyncio.run(main())
    return np.concatenate(heard)


def replay_top(path):
    """Best prices and sizes after every row; (rows, rows that differ)."""
    (instrument,) = open_history(f"lobster:{path}?view=top").instruments
    instruments = Instruments()
    instruments.add(instrument)
    told = [len(chunk) for chunk in open_history(f"lobster:{path}?view=top").chunks()]
    with simulated_venue(market=f"lobster:{path}?view=top", speed=0.0) as venue:
        records = listen(venue, "/v2/iex", instrument, ("trades", "quotes"), sum(told))
    market = MarketData(instruments, grace=0)
    market.watch(instrument, wake=1 << RecordType.TRADE | 1 << RecordType.QUOTE)
    book, at, before = market.book(instrument.id), 0, ([(-1, -1)], [(-1, -1)])
    compared = differ = 0
    for kind, asks, bids in rows(path):
        for due, expected in ((kind in (4, 5, 6), RecordType.TRADE), ((asks, bids) != before, RecordType.QUOTE)):
            if due:
                assert records["type"][at] == expected
                at = market.pipeline.run(records.data, at)
        before = (asks, bids)
        compared += 1
        differ += (book.best_ask, book.best_bid) != (asks[0] if asks else None, bids[0] if bids else None)
    assert at == len(records)
    return compared, differ


def replay_book(path):
    """Every level after every row; (rows, rows that differ)."""
    spec = f"lobster:{path}?view=book"
    (instrument,) = open_history(spec).instruments
    instruments = Instruments()
    instruments.add(instrument)
    told = np.concatenate([chunk["type"] for chunk in open_history(spec).chunks()])
    with simulated_venue(market=spec, speed=0.0) as venue:
        # and the empty book that the stream begins with
        records = listen(venue, "/v1beta3/crypto/us", instrument, ("orderbooks",), int((told == RecordType.DELTA).sum()) + 1)
    first = records[:1].view(delta_dtype)[0]
    assert first["flags"] & Flag.LAST
    market = MarketData(instruments, grace=0)
    market.watch(instrument, wake=1 << RecordType.DELTA)
    records = market.sequence(records[1:])
    book, at, before = market.book(instrument.id), 0, None
    compared = differ = 0
    for _, asks, bids in rows(path):
        if (asks, bids) != before:
            at = market.pipeline.run(records.data, at)
            shown = book.depth(20)
        before = (asks, bids)
        compared += 1
        differ += (shown[1].tolist(), shown[0].tolist()) != (asks, bids)
    assert at == len(records)
    return compared, differ


def test_the_beginning_of_a_day(market_data, tmp_path):
    (path,) = (market_data / "lobster").glob("*_1.zip")
    assert replay_top(first_rows(path, tmp_path, 8_000)) == (8_000, 0)


def test_five_levels_as_a_crypto_book(market_data, tmp_path):
    (path,) = (market_data / "lobster").glob("*_5.zip")
    assert replay_book(first_rows(path, tmp_path, 8_000)) == (8_000, 0)


@pytest.mark.nightly
def test_a_whole_day(market_data):
    (path,) = (market_data / "lobster").glob("*_1.zip")
    assert replay_top(path) == (57_515, 0)
    (path,) = (market_data / "lobster").glob("*_5.zip")
    assert replay_book(path) == (155_935, 0)
