"""How people and other processes stop a running session: the file KILL, SIGUSR1, and the risk page that blocks at once.

KILL in the state directory is a JSON object {"level", "scope", "who", "why", "id", "everything"}; what is left out means:
KILLED, system, nobody else's orders. An empty file is enough. It is removed when the latch is durable; kill.json beside it tells
how far the cancels are. Where one waits already the next is KILL.<16 hexadecimal digits>: no request takes the place of another,
or waits for its proof.
"""

import asyncio
import logging
import os
import re
import secrets
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

import msgspec

from pyrt.errors import ConfigError
from pyrt.journal.segments import sync_directory
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
REBIRTH = 10.0  # s between two tries to start a watchdog in place of one that ended
NEVER = 1 << 63  # no fact has this number
OTHERS = 15  # reports that stay beside the newest
WHOLE = ("system", "account")
_NAME = re.compile(rf"{REQUEST}(\.[0-9a-f]{{16}})?")


class KillRequest(msgspec.Struct, kw_only=True):
    """What somebody wants latched. scope: system, account, strategy:NAME or a symbol."""

    level: str = "KILLED"
    scope: str = "system"
    who: str = ""
    why: str = ""
    id: str = ""
    everything: bool = False  # cancel the orders of others too: of a whole scope at HALTED or KILLED


class KillReport(msgspec.Struct, kw_only=True):
    """How far a kill is. `open` counts the orders that it covers and the venue has not yet proved gone."""

    id: str
    level: str
    scope: str
    durable: bool = False  # the latch survives whatever comes now
    verified: bool = False  # the venue showed twice that nothing is left
    open: int = 0
    failed: str = ""
    others: list["KillReport"] = []  # of requests before it, the last ones
    everything: bool = False


def ask(directory: Path, request: KillRequest) -> None:
    """Put a request where the session of a state directory, running or next to run, finds it. Raises OSError."""
    if request.scope in WHOLE and request.level in Level.__members__:
        try:
            page = RiskPage.find(directory)
            if page is not None:
                page.close_latch(Level[request.level])  # before anything else: from here on no order leaves
                page.close()
        except (ConfigError, OSError) as e:  # the session closes it when it has found the request
            log.warning("the risk page was not closed: %s", e)
    written = _written(directory / f"{REQUEST}.{secrets.token_hex(8)}.tmp", msgspec.json.encode(request))
    own = directory.stat()
    if own.st_uid != os.geteuid() == 0:  # root asks: what the session cannot read stops all of it
        os.chown(written, own.st_uid, own.st_gid, follow_symlinks=False)
    unread(directory, written)


def unread(directory: Path, written: Path) -> None:
    """Give a request that lies ready its name, beside those that nobody has read yet. Raises OSError."""
    try:
        os.link(written, directory / REQUEST)
    except OSError:  # one waits there, or the file system knows no second names
        written.rename(directory / f"{REQUEST}.{secrets.token_hex(8)}")
    else:
        written.unlink()
    sync_directory(directory)


def waiting(directory: Path) -> list[Path]:
    """The requests of a state directory that are not yet durable latches. Raises nothing."""
    try:
        return sorted(path for path in directory.iterdir() if _NAME.fullmatch(path.name))
    except OSError:  # no descriptor is left, perhaps: then the one that needs none
        return [directory / REQUEST] if os.access(directory / REQUEST, os.F_OK) else []


def report(directory: Path, id: str = "") -> KillReport | None:
    """The last report of a state directory, or the one on a request."""
    try:
        newest = msgspec.json.decode((directory / REPORT).read_bytes(), type=KillReport)
    except (OSError, msgspec.DecodeError):
        return None
    return next((found for found in (newest, *newest.others) if found.id == id), None) if id else newest


