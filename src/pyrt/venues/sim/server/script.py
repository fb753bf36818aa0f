"""A fault script: a TOML file of faults, each armed when the venue's clock comes to its instant.

    [[fault]]
    at = "30s"            # venue time since the venue was started, or an instant such as 2026-03-02T15:00:00Z
    kind = "rate_limited"
    for = "10s"           # real time: deadlines of clients are real time
    retry_after = true

Durations are numbers of seconds or text: 500ms, 30s, 2m, 1h.
"""

import re
import tomllib
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import msgspec

from pyrt.clock import SECOND
from pyrt.errors import ConfigError
from pyrt.venues.sim.server.floor import Floor
from pyrt.venues.sim.server.kinds import AnyFault
from pyrt.venues.sim.times import format_time, parse_time

_DURATION = re.compile(r"(-?\d+(?:\.\d+)?)(ms|s|m|h)", re.ASCII)
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
_DURATIONS = ("for", "seconds", "interval", "offset")


class Scene(msgspec.Struct, kw_only=True):
    """One fault of a script."""

    at: int  # venue ns: since the start, or, where `absolute`, UTC
    absolute: bool
    fault: AnyFault


def read_script(given: Path | str | Sequence[Mapping[str, Any]]) -> list[Scene]:
    """The faults of a file, or of its tables, in their order; "" is none. Raises ConfigError with the place."""
    if not isinstance(given, str | Path):
        return [_scene(dict(row), f"fault {i}") for i, row in enumerate(given, 1)]
    if given == "":
        return []
    path = Path(given)
    try:
        content = tomllib.loads(path.read_text())
    except OSError as e:
        raise ConfigError(f"cannot be read: {e.strerror}", where=str(path), mend="give the path of a TOML file") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as e:
        raise ConfigError(f"is not TOML: {e}", where=str(path), mend="write [[fault]] tables") from None
    rows = content.pop("fault", [])
    if content or not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise ConfigError("holds something else than [[fault]] tables", where=str(path), mend="write each as [[fault]]")
    return [_scene(dict(row), f"{path}: fault {i}") for i, row in enumerate(rows, 1)]


def _scene(row: dict[str, Any], where: str) -> Scene:
    mend = 'write it like at = "30s", kind = "drop_data", for = "5s"'
    try:
        at = row.pop("at", 0)
        absolute = not isinstance(at, int | float | str) or (isinstance(at, str) and _DURATION.fullmatch(at) is None)
        instant = parse_time(at if isinstance(at, str) else at.isoformat()) if absolute else int(_seconds(at) * SECOND)
        if instant < 0:
            raise ValueError(f"at {at} is before the start")
        for name in _DURATIONS:
            if name in row:
                row[name] = _seconds(row[name])
        return Scene(at=instant, absolute=absolute, fault=msgspec.convert(row, AnyFault))
    except (ValueError, AttributeError) as e:  # msgspec's ValidationError is one
        raise ConfigError(str(e), where=where, mend=mend) from None


def _seconds(value: Any) -> float:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    found = _DURATION.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        raise ValueError(f"{value!r} is not a duration")
    return float(found[1]) * _UNITS[found[2]]


class Script:
    """The scenes that are still to come."""

    def __init__(self, scenes: list[Scene], floor: Floor, arm: Callable[[AnyFault], object]) -> None:
        self._waiting: dict[int, tuple[int, AnyFault]] = {}
        begin = floor.now
        for number, scene in enumerate(scenes):
            at = scene.at if scene.absolute else begin + scene.at
            if at <= begin:  # before anybody can ask for anything
                arm(scene.fault)
                continue
            self._waiting[number] = (at, scene.fault)
            floor.at(at, partial(self._due, number, arm))

    def _due(self, number: int, arm: Callable[[AnyFault], object]) -> None:
        arm(self._waiting.pop(number)[1])

    def report(self) -> list[dict[str, Any]]:
        """What was not armed yet, by its instant."""
        return [{"at": format_time(at), "fault": fault} for at, fault in sorted(self._waiting.values(), key=lambda w: w[0])]
