"""The verbs: what components ask of the shell (commands), what the shell tells them (events), and the ports behind it.

A component is a plain object with `on(event, now) -> list of commands` and `apply(fact)`. `on` decides; `apply` is the only
thing that changes durable state, so replaying the journal's facts rebuilds it. The session appends a fact, then applies it to
every component, before it looks at the next command.
"""

from collections.abc import Callable
from enum import IntEnum
from typing import Protocol

import msgspec

from pyrt._core.types import Clock, Side
from pyrt.clock import Now, VenueClock
from pyrt.model import (
    Approved,
    CancelIntent,
    Fact,
    Intent,
    Message,
    OrderClass,
    OrderFact,
    OrderType,
    Refused,
    ReplaceIntent,
    TimeInForce,
)


class Sync(IntEnum):
    """When an appended record must be on stable storage."""

    BEFORE_ACT = 1  # class A: before any command of the same or a later step leaves the process
    SOON = 2  # class B: with the next group, within 10 ms
    LAZY = 3  # class C: may be dropped, counted


# ---------------------------------------------------------------------------------------------------- commands
class Append(Message, frozen=True, kw_only=True):
    """Journal a fact. Commands that follow it in the same list are released only when it is as durable as `sync` demands."""

    fact: Fact
    sync: Sync


class OrderRequest(Message, frozen=True, kw_only=True):
    """An order in the venue's words; numbers are decimal text."""

    number: int
    cid: str
    symbol: str
    side: Side
    type: OrderType
    tif: TimeInForce
    qty: str
    limit_price: str = ""
    stop_price: str = ""
    extended_hours: bool = False
    trail_price: str = ""
    trail_percent: str = ""
    order_class: OrderClass = OrderClass.SIMPLE
    take_profit: str = ""  # limits and stops of the exits
    stop_loss: str = ""
    stop_loss_limit: str = ""


class Submit(Message, frozen=True, kw_only=True):
    """POST an order once. The answer comes as SubmitResult with the same number and attempt."""

    request: OrderRequest
    attempt: int
    valid_until: int  # venue ns; the shell does not begin after it and answers NOT_SENT


class Replace(Message, frozen=True, kw_only=True):
    """PATCH a working order once; `request` is the whole new order with a cid of its own.

    Answer: SubmitResult of the new number.
    """

    venue_order_id: str
    request: OrderRequest
    attempt: int
    valid_until: int


class Cancel(Message, frozen=True, kw_only=True):
    """DELETE one order, in the reserved lane. Answer: CancelResult."""

    number: int
    venue_order_id: str
    symbol: str


class CancelAll(Message, frozen=True, kw_only=True):
    """DELETE every open order of the account in one request, in the reserved lane. Answer: AllCancelled of the same call."""

    call: int


class Withdraw(Message, frozen=True, kw_only=True):
    """End an attempt that has not begun: it answers NOT_SENT at once. Nothing where its request may have left, or is over."""

    number: int


class Lookup(Message, frozen=True, kw_only=True):
    """GET one order by cid, or by the venue's id where that is given. Answer: LookupResult."""

    number: int
    cid: str
    venue_order_id: str = ""  # of an order whose cid is not ours: it is asked for by this


class TakeSnapshot(Message, frozen=True, kw_only=True):
    """Read account, positions, open orders, all orders and fill activities since `since` (venue ns), paged to the end.

    Answer: VenueSnapshot or QueryFailed.
    """

    query: int
    since: int
    urgent: bool = False  # a kill or a stop waits for it: it goes before what else is read


class Recall(Message, frozen=True, kw_only=True):
    """Read from the journal what it has of an order that was let go. Answered by Remembered."""

    number: int  # 0: only what the venue calls it is known
    venue_order_id: str = ""


class SetTimer(Message, frozen=True, kw_only=True):
    """Wake the component that asked with TimerFired(key) at `at`; the same key again moves it; at 0 removes it."""

    key: str
    at: int
    clock: Clock


