"""What really happened at the venue: every request and connection, beside the exchange's own record of orders and fills."""

from collections import deque
from typing import Any

import msgspec

BODY_KEPT = 16_384  # characters of a body
KEPT = 500_000  # requests in memory; older ones are dropped and counted


class Request(msgspec.Struct, kw_only=True):
    """One HTTP request as it came in and what the client was answered. Headers are not kept: they hold the secret."""

    seq: int
    method: str
    path: str
    query: str
    body: str = ""
    arrived_ns: int  # venue clock
    arrived_mono_ns: int  # the machine's monotonic clock
    handled_ns: int = 0  # venue clock at which the exchange took it; 0 = it never did
    answered_mono_ns: int = 0  # 0 = not yet
    status: int = 0  # what the client saw; 0 = not yet, or the connection was cut
    fault: str = ""  # the faults that it met, with commas
    account: str = ""  # whose keys it showed; empty = nobody's
    cut: bool = False  # the connection ended before a whole answer

    def keep(self, body: bytes) -> None:
        """Write down the body, as far as it is kept."""
        self.body = body[:BODY_KEPT].decode("utf-8", "replace")


class Connection(msgspec.Struct, kw_only=True):
    """One WebSocket connection."""

    seq: int
    path: str
    opened_ns: int
    opened_mono_ns: int
    closed_ns: int = 0  # 0 = still open
    closed_mono_ns: int = 0
    code: int = 0  # the WebSocket close code
    fault: str = ""
    account: str = ""  # whose keys it showed; empty = nobody's yet


class Truth:
    """The record of this life of the server; requests of earlier lives are not kept, orders and fills are (in the exchange)."""

    def __init__(self, kept: int = KEPT) -> None:
        self._requests: deque[Request] = deque(maxlen=kept)
        self._connections: deque[Connection] = deque(maxlen=kept)
        self._seq = 0
        self._dropped = 0

    def request(self, method: str, path: str, query: str, venue_ns: int, mono_ns: int) -> Request:
        """Write down a request; the caller completes it when it answers."""
        entry = Request(
            seq=self.next_seq(),
            method=method,
            path=path,
            query=query,
            arrived_ns=venue_ns,
            arrived_mono_ns=mono_ns,
        )
        self._dropped += len(self._requests) == self._requests.maxlen
        self._requests.append(entry)
        return entry

    def connection(self, path: str, venue_ns: int, mono_ns: int) -> Connection:
        """Write down a new WebSocket; the caller completes it when it closes."""
        entry = Connection(seq=self.next_seq(), path=path, opened_ns=venue_ns, opened_mono_ns=mono_ns)
        self._connections.append(entry)
        return entry

    def next_seq(self) -> int:
        """The next number of what happens; requests, connections and faults share them."""
        self._seq += 1
        return self._seq

    def report(self, since: int = 0) -> dict[str, Any]:
        """Requests and connections with a seq above `since`."""
        return {
            "requests": [r for r in self._requests if r.seq > since],
            "connections": [c for c in self._connections if c.seq > since],
            "requests_dropped": self._dropped,
            "last_seq": self._seq,
        }
