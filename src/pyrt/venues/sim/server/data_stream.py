"""The market-data streams of stocks and of crypto: handshake, subscriptions, fan-out."""

import asyncio
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
from aiohttp import WSMsgType, web

from pyrt._core.encode import Encoder
from pyrt._core.types import NO_PRICE, Flag, RecordType, market_dtype, status_dtype
from pyrt.calendar import NEW_YORK
from pyrt.model import AssetClass, Instrument
from pyrt.venues.sim.market.depth import Depth
from pyrt.venues.sim.market.side import SideMarket
from pyrt.venues.sim.market.stream_bars import StreamBars
from pyrt.venues.sim.server.access import Access
from pyrt.venues.sim.server.faults import Faults
from pyrt.venues.sim.server.feeds import Feed
from pyrt.venues.sim.server.floor import Floor, Records
from pyrt.venues.sim.server.hub import PING_SECONDS, Hub, end
from pyrt.venues.sim.server.kinds import DropData, MuteData
from pyrt.venues.sim.server.mishaps import offset_ns
from pyrt.venues.sim.server.outbox import Outbox
from pyrt.venues.sim.server.skew import moved_records
from pyrt.venues.sim.server.truth import Connection, Truth
from pyrt.venues.sim.times import CHICAGO

AUTH_SECONDS = 10.0
FRAME_RECORDS = 2000  # a frame stays far below the 1 MiB that many clients accept

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
_BANDS = 0  # a place that no RecordType has: STATUS records with price bands
_BITS = {
    "trades": 1 << RecordType.TRADE | 1 << RecordType.TRADE_CANCEL,
    "quotes": 1 << RecordType.QUOTE,
    "statuses": 1 << RecordType.STATUS,
    "lulds": 1 << _BANDS,
    "orderbooks": 1 << RecordType.DELTA,
}
_BAR_BITS = {"bars": 1, "updatedBars": 2, "dailyBars": 4}


class Subscriptions:
    """The wanted symbols of one client by channel, and the same as a table by instrument id."""

    def __init__(self, ids: dict[str, int], feed: Feed, rows: int) -> None:
        self._ids = ids
        self._feed = feed
        self._wanted: dict[str, dict[str, None]] = {channel: {} for channel in feed.channels}
        self.table: npt.NDArray[np.uint32] = np.zeros(rows, dtype=np.uint32)  # bits 1 << RecordType
        self.bars: npt.NDArray[np.uint32] = np.zeros(rows, dtype=np.uint32)  # bits of _BAR_BITS
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
        for bits, table in ((_BITS, self.table), (_BAR_BITS, self.bars)):
            for channel, bit in bits.items():
                for symbol in self._wanted.get(channel, ()):
                    if symbol == "*":
                        table |= bit
                    elif symbol in self._ids:
                        table[self._ids[symbol]] |= bit
        self.key = self.table.tobytes() + self.bars.tobytes()


class Session:
    """One data socket."""

    def __init__(self, hub: "DataHub", ws: web.WebSocketResponse, request: web.Request, codec: str, entry: Connection) -> None:
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
            self.outbox.close(1008, (self._encode(_error(407)), self._kind), discard=True)

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
            self.say(_error(400))
        elif not self.account:
            self.say(_error(401))
        else:
            before = self.subscriptions.table.copy()
            code = self.subscriptions.change(action, message, self.hub.symbol_limit)
            self.say(_error(code) if code else self.subscriptions.listing())
            for frame in self.hub.whole_books(self.codec, self.subscriptions.table & ~before):
                self.send(frame)
            self.hub.interest.set()

    def _authenticate(self, account: str) -> None:
        if self.account:
            self.say(_error(403))
        elif not account:
            self.say(_error(402))
        elif not self.hub.granted:
            self.say(_error(409))
            self.outbox.close(1008)
        elif not self.hub.admit(self, account):
            self.say(_error(406))
            self.outbox.close(1008)
        else:
            self.account = self.entry.account = account
            self.say({"T": "success", "msg": "authenticated"})

    def _expire(self) -> None:
        if not self.account:
            self.say(_error(404))
            self.outbox.close(1008)

    def _encode(self, message: dict[str, Any]) -> bytes:
        return msgspec.msgpack.encode([message]) if self.codec == "msgpack" else msgspec.json.encode([message])


