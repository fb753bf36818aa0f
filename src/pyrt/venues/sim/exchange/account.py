"""Money and shares of one account, exact: money in 1e-18, prices in 1e-9, quantities in 10^-qty_exp."""

from collections.abc import Callable
from decimal import Decimal

import msgspec

from pyrt._core.types import Side, format_units
from pyrt.model import AssetClass, Instrument
from pyrt.venues.sim.exchange.configuration import Configuration, Permissions
from pyrt.venues.sim.exchange.orders import FIRST_CONTRACT, Body, average
from pyrt.venues.sim.exchange.samples import Samples
from pyrt.venues.sim.exchange.watchlists import Watchlist
from pyrt.venues.sim.times import format_time

ONE = 10**18  # money units of 1.00
MARGIN_EQUITY = 2_000 * ONE  # below it an account has no margin and may not sell short
DAY_EQUITY = 25_000 * ONE  # before July 2026: below it no four day trades in five days, and no margin of 4
Instruments = dict[int, Instrument]
Marks = Callable[[int], int]


def money(px: int, qty: int, qty_exp: int) -> int:
    """Px * qty in money units."""
    scale: int = 10 ** (9 - qty_exp)
    return px * qty * scale


def value_exp(instrument: Instrument) -> int:
    """The exponent that money() takes: a contract on 100 shares counts a hundredfold, which is two places."""
    return instrument.qty_exp - (len(str(instrument.multiplier)) - 1)


def money_text(units: int) -> str:
    """Money units as exact decimal text without trailing zeros."""
    whole, rest = divmod(abs(units), ONE)
    text = f"{whole}.{rest:018d}".rstrip("0").rstrip(".") if rest else str(whole)
    return "-" + text if units < 0 else text


def read_money(text: str | int | Decimal) -> int:
    """Decimal text as money units. Raises ValueError beyond 18 decimals."""
    units = Decimal(str(text)).scaleb(18)
    if units != int(units):
        raise ValueError(f"{text} has more than 18 decimals")
    return int(units)


