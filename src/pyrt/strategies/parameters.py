"""Parameters of strategies: an override, often text, becomes what its default is."""

from decimal import Decimal
from typing import Any

from pyrt._core.sampled import BarSpec, bar_spec
from pyrt.errors import ConfigError


def like(default: Any, value: Any, name: str) -> Any:
    """Read an override (often text from a command line) as the type of the default. Raises ConfigError."""
    if default is None or (isinstance(value, type(default)) and not isinstance(value, tuple | list)):
        return value
    try:
        if isinstance(default, BarSpec):
            return value if isinstance(value, BarSpec) else bar_spec(str(value))
        if isinstance(default, bool):
            return _BOOLEANS[str(value).lower()]
        if isinstance(default, tuple | list):
            parts = [v.strip() for v in value.split(",") if v.strip()] if isinstance(value, str) else list(value)
            return type(default)(like(default[0], v, name) if default else v for v in parts)
        if isinstance(default, int) and not isinstance(value, str) and int(value) != value:
            raise ValueError("it would lose its fraction")
        if isinstance(default, Decimal):
            return Decimal(str(value))
        return type(default)(value)
    except (KeyError, TypeError, ValueError, ArithmeticError):
        kind = type(default).__name__
        raise ConfigError(f"{value!r} is not a {kind}", where=f"parameter {name}", mend=f"its default is {default!r}") from None


_BOOLEANS = {"true": True, "1": True, "yes": True, "on": True, "false": False, "0": False, "no": False, "off": False}
