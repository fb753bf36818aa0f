"""Wishes that an order ends: single cancels, and sweeps that cancel a whole scope and verify that nothing is left."""

from collections.abc import Callable, Container, Iterator
from contextlib import contextmanager

import msgspec

from pyrt._core.types import format_units
from pyrt.execution.cancel_all import WHOLE, OneCall
from pyrt.execution.orders import Order, Orders
from pyrt.execution.step import Settings, Step
from pyrt.execution.submit import Submitter
from pyrt.model import CancelIntent, CancelWanted, Intent, Latched, OrderChanged, OrderStatus
from pyrt.ports import AllCancelled, Cancel, CancelResult, Kill, Stop, Sync

STOPPED = "stop"
ENTRIES = "entries of "
_CLOSED = ("HALTED", "KILLED")


class Wish(msgspec.Struct):
    """That one order be cancelled."""

    tries: int = 0
    under_way: bool = False
    asked: int = 0  # mono of the last DELETE


class Canceller:
    """Cancels until the venue proves an end; a wish for an order of unknown fate waits until it is found."""

    def __init__(
        self,
        orders: Orders,
        settings: Settings,
        ask: Callable[[Step], None],
        over: Container[int],
        is_whole: Callable[[], bool] = lambda: False,
    ) -> None:
        """over: numbers of orders that the venue ended and of which fills are still missing: no DELETE does anything to them.

        is_whole: whether all that is open at the venue is known; else nothing is cancelled but order by order.
        """
        self._orders = orders
        self._over = over
        self._settings = settings
        self._ask = ask
        self._one_call = OneCall(orders, settings, is_whole)
        self._held: list[Order] | None = None  # what is cancelled together, once all of it is known; None = each at once
        self.wishes: dict[int, Wish] = {}
        self.sweeps: dict[str, int] = {}  # scope, or STOPPED -> snapshots in a row that showed nothing left
        self._blocked: set[str] = set()  # scopes that a Kill closed before its fact came
        self._everything = False  # the sweep of a whole scope takes the orders of others along
        self.stopped = False

    # -------------------------------------------------------------------------------------------- who is barred
    def halted(self, scope: str) -> bool:
        """Whether a scope's latch is at HALTED or above."""
        return scope in self._blocked or self._orders.latches.get(scope) in _CLOSED

    @property
    def any_closed(self) -> bool:
        """Whether any scope is."""
        latches = self._orders.latches
        return bool(self._blocked) or (bool(latches) and any(level in _CLOSED for level in latches.values()))

    def barred(self, order: Order) -> bool:
        """Whether nobody wants this order at the venue any more."""
        if order.number in self.wishes or order.unwanted:
            return True
        if order.external:  # where this journal lost its intent, nobody knows whether it only reduces: a latch alone decides
            return not self._orders.foreign(order) and any(self.halted(scope) for scope in _scopes(order))
        return self.bars(order) != ""

    def bars(self, wanted: Order | Intent) -> str:
        """The scope that is closed for an order or an intent; "" where none is."""
        if self.stopped and not wanted.reduce_only:
            return STOPPED
        if not self._blocked and not self._orders.latches:
            return ""
        return next((scope for scope in _scopes(wanted) if self.halted(scope)), "")

    # -------------------------------------------------------------------------------------------- single orders
    def on_intent(self, intent: CancelIntent, submitter: Submitter, step: Step) -> None:
        """Cancel the order that an intent names; one that is final already stays so."""
        number = self._orders.by_source.get((intent.strategy, intent.source))
        if intent.venue_order_id:
            number = self._orders.by_venue_id.get(intent.venue_order_id)
        order = self._orders.by_number.get(number) if number is not None else None
        if order is None and 0 < intent.source <= self._orders.past.sources.get(intent.strategy, 0):
            return  # it is over for so long that it was let go
        if order is None:
            name = intent.venue_order_id or f"{intent.strategy}/{intent.source}"
            step.alarm("warning", "NO_SUCH_ORDER", f"nothing to cancel: no order {name}")
        elif order.is_open:
            self.want(order, submitter, step)

    def want(self, order: Order, submitter: Submitter, step: Step) -> None:
        """Cancel an open order now, or as soon as it is known where it is."""
        if not submitter.drop(order, "cancelled before it was sent", step):
            self.wishes.setdefault(order.number, Wish())
            if not order.working and order.is_open and not order.unwanted:
                step.append(CancelWanted(number=order.number, ts=step.now.venue), Sync.SOON)
            self.press(order, step)

    def press(self, order: Order, step: Step) -> None:
        """Send the DELETE of an unwanted working order, unless one is under way or was answered a moment ago."""
        if not order.working or not self.barred(order) or order.number in self._over:
            return
        wish = self.wishes.setdefault(order.number, Wish())
        pause = self._settings.backoff[min(wish.tries, len(self._settings.backoff)) - 1] if wish.tries else 0
        if wish.under_way or (wish.tries and step.now.mono < wish.asked + pause):
            return
        if order.status is not OrderStatus.PENDING_CANCEL:
            fact = OrderChanged(
                number=order.number,
                status=OrderStatus.PENDING_CANCEL,
                venue_order_id=order.venue_order_id,
                filled_qty=order.filled,
                ts=step.now.venue,
                tries=order.tries,
            )
            step.append(fact, Sync.SOON)
        wish.tries, wish.under_way, wish.asked = wish.tries + 1, True, step.now.mono
        if self._held is None:
            self._delete(order, step)
        else:
            self._held.append(order)

    def _delete(self, order: Order, step: Step) -> None:
        symbol = self._orders.instruments[order.instrument].symbol
        step.do(Cancel(number=order.number, venue_order_id=order.venue_order_id, symbol=symbol))

    def on_result(self, result: CancelResult, step: Step) -> None:
        """A DELETE was answered: wait for the stream, look where it was refused, try again where it was lost."""
        order, wish = self._orders.by_number.get(result.number), self.wishes.get(result.number)
        if order is None or wish is None:
            return
        wish.under_way = False
        if not order.is_open:
            self.wishes.pop(result.number)
            return
        if result.http in (404, 422):
            step.do(order.lookup)
        backoff = self._settings.backoff
        step.wake(f"cancel.{order.number}", backoff[min(wish.tries, len(backoff)) - 1])

    def on_all(self, result: AllCancelled, step: Step) -> None:
        """A DELETE of all was answered, or was not: the venue is read, which alone tells what became of each order."""
        if self._one_call.on_result(result, step):
            self._ask(step)

    def on_all_timer(self, step: Step) -> None:
        """No view came that shows what a DELETE of all did."""
        self._press_again(self._one_call.release(), step)

    def _press_again(self, numbers: tuple[int, ...], step: Step) -> None:
        with self.together(step):
            for number in numbers:
                if number in self.wishes:
                    self.wishes[number].under_way = False
                    self.on_retry(number, step)

    @contextmanager
    def together(self, step: Step) -> Iterator[None]:
        """Cancel what is pressed within at its end: by one request where a whole scope is swept and it may be, else singly."""
        if self._held is not None:
            yield
            return
        self._held = []
        try:
            yield
        finally:
            held, self._held = self._held, None
            swept = any(scope in self.sweeps for scope in WHOLE)
            if not (swept and self._one_call.begin(held, step, everything=self._everything)):
                for order in held:
                    self._delete(order, step)

    def on_retry(self, number: int, step: Step) -> None:
        """The wait before another DELETE is over."""
        order = self._orders.by_number.get(number)
        if order is not None:
            self.press(order, step)

    def seen(self, order: Order, step: Step) -> None:
        """The venue showed an order."""
        if order.is_open:
            self.press(order, step)
        else:
            self.wishes.pop(order.number, None)

    def refused(self, order: Order) -> None:
        """The venue would not cancel it: a single wish ends here, a latch keeps pressing."""
        self.wishes.pop(order.number, None)

    # -------------------------------------------------------------------------------------------- scopes
    def on_kill(self, kill: Kill, submitter: Submitter, step: Step) -> None:
        """Close a scope: what the level forbids is not sent any more, and what works of it is cancelled and verified gone."""
        if kill.level in _CLOSED:
            self._blocked.add(kill.scope)
            self._everything |= kill.everything and kill.scope in WHOLE
            self._sweep(kill.scope, submitter, step)
        elif kill.level == "REDUCING":
            self._sweep(ENTRIES + kill.scope, submitter, step)

    def on_stop(self, stop: Stop, submitter: Submitter, step: Step) -> None:
        """Cancel entries; orders that only reduce stay."""
        self.stopped = True
        self._sweep(STOPPED, submitter, step)

    def on_latched(self, latched: Latched) -> None:
        """A latch's fact came: an open one ends what a Kill began here."""
        if latched.level not in _CLOSED:
            self._blocked.discard(latched.scope)
            self.sweeps.pop(latched.scope, None)
            self.sweeps.pop(ENTRIES + latched.scope, None)
            self._everything &= any(scope in self.sweeps for scope in WHOLE)

    def resume_sweeps(self, submitter: Submitter, step: Step) -> None:
        """After a restart: what a latch covers is still to be cancelled."""
        for scope, level in self._orders.latches.items():
            if level in _CLOSED:
                self._sweep(scope, submitter, step)
            elif level == "REDUCING":
                self._sweep(ENTRIES + scope, submitter, step)

    def on_snapshot(self, asked: int, submitter: Submitter, step: Step) -> None:
        """Verify the sweeps. An order counts as left until the venue's word or a proof of absence makes it final.

        asked: mono at which the snapshot was asked for.
        """
        self._press_again(self._one_call.judged(asked), step)
        with self.together(step):
            self._verify(submitter, step)
        if self.sweeps:
            step.wake("sweep", self._settings.snapshot_gap)

    def _verify(self, submitter: Submitter, step: Step) -> None:
        for scope in list(self.sweeps):
            left = [order for order in self._orders.open.values() if self._covers(scope, order)]
            self.sweeps[scope] = 0 if left else self.sweeps[scope] + 1
            for order in left:
                self.want(order, submitter, step)
            if self.sweeps[scope] >= 2:
                del self.sweeps[scope]
                step.alarm("info", "SWEPT", f"{scope}: no open order left, verified twice")
                self._tell_foreign(step)
        self._everything &= any(scope in self.sweeps for scope in WHOLE)

    def _sweep(self, scope: str, submitter: Submitter, step: Step) -> None:
        self.sweeps[scope] = 0
        if scope in WHOLE:
            self._one_call.allow()
        with self.together(step):
            for order in list(self._orders.open.values()):
                if self._covers(scope, order):
                    self.want(order, submitter, step)
        self._ask(step)
        step.wake("sweep", self._settings.snapshot_gap)

    def _covers(self, scope: str, order: Order) -> bool:
        if order.external:
            return scope in _scopes(order) and (not self._orders.foreign(order) or (self._everything and scope in WHOLE))
        if scope == STOPPED:
            return not order.reduce_only
        if scope.startswith(ENTRIES):
            return not order.reduce_only and scope.removeprefix(ENTRIES) in _scopes(order)
        return scope in _scopes(order)

    def _tell_foreign(self, step: Step) -> None:
        foreign = [order for order in self._orders.open.values() if self._orders.foreign(order)]
        if foreign:
            leaves = format_units(sum(order.qty - order.filled for order in foreign))
            step.alarm(
                "warning", "EXTERNAL_LEFT", f"{len(foreign)} open orders ({leaves} units) are not this journal's: left alone"
            )


def _scopes(order: Order | Intent) -> tuple[str, str, str, str]:
    return ("system", "account", f"strategy:{order.strategy}", f"instrument:{order.instrument}")
