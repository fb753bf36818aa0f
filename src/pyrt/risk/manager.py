"""RiskManager: between a strategy's Intent and execution's order; a projection of the journal plus approvals in flight."""

from collections.abc import Callable, Iterable

import numpy as np
from numpy.typing import NDArray

from pyrt._core.book import OrderBook
from pyrt._core.ledger import Position
from pyrt._core.risk import Code, Failure, Level
from pyrt._core.types import Clock, Flag, Side
from pyrt.calendar import Calendar
from pyrt.clock import SECOND, Now
from pyrt.model import (
    Approved,
    AssetSeen,
    Breach,
    CancelIntent,
    EpochOpened,
    Fact,
    Instruments,
    Intent,
    OrderChanged,
    OrderClass,
    OrderStatus,
    Refused,
    ReplaceIntent,
)
from pyrt.ports import (
    Alarm,
    Append,
    AssetTold,
    ClockMeasured,
    Command,
    Event,
    HistoryTold,
    Kill,
    ListTold,
    Publish,
    Resume,
    SetLimits,
    SetTimer,
    Start,
    Sync,
    TimerFired,
    VenueSnapshot,
)
from pyrt.risk.answers import APPROVAL_LIFE
from pyrt.risk.asked import ask_core
from pyrt.risk.broker_rules import Broken, breaches
from pyrt.risk.exits import Exits
from pyrt.risk.figures import any_price, text
from pyrt.risk.groups import Exit, Group, changed_exit, leg_breaches, price_breach
from pyrt.risk.limits import Limits
from pyrt.risk.losses import ALWAYS
from pyrt.risk.projection import Projection
from pyrt.risk.self_match import Parked

MARK = "risk.mark"
MARK_PATIENCE = 30 * SECOND  # after recovery a feed has so long to tell a price of everything that counts
CLOCK_WARNS, CLOCK_DENIES = 50_000_000, 100_000_000  # ns that the venue's clock may be from ours
DayOf = Callable[[int], str]


