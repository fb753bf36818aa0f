"""Bars that close by what was traded, and the words for what closes bars."""
cimport cython
from libc.math cimport fabs
from libc.stdlib cimport calloc, free
from libc.string cimport memset

from pyrt._core.bar_window cimport INHERITED, add_to_window, i128_of, next_row, price_window, write_window
from pyrt._core.conditions cimport UPDATES_LAST, UPDATES_RANGE, UPDATES_VOLUME
from pyrt._core.types cimport FLAG_BACKFILLED, SIDE_BUY, SIDE_SELL, bar_t, i128
from pyrt._core.types import format_units, to_units


cdef extern from "stdint.h" nogil:
    const int64_t FARTHEST "(INT64_MAX / 2)"           # ns: no time and no interval is beyond


# ---------------------------------------------------------------------------------------------------- trades
cdef void _see_side(samples_t* samples, const trade_t* trade, uint8_t fields) noexcept nogil:
    # What the venue tells of the taker; else the tick rule: a higher price was bought, a lower one sold, the same as before.
    if trade.taker == SIDE_BUY:
        samples.side = 1
    elif trade.taker == SIDE_SELL:
        samples.side = -1
    elif fields & UPDATES_LAST and samples.px != 0 and trade.px != samples.px:
        samples.side = 1 if trade.px > samples.px else -1
    if fields & UPDATES_LAST:
        samples.px = trade.px


cdef double _weight(const sample_t* s, const trade_t* trade, uint8_t fields, double one) noexcept nogil:
    if s.kind == BY_TICK_IMBALANCE:
        return 1
    if not fields & UPDATES_VOLUME:
        return 0
    return trade.qty / one if s.kind == BY_VOLUME_IMBALANCE else trade.qty / one * (trade.px / 1e9)


cdef bint _tilted(flow_t* flow, uint32_t trades) noexcept nogil:
    # |theta| >= E[T] * |E[b w]|, within the leeway; the first bar closes at the number that was expected.
    if not flow.begun:
        return trades >= flow.trades
    return trades >= flow.most or (trades >= flow.least and fabs(flow.theta) >= flow.trades * fabs(flow.side))


cdef void _expect(flow_t* flow, uint32_t trades) noexcept nogil:
    cdef double side = flow.theta / trades
    flow.side = flow.side + flow.alpha * (side - flow.side) if flow.begun else side
    flow.trades += flow.alpha * (trades - flow.trades)
    flow.trades = min(max(flow.trades, flow.least), flow.most)
    flow.begun = True
    flow.theta = 0


cdef bint _whole(sample_t* s) noexcept nogil:
    cdef i128 notional = i128_of(s.w.notional_hi, s.w.notional_lo)
    if not s.w.fields & UPDATES_LAST:
        return False                                    # a bar has a price: it waits for a trade that may set one
    if s.kind == BY_TICK:
        return s.w.trades >= s.limit
    if s.kind == BY_VOLUME:
        return s.w.volume >= s.limit
    if s.kind == BY_DOLLAR:
        return (notional if notional > 0 else -notional) >= i128_of(s.money_hi, s.money_lo)
    if s.kind == BY_RANGE:
        return s.w.fields & UPDATES_RANGE and <i128>s.w.high_px - s.w.low_px >= s.limit
    return _tilted(&s.flow, s.w.trades)


cdef void _take(samples_t* samples, sample_t* s, const trade_t* trade, uint8_t fields) noexcept nogil:
    cdef int64_t ts = trade.ts_event
    if s.w.trades == 0:
        s.w.start = ts
    s.w.end = ts if s.w.trades == 0 or ts > s.w.end else s.w.end
    s.newest = ts if ts > s.newest else s.newest
    price_window(&s.w, s.w.end, trade.px, fields)       # in the order of arrival: what comes late does not open
    if fields & UPDATES_VOLUME and not add_to_window(&s.w, trade.qty, <i128>trade.px * trade.qty):
        samples.overflowed += 1
    s.w.trades += 1
    s.w.flags |= trade.flags & INHERITED
    if s.kind >= BY_TICK_IMBALANCE:
        s.flow.theta += samples.side * _weight(s, trade, fields, samples.one)


cdef void samples_trade(samples_t* samples, const trade_t* trade, uint8_t fields, uint32_t instrument, bars_out_t* out) noexcept nogil:
    cdef uint32_t k
    cdef sample_t* s
    cdef bar_t* row
    _see_side(samples, trade, fields)
    for k in range(samples.n):
        s = &samples.each[k]
        if trade.flags & FLAG_BACKFILLED and trade.ts_event < s.newest:
            samples.late += 1                           # the bar that it belongs to is gone, or half of one
            continue
        _take(samples, s, trade, fields)
        if not _whole(s):
            continue
        row = next_row(out)
        if row != NULL:
            write_window(&s.w, instrument, s.code, trade.ts_recv, row)
        if s.kind >= BY_TICK_IMBALANCE:
            _expect(&s.flow, s.w.trades)
        memset(&s.w, 0, sizeof(window_t))


