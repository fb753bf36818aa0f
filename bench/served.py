"""A data stream that a bench serves from a process of its own: a port on loopback, until standard input ends."""

import asyncio
import sys
from collections.abc import Awaitable, Callable, Collection, Coroutine
from typing import Any

import msgspec
from aiohttp import WSMsgType, web

Stream = Callable[[web.Request], Awaitable[web.StreamResponse]]
Play = Callable[[web.WebSocketResponse], Coroutine[Any, Any, None]]


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


async def listen(ws: web.WebSocketResponse, play: Play, wanted: Collection[str] = ()) -> None:
    """Welcome a client and answer it until it is gone; play to it from when it has first subscribed, to all of `wanted`."""
    await _tell(ws, {"T": "success", "msg": "connected"})
    held: dict[str, list[str]] = {}
    player: asyncio.Task[None] | None = None
    try:
        while (message := await ws.receive()).type in (WSMsgType.BINARY, WSMsgType.TEXT):
            asked = (msgspec.msgpack if message.type == WSMsgType.BINARY else msgspec.json).decode(message.data)
            if asked["action"] == "auth":
                await _tell(ws, {"T": "success", "msg": "authenticated"})
                continue
            held |= {name: symbols for name, symbols in asked.items() if isinstance(symbols, list)}
            await _tell(ws, {"T": "subscription", **held})
            if all(held.get(name) for name in wanted):
                player = player or asyncio.create_task(play(ws))
    finally:
        if player is not None:
            player.cancel()
            await asyncio.gather(player, return_exceptions=True)


async def _tell(ws: web.WebSocketResponse, message: dict[str, Any]) -> None:
    await ws.send_bytes(msgspec.msgpack.encode([message]))
