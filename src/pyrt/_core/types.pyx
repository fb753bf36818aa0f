"""Records, dtypes, enums and exact numbers: the vocabulary of the core."""
from cpython.mem cimport PyMem_Free
from cpython.unicode cimport PyUnicode_DecodeASCII
from libc.math cimport llrint
from libc.string cimport memcpy, strlen

from decimal import Decimal
from enum import IntEnum, IntFlag

import numpy as np


cdef extern from "Python.h":
    char* PyOS_double_to_string(double value, char format, int precision, int flags, int* kind) except NULL
    const char* PyUnicode_AsUTF8AndSize(object text, Py_ssize_t* n) except NULL


PX_SCALE = 9
NO_PRICE = NO_PX


class RecordType(IntEnum):
    """What a record is. Market records (below 20) have 64 bytes, the others 128."""

    TRADE = TYPE_TRADE
    QUOTE = TYPE_QUOTE
    DELTA = TYPE_DELTA
    STATUS = TYPE_STATUS
    GAP = TYPE_GAP
    TIMER = TYPE_TIMER
    TRADE_CANCEL = TYPE_TRADE_CANCEL
    BAR = TYPE_BAR
    DEFINE = TYPE_DEFINE


class Flag(IntFlag):
    """Quality of a record: what a reader should know before trusting it."""

    GAP = FLAG_GAP
    LATE = FLAG_LATE
    AMENDED = FLAG_AMENDED
    CORRECTED = FLAG_CORRECTED
    BACKFILLED = FLAG_BACKFILLED
    HALTED = FLAG_HALTED
    TOP_ONLY = FLAG_TOP_ONLY
    LAST = FLAG_LAST
    SNAPSHOT = FLAG_SNAPSHOT
    CROSSED = FLAG_CROSSED
    INELIGIBLE = FLAG_INELIGIBLE
    FEED_IEX = FLAG_FEED_IEX
    FEED_SIP = FLAG_FEED_SIP


class Side(IntEnum):
    """The side of an order, a level or an aggressor."""

    BUY = SIDE_BUY
    SELL = SIDE_SELL


class Action(IntEnum):
    """What a book delta does."""

    SET = ACTION_SET
    CLEAR = ACTION_CLEAR
    NOTHING = ACTION_NOTHING


class TradingState(IntEnum):
    """Whether the venue trades an instrument."""

    TRADING = STATE_TRADING
    HALTED = STATE_HALTED
    PAUSED = STATE_PAUSED
    QUOTING = STATE_QUOTING


class GapCause(IntEnum):
    """Why a part of the data is missing."""

    DISCONNECT = CAUSE_DISCONNECT
    SILENCE = CAUSE_SILENCE
    SLOW = CAUSE_SLOW
    SEQUENCE = CAUSE_SEQUENCE
    CROSSED = CAUSE_CROSSED


class Clock(IntEnum):
    """Which clock a timer follows: the venue's, or the process's monotonic one."""

    VENUE = CLOCK_VENUE
    MONO = CLOCK_MONO


_header = [("type", "<u2"), ("flags", "<u2"), ("instrument", "<u4"), ("seq", "<u8"), ("ts_event", "<i8"), ("ts_recv", "<i8")]

header_dtype = np.dtype(_header)
trade_dtype = np.dtype(_header + [("px", "<i8"), ("qty", "<i8"), ("trade_id", "<u8"), ("conditions", "<u4"),
                                  ("exchange", "u1"), ("tape", "u1"), ("taker", "u1"), ("reserved", "u1")])
quote_dtype = np.dtype(_header + [("bid_px", "<i8"), ("ask_px", "<i8"), ("bid_qty", "<i8"), ("ask_qty", "<i8")])
delta_dtype = np.dtype(_header + [("px", "<i8"), ("qty", "<i8"), ("update_id", "<u8"), ("span", "<u4"),
                                  ("side", "u1"), ("action", "u1"), ("reserved", "<u2")])
status_dtype = np.dtype(_header + [("upper_px", "<i8"), ("lower_px", "<i8"), ("reason", "<u4"), ("code", "<u4"),
                                   ("tape", "u1"), ("state", "u1"), ("reserved", "V6")])
