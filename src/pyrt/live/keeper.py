"""Takes snapshots of the session's state, so that the next start replays little."""

import asyncio
import logging
import time

from pyrt.errors import JournalError
from pyrt.journal import Journal
from pyrt.live.shell import LiveShell
from pyrt.live.state import hash_of, state_of
from pyrt.session import Session

log = logging.getLogger("pyrt")
LOOK = 1.0  # s between two looks at whether it is time
KEPT = 3  # snapshots beside the journal: the last two anchors, and one to fall back on


class Keeper:
    """Takes the state on the loop, between two inbox entries; a thread writes it; then the journal gets the anchor.

    facts, seconds: after so many, whichever comes first, the next snapshot is taken; none of a journal that did not grow.
    """

    def __init__(self, shell: LiveShell, session: Session, *, facts: int, seconds: float, kept: int = 0) -> None:
        self._shell = shell
        self._journal: Journal = shell.journal
        self._session = session
        self._facts = facts
        self._seconds = seconds
        self._seq = kept  # of the newest snapshot
        self._at = time.monotonic()
        self._busy = asyncio.Lock()
        self.took = 0.0  # s that the loop stood still for the last one

    async def run(self, _: object = None) -> None:
        """Take snapshots until cancelled."""
        while True:
            await asyncio.sleep(LOOK)
            grown = self._journal.seq - self._seq
            if grown >= self._facts or (grown > 1 and time.monotonic() >= self._at + self._seconds):  # 1 is the anchor's own
                await asyncio.shield(self.keep())  # what is begun ends before the end keeps its own

    async def keep(self) -> bool:
        """Take a snapshot now; False where the disk did not take it, which the journal alone makes good.

        What a fault of ours left half done is never kept: the next start would go on from it instead of from the facts.
        """
        async with self._busy:
            journal, begun = self._journal, time.monotonic()
            if journal.failed is not None or self._shell.half_done:
                return False
            seq, state = journal.seq, state_of(self._session)
            self.took = time.monotonic() - begun
            self._seq, self._at = seq, begun
            try:
                state_hash = await asyncio.to_thread(self._write, seq, state)
                journal.anchor(seq, state_hash)
                await asyncio.to_thread(self._settle)
            except (OSError, JournalError) as e:
                log.warning("the snapshot of record %d was not taken: %s", seq, e)
                return False
            log.debug("the snapshot of record %d is taken: %d bytes, the loop stood for %.1f ms", seq, len(state), self.took * 1e3)
            return True

    def _write(self, seq: int, state: bytes) -> bytes:
        state_hash = hash_of(state)
        self._journal.write_snapshot(seq, state, state_hash)
        return state_hash

    def _settle(self) -> None:
        self._journal.sync()
        self._journal.prune(KEPT)
