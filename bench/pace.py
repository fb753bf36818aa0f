"""`python -m bench.pace KIND RATE SECONDS`: quotes sent when they are due, whatever the client does, each stamped with that time.

A client that falls behind finds the delay in its figures (no coordinated omission). KIND is `steady`, or `bursts`: a quarter of
each second's quotes within 5 ms, as when a market opens.
"""

import asyncio
import sys
import time
from collections.abc import Iterator

from aiohttp import web

from bench import served
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
        await served.listen(ws, lambda ws: play(ws, kind, rate, seconds))
        return ws

    await served.serve(stream)


if __name__ == "__main__":
    asyncio.run(serve(sys.argv[1], float(sys.argv[2]), float(sys.argv[3])))
