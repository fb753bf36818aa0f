"""What the venue shows, reduced to facts: sightings of orders, executions, orders of others, in any sequence and any number."""

from collections.abc import Callable

from pyrt._core.types import PX_SCALE, Side, to_units
from pyrt.execution.groups import Groups, terms_of
from pyrt.execution.orders import BUST, CORRECTIONS, Order, Orders
from pyrt.execution.sighting import (
    EVENTS,
    FILLS,
    STATUS,
    TIFS,
    TYPES,
    filled_at_least,
    next_status,
    same,
    stranger,
    units,
    works_anew,
)
from pyrt.execution.step import Step
from pyrt.model import (
    Defined,
    ExternalSeen,
    Filled,
    Instrument,
    OrderChanged,
    OrderStatus,
    OrderType,
    PositionAdjusted,
    TimeInForce,
)
from pyrt.ports import Sync, TradeUpdate, VenueFill, VenueOrder

_AT_WORK = (OrderStatus.ACCEPTED, OrderStatus.PARTIAL, OrderStatus.HELD)
_ABSENT = (OrderStatus.ABANDONED, OrderStatus.CANCELED_LOCAL)  # finals that say: the venue does not have it


class Observer:
    """Books each execution once, moves each order's status forward, adopts what is not ours."""

    def __init__(self, orders: Orders, found: Callable[[Order, bool, Step], None], ask: Callable[[Step], None]) -> None:
        self._orders = orders
        self._found = found  # the venue showed this order (True: it should not be there): stop asking, cancel it if unwanted
        self._ask = ask  # something is missing: read the venue
        self.groups = Groups(orders, ask)
        self.proved: dict[int, int] = {}  # number -> mono of the last sighting
        self.missing: dict[int, int] = {}  # number -> filled quantity that the venue told and no fill explains yet
        self.held: dict[int, tuple[OrderStatus, VenueOrder]] = {}  # final states that wait for missing fills
        self.pending: dict[int, dict[int, Filled]] = {}  # number -> cumulative quantity -> a fill whose predecessor is missing
        self.broken: set[int] = set()  # orders of which fills contradict those that are booked: more of them would explain nothing
        self.trail: dict[int, set[int]] = {}  # instrument -> positions it had since the last snapshot was asked for
        self.flows: set[int] = set()  # cash flows since then
        self.moved: set[int] = set()  # instruments that a fact moved since the last snapshot that was folded in was asked for
        self.opening = 0  # venue ns of the snapshot that a new journal starts from
        self.strange: dict[str, int] = {}  # unknown words of the venue -> count
        self._seen_at: dict[int, int] = {}  # number -> the venue's updated_at of the newest sighting
        self._told: set[str] = set()  # alarms that were given
        self._halted = -1  # mono of the event in which a forgotten order asked for a halt

    # -------------------------------------------------------------------------------------------- the stream
    def on_update(self, update: TradeUpdate, step: Step, *, force: bool = False) -> None:
        """Reduce one event of the trading stream; force: nobody will tell more of whose order it is.

        Raises ValueError for a number that cannot be read, before anything changed.
        """
        if update.event not in EVENTS:
            self._stray(f"event {update.event}", step)
        seen = update.order
        exp = self.instrument(seen.symbol, step).qty_exp
        cum = units(seen.filled_qty, exp)
        is_fill = update.event in FILLS and update.price != "" and update.qty != ""
        px, qty = (to_units(update.price, PX_SCALE), to_units(update.qty, exp)) if is_fill else (0, 0)
        if is_fill and cum > qty and self._orders.find(seen.cid, seen.id) is None and not self._is_young(seen):
            self._ask(step)  # an execution before this one may be ours to count: only the list of fills tells
            return
        if self._orders.find(seen.cid, seen.id) is None and not force and self.groups.may_be_ours(seen):
            self.groups.park(update, step)
            return
        order = self.resolve(seen, step, before=cum - qty if is_fill else None)
        fresh = not order.venue_order_id
        if is_fill:
            self.grow(order, seen, step)
            self._book(order, seen.id, px, qty, cum, step, execution_id=update.execution_id, source="stream", ts=update.ts)
        elif update.event in CORRECTIONS:
            self._correct(order, update, exp, step)
            return
        self.observe(order, seen, step, event=update.event, fresh=fresh)

    # -------------------------------------------------------------------------------------------- orders
    def resolve(self, seen: VenueOrder, step: Step, *, before: int | None = None) -> Order:
        """The order that a venue order is: ours by cid, known by venue id, or adopted as external.

        before: the quantity that was filled before the first execution at hand; None where none is at hand.
        """
        order = self._orders.find(seen.cid, seen.id)
        if order is None:
            self._tell_foreign(seen, step)
            return self._adopt(seen, self._base(seen, before), step)
        if order.external or order.venue_order_id == seen.id:
            return order
        if order.venue_order_id:
            self._contradict(step, "TWO_ORDERS", f"cid {order.cid} names two venue orders: {order.venue_order_id}, {seen.id}")
            return self._adopt(seen, self._base(seen, before), step)
        if not same(order, seen, self._orders.instruments[order.instrument]):
            self._contradict(step, "CID_TAKEN", f"cid {order.cid} names another order at the venue: {seen.id}")
            return self._adopt(seen, self._base(seen, before), step)
        return order

    def observe(self, order: Order, seen: VenueOrder, step: Step, *, event: str = "", fresh: bool | None = None) -> None:
        """Move an order to where a sighting proves it is; a final state waits until every fill the venue told is booked."""
        number = order.number
        fresh = not order.venue_order_id if fresh is None else fresh
        status = STATUS.get(seen.status)
        if status is None:
            self._stray(f"status {seen.status}", step)
            status = OrderStatus.ACCEPTED
        filled = units(seen.filled_qty, self._orders.instruments[order.instrument].qty_exp)
        self.proved[number] = step.now.mono
        if filled > order.filled and number not in self.broken:
            self.missing[number] = max(filled, self.missing.get(number, 0))
            self._ask(step)
        appeared = order.status in _ABSENT or (fresh and order.status is OrderStatus.REJECTED and status is not order.status)
        if appeared:
            step.alarm("critical", "APPEARED", f"order {order.cid} was {order.status.name} and is {seen.status} at the venue")
        if not self._stale(number, seen, status) or fresh or appeared:
            self._move(order, seen, status, event, appeared, step)
        if order.group:
            self.groups.bind(order, seen, step, self.observe)
        anew = works_anew(order, seen, status, self._orders)
        if anew and (text := f"replacement {order.cid} goes on beyond what its chain is for: cancelled") not in self._told:
            self._told.add(text)
            step.alarm("critical", "OVERFILL", text)
        self._found(order, appeared or anew, step)

    def grow(self, order: Order, seen: VenueOrder, step: Step) -> None:
        """Before its fills are booked: what the venue added to an order (an exit follows its entry) is no overfill of it."""
        exp = self._orders.instruments[order.instrument].qty_exp
        if not order.qty < units(seen.filled_qty, exp) <= units(seen.qty, exp) or order.venue_order_id != seen.id:
            return
        if terms := terms_of(order, seen, exp):
            self._change(order, order.status, seen.id, order.filled, step, terms=terms)

    def restore(self, order: Order, reason: str, step: Step) -> None:
        """Give an order back the state its fills prove, after a wish to cancel or replace it came to nothing."""
        status = OrderStatus.PARTIAL if order.filled else OrderStatus.ACCEPTED
        self._change(order, status, order.venue_order_id, order.filled, step, reason=reason)

    def _stale(self, number: int, seen: VenueOrder, status: OrderStatus) -> bool:
        newest = self._seen_at.get(number, 0)
        self._seen_at[number] = max(newest, seen.updated_at)
        return seen.updated_at < newest and not status.is_final

    def _move(self, order: Order, seen: VenueOrder, status: OrderStatus, event: str, appeared: bool, step: Step) -> None:
        if status.is_final and order.number in self.pending:
            self._close_gap(order, seen, step)
        incomplete = self.missing.get(order.number, 0) > order.filled
        if status.is_final and incomplete and (order.is_open or appeared):
            self.held[order.number] = (status, seen)
            status = order.status if order.working else OrderStatus.ACCEPTED
        target = next_status(order, status, event, appeared)
        if target is OrderStatus.PENDING_REPLACE and status in _AT_WORK and not self._is_replacing(order.number):
            target = OrderStatus.PARTIAL if order.filled and status is not OrderStatus.HELD else status
        terms = terms_of(order, seen, self._orders.instruments[order.instrument].qty_exp)
        if target is not order.status or not order.venue_order_id or terms:
            reason = event if target in (OrderStatus.REJECTED, OrderStatus.CANCELED, OrderStatus.EXPIRED) else ""
            self._change(order, target, seen.id, filled_at_least(order, seen, self._orders), step, reason=reason, terms=terms)

    def _is_replacing(self, number: int) -> bool:
        """Whether a replacement of an order may still come; once it ended, the venue does not say again that the old one works."""
        return any(order.replaces == number for order in self._orders.open.values())

    def _change(
        self,
        order: Order,
        status: OrderStatus,
        venue_id: str,
        filled: int,
        step: Step,
        *,
        reason: str = "",
        terms: dict[str, int] | None = None,
    ) -> None:
        fact = OrderChanged(
            number=order.number,
            status=status,
            venue_order_id=venue_id,
            filled_qty=filled,
            reason=reason,
            ts=step.now.venue,
            tries=order.tries,
            **(terms or {}),
        )
        step.append(fact, Sync.SOON)
        if status.is_final:
            self.held.pop(order.number, None)

    # -------------------------------------------------------------------------------------------- fills
    def on_activity(self, fill: VenueFill, order: Order, step: Step) -> None:
        """Book a FILL activity. Raises ValueError for a number that cannot be read."""
        exp = self._orders.instruments[order.instrument].qty_exp
        px, qty, cum = to_units(fill.price, PX_SCALE), to_units(fill.qty, exp), to_units(fill.cum_qty, exp)
        self._book(order, fill.order_id, px, qty, cum, step, activity_id=fill.activity_id, source="activity", ts=fill.ts)

    def _book(
        self,
        order: Order,
        venue_id: str,
        px: int,
        qty: int,
        cum: int,
        step: Step,
        *,
        source: str,
        ts: int,
        execution_id: str = "",
        activity_id: str = "",
    ) -> None:
        key = (venue_id, cum)
        if ts <= self._orders.busted.get(key, -1):
            return  # a late word of what was taken back
        known = self._orders.fills.get(key)
        if known is not None:
            if key not in self._orders.corrected and (known.px, known.qty) != (px, qty):
                self._disagree(order, f"fill ({venue_id}, {cum}) came with other numbers from the {source}", step)
                if known.qty != qty:  # what follows it does not follow ours
                    self._give_up(order, step)
            return
        if cum <= order.base:
            return  # counted before this journal began
        fill = Filled(
            number=order.number,
            strategy=order.strategy,
            instrument=order.instrument,
            side=order.side,
            px=px,
            qty=qty,
            cum_qty=cum,
            venue_order_id=venue_id,
            execution_id=execution_id,
            activity_id=activity_id,
            source=source,
            ts=ts,
        )
        if qty <= 0 or px <= 0 or cum - qty < order.filled:
            self._disagree(order, f"fill ({venue_id}, {cum}) of {qty} does not follow {order.filled}", step)
            if order.number not in self.broken:
                self._ask(step)
            self._give_up(order, step)
        elif cum - qty > order.filled:
            if order.number in self.broken:
                return
            self.pending.setdefault(order.number, {})[cum] = fill
            self.missing[order.number] = max(cum, self.missing.get(order.number, 0))
            self._ask(step)
        else:
            self._append(order, fill, step)
            self._drain(order, step)
            self._settle(order, step)

    def _append(self, order: Order, fill: Filled, step: Step) -> None:
        self._note(fill, fill.instrument, step)
        if order.qty and order.filled > order.qty:
            step.alarm("critical", "OVERFILL", f"order {order.cid or fill.venue_order_id} has {order.filled} of {order.qty}")

    def _give_up(self, order: Order, step: Step) -> None:
        """An execution was taken back or changed unheard: the order ends as the venue shows, a human explains the position."""
        self.broken.add(order.number)
        self.missing.pop(order.number, None)
        self.pending.pop(order.number, None)
        if order.number in self.held:
            self._settle(order, step)

    def _close_gap(self, order: Order, seen: VenueOrder, step: Step) -> None:
        """The venue took back what lies before the fills at hand: with them it is as much as its order ended with."""
        waiting = self.pending[order.number]
        whole = order.filled + sum(fill.qty for fill in waiting.values())
        if whole == units(seen.filled_qty, self._orders.instruments[order.instrument].qty_exp):
            del self.pending[order.number]
            self.missing.pop(order.number, None)
            for cum in sorted(waiting):
                self._append(order, waiting[cum], step)

    def _drain(self, order: Order, step: Step) -> None:
        waiting = self.pending.get(order.number, {})
        for cum in sorted(waiting):
            fill = waiting[cum]
            if cum - fill.qty <= order.filled:
                del waiting[cum]
                if cum - fill.qty == order.filled:
                    self._append(order, fill, step)
        if not waiting:
            self.pending.pop(order.number, None)

    def _settle(self, order: Order, step: Step) -> None:
        if self.missing.get(order.number, 0) <= order.filled:
            self.missing.pop(order.number, None)
        held = self.held.get(order.number)
        if held is not None and order.number not in self.missing:
            status, seen = held
            self._change(order, next_status(order, status, "", True), seen.id, order.filled, step)
        elif order.qty and order.filled >= order.qty and order.status is not OrderStatus.FILLED:
            self._change(order, OrderStatus.FILLED, order.venue_order_id, order.filled, step)
        elif order.status is OrderStatus.ACCEPTED:
            self._change(order, OrderStatus.PARTIAL, order.venue_order_id, order.filled, step)

    def _correct(self, order: Order, update: TradeUpdate, exp: int, step: Step) -> None:
        """A bust or a correction: reversed exactly where the execution is known, else left to reconciliation."""
        step.alarm("critical", "CORRECTED", f"{update.event} of order {order.cid or order.venue_order_id}: {update.execution_id}")
        named = next((name for name in (update.previous_execution_id, update.execution_id) if name in self._orders.executions), "")
        reason = f"{update.event} {named} {update.ts} {update.execution_id}"
        px, qty = 0, 0
        if update.event != BUST:
            px = to_units(update.price, PX_SCALE) if update.price else 0
            qty = to_units(update.qty, exp) if update.qty else 0
        told = update.event == BUST or (px > 0 and qty > 0)
        if named and told and reason not in self._orders.corrections:
            old = self._orders.fills[self._orders.executions[named]]
            sign = 1 if order.side is Side.BUY else -1
            worth = self._orders.instruments[order.instrument].multiplier
            fact = PositionAdjusted(
                instrument=order.instrument,
                strategy=order.strategy,
                qty=sign * (qty - old.qty),
                cost=sign * (px * qty - old.px * old.qty) * worth // 10**exp,
                reason=reason,
                ts=update.ts,
            )
            self._note(fact, order.instrument, step)
            self.broken.discard(order.number)  # the list of fills was faster than this word
        self._ask(step)

    def _note(self, fact: Filled | PositionAdjusted, instrument: int, step: Step) -> None:
        """Journal what moves a position; a snapshot under way may show it before or after."""
        positions = self._orders.positions
        self.trail.setdefault(instrument, {positions.get(instrument, 0)})
        step.append(fact, Sync.SOON)
        self.trail[instrument].add(positions.get(instrument, 0))
        self.flows.add(self._orders.cash_flow)
        self.moved.add(instrument)

    # -------------------------------------------------------------------------------------------- what is not ours
    def instrument(self, symbol: str, step: Step) -> Instrument:
        """The instrument of a symbol; a new one gets the next id and the terms that its name tells."""
        instrument = self._orders.instruments.get(symbol)
        if instrument is None:
            instrument = stranger(symbol, self._orders.instruments.next_id())
            step.append(Defined(instrument=instrument), Sync.SOON)
        return instrument

    def exp_of(self, symbol: str) -> int:
        """The quantity exponent of a symbol, known or not."""
        instrument = self._orders.instruments.get(symbol)
        return 9 if instrument is None else instrument.qty_exp

    def _base(self, seen: VenueOrder, before: int | None) -> int:
        """How much of a foreign order this journal does not count: the opening position holds what was filled until then."""
        if self._is_young(seen):
            return 0
        return units(seen.filled_qty, self.exp_of(seen.symbol)) if before is None else before

    def _is_young(self, seen: VenueOrder) -> bool:
        """Whether the order was made after this journal began to count."""
        floor = self._orders.opened_at or self.opening
        return floor > 0 and seen.created_at >= floor

    def adopt_fill(self, fill: VenueFill, step: Step) -> Order:
        """The external order of an execution whose order the venue no longer lists: all that is known is what was filled."""
        exp = self.exp_of(fill.symbol)
        seen = VenueOrder(
            id=fill.order_id,
            cid="",
            symbol=fill.symbol,
            side=fill.side,
            type="market",
            tif="day",
            qty=fill.cum_qty,
            filled_qty=fill.cum_qty,
            status="filled",
            created_at=fill.ts,
        )
        self._tell_foreign(seen, step)
        return self._adopt(seen, to_units(fill.cum_qty, exp) - to_units(fill.qty, exp), step)

    def _adopt(self, seen: VenueOrder, base: int, step: Step) -> Order:
        instrument = self.instrument(seen.symbol, step)
        number = self._orders.last_number + 1
        status = STATUS.get(seen.status, OrderStatus.ACCEPTED)
        fact = ExternalSeen(
            number=number,
            venue_order_id=seen.id,
            cid=seen.cid,
            instrument=instrument.id,
            side=seen.side,
            type=TYPES.get(seen.type, OrderType.MARKET),
            tif=TIFS.get(seen.tif, TimeInForce.DAY),
            qty=units(seen.qty, instrument.qty_exp),
            limit_px=units(seen.limit_price, PX_SCALE),
            stop_px=units(seen.stop_price, PX_SCALE),
            filled_qty=base,
            status=OrderStatus.ACCEPTED if status.is_final else status,  # final only when its fills are booked
            ts=seen.created_at or step.now.venue,
        )
        step.append(fact, Sync.SOON)
        return self._orders.by_number[number]

    def _tell_foreign(self, seen: VenueOrder, step: Step) -> None:
        if self._orders.wrote(seen.cid):
            self._forgotten(seen, step)
        else:
            step.alarm("warning", "EXTERNAL_ORDER", f"order {seen.id} ({seen.symbol}) is not this journal's: counted as EXTERNAL")

    def _forgotten(self, seen: VenueOrder, step: Step) -> None:
        """An order of this journal that it does not know: it lost its end, or is a copy of one that went on. One halt for many."""
        text = f"the venue has order {seen.cid} of this journal, which has no such intent"
        if self._halted == step.now.mono or self._orders.latches.get("system") in ("HALTED", "KILLED"):
            step.alarm("warning", "CID_FORGOTTEN", text)
            return
        self._halted = step.now.mono
        step.alarm("critical", "CID_FORGOTTEN", text)
        step.kill("HALTED", "system", f"{text}: what it filled is the account's, and no strategy's")

    def forget(self, number: int) -> None:
        """An order was let go, and nothing of it is owed."""
        for kept in (self.proved, self.held, self.pending, self._seen_at):
            kept.pop(number, None)
        self.broken.discard(number)

    # -------------------------------------------------------------------------------------------- alarms
    def _contradict(self, step: Step, code: str, text: str) -> None:
        if text not in self._told:
            self._told.add(text)
            step.alarm("critical", code, text)
            step.kill("HALTED", "system", text)

    def _disagree(self, order: Order, text: str, step: Step) -> None:
        if text not in self._told:
            self._told.add(text)
            step.alarm("critical", "BREAK", text)
            step.kill("REDUCING", f"instrument:{order.instrument}", text)

    def _stray(self, word: str, step: Step) -> None:
        self.strange[word] = self.strange.get(word, 0) + 1
        if self.strange[word] == 1:
            step.alarm("warning", "UNKNOWN_WORD", f"the venue said {word}, which is not in its protocol; it is counted")
            self._ask(step)
