"""The fast lane decides what the rules decide: the same inbox with it and without it gives the same of everything."""

import contextlib
import random
from collections.abc import Callable
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st
from tests.reference.room import BUY, LOOSE, QTY, SECOND, SELL, MemoryShell, Room
from tests.sizes import size

from pyrt._core.types import RecordType, market_dtype, status_dtype
from pyrt.calendar import Calendar, ExchangeDays
from pyrt.clock import VenueClock
from pyrt.errors import OrderError
from pyrt.execution.orders import Orders
from pyrt.execution.submit import request_of
from pyrt.journal import codec
from pyrt.model import Defined, Filled, Instrument, Intended, Intent, OrderClass, OrderType, TimeInForce
from pyrt.ports import (
    Append,
    AssetTold,
    Cancel,
    ClockMeasured,
    HistoryTold,
    Kill,
    ListTold,
    Outcome,
    Resume,
    SetLimits,
    StreamState,
    Submit,
    SubmitResult,
    Sync,
    TakeSnapshot,
    TimerFired,
)
from pyrt.risk import Limits
from pyrt.strategies import Order, Strategy
from pyrt.strategies.ticket import TYPES
from pyrt.venues.alpaca.wire import order_body

NEW_YEAR = Limits.of({"duplicate_window_ms": 5}, base=LOOSE)
TIGHT = Limits.of(
    {
        "max_daily_loss": "40",
        "max_drawdown": "30",
        "strategy_orders_per_minute": 30,
        "symbol_order_rate_max": 8,
        "repeat_max": 4,
        "self_match": "cancel",
        "max_open_orders": 12,
        "max_position_qty": "60",
    },
    base=Limits.profile("paper"),
)
GUARDED = Limits.of({"require_exit": ["Trader"], "max_sends_per_signal": 2}, base=LOOSE)
WIDE = {
    "max_order_qty": "1e7",
    "max_order_notional": "1e9",
    "max_position_qty": "1e7",
    "max_strategy_qty": "1e7",
    "max_position_notional": "1e9",
    "max_gross_exposure": "1e9",
    "max_net_exposure": "1e9",
    "max_open_order_value": "1e9",
    "max_quote_age_ms": 10**9,
}
INTENT = Intent(
    strategy=1, source=50, instrument=1, side=BUY, type=OrderType.LIMIT, tif=TimeInForce.DAY, qty=QTY, limit_px=99 * QTY
)  # fmt: skip
ROOMS: list[Room] = []  # the one that examples share
WORLDS: dict[str, dict[str, Any]] = {
    "loose": {},
    "days": {"day_of": ExchangeDays, "calendar": Calendar, "limits": NEW_YEAR},
    "tight": {"limits": TIGHT},
    "guarded": {"limits": GUARDED},
}


class Trader(Strategy):
    """Sends what it was told to at the next quote, and answers fills and ends with orders of its own."""

    symbols = ("AAPL", "MSFT")

    def on_start(self) -> None:
        self.wanted: list[Callable[[], object]] = []
        self.echoes = 0
        self.log_: list[Any] = []

    def on_quote(self, quote: Any) -> None:
        wanted, self.wanted = self.wanted, []
        for each in wanted:
            each()

    def on_fill(self, order: Order, fill: Filled) -> None:
        self.log_.append((order.number, int(fill.qty), self.position(order.symbol).quantity))
        if self.echoes and not order.is_exit:
            self.echoes -= 1
            verb, price = (self.sell, 100) if order.side is BUY else (self.buy, 99)
            verb(order.symbol, 1, limit=price, reduce_only=True)

    def on_order(self, order: Order) -> None:
        self.log_.append((order.number, order.status, order.breaches, order.reason, len(self.open_orders())))
        if self.echoes and order.is_done and not order.is_refused:
            self.echoes -= 1
            self.buy(order.symbol, 2, limit=98)


class Second(Trader):
    pass


class Slow(MemoryShell):
    """A shell that takes facts alone."""

    intend = None  # type: ignore[assignment]