cdef void samples_flag(samples_t* samples, uint16_t flag, bint on) noexcept nogil:
    """Of the forming bars."""
    cdef uint32_t k
    for k in range(samples.n):
        if samples.each[k].w.trades or not on:
            samples.each[k].w.flags = samples.each[k].w.flags | flag if on else samples.each[k].w.flags & ~<uint32_t>flag


cdef void _read_size(sample_t* s, int64_t size, int qty_exp) noexcept nogil:
    cdef i128 wanted = size
    cdef int k
    cdef double expected
    if s.kind == BY_DOLLAR:
        for k in range(7 + qty_exp):
            wanted *= 10
        s.money_lo, s.money_hi = <uint64_t>wanted, <int64_t>(wanted >> 64)
        return
    if s.kind == BY_VOLUME:
        for k in range(qty_exp):
            wanted *= 10
        wanted = (wanted + 999_999_999) / 1_000_000_000
    s.limit = <int64_t>wanted
    if s.kind >= BY_TICK_IMBALANCE:
        expected = <double>(size >> SPAN_BITS)
        s.flow.trades = expected
        s.flow.least, s.flow.most = expected / LEEWAY, expected * LEEWAY
        s.flow.alpha = 2.0 / ((size & ((1 << SPAN_BITS) - 1)) + 1)


cdef bint samples_init(samples_t* samples, const int64_t* codes, uint32_t n, int qty_exp) noexcept nogil:
    """False: no memory."""
    cdef uint32_t k
    cdef int e
    cdef sample_t* s
    memset(samples, 0, sizeof(samples_t))
    samples.one = 1
    for e in range(qty_exp):
        samples.one *= 10
    if n == 0:
        return True
    samples.each = <sample_t*>calloc(n, sizeof(sample_t))
    if samples.each == NULL:
        return False
    samples.n = n
    for k in range(n):
        s = &samples.each[k]
        s.code = codes[k]
        s.kind = <uint32_t>(-codes[k] >> SIZE_BITS)
        _read_size(s, -codes[k] & ((<int64_t>1 << SIZE_BITS) - 1), qty_exp)
    return True


cdef void samples_free(samples_t* samples) noexcept nogil:
    free(samples.each)
    samples.each = NULL
    samples.n = 0


# ---------------------------------------------------------------------------------------------------- words
cdef int64_t read_code(object spec) except 0:
    if isinstance(spec, BarSpec):
        return (<BarSpec>spec).code
    if isinstance(spec, str):
        return (<BarSpec>bar_spec(spec)).code
    if spec < 0 and 1 <= -spec >> SIZE_BITS <= BY_DOLLAR_IMBALANCE and -spec & MOST_SIZE:
        return spec
    if not 0 < spec <= FARTHEST:
        raise ValueError(f"an interval is above 0 ns or the code of a BarSpec, not {spec}")
    return spec


cdef int fit_code(int64_t code, int qty_exp) except -1:
    kind, size = -code >> SIZE_BITS, -code & MOST_SIZE
    if (kind == BY_VOLUME and size * 10**qty_exp >= 10**9 << 63) or (kind == BY_DOLLAR and size * 10**(7 + qty_exp) >= 1 << 127):
        raise ValueError(f"{spec_text(code)} is too much in units of 10^-{qty_exp}")
    return 0


cdef class BarSpec:
    """What closes a bar. Two that close the same bars are equal; str() is what configuration may say; `code` is their interval."""

    cdef int keep(self, object size, object least, object most, uint32_t kind, str text) except -1:
        if not least <= size <= most:
            raise ValueError(f"{text} is out of range")
        self.code = -(<int64_t>kind << SIZE_BITS | <int64_t>size) if kind else size
        self.text = text
        return 0

    def __eq__(self, other) -> bool:
        return isinstance(other, BarSpec) and self.code == (<BarSpec>other).code

    def __hash__(self) -> int:
        return hash(self.code)

    def __str__(self) -> str:
        return self.text

    def __repr__(self) -> str:
        name, _, size = self.text.partition(":")
        return f"{type(self).__name__}({size.replace(':', ', ')})"


cdef object MOST_SIZE = (<int64_t>1 << SIZE_BITS) - 1


@cython.final
cdef class Time(BarSpec):
    """A bar every so many seconds, closed by the clock."""

    def __init__(self, seconds) -> None:
        self.keep(to_units(seconds, 9), 1, FARTHEST, 0, f"time:{seconds}")


