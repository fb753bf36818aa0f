"""The recorded runs of a session's state, and what each of them was made of."""

import sys
from pathlib import Path

import msgspec

from pyrt.cli.connect import sizer_of
from pyrt.cli.strategies import load_class, make
from pyrt.config import Config
from pyrt.config.schema import SignalsSection
from pyrt.errors import ConfigError, DataError
from pyrt.journal.recorder import Entry, Kind, Run, read_recording
from pyrt.live.recipe import source_of
from pyrt.signals import Fixed, Sizer
from pyrt.strategies import Strategy


def recorded_runs(state: Path) -> list[list[Entry]]:
    """The entries of each run that tells what it was made of. Raises ConfigError, and DataError where the recording has holes."""
    if not (state / "recording").is_dir():
        raise ConfigError("nothing was recorded here", where=str(state), mend="run with [journal] record = true, the default")
    recording = read_recording(state / "recording")
    runs: list[list[Entry]] = []
    for entry in recording:
        if entry.kind is Kind.RUN:
            runs.append([])
        if runs:
            runs[-1].append(entry)
    if not recording.replayable:
        raise DataError(recording.summary(), where=str(state / "recording"), mend="record the session again, with nothing dropped")
    if not runs:
        raise DataError("the recording holds no whole run", where=str(state / "recording"), mend="record the session again")
    return runs


def strategies_of(run: Run) -> list[Strategy]:
    """The strategies of a run, made again; says where a file has changed since."""
    if run.strategies is None:
        what = "the session's strategies were objects of a program"
        raise ConfigError(what, mend="use pyrt.live.replay.Replay with the same objects")
    made = []
    for recipe in run.strategies:
        cls = load_class(recipe.use)
        if source_of(cls) != recipe.source:
            print(f"pyrt: {recipe.use} has changed since it was recorded", file=sys.stderr)
        made.append(make(cls, recipe.parameters))
    return made


def recorded_sizer(run: Run) -> Sizer:
    """The sizer of a run."""
    if run.signals is None:
        return Fixed(1)
    return sizer_of(msgspec.structs.replace(Config(), signals=msgspec.convert(run.signals, SignalsSection)))
