"""What a live session does with each frame before anyone in Python wants to know of it."""
cimport cython
from cpython.bytearray cimport PyByteArray_FromStringAndSize
from cpython.dict cimport PyDict_GetItem, PyDict_SetItem
from cpython.object cimport PyObject
from libc.stdlib cimport free, malloc

import numpy as np

from pyrt._core.pipeline cimport DUE_RECORD, pipeline_run
from pyrt._core.types cimport TYPE_DELTA, TYPE_TRADE
from pyrt._core.types import market_dtype as _market_dtype


cdef enum:
    MARKET = 1                         # Kind of a recording's entry
    ROOM = 4096                        # trades


cdef object _copied(const market_t* records, Py_ssize_t n):
    return np.frombuffer(PyByteArray_FromStringAndSize(<char*>records, n * <Py_ssize_t>sizeof(market_t)), _market_dtype)


cdef int count(counts, str name, int64_t n) except -1:
    # Of a Counter, past the methods that it has in Python.
    cdef PyObject* found = PyDict_GetItem(counts, name)
    return PyDict_SetItem(counts, name, n + (<int64_t><object>found if found != NULL else 0))


@cython.final
cdef class Passed:
    """The trades of frames that were taken in natively, until they are taken; on_full: called when there is no room for one more."""

    def __cinit__(self, *, on_full):
        self.rows = <market_t*>malloc(ROOM * sizeof(market_t))
        if self.rows == NULL:
            raise MemoryError("no memory for trades")
        self.on_full = on_full
        self.quiet = True

    def __dealloc__(self):
        free(self.rows)

    cdef int keep(self, const market_t* records, Py_ssize_t n) except -1:
        cdef Py_ssize_t i
        for i in range(n):
            if records[i].header.type != TYPE_TRADE:
                continue
            if self.n == ROOM:
                self.on_full()
                if self.n == ROOM:
                    raise RuntimeError("nobody took the trades")
            self.rows[self.n] = records[i]
            self.n += 1
        return 0

    def take(self):
        """The trades since the last call (market_dtype)."""
        taken = _copied(self.rows, self.n)
        self.n = 0
        return taken


