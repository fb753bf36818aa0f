"""The armed faults: whether one bites at an occasion, and the record of each that did."""

import random
import time
from collections import Counter, deque
from collections.abc import Callable
from typing import Any, TypeVar

import msgspec

from pyrt.venues.sim.server.kinds import AnyFault, Chance, Fault, Meets, Updates, kind_of
from pyrt.venues.sim.server.truth import Connection, Request, Truth

KEPT = 100_000  # firings and armings in memory; older ones are dropped and counted

F = TypeVar("F", bound=Fault)


class Firing(msgspec.Struct, kw_only=True):
    """One time that a fault bit, and what."""

    seq: int  # in the order of the truth's requests and connections
    fault: int  # number of its arming
    kind: str
    venue_ns: int
    mono_ns: int
    request: int = 0  # seq of the request; 0 = none
    connection: int = 0  # seq of the connection; 0 = none
    order: str = ""  # the venue's id of the order
    note: str = ""


class Arming(msgspec.Struct, kw_only=True):
    """One fault from its arming to its end."""

    number: int
    fault: AnyFault
    venue_ns: int
    mono_ns: int
    until_mono_ns: int = 0  # 0 = no end
    asked: int = 0  # occasions it met
    fired: int = 0
    state: str = "armed"  # "armed", "over", "replaced", "disarmed"


class Faults:
    """What is armed, by kind and name. Times are the machine's monotonic ns; the venue's time is only written down."""

    def __init__(self, truth: Truth | None = None, venue: Callable[[], int] = lambda: 0) -> None:
        self._truth = truth or Truth()
        self._venue = venue
        self._armed: dict[tuple[str, str], Arming] = {}
        self._dice: dict[int, random.Random] = {}
        self._history: deque[Arming] = deque(maxlen=KEPT)
        self._firings: deque[Firing] = deque(maxlen=KEPT)
        self._dropped = 0
        self._number = 0
        self._silenced: set[tuple[int, int]] = set()  # (arming, connection) whose silence is written down
        self._fired: Counter[str] = Counter()

    def arm(self, fault: AnyFault) -> Arming:
        """Arm a fault, in place of one of the same kind and name."""
        mono, key = time.monotonic_ns(), (kind_of(fault), fault.name)
        self._end(key, "replaced")
        self._number += 1
        arming = Arming(number=self._number, fault=fault, venue_ns=self._venue(), mono_ns=mono)
        if fault.window is not None:
            arming.until_mono_ns = mono + int(fault.window * 1e9)
        self._armed[key] = arming
        self._dice[arming.number] = random.Random(getattr(fault, "seed", 0))
        self._history.append(arming)
        return arming

    def finish(self, arming: Arming) -> None:
        """End a fault that did at once all that it does."""
        self._end((kind_of(arming.fault), arming.fault.name), "over")

    def disarm(self) -> None:
        """End all of them."""
        for key in list(self._armed):
            self._end(key, "disarmed")

    def _end(self, key: tuple[str, str], state: str) -> None:
        arming = self._armed.pop(key, None)
        if arming is not None:
            over = arming.until_mono_ns and time.monotonic_ns() >= arming.until_mono_ns
            arming.state = "over" if over else state
            self._dice.pop(arming.number)

    # ------------------------------------------------------------------------------------------------ occasions
    def armed(self, kind: type[F]) -> list[Arming]:
        """The armings of a kind that hold now."""
        if not self._armed:
            return []
        mono = time.monotonic_ns()
        for key, arming in list(self._armed.items()):
            if arming.until_mono_ns and mono >= arming.until_mono_ns:
                self._end(key, "over")
        return [a for a in self._armed.values() if isinstance(a.fault, kind)]

    def meets(
        self,
        kind: type[F],
        where: Callable[[F], bool] = lambda fault: True,
        *,
        groups: frozenset[str] = frozenset(),
        event: str = "",
        **who: Any,
    ) -> F | None:
        """The fault of a kind that bites at this occasion, which is then written down.

        where: which of the kind are meant; groups: what the request is; event: of the trade update; who: request, connection,
        order, note of the record.
        """
        for arming in self.armed(kind):
            fault: Any = arming.fault
            if not where(fault):
                continue
            if isinstance(fault, Meets) and fault.on not in groups:
                continue
            if isinstance(fault, Updates) and fault.events and event not in fault.events:
                continue
            if self._bites(arming):
                self.fire(arming, **who)
                chosen: F = fault
                return chosen
        return None

    def _bites(self, arming: Arming) -> bool:
        fault = arming.fault
        arming.asked += 1
        if not isinstance(fault, Chance):
            return True
        if arming.asked % fault.every or (fault.count is not None and arming.fired >= fault.count):
            return False
        return fault.probability >= 1.0 or self._dice[arming.number].random() < fault.probability

    def left(self, fault: Fault) -> float:
        """Seconds of real time until an armed fault ends; 0 where it does not end by itself."""
        until = self._armed[kind_of(fault), fault.name].until_mono_ns
        return max(0.0, (until - time.monotonic_ns()) / 1e9)

    def silences(self, kind: type[F], connection: Connection, *, control: bool = False) -> bool:
        """Whether a mute of this kind withholds a frame from a connection; written down once for each connection."""
        for arming in self.armed(kind):
            fault: Any = arming.fault
            if (control and not fault.control) or (fault.present and connection.opened_mono_ns > arming.mono_ns):
                continue
            if (arming.number, connection.seq) not in self._silenced:
                self._silenced.add((arming.number, connection.seq))
                self.fire(arming, connection=connection.seq)
            return True
        return False

    def fire(self, arming: Arming, *, request: Request | None = None, connection: int = 0, order: str = "", note: str = "") -> None:
        """Write down that a fault bit."""
        arming.fired += 1
        kind = kind_of(arming.fault)
        self._fired[kind] += 1
        self._dropped += len(self._firings) == self._firings.maxlen
        if request is not None:
            request.fault = f"{request.fault},{kind}".lstrip(",")
        self._firings.append(
            Firing(
                seq=self._truth.next_seq(),
                fault=arming.number,
                kind=kind,
                venue_ns=self._venue(),
                mono_ns=time.monotonic_ns(),
                request=request.seq if request is not None else 0,
                connection=connection,
                order=order,
                note=note,
            )
        )

    # ------------------------------------------------------------------------------------------------ reports
    def report(self) -> dict[str, Any]:
        """What is armed, how often each kind fired in this life, and what was armed and never fired."""
        self.armed(Fault)
        return {
            "armed": [a.fault for a in self._armed.values()],
            "fired": dict(self._fired),
            "never_fired": [a for a in self._history if not a.fired],
        }

    def truth(self, since: int = 0) -> dict[str, Any]:
        """Every arming of this life, and each firing with a seq above `since`."""
        self.armed(Fault)
        return {
            "armings": list(self._history),
            "firings": [f for f in self._firings if f.seq > since],
            "firings_dropped": self._dropped,
            "never_fired": [a.number for a in self._history if not a.fired],
        }
