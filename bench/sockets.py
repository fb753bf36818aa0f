"""The same session on real sockets against `pyrt sim`: from the arrival of a frame to the order at the venue, intent on disk."""

import asyncio
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import requests

from bench.noted import Noted
from bench.rig import Taker, wide_limits
from pyrt._core.events import Quote
from pyrt.clock import VenueClock
from pyrt.config import Secret
from pyrt.live import Plan, Runner
from pyrt.ports import Broker, OrderRequest, Sink, Submit
from pyrt.venues.alpaca.keys import Keys
from pyrt.venues.alpaca.link import Addresses, AlpacaLink
from pyrt.venues.sim.child import SimProcess

SYMBOLS = ("AAPL", "AMZN", "GOOGL", "MSFT", "SPY", "TSLA")


class Tick(Taker):
    """Taker on one symbol of the simulated venue; `cause` is when the quote behind its last order arrived, venue ns."""

    def __init__(self, symbol: str) -> None:
        super().__init__(symbols=(symbol,))
        self.cause = 0

    @property
    def name(self) -> str:
        return f"Tick-{self.symbols[0]}"

    def on_quote(self, quote: Quote) -> None:
        if not self.open_orders(quote.symbol):
            self.cause = quote.ts_recv
        super().on_quote(quote)


class Timed(AlpacaLink):
    """An AlpacaLink that notes, for each order, the arrival of its cause and the hand-over to the broker, monotonic ns."""

    def __init__(self, address: str, keys: Keys, strategies: list[Tick]) -> None:
        stream = "ws" + address.removeprefix("http")
        super().__init__("sim", Addresses(trading=address, data=address, stream=stream, updates=stream), keys, rate_limit=0)
        self.times: dict[str, tuple[int, int]] = {}  # by cid
        self._of = {strategy.symbols[0]: strategy for strategy in strategies}

    def broker(self, sink: Sink, clock: Callable[[], VenueClock], **options: Any) -> Any:
        return Queued(super().broker(sink, clock, **options), self, clock)

    def queued(self, request: OrderRequest, clock: VenueClock) -> None:
        self.times[request.cid] = (clock.mono_at(self._of[request.symbol].cause), time.monotonic_ns())


class Queued(Noted):
    """Tells its link of each order that was handed over."""

    def __init__(self, behind: Broker, link: Timed, clock: Callable[[], VenueClock]) -> None:
        super().__init__(behind)
        self._link = link
        self._clock = clock

    def submit(self, command: Submit) -> None:
        super().submit(command)
        self._link.queued(command.request, self._clock())


class Samples(msgspec.Struct):
    """ns: frame in to order queued (its intent durable), and frame in to the request's arrival in the venue's process."""

    queued: list[int]
    at_venue: list[int]
    messages: int


def run(directory: Path, seconds: float, durability: str = "sync") -> Samples:
    """Trade all symbols of a new simulated account for a while, one order at a time each."""
    sim = SimProcess(state=directory / "venue", seed=1, rate_limit=0)
    try:
        keys = Keys(Secret(sim.address.key), Secret(sim.address.secret))
        strategies = [Tick(symbol) for symbol in SYMBOLS]
        link = Timed(sim.address.url, keys, strategies)
        plan = Plan(
            link=link,
            directory=directory,
            strategies=[*strategies],
            limits=wide_limits(),
            duration=seconds,
            durability=durability,
        )
        summary = asyncio.run(Runner(plan).run())
        truth = requests.get(f"{sim.address.url}/sim/truth", timeout=30).json()
    finally:
        sim.close()
    if summary.failed or summary.unexplained or summary.unresolved:
        raise RuntimeError("\n".join(summary.lines()))
    posts = [r for r in truth["requests"] if r["method"] == "POST" and r["path"] == "/v2/orders"]
    at_venue = []
    for request in posts:
        cid = msgspec.json.decode(request["body"])["client_order_id"]
        if cid in link.times:
            at_venue.append(request["arrived_mono_ns"] - link.times[cid][0])
    queued = [after - before for before, after in link.times.values()]
    warm = len(queued) // 10
    return Samples(queued=queued[warm:], at_venue=at_venue[warm:], messages=summary.messages)
