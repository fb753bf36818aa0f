"""The records, their enums and their units. Layout: include/records.h; NumPy dtypes: types.pyx."""
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t


cdef extern from "records.h" nogil:
    int64_t PX_ONE                     # 1.00 in px units (1e9)
    int64_t NO_PX                      # an empty side
    ctypedef long long i128            # really __int128: never let Cython convert one to a Python object
    ctypedef unsigned long long u128

    ctypedef struct header_t:
        uint16_t type, flags
        uint32_t instrument
        uint64_t seq
        int64_t ts_event, ts_recv

    ctypedef struct trade_t:
        uint16_t type, flags
        uint32_t instrument
        uint64_t seq
        int64_t ts_event, ts_recv
        int64_t px, qty
        uint64_t trade_id
        uint32_t conditions            # four letters, the first in the lowest byte
        uint8_t exchange, tape, taker, reserved

    ctypedef struct quote_t:
        uint16_t type, flags
        uint32_t instrument
        uint64_t seq
        int64_t ts_event, ts_recv
        int64_t bid_px, ask_px         # NO_PX where a side is empty
        int64_t bid_qty, ask_qty

    ctypedef struct delta_t:
        uint16_t type, flags
        uint32_t instrument
        uint64_t seq
        int64_t ts_event, ts_recv
        int64_t px, qty                # qty = the level's new total, 0 removes it
        uint64_t update_id
        uint32_t span
        uint8_t side, action
        uint16_t reserved

    ctypedef struct status_t:
        uint16_t type, flags
        uint32_t instrument
        uint64_t seq
        int64_t ts_event, ts_recv
        int64_t upper_px, lower_px
        uint32_t reason, code
        uint8_t tape, state
        uint8_t reserved[6]

    ctypedef struct gap_t:
        uint16_t type, flags
        uint32_t instrument
        uint64_t seq
        int64_t ts_event, ts_recv
        uint64_t missed
        int64_t from_ts, to_ts
        uint32_t cause, reserved

    ctypedef struct timer_t "timer_t_":
        uint16_t type, flags
        uint32_t instrument
        uint64_t seq
        int64_t ts_event, ts_recv
        uint64_t key
        int64_t at
        uint32_t owner
        uint8_t clock
        uint8_t reserved[11]

    ctypedef union market_t:
        header_t header
        trade_t trade
        quote_t quote
        delta_t delta
        status_t status
        gap_t gap
        timer_t timer

    ctypedef struct bar_t:
        uint16_t type, flags
        uint32_t instrument
        uint64_t seq
        int64_t ts_event, ts_recv      # ts_event = end of the interval
        int64_t start, interval
        int64_t open_px, high_px, low_px, close_px
        int64_t volume
        uint64_t notional_lo
        int64_t notional_hi
        uint32_t trades, revision
        uint64_t reserved[2]

    ctypedef struct define_t:
        uint16_t type, flags
        uint32_t instrument
        uint64_t seq
        int64_t ts_event, ts_recv
        char symbol[32]
        char currency[8]
        int64_t tick, sub_tick, lot, multiplier
        uint8_t qty_exp, asset_class, venue
        uint8_t reserved[21]

    ctypedef struct ref_t:
        int64_t bid_px, ask_px, bid_qty, ask_qty
        int64_t quote_ts
        int64_t last_px, last_ts
        uint32_t flags, reserved


cdef enum:                             # RecordType
    TYPE_TRADE = 1
    TYPE_QUOTE = 2
    TYPE_DELTA = 3
    TYPE_STATUS = 4
    TYPE_GAP = 5
    TYPE_TIMER = 6
    TYPE_TRADE_CANCEL = 7              # a trade_t: the print that is taken back
    TYPE_BAR = 20
    TYPE_DEFINE = 21

cdef enum:                             # Flag
    FLAG_GAP = 1
    FLAG_LATE = 2
    FLAG_AMENDED = 4
    FLAG_CORRECTED = 8
    FLAG_BACKFILLED = 16
    FLAG_HALTED = 32
    FLAG_TOP_ONLY = 64
    FLAG_LAST = 128                    # the last record of an event that is atomic at the venue
    FLAG_SNAPSHOT = 256
    FLAG_CROSSED = 512
    FLAG_INELIGIBLE = 1024             # a trade whose conditions may not set a price
    FLAG_FEED_IEX = 4096
    FLAG_FEED_SIP = 8192

cdef enum:                             # Side
    SIDE_BUY = 1
    SIDE_SELL = 2

cdef enum:                             # Action of a delta
    ACTION_SET = 0                     # the level's new total
    ACTION_CLEAR = 1                   # throw the book away; the levels that follow are the whole
    ACTION_NOTHING = 2                 # carries only ids: an update event without levels

cdef enum:                             # TradingState
    STATE_TRADING = 1
    STATE_HALTED = 2
    STATE_PAUSED = 3                   # volatility pause
    STATE_QUOTING = 4                  # quotation resumed, trading not yet

cdef enum:                             # GapCause
    CAUSE_DISCONNECT = 1               # the connection was lost
    CAUSE_SILENCE = 2                  # it was open and gave nothing for too long
    CAUSE_SLOW = 3                     # we were too slow, the venue dropped data
    CAUSE_SEQUENCE = 4                 # the venue's numbers skip
    CAUSE_CROSSED = 5                  # the book came to a state that cannot be

cdef enum:                             # Clock
    CLOCK_VENUE = 1
    CLOCK_MONO = 2


cdef enum:
    UNITS_ROOM = 24                    # bytes of units as text: a sign, nineteen digits, a point


# Text and numbers at the edge: exact or refused, never rounded in silence.
cdef bint parse_fixed(const char* text, Py_ssize_t n, int exp, int64_t* out) noexcept nogil   # decimal text -> units of 10^-exp
cdef Py_ssize_t units_text(int64_t units, int exp, char* out) noexcept nogil   # and back, exp 0 to 18; returns how long it is
cdef object i128_to_object(uint64_t lo, int64_t hi)
cdef bint plain_units(value, int exp, int64_t* out)      # False: not an int, a str or a float that is surely this many units
