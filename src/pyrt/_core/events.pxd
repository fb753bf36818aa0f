"""What a strategy's callback receives: one final, immutable copy of a record, safe to keep."""
from libc.stdint cimport int64_t, uint8_t, uint16_t

from pyrt._core.types cimport bar_t, quote_t, trade_t


cdef class Trade:
    cdef trade_t r
    cdef readonly str symbol
    cdef double unit                   # 10^qty_exp: qty units in one

cdef class Quote:
    cdef quote_t r
    cdef readonly str symbol
    cdef double unit

cdef class Bar:
    cdef bar_t r
    cdef readonly str symbol
    cdef double unit


cdef Trade make_trade(const trade_t* r, str symbol, double unit)
cdef Quote make_quote(const quote_t* r, str symbol, double unit)
cdef Bar make_bar(const bar_t* r, str symbol, double unit)
