"""Time as decisions see it: the venue's clock, computed from the monotonic one."""

from typing import NamedTuple

import msgspec

SECOND = 1_000_000_000
MINUTE = 60 * SECOND
DAY = 86_400 * SECOND


class Now(NamedTuple):
    """The instant of an inbox entry on both clocks: `venue` ns UTC, `mono` ns of this process's monotonic clock."""

    venue: int
    mono: int


class VenueClock(msgspec.Struct, frozen=True):
    """A linear map from monotonic to venue time: `venue = epoch + (mono - origin) * rate`.

    On Alpaca the rate is 1 and the epoch is UTC plus the measured offset; on sim both come from `GET /sim/clock`.
    """

    epoch: int
    origin: int
    rate: float = 1.0

    def at(self, mono: int) -> int:
        """Venue time in ns UTC at a monotonic instant."""
        elapsed = mono - self.origin
        return self.epoch + (elapsed if self.rate == 1.0 else int(elapsed * self.rate))

    def mono_at(self, venue: int) -> int:
        """The monotonic instant at which the venue's clock shows `venue`."""
        elapsed = venue - self.epoch
        return self.origin + (elapsed if self.rate == 1.0 else int(elapsed / self.rate))
