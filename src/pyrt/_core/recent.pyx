"""A window over the bars of one instrument and interval."""
cimport cython
from cpython.buffer cimport PyBuffer_Release
from cpython.bytearray cimport PyByteArray_FromStringAndSize
from libc.stdint cimport INT64_MIN
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy, memmove

import numpy as np

from pyrt._core.buffers cimport open_records

from pyrt._core.types import bar_dtype as _bar_dtype


@cython.final
cdef class RecentBars:
    """The last `keep` bars of one instrument and interval, oldest first; an amended bar takes the place of its former version.

    Raises ValueError for a window of less than one bar.
    """

    def __cinit__(self, Py_ssize_t keep):
        if keep < 1:
            raise ValueError(f"a window keeps 1 or more bars, not {keep}")
        self.rows = <bar_t*>calloc(2 * keep, sizeof(bar_t))
        if self.rows == NULL:
            raise MemoryError("no memory for bars")
        self.keep = keep
        self.newest = INT64_MIN

    def __dealloc__(self):
        free(self.rows)

    cdef void push(self, const bar_t* bar) noexcept nogil:
        if bar.start <= self.newest and bar.interval >= 0:       # what trades close comes once, and may begin where another began
            self.insert(bar)
            return
        if self.end == 2 * self.keep:
            memcpy(self.rows, self.rows + self.keep, self.keep * sizeof(bar_t))
            self.end = self.keep
        self.rows[self.end] = bar[0]
        self.end += 1
        self.newest = bar.start

    cdef void insert(self, const bar_t* bar) noexcept nogil:
        # Seldom, and nearly always one of the newest: from the end, the first bar that is not newer.
        cdef Py_ssize_t at = self.end
        cdef bar_t last
        while at > 0 and self.rows[at - 1].start >= bar.start:
            at -= 1
        if self.rows[at].start == bar.start:
            self.rows[at] = bar[0]
        elif at > 0 or self.end < self.keep:                    # older than all of a full window: nobody would see it
            last = self.rows[self.end - 1]
            memmove(self.rows + at + 1, self.rows + at, (self.end - 1 - at) * sizeof(bar_t))
            self.rows[at] = bar[0]
            self.newest = INT64_MIN
            self.push(&last)

    cdef const bar_t* tail(self, Py_ssize_t* n) noexcept nogil:
        n[0] = max(0, min(n[0], min(self.keep, self.end)))
        return self.rows + self.end - n[0]

    def add(self, bar) -> None:
        """Take in a bar (128 bytes): a new one, or another version of one that is kept."""
        cdef Py_buffer view
        if open_records(bar, &view, sizeof(bar_t)) != 1:
            PyBuffer_Release(&view)
            raise ValueError("one bar at a time")
        self.push(<const bar_t*>view.buf)
        PyBuffer_Release(&view)

    def last(self, Py_ssize_t n):
        """At most n of the newest, bar_dtype; a copy."""
        cdef const bar_t* first = self.tail(&n)
        return np.frombuffer(PyByteArray_FromStringAndSize(<const char*>first, n * sizeof(bar_t)), _bar_dtype)
