"""Alpaca's order JSON <-> the structs of the ports.

Unknown fields and enum values pass and are counted; what cannot be read as what it claims to be raises Misbehaved.
"""

import re
from collections import Counter
from datetime import UTC, date, datetime
from decimal import Decimal
from sys import intern
from typing import Any, TypeVar

import msgspec

from pyrt._core.order_text import plain_body
from pyrt._core.types import Side
from pyrt.errors import Misbehaved
from pyrt.model import OrderClass, OrderType, TimeInForce
from pyrt.ports import OrderRequest, TradeUpdate, VenueAccount, VenueActivity, VenueFill, VenueOrder, VenuePosition
from pyrt.venues.alpaca import rows
from pyrt.venues.alpaca.body import Rows, decode

TRADE_EVENTS = frozenset(
    (
        "new", "fill", "partial_fill", "canceled", "expired", "done_for_day", "replaced", "accepted", "rejected",
        "pending_new", "stopped", "pending_cancel", "pending_replace", "calculated", "suspended",
        "order_replace_rejected", "order_cancel_rejected", "held", "restated", "trade_bust", "trade_correct"
    )
)  # fmt: skip
"""The events that the trading stream is known to send."""

STATUSES = frozenset(
    (
        "new", "partially_filled", "filled", "done_for_day", "canceled", "expired", "replaced", "pending_cancel",
        "pending_replace", "pending_review", "accepted", "pending_new", "accepted_for_bidding", "stopped", "rejected",
        "suspended", "calculated", "held"
    )
)  # fmt: skip

_TIME = re.compile(r"(\d{4})-(\d\d)-(\d\d)[Tt ](\d\d):(\d\d):(\d\d)(?:\.(\d+))?(?:[Zz]|([+-])(\d\d):?(\d\d))", re.ASCII)
_PLAIN = re.compile(r"-?\d{1,40}(?:\.\d{1,40})?", re.ASCII)
_SCIENTIFIC = re.compile(r"-?\d{1,40}(?:\.\d{1,40})?[Ee][+-]?\d{1,2}", re.ASCII)
_EPOCH = date(1970, 1, 1).toordinal()
_NS = 1_000_000_000
_MOST_NAMES = 256
_QUOTED = ("USDT", "USDC", "USD", "BTC")  # what pairs are quoted in

# An enum's name, and a member through its class, cost more than the whole encoding of an order's body.
_SIDES = {Side.BUY: "buy", Side.SELL: "sell"}
_TYPES = {kind: kind.name.lower() for kind in OrderType}
_TIFS = {tif: tif.name.lower() for tif in TimeInForce}
_SIMPLE, _OCO = OrderClass.SIMPLE, OrderClass.OCO
_encode = msgspec.json.Encoder().encode


def parse_time(text: str) -> int:
    """Ns UTC of an RFC 3339 time with 0 to 9 fractional digits (more are cut) and any offset. Raises Misbehaved."""
    match = _TIME.fullmatch(text)
    if match is None:
        raise Misbehaved(f"not a time: {text[:40]!r}")
    year, month, day, hour, minute, second = map(int, match.group(1, 2, 3, 4, 5, 6))
    try:
        days = date(year, month, day).toordinal() - _EPOCH
    except ValueError:
        raise Misbehaved(f"not a time: {text[:40]!r}") from None
    if hour > 23 or minute > 59 or second > 60:
        raise Misbehaved(f"not a time: {text[:40]!r}")
    seconds = days * 86_400 + hour * 3600 + minute * 60 + second
    if match[8]:
        offset = int(match[9]) * 3600 + int(match[10]) * 60
        seconds += -offset if match[8] == "+" else offset
    ns = seconds * _NS + int((match[7] or "0")[:9].ljust(9, "0"))
    if not -(2**63) <= ns < 2**63:  # the journal and the records hold int64
        raise Misbehaved(f"not a time that we can hold: {text[:40]!r}")
    return ns


