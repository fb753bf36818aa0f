"""The two WebSockets of the simulated venue, message by message."""

import asyncio
import contextlib
import json
from collections.abc import Awaitable, Callable, Iterator
from datetime import datetime
from typing import Any

import aiohttp
import msgspec
import pytest
import requests

from pyrt.venues.sim.library import SimulatedVenue, simulated_venue
from pyrt.venues.sim.market.market import DEFAULT_START

pytestmark = pytest.mark.row("X08")

MSGPACK = {"Content-Type": "application/msgpack"}
VENUE = {"speed": 20.0}


@pytest.fixture(autouse=True)
def no_faults(venue: SimulatedVenue) -> Iterator[None]:
    yield
    venue.disarm()


class Socket:
    """A client that reads and writes what the test says, in msgpack where the handshake asked for it."""

    def __init__(self, ws: aiohttp.ClientWebSocketResponse, msgpack: bool) -> None:
        self.ws = ws
        self.msgpack = msgpack

    async def send(self, message: Any) -> None:
        if self.msgpack:
            await self.ws.send_bytes(msgspec.msgpack.encode(message))
        else:
            await self.ws.send_str(json.dumps(message))

    async def hear(self) -> Any:
        frame = await self.ws.receive(timeout=30)
        assert frame.type in (aiohttp.WSMsgType.TEXT, aiohttp.WSMsgType.BINARY), frame
        assert (frame.type == aiohttp.WSMsgType.BINARY) == self.msgpack
        return msgspec.msgpack.decode(frame.data) if self.msgpack else json.loads(frame.data)

    async def ask(self, message: Any) -> Any:
        await self.send(message)
        while True:
            heard = await self.hear()
            if heard[0]["T"] in ("success", "error", "subscription"):
                assert len(heard) == 1
                return heard[0]

    async def until(self, kind: str) -> dict[str, Any]:
        while True:
            for message in await self.hear():
                if message["T"] == kind:
                    return message

    async def closed(self) -> int | None:
        while not self.ws.closed:
            await self.ws.receive(timeout=30)
        return self.ws.close_code


def run(url: str, story: Callable[[Socket], Awaitable[None]], **headers: str) -> None:
    async def main() -> None:
        async with aiohttp.ClientSession() as session, session.ws_connect(url, headers=headers, max_msg_size=0) as ws:
            await story(Socket(ws, "Content-Type" in headers))

    asyncio.run(main())


def auth(venue: SimulatedVenue) -> dict[str, str]:
    return {"action": "auth", "key": venue.key, "secret": venue.secret}


async def enter(venue: SimulatedVenue, socket: Socket) -> None:
    assert await socket.hear() == [{"T": "success", "msg": "connected"}]
    assert await socket.ask(auth(venue)) == {"T": "success", "msg": "authenticated"}


EMPTY = {
    c: [] for c in ("trades", "quotes", "bars", "updatedBars", "dailyBars", "statuses", "lulds", "corrections", "cancelErrors")
}


def listing(**wanted: list[str]) -> dict[str, Any]:
    return (
        {"T": "subscription"} | EMPTY | wanted | {"corrections": wanted.get("trades", []), "cancelErrors": wanted.get("trades", [])}
    )


def test_subscriptions_add_up_and_are_told_whole(venue: SimulatedVenue) -> None:
    async def story(socket: Socket) -> None:
        await enter(venue, socket)
        ask = socket.ask
        assert await ask({"action": "subscribe", "trades": ["NOSUCH"], "bars": ["*"]}) == listing(trades=["NOSUCH"], bars=["*"])
        assert await ask({"action": "subscribe", "bars": ["AAPL"]}) == listing(trades=["NOSUCH"], bars=["*", "AAPL"])
        assert await ask({"action": "unsubscribe", "bars": ["*"], "trades": []}) == listing(trades=["NOSUCH"], bars=["AAPL"])
        assert await ask({"action": "subscribe"}) == listing(trades=["NOSUCH"], bars=["AAPL"])

    run(venue.data_url, story)


