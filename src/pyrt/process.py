"""What a session's process is: its keys stay inside (no core file, nobody attaches, private files, children inherit none), and
its memory is what is in use.
"""

import ctypes
import os
import resource
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from pyrt.errors import ConfigError

KEY_NAMES = (("APCA_API_KEY_ID", "APCA_API_SECRET_KEY"), ("ALPACA_API_KEY", "ALPACA_SECRET_KEY"))
DATABASE_NAME = "PYRT_POSTGRES_DSN"  # holds a password
_NAMES = frozenset((*(name for pair in KEY_NAMES for name in pair), DATABASE_NAME))
_PR_SET_DUMPABLE = 4
# <malloc.h> of glibc: each of them ends the allocator's own adjusting of the thresholds, which only ever goes up.
_STEADY = {"M_ARENA_MAX": (-8, 1), "M_MMAP_THRESHOLD": (-3, 512 << 10), "M_TRIM_THRESHOLD": (-1, 1 << 20)}
_MUCH = 2 << 20  # bytes
_held: dict[str, str] = {}  # what `holding` took out of the environment


def confine() -> None:
    """No core file of this process, no other process of the same user reads its memory or its environment, files are ours alone."""
    os.umask(0o077)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)


def steady_memory() -> bool:
    """One heap for all threads, and large buffers apart from it: before threads begin. False where the C library is not glibc.

    Otherwise each thread that comes and goes may leave a heap of its own behind, as large as its largest buffer was.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt is None:
        return False
    taken = [mallopt(name, value) for name, value in _STEADY.values()]
    return all(taken)


_COUNTS = ("arena", "ordblks", "smblks", "hblks", "hblkhd", "usmblks", "fsmblks", "uordblks", "fordblks", "keepcost")


class _Heap(ctypes.Structure):
    """struct mallinfo2 of glibc."""

    _fields_ = tuple((name, ctypes.c_size_t) for name in _COUNTS)


class FreeMemory:
    """What lies free in the middle of the heap after a storm, where the C library keeps it for ever."""

    def __init__(self) -> None:
        libc = ctypes.CDLL(None) if sys.platform == "linux" else None
        self._look: Callable[[], _Heap] | None = getattr(libc, "mallinfo2", None)
        self._trim = getattr(libc, "malloc_trim", None)
        self._left = 0  # bytes that lay free when it was last given back, or fewer
        if self._look is not None:
            self._look.restype = _Heap

    def give_back(self) -> bool:
        """Give its pages to the system where it grew by much: a millisecond for each MiB; any thread. True where it was done."""
        if self._look is None or self._trim is None:
            return False
        now = self._look()
        free = now.fordblks - now.keepcost
        self._left = min(self._left, free)
        if free < self._left + _MUCH:
            return False
        self._trim(0)
        self._left = free  # the C library still counts it as free
        return True


def make_private(directory: Path) -> None:
    """A directory of our own, made where there is none; files that others put there would be taken for ours.

    Raises ConfigError for one that is another user's, or that others may write to; OSError.
    """
    for missing in [d for d in (directory, *directory.parents) if not d.exists()][::-1]:
        missing.mkdir(mode=0o700, exist_ok=True)
    status = directory.stat()
    if status.st_uid != os.geteuid():
        raise ConfigError("the directory belongs to another user", where=str(directory), mend="give another directory")
    if status.st_mode & 0o022:
        raise ConfigError("others may write to the state directory", where=str(directory), mend=f"chmod 700 {directory}")


@contextmanager
def holding() -> Iterator[None]:
    """Take keys out of the environment while the block runs: `load_keys` finds them, strategies and children do not."""
    found = {name: os.environ.pop(name) for name in _NAMES & os.environ.keys()}
    before = dict(_held)
    _held.update(found)
    try:
        yield
    finally:
        _held.clear()
        _held.update(before)
        os.environ.update(found)


def held_keys() -> tuple[str, ...]:
    """The values that are held."""
    return tuple(_held.values())


def key_variables() -> Mapping[str, str]:
    """The environment, with the keys that are held."""
    return {**os.environ, **_held}


def bare_environment() -> dict[str, str]:
    """The environment for a child that needs no keys."""
    return {name: value for name, value in os.environ.items() if name not in _NAMES and name != "PGPASSWORD"}
