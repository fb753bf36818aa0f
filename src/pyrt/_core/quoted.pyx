"""Order-book imbalance, microprice and spread of quotes: one at a time, or arrays without the GIL, bit for bit the same."""
cimport cython
from cpython.buffer cimport PyBuffer_Release
from libc.math cimport NAN, fabs, isnan
from libc.stdint cimport int64_t, uint32_t

import numpy as np

from pyrt._core.buffers cimport number, open_records
from pyrt._core.events cimport Quote
from pyrt._core.sweep cimport column
from pyrt._core.types cimport NO_PX, TYPE_QUOTE, quote_t
from pyrt._core.types import quote_dtype as _quote_dtype


cdef double PX = 1e9                   # px units in one
cdef double LARGEST = 1e100


cdef inline double _say(uint32_t kind, double bid, double ask, double bid_size, double ask_size, double last) noexcept nogil:
    """`last` where the quote does not tell: a side is empty."""
    cdef double sizes = bid_size + ask_size
    if kind == KIND_IMBALANCE:
        return (bid_size - ask_size) / sizes if sizes > 0 else 0
    if isnan(bid) or isnan(ask):
        return last
    if kind == KIND_MICROPRICE:
        return bid + (ask - bid) * (bid_size / sizes if sizes > 0 else 0.5)
    if kind == KIND_RELATIVE_SPREAD:
        return 1e4 * (ask - bid) / (0.5 * (bid + ask)) if bid + ask != 0 else last
    return ask - bid


cdef inline bint _bad(double bid, double ask, double bid_size, double ask_size) noexcept nogil:
    return not (0 <= bid_size <= LARGEST and 0 <= ask_size <= LARGEST and (isnan(bid) or fabs(bid) <= LARGEST)
                and (isnan(ask) or fabs(ask) <= LARGEST))


cdef inline double _of_px(int64_t px) noexcept nogil:
    return px / PX if px != NO_PX else NAN


cdef double _sweep(uint32_t kind, double last, const double* bid, const double* ask, const double* bid_size, const double* ask_size,
                   Py_ssize_t n, double* out) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(n):
        last = out[i] = _say(kind, bid[i], ask[i], bid_size[i], ask_size[i], last)
    return last


