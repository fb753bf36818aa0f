"""The nouns. Signal -> Intent -> Approved | Refused -> order at the venue -> Fill -> Position.

Integers in fields named `*_px` are prices in 1e-9 units; `qty` fields are in units of 10^-qty_exp of their instrument;
times are ns UTC of the venue's clock unless the name ends in `_mono`.
"""

from collections.abc import Iterator
from decimal import Context, Decimal
from enum import IntEnum

import msgspec

from pyrt._core.types import PX_SCALE, Side, format_units, from_units, to_units
from pyrt.errors import OrderError

Number = int | float | str | Decimal

EXTERNAL = 0  # the strategy id of orders and shares that nobody here claims


class OrderType(IntEnum):
    """How an order names its price."""

    MARKET = 1
    LIMIT = 2
    STOP = 3
    STOP_LIMIT = 4
    TRAILING_STOP = 5  # a stop that follows the best price at a distance


class TimeInForce(IntEnum):
    """How long an order works."""

    DAY = 1
    GTC = 2
    IOC = 3
    FOK = 4
    OPG = 5  # the opening auction
    CLS = 6  # the closing auction


class OrderClass(IntEnum):
    """Which orders belong together, as one request."""

    SIMPLE = 0
    BRACKET = 1  # an entry and, once it is filled, a take-profit and a stop that share its shares
    OCO = 2  # a take-profit and a stop for shares that are held
    OTO = 3  # an entry and one exit


class AssetClass(IntEnum):
    """What an instrument is."""

    US_EQUITY = 1
    CRYPTO = 2
    OPTION = 3  # a contract on a US equity; its prices are per share, its multiplier is 100


class Venue(IntEnum):
    """Where an instrument trades."""

    ALPACA = 1


class OrderStatus(IntEnum):
    """Where an order is in its life; everything from FILLED on is final."""

    INTENT = 1  # durable here, not yet sent
    SENT = 2  # a request is under way
    UNKNOWN = 3  # an attempt was ambiguous: it counts as working until its fate is proved
    ACCEPTED = 4  # working at the venue
    PARTIAL = 5
    PENDING_CANCEL = 6
    PENDING_REPLACE = 7
    HELD = 8
    SUSPENDED = 9
    STOPPED = 10
    DONE_FOR_DAY = 11
    FILLED = 20
    CANCELED = 21
    EXPIRED = 22
    REJECTED = 23  # the venue said no to this cid
    REPLACED = 24
    ABANDONED = 25  # proved absent at the venue, and watched
    CANCELED_LOCAL = 26  # expired or cancelled before any attempt

    @property
    def is_final(self) -> bool:
        """No more fills are expected; a late one is still booked."""
        return self >= OrderStatus.FILLED


class Instrument(msgspec.Struct, frozen=True, kw_only=True):
    """What can be traded, and its units."""

    id: int  # u32, never reused in a journal
    symbol: str
    venue: Venue = Venue.ALPACA
    asset_class: AssetClass = AssetClass.US_EQUITY
    currency: str = "USD"
    tick: int = 10_000_000  # px units: 0.01
    sub_tick: int = 100_000  # px units below 1.00: 0.0001
    lot: int = 1_000_000_000  # qty units: one share
    qty_exp: int = 9
    multiplier: int = 1
    tradable: bool = True
    shortable: bool = True
    easy_to_borrow: bool = True
    min_qty: int = 0  # qty units: the smallest order, 0 = one lot

    def tick_at(self, px: int) -> int:
        """The price increment, in px units, that holds at a price."""
        return self.tick if px >= 1_000_000_000 else self.sub_tick

    def px(self, price: Number) -> int:
        """A price in whole currency units as exact px units. Raises OrderError for a price off the tick, naming its neighbours."""
        px = _units(price, PX_SCALE, "price")
        if px <= 0:
            raise OrderError(f"price {price} is not above zero", where=self.symbol, mend="give a price above 0")
        tick = self.tick_at(px)
        if px % tick:
            below = px - px % tick
            mend = f"use {format_units(below)} or {format_units(below + tick)}, or pass round='down', 'up' or 'nearest'"
            raise OrderError(f"price {price} is off the tick of {format_units(tick)}", where=self.symbol, mend=mend)
        return px

    def qty(self, quantity: Number) -> int:
        """A quantity in whole units as qty units. Raises OrderError where it is not above zero or off the lot."""
        qty = _units(quantity, self.qty_exp, "quantity")
        if qty <= 0:
            raise OrderError(f"quantity {quantity} is not above zero", where=self.symbol, mend="give a quantity above 0")
        if qty % self.lot:
            lot = format_units(self.lot, self.qty_exp)
            what = f"quantity {quantity} is not a multiple of {lot}"
            raise OrderError(what, where=self.symbol, mend=f"round it to a multiple of {lot}")
        return qty

    def price(self, px: int) -> Decimal:
        """Px units as a Decimal in whole currency units."""
        return from_units(px)

    def quantity(self, qty: int) -> Decimal:
        """Qty units as a Decimal in whole units."""
        return from_units(qty, self.qty_exp)


