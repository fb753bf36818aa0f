"""The matcher's rules in plain Python: sort everything each time, no cleverness."""

from dataclasses import dataclass, field

BUY, SELL = 1, 2
DAY, GTC, IOC, FOK = 1, 2, 3, 4
FILL, CANCELED, TRIGGERED = 1, 2, 3


@dataclass
class Order:
    number: int
    owner: int
    side: int
    left: int
    limit: int
    stop: int
    tif: int
    place: int
    ahead: int = 0  # -1 = not known
    sweeping: bool = False
    trail: int = 0
    ratio: int = 0  # parts of 1e9
    best: int = 0
    budget: int = 0
    one: int = 0

    def follow(self, px):
        """Move a trailing stop; whether it moved."""
        if px and (not self.best or (px < self.best if self.side == BUY else px > self.best)):
            self.best = px
            off = self.trail or px * self.ratio // 10**9
            self.stop = px + off if self.side == BUY else px - off
            return True
        return False


@dataclass
class ReferenceMatcher:
    shown: dict = field(default_factory=lambda: {BUY: {}, SELL: {}})  # side -> px -> [qty, taken]
    resting: list = field(default_factory=list)
    stops: list = field(default_factory=list)
    out: list = field(default_factory=list)
    halted: bool = False
    depth: bool = False
    told: bool = False
    clock: int = 0
    last: int = 0
    proportional: bool = False
    traded: dict = field(default_factory=dict)  # (side, px) -> since the level's size last changed

    # ---------------------------------------------------------------- verbs
    def submit(self, number, owner, side, qty, limit=0, stop=0, tif=DAY, **more):
        self.clock += 1
        order = Order(number, owner, side, qty, limit, stop, tif, self.clock, **more)
        if stop or order.trail or order.ratio:
            if not stop:
                order.follow(self.last)
            self.stops.append(order)
        else:
            self.enter(order)

    def cancel(self, number):
        for orders in (self.resting, self.stops):
            for order in orders:
                if order.number == number:
                    orders.remove(order)
                    return order.left
        return 0

    def reduce(self, number, qty):
        for orders in (self.resting, self.stops):
            for order in orders:
                if order.number == number:
                    order.left = max(order.left - qty, 0)
                    if not order.left:
                        orders.remove(order)
                    return order.left
        return 0

    def quote(self, bid, bid_qty, ask, ask_qty):
        if self.depth:
            return
        self.told = True
        for side, px, qty in ((BUY, bid, bid_qty), (SELL, ask, ask_qty)):
            if not px or not qty:
                self.shown[side] = {}
            else:
                old = self.shown[side].get(px)
                self.shown[side] = {px: old if old and old[0] == qty else [qty, 0]}
                if not old or old[0] != qty:
                    self.level_is(side, px, qty, old)
            self.leaders(side)
        self.meet(BUY)
        self.meet(SELL)

    def delta(self, side, px, qty, *, last):
        self.go_deep()
        old = self.shown[side].pop(px, None)
        if qty:
            self.shown[side][px] = old if old and old[0] == qty else [qty, 0]
        self.level_is(side, px, qty, old)
        self.leaders(side)
        if last:
            self.meet(BUY)
            self.meet(SELL)

    def clear(self):
        self.go_deep()
        self.shown = {BUY: {}, SELL: {}}

    def trade(self, px, qty, taker):
        self.last = px
        if self.halted:
            return
        left = qty
        for side in (BUY, SELL):
            if taker != side and px in self.shown[side]:
                self.traded[side, px] = self.traded.get((side, px), 0) + qty
        for side in (BUY, SELL):
            for order in self.queue(side):
                if order.sweeping:
                    continue
                through = self.better(side, order.limit, px)
                if through:
                    order.ahead = 0
                    fill = min(left, order.left)
                elif order.limit == px and taker != side and order.ahead >= 0:
                    fill = min(max(left - order.ahead, 0), order.left)
                    order.ahead -= min(order.ahead, left - fill)
                else:
                    continue
                if fill:
                    left -= fill
                    self.fill(order, order.limit, fill, 0, maker=1)
        self.resting = [order for order in self.resting if order.left]
        for side in (BUY, SELL):

            def near(o, side=side):
                return (o.stop == 0, o.stop if side == BUY else -o.stop, o.place)

            for order in sorted((o for o in self.stops if o.side == side and (o.trail or o.ratio)), key=near):
                if order.follow(px):
                    self.clock += 1
                    order.place = self.clock
            reached = [o for o in self.stops if o.side == side and o.stop and (px >= o.stop if side == BUY else px <= o.stop)]
            for order in sorted(reached, key=near):
                self.stops.remove(order)
                self.out.append((order.number, 0, px, order.best, order.left, TRIGGERED, 0))
                self.clock += 1
                order.place = self.clock
                self.enter(order)

    def status(self, halted):
        was, self.halted = self.halted, halted
        if was and not halted:
            self.meet(BUY)
            self.meet(SELL)

    # ---------------------------------------------------------------- rules
    @staticmethod
    def better(side, a, b):
        return a > b if side == BUY else a < b

    def accepts(self, order, px):
        return not order.limit or px == order.limit or self.better(3 - order.side, px, order.limit)

    def queue(self, side):
        mine = [o for o in self.resting if o.side == side]
        return sorted(mine, key=lambda o: (o.limit != 0, -o.limit if side == BUY else o.limit, o.place))

    def levels(self, side):
        rows = [(px, row) for px, row in self.shown[side].items() if row[0] > row[1]]
        return sorted(rows, key=lambda r: -r[0] if side == BUY else r[0])

    def go_deep(self):
        if not self.depth:
            self.depth = self.told = True
            self.shown = {BUY: {}, SELL: {}}

    def level_is(self, side, px, qty, old):
        traded = self.traded.pop((side, px), 0)
        stood = max(old[0] - traded, 0) if old and self.proportional else 0
        for order in self.resting:
            if order.side == side and order.limit == px:
                if stood > qty and order.ahead > 0:
                    order.ahead -= order.ahead * (stood - qty) // stood
                order.ahead = qty if order.ahead < 0 else min(order.ahead, qty)

    def leaders(self, side):
        for order in self.resting:
            if order.side == side and order.limit and all(self.better(side, order.limit, px) for px in self.shown[side]):
                order.ahead = 0

    def fill(self, order, px, qty, contra, maker):
        order.left -= qty
        self.out.append((order.number, contra, px, qty, order.left, FILL, maker))

    def offers(self, order):
        """What an arriving order could take, in order: (px, external level row | None, resting order | None)."""
        other = 3 - order.side
        rows = [(px, 0, 0, row, None) for px, row in self.levels(other)]
        rows += [(o.limit, 1, o.place, None, o) for o in self.resting if o.side == other and o.limit and o.owner != order.owner]
        rows = [row for row in rows if self.accepts(order, row[0])]
        return sorted(rows, key=lambda r: (-r[0] if other == BUY else r[0], r[1], r[2]))

    def enter(self, order):
        offers = [] if self.halted else self.offers(order)
        total = sum(row[0] - row[1] if row else maker.left for _, _, _, row, maker in offers)
        if order.tif != FOK or total >= order.left:
            self.take(order, offers)
        if order.left and order.tif in (IOC, FOK):
            left, order.left = order.left, 0
            self.out.append((order.number, 0, 0, left, 0, CANCELED, 0))
        elif order.left:
            order.sweeping = self.sweeps(order)
            order.ahead = self.joined(order)
            self.resting.append(order)

    def take(self, order, offers):
        for px, _, _, row, maker in offers:
            if not order.left:
                break
            most = min(order.left, order.budget * order.one // px) if order.one else order.left
            if not most:
                self.out.append((order.number, 0, 0, order.left, 0, CANCELED, 0))
                order.left = 0
                break
            qty = min(most, row[0] - row[1] if row else maker.left)
            if order.one:
                order.budget -= -(-px * qty // order.one)
                if not order.budget * order.one // px:
                    order.left = qty
            if row:
                row[1] += qty
                self.fill(order, px, qty, 0, maker=0)
            else:
                self.fill(maker, px, qty, order.number, maker=1)
                self.fill(order, px, qty, maker.number, maker=0)
        self.resting = [o for o in self.resting if o.left]

    def joined(self, order):
        rows = self.shown[order.side]
        if order.limit and not self.told:
            return -1
        if not order.limit or all(self.better(order.side, order.limit, px) for px in rows):
            return 0
        if order.limit in rows:
            return rows[order.limit][0] - rows[order.limit][1]
        return 0 if self.depth and any(self.better(order.side, order.limit, px) for px in rows) else -1

    def sweeps(self, order):
        return not order.limit or any(self.accepts(order, px) for px in self.shown[3 - order.side])

    def meet(self, side):
        if self.halted:
            return
        for order in self.queue(side):
            if order.sweeping:
                self.take(order, self.offers(order))
                order.sweeping = self.sweeps(order)
                continue
            for px, row in self.levels(3 - side):
                if not order.left or not self.accepts(order, px):
                    break
                qty = min(order.left, row[0] - row[1])
                row[1] += qty
                self.fill(order, order.limit, qty, 0, maker=1)
        self.resting = [o for o in self.resting if o.left]
