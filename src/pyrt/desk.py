"""The session's side of a strategy's verbs: orders and positions as strategies see them, bar history, signals to intents."""

from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import numpy as np

from pyrt._core.book import OrderBook
from pyrt._core.types import NO_PRICE, Clock, Side, bar_dtype
from pyrt.errors import OrderError
from pyrt.model import (
    CancelIntent,
    Fact,
    Filled,
    Instrument,
    Intended,
    Intent,
    OrderChanged,
    OrderStatus,
    OrderType,
    Refused,
    ReplaceIntent,
    Signal,
    TimeInForce,
)
from pyrt.ports import Alarm, SetTimer
from pyrt.signals import Sizer
from pyrt.strategies.strategy import Order, Position

if TYPE_CHECKING:
    from pyrt.session import Session

SIGNAL_LIFE = 1_000_000_000  # ns of venue time; an older opinion is not acted upon
INTENT_LIFE = 30_000_000_000
KEPT_BARS = 1000

Call = tuple[int, tuple[Callable[..., None], *tuple[Any, ...]]]


class TradingDesk:
    """Implements strategies.Desk for one session."""

    def __init__(self, session: "Session", sizer: Sizer) -> None:
        self._session = session
        self._sizer = sizer
        self._orders: dict[tuple[int, int], Order] = {}  # (strategy, source)
        self._by_number: dict[int, Order] = {}
        self._open: dict[int, dict[int, Order]] = {}  # strategy -> source -> order that may still fill
        self._sources: dict[int, int] = {}  # the last source of each strategy
        self._bars: dict[tuple[int, int], _Bars] = {}

    # ------------------------------------------------------------------------------------------------ verbs
    @property
    def now(self) -> int:
        return self._session.now.venue

    def instrument(self, symbol: str) -> Instrument:
        found = self._session.instruments.get(symbol)
        if found is None:
            known = ", ".join(i.symbol for i in self._session.instruments)
            raise OrderError(f"no instrument {symbol!r} in this session", mend=f"add it to `symbols`; known are {known}")
        return found

    def send(self, strategy: int, make: dict[str, Any], instrument: Instrument) -> Order:
        intent = Intent(strategy=strategy, source=self._next(strategy), instrument=instrument.id, **make)
        order = self._track(intent, instrument)
        if self._session.running:
            self._session.post(intent)
        else:
            order.breaches = ("NOT_RUNNING",)
            self._done(order)
        return order

    def replace(self, strategy: int, order: Order, make: dict[str, Any]) -> Order:
        old = order.intent
        intent = Intent(
            strategy=strategy,
            source=self._next(strategy),
            instrument=old.instrument,
            side=old.side,
            type=old.type,
            tif=old.tif,
            reduce_only=old.reduce_only,
            extended_hours=old.extended_hours,
            valid_until=self.now + INTENT_LIFE,
            **make,
        )
        new = self._track(intent, self._session.instruments[old.instrument])
        self._session.post(ReplaceIntent(replaces=old.source, intent=intent))
        return new

    def cancel(self, strategy: int, order: Order) -> None:
        self._session.post(CancelIntent(strategy=strategy, source=order.intent.source))

    def signal(self, strategy: int, instrument: Instrument, action: str, confidence: float) -> Order | None:
        if action not in ("buy", "sell", "close") or not 0 <= confidence <= 1:
            what = f"signal({action!r}, {confidence!r}) means nothing"
            raise OrderError(what, where=instrument.symbol, mend='action is "buy", "sell" or "close"; confidence is 0 to 1')
        signal = Signal(
            strategy=strategy,
            instrument=instrument.id,
            action=action,
            confidence=confidence,
            ts=self.now,
            valid_until=self.now + SIGNAL_LIFE,
        )
        self._session.signal(signal)
        held = self.position(strategy, instrument).quantity
        side = Side.BUY if action == "buy" or (action == "close" and held < 0) else Side.SELL
        if action == "close":
            qty = abs(int(held.scaleb(instrument.qty_exp)))
        else:
            ref = self._session.market.refs[instrument.id]
            px = int(ref["ask_px" if side == Side.BUY else "bid_px"])
            qty = self._sizer.size(signal, instrument, int(ref["last_px"]) if px == NO_PRICE else px)
        if qty == 0:
            return None
        make = {
            "side": side,
            "type": OrderType.MARKET,
            "tif": TimeInForce.DAY,
            "qty": qty,
            "reduce_only": action == "close",
            "valid_until": signal.valid_until,
        }
        return self.send(strategy, make, instrument)

    def position(self, strategy: int, instrument: Instrument) -> Position:
        held = self._session.risk.position(strategy, instrument.id)
        return Position(instrument.symbol, instrument.quantity(held.qty), money(held.cost), money(held.realised))

    def open_orders(self, strategy: int, instrument: Instrument | None) -> list[Order]:
        orders = self._open.get(strategy, {}).values()
        return [o for o in orders if instrument is None or o.intent.instrument == instrument.id]

    def book(self, instrument: Instrument) -> OrderBook:
        return self._session.market.book(instrument.id)

    def bars(self, instrument: Instrument, interval: int, n: int) -> np.ndarray[Any, Any]:
        kept = self._bars.get((instrument.id, interval))
        return kept.last(n) if kept is not None else np.empty(0, bar_dtype)

    def set_timer(self, strategy: int, name: str, at: int) -> None:
        self._session.request([SetTimer(key=f"strategy.{strategy}.{name}", at=at, clock=Clock.VENUE)])

    def log(self, strategy: int, text: str) -> None:
        name = self._session.strategies[strategy].name
        self._session.shell.alarm(Alarm(severity="info", code="STRATEGY", text=f"{name}: {text}"))

    # ------------------------------------------------------------------------------------------------ what happened
    def apply(self, fact: Fact) -> Iterator[Call]:
        """Bring the orders up to date with a fact; gives the callbacks that it calls for, in order."""
        if isinstance(fact, Intended):
            key = (fact.intent.strategy, fact.intent.source)
            self._sources[key[0]] = max(self._sources.get(key[0], 0), key[1])
            order = self._orders.get(key)
            if order is None:
                order = self._track(fact.intent, self._session.instruments[fact.intent.instrument])
            order.number = fact.number
            order.status = OrderStatus.INTENT
            self._by_number[fact.number] = order
            return iter(())
        if isinstance(fact, Refused):
            known = self._sources.get(fact.intent.strategy, 0)
            self._sources[fact.intent.strategy] = max(known, fact.intent.source)
            return iter(())
        if isinstance(fact, OrderChanged):
            return self._changed(fact)
        if isinstance(fact, Filled):
            return self._filled(fact)
        return iter(())

    def refused(self, event: Refused) -> Iterator[Call]:
        """An intent that risk or execution denied."""
        order = self._orders.get((event.intent.strategy, event.intent.source))
        if order is None or order.breaches:
            return
        order.breaches = tuple(b.code for b in event.breaches)
        self._done(order)
        strategy = self._session.strategies.get(event.intent.strategy)
        if strategy is not None:
            yield event.intent.strategy, (strategy.on_order, order)

    def _changed(self, fact: OrderChanged) -> Iterator[Call]:
        order = self._by_number.get(fact.number)
        if order is None:
            return iter(())
        order.status = fact.status
        order.reason = fact.reason
        if fact.status.is_final:
            self._done(order)
        strategy = self._session.strategies.get(order.intent.strategy)
        return iter(()) if strategy is None else iter([(order.intent.strategy, (strategy.on_order, order))])

    def _filled(self, fact: Filled) -> Iterator[Call]:
        order = self._by_number.get(fact.number)
        if order is None:
            return iter(())
        order._book(fact)
        strategy = self._session.strategies.get(order.intent.strategy)
        return iter(()) if strategy is None else iter([(order.intent.strategy, (strategy.on_fill, order, fact))])

    def keep_bar(self, instrument: int, interval: int, bar: np.void) -> None:
        """Remember a closed bar; an amendment takes the place of the bar that it amends."""
        key = (instrument, interval)
        if key not in self._bars:
            self._bars[key] = _Bars(KEPT_BARS)
        self._bars[key].add(bar)

    def last_source(self, strategy: int) -> int:
        """The last source that a strategy's intent used; 0 where none did."""
        return self._sources.get(strategy, 0)

    def _next(self, strategy: int) -> int:
        self._sources[strategy] = self._sources.get(strategy, 0) + 1
        return self._sources[strategy]

    def _track(self, intent: Intent, instrument: Instrument) -> Order:
        order = Order(intent, instrument)
        self._orders[intent.strategy, intent.source] = order
        self._open.setdefault(intent.strategy, {})[intent.source] = order
        return order

    def _done(self, order: Order) -> None:
        """Forget a done order, but for late fills: those find it by its number."""
        self._open.get(order.intent.strategy, {}).pop(order.intent.source, None)
        self._orders.pop((order.intent.strategy, order.intent.source), None)