gap_dtype = np.dtype(_header + [("missed", "<u8"), ("from_ts", "<i8"), ("to_ts", "<i8"), ("cause", "<u4"), ("reserved", "<u4")])
timer_dtype = np.dtype(_header + [("key", "<u8"), ("at", "<i8"), ("owner", "<u4"), ("clock", "u1"), ("reserved", "V11")])
market_dtype = np.dtype(_header + [("payload", "V32")])
bar_dtype = np.dtype(_header + [("start", "<i8"), ("interval", "<i8"), ("open_px", "<i8"), ("high_px", "<i8"), ("low_px", "<i8"),
                                ("close_px", "<i8"), ("volume", "<i8"), ("notional_lo", "<u8"), ("notional_hi", "<i8"),
                                ("trades", "<u4"), ("revision", "<u4"), ("reserved", "V16")])
define_dtype = np.dtype(_header + [("symbol", "S32"), ("currency", "S8"), ("tick", "<i8"), ("sub_tick", "<i8"), ("lot", "<i8"),
                                   ("multiplier", "<i8"), ("qty_exp", "u1"), ("asset_class", "u1"), ("venue", "u1"), ("reserved", "V21")])
ref_dtype = np.dtype([("bid_px", "<i8"), ("ask_px", "<i8"), ("bid_qty", "<i8"), ("ask_qty", "<i8"), ("quote_ts", "<i8"),
                      ("last_px", "<i8"), ("last_ts", "<i8"), ("flags", "<u4"), ("reserved", "<u4")])

assert trade_dtype.itemsize == sizeof(trade_t) and quote_dtype.itemsize == sizeof(quote_t)
assert delta_dtype.itemsize == sizeof(delta_t) and status_dtype.itemsize == sizeof(status_t)
assert gap_dtype.itemsize == sizeof(gap_t) and timer_dtype.itemsize == sizeof(timer_t)
assert market_dtype.itemsize == sizeof(market_t) and ref_dtype.itemsize == sizeof(ref_t)
assert bar_dtype.itemsize == sizeof(bar_t) and define_dtype.itemsize == sizeof(define_t)


cdef bint parse_fixed(const char* text, Py_ssize_t n, int exp, int64_t* out) noexcept nogil:
    # [-+]digits[.digits][e[-+]digits]; more decimals than exp are refused unless they are zeros.
    cdef Py_ssize_t i = 0
    cdef bint negative = False, seen = False, dot = False
    cdef int scale = 0, e = 0, e_digits = 0
    cdef bint e_negative = False
    cdef i128 value = 0
    cdef i128 limit = <i128>0x7fffffffffffffff
    cdef int d, zeros = 0
    if n > 0 and (text[0] == b'-' or text[0] == b'+'):
        negative = text[0] == b'-'
        i = 1
    while i < n:
        d = text[i] - 48
        if 0 <= d <= 9:
            seen = True
            if d == 0 and dot:
                zeros += 1                      # kept back: trailing zeros never matter
            else:
                while zeros > 0:
                    value = value * 10
                    scale += 1
                    zeros -= 1
                    if value > limit:
                        return False
                value = value * 10 + d
                if dot:
                    scale += 1
                if value > limit:
                    return False
        elif text[i] == b'.' and not dot:
            dot = True
        elif (text[i] == b'e' or text[i] == b'E') and seen:
            i += 1
            if i < n and (text[i] == b'-' or text[i] == b'+'):
                e_negative = text[i] == b'-'
                i += 1
            while i < n:
                d = text[i] - 48
                if d < 0 or d > 9 or e > 1000:
                    return False
                e = e * 10 + d
                e_digits += 1
                i += 1
            if e_digits == 0:
                return False
            break
        else:
            return False
        i += 1
    if not seen:
        return False
    scale -= -e if e_negative else e            # value * 10^-scale
    scale = exp - scale                         # value * 10^scale units
    if value == 0:
        out[0] = 0
        return True
    while scale > 0:
        value = value * 10
        scale -= 1
        if value > limit:
            return False
    while scale < 0:
        if value % 10 != 0:
            return False
        value = value / 10
        scale += 1
    out[0] = <int64_t>(-value) if negative else <int64_t>value
    return True


cdef object i128_to_object(uint64_t lo, int64_t hi):
    if hi == (-1 if lo >> 63 else 0):           # nearly always
        return <int64_t>lo
    return (<object>hi << 64) | lo


cdef int64_t* TENS = [1, 10, 100, 1_000, 10_000, 100_000, 1_000_000, 10_000_000, 100_000_000, 1_000_000_000]


