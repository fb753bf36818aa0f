"""Latches and the start gate: what stops trading, by scope, until somebody with a name opens it again."""

from pyrt._core.risk import Gate, Level
from pyrt.clock import Now
from pyrt.model import AccountSeen, Latched, Recovered
from pyrt.ports import Alarm, Append, Command, Kill, Publish, Resume, Sync

OWN = "risk"  # who closes the latches that no one asked for

_IDS = {"strategy": 1 << 16, "instrument": 1 << 18}  # what the core has room for


class Latches:
    """Which latches are closed, and whether recovery has opened the gate."""

    def __init__(self, gate: Gate) -> None:
        self._gate = gate
        self.closed: dict[str, Latched] = {}  # scope -> its latch
        self.recovered = False
        self.recovered_at = 0  # venue ns
        self.unexplained = 0  # instruments with shares that no fill explains
        self.blocked = False  # the venue lets the account trade nothing

    # ------------------------------------------------------------------------------------------------ decisions
    def close(self, level: str, scope: str, code: str, reason: str, now: Now, who: str = OWN) -> list[Command]:
        """Close one, unless it is closed as far already."""
        if self._gate.level(scope) >= Level[level]:
            return []
        fact = Latched(level=level, scope=scope, code=code, reason=reason, who=who, ts=now.venue)
        alarm = Alarm(severity="critical", code=code, text=f"{scope} is {level}: {reason}")
        closed: list[Command] = [Append(fact=fact, sync=Sync.SOON), alarm]
        if who == OWN:  # execution hears of other latches by the Kill that asked for them: it cancels what the level forbids
            closed.append(Publish(message=Kill(level=level, scope=scope, reason=reason, who=OWN)))
        return closed

    def kill(self, event: Kill, now: Now) -> list[Command]:
        """Close the one that was asked for; refused where there is no such latch."""
        if event.level not in ("REDUCING", "HALTED", "KILLED") or not _is_scope(event.scope):
            return [Alarm(severity="warning", code="KILL_REFUSED", text=f"no latch {event.scope!r} at level {event.level!r}")]
        return self.close(event.level, event.scope, "KILLED", event.reason, now, event.who)

    def resume(self, event: Resume, now: Now) -> list[Command]:
        """Open one again, for somebody with a name and a reason."""
        if not event.who.strip() or not event.why.strip():
            return [Alarm(severity="warning", code="RESUME_REFUSED", text=f"{event.scope}: a latch opens only with who and why")]
        if event.scope not in self.closed:
            return [Alarm(severity="info", code="RESUME_REFUSED", text=f"{event.scope} is not latched")]
        fact = Latched(level="ACTIVE", scope=event.scope, code="RESUMED", reason=event.why, who=event.who, ts=now.venue)
        return [Append(fact=fact, sync=Sync.BEFORE_ACT)]

    # ------------------------------------------------------------------------------------------------ facts
    def latched(self, fact: Latched) -> None:
        """One was closed or opened."""
        level = Level[fact.level]
        if level == Level.ACTIVE:
            self.closed.pop(fact.scope, None)
        elif level < self._gate.level(fact.scope):
            return  # upward only, but for a human
        else:
            self.closed[fact.scope] = fact
        self._gate.latch(fact.scope, level)
        self._open()

    def account_seen(self, fact: AccountSeen) -> None:
        """The venue told whether the account may trade."""
        self.blocked = fact.blocked
        self._open()

    def epoch_opened(self) -> None:
        """A life began: nothing is recovered yet."""
        self.recovered = False
        self._open()

    def recovery_done(self, fact: Recovered) -> None:
        """The journal and the venue were compared."""
        self.recovered = True
        self.recovered_at = fact.ts
        self.unexplained = fact.unexplained
        self._open()

    def restore(self, closed: list[Latched], *, recovered: bool, recovered_at: int, unexplained: int, blocked: bool) -> None:
        """Go on from a snapshot."""
        self.closed = {latch.scope: latch for latch in closed}
        for latch in closed:
            self._gate.latch(latch.scope, Level[latch.level])
        self.recovered, self.recovered_at = recovered, recovered_at
        self.unexplained, self.blocked = unexplained, blocked
        self._open()

    def _open(self) -> None:
        # Shares that no fill explains: entries wait until each such instrument has its own latch.
        named = sum(scope.startswith("instrument:") for scope in self.closed)
        if not self.recovered or self.blocked:
            self._gate.open(0)
        else:
            self._gate.open(2 if named >= self.unexplained else 1)


def _is_scope(scope: str) -> bool:
    kind, _, name = scope.partition(":")
    return scope in ("system", "account") or (kind in _IDS and name.isascii() and name.isdecimal() and int(name) < _IDS[kind])
