"""One step of the engine: the commands it gives, in order, and the settings that it follows."""

from collections.abc import Callable

import msgspec

from pyrt._core.types import Clock
from pyrt.clock import SECOND, Now
from pyrt.model import Fact, Message, OrderChanged
from pyrt.ports import Alarm, Append, Command, Kill, Publish, SetTimer, Sync


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """Times of the submit and reconcile algorithms, in ns of the monotonic clock unless named venue ns."""

    deadline: int = 10 * SECOND  # the shell ends every attempt within it
    settle: int = 5 * SECOND  # after the deadline, until a request that left can no longer land
    max_tries: int = 3  # repetitions of an attempt that never left
    backoff: tuple[int, ...] = (SECOND, 2 * SECOND, 4 * SECOND)
    lookup_backoff: tuple[int, ...] = (SECOND // 4, SECOND // 2, SECOND, 2 * SECOND, 4 * SECOND)
    lookups: int = 8  # under way at once
    poll_every: int = SECOND // 2
    poll_age: int = 3 * SECOND  # an open order unproved for longer is asked for: what nobody told is known within 5 s
    poll_lost: int = 5 * SECOND  # and asked for again, where no answer proves it
    reconcile_every: int = 60 * SECOND
    snapshot_gap: int = SECOND
    query_lost: int = 120 * SECOND
    valid_for: int = 30 * SECOND  # venue ns, of an intent that names no end
    history: int = 86_400 * SECOND  # venue ns before the last fact that recovery reads again
    rate: float = 1.0  # venue seconds in one monotonic second


class Step:
    """Collects the commands of one event. A fact is applied the moment it is decided, so what follows sees it."""

    __slots__ = ("_apply", "changes", "commands", "now")

    def __init__(self, now: Now, apply: Callable[[Fact], None]) -> None:
        self.now = now
        self.commands: list[Command] = []
        self.changes: list[OrderChanged] = []  # those of the facts that are about an order's status
        self._apply = apply

    def append(self, fact: Fact, sync: Sync = Sync.SOON) -> None:
        """Journal a fact."""
        self._apply(fact)
        self.commands.append(Append(fact=fact, sync=sync))
        if type(fact) is OrderChanged:
            self.changes.append(fact)

    def do(self, command: Command) -> None:
        """Act."""
        self.commands.append(command)

    def publish(self, message: Message) -> None:
        """Tell the other components."""
        self.commands.append(Publish(message=message))

    def alarm(self, severity: str, code: str, text: str) -> None:
        """Tell a human."""
        self.commands.append(Alarm(severity=severity, code=code, text=text))

    def kill(self, level: str, scope: str, reason: str) -> None:
        """Ask that a latch close."""
        self.publish(Kill(level=level, scope=scope, reason=reason, who="execution"))

    def wake(self, key: str, after: int) -> None:
        """Wake the engine `after` ns of the monotonic clock from now."""
        self.wake_at(key, self.now.mono + after)

    def wake_at(self, key: str, at: int) -> None:
        """Wake the engine at a monotonic instant."""
        self.commands.append(SetTimer(key=f"execution.{key}", at=at, clock=Clock.MONO))
