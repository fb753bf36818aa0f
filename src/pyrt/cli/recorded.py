"""The recorded runs of a session's state, and what each of them was made of."""

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

from pyrt.cli.connect import sizer_of
from pyrt.cli.strategies import load_class, make
from pyrt.config import Config
from pyrt.config.schema import SignalsSection
from pyrt.errors import ConfigError, DataError
from pyrt.journal import inspect
from pyrt.journal.recorder import Run
from pyrt.journal.runs import RecordedRun, runs_of
from pyrt.live.recipe import source_of
from pyrt.model import Fact
from pyrt.signals import Fixed, Sizer
from pyrt.strategies import Strategy


def recorded_runs(state: Path) -> list[RecordedRun]:
    """The runs that were recorded, each to be asked by itself what it lacks. Raises ConfigError, DataError."""
    if not (state / "recording").is_dir():
        raise ConfigError("nothing was recorded here", where=str(state), mend="run with [journal] record = true, the default")
    runs = runs_of(state / "recording")
    if not runs:
        raise DataError("the recording holds no run", where=str(state / "recording"), mend="record the session again")
    return runs


def run_at(runs: Sequence[RecordedRun], seq: int, ts: int) -> int | None:
    """Which run a fact is of; None = of none that is recorded. A run whose beginning is gone is known by its time alone."""
    at = None
    for n, run in enumerate(runs):
        if run.made_of.seq < seq if run.made_of is not None else run.began.venue <= ts:
            at = n
    if at is None and runs and runs[0].made_of is None and (len(runs) == 1 or ts < runs[1].began.venue):
        at = 0  # from before what is left of it
    return at


def own_facts(state: Path, runs: Sequence[RecordedRun], at: int) -> Iterator[tuple[int, int, Fact]]:
    """The facts up to where the next run begins: its own definitions and names, and what was written between the two, are last."""
    upto = next((run.made_of.seq for run in runs[at + 1 :] if run.made_of is not None), None)
    for row in inspect.show(state / "journal"):
        if upto is not None and row[0] > upto:
            return
        yield row


def has_ended(state: Path, runs: Sequence[RecordedRun], at: int) -> bool:
    """Whether the journal lacks nothing of a run: it was closed after it, or goes on with the next one."""
    return at + 1 < len(runs) or inspect.ended(state / "journal")


def strategies_of(run: Run) -> list[Strategy]:
    """The strategies of a run, made again; says where a file has changed since."""
    if run.strategies is None:
        what = "the session's strategies were objects of a program"
        raise ConfigError(what, mend="use pyrt.live.replay.Replay with the same objects")
    made = [make(load_class(recipe.use), recipe.parameters) for recipe in run.strategies]
    for words in changes(run, made):
        print(f"pyrt: {words}", file=sys.stderr)
    return made


def changes(run: Run, made: Sequence[Strategy]) -> list[str]:
    """Which files of strategies are not those that were recorded."""
    return [
        f"{recipe.use} has changed since it was recorded: its file's digest was {recipe.source[:12]}, and is {now[:12]}"
        for recipe, strategy in zip(run.strategies or (), made, strict=True)
        if (now := source_of(type(strategy))) != recipe.source
    ]


def recorded_sizer(run: Run) -> Sizer:
    """The sizer of a run."""
    if run.signals is None:
        return Fixed(1)
    return sizer_of(msgspec.structs.replace(Config(), signals=msgspec.convert(run.signals, SignalsSection)))
