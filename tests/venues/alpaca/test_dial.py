"""A connection that is given up while it is made is gone, whatever the venue answers then."""

import asyncio
import base64
import gc
import hashlib
import socket
import warnings
from collections.abc import Callable
from contextlib import ExitStack

import pytest
from picows import WSListener
from tests.venues.alpaca.test_feed import KEY, SECRET, instruments, until

from pyrt.venues.alpaca.dial import dial
from pyrt.venues.alpaca.feed import AlpacaFeed

pytestmark = pytest.mark.row("X08")

GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455, 1.3


class Slow:
    """A venue that answers the upgrade when it is told to."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()
        self.answer = asyncio.Event()
        self.ended = asyncio.Event()

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        [key] = [line.split(b":", 1)[1].strip() for line in head.split(b"\r\n") if line.lower().startswith(b"sec-websocket-key:")]
        self.asked.set()
        await self.answer.wait()
        accept = base64.b64encode(hashlib.sha1(key + GUID).digest())
        writer.write(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n")
        writer.write(b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n")
        try:
            await reader.read()
        except ConnectionError:
            pass
        finally:
            writer.close()
        self.ended.set()


@pytest.mark.parametrize("answered_first", [True, False])
@pytest.mark.parametrize("who", ["dial", "feed"])
def test_a_connection_that_is_given_up_before_its_upgrade_ends(who: str, answered_first: bool) -> None:
    async def body() -> None:
        venue = Slow()
        server = await asyncio.start_server(venue.handle, "127.0.0.1", 0)
        url = f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/v2/iex"
        feed = AlpacaFeed(
            url=url,
            key=KEY,
            secret=SECRET,
            instruments=instruments(),
            sink=lambda r, b: None,
            events=lambda e: None,
            clock=lambda: 1,
        )
        task = asyncio.create_task(dial(WSListener, url) if who == "dial" else feed.run())  # type: ignore[arg-type]
        await venue.asked.wait()
        if answered_first:  # the answer is on its way while we give up
            venue.answer.set()
        if who == "dial":
            task.cancel()
        else:
            await feed.close()
        await asyncio.gather(task, return_exceptions=True)
        venue.answer.set()
        await until(venue.ended.is_set, 10.0)  # its own pings would end it after 16 s, were they not answered
        server.close()
        await server.wait_closed()

    with warnings.catch_warnings():
        warnings.simplefilter("error", ResourceWarning)
        asyncio.run(body())
        gc.collect()


def refusing(stack: ExitStack) -> tuple[str, int]:
    closed = stack.enter_context(socket.socket())
    closed.bind(("127.0.0.2", 0))
    at: tuple[str, int] = closed.getsockname()
    return at


def silent(stack: ExitStack) -> tuple[str, int]:
    """One whose queue is full: it answers nothing."""
    full = stack.enter_context(socket.socket())
    full.bind(("127.0.0.2", 0))
    full.listen(0)
    for _ in range(4):
        waiting = stack.enter_context(socket.socket())
        waiting.setblocking(False)
        waiting.connect_ex(full.getsockname())
    at: tuple[str, int] = full.getsockname()
    return at


@pytest.mark.parametrize("bad", [refusing, silent])
def test_an_address_that_refuses_or_says_nothing_gives_way_to_the_next(
    monkeypatch: pytest.MonkeyPatch, bad: Callable[[ExitStack], tuple[str, int]]
) -> None:
    monkeypatch.setattr("pyrt.venues.alpaca.dial.PATIENCE", 0.2)

    async def body() -> None:
        venue = Slow()
        server = await asyncio.start_server(venue.handle, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        with ExitStack() as stack:
            at = bad(stack)

            async def both(*_: object, **__: object) -> list[tuple[object, ...]]:
                return [(socket.AF_INET, socket.SOCK_STREAM, 0, "", address) for address in (at, ("127.0.0.1", port))]

            monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", both)
            venue.answer.set()
            transport, _ = await dial(WSListener, f"ws://venue.example:{port}/")
        transport.disconnect(graceful=False)
        await until(venue.ended.is_set)
        server.close()
        await server.wait_closed()

    asyncio.run(body())
