"""The table of Alpaca's rules for orders, by asset class: what each demands, and how an order that breaks it is mended.

A test is a function of what was asked: None where the order is in order, else what is wrong with it and what to change.
"""

from collections.abc import Callable, Iterator
from typing import NamedTuple

from pyrt._core.types import Side, format_units
from pyrt.calendar import Calendar, new_york_text
from pyrt.model import AccountSeen, AssetClass, Instrument, Intent, OrderType, TimeInForce

ONE_DOLLAR = 1_000_000_000  # px units
FIFTY = 50 * ONE_DOLLAR
CENT = 10_000_000
SMALL_TICK = 100_000  # 0.0001, below 1.00
MONEY = 10**9  # 1e-18 money in one 1e-9 unit
EQUITY, CRYPTO, OPTION = AssetClass.US_EQUITY, AssetClass.CRYPTO, AssetClass.OPTION
AUCTIONS = (TimeInForce.OPG, TimeInForce.CLS)
RESTING = (TimeInForce.DAY, TimeInForce.GTC)

Said = tuple[str, str] | None  # what is wrong, how to mend it


class Asked(NamedTuple):
    """An order, and what is known when it is asked for; quantities in qty units, prices in px units."""

    intent: Intent
    instrument: Instrument
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


class Rule(NamedTuple):
    """One rule. `control`: the risk gate's code that says the same; a refusal then names the rule beside it."""

    name: str
    classes: tuple[AssetClass, ...]
    says: str
    answer: str  # of the venue, to an order that breaks it
    test: Callable[[Asked], Said]
    control: str = ""


# ---------------------------------------------------------------------------------------------------- the asset, the price
def _tradable(a: Asked) -> Said:
    return None if a.instrument.tradable else (f"{a.instrument.symbol} is not tradable", "take it out of `symbols`")


def _tick(a: Asked) -> Said:
    for px in (a.intent.limit_px, a.intent.stop_px):
        tick = _tick_at(a.instrument, px)
        if px % tick:
            below = px - px % tick
            return f"price {format_units(px)}", f"use {format_units(below)} or {format_units(below + tick)}"
    return None


def _tick_at(instrument: Instrument, px: int) -> int:
    if instrument.asset_class == CRYPTO:
        return instrument.tick
    return CENT if px >= ONE_DOLLAR or instrument.asset_class == OPTION else SMALL_TICK


# ---------------------------------------------------------------------------------------------------- parts of shares
def _part_day(a: Asked) -> Said:
    if not a.has_part or a.intent.tif == TimeInForce.DAY:
        return None
    return f"{_qty(a, a.intent.qty)} with tif={_tif(a)}", f"use tif=day, or {_whole(a)}"


def _part_off(a: Asked) -> Said:
    if not a.has_part or a.account is None or a.account.fractional:
        return None
    return _qty(a, a.intent.qty), f"use {_whole(a)}, or allow fractional trading in the account's configuration"


def _part_short(a: Asked) -> Said:
    if not a.has_part or a.intent.side == Side.BUY or a.position > 0:
        return None
    return f"a sale of {_qty(a, a.intent.qty)} that opens a short position", f"use {_whole(a)}"


def _part_least(a: Asked) -> Said:
    if not a.has_part or not a.opens or a.intent.side != Side.BUY:
        return None
    px = _reserved_px(a)
    if not px or a.intent.qty * px >= a.one * ONE_DOLLAR:
        return None
    return f"{_qty(a, a.intent.qty)} at {format_units(px)}", f"buy for 1 dollar or more: {_qty(a, -(-a.one * ONE_DOLLAR // px))}"


def _part_replaced(a: Asked) -> Said:
    if not a.replaces or a.intent.qty % a.one == 0:
        return None
    return f"a replacement of {_qty(a, a.intent.qty)}", "cancel the order and send another"


# ---------------------------------------------------------------------------------------------------- hours and auctions
def _extended(a: Asked) -> Said:
    if not a.intent.extended_hours or (a.intent.type == OrderType.LIMIT and a.intent.tif in RESTING):
        return None
    return f"a {_type(a)} order with tif={_tif(a)}", "give it a limit and tif=day, or leave out extended_hours"


def _no_extended(a: Asked) -> Said:
    return ("extended_hours", "leave out extended_hours") if a.intent.extended_hours else None


def _auction_type(a: Asked) -> Said:
    if a.intent.tif not in AUCTIONS or a.intent.type in (OrderType.MARKET, OrderType.LIMIT):
        return None
    return f"a {_type(a)} order with tif={_tif(a)}", "send a market or a limit order"


