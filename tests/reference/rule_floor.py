"""A session and the venue's exchange in one process: strategy, risk, rules, execution and wire as they are, time set by the test.

`fuzz` sends seeded orders through all of it and counts what the venue refused; and what was refused here by a rule of the
broker is shown to the venue past the table, which must refuse it too.
"""

from collections import Counter, deque
from datetime import datetime
from types import SimpleNamespace
from typing import Any

import msgspec
import numpy as np
from tests.reference.order_fuzz import OrderFuzz, Wanted

from pyrt._core.types import RecordType, market_dtype, quote_dtype
from pyrt.calendar import NEW_YORK, Calendar, ExchangeDays
from pyrt.clock import SECOND, Now
from pyrt.execution import ExecutionEngine, Settings
from pyrt.execution.submit import request_of
from pyrt.live.timers import Timers
from pyrt.market import MarketData
from pyrt.model import AssetClass, Defined, Fact, Instrument, Instruments, Intent, Message, Refused
from pyrt.ports import (
    Alarm,
    Append,
    AssetTold,
    Command,
    Event,
    Outcome,
    SetTimer,
    Start,
    StreamState,
    SubmitResult,
    Sync,
    VenueSnapshot,
)
from pyrt.research.near import NearVenue
from pyrt.risk import Limits, RiskManager
from pyrt.session import Session
from pyrt.strategies import Order, Strategy
from pyrt.venues.alpaca import wire
from pyrt.venues.alpaca.link import instrument_of
from pyrt.venues.sim.exchange.assets import unlike
from pyrt.venues.sim.exchange.exchange import Exchange
from pyrt.venues.sim.exchange.orders import VenueRefusal

PRICES = {"AAPL": 190, "PENY": 0.42, "HARD": 40, "NOSH": 55, "WHOL": 120, "LEVR": 25, "BTC/USD": 60_000, "ETH/USD": 3_000}
BIG = "100000000000"
OPEN = Limits.of(
    {
        **dict.fromkeys(("max_order_notional", "max_position_notional", "max_gross_exposure"), BIG[:9]),
        **dict.fromkeys(("max_net_exposure", "max_open_order_value", "max_daily_loss", "max_drawdown"), BIG[:9]),
        **dict.fromkeys(("max_order_qty", "max_position_qty", "max_strategy_qty"), BIG[:9]),
        **dict.fromkeys(("account_orders_per_minute", "strategy_orders_per_minute", "symbol_orders_per_minute"), 10**6),
        **dict.fromkeys(("repeat_max", "repeat_round_trips", "symbol_order_rate_max", "cancels_per_fill"), 127),
        **dict.fromkeys(("duplicate_window_ms", "repeat_window_ms", "symbol_order_rate_window_ms", "cancel_window_ms"), 0),
        "collar_bps": 5000,
        "passive_bps": 5000,
        "max_slippage_bps": 10_000,
        "max_open_orders": 10_000,
        "max_days_drawdown": BIG[:9],
    },
    base=Limits.profile("paper"),
)