@cython.final
cdef class Tick(BarSpec):
    """A bar of so many trades."""

    def __init__(self, int64_t trades) -> None:
        self.keep(trades, 1, (1 << 32) - 1, BY_TICK, f"tick:{trades}")


@cython.final
cdef class Volume(BarSpec):
    """A bar closes with the trade that brings its volume to so much, whole units (shares)."""

    def __init__(self, quantity) -> None:
        self.keep(to_units(quantity, 9), 1, MOST_SIZE, BY_VOLUME, f"volume:{quantity}")


@cython.final
cdef class Dollar(BarSpec):
    """A bar closes with the trade that brings the sum of price * quantity to so much money, in whole cents; no multiplier counts."""

    def __init__(self, money) -> None:
        self.keep(to_units(money, 2), 1, MOST_SIZE, BY_DOLLAR, f"dollar:{money}")


@cython.final
cdef class Range(BarSpec):
    """A bar closes with the trade that brings high - low to so much money; a jump makes one bar, however far."""

    def __init__(self, money) -> None:
        self.keep(to_units(money, 9), 1, MOST_SIZE, BY_RANGE, f"range:{money}")


@cython.final
cdef class Imbalance(BarSpec):
    """Information-driven bars (Lopez de Prado, Advances in Financial Machine Learning, 2018, section 2.3.2).

    A trade's side b is 1 or -1: the taker's where the venue tells it, else by the tick rule. theta = sum of b * w over the bar, w being
    1, the volume or the money by `of` ("tick", "volume", "dollar"). The bar closes when |theta| >= E[T] * |E[b w]|: T the number of
    trades and E[b w] = theta / T of the bars before, both exponential averages over `span` bars. The first bar closes at `expected`
    trades, which E[T] begins with. The definition alone runs away in either direction, so E[T] and T itself are kept within a tenth and
    ten times of `expected`.
    """

    def __init__(self, int64_t expected, *, str of="tick", int64_t span=20) -> None:
        kinds = {"tick": BY_TICK_IMBALANCE, "volume": BY_VOLUME_IMBALANCE, "dollar": BY_DOLLAR_IMBALANCE}
        if of not in kinds:
            raise ValueError(f'imbalance of "tick", "volume" or "dollar", not {of!r}')
        if not 1 <= expected < 1 << 28 or not 1 <= span < 1 << SPAN_BITS:
            raise ValueError(f"imbalance:{expected}:{of}:{span} is out of range")
        self.keep(expected << SPAN_BITS | span, 1, MOST_SIZE, kinds[of], f"imbalance:{expected}:{of}:{span}")

    def __repr__(self) -> str:
        _, expected, of, span = self.text.split(":")
        return f"Imbalance({expected}, of={of!r}, span={span})"


def bar_spec(text) -> BarSpec:
    """Read "time:60", "tick:100", "volume:10000", "dollar:1000000", "range:0.10" or "imbalance:100:volume:20". Raises ValueError."""
    name, *sizes = str(text).split(":")
    makes = {"time": Time, "volume": Volume, "dollar": Dollar, "range": Range}
    try:
        if name in makes and len(sizes) == 1:
            return makes[name](sizes[0])
        if name == "tick" and len(sizes) == 1:
            return Tick(int(sizes[0]))
        if name == "imbalance" and 1 <= len(sizes) <= 3:
            return Imbalance(int(sizes[0]), of=sizes[1] if len(sizes) > 1 else "tick", span=int(sizes[2]) if len(sizes) > 2 else 20)
    except (ValueError, ArithmeticError) as e:
        raise ValueError(f"{text!r} is not what closes a bar: {e}") from None
    raise ValueError(f"{text!r} is not what closes a bar: write time:60, tick:100, volume:10000, dollar:1000000, range:0.10, imbalance:100")


def spec_text(code) -> str:
    """A code below 0 as configuration may say it; of one that no spec has, the number."""
    size = -code & MOST_SIZE
    kind = -code >> SIZE_BITS
    for exp, at, name in ((0, BY_TICK, "tick"), (9, BY_VOLUME, "volume"), (2, BY_DOLLAR, "dollar"), (9, BY_RANGE, "range")):
        if kind == at:
            return f"{name}:{format_units(size, exp)}"
    for at, name in ((BY_TICK_IMBALANCE, "tick"), (BY_VOLUME_IMBALANCE, "volume"), (BY_DOLLAR_IMBALANCE, "dollar")):
        if kind == at:
            return f"imbalance:{size >> SPAN_BITS}:{name}:{size & ((1 << SPAN_BITS) - 1)}"
    return str(code)
