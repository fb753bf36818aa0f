"""One WebSocket connection: whole messages out of frames, and why it ended."""

import asyncio
import socket
from collections.abc import Callable
from contextlib import suppress

from picows import WSCloseCode, WSFrame, WSListener, WSMsgType, WSTransport

# Members of an enum are looked up through its class, at more than the cost of a call.
_BINARY, _TEXT = WSMsgType.BINARY, WSMsgType.TEXT
_DATA = frozenset((_BINARY, _TEXT, WSMsgType.CONTINUATION))
_LARGEST_CONTROL = 125


class Frames(WSListener):
    """Hands each message to `on_message` without a copy; the buffer is valid until that returns."""

    def __init__(self, on_message: Callable[[memoryview | bytearray], None], max_message: int) -> None:
        self.lost: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self.failure: Exception | None = None  # what on_message raised
        self._on_message = on_message
        self._max = max_message
        self._parts: bytearray | None = None
        self._reason = "connection lost"

    def on_ws_connected(self, transport: WSTransport) -> None:
        """Small messages leave at once."""
        self.transport = transport
        plain = transport.underlying_transport.get_extra_info("socket")
        with suppress(OSError):
            plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        """A frame came; called by picows for each."""
        # A frame's kind is made into an enum member, which costs half of what picows does for the frame: control
        # frames are small (RFC 6455, 5.5), so a large one that is whole needs no asking.
        whole = frame.fin and self._parts is None
        kind = _BINARY if whole and frame.payload_size > _LARGEST_CONTROL else frame.msg_type
        if whole and (kind is _BINARY or kind is _TEXT):
            if self.failure is None:
                try:
                    self._on_message(frame.get_payload_as_memoryview())
                except Exception as e:
                    self._fail(e)
        elif kind in _DATA:
            self._join(frame)
        elif kind is WSMsgType.CLOSE:
            code = frame.get_close_code()
            self._reason = f"closed by the venue ({code})"
            transport.send_close(WSCloseCode.OK)
            transport.disconnect()

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        """The connection ended, from whichever side."""
        if not self.lost.done():
            self.lost.set_result(self._reason)

    def end(self, reason: str, *, graceful: bool = True) -> None:
        """End it from here; `lost` follows."""
        self._reason = reason
        if graceful:
            self.transport.send_close(WSCloseCode.OK)
        self.transport.disconnect(graceful)

    def _join(self, frame: WSFrame) -> None:
        if self._parts is None:
            self._parts = bytearray()
        if len(self._parts) + frame.payload_size > self._max:
            self.end("a message was too long", graceful=False)
            return
        self._parts += frame.get_payload_as_memoryview()
        if frame.fin:
            whole, self._parts = self._parts, None
            self._deliver(whole)

    def _deliver(self, message: bytearray) -> None:
        if self.failure is None:
            try:
                self._on_message(message)
            except Exception as e:
                self._fail(e)

    def _fail(self, error: Exception) -> None:
        """What the reader raised is handed to whoever awaits the feed: picows would only log it."""
        self.failure = error
        self.end("the reader failed", graceful=False)
