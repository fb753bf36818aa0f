"""`python -m bench.soak_tape RATE CUT`: market data at so many messages a second; its client is dropped each CUT seconds."""

import asyncio
import sys
import time
from collections.abc import Iterator

import numpy as np
from aiohttp import web

from bench import material, served
from bench.material import Records
from pyrt._core.types import RecordType, trade_dtype
from pyrt._core.wire import Encoder

SYMBOLS = ("AAPL", "AMZN", "GOOGL", "MSFT", "SPY", "TSLA")
ROUND, SIZE = 60_000, 50
TURN = 0.02  # s between sends


def encoder() -> Encoder:
    """Instruments 1 to 6 are the symbols."""
    made = Encoder("msgpack")
    for instrument, symbol in enumerate(SYMBOLS, 1):
        made.register(symbol, instrument)
    return made


def endless() -> Iterator[tuple[Records, int]]:
    """The same walk up and down again without a jump of the price, and what to add to the ids of its trades."""
    there = material.mixed(ROUND, len(SYMBOLS))
    back = there[::-1].copy()
    added = 0
    while True:
        for records in (there, back):
            yield records, added
            added += ROUND


class Tape:
    """Messages stamped when they are sent; what a slow client or machine makes late is made up for, up to a second of it."""

    def __init__(self, rate: float) -> None:
        self._rate, self._encoder, self._endless = rate, encoder(), endless()
        self._records, self._added = next(self._endless)
        self._at = 0

    def take(self, count: int) -> list[bytes]:
        """The next messages, as frames."""
        if self._at + count > len(self._records):
            self._records, self._added = next(self._endless)
            self._at = 0
        records = self._records[self._at : self._at + count].copy()
        self._at += count
        records["ts_event"] = time.time_ns() - np.arange(len(records), 0, -1)
        prints = records.view(trade_dtype)
        prints["trade_id"][records["type"] == RecordType.TRADE] += self._added
        return [self._encoder.encode(records[i : i + SIZE]) for i in range(0, len(records), SIZE)]

    async def play(self, ws: web.WebSocketResponse, seconds: float) -> None:
        """Send to a client for so long."""
        begun = time.monotonic()
        sent = 0.0
        while (now := time.monotonic() - begun) < seconds:
            due = int(now * self._rate - sent)
            count = min(due, int(self._rate * TURN * 2))
            for frame in self.take(count) if count else ():
                await ws.send_bytes(frame)
            sent += count
            sent = max(sent, (now - 1.0) * self._rate)
            await asyncio.sleep(TURN if count == due else 0)


async def serve(rate: float, cut: float) -> None:
    """Print the port, then serve until standard input ends."""
    tape, turn = Tape(rate), 0

    async def stream(request: web.Request) -> web.WebSocketResponse:
        nonlocal turn
        ws = web.WebSocketResponse(compress=False)
        await ws.prepare(request)
        listener = asyncio.create_task(served.listen(ws, lambda ws: tape.play(ws, cut)))
        await asyncio.wait([listener], timeout=cut)
        listener.cancel()
        await asyncio.gather(listener, return_exceptions=True)
        turn += 1
        if request.transport is not None:
            if turn % 2:
                request.transport.abort()  # RST where bytes wait
            else:
                request.transport.close()
        return ws

    await served.serve(stream)


if __name__ == "__main__":
    asyncio.run(serve(float(sys.argv[1]), float(sys.argv[2])))
