"""What the facts made of risk: positions, reservations, latches, limits, and what was gained or lost."""

from collections.abc import Iterable
from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray

from pyrt._core.ledger import Ledger, Pnl, Position
from pyrt._core.risk import Gate
from pyrt._core.types import Side
from pyrt.calendar import Calendar
from pyrt.model import (
    EXTERNAL,
    AccountSeen,
    AssetSeen,
    BaselineSet,
    BreakSeen,
    CashMoved,
    Defined,
    EpochOpened,
    ExternalSeen,
    Fact,
    Filled,
    Instrument,
    Instruments,
    Intended,
    Latched,
    LimitsSet,
    OrderChanged,
    PositionAdjusted,
    Recalled,
    Recovered,
    Refused,
)
from pyrt.ports import Alarm, Command
from pyrt.risk import saved
from pyrt.risk.answers import Answers
from pyrt.risk.broker_rules import BrokerRules
from pyrt.risk.chains import Chains
from pyrt.risk.figures import MONEY
from pyrt.risk.groups import Group
from pyrt.risk.hours import Hours
from pyrt.risk.in_force import InForce
from pyrt.risk.latches import Latches
from pyrt.risk.limits import Limits
from pyrt.risk.losses import Losses
from pyrt.risk.marks import Marks
from pyrt.risk.permits import Permits
from pyrt.risk.portfolio import Portfolio
from pyrt.risk.raced import Raced

FEES = ("FEE", "CFEE", "PTC", "DIVFEE")  # activities that cost
GAINS = (*FEES, "DIV", "INT", "CIL")  # and those that change the P&L at all


