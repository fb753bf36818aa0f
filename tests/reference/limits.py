"""What the limits say of an order, by looking at every subset of fills of every open order: plain Python, exact integers.

An order may do one of its `ways` and no more: nothing, what it was sent as, or what a replacement under way would make of it; of a
pair of exits the one or the other. Its size is its largest way, its price the worst. What a smaller replacement frees of the buying
power, the venue's next figure tells.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace

from pyrt._core.risk import Code

BUY, SELL = 1, 2
ANY = (1 << 63) - 1  # what a buy at the market may pay; a sale may bring 0
SHORT_BPS = 300
ONE = 10_000


def wider(px: int, bps: int) -> int:
    """Upward, and rounded so."""
    return -(-px * (ONE + bps) // ONE)


@dataclass
class Way:
    """So many more units, valued at a price, at no worse than another."""

    n: int
    px: int
    cross: int


@dataclass
class Order:
    """An open order; `next` is what a replacement under way would make of it, `pair` the other of two exits."""

    strategy: int
    instrument: int
    side: int
    now: Way
    next: Way | None = None
    pair: Way | None = None
    firm: bool = True
    firm_next: bool = False
    filled: int = 0
    cost: int = 0  # buying power held
    cost_next: int = 0  # what the replacement holds beyond it
    netted: bool = False  # the venue's figure counts it
    unknown: bool = False

    @property
    def ways(self) -> list[Way]:
        return [way for way in (self.now, self.next, self.pair) if way is not None]

    @property
    def n(self) -> int:
        return max(way.n for way in self.ways)

    @property
    def px(self) -> int:
        return max(way.px for way in self.ways if way.n or way is self.now)

    @property
    def cross(self) -> int:
        prices = [way.cross for way in self.ways if way.n or way is self.now]
        return max(prices) if self.side == BUY else min(prices)

    def take(self, n: int) -> None:
        """So much of it was filled."""
        for way in self.ways:
            way.n = max(way.n - n, 0)
        self.filled += n


@dataclass
class Bounds:
    """The limits of a life."""

    position: int
    position_money: int
    strategy: int
    gross: int
    net: int
    open_money: int
    open_count: int
    loss: int
    shorts: bool
    share: int
    collar: int


Ends = set[tuple[int, ...]]


@dataclass
class Oracle:
    """Positions by strategy and instrument, orders by key, and what the market shows."""

    bounds: Bounds
    scale: dict[int, int]  # of each instrument, in their order
    held: dict[tuple[int, int], int] = field(default_factory=dict)
    orders: dict[int, Order] = field(default_factory=dict)
    bid: dict[int, int] = field(default_factory=dict)
    ask: dict[int, int] = field(default_factory=dict)
    buying_power: int = 0
    spent: int = 0
    pnl: int = 0

    # ------------------------------------------------------------------------------------------------- what may become
    def q(self, instrument: int) -> int:
        return sum(n for (_, i), n in self.held.items() if i == instrument)

    def ends(self, orders: Iterable[Order], strategy: int | None = None) -> Ends:
        """Every position, by instrument, that some subset of fills leads to; of one strategy, or of all."""
        kept = [key for key in self.held if strategy in (None, key[0])]
        found = {tuple(sum(self.held[key] for key in kept if key[1] == i) for i in self.scale)}
        for order in orders:
            if strategy in (None, order.strategy):
                at, sign = list(self.scale).index(order.instrument), 1 if order.side == BUY else -1
                found |= {(*e[:at], e[at] + sign * way.n, *e[at + 1 :]) for e in found for way in order.ways}
        return found

    def along(self, ends: Ends, instrument: int) -> set[int]:
        at = list(self.scale).index(instrument)
        return {end[at] for end in ends}

    # ------------------------------------------------------------------------------------------------- an order
    def denies(self, new: Order, qty: int, replaced: Order | None = None, *, reduce_only: bool = False) -> Code:
        """All that speaks against an order; `new.now.n` is what it may yet fill, `qty` its quantity with what its chain filled."""
        if replaced is not None and (replaced.next is not None or not replaced.now.n):
            return Code.PARENT_EXCEEDED
        if replaced is not None and qty <= replaced.filled:
            return Code.ORDER_QTY
        others = [order for order in self.orders.values() if order is not replaced]
        merged = self.merged(new, replaced)
        shrinks = replaced is not None and new.now.n <= replaced.now.n and self.no_more_eager(new, replaced)
        ends, own = self.ends([*others, merged]), self.ends([*others, merged], new.strategy)
        i, buys = new.instrument, new.side == BUY
        reducing = self.reduces(self.q(i), buys, self.along(ends, i))
        own_reducing = self.reduces(self.held.get((new.strategy, i), 0), buys, self.along(own, i))
        codes = Code.REDUCE_ONLY if reduce_only and not own_reducing else Code(0)
        if not buys and min(self.along(ends, i)) < 0 and not shrinks and not self.may_short(merged):
            codes |= Code.SHORT_NOT_ALLOWED
        reducing, own_reducing = reducing or shrinks, own_reducing or shrinks
        if not own_reducing and max(abs(end) for end in self.along(own, i)) > self.bounds.strategy:
            codes |= Code.POSITION_LIMIT
        if not reducing:
            codes |= self.enlarges(merged, ends, others)
        if replaced is None and len(self.orders) >= self.bounds.open_count:
            codes |= Code.OPEN_ORDER_COUNT
        if self.crosses(new):
            codes |= Code.SELF_MATCH
        return codes | self.power(merged, others, replaced)

    def merged(self, new: Order, replaced: Order | None) -> Order:
        return new if replaced is None else Order(new.strategy, new.instrument, new.side, replaced.now, new.now)

    def reduces(self, q: int, buys: bool, ends: set[int]) -> bool:
        """It never leads through nothing to the other side, whatever else fills."""
        return (q < 0 and max(ends) <= 0) if buys else (q > 0 and min(ends) >= 0)

    def no_more_eager(self, new: Order, old: Order) -> bool:
        if new.now.cross in (0, ANY):
            return False
        return new.now.cross <= old.now.cross if new.side == BUY else new.now.cross >= old.now.cross

    def may_short(self, order: Order) -> bool:
        return self.bounds.shorts and self.q(order.instrument) <= 0 and order.n % self.bounds.share == 0

    def enlarges(self, order: Order, ends: Ends, others: list[Order]) -> Code:
        codes, i, b = Code(0), order.instrument, self.bounds
        px = {j: max(order.px, self.ask[j]) if j == i else self.ask[j] for j in self.scale}
        most = max(abs(end) for end in self.along(ends, i))
        if most > b.position or most * px[i] * self.scale[i] > b.position_money:
            codes |= Code.POSITION_LIMIT
        units = [px[j] * scale for j, scale in self.scale.items()]
        if max(sum(abs(n) * unit for n, unit in zip(end, units, strict=True)) for end in ends) > b.gross:
            codes |= Code.GROSS_EXPOSURE
        if max(abs(sum(n * unit for n, unit in zip(end, units, strict=True))) for end in ends) > b.net:
            codes |= Code.NET_EXPOSURE
        if sum(o.n * o.px * self.scale[o.instrument] for o in [*others, order]) > b.open_money:
            codes |= Code.OPEN_ORDER_VALUE
        if any(o.unknown and o.instrument == i for o in self.orders.values()):
            codes |= Code.NOT_RECONCILED
        if self.pnl - self.worst_loss(order, others) <= -b.loss:
            codes |= Code.DAILY_LOSS
        return codes

    def crosses(self, new: Order) -> bool:
        theirs = [o.cross for o in self.orders.values() if o.instrument == new.instrument and o.side != new.side and o.n]
        return any(new.now.cross >= px for px in theirs) if new.side == BUY else any(new.now.cross <= px for px in theirs)

    # ------------------------------------------------------------------------------------------------- money
    def worst_loss(self, order: Order, others: list[Order]) -> int:
        """The dearest subset of fills: each bought and marked at the bid less the collar, or sold and marked at the ask and it."""
        sums, now = {0}, self.ends(self.orders.values())
        for one in [*others, order]:
            ends = self.along(now, one.instrument)
            closes = one is not order and (max(ends) <= 0 if one.side == BUY else min(ends) >= 0)
            loss = self.loss_of(one, closes)
            sums |= {total + loss for total in sums}
        return max(sums)

    def loss_of(self, order: Order, closes: bool) -> int:
        i, collar = order.instrument, self.bounds.collar
        if order.side == BUY:
            paid = order.px if order.cross == ANY else order.cross
            each = paid - (self.ask[i] if closes else self.bid[i] * (ONE - collar) // ONE)
        else:
            mark = self.bid[i] if closes else self.ask[i]
            brings = order.cross or mark * (ONE - collar) // ONE
            each = (mark if closes else wider(mark, collar)) - brings
        return each * order.n * self.scale[i]

    def cost(self, order: Order, px: int, others: Iterable[Order]) -> int:
        """What covers a short or sells what is held needs none, unless others of its side may take that first."""
        ends = self.along(self.ends(o for o in others if o.side == order.side), order.instrument)
        free = max(-max(ends) if order.side == BUY else min(ends), 0)
        return (order.n - min(order.n, free)) * px * self.scale[order.instrument]

    def short_px(self, order: Order, market: int) -> int:
        return order.px if order.side == BUY else max(order.px, wider(market, SHORT_BPS))

    def needs(self, order: Order, others: list[Order]) -> int:
        """At the market as it is now."""
        return self.cost(order, self.short_px(order, self.ask[order.instrument]), others)

    def power(self, order: Order, others: list[Order], replaced: Order | None) -> Code:
        cost = self.needs(order, others)
        before = replaced.cost if replaced is not None else 0
        fits = cost <= before or self.committed() + cost - before <= self.buying_power
        return Code(0) if fits else Code.BUYING_POWER

    def committed(self) -> int:
        return self.spent + sum((0 if o.netted else o.cost) + o.cost_next for o in self.orders.values())

    # ------------------------------------------------------------------------------------------------- what happens
    def approve(self, key: int, new: Order, replaced: Order | None) -> None:
        """It counts from now on. Of a replacement, what goes beyond the old order's cost is held beside that."""
        others = [order for order in self.orders.values() if order is not replaced]
        cost = self.needs(self.merged(new, replaced), others)
        if replaced is None:
            new.cost, new.firm, self.orders[key] = cost, False, new
        else:
            replaced.next, replaced.cost_next = new.now, max(cost - replaced.cost, 0)

    def confirm(self, order: Order, px: int, ref: int) -> None:
        """A fact: its price and its cost are what the facts alone say, so that a replay finds the same."""
        way = order.next or order.now
        way.px = px
        cost = self.cost(order, self.short_px(order, ref), self.facts(order))
        if order.next is None:
            order.cost, order.firm = cost, True
        else:
            order.cost_next, order.firm_next = max(cost - order.cost, 0), True

    def facts(self, but: Order) -> Iterator[Order]:
        """The other open orders, as facts alone tell them."""
        for order in self.orders.values():
            if order.firm and order is not but:
                yield order if order.next is None or order.firm_next else replace(order, next=None)

    def settle(self, order: Order, accepted: bool) -> None:
        if accepted and order.next is not None:
            order.now = order.next
            order.cost += order.cost_next
            self.spent += order.cost_next if order.netted else 0
        order.next, order.cost_next, order.firm_next = None, 0, False

    def fill(self, order: Order, n: int) -> None:
        key = (order.strategy, order.instrument)
        whole = order.n if order.next is None or order.firm_next else replace(order, next=None).n
        part = order.cost * n // whole if n < whole else order.cost
        self.spent += 0 if order.netted else part
        order.cost -= part
        order.take(n)
        self.held[key] = self.held.get(key, 0) + (n if order.side == BUY else -n)

    def told(self, buying_power: int) -> None:
        """The venue's figure, which knows every fill and every order that stands."""
        self.buying_power, self.spent = buying_power, 0
        for order in self.orders.values():
            order.netted |= order.firm
