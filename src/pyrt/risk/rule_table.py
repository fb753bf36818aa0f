"""The table of Alpaca's rules for orders, by asset class: what each demands, and how an order that breaks it is mended.

A test is a function of what was asked: None where the order is in order, else what is wrong with it and what to change.
"""

from collections.abc import Callable, Iterator
from functools import cache
from typing import NamedTuple

from pyrt._core.types import Side, format_units
from pyrt.calendar import new_york_text
from pyrt.errors import DataError
from pyrt.model import AssetClass, OrderClass, OrderType, TimeInForce
from pyrt.risk.asked import (
    AUCTIONS,
    CENT,
    CRYPTO,
    EQUITY,
    MONEY,
    ONE_DOLLAR,
    OPTION,
    RESTING,
    SHORTS_NEED,
    Asked,
    kind_text,
    qty_text,
    reserved_px,
    tick_at,
    tif_text,
    type_text,
    whole_text,
)

Said = tuple[str, str] | None  # what is wrong, how to mend it


PART, GROUP, TRAILS, EXTENDED, AUCTION, REPLACES = (1 << bit for bit in range(6))  # what an order may have


class Rule(NamedTuple):
    """One rule. `control`: the risk gate's code that says the same; a refusal then names the rule beside it."""

    name: str
    classes: tuple[AssetClass, ...]
    says: str
    answer: str  # of the venue, to an order that breaks it
    test: Callable[[Asked], Said]
    control: str = ""
    code: str = "BROKER_RULE"  # of a refusal for this rule alone
    needs: int = 0  # what an order must have for the rule to be about it: a plain order is asked a third of them


# ---------------------------------------------------------------------------------------------------- the asset, the price
def _tradable(a: Asked) -> Said:
    return None if a.asset.tradable else (f"{a.instrument.symbol} is not tradable", "take it out of `symbols`")


def _tick(a: Asked) -> Said:
    i = a.intent
    for px in (i.limit_px, i.stop_px, i.trail_px, i.target_px, i.guard_px, i.guard_limit_px):
        tick = tick_at(a.instrument, px)
        if px % tick:
            below = px - px % tick
            return f"price {format_units(px)}", f"use {format_units(below)} or {format_units(below + tick)}"
    return None


# ---------------------------------------------------------------------------------------------------- parts of shares
def _part_day(a: Asked) -> Said:
    if not a.has_part or a.intent.tif == TimeInForce.DAY:
        return None
    return f"{qty_text(a, a.intent.qty)} with tif={tif_text(a)}", f"use tif=day, or {whole_text(a)}"


def _part_off(a: Asked) -> Said:
    if not a.has_part or a.account is None or a.account.fractional:
        return None
    return qty_text(a, a.intent.qty), f"use {whole_text(a)}, or allow fractional trading in the account's configuration"


def _part_short(a: Asked) -> Said:
    if not a.has_part or a.intent.side == Side.BUY or a.position > 0:
        return None
    return f"a sale of {qty_text(a, a.intent.qty)} that opens a short position", f"use {whole_text(a)}"


def _part_least(a: Asked) -> Said:
    if not a.has_part or not a.opens or a.intent.side != Side.BUY:
        return None
    px = reserved_px(a)
    if not px or a.intent.qty * px >= a.one * ONE_DOLLAR:
        return None
    return (
        f"{qty_text(a, a.intent.qty)} at {format_units(px)}",
        f"buy for 1 dollar or more: {qty_text(a, -(-a.one * ONE_DOLLAR // px))}",
    )


def _part_replaced(a: Asked) -> Said:
    if not a.replaces or a.intent.qty % a.one == 0:
        return None
    return f"a replacement of {qty_text(a, a.intent.qty)}", "cancel the order and send another"


def _part_simple(a: Asked) -> Said:
    grouped = a.intent.order_class != OrderClass.SIMPLE
    if not a.has_part or not (grouped or a.intent.type == OrderType.TRAILING_STOP):
        return None
    return f"{qty_text(a, a.intent.qty)} in {kind_text(a)}", f"use {whole_text(a)}"


# ---------------------------------------------------------------------------------------------------- trailing stops, groups
def _trail_rests(a: Asked) -> Said:
    if a.intent.type != OrderType.TRAILING_STOP or a.intent.tif in RESTING:
        return None
    return f"a trailing stop with tif={tif_text(a)}", "use tif=day or tif=gtc"


