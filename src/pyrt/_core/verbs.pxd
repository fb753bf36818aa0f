"""The plain verbs of a strategy: what an order, a position and a seat at the desk are without Python.

A verb is done here where its arguments are plain, and by the Python that stands behind it everywhere else: whatever is odd, wrong or
rare has its words there. The two give the same.
"""
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t

from pyrt._core.ledger cimport Ledger
from pyrt._core.loop cimport Loop, wish_t
from pyrt._core.types cimport i128


cdef class Ticket:                     # an order, as its strategy sees it
    cdef wish_t wish                   # its terms when it was sent; of an order that is not plain only who and what
    cdef object made                   # its Intent; None = nobody asked for it yet
    cdef Seat seat                     # which makes it
    cdef public object _instrument, _filled_qty, _cost
    cdef public uint64_t number
    cdef public object status, reason, breaches, legs, is_exit

    cdef object intent(self)


cdef class Holding:                    # a position, at one instant
    cdef readonly object _instrument
    cdef readonly int64_t quantity_qty
    cdef i128 cost, realised           # money in 1e-18 units


cdef class Row:                        # an instrument, as far as a plain verb must know it
    cdef object instrument
    cdef uint32_t id
    cdef int exp
    cdef int64_t tick, sub_tick        # px units
    cdef int64_t lot                   # qty units
    cdef uint8_t tif                   # where none is given


cdef class Seat:
    cdef Loop loop
    cdef Ledger ledger
    cdef uint16_t strategy
    cdef object number                 # the same
    cdef object order, holding         # classes
    cdef object intent, tif_of         # what makes an Intent of a plain order's terms; what gives an instrument's time in force
    cdef object post                   # takes an order that was sent
    cdef dict known                    # symbol -> Instrument
    cdef dict tifs                     # text -> TimeInForce
    cdef dict rows                     # symbol -> Row
    cdef dict orders, opened, sources  # the desk's: (strategy, source) -> order, strategy -> source -> order, strategy -> source
    cdef dict shown                    # strategies that see their orders in C

    cdef Row row(self, symbol)
    cdef object send(self, uint8_t side, symbol, quantity, limit, stop, tif, reduce_only, valid_for)
    cdef object held(self, symbol)
    cdef object working(self, symbol)
