"""A whole session without a world: the components and the loop, with a shell that remembers and a venue played by hand."""

from collections.abc import Callable, Iterable
from typing import Any

import msgspec
import numpy as np

from pyrt._core.types import RecordType, Side, market_dtype, quote_dtype, timer_dtype, trade_dtype
from pyrt.calendar import Calendar
from pyrt.clock import SECOND, Now
from pyrt.execution import ExecutionEngine, Settings
from pyrt.execution.recall import recall
from pyrt.journal import codec
from pyrt.market import MarketData
from pyrt.model import Alarmed, Fact, Instrument, Instruments, Intended, Message
from pyrt.ports import (
    Alarm,
    Cancel,
    Command,
    Event,
    OrderRequest,
    Outcome,
    Recall,
    Replace,
    SetTimer,
    Start,
    StreamState,
    Submit,
    SubmitResult,
    Sync,
    TakeSnapshot,
    TimerFired,
    TradeUpdate,
    VenueAccount,
    VenueFill,
    VenueOrder,
    VenuePosition,
    VenueSnapshot,
)
from pyrt.risk import Limits, RiskManager
from pyrt.session import Session
from pyrt.strategies import Strategy
from pyrt.venues.alpaca.wire import order_body

PX = QTY = 10**9
T0 = 1_800_000_000 * SECOND
LOOSE = Limits.of(
    {
        "account_orders_per_minute": 10**6,
        "strategy_orders_per_minute": 10**6,
        "symbol_orders_per_minute": 10**6,
        "repeat_max": 127,
        "repeat_round_trips": 127,
        "symbol_order_rate_max": 127,
        "cancels_per_fill": 127,
        "duplicate_window_ms": 0,
    },
    base=Limits.profile("paper"),
)
ACCOUNT = VenueAccount(
    id="a", cash="1000000", buying_power="1000000", equity="1000000", last_equity="1000000", multiplier="1", blocked=False
)


class MemoryShell:
    """Keeps what the session asked for, in its order."""

    def __init__(self) -> None:
        self.facts: list[Fact] = []
        self.commands: list[Command] = []
        self.timers: dict[str, int] = {}
        self.alarms: list[Alarm] = []
        self.told: list[Message] = []
        self.ahead: tuple[int, bytes, Now] | None = None
        self.bodies: dict[int, bytes] = {}  # of orders that were decided in the fast lane

    def intend(self, number: int, record: bytes, body: bytes, now: Now) -> None:
        assert self.ahead is None
        self.ahead = (number, record, now)
        self.bodies[number] = body

    def append(self, fact: Fact, sync: Sync, now: Now) -> None:
        if self.ahead is not None:  # decided in the fast lane: this must be it, to the byte
            number, record, then = self.ahead
            assert isinstance(fact, Intended)
            assert (fact.number, sync, now) == (number, Sync.BEFORE_ACT, then)
            assert codec.encode(fact) == (codec.Kind.INTENDED, record)
            self.ahead = None
        self.facts.append(fact)

    def perform(self, command: Command) -> None:
        if isinstance(command, Submit) and command.attempt == 1:
            number = command.request.number
            assert self.bodies.pop(number, body := order_body(command.request)) == body
        self.commands.append(command)

    def set_timer(self, command: SetTimer) -> None:
        if command.at:
            self.timers[command.key] = command.at
        else:
            self.timers.pop(command.key, None)

    def tell(self, message: Message) -> None:
        self.told.append(message)

    def alarm(self, alarm: Alarm) -> None:
        self.alarms.append(alarm)


