"""What a strategy has: its orders, kept up to date by the session, and its positions; in whole units."""

from decimal import Decimal
from typing import Any

import msgspec

from pyrt._core.types import Side
from pyrt._core.verbs import Holding, Ticket
from pyrt.model import Filled, Instrument, Intent, OrderStatus, OrderType, money

_STATE = ("_filled_qty", "_cost", "number", "status", "reason", "breaches", "legs", "is_exit")


class Order(Ticket):
    """One order of a strategy, kept up to date by the session.

    `quantity`, `filled`, `limit`, `stop` and `average` are Decimals in whole units (average is None before the first fill).
    """

    __slots__ = ()

    _intent: Intent
    _instrument: Instrument
    _cost: int | None  # None: not known
    number: int  # the journal's number; 0 until risk approved it
    status: OrderStatus | None  # None: not yet decided
    reason: str
    breaches: tuple[str, ...]  # codes of the controls that refused it
    legs: "tuple[Order, ...]"  # its exits, where it was sent with some
    is_exit: bool  # it is one of another order's legs

    @property
    def intent(self) -> Intent:
        """The order as it was decided."""
        return self._intent

    @property
    def symbol(self) -> str:
        return self._instrument.symbol

    @property
    def side(self) -> Side:
        return self._intent.side

    @property
    def type(self) -> OrderType:
        return self._intent.type

    @property
    def quantity(self) -> Decimal:
        return self._instrument.quantity(self._intent.qty)

    @property
    def filled(self) -> Decimal:
        return self._instrument.quantity(self._filled_qty)

    @property
    def limit(self) -> Decimal | None:
        return self._instrument.price(self._intent.limit_px) if self._intent.limit_px else None

    @property
    def stop(self) -> Decimal | None:
        return self._instrument.price(self._intent.stop_px) if self._intent.stop_px else None

    @property
    def take_profit(self) -> "Order | None":
        """Its exit with profit; that of an OCO is the order itself."""
        return next((leg for leg in self.legs if leg.type is OrderType.LIMIT), None)

    @property
    def stop_loss(self) -> "Order | None":
        """Its protective exit."""
        return next((leg for leg in self.legs if leg.type is not OrderType.LIMIT), None)

    def _restate(self, qty: int, limit_px: int, stop_px: int) -> None:
        old = self._intent
        terms = (qty or old.qty, limit_px or old.limit_px, stop_px or old.stop_px)
        if terms != (old.qty, old.limit_px, old.stop_px):
            self._intent = msgspec.structs.replace(old, qty=terms[0], limit_px=terms[1], stop_px=terms[2])

    def _attach(self) -> None:
        self.legs = tuple(Order(leg, self._instrument) for leg in self._intent.legs)
        for leg in self.legs:
            leg.is_exit = True

    @property
    def average(self) -> Decimal | None:
        """Average price of the fills; None before the first, and for an order so old that its fills are forgotten."""
        if not self._filled_qty or self._cost is None:
            return None
        return Decimal(self._cost) / Decimal(self._filled_qty) / 1_000_000_000

    @property
    def is_refused(self) -> bool:
        """A control of ours said no; nothing of it reached the venue."""
        return bool(self.breaches)

    @property
    def is_done(self) -> bool:
        """No more fills are expected."""
        return self.is_refused or (self.status is not None and self.status.is_final)

    def __reduce__(self) -> tuple[Any, ...]:
        state = {name: getattr(self, name) for name in _STATE}
        return type(self), (self._intent, self._instrument), (None, state)

    def _book(self, fill: Filled) -> None:
        self._filled_qty += fill.qty
        if self._cost is not None:
            self._cost += fill.qty * fill.px

    def __repr__(self) -> str:
        price = f" limit {self.limit}" if self.limit is not None else ""
        price += f" stop {self.stop}" if self.stop is not None else ""
        status = "REFUSED " + ",".join(self.breaches) if self.breaches else self.status.name if self.status else "NEW"
        return f"<Order {self.side.name} {self.quantity} {self.symbol}{price} {status} filled {self.filled}>"


class Position(Holding):
    """A strategy's own shares of one instrument; falsy when flat.

    `quantity` is signed; `cost` is what the open shares cost; `realised` is the profit of what was closed; all Decimal.
    `quantity_qty` is the quantity as an exact integer in qty units.
    """

    __slots__ = ()

    _instrument: Instrument

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self._instrument, self.quantity_qty, self._cost, self._realised)

    @property
    def symbol(self) -> str:
        return self._instrument.symbol

    @property
    def quantity(self) -> Decimal:
        return self._instrument.quantity(self.quantity_qty)

    @property
    def cost(self) -> Decimal:
        return money(self._cost)

    @property
    def realised(self) -> Decimal:
        return money(self._realised)

    @property
    def average(self) -> Decimal | None:
        """Average entry price of the open shares."""
        return self.cost / self.quantity / self._instrument.multiplier if self.quantity_qty else None

    def __repr__(self) -> str:
        return f"<Position {self.quantity} {self.symbol} cost {self.cost} realised {self.realised}>"
