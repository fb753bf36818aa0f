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
        self._risk = RiskLane(session.risk, *start_of(session.execution.journal_id))
        self.core = self._risk.core
        self.core.hand_to(intend, session.desk._used)
        self._seen: Intent | Order | None = None  # the last that took the other way

    def take(self, intent: Intent | Order, now: Now) -> None:
        """Decide an intent at once, if that can be; an Order is its Intent, which is not needed for it."""
        key = intent.key if isinstance(intent, Intent) else intent._key
        known = self.core.claim(key)
        if known or (self._decides(intent, now) if isinstance(intent, Intent) else self.core.decide_order(intent, now)):
            self._manager.grant(key)
        else:
            self._seen = intent

    def _decides(self, intent: Intent, now: Now) -> bool:
        if intent.source <= self._session.desk.answered(intent.strategy):
            return False
        try:
            if not self.core.decide(intent, now.venue, now.mono):
                return False
        except (OverflowError, TypeError):  # a term that no order can have: the rules say so
            return False
        self.core.hand(now)
        return True

    @property
    def decided(self) -> int:
        """Orders that were decided here, in this life."""
        return self.core.decided

    def refresh(self, now: Now) -> None:
        """Everything is handled: be ready for the next order. Raises RuntimeError where what was decided became no order."""
        if handed := self.core.handed:
            if self.core.ahead or handed not in self._execution.orders:
                raise RuntimeError(f"order {handed} was decided, and no fact followed")
            self.core.handed = 0
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
