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
        self.core.hand_to(self._hand, session.desk._used)
        self._ahead = 0  # key of what was decided before there was an intent of it
        self._number = 0  # of the order whose fact is still to come
        self.decided = 0  # orders, in this life
        self._seen: Intent | Order | None = None  # the last that took the other way

    def take(self, intent: Intent | Order, now: Now) -> None:
        """Decide an intent at once, if that can be; an Order is its Intent, which is not needed for it."""
        key = intent.key if isinstance(intent, Intent) else intent._key
        if self._ahead:
            if key != self._ahead:
                raise RuntimeError(f"order {self._number} was decided for another intent than {key}")
            self._ahead = 0
        elif not (self._decides(intent, now) if isinstance(intent, Intent) else self.core.decide_order(intent, now)):
            self._seen = intent
            return
        self._manager.grant(key)

    def decided_before(self, now: Now) -> None:
        """What a compiled strategy asked for was decided before there is an intent of it; that one must come next."""
        self._ahead = self.core.key
        self._hand(self.core.number, self.core.record, self.core.body, now)

    def _decides(self, intent: Intent, now: Now) -> bool:
        if intent.source <= self._session.desk.answered(intent.strategy):
            return False
        try:
            if not self.core.decide(intent, now.venue, now.mono):
                return False
        except (OverflowError, TypeError):  # a term that no order can have: the rules say so
            return False
        self._hand(self.core.number, self.core.record, self.core.body, now)
        return True

    def _hand(self, number: int, record: bytes, body: bytes, now: Now) -> None:
        self._number = number
        self.decided += 1
        self._intend(number, record, body, now)

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
