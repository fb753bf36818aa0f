"""Orders as clients write them: a POST or PATCH body as Terms, or the refusal of the first rule that it breaks.

These rules need neither money nor market; those that do are in rules.py. Texts that have no other source are ours.
"""

from typing import Any

import msgspec

from pyrt._core.types import format_units
from pyrt.model import AssetClass, Instrument, OrderType, TimeInForce
from pyrt.venues.sim.exchange.orders import (
    INTENTS,
    SHARE,
    SIDES,
    TIFS,
    TYPES,
    Body,
    Row,
    Terms,
    VenueRefusal,
    check_price,
    invalid,
    read_choice,
    read_number,
    read_prices,
)

CLASSES = {"": "", "simple": "", "bracket": "bracket", "oco": "oco", "oto": "oto"}
RESTING = (TimeInForce.DAY, TimeInForce.GTC)
CENT = 10_000_000  # px units


def refuse_unreadable(body: Body) -> None:
    """What no JSON can hold (lone surrogates from an escape) must not come to rest in the state. Raises VenueRefusal 400."""
    try:
        msgspec.json.encode(body)
    except (UnicodeEncodeError, TypeError, ValueError):
        raise VenueRefusal(400, 40010000, "request body format is invalid") from None


def read_terms(body: Body, instrument: Instrument, fractionable: bool) -> Terms:
    """A POST body as Terms. Raises VenueRefusal with the first rule that it breaks."""
    order_class = _order_class(body)
    side, kind = read_choice(body, "side", SIDES), read_choice(body, "type", TYPES)
    tif = read_choice(body, "time_in_force", TIFS)
    group = _read_group(body, order_class, kind)
    qty, notional = _read_amount(body, instrument, fractionable, kind, tif)
    trail_px, trail_ratio = _read_trail(body, tif)
    trails = bool(trail_px or trail_ratio)
    if trails and (body.get("limit_price") is not None or body.get("stop_price") is not None):
        raise invalid("trailing stop orders require no stop or limit price", 40010001)
    limit_px, stop_px = (0, 0) if trails else read_prices({"limit_price": group.get("limit_price"), **_given(body)}, kind)
    extended = _read_extended(body, kind, tif)
    intent = body.get("position_intent") or ""
    if intent and (not isinstance(intent, str) or intent not in INTENTS or not intent.startswith(side.name.lower())):
        raise invalid(f"position_intent {intent!r} does not fit side {side.name.lower()}", 40010001)
    terms = Terms(
        side=side,
        type=kind,
        tif=tif,
        qty=qty,
        limit_px=limit_px,
        stop_px=stop_px,
        extended=extended,
        cid=read_cid(body),
        intent=intent,
        order_class=order_class,
        target_px=limit_px if order_class == "oco" else group.get("target_px", 0),
        guard_px=group.get("guard_px", 0),
        guard_limit_px=group.get("guard_limit_px", 0),
        trail_px=trail_px,
        trail_ratio=trail_ratio,
        notional=notional,
    )
    if order_class:
        _refuse_group(terms, 10**instrument.qty_exp)
    return terms


def _given(body: Body) -> Body:
    return {key: body[key] for key in ("limit_price", "stop_price") if body.get(key) not in (None, "")}


# ---------------------------------------------------------------------------------------------------- how much
def _read_amount(body: Body, instrument: Instrument, fractionable: bool, kind: OrderType, tif: TimeInForce) -> tuple[int, int]:
    """Qty units and px units of money; one of them is 0."""
    qty, notional = read_number(body, "qty", instrument.qty_exp), read_number(body, "notional", 9)
    if qty is not None and notional is not None:
        raise invalid("only one of qty or notional is accepted", 40010001)
    if qty is None and notional is None:
        raise invalid("qty or notional is required", 40010001)
    if qty is not None and qty <= 0:
        raise invalid("qty must be > 0", 40010001)
    if notional is not None:
        if notional <= 0:
            raise invalid("notional must be > 0", 40010001)
        if notional % CENT:
            raise invalid("notional value must be limited to 2 decimal places")
        if kind not in (OrderType.MARKET, OrderType.LIMIT):
            raise invalid("notional orders must be market or limit orders", 40010001)
    if notional is not None or (qty or 0) % 10**instrument.qty_exp:
        if not fractionable:
            raise invalid(f"asset {instrument.symbol} is not fractionable")
        if instrument.asset_class != AssetClass.CRYPTO and (tif is not TimeInForce.DAY or body.get("type") == "trailing_stop"):
            raise invalid(f"fractional orders must be {'DAY' if tif is not TimeInForce.DAY else 'market, limit or stop'} orders")
    return qty or 0, notional or 0


