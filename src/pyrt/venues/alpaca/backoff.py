"""How long to wait before the next try."""

from random import Random


class Backoff:
    """Full jitter between the first delay and a bound that doubles up to the cap; only `reset` shortens it again."""

    def __init__(self, first: float, cap: float, rng: Random) -> None:
        self.first = first
        self.cap = cap
        self.tries = 0
        self._rng = rng

    def next(self) -> float:
        """Seconds to wait now."""
        bound = min(self.cap, self.first * 2.0 ** min(self.tries, 60))
        self.tries += 1
        return max(self.first, self._rng.uniform(0.0, bound))

    def reset(self) -> None:
        """The last try brought what it was made for."""
        self.tries = 0