def rooms(world: str, **more: Any) -> tuple[Room, Room]:
    """The same session with its lane and without."""
    made = []
    for fast in (True, False):
        options = WORLDS[world] | more
        options = {name: value() if isinstance(value, type) else value for name, value in options.items()}
        made.append(Room(Trader(), Second(), fast=fast, **options))
    assert made[0].session.lane is not None
    assert made[1].session.lane is None
    return made[0], made[1]


def everything(room: Room) -> tuple[Any, ...]:
    """All that can be seen of a session and what it asked for."""
    session, shell = room.session, room.shell
    views = [
        (o.number, o.status, o.reason, o.breaches, o.filled, o.intent, o.is_exit)
        for strategy in session.strategies.values()
        for o in strategy.open_orders()
    ]
    traders = [(s.log_, s.echoes) for s in session.strategies.values()]  # type: ignore[attr-defined]
    counts = session.counts, session.refusals, session.risk.approved, session.risk.refused, session.risk.approval
    asked = shell.facts, shell.commands, shell.timers, shell.alarms, shell.told
    return (*asked, views, traders, counts, session.risk.pnl(), session.risk.gate.drawdown, session.risk.ledger.committed)


def digests(room: Room) -> tuple[str, str]:
    return room.session.risk.state_digest(), room.session.execution.state_digest()


