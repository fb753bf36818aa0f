"""What an order is at the venue: the request as it may be written, the row that is kept, the object that goes out."""

from typing import Any

import msgspec

from pyrt._core.types import Side, format_units, to_units
from pyrt.model import OrderType, TimeInForce
from pyrt.venues.sim.times import format_time

FINAL = frozenset({"filled", "canceled", "expired", "rejected", "replaced"})
REPLACEABLE = frozenset({"new", "partially_filled"})
TYPES = {
    "market": OrderType.MARKET,
    "limit": OrderType.LIMIT,
    "stop": OrderType.STOP,
    "stop_limit": OrderType.STOP_LIMIT,
    "trailing_stop": OrderType.STOP,  # a stop that has a distance
}
TIFS = {tif.name.lower(): tif for tif in TimeInForce}
SIDES = {"buy": Side.BUY, "sell": Side.SELL}
INTENTS = ("buy_to_open", "buy_to_close", "sell_to_open", "sell_to_close")
SHARE = 1_000_000_000  # px units of 1.00
FIRST_CONTRACT = 1 << 16  # instrument ids from here on are option contracts

Body = dict[str, Any]


class VenueRefusal(Exception):
    """The venue says no: HTTP status, Alpaca's code and message, and whatever else the body tells."""

    def __init__(self, http: int, code: int, message: str, **extra: Any) -> None:
        super().__init__(message)
        self.http = http
        self.body: Body = {"code": code, "message": message, **extra}

    @property
    def code(self) -> int:
        """Alpaca's eight digits."""
        return int(self.body["code"])

    @property
    def message(self) -> str:
        """The text of the body."""
        return str(self.body["message"])


def invalid(message: str, code: int = 42210000, **extra: Any) -> VenueRefusal:
    """422: the order as written cannot be."""
    return VenueRefusal(422, code, message, **extra)


def time_or_none(ns: int) -> str | None:
    """RFC 3339 text, or None for 0."""
    return format_time(ns) if ns else None


class Terms(msgspec.Struct, frozen=True, kw_only=True):
    """An order as asked for, checked against the rules that need neither money nor market."""

    side: Side
    type: OrderType
    tif: TimeInForce
    qty: int  # qty units
    limit_px: int = 0  # px units, 0 = none
    stop_px: int = 0
    extended: bool = False
    cid: str = ""
    intent: str = ""
    order_class: str = ""  # "" = simple
    target_px: int = 0  # the take-profit leg's limit
    guard_px: int = 0  # the stop-loss leg's stop
    guard_limit_px: int = 0  # and its limit, 0 = none
    trail_px: int = 0  # a trailing stop's distance: px units,
    trail_ratio: int = 0  # or parts of 1e9
    notional: int = 0  # px units of money; then qty is an estimate

    @property
    def trails(self) -> bool:
        """Whether this is a trailing stop."""
        return bool(self.trail_px or self.trail_ratio)

    @property
    def by_money(self) -> bool:
        """Whether how many shares it is for is known only when it trades."""
        return bool(self.notional) and self.type is OrderType.MARKET


def read_number(body: Body, key: str, exp: int) -> int | None:
    """A decimal of a request as units of 10^-exp; None = not given. Raises VenueRefusal."""
    value = body.get(key)
    if value is None or value == "":
        return None
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise VenueRefusal(400, 40010000, f"request body format is invalid: {key} is not a number")
    try:
        return to_units(value, exp)
    except ValueError:
        raise invalid(f"invalid {key}: {value}", 40010001) from None


def read_choice(body: Body, key: str, among: dict[str, Any]) -> Any:
    """One of the words that a field may have. Raises VenueRefusal."""
    value = body.get(key)
    if not isinstance(value, str) or value not in among:
        what = "is required" if value in (None, "") else f"{value!r} is not supported: use one of {', '.join(among)}"
        raise invalid(f"{key} {what}", 40010001)
    return among[value]


