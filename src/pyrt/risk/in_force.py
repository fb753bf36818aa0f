"""Which limits are in force, by whom, and how others take their place."""

from hashlib import blake2b

import msgspec

from pyrt.clock import Now
from pyrt.errors import ConfigError, PyrtError
from pyrt.model import LimitsSet
from pyrt.ports import Alarm, Append, Command, SetLimits, Sync
from pyrt.risk.limits import Limits

CONFIGURATION = "configuration"  # who sets the limits of a start


class InForce:
    """The limits that decide. What loosens them needs a name, a reason and a token, and is durable before it is used."""

    def __init__(self, configured: Limits) -> None:
        self._configured = configured
        self.limits = configured
        self.version = 0  # of the last LimitsSet; 0 = none yet
        self.by = ""  # who set them

    def confirmation(self, limits: Limits) -> str:
        """The token that confirms limits that loosen those in force now; another version asks for another one."""
        return blake2b(f"{self.version}:{limits.canonical()}".encode(), digest_size=5).hexdigest()

    def needs_confirmation(self, limits: Limits, token: str) -> list[str]:
        """What other limits would loosen, unless the token confirms exactly them."""
        looser = limits.loosens(self.limits) if self.version else []
        return looser if token != self.confirmation(limits) else []

    def propose(self, limits: Limits, *, who: str, why: str, now: Now, token: str = "") -> list[Command]:
        """Make other limits the limits. What loosens needs who, why and its `confirmation`, and is durable before it is used."""
        limits.check()
        if limits == self.limits and self.version:
            return []
        looser = limits.loosens(self.limits) if self.version else []
        if looser and (self.needs_confirmation(limits, token) or not (who.strip() and why.strip())):
            words = f"looser only with who, why and its confirmation: {', '.join(looser)}"
            return [Alarm(severity="warning", code="LIMITS_REFUSED", text=words)]
        fact = LimitsSet(version=self.version + 1, limits=limits.canonical(), who=who, why=why, ts=now.venue)
        return [Append(fact=fact, sync=Sync.BEFORE_ACT if looser else Sync.SOON)]

    def start(self, now: Now) -> list[Command]:
        """Those of the configuration, but for what somebody tightened since."""
        looser = self._configured.loosens(self.limits) if self.version else []
        if looser and self.by != CONFIGURATION:
            # Somebody tightened them while it ran: a restart alone does not take that back.
            words = f"those that {self.by} set stay in force; the configuration would loosen {', '.join(looser)}"
            return [Alarm(severity="warning", code="LIMITS_KEPT", text=words)]
        token = self.confirmation(self._configured)  # the file is the human's word
        return self.propose(self._configured, who=CONFIGURATION, why="start", now=now, token=token)

    def asked(self, event: SetLimits, now: Now) -> list[Command]:
        """Somebody asks for other limits while it runs."""
        try:
            limits = self.changed(event.limits)
        except PyrtError as e:
            return [Alarm(severity="warning", code="LIMITS_REFUSED", text=str(e))]
        if not (event.who.strip() and event.why.strip()):
            return [Alarm(severity="warning", code="LIMITS_REFUSED", text="limits change only with who and why")]
        return self.propose(limits, who=event.who, why=event.why, now=now, token=event.token)

    def changed(self, values: str) -> Limits:
        """Those in force with some changed, as JSON tells. Raises ConfigError."""
        try:
            return Limits.of(msgspec.json.decode(values, type=dict), base=self.limits)
        except msgspec.DecodeError as e:
            raise ConfigError(f"not a JSON object: {e}", where="limits") from None

    def limits_set(self, fact: LimitsSet) -> None:
        """A fact: other limits."""
        self.version = fact.version
        self.by = fact.who
        self.limits = Limits.parse(fact.limits)

    def restore(self, limits: Limits, version: int, by: str) -> None:
        """Go on from a snapshot."""
        self.limits, self.version, self.by = limits, version, by
