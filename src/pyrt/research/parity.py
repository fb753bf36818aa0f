"""A live session on the simulated venue, played again: recorded inbox, own exchange, recorded delays, the same decisions.

The recording gives what the session saw of the market and when, its timers, and when each answer of the venue was back;
`/sim/truth` gives when each request was handled. What the venue answers is not taken from the recording: the exchange here
decides it again.
"""

from collections import Counter, deque
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import msgspec
import numpy as np

from pyrt._core.types import RecordType, bar_dtype, market_dtype
from pyrt.calendar import ExchangeDays
from pyrt.clock import Now
from pyrt.errors import DataError
from pyrt.execution import ExecutionEngine, Settings
from pyrt.execution.cid import cid
from pyrt.execution.recall import recall
from pyrt.journal.recorder import Entry, read_recording
from pyrt.live.warm_up import BAR_GRACE
from pyrt.market import MarketData
from pyrt.model import Alarmed, Defined, Fact, Filled, Instruments, Intended, Message, OrderChanged, Refused, StrategyNamed
from pyrt.ports import (
    Alarm,
    AllCancelled,
    Append,
    Cancel,
    CancelAll,
    CancelResult,
    Command,
    Event,
    Lookup,
    LookupResult,
    QueryFailed,
    Recall,
    Remembered,
    Replace,
    SetTimer,
    Stop,
    Submit,
    SubmitResult,
    Sync,
    TakeSnapshot,
    TradeUpdate,
    VenueSnapshot,
)
from pyrt.research.latency import Latency
from pyrt.research.tape import Records, Tape
from pyrt.research.venue import BacktestVenue
from pyrt.risk import Limits, RiskManager
from pyrt.session import Session
from pyrt.strategies import Strategy
from pyrt.venues.sim.exchange.exchange import Exchange

ANSWERS = (SubmitResult, CancelResult, AllCancelled, LookupResult, VenueSnapshot, QueryFailed, Remembered, TradeUpdate)


class RecordedLatency:
    """The delays of one recorded run. What the run did not do has the constant delays of Latency, and is counted."""

    def __init__(self, entries: Iterable[Entry], requests: Sequence[Mapping[str, Any]], journal_id: str) -> None:
        self._journal_id = journal_id
        self.missed: Counter[str] = Counter()
        self._otherwise = Latency()
        self._back: dict[tuple[Any, ...], deque[Now]] = {}
        self._there: dict[tuple[Any, ...], deque[int]] = {}
        cids: dict[str, str] = {}
        for entry in entries:
            if isinstance(entry.body, ANSWERS):
                self._back.setdefault(_answer_key(entry.body), deque()).append(entry.now)
            if isinstance(entry.body, VenueSnapshot):
                self._there.setdefault(("snapshot", entry.body.query), deque()).append(entry.body.begun)
            if isinstance(entry.body, SubmitResult | TradeUpdate) and entry.body.order is not None:
                cids[entry.body.order.id] = entry.body.order.cid
        for request in requests:
            self._arrived(request, cids)

    def _arrived(self, request: Mapping[str, Any], cids: Mapping[str, str]) -> None:
        path, at = str(request["path"]), int(request["handled_ns"] or request["arrived_ns"])
        if request["method"] in ("POST", "PATCH"):
            key: tuple[Any, ...] = ("order", msgspec.json.decode(request["body"])["client_order_id"]) if request["body"] else ()
        elif request["method"] == "DELETE":
            key = ("cancel", cids.get(path.rpartition("/")[2], ""))
        elif path.endswith("orders:by_client_order_id"):
            key = ("lookup", parse_qs(request["query"]).get("client_order_id", [""])[0])
        else:
            return
        self._there.setdefault(key, deque()).append(at)

    def arrival(self, command: Command, now: Now) -> int:
        """See LatencyModel."""
        key = self._command_key(command)
        times = self._there.get(key)
        if times:
            return times.popleft()
        self.missed[f"arrival of {type(command).__name__}"] += 1
        return self._otherwise.arrival(command, now)

    def delivery(self, event: Event, at: int) -> Now:
        """See LatencyModel."""
        times = self._back.get(_answer_key(event))
        if times:
            return times.popleft()
        self.missed[f"delivery of {type(event).__name__}"] += 1
        return self._otherwise.delivery(event, at)

    def _command_key(self, command: Command) -> tuple[Any, ...]:
        match command:
            case Submit() | Replace():
                return "order", command.request.cid
            case Cancel():
                return "cancel", cid(self._journal_id, command.number)
            case CancelAll():
                return "cancel all", command.call
            case Lookup():
                return "lookup", command.cid or command.venue_order_id
            case TakeSnapshot():
                return "snapshot", command.query
        return ()


def _answer_key(event: Event) -> tuple[Any, ...]:
    match event:
        case SubmitResult():
            return "order", event.number, event.attempt
        case CancelResult():
            return "cancel", event.number
        case AllCancelled():
            return "cancel all", event.call
        case LookupResult():
            return "lookup", event.number
        case VenueSnapshot() | QueryFailed():
            return "snapshot", event.query
        case TradeUpdate():
            return "update", event.order.cid, event.event, event.order.filled_qty
    return ()