def _units(value: Number, exp: int, name: str) -> int:
    try:
        return to_units(value, exp)
    except (TypeError, ValueError) as e:
        raise OrderError(f"{name}: {e}", mend="pass an int, a str, a Decimal or a float") from None


_WIDE = Context(prec=60)  # a 128-bit number has up to 39 digits; the default of 28 would round


def money(units: int) -> Decimal:
    """Money in 1e-18 units as a Decimal, exactly."""
    return _WIDE.scaleb(Decimal(units), -18)


class Instruments:
    """The instruments of one journal, by id and by symbol."""

    def __init__(self) -> None:
        self._by_id: dict[int, Instrument] = {}
        self._by_symbol: dict[str, Instrument] = {}

    def add(self, instrument: Instrument) -> None:
        """Take in a definition; the same id with other terms is refused by the journal's owner before it comes here."""
        self._by_id[instrument.id] = instrument
        self._by_symbol[instrument.symbol] = instrument

    def next_id(self) -> int:
        """The id that a new instrument gets."""
        return max(self._by_id, default=0) + 1

    def get(self, symbol: str) -> Instrument | None:
        """The instrument of a symbol, or None."""
        return self._by_symbol.get(symbol)

    def known(self, number: int) -> Instrument | None:
        """The instrument of an id, or None."""
        return self._by_id.get(number)

    def __getitem__(self, key: int | str) -> Instrument:
        return self._by_id[key] if isinstance(key, int) else self._by_symbol[key]

    def __contains__(self, key: int | str) -> bool:
        return key in (self._by_id if isinstance(key, int) else self._by_symbol)

    def __iter__(self) -> Iterator[Instrument]:
        return iter(self._by_id.values())

    def __len__(self) -> int:
        return len(self._by_id)


class Message(msgspec.Struct, frozen=True, kw_only=True, tag=True, tag_field="kind", gc=False):
    """Anything that passes between components, is recorded in the inbox or stored in the journal.

    On a wire its tag, in `kind`, is its class name. A value made of values cannot be part of a cycle, so the collector need not
    look at it: some ten of them are made for an order.
    """


# ---------------------------------------------------------------------------------------------------- decisions
class Signal(Message, frozen=True, kw_only=True):
    """A strategy's or a model's opinion; a sizer turns it into an Intent. At most once; expires."""

    strategy: int
    instrument: int
    action: str  # "buy", "sell", "close"
    confidence: float  # 0..1
    ts: int
    valid_until: int


class Intent(Message, frozen=True, kw_only=True):
    """An order that a strategy wants. (strategy, source) is its identity: the same pair twice is one order."""

    strategy: int
    source: int  # the strategy's own sequence, from 1
    instrument: int
    side: Side
    type: OrderType
    tif: TimeInForce
    qty: int
    limit_px: int = 0  # 0 = none
    stop_px: int = 0
    reduce_only: bool = False
    extended_hours: bool = False
    valid_until: int = 0  # venue ns; no attempt begins after it
    trail_px: int = 0  # a trailing stop's distance in px units,
    trail_ratio: int = 0  # or in parts of 1e9 of the price
    order_class: OrderClass = OrderClass.SIMPLE
    target_px: int = 0  # limit of the take-profit; of an OCO it is limit_px
    guard_px: int = 0  # stop of the stop-loss,
    guard_limit_px: int = 0  # and its limit; 0 = market
    signal: int = 0  # the strategy's number of the opinion that led to it; 0 = none

    @property
    def key(self) -> int:
        """(strategy, source) as one u64: the reservation's key."""
        return self.strategy << 48 | self.source

    @property
    def trail(self) -> int:
        """A trailing stop's distance as the risk gate takes it: px units, or below 0 parts of 1e9."""
        return self.trail_px or -self.trail_ratio

    @property
    def legs(self) -> "tuple[Intent, ...]":
        """The exits that are one request with it, take-profit first; their sources and numbers follow its own."""
        if self.order_class is OrderClass.SIMPLE:
            return ()
        prices: list[tuple[OrderType, int, int]] = []
        if self.target_px and self.order_class is not OrderClass.OCO:
            prices.append((OrderType.LIMIT, self.target_px, 0))
        if self.guard_px:
            kind = OrderType.STOP_LIMIT if self.guard_limit_px else OrderType.STOP
            prices.append((kind, self.guard_limit_px, self.guard_px))
        same = self.order_class is OrderClass.OCO
        side = self.side if same else Side.SELL if self.side is Side.BUY else Side.BUY
        return tuple(
            msgspec.structs.replace(
                self,
                source=self.source + place,
                side=side,
                type=kind,
                limit_px=limit_px,
                stop_px=stop_px,
                reduce_only=True,
                order_class=OrderClass.SIMPLE,
                target_px=0,
                guard_px=0,
                guard_limit_px=0,
            )
            for place, (kind, limit_px, stop_px) in enumerate(prices, 1)
        )


