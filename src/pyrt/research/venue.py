"""The simulated exchange in the same process, behind a latency model: the Broker of a backtest."""

import heapq
from itertools import count
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import msgspec

from pyrt.clock import Now
from pyrt.ports import (
    Cancel,
    CancelResult,
    Command,
    Event,
    Found,
    Lookup,
    LookupResult,
    Outcome,
    Replace,
    Submit,
    SubmitResult,
    TakeSnapshot,
    Withdraw,
)
from pyrt.research.latency import LatencyModel
from pyrt.research.tape import NEVER, Tape
from pyrt.venues.alpaca import pages, wire
from pyrt.venues.alpaca.answers import DUPLICATE_CODE
from pyrt.venues.sim.exchange.exchange import Exchange
from pyrt.venues.sim.exchange.orders import VenueRefusal


class BacktestVenue:
    """Requests reach the exchange, and its answers us, when the latency model says; the exchange sees the tape by itself."""

    def __init__(self, exchange: Exchange, tape: Tape, latency: LatencyModel) -> None:
        self.exchange = exchange
        self.tape = tape
        self.active = False  # something happened to an order since this was last set to False
        self._latency = latency
        self._reader = wire.Reader()
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
            answer = self._perform(command, at)
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
        for _, data in self.exchange.take_updates():
            update = self._reader.update(data)
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

    def _perform(self, command: Command, at: int) -> Event:
        if isinstance(command, Submit | Replace):
            return self._submit(command, at)
        if isinstance(command, Cancel):
            return self._cancel(command, at)
        if isinstance(command, Lookup):
            return self._lookup(command)
        if isinstance(command, TakeSnapshot):
            return pages.snapshot(command, self._get, self._reader, at)
        raise TypeError(f"no request: {type(command).__name__}")

    def _submit(self, command: Submit | Replace, at: int) -> SubmitResult:
        who: dict[str, Any] = {"number": command.request.number, "attempt": command.attempt}
        if at > command.valid_until:
            return SubmitResult(outcome=Outcome.NOT_SENT, text="past valid_until", **who)
        try:
            if isinstance(command, Submit):
                shown = self.exchange.submit(msgspec.json.decode(wire.order_body(command.request)), at)
            else:
                body = msgspec.json.decode(wire.replace_body(command.request))
                shown = self.exchange.replace(command.venue_order_id, body, at)
        except VenueRefusal as no:
            duplicate = no.code == DUPLICATE_CODE and "client_order_id" in no.message
            outcome = Outcome.DUPLICATE if duplicate else Outcome.REJECTED
            return SubmitResult(outcome=outcome, http=no.http, code=no.code, text=no.message, **who)
        return SubmitResult(outcome=Outcome.ACCEPTED, order=self._reader.order(shown), http=200, **who)

    def _cancel(self, command: Cancel, at: int) -> CancelResult:
        who: dict[str, Any] = {"number": command.number, "venue_order_id": command.venue_order_id}
        try:
            self.exchange.cancel(command.venue_order_id, at)
        except VenueRefusal as no:
            return CancelResult(accepted=False, http=no.http, code=no.code, text=no.message, **who)
        return CancelResult(accepted=True, http=204, **who)

    def _lookup(self, command: Lookup) -> LookupResult:
        try:
            known = command.venue_order_id
            shown = self.exchange.order(known, nested=True) if known else self.exchange.order_by_cid(command.cid)
        except VenueRefusal as no:
            return LookupResult(number=command.number, found=Found.ABSENT, text=no.message)
        return LookupResult(number=command.number, found=Found.FOUND, order=self._reader.order(shown))

    def _get(self, target: str) -> Any:
        """What the exchange's REST shows under a path, for the reader of pages."""
        url = urlsplit(target)
        query = {name: values[-1] for name, values in parse_qs(url.query).items()}
        after = wire.parse_time(query["after"]) if "after" in query else 0
        path = unquote(url.path)
        if path == "/v2/account":
            return self.exchange.account()
        if path == "/v2/positions":
            return self.exchange.positions()
        if path == "/v2/orders":
            limit = int(query["limit"])
            return self.exchange.orders(status=query["status"], limit=limit, after=after, direction=query["direction"], nested=True)
        token = query.get("page_token")
        size = int(query["page_size"])
        return self.exchange.activities(["FILL"], after=after, direction=query["direction"], page_size=size, page_token=token)
