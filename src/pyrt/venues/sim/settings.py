"""The settings of a venue as people write them, on the command line and in a call."""

import re
from datetime import datetime
from decimal import Decimal

from pyrt.clock import SECOND
from pyrt.errors import ConfigError
from pyrt.venues.sim.times import parse_time

SPEED_MAX = 1_000_000.0


def read_speed(given: float | str, where: str) -> float:
    """Venue seconds a second, 0.0 for `max`. Raises ConfigError."""
    if given == "max":
        return 0.0
    try:
        speed = float(given)
    except (TypeError, ValueError):
        speed = 0.0
    if not 0.0 < speed <= SPEED_MAX:
        raise ConfigError(f"{given} is not a speed", where=where, mend="give a number above 0, or max")
    return speed


def read_cash(given: str | int | float | Decimal, where: str) -> str:
    """Dollars as exact text. Raises ConfigError."""
    text = str(given)
    if isinstance(given, float):
        text = text.removesuffix(".0")
    if not re.fullmatch(r"\d{1,12}(\.\d{1,2})?", text, re.ASCII):
        raise ConfigError(f"{text} is not an amount of dollars", where=where, mend="write it like 100000 or 2500.50")
    return text


def read_start(given: str | int | datetime, where: str) -> int:
    """Venue ns UTC; 0 for what is empty. Raises ConfigError."""
    if isinstance(given, datetime):
        if given.tzinfo is None:
            raise ConfigError(f"{given} has no time zone", where=where, mend="write it like 2026-03-02T14:30:00Z")
        return int(given.timestamp()) * SECOND + given.microsecond * 1000
    if isinstance(given, int):
        return read_count(given, 2**63 - 1, where)
    try:
        return parse_time(given) if given else 0
    except ValueError as e:
        raise ConfigError(str(e), where=where, mend="write it like 2026-03-02T14:30:00Z") from None


def read_count(given: int, most: int, where: str) -> int:
    """A number from 0 to `most`. Raises ConfigError."""
    if not 0 <= given <= most:
        raise ConfigError(f"{given} is out of range", where=where, mend=f"give a number from 0 to {most}")
    return given