def ratio_text(part: int, whole: int) -> str:
    """Part / |whole| to nine decimals, rounded down; "0" of nothing."""
    return format_units(part * 10**9 // abs(whole)) if whole else "0"


class Position(msgspec.Struct):
    """Shares of one instrument: qty negative = short, cost what the open ones were bought (or, negative, sold) for."""

    qty: int = 0
    cost: int = 0  # money units, the sign of qty
    day_qty: int = 0  # what is left of the shares that the day began with
    realised: int = 0
    fresh: int = 0  # money units, the sign of qty: what the shares of today among the open ones cost

    def fill(self, side: Side, px: int, qty: int, qty_exp: int) -> None:
        """Book one execution; a reduction takes floor(cost * closed / qty) out of the cost."""
        signed = qty if side is Side.BUY else -qty
        if self.qty * signed < 0:
            closed = min(qty, abs(self.qty))
            part = self.cost * closed // abs(self.qty)
            sign = 1 if self.qty > 0 else -1
            today = abs(self.qty) - abs(self.day_qty)
            self.fresh -= self.fresh * min(closed, today) // today if today else 0
            self.realised += sign * money(px, closed, qty_exp) - part
            self.cost -= part
            self.qty -= sign * closed
            signed -= -sign * closed
            self.day_qty = sign * min(abs(self.day_qty), abs(self.qty))
        self.qty += signed
        self.cost += money(px, signed, qty_exp)
        self.fresh += money(px, signed, qty_exp)


class Account(msgspec.Struct, kw_only=True):
    """One account: cash, positions, what its open orders reserve, the client ids it ever used."""

    id: str
    number: str
    cash: int  # money units
    multiplier: int
    created_at: int
    start_cash: int
    last_equity: int
    reserved: int = 0  # money units, sum over open opening orders
    last_maintenance: int = 0
    balance_day: str = ""
    positions: dict[int, Position] = msgspec.field(default_factory=dict)
    cids: dict[str, int] = msgspec.field(default_factory=dict)  # client_order_id -> order number, for ever
    configuration: Configuration = Configuration()
    permissions: Permissions = Permissions()
    day_trades: list[tuple[str, int]] = msgspec.field(default_factory=list)  # ISO day and order; counted before July 2026
    day_power: int = 0  # money units of day-trading buying power that the day began with
    samples: Samples = msgspec.field(default_factory=Samples)
    watchlists: dict[str, Watchlist] = msgspec.field(default_factory=dict)  # by id
    key: str = ""  # that opens it; empty = that of the venue's own configuration
    secret: str = ""
    no_exercise: list[int] = msgspec.field(default_factory=list)  # contracts that are to expire unexercised


class Figures(msgspec.Struct, frozen=True):
    """What an account is worth at given marks; money units."""

    cash: int
    long: int
    short: int  # negative
    maintenance: int
    reserved: int
    multiplier: int
    pairs: int = 0  # of long: crypto, on which nothing can be borrowed
    options: int = 0  # market value of contracts, part of long + short
    options_gross: int = 0  # the same without signs
    locked: int = 0  # what short contracts may lose
    options_reserved: int = 0  # part of reserved: orders in contracts

    @property
    def equity(self) -> int:
        """Cash and positions."""
        return self.cash + self.long + self.short

    @property
    def gross(self) -> int:
        """Market value of long and short, both positive."""
        return self.long - self.short

    def free(self, multiplier: int) -> int:
        """What may be opened: multiplier * equity, less what is open and what orders reserve; negative where too much is.

        Nothing is borrowed on pairs and contracts: what they take counts before the multiplier.
        """
        own = self.equity - self.pairs - self.options - self.locked - self.options_reserved
        return multiplier * own - (self.gross - self.pairs - self.options_gross) - (self.reserved - self.options_reserved)

    def power(self, multiplier: int) -> int:
        """What may be opened, never below 0."""
        return max(0, self.free(multiplier))

    @property
    def options_free(self) -> int:
        """What contracts may cost: the buying power without the multiplier; negative where too much is open."""
        return self.free(self.multiplier) // self.multiplier

    @property
    def buying_power(self) -> int:
        """At the account's own multiplier."""
        return self.power(self.multiplier)

    @property
    def settled(self) -> int:
        """Cash that no order reserves: what may buy that on which nothing can be borrowed."""
        return max(0, min(self.cash, self.equity) - self.reserved)


def _maintenance(qty: int, px: int, qty_exp: int) -> int:
    """Long 30 % (100 % under 2.50); short max(5.00, 30 %) a share, under 5.00 max(2.50, 100 %)."""
    if qty >= 0:
        return money(px, qty, qty_exp) * (100 if px < 2_500_000_000 else 30) // 100
    share = max(5_000_000_000, px * 30 // 100) if px >= 5_000_000_000 else max(2_500_000_000, px)
    return money(share, -qty, qty_exp)


def figures(account: Account, instruments: Instruments, mark: Marks, old: bool = False) -> Figures:
    """Value an account at the marks; `old`: by the rules before July 2026."""
    long = short = maintenance = pairs = 0
    for instrument, position in account.positions.items():
        if position.qty:
            px, exp = mark(instrument), value_exp(instruments[instrument])
            value = money(px, position.qty, exp)
            long, short = (long + value, short) if value > 0 else (long, short + value)
            if instruments[instrument].asset_class == AssetClass.CRYPTO:
                pairs += value
                maintenance += value
            elif instrument < FIRST_CONTRACT:
                maintenance += _maintenance(position.qty, px, exp)
    multiplier = _multiplier(account, account.cash + long + short, old)
    return Figures(account.cash, long, short, maintenance, account.reserved, multiplier, pairs)


def _multiplier(account: Account, equity: int, old: bool) -> int:
    """The account's own, capped by its owner's wish; none below 2,000 of equity, and once no 4 below 25,000."""
    if equity < MARGIN_EQUITY:
        return 1
    most = 2 if old and account.last_equity < DAY_EQUITY else 4
    return min(account.multiplier, account.configuration.multiplier, most)


def _values(account: Account, worth: Figures) -> dict[str, int]:
    """What of the account is money, by its name there."""
    power, settled = worth.buying_power, worth.settled
    return {
        "cash": worth.cash,
        "buying_power": power,
        "regt_buying_power": worth.power(min(2, worth.multiplier)),
        "non_marginable_buying_power": settled,
        "options_buying_power": max(0, worth.options_free),
        "effective_buying_power": power,
        "portfolio_value": worth.equity,
        "equity": worth.equity,
        "last_equity": account.last_equity,
        "long_market_value": worth.long,
        "short_market_value": worth.short,
        "position_market_value": worth.gross,
        "initial_margin": (worth.gross - worth.pairs - worth.options_gross) // min(2, worth.multiplier)
        + worth.pairs
        + worth.locked,
        "maintenance_margin": worth.maintenance + worth.locked,
        "last_maintenance_margin": account.last_maintenance,
        "sma": worth.equity,
    }


def show_account(account: Account, worth: Figures) -> Body:
    """The object of GET /v2/account."""
    permissions = account.permissions
    return {
        "id": account.id,
        "account_number": account.number,
        "status": "ACTIVE",
        "crypto_status": "ACTIVE" if "crypto" in permissions.asset_classes else "INACTIVE",
        "currency": "USD",
        **{key: money_text(value) for key, value in _values(account, worth).items()},
        "multiplier": str(worth.multiplier),
        "accrued_fees": "0",
        "pending_transfer_in": "0",
        "trading_blocked": permissions.trading_blocked,
        "transfers_blocked": permissions.transfers_blocked,
        "account_blocked": permissions.account_blocked,
        "trade_suspended_by_user": account.configuration.suspend_trade,
        "shorting_enabled": worth.multiplier > 1 and not account.configuration.no_shorting,
        "created_at": format_time(account.created_at),
        "options_approved_level": 0,
        "options_trading_level": 0,
        "crypto_tier": 1 if "crypto" in permissions.asset_classes else 0,
        "balance_asof": account.balance_day,
    }


def show_position(position: Position, asset: Body, instrument: Instrument, px: int, last_px: int, held: int) -> Body:
    """The object of GET /v2/positions: `held` qty units wait in open closing orders, `last_px` was the last day's price."""
    qty_exp, exp = instrument.qty_exp, value_exp(instrument)
    value, size = money(px, position.qty, exp), abs(position.qty)
    available = max(0, size - held)
    gain = value - position.cost
    day_base = money(last_px, position.day_qty, exp) + position.fresh
    day_gain = value - day_base
    return {
        "asset_id": asset["id"],
        "symbol": asset["symbol"],
        "exchange": asset["exchange"],
        "asset_class": asset["class"],
        "asset_marginable": asset["marginable"],
        "qty": format_units(position.qty, qty_exp),
        "qty_available": format_units(available if position.qty > 0 else -available, qty_exp),
        "side": "long" if position.qty > 0 else "short",
        "avg_entry_price": format_units(average(abs(position.cost), size * 10 ** (9 - exp))),
        "market_value": money_text(value),
        "cost_basis": money_text(position.cost),
        "unrealized_pl": money_text(gain),
        "unrealized_plpc": ratio_text(gain, position.cost),
        "unrealized_intraday_pl": money_text(day_gain),
        "unrealized_intraday_plpc": ratio_text(day_gain, value - day_gain),
        "current_price": format_units(px),
        "lastday_price": format_units(last_px),
        "change_today": ratio_text(px - last_px, last_px),
    }
