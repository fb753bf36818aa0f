"""Why an order was made, and why none was: a recorded session played again up to that place, with somebody who takes notes.

The record of a decision is the recording itself: playing it gives the same order again, or the replay says that it does not.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from decimal import Decimal
from functools import partial
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from pyrt._core.codes import Failure
from pyrt._core.events import Bar, Quote, Trade
from pyrt._core.measure import measure
from pyrt._core.types import NO_PRICE
from pyrt.clock import Now
from pyrt.journal.recorder import Run
from pyrt.live.replay import Replay
from pyrt.model import Fact, Filled, Intended, Intent, Latched, OrderChanged, Refused, ReplaceIntent
from pyrt.ports import Command, Event, Sync
from pyrt.risk.asked import ask_core
from pyrt.risk.figures import text
from pyrt.session import Session
from pyrt.signals import Sizer
from pyrt.strategies import Strategy

CALLBACKS = ("on_start", "on_stop", "on_bar", "on_trade", "on_quote", "on_book", "on_timer", "on_order", "on_fill")
PLAIN = (int, float, str, Decimal, dict, list, tuple, set)
KEPT = 400  # characters of one attribute of a strategy


class Control(msgspec.Struct, frozen=True):
    """One limit at the decision, with what it found; texts in whole units."""

    name: str
    code: str
    limit: str
    observed: str
    headroom: str  # limit - observed; "" where they cannot be subtracted
    passed: bool


class Call(msgspec.Struct):
    """One callback of a strategy: what it was given and what it did."""

    entry: int
    now: int  # venue ns
    strategy: str
    callback: str
    given: str
    state: dict[str, str] = {}  # the strategy's own attributes, before it
    intents: int = 0


class Market(msgspec.Struct, frozen=True):
    """What the market last said of an instrument; texts in whole units, "" = nothing."""

    bid: str
    ask: str
    last: str
    quote_age: float  # s of venue time
    flags: int


class Decision(msgspec.Struct):
    """One intent: from the callback that made it to what became of it."""

    intent: Intent
    replaces: int
    call: Call | None  # None = it came from outside: the command line
    market: Market
    position: str  # the strategy's, in whole units
    controls: list[Control]
    breaches: list[str] = []  # codes that refused it
    number: int = 0  # the order it became
    differences: int = 0  # outputs before it that were not the recorded ones
    route: list[tuple[int, int, str]] = []  # (venue ns, monotonic ns or 0, what happened)


class Witness(Replay):
    """A replay that notes decisions: that on the intent `key`, or those on the watched symbol in the window, as with `calls`."""

    def __init__(
        self,
        run: Run,
        facts: Iterable[tuple[int, int, Fact]],
        strategies: Sequence[Strategy],
        sizer: Sizer | None,
        *,
        ended: bool = False,
        key: int = 0,
        symbol: str = "",
        since: int = 0,
        until: int = 1 << 62,
    ) -> None:
        for strategy in strategies:
            self._listen(strategy)
        self.decisions: list[Decision] = []
        self.calls: list[Call] = []
        self.quiet: Counter[str] = Counter()  # callbacks in the window that are not of the watched symbol, by name
        self.latches: list[Latched] = []
        self._key, self._symbol, self._since, self._until = key, symbol, since, until
        self._call: Call | None = None
        self._orders: dict[int, Decision] = {}
        self._asked: dict[int, Decision] = {}  # by the intent's key
        super().__init__(run, facts, strategies, sizer, ended=ended)
        self._makers: dict[int, Call] = {}  # key of an intent -> the callback that made it
        # The session's own verbs, with somebody who looks on.
        self._post, self._decide = self.session.post, self.session.risk.on
        setattr(self.session, "post", self._posted)  # noqa: B010 -- methods of objects of our own
        setattr(self.session.risk, "on", self._on)  # noqa: B010
        setattr(self.session.desk, "seat", lambda strategy: None)  # noqa: B010 -- native verbs call nobody who looks on

    # ------------------------------------------------------------------------------------------------ callbacks
    def _listen(self, strategy: Strategy) -> None:
        for name in CALLBACKS:
            own = getattr(type(strategy), name, None)
            if own is not None and own is not getattr(Strategy, name, None):
                setattr(strategy, name, self._noting(strategy, name, getattr(strategy, name)))

    def _noting(self, strategy: Strategy, name: str, callback: Any) -> Any:
        def noted(*arguments: Any) -> None:
            outer, now = self._call, self.session.now.venue
            symbol = next((s for a in arguments if (s := _symbol_of(a))), "")
            self._call = call = Call(self._number, now, strategy.name, name, _given(arguments), _state(strategy))
            if self._since <= now <= self._until and self._symbol:
                if symbol in ("", self._symbol):
                    self.calls.append(call)
                else:
                    self.quiet[name] += 1
            try:
                callback(*arguments)
            finally:
                self._call = outer

        noted.__name__ = name
        return noted

    # ------------------------------------------------------------------------------------------------ decisions
    def _posted(self, event: Event) -> None:
        intent = event.intent if isinstance(event, ReplaceIntent) else event
        if isinstance(intent, Intent) and self._call is not None:
            self._makers[intent.key] = self._call
            self._call.intents += 1
        self._post(event)

    def _on(self, event: Event, now: Now) -> list[Command]:
        if isinstance(event, ReplaceIntent):
            self._look(event.intent, event.replaces, now)
        elif isinstance(event, Intent):
            self._look(event, 0, now)
        return self._decide(event, now)

    def _look(self, intent: Intent, replaces: int, now: Now) -> None:
        """Before risk decides: what is there to decide on."""
        risk = self.session.risk
        call = self._makers.pop(intent.key, None)
        instrument = self.session.instruments[intent.instrument]
        if intent.key != self._key and not (instrument.symbol == self._symbol and self._since <= now.venue <= self._until):
            return
        root = risk.chain_of(intent.strategy, replaces) if replaces else 0
        held = risk.position(intent.strategy, intent.instrument).qty
        self.decisions.append(
            Decision(
                intent=intent,
                replaces=replaces,
                call=call,
                market=market_of(self.session.market.refs, intent.instrument, now.venue),
                position=str(instrument.quantity(held)),
                controls=controls_of(self.session, intent, root, now),
                differences=self.outcome.different,
            )
        )
        self._asked[intent.key] = self.decisions[-1]

    def append(self, fact: Fact, sync: Sync, now: Now) -> None:
        """Note what becomes of intents, and latches."""
        super().append(fact, sync, now)
        decision: Decision | None = None
        told = type(fact).__name__
        if isinstance(fact, Intended):
            decision = self._asked.get(fact.intent.key)
            if decision is not None:
                decision.number = fact.number
                self._orders[fact.number] = decision
        elif isinstance(fact, Refused):
            decision, told = self._asked.get(fact.intent.key), "refused"
            if decision is not None:
                decision.breaches += [breach.code for breach in fact.breaches]
        elif isinstance(fact, OrderChanged):
            decision, told = self._orders.get(fact.number), fact.status.name.lower() + (f": {fact.reason}" if fact.reason else "")
        elif isinstance(fact, Filled):
            decision = self._orders.get(fact.number)
            exp = self.session.instruments[fact.instrument].qty_exp
            told = f"filled {text(fact.qty, 'qty', exp)} at {text(fact.px, 'px')}, told by {fact.source}"
        elif isinstance(fact, Latched):
            self.latches.append(fact)
        if decision is not None:
            decision.route.append((now.venue, now.mono, told.lower()))

    def perform(self, command: Command) -> None:
        """Note what is asked of the venue about an order."""
        super().perform(command)
        number = getattr(command, "number", 0) or getattr(getattr(command, "request", None), "number", 0)
        if number in self._orders:
            now = self.session.now
            self._orders[number].route.append((now.venue, now.mono, f"{type(command).__name__.lower()} asked for"))


def market_of(refs: NDArray[np.void], instrument: int, now: int) -> Market:
    """What an instrument's reference says at a time, venue ns."""
    ref = refs[instrument]
    bid, ask, last = (text(int(ref[name]), "px") for name in ("bid_px", "ask_px", "last_px"))
    quoted = int(ref["quote_ts"])
    return Market(
        bid if int(ref["bid_px"]) != NO_PRICE and quoted else "",
        ask if int(ref["ask_px"]) != NO_PRICE and quoted else "",
        last if int(ref["last_ts"]) else "",
        (now - quoted) / 1e9 if quoted else -1.0,
        int(ref["flags"]),
    )


