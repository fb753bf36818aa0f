"""An order as a strategy writes it, in the units of an Intent; what Alpaca would refuse for its terms alone is refused here."""

from decimal import ROUND_CEILING, ROUND_FLOOR, ROUND_HALF_UP, Decimal, InvalidOperation
from typing import Any, Literal

from pyrt._core.types import Side, to_units
from pyrt.errors import OrderError
from pyrt.model import AssetClass, Instrument, Number, OrderClass, OrderType, TimeInForce

Rounding = Literal["down", "up", "nearest"]
TIFS = {tif.name.lower(): tif for tif in TimeInForce}
RESTING = (TimeInForce.DAY, TimeInForce.GTC)
_AUCTIONS = (TimeInForce.OPG, TimeInForce.CLS)
_CENT = 10_000_000  # px units
_ROUNDING = {"down": ROUND_FLOOR, "up": ROUND_CEILING, "nearest": ROUND_HALF_UP}
TYPES = {
    (False, False): OrderType.MARKET,
    (True, False): OrderType.LIMIT,
    (False, True): OrderType.STOP,
    (True, True): OrderType.STOP_LIMIT,
}


def default_tif(instrument: Instrument) -> TimeInForce:
    """How long an order works of which nobody says it: the day, or, where there are no days, until it is cancelled."""
    return TimeInForce.GTC if instrument.asset_class is AssetClass.CRYPTO else TimeInForce.DAY


def ticket(
    instrument: Instrument,
    side: Side,
    quantity: Number,
    *,
    limit: Number | None = None,
    stop: Number | None = None,
    trail: Number | None = None,
    trail_percent: Number | None = None,
    take_profit: Number | None = None,
    stop_loss: Number | None = None,
    stop_loss_limit: Number | None = None,
    oco: bool = False,
    tif: str | None = None,
    reduce_only: bool = False,
    extended_hours: bool = False,
    round: Rounding | None = None,
) -> dict[str, Any]:
    """The terms as fields of an Intent; without tif what its asset class allows. Raises OrderError with what to write instead."""
    make = plain(instrument, side, quantity, limit, stop, tif, reduce_only, extended_hours, round)
    if trail is not None or trail_percent is not None:
        make |= _trail(instrument, make, trail, trail_percent, round)
    if take_profit is not None or stop_loss is not None or stop_loss_limit is not None:
        exits = {
            "target_px": px_of(instrument, take_profit, round),
            "guard_px": px_of(instrument, stop_loss, round),
            "guard_limit_px": px_of(instrument, stop_loss_limit, round),
        }
        make |= _group(instrument, make | exits, oco)
    return make


def plain(
    instrument: Instrument,
    side: Side,
    quantity: Number,
    limit: Number | None,
    stop: Number | None,
    tif: str | None,
    reduce_only: bool,
    extended_hours: bool,
    rounding: Rounding | None,
) -> dict[str, Any]:
    """The terms of an order without a trailing stop and exits; a ticket's first half, and most orders' whole. Raises OrderError."""
    in_force = default_tif(instrument) if tif is None else TIFS.get(tif) or TIFS.get(str(tif).lower())
    if in_force is None:
        raise OrderError(f"time in force {tif!r} is not known", where=instrument.symbol, mend=f"use one of {', '.join(TIFS)}")
    make = {
        "side": side,
        "type": TYPES[limit is not None, stop is not None],
        "tif": in_force,
        "qty": instrument.qty(quantity),
        "limit_px": 0 if limit is None else px_of(instrument, limit, rounding),
        "stop_px": 0 if stop is None else px_of(instrument, stop, rounding),
        "reduce_only": reduce_only,
        "extended_hours": extended_hours,
    }
    if stop is not None and in_force in _AUCTIONS:
        raise OrderError(f"{tif} orders are market or limit orders", where=instrument.symbol, mend="leave the stop out")
    return make


def _trail(
    instrument: Instrument, make: dict[str, Any], trail: Number | None, percent: Number | None, rounding: Rounding | None
) -> dict[str, Any]:
    symbol = instrument.symbol
    if trail is not None and percent is not None:
        raise OrderError("a trailing stop has one distance", where=symbol, mend="give trail or trail_percent")
    if make["limit_px"] or make["stop_px"]:
        raise OrderError("a trailing stop has no limit and no stop price", where=symbol, mend="leave limit and stop out")
    _refuse_resting(instrument, make, "a trailing stop")
    found = {"type": OrderType.TRAILING_STOP, "trail_px": px_of(instrument, trail, rounding), "trail_ratio": 0}
    if percent is not None:
        found["trail_ratio"] = ratio_of(instrument, percent)
    return found


