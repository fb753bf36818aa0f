"""What the journal says of orders, fills and positions: `apply` folds facts, nothing else changes it."""

import hashlib
from collections.abc import Iterable

import msgspec

from pyrt._core.types import Side
from pyrt.execution.cid import cid, parse_cid
from pyrt.execution.past import Past
from pyrt.execution.told import Told
from pyrt.model import (
    EXTERNAL,
    AccountSeen,
    CancelWanted,
    CashMoved,
    Defined,
    EpochOpened,
    ExternalSeen,
    Fact,
    Filled,
    Instruments,
    Intended,
    Intent,
    Latched,
    OrderChanged,
    OrderClass,
    OrderFact,
    OrderStatus,
    OrderType,
    PositionAdjusted,
    Recalled,
    Recovered,
    Restored,
    TimeInForce,
)
from pyrt.ports import Lookup

_FINAL = OrderStatus.FILLED  # from here on a status is final: the property of it costs a call
CHUNK = 64  # numbers whose orders and fills are saved together
OPENING = "opening position"
BASE, UNEXPLAINED = "BASE", "UNEXPLAINED"  # our own types of CashMoved
ENTRY, TARGET, GUARD = "entry", "take_profit", "stop_loss"  # what an order is in its group
BUST = "trade_bust"
EXPLAINED = "EXPLAINED"  # how the reason of an adjustment on a human's word begins
CORRECTIONS = frozenset({BUST, "trade_correct"})
# What a session writes while it hears the venue. A start that reads nothing writes others: its epoch, its limits.
_HEARD = (OrderChanged, Filled, ExternalSeen, Recovered)  # and Intended


def correction_of(reason: str) -> tuple[str, str, str]:
    """Of an adjustment for a bust or a correction: which it is, the execution that it changes, and how that is called then."""
    event, _, rest = reason.partition(" ")
    execution, *more = rest.split(" ")
    return event, execution, (more[-1] if more else "") or execution


class Order(msgspec.Struct, kw_only=True, array_like=True, gc=False):
    """One order, ours or external, as the facts tell it."""

    number: int
    cid: str
    strategy: int
    source: int
    instrument: int
    side: Side
    type: OrderType
    tif: TimeInForce
    qty: int  # 0: unknown (a notional order of somebody else)
    limit_px: int
    stop_px: int
    reduce_only: bool
    valid_until: int
    ts: int  # venue ns of the intent, or of the first sight
    status: OrderStatus
    intent: Intent | None  # None: external
    venue_order_id: str = ""
    base: int = 0  # filled before this journal began to count
    filled: int = 0  # base plus the sum of its fills
    tries: int = 0
    replaces: int = 0
    root: int = 0
    trail_px: int = 0
    trail_ratio: int = 0
    epoch: int = 0  # of the life that intended it
    unwanted: bool = False  # to be cancelled as soon as the venue shows it
    group: int = 0  # number of the order with which its group began; 0 = it stands alone
    role: str = ""  # in the group
    ambiguous: bool = False  # an attempt may have reached the venue, and none was proved

    @property
    def external(self) -> bool:
        """Somebody else's order."""
        return self.intent is None

    @property
    def is_open(self) -> bool:
        """Counts as exposure."""
        return not self.status.is_final

    @property
    def is_leg(self) -> bool:
        """The venue made it of another order's request, and named it."""
        return bool(self.role) and self.number != self.group and not self.cid

    @property
    def lookup(self) -> Lookup:
        """How the venue is asked for it."""
        return Lookup(number=self.number, cid=self.cid, venue_order_id="" if self.cid else self.venue_order_id)

    @property
    def working(self) -> bool:
        """The venue has it and it is not final."""
        return bool(self.venue_order_id) and not self.status.is_final


