"""The venue's words for an order in ours: its status, its terms, and where a sighting moves it."""

import re

from pyrt._core.types import PX_SCALE, to_units
from pyrt.execution.orders import CORRECTIONS, ENTRY, Order, Orders
from pyrt.model import AssetClass, Instrument, OrderStatus, OrderType, TimeInForce
from pyrt.ports import VenueOrder

STATUS = {
    "accepted": OrderStatus.ACCEPTED,
    "pending_new": OrderStatus.ACCEPTED,
    "accepted_for_bidding": OrderStatus.ACCEPTED,
    "pending_review": OrderStatus.ACCEPTED,
    "new": OrderStatus.ACCEPTED,
    "calculated": OrderStatus.ACCEPTED,
    "partially_filled": OrderStatus.PARTIAL,
    "pending_cancel": OrderStatus.PENDING_CANCEL,
    "pending_replace": OrderStatus.PENDING_REPLACE,
    "held": OrderStatus.HELD,
    "suspended": OrderStatus.SUSPENDED,
    "stopped": OrderStatus.STOPPED,
    "done_for_day": OrderStatus.DONE_FOR_DAY,
    "filled": OrderStatus.FILLED,
    "canceled": OrderStatus.CANCELED,
    "expired": OrderStatus.EXPIRED,
    "rejected": OrderStatus.REJECTED,
    "replaced": OrderStatus.REPLACED,
}
TYPES = {kind.name.lower(): kind for kind in OrderType}
TIFS = {tif.name.lower(): tif for tif in TimeInForce}
FILLS = frozenset({"fill", "partial_fill"})
RATIO_EXP = 7  # percent as text -> parts of 1e9
_CONTRACT = re.compile(r"[A-Z][A-Z0-9]{0,5}\d{6}[CP]\d{8}", re.ASCII)  # as the OCC writes one: AAPL260320C00190000
EVENTS = FILLS | CORRECTIONS | STATUS.keys() | {"order_cancel_rejected", "order_replace_rejected", "restated"}


def stranger(symbol: str, number: int) -> Instrument:
    """An instrument that only the venue spoke of, with the terms that its name tells: a pair's, a contract's, else a share's."""
    if "/" in symbol:
        return Instrument(id=number, symbol=symbol, asset_class=AssetClass.CRYPTO, tick=1, sub_tick=1, lot=1, shortable=False)
    if _CONTRACT.fullmatch(symbol):
        return Instrument(id=number, symbol=symbol, asset_class=AssetClass.OPTION, sub_tick=10_000_000, multiplier=100)
    return Instrument(id=number, symbol=symbol)


def same(order: Order, seen: VenueOrder, instrument: Instrument) -> bool:
    """Whether a venue order has the economics of our intent (a buy stop may come back as a stop-limit)."""
    kind = TYPES.get(seen.type)
    if order.type is OrderType.STOP and kind is OrderType.STOP_LIMIT:
        kind, limit_px = OrderType.STOP, 0
    else:
        limit_px = units(seen.limit_price, PX_SCALE)
    qty = units(seen.qty, instrument.qty_exp)
    if order.role not in ("", ENTRY) and (0 < qty < order.qty or (qty and order.replaces)):
        qty = order.qty  # a pair shares its shares: what the other exit filled is gone; an exit follows a replaced entry
    theirs = (seen.symbol, seen.side, kind, TIFS.get(seen.tif), qty, limit_px)
    ours = (instrument.symbol, order.side, order.type, order.tif, order.qty, order.limit_px)
    if order.type is OrderType.TRAILING_STOP:  # its stop moves with the market
        trail = (units(seen.trail_price, PX_SCALE), units(seen.trail_percent, RATIO_EXP))
        return ours == theirs and trail == (order.trail_px, order.trail_ratio)
    return ours == theirs and order.stop_px == units(seen.stop_price, PX_SCALE)


def works_anew(order: Order, seen: VenueOrder, status: OrderStatus, orders: Orders) -> bool:
    """Whether a replacement goes on although its chain has filled what it is for: a venue may work its whole quantity anew."""
    if not order.replaces or order.group or not order.qty or status.is_final:
        return False
    old = orders.by_number.get(order.replaces)
    if old is not None and old.status is not OrderStatus.REPLACED:  # on its way yet: what filled meanwhile rejects it
        return False
    exp = orders.instruments[order.instrument].qty_exp
    if not order.filled <= units(seen.filled_qty, exp) < units(seen.qty, exp):  # an older sight, or all of it is done
        return False
    filled, member = 0, orders.by_number.get(order.number)
    while member is not None:
        filled, member = filled + member.filled - member.base, orders.by_number.get(member.replaces)
    return filled >= order.qty


def next_status(order: Order, status: OrderStatus, event: str, appeared: bool) -> OrderStatus:
    """The state after a sighting: fills decide about FILLED, finals stay, our own pending wishes stay until they are answered."""
    if order.qty and order.filled >= order.qty:
        return OrderStatus.FILLED
    if order.status.is_final and not appeared:
        return order.status
    if status.is_final:
        return status
    if order.status is OrderStatus.PENDING_CANCEL and event != "order_cancel_rejected":
        return order.status
    if order.status is OrderStatus.PENDING_REPLACE and event not in ("order_replace_rejected", "pending_cancel"):
        return order.status
    if status in (OrderStatus.ACCEPTED, OrderStatus.PARTIAL):
        return OrderStatus.PARTIAL if order.filled else OrderStatus.ACCEPTED
    return status


def filled_at_least(order: Order, seen: VenueOrder, orders: Orders) -> int:
    """What is filled by the venue's word or by ours, whichever is more."""
    return max(order.filled, units(seen.filled_qty, orders.instruments[order.instrument].qty_exp))


def units(text: str, exp: int) -> int:
    """A number of the venue; 0 where it says none. Raises ValueError."""
    return to_units(text, exp) if text else 0
