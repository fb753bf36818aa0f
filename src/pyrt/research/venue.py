"""The simulated exchange in the same process, behind a latency model: the Broker of a backtest."""

import heapq
from itertools import count

from pyrt.clock import Now
from pyrt.ports import (
    Command,
    Event,
    Withdraw,
)
from pyrt.research.latency import LatencyModel
from pyrt.research.near import NearVenue
from pyrt.research.tape import NEVER, Tape
from pyrt.venues.sim.exchange.exchange import Exchange


class BacktestVenue:
    """Requests reach the exchange, and its answers us, when the latency model says; the exchange sees the tape by itself."""

    def __init__(self, exchange: Exchange, tape: Tape, latency: LatencyModel) -> None:
        self.exchange = exchange
        self.tape = tape
        self.active = False  # something happened to an order since this was last set to False
        self._latency = latency
        self._near = NearVenue(exchange)
        self._arrivals: list[tuple[int, int, Command]] = []
        self._answers: list[tuple[int, int, Now, Event]] = []
        self._order = count()

    # ------------------------------------------------------------------------------------------------ time
    @property
    def next_event(self) -> int:
        """When something may happen at the exchange, venue ns: a request arrives, or the market meets a working order."""
        arrival = self._arrivals[0][0] if self._arrivals else NEVER
        return min(arrival, self.tape.next_at) if self.exchange.has_open_orders else arrival

    @property
    def next_answer(self) -> int:
        """When the next answer is back, venue ns."""
        return self._answers[0][0] if self._answers else NEVER

    @property
    def idle(self) -> bool:
        """Whether nothing is under way in either direction."""
        return not self._arrivals and not self._answers

    def run(self, until: int) -> None:
        """Let the exchange meet the market and the requests up to `until`; at one instant the market goes first."""
        while self._arrivals and self._arrivals[0][0] <= until:
            at, _, command = heapq.heappop(self._arrivals)
            self._market(at)
            self.exchange.advance(at)
            answer = self._near.answer(command, at)
            self._answer(answer, at)
            self._tell()
        self._market(until)

    def take(self) -> tuple[Now, Event]:
        """The answer that is back first."""
        _, _, now, event = heapq.heappop(self._answers)
        return now, event

    def _market(self, until: int) -> None:
        records = self.tape.take(until)
        if len(records):
            self.exchange.on_market(records)
            self._tell()

    def _tell(self) -> None:
        for update in self._near.updates():
            self.active = True
            self._answer(update, update.ts)

    def _answer(self, event: Event, at: int) -> None:
        now = self._latency.delivery(event, at)
        heapq.heappush(self._answers, (now.venue, next(self._order), now, event))

    # ------------------------------------------------------------------------------------------------ requests
    def perform(self, command: Command, now: Now) -> None:
        """Send a request. It leaves at once, so there is never one to withdraw."""
        if isinstance(command, Withdraw):
            return
        heapq.heappush(self._arrivals, (self._latency.arrival(command, now), next(self._order), command))