def _written(path: Path, content: bytes) -> Path:
    """A new file, durable; what is left of one that did not become whole takes no room."""
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(fd, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(fd)
    except BaseException:
        path.unlink(missing_ok=True)
        raise
    return path


class _Kill(NamedTuple):
    """A request that was acted upon, until its proof."""

    answer: KillReport
    seq: int  # of the latch's fact
    done: Callable[[], None]


Found = tuple[KillRequest, tuple[int, int], bytes | None]


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
        self._seen: dict[Path, Found] = {}  # what waits and was acted upon once
        self._kills: list[_Kill] = []
        self._reports: dict[str, KillReport] = {}  # by the request's id, the newest last
        self._reborn = -REBIRTH  # monotonic s of the last try to start a watchdog
        shell.listeners.append(self._hear)
        shell.watchers.append(self._see)

    def start(self) -> None:
        """Take the journal's latch over to the page, a waiting KILL before anything is traded, and begin to beat."""
        pending = [found[0] for path in waiting(self._directory) if (found := self._request(path)) is not None]
        left = Level(min(self._page.level, Level.KILLED))  # by the session before
        latched = max((Level[f.level] for s, f in self._session.risk.latches.items() if s in WHOLE), default=Level.ACTIVE)
        asked = [Level[r.level] for r in pending if r.scope in WHOLE and r.level in Level.__members__]
        if left >= Level.HALTED and left > max([latched, *asked]):  # its journal could not hold the latch, and its disk no request
            self._act(KillRequest(level=left.name, who="risk page", why="closed when the last session ended"), lambda: None)
        elif pending:
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
        self._read()
        for kill in list(self._kills):
            self._follow(kill)
        self._guard()

    def _guard(self) -> None:
        if self._watchdog is None or (status := self._watchdog.ended) is None or time.monotonic() < self._reborn + REBIRTH:
            return
        self._reborn = time.monotonic()
        text = f"the watchdog ended with status {status}; another one is started"
        try:
            self._watchdog.restart()
        except OSError as e:
            text = f"the watchdog ended with status {status}, and another one cannot be started ({e.strerror}): tried again"
        self._shell.alarm(Alarm(severity="critical", code="WATCHDOG", text=text))

    def _request(self, path: Path) -> Found | None:
        """What waits, which file it is, and its bytes, None where they cannot be read. Whatever it says: somebody wants a stop."""
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
        paths = waiting(self._directory)
        self._seen = {path: seen for path, seen in self._seen.items() if path in paths}
        for path in paths:
            found = self._request(path)
            if found is not None and self._seen.get(path) != found:
                self._seen[path] = found
                self._act(found[0], partial(self._done, path, found))

    def _done(self, path: Path, found: Found) -> None:
        """The latch is durable, its request goes; a newer one under the same name stays."""
        if self._request(path) != found:
            return
        try:
            path.unlink()
        except OSError as e:
            log.error("%s was acted upon and cannot be removed (%s): the next start stops again", path.name, e.strerror)

    def _act(self, request: KillRequest, done: Callable[[], None]) -> None:
        scope = self._scope(request.scope)
        answer = KillReport(id=request.id, level=request.level, scope=request.scope, everything=request.everything)
        if request.level not in Level.__members__ or request.level == "ACTIVE" or not scope:
            known = ", ".join(["system", "account", *(f"strategy:{n}" for n in self._names()), *self._symbols()])
            answer.failed = f"no latch {request.scope!r} at level {request.level!r}; there are {known}"
            log.error("KILL_REFUSED: %s", answer.failed)
            self._answer(answer)
            done()
            return
        if scope in WHOLE:
            self._page.close_latch(Level[request.level])
        wanted = Kill(level=request.level, scope=scope, reason=request.why, who=request.who, everything=request.everything)
        self._shell.handle(wanted)
        taken = self._session.risk.gate.level(scope) >= Level[request.level]  # else a fault of ours kept its latch from the journal
        kill = _Kill(answer, self._shell.appended if taken else NEVER, done)
        self._kills.append(kill)
        self._follow(kill)

    def _follow(self, kill: _Kill) -> None:
        answer = kill.answer
        before = (answer.durable, answer.open, answer.verified, answer.failed)
        journaled = self._shell.journal.failed is None  # else the latch is only known here, and the request must stay
        answer.durable = answer.durable or (journaled and self._shell.journal.durable >= kill.seq)
        answer.failed = self._shell.failed
        answer.open = self._left(answer)
        answer.verified = self._session.execution.recovered and not self._session.execution.sweeping and not answer.open
        if (answer.durable, answer.open, answer.verified, answer.failed) != before:
            self._answer(answer)
        if answer.durable:
            kill.done()
        if (answer.durable and answer.verified) or (answer.failed and (answer.durable or not journaled)):
            log.info("KILL: %s is %s, %d open orders left", answer.scope, answer.level, answer.open)
            self._kills.remove(kill)

    def _left(self, answer: KillReport) -> int:
        scope = self._scope(answer.scope)
        execution = self._session.execution
        mild = answer.level == "REDUCING"
        theirs = answer.everything and not mild and scope in WHOLE
        open_ = [o for o in execution.open_orders() if theirs or not execution.foreign(o)]
        covered = [o for o in open_ if not (mild and (o.reduce_only or o.external))]
        return sum(scope in (*WHOLE, f"strategy:{o.strategy}", f"instrument:{o.instrument}") for o in covered)

    def _answer(self, answer: KillReport) -> None:
        self._reports.pop(answer.id, None)
        others = list(self._reports.values())[-OTHERS:]
        self._reports = {each.id: each for each in (*others, answer)}
        content = msgspec.json.encode(msgspec.structs.replace(answer, others=others))
        temporary = self._directory / f"{REPORT}.{os.getpid()}.tmp"
        try:
            temporary.unlink(missing_ok=True)
            _written(temporary, content).replace(self._directory / REPORT)
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