def test_every_error_code(venue: SimulatedVenue) -> None:
    async def story(socket: Socket) -> None:
        assert await socket.hear() == [{"T": "success", "msg": "connected"}]

        async def code(message: Any) -> tuple[str, int | None]:
            answer = await socket.ask(message)
            return answer["T"], answer.get("code")

        assert await code({"action": "subscribe", "trades": ["AAPL"]}) == ("error", 401)
        assert await code({"action": "auth", "key": venue.key, "secret": "wrong"}) == ("error", 402)
        assert await code({"action": "auth", "key": 1, "secret": None}) == ("error", 402)
        assert await code(auth(venue)) == ("success", None)
        assert await code(auth(venue)) == ("error", 403)
        for nonsense in ([], "x", 5, None, {}, {"action": "dance"}, {"action": []}, {"action": "subscribe", "trades": "AAPL"}):
            assert await code(nonsense) == ("error", 400), nonsense
        assert await code({"action": "subscribe", "trades": [1]}) == ("error", 400)
        assert await code({"action": "subscribe", "orderbooks": ["AAPL"]}) == ("error", 410)
        await socket.ws.send_str("{")
        assert (await socket.hear())[0]["code"] == 400
        assert await socket.ask({"action": "subscribe"}) == listing()

    run(venue.data_url, story)


@pytest.mark.parametrize("headers", [{}, MSGPACK], ids=["json", "msgpack"])
def test_messages_have_alpacas_fields(venue: SimulatedVenue, headers: dict[str, str]) -> None:
    async def story(socket: Socket) -> None:
        await enter(venue, socket)
        await socket.send({"action": "subscribe", "trades": ["AAPL"], "quotes": ["*"], "bars": ["SPY"], "dailyBars": ["SPY"]})
        trade, quote = await socket.until("t"), await socket.until("q")
        assert set(trade) == {"T", "S", "i", "x", "p", "s", "c", "z", "t"}
        assert (trade["S"], type(trade["i"]), type(trade["c"])) == ("AAPL", int, list)
        assert set(quote) == {"T", "S", "bx", "bp", "bs", "ax", "ap", "as", "c", "z", "t"}
        assert quote["bp"] < quote["ap"]
        bar, day = await socket.until("b"), await socket.until("d")
        assert set(bar) == set(day) == {"T", "S", "o", "h", "l", "c", "v", "n", "vw", "t"}
        assert bar["l"] <= bar["vw"] <= bar["h"]
        assert day["v"] >= bar["v"]
        if headers:
            # msgspec makes a datetime of the timestamp extension, and of nothing else.
            assert isinstance(trade["t"], datetime)
            assert bar["t"].timestamp() % 60 == 0
        else:
            assert trade["t"].endswith("Z")
            assert bar["t"].endswith(":00Z")

    run(venue.data_url, story, **headers)


def test_the_bars_of_the_stream_are_those_of_history() -> None:
    with simulated_venue(speed=60.0, start=1_772_461_830_000_000_000) as venue:  # it begins in the middle of a minute
        compare_bars(venue)


def compare_bars(venue: SimulatedVenue) -> None:
    heard: dict[str, list[Any]] = {"b": [], "d": []}

    async def story(socket: Socket) -> None:
        await enter(venue, socket)
        await socket.send({"action": "subscribe", "bars": ["*"], "dailyBars": ["AAPL"]})
        while len(heard["b"]) < 12 or len(heard["d"]) < 2:
            for message in await socket.hear():
                if message["T"] in heard:
                    heard[message["T"]].append(message)

    run(venue.data_url, story)
    keys = {"APCA-API-KEY-ID": venue.key, "APCA-API-SECRET-KEY": venue.secret}
    minutes = [b["t"] for b in heard["b"]]
    query = {"symbols": "AAPL,MSFT,SPY,GOOGL,AMZN,TSLA", "timeframe": "1Min", "start": min(minutes), "end": max(minutes)}
    bars = requests.get(venue.url + "/v2/stocks/bars", params=query, headers=keys, timeout=30).json()["bars"]
    for bar in heard["b"]:
        row = next(r for r in bars[bar["S"]] if r["t"] == bar["t"])
        assert {k: bar[k] for k in "tohlcvn"} == {k: row[k] for k in "tohlcvn"}
        assert bar["vw"] == pytest.approx(row["vw"], abs=1e-6)
    one, two = heard["d"][:2]
    added = [b for b in heard["b"] if b["S"] == "AAPL"][1]
    assert (two["v"], two["n"], two["c"]) == (one["v"] + added["v"], one["n"] + added["n"], added["c"])
    assert (two["h"], two["l"]) == (max(one["h"], added["h"]), min(one["l"], added["l"]))


def test_the_headers_of_the_upgrade_authenticate(venue: SimulatedVenue) -> None:
    async def story(socket: Socket) -> None:
        assert [await socket.hear(), await socket.hear()] == [
            [{"T": "success", "msg": "connected"}],
            [{"T": "success", "msg": "authenticated"}],
        ]

    run(venue.data_url, story, **{"APCA-API-KEY-ID": venue.key, "APCA-API-SECRET-KEY": venue.secret})


