"""What the venue says of an order that was let go, after a restart from a snapshot, with the order's segment in the archive."""

from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.reference.room import Room

from pyrt.execution import past
from pyrt.execution.recall import recall
from pyrt.journal import Journal, archive
from pyrt.live import state
from pyrt.model import ExternalSeen, Fact, Filled, PositionAdjusted
from pyrt.ports import Event, Recall, Sync, TradeUpdate, VenueFill, VenuePosition
from pyrt.strategies import Strategy


class Trader(Strategy):
    symbols = ("AAPL",)


class Later(Room):
    """A life that begins from a snapshot, and reads of the lives before it from their journal."""

    def __init__(self, journal: Journal, before: Room) -> None:
        self.journal = journal
        super().__init__(start=False, symbols=())
        [kept] = journal.snapshots()
        state.restore(self.session, kept.state)
        self.working, self.now, self.executions = before.working, before.now, before.executions
        self.session.prepare(self.now)
        self.recover()

    def step(self, event: Event) -> None:
        self.tick()
        self.session.step(event, self.now)
        for wanted in self.take(Recall):
            self.recalled.append(wanted)
            last = self.journal.durable + len(self.shell.facts)
            self.session.step(recall(self.read, last, wanted), self.now)

    def read(self, after: int) -> Iterator[Fact]:
        """The facts after a record: those of the journal, then those of this life."""
        before = (fact for _, fact in self.journal.facts(after))
        return chain(before, self.shell.facts[max(after - self.journal.durable, 0) :])


@pytest.fixture(params=[1 << 17, 8], ids=["row", "row lost"])
def later(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Later]:
    monkeypatch.setattr(past, "KEPT", 4)
    monkeypatch.setattr(past, "ROWS", request.param)
    trader = Trader()
    before = Room(trader)
    for turn in range(40):
        (trader.sell if turn % 2 else trader.buy)("AAPL", 1)
        before.quote()
        [asked] = before.accept()
        before.fill(asked.number)
    with Journal.open(tmp_path, segment_size=8192) as journal:
        for n, fact in enumerate(before.shell.facts):
            journal.append(fact, Sync.SOON, n)
            if n % 20 == 0:
                journal.sync(60)
        kept = state.state_of(before.session)
        journal.sync(60)
        covered = journal.seq
        journal.snapshot(covered, kept, state.hash_of(kept))
    numbers = archive.due(tmp_path, [covered], 1 << 62, 0)
    assert len(numbers) > 2
    archive.pack(tmp_path, numbers)
    with Journal.open(tmp_path, segment_size=8192) as journal:
        yield Later(journal, before)


def facts_of(room: Room, kind: type) -> list[Any]:
    return [fact for fact in room.shell.facts if isinstance(fact, kind)]


def test_a_late_fill_is_booked_once_to_its_strategy(later: Later) -> None:
    shown = msgspec.structs.replace(later.working[3], qty="2", filled_qty="2")
    for _ in range(2):
        later.tell("fill", shown, price="100", qty="1", execution_id="late")
    [fill] = facts_of(later, Filled)
    assert (fill.number, fill.strategy, fill.qty, fill.cum_qty) == (3, 1, 10**9, 2 * 10**9)
    assert later.session.risk.position(1, 1).qty == 10**9
    assert facts_of(later, ExternalSeen) == []


def test_a_bust_is_reversed_once(later: Later) -> None:
    for _ in range(2):
        later.step(TradeUpdate(event="trade_bust", order=later.working[3], ts=later.now.venue, execution_id="x3"))
    [reversed_] = facts_of(later, PositionAdjusted)
    assert (reversed_.strategy, reversed_.qty) == (1, -(10**9))
    assert later.session.risk.position(1, 1).qty == -(10**9)
    assert facts_of(later, ExternalSeen) == []


def test_pages_that_show_all_of_it_again_change_nothing(later: Later) -> None:
    def fill(number: int) -> VenueFill:
        shown = later.working[number]
        side, ts = shown.side, shown.updated_at
        return VenueFill(
            activity_id=f"a{number}", order_id=shown.id, symbol="AAPL", side=side, ts=ts, price="100", qty="1", cum_qty="1"
        )

    numbers = range(1, 41)
    later.tick(120 * 10**9)
    later.fire("execution.reconcile")
    listed = tuple(later.working[n] for n in numbers if n % 2)  # of the others the fills alone
    later.snapshot(orders=listed, fills=tuple(fill(n) for n in numbers))
    assert facts_of(later, ExternalSeen) == facts_of(later, Filled) == []
    assert later.session.execution.positions == {}


@pytest.mark.parametrize("held", [0, 7])
def test_pages_of_each_second_ask_the_journal_once_and_let_positions_be_judged(later: Later, held: int) -> None:
    """As where a fill is missing. Asked by each reading, the journal would never be through, and nothing be judged meanwhile."""
    listed = tuple(later.working[n] for n in range(1, 41))
    positions = (VenuePosition(symbol="AAPL", qty=str(held), avg_entry_price="100"),) if held else ()
    later.recalled.clear()
    for _ in range(4):
        later.tick(120 * 10**9)
        later.fire("execution.reconcile")
        later.snapshot(orders=listed, positions=positions)
        assert len(later.recalled) == len({wanted.number for wanted in later.recalled})
    assert bool([a for a in later.shell.alarms if a.code == "POSITION_BREAK"]) == bool(held)


def test_a_replaced_word_of_what_was_let_go_is_old(later: Later) -> None:
    later.tell("replaced", later.working[3], status="replaced", replaced_by="v4")
    later.tell("order_replace_rejected", later.working[3])
    assert facts_of(later, ExternalSeen) == facts_of(later, Filled) == []
    assert later.session.execution.positions == {}