def _group_asset(a: Asked) -> Said:
    return (kind_text(a), "send simple orders") if a.intent.order_class != OrderClass.SIMPLE else None


def _group_rests(a: Asked) -> Said:
    if a.intent.order_class == OrderClass.SIMPLE or (a.intent.tif in RESTING and not a.intent.extended_hours):
        return None
    hours = " in extended hours" if a.intent.extended_hours else ""
    return f"{kind_text(a)} with tif={tif_text(a)}{hours}", "use tif=day or tif=gtc, and leave out extended_hours"


def _group_type(a: Asked) -> Said:
    i = a.intent
    if i.order_class == OrderClass.SIMPLE or i.type == OrderType.LIMIT:
        return None
    if i.order_class != OrderClass.OCO and i.type == OrderType.MARKET:
        return None
    wanted = "a limit order" if i.order_class == OrderClass.OCO else "a market or a limit order"
    return f"{kind_text(a)} as a {type_text(a)} order", f"send {wanted}"


def _group_side(a: Asked) -> Said:
    kind = a.intent.order_class
    if kind == OrderClass.SIMPLE or a.opens == (kind != OrderClass.OCO):
        return None
    if kind == OrderClass.OCO:
        return f"{kind_text(a)} that would open a position", "enter with a bracket, or protect what is held"
    return f"{kind_text(a)} that would close a position", "close with a simple order or an oco"


def _group_exits(a: Asked) -> Said:
    i = a.intent
    target, guard = bool(i.target_px or (i.order_class == OrderClass.OCO and i.limit_px)), bool(i.guard_px)
    if i.order_class == OrderClass.OTO and target == guard:
        return (
            f"{kind_text(a)} with {'both exits' if target else 'no exit'}",
            "give a take-profit or a stop-loss, or send a bracket",
        )
    if i.order_class in (OrderClass.BRACKET, OrderClass.OCO) and not (target and guard):
        return f"{kind_text(a)} with one exit", "give a take-profit and a stop-loss"
    return None


def _group_prices(a: Asked) -> Said:
    """The take-profit on the better side of the stop, and both a cent or more away from where the entry is expected to trade."""
    i = a.intent
    if i.order_class == OrderClass.SIMPLE:
        return None
    oco, buys = i.order_class == OrderClass.OCO, i.side == Side.BUY
    target, up = i.target_px or (i.limit_px if oco else 0), buys != oco
    if target and i.guard_px and (target <= i.guard_px if up else target >= i.guard_px):
        return _exits(a, target), f"put the take-profit {'above' if up else 'below'} the stop-loss"
    base = 0 if oco else i.limit_px or (a.ask_px if buys else a.bid_px)
    for px, above in ((target, up), (i.guard_px, not up)):
        if px and base and ((px - base) if above else (base - px)) < CENT:
            near = base + CENT if above else base - CENT
            what = "the take-profit" if px == target else "the stop-loss"
            return f"{_exits(a, target)} for an entry at {format_units(base)}", f"{what} at {format_units(near)} or {_way(above)}"
    return None


def _exits(a: Asked, target: int) -> str:
    return f"take-profit {format_units(target)}, stop-loss {format_units(a.intent.guard_px)}"


def _way(above: bool) -> str:
    return "above" if above else "below"


# ---------------------------------------------------------------------------------------------------- hours and auctions
def _extended(a: Asked) -> Said:
    if not a.intent.extended_hours or (a.intent.type == OrderType.LIMIT and a.intent.tif in RESTING):
        return None
    return f"a {type_text(a)} order with tif={tif_text(a)}", "give it a limit and tif=day, or leave out extended_hours"


def _no_extended(a: Asked) -> Said:
    return ("extended_hours", "leave out extended_hours") if a.intent.extended_hours else None


def _auction_type(a: Asked) -> Said:
    if a.intent.tif not in AUCTIONS or a.intent.type in (OrderType.MARKET, OrderType.LIMIT):
        return None
    return f"a {type_text(a)} order with tif={tif_text(a)}", "send a market or a limit order"


