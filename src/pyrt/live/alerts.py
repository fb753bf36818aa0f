"""What must reach a human who does not look: latches, alarms and the end of a session, by webhook, command and e-mail; a heartbeat.

Each way has a thread of its own: one that is slow or down delays neither the session nor the others. A way that fails is tried
again and then given up for that alert; how many were given up is logged and counted.
"""

import asyncio
import itertools
import logging
import queue
import shlex
import shutil
import smtplib
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable
from email.message import EmailMessage
from urllib.parse import urlsplit

import msgspec
import requests

from pyrt.config.schema import AlertsSection
from pyrt.config.secret import Secret
from pyrt.errors import ConfigError
from pyrt.live.control import WHOLE
from pyrt.live.plan import Live
from pyrt.live.troubles import OVER
from pyrt.model import Alarmed, Latched, Message
from pyrt.monitor import Level
from pyrt.process import bare_environment
from pyrt.venues.alpaca.keys import is_loopback

log = logging.getLogger("pyrt")
PATIENCE = 4.0  # seconds for one attempt: a latch is to be known within five
PAUSES = (0.5, 2.0)  # seconds before the second attempt, and the third
WAITING = 1_000  # alerts that one way may be behind; alarms leave half of it to latches and the end
FIRST, THEN, LAST = range(3)  # latches and the end overtake alarms; what ends the thread comes after all
FAREWELL = 10.0  # seconds for what waits when the session ends
SEVERITIES = ("warning", "critical")


class Alert(msgspec.Struct, frozen=True, kw_only=True):
    """What is sent: JSON to the webhook and to the command's standard input, text in the mail. No key, no address of ours."""

    kind: str  # "latch", "alarm", "end"
    severity: str
    code: str
    scope: str
    text: str
    ts: int  # venue ns
    venue: str
    account: str
    host: str


