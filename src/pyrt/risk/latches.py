"""Latches and the start gate: what stops trading, by scope, until somebody with a name opens it again."""

from pyrt._core.risk import Gate, Level
from pyrt.clock import Now
from pyrt.model import AccountSeen, BreakSeen, Latched, PositionAdjusted, Recovered
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
        self.broken: dict[int, int] = {}  # instrument -> what the venue has of it that no fill explains, qty units
        self.unexplained = 0  # more such instruments, of which nobody said which they are
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
        opened: list[Command] = [Append(fact=fact, sync=Sync.BEFORE_ACT)]
        kind, _, name = event.scope.partition(":")
        if kind == "instrument" and int(name) in self.broken:
            text = "the venue has what no fill explains, and a resume does not explain it: it takes no entries until something does"
            opened.append(Alarm(severity="warning", code="STILL_UNEXPLAINED", text=f"{event.scope}: {text}"))
        return opened

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
        for instrument in list(self.broken):  # recovery tells anew what it finds
            self._explain(instrument)
        self._open()

    def break_seen(self, fact: BreakSeen) -> None:
        """The venue's position and the fills part, or agree again."""
        if fact.difference:
            self.broken[fact.instrument] = fact.difference
            self._gate.broken(fact.instrument, True)
        else:
            self._explain(fact.instrument)

    def adjusted(self, fact: PositionAdjusted) -> None:
        """Somebody explained a difference: all of it, or a part."""
        left = self.broken.get(fact.instrument, 0) - fact.qty
        if fact.instrument in self.broken:
            if left:
                self.broken[fact.instrument] = left
            else:
                self._explain(fact.instrument)

    def _explain(self, instrument: int) -> None:
        if self.broken.pop(instrument, 0):
            self._gate.broken(instrument, False)

    def recovery_done(self, fact: Recovered) -> None:
        """The journal and the venue were compared."""
        self.recovered = True
        self.recovered_at = fact.ts
        self.unexplained = max(fact.unexplained - len(self.broken), 0)
        self._open()

    def restore(
        self,
        closed: list[Latched],
        broken: dict[int, int],
        *,
        recovered: bool,
        recovered_at: int,
        unexplained: int,
        blocked: bool,
    ) -> None:
        """Go on from a snapshot."""
        self.broken = broken
        for instrument in broken:
            self._gate.broken(instrument, True)
        self.closed = {latch.scope: latch for latch in closed}
        for latch in closed:
            self._gate.latch(latch.scope, Level[latch.level])
        self.recovered, self.recovered_at = recovered, recovered_at
        self.unexplained, self.blocked = unexplained, blocked
        self._open()

    def _open(self) -> None:
        # What no fill explains closes its own instrument; where nobody said which that is, entries wait in all of them.
        if not self.recovered or self.blocked:
            self._gate.open(0)
        else:
            self._gate.open(1 if self.unexplained else 2)


def _is_scope(scope: str) -> bool:
    kind, _, name = scope.partition(":")
    return scope in ("system", "account") or (kind in _IDS and name.isascii() and name.isdecimal() and int(name) < _IDS[kind])
