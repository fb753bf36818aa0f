"""The trading floor: market, exchange and clock stepped as one, for whoever listens. No socket here."""

import time
from collections.abc import Callable, Sequence
from heapq import heappop, heappush
from itertools import count
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from pyrt.clock import MINUTE, SECOND, VenueClock
from pyrt.venues.sim.exchange import halts
from pyrt.venues.sim.exchange.exchange import Exchange
from pyrt.venues.sim.market.market import Market

Records = npt.NDArray[np.void]
OnMarket = Callable[[Records, int], None]
Updates = Sequence[tuple[str, dict[str, Any]]]
OnUpdates = Callable[[Updates], None]

EDGE = MINUTE // 2  # no step goes over a multiple of it: then bars come at one place among the records, at any speed
EDGES_MAX = 4  # of a silence at full speed: what is told at them is told at the first ones
CATCH_UP_NS = SECOND // 20  # real time that one call may take
BATCH = 4096  # records a step aims at when time runs as fast as the clients take it


class ClockReading(msgspec.Struct, kw_only=True):
    """What a client needs to compute venue time: `epoch_ns + (mono - origin_mono_ns) * rate` on this machine's monotonic clock.

    rate 0 means as fast as the clients take it: then venue time is that of the last event. lag_ns: how far the market is behind
    the clock, more than a few ms only where the machine cannot make a market of this speed.
    """

    now_ns: int
    mono_ns: int
    epoch_ns: int
    origin_mono_ns: int
    rate: float
    lag_ns: int


class Floor:
    """Steps the market to an instant, lets the exchange meet it, and tells the listeners in that order."""

    def __init__(self, market: Market, exchange: Exchange, epoch: int, rate: float) -> None:
        self.market = market
        self.exchange = exchange
        self.rate = rate  # venue seconds a second; 0 = as fast as the clients take it
        self.clock = VenueClock(epoch, time.monotonic_ns(), rate or 1.0)
        self.changed = True  # something happened that was not passed to on_change
        self.on_change: list[Callable[[], None]] = []  # before anybody is told
        self.on_market: list[OnMarket] = []
        self.on_updates: list[OnUpdates] = []
        self.records = 0
        self._now = epoch
        self._due: list[tuple[int, int, Callable[[], object]]] = []  # a heap
        self._order = count()
        self._slice = SECOND // 100

    @property
    def now(self) -> int:
        """Venue time that the market has reached, ns UTC."""
        return self._now

    @property
    def _next_edge(self) -> int:
        return self._now // EDGE * EDGE + EDGE

    def reading(self) -> ClockReading:
        """The clock, for `GET /sim/clock`."""
        mono = time.monotonic_ns()
        now = self.clock.at(mono) if self.rate else self._now
        return ClockReading(
            now_ns=max(now, self._now),
            mono_ns=mono,
            epoch_ns=self.clock.epoch,
            origin_mono_ns=self.clock.origin,
            rate=self.rate,
            lag_ns=max(now - self._now, 0),
        )

    def catch_up(self) -> int:
        """Step to the present, so that a request meets the market as it is now. Returns venue time."""
        if self.rate:
            mono = time.monotonic_ns()
            present = self.clock.at(mono)
            while self._now < present:  # never much at once: bars and updates come in the order of time
                self.step(min(present, self._next_edge))
                if time.monotonic_ns() - mono > CATCH_UP_NS:
                    break  # a speed that this machine cannot keep: stay answerable, and say so in `lag_ns`
        return self._now

    def run_ahead(self) -> bool:
        """At full speed: one batch from the next event on. False when the market has ended."""
        begin = self.market.next_event
        if not begin:
            return False
        for _ in range(EDGES_MAX):
            if begin > self._next_edge:
                self.step(self._next_edge)
        self.step(begin - 1)  # a long silence is one step
        before = self.records
        self.step(min(max(begin, self._now) + self._slice, self._next_edge))
        made = self.records - before
        if made < BATCH // 2:
            self._slice = min(self._slice * 2, EDGE)
        elif made > BATCH * 2:
            self._slice = max(self._slice // 2, SECOND // 1000)
        return True

    def at(self, instant: int, act: Callable[[], object]) -> None:
        """Call `act` when the market has come to a venue time, before anything later happens."""
        heappush(self._due, (instant, next(self._order), act))

    def jump(self, market: Market, seen: Records, to: int) -> None:
        """Go on at a later instant in a market that begins there; `seen`: what it shows then. What lies between never was."""
        self.market = market
        self.clock = VenueClock(to, time.monotonic_ns(), self.rate or 1.0)
        self.exchange.advance(to)
        self.exchange.on_market(seen)
        self._now = to
        self.pass_on()

    def step(self, until: int) -> None:
        """Let the market run to `until` (never backwards), match, and tell."""
        while self._due and self._due[0][0] <= until:
            instant, _, act = heappop(self._due)
            self._step(instant)
            act()
            self.tell()
        self._step(until)

    def _step(self, until: int) -> None:
        if until <= self._now:
            return
        records = self.market.advance(until)
        if len(records):
            records = halts.admit(self.exchange, records)
        self._now = until
        if len(records):
            self.records += len(records)
            self.exchange.on_market(records)
        self.exchange.advance(until)
        records = halts.published(self.exchange, records)
        for tell in self.on_market:
            tell(records, until)
        self.tell()

    def pass_on(self) -> None:
        """Something changed beside the market: keep it, and tell what happened to orders."""
        self.changed = True
        self.tell()

    def tell(self) -> None:
        """Pass on what happened to orders."""
        while (updates := self.exchange.take_updates()) or self.changed:  # a listener may act on the exchange
            self.changed = False
            for note in self.on_change:
                note()
            if updates:
                for listener in self.on_updates:
                    listener(updates)
