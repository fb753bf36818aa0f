"""The disk below the journal. What was not synced is kept or lost at a power cut, block by block; names likewise, in order.

Contents lie in memory files, so that the real appender and the real reader work on them; names, and what of each file is on
stable storage, are kept here. A process that is killed loses nothing of this; only a power cut does.
"""

import errno
import mmap
import os
import random
from collections.abc import Callable

from tests.faults.kernel import World

BLOCK = 512


class Inode:
    """One file: its bytes as the kernel shows them (a memory file), and as the platter holds them."""

    __slots__ = ("_shown", "changes", "dirty", "fd", "name", "size", "stable")

    def __init__(self, name: str) -> None:
        self.fd = os.memfd_create("pyrt-fault")
        self._shown: mmap.mmap | None = None
        self.name = name
        self.size = 0
        self.changes = 0
        self.stable = bytearray()
        self.dirty: list[tuple[int, int]] = []

    def write(self, data: bytes, at: int) -> int:
        n = len(data)
        if at >= self.size and data.count(0) == n:  # zeros on fresh ground cost nothing
            os.ftruncate(self.fd, at + n)
        else:
            n = os.pwrite(self.fd, data, at)
        self.size = max(self.size, at + n)
        self.changes += 1
        self.soil(at, at + n)
        return n

    def soil(self, begin: int, end: int) -> None:
        """What was written here is not yet on stable storage."""
        World.changes += 1
        self.dirty.append((begin, end))

    def sync(self) -> None:
        """What was written is on stable storage."""
        World.changes += bool(self.dirty) or len(self.stable) != self.size
        del self.stable[self.size :]
        if len(self.stable) < self.size:
            self.stable.extend(bytes(self.size - len(self.stable)))
        for begin, end in self.dirty:
            end = min(end, self.size)
            if begin < end:
                self.stable[begin:end] = os.pread(self.fd, end - begin, begin)
        self.dirty.clear()

    def cut(self, rng: random.Random) -> int:
        """Power is lost: each dirty block is as before or as after, rarely torn within. Returns how many were torn."""
        if not self.dirty:
            return 0
        torn = 0
        if len(self.stable) != self.size and rng.random() < 0.5:  # the new length was written down
            del self.stable[self.size :]
            self.stable.extend(bytes(self.size - len(self.stable)))
        if self.size != len(self.stable):
            self.size = len(self.stable)
            os.ftruncate(self.fd, self.size)
            os.pwrite(self.fd, self.stable, 0)
        mood = rng.random()
        keep = 0.0 if mood < 0.25 else 1.0 if mood < 0.4 else rng.random()
        block = rng.choice((BLOCK, BLOCK, 4096))
        for begin, end in self.dirty:
            end = min(end, self.size)
            at = begin
            while at < end:
                stop = min(end, (at // block + 1) * block)
                if rng.random() < keep:
                    if rng.random() < 0.1:
                        torn += 1
                        stop_kept = rng.randrange(at, stop)
                        self.stable[at:stop_kept] = os.pread(self.fd, stop_kept - at, at)
                    else:
                        self.stable[at:stop] = os.pread(self.fd, stop - at, at)
                at = stop
            if begin < end:
                os.pwrite(self.fd, self.stable[begin:end], begin)
        self.dirty.clear()
        return torn

    def shown(self) -> mmap.mmap:
        """Its bytes as they are and as they come to be: one map for all who read."""
        if self._shown is None or len(self._shown) != self.size:
            self._shown = mmap.mmap(self.fd, self.size, access=mmap.ACCESS_READ)
        return self._shown

    def close(self) -> None:
        os.close(self.fd)


class Directory:
    """Names; each change waits in `pending` until the directory is synced."""

    __slots__ = ("names", "pending", "stable")

    def __init__(self) -> None:
        self.names: dict[str, Inode | Directory] = {}
        self.stable: dict[str, Inode | Directory] = {}
        self.pending: list[dict[str, Inode | Directory]] = []

    def changed(self) -> None:
        World.changes += 1
        self.pending.append(dict(self.names))

    def sync(self) -> None:
        World.changes += bool(self.pending)
        self.stable = dict(self.names)
        self.pending.clear()

    def cut(self, rng: random.Random) -> None:
        states = [self.stable, *self.pending]
        self.names = dict(rng.choice(states))
        self.sync()


class Fault(OSError):
    """An error that the disk was told to give."""


class Disk:
    """The whole of it, over the lives of all processes."""

    def __init__(self, rng: random.Random, point: Callable[[str], None]) -> None:
        self.rng = rng
        self.point = point  # told of each step: the process may die there
        self.root = Directory()
        self.inodes: list[Inode] = []
        self.by_fd: dict[int, Inode] = {}  # of those that were opened to be read
        self.fail: Callable[[str], int] = lambda what: 0  # errno of the next call of a kind; 0 = it succeeds
        self.slow: Callable[[], int] = lambda: 100_000  # ns of a sync
        self.synced: Callable[[Inode], None] = lambda inode: None  # told after each sync
        self.errors = 0

    def power_cut(self) -> int:
        """Everything that was not synced is kept or lost; how many blocks were torn within."""
        self._cut(self.root)
        return sum(inode.cut(self.rng) for inode in self.inodes)

    def _cut(self, directory: Directory) -> None:
        directory.cut(self.rng)
        for child in directory.names.values():
            if isinstance(child, Directory):
                self._cut(child)

    def close(self) -> None:
        for inode in self.inodes:
            inode.close()
        self.inodes.clear()
        self.by_fd.clear()

    def find(self, path: str) -> Inode | Directory | None:
        node: Inode | Directory | None = self.root
        for part in path.strip("/").split("/"):
            if not part:
                continue
            node = node.names.get(part) if isinstance(node, Directory) else None
        return node

    def parent(self, path: str) -> tuple[Directory, str]:
        head, _, name = path.rstrip("/").rpartition("/")
        node = self.find(head)
        if not isinstance(node, Directory):
            raise FileNotFoundError(errno.ENOENT, "no such directory", path)
        return node, name

    def check(self, what: str) -> None:
        """One call: the process may die before it, or it may fail."""
        self.point(f"disk {what}")
        if number := self.fail(what):
            self.errors += 1
            raise Fault(number, os.strerror(number))
