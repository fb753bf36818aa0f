"""The order path to Alpaca, or to sim: commands in, exactly one result event for each.

Egress threads with a connection each: orders (one thread per hash of the symbol, so the order per symbol is kept), cancels,
look-ups, snapshots; none waits for another kind. The total deadline of a request is kept from outside by a watch thread.
"""

import logging
import threading
import time
import zlib
from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar
from urllib.parse import quote, urlencode

import msgspec

from pyrt.clock import VenueClock
from pyrt.config import Secret, SecretFilter
from pyrt.errors import Misbehaved, NotAuthorized, VenueError
from pyrt.ports import (
    AllCancelled,
    Cancel,
    CancelAll,
    CancelResult,
    Event,
    Found,
    Lookup,
    LookupResult,
    Outcome,
    QueryFailed,
    Replace,
    Sink,
    Submit,
    SubmitResult,
    TakeSnapshot,
    VenueAccount,
    VenueActivity,
    Withdraw,
)
from pyrt.venues.alpaca import answers, pages, wire
from pyrt.venues.alpaca.body import decode, read_page
from pyrt.venues.alpaca.budget import WINDOW, Budget, Purpose
from pyrt.venues.alpaca.keys import Keys
from pyrt.venues.alpaca.lanes import MOST, Lane, Task, Watch
from pyrt.venues.alpaca.session import Answer, Attempt, Broken, Ended, VenueSession
from pyrt.venues.alpaca.transport import venue_session

log = logging.getLogger(__name__)

Result = TypeVar("Result", SubmitResult, CancelResult, AllCancelled, LookupResult)

_NS = 1_000_000_000
_LIBRARY_LOGGERS = ("urllib3.connection", "urllib3.connectionpool")  # they quote what they cannot parse
_PAGE_PAUSES = (0.5, 1.0, 2.0)  # s before the 2nd, 3rd and 4th try of a page
_CONFIGURED = 600 * _NS  # how long what the account's owner wishes is taken as still so
_CANCEL_PAUSES = (0.25, 0.5, 1.0, 2.0)  # s before a cancel that met a 429 is sent again; the last repeats