class _Way:
    """One way out, with its thread."""

    def __init__(self, name: str, send: Callable[[Alert], None]) -> None:
        self.name = name
        self.sent = self.given_up = 0
        self._send = send
        self._until = float("inf")  # monotonic s at which the session ends without what still waits
        self._queue: queue.PriorityQueue[tuple[int, int, Alert | None]] = queue.PriorityQueue()
        self._offered = itertools.count()
        self._thread = threading.Thread(target=self._work, name=f"alerts {name}", daemon=True)
        self._thread.start()

    def offer(self, alert: Alert) -> None:
        rank = THEN if alert.kind == "alarm" else FIRST
        if self._queue.qsize() >= (WAITING // 2 if rank == THEN else WAITING):
            self._lost(alert, "too many wait")
        else:
            self._queue.put_nowait((rank, next(self._offered), alert))

    def close(self, until: float) -> None:
        self._until = until
        self._queue.put_nowait((LAST, next(self._offered), None))
        self._thread.join(max(0.0, until - time.monotonic()))

    def _work(self) -> None:
        while (alert := self._queue.get()[2]) is not None:
            for pause in (*PAUSES, None):
                try:
                    self._send(alert)
                    self.sent += 1
                    break
                except Exception as e:  # whatever a library raises: the thread goes on, or later alerts are lost without a word
                    if pause is None or time.monotonic() + pause > self._until:
                        self._lost(alert, type(e).__name__)  # its text may hold the address, which is a secret
                        break
                    time.sleep(pause)
            if time.monotonic() > self._until:
                return

    def _lost(self, alert: Alert, why: str) -> None:
        self.given_up += 1
        log.error("the alert %s %s was not sent by %s: %s (%d so far)", alert.kind, alert.code, self.name, why, self.given_up)


class Alerts:
    """A companion of a session: give it to Plan.companions, and `hear` to Plan.listeners. Raises ConfigError."""

    def __init__(self, config: AlertsSection, *, venue: str, account: str) -> None:
        _check(config)
        self._config = config
        self._venue, self._account = venue, account
        self._least = SEVERITIES.index(config.level)
        self._ts = 0
        self.beats = self.missed_beats = 0
        self._unwell = ""  # why the heartbeat pauses
        self._ways: list[_Way] = []
        if config.webhook:
            self._ways.append(_Way("webhook", lambda alert: _post(config.webhook, alert)))
        if config.command:
            self._ways.append(_Way("command", lambda alert: _run(config.command, alert)))
        if config.mail_to:
            self._ways.append(_Way("e-mail", lambda alert: _mail(config, alert)))

    @property
    def sent(self) -> dict[str, tuple[int, int]]:
        """By each way: how many alerts went out, and how many were given up."""
        return {way.name: (way.sent, way.given_up) for way in self._ways}

    def hear(self, message: Message) -> None:
        """Take in what a session tells; never waits."""
        if isinstance(message, Latched):
            self._ts = message.ts
            severity = "warning" if message.level == "ACTIVE" else "critical"
            self._tell("latch", severity, message.code, message.scope, f"{message.level}: {message.reason} ({message.who})")
        elif isinstance(message, Alarmed):
            self._ts = message.ts
            self._tell("alarm", message.severity, message.code, "", message.text)

    async def _alive(self, live: Live) -> None:
        """Ask for the heartbeat while all is well; say once that it pauses, and why."""
        why = unwell(live)
        if bool(why) != bool(self._unwell):
            log.log(logging.WARNING if why else logging.INFO, "the heartbeat %s", f"pauses: {why}" if why else "goes on")
        self._unwell = why
        if not why:
            await asyncio.to_thread(self._beat)

    async def __call__(self, live: Live) -> None:
        try:
            while True:
                if self._config.heartbeat:
                    await self._alive(live)
                await asyncio.sleep(self._config.heartbeat_secs)
        finally:
            if live.shell.failed:
                self._tell("end", "critical", "SESSION_FAILED", "", live.shell.failed)
            await asyncio.shield(asyncio.to_thread(self.close))

    def close(self, farewell: float | None = None) -> None:
        """Send what waits, for a while, s, and end."""
        until = time.monotonic() + (FAREWELL if farewell is None else farewell)
        for way in self._ways:
            way.close(until)

    def _beat(self) -> None:
        try:
            address = self._config.heartbeat.reveal()
            # stream: what is answered beside the status is not read, however much it is
            with requests.get(address, timeout=PATIENCE, allow_redirects=False, stream=True) as answer:
                answer.raise_for_status()
            self.beats += 1
        except (requests.RequestException, OSError) as e:
            self.missed_beats += 1
            if self.missed_beats in (1, 10, 100):
                log.warning("the heartbeat was not taken: %s (%d so far)", type(e).__name__, self.missed_beats)

    def _tell(self, kind: str, severity: str, code: str, scope: str, text: str) -> None:
        if code not in OVER and (severity not in SEVERITIES or SEVERITIES.index(severity) < self._least):
            return
        alert = Alert(
            kind=kind,
            severity=severity,
            code=code,
            scope=scope,
            text=text,
            ts=self._ts,
            venue=self._venue,
            account=self._account,
            host=socket.gethostname(),
        )
        for way in self._ways:
            way.offer(alert)


def unwell(live: Live) -> str:
    """Why somebody should look after a session; "" = all is well."""
    if live.shell.failed or live.shell.journal.failed is not None:
        return live.shell.failed or str(live.shell.journal.failed)
    if not live.runner.recovered.is_set():
        return "recovery has not ended"
    if live.vigil.standing:
        return live.vigil.standing
    closed = [f"{s} {f.level}" for s, f in live.session.risk.latches.items() if s in WHOLE and Level[f.level] >= Level.HALTED]
    return ", ".join(closed)


def _check(config: AlertsSection) -> None:
    for name, url in (("webhook", config.webhook), ("heartbeat", config.heartbeat)):
        if url and not url.reveal().startswith(("https://", "http://")):
            raise ConfigError("is not an address", where=f"[alerts] {name}", mend="write https://...")
        if url and url.reveal().startswith("http://") and not is_loopback(urlsplit(url.reveal()).hostname or ""):
            raise ConfigError("would cross a network in the clear", where=f"[alerts] {name}", mend="write https://...")
    host, _, port = config.smtp.partition(":")
    if config.mail_to and not (host and port.isascii() and port.isdigit() and 0 < int(port) < 65_536):
        raise ConfigError(f"{config.smtp!r} is not HOST:PORT", where="[alerts] smtp", mend='write it like "localhost:25"')
    if config.command:
        try:
            program = shlex.split(config.command)[0]
        except (ValueError, IndexError):
            raise ConfigError("cannot be split into words", where="[alerts] command", mend="close its quotes") from None
        if shutil.which(program) is None:
            raise ConfigError(f"{program!r} is no program", where="[alerts] command", mend="give its whole path")


def _post(url: Secret, alert: Alert) -> None:
    body, kind = msgspec.json.encode(alert), {"Content-Type": "application/json"}
    with requests.post(url.reveal(), data=body, headers=kind, timeout=PATIENCE, allow_redirects=False, stream=True) as answer:
        answer.raise_for_status()


def _run(command: str, alert: Alert) -> None:
    subprocess.run(
        shlex.split(command),
        input=msgspec.json.encode(alert),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        timeout=PATIENCE,
        check=True,
        env=bare_environment(),
    )


def _mail(config: AlertsSection, alert: Alert) -> None:
    host, _, port = config.smtp.partition(":")
    mail = EmailMessage()
    mail["Subject"] = f"pyrt {alert.severity}: {alert.code} {alert.scope}".strip()
    mail["From"], mail["To"] = config.mail_from or config.mail_to, config.mail_to
    mail.set_content("\n".join(f"{key}: {value}" for key, value in msgspec.structs.asdict(alert).items()))
    with smtplib.SMTP(host, int(port or 25), timeout=PATIENCE) as server:
        if server.ehlo()[0] == 250 and server.has_extn("starttls"):
            server.starttls(context=ssl.create_default_context())  # without one smtplib takes any certificate
            server.ehlo()
        elif config.smtp_user and not is_loopback(host):  # a server, or somebody before it, that offers no TLS gets no password
            raise smtplib.SMTPNotSupportedError("no STARTTLS")
        if config.smtp_user:
            server.login(config.smtp_user, config.smtp_password.reveal())
        server.send_message(mail)
