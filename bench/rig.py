"""A whole session over a venue that is a Python object: it accepts and fills at once, so that only our own work is timed."""

import itertools
from collections.abc import Callable, Sequence

import numpy as np

from bench import material
from bench.material import Records
from pyrt._core.events import Quote
from pyrt._core.types import Clock, RecordType, Side, market_dtype, timer_dtype
from pyrt.clock import Now
from pyrt.execution import ExecutionEngine
from pyrt.market import MarketData
from pyrt.model import Defined, Fact, Instrument, Instruments, Message
from pyrt.ports import (
    Alarm,
    Append,
    Command,
    Event,
    OrderRequest,
    Outcome,
    SetTimer,
    Start,
    StreamState,
    Submit,
    SubmitResult,
    Sync,
    TakeSnapshot,
    TradeUpdate,
    VenueAccount,
    VenueOrder,
    VenueSnapshot,
)
from pyrt.risk import Limits, RiskManager
from pyrt.session import Session
from pyrt.strategies import Strategy
from pyrt.venues.alpaca.wire import order_body

RICH = VenueAccount(id="a", cash="1e9", buying_power="1e9", equity="1e9", last_equity="1e9", multiplier="2", blocked=False)
WIDE = {
    "max_position_qty": "1e7",
    "max_strategy_qty": "1e7",
    "max_position_notional": "1e9",
    "max_gross_exposure": "1e9",
    "max_net_exposure": "1e9",
    "max_open_order_value": "1e9",
    "max_daily_loss": "1e9",
    "max_drawdown": "1e9",
    "max_open_orders": 10**6,
    "account_orders_per_minute": 10**6,
    "strategy_orders_per_minute": 10**6,
    "symbol_orders_per_minute": 10**6,
    "repeat_window_ms": 1,
    "symbol_order_rate_window_ms": 1,
    "cancel_window_ms": 1,
    "duplicate_window_ms": 1,
    "max_quote_age_ms": 10**9,
    "max_trade_age_ms": 10**9,
}


def wide_limits() -> Limits:
    """Every control of the profile `paper` in force, none of them narrow."""
    return Limits.of(WIDE, base=Limits.profile("paper"))


class Taker(Strategy):
    """Takes the offer when flat and the bid when long, one order at a time: an order for every quote that finds none open."""

    symbols = ("AAA",)
    interval = "1s"

    def on_quote(self, quote: Quote) -> None:
        if self.open_orders(quote.symbol):
            return
        if self.position(quote.symbol):
            self.sell(quote.symbol, 10, limit=quote.bid, reduce_only=True)
        else:
            self.buy(quote.symbol, 10, limit=quote.ask)


class Venue:
    """Accepts every order and fills it whole at its limit."""

    def __init__(self) -> None:
        self._ids = itertools.count(1)

    def answers(self, command: Submit, at: int) -> tuple[Event, Event]:
        """What the venue says to an order: the answer of the request, then the fill."""
        request, venue_id = command.request, f"v{next(self._ids)}"
        accepted = self._order(request, venue_id, "0", "new", at)
        filled = self._order(request, venue_id, request.qty, "filled", at)
        result = SubmitResult(number=request.number, attempt=command.attempt, outcome=Outcome.ACCEPTED, order=accepted, http=200)
        price = request.limit_price or "190.00"
        return result, TradeUpdate(event="fill", order=filled, ts=at, price=price, qty=request.qty, execution_id=f"x{venue_id}")

    def _order(self, request: OrderRequest, venue_id: str, filled: str, status: str, at: int) -> VenueOrder:
        return VenueOrder(
            id=venue_id,
            cid=request.cid,
            symbol=request.symbol,
            side=Side(request.side),
            type=request.type.name.lower(),
            tif=request.tif.name.lower(),
            qty=request.qty,
            filled_qty=filled,
            limit_price=request.limit_price,
            status=status,
            created_at=at,
        )


def empty_snapshot(query: TakeSnapshot, at: int) -> VenueSnapshot:
    """What a new account answers."""
    return VenueSnapshot(query=query.query, begun=at, since=query.since, account=RICH, positions=(), orders=(), fills=())


class Shell:
    """Performs at once, in this thread, without a disk; `queued` gets every order body."""

    def __init__(self, queued: Callable[[bytes], object]) -> None:
        self.queued = queued
        self.session: Session | None = None
        self.venue = Venue()
        self.commands: list[Command] = []
        self.facts = 0
        self.ahead = 0  # number of an order whose body is queued before its command came

    def intend(self, number: int, record: bytes, body: bytes, now: Now) -> None:
        self.ahead = number
        self.queued(body)

    def append(self, fact: Fact, sync: Sync, now: Now) -> None:
        self.facts += 1

    def perform(self, command: Command) -> None:
        if isinstance(command, Submit) and command.request.number != self.ahead:
            self.queued(order_body(command.request))
        self.commands.append(command)

    def set_timer(self, command: SetTimer) -> None:
        pass

    def tell(self, message: Message) -> None:
        pass

    def alarm(self, alarm: Alarm) -> None:
        if alarm.severity == "critical":
            raise RuntimeError(alarm.text)

    def answer(self, now: Now) -> None:
        """Let the venue answer everything that was asked."""
        assert self.session is not None
        while self.commands:
            command = self.commands.pop(0)
            if isinstance(command, TakeSnapshot):
                self.session.step(empty_snapshot(command, now.venue), now)
            elif isinstance(command, Submit):
                for event in self.venue.answers(command, now.venue):
                    self.session.step(event, now)


def assemble(shell: Shell, strategies: Sequence[Strategy], now: Now, *, journal_id: str = "k3v9q2xa") -> Session:
    """A session that has recovered and is trading."""
    instruments = Instruments()
    market = MarketData(instruments)
    session = Session(
        instruments=instruments,
        market=market,
        risk=RiskManager(instruments, market.refs, limits=wide_limits()),
        execution=ExecutionEngine(journal_id, instruments),
        shell=shell,
        strategies=strategies,
    )
    shell.session = session
    session.now = now
    symbols = sorted({s for strategy in strategies for s in strategy.symbols})
    facts = [Defined(instrument=Instrument(id=i, symbol=s)) for i, s in enumerate(symbols, 1)]
    session.request([Append(fact=fact, sync=Sync.SOON) for fact in facts])
    session.prepare(now)
    session.step(Start(epoch=1), now)
    session.step(StreamState(stream="trading", up=True), now)
    shell.answer(now)
    if not session.execution.recovered:
        raise RuntimeError("the session did not recover")
    session.start(now)
    return session


def symbols(n: int) -> tuple[str, ...]:
    """The first n symbols of bench.material, whose ids are 1 to n."""
    return tuple(material.symbol(i) for i in range(1, n + 1))


__all__ = ["Records", "Shell", "Taker", "Venue", "assemble", "empty_snapshot", "symbols", "wide_limits"]


def close_bars(session: Session, now: Now) -> None:
    """What the live shell's timer does: bars that are over are told."""
    at = session.market.pipeline.next_close
    if at and at <= now.venue:
        record = np.zeros(1, timer_dtype)
        record["type"], record["clock"] = RecordType.TIMER, Clock.VENUE
        record["ts_event"] = record["ts_recv"] = record["at"] = now.venue
        session.on_market(record.view(market_dtype), now)
