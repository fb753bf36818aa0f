"""The one request that cancels all that works at the venue: for a kill of the whole account where nothing but ours works."""

from collections.abc import Callable

from pyrt.execution.orders import Order, Orders
from pyrt.execution.step import Settings, Step
from pyrt.ports import AllCancelled, CancelAll

WHOLE = ("system", "account")
FEW = 2  # orders from which on one request is less than one for each
CALLS = 3  # of one kill: a call that the venue answered is the last
TIMER = "cancel_all"


class OneCall:
    """At most one call is under way, and it proves nothing: a view of the venue that was asked for after its answer tells what is
    left, which then goes by single requests. Only where the venue said nothing the call is made again.
    """

    def __init__(self, orders: Orders, settings: Settings, is_whole: Callable[[], bool]) -> None:
        """is_whole: whether all that is open at the venue is known, as far as it can be."""
        self._orders = orders
        self._settings = settings
        self._is_whole = is_whole
        self._left = 0  # calls that this kill may still make
        self._call = 0  # number of the last
        self._waits = False  # for its answer, or for what that did
        self._numbers: tuple[int, ...] = ()  # orders that wait with it; no request of their own leaves meanwhile
        self._answered = -1  # mono of its answer; -1 = it is under way

    def allow(self) -> None:
        """A kill of the whole begins."""
        self._left = CALLS

    def begin(self, orders: list[Order], step: Step, *, everything: bool) -> bool:
        """Ask for the end of all that works, these orders; False: it is no time for it, each needs a request of its own.

        everything: somebody wants the orders of others cancelled too, those that nobody here knows of among them.
        """
        wanted = (orders or self._left == CALLS) if everything else len(orders) >= FEW and self._all_ours()
        if self._waits or not self._left or not wanted:
            return False
        self._left -= 1
        self._call += 1
        self._waits, self._numbers, self._answered = True, tuple(order.number for order in orders), -1
        step.do(CancelAll(call=self._call))
        return True

    def _all_ours(self) -> bool:
        """Whether every open order of the account carries this journal's cid, or is an exit of one that does."""
        return self._is_whole() and not any(self._orders.foreign(order) for order in self._orders.open.values())

    def on_result(self, result: AllCancelled, step: Step) -> bool:
        """The answer, or that none came: what it did is looked at; False where it is of no call that anybody waits for."""
        if result.call != self._call or not self._waits or self._answered >= 0:
            return False
        self._answered = step.now.mono
        backoff = self._settings.backoff
        wait = backoff[min(CALLS - self._left, len(backoff)) - 1]
        if result.http == 207:
            self._left, wait = 0, backoff[-1]
        if result.http != 207 or result.refused:
            of = f"{len(self._numbers)} orders at once"
            how = f"refused {len(result.refused)} of them" if result.http == 207 else result.text or f"HTTP {result.http}"
            step.alarm("warning", "CANCEL_ALL", f"cancelling {of}: {how}")
        step.wake(TIMER, wait)
        return True

    def judged(self, asked: int) -> tuple[int, ...]:
        """The orders that wait no more, where a view that was asked for at `asked` (mono) shows what the call did."""
        return self.release() if 0 <= self._answered <= asked else ()

    def release(self) -> tuple[int, ...]:
        """The orders that waited, which nobody waits with any more; none while the call is under way."""
        if self._answered < 0:
            return ()
        numbers, self._waits, self._numbers, self._answered = self._numbers, False, (), -1
        return numbers
