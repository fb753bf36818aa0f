"""From an approval to an order at the venue that is there once, or proved not to be there.

An attempt that may have reached the venue makes the order UNKNOWN; only a look-up begun after the attempt's deadline and
settle time proves absence, and only the life that sent it may repeat it, under the same cid.
"""

from collections.abc import Callable
from typing import Any

import msgspec

from pyrt._core.types import format_units
from pyrt.clock import SECOND
from pyrt.execution.observe import Observer
from pyrt.execution.orders import ENTRY, Order, Orders
from pyrt.execution.sighting import RATIO_EXP
from pyrt.execution.step import Settings, Step
from pyrt.model import Approved, Breach, Instrument, Intended, Intent, OrderChanged, OrderClass, OrderStatus, Refused
from pyrt.ports import Found, Lookup, LookupResult, OrderRequest, Outcome, Replace, Submit, SubmitResult, Sync, Withdraw

NEVER_LEFT = "MaxRetriesExceeded"
NOT_REPLACEABLE = 422


class Attempt(msgspec.Struct, gc=False):
    """What this life knows of one order on its way to the venue."""

    ours: bool  # this life sent it, so this life may repeat it
    sent: int  # mono of the last attempt's command
    begins_by: int = 0  # mono after which the shell does not begin it: until then it may wait for the request budget
    prove_after: int = 0  # mono; an absence seen by a look-up begun before it proves nothing
    ordinal: int = 0  # of the last attempt begun, over all lives
    under_way: bool = False  # its answer is still to come
    overdue: bool = False  # its answer should have come
    unsent: int = 0  # attempts that provably never left
    refused: str = ""  # a venue's refusal that is not the last word: an earlier attempt was ambiguous, or see `unproved`
    code: int = 0  # of that refusal
    unproved: bool = False  # nothing was ambiguous, but one look-up must say that the venue has no such order
    duplicate: bool = False  # the venue said that the cid exists
    lookups: int = 0
    looking: int = 0  # mono when the look-up under way was asked for; 0 = none


