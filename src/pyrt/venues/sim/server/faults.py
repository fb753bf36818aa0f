"""What can be made to go wrong, as data. One struct a fault; the servers ask here at the points where it would bite.

`POST /sim/faults {"kind": "gateway_timeout", "every": 3}` arms one; the same kind again replaces it; `DELETE` disarms all.
"""

import random
from typing import Annotated, TypeVar, cast

import msgspec

Count = Annotated[int, msgspec.Meta(ge=1)]
Seconds = Annotated[float, msgspec.Meta(ge=0)]
Probability = Annotated[float, msgspec.Meta(ge=0, le=1)]


class Fault(msgspec.Struct, kw_only=True, tag=True, tag_field="kind", forbid_unknown_fields=True):
    """Anything that can be armed."""


class Timed(Fault, kw_only=True):
    """A fault that holds for a while of real time."""

    seconds: Seconds = 10.0


class GatewayTimeout(Fault, kw_only=True, tag="gateway_timeout"):
    """Every `every`-th order POST is accepted and answered 504; `count` of them in all, None = no end."""

    every: Count = 1
    count: Count | None = None


class DelayAccept(Fault, kw_only=True, tag="delay_accept"):
    """Every `every`-th order POST is held for `seconds` of real time before the exchange sees it."""

    seconds: Seconds
    every: Count = 1
    count: Count | None = None


class RateLimited(Timed, kw_only=True, tag="rate_limited"):
    """Every trading request is answered 429, with Retry-After if asked for."""

    retry_after: bool = False


class DropData(Timed, kw_only=True, tag="drop_data"):
    """All data sockets are cut without a close frame, and none may authenticate (406) for `seconds`."""

    seconds: Seconds = 0.0


class MuteData(Timed, kw_only=True, tag="mute_data"):
    """Data sockets stay open and answer pings, and nothing else is sent on them for `seconds`."""


class DropStream(Fault, kw_only=True, tag="drop_stream"):
    """All trading streams are cut without a close frame."""


class DropUpdates(Fault, kw_only=True, tag="drop_updates"):
    """Each trade update is lost with `probability` (seeded); `count` of them in all, None = no end."""

    probability: Probability = 1.0
    seed: int = 0
    count: Count | None = None


class DuplicateUpdates(Fault, kw_only=True, tag="duplicate_updates"):
    """Each trade update is sent twice with `probability` (seeded); `count` of them in all, None = no end."""

    probability: Probability = 1.0
    seed: int = 0
    count: Count | None = None


AnyFault = GatewayTimeout | DelayAccept | RateLimited | DropData | MuteData | DropStream | DropUpdates | DuplicateUpdates

F = TypeVar("F", GatewayTimeout, DelayAccept)
T = TypeVar("T", bound=Timed)


class _Armed:
    def __init__(self, fault: AnyFault, mono: int) -> None:
        self.fault = fault
        self.until = mono + int(fault.seconds * 1e9) if isinstance(fault, Timed) else 0
        self.asked = 0
        self.fired = 0
        self.dice = random.Random(getattr(fault, "seed", 0))


class Faults:
    """The armed faults, one of a kind. Times are the machine's monotonic ns."""

    def __init__(self) -> None:
        self._armed: dict[type, _Armed] = {}
        self._fired: dict[str, int] = {}

    def arm(self, fault: AnyFault, mono: int) -> None:
        """Arm a fault, in place of one of the same kind."""
        self._armed[type(fault)] = _Armed(fault, mono)

    def disarm(self) -> None:
        """End all of them."""
        self._armed.clear()

    def report(self) -> dict[str, object]:
        """What is armed, and how often each kind fired in this life."""
        return {"armed": [a.fault for a in self._armed.values()], "fired": dict(self._fired)}

    def gateway_timeout(self) -> bool:
        """Whether this order POST, now accepted, is answered 504."""
        return self._periodic(GatewayTimeout) is not None

    def accept_delay(self) -> float:
        """Seconds for which this order POST is held back."""
        fault = self._periodic(DelayAccept)
        return fault.seconds if fault is not None else 0.0

    def rate_limited(self, mono: int) -> RateLimited | None:
        """The storm that this trading request meets."""
        return self._timed(RateLimited, mono)

    def refuses_data(self, mono: int) -> bool:
        """Whether a data session may not authenticate yet after a drop."""
        return self._timed(DropData, mono) is not None

    def mutes_data(self, mono: int) -> bool:
        """Whether data frames are withheld now."""
        return self._timed(MuteData, mono) is not None

    def copies_of_update(self) -> int:
        """How often the next trade update is sent: 0, 1 or 2."""
        if self._chance(DropUpdates):
            return 0
        return 2 if self._chance(DuplicateUpdates) else 1

    def _periodic(self, kind: type[F]) -> F | None:
        armed = self._armed.get(kind)
        if armed is None:
            return None
        fault = armed.fault
        assert isinstance(fault, GatewayTimeout | DelayAccept)
        armed.asked += 1
        if armed.asked % fault.every or (fault.count is not None and armed.fired >= fault.count):
            return None
        self._fire(armed)
        return cast(F, fault)

    def _timed(self, kind: type[T], mono: int) -> T | None:
        armed = self._armed.get(kind)
        if armed is None or mono >= armed.until:
            return None
        self._fire(armed)
        return cast(T, armed.fault)

    def _chance(self, kind: type[DropUpdates] | type[DuplicateUpdates]) -> bool:
        armed = self._armed.get(kind)
        if armed is None:
            return False
        fault = armed.fault
        assert isinstance(fault, DropUpdates | DuplicateUpdates)
        if (fault.count is not None and armed.fired >= fault.count) or armed.dice.random() >= fault.probability:
            return False
        self._fire(armed)
        return True

    def _fire(self, armed: _Armed) -> None:
        armed.fired += 1
        kind = str(type(armed.fault).__struct_config__.tag)
        self._fired[kind] = self._fired.get(kind, 0) + 1
