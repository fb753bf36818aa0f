"""The trading stream: authorization, listening, trade_updates to every connection of the account that they concern."""

import asyncio
from collections.abc import Sequence
from typing import Any

import msgspec
from aiohttp import WSMsgType, web

from pyrt.venues.sim.server.access import Access
from pyrt.venues.sim.server.faults import Faults
from pyrt.venues.sim.server.floor import Floor
from pyrt.venues.sim.server.hub import Hub, end
from pyrt.venues.sim.server.kinds import DropStream, MuteStream
from pyrt.venues.sim.server.outbox import Outbox
from pyrt.venues.sim.server.truth import Connection, Truth
from pyrt.venues.sim.server.updates import UpdatePath

STREAMS = ("trade_updates",)


class Session:
    """One trading-stream socket. Frames are binary and hold JSON, as on the paper host; msgpack where it was asked for."""

    def __init__(self, hub: "TradingHub", ws: web.WebSocketResponse, request: web.Request, entry: Connection) -> None:
        self.hub = hub
        self.entry = entry
        self.account = ""  # whose it is; empty = not authorized
        self.listening: list[str] = []
        self.msgpack = request.headers.get("Content-Type", "").startswith("application/msgpack")
        self.outbox = Outbox(ws)
        self._ws = ws
        self._request = request

    async def run(self) -> None:
        """Answer messages until the socket closes; the client speaks first."""
        writer = asyncio.create_task(self.outbox.run())
        try:
            async for frame in self._ws:
                if frame.type in (WSMsgType.TEXT, WSMsgType.BINARY):
                    self._hear(frame.data)
        finally:
            self.hub.leave(self)
            self.outbox.close(1000)
            await self.outbox.end(writer)

    def send(self, frame: bytes) -> None:
        """Queue an encoded message; who does not read is closed, for nothing may be left out."""
        if self.hub.faults.silences(MuteStream, self.entry):
            return
        if not self.outbox.put(frame, WSMsgType.BINARY):
            self.entry.fault = "slow client"
            self.outbox.close(1008, discard=True)

    def cut(self, fault: str, how: str = "fin") -> None:
        """End the connection without a close frame."""
        self.entry.fault = fault
        self.hub.leave(self)
        end(self._request, self.outbox, how)

    def _hear(self, data: str | bytes) -> None:
        try:
            binary = self.msgpack and isinstance(data, bytes)
            message = msgspec.msgpack.decode(data) if binary else msgspec.json.decode(data)  # type: ignore[arg-type]
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            message = None
        if not isinstance(message, dict):
            self._say("error", {"error": "invalid syntax"})
            return
        action, given = message.get("action"), message.get("data")
        body = given if isinstance(given, dict) else {}
        if action in ("authenticate", "auth"):
            key, secret = body.get("key_id", message.get("key")), body.get("secret_key", message.get("secret"))
            known = isinstance(key, str) and isinstance(secret, str)
            self.account = self.entry.account = self.hub.access.allows(str(key), str(secret)) if known else ""
            self.listening = self.listening if self.account else []
            self._authorization("authenticate")
        elif action == "listen" and not self.account:
            self._authorization("listen")
        elif action == "listen":
            streams = body.get("streams")
            self.listening = [s for s in STREAMS if isinstance(streams, list) and s in streams]
            self._say("listening", {"streams": self.listening})
        else:
            self._say("error", {"error": "unknown action"})

    def _authorization(self, action: str) -> None:
        self._say("authorization", {"status": "authorized" if self.account else "unauthorized", "action": action})

    def _say(self, stream: str, data: dict[str, Any]) -> None:
        if not self.hub.faults.silences(MuteStream, self.entry, control=True):
            self.outbox.put(encode(stream, data, self.msgpack), WSMsgType.BINARY)


class TradingHub(Hub[Session]):
    """All trading-stream sockets."""

    def __init__(self, floor: Floor, access: Access, faults: Faults, truth: Truth) -> None:
        super().__init__(floor, truth)
        self.access = access
        self.faults = faults
        self._path = UpdatePath(faults, self._send)
        floor.on_updates.append(self.publish)

    async def serve(self, request: web.Request) -> web.StreamResponse:
        """GET /stream, upgraded."""
        if self.faults.meets(DropStream, lambda f: bool(f.window), note="503") is not None:
            return web.Response(status=503)

        def join(ws: web.WebSocketResponse, entry: Connection) -> Session:
            session = Session(self, ws, request, entry)
            self._sessions.append(session)
            return session

        return await self._converse(request, join)

    def publish(self, updates: Sequence[tuple[Any, dict[str, Any]]]) -> None:
        """Send trade updates, in their order, to every session of the account that listens."""
        for account, data in updates:
            self._path.pass_on(account, data)

    def _send(self, account: Any, data: dict[str, Any]) -> None:
        frames: dict[bool, bytes] = {}
        for session in self._sessions.copy():
            if session.account == account and "trade_updates" in session.listening:
                if session.msgpack not in frames:
                    frames[session.msgpack] = encode("trade_updates", data, session.msgpack)
                session.send(frames[session.msgpack])


def encode(stream: str, data: dict[str, Any], msgpack: bool) -> bytes:
    """One message of the trading stream."""
    message = {"stream": stream, "data": data}
    return msgspec.msgpack.encode(message) if msgpack else msgspec.json.encode(message)
