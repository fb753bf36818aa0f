"""A recorded session fed again to fresh components: the same inputs at the same instants must give the same outputs.

Nothing here waits or leaves the process. What is compared is everything that a session does: each fact that it journals, with its
time, and each command to the venue; and at the end the hash of its state with that of components given the facts alone.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from hashlib import blake2b
from typing import Any

import msgspec

from pyrt._core.types import bar_dtype
from pyrt.calendar import Calendar, ExchangeDays
from pyrt.clock import Now
from pyrt.execution import ExecutionEngine, Settings
from pyrt.journal.recorder import Entry, Kind, Run
from pyrt.live.troubles import CODES
from pyrt.live.warm_up import BAR_GRACE
from pyrt.market import MarketData
from pyrt.model import Alarmed, Fact, Instruments, Message
from pyrt.ports import Alarm, Command, SetTimer, Stop, Sync
from pyrt.risk import Limits, RiskManager
from pyrt.session import Session
from pyrt.signals import Sizer
from pyrt.strategies import Strategy

SHOWN = 5  # differences that are kept
# Alarms of the shell and of what stands beside a session: they depend on processes and connections, which no recording holds.
BESIDE = frozenset({"ASSET_INACTIVE", "BAR_INCOMPLETE", "NO_DATA", "WATCHDOG", *(begun for begun, _ in CODES.values())})


class Difference(msgspec.Struct, frozen=True):
    """One output that is not what was recorded."""

    entry: int  # the last input before it
    now: int  # venue ns
    recorded: str
    replayed: str


class Outcome(msgspec.Struct):
    """What a replay came to."""

    inputs: int = 0
    facts: int = 0  # compared and equal
    commands: int = 0
    differences: list[Difference] = []  # the first SHOWN
    different: int = 0
    unplayed: int = 0  # facts in the journal from after the recording's end
    missing: int = 0  # facts replayed that the journal lacks: its last group was not durable
    unsent: int = 0  # commands replayed that a recording without an end lacks: they waited for that group
    state: str = ""  # hash of what the components hold at the end
    of_facts: str = ""  # the same of components that were given the facts alone
    failed: str = ""  # the session itself broke at an entry

    @property
    def equal(self) -> bool:
        """Whether every output was the recorded one."""
        return not self.different and not self.failed and self.state == self.of_facts


class Replay:
    """One run of a recording. `facts`: of the journal, in order, as (seq, venue ns, fact).

    ended: the journal was closed after this run, or goes on with another: it lacks nothing, and a fact beyond it is a difference.
    """

    def __init__(
        self,
        run: Run,
        facts: Iterable[tuple[int, int, Fact]],
        strategies: Sequence[Strategy],
        sizer: Sizer | None,
        *,
        ended: bool = False,
    ) -> None:
        self.outcome = Outcome()
        self._ended = ended
        self._run = run
        self.session = self._session(strategies, sizer)
        self._alone = self._session()  # is given the facts and nothing else
        self._rows = (row for row in facts if row[0] <= run.seq or not (isinstance(row[2], Alarmed) and row[2].code in BESIDE))
        self._ahead: tuple[int, Fact] | None = None  # of this run: the next fact that was journaled
        self.session.replay(self._before())
        self._sent: deque[Command] = deque()  # commands of the session that the recording has not come to
        self._number = 0
        self._stopped = False  # the recorded session ended in order

    def _session(self, strategies: Sequence[Strategy] = (), sizer: Sizer | None = None) -> Session:
        run, instruments = self._run, Instruments()
        hours = Calendar() if run.hours else None
        market = MarketData(instruments, grace=BAR_GRACE, calendar=hours)
        return Session(
            instruments=instruments,
            market=market,
            risk=RiskManager(instruments, market.refs, limits=Limits.of(run.limits), day_of=ExchangeDays(), calendar=hours),
            execution=ExecutionEngine(run.journal, instruments, settings=msgspec.convert(run.settings, Settings)),
            shell=self,
            strategies=strategies,
            sizer=sizer,
            dry_run=run.dry_run,
        )

    def _before(self) -> Iterator[Fact]:
        """The facts of earlier runs; a journal is longer than what memory holds."""
        for seq, ts, fact in self._rows:
            if seq > self._run.seq:
                self._ahead = ts, fact
                return
            self._alone.replay((fact,))
            yield fact

    def _next(self) -> tuple[int, Fact] | None:
        """The next fact that was journaled, and go on behind it."""
        row = self._ahead
        following = next(self._rows, None)
        self._ahead = None if following is None else following[1:]
        return row

    # ------------------------------------------------------------------------------------------------ Shell
    def append(self, fact: Fact, sync: Sync, now: Now) -> None:
        """Compare with the journal."""
        self._alone.replay((fact,))
        row = self._next()
        if row is None:
            if self._ended:
                self._differ("nothing", fact)
            else:
                self.outcome.missing += 1
            return
        ts, recorded = row
        if recorded == fact and ts == now.venue:
            self.outcome.facts += 1
        else:
            self._differ(recorded, fact)

    def perform(self, command: Command) -> None:
        """Keep it until the recording comes to it."""
        self._sent.append(command)

    def set_timer(self, command: SetTimer) -> None:
        """The recording tells when each one came."""

    def tell(self, message: Message) -> None:
        """Nobody listens but the session itself."""

    def alarm(self, alarm: Alarm) -> None:
        """An alarm is a fact unless it only informs."""
        if alarm.severity != "info":
            now = self.session.now
            self.append(Alarmed(severity=alarm.severity, code=alarm.code, text=alarm.text, ts=now.venue), Sync.SOON, now)

    # ------------------------------------------------------------------------------------------------ time
    def play(self, entries: Iterable[Entry], tell: Callable[[int], None] = lambda number: None) -> Outcome:
        """Feed every input and compare every output; `tell` hears the number of each entry."""
        prepared = False
        for entry in entries:
            tell(entry.number)
            self._number = entry.number
            if entry.kind is Kind.RUN:
                self.session.now = entry.now
                self.session.prepare(entry.now)
                prepared = True
            elif entry.kind is Kind.COMMAND:
                self._compare(entry.body)
            elif prepared:
                self.outcome.inputs += 1
                try:
                    self._feed(entry)
                except Exception as e:  # the recorded session broke here too, or this one is not the same
                    self.outcome.failed = f"entry {entry.number}: {type(e).__name__}: {e}"
                    break
        if self._stopped:
            for command in self._sent:
                self._differ("nothing", command)
        else:
            self.outcome.unsent = len(self._sent)
        self.outcome.unplayed = sum(1 for _ in iter(self._next, None))
        self.outcome.state, self.outcome.of_facts = _digest(self.session), _digest(self._alone)
        return self.outcome

    def _feed(self, entry: Entry) -> None:
        body, session = entry.body, self.session
        if entry.kind is Kind.EVENT:
            if isinstance(body, Stop):
                self._stopped = True
                session.stop(entry.now)
            session.step(body, entry.now)
        elif body.dtype == bar_dtype:
            for bar in body:
                session.desk.keep_bar(int(bar["instrument"]), int(bar["interval"]), bar)
            if not len(body):
                session.start(entry.now)
        else:
            session.on_market(body.copy(), entry.now)

    def _compare(self, recorded: Command) -> None:
        if not self._sent:
            self._differ(recorded, "nothing")
        elif self._sent[0] == recorded:
            self._sent.popleft()
            self.outcome.commands += 1
        else:
            self._differ(recorded, self._sent.popleft())

    def _differ(self, recorded: Any, replayed: Any) -> None:
        outcome = self.outcome
        outcome.different += 1
        if len(outcome.differences) < SHOWN:
            now = self.session.now.venue
            outcome.differences = [*outcome.differences, Difference(self._number, now, str(recorded), str(replayed))]


def _digest(session: Session) -> str:
    both = session.risk.state_digest() + session.execution.state_digest()
    return blake2b(both.encode(), digest_size=16).hexdigest()
