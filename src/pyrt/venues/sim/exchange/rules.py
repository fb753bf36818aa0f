"""What the venue refuses for money, shares or a meeting with oneself, and what an order reserves."""

from collections.abc import Collection
from decimal import ROUND_DOWN, Decimal, InvalidOperation

from pyrt._core.types import Side, format_units
from pyrt.model import Instrument
from pyrt.venues.sim.exchange.account import ONE, Figures, money, money_text
from pyrt.venues.sim.exchange.open_orders import OpenOrders, worst_px
from pyrt.venues.sim.exchange.orders import Terms, VenueRefusal, invalid

FIFTY = 50_000_000_000  # px units
CENT = 10_000_000  # px units
SHORT_EQUITY = 2_000 * ONE


def collar(px: int) -> int:
    """What a buy at the market may cost more: 4 % below 50.00, else 2.5 %; on the tick of 0.01."""
    limit = px * 104 // 100 if px < FIFTY else px * 1025 // 1000
    return max(px, limit - limit % 10_000_000)


def refuse_wash(open_: OpenOrders, terms: Terms, friends: Collection[int]) -> None:
    """Two open orders of one account that could trade with each other: 403; `friends` are orders of its own group."""
    row = open_.facing(terms.side, worst_px(terms.type, terms.limit_px), friends)
    if row is not None:
        raise VenueRefusal(
            403,
            40310000,
            "potential wash trade detected. use complex orders",
            existing_order_id=row.id,
            reject_reason=f"opposite side {row.type.name.lower()} order exists",
        )


def position_intent(held: int, terms: Terms) -> str:
    """Open or close, from the position. Raises VenueRefusal where the request says otherwise."""
    side = terms.side.name.lower()
    closes = held < 0 if terms.side is Side.BUY else held > 0
    intent = f"{side}_to_{'close' if closes else 'open'}"
    if terms.intent and terms.intent != intent:
        raise invalid(f"position intent mismatch, inferred: {intent}, specified: {terms.intent}")
    return intent


def insufficient(instrument: Instrument, qty: int, existing: int, open_: OpenOrders, side: Side) -> VenueRefusal:
    """403: other open orders hold the shares, or there are not so many."""
    exp, waiting = instrument.qty_exp, open_.held[side]
    available = format_units(max(0, existing - waiting), exp)
    return VenueRefusal(
        403,
        40310000,
        f"insufficient qty available for order (requested: {format_units(qty, exp)}, available: {available})",
        available=available,
        existing_qty=format_units(existing, exp),
        held_for_orders=format_units(waiting, exp),
        related_orders=[row.id for row in open_ if row.side is side],
        symbol=instrument.symbol,
    )


def refuse_short_of_shares(instrument: Instrument, open_: OpenOrders, position: int, side: Side, qty: int, own: int) -> None:
    """A closing order may trade what no other open order holds; `own` is what those hold that it stands in for."""
    if qty > abs(position) - open_.held[side] + own:
        raise insufficient(instrument, qty, abs(position), open_, side)


def refuse_short(instrument: Instrument, terms: Terms, worth: Figures, open_: OpenOrders) -> None:
    """Shorts need a margin account with 2,000 of equity, and whole shares."""
    if terms.side is Side.BUY:
        return
    if worth.multiplier < 2:
        raise insufficient(instrument, terms.qty, 0, open_, Side.SELL)
    if terms.notional or terms.qty % 10**instrument.qty_exp:
        raise invalid("fractional orders cannot be sold short")
    if worth.equity < SHORT_EQUITY:
        raise VenueRefusal(403, 40310000, "account not allowed to short: equity is below 2000", equity=money_text(worth.equity))


def reserve_px(terms: Terms, ask: int) -> int:
    """Px units of buying power that a unit of an opening order holds: a buy's limit or collar; a short's max(limit, 1.03 ask)."""
    if terms.side is Side.BUY and terms.limit_px:
        return terms.limit_px
    if terms.side is Side.BUY and terms.stop_px:
        return collar(terms.stop_px)
    if not ask and not terms.limit_px and not terms.stop_px:
        raise invalid("no market price is known for this asset yet")
    if terms.side is Side.BUY:
        return collar(ask + (terms.trail_px or ask * terms.trail_ratio // 10**9))
    return max(terms.limit_px, terms.stop_px, ask * 103 // 100)


def refuse_cost(instrument: Instrument, terms: Terms, unit_px: int, qty: int, worth: Figures, back: int) -> None:
    """An opening order must be worth 1.00 if it is fractional, and fit into the buying power; `back` is what it frees."""
    cost = terms.notional * 10**9 if terms.notional else money(unit_px, qty, instrument.qty_exp)
    if (terms.notional or terms.qty % 10**instrument.qty_exp) and cost < ONE:
        raise invalid("cost basis must be >= minimal amount of order 1")
    free = worth.free(worth.multiplier) + back
    if cost > free:
        power, basis = money_text(max(0, free)), money_text(cost)
        raise VenueRefusal(403, 40310000, "insufficient buying power", buying_power=power, cost_basis=basis)


def refuse_base(terms: Terms, base: int) -> None:
    """The legs of an entry lie on their sides of what it is expected to trade at. Raises VenueRefusal with that base_price."""
    sign = 1 if terms.side is Side.BUY else -1
    for px, name, way in ((terms.target_px, "take_profit.limit_price", sign), (terms.guard_px, "stop_loss.stop_price", -sign)):
        if px and (px - base) * way < CENT:
            text = f"{name} must be {'>=' if way > 0 else '<='} base_price {'+' if way > 0 else '-'} 0.01"
            raise invalid(text, base_price=format_units(base))


def refuse_class(terms: Terms, intent: str) -> None:
    """Brackets and OTOs open a position, OCOs close one. Raises VenueRefusal."""
    exits = terms.order_class == "oco"
    if terms.order_class and exits != intent.endswith("close"):
        raise invalid(f"{terms.order_class} orders must be {'exit' if exits else 'entry'} orders")


def closing_qty(position: int, instrument: Instrument, qty: str | None, percentage: str | None) -> int:
    """Qty units to close: all, so many, or so many percent. Raises VenueRefusal."""
    if qty is None and percentage is None:
        return abs(position)
    if qty is not None and percentage is not None:
        raise invalid("only one of qty or percentage is accepted", 40010001)
    try:
        number = Decimal(str(percentage if qty is None else qty))
        if qty is None:
            if not 0 < number <= 100:
                raise invalid("percentage must be between 0 and 100", 40010001)
            return int((abs(position) * number / 100).to_integral_value(ROUND_DOWN))
        return int(number.scaleb(instrument.qty_exp))
    except (InvalidOperation, OverflowError, ValueError):
        raise invalid("invalid qty or percentage", 40010001) from None
