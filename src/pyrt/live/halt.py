"""A latch that the journal cannot hold: when the journal itself fails, the next start must still find the system HALTED.

The request lies beside the journal before it is needed, as zeros in KILL.spare, so that it takes no room on a full disk; it becomes
KILL, or stands beside one; the next session acts upon it before it trades, and removes it when the latch is durable. The risk page,
in memory already, says the same where even that cannot be written.
"""

import logging
import os
import threading
from pathlib import Path

import msgspec

from pyrt.live.control import REQUEST, KillRequest, unread
from pyrt.monitor import Level, RiskPage

log = logging.getLogger("pyrt")
SPARE = "KILL.spare"
SIZE = 4096
PATIENCE = 5.0  # s that the end of a session waits for a disk that does not answer


class HaltNote:
    """One for each session; `tell` may be called from the loop."""

    def __init__(self, directory: Path, page: RiskPage) -> None:
        self._directory = directory
        self._page = page
        self._thread: threading.Thread | None = None
        fd = os.open(directory / SPARE, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            written = os.pread(fd, SIZE, 0).strip(b"\0 ")
        finally:
            os.close(fd)
        if written:  # the power went before it had its name
            unread(directory, directory / SPARE)
        fd = os.open(directory / SPARE, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            os.pwrite(fd, bytes(SIZE), 0)
            os.fsync(fd)
        finally:
            os.close(fd)

    def tell(self, reason: str) -> None:
        """Leave word that the journal failed; only the first reason is kept."""
        self._page.close_latch(Level.HALTED)
        if self._thread is None:
            self._thread = threading.Thread(target=self._write, args=(reason,), name="halt-note", daemon=True)
            self._thread.start()

    def close(self) -> None:
        """Wait until the word is written, or the disk was given time enough."""
        if self._thread is not None:
            self._thread.join(PATIENCE)

    def _write(self, reason: str) -> None:
        request = KillRequest(level="HALTED", scope="system", who="journal", why=reason[:1000])
        try:
            fd = os.open(self._directory / SPARE, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
            try:
                os.pwrite(fd, msgspec.json.encode(request).ljust(SIZE), 0)
                os.fsync(fd)
            finally:
                os.close(fd)
            unread(self._directory, self._directory / SPARE)
        except OSError as e:
            log.error("%s: the halt was not written (%s); only the risk page tells of it", self._directory / REQUEST, e.strerror)