class Drive:
    """Does the same random thing to both rooms, and holds them against each other."""

    def __init__(self, seed: int, world: str) -> None:
        self.rng = random.Random(seed)
        self.both = rooms(world)
        self.compared = 0
        if world == "days":
            self.do(lambda room: room.tick(8 * 3600 * SECOND))

    def do(self, act: Callable[[Room], object]) -> None:
        """One thing, in both."""
        for room in self.both:
            act(room)
        ours, theirs = (everything(room) for room in self.both)
        for part, other in zip(ours, theirs, strict=True):
            assert part == other
        for room in self.both:  # what is compared need not be compared again
            room.past += room.shell.facts
            for kept in (room.shell.facts, room.shell.told, room.shell.alarms):
                kept.clear()
        self.compared += 1
        if self.compared % 50 == 0:
            self.hash()

    @property
    def decided(self) -> int:
        """Orders that took the lane."""
        lane = self.both[0].session.lane
        assert lane is not None
        return lane.decided

    def hash(self) -> None:
        """The state of both is the same."""
        ours, theirs = (digests(room) for room in self.both)
        assert ours == theirs

    def step(self) -> None:
        """Something happens, and time passes."""
        rng = self.rng
        act: Callable[[], None] = getattr(self, rng.choices(KINDS, WEIGHTS)[0])
        act()
        wait = rng.choice((0, 1, 10**6, 10**6, 3 * 10**7, 10**8, 10**9, 10**9, 3 * 10**9))
        if rng.random() < 0.02:
            wait = rng.choice((7 * 10**10, 4 * 10**13))
        self.do(lambda room: room.tick(wait))

    # ---- what a strategy does
    def order(self) -> None:
        rng = self.rng
        asked = [self._order() for _ in range(rng.choice((1, 1, 1, 2, 3)))]
        who, echoes = rng.randrange(2), rng.choice((0, 0, 2))
        symbol, bid = rng.choice(("AAPL", "MSFT")), rng.choice((99.99, 99.5, 100.2))

        def act(room: Room) -> None:
            trader: Any = list(room.session.strategies.values())[who]
            trader.wanted = [lambda each=each: each(trader) for each in asked]  # type: ignore[misc]
            trader.echoes = echoes
            room.quote(symbol, bid, bid + 0.02)

        self.do(act)

    def _order(self) -> Callable[[Any], object]:
        rng = self.rng
        symbol, verb = rng.choice(("AAPL", "AAPL", "MSFT")), rng.choice(("buy", "buy", "sell"))
        quantity = rng.choice((1, 1, 2, 5))
        terms: dict[str, Any] = {}
        if rng.random() < 0.7:
            price = rng.choice((99, 99.5, 99.99, 98)) if verb == "buy" else rng.choice((100.01, 100.5, 101))
            terms["limit"] = price
            if rng.random() < 0.2:
                terms["reduce_only"] = True
            return lambda trader: self._send(trader, verb, symbol, quantity, terms)
        quantity = rng.choice((1, 1, 5, 10, 100, 10**6, 0.5))
        kind = rng.choice(("market", "limit", "limit", "limit", "stop", "stop limit"))
        if "limit" in kind:
            terms["limit"] = rng.choice((98, 99, 99.99, 100.01, 101, 0.5, 150))
        if "stop" in kind:
            terms["stop"] = rng.choice((97, 103))
        rare = rng.random()
        if rare < 0.1:
            terms["tif"] = rng.choice(("gtc", "ioc", "fok", "opg", "cls"))
        elif rare < 0.2:
            terms["reduce_only"] = True
        elif rare < 0.24 and kind == "limit":
            terms["extended_hours"] = True
        elif rare < 0.28 and kind == "market":
            terms |= {"take_profit": 120, "stop_loss": 80}
        elif rare < 0.3 and kind == "market":
            terms["trail"] = 2
        elif rare < 0.34:
            terms["valid_for"] = rng.choice((0, 0.001, -1))
        elif rare < 0.4:
            action = rng.choice(("buy", "sell", "close"))
            return lambda trader: trader.signal(symbol, action)

        return lambda trader: self._send(trader, verb, symbol, quantity, terms)

    def _send(self, trader: Any, verb: str, symbol: str, quantity: float, terms: dict[str, Any]) -> None:
        with contextlib.suppress(OrderError):  # what cannot be an order is none in both
            getattr(trader, verb)(symbol, quantity, **terms)

    def change(self) -> None:
        rng = self.rng
        who, which, price, cancels = rng.randrange(2), rng.random(), rng.choice((97, 99, 101)), rng.random() < 0.5

        def act(room: Room) -> None:
            trader: Any = list(room.session.strategies.values())[who]
            orders = trader.open_orders()
            if orders:
                order = orders[int(which * len(orders))]
                if cancels:
                    trader.cancel(order)
                elif order.limit and order.status and order.status.name in ("ACCEPTED", "PARTIAL"):
                    trader.replace(order, limit=price)
            room.quote()

        self.do(act)

    # ---- what the venue does
    def accept(self) -> None:
        self.do(lambda room: room.accept())

    def reject(self) -> None:
        self.do(lambda room: room.reject())

    def lose(self) -> None:
        def act(room: Room) -> None:
            for c in room.take(Submit):
                room.step(SubmitResult(number=c.request.number, attempt=c.attempt, outcome=Outcome.AMBIGUOUS, text="lost"))

        self.do(act)

    def fill(self) -> None:
        rng = self.rng
        which, part, price = rng.random(), rng.choice(("", "", "1")), rng.choice(("99.5", "100", "90", "110"))

        def act(room: Room) -> None:
            working = [n for n, o in room.working.items() if o.status in ("new", "partially_filled") and float(o.qty) >= 1]
            if working:
                number = working[int(which * len(working))]
                room.fill(number, part, price=price)

        self.do(act)

    def cancelled(self) -> None:
        def act(room: Room) -> None:
            known = [c for c in room.take(Cancel) if c.number in room.working]
            room.shell.commands += known  # the exits of a group are not played here
            room.cancelled()

        self.do(act)

    def quote(self) -> None:
        symbol, bid = self.rng.choice(("AAPL", "MSFT")), self.rng.choice((99.99, 99.99, 99.99, 99.9, 100.1, 98, 102, 90, 110))
        self.do(lambda room: room.quote(symbol, bid, bid + 0.02))

    # ---- what the world does
    def timer(self) -> None:
        pick = self.rng.random()

        def act(room: Room) -> None:
            keys = sorted(room.shell.timers)
            if keys:
                key = keys[int(pick * len(keys))]
                at = room.shell.timers.pop(key)
                room.tick(max(0, min(at - room.now.venue, 2 * SECOND)))
                room.step(TimerFired(key=key, at=at, clock=1))  # type: ignore[arg-type]
                if room.take(TakeSnapshot):
                    pass  # the venue is slow today

        self.do(act)

    def rare(self) -> None:
        rng = self.rng
        scope = rng.choice(("strategy:1", "strategy:2", "instrument:1", "instrument:2", "account", "system"))
        level = rng.choice(("REDUCING", "HALTED"))
        flags = [rng.random() < 0.7 for _ in range(4)]
        changed = rng.choice(('{"max_order_qty": "50"}', '{"max_open_orders": 3}', '{"duplicate_window_ms": 100}'))
        offset, kind = rng.choice((0, 2 * 10**8)), rng.randrange(14)

        def act(room: Room) -> None:
            now = room.now
            match kind:
                case 0:
                    room.step(Kill(level=level, scope=scope, reason="drill", who="test"))
                case 1 | 2 | 3 | 4:
                    for closed in list(room.session.risk.latches):
                        room.step(Resume(scope=closed, who="test", why="over"))
                case 6:
                    told = dict(zip(("tradable", "shortable", "easy_to_borrow", "overnight"), flags, strict=True))
                    room.step(AssetTold(instrument=1, **told))
                case 7:
                    clock = VenueClock(epoch=now.venue + offset, origin=now.mono)
                    room.step(ClockMeasured(clock=clock, uncertainty=0))
                case 8:
                    room.step(SetLimits(limits=changed, who="test", why="drill"))
                case 9:
                    prices = tuple(100 * QTY for _ in range(20))
                    room.step(HistoryTold(instrument=1, closes=prices, lows=prices, volumes=prices))
                case 10:
                    room.step(ListTold(names=("AAPL",) if flags[0] else (), at=now.venue))
                case 11:
                    room.session.on_market(status(room, 2 if flags[0] else 1), now)
                case 12:
                    room.step(StreamState(stream="trading", up=flags[0]))
                    room.take(TakeSnapshot)
                case 13:
                    tick = 10_000_000 if flags[0] else 50_000_000
                    defined = Defined(instrument=Instrument(id=2, symbol="MSFT", tick=tick))
                    room.session.request([Append(fact=defined, sync=Sync.SOON)])

        self.do(act)

    def fault(self) -> None:
        who = self.rng.randrange(2)

        def act(room: Room) -> None:
            trader: Any = list(room.session.strategies.values())[who]

            def break_() -> None:
                trader.buy("AAPL", 1, limit=99)
                raise ValueError("a drill")

            trader.wanted = [break_]
            room.quote("AAPL")
            room.session.halted.clear()

        self.do(act)


