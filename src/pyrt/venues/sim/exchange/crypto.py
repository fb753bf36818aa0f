"""Rules of orders for pairs such as BTC/USD: few kinds of orders, no margin, no shorts, sizes of the asset."""

from pyrt._core.types import Side, format_units, to_units
from pyrt.model import Instrument, OrderType, TimeInForce
from pyrt.venues.sim.exchange.account import Figures, money, money_text
from pyrt.venues.sim.exchange.orders import SHARE, Body, Terms, VenueRefusal, invalid
from pyrt.venues.sim.exchange.rules import position_intent, reserve_px

_TYPES = frozenset({OrderType.MARKET, OrderType.LIMIT, OrderType.STOP_LIMIT})
_TIFS = frozenset({TimeInForce.GTC, TimeInForce.IOC})


def refuse_body(body: Body) -> None:
    """Kinds and times that pairs do not have. Raises VenueRefusal 422."""
    if body.get("type") in ("stop", "trailing_stop"):
        raise invalid("invalid order type for crypto order", 40010001)
    if body.get("order_class") not in (None, "", "simple"):
        raise invalid("crypto orders not allowed for advanced order_class: otoco", 40010001)
    if body.get("time_in_force") in ("day", "opg", "cls", "fok"):
        raise invalid("invalid crypto time_in_force")
    if body.get("extended_hours"):
        raise invalid("extended hours orders are not allowed for crypto: it trades at all hours", 40010001)


def refuse_terms(instrument: Instrument, asset: Body, terms: Terms) -> None:
    """Sizes and prices off the asset's increments. Raises VenueRefusal 422."""
    if terms.type not in _TYPES:
        raise invalid("invalid order type for crypto order", 40010001)
    if terms.tif not in _TIFS:
        raise invalid("invalid crypto time_in_force")
    if terms.notional and terms.notional < SHARE:
        raise invalid("cost basis must be >= minimal amount of order 1")
    least, step = (to_units(asset[key], instrument.qty_exp) for key in ("min_order_size", "min_trade_increment"))
    if not terms.notional and terms.qty < least:
        raise invalid(f"qty must be >= minimal amount of order {asset['min_order_size']}")
    if not terms.notional and terms.qty % step:
        raise invalid(f"qty must be a multiple of {asset['min_trade_increment']}")
    for name, px in (("limit_price", terms.limit_px), ("stop_price", terms.stop_px)):
        if px % instrument.tick:
            raise invalid(f"invalid {name} {format_units(px)}: it must be a multiple of {asset['price_increment']}")


def afford(
    instrument: Instrument, terms: Terms, held: int, position: int, wanted: int, ask: int, worth: Figures, back: int
) -> tuple[str, int]:
    """The position intent and the price that reserves cash.

    `held`: what other open orders sell; `back`: what the order that this one replaces frees.

    Raises VenueRefusal 403 where the coins or the dollars are not there: a pair is never sold short and never bought on margin.
    """
    base, _, quoted = instrument.symbol.partition("/")
    if terms.side is Side.SELL:
        free = max(0, position - held)
        if wanted > free:
            exp = instrument.qty_exp
            raise _insufficient(base, format_units(wanted, exp), format_units(free, exp), format_units(position, exp))
        return position_intent(position, terms), 0
    intent = position_intent(0, terms)
    unit_px = reserve_px(terms, ask)
    cost = terms.notional * 10**9 if terms.notional else money(unit_px, wanted, instrument.qty_exp)
    free = worth.settled + back
    if cost > free:
        raise _insufficient(quoted, money_text(cost), money_text(free), money_text(worth.cash))
    return intent, unit_px


def _insufficient(what: str, requested: str, available: str, balance: str) -> VenueRefusal:
    message = f"insufficient balance for {what} (requested: {requested}, available: {available})"
    return VenueRefusal(403, 40310000, message, available=available, balance=balance, symbol=what)
