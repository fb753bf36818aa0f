"""What each intent was answered: an intent that comes twice gets its first answer, and an approval lives a second."""

from collections import OrderedDict

from pyrt.clock import SECOND
from pyrt.model import Approved, Intended, Intent, Refused

APPROVAL_LIFE = SECOND  # monotonic; execution accepts nothing older
REMEMBERED = 1024  # first answers kept for intents that come twice


class Answers:
    """Approvals in flight, first answers, and how far each strategy was answered. Only the last is made of facts."""

    def __init__(self) -> None:
        self._in_flight: dict[int, tuple[int, int]] = {}  # key -> (valid until, monotonic; root it replaces)
        self._first: OrderedDict[int, Approved | Refused] = OrderedDict()
        self._forgotten: dict[int, int] = {}  # strategy -> highest source whose answer is no longer kept
        self.answered: dict[int, int] = {}  # strategy -> highest source that a fact answered

    def first(self, key: int) -> Approved | Refused | None:
        """The answer that an intent had before."""
        return self._first.get(key)

    def is_forgotten(self, intent: Intent) -> bool:
        """Whether it was answered so long ago that the answer is not kept."""
        return intent.source <= self._forgotten.get(intent.strategy, 0)

    @property
    def is_settled(self) -> bool:
        """No approval is in flight."""
        return not self._in_flight

    def is_in_flight(self, key: int) -> bool:
        """Whether an approval of it may still become an order."""
        return key in self._in_flight

    def remember(self, intent: Intent, answer: Approved | Refused) -> None:
        """An intent was answered; the first answer stays."""
        self._first.setdefault(intent.key, answer)
        if len(self._first) > REMEMBERED:
            key, _ = self._first.popitem(last=False)
            strategy, source = key >> 48, key & (1 << 48) - 1
            self._forgotten[strategy] = max(self._forgotten.get(strategy, 0), source)

    def took_off(self, approved: Approved, root: int) -> None:
        """An approval is in flight. root: key of the reservation that it replaces, 0 = none."""
        self._in_flight[approved.intent.key] = (approved.valid_until_mono, root)

    def landed(self, key: int) -> int | None:
        """An approval became an order, or will become none: the root it replaces; None = none was in flight."""
        flight = self._in_flight.pop(key, None)
        return None if flight is None else flight[1]

    def overdue(self, mono: int) -> list[int]:
        """The keys of approvals that are older by one life than execution would accept."""
        if not self._in_flight:
            return []
        return [key for key, (until, _) in self._in_flight.items() if mono > until + APPROVAL_LIFE]

    def in_flight(self) -> list[int]:
        """The keys of all approvals in flight."""
        return list(self._in_flight)

    def intended(self, fact: Intended) -> None:
        """A fact: an intent became an order. An answer that is kept was its approval."""
        intent = fact.intent
        key = intent.key
        self._in_flight.pop(key, None)
        if key in self._first:
            if intent.source > self.answered.get(intent.strategy, 0):
                self.answered[intent.strategy] = intent.source
        else:
            self.told(intent, _approval_of(fact))

    def told(self, intent: Intent, answer: Approved | Refused, *, instead: bool = False) -> None:
        """A fact: an intent was answered. instead: execution refused what was approved here."""
        if instead:
            self._first[intent.key] = answer
        self.answered[intent.strategy] = max(self.answered.get(intent.strategy, 0), intent.source)
        self.remember(intent, answer)

    def restore(self, answered: dict[int, int]) -> None:
        """Go on from a snapshot."""
        self.answered, self._forgotten = answered, dict(answered)


def _approval_of(fact: Intended) -> Approved:
    return Approved(
        intent=fact.intent,
        epoch=fact.epoch,
        approval=fact.approval,
        limits_version=fact.limits_version,
        ref_px=fact.ref_px,
        valid_until_mono=0,
    )