def format_time(ns: int) -> str:
    """Ns UTC as RFC 3339 with nine digits."""
    seconds, fraction = divmod(ns, _NS)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{fraction:09d}Z"


def order_body(request: OrderRequest) -> bytes:
    """The body of POST /v2/orders; the same request gives the same bytes."""
    group = request.order_class
    if group is _SIMPLE and not (request.extended_hours or request.trail_price or request.trail_percent):
        kind, tif = _TYPES[request.type], _TIFS[request.tif]
        prices = request.limit_price, request.stop_price
        plain = plain_body(request.symbol, request.qty, _SIDES[request.side], kind, tif, request.cid, *prices)
        if plain is not None:
            return plain
    body: dict[str, Any] = {
        "symbol": request.symbol,
        "qty": request.qty,
        "side": _SIDES[request.side],
        "type": _TYPES[request.type],
        "time_in_force": _TIFS[request.tif],
        "client_order_id": request.cid,
    }
    if request.limit_price and group is not _OCO:
        body["limit_price"] = request.limit_price
    if request.stop_price:
        body["stop_price"] = request.stop_price
    if request.extended_hours:
        body["extended_hours"] = True
    if request.trail_price:
        body["trail_price"] = request.trail_price
    if request.trail_percent:
        body["trail_percent"] = request.trail_percent
    if group is not _SIMPLE:
        body |= _group_body(request)
    return _encode(body)


def _group_body(request: OrderRequest) -> dict[str, Any]:
    """The exits of a group; an OCO's own limit is that of its take-profit, and stands there."""
    body: dict[str, Any] = {"order_class": request.order_class.name.lower()}
    if request.take_profit:
        body["take_profit"] = {"limit_price": request.take_profit}
    if request.stop_loss:
        body["stop_loss"] = {"stop_price": request.stop_loss}
        if request.stop_loss_limit:
            body["stop_loss"]["limit_price"] = request.stop_loss_limit
    return body


def replace_body(request: OrderRequest) -> bytes:
    """The body of PATCH /v2/orders/{id}: everything of the new order that a replace may change, and its own cid."""
    body = {"qty": request.qty} if request.qty else {}  # an exit's follows its entry
    body |= {"time_in_force": _TIFS[request.tif], "client_order_id": request.cid}
    if request.limit_price:
        body["limit_price"] = request.limit_price
    if request.stop_price:
        body["stop_price"] = request.stop_price
    if request.trail_price or request.trail_percent:
        body["trail"] = request.trail_price or request.trail_percent
    return _encode(body)


Struct = TypeVar("Struct", bound=msgspec.Struct)


class Control(msgspec.Struct, frozen=True):
    """A frame of the trading stream that is not a trade update: authorization, listening, or one that we do not know."""

    stream: str
    status: str = ""
    action: str = ""
    streams: tuple[str, ...] = ()


def _decimal(value: rows.Text, name: str) -> str:
    """A finite decimal as plain text. Raises Misbehaved: what is not a number stops here."""
    text = str(value) if value is not None else ""
    if _PLAIN.fullmatch(text):
        return text
    if not _SCIENTIFIC.fullmatch(text):
        raise Misbehaved(f"{name} is not a number: {text[:40]!r}")
    return format(Decimal(text), "f")


def _optional(value: rows.Text, name: str) -> str:
    return "" if value is None or value == "" else _decimal(value, name)


def _time(text: str | None) -> int:
    return parse_time(text) if text else 0


def _side(text: str | None) -> Side:
    if text == "buy":
        return Side.BUY
    if text in ("sell", "sell_short"):
        return Side.SELL
    raise Misbehaved(f"an order without a side that we know: {text!r}")


def pair_of(symbol: str) -> str:
    """A pair as orders and prices name it: positions and fees are told under the older name, BTCUSD for BTC/USD."""
    quoted = next((c for c in _QUOTED if symbol.endswith(c) and symbol != c), "")
    return symbol if "/" in symbol or not quoted else f"{symbol.removesuffix(quoted)}/{quoted}"


