"""The fast lane: a plain order is decided natively, its record journaled and its body made, before any object of it exists.

    callback -> Lane.decide -> record into the journal, body to the broker -> fact, views, command, as ever

What follows the decision is the way that every order takes, with the answer known: in the shadow of the record's sync the same
facts are made and applied, and the shell holds the fact against the record that it has. An order that the lane does not surely
approve, and everything that it does not know, takes that way from the start.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING

from pyrt.clock import Now
from pyrt.execution.cid import start_of
from pyrt.model import AssetSeen, Defined, Fact, Intent, LimitsSet
from pyrt.risk.lane import RiskLane
from pyrt.strategies import Order

if TYPE_CHECKING:
    from pyrt.session import Session

SOURCE = (1 << 48) - 1  # of an Intent's key
# number, record, body, now: an order was decided; its fact follows.
Intend = Callable[[int, bytes, bytes, Now], None]


class FastLane:
    """The lane of one session."""

    def __init__(self, session: "Session", intend: Intend) -> None:
        self._session = session
        self._manager, self._execution = session.risk, session.execution
        self._intend = intend
        self._risk = RiskLane(session.risk, *start_of(session.execution.journal_id))
        self.core = self._risk.core
        self._ahead = 0  # key of what was decided before there was an intent of it
        self._number = 0  # of the order whose fact is still to come
        self.decided = 0  # orders, in this life
        self._seen: Intent | Order | None = None  # the last that took the other way

    def take(self, intent: Intent | Order, now: Now) -> None:
        """Decide an intent at once, if that can be; an Order is its Intent, which is not needed for it."""
        key = intent.key if type(intent) is Intent else intent._key  # type: ignore[union-attr]
        if self._ahead:
            if key != self._ahead:
                raise RuntimeError(f"order {self._number} was decided for another intent than {key}")
            self._ahead = 0
        elif self._is_fresh(key >> 48, key & SOURCE) and self._decides(intent, now):
            self._go(now)
        else:
            self._seen = intent
            return
        self._manager.grant(key)

    def decided_before(self, now: Now) -> None:
        """What a compiled strategy asked for was decided before there is an intent of it; that one must come next."""
        self._ahead = self.core.key
        self._go(now)

    def _is_fresh(self, strategy: int, source: int) -> bool:
        return source > self._session.desk.answered(strategy)

    def _decides(self, intent: Intent | Order, now: Now) -> bool:
        if not isinstance(intent, Intent):
            return self.core.decide_order(intent, now.venue, now.mono)
        try:
            return self.core.decide(intent, now.venue, now.mono)
        except (OverflowError, TypeError):  # a term that no order can have: the rules say so
            return False

    def _go(self, now: Now) -> None:
        self._number = self.core.number
        self.decided += 1
        self._intend(self._number, self.core.record, self.core.body, now)

    def refresh(self, now: Now) -> None:
        """Everything is handled: be ready for the next order. Raises RuntimeError where what was decided became no order."""
        if self._number:
            if self._ahead or self._number not in self._execution.orders:
                raise RuntimeError(f"order {self._number} was decided, and no fact followed")
            self._number = 0
        if self._seen is not None:
            self._risk.learn(self._seen if isinstance(self._seen, Intent) else self._seen.intent, now.venue)
            self._seen = None
        number = self._execution.next_after(self._manager.epoch, self._manager.approval)
        if number is None:
            self.core.close()
        else:
            self._risk.open(now.venue, number)

    def told(self, fact: Fact) -> None:
        """A fact was applied: what it changes must be told first."""
        self.core.close()
        if isinstance(fact, AssetSeen | Defined | LimitsSet):
            self.core.forget()

    def forget(self) -> None:
        """Who may trade what is told anew."""
        self.core.forget()

    def close(self) -> None:
        """Decide nothing until the next `refresh`."""
        self.core.close()