KINDS = ("order", "change", "accept", "reject", "lose", "fill", "cancelled", "quote", "timer", "rare", "fault")
WEIGHTS = (40, 6, 30, 2, 0.5, 14, 8, 4, 6, 1.5, 0.2)


def status(room: Room, state: int) -> Any:
    record = np.zeros(1, status_dtype)
    record["type"], record["instrument"], record["state"] = RecordType.STATUS, 1, state
    record["lower_px"], record["upper_px"] = 50 * QTY, 150 * QTY
    record["ts_event"] = record["ts_recv"] = room.now.venue
    return record.view(market_dtype)


def driven(seed: int, world: str, steps: int) -> Drive:
    drive = Drive(seed, world)
    for _ in range(steps):
        drive.step()
    drive.hash()
    return drive


@pytest.mark.parametrize("world", WORLDS)
@settings(max_examples=6, deadline=None, suppress_health_check=list(HealthCheck))
@given(seed=st.integers(0, 2**32 - 1))
def test_the_same_inbox_with_the_lane_and_without_is_the_same_session(world: str, seed: int) -> None:
    driven(seed, world, 60)


def wide() -> Room:
    """A session that has decided on AAPL before, holds shares, and lets nearly everything pass."""
    room = Room(Trader(), limits=Limits.of(WIDE, base=LOOSE))
    (trader,) = room.session.strategies.values()
    for _ in range(2):
        order = trader.buy("AAPL", 2500, limit=99)
        room.quote()
        room.accept()
        room.fill(order.number, price="99")
    assert room.session.lane is not None
    assert room.session.lane.decided == 1
    return room


