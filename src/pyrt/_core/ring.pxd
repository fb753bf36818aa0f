"""A broadcast ring of records in shared memory. The algorithm, its memory order and the file: include/ring.h. For the shell only."""
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t


cdef extern from "ring_os.h" nogil:
    uint64_t RING_DAMAGED, RING_MOST
    int RING_PAGE, RING_VERSION
    enum:
        RING_OPEN
        RING_CLOSED
    enum:
        RING_FINE
        RING_UNFINISHED                # its first writer died before it was a ring
        RING_FOREIGN
        RING_OTHER_VERSION
        RING_OTHER_BOOT
        RING_OTHER_RECORD
        RING_OTHER_LAYOUT
        RING_SHAPE

    ctypedef struct ring_word_t:
        pass

    ctypedef struct ring_geometry_t:
        uint32_t version, record       # record: bytes
        uint64_t capacity              # records
        uint32_t batch, wakes
        uint64_t layout
        uint8_t boot[16]

    ctypedef struct ring_shared_t:
        ring_word_t head, life, state, pid

    ctypedef struct ring_writer_t:
        ring_shared_t* shared
        uint64_t head                  # records published

    ctypedef struct ring_reader_t:
        uint64_t window                # records that a reader may lag behind
        uint64_t cursor                # number of the next record to read
        uint64_t lost, gaps, restarts

    uint64_t RING_LOAD(const ring_word_t* p, int order)
    void RING_STORE(ring_word_t* p, uint64_t v, int order)
    enum:
        memory_order_acquire
        memory_order_release

    uint64_t ring_size(uint64_t capacity, uint64_t record)
    uint32_t ring_batch(uint64_t capacity)
    int ring_check(const ring_shared_t* s, uint64_t size, uint32_t record, uint64_t layout, const uint8_t* boot, ring_geometry_t* g)
    void ring_format(ring_shared_t* s, const ring_geometry_t* g)
    void ring_begin(ring_writer_t* w, ring_shared_t* s, ring_word_t* slots, const ring_geometry_t* g, uint64_t pid)
    void ring_publish(ring_writer_t* w, const unsigned char* records, uint64_t n, uint64_t every)
    void ring_join(ring_reader_t* r, const ring_shared_t* s, const ring_word_t* slots, const ring_geometry_t* g, uint64_t start)
    uint64_t ring_read(ring_reader_t* r, unsigned char* out, uint64_t room)
    int ring_lock(int fd)
    int ring_locked(int fd)
    void ring_wake(ring_shared_t* s)
    int ring_wait(const ring_reader_t* r, int64_t spin, int64_t ns, int wakes)


cdef class RingBuffer:
    # One open file of records; a writer or a reader of it.
    cdef readonly str path
    cdef readonly object dtype         # of a record
    cdef ring_geometry_t geometry
    cdef unsigned char* base           # where the file is mapped; NULL once closed
    cdef int fd                        # holds, or asks for, the writer's lock
    cdef bint busy                     # a thread is in it without the GIL
    cdef object __weakref__

    cdef ring_shared_t* shared(self) except NULL
    cdef ring_shared_t* enter(self) except NULL
    cdef void release(self) noexcept
    cdef int map(self, uint64_t size, int protection) except -1
    cdef int fits(self, uint64_t size, const ring_geometry_t* want) noexcept


cdef class RingWriter(RingBuffer):
    cdef ring_writer_t writer

    cdef bint take(self, object file, int at, ring_geometry_t* want) except -1
    cdef bint make(self, object file, int at, ring_geometry_t* want) except -1
    cdef void publish_records(self, const void* records, uint64_t n, uint64_t every) noexcept nogil


cdef class RingReader(RingBuffer):
    cdef ring_reader_t reader

    cdef int attach(self, uint64_t size, ring_geometry_t* want) except -1
    cdef uint64_t read_records(self, void* out, uint64_t room) noexcept nogil
