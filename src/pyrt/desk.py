"""The session's side of a strategy's verbs: orders and positions as strategies see them, bar history, signals to intents."""

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from pyrt._core.recent import RecentBars
from pyrt._core.strategy import CompiledStrategy
from pyrt._core.types import NO_PRICE, Clock, Side, bar_dtype
from pyrt._core.verbs import Seat
from pyrt.clock import interval_text
from pyrt.errors import OrderError
from pyrt.execution.orders import ENTRY
from pyrt.execution.orders import Order as Known
from pyrt.indicators import IndicatorSet
from pyrt.library.book import OrderBook
from pyrt.model import (
    CancelIntent,
    Fact,
    Filled,
    Instrument,
    Intended,
    Intent,
    OrderChanged,
    OrderClass,
    OrderStatus,
    OrderType,
    Refused,
    ReplaceIntent,
    Signal,
    TimeInForce,
)
from pyrt.ports import Alarm, ExitWanted, SetTimer
from pyrt.signals import Sizer
from pyrt.strategies.order import Order, Position
from pyrt.strategies.ticket import TIFS, default_tif

if TYPE_CHECKING:
    from pyrt.session import Session

SIGNAL_LIFE = 1_000_000_000  # ns of venue time; an older opinion is not acted upon
INTENT_LIFE = 30_000_000_000
KEPT_BARS = 1000
_STOPS = {  # by whether it has a stop price, and a limit
    (False, False): OrderType.MARKET,
    (True, False): OrderType.STOP,
    (True, True): OrderType.STOP_LIMIT,
}

Call = tuple[int, tuple[Callable[..., None], *tuple[Any, ...]]]


class DeskState(msgspec.Struct, frozen=True, array_like=True, kw_only=True):
    """What the facts made of a desk."""

    orders: list[tuple[int, OrderStatus, str, int, str | None]]  # number, status, reason, filled qty, its cost (None: not known)
    open: list[int]
    used: list[tuple[int, int]]  # strategy -> last source


