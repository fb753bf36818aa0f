"""The report of a day: its books, held against the venue, with hours, latches and alarms; as JSON and as a page, written whole."""

import asyncio
import logging
import os
from collections.abc import Iterable
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal, localcontext
from pathlib import Path
from time import monotonic_ns
from typing import Protocol
from zoneinfo import ZoneInfo

import msgspec

from pyrt.calendar import Calendar, ExchangeDays
from pyrt.clock import MINUTE, SECOND, VenueClock
from pyrt.errors import JournalDamaged, PyrtError, VenueError
from pyrt.live.day import EXACT, ZERO, Books, OrderLine, read_books
from pyrt.live.day_reconcile import Difference, Reconciled, reconcile
from pyrt.live.day_times import Times, read_times
from pyrt.live.plan import Live
from pyrt.venues.alpaca.statement import Statement

log = logging.getLogger("pyrt")
VERSION = 1
LOOK = 30.0  # s between two looks at the clock
AFTER_CLOSE = 5 * MINUTE  # the venue's own books need a moment
TRIES = 5  # a journal that is being written may look torn in the middle of a write
PATIENCE, AT_THE_END = 60.0, 10.0  # s for a venue that does not answer; the end of a session waits less
MOST = 7  # days that one look may catch up with


class Teller(Protocol):
    """Who can say what the venue has."""

    name: str
    clock: VenueClock

    def statement(self, since: int, patience: float) -> Statement: ...


class Slippage(msgspec.Struct, frozen=True, kw_only=True):
    """What fills cost against the prices that the orders were decided at; > 0 is worse."""

    orders: int  # that have a fill and a price of arrival
    cost: Decimal
    value: Decimal  # of what they filled, at the prices of arrival
    bps: Decimal | None


class DayReport(msgspec.Struct, kw_only=True):
    """Everything that is told of a day. `statement` is what the venue said; a later report of the same day may use it again."""

    version: int = VERSION
    venue: str
    made: str  # UTC
    books: Books
    unrealised: Decimal | None  # None where a position has no mark
    net: Decimal  # realised less fees
    slippage: Slippage
    strategies: dict[str, Slippage]
    times: Times
    reconciled: Reconciled
    clean: bool
    statement: Statement | None = None


def make_report(state: Path, day: str, teller: Teller | None, *, why_not: str = "", patience: float = PATIENCE) -> DayReport:
    """The report of a day (YYYY-MM-DD, New York). A venue that does not answer leaves what it would have said out, and says so.

    Raises JournalDamaged, JournalError, DataError.
    """
    books = _patient(state / "journal", day)
    statement, why = None, why_not
    if teller is not None:
        try:
            statement = teller.statement(min([midnight(day), *(line.ts - SECOND for line in books.orders)]), patience)
        except VenueError as e:
            why = f"the venue did not answer: {e}"
    earlier = read_report(state, day) if statement is None else None
    if earlier is not None and _told(earlier.books) == _told(books):
        statement = earlier.statement
    reconciled = reconcile(books, statement)
    if why and statement is None:
        reconciled.not_compared = [why]
    marks = [line.unrealised for line in books.positions]
    with localcontext(EXACT):
        unrealised = None if None in marks else sum((m for m in marks if m is not None), ZERO)
        net = books.realised - books.fees
        slipped = {name: slippage_of(o for o in books.orders if o.strategy == name) for name in {o.strategy for o in books.orders}}
        total = slippage_of(books.orders)
    return DayReport(
        venue=teller.name if teller is not None else earlier.venue if earlier is not None else "",
        made=datetime.now(UTC).isoformat(timespec="seconds"),
        books=books,
        unrealised=unrealised,
        net=net,
        slippage=total,
        strategies=dict(sorted(slipped.items())),
        times=read_times(state, day),
        reconciled=reconciled,
        clean=reconciled.clean,
        statement=statement,
    )


def _told(books: Books) -> list[object]:
    """What must not have moved since the venue was asked."""
    return [
        books.journal,
        books.complete,
        *((f.venue_order_id, f.cumulative) for f in books.fills),
        *((o.number, o.status) for o in books.orders),
    ]


def _patient(journal: Path, day: str) -> Books:
    for _ in range(TRIES - 1):
        try:
            return read_books(journal, day)
        except JournalDamaged:
            continue
    return read_books(journal, day)