@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_record_and_body_are_those_of_the_fact_and_the_request(data: st.DataObject) -> None:
    if not ROOMS:
        ROOMS.append(wide())
    room, session = ROOMS[0], ROOMS[0].session
    assert session.lane is not None
    core, now = session.lane.core, room.now
    u32, u63 = st.integers(0, 2**32 - 1), st.integers(1, 2**62)
    price = st.one_of(st.just(0), st.integers(9_000, 11_000).map(lambda cents: cents * 10_000_000))
    limit_px, stop_px = data.draw(price), data.draw(price)
    intent = Intent(
        strategy=1,
        source=data.draw(st.integers(1000, 2**48 - 1)),
        instrument=1,
        side=data.draw(st.sampled_from((BUY, SELL))),
        type=TYPES[limit_px != 0, stop_px != 0],
        tif=data.draw(st.sampled_from((TimeInForce.DAY, TimeInForce.GTC, TimeInForce.IOC, TimeInForce.FOK))),
        qty=data.draw(st.integers(1, 1000)) * QTY,
        limit_px=limit_px,
        stop_px=stop_px,
        reduce_only=data.draw(st.booleans()),
        valid_until=data.draw(st.one_of(st.just(0), st.integers(now.venue, 2**63 - 1))),
    )
    epoch, version, approval, last = data.draw(u32), data.draw(u32), data.draw(u63), data.draw(u63)
    core.open(epoch, approval, version, last, 0, 2**62, False, 0)
    if not core.decide(intent, now.venue, now.mono):
        event("refused")
        return
    assert not core.is_open
    assert core.key == intent.key
    assert session.risk.gate.expire(intent.key)
    fact = Intended(
        number=last + 1,
        intent=intent,
        epoch=epoch,
        approval=approval + 1,
        limits_version=version,
        ref_px=session.risk.gate.ref_px,
        root=last + 1,
        ts=now.venue,
    )
    assert codec.encode(fact) == (codec.Kind.INTENDED, core.record)
    orders = Orders("k3v9q2xa", session.instruments, SECOND)
    orders.apply(fact)
    assert core.body == order_body(request_of(orders.by_number[last + 1], session.instruments[1]))