def check_price(px: int, name: str) -> int:
    """A price at or above 1.00 has at most two decimals, below it four; above zero in any case."""
    if px <= 0:
        raise invalid(f"{name.replace('_', ' ')} must be > 0", 40010001)
    if px % (10_000_000 if px >= SHARE else 100_000):
        text = f"invalid {name} {format_units(px)}. sub-penny increment does not fulfill minimum pricing criteria"
        raise invalid(text)
    return px


def read_prices(body: Body, kind: OrderType) -> tuple[int, int]:
    """Limit and stop price as the type wants them, 0 = none. Raises VenueRefusal."""
    limit, stop = read_number(body, "limit_price", 9), read_number(body, "stop_price", 9)
    if kind is OrderType.MARKET and (limit is not None or stop is not None):
        raise invalid("market orders require no stop or limit price", 40010001)
    if kind is OrderType.LIMIT and stop is not None:
        raise invalid("limit orders require only limit price", 40010001)
    if kind is OrderType.STOP and limit is not None:
        raise invalid("stop orders require only stop price", 40010001)
    if kind in (OrderType.LIMIT, OrderType.STOP_LIMIT) and limit is None:
        raise invalid(f"{kind.name.lower()} orders require limit price", 40010001)
    if kind in (OrderType.STOP, OrderType.STOP_LIMIT) and stop is None:
        raise invalid(f"{kind.name.lower()} orders require stop price", 40010001)
    return check_price(limit, "limit_price") if limit is not None else 0, check_price(stop, "stop_price") if stop is not None else 0


def refuse_unreadable(body: Body) -> None:
    """What no JSON can hold (lone surrogates from an escape) must not come to rest in the state. Raises VenueRefusal 400."""
    try:
        msgspec.json.encode(body)
    except (UnicodeEncodeError, TypeError, ValueError):
        raise VenueRefusal(400, 40010000, "request body format is invalid") from None


class Row(msgspec.Struct, kw_only=True):
    """One order as the exchange keeps it; times ns UTC, 0 = not yet."""

    number: int  # place in the exchange's book of orders, from 1; the matcher's name for it
    id: str
    cid: str
    account: str
    instrument: int
    symbol: str
    asset: str
    side: Side
    type: OrderType
    tif: TimeInForce
    qty: int
    limit_px: int
    stop_px: int
    extended: bool
    intent: str
    opening: bool  # reserves buying power
    unit_px: int  # px units reserved for each unit of leaves; 0 where not opening
    status: str
    created_at: int
    updated_at: int
    expires_at: int = 0
    filled_at: int = 0
    expired_at: int = 0
    canceled_at: int = 0
    replaced_at: int = 0
    replaced_by: str | None = None
    replaces: str | None = None
    base: int = 0  # what the orders that it replaced traded: part of qty
    filled: int = 0  # its own fills
    traded: int = 0  # sum of px * qty of its fills
    working: bool = False  # in the matcher
    triggered: bool = False  # its stop was reached
    order_class: str = ""  # "" = simple
    group: int = 0  # number of the order with which its group began; 0 = simple
    role: str = ""  # in the group: "entry", "take_profit", "stop_loss"
    legs: list[int] = msgspec.field(default_factory=list)  # numbers, of the parent
    parent: int = 0  # number, of a leg
    waits: bool = False  # a leg whose entry is not filled yet
    notional: int = 0  # px units of money; 0 = by quantity
    trail_px: int = 0  # px units
    trail_ratio: int = 0  # parts of 1e9
    hwm: int = 0  # px units; while it works the matcher knows better
    failed_at: int = 0
    pending: str = ""  # "pending_cancel", "pending_replace": what is under way to the matcher
    flying: bool = False  # the order itself is under way to the matcher
    successor: int = 0  # number of the order that is under way to replace it
    held: int = 0  # qty units of the position that it holds back
    reserved: int = 0  # money units that it holds back
    busted: int = 0  # of qty, what was filled and taken back: it is not worked again
    ratio: int = 0  # of a leg of a multi-leg order: its contracts in one unit

    @property
    def is_pair(self) -> bool:
        """Whether it is for a pair of currencies, which trades at all hours."""
        return "/" in self.symbol

    @property
    def spent(self) -> int:
        """What of qty is not worked again: traded, by this order or by those that it replaced, or taken back."""
        return self.base + self.filled + self.busted

    @property
    def leaves(self) -> int:
        """What may still fill."""
        return 0 if self.status in FINAL else max(0, self.qty - self.spent)

    def follow_on(self, old: "Row") -> None:
        """Count what the order that this one replaces has traded, and what of it was taken back."""
        self.base, self.busted = old.base + old.filled, old.busted

    def stays_reached(self, old: "Row") -> bool:
        """Whether a stop was reached as the order that this one replaces: not where it has another price."""
        same = (self.stop_px, self.trail_px, self.trail_ratio) == (old.stop_px, old.trail_px, old.trail_ratio)
        return old.triggered and same

    @property
    def shown_status(self) -> str:
        """The status as it is told: what is under way comes first."""
        return self.pending if self.pending and self.status not in FINAL else self.status

    @property
    def trails(self) -> bool:
        """Whether this is a trailing stop."""
        return bool(self.trail_px or self.trail_ratio)

    @property
    def by_money(self) -> bool:
        """Whether how many shares it is for is known only when it has traded."""
        return bool(self.notional) and self.type is OrderType.MARKET

    @property
    def trail_stop_px(self) -> int:
        """Where a trailing stop stands; 0 = the market told no price since it was accepted."""
        off = self.trail_px or self.hwm * self.trail_ratio // SHARE
        return (self.hwm + off if self.side is Side.BUY else max(0, self.hwm - off)) if self.hwm else 0


