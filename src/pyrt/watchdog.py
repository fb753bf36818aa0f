"""The dead man's switch: a small process with its own connection and keys that cancels entries when the session cannot.

It listens on a pipe from the session. When the pipe closes without a farewell, when the session's heartbeat stops, or when the data
feed stays down, it reads the journal, cancels one by one what this journal sent and does not only reduce, and looks until nothing
of it is left, twice, and no request that had left can land any more. Orders of others and protective exits are left alone.
"""

import logging
import os
import selectors
import signal
import subprocess
import sys
import threading
import time
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote

import msgspec

from pyrt._core.types import Side
from pyrt.config import Secret, Veiled, mask_logs
from pyrt.errors import JournalDamaged, Misbehaved, PyrtError
from pyrt.execution.cid import parse_cid
from pyrt.journal.inspect import TRIES, show
from pyrt.model import Intended
from pyrt.monitor import RiskPage
from pyrt.monitor.word import Word
from pyrt.ports import VenueOrder
from pyrt.process import bare_environment, confine
from pyrt.venues.alpaca import pages, wire
from pyrt.venues.alpaca.answers import retry_after
from pyrt.venues.alpaca.body import read_page
from pyrt.venues.alpaca.keys import Keys, live_allowed
from pyrt.venues.alpaca.session import Answer, Attempt, Broken, Ended, VenueSession
from pyrt.venues.alpaca.transport import venue_session

log = logging.getLogger("pyrt.watchdog")
LOG = "watchdog.log"
FAREWELL = b"done\n"
LOOK = 0.2  # s between two looks at the session
GAP = 1.0  # s between two looks at the venue
# Not from the working directory, where a file may be called as a library is; it may also be another one by now.
BIRTH = "import sys; sys.path.append(sys.argv[1]); from pyrt.watchdog import main; main()"
DEAF = (signal.SIGINT, signal.SIGABRT)  # a service manager sends them to every process of a session
_LARGEST = 65_536


class WatchOrder(Veiled, frozen=True, kw_only=True):
    """What the watchdog is told, as one line on its pipe. Times in s; `give_up`: without the venue, 0 = never."""

    directory: str
    journal: str
    epoch: int  # of the session's life: what a later one intends is its own
    url: str
    key: str
    secret: str
    silent: float = 5.0
    stale: float = 10.0
    landing: float = 12.0  # after the session's end, until no request of its own can land any more
    deadline: float = 10.0
    give_up: float = 0.0
    live: bool = False  # the session trades live, and has proved that it may
    alerts: str = ""  # how a human hears of a sweep, with the secrets that takes
    cpus: tuple[int, ...] = ()  # where it may run: one that replaces another is born on the one processor of the loop


