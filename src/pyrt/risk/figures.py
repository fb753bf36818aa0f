"""A control's figures in words."""

from pyrt._core.types import format_units
from pyrt.calendar import utc_text
from pyrt.risk.portfolio import UNKNOWN

MONEY = 10**9  # facts tell money in 1e-9, the ledger counts 1e-18


def text(value: int, unit: str, qty_exp: int = 9) -> str:
    """A control's number in whole units: shares, currency, seconds, a time UTC, or as it is."""
    if value >= UNKNOWN:
        return "not known"
    if unit == "time":
        return utc_text(value) if value > 0 else "no hours known"
    exp = {"qty": qty_exp, "px": 9, "money": 18, "ns": 9}.get(unit, 0)
    if -(1 << 63) <= value < 1 << 63:
        return format_units(value, exp)
    whole, rest = divmod(abs(value), 10**exp)
    decimals = f"{rest:0{exp}d}".rstrip("0") if exp else ""
    return f"{'-' if value < 0 else ''}{whole}{'.' if decimals else ''}{decimals}"


def any_price(px: int) -> str:
    """A price at which an order may trade; that of a market order is any."""
    return "any price" if px in (0, (1 << 63) - 1) else format_units(px)
