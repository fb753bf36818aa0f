"""What `pyrt kill` does before anything large is imported: the risk pages are closed, and only where the words are certain."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from pyrt.monitor import Level, RiskPage
from pyrt.monitor.block import block

LARGE = ("cyclopts", "msgspec", "numpy", "requests", "asyncio")


@pytest.mark.row("S047")
def test_the_page_is_closed_before_anything_large_is_imported(tmp_path: Path) -> None:
    page = RiskPage.create(tmp_path)
    code = (
        "import sys\nfrom pyrt.__main__ import main\n"
        f"sys.argv = ['pyrt', 'kill', '--state', {str(tmp_path)!r}, '--why', 'a test', '--wait', '0.1']\n"
        "class Stop:\n"
        "    def find_spec(self, name, path, target=None):\n"
        f"        if name in {LARGE!r}: raise SystemExit(f'{{name}} is imported')\n"
        "sys.meta_path.insert(0, Stop())\nmain()\n"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "is imported" in ended.stderr, ended.stderr  # the command line itself needs some of it
    assert page.level == Level.KILLED
    page.close()


@pytest.mark.parametrize(
    ("words", "level"),
    [
        (["--why", "x"], Level.KILLED),
        (["--why=x y", "--who", "jane", "--wait", "0.5"], Level.KILLED),
        (["--level", "reducing", "--why", "x"], Level.REDUCING),
        (["--scope", "account", "--level=HALTED", "--why", "x"], Level.HALTED),
        ([], Level.ACTIVE),  # why is asked for
        (["--why", "x", "--help"], Level.ACTIVE),
        (["--why", "x", "--scope", "AAPL"], Level.ACTIVE),
        (["--why", "x", "--scope", "strategy:Busy"], Level.ACTIVE),
        (["--why", "x", "--level", "active"], Level.ACTIVE),
        (["--why", "x", "--level", "all"], Level.ACTIVE),
        (["--why", "x", "--why", "y"], Level.ACTIVE),
        (["--why", "--who", "jane"], Level.ACTIVE),
        (["--why", "x", "--wait", "long"], Level.ACTIVE),
        (["--why", "x", "--when", "now"], Level.ACTIVE),
        (["--why", "x", "now"], Level.ACTIVE),
    ],
)
def test_only_what_is_certain_from_the_words(tmp_path: Path, words: list[str], level: Level) -> None:
    page = RiskPage.create(tmp_path)
    assert block(["--state", str(tmp_path), *words]) is (level != Level.ACTIVE)
    assert page.level == level
    page.close()


def test_without_a_directory_every_running_session_is_meant(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    assert not block(["--why", "x"])  # there is none
    pages = {}
    for name, owner in (("one", os.getpid()), ("two", os.getpid()), ("over", 0)):
        home = tmp_path / "pyrt" / name
        (home / "journal").mkdir(parents=True)
        (home / "journal" / "lock").write_text(str(owner) if owner else "")
        pages[name] = RiskPage.create(home)
    assert block(["--why", "x"])
    assert {name: page.level for name, page in pages.items()} == {"one": Level.KILLED, "two": Level.KILLED, "over": Level.ACTIVE}
    for page in pages.values():
        page.close()


def test_a_page_that_cannot_be_used_is_left_to_the_command(tmp_path: Path) -> None:
    assert not block(["--state", str(tmp_path / "nowhere"), "--why", "x"])
    (tmp_path / "risk.page").symlink_to("/dev/null")
    assert not block(["--state", str(tmp_path), "--why", "x"])
