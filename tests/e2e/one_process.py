"""A whole session with its journal on disk and the simulated exchange in the same process; time passes when a test says so."""

from collections import deque
from pathlib import Path
from typing import Any

import numpy as np

from pyrt._core.types import NO_PRICE, RecordType, market_dtype, quote_dtype, status_dtype, trade_dtype
from pyrt.calendar import Calendar, ExchangeDays
from pyrt.clock import SECOND, Now
from pyrt.execution import ExecutionEngine
from pyrt.journal import Journal
from pyrt.live.timers import Timers
from pyrt.market import MarketData
from pyrt.model import Defined, Fact, Instrument, Instruments, Message, Refused
from pyrt.ports import (
    Alarm,
    Append,
    Command,
    Event,
    Outcome,
    Replace,
    SetTimer,
    Start,
    StreamState,
    Submit,
    SubmitResult,
    Sync,
)
from pyrt.research.near import NearVenue
from pyrt.risk import Limits, RiskManager
from pyrt.session import Session
from pyrt.strategies import Strategy
from pyrt.venues.sim.exchange.exchange import Exchange

PX = QTY = 10**9
MONDAY = 1_772_463_846 * SECOND  # 2026-03-02T15:04:06Z, in the session
SYMBOLS = ("AAPL", "MSFT")


class Hand(Strategy):
    """Does nothing by itself: the test trades through it."""

    symbols = SYMBOLS


class OtherHand(Hand):
    """A second strategy in the same session, which trades less."""

    symbols = SYMBOLS[:1]