class DataHub(Hub[Session]):
    """All data sockets, and what the market says to each of them."""

    message_max = 4 << 20

    def __init__(
        self,
        floor: Floor,
        instruments: Iterable[Instrument],
        access: Access,
        faults: Faults,
        truth: Truth,
        *,
        feed: Feed,
        granted: bool = True,
        side: SideMarket | None = None,
        interest: asyncio.Event,
        connection_limit: int = 1,
        symbol_limit: int = 0,
        buffer: int = 16 << 20,
        auth_seconds: float = AUTH_SECONDS,
        compression: bool = True,
        ping_seconds: float = PING_SECONDS,
    ) -> None:
        instruments = list(instruments)
        self.feed = feed
        self.granted = granted  # the plan holds it
        self._side = side  # the market that is told, where it is not the one that is traded
        self.rows = max((i.id for i in instruments), default=0) + 1  # of a table by instrument
        self._own = np.zeros(self.rows, dtype=bool)
        instruments = [i for i in instruments if i.asset_class == feed.asset_class]
        self.ids = {i.symbol: i.id for i in instruments}
        self._own[list(self.ids.values())] = True
        self._all_own = bool(self._own[1:].all())
        self._books = Depth(instruments)
        self.access = access
        self.symbol_limit = symbol_limit  # 0 = none
        self.buffer = buffer
        self.auth_seconds = auth_seconds
        self.interest = interest  # set when somebody changed what is wanted
        self.messages = 0  # sent, over all clients
        super().__init__(floor, truth, compression=compression, ping_seconds=ping_seconds)
        self.faults = faults
        self._connection_limit = connection_limit
        self._instruments = instruments
        self.bars = self._fresh_bars()
        self._encoders: dict[str, Encoder] = {}
        for codec in ("msgpack", "json"):
            encoder = Encoder(codec)
            for i in instruments:
                encoder.register(i.symbol, i.id, qty_exp=i.qty_exp)
            self._encoders[codec] = encoder
        if instruments:
            floor.on_market.append(self.publish)

    async def serve(self, request: web.Request) -> web.WebSocketResponse:
        """GET of a path of this feed, upgraded."""
        codec = "msgpack" if request.headers.get("Content-Type", "").startswith("application/msgpack") else "json"
        return await self._converse(request, lambda ws, entry: Session(self, ws, request, codec, entry))

    def admit(self, session: Session, account: str) -> bool:
        """Give a session one of the account's slots, if one is free."""
        taken = sum(other.account == account for other in self._sessions)
        refused = self.faults.meets(DropData, lambda f: bool(f.window), connection=session.entry.seq, note="406") is not None
        if refused or taken >= self._connection_limit:
            return False
        self._sessions.append(session)
        return True

    def count(self, records: Records) -> None:
        """Take in trades of the minute in which the venue begins, from before it did, and the books as they are then."""
        own = records[self._own[records["instrument"]]]
        self.bars.count(own)
        self._books.apply(own)

    def _fresh_bars(self) -> StreamBars:
        crypto = self.feed.asset_class == AssetClass.CRYPTO
        return StreamBars(self._instruments, self._side or self._floor.market, CHICAGO if crypto else NEW_YORK)

    def whole_books(self, codec: str, fresh: npt.NDArray[np.uint32]) -> list[bytes]:
        """The books of the instruments whose `fresh` bits have orderbooks, one frame each."""
        wanted = np.flatnonzero(fresh & _BITS["orderbooks"]).tolist()
        books = (self._books.whole(number, self._floor.now + offset_ns(self.faults)) for number in wanted if self._own[number])
        return [self._encoders[codec].encode(book) for book in books]

    @property
    def is_wanted(self) -> bool:
        """Somebody listens."""
        return any(session.subscriptions for session in self._sessions)

    async def drained(self) -> None:
        """Wait until every client has taken nearly all that was sent."""
        for session in self._sessions.copy():
            await session.outbox.drained()

    def publish(self, records: Records, now: int) -> None:
        """Send a batch of the market, and the bars that it closed, to whom it concerns."""
        if self._side is not None and not self._sessions:
            self._side.close()
            return
        if self._side is not None:
            records = self._told_aside(self._side, now)
            now -= self._side.lag
        if len(records) and not self._all_own:
            records = records[self._own[records["instrument"]]]
        self._books.apply(records)
        bars = self.bars.take(records, now)
        if not self._sessions:
            return
        if skew_ns := offset_ns(self.faults):
            records, bars = moved_records(records, skew_ns), {kind: moved_records(rows, skew_ns) for kind, rows in bars.items()}
        made: dict[tuple[str, bytes], Sequence[bytes]] = {}
        for session in self._sessions.copy():
            wanted = session.subscriptions
            key = (session.codec, wanted.key)
            if wanted and key not in made:
                made[key] = self._frames(self._encoders[session.codec], wanted, records, bars)
            for frame in made.get(key, ()):
                session.send(frame)

    def _told_aside(self, side: SideMarket, now: int) -> Records:
        if side.is_open:
            return side.advance(now)
        before = side.open(now)
        self.bars = self._fresh_bars()
        self.count(before)
        return np.zeros(0, dtype=market_dtype)

    def _frames(self, encoder: Encoder, wanted: Subscriptions, records: Records, bars: dict[str, Records]) -> list[bytes]:
        frames = []
        if len(records):
            bits = wanted.table[records["instrument"]]
            chosen = records[(bits >> _places(records)) & 1 == 1] if bits.any() else records[:0]
            self.messages += len(chosen)
            chosen = _dated_back(chosen)
            frames += [encoder.encode(part) for part in _pieces(chosen)]
        for kind, channel in (("b", "bars"), ("u", "updatedBars"), ("d", "dailyBars")):
            closed = bars.get(kind)
            if closed is not None and len(closed):
                closed = closed[wanted.bars[closed["instrument"]] & _BAR_BITS[channel] != 0]
                if len(closed):
                    frames.append(encoder.encode_bars(closed, kind))
        return frames


