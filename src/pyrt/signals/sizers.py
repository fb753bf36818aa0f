"""Sizers: how much an opinion is worth."""

from decimal import Decimal
from typing import Protocol

from pyrt._core.types import to_units
from pyrt.errors import ConfigError
from pyrt.model import Instrument, Number, Signal


class Sizer(Protocol):
    """Turns a signal into a quantity."""

    def size(self, signal: Signal, instrument: Instrument, ref_px: int) -> int:
        """Qty units to trade, a multiple of the lot; 0 = nothing. `ref_px` is the price to value it at, 0 where none is known."""
        ...


class Fixed:
    """Always the same quantity, in whole units."""

    def __init__(self, quantity: Number) -> None:
        self.quantity = quantity

    def size(self, signal: Signal, instrument: Instrument, ref_px: int) -> int:
        return instrument.qty(self.quantity)


class Notional:
    """As many lots as an amount of money buys at the reference price, never more. Raises ConfigError for no amount."""

    def __init__(self, amount: Number) -> None:
        self.amount = to_units(amount)
        if self.amount <= 0:
            raise ConfigError(f"an amount of {amount}", where="Notional", mend="give an amount above 0")

    def size(self, signal: Signal, instrument: Instrument, ref_px: int) -> int:
        if ref_px <= 0:
            return 0
        qty = self.amount * int(10**instrument.qty_exp) // (ref_px * instrument.multiplier)
        return qty - qty % instrument.lot


class Scaled:
    """Another sizer's quantity times the confidence, rounded down to the lot."""

    def __init__(self, sizer: Sizer) -> None:
        self.sizer = sizer

    def size(self, signal: Signal, instrument: Instrument, ref_px: int) -> int:
        # Through repr, as everywhere: 0.57 of 100 is 57 and not 56.
        part, whole = Decimal(repr(float(signal.confidence))).as_integer_ratio()
        qty = self.sizer.size(signal, instrument, ref_px) * part // whole
        return qty - qty % instrument.lot
