"""How people and other processes stop a running session: the file KILL, SIGUSR1, and the risk page that blocks at once.

KILL in the state directory is a JSON object {"level", "scope", "who", "why", "id"}; what is left out means: KILLED, system.
An empty file is enough. It is removed when the latch is durable; kill.json beside it tells how far the cancels are.
"""

import asyncio
import logging
import os
from collections.abc import Callable
from pathlib import Path

import msgspec

from pyrt.live.shell import LiveShell
from pyrt.model import Latched, Message
from pyrt.monitor import Level, RiskPage
from pyrt.ports import Alarm, Kill, StreamState
from pyrt.session import Session
from pyrt.watchdog import Watchdog

log = logging.getLogger("pyrt")
REQUEST, REPORT = "KILL", "kill.json"
LONGEST = 65_536  # bytes of a request that are read
TICK = 0.1  # s between two looks for the file, and between heartbeats
WHOLE = ("system", "account")


class KillRequest(msgspec.Struct, kw_only=True):
    """What somebody wants latched. scope: system, account, strategy:NAME or a symbol."""

    level: str = "KILLED"
    scope: str = "system"
    who: str = ""
    why: str = ""
    id: str = ""


class KillReport(msgspec.Struct, kw_only=True):
    """How far a kill is. `open` counts the orders that it covers and the venue has not yet proved gone."""

    id: str
    level: str
    scope: str
    durable: bool = False  # the latch survives whatever comes now
    verified: bool = False  # the venue showed twice that nothing is left
    open: int = 0
    failed: str = ""


def ask(directory: Path, request: KillRequest) -> None:
    """Put a request where the session of a state directory, running or next to run, finds it. Raises OSError."""
    if request.scope in WHOLE and request.level in Level.__members__ and (page := RiskPage.find(directory)) is not None:
        page.close_latch(Level[request.level])  # before anything else: from here on no order leaves
        page.close()
    _replace(directory / REQUEST, msgspec.json.encode(request))


def report(directory: Path) -> KillReport | None:
    """The last report of a state directory."""
    try:
        return msgspec.json.decode((directory / REPORT).read_bytes(), type=KillReport)
    except (OSError, msgspec.DecodeError):
        return None