def slippage_of(orders: Iterable[OrderLine]) -> Slippage:
    """The sum over orders."""
    known = [o for o in orders if o.slippage is not None]
    cost = sum((o.slippage for o in known if o.slippage is not None), ZERO)
    value = sum((o.value for o in known if o.value is not None), ZERO)
    return Slippage(orders=len(known), cost=cost, value=value, bps=round(cost / value * 10_000, 4) if value else None)


def midnight(day: str) -> int:
    """The beginning of a day in New York, ns UTC."""
    return int(datetime.combine(date.fromisoformat(day), time(), ZoneInfo("America/New_York")).timestamp()) * SECOND


# ---------------------------------------------------------------------------------------------------- files
def write_report(report: DayReport, state: Path) -> Path:
    """Write reports/DAY.json and DAY.html, each whole or not at all, readable by you alone; the page's path. Raises OSError."""
    from pyrt.live.day_page import page

    folder = state / "reports"
    folder.mkdir(mode=0o700, exist_ok=True)
    _whole(folder / f"{report.books.day}.json", msgspec.json.format(msgspec.json.encode(report)))
    target = folder / f"{report.books.day}.html"
    _whole(target, page(report).encode())
    return target


def read_report(state: Path, day: str) -> DayReport | None:
    """The report that was written for a day; None without one, or where this program does not read it."""
    try:
        return msgspec.json.decode((state / "reports" / f"{day}.json").read_bytes(), type=DayReport)
    except (OSError, msgspec.DecodeError):
        return None


def _whole(target: Path, content: bytes) -> None:
    unfinished = target.with_name(f".{target.name}.{os.getpid()}")
    fd = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(fd, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(target)
    except BaseException:
        unfinished.unlink(missing_ok=True)
        raise


def tell_day(state: Path, day: str, teller: Teller | None, *, patience: float = PATIENCE) -> DayReport | None:
    """Make and write the report of a day, say where it is and what differs; None where that failed, which is only logged."""
    try:
        report = make_report(state, day, teller, patience=patience)
        target = write_report(report, state)
    except (PyrtError, OSError) as e:
        log.warning("no report of %s: %s", day, e)
        return None
    differs = [_said(d) for d in report.reconciled.differences]
    log.log(logging.WARNING if differs else logging.INFO, "report of %s: %s; %s", day, target, verdict(report))
    return report


def verdict(report: DayReport) -> str:
    """In a few words: is everything as the venue has it?"""
    found = report.reconciled
    lines = sum(found.compared.values())
    if found.differences:
        return f"{len(found.differences)} of {lines} lines differ from the venue's: {_said(found.differences[0])}"
    if found.not_compared:
        return f"{lines} lines as the venue has them; not compared: {'; '.join(found.not_compared)}"
    return f"all {lines} lines are as the venue has them"


def _said(d: Difference) -> str:
    return f"{d.what} {d.which}: {d.ours} here, {d.venue} there"


class DayEnd:
    """A companion of a session: writes the report of each day that ends while it runs, after the regular close and at midnight."""

    def __init__(self, state: Path, teller: Teller) -> None:
        self._state, self._teller = state, teller
        self._day_of = ExchangeDays()
        self._calendar = Calendar()
        self._last = 0  # venue ns of the last look

    async def __call__(self, live: Live) -> None:
        """Watch the clock until cancelled."""
        self._last = live.shell.now().venue
        while True:
            await asyncio.sleep(LOOK)
            now = live.shell.now().venue
            for day in self.due(now):
                await asyncio.to_thread(tell_day, self._state, day, self._teller)

    def due(self, now: int) -> list[str]:
        """The days whose close or end lies between the last look and `now`, at most the last few."""
        first, last = date.fromisoformat(self._day_of(self._last)), date.fromisoformat(self._day_of(now))
        found = []
        for n in range(min((last - first).days, MOST), -1, -1):
            day = last - timedelta(days=n)
            session = self._calendar.session_on(day)
            closed = session is not None and self._last < session.close + AFTER_CLOSE <= now
            if day < last or closed:
                found.append(day.isoformat())
        self._last = now
        return found

    def finish(self) -> None:
        """The session has ended: the report of the day that it is at the venue."""
        try:
            tell_day(self._state, self._day_of(self._teller.clock.at(monotonic_ns())), self._teller, patience=AT_THE_END)
        except KeyboardInterrupt:  # the session has ended in order; only its report is missing
            log.warning("no report: interrupted; `pyrt report` writes it")
