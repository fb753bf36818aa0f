"""Multi-leg option orders: 2 to 4 contracts on one underlying that trade together, in proportion, for a net price, or not at all.

Chosen where Alpaca's documents are silent: the stream tells of the parent alone, each event with its legs, a fill with what each
leg traded beside it; activities tell each leg's fills; a leg cannot be cancelled or replaced by itself.
"""

from math import gcd
from typing import TYPE_CHECKING, Any, NamedTuple

from pyrt._core.types import Side, format_units
from pyrt.model import OrderType, TimeInForce
from pyrt.venues.sim.exchange import option_terms, orders, rules, travel
from pyrt.venues.sim.exchange import terms as requests
from pyrt.venues.sim.exchange.account import Account, Position, money
from pyrt.venues.sim.exchange.configuration import refuse_trader
from pyrt.venues.sim.exchange.margin import Leg
from pyrt.venues.sim.exchange.orders import FIRST_CONTRACT, Body, Row, Terms, VenueRefusal, invalid
from pyrt.venues.sim.market.options import CENT, Contract
from pyrt.venues.sim.times import format_time

if TYPE_CHECKING:
    from pyrt.venues.sim.exchange.books import Books
    from pyrt.venues.sim.exchange.exchange import Exchange
    from pyrt.venues.sim.exchange.state import Fill
    from pyrt.venues.sim.exchange.trade import Trading

PACKAGE = FIRST_CONTRACT - 1  # the instrument that stands for all packages
EXP = -2  # the exponent of money(): contracts count a hundredfold
TYPES = {"market": OrderType.MARKET, "limit": OrderType.LIMIT}


class Part(NamedTuple):
    """One leg as asked for."""

    contract: Contract
    side: Side
    ratio: int
    intent: str


class Package(NamedTuple):
    """A multi-leg order as asked for; the limit is the net price of one unit in px units, negative = to be received."""

    type: OrderType
    tif: TimeInForce
    qty: int
    limit_px: int
    cid: str
    parts: list[Part]


def define(exchange: "Exchange") -> None:
    """Give the exchange the instrument that packages are kept under; it has no name and no market."""
    exchange.assets_.instruments[PACKAGE] = option_terms.instrument(PACKAGE, "")
    exchange.matcher.add(PACKAGE)


# ---------------------------------------------------------------------------------------------------- orders in
def submit(exchange: "Exchange", body: Body, now: int, account: str | None) -> Body:
    """POST /v2/orders with order_class mleg: the order as received. Raises VenueRefusal."""
    exchange.advance(now)
    owner = exchange._account(account)
    try:
        requests.refuse_unreadable(body)
        package = _read(exchange, owner, body)
        exchange._fresh(owner, package.cid)
        unit_px = _afford(exchange, owner, package, None)
    except VenueRefusal as refusal:
        exchange._refused("submit", owner, body, refusal)
        raise
    return _enter(exchange, owner, package, unit_px, None)


def replaced(exchange: "Exchange", owner: Account, old: Row, body: Body) -> tuple[Package, int]:
    """A PATCH laid over a working package, and what a unit of it reserves. Raises VenueRefusal."""
    for key in ("stop_price", "trail"):
        if body.get(key) not in (None, ""):
            raise invalid(f"{key} is not allowed for mleg orders", 40010001)
    legs = [exchange.state.rows[number - 1] for number in old.legs]
    options = exchange.options
    assert options is not None
    parts = [Part(options.contracts[leg.instrument], leg.side, leg.ratio, leg.intent) for leg in legs]
    merged = {
        "type": old.type.name.lower(),
        "time_in_force": body.get("time_in_force") or old.tif.name.lower(),
        "qty": body.get("qty") or str(old.qty),
        "limit_price": body.get("limit_price") or (format_units(old.limit_px) if old.type is OrderType.LIMIT else None),
        "client_order_id": body.get("client_order_id"),
    }
    package = _terms(merged, parts)
    if package.qty <= old.spent:
        raise invalid("qty must be above what is filled", 40010001)
    exchange._fresh(owner, package.cid)
    return package, _afford(exchange, owner, package, old)


