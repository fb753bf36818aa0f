"""Contracts as instruments and assets, and what an order in one may ask for."""

from typing import Any
from uuid import uuid5

from pyrt.model import AssetClass, Instrument, OrderType
from pyrt.venues.sim.exchange import rules
from pyrt.venues.sim.exchange.assets import NAMESPACE
from pyrt.venues.sim.exchange.orders import Body, Terms, invalid
from pyrt.venues.sim.market.options import CENT, MULTIPLIER, Contract


def instrument(number: int, symbol: str) -> Instrument:
    """What the matcher and the account know of a contract."""
    return Instrument(
        id=number,
        symbol=symbol,
        asset_class=AssetClass.OPTION,
        tick=CENT,
        sub_tick=CENT,
        lot=1,
        qty_exp=0,
        multiplier=MULTIPLIER,
    )


def root_of(underlying: Instrument) -> str:
    """How OCC symbols begin: the symbol without its point."""
    return underlying.symbol.replace(".", "")


def show_asset(contract: Contract) -> Body:
    """What positions and orders tell of a contract."""
    return {
        "id": str(uuid5(NAMESPACE, contract.symbol)),
        "class": "us_option",
        "exchange": "",
        "symbol": contract.symbol,
        "name": contract.name,
        "status": "active",
        "tradable": True,
        "marginable": False,
        "shortable": False,
        "easy_to_borrow": False,
        "fractionable": False,
        "attributes": [],
    }


def refuse(body: Body) -> None:
    """What a request in a contract may not ask for. Raises VenueRefusal."""
    if body.get("notional") not in (None, ""):
        raise invalid("notional orders are not allowed for options: give qty", 40010001)
    if body.get("extended_hours"):
        raise invalid("extended hours orders are not allowed for options", 40010001)
    if body.get("time_in_force") not in ("day", "gtc"):
        raise invalid("time_in_force must be day or gtc for options", 40010001)
    if body.get("order_class") not in (None, "", "simple"):
        raise invalid(f"order_class {body['order_class']!r} is not allowed for options: use simple or mleg", 40010001)
    if body.get("type") == "trailing_stop":
        raise invalid("trailing stop orders are not allowed for options", 40010001)
    for key in ("limit_price", "stop_price"):
        refuse_fraction(body.get(key), key)


def refuse_fraction(value: Any, name: str) -> None:
    """A price of a contract has at most two decimals. What is no number is refused elsewhere."""
    text = str(value) if value is not None else ""
    if "." in text and len(text.rstrip("0").partition(".")[2]) > 2:
        raise invalid(f"invalid {name} {text}: option prices have at most two decimals")


def premium(terms: Terms, ask: int) -> int:
    """Px units that a bought contract's share may cost: its limit, or what the market asks and a collar."""
    if terms.limit_px:
        return terms.limit_px
    if terms.type is OrderType.MARKET and not ask:
        raise invalid("no market price is known for this contract")
    return rules.collar(terms.stop_px or ask)