def ratio_of(instrument: Instrument, percent: Number) -> int:
    """A trailing stop's percentage in parts of 1e9. Raises OrderError outside 0 to 100."""
    try:
        ratio = to_units(percent, 7)
    except (TypeError, ValueError) as e:
        raise OrderError(f"trail_percent: {e}", where=instrument.symbol, mend="pass an int, a str, a Decimal or a float") from None
    if not 0 < ratio < 10**9:
        raise OrderError(f"trail_percent {percent} is not between 0 and 100", where=instrument.symbol, mend="2.5 is 2.5 %")
    return ratio


def _refuse_resting(instrument: Instrument, make: dict[str, Any], what: str) -> None:
    if make["tif"] not in RESTING:
        raise OrderError(f"{what} is a day or gtc order", where=instrument.symbol, mend="use tif='day' or tif='gtc'")
    if make["extended_hours"]:
        raise OrderError(f"{what} works in regular hours", where=instrument.symbol, mend="leave extended_hours out")
    if make["qty"] % 10**instrument.qty_exp:
        raise OrderError(f"{what} is for whole shares", where=instrument.symbol, mend="round the quantity")


def _group(instrument: Instrument, make: dict[str, Any], oco: bool) -> dict[str, Any]:
    symbol, target, guard = instrument.symbol, make["target_px"], make["guard_px"]
    if not guard and make["guard_limit_px"]:
        raise OrderError("stop_loss_limit without stop_loss", where=symbol, mend="give stop_loss, at which it is triggered")
    if make["type"] not in (OrderType.MARKET, OrderType.LIMIT):
        raise OrderError("an entry with exits is a market or a limit order", where=symbol, mend="leave stop and trail out")
    if make["reduce_only"] and not oco:
        raise OrderError("an order that only reduces has no exits", where=symbol, mend="use protect() for shares that are held")
    kind = OrderClass.OCO if oco else OrderClass.BRACKET if target and guard else OrderClass.OTO
    _refuse_resting(instrument, make, f"a {kind.name} order")
    up = (make["side"] is Side.BUY) != oco  # whether the shares are long: the take-profit lies above
    if target and guard and (target <= guard if up else target >= guard):
        way = "above" if up else "below"
        what = f"take_profit {instrument.price(target)} is not {way} stop_loss {instrument.price(guard)}"
        raise OrderError(what, where=symbol, mend=f"the take-profit lies {way} the stop")
    entry = 0 if oco else make["limit_px"]
    for name, px, sign in (("take_profit", target, 1 if up else -1), ("stop_loss", guard, -1 if up else 1)):
        if px and entry and (px - entry) * sign < _CENT:
            side = "above" if sign > 0 else "below"
            what = f"{name} {instrument.price(px)} is not at least 0.01 {side} the limit {instrument.price(entry)}"
            raise OrderError(what, where=symbol, mend=f"give a {name} {side} it")
    exits = {name: make[name] for name in ("target_px", "guard_px", "guard_limit_px")}
    return {"order_class": kind, **exits}


def px_of(instrument: Instrument, price: Number | None, rounding: Rounding | None) -> int:
    """A price in px units, 0 for None; off the tick only where `rounding` says which way. Raises OrderError."""
    if price is None:
        return 0
    if rounding is None:
        return instrument.px(price)
    way = _ROUNDING.get(rounding)
    if way is None:
        raise OrderError(f"round={rounding!r} is no direction", where=instrument.symbol, mend="use 'down', 'up' or 'nearest'")
    try:
        # A float that was computed carries noise in its last digits: that must not push it over to the next tick.
        exact = Decimal(f"{price:.9f}" if isinstance(price, float) else str(price).strip())
        px = exact.scaleb(9)
        tick = instrument.tick_at(int(px))
        ticks = int((px / tick).to_integral_value(way))
    except (InvalidOperation, OverflowError, ValueError):
        raise OrderError(f"price {price!r} is not a number", where=instrument.symbol, mend="give a number above 0") from None
    return instrument.px(instrument.price(ticks * tick))
