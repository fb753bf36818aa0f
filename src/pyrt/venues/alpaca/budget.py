"""The venue's request budget: never more than its limit in any window of a minute, with a share kept for cancels."""

import threading
from collections import deque
from collections.abc import Callable, Mapping
from email.utils import parsedate_to_datetime
from enum import Enum

WINDOW = 60_000_000_000  # ns
PATIENCE = 10_000_000_000  # ns after which a snapshot may spend what a look-up may: orders alone could else keep it out for ever
LATE = 1_000_000_000  # ns after its place was taken in which a request may leave: it connects first, and the way takes its time
_NS = 1_000_000_000


class Purpose(Enum):
    """What a request is for; the value is the share of the limit up to which it may be sent."""

    CANCEL = 1.0  # the last fifth is its own
    LOOKUP = 0.9  # an unknown order blocks exposure, and a kill waits to be verified
    ORDER = 0.8
    SNAPSHOT = 0.6


class Budget:
    """A sliding log of requests: any window of 60 s holds at most `limit` of ours and what others are known to have spent.

    Half of it counts as spent at the start, until the venue's first answer tells. Monotonic ns; safe from any thread.
    """

    def __init__(self, limit: int, mono: Callable[[], int]) -> None:
        """`limit` requests a minute, until the venue names its own; 0 is no limit until then."""
        self._mono = mono
        self._changed = threading.Condition()
        self._limit = limit
        self._sent: deque[int] = deque()
        self._others = limit - limit // 2  # spent by an earlier life of ours or by other programs
        self._others_until = mono() + WINDOW
        self._blocked_until = 0
        self._closed = False

    @property
    def limit(self) -> int:
        """Requests a minute; 0 is none."""
        return self._limit

    def acquire(self, purpose: Purpose, until: int, wanted: Callable[[], bool] = lambda: True, *, since: int = 0) -> bool:
        """Wait for room and take it; False when `until` (monotonic ns) or the end of the budget came first, or it is unwanted.

        After what `wanted` reads has changed, call `look_again`. since: when a snapshot was asked for (monotonic ns); 0 is now.
        """
        with self._changed:
            urgent_at = (since or self._mono()) + PATIENCE
            while not self._closed and wanted():
                now = self._mono()
                at = self._room_at(purpose, now)
                if purpose is Purpose.SNAPSHOT and at > now:
                    at = min(at, max(urgent_at, self._room_at(Purpose.LOOKUP, now)))
                if at <= now:
                    self._sent.append(now)
                    return True
                if now >= until:
                    return False
                self._changed.wait((min(at, until) - now) / _NS)
            return False

    def note(self, n: int = 1) -> None:
        """Count requests that leave now, whether there is room or not: of a start, or of a question that somebody waits for."""
        with self._changed:
            self._sent.extend([self._mono()] * n)

    def learn(self, headers: Mapping[str, str]) -> None:
        """Take in X-RateLimit-Limit, X-RateLimit-Remaining and X-RateLimit-Reset of an answer."""
        limit, remaining = _number(headers.get("X-RateLimit-Limit")), _number(headers.get("X-RateLimit-Remaining"))
        if not limit:
            return
        with self._changed:
            now = self._mono()
            self._forget(now)
            self._limit = limit
            if remaining is not None:
                self._others = max(0, limit - remaining - len(self._sent))
                self._others_until = now + _window_left(headers)
            self._changed.notify_all()

    def look_again(self) -> None:
        """Let those who wait find out whether they are still wanted."""
        with self._changed:
            self._changed.notify_all()

    def block(self, until: int) -> None:
        """The venue said 429: nothing but cancels before `until` (monotonic ns)."""
        with self._changed:
            self._blocked_until = max(self._blocked_until, until)

    def close(self) -> None:
        """Let nobody through any more."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def spent(self) -> int:
        """Requests counted in the present window."""
        with self._changed:
            self._forget(self._mono())
            return len(self._sent) + self._others

    def _forget(self, now: int) -> None:
        while self._sent and self._sent[0] <= now - WINDOW - LATE:
            self._sent.popleft()
        if self._others_until <= now:
            self._others = 0

    def _room_at(self, purpose: Purpose, now: int) -> int:
        """The first instant at which a request of this purpose may leave, if nothing else is sent until then."""
        self._forget(now)
        blocked = self._blocked_until if purpose is not Purpose.CANCEL else 0
        if not self._limit:
            return blocked
        excess = len(self._sent) + self._others - max(1, int(self._limit * purpose.value)) + 1
        if excess <= 0:
            return blocked
        # The log empties from its old end; what others spent goes in one piece.
        if excess <= len(self._sent):
            free = self._sent[excess - 1] + WINDOW + LATE
            if self._others:
                free = min(free, max(self._others_until, self._free_without_others(excess)))
        else:
            free = max(self._others_until, self._free_without_others(excess))
        return max(blocked, free)

    def _free_without_others(self, excess: int) -> int:
        left = excess - self._others
        return self._sent[left - 1] + WINDOW + LATE if left > 0 else 0


def _number(text: str | None) -> int | None:
    return int(text) if text is not None and text.isascii() and text.isdigit() else None


def _window_left(headers: Mapping[str, str]) -> int:
    """Ns until the venue forgets what was spent, by its own clock: X-RateLimit-Reset less Date, both in whole seconds.

    A whole window where they are missing or do not fit together.
    """
    reset = _number(headers.get("X-RateLimit-Reset"))
    try:
        now = int(parsedate_to_datetime(headers.get("Date", "")).timestamp())
    except (TypeError, ValueError, OverflowError):
        return WINDOW
    if reset is None or not 0 <= reset - now <= WINDOW // _NS:
        return WINDOW
    return min((reset - now + 1) * _NS, WINDOW)