class Publish(Message, frozen=True, kw_only=True):
    """Tell the other components (in one process: routed by type) and whoever listens on the bus."""

    message: Message


class Alarm(Message, frozen=True, kw_only=True):
    """Tell a human, now."""

    severity: str
    code: str
    text: str


Command = Append | Submit | Replace | Cancel | CancelAll | Withdraw | Lookup | TakeSnapshot | Recall | SetTimer | Publish | Alarm


# ---------------------------------------------------------------------------------------------------- events
class VenueOrder(Message, frozen=True, kw_only=True):
    """An order as the venue shows it; numbers are decimal text, times ns UTC, status in the venue's word."""

    id: str
    cid: str
    symbol: str
    side: Side
    type: str
    tif: str
    qty: str  # "" for a notional order
    filled_qty: str
    filled_avg_price: str = ""
    limit_price: str = ""
    stop_price: str = ""
    status: str = ""
    created_at: int = 0
    updated_at: int = 0
    replaces: str = ""
    replaced_by: str = ""
    order_class: str = ""  # "" = simple
    trail_price: str = ""
    trail_percent: str = ""
    legs: "tuple[VenueOrder, ...]" = ()  # of a group's first order, where the venue shows them


class VenueFill(Message, frozen=True, kw_only=True):
    """A FILL activity; `cum_qty` with `order_id` is the fill's identity."""

    activity_id: str
    order_id: str
    symbol: str
    side: Side
    price: str
    qty: str
    cum_qty: str
    ts: int


class VenueActivity(Message, frozen=True, kw_only=True):
    """An entry of the account beside its trades: money moved, a fee, a dividend, a split. Numbers are decimal text."""

    activity_id: str
    type: str  # the venue's word: CSD, CSW, JNLC, FEE, DIV, INT, SPLIT ...
    net: str  # money, "" = none
    symbol: str = ""
    qty: str = ""  # signed; of a split what is taken away, then what is given
    ts: int = 0


class VenuePosition(Message, frozen=True, kw_only=True):
    """A position as the venue shows it; qty is signed decimal text."""

    symbol: str
    qty: str
    avg_entry_price: str
    price: str = ""  # at which the venue values one of it; "" = it does not say


class VenueAccount(Message, frozen=True, kw_only=True):
    """The account as the venue shows it; money is decimal text."""

    id: str
    cash: str
    buying_power: str
    equity: str
    last_equity: str
    multiplier: str
    blocked: bool
    settled: str = ""  # "" = not told
    shorting: bool = True
    fractional: bool = True
    crypto: bool = True
    options_level: int = 0
    accrued: str = ""  # fees that are taken off the balances by now and are told as activities after the day's end; "" = not told


class Outcome(IntEnum):
    """What one attempt to submit or replace proved."""

    ACCEPTED = 1  # 2xx with an order of our cid
    DUPLICATE = 2  # 422: this cid exists at the venue
    NOT_SENT = 3  # no byte of the request left: connect, DNS or TLS failure, or past valid_until
    RATE_LIMITED = 4  # 429 with JSON or rate headers
    REJECTED = 5  # another 4xx with a body in the venue's shape
    AMBIGUOUS = 6  # time-out, reset, 5xx, unparsable: it may have been accepted


class SubmitResult(Message, frozen=True, kw_only=True):
    """The end of one attempt."""

    number: int
    attempt: int
    outcome: Outcome
    order: VenueOrder | None = None
    http: int = 0
    code: int = 0
    text: str = ""
    retry_at_mono: int = 0  # RATE_LIMITED: not before
    sent_mono: int = 0  # when the first byte left; 0 = none did, or it is not known


class CancelResult(Message, frozen=True, kw_only=True):
    """The answer to a Cancel: `accepted` on 204; otherwise http, code and text say why.

    404: unknown; 422: not cancelable; 0: no answer.
    """

    number: int
    venue_order_id: str
    accepted: bool
    http: int = 0
    code: int = 0
    text: str = ""


