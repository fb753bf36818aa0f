"""The same market at any speed, and the same bytes of the same seed."""

import asyncio
import random
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import numpy as np
import pytest
import requests
from tests import synthetic
from tests.venues.sim.test_server_streams import MSGPACK, Socket

from pyrt._core.book import OrderBook
from pyrt._core.types import RecordType, delta_dtype
from pyrt.clock import MINUTE
from pyrt.venues.sim.library import SimulatedVenue, simulated_venue
from pyrt.venues.sim.market.market import DEFAULT_START, open_market
from pyrt.venues.sim.market.replay import first_instant
from pyrt.venues.sim.times import format_time

pytestmark = pytest.mark.row("X08")

S = DEFAULT_START


def listen(venue: SimulatedVenue, path: str, wanted: dict[str, list[str]], end: int) -> list[bytes]:
    """The messages of a msgpack stream, each encoded again, until one has the venue time `end` (ns UTC) or a later one."""
    heard: list[bytes] = []
    headers = MSGPACK | {"APCA-API-KEY-ID": venue.key, "APCA-API-SECRET-KEY": venue.secret}

    async def main() -> None:
        url = venue.data_url.replace("/v2/iex", path)
        async with aiohttp.ClientSession() as http, http.ws_connect(url, headers=headers, max_msg_size=0) as ws:
            client = Socket(ws, True)
            await client.send({"action": "subscribe", **wanted})
            while True:
                for message in await client.hear():
                    if message["T"] in ("success", "subscription"):
                        continue
                    if message["T"] in "tqo" and message["t"].timestamp() * 1e9 >= end:
                        return
                    heard.append(msgspec.msgpack.encode(message))

    asyncio.run(main())
    return heard


def test_a_hundred_times_faster_is_the_same_order_of_events(tmp_path: Path) -> None:
    path, _ = synthetic.lobster(tmp_path, random.Random(5), 2)
    market = f"lobster:{path}"
    begin = first_instant(market)
    records = open_market(market, 0, begin).advance(2**62)
    shown = records[(records["instrument"] == records["instrument"][0]) & (records["type"] <= int(RecordType.QUOTE))]
    end = int(shown["ts_event"][-1]) - 5000  # datetimes hold microseconds
    told = {}
    for speed in (100.0, 0.0):
        with simulated_venue(market=market, speed=speed, start=begin - 100 * 10**9) as venue:  # a second to subscribe in
            told[speed] = listen(venue, "/v2/iex", {"trades": ["*"], "quotes": ["*"], "bars": ["*"]}, end)
    assert len(told[0.0]) > 300
    fast = told[100.0]
    assert fast == told[0.0][-len(fast) :]  # a slow machine may have missed the beginning
    assert len(fast) > 200


@pytest.mark.parametrize(
    ("path", "wanted"),
    [
        ("/v2/iex", {"trades": ["*"], "quotes": ["AAPL"], "bars": ["*"], "updatedBars": ["*"], "dailyBars": ["SPY"]}),
        ("/v1beta3/crypto/us", {"trades": ["*"], "quotes": ["*"], "bars": ["*"], "orderbooks": ["BTC/USD"]}),
        ("/v2/test", {"trades": ["*"], "quotes": ["*"], "bars": ["*"]}),
    ],
)
def test_the_same_seed_gives_the_same_bytes(path: str, wanted: dict[str, list[str]]) -> None:
    told, pages = [], []
    for _ in range(2):
        with simulated_venue(market="generated:corrections=0.01", seed=11, speed=0.0, start=S + 40 * 10**9) as venue:
            told.append(listen(venue, path, wanted, S + 2 * MINUTE))
            keys = {"APCA-API-KEY-ID": venue.key, "APCA-API-SECRET-KEY": venue.secret}
            query = {"symbols": "AAPL,SPY", "limit": "10000", "start": format_time(S), "end": format_time(S + 30 * 10**9)}
            urls = [f"{venue.url}/v2/stocks/{kind}" for kind in ("trades", "quotes")]
            pages.append([requests.get(url, params=query, headers=keys, timeout=60).content for url in urls])
    assert told[0] == told[1]
    assert len(told[0]) > 100
    assert pages[0] == pages[1]
    assert len(pages[0][0]) > 10_000


def test_the_book_of_a_recording_can_be_had_at_any_instant(tmp_path: Path) -> None:
    path, _ = synthetic.lobster(tmp_path, random.Random(6), 4)
    spec = f"lobster:{path}"
    market, rng = open_market(spec, 0, first_instant(spec)), random.Random(1)
    records = market.advance(2**62)
    deltas = records[records["type"] == int(RecordType.DELTA)]
    times = np.unique(deltas["ts_event"]).tolist()
    for at in [*sorted(rng.sample(times, 20)), *rng.sample(times, 5)]:  # forwards, and back again
        want = OrderBook(100_000)
        want.apply(deltas[deltas["ts_event"] <= at])
        got = OrderBook(100_000)
        got.apply(market.book("SYN/USD", at))
        assert [side.tolist() for side in got.depth(99)] == [side.tolist() for side in want.depth(99)]
    assert len(market.book("SYN", times[-1])) == len(market.book("SYN/USD", times[0] - 1)) == 0


def test_a_venue_that_begins_in_the_middle_knows_the_book(tmp_path: Path) -> None:
    path, _ = synthetic.lobster(tmp_path, random.Random(6), 4)
    spec = f"lobster:{path}"
    records = open_market(spec, 0, first_instant(spec)).advance(2**62)
    deltas = records[records["type"] == int(RecordType.DELTA)]
    at = int(deltas["ts_event"][len(deltas) // 2])
    levels = open_market(spec, 0, 0).book("SYN/USD", at).view(delta_dtype)[1:]
    want = [(row["px"] / 1e9, row["qty"] / 1e9) for row in levels]
    with simulated_venue(market=spec, start=at + 1, speed=0.0) as venue:
        book = requests.get(f"{venue.url}/v1beta3/crypto/us/latest/orderbooks", params={"symbols": "SYN/USD"}, timeout=30).json()[
            "orderbooks"
        ]["SYN/USD"]
        assert [(level["p"], level["s"]) for side in "ba" for level in book[side]] == want
        headers = {"APCA-API-KEY-ID": venue.key, "APCA-API-SECRET-KEY": venue.secret}
        heard: list[Any] = []

        async def main() -> None:
            url = venue.data_url.replace("/v2/iex", "/v1beta3/crypto/us")
            async with aiohttp.ClientSession() as http, http.ws_connect(url, headers=headers) as ws:
                client = Socket(ws, False)
                await client.send({"action": "subscribe", "orderbooks": ["SYN/USD"]})
                heard.append(await client.until("o"))

        asyncio.run(main())
    assert heard[0]["r"] is True
    assert [(level["p"], level["s"]) for side in "ba" for level in heard[0][side]] == want
