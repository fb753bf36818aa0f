"""A WebSocket connection whose socket is ours from the first moment: given up, it is gone."""

import asyncio
import socket
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from picows import WSListener, WSTransport, ws_connect
from picows.url import WSParsedURL

# s for one address: the first of its packets may be lost, and the second, and the feed as a whole waits ten.
# The system itself waits two minutes for one that says nothing.
PATIENCE = 4.0


async def dial(listener: Callable[[], WSListener], url: str, **options: Any) -> tuple[WSTransport, WSListener]:
    """As picows.ws_connect, whose errors it raises; cancelled or out of time, it leaves no connection behind.

    picows lets go of a connection whose upgrade is under way when somebody cancels: answered later, it would live on, unknown.
    """
    made: list[socket.socket] = []

    async def connected(at: WSParsedURL) -> socket.socket:
        made.append(await _connected(str(at.host), int(at.port)))
        return made[-1]

    try:
        return await ws_connect(listener, url, socket_factory=connected, **options)
    except BaseException:
        for own in made:  # its transport sees the end, and closes it
            with suppress(OSError):
                own.shutdown(socket.SHUT_RDWR)
        raise


async def _connected(host: str, port: int) -> socket.socket:
    """A socket to the first address that answers. Raises OSError, of the last one."""
    loop = asyncio.get_running_loop()
    problem: OSError | None = None
    for family, kind, protocol, _, address in await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM):
        own = socket.socket(family, kind, protocol)
        try:
            own.setblocking(False)
            async with asyncio.timeout(PATIENCE):
                await loop.sock_connect(own, address)
            return own
        except BaseException as e:
            own.close()
            if not isinstance(e, OSError):
                raise
            problem = e
    raise problem or OSError(f"{host} has no address")