class Watchdog:
    """Starts the child; `farewell` ends it in peace; `leave`, and our death, however it comes, set it off."""

    def __init__(self, order: WatchOrder) -> None:
        self._order = order
        self._pipe = -1
        self._start()

    def _start(self) -> None:
        order = self._order
        fd = os.open(Path(order.directory) / LOG, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        reader, pipe = os.pipe()
        try:
            # Before it is born: a session that dies in between leaves it with its order, and it finds the pipe closed.
            os.write(pipe, msgspec.json.encode(order) + b"\n")
            # It inherits what is blocked here: a signal finds it deaf from its first instant, not from when it has imported.
            mask = signal.pthread_sigmask(signal.SIG_BLOCK, DEAF)
            try:
                self._process = subprocess.Popen(
                    [sys.executable, "-P", "-c", BIRTH, str(Path(__file__).resolve().parents[1])],
                    stdin=reader,
                    stdout=subprocess.DEVNULL,
                    stderr=fd,
                    env=bare_environment(),
                    start_new_session=True,  # Ctrl-C in the terminal is for the session alone
                )
            finally:
                signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        except BaseException:
            os.close(pipe)
            raise
        finally:
            os.close(reader)
            os.close(fd)
        self._pipe = pipe

    @property
    def ended(self) -> int | None:
        """The status with which it ended; None while it watches."""
        return self._process.poll()

    def restart(self) -> None:
        """Start another one in place of one that ended. Raises OSError: there is none then, until another try."""
        self._hang_up()
        self._start()

    def farewell(self, patience: float = 10.0) -> None:
        """Tell it that the session ended in order, and wait for its end."""
        try:
            os.write(self._pipe, FAREWELL)
        except OSError:
            log.warning("the watchdog had ended before")
        self._hang_up()
        try:
            self._process.wait(patience)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def leave(self) -> None:
        """Go without a word: it cancels what works, and ends when that is proved."""
        self._hang_up()

    def _hang_up(self) -> None:
        # Once: the number may be somebody else's file by the next time.
        pipe, self._pipe = self._pipe, -1
        if pipe >= 0:
            os.close(pipe)


class _Marks(wire.Reader):
    """Reads of an order at least what cancels it: an oddity of one, a stranger's perhaps, must save no other."""

    def orders(self, row: Any) -> list[VenueOrder]:
        try:
            return super().orders(row)
        except Misbehaved as e:
            log.warning("an order was not understood: %s", e)
        told = row if isinstance(row, dict) else {}
        name, cid, symbol = (str(told.get(field) or "") for field in ("id", "client_order_id", "symbol"))
        if not name:
            return []
        return [VenueOrder(id=name, cid=cid, symbol=symbol, side=Side.BUY, type="", tif="", qty="", filled_qty="0")]


class Sweep:
    """One round of cancelling: from its beginning on, all that this journal had intended by then in lives up to ours."""

    def __init__(self, order: WatchOrder, why: str = "") -> None:
        self._order = order
        self._why = why
        self._word = Word(order.alerts)
        self._session = venue_session(order.url, Keys(Secret(order.key), Secret(order.secret)))
        self._reader = _Marks()

    def run(self) -> bool:
        """Cancel and verify; False where the venue was not reached before `give_up`."""
        protective, last = self._intents()
        begun = heard = time.monotonic()
        clear = 0
        while clear < 2 or time.monotonic() < begun + self._order.landing:
            try:
                left = [o for o in self._open() if self._is_entry(o, protective, last)]
                heard = time.monotonic()
                if left:
                    self.tell()
                for entry in left:
                    self._cancel(entry)
                clear = 0 if left else clear + 1
            except (Broken, Ended, Misbehaved) as e:
                clear = 0
                log.warning("the venue was not reached: %s", e)
                if self._order.give_up and time.monotonic() > heard + self._order.give_up:
                    log.error("gave up after %.0f s without the venue", self._order.give_up)
                    return False
            time.sleep(GAP)
        log.info("no entry of journal %s is left at the venue: verified twice", self._order.journal)
        return True

    def tell(self) -> None:
        """A human hears of it, once, whatever that takes: nothing here waits for it."""
        text = f"{self._why}: the watchdog cancels the entries of journal {self._order.journal}; see {self._order.directory}/{LOG}"
        self._word.say("WATCHDOG_SWEEP", text)

    def close(self) -> None:
        """Let the connection go."""
        self._session.close()

    def _intents(self) -> tuple[set[int], int | None]:
        """Numbers that only reduce, and the last number; (none, None) where the journal cannot be read: then all are entries."""
        try:
            for _ in range(TRIES - 1):
                with suppress(JournalDamaged):
                    return self._read()
            return self._read()
        except (PyrtError, OSError) as e:
            log.error("ALARM: the journal cannot be read (%s): every order with its mark is cancelled, exits too", e)
            text = f"journal {self._order.journal} cannot be read: the watchdog cancels every order with its mark, exits too"
            self._word.say("WATCHDOG_EXITS", text)
            return set(), None

    def _read(self) -> tuple[set[int], int]:
        protective, last = set(), 0
        for _, _, fact in show(Path(self._order.directory) / "journal", journal=self._order.journal):
            if isinstance(fact, Intended) and fact.epoch <= self._order.epoch:
                last = max(last, fact.number)
                if fact.intent.reduce_only:
                    protective.add(fact.number)
        return protective, last

    def _is_entry(self, order: VenueOrder, protective: set[int], last: int | None) -> bool:
        parsed = parse_cid(order.cid)
        if parsed is None or parsed[0] != self._order.journal:
            return False
        return last is None or (parsed[1] not in protective and parsed[1] <= last)

    def _open(self) -> tuple[VenueOrder, ...]:
        return pages.read_orders(self._get, self._reader, status="open", since=0)

    def _cancel(self, order: VenueOrder) -> None:
        try:
            answer = self._ask("DELETE", f"/v2/orders/{quote(order.id, safe='')}")
        except (Broken, Ended) as e:  # the others are cancelled all the same; the next look asks again
            log.warning("the cancel of %s (%s) was not answered: %s", order.cid, order.symbol, e)
            return
        log.info("cancelled %s (%s %s): HTTP %d", order.cid, order.qty or "?", order.symbol, answer.status)

    def _get(self, path: str) -> object:
        answer = self._ask("GET", path)
        if answer.status != 200:
            raise Misbehaved(f"{path.partition('?')[0]}: HTTP {answer.status}")
        return read_page(answer.body)

    def _ask(self, method: str, path: str) -> Answer:
        """One request; a 429 is waited out."""
        while True:
            attempt = Attempt()
            timer = threading.Timer(self._order.deadline, _end, (self._session, attempt))
            timer.start()
            try:
                answer = self._session.exchange(attempt, method, path, None, self._order.deadline)
            finally:
                timer.cancel()
            if answer.status != 429:
                return answer
            time.sleep(max(0.25, retry_after(answer.headers, lambda: (time.time(),))))


def _end(session: VenueSession, attempt: Attempt) -> None:
    attempt.end()
    session.shut(attempt)


def watch(order: WatchOrder, pipe: int) -> None:
    """Look at pipe and page until the session ends; sweep once for each trouble that begins."""
    page = RiskPage.find(Path(order.directory))
    troubled = ""
    while True:
        said = _listen(pipe)
        if said is not None:
            if said != FAREWELL:
                _sweep(order, "the session ended without a word")
            return
        trouble, lives = "", False
        if page is not None and page.silence > order.silent:
            trouble = f"no sign of life for {order.silent:g} s"
        elif page is not None and page.data_down > order.stale:
            trouble, lives = f"no market data for {order.stale:g} s", True
        if trouble and trouble != troubled:
            _sweep(order, trouble, quiet=lives)
        troubled = trouble


def _listen(pipe: int) -> bytes | None:
    """What came on the pipe within a look: None for nothing, b"" for its end."""
    with selectors.DefaultSelector() as selector:
        selector.register(pipe, selectors.EVENT_READ)
        return os.read(pipe, len(FAREWELL)) if selector.select(LOOK) else None


def _sweep(order: WatchOrder, why: str, *, quiet: bool = False) -> None:
    """quiet: a human hears of it only where something is to be cancelled; a session that lives tells the rest itself."""
    log.warning("%s: cancelling what journal %s has working", why, order.journal)
    sweep = Sweep(order, why)
    if not quiet:
        sweep.tell()
    try:
        sweep.run()
    finally:
        sweep.close()


def main() -> None:
    """Read the order from stdin, then watch.

    A service manager signals every process of a session that ends or hangs: only the pipe tells whether there is work left.
    """
    for number in DEAF:
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, DEAF)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", stream=sys.stderr)
    confine()  # the keys are in this memory
    line = b""
    while not line.endswith(b"\n") and len(line) < _LARGEST and (byte := os.read(0, 1)):
        line += byte
    if not line.endswith(b"\n"):
        log.error("ALARM: nobody said what to watch")
        return
    order = msgspec.json.decode(line, type=WatchOrder)
    mask_logs(Secret(order.key), Secret(order.secret))
    if order.cpus:
        with suppress(OSError):
            os.sched_setaffinity(0, order.cpus)
    with live_allowed() if order.live else nullcontext():
        watch(order, 0)
