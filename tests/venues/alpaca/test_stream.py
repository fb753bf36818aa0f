import asyncio
import contextlib
import json
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from picows import WSFrame, WSListener, WSMsgType, WSTransport, WSUpgradeRequest, ws_create_server
from tests.venues.alpaca.rest_server import PATIENCE, order_json

from pyrt.config import Secret
from pyrt.errors import ConfigError
from pyrt.ports import Event, StreamState, TradeUpdate
from pyrt.venues.alpaca import wire
from pyrt.venues.alpaca.stream import TradingStream

KEY, SECRET = Secret("PKCANARYKEY0001"), Secret("cAnArY/secret+value=0001")
AUTHORIZED = {"stream": "authorization", "data": {"status": "authorized", "action": "authenticate"}}
UNAUTHORIZED = {"stream": "authorization", "data": {"status": "unauthorized", "action": "authenticate"}}
LISTENING = {"stream": "listening", "data": {"streams": ["trade_updates"]}}


def update(event: str, cid: str = "c1", **fields: Any) -> dict[str, Any]:
    data = {"event": event, "timestamp": "2026-03-02T15:04:06.31Z", "order": order_json(cid)} | fields
    return {"stream": "trade_updates", "data": data}


class Connection(WSListener):
    """The server's end of one connection: answers the handshake, unless told otherwise."""

    def __init__(self, venue: "Venue") -> None:
        self.venue = venue
        self.heard: list[Any] = []

    def on_ws_connected(self, transport: WSTransport) -> None:
        self.transport = transport
        self.venue.connections.append(self)

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        if frame.msg_type in (WSMsgType.TEXT, WSMsgType.BINARY):
            message = json.loads(frame.get_payload_as_bytes())
            self.heard.append(message)
            for answer in self.venue.answers.get(message["action"], ()):
                self.say(answer)

    def say(self, message: Any, kind: WSMsgType = WSMsgType.BINARY) -> None:
        self.transport.send(kind, message if isinstance(message, bytes) else json.dumps(message).encode())

    def fragment(self, message: Any, size: int) -> None:
        """A message in pieces, closed by an empty one."""
        raw, kind = json.dumps(message).encode(), WSMsgType.BINARY
        for start in range(0, len(raw), size):
            self.transport.send(kind, raw[start : start + size], fin=False)
            kind = WSMsgType.CONTINUATION
        self.transport.send(kind, b"", fin=True)


class Venue:
    def __init__(self) -> None:
        self.connections: list[Connection] = []
        self.answers: dict[str, list[Any]] = {"authenticate": [AUTHORIZED], "listen": [LISTENING]}
        self.events: list[Event] = []
        self.url = ""

    @contextlib.asynccontextmanager
    async def serve(self, **options: Any) -> AsyncIterator[TradingStream]:
        def route(_: WSUpgradeRequest) -> Connection:
            return Connection(self)

        server = await ws_create_server(route, "127.0.0.1", 0, enable_auto_pong=options.pop("pong", True))
        self.url = f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/stream"
        defaults = {
            "url": self.url,
            "key": KEY,
            "secret": SECRET,
            "sink": self.events.append,
            "first_pause": 0.01,
            "longest_pause": 0.05,
        }
        stream = TradingStream(**{**defaults, **options})
        task = asyncio.create_task(stream.run())
        try:
            yield stream
        finally:
            await stream.close()
            await asyncio.wait_for(task, PATIENCE)
            server.close()
            for connection in self.connections:
                connection.transport.disconnect(graceful=False)
            await server.wait_closed()

    @property
    def options(self) -> dict[str, Any]:
        quick = {"first_pause": 0.01, "longest_pause": 0.05}
        return {"url": self.url, "key": KEY, "secret": SECRET, "sink": self.events.append, **quick}

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(PATIENCE):
            while not condition():
                await asyncio.sleep(0.005)

    @property
    def states(self) -> list[bool]:
        return [event.up for event in self.events if isinstance(event, StreamState)]

    @property
    def updates(self) -> list[TradeUpdate]:
        return [event for event in self.events if isinstance(event, TradeUpdate)]


def live(test: Callable[[Venue], Awaitable[None]]) -> None:
    async def whole() -> None:
        await test(Venue())

    asyncio.run(whole())


def test_handshake_and_every_known_event_in_binary_and_text_frames() -> None:
    async def test(venue: Venue) -> None:
        async with venue.serve() as stream:
            await venue.until(lambda: venue.states == [True])
            (connection,) = venue.connections
            assert connection.heard == [
                {"action": "authenticate", "data": {"key_id": KEY.reveal(), "secret_key": SECRET.reveal()}},
                {"action": "listen", "data": {"streams": ["trade_updates"]}},
            ]
            for i, event in enumerate(sorted(wire.TRADE_EVENTS)):
                connection.say(update(event, f"c{i}"), WSMsgType.TEXT if i % 2 else WSMsgType.BINARY)
            await venue.until(lambda: len(venue.updates) == len(wire.TRADE_EVENTS))
            assert [u.event for u in venue.updates] == sorted(wire.TRADE_EVENTS)
            assert [u.order.cid for u in venue.updates] == [f"c{i}" for i in range(len(wire.TRADE_EVENTS))]
            assert stream.counters == {"connections": 1}

    live(test)


