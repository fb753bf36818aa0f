"""Careless orders by the thousand through a whole session, with its own adapters, onto the simulated venue's port."""

import asyncio
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from tests.reference.order_fuzz import OrderFuzz
from tests.reference.rule_floor import OPEN

from pyrt._core.types import NO_PRICE
from pyrt.clock import SECOND
from pyrt.config import Secret
from pyrt.execution import Settings
from pyrt.journal import Journal
from pyrt.live import Plan, Runner
from pyrt.live.plan import Live
from pyrt.model import OrderChanged, OrderStatus, Refused
from pyrt.strategies import Order, Strategy
from pyrt.venues.alpaca.keys import Keys
from pyrt.venues.alpaca.link import Addresses, AlpacaLink
from pyrt.venues.sim.library import SimulatedVenue, simulated_venue

SHARES, PAIRS = ("AAPL", "SPY", "WHOL", "HARD"), ("BTC/USD", "ETH/USD")
MORNING = 1_795_530_600 * SECOND  # 2026-11-24 09:30 New York
NIGHT = MORNING + 10 * 3600 * SECOND  # 19:30: pairs trade, shares wait
PATIENCE = 600.0
pytestmark = pytest.mark.row("X15")


class Careless(Strategy):
    """Asks for what the fuzz says, one order after the other is known to be there, or refused."""

    def __init__(self, symbols: tuple[str, ...], n: int, seed: int) -> None:
        super().__init__()
        self.symbols = symbols  # type: ignore[misc]
        self.n, self.seed = n, seed
        self.asked = 0
        self.last: Order | None = None

    def on_start(self) -> None:
        self.fuzz = OrderFuzz(self.seed, [self._desk.instrument(symbol) for symbol in self.symbols])
        self.set_timer("next", 0.001)

    def on_timer(self, name: str) -> None:
        known = self.last is None or self.last.is_done or self.last.status in (OrderStatus.ACCEPTED, OrderStatus.PARTIAL)
        if known and self.asked < self.n:
            self.act()
        self.set_timer("next", 0.001)

    def act(self) -> None:
        ref = {}
        for instrument in self.fuzz.instruments:
            bid = self.book(instrument.symbol).best_bid
            ref[instrument.id] = bid[0] if bid and bid[0] not in (0, NO_PRICE) else 100 * 10**9
        open_ = {i.id: [o for o in self.open_orders(i.symbol) if o.number] for i in self.fuzz.instruments}
        held = {i.id: self.position(i.symbol).quantity_qty for i in self.fuzz.instruments}
        wanted = self.fuzz.next(ref, held, {i: len(orders) for i, orders in open_.items()})
        if wanted.verb == "cancel":
            self.cancel(open_[wanted.instrument.id][0])
        elif wanted.verb == "new":
            self.asked += 1
            self.last = self._desk.send(self._id, {**wanted.make, "valid_until": self.now + 30 * SECOND}, wanted.instrument)


async def played(venue: SimulatedVenue, strategy: Careless, directory: Path) -> None:
    """One session until the strategy has asked enough."""
    stream = "ws" + venue.url.removeprefix("http")
    addresses = Addresses(trading=venue.url, data=venue.url, stream=stream, updates=stream)
    link = AlpacaLink("sim", addresses, Keys(Secret(venue.key), Secret(venue.secret)), rate_limit=0)
    settings = Settings(reconcile_every=SECOND, poll_every=SECOND, snapshot_gap=SECOND // 10)

    async def watch(live: Live) -> None:
        while strategy.asked < strategy.n:
            await asyncio.sleep(0.05)
        live.runner.stop("enough")

    plan = Plan(
        link=link,
        directory=directory,
        strategies=[strategy],
        limits=OPEN,
        settings=settings,
        record=False,
        watchdog=False,
        calendar=True,
        durability="os",
        companions=[watch],
    )
    summary = await asyncio.wait_for(Runner(plan).run(), PATIENCE)
    assert strategy.asked == strategy.n, summary


def fuzzed(symbols: tuple[str, ...], start: int, n: int, seed: int, directory: Path) -> tuple[Counter[str], dict[str, Any]]:
    """What the venue refused, and the figures."""
    market = "generated:rate=20,symbols=AAPL+SPY+BTC/USD+ETH/USD"
    with simulated_venue(market=market, seed=seed, start=start, calendar=True, cash="50000000") as venue:
        strategy = Careless(symbols, n, seed)
        asyncio.run(played(venue, strategy, directory))
        truth = venue.truth()
    with Journal.open(directory / "journal") as journal:
        facts = [fact for _, fact in journal.facts()]
    refused = Counter(f"{f.code} {f.reason}" for f in facts if isinstance(f, OrderChanged) and f.status == OrderStatus.REJECTED)
    local = Counter(b.rule or b.code for f in facts if isinstance(f, Refused) for b in f.breaches)
    return refused, {"asked": n, "orders": len(truth["orders"]), "local": dict(local)}


SCENES = [(SHARES, MORNING + 1800 * SECOND), (SHARES, MORNING - 1800 * SECOND), (PAIRS, NIGHT)]


@pytest.mark.parametrize(("symbols", "start"), SCENES[:1])
def test_careless_orders_meet_no_refusal_at_the_port(symbols: tuple[str, ...], start: int, tmp_path: Path) -> None:
    refused, figures = fuzzed(symbols, start, 100, 1, tmp_path)
    assert not refused, (refused, figures)
    assert figures["orders"] > 5
    assert sum(figures["local"].values()) > 30


@pytest.mark.nightly
@pytest.mark.parametrize(("symbols", "start"), SCENES)
def test_careless_orders_in_numbers(symbols: tuple[str, ...], start: int, tmp_path: Path) -> None:
    refused, figures = fuzzed(symbols, start, 3400, 2, tmp_path)
    print(figures)
    assert not refused, (refused, figures)
    assert figures["orders"] > 20
