"""What an order is called and what is sent of it, as text."""
from libc.stdint cimport uint64_t


cdef enum:
    VALUES = 8                         # of a body: symbol, qty, side, type, time_in_force, client_order_id, and
    PRICES = 6                         # limit_price, stop_price, left out where they are empty
    TAIL = 16                          # bytes that the end of a cid has room in

ctypedef struct text_t:                # UTF-8 that somebody else keeps
    const char* at
    Py_ssize_t n                       # bytes


cdef int cid_check(int remainder, const char* digits, Py_ssize_t n) noexcept nogil      # below 1021: two letters hold it
cdef Py_ssize_t cid_digits(uint64_t number, char* out) noexcept nogil                   # room for 13; returns how many
cdef Py_ssize_t put_tail(char* out, uint64_t number, int remainder) noexcept nogil      # digits and check; returns how many
cdef char* put_body(char* out, const text_t* values) noexcept nogil      # its end; NULL where a value is long or needs escapes