class RiskManager(Projection):
    """Approves or refuses intents. `on` decides, `apply` takes in facts; the same facts always give the same `state_digest`.

    refs: ref_dtype array, row = instrument id, written by the market stage. day_of: the exchange date (YYYY-MM-DD) of a venue
    time; without it there is one endless day. calendar: the hours of everything but crypto; without it all trades always.
    Marks run each `mark_every` ns of venue time while there is anything to mark.
    """

    def __init__(
        self,
        instruments: Instruments,
        refs: NDArray[np.void],
        *,
        limits: Limits | None = None,
        day_of: DayOf | None = None,
        calendar: Calendar | None = None,
        mark_every: int = SECOND,
    ) -> None:
        super().__init__(instruments, refs, limits if limits is not None else Limits.profile("paper"), calendar)
        self.approved = 0
        self.refused = 0
        self._parked = Parked(self._chains)
        self.exits = Exits(self.ledger, self._chains, self._parked)
        self._day_of = day_of
        self._mark_every = mark_every
        self._mark_at = 0  # venue ns of the timer asked for; 0 = none
        self._granted = 0  # key of an intent that the fast lane approved and reserved, until it comes

    def apply(self, fact: Fact) -> None:
        """Take in one journaled fact."""
        if isinstance(fact, OrderChanged) and fact.status is OrderStatus.REJECTED:
            rejected = self._chains.intent_of(fact.number)
            if rejected is not None and self.exits.is_wanted(rejected):
                said = Breach(code="REJECTED", limit="the venue", observed=fact.reason)
                self._alarms += self._denied(rejected, (said,))
        super().apply(fact)

    # ------------------------------------------------------------------------------------------------ events
    def on(self, event: Event, now: Now) -> list[Command]:
        """Decide on one event; every other event only moves the clocks of approvals and marks."""
        if isinstance(event, Intent):
            commands = self._watch(now, False)
            commands += self._decide(event, now, 0)
            return commands
        if isinstance(event, Start):
            self._alarms.clear()  # of facts that were replayed: the life that met them has told them
            self.marks.begin()
            return self._start(event, now)  # before anything is valued: what the life before recovered says nothing of this one
        if isinstance(event, VenueSnapshot):
            self.marks.told(event)
            self._dirty = True
        commands = self._watch(now, isinstance(event, TimerFired) and event.key == MARK)
        if isinstance(event, ReplaceIntent):
            commands += self._decide(event.intent, now, event.replaces)
        elif isinstance(event, CancelIntent):
            self.gate.cancel_sent(now.mono)
            unwanted = self._parked.drop(event.strategy << 48 | event.source)
            if unwanted is not None:
                breach = Breach(code="SELF_MATCH", limit="nothing in the way", observed="cancelled while it waited")
                commands += self._refuse(unwanted, now, (breach,))
        elif isinstance(event, Kill):
            commands += self._latches.kill(event, now)
        elif isinstance(event, Resume):
            commands += self._latches.resume(event, now)
        elif isinstance(event, ClockMeasured):
            commands += self._clock(event, now)
        else:
            commands += self._told(event, now)
        return commands

    def _told(self, event: Event, now: Now) -> list[Command]:
        match event:
            case TimerFired():
                return self._parked.retry(now.venue)
            case SetLimits():
                return self._in_force.asked(event, now)
            case AssetTold():
                return self._asset(event, now)
            case HistoryTold():
                self.permits.history_told(event)
                self.portfolio.history_told(event)
                self._bound(event.instrument)
            case ListTold():
                self.permits.list_told(event)
                for instrument in self._defined:
                    self._bound(instrument)
        return []

    def _asset(self, event: AssetTold, now: Now) -> list[Command]:
        fact = AssetSeen(
            instrument=event.instrument,
            tradable=event.tradable,
            shortable=event.shortable,
            easy_to_borrow=event.easy_to_borrow,
            overnight=event.overnight,
            ts=now.venue,
        )
        return [Append(fact=fact, sync=Sync.SOON)]

    def _start(self, event: Start, now: Now) -> list[Command]:
        opened = EpochOpened(epoch=event.epoch, ts=now.venue)
        return [Append(fact=opened, sync=Sync.BEFORE_ACT), *self._in_force.start(now), *self.raced.begin(), *self._arm(now)]

    def _clock(self, event: ClockMeasured, now: Now) -> list[Command]:
        # R17: how far the clock that decided until now was off, proved beyond the doubt of the measurement.
        off = max(abs(event.clock.at(now.mono) - now.venue) - event.uncertainty, 0)
        self.gate.clock(off if off > CLOCK_DENIES else 0)
        if off <= CLOCK_WARNS:
            return []
        words = "no entry is approved until the next measurement" if self.gate.clock_off else "it is set anew"
        return [Alarm(severity="warning", code="CLOCK_OFFSET", text=f"our clock was {off / SECOND:.3f} s off the venue's; {words}")]

    def grant(self, key: int) -> None:
        """The fast lane asked every control about the intent that comes next, and the gate holds its reservation."""
        self._granted = key

    @property
    def approval(self) -> int:
        """The last one of this epoch."""
        return self._approval

    def authorise(self, strategy: int, instruments: Iterable[int]) -> None:
        """From here on only strategies that were named may trade, each in its instruments alone (R25); all may reduce."""
        self.permits.authorise(strategy, instruments)

    def watch(self, instrument: int, book: OrderBook) -> None:
        """Take in the live book of an instrument: what SLIPPAGE walks."""
        self.gate.watch(instrument, book)

    def on_status(self, instrument: int, lower_px: int, upper_px: int, state: int = 0, reason: int = 0) -> None:
        """Take in a trading status: its price bands, where it carries any (NO_PRICE = none), and a stop of the whole market."""
        self._hours.status(instrument, lower_px, upper_px, state, reason)

    # ------------------------------------------------------------------------------------------------ decisions
    def _decide(self, intent: Intent, now: Now, replaces: int) -> list[Command]:
        key = intent.key
        if self._granted:
            granted, self._granted = self._granted, 0
            if granted != key:
                raise RuntimeError(f"intent {granted} was granted, and {key} came")
            return self._approve(intent, now, 0, 0)
        first = self._answers.first(key)
        if first is not None:
            return [Publish(message=first)]
        if self._parked.holds(key):
            return []  # the answer is under way
        if self._answers.is_forgotten(intent):
            return self._refuse(intent, now, (Breach(code="DUPLICATE", limit="once", observed="seen before"),))
        instrument = self._instruments.known(intent.instrument)
        if instrument is not None:
            self._define(instrument)
            self._hours.schedule(instrument, now.venue)
        if (waiting := self._parked.exit_against(intent)) is not None:
            return self._refuse(intent, now, (self._waits(waiting),))
        root = 0
        exit_ = self._chains.exit_of(intent.strategy << 48 | replaces) if replaces else None
        if exit_ is not None:
            return self._change_exit(intent, now, replaces, *exit_)
        if intent.order_class and (of_legs := self._leg_breaches(intent)):
            return self._refuse(intent, now, of_legs)
        if replaces:
            old = intent.strategy << 48 | replaces
            root = self._chains.root_of(old)
            if root == 0 or self._answers.is_in_flight(old):
                return self._refuse(intent, now, (Breach(code="PARENT_EXCEEDED", limit="an open order", observed="none"),))
        broken = self._broken(intent, now, root)
        others: list[Breach] = []
        if self._whole_limited or not self.permits.is_free(intent):
            others = [self._breach(f, intent.instrument) for _, f, fails in self.others(intent, now.venue, root) if fails]
        failed = ask_core(self.gate.check, intent, root, now)
        if failed == Code.SELF_MATCH and not (others or broken or replaces) and (parked := self._park(intent, now)):
            return parked
        if failed or broken or others:
            if not failed:
                self.gate.expire(key, root)
            said = (*others, *(self._breach(f, intent.instrument) for f in (self.gate.failures if failed else ())))
            commands = self._refuse(intent, now, breaches(said, broken))
            if any(b.code == "REPEAT_EXEC" for b in said):
                scope = f"strategy:{intent.strategy}"
                commands += self._latches.close("REDUCING", scope, "REPEAT_EXEC", "repeated orders or executions", now)
            return commands
        return self._approve(intent, now, replaces, root)

    def _park(self, intent: Intent, now: Now) -> list[Command]:
        exit_ = self.exits.is_wanted(intent) and len(self.gate.failures) == 1
        may = exit_ or self.limits.self_match == "cancel"
        return self._parked.park(intent, self.gate.crossed, now.venue, exit_) if may else []

    def _broken(self, intent: Intent, now: Now, root: int) -> list[Broken]:
        known = self._defined.get(intent.instrument)
        return [] if known is None else self.rules.broken(intent, known, now.venue, root)

    def others(self, intent: Intent, now: int, root: int) -> list[tuple[str, Failure, bool]]:
        """What the controls beyond the gate find for an intent: (name of the limit, Failure, whether it fails)."""
        old = self.ledger.reservation(root) if root else None
        n = intent.qty - (max(old.leaves, old.pending) + old.filled if old else 0)
        held = self.ledger.position
        found = self.permits.find(intent, lambda: _reduces(held(intent.strategy, intent.instrument), intent.side, n))
        if self._whole_limited and intent.instrument in self._defined:
            fresh = 0 if _reduces(self.ledger.account(intent.instrument), intent.side, n) else max(n, 0)
            found += self.portfolio.find(self.limits, intent, fresh, now)
        return found

    def _leg_breaches(self, intent: Intent) -> tuple[Breach, ...]:
        bounds = self.limits.bounds(self._instruments[intent.instrument])
        breaches = leg_breaches(
            intent,
            self._last_px(intent.instrument),
            bounds["passive_bps"] or 0,
            self.ledger.open_orders,
            self.limits.max_open_orders or 0,
        )
        account = self.ledger.account(intent.instrument)
        facing = account.sells if intent.side is Side.BUY else account.buys
        if intent.order_class is OrderClass.OCO and not intent.guard_limit_px and facing:
            breaches += (Breach(code="SELF_MATCH", limit="no order on the other side", observed="a stop at any price"),)
        return breaches

    def _last_px(self, instrument: int) -> int:
        ref = self._refs[instrument]
        bid, ask, last = int(ref["bid_px"]), int(ref["ask_px"]), int(ref["last_px"])
        middle = bid + (ask - bid) // 2 if 0 < bid < ask else 0
        wide = (ask - bid) * 10_000 > middle * (self.limits.max_spread_bps or 0)
        return last if last > 0 and (wide or not middle) else middle

    def _change_exit(self, intent: Intent, now: Now, replaces: int, exit_: Exit, group: Group) -> list[Command]:
        """Another price for an exit: it neither enlarges nor shortens what is reserved, so prices, halts and latches are asked."""
        scopes = ("system", "account", f"strategy:{intent.strategy}", f"instrument:{intent.instrument}")
        level = max(self.gate.level(scope) for scope in scopes)
        breaches: list[Breach] = [*changed_exit(exit_, group, intent, self._defined[intent.instrument].qty_exp)]
        for px in (intent.stop_px, intent.limit_px):
            if px:
                passive = self.limits.bounds(self._instruments[intent.instrument])["passive_bps"] or 0
                breaches += price_breach(px, self._last_px(intent.instrument), passive)
        if int(self._refs[intent.instrument]["flags"]) & Flag.HALTED or self._hours.stopped(self._instruments[intent.instrument]):
            breaches.append(Breach(code="HALTED", limit="trading", observed="halted"))
        if level >= Level.HALTED:
            breaches.append(Breach(code="KILLED", limit="ACTIVE", observed=level.name))
        if not self._latches.recovered or self._latches.blocked:
            breaches.append(Breach(code="NOT_RECONCILED", limit="recovered", observed="recovering"))
        if not exit_.open or exit_.pending is not None:
            breaches.append(Breach(code="PARENT_EXCEEDED", limit="an open exit", observed="none"))
        if breaches:
            return self._refuse(intent, now, tuple(breaches))
        self.gate.cancel_sent(now.mono)  # it takes from the account's bucket as a cancel does
        return self._approve(intent, now, replaces, 0)

    def _approve(self, intent: Intent, now: Now, replaces: int, root: int) -> list[Command]:
        self._approval += 1
        self.approved += 1
        approved = Approved(
            intent=intent,
            epoch=self.epoch,
            approval=self._approval,
            limits_version=self.limits_version,
            ref_px=self.gate.ref_px,
            valid_until_mono=now.mono + APPROVAL_LIFE,
            replaces=replaces,
        )
        self._answers.took_off(approved, root)
        self.permits.approved(intent)
        self._remember(intent, approved)
        commands: list[Command] = [Publish(message=approved)]
        commands += self._arm(now)
        return commands

    def _refuse(self, intent: Intent, now: Now, breaches: tuple[Breach, ...]) -> list[Command]:
        refused = Refused(intent=intent, breaches=breaches, ts=now.venue)
        self.refused += 1
        self._remember(intent, refused)
        return [Append(fact=refused, sync=Sync.SOON), Publish(message=refused), *self._denied(intent, breaches)]

    def _denied(self, intent: Intent, breaches: tuple[Breach, ...]) -> list[Command]:
        known = self._defined.get(intent.instrument)
        return self.exits.refused(intent, known, breaches) if known is not None and self.exits.is_wanted(intent) else []

    def _remember(self, intent: Intent, answer: Approved | Refused) -> None:
        self._answers.remember(intent, answer)
        self._parked.decided(intent.key)

    def _breach(self, failure: Failure, instrument: int) -> Breach:
        exp = self._defined[instrument].qty_exp if instrument in self._defined else 9
        limit, observed = (text(x, failure.unit, exp) for x in (failure.limit, failure.observed))
        if failure.code == Code.SELF_MATCH:
            limit, observed = (any_price(x) for x in (failure.limit, failure.observed))
            limit = f"{limit}: {self._in_the_way(exp)}"
        elif failure.code == Code.NOT_RECONCILED and instrument in self._latches.broken:
            observed = f"{text(self._latches.broken[instrument], 'qty', exp)} at the venue that no fill explains"
        elif failure.code == Code.STALE_DATA and failure.limit < 0:
            limit, observed = "a price of everything that counts", f"none of {self.marks.missing(self._defined.values())}"
        return Breach(code=str(failure.code.name), limit=limit, observed=observed)

    def _waits(self, exit_: Intent) -> Breach:
        qty = text(exit_.qty, "qty", self._defined[exit_.instrument].qty_exp)
        limit = f"any price: {exit_.side.name.lower()} {qty}, a protective exit that waits"
        return Breach(code="SELF_MATCH", limit=limit, observed="on the other side")

    def _in_the_way(self, exp: int) -> str:
        # A protective stop denies entries beyond it (R13): say which order it is, or nobody finds out why.
        order = self.ledger.reservation(self.gate.crossed)
        side = "" if order is None else f"{Side(order.side).name.lower()} {text(order.leaves, 'qty', exp)}, "
        return side + self._chains.name_of(self.gate.crossed)

    # ------------------------------------------------------------------------------------------------ marks
    def _watch(self, now: Now, timer: bool) -> list[Command]:
        # An approval waits one life more than execution would accept it, then its reservation goes back.
        for key in self._answers.overdue(now.mono):
            self._take_back(key)
        commands: list[Command] = []
        if self._alarms:
            commands, self._alarms = self._alarms, []
        if self.raced.owed and self._latches.recovered:
            commands += self.raced.check(self.exits, self._parked, now.venue)
        if timer:
            self._mark_at = 0
        day = self._day_of(now.venue) if self._day_of else ALWAYS
        due = timer or self._dirty or day != self._losses.day or (self._mark_at and now.venue >= self._mark_at)
        if due or self.gate.unmarked or self.gate.unpriced:  # what had no price may have one by now
            commands += self._mark(now, day)
        return commands

    def _mark(self, now: Now, day: str) -> list[Command]:
        self._dirty = False
        pnl = self.gate.mark(now.venue)
        commands: list[Command] = []
        if not self._latches.recovered:
            return self._arm(now)
        if now.venue >= self._latches.recovered_at + MARK_PATIENCE:
            commands += self.marks.alarms(self._defined.values())
        if not self.gate.unmarked:  # else neither a day's beginning nor a loss is known, and no entry passes
            begins = self._losses.begins(day)
            commands += self._losses.mark(pnl, day, self.limits, self._mark_every, now)
            if not begins:
                for code, words in self._losses.crossed(self.limits):
                    commands += self._latches.close("REDUCING", "account", code, words, now)
        if self.limits.require_exit:
            prices = {instrument: self._last_px(instrument) for instrument in self._defined}
            commands += self.exits.check(self.limits, self._defined.values(), prices, now)
        return commands + self._arm(now)

    def _arm(self, now: Now) -> list[Command]:
        # Only while something can gain or lose: an idle account needs no timer.
        if self._mark_at > now.venue or not (self.ledger.open_orders or self.ledger.is_open()):
            return []
        self._mark_at = now.venue + self._mark_every
        return [SetTimer(key=MARK, at=self._mark_at, clock=Clock.VENUE)]

    # ------------------------------------------------------------------------------------------------ limits
    def confirmation(self, limits: Limits) -> str:
        """The token that confirms limits that loosen those in force now; another version asks for another one."""
        return self._in_force.confirmation(limits)

    def needs_confirmation(self, limits: Limits, token: str) -> list[str]:
        """What other limits would loosen, unless the token confirms exactly them."""
        return self._in_force.needs_confirmation(limits, token)

    def propose(self, limits: Limits, *, who: str, why: str, now: Now, token: str = "") -> list[Command]:
        """Make other limits the limits. What loosens needs who, why and its `confirmation`, and is durable before it is used."""
        return self._in_force.propose(limits, who=who, why=why, now=now, token=token)

    def changed(self, values: str) -> Limits:
        """Those in force with some changed, as JSON tells. Raises ConfigError."""
        return self._in_force.changed(values)


def _reduces(held: Position, side: Side, n: int) -> bool:
    """Whether n more of a side take nothing but what is held and not yet on its way out."""
    room = held.qty - held.sells if side == Side.SELL else -held.qty - held.buys
    return n <= 0 or (n <= room and (held.qty > 0) == (side == Side.SELL))
