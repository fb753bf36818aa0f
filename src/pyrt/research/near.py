"""The simulated exchange in the same process, asked through the port as a venue far away is."""

from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import msgspec

from pyrt.ports import (
    AllCancelled,
    Cancel,
    CancelAll,
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
    TradeUpdate,
)
from pyrt.venues.alpaca import pages, wire
from pyrt.venues.alpaca.answers import DUPLICATE_CODE
from pyrt.venues.sim.exchange.exchange import Exchange
from pyrt.venues.sim.exchange.orders import VenueRefusal


class NearVenue:
    """Requests become the venue's JSON and its JSON answers: nothing but the wire is left out.

    activities: whether a snapshot shows more of the account than fills (fees, dividends, splits).
    """

    def __init__(self, exchange: Exchange, *, activities: bool = False) -> None:
        self.exchange = exchange
        self.reader = wire.Reader()
        self._activities = activities

    def updates(self) -> Iterator[TradeUpdate]:
        """What the trading stream would have told since it was asked last."""
        for _, data in self.exchange.take_updates():
            yield self.reader.update(data)

    def answer(self, command: Command, at: int) -> Event:
        """What it answers to a request that reaches it at a time, venue ns. Raises TypeError for what is none."""
        if isinstance(command, Submit | Replace):
            return self._submit(command, at)
        if isinstance(command, Cancel):
            return self._cancel(command, at)
        if isinstance(command, CancelAll):
            rows = [(name, 200 <= http < 300) for name, http, _ in self.exchange.cancel_all(at)]
            taken, refused = (tuple(name for name, end in rows if end is whether) for whether in (True, False))
            return AllCancelled(call=command.call, http=207, taken=taken, refused=refused)
        if isinstance(command, Lookup):
            return self._lookup(command)
        if isinstance(command, TakeSnapshot):
            return pages.snapshot(command, self._get, self.reader, at)
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
        return SubmitResult(outcome=Outcome.ACCEPTED, order=self.reader.order(shown), http=200, **who)

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
        return LookupResult(number=command.number, found=Found.FOUND, order=self.reader.order(shown))

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
        kinds = query["activity_types"].split(",") if self._activities and "activity_types" in query else ["FILL"]
        return self.exchange.activities(kinds, after=after, direction=query["direction"], page_size=size, page_token=token)