class Approved(Message, frozen=True, kw_only=True):
    """An Intent that passed every control and holds its reservation. Only the risk gate makes one."""

    intent: Intent
    epoch: int  # of the risk manager
    approval: int  # sequence within the epoch, from 1
    limits_version: int
    ref_px: int  # the reference that the decision saw; 0 = none
    valid_until_mono: int
    replaces: int = 0  # source of the order that it changes, of the same strategy; 0 = a new order


class Breach(Message, frozen=True, kw_only=True):
    """One control that said no, with its numbers as text in whole units."""

    code: str
    limit: str
    observed: str
    rule: str = ""  # of the venue, where the code is BROKER_RULE; see risk/broker_rules.py
    mend: str = ""  # what to change so that it passes


class Refused(Message, frozen=True, kw_only=True):
    """An Intent that risk denied, with every control that failed. Nothing of it reaches the venue."""

    intent: Intent
    breaches: tuple[Breach, ...]
    ts: int


class CancelIntent(Message, frozen=True, kw_only=True):
    """A wish to cancel one order, named by its Intent's identity or by the venue's id."""

    strategy: int
    source: int = 0
    venue_order_id: str = ""


class ReplaceIntent(Message, frozen=True, kw_only=True):
    """A wish to change a working order: a new Intent (own source) that stands in for the one named by `replaces`."""

    replaces: int  # source of the order to change, of the same strategy
    intent: Intent


# ---------------------------------------------------------------------------------------------------- facts (the journal's content)
class Defined(Message, frozen=True, kw_only=True):
    """An instrument got its id."""

    instrument: Instrument


class StrategyNamed(Message, frozen=True, kw_only=True):
    """A strategy got its id."""

    strategy: int
    name: str


class EpochOpened(Message, frozen=True, kw_only=True):
    """A risk manager's life began."""

    epoch: int
    ts: int


class Intended(Message, frozen=True, kw_only=True):
    """The durable intent: from here on the order may be at the venue."""

    number: int  # u64, allotted by the execution engine, from 1; makes the cid
    intent: Intent
    epoch: int
    approval: int
    limits_version: int
    ref_px: int
    replaces: int = 0  # number of the order this one replaces
    root: int = 0  # number of the first of the chain
    ts: int = 0


class OrderChanged(Message, frozen=True, kw_only=True):
    """An order's status, as proved by the venue or decided here before any attempt."""

    number: int
    status: OrderStatus
    venue_order_id: str = ""
    filled_qty: int = 0  # cumulative, as the venue told
    code: int = 0  # the venue's error code of a rejection
    reason: str = ""
    ts: int = 0
    tries: int = 0
    qty: int = 0  # what it is for now, where the venue changed that; 0 = as it was
    limit_px: int = 0  # the same of its prices
    stop_px: int = 0


class CancelWanted(Message, frozen=True, kw_only=True):
    """Nobody wants this order, and where it is is not known: it is cancelled as soon as the venue shows it, in a later life too."""

    number: int
    ts: int


class Filled(Message, frozen=True, kw_only=True):
    """One execution. Identity: (venue_order_id, cum_qty)."""

    number: int  # 0 = not ours
    strategy: int
    instrument: int
    side: Side
    px: int
    qty: int
    cum_qty: int
    venue_order_id: str
    execution_id: str = ""
    activity_id: str = ""
    fee: int = 0  # money in 1e-9 units, >= 0 is paid
    source: str = ""  # "stream", "activity"
    ts: int = 0


