"""WebSocket frames of 120 bytes off a loopback socket, server in a process of its own; CPU of the client's thread, kernel included.

Each contender has its connection and its event loop; a round asks for the frames and counts them. What is promised of ours is
picows' cost, which it is built on: no copy, and little beside.
"""

import asyncio
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import ExitStack
from typing import Any

from bench.limits import limit
from bench.rows import Contender, Row, Took
from pyrt._core.frames import Frames

N, SIZE = 20_000, 120
SUM = sum(i & 255 for i in range(N))
Receive = Callable[[], Coroutine[Any, Any, int]]
Close = Callable[[], object]
Connect = Callable[[str], Coroutine[Any, Any, tuple[Receive, Close]]]


def rows() -> Iterator[Row]:
    argv = [sys.executable, "-m", "bench.flood", str(N), str(SIZE)]
    with ExitStack() as stack:
        server = stack.enter_context(subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True))
        assert server.stdout is not None
        assert server.stdin is not None
        stack.callback(server.stdin.close)
        port = int(server.stdout.readline())
        bare = stack.enter_context(connect(port))
        c = limit("websocket")
        contenders = [
            client(stack, "Frames (our feed)", "ours", port, ours),
            Contender("C, recv and walk", "limit", lambda: timed(lambda: int(c.receive(bare.fileno(), N))), clock="own"),
            *(client(stack, name, "peer", port, made) for name, made in PEERS.items()),
        ]
        yield Row("websocket.receive", f"receive a WebSocket frame of {SIZE} bytes", "ns", N, tuple(contenders))


def connect(port: int) -> socket.socket:
    s = socket.create_connection(("127.0.0.1", port))
    head = "GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
    s.sendall(f"{head}Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n".encode())
    answer = b""
    while not answer.endswith(b"\r\n\r\n"):
        answer += s.recv(1)
    return s


def timed(run: Callable[[], int]) -> Took:
    begun = time.thread_time_ns()
    total = run()
    return Took((time.thread_time_ns() - begun) / 1e9, total)


def client(stack: ExitStack, name: str, kind: Any, port: int, made: Connect) -> Contender:
    loop = asyncio.new_event_loop()
    stack.callback(loop.close)
    try:
        receive, close = loop.run_until_complete(made(f"ws://127.0.0.1:{port}/"))
    except ImportError:
        return Contender(name, kind, None)
    stack.callback(lambda: loop.run_until_complete(ended(close)))
    return Contender(name, kind, lambda: timed(lambda: loop.run_until_complete(receive())), clock="own")


async def ended(close: Close) -> None:
    waits = close()
    if asyncio.iscoroutine(waits):
        await waits
    await asyncio.sleep(0)


class Count:
    """Payloads whose first byte is added up, until there were N."""

    def __init__(self) -> None:
        self.n = self.sum = 0
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def take(self, payload: Any) -> None:
        self.n += 1
        self.sum += payload[0]
        if self.n == N:
            self.done.set_result(None)

    async def whole(self) -> int:
        await self.done
        total, self.n, self.sum = self.sum, 0, 0
        self.done = asyncio.get_running_loop().create_future()
        return total


async def ours(url: str) -> tuple[Receive, Close]:
    from picows import WSMsgType, ws_connect

    count = Count()
    ended = asyncio.get_running_loop().create_future()
    transport, _ = await ws_connect(lambda: Frames(count.take, 1 << 20, ended), url)

    async def receive() -> int:
        transport.send(WSMsgType.BINARY, b"\x01")
        return await count.whole()

    return receive, lambda: transport.disconnect(False)


async def picows(url: str) -> tuple[Receive, Close]:
    from picows import WSFrame, WSListener, WSMsgType, WSTransport, ws_connect

    count = Count()

    class Listener(WSListener):
        def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
            count.take(frame.get_payload_as_memoryview())

    transport, _ = await ws_connect(Listener, url)

    async def receive() -> int:
        transport.send(WSMsgType.BINARY, b"\x01")
        return await count.whole()

    return receive, lambda: transport.disconnect(False)


async def aiohttp(url: str) -> tuple[Receive, Close]:
    import aiohttp as peer

    session = peer.ClientSession()
    ws = await session.ws_connect(url)

    async def receive() -> int:
        await ws.send_bytes(b"\x01")
        total = 0
        for _ in range(N):
            total += (await ws.receive()).data[0]
        return total

    return receive, session.close


async def websockets(url: str) -> tuple[Receive, Close]:
    from websockets.asyncio.client import connect as dial

    ws = await dial(url, compression=None, max_queue=None, ping_interval=None)

    async def receive() -> int:
        await ws.send(b"\x01")
        total = 0
        for _ in range(N):
            total += (await ws.recv())[0]
        return total

    return receive, ws.close


PEERS: dict[str, Connect] = {"picows": picows, "aiohttp": aiohttp, "websockets": websockets}
assert SIZE < 126
