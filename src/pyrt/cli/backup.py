"""`pyrt backup`: a copy of a session's state, taken while it runs."""

import time
from datetime import UTC, datetime
from pathlib import Path

from pyrt.cli import program_version
from pyrt.cli.state import find_state
from pyrt.journal.backup import backup as make


def backup(target: Path, *, state: Path | None = None) -> None:
    """Copy a session's journal with its snapshots, its recording and its reports; it may run meanwhile.

    The copy is checked as `pyrt journal verify` does, gets the sha256 of every file, and is there whole or not at all. No key is
    in it. `pyrt restore` puts it back.

    Parameters
    ----------
    target
        Directory to make.
    state
        The session's state directory; by default the one used last.
    """
    directory = find_state(state)
    made = make(directory, target, made=int(time.time()), pyrt=program_version())
    size = sum(kept.size for kept in made.files)
    at = datetime.fromtimestamp(made.head.ts / 1e9, UTC).strftime("%Y-%m-%d %H:%M:%S")
    print(f"{target}: journal {made.head.journal} up to record {made.head.seq} ({at}), {len(made.files)} files, {size} bytes")
