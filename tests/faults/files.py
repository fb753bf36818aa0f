"""The system calls, paths and maps through which the product reaches the disk below the journal."""

import errno
import mmap
import os
import stat as stat_
from collections.abc import Iterator
from contextlib import contextmanager
from fnmatch import fnmatchcase
from types import SimpleNamespace
from typing import Any

from tests.faults.disk import Directory, Disk, Inode
from tests.faults.kernel import World, nap

DIRECTORY_FD = 1 << 20  # descriptors from here on are of directories and locks: nothing of the system's


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

    def link(self, source: Any, target: Any) -> None:
        """A second name of a file."""
        if World.machine.dead:
            return
        self.disk.check("link")
        of, old = self.disk.parent(str(source))
        directory, name = self.disk.parent(str(target))
        if name in directory.names:
            raise FileExistsError(errno.EEXIST, "there is one of this name", str(target))
        directory.names[name] = of.names[old]
        directory.changed()
        self.disk.point("disk linked")

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

    def iterdir(self) -> Iterator["Path"]:
        return self.glob("*")

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