def _read(exchange: "Exchange", owner: Account, body: Body) -> Package:
    options = exchange.options
    assert options is not None
    refuse_trader(owner.configuration, owner.permissions, exchange.assets_.instruments[PACKAGE])
    options.refuse_level(owner, None, 3)
    if body.get("symbol") not in (None, ""):
        raise invalid("symbol is not allowed for mleg orders: name it in each leg", 40010001)
    legs = body.get("legs")
    if not isinstance(legs, list) or not 2 <= len(legs) <= 4:
        raise invalid("mleg orders need 2 to 4 legs", 40010001)
    parts = [_part(exchange, owner, leg) for leg in legs]
    if len({part.contract.id for part in parts}) < len(parts):
        raise invalid("all legs must have unique symbols", 40010001)
    if len({part.contract.underlying for part in parts}) > 1:
        raise invalid("all legs must have the same underlying", 40010001)
    if gcd(*(part.ratio for part in parts)) != 1:
        raise invalid("mleg leg ratio quantities should be relatively prime", 40010001)
    return _terms(body, parts)


def _terms(body: Body, parts: list[Part]) -> Package:
    for key in ("notional", "stop_price", "trail_price", "trail_percent", "take_profit", "stop_loss"):
        if body.get(key) not in (None, ""):
            raise invalid(f"{key} is not allowed for mleg orders", 40010001)
    if body.get("extended_hours"):
        raise invalid("extended hours orders are not allowed for options", 40010001)
    kind = orders.read_choice(body, "type", TYPES)
    tif = orders.read_choice(body, "time_in_force", {"day": TimeInForce.DAY, "gtc": TimeInForce.GTC})
    qty = orders.read_number(body, "qty", 0)
    if qty is None or qty <= 0:
        raise invalid("qty is required and must be > 0", 40010001)
    limit_px = orders.read_number(body, "limit_price", 9)
    if (limit_px is None) == (kind is OrderType.LIMIT):
        what = "limit orders require limit price" if limit_px is None else "market orders require no stop or limit price"
        raise invalid(what, 40010001)
    if limit_px is not None and limit_px % CENT:
        raise invalid(f"invalid limit_price {format_units(limit_px)}: option prices have at most two decimals")
    return Package(kind, tif, qty, limit_px or 0, requests.read_cid(body), parts)


def _part(exchange: "Exchange", owner: Account, leg: Any) -> Part:
    options = exchange.options
    assert options is not None
    if not isinstance(leg, dict):
        raise VenueRefusal(400, 40010000, "request body format is invalid: legs")
    instrument = options.find(leg.get("symbol"))
    if instrument is None:
        raise invalid(f'asset "{leg.get("symbol")}" not found')
    contract = options.contracts[instrument.id]
    options.refuse_level(owner, contract, 3)
    ratio = orders.read_number(leg, "ratio_qty", 0)
    if ratio is None or ratio <= 0:
        raise invalid("ratio_qty is required and must be > 0", 40010001)
    intent = leg.get("position_intent") or ""
    if intent and intent not in orders.INTENTS:
        raise invalid(f"position_intent {intent!r} is not supported", 40010001)
    body = {"side": leg.get("side") or intent.partition("_")[0]}
    side = orders.read_choice(body, "side", orders.SIDES)
    if intent and not intent.startswith(side.name.lower()):
        raise invalid(f"position_intent {intent!r} does not fit side {side.name.lower()}", 40010001)
    held = owner.positions.get(contract.id, Position()).qty
    terms = Terms(side=side, type=OrderType.MARKET, tif=TimeInForce.DAY, qty=ratio, intent=intent)
    return Part(contract, side, ratio, rules.position_intent(held, terms))


