"""A latch that closes in a real session is heard of outside, whatever the other ways do."""

import json
import signal
import socket
import socketserver
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from tests.e2e.processes import Run, wait_for

from pyrt.live.alerts import WAITING, Alert, _Way

Start = Callable[..., Run]


class Hook(ThreadingHTTPServer):
    """A webhook; it answers no POST while it is `stuck`."""

    daemon_threads = True

    def __init__(self) -> None:
        self.told: list[dict[str, Any]] = []
        self.posts = self.beats = 0
        self.stuck = False
        self.freed = threading.Event()
        super().__init__(("127.0.0.1", 0), Answer)
        self.url = f"http://127.0.0.1:{self.server_port}"


class Answer(BaseHTTPRequestHandler):
    server: Hook

    def do_POST(self) -> None:
        self.server.posts += 1
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.server.stuck:
            self.server.freed.wait(60)
        else:
            self.server.told.append(json.loads(body))
            self.send_response(204)
            self.end_headers()

    def do_GET(self) -> None:
        self.server.beats += 1
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Nothing on the terminal."""


class Mail(socketserver.StreamRequestHandler):
    """A mail server's least, from one connection to the next."""

    def handle(self) -> None:
        self.wfile.write(b"220 here\r\n")
        while line := self.rfile.readline():
            verb = line[:4].upper()
            if verb == b"DATA":
                self.wfile.write(b"354 go on\r\n")
                text = b""
                while not text.endswith(b"\r\n.\r\n"):
                    text += self.rfile.readline()
                self.server.mails.append(text.decode())  # type: ignore[attr-defined]
            self.wfile.write(b"221 bye\r\n" if verb == b"QUIT" else b"250 ok\r\n")
            if verb == b"QUIT":
                return


@pytest.fixture
def hook() -> Iterator[Hook]:
    with Hook() as server:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        yield server
        server.freed.set()
        server.shutdown()


@pytest.fixture
def mails() -> Iterator[tuple[str, list[str]]]:
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Mail) as server:
        server.daemon_threads = True
        server.mails = []  # type: ignore[attr-defined]
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        yield f"127.0.0.1:{server.server_address[1]}", server.mails  # type: ignore[attr-defined]
        server.shutdown()


def configured(tmp_path: Path, hook: Hook, smtp: str) -> list[str]:
    file = tmp_path / "alerts.toml"
    lines = [f'webhook = "{hook.url}/in"', f'heartbeat = "{hook.url}/beat"', f'smtp = "{smtp}"', 'mail_to = "anna@example.org"']
    file.write_text("\n".join(["[alerts]", *lines]) + "\n")
    file.chmod(0o600)
    return ["--config", str(file)]


def test_a_webhook_that_hangs_does_not_delay_the_mail(
    hook: Hook, mails: tuple[str, list[str]], start: Start, busy: list[str], tmp_path: Path
) -> None:
    smtp, received = mails
    hook.stuck = True
    run = start(*busy, *configured(tmp_path, hook, smtp)).until("trading:")
    wait_for(lambda: hook.beats, "a heartbeat, which a session that is KILLED has none of")
    run.process.send_signal(signal.SIGUSR1)
    wait_for(lambda: any("kind: latch" in mail and "KILLED" in mail for mail in received), "the mail")
    assert not hook.told  # not one of its attempts has ended well
    wait_for(lambda: hook.posts >= 1, "the attempt at the webhook")
    hook.stuck = False
    hook.freed.set()
    wait_for(lambda: any(told["kind"] == "latch" for told in hook.told), "the webhook, which is tried again")
    run.end(signal.SIGINT)
    assert run.process.returncode == 0, run.log


def test_a_mail_server_that_hangs_and_then_refuses_does_not_delay_the_webhook(
    hook: Hook, start: Start, busy: list[str], tmp_path: Path
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as nobody:  # who connects gets no word
        run = start(*busy, *configured(tmp_path, hook, f"127.0.0.1:{nobody.getsockname()[1]}")).until("trading:")
        run.process.send_signal(signal.SIGUSR1)
        told = wait_for(lambda: next((told for told in hook.told if told["kind"] == "latch"), None), "the webhook")
        assert (told["scope"], told["severity"], "KILLED" in told["text"]) == ("system", "critical", True)
        assert "was not sent by e-mail" not in run.log  # its three attempts of 14 s in all were not yet over
        nobody.close()
        run.until("was not sent by e-mail")
        run.end(signal.SIGINT)
        assert run.process.returncode == 0, run.log


def test_a_latch_overtakes_alarms_that_wait() -> None:
    begun, go = threading.Event(), threading.Event()
    sent: list[str] = []

    def send(alert: Alert) -> None:
        begun.set()
        go.wait(60)
        sent.append(alert.code)

    def alert(kind: str, code: str) -> Alert:
        return Alert(kind=kind, severity="critical", code=code, scope="", text="", ts=0, venue="", account="", host="")

    way = _Way("test", send)
    way.offer(alert("alarm", "0"))
    assert begun.wait(60)
    for n in range(WAITING // 2 + 1):
        way.offer(alert("alarm", str(n + 1)))
    way.offer(alert("latch", "L"))
    go.set()
    way.close(time.monotonic() + 60)
    assert sent[:3] == ["0", "L", "1"]
    assert (way.sent, way.given_up) == (WAITING // 2 + 2, 1)
