"""An order as the broker's rules see it, the prices that the venue goes by, and the words for both."""

from collections.abc import Callable
from typing import NamedTuple, TypeVar

from pyrt._core.types import Side, format_units
from pyrt.calendar import Calendar
from pyrt.clock import Now
from pyrt.model import AccountSeen, AssetClass, AssetSeen, Instrument, Intent, OrderClass, TimeInForce

ONE_DOLLAR = 1_000_000_000  # px units
FIFTY = 50 * ONE_DOLLAR
CENT = 10_000_000
SMALL_TICK = 100_000  # 0.0001, below 1.00
MONEY = 10**9  # 1e-18 money in one 1e-9 unit
SHORTS_NEED = 2_000 * ONE_DOLLAR  # of equity
EQUITY, CRYPTO, OPTION = AssetClass.US_EQUITY, AssetClass.CRYPTO, AssetClass.OPTION
AUCTIONS = (TimeInForce.OPG, TimeInForce.CLS)
RESTING = (TimeInForce.DAY, TimeInForce.GTC)

T = TypeVar("T")


def ask_core(question: Callable[..., T], intent: Intent, root: int, now: Now) -> T:
    """Put an intent to the core's check, or to what measures it, as the core takes it; `root`: the chain that it changes, or 0."""
    return question(
        intent.key,
        intent.strategy,
        intent.instrument,
        intent.side,
        intent.type,
        intent.qty,
        intent.limit_px,
        intent.stop_px,
        now=now.venue,
        mono=now.mono,
        trail=intent.trail,
        reduce_only=intent.reduce_only,
        extended=intent.extended_hours,
        auction=intent.tif in AUCTIONS,
        replaces=root,
    )


class Asked(NamedTuple):
    """An order, and what is known when it is asked for; quantities in qty units, prices in px units."""

    intent: Intent
    instrument: Instrument
    asset: AssetSeen | Instrument  # what may be done with it, as last told
    account: AccountSeen | None
    calendar: Calendar | None  # None: the venue never closes
    now: int
    one: int  # qty units of a whole share
    replaces: bool  # it changes a working order
    filled: int  # of the order that it changes
    freed: int  # money that the order that it changes holds
    position: int  # the account's, signed
    offered: int  # open orders of the same side, but for the one that it changes
    ask_px: int  # what a buyer may expect; 0 = not known
    bid_px: int  # and a seller
    committed: int  # money that open orders and fills took since the account was seen

    @property
    def qty(self) -> int:
        """What of it may still trade."""
        return self.intent.qty - self.filled

    @property
    def opens(self) -> bool:
        """Whether it adds to what the account holds."""
        return self.position >= 0 if self.intent.side == Side.BUY else self.position <= 0

    @property
    def has_part(self) -> bool:
        """Whether its quantity has a part of a share."""
        return self.intent.qty % self.one != 0


def reserved_px(a: Asked) -> int:
    """What the venue sets aside for a unit: a buy's limit, else 4 % (2.5 % from 50.00) over stop, trail or ask; a short 3 %."""
    i = a.intent
    if i.side == Side.SELL:
        return max(i.limit_px, i.stop_px, a.ask_px * 103 // 100)
    return i.limit_px or collar(i.stop_px or a.ask_px + (i.trail_px or a.ask_px * i.trail_ratio // ONE_DOLLAR))


def collar(px: int) -> int:
    """The most that a market buy may pay when `px` is asked."""
    most = px * 104 // 100 if px < FIFTY else px * 1025 // 1000
    return max(px, most - most % CENT)


def tick_at(instrument: Instrument, px: int) -> int:
    """The price increment that the venue demands at a price."""
    if instrument.asset_class == CRYPTO:
        return instrument.tick
    return CENT if px >= ONE_DOLLAR or instrument.asset_class == OPTION else SMALL_TICK


def qty_text(a: Asked, qty: int) -> str:
    """A quantity in whole units."""
    return format_units(qty, a.instrument.qty_exp)


def whole_text(a: Asked) -> str:
    """The whole quantities beside the one that was asked for."""
    below = a.intent.qty // a.one
    return f"{below} or {below + 1}" if below else "1"


def tif_text(a: Asked) -> str:
    """The time in force as the venue writes it."""
    return a.intent.tif.name.lower()


def type_text(a: Asked) -> str:
    """The type in words."""
    return a.intent.type.name.lower().replace("_", " ")


def kind_text(a: Asked) -> str:
    """What the order is, in words."""
    simple = a.intent.order_class == OrderClass.SIMPLE
    return f"a {type_text(a)}" if simple else f"a {a.intent.order_class.name.lower()} order"
