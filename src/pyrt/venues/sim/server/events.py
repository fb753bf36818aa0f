"""GET /v2/events/trades: trade updates as server-sent events, those of the past first where they are asked for."""

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import msgspec
from aiohttp import web

from pyrt.venues.alpaca.wire import parse_time
from pyrt.venues.sim.server import api
from pyrt.venues.sim.server.api import ASKED, Route
from pyrt.venues.sim.server.edge import ACCOUNT, BadRequest
from pyrt.venues.sim.server.floor import Floor
from pyrt.venues.sim.times import format_time

KEPT = 100_000  # events in memory, over all accounts; older ones are gone
WAITING = 10_000  # events that may wait for one reader
HEARTBEAT = 10.0  # real seconds between comments
LOOK = 0.2  # real seconds after which a stream that ends at an instant looks at the clock

_DIGITS = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_QUERY = (api.time("since"), api.time("until"), api.text("since_id"), api.text("until_id"))


class Event(NamedTuple):
    """One update as it is sent."""

    id: str  # ULID
    at: int  # ns UTC
    account: str
    line: bytes


class Ask(NamedTuple):
    """What a reader wants; None = not asked for. All four are included."""

    since: int | None
    until: int | None
    since_id: str | None
    until_id: str | None

    @property
    def of_the_past(self) -> bool:
        """Whether what was is wanted too."""
        return self.since is not None or self.since_id is not None

    def is_over(self, event: Event) -> bool:
        """Whether the event comes after all that is wanted."""
        return (self.until is not None and event.at > self.until) or (self.until_id is not None and event.id > self.until_id)

    def has_begun(self, event: Event) -> bool:
        """Whether the event does not come before all that is wanted."""
        return event.at >= (self.since or 0) and event.id >= (self.since_id or "")


class Reader:
    """One open stream."""

    def __init__(self, account: str) -> None:
        self.account = account
        self.events: deque[Event] = deque()
        self.dropped = 0
        self.wake = asyncio.Event()

    def put(self, event: Event) -> None:
        """Let it wait; a reader that is too slow loses the newest, and is told."""
        if len(self.events) < WAITING:
            self.events.append(event)
        else:
            self.dropped += 1
        self.wake.set()

    def take(self) -> Iterator[Event]:
        """What waits."""
        while self.events:
            yield self.events.popleft()


class TradeEvents:
    """The updates of this life of the venue, and who reads them."""

    def __init__(self, floor: Floor) -> None:
        self._floor = floor
        self._kept: deque[Event] = deque(maxlen=KEPT)
        self._count = 0
        self._latest = 0  # ns UTC; ids never go back
        self._readers: list[Reader] = []
        self._closed = False
        floor.on_updates.append(self.publish)

    def routes(self) -> list[Route]:
        """Every path and method."""
        return [Route("GET", "/v2/events/trades", self.serve, query=_QUERY)]

    def publish(self, updates: Sequence[tuple[str, dict[str, Any]]]) -> None:
        """Keep and pass on."""
        for account, data in updates:
            self._count += 1
            at = parse_time(data["timestamp"]) if data.get("timestamp") else self._floor.now
            self._latest = max(self._latest, at)
            id_ = ulid(self._latest, self._count)
            line = msgspec.json.encode({**data, "at": format_time(at), "event_id": id_})
            event = Event(id_, at, account, b"data: " + line + b"\n\n")
            self._kept.append(event)
            for reader in self._readers:
                if reader.account == account:
                    reader.put(event)

    async def close(self, app: web.Application) -> None:
        """End all streams."""
        self._closed = True
        for reader in self._readers:
            reader.wake.set()

    async def serve(self, request: web.Request) -> web.StreamResponse:
        """GET /v2/events/trades: text/event-stream, until the client goes or the end that it asked for is reached."""
        ask = _understood(request[ASKED])
        self._floor.catch_up()
        reader = Reader(request[ACCOUNT])
        past = [event for event in self._kept if event.account == reader.account] if ask.of_the_past else []
        self._readers.append(reader)
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream", "Cache-Control": "no-cache"})
        try:
            await response.prepare(request)
            for event in past:
                if ask.is_over(event):
                    return response
                if ask.has_begun(event):
                    await response.write(event.line)
            await self._follow(response, reader, ask)
        finally:
            self._readers.remove(reader)
        return response

    async def _follow(self, response: web.StreamResponse, reader: Reader, ask: Ask) -> None:
        beat = time.monotonic() + HEARTBEAT
        while not self._closed:
            over = ask.until is not None and self._floor.reading().now_ns > ask.until
            reader.wake.clear()
            for event in reader.take():
                if ask.is_over(event):
                    return
                await response.write(event.line)
            if reader.dropped:
                dropped, reader.dropped = reader.dropped, 0
                await response.write(b": you are reading too slowly, dropped %d messages\n\n" % dropped)
            if over or (ask.until_id is not None and self._is_past(ask.until_id)):
                return
            if time.monotonic() >= beat:
                beat = time.monotonic() + HEARTBEAT
                await response.write(b": heartbeat\n\n")
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(reader.wake.wait(), LOOK if ask.until is not None else HEARTBEAT)

    def _is_past(self, id_: str) -> bool:
        return bool(self._kept) and self._kept[-1].id >= id_


def _understood(asked: dict[str, Any]) -> Ask:
    ask = Ask(**asked)
    if ask.until is not None and ask.since is None:
        raise BadRequest("since is required if until is specified")
    if ask.until_id is not None and ask.since_id is None:
        raise BadRequest("since_id is required if until_id is specified")
    if ask.since is not None and ask.since_id is not None:
        raise BadRequest("since and since_id can't be used at the same time")
    for id_ in (ask.since_id, ask.until_id):
        if id_ is not None and (len(id_) != 26 or not set(id_.upper()) <= set(_DIGITS)):
            raise BadRequest(f"{id_} is not a ULID")
    return ask._replace(since_id=ask.since_id and ask.since_id.upper(), until_id=ask.until_id and ask.until_id.upper())


def ulid(at: int, count: int) -> str:
    """26 digits that sort by time, then by count: 48 bits of milliseconds, 80 of the count."""
    number = (at // 1_000_000 << 80) | count
    return "".join(_DIGITS[number >> shift & 31] for shift in range(125, -1, -5))
