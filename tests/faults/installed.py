"""Where the product finds clocks, threads, sockets and files: the stand-ins, put there and taken away again."""

import gc
import logging
import random
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from tests.faults import files
from tests.faults import kernel as kernel_
from tests.faults import net as net_
from tests.faults import venue as venue_
from tests.faults.doors import Appender, Ears, JournalDoor, Page, Projection, Shell
from tests.faults.tables import Following, Unlinked

from pyrt import process
from pyrt.execution import past
from pyrt.journal import journal as journal_module
from pyrt.journal import projection, projection_feed, projection_tables, segments, snapshots
from pyrt.live import backfill, control, halt, keeper, room, runner, shell, warm_up
from pyrt.market import data as market_data
from pyrt.risk import Limits
from pyrt.venues.alpaca import broker, budget, clock, feed, history, lanes, link, pages, requests_session, session, stream
from pyrt.venues.sim.server import access, edge, faults, floor, hub

if TYPE_CHECKING:
    from tests.faults.world import Simulation

_log = logging.getLogger("pyrt")
_parsed = lru_cache(maxsize=8)(Limits.parse)  # the same few texts at each start


class _Random:
    """Stands in for the module `random`, and for its class where that is imported alone."""

    def __init__(self, rng: random.Random) -> None:
        self.uniform = rng.uniform


class _Secrets:
    def __init__(self, rng: random.Random) -> None:
        self.token_bytes = rng.randbytes


@contextmanager
def installed(sim: "Simulation") -> Iterator[None]:
    """Put the stand-ins where the product finds clocks, threads, sockets and files; take them away again."""
    kernel_.World.kernel, kernel_.World.machine = sim.kernel, sim.machine
    kernel_.World.preempt = sim.plan.preempt
    chance = random.Random(sim.rng.randrange(1 << 60))
    files.Path.system = sim.system
    net_.Adapter.net = net_.Session.net = sim.net
    Shell.sim = JournalDoor.sim = Appender.sim = Page.sim = Following.sim = Unlinked.sim = sim
    Appender.disk, Appender.system = sim.disk, sim.system
    clock_, threading_, requests_ = kernel_.Clock, kernel_.Threading, net_.Requests
    puts: list[tuple[Any, str, Any]] = [(m, "time", clock_) for m in (broker, clock, history, lanes, link, session, shell)]
    puts += [(m, "time", clock_) for m in (runner, warm_up)]
    puts += [(m, "threading", threading_) for m in (broker, budget, clock, lanes, session, shell, backfill, journal_module)]
    puts += [(m, "time", venue_.VenueClock) for m in (access, edge, faults, floor, hub)]
    puts += [(m, "requests", requests_) for m in (link, history)]
    puts += [
        (lanes, "queue", kernel_.Queue),
        (requests_session, "_adapter", net_.Adapter),
        (requests_session, "requests", net_.Preparing),
        (stream, "dial", sim.net.dial),
        (feed, "dial", sim.net.dial),
        (stream, "random", _Random(chance)),
        (feed, "Random", lambda: chance),
        (pages, "ORDERS_PAGE", sim.plan.page),
        (pages, "FILLS_PAGE", min(sim.plan.page, 100)),
        (journal_module, "Appender", Appender),
        (journal_module, "os", sim.system),
        (journal_module, "Path", files.Path),
        (journal_module, "fcntl", files.Flock(sim.system)),
        (journal_module, "secrets", _Secrets(chance)),
        (journal_module, "release", sim.system.release),
        (journal_module, "_bell", lambda: (-1, -1)),
        (segments, "os", sim.system),
        (segments, "mmap", files.Map(sim.disk)),
        (segments, "sync_file", sim.system.sync_file),
        (market_data, "CAPACITY", 64),
        (past, "KEPT", sim.plan.kept),
        (room, "free_bytes", lambda directory: 1 << 40),
        (past, "ROWS", sim.plan.rows),
        (runner, "Journal", JournalDoor),
        (runner, "recover", sim.recover),
        (runner, "LiveShell", Shell),
        (runner, "ProjectionFeed", Following if sim.tables is not None else Projection),
        (projection, "Path", Unlinked),
        (projection_feed, "threading", threading_),
        (projection_tables, "time", clock_),
        (runner, "RiskPage", Page),
        (process, "os", sim.system),
        (control, "TICK", 0.5),
        (control, "os", sim.system),
        (halt, "os", sim.system),
        (process, "os", sim.system),
        (halt, "threading", threading_),
        (snapshots, "os", sim.system),
        (snapshots, "open", sim.system.fdopen),
        (Limits, "parse", _parsed),
        (keeper, "time", clock_),
    ]
    kept = [(module, name, getattr(module, name, None)) for module, name, _ in puts]
    ears, level, propagate = Ears(sim), _log.level, _log.propagate
    hook = sys.unraisablehook
    collecting = gc.isenabled()
    try:
        for module, name, value in puts:
            setattr(module, name, value)
        gc.disable()
        _log.addHandler(ears)
        _log.propagate = False
        sys.unraisablehook = lambda args: (
            None if "coroutine" in str(args.object) or "GeneratorExit" in str(args.exc_value) else hook(args)
        )
        yield
    finally:
        for module, name, value in kept:
            if value is None:  # a builtin that was hidden
                delattr(module, name)
            else:
                setattr(module, name, value)
        _log.removeHandler(ears)
        _log.propagate = propagate
        _log.setLevel(level)
        if collecting:
            gc.enable()
        sys.unraisablehook = hook
        sim.disk.close()


def sweep() -> None:
    """Throw away what the dead left: coroutines that nobody will ever await, without a word of them."""
    hook = sys.unraisablehook
    sys.unraisablehook = lambda args: None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)
            gc.collect()
    finally:
        sys.unraisablehook = hook