ALWAYS = Settings(reconcile_every=SECOND // 20, poll_every=SECOND, snapshot_gap=SECOND // 20)  # money is never seen late


class Careless(Strategy):
    """Asks for what the fuzz says."""

    symbols = tuple(PRICES)


class Figures:
    """What became of the orders."""

    def __init__(self) -> None:
        self.asked = 0
        self.refused_by_rule: Counter[str] = Counter()
        self.refused_by_gate: Counter[str] = Counter()
        self.refused_by_venue: Counter[str] = Counter()
        self.shown = 0  # local refusals that were shown to the venue
        self.needless: Counter[str] = Counter()  # rules that refused what the venue would take
        self.accepted = 0
        self.venue_agrees: Counter[str] = Counter()

    def __repr__(self) -> str:
        return "\n".join(f"{name}: {dict(v) if isinstance(v, Counter) else v}" for name, v in vars(self).items())


class Floor:
    """Session and exchange; itself the session's shell."""

    def __init__(self, at: str, *, calendar: bool = True, cash: str = "100000", multiplier: int = 2, **configuration: Any) -> None:
        ns = int(datetime.fromisoformat(at).replace(tzinfo=NEW_YORK).timestamp()) * SECOND
        self.now = Now(ns, 10**12)
        self.figures = Figures()
        self._replaced: Order | None = None
        hours = Calendar() if calendar else None
        listed = [Instrument(id=i, symbol=s, lot=1) for i, s in enumerate(("AAPL", "PENY"), 1)]
        listed += [
            Instrument(id=i, symbol=s, asset_class=AssetClass.CRYPTO, tick=10**7, sub_tick=10**7, lot=1000)
            for i, s in enumerate(("BTC/USD", "ETH/USD"), 3)
        ]
        listed += [i for i in unlike() if i.symbol in PRICES]
        self.exchange = Exchange(
            listed, cash=cash, multiplier=multiplier, start=ns, always_open=not calendar, calendar=hours, options_level=None
        )
        self._near = NearVenue(self.exchange)
        self.exchange.configure(configuration)
        self._timers = Timers()
        self._inbox: deque[Event] = deque()
        self._busy = False
        self.facts: list[Fact] = []
        self.instruments = Instruments()
        market = MarketData(self.instruments, grace=0)
        self.strategy = Careless()
        self.session = Session(
            instruments=self.instruments,
            market=market,
            risk=RiskManager(self.instruments, market.refs, limits=OPEN, day_of=ExchangeDays(), calendar=hours),
            execution=ExecutionEngine("rulesfuz", self.instruments, settings=ALWAYS),
            shell=self,
            strategies=[self.strategy],
        )
        self.session.now = self.now
        shown = self.exchange.assets_.shown
        self.session.request([Append(fact=Defined(instrument=instrument_of(shown[i.id], i.id)), sync=Sync.SOON) for i in listed])
        self.session.prepare(self.now)
        self.event(Start(epoch=1))
        for i in self.instruments:
            flags = {name: bool(shown[i.id].get(name)) for name in ("tradable", "shortable", "easy_to_borrow")}
            self.event(AssetTold(instrument=i.id, **flags))
        for stream in ("trading", "data"):
            self.event(StreamState(stream=stream, up=True))
        self.px = {self.instruments[symbol].id: round(price * 10**9) for symbol, price in PRICES.items()}
        self.quote()
        self.session.start(self.now)

    # ------------------------------------------------------------------------------------------------ time and market
    def later(self, ns: int) -> None:
        """Let time pass."""
        self.now = Now(self.now.venue + ns, self.now.mono + ns)
        self.exchange.advance(self.now.venue)
        while (fired := self._timers.pop(self.now)) is not None:
            self.event(fired)
        self._pump()

    def quote(self) -> None:
        """The market's best prices, a little apart."""
        rows = np.zeros(len(self.px), quote_dtype)
        for row, (number, px) in zip(rows, self.px.items(), strict=True):
            tick = self.instruments[number].tick_at(px)
            row["type"], row["instrument"], row["ts_event"] = RecordType.QUOTE, number, self.now.venue
            row["bid_px"], row["ask_px"] = px - px % tick, px - px % tick + tick
            row["bid_qty"] = row["ask_qty"] = 10**15
        records = rows.view(market_dtype)
        self.exchange.on_market(records)
        self.session.on_market(records, self.now)
        self._pump()

    # ------------------------------------------------------------------------------------------------ shell
    def append(self, fact: Fact, sync: Sync, now: Now) -> None:
        self.facts.append(fact)

    def perform(self, command: Command) -> None:
        answer = self._near.answer(command, self.now.venue)
        if isinstance(answer, SubmitResult):
            if answer.outcome is Outcome.ACCEPTED:
                self.figures.accepted += 1
            else:
                self.figures.refused_by_venue[f"{answer.http} {answer.text}"] += 1
        elif isinstance(answer, VenueSnapshot):
            account = self._near.reader.configured(answer.account, self.exchange.configuration())
            answer = msgspec.structs.replace(answer, account=account)
        self._inbox.append(answer)

    def set_timer(self, command: SetTimer) -> None:
        self._timers.set(command)

    def tell(self, message: Message) -> None:
        if isinstance(message, Refused):
            self._refused(message)

    def alarm(self, alarm: Alarm) -> None:
        assert alarm.severity != "critical", alarm

    def event(self, event: Event) -> None:
        """Tell the session, and let everything follow."""
        self.session.step(event, self.now)
        self._pump()

    def _pump(self) -> None:
        while True:
            self._inbox.extend(self._near.updates())
            if not self._inbox:
                return
            self.session.step(self._inbox.popleft(), self.now)

    # ------------------------------------------------------------------------------------------------ the fuzz
    def ask(self, wanted: Wanted) -> Order | None:
        """Do what the fuzz wants, in a callback of the strategy."""
        found: list[Order] = []
        open_ = [o for o in self.strategy.open_orders(wanted.instrument.symbol) if o.number]
        if wanted.verb != "new" and not open_:
            return None
        self.session._calls.append((1, (lambda: self._do(wanted, open_, found),)))
        self.session.now = self.now
        self.session._drain()
        self._pump()
        return found[0] if found else None

    def _do(self, wanted: Wanted, open_: list[Order], found: list[Order]) -> None:
        desk, make = self.strategy._desk, wanted.make
        self._replaced = None
        if wanted.verb == "cancel":
            self.strategy.cancel(open_[0])
            return
        self.figures.asked += 1
        if wanted.verb == "new":
            found.append(desk.send(1, {**make, "valid_until": self.now.venue + SECOND}, wanted.instrument))
        else:
            old = open_[-1].intent
            names = ("limit_px", "stop_px", "trail_px", "trail_ratio")
            prices = {name: make.get(name) or getattr(old, name) for name in names if getattr(old, name)}
            self._replaced = open_[-1]
            found.append(desk.replace(1, open_[-1], {"qty": make["qty"], **prices}))

    def _refused(self, refused: Refused) -> None:
        rules = [b.rule for b in refused.breaches if b.rule]
        for breach in refused.breaches:
            if not breach.rule:
                self.figures.refused_by_gate[breach.code] += 1
        for rule in rules:
            self.figures.refused_by_rule[rule] += 1
        if rules:
            self.figures.shown += 1
            if not self.venue_refuses(refused.intent):
                self.figures.needless[rules[0]] += 1

    def venue_refuses(self, intent: Intent) -> bool:
        """Show an order to the venue past the table; a new one is not kept where the venue would take it."""
        order = SimpleNamespace(number=1, group=1, role="", cid=f"past-{intent.source}", intent=intent)
        for name in intent.__struct_fields__:
            setattr(order, name, getattr(intent, name))
        request = request_of(order, self.instruments[intent.instrument])  # type: ignore[arg-type]
        try:
            if self._replaced is not None:
                known = self.session.execution.orders.get(self._replaced.number)
                assert known is not None
                body = msgspec.json.decode(wire.replace_body(request))
                self.exchange.replace(known.venue_order_id, body, self.now.venue)
            else:
                body = msgspec.json.decode(wire.order_body(request))
                self.exchange._check(body, self.exchange._account(None))
        except VenueRefusal as no:
            self.figures.venue_agrees[no.message] += 1
            return True
        return False

    def fuzz(self, n: int, seed: int) -> Figures:
        """Ask n times, with time and quotes between."""
        fuzz = OrderFuzz(seed, list(self.instruments))
        while self.figures.asked < n:
            held = {i: self.session.risk.account(i).qty for i in self.px}
            open_ = {i: len(self.strategy.open_orders(self.instruments[i].symbol)) for i in self.px}
            self.ask(fuzz.next(self.px, held, open_))
            self.later(fuzz.random.choice((SECOND // 10, SECOND)))
            for number, px in self.px.items():
                self.px[number] = max(px + round(px * fuzz.random.gauss(0, 0.0003)), 10**6)
            self.quote()
        return self.figures