def test_the_lane_is_closed_until_it_is_told() -> None:
    room = wide()
    assert room.session.lane is not None
    core, now = room.session.lane.core, room.now
    intent = INTENT
    assert core.is_open
    for other in (
        {"instrument": 2},
        {"strategy": 2},
        {"signal": 1},
        {"extended_hours": True},
        {"trail_px": QTY},
        {"order_class": OrderClass.OTO},
        {"tif": TimeInForce.CLS},
        {"qty": QTY // 2},
        {"qty": 0},
        {"limit_px": 99 * QTY + 1},
        {"valid_until": now.venue - 1},
    ):
        assert not core.decide(msgspec.structs.replace(intent, **other), now.venue, now.mono)
    core.close()
    assert not core.decide(intent, now.venue, now.mono)
    room.session.lane.refresh(now)
    assert core.decide(intent, now.venue, now.mono)
    assert not core.decide(msgspec.structs.replace(intent, source=51), now.venue, now.mono)  # good for one decision
    core.hand_over(now)
    with pytest.raises(RuntimeError, match="another intent"):
        room.session.lane.take(msgspec.structs.replace(intent, source=52), now)


def test_what_was_decided_and_became_no_order_is_a_fault() -> None:
    room = wide()
    lane = room.session.lane
    assert lane is not None
    assert lane.core.decide(INTENT, room.now.venue, room.now.mono)
    lane.core.hand_over(room.now)
    with pytest.raises(RuntimeError, match="no fact followed"):
        lane.refresh(room.now)


@pytest.mark.nightly
@pytest.mark.timeout(36_000)
@pytest.mark.parametrize("world", WORLDS)
def test_long_sessions_with_the_lane_and_without_are_the_same(world: str) -> None:
    for seed in range(size("LANE_SEEDS", 20)):
        assert driven(seed, world, 600).both[0].session.counts["intents"] > 50


def test_a_term_that_is_no_bool_is_for_the_rules() -> None:
    seen = []
    for room in rooms("loose"):
        room.session.strategies[1].buy("AAPL", 1, limit=99, reduce_only=None)  # type: ignore[arg-type]
        room.quote("AAPL")
        seen.append((room.shell.facts, room.shell.commands))
    assert seen[0] == seen[1]


def test_an_order_that_cannot_be_handed_over_is_no_longer_waiting() -> None:
    room, _ = rooms("loose")
    session = room.session
    assert session.lane is not None
    room.quote()
    trader = session.strategies[1]
    assert isinstance(trader, Trader)
    trader.buy("AAPL", 1, limit=98)  # the lane learns who may trade it
    room.quote()
    trader.wanted.append(lambda: trader.buy("AAPL", 1, limit=99))

    def full(*decided: Any) -> None:
        raise OSError("no room")

    session.lane.core.hand_to(full, session.desk._used)
    with pytest.raises(OSError, match="no room"):
        room.quote()
    assert session.is_idle
    assert not session.lane.core.is_open


def test_quotes_and_trades_need_no_python_before_their_callbacks(monkeypatch: pytest.MonkeyPatch) -> None:
    class Both(Trader):
        def on_trade(self, trade: Any) -> None:
            self.log_.append((trade.price, trade.ts))
            self.buy("AAPL", 1, limit=99)

    room = Room(Both(), Second())
    monkeypatch.setattr(room.session, "record", None)
    monkeypatch.setattr(room.session, "call", None)
    first, second = (room.session.strategies[n] for n in (1, 2))
    assert isinstance(first, Both)
    assert isinstance(second, Second)
    room.session.halted.add(2)
    for strategy in (first, second):
        strategy.wanted.append(lambda strategy=strategy: strategy.log_.append("called"))  # type: ignore[misc]
    room.quote()
    monkeypatch.undo()
    room.trade()
    assert first.log_[0] == "called"
    assert (100.0, room.now.venue) in first.log_
    assert second.log_ == []
    assert len(room.take(Submit)) == 1


def test_what_a_callback_raises_halts_it_on_the_native_way_too() -> None:
    seen = []
    for native in (True, False):
        room = Room(Trader(), Second())
        first, second = (room.session.strategies[n] for n in (1, 2))
        assert isinstance(first, Trader)
        assert isinstance(second, Trader)
        first.wanted += [lambda first=first: first.buy("AAPL", 1, limit=99), lambda: 1 // 0]  # type: ignore[misc]
        second.wanted.append(lambda second=second: second.buy("AAPL", 1, limit=98))  # type: ignore[misc]
        if not native:
            room.session.listen(1, "AAPL", 1e9, [], [], True)  # some want its book: this way is for Python
        room.quote()
        seen.append((room.shell.facts, room.shell.commands, room.shell.alarms, room.session.halted))
    assert seen[0] == seen[1]
    assert seen[0][3] == {1}


def test_an_interrupt_in_a_callback_is_the_users() -> None:
    room, _ = rooms("loose")
    trader = room.session.strategies[1]
    assert isinstance(trader, Trader)

    def stop() -> None:
        raise KeyboardInterrupt

    trader.wanted.append(stop)
    with pytest.raises(KeyboardInterrupt):
        room.quote()
    assert room.session.halted == set()
