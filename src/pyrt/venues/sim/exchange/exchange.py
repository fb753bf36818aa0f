"""The simulated exchange: accounts, orders and fills in Alpaca's words, with time passed in.

It owns no clock, socket or random number: the same calls give the same bytes, so the server and the backtest share it. Chosen
where Alpaca's documents are silent:

* A request is answered with the order as it was received (`pending_new`, or `accepted` outside trading hours); what happens to
  it, even at once, is told by `take_updates()`.
* A possible wash trade is 403 with code 40310000; an unknown symbol in a POST is 422 with code 42210000.
* Without a calendar the venue never closes and day orders do not end.
* A buy stop keeps its type and trades up to its collar (4 % below 50.00, else 2.5 %); a market buy reserves that much more.
* Buying power is multiplier * equity - gross market value - reserved, never shown below 0.
* A trailing buy stop trades at the market once it is reached; its price is not rounded to the cent.
* An order by money is done when what is left pays for no unit of the quantity; a limit order by money is for notional / limit.
"""

from collections.abc import Callable, Iterable
from heapq import heappop
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from pyrt._core.types import format_units
from pyrt.errors import DataError
from pyrt.model import AssetClass, Instrument
from pyrt.venues.sim.exchange import admission, auctions, groups, mleg, notional, option_terms, rules, state, terms, travel
from pyrt.venues.sim.exchange.account import Account
from pyrt.venues.sim.exchange.activities import Fees
from pyrt.venues.sim.exchange.contracts import Options
from pyrt.venues.sim.exchange.desk import Desk
from pyrt.venues.sim.exchange.entry import Entry
from pyrt.venues.sim.exchange.expiry import expire
from pyrt.venues.sim.exchange.hours import Hours, Sessions
from pyrt.venues.sim.exchange.orders import FINAL, FIRST_CONTRACT, REPLACEABLE, Body, Row, Terms, VenueRefusal, invalid
from pyrt.venues.sim.exchange.travel import Latency
from pyrt.venues.sim.exchange.upkeep import Upkeep


