"""What stands in for parts of the trading process, and tells the history what passes through them."""

import logging
from typing import TYPE_CHECKING, Any

from tests.faults import appender
from tests.faults import kernel as kernel_
from tests.faults.kernel import SECOND

import pyrt._core.log as core_log
from pyrt.journal import journal as journal_module
from pyrt.live import shell
from pyrt.ports import Alarm, CancelAll, TimerFired

if TYPE_CHECKING:
    from tests.faults.world import Simulation


class Shell(shell.LiveShell):
    """The live shell; the process may die after each of its commands."""

    sim: "Simulation"

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.sim.shell = self
        self.inbox.watch = self._believe

    def append(self, fact: Any, sync: Any, now: Any) -> None:
        self.sim.oracle.fact(fact)
        self.sim.trace("append", fact)
        super().append(fact, sync, now)
        self.sim.point("append")

    def perform(self, command: Any) -> None:
        self.sim.trace("perform", command)
        if isinstance(command, CancelAll):
            self.sim.oracle.cancels_all()
        super().perform(command)
        self.sim.point("perform")

    def alarm(self, alarm: Alarm) -> None:
        self.sim.alarmed(alarm)
        super().alarm(alarm)

    def handle(self, event: Any, now: Any = None) -> None:
        self.sim.trace("event", event)
        self.sim.channels.heard(event)
        self.sim.oracle.heard(event)
        super().handle(event, now)
        if self.session is not None and not isinstance(event, TimerFired):
            self.sim.beliefs.covered(self.session)

    def handle_feed(self, records: Any, bars: Any) -> None:
        self._believe(records)
        super().handle_feed(records, bars)

    def _believe(self, records: Any) -> None:
        if self.session is not None and len(records):
            self.sim.beliefs.heard(records, self.session)


class JournalDoor:
    """Stands in for Journal in the runner: what it opens is compared with what was appended."""

    sim: "Simulation"

    @classmethod
    def open(cls, *arguments: Any, **options: Any) -> Any:
        opened = journal_module.Journal.open(*arguments, **options)
        cls.sim.oracle.opened(opened)
        cls.sim.verdict.recoveries += 1
        return opened


class Appender(appender.AppenderShell):
    """Tells the oracle what is appended."""

    sim: "Simulation"
    real = core_log.Appender

    def append(self, kind: int, payload: bytes, ts: int, urgent: bool = True, flags: int = 0) -> int:
        seq = super().append(kind, payload, ts, urgent, flags)
        self.sim.oracle.appended(seq, kind, payload)
        return seq


class Projection:
    """Stands in for what feeds the SQLite file: a projection, which nothing here reads."""

    def __init__(self, *_: Any) -> None:
        pass

    def offer(self, seq: int, fact: Any) -> None:
        pass

    def close(self) -> None:
        pass

    def __enter__(self) -> "Projection":
        return self

    def __exit__(self, *_: object) -> None:
        pass


class Page:
    """Stands in for the page of shared memory through which others block orders at once."""

    def __init__(self) -> None:
        self.level = 0

    @classmethod
    def create(cls, directory: Any) -> "Page":
        cls.sim.page = page = cls()
        page.level = cls.sim.page_level
        return page

    sim: "Simulation"

    def blocks(self) -> bool:
        return self.level >= 2

    def close_latch(self, level: int) -> None:
        self.level = self.sim.page_level = max(self.level, int(level))

    def data(self, up: bool) -> None:
        pass

    def beat(self) -> None:
        pass

    def close(self) -> None:
        pass


class Updates:
    """Stands in for the way of trade updates out of the exchange: some are lost, doubled, late, or out of order."""

    def __init__(self, sim: "Simulation") -> None:
        self._sim = sim
        self._held: list[tuple[Any, Any]] = []

    def pass_on(self, account: Any, data: Any) -> None:
        sim, send = self._sim, self._sim.venue.trading._send
        kernel_.World.changes += 1
        if sim.happens("update lost"):
            return
        if sim.happens("update late"):
            sim.kernel.later(sim.net.rng.randrange(4 * SECOND), send, account, data)
            return
        if sim.happens("update reordered"):
            self._held.append((account, data))
            sim.kernel.later(2 * SECOND, self._release)
            return
        send(account, data)
        if sim.happens("update doubled"):
            send(account, data)
        self._release()

    def _release(self) -> None:
        held, self._held = self._held, []
        for account, data in held:
            self._sim.venue.trading._send(account, data)


class Ears(logging.Handler):
    """Errors that the product logs with an exception are mistakes of its own."""

    def __init__(self, sim: "Simulation") -> None:
        super().__init__(logging.WARNING)
        self._sim = sim

    def emit(self, record: logging.LogRecord) -> None:
        self._sim.trace("log", record.getMessage())
        if record.exc_info and record.exc_info[0] is not None and not self._sim.machine.dead:
            self._sim.violate("-", f"logged: {record.getMessage()}: {record.exc_info[0].__name__}: {record.exc_info[1]}")
        elif "failed inside" in record.getMessage():
            self._sim.violate("-", f"logged: {record.getMessage()}")
