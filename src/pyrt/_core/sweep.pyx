"""Numbers and bars through indicators, one row or an array of them: checked first, then without the GIL, block by block."""
from cpython.buffer cimport PyBuffer_Release
from libc.math cimport NAN, fabs
from libc.string cimport memcpy

import numpy as np

from pyrt._core.buffers cimport open_records
from pyrt._core.formulas cimport BLOCK, columns_t, step, warm
from pyrt._core.types cimport NO_PX


cdef double LARGEST = 1e100            # what is beyond is no price; its square is still a number
cdef double SMALLEST = 5e-324          # the next number above 0
cdef double PX = 1e9                   # px units in one


# ---------------------------------------------------------------------------------------------------- numbers in
cdef object column(object values):
    try:
        return np.ascontiguousarray(values, np.float64)
    except OverflowError as e:
        raise ValueError(str(e)) from None


cdef inline bint _bad(double x) noexcept nogil:
    return not fabs(x) <= LARGEST      # NaN too


cdef void read_bar(const bar_t* row, double unit, double* tick) noexcept nogil:
    """High, low, close, volume and vwap in whole units; the close of a bar that lost all its trades is NaN."""
    tick[HIGH], tick[LOW] = row.high_px / PX, row.low_px / PX
    tick[CLOSE] = row.close_px / PX if row.close_px != NO_PX else NAN
    tick[VOLUME] = row.volume / unit
    tick[PRICE] = tick[CLOSE]
    if row.volume > 0:
        tick[PRICE] = (<double>row.notional_hi * 18446744073709551616.0 + <double>row.notional_lo) / row.volume / PX


