"""The venue's connection by `requests`: the default transport."""

import socket
from typing import Any

import requests
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

from pyrt.venues.alpaca.keys import Keys
from pyrt.venues.alpaca.session import LARGEST, Answer, Broken, VenueSession


class _Traced:
    """What a connection adds: its socket is registered, a request leaves in one piece, and its sends are claimed."""

    owner: "VenueSession"
    sock: socket.socket | None
    _held: bytearray | None = None

    def _new_conn(self) -> socket.socket:
        sock: socket.socket = super()._new_conn()  # type: ignore[misc]
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.owner.opened(sock)
        return sock

    def request(self, *args: Any, **options: Any) -> None:
        # The library sends the head and the body apart: two system calls, two segments, and a state between them.
        self._held = bytearray()
        try:
            super().request(*args, **options)  # type: ignore[misc]
            whole = bytes(self._held)
        finally:
            self._held = None
        self.send(whole)

    def send(self, data: Any) -> None:
        if self._held is not None:
            self._held += data
            return
        if self.sock is None:
            self.connect()  # type: ignore[attr-defined]
        self.owner.claim()
        super().send(data)  # type: ignore[misc]

    def close(self) -> None:
        super().close()  # type: ignore[misc]
        self.owner.closed()


class RequestsSession(VenueSession):
    """A requests.Session of one thread with one connection."""

    def __init__(self, url: str, keys: Keys) -> None:
        super().__init__(url, keys)
        self._adapter = _adapter(self)
        self._session = requests.Session()
        self._session.trust_env = False
        self._session.mount("http://", self._adapter)
        self._session.mount("https://", self._adapter)
        self._session.headers.clear()
        self._session.headers.update(self._headers)
        self._template = self._session.prepare_request(requests.Request("GET", self._url))

    def _send(self, method: str, path: str, body: bytes | None, timeout: float) -> Answer:
        request = self._template.copy()
        request.method, request.url = method, self._url + path
        if body is not None:
            request.body = body
            request.headers["Content-Length"] = str(len(body))
            request.headers["Content-Type"] = "application/json"
        response = self._adapter.send(request, stream=True, timeout=timeout, verify=True, proxies={})
        parts, size = [], 0
        for part in response.raw.stream(1 << 16, decode_content=True):
            parts.append(part)
            size += len(part)
            if size > LARGEST:
                response.raw.close()
                raise Broken("the answer is too large")
        return Answer(response.status_code, response.headers, b"".join(parts))

    def _drop(self) -> None:
        self._adapter.poolmanager.clear()

    def close(self) -> None:
        self._session.close()


def read_whole(response: requests.Response) -> bytes:
    """The body of an answer that was asked for with `stream`; never more than fits. Raises requests.ContentDecodingError."""
    parts, size = [], 0
    for part in response.iter_content(1 << 16):
        parts.append(part)
        size += len(part)
        if size > LARGEST:
            response.close()
            raise requests.exceptions.ContentDecodingError("the answer is too large")
    return b"".join(parts)


def _adapter(owner: VenueSession) -> HTTPAdapter:
    """An adapter that never retries and makes traced connections, one at a time."""
    http = type("_Http", (_Traced, HTTPConnection), {"owner": owner})
    https = type("_Https", (_Traced, HTTPSConnection), {"owner": owner})
    adapter = HTTPAdapter(pool_connections=1, pool_maxsize=1, max_retries=0)
    adapter.poolmanager.pool_classes_by_scheme = {
        "http": type("_HttpPool", (HTTPConnectionPool,), {"ConnectionCls": http}),
        "https": type("_HttpsPool", (HTTPSConnectionPool,), {"ConnectionCls": https}),
    }
    return adapter
