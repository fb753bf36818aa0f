"""Why an order was made, from the journal alone: its facts, what those before it came to, and the decision made again on them.

Facts hold positions, orders, reservations, latches, limits, the account and the reference price of each order. They do not hold
quotes, books, bars, the venue's clock, or what a strategy thought: controls that go by those are told apart.
"""

from collections.abc import Iterable
from pathlib import Path

import msgspec

from pyrt._core.codes import Code
from pyrt.clock import Now
from pyrt.errors import ConfigError
from pyrt.execution.cid import parse_cid
from pyrt.journal import inspect
from pyrt.live.recovery import bare
from pyrt.live.why import Control, controls_of
from pyrt.model import (
    Alarmed,
    Approved,
    BaselineSet,
    BreakSeen,
    CancelWanted,
    Defined,
    EpochOpened,
    ExternalSeen,
    Fact,
    Filled,
    Intended,
    Intent,
    Latched,
    LimitsSet,
    OrderChanged,
    PositionAdjusted,
    Recovered,
    Refused,
    ReplaceIntent,
)
from pyrt.ports import Publish
from pyrt.risk.latches import OWN
from pyrt.session import Session

Row = tuple[int, int, Fact]  # seq, venue ns, fact

C = Code
# What controls look at that are no facts: quotes, books, statuses, hours, history, how fast requests left by the monotonic clock.
_MARKET = C.STALE_DATA | C.SLIPPAGE | C.PRICE_DRIFT | C.HALTED | C.LULD | C.VAR_LIMIT | C.GREEKS_LIMIT
BEYOND = _MARKET | C.MARKET_CLOSED | C.THROTTLE | C.CANCEL_RATIO | C.UNAUTHORISED
ELSEWHERE = C.GROSS_EXPOSURE | C.NET_EXPOSURE | C.DAILY_LOSS | C.DRAWDOWN  # they go by the prices of other instruments too,
PRICED = C.PRICE_COLLAR | C.ORDER_NOTIONAL | C.POSITION_LIMIT | C.OPEN_ORDER_VALUE | C.BUYING_POWER  # these by the order's own
# Limits whose figures the facts cannot give.
_BY_MARKET = ("max_slippage_bps", "max_quote_age_ms", "max_drift_bps", "max_adv_pct", "max_var", "max_es")
UNKNOWN = frozenset((*_BY_MARKET, "max_delta", "max_gamma", "max_vega", "cancels_per_fill", "symbols of the strategy"))


class Found(msgspec.Struct, frozen=True):
    """An order of this journal, and where its intent is."""

    number: int  # that was asked for: the intent's own, or an exit's of its group
    seq: int
    ts: int
    fact: Intended


class Rerun(msgspec.Struct):
    """A decision made again on the facts before it."""

    recorded: list[str]  # codes that refused it then; [] = it was approved
    again: list[str]  # and that refuse it now
    controls: list[Control]
    prices: dict[int, tuple[int, str]]  # instrument -> (px units, which fact tells it) that it went by
    own_price: bool  # the fact itself holds the reference that was used
    may_change: bool = False  # a refusal, which does not say whether it was to change an open order; it was decided as a new one

    def _open(self, code: str) -> bool:
        if code not in Code.__members__:  # of the venue's rules, of execution
            return True
        known = Code[code]
        return bool(known & (BEYOND | ELSEWHERE)) or (bool(known & PRICED) and not self.own_price)

    @property
    def different(self) -> list[str]:
        """Codes that only one of the two has, and that facts decide: the decision was another one."""
        if self.may_change:
            return []
        return sorted(code for code in {*self.recorded} ^ {*self.again} if not self._open(code))

    @property
    def shown(self) -> list[str]:
        """Codes that refused it then and refuse it again."""
        return [code for code in self.recorded if code in self.again and not Code[code] & BEYOND]

    @property
    def unproved(self) -> list[str]:
        """Codes that refused it then by what is no fact: they are not shown again."""
        return [code for code in self.recorded if code not in self.shown and (self.may_change or self._open(code))]


class Before(msgspec.Struct, frozen=True):
    """What there was when an order was decided; quantities in qty units."""

    position: int  # the strategy's own
    account: int
    buys: int  # open orders of the account in the instrument
    sells: int
    open_orders: int  # of the account, in everything
    latches: list[Latched]  # the closed ones


