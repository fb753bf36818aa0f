"""The gate's limits on three instruments, against an oracle that looks at every subset of fills: random lives of two strategies."""

from collections.abc import Callable
from dataclasses import dataclass
from random import Random

import pytest
from tests.core.test_risk import BUY, LIMIT, MARKET, MONO, NOW, OFF_MONEY, PX, SECOND, SELL, STOP, WIDE, Desk
from tests.reference.limits import ANY, Bounds, Oracle, Order, Way, wider
from tests.sizes import size

from pyrt._core.risk import Code
from pyrt._core.types import Side
from pyrt.risk.groups import Exit, Group

CENT = 10_000_000
SCALES = {7: 1, 8: 10, 9: 1}  # money of a px unit and a qty unit, by instrument
STRATEGIES = (3, 4)
EXTERNAL = 0
COLLAR, GAP = 500, 500
MOST = 5  # open orders: each may double or treble the subsets
STEPS, LIFE = 1_000_000, 500


@dataclass
class Approved:
    """An approval that is no fact yet."""

    key: int
    root: int  # of the order that it replaces; 0 = a new one
    terms: tuple[int, int, int, int]  # kind, qty, limit, stop
    ref: int


class Life:
    """A gate and its oracle, which see the same."""

    def __init__(self, seed: int) -> None:
        self.rng = rng = Random(seed)
        money = 100 * PX
        self.bounds = Bounds(
            position=rng.randint(8, 40),
            position_money=rng.randint(10, 300) * money,
            strategy=rng.randint(6, 30),
            gross=rng.randint(20, 500) * money,
            net=rng.randint(15, 400) * money,
            open_money=rng.randint(10, 300) * money,
            open_count=rng.randint(3, 8),
            loss=rng.choice([20, 60, 200]) * money // 10,
            shorts=rng.random() < 0.8,
            share=rng.choice([1, 1, 2]),
            collar=COLLAR,
        )
        self.oracle = Oracle(self.bounds, dict(SCALES), {(s, i): 0 for s in (EXTERNAL, *STRATEGIES) for i in SCALES})
        b = self.bounds
        rules = {"repeat_window": 0, "rate_window": 0, "max_spread_bps": 10_000, "gap_bps": GAP}
        rules |= {"open_value": b.open_money, "open_count": b.open_count, "gross": b.gross, "net": b.net, "filled_loss": b.loss}
        each = {"position_qty": b.position, "strategy_qty": b.strategy, "position_notional": b.position_money}
        self.desk = Desk(rules, each | {"share": b.share, "shorts": int(b.shorts)}, instruments=tuple(SCALES))
        assert (WIDE["collar_bps"], rules["filled_loss"] < OFF_MONEY) == (COLLAR, True)
        self.gate, self.now = self.desk.gate, NOW
        self.waiting: list[Approved] = []
        self.kinds: dict[int, int] = {}  # of what may be replaced
        self.groups: dict[int, tuple[Group, int]] = {}  # by carrier: the pair, and its other key
        self.met, self.allowed, self.denied, self.keys = Code(0), 0, 0, 0
        for i, scale in SCALES.items():
            self.desk.ledger.define(i, lot=1, multiplier=scale)
            self.gate.borrow(i, ANY)
            self.gate.ssr(i, 1, 0)
        self.quote()
        self.figure()

    # ------------------------------------------------------------------------------------------------- the world
    def quote(self) -> None:
        for i in SCALES:
            mid = 100 * PX + self.rng.randint(-150, 150) * CENT
            self.oracle.bid[i], self.oracle.ask[i] = mid - CENT, mid + CENT
            self.desk.quote(mid - CENT, mid + CENT, at=self.now, instrument=i)
        self.oracle.pnl = self.gate.mark()

    def figure(self) -> None:
        self.now += SECOND
        for key, order in self.oracle.orders.items():
            if order.firm:
                self.gate.seen(key, self.now)
        self.oracle.told(self.rng.randint(5, 300) * 100 * PX)
        self.gate.account(self.oracle.buying_power, self.now)

    def key(self, strategy: int) -> int:
        self.keys += 1
        return strategy << 48 | self.keys

    def draw(self, side: int, i: int, kind: int) -> tuple[int, int, int]:
        """Kind, limit and stop of an order that no price control is against."""
        rng, bid, ask = self.rng, self.oracle.bid[i], self.oracle.ask[i]
        if kind == LIMIT:
            away = rng.randint(-20, 300) * CENT
            return kind, (bid - away if side == BUY else ask + away), 0
        away = rng.randint(1, 1000) * CENT
        return kind, 0, 0 if kind == MARKET else ask + away if side == BUY else bid - away

    def way(self, side: int, i: int, n: int, terms: tuple[int, int, int], market: int, ref: int) -> Way:
        kind, limit, stop = terms
        if kind == LIMIT:
            return Way(n, max(limit, market), limit)
        return Way(n, wider(ref, COLLAR) if kind == MARKET else wider(stop, GAP), ANY if side == BUY else 0)

    # ------------------------------------------------------------------------------------------------- what we do
    def send(self) -> None:
        if len(self.oracle.orders) >= MOST:
            return
        rng = self.rng
        strategy, i, side = rng.choice(STRATEGIES), rng.choice(list(SCALES)), rng.choice([BUY, SELL])
        terms, qty = self.draw(side, i, rng.choice([LIMIT, LIMIT, LIMIT, LIMIT, MARKET, STOP])), rng.randint(1, 9)
        key = self.ask(strategy, i, side, terms, qty, 0)
        if key and terms[0] == LIMIT and len(self.oracle.orders) < MOST and rng.random() < 0.15:
            self.pair(key, qty, terms[1])

    def replace(self) -> None:
        roots = [key for key, order in self.oracle.orders.items() if order.firm and self.kinds.get(key, MARKET) != MARKET]
        if not roots:
            return
        root = self.rng.choice(roots)
        order = self.oracle.orders[root]
        terms = self.draw(order.side, order.instrument, self.kinds[root])
        if terms[0] == LIMIT and self.rng.random() < 0.4:
            terms = (LIMIT, order.now.cross, 0)
        self.ask(order.strategy, order.instrument, order.side, terms, self.rng.randint(1, 12), root)

    def ask(self, strategy: int, i: int, side: int, terms: tuple[int, int, int], qty: int, root: int) -> int:
        """Send an order and compare; its key where it was allowed."""
        o, rng = self.oracle, self.rng
        replaced, ref = o.orders.get(root), o.bid[i] + (o.ask[i] - o.bid[i]) // 2
        new = Order(strategy, i, side, self.way(side, i, qty - (replaced.filled if replaced else 0), terms, o.ask[i], ref))
        only, every, key = rng.random() < 0.1, rng.random() < 0.7, self.key(strategy)
        expect = o.denies(new, qty, replaced, reduce_only=only)
        kind, limit, stop = terms
        asked = {"reduce_only": only, "every": every, "replaces": root, "now": self.now, "mono": MONO}
        code = Code(self.gate.check(key, strategy, i, side, kind, qty, limit, stop, **asked))
        assert code == expect if every else (not code) == (not expect) and code in expect, (code, expect, new, qty, replaced, o)
        self.met |= code
        self.allowed, self.denied = self.allowed + (not code), self.denied + bool(code)
        if code:
            return 0
        o.approve(key, new, replaced)
        self.kinds[key] = kind
        self.waiting.append(Approved(key, root, (kind, qty, limit, stop), ref))
        if rng.random() < 0.7:
            self.land()
        return key

    def land(self) -> None:
        """Approvals become facts, in their order; or the last is taken back."""
        if self.waiting and self.rng.random() < 0.1:
            last = self.waiting.pop()
            self.gate.expire(last.key, last.root)
            if last.root:
                self.oracle.settle(self.oracle.orders[last.root], False)
            else:
                del self.oracle.orders[last.key]
        for one in self.waiting:
            order = self.oracle.orders[one.root or one.key]
            kind, qty, limit, stop = one.terms
            side, i = order.side, order.instrument
            self.gate.confirm(
                one.key, order.strategy, i, side, kind, qty, limit, stop, ref_px=one.ref, at=self.now, replaces=one.root
            )
            self.oracle.confirm(order, self.way(side, i, 0, (kind, limit, stop), one.ref, one.ref).px, one.ref)
        self.waiting.clear()

    def pair(self, key: int, qty: int, limit: int) -> None:
        """The order is one exit of two, and the other a stop: either may fill, and both hold a place."""
        self.land()
        if key not in self.oracle.orders:
            return
        order = self.oracle.orders[key]
        other, stop = self.key(order.strategy), limit + (300 if order.side == BUY else -300) * CENT
        exits = [Exit(self.keys - 1, key, qty, limit, 0), Exit(self.keys, other, qty, 0, stop)]
        group = Group(order.strategy, order.instrument, Side(order.side), qty, True, exits, key)
        self.gate.attach(other, order.strategy, order.instrument, order.side, self.now)
        group.arm(self.gate)
        self.groups[key] = (group, other)
        del self.kinds[key]  # its terms are the pair's
        order.now.px = limit
        order.pair = Way(qty, wider(stop, GAP), ANY if order.side == BUY else 0)
        self.oracle.orders[other] = Order(order.strategy, order.instrument, order.side, Way(0, 0, order.now.cross), netted=True)

    # ------------------------------------------------------------------------------------------------- what comes
    def working(self, *, pairs: bool = True) -> list[int]:
        """Orders that something may happen to."""
        waiting = {one.root or one.key for one in self.waiting}
        return [k for k, o in self.oracle.orders.items() if k not in waiting and o.n and (pairs or k not in self.groups)]

    def fill(self) -> None:
        keys = self.working()
        if not keys:
            return
        key = self.rng.choice(keys)
        order = self.oracle.orders[key]
        n = self.rng.randint(1, order.n)
        px = self.oracle.ask[order.instrument] if order.side == BUY else self.oracle.bid[order.instrument]
        self.gate.fill(key, order.strategy, order.instrument, order.side, px, n, 0, self.now)
        self.oracle.fill(order, n)
        if key in self.groups:
            group, _ = self.groups[key]
            group.exits[self.rng.randint(0, 1)].filled += n
            group.exited += n
            group.arm(self.gate)
        if not order.n:
            self.end(key)
        self.oracle.pnl = self.gate.mark()

    def cancel(self) -> None:
        if keys := self.working():
            self.end(self.rng.choice(keys))

    def end(self, key: int) -> None:
        for one in (key, *([self.groups.pop(key)[1]] if key in self.groups else [])):
            self.gate.release(one)
            del self.oracle.orders[one]

    def settle(self) -> None:
        keys = [key for key in self.working() if self.oracle.orders[key].firm_next]
        if not keys:
            return
        key, accepted = self.rng.choice(keys), self.rng.random() < 0.6
        self.gate.settle(key, accepted)
        self.oracle.settle(self.oracle.orders[key], accepted)
        if not self.oracle.orders[key].n:
            self.end(key)

    def doubt(self) -> None:
        if keys := self.working():
            order = self.oracle.orders[key := self.rng.choice(keys)]
            order.unknown = not order.unknown
            self.gate.unknown(key, order.unknown)

    def stranger(self) -> None:
        """Somebody else's order, or fill."""
        rng, o = self.rng, self.oracle
        i, side, n = rng.choice(list(SCALES)), rng.choice([BUY, SELL]), rng.randint(1, 6)
        px = (o.bid[i] - CENT * rng.randint(0, 200)) if side == BUY else o.ask[i] + CENT * rng.randint(0, 200)
        if rng.random() < 0.5 and len(o.orders) < MOST:
            key = self.key(EXTERNAL)
            self.gate.adopt(key, i, side, n, px, px, self.now)
            o.orders[key] = Order(EXTERNAL, i, side, Way(n, px, px), netted=False)
        else:
            self.gate.fill(0, EXTERNAL, i, side, px, n, 0, self.now)
            o.held[EXTERNAL, i] += n if side == BUY else -n
            o.pnl = self.gate.mark()

    def step(self) -> None:
        verbs: list[tuple[float, Callable[[], None]]] = [
            (0.38, self.send),
            (0.14, self.replace),
            (0.06, self.land),
            (0.14, self.fill),
            (0.10, self.cancel),
            (0.06, self.settle),
            (0.04, self.doubt),
            (0.02, self.stranger),
            (0.02, self.figure),
            (0.04, self.quote),
        ]
        (verb,) = self.rng.choices([verb for _, verb in verbs], [weight for weight, _ in verbs])
        verb()
        o = self.oracle
        ends = o.ends(o.orders.values())
        for i in SCALES:
            along = o.along(ends, i)
            assert self.desk.ledger.worst_case(i) == (max(along), min(along)), (verb, i, o)
        assert self.desk.ledger.open_orders == len(o.orders)
        assert self.desk.ledger.open_value == sum(x.n * x.px * SCALES[x.instrument] for x in o.orders.values()), (verb, o)
        assert self.desk.ledger.committed == o.committed(), (verb, o)