def _auction_time(a: Asked) -> Said:
    if a.intent.tif not in AUCTIONS:
        return None
    if a.calendar is None:
        return f"tif={tif_text(a)} at a venue that never closes", "use tif=day, or run the venue with its calendar"
    try:
        shut = a.calendar.auction_shut(a.now, closing=a.intent.tif == TimeInForce.CLS)
    except DataError as e:
        return str(e), "use tif=day"
    if shut is None:
        return None
    return (
        f"tif={tif_text(a)} at {new_york_text(a.now)}",
        f"send it before {new_york_text(shut[0])}, or from {new_york_text(shut[1])} on",
    )


def _auction_replaced(a: Asked) -> Said:
    if not a.replaces or a.intent.tif not in AUCTIONS:
        return None
    return f"a replacement with tif={tif_text(a)}", "cancel the order and send another"


# ---------------------------------------------------------------------------------------------------- positions, shorts, money
def _turn(a: Asked) -> Said:
    if a.opens:
        return None
    free = max(0, abs(a.position) - a.offered)
    if a.qty <= free:
        return None
    held = f"{qty_text(a, a.qty)} where {qty_text(a, a.position)} are held and {qty_text(a, a.offered)} offered"
    return held, f"close {qty_text(a, free)} first, then open the rest" if free else "cancel an open order of this side first"


def _short(a: Asked) -> Said:
    if a.intent.side == Side.BUY or a.position > 0:
        return None
    if not a.asset.shortable:
        return f"{a.instrument.symbol} cannot be borrowed", "sell no more than is held"
    if a.account is not None and not a.account.shorting:
        return "this account may not sell short", "sell no more than is held, or allow shorting in the account's configuration"
    if a.account is not None and a.account.equity < SHORTS_NEED:
        return f"equity of {format_units(a.account.equity)}", "sell no more than is held: shorts need 2000 of equity"
    return None


def _borrow(a: Asked) -> Said:
    if a.asset.easy_to_borrow or not a.asset.shortable or a.intent.tif == TimeInForce.DAY:
        return None
    return f"{a.instrument.symbol} is hard to borrow; tif={tif_text(a)}", "use tif=day"


def _power(a: Asked) -> Said:
    if a.account is None or not a.opens:
        return None
    return _afforded(a, a.account.buying_power)


def _cash(a: Asked) -> Said:
    if a.account is None or a.intent.side != Side.BUY or a.account.settled is None:
        return None
    return _afforded(a, a.account.settled)


