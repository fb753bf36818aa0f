"""Live trading is unlocked by proof, and by nothing less. Nothing here reaches out: the live host is a stand-in on loopback."""

import asyncio
import shutil
import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from tests.cli.processes import call, environment, running_sim
from tests.security.canary import KEY, SECRET
from tests.security.trees import package, record

import pyrt.risk
from pyrt import proof
from pyrt.config import Secret
from pyrt.errors import ConfigError, NotConnected
from pyrt.venues.alpaca.keys import LIVE, PAPER, Keys, check_url, live_allowed
from pyrt.venues.alpaca.session import Attempt, Broken
from pyrt.venues.alpaca.transport import DIRECT, REQUESTS, venue_session


def whole_limits(tmp_path: Path, but: str = "") -> Path:
    lines = (Path(pyrt.risk.__file__).parent / "paper.toml").read_text().splitlines()
    file = tmp_path / f"limits{len(but)}.toml"
    file.write_text("\n".join(line for line in lines if not (but and line.startswith(but))))
    return file


@pytest.fixture
def proven(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    place = package(tmp_path / "proven")
    proof.write(record(place), place)
    monkeypatch.setattr(proof, "PACKAGE", place)
    return place


@pytest.fixture
def limits(tmp_path: Path) -> Path:
    return whole_limits(tmp_path)


def live(tmp_path: Path, *more: str, **variables: str) -> subprocess.CompletedProcess[str]:
    with pytest.MonkeyPatch.context() as patch:
        keys = {"APCA_API_KEY_ID": KEY, "APCA_API_SECRET_KEY": SECRET, **variables}
        patch.setattr("tests.cli.processes.environment", lambda t, _o=environment, **m: {**_o(t, **m), **keys})
        return call(tmp_path, "run", "--venue", "alpaca-live", *more)


@pytest.fixture
def nobody_is_called(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> Any:
        raise AssertionError("it reached out")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(socket.socket, "connect", refuse)


@pytest.mark.usefixtures("nobody_is_called")
def test_without_a_proof_live_is_refused_whatever_else_is_named(
    tmp_path: Path, limits: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(proof, "PACKAGE", package(tmp_path / "unproven"))
    done = live(tmp_path, "--limits", str(limits), "--account", "a-1")
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("pyrt: alpaca-live: live trading is refused: there is no record")


@pytest.mark.usefixtures("nobody_is_called", "proven")
def test_live_wants_every_limit_and_an_account(tmp_path: Path, limits: Path) -> None:
    for more in ((), ("--limits", str(whole_limits(tmp_path, but="max_daily_loss")))):
        done = live(tmp_path, "--account", "a-1", *more)
        assert done.returncode == 1
        assert "live trading is refused: no value for" in done.stderr
        assert "max_daily_loss" in done.stderr or not more
    config = tmp_path / "c.toml"
    config.write_text('[risk]\nprofile = "paper"\n')
    assert "it has no profile" in live(tmp_path, "--config", str(config), "--account", "a-1").stderr
    done = live(tmp_path, "--limits", str(whole_limits(tmp_path)))
    assert "live trading is refused: the account is not confirmed" in done.stderr


def test_the_live_host_is_on_the_list_while_it_is_allowed_and_no_longer() -> None:
    url = "https://api.alpaca.markets"
    with live_allowed():
        assert check_url(url) == check_url(url, LIVE) == check_url("wss://stream.data.alpaca.markets/v2/sip", LIVE) == LIVE
        for bad in ("http://api.alpaca.markets", "https://api.alpaca.markets:8443", "https://api.alpaca.markets.evil.example"):
            with pytest.raises(ConfigError):
                check_url(bad)
        for wrong in ("https://paper-api.alpaca.markets", "http://127.0.0.1:1"):
            with pytest.raises(ConfigError, match="not to alpaca-live"):
                check_url(wrong, LIVE)
        with pytest.raises(ConfigError, match="not to alpaca-paper"):
            check_url(url, PAPER)
    with pytest.raises(ConfigError, match="live trading is refused"):
        check_url(url)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if shutil.which("openssl") is None:
        pytest.skip("there is no openssl to make a certificate with")
    place = tmp_path_factory.mktemp("tls")
    hosts = ("api.alpaca.markets", "paper-api.alpaca.markets", "data.alpaca.markets", "stream.data.alpaca.markets")
    names = ",".join(f"DNS:{host}" for host in hosts)
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]
    command += [
        "-keyout",
        str(place / "key.pem"),
        "-out",
        str(place / "cert.pem"),
        "-subj",
        "/CN=stand-in",
        "-addext",
        f"subjectAltName={names}",
    ]
    subprocess.run(command, check=True, capture_output=True)
    return place


@pytest.fixture
def stand_in(certificate: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The live hosts are this machine: TLS in front of a simulated venue."""
    with running_sim("--key", KEY, "--secret", SECRET) as url:
        target = int(url.rpartition(":")[2])
        loop = asyncio.new_event_loop()
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate / "cert.pem", certificate / "key.pem")

        async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            try:
                while data := await reader.read(65536):
                    writer.write(data)
                    await writer.drain()
            except (OSError, ssl.SSLError):
                pass
            finally:
                writer.close()

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            there, back = await asyncio.open_connection("127.0.0.1", target)
            await asyncio.gather(pump(reader, back), pump(there, writer))

        server = loop.run_until_complete(asyncio.start_server(serve, "127.0.0.1", 0, ssl=context))
        port = server.sockets[0].getsockname()[1]
        thread = threading.Thread(target=loop.run_forever, daemon=True)
        thread.start()
        real = socket.getaddrinfo

        def lookup(host: Any, service: Any, *args: Any, **more: Any) -> Any:
            name = host.decode() if isinstance(host, bytes) else host
            assert name in ("127.0.0.1", "localhost", None) or str(name).endswith("alpaca.markets"), f"it reached out to {name}"
            return real("127.0.0.1", port if str(name).endswith("alpaca.markets") else service, *args, **more)

        monkeypatch.setattr(socket, "getaddrinfo", lookup)
        try:
            yield
        finally:
            loop.call_soon_threadsafe(server.close)
            loop.call_soon_threadsafe(lambda: [task.cancel() for task in asyncio.all_tasks(loop)])
            loop.call_soon_threadsafe(loop.call_later, 0.2, loop.stop)
            thread.join()
            loop.close()


def trust(certificate: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(requests.adapters, "DEFAULT_CA_BUNDLE_PATH", str(certificate / "cert.pem"))
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate / "cert.pem"))


@pytest.mark.usefixtures("stand_in", "proven")
def test_the_account_must_be_the_one_that_was_named(
    tmp_path: Path, limits: Path, certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trust(certificate, monkeypatch)
    done = live(tmp_path, "--limits", str(limits), "--account", "another", SSL_CERT_FILE=str(certificate / "cert.pem"))
    assert done.returncode == 1
    last = done.stderr.splitlines()[-1]
    assert last.startswith("pyrt: --account: these keys open account ")
    assert "not another" in last
    account = last.split("open account ")[1].split(",")[0]
    # Without the watchdog, a process of its own that no stand-in would meet.
    options = ("--limits", str(limits), "--account", account, "--no-watchdog", "--for", "2s", "--journal", str(tmp_path / "state"))
    done = live(tmp_path, *options, SSL_CERT_FILE=str(certificate / "cert.pem"))
    assert done.returncode == 0, done.stderr
    assert f"session on alpaca-live, account {account}" in done.stdout
    with pytest.raises(ConfigError, match="live trading is refused"):
        check_url("https://api.alpaca.markets")


@pytest.mark.usefixtures("stand_in", "proven")
def test_a_certificate_that_nobody_vouches_for_gets_no_keys(tmp_path: Path, limits: Path) -> None:
    done = live(tmp_path, "--limits", str(limits), "--account", "x")
    assert done.returncode == 1
    assert "no answer (SSLError)" in done.stderr
    assert NotConnected.__name__ not in done.stderr


@pytest.mark.parametrize("transport", [REQUESTS, DIRECT])
@pytest.mark.usefixtures("stand_in")
def test_every_transport_asks_who_is_there_before_it_says_who_it_is(
    transport: str, certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = Keys(Secret(KEY), Secret(SECRET))
    url, attempt = "https://paper-api.alpaca.markets", Attempt()
    stranger = venue_session(url, keys, transport)
    with pytest.raises(Broken, match="SSL"):
        stranger.exchange(attempt, "GET", "/v2/account", None, 30.0)
    assert not attempt.sent
    stranger.close()
    trust(certificate, monkeypatch)
    known = venue_session(url, keys, transport)
    for _ in range(2):
        assert known.exchange(attempt, "GET", "/v2/account", None, 30.0).status == 200
    known.close()
