"""What a venue's account must hold, from what was asked, what was told and what the market showed: plain Python, exact.

Nothing of the venue's code is read here. Money is an integer of 1e-18, a price or a quantity a Fraction.
"""

from dataclasses import dataclass, field
from fractions import Fraction
from math import floor
from typing import Any

ATTO = 10**18
CENT = Fraction(1, 100)
FINAL = {"filled", "canceled", "expired", "rejected", "replaced"}
NEXT = {  # what an order's status may become; "" = it was not there
    "pending_new": {"new", "canceled", "rejected", "expired", "replaced"},
    "accepted": {"new", "canceled", "rejected", "expired", "replaced"},
    "new": {"partially_filled", "filled", "canceled", "expired", "replaced"},
    "partially_filled": {"partially_filled", "filled", "canceled", "expired", "replaced"},
    "held": {"new", "canceled", "expired", "replaced"},
}
FILLS = {"fill", "partial_fill"}


def money(units: int) -> str:
    """Units of 1e-18 as the shortest decimal text."""
    sign, whole, rest = "-" * (units < 0), abs(units) // ATTO, abs(units) % ATTO
    return f"{sign}{whole}" + (f".{rest:018d}".rstrip("0") if rest else "")


def number(value: Fraction) -> str:
    """A fraction of at most nine decimals as the shortest decimal text."""
    assert (value * 10**9).denominator == 1, value
    return money(int(value * ATTO))


def atto(value: Fraction) -> int:
    """A fraction as money; it must fit."""
    assert (value * ATTO).denominator == 1, value
    return int(value * ATTO)


def ratio(part: int, whole: int) -> str:
    """Part of |whole|, nine decimals toward minus infinity; "0" of nothing."""
    return number(Fraction(floor(Fraction(part, abs(whole)) * 10**9), 10**9)) if whole else "0"


def collar(px: Fraction) -> Fraction:
    """A buy at the market reserves 4 % more below 50.00, else 2.5 %, cut to the cent."""
    more = px * Fraction(104, 100) if px < 50 else px * Fraction(1025, 1000)
    return max(px, floor(more / CENT) * CENT)


@dataclass
class Market:
    """What the market displays of one symbol, and how much of it was taken since it changed."""

    bid: Fraction = Fraction(0)
    bid_qty: Fraction = Fraction(0)
    ask: Fraction = Fraction(0)
    ask_qty: Fraction = Fraction(0)
    last: Fraction = Fraction(0)
    saved: Fraction = Fraction(0)
    close: Fraction = Fraction(0)  # when the last New York day ended
    taken: dict[str, Fraction] = field(default_factory=lambda: {"bid": Fraction(0), "ask": Fraction(0)})
    printed: tuple[Fraction, Fraction] = (Fraction(0), Fraction(0))  # the record under way, if it is a trade

    @property
    def mark(self) -> Fraction:
        return self.last or self.bid or self.ask or self.saved

    def quote(self, bid: Fraction, bid_qty: Fraction, ask: Fraction, ask_qty: Fraction) -> None:
        self.printed = (Fraction(0), Fraction(0))
        if (bid, bid_qty) != (self.bid, self.bid_qty):
            self.taken["bid"] = Fraction(0)
        if (ask, ask_qty) != (self.ask, self.ask_qty):
            self.taken["ask"] = Fraction(0)
        self.bid, self.bid_qty, self.ask, self.ask_qty = bid, bid_qty, ask, ask_qty

    def trade(self, px: Fraction, qty: Fraction) -> None:
        self.last, self.printed = px, (px, qty)

    def restart(self) -> None:
        """The venue was loaded again: it knows the mark, not the display."""
        saved, close = self.mark, self.close
        self.__init__(saved=saved, close=close)  # type: ignore[misc]

    def meets(self, side: str, px: Fraction, limit: Fraction, qty: Fraction) -> bool:
        """Whether a fill took what was printed or displayed; it is then used up."""
        printed, left = self.printed
        cheaper = printed and (printed <= limit if side == "buy" else printed >= limit)
        if cheaper and px == limit and left > 0:
            used = min(left, qty)
            self.printed, qty = (printed, left - used), qty - used
        if not qty:
            return True
        shown, name = (self.ask, "ask") if side == "buy" else (self.bid, "bid")
        self.taken[name] += qty
        room = (self.ask_qty if side == "buy" else self.bid_qty) - self.taken[name]
        fits = shown <= px if side == "buy" else shown >= px
        return bool(shown) and fits and px in (shown, limit) and room >= 0


