"""The gate against an oracle that looks at every subset of fills: no allow where it denies, no deny where it allows."""

from collections.abc import Iterator
from itertools import combinations
from random import Random

import pytest
from tests.core.test_risk import BUY, LIMIT, NOW, PX, SECOND, SELL, WIDE, Desk

from pyrt._core.risk import Code

CENT = 10_000_000
SHARE = 2  # qty units of a whole share: so that parts exist
COLLAR = 500
FOREVER = (1 << 63) - 1


class Oracle:
    """What may happen, said as the specification says it; nothing is kept that a subset of fills does not need."""

    def __init__(self, rng: Random) -> None:
        self.limit = rng.randint(6, 30)
        self.adv = rng.choice([3, 7, FOREVER])
        self.drift = rng.choice([20, 100, FOREVER])
        self.window = rng.choice([1, 5, 60]) * SECOND
        self.loss = rng.choice([15, 40, 10**9]) * PX  # a qty unit at a px unit is a money unit here
        self.shorts = rng.random() < 0.7
        self.q = 0
        self.orders: dict[int, tuple[int, int, int]] = {}  # key -> side, leaves, px
        self.fills: list[tuple[int, int, int]] = []  # at, side, px
        self.short_until = self.list_until = FOREVER
        self.ssr_px, self.fell = 1, False
        self.bid = self.ask = 0
        self.last = 0
        self.pnl = 0

    def denies(self, side: int, n: int, px: int, now: int) -> Code:
        sells = sum(left for s, left, _ in self.orders.values() if s == SELL)
        buys = sum(left for s, left, _ in self.orders.values() if s == BUY)
        room = self.q - sells if side == SELL else -self.q - buys
        reducing = n <= room and (self.q > 0) == (side == SELL)
        codes = Code(0)
        ends = list(self.reach((side, n, px)))
        if n > self.adv:
            codes |= Code.ORDER_QTY
        if side == SELL and min(ends) < 0 and not self.may_short(n, px, now):
            codes |= Code.SHORT_NOT_ALLOWED
        if not reducing:
            if max(abs(end) for end in ends) > self.limit:
                codes |= Code.POSITION_LIMIT
            if now >= self.list_until:
                codes |= Code.RESTRICTED
            if self.drifted(side, now):
                codes |= Code.PRICE_DRIFT
            if self.pnl - self.worst_loss((side, n, px)) <= -self.loss:
                codes |= Code.DAILY_LOSS
        return codes

    def reach(self, *more: tuple[int, int, int]) -> Iterator[int]:
        every = [*self.orders.values(), *more]
        for count in range(len(every) + 1):
            for some in combinations(every, count):
                yield self.q + sum(n if s == BUY else -n for s, n, _ in some)

    def may_short(self, n: int, px: int, now: int) -> bool:
        if not self.shorts or self.q > 0 or now >= self.short_until or n % SHARE:
            return False
        self.fell |= 0 < self.last <= self.ssr_px
        return px > self.bid if self.fell or not self.ssr_px else True

    def drifted(self, side: int, now: int) -> bool:
        prices = [px for at, s, px in self.fills if s == side and at > now - self.window]
        mid = self.bid + (self.ask - self.bid) // 2
        if side == BUY:
            return any((mid - px) * 10_000 > px * self.drift for px in prices)
        return any((px - mid) * 10_000 > px * self.drift for px in prices)

    def worst_loss(self, new: tuple[int, int, int]) -> int:
        sells = sum(left for s, left, _ in self.orders.values() if s == SELL)
        buys = sum(left for s, left, _ in self.orders.values() if s == BUY)
        exits = {BUY: self.q + buys <= 0, SELL: self.q - sells >= 0}
        losses = [self.loss_of(*order, exits[order[0]]) for order in self.orders.values()]
        losses.append(self.loss_of(*new, False))
        return max(sum(some) for count in range(len(losses) + 1) for some in combinations(losses, count))

    def loss_of(self, side: int, n: int, px: int, closing: bool) -> int:
        """Bought and marked at the bid less the collar; sold and marked at the ask and the collar; an exit, at the market now."""
        if side == BUY:
            mark = self.ask if closing else self.bid * (10_000 - COLLAR) // 10_000
            return (px - mark) * n
        mark = self.bid if closing else -(-self.ask * (10_000 + COLLAR) // 10_000)
        return (mark - px) * n


def walk(seed: int, steps: int) -> tuple[int, int, Code]:
    """Random life; returns how many orders were allowed and denied, and by which codes."""
    rng = Random(seed)
    o = Oracle(rng)
    rules = {
        "repeat_window": 0,
        "rate_window": 0,
        "drift_bps": min(o.drift, 1 << 62),
        "drift_window": o.window,
        "filled_loss": o.loss,
        "max_spread_bps": 10_000,
    }
    bounds = {
        "position_qty": o.limit,
        "strategy_qty": 10**9,
        "adv_qty": min(o.adv, 1 << 62),
        "share": SHARE,
        "shorts": int(o.shorts),
    }
    desk = Desk(rules, bounds)
    assert WIDE["collar_bps"] == COLLAR
    now = NOW
    allowed = denied = 0
    met = Code(0)

    def quote() -> None:
        mid = 100 * PX + rng.randint(-150, 150) * CENT
        o.bid, o.ask, o.last = mid - CENT, mid + CENT, mid
        desk.quote(o.bid, o.ask, at=now, last=o.last, last_at=now)

    def flags() -> None:
        o.short_until = rng.choice([FOREVER, now, now + 3 * SECOND])
        o.ssr_px, o.fell = rng.choice([0, 1, 1, 99 * PX]), False
        o.list_until = rng.choice([FOREVER, FOREVER, now, now + 3 * SECOND])
        desk.gate.borrow(7, o.short_until)
        desk.gate.ssr(7, o.ssr_px, 0)
        desk.gate.lists(o.list_until)

    quote()
    flags()
    for _ in range(steps):
        verb = rng.random()
        if verb < 0.5 and len(o.orders) < 6:
            side, n = rng.choice([BUY, SELL]), rng.randint(1, 9)
            px = 98 * PX - rng.randint(0, 100) * CENT if side == BUY else 102 * PX + rng.randint(0, 100) * CENT
            expect = o.denies(side, n, px, now)
            code = desk.send(side, n, px, now=now)
            assert code == expect, (seed, o.__dict__, side, n, px)
            allowed += not code
            denied += bool(code)
            met |= code
            if not code:
                desk.gate.confirm(desk.key, 3, 7, side, LIMIT, n, px, 0, ref_px=100 * PX, at=now)
                o.orders[desk.key] = (side, n, px)
        elif verb < 0.7 and o.orders:
            key = rng.choice(sorted(o.orders))
            side, left, px = o.orders[key]
            part = rng.randint(1, left)
            desk.gate.fill(key, 3, 7, side, px, part, 0, now)
            o.q += part if side == BUY else -part
            o.fills = [f for f in o.fills if f[0] > now - o.window] + [(now, side, px)]
            o.orders[key] = (side, left - part, px)
            if left == part:
                desk.gate.release(key)
                del o.orders[key]
        elif verb < 0.8 and o.orders:
            key = rng.choice(sorted(o.orders))
            desk.gate.release(key)
            del o.orders[key]
        elif verb < 0.9:
            now += rng.randint(0, 2 * SECOND)
            quote()
        elif verb < 0.97:
            o.pnl = desk.gate.mark()
        else:
            flags()
        ends = list(o.reach())
        assert desk.ledger.worst_case(7) == (max(ends), min(ends))
    return allowed, denied, met


ALL = Code.ORDER_QTY | Code.SHORT_NOT_ALLOWED | Code.POSITION_LIMIT | Code.RESTRICTED | Code.PRICE_DRIFT | Code.DAILY_LOSS


def test_the_gate_is_its_oracle() -> None:
    met = Code(0)
    for seed in range(40):
        allowed, denied, codes = walk(seed, 100)
        assert allowed
        assert denied
        met |= codes
    assert met == ALL  # none of them sleeps


@pytest.mark.nightly
def test_the_gate_is_its_oracle_for_a_million_steps() -> None:
    sums = [walk(seed, 1000) for seed in range(1000, 2000)]
    assert all(allowed and denied for allowed, denied, _ in sums)
