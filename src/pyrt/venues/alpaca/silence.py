"""How long a stream may be silent before it is taken for dead, from what it carried: for as long as chance explains it.

Of arrivals with one mean rate, n of them in t seconds, the next one comes later than s with probability (1 + s/t)**-n, the rate
itself being unknown (Gamma posterior of a Poisson rate). A silence is a fault where that is below e**-NATS. Real arrivals come in
bursts as well, so a silence must also be twice the longest of the last minute, and QUICKEST at least.
"""

from math import exp, expm1

NATS = 20.0  # e**-20 = 2e-9 a gap: at 6 arrivals a second, 6.5 hours a day, one false alarm in more than 3,000 days
QUICKEST = 3.5  # seconds; no silence is shorter, however busy the stream
LEAST = 1.0  # seconds of flow from which a rate is known
MEMORY = 60.0  # seconds; what came earlier counts for 1/e


class Silence:
    """The silence rule of one stream over its connections, in seconds of any clock.

    longest: the bound where nothing is known. step: seconds between two looks.
    """

    def __init__(self, longest: float, step: float) -> None:
        self._longest, self._step = longest, step
        self._count = self._time = self._pause = 0.0  # frames, seconds of flow, longest silence among them; all fade
        self._doubted = False  # the last connection was left for its silence
        self._fresh = True  # nothing came on this connection yet
        self._heard = 0
        self._since = self._before = 0.0

    def begin(self, now: float) -> None:
        """A connection begins. What the one before carried is expected of it: a reconnection does not change the market."""
        self._fresh, self._heard, self._since, self._before = True, 0, now, now

    def look(self, now: float, frames: int, expected: bool) -> float:
        """The seconds of a silence that is a fault, 0.0 = none. frames: of this connection. expected: something ought to come."""
        held = now - self._before - self._step
        self._before = now
        if held > self._step:  # this process stood still: that is nobody's silence
            self._since = min(now, self._since + held)
        if frames != self._heard:
            self._flow(now - self._since, frames - self._heard)
            self._heard, self._since = frames, now
        elif not expected:
            self._since = now
        silence = now - self._since
        if silence <= self.bound:
            return 0.0
        self._doubted = True
        return silence

    @property
    def bound(self) -> float:
        """Seconds of silence that are no fault yet."""
        if self._time < LEAST or (self._doubted and self._fresh):  # the market itself may have gone quiet
            return self._longest
        chance = self._time * expm1(min(NATS / self._count, 100.0))
        return min(self._longest, max(QUICKEST, chance, 2 * self._pause))

    def _flow(self, gap: float, frames: int) -> None:
        if self._fresh:  # the gap was the connection's making; unless it outlasted a silence: then it was the market's
            if self._doubted and gap > QUICKEST:
                self._count = self._time = self._pause = 0.0
            self._fresh = self._doubted = False
            return
        kept = exp(-gap / MEMORY)
        self._count = self._count * kept + frames
        self._time = self._time * kept + gap
        self._pause = max(self._pause * kept, gap - self._step)
