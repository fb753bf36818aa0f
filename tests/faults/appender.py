"""The journal's appender over the disk below it: the real one, on our clock."""

import errno
import os
from typing import Any

from tests.faults.disk import Disk, Fault
from tests.faults.files import System
from tests.faults.kernel import World, here, nap

ROOM = 1 << 18  # bytes that may wait for the disk


class AppenderShell:
    """Stands in for pyrt._core.log.Appender: the real one, whose thread waits on our clock and writes to our disk."""

    disk: Disk
    system: System
    real: type

    def __init__(self, next_segment: Any, last_seq: int, chain: bytes, bell: int, ringer: int, **options: Any) -> None:
        from tests.faults.kernel import Condition

        self._linger = int(options.get("linger", 0))
        self._sync = bool(options.get("sync", True))
        self._changed = Condition()
        self._urgent = self._woken = False
        self._busy = False
        self.failed_with = 0

        def switch(last: int, chain: bytes) -> Any:
            self._flushed()  # a switch within a commit: what was written so far was synced by it
            opened = next_segment(last, chain)
            self._mark = (opened[0], 4096)
            return opened

        options["capacity"] = ROOM  # its pages are all touched by each life
        self._real = self.real(switch, last_seq, chain, bell, ringer, **options)

    # ---- as the appender
    seq = property(lambda self: self._real.seq)
    durable = property(lambda self: self._real.durable if not self._busy else self._shown)
    pending = property(lambda self: self._real.pending)
    counters = property(lambda self: self._real.counters)
    segment_used = property(lambda self: self._real.segment_used)

    def latencies(self) -> list[int]:
        return [1]

    def append(self, kind: int, payload: bytes, ts: int, urgent: bool = True, flags: int = 0) -> int:
        if World.machine.dead:
            here()
        if self.failed_with:
            raise OSError(self.failed_with, os.strerror(self.failed_with))
        seq: int = self._real.append(kind, payload, ts, urgent, flags)
        self._urgent = self._urgent or bool(urgent)
        self._changed.notify_all()
        return seq

    def wake(self) -> None:
        self._woken = True
        self._changed.notify_all()

    def commit(self, timeout: float = -1.0, flush: bool = False) -> bool:
        clock = World.kernel
        with self._changed:
            due = 0
            while not flush:
                if self._real.pending:
                    due = due or clock.now + self._linger
                    if self._urgent or clock.now >= due:
                        break
                    self._changed.wait((due - clock.now) / 1e9)
                elif self._woken:
                    self._woken = False
                    return False
                else:
                    self._changed.wait(None)
                    if not self._real.pending and self._woken:
                        self._woken = False
                        return False
            self._urgent = False
        if not self._real.pending:
            return False
        return self._write()

    def _write(self) -> bool:
        """Write, let time pass, sync: three instants at which the process may die, and two at which the disk may fail."""
        disk = self.disk
        try:
            disk.check("append")
        except Fault as e:
            self.failed_with = e.errno or errno.EIO
            self._spoil()
            raise OSError(self.failed_with, os.strerror(self.failed_with)) from None
        self._shown, self._busy = self._real.durable, True
        before = self._real.segment_used
        self._mark = (self._fd(), round(before * self._size()))
        moved = bool(self._real.commit(0, True))  # the bytes are in the file; for the disk they are not synced yet
        inode = self.system.handles.files[self._fd()]
        begin, end = self._mark[1], round(self._real.segment_used * self._size())
        inode.soil(begin, end)
        try:
            disk.point("journal written")
            disk.check("fdatasync")
        except Fault as e:
            self.failed_with = e.errno or errno.EIO
            raise OSError(self.failed_with, os.strerror(self.failed_with)) from None
        nap(disk.slow())
        disk.point("journal syncing")
        if self._sync:
            inode.sync()
            disk.synced(inode)
        self._busy = False
        disk.point("journal synced")
        return moved

    def _flushed(self) -> None:
        """Before a switch of segments the old one was written to its end and synced."""
        if not self._busy:
            return
        fd, begin = self._mark
        inode = self.system.handles.files[fd]
        inode.soil(begin, inode.size)
        self.disk.point("journal written")
        if number := self.disk.fail("fdatasync"):
            self.disk.errors += 1
            self.failed_with = number
            raise OSError(number, os.strerror(number))
        inode.sync()
        self.disk.synced(inode)

    def _spoil(self) -> None:
        """A write that failed may have left a part of itself."""
        rng, fd = self.disk.rng, self._fd()
        inode = self.system.handles.files[fd]
        at = round(self._real.segment_used * self._size())
        n = min(inode.size - at, rng.randrange(1, 200))
        if n > 0 and rng.random() < 0.5:
            inode.write(rng.randbytes(n), at)

    def _fd(self) -> int:
        return int(self._real.segment_fd)

    def _size(self) -> int:
        return self.system.handles.files[self._fd()].size
