"""When sessions ran on a day, and what they did not hear, from the recording of their inbox."""

from datetime import date
from decimal import Decimal
from pathlib import Path

import msgspec

from pyrt._core.types import RecordType
from pyrt.calendar import Calendar, ExchangeDays
from pyrt.clock import SECOND
from pyrt.errors import DataError
from pyrt.journal import inspect
from pyrt.journal.recorder import Entry, Kind, read_recording
from pyrt.model import EpochOpened
from pyrt.ports import StreamState

CLOSING = SECOND  # a stream that went down so shortly before the end of a run was closed by it


class Span(msgspec.Struct, frozen=True, kw_only=True):
    """From when to when, venue ns, and what."""

    start: int
    end: int
    what: str = ""

    @property
    def seconds(self) -> float:
        """How long."""
        return (self.end - self.start) / SECOND


class Times(msgspec.Struct, kw_only=True):
    """The hours of a day. A run lasts from its first inbox entry to its last, or its facts where nothing was recorded."""

    runs: list[Span] = []
    gaps: list[Span] = []  # a stream was down while a session ran
    holes: dict[int, int] = {}  # instrument -> gaps in the sequence of its market data
    session: Span | None = None  # regular trading of the exchange; None on a day without
    up: Decimal | None = None  # share of it in which a session ran
    recorded: str = ""  # what the recording lacks; "" = nothing


def read_times(state: Path, day: str) -> Times:
    """The hours of a day (YYYY-MM-DD, New York) of a session's state directory. Raises DataError, JournalError."""
    times = Times()
    scheduled = Calendar().session_on(_date(day))
    if scheduled is not None:
        times.session = Span(start=scheduled.open, end=scheduled.close, what="regular session")
    if (state / "recording").is_dir():
        _recorded(state / "recording", day, times)
    else:
        times.recorded = "nothing was recorded: gaps of the data are not known"
        _journaled(state / "journal", day, times)
    if times.session is not None:
        own = times.session
        covered = sum(max(0, min(run.end, own.end) - max(run.start, own.start)) for run in times.runs)
        times.up = Decimal(covered) / Decimal(own.end - own.start)
    return times


def _date(day: str) -> date:
    return date.fromisoformat(day)


class _Run:
    """One life of a session within the day."""

    def __init__(self, entry: Entry) -> None:
        self.name, self.start, self.end = entry.run, entry.now.venue, entry.now.venue
        self.down: dict[str, int] = {}  # stream -> since when


def _recorded(directory: Path, day: str, times: Times) -> None:
    day_of = ExchangeDays()
    run: _Run | None = None
    recording = read_recording(directory)
    try:
        for entry in recording:
            if day_of(entry.now.venue) != day:
                continue
            if run is None or run.name != entry.run:
                _close(run, times)
                run = _Run(entry)
            run.end = max(run.end, entry.now.venue)
            _heard(entry, run, times)
        _close(run, times)
    except DataError as e:
        _close(run, times)
        times.recorded = str(e)
        return
    if recording.dropped or recording.unclosed:
        times.recorded = recording.summary()


def _heard(entry: Entry, run: _Run, times: Times) -> None:
    if entry.kind is Kind.MARKET:
        holes = entry.body["instrument"][entry.body["type"] == RecordType.GAP]
        for instrument in holes.tolist():
            times.holes[instrument] = times.holes.get(instrument, 0) + 1
    elif isinstance(entry.body, StreamState):
        state = entry.body
        if not state.up:
            run.down.setdefault(state.stream, entry.now.venue)
        elif (since := run.down.pop(state.stream, None)) is not None:
            times.gaps.append(Span(start=since, end=entry.now.venue, what=f"{state.stream} stream"))


def _close(run: _Run | None, times: Times) -> None:
    if run is None:
        return
    times.runs.append(Span(start=run.start, end=run.end, what="run"))
    for stream, since in run.down.items():
        if run.end - since < CLOSING:
            continue
        times.gaps.append(Span(start=since, end=run.end, what=f"{stream} stream, until the end of the run"))


def _journaled(directory: Path, day: str, times: Times) -> None:
    day_of = ExchangeDays()
    start = end = 0
    for _, written, fact in inspect.show(directory):
        if not written or day_of(written) != day:
            continue
        if isinstance(fact, EpochOpened) or not start:
            if start:
                times.runs.append(Span(start=start, end=end, what="run"))
            start = written
        end = max(start, written)
    if start:
        times.runs.append(Span(start=start, end=end, what="run"))
