"""One native call a frame: its bytes into records, those through book, bars and references, until a callback is due."""
cimport cython
from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytearray cimport PyByteArray_FromStringAndSize
from libc.stdint cimport int64_t, uint8_t

import numpy as np

from pyrt._core.pipeline cimport Pipeline, pipeline_run
from pyrt._core.types cimport bar_t, market_t
from pyrt._core.wire cimport Decoder
from pyrt._core.types import bar_dtype as _bar_dtype, market_dtype as _market_dtype


cdef class Reader:
    """What `Frames` hands whole messages to natively."""

    cdef int message(self, const uint8_t* data, Py_ssize_t n) except -1:
        raise TypeError(f"{type(self).__name__} reads no messages")


@cython.final
cdef class Intake(Reader):
    """Decodes messages where they lie; Python is called where one gave something.

    clock: ns that records carry as ts_recv, asked once a message. on_control: gets each control message as bytes.
    on_records: called with the clock's ns once records or bars wait in `decoder.take()`. inbox: takes what it can while `plain`,
    before on_records is called; its clock is then asked in place of `clock`.
    """

    def __cinit__(self, Decoder decoder not None, *, clock, on_control, on_records, Inbox inbox=None):
        self.decoder, self.clock, self.on_control, self.on_records = decoder, clock, on_control, on_records
        self.inbox = inbox
        self.plain = True

    cdef int message(self, const uint8_t* data, Py_ssize_t n) except -1:
        cdef int64_t mono = 0, now
        cdef bint some
        if self.inbox is not None:
            mono = self.inbox.monotonic()
            now = self.inbox.at(mono)
        else:
            now = self.clock()
        some = self.decoder.read(data, n, now) > 0
        if self.decoder.n_controls:
            for control in self.decoder.control:
                self.on_control(control)
            if self.inbox is not None:                  # what came of them was told later instants
                mono = self.inbox.monotonic()
        if some:
            self.messages += 1
            self.last = now
            if self.inbox is None or not self.plain or not self.inbox.take(self.decoder, mono):
                self.on_records(now)
        return 0


@cython.final
cdef class OnePass(Reader):
    """Frames through a decoder and a pipeline: one native call each, and no object unless a callback is due.

    `feed` takes a frame and runs until something is due or its records end; while `due` is not 0 the caller takes what is due and
    calls `resume`. A venue's own bars wait in `bars` until the next frame. clock and on_due: where `Frames` reads from a socket,
    what gives ts_recv and what is called, without arguments, while something is due. One thread at a time.
    """

    def __cinit__(self, Decoder decoder not None, Pipeline pipeline not None, *, clock=None, on_due=None):
        self.decoder = decoder
        self.pipeline = pipeline
        self.p = &pipeline.p
        self.clock, self.on_due = clock, on_due

    cdef int idle(self) except -1:
        if self.running:
            raise RuntimeError("frames run in another thread")
        if self.reasons:
            raise RuntimeError("resume() first: something of the frame before is due")
        self.decoder.idle()
        return self.pipeline._idle()

    cdef void begin(self, const uint8_t* data, Py_ssize_t n, int64_t ts_recv) noexcept nogil:
        self.decoder.n_records = self.decoder.n_bars = 0
        self.decoder.ts_recv = ts_recv
        self.decoder.frame(data, n)
        self.next = 0
        self.go_on()
        if self.decoder.n_controls:
            self.reasons |= DUE_CONTROL

    cdef void go_on(self) noexcept nogil:
        self.next = pipeline_run(self.p, self.decoder.records, self.next, self.decoder.n_records)
        self.reasons = self.p.due

    cdef int settle(self, const uint8_t* data) except -1:
        # What of a frame needs Python, while its bytes are there.
        self.copied = None
        return self.decoder.keep_controls(data)

    cdef int message(self, const uint8_t* data, Py_ssize_t n) except -1:
        cdef int64_t now
        self.idle()
        now = self.clock() if self.clock is not None else 0
        self.begin(data, n, now)
        self.settle(data)
        while self.reasons:
            if self.on_due is not None:
                self.on_due()
            self.resume()
        return 0

    def feed(self, frame, int64_t ts_recv) -> int:
        """Take in one frame (bytes or a buffer, not kept); returns `due`. Raises RuntimeError where resume() comes first."""
        cdef Py_buffer view
        self.idle()
        PyObject_GetBuffer(frame, &view, PyBUF_SIMPLE)
        try:
            self.begin(<const uint8_t*>view.buf, view.len, ts_recv)
            self.settle(<const uint8_t*>view.buf)
        finally:
            PyBuffer_Release(&view)
        return self.reasons

    def feed_batch(self, data, const int64_t[::1] ends not None, const int64_t[::1] times not None, Py_ssize_t start=0) -> int:
        """Take in the frames of `data` from number `start` without the GIL, until one has something due; returns the number after it.

        ends: where each frame ends, bytes from the beginning. times: ts_recv of each, ns. Raises ValueError for ends that are not
        in order or beyond the data.
        """
        cdef Py_buffer view
        cdef Py_ssize_t n = ends.shape[0], i = start
        cdef int64_t at
        self.idle()
        if times.shape[0] != n or not 0 <= start <= n:
            raise ValueError(f"{n} ends, {times.shape[0]} times, start {start}")
        PyObject_GetBuffer(data, &view, PyBUF_SIMPLE)
        self.running = self.pipeline.running = self.decoder.running = True
        try:
            at = ends[start - 1] if start else 0
            with nogil:
                while i < n and at >= 0 and at <= ends[i] <= view.len and not self.reasons:
                    self.begin(<const uint8_t*>view.buf + at, ends[i] - at, times[i])
                    at = ends[i]
                    i += 1
            if i > start:
                self.settle(<const uint8_t*>view.buf + (ends[i - 2] if i > 1 else 0))
            if i < n and not self.reasons:
                raise ValueError(f"frame {i} ends at {ends[i]}: ends go up and stay within {view.len} bytes")
        finally:
            self.running = self.pipeline.running = self.decoder.running = False
            PyBuffer_Release(&view)
        return i

    def resume(self) -> int:
        """Go on after what was due; returns `due`."""
        if self.running:
            raise RuntimeError("frames run in another thread")
        self.pipeline._idle()
        self.go_on()
        return self.reasons

    @property
    def due(self) -> int:
        """Why it stopped: bit 1 the record before `at`, bit 2 bars in take_bars(), bit 4 messages in `control`; 0 = the frame ended."""
        return self.reasons

    @property
    def at(self) -> int:
        """Index into `records` after the last that the pipeline has seen."""
        return self.next

    @property
    def records(self):
        """All records of the last frame (market_dtype), a copy that is yours."""
        if self.copied is None:
            self.copied = np.frombuffer(
                PyByteArray_FromStringAndSize(<char*>self.decoder.records, self.decoder.n_records * <Py_ssize_t>sizeof(market_t)),
                _market_dtype)
        return self.copied

    @property
    def bars(self):
        """Bars that the venue itself told in the last frame (bar_dtype), a copy that is yours."""
        return np.frombuffer(
            PyByteArray_FromStringAndSize(<char*>self.decoder.bars, self.decoder.n_bars * <Py_ssize_t>sizeof(bar_t)), _bar_dtype)

    @property
    def control(self) -> list:
        """Messages of the last frame that carry no data, as bytes."""
        return self.decoder.control

    def take_bars(self):
        """The pipeline's bars since the last call (bar_dtype)."""
        return self.pipeline.take_bars()
