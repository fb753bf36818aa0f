"""The pre-trade gate and its ledger, without a session."""

import time
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any, Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from pyrt._core.codes import Code, Failure
from pyrt._core.ledger import Ledger
from pyrt._core.measure import measure
from pyrt._core.risk import Gate
from pyrt._core.types import NO_PRICE, PX_SCALE, Side, ref_dtype
from pyrt.errors import ConfigError, OrderError
from pyrt.library import order_rows
from pyrt.library.units import side_of, units_of
from pyrt.model import AssetClass, Instrument, Number, OrderType, money
from pyrt.risk.figures import text
from pyrt.risk.limits import Limits

STRATEGY = 1
_MONEY = 10**18
_MOST = 1 << 127
_ALWAYS = (0, (1 << 63) - 1)
_TYPES = {
    (False, False): OrderType.MARKET,
    (True, False): OrderType.LIMIT,
    (False, True): OrderType.STOP,
    (True, True): OrderType.STOP_LIMIT,
}


class Headroom(msgspec.Struct, frozen=True):
    """What one control found: its limit and what the order would make of it, in whole units."""

    code: str
    limit: str
    observed: str


class Allowed(msgspec.Struct, frozen=True):
    """An order may go out; its part of the limits is reserved under `key` until it is filled or released."""

    key: int
    symbol: str
    side: Side
    quantity: Decimal
    codes: tuple[str, ...] = ()

    def __bool__(self) -> Literal[True]:
        return True


class Denied(msgspec.Struct, frozen=True):
    """An order may not: every control that failed, and by how much. Nothing is reserved."""

    symbol: str
    codes: tuple[str, ...]
    headroom: tuple[Headroom, ...]

    def __bool__(self) -> Literal[False]:
        return False

    def __str__(self) -> str:
        return "; ".join(f"{h.code}: limit {h.limit}, observed {h.observed}" for h in self.headroom)