def _places(records: Records) -> npt.NDArray[np.uint16]:
    """The bit of each record in a table of what is wanted."""
    places: npt.NDArray[np.uint16] = records["type"]
    statuses = places == int(RecordType.STATUS)
    if statuses.any():
        bands = statuses & (records.view(status_dtype)["upper_px"] != NO_PRICE)
        places = np.where(bands, np.uint16(_BANDS), places)
    return places


def _dated_back(records: Records) -> Records:
    """A correction carries the time of the print that it corrects, so that it counts in the minute of that print."""
    late = (records["seq"] > 0) & (records["flags"] & int(Flag.CORRECTED) != 0)
    if late.any():
        records = records.copy()
        records["ts_event"][late] = records["seq"][late]
    return records


def _pieces(records: Records) -> Iterator[Records]:
    """Of FRAME_RECORDS or a little more: an event of a book, and a correction, stay whole."""
    parts = (records["type"] == int(RecordType.DELTA)) & (records["flags"] & int(Flag.LAST) == 0)
    parts |= (records["type"] == int(RecordType.TRADE_CANCEL)) & (records["flags"] & int(Flag.CORRECTED) != 0)
    ends = np.flatnonzero(~parts) + 1
    begin = 0
    while begin < len(records):
        at = int(np.searchsorted(ends, begin + FRAME_RECORDS))
        end = int(ends[at]) if at < len(ends) else len(records)
        yield records[begin:end]
        begin = end


def _error(code: int) -> dict[str, Any]:
    return {"T": "error", "code": code, "msg": ERRORS[code]}
