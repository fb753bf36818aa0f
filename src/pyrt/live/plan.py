"""What to run, and what a venue and a companion are to whoever runs it."""

from collections.abc import Awaitable, Callable, Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import msgspec
import numpy as np

from pyrt._core.inbox import Inbox
from pyrt.clock import VenueClock
from pyrt.config import Secret
from pyrt.execution import Settings
from pyrt.journal.postgres import Database
from pyrt.live.backfill import Backfill
from pyrt.live.shell import LiveShell
from pyrt.live.troubles import Vigil
from pyrt.model import Instrument, Instruments
from pyrt.ports import AssetTold, Broker, ClockMeasured, Feed, Sink
from pyrt.risk import Limits
from pyrt.session import Session
from pyrt.signals import Sizer
from pyrt.strategies import Strategy

if TYPE_CHECKING:
    from pyrt.live.runner import Runner

Records = np.ndarray[Any, Any]
Clock = Callable[[], VenueClock]


class Stream(Protocol):
    """The trading stream: runs until closed, its events go to the sink it was made with."""

    async def run(self) -> None: ...

    async def close(self) -> None: ...


class Link(Protocol):
    """A venue as the runner needs it: who we are there, and how to make the adapters."""

    name: str
    account_id: str
    clock: VenueClock

    def measure(self) -> ClockMeasured: ...

    def instruments(self, symbols: Sequence[str], first_id: int) -> list[Instrument]: ...

    def asset(self, instrument: Instrument) -> AssetTold: ...

    def feed(
        self,
        instruments: Instruments,
        *,
        sink: Callable[[Records, Records], None],
        events: Sink,
        clock: Clock,
        symbols: Collection[str],
        inbox: Inbox,  # may be given frames natively; what it does not take goes to the sink
    ) -> Feed: ...

    def stream(self, sink: Sink) -> Stream: ...

    def broker(self, sink: Sink, clock: Clock, *, deadline: float, blocked: Callable[[], bool]) -> Broker: ...

    def egress(self) -> tuple[str, tuple[Secret, Secret]]: ...

    def warm_up(self, instrument: Instrument, interval: int, n: int, before: int) -> np.ndarray[Any, Any]: ...

    def trades(self, instrument: Instrument, start: int, end: int) -> np.ndarray[Any, Any]: ...


class Live(NamedTuple):
    """A session while it runs, as those beside it see it."""

    runner: "Runner"
    session: Session
    shell: LiveShell
    feed: Feed
    backfill: Backfill
    vigil: Vigil


Companion = Callable[[Live], Awaitable[None]]


class Plan(msgspec.Struct, kw_only=True):
    """What to run."""

    link: Link
    directory: Path
    strategies: list[Strategy]
    limits: Limits
    settings: Settings = Settings()
    sizer: Sizer | None = None
    signals: dict[str, Any] | None = None  # the section that the sizer was made of, for the recording
    duration: float | None = None  # seconds of this machine's time; None = until stopped
    durability: str = "sync"
    segment_size: int = 64 << 20  # bytes of a journal segment
    snapshot_facts: int = 20_000  # facts after which a snapshot is taken
    snapshot_seconds: float = 600.0  # and seconds, where there are any new ones
    record: bool = True
    dry_run: bool = False
    watchdog: bool = True
    silence: float = 5.0  # seconds without a sign of life after which the watchdog cancels entries
    data_down: float = 10.0  # seconds without the data feed after which it does
    trouble: float = 120.0  # seconds that a stream, the venue or a recovery may be away until a human hears of it
    alerts: Secret = Secret("")  # for the watchdog, which tells that it sweeps
    calendar: bool = False  # our simulated venue keeps the hours of the exchange; every other venue does anyway
    listeners: list[Any] = []
    database: Database | None = None  # of PostgreSQL, for a second projection of the journal
    companions: list[Companion] = []  # coroutines on the session's loop, from before recovery until its end

    def __post_init__(self) -> None:
        self.directory = self.directory.absolute()  # a strategy may change the working directory
