"""The trading stream: every event of our orders, over a WebSocket that reconnects until it is closed or the keys are refused."""

import asyncio
import contextlib
import logging
import random
from collections import Counter
from collections.abc import Callable

import msgspec
from picows import (
    WSAutoPingStrategy,
    WSCloseCode,
    WSError,
    WSFrame,
    WSHandshakeError,
    WSListener,
    WSMsgType,
    WSTransport,
)

from pyrt.config import Secret, know, masked
from pyrt.errors import Misbehaved
from pyrt.ports import Sink, StreamState, TradeUpdate
from pyrt.venues.alpaca import wire
from pyrt.venues.alpaca.dial import dial
from pyrt.venues.alpaca.keys import check_url
from pyrt.venues.alpaca.lanes import deliver

log = logging.getLogger(__name__)

NAME = "trading"
_CHANNEL = "trade_updates"
_STEADY = 30.0  # s; a connection that lasted longer starts the back-off anew
_LARGEST = 16 << 20  # bytes of a message
_CONTROLS = 16  # control messages kept until the stream is up


class TradingStream:
    """A client of /stream. Events go to the sink as TradeUpdate, the state of the connection as StreamState.

    Times in s: `patience` for an answer to authenticate and listen, `ping_idle` without data before a ping, `ping_reply` (not
    longer) for its pong, `longest_pause` between two tries. Raises ConfigError for a URL that is neither sim on loopback nor
    Alpaca's paper host.
    """

    def __init__(
        self,
        *,
        url: str,
        key: Secret,
        secret: Secret,
        sink: Sink,
        patience: float = 10.0,
        ping_idle: float = 8.0,
        ping_reply: float = 8.0,
        first_pause: float = 0.5,
        longest_pause: float = 30.0,
    ) -> None:
        check_url(url)
        know(key, secret)
        self._url = url
        self._key, self._secret = key, secret
        self._sink = sink
        self._patience = patience
        self._ping = (ping_idle, ping_reply)
        self._pauses = (first_pause, longest_pause)
        self._reader = wire.Reader()
        self._counters: Counter[str] = Counter()
        self._closing = asyncio.Event()
        self._up: bool | None = None  # as last told

    @property
    def counters(self) -> dict[str, int]:
        """Connections, frames that could not be read, and names of the venue's that we did not know."""
        return dict(self._counters + self._reader.counters)

    async def run(self) -> None:
        """Connect and read until `close`, or until the keys are refused (StreamState with `final`)."""
        tries = 0
        loop = asyncio.get_running_loop()
        while not self._closing.is_set():
            begun = loop.time()
            try:
                why = await self._connect_and_read()
            except _Refused as refused:
                log.error("the trading stream refused us: %s", refused)
                self._down(str(refused), final=True)
                return
            if self._closing.is_set():
                break
            tries = 0 if loop.time() - begun > _STEADY else tries + 1
            self._down(why)
            first, longest = self._pauses
            pause = min(longest, first * 2 ** min(tries, 16)) * random.uniform(0.5, 1.0)
            log.warning("the trading stream is down: %s; next try in %.1f s", why, pause)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._closing.wait(), pause)
        self._down("closed")

    async def close(self) -> None:
        """End `run`; it returns soon after."""
        self._closing.set()

    async def _connect_and_read(self) -> str:
        """One connection, from its beginning to its end; returns why it ended. Raises _Refused."""
        listener = _Listener(self._on_message)
        try:
            transport, _ = await dial(
                lambda: listener,
                self._url,
                websocket_handshake_timeout=self._patience,
                enable_auto_ping=True,
                auto_ping_idle_timeout=self._ping[0],
                auto_ping_reply_timeout=self._ping[1],
                auto_ping_strategy=WSAutoPingStrategy.PING_WHEN_IDLE,
                max_frame_size=_LARGEST,
                max_redirects=0,
            )
        except WSHandshakeError as error:
            status = int(error.response.status) if error.response is not None else 0
            if status in (401, 403):
                raise _Refused(f"HTTP {status}") from None
            return f"the upgrade failed: HTTP {status}" if status else "the upgrade failed"
        except (OSError, WSError, TimeoutError) as error:
            return f"not connected: {type(error).__name__}"
        self._counters["connections"] += 1
        try:
            return await self._converse(listener, transport)
        finally:
            transport.send_close(WSCloseCode.OK)
            transport.disconnect()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(transport.wait_disconnected(), 1.0)
            transport.disconnect(graceful=False)  # a dead peer never takes what is left to send

    async def _converse(self, listener: "_Listener", transport: WSTransport) -> str:
        data = {"key_id": self._key.reveal(), "secret_key": self._secret.reveal()}
        _say(transport, {"action": "authenticate", "data": data})
        answer = await self._control(listener, "authorization")
        if answer is None:
            return "no answer to authenticate"
        if answer.status != "authorized":
            raise _Refused(masked(f"authentication answered {answer.status[:64] or 'nothing'}"))
        _say(transport, {"action": "listen", "data": {"streams": [_CHANNEL]}})
        answer = await self._control(listener, "listening")
        if answer is None or _CHANNEL not in answer.streams:
            return "the stream does not listen to trade updates"
        self._up = True
        deliver(self._sink, StreamState(stream=NAME, up=True))
        waits = [asyncio.ensure_future(event.wait()) for event in (self._closing, listener.ended)]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()
        return listener.why

    async def _control(self, listener: "_Listener", stream: str) -> wire.Control | None:
        """The next control frame, if it is of that stream and comes in time."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._patience):
                answer = await listener.controls.get()
                return answer if answer is not None and answer.stream == stream else None
        return None

    def _on_message(self, payload: bytes, listener: "_Listener") -> None:
        """One message; whatever is wrong with it costs only it."""
        try:
            message = self._reader.frame(payload)
        except Misbehaved as error:
            self._counters["malformed"] += 1
            log.warning("a message of the trading stream was not understood: %s", error)
            return
        if isinstance(message, TradeUpdate):
            if message.event not in wire.TRADE_EVENTS:
                log.warning("unknown event %r of order %s: passed on as it is", message.event[:64], message.order.cid)
            deliver(self._sink, message)
        elif not self._up:
            if listener.controls.qsize() < _CONTROLS:  # each is waited for with patience; a venue that floods us waits for nobody
                listener.controls.put_nowait(message)
        elif message.stream not in ("authorization", "listening"):
            self._counters["unknown streams"] += 1
            log.warning("a message of the unknown stream %r", message.stream[:64])

    def _down(self, why: str, *, final: bool = False) -> None:
        """Tell it once for each outage."""
        if self._up is not False or final:
            deliver(self._sink, StreamState(stream=NAME, up=False, text=why, final=final))
        self._up = False


class _Refused(Exception):
    """The venue does not want these keys."""


class _Listener(WSListener):
    """Joins fragments into messages; lives as long as one connection."""

    def __init__(self, on_message: Callable[[bytes, "_Listener"], None]) -> None:
        self.controls: asyncio.Queue[wire.Control | None] = asyncio.Queue()
        self.ended = asyncio.Event()
        self.why = "the connection was lost"
        self._on_message = on_message
        self._parts = bytearray()

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        kind = frame.msg_type
        if kind == WSMsgType.CLOSE:
            self.why = f"closed by the venue: {frame.get_close_code()}"
            transport.send_close(WSCloseCode.OK)
            transport.disconnect()
            return
        if kind not in (WSMsgType.TEXT, WSMsgType.BINARY, WSMsgType.CONTINUATION):
            return
        payload = frame.get_payload_as_bytes()
        if not frame.fin or self._parts:
            self._parts += payload
            if len(self._parts) > _LARGEST:
                self.why = "a message without end"
                transport.disconnect()
                return
            if not frame.fin:
                return
            payload = bytes(self._parts)
            self._parts.clear()
        self._on_message(payload, self)

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        self.controls.put_nowait(None)
        self.ended.set()


def _say(transport: WSTransport, message: dict[str, object]) -> None:
    transport.send(WSMsgType.TEXT, msgspec.json.encode(message))
