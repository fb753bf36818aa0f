"""Alerts reach a webhook, a program and a mailbox; what is down delays nobody; secrets stay out of what is told."""

import json
import logging
import queue
import socketserver
import sys
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.cli.processes import pyrt, running

from pyrt.config import Secret
from pyrt.config.schema import AlertsSection
from pyrt.errors import ConfigError
from pyrt.live.alerts import Alerts
from pyrt.live.sweep_alert import alerts_of as alerts_told
from pyrt.live.sweep_alert import handed_on
from pyrt.model import Alarmed, Latched

PATIENCE = 60.0  # s, against hanging alone
SOON = 5.0  # a closed latch is known within so many seconds
TICK = 0.02  # s between two looks at how late this process is called
LATCH = Latched(level="HALTED", scope="system", code="KILLED", reason="a drill", who="test", ts=7)


class Hook(ThreadingHTTPServer):
    """Keeps what is posted, counts what is asked for; refuses the first `refusals` posts."""

    def __init__(self, refusals: int = 0) -> None:
        self.posts: queue.Queue[dict[str, Any]] = queue.Queue()
        self.beats: queue.Queue[str] = queue.Queue()
        self.refusals = refusals
        super().__init__(("127.0.0.1", 0), Receiver)
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/token-of-ours"


class Receiver(BaseHTTPRequestHandler):
    server: Hook

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        refused = self.server.refusals > 0
        self.server.refusals -= refused
        self.send_response(503 if refused else 200)
        self.end_headers()
        if not refused:
            self.server.posts.put(body)

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.server.beats.put(self.path)

    def log_message(self, *_: object) -> None:
        pass


class Mailbox(socketserver.StreamRequestHandler):
    """As much of SMTP as one mail needs."""

    def handle(self) -> None:
        self.wfile.write(b"220 ready\r\n")
        while line := self.rfile.readline():
            word = line[:4].upper()
            if word == b"DATA":
                self.wfile.write(b"354 go on\r\n")
                lines = []
                while (text := self.rfile.readline()) != b".\r\n":
                    lines.append(text)
                self.server.mails.put(b"".join(lines).decode())  # type: ignore[attr-defined]
            self.wfile.write(b"221 bye\r\n" if word == b"QUIT" else b"250 ok\r\n")
            if word == b"QUIT":
                return


@pytest.fixture
def hook() -> Iterator[Callable[..., Hook]]:
    made: list[Hook] = []

    def make(refusals: int = 0) -> Hook:
        made.append(Hook(refusals))
        return made[-1]

    yield make
    for one in made:
        one.shutdown()
        one.server_close()


@pytest.fixture(autouse=True)
def machine_at_leisure(monkeypatch: pytest.MonkeyPatch) -> None:
    """An attempt and the farewell last as long as a machine may stand still: who is too slow here has failed."""
    monkeypatch.setattr("pyrt.live.alerts.PATIENCE", PATIENCE)
    monkeypatch.setattr("pyrt.live.alerts.FAREWELL", PATIENCE)


