"""What the venue's streams have in common: their sockets, each of them noted in the truth while it lives."""

import time
from collections.abc import Callable
from typing import Generic, Protocol, TypeVar

from aiohttp import web

from pyrt.venues.sim.server.floor import Floor
from pyrt.venues.sim.server.outbox import CLOSE_SECONDS
from pyrt.venues.sim.server.truth import Connection, Truth

PING_SECONDS = 60.0  # between two pings; a client that does not answer within half of it is gone


class Conversation(Protocol):
    """One client's socket."""

    async def run(self) -> None: ...

    def cut(self, fault: str) -> None: ...


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
        if session in self._sessions:
            self._sessions.remove(session)

    def cut(self, fault: str) -> None:
        """End all connections without a close frame."""
        for session in self._sessions.copy():
            session.cut(fault)
