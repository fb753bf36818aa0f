"""What an account and an asset are: whether an order may be asked for at all, before money and shares are looked at."""

from pyrt._core.types import Side
from pyrt.model import Instrument, TimeInForce
from pyrt.venues.sim.exchange import crypto, rules
from pyrt.venues.sim.exchange.account import MARGIN_EQUITY, Account, Figures
from pyrt.venues.sim.exchange.configuration import refuse_part, refuse_trader
from pyrt.venues.sim.exchange.open_orders import OpenOrders
from pyrt.venues.sim.exchange.orders import Body, Terms, VenueRefusal, invalid


def refuse(owner: Account, instrument: Instrument, asset: Body, body: Body) -> None:
    """An order of this account for this asset, before it is read. Raises VenueRefusal."""
    refuse_trader(owner.configuration, owner.permissions, instrument)
    if asset["status"] != "active":
        raise invalid(f"asset {instrument.symbol} is not active")
    if not asset["tradable"]:
        raise invalid(f"asset {instrument.symbol} is not tradable")
    if asset["class"] == "crypto":
        crypto.refuse_body(body)


def refuse_terms(owner: Account, instrument: Instrument, asset: Body, terms: Terms) -> None:
    """Terms that this account does not want or this asset does not allow. Raises VenueRefusal."""
    refuse_part(owner.configuration, instrument, terms.qty, terms.notional)
    if asset["class"] == "crypto":
        crypto.refuse_terms(instrument, asset, terms)
    elif not asset.get("easy_to_borrow", True) and asset["shortable"] and terms.tif is not TimeInForce.DAY:
        raise invalid(f'only day orders are allowed for hard-to-borrow asset "{instrument.symbol}"')


def refuse_short(owner: Account, instrument: Instrument, asset: Body, terms: Terms, worth: Figures, open_: OpenOrders) -> None:
    """A sale that opens a position: a margin account of 2,000, its owner's wish, whole shares to borrow. Raises VenueRefusal."""
    if terms.side is Side.BUY:
        return
    if owner.multiplier < 2:
        raise rules.insufficient(instrument, terms.qty, 0, open_, Side.SELL)
    if owner.configuration.no_shorting or worth.equity < MARGIN_EQUITY:
        raise VenueRefusal(403, 40310000, "account is not allowed to short")
    if not asset["shortable"]:
        raise invalid(f'asset "{instrument.symbol}" cannot be sold short')
    if terms.notional or terms.qty % 10**instrument.qty_exp:
        raise invalid("fractional orders cannot be sold short")