class Reader:
    """Reads the venue's objects and counts what it did not know. One thread at a time."""

    def __init__(self) -> None:
        self.counters: Counter[str] = Counter()

    def _count(self, name: str) -> None:
        # The names are the venue's: they must not grow without bound.
        if name not in self.counters and len(self.counters) >= _MOST_NAMES:
            name = "further names"
        self.counters[name] += 1

    def order(self, value: Any) -> VenueOrder:
        """An order object. Raises Misbehaved, also for a parent of several legs, which has no side."""
        order = self._convert(value, rows.Order)
        if order.status not in STATUSES:
            self._count(f"status {order.status[:32]}")
        qty, filled = _optional(order.qty, "qty"), _optional(order.filled_qty, "filled_qty") or "0"
        return VenueOrder(
            id=order.id,
            cid=order.client_order_id,
            symbol=intern(order.symbol or ""),  # words that thousands of orders share
            side=_side(order.side),
            type=intern(order.type or order.order_type or ""),
            tif=intern(order.time_in_force or ""),
            qty=qty,
            filled_qty=qty if filled == qty else filled,
            filled_avg_price=_optional(order.filled_avg_price, "filled_avg_price"),
            limit_price=_optional(order.limit_price, "limit_price"),
            stop_price=_optional(order.stop_price, "stop_price"),
            status=intern(order.status),
            created_at=_time(order.created_at),
            updated_at=_time(order.updated_at),
            replaces=order.replaces or "",
            replaced_by=order.replaced_by or "",
            order_class="" if order.order_class in (None, "simple") else str(order.order_class),
            trail_price=_optional(order.trail_price, "trail_price"),
            trail_percent=_optional(order.trail_percent, "trail_percent"),
            legs=tuple(self.order(leg) for leg in order.legs or ()),
        )

    def orders(self, row: Any) -> list[VenueOrder]:
        """The order of a list's row; a parent of a multi-leg order, which has no side, is counted and left out for its legs."""
        if isinstance(row, dict) and row.get("order_class") == "mleg" and not (row.get("side") and row.get("symbol")):
            self.counters["mleg parent"] += 1
            return [self.order(leg) for leg in row.get("legs") or ()]
        return [self.order(row)]

    def fill(self, value: Any) -> VenueFill:
        """A FILL activity. Raises Misbehaved."""
        fill = self._convert(value, rows.Fill)
        qty, cum = _decimal(fill.qty, "qty"), _decimal(fill.cum_qty, "cum_qty")
        return VenueFill(
            activity_id=fill.id,
            order_id=fill.order_id,
            symbol=intern(fill.symbol),
            side=_side(fill.side),
            price=_decimal(fill.price, "price"),
            qty=qty,
            cum_qty=qty if cum == qty else cum,
            ts=parse_time(fill.transaction_time),
        )

    def fills(self, row: Any) -> list[VenueFill]:
        """The fill of a list's row; another kind of activity is counted and left out. Raises Misbehaved."""
        if isinstance(row, dict) and row.get("activity_type", "FILL") != "FILL":
            self.counters["activity that is no fill"] += 1
            return []
        return [self.fill(row)]

    def activities(self, row: Any) -> list[VenueActivity]:
        """The activity of a list's row; nothing for a fill. Raises Misbehaved."""
        if isinstance(row, dict) and row.get("activity_type") == "FILL":
            return []
        told = self._convert(row, rows.Activity)
        when = told.created_at or (f"{told.date}T00:00:00Z" if told.date else "")
        activity = VenueActivity(
            activity_id=told.id,
            type=told.activity_type,
            net=_optional(told.net_amount, "net_amount"),
            symbol=pair_of(told.symbol or "") if told.activity_type == "CFEE" else told.symbol or "",
            qty=_optional(told.qty, "qty"),
            ts=_time(when),
        )
        return [activity]

    def positions(self, listed: Any) -> tuple[VenuePosition, ...]:
        """The positions, short ones negative. Raises Misbehaved."""
        return tuple(self._position(row) for row in rows_of(listed))

    def _position(self, value: Any) -> VenuePosition:
        position = self._convert(value, rows.Position)
        qty = _decimal(position.qty, "qty")
        if position.side == "short" and not qty.startswith("-"):
            qty = f"-{qty}"
        symbol = pair_of(position.symbol) if position.asset_class == "crypto" else position.symbol
        entry, price = _optional(position.avg_entry_price, "avg_entry_price"), _optional(position.current_price, "current_price")
        return VenuePosition(symbol=symbol, qty=qty, avg_entry_price=entry or "0", price=price)

    def account(self, value: Any) -> VenueAccount:
        """The account, of payloads with and without the day-trading fields; any status but ACTIVE counts as blocked."""
        account = self._convert(value, rows.Account)
        blocked = account.trading_blocked or account.account_blocked or account.trade_suspended_by_user
        return VenueAccount(
            id=account.id,
            cash=_decimal(account.cash, "cash"),
            buying_power=_decimal(account.buying_power, "buying_power"),
            equity=_decimal(account.equity, "equity"),
            last_equity=_decimal(account.last_equity, "last_equity"),
            multiplier=_optional(account.multiplier, "multiplier") or "1",
            blocked=blocked or account.status.upper() != "ACTIVE",
            settled=_optional(account.non_marginable_buying_power, "non_marginable_buying_power"),
            shorting=account.shorting_enabled,
            crypto=account.crypto_status in (None, "ACTIVE"),
            options_level=account.options_trading_level or 0,
            accrued=_optional(account.accrued_fees, "accrued_fees"),
        )

    def configured(self, account: VenueAccount, value: Any) -> VenueAccount:
        """The account with what its owner wishes (/v2/account/configurations). Raises Misbehaved."""
        wishes = self._convert(value, rows.Configuration)
        most = wishes.max_options_trading_level
        return msgspec.structs.replace(
            account,
            blocked=account.blocked or wishes.suspend_trade,
            shorting=account.shorting and not wishes.no_shorting,
            fractional=wishes.fractional_trading,
            options_level=account.options_level if most is None else min(account.options_level, most),
        )

    def frame(self, payload: bytes) -> TradeUpdate | Control:
        """A frame of the trading stream. Raises Misbehaved."""
        frame = self._convert(decode(payload), rows.Frame)
        if frame.stream == "trade_updates":
            return self.update(frame.data)
        streams = frame.data.get("streams")
        return Control(
            stream=frame.stream,
            status=str(frame.data.get("status", "")),
            action=str(frame.data.get("action", "")),
            streams=tuple(map(str, streams)) if isinstance(streams, list) else (),
        )

    def update(self, data: dict[str, Any]) -> TradeUpdate:
        """The data of a trade update. Raises Misbehaved."""
        update = self._convert(data, rows.Update)
        order = self.order(update.order)
        if update.event not in TRADE_EVENTS:
            self._count(f"event {update.event[:32]}")
        return TradeUpdate(
            event=update.event,
            order=order,
            ts=_time(update.timestamp) or _time(update.at) or order.updated_at,
            price=_optional(update.price, "price"),
            qty=_optional(update.qty, "qty"),
            execution_id=update.execution_id or "",
            position_qty=_optional(update.position_qty, "position_qty"),
            previous_execution_id=update.previous_execution_id or "",
        )

    def _convert(self, value: Any, kind: type[Struct]) -> Struct:
        known = rows.KNOWN.get(kind)
        if known is not None and isinstance(value, dict):
            for name in value.keys() - known:
                self._count(f"field {name[:32]}")
        try:
            return msgspec.convert(value, kind)
        except msgspec.ValidationError as error:
            raise Misbehaved(f"{kind.__name__.lower()}: {error}") from None


def rows_of(listed: Any) -> Rows | list[Any]:
    """The rows of a list. Raises Misbehaved for what is none."""
    if not isinstance(listed, Rows | list):
        raise Misbehaved(f"a list was asked for, {type(listed).__name__} came")
    return listed
