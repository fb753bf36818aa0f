"""Connections that die without a word under a session that trades: how soon it is seen and healed, and what is left over."""

import asyncio
import os
import signal
import socket
import struct
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.e2e.faults.processes import Child
from tests.e2e.faults.scenario import Life
from tests.e2e.processes import Venue

from pyrt.live.control_socket import ask

DOWN = {"data": "data stream: ", "trading": "the trading stream is down"}
BACK = {"data": "the data stream is back", "trading": "the trading stream is back"}
FILLED = ("were filled from history", "loss missed no trade")
LONG = 150.0  # s, that a stream may be away
REAPED = "half-open at both ends"  # takes as long as the venue keeps a dead connection, 90 s


class Proxy:
    """A port in front of the venue; connections can be frozen for ever (half open, no FIN, no RST) or reset."""

    def __init__(self, port: int) -> None:
        self._target = port
        self._open: set[tuple[asyncio.StreamWriter, asyncio.StreamWriter]] = set()
        self._frozen: set[asyncio.Task[None]] = set()
        self._relays: set[asyncio.Task[None]] = set()
        self._deaf = self._venue_too = False
        self._ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), daemon=True)
        self._thread.start()
        self._ready.wait()

    async def _serve(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        self._ready.set()
        await self._stop.wait()
        server.close()
        tasks = self._relays | self._frozen
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._deaf:
            self._frozen.add(asyncio.ensure_future(_hold(writer)))
            return
        try:
            there, out = await asyncio.open_connection("127.0.0.1", self._target)
        except OSError:
            writer.transport.abort()
            return
        pair = (writer, out)
        self._open.add(pair)
        task = asyncio.ensure_future(self._relay(reader, writer, there, out, pair))
        self._relays.add(task)
        task.add_done_callback(self._relays.discard)

    async def _relay(self, reader: Any, writer: Any, there: Any, out: Any, pair: Any) -> None:
        try:
            both = [asyncio.ensure_future(_pump(reader, out)), asyncio.ensure_future(_pump(there, writer))]
            try:
                await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for task in both:
                    task.cancel()
                await asyncio.gather(*both, return_exceptions=True)
        except asyncio.CancelledError:
            if self._stop.is_set():
                raise
            if not self._venue_too:
                out.transport.abort()
            await _hold(writer, out)  # frozen: no end, no reset; nothing passes any more
        finally:
            self._open.discard(pair)
            for end in (writer, out):
                end.transport.abort()

    def freeze(self, venue_too: bool = False) -> None:
        """What is open now never moves again, and new connections are accepted and not heard, until `thaw`.

        venue_too: the venue believes that its connections live, and refuses others in their place until it has reaped them.
        """
        self._venue_too = venue_too
        self._loop.call_soon_threadsafe(self._freeze)

    def _freeze(self) -> None:
        self._deaf = True
        for task in list(self._relays):
            task.cancel()

    def thaw(self) -> None:
        """New connections work again."""
        self._loop.call_soon_threadsafe(setattr, self, "_deaf", False)

    def reset(self) -> None:
        """RST on every connection."""
        self._loop.call_soon_threadsafe(self._reset)

    def _reset(self) -> None:
        for writer, out in list(self._open):
            for end in (writer, out):
                sock = end.transport.get_extra_info("socket")
                with suppress(OSError):
                    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                end.transport.abort()

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while data := await reader.read(1 << 16):
            writer.write(data)
            await writer.drain()


async def _hold(*writers: asyncio.StreamWriter) -> None:
    try:
        await asyncio.sleep(3600)
    finally:
        for writer in writers:
            writer.transport.abort()


@dataclass
class Drills:
    """What a run of drills took and left."""

    trials: int = 0
    seen: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))  # kind -> s until it was noticed
    healed: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))  # kind -> s until data flows again
    resources: list[tuple[int, int]] = field(default_factory=list)  # descriptors, threads after each
    violations: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        kinds = "; ".join(
            f"{kind} seen <= {max(self.seen[kind]):.1f} s, healed <= {max(self.healed[kind]):.1f} s" for kind in sorted(self.seen)
        )
        left = f"descriptors, threads {self.resources[:1]} -> {self.resources[-1:]}"
        return f"{self.trials} drills, {len(self.violations)} violations; {kinds}; {left}"


class Drill:
    """Faults of connections on one session, one after the other."""

    def __init__(self, it: Life, run: Child, venue: Venue, proxy: Proxy) -> None:
        self.it, self.run, self.venue, self.proxy = it, run, venue, proxy
        self.drills = Drills()
        self._kinds: dict[str, tuple[tuple[str, ...], Callable[[], None], Callable[[], None]]] = {
            "frozen venue": (("data", "trading"), self._stop, self._go),
            "half-open": (("data", "trading"), proxy.freeze, proxy.thaw),
            REAPED: (("data", "trading"), lambda: proxy.freeze(venue_too=True), proxy.thaw),
            "reset": (("data", "trading"), proxy.reset, lambda: None),
            "muted data": (("data",), lambda: venue.fault("mute_data", seconds=600, present=True), venue.disarm),
            "dropped stream": (("trading",), lambda: venue.fault("drop_stream", how="rst"), lambda: None),
        }

    @property
    def kinds(self) -> list[str]:
        return [kind for kind in self._kinds if kind != REAPED]

    def once(self, kind: str) -> None:
        """One fault: wait until it is seen, take it back, wait until all is well."""
        streams, begin, end = self._kinds[kind]
        before = {s: (self._said(DOWN[s]), self._said(BACK[s])) for s in streams}
        filled = self._filled()
        begun = time.monotonic()
        begin()
        self.run.until(lambda: all(self._said(DOWN[s]) > before[s][0] for s in streams), f"{kind} to be seen", LONG)
        self.drills.seen[kind].append(time.monotonic() - begun)
        end()
        begun = time.monotonic()
        self.run.until(lambda: all(self._said(BACK[s]) > before[s][1] for s in streams), f"{kind}: streams to be back", LONG)
        quotes = self.quotes()
        self.run.until(lambda: self.quotes() > quotes, f"{kind}: market data")
        if streams == ("data",):
            self.run.until(lambda: self._filled() > filled, f"{kind}: what was missed to be filled")
        self.drills.healed[kind].append(time.monotonic() - begun)
        self.drills.trials += 1
        assert self.run.ended() is None, self.run.log[-3000:]
        self.drills.resources.append((_count(self.run.pid, "fd"), _count(self.run.pid, "task")))

    def _said(self, text: str) -> int:
        return self.run.log.count(text)

    def _filled(self) -> int:
        return sum(self._said(text) for text in FILLED)

    def quotes(self) -> int:
        told = ask(self.it.home, verb="status")
        return 0 if told is None else int(told["figures"]["counts"]["messages"])

    def _stop(self) -> None:
        os.kill(self.venue.pid, signal.SIGSTOP)

    def _go(self) -> None:
        os.kill(self.venue.pid, signal.SIGCONT)


def _count(pid: int, what: str) -> int:
    return len(list(Path(f"/proc/{pid}/{what}").iterdir()))