cdef Py_ssize_t _count_bad(const double* bid, const double* ask, const double* bid_size, const double* ask_size, Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t i, bad = 0
    for i in range(n):
        bad += _bad(bid[i], ask[i], bid_size[i], ask_size[i])
    return bad


cdef double _sweep_records(uint32_t kind, double last, const quote_t* rows, Py_ssize_t n, double unit, double* out) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(n):
        if rows[i].type == TYPE_QUOTE:
            last = _say(kind, _of_px(rows[i].bid_px), _of_px(rows[i].ask_px), rows[i].bid_qty / unit, rows[i].ask_qty / unit, last)
        out[i] = last
    return last


cdef class OfQuotes:
    """What the indicators of quotes have. A quote with an empty side has no microprice and no spread: the last ones stay."""

    def __cinit__(self, *args, **kwargs):
        self.last = NAN

    cdef double take(self, double bid, double ask, double bid_size, double ask_size) except? -1:
        if _bad(bid, ask, bid_size, ask_size):
            raise ValueError(f"bid {bid}, ask {ask}, sizes {bid_size} and {ask_size}: not what it can take")
        self.last = _say(self.kind, bid, ask, bid_size, ask_size, self.last)
        return self.last

    cdef object run(self, object bid, object ask, object bid_size, object ask_size):
        cdef const double[::1] b = column(bid), a = column(ask), x = column(bid_size), y = column(ask_size)
        cdef Py_ssize_t n = b.shape[0], bad
        cdef double[::1] out
        rows = np.empty(n)
        if a.shape[0] != n or x.shape[0] != n or y.shape[0] != n:
            raise ValueError("arrays of different lengths")
        if n == 0:
            return rows
        out = rows
        with nogil:
            bad = _count_bad(&b[0], &a[0], &x[0], &y[0], n)
            if bad == 0:
                self.last = _sweep(self.kind, self.last, &b[0], &a[0], &x[0], &y[0], n, &out[0])
        if bad:
            raise ValueError(f"{bad} quotes have a number that is not finite, or a size below 0")
        return rows

    def on_quote(self, Quote quote not None) -> float:
        """Take in a quote; returns `value`."""
        cdef const quote_t* r = &quote.r
        return self.take(_of_px(r.bid_px), _of_px(r.ask_px), r.bid_qty / quote.unit, r.ask_qty / quote.unit)

    def apply_records(self, records, *, int qty_exp=9):
        """Take in 64-byte market records without the GIL; an array of float64, the value as of each; only QUOTE changes it."""
        cdef Py_buffer view
        cdef Py_ssize_t n = open_records(records, &view, sizeof(quote_t))
        cdef double unit = 10.0**qty_exp
        cdef double[::1] out
        try:
            rows = np.empty(n)
            out = rows
            if n > 0:
                with nogil:
                    self.last = _sweep_records(self.kind, self.last, <const quote_t*>view.buf, n, unit, &out[0])
        finally:
            PyBuffer_Release(&view)
        return rows

    def reset(self) -> None:
        """Forget the last value."""
        self.last = NAN

    @property
    def value(self) -> float:
        """As of the last update; NaN before the first quote that tells it."""
        return self.last

    @property
    def ready(self) -> bool:
        """There is a value."""
        return not isnan(self.last)

    @property
    def warmup(self) -> int:
        """How many updates give NaN: none, where both sides are told."""
        return 0


@cython.final
cdef class BookImbalance(OfQuotes):
    """Order-book imbalance: (bid size - ask size) / (bid size + ask size), -1 .. 1, 0 where both are empty.

    Of one level; OrderBook.imbalance(n) is that of n. Cont, Kukanov, Stoikov 2014 and Gould, Bonart 2016 use it as a signal.
    """

    def __cinit__(self):
        self.kind = KIND_IMBALANCE

    def update(self, bid_size, ask_size) -> float:
        """Take in sizes; returns `value`. Raises ValueError for one below 0 or not finite."""
        return self.take(0, 0, number(bid_size), number(ask_size))

    def apply(self, bid_size, ask_size):
        """Take in two arrays; an array of float64."""
        return self.run(bid_size, ask_size, bid_size, ask_size)


@cython.final
cdef class Microprice(OfQuotes):
    """(bid * ask size + ask * bid size) / (bid size + ask size): the middle, drawn to the side that is about to go.

    The size-weighted mid of Gatheral and Oomen 2010; the plain middle where both sizes are 0.
    """

    def __cinit__(self):
        self.kind = KIND_MICROPRICE

    def update(self, bid, ask, bid_size, ask_size) -> float:
        """Take in a quote, NaN for a side that is empty; returns `value`. Raises ValueError for what is no number, a size below 0."""
        return self.take(number(bid), number(ask), number(bid_size), number(ask_size))

    def apply(self, bid, ask, bid_size, ask_size):
        """Take in four arrays; an array of float64."""
        return self.run(bid, ask, bid_size, ask_size)


@cython.final
cdef class Spread(OfQuotes):
    """ask - bid, or with `relative` in basis points of the middle: 10,000 * (ask - bid) / ((bid + ask) / 2)."""

    def __cinit__(self, bint relative=False):
        self.kind = KIND_RELATIVE_SPREAD if relative else KIND_SPREAD

    def update(self, bid, ask) -> float:
        """Take in prices, NaN for a side that is empty; returns `value`."""
        return self.take(number(bid), number(ask), 1, 1)

    def apply(self, bid, ask):
        """Take in two arrays; an array of float64."""
        return self.run(bid, ask, np.zeros(len(bid)), np.zeros(len(bid)))
