"""Frames on their way to one client: bounded, written by one task, so that nobody waits for a slow reader."""

import asyncio
import contextlib
from collections import deque

from aiohttp import WSMsgType, web

FULL = 16 << 20  # bytes waiting for one client before it counts as slow
CLOSE_SECONDS = 2.0  # for the closing handshake
LOW = 1 << 20  # bytes below which a market without a clock goes on


class Outbox:
    """`put` never blocks; `run` writes until the socket closes."""

    def __init__(self, ws: web.WebSocketResponse, full: int = FULL) -> None:
        self._ws = ws
        self._full = full
        self._frames: deque[tuple[bytes, WSMsgType]] = deque()
        self._wake = asyncio.Event()
        self._drained = asyncio.Event()
        self._drained.set()
        self._closing: int = 0
        self._silent = False
        self.waiting = 0  # bytes

    def put(self, frame: bytes, kind: WSMsgType) -> bool:
        """Queue a frame; False when too much waits: the caller decides what then."""
        if self._closing or self._silent:
            return True
        if self.waiting + len(frame) > self._full:
            return False
        self._frames.append((frame, kind))
        self.waiting += len(frame)
        if self.waiting > LOW:
            self._drained.clear()
        self._wake.set()
        return True

    def close(self, code: int, last: tuple[bytes, WSMsgType] | None = None, *, discard: bool = False) -> None:
        """Close the socket after what waits, or with `discard` after `last` alone."""
        if discard:
            self._frames.clear()
            self.waiting = 0
        if last is not None:
            self._frames.append(last)
            self.waiting += len(last[0])
        self._closing = code
        self._wake.set()

    def silence(self) -> None:
        """Take frames and write none, those that wait included."""
        self._silent = True
        self._frames.clear()
        self.waiting = 0
        self._drained.set()

    async def drained(self) -> None:
        """Wait until little is left to write."""
        await self._drained.wait()

    async def end(self, writer: asyncio.Task[None]) -> None:
        """Let `run`, whose task this is, finish the closing handshake; a client that does not answer is not waited for long."""
        await asyncio.wait({writer}, timeout=CLOSE_SECONDS)
        writer.cancel()
        await asyncio.gather(writer, return_exceptions=True)

    async def run(self) -> None:
        """Write frames in order; ends with the socket or after `close`."""
        try:
            while True:
                while self._frames:
                    frame, kind = self._frames.popleft()
                    await self._ws.send_frame(frame, kind)
                    self.waiting -= len(frame)
                    if self.waiting <= LOW:
                        self._drained.set()
                if self._closing:
                    # The reader ends as soon as this begins: whoever waits for this task must let it finish.
                    await self._ws.close(code=self._closing)
                    return
                self._wake.clear()
                await self._wake.wait()
        except ConnectionError:
            return
        finally:
            self._drained.set()
            with contextlib.suppress(ConnectionError):
                if not self._ws.closed:
                    await self._ws.close()
