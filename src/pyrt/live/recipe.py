"""What a session is made of, as plain values that a recording keeps."""

import inspect
import sys
from collections.abc import Iterable
from hashlib import blake2b
from pathlib import Path
from typing import Any

import msgspec

from pyrt.config import MASK, masked
from pyrt.config.files import is_secret_name
from pyrt.execution import Settings
from pyrt.journal.recorder import Recipe, Run
from pyrt.risk import Limits
from pyrt.strategies import Strategy


def recipe_of(strategy: Strategy) -> Recipe:
    """Where a strategy's class is found, and the parameters that are not its defaults."""
    cls = type(strategy)
    defaults = cls.parameters()
    chosen = {name: getattr(strategy, name) for name, default in defaults.items() if getattr(strategy, name) != default}
    module = sys.modules.get(cls.__module__)
    file = getattr(module, "__file__", None)
    # A module without a package was loaded from a file that the user named.
    place = str(Path(file).absolute()) if file and "." not in cls.__module__ else cls.__module__
    # A recording is shown to others. What is secret by its name, or by its value, is not in it; a replay is given the mask.
    chosen = {n: MASK if isinstance(v, str) and (is_secret_name(n) or masked(v) != v) else v for n, v in chosen.items()}
    return Recipe(use=f"{place}:{cls.__qualname__}", parameters=msgspec.to_builtins(chosen), source=source_of(cls))


def source_of(cls: type) -> str:
    """The digest of the file that holds a class; "" where there is none, as in a notebook."""
    try:
        return blake2b(Path(inspect.getfile(cls)).read_bytes(), digest_size=16).hexdigest()
    except (OSError, TypeError):
        return ""


def run_of(
    *,
    journal: str,
    seq: int,
    strategies: Iterable[Strategy],
    limits: Limits,
    settings: Settings,
    signals: dict[str, Any] | None,
    hours: bool,
    dry_run: bool,
) -> Run:
    """The first entry of a recording."""
    try:
        recipes = [recipe_of(strategy) for strategy in strategies]
    except (TypeError, ValueError):  # a parameter that no file could hold
        recipes = None
    return Run(
        journal=journal,
        seq=seq,
        hours=hours,
        dry_run=dry_run,
        limits=limits.values(),
        settings=msgspec.to_builtins(settings),
        signals=signals,
        strategies=recipes,
    )
