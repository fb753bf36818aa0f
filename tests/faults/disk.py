"""The disk below the journal. What was not synced is kept or lost at a power cut, block by block; names likewise, in order.

Contents lie in memory files, so that the real appender and the real reader work on them; names, and what of each file is on
stable storage, are kept here. A process that is killed loses nothing of this; only a power cut does.
"""

import errno
import mmap
import os
import random
import stat as stat_
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from fnmatch import fnmatchcase
from types import SimpleNamespace
from typing import Any

from tests.faults.kernel import World, here, nap

BLOCK = 512
DIRECTORY_FD = 1 << 20  # descriptors from here on are of directories and locks: nothing of the system's


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


class Handles:
    """The descriptors of one process."""

    def __init__(self, disk: Disk) -> None:
        self.disk = disk
        self.files: dict[int, Inode] = {}
        self.places: dict[int, int] = {}
        self.others: dict[int, Directory | str] = {}
        self.locks: set[str] = set()
        self._next = DIRECTORY_FD

    def open(self, inode: Inode) -> int:
        fd = os.dup(inode.fd)
        self.files[fd], self.places[fd] = inode, 0
        return fd

    def other(self, what: Directory | str) -> int:
        self._next += 1
        self.others[self._next] = what
        return self._next

    def close_all(self) -> None:
        for fd in self.files:
            os.close(fd)
        self.files.clear()
        self.others.clear()


class System:
    """Stands in for the module `os` in what writes the journal. Calls of a dead process do nothing."""

    def __init__(self, disk: Disk) -> None:
        self.disk = disk
        self.handles = Handles(disk)  # of the process that lives

    O_RDONLY, O_WRONLY, O_RDWR, O_CREAT, O_TRUNC = os.O_RDONLY, os.O_WRONLY, os.O_RDWR, os.O_CREAT, os.O_TRUNC
    O_CLOEXEC, O_DIRECTORY, O_EXCL, O_NOFOLLOW = os.O_CLOEXEC, os.O_DIRECTORY, os.O_EXCL, os.O_NOFOLLOW
    strerror = staticmethod(os.strerror)

    @staticmethod
    def geteuid() -> int:
        return 1000

    getuid = geteuid

    @staticmethod
    def getpid() -> int:
        return 4242

    def open(self, path: Any, flags: int, mode: int = 0o777) -> int:
        text = str(path)
        node = self.disk.find(text)
        if isinstance(node, Directory):
            return self.handles.other(node)
        if World.machine.dead:
            raise OSError(errno.EIO, "dead")
        if text.endswith("/lock"):
            return self.handles.other(text)
        if flags & os.O_CREAT:
            self.disk.check("open")
        if node is None:
            if not flags & os.O_CREAT:
                raise FileNotFoundError(errno.ENOENT, "no such file", text)
            directory, name = self.disk.parent(text)
            node = Inode(name)
            self.disk.inodes.append(node)
            directory.names[name] = node
            directory.changed()
        elif flags & os.O_TRUNC:
            os.ftruncate(node.fd, 0)
            node.soil(0, node.size)
            node.size = 0
        return self.handles.open(node)

    def close(self, fd: int) -> None:
        if fd >= DIRECTORY_FD:
            what = self.handles.others.pop(fd, None)
            if isinstance(what, str):
                self.handles.locks.discard(what)
        elif self.handles.files.pop(fd, None) is not None:
            os.close(fd)

    def write(self, fd: int, data: bytes) -> int:
        n = self.pwrite(fd, data, self.handles.places[fd])
        self.handles.places[fd] += n
        return n

    def pwrite(self, fd: int, data: bytes, at: int) -> int:
        if fd >= DIRECTORY_FD:
            return len(data)
        self.disk.check("write")
        inode = self.handles.files[fd]
        if self.disk.rng.random() < 0.02 and len(data) > 1:  # a short write, or death within one
            cut = self.disk.rng.randrange(1, len(data))
            data = data[: cut % 64 + 1 if cut % 2 else cut]  # every other one within what a header says
        n = inode.write(data, at)
        self.disk.point("disk written")
        return n

    def pread(self, fd: int, n: int, at: int) -> bytes:
        return b"4242\n" if fd >= DIRECTORY_FD else os.pread(fd, n, at)

    def ftruncate(self, fd: int, size: int) -> None:
        assert fd >= DIRECTORY_FD

    def fsync(self, fd: int) -> None:
        what = self.handles.others.get(fd)
        if isinstance(what, Directory):
            self.disk.check("sync of a directory")
            nap(self.disk.slow())
            what.sync()
            self.disk.point("disk synced")
        elif what is None:
            self.sync_file(fd)

    def sync_file(self, fd: int) -> None:
        """Stands in for pyrt._core.log.sync_file: fdatasync."""
        self.disk.check("sync")
        inode = self.handles.files[fd]
        nap(self.disk.slow())
        self.disk.point("disk syncing")
        inode.sync()
        self.disk.synced(inode)
        self.disk.point("disk synced")

    def fdopen(self, fd: int, mode: str = "wb") -> "Stream":
        """Stands in for open() of a descriptor."""
        return Stream(self, fd)

    def fstat(self, fd: int) -> os.stat_result:
        return os.fstat(fd)

    def release(self, fd: int, begin: int, n: int) -> bool:
        """Stands in for pyrt._core.log.release: the kernel may write the hole at any later time."""
        inode = self.disk.by_fd[fd]
        self.disk.point("disk release")
        os.pwrite(inode.fd, bytes(n), begin)
        inode.soil(begin, begin + n)
        return True


