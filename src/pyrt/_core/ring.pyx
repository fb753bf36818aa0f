"""Records from one process to many through shared memory: the writer never waits, a reader knows what it missed."""
import os
import re
import stat
from weakref import WeakSet

import numpy as np

cimport cython
from cpython.buffer cimport PyBUF_WRITABLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.exc cimport PyErr_CheckSignals
from libc.string cimport memcpy, memset

from pyrt._core.buffers cimport open_records

from pyrt._core.types import market_dtype


cdef extern from "sys/mman.h" nogil:
    int PROT_READ, PROT_WRITE, MAP_SHARED
    void* MAP_FAILED
    void* mmap(void* at, size_t n, int prot, int flags, int fd, long offset)
    int munmap(void* at, size_t n)

cdef extern from *:
    """
    #if !defined(MAP_POPULATE)
    #define MAP_POPULATE 0
    #endif
    """
    int MAP_POPULATE

cdef enum:
    ALONE = 64                         # records up to which giving the GIL away costs more than it is worth

cdef int64_t LOOK = 100_000_000        # ns between two looks at signals and at the writer while a reader waits

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}")
_BOOT = "/proc/sys/kernel/random/boot_id"


class RingError(Exception):
    """A ring cannot be used as it is."""


class RingBusy(RingError):
    """Another writer has the ring."""


_WRONG = {
    RING_FOREIGN: "it is no ring",
    RING_OTHER_VERSION: "another version of the program made it",
    RING_OTHER_RECORD: "its records have another size",
    RING_OTHER_LAYOUT: "its records have other fields: open it with the dtype it was made with",
    RING_SHAPE: "its first page contradicts itself or the file's size",
    RING_OTHER_BOOT: "it is left over from before the machine started",
}


def _boot():
    try:
        with open(_BOOT, encoding="ascii") as file:
            return bytes.fromhex(file.read().strip().replace("-", ""))
    except FileNotFoundError:
        raise RingError("rings need Linux") from None


def _layout(dtype):
    # FNV-1a over names, types and places of the fields: the same on every machine and for every equal dtype.
    fields = [(name, np.dtype(of).str, at) for name, (of, at, *_) in (dtype.fields or {}).items()]
    cdef uint64_t hash = 0xcbf29ce484222325
    for c in repr((dtype.itemsize, dtype.str if not fields else "", fields)).encode():
        hash = (hash ^ <uint64_t>c) * <uint64_t>0x100000001b3
    return hash


def _directory(directory, bint make):
    # A descriptor of the directory: nobody but us may have a say in it. What is opened within it is opened by this descriptor.
    directory = os.fspath(directory) if directory is not None else f"/dev/shm/pyrt-{os.geteuid()}"
    if make:
        try:
            os.mkdir(directory, 0o700)
        except FileExistsError:
            pass
    cdef int fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        st = os.fstat(fd)
        if st.st_uid != os.geteuid() or st.st_mode & 0o077:
            raise RingError(f"{directory} must be a directory of mode 0700 that belongs to this user")
    except BaseException:
        os.close(fd)
        raise
    return directory, fd


def _file(name):
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise ValueError(f"{name!r}: a ring's name has up to 64 letters, digits and ._-, and begins with a letter, a digit or _")
    return name + ".ring"


def _ours(int fd, path):
    # The size of an open file that may be a ring: ours alone, and a file.
    st = os.fstat(fd)
    if not stat.S_ISREG(st.st_mode) or st.st_uid != os.geteuid() or stat.S_IMODE(st.st_mode) != 0o600:
        raise RingError(f"{path} must be a file of mode 0600 that belongs to this user")
    return st


