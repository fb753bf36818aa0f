"""`pyrt restore`: a backup becomes the state of the next session."""

import time
from pathlib import Path

from pyrt.journal.backup import read_manifest
from pyrt.journal.backup import restore as put_back


def restore(source: Path, *, state: Path | None = None) -> None:
    """Put back what `pyrt backup` copied, where no state is. Every file is held against its sum first, and the journal is verified.

    Be sure that no session runs on the old state any more, here or on another machine. The next `pyrt run` reads from the venue
    what happened since. Where that journal sent orders after the backup, it ends HALTED: those that still work are cancelled, and
    the fills of all are in the account's position, but nobody knows which strategy they belong to. Look, then
    `pyrt resume`, and `pyrt flatten` where those shares are not wanted.

    Parameters
    ----------
    source
        A directory that `pyrt backup` made.
    state
        Where to put it; by default where it was copied from.
    """
    target = state if state is not None else Path(read_manifest(source).state)
    kept = put_back(source, target, now=int(time.time()))
    print(f"{target}: journal {kept.head.journal} as it was at record {kept.head.seq}; the venue tells the next run the rest")