def test_one_connection_and_its_slot_is_free_at_once(venue: SimulatedVenue) -> None:
    async def story(first: Socket) -> None:
        await enter(venue, first)
        async with aiohttp.ClientSession() as session:
            async with session.ws_connect(venue.data_url) as ws:
                second = Socket(ws, False)
                await second.hear()
                assert await second.ask(auth(venue)) == {"T": "error", "code": 406, "msg": "connection limit exceeded"}
                await second.closed()
            await first.ws.close()
            async with session.ws_connect(venue.data_url) as ws:
                await enter(venue, Socket(ws, False))

    run(venue.data_url, story)


def test_authentication_symbols_and_speed_have_limits() -> None:
    async def silent(socket: Socket) -> None:
        await socket.hear()
        assert await socket.hear() == [{"T": "error", "code": 404, "msg": "auth timeout"}]
        await socket.closed()

    with simulated_venue(start=DEFAULT_START, auth_seconds=0.2) as venue:
        run(venue.data_url, silent)
    settings = {"start": DEFAULT_START, "speed": 100.0, "market": "generated:rate=500,symbols=AAPL+MSFT+SPY"}
    with simulated_venue(symbol_limit=2, buffer=20_000, **settings) as venue:

        async def slow(socket: Socket) -> None:
            await enter(venue, socket)
            wanted = {"action": "subscribe", "trades": ["AAPL", "MSFT", "SPY"]}
            assert await socket.ask(wanted) == {"T": "error", "code": 405, "msg": "symbol limit exceeded"}
            assert await socket.ask({"action": "subscribe"}) == listing()
            await socket.send({"action": "subscribe", "quotes": ["*"], "trades": ["*"]})
            last = await socket.hear()
            for _ in range(10_000):
                if last[0]["T"] == "error":
                    break
                await asyncio.sleep(0.05)  # the client that does not keep up
                last = await socket.hear()
            assert last == [{"T": "error", "code": 407, "msg": "slow client"}]
            await socket.closed()

        run(venue.data_url, slow)
        assert venue.truth()["connections"][-1]["fault"] == "slow client"


def test_muted_and_dropped_data(venue: SimulatedVenue) -> None:
    async def story(socket: Socket) -> None:
        await enter(venue, socket)
        await socket.send({"action": "subscribe", "quotes": ["*"]})
        await socket.until("q")
        await asyncio.to_thread(venue.fault, "mute_data", seconds=600)
        with contextlib.suppress(TimeoutError):
            while True:  # what was on its way may still come
                await socket.ws.receive(timeout=1.0)
        await socket.ws.ping()
        assert (await socket.ask({"action": "subscribe"}))["quotes"] == ["*"]
        await asyncio.to_thread(venue.fault, "drop_data", seconds=600)
        assert await socket.closed() == 1006
        async with aiohttp.ClientSession() as session, session.ws_connect(venue.data_url) as ws:
            again = Socket(ws, False)
            await again.hear()
            assert (await again.ask(auth(venue)))["code"] == 406

    run(venue.data_url, story)


def test_at_full_speed_nothing_is_left_out() -> None:
    with simulated_venue(speed=0.0, start=1_772_461_800_000_000_000, seed=7) as venue:

        def listen() -> list[Any]:
            quotes: list[Any] = []

            async def story(socket: Socket) -> None:
                await enter(venue, socket)
                await socket.send({"action": "subscribe", "quotes": ["AAPL"]})
                while len(quotes) < 20_000:
                    quotes.extend(m for m in await socket.hear() if m["T"] == "q")

            run(venue.data_url, story)
            return quotes

        before = venue.clock()
        assert before["rate"] == 0
        assert before["now_ns"] == 1_772_461_800_000_000_000
        first = listen()
        clock = venue.clock()
        assert clock["now_ns"] > before["now_ns"] + 60 * 10**9
    query = {"symbols": "AAPL", "start": "2026-03-02T14:30:00Z", "end": first[9999]["t"], "limit": 10_000}
    with simulated_venue(start=clock["now_ns"], seed=7) as venue:
        keys = {"APCA-API-KEY-ID": venue.key, "APCA-API-SECRET-KEY": venue.secret}
        page = requests.get(venue.url + "/v2/stocks/quotes", params=query, headers=keys, timeout=60).json()["quotes"]["AAPL"]
    assert [(q["t"], q["bp"], q["ap"]) for q in page] == [(q["t"], q["bp"], q["ap"]) for q in first[:10_000]]