LOSSES = (
    "max_daily_loss",
    "max_drawdown",
    "max_daily_loss_if_filled",
    "max_days_drawdown",
)  # below zero, and so is what may be lost


def controls_of(session: Session, intent: Intent, root: int, now: Now) -> list[Control]:
    """Every control that looks at an intent, with its headroom; `root`: the chain that it changes, or 0."""
    risk, exp = session.risk, session.instruments[intent.instrument].qty_exp
    found = [_control(name, failure, exp) for name, failure in ask_core(partial(measure, risk.gate), intent, root, now)]
    return found + [_control(name, failure, exp, not no) for name, failure, no in risk.others(intent, now.venue, root)]


def _control(name: str, failure: Failure, qty_exp: int, passed: bool | None = None) -> Control:
    code, limit, observed, unit = failure
    room = limit - observed
    if name in LOSSES:
        room = observed - limit
    if passed is None:
        passed = room > 0 if name in LOSSES else room >= 0
    shown = ("none set" if limit == -1 and unit != "money" else text(limit, unit, qty_exp), text(observed, unit, qty_exp))
    return Control(name, str(code.name), *shown, text(room, unit, qty_exp), passed)


def _symbol_of(given: Any) -> str:
    if isinstance(given, Bar | Quote | Trade):
        return given.symbol
    return given if isinstance(given, str) else str(getattr(given, "symbol", ""))


def _given(arguments: Sequence[Any]) -> str:
    return ", ".join(str(a)[:KEPT] for a in arguments)


def _state(strategy: Strategy) -> dict[str, str]:
    """The attributes that a strategy made itself, as text."""
    own = {name: value for name, value in vars(strategy).items() if not name.startswith("_") and name not in CALLBACKS}
    return {name: str(value)[:KEPT] for name, value in own.items() if isinstance(value, PLAIN)}