# ---------------------------------------------------------------------------------------------------- trailing stops
def _read_trail(body: Body, tif: TimeInForce) -> tuple[int, int]:
    """Px units and parts of 1e9; 0, 0 where the order is no trailing stop."""
    price, percent = read_number(body, "trail_price", 9), read_number(body, "trail_percent", 7)
    if body.get("type") != "trailing_stop":
        if price is not None or percent is not None:
            raise invalid("trail_price and trail_percent are allowed for trailing stop orders only", 40010001)
        return 0, 0
    if (price is None) == (percent is None):
        raise invalid("trailing stop orders must specify one of trail_price or trail_percent", 40010001)
    if tif not in RESTING:
        raise invalid("trailing stop orders must be day or gtc", 40010001)
    return _check_trail(price, percent)


def _check_trail(price: int | None, percent: int | None) -> tuple[int, int]:
    if price is not None:
        return check_price(price, "trail_price"), 0
    if not 0 < (percent or 0) < SHARE:
        raise invalid("trail_percent must be > 0 and < 100", 40010001)
    return 0, percent or 0


def _read_extended(body: Body, kind: OrderType, tif: TimeInForce) -> bool:
    extended = body.get("extended_hours") or False
    if not isinstance(extended, bool):
        raise VenueRefusal(400, 40010000, "request body format is invalid: extended_hours is not a boolean")
    if extended and (kind is not OrderType.LIMIT or tif not in RESTING):
        raise invalid('only type="limit" is allowed for extended hours orders', 40010001)
    return extended


# ---------------------------------------------------------------------------------------------------- groups
def _order_class(body: Body) -> str:
    name = body.get("order_class") or ""
    if not isinstance(name, str) or name not in CLASSES:
        raise invalid(f"order_class {name!r} is not supported by this venue", 40010001)
    if body.get("legs") is not None:
        raise invalid("legs are allowed for mleg orders only", 40010001)
    return CLASSES[name]


def _part(body: Body, name: str) -> Body | None:
    part = body.get(name)
    if part is not None and not isinstance(part, dict):
        raise VenueRefusal(400, 40010000, f"request body format is invalid: {name} is not an object")
    return part or None


def _part_price(part: Body | None, name: str, key: str) -> int:
    px = read_number(part, key, 9) if part else None
    return 0 if px is None else check_price(px, f"{name}.{key}")


def _read_group(body: Body, order_class: str, kind: OrderType) -> dict[str, Any]:
    """The prices of the legs, and of an OCO its limit_price, which stands under take_profit."""
    profit, loss = _part(body, "take_profit"), _part(body, "stop_loss")
    if not order_class:
        if profit or loss:
            raise invalid("take_profit and stop_loss are allowed for bracket, oco and oto orders only", 40010001)
        return {}
    target_px = _part_price(profit, "take_profit", "limit_price")
    guard_px = _part_price(loss, "stop_loss", "stop_price")
    if loss and not guard_px:
        raise invalid(f"{order_class} orders require stop_loss.stop_price", 40010001)
    if profit and not target_px:
        raise invalid(f"{order_class} orders require take_profit.limit_price", 40010001)
    own = body.get("limit_price")
    if order_class == "oco" and not target_px and own not in (None, ""):
        target_px = read_number(body, "limit_price", 9) or 0
    if order_class == "oto" and bool(target_px) == bool(guard_px):
        raise invalid("oto orders require exactly one of take_profit and stop_loss", 40010001)
    for px, name in ((target_px, "take_profit.limit_price"), (guard_px, "stop_loss.stop_price")):
        if order_class != "oto" and not px:
            raise invalid(f"{order_class} orders require {name}", 40010001)
    if order_class == "oco" and profit and own not in (None, "") and read_number(body, "limit_price", 9) != target_px:
        raise invalid("limit_price and take_profit.limit_price of an oco order differ", 40010001)
    guard_limit_px = _part_price(loss, "stop_loss", "limit_price")
    found: dict[str, Any] = {"target_px": target_px, "guard_px": guard_px, "guard_limit_px": guard_limit_px}
    return {**found, "limit_price": format_units(target_px)} if order_class == "oco" else found


