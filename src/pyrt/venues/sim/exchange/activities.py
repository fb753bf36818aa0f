"""What happens to an account beside its trades: money moved, dividends, splits, fees; one list, merged with the fills."""

from bisect import bisect_right
from collections.abc import Iterator
from heapq import merge
from operator import attrgetter
from typing import TYPE_CHECKING

import msgspec

from pyrt._core.types import Side, format_units, to_units
from pyrt.venues.sim.exchange.account import ONE, Position, money, money_text, read_money, value_exp
from pyrt.venues.sim.exchange.orders import FIRST_CONTRACT, Body, Row, VenueRefusal, invalid
from pyrt.venues.sim.times import format_time, new_york

if TYPE_CHECKING:
    from pyrt.venues.sim.exchange.exchange import Exchange
    from pyrt.venues.sim.exchange.state import Fill, State
    from pyrt.venues.sim.exchange.trade import Trading

CENT = ONE // 100


class Entry(msgspec.Struct, kw_only=True):
    """One non-trade activity; text and money as they are shown."""

    id: str
    account: str
    ts: int  # ns UTC
    type: str  # CSD, CSW, DIV, DIVNRA, FEE, INT, JNLC, SPLIT, CIL ...
    date: str
    net: int  # money units
    description: str = ""
    symbol: str = ""
    qty: str = ""
    price: str = ""
    per_share: str = ""


class Fees(msgspec.Struct, frozen=True, kw_only=True):
    """What sales of shares cost, charged with the fill and rounded up to the cent; 0 = nothing."""

    sec_per_million: str = "0"  # dollars a million of proceeds
    taf_per_share: str = "0"
    taf_max: str = "0"  # dollars a fill; 0 = no limit

    def of(self, px: int, qty: int, qty_exp: int) -> dict[str, int]:
        """Money units of each fee of one sale."""
        sec = money(px, qty, qty_exp) * read_money(self.sec_per_million) // (1_000_000 * ONE)
        taf = read_money(self.taf_per_share) * qty // 10**qty_exp
        most = read_money(self.taf_max)
        return {name: _cents_up(fee) for name, fee in (("SEC", sec), ("TAF", min(taf, most) if most else taf)) if fee}


def cents(units: int) -> int:
    """Money units to the nearest cent, halves away from zero."""
    whole = (2 * abs(units) + CENT) // (2 * CENT) * CENT
    return whole if units >= 0 else -whole