class Told(msgspec.Struct):
    """What the journal says of one order."""

    found: Found
    session: Session  # as the facts before it left it, and the decision
    before: Before
    rerun: Rerun
    limits: LimitsSet | None  # the version in force
    own: list[Row]  # facts of the order, its exits and what replaced it, from the intent on


def find_order(order: str, rows: Iterable[Row]) -> Found:
    """An order by its number, its client_order_id, or the venue's id. Raises ConfigError."""
    named = parse_cid(order)
    number = int(order) if order.isascii() and order.isdigit() else named[1] if named else 0
    found: Found | None = None
    by_number: dict[int, Found] = {}  # only while the venue's id may still name any of them
    for seq, ts, fact in rows:
        if isinstance(fact, Intended):
            here = Found(number or fact.number, seq, ts, fact)
            if fact.number <= number <= fact.number + len(fact.intent.legs):
                found = here
            elif not number:
                by_number |= {n: msgspec.structs.replace(here, number=n) for n in _numbers(fact)}
        elif isinstance(fact, OrderChanged):
            if fact.venue_order_id == order:
                found = by_number.get(fact.number, found)
            if fact.status.is_final:
                by_number.pop(fact.number, None)
        elif isinstance(fact, ExternalSeen) and order in (fact.venue_order_id, fact.cid, str(fact.number)):
            raise ConfigError("somebody else made this order", where=order, mend="ask for an order of this journal")
    if found is None:
        raise ConfigError("no such order", where=order, mend="`pyrt orders --all` lists them")
    return found


def _numbers(fact: Intended) -> range:
    return range(fact.number, fact.number + len(fact.intent.legs) + 1)


class Fold:
    """Facts folded into components that do nothing else, and decisions made again between them."""

    def __init__(self, journal: Path) -> None:
        self.session = bare(inspect.journal_id(journal))
        self.limits: LimitsSet | None = None
        self.prices: dict[int, tuple[int, str]] = {}  # instrument -> the last price that a fact tells, and which
        self._marks: list[BaselineSet | Latched] = []  # not folded yet

    def take(self, fact: Fact) -> None:
        """Fold one."""
        # Marks are made on the way to a decision, and written before it, but it was made without them.
        if isinstance(fact, BaselineSet) or (isinstance(fact, Latched) and fact.who == OWN):
            self._marks.append(fact)
            return
        self.upto()
        self.session.replay((fact,))
        if isinstance(fact, LimitsSet):
            self.limits = fact
        elif isinstance(fact, Intended) and fact.ref_px:
            self.prices[fact.intent.instrument] = (fact.ref_px, f"order {fact.number}")
        elif isinstance(fact, Filled) and fact.px:
            self.prices[fact.instrument] = (fact.px, f"a fill of order {fact.number}" if fact.number else "a fill")

    def upto(self, ts: int = 0) -> None:
        """Fold the marks that wait, but for those of this very instant: a decision then was made without them."""
        waiting = [fact for fact in self._marks if fact.ts == ts]
        self.session.replay(fact for fact in self._marks if fact not in waiting)
        self._marks = waiting

    def decide(self, fact: Intended | Refused, ts: int) -> Rerun:
        """The decision that made a fact, made again before the fact is folded."""
        self.upto(ts)
        intent, risk = fact.intent, self.session.risk
        prices, source = dict(self.prices), 0
        if isinstance(fact, Intended):
            if fact.ref_px:
                prices[intent.instrument] = (fact.ref_px, "its own reference")
            if fact.replaces and (old := self.session.execution.orders.get(fact.replaces)) is not None:
                source = old.source
        refs, now = self.session.market.refs, Now(ts, ts)
        for instrument, (px, _) in prices.items():
            refs["last_px"][instrument], refs["last_ts"][instrument] = px, ts
        risk.gate.mark(ts)
        may_change = isinstance(fact, Refused) and any(
            (o.strategy, o.instrument, o.side) == (intent.strategy, intent.instrument, intent.side)
            for o in self.session.execution.open_orders()
        )
        root = risk.chain_of(intent.strategy, source) if source else 0
        controls = [c for c in controls_of(self.session, intent, root, now) if c.name not in UNKNOWN]
        again = ["SELF_MATCH"]  # neither answer: it would wait for an own order on the other side to go
        for command in risk.on(ReplaceIntent(replaces=source, intent=intent) if source else intent, now):
            if isinstance(command, Publish) and isinstance(command.message, Approved | Refused):
                answer = command.message
                again = [breach.code for breach in answer.breaches] if isinstance(answer, Refused) else []
        recorded = [breach.code for breach in fact.breaches] if isinstance(fact, Refused) else []
        return Rerun(recorded, again, controls, prices, isinstance(fact, Intended) and fact.ref_px > 0, may_change)