class World:
    """Session, journal and exchange; itself the session's shell."""

    def __init__(
        self,
        directory: Path,
        limits: dict[str, Any] | None = None,
        *,
        cash: str = "1000000",
        at: int = MONDAY,
        hours: bool = False,
        more: tuple[Instrument, ...] = (),
    ) -> None:
        self.now = Now(at, 10**12)
        self.requests: list[Submit | Replace] = []  # what left for the venue
        self.alarms: list[Alarm] = []
        self.ambiguous = 0  # so many submits arrive and their answers do not
        calendar = Calendar() if hours else None
        self._directory = directory
        self._journal = Journal.open(directory, segment_size=1 << 18)
        self._timers = Timers()
        self._inbox: deque[Event] = deque()
        listed = [*(Instrument(id=i, symbol=s) for i, s in enumerate(SYMBOLS, 1)), *more]
        self.exchange = Exchange(listed, cash=cash, start=at, always_open=not hours, calendar=calendar)
        self._near = NearVenue(self.exchange, activities=True)
        instruments = Instruments()
        market = MarketData(instruments, grace=0)
        self.hand, self.other = Hand(), OtherHand()
        self.hand.symbols = tuple(i.symbol for i in listed)
        self.session = Session(
            instruments=instruments,
            market=market,
            risk=RiskManager(
                instruments,
                market.refs,
                limits=Limits.of(limits or {}, base=Limits.profile("paper")),
                day_of=ExchangeDays(),
                calendar=calendar,
            ),
            execution=ExecutionEngine(self._journal.id, instruments),
            shell=self,
            strategies=[self.hand, self.other],
        )
        self.session.now = self.now
        self.session.request([Append(fact=Defined(instrument=i), sync=Sync.SOON) for i in listed])
        self.session.prepare(self.now)
        self.tell(Start(epoch=1))
        self.tell(StreamState(stream="trading", up=True))
        self.tell(StreamState(stream="data", up=True))
        for instrument in listed:
            self.quote(instrument.symbol, "100.00", "100.02")
        self.session.start(self.now)
        self.later(5)  # half of the venue's budget counts as spent at a start

    # ------------------------------------------------------------------------------------------------ time and market
    def later(self, seconds: float) -> None:
        """Let time pass: timers fire, and nothing is quoted."""
        end = Now(self.now.venue + int(seconds * SECOND), self.now.mono + int(seconds * SECOND))
        while self.now != end:
            step = min(SECOND, end.venue - self.now.venue)
            self.now = Now(self.now.venue + step, self.now.mono + step)
            self.exchange.advance(self.now.venue)
            while (fired := self._timers.pop(self.now)) is not None:
                self.tell(fired)
            self._pump()

    def quote(self, symbol: str, bid: str, ask: str, size: int = 1000) -> None:
        """The market's best bid and offer from now on."""
        record = np.zeros(1, quote_dtype)
        px = [int(float(p) * 100) * PX // 100 for p in (bid, ask)]
        record["type"], record["instrument"], record["ts_event"] = (
            RecordType.QUOTE,
            self.session.instruments[symbol].id,
            self.now.venue,
        )
        record["bid_px"], record["ask_px"], record["bid_qty"], record["ask_qty"] = *px, size * QTY, size * QTY
        self._market(record)

    def trade(self, symbol: str, px: str, size: int = 100) -> None:
        """A print, inside a quote around it: stops and trails go by prints."""
        self.quote(symbol, f"{float(px) - 0.01:.2f}", f"{float(px) + 0.01:.2f}")
        record = np.zeros(1, trade_dtype)
        record["type"], record["instrument"], record["ts_event"] = (
            RecordType.TRADE,
            self.session.instruments[symbol].id,
            self.now.venue,
        )
        record["px"], record["qty"] = round(float(px) * 100) * PX // 100, size * QTY
        self._market(record)

    def status(self, symbol: str, *, state: int = 0, lower: int = NO_PRICE, upper: int = NO_PRICE, reason: bytes = b"") -> None:
        """A trading status, or price bands in px units."""
        record = np.zeros(1, status_dtype)
        record["type"], record["instrument"], record["ts_event"] = (
            RecordType.STATUS,
            self.session.instruments[symbol].id,
            self.now.venue,
        )
        record["state"], record["lower_px"], record["upper_px"] = state, lower, upper
        record["reason"] = int.from_bytes(reason, "little")
        self._market(record)

    def _id(self, symbol: str) -> int:
        return self.session.instruments[symbol].id

    def _market(self, record: np.ndarray[Any, Any]) -> None:
        records = record.view(market_dtype)
        self.exchange.on_market(records)
        self.session.on_market(records, self.now)
        self._pump()

    # ------------------------------------------------------------------------------------------------ shell
    def append(self, fact: Fact, sync: Sync, now: Now) -> None:
        self._journal.append(fact, sync, now.venue)

    def perform(self, command: Command) -> None:
        if isinstance(command, Submit | Replace):
            self._journal.sync()  # no order before its intent is on disk
            self.requests.append(command)
        answer = self._near.answer(command, self.now.venue)
        if self.ambiguous and isinstance(answer, SubmitResult) and answer.outcome is Outcome.ACCEPTED:
            self.ambiguous -= 1
            self.exchange.take_updates()
            answer = SubmitResult(number=answer.number, attempt=answer.attempt, outcome=Outcome.AMBIGUOUS, text="no answer")
        self._inbox.append(answer)

    def set_timer(self, command: SetTimer) -> None:
        self._timers.set(command)

    def tell(self, message: Message) -> None:
        """As a shell: a message for others. As the test: an event for the session."""
        if isinstance(message, Event):
            if self.session._busy:
                return
            self.session.step(message, self.now)
            self._pump()

    def alarm(self, alarm: Alarm) -> None:
        self.alarms.append(alarm)

    def _pump(self) -> None:
        while True:
            self._inbox.extend(self._near.updates())
            if not self._inbox:
                return
            self.session.step(self._inbox.popleft(), self.now)

    # ------------------------------------------------------------------------------------------------ what a test asks
    def do(self, *calls: Any) -> list[Any]:
        """Strategy code: every call in one callback, then everything that follows from it."""
        orders: list[Any] = []
        self.session.now = self.now
        self.session._calls.append((1, (lambda: orders.extend(call() for call in calls),)))
        self.session._drain()
        self._pump()
        return orders

    def at_venue(self) -> list[dict[str, Any]]:
        """Every order that the exchange ever saw."""
        return list(self.exchange.orders(status="all", limit=500, direction="asc"))

    def close(self) -> list[Fact]:
        """End, and read the journal from disk as a new process would."""
        self._journal.close()
        with Journal.open(self._directory, segment_size=1 << 18) as journal:
            return [fact for _, fact in journal.facts()]


def refusals(facts: list[Fact]) -> list[dict[str, tuple[str, str]]]:
    """The breaches of each refusal in a journal: code -> (limit, observed)."""
    return [{b.code: (b.limit, b.observed) for b in f.breaches} for f in facts if isinstance(f, Refused)]
