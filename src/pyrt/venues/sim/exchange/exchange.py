"""The simulated exchange: accounts, orders and fills in Alpaca's words, with time passed in.

It owns no clock, socket or random number: the same calls give the same bytes, so the server and the backtest share it. Chosen
where Alpaca's documents are silent:

* A request is answered with the order as it was received (`pending_new`, or `accepted` outside trading hours); what happens to
  it, even at once, is told by `take_updates()`.
* A possible wash trade is 403 with code 40310000; an unknown symbol in a POST is 422 with code 42210000.
* Without a calendar the venue never closes and day orders do not end.
* A buy stop keeps its type and trades up to its collar (4 % below 50.00, else 2.5 %); a market buy reserves that much more.
* Buying power is multiplier * equity - gross market value - reserved, never shown below 0.
"""

from collections.abc import Callable, Iterable
from heapq import heappop
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from pyrt._core.match import CANCELED, FILL
from pyrt._core.types import Side, format_units
from pyrt.errors import DataError
from pyrt.model import AssetClass, Instrument, OrderType
from pyrt.venues.sim.exchange import admission, crypto, day_trades, orders, rules, state
from pyrt.venues.sim.exchange.account import Account, Position, money
from pyrt.venues.sim.exchange.desk import Desk
from pyrt.venues.sim.exchange.hours import Hours, Sessions
from pyrt.venues.sim.exchange.orders import FINAL, REPLACEABLE, Body, Row, Terms, VenueRefusal, invalid
from pyrt.venues.sim.times import format_time, new_york

Update = tuple[str, Body]