cdef class RingBuffer:
    """A ring in shared memory: `RingBuffer.create` gives its one writer, `RingBuffer.open` a reader.

    A file in /dev/shm/pyrt-UID holds the newest `capacity` records of 64 or 128 bytes. It outlives its writer, not the machine.
    """

    def __cinit__(self, *args, **kwargs):
        self.fd = -1

    def __dealloc__(self):
        self.release()

    @staticmethod
    def create(name, dtype=market_dtype, *, capacity=65536, wakes=False, directory=None):
        """The writer of a ring: see RingWriter."""
        return RingWriter(name, dtype, capacity=capacity, wakes=wakes, directory=directory)

    @staticmethod
    def open(name, dtype=market_dtype, *, start="new", directory=None):
        """A reader of a ring: see RingReader."""
        return RingReader(name, dtype, start=start, directory=directory)

    @staticmethod
    def remove(name, *, directory=None):
        """Delete a ring that no writer has; readers that have it open keep what is in it. False where there is none. Raises RingBusy."""
        file = _file(name)
        try:
            directory, at = _directory(directory, False)
        except FileNotFoundError:
            return False
        try:
            fd = os.open(file, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=at)
        except FileNotFoundError:
            return False
        else:
            try:
                st = _ours(fd, f"{directory}/{file}")
                _lock(fd, f"{directory}/{file}")
                if not _same(file, at, st):
                    raise RingBusy(f"{directory}/{file} is being made again")
                os.unlink(file, dir_fd=at)
            finally:
                os.close(fd)
        finally:
            os.close(at)
        return True

    @property
    def capacity(self):
        """Records that the ring has room for."""
        return self.geometry.capacity

    @property
    def window(self):
        """Records that a reader may be behind without losing any."""
        return self.geometry.capacity - self.geometry.batch

    @property
    def head(self):
        """Records published so far, by all writers: the number of the next one."""
        return RING_LOAD(&self.shared().head, memory_order_acquire)

    @property
    def life(self):
        """Writers that the ring has had."""
        return RING_LOAD(&self.shared().life, memory_order_acquire)

    @property
    def pid(self):
        """The process of the last writer, as it called itself."""
        return RING_LOAD(&self.shared().pid, memory_order_acquire)

    @property
    def closed(self):
        """Whether this object was closed."""
        return self.base == NULL

    def close(self):
        """Let go of the ring; the file stays for others and for the next writer. Raises RuntimeError while another thread is in it."""
        if self.busy:
            raise RuntimeError("another thread is using this ring")
        self.release()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def __repr__(self):
        return f"<{type(self).__name__} {self.path}{' closed' if self.base == NULL else ''}>"

    cdef ring_shared_t* shared(self) except NULL:
        if self.base == NULL:
            raise ValueError("the ring is closed")
        return <ring_shared_t*>self.base

    cdef ring_shared_t* enter(self) except NULL:
        if self.busy:
            raise RuntimeError("another thread is using this ring")
        return self.shared()

    cdef void release(self) noexcept:
        if self.base != NULL:
            munmap(self.base, ring_size(self.geometry.capacity, self.geometry.record))
            self.base = NULL
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1

    def _let_go(self):
        # A child of fork has neither the lock nor the right to publish; its copy must not keep the lock of a parent that dies.
        self.busy = False
        self.release()

    cdef int map(self, uint64_t size, int protection) except -1:
        cdef void* at = mmap(NULL, size, protection, MAP_SHARED | MAP_POPULATE, self.fd, 0)
        if at == MAP_FAILED:
            raise OSError(f"{self.path} cannot be mapped")
        self.base = <unsigned char*>at
        return 0

    cdef int fits(self, uint64_t size, const ring_geometry_t* want) noexcept:
        # What the mapped file says of itself; once it is found right, its geometry is ours. Where it is not it is let go.
        cdef int wrong = ring_check(<ring_shared_t*>self.base, size, want.record, want.layout, want.boot, &self.geometry)
        if wrong != RING_FINE:
            munmap(self.base, size)
            self.base = NULL
        return wrong


cdef ring_geometry_t _wanted(object dtype, uint64_t capacity, bint wakes) except *:
    cdef ring_geometry_t want
    cdef bytes boot = _boot()
    memset(&want, 0, sizeof(want))
    if dtype.itemsize not in (64, 128):
        raise ValueError(f"a ring's records have 64 or 128 bytes, not {dtype.itemsize}")
    want.version, want.record, want.capacity, want.wakes = RING_VERSION, dtype.itemsize, capacity, wakes
    want.batch, want.layout = ring_batch(capacity), _layout(dtype)
    memcpy(want.boot, <const unsigned char*>boot, 16)
    return want


def _lock(int fd, path):
    cdef int error = ring_lock(fd)
    if error:
        raise RingBusy(f"{path} has another writer") if error in (11, 13) else OSError(error, os.strerror(error), path)


