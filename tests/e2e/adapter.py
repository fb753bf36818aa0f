"""A whole session with its own adapters against a venue on real sockets that does as the test says; short deadlines."""

import asyncio
import time
import tomllib
from collections.abc import Awaitable, Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import requests
from tests.e2e.drill import LIMITS, Report, compare
from tests.e2e.processes import Venue

from pyrt._core.inbox import Inbox
from pyrt._core.types import RecordType, gap_dtype, trade_dtype
from pyrt.clock import SECOND, Now
from pyrt.config import Secret
from pyrt.execution import Settings
from pyrt.live import Plan, Runner
from pyrt.live.plan import Live
from pyrt.model import Alarmed, OrderStatus
from pyrt.ports import Event, StreamState
from pyrt.risk import Limits
from pyrt.strategies import Order, Strategy
from pyrt.venues.alpaca.keys import Keys
from pyrt.venues.alpaca.link import Addresses, AlpacaLink
from pyrt.venues.sim.library import SimulatedVenue, simulated_venue
from pyrt.venues.sim.market.market import DEFAULT_START

PATIENCE = 120.0  # s that a condition may take on a busy machine
NOISE = 10.0  # s that a busy machine may add to a deadline, beside what it is measured to add
TICK = 0.05  # s between two looks at how late this loop is
STALE, PING, ANSWER, LIMIT = 1.5, 0.4, 1.0, 0.3  # s: the deadlines of both streams, as configured here
DEADLINE, SETTLE = 1.0, 0.5  # s: of one request
POLL, RECONCILE = 0.5, 2.0
SETTINGS = Settings(
    deadline=int(DEADLINE * SECOND),
    settle=int(SETTLE * SECOND),
    poll_every=int(POLL * SECOND),
    poll_age=int(POLL * SECOND),
    reconcile_every=int(RECONCILE * SECOND),
    snapshot_gap=SECOND // 10,
    backoff=(SECOND // 5, SECOND // 5, SECOND // 2),
)


class Hand(Strategy):
    """Does nothing by itself: the test trades through it."""

    symbols = ("AAPL", "MSFT")

    def __init__(self) -> None:
        super().__init__()
        self.bid: dict[str, float] = {}
        self.ask: dict[str, float] = {}

    def on_quote(self, quote: Any) -> None:
        if 0 < quote.bid < quote.ask:
            self.bid[quote.symbol], self.ask[quote.symbol] = float(quote.bid), float(quote.ask)


class ShortLink(AlpacaLink):
    """The real link; its streams have the deadlines of this file, and what the feed tells of gaps and trades is kept."""

    gaps: list[tuple[int, int]]  # (mono, instrument)
    told: list[tuple[int, int, int]]  # (instrument, trade id, ts)

    def feed(self, *args: Any, sink: Callable[..., None], inbox: Inbox, **options: Any) -> Any:
        self.gaps, self.told = [], []

        def note(records: np.ndarray[Any, Any]) -> None:
            gaps = records[records["type"] == RecordType.GAP].view(gap_dtype)
            self.gaps += [(time.monotonic_ns(), int(gap["instrument"])) for gap in gaps]
            trades = records[records["type"] == RecordType.TRADE].view(trade_dtype)
            columns = (trades[name].tolist() for name in ("instrument", "trade_id", "ts_event"))
            self.told += zip(*columns, strict=True)

        def hear(records: np.ndarray[Any, Any], bars: np.ndarray[Any, Any]) -> None:
            note(records)
            sink(records, bars)

        inbox.watch = note
        short = {"stale_after": STALE, "ping_after": PING, "answer_within": ANSWER, "limit_delay": LIMIT}
        return super().feed(*args, sink=hear, inbox=inbox, **short, **options)

    def stream(self, sink: Any, **options: Any) -> Any:
        short = {"patience": ANSWER, "ping_idle": PING, "ping_reply": PING, "first_pause": 0.02, "longest_pause": 0.1}
        return super().stream(sink, **short, **options)


class Day:
    """One running session, as the test's story sees it; everything here runs on the session's loop."""

    def __init__(self, venue: SimulatedVenue | Venue, link: ShortLink, hand: Hand, live: Live) -> None:
        self.venue, self.link, self.hand = venue, link, hand
        self.session, self.shell, self.feed, self.backfill = live.session, live.shell, live.feed, live.backfill
        self.heard: list[tuple[int, Event]] = []  # (mono, event), in the order of the inbox
        self.alarms: list[str] = []  # codes
        self.asked = 0
        self._late: list[tuple[int, float]] = []  # (mono, s): the machine kept the loop waiting so long
        self.shell.watchers.append(lambda event: self.heard.append((time.monotonic_ns(), event)))

    async def watch_machine(self) -> None:
        """Note how late the loop is called, for as long as this runs."""
        while True:
            begun = time.monotonic_ns()
            await asyncio.sleep(TICK)
            now = time.monotonic_ns()
            self._late.append((now, (now - begun) / SECOND - TICK))

    def late(self, since: int) -> float:
        """Seconds that the machine took from everything here since an instant of the monotonic clock."""
        return sum(seconds for mono, seconds in self._late if mono >= since)

    def within(self, since: int, until: int, bound: float) -> bool:
        """Whether a deadline was kept, as far as the machine let it."""
        return (until - since) / SECOND <= bound + NOISE + self.late(since)

    # ------------------------------------------------------------------------------------------------ acting
    def do(self, call: Callable[[], Any]) -> Any:
        """One call of strategy code, and everything that follows from it at once."""
        out: list[Any] = []

        def verb(now: Now) -> None:
            self.session.now = now
            self.session._calls.append((1, (lambda: out.append(call()),)))
            self.session._drain()

        self.shell.call(verb)
        return out[0]

    def rest(self, symbol: str = "AAPL", quantity: int = 1, share: float = 0.9) -> Order:
        """A buy far below the market."""
        self.asked += 1
        limit = round(self.hand.bid[symbol] * share - self.asked / 100, 2)
        return self.do(lambda: self.hand.buy(symbol, quantity, limit=limit))  # type: ignore[no-any-return]

    def take(self, symbol: str = "AAPL", quantity: int = 1) -> Order:
        """A buy that trades at once."""
        self.asked += 1  # no two alike: risk takes twins for a mistake
        limit = round(self.hand.ask[symbol] * 1.01 + self.asked / 100, 2)
        return self.do(lambda: self.hand.buy(symbol, quantity, limit=limit))  # type: ignore[no-any-return]

    async def fault(self, kind: str, **settings: Any) -> None:
        await asyncio.to_thread(self.venue.fault, kind, **settings)

    async def calm(self) -> None:
        await asyncio.to_thread(self.venue.disarm)

    # ------------------------------------------------------------------------------------------------ asking
    async def until(self, condition: Callable[[], Any], what: str) -> Any:
        give_up = time.monotonic() + PATIENCE
        while not (value := condition()):
            if time.monotonic() > give_up:
                pytest.fail(f"waited {PATIENCE} s in vain for {what}; alarms {self.alarms}")
            await asyncio.sleep(0.02)
        return value

    async def working(self, order: Order) -> Order:
        await self.until(lambda: order.status in (OrderStatus.ACCEPTED, OrderStatus.PARTIAL), f"a working order: {order.status}")
        return order

    async def filled(self, order: Order) -> Order:
        await self.until(lambda: order.status is OrderStatus.FILLED, f"a filled order: {order!r} {order.status} {order.breaches}")
        return order

    async def canceled(self, order: Order) -> Order:
        await self.until(lambda: order.status is OrderStatus.CANCELED, f"a canceled order: {order.status}")
        return order

    async def truth(self) -> dict[str, Any]:
        return await asyncio.to_thread(self.venue.truth)

    async def firings(self, kind: str) -> list[dict[str, Any]]:
        return [f for f in (await self.truth())["faults"]["firings"] if f["kind"] == kind]

    def states(self, stream: str, since: int) -> list[tuple[int, StreamState]]:
        return [(m, e) for m, e in self.heard if isinstance(e, StreamState) and e.stream == stream and m >= since]

    async def outage(self, stream: str, since: int, bound: float) -> str:
        """Wait until a stream was found dead within its bound and is back with all that is wanted; why it ended."""
        await self.until(lambda: any(not e.up for _, e in self.states(stream, since)), f"the end of the {stream} stream")
        down, state = next((m, e) for m, e in self.states(stream, since) if not e.up)
        assert self.within(since, down, bound)
        await self.until(lambda: self.states(stream, since)[-1][1].up, f"the {stream} stream")
        if stream == "data":
            assert self.feed.channels.settled  # type: ignore[attr-defined]
            wanted, have = self.feed.channels.wanted, self.feed.channels.acknowledged  # type: ignore[attr-defined]
            assert have == wanted
            assert wanted["quotes"] == {"AAPL", "MSFT"}
            ids = {self.session.instruments[s].id for s in ("AAPL", "MSFT")}
            await self.until(lambda: {i for m, i in self.link.gaps if m >= down} >= ids, "the gap of every instrument")
            await self.fresh()
        return state.text

    async def fresh(self) -> None:
        """Wait for a new quote of each symbol: until then risk refuses, as it should."""
        self.hand.bid.clear()
        await self.until(lambda: len(self.hand.bid) == 2, "new quotes")

    async def reconciled(self) -> None:
        """Wait until positions here are those at the venue and nothing is open."""

        def agree() -> bool:
            mine = {self.session.instruments[i].symbol: q for i, q in self.session.execution.positions.items()}
            return mine == positions(self.venue, self.session) and not self.session.execution.unresolved

        await self.until(agree, "positions that agree")


def positions(venue: SimulatedVenue | Venue, session: Any) -> dict[str, int]:
    headers = {"APCA-API-KEY-ID": venue.key, "APCA-API-SECRET-KEY": venue.secret}
    rows = requests.get(venue.url + "/v2/positions", headers=headers, timeout=30).json()
    return {row["symbol"]: session.instruments[row["symbol"]].qty(row["qty"]) for row in rows}


class _Venue:
    """What `compare` asks of a venue."""

    def __init__(self, venue: SimulatedVenue | Venue) -> None:
        self.truth = venue.truth
        self._venue = venue

    def get(self, path: str) -> Any:
        headers = {"APCA-API-KEY-ID": self._venue.key, "APCA-API-SECRET-KEY": self._venue.secret}
        return requests.get(self._venue.url + path, headers=headers, timeout=30).json()


def link_to(venue: SimulatedVenue | Venue, rate_limit: int = 0) -> ShortLink:
    stream = "ws" + venue.url.removeprefix("http")
    at = Addresses(trading=venue.url, data=venue.url, stream=stream, updates=stream)
    keys = Keys(Secret(venue.key), Secret(venue.secret))
    return ShortLink("sim", at, keys, rate_limit=rate_limit, reconnect_delay=(0.02, 0.1))


def trade(
    tmp_path: Path,
    story: Callable[[Day], Awaitable[None]],
    *,
    adjusted: bool = False,
    broken: bool = False,
    patience: float = 240.0,
    hand: Hand | None = None,
    record: bool = False,
    outside: SimulatedVenue | Venue | None = None,
    hours: bool = False,
    **settings: Any,
) -> list[str]:
    """Run a session while the story lasts; then every order, fill and position here is as at the venue. Returns alarm codes.

    adjusted: positions were changed after the fact, so that they are compared as a whole and not fill by fill.
    broken: the venue has a position that nobody told of: nothing agrees at the end, and the session says so.
    hand: the strategy. outside: a venue that there is, instead of one in this process as `settings` say. hours: those of the
    exchange are kept.
    """
    hand = hand or Hand()
    alarms: list[str] = []

    async def main(venue: SimulatedVenue | Venue) -> None:
        link = link_to(venue)
        plan = Plan(
            link=link,
            directory=tmp_path / "home",
            strategies=[hand],
            limits=Limits.of(tomllib.loads(LIMITS), base=Limits.profile("paper")),
            settings=SETTINGS,
            record=record,
            watchdog=False,
            calendar=hours,
            segment_size=1 << 20,
        )
        runner = Runner(plan)
        failure: list[BaseException] = []

        async def companion(live: Live) -> None:
            day = Day(venue, link, hand, live)
            day.alarms = alarms
            watch = asyncio.create_task(day.watch_machine())
            try:
                await day.until(lambda: live.session.running and len(hand.bid) == 2, "a running session")
                await story(day)
                await day.calm()
                if not broken:
                    await day.reconciled()
            except BaseException as e:
                failure.append(e)
            watch.cancel()
            runner.stop("the story is over")

        plan.listeners.append(lambda m: alarms.append(m.code) if isinstance(m, Alarmed) else None)
        plan.companions.append(companion)
        summary = await asyncio.wait_for(runner.run(), patience)
        if failure:
            raise failure[0]
        assert not summary.failed
        assert summary.unresolved == 0
        assert bool(summary.unexplained) == broken

    with nullcontext(outside) if outside else simulated_venue(seed=5, start=DEFAULT_START, calendar=hours, **settings) as venue:
        asyncio.run(main(venue))
        report = Report()
        compare(_Venue(venue), tmp_path / "home" / "journal", report)  # type: ignore[arg-type]
        rejected = {o["client_order_id"] for o in venue.truth()["orders"] if o["status"] == "rejected"}
    told = {f"at the venue, but REJECTED here: {cid}" for cid in rejected}  # the venue kept the row: both say the same
    changed = ("adjusted", "positions", "filled") if adjusted or broken else ()
    faults = [f for f in report.faults if f not in told and not any(word in f for word in changed)]
    assert not faults, "\n".join(faults)
    return alarms
