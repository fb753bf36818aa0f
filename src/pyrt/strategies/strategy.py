"""Strategy: what a user writes. Callbacks come in, verbs go out; the Desk behind it is the session, live or in a backtest."""

from types import GetSetDescriptorType, MemberDescriptorType
from typing import Any, ClassVar, Protocol, overload

import numpy as np

from pyrt._core.events import Bar, Quote, Trade
from pyrt._core.sampled import BarSpec
from pyrt._core.types import NO_PRICE, Side
from pyrt._core.verbs import Seat, before
from pyrt.clock import interval_ns
from pyrt.errors import ConfigError, OrderError
from pyrt.indicators import Indicator, IndicatorSet
from pyrt.library.book import OrderBook
from pyrt.model import Filled, Instrument, Number, OrderClass
from pyrt.strategies.order import Order, Position
from pyrt.strategies.parameters import like
from pyrt.strategies.ticket import Rounding, plain, px_of, ratio_of, ticket

_NO_PARAMETERS = (property, classmethod, staticmethod, GetSetDescriptorType, MemberDescriptorType)


class Desk(Protocol):
    """What a strategy stands on: the session's side of its verbs."""

    @property
    def now(self) -> int:
        """Venue time of the event being handled, ns UTC."""
        ...

    def instrument(self, symbol: str) -> Instrument: ...

    def send(self, strategy: int, make: dict[str, Any], instrument: Instrument) -> Order: ...

    def cancel(self, strategy: int, order: Order) -> None: ...

    def replace(self, strategy: int, order: Order, make: dict[str, Any]) -> Order: ...

    def signal(self, strategy: int, instrument: Instrument, action: str, confidence: float) -> Order | None: ...

    def position(self, strategy: int, instrument: Instrument) -> Position: ...

    def open_orders(self, strategy: int, instrument: Instrument | None) -> list[Order]: ...

    def book(self, instrument: Instrument) -> OrderBook: ...

    def bars(self, instrument: Instrument, interval: int, n: int) -> np.ndarray[Any, Any]: ...

    def set_timer(self, strategy: int, name: str, at: int) -> None: ...

    def feed(self, strategy: int, instrument: Instrument, indicators: IndicatorSet) -> None: ...

    def log(self, strategy: int, text: str) -> None: ...


