"""S4, S9, S11: every input has a limit, what is kept is private, and what was kept cannot be exchanged unseen."""

import json
import os
import socket
import ssl
import stat
import struct
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.cli.processes import call
from tests.journal.facts import fill, intended
from tests.security.test_live import certificate as certificate  # a fixture

from pyrt._core.log import PAGE
from pyrt.config import Secret, load_config
from pyrt.config.files import read_toml
from pyrt.errors import ConfigError, DataError, JournalDamaged, JournalError, Misbehaved, NotConnected
from pyrt.journal import Journal
from pyrt.journal.head import check_head, head_of
from pyrt.live import alerts
from pyrt.live.alerts import Alerts
from pyrt.live.control import REQUEST, Control
from pyrt.live.control_socket import ControlSocket
from pyrt.model import Instrument
from pyrt.ports import Sync
from pyrt.process import make_private
from pyrt.venues.alpaca.body import decode
from pyrt.venues.alpaca.history import History
from pyrt.venues.alpaca.keys import Keys, load_keys
from pyrt.venues.alpaca.link import Addresses, AlpacaLink
from pyrt.venues.alpaca.session import Attempt, Broken
from pyrt.venues.alpaca.transport import venue_session

DEEP = "[" * 100_000
KEYS = Keys(Secret("key-0123456789"), Secret("secret-0123456789"))


def private(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    path.chmod(0o600)
    return path


# ---------------------------------------------------------------------------------------------------- files
@pytest.mark.parametrize("name", ["c.toml", "c.json"])
def test_a_configuration_is_not_cut_and_not_nested_without_end(tmp_path: Path, name: str) -> None:
    filler = b"# " + b"x" * (1 << 20) if name == "c.toml" else b" " * (1 << 20)
    whole = filler + (b'\n[market]\nsymbols = ["AAPL"]\n' if name == "c.toml" else b'{"symbols": ["AAPL"]}')
    with pytest.raises(ConfigError, match="larger than"):
        load_config([private(tmp_path / name, whole)])
    deep = ("a = " + DEEP if name == "c.toml" else '{"symbols": ' + DEEP).encode()
    with pytest.raises(ConfigError):
        load_config([private(tmp_path / name, deep)])


@pytest.mark.parametrize("content", [b"x" * (2 << 20), ("a = " + DEEP).encode(), b"\xff\xfe", b"a = "])
def test_a_file_of_limits_is_read_or_refused_in_one_line(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(ConfigError):
        read_toml(private(tmp_path / "limits", content))


def test_a_key_file_that_is_too_large_is_refused_not_cut(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="larger than"):
        load_keys({}, file=private(tmp_path / "keys", b"APCA_API_KEY_ID=k\nAPCA_API_SECRET_KEY=" + b"s" * 5000))


# ---------------------------------------------------------------------------------------------------- HTTP
class Server:
    """Answers every connection with what it is told."""

    def __init__(self, answer: Callable[[socket.socket], None]) -> None:
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listening.getsockname()[1]}"
        self.requests: list[bytes] = []
        self._answer = answer
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while True:
            try:
                connection, _ = self._listening.accept()
            except OSError:
                return
            with connection:
                connection.settimeout(30)
                try:
                    self.requests.append(connection.recv(65536))
                    self._answer(connection)
                except OSError:
                    continue  # the client had enough

    def close(self) -> None:
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        self._thread.join()


def endless(connection: socket.socket) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n")
    chunk = b"100000\r\n" + b"[" * (1 << 20) + b"\r\n"
    while True:
        connection.sendall(chunk)


def deep(connection: socket.socket) -> None:
    body = DEEP.encode()
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)


@pytest.fixture(params=[endless, deep], ids=["endless", "deep"])
def hostile(request: pytest.FixtureRequest) -> Iterator[Server]:
    server = Server(request.param)
    yield server
    server.close()


