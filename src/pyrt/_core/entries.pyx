"""What a recorder was given and has not yet written: one piece of memory, without an object for each entry."""
cimport cython
from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from libc.stdlib cimport free, realloc
from libc.string cimport memcpy, memmove

cdef extern from "crc32c.h" nogil:
    uint32_t crc32c(uint32_t crc, const unsigned char* p, size_t n)
    void crc32c_init()

crc32c_init()


cdef Py_ssize_t _seal(uint8_t* p, Py_ssize_t n) noexcept nogil:
    # The checksum of each entry: over its length, then over everything behind the checksum. Returns the payload in them.
    cdef Py_ssize_t at = 0, payload = 0
    cdef entry_t entry
    while at < n:
        memcpy(&entry, p + at, sizeof(entry_t))
        memcpy(p + at + 4, &entry.length, 4)            # for one run over both: it stands where the checksum will
        entry.crc = crc32c(0, p + at + 4, entry.length - 4)
        memcpy(p + at + 4, &entry.crc, 4)
        payload += entry.length - <Py_ssize_t>sizeof(entry_t)
        at += entry.length
    return payload


@cython.final
cdef class Entries:
    """Entries in order, numbered from 1, dropped ones too.

    most: bytes of payload that may wait; what comes while there is no room is dropped and counted. wake: called without arguments
    when something waits and nobody was told since `take`. On one thread at a time, which the interpreter's lock sees to.
    """

    def __cinit__(self, Py_ssize_t most, *, wake):
        self.most = most
        self.wake = wake
        self.asleep = True

    def __dealloc__(self):
        free(self.bytes)

    cdef uint8_t* room(self, Py_ssize_t n) noexcept nogil:
        # Behind the last entry, for n bytes; NULL: there is no memory.
        cdef Py_ssize_t cap = max(self.cap, 4096)
        cdef void* bytes
        if self.n + n > self.cap and self.first > 0:
            memmove(self.bytes, self.bytes + self.first, self.n - self.first)
            self.n -= self.first
            self.first = 0
        while self.n + n > cap:
            cap *= 2
        if cap != self.cap:
            bytes = realloc(self.bytes, cap)
            if bytes == NULL:
                return NULL
            self.bytes = <uint8_t*>bytes
            self.cap = cap
        return self.bytes + self.n

    cdef int add(self, uint16_t kind, int64_t venue, int64_t mono, const void* data, Py_ssize_t n) except -1:
        cdef entry_t entry
        cdef uint8_t* at = NULL
        self.count += 1
        if not self.closed and self.payload + n <= self.most:
            at = self.room(<Py_ssize_t>sizeof(entry_t) + n)
        if at == NULL:
            self.dropped += 1
            return 0
        entry.length = <uint32_t>(<Py_ssize_t>sizeof(entry_t) + n)
        entry.crc = 0
        entry.number = self.count
        entry.venue, entry.mono, entry.kind = venue, mono, kind
        entry.reserved[0] = entry.reserved[1] = entry.reserved[2] = 0
        memcpy(at, &entry, sizeof(entry_t))
        memcpy(at + sizeof(entry_t), data, n)
        self.n += entry.length
        self.payload += n
        if self.asleep:
            self.asleep = False
            self.wake()
        return 0

    def put(self, uint16_t kind, int64_t venue, int64_t mono, payload) -> None:
        """Add an entry: its kind, both clocks in ns, and its bytes."""
        cdef Py_buffer view
        PyObject_GetBuffer(payload, &view, PyBUF_SIMPLE)
        try:
            self.add(kind, venue, mono, view.buf, view.len)
        finally:
            PyBuffer_Release(&view)

    def take(self, Py_ssize_t most) -> tuple[bytes, int]:
        """Whole entries that wait, up to `most` bytes of them but one at least, and the bytes of payload in them; b"": none wait.

        They take room until `written` is told of their payload.
        """
        cdef Py_ssize_t end = self.first, payload
        cdef uint32_t length
        cdef uint8_t* p
        while end < self.n:
            memcpy(&length, self.bytes + end, 4)
            if end > self.first and end + length - self.first > most:
                break
            end += length
        whole = PyBytes_FromStringAndSize(<char*>self.bytes + self.first, end - self.first)
        p = <uint8_t*>PyBytes_AS_STRING(whole)
        self.first = end
        if self.first == self.n:
            self.first = self.n = 0
            self.asleep = True
        end = len(whole)
        with nogil:
            payload = _seal(p, end)
        return whole, payload

    def written(self, Py_ssize_t payload) -> None:
        """So many bytes of payload wait no longer."""
        self.payload -= payload
