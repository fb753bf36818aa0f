"""Threads for requests: a task gets exactly one result, whoever is first: its worker, its deadline, or its expiry in the queue."""

import heapq
import itertools
import logging
import queue
import threading
import time
from collections.abc import Callable
from enum import Enum

from pyrt.ports import Event, Sink
from pyrt.venues.alpaca.session import VenueSession

log = logging.getLogger(__name__)

_NS = 1_000_000_000
MOST = 10_000  # tasks that wait in one lane; limits of risk and deadlines keep it far below


class _State(Enum):
    QUEUED = 1
    BEGUN = 2
    DONE = 3


class Task:
    """A command on its way to exactly one result.

    `perform` runs in a worker and returns the result; `lost` makes the result of a task that got no answer, from whether a byte
    of it may have left and a text.
    """

    __slots__ = ("_lock", "_sink", "_state", "lost", "perform")

    def __init__(self, perform: Callable[["Task", VenueSession], Event], lost: Callable[[bool, str], Event], sink: Sink) -> None:
        self.perform = perform
        self.lost = lost
        self._sink = sink
        self._state = _State.QUEUED
        self._lock = threading.Lock()

    @property
    def wanted(self) -> bool:
        """Whether its result is still to come."""
        return self._state is not _State.DONE

    def begin(self) -> bool:
        """Take it out of the reach of `expire`; False when it is done already."""
        with self._lock:
            if self._state is _State.QUEUED:
                self._state = _State.BEGUN
            return self._state is not _State.DONE

    def finish(self, event: Event) -> bool:
        """Deliver the result; False when another was delivered."""
        with self._lock:
            if self._state is _State.DONE:
                return False
            self._state = _State.DONE
        deliver(self._sink, event)
        return True

    def expire(self, text: str) -> None:
        """End it if it has not begun."""
        with self._lock:
            if self._state is not _State.QUEUED:
                return
            self._state = _State.DONE
        deliver(self._sink, self.lost(False, text))


def deliver(sink: Sink, event: Event) -> None:
    """Put an event into the inbox; an inbox that fails does not end the thread or connection that serves the others."""
    try:
        sink(event)
    except Exception:
        log.exception("the inbox refused %r", event)


class Watch:
    """Calls functions at monotonic instants, from one thread of its own."""

    def __init__(self, name: str) -> None:
        self._changed = threading.Condition()
        self._due: list[tuple[int, int, Callable[[], None]]] = []
        self._order = itertools.count()
        self._closed = False
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def at(self, mono: int, call: Callable[[], None]) -> None:
        """Call at `mono` (ns) or as soon after as can be."""
        with self._changed:
            heapq.heappush(self._due, (mono, next(self._order), call))
            if self._due[0][0] == mono:
                self._changed.notify()

    def close(self) -> None:
        """End the thread; what was not due is dropped."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join()

    def _run(self) -> None:
        while (call := self._next()) is not None:
            try:
                call()
            except Exception:
                log.exception("a deadline could not be kept")

    def _next(self) -> Callable[[], None] | None:
        with self._changed:
            while not self._closed:
                if not self._due:
                    self._changed.wait()
                    continue
                wait = self._due[0][0] - time.monotonic_ns()
                if wait <= 0:
                    return heapq.heappop(self._due)[2]
                self._changed.wait(wait / _NS)
            return None


class Lane:
    """A queue of tasks and the threads that work on it, each with its own connection; begun in order, so one thread keeps it."""

    def __init__(self, name: str, connect: Callable[[], VenueSession], *, threads: int = 1) -> None:
        self._connect = connect
        self._queue: queue.SimpleQueue[Task | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._closed = False
        self._threads = [threading.Thread(target=self._run, name=f"{name}-{i}", daemon=True) for i in range(threads)]
        for thread in self._threads:
            thread.start()

    def put(self, task: Task) -> None:
        """Queue a task; on a closed or full lane it is lost at once."""
        with self._lock:
            if not self._closed and self._queue.qsize() < MOST:
                self._queue.put(task)
                return
        task.expire("the order path is closed" if self._closed else "too many requests wait")

    def close(self) -> None:
        """Take nothing more; the threads end after what is queued."""
        with self._lock:
            self._closed = True
            for _ in self._threads:
                self._queue.put(None)

    def join(self, timeout: float) -> None:
        """Wait for the threads, each at most `timeout` seconds."""
        for thread in self._threads:
            thread.join(timeout)

    def _run(self) -> None:
        session = self._connect()
        while (task := self._queue.get()) is not None:
            try:
                task.finish(task.perform(task, session))
            except Exception as error:
                # A fault of ours. Its text may hold anything; what was sent is not known.
                log.error("a request failed inside: %s", type(error).__name__)
                task.finish(task.lost(True, f"internal: {type(error).__name__}"))
        session.close()