def _refuse_group(terms: Terms, one: int) -> None:
    name = terms.order_class
    if terms.notional or terms.qty % one:
        raise invalid("fractional orders must be simple orders")
    if terms.extended:
        raise invalid("extended hours orders must be simple orders")
    if terms.tif not in RESTING:
        raise invalid(f"{name} orders must be day or gtc orders")
    if name == "oco" and terms.type is not OrderType.LIMIT:
        raise invalid("oco orders must be limit orders", 40010001)
    if terms.type not in (OrderType.MARKET, OrderType.LIMIT):
        raise invalid(f"{name} orders must be market or limit orders", 40010001)
    buys = (terms.side.name == "BUY") == (name == "oco")  # whether the legs buy
    refuse_crossed(terms.target_px, terms.guard_px, buys)


def refuse_crossed(target_px: int, guard_px: int, buys: bool) -> None:
    """The take-profit of a pair is on the better side of its stop. Raises VenueRefusal."""
    if target_px and guard_px and (target_px >= guard_px if buys else target_px <= guard_px):
        raise invalid(f"take_profit.limit_price must be {'<' if buys else '>'} stop_loss.stop_price")


# ---------------------------------------------------------------------------------------------------- replace
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


def replaced_terms(body: Body, old: Row, instrument: Instrument) -> Terms:
    """A PATCH body laid over a working order; qty is the new total. Raises VenueRefusal."""
    if old.notional:
        raise invalid("notional orders cannot be replaced")
    qty = _replaced_qty(body, old, instrument)
    trail_px, trail_ratio = _replaced_trail(body, old)
    if old.trails:
        if _given(body):
            raise invalid("trailing stop orders require no stop or limit price", 40010001)
        limit_px = stop_px = 0
    else:
        kept = {"limit_price": old.limit_px, "stop_price": old.stop_px}
        merged = {key: format_units(px) for key, px in kept.items() if px}
        limit_px, stop_px = read_prices({**merged, **_given(body)}, old.type)
    tif = read_choice(body, "time_in_force", TIFS) if body.get("time_in_force") else old.tif
    if (old.group or old.trails) and tif not in RESTING:
        raise invalid(f"{old.order_class or 'trailing stop'} orders must be day or gtc orders")
    return Terms(
        side=old.side,
        type=old.type,
        tif=tif,
        qty=qty,
        limit_px=limit_px,
        stop_px=stop_px,
        extended=old.extended,
        cid=read_cid(body),
        order_class=old.order_class,
        trail_px=trail_px,
        trail_ratio=trail_ratio,
    )


def _replaced_qty(body: Body, old: Row, instrument: Instrument) -> int:
    qty = read_number(body, "qty", instrument.qty_exp)
    if qty is None:
        return old.qty
    if qty <= 0 or qty % 10**instrument.qty_exp:
        raise invalid("qty must be a whole number of shares > 0", 40010001)
    if old.group and old.role != "entry" and qty != old.qty:
        raise invalid(f"qty of a {old.order_class} order's exit follows its entry and cannot be replaced")
    if qty <= old.spent:
        raise invalid("qty must be greater than the filled quantity", 40010001)
    return qty


def _replaced_trail(body: Body, old: Row) -> tuple[int, int]:
    if body.get("trail") in (None, ""):
        return old.trail_px, old.trail_ratio
    if not old.trails:
        raise invalid("trail is allowed for trailing stop orders only", 40010001)
    return _check_trail(*((read_number(body, "trail", 9), None) if old.trail_px else (None, read_number(body, "trail", 7))))
