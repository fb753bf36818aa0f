"""A data stream that a bench serves from a process of its own: a port on loopback, until standard input ends."""

import asyncio
import sys
from collections.abc import Awaitable, Callable

from aiohttp import web

Stream = Callable[[web.Request], Awaitable[web.StreamResponse]]


async def serve(stream: Stream, result: Awaitable[int] | None = None) -> None:
    """Print the port; then the result, when it is there."""
    app = web.Application()
    app.router.add_get("/v2/iex", stream)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    assert site._server is not None
    print(site._server.sockets[0].getsockname()[1], flush=True)  # type: ignore[attr-defined]
    if result is not None:
        print(await result, flush=True)
    await asyncio.to_thread(sys.stdin.read)
    await runner.cleanup()