def _cents_up(units: int) -> int:
    return -(-units // CENT) * CENT


def local_stamp(ns: int) -> str:
    """The digits that begin an activity's id: New York time to the millisecond."""
    return new_york(ns).strftime("%Y%m%d%H%M%S") + f"{ns // 1_000_000 % 1000:03d}"


def enter(exchange: "Trading", account: str, kind: str, net: int, description: str, **more: str) -> Entry:
    """Book an entry now: the cash moves, the list grows."""
    state = exchange.state
    entry = Entry(
        id=f"{local_stamp(state.now)}::{state.new_id()}",
        account=account,
        ts=state.now,
        type=kind,
        date=new_york(state.now).date().isoformat(),
        net=net,
        description=description,
        **more,
    )
    state.accounts[account].cash += net
    state.entries.append(entry)
    return entry


def _amount(amount: str | int) -> int:
    try:
        units = read_money(amount)
    except (ArithmeticError, ValueError):
        raise invalid(f"invalid amount: {amount}", 40010001) from None
    if units <= 0 or units % CENT:
        raise invalid("amount must be > 0, in cents", 40010001)
    return units


def deposit(exchange: "Exchange", amount: str | int, now: int, account: str | None = None) -> Body:
    """Cash comes in (CSD). Returns the activity. Raises VenueRefusal 422 for no amount of cents above zero."""
    exchange.advance(now)
    owner, units = exchange._account(account), _amount(amount)
    return show_entry(enter(exchange, owner.id, "CSD", units, "cash deposit"))


def withdraw(exchange: "Exchange", amount: str | int, now: int, account: str | None = None) -> Body:
    """Cash goes out (CSW), as much as is neither invested nor reserved. Raises VenueRefusal 403 for more."""
    exchange.advance(now)
    owner, units = exchange._account(account), _amount(amount)
    free = max(0, min(owner.cash, exchange.figures(owner).equity) - owner.reserved)
    if units > free:
        raise VenueRefusal(403, 40310000, "insufficient withdrawable cash", cash_withdrawable=money_text(free))
    return show_entry(enter(exchange, owner.id, "CSW", -units, "cash withdrawal"))


def journal(
    exchange: "Exchange", kind: str, amount: str | int, now: int, *, description: str = "", account: str | None = None
) -> Body:
    """Any other entry that moves cash, e.g. INT, FEE, JNLC; a negative amount takes it. Raises VenueRefusal 422."""
    exchange.advance(now)
    try:
        units = read_money(amount)
    except (ArithmeticError, ValueError):
        raise invalid(f"invalid amount: {amount}", 40010001) from None
    return show_entry(enter(exchange, exchange._account(account).id, kind, units, description))


def transfer(
    exchange: "Exchange",
    symbol: str,
    qty: str,
    now: int,
    *,
    kind: str = "JNLS",
    told: bool = True,
    account: str | None = None,
) -> Body | None:
    """Shares come in, or with a negative quantity go out, at the last price; without cash. Returns the activity, if it is told.

    Raises VenueRefusal 422 for a symbol that is not traded here, no quantity, or a sale of more than there is.
    """
    exchange.advance(now)
    owner, instrument = exchange._account(account), exchange.assets_.find(symbol)
    if instrument is None:
        raise invalid(f'asset "{symbol}" not found')
    try:
        units = to_units(qty, instrument.qty_exp)
    except ValueError:
        raise invalid(f"invalid qty: {qty}") from None
    position = owner.positions.setdefault(instrument.id, Position())
    if not units or (units < 0 and -units > position.qty):
        raise invalid("qty must be what the account has, or come in")
    position.fill(Side.BUY if units > 0 else Side.SELL, exchange.mark(instrument.id), abs(units), value_exp(instrument))
    if not told:
        return None
    shown = format_units(units, instrument.qty_exp)
    return show_entry(enter(exchange, owner.id, kind, 0, "shares transferred", symbol=instrument.symbol, qty=shown))


def charge(exchange: "Trading", row: Row, px: int, qty: int) -> None:
    """The fees of a fill of `row`, if this venue takes any."""
    if exchange.fees is None or row.side is not Side.SELL or "/" in row.symbol or row.instrument >= FIRST_CONTRACT:
        return
    exp = exchange.assets_.instruments[row.instrument].qty_exp
    for name, fee in exchange.fees.of(px, qty, exp).items():
        text = f"{name} fee for proceed of {format_units(qty, exp)} shares ({row.symbol})"
        enter(exchange, row.account, "FEE", -fee, text)


def show_entry(entry: Entry) -> Body:
    """A non-trade row of GET /v2/account/activities."""
    body: Body = {
        "id": entry.id,
        "activity_type": entry.type,
        "date": entry.date,
        "created_at": format_time(entry.ts),
        "net_amount": money_text(entry.net),
        "description": entry.description,
        "status": "executed",
    }
    more = {"symbol": entry.symbol, "qty": entry.qty, "price": entry.price, "per_share_amount": entry.per_share}
    return body | {name: text for name, text in more.items() if text}


def ahead(state: "State", types: frozenset[str] | None, direction: str, after: int) -> "Iterator[Fill | Entry]":
    """Fills and entries of every account, merged by time; after: ns UTC, exclusive; types None = all."""
    fills, entries = state.fills, state.entries
    if after:
        fills, entries = (rows[bisect_right(rows, after, key=attrgetter("ts")) :] for rows in (fills, entries))  # type: ignore[assignment]
    desc = direction != "asc"
    wanted: list[Iterator[Fill | Entry]] = []
    if types is None or "FILL" in types:
        wanted.append(iter(reversed(fills) if desc else fills))
    if entries:
        wanted.append(entry for entry in (reversed(entries) if desc else entries) if types is None or entry.type in types)
    return merge(*wanted, key=lambda row: (row.ts, isinstance(row, Entry)), reverse=desc)
