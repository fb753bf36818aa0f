"""What the venue's streams have in common: their sockets, each of them noted in the truth while it lives."""

import asyncio
import time
from collections.abc import Callable
from typing import Generic, Protocol, TypeVar

from aiohttp import web

from pyrt.venues.sim.server.floor import Floor
from pyrt.venues.sim.server.mishaps import sever
from pyrt.venues.sim.server.outbox import CLOSE_SECONDS, Outbox
from pyrt.venues.sim.server.truth import Connection, Truth

PING_SECONDS = 60.0  # between two pings; a client that does not answer within half of it is gone


class Conversation(Protocol):
    """One client's socket."""

    @property
    def entry(self) -> Connection: ...

    async def run(self) -> None: ...

    def cut(self, fault: str, how: str = "fin") -> None: ...


T = TypeVar("T", bound=Conversation)


class Hub(Generic[T]):
    """The sockets of one stream."""

    message_max = 1 << 20  # bytes of a client's message

    def __init__(self, floor: Floor, truth: Truth, *, compression: bool = False, ping_seconds: float = PING_SECONDS) -> None:
        self._floor = floor
        self._truth = truth
        self._sessions: list[T] = []
        self._compression = compression  # for clients that offer it
        self._ping_seconds = ping_seconds
        self._dead: list[T] = []  # half-open: the client hears nothing more, and the venue does not know it

    async def _converse(
        self, request: web.Request, make: Callable[[web.WebSocketResponse, Connection], T]
    ) -> web.WebSocketResponse:
        ws = web.WebSocketResponse(
            timeout=CLOSE_SECONDS, heartbeat=self._ping_seconds, compress=self._compression, max_msg_size=self.message_max
        )
        await ws.prepare(request)
        entry = self._truth.connection(request.path, self._floor.reading().now_ns, time.monotonic_ns())
        try:
            await make(ws, entry).run()
        finally:
            entry.closed_ns, entry.closed_mono_ns = self._floor.reading().now_ns, time.monotonic_ns()
            entry.code = ws.close_code or 0
        return ws

    def leave(self, session: T) -> None:
        """Forget a session; its slot is free."""
        for sessions in (self._sessions, self._dead):
            if session in sessions:
                sessions.remove(session)

    @property
    def connections(self) -> list[Connection]:
        """The record of each socket that is served now."""
        return [session.entry for session in self._sessions]

    def cut(self, fault: str, how: str = "fin", reap: float = 0.0) -> None:
        """End all connections without a close frame; `how` as in DropData, `reap`: seconds until a half-open one is closed."""
        for session in [*self._sessions, *self._dead]:
            session.cut(fault, how)
            if how == "half_open" and session not in self._dead:
                self._dead.append(session)
                asyncio.get_running_loop().call_later(reap, session.cut, fault)


def end(request: web.Request, outbox: Outbox, how: str) -> None:
    """End the connection under a socket; half_open leaves it, deaf and dumb."""
    if how != "half_open":
        sever(request.transport, how)
    elif request.transport is not None:
        outbox.silence()
        request.transport.pause_reading()
