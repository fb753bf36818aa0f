"""The venue's clock, measured by asking for it."""

import threading
import time

from pyrt.clock import VenueClock
from pyrt.config import Secret
from pyrt.errors import Misbehaved, NotAuthorized, NotConnected
from pyrt.ports import ClockMeasured
from pyrt.venues.alpaca import wire
from pyrt.venues.alpaca.answers import date_of
from pyrt.venues.alpaca.body import decode
from pyrt.venues.alpaca.keys import SIM, Keys, check_url
from pyrt.venues.alpaca.session import Answer, Attempt, Broken, Ended, VenueSession
from pyrt.venues.alpaca.transport import venue_session

_NS = 1_000_000_000


def measure_clock(url: str, *, key: Secret, secret: Secret, samples: int = 3, timeout: float = 5.0) -> ClockMeasured:
    """The best of some measurements: the one with the shortest round trip. Blocks; each sample costs one request.

    Sim answers at /sim/clock with its time and rate, Alpaca at /v2/clock with its time. `timeout` is the total of one, in s; what
    takes longer is asked once more, since it may be this machine that stood still. Raises NotConnected, NotAuthorized, Misbehaved.
    """
    sim = check_url(url) == SIM
    session = venue_session(url, Keys(key, secret))
    try:
        # The first request pays for the connection, so its round trip says little.
        _ask(session, sim, timeout)
        return min((_ask(session, sim, timeout) for _ in range(samples)), key=lambda measured: measured.uncertainty)
    finally:
        session.close()


def _ask(session: VenueSession, sim: bool, timeout: float) -> ClockMeasured:
    begun = time.monotonic_ns()
    try:
        return _ask_once(session, sim, timeout)
    except NotConnected:
        if time.monotonic_ns() - begun < timeout * _NS:
            raise
        return _ask_once(session, sim, timeout)


def _ask_once(session: VenueSession, sim: bool, timeout: float) -> ClockMeasured:
    attempt = Attempt()
    deadline = threading.Timer(timeout, _end, (session, attempt))
    deadline.start()
    before = time.monotonic_ns()
    try:
        answer = session.exchange(attempt, "GET", "/sim/clock" if sim else "/v2/clock", None, timeout)
    except (Broken, Ended) as error:
        raise NotConnected(f"the venue's clock was not read: {error}", mend="is the venue running and reachable?") from None
    finally:
        deadline.cancel()
    after = time.monotonic_ns()
    if answer.status in (401, 403):
        raise NotAuthorized(f"the venue refused the keys: HTTP {answer.status}", mend="check the keys and the venue they are for")
    if answer.status != 200:
        raise Misbehaved(f"the venue's clock was not read: HTTP {answer.status}")
    now, rate, grain = _read(answer, sim)
    origin = (before + after) // 2
    return ClockMeasured(clock=VenueClock(epoch=now, origin=origin, rate=rate), uncertainty=(after - before) // 2 + grain)


def _end(session: VenueSession, attempt: Attempt) -> None:
    attempt.end()
    session.shut(attempt)


def _read(answer: Answer, sim: bool) -> tuple[int, float, int]:
    """Venue ns, its rate, and the coarseness of the reading in ns."""
    body = decode(answer.body)
    try:
        if sim:
            return int(body["now_ns"]), float(body["rate"]), 0
        if body.get("timestamp"):
            return wire.parse_time(body["timestamp"]), 1.0, 0
    except (TypeError, ValueError, KeyError, AttributeError):
        raise Misbehaved("the venue's clock has another form than expected") from None
    date = date_of(answer.headers.get("Date", ""))
    if not date:
        raise Misbehaved("the venue's clock tells no time")
    return int(date * _NS) + _NS // 2, 1.0, _NS // 2  # whole seconds, cut