class Replay:
    """Plays a recorded inbox through a session of its own, and keeps the facts."""

    def __init__(
        self,
        directory: Path | str,
        facts: Sequence[Fact],
        requests: Sequence[Mapping[str, Any]],
        strategies: Sequence[Strategy],
        *,
        journal_id: str,
        limits: Limits | None = None,
        settings: Settings | None = None,
        cash: str = "100000",
    ) -> None:
        recording = read_recording(directory)
        self.entries = [entry for entry in recording if entry.is_input]
        if not self.entries or not recording.replayable:
            raise DataError(recording.summary(), where=str(directory), mend="record the session again, with nothing dropped")
        self.facts: list[Fact] = []
        self.latency = RecordedLatency(self.entries, requests, journal_id)
        self.begin = self.entries[0].now
        instruments = [fact.instrument for fact in facts if isinstance(fact, Defined)]
        exchange = Exchange(instruments, cash=cash, start=self.begin.venue)
        market = _market(self.entries)
        self.venue = BacktestVenue(exchange, Tape([(market, market)]), self.latency)
        known = Instruments()
        data = MarketData(known, grace=BAR_GRACE)
        self.session = Session(
            instruments=known,
            market=data,
            risk=RiskManager(known, data.refs, limits=limits, day_of=ExchangeDays()),
            execution=ExecutionEngine(journal_id, known, settings=settings),
            shell=self,
            strategies=strategies,
        )
        self.session.now = self.begin
        self.session.request([Append(fact=Defined(instrument=i), sync=Sync.SOON) for i in instruments])
        self.session.prepare(self.begin)

    # ------------------------------------------------------------------------------------------------ Shell
    def append(self, fact: Fact, sync: Sync, now: Now) -> None:
        self.facts.append(fact)

    def perform(self, command: Command) -> None:
        if isinstance(command, Recall):  # the facts are here: the answer is an entry of its own, after this one
            self.session.step(recall(lambda after: self.facts[after:], len(self.facts), command), self.session.now)
            return
        self.venue.perform(command, self.session.now)

    def set_timer(self, command: SetTimer) -> None:
        pass  # the recording tells when each one came

    def tell(self, message: Message) -> None:
        pass  # nobody listens but the session itself

    def alarm(self, alarm: Alarm) -> None:
        self.facts.append(Alarmed(severity=alarm.severity, code=alarm.code, text=alarm.text, ts=self.session.now.venue))

    # ------------------------------------------------------------------------------------------------ time
    def run(self) -> list[Fact]:
        """Play every entry at its time, and what the exchange answers at the recorded times between. Returns the facts."""
        for entry in self.entries:
            self._answers(entry.now.venue)
            body = entry.body
            if entry.is_records and body.dtype == bar_dtype:
                self._bars(body, entry.now)
            elif entry.is_records:
                self.session.on_market(body.copy(), entry.now)
            elif not isinstance(body, ANSWERS):
                if isinstance(body, Stop):
                    self.session.stop(entry.now)
                self.session.step(body, entry.now)
        return self.facts

    def _answers(self, until: int) -> None:
        """What is back up to `until`, the entry's own instant included: its place in the inbox was that of an answer."""
        while (answer := min(self.venue.next_answer, until)) <= until:
            if self.venue.next_event <= answer:
                self.venue.run(self.venue.next_event)
            elif self.venue.next_answer <= until:
                now, event = self.venue.take()
                self.session.step(event, now)
            else:
                return

    def _bars(self, bars: Records, now: Now) -> None:
        for bar in bars:
            self.session.desk.keep_bar(int(bar["instrument"]), int(bar["interval"]), bar)
        if not len(bars):
            self.session.start(now)


def _market(entries: Iterable[Entry]) -> Records:
    """The market records of all entries by the venue's time, for the exchange."""
    parts = [e.body for e in entries if e.is_records and e.body.dtype == market_dtype]
    records = np.concatenate(parts) if parts else np.empty(0, market_dtype)
    records = records[records["type"] != RecordType.TIMER]
    ordered: Records = records[np.argsort(records["ts_event"], kind="stable")]
    return ordered


def canonical(facts: Iterable[Fact]) -> dict[str, list[tuple[Any, ...]]]:
    """Intents, orders and fills as rows without the ids of a journal or a venue: what two runs of one session must share."""
    names: dict[int, str] = {}
    symbols: dict[int, str] = {}
    orders: dict[int, tuple[Any, ...]] = {}
    rows: dict[str, list[tuple[Any, ...]]] = {"intents": [], "orders": [], "fills": []}
    for fact in facts:
        if isinstance(fact, StrategyNamed):
            names[fact.strategy] = fact.name
        elif isinstance(fact, Defined):
            symbols[fact.instrument.id] = fact.instrument.symbol
        elif isinstance(fact, Intended | Refused):
            i = fact.intent
            what = (names[i.strategy], symbols[i.instrument], i.side.name, i.qty, i.type.name, i.limit_px, i.stop_px)
            denied = tuple(b.code for b in fact.breaches) if isinstance(fact, Refused) else ()
            rows["intents"].append((*what, fact.ts, denied))
            if isinstance(fact, Intended):
                orders[fact.number] = what
        elif isinstance(fact, OrderChanged):
            rows["orders"].append((*orders[fact.number], fact.status.name, fact.filled_qty, fact.ts))
        elif isinstance(fact, Filled):
            rows["fills"].append((*orders[fact.number], fact.px, fact.qty, fact.cum_qty, fact.ts))
    return rows