def money(units: int) -> Decimal:
    """Money in 1e-18 units as a Decimal, exactly."""
    return Decimal(units).scaleb(-18)


class _Bars:
    """The last bars of one instrument and interval, oldest first, contiguous."""

    def __init__(self, keep: int) -> None:
        self._keep = keep
        self._rows = np.zeros(2 * keep, bar_dtype)
        self._starts = self._rows["start"]
        self._raw = self._rows.view(f"V{bar_dtype.itemsize}")  # copied as one piece, not field by field
        self._end = 0
        self._last = -1  # start of the newest bar

    def add(self, bar: np.void) -> None:
        raw, end = self._raw, self._end
        start = int(bar["start"])
        at = end
        if start <= self._last:
            while at > 0 and self._starts[at - 1] >= start:
                at -= 1
            if at < end and self._starts[at] == start:
                raw[at] = bar.tobytes()
                return
        if end == len(raw):
            raw[: self._keep] = raw[end - self._keep : end]
            at -= end - self._keep
            end = self._keep
        if at < end:
            raw[at + 1 : end + 1] = raw[at:end].copy()
        raw[at] = bar.tobytes()
        self._end = end + 1
        self._last = max(start, self._last)

    def last(self, n: int) -> np.ndarray[Any, Any]:
        rows = self._raw[max(0, self._end - min(n, self._keep)) : self._end]
        return np.frombuffer(bytearray(rows.tobytes()), bar_dtype)
