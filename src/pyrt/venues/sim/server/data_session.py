"""One client of a data stream: handshake and subscriptions; and the hub that keeps those of a feed."""

import asyncio
from typing import Any, TypeVar

import msgspec
import numpy as np
import numpy.typing as npt
from aiohttp import WSMsgType, web

from pyrt._core.types import RecordType
from pyrt.venues.sim.server.access import Access
from pyrt.venues.sim.server.faults import Faults
from pyrt.venues.sim.server.feeds import Feed
from pyrt.venues.sim.server.floor import Floor
from pyrt.venues.sim.server.hub import PING_SECONDS, Hub, end
from pyrt.venues.sim.server.kinds import DropData, MuteData
from pyrt.venues.sim.server.outbox import Outbox
from pyrt.venues.sim.server.truth import Connection, Truth

AUTH_SECONDS = 10.0

ERRORS = {
    400: "invalid syntax",
    401: "not authenticated",
    402: "auth failed",
    403: "already authenticated",
    404: "auth timeout",
    405: "symbol limit exceeded",
    406: "connection limit exceeded",
    407: "slow client",
    409: "insufficient subscription",
    410: "invalid subscribe action for this feed",
    412: "option messages are only available in MsgPack format",
    413: "star subscription is not allowed for option quotes",
}
BANDS = 0  # a place that no RecordType has: STATUS records with price bands
BITS = {
    "trades": 1 << RecordType.TRADE | 1 << RecordType.TRADE_CANCEL,
    "quotes": 1 << RecordType.QUOTE,
    "statuses": 1 << RecordType.STATUS,
    "lulds": 1 << BANDS,
    "orderbooks": 1 << RecordType.DELTA,
}
BAR_BITS = {"bars": 1, "updatedBars": 2, "dailyBars": 4}


def refusal(code: int) -> dict[str, Any]:
    """An error message of a data stream."""
    return {"T": "error", "code": code, "msg": ERRORS[code]}


class Subscriptions:
    """The wanted symbols of one client by channel, and the same as a table by instrument id."""

    def __init__(self, ids: dict[str, int], feed: Feed, rows: int) -> None:
        self._ids = ids
        self._feed = feed
        self._wanted: dict[str, dict[str, None]] = {channel: {} for channel in feed.channels}
        self.table: npt.NDArray[np.uint32] = np.zeros(rows, dtype=np.uint32)  # bits 1 << RecordType
        self.bars: npt.NDArray[np.uint32] = np.zeros(rows, dtype=np.uint32)  # bits of BAR_BITS
        self.key = b""  # equal keys want the same messages

    def change(self, action: str, message: dict[str, Any], limit: int) -> int:
        """Apply a message as a whole or not at all; the error code, 0 = done."""
        changes = {name: value for name, value in message.items() if name != "action"}
        if any(name in self._feed.foreign for name in changes):
            return 410
        for name, symbols in changes.items():
            if name not in self._feed.channels or not isinstance(symbols, list) or not all(isinstance(s, str) for s in symbols):
                return 400
        wanted = {channel: dict(symbols) for channel, symbols in self._wanted.items()}
        for name, symbols in changes.items():
            for symbol in symbols:
                if action == "subscribe":
                    wanted[name][symbol] = None
                else:
                    wanted[name].pop(symbol, None)
        if action == "subscribe" and limit and len(wanted["trades"] | wanted["quotes"]) > limit:
            return 405
        self._wanted = wanted
        self._fill()
        return 0

    def listing(self) -> dict[str, Any]:
        """The acknowledgement: every channel, empty ones too."""
        lists = {c: list(symbols) for c, symbols in self._wanted.items() if symbols or c not in self._feed.rare}
        return {"T": "subscription", **lists, **dict.fromkeys(self._feed.implied, lists["trades"])}

    def __bool__(self) -> bool:
        return any(self._wanted.values())

    def _fill(self) -> None:
        self.table[:] = 0
        self.bars[:] = 0
        for bits, table in ((BITS, self.table), (BAR_BITS, self.bars)):
            for channel, bit in bits.items():
                for symbol in self._wanted.get(channel, ()):
                    if symbol == "*":
                        table |= bit
                    elif symbol in self._ids:
                        table[self._ids[symbol]] |= bit
        self.key = self.table.tobytes() + self.bars.tobytes()


