"""The watchdog as its parent makes it, without a session."""

import subprocess
import sys
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
