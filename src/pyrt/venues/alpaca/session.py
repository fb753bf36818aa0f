"""One HTTP connection to the venue whose requests can be ended from outside, and which knows whether a byte of one has left.

HTTP libraries bound each read, not the whole answer, and do not tell a request that never left from one that did. Here every
socket is registered when it is made, so that a watchdog can shut it, and every send asks its Attempt first.
"""

import socket
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import NamedTuple

from pyrt.config import know
from pyrt.errors import ConfigError
from pyrt.venues.alpaca.keys import Keys, check_url

IDLE = 30.0  # s; a connection that rested longer may be dead without our knowing: not reused
LARGEST = 32 << 20  # bytes of an answer
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


class VenueSession(ABC):
    """One connection of one thread, made when it is needed. Raises ConfigError for a URL or keys that are not for it.

    How the bytes travel is the transport's: see `transport.session`.
    """

    def __init__(self, url: str, keys: Keys) -> None:
        check_url(url)
        know(*keys)
        self._url = url.rstrip("/")
        self._headers = headers_of(keys)
        self._lock = threading.Lock()
        self._attempt: Attempt | None = None
        self._handle: socket.socket | None = (
            None  # a duplicate: it reaches the connection through TLS, and no other fd can be meant
        )
        self._stale = False  # the handle's connection was closed
        self._used_at = 0.0

    def exchange(self, attempt: Attempt, method: str, path: str, body: bytes | None, timeout: float) -> Answer:
        """Send one request and read its answer. `timeout` bounds each wait, in s. Raises Broken or Ended; never retries."""
        if time.monotonic() - self._used_at > IDLE:
            self._drop()
        with self._lock:
            self._attempt = attempt
        whole = False
        try:
            answer = self._send(method, path, body, timeout)
            whole = True
            return answer
        except Ended:
            raise
        except Exception as error:
            # Whatever a library raises, the name says enough; its text may quote headers, and those hold the keys.
            raise Broken(_reason(error)) from None
        finally:
            with self._lock:
                self._attempt = None
                self._release_if_stale()
            self._used_at = time.monotonic()
            if not whole:
                self._drop()

    @abstractmethod
    def _send(self, method: str, path: str, body: bytes | None, timeout: float) -> Answer:
        """Send one request, `claim` before its first byte, and read its whole answer of LARGEST bytes at most."""

    @abstractmethod
    def _drop(self) -> None:
        """Close the connection, if there is one; the next request makes another."""

    @abstractmethod
    def close(self) -> None:
        """Close the connection; by the thread that owns the session."""

    def shut(self, attempt: Attempt) -> None:
        """Break the connection under an attempt, from any thread; nothing if the attempt is no longer the running one."""
        with self._lock:
            if self._attempt is attempt and self._handle is not None:
                _shutdown(self._handle)

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


def headers_of(keys: Keys) -> dict[str, str]:
    """The headers of every request. Raises ConfigError for keys that cannot be sent."""
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
