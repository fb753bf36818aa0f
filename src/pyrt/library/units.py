"""Whole units into exact integers, one number at a time."""

from pyrt._core.types import Side, to_units
from pyrt.errors import ConfigError, OrderError
from pyrt.model import Number

_SIDES = {"buy": Side.BUY, "bid": Side.BUY, "sell": Side.SELL, "ask": Side.SELL}


def units_of(value: Number, exp: int, name: str) -> int:
    """An int, a str, a Decimal or a float (by its shortest repr) as units of 10^-exp. Raises OrderError where none fits."""
    try:
        return to_units(value, exp)
    except (TypeError, ValueError) as e:
        raise OrderError(f"{name}: {e}", mend="pass an int, a str, a Decimal or a float") from None


def positive(value: Number, exp: int, name: str) -> int:
    """The same of a setting that must be above 0. Raises ConfigError."""
    try:
        units = to_units(value, exp)
    except (TypeError, ValueError) as e:
        raise ConfigError(str(e), where=name, mend="pass an int, a str, a Decimal or a float") from None
    if units <= 0:
        raise ConfigError(f"{value} is not above 0", where=name)
    return units


def side_of(side: Side | str) -> Side:
    """ "buy" or "bid", "sell" or "ask". Raises OrderError for another word."""
    found = _SIDES.get(side.lower()) if isinstance(side, str) else side
    if found not in (Side.BUY, Side.SELL):
        raise OrderError(f"{side!r} is no side", mend='say "buy" or "sell"')
    return Side(found)
