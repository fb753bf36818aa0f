"""The journal's file format, its appender and its reader. Format: include/log.h. For the shell only: this module writes files."""
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t


cdef extern from "log.h" nogil:
    int LOG_PAGE, LOG_BLOCK, LOG_VERSION, BLAKE2B_DIGEST
    enum:
        LOG_CHAIN                      # the chain hash: every record whose seq is a multiple of LOG_BLOCK
        LOG_ANCHOR                     # a snapshot's seq and state hash
        LOG_CLOSED                     # the journal was closed: all before it was durable
        LOG_USER                       # the first type that users may give

    ctypedef struct blake2b_t:
        pass
    void blake2b_init(blake2b_t* s)
    void blake2b_update(blake2b_t* s, const unsigned char* p, size_t n)
    void blake2b_digest(const blake2b_t* s, unsigned char* out)

    uint32_t crc32c(uint32_t crc, const unsigned char* p, size_t n)
    uint32_t crc32c_soft(uint32_t crc, const unsigned char* p, size_t n)
    void crc32c_init()

    ctypedef struct segment_t:
        char magic[8]
        uint32_t version, page
        char journal[8]
        uint8_t run[16]
        uint64_t segment, first_seq
        uint64_t last_seq              # last valid one of the segment before
        uint8_t chain[16]              # chain hash at last_seq
        uint64_t size
        uint32_t reserved, crc

    ctypedef struct record_t:
        uint32_t len, crc
        uint64_t seq, durable_seq
        int64_t ts_ns
        uint16_t type, flags
        uint32_t term

    size_t log_stride(size_t len)
    uint32_t record_crc(const unsigned char* p, size_t stride)
    size_t record_check(const unsigned char* p, size_t room)
    uint32_t segment_crc(const unsigned char* page)
    int log_write(int fd, const unsigned char* p, size_t n, int64_t at)
    int log_sync(int fd)
    int log_release(int fd, int64_t begin, int64_t n)
    int64_t log_now()
    void log_sleep(int bell, int64_t ns)
    void log_ring(int bell)
    void log_pause()
    int sched_yield()
    uint64_t LOG_LOAD(uint64_t x)
    void LOG_STORE(uint64_t x, uint64_t v)


cdef enum:                             # what one turn of the journal's thread came to
    TURN_IDLE = 0
    TURN_DURABLE = 1
    TURN_FULL = 2                      # the next record needs a new segment
    TURN_FAILED = 3

cdef enum:                             # how deep the journal's thread sleeps
    AWAKE = 0
    LINGERING = 1                      # only an urgent record wakes it
    ASLEEP = 2

cdef enum:
    LATENCIES = 4096                   # the last syncs that are remembered


cdef class Appender:
    # One thread appends, one thread writes; between them a ring of bytes without a lock.
    cdef unsigned char* ring
    cdef uint64_t capacity             # bytes, a multiple of 8
    cdef uint64_t head                 # bytes appended; written by the appending thread
    cdef uint64_t tail                 # bytes that left the ring; written by the writing thread
    cdef uint64_t last                 # seq of the last record appended
    cdef uint64_t urgent               # the last seq that somebody waits for
    cdef uint64_t written              # of the last record handed to the kernel
    cdef uint64_t synced               # the last seq that may be acted on: on stable storage, or written where sync is off
    cdef uint64_t stable               # the last seq on stable storage
    cdef uint64_t sleeping             # AWAKE, LINGERING, ASLEEP
    cdef uint64_t failed_              # 0, or 1: final
    cdef bint awaited                  # somebody waited for the last group: another may follow
    cdef int64_t watch                 # ns of looking for an urgent record before sleeping
    cdef int64_t linger                # ns that a record nobody waits for may wait for company
    cdef int bell, ringer              # file descriptors: what the writing thread sleeps on, what wakes it
    cdef int fd                        # of the open segment
    cdef uint64_t at, size             # next byte and end of the open segment
    cdef bint sync                     # False: never call fdatasync
    cdef uint32_t term
    cdef blake2b_t hash                # over the last chain value and the records since
    cdef uint8_t chain_[16]
    cdef int error                     # errno of the failure
    cdef str failure
    cdef object next_segment
    cdef uint64_t syncs, records       # counters
    cdef int64_t took[LATENCIES]       # ns of write and sync together

    cdef bint _room(self, uint64_t need) noexcept nogil
    cdef void _put(self, const unsigned char* payload, uint32_t n, uint16_t type, uint16_t flags, int64_t ts) noexcept nogil
    cdef bint _wait(self, int64_t timeout, bint flush) noexcept nogil
    cdef void _look(self, uint64_t head) noexcept nogil
    cdef int _turn(self) noexcept nogil
    cdef int _flush(self, uint64_t begin, uint64_t end) noexcept nogil
    cdef int _settle(self, uint64_t tail, uint64_t last, int64_t begun) noexcept nogil
    cdef void _seal(self, unsigned char* p) noexcept nogil
    cdef void _restart_chain(self) noexcept nogil


cdef enum:
    MISPLACED = 1  # a chain hash is missing or in the wrong place
    DIFFERENT      # a chain hash is not that of the records before it


cdef class Reader:
    # One segment, as bytes: what of it is the journal's. Nothing is changed.
    cdef const unsigned char[::1] data
    cdef readonly object header        # SegmentHeader
    cdef readonly uint64_t end_seq     # last valid seq; first_seq - 1 where there is none
    cdef readonly uint64_t end         # offset of the byte after it
    cdef readonly uint64_t durable     # D: the highest durable_seq of any valid record
    cdef readonly bint closed          # its last record says that the journal was closed
    cdef readonly bint torn            # bytes follow the end: a write that a crash cut short
    cdef readonly bytes chain          # chain hash at end_seq

    cdef void _walk(self, uint64_t until) except *
    cdef int _step_through(self, uint64_t until, unsigned char* chain) noexcept nogil
    cdef void _look_beyond(self) except *
    cdef uint64_t _beyond(self) noexcept nogil