class Booked(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What one fill said, to compare a second source with."""

    number: int
    px: int
    qty: int
    execution_id: str


class Orders:
    """Orders by number, fills by identity, positions by instrument: a pure fold over the journal's facts."""

    def __init__(self, journal_id: str, instruments: Instruments, valid_for: int) -> None:
        self.journal_id = journal_id
        self.instruments = instruments
        self.by_number: dict[int, Order] = {}
        self.open: dict[int, Order] = {}
        self.by_source: dict[tuple[int, int], int] = {}
        self.groups: dict[int, list[int]] = {}  # number of the first order -> numbers of all that ever belonged to it
        self.by_venue_id: dict[str, int] = {}
        self.past = Past()
        self.fills: dict[tuple[str, int], Booked] = {}
        self.fills_of: dict[int, list[tuple[str, int]]] = {}  # number -> its fills
        self.executions: dict[str, tuple[str, int]] = {}  # execution id -> fill
        self.positions: dict[int, int] = {}  # signed, of the whole account
        self.held: dict[tuple[int, int], int] = {}  # the same of each (strategy, instrument)
        self.cash_flow = 0  # money in 1e-9 units that fills and activities moved
        self.cash_base: int | None = None  # the venue's cash less `cash_flow` where they last agreed
        self.unexplained_cash = 0  # part of the flow that no activity told
        self.activities = Told()  # those that are counted, or were there before
        self.corrections: set[str] = set()  # reasons of adjustments that must not be made twice
        self.corrected: set[tuple[str, int]] = set()  # fills that the venue changed after the fact
        self.busted: dict[tuple[str, int], int] = {}  # fills that it took back -> venue ns at which it did
        self.placed: list[tuple[str, int]] = []  # venue ids that an order had before the one it has
        self.touched: set[int] = set()  # chunks in which an order changed since the state was last saved
        self.latches: dict[str, str] = {}
        self.account: AccountSeen | None = None
        self.epoch = 0
        self.begun: dict[int, int] = {}  # epoch -> venue ns at which that life began
        self.last_number = 0
        self.last_ts = 0  # venue ns at which the venue was last heard; a start by itself has heard nothing
        self.opened_at = 0  # venue ns from which foreign fills count: the first recovery; 0 before it
        self._valid_for = valid_for

    @property
    def is_new(self) -> bool:
        """No recovery ever ended and nothing was ever intended: what the account holds is where we start from."""
        return not self.opened_at and not self.by_source

    def apply(self, fact: Fact) -> list[Order]:
        """Take in one fact; gives the orders that it lets go of: from here on only the journal has them whole."""
        self._fold(fact)
        return self._let_go() if self.past.full > 0 else []

    def _fold(self, fact: Fact) -> None:
        if type(fact) is Intended:
            if fact.ts > self.last_ts:
                self.last_ts = fact.ts
            self._intended(fact)
            return
        if isinstance(fact, _HEARD):
            self.last_ts = max(self.last_ts, fact.ts)
        match fact:
            case OrderChanged():
                self._changed(fact)
            case CancelWanted():
                if order := self.by_number.get(fact.number):
                    order.unwanted = True
                    self.touched.add(order.number // CHUNK)
            case Filled():
                self._filled(fact)
            case ExternalSeen():
                self._external(fact)
            case PositionAdjusted():
                self._move(fact.strategy, fact.instrument, fact.qty)
                self._corrected(fact)
            case CashMoved():
                self._cash(fact)
            case Defined():
                self.instruments.add(fact.instrument)
            case EpochOpened():
                self.epoch = max(self.epoch, fact.epoch)
                self.begun.setdefault(fact.epoch, fact.ts)
            case Latched():
                self.latches[fact.scope] = fact.level
            case AccountSeen():
                self.account = fact
            case Recovered():
                self.opened_at = self.opened_at or fact.ts
            case Recalled():
                self._recalled(fact)
            case Restored():
                self.last_number = max(self.last_number, fact.number)
            case _:  # facts of others: limits, baselines, names, alarms, refusals
                pass

    def find(self, cid_text: str, venue_order_id: str) -> Order | None:
        """The order of a venue id, else the own order of a cid."""
        number = self.by_venue_id.get(venue_order_id)
        order = self.by_number.get(self.number_in(cid_text) if number is None else number)
        return None if order is None or (order.external and venue_order_id != order.venue_order_id) else order

    def number_in(self, cid_text: str) -> int:
        """The number in a cid of this journal; 0 where it is none of them."""
        parsed = parse_cid(cid_text)
        return parsed[1] if parsed is not None and parsed[0] == self.journal_id else 0

    def wrote(self, cid_text: str) -> bool:
        """Whether a cid is one of this journal's."""
        return self.number_in(cid_text) > 0

    def foreign(self, order: Order) -> bool:
        """Whether an order is none of this journal's, by its intent or by its cid: whatever is latched, it is left alone."""
        return order.external and not self.wrote(order.cid)

    def life_ended(self, order: Order) -> int:
        """Venue ns by which the life that intended an order was over; 0 while it lasts."""
        return min((ts for epoch, ts in self.begun.items() if epoch > order.epoch), default=0)

    def digest(self) -> str:
        """A hash of what the facts determine; that a recovery ended is not part of it, so it can name its own hash."""
        content = (
            sorted(self.by_number.items()),
            self.past.save(),
            sorted(self.fills.items()),
            sorted(self.positions.items()),
            sorted(self.corrections),
            sorted(self.latches.items()),
            self.account,
            (self.epoch, self.last_number, self.cash_flow, self.cash_base, self.activities.save()),
        )
        return hashlib.blake2b(msgspec.msgpack.encode(content), digest_size=16).hexdigest()

    def _intended(self, fact: Intended) -> None:
        intent = fact.intent
        order = Order(
            number=fact.number,
            cid=cid(self.journal_id, fact.number),
            strategy=intent.strategy,
            source=intent.source,
            instrument=intent.instrument,
            side=intent.side,
            type=intent.type,
            tif=intent.tif,
            qty=intent.qty,
            limit_px=intent.limit_px,
            stop_px=intent.stop_px,
            reduce_only=intent.reduce_only,
            valid_until=intent.valid_until or fact.ts + self._valid_for,
            ts=fact.ts,
            status=OrderStatus.INTENT,
            intent=intent,
            replaces=fact.replaces,
            root=fact.root or fact.number,
            trail_px=intent.trail_px,
            trail_ratio=intent.trail_ratio,
            epoch=fact.epoch,
        )
        self._add(order)
        self.by_source[intent.strategy, intent.source] = fact.number
        if intent.order_class:
            self._begin_group(order, fact)
        elif fact.replaces and (old := self.by_number.get(fact.replaces)) is not None and old.group:
            order.group, order.role = old.group, old.role
            self.groups[order.group].append(order.number)

    def _begin_group(self, first: Order, fact: Intended) -> None:
        """The exits of one request: orders of their own, whose ids the venue will tell."""
        first.group = first.number
        first.role = TARGET if fact.intent.order_class is OrderClass.OCO else ENTRY
        numbers = self.groups[first.number] = [first.number]
        for number, leg in enumerate(fact.intent.legs, first.number + 1):
            order = msgspec.structs.replace(
                first,
                number=number,
                cid="",
                source=leg.source,
                side=leg.side,
                type=leg.type,
                limit_px=leg.limit_px,
                stop_px=leg.stop_px,
                reduce_only=True,
                intent=leg,
                root=number,
                role=TARGET if leg.type is OrderType.LIMIT else GUARD,
            )
            self._add(order)
            self.by_source[leg.strategy, leg.source] = number
            numbers.append(number)

    def _external(self, fact: ExternalSeen) -> None:
        order = Order(
            number=fact.number,
            cid=fact.cid,
            strategy=EXTERNAL,
            source=fact.number,
            instrument=fact.instrument,
            side=fact.side,
            type=fact.type,
            tif=fact.tif,
            qty=fact.qty,
            limit_px=fact.limit_px,
            stop_px=fact.stop_px,
            reduce_only=False,
            valid_until=0,
            ts=fact.ts,
            status=fact.status,
            intent=None,
            venue_order_id=fact.venue_order_id,
            base=fact.filled_qty,
            filled=fact.filled_qty,
            root=fact.number,
        )
        self.last_number = max(self.last_number, self.number_in(fact.cid))  # one that this journal forgot is never given again
        self._add(order)
        self.by_venue_id[fact.venue_order_id] = fact.number

    def _add(self, order: Order) -> None:
        self.by_number[order.number] = order
        self.last_number = max(self.last_number, order.number)
        self._index(order)

    def _changed(self, fact: OrderChanged) -> None:
        order = self.by_number.get(fact.number)
        if order is None:
            return
        order.status = fact.status
        order.tries = max(order.tries, fact.tries)
        order.ambiguous = order.ambiguous or fact.status is OrderStatus.UNKNOWN
        order.unwanted = order.unwanted and fact.status < OrderStatus.PENDING_CANCEL  # from there on the status tells it
        if fact.qty or fact.limit_px or fact.stop_px:
            order.qty, order.limit_px = fact.qty or order.qty, fact.limit_px or order.limit_px
            order.stop_px = fact.stop_px or order.stop_px
        if fact.venue_order_id:
            self._place(order, fact.venue_order_id)
        self._index(order)

    def _place(self, order: Order, venue_order_id: str) -> None:
        if order.venue_order_id not in ("", venue_order_id):
            self.placed.append((order.venue_order_id, order.number))
        order.venue_order_id = venue_order_id
        order.ambiguous = False
        self.by_venue_id[venue_order_id] = order.number

    def _filled(self, fact: Filled) -> None:
        key = (fact.venue_order_id, fact.cum_qty)
        if key in self.fills:
            return
        order = self.by_number.get(fact.number)
        if order is None:
            self.past.fill(fact.number, fact.px, fact.qty)
        else:
            self.keep_fill(key, Booked(fact.number, fact.px, fact.qty, fact.execution_id))
        signed = fact.qty if fact.side is Side.BUY else -fact.qty
        self._move(fact.strategy, fact.instrument, signed)
        instrument = self.instruments[fact.instrument]
        self.cash_flow -= fact.px * signed * instrument.multiplier // 10**instrument.qty_exp + fact.fee
        if order is not None:
            order.filled += fact.qty
            if not order.venue_order_id:
                self._place(order, fact.venue_order_id)
            self._index(order)

    def keep_fill(self, key: tuple[str, int], fill: Booked) -> None:
        """Remember what a fill said."""
        self.fills[key] = fill
        self.fills_of.setdefault(fill.number, []).append(key)
        if fill.execution_id:
            self.executions[fill.execution_id] = key

    def _corrected(self, fact: PositionAdjusted) -> None:
        """An execution that was taken back or changed: its order has filled so much less or more, and the cash moved."""
        self.corrections.add(fact.reason)
        event, execution, name = correction_of(fact.reason)
        if event not in CORRECTIONS:
            return
        self.cash_flow -= fact.cost
        key = self.executions.get(execution)
        if key is None:  # an earlier program kept every order whole, also this one that was let go
            return
        old = self.fills[key]
        order = self.by_number[old.number]
        order.filled += fact.qty if order.side is Side.BUY else -fact.qty
        self.touched.add(order.number // CHUNK)
        del self.executions[execution]
        if event == BUST:
            self.busted[key] = fact.ts
            del self.fills[key]  # a later execution may come to the same quantity
            self.fills_of[order.number].remove(key)
        else:
            self.corrected.add(key)
            self.fills[key] = self._rebooked(old, fact, order.side, name)
            self.executions[name] = key

    def _rebooked(self, old: Booked, fact: PositionAdjusted, side: Side, name: str) -> Booked:
        """What a fill is after a correction; its price from what it cost, exact but for fractions of a share."""
        instrument = self.instruments[fact.instrument]
        sign = 1 if side is Side.BUY else -1
        qty = old.qty + sign * fact.qty
        value = old.px * old.qty + sign * fact.cost * 10**instrument.qty_exp // instrument.multiplier
        px = -(-value // qty) if side is Side.BUY else value // qty  # the cost was rounded down, signed
        return Booked(old.number, px, qty, name)

    def _cash(self, fact: CashMoved) -> None:
        if fact.type == BASE:
            self.cash_base = fact.net if fact.counted else None
            return
        if fact.activity_id:
            self.activities.add(fact.activity_id, fact.ts)
        if fact.counted:
            self.cash_flow += fact.net
        if fact.type == UNEXPLAINED:
            self.unexplained_cash += fact.net

    def _move(self, strategy: int, instrument: int, qty: int) -> None:
        own = self.held.get((strategy, instrument), 0) + qty
        if own:
            self.held[strategy, instrument] = own
        else:
            self.held.pop((strategy, instrument), None)
        position = self.positions.get(instrument, 0) + qty
        if position:
            self.positions[instrument] = position
        else:
            self.positions.pop(instrument, None)

    def _index(self, order: Order) -> None:
        self.touched.add(order.number // CHUNK)
        over = order.status >= _FINAL
        if over:
            self.open.pop(order.number, None)
        else:
            self.open[order.number] = order
        if order.group:
            over = over and not any(number in self.open for number in reversed(self.groups.get(order.group, ())))
        self.past.settle(order.group or order.number, over)

    # -------------------------------------------------------------------------------------------- orders that are let go
    def _let_go(self) -> list[Order]:
        """The orders of the oldest requests of those that are over."""
        gone: list[Order] = []
        while self.past.full > 0:
            request, _ = self.past.settled.popitem(last=False)
            gone += [self._drop(number) for number in self.groups.pop(request, [request])]
        return gone

    def _drop(self, number: int) -> Order:
        order = self.by_number.pop(number)
        keys = self.fills_of.pop(number, [])
        booked = [self.fills.pop(key) for key in keys]
        self.past.add(order, booked, self.last_ts)
        for fill in booked:
            self.executions.pop(fill.execution_id, None)
        self.corrected.difference_update(keys)
        if not order.external:
            self.by_source.pop((order.strategy, order.source), None)
        for venue_id in [v for v, n in self.placed if n == number] if self.placed else ():
            self.by_venue_id.pop(venue_id, None)
            self.placed.remove((venue_id, number))
        self.by_venue_id.pop(order.venue_order_id, None)
        for key in [key for key in self.busted if key[0] == order.venue_order_id] if self.busted else ():
            del self.busted[key]
        self.touched.add(number // CHUNK)
        return order

    def told_by(self, facts: Iterable[OrderFact]) -> "Orders":
        """What the facts of some orders alone come to."""
        told = Orders(self.journal_id, self.instruments, self._valid_for)
        for fact in facts:
            told._fold(fact)
        return told

    def _recalled(self, fact: Recalled) -> None:
        """Take back what was let go, as its own facts tell it; positions and cash have them since they were new."""
        told = self.told_by(fact.facts)
        self.groups |= told.groups
        for number, order in told.by_number.items():
            if number in self.by_number:
                continue
            self.past.remove(number)
            self._add(order)
            if not order.external:
                self.by_source[order.strategy, order.source] = number
            if order.venue_order_id:
                self.by_venue_id[order.venue_order_id] = number
            for key in told.fills_of.get(number, ()):
                self.keep_fill(key, told.fills[key])
        self.corrected |= told.corrected
        self.busted |= told.busted
        self.placed += told.placed
        self.by_venue_id |= dict(told.placed)
