"""The journal's appender and reader: records that are either whole and in order, or not there, or reported as damaged."""
import os
from typing import NamedTuple

cimport cython
from libc.stdlib cimport free
from libc.string cimport memcmp, memcpy, memset

cdef extern from "pages.h" nogil:
    void* pyrt_pages(size_t size)      # zeroed, every page of it there

crc32c_init()

PAGE = LOG_PAGE
BLOCK = LOG_BLOCK
VERSION = LOG_VERSION
CHAIN = LOG_CHAIN
ANCHOR = LOG_ANCHOR
CLOSED = LOG_CLOSED
USER = LOG_USER


class Damaged(Exception):
    """A segment does not hold what was once durable in it."""


class Newer(Damaged):
    """A whole segment in a format that this program does not read."""


class Full(Exception):
    """The ring between the appending and the writing thread has no room."""


class SegmentHeader(NamedTuple):
    """The first page of a segment."""

    journal: str
    run: bytes
    segment: int
    first_seq: int
    last_seq: int
    chain: bytes
    size: int


class Record(NamedTuple):
    """One record as read."""

    seq: int
    durable_seq: int
    ts: int
    type: int
    flags: int
    term: int
    payload: bytes


def crc32c_of(const unsigned char[::1] data, *, bint hardware=True):
    """The CRC-32C of bytes; `hardware=False` takes the portable way."""
    cdef const unsigned char* p = &data[0] if data.shape[0] else NULL
    return crc32c(0, p, data.shape[0]) if hardware else crc32c_soft(0, p, data.shape[0])


def chain_of(const unsigned char[::1] data):
    """The BLAKE2b-128 of bytes."""
    cdef blake2b_t state
    cdef unsigned char out[16]
    blake2b_init(&state)
    if data.shape[0]:
        blake2b_update(&state, &data[0], data.shape[0])
    blake2b_digest(&state, out)
    return out[:16]


def sync_file(int fd):
    """Bring a file's content to stable storage (fdatasync; F_FULLFSYNC on macOS). Raises OSError, after which nothing is known."""
    cdef int error
    with nogil:
        error = log_sync(fd)
    if error:
        raise OSError(error, os.strerror(error))


def release(int fd, int64_t begin, int64_t n):
    """Give the disk space of a file's dead part back, where the system can; it reads as zeros after. False where it cannot."""
    with nogil:
        n = log_release(fd, begin, n)
    return n == 0


def pack_header(header):
    """A segment's first page."""
    cdef unsigned char page[4096]
    cdef segment_t s
    cdef bytes journal = header.journal.encode("ascii"), run = header.run, chain = header.chain
    if len(journal) != 8 or len(run) != 16 or len(chain) != 16:
        raise ValueError("a journal id has 8 characters, a run id and a chain hash 16 bytes")
    memset(page, 0, LOG_PAGE)
    memset(&s, 0, sizeof(s))
    memcpy(s.magic, b"PYRTLOG", 7)
    s.version, s.page = LOG_VERSION, LOG_PAGE
    memcpy(s.journal, <const char*>journal, 8)
    memcpy(s.run, <const unsigned char*>run, 16)
    memcpy(s.chain, <const unsigned char*>chain, 16)
    s.segment, s.first_seq, s.last_seq, s.size = header.segment, header.first_seq, header.last_seq, header.size
    memcpy(page, &s, sizeof(s))
    s.crc = segment_crc(page)
    memcpy(page, &s, sizeof(s))
    return page[:LOG_PAGE]


