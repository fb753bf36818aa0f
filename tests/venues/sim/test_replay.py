"""Recorded markets at the simulated venue, from made-up files whose truth is known."""

import asyncio
import random

import aiohttp
import msgspec
import numpy as np
import pytest
import requests
from tests import synthetic

from pyrt._core.book import OrderBook
from pyrt._core.types import Flag, RecordType, trade_dtype
from pyrt.clock import MINUTE
from pyrt.errors import ConfigError, DataError
from pyrt.model import AssetClass, Instruments
from pyrt.venues.alpaca.keys import Keys, Secret
from pyrt.venues.alpaca.link import Addresses, AlpacaLink
from pyrt.venues.sim.library import simulated_venue
from pyrt.venues.sim.market.market import open_market
from pyrt.venues.sim.market.replay import first_instant


def test_a_market_from_a_file_runs_once_and_ends(tmp_path):
    path, truth = synthetic.lobster(tmp_path, random.Random(1), 3)
    spec = f"lobster:{path}"
    begin = first_instant(spec)
    market = open_market(spec, 0, begin)
    assert [i.symbol for i in market.instruments] == ["SYN", "SYN/USD"]
    assert market.next_event == begin + 1
    assert len(market.advance(begin)) == 0
    got, until = [], begin
    while market.next_event:
        until += MINUTE
        got.append(market.advance(until))
        assert (got[-1]["ts_event"] <= until).all()
    records = np.concatenate(got)
    assert (np.diff(records["ts_event"]) >= 0).all()
    assert len(market.advance(until + MINUTE)) == 0
    book = OrderBook(100_000)
    book.apply(records[records["type"] == RecordType.DELTA])
    assert tuple(side.tolist() for side in book.depth(9)) == (truth[-1][2], truth[-1][1])
    trades = market.history_trades("SYN", 0, until)
    assert len(trades) == sum(kind in (4, 5, 6) for kind, *_ in truth)
    assert trades["ts_event"].tolist() == records["ts_event"][(records["type"] == 1) & (records["instrument"] == 1)].tolist()
    late = open_market(spec, 0, int(trades["ts_event"][5]))
    assert late.next_event == trades["ts_event"][5]
    bars = market.history_bars("SYN", begin, until, MINUTE)
    assert bars["volume"].sum() == trades.view(trade_dtype)["qty"][trades["ts_event"] >= -(-begin // MINUTE) * MINUTE].sum()
    assert len(market.history_quotes("NONE", 0, until)) == 0


@pytest.mark.parametrize("futures", [False, True])
def test_binance_books_begin_whole_and_are_joined(tmp_path, futures):
    path, best = synthetic.binance(tmp_path, random.Random(2), futures)
    market = open_market(f"binance:{path}", 0, 0)
    assert market.instruments[0].symbol == "SYN/USDT"
    records = market.advance(2**62)
    deltas = records[records["type"] == RecordType.DELTA]
    assert deltas["flags"][0] & Flag.SNAPSHOT
    book, compared = OrderBook(market.instruments[0].tick), 0
    for part in np.split(deltas, np.flatnonzero(deltas["flags"] & Flag.LAST) + 1):
        book.apply(part)
        assert not book.flags & Flag.CROSSED
        if len(part) and book.update_id in best:
            compared += 1
            assert (book.best_bid, book.best_ask) == best[book.update_id]
    assert compared > 90


def test_a_break_in_the_ids_ends_the_book(tmp_path):
    path, _ = synthetic.binance(tmp_path, random.Random(2), lose=(100,))
    whole, _ = synthetic.binance(tmp_path / ".", random.Random(2), futures=True)
    broken, unbroken = (open_market(f"binance:{p}", 0, 0).advance(2**62) for p in (path, whole))
    assert (broken["type"] == RecordType.DELTA).sum() < (unbroken["type"] == RecordType.DELTA).sum() / 2


def test_bars_are_told_as_prints(tmp_path):
    rows = [(34_200_000 + i * 60_000, 50_000, 50_300, 49_900, 50_100 - 150 * (i % 2), 1 + 400 * i) for i in range(5)]
    path = synthetic.lean(tmp_path, "minute/syn/20241129_trade.zip", rows)
    quotes = [(row[0], 1, 1, 1, 49_000, 300, 1, 1, 1, 51_000, 200) for row in rows]
    synthetic.lean(tmp_path, "minute/syn/20241129_quote.zip", quotes)
    spec = f"lean:{path}"
    market = open_market(spec, 0, 0)
    assert len(market.instruments) == 1
    begin = first_instant(spec) + 1
    bars = market.history_bars("SYN", begin, begin + 10 * MINUTE, MINUTE)
    names = ["open_px", "high_px", "low_px", "close_px", "volume"]
    assert bars[names].tolist() == [(*(px * 100_000 for px in row[1:5]), row[5] * 10**9) for row in rows]
    assert len(market.history_quotes("SYN", 0, 2**62)) == 5


def test_what_cannot_be_replayed(tmp_path):
    with pytest.raises(DataError, match="no such file"):
        open_market(f"lobster:{tmp_path}/none.zip", 0)
    with pytest.raises(ConfigError, match="no market 'paper'"):
        open_market("paper:x", 0)


def story(venue, path, body):
    async def main():
        url = venue.data_url.replace("/v2/iex", path)
        async with aiohttp.ClientSession() as session, session.ws_connect(url, max_msg_size=0) as ws:

            async def hear(kind):
                while True:
                    for message in msgspec.json.decode((await ws.receive(timeout=30)).data):
                        if message["T"] == kind:
                            return message

            await hear("success")
            await ws.send_json({"action": "auth", "key": venue.key, "secret": venue.secret})
            await hear("success")
            await body(ws, hear)

    asyncio.run(main())


def test_the_crypto_stream(tmp_path):
    path, truth = synthetic.lobster(tmp_path, random.Random(3), 2)

    async def body(ws, hear):
        await ws.send_json({"action": "subscribe", "statuses": ["SYN/USD"]})
        assert (await hear("error"))["code"] == 410
        await ws.send_json({"action": "subscribe", "orderbooks": ["SYN/USD"], "trades": ["*"]})
        wanted = {"trades": ["*"], "quotes": [], "bars": [], "updatedBars": [], "dailyBars": [], "orderbooks": ["SYN/USD"]}
        assert await hear("subscription") == {"T": "subscription", **wanted}
        empty = await hear("o")
        assert (empty["b"], empty["a"], empty["r"]) == ([], [], True)
        first = await hear("o")
        assert first["r"] is True
        assert [(level["p"], level["s"]) for level in first["b"]] == [(px / 1e9, qty / 1e9) for px, qty in truth[0][2]]
        print_ = await hear("t")
        assert print_["tks"] in ("B", "S")
        assert "c" not in print_
        later = await hear("o")
        assert "r" not in later
        # a client that comes later, or asks again, begins with the whole
        await ws.send_json({"action": "unsubscribe", "orderbooks": ["SYN/USD"]})
        await hear("subscription")
        await ws.send_json({"action": "subscribe", "orderbooks": ["*"]})
        await hear("subscription")
        whole = await hear("o")
        assert whole["r"] is True
        assert whole["b"] or whole["a"]

    with simulated_venue(market=f"lobster:{path}", speed=0.0) as venue:
        story(venue, "/v1beta3/crypto/us", body)
        keys = {"APCA-API-KEY-ID": venue.key, "APCA-API-SECRET-KEY": venue.secret}
        asset = requests.get(venue.url + "/v2/assets/SYN%2FUSD", headers=keys, timeout=30)
        if asset.status_code == 404:
            asset = requests.get(venue.url + "/v2/assets/SYN/USD", headers=keys, timeout=30)
        assert (asset.json()["class"], asset.json()["price_increment"]) == ("crypto", "0.0001")


def test_orders_meet_the_recorded_market(tmp_path):
    path, _ = synthetic.lobster(tmp_path, random.Random(4), 1, halts=False)
    with simulated_venue(market=f"lobster:{path}", speed=0.0) as venue:
        keys = {"APCA-API-KEY-ID": venue.key, "APCA-API-SECRET-KEY": venue.secret}
        order = {"symbol": "SYN", "qty": "1", "side": "buy", "type": "market", "time_in_force": "day"}

        def post():
            return requests.post(venue.url + "/v2/orders", json=order, headers=keys, timeout=30)

        async def body(ws, hear):
            await ws.send_json({"action": "subscribe", "quotes": ["SYN"]})
            while not (await hear("q"))["ap"]:
                pass
            answer = await asyncio.to_thread(post)
            assert answer.status_code == 200, answer.text
            while not (await asyncio.to_thread(venue.truth))["fills"]:  # the offer may have gone meanwhile: the next one fills it
                await hear("q")

        story(venue, "/v2/iex", body)
        (fill,) = venue.truth()["fills"]
        assert 90 < float(fill["price"]) < 110
        assert venue.clock()["now_ns"] >= first_instant(f"lobster:{path}")


def test_a_link_takes_the_stream_that_has_its_symbols(tmp_path):
    path, _ = synthetic.lobster(tmp_path, random.Random(4), 2)
    with simulated_venue(market=f"lobster:{path}", speed=1.0) as venue:
        stream = venue.url.replace("http", "ws")
        addresses = Addresses(trading=venue.url, data=venue.url, stream=stream, updates=stream)
        link = AlpacaLink("sim", addresses, Keys(Secret(venue.key), Secret(venue.secret)))
        instruments = Instruments()
        for instrument in link.instruments(["SYN", "SYN/USD"], 1):
            instruments.add(instrument)
        pair = instruments["SYN/USD"]
        assert (pair.asset_class, pair.tick) == (AssetClass.CRYPTO, 100_000)

        def feed(*symbols):
            return link.feed(instruments, sink=print, events=print, clock=lambda: link.clock, symbols=symbols)._url

        assert feed("SYN") == f"{stream}/v2/iex"
        assert feed("SYN/USD") == f"{stream}/v1beta3/crypto/us"
        with pytest.raises(ConfigError, match="shares and crypto"):
            feed("SYN", "SYN/USD")