@dataclass
class Order:
    """An order as the client may know it."""

    id: str
    symbol: str
    side: str
    type: str
    qty: Fraction
    limit: Fraction  # 0 = none
    stop: Fraction
    tif: str
    extended: bool
    opening: bool
    unit: Fraction  # what a unit of its leaves reserves
    status: str
    base: Fraction = Fraction(0)  # what the orders before it, in a chain of replacements, traded
    filled: Fraction = Fraction(0)
    traded: Fraction = Fraction(0)
    expires: int = 0

    @property
    def leaves(self) -> Fraction:
        return Fraction(0) if self.status in FINAL else self.qty - self.base - self.filled

    @property
    def worst(self) -> Fraction | None:
        """The worst price at which it may trade once it works; None = any."""
        return self.limit or None

    @property
    def bound(self) -> Fraction | None:
        """The worst price at which a fill is right."""
        if self.type == "stop" and self.side == "buy":
            return collar(self.stop)
        return self.limit or None


@dataclass
class Held:
    """One position: shares, what they cost, what is left of those that the day began with."""

    qty: Fraction = Fraction(0)
    cost: int = 0
    day: Fraction = Fraction(0)
    realised: int = 0

    def fill(self, side: str, px: Fraction, qty: Fraction) -> None:
        """Opening adds px x qty to the cost; closing takes floor(cost x closed / held) out of it."""
        sign = 1 if side == "buy" else -1
        closed = min(qty, abs(self.qty)) if self.qty * sign < 0 else Fraction(0)
        if closed:
            out = floor(Fraction(self.cost) * closed / abs(self.qty))
            self.realised += atto(-sign * px * closed) - out
            self.cost -= out
            self.qty += sign * closed
            left = min(abs(self.day), abs(self.qty))
            self.day = left if self.qty > 0 else -left
        self.qty += sign * (qty - closed)
        self.cost += atto(sign * px * (qty - closed))