@cython.final
cdef class Inbox:
    """Takes in frames of market records while `open`: numbers and records them, keeps trades, runs the pipeline.

    Callbacks of the loop that is told by `give_to` are called at once; Python is called where something else is due: on_due(records,
    at, venue, mono) with a copy of the frame's records, the index after the one that is due, and both clocks; on_close() where the
    pipeline's next close has moved. monotonic: gives ns, asked once a frame. The venue's clock is told by `clock`; it is never shown
    going back.
    """

    def __cinit__(self, *, monotonic, on_due, on_close):
        self.monotonic, self.on_due, self.on_close = monotonic, on_due, on_close
        self.rate = 1.0

    def clock(self, int64_t epoch, int64_t origin, double rate) -> None:
        """The venue's clock from now on, as VenueClock has it."""
        self.epoch, self.origin, self.rate = epoch, origin, rate

    def show(self, int64_t mono) -> int:
        """Venue ns at a monotonic instant; never less than before."""
        return self.look(mono)

    def connect(self, Pipeline pipeline not None, counts, Entries entries, *, bint sequenced) -> None:
        """What frames are run through, where their messages are counted, and who records them.

        sequenced: deltas are somebody else's, and so is a frame with one.
        """
        if not isinstance(counts, dict):
            raise TypeError("counts are a dict")
        self.pipeline, self.counts, self.entries, self.sequenced = pipeline, counts, entries, sequenced

    def give_to(self, Loop loop not None, *, instant, on_fault, Dispatch dispatch=None) -> None:
        """Whose callbacks get records that are due, where nothing else is; what is not for it goes to on_due.

        instant: the kind of tuple that a loop's `now` is, of both clocks. on_fault: gets what the loop raises; the frame ends with it.
        dispatch: runs the pipeline and calls compiled strategies; what they decide is handed over here, the rest goes to on_due.
        """
        if not (isinstance(instant, type) and issubclass(instant, tuple)):
            raise TypeError("an instant is a tuple")
        loop.instant = instant
        self.loop, self.on_fault, self.dispatch = loop, on_fault, dispatch

    cdef int64_t at(self, int64_t mono) noexcept nogil:
        cdef int64_t elapsed = mono - self.origin
        return self.epoch + (elapsed if self.rate == 1.0 else <int64_t>(elapsed * self.rate))

    cdef int64_t look(self, int64_t mono) noexcept nogil:
        self.shown = max(self.shown, self.at(mono))
        return self.shown

    cdef bint is_plain(self, const market_t* records, Py_ssize_t n) noexcept nogil:
        cdef Py_ssize_t i
        if not self.open:
            return False
        if self.sequenced:
            for i in range(n):
                if records[i].header.type == TYPE_DELTA:
                    return False
        return True

    cdef bint take(self, Decoder decoder, int64_t mono) except -1:
        cdef market_t* records = decoder.records
        cdef Py_ssize_t n = decoder.n_records, i
        if not self.is_plain(records, n) or (self.passed is not None and not self.passed.quiet):
            return False
        decoder.n_records = decoder.n_bars = 0                  # the venue's own bars are not asked for
        if n == 0:
            return True
        self.venue, self.mono = self.look(mono), mono
        for i in range(n):
            self.seq += 1
            records[i].header.seq = self.seq
        if self.entries is not None:
            self.entries.add(MARKET, self.venue, mono, records, n * <Py_ssize_t>sizeof(market_t))
        if self.passed is not None:
            self.passed.keep(records, n)
        count(self.counts, "messages", n)
        if self.watch is not None:
            self.watch(_copied(records, n))
        self.run(records, n)
        return True

    cdef int run(self, const market_t* records, Py_ssize_t n) except -1:
        cdef Py_ssize_t at = 0
        cdef int64_t close = self.pipeline.p.next_close
        cdef bint given = False
        self.pipeline._idle()
        self.begun = self.mono
        if self.dispatch is not None:
            return self.run_compiled(records, n)
        while at < n:
            at = pipeline_run(&self.pipeline.p, records, at, n)
            if self.pipeline.p.due == 0:
                break
            if self.pipeline.p.due != DUE_RECORD or not self.give(&records[at - 1], given):
                self.on_due(_copied(records, n), at, self.venue, self.mono)
                return 0
            given = True
            if self.failed:
                break
        if given or self.pipeline.p.next_close != close:        # timers may have been set
            self.on_close()
        return 0

    cdef int run_compiled(self, const market_t* records, Py_ssize_t n) except -1:
        cdef Dispatch dispatch = self.dispatch
        cdef Loop loop = self.loop
        cdef int64_t close = self.pipeline.p.next_close
        cdef Py_ssize_t at
        cdef bint left
        loop.be(self.venue, self.mono)
        try:
            at = dispatch.advance(records, 0, n, self.venue, loop.running, self.mono if loop.is_idle() else 0)
            if dispatch.decided:
                dispatch.lane.hand_over(loop.now)
            left = dispatch.due != 0 or not loop.is_idle()      # Python that a callback called may have sent
            if not left and dispatch.bars:
                count(self.counts, "bars", dispatch.take_count())
        except Exception as e:
            self.on_fault(e)
            return 0
        if left:
            self.on_due(_copied(records, n), at, self.venue, self.mono)
        elif self.pipeline.p.next_close != close or not loop.moved:     # who asks for the time may have set a timer
            self.on_close()
        return 0

    cdef bint give(self, const market_t* record, bint again) except -1:
        self.failed = False
        if self.loop is None:
            return False
        if not again:
            self.loop.be(self.venue, self.mono)
        try:
            return self.loop.give(record)
        except Exception as e:
            self.failed = True
            self.on_fault(e)
        return True
