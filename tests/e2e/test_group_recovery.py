"""A bracket and a crash after any fact of its life: the next life finds the entry and its exits, and adopts nothing."""

from collections import deque
from pathlib import Path
from types import SimpleNamespace

import pytest
from tests.e2e.one_process import SYMBOLS, Hand, OtherHand, World

from pyrt._core.types import Side
from pyrt.calendar import ExchangeDays
from pyrt.clock import SECOND, Now
from pyrt.execution import ExecutionEngine
from pyrt.live.timers import Timers
from pyrt.market import MarketData
from pyrt.model import ExternalSeen, Fact, Filled, Instruments, Intended, OrderStatus
from pyrt.ports import Kill, Resume, Start, StreamState, Sync
from pyrt.research.near import NearVenue
from pyrt.risk import Limits, RiskManager
from pyrt.session import Session
from pyrt.venues.sim.exchange.exchange import Exchange

QTY = 10**9


class NextLife(World):
    """A session that starts from the first facts of another one, at the venue as that one left it."""

    def __init__(self, old: World, facts: list[Fact], exchange: Exchange, journal_id: str) -> None:
        self.now = Now(old.now.venue + 20 * SECOND, 10**12)
        self.requests, self.alarms, self.ambiguous, self.facts = [], [], 0, list(facts)
        self._journal = SimpleNamespace(sync=lambda: None)  # type: ignore[assignment]
        self._timers, self._inbox = Timers(), deque()
        self.exchange, self._near = exchange, NearVenue(exchange, activities=True)
        self.exchange.take_updates()  # nobody listened
        instruments = Instruments()
        market = MarketData(instruments, grace=0)
        self.hand, self.other = Hand(), OtherHand()
        risk = RiskManager(instruments, market.refs, limits=Limits.profile("paper"), day_of=ExchangeDays())
        engine = ExecutionEngine(journal_id, instruments)
        traders = [self.hand, self.other]
        self.session = Session(instruments=instruments, market=market, risk=risk, execution=engine, shell=self, strategies=traders)
        self.session.replay(facts)
        self.session.now = self.now
        self.session.prepare(self.now)
        self.tell(Start(epoch=2))
        self.tell(StreamState(stream="trading", up=True))
        self.tell(StreamState(stream="data", up=True))
        for symbol in SYMBOLS:
            self.quote(symbol, "100.00", "100.02")
        self.later(30)
        self.session.start(self.now)
        self.later(10)

    def append(self, fact: Fact, sync: Sync, now: Now) -> None:
        self.facts.append(fact)


def life(directory: Path, *, limit: int | None, lost: bool) -> tuple[World, list[Fact], str, bytes]:
    world = World(directory)
    world.ambiguous = int(lost)
    world.do(lambda: world.hand.buy("AAPL", 10, limit=limit, take_profit=104, stop_loss=98, tif="gtc"))
    if not lost:
        world.later(3)
    saved, journal_id = world.exchange.save(), world._journal.id
    return world, world.close(), journal_id, saved


@pytest.mark.parametrize(("limit", "lost"), [(None, False), (99, False), (None, True)])
def test_a_crash_after_any_fact_is_recovered_from(tmp_path: Path, limit: int | None, lost: bool) -> None:
    old, facts, journal_id, saved = life(tmp_path, limit=limit, lost=lost)
    [at] = [n for n, fact in enumerate(facts) if isinstance(fact, Intended)]
    digests = set()
    for cut in range(at + 1, len(facts) + 1):
        exchange = Exchange.load(saved, old.exchange.assets_.instruments.values(), always_open=True)
        new = NextLife(old, facts[:cut], exchange, journal_id)
        assert new.session.execution.recovered
        assert not [fact for fact in new.facts if isinstance(fact, ExternalSeen)], cut
        assert not new.session.execution.unexplained
        assert not new.requests  # nothing is sent a second time
        orders = [new.session.execution.order_of(1, source) for source in (1, 2, 3)]
        entry = OrderStatus.ACCEPTED if limit else OrderStatus.FILLED
        profit = OrderStatus.HELD if limit else OrderStatus.ACCEPTED
        assert [o.status for o in orders if o] == [entry, profit, OrderStatus.HELD], cut
        account = new.session.risk.account(1)
        assert (account.qty, account.buys, account.sells) == ((0, 10 * QTY, 0) if limit else (10 * QTY, 0, 10 * QTY)), cut
        if not limit:
            new.trade("AAPL", "97.90")
            new.trade("AAPL", "97.90")
            new.later(5)
            sold = [fact for fact in new.facts if isinstance(fact, Filled) and fact.side is Side.SELL]
            assert [(fact.number, fact.strategy, fact.qty) for fact in sold] == [(3, 1, 10 * QTY)]
            assert not new.session.risk.ledger.open_orders
        digests.add(tuple(o.venue_order_id for o in orders if o))
    assert len(digests) == 1  # each life found the same orders


def test_a_crash_after_both_exits_filled_leaves_nothing_on_the_wrong_side(tmp_path: Path) -> None:
    """Whatever of the race was durable: the next life buys back what is too much, once."""
    old = World(tmp_path)
    [order] = old.do(lambda: old.hand.buy("AAPL", 10, take_profit=104, stop_loss=98, tif="gtc"))
    old.later(2)
    engine = old.session.execution
    for leg in order.legs:
        old.exchange.force_fill(engine.order_of(1, leg.intent.source).venue_order_id, "10", "101", old.now.venue)
    saved, journal_id = old.exchange.save(), old._journal.id
    old._pump()
    facts = old.close()
    [first, last] = [n for n, fact in enumerate(facts) if isinstance(fact, Filled) and fact.side is Side.SELL]
    way_back = next((n for n, fact in enumerate(facts) if isinstance(fact, Intended) and n > last), len(facts))
    for cut in range(first, way_back + 1):
        exchange = Exchange.load(saved, old.exchange.assets_.instruments.values(), always_open=True)
        new = NextLife(old, facts[:cut], exchange, journal_id)
        assert [submit.request.side for submit in new.requests] == [Side.BUY], cut
        assert not new.hand.position("AAPL")
        assert not new.session.execution.positions
        assert not new.session.risk.raced.owed
        new.later(70)
        assert len(new.requests) == 1


def test_what_is_owed_after_a_race_is_tried_until_it_is_back(tmp_path: Path) -> None:
    """The way back is refused while the market is halted: it comes later."""
    world = World(tmp_path)
    [order] = world.do(lambda: world.hand.buy("AAPL", 10, take_profit=104, stop_loss=98, tif="gtc"))
    world.later(2)
    world.session.step(Kill(level="HALTED", scope="strategy:1", reason="test", who="test"), world.now)
    for leg in order.legs:
        number = world.session.execution.order_of(1, leg.intent.source).venue_order_id
        world.exchange.force_fill(number, "10", "101", world.now.venue)
    world._pump()
    world.later(20)
    assert world.hand.position("AAPL").quantity == -10
    assert [a.text for a in world.alarms if a.code == "NO_EXIT"] == ["Hand: the way out of 10 AAPL is refused: KILLED; tried again"]
    world.session.step(Resume(scope="strategy:1", who="test", why="over"), world.now)
    world._pump()
    world.later(61)
    assert not world.hand.position("AAPL")
    assert [submit.request.side for submit in world.requests] == [Side.BUY, Side.BUY]
    world.close()
