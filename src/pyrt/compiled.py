"""The session's side of compiled strategies: called inside the pipeline's loop; what they ask for becomes intents here."""

import sys
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from pyrt._core.strategy import Asked, CompiledStrategy, Dispatch
from pyrt._core.types import Side
from pyrt.clock import Now, interval_ns
from pyrt.errors import ConfigError, OrderError
from pyrt.model import Instrument, TimeInForce
from pyrt.sources import is_of_this_core
from pyrt.strategies import Order, Strategy
from pyrt.strategies.ticket import TYPES, ticket

if TYPE_CHECKING:
    from pyrt.session import Session

INTENT_LIFE = 30_000_000_000  # ns of venue time, as Strategy.buy has it
_RECORD, _BARS, _INTENTS, _FAILED = 1, 2, 4, 8
_ORDER, _REPLACE, _CANCEL = 1, 2, 3
_BAR = 8
_BarWants = Mapping[tuple[int, int], list[tuple[int, Callable[..., None] | None]]]


class CompiledStage:
    """Drives the pipeline in place of the session where some of its strategies are compiled.

    A compiled strategy sees an event before the Python ones do. Its intents take the way of theirs.
    """

    def __init__(self, session: "Session") -> None:
        self._session = session
        self.dispatch = Dispatch(session.market.pipeline, session)  # a live session's inbox runs it too
        self._strategies: dict[int, CompiledStrategy] = {}

    # ------------------------------------------------------------------------------------------------ start
    def add(self, number: int, strategy: CompiledStrategy) -> None:
        """Take in a strategy of the session, under its id. Raises ConfigError for one that was built for another pyrt."""
        for cls in type(strategy).__mro__:
            file = getattr(sys.modules.get(cls.__module__), "__file__", None) or ""
            if issubclass(cls, CompiledStrategy) and not is_of_this_core(file):
                raise ConfigError("it was built for another pyrt", where=file, mend="build it again: python -m pyrt build FILE.pyx")
        self._strategies[number] = self._session.desk.compiled[number] = strategy

    def watch(self, instrument: int, mask: int) -> int:
        """What the session wants of an instrument, 1 << RecordType; returns what compiled strategies want of it."""
        session = self._session
        self.dispatch.watch(instrument, mask)
        calls = 0
        for number, strategy in self._strategies.items():
            known = session.strategies[number]
            if session.instruments[instrument].symbol in known.symbols:
                calls |= self.dispatch.join(instrument, strategy, strategy._callbacks(), interval_ns(known.interval))
        return calls

    def connect(self, bar_wants: _BarWants) -> None:
        """All instruments are watched: share windows of bars, and tell each strategy its instruments."""
        session = self._session
        if session.lane is not None:
            self.dispatch.decide_in(session.lane.core)
        for (instrument, interval), wanted in bar_wants.items():
            asked_for = any(on_bar is not None for _, on_bar in wanted)
            self.dispatch.stream(instrument, interval, session.desk.window(instrument, interval), asked_for)
        for number, strategy in self._strategies.items():
            known = session.strategies[number]
            instruments = [session.instruments[symbol] for symbol in dict.fromkeys(known.symbols)]
            windows = [session.desk.window(i.id, interval_ns(known.interval)) for i in instruments]
            rows = [(i.id, i.tick, i.sub_tick, i.lot, 10**i.qty_exp) for i in instruments]
            strategy._bind(number, session.market.pipeline, session.risk.ledger, rows, windows)
            strategy._used(session.desk.last_source(number))
            for order in session.desk.open_orders(number, None):
                session.desk.show(order)

    def halt(self, number: int) -> None:
        """Call a strategy no more."""
        strategy = self._strategies.get(number)
        if strategy is not None:
            self.dispatch.halt(strategy)

    # ------------------------------------------------------------------------------------------------ the loop
    def advance(self, records: np.ndarray[Any, Any], at: int, timed: bool) -> int:
        """Session.advance, with compiled strategies called on the way."""
        session, dispatch = self._session, self.dispatch
        now = session.now
        may = session.lane is not None and session.is_idle
        at = dispatch.run(records, at, 0 if timed else now.venue, session.running, now.mono if may else 0)
        if timed and at:
            ts = int(records["ts_event"][at - 1])
            session.now = Now(ts, ts)
        if dispatch.decided and session.lane is not None:
            session.lane.core.hand_over(session.now)
        self.finish(records, at)
        return at

    def finish(self, records: np.ndarray[Any, Any], at: int) -> None:
        """Handle what the record before `at` led to; what was decided of it is handed over."""
        session, dispatch = self._session, self.dispatch
        while due := dispatch.due:
            if due & (_INTENTS | _FAILED):
                self._take()
            if due & _FAILED:
                self._failed()
            if due & _BARS:
                session.bars(dispatch.take_bars())
            if due & _RECORD and not (due == _RECORD and session.give_record(records, at - 1)):
                session.record(records, at - 1)
            session.settle()
            dispatch.resume()
            if dispatch.decided and session.lane is not None:
                session.lane.core.hand_over(session.now)
        session.settle()
        if bars := dispatch.take_count():
            session.counts["bars"] += bars

    def _take(self) -> None:
        for number in self._strategies:
            self.collect(number)

    def posted(self) -> None:
        """Something was sent. Where a callback in C had Python do it, what that one asks for is decided behind it."""
        if self.dispatch.running:
            self.dispatch.sent = True
            if self._session.lane is not None:
                self._session.lane.close()

    def enter(self, number: int, now: int) -> None:
        """A Python callback of a strategy is about to run, at `now` (venue ns)."""
        strategy = self._strategies.get(number)
        if strategy is not None:
            strategy._at(now)

    def collect(self, number: int) -> None:
        """Make intents of what a strategy has asked for; nothing of a Python one."""
        strategy = self._strategies.get(number)
        if strategy is not None:
            rows, refused = strategy._take_asked()
            if rows or refused:
                self._session.call(number, self.ask, number, rows, refused)

    def _failed(self) -> None:
        error, failed = self.dispatch.error, self.dispatch.failed()
        if error is None or isinstance(error, KeyboardInterrupt):
            raise error or RuntimeError("a compiled callback failed without an error")
        number = next(n for n, strategy in self._strategies.items() if strategy is failed)
        self._session.halt(number, _callback(error), error)

    def ask(self, number: int, rows: list[Asked], refused: int) -> None:
        """Make intents of what a strategy asked for. Raises OrderError for what cannot be an order."""
        session = self._session
        strategy = session.strategies[number]
        for row in rows:
            order = session.desk.open_order(number, row.target) if row.target else None
            if row.verb == _CANCEL:
                if order is not None:
                    strategy.cancel(order)
                continue
            if row.verb == _REPLACE:
                order = _replace(strategy, order, row, session.instruments)
            else:
                instrument = session.instruments[row.instrument]
                make = _terms(instrument, row) | {"valid_until": strategy.now + (row.valid_for or INTENT_LIFE)}
                order = session.desk.send(number, make, instrument)
            if order.intent.source != row.source:
                raise OrderError(f"order {row.source} came out as {order.intent.source}", where=order.symbol)
        if refused:
            what = f"{refused} more intents than fit into one callback"
            raise OrderError(what, mend="ask for at most 256 a callback")