@cython.final
cdef class Appender:
    """Takes records from one thread without blocking it; another thread's `commit` writes and syncs them in groups.

    next_segment(last_seq, chain) -> (file descriptor, size): opens the segment that follows, durable in its directory.
    bell, ringer: descriptors of an eventfd (twice the same) or of a pipe, not blocking; they stay the caller's.
    linger: ns for which a record nobody waits for may wait for others. watch: ns for which the writing thread, after a
    record that somebody waited for, looks for the next one before it sleeps.
    """

    def __cinit__(self, next_segment, uint64_t last_seq, bytes chain, int bell, int ringer, *, uint32_t term=0,
                  uint64_t capacity=1 << 22, int64_t linger=5_000_000, bint sync=True, int64_t watch=0):
        self.capacity = max(capacity, 4096) & ~<uint64_t>7
        # Its pages are there from now on: no order waits for one. (A compiler makes malloc and memset one calloc, which has none.)
        self.ring = <unsigned char*>pyrt_pages(self.capacity)
        if self.ring == NULL:
            raise MemoryError
        self.last = self.urgent = self.written = self.synced = self.stable = last_seq
        self.bell, self.ringer, self.term, self.linger, self.sync, self.watch = bell, ringer, term, linger, sync, watch
        memcpy(self.chain_, <const unsigned char*>chain, 16)
        self._restart_chain()
        self.next_segment = next_segment
        self.fd = -1
        self.fd, self.size = next_segment(last_seq, chain)
        self.at = LOG_PAGE

    def __dealloc__(self):
        free(self.ring)

    @property
    def seq(self):
        """The last seq given out."""
        return self.last

    @property
    def durable(self):
        """The last seq that is on stable storage."""
        return LOG_LOAD(self.synced)

    @property
    def chain(self):
        """The chain hash at the last record written."""
        cdef unsigned char out[16]
        blake2b_digest(&self.hash, out)
        return out[:16]

    @property
    def failed(self):
        """None, or (errno, what): final, nothing is written after it."""
        return (self.error, self.failure) if LOG_LOAD(self.failed_) else None

    @property
    def segment_fd(self):
        """The descriptor of the open segment."""
        return self.fd

    @property
    def segment_used(self):
        """The part of the open segment that is written, 0 to 1."""
        return self.at / <double>self.size

    @property
    def pending(self):
        """Bytes in the ring."""
        return self.head - LOG_LOAD(self.tail)

    @property
    def counters(self):
        """How many records were written, in how many syncs."""
        return {"records": self.records, "syncs": self.syncs}

    def latencies(self):
        """The ns of each of the last 4,096 groups, write and sync together, in no order."""
        return [self.took[i] for i in range(<int>min(self.syncs, LATENCIES))]

    def append(self, uint16_t kind, bytes payload, int64_t ts, bint urgent=True, uint16_t flags=0):
        """Put a record behind all others and return its seq. Raises Full, or OSError once writing has failed."""
        cdef uint64_t n = len(payload)
        if LOG_LOAD(self.failed_):
            raise OSError(self.error, self.failure)
        if sizeof(record_t) + n + 64 > self.size - LOG_PAGE:
            raise ValueError(f"a record of {n} bytes does not fit a segment of {self.size}")
        if not self._room(log_stride(sizeof(record_t) + n)):
            raise Full(f"{self.capacity} bytes wait for the disk")
        if (self.last + 1) % LOG_BLOCK == 0:
            self._put(NULL, 16, LOG_CHAIN, 0, ts)
        self._put(<const unsigned char*>payload, n, kind, flags, ts)
        if urgent:
            LOG_STORE(self.urgent, self.last)
        cdef uint64_t sleeping = LOG_LOAD(self.sleeping)
        if sleeping == ASLEEP or (sleeping == LINGERING and urgent):
            log_ring(self.ringer)
        return self.last

    def wake(self):
        """End a commit that waits, from any thread."""
        log_ring(self.ringer)

    def commit(self, double timeout=-1.0, bint flush=False):
        """Wait until there is something to write, write and sync it as one group; True if `durable` moved.

        timeout: seconds, below 0 for ever; flush: do not linger. Runs without Python's lock. Raises OSError: final.
        """
        cdef int turn
        with nogil:
            turn = TURN_IDLE
            if not LOG_LOAD(self.failed_) and self._wait(<int64_t>(timeout * 1e9) if timeout >= 0 else -1, flush):
                turn = self._turn()
        while turn == TURN_FULL:
            self._switch()
            with nogil:
                turn = self._turn()
        if turn == TURN_FAILED:
            self._fail(self.error, "write or sync of the journal failed: " + os.strerror(self.error))
        if LOG_LOAD(self.failed_):
            raise OSError(self.error, self.failure)
        return turn == TURN_DURABLE

    def _switch(self):
        cdef bytes chain
        cdef int error = 0
        if not self.sync:                               # the next header says that all of this segment is there
            with nogil:
                error = log_sync(self.fd)
            if error:
                self._fail(error, "sync of the journal failed: " + os.strerror(error))
                raise OSError(self.error, self.failure)
            self.stable = self.written
        blake2b_digest(&self.hash, self.chain_)
        self._restart_chain()
        chain = self.chain_[:16]
        try:
            self.fd, self.size = self.next_segment(self.written, chain)
        except OSError as e:
            self._fail(e.errno or 5, f"no next segment: {e.strerror}")
            raise
        self.at = LOG_PAGE

    def _fail(self, int error, str what):
        self.error, self.failure = error, what
        LOG_STORE(self.failed_, 1)

    # ---- the appending thread
    cdef bint _room(self, uint64_t need) noexcept nogil:
        # Worst case: a chain record before it, and a gap at the end of the ring before either.
        return self.head + 2 * need + 2 * 64 - LOG_LOAD(self.tail) <= self.capacity

    cdef void _put(self, const unsigned char* payload, uint32_t n, uint16_t type, uint16_t flags, int64_t ts) noexcept nogil:
        cdef uint64_t stride = log_stride(sizeof(record_t) + n)
        cdef uint64_t place = self.head % self.capacity
        cdef uint64_t head = self.head
        cdef unsigned char* p
        cdef record_t r
        if self.capacity - place < stride:              # a record lies in one piece: the rest of the ring stays empty
            memset(self.ring + place, 0, 4)
            head += self.capacity - place
            place = 0
        p = self.ring + place
        self.last += 1
        r.len, r.crc, r.seq, r.durable_seq, r.ts_ns = sizeof(record_t) + n, 0, self.last, 0, ts
        r.type, r.flags, r.term = type, flags, self.term
        memset(p + stride - 8, 0, 8)                    # the padding
        memcpy(p, &r, sizeof(r))
        if payload != NULL:
            memcpy(p + sizeof(r), payload, n)
        else:
            memset(p + sizeof(r), 0, n)
        LOG_STORE(self.head, head + stride)

    # ---- the writing thread
    cdef bint _wait(self, int64_t timeout, bint flush) noexcept nogil:
        cdef int64_t now = log_now()
        cdef int64_t end = now + timeout, due = 0, rest
        cdef uint64_t head, depth
        while True:
            head = LOG_LOAD(self.head)
            now = log_now()
            if head != self.tail:
                due = due if due else now + self.linger
                if flush or LOG_LOAD(self.urgent) > self.synced or now >= due:
                    return True
                rest, depth = due - now, LINGERING
            else:
                if flush or (0 <= timeout and end <= now):
                    return False
                rest, depth = end - now if timeout >= 0 else -1, ASLEEP
            if self.awaited:
                self._look(head)
                continue
            LOG_STORE(self.sleeping, depth)
            if LOG_LOAD(self.head) == head and LOG_LOAD(self.urgent) <= self.synced:
                log_sleep(self.bell, rest)
                if LOG_LOAD(self.head) == head and LOG_LOAD(self.head) == self.tail:   # woken, and nothing came
                    LOG_STORE(self.sleeping, AWAKE)
                    return False
            LOG_STORE(self.sleeping, AWAKE)

    cdef void _look(self, uint64_t head) noexcept nogil:
        # To be woken takes longer than a short look, and orders come in groups. Whoever else wants the processor gets it.
        cdef int64_t end = log_now() + self.watch
        cdef uint32_t k = 0
        self.awaited = False
        while LOG_LOAD(self.head) == head and LOG_LOAD(self.urgent) <= self.synced:
            log_pause()
            k += 1
            if k % 64 == 0:
                sched_yield()
                if log_now() >= end:
                    return

    cdef int _turn(self) noexcept nogil:
        # Seal what waits, hand it to the kernel in as few writes as it takes, sync once.
        cdef int64_t begun = log_now()
        cdef uint64_t head = LOG_LOAD(self.head)
        cdef uint64_t tail = self.tail, begin, place, stride, last = self.written
        cdef unsigned char* p
        begin = tail
        while tail != head:
            place = tail % self.capacity
            p = self.ring + place
            if (<record_t*>p).len == 0:                 # the gap before the ring's start
                if self._flush(begin, tail):
                    return TURN_FAILED
                tail += self.capacity - place
                begin = tail
                continue
            stride = log_stride((<record_t*>p).len)
            if self.at + (tail - begin) + stride > self.size:
                if self._flush(begin, tail) or self._settle(tail, last, begun):
                    return TURN_FAILED
                return TURN_FULL
            self._seal(p)
            last = (<record_t*>p).seq
            tail += stride
            if tail % self.capacity == 0:
                if self._flush(begin, tail):
                    return TURN_FAILED
                begin = tail
        if self._flush(begin, tail) or self._settle(tail, last, begun):
            return TURN_FAILED
        return TURN_DURABLE

    cdef int _flush(self, uint64_t begin, uint64_t end) noexcept nogil:
        if begin == end:
            return 0
        self.error = log_write(self.fd, self.ring + begin % self.capacity, end - begin, self.at)
        self.at += end - begin
        return self.error

    cdef int _settle(self, uint64_t tail, uint64_t last, int64_t begun) noexcept nogil:
        if self.sync:
            self.error = log_sync(self.fd)
            if self.error:
                return self.error
            self.stable = last
        self.took[self.syncs % LATENCIES] = log_now() - begun
        self.syncs += 1
        self.records += last - self.written
        self.written = last
        self.awaited = self.watch > 0 and LOG_LOAD(self.urgent) > self.synced
        LOG_STORE(self.synced, last)
        LOG_STORE(self.tail, tail)
        return 0

    cdef void _seal(self, unsigned char* p) noexcept nogil:
        cdef record_t* r = <record_t*>p
        cdef uint64_t stride = log_stride(r.len)
        r.durable_seq = self.stable
        if r.type == LOG_CHAIN:
            blake2b_digest(&self.hash, self.chain_)
            memcpy(p + sizeof(record_t), self.chain_, 16)
            self._restart_chain()
        r.crc = record_crc(p, stride)
        blake2b_update(&self.hash, p, stride)

    cdef void _restart_chain(self) noexcept nogil:
        blake2b_init(&self.hash)
        blake2b_update(&self.hash, self.chain_, 16)


