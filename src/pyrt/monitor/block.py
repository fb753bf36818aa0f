"""The first thing that `pyrt kill` does: close the risk pages, before anything large is imported. Standard library only.

What is not certain from the words alone (an unknown option, a scope that is not the whole session) is left to the command itself,
which closes the page as well, some tenths of a second later.
"""

import os
from pathlib import Path

from pyrt.errors import PyrtError
from pyrt.monitor.page import Level, RiskPage

_OPTIONS = ("why", "who", "level", "scope", "state", "wait")
_WHOLE = ("system", "account")


def state_home() -> Path:
    """Where journals live unless told otherwise: $XDG_STATE_HOME/pyrt, else ~/.local/state/pyrt."""
    base = os.environ.get("XDG_STATE_HOME")
    return (Path(base) if base else Path.home() / ".local" / "state") / "pyrt"


def running() -> list[Path]:
    """The state directories of every session that runs."""
    base = state_home()
    return sorted(home for home in base.iterdir() if is_running(home)) if base.is_dir() else []


def is_running(home: Path) -> bool:
    """Whether the process that holds a directory's journal lives."""
    try:
        os.kill(int((home / "journal" / "lock").read_text()), 0)
    except PermissionError:
        return True
    except (OSError, ValueError):
        return False
    return True


def block(arguments: list[str]) -> bool:
    """Close the pages that a `pyrt kill` with these arguments is about; False where that is not certain, and nothing is done."""
    options = _read(arguments)
    if options is None or "why" not in options or options.get("scope", "system") not in _WHOLE:
        return False
    level = Level.__members__.get(options.get("level", "KILLED").upper(), Level.ACTIVE)
    if level is Level.ACTIVE:
        return False
    try:
        homes = [Path(options["state"])] if "state" in options else running()
    except OSError:
        return False
    closed = [_close(home, level) for home in homes]  # each, whatever becomes of the others
    return bool(closed) and all(closed)


def _close(home: Path, level: Level) -> bool:
    try:
        page = RiskPage.find(home)
    except (OSError, PyrtError):  # the command itself says what is wrong with it
        return False
    if page is None:
        return False
    page.close_latch(level)
    page.close()
    return True


def _read(arguments: list[str]) -> dict[str, str] | None:
    """The options as name and value, None for words that the command line may read in another way."""
    options: dict[str, str] = {}
    words = iter(arguments)
    for word in words:
        name, equals, value = word.removeprefix("--").partition("=")
        if not word.startswith("--") or name not in _OPTIONS or name in options:
            return None
        value = value if equals else next(words, "")
        if not value or value.startswith("-"):
            return None
        options[name] = value
    try:
        float(options.get("wait", "0"))
    except ValueError:
        return None
    return options