class TradingDesk:
    """Implements strategies.Desk for one session."""

    def __init__(self, session: "Session", sizer: Sizer) -> None:
        self._session = session
        self._sizer = sizer
        self._orders: dict[tuple[int, int], Order] = {}  # (strategy, source)
        self._by_number: dict[int, Order] = {}  # open ones and the last done ones
        self._open: dict[int, dict[int, Order]] = {}  # strategy -> source -> order that may still fill
        self._sources: dict[int, int] = {}  # the last source of each strategy
        self._used: dict[int, int] = {}  # the same, as the facts tell it
        self._bars: dict[tuple[int, int], RecentBars] = {}
        self._books: dict[int, OrderBook] = {}
        self.compiled: dict[int, CompiledStrategy] = {}  # who wants its orders shown in C

    def seat(self, strategy: int) -> Seat:
        """From which a strategy's plain verbs are done natively."""
        session = self._session
        return Seat(
            session,
            session.risk.ledger,
            strategy,
            order=Order,
            holding=Position,
            intent=_plain_intent,
            tif_of=default_tif,
            post=session._queue.append,
            known=session.instruments._by_symbol,
            tifs=TIFS,
            orders=self._orders,
            opened=self._open,
            sources=self._sources,
            shown=self.compiled,
        )

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
        return self._post(intent, instrument, intent)

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
            signal=old.signal,
            **make,
        )
        event = ReplaceIntent(replaces=old.source, intent=intent)
        return self._post(intent, self._session.instruments[old.instrument], event)

    def _post(self, intent: Intent, instrument: Instrument, event: Intent | ReplaceIntent) -> Order:
        order = Order(intent, instrument)
        if intent.order_class is not OrderClass.SIMPLE:
            order._attach()
            self._number(intent.strategy, self._sources[intent.strategy] + len(order.legs))
        if self._session.running:
            self._track(order)
            self._session.post(event)
        else:
            for each in (order, *order.legs):
                each.breaches = ("NOT_RUNNING",)
            self._session.refusals["NOT_RUNNING"] += 1
        return order

    def exit(self, wanted: ExitWanted) -> None:
        """Make an order of what risk wants; it is the strategy's own, and passes every control like any other."""
        instrument = self._session.instruments[wanted.instrument]
        one = 10**instrument.qty_exp
        make = {
            "side": wanted.side,
            "type": _STOPS[bool(wanted.stop_px), bool(wanted.limit_px)],
            "tif": default_tif(instrument) if wanted.qty % one or not wanted.stop_px else TimeInForce.GTC,
            "qty": wanted.qty,
            "stop_px": wanted.stop_px,
            "limit_px": wanted.limit_px,
            "reduce_only": True,
            "valid_until": self.now + INTENT_LIFE,
        }
        self.send(wanted.strategy, make, instrument)

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
        held = self._session.risk.position(strategy, instrument.id).qty
        side = Side.BUY if action == "buy" or (action == "close" and held < 0) else Side.SELL
        if action == "close":
            qty = abs(held)
        else:
            ref = self._session.market.refs[instrument.id]
            px = int(ref["ask_px" if side == Side.BUY else "bid_px"])
            qty = self._sizer.size(signal, instrument, int(ref["last_px"]) if px == NO_PRICE else px)
        if qty <= 0:
            self._session.counts["unsized"] += 1
            return None
        make = {
            "side": side,
            "type": OrderType.MARKET,
            "tif": default_tif(instrument),
            "qty": qty,
            "reduce_only": action == "close",
            "valid_until": signal.valid_until,
            "signal": self._sources.get(strategy, 0) + 1,
        }
        return self.send(strategy, make, instrument)

    def position(self, strategy: int, instrument: Instrument) -> Position:
        held = self._session.risk.ledger.position(strategy, instrument.id)
        return Position(instrument, held.qty, held.cost, held.realised)

    def open_orders(self, strategy: int, instrument: Instrument | None) -> list[Order]:
        orders = self._open.get(strategy)
        if not orders:
            return []
        return [o for o in orders.values() if instrument is None or o.intent.instrument == instrument.id]

    def book(self, instrument: Instrument) -> OrderBook:
        book = self._books.get(instrument.id)
        if book is None:
            book = self._books[instrument.id] = OrderBook.of(self._session.market.book(instrument.id), instrument.qty_exp)
        return book

    def bars(self, instrument: Instrument, interval: int, n: int) -> np.ndarray[Any, Any]:
        kept = self._bars.get((instrument.id, interval))
        if kept is not None:
            return kept.last(n)
        made = self._session.intervals(instrument.id)
        if interval not in made:
            names = ", ".join(interval_text(i) for i in made) or "none"
            what = f"this session makes no {interval_text(interval)} bars; of this symbol it makes: {names}"
            raise OrderError(what, where=instrument.symbol, mend="set `interval` of a strategy that trades it")
        return np.empty(0, bar_dtype)

    def set_timer(self, strategy: int, name: str, at: int) -> None:
        self._session.request([SetTimer(key=f"strategy.{strategy}.{name}", at=at, clock=Clock.VENUE)])

    def feed(self, strategy: int, instrument: Instrument, indicators: IndicatorSet) -> None:
        self._session.feed(strategy, instrument.id, indicators)

    def log(self, strategy: int, text: str) -> None:
        name = self._session.strategies[strategy].name
        self._session.shell.alarm(Alarm(severity="info", code="STRATEGY", text=f"{name}: {text}"))

    # ------------------------------------------------------------------------------------------------ a state to go on from
    def save(self) -> DeskState:
        """What the facts made of it; bars are no part of it."""
        known = [
            (n, o.status or OrderStatus.INTENT, o.reason, o._filled_qty, None if o._cost is None else str(o._cost))
            for n, o in self._by_number.items()
        ]
        opened = sorted(order.number for orders in self._open.values() for order in orders.values() if order.number)
        return DeskState(orders=known, open=opened, used=sorted(self._used.items()))

    def restore(self, state: DeskState) -> None:
        """Go on from a snapshot; the engine has its own already. Raises KeyError for orders that it does not know."""
        orders = self._session.execution.orders
        for number, status, reason, filled, cost in state.orders:
            intent = orders[number].intent
            if intent is None:
                raise KeyError(f"order {number} is somebody else's")
            order = Order(intent, self._session.instruments[intent.instrument])
            order.number, order.status, order.reason = number, status, reason
            order._filled_qty, order._cost = filled, None if cost is None else int(cost)
            self._by_number[number] = order
        for number, order in self._by_number.items():
            self._go_on(order, orders[number])
        for number in state.open:
            self._track(self._by_number[number])
        for known in (self._used, self._sources):  # the lane and the seats know these
            known.clear()
            known.update(state.used)

    def _go_on(self, order: Order, known: Known) -> None:
        """What the venue made of its terms, and its exits."""
        order._restate(known.qty, known.limit_px, known.stop_px)
        if not known.group:
            return
        first = self._session.execution.orders[known.group]
        order.is_exit = known.role != ENTRY and known.number != known.group
        numbers = range(first.number + 1, first.number + 1 + len(first.intent.legs if first.intent else ()))
        if not order.is_exit:
            order.legs = tuple(self._by_number[number] for number in numbers if number in self._by_number)

    # ------------------------------------------------------------------------------------------------ what happened
    def apply(self, fact: Fact) -> Call | None:
        """Bring the orders up to date with a fact; gives the callback that it calls for."""
        if type(fact) is Intended:  # nobody derives from a fact
            self._intended(fact)
        elif type(fact) is OrderChanged:
            return self._changed(fact)
        elif type(fact) is Filled:
            return self._filled(fact)
        elif isinstance(fact, Refused):
            self._seen(fact.intent)
        return None

    def refused(self, event: Refused) -> Call | None:
        """An intent that risk or execution denied."""
        order = self._orders.get((event.intent.strategy, event.intent.source))
        if order is None or order.breaches:
            return None
        for each in (order, *order.legs):
            each.breaches = tuple(b.code for b in event.breaches)
            each.reason = "; ".join(f"{b.rule or b.code}: {b.mend}" for b in event.breaches if b.mend)
        self._done(order)
        strategy = self._session.strategies.get(event.intent.strategy)
        return None if strategy is None else (event.intent.strategy, (strategy.on_order, order))

    def _intended(self, fact: Intended) -> None:
        self._seen(fact.intent)
        order = self._orders.get((fact.intent.strategy, fact.intent.source))
        if order is None:  # of an earlier life
            order = Order(fact.intent, self._session.instruments[fact.intent.instrument])
            order._attach()
            self._track(order)
        for number, each in enumerate((order, *order.legs) if order.legs else (order,), fact.number):
            each.number = number
            each.status = OrderStatus.INTENT
            self._by_number[number] = each
            if each is not order:
                self._track(each)
        if self.compiled:
            self.show(order)
        if fact.replaces:
            old = self._by_number.get(fact.replaces)
            if old is not None:
                order.is_exit, order.legs = old.is_exit, old.legs

    def _changed(self, fact: OrderChanged) -> Call | None:
        order = self._by_number.get(fact.number) or self._recall(fact.number)
        if order is None:
            return None
        was_done = order.is_done
        order.status = fact.status
        order.reason = fact.reason
        if fact.qty or fact.limit_px or fact.stop_px:
            order._restate(fact.qty, fact.limit_px, fact.stop_px)
        if fact.status.is_final:
            if not was_done or fact.number not in self._by_number:
                self._done(order)
        elif was_done:  # thought absent, and it appeared
            self._by_number[fact.number] = order
            self._track(order)
        else:
            self.show(order)
        strategy = self._session.strategies.get(order.intent.strategy)
        return None if strategy is None else (order.intent.strategy, (strategy.on_order, order))

    def _filled(self, fact: Filled) -> Call | None:
        order = self._by_number.get(fact.number)
        if order is None:
            order = self._recall(fact.number, fact.qty)
        if order is None:
            return None
        order._book(fact)
        self.show(order)
        strategy = self._session.strategies.get(order.intent.strategy)
        return None if strategy is None else (order.intent.strategy, (strategy.on_fill, order, fact))

    def _recall(self, number: int, less: int = 0) -> Order | None:
        """An order that was done so long ago that only the engine remembers it; what its fills cost is not known any more."""
        known = self._session.execution.orders.get(number)
        if known is None or known.intent is None:
            return None
        order = Order(known.intent, self._session.instruments[known.instrument])
        order.number, order.status = number, known.status
        order._filled_qty, order._cost = known.filled - less, None
        return order

    def keep_bar(self, instrument: int, interval: int, bar: np.void) -> None:
        """Remember a closed bar; an amendment takes the place of the bar that it amends."""
        self.window(instrument, interval).add(bar)

    def window(self, instrument: int, interval: int) -> RecentBars:
        """Where the bars of an instrument and interval are kept."""
        kept = self._bars.get((instrument, interval))
        if kept is None:
            kept = self._bars[instrument, interval] = RecentBars(KEPT_BARS)
        return kept

    def open_order(self, strategy: int, source: int) -> Order | None:
        """The order that a strategy numbered so, while it may still fill."""
        return self._orders.get((strategy, source))

    def show(self, order: Order) -> None:
        """Tell a compiled strategy how its order stands."""
        viewer = self.compiled.get(order.intent.strategy)
        if viewer is not None:
            i = order.intent
            is_open = i.source in self._open.get(i.strategy, ())
            terms = (i.side, i.qty, order._filled_qty, i.limit_px, i.stop_px)
            viewer._keep_order(i.source, i.instrument, *terms, order.status or 0, is_open)

    def _seen(self, intent: Intent) -> None:
        strategy, last = intent.strategy, intent.source
        if intent.order_class:
            last += len(intent.legs)
        if last > self._used.get(strategy, 0):
            self._used[strategy] = last
        if last > self._sources.get(strategy, 0):
            self._number(strategy, last)

    def answered(self, strategy: int) -> int:
        """The last source of a strategy that facts tell of."""
        return self._used.get(strategy, 0)

    def last_source(self, strategy: int) -> int:
        """The last source that a strategy's intent used; 0 where none did."""
        return self._sources.get(strategy, 0)

    def _next(self, strategy: int) -> int:
        if self.compiled and self._session.compiled is not None:
            self._session.compiled.collect(strategy)  # what it asked for in C comes first, and has its number
        self._number(strategy, source := self._sources.get(strategy, 0) + 1)
        return source

    def _number(self, strategy: int, source: int) -> None:
        # A compiled strategy numbers orders of its own.
        self._sources[strategy] = source
        viewer = self.compiled.get(strategy)
        if viewer is not None:
            viewer._used(source)

    def _track(self, order: Order) -> None:
        intent = order.intent
        strategy, source = intent.strategy, intent.source
        self._orders[strategy, source] = order
        self._open.setdefault(strategy, {})[source] = order
        if self.compiled:
            self.show(order)

    def _done(self, order: Order) -> None:
        """No longer open; its number finds it until it is let go."""
        strategy, source = order.intent.strategy, order.intent.source
        self._open.get(strategy, {}).pop(source, None)
        self._orders.pop((strategy, source), None)
        self.show(order)
        if order.number:
            self._by_number[order.number] = order

    def let_go(self, numbers: Iterable[int]) -> None:
        """Orders are over for so long that only the journal has them whole; a strategy that holds one keeps it as it is."""
        for number in numbers:
            self._by_number.pop(number, None)


def _plain_intent(
    strategy: int,
    source: int,
    instrument: int,
    side: int,
    kind: int,
    tif: int,
    qty: int,
    limit_px: int,
    stop_px: int,
    reduce_only: bool,
    valid_until: int,
) -> Intent:
    return Intent(
        strategy=strategy,
        source=source,
        instrument=instrument,
        side=Side(side),
        type=OrderType(kind),
        tif=TimeInForce(tif),
        qty=qty,
        limit_px=limit_px,
        stop_px=stop_px,
        reduce_only=reduce_only,
        valid_until=valid_until,
    )
