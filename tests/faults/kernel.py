"""One virtual clock, one queue of what happens, and the threads of a process as tasks on it. Nothing here is real: no thread, no
sleep; the same seed makes the same history.

A simulated process (`Machine`) lives until it dies at any switch of its tasks; then nothing that it still does has an effect.
"""

import asyncio
import heapq
import random
from collections import deque
from collections.abc import Callable
from typing import Any

from greenlet import GreenletExit, getcurrent, greenlet

US, MS, SECOND = 1_000, 1_000_000, 1_000_000_000
PREEMPTED = 3 * MS  # how long a task is without the processor, at most


class Kernel:
    """The queue of what happens, by instant and then by order of asking."""

    def __init__(self, seed: int) -> None:
        self.now = 0  # ns since the world began
        self.steps = 0
        self.rng = random.Random(seed ^ 0x5EED)  # of the scheduler alone
        self.hub = getcurrent()
        self.task: Task | None = None  # that runs
        self._heap: list[tuple[int, int, Callable[..., None], tuple[Any, ...]]] = []
        self._order = 0

    def at(self, instant: int, do: Callable[..., None], *args: Any) -> None:
        """Call `do` from the hub at an instant."""
        self._order += 1
        heapq.heappush(self._heap, (instant if instant > self.now else self.now, self._order, do, args))

    def later(self, after: int, do: Callable[..., None], *args: Any) -> None:
        """Call `do` from the hub after so many ns."""
        self.at(self.now + after, do, *args)

    def run(self, until: int, over: Callable[[], bool] = lambda: False) -> None:
        """Let time pass until an instant, or until `over` says so."""
        heap = self._heap
        while heap and heap[0][0] <= until and not over():
            at, _, do, args = heapq.heappop(heap)
            self.now = at
            self.steps += 1
            do(*args)
        if not over():
            self.now = max(self.now, until)


class Machine:
    """One process: its tasks, its monotonic clock, its wall clock."""

    def __init__(self, kernel: Kernel, offset: int, wall: int) -> None:
        self.kernel = kernel
        self.offset = offset  # of its monotonic clock
        self.wall = wall  # ns UTC of its wall clock at the world's beginning
        self.dead = False
        self.tasks: list[Task] = []
        self.on_death: list[Callable[[], None]] = []

    def mono(self) -> int:
        return self.kernel.now + self.offset

    def spawn(self, target: Callable[[], Any], name: str) -> "Task":
        task = Task(self, target, name)
        self.tasks.append(task)
        self.kernel.later(self.kernel.rng.randrange(1, 20_000), task.resume, task.ticket, True)
        return task

    def die(self) -> None:
        """End at this instant. Called by one of its tasks, it does not return."""
        if not self.dead:
            self.dead = True
            self.kernel.later(0, self._bury)
        task = self.kernel.task
        if task is not None and task.machine is self:
            self.kernel.hub.switch()
            raise GreenletExit

    def _bury(self) -> None:
        """Unwind every task; whatever its `finally` does meets a dead machine."""
        for task in self.tasks:
            if task.green is not None and not task.green.dead and task.green:
                self.kernel.task = task
                task.green.throw(GreenletExit)
                self.kernel.task = None
        for task in self.tasks:  # a timer that is not due yet must not keep what is dead
            task.green, task._target = None, _nothing
        self.tasks.clear()
        for note in self.on_death:
            note()
        self.on_death.clear()


def _nothing() -> None:
    pass


class Task:
    """A thread of a machine."""

    def __init__(self, machine: Machine, target: Callable[[], Any], name: str) -> None:
        self.machine = machine
        self.name = name
        self.ticket = 0  # of its present wait: a wake for an older one does nothing
        self.over = False
        self.error: BaseException | None = None
        self.joiners: list[tuple[Task, int]] = []
        self.storage: dict[int, dict[str, Any]] = {}
        self._target = target
        self.green: greenlet | None = greenlet(self._run, machine.kernel.hub)

    def _run(self, *_: object) -> None:
        try:
            self._target()
        except GreenletExit:
            pass
        except BaseException as e:
            self.error = e
        self.over = True
        for task, ticket in self.joiners:
            task.wake(ticket)

    def resume(self, ticket: int, value: bool) -> None:
        """Go on, from the hub."""
        if ticket != self.ticket or self.machine.dead or self.green is None or self.green.dead:
            return
        self.ticket += 1
        kernel = self.machine.kernel
        kernel.task = self
        self.green.switch(value)
        kernel.task = None

    def wake(self, ticket: int, value: bool = True) -> None:
        """Let it go on soon, if it still waits for this."""
        if ticket == self.ticket and not self.machine.dead:
            self.machine.kernel.later(self.machine.kernel.rng.randrange(500, 20_000), self.resume, ticket, value)


