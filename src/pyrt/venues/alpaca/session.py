"""One HTTP connection to the venue whose requests can be ended from outside, and which knows whether a byte of one has left.

`requests` bounds each read, not the whole answer, and does not tell a request that never left from one that did. Here every
socket is registered when it is made, so that a watchdog can shut it, and every send asks its Attempt first.
"""

import socket
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import requests
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

from pyrt.config import know
from pyrt.errors import ConfigError
from pyrt.venues.alpaca.keys import Keys, check_url

IDLE = 30.0  # s; a connection that rested longer may be dead without our knowing: not reused
_LARGEST = 32 << 20  # bytes of an answer
_USER_AGENT = "pyrt"


class Answer(NamedTuple):
    """A whole HTTP answer."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Broken(Exception):
    """A request ended without a whole answer; its Attempt knows whether any of it left."""


class Ended(Exception):
    """The attempt was over, or no longer valid, before its first byte: nothing was sent."""


class Attempt:
    """One request under way: whether its bytes may have left, and who ends it.

    `claim` is asked before the first byte; after `end` it lets nothing out any more. So at the deadline `sent` is the truth.
    """

    __slots__ = ("_lock", "_over", "_valid", "sent", "sent_at")

    def __init__(self, valid: Callable[[], bool] | None = None) -> None:
        self._lock = threading.Lock()
        self._valid = valid
        self._over = False
        self.sent = False
        self.sent_at = 0  # monotonic ns of the first byte

    def claim(self) -> None:
        """Mark the request as sent. Raises Ended when it must not be."""
        with self._lock:
            if self._over:
                raise Ended("the deadline passed before the request was sent")
            if not self.sent and self._valid is not None and not self._valid():
                raise Ended("no longer valid")
            if not self.sent:
                self.sent, self.sent_at = True, time.monotonic_ns()

    def end(self) -> bool:
        """End the attempt; True for the first who does."""
        with self._lock:
            first, self._over = not self._over, True
            return first


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


class VenueSession:
    """A requests.Session of one thread with one connection. Raises ConfigError for a URL or keys that are not for it."""

    def __init__(self, url: str, keys: Keys) -> None:
        check_url(url)
        know(*keys)
        self._url = url.rstrip("/")
        self._lock = threading.Lock()
        self._attempt: Attempt | None = None
        self._handle: socket.socket | None = (
            None  # a duplicate: it reaches the connection through TLS, and no other fd can be meant
        )
        self._stale = False  # the handle's connection was closed
        self._used_at = 0.0
        self._adapter = _adapter(self)
        self._session = requests.Session()
        self._session.trust_env = False
        self._session.mount("http://", self._adapter)
        self._session.mount("https://", self._adapter)
        self._session.headers.clear()
        self._session.headers.update(_headers(keys))
        self._template = self._session.prepare_request(requests.Request("GET", self._url))

    def exchange(self, attempt: Attempt, method: str, path: str, body: bytes | None, timeout: float) -> Answer:
        """Send one request and read its answer. `timeout` bounds each wait, in s. Raises Broken or Ended; never retries."""
        if time.monotonic() - self._used_at > IDLE:
            self._drop()
        request = self._template.copy()
        request.method, request.url = method, self._url + path
        if body is not None:
            request.body = body
            request.headers["Content-Length"] = str(len(body))
            request.headers["Content-Type"] = "application/json"
        with self._lock:
            self._attempt = attempt
        whole = False
        try:
            answer = self._send(request, timeout)
            whole = True
            return answer
        except Ended:
            raise
        except Exception as error:
            # Whatever the library raises, the name says enough; its text may quote headers, and those hold the keys.
            raise Broken(_reason(error)) from None
        finally:
            with self._lock:
                self._attempt = None
                self._release_if_stale()
            self._used_at = time.monotonic()
            if not whole:
                self._drop()

    def _send(self, request: requests.PreparedRequest, timeout: float) -> Answer:
        response = self._adapter.send(request, stream=True, timeout=timeout, verify=True, proxies={})
        parts, size = [], 0
        for part in response.raw.stream(1 << 16, decode_content=True):
            parts.append(part)
            size += len(part)
            if size > _LARGEST:
                response.raw.close()
                raise Broken("the answer is too large")
        return Answer(response.status_code, response.headers, b"".join(parts))

    def shut(self, attempt: Attempt) -> None:
        """Break the connection under an attempt, from any thread; nothing if the attempt is no longer the running one."""
        with self._lock:
            if self._attempt is attempt and self._handle is not None:
                _shutdown(self._handle)

    def close(self) -> None:
        """Close the connection; by the thread that owns the session."""
        self._session.close()

    def _drop(self) -> None:
        self._adapter.poolmanager.clear()

    def opened(self, sock: socket.socket) -> None:
        """A connection was made."""
        with self._lock:
            self._stale = True
            self._release_if_stale()
            self._handle, self._stale = sock.dup(), False

    def closed(self) -> None:
        """The connection was closed, or will be when its last answer is read: until then `shut` must still reach it."""
        with self._lock:
            self._stale = True
            if self._attempt is None:
                self._release_if_stale()

    def _release_if_stale(self) -> None:
        if self._stale and self._handle is not None:
            self._handle.close()
            self._handle = None

    def claim(self) -> None:
        """Bytes are about to leave. Raises Ended."""
        attempt = self._attempt
        if attempt is None:
            raise Ended("no request is under way")
        attempt.claim()


def read_whole(response: requests.Response) -> bytes:
    """The body of an answer that was asked for with `stream`; never more than fits. Raises requests.ContentDecodingError."""
    parts, size = [], 0
    for part in response.iter_content(1 << 16):
        parts.append(part)
        size += len(part)
        if size > _LARGEST:
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


def _headers(keys: Keys) -> dict[str, str]:
    headers = {"APCA-API-KEY-ID": keys.key.reveal(), "APCA-API-SECRET-KEY": keys.secret.reveal()}
    for name, value in headers.items():
        # Checked here, because the library's own complaint would quote the value.
        if not (value.isascii() and value.isprintable()) or not value or value != value.strip():
            raise ConfigError(f"{name} cannot be sent as a header", mend="copy the key again, without blanks and line breaks")
    return {"User-Agent": _USER_AGENT, "Accept": "application/json", **headers}


def _shutdown(sock: socket.socket) -> None:
    try:
        sock.shutdown(socket.SHUT_RDWR)
    except OSError:
        return  # the other side was faster


def _reason(error: BaseException) -> str:
    """The names of an error and of what caused it, without their texts."""
    if isinstance(error, Broken):
        return str(error)
    names = [type(error).__name__]
    seen: BaseException | None = error
    for _ in range(5):
        inner = [arg for arg in getattr(seen, "args", ()) if isinstance(arg, BaseException)]
        seen = (
            getattr(seen, "reason", None) if isinstance(getattr(seen, "reason", None), BaseException) else next(iter(inner), None)
        )
        if seen is None:
            break
        names.append(type(seen).__name__)
    return ": ".join(names)
