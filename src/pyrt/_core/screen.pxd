"""The broker's rules for the plainest of orders, as one test.

It knows no words: what does not pass here is asked rule by rule, and only that says what is wrong.
"""
from libc.stdint cimport int64_t, uint32_t

from pyrt._core.ledger cimport Ledger
from pyrt._core.types cimport i128, ref_t


ctypedef struct plain_t:               # a whole number of shares, alone, in regular hours, not a trailing stop, not a replacement
    uint32_t instrument
    int side                           # SIDE_*
    int64_t qty                        # qty units
    int64_t limit_px, stop_px          # px units; 0 = none
    int64_t one                        # qty units of a whole share
    bint today                         # tif=day
    bint shortable, easy               # the asset may be borrowed, and is easy to borrow


cdef class Screen:
    cdef Ledger ledger
    cdef const ref_t[::1] refs
    cdef bint seen                     # an account was seen; without one nothing is known of it
    cdef bint shorts                   # it may sell short, and has the equity that shorts need
    cdef i128 power                    # its buying power, money; below 0 = too large to be told here

    cdef bint is_clean(self, const plain_t* o) noexcept nogil
    cdef bint is_afforded(self, const plain_t* o, i128 committed) noexcept nogil
