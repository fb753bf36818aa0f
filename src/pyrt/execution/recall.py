"""What a journal has of one order that was let go, and of its group: found from the end, since most words come soon."""

from collections.abc import Callable, Iterable

from pyrt.execution.orders import CORRECTIONS, correction_of
from pyrt.model import CancelWanted, ExternalSeen, Fact, Filled, Intended, OrderChanged, OrderFact, PositionAdjusted
from pyrt.ports import Recall, Remembered

SPAN = 100_000  # records that are looked through first; then eight times as many, to the whole journal

Read = Callable[[int], Iterable[Fact]]  # the facts of the records after one


def recall(read: Read, last: int, wanted: Recall) -> Remembered:
    """Everything that the facts up to record `last` tell of an order."""
    span = SPAN
    while True:
        after = max(last - span, 0)
        number = wanted.number or _number(read(after), wanted.venue_order_id)
        members = _members(read(after), number) if number else set[int]()
        if members or not after:
            break
        span *= 8
    facts = _facts(read(after), members) if members else ()
    return Remembered(number=wanted.number, venue_order_id=wanted.venue_order_id, facts=tuple(facts))


def _number(facts: Iterable[Fact], venue_order_id: str) -> int:
    """The order that the venue calls so; 0 = none among the facts."""
    named = (f for f in facts if isinstance(f, ExternalSeen | OrderChanged | Filled))
    return next((fact.number for fact in named if fact.venue_order_id == venue_order_id), 0)


def _members(facts: Iterable[Fact], number: int) -> set[int]:
    """The numbers of the order and of all that were one request with it; none where its beginning is not among the facts."""
    first, groups = 0, list[range]()
    for fact in facts:
        if isinstance(fact, ExternalSeen):
            if fact.number == number:
                return {number}
        elif isinstance(fact, Intended):
            first = first or fact.number
            if fact.intent.order_class:
                groups.append(range(fact.number, fact.number + 1 + len(fact.intent.legs)))
            root = number if groups and number in groups[-1] else fact.root if fact.number == number else 0
            if root:
                if root < first:
                    return set()
                return set(next((group for group in groups if root in group), (number,)))
    return set()


def _facts(facts: Iterable[Fact], members: set[int]) -> Iterable[OrderFact]:
    grouped, executions = len(members) > 1, set[str]()
    for fact in facts:
        if isinstance(fact, Intended):
            if grouped and fact.root in members:
                members.add(fact.number)
            if fact.number in members:
                yield fact
        elif isinstance(fact, PositionAdjusted):
            event, execution, name = correction_of(fact.reason)
            if event in CORRECTIONS and execution in executions:
                executions.add(name)
                yield fact
        elif isinstance(fact, ExternalSeen | OrderChanged | CancelWanted | Filled) and fact.number in members:
            if isinstance(fact, Filled):
                executions.add(fact.execution_id)
            yield fact