class Stream:
    """A file object over a descriptor: what is written goes out at `flush`."""

    def __init__(self, system: System, fd: int) -> None:
        self._system, self._fd, self._waiting = system, fd, b""

    def write(self, data: bytes) -> int:
        self._waiting += data
        return len(data)

    def flush(self) -> None:
        while self._waiting:
            self._waiting = self._waiting[self._system.write(self._fd, self._waiting) :]

    def fileno(self) -> int:
        return self._fd

    def __enter__(self) -> "Stream":
        return self

    def __exit__(self, *_: object) -> None:
        if not World.machine.dead:
            self.flush()
        self._system.close(self._fd)


class Flock:
    """Stands in for the module `fcntl`."""

    LOCK_EX, LOCK_NB = 2, 4

    def __init__(self, system: System) -> None:
        self._system = system

    def flock(self, fd: int, how: int) -> None:
        name = self._system.handles.others[fd]
        assert isinstance(name, str)
        if name in self._system.handles.locks:
            raise BlockingIOError(errno.EAGAIN, "locked")
        self._system.handles.locks.add(name)


class Path:
    """Stands in for pathlib.Path, as far as the journal asks."""

    __slots__ = ("_text",)
    system: System

    def __init__(self, text: "Path | str") -> None:
        self._text = str(text)

    def __str__(self) -> str:
        return self._text

    __fspath__ = __repr__ = __str__

    def __eq__(self, other: object) -> bool:
        return str(other) == self._text

    def __hash__(self) -> int:
        return hash(self._text)

    def __lt__(self, other: "Path") -> bool:
        return self._text < other._text

    def __truediv__(self, name: str) -> "Path":
        return Path(f"{self._text.rstrip('/')}/{name}")

    @property
    def parent(self) -> "Path":
        return Path(self._text.rpartition("/")[0] or "/")

    @property
    def parents(self) -> list["Path"]:
        found, path = [], self
        while path._text != "/":
            path = path.parent
            found.append(path)
        return found

    @property
    def name(self) -> str:
        return self._text.rpartition("/")[2]

    @property
    def stem(self) -> str:
        return self.name.rpartition(".")[0] or self.name

    def _node(self) -> Inode | Directory | None:
        return self.system.disk.find(self._text)

    def exists(self) -> bool:
        return self._node() is not None

    def is_dir(self) -> bool:
        return isinstance(self._node(), Directory)

    def stat(self) -> Any:
        node = self._node()
        if node is None:
            raise FileNotFoundError(errno.ENOENT, "no such file", self._text)
        kind = stat_.S_IFREG | 0o600 if isinstance(node, Inode) else stat_.S_IFDIR | 0o700
        size, changes = (node.size, node.changes) if isinstance(node, Inode) else (0, 0)
        return SimpleNamespace(st_uid=1000, st_mode=kind, st_size=size, st_ino=id(node), st_mtime_ns=changes)

    def mkdir(self, mode: int = 0o777, parents: bool = False, exist_ok: bool = False) -> None:
        if self._node() is not None:
            return
        if parents and self._text != "/":
            self.parent.mkdir(mode, True, True)
        self.system.disk.check("mkdir")
        directory, name = self.system.disk.parent(self._text)
        directory.names[name] = Directory()
        directory.changed()

    def chmod(self, mode: int) -> None:
        pass

    def absolute(self) -> "Path":
        return self

    def glob(self, pattern: str) -> Iterator["Path"]:
        node = self._node()
        names = list(node.names) if isinstance(node, Directory) else []
        self.system.disk.rng.shuffle(names)  # a directory has no order
        return iter([self / name for name in names if fnmatchcase(name, pattern)])

    def rename(self, target: "Path") -> None:
        if World.machine.dead:
            return
        disk = self.system.disk
        disk.check("rename")
        directory, name = disk.parent(self._text)
        new_directory, new_name = disk.parent(str(target))
        new_directory.names[new_name] = directory.names.pop(name)
        directory.changed()
        disk.point("disk renamed")

    def replace(self, target: "Path") -> None:
        self.rename(target)

    def with_name(self, name: str) -> "Path":
        return self.parent / name

    def unlink(self, missing_ok: bool = False) -> None:
        if World.machine.dead:
            return
        disk = self.system.disk
        disk.check("unlink")
        directory, name = disk.parent(self._text)
        if directory.names.pop(name, None) is None:
            if not missing_ok:
                raise FileNotFoundError(errno.ENOENT, "no such file", self._text)
            return
        directory.changed()

    def read_bytes(self) -> bytes:
        node = self._node()
        if not isinstance(node, Inode):
            raise FileNotFoundError(errno.ENOENT, "no such file", self._text)
        return os.pread(node.fd, node.size, 0)

    def put(self, data: bytes) -> None:
        """Somebody else writes a file, and makes it durable."""
        directory, name = self.system.disk.parent(self._text)
        node = Inode(name)
        self.system.disk.inodes.append(node)
        node.write(data, 0)
        node.sync()
        directory.names[name] = directory.stable[name] = node
        for state in directory.pending:
            state[name] = node

    def open(self, mode: str) -> "Opened":
        node = self._node()
        if not isinstance(node, Inode):
            raise FileNotFoundError(errno.ENOENT, "no such file", self._text)
        self.system.disk.by_fd[node.fd] = node
        return Opened(node)


class Opened:
    """A file opened to be read, without a descriptor of its own: a start opens every segment twice."""

    __slots__ = ("_inode",)

    def __init__(self, inode: Inode) -> None:
        self._inode = inode

    def fileno(self) -> int:
        return self._inode.fd

    def read(self, n: int) -> bytes:
        """From its beginning."""
        return os.pread(self._inode.fd, min(n, self._inode.size), 0)

    def __enter__(self) -> "Opened":
        return self

    def __exit__(self, *_: object) -> None:
        pass


class Map:
    """Stands in for the module `mmap` and for what it makes: the one map of a file."""

    ACCESS_READ = mmap.ACCESS_READ

    def __init__(self, disk: Disk) -> None:
        self._disk = disk

    @contextmanager
    def mmap(self, fd: int, length: int, *, access: int) -> Iterator[mmap.mmap]:
        yield self._disk.by_fd[fd].shown()


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
