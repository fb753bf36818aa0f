"""Faults of sockets and of trade updates, frame by frame."""

import asyncio
import contextlib
import json
import socket
import time
from collections.abc import Awaitable, Callable, Iterator
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import pytest
import requests

from pyrt.venues.sim.library import SimulatedVenue

pytestmark = pytest.mark.row("X08")

Ws = aiohttp.ClientWebSocketResponse
Story = Callable[[aiohttp.ClientSession], Awaitable[None]]
VENUE = {"seed": 7, "speed": 20.0}


@pytest.fixture(autouse=True)
def no_faults(venue: SimulatedVenue) -> Iterator[None]:
    yield
    venue.disarm()


def run(story: Story) -> None:
    async def main() -> None:
        async with aiohttp.ClientSession() as session:
            await asyncio.wait_for(story(session), 60)

    asyncio.run(main())


async def fault(venue: SimulatedVenue, kind: str, **settings: Any) -> None:
    await asyncio.to_thread(venue.fault, kind, **settings)


async def data(venue: SimulatedVenue, session: aiohttp.ClientSession) -> tuple[Ws, list[Any]]:
    """A data socket after the answer to its authentication."""
    ws = await session.ws_connect(venue.data_url)
    await ws.receive_json()
    await ws.send_json({"action": "auth", "key": venue.key, "secret": venue.secret})
    return ws, await ws.receive_json()


async def listening(venue: SimulatedVenue, session: aiohttp.ClientSession) -> Ws:
    ws = await session.ws_connect(venue.stream_url)
    await ws.send_json({"action": "auth", "key": venue.key, "secret": venue.secret})
    await ws.receive()
    await ws.send_json({"action": "listen", "data": {"streams": ["trade_updates"]}})
    await ws.receive()
    return ws


async def subscribed(venue: SimulatedVenue, session: aiohttp.ClientSession) -> Ws:
    ws, answer = await data(venue, session)
    assert answer == [{"T": "success", "msg": "authenticated"}]
    await ws.send_json({"action": "subscribe", "quotes": ["*"]})
    while (await ws.receive_json())[0]["T"] != "q":
        pass
    return ws


def order(venue: SimulatedVenue, cid: str) -> str:
    body = {"symbol": "AAPL", "qty": "1", "side": "buy", "type": "limit", "limit_price": "1.00", "time_in_force": "gtc"}
    headers = {"APCA-API-KEY-ID": venue.key, "APCA-API-SECRET-KEY": venue.secret}
    answer = requests.post(venue.url + "/v2/orders", json={**body, "client_order_id": cid}, headers=headers, timeout=30)
    return str(answer.json()["id"])


async def silence(ws: Ws) -> None:
    """Until nothing has come for a second."""
    with contextlib.suppress(TimeoutError):
        while True:
            await ws.receive(timeout=1.0)


def connections(venue: SimulatedVenue, kind: str) -> list[int]:
    return [f["connection"] for f in venue.truth()["faults"]["firings"] if f["kind"] == kind]


async def ended(ws: Ws) -> None:
    """Until the socket ends, without a close frame."""
    while (frame := await ws.receive()).type not in (aiohttp.WSMsgType.CLOSED, aiohttp.WSMsgType.ERROR):
        assert frame.type != aiohttp.WSMsgType.CLOSE


def upgraded(venue: SimulatedVenue, path: str) -> socket.socket:
    """A bare connection after the answer to its upgrade and, where the venue speaks first, its welcome."""
    connection = socket.create_connection(("127.0.0.1", urlsplit(venue.url).port or 0), timeout=30)
    head = (
        "Host: sim",
        "Upgrade: websocket",
        "Connection: Upgrade",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Key: " + "A" * 22 + "==",
    )
    keys = f"APCA-API-KEY-ID: {venue.key}", f"APCA-API-SECRET-KEY: {venue.secret}"
    connection.sendall("\r\n".join((f"GET {path} HTTP/1.1", *head, *keys, "", "")).encode())
    heard = b""
    while (b"authenticated" if path != "/stream" else b"\r\n\r\n") not in heard:
        heard += connection.recv(65536)
    return connection


@pytest.mark.parametrize("how", ["fin", "rst"])
@pytest.mark.parametrize(("kind", "path"), [("drop_data", "/v2/iex"), ("drop_stream", "/stream")])
def test_dropped_sockets_end_as_told(venue: SimulatedVenue, kind: str, path: str, how: str) -> None:
    with upgraded(venue, path) as connection:
        if path == "/stream":  # it counts from its authorization on
            body = json.dumps({"action": "auth", "key": venue.key, "secret": venue.secret}).encode()
            connection.sendall(bytes([0x81, 0x80 | 126]) + len(body).to_bytes(2, "big") + bytes(4) + body)
            assert b"authorized" in connection.recv(65536)
        venue.fault(kind, how=how)
        try:
            end = "fin" if connection.recv(65536) == b"" else "a frame"
        except ConnectionResetError:
            end = "rst"
    assert end == how
    entry = [c for c in venue.truth()["connections"] if c["path"] == path][-1]
    assert connections(venue, kind)[-1] == entry["seq"]
    assert entry["fault"] == kind
    upgraded(venue, path).close()  # the slot is free