def _terms(instrument: Instrument, row: Asked) -> dict[str, Any]:
    qty, limit_px, stop_px, tif = row.qty, row.limit_px, row.stop_px, row.tif or TimeInForce.DAY
    if (
        qty > 0
        and qty % instrument.lot == 0
        and (not limit_px or _on_tick(instrument, limit_px))
        and (not stop_px or (_on_tick(instrument, stop_px) and tif <= TimeInForce.FOK))
    ):
        return {
            "side": Side(row.side),
            "type": TYPES[limit_px != 0, stop_px != 0],
            "tif": TimeInForce(tif),
            "qty": qty,
            "limit_px": limit_px,
            "stop_px": stop_px,
            "reduce_only": bool(row.reduce_only),
            "extended_hours": bool(row.extended_hours),
        }
    return ticket(  # which says what is wrong with it, and how to mend that
        instrument,
        Side(row.side),
        instrument.quantity(row.qty),
        limit=instrument.price(row.limit_px) if row.limit_px else None,
        stop=instrument.price(row.stop_px) if row.stop_px else None,
        tif=TimeInForce(row.tif or TimeInForce.DAY).name,
        reduce_only=bool(row.reduce_only),
        extended_hours=bool(row.extended_hours),
    )


def _on_tick(instrument: Instrument, px: int) -> bool:
    return px > 0 and px % instrument.tick_at(px) == 0


def _replace(strategy: Strategy, order: Order | None, row: Asked, instruments: Any) -> Order:
    if order is None:
        raise OrderError(f"order {row.target} is done", mend="ask order() before: NULL is done")
    instrument = instruments[order.intent.instrument]
    return strategy.replace(
        order,
        quantity=instrument.quantity(row.qty),
        limit=instrument.price(row.limit_px) if row.limit_px else None,
        stop=instrument.price(row.stop_px) if row.stop_px else None,
    )


def _callback(error: BaseException) -> str:
    """The callback that raised: the innermost frame's function."""
    tb = error.__traceback__
    while tb is not None and tb.tb_next is not None:
        tb = tb.tb_next
    return tb.tb_frame.f_code.co_name.rpartition(".")[2] if tb else "callback"
