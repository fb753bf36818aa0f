"""Strategies in C: callbacks over records that run inside the pipeline's loop, without the interpreter.

Subclass CompiledStrategy in a .pyx, and mix it with pyrt.Strategy in a Python class of the same file (docs/library.md). A callback is
written with the signature that it has here; what it raises (under `with gil`, or a checked index or division) halts this strategy
alone. What it asks for is a row of a fixed buffer: the session makes an Intent of it as soon as the callback has returned, and that
goes the way of every other.
"""
from libc.stdint cimport int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t

from pyrt._core.book cimport book_t
from pyrt._core.ledger cimport Ledger
from pyrt._core.loop cimport Decider, Loop
from pyrt._core.pipeline cimport Pipeline, pipeline_t
from pyrt._core.recent cimport RecentBars
from pyrt._core.types cimport bar_t, market_t, quote_t, ref_t, trade_t


cdef enum:
    MOST_ASKED = 256                   # intents of one callback

cdef enum:                             # caller_t.wants; bits: the callbacks that a class defines
    ON_TRADE = 1
    ON_QUOTE = 2
    ON_BOOK = 4
    ON_BAR = 8

cdef enum:                             # Dispatch.due, beside the pipeline's DUE_RECORD and DUE_BARS
    DUE_INTENTS = 4
    DUE_FAILED = 8

cdef enum:                             # intent_t.verb
    VERB_ORDER = 1
    VERB_REPLACE = 2
    VERB_CANCEL = 3

cdef enum:                             # intent_t.tif, as model.TimeInForce
    TIF_DAY = 1
    TIF_GTC = 2
    TIF_IOC = 3
    TIF_FOK = 4
    TIF_OPG = 5
    TIF_CLS = 6


ctypedef struct intent_t:              # what a callback asks for
    uint64_t source                    # the order's number among the strategy's own; ask() sets it
    uint64_t target                    # REPLACE, CANCEL: the order that is meant
    int64_t qty                        # qty units; REPLACE: 0 = as it was
    int64_t limit_px, stop_px          # px units, 0 = none; REPLACE: 0 = as it was
    int64_t valid_for                  # ns of venue time within which it must have been sent; 0 = 30 s
    uint32_t instrument
    uint8_t verb, side, tif            # tif 0 = DAY
    bint reduce_only, extended_hours

ctypedef struct working_t:             # an order of this strategy that may still fill
    uint64_t source
    int64_t qty, filled                # qty units
    int64_t limit_px, stop_px          # px units, 0 = none
    uint32_t instrument
    uint8_t side
    uint8_t status                     # model.OrderStatus; 0 = not decided yet

ctypedef struct instrument_t:          # one of `symbols`, in their order
    uint32_t id
    int64_t tick, sub_tick             # px units at and above, and below 1.00
    int64_t lot, one                   # qty units: the step, and one share or coin


