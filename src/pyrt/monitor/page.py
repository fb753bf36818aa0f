"""The risk page: one small shared file by which a session shows that it lives, and by which anybody of ours may block it.

Five aligned 64-bit words, each written by one store: magic, level, heartbeat, data down since, process id. A store is seen by every
process at once and outlives its writer.
"""

import mmap
import os
import stat
import time
from enum import IntEnum
from pathlib import Path
from typing import Self

from pyrt.errors import ConfigError

NAME = "risk.page"
_MAGIC = int.from_bytes(b"pyrtpg01", "little")
_SIZE = mmap.PAGESIZE
_LEVEL, _BEAT, _DATA_DOWN, _PID = 1, 2, 3, 4


class Level(IntEnum):
    """Latch levels, as in the journal."""

    ACTIVE = 0
    REDUCING = 1
    HALTED = 2
    KILLED = 3


class RiskPage:
    """Open with `create` (the session) or `find` (everybody else); times are ns of the machine's monotonic clock."""

    def __init__(self, fd: int) -> None:
        """Use `create` or `find`."""
        self._map = mmap.mmap(fd, _SIZE)
        self._words = memoryview(self._map).cast("Q")

    @classmethod
    def create(cls, directory: Path) -> Self:
        """The page of a state directory, made where there is none; the level it has stays. Raises ConfigError."""
        path = directory / NAME
        try:
            fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        except OSError as e:
            raise ConfigError(f"cannot be made: {e.strerror}", where=str(path)) from None
        try:
            _check(fd, path)
            os.ftruncate(fd, _SIZE)
            os.pwrite(fd, os.pread(fd, _SIZE, 0), 0)  # really there: a store into a hole of a full disk would end the process
            page = cls(fd)
        except OSError as e:
            raise ConfigError(f"cannot be made: {e.strerror}", where=str(path), mend="make room on the disk") from None
        finally:
            os.close(fd)
        if page._words[0] != _MAGIC:
            page._words[_LEVEL] = Level.ACTIVE
            page._words[0] = _MAGIC
        page._words[_DATA_DOWN], page._words[_PID] = 0, os.getpid()
        page.beat()
        return page

    @classmethod
    def find(cls, directory: Path) -> Self | None:
        """The page of a state directory; None where no session ever made one. Raises ConfigError, OSError."""
        try:
            fd = os.open(directory / NAME, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
        except FileNotFoundError:
            return None
        try:
            _check(fd, directory / NAME)
            if os.fstat(fd).st_size < _SIZE:
                return None
            page = cls(fd)
        finally:
            os.close(fd)
        return page if page._words[0] == _MAGIC else None

    # ------------------------------------------------------------------------------------------------ the level
    @property
    def level(self) -> int:
        """The system's latch: from HALTED up no order leaves."""
        return self._words[_LEVEL]

    @level.setter
    def level(self, level: int) -> None:
        self._words[_LEVEL] = level

    def blocks(self) -> bool:
        """Whether no order may leave: one load, on the order path's last step."""
        return self._words[_LEVEL] >= Level.HALTED

    def close_latch(self, level: int) -> None:
        """Raise the level; never lowers it."""
        if level > self._words[_LEVEL]:
            self._words[_LEVEL] = level

    # ------------------------------------------------------------------------------------------------ signs of life
    def beat(self) -> None:
        """The session lives."""
        self._words[_BEAT] = time.monotonic_ns()

    @property
    def silence(self) -> float:
        """Seconds since the last heartbeat."""
        return max(0, time.monotonic_ns() - self._words[_BEAT]) / 1e9

    def data(self, up: bool) -> None:
        """The data feed went up or down."""
        if up:
            self._words[_DATA_DOWN] = 0
        elif not self._words[_DATA_DOWN]:
            self._words[_DATA_DOWN] = time.monotonic_ns()

    @property
    def data_down(self) -> float:
        """Seconds that the data feed has been down; 0 while it is up."""
        since = self._words[_DATA_DOWN]
        return max(0, time.monotonic_ns() - since) / 1e9 if since else 0.0

    @property
    def pid(self) -> int:
        """The process whose page it is."""
        return self._words[_PID]

    def close(self) -> None:
        """Let the memory go."""
        self._words.release()
        self._map.close()


def _check(fd: int, path: Path) -> None:
    status = os.fstat(fd)
    if status.st_uid != os.geteuid() != 0:  # root stops whatever runs
        raise ConfigError("belongs to another user", where=str(path), mend="do this as the user whose session it is, or as root")
    if not stat.S_ISREG(status.st_mode) or status.st_mode & 0o077:
        raise ConfigError("is not a private file of ours", where=str(path), mend="remove it")
