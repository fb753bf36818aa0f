"""Careless orders by the thousand through a whole session, with its own adapters, onto the simulated venue's port."""

import asyncio
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from tests.reference.order_fuzz import OrderFuzz
from tests.reference.rule_floor import OPEN

from pyrt._core.types import NO_PRICE, Side
from pyrt.clock import SECOND
from pyrt.config import Secret
from pyrt.execution import Settings
from pyrt.execution.cid import cid
from pyrt.journal import Journal
from pyrt.live import Plan, Runner
from pyrt.live.plan import Live
from pyrt.model import Intended, OrderChanged, OrderClass, OrderStatus, OrderType, Refused
from pyrt.strategies import Order, Strategy
from pyrt.venues.alpaca.keys import Keys
from pyrt.venues.alpaca.link import Addresses, AlpacaLink
from pyrt.venues.sim.library import SimulatedVenue, simulated_venue

SHARES, PAIRS = ("AAPL", "SPY", "WHOL", "HARD"), ("BTC/USD", "ETH/USD")
MORNING = 1_795_530_600 * SECOND  # 2026-11-24 09:30 New York
NIGHT = MORNING + 10 * 3600 * SECOND  # 19:30: pairs trade, shares wait
PATIENCE = 600.0
CENT = 10_000_000  # px units
WASH = 40310000  # the venue's word for a possible wash trade
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
        cids = {order["client_order_id"] for order in truth["orders"]}
        sent = [f.intent for f in facts if isinstance(f, Intended) and cid(journal.id, f.number) in cids]
    rejected = [f for f in facts if isinstance(f, OrderChanged) and f.status == OrderStatus.REJECTED]
    late = {f.number for f in rejected if f.code == WASH} & woken(facts)
    late |= moved(facts, {f.number for f in rejected if "base_price" in f.reason})
    refused = Counter(f"{f.code} {f.reason}" for f in rejected if f.number not in late)
    local = Counter(b.rule or b.code for f in facts if isinstance(f, Refused) for b in f.breaches)
    return refused, {"asked": n, "reached": Counter((i.order_class, i.type) for i in sent), "late": len(late), "local": dict(local)}


def moved(facts: list[Any], refused: set[int]) -> set[int]:
    """Groups that were refused for the market's price, with their exits, though they fitted the one that they were decided on."""
    found: set[int] = set()
    for fact in facts:
        if isinstance(fact, Intended) and fact.number in refused:
            intent, up = fact.intent, 1 if fact.intent.side is Side.BUY else -1
            fits = not intent.guard_px or up * (fact.ref_px - intent.guard_px) >= CENT
            if fits and (not intent.target_px or up * (intent.target_px - fact.ref_px) >= CENT):
                found |= set(range(fact.number, fact.number + 1 + len(intent.legs)))
    return found


def woken(facts: list[Any]) -> set[int]:
    """Orders decided while an exit of the other side was held: that its entry is filled, so that it works, may be news."""
    found, held = set(), dict[int, tuple[int, Side]]()
    for fact in facts:
        if isinstance(fact, Intended):
            if (fact.intent.instrument, Side.SELL if fact.intent.side is Side.BUY else Side.BUY) in held.values():
                found.add(fact.number)
            held |= {n: (leg.instrument, leg.side) for n, leg in enumerate(fact.intent.legs, fact.number + 1)}
        elif isinstance(fact, OrderChanged) and fact.status is not OrderStatus.HELD:
            held.pop(fact.number, None)
    return found


SIMPLE, BRACKET, OCO, OTO = OrderClass.SIMPLE, OrderClass.BRACKET, OrderClass.OCO, OrderClass.OTO
# What the table of rules lets through, by class and type.
BY_DAY = {
    *((SIMPLE, kind) for kind in OrderType),
    *((group, kind) for group in (BRACKET, OTO) for kind in (OrderType.MARKET, OrderType.LIMIT)),
    (OCO, OrderType.LIMIT),
}
EARLY = {(SIMPLE, OrderType.LIMIT), (SIMPLE, OrderType.MARKET)}  # extended hours, and for the opening auction
OF_PAIRS = {(SIMPLE, OrderType.LIMIT), (SIMPLE, OrderType.MARKET), (SIMPLE, OrderType.STOP_LIMIT)}
SCENES = [
    (SHARES, MORNING + 1800 * SECOND, 5_000, BY_DAY),
    (SHARES, MORNING - 1800 * SECOND, 3_400, EARLY),
    (PAIRS, NIGHT, 1_600, OF_PAIRS),
]


def test_careless_orders_meet_no_refusal_at_the_port(tmp_path: Path) -> None:
    refused, figures = fuzzed(SHARES, MORNING + 1800 * SECOND, 300, 1, tmp_path)
    assert not refused, (refused, figures)
    assert {kind for _, kind in figures["reached"]} >= {OrderType.LIMIT, OrderType.MARKET}
    assert {group for group, _ in figures["reached"]} > {SIMPLE}
    assert figures["reached"].keys() <= BY_DAY
    assert sum(figures["local"].values()) > 90


@pytest.mark.nightly
@pytest.mark.parametrize(("symbols", "start", "n", "kinds"), SCENES)
def test_careless_orders_in_numbers(
    symbols: tuple[str, ...], start: int, n: int, kinds: set[tuple[OrderClass, OrderType]], tmp_path: Path
) -> None:
    """Ten thousand orders; each kind that may reach the venue does, and no other."""
    refused, figures = fuzzed(symbols, start, n, 2, tmp_path)
    print(figures)
    assert not refused, (refused, figures)
    assert figures["reached"].keys() == kinds, (kinds - figures["reached"].keys(), figures)
