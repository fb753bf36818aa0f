"""The watchdog as its parent makes it, without a session."""

import errno
import os
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec
import pytest

from pyrt.watchdog import Watchdog, WatchOrder

KEEPS = "import sys; open(sys.argv[1], 'wb').write(sys.stdin.buffer.read())"  # what it is told, once nobody can say more


class Killed(BaseException):
    """The session, in the instant after the child was born."""


def test_a_session_that_dies_at_its_birth_leaves_it_with_its_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    order = WatchOrder(directory=str(tmp_path), journal="j", epoch=1, url="http://127.0.0.1:9", key="k", secret="s")
    children = []
    born = subprocess.Popen

    def dies(_argv: list[str], **settings: Any) -> None:
        children.append(born([sys.executable, "-c", KEEPS, str(tmp_path / "told")], **settings))
        if children[0].stdin is not None:
            children[0].stdin.close()  # as the system does with all that a dead process held
        raise Killed

    monkeypatch.setattr("pyrt.watchdog.subprocess.Popen", dies)
    with pytest.raises(Killed):
        Watchdog(order)
    children[0].wait(60)
    assert msgspec.json.decode((tmp_path / "told").read_bytes(), type=WatchOrder) == order


class Ended:
    """A child that is there no more."""

    def __init__(self, *_: Any, **settings: Any) -> None: ...

    def poll(self) -> int:
        return 1

    def wait(self, _patience: float) -> int:
        return 1


def test_one_that_cannot_be_started_again_costs_nobody_else_a_descriptor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    order = WatchOrder(directory=str(tmp_path), journal="j", epoch=1, url="http://127.0.0.1:9", key="k", secret="s")

    def no_more(*_: Any, **settings: Any) -> None:
        raise BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable")

    monkeypatch.setattr("pyrt.watchdog.subprocess.Popen", Ended)
    watchdog = Watchdog(order)
    monkeypatch.setattr("pyrt.watchdog.subprocess.Popen", no_more)
    with pytest.raises(BlockingIOError):
        watchdog.restart()
    others = [os.open(tmp_path, os.O_RDONLY) for _ in range(4)]  # the first free numbers: what the pipe had is among them
    try:
        with pytest.raises(BlockingIOError):
            watchdog.restart()
        watchdog.farewell()
        assert [os.fstat(fd).st_ino for fd in others] == [tmp_path.stat().st_ino] * 4
    finally:
        for fd in others:
            with suppress(OSError):
                os.close(fd)
