"""From a journal to a session: the newest state that is kept and anchored, and the facts after it; else all facts."""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from pyrt.calendar import ExchangeDays
from pyrt.execution import ExecutionEngine
from pyrt.journal import Journal, inspect, snapshots
from pyrt.live import state
from pyrt.market import MarketData
from pyrt.model import Fact, Instruments, Message
from pyrt.ports import Alarm, Command, SetTimer, Sync
from pyrt.risk import RiskManager
from pyrt.session import Session

log = logging.getLogger("pyrt")


class Recovery(NamedTuple):
    """What a start found."""

    session: Session
    snapshot_seq: int  # the record after which the snapshot was taken; 0 = all facts were replayed
    replayed: int  # facts after it


def recover(journal: Journal, build: Callable[[], Session]) -> Recovery:
    """A session that took in everything of the journal. `build` makes a new one; nothing is sent and no callback runs."""
    for kept in journal.snapshots():
        session = build()
        try:
            if state.hash_of(kept.state) != kept.state_hash:
                raise state.Passed("it is not the one that its anchor names")
            state.restore(session, kept.state)
        except state.Passed as e:
            log.warning("the state of record %d is passed over: %s", kept.seq, e)
            continue
        return Recovery(session, kept.seq, session.replay(fact for _, fact in journal.facts(after=kept.seq)))
    session = build()
    return Recovery(session, 0, session.replay(fact for _, fact in journal.facts()))


class Silent:
    """A shell that does nothing: a replay neither sends nor tells."""

    def append(self, fact: Fact, sync: Sync, now: object) -> None: ...

    def perform(self, command: Command) -> None: ...

    def set_timer(self, command: SetTimer) -> None: ...

    def tell(self, message: Message) -> None: ...

    def alarm(self, alarm: Alarm) -> None: ...


def bare(journal_id: str) -> Session:
    """A session without strategies, to fold facts with."""
    instruments = Instruments()
    market = MarketData(instruments, grace=0)
    risk = RiskManager(instruments, market.refs, day_of=ExchangeDays())
    return Session(
        instruments=instruments,
        market=market,
        risk=risk,
        execution=ExecutionEngine(journal_id, instruments),
        shell=Silent(),
    )


class Checked(NamedTuple):
    """What a check of the anchors found."""

    anchors: list[int]  # records whose snapshot was compared with the facts
    faults: list[str]
    passed: list[str]  # why others were not compared


def check(directory: Path, last: int = 2) -> Checked:
    """Replay from each of the last anchors whose snapshot is there, and from the beginning: all must give the same states."""
    verdict = inspect.verify(directory)
    anchors = {anchor.seq: anchor.state_hash for _, anchor in inspect.anchors(directory)}
    kept = [s for s in snapshots.newest_first(directory) if anchors.get(s.seq) == s.state_hash][:last][::-1]
    found = Checked([], [], [])
    if not kept:
        return found
    sessions = {0: bare(verdict.journal)}  # by the record after which they began
    facts = inspect.show(directory)
    fact = next(facts, None)
    for snapshot in [*kept, None]:
        while fact is not None and (snapshot is None or fact[0] <= snapshot.seq):
            for session in sessions.values():
                session.replay([fact[2]])
            fact = next(facts, None)
        if snapshot is None:
            ends = {state.hash_of(state.state_of(session)) for session in sessions.values()}
            if len(ends) > 1:
                found.faults.append(f"replays from records {', '.join(map(str, sessions))} do not end in the same state")
            continue
        fresh = bare(verdict.journal)
        try:
            if state.hash_of(snapshot.state) != snapshot.state_hash:
                raise state.Passed("it is not the one that its anchor names")
            state.restore(fresh, snapshot.state)
        except state.Passed as e:
            found.passed.append(f"the state of record {snapshot.seq} is passed over: {e}")
            continue
        found.anchors.append(snapshot.seq)
        for begin, session in sessions.items():
            if state.hash_of(state.state_of(session)) != snapshot.state_hash:
                found.faults.append(
                    f"the replay from record {begin} does not give the state that the anchor of {snapshot.seq} names"
                )
        sessions[snapshot.seq] = fresh
    return found
