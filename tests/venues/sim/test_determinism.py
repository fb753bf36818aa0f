"""The same seed, the same requests at the same venue times: the same bytes."""

import asyncio
import random
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest
import requests
from hypothesis import given, settings
from hypothesis import strategies as st
from tests import synthetic
from tests.venues.sim.scripted import REQUESTS, perform

import pyrt
from pyrt._core.types import RecordType
from pyrt.calendar import Calendar
from pyrt.venues.sim.exchange.exchange import Exchange
from pyrt.venues.sim.library import SimulatedVenue
from pyrt.venues.sim.market.market import open_market
from pyrt.venues.sim.market.replay import first_instant, load

SECOND = 10**9
OPEN = 1_772_461_800_000_000_000  # 2026-03-02 09:30 New York
LATE = OPEN + int(6.5 * 3600 - 12) * SECOND  # twelve seconds before the close


def life(script: list[Any], seed: int, start: int, steps: int, calendar: bool) -> list[bytes]:
    """Everything that an exchange says, and its state at the end; the market comes in `steps` parts between two requests."""
    market = open_market("generated:rate=5", seed, start)
    hours = Calendar() if calendar else None
    venue = Exchange(market.instruments, seed=seed, cash="100000", start=start, always_open=not calendar, calendar=hours)
    said: list[Any] = []
    for number, (verb, what) in enumerate(script):
        for part in range(1, steps + 1):
            now = start + number * SECOND + SECOND * part // steps
            venue.on_market(market.advance(now))
            venue.advance(now)
        said += [perform(venue, verb, what, now), venue.account(), venue.positions(), venue.take_updates()]
    return [msgspec.json.encode(said), venue.save()]


@pytest.mark.row("X08")
@settings(max_examples=20)
@given(st.lists(REQUESTS, min_size=1, max_size=30), st.integers(0, 3), st.sampled_from([OPEN, LATE]), st.booleans())
def test_the_same_calls_give_the_same_bytes(script: list[Any], seed: int, start: int, calendar: bool) -> None:
    once = life(script, seed, start, 1, calendar)
    assert life(script, seed, start, 1, calendar) == once


@settings(max_examples=20)
@given(st.lists(REQUESTS, min_size=1, max_size=30), st.sampled_from([OPEN, LATE]), st.booleans(), st.integers(2, 20))
def test_it_does_not_matter_in_which_pieces_time_passes(script: list[Any], start: int, calendar: bool, steps: int) -> None:
    assert life(script, 1, start, 1, calendar) == life(script, 1, start, steps, calendar)


def test_another_seed_gives_other_bytes() -> None:
    script = [("submit", {"symbol": "AAPL", "side": "buy", "qty": "1", "type": "market", "time_in_force": "day"})]
    assert life(script, 1, OPEN, 1, False) != life(script, 2, OPEN, 1, False)


async def watch(venue: SimulatedVenue, count: int) -> tuple[list[bytes], list[bytes]]:
    """Orders while time stands still, then the whole recorded market: the frames of both streams."""
    data: list[bytes] = []
    updates: list[bytes] = []
    keys = {"APCA-API-KEY-ID": venue.key, "APCA-API-SECRET-KEY": venue.secret}
    async with aiohttp.ClientSession() as session, session.ws_connect(venue.stream_url) as trading:
        await trading.send_json({"action": "auth", "key": venue.key, "secret": venue.secret})
        await trading.send_json({"action": "listen", "data": {"streams": ["trade_updates"]}})
        for _ in range(2):
            await trading.receive()

        async def note() -> None:
            async for frame in trading:
                updates.append(frame.data)

        listening = asyncio.create_task(note())
        for number in range(40):
            price = f"{(9300 + 37 * number % 1400) / 100:.2f}"
            body = {"symbol": "SYN", "qty": str(1 + number % 7), "side": "buy", "type": "limit", "limit_price": price}
            async with session.post(venue.url + "/v2/orders", json={**body, "time_in_force": "gtc"}, headers=keys) as answer:
                data.append(await answer.read())
        async with session.ws_connect(venue.data_url, headers=keys, max_msg_size=0) as stream:
            await stream.receive()
            await stream.receive()
            await stream.send_json({"action": "subscribe", "trades": ["SYN"], "quotes": ["SYN"]})
            await stream.receive()
            heard = 0
            while heard < count:
                frame = await stream.receive()
                data.append(frame.data)
                heard += len(msgspec.json.decode(frame.data))
        told = {fill["execution_id"] for fill in (await asyncio.to_thread(venue.truth))["fills"]}
        while told - {msgspec.json.decode(frame)["data"].get("execution_id") for frame in updates}:
            await asyncio.sleep(0.01)
        listening.cancel()
    return data, updates


@pytest.mark.row("X08")
def test_a_recorded_day_at_full_speed_twice_is_the_same_day(tmp_path: Path) -> None:
    path, _ = synthetic.lobster(tmp_path, random.Random(4), 1, halts=False)
    spec = f"lobster:{path}"
    records = load(spec).records
    count = int(((records["type"] == RecordType.TRADE) | (records["type"] == RecordType.QUOTE)).sum())
    lives = []
    for _ in range(2):
        with pyrt.sim(market=spec, speed="max", seed=9, start=first_instant(spec), cash=1_000_000) as venue:
            streams = asyncio.run(watch(venue, count))
            truth = venue.truth()
            account = requests.get(
                venue.url + "/v2/account",
                headers={"APCA-API-KEY-ID": venue.key, "APCA-API-SECRET-KEY": venue.secret},
                timeout=30,
            ).content
        lives.append((streams, {name: truth[name] for name in ("orders", "fills", "refused", "now")}, account))
    assert len(lives[0][1]["fills"]) > 5
    assert lives[0] == lives[1]


async def listen(venue: SimulatedVenue, count: int, first: int) -> list[Any]:
    """All messages of the recorded market in their order; [] where it began before somebody listened."""
    keys = {"APCA-API-KEY-ID": venue.key, "APCA-API-SECRET-KEY": venue.secret}
    messages: list[Any] = []
    async with aiohttp.ClientSession() as session, session.ws_connect(venue.data_url, headers=keys, max_msg_size=0) as stream:
        for _ in range(2):
            await stream.receive()
        await stream.send_json({"action": "subscribe", "trades": ["SYN"], "quotes": ["SYN"]})
        await stream.receive()
        if first and venue.clock()["now_ns"] >= first:
            return []
        while len(messages) < count:
            messages += msgspec.json.decode((await stream.receive()).data)
    return messages


@pytest.mark.row("X08")
def test_a_recorded_day_hundreds_of_times_faster_has_the_same_order_of_events(tmp_path: Path) -> None:
    path, _ = synthetic.lobster(tmp_path, random.Random(4), 1, halts=False)
    spec = f"lobster:{path}"
    first, records = first_instant(spec), load(spec).records
    count = int(((records["type"] == RecordType.TRADE) | (records["type"] == RecordType.QUOTE)).sum())
    with pyrt.sim(market=spec, speed="max", start=first) as venue:
        unpaced = asyncio.run(listen(venue, count, 0))
    paced: list[Any] = []
    lead = 500 * SECOND  # of venue time, in which to subscribe
    while not paced:
        with pyrt.sim(market=spec, speed=500, start=first - lead) as venue:
            paced = asyncio.run(listen(venue, count, first))
        lead *= 2
    assert [m["t"] for m in paced] == sorted(m["t"] for m in paced)
    assert paced == unpaced