def told_by_facts(journal: Path, found: Found) -> Told:
    """Everything that the journal says of an order. Raises JournalDamaged, JournalError."""
    fold = Fold(journal)
    for seq, _, fact in inspect.show(journal):
        if seq == found.seq:
            break
        fold.take(fact)
    fold.upto(found.ts)
    before = _before(fold.session, found.fact.intent)
    told = Told(found, fold.session, before, fold.decide(found.fact, found.ts), fold.limits, [])
    numbers = set(_numbers(found.fact))
    for row in inspect.show(journal, after=found.seq - 1):
        fact = row[2]
        if isinstance(fact, OrderChanged | CancelWanted | Filled):
            wanted = fact.number in numbers
        else:
            wanted = isinstance(fact, Intended) and (fact.number == found.fact.number or fact.replaces in numbers)
        if wanted:
            told.own.append(row)
    return told


def _before(session: Session, intent: Intent) -> Before:
    risk = session.risk
    own, account = risk.position(intent.strategy, intent.instrument).qty, risk.account(intent.instrument)
    opened = len(session.execution.open_orders())
    return Before(own, account.qty, account.buys, account.sells, opened, list(risk.latches.values()))


class Quiet(msgspec.Struct):
    """What the journal says of a symbol in a span of time."""

    session: Session  # as the facts up to the end of the span left it
    began: int = 0  # venue ns of the life's first fact that the span, or what was last before it, is of; 0 = none
    before: int = 0  # of the last fact before the span
    after: int = 0  # of the first behind it
    limits: LimitsSet | None = None  # in force when it began
    latches: list[Latched] = []  # closed when it began
    position: int = 0  # the account's then, qty units
    rows: list[tuple[int, Fact, Rerun | None]] = []  # (venue ns, fact, decision made again)


def quiet_by_facts(journal: Path, symbol: str, since: int, until: int) -> Quiet:
    """What was refused, ordered, latched and told in a span of time. Raises ConfigError, JournalDamaged, JournalError."""
    last = max((seq for seq, ts, _ in inspect.show(journal) if 0 < ts <= until), default=0)
    fold = Fold(journal)
    quiet = Quiet(fold.session)
    known: int | None = None
    begun = False
    for seq, ts, fact in inspect.show(journal):
        if seq > last:
            quiet.after = ts
            break
        if ts >= since and not begun:
            begun = True
            _as_it_began(quiet, fold, known)
        if isinstance(fact, EpochOpened) and (ts < since or not quiet.began):
            quiet.began = ts
        if ts < since:
            quiet.before = ts or quiet.before
        elif ts <= until and _is_told(fact, known):
            rerun = fold.decide(fact, ts) if isinstance(fact, Intended | Refused) else None
            quiet.rows.append((ts, fact, rerun))
        fold.take(fact)
        if isinstance(fact, Defined) and fact.instrument.symbol == symbol:
            known = fact.instrument.id
    if not begun:
        _as_it_began(quiet, fold, known)
    return quiet


def _as_it_began(quiet: Quiet, fold: Fold, instrument: int | None) -> None:
    fold.upto()
    risk = fold.session.risk
    quiet.limits, quiet.latches = fold.limits, list(risk.latches.values())
    quiet.position = risk.account(instrument).qty if instrument is not None else 0


def _is_told(fact: Fact, instrument: int | None) -> bool:
    if isinstance(fact, Intended | Refused):
        return fact.intent.instrument == instrument
    if isinstance(fact, BreakSeen | PositionAdjusted):
        return fact.instrument == instrument
    return isinstance(fact, EpochOpened | Recovered | Latched | LimitsSet | Alarmed)