class Session:
    """One data socket."""

    def __init__(
        self, hub: "SessionHub[Any]", ws: web.WebSocketResponse, request: web.Request, codec: str, entry: Connection
    ) -> None:
        self.hub = hub
        self.codec = codec
        self.entry = entry
        self.account = ""  # whose it is; empty = not authenticated
        self.subscriptions = Subscriptions(hub.ids, hub.feed, hub.rows)
        self.outbox = Outbox(ws, hub.buffer)
        self._ws = ws
        self._request = request
        self._kind = WSMsgType.BINARY if codec == "msgpack" else WSMsgType.TEXT

    async def run(self) -> None:
        """Greet, then answer messages until the socket closes."""
        writer = asyncio.create_task(self.outbox.run())
        timeout = asyncio.get_running_loop().call_later(self.hub.auth_seconds, self._expire)
        try:
            self.say({"T": "success", "msg": "connected"})
            if "APCA-API-KEY-ID" in self._request.headers:
                self._authenticate(self.hub.access.allows_headers(self._request))
            async for frame in self._ws:
                if frame.type in (WSMsgType.TEXT, WSMsgType.BINARY):
                    self._hear(frame.data)
        finally:
            self.hub.leave(self)
            timeout.cancel()
            self.outbox.close(1000)
            await self.outbox.end(writer)

    def send(self, frame: bytes) -> None:
        """Queue a data frame; a client that reads too slowly hears so and is closed."""
        if self.hub.faults.silences(MuteData, self.entry):
            return
        if not self.outbox.put(frame, self._kind):
            self.entry.fault = "slow client"
            self.hub.leave(self)
            self.outbox.close(1008, (self._encode(refusal(407)), self._kind), discard=True)

    def say(self, message: dict[str, Any]) -> None:
        """Queue a control message, alone in its array."""
        if self.hub.faults.silences(MuteData, self.entry, control=True):
            return
        self.outbox.put(self._encode(message), self._kind)

    def cut(self, fault: str, how: str = "fin") -> None:
        """End the connection without a close frame."""
        self.entry.fault = fault
        self.hub.leave(self)
        end(self._request, self.outbox, how)

    def _hear(self, data: str | bytes) -> None:
        try:
            message = msgspec.json.decode(data) if isinstance(data, str) or self.codec == "json" else msgspec.msgpack.decode(data)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            message = None
        action = message.get("action") if isinstance(message, dict) else None
        if action == "auth":
            key, secret = message.get("key"), message.get("secret")
            self._authenticate(self.hub.access.allows(key, secret) if isinstance(key, str) and isinstance(secret, str) else "")
        elif action not in ("subscribe", "unsubscribe"):
            self.say(refusal(400))
        elif not self.account:
            self.say(refusal(401))
        else:
            before = self.subscriptions.table.copy()
            code = self.subscriptions.change(action, message, self.hub.symbol_limit)
            self.say(refusal(code) if code else self.subscriptions.listing())
            for frame in self.hub.whole_books(self.codec, self.subscriptions.table & ~before):
                self.send(frame)
            self.hub.interest.set()

    def _authenticate(self, account: str) -> None:
        if self.account:
            self.say(refusal(403))
        elif not account:
            self.say(refusal(402))
        elif not self.hub.granted:
            self.say(refusal(409))
            self.outbox.close(1008)
        elif not self.hub.admit(self, account):
            self.say(refusal(406))
            self.outbox.close(1008)
        else:
            self.account = self.entry.account = account
            self.say({"T": "success", "msg": "authenticated"})

    def _expire(self) -> None:
        if not self.account:
            self.say(refusal(404))
            self.outbox.close(1008)

    def _encode(self, message: dict[str, Any]) -> bytes:
        return msgspec.msgpack.encode([message]) if self.codec == "msgpack" else msgspec.json.encode([message])


S = TypeVar("S", bound=Session)


class SessionHub(Hub[S]):
    """The sockets of one data feed: whose they are, how many an account may have, and what each may ask for."""

    message_max = 4 << 20
    make: type[S]  # of a session
    feed: Feed
    ids: dict[str, int]  # instruments that subscriptions keep tables of, by symbol
    rows: int  # of such a table

    def __init__(
        self,
        floor: Floor,
        access: Access,
        faults: Faults,
        truth: Truth,
        *,
        interest: asyncio.Event,
        granted: bool = True,
        connection_limit: int = 1,
        symbol_limit: int = 0,
        buffer: int = 16 << 20,
        auth_seconds: float = AUTH_SECONDS,
        compression: bool = True,
        ping_seconds: float = PING_SECONDS,
    ) -> None:
        super().__init__(floor, truth, compression=compression, ping_seconds=ping_seconds)
        self.access = access
        self.faults = faults
        self.interest = interest  # set when somebody changed what is wanted
        self.granted = granted  # the plan holds it
        self.symbol_limit = symbol_limit  # 0 = none
        self.buffer = buffer
        self.auth_seconds = auth_seconds
        self.messages = 0  # sent, over all clients
        self._connection_limit = connection_limit

    async def serve(self, request: web.Request) -> web.WebSocketResponse:
        """GET of a path of this feed, upgraded."""
        codec = "msgpack" if request.headers.get("Content-Type", "").startswith("application/msgpack") else "json"
        return await self._converse(request, lambda ws, entry: self.make(self, ws, request, codec, entry))

    def admit(self, session: S, account: str) -> bool:
        """Give a session one of the account's slots, if one is free."""
        taken = sum(other.account == account for other in self._sessions)
        refused = self.faults.meets(DropData, lambda f: bool(f.window), connection=session.entry.seq, note="406") is not None
        if refused or taken >= self._connection_limit:
            return False
        self._sessions.append(session)
        return True

    def whole_books(self, codec: str, fresh: npt.NDArray[np.uint32]) -> list[bytes]:
        """The books of the instruments whose `fresh` bits have them, one frame each; none where the feed has none."""
        return []

    @property
    def is_wanted(self) -> bool:
        """Somebody listens."""
        return any(session.subscriptions for session in self._sessions)

    async def drained(self) -> None:
        """Wait until every client has taken nearly all that was sent."""
        for session in self._sessions.copy():
            await session.outbox.drained()
