"""The policy `cancel` of SELF_MATCH: the own order in the way goes first, and the new one waits until the venue has proved it.

An exit that a position must have goes before any entry, whatever the policy: what is in its way is cancelled, and while it waits
nothing new is let into its way.
"""

import msgspec

from pyrt._core.types import Clock, Side
from pyrt.clock import SECOND
from pyrt.model import CancelIntent, Intent
from pyrt.ports import Command, Publish, SetTimer
from pyrt.risk.chains import STOPS, Chains

WAIT = "risk.wait"
LOOK_EVERY = SECOND // 20  # venue time
PATIENCE = 10 * SECOND
ROUNDS = 16  # orders in the way that one order may have cancelled


class Wait(msgspec.Struct):
    """One order that waits."""

    intent: Intent
    root: int  # reservation key of what is in its way
    until: int  # venue ns
    rounds: int
    exit: bool  # that a position must have


class Parked:
    """Orders that wait for the end of another one. Volatile: exactly once begins at the journaled intent."""

    def __init__(self, chains: Chains) -> None:
        self._chains = chains
        self._waits: dict[int, Wait] = {}
        self._again: dict[int, Wait] = {}  # decided once more, after a wait

    def park(self, intent: Intent, root: int, now: int, exit_: bool) -> list[Command]:
        """Cancel what is in the way and wait; nothing where it is not ours to cancel: somebody else's, a stop, an exit.

        exit_: it is an exit that a position must have: for that a stop goes too, where it only opens a position.
        """
        before = self._again.pop(intent.key, None)
        rounds = before.rounds + 1 if before else 1
        head = self._chains.head_of(root)
        if head is None or head.intent.reduce_only or (head.intent.type in STOPS and (not exit_ or self._chains.guards(root))):
            return []
        until = before.until if before else min(intent.valid_until or now + PATIENCE, now + PATIENCE)
        if rounds > ROUNDS or now >= until:
            return []
        self._waits[intent.key] = Wait(intent, root, until, rounds, exit_)
        cancel = CancelIntent(strategy=head.intent.strategy, source=head.intent.source)
        return [Publish(message=cancel), self._look(now)]

    @property
    def is_empty(self) -> bool:
        """Nothing waits, and nothing that waited is to be decided."""
        return not (self._waits or self._again)

    def holds(self, key: int) -> bool:
        """Whether that order waits."""
        return key in self._waits

    def exit_of(self, strategy: int, instrument: int, side: Side) -> bool:
        """Whether an exit of a strategy waits."""
        mine = (strategy, instrument, side)
        return any(w.exit and mine == (w.intent.strategy, w.intent.instrument, w.intent.side) for w in self._waits.values())

    def exit_against(self, intent: Intent) -> Intent | None:
        """The exit that waits for its way to be free, and that a new order would be in the way of."""
        if not self._waits or intent.reduce_only:
            return None
        facing = (w.intent for w in self._waits.values() if w.exit and w.intent.side is not intent.side)
        return next((other for other in facing if other.instrument == intent.instrument), None)

    def drop(self, key: int) -> Intent | None:
        """It is not wanted any more."""
        wait = self._waits.pop(key, None)
        return wait.intent if wait else None

    def retry(self, now: int) -> list[Command]:
        """Decide again on orders whose way is free, or whose time is over."""
        commands: list[Command] = []
        for key, wait in list(self._waits.items()):
            if now >= wait.until or not self._chains.root_of(wait.root):
                del self._waits[key]
                self._again[key] = wait
                commands.append(Publish(message=wait.intent))
        return [*commands, self._look(now)] if self._waits else commands

    def decided(self, key: int) -> None:
        """An answer was given."""
        self._again.pop(key, None)

    def _look(self, now: int) -> SetTimer:
        return SetTimer(key=WAIT, at=now + LOOK_EVERY, clock=Clock.VENUE)