class World:
    """What the stand-ins below find: the kernel and the machine that lives. One at a time."""

    kernel: Kernel
    machine: Machine
    preempt = 0.0  # chance that a task loses the processor where it lets a lock go
    changes = 0  # of what outlives a process: the disk, the venue, what is on the way to it


def here() -> Task:
    """The task that runs. Ends it where its machine is dead."""
    task = World.kernel.task
    if task is None:
        if World.machine.dead:  # a generator that is thrown away
            raise GreenletExit
        raise RuntimeError("a blocking call outside every task")
    if task.machine.dead:
        raise GreenletExit
    return task


def park(until: int | None) -> bool:
    """Wait, at most until an instant of the world; True when somebody woke us."""
    task = here()
    kernel = task.machine.kernel
    if until is not None:
        kernel.at(until, task.resume, task.ticket, False)
    value = bool(kernel.hub.switch())
    if task.machine.dead:
        raise GreenletExit
    return value


def nap(ns: int) -> None:
    """Sleep."""
    end = World.kernel.now + max(ns, 0)
    while World.kernel.now < end:
        park(end)


def _end(timeout: float | None) -> int | None:
    return None if timeout is None or timeout < 0 else World.kernel.now + int(timeout * SECOND)


# ---------------------------------------------------------------------------------------------------- what stands in for modules
class Clock:
    """Stands in for the module `time`."""

    @staticmethod
    def monotonic_ns() -> int:
        return World.machine.mono()

    @staticmethod
    def monotonic() -> float:
        return World.machine.mono() / 1e9

    perf_counter = monotonic
    perf_counter_ns = monotonic_ns

    @staticmethod
    def time_ns() -> int:
        return World.kernel.now + World.machine.wall

    @staticmethod
    def time() -> float:
        return (World.kernel.now + World.machine.wall) / 1e9

    @staticmethod
    def sleep(seconds: float) -> None:
        nap(int(seconds * SECOND))


class Lock:
    """threading.Lock; also what RLock is here."""

    def __init__(self) -> None:
        self._owner: Any = None
        self._waiters: deque[tuple[Task, int]] = deque()

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        if self._owner is None:
            self._owner = World.kernel.task or True
            return True
        end = _end(timeout)
        while self._owner is not None:
            if not blocking:
                return False
            task = here()
            self._waiters.append((task, task.ticket))
            if not park(end):
                return False
        self._owner = World.kernel.task or True
        return True

    def release(self) -> None:
        self._owner = None
        while self._waiters:
            task, ticket = self._waiters.popleft()
            if ticket == task.ticket and not task.over:
                task.wake(ticket)
                break
        task = World.kernel.task
        if World.preempt and task is not None and not task.machine.dead and World.kernel.rng.random() < World.preempt:
            park(World.kernel.now + World.kernel.rng.randrange(1, PREEMPTED))

    def locked(self) -> bool:
        return self._owner is not None

    def __enter__(self) -> bool:
        return self.acquire()

    def __exit__(self, *_: object) -> None:
        self.release()


class Condition:
    """threading.Condition."""

    def __init__(self, lock: Lock | None = None) -> None:
        self._lock = lock or Lock()
        self._waiting: deque[tuple[Task, int]] = deque()
        self.acquire, self.release = self._lock.acquire, self._lock.release

    def wait(self, timeout: float | None = None) -> bool:
        task = here()
        end = _end(timeout) if timeout is None or timeout >= 0 else World.kernel.now
        self._waiting.append((task, task.ticket))
        self._lock._owner = None  # not `release`: it might switch before we wait
        while self._lock._waiters:
            other, ticket = self._lock._waiters.popleft()
            if ticket == other.ticket:
                other.wake(ticket)
                break
        woken = park(end)
        self._lock.acquire()
        return woken

    def notify(self, n: int = 1) -> None:
        while self._waiting and n:
            task, ticket = self._waiting.popleft()
            if ticket == task.ticket:
                task.wake(ticket)
                n -= 1

    def notify_all(self) -> None:
        self.notify(1 << 30)

    def __enter__(self) -> bool:
        return self._lock.acquire()

    def __exit__(self, *_: object) -> None:
        self._lock.release()


