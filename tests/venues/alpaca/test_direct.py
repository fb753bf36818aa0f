"""The direct transport's reading of answers, byte by byte; what both transports have in common is tested with the broker."""

import gzip
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.venues.alpaca.rest_server import RestServer, reply

from pyrt.config import Secret
from pyrt.errors import ConfigError
from pyrt.venues.alpaca import direct_session
from pyrt.venues.alpaca.direct_session import DirectSession, _Reading
from pyrt.venues.alpaca.keys import Keys
from pyrt.venues.alpaca.session import LARGEST, Attempt, Broken
from pyrt.venues.alpaca.transport import venue_session

OK = b"HTTP/1.1 200 OK\r\n"
KEYS = Keys(Secret("PKTEST"), Secret("secret"))


def packed(data: bytes, encoding: str) -> bytes:
    return b"%bContent-Encoding: %b\r\nContent-Length: %d\r\n\r\n%b" % (OK, encoding.encode(), len(data), data)


def read(*parts: bytes, closed: bool = False) -> tuple[int, bytes, bool]:
    """Status, body, and whether the connection may carry more. Raises Broken."""
    reading = _Reading()
    for part in parts:
        reading.feed(part)
    if closed and not reading.done:
        reading.end()
    assert reading.done
    answer = reading.answer()
    return answer.status, answer.body, reading.keeps


WHOLE = {
    "sized": (OK + b"Content-Length: 2\r\n\r\n{}", (200, b"{}", True)),
    "chunked": (OK + b"Transfer-Encoding: chunked\r\n\r\n1\r\n{\r\n1;x=y\r\n}\r\n0\r\nTrailer: z\r\n\r\n", (200, b"{}", True)),
    "no content": (b"HTTP/1.1 204 No Content\r\n\r\n", (204, b"", True)),
    "the last one": (OK + b"Content-Length: 2\r\nConnection: close\r\n\r\n{}", (200, b"{}", False)),
    "HTTP/1.0": (b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\n{}", (200, b"{}", False)),
    "first a 100": (b"HTTP/1.1 100 Continue\r\n\r\n" + OK + b"Content-Length: 2\r\n\r\n{}", (200, b"{}", True)),
    "another behind it": ((OK + b"Content-Length: 2\r\n\r\n{}") * 2, (200, b"{}", False)),
    "noise behind it": (OK + b"Content-Length: 2\r\n\r\n{}\0\0\0", (200, b"{}", False)),
    "gzip": (packed(gzip.compress(b"{}", mtime=0), "gzip"), (200, b"{}", True)),
    "deflate": (packed(zlib.compress(b"{}"), "deflate"), (200, b"{}", True)),
}


@pytest.mark.parametrize("name", WHOLE)
def test_an_answer_is_read_however_it_is_cut(name: str) -> None:
    data, expected = WHOLE[name]
    assert read(data) == expected
    if expected[2]:
        assert read(*(data[i : i + 1] for i in range(len(data)))) == expected


def test_an_answer_without_a_length_ends_with_the_connection() -> None:
    assert read(OK + b"\r\n{", b"}", closed=True) == (200, b"{}", False)


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "closed"),
        (b"HTTP/1.1 200", "closed"),
        (OK + b"Content-Length: 3\r\n\r\n{}", "within"),
        (OK + b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n", "within"),
        (OK + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}", "no HTTP"),
        (OK + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n{}", "no HTTP"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "no HTTP"),
        (b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n", "no HTTP"),
        (b"HTTP/1.1 100 Continue\r\n\r\n", "closed"),
        (OK + b"X: " + b"x" * 70_000 + b"\r\n\r\n", "too large"),
        (OK + b"Content-Length: %d\r\n\r\n" % (LARGEST + 1) + b"x" * (LARGEST + 1), "too large"),
        (packed(gzip.compress(b"{}", mtime=0)[:-4], "gzip"), "cut"),
        (packed(gzip.compress(bytes(LARGEST + 1), mtime=0), "gzip"), "too large"),
        (packed(b"{}", "br"), "not asked for"),
    ],
)
def test_what_is_no_whole_answer_is_broken(data: bytes, says: str) -> None:
    with pytest.raises(Broken, match=says):
        read(data, closed=True)


HEADS = [b"", OK, OK + b"Content-Length: 5\r\n", OK + b"Transfer-Encoding: chunked\r\n\r\n"]


@given(st.binary(max_size=200), st.sampled_from(HEADS))
def test_noise_is_an_answer_or_broken(noise: bytes, head: bytes) -> None:
    reading = _Reading()
    try:
        reading.feed(head + noise)
        if not reading.done:
            reading.end()
        reading.answer()
    except (Broken, zlib.error):
        return


def test_a_connection_is_kept_and_made_again_when_the_venue_closed_it(server: RestServer) -> None:
    server.script = lambda request, connection: reply(200, {})
    session = DirectSession(server.url, KEYS)
    for _ in range(3):
        assert session.exchange(Attempt(), "GET", "/v2/clock", None, 30.0).body == b"{}"
    assert server.connections == 1
    server.script = lambda request, connection: reply(200, {}).replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n", 1)
    session.exchange(Attempt(), "GET", "/v2/clock", None, 30.0)
    session.exchange(Attempt(), "GET", "/v2/clock", None, 30.0)
    assert server.connections == 2
    session.close()


def test_a_transport_that_cannot_be_is_refused_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match="there is no transport 'http3'"):
        venue_session("http://127.0.0.1:1", KEYS, "http3")
    monkeypatch.setattr(direct_session, "httptools", None)
    with pytest.raises(ConfigError, match="needs httptools"):
        venue_session("http://127.0.0.1:1", KEYS, "direct")