class CashMoved(Message, frozen=True, kw_only=True):
    """Cash that moved beside the fills, applied once for each activity of the venue.

    type: the venue's word for it (FEE, DIV, CSD ...); or our own: BASE, the cash from which flows count (`net` is the cash less the
    flow; not counted: none is known any more), and UNEXPLAINED, what no activity told.
    """

    activity_id: str
    type: str
    net: int  # money in 1e-9 units, > 0 came in
    instrument: int = 0  # 0 = of the account
    counted: bool = True  # False: it was there before this journal began
    ts: int


class ExternalSeen(Message, frozen=True, kw_only=True):
    """An order at the venue that is not this journal's: adopted, counted as exposure, attributed to EXTERNAL."""

    number: int  # allotted like an intent's
    venue_order_id: str
    cid: str
    instrument: int
    side: Side
    type: OrderType
    tif: TimeInForce
    qty: int
    limit_px: int
    stop_px: int
    filled_qty: int
    status: OrderStatus
    ts: int


class AccountSeen(Message, frozen=True, kw_only=True):
    """What the venue says of the account; money in 1e-9 units."""

    account_id: str
    cash: int
    buying_power: int
    equity: int
    last_equity: int
    multiplier: int
    blocked: bool
    ts: int
    settled: int | None = None  # what may be spent where nothing can be borrowed; None = not told
    shorting: bool = True  # the account may sell short
    fractional: bool = True  # and trade parts of shares
    crypto: bool = True
    options_level: int = 0  # 0 = no contracts ... 3 = spreads


class BaselineSet(Message, frozen=True, kw_only=True):
    """The equity from which a session day's loss is counted, and the highest since, from which its drawdown is."""

    day: str  # exchange date, YYYY-MM-DD
    equity: int  # money in 1e-9 units
    peak: int | None = None  # None = the equity: the day begins
    ts: int


class Latched(Message, frozen=True, kw_only=True):
    """A latch closed (`level` above ACTIVE) or was opened by a human."""

    level: str  # "ACTIVE", "REDUCING", "HALTED", "KILLED"
    scope: str  # "system", "account", "strategy:3", "instrument:7"
    code: str
    reason: str
    who: str
    ts: int


class LimitsSet(Message, frozen=True, kw_only=True):
    """A version of the limits, as canonical JSON."""

    version: int
    limits: str
    who: str
    why: str
    ts: int


class PositionAdjusted(Message, frozen=True, kw_only=True):
    """Shares that the venue has and no fill explains, booked to EXTERNAL on an operator's word or from a corporate action."""

    instrument: int
    strategy: int
    qty: int  # signed change
    cost: int  # money in 1e-9 units, signed
    reason: str
    ts: int


class BreakSeen(Message, frozen=True, kw_only=True):
    """The venue's position differs from what the fills explain, in two readings; 0: it agrees again."""

    instrument: int
    difference: int  # the venue's minus ours, qty units
    ts: int


class AssetSeen(Message, frozen=True, kw_only=True):
    """What the venue says of an instrument; short sales go by it for a day."""

    instrument: int
    tradable: bool
    shortable: bool
    easy_to_borrow: bool
    overnight: bool
    ts: int


class Recovered(Message, frozen=True, kw_only=True):
    """Start-up recovery ended; `state_hash` is that of the components after it."""

    state_hash: str
    unexplained: int  # instruments whose position no fill explains
    ts: int


class Restored(Message, frozen=True, kw_only=True):
    """The journal was put back from a backup: what came after it is forgotten, and no number up to this one is given again."""

    number: int
    ts: int  # of the last fact that the backup has: the venue's time is not known where a backup is put back


OrderFact = Intended | ExternalSeen | OrderChanged | CancelWanted | Filled | PositionAdjusted


class Recalled(Message, frozen=True, kw_only=True):
    """An order that was over and let go is whole again, with its group: the venue had more to say of it."""

    number: int
    facts: tuple[OrderFact, ...]  # its own, in order
    ts: int


class Alarmed(Message, frozen=True, kw_only=True):
    """Something a human should know."""

    severity: str  # "info", "warning", "critical"
    code: str
    text: str
    ts: int


Fact = (
    Defined
    | StrategyNamed
    | EpochOpened
    | Intended
    | OrderChanged
    | CancelWanted
    | CashMoved
    | Filled
    | ExternalSeen
    | AccountSeen
    | BaselineSet
    | Latched
    | LimitsSet
    | PositionAdjusted
    | BreakSeen
    | AssetSeen
    | Recovered
    | Restored
    | Recalled
    | Alarmed
    | Refused
)