class Strategy:
    """A trading idea. Subclass it, say what you want to see, and trade from the callbacks.

    Class attributes are parameters: configuration may override every one of them by name. `symbols` are the instruments,
    `interval` the bars that on_bar gets ("1s", "5m", "1h", "1d", "tick:100"), `warmup` how many of them history() has at on_start.

    Prices and quantities are int, str, Decimal or float in whole units: buy("AAPL", 10, limit=190.25) is ten shares at $190.25.

    >>> class Breakout(Strategy):
    ...     symbols = ("AAPL",)
    ...     interval = "1m"
    ...     lookback = 20
    ...
    ...     def on_bar(self, bar):
    ...         seen = self.history(bar.symbol, self.lookback)
    ...         if len(seen) == self.lookback and not self.position(bar.symbol) and bar.close_px >= seen["high_px"].max():
    ...             self.buy(bar.symbol, 10, limit=bar.close)
    """

    symbols: ClassVar[tuple[str, ...]] = ()
    interval: str | int | BarSpec = "1m"
    warmup: int = 0

    _desk: Desk
    _id: int = 0
    _seat: Seat | None = None

    def __init__(self, **parameters: Any) -> None:
        known = self.parameters()
        for name, value in parameters.items():
            if name not in known:
                what = f"{type(self).__name__} has no parameter {name!r}"
                raise ConfigError(what, mend=f"its parameters are: {', '.join(sorted(known))}")
            setattr(self, name, like(known[name], value, f"{type(self).__name__}.{name}"))
        if isinstance(self.symbols, str):  # symbols = "AAPL" is as good as ("AAPL",)
            setattr(self, "symbols", like((), self.symbols, "symbols"))  # noqa: B010 -- a class variable for the type checker

    @classmethod
    def parameters(cls) -> dict[str, Any]:
        """The class attributes that configuration may override, with their defaults."""
        found: dict[str, Any] = {}
        for klass in reversed(cls.__mro__[:-1]):
            for name, value in vars(klass).items():
                if name.startswith("_") or callable(value) or isinstance(value, _NO_PARAMETERS):
                    found.pop(name, None)
                else:
                    found[name] = value
        return found

    @property
    def name(self) -> str:
        """The name under which the journal keeps this strategy's orders and shares."""
        return type(self).__name__

    @property
    def now(self) -> int:
        """Venue time of the event being handled, ns UTC."""
        return self._desk.now

    # ------------------------------------------------------------------------------------------------ callbacks
    def on_start(self) -> None:
        """Recovery is over, warm-up bars are in history(), trading may begin."""

    def on_trade(self, trade: Trade) -> None:
        """A print of one of `symbols`."""

    def on_quote(self, quote: Quote) -> None:
        """The best bid or offer of one of `symbols` changed."""

    def on_book(self, symbol: str, book: OrderBook) -> None:
        """The depth of one of `symbols` changed; `book` is live: valid until the callback returns."""

    def on_bar(self, bar: Bar) -> None:
        """A bar of `interval` closed, or was amended (bar.revision > 0)."""

    def on_timer(self, name: str) -> None:
        """A timer that set_timer asked for is due."""

    def on_order(self, order: Order) -> None:
        """An order of this strategy changed its status, or was refused by risk (order.breaches)."""

    def on_fill(self, order: Order, fill: Filled) -> None:
        """An order of this strategy was filled, in part or in full; position() includes it already."""

    def on_stop(self) -> None:
        """The session ends; orders sent from here are refused."""

    # ------------------------------------------------------------------------------------------------ verbs
    @before("buy")
    def buy(
        self,
        symbol: str,
        quantity: Number,
        *,
        limit: Number | None = None,
        stop: Number | None = None,
        trail: Number | None = None,
        trail_percent: Number | None = None,
        take_profit: Number | None = None,
        stop_loss: Number | None = None,
        stop_loss_limit: Number | None = None,
        tif: str | None = None,
        reduce_only: bool = False,
        extended_hours: bool = False,
        valid_for: float = 30.0,
        round: Rounding | None = None,
    ) -> Order:
        """Ask for shares: market without prices, limit, stop, stop-limit with both, or a trailing stop at a distance.

        With take_profit or stop_loss (stop_loss_limit makes that a stop-limit) it is one request with its exits, which work at the
        venue from the moment the entry is wholly filled; order.take_profit and order.stop_loss are they. tif: day (where none is
        given, for crypto gtc), gtc, ioc, fok, or opg and cls for the auctions. valid_for: seconds of venue time within which the
        order must have been sent. Returns at once; on_order tells the rest. Raises OrderError where the order cannot exist, with
        what to write instead.
        """
        if trail is trail_percent is take_profit is stop_loss is stop_loss_limit is None:
            instrument = self._desk.instrument(symbol)
            make = plain(instrument, Side.BUY, quantity, limit, stop, tif, reduce_only, extended_hours, round)
            return self._send(instrument, make, valid_for)
        terms: dict[str, Any] = {"limit": limit, "stop": stop, "trail": trail, "trail_percent": trail_percent, "tif": tif}
        terms |= {"take_profit": take_profit, "stop_loss": stop_loss, "stop_loss_limit": stop_loss_limit, "round": round}
        return self._order(Side.BUY, symbol, quantity, valid_for, reduce_only=reduce_only, extended_hours=extended_hours, **terms)

    @before("sell")
    def sell(
        self,
        symbol: str,
        quantity: Number,
        *,
        limit: Number | None = None,
        stop: Number | None = None,
        trail: Number | None = None,
        trail_percent: Number | None = None,
        take_profit: Number | None = None,
        stop_loss: Number | None = None,
        stop_loss_limit: Number | None = None,
        tif: str | None = None,
        reduce_only: bool = False,
        extended_hours: bool = False,
        valid_for: float = 30.0,
        round: Rounding | None = None,
    ) -> Order:
        """Offer shares; see buy."""
        if trail is trail_percent is take_profit is stop_loss is stop_loss_limit is None:
            instrument = self._desk.instrument(symbol)
            make = plain(instrument, Side.SELL, quantity, limit, stop, tif, reduce_only, extended_hours, round)
            return self._send(instrument, make, valid_for)
        terms: dict[str, Any] = {"limit": limit, "stop": stop, "trail": trail, "trail_percent": trail_percent, "tif": tif}
        terms |= {"take_profit": take_profit, "stop_loss": stop_loss, "stop_loss_limit": stop_loss_limit, "round": round}
        return self._order(Side.SELL, symbol, quantity, valid_for, reduce_only=reduce_only, extended_hours=extended_hours, **terms)

    def protect(
        self,
        symbol: str,
        *,
        take_profit: Number | None = None,
        stop_loss: Number | None = None,
        stop_loss_limit: Number | None = None,
        trail: Number | None = None,
        trail_percent: Number | None = None,
        quantity: Number | None = None,
        tif: str = "gtc",
        valid_for: float = 30.0,
        round: Rounding | None = None,
    ) -> Order:
        """Put exits behind this strategy's position: a take-profit, a stop, a trailing stop, or the first two as one of which only
        one fills (OCO: the order is the take-profit, order.stop_loss its stop). quantity: of the position; None = all of it.

        Raises OrderError where nothing is held, and as buy does.
        """
        held = self.position(symbol)
        if not held:
            raise OrderError("there is no position to protect", where=symbol, mend="buy with take_profit or stop_loss instead")
        side, amount = Side.SELL if held.quantity > 0 else Side.BUY, abs(held.quantity) if quantity is None else quantity
        terms: dict[str, Any] = {"tif": tif, "round": round, "reduce_only": True}
        if trail is not None or trail_percent is not None:
            if take_profit is not None or stop_loss is not None:
                raise OrderError("a trailing stop stands alone", where=symbol, mend="leave take_profit and stop_loss out")
            terms |= {"trail": trail, "trail_percent": trail_percent}
        elif take_profit is not None and stop_loss is not None:
            exits = {"take_profit": take_profit, "stop_loss": stop_loss, "stop_loss_limit": stop_loss_limit}
            terms |= {"oco": True, "limit": take_profit, **exits}
        elif take_profit is not None:
            terms["limit"] = take_profit
        elif stop_loss is not None:
            terms |= {"stop": stop_loss, "limit": stop_loss_limit}
        else:
            raise OrderError("protect() without an exit", where=symbol, mend="give take_profit, stop_loss, trail or trail_percent")
        return self._order(side, symbol, amount, valid_for, **terms)

    def _order(self, side: Side, symbol: str, quantity: Number, valid_for: float, **terms: Any) -> Order:
        instrument = self._desk.instrument(symbol)
        return self._send(instrument, ticket(instrument, side, quantity, **terms), valid_for)

    def _send(self, instrument: Instrument, make: dict[str, Any], valid_for: float) -> Order:
        make["valid_until"] = self._desk.now + int(valid_for * 1_000_000_000)
        return self._desk.send(self._id, make, instrument)

    def cancel(self, order: Order) -> None:
        """Ask the venue to cancel; on_order tells whether it did. A done order is left alone.

        Raises OrderError for an order of another strategy.
        """
        self._own(order)
        if not order.is_done:
            self._desk.cancel(self._id, order)

    def replace(
        self,
        order: Order,
        *,
        quantity: Number | None = None,
        limit: Number | None = None,
        stop: Number | None = None,
        trail: Number | None = None,
        trail_percent: Number | None = None,
        round: Rounding | None = None,
    ) -> Order:
        """Ask for other terms; returns the order that stands in. `quantity` is the new total, what is filled included.

        An exit's quantity follows its entry and cannot be changed; a trailing stop keeps its kind of distance.

        Raises OrderError for an order that is done, is not this strategy's, or has no such price.
        """
        self._own(order)
        if order.is_done:
            raise OrderError(f"{order!r} is done", where=order.symbol, mend="send a new order")
        old = order.intent
        for name, wanted, has in (
            ("limit", limit, old.limit_px),
            ("stop", stop, old.stop_px),
            ("trail", trail, old.trail_px),
            ("trail_percent", trail_percent, old.trail_ratio),
        ):
            if wanted is not None and not has:
                what = f"this {old.type.name} order has no {name} to change"
                raise OrderError(what, where=order.symbol, mend="cancel it and send another")
        instrument = self._desk.instrument(order.symbol)
        make = {
            "qty": old.qty if quantity is None else instrument.qty(quantity),
            "limit_px": old.limit_px if limit is None else px_of(instrument, limit, round),
            "stop_px": old.stop_px if stop is None else px_of(instrument, stop, round),
            "trail_px": old.trail_px if trail is None else px_of(instrument, trail, round),
            "trail_ratio": old.trail_ratio if trail_percent is None else ratio_of(instrument, trail_percent),
        }
        if (order.is_exit or old.order_class is OrderClass.OCO) and make["qty"] != old.qty:
            raise OrderError("an exit's quantity follows its entry", where=order.symbol, mend="leave quantity out")
        return self._desk.replace(self._id, order, make)

    def close(self, symbol: str) -> Order | None:
        """Sell (or buy back) this strategy's whole position at the market; None when flat."""
        held = self.position(symbol)
        if not held:
            return None
        verb = self.sell if held.quantity > 0 else self.buy
        return verb(symbol, abs(held.quantity), reduce_only=True)

    def instrument(self, symbol: str) -> Instrument:
        """What an instrument is, and its units: instrument(symbol).qty("1.5") is that in qty units. Raises OrderError."""
        return self._desk.instrument(symbol)

    def signal(self, symbol: str, action: str, confidence: float = 1.0) -> Order | None:
        """Publish an opinion ("buy", "sell" or "close"); the session's sizer turns it into an order, or into none."""
        return self._desk.signal(self._id, self._desk.instrument(symbol), action, confidence)

    @before("position")
    def position(self, symbol: str) -> Position:
        """This strategy's own position."""
        return self._desk.position(self._id, self._desk.instrument(symbol))

    @before("open_orders")
    def open_orders(self, symbol: str | None = None) -> list[Order]:
        """This strategy's orders that may still fill."""
        return self._desk.open_orders(self._id, None if symbol is None else self._desk.instrument(symbol))

    def book(self, symbol: str) -> OrderBook:
        """The live book; valid until the callback returns. Alpaca's stocks have no depth: one level a side, flagged TOP_ONLY."""
        return self._desk.book(self._desk.instrument(symbol))

    def bars(self, symbol: str, n: int = 1000, *, interval: str | int | None = None) -> np.ndarray[Any, Any]:
        """The last n closed bars, oldest first, as a copy with the fields of bar_dtype (open_px ... in 1e-9 units).

        At most 1000 are kept. Raises OrderError for an interval that no strategy of this session asked for.
        """
        return self._desk.bars(self._desk.instrument(symbol), interval_ns(interval or self.interval), n)

    @overload
    def history(self, symbol: str, n: int) -> np.ndarray[Any, Any]: ...

    @overload
    def history(self, symbol: int) -> np.ndarray[Any, Any]: ...

    def history(self, symbol: str | int, n: int = 0) -> np.ndarray[Any, Any]:
        """The last n closed bars of this strategy's interval; fewer while the warm-up lasts.

        history("AAPL", 20), or history(20) where the strategy has one symbol. Raises OrderError where it has more.
        """
        if isinstance(symbol, str):
            return self.bars(symbol, n)
        if len(self.symbols) != 1:
            what = f"history({symbol}) of which symbol? {self.name} has {len(self.symbols)}"
            raise OrderError(what, mend=f"write history(symbol, {symbol})")
        return self.bars(self.symbols[0], symbol)

    def indicators(self, symbol: str, *members: Indicator) -> IndicatorSet:
        """Indicators of a symbol's bars, for on_start: warmed up by history(), fed with each new bar before on_bar is called.

        Amended bars, and bars that come after newer ones, change nothing. Raises OrderError for a symbol that is not one of
        `symbols`, ValueError for members that are not fresh.
        """
        instrument = self._desk.instrument(symbol)
        if symbol not in self.symbols:
            raise OrderError(f"{self.name} has no bars of {symbol}", mend="add it to `symbols`")
        made = IndicatorSet(*members)
        seen = self.bars(symbol)
        made.apply(seen[seen["close_px"] != NO_PRICE], qty_exp=instrument.qty_exp)
        self._desk.feed(self._id, instrument, made)
        return made

    def set_timer(self, name: str, seconds: float) -> None:
        """Call on_timer(name) once, after so many seconds of venue time; the same name again moves it."""
        self._desk.set_timer(self._id, name, max(self.now + int(seconds * 1_000_000_000), 1))

    def clear_timer(self, name: str) -> None:
        """Forget a timer; one that is not set is no mistake."""
        self._desk.set_timer(self._id, name, 0)

    def log(self, text: str) -> None:
        """Write a line to the session's log."""
        self._desk.log(self._id, text)

    def _own(self, order: Order) -> None:
        # By (strategy, source): the number of another strategy's order would name one of ours.
        if order.intent.strategy != self._id:
            raise OrderError(f"{order!r} is another strategy's", where=order.symbol, mend="let its own strategy change it")