class Room:
    """One session, driven by hand. Time moves by `tick`; the venue's words are the methods below `venue`."""

    def __init__(
        self,
        *strategies: Strategy,
        facts: Iterable[Fact] = (),
        symbols: tuple[str, ...] = ("AAPL", "MSFT"),
        start: bool = True,
        shell: Callable[[], Any] = MemoryShell,
        limits: Limits = LOOSE,
        day_of: Callable[[int], str] | None = None,
        calendar: Calendar | None = None,
        **options: Any,
    ) -> None:
        self.shell = shell()
        self.now = Now(T0, 1000 * SECOND)
        self.past = list(facts)
        self.executions = sum(type(f).__name__ == "Filled" for f in self.past)
        self.working: dict[int, VenueOrder] = {}
        self.recalled: list[Recall] = []
        instruments = Instruments()
        for i, symbol in enumerate(symbols, 1):
            instruments.add(Instrument(id=i, symbol=symbol))
        market = MarketData(instruments, grace=0)
        self.session = Session(
            instruments=instruments,
            market=market,
            risk=RiskManager(instruments, market.refs, limits=limits, day_of=day_of, calendar=calendar),
            execution=ExecutionEngine("k3v9q2xa", instruments, settings=Settings()),
            shell=self.shell,
            strategies=strategies,
            **options,
        )
        self.session.replay(self.past)
        self.session.prepare(self.now)
        if start:
            self.recover()
            for symbol in symbols:
                self.quote(symbol)
            self.session.start(self.now)

    # ------------------------------------------------------------------------------------------------ time and events
    def tick(self, ns: int = 1_000_000) -> None:
        self.now = Now(self.now.venue + ns, self.now.mono + ns)

    def step(self, event: Event) -> None:
        self.tick()
        self.session.step(event, self.now)
        for wanted in self.take(Recall):
            self.recalled.append(wanted)
            self.session.step(recall(lambda after: self.shell.facts[after:], len(self.shell.facts), wanted), self.now)

    def fire(self, key: str, clock: int = 1) -> None:
        self.step(TimerFired(key=key, at=self.shell.timers.pop(key), clock=clock))  # type: ignore[arg-type]

    def recover(self, **parts: Any) -> None:
        """Start, and answer the first snapshot with an empty account, or with `parts`."""
        self.step(Start(epoch=self.session.risk.epoch + 1))
        self.step(StreamState(stream="trading", up=True))
        self.snapshot(**parts)
        assert self.session.execution.recovered

    def snapshot(
        self, *, orders: tuple[VenueOrder, ...] = (), positions: tuple[VenuePosition, ...] = (), fills: tuple[VenueFill, ...] = ()
    ) -> None:
        [query] = self.take(TakeSnapshot)
        whole = {"begun": self.now.venue, "since": query.since, "account": ACCOUNT}
        self.step(VenueSnapshot(query=query.query, positions=positions, orders=orders, fills=fills, **whole))

    # ------------------------------------------------------------------------------------------------ market
    def quote(self, symbol: str = "AAPL", bid: float = 99.99, ask: float = 100.01) -> None:
        self.tick()
        self.session.on_market(self.quotes((symbol, bid, ask)), self.now)

    def quotes(self, *rows: tuple[str, float, float]) -> np.ndarray[Any, Any]:
        records = np.zeros(len(rows), quote_dtype)
        records["type"] = RecordType.QUOTE
        records["ts_event"] = records["ts_recv"] = self.now.venue
        records["bid_qty"] = records["ask_qty"] = 1000 * QTY
        for record, (symbol, bid, ask) in zip(records, rows, strict=True):
            record["instrument"] = self.session.instruments[symbol].id
            record["bid_px"], record["ask_px"] = round(bid * PX), round(ask * PX)
        return records.view(market_dtype)

    def trade(self, symbol: str = "AAPL", price: float = 100.0, size: int = 10, *, ts: int = 0) -> None:
        self.tick()
        record = np.zeros(1, trade_dtype)
        record["type"] = RecordType.TRADE
        record["instrument"] = self.session.instruments[symbol].id
        record["ts_event"] = record["ts_recv"] = ts or self.now.venue
        record["px"], record["qty"] = round(price * PX), size * QTY
        self.session.on_market(record.view(market_dtype), self.now)

    def close_bars(self, at: int) -> None:
        """A TIMER record: bars that end at or before `at` are published."""
        record = np.zeros(1, timer_dtype)
        record["type"], record["clock"], record["at"], record["ts_event"] = RecordType.TIMER, 1, at, at
        self.now = Now(max(self.now.venue, at), self.now.mono)
        self.session.on_market(record.view(market_dtype), self.now)

    # ------------------------------------------------------------------------------------------------ the venue
    def take(self, kind: type) -> list[Any]:
        """The commands of a kind, which are then done with."""
        found = [c for c in self.shell.commands if isinstance(c, kind)]
        self.shell.commands[:] = [c for c in self.shell.commands if not isinstance(c, kind)]
        return found

    def accept(self) -> list[OrderRequest]:
        """The venue accepts every order that was sent."""
        sent = self.take(Submit) + self.take(Replace)
        for command in sent:
            request = command.request
            replaced = getattr(command, "venue_order_id", "")
            if replaced:
                old = next(o for o in self.working.values() if o.id == replaced)
                self.tell("replaced", old, status="replaced", replaced_by=f"v{request.number}")
            order = VenueOrder(
                id=f"v{request.number}",
                cid=request.cid,
                symbol=request.symbol,
                side=request.side,
                type=request.type.name.lower(),
                tif=request.tif.name.lower(),
                qty=request.qty,
                filled_qty="0",
                limit_price=request.limit_price,
                stop_price=request.stop_price,
                status="new",
                created_at=self.now.venue,
                updated_at=self.now.venue,
                replaces=replaced,
            )
            self.working[request.number] = order
            answer = SubmitResult(number=request.number, attempt=command.attempt, outcome=Outcome.ACCEPTED, order=order, http=200)
            self.step(answer)
        return [command.request for command in sent]

    def reject(self, text: str = "no", code: int = 40310000) -> None:
        """The venue refuses every order that was sent."""
        for command in self.take(Submit) + self.take(Replace):
            number, attempt = command.request.number, command.attempt
            self.step(SubmitResult(number=number, attempt=attempt, outcome=Outcome.REJECTED, http=403, code=code, text=text))

    def tell(self, event: str, order: VenueOrder, **changes: Any) -> None:
        """A trade update."""
        extra = {k: changes.pop(k) for k in ("price", "qty", "execution_id") if k in changes and event in ("fill", "partial_fill")}
        shown = msgspec.structs.replace(order, updated_at=self.now.venue, **changes)
        number = next((n for n, o in self.working.items() if o.id == order.id), 0)
        self.working[number] = shown
        self.step(TradeUpdate(event=event, order=shown, ts=self.now.venue, **extra))

    def fill(self, number: int, quantity: str = "", price: str = "100") -> None:
        """An execution of a working order, of all that is left unless told."""
        order = self.working[number]
        left = float(order.qty) - float(order.filled_qty)
        done = float(quantity or left)
        cum = float(order.filled_qty) + done
        whole = cum >= float(order.qty)
        self.executions += 1
        self.tell(
            "fill" if whole else "partial_fill",
            order,
            status="filled" if whole else "partially_filled",
            filled_qty=f"{cum:g}",
            price=price,
            qty=f"{done:g}",
            execution_id=f"x{self.executions}",
        )

    def cancelled(self) -> list[Cancel]:
        """The venue cancels what was asked."""
        asked = self.take(Cancel)
        for command in asked:
            self.tell("canceled", self.working[command.number], status="canceled")
        return asked

    def codes(self) -> list[str]:
        return [alarm.code for alarm in self.shell.alarms]

    @property
    def facts(self) -> list[Fact]:
        """The whole journal, earlier lives included."""
        return [f for f in self.past + self.shell.facts if not isinstance(f, Alarmed)]


BUY, SELL = Side.BUY, Side.SELL