def test_no_answer_of_a_venue_is_too_large_or_too_deep_for_us(hostile: Server) -> None:
    session = venue_session(hostile.url, KEYS)
    try:
        with pytest.raises((Broken, Misbehaved)):
            decode(session.exchange(Attempt(), "GET", "/", None, 30.0).body)
    finally:
        session.close()
    at = Addresses(trading=hostile.url, data=hostile.url, stream="ws" + hostile.url[4:], updates="ws" + hostile.url[4:])
    with pytest.raises((NotConnected, Misbehaved)):
        AlpacaLink("sim", at, KEYS)


def test_history_gives_up_on_pages_that_are_no_pages(hostile: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pyrt.venues.alpaca.history.time.sleep", lambda seconds: None)
    history = History(url=hostile.url, key=KEYS.key, secret=KEYS.secret)
    try:
        with pytest.raises((NotConnected, DataError)):
            list(history.bars(Instrument(id=1, symbol="A"), 60_000_000_000, 0, 1))
    finally:
        history.close()


def test_keys_follow_no_redirect() -> None:
    elsewhere = Server(lambda c: c.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"))
    here = Server(
        lambda c: c.sendall(
            f"HTTP/1.1 307 X\r\nLocation: {elsewhere.url}/\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode()
        )
    )
    session = venue_session(here.url, KEYS)
    try:
        for method, body in (("POST", b"{}"), ("GET", None), ("DELETE", None), ("PATCH", b"{}")):
            assert session.exchange(Attempt(), method, "/v2/orders", body, 30.0).status == 307
        at = Addresses(trading=here.url, data=here.url, stream="ws" + here.url[4:], updates="ws" + here.url[4:])
        with pytest.raises(Misbehaved):
            AlpacaLink("sim", at, KEYS)
    finally:
        session.close()
        here.close()
        elsewhere.close()
    assert elsewhere.requests == []


@pytest.mark.parametrize("what", ["VenueSession", "link", "history", "feed", "stream"])
def test_no_adapter_takes_an_address_that_is_not_on_the_list(what: str) -> None:
    from pyrt.model import Instruments
    from pyrt.venues.alpaca.feed import AlpacaFeed
    from pyrt.venues.alpaca.stream import TradingStream

    http, ws = "https://evil.example", "wss://evil.example"
    key, secret = KEYS
    makers: dict[str, Callable[[], Any]] = {
        "VenueSession": lambda: venue_session(http, KEYS),
        "link": lambda: AlpacaLink("alpaca-paper", Addresses(trading=http, data=http, stream=ws, updates=ws), KEYS),
        "history": lambda: History(url=http, key=key, secret=secret),
        "feed": lambda: AlpacaFeed(
            url=ws, key="k", secret="s", instruments=Instruments(), sink=lambda r, b: None, events=lambda e: None, clock=lambda: 0
        ),
        "stream": lambda: TradingStream(url=ws, key=key, secret=secret, sink=lambda e: None),
    }
    with pytest.raises(ConfigError, match=r"evil\.example"):
        makers[what]()


# ---------------------------------------------------------------------------------------------------- the control channels
class _Nobody:
    def __getattr__(self, name: str) -> Any:
        raise AssertionError(f"a request that is none reached {name}")


@pytest.mark.parametrize(
    "line", [DEEP.encode(), b"{" * 60_000, b"\xff", b'{"verb": "kill -9"}', b'{"verb": {}}', b'{"x": ' + DEEP.encode()]
)
def test_the_control_socket_answers_nonsense_in_one_line(tmp_path: Path, line: bytes) -> None:
    answer = ControlSocket(tmp_path)._answer(_Nobody(), line)  # type: ignore[arg-type]
    assert answer["ok"] is False
    assert answer["text"]


@pytest.mark.parametrize("content", [b"", DEEP.encode(), b'{"x": ' + DEEP.encode(), b"\xff" * 200_000, b"stop!", b'{"level": 7}'])
def test_whatever_a_kill_file_says_somebody_wants_it_to_stop(tmp_path: Path, content: bytes) -> None:
    (tmp_path / REQUEST).write_bytes(content)
    control = Control.__new__(Control)
    control._directory = tmp_path
    control._seen = {}
    acted: list[Any] = []
    control._act = lambda request, done: acted.append((request, done))  # type: ignore[method-assign]
    control._read()
    ((request, done),) = acted
    assert (request.level, request.scope) == ("KILLED", "system")
    assert request.why
    done()
    assert not (tmp_path / REQUEST).exists()


# ---------------------------------------------------------------------------------------------------- alerts
ALERT = alerts.Alert(kind="latch", severity="critical", code="X", scope="", text="t", ts=0, venue="sim", account="a", host="h")


def settings(**values: Any) -> Any:
    return load_config((), {"alerts": values}).config.alerts


def test_an_address_that_is_a_secret_does_not_cross_a_network_in_the_clear() -> None:
    for name in ("webhook", "heartbeat"):
        with pytest.raises(ConfigError, match="in the clear"):
            Alerts(settings(**{name: "http://example.com/hook-0123456789"}), venue="sim", account="a")


def test_the_answer_to_an_alert_may_be_endless() -> None:
    server = Server(endless)
    try:
        alerts._post(Secret(server.url), ALERT)
    finally:
        server.close()


def mail_server(context: ssl.SSLContext | None, told: list[str]) -> tuple[socket.socket, threading.Thread]:
    listening = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        connection: socket.socket | ssl.SSLSocket
        connection, _ = listening.accept()
        connection.settimeout(30)
        connection.sendall(b"220 here\r\n")
        try:
            while line := connection.recv(4096):
                said = line.decode(errors="replace").strip()
                told.append(said)
                if said.upper().startswith("EHLO"):
                    connection.sendall(b"250-here\r\n" + (b"250-STARTTLS\r\n" if context else b"") + b"250 AUTH PLAIN LOGIN\r\n")
                elif said.upper() == "STARTTLS" and context:
                    connection.sendall(b"220 go\r\n")
                    connection = context.wrap_socket(connection, server_side=True)
                else:
                    connection.sendall(b"250 ok\r\n")
        except OSError as e:
            told.append(type(e).__name__)
        finally:
            connection.close()

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    return listening, thread


@pytest.mark.parametrize("tls", [True, False], ids=["a certificate that nobody vouches for", "no TLS"])
def test_a_mail_server_that_is_not_trusted_gets_no_password(certificate: Path, tls: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    context = None
    if tls:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate / "cert.pem", certificate / "key.pem")
    told: list[str] = []
    listening, thread = mail_server(context, told)
    monkeypatch.setattr(alerts, "is_loopback", lambda host: False)  # as if it were far away
    config = settings(
        smtp=f"127.0.0.1:{listening.getsockname()[1]}", smtp_user="me", smtp_password="pass-0123456789", mail_to="me@example.com"
    )
    with pytest.raises((OSError, ssl.SSLError)):
        alerts._mail(config, ALERT)
    thread.join(30)
    listening.close()
    assert any(line.upper().startswith("EHLO") for line in told)
    assert not any("AUTH" in line.upper() or "pass-0123456789" in line for line in told), told


# ---------------------------------------------------------------------------------------------------- S9: what is kept is private
def test_a_state_directory_is_private_and_one_that_others_may_write_is_refused(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        with Journal.open(tmp_path / "a" / "state" / "journal") as journal:
            journal.append(intended(1), Sync.SOON, 1)
        make_private(tmp_path / "b" / "c" / "state")
        for path in (*(tmp_path / "a").rglob("*"), tmp_path / "a", *(tmp_path / "b").rglob("*"), tmp_path / "b"):
            assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path
        for mode in (0o777, 0o720, 0o702, 0o1777):
            (tmp_path / f"{mode:o}").mkdir(mode=mode)
            (tmp_path / f"{mode:o}").chmod(mode)
            with pytest.raises(ConfigError, match="others may write"):
                make_private(tmp_path / f"{mode:o}")
    finally:
        os.umask(before)
    done = call(tmp_path, "run", "--journal", str(tmp_path / "777"), "--for", "1s")
    assert done.returncode == 1
    assert "others may write to the state directory" in done.stderr


# ---------------------------------------------------------------------------------------------------- S11: heads
@pytest.fixture
def state(tmp_path: Path) -> Path:
    directory = tmp_path / "state"
    with Journal.open(directory / "journal", segment_size=1 << 20) as journal:
        for n in range(1, 2500):
            journal.append(intended(n), Sync.SOON, n)
    with Journal.open(directory / "journal", segment_size=1 << 20) as journal:
        journal.append(fill(1, 5, 5), Sync.SOON, 2501)
    return directory


def test_a_head_is_kept_and_proves_that_the_journal_begins_with_it(tmp_path: Path, state: Path) -> None:
    done = call(tmp_path, "journal", "head", str(state))
    assert done.returncode == 0, done.stderr
    head = json.loads(done.stdout)
    assert head == msgspec.to_builtins(head_of(state / "journal"))
    kept = tmp_path / "head.json"
    kept.write_text(done.stdout)
    with Journal.open(state / "journal", segment_size=1 << 20) as journal:
        journal.append(fill(2, 5, 5), Sync.SOON, 2502)
    assert head_of(state / "journal").chain != head["chain"]
    done = call(tmp_path, "journal", "verify", str(state), "--head", str(kept))
    assert done.returncode == 0, done.stderr
    assert head["chain"] in done.stdout
    for seq in (1, 1023, 1024, 1025, head["seq"]):
        check_head(state / "journal", head_of(state / "journal", seq))


def test_a_journal_that_was_written_anew_or_cut_is_found_out(tmp_path: Path, state: Path) -> None:
    kept = tmp_path / "head.json"
    kept.write_bytes(msgspec.json.encode(head_of(state / "journal")))
    other = tmp_path / "other"
    with Journal.open(other / "journal", segment_size=1 << 20) as journal:
        for n in range(1, 2600):
            journal.append(intended(n), Sync.SOON, n + 1)
    done = call(tmp_path, "journal", "verify", str(other), "--head", str(kept))
    assert done.returncode == 1
    assert "whole" in done.stdout, "by itself it looks good"
    assert "had the chain hash" in done.stderr
    for path in sorted((state / "journal").glob("*.journal"))[1:]:
        path.unlink()
    with pytest.raises(JournalDamaged):
        check_head(state / "journal", msgspec.json.decode(kept.read_bytes(), type=type(head_of(other / "journal"))))


@pytest.mark.parametrize("content", [b"", b"{}", DEEP.encode(), b"x" * 10_000])
def test_what_is_no_head_is_refused(tmp_path: Path, state: Path, content: bytes) -> None:
    (tmp_path / "head").write_bytes(content)
    done = call(tmp_path, "journal", "verify", str(state), "--head", str(tmp_path / "head"))
    assert done.returncode == 1
    assert "no head of a journal" in done.stderr


def test_a_record_is_never_larger_than_its_segment_and_a_length_is_never_believed(tmp_path: Path) -> None:
    with Journal.open(tmp_path / "journal", segment_size=1 << 20) as journal:
        journal.append(intended(1), Sync.SOON, 1)
    segment = tmp_path / "journal" / "00000001.journal"
    for length in (0, 8, 0xFFFFFFFF, 1 << 30, (1 << 20) - 8):
        data = bytearray(segment.read_bytes())
        struct.pack_into("<I", data, PAGE, length)
        (tmp_path / "copy").mkdir(exist_ok=True)
        (tmp_path / "copy" / segment.name).write_bytes(data)
        try:
            head_of(tmp_path / "copy")
        except (JournalError, ConfigError):
            continue
        pytest.fail(f"a first record of {length} bytes was believed")