def _auction_time(a: Asked) -> Said:
    if a.intent.tif not in AUCTIONS:
        return None
    if a.calendar is None:
        return f"tif={_tif(a)} at a venue that never closes", "use tif=day, or run the venue with its calendar"
    shut = a.calendar.auction_shut(a.now, closing=a.intent.tif == TimeInForce.CLS)
    if shut is None:
        return None
    return (
        f"tif={_tif(a)} at {new_york_text(a.now)}",
        f"send it before {new_york_text(shut[0])}, or from {new_york_text(shut[1])} on",
    )


def _auction_replaced(a: Asked) -> Said:
    if not a.replaces or a.intent.tif not in AUCTIONS:
        return None
    return f"a replacement with tif={_tif(a)}", "cancel the order and send another"


# ---------------------------------------------------------------------------------------------------- positions, shorts, money
def _turn(a: Asked) -> Said:
    if a.opens:
        return None
    free = max(0, abs(a.position) - a.offered)
    if a.qty <= free:
        return None
    held = f"{_qty(a, a.qty)} where {_qty(a, a.position)} are held and {_qty(a, a.offered)} offered"
    return held, f"close {_qty(a, free)} first, then open the rest" if free else "cancel an open order of this side first"


def _short(a: Asked) -> Said:
    if a.intent.side == Side.BUY or a.position > 0:
        return None
    if not a.instrument.shortable:
        return f"{a.instrument.symbol} cannot be borrowed", "sell no more than is held"
    if a.account is not None and not a.account.shorting:
        return "this account may not sell short", "sell no more than is held, or allow shorting in the account's configuration"
    if a.account is not None and a.account.equity < 2_000 * ONE_DOLLAR:
        return f"equity of {format_units(a.account.equity)}", "sell no more than is held: shorts need 2000 of equity"
    return None


def _borrow(a: Asked) -> Said:
    if a.instrument.easy_to_borrow or not a.instrument.shortable or a.intent.tif == TimeInForce.DAY:
        return None
    return f"{a.instrument.symbol} is hard to borrow; tif={_tif(a)}", "use tif=day"


def _power(a: Asked) -> Said:
    if a.account is None or not a.opens:
        return None
    return _afforded(a, a.account.buying_power)


def _cash(a: Asked) -> Said:
    if a.account is None or a.intent.side != Side.BUY or a.account.settled is None:
        return None
    return _afforded(a, a.account.settled)