cdef Py_ssize_t _bad_in(const double* x, Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t i, bad = 0
    for i in range(n):                 # without a way out: it is one wide loop
        bad += _bad(x[i])
    return bad


cdef Py_ssize_t _below_in(const double* x, Py_ssize_t n, double least) noexcept nogil:
    cdef Py_ssize_t i, bad = 0
    for i in range(n):
        bad += x[i] < least
    return bad


cdef bint _are_bad(const columns_t* c, Py_ssize_t n, uint32_t demands) noexcept nogil:
    if _bad_in(c.close, n) or (c.high != c.close and _bad_in(c.high, n)) or (c.low != c.close and _bad_in(c.low, n)):
        return True
    if c.volume != NULL and (_bad_in(c.volume, n) or (demands & NOT_BELOW_ZERO and _below_in(c.volume, n, 0))):
        return True
    return demands & ABOVE_ZERO and _below_in(c.close, n, SMALLEST)


# ---------------------------------------------------------------------------------------------------- blocks
cdef void _advance(indicator_t** nodes, uint32_t count, const columns_t* c, uint32_t n, double* out, Py_ssize_t stride) noexcept nogil:
    # The only caller of `step`: the compiler then has one function with all formulas in it.
    cdef uint32_t j
    for j in range(count):
        step(nodes[j], c, n, out + nodes[j].at, stride)


cdef void _over(indicator_t** nodes, uint32_t count, const columns_t* all, Py_ssize_t n, double* out, Py_ssize_t stride) noexcept nogil:
    """Row by row until all are past their warm-up, then block by block."""
    cdef columns_t c = all[0]
    cdef Py_ssize_t i = 0
    cdef uint32_t j, size, left = 0
    for j in range(count):
        left = nodes[j].left if nodes[j].left > left else left
    while i < n:
        size = 1 if left > 0 else BLOCK if n - i > BLOCK else n - i
        _advance(nodes, count, &c, size, out + i * stride, stride)
        if left > 0:
            left -= 1
            for j in range(count):
                if nodes[j].left > 0:
                    warm(nodes[j], out + i * stride + nodes[j].at)
        i += size
        c.high += size
        c.low += size
        c.close += size
        c.volume = c.volume + size if c.volume != NULL else NULL
        c.vwap = c.vwap + size if c.vwap != NULL else NULL


cdef void _to_columns(const bar_t* rows, Py_ssize_t n, double unit, double* columns) noexcept nogil:
    cdef Py_ssize_t i
    cdef uint32_t k
    cdef double tick[FIELDS]
    for i in range(n):
        read_bar(&rows[i], unit, tick)
        for k in range(FIELDS):
            columns[k * n + i] = tick[k]


cdef inline void _point(columns_t* c, const double* high, const double* low, const double* close, const double* volume,
                        const double* vwap) noexcept nogil:
    c.high, c.low, c.close, c.volume, c.vwap = high, low, close, volume, vwap


cdef int _through(indicator_t** nodes, uint32_t count, const columns_t* c, Py_ssize_t n, uint32_t demands, object rows, double* last) except -1:
    """Columns through indicators without the GIL. Raises ValueError before anything is taken in."""
    cdef double[:, ::1] into = rows
    cdef Py_ssize_t stride = into.shape[1]
    cdef bint bad
    if into.shape[0] != n:
        raise ValueError(f"{into.shape[0]} rows for {n} numbers: columns and bars have one dimension")
    with nogil:
        bad = _are_bad(c, n, demands)
        if not bad:
            _over(nodes, count, c, n, &into[0, 0], stride)
            memcpy(last, &into[n - 1, 0], stride * sizeof(double))
    if bad:
        raise ValueError("not finite, beyond 1e100, a volume below 0, or a value not above 0 whose logarithm is wanted")
    return 0


cdef int sweep(indicator_t** nodes, uint32_t count, object high, object low, object close, object volume, uint32_t demands,
              object rows, double* last) except -1:
    cdef const double[::1] x = column(close), y = x, z = x, v = x
    cdef columns_t c
    cdef Py_ssize_t n = x.shape[0]
    if n == 0:
        return 0
    if high is not None:
        y, z = column(high), column(low)
    if volume is not None:
        v = column(volume)
    if y.shape[0] != n or z.shape[0] != n or v.shape[0] != n:
        raise ValueError(f"{y.shape[0]} of high, {z.shape[0]} of low, {n} of close, {v.shape[0]} of volume")
    _point(&c, &y[0], &z[0], &x[0], &v[0], NULL)
    if volume is None:
        c.volume = NULL
    if high is None:
        c.vwap = c.close
    return _through(nodes, count, &c, n, demands, rows, last)


cdef int sweep_bars(indicator_t** nodes, uint32_t count, object bars, int qty_exp, uint32_t demands, object rows, double* last) except -1:
    cdef double[::1] memory
    cdef double unit = 10.0**qty_exp
    cdef Py_buffer view
    cdef columns_t c
    cdef Py_ssize_t n
    if len(bars) == 0:
        return 0
    n = open_records(np.ascontiguousarray(bars), &view, sizeof(bar_t))
    try:
        if n == 0:
            raise ValueError(f"{len(bars)} rows for 0 numbers: columns and bars have one dimension")
        memory = np.empty(FIELDS * n)                   # not len(): a table of bars has fewer rows than bars, a single one more
        with nogil:
            _to_columns(<const bar_t*>view.buf, n, unit, &memory[0])
    finally:
        PyBuffer_Release(&view)
    _point(&c, &memory[HIGH * n], &memory[LOW * n], &memory[CLOSE * n], &memory[VOLUME * n], &memory[PRICE * n])
    return _through(nodes, count, &c, n, demands, rows, last)


cdef int sweep_one(indicator_t** nodes, uint32_t count, const double* tick, uint32_t demands, double* out) except -1:
    cdef columns_t c
    _point(&c, tick + HIGH, tick + LOW, tick + CLOSE, tick + VOLUME, tick + PRICE)
    if _are_bad(&c, 1, demands):
        raise ValueError(f"high {c.high[0]}, low {c.low[0]}, close {c.close[0]}, volume {c.volume[0]}: not what it can take")
    _over(nodes, count, &c, 1, out, 0)
    return 0


cdef bint sweep_bar(indicator_t** nodes, uint32_t count, const bar_t* bar, double unit, uint32_t demands, double* out) noexcept nogil:
    cdef columns_t c
    cdef double tick[FIELDS]
    read_bar(bar, unit, tick)
    _point(&c, tick + HIGH, tick + LOW, tick + CLOSE, tick + VOLUME, tick + PRICE)
    if _are_bad(&c, 1, demands):
        return False
    _over(nodes, count, &c, 1, out, 0)
    return True
