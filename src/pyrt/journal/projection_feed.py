"""How tables follow the journal: on a thread of their own, never holding it up, each fact once."""

import logging
import threading
from abc import ABC, abstractmethod
from collections import deque
from typing import ClassVar, NamedTuple, Protocol, Self

from pyrt.errors import JournalError
from pyrt.journal.journal import Journal
from pyrt.journal.projection_tables import BATCH, Tables, catch_up
from pyrt.model import Fact

RETRY = 1.0  # s, after an error of the database
QUEUE = 10_000  # facts that may wait; what finds no room is read from the journal later

log = logging.getLogger(__name__)


class Offered(Protocol):
    """Who is told of each appended fact."""

    def offer(self, seq: int, fact: Fact) -> None:
        """At once and whatever happens."""
        ...


class Both(NamedTuple):
    """Two feeds of one journal."""

    one: Offered
    other: Offered

    def offer(self, seq: int, fact: Fact) -> None:
        """To either."""
        self.one.offer(seq, fact)
        self.other.offer(seq, fact)


class Feed(ABC):
    """Keeps tables up to date; it never holds the journal up.

    `offer` each appended fact. Where the queue is full the feed lets facts go and reads them from the journal later. Only what is
    durable is applied, so the tables never hold a fact that a crash takes back.
    """

    errors: tuple[type[Exception], ...] = (JournalError,)  # after which the database is opened again
    linger: ClassVar[float] = 0.0  # s in which facts gather before they are applied
    patience: ClassVar[float | None] = None  # s that the end waits for the database; None = for ever

    def __init__(self, journal: Journal, name: str, *, queue: int = QUEUE) -> None:
        self.failed = ""  # the last error of the database; "" once it works again
        self.let_go = 0  # facts that the queue had no room for
        self.name = name
        self._journal, self._limit = journal, queue
        self._queue: deque[tuple[int, Fact]] = deque()
        self._behind = True  # the queue does not continue what the tables hold: read the journal
        self._seq = 0
        self._moved = threading.Condition()
        self._news = threading.Event()
        self._closing = threading.Event()
        journal.on_durable(lambda durable, error: self._news.set())
        self._thread = threading.Thread(target=self._work, name="projection", daemon=True)
        self._news.set()
        self._thread.start()

    # ---- what a database of its own adds
    @abstractmethod
    def _open(self) -> Tables:
        """Connect, once and again after each error."""

    def _repair(self, error: Exception) -> None:  # noqa: B027  a file needs nothing
        """After an error, before the next try."""

    def _interrupt(self) -> None:  # noqa: B027  nor does it wait
        """End what waits for the database; any thread."""

    def _say(self, error: Exception) -> str:
        return str(error)

    # ---- any thread
    def offer(self, seq: int, fact: Fact) -> None:
        """Hand over an appended fact, at once and whatever happens."""
        if self._behind or len(self._queue) >= self._limit:
            self._behind = True
            self.let_go += 1
        else:
            self._queue.append((seq, fact))

    @property
    def seq(self) -> int:
        """The last seq in the tables."""
        return self._seq

    def wait(self, seq: int, timeout: float) -> bool:
        """Wait until the tables hold everything up to `seq`; False at the time-out."""
        with self._moved:
            return self._moved.wait_for(lambda: self._seq >= seq, timeout)

    def close(self) -> None:
        """Apply what is durable, as far as that works at once, and end. Before the journal is closed."""
        self._closing.set()
        self._news.set()
        self._thread.join(self.patience)
        if self._thread.is_alive():
            self._interrupt()
            self._thread.join(self.patience)
        if self._thread.is_alive() or self.failed:
            log.warning("%s: the tables end at record %d; the next run makes up what is missing", self.name, self._seq)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # ---- the feed's thread
    def _work(self) -> None:
        while True:
            closing = self._closing.is_set()  # seen before the work, so that a last round follows
            try:
                tables = self._open()
                try:
                    self._follow(tables)
                    return
                finally:
                    tables.close()
            except self.errors as e:
                self._behind = True
                self._repair(e)
                said = self._say(e)
                if not self.failed:
                    log.warning("%s: the projection is behind: %s", self.name, said)
                self.failed = said
                if closing:
                    return
                self._closing.wait(RETRY)

    def _follow(self, tables: Tables) -> None:
        if tables.seq > self._journal.durable:  # of a journal that a loss of power cut back
            tables.reset()
        while True:
            closing = self._closing.is_set()
            self._news.clear()
            if self._behind or closing:
                self._reread(tables)
            durable = self._journal.durable
            batch: list[tuple[int, Fact]] = []
            while self._queue and self._queue[0][0] <= durable and len(batch) < BATCH:
                batch.append(self._queue.popleft())
            if batch:
                tables.apply(batch)
            self._tell(tables.seq)
            if closing:
                return
            if not batch:
                self._news.wait(RETRY)
                self._closing.wait(self.linger)

    def _reread(self, tables: Tables) -> None:
        # From here on the queue takes facts again; all older ones have a seq up to `wanted` and are read once they are durable.
        self._queue.clear()
        self._behind = False
        wanted = self._journal.seq
        while self._journal.durable < wanted and self._journal.failed is None and not self._closing.is_set():
            self._news.wait(RETRY)
            self._news.clear()
        catch_up(tables, self._journal)
        self._tell(tables.seq)

    def _tell(self, seq: int) -> None:
        if self.failed:
            log.info("%s: the projection works again, up to record %d", self.name, seq)
        self.failed = ""
        with self._moved:
            self._seq = max(self._seq, seq)
            self._moved.notify_all()
