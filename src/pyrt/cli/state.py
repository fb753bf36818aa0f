"""Where sessions keep what survives, and what a journal says, read without touching it."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple, NoReturn

from pyrt.clock import Now
from pyrt.errors import ConfigError, JournalDamaged
from pyrt.execution import ExecutionEngine
from pyrt.journal import inspect, segments
from pyrt.market import MarketData
from pyrt.model import Fact, Instruments, Message
from pyrt.monitor.block import state_home
from pyrt.ports import Alarm, Command, SetTimer, Sync
from pyrt.risk import RiskManager
from pyrt.session import Session

TRIES = 3  # a journal that is being written may look torn in the middle of a write


class Past(NamedTuple):
    """What a journal says: a session that has applied its facts and does nothing."""

    session: Session
    journal: str
    facts: int
    last_ts: int  # venue ns of the last fact


def signed(what: str, who: str, why: str) -> None:
    """Raise ConfigError unless somebody stands for it with a name and a reason; `what` happens only then."""
    for name, value in (("--who", who), ("--why", why)):
        if not value.strip():
            raise ConfigError(f"{what} only with a name and a reason", where=name, mend="write both")


@contextmanager
def writable(directory: Path) -> Iterator[None]:
    """Make a private directory, and turn what the system says of it, then or within the block, into one line for the user."""
    try:
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        yield
    except OSError as e:
        mend = "name a directory that this user can write, with --sim-state or --journal"
        raise ConfigError(f"cannot be used: {e.strerror}", where=str(e.filename or directory), mend=mend) from None


def find_state(directory: Path | None) -> Path:
    """The state directory that was named, or the one used last. Raises ConfigError where there is none."""
    if directory is not None:
        if not list((directory / "journal").glob("*.journal")):
            raise ConfigError("no journal in it", where=str(directory), mend="name the directory that `pyrt run` called its state")
        return directory
    used = [(path.stat().st_mtime, path) for path in state_home().glob("*/journal/*.journal")]
    if not used:
        raise ConfigError("no session has run yet", where=str(state_home()), mend="start one with `pyrt run`, or name its --state")
    return max(used)[1].parent.parent


def read_past(directory: Path) -> Past:
    """Apply every whole fact of a journal, whether a run owns it or not. Raises JournalDamaged, JournalError."""
    for n in range(TRIES):
        try:
            return _read(directory / "journal")
        except JournalDamaged:
            if n == TRIES - 1:
                raise
    raise AssertionError("unreachable")


def _read(directory: Path) -> Past:
    _, last = segments.survey(directory)
    if last is None:
        raise ConfigError("there is no journal here", where=str(directory), mend="name the directory of a run")
    instruments = Instruments()
    market = MarketData(instruments)
    session = Session(
        instruments=instruments,
        market=market,
        risk=RiskManager(instruments, market.refs),
        execution=ExecutionEngine(last.header.journal, instruments),
        shell=_Nobody(),
    )
    last_ts = 0

    def facts() -> Iterator[Fact]:
        nonlocal last_ts
        for _, ts, fact in inspect.show(directory):
            last_ts = ts or last_ts
            yield fact

    return Past(session, last.header.journal, session.replay(facts()), last_ts)


class _Nobody:
    """The shell of a session that only remembers."""

    def append(self, fact: Fact, sync: Sync, now: Now) -> NoReturn:
        raise AssertionError("a journal that is read is not written")

    def perform(self, command: Command) -> NoReturn:
        raise AssertionError("a session that is read does nothing")

    def set_timer(self, command: SetTimer) -> None:
        """No time passes."""

    def tell(self, message: Message) -> None:
        """Nobody listens."""

    def alarm(self, alarm: Alarm) -> None:
        """It was told when it happened."""