class Event:
    """threading.Event."""

    def __init__(self) -> None:
        self._set = False
        self._waiting: list[tuple[Task, int]] = []

    def is_set(self) -> bool:
        return self._set

    def set(self) -> None:
        self._set = True
        waiting, self._waiting = self._waiting, []
        for task, ticket in waiting:
            task.wake(ticket)

    def clear(self) -> None:
        self._set = False

    def wait(self, timeout: float | None = None) -> bool:
        end = _end(timeout)
        while not self._set:
            task = here()
            self._waiting.append((task, task.ticket))
            if not park(end):
                break
        return self._set


class Local:
    """threading.local."""

    def __getattr__(self, name: str) -> Any:
        try:
            return here().storage[id(self)][name]
        except KeyError:
            raise AttributeError(name) from None

    def __setattr__(self, name: str, value: Any) -> None:
        here().storage.setdefault(id(self), {})[name] = value


class Thread:
    """threading.Thread."""

    def __init__(
        self,
        group: None = None,
        target: Callable[..., Any] = lambda: None,
        name: str = "thread",
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
        *,
        daemon: bool | None = None,
    ) -> None:
        self.name, self.daemon = name, daemon
        self._call = lambda: target(*args, **(kwargs or {}))
        self._task: Task | None = None

    def start(self) -> None:
        if not World.machine.dead:
            self._task = World.machine.spawn(self._call, self.name)

    def is_alive(self) -> bool:
        return self._task is not None and not self._task.over

    def join(self, timeout: float | None = None) -> None:
        task, end = self._task, _end(timeout)
        while task is not None and not task.over:
            me = here()
            task.joiners.append((me, me.ticket))
            if not park(end):
                return


class Timer(Thread):
    """threading.Timer."""

    def __init__(self, interval: float, function: Callable[..., Any], args: tuple[Any, ...] = ()) -> None:
        self._cancelled = Event()

        def run() -> None:
            if not self._cancelled.wait(interval):
                function(*args)

        super().__init__(target=run, name="timer")

    def cancel(self) -> None:
        self._cancelled.set()


class SimpleQueue:
    """queue.SimpleQueue."""

    def __init__(self) -> None:
        self._items: deque[Any] = deque()
        self._waiting: deque[tuple[Task, int]] = deque()

    def put(self, item: Any) -> None:
        self._items.append(item)
        while self._waiting:
            task, ticket = self._waiting.popleft()
            if ticket == task.ticket:
                task.wake(ticket)
                break

    def get(self) -> Any:
        while not self._items:
            task = here()
            self._waiting.append((task, task.ticket))
            park(None)
        return self._items.popleft()

    def qsize(self) -> int:
        return len(self._items)

    def empty(self) -> bool:
        return not self._items


class Threading:
    """Stands in for the module `threading`."""

    Lock, RLock, Condition, Event, Thread, Timer, local = Lock, Lock, Condition, Event, Thread, Timer, Local


class Queue:
    """Stands in for the module `queue`."""

    SimpleQueue = SimpleQueue


# ---------------------------------------------------------------------------------------------------- the loop
class Loop(asyncio.BaseEventLoop):
    """asyncio's own loop, whose selector is a wait of its task."""

    def __init__(self) -> None:
        super().__init__()
        self._selector = self
        self._bell = Event()
        self.complaints: list[str] = []

    def time(self) -> float:
        return World.machine.mono() / 1e9

    def select(self, timeout: float | None) -> list[Any]:
        if timeout is None or timeout > 0:
            # Floats of a monotonic clock are coarser than its ns: never wake before the instant that was asked for.
            self._bell.wait(None if timeout is None else timeout + 1e-6)
        elif here().machine.kernel.rng.random() < 0.1:
            nap(1_000)
        self._bell._set = False
        return []

    def _process_events(self, events: list[Any]) -> None:
        pass

    def _write_to_self(self) -> None:
        self._bell.set()

    def run_in_executor(self, executor: Any, call: Callable[..., Any], *args: Any) -> "asyncio.Future[Any]":  # type: ignore[override]
        future = self.create_future()

        def done(value: Any, error: BaseException | None) -> None:
            if not future.done():
                if error is not None:
                    future.set_exception(error)
                else:
                    future.set_result(value)

        def work() -> None:
            value, error = None, None
            try:
                value = call(*args)
            except GreenletExit:
                raise
            except BaseException as e:
                error = e
            if not self.is_closed():
                self.call_soon_threadsafe(done, value, error)

        World.machine.spawn(work, "executor")
        return future

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        if not World.machine.dead:
            self.complaints.append(f"{context.get('message')}: {context.get('exception')!r}")
