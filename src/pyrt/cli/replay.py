"""`pyrt replay`: was what a session did a function of what it saw?"""

import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter
from rich.console import Console
from rich.progress import Progress

from pyrt.cli.recorded import has_ended, own_facts, recorded_runs, recorded_sizer, strategies_of
from pyrt.cli.state import find_state
from pyrt.errors import ConfigError, DataError
from pyrt.journal.runs import RecordedRun
from pyrt.live.replay import Outcome, Replay


def replay(
    directory: Path | None = None,
    *,
    run: Annotated[int | None, Parameter(name="--run")] = None,
    all_: Annotated[bool, Parameter(name="--all", negative="")] = False,
) -> None:
    """Feed a recorded session to fresh components and compare everything it did with its journal.

    Exit status 0: every fact and every command came out the same. 1: not; the first differences are shown. 2: a run that
    was asked for has holes, or its beginning was rotated away; the others are played.

    Parameters
    ----------
    directory
        A session's state; by default the session used last.
    run
        Which of the recorded runs, from 1; by default the last.
    all_
        Every run, one after the other.
    """
    state = find_state(directory)
    try:
        runs = recorded_runs(state)
    except DataError as e:
        print(f"pyrt: {e}", file=sys.stderr)
        raise SystemExit(2) from None
    if run is not None and not 1 <= run <= len(runs):
        raise ConfigError(f"there is no run {run}", where="--run", mend=f"use 1 to {len(runs)}")
    chosen = range(1, len(runs) + 1) if all_ else [run or len(runs)]
    worst = 0
    for number in chosen:
        worst = max(worst, _play(f"run {number} of {len(runs)}", state, runs, number - 1))
    if worst:
        raise SystemExit(worst)


def _play(name: str, state: Path, runs: Sequence[RecordedRun], at: int) -> int:
    recorded = runs[at]
    if (said := recorded.holes.summary()) or recorded.made_of is None:
        print(f"pyrt: {name}: {said or 'it does not begin with what it was made of'}", file=sys.stderr)
        return 2
    run = recorded.made_of
    ended = has_ended(state, runs, at)
    replayed = Replay(run, own_facts(state, runs, at), strategies_of(run), recorded_sizer(run), ended=ended)
    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task(name, total=recorded.holes.last)
        outcome = replayed.play(recorded.entries(), lambda number: progress.update(task, completed=number))
    print("\n".join(_lines(name, outcome)), file=sys.stdout if outcome.equal else sys.stderr)
    return 0 if outcome.equal else 1


def _lines(name: str, outcome: Outcome) -> list[str]:
    counted = f"{outcome.inputs} inputs, {outcome.facts} facts and {outcome.commands} commands equal"
    lines = [f"{name}: {counted}" + (f", {outcome.different} not" if outcome.different else "") + f"; state {outcome.state[:16]}"]
    if outcome.state != outcome.of_facts:
        lines.append(f"  the facts alone give another state: {outcome.of_facts[:16]}")
    for d in outcome.differences:
        at = datetime.fromtimestamp(d.now / 1e9, UTC).isoformat(timespec="microseconds")
        lines += [f"  after entry {d.entry}, {at}:", f"    recorded {d.recorded}", f"    replayed {d.replayed}"]
    if outcome.failed:
        lines.append(f"  the session broke at {outcome.failed}")
    if outcome.unplayed:
        lines.append(f"  {outcome.unplayed} facts of the journal are from after the recording's end")
    if outcome.unsent:
        lines.append(f"  {outcome.unsent} commands had not left when the recording ended")
    if outcome.missing:
        lines.append(f"  {outcome.missing} facts are not in the journal: it ended before they were durable")
    return lines
