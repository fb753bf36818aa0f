"""When an order for the opening or the closing auction may be sent."""

from pyrt.calendar import Calendar, utc_text
from pyrt.clock import MINUTE
from pyrt.errors import DataError
from pyrt.model import AssetClass, Breach, Instrument, TimeInForce

AUCTIONS = frozenset({TimeInForce.OPG, TimeInForce.CLS})
QUEUE_AFTER = 570 * MINUTE  # from 09:30 to 19:00: then the venue takes them for the next session
LOOK_BACK = 180 * MINUTE  # a half day's session is over before 19:00
_SHUT_BEFORE = {TimeInForce.OPG: 2 * MINUTE, TimeInForce.CLS: 10 * MINUTE}


def auction_shut(calendar: Calendar | None, instrument: Instrument, tif: TimeInForce, now: int) -> Breach | None:
    """Why an auction order is not sent now (venue ns); None where it may be. What has no opening hours has no auctions."""
    if calendar is None or instrument.asset_class != AssetClass.US_EQUITY:
        return Breach(code="MARKET_CLOSED", limit="a market with opening hours", observed=f"{tif.name} of {instrument.symbol}")
    try:
        session = calendar.session_from(now - LOOK_BACK)
    except DataError:
        return Breach(code="MARKET_CLOSED", limit="a known session", observed=utc_text(now))
    last = (session.open if tif is TimeInForce.OPG else session.close) - _SHUT_BEFORE[tif]
    again = session.open + QUEUE_AFTER
    if last <= now < again:
        return Breach(code="MARKET_CLOSED", limit=f"before {utc_text(last)} or from {utc_text(again)}", observed=utc_text(now))
    return None