class Exchange(Desk):
    """Accounts trade instruments against the market that `on_market` tells. Prices and quantities out are decimal text.

    Raises VenueRefusal from every verb that a client's request can make fail; a refusal changes nothing.
    """

    _happens: ClassVar[dict[str, Callable[..., None]]] = {  # what may stand on the agenda (Due.kind): called with Due.what
        "sample": Desk._sample,
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
    ) -> None:
        super().__init__(instruments, state.State(seed=seed, now=start))
        self.old_fields = account_fields == "before"
        self.hours = Hours(calendar, always_open=always_open)
        self._edge = self.hours.next_edge(start) if start else 0
        self._updates: list[Update] = []
        self.default = self.open_account(cash=cash, multiplier=multiplier)

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
            if end > begin:
                if self.matcher.market(records[begin:end]):
                    self._settle()
                self.state.now = max(self.state.now, int(times[end - 1]))
            if end < len(records):
                self.advance(due)
            begin = end

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

    def _cross(self, edge: int) -> None:
        self.state.now = max(self.state.now, edge)
        for row in [row for rows in self._open.values() for row in rows.values()]:
            if row.status in FINAL:  # another order that was routed here met it
                continue
            if row.expires_at and row.expires_at <= edge:
                self._end(row, "expired", edge)
            elif row.working and not self.hours.is_open(edge, extended=row.extended):
                self.matcher.cancel(row.instrument, row.number)
                row.working = False
            elif not row.working and self.hours.is_open(edge, extended=row.extended):
                self._route(row, edge)
        if self._day(edge) != self._day(edge - 1):
            marks = {instrument: px for instrument in self.assets_.instruments if (px := self.mark(instrument))}
            state.begin_day(self.state, self._day(edge), marks, self.figures)

    def _day(self, ns: int) -> str:
        return new_york(ns).date().isoformat()

    # ------------------------------------------------------------------------------------------------ orders in
    def submit(self, body: Body, now: int, account: str | None = None) -> Body:
        """POST /v2/orders: the order as received. Raises VenueRefusal."""
        self.advance(now)
        owner = self._account(account)
        try:
            instrument, terms, intent, unit_px = self._check(body, owner)
        except VenueRefusal as refusal:
            self._refused("submit", owner, body, refusal)
            raise
        return self._enter(owner, instrument, terms, intent, unit_px, None)

    def _check(self, body: Body, owner: Account) -> tuple[Instrument, Terms, str, int]:
        orders.refuse_unreadable(body)
        symbol = body.get("symbol")
        if symbol in (None, ""):
            raise invalid("symbol is required", 40010001)
        instrument = self.assets_.find(symbol)
        if instrument is None:
            raise invalid(f'asset "{symbol}" not found')
        asset = self.assets_.shown[instrument.id]
        admission.refuse(owner, instrument, asset, body)
        terms = orders.read_terms(body, instrument, bool(asset["fractionable"]))
        admission.refuse_terms(owner, instrument, asset, terms)
        self._fresh(owner, terms.cid)
        return instrument, terms, *self._afford(owner, instrument, terms, None)

    def _fresh(self, owner: Account, cid: str) -> None:
        if cid and cid in owner.cids:
            raise invalid("client_order_id must be unique", 40010001)

    def _afford(self, owner: Account, instrument: Instrument, terms: Terms, old: Row | None) -> tuple[str, int]:
        """The position intent and the price that reserves buying power; `old` is the order that this one stands in for."""
        rows = [row for row in self._open.get((owner.id, instrument.id), {}).values() if row is not old]
        rules.refuse_wash(rows, terms)
        position = owner.positions.get(instrument.id, Position())
        if instrument.asset_class == AssetClass.CRYPTO:
            return self._afford_pair(owner, instrument, terms, rows, position, old)
        intent = rules.position_intent(position.qty, terms)
        wanted = terms.qty - (old.base + old.filled if old else 0)
        if intent.endswith("close"):
            rules.refuse_short_of_shares(instrument, rows, position.qty, terms.side, wanted)
            if self.old_fields:
                day_trades.refuse(owner, instrument, position, rules.closing(rows), self._day(self.state.now))
            return intent, 0
        bid, _, ask, _, _ = self.matcher.top(instrument.id)
        unit_px = rules.reserve_px(terms, ask or self.mark(instrument.id) or bid)
        worth = self.figures(owner)
        back = self._reserve(old) if old else 0
        admission.refuse_short(owner, instrument, self.assets_.shown[instrument.id], terms, worth)
        rules.refuse_cost(instrument, terms, unit_px, wanted, worth, back)
        return intent, unit_px

    def _afford_pair(
        self, owner: Account, pair: Instrument, terms: Terms, rows: list[Row], position: Position, old: Row | None
    ) -> tuple[str, int]:
        bid, _, ask, _, _ = self.matcher.top(pair.id)
        wanted = terms.qty - (old.base + old.filled if old else 0)
        back = self._reserve(old) if old else 0
        return crypto.afford(pair, terms, rows, position.qty, wanted, ask or self.mark(pair.id) or bid, self.figures(owner), back)

    def _enter(self, owner: Account, instrument: Instrument, terms: Terms, intent: str, unit_px: int, old: Row | None) -> Body:
        now = self.state.now
        is_open = self.hours.is_open(now, extended=terms.extended)
        row = Row(
            number=len(self.state.rows) + 1,
            id=self.state.new_id(),
            cid=terms.cid or self.state.new_id(),
            account=owner.id,
            instrument=instrument.id,
            symbol=instrument.symbol,
            asset=str(self.assets_.shown[instrument.id]["id"]),
            side=terms.side,
            type=terms.type,
            tif=terms.tif,
            qty=terms.qty,
            limit_px=terms.limit_px,
            stop_px=terms.stop_px,
            extended=terms.extended,
            intent=intent,
            opening=intent.endswith("open"),
            unit_px=unit_px,
            status="pending_new" if is_open else "accepted",
            created_at=now,
            updated_at=now,
            expires_at=self.hours.expiry(now, terms.tif, terms.extended),
            replaces=old.id if old else None,
            base=old.base + old.filled if old else 0,
        )
        self.state.rows.append(row)
        self._index(row)
        owner.reserved += self._reserve(row)
        answer = self._show(row)
        if old is not None:
            self._supersede(old, row)
        if is_open:
            self._route(row, now)
        return answer

    def _route(self, row: Row, now: int) -> None:
        """Hand an order to the matcher, and tell that it works."""
        if row.status not in REPLACEABLE:
            row.status = "new"
            row.updated_at = now
            self._tell(row, "new", now)
        row.working = True
        limit_px = row.limit_px
        if row.type is OrderType.STOP and row.side is Side.BUY:
            limit_px = rules.collar(row.stop_px)
        owner = self.state.number_of(row.account)
        stop_px = 0 if row.triggered else row.stop_px
        if self.matcher.submit(row.instrument, row.number, owner, row.side, row.leaves, limit_px, stop_px, row.tif, now):
            self._settle()

    def replace(self, order_id: str, body: Body, now: int, account: str | None = None) -> Body:
        """PATCH /v2/orders/{id}: the new order, which has a new id and queues anew. Raises VenueRefusal.

        Its qty is the new total and its filled_qty counts its own fills only, so (order id, filled_qty) names a fill once:
        it is filled when it and the orders before it have traded qty together.
        """
        self.advance(now)
        owner = self._account(account)
        try:
            orders.refuse_unreadable(body)
            old = self._row(order_id, owner)
            if old.status not in REPLACEABLE:
                raise invalid(f'order is not replaceable: it is in "{old.status}" state')
            instrument = self.assets_.instruments[old.instrument]
            asset = self.assets_.shown[instrument.id]
            admission.refuse(owner, instrument, asset, {})
            terms = orders.replaced_terms(body, old, instrument)
            admission.refuse_terms(owner, instrument, asset, terms)
            self._fresh(owner, terms.cid)
            intent, unit_px = self._afford(owner, instrument, terms, old)
        except VenueRefusal as refusal:
            self._refused("replace", owner, {"order_id": order_id, **body}, refusal)
            raise
        return self._enter(owner, instrument, terms, intent, unit_px, old)

    def _supersede(self, old: Row, new: Row) -> None:
        old.replaced_by, old.replaced_at = new.id, self.state.now
        self._end(old, "replaced", self.state.now)

    def cancel(self, order_id: str, now: int, account: str | None = None) -> None:
        """DELETE /v2/orders/{id}. Raises VenueRefusal 404, or 422 where the order is final."""
        self.advance(now)
        owner = self._account(account)
        try:
            row = self._row(order_id, owner)
            if row.status in FINAL:
                raise invalid(f'order is already in "{row.status}" state')
        except VenueRefusal as refusal:
            self._refused("cancel", owner, {"order_id": order_id}, refusal)
            raise
        self._end(row, "canceled", self.state.now)

    def cancel_all(self, now: int, account: str | None = None) -> list[tuple[str, int, Body]]:
        """DELETE /v2/orders: (order id, HTTP status, order) of each that was open."""
        self.advance(now)
        rows = self._working(self._account(account).id)
        for row in rows:
            self._end(row, "canceled", self.state.now)
        return [(row.id, 200, self._show(row)) for row in rows]

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
        for position in self.positions(account):
            try:
                results.append((position["symbol"], 200, self.close_position(position["symbol"], now, account=account)))
            except VenueRefusal as refusal:
                results.append((position["symbol"], refusal.http, refusal.body))
        return results

    # ------------------------------------------------------------------------------------------------ what happens
    def _settle(self) -> None:
        for number, _contra, px, qty, _leaves, ts, _instrument, kind, _maker, _ in self.matcher.take().tolist():
            row = self.state.rows[number - 1]
            at = max(ts, row.updated_at)
            if kind == FILL:
                self._fill(row, px, qty, at)
            elif kind == CANCELED:
                self._end(row, "canceled", at)
            else:
                row.triggered = True

    def _fill(self, row: Row, px: int, qty: int, at: int) -> None:
        owner = self._account(row.account)
        exp = self.assets_.instruments[row.instrument].qty_exp
        owner.reserved -= self._reserve(row)
        row.filled += qty
        row.traded += px * qty
        row.updated_at = at
        done = not row.leaves
        row.status = "filled" if done else "partially_filled"
        owner.reserved += self._reserve(row)
        if done:
            row.filled_at = at
            row.working = False
            del self._open[row.account, row.instrument][row.number]
        position = owner.positions.setdefault(row.instrument, Position())
        if self.old_fields and not row.opening:
            day_trades.note(owner, self.assets_.instruments[row.instrument], row.number, position, self._day(at))
        position.fill(row.side, px, qty, exp)
        owner.cash -= money(px, qty, exp) if row.side is Side.BUY else -money(px, qty, exp)
        fill = self.state.add_fill(row, px, qty, at)
        told = {
            "execution_id": fill.execution_id,
            "price": format_units(px),
            "qty": format_units(qty, exp),
            "position_qty": format_units(position.qty, exp),
        }
        self._tell(row, fill.type, at, told)

    def _end(self, row: Row, status: str, at: int) -> None:
        if row.working:
            self.matcher.cancel(row.instrument, row.number)
        row.working = False
        self._account(row.account).reserved -= self._reserve(row)
        row.status = status
        row.updated_at = at
        if status == "canceled":
            row.canceled_at = at
        elif status == "expired":
            row.expired_at = at
        del self._open[row.account, row.instrument][row.number]
        self._tell(row, status, at)

    def _tell(self, row: Row, event: str, at: int, extra: Body | None = None) -> None:
        update = {"event": event, "timestamp": format_time(at), **(extra or {}), "order": self._show(row)}
        self._updates.append((row.account, update))

    def _refused(self, verb: str, owner: Account, body: Body, refusal: VenueRefusal) -> None:
        request = {"text": ascii(body)} if refusal.http == 400 else body
        answer = {"http": refusal.http, "answer": refusal.body}
        self.state.refused.append({"account": owner.id, "verb": verb, "ts": self.state.now, "request": request, **answer})

    def take_updates(self) -> list[Update]:
        """The trade_updates events since the last call, (account id, data), in the order in which they happened."""
        updates, self._updates = self._updates, []
        return updates

    def open_account(self, *, cash: str = "100000", multiplier: int = 2) -> str:
        """Another account, by its id."""
        return self.state.open_account(cash, multiplier)

    # ------------------------------------------------------------------------------------------------ across restarts
    def save(self) -> bytes:
        """Everything that must survive a restart, as JSON; what the market displays is not part of it."""
        for instrument in self.assets_.instruments:
            self.state.marks[instrument] = self.mark(instrument)
        return state.encode(self.state)

    @classmethod
    def load(cls, data: bytes, instruments: Iterable[Instrument], **settings: Any) -> "Exchange":
        """An exchange as saved; settings as for the constructor. Working orders queue anew. Raises DataError."""
        saved = state.decode(data)
        exchange = cls(instruments, **settings)
        lost = {row.symbol for row in saved.rows if row.instrument not in exchange.assets_.instruments}
        if lost:
            what = f"the saved venue trades {', '.join(sorted(lost))}, this market does not"
            raise DataError(what, mend="use the market it was saved with")
        exchange.state = saved
        exchange.default = next(iter(saved.accounts))
        exchange._edge = exchange.hours.next_edge(saved.now) if saved.now else 0
        for row in saved.rows:
            exchange._index(row)
            if row.working:
                exchange._route(row, saved.now)
        return exchange