@cython.final
cdef class Reader:
    """One segment, checked as a whole when made. Raises Damaged where a record that was durable no longer reads.

    until: the last seq that the next segment's header names; everything up to it must be there, what follows is dead.
    Without it, this is the last segment: it ends at the first record that is not valid, which is damage only if any valid
    record says that it was durable. A limit: damage to the last synced group of a journal that was not closed looks torn.
    """

    def __cinit__(self, const unsigned char[::1] data, until=None):
        cdef segment_t s
        self.data = data
        if data.shape[0] < LOG_PAGE:
            raise Damaged(f"{data.shape[0]} bytes are less than a header")
        memcpy(&s, &data[0], sizeof(s))
        if s.magic[:7] != b"PYRTLOG" or s.crc != segment_crc(&data[0]):
            raise Damaged("the header does not read")
        if s.version != LOG_VERSION:
            raise Newer(f"format version {s.version}; this program reads version {LOG_VERSION}")
        if s.size != <uint64_t>data.shape[0]:
            raise Damaged(f"the file has {data.shape[0]} bytes, its header says {s.size}")
        self.header = SegmentHeader(s.journal[:8].decode("ascii"), <bytes>s.run[:16], s.segment, s.first_seq, s.last_seq,
                                    <bytes>s.chain[:16], s.size)
        self.end_seq, self.end = s.first_seq - 1, LOG_PAGE
        self._walk(<uint64_t>0xffffffffffffffff if until is None else until)
        if until is None:
            self._look_beyond()
        elif self.end_seq != until:
            raise Damaged(f"record {self.end_seq + 1} at byte {self.end} does not read; the next segment says that {until} was valid")

    cdef void _walk(self, uint64_t until) except *:
        cdef unsigned char chain[16]
        cdef int wrong
        memcpy(chain, <const unsigned char*><bytes>self.header.chain, 16)
        with nogil:  # 64 MiB take a third of a second, and another thread may be trading
            wrong = self._step_through(until, chain)
        if wrong == MISPLACED:
            raise Damaged(f"record {self.end_seq + 1} at byte {self.end}: a chain hash is missing or in the wrong place")
        if wrong == DIFFERENT:
            raise Damaged(f"record {self.end_seq + 1} at byte {self.end}: the chain hash of the records before it differs")
        self.chain = chain[:16]

    cdef int _step_through(self, uint64_t until, unsigned char* chain) noexcept nogil:
        # To the last valid record up to `until`; the chain hash there. What is wrong with the one after it, 0 = nothing.
        cdef blake2b_t state
        cdef const unsigned char* p
        cdef const record_t* r
        cdef uint64_t size = self.data.shape[0]
        cdef size_t stride
        blake2b_init(&state)
        blake2b_update(&state, chain, 16)
        while self.end < size and self.end_seq < until:
            p = &self.data[self.end]
            stride = record_check(p, size - self.end)
            r = <const record_t*>p
            if stride == 0 or r.seq != self.end_seq + 1 or r.durable_seq >= r.seq:
                break
            if (r.type == LOG_CHAIN) != (r.seq % LOG_BLOCK == 0):
                return MISPLACED
            if r.type == LOG_CHAIN:
                blake2b_digest(&state, chain)
                if r.len != sizeof(record_t) + 16 or memcmp(chain, p + sizeof(record_t), 16):
                    return DIFFERENT
                blake2b_init(&state)
                blake2b_update(&state, chain, 16)
            blake2b_update(&state, p, stride)
            self.end_seq, self.durable, self.closed = r.seq, max(self.durable, r.durable_seq), r.type == LOG_CLOSED
            self.end += stride
        blake2b_digest(&state, chain)
        return 0

    cdef void _look_beyond(self) except *:
        cdef const record_t* r
        cdef uint64_t at
        with nogil:
            at = self._beyond()
        if at:
            r = <const record_t*>&self.data[at]
            raise Damaged(f"record {self.end_seq + 1} at byte {self.end} does not read; "
                          f"record {r.seq} at byte {at} says that {r.durable_seq} was durable")

    cdef uint64_t _beyond(self) noexcept nogil:
        # Where a valid record says that more was durable than is there; 0 = nowhere.
        cdef uint64_t at = self.end, size = self.data.shape[0], word
        while at + 8 <= size:
            memcpy(&word, &self.data[at], 8)
            if word:
                self.torn = True
                if record_check(&self.data[at], size - at) and (<const record_t*>&self.data[at]).durable_seq > self.end_seq:
                    return at
            at += 8
        return 0

    def close(self):
        """Let the bytes go; the attributes stay."""
        self.data = None

    def __iter__(self):
        return self.records()

    def records(self, uint64_t after=0):
        """The valid records whose seq is above `after`, in order."""
        cdef uint64_t at = LOG_PAGE
        cdef const record_t* r
        while at < self.end and self.data is not None:
            r = <const record_t*>&self.data[at]
            at += log_stride(r.len)
            if r.seq > after:
                yield Record(r.seq, r.durable_seq, r.ts_ns, r.type, r.flags, r.term,
                             (<const unsigned char*>r)[sizeof(record_t):r.len])