class AllCancelled(Message, frozen=True, kw_only=True):
    """The answer to a CancelAll. It ends no order: that the venue shows of each.

    http 207: `taken` and `refused` are the venue's ids of the orders that it cancels and of those that it does not; 0: no answer.
    """

    call: int
    http: int = 0
    taken: tuple[str, ...] = ()
    refused: tuple[str, ...] = ()
    code: int = 0
    text: str = ""


class Found(IntEnum):
    """What a look-up proved."""

    FOUND = 1
    ABSENT = 2  # 404 in the venue's shape
    FAILED = 3  # nothing


class LookupResult(Message, frozen=True, kw_only=True):
    """The answer to a Lookup."""

    number: int
    found: Found
    order: VenueOrder | None = None
    text: str = ""


class VenueSnapshot(Message, frozen=True, kw_only=True):
    """Everything the venue told for one TakeSnapshot; complete, or it is a QueryFailed instead."""

    query: int
    begun: int  # venue ns when the first request left
    since: int
    account: VenueAccount
    positions: tuple[VenuePosition, ...]
    orders: tuple[VenueOrder, ...]  # open ones, and all submitted since `since`
    fills: tuple[VenueFill, ...]
    activities: tuple[VenueActivity, ...] | None = ()  # of the last days, those before `since` too; None: not told


class QueryFailed(Message, frozen=True, kw_only=True):
    """A query that ended without a whole answer: nothing may be concluded from it."""

    query: int
    text: str
    final: bool = False  # the keys were refused: asking again does not help


class Remembered(Message, frozen=True, kw_only=True):
    """What the journal has of an order, and of the group that it belongs to."""

    number: int  # as the Recall had them
    venue_order_id: str
    facts: tuple[OrderFact, ...] = ()  # in order; none: it has nothing
    unread: str = ""  # why the journal could not be read


class TradeUpdate(Message, frozen=True, kw_only=True):
    """One event of the trading stream. price, qty: of this execution, "" where there is none."""

    event: str
    order: VenueOrder
    ts: int
    price: str = ""
    qty: str = ""
    execution_id: str = ""
    position_qty: str = ""
    previous_execution_id: str = ""  # of a bust or a correction: what it takes back or changes


class StreamState(Message, frozen=True, kw_only=True):
    """A stream went up or down. Each rise means that something may have been missed before it."""

    stream: str  # "data", "trading"
    up: bool
    text: str = ""
    final: bool = False  # will not come back by itself (keys refused, no permission)
    without: tuple[str, ...] = ()  # symbols of which it does not tell all that is wanted, whatever was asked


class ClockMeasured(Message, frozen=True, kw_only=True):
    """The venue's clock against ours; `uncertainty` is half the round trip, ns."""

    clock: VenueClock
    uncertainty: int


class TimerFired(Message, frozen=True, kw_only=True):
    """A timer that SetTimer asked for is due."""

    key: str
    at: int
    clock: Clock


class Kill(Message, frozen=True, kw_only=True):
    """Close the latch of a scope at a level, and cancel what it covers. level: REDUCING, HALTED or KILLED.

    everything: the orders of others on the account too, where the whole of it is HALTED or KILLED.
    """

    level: str
    scope: str
    reason: str
    who: str
    everything: bool = False


class Resume(Message, frozen=True, kw_only=True):
    """A human opens a latch."""

    scope: str
    who: str
    why: str


class SetLimits(Message, frozen=True, kw_only=True):
    """A human changes limits. `limits`: JSON of those that change; `token` confirms what loosens, as RiskManager told it."""

    limits: str
    who: str
    why: str
    token: str = ""


