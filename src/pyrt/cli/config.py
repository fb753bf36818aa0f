"""`pyrt config`: write, show or check a configuration. Keys are never shown."""

import os
from pathlib import Path
from typing import Any

from cyclopts import App

from pyrt.cli.connect import check_venue, limits_of, sizer_of
from pyrt.cli.run import EXAMPLES
from pyrt.cli.strategies import load_configured
from pyrt.config import Loaded, load_config
from pyrt.config.text import show as as_text
from pyrt.config.text import template
from pyrt.errors import ConfigError

_EXAMPLES = """A file of all defaults to begin with; what is in force; is it good?

    pyrt config init pyrt.toml
    pyrt config show pyrt.toml
    pyrt config check pyrt.toml
"""
app = App(name="config", help="Write, show or check a configuration.", help_epilogue=_EXAMPLES)


@app.command
def init(file: Path = Path("pyrt.toml")) -> None:
    """Write a configuration file of all defaults, each with its meaning; it is readable by you alone.

    Parameters
    ----------
    file
        What to write; a file that exists is left alone.
    """
    try:
        fd = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise ConfigError("exists already", where=str(file), mend="name another file, or remove it first") from None
    except OSError as e:
        raise ConfigError(f"cannot be written: {e.strerror}", where=str(file), mend="name another place") from None
    with os.fdopen(fd, "w", encoding="utf-8") as out:
        out.write(template())
    print(f"{file}: written; use it with `pyrt run --config {file}`")


@app.command
def show(*files: Path) -> None:
    """Show the configuration in force: files over defaults, each value with the file that it came from, secrets masked.

    Parameters
    ----------
    files
        As --config of `pyrt run`: later files win.
    """
    loaded = load_config(files)
    print(as_text(loaded, limits_in_force(loaded)))
    for notice in loaded.notices:
        print(f"# {notice}")


@app.command
def check(*files: Path) -> None:
    """Check a configuration: every name, every value, every limit, and that every strategy loads. Exit status 1 where not.

    Parameters
    ----------
    files
        As --config of `pyrt run`: later files win.
    """
    loaded = load_config(files)
    check_venue(loaded.config.venue.name)
    limits_of(loaded)
    sizer_of(loaded.config)
    strategies = load_configured(loaded, (), (), EXAMPLES)
    for notice in loaded.notices:
        print(notice)
    print(f"the configuration is good: venue {loaded.config.venue.name}, strategies {', '.join(s.name for s in strategies)}")


def limits_in_force(loaded: Loaded) -> dict[str, Any]:
    """Every limit with its value, in the order of the profile."""
    return limits_of(loaded).values()
