"""What an order is at the venue: the request as it may be written, the row that is kept, the object that goes out."""

from typing import Any

import msgspec

from pyrt._core.types import Side, format_units, to_units
from pyrt.model import AssetClass, Instrument, OrderType, TimeInForce
from pyrt.venues.sim.times import format_time

FINAL = frozenset({"filled", "canceled", "expired", "rejected", "replaced"})
REPLACEABLE = frozenset({"new", "partially_filled"})
TYPES = {"market": OrderType.MARKET, "limit": OrderType.LIMIT, "stop": OrderType.STOP, "stop_limit": OrderType.STOP_LIMIT}
TIFS = {"day": TimeInForce.DAY, "gtc": TimeInForce.GTC, "ioc": TimeInForce.IOC, "fok": TimeInForce.FOK}
SIDES = {"buy": Side.BUY, "sell": Side.SELL}
INTENTS = ("buy_to_open", "buy_to_close", "sell_to_open", "sell_to_close")
SHARE = 1_000_000_000  # px units of 1.00

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


def _number(body: Body, key: str, exp: int) -> int | None:
    value = body.get(key)
    if value is None or value == "":
        return None
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise VenueRefusal(400, 40010000, f"request body format is invalid: {key} is not a number")
    try:
        return to_units(value, exp)
    except ValueError:
        raise invalid(f"invalid {key}: {value}", 40010001) from None


def _choice(body: Body, key: str, among: dict[str, Any]) -> Any:
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


def _prices(body: Body, kind: OrderType) -> tuple[int, int]:
    limit, stop = _number(body, "limit_price", 9), _number(body, "stop_price", 9)
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


def _unbuilt(body: Body) -> None:
    if body.get("notional") not in (None, ""):
        if body.get("qty") not in (None, ""):
            raise invalid("only one of qty or notional is accepted", 40010001)
        raise invalid("notional orders are not supported by this venue yet: give qty", 40010001)
    if body.get("order_class") not in (None, "", "simple"):
        raise invalid(f"order_class {body['order_class']!r} is not supported by this venue yet", 40010001)
    for key in ("trail_price", "trail_percent", "take_profit", "stop_loss", "legs"):
        if body.get(key) is not None:
            raise invalid(f"{key} is not supported by this venue yet", 40010001)


def refuse_unreadable(body: Body) -> None:
    """What no JSON can hold (lone surrogates from an escape) must not come to rest in the state. Raises VenueRefusal 400."""
    try:
        msgspec.json.encode(body)
    except (UnicodeEncodeError, TypeError, ValueError):
        raise VenueRefusal(400, 40010000, "request body format is invalid") from None


def read_terms(body: Body, instrument: Instrument, fractionable: bool) -> Terms:
    """A POST body as Terms. Raises VenueRefusal with the first rule that it breaks."""
    _unbuilt(body)
    side, kind, tif = _choice(body, "side", SIDES), _choice(body, "type", TYPES), _choice(body, "time_in_force", TIFS)
    qty = _number(body, "qty", instrument.qty_exp)
    if qty is None:
        raise invalid("qty or notional is required", 40010001)
    if qty <= 0:
        raise invalid("qty must be > 0", 40010001)
    one = 10**instrument.qty_exp
    if qty % one and not fractionable:
        raise invalid(f"asset {instrument.symbol} is not fractionable")
    if qty % one and tif is not TimeInForce.DAY and instrument.asset_class != AssetClass.CRYPTO:
        raise invalid("fractional orders must be DAY orders")
    limit_px, stop_px = _prices(body, kind)
    extended = body.get("extended_hours") or False
    if not isinstance(extended, bool):
        raise VenueRefusal(400, 40010000, "request body format is invalid: extended_hours is not a boolean")
    if extended and (kind is not OrderType.LIMIT or tif not in (TimeInForce.DAY, TimeInForce.GTC)):
        raise invalid('only type="limit" is allowed for extended hours orders', 40010001)
    intent = body.get("position_intent") or ""
    if intent and (intent not in INTENTS or not intent.startswith(side.name.lower())):
        raise invalid(f"position_intent {intent!r} does not fit side {side.name.lower()}", 40010001)
    cid = read_cid(body)
    return Terms(
        side=side, type=kind, tif=tif, qty=qty, limit_px=limit_px, stop_px=stop_px, extended=extended, cid=cid, intent=intent
    )


def read_cid(body: Body) -> str:
    """The client_order_id of a request; "" = the venue makes one."""
    cid = body.get("client_order_id")
    if cid is None or cid == "":
        return ""
    if not isinstance(cid, str):
        raise VenueRefusal(400, 40010000, "request body format is invalid: client_order_id is not a string")
    if len(cid) > 128:
        raise invalid("client_order_id must be no more than 128 characters", 40010001)
    return cid


def replaced_terms(body: Body, old: "Row", instrument: Instrument) -> Terms:
    """A PATCH body laid over a working order; qty is the new total. Raises VenueRefusal."""
    one = 10**instrument.qty_exp
    qty = _number(body, "qty", instrument.qty_exp)
    if qty is not None and (qty <= 0 or qty % one):
        raise invalid("qty must be a whole number of shares > 0", 40010001)
    merged = {
        "limit_price": body.get("limit_price") or (format_units(old.limit_px) if old.limit_px else None),
        "stop_price": body.get("stop_price") or (format_units(old.stop_px) if old.stop_px else None),
    }
    if body.get("trail") is not None:
        raise invalid("trail is allowed for trailing stop orders only", 40010001)
    limit_px, stop_px = _prices(merged, old.type)
    tif = _choice(body, "time_in_force", TIFS) if body.get("time_in_force") else old.tif
    qty = old.qty if qty is None else qty
    if qty <= old.base + old.filled:
        raise invalid("qty must be greater than the filled quantity", 40010001)
    cid = read_cid(body)
    return Terms(side=old.side, type=old.type, tif=tif, qty=qty, limit_px=limit_px, stop_px=stop_px, extended=old.extended, cid=cid)


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

    @property
    def leaves(self) -> int:
        """What may still fill."""
        return 0 if self.status in FINAL else self.qty - self.base - self.filled


def average(traded: int, qty: int) -> int:
    """Px units, rounded half up to 1e-9."""
    return (2 * traded + qty) // (2 * qty)


def show(row: Row, qty_exp: int) -> Body:
    """The order object of Alpaca's REST and streams: every key, unused ones null."""
    kind = row.type.name.lower()
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
        "failed_at": None,
        "replaced_at": time_or_none(row.replaced_at),
        "replaced_by": row.replaced_by,
        "replaces": row.replaces,
        "asset_id": row.asset,
        "symbol": row.symbol,
        "asset_class": "crypto" if "/" in row.symbol else "us_equity",
        "notional": None,
        "qty": format_units(row.qty, qty_exp),
        "filled_qty": format_units(row.filled, qty_exp),
        "filled_avg_price": format_units(average(row.traded, row.filled)) if row.filled else None,
        "order_class": "",
        "order_type": kind,
        "type": kind,
        "side": row.side.name.lower(),
        "position_intent": row.intent,
        "time_in_force": row.tif.name.lower(),
        "limit_price": format_units(row.limit_px) if row.limit_px else None,
        "stop_price": format_units(row.stop_px) if row.stop_px else None,
        "status": row.status,
        "extended_hours": row.extended,
        "legs": None,
        "trail_percent": None,
        "trail_price": None,
        "hwm": None,
        "subtag": None,
        "source": None,
        "ratio_qty": None,
    }