cdef class CompiledStrategy:
    cdef int64_t now                   # venue ns of the event being handled
    cdef instrument_t* instruments     # of `symbols`, in their order
    cdef uint32_t count                # how many
    cdef uint32_t number               # the strategy's id in the journal
    cdef uint64_t source               # the last that any order of this strategy has
    cdef intent_t* asked
    cdef uint32_t asked_count, refused # rows in `asked`; how many more there was no room for
    cdef working_t* working
    cdef uint32_t working_count, working_room
    cdef int32_t* places               # by instrument id: where in `instruments`, -1 = nowhere
    cdef uint32_t places_room
    cdef void** windows                # RecentBars of `instruments`
    cdef list kept                     # keeps what `windows` point to
    cdef pipeline_t* market
    cdef Pipeline pipeline
    cdef Ledger ledger

    # Callbacks: define those that are wanted.
    cdef int on_trade(self, const trade_t* trade) except -1 nogil
    cdef int on_quote(self, const quote_t* quote) except -1 nogil
    cdef int on_book(self, uint32_t instrument, const book_t* book) except -1 nogil
    cdef int on_bar(self, const bar_t* bar) except -1 nogil

    # What there is to see.
    cdef int place(self, uint32_t instrument) noexcept nogil                    # index in `instruments`, -1 = not one of them
    cdef int64_t position(self, uint32_t instrument) noexcept nogil             # this strategy's own, signed, qty units
    cdef uint32_t open_orders(self, uint32_t instrument) noexcept nogil         # how many may still fill
    cdef const working_t* order(self, uint64_t source) noexcept nogil           # NULL: done, or never sent
    cdef const ref_t* ref(self, uint32_t instrument) noexcept nogil             # bid, ask, last; of no instrument: nothing
    cdef const book_t* book(self, uint32_t instrument) noexcept nogil           # NULL: no such instrument
    cdef const bar_t* bars(self, uint32_t instrument, Py_ssize_t* n) noexcept nogil   # oldest of the at most n[0] newest; sets n[0]

    # Verbs; 0 = refused because the buffer is full, which halts the strategy when the callback has returned.
    cdef uint64_t buy(self, uint32_t instrument, int64_t qty, int64_t limit_px) noexcept nogil      # limit_px 0 = at the market
    cdef uint64_t sell(self, uint32_t instrument, int64_t qty, int64_t limit_px) noexcept nogil
    cdef uint64_t close(self, uint32_t instrument) noexcept nogil               # at the market; 0 when flat
    cdef uint64_t replace(self, uint64_t target, int64_t qty, int64_t limit_px) noexcept nogil
    cdef bint cancel(self, uint64_t target) noexcept nogil
    cdef uint64_t ask(self, const intent_t* intent) noexcept nogil              # anything else


cdef struct caller_t:                  # one strategy's wish for one instrument
    void* strategy                     # CompiledStrategy
    int64_t interval
    uint32_t wants                     # ON_ bits
    bint halted

cdef struct stream_t:                  # the bars of one interval
    int64_t interval
    void* window                       # RecentBars
    bint session                       # the session wants to see them too

cdef struct place_t:                   # what is wanted of one instrument
    caller_t* callers
    stream_t* streams
    uint32_t caller_count, stream_count
    uint32_t calls                     # 1 << RecordType of the callers' records
    uint32_t session                   # and of those that the session wants


cdef class Dispatch:
    cdef Pipeline pipeline
    cdef Loop loop                     # is told each record's own time where that is what counts; None = nobody is
    cdef pipeline_t* p
    cdef place_t* places               # by instrument id
    cdef uint32_t places_room
    cdef list kept                     # strategies and windows that the places point to
    cdef const market_t* record        # the last one run
    cdef market_t kept_record          # the same, while something of it is not yet handled
    cdef bint open_record              # its own callbacks are still to come
    cdef int64_t bar_at, bar_given     # of pipeline.out: the next to handle; the one that the session is given
    cdef uint32_t caller               # the next of the place in hand
    cdef caller_t* calling             # whose callback ran last
    cdef int64_t fixed_now             # venue ns; 0 = each record's own time
    cdef bint live                     # callbacks are called
    cdef readonly uint32_t due
    cdef readonly int64_t bars         # handled since it was set to 0
    cdef readonly object error         # what a callback raised
    cdef Decider lane                  # where the only order of a record is decided at once; None = nowhere
    cdef int64_t mono                  # monotonic ns; 0 = nothing is decided here
    cdef public bint sent              # Python that a callback called has sent something: stop for it
    cdef uint32_t askers               # strategies that asked for something
    cdef void* asker                   # the last of them
    cdef readonly bint decided         # that order was

    cdef place_t* watched(self, uint32_t instrument) except NULL
    # run() of records that lie still until `due` is 0 again or their copy is kept: the index after the last that was run
    cdef Py_ssize_t advance(self, const market_t* records, Py_ssize_t start, Py_ssize_t n, int64_t now, bint live, int64_t mono) except -1
    cdef int64_t at(self) noexcept nogil
    cdef int handle(self) except -1 nogil
    cdef int handle_bar(self, const bar_t* bar) except -1 nogil
    cdef int handle_record(self) except -1 nogil
    cdef void stop(self) noexcept nogil
    cdef void decide(self) noexcept nogil