class RiskGate:
    """Every pre-trade control of a set of limits, over positions and open orders that it counts itself.

    limits: Limits.profile("paper"), or Limits.of({...}); a limit that is missing denies. cash: buying power. Belongs to one thread.
    Times `at` are ns UTC, of one clock; without them they are the machine's.

    >>> gate = RiskGate(Limits.profile("paper"), cash=100_000)
    >>> gate.quote("AAPL", bid=189.99, ask=190.01)
    >>> allowed = gate.check("AAPL", "buy", 10, limit=190.01)
    >>> gate.fill(allowed, price=190, quantity=10)
    >>> gate.position("AAPL")
    Decimal('10')
    """

    def __init__(self, limits: Limits, *, cash: Number, instruments: Mapping[str, Instrument] | None = None) -> None:
        self.limits = limits
        self.ledger = Ledger()
        self.refs = np.zeros(4096, ref_dtype)
        self.refs["bid_px"] = self.refs["ask_px"] = NO_PRICE
        self.gate = Gate(self.ledger, self.refs)
        self.gate.set_rules(limits.rules())
        self.gate.open(2)
        self._given = dict(instruments or {})
        self._known: dict[str, Instrument] = {}
        self._leaves: dict[int, int] = {}
        self._last = 0
        self.account(cash)

    def account(self, cash: Number, *, at: int | None = None) -> None:
        """Set the buying power: what the venue says it is, fills up to `at` included. Raises ConfigError for no number."""
        try:
            self.gate.account(_amount(cash), self._now(at))
        except OrderError as e:
            raise ConfigError(e.what, where="cash", mend=e.mend) from None

    def quote(
        self,
        symbol: str,
        *,
        bid: Number,
        ask: Number,
        bid_size: Number = 1_000_000,
        ask_size: Number = 1_000_000,
        at: int | None = None,
    ) -> None:
        """Set the market that prices are held against. Raises OrderError for a price off the tick."""
        i = self._instrument(symbol)
        market = i.px(bid), i.px(ask), i.qty(bid_size), i.qty(ask_size), self._now(at)  # all of it, or the market stays as it was
        row = self.refs[i.id]
        row["bid_px"], row["ask_px"], row["bid_qty"], row["ask_qty"], row["quote_ts"] = market

    def trade(self, symbol: str, price: Number, *, at: int | None = None) -> None:
        """Set the last trade, which may be between two ticks. Raises OrderError for what is no price."""
        i = self._instrument(symbol)
        self.refs[i.id]["last_px"], self.refs[i.id]["last_ts"] = _executed(price), self._now(at)

    def check(
        self,
        symbol: str,
        side: Side | str,
        quantity: Number,
        *,
        limit: Number | None = None,
        stop: Number | None = None,
        reduce_only: bool = False,
        at: int | None = None,
    ) -> Allowed | Denied:
        """Hold an order against every control, and reserve it where all pass. Raises OrderError for what is no order."""
        i, now = self._instrument(symbol), self._now(at)
        self._last += 1
        key = STRATEGY << 48 | self._last
        order = self._order(i, side, quantity, limit, stop)
        if not self.gate.check(key, STRATEGY, i.id, *order, now=now, mono=now, reduce_only=reduce_only):
            self.gate.confirm(key, STRATEGY, i.id, *order, ref_px=self.gate.ref_px, at=now)
            self._leaves[key] = order[2]
            return Allowed(key=key, symbol=symbol, side=Side(order[0]), quantity=i.quantity(order[2]))
        found = tuple(self._headroom(failure, i) for failure in self.gate.failures)
        return Denied(symbol=symbol, codes=tuple(h.code for h in found), headroom=found)

    def orders(
        self,
        symbol: str | Sequence[str],
        side: Side | str | Sequence[Side | str],
        quantity: Number | Sequence[Number],
        *,
        limit: Number | Sequence[Number | None] | None = None,
        stop: Number | Sequence[Number | None] | None = None,
    ) -> NDArray[np.void]:
        """Orders in whole units as an array of order_dtype for `check_all`: each argument one for all, or one for each.

        Raises OrderError for what is no order, as `check` does.
        """
        given = {"symbol": symbol, "side": side, "quantity": quantity, "limit": limit, "stop": stop}
        n = order_rows.count(given.values())
        table = zip(*(order_rows.column(x, n, name) for name, x in given.items()), strict=True)
        made = [(i.id, self._order(i, *order)) for i, *order in ((self._instrument(of), *order) for of, *order in table)]
        return order_rows.filled(made, n, STRATEGY)

    def check_all(self, orders: NDArray[np.void], *, at: int | None = None) -> NDArray[np.uint64]:
        """Hold orders against every control, one after the other as `check` would, without the interpreter's lock.

        orders: an array of order_dtype, whose `key` is set. Returns the Code bits that each failed, 0: it may go out, and `allowed`
        of its row is what `fill` and `release` take. Raises OrderError for rows that are no orders: nothing is reserved.
        """
        rows, now = order_rows.looked_at(orders, list(self._known.values()), STRATEGY), self._now(at)
        rows["key"] = (STRATEGY << 48 | self._last + 1) + np.arange(len(rows), dtype=np.uint64)
        self._last += len(rows)
        codes = self.gate.check_firm(rows, now=now, mono=now)
        passed = rows[codes == 0]
        self._leaves.update(zip(passed["key"].tolist(), passed["qty"].tolist(), strict=True))
        return codes

    def allowed(self, order: np.void) -> Allowed:
        """A row that `check_all` let pass. Raises OrderError for one of which nothing is reserved."""
        key = int(order["key"])
        if key not in self._leaves:
            raise OrderError(f"nothing is reserved for order {key & 0xFFFFFFFFFFFF}", mend="its code is not 0, or it is done")
        i = list(self._known.values())[int(order["instrument"]) - 1]
        return Allowed(key=key, symbol=i.symbol, side=Side(int(order["side"])), quantity=i.quantity(int(order["qty"])))

    def headroom(
        self,
        symbol: str,
        side: Side | str,
        quantity: Number,
        *,
        limit: Number | None = None,
        stop: Number | None = None,
        at: int | None = None,
    ) -> dict[str, Headroom]:
        """What every control finds for an order, the ones that pass included, by the name of the limit. Reserves nothing."""
        i, now = self._instrument(symbol), self._now(at)
        order = self._order(i, side, quantity, limit, stop)
        found = measure(self.gate, STRATEGY << 48 | self._last + 1, STRATEGY, i.id, *order, now=now, mono=now)
        return {name: self._headroom(failure, i) for name, failure in found}

    def fill(self, order: Allowed, price: Number, quantity: Number, *, fee: Number = 0, at: int | None = None) -> None:
        """Book an execution, whole or in part; a reservation that is used up goes. The price may be between two ticks.

        Raises OrderError for what is no price, quantity or fee: nothing is booked.
        """
        i = self._known[order.symbol]
        qty, px = i.qty(quantity), _executed(price)
        self.gate.fill(order.key, STRATEGY, i.id, order.side, px, qty, _amount(fee), self._now(at))
        left = self._leaves.get(order.key, 0) - qty
        if left > 0:
            self._leaves[order.key] = left
        elif self._leaves.pop(order.key, None) is not None:
            self.gate.release(order.key)

    def release(self, order: Allowed, *, at: int | None = None) -> None:
        """The order is cancelled, expired or refused: what is left of it counts no more. Again: nothing happens."""
        if self._leaves.pop(order.key, None) is not None:
            self.gate.release(order.key, canceled_at=self._now(at))

    def position(self, symbol: str) -> Decimal:
        """What is held, signed."""
        i = self._instrument(symbol)
        return i.quantity(self.ledger.position(STRATEGY, i.id).qty)

    def mark(self, *, at: int | None = None) -> Decimal:
        """Value everything at the quotes; returns profit and loss, which the loss limits go by."""
        return money(self.gate.mark(self._now(at)))

    # ------------------------------------------------------------------------------------------------ inside
    def _instrument(self, symbol: str) -> Instrument:
        known = self._known.get(symbol)
        if known is None:
            number = len(self._known) + 1
            if number == len(self.refs):
                raise ConfigError(f"more than {number - 1} instruments", where=symbol, mend="use a second gate")
            kind = AssetClass.CRYPTO if "/" in symbol else AssetClass.US_EQUITY
            given = self._given.get(symbol) or Instrument(id=number, symbol=symbol, asset_class=kind)
            known = self._known[symbol] = msgspec.structs.replace(given, id=number)
            i = known
            self.ledger.define(i.id, qty_exp=i.qty_exp, multiplier=i.multiplier, tick=i.tick, sub_tick=i.sub_tick, lot=i.lot)
            self.gate.set_bounds(i.id, self.limits.bounds(i))
            self.gate.session(i.id, *_ALWAYS)
        return known

    def _order(self, i: Instrument, side: Side | str, quantity: Number, limit: Number | None, stop: Number | None) -> Any:
        kind = _TYPES[limit is not None, stop is not None]
        px = 0 if limit is None else i.px(limit)
        return side_of(side), kind, i.qty(quantity), px, 0 if stop is None else i.px(stop)

    def _headroom(self, failure: Failure, i: Instrument) -> Headroom:
        limit, observed = (text(x, failure.unit, i.qty_exp) for x in (failure.limit, failure.observed))
        return Headroom(code=str(Code(failure.code).name), limit=limit, observed=observed)

    @staticmethod
    def _now(at: int | None) -> int:
        return time.time_ns() if at is None else at


def _executed(price: Number) -> int:
    px = units_of(price, PX_SCALE, "price")
    if px <= 0:
        raise OrderError(f"price {price} is not above zero", mend="give a price above 0")
    return px


def _amount(value: Number) -> int:
    try:
        units = int(Decimal(str(value)) * _MONEY)
    except (ArithmeticError, ValueError):
        units = _MOST
    if abs(units) >= _MOST:
        raise OrderError(f"{value!r} is no amount", mend="pass an int, a str, a Decimal or a float")
    return units
