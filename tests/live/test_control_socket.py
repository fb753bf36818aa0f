"""The control socket: who may speak, what is answered, and that rubbish harms nobody."""

import asyncio
import os
import socket
import stat
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from pyrt.errors import ConfigError, JournalError
from pyrt.live import control_socket
from pyrt.live.control_socket import NAME, ControlSocket, ask
from pyrt.ports import Resume


class Latches:
    """A session that is latched, as the socket sees it."""

    def __init__(self) -> None:
        self.latches: dict[str, Any] = {"system": object(), "account": object()}
        self.heard: list[Any] = []
        self.session = SimpleNamespace(risk=SimpleNamespace(latches=self.latches))
        self.shell = SimpleNamespace(handle=self.handle, journal=SimpleNamespace(sync=self.sync))
        self.synced: list[int] = []  # how many wishes each sync of the journal found
        self.broken = False
        self.stuck = False

    def handle(self, event: Resume) -> None:
        self.heard.append(event)
        if event.scope == "system":
            del self.latches[event.scope]

    def sync(self, timeout: float) -> None:
        self.synced.append(len(self.heard))
        if self.stuck:
            time.sleep(timeout)
            raise JournalError(f"no sync within {timeout} s", where="here", mend="look at the disk")
        if self.broken:
            raise JournalError("the journal has failed", where="here", mend="look at the disk")


async def _during(directory: Path, live: Any, *requests: dict[str, str]) -> list[Any]:
    task = asyncio.create_task(ControlSocket(directory)(live))
    while not (directory / NAME).exists():
        await asyncio.sleep(0.01)
    try:
        return [await asyncio.to_thread(ask, directory, **request) for request in requests]
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def test_a_latch_opens_once(tmp_path: Path) -> None:
    live = Latches()
    wish = {"verb": "resume", "scope": "system", "who": "anna", "why": "done"}
    first, second = asyncio.run(_during(tmp_path, live, wish, wish))
    assert first["ok"]
    assert second == {"ok": False, "text": "system is not latched"}
    assert live.heard == [Resume(scope="system", who="anna", why="done")]


def test_what_was_done_is_answered_when_it_is_on_the_disk(tmp_path: Path) -> None:
    """A crash after the answer finds what was answered; what changes nothing waits for no disk."""
    live = Latches()
    wish = {"verb": "resume", "scope": "system", "who": "anna", "why": "done"}
    done, again = asyncio.run(_during(tmp_path, live, wish, wish))
    assert (done["ok"], again["ok"], live.synced) == (True, False, [1])
    live = Latches()
    live.broken = True
    (answer,) = asyncio.run(_during(tmp_path, live, wish))
    assert not answer["ok"]
    assert "the journal has failed" in answer["text"]


def test_a_disk_that_does_not_answer_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before whoever asked gives up: else the session would seem to belong to another user."""
    monkeypatch.setattr(control_socket, "_PATIENCE", control_socket._PATIENCE / 10)
    monkeypatch.setattr(control_socket, "_ON_DISK", control_socket._ON_DISK / 10)
    live = Latches()
    live.stuck = True
    (answer,) = asyncio.run(_during(tmp_path, live, {"verb": "resume", "scope": "system", "who": "anna", "why": "done"}))
    assert not answer["ok"]
    assert "look at the disk" in answer["text"]


def test_a_latch_that_stays_closed_is_told(tmp_path: Path) -> None:
    (answer,) = asyncio.run(_during(tmp_path, Latches(), {"verb": "resume", "scope": "account", "who": "", "why": ""}))
    assert not answer["ok"]
    assert "refused" in answer["text"]


def test_what_nobody_understands_is_answered(tmp_path: Path) -> None:
    wrong, strange = asyncio.run(_during(tmp_path, Latches(), {"verb": "explode"}, {"word": "x"}))
    assert wrong == {"ok": False, "text": "no verb 'explode'"}
    assert "not a request" in strange["text"]


def test_a_directory_of_any_length_will_do(tmp_path: Path) -> None:
    deep = tmp_path / ("d" * 100) / ("e" * 100)
    deep.mkdir(parents=True)
    (answer,) = asyncio.run(_during(deep, Latches(), {"verb": "x"}))
    assert answer["text"] == "no verb 'x'"
    assert not (deep / NAME).exists()


def test_it_is_ours_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(control_socket, "_stranger", lambda connection: True)

    async def both() -> None:
        task = asyncio.create_task(ControlSocket(tmp_path)(Latches()))  # type: ignore[arg-type]  # what it reads of one
        while not (tmp_path / NAME).exists():
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.05)
        assert stat.S_IMODE((tmp_path / NAME).stat().st_mode) == 0o600
        with pytest.raises(ConfigError, match="gave no answer"):
            await asyncio.to_thread(ask, tmp_path, verb="status")
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    asyncio.run(both())


def test_a_stranger_is_another_user(monkeypatch: pytest.MonkeyPatch) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        assert not control_socket._stranger(ours)
        monkeypatch.setattr(os, "geteuid", lambda: 12345)
        assert control_socket._stranger(ours)


def test_nobody_there_is_none(tmp_path: Path) -> None:
    assert ask(tmp_path, verb="status") is None
    assert ask(tmp_path / "nowhere", verb="status") is None
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(tmp_path / NAME))
    assert ask(tmp_path, verb="status") is None  # a file that a killed run left


def test_rubbish_harms_nobody(tmp_path: Path) -> None:
    async def both() -> Any:
        task = asyncio.create_task(ControlSocket(tmp_path)(Latches()))  # type: ignore[arg-type]  # what it reads of one
        while not (tmp_path / NAME).exists():
            await asyncio.sleep(0.01)
        for rubbish in (b"", b"\x00" * 10, b"x" * 200_000, b"\n", b"[[[[\n"):
            reader, writer = await asyncio.open_unix_connection(str(tmp_path / NAME))
            writer.write(rubbish)
            writer.close()
            del reader
        answer = await asyncio.to_thread(ask, tmp_path, verb="x")
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        return answer

    assert asyncio.run(both())["text"] == "no verb 'x'"
