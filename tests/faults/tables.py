"""The tables that follow the journal: the product's own feed and SQLite, whose file is locked, slow, ruined, deleted or,
after a power cut, an older one. Nothing that trades waits for them, and what they hold is the journal's.
"""

import random
import sqlite3
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from tests.faults import folds
from tests.faults.kernel import MS, SECOND, nap

from pyrt.journal.projection import TABLES, Projection, ProjectionFeed
from pyrt.model import Fact

if TYPE_CHECKING:
    from tests.faults.world import Simulation

QUEUE = 16  # facts that may wait here
BUSY = 5 * SECOND  # how long SQLite waits for a lock
EVERY = 8  # commits of which a power cut may take back all behind one


class File:
    """What outlives a process: the committed tables."""

    def __init__(self, sim: "Simulation") -> None:
        self._sim = sim
        self._rng = random.Random(sim.seed ^ 0xF24)
        self.held: Projection | None = None  # None = there is no file
        self._older: Projection | None = None
        self._commits = 0
        self._mood, self._until = "", 0

    def strike(self, kind: str) -> bool:
        """Let a fault begin."""
        if kind == "tables gone":  # who has it open does not notice
            self.held = None
        else:
            self._mood, self._until = kind, self._sim.kernel.now + self._rng.randrange(SECOND // 2, 12 * SECOND)
        return True

    def heal(self) -> None:
        """The database works."""
        self._mood = ""

    def meet(self) -> None:
        """What a statement meets now."""
        sim = self._sim
        nap(self._rng.randrange(MS // 10, 2 * MS))
        mood = self._mood if sim.kernel.now < self._until else ""
        if mood == "tables slow":
            sim.note(f"met: {mood}")
            nap(self._rng.randrange(5 * SECOND))
        elif mood == "tables locked":
            nap(min(BUSY, self._until - sim.kernel.now))
            sim.note(f"met: {mood}")
            if sim.kernel.now < self._until and self._mood:
                raise sqlite3.OperationalError("database is locked")
        elif mood == "tables ruined":
            self._mood = ""
            sim.note(f"met: {mood}")
            error = sqlite3.DatabaseError("database disk image is malformed")
            error.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
            raise error

    def open(self, journal: str) -> "Door":
        """A connection of the process that lives."""
        self.meet()
        if self.held is None or self.held.journal != journal:
            self.held, self._older = Projection(":memory:", journal), None
        return Door(self._sim, self, self.held)

    def committed(self, held: Projection) -> None:
        """Now and then a state that a power cut may bring back."""
        self._commits += 1
        if held is self.held and self._commits % EVERY == 0:
            self._older = copy_of(held)

    def power_cut(self) -> None:
        """SQLite does not sync each commit: the last ones may be gone."""
        if self.held is not None and self._older is not None and self._rng.random() < 0.5:
            self.held = copy_of(self._older)
            self._sim.note("tables of before a power cut")

    # ------------------------------------------------------------------------------------------------ the judgement
    def judge(self, after: int = 0) -> None:
        """What is in the file, and what a next start would add, is what the journal alone comes to; the file is behind `after`."""
        sim = self._sim
        facts = [(seq, fact) for seq, fact in folds.facts(sim.oracle.history) if fact is not None]
        if self.held is None or not facts:
            return
        sim.note("tables judged")
        if self.held.seq < (last := max((seq for seq, _ in facts if seq <= after), default=0)):
            sim.violate("tables", f"the tables end at record {self.held.seq}, the last start went on from {last}")
        self.held.apply(facts)
        fresh = Projection(":memory:", self.held.journal)
        fresh.apply(facts)
        for table in TABLES:
            if (found := self.held.rows(table)) != (wanted := fresh.rows(table)):
                wrong = sorted(set(found) ^ set(wanted))[:2]
                sim.violate("tables", f"{table} has {len(found)} rows, the journal makes {len(wanted)}: {wrong}")
        fresh.close()


def copy_of(tables: Projection) -> Projection:
    copy = Projection(":memory:", tables.journal)
    tables._db.backup(copy._db)
    copy.seq = tables.seq
    return copy


class Door:
    """One connection to the file."""

    def __init__(self, sim: "Simulation", file: File, held: Projection) -> None:
        self._sim, self._file, self._held = sim, file, held

    seq = property(lambda self: self._held.seq)

    def reset(self) -> None:
        self._file.meet()
        self._held.reset()

    def apply(self, facts: Iterable[tuple[int, Fact]]) -> int:
        told = list(facts)
        if told and told[-1][0] > self._sim.oracle.proved:
            self._sim.violate("tables", f"record {told[-1][0]} goes into the tables, {self._sim.oracle.proved} are durable")
        self._file.meet()
        self._sim.point("tables")
        new = self._held.apply(told)
        self._file.committed(self._held)
        return new

    def close(self) -> None:
        pass


class Following(ProjectionFeed):
    """The feed of a session, whose file is the world's."""

    sim: "Simulation"

    def __init__(self, journal: Any, path: Any) -> None:
        super().__init__(journal, path, queue=QUEUE)

    def _open(self) -> Any:
        return self.sim.tables.open(self._journal.id)  # type: ignore[union-attr]

    def offer(self, seq: int, fact: Fact) -> None:
        """As it is; nothing may pass meanwhile."""
        sim = self.sim
        before = sim.kernel.steps
        super().offer(seq, fact)
        if sim.kernel.steps != before:
            sim.violate("tables", f"who trades waited for the tables, with record {seq}")
        if len(self._queue) > QUEUE:
            sim.violate("tables", f"{len(self._queue)} facts wait for the tables, {QUEUE} may")


class Unlinked:
    """Stands in for Path where a ruined file is removed."""

    sim: "Simulation"

    def __init__(self, path: str) -> None:
        self._path = path

    def unlink(self, *, missing_ok: bool) -> None:
        if self._path.endswith(".sqlite") and self.sim.tables is not None:
            self.sim.tables.held = None