class AlpacaBroker:
    """The port Broker over Alpaca's REST.

    `clock` returns the present map from monotonic to venue time; `deadline` is the total time of one request in seconds, counted
    from its beginning; `budget` is requests a minute until the venue names its own limit, 0 for none, or a budget that others
    share; while `blocked` says so, no order's first byte leaves (cancels do). Raises ConfigError for a URL that is neither sim on
    loopback nor Alpaca's paper host.
    """

    def __init__(
        self,
        *,
        url: str,
        key: Secret,
        secret: Secret,
        sink: Sink,
        clock: Callable[[], VenueClock],
        workers: int = 2,
        cancel_workers: int = 2,
        deadline: float = 10.0,
        budget: int | Budget = 200,
        transport: str = "requests",
        blocked: Callable[[], bool] = lambda: False,
    ) -> None:
        keys = Keys(key, secret)
        venue_session(url, keys, transport).close()  # refuses a bad URL or key here, in the caller's thread
        self._sink = sink
        self._clock = clock
        self._blocked = blocked
        self._deadline = int(deadline * _NS)
        self._filter = SecretFilter(key, secret)
        self._mask = self._filter.mask
        for name in _LIBRARY_LOGGERS:
            logging.getLogger(name).addFilter(self._filter)
        self._counters: Counter[str] = Counter()
        self._counting = threading.Lock()
        self._readers = threading.local()
        self._all_readers: list[wire.Reader] = []
        self._closing = threading.Event()
        self._budget = budget if isinstance(budget, Budget) else Budget(budget, time.monotonic_ns)
        self._watch = Watch("alpaca-watch")
        connect = partial(venue_session, url, keys, transport)
        self._orders = [Lane(f"alpaca-order-{i}", connect) for i in range(workers)]
        self._cancels = Lane("alpaca-cancel", connect, threads=cancel_workers)
        self._lookups = Lane("alpaca-lookup", connect)
        self._snapshots = Lane("alpaca-snapshot", connect)
        self._queued: dict[int, Task] = {}  # number -> its attempt, as long as its result is to come
        self._queueing = threading.Lock()
        self._prepared: dict[int, bytes] = {}  # bodies of orders that were decided, and wait for their sync
        self._configuration: Any = None  # of the account, as last told; by the snapshot lane's thread alone
        self._configured_until = 0

    @property
    def counters(self) -> dict[str, int]:
        """Requests by kind and end, late answers, and names of the venue's that we did not know."""
        with self._counting:
            total = Counter(self._counters)
        for reader in list(self._all_readers):
            total.update(dict(reader.counters))
        return dict(total)

    @property
    def budget(self) -> Budget:
        """The request budget of this account."""
        return self._budget

    # ------------------------------------------------------------------------------------------------ the port
    def prepare(self, number: int, body: bytes) -> None:
        """Keep the body of an order whose command is to come; any thread."""
        if len(self._prepared) == MOST:
            self._prepared.clear()  # orders that were withdrawn since; a body that is missing is made again
        self._prepared[number] = body

    def submit(self, command: Submit) -> None:
        """POST an order once."""
        body = self._prepared.pop(command.request.number, b"")
        self._send_order(command, "POST", "/v2/orders", body or wire.order_body(command.request))

    def replace(self, command: Replace) -> None:
        """PATCH an order once, behind what was asked for its symbol before."""
        path = f"/v2/orders/{quote(command.venue_order_id, safe='')}"
        self._send_order(command, "PATCH", path, wire.replace_body(command.request))

    def cancel(self, command: Cancel) -> None:
        """DELETE an order; a 429 is tried again until the deadline."""
        lost = partial(_cancel_lost, command)
        self._cancels.put(Task(partial(self._do_cancel, command), lost, self._sink))

    def cancel_all(self, command: CancelAll) -> None:
        """DELETE what works of the account; a 429 is tried again until the deadline."""
        lost = partial(_all_lost, command)
        self._cancels.put(Task(partial(self._do_cancel_all, command), lost, self._sink))

    def withdraw(self, command: Withdraw) -> None:
        """Answer NOT_SENT for an order whose request has not begun, wherever it waits."""
        with self._queueing:
            task = self._queued.get(command.number)
        if task is not None:
            task.expire("withdrawn")
            self._budget.look_again()

    def lookup(self, command: Lookup) -> None:
        """GET an order by its cid, or by the venue's id, once."""
        lost = partial(_lookup_lost, command)
        self._lookups.put(Task(partial(self._do_lookup, command), lost, self._sink))

    def snapshot(self, command: TakeSnapshot) -> None:
        """Read everything since an instant; each page is tried up to four times."""
        lost = partial(_snapshot_lost, command)
        self._snapshots.put(Task(partial(self._do_snapshot, command), lost, self._sink))

    def close(self) -> None:
        """Refuse what is queued (NOT_SENT), let what is under way end, at most until its deadline, and end the threads."""
        self._closing.set()
        self._budget.close()
        lanes = [*self._orders, self._cancels, self._lookups, self._snapshots]
        for lane in lanes:
            lane.close()
        until = time.monotonic() + self._deadline / _NS + 1.0
        for lane in lanes:
            lane.join(max(until - time.monotonic(), 0.1))
        self._watch.close()
        for name in _LIBRARY_LOGGERS:
            logging.getLogger(name).removeFilter(self._filter)

    # ------------------------------------------------------------------------------------------------ orders
    def _send_order(self, command: Submit | Replace, method: str, path: str, body: bytes) -> None:
        task = Task(
            partial(self._do_order, command, method, path, body), partial(_order_lost, command), partial(self._ended, command)
        )
        with self._queueing:
            self._queued[command.request.number] = task
        self._orders[zlib.crc32(command.request.symbol.encode()) % len(self._orders)].put(task)
        until = self._clock().mono_at(command.valid_until)
        self._watch.at(until, partial(task.expire, "past valid_until in the queue"))

    def _ended(self, command: Submit | Replace, event: Event) -> None:
        assert isinstance(event, SubmitResult)
        with self._queueing:
            self._queued.pop(event.number, None)
        if event.outcome is not Outcome.ACCEPTED:
            log.warning("%s: %s, HTTP %d: %s", command.request.cid, event.outcome.name, event.http, self._mask(event.text))
        self._sink(event)

    def _do_order(self, command: Submit | Replace, method: str, path: str, body: bytes, task: Task, session: VenueSession) -> Event:
        attempt = Attempt(lambda: self._venue_now() <= command.valid_until and not self._blocked())
        until = self._clock().mono_at(command.valid_until)
        try:
            answer = self._exchange(task, session, attempt, Purpose.ORDER, method, path, body, until=until)
        except (Broken, Ended) as error:
            lost = _order_lost(command, attempt.sent, str(error))
            return msgspec.structs.replace(lost, sent_mono=attempt.sent_at)
        retry_at = self._met_429(answer) if answer.status == 429 else 0
        result = answers.submitted(command, answer, self._reader(), retry_at)
        return self._masked(msgspec.structs.replace(result, sent_mono=attempt.sent_at))

    # ------------------------------------------------------------------------------------------------ cancels, queries
    def _do_cancel(self, command: Cancel, task: Task, session: VenueSession) -> Event:
        try:
            answer = self._delete(task, session, f"/v2/orders/{quote(command.venue_order_id, safe='')}")
        except (Broken, Ended) as error:
            return _cancel_lost(command, True, str(error))
        return self._masked(answers.cancelled(command, answer))

    def _do_cancel_all(self, command: CancelAll, task: Task, session: VenueSession) -> Event:
        try:
            answer = self._delete(task, session, "/v2/orders")
        except (Broken, Ended) as error:
            return _all_lost(command, True, str(error))
        return self._masked(answers.all_cancelled(command, answer))

    def _delete(self, task: Task, session: VenueSession, path: str) -> Answer:
        """The last answer to a DELETE before its deadline: a 429 is tried again. Raises Broken, Ended."""
        until = time.monotonic_ns() + self._deadline
        tries = 0
        while True:
            answer = self._exchange(task, session, Attempt(), Purpose.CANCEL, "DELETE", path, None, until=until, end_at=until)
            pause = _CANCEL_PAUSES[min(tries, len(_CANCEL_PAUSES) - 1)]
            tries += 1
            if answer.status != 429 or time.monotonic_ns() + pause * _NS >= until or self._closing.is_set():
                return answer
            self._met_429(answer)
            self._closing.wait(pause)

    def _do_lookup(self, command: Lookup, task: Task, session: VenueSession) -> Event:
        path = f"/v2/orders:by_client_order_id?{urlencode({'client_order_id': command.cid})}"
        if command.venue_order_id:
            path = f"/v2/orders/{quote(command.venue_order_id, safe='')}?nested=true"
        until = time.monotonic_ns() + WINDOW
        try:
            answer = self._exchange(task, session, Attempt(), Purpose.LOOKUP, "GET", path, None, until=until)
        except (Broken, Ended) as error:
            return _lookup_lost(command, True, str(error))
        if answer.status == 429:
            self._met_429(answer)
        return self._masked(answers.looked_up(command, answer, self._reader()))

    def _do_snapshot(self, command: TakeSnapshot, task: Task, session: VenueSession) -> Event:
        purpose = Purpose.LOOKUP if command.urgent else Purpose.SNAPSHOT
        asked = time.monotonic_ns()
        get = partial(self._get, session, purpose, asked)
        try:
            taken = pages.snapshot(command, get, self._reader(), self._venue_now())
            taken = msgspec.structs.replace(taken, activities=self._activities(get, command.since))
        except VenueError as error:
            final = isinstance(error, NotAuthorized)
            return QueryFailed(query=command.query, text=self._mask(error.what), final=final)
        return msgspec.structs.replace(taken, account=self._configured(session, purpose, asked, taken.account))

    def _activities(self, get: pages.Get, since: int) -> tuple[VenueActivity, ...] | None:
        """What happened beside the trades; None where the venue does not tell it, and nobody knows.

        It told the rest a moment ago: where it refuses this, it refuses this, and not the keys.
        """
        try:
            return pages.read_activities(get, self._reader(), since=since)
        except VenueError:
            self._count("activities not told")
            return None

    def _configured(self, session: VenueSession, purpose: Purpose, asked: int, account: VenueAccount) -> VenueAccount:
        """The account with what its owner wishes, asked for now and then; where the venue does not tell, as it told before."""
        if time.monotonic_ns() >= self._configured_until:
            try:
                told = decode(self._ask(session, purpose, asked, "/v2/account/configurations"))
                self._reader().configured(account, told)
                self._configuration, self._configured_until = told, time.monotonic_ns() + _CONFIGURED
            except (Broken, Ended, Misbehaved):
                self._count("configurations not told")
        return account if self._configuration is None else self._reader().configured(account, self._configuration)

    def _ask(self, session: VenueSession, purpose: Purpose, asked: int, path: str) -> bytes:
        """One answer, once. Raises Broken, Ended, Misbehaved."""
        until = time.monotonic_ns() + WINDOW
        answer = self._exchange(None, session, Attempt(), purpose, "GET", path, None, until=until, since=asked)
        if answer.status != 200:
            raise Misbehaved(f"{path}: HTTP {answer.status}")
        return answer.body

    def _get(self, session: VenueSession, purpose: Purpose, asked: int, path: str) -> Any:
        """One page, with retries. Raises NotAuthorized where asking again is useless, Misbehaved for no whole answer."""
        text = ""
        for pause in (0.0, *_PAGE_PAUSES):
            if pause and self._closing.wait(pause):
                break
            until = time.monotonic_ns() + 2 * WINDOW
            try:
                answer = self._exchange(None, session, Attempt(), purpose, "GET", path, None, until=until, since=asked)
            except (Broken, Ended) as error:
                text = str(error)
                continue
            if answer.status == 200:
                try:
                    return read_page(answer.body)
                except Misbehaved as error:
                    text = error.what
                    continue
            text = answers.refusal(answer).text
            if answer.status in (401, 403) and answers.is_json(answer):  # a page of somebody on the way says nothing of our keys
                raise NotAuthorized(text)
            if answer.status == 429:
                self._met_429(answer)
            elif answer.status < 500:
                break
        raise Misbehaved(f"{path.partition('?')[0]}: {text or 'closing'}")

    # ------------------------------------------------------------------------------------------------ one request
    def _exchange(
        self,
        task: Task | None,
        session: VenueSession,
        attempt: Attempt,
        purpose: Purpose,
        method: str,
        path: str,
        body: bytes | None,
        *,
        until: int,
        end_at: int = 0,
        since: int = 0,
    ) -> Answer:
        """Wait for the budget until `until`, then send; over at the deadline, or at `end_at`. Raises Broken, Ended."""
        if not self._budget.acquire(purpose, until, lambda: task is None or task.wanted, since=since):
            raise Ended("closing" if self._closing.is_set() else "no room in the request budget in time")
        if task is not None and not task.begin():
            raise Ended("expired in the queue")
        end_at = end_at or time.monotonic_ns() + self._deadline
        self._watch.at(end_at, partial(self._at_deadline, task, session, attempt))
        timeout = max((end_at - time.monotonic_ns()) / _NS, 0.001)
        try:
            answer = session.exchange(attempt, method, path, body, timeout)
        except Broken:
            self._count(f"{purpose.name} broken")
            raise
        if not attempt.end():
            self._count("late answers")
            log.warning("dropped a late answer to %s %s: HTTP %d", method, path.partition("?")[0], answer.status)
            raise Broken("the answer came after the deadline")
        self._count(f"{purpose.name} {answer.status}")
        self._budget.learn(answer.headers)
        log.debug("%s %s: HTTP %d, request %s", method, path, answer.status, answer.headers.get("X-Request-ID", "-"))
        return answer

    def _at_deadline(self, task: Task | None, session: VenueSession, attempt: Attempt) -> None:
        if attempt.end():
            self._count("deadlines")
            if task is not None:
                task.finish(task.lost(attempt.sent, "no whole answer before the deadline"))
            session.shut(attempt)

    def _met_429(self, answer: Answer) -> int:
        """Let nothing but cancels out until the venue's window ends; returns that instant, monotonic ns."""
        wait = answers.retry_after(answer.headers, lambda: (self._venue_now() / _NS, time.time()))
        at = time.monotonic_ns() + int(wait * _NS)
        self._budget.block(at)
        return at

    def _venue_now(self) -> int:
        return self._clock().at(time.monotonic_ns())

    def _reader(self) -> wire.Reader:
        reader: wire.Reader | None = getattr(self._readers, "reader", None)
        if reader is None:
            reader = self._readers.reader = wire.Reader()
            self._all_readers.append(reader)
        return reader

    def _masked(self, result: Result) -> Result:
        """The result without the keys, should the venue have quoted them."""
        text = self._mask(result.text)
        return result if text == result.text else msgspec.structs.replace(result, text=text)

    def _count(self, name: str) -> None:
        with self._counting:
            self._counters[name] += 1


def _order_lost(command: Submit | Replace, sent: bool, text: str) -> SubmitResult:
    outcome = Outcome.AMBIGUOUS if sent else Outcome.NOT_SENT
    return SubmitResult(number=command.request.number, attempt=command.attempt, outcome=outcome, text=text)


def _cancel_lost(command: Cancel, sent: bool, text: str) -> CancelResult:
    return CancelResult(number=command.number, venue_order_id=command.venue_order_id, accepted=False, text=text)


def _all_lost(command: CancelAll, sent: bool, text: str) -> AllCancelled:
    return AllCancelled(call=command.call, text=text)


def _lookup_lost(command: Lookup, sent: bool, text: str) -> LookupResult:
    return LookupResult(number=command.number, found=Found.FAILED, text=text)


def _snapshot_lost(command: TakeSnapshot, sent: bool, text: str) -> QueryFailed:
    return QueryFailed(query=command.query, text=text)
