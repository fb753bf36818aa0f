"""A REST server that does what its script says, right or wrong, over real sockets; and an inbox to wait on."""

import contextlib
import json
import socket
import struct
import threading
import time
from collections.abc import Callable
from typing import Any, NamedTuple

from pyrt.ports import Event

PATIENCE = 30.0


class Request(NamedTuple):
    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    at: float
    connection: int

    @property
    def json(self) -> Any:
        return json.loads(self.body)


Script = Callable[[Request, socket.socket], bytes | None]
"""Answers with bytes; None closes the connection."""


def reply(status: int, body: Any = None, headers: dict[str, str] | None = None) -> bytes:
    raw = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
    lines = [f"HTTP/1.1 {status} X", f"Content-Length: {len(raw)}"]
    lines += [f"{name}: {value}" for name, value in {"Content-Type": "application/json", **(headers or {})}.items()]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + raw


def order_json(cid: str, **fields: Any) -> dict[str, Any]:
    at = "2026-03-02T15:04:06.1Z"
    order = dict.fromkeys(
        [
            "filled_at",
            "expired_at",
            "canceled_at",
            "failed_at",
            "replaced_at",
            "replaced_by",
            "replaces",
            "notional",
            "filled_avg_price",
            "limit_price",
            "stop_price",
            "legs",
            "trail_percent",
            "trail_price",
            "hwm",
            "subtag",
            "source",
            "ratio_qty",
        ]
    )
    order |= {"id": f"id-{cid}", "client_order_id": cid, "created_at": at, "updated_at": at, "submitted_at": at, "symbol": "AAPL"}
    order |= {"asset_id": "a", "asset_class": "us_equity", "qty": "10", "filled_qty": "0", "order_class": "", "type": "market"}
    order |= {"order_type": "market", "side": "buy", "time_in_force": "day", "status": "accepted", "extended_hours": False}
    return order | fields


def accept(request: Request, _: socket.socket) -> bytes:
    """The well-behaved answer to an order, a replace or a cancel."""
    if request.method == "DELETE":
        return reply(204)
    return reply(200, order_json(request.json["client_order_id"]))


def reset(connection: socket.socket) -> None:
    """Close with RST."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


class RestServer:
    """Threads on a loopback port; `script` may be changed while it runs."""

    def __init__(self, script: Script = accept) -> None:
        self.script = script
        self.requests: list[Request] = []
        self.connections = 0
        self._changed = threading.Condition()
        self._open: set[socket.socket] = set()
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self) -> "RestServer":
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for connection in list(self._open):
            self._end(connection)

    def wait(self, condition: Callable[[], bool]) -> None:
        with self._changed:
            assert self._changed.wait_for(condition, PATIENCE)

    def paths(self, method: str) -> list[str]:
        return [request.path for request in self.requests if request.method == method]

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._open.add(connection)
            self.connections += 1
            threading.Thread(target=self._serve, args=(connection, self.connections), daemon=True).start()

    def _serve(self, connection: socket.socket, number: int) -> None:
        data = b""
        with contextlib.suppress(OSError):
            while (found := self._read(connection, data, number)) is not None:
                request, data = found
                with self._changed:
                    self.requests.append(request)
                    self._changed.notify_all()
                answer = self.script(request, connection)
                if answer is None:
                    break
                connection.sendall(answer)
        self._end(connection)

    def _end(self, connection: socket.socket) -> None:
        self._open.discard(connection)
        with contextlib.suppress(OSError):
            connection.shutdown(socket.SHUT_RDWR)
        connection.close()

    def _read(self, connection: socket.socket, data: bytes, number: int) -> tuple[Request, bytes] | None:
        while b"\r\n\r\n" not in data:
            data += (part := connection.recv(65536))
            if not part:
                return None
        head, _, data = data.partition(b"\r\n\r\n")
        first, *lines = head.decode().split("\r\n")
        headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}
        while len(data) < int(headers.get("content-length", "0")):
            data += (part := connection.recv(65536))
            if not part:
                return None
        size = int(headers.get("content-length", "0"))
        method, path, _ = first.split(" ")
        return Request(method, path, headers, data[:size], time.monotonic(), number), data[size:]


class Inbox:
    """A sink that can be waited on."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self._changed = threading.Condition()

    def __call__(self, event: Event) -> None:
        with self._changed:
            self.events.append(event)
            self._changed.notify_all()

    def wait(self, count: int) -> list[Event]:
        """The first `count` events, once they are there."""
        with self._changed:
            assert self._changed.wait_for(lambda: len(self.events) >= count, PATIENCE), self.events
            return self.events[:count]

    def one(self) -> Any:
        """The only event."""
        (event,) = self.wait(1)
        return event
