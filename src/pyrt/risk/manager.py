"""RiskManager: between a strategy's Intent and execution's order; a projection of the journal plus approvals in flight."""

from collections import OrderedDict
from collections.abc import Callable, Iterable
from hashlib import blake2b

import msgspec
import numpy as np
from numpy.typing import NDArray

from pyrt._core.book import OrderBook
from pyrt._core.ledger import Ledger, Pnl, Position
from pyrt._core.risk import Code, Failure, Gate, Level
from pyrt._core.types import NO_PRICE, Clock, Side, TradingState, format_units
from pyrt.calendar import Calendar, utc_text
from pyrt.clock import SECOND, Now
from pyrt.errors import ConfigError, DataError, PyrtError
from pyrt.model import (
    EXTERNAL,
    AccountSeen,
    Approved,
    AssetClass,
    AssetSeen,
    BaselineSet,
    Breach,
    CancelIntent,
    CashMoved,
    Defined,
    EpochOpened,
    ExternalSeen,
    Fact,
    Filled,
    Instrument,
    Instruments,
    Intended,
    Intent,
    Latched,
    LimitsSet,
    OrderChanged,
    OrderClass,
    PositionAdjusted,
    Recovered,
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
    ExitWanted,
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
    VolTold,
)
from pyrt.risk import saved
from pyrt.risk.asked import AUCTIONS
from pyrt.risk.broker_rules import Broken, BrokerRules, breaches
from pyrt.risk.chains import Chains
from pyrt.risk.exits import Exits
from pyrt.risk.groups import Exit, Group, crossed_exits, leg_breaches, price_breach
from pyrt.risk.limits import Limits
from pyrt.risk.permits import Permits
from pyrt.risk.portfolio import UNKNOWN, Portfolio
from pyrt.risk.self_match import Parked

MARK = "risk.mark"
CONFIGURATION = "configuration"  # who sets the limits of a start
MOST_DAYS = 250  # whose peaks are kept
BREAKERS = (b"1", b"2", b"3", b"MWC0", b"MWC1", b"MWC2", b"MWC3")  # reasons of a halt of the whole market
_STANDING = (TradingState.HALTED, TradingState.PAUSED, TradingState.QUOTING)
OWN = "risk"  # who closes the latches that no one asked for
FEES = ("FEE", "CFEE", "PTC", "DIVFEE")  # activities that cost
GAINS = (*FEES, "DIV", "INT", "CIL")  # and those that change the P&L at all
APPROVAL_LIFE = SECOND  # monotonic; execution accepts nothing older
MARK_PATIENCE = 30 * SECOND  # after recovery losses wait so long for a price of everything that is held
PEAK_STEPS = 100  # a peak is journaled when it rose by this part of max_drawdown
ALWAYS = "always"  # the day of a manager without day_of
CLOCK_WARNS, CLOCK_DENIES = 50_000_000, 100_000_000  # ns that the venue's clock may be from ours
REMEMBERED = 65_536  # first answers kept for intents that come twice
_MONEY = 10**9  # facts tell money in 1e-9, the ledger counts 1e-18
DayOf = Callable[[int], str]