class Machine(threading.Thread):
    """Notes how many seconds the machine takes from this process."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.late = 0.0
        self._over = threading.Event()

    def run(self) -> None:
        while not self._over.is_set():
            begun = time.monotonic()
            self._over.wait(TICK)
            self.late += max(0.0, time.monotonic() - begun - TICK)

    def end(self) -> float:
        self._over.set()
        self.join()
        return self.late


def alerts_of(**settings: Any) -> Alerts:
    return Alerts(AlertsSection(**settings), venue="sim", account="a-1")


def test_a_latch_reaches_every_way(hook: Callable[..., Hook], tmp_path: Path) -> None:
    web = hook()
    program = tmp_path / "program.py"
    program.write_text(f"import sys\nopen({str(tmp_path / 'told')!r}, 'a').write(sys.stdin.read() + chr(10))\n")
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Mailbox) as smtp:
        smtp.mails = queue.Queue()  # type: ignore[attr-defined]
        threading.Thread(target=smtp.serve_forever, daemon=True).start()
        alerts = alerts_of(
            webhook=Secret(web.url),
            command=f"{sys.executable} {program}",
            smtp=f"127.0.0.1:{smtp.server_address[1]}",
            mail_to="me@example.org",
        )
        machine = Machine()
        machine.start()
        begun = time.monotonic()
        alerts.hear(LATCH)
        told = web.posts.get(timeout=PATIENCE)
        assert time.monotonic() - begun < SOON + machine.end()
        assert (told["kind"], told["severity"], told["scope"], told["ts"]) == ("latch", "critical", "system", 7)
        assert "a drill" in told["text"]
        mail = smtp.mails.get(timeout=PATIENCE)  # type: ignore[attr-defined]
        assert "Subject: pyrt critical: KILLED system" in mail
        assert "To: me@example.org" in mail
        alerts.close()
        smtp.shutdown()
    assert json.loads((tmp_path / "told").read_text()) == told
    assert alerts.sent == {"webhook": (1, 0), "command": (1, 0), "e-mail": (1, 0)}


def test_only_what_is_severe_enough_is_told(hook: Callable[..., Hook]) -> None:
    web = hook()
    alerts = alerts_of(webhook=Secret(web.url))
    alerts.hear(Alarmed(severity="warning", code="BREAK", text="a break", ts=1))
    alerts.hear(Alarmed(severity="info", code="SWEPT", text="nothing", ts=2))
    alerts.hear(LATCH)
    assert web.posts.get(timeout=PATIENCE)["kind"] == "latch"
    all_of_it = alerts_of(webhook=Secret(web.url), level="warning")
    all_of_it.hear(Alarmed(severity="warning", code="BREAK", text="a break", ts=1))
    assert web.posts.get(timeout=PATIENCE)["code"] == "BREAK"
    alerts.close()
    all_of_it.close()
    assert web.posts.empty()


def test_a_refusal_is_tried_again_and_a_way_that_is_down_is_given_up(
    hook: Callable[..., Hook], caplog: pytest.LogCaptureFixture
) -> None:
    web = hook(refusals=2)
    alerts = alerts_of(webhook=Secret(web.url), command="false")
    with caplog.at_level(logging.ERROR, logger="pyrt"):
        alerts.hear(LATCH)
        assert web.posts.get(timeout=PATIENCE)["code"] == "KILLED"  # beside a program that fails
        alerts.close()
    assert alerts.sent == {"webhook": (1, 0), "command": (0, 1)}
    assert "was not sent by command" in caplog.text


def test_a_mail_that_cannot_be_written_costs_itself_alone(caplog: pytest.LogCaptureFixture) -> None:
    alerts = alerts_of(mail_to="me@example.org", smtp="127.0.0.1:9")
    broken = msgspec.structs.replace(
        LATCH, code="A\nBCC: everybody"
    )  # no header may hold a line end: the library raises ValueError
    with caplog.at_level(logging.ERROR, logger="pyrt"):
        alerts.hear(broken)
        alerts.hear(broken)
        alerts.close()
    assert alerts.sent == {"e-mail": (0, 2)}
    assert caplog.text.count("was not sent by e-mail: ValueError") == 2


def test_the_session_never_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pyrt.live.alerts.FAREWELL", 0.0)
    alerts = alerts_of(webhook=Secret("http://127.0.0.1:9/token-of-ours"))
    for _ in range(1_500):  # more than may wait
        alerts.hear(LATCH)
    assert alerts.sent["webhook"][1] >= 400  # let go at once, and counted
    alerts.close()


@pytest.mark.parametrize(
    ("settings", "what"),
    [
        ({"webhook": Secret("example.org")}, "[alerts] webhook"),
        ({"heartbeat": Secret("ftp://example.org")}, "[alerts] heartbeat"),
        ({"mail_to": "me@example.org", "smtp": "localhost"}, "HOST:PORT"),
        ({"command": "no-such-program-at-all x"}, "is no program"),
        ({"command": "'unclosed"}, "close its quotes"),
    ],
)
def test_what_cannot_work_is_said_before_the_session_begins(settings: dict[str, Any], what: str) -> None:
    with pytest.raises(ConfigError) as told:
        alerts_of(**settings)
    assert what in str(told.value)


def test_the_end_of_a_trouble_is_told_as_its_beginning_was(hook: Callable[..., Hook]) -> None:
    web = hook()
    alerts = alerts_of(webhook=Secret(web.url))
    for severity, code in (("critical", "DATA_AWAY"), ("info", "STRATEGY"), ("info", "DATA_BACK")):
        alerts.hear(Alarmed(severity=severity, code=code, text="over", ts=1))
    assert [web.posts.get(timeout=PATIENCE)["code"] for _ in range(2)] == ["DATA_AWAY", "DATA_BACK"]
    alerts.close()
    assert alerts.sent == {"webhook": (2, 0)}


def test_what_a_watchdog_is_given_tells_by_the_same_ways(hook: Callable[..., Hook]) -> None:
    web = hook()
    config = AlertsSection(webhook=Secret(web.url), command="true", mail_to="me@example.org", smtp_password=Secret("pass-word"))
    text = handed_on(config, "sim", "a-1")
    assert web.url not in f"{text}{text!r}"
    alerts = alerts_told(text.reveal())
    assert list(alerts.sent) == ["webhook", "command", "e-mail"]
    alerts.close(0.0)
    with pytest.raises(ConfigError, match="shorten the addresses"):
        handed_on(msgspec.structs.replace(config, webhook=Secret("https://" + "x" * 20_000)), "sim", "a-1")


def test_a_running_session_tells_its_kill_and_beats(hook: Callable[..., Hook], tmp_path: Path) -> None:
    web = hook()
    file = tmp_path / "pyrt.toml"
    file.touch(mode=0o600)
    file.write_text(f'[alerts]\nwebhook = "{web.url}"\nheartbeat = "{web.url}/beat"\nheartbeat_secs = 0.2\n')
    state = tmp_path / "state"
    with running(tmp_path, "--config", str(file), "--sim-state", str(state)) as session:
        assert web.beats.get(timeout=PATIENCE) == "/token-of-ours/beat"
        killed = pyrt(tmp_path, "kill", "--state", str(state), "--why", "a drill")
        assert killed.returncode == 0, killed.stderr
        told = web.posts.get(timeout=PATIENCE)
        assert (told["kind"], told["code"], told["venue"]) == ("latch", "KILLED", "sim")
        session.terminate()
        said = "".join(session.communicate(timeout=100))
    assert "token-of-ours" not in said