@cython.final
cdef class RingWriter(RingBuffer):
    """The one writer of a ring; it goes on where the writer before it, if any, ended.

    dtype: of 64 or 128 bytes a record. capacity: records, a power of two. wakes: wake readers that wait (a system call for each
    `publish`; without it they look again four thousand times a second). directory: instead of /dev/shm/pyrt-UID, of mode 0700.
    Raises RingBusy where another writer lives, RingError where the file is not such a ring, OSError where there is no room.
    Without `close` the end of the process counts as the writer's death.
    """

    def __cinit__(self, name, dtype=market_dtype, *, uint64_t capacity=65536, bint wakes=False, directory=None):
        cdef ring_geometry_t want
        file = _file(name)
        self.dtype = np.dtype(dtype)
        if capacity < 2 or capacity > RING_MOST or capacity & (capacity - 1):
            raise ValueError(f"a ring's capacity is a power of two from 2 to {RING_MOST}, not {capacity}")
        want = _wanted(self.dtype, capacity, wakes)
        directory, at = _directory(directory, True)
        self.path = f"{directory}/{file}"
        try:
            while not self.take(file, at, &want):
                pass
        finally:
            os.close(at)
        ring_begin(&self.writer, self.shared(), <ring_word_t*>(self.base + RING_PAGE), &self.geometry, os.getpid())
        _OPEN.add(self)

    cdef bint take(self, file, int at, ring_geometry_t* want) except -1:
        # Open or make the file and lock it. False: what was there was nobody's and is gone, or another made it meanwhile.
        cdef bint made = True
        cdef int wrong
        try:
            self.fd = os.open(file, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600, dir_fd=at)
        except FileExistsError:
            made = False
            try:
                self.fd = os.open(file, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=at)
            except FileNotFoundError:
                return False
        _ours(self.fd, self.path)
        _lock(self.fd, self.path)
        st = os.fstat(self.fd)                           # only now: whoever made it may have finished, and gone, meanwhile
        if not _same(file, at, st):
            self.release()
            return False
        if made:
            return self.make(file, at, want)
        wrong = RING_UNFINISHED
        if st.st_size >= RING_PAGE:
            self.map(st.st_size, PROT_READ | PROT_WRITE)
            wrong = self.fits(st.st_size, want)
        if wrong == RING_UNFINISHED or wrong == RING_OTHER_BOOT:
            os.unlink(file, dir_fd=at)
            self.release()
            return False
        if wrong != RING_FINE:
            raise RingError(f"{self.path}: {_WRONG[wrong]}; RingBuffer.remove deletes it")
        if self.geometry.capacity != want.capacity or self.geometry.wakes != want.wakes:
            raise RingError(f"{self.path} was made with capacity={self.geometry.capacity}, wakes={bool(self.geometry.wakes)}; "
                            f"RingBuffer.remove deletes it")
        return True

    cdef bint make(self, file, int at, ring_geometry_t* want) except -1:
        cdef uint64_t size = ring_size(want.capacity, want.record)
        try:
            os.posix_fallocate(self.fd, 0, size)     # a full /dev/shm is told here, not by a signal while publishing
            self.map(size, PROT_READ | PROT_WRITE)
        except BaseException:
            os.unlink(file, dir_fd=at)
            raise
        self.geometry = want[0]
        ring_format(self.shared(), want)
        return True

    def publish(self, records, *, uint64_t every=0):
        """Publish records, in their order: an array, or bytes. Never waits; what readers have not read in time is lost to them.

        every: readers see the records in steps of so many (at most a quarter of the ring, or 256); 0: in the longest steps.
        Raises ValueError where they are not whole records of the ring's size.
        """
        cdef Py_buffer view
        self.enter()
        cdef uint64_t n = open_records(records, &view, self.geometry.record)
        if n <= ALONE:
            ring_publish(&self.writer, <const unsigned char*>view.buf, n, every)
        else:
            self.busy = True
            with nogil:
                self.publish_records(view.buf, n, every)
            self.busy = False
        if self.geometry.wakes:
            ring_wake(self.writer.shared)
        PyBuffer_Release(&view)

    def close(self):
        """Tell readers that no more comes from this writer, and let go. The file stays. Raises RuntimeError while a thread publishes."""
        if self.busy:
            raise RuntimeError("another thread is using this ring")
        if self.base != NULL:
            RING_STORE(&self.shared().state, RING_CLOSED, memory_order_release)
            ring_wake(self.writer.shared)
        self.release()

    cdef void publish_records(self, const void* records, uint64_t n, uint64_t every) noexcept nogil:
        ring_publish(&self.writer, <const unsigned char*>records, n, every)