def test_after_a_drop_the_venue_refuses_for_a_while(venue: SimulatedVenue) -> None:
    async def story(session: aiohttp.ClientSession) -> None:
        first = await subscribed(venue, session)
        await fault(venue, "drop_data", seconds=600)
        await ended(first)
        await first.close()
        ws, answer = await data(venue, session)
        assert answer == [{"T": "error", "code": 406, "msg": "connection limit exceeded"}]
        await ws.close()
        await fault(venue, "drop_stream", seconds=600)
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await session.ws_connect(venue.stream_url)
        assert refused.value.status == 503
        await asyncio.to_thread(venue.disarm)
        await (await subscribed(venue, session)).close()
        await (await listening(venue, session)).close()

    run(story)


def test_a_half_open_socket_neither_speaks_nor_answers(venue: SimulatedVenue) -> None:
    async def story(session: aiohttp.ClientSession) -> None:
        ws, answer = await data(venue, session)
        assert answer[0]["code"] == 406  # the venue takes the dead one for alive
        await ws.close()

    with upgraded(venue, "/v2/iex") as connection:
        venue.fault("drop_data", how="half_open", seconds=600)
        connection.sendall(bytes([0x89, 0x80, 0, 0, 0, 0]))  # a ping
        connection.settimeout(0.5)
        with pytest.raises(TimeoutError):
            connection.recv(65536)
        run(story)


def test_a_half_open_socket_is_reaped(venue: SimulatedVenue) -> None:
    async def story(session: aiohttp.ClientSession) -> None:
        ws = await subscribed(venue, session)
        await fault(venue, "drop_data", how="half_open", seconds=0.3)
        await ended(ws)
        await ws.close()
        await (await subscribed(venue, session)).close()

    run(story)


def test_a_mute_socket_answers_pings(venue: SimulatedVenue) -> None:
    async def story(session: aiohttp.ClientSession) -> None:
        ws = await subscribed(venue, session)
        await fault(venue, "mute_data", seconds=600)
        await silence(ws)
        await ws.send_json({"action": "subscribe", "trades": ["AAPL"]})
        assert (await ws.receive_json(timeout=30))[0]["T"] == "subscription"
        await ws.close()
        await fault(venue, "mute_data", seconds=600, control=True)
        silent = await session.ws_connect(venue.data_url)
        with pytest.raises(TimeoutError):
            await silent.receive(timeout=0.5)  # not even the welcome
        await silent.close()

    run(story)


def test_a_mute_of_present_sockets_leaves_new_ones_alone(venue: SimulatedVenue) -> None:
    async def story(session: aiohttp.ClientSession) -> None:
        first, second = await listening(venue, session), await listening(venue, session)
        await fault(venue, "mute_stream", seconds=600, present=True)
        third = await listening(venue, session)
        await asyncio.to_thread(order, venue, "muted")
        assert json.loads((await third.receive()).data)["data"]["event"] == "new"
        for ws in (first, second):
            with pytest.raises(TimeoutError):
                await ws.receive(timeout=0.3)
        assert len(set(connections(venue, "mute_stream"))) == 2
        for ws in (first, second, third):
            await ws.close()

    run(story)


def cids(frames: list[Any]) -> list[str]:
    return [json.loads(f.data)["data"]["order"]["client_order_id"] for f in frames]


@pytest.mark.parametrize(
    ("kind", "settings", "told"),
    [
        ("drop_updates", {"every": 2}, ["0", "2", "4"]),
        ("duplicate_updates", {"count": 2}, ["0", "0", "1", "1", "2", "3", "4"]),
        ("reorder_updates", {"every": 2, "seconds": 30}, ["0", "2", "1", "4", "3"]),
        ("delay_updates", {"count": 1, "seconds": 2.0}, ["1", "2", "3", "4", "0"]),
        ("drop_updates", {"events": ["fill"]}, ["0", "1", "2", "3", "4"]),
    ],
)
def test_updates_go_astray(venue: SimulatedVenue, kind: str, settings: dict[str, Any], told: list[str]) -> None:
    async def story(session: aiohttp.ClientSession) -> None:
        in_time = False
        while not in_time:  # a delay that was over before the last order was asked for delays nothing
            ws = await listening(venue, session)
            await fault(venue, kind, **settings)
            begun = time.monotonic()
            mark = f"{kind}-{sorted(settings)[0]}-{begun}-"
            orders = [await asyncio.to_thread(order, venue, f"{mark}{i}") for i in range(5)]
            in_time = kind != "delay_updates" or time.monotonic() - begun < settings["seconds"] / 2
            frames = [await ws.receive(timeout=30) for _ in told]
        assert [c.removeprefix(mark) for c in cids(frames)] == told
        if "events" not in settings:
            hit = [f["order"] for f in (await asyncio.to_thread(venue.truth))["faults"]["firings"] if f["kind"] == kind]
            assert set(hit) & set(orders)
        await ws.close()

    run(story)


def test_the_clock_of_both_streams_is_off(venue: SimulatedVenue) -> None:
    async def story(session: aiohttp.ClientSession) -> None:
        quotes, updates = await subscribed(venue, session), await listening(venue, session)
        year = json.loads((await quotes.receive()).data)[0]["t"][:4]
        await fault(venue, "clock_skew", offset=-3 * 366 * 86_400)
        await asyncio.to_thread(order, venue, "skewed")
        update = json.loads((await updates.receive()).data)["data"]
        assert int(update["timestamp"][:4]) <= int(year) - 3
        assert int(update["order"]["created_at"][:4]) <= int(year) - 3
        while json.loads((await quotes.receive()).data)[0]["t"][:4] == year:
            pass
        await quotes.close()
        await updates.close()

    run(story)
