"""The venue's connection without a client library: a socket, TLS and a parser in C, a tenth of the processor time of `requests`.

Answers are read by httptools (llhttp); what it takes for no HTTP ends the request as Broken, as a cut connection does.
"""

import select
import socket
import ssl
import zlib
from urllib.parse import urlsplit

from requests import adapters
from requests.structures import CaseInsensitiveDict
from urllib3.util import connection as tcp

from pyrt.errors import ConfigError
from pyrt.venues.alpaca.keys import Keys
from pyrt.venues.alpaca.session import LARGEST, Answer, Broken, VenueSession

try:
    import httptools
except ImportError:  # the extra is not installed
    httptools = None  # type: ignore[assignment]

_READ = 1 << 16
_MOST_HEADERS = 64 << 10  # bytes
_NO_DELAY: list[tuple[int, int, int | bytes]] = [(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)]
_INFLATE = {"gzip": 16 + zlib.MAX_WBITS, "deflate": zlib.MAX_WBITS}  # nobody asked for them


class DirectSession(VenueSession):
    """One socket, kept alive; a request is one write. Raises ConfigError where httptools is not installed."""

    def __init__(self, url: str, keys: Keys) -> None:
        super().__init__(url, keys)
        if httptools is None:
            mend = "pip install 'pyrt-trading[direct]'"
            raise ConfigError("the direct transport needs httptools", where="[execution] transport", mend=mend)
        parts = urlsplit(self._url)
        self._host, self._tls = parts.hostname or "", parts.scheme == "https"
        self._port = parts.port or (443 if self._tls else 80)
        self._prefix = parts.path
        self._sock: socket.socket | None = None
        self._context = _context() if self._tls else None
        lines = {"Host": parts.netloc, "Accept-Encoding": "identity", **self._headers}
        self._head = "".join(f"{name}: {value}\r\n" for name, value in lines.items()).encode("ascii")

    def _send(self, method: str, path: str, body: bytes | None, timeout: float) -> Answer:
        sock = self._connected(timeout)
        rest = b"\r\n" if body is None else b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)
        whole = b"%b %b HTTP/1.1\r\n%b%b" % (method.encode("ascii"), (self._prefix + path).encode("ascii"), self._head, rest)
        self.claim()
        sock.sendall(whole)
        reading = _Reading()
        while not reading.done:
            data = sock.recv(_READ)
            if not data:
                reading.end()
                break
            reading.feed(data)
        if not reading.keeps:
            self._drop()
        return reading.answer()

    def _connected(self, timeout: float) -> socket.socket:
        if self._sock is not None and _readable(self._sock):  # closed by the venue while it rested, or not in step with us
            self._drop()
        if self._sock is None:
            sock = tcp.create_connection((self._host, self._port), timeout, socket_options=_NO_DELAY)
            self._sock = sock
            self.opened(sock)
            if self._context is not None:
                self._sock = self._context.wrap_socket(sock, server_hostname=self._host)
        self._sock.settimeout(timeout)
        return self._sock

    def _drop(self) -> None:
        if self._sock is not None:
            self._sock.close()
            self._sock = None
            self.closed()

    def close(self) -> None:
        self._drop()


class _Reading:
    """One answer as it comes in: what the parser calls, and what it came to."""

    def __init__(self) -> None:
        self.done = False
        self.keeps = False  # the connection may carry another request
        self._parser = httptools.HttpResponseParser(self)
        self._headers: CaseInsensitiveDict[str] = CaseInsensitiveDict()
        self._heads = 0  # bytes of headers
        self._began = False
        self._body: list[bytes] = []
        self._size = 0

    def feed(self, data: bytes) -> None:
        """Take in what came. Raises Broken for what is no HTTP, or too much of it."""
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            self.keeps = False
            if not self.done:  # bytes behind a whole answer spoil the connection, not the answer
                cause = error.__context__
                raise cause if isinstance(cause, Broken) else Broken("the answer is no HTTP") from None

    def end(self) -> None:
        """The venue closed the connection. Only an answer that says no length may end so. Raises Broken."""
        framed = "Content-Length" in self._headers or "Transfer-Encoding" in self._headers
        if not self._began or framed:
            raise Broken("the connection was closed within the answer" if self._heads else "the connection was closed")
        self.done = True

    def answer(self) -> Answer:
        """All of it. Raises Broken."""
        body = b"".join(self._body)
        encoding = self._headers.get("Content-Encoding", "identity").strip().lower()
        if encoding not in ("identity", ""):
            body = _inflate(body, encoding)
        return Answer(self._parser.get_status_code(), self._headers, body)

    # ---- what the parser calls
    def on_message_begin(self) -> None:
        if self.done:
            raise Broken("bytes behind the answer")

    def on_header(self, name: bytes, value: bytes) -> None:
        self._heads += len(name) + len(value)
        if self._heads > _MOST_HEADERS:
            raise Broken("the answer's headers are too large")
        key, text = name.decode("latin-1"), value.decode("latin-1")
        self._headers[key] = f"{self._headers[key]}, {text}" if key in self._headers else text

    def on_headers_complete(self) -> None:
        self._began = self._parser.get_status_code() >= 200

    def on_body(self, part: bytes) -> None:
        self._size += len(part)
        if self._size > LARGEST:
            raise Broken("the answer is too large")
        self._body.append(part)

    def on_message_complete(self) -> None:
        if self._began:
            self.done, self.keeps = True, self._parser.should_keep_alive()
        else:  # 1xx: the answer is still to come
            self._headers = CaseInsensitiveDict()


def _context() -> ssl.SSLContext:
    """Trusts what `requests` trusts."""
    context = ssl.create_default_context(cafile=adapters.DEFAULT_CA_BUNDLE_PATH)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


def _readable(sock: socket.socket) -> bool:
    poll = select.poll()
    poll.register(sock, select.POLLIN)
    return bool(poll.poll(0))


def _inflate(body: bytes, encoding: str) -> bytes:
    if encoding not in _INFLATE:
        raise Broken("the answer has an encoding that was not asked for")
    inflate = zlib.decompressobj(_INFLATE[encoding])
    whole = inflate.decompress(body, LARGEST + 1)
    if len(whole) > LARGEST or not inflate.eof:
        raise Broken("the answer is too large, or was cut")
    return whole
