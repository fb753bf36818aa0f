"""The runs of a recording, each by itself: what one lacks is no reason not to play another. No more than one entry is in memory."""

from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

from pyrt.clock import Now
from pyrt.journal.recorder import Entry, Kind, Raw, RecordingFile, Run, files_of


class Holes(NamedTuple):
    """What a run lacks, and where what is there ends."""

    rotated: int  # entries before the first that is there: the oldest files went to keep the limit
    dropped: int  # entries that are missing in between, and before the first where nothing was rotated away
    last: int  # number of the last entry
    whole: int  # number of the last entry before which none is missing; 0 = the first is
    end: Now

    def summary(self) -> str:
        """Why the run cannot be played to its end; "" = it can."""
        said = []
        if self.rotated:
            said.append(f"not replayable, its beginning was rotated away ({self.rotated} entries)")
        if self.dropped:
            said.append(f"not replayable, {self.dropped} dropped")
        return "; ".join(said)


class RecordedRun:
    """One run: what it was made of (None = its beginning is gone), and its entries, read when they are asked for."""

    def __init__(self, files: list[RecordingFile], first: Raw, *, oldest: bool) -> None:
        self.id = files[0].run
        self.began = first.now  # of the first entry that is there
        self.first = first.number
        self.made_of: Run | None = None
        if first.kind == Kind.RUN and first.number == 1:
            self.made_of = first.entry(files[0]).body
        self._files = files
        self._oldest = oldest  # older files were there: what is missing before it went with them
        self._holes: Holes | None = None

    def _raws(self) -> Iterator[tuple[RecordingFile, Raw]]:
        for file in self._files:
            for raw in file:
                yield file, raw

    @property
    def holes(self) -> Holes:
        """What it lacks: its files are read once for that, and not decoded. Raises DataError."""
        if self._holes is None:
            last = dropped = whole = 0
            end = self.began
            for _, raw in self._raws():
                if raw.number == whole + 1:
                    whole = raw.number
                if last:
                    dropped += raw.number - last - 1
                last = raw.number
                if raw.kind != Kind.CLOSED:
                    end = raw.now
            before = self.first - 1
            self._holes = Holes(before if self._oldest else 0, dropped if self._oldest else dropped + before, last, whole, end)
        return self._holes

    def entries(self) -> Iterator[Entry]:
        """Its entries, in order, those behind a hole too: see `holes`. Raises DataError."""
        for file, raw in self._raws():
            if raw.kind != Kind.CLOSED:
                yield raw.entry(file)

    def beginning(self) -> Iterator[Entry]:
        """Its entries up to the first that is missing: what can be played. Raises DataError."""
        for number, entry in enumerate(self.entries(), 1):
            if entry.number != number:
                return
            yield entry


def runs_of(directory: Path) -> list[RecordedRun]:
    """The runs of a recording, the oldest first; of each file only the beginning is read. Raises DataError."""
    paths = files_of(directory)
    files = [file for file in map(RecordingFile, paths) if file.run]  # the others: killed while they were being made
    rotated = paths[0] if paths and int(paths[0].stem) > 1 else None
    runs: list[RecordedRun] = []
    for _, group in groupby(files, lambda file: file.run):
        own = list(group)
        first = next((raw for file in own for raw in file), None)
        if first is not None:
            runs.append(RecordedRun(own, first, oldest=own[0].path == rotated))
    return runs