MET = (
    Code.ORDER_QTY
    | Code.PARENT_EXCEEDED
    | Code.REDUCE_ONLY
    | Code.SHORT_NOT_ALLOWED
    | Code.POSITION_LIMIT
    | Code.GROSS_EXPOSURE
    | Code.NET_EXPOSURE
    | Code.OPEN_ORDER_VALUE
    | Code.OPEN_ORDER_COUNT
    | Code.BUYING_POWER
    | Code.NOT_RECONCILED
    | Code.DAILY_LOSS
    | Code.SELF_MATCH
)


def live(seed: int, steps: int) -> Life:
    life = Life(seed)
    for _ in range(steps):
        life.step()
    return life


def test_the_gates_limits_are_their_oracles() -> None:
    lives = [live(seed, 100) for seed in range(60)]
    assert sum(life.allowed for life in lives) > 500
    met = Code(0)
    for life in lives:
        met |= life.met
    assert met == MET  # none of them sleeps


@pytest.mark.nightly
def test_the_gates_limits_are_their_oracles_for_a_million_steps(record_property: Callable[[str, int], None]) -> None:
    """What it tells is what was done: `make proof` counts it."""
    done = met = 0
    for seed in range(1_000, 1_000 + size("LIMIT_STEPS", STEPS) // LIFE):
        life = live(seed, LIFE)
        assert life.allowed
        done, met = done + LIFE, met | life.met
    assert met == MET
    record_property("F31", done)