# ---------------------------------------------------------------------------------------------------- the trading stream
def order(venue: SimulatedVenue, **change: str) -> dict[str, Any]:
    body = {"symbol": "AAPL", "qty": "1", "side": "buy", "type": "market", "time_in_force": "day"} | change
    keys = {"APCA-API-KEY-ID": venue.key, "APCA-API-SECRET-KEY": venue.secret}
    answer = requests.post(venue.url + "/v2/orders", json=body, headers=keys, timeout=30)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


class Trading(Socket):
    """Frames come as binary JSON whatever was sent."""

    async def hear(self) -> Any:
        frame = await self.ws.receive(timeout=30)
        assert frame.type == aiohttp.WSMsgType.BINARY, frame
        return msgspec.msgpack.decode(frame.data) if self.msgpack else json.loads(frame.data)

    async def listen(self, venue: SimulatedVenue) -> None:
        await self.send({"action": "authenticate", "data": {"key_id": venue.key, "secret_key": venue.secret}})
        assert (await self.hear())["data"] == {"status": "authorized", "action": "authenticate"}
        await self.send({"action": "listen", "data": {"streams": ["trade_updates", "nonsense"]}})
        assert await self.hear() == {"stream": "listening", "data": {"streams": ["trade_updates"]}}


def trade(venue: SimulatedVenue, story: Callable[[Trading], Awaitable[None]], **headers: str) -> None:
    async def inner(socket: Socket) -> None:
        await story(Trading(socket.ws, socket.msgpack))

    run(venue.stream_url, inner, **headers)


def test_both_forms_of_authorization(venue: SimulatedVenue) -> None:
    async def story(socket: Trading) -> None:
        await socket.send({"action": "listen", "data": {"streams": ["trade_updates"]}})
        assert await socket.hear() == {"stream": "authorization", "data": {"status": "unauthorized", "action": "listen"}}
        await socket.send({"action": "auth", "key": venue.key, "secret": "wrong"})
        assert (await socket.hear())["data"]["status"] == "unauthorized"
        await socket.send(auth(venue))
        assert await socket.hear() == {"stream": "authorization", "data": {"status": "authorized", "action": "authenticate"}}
        for nonsense in ([], {"action": []}, {"action": "listen", "data": 5}):
            await socket.send(nonsense)
            assert (await socket.hear())["stream"] in ("error", "listening")
        await socket.ws.send_str("{")
        assert (await socket.hear())["stream"] == "error"

    trade(venue, story)


@pytest.mark.parametrize("headers", [{}, MSGPACK], ids=["json", "msgpack"])
def test_every_listener_hears_every_update(venue: SimulatedVenue, headers: dict[str, str]) -> None:
    async def story(first: Trading) -> None:
        async with aiohttp.ClientSession() as session, session.ws_connect(venue.stream_url) as ws:
            second = Trading(ws, False)
            await first.listen(venue)
            await second.listen(venue)
            made = await asyncio.to_thread(order, venue)
            for socket in (first, second):
                events = []
                while not events or events[-1]["event"] != "fill":
                    message = await socket.hear()
                    assert message["stream"] == "trade_updates"
                    events.append(message["data"])
                assert events[0]["event"] == "new"
                assert {e["order"]["id"] for e in events} == {made["id"]}
                assert {"price", "qty", "position_qty", "execution_id", "timestamp"} <= set(events[-1])

    trade(venue, story, **headers)


def test_updates_can_be_lost_and_doubled_and_the_socket_cut(venue: SimulatedVenue) -> None:
    async def story(socket: Trading) -> None:
        await socket.listen(venue)
        await asyncio.to_thread(venue.fault, "drop_updates", probability=1.0, count=1)
        await asyncio.to_thread(venue.fault, "duplicate_updates", probability=1.0, count=1)
        made = await asyncio.to_thread(order, venue, type="limit", limit_price="1.00", time_in_force="gtc")
        url, keys = f"{venue.url}/v2/orders/{made['id']}", {"APCA-API-KEY-ID": venue.key, "APCA-API-SECRET-KEY": venue.secret}
        assert (await asyncio.to_thread(requests.delete, url, headers=keys, timeout=30)).status_code == 204
        heard = [await socket.hear(), await socket.hear()]
        assert [m["data"]["event"] for m in heard] == ["canceled", "canceled"]
        assert heard[0] == heard[1]
        await asyncio.to_thread(venue.fault, "drop_stream")
        assert await socket.closed() == 1006

    trade(venue, story)