class Exchange(Entry, Upkeep):
    """Accounts trade instruments against the market that `on_market` tells. Prices and quantities out are decimal text.

    Raises VenueRefusal from every verb that a client's request can make fail; a refusal changes nothing.
    """

    _happens: ClassVar[dict[str, Callable[..., None]]] = {  # what may stand on the agenda (Due.kind): called with Due.what
        "sample": Desk._sample,
        "entry": travel.entry_arrives,
        "replace": travel.replacement_arrives,
        "cancel": travel.cancel_arrives,
        **Upkeep._upkeep,
        "list_contracts": lambda self, wait: self.options and self.options.list_contracts(wait),
        "requote": lambda self: self.options and self.options.requote(),
        "expire": expire,
    }

    def __init__(
        self,
        instruments: Iterable[Instrument],
        *,
        cash: str = "100000",
        multiplier: int = 2,
        seed: int = 0,
        always_open: bool = True,
        calendar: Sessions | None = None,
        start: int = 0,
        account_fields: str = "2026-07",
        latency: Latency | None = None,
        queue: str = "pessimistic",
        second_leg: str = "held",
        fees: Fees | None = None,
        options_level: int | None = None,  # None = no options are listed
    ) -> None:
        hours = Hours(calendar, always_open=always_open)
        super().__init__(instruments, state.State(seed=seed, now=start), hours, queue=queue, second_leg=second_leg)
        self.old_fields = account_fields == "before"
        self.latency = latency or Latency()
        self._edge = self.hours.next_edge(start) if start else 0
        self.fees = fees
        self.default = self.open_account(cash=cash, multiplier=multiplier)
        if options_level is not None:
            self.options = Options(self, options_level)
            if start:
                self.options.begin(start)

    # ------------------------------------------------------------------------------------------------ time and market
    @property
    def now(self) -> int:
        """Venue time: the latest instant it was told, ns UTC."""
        return self.state.now

    def on_market(self, records: npt.NDArray[Any]) -> None:
        """Take in market_dtype records in time order: matches, triggers stops, and lets time pass to the last of them."""
        if not len(records):
            return
        times = records["ts_event"]
        if not self.state.now:
            self.advance(int(times[0]))
        begin = 0
        while begin < len(records):
            due = self._next_due()
            end = int(np.searchsorted(times, due)) if times[-1] >= due else len(records)
            if self.state.crosses:
                end = auctions.stop(self, records, begin, end)
            if end > begin:
                first = begin
                # Only up to the first record that moves an order: what follows from that may meet the next one.
                begin += self.matcher.run(records[begin:end])
                self.state.now = max(self.state.now, int(times[begin - 1]))
                self._settle()
                if self.state.crosses:
                    auctions.hear(self, records[first:begin])
            if begin == end and end < len(records) and times[end] >= due:
                self.advance(due)

    def advance(self, now: int) -> None:
        """Let time pass: day orders end, hours change, days begin, the agenda is done. Time never goes back."""
        if not self.state.now:
            self._begin(now)
        while (due := self._next_due()) <= now:
            if self._edge == due:
                self._cross(due)
                self._edge = self.hours.next_edge(due)
            else:
                self.state.now = max(self.state.now, due)
                item = heappop(self.state.agenda)
                self._happens[item.kind](self, **item.what)
        self.state.now = max(self.state.now, now)

    def _next_due(self) -> int:
        agenda = self.state.agenda
        return min(self._edge, agenda[0].at) if agenda else self._edge

    def _begin(self, now: int) -> None:
        self._edge = self.hours.next_edge(now)
        for account in self.state.accounts.values():
            account.created_at, account.balance_day = now, self._day(now)
        if self.options is not None:
            self.options.begin(now)

    def _cross(self, edge: int) -> None:
        self.state.now = max(self.state.now, edge)
        for row in [row for open_ in self._open.values() for row in open_]:
            if row.status in FINAL or row.tif in auctions.AUCTIONS:  # another order that was routed here met it
                continue
            if row.expires_at and row.expires_at <= edge:
                self.end(row, "expired", edge)
            elif row.working and not self.hours.works(edge, row):
                self._withdraw(row)
            elif not (row.working or row.waits or row.flying):
                self.enter_hours(row, edge)
        self._keep_days(edge)

    # ------------------------------------------------------------------------------------------------ orders in
    def submit(self, body: Body, now: int, account: str | None = None) -> Body:
        """POST /v2/orders: the order as received. Raises VenueRefusal."""
        if body.get("order_class") == "mleg" and self.options is not None:
            return mleg.submit(self, body, now, account)
        self.advance(now)
        owner = self._account(account)
        try:
            instrument, order, intent, unit_px = self._check(body, owner)
        except VenueRefusal as refusal:
            self._refused("submit", owner, body, refusal)
            raise
        return self._enter(owner, instrument, order, intent, unit_px)

    def _enter(self, owner: Account, instrument: Instrument, order: Terms, intent: str, unit_px: int) -> Body:
        row = self._new_row(owner, instrument, order, intent, unit_px, None)
        if order.order_class:
            groups.begin(self, row, order)
        for each in [row, *(self.state.rows[number - 1] for number in row.legs)]:
            self._index(each)
        for each in [*(self.state.rows[number - 1] for number in row.legs), row]:
            self.weigh(each)
            if each.status == "held":
                self.tell(each, "held", self.state.now)
        auctions.expect(self, row)
        answer = self._show(row, nested=True)
        if row.status == "pending_new":
            travel.enter(self, row, self.latency.entry)
        return answer

    def replace(self, order_id: str, body: Body, now: int, account: str | None = None) -> Body:
        """PATCH /v2/orders/{id}: the new order, which has a new id and queues anew. Raises VenueRefusal.

        Its qty is the new total and its filled_qty counts its own fills only, so (order id, filled_qty) names a fill once:
        it is filled when it and the orders before it have traded qty together. An order of a group keeps its place there.
        """
        self.advance(now)
        owner = self._account(account)
        try:
            terms.refuse_unreadable(body)
            old = self._row(order_id, owner)
            if old.shown_status not in REPLACEABLE and old.shown_status != "held":
                raise invalid(f'order is not replaceable: it is in "{old.shown_status}" state')
            if old.order_class == "mleg":
                return mleg.replace(self, old, body, owner)
            instrument = self.assets_.instruments[old.instrument]
            asset = self.assets_.shown[instrument.id]
            admission.refuse(owner, instrument, asset, {})
            if self.options is not None and instrument.id >= FIRST_CONTRACT:
                option_terms.refuse({"time_in_force": "day", **{k: v for k, v in body.items() if v is not None}})
            order = terms.replaced_terms(body, old, instrument)
            admission.refuse_terms(owner, instrument, asset, order)
            self._fresh(owner, order.cid)
            groups.refuse_replaced(self, old, order)
            auctions.refuse_replaced(order)
            intent, unit_px = (old.intent, 0) if old.waits else self._afford(owner, instrument, order, old)
        except VenueRefusal as refusal:
            self._refused("replace", owner, {"order_id": order_id, **body}, refusal)
            raise
        row = self._new_row(owner, instrument, order, intent, unit_px, old)
        row.flying = True  # until it arrives, be it at once
        self._index(row)
        self.weigh(row)
        answer = self._show(row)
        travel.replace(self, old, row, self.latency.replace)
        return answer

    def cancel(self, order_id: str, now: int, account: str | None = None) -> None:
        """DELETE /v2/orders/{id}. Raises VenueRefusal 404, or 422 where the order is final or about to be replaced."""
        self.advance(now)
        owner = self._account(account)
        try:
            row = self._row(order_id, owner)
            self._refuse_cancel(row)
        except VenueRefusal as refusal:
            self._refused("cancel", owner, {"order_id": order_id}, refusal)
            raise
        travel.cancel(self, row, self.latency.cancel)

    def _refuse_cancel(self, row: Row) -> None:
        if row.ratio and row.status not in FINAL:
            raise invalid("a leg of a multi-leg order cannot be canceled: cancel the order")
        if row.status in FINAL or row.pending == "pending_replace":
            raise invalid(f'order is already in "{row.shown_status}" state')

    def cancel_all(self, now: int, account: str | None = None) -> list[tuple[str, int, Body]]:
        """DELETE /v2/orders: (order id, HTTP status, order or error) of each that was open."""
        self.advance(now)
        rows, results = [row for row in self._working(self._account(account).id) if not row.ratio], []
        for row in rows:
            try:
                if row.status not in FINAL:  # one of its group took it along
                    self._refuse_cancel(row)
                    travel.cancel(self, row, self.latency.cancel)
            except VenueRefusal as refusal:
                results.append((row.id, refusal.http, refusal.body))
        refused = {order_id for order_id, _, _ in results}
        return [(row.id, 200, self._show(row)) for row in rows if row.id not in refused] + results

    def close_position(
        self, symbol: str, now: int, *, qty: str | None = None, percentage: str | None = None, account: str | None = None
    ) -> Body:
        """DELETE /v2/positions/{symbol}: the closing market order. Raises VenueRefusal."""
        self.advance(now)
        instrument, position = self._position(symbol, account)
        amount = rules.closing_qty(position.qty, instrument, qty, percentage)
        side = "sell" if position.qty > 0 else "buy"
        text = format_units(amount, instrument.qty_exp)
        tif = "gtc" if instrument.asset_class == AssetClass.CRYPTO else "day"
        body = {"symbol": instrument.symbol, "qty": text, "side": side, "type": "market", "time_in_force": tif}
        return self.submit(body, now, account)

    def close_all(self, now: int, cancel_orders: bool = False, account: str | None = None) -> list[tuple[str, int, Body]]:
        """DELETE /v2/positions: (symbol, HTTP status, order or error) of each position."""
        if cancel_orders:
            self.cancel_all(now, account)
        results: list[tuple[str, int, Body]] = []
        # What is short goes first: what is long may stand behind it.
        for position in sorted(self.positions(account), key=lambda position: position["side"] == "long"):
            try:
                results.append((position["symbol"], 200, self.close_position(position["symbol"], now, account=account)))
            except VenueRefusal as refusal:
                results.append((position["symbol"], refusal.http, refusal.body))
        return results

    # ------------------------------------------------------------------------------------------------ what is done to it
    def force_fill(self, order_id: str, qty: str, px: str, now: int) -> Body:
        """Book a fill that no market offered, on any order of any account, be it full or ended, and tell it as any other.

        For fault injection: an overfill, or a fill while a replacement is under way. Returns the order. Raises VenueRefusal.
        """
        self.advance(now)
        number = self._ids.get(order_id, 0)
        if not number:
            raise VenueRefusal(404, 40410000, f"order not found for {order_id}")
        row = self.state.rows[number - 1]
        self.fill_beyond(row, *notional.read_fill(qty, px, self.assets_.instruments[row.instrument]))
        return self._show(row)

    def _refused(self, verb: str, owner: Account, body: Body, refusal: VenueRefusal) -> None:
        request = {"text": ascii(body)} if refusal.http == 400 else body
        answer = {"http": refusal.http, "answer": refusal.body}
        self.state.refused.append({"account": owner.id, "verb": verb, "ts": self.state.now, "request": request, **answer})

    def open_account(self, *, cash: str = "100000", multiplier: int = 2) -> str:
        """Another account, by its id."""
        return self.state.open_account(cash, multiplier)

    # ------------------------------------------------------------------------------------------------ across restarts
    def save(self) -> bytes:
        """Everything that must survive a restart, as JSON; what the market displays is not part of it."""
        for instrument in [number for number in self.assets_.instruments if number < mleg.PACKAGE]:
            self.state.marks[instrument] = self.mark(instrument)
        for open_ in self._open.values():
            for row in open_:
                self.follow(row)
        return state.encode(self.state)

    @classmethod
    def load(cls, data: bytes, instruments: Iterable[Instrument], **settings: Any) -> "Exchange":
        """An exchange as saved; settings as for the constructor. Working orders queue anew. Raises DataError."""
        saved = state.decode(data)
        exchange = cls(instruments, **settings)
        exchange.state = saved
        if exchange.options is not None:
            exchange.options.load()
        lost = {row.symbol for row in saved.rows if row.instrument not in exchange.assets_.instruments}
        if lost:
            what = f"the saved venue trades {', '.join(sorted(lost))}, this market does not"
            raise DataError(what, mend="use the market it was saved with")
        exchange.default = next(iter(saved.accounts))
        exchange._edge = exchange.hours.next_edge(saved.now) if saved.now else 0
        exchange._restore()
        for row in saved.rows:
            exchange._index(row)
        for row in saved.rows:  # after all are known: an exit is shown by what its partner is, which may be a later order
            if row.working:
                exchange._route(row, saved.now)
        return exchange