def _afforded(a: Asked, power: int) -> Said:
    px = _reserved_px(a)
    cost = px * a.qty * MONEY * a.instrument.multiplier // a.one
    free = power * MONEY - a.committed + a.freed
    if not px or cost <= free:
        return None
    most = max(0, free * a.one // (px * MONEY * a.instrument.multiplier))
    most -= most % a.instrument.lot
    return f"{_qty(a, a.qty)} reserve {format_units(px)} each", f"at most {_qty(a, most)} can be paid for now"


def _reserved_px(a: Asked) -> int:
    """What the venue sets aside for a unit: a buy's limit, else 4 % (2.5 % from 50.00) over the stop or the ask; a short 3 %."""
    i = a.intent
    if i.side == Side.SELL:
        return max(i.limit_px, i.stop_px, a.ask_px * 103 // 100)
    return i.limit_px or collar(i.stop_px or a.ask_px)


def collar(px: int) -> int:
    """The most that a market buy may pay when `px` is asked."""
    most = px * 104 // 100 if px < FIFTY else px * 1025 // 1000
    return max(px, most - most % CENT)


# ---------------------------------------------------------------------------------------------------- pairs and contracts
def _pair_type(a: Asked) -> Said:
    return (f"a {_type(a)} order", "use a market, limit or stop-limit order") if a.intent.type == OrderType.STOP else None


def _pair_tif(a: Asked) -> Said:
    return None if a.intent.tif in (TimeInForce.GTC, TimeInForce.IOC) else (f"tif={_tif(a)}", "use tif=gtc or tif=ioc")


def _pair_least(a: Asked) -> Said:
    least = a.instrument.min_qty
    return (_qty(a, a.intent.qty), f"use {_qty(a, least)} or more") if a.intent.qty < least else None


def _pair_long(a: Asked) -> Said:
    if a.intent.side == Side.BUY:
        return None
    free = max(0, a.position - a.offered)
    return (f"{_qty(a, a.qty)} of {_qty(a, free)}", f"sell at most {_qty(a, free)}") if a.qty > free else None


def _pair_allowed(a: Asked) -> Said:
    if a.account is None or a.account.crypto:
        return None
    return "this account may not trade crypto", "sign its crypto agreement, or take the pair out of `symbols`"


def _contract_tif(a: Asked) -> Said:
    return None if a.intent.tif in RESTING else (f"tif={_tif(a)}", "use tif=day")


def _contract_whole(a: Asked) -> Said:
    return (_qty(a, a.intent.qty), f"use {_whole(a)}") if a.has_part else None


def _contract_level(a: Asked) -> Said:
    wanted = 2 if a.opens and a.intent.side == Side.BUY else 1
    if a.account is None or a.account.options_level >= wanted:
        return None
    return f"options level {a.account.options_level}", f"apply for level {wanted}"


ALL = (EQUITY, CRYPTO, OPTION)
INVALID, NO = "422 42210000", "403 40310000"
RULES = (
    Rule("tradable", ALL, "the asset is active and tradable", INVALID, _tradable),
    Rule("price-tick", (EQUITY,), "two decimals from 1.00 on, four below", INVALID, _tick, "PRICE_COLLAR"),
    Rule("price-tick", (CRYPTO,), "a multiple of the pair's price increment", INVALID, _tick, "PRICE_COLLAR"),
    Rule("price-tick", (OPTION,), "two decimals", INVALID, _tick, "PRICE_COLLAR"),
    Rule("part-day", (EQUITY,), "parts of shares only with tif=day", INVALID, _part_day),
    Rule("part-allowed", (EQUITY,), "parts of shares only where the account's owner allows them", NO, _part_off),
    Rule("part-short", (EQUITY,), "no part of a share is sold short", INVALID, _part_short),
    Rule("part-least", (EQUITY,), "an order with a part of a share that opens is worth 1.00", INVALID, _part_least),
    Rule("part-replace", ALL, "a replacement is for a whole quantity", INVALID, _part_replaced),
    Rule("extended-limit", (EQUITY,), "extended hours only with a limit and tif=day or gtc", "422 40010001", _extended),
    Rule("extended-none", (CRYPTO, OPTION), "no extended hours", "422 40010001", _no_extended),
    Rule("auction-type", (EQUITY,), "opg and cls orders are market or limit orders", "422 40010001", _auction_type),
    Rule("auction-time", (EQUITY,), "not from 9:28 (opg), 10 minutes before the close (cls) to 19:00", INVALID, _auction_time),
    Rule("auction-replace", (EQUITY,), "no replacement with tif=opg or cls", "422 40010001", _auction_replaced),
    Rule("turn", (EQUITY, OPTION), "one order does not turn a position over", NO, _turn, "SHORT_NOT_ALLOWED"),
    Rule("short", (EQUITY,), "something to borrow, 2000 of equity, and leave", NO, _short, "SHORT_NOT_ALLOWED"),
    Rule("borrow-day", (EQUITY,), "hard to borrow: only tif=day", INVALID, _borrow),
    Rule("buying-power", (EQUITY,), "what opens can be paid for, with what the venue sets aside", NO, _power, "BUYING_POWER"),
    Rule("pair-type", (CRYPTO,), "market, limit or stop-limit", "422 40010001", _pair_type),
    Rule("pair-tif", (CRYPTO,), "gtc or ioc", INVALID, _pair_tif),
    Rule("pair-least", (CRYPTO,), "no less than the pair's smallest order", INVALID, _pair_least),
    Rule("pair-long", (CRYPTO,), "no more is sold than is held and not yet offered", NO, _pair_long, "SHORT_NOT_ALLOWED"),
    Rule("pair-cash", (CRYPTO,), "bought with cash that no order holds: nothing is borrowed", NO, _cash, "BUYING_POWER"),
    Rule("pair-allowed", (CRYPTO,), "the account may trade crypto", "422 40010001", _pair_allowed),
    Rule("contract-tif", (OPTION,), "day or gtc", "422 40010001", _contract_tif),
    Rule("contract-whole", (OPTION,), "whole contracts", INVALID, _contract_whole),
    Rule("contract-level", (OPTION,), "level 1 to write or close, 2 to buy", NO, _contract_level),
)  # fmt: skip
BY_CLASS = {kind: tuple(rule for rule in RULES if kind in rule.classes) for kind in AssetClass}


def markdown() -> Iterator[str]:
    """The rows of the table in docs/orders.md."""
    yield "| rule | for | demands | the venue would answer |"
    yield "|---|---|---|---|"
    names = {EQUITY: "shares", CRYPTO: "crypto", OPTION: "options"}
    for rule in RULES:
        says = f"{rule.says} (`{rule.control}`)" if rule.control else rule.says
        yield f"| `{rule.name}` | {', '.join(names[kind] for kind in rule.classes)} | {says} | {rule.answer} |"


# ---------------------------------------------------------------------------------------------------- words
def _qty(a: Asked, qty: int) -> str:
    return format_units(qty, a.instrument.qty_exp)


def _whole(a: Asked) -> str:
    below = a.intent.qty // a.one
    return f"{below} or {below + 1}" if below else "1"


def _tif(a: Asked) -> str:
    return a.intent.tif.name.lower()


def _type(a: Asked) -> str:
    return a.intent.type.name.lower()