def _afford(exchange: "Exchange", owner: Account, package: Package, old: Row | None) -> int:
    """The px units that a share of one unit reserves: what it may lose and cost at worst. Raises VenueRefusal."""
    options = exchange.options
    assert options is not None
    wanted = package.qty - (old.spent if old else 0)
    for part in package.parts:
        if part.intent.endswith("close"):
            open_ = exchange._open_orders(owner.id, part.contract.id)
            own = sum(row.held for row in open_ if old is not None and row.parent == old.number)
            held = owner.positions.get(part.contract.id, Position()).qty
            instrument = exchange.assets_.instruments[part.contract.id]
            rules.refuse_short_of_shares(instrument, open_, held, part.side, wanted * part.ratio, own)
    underlying = package.parts[0].contract.underlying
    legs = options.legs(owner, old).get(underlying, [])
    before = options.need(owner, underlying, legs)
    fresh = [
        Leg(p.contract.is_call, p.contract.strike, p.contract.expires, p.ratio * (wanted if p.side is Side.BUY else -wanted))
        for p in package.parts
    ]
    after = options.need(owner, underlying, [*legs, *fresh])
    options.refuse_naked(owner, underlying, after)
    unit_px = max(0, -(-(after.loss - before.loss) // wanted) + _net(exchange, package))
    options.refuse_cost(owner, money(unit_px, wanted, EXP), old.reserved if old else 0, None, Side.BUY)
    for part in package.parts:
        options.due(part.contract)
    return unit_px


def _net(exchange: "Exchange", package: Package) -> int:
    """Px units that a share of one unit costs at worst; what a market order may receive does not count."""
    if package.type is OrderType.LIMIT:
        return package.limit_px
    net = 0
    assert exchange.options is not None
    for part in package.parts:
        shown = exchange.options.quote(part.contract)
        net += part.ratio * (shown.ask if part.side is Side.BUY else -shown.bid)
    return rules.collar(net) if net > 0 else 0


def _enter(exchange: "Exchange", owner: Account, package: Package, unit_px: int, old: Row | None) -> Body:
    parent = _row(exchange, owner, package, None, None)
    parent.unit_px, parent.cid = unit_px, package.cid or parent.cid
    if old is not None:
        parent.replaces = old.id
        parent.follow_on(old)
    before = old.legs if old else [0] * len(package.parts)
    exchange.state.rows.append(parent)
    for part, number in zip(package.parts, before, strict=True):
        leg = _row(exchange, owner, package, part, exchange.state.rows[number - 1] if number else None)
        leg.parent = parent.number
        exchange.state.rows.append(leg)
        parent.legs.append(leg.number)
    for each in (parent, *_legs(exchange, parent)):
        exchange._index(each)
        exchange.weigh(each)
    answer = exchange._show(parent)
    if old is not None:
        old.replaced_by, old.replaced_at = parent.id, exchange.now
        exchange.drop(old, "replaced", exchange.now)
        exchange.enter_hours(parent, exchange.now)
    elif parent.status == "pending_new":
        travel.enter(exchange, parent, exchange.latency.entry)
    return answer


def _row(exchange: "Exchange", owner: Account, package: Package, part: Part | None, old: Row | None) -> Row:
    now = exchange.now
    instrument = exchange.assets_.instruments[part.contract.id if part else PACKAGE]
    return Row(
        number=len(exchange.state.rows) + 1,
        id=exchange.state.new_id(),
        cid=exchange.state.new_id(),
        account=owner.id,
        instrument=instrument.id,
        symbol=instrument.symbol,
        asset=str(exchange.assets_.shown[instrument.id]["id"]) if part else "",
        side=part.side if part else Side.BUY,
        type=package.type,
        tif=package.tif,
        qty=package.qty * (part.ratio if part else 1),
        limit_px=0 if part else package.limit_px,
        stop_px=0,
        extended=False,
        intent=part.intent if part else "",
        opening=False,
        unit_px=0,
        status="pending_new" if exchange.hours.is_open(now) else "accepted",
        created_at=now,
        updated_at=now,
        expires_at=0 if part else exchange.hours.expiry(now, package.tif, False),
        base=old.base + old.filled if old else 0,
        ratio=part.ratio if part else 0,
        order_class="mleg",
    )


def replace(exchange: "Exchange", old: Row, body: Body, owner: Account) -> Body:
    """PATCH of a package: the new one, which takes its place at once. Raises VenueRefusal."""
    if old.ratio:
        raise invalid("a leg of a multi-leg order cannot be replaced: replace the order")
    package, unit_px = replaced(exchange, owner, old, body)
    return _enter(exchange, owner, package, unit_px, old)


# ---------------------------------------------------------------------------------------------------- what happens
def _legs(books: "Books", row: Row) -> list[Row]:
    return [books.state.rows[number - 1] for number in row.legs]


def route(exchange: "Exchange", row: Row) -> None:
    """A package begins to work, and meets what is quoted."""
    if row.status not in orders.REPLACEABLE:
        for each in (*_legs(exchange, row), row):
            each.status, each.updated_at = "new", exchange.now
            exchange.touched.add(each.number)
        exchange.tell(row, "new", exchange.now)
    row.working = True
    _attempt(exchange, row)


def meet(exchange: "Exchange") -> None:
    """Every working package meets what is quoted now, the oldest first."""
    open_ = [row for (_, number), found in exchange._open.items() if number == PACKAGE for row in found]
    for row in sorted(open_, key=lambda row: row.number):
        if row.working:
            _attempt(exchange, row)


def _attempt(exchange: "Exchange", row: Row) -> None:
    """Trade as many whole units as every leg finds at its quote, if their net price is within the limit."""
    options, legs = exchange.options, _legs(exchange, row)
    assert options is not None
    if any(leg.instrument in exchange.state.halted for leg in legs):
        return
    shown = [options.refresh(options.contracts[leg.instrument]) for leg in legs]
    exchange._settle()
    prices = [quote.ask if leg.side is Side.BUY else quote.bid for leg, quote in zip(legs, shown, strict=True)]
    net = sum(leg.ratio * (px if leg.side is Side.BUY else -px) for leg, px in zip(legs, prices, strict=True))
    found = [options.left(options.contracts[leg.instrument], leg.side) // leg.ratio for leg in legs]
    units = min(row.leaves, *found)
    if units <= 0 or not all(prices) or (row.type is OrderType.LIMIT and net > row.limit_px):
        return
    number = exchange.state.number_of(row.account)
    before = [leg.traded for leg in legs]
    first = len(exchange.state.fills)
    for leg, px in zip(legs, prices, strict=True):
        qty = units * leg.ratio
        exchange.matcher.submit(leg.instrument, leg.number, number, leg.side, qty, px, 0, TimeInForce.IOC, exchange.now)
    exchange._settle()
    traded = sum((leg.traded - was) * (1 if leg.side is Side.BUY else -1) for leg, was in zip(legs, before, strict=True))
    _filled(exchange, row, units, traded, exchange.state.fills[first:])


def _filled(exchange: "Exchange", row: Row, units: int, traded: int, fills: "list[Fill]") -> None:
    owner, at = exchange._account(row.account), exchange.now
    row.filled += units
    row.traded += traded
    row.updated_at = at
    done = not row.leaves
    row.status = "filled" if done else "partially_filled"
    if done:
        row.filled_at = at
        exchange._close(row)
    exchange.weigh(row)
    told = {
        "execution_id": exchange.state.new_id(),
        "price": format_units(orders.average(traded, units)),
        "qty": str(units),
        "legs": [_told(exchange, owner, fill) for fill in fills],
    }
    exchange.tell(row, "fill" if done else "partial_fill", at, told)


def _told(exchange: "Exchange", owner: Account, fill: "Fill") -> Body:
    leg = exchange.state.rows[fill.number - 1]
    return {
        "order_id": leg.id,
        "execution_id": fill.execution_id,
        "symbol": leg.symbol,
        "side": leg.side.name.lower(),
        "price": format_units(fill.px),
        "qty": str(fill.qty),
        "position_qty": str(owner.positions[leg.instrument].qty),
        "timestamp": format_time(fill.ts),
    }


def end(exchange: "Trading", row: Row, status: str, at: int) -> None:
    """The legs end with their package."""
    for leg in _legs(exchange, row):
        if leg.status in orders.FINAL:
            continue
        leg.status, leg.updated_at = status, at
        leg.canceled_at = at if status == "canceled" else 0
        leg.expired_at = at if status == "expired" else 0
        leg.replaced_at = at if status == "replaced" else 0
        exchange._close(leg)


# ---------------------------------------------------------------------------------------------------- orders out
def show(books: "Books", row: Row, shown: Body) -> Body:
    """The order object of a package or of a leg, from that of a simple order: what it has not is empty text."""
    if row.ratio:
        return {**shown, "order_class": "mleg", "order_type": "", "type": "", "ratio_qty": str(row.ratio)}
    empty = dict.fromkeys(("asset_id", "symbol", "asset_class", "side", "position_intent"), "")
    limit = format_units(row.limit_px) if row.type is OrderType.LIMIT else None
    legs = [books._show(leg) for leg in _legs(books, row)]
    return {**shown, **empty, "order_class": "mleg", "limit_price": limit, "legs": legs}