def _same(file, int at, st):
    try:
        now = os.stat(file, dir_fd=at, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return (now.st_dev, now.st_ino) == (st.st_dev, st.st_ino)


@cython.final
cdef class RingReader(RingBuffer):
    """One reader of a ring, at its own pace; it is never waited for and writes nothing.

    dtype: as the writer's. start: "new" (what is published from now on), "oldest" (all that is there), or a record's number,
    where another reader stopped. directory: as the writer's. Raises FileNotFoundError where there is no such ring yet, RingError
    where the file is not one, ValueError for a start beyond the head.
    """

    def __cinit__(self, name, dtype=market_dtype, *, start="new", directory=None):
        cdef ring_geometry_t want
        cdef uint64_t head, window
        file = _file(name)
        self.dtype = np.dtype(dtype)
        want = _wanted(self.dtype, 2, False)
        directory, at = _directory(directory, False)
        self.path = f"{directory}/{file}"
        try:
            self.fd = os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=at)
        finally:
            os.close(at)
        self.attach(_ours(self.fd, self.path).st_size, &want)
        head, window = self.head, self.window
        if start == "new":
            start = head
        elif start == "oldest":
            start = head - min(head, window)
        if not 0 <= start <= head:
            raise ValueError(f"record {start} is beyond the last of {self.path}, {head}")
        ring_join(&self.reader, self.shared(), <ring_word_t*>(self.base + RING_PAGE), &self.geometry, start)
        _OPEN.add(self)

    cdef int attach(self, uint64_t size, ring_geometry_t* want) except -1:
        # An unfinished file may shrink or go at any time, so it is not mapped before it says that it is a ring.
        cdef int wrong = RING_UNFINISHED
        if size > RING_PAGE and os.pread(self.fd, 8, 0) != bytes(8):
            self.map(size, PROT_READ)
            wrong = self.fits(size, want)
        if wrong == RING_UNFINISHED:
            raise FileNotFoundError(2, "its writer has not finished it", self.path)
        if wrong != RING_FINE:
            raise RingError(f"{self.path}: {_WRONG[wrong]}")
        return 0

    @property
    def cursor(self):
        """The number of the next record to read."""
        return self.reader.cursor

    @property
    def lag(self):
        """Records published and not yet read."""
        return self.head - self.reader.cursor

    @property
    def lost(self):
        """Records that were overwritten before they were read, in all: exact."""
        return self.reader.lost

    @property
    def gaps(self):
        """How often this reader was overrun."""
        return self.reader.gaps

    @property
    def restarts(self):
        """Writers that began since this reader came, counted when it reaches the first record of each."""
        return self.reader.restarts

    @property
    def state(self):
        """Of the writer: "live", "closed" (it ended in order) or "dead"."""
        cdef ring_shared_t* shared = self.shared()
        if ring_locked(self.fd):
            return "live"
        return "closed" if RING_LOAD(&shared.state, memory_order_acquire) == RING_CLOSED else "dead"

    def read(self, limit=None):
        """Up to `limit` records (all there are) as a new array; they follow each other. See `read_into`."""
        cdef uint64_t n = min(self.lag, self.window) if limit is None else min(self.lag, self.window, limit)
        out = np.empty(n, self.dtype)
        return out[:self.read_into(out)]

    def read_into(self, out):
        """Copy records into an array of them and return how many: never a torn one, and without a gap among them.

        What was lost (`lost` grew) was lost before the first of them; a new writer's records (`restarts` grew) begin with the first.
        Raises RingError where the ring was damaged, ValueError where `out` does not hold whole records of the ring's size.
        """
        cdef Py_buffer view
        cdef uint64_t n, room
        cdef ring_shared_t* shared = self.enter()
        PyObject_GetBuffer(out, &view, PyBUF_WRITABLE)
        if view.len % self.geometry.record or (view.itemsize != self.geometry.record and view.itemsize != 1):
            PyBuffer_Release(&view)
            raise ValueError(f"records have {self.geometry.record} bytes each")
        room = view.len // self.geometry.record
        if room <= ALONE or RING_LOAD(&shared.head, memory_order_acquire) - self.reader.cursor <= ALONE:
            n = ring_read(&self.reader, <unsigned char*>view.buf, room)
        else:
            self.busy = True
            with nogil:
                n = self.read_records(view.buf, room)
            self.busy = False
        PyBuffer_Release(&view)
        if n == RING_DAMAGED:
            raise RingError(f"{self.path}: the count of its records fell; something else wrote into it")
        return n

    def wait(self, timeout=None, *, double spin=0.0):
        """Until there is something to read (True), `timeout` seconds (None: any time) have passed, or no writer is left (False).

        spin: seconds to spend looking before sleeping. Whether the writer lives is looked at every 0.1 s of waiting, signals too.
        """
        cdef int64_t left = <int64_t>(min(timeout, 1e9) * 1e9) if timeout is not None else <int64_t>1 << 62
        cdef int64_t spinning = <int64_t>(min(spin, 1e9) * 1e9), turn
        cdef bint there = False
        self.enter()
        while True:
            turn = min(left, LOOK)
            self.busy = True
            with nogil:
                there = ring_wait(&self.reader, spinning, turn, self.geometry.wakes)
            self.busy = False
            left -= turn
            if there or left <= 0:
                return there
            spinning = max(spinning - turn, 0)
            PyErr_CheckSignals()
            if self.state != "live":
                return self.lag > 0

    cdef uint64_t read_records(self, void* out, uint64_t room) noexcept nogil:
        return ring_read(&self.reader, <unsigned char*>out, room)


_OPEN = WeakSet()


def _after_fork():
    for ring in list(_OPEN):
        ring._let_go()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