@dataclass
class AccountOracle:
    """One account, from requests, answers, events and the market."""

    multiplier: int
    cash: int
    markets: dict[str, Market]
    fractionable: dict[str, bool]
    orders: dict[str, Order] = field(default_factory=dict)
    alive: dict[str, Order] = field(default_factory=dict)  # those of them that are not final
    positions: dict[str, Held] = field(default_factory=dict)
    cids: set[str] = field(default_factory=set)
    last_equity: int = 0
    last_maintenance: int = 0
    begin: int = 0
    bought: int = 0  # money that fills of buys cost, for the sum over all fills
    sold: int = 0
    realised: int = 0

    def __post_init__(self) -> None:
        self.begin = self.last_equity = self.cash

    # ------------------------------------------------------------------------------------------------ worth
    def held(self, symbol: str) -> Held:
        return self.positions.setdefault(symbol, Held())

    def value(self, symbol: str) -> int:
        return atto(self.held(symbol).qty * self.markets[symbol].mark)

    @property
    def long(self) -> int:
        return sum(max(0, self.value(symbol)) for symbol in self.markets)

    @property
    def short(self) -> int:
        return sum(min(0, self.value(symbol)) for symbol in self.markets)

    @property
    def equity(self) -> int:
        return self.cash + self.long + self.short

    @property
    def open(self) -> list[Order]:
        return list(self.alive.values())

    @property
    def reserved(self) -> int:
        return sum(atto(order.unit * order.leaves) for order in self.open)

    def free(self, multiplier: int) -> int:
        return multiplier * self.equity - (self.long - self.short) - self.reserved

    @property
    def maintenance(self) -> int:
        total = Fraction(0)
        for symbol, held in self.positions.items():
            px = self.markets[symbol].mark
            if held.qty > 0:
                total += px * held.qty * (1 if px < Fraction("2.5") else Fraction(3, 10))
            else:
                share = max(Fraction(5), px * Fraction(3, 10)) if px >= 5 else max(Fraction("2.5"), px)
                total += share * -held.qty
        return floor(total * ATTO)

    # ------------------------------------------------------------------------------------------------ what may be
    def verdict(self, body: dict[str, Any], old: Order | None = None) -> tuple[int, int] | None:
        """HTTP status and code of the refusal that an order must get; None = it must be accepted."""
        symbol, side = body["symbol"], body["side"]
        if symbol not in self.markets:
            return 422, 42210000
        qty, limit = Fraction(body["qty"]), Fraction(body.get("limit_price") or 0)
        whole = qty.denominator == 1
        if not whole and not self.fractionable[symbol]:
            return 422, 42210000
        if not whole and body["time_in_force"] != "day" and "/" not in symbol:
            return 422, 42210000
        if body.get("extended_hours") and (body["type"] != "limit" or body["time_in_force"] not in ("day", "gtc")):
            return 422, 40010001
        if body.get("client_order_id") and body["client_order_id"] in self.cids:
            return 422, 40010001
        for other in self.open:
            if other is not old and other.symbol == symbol and other.side != side:
                buy, sell = (limit or None, other.worst) if side == "buy" else (other.worst, limit or None)
                if buy is None or sell is None or buy >= sell:
                    return 403, 40310000
        return self._afford(body, qty, whole, old)

    def _afford(self, body: dict[str, Any], qty: Fraction, whole: bool, old: Order | None) -> tuple[int, int] | None:
        wanted = qty - (old.base + old.filled if old else 0)
        if not self.opens(body["symbol"], body["side"]):
            waiting = sum(o.leaves for o in self.open if o is not old and o.symbol == body["symbol"] and o.side == body["side"])
            return (403, 40310000) if wanted > abs(self.held(body["symbol"]).qty) - waiting else None
        unit = self.unit(body)
        if unit is None:
            return 422, 40010001
        if body["side"] == "sell":
            if self.multiplier < 2:
                return 403, 40310000
            if not whole:
                return 422, 42210000
            if self.equity < 2000 * ATTO:
                return 403, 40310000
        cost = atto(unit * wanted)
        if not whole and cost < ATTO:
            return 422, 42210000
        back = atto(old.unit * old.leaves) if old else 0
        return (403, 40310000) if cost > self.free(self.multiplier) + back else None

    def opens(self, symbol: str, side: str) -> bool:
        """Whether an order opens or adds to a position."""
        held = self.held(symbol).qty
        return held >= 0 if side == "buy" else held <= 0

    def unit(self, body: dict[str, Any]) -> Fraction | None:
        """What a unit of an opening order reserves; None = no price is known."""
        limit, stop = Fraction(body.get("limit_price") or 0), Fraction(body.get("stop_price") or 0)
        market = self.markets[body["symbol"]]
        ask = market.ask or market.mark
        if body["side"] == "buy" and limit:
            return limit
        if body["side"] == "buy" and stop:
            return collar(stop)
        if not ask and not limit and not stop:
            return None
        return collar(ask) if body["side"] == "buy" else max(limit, stop, ask * Fraction(103, 100))

    # ------------------------------------------------------------------------------------------------ what happened
    def accepted(self, body: dict[str, Any], answer: dict[str, Any], expires: int, old: Order | None = None) -> Order:
        """The venue took an order: it is there, with its reservation, before anything happens to it."""
        opening = self.opens(body["symbol"], body["side"])
        order = Order(
            id=answer["id"],
            symbol=body["symbol"],
            side=body["side"],
            type=body["type"],
            qty=Fraction(body["qty"]),
            limit=Fraction(body.get("limit_price") or 0),
            stop=Fraction(body.get("stop_price") or 0),
            tif=body["time_in_force"],
            extended=bool(body.get("extended_hours")),
            opening=opening,
            unit=(self.unit(body) or Fraction(0)) if opening else Fraction(0),
            status=answer["status"],
            base=old.base + old.filled if old else Fraction(0),
            expires=expires,
        )
        assert order.id not in self.orders
        assert answer["client_order_id"] not in self.cids
        self.cids.add(answer["client_order_id"])
        self.orders[order.id] = self.alive[order.id] = order
        return order

    def event(self, update: dict[str, Any], *, is_open: bool) -> None:
        """One trade_updates message, in its order. Raises AssertionError where it cannot be."""
        shown = update["order"]
        order = self.orders[shown["id"]]
        assert shown["status"] in NEXT[order.status], (order.status, shown["status"])
        if update["event"] in FILLS:
            assert is_open
            self._fill(order, update)
        order.status = shown["status"]
        if order.status in FINAL:
            del self.alive[order.id]
        assert update["event"] == {"filled": "fill", "partially_filled": "partial_fill"}.get(order.status, order.status)
        assert Fraction(shown["filled_qty"]) == order.filled
        assert (order.status == "filled") == (order.base + order.filled == order.qty) or order.status == "replaced"
        if order.filled:
            average = Fraction(floor(order.traded / order.filled * 10**9 + Fraction(1, 2)), 10**9)
            assert shown["filled_avg_price"] == number(average)
        else:
            assert shown["filled_avg_price"] is None

    def _fill(self, order: Order, update: dict[str, Any]) -> None:
        px, qty = Fraction(update["price"]), Fraction(update["qty"])
        assert 0 < qty <= order.leaves
        bound = order.bound
        if bound is not None:
            assert px <= bound if order.side == "buy" else px >= bound
        assert self.markets[order.symbol].meets(order.side, px, bound or Fraction(0), qty), "the market did not offer it"
        order.filled += qty
        order.traded += px * qty
        assert order.base + order.filled <= order.qty
        held = self.held(order.symbol)
        before = held.realised
        held.fill(order.side, px, qty)
        self.realised += held.realised - before
        cost = atto(px * qty)
        self.bought, self.sold = (self.bought + cost, self.sold) if order.side == "buy" else (self.bought, self.sold + cost)
        self.cash += -cost if order.side == "buy" else cost
        assert update["position_qty"] == number(held.qty)

    def new_day(self) -> None:
        """A New York day ended."""
        self.last_equity, self.last_maintenance = self.equity, self.maintenance
        for held in self.positions.values():
            held.day = held.qty
        for market in self.markets.values():
            market.close = market.mark

    # ------------------------------------------------------------------------------------------------ what must be shown
    def account(self) -> dict[str, str]:
        """The figures of GET /v2/account that follow from the above."""
        settled = max(0, min(self.cash, self.equity) - self.reserved)
        gross = self.long - self.short
        return {
            "cash": money(self.cash),
            "buying_power": money(max(0, self.free(self.multiplier))),
            "regt_buying_power": money(max(0, self.free(min(2, self.multiplier)))),
            "non_marginable_buying_power": money(settled),
            "portfolio_value": money(self.equity),
            "equity": money(self.equity),
            "last_equity": money(self.last_equity),
            "long_market_value": money(self.long),
            "short_market_value": money(self.short),
            "position_market_value": money(gross),
            "initial_margin": money(gross // min(2, self.multiplier)),
            "maintenance_margin": money(self.maintenance),
            "last_maintenance_margin": money(self.last_maintenance),
            "multiplier": str(self.multiplier),
        }

    def position(self, symbol: str) -> dict[str, str]:
        """The figures of GET /v2/positions/{symbol}."""
        held, market = self.held(symbol), self.markets[symbol]
        size, sign = abs(held.qty), 1 if held.qty > 0 else -1
        closing = "sell" if sign > 0 else "buy"
        waiting = sum(o.leaves for o in self.open if o.symbol == symbol and o.side == closing)
        entry = Fraction(floor(Fraction(abs(held.cost), ATTO) / size * 10**9 + Fraction(1, 2)), 10**9)
        value, last = self.value(symbol), market.close or market.mark
        day_base = atto(last * held.day) + floor(held.cost * (size - abs(held.day)) / size)
        return {
            "qty": number(held.qty),
            "qty_available": number(sign * max(Fraction(0), size - waiting)),
            "side": "long" if sign > 0 else "short",
            "avg_entry_price": number(entry),
            "market_value": money(value),
            "cost_basis": money(held.cost),
            "unrealized_pl": money(value - held.cost),
            "unrealized_plpc": ratio(value - held.cost, held.cost),
            "unrealized_intraday_pl": money(value - day_base),
            "unrealized_intraday_plpc": ratio(value - day_base, day_base),
            "current_price": number(market.mark),
            "lastday_price": number(last),
            "change_today": ratio(atto(market.mark - last), atto(last)),
        }

    def books_balance(self) -> None:
        """Cash is what it began with, less what was bought, plus what was sold; P/L is realised and unrealised together."""
        assert self.cash == self.begin - self.bought + self.sold
        cost = sum(held.cost for held in self.positions.values())
        assert self.cash + cost == self.begin + self.realised
        assert self.equity == self.cash + self.long + self.short
        unrealised = sum(self.value(symbol) for symbol in self.markets) - cost
        assert self.equity - self.begin == self.realised + unrealised
        if not self.alive:
            assert self.reserved == 0