def _replace(path: Path, content: bytes) -> None:
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with os.fdopen(fd, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(fd)
    temporary.replace(path)


class Control:
    """Beats, looks for KILL, keeps the page's level equal to the journal's latch. Lives on the loop's thread."""

    def __init__(self, directory: Path, page: RiskPage, shell: LiveShell, session: Session, watchdog: Watchdog | None) -> None:
        self._directory = directory
        self._page = page
        self._shell = shell
        self._session = session
        self._watchdog = watchdog
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._stuck: tuple[int, int] | None = None  # inode and change of a request that could not be removed: acted upon once
        self._answering: tuple[KillReport, int, Callable[[], None]] | None = None  # report, seq of the latch, what ends it
        shell.listeners.append(self._hear)
        shell.watchers.append(self._see)

    def start(self) -> None:
        """Take the journal's latch over to the page, a waiting KILL before anything is traded, and begin to beat."""
        pending = self._request()
        left = Level(min(self._page.level, Level.KILLED))  # by the session before
        latched = max((Level[f.level] for s, f in self._session.risk.latches.items() if s in WHOLE), default=Level.ACTIVE)
        asked = pending[0] if pending is not None else None
        whole = asked is not None and asked.scope in WHOLE and asked.level in Level.__members__
        told = max(latched, Level[asked.level]) if asked is not None and whole else latched
        if left >= Level.HALTED and left > told:  # its journal could not hold the latch, and its disk no request as strong
            self._act(KillRequest(level=left.name, who="risk page", why="closed when the last session ended"), lambda: None)
        elif pending is not None:
            self._page.close_latch(latched)
        else:
            self._page.level = latched
        self._tick()

    def close(self) -> None:
        """Stop beating."""
        if self._timer is not None:
            self._timer.cancel()

    def on_signal(self) -> None:
        """SIGUSR1: everything stops."""
        self._act(KillRequest(who=f"uid {os.getuid()}", why="SIGUSR1"), lambda: None)

    # ------------------------------------------------------------------------------------------------ the tick
    def _tick(self) -> None:
        self._timer = self._loop.call_later(TICK, self._tick)
        self._page.beat()
        self._guard()
        if self._answering is not None:
            self._follow()
        elif (self._directory / REQUEST).exists():
            self._read()

    def _guard(self) -> None:
        if self._watchdog is not None and (status := self._watchdog.ended) is not None:
            text = f"the watchdog ended with status {status}; another one is started"
            self._shell.alarm(Alarm(severity="critical", code="WATCHDOG", text=text))
            self._watchdog.restart()

    def _request(self) -> tuple[KillRequest, tuple[int, int], bytes | None] | None:
        """What waits, which file it is, and its bytes, None where they cannot be read. Whatever it says: somebody wants a stop."""
        path = self._directory / REQUEST
        try:
            status = path.stat()
        except OSError:
            return None
        content: bytes | None = None
        try:
            with path.open("rb") as file:
                content = file.read(LONGEST)
            request = msgspec.json.decode(content.strip() or b"{}", type=KillRequest)
        except FileNotFoundError:
            return None
        except (OSError, msgspec.DecodeError, RecursionError):
            request = KillRequest(why="a KILL file that cannot be read")
        request.who, request.why = request.who or f"uid {status.st_uid}", request.why or "the file KILL"
        return request, (status.st_ino, status.st_mtime_ns), content

    def _read(self) -> None:
        found = self._request()
        if found is None or found[1] == self._stuck:
            return
        request, which, content = found

        def done() -> None:
            now = self._request()
            if now is None or now[1:] != (which, content):  # a newer request stays
                return
            try:
                (self._directory / REQUEST).unlink()
            except OSError as e:
                self._stuck = which
                log.error("%s was acted upon and cannot be removed (%s): the next start stops again", REQUEST, e.strerror)

        self._act(request, done)

    def _act(self, request: KillRequest, done: Callable[[], None]) -> None:
        scope = self._scope(request.scope)
        answer = KillReport(id=request.id, level=request.level, scope=request.scope)
        if request.level not in Level.__members__ or request.level == "ACTIVE" or not scope:
            known = ", ".join(["system", "account", *(f"strategy:{n}" for n in self._names()), *self._symbols()])
            answer.failed = f"no latch {request.scope!r} at level {request.level!r}; there are {known}"
            log.error("KILL_REFUSED: %s", answer.failed)
            self._answer(answer)
            done()
            return
        if scope in WHOLE:
            self._page.close_latch(Level[request.level])
        self._shell.handle(Kill(level=request.level, scope=scope, reason=request.why, who=request.who))
        self._answering = (answer, self._shell.appended, done)
        self._follow()

    def _follow(self) -> None:
        assert self._answering is not None
        answer, seq, done = self._answering
        before = (answer.durable, answer.open)
        journaled = self._shell.journal.failed is None  # else the latch is only known here, and the request must stay
        answer.durable = answer.durable or (journaled and self._shell.journal.durable >= seq)
        answer.failed = self._shell.failed
        answer.open = self._left(answer)
        answer.verified = self._session.execution.recovered and not self._session.execution.sweeping and not answer.open
        if (answer.durable, answer.open) != before or answer.verified or answer.failed:
            self._answer(answer)
        if answer.durable:
            done()
        if (answer.durable and answer.verified) or answer.failed:
            log.info("KILL: %s is %s, %d open orders left", answer.scope, answer.level, answer.open)
            self._answering = None

    def _left(self, answer: KillReport) -> int:
        scope = self._scope(answer.scope)
        execution = self._session.execution
        mild = answer.level == "REDUCING"
        covered = [o for o in execution.open_orders() if not execution.foreign(o) and not (mild and (o.reduce_only or o.external))]
        return sum(scope in (*WHOLE, f"strategy:{o.strategy}", f"instrument:{o.instrument}") for o in covered)

    def _answer(self, answer: KillReport) -> None:
        try:
            _replace(self._directory / REPORT, msgspec.json.encode(answer))
        except OSError as e:
            log.warning("%s: %s", self._directory / REPORT, e.strerror)

    # ------------------------------------------------------------------------------------------------ scopes
    def _scope(self, text: str) -> str:
        """The latch that a person's words mean; "" for none."""
        if text in WHOLE:
            return text
        kind, _, name = text.partition(":")
        if kind == "strategy":
            number = name if name.isdecimal() else str(self._names().get(name, ""))
            return f"strategy:{number}" if number else ""
        instrument = self._session.instruments.get(text.removeprefix("instrument:").upper())
        return f"instrument:{instrument.id}" if instrument is not None else ""

    def _names(self) -> dict[str, int]:
        return {strategy.name: number for number, strategy in self._session.strategies.items()}

    def _symbols(self) -> list[str]:
        return [instrument.symbol for instrument in self._session.instruments]

    # ------------------------------------------------------------------------------------------------ what the session says
    def _hear(self, message: Message) -> None:
        if isinstance(message, Latched) and message.scope in WHOLE:
            latches = {s: Level[f.level] for s, f in self._session.risk.latches.items() if s in WHOLE}
            level = max({**latches, message.scope: Level[message.level]}.values())
            if level > self._page.level or message.level == "ACTIVE":
                self._page.level = level

    def _see(self, event: object) -> None:
        if isinstance(event, StreamState) and event.stream == "data":
            self._page.data(event.up)
