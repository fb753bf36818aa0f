"""Time as decisions see it: the venue's clock, computed from the monotonic one."""

from typing import NamedTuple

import msgspec

from pyrt._core.sampled import BarSpec, bar_spec, spec_text
from pyrt.errors import ConfigError

SECOND = 1_000_000_000
MINUTE = 60 * SECOND
DAY = 86_400 * SECOND
LEAST_CODE = -(1 << 56)  # below it an interval is a BarSpec's code
_INTERVALS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


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


def interval_ns(text: str | int | BarSpec) -> int:
    """Read an interval such as "1s", "5m", "1h", "1d" as ns; an int is ns already. Raises ConfigError.

    What trades close, as "tick:100" or Tick(100), is the code below 0 that its bars carry as their interval.
    """
    if isinstance(text, BarSpec):
        return text.code
    if isinstance(text, int) and (text > 0 or text < LEAST_CODE):
        return text
    text = str(text)
    if ":" in text:
        try:
            return bar_spec(text).code
        except ValueError as e:
            raise ConfigError(str(e), mend='write "1m", "tick:100" or "volume:10000"') from None
    number, unit = text[:-1], text[-1:]
    if unit not in _INTERVALS or not (number.isascii() and number.isdigit()) or int(number) == 0:
        raise ConfigError(f"{text!r} is not an interval", mend='write "1s", "30s", "1m", "5m", "1h" or "1d"')
    return int(number) * _INTERVALS[unit] * 1_000_000_000


def interval_text(interval: int) -> str:
    """An interval as one writes it: "1s", "5m", "tick:100"."""
    if interval < 0:
        return spec_text(interval)
    for unit, seconds in reversed(_INTERVALS.items()):
        if interval % (seconds * 1_000_000_000) == 0:
            return f"{interval // (seconds * 1_000_000_000)}{unit}"
    return f"{interval} ns"
