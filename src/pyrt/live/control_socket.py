"""A running session's ear: a Unix socket in its state directory, for the commands of the same user on the same machine.

A request is one line of JSON, {"verb": ...}; so is the answer, {"ok": true, ...} or {"ok": false, "text": ...}.
"""

import asyncio
import contextlib
import logging
import os
import socket
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from pyrt.errors import ConfigError, PyrtError
from pyrt.live.explain import explain
from pyrt.live.figures import Watch
from pyrt.live.plan import Live
from pyrt.ports import Resume, SetLimits

log = logging.getLogger("pyrt")
NAME = "control.sock"
_LONGEST = 65_536
_PATIENCE = 10.0  # seconds for an answer
_ON_DISK = 5.0  # seconds of them that the disk may take: who asks still hears what is wrong with it


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """What can be asked: verb "status"; "resume" with a scope, who and why; "limits" with JSON, who, why and a token; "explain"
    with a symbol, who, why, to whom, and in decimals what a share cost and the quantity that is to be booked."""

    verb: str
    scope: str = ""
    who: str = ""
    why: str = ""
    limits: str = ""
    token: str = ""
    symbol: str = ""
    to: str = ""
    cost: str = ""
    quantity: str = ""


class ControlSocket:
    """A companion of a session: listens until cancelled. The journal's lock is held, so an older socket file belongs to nobody."""

    def __init__(self, directory: Path) -> None:
        self.watch = Watch()
        self._directory = directory

    async def __call__(self, live: Live) -> None:
        try:
            listening = _listen(self._directory)
        except OSError as e:
            log.warning("no control socket in %s: %s", self._directory, e.strerror or e)
            return
        server = await asyncio.start_unix_server(lambda r, w: self._serve(live, r, w), sock=listening, limit=_LONGEST)
        try:
            await server.serve_forever()
        finally:
            with contextlib.suppress(OSError):  # a disk that failed: the next run removes it
                (self._directory / NAME).unlink(missing_ok=True)

    async def _serve(self, live: Live, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(_PATIENCE):
                if _stranger(writer.get_extra_info("socket")):
                    return
                answer = self._answer(live, await reader.readline())
                if answer["ok"] and "figures" not in answer:
                    answer |= await asyncio.to_thread(_kept, live)
                writer.write(msgspec.json.encode(answer) + b"\n")
                await writer.drain()
        except (TimeoutError, ValueError, ConnectionError):
            pass  # who asks and does not go on asking gets nothing
        finally:
            writer.close()

    def _answer(self, live: Live, line: bytes) -> dict[str, Any]:
        try:
            request = msgspec.json.decode(line, type=Request)
        except (msgspec.DecodeError, RecursionError) as e:
            return {"ok": False, "text": f"not a request: {e}"}
        if request.verb == "status":
            return {"ok": True, "pid": os.getpid(), "figures": self.watch.look(live)}
        if request.verb == "limits":
            return _limits(live, request)
        if request.verb == "explain":
            words = {"who": request.who, "why": request.why, "to": request.to, "cost": request.cost}
            return explain(live, request.symbol, request.quantity, **words)
        if request.verb != "resume":
            return {"ok": False, "text": f"no verb {request.verb!r}"}
        latches = live.session.risk.latches
        if request.scope not in latches:
            return {"ok": False, "text": f"{request.scope} is not latched"}
        live.shell.handle(Resume(scope=request.scope, who=request.who, why=request.why))
        return {"ok": request.scope not in latches, "text": "" if request.scope not in latches else "refused; see the run's log"}


def _kept(live: Live) -> dict[str, Any]:
    """Wait until what was done is on the disk: who was told of it may rely on it, whatever comes now."""
    try:
        live.shell.journal.sync(_ON_DISK)
    except PyrtError as e:
        return {"ok": False, "text": str(e)}
    return {}


def _limits(live: Live, request: Request) -> dict[str, Any]:
    risk = live.session.risk
    try:
        limits = risk.changed(request.limits)
    except PyrtError as e:
        return {"ok": False, "text": str(e)}
    looser = risk.needs_confirmation(limits, request.token)
    if looser:
        return {"ok": False, "text": "", "looser": looser, "token": risk.confirmation(limits)}
    live.shell.handle(SetLimits(limits=request.limits, who=request.who, why=request.why, token=request.token))
    ok = risk.limits == limits
    return {"ok": ok, "text": "" if ok else "refused; see the run's log", "version": risk.limits_version}


def ask(directory: Path, **request: str) -> dict[str, Any] | None:
    """The answer of the session that runs in a state directory; None where none does. Raises ConfigError where it is silent."""
    line = b""
    try:
        with _address(directory) as address, socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(_PATIENCE)
            connection.connect(address)
            with contextlib.suppress(ConnectionResetError, BrokenPipeError), connection.makefile("rb") as answer:
                connection.sendall(msgspec.json.encode(request) + b"\n")
                line = answer.readline()
    except (FileNotFoundError, ConnectionRefusedError, NotADirectoryError):
        return None
    except OSError as e:
        mend = "its loop may hang: see its log"
        raise ConfigError(f"the running session does not answer ({e})", where=str(directory / NAME), mend=mend) from None
    if not line:
        raise ConfigError("the running session gave no answer", where=str(directory / NAME), mend="it may belong to another user")
    return dict(msgspec.json.decode(line))


def _listen(directory: Path) -> socket.socket:
    listening = socket.socket(socket.AF_UNIX)
    try:
        (directory / NAME).unlink(missing_ok=True)
        with _address(directory) as address:
            listening.bind(address)
        (directory / NAME).chmod(0o600)
        listening.setblocking(False)
    except BaseException:
        listening.close()
        raise
    return listening


@contextlib.contextmanager
def _address(directory: Path) -> Iterator[str]:
    """The socket's name, short whatever the directory's is: the kernel takes 107 bytes."""
    full = str(directory / NAME)
    if len(os.fsencode(full)) <= 100:
        yield full
        return
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{fd}/{NAME}"
    finally:
        os.close(fd)


def _stranger(connection: Any) -> bool:
    """Whether the other end is another user's; where the system cannot tell, the socket's mode alone keeps them out."""
    if not hasattr(socket, "SO_PEERCRED"):
        return False
    _, uid, _ = struct.unpack("3i", connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i")))
    return bool(uid != os.geteuid())