def test_a_fill_carries_its_execution() -> None:
    async def test(venue: Venue) -> None:
        async with venue.serve():
            await venue.until(lambda: venue.states == [True])
            fill = update("partial_fill", execution_id="e1", price="189.52", qty="40", position_qty="-40")
            venue.connections[0].say(fill)
            await venue.until(lambda: len(venue.updates) == 1)
            (got,) = venue.updates
            assert (got.price, got.qty, got.position_qty, got.execution_id) == ("189.52", "40", "-40", "e1")
            assert got.ts == wire.parse_time("2026-03-02T15:04:06.31Z")

    live(test)


def test_unknown_events_are_loud_and_harmless_and_a_malformed_frame_costs_only_itself(caplog: pytest.LogCaptureFixture) -> None:
    async def test(venue: Venue) -> None:
        async with venue.serve() as stream:
            await venue.until(lambda: venue.states == [True])
            (connection,) = venue.connections
            connection.say(b"\xff\xfe{")
            connection.say(b"[]", WSMsgType.TEXT)
            connection.say({"stream": "trade_updates", "data": {"event": "fill"}})
            connection.say(update("fill", price="NaN", qty="1"))
            connection.say({"stream": "gossip", "data": {}})
            connection.say(update("order_teleported"))
            await venue.until(lambda: len(venue.updates) == 1)
            assert venue.updates[0].event == "order_teleported"
            assert stream.counters["malformed"] == 4
            assert stream.counters["unknown streams"] == 1
            assert stream.counters["event order_teleported"] == 1
            assert venue.states == [True]

    live(test)
    assert "unknown event 'order_teleported'" in caplog.text


def test_a_fragmented_message_is_joined() -> None:
    async def test(venue: Venue) -> None:
        async with venue.serve():
            await venue.until(lambda: venue.states == [True])
            venue.connections[0].fragment(update("new", "pieces"), 50)
            venue.connections[0].say(update("new", "whole"))
            await venue.until(lambda: len(venue.updates) == 2)
            assert [u.order.cid for u in venue.updates] == ["pieces", "whole"]

    live(test)


def test_it_reconnects_and_listens_again() -> None:
    async def test(venue: Venue) -> None:
        async with venue.serve():
            for life in range(1, 6):
                await venue.until(lambda life=life: len(venue.connections) == life and venue.states.count(True) == life)  # type: ignore[misc]
                venue.connections[-1].say(update("new", f"life{life}"))
                await venue.until(lambda life=life: len(venue.updates) == life)  # type: ignore[misc]
                venue.connections[-1].transport.disconnect(graceful=False)
            await venue.until(lambda: venue.states.count(True) == 6)
            assert venue.states == [True, False] * 5 + [True]
            assert all(len(connection.heard) == 2 for connection in venue.connections)

    live(test)


def test_refused_keys_are_final() -> None:
    async def test(venue: Venue) -> None:
        venue.answers["authenticate"] = [UNAUTHORIZED]
        async with venue.serve():
            await venue.until(lambda: bool(venue.events))
            (state,) = venue.events
            assert isinstance(state, StreamState)
            assert (state.up, state.final) == (False, True)
        assert len(venue.connections) == 1

    live(test)


@pytest.mark.parametrize(
    "answers",
    [
        {"authenticate": []},
        {"authenticate": [LISTENING]},
        {"listen": []},
        {"listen": [{"stream": "listening", "data": {"streams": []}}]},
    ],
)
def test_a_handshake_that_stays_away_is_tried_again(answers: dict[str, list[Any]]) -> None:
    async def test(venue: Venue) -> None:
        good = venue.answers
        venue.answers = {**good, **answers}
        async with venue.serve(patience=0.2):
            await venue.until(lambda: len(venue.connections) >= 2)
            assert venue.states == [False]
            venue.answers = good
            await venue.until(lambda: venue.states == [False, True])

    live(test)


def test_a_peer_that_answers_no_ping_is_given_up() -> None:
    async def test(venue: Venue) -> None:
        async with venue.serve(pong=False, ping_idle=0.2, ping_reply=0.2):
            await venue.until(lambda: venue.states[:3] == [True, False, True])

    live(test)


def test_a_closed_port_is_an_outage_and_not_an_end() -> None:
    async def test(venue: Venue) -> None:
        async with venue.serve():
            pass
        stream = TradingStream(
            url=venue.url, key=KEY, secret=SECRET, sink=venue.events.append, first_pause=0.01, longest_pause=0.02
        )
        venue.events.clear()
        task = asyncio.create_task(stream.run())
        await venue.until(lambda: venue.states == [False])
        await stream.close()
        await asyncio.wait_for(task, PATIENCE)
        assert venue.states == [False]

    live(test)


def test_no_key_in_any_log(caplog: pytest.LogCaptureFixture) -> None:
    async def test(venue: Venue) -> None:
        venue.answers["authenticate"] = [UNAUTHORIZED]
        async with venue.serve() as stream:
            await venue.until(lambda: bool(venue.events))
            assert "cAnArY" not in repr(venue.events) + repr(vars(stream))

    with caplog.at_level(1):
        live(test)
    assert caplog.records
    assert "cAnArY" not in caplog.text
    assert "PKCANARY" not in caplog.text
    assert logging.getLogger("pyrt").name == "pyrt"


def test_hosts_that_are_not_ours_are_refused() -> None:
    for url in ("wss://api.alpaca.markets/stream", "ws://paper-api.alpaca.markets/stream", "ws://192.0.2.1/stream"):
        with pytest.raises(ConfigError):
            TradingStream(url=url, key=KEY, secret=SECRET, sink=print)
