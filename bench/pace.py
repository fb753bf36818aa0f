"""`python -m bench.pace KIND RATE SECONDS`: quotes sent when they are due, whatever the client does, each stamped with that time.

A client that falls behind finds the delay in its figures (no coordinated omission). KIND is `steady`, or `bursts`: a quarter of
each second's quotes within 5 ms, as when a market opens.
"""

import asyncio
import sys
import time
from collections.abc import Iterator

import msgspec
from aiohttp import WSMsgType, web

from bench.soak_tape import encoder, endless
from pyrt._core.types import RecordType

LEAD = 2.0  # s from the subscription to the first quote
BURST, WITHIN = 0.25, 0.005
SPIN = 100_000  # ns before a frame is due from which the clock is watched


def schedule(kind: str, rate: float, seconds: float) -> list[int]:
    """ns from the beginning at which each quote is due."""
    if kind == "steady":
        return [int(k * 1e9 / rate) for k in range(int(rate * seconds))]
    due: list[int] = []
    crowd, rest = int(rate * BURST), int(rate * (1 - BURST))
    for second in range(int(seconds)):
        due += [int((second + k * WITHIN / crowd) * 1e9) for k in range(crowd)]
        due += [int((second + WITHIN + k * (1 - WITHIN) / rest) * 1e9) for k in range(rest)]
    return due


def quotes() -> Iterator[bytes]:
    """Records of single quotes without end."""
    for records, _ in endless():
        for at in (records["type"] == RecordType.QUOTE).nonzero()[0].tolist():
            yield records[at : at + 1].copy()


async def play(ws: web.WebSocketResponse, kind: str, rate: float, seconds: float) -> None:
    """Send each quote in a frame of its own when it is due."""
    offsets, told, source = schedule(kind, rate, seconds), encoder(), quotes()
    begun = time.monotonic_ns() + int(LEAD * 1e9)
    wall = time.time_ns() - time.monotonic_ns()
    for offset in offsets:
        record = next(source)
        due = begun + offset
        record["ts_event"] = due + wall
        frame = told.encode(record)
        while (ahead := due - time.monotonic_ns()) > 0:
            if ahead > SPIN:
                await asyncio.sleep((ahead - SPIN) / 1e9)
        await ws.send_bytes(frame)


async def serve(kind: str, rate: float, seconds: float) -> None:
    """Print the port, then serve one client until standard input ends."""

    async def stream(request: web.Request) -> web.WebSocketResponse:
        ws = web.WebSocketResponse(compress=False)
        await ws.prepare(request)
        await ws.send_bytes(msgspec.msgpack.encode([{"T": "success", "msg": "connected"}]))
        held: dict[str, list[str]] = {}
        player: asyncio.Task[None] | None = None
        while (message := await ws.receive()).type == WSMsgType.BINARY:
            asked = msgspec.msgpack.decode(message.data)
            if asked["action"] == "auth":
                await ws.send_bytes(msgspec.msgpack.encode([{"T": "success", "msg": "authenticated"}]))
                continue
            held |= {name: symbols for name, symbols in asked.items() if isinstance(symbols, list)}
            await ws.send_bytes(msgspec.msgpack.encode([{"T": "subscription", **held}]))
            player = player or asyncio.create_task(play(ws, kind, rate, seconds))
        return ws

    app = web.Application()
    app.router.add_get("/v2/iex", stream)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    assert site._server is not None
    print(site._server.sockets[0].getsockname()[1], flush=True)  # type: ignore[attr-defined]
    await asyncio.to_thread(sys.stdin.read)
    await runner.cleanup()


if __name__ == "__main__":
    asyncio.run(serve(sys.argv[1], float(sys.argv[2]), float(sys.argv[3])))
