"""The loop that a session runs on: one that sleeps until something comes, or one that watches for it on a processor of its own."""

import asyncio
import contextlib
import gc
import os
import selectors
import sys
import threading
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, TypeVar

from pyrt._core.spin import spin
from pyrt.errors import ConfigError
from pyrt.live.plan import Live

T = TypeVar("T")
_TURN = 10_000_000  # ns watched before handlers of signals get their turn


def run(main: Coroutine[Any, Any, T], *, busy_poll: bool = False) -> T:
    """Run a coroutine to its end, as asyncio.run does. Raises ConfigError where the system cannot be watched."""
    if not busy_poll:
        return asyncio.run(main)
    if sys.platform != "linux":
        main.close()
        raise ConfigError("busy_poll needs Linux", where="[execution] busy_poll", mend="leave it out")
    with asyncio.Runner(loop_factory=lambda: asyncio.SelectorEventLoop(_Watching())) as runner:
        return runner.run(main)


class Settled:
    """A companion: what is there when recovery ends stays for good, and a collection in the midst of trading passes it over.

    A full one looks at some 60,000 objects of a session else, and stops it for ten milliseconds or more.
    """

    async def __call__(self, live: Live) -> None:
        """Collect once, and take what is left out of the collector's sight until the session ends."""
        await live.runner.recovered.wait()
        gc.collect()
        gc.freeze()
        try:
            await asyncio.Event().wait()
        finally:
            gc.unfreeze()


class Pin:
    """A companion: from recovery on, the thread of the loop has one processor, and the threads beside it have the others."""

    def __init__(self, cpu: int) -> None:
        self._cpu = cpu
        self._all = os.sched_getaffinity(0) if sys.platform == "linux" else set()
        if cpu not in self._all:
            has = ", ".join(map(str, sorted(self._all))) or "none to choose"
            raise ConfigError(f"there is no processor {cpu}", where="[execution] cpu", mend=f"this process has {has}")

    async def __call__(self, live: Live) -> None:
        """Pin when recovery has ended: the threads that are there by then, and each later one as the first thing that it does."""
        others = self._all - {self._cpu} or self._all
        before = threading.getprofile()

        def step_aside(*_: Any) -> None:
            sys.setprofile(before)  # once in a thread
            with contextlib.suppress(OSError):
                os.sched_setaffinity(0, others)

        await live.runner.recovered.wait()
        # Whoever starts a thread, the backfill, a timer or a strategy, starts it on its own processor: the loop's.
        threading.setprofile(step_aside)
        _place({self._cpu}, others)
        try:
            await asyncio.Event().wait()
        finally:
            threading.setprofile(before)
            os.sched_setaffinity(0, self._all)


def _place(mine: set[int], others: set[int]) -> None:
    """This thread here, all others there."""
    own = threading.get_native_id()
    for thread in Path("/proc/self/task").iterdir():
        with contextlib.suppress(OSError):  # it ended meanwhile
            os.sched_setaffinity(int(thread.name), mine if int(thread.name) == own else others)


if sys.platform == "linux":

    class _Watching(selectors.EpollSelector):
        """Looks again and again; the interpreter's lock is free meanwhile."""

        def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
            if timeout is None or timeout > 0:
                spin(self.fileno(), _TURN if timeout is None else min(_TURN, int(timeout * 1e9)))
            return super().select(0)
