"""When a request reaches the venue and when its answer is back: the latency model of a backtest, constant or recorded."""

from typing import Protocol

import msgspec

from pyrt.clock import SECOND, Now
from pyrt.ports import Command, Event, TradeUpdate


class LatencyModel(Protocol):
    """Asked once for each request, answer and update; `at` is venue ns."""

    def arrival(self, command: Command, now: Now) -> int:
        """When the venue handles what was sent at `now`, venue ns."""
        ...

    def delivery(self, event: Event, at: int) -> Now:
        """When we hear what the venue answered, or told, at `at`."""
        ...


class Latency(msgspec.Struct, frozen=True, kw_only=True):
    """The same delays always, in seconds: a request to the venue, its answer back, an update of the trading stream."""

    submit: float = 0.02
    answer: float = 0.02
    update: float = 0.02

    def arrival(self, command: Command, now: Now) -> int:
        """See LatencyModel."""
        return now.venue + int(self.submit * SECOND)

    def delivery(self, event: Event, at: int) -> Now:
        """See LatencyModel."""
        ns = at + int((self.update if isinstance(event, TradeUpdate) else self.answer) * SECOND)
        return Now(ns, ns)