class Explain(Message, frozen=True, kw_only=True):
    """A human explains what the venue has of an instrument beyond the fills; it must be exactly what the last reading shows."""

    instrument: int
    qty: int  # signed, the venue's position minus ours
    strategy: int  # who gets it, or loses it
    px: int  # what one share of it counts as having cost
    who: str
    why: str


class AssetTold(Message, frozen=True, kw_only=True):
    """What the venue says of an instrument now."""

    instrument: int
    tradable: bool
    shortable: bool
    easy_to_borrow: bool
    overnight: bool = False  # it trades from 20:00 to 4:00 New York too


class HistoryTold(Message, frozen=True, kw_only=True):
    """The last days of an instrument, whole sessions alone, oldest first: px and qty units."""

    instrument: int
    closes: tuple[int, ...]
    lows: tuple[int, ...]
    volumes: tuple[int, ...]


class ListTold(Message, frozen=True, kw_only=True):
    """The restricted list as it was read; `names` in one spelling. `error`: why it could not be."""

    names: tuple[str, ...] = ()
    sha256: str = ""
    at: int = 0  # venue ns at which somebody last renewed it
    error: str = ""


class ExitWanted(Message, frozen=True, kw_only=True):
    """Risk wants a strategy's position reduced, or a stop behind it; the session makes an Intent of the strategy of it."""

    strategy: int
    instrument: int
    side: Side
    qty: int
    stop_px: int = 0  # 0 = at the market
    reason: str = ""
    limit_px: int = 0  # where the venue has no stops without a limit


class Start(Message, frozen=True, kw_only=True):
    """The journal is replayed and the streams are being opened: recover."""

    epoch: int


class Stop(Message, frozen=True, kw_only=True):
    """End the session: cancel entries, keep protective exits."""

    reason: str


Event = (
    Intent
    | CancelIntent
    | ReplaceIntent
    | Approved
    | Refused
    | SubmitResult
    | CancelResult
    | AllCancelled
    | LookupResult
    | VenueSnapshot
    | QueryFailed
    | Remembered
    | TradeUpdate
    | StreamState
    | ClockMeasured
    | TimerFired
    | Kill
    | Resume
    | SetLimits
    | Explain
    | AssetTold
    | HistoryTold
    | ListTold
    | ExitWanted
    | Start
    | Stop
)


class Component(Protocol):
    """A pure stage: no clock, socket, file, thread, random number or environment variable."""

    def on(self, event: Event, now: Now) -> list[Command]:
        """Decide. Durable state changes only through the Append commands that it returns."""
        ...

    def apply(self, fact: Fact) -> None:
        """Take in one journaled fact, live or in replay."""
        ...


Sink = Callable[[Event], None]
"""Puts an event into the inbox; may be called from any thread."""


class Broker(Protocol):
    """The order path to a venue. Every verb returns at once; the answer arrives as an event through the sink."""

    def submit(self, command: Submit) -> None: ...

    def replace(self, command: Replace) -> None: ...

    def cancel(self, command: Cancel) -> None: ...

    def cancel_all(self, command: CancelAll) -> None: ...

    def withdraw(self, command: Withdraw) -> None: ...

    def lookup(self, command: Lookup) -> None: ...

    def snapshot(self, command: TakeSnapshot) -> None: ...

    def close(self) -> None: ...


class Subscription(msgspec.Struct, frozen=True, kw_only=True):
    """The wanted set of a data feed."""

    trades: frozenset[str] = frozenset()
    quotes: frozenset[str] = frozenset()
    bars: frozenset[str] = frozenset()
    books: frozenset[str] = frozenset()
    statuses: frozenset[str] = frozenset()


class Feed(Protocol):
    """Market data of a venue; records go to the sink that it was made with, in the order of the wire."""

    async def run(self) -> None:
        """Connect, subscribe, read; reconnect until `close`."""
        ...

    def want(self, subscription: Subscription) -> None:
        """Change the wanted set, now or at the next connection."""
        ...

    async def close(self) -> None: ...