class Submitter:
    """The submit algorithm: one attempt at a time, look-ups until an ambiguous one is explained."""

    def __init__(
        self, orders: Orders, observer: Observer, settings: Settings, barred: Callable[[Order], bool], bars: Callable[[Intent], str]
    ) -> None:
        self._orders = orders
        self._observer = observer
        self._settings = settings
        self._barred = barred  # a cancel or a latch: no further attempt
        self._bars = bars  # the scope that is closed for an intent; "" = none
        self.attempts: dict[int, Attempt] = {}
        self._approval = 0
        self._approval_epoch = 0

    # -------------------------------------------------------------------------------------------- approvals
    def on_approved(self, approved: Approved, step: Step, *, ready: bool) -> None:
        """Intend and send, or refuse; the same intent twice is one order."""
        intent = approved.intent
        orders = self._orders
        if (intent.strategy, intent.source) in orders.by_source:
            return
        fault = self._fault(approved, step, ready)
        if fault is not None:
            refused = Refused(intent=intent, breaches=(fault,), ts=step.now.venue)
            step.append(refused, Sync.SOON)
            step.publish(refused)
            return
        old = orders.by_number[orders.by_source[intent.strategy, approved.replaces]] if approved.replaces else None
        number = orders.last_number + 1
        fact = Intended(
            number=number,
            intent=intent,
            epoch=approved.epoch,
            approval=approved.approval,
            limits_version=approved.limits_version,
            ref_px=approved.ref_px,
            replaces=old.number if old is not None else 0,
            root=old.root if old is not None else number,
            ts=step.now.venue,
        )
        step.append(fact, Sync.BEFORE_ACT)
        if old is not None:
            self._change(old, OrderStatus.PENDING_REPLACE, step)
        self._send(orders.by_number[number], step)

    def follows(self, epoch: int, approval: int) -> bool:
        """Whether an approval is the last that was seen, so that the next one is expected."""
        return epoch == self._approval_epoch and approval == self._approval

    def _fault(self, approved: Approved, step: Step, ready: bool) -> Breach | None:
        """Why an approval is not acted upon; None where it is."""
        intent = approved.intent
        if approved.epoch != self._orders.epoch:
            return Breach(code="EPOCH", limit=str(self._orders.epoch), observed=str(approved.epoch))
        if approved.epoch != self._approval_epoch:
            self._approval_epoch, self._approval = approved.epoch, 0
        last = self._approval
        if approved.approval <= last:
            return Breach(code="SEQUENCE", limit=str(last + 1), observed=str(approved.approval))
        self._approval = approved.approval
        if approved.approval != last + 1 and last:
            step.alarm("warning", "APPROVAL_GAP", f"approval {approved.approval} followed {last}")
        if not ready:
            return Breach(code="NOT_RECONCILED", limit="recovered", observed="recovering")
        if step.now.mono > approved.valid_until_mono:
            return Breach(code="EXPIRED", limit=str(approved.valid_until_mono), observed=str(step.now.mono))
        if self._orders.instruments.known(intent.instrument) is None:
            return Breach(code="INSTRUMENT", limit="defined", observed=str(intent.instrument))
        if intent.source <= self._orders.past.sources.get(intent.strategy, 0):
            return Breach(code="DUPLICATE", limit="once", observed="an order that is over")
        if closed := self._bars(intent):
            return Breach(code="KILLED", limit="ACTIVE", observed=closed)
        if approved.replaces:
            old = self._orders.by_number.get(self._orders.by_source.get((intent.strategy, approved.replaces), 0))
            if old is None or not _replaceable(old):
                return Breach(code="REPLACE", limit="ACCEPTED", observed=old.status.name if old else "no such order")
            before = self._orders.by_number.get(old.replaces)
            if before is not None and before.is_open:  # the venue may still undo what put this one in its place
                return Breach(code="REPLACE", limit="REPLACED", observed=f"order {before.number} is {before.status.name}")
        return None

    # -------------------------------------------------------------------------------------------- attempts
    def _send(self, order: Order, step: Step) -> None:
        """Begin an attempt, or end the order here where it may no longer be sent."""
        attempt = self.attempts.get(order.number)
        if step.now.venue > order.valid_until:
            self._end_unsent(order, "valid_until passed", step)
            return
        if self._barred(order):
            self._end_unsent(order, "cancelled before it was sent", step)
            return
        old = self._orders.by_number.get(order.replaces) if order.replaces else None
        if order.replaces and (old is None or not old.working):
            self._end_unsent(order, "the order it replaces is no longer working", step)
            return
        if attempt is None:
            attempt = self.attempts[order.number] = Attempt(ours=True, sent=step.now.mono)
        attempt.sent, attempt.under_way, attempt.overdue = step.now.mono, True, False
        attempt.ordinal = ordinal = order.tries + 1
        attempt.begins_by = step.now.mono + int((order.valid_until - step.now.venue) / self._settings.rate)
        request, until = request_of(order, self._orders.instruments[order.instrument]), order.valid_until
        if old is None:
            step.do(Submit(request=request, attempt=ordinal, valid_until=until))
        else:
            step.do(Replace(venue_order_id=old.venue_order_id, request=request, attempt=ordinal, valid_until=until))

    def on_result(self, result: SubmitResult, step: Step) -> None:
        """Judge the end of an attempt. Raises ValueError for an order whose numbers cannot be read."""
        order = self._orders.by_number.get(result.number)
        if order is None:
            return
        attempt = self.attempts.get(result.number)
        seen = result.order
        if attempt is not None and attempt.under_way and result.attempt == attempt.ordinal:
            attempt.under_way = False
            sent = result.sent_mono or attempt.sent
            attempt.prove_after = max(sent + self._settings.deadline, step.now.mono) + self._settings.settle
        elif seen is None:
            return  # the order's fate was proved before the answer came
        if result.outcome is Outcome.ACCEPTED and seen is not None and seen.cid == order.cid:
            proved = self._observer.resolve(seen, step)
            self._observer.observe(proved, seen, step)
            return
        if attempt is None:
            return
        self._judge(order, attempt, result, step)

    def _judge(self, order: Order, attempt: Attempt, result: SubmitResult, step: Step) -> None:
        outcome = result.outcome
        if outcome is Outcome.DUPLICATE:
            attempt.duplicate = True
            self._unknown(order, attempt, result.text, step, after=0)
        elif order.ambiguous:
            if outcome is Outcome.REJECTED:
                attempt.refused = result.text or str(result.code)
            self._unknown(order, attempt, result.text, step)
        elif outcome is Outcome.NOT_SENT:
            self._retry(order, attempt, result, step)
        elif outcome is Outcome.RATE_LIMITED:
            self._change(order, OrderStatus.INTENT, step, reason=result.text, tries=result.attempt)
            step.wake_at(f"retry.{order.number}", max(result.retry_at_mono, step.now.mono + SECOND // 10))
        elif outcome is Outcome.REJECTED and order.replaces and result.http == NOT_REPLACEABLE:
            # A balancer may have sent our request twice: the second copy is refused for what the first one did.
            attempt.refused, attempt.code, attempt.unproved = result.text or str(result.code), result.code, True
            self._unknown(order, attempt, result.text, step, after=0)
        elif outcome is Outcome.REJECTED:
            self._change(order, OrderStatus.REJECTED, step, reason=result.text, code=result.code, tries=result.attempt)
        else:
            self._unknown(order, attempt, result.text, step)

    def _retry(self, order: Order, attempt: Attempt, result: SubmitResult, step: Step) -> None:
        backoff = self._settings.backoff
        attempt.unsent += 1
        if step.now.venue > order.valid_until:
            order_end, reason = OrderStatus.CANCELED_LOCAL, "valid_until passed"
        elif self._barred(order):
            order_end, reason = OrderStatus.CANCELED_LOCAL, "cancelled before it was sent"
        elif attempt.unsent > self._settings.max_tries:
            order_end, reason = OrderStatus.REJECTED, NEVER_LEFT
        else:
            self._change(order, OrderStatus.INTENT, step, reason=result.text, tries=result.attempt)
            step.wake(f"retry.{order.number}", backoff[min(attempt.unsent, len(backoff)) - 1])
            return
        self._change(order, order_end, step, reason=reason, tries=result.attempt)

    def on_retry(self, number: int, step: Step) -> None:
        """The wait before another attempt is over."""
        order, attempt = self._orders.by_number.get(number), self.attempts.get(number)
        if order is not None and attempt is not None and order.status is OrderStatus.INTENT and not attempt.under_way:
            self._send(order, step)

    def drop(self, order: Order, reason: str, step: Step) -> bool:
        """End an order that provably never left; False where an attempt was ambiguous, or is under way.

        One under way may still wait in the shell: it is asked back, and its NOT_SENT then ends the order.
        """
        attempt = self.attempts.get(order.number)
        if attempt is not None and attempt.under_way:
            step.do(Withdraw(number=order.number))
            return False
        if order.status is not OrderStatus.INTENT or attempt is None:
            return False
        self._end_unsent(order, reason, step)
        return True

    def _end_unsent(self, order: Order, reason: str, step: Step) -> None:
        self._change(order, OrderStatus.CANCELED_LOCAL, step, reason=reason)

    # -------------------------------------------------------------------------------------------- look-ups
    def doubt(self, order: Order, step: Step) -> None:
        """After a restart: an intent that no page shows may still land; only its absence after deadline and settle ends it.

        They run from the end of the life that sent it, which the next one's beginning bounds: later starts wait no longer.
        """
        landing = self._settings.deadline + self._settings.settle
        over = max(step.now.venue - (self._orders.life_ended(order) or step.now.venue), 0)
        prove_after = max(step.now.mono + max(landing - int(over / self._settings.rate), 0), 1)
        attempt = self.attempts[order.number] = Attempt(ours=False, sent=step.now.mono, prove_after=prove_after)
        self._unknown(order, attempt, "not on the venue's pages after a restart", step, after=0)

    def overdue(self, step: Step) -> None:
        """An attempt whose answer never came counts as ambiguous; without the answer its absence is never proved."""
        limit = step.now.mono - self._settings.deadline - self._settings.settle
        for number, attempt in list(self.attempts.items()):
            if attempt.under_way and not attempt.overdue and max(attempt.sent, attempt.begins_by) < limit:
                attempt.overdue = True
                order = self._orders.by_number[number]
                step.alarm("critical", "NO_ANSWER", f"attempt {attempt.ordinal} of {order.cid} was never answered")
                self._unknown(order, attempt, "no answer", step)

    def _unknown(self, order: Order, attempt: Attempt, reason: str, step: Step, *, after: int | None = None) -> None:
        tries = max(order.tries, 0 if attempt.under_way else attempt.ordinal)
        if order.status is not OrderStatus.UNKNOWN or tries != order.tries:
            self._change(order, OrderStatus.UNKNOWN, step, reason=reason, tries=tries)
        attempt.lookups = 0
        self._look_again(order.number, attempt, step, after=after)

    def _look_again(self, number: int, attempt: Attempt, step: Step, *, after: int | None = None) -> None:
        if after is None:
            backoff = self._settings.lookup_backoff
            after = backoff[min(attempt.lookups, len(backoff) - 1)]
            attempt.lookups += 1
        at = step.now.mono + after
        if step.now.mono < attempt.prove_after < at:
            at = attempt.prove_after
        if after == 0 and not attempt.looking:
            self.on_look(number, step)
        else:
            step.wake_at(f"lookup.{number}", at)

    def on_look(self, number: int, step: Step) -> None:
        """Time to ask the venue for a cid."""
        order, attempt = self._orders.by_number.get(number), self.attempts.get(number)
        if order is None or attempt is None or order.status is not OrderStatus.UNKNOWN:
            return
        now = step.now.mono
        if attempt.looking and now < attempt.looking + self._settings.query_lost:
            return
        if sum(1 for other in self.attempts.values() if other.looking) >= self._settings.lookups:
            step.wake(f"lookup.{number}", self._settings.lookup_backoff[0])
            return
        attempt.looking = now or 1
        step.do(Lookup(number=number, cid=order.cid))

    def on_lookup(self, result: LookupResult, step: Step) -> None:
        """Judge a look-up of an order whose fate is open. Raises ValueError for an order whose numbers cannot be read."""
        order, attempt = self._orders.by_number.get(result.number), self.attempts.get(result.number)
        if order is None or attempt is None or order.status is not OrderStatus.UNKNOWN:
            return
        asked, attempt.looking = attempt.looking, 0
        seen = result.order
        if result.found is Found.FOUND and seen is not None:
            if attempt.duplicate and seen.created_at < order.ts - int(5 * SECOND * self._settings.rate):
                text = f"cid {order.cid} was used before this intent was made, at {seen.created_at}"
                step.alarm("critical", "CID_TAKEN", text)
                step.kill("HALTED", "system", text)
                self.attempts.pop(order.number)
                return
            proved = self._observer.resolve(seen, step)
            self._observer.observe(proved, seen, step)
            if proved is not order:  # our cid is taken: a human decides
                self.attempts.pop(order.number, None)
            return
        proof = result.found is Found.ABSENT and not attempt.under_way and (0 < attempt.prove_after <= asked or attempt.unproved)
        if proof:
            self._absent(order, attempt, step)
        else:
            self._look_again(order.number, attempt, step)

    def _absent(self, order: Order, attempt: Attempt, step: Step) -> None:
        if attempt.unproved:
            self._change(order, OrderStatus.REJECTED, step, reason=attempt.refused, code=attempt.code)
            return
        wanted = attempt.ours and not attempt.refused and not order.replaces and not self._barred(order)
        if wanted and step.now.venue <= order.valid_until and order.tries <= self._settings.max_tries:
            attempt.duplicate = False
            self._send(order, step)
        else:
            self._abandon(order, attempt, step)

    def _abandon(self, order: Order, attempt: Attempt, step: Step) -> None:
        self._change(order, OrderStatus.ABANDONED, step, reason=attempt.refused or "proved absent")

    # -------------------------------------------------------------------------------------------- bookkeeping
    def forget(self, number: int) -> None:
        """The venue showed the order: nothing is repeated or looked up any more."""
        self.attempts.pop(number, None)

    def _change(
        self, order: Order, status: OrderStatus, step: Step, *, reason: str = "", code: int = 0, tries: int | None = None
    ) -> None:
        fact = OrderChanged(
            number=order.number,
            status=status,
            venue_order_id=order.venue_order_id,
            filled_qty=order.filled,
            code=code,
            reason=reason,
            ts=step.now.venue,
            tries=order.tries if tries is None else tries,
        )
        step.append(fact, Sync.SOON)
        if status.is_final:
            self.attempts.pop(order.number, None)


def _replaceable(order: Order) -> bool:
    """Working, or an exit that waits: its prices may change."""
    return order.status in (OrderStatus.ACCEPTED, OrderStatus.PARTIAL) or (order.status is OrderStatus.HELD and bool(order.role))


def request_of(order: Order, instrument: Instrument) -> OrderRequest:
    """An order in the venue's words; a function of the intent and its number alone, so each attempt sends the same bytes."""
    intent, first = order.intent, order.number == order.group
    if intent is not None and not (order.group or order.trail_px or order.trail_ratio):
        exp = instrument.qty_exp
        return OrderRequest(
            number=order.number,
            cid=order.cid,
            symbol=instrument.symbol,
            side=order.side,
            type=order.type,
            tif=order.tif,
            qty=format_units(order.qty, exp),
            limit_price=format_units(order.limit_px) if order.limit_px else "",
            stop_price=format_units(order.stop_px) if order.stop_px else "",
            extended_hours=intent.extended_hours,
        )
    follows = order.role not in ("", ENTRY) and not first  # an exit's quantity is its entry's
    return OrderRequest(
        number=order.number,
        cid=order.cid,
        symbol=instrument.symbol,
        side=order.side,
        type=order.type,
        tif=order.tif,
        qty="" if follows else format_units(order.qty, instrument.qty_exp),
        limit_price=format_units(order.limit_px) if order.limit_px else "",
        stop_price=format_units(order.stop_px) if order.stop_px else "",
        extended_hours=intent is not None and intent.extended_hours,
        trail_price=format_units(order.trail_px) if order.trail_px else "",
        trail_percent=format_units(order.trail_ratio, RATIO_EXP) if order.trail_ratio else "",
        **(_exits(intent) if intent is not None and first else {}),
    )


def _exits(intent: Intent) -> dict[str, Any]:
    target_px = intent.limit_px if intent.order_class is OrderClass.OCO else intent.target_px  # what risk has judged
    prices = {"take_profit": target_px, "stop_loss": intent.guard_px, "stop_loss_limit": intent.guard_limit_px}
    return {"order_class": intent.order_class, **{name: format_units(px) for name, px in prices.items() if px}}