class Projection:
    """Takes in facts by `apply`; the same facts always give the same `state_digest`.

    refs: ref_dtype array, row = instrument id. calendar: the hours of everything but crypto; without it all trades always.
    """

    def __init__(self, instruments: Instruments, refs: NDArray[np.void], limits: Limits, calendar: Calendar | None) -> None:
        self.ledger = Ledger()
        self.gate = Gate(self.ledger, refs)
        self.epoch = 0
        self._instruments = instruments
        self._refs = refs
        self._defined: dict[int, Instrument] = {}
        self._latches = Latches(self.gate)
        self._in_force = InForce(limits)
        self._losses = Losses(self.gate)
        self._answers = Answers()
        self._chains = Chains(self.gate)
        self.permits = Permits(self.gate, limits)
        self.rules = BrokerRules(self.ledger, refs, calendar, self.permits.assets)
        self.portfolio = Portfolio(self.ledger, refs, self._defined)
        self.raced = Raced(self.ledger, instruments)
        self.marks = Marks(self.gate, instruments)
        self._hours = Hours(self.gate, calendar, self.permits)
        self._whole_limited = False  # a limit on the portfolio is on
        self._approval = 0  # number of the last one of this epoch
        self._dirty = False  # a mark is due
        self._alarms: list[Command] = []
        self._use()

    def apply(self, fact: Fact) -> None:
        """Take in one journaled fact."""
        match fact:
            case Intended():
                self._know(fact.intent.instrument)
                self._answers.intended(fact)
                self.permits.intended(fact)
                self._chains.intended(fact)
            case OrderChanged():
                self._chains.changed(fact)
            case Filled():
                self._filled(fact)
            case ExternalSeen():
                self._know(fact.instrument)
                self._chains.external(fact)
            case Refused():
                self._forgo(fact)
            case PositionAdjusted():
                self._know(fact.instrument)
                self.ledger.adjust(fact.strategy, fact.instrument, fact.qty, fact.cost * MONEY)
                self.raced.settle(fact.strategy, fact.instrument)
                self._latches.adjusted(fact)
                self._dirty = True
            case CashMoved():
                self._cash(fact)
            case Defined():
                self._define(fact.instrument)
            case _:
                self._apply_state(fact)

    def _apply_state(self, fact: Fact) -> None:
        match fact:
            case AccountSeen():
                self.gate.account(fact.buying_power * MONEY, fact.ts)
                self.rules.account = fact
                self._latches.account_seen(fact)
            case BaselineSet():
                self._losses.baseline_set(fact, self.limits)
                self._dirty = True
            case AssetSeen():
                self.permits.asset_seen(fact)
                self._hours.forget(fact.instrument)
                self._bound(fact.instrument)
            case BreakSeen():
                self._latches.break_seen(fact)
            case Latched():
                self._latches.latched(fact)
            case LimitsSet():
                self._in_force.limits_set(fact)
                self._use()
            case EpochOpened():
                self.epoch = fact.epoch
                self._approval = 0
                for key in self._answers.in_flight():
                    self._take_back(key)
                self._latches.epoch_opened()
            case Recalled():
                self._chains.recalled(fact)
            case Recovered():
                self._latches.recovery_done(fact)
                self._dirty = True

    def let_go(self, numbers: Iterable[int]) -> None:
        """Orders are over for so long that only the journal has them whole."""
        self._chains.let_go(numbers)

    def _forgo(self, fact: Refused) -> None:
        # Execution may refuse what was approved here: the reservation goes back at once.
        was_approved = self._take_back(fact.intent.key)
        self._answers.told(fact.intent, fact, instead=was_approved)

    def _take_back(self, key: int) -> bool:
        """An approval in flight becomes no order: its reservation goes back. False = none was in flight."""
        root = self._answers.landed(key)
        if root is None:
            return False
        self.gate.expire(key, root)
        self.permits.expired(key)
        return True

    def _filled(self, fact: Filled) -> None:
        self._know(fact.instrument)
        self._chains.arm(fact.number)
        key = self._chains.key_of(fact.number, fact.venue_order_id)
        self.marks.filled(fact)
        told = self.gate.fill(key, fact.strategy, fact.instrument, fact.side, fact.px, fact.qty, fact.fee * MONEY, fact.ts)
        self._dirty = True
        raced = self._chains.filled(fact.number, fact.qty)
        if raced is not None:
            self._raced(*raced)
        self.raced.settle(fact.strategy, fact.instrument)
        if told:
            what = {1: "no open order", 2: "more than its order left"}.get(told, "does not fit the ledger")
            words = f"{fact.venue_order_id}: fill of {fact.qty} in instrument {fact.instrument}: {what}; booked"
            severity, code = ("critical", "LEDGER_BROKEN") if told & 4 else ("warning", "UNEXPECTED_FILL")
            self._alarms.append(Alarm(severity=severity, code=code, text=words))

    def _cash(self, fact: CashMoved) -> None:
        # Fees, dividends and interest are gains or losses; money that its owner moved is neither (R20, R21).
        if not fact.counted or not fact.type.startswith(GAINS):
            return
        fee = fact.type.startswith(FEES)
        self.ledger.credit(EXTERNAL, fact.instrument, 0 if fee else fact.net * MONEY, -fact.net * MONEY if fee else 0)
        self._dirty = True

    def _raced(self, group: Group, over: int) -> None:
        self._alarms.append(self.raced.alarm((group.strategy, group.instrument), over, ""))
        self.raced.add(group.strategy, group.instrument, Side.BUY if group.side is Side.SELL else Side.SELL, over)

    def _know(self, instrument: int) -> None:
        if instrument not in self._defined and (known := self._instruments.known(instrument)) is not None:
            self._define(known)

    def _define(self, instrument: Instrument) -> None:
        known = self._defined.get(instrument.id)
        if known is instrument or known == instrument:
            return
        self._defined[instrument.id] = instrument
        i = instrument
        self.ledger.define(i.id, qty_exp=i.qty_exp, multiplier=i.multiplier, tick=i.tick, sub_tick=i.sub_tick, lot=i.lot)
        self._bound(i.id)

    def _bound(self, instrument: int) -> None:
        if instrument in self._defined:
            self.gate.set_bounds(instrument, self.permits.bounds(self._defined[instrument]))

    def _use(self) -> None:
        """Let the limits in force decide from here on."""
        limits = self.limits
        self.gate.set_rules(limits.rules())
        self.permits.use(limits)
        self._whole_limited = self.portfolio.limited(limits)
        self._hours.forget_all()
        self._losses.look_back(limits)
        for instrument in self._defined:
            self._bound(instrument)

    # ------------------------------------------------------------------------------------------------ what others read
    @property
    def limits(self) -> Limits:
        """Those in force."""
        return self._in_force.limits

    @property
    def limits_version(self) -> int:
        """How often they were set; 0 = never yet."""
        return self._in_force.version

    @property
    def latches(self) -> dict[str, Latched]:
        """The closed ones by their scope."""
        return self._latches.closed

    def position(self, strategy: int, instrument: int) -> Position:
        """The strategy's own position: qty and open leaves in qty units, cost, realised P&L and fees in 1e-18 money."""
        return self.ledger.position(strategy, instrument)

    def chain_of(self, strategy: int, source: int) -> int:
        """The reservation key of the open order that an intent's replacement would change; 0 = none."""
        return self._chains.root_of(strategy << 48 | source)

    def account(self, instrument: int) -> Position:
        """The account's sum in an instrument."""
        return self.ledger.account(instrument)

    def pnl(self) -> Pnl:
        """Realised, unrealised and fees over everything at the present refs, 1e-18 money."""
        return self.ledger.pnl(self._refs)

    def save(self) -> saved.RiskState:
        """Everything that the facts determine, to go on from."""
        return saved.save(self)

    def restore(self, state: saved.RiskState) -> None:
        """Go on from a snapshot instead of the facts that made it; only once, and first. Raises ValueError, KeyError."""
        saved.restore(self, state)

    def state_digest(self) -> str:
        """Hex digest over everything that the facts determine; approvals in flight and marks are no part of it."""
        latches, losses, limits = self._latches, self._losses, self._in_force
        closed = sorted((scope, f.level) for scope, f in latches.closed.items())
        own = (self.epoch, limits.version, limits.limits.canonical(), losses.day, latches.recovered, latches.unexplained, closed)
        money = (losses.equity, losses.peak, latches.blocked, sorted(losses.peaks.items()), limits.by)
        owed = (sorted(self.raced.owed.items()),) if self.raced.owed else ()
        broken = (sorted(latches.broken.items()),) if latches.broken else ()
        state = repr((own, *money, *owed, *broken)).encode()
        state += self._chains.state() + self.permits.state() + self.gate.state()
        return blake2b(state, digest_size=32).hexdigest()
