"""Sustained market data over a WebSocket: `python -m bench.stream SECONDS` is the server, in a process of its own."""

import asyncio
import subprocess
import sys
import time

import msgspec
from aiohttp import web

from bench import material, served
from bench.material import T0
from bench.rig import Shell, assemble, symbols
from pyrt.clock import Now
from pyrt.ports import Subscription
from pyrt.strategies.sma_cross import SmaCross
from pyrt.venues.alpaca.feed import AlpacaFeed

INSTRUMENTS, SIZE, ROUND = 100, 50, 20_000


class Sustained(msgspec.Struct):
    """What arrived and was handled; `cpu` are the seconds that our process worked, out of `seconds`."""

    sent: int
    received: int
    seconds: float
    cpu: float


async def serve(seconds: float) -> None:
    """Send frames of trades and quotes as fast as the client reads, then print how many messages that were."""
    frames = material.frames(material.mixed(ROUND, INSTRUMENTS), "msgpack", SIZE, INSTRUMENTS)
    over: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    async def play(ws: web.WebSocketResponse) -> None:
        sent, until = 0, time.monotonic() + seconds
        while time.monotonic() < until:
            for frame in frames:
                await ws.send_bytes(frame)
            sent += ROUND
        over.set_result(sent)  # and wait: a connection that ends would be made again

    async def stream(request: web.Request) -> web.WebSocketResponse:
        ws = web.WebSocketResponse(compress=False)
        await ws.prepare(request)
        await served.listen(ws, play, ("trades", "quotes"))
        return ws

    await served.serve(stream, over)


async def receive(port: int, server: subprocess.Popen[str]) -> Sustained:
    """Take the stream through feed, decoder, books, bars and a strategy until everything that was sent is there."""
    shell = Shell(lambda body: None)
    now = Now(T0, T0)
    session = assemble(shell, [SmaCross(symbols=symbols(INSTRUMENTS), warmup=0)], now)
    count, first, last = 0, 0.0, 0.0

    def sink(records: material.Records, bars: material.Records) -> None:
        nonlocal count, first, last
        last = time.monotonic()
        first = first or last
        count += len(records)
        session.on_market(records, now)

    feed = AlpacaFeed(
        url=f"ws://127.0.0.1:{port}/v2/iex",
        key="k",
        secret="s",
        instruments=session.instruments,
        sink=sink,
        events=lambda event: None,
        clock=lambda: T0,
    )
    feed.want(Subscription(trades=frozenset(symbols(INSTRUMENTS)), quotes=frozenset(symbols(INSTRUMENTS))))
    cpu = time.process_time()
    task = asyncio.create_task(feed.run())
    try:
        assert server.stdout is not None
        sent = int(await asyncio.to_thread(server.stdout.readline))
        give_up = time.monotonic() + 30
        while count < sent and time.monotonic() < give_up:
            await asyncio.sleep(0.01)
        return Sustained(sent=sent, received=count, seconds=last - first, cpu=time.process_time() - cpu)
    finally:
        await feed.close()
        await task


def measure(seconds: float) -> Sustained:
    """One connection, one core for us and one for the server."""
    argv = [sys.executable, "-m", "bench.stream", str(seconds)]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        return asyncio.run(receive(int(server.stdout.readline()), server))


if __name__ == "__main__":
    asyncio.run(serve(float(sys.argv[1])))