class RiskManager:
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
        self.ledger = Ledger()
        self.gate = Gate(self.ledger, refs)
        self.limits = self._configured = limits if limits is not None else Limits.profile("paper")
        self.limits_version = 0
        self.epoch = 0
        self.latches: dict[str, Latched] = {}
        self.refused = 0
        self.approved = 0
        self._instruments = instruments
        self._refs = refs
        self._defined: dict[int, Instrument] = {}
        self._day_of = day_of
        self._day = ""
        self._equity = 0  # the day's baseline and its highest, as journaled, 1e-9 money
        self._peak = 0
        self._peak_at = 0  # venue ns at which it was
        self._calendar = calendar
        self._hours: dict[int, tuple[int, int]] = {}  # instrument -> from when until when its session is known, venue ns
        self._mark_every = mark_every
        self._mark_at = 0  # venue ns of the timer asked for; 0 = none
        self._dirty = False
        self._chains = Chains(self.gate)
        self.exits = Exits(self.ledger, self._chains)
        self._peaks: dict[str, int] = {}  # of the last days, 1e-9 money
        self._whole_limited = False  # a limit on the portfolio is on
        self._limits_by = ""  # who set those in force
        self._stopped = False  # a circuit breaker stopped all shares
        self.permits = Permits(self.gate, self.limits)
        self.rules = BrokerRules(self.ledger, refs, calendar, self.permits.assets)
        self.portfolio = Portfolio(self.ledger, refs, self._defined)
        self._parked = Parked(self._chains)
        self._waiting: dict[int, tuple[int, int]] = {}  # key -> (valid until, monotonic; root it replaces)
        self._answers: OrderedDict[int, Approved | Refused] = OrderedDict()
        self._forgotten: dict[int, int] = {}  # strategy -> highest source whose answer is no longer kept
        self._answered: dict[int, int] = {}  # strategy -> highest source that a fact answered
        self._approval = 0
        self._recovered = False
        self._recovered_at = 0
        self._unexplained = 0
        self._blocked = False
        self._alarms: list[Command] = []
        self._wishes: list[Command] = []  # for exits; those that a replay of old facts finds are not acted upon
        self._clock_off = 0  # ns; above 0 nothing but reductions is approved
        self._use(self.limits)

    # ------------------------------------------------------------------------------------------------ decisions
    def on(self, event: Event, now: Now) -> list[Command]:
        """Decide on one event; every other event only moves the clocks of approvals and marks."""
        if isinstance(event, Start):
            self._alarms.clear()  # of facts that were replayed: the life that met them has told them
        commands = self._watch(now, isinstance(event, TimerFired) and event.key == MARK)
        if isinstance(event, Intent):
            commands += self._decide(event, now, 0)
        elif isinstance(event, ReplaceIntent):
            commands += self._decide(event.intent, now, event.replaces)
        elif isinstance(event, CancelIntent):
            self.gate.cancel_sent(now.mono)
            unwanted = self._parked.drop(event.strategy << 48 | event.source)
            if unwanted is not None:
                breach = Breach(code="SELF_MATCH", limit="nothing in the way", observed="cancelled while it waited")
                commands += self._refuse(unwanted, now, (breach,))
        elif isinstance(event, Kill):
            commands += self._kill(event, now)
        elif isinstance(event, Resume):
            commands += self._resume(event, now)
        elif isinstance(event, Start):
            commands += self._start(event, now)
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
                return self._set_limits(event, now)
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
            case VolTold():
                self.portfolio.vol_told(event)
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

    def authorise(self, strategy: int, instruments: Iterable[int]) -> None:
        """From here on only strategies that were named may trade, each in its instruments alone (R25); all may reduce."""
        self.permits.authorise(strategy, instruments)

    def _clock(self, event: ClockMeasured, now: Now) -> list[Command]:
        # R17: how far the clock that decided until now was off, proved beyond the doubt of the measurement.
        off = max(abs(event.clock.at(now.mono) - now.venue) - event.uncertainty, 0)
        self._clock_off = off if off > CLOCK_DENIES else 0
        if off <= CLOCK_WARNS:
            return []
        words = "no entry is approved until the next measurement" if self._clock_off else "it is set anew"
        return [Alarm(severity="warning", code="CLOCK_OFFSET", text=f"our clock was {off / SECOND:.3f} s off the venue's; {words}")]

    def _decide(self, intent: Intent, now: Now, replaces: int) -> list[Command]:
        first = self._answers.get(intent.key)
        if first is not None:
            return [Publish(message=first)]
        if self._parked.holds(intent.key):
            return []  # the answer is under way
        if intent.source <= self._forgotten.get(intent.strategy, 0):
            return self._refuse(intent, now, (Breach(code="DUPLICATE", limit="once", observed="seen before"),))
        if intent.instrument in self._instruments:
            self._define(self._instruments[intent.instrument])
            self._schedule(self._instruments[intent.instrument], now.venue)
        if self._clock_off and not intent.reduce_only:
            clock = Breach(code="STALE_DATA", limit=text(CLOCK_DENIES, "ns"), observed=text(self._clock_off, "ns"))
            return self._refuse(intent, now, (clock,))
        root = 0
        exit_ = self._chains.exit_of(intent.strategy << 48 | replaces) if replaces else None
        if exit_ is not None:
            return self._change_exit(intent, now, replaces, *exit_)
        if intent.order_class and (of_legs := self._leg_breaches(intent)):
            return self._refuse(intent, now, of_legs)
        if replaces:
            old = intent.strategy << 48 | replaces
            root = self._chains.root_of(old)
            if root == 0 or old in self._waiting:
                return self._refuse(intent, now, (Breach(code="PARENT_EXCEEDED", limit="an open order", observed="none"),))
        broken = self._broken(intent, now, root)
        others = [self._breach(f, intent.instrument) for _, f, fails in self.others(intent, now.venue, root) if fails]
        failed = self.gate.check(
            intent.key,
            intent.strategy,
            intent.instrument,
            intent.side,
            intent.type,
            intent.qty,
            intent.limit_px,
            intent.stop_px,
            now=now.venue,
            mono=now.mono,
            trail=intent.trail,
            reduce_only=intent.reduce_only,
            extended=intent.extended_hours,
            auction=intent.tif in AUCTIONS,
            replaces=root,
        )
        if failed == Code.SELF_MATCH and not others and self.limits.self_match == "cancel" and not replaces:
            parked = [] if broken else self._parked.park(intent, self.gate.crossed, now.venue)
            if parked:
                return parked
        if failed or broken or others:
            if not failed:
                self.gate.expire(intent.key, root)
            said = (*others, *(self._breach(f, intent.instrument) for f in (self.gate.failures if failed else ())))
            commands = self._refuse(intent, now, breaches(said, broken))
            if any(b.code == "REPEAT_EXEC" for b in said):
                commands += self._close(
                    "REDUCING", f"strategy:{intent.strategy}", "REPEAT_EXEC", "repeated orders or executions", now
                )
            return commands
        return self._approve(intent, now, replaces, root)

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
        return bid + (ask - bid) // 2 if 0 < bid < ask else last if last > 0 else 0

    def _change_exit(self, intent: Intent, now: Now, replaces: int, exit_: Exit, group: Group) -> list[Command]:
        """Another price for an exit: it neither enlarges nor shortens what is reserved, so only prices and latches are asked."""
        scopes = ("system", "account", f"strategy:{intent.strategy}", f"instrument:{intent.instrument}")
        level = max(self.gate.level(scope) for scope in scopes)
        breaches: list[Breach] = [*crossed_exits(exit_, group, intent)]
        for px in (intent.stop_px, intent.limit_px):
            if px:
                passive = self.limits.bounds(self._instruments[intent.instrument])["passive_bps"] or 0
                breaches += price_breach(px, self._last_px(intent.instrument), passive)
        if level >= Level.HALTED:
            breaches.append(Breach(code="KILLED", limit="ACTIVE", observed=level.name))
        if not self._recovered or self._blocked:
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
        until = now.mono + APPROVAL_LIFE
        approved = Approved(
            intent=intent,
            epoch=self.epoch,
            approval=self._approval,
            limits_version=self.limits_version,
            ref_px=self.gate.ref_px,
            valid_until_mono=until,
            replaces=replaces,
        )
        self._waiting[intent.key] = (until, root)
        self.permits.approved(intent)
        self._remember(intent, approved)
        return [Publish(message=approved), *self._arm(now)]

    def _refuse(self, intent: Intent, now: Now, breaches: tuple[Breach, ...]) -> list[Command]:
        refused = Refused(intent=intent, breaches=breaches, ts=now.venue)
        self.refused += 1
        self._remember(intent, refused)
        return [Append(fact=refused, sync=Sync.SOON), Publish(message=refused)]

    def _remember(self, intent: Intent, answer: Approved | Refused) -> None:
        self._answers.setdefault(intent.key, answer)
        self._parked.decided(intent.key)
        if len(self._answers) > REMEMBERED:
            key, _ = self._answers.popitem(last=False)
            strategy, source = key >> 48, key & (1 << 48) - 1
            self._forgotten[strategy] = max(self._forgotten.get(strategy, 0), source)

    def _breach(self, failure: Failure, instrument: int) -> Breach:
        exp = self._defined[instrument].qty_exp if instrument in self._defined else 9
        limit, observed = (text(x, failure.unit, exp) for x in (failure.limit, failure.observed))
        if failure.code == Code.SELF_MATCH:
            limit, observed = (any_price(x) for x in (failure.limit, failure.observed))
            limit = f"{limit}: {self._in_the_way(exp)}"
        return Breach(code=str(failure.code.name), limit=limit, observed=observed)

    def _in_the_way(self, exp: int) -> str:
        # A protective stop denies entries beyond it (R13): say which order it is, or nobody finds out why.
        order = self.ledger.reservation(self.gate.crossed)
        side = "" if order is None else f"{Side(order.side).name.lower()} {text(order.leaves, 'qty', exp)}, "
        return side + self._chains.name_of(self.gate.crossed)

    def _schedule(self, instrument: Instrument, venue: int) -> None:
        # The session now or next. A calendar that does not know closes the market.
        since, until = self._hours.get(instrument.id, (0, 0))
        if since <= venue < until:
            return
        if self._calendar is None or instrument.asset_class == AssetClass.CRYPTO:
            self._hours[instrument.id] = (0, 1 << 63)
            self.gate.session(instrument.id, 0, 0)
            return
        try:
            s = self._calendar.session_from(venue)
        except DataError:
            self.gate.no_session(instrument.id)
            return
        if until:
            self.gate.bands(instrument.id, 0, 0)  # those of the session before
        self._hours[instrument.id] = (venue, s.post_close)
        pre_open = self.permits.pre_open(instrument, s.pre_open)
        self.gate.session(instrument.id, s.open, s.close, pre_open=pre_open, post_close=s.post_close)

    def watch(self, instrument: int, book: OrderBook) -> None:
        """Take in the live book of an instrument: what SLIPPAGE walks."""
        self.gate.watch(instrument, book)

    def on_status(self, instrument: int, lower_px: int, upper_px: int, state: int = 0, reason: int = 0) -> None:
        """Take in a trading status: its price bands, where it carries any (NO_PRICE = none), and a stop of the whole market."""
        if state in _STANDING and reason.to_bytes(4, "little").rstrip(b"\0") in BREAKERS:
            self._stopped = True
            self.gate.halt_market(True)
        elif self._stopped and state == TradingState.TRADING:
            self._stopped = False
            self.gate.halt_market(False)
        if lower_px != NO_PRICE and upper_px != NO_PRICE:
            self.gate.bands(instrument, lower_px, upper_px)

    def _watch(self, now: Now, timer: bool) -> list[Command]:
        # An approval waits one life more than execution would accept it, then its reservation goes back.
        for key in [k for k, (until, _) in self._waiting.items() if now.mono > until + APPROVAL_LIFE]:
            _, root = self._waiting.pop(key)
            self.gate.expire(key, root)
            self.permits.expired(key)
        commands, self._alarms = [*self._alarms, *self._wishes], []
        self._wishes = []
        if timer:
            self._mark_at = 0
        day = self._day_of(now.venue) if self._day_of else ALWAYS
        if timer or self._dirty or day != self._day or (self._mark_at and now.venue >= self._mark_at):
            commands += self._mark(now, day)
        return commands

    def _mark(self, now: Now, day: str) -> list[Command]:
        self._dirty = False
        pnl = self.gate.mark(now.venue)
        commands: list[Command] = []
        if not self._recovered or (self.gate.unmarked and now.venue < self._recovered_at + MARK_PATIENCE):
            return self._arm(now)  # what is held must be valued first
        if day > self._day or (day != self._day and self._day == ALWAYS):  # a clock that steps back begins no day
            commands.append(Append(fact=BaselineSet(day=day, equity=pnl // _MONEY, ts=now.venue), sync=Sync.SOON))
        else:
            commands += self._raise_peak(now)
            for code, limit, seen in (
                ("DAILY_LOSS", self.limits.max_daily_loss, -self.gate.day_pnl),
                ("DRAWDOWN", self.limits.max_drawdown, self.gate.drawdown),
                ("DRAWDOWN", self.limits.max_days_drawdown, self.gate.days_drawdown),
            ):
                if limit is not None and limit.is_finite() and seen >= int(limit * 10**18):
                    commands += self._close("REDUCING", "account", code, f"{text(seen, 'money')} of {limit}", now)
        if self.limits.require_exit:
            prices = {instrument: self._last_px(instrument) for instrument in self._defined}
            commands += self.exits.check(self.limits, self._defined.values(), prices, now)
        return commands + self._arm(now)

    def _raise_peak(self, now: Now) -> list[Command]:
        # The peak outlives a restart to within a hundredth of the drawdown, and is journaled once a mark at most.
        peak, most = self.gate.peak_pnl // _MONEY, self.limits.max_drawdown
        if most is None or peak - self._peak < int(most * 10**9) // PEAK_STEPS or now.venue < self._peak_at + self._mark_every:
            return []
        fact = BaselineSet(day=self._day, equity=self._equity, peak=max(peak, self._peak + 1), ts=now.venue)
        return [Append(fact=fact, sync=Sync.SOON)]

    def _arm(self, now: Now) -> list[Command]:
        # Only while something can gain or lose: an idle account needs no timer.
        if self._mark_at > now.venue or not (self.ledger.open_orders or self.ledger.is_open()):
            return []
        self._mark_at = now.venue + self._mark_every
        return [SetTimer(key=MARK, at=self._mark_at, clock=Clock.VENUE)]

    # ------------------------------------------------------------------------------------------------ latches, limits, start
    def _close(self, level: str, scope: str, code: str, reason: str, now: Now, who: str = OWN) -> list[Command]:
        if self.gate.level(scope) >= Level[level]:
            return []
        fact = Latched(level=level, scope=scope, code=code, reason=reason, who=who, ts=now.venue)
        alarm = Alarm(severity="critical", code=code, text=f"{scope} is {level}: {reason}")
        closed: list[Command] = [Append(fact=fact, sync=Sync.SOON), alarm]
        if who == OWN:  # execution hears of other latches by the Kill that asked for them: it cancels what the level forbids
            closed.append(Publish(message=Kill(level=level, scope=scope, reason=reason, who=OWN)))
        return closed

    def _kill(self, event: Kill, now: Now) -> list[Command]:
        if event.level not in ("REDUCING", "HALTED", "KILLED") or not _is_scope(event.scope):
            return [Alarm(severity="warning", code="KILL_REFUSED", text=f"no latch {event.scope!r} at level {event.level!r}")]
        return self._close(event.level, event.scope, "KILLED", event.reason, now, event.who)

    def _resume(self, event: Resume, now: Now) -> list[Command]:
        if not event.who.strip() or not event.why.strip():
            return [Alarm(severity="warning", code="RESUME_REFUSED", text=f"{event.scope}: a latch opens only with who and why")]
        if event.scope not in self.latches:
            return [Alarm(severity="info", code="RESUME_REFUSED", text=f"{event.scope} is not latched")]
        fact = Latched(level="ACTIVE", scope=event.scope, code="RESUMED", reason=event.why, who=event.who, ts=now.venue)
        return [Append(fact=fact, sync=Sync.BEFORE_ACT)]

    def confirmation(self, limits: Limits) -> str:
        """The token that confirms limits that loosen those in force now; another version asks for another one."""
        return blake2b(f"{self.limits_version}:{limits.canonical()}".encode(), digest_size=5).hexdigest()

    def needs_confirmation(self, limits: Limits, token: str) -> list[str]:
        """What other limits would loosen, unless the token confirms exactly them."""
        looser = limits.loosens(self.limits) if self.limits_version else []
        return looser if token != self.confirmation(limits) else []

    def propose(self, limits: Limits, *, who: str, why: str, now: Now, token: str = "") -> list[Command]:
        """Make other limits the limits. What loosens needs who, why and its `confirmation`, and is durable before it is used."""
        limits.check()
        if limits == self.limits and self.limits_version:
            return []
        looser = limits.loosens(self.limits) if self.limits_version else []
        if looser and (self.needs_confirmation(limits, token) or not (who.strip() and why.strip())):
            words = f"looser only with who, why and its confirmation: {', '.join(looser)}"
            return [Alarm(severity="warning", code="LIMITS_REFUSED", text=words)]
        fact = LimitsSet(version=self.limits_version + 1, limits=limits.canonical(), who=who, why=why, ts=now.venue)
        return [Append(fact=fact, sync=Sync.BEFORE_ACT if looser else Sync.SOON)]

    def _start(self, event: Start, now: Now) -> list[Command]:
        self._wishes = []
        opened = EpochOpened(epoch=event.epoch, ts=now.venue)
        looser = self._configured.loosens(self.limits) if self.limits_version else []
        if looser and self._limits_by != CONFIGURATION:
            # Somebody tightened them while it ran: a restart alone does not take that back.
            words = f"those that {self._limits_by} set stay in force; the configuration would loosen {', '.join(looser)}"
            limits: list[Command] = [Alarm(severity="warning", code="LIMITS_KEPT", text=words)]
        else:
            token = self.confirmation(self._configured)  # the file is the human's word
            limits = self.propose(self._configured, who=CONFIGURATION, why="start", now=now, token=token)
        return [Append(fact=opened, sync=Sync.BEFORE_ACT), *limits, *self._arm(now)]

    def _set_limits(self, event: SetLimits, now: Now) -> list[Command]:
        try:
            limits = self.changed(event.limits)
        except PyrtError as e:
            return [Alarm(severity="warning", code="LIMITS_REFUSED", text=str(e))]
        if not (event.who.strip() and event.why.strip()):
            return [Alarm(severity="warning", code="LIMITS_REFUSED", text="limits change only with who and why")]
        return self.propose(limits, who=event.who, why=event.why, now=now, token=event.token)

    def changed(self, values: str) -> Limits:
        """Those in force with some changed, as JSON tells. Raises ConfigError."""
        try:
            return Limits.of(msgspec.json.decode(values, type=dict), base=self.limits)
        except msgspec.DecodeError as e:
            raise ConfigError(f"not a JSON object: {e}", where="limits") from None

    # ------------------------------------------------------------------------------------------------ facts
    def apply(self, fact: Fact) -> None:
        """Take in one journaled fact."""
        match fact:
            case Intended():
                self._know(fact.intent.instrument)
                self._waiting.pop(fact.intent.key, None)
                self.permits.intended(fact)
                self._chains.intended(fact)
                self._answer(fact.intent, _approval_of(fact))
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
                self.ledger.adjust(fact.strategy, fact.instrument, fact.qty, fact.cost * _MONEY)
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
                self.gate.account(fact.buying_power * _MONEY, fact.ts)
                self._blocked = fact.blocked
                self.rules.account = fact
                self._open()
            case BaselineSet():
                self._day = fact.day
                self._equity = fact.equity
                self._peak = fact.equity if fact.peak is None else fact.peak
                self._peak_at = fact.ts
                self._peaks[fact.day] = max(self._peaks.get(fact.day, self._peak), self._peak)
                if len(self._peaks) > MOST_DAYS:
                    del self._peaks[min(self._peaks)]
                self.gate.begin_day(self._equity * _MONEY, self._peak * _MONEY)
                self._look_back()
                self._dirty = True
            case AssetSeen():
                self.permits.asset_seen(fact)
                self._hours.pop(fact.instrument, None)
                self._bound(fact.instrument)
            case Latched():
                self._latch(fact)
            case LimitsSet():
                self.limits_version = fact.version
                self._limits_by = fact.who
                self._use(Limits.parse(fact.limits))
            case EpochOpened():
                self.epoch = fact.epoch
                self._approval = 0
                for key, (_, root) in self._waiting.items():
                    self.gate.expire(key, root)
                    self.permits.expired(key)
                self._waiting.clear()
                self._recovered = False
                self._open()
            case Recovered():
                self._recovered = True
                self._recovered_at = fact.ts
                self._unexplained = fact.unexplained
                self._dirty = True
                self._open()

    def _forgo(self, fact: Refused) -> None:
        # Execution may refuse what was approved here: the reservation goes back at once.
        waiting = self._waiting.pop(fact.intent.key, None)
        if waiting:
            self.gate.expire(fact.intent.key, waiting[1])
            self.permits.expired(fact.intent.key)
            self._answers[fact.intent.key] = fact
        self._answer(fact.intent, fact)

    def _answer(self, intent: Intent, answer: Approved | Refused) -> None:
        self._answered[intent.strategy] = max(self._answered.get(intent.strategy, 0), intent.source)
        self._remember(intent, answer)

    def _filled(self, fact: Filled) -> None:
        self._know(fact.instrument)
        self._chains.arm(fact.number)
        key = self._chains.key_of(fact.number, fact.venue_order_id)
        told = self.gate.fill(key, fact.strategy, fact.instrument, fact.side, fact.px, fact.qty, fact.fee * _MONEY, fact.ts)
        self._dirty = True
        raced = self._chains.filled(fact.number, fact.qty)
        if raced is not None:
            self._raced(*raced)
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
        self.ledger.credit(EXTERNAL, fact.instrument, 0 if fee else fact.net * _MONEY, -fact.net * _MONEY if fee else 0)
        self._dirty = True

    def _raced(self, group: Group, over: int) -> None:
        # Both exits of a pair filled: what was sold twice is bought back, as far as the strategy now stands on the wrong side.
        held = self.position(group.strategy, group.instrument).qty
        wrong = max(-held if group.side is Side.SELL else held, 0)
        symbol = self._instruments[group.instrument].symbol
        words = f"strategy {group.strategy}: both exits of one position in {symbol} filled, {over} units too many"
        self._alarms.append(Alarm(severity="critical", code="EXITS_RACED", text=words))
        if wrong:
            side = Side.BUY if group.side is Side.SELL else Side.SELL
            wish = ExitWanted(
                strategy=group.strategy, instrument=group.instrument, side=side, qty=min(wrong, over), reason="both exits filled"
            )
            self._wishes.append(Publish(message=wish))

    def _latch(self, fact: Latched) -> None:
        level = Level[fact.level]
        if level == Level.ACTIVE:
            self.latches.pop(fact.scope, None)
        elif level < self.gate.level(fact.scope):
            return  # upward only, but for a human
        else:
            self.latches[fact.scope] = fact
        self.gate.latch(fact.scope, level)
        self._open()

    def _open(self) -> None:
        # Shares that no fill explains: entries wait until each such instrument has its own latch.
        named = sum(scope.startswith("instrument:") for scope in self.latches)
        if not self._recovered or self._blocked:
            self.gate.open(0)
        else:
            self.gate.open(2 if named >= self._unexplained else 1)

    def _know(self, instrument: int) -> None:
        if instrument not in self._defined and instrument in self._instruments:
            self._define(self._instruments[instrument])

    def _define(self, instrument: Instrument) -> None:
        if self._defined.get(instrument.id) == instrument:
            return
        self._defined[instrument.id] = instrument
        i = instrument
        self.ledger.define(i.id, qty_exp=i.qty_exp, multiplier=i.multiplier, tick=i.tick, sub_tick=i.sub_tick, lot=i.lot)
        self._bound(i.id)

    def _bound(self, instrument: int) -> None:
        if instrument in self._defined:
            self.gate.set_bounds(instrument, self.permits.bounds(self._defined[instrument]))

    def _look_back(self) -> None:
        if self._peaks:
            self.gate.days(max(self._peaks[day] for day in sorted(self._peaks)[-self.limits.drawdown_days :]) * _MONEY)

    def _use(self, limits: Limits) -> None:
        self.limits = limits
        self.gate.set_rules(limits.rules())
        self.permits.use(limits)
        self._whole_limited = self.portfolio.limited(limits)
        self._hours.clear()
        self._look_back()
        for instrument in self._defined:
            self._bound(instrument)

    # ------------------------------------------------------------------------------------------------ what others read
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
        """Go on from a saved state instead of the facts that made it; only once, and first. Raises ValueError, KeyError."""
        saved.restore(self, state)

    def state_digest(self) -> str:
        """Hex digest over everything that the facts determine; approvals in flight and marks are no part of it."""
        latches = sorted((scope, f.level) for scope, f in self.latches.items())
        own = (self.epoch, self.limits_version, self.limits.canonical(), self._day, self._recovered, self._unexplained, latches)
        days = sorted(self._peaks.items())
        state = repr((own, self._equity, self._peak, self._blocked, days, self._limits_by)).encode()
        state += self._chains.state() + self.permits.state() + self.gate.state()
        return blake2b(state, digest_size=32).hexdigest()


def text(value: int, unit: str, qty_exp: int = 9) -> str:
    """A control's number in whole units: shares, currency, seconds, a time UTC, or as it is."""
    if value >= UNKNOWN:
        return "not known"
    if unit == "time":
        return utc_text(value) if value > 0 else "no hours known"
    exp = {"qty": qty_exp, "px": 9, "money": 18, "ns": 9}.get(unit, 0)
    if -(1 << 63) <= value < 1 << 63:
        return format_units(value, exp)
    whole, rest = divmod(abs(value), 10**exp)
    decimals = f"{rest:0{exp}d}".rstrip("0") if exp else ""
    return f"{'-' if value < 0 else ''}{whole}{'.' if decimals else ''}{decimals}"


def any_price(px: int) -> str:
    """A price at which an order may trade; that of a market order is any."""
    return "any price" if px in (0, (1 << 63) - 1) else format_units(px)


def _reduces(held: Position, side: Side, n: int) -> bool:
    """Whether n more of a side take nothing but what is held and not yet on its way out."""
    room = held.qty - held.sells if side == Side.SELL else -held.qty - held.buys
    return n <= 0 or (n <= room and (held.qty > 0) == (side == Side.SELL))


def _is_scope(scope: str) -> bool:
    kind, _, name = scope.partition(":")
    return scope in ("system", "account") or (kind in ("strategy", "instrument") and name.isdecimal())


def _approval_of(fact: Intended) -> Approved:
    return Approved(
        intent=fact.intent,
        epoch=fact.epoch,
        approval=fact.approval,
        limits_version=fact.limits_version,
        ref_px=fact.ref_px,
        valid_until_mono=0,
    )
