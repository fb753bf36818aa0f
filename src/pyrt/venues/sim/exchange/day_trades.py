"""Pattern day trading, as it was until July 2026: no fourth day trade in five business days below 25,000 of equity."""

from datetime import date, timedelta

from pyrt.model import AssetClass, Instrument
from pyrt.venues.sim.exchange.account import DAY_EQUITY, Account, Figures, Position, money_text
from pyrt.venues.sim.exchange.orders import Body, VenueRefusal
from pyrt.venues.sim.times import new_york

MOST = 3
SPAN = 5  # business days, today's included


def opened_today(position: Position) -> int:
    """Qty units that were not held when the day began."""
    return abs(position.qty) - abs(position.day_qty)


def count(account: Account, today: str) -> int:
    """Day trades of the last five weekdays."""
    day, left = date.fromisoformat(today), SPAN - 1
    while left:
        day -= timedelta(days=1)
        left -= day.weekday() < 5
    first = day.isoformat()
    return sum(made >= first for made, _ in account.day_trades)


def note(account: Account, instrument: Instrument, order: int, position: Position, today: str) -> None:
    """An order is about to reduce a position: a day trade, once an order, where that closes what was opened today."""
    made = (today, order)
    if instrument.asset_class != AssetClass.CRYPTO and opened_today(position) and made not in account.day_trades[-64:]:
        account.day_trades.append(made)


def refuse(account: Account, instrument: Instrument, position: Position, pending: int, today: str) -> None:
    """A closing order that could make the fourth one; `pending`: open orders that could make one. Raises VenueRefusal 403."""
    small = account.multiplier > 1 and account.last_equity < DAY_EQUITY
    if not small or instrument.asset_class == AssetClass.CRYPTO or not opened_today(position):
        return
    if count(account, today) + pending >= MOST:
        raise VenueRefusal(403, 40310100, "trade denied due to pattern day trading protection")


def show(account: Account, worth: Figures, now: int) -> Body:
    """The fields of GET /v2/account that left it in July 2026."""
    made = count(account, new_york(now).date().isoformat())
    return {
        "pattern_day_trader": made > MOST,
        "daytrade_count": made,
        "daytrading_buying_power": money_text(worth.power(4) if worth.multiplier == 4 else 0),
        "bod_dtbp": money_text(account.day_power),
    }
