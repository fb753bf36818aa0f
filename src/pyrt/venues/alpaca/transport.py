"""Which way requests travel: `requests`, or a socket of our own for a tenth of its processor time."""

from pyrt.errors import ConfigError
from pyrt.venues.alpaca.keys import Keys
from pyrt.venues.alpaca.session import VenueSession

REQUESTS, DIRECT = "requests", "direct"


def venue_session(url: str, keys: Keys, transport: str = REQUESTS) -> VenueSession:
    """A connection to the venue. Raises ConfigError for a URL, keys or a transport that are not for it."""
    if transport == REQUESTS:
        from pyrt.venues.alpaca.requests_session import RequestsSession

        return RequestsSession(url, keys)
    if transport == DIRECT:
        from pyrt.venues.alpaca.direct_session import DirectSession

        return DirectSession(url, keys)
    raise ConfigError(f"there is no transport {transport!r}", where="[execution] transport", mend=f"use {REQUESTS!r} or {DIRECT!r}")
