"""Orders by money: for how many shares they may be, and numbers as text."""

import msgspec

from pyrt._core.types import to_units
from pyrt.model import Instrument
from pyrt.venues.sim.exchange.orders import Terms, VenueRefusal, invalid

MOST = 2**61  # qty units


def estimate(terms: Terms, instrument: Instrument, bid: int, ask: int, free: int | None) -> Terms:
    """The order with a quantity: exact where it has a limit, else what the money pays for now. Raises VenueRefusal.

    What closes a position (`free` qty units of it) holds 4 % more than the market asks for, within what is there, so that a
    market that moves meanwhile neither leaves money over nor turns the position round.
    """
    one: int = 10**instrument.qty_exp
    px = terms.limit_px or (ask if terms.side.name == "BUY" else bid)
    if not px:
        raise invalid("no market price is known for this asset yet")
    qty = terms.notional * one // px
    if not 0 < qty < MOST:
        raise invalid("notional is too small or too great for the price of this asset")
    if free is not None and qty <= free and terms.by_money:
        qty = min(free, qty * 104 // 100 + 1)
    return msgspec.structs.replace(terms, qty=qty)


def read_fill(qty: str, px: str, instrument: Instrument) -> tuple[int, int]:
    """Qty and px units of a fill that is forced. Raises VenueRefusal."""
    try:
        amount, price = to_units(qty, instrument.qty_exp), to_units(px, 9)
    except ValueError:
        raise invalid("invalid qty or price", 40010001) from None
    if amount <= 0 or price <= 0:
        raise VenueRefusal(422, 40010001, "qty and price must be > 0")
    return amount, price