def _afforded(a: Asked, power: int) -> Said:
    px = reserved_px(a)
    cost = px * a.qty * MONEY * a.instrument.multiplier // a.one
    free = power * MONEY - a.committed + a.freed
    if not px or cost <= free:
        return None
    most = max(0, free * a.one // (px * MONEY * a.instrument.multiplier))
    most -= most % a.instrument.lot
    return f"{qty_text(a, a.qty)} reserve {format_units(px)} each", f"at most {qty_text(a, most)} can be paid for now"


# ---------------------------------------------------------------------------------------------------- pairs and contracts
def _pair_type(a: Asked) -> Said:
    stops = a.intent.type in (OrderType.STOP, OrderType.TRAILING_STOP)
    return (f"a {type_text(a)} order", "use a market, limit or stop-limit order") if stops else None


def _pair_tif(a: Asked) -> Said:
    return None if a.intent.tif in (TimeInForce.GTC, TimeInForce.IOC) else (f"tif={tif_text(a)}", "use tif=gtc or tif=ioc")


def _pair_least(a: Asked) -> Said:
    least = a.instrument.min_qty
    return (qty_text(a, a.intent.qty), f"use {qty_text(a, least)} or more") if a.intent.qty < least else None


def _pair_long(a: Asked) -> Said:
    if a.intent.side == Side.BUY:
        return None
    free = max(0, a.position - a.offered)
    return (f"{qty_text(a, a.qty)} of {qty_text(a, free)}", f"sell at most {qty_text(a, free)}") if a.qty > free else None


def _pair_allowed(a: Asked) -> Said:
    if a.account is None or a.account.crypto:
        return None
    return "this account may not trade crypto", "sign its crypto agreement, or take the pair out of `symbols`"


def _contract_tif(a: Asked) -> Said:
    return None if a.intent.tif in RESTING else (f"tif={tif_text(a)}", "use tif=day")


def _contract_type(a: Asked) -> Said:
    return ("a trailing stop", "use a stop order") if a.intent.type == OrderType.TRAILING_STOP else None


def _contract_whole(a: Asked) -> Said:
    return (qty_text(a, a.intent.qty), f"use {whole_text(a)}") if a.has_part else None


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
    Rule("part-day", (EQUITY,), "parts of shares only with tif=day", INVALID, _part_day, needs=PART),
    Rule("part-allowed", (EQUITY,), "parts of shares only where the account's owner allows them", NO, _part_off, needs=PART),
    Rule("part-short", (EQUITY,), "no part of a share is sold short", INVALID, _part_short, needs=PART),
    Rule("part-least", (EQUITY,), "an order with a part of a share that opens is worth 1.00", INVALID, _part_least, needs=PART),
    Rule("part-simple", (EQUITY,), "no part of a share in a trailing stop or a group", INVALID, _part_simple, needs=PART),
    Rule("part-replace", ALL, "a replacement is for a whole quantity", INVALID, _part_replaced, needs=PART | REPLACES),
    Rule("trail-rests", (EQUITY,), "a trailing stop is day or gtc", "422 40010001", _trail_rests, needs=TRAILS),
    Rule("group-asset", (CRYPTO, OPTION), "no brackets, OCOs and OTOs", "422 40010001", _group_asset, needs=GROUP),
    Rule("group-rests", (EQUITY,), "a group is day or gtc, in regular hours", INVALID, _group_rests, needs=GROUP),
    Rule("group-type", (EQUITY,), "an entry with exits is market or limit, an OCO limit", "422 40010001", _group_type, needs=GROUP),
    Rule("group-side", (EQUITY,), "brackets and OTOs open, OCOs close", INVALID, _group_side, needs=GROUP),
    Rule("group-exits", (EQUITY,), "bracket and OCO have both exits, an OTO one", "422 40010001", _group_exits, needs=GROUP),
    Rule("group-prices", (EQUITY,), "exits on their sides of each other, 0.01 or more from the entry", INVALID, _group_prices,
         needs=GROUP),
    Rule("extended-limit", (EQUITY,), "extended hours only with a limit and tif=day or gtc", "422 40010001", _extended,
         needs=EXTENDED),
    Rule("extended-none", (CRYPTO, OPTION), "no extended hours", "422 40010001", _no_extended, needs=EXTENDED),
    Rule("auction-type", (EQUITY,), "opg and cls orders are market or limit", "422 40010001", _auction_type, needs=AUCTION),
    Rule("auction-time", (EQUITY,), "opg to 9:28, cls to 10 minutes before close", INVALID, _auction_time, code="MARKET_CLOSED",
         needs=AUCTION),
    Rule("auction-replace", (EQUITY,), "no replacement with tif=opg or cls", "422 40010001", _auction_replaced,
         needs=AUCTION | REPLACES),
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
    Rule("contract-type", (OPTION,), "no trailing stops", "422 40010001", _contract_type, needs=TRAILS),
    Rule("contract-whole", (OPTION,), "whole contracts", INVALID, _contract_whole, needs=PART),
    Rule("contract-level", (OPTION,), "level 1 to write or close, 2 to buy", NO, _contract_level),
)  # fmt: skip


@cache
def rules_for(kind: AssetClass, has: int) -> tuple[Rule, ...]:
    """The rules for an order of one asset class that has these of PART, GROUP, TRAILS, EXTENDED, AUCTION, REPLACES."""
    return tuple(rule for rule in RULES if kind in rule.classes and not rule.needs & ~has)


def features(a: Asked) -> int:
    """What an order has."""
    i = a.intent
    return (
        (PART if a.has_part else 0)
        | (GROUP if i.order_class is not OrderClass.SIMPLE else 0)
        | (TRAILS if i.type is OrderType.TRAILING_STOP else 0)
        | (EXTENDED if i.extended_hours else 0)
        | (AUCTION if i.tif in AUCTIONS else 0)
        | (REPLACES if a.replaces else 0)
    )


def markdown() -> Iterator[str]:
    """The rows of the table in docs/orders.md."""
    yield "| rule | for | demands | the venue would answer |"
    yield "|---|---|---|---|"
    names = {EQUITY: "shares", CRYPTO: "crypto", OPTION: "options"}
    for rule in RULES:
        code = rule.control or (rule.code if rule.code != "BROKER_RULE" else "")
        says = f"{rule.says} (`{code}`)" if code else rule.says
        yield f"| `{rule.name}` | {', '.join(names[kind] for kind in rule.classes)} | {says} | {rule.answer} |"