def average(traded: int, qty: int) -> int:
    """Px units, rounded half up to 1e-9."""
    return (2 * traded + qty) // (2 * qty)


def _px(units: int) -> str | None:
    return format_units(units) if units else None


def asset_class(row: Row) -> str:
    """As the venue writes it."""
    if row.instrument >= FIRST_CONTRACT:
        return "us_option"
    return "crypto" if row.is_pair else "us_equity"


def show(row: Row, qty_exp: int, legs: list[Body] | None = None) -> Body:
    """The order object of Alpaca's REST and streams: every key, unused ones null."""
    kind = "trailing_stop" if row.trails else row.type.name.lower()
    return {
        "id": row.id,
        "client_order_id": row.cid,
        "created_at": format_time(row.created_at),
        "updated_at": format_time(row.updated_at),
        "submitted_at": format_time(row.created_at),
        "filled_at": time_or_none(row.filled_at),
        "expired_at": time_or_none(row.expired_at),
        "expires_at": time_or_none(row.expires_at),
        "canceled_at": time_or_none(row.canceled_at),
        "failed_at": time_or_none(row.failed_at),
        "replaced_at": time_or_none(row.replaced_at),
        "replaced_by": row.replaced_by,
        "replaces": row.replaces,
        "asset_id": row.asset,
        "symbol": row.symbol,
        "asset_class": asset_class(row),
        "notional": _px(row.notional),
        "qty": None if row.notional else format_units(row.qty, qty_exp),
        "filled_qty": format_units(row.filled, qty_exp),
        "filled_avg_price": format_units(average(row.traded, row.filled)) if row.filled else None,
        "order_class": row.order_class,
        "order_type": kind,
        "type": kind,
        "side": row.side.name.lower(),
        "position_intent": row.intent,
        "time_in_force": row.tif.name.lower(),
        "limit_price": _px(row.limit_px),
        "stop_price": _px(row.trail_stop_px if row.trails else row.stop_px),
        "status": row.shown_status,
        "extended_hours": row.extended,
        "legs": legs,
        "trail_percent": format_units(row.trail_ratio, 7) if row.trail_ratio else None,
        "trail_price": _px(row.trail_px),
        "hwm": _px(row.hwm),
        **dict.fromkeys(("subtag", "source", "ratio_qty")),
    }
