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
    "pending_new": {"new", "held", "canceled", "rejected", "expired", "replaced"},
    "accepted": {"new", "held", "canceled", "rejected", "expired", "replaced"},
    "new": {"partially_filled", "filled", "canceled", "expired", "replaced"},
    "partially_filled": {"partially_filled", "filled", "canceled", "expired", "replaced"},
    "held": {"held", "new", "canceled", "expired", "replaced"},
}
FILLS = {"fill", "partial_fill"}
STOPS = {"stop", "stop_limit", "trailing_stop"}


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


Verdict = tuple[int, int] | None


def worst(kind: str, limit: Fraction) -> Fraction | None:
    """The worst price at which an order may trade once it works; None = any."""
    return limit if kind in ("limit", "stop_limit") else None


def prices(body: dict[str, Any]) -> tuple[Fraction, Fraction]:
    """The take-profit's limit and the stop-loss's stop of a request; 0 = none."""
    target = (body.get("take_profit") or {}).get("limit_price") or 0
    return Fraction(target), Fraction((body.get("stop_loss") or {}).get("stop_price") or 0)


@dataclass
class Market:
    """What the market displays of one symbol, and how much of it was taken since it changed."""

    bid: Fraction = Fraction(0)
    bid_qty: Fraction = Fraction(0)
    ask: Fraction = Fraction(0)
    ask_qty: Fraction = Fraction(0)
    last: Fraction = Fraction(0)
    saved: Fraction = Fraction(0)
    frozen: bool = False  # valued at the last session's end
    close: Fraction = Fraction(0)  # when the last New York day ended
    official: Fraction = Fraction(0)  # when the last session ended; 0 = there are no sessions
    taken: dict[str, Fraction] = field(default_factory=lambda: {"bid": Fraction(0), "ask": Fraction(0)})
    printed: tuple[Fraction, Fraction] = (Fraction(0), Fraction(0))  # the record under way, if it is a trade

    @property
    def mark(self) -> Fraction:
        if self.frozen:
            return self.official or self.last or self.bid or self.ask or self.saved
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
        saved, close, official = self.mark, self.close, self.official
        self.__init__(saved=saved, close=close, official=official)  # type: ignore[misc]

    def offers(self, side: str, bound: Fraction | None) -> bool:
        """Whether something is displayed that was not taken, at `bound` or better; None = at any price."""
        shown, qty, name = (self.ask, self.ask_qty, "ask") if side == "buy" else (self.bid, self.bid_qty, "bid")
        near = bound is None or (shown <= bound if side == "buy" else shown >= bound)
        return bool(shown) and near and qty > self.taken[name]

    def meets(self, side: str, px: Fraction, limit: Fraction, qty: Fraction, *, rested: bool) -> bool:
        """Whether a fill took what an order may have of the print that came after it, or what is displayed; it is then used up."""
        printed, left = self.printed
        if printed and rested:
            self.printed = printed, left - qty
            cheaper = printed <= limit if side == "buy" else printed >= limit
            return cheaper and px == limit and qty <= left
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
    order_class: str = ""
    role: str = ""  # "entry", "take_profit", "stop_loss"
    group: list["Order"] = field(default_factory=list)  # everything that belongs together, replaced ones too
    waits: bool = False  # an exit whose entry is not filled yet
    notional: Fraction = Fraction(0)
    trail: Fraction = Fraction(0)
    percent: Fraction = Fraction(0)
    hwm: Fraction = Fraction(0)
    reached: bool = False  # a trade has come to its stop since it works
    rested: bool = False  # it was there to trade when the print under way came
    given_up: bool = False  # the client canceled it, or one of its group

    @property
    def leaves(self) -> Fraction:
        return Fraction(0) if self.status in FINAL else max(Fraction(0), self.qty - self.base - self.filled)

    @property
    def by_money(self) -> bool:
        """How many shares it is for is known only when it has traded."""
        return bool(self.notional) and self.type == "market"

    @property
    def mates(self) -> list["Order"]:
        return [order for order in self.group if order is not self and order.status not in FINAL]

    @property
    def partner(self) -> "Order | None":
        """The other exit of a pair."""
        return next((o for o in self.mates if "entry" not in (o.role, self.role)), None)

    @property
    def holds(self) -> Fraction:
        """Shares that it keeps from other orders; a pair of exits shares them."""
        shared = self.role == "stop_loss" and self.partner is not None
        return Fraction(0) if self.waits or shared else self.leaves

    @property
    def reserve(self) -> int:
        """Money that it keeps from other orders."""
        if self.status in FINAL:
            return 0
        if self.by_money and self.opening:
            return max(0, atto(self.notional - self.traded))
        return atto(self.unit * self.leaves)

    @property
    def stops(self) -> Fraction:
        """The price that makes it a market or a limit order; 0 = none."""
        if not self.hwm or not (self.trail or self.percent):
            return self.stop
        away = self.trail or Fraction(floor(self.hwm * self.percent / 100 * 10**9), 10**9)
        return self.hwm - away if self.side == "sell" else self.hwm + away

    def sees(self, px: Fraction) -> None:
        """A trade, while it works."""
        stop = self.stops
        if self.type in STOPS and stop and (px <= stop if self.side == "sell" else px >= stop):
            self.reached = True
        if self.type == "trailing_stop" and not self.reached:
            best = max if self.side == "sell" else min
            self.hwm = best(self.hwm, px) if self.hwm else px

    @property
    def worst(self) -> Fraction | None:
        return worst(self.type, self.limit)

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
    fresh: int = 0  # what those of today cost
    realised: int = 0

    def fill(self, side: str, px: Fraction, qty: Fraction) -> None:
        """Opening adds px x qty to the cost; closing takes floor(cost x closed / held) out of it."""
        sign = 1 if side == "buy" else -1
        closed = min(qty, abs(self.qty)) if self.qty * sign < 0 else Fraction(0)
        if closed:
            today = abs(self.qty) - abs(self.day)
            self.fresh -= floor(self.fresh * min(closed, today) / today) if today else 0
            out = floor(Fraction(self.cost) * closed / abs(self.qty))
            self.realised += atto(-sign * px * closed) - out
            self.cost -= out
            self.qty += sign * closed
            left = min(abs(self.day), abs(self.qty))
            self.day = left if self.qty > 0 else -left
        self.qty += sign * (qty - closed)
        self.cost += atto(sign * px * (qty - closed))
        self.fresh += atto(sign * px * (qty - closed))


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
    groups: list[list[Order]] = field(default_factory=list)  # those that are not all final
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
        return sum(order.reserve for order in self.open)

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
    def verdict(self, body: dict[str, Any], old: Order | None = None) -> Verdict:
        """HTTP status and code of the refusal that an order must get; None = it must be accepted."""
        symbol, side = body["symbol"], body["side"]
        if symbol not in self.markets:
            return 422, 42210000
        refused = self._words(body) if old is None else None
        if refused:
            return refused
        if body.get("client_order_id") and body["client_order_id"] in self.cids:
            return 422, 40010001
        mine = worst(body["type"], Fraction(body.get("limit_price") or 0))
        for other in self.open:
            friend = old is not None and (other is old or other in old.group)
            if not friend and other.status != "held" and other.symbol == symbol and other.side != side:
                buy, sell = (mine, other.worst) if side == "buy" else (other.worst, mine)
                if buy is None or sell is None or buy >= sell:
                    return 403, 40310000
        return self._class(body) or self._afford(body, old) or self._base(body)

    def _words(self, body: dict[str, Any]) -> Verdict:
        """What needs neither money nor market."""
        whole = "notional" not in body and Fraction(body["qty"]).denominator == 1
        day, class_ = body["time_in_force"] == "day", body.get("order_class", "")
        if not whole:
            fits = self.fractionable[body["symbol"]] and body["type"] != "trailing_stop" and (day or "/" in body["symbol"])
            if not fits:
                return 422, 42210000
        if body["type"] == "trailing_stop" and body["time_in_force"] not in ("day", "gtc"):
            return 422, 40010001
        if body.get("extended_hours") and (body["type"] != "limit" or body["time_in_force"] not in ("day", "gtc")):
            return 422, 40010001
        if not class_:
            return None
        if not whole or body.get("extended_hours") or body["time_in_force"] not in ("day", "gtc"):
            return 422, 42210000
        target, guard = prices(body)
        buys = (body["side"] == "buy") == (class_ == "oco")
        crossed = bool(target and guard) and (target >= guard if buys else target <= guard)
        return (422, 42210000) if crossed else None

    def _class(self, body: dict[str, Any]) -> Verdict:
        """Brackets and OTOs open, OCOs close."""
        class_, opens = body.get("order_class", ""), self.opens(body["symbol"], body["side"])
        return (422, 42210000) if class_ and opens == (class_ == "oco") else None

    def _base(self, body: dict[str, Any]) -> Verdict:
        """The exits of an entry lie at least a cent on their sides of what it is expected to trade at."""
        if body.get("order_class", "") not in ("bracket", "oto"):
            return None
        market, sign = self.markets[body["symbol"]], 1 if body["side"] == "buy" else -1
        expected = (market.ask if sign > 0 else market.bid) or market.mark
        base = Fraction(body.get("limit_price") or 0) or expected
        target, guard = prices(body)
        wrong = (target and (target - base) * sign < CENT) or (guard and (base - guard) * sign < CENT)
        return (422, 42210000) if wrong else None

    def _afford(self, body: dict[str, Any], old: Order | None) -> Verdict:
        symbol, side = body["symbol"], body["side"]
        exact, qty = self.size(body)
        if qty is None:
            return 422, 40010001
        if not qty:
            return 422, 42210000
        wanted = qty - (old.base + old.filled if old else 0)
        friends = old.group or [old] if old else []
        if not self.opens(symbol, side):
            waiting = sum(o.holds for o in self.open if o not in friends and o.symbol == symbol and o.side == side)
            return (403, 40310000) if wanted > abs(self.held(symbol).qty) - waiting else None
        unit = self.unit(body)
        if unit is None:
            return 422, 40010001
        whole = "notional" not in body and qty.denominator == 1
        if side == "sell":
            if self.multiplier < 2:
                return 403, 40310000
            if not whole:
                return 422, 42210000
            if self.equity < 2000 * ATTO:
                return 403, 40310000
        cost = atto(exact) if exact else atto(unit * wanted)
        if not whole and cost < ATTO:
            return 422, 42210000
        return (403, 40310000) if cost > self.free(self.multiplier) + (old.reserve if old else 0) else None

    def size(self, body: dict[str, Any]) -> tuple[Fraction, Fraction | None]:
        """The money that an order is for, 0 = none, and its shares; None = no price is known.

        By money they are exact where there is a limit; what closes at the market holds 4 % more, within what is there.
        """
        if "notional" not in body:
            return Fraction(0), Fraction(body["qty"])
        market, symbol, side = self.markets[body["symbol"]], body["symbol"], body["side"]
        money_, limit = Fraction(body["notional"]), Fraction(body.get("limit_price") or 0)
        shown = (market.ask or market.mark or market.bid) if side == "buy" else (market.bid or market.mark or market.ask)
        if not (limit or shown):
            return money_, None
        units = floor(money_ / (limit or shown) * 10**9)
        if not limit and not self.opens(symbol, side):
            waiting = sum(o.holds for o in self.open if o.symbol == symbol and o.side == side)
            there = max(0, int((abs(self.held(symbol).qty) - waiting) * 10**9))
            units = min(there, units * 104 // 100 + 1) if units <= there else units
        elif not limit:
            units *= 2
        return money_, Fraction(units, 10**9)

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
        trail, percent = Fraction(body.get("trail_price") or 0), Fraction(body.get("trail_percent") or 0)
        above = trail or Fraction(floor(ask * percent / 100 * 10**9), 10**9)
        return collar(ask + above) if body["side"] == "buy" else max(limit, stop, ask * Fraction(103, 100))

    # ------------------------------------------------------------------------------------------------ what happened
    def accepted(self, body: dict[str, Any], answer: dict[str, Any], expires: int, old: Order | None = None) -> Order:
        """The venue took an order: it is there, with its reservation, before anything happens to it."""
        opening = self.opens(body["symbol"], body["side"])
        order = Order(
            id=answer["id"],
            symbol=body["symbol"],
            side=body["side"],
            type=body["type"],
            qty=self.size(body)[1] or Fraction(0),
            limit=Fraction(body.get("limit_price") or 0),
            stop=Fraction(body.get("stop_price") or 0),
            tif=body["time_in_force"],
            extended=bool(body.get("extended_hours")),
            opening=opening,
            unit=(self.unit(body) or Fraction(0)) if opening else Fraction(0),
            status=answer["status"],
            base=old.base + old.filled if old else Fraction(0),
            expires=expires,
            order_class=body.get("order_class", ""),
            notional=Fraction(body.get("notional") or 0),
            trail=Fraction(body.get("trail_price") or 0),
            percent=Fraction(body.get("trail_percent") or 0),
        )
        if old is not None and old.group:
            order.role, order.group, order.waits, order.order_class = old.role, old.group, old.waits, old.order_class
            order.group.append(order)
            for mate in order.mates if order.role == "entry" else []:
                mate.qty = order.qty if mate.waits else mate.qty
        if old is not None:
            order.hwm = old.hwm
            kept = (order.stop, order.trail, order.percent) == (old.stop, old.trail, old.percent)
            order.reached = old.reached and kept  # given another stop it waits again
            order.opening, order.unit = (False, Fraction(0)) if old.waits else (order.opening, order.unit)
        return self.add(order, answer)

    def add(self, order: Order, answer: dict[str, Any]) -> Order:
        """An order that is new to the account."""
        assert order.id not in self.orders
        assert answer["client_order_id"] not in self.cids
        self.cids.add(answer["client_order_id"])
        self.orders[order.id] = self.alive[order.id] = order
        return order

    def legs(self, body: dict[str, Any], parent: Order, shown: list[dict[str, Any]]) -> None:
        """The exits that came with an accepted order of a class."""
        target, guard = prices(body)
        parent.role = "take_profit" if body["order_class"] == "oco" else "entry"
        side = parent.side if parent.role == "take_profit" else {"buy": "sell", "sell": "buy"}[parent.side]
        limit = Fraction((body.get("stop_loss") or {}).get("limit_price") or 0)
        wanted = [("take_profit", "limit", target, Fraction(0))] if target and parent.role == "entry" else []
        wanted += [("stop_loss", "stop_limit" if limit else "stop", limit, guard)] if guard else []
        assert len(shown) == len(wanted)
        parent.group = [parent]
        self.groups.append(parent.group)
        for leg, (role, kind, limit_px, stop) in zip(shown, wanted, strict=True):
            order = Order(
                id=leg["id"],
                symbol=parent.symbol,
                side=side,
                type=kind,
                qty=parent.qty,
                limit=limit_px,
                stop=stop,
                tif=parent.tif,
                extended=False,
                opening=False,
                unit=Fraction(0),
                status="held",
                expires=parent.expires,
                order_class=parent.order_class,
                role=role,
                group=parent.group,
                waits=parent.role == "entry",
            )
            assert (leg["side"], leg["type"], leg["qty"], leg["status"]) == (side, kind, number(parent.qty), "held")
            assert Fraction(leg["limit_price"] or 0) == limit_px
            assert Fraction(leg["stop_price"] or 0) == stop
            self.add(order, leg)
            parent.group.append(order)

    def trade(self, symbol: str, px: Fraction, *, is_open: bool) -> None:
        """A print, seen by the stops that work."""
        for order in self.open:
            order.rested = order.status in ("new", "partially_filled") and (order.type not in STOPS or order.reached)
            if order.symbol == symbol and not order.waits and is_open and order.status not in ("accepted", "pending_new"):
                order.sees(px)

    def event(self, update: dict[str, Any], *, is_open: bool) -> None:
        """One trade_updates message, in its order. Raises AssertionError where it cannot be."""
        shown = update["order"]
        order = self.orders[shown["id"]]
        assert shown["status"] in NEXT[order.status], (order.status, shown["status"])
        if update["event"] in FILLS:
            assert is_open
            assert order.type not in STOPS or order.reached, "a stop that no trade came to"
            self._fill(order, update)
        if shown["status"] == "new" and order.type == "trailing_stop" and not order.hwm:
            order.hwm = self.markets[order.symbol].last
        order.status = shown["status"]
        if order.status in FINAL:
            del self.alive[order.id]
        assert update["event"] == {"filled": "fill", "partially_filled": "partial_fill"}.get(order.status, order.status)
        assert Fraction(shown["filled_qty"]) == order.filled
        if order.role:
            self._group(order, update)
        if not order.by_money:
            assert (order.status == "filled") == (order.base + order.filled == order.qty) or order.status in FINAL - {"filled"}
        if order.filled:
            average = Fraction(floor(order.traded / order.filled * 10**9 + Fraction(1, 2)), 10**9)
            assert shown["filled_avg_price"] == number(average)
        else:
            assert shown["filled_avg_price"] is None

    def _fill(self, order: Order, update: dict[str, Any]) -> None:
        px, qty = Fraction(update["price"]), Fraction(update["qty"])
        assert qty > 0
        if order.by_money:
            self._spend(order, px, qty, update["event"] == "fill")
        assert qty <= order.leaves
        bound = order.bound
        if bound is not None:
            assert px <= bound if order.side == "buy" else px >= bound
        fits = self.markets[order.symbol].meets(order.side, px, bound or Fraction(0), qty, rested=order.rested)
        assert fits, "the market did not offer it"
        order.filled += qty
        order.traded += px * qty
        held = self.held(order.symbol)
        before = held.realised
        held.fill(order.side, px, qty)
        self.realised += held.realised - before
        cost = atto(px * qty)
        self.bought, self.sold = (self.bought + cost, self.sold) if order.side == "buy" else (self.bought, self.sold + cost)
        self.cash += -cost if order.side == "buy" else cost
        assert update["position_qty"] == number(held.qty)

    def _spend(self, order: Order, px: Fraction, qty: Fraction, last: bool) -> None:
        """A fill of an order by money: it never costs more, and ends when no further unit can be paid, or is there."""
        spent = order.traded + px * qty
        assert spent <= order.notional
        left = floor((order.notional - spent) / px * 10**9)
        assert not last or left <= 1 or (not order.opening and order.filled + qty == order.qty)
        if last:
            order.qty = order.filled + qty
        elif order.opening:
            order.qty = order.filled + qty + max(Fraction(1, 10**9), Fraction(left, 10**9))

    def _group(self, order: Order, update: dict[str, Any]) -> None:
        """What an event means for the orders that belong to this one."""
        if update["event"] == "partial_fill" and order.role != "entry" and order.partner is not None:
            order.partner.qty -= Fraction(update["qty"])
        if update["event"] == "fill" and order.role == "entry":
            there = max(Fraction(0), self.held(order.symbol).qty * (1 if order.side == "buy" else -1))
            waiting = sum(o.holds for o in self.open if o.symbol == order.symbol and o.side != order.side)
            for leg in order.mates:
                leg.qty = min(leg.qty, max(Fraction(0), there - waiting))
            for leg in order.mates:
                leg.waits = False

    def nobody_idles(self, *, is_open: bool, is_extended: bool) -> None:
        """What works takes what is displayed at its price, and a stop that was reached works."""
        for order in self.open:
            if not (is_extended if order.extended else is_open) or order.waits or order.status in ("accepted", "pending_new"):
                continue
            assert order.status != "held" or not order.reached, "a stop that was reached is still held"
            works = order.reached if order.type in STOPS else order.status != "held"
            assert not (works and self.markets[order.symbol].offers(order.side, order.bound)), "it rests though it could trade"

    def groups_hold(self) -> None:
        """What is true of orders that belong together, whenever nothing is under way."""
        for group in self.groups:
            for order in group:
                if order.status != "replaced":
                    self._group_holds(order, [mate for mate in group if mate is not order and mate.status != "replaced"])
        self.groups = [group for group in self.groups if any(order.status not in FINAL for order in group)]

    def _group_holds(self, order: Order, mates: list[Order]) -> None:
        if order.given_up or order.status in ("expired", "rejected"):
            assert all(mate.status in FINAL for mate in mates)
        if order.role == "entry":
            assert order.status == "filled" or all(mate.waits or mate.status in FINAL for mate in mates)
            sold = sum(o.filled for o in order.group if o.role != "entry")
            assert sold <= sum(o.filled for o in order.group if o.role == "entry")
            return
        partner = next((mate for mate in mates if mate.role != "entry"), None)
        if partner is None:
            return
        if order.status == "filled":
            assert partner.status in FINAL
        elif order.status == "canceled" and not order.given_up and partner.status not in FINAL:
            assert any(o.reached for o in order.group if o.role == "stop_loss")
        elif order.status not in FINAL and partner.status not in FINAL:
            assert order.leaves == partner.leaves

    def session_began(self) -> None:
        """The exchange opened: a trailing stop that saw no print yet begins at the last one, whenever that was."""
        for order in self.open:
            if order.type == "trailing_stop" and order.status == "new" and not order.hwm:
                order.hwm = self.markets[order.symbol].last

    def session_ended(self) -> None:
        """The exchange closed."""
        for market in self.markets.values():
            market.official = market.mark

    def new_day(self) -> None:
        """A New York day ended: its figures are those of the last session's prices."""
        for market in self.markets.values():
            market.frozen = True
        self.last_equity, self.last_maintenance = self.equity, self.maintenance
        for held in self.positions.values():
            held.day, held.fresh = held.qty, 0
        for market in self.markets.values():
            market.close, market.frozen = market.mark, False

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
        waiting = sum(o.holds for o in self.open if o.symbol == symbol and o.side == closing)
        entry = Fraction(floor(Fraction(abs(held.cost), ATTO) / size * 10**9 + Fraction(1, 2)), 10**9)
        value, last = self.value(symbol), market.close or market.mark
        day_base = atto(last * held.day) + held.fresh
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