cdef inline bint float_units(double value, int exp, int64_t* out) noexcept nogil:
    # A decimal of at most 15 digits that rounds to this double is the only one of so few, so it is what repr writes. The division of
    # two whole numbers below 2^53 rounds as reading that decimal does.
    cdef int64_t units
    if not -999_999.0 < value < 999_999.0:
        return False
    units = llrint(value * 1e9)
    if units / 1e9 != value or units % TENS[9 - exp]:
        return False
    out[0] = units / TENS[9 - exp]
    return True


cdef bint plain_units(value, int exp, int64_t* out):
    cdef const char* text
    cdef Py_ssize_t n
    if not 0 <= exp <= 9:
        return False
    if type(value) is float:
        return float_units(value, exp, out)
    if type(value) is int:
        if not -9_000_000_000 < value < 9_000_000_000:
            return False
        out[0] = <int64_t>value * TENS[exp]
        return True
    if type(value) is not str or not (<str>value).isascii():        # a lone surrogate has no UTF-8
        return False
    text = PyUnicode_AsUTF8AndSize(value, &n)
    return parse_fixed(text, n, exp, out)               # blanks around it are for whoever strips them


def to_units(value, int exp=9):
    """Turn a number in whole units into an exact integer of 10^-exp: to_units(190) = to_units("190.00") = 190 * 10**9.

    value: int, str, Decimal, or float (through its repr, so 190.1 means 190.1).
    Raises ValueError for NaN, infinity, more decimals than `exp` allows, or a number beyond 64 bits; TypeError for other types.
    """
    cdef bytes text
    cdef char* digits
    cdef bint fits
    cdef int64_t out = 0
    if plain_units(value, exp, &out):           # what most callers give
        return out
    if type(value) is float:                    # its repr, without the object
        digits = PyOS_double_to_string(value, b'r', 0, 0, NULL)
        fits = parse_fixed(digits, strlen(digits), exp, &out)
        PyMem_Free(digits)
        if fits:
            return out
    if isinstance(value, bool) or not isinstance(value, (int, float, str, Decimal, np.integer, np.floating)):
        raise TypeError(f"a number is int, float, str or Decimal, not {type(value).__name__}")
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, Decimal):
        text = format(value, "f").encode() if value.is_finite() else b"nan"
    elif isinstance(value, float):
        text = repr(value).encode()
    else:
        text = str(value).strip().encode()
    if not parse_fixed(text, len(text), exp, &out):
        raise ValueError(f"{value!r} is not a number that {exp} decimals and 64 bits can hold exactly")
    return out


def from_units(int64_t units, int exp=9):
    """Turn an integer of 10^-exp into a Decimal in whole units, exactly, without trailing zeros."""
    return _strip(Decimal(units).scaleb(-exp))


cdef Py_ssize_t units_text(int64_t units, int exp, char* out) noexcept nogil:
    cdef uint64_t whole, rest, scale = 1
    cdef char text[UNITS_ROOM]
    cdef int i, begin = sizeof(text)
    for i in range(exp):
        scale = scale * 10
    whole = <uint64_t>units if units >= 0 else 0 - <uint64_t>units
    rest = whole % scale
    whole = whole / scale
    if rest:
        while rest % 10 == 0:
            rest = rest / 10
            exp -= 1
        for i in range(exp):
            begin -= 1
            text[begin] = <char>(48 + rest % 10)
            rest = rest / 10
        begin -= 1
        text[begin] = b'.'
    while True:
        begin -= 1
        text[begin] = <char>(48 + whole % 10)
        whole = whole / 10
        if whole == 0:
            break
    if units < 0:
        begin -= 1
        text[begin] = b'-'
    memcpy(out, &text[begin], sizeof(text) - begin)
    return sizeof(text) - begin


def format_units(int64_t units, int exp=9):
    """Write an integer of 10^-exp as decimal text without exponent or trailing zeros: the form that venues read."""
    cdef char text[UNITS_ROOM]
    if not 0 <= exp <= 18:
        return format(_strip(Decimal(units).scaleb(-exp)), "f")
    return PyUnicode_DecodeASCII(text, units_text(units, exp, text), NULL)


cdef _strip(value):
    if value == value.to_integral_value():
        return value.quantize(Decimal(1))
    return value.normalize()
