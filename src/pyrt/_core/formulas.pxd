"""What each indicator does with the next few values or bars. All inline: single calls, batches and sets run these same functions.

Each takes up to BLOCK rows at once with its state in registers, so that a set asks which formula it is once a block. Averages that
forget (EMA, Wilder's) begin as the plain mean of their first n values: the share of the newest is 1/t until then (`set_shares`), so
the steady step has no branch for the warm-up, which goes row by row.
"""
from libc.math cimport NAN, fabs, log, sqrt
from libc.stdint cimport uint32_t

from pyrt._core.rolling cimport (
    highest, lowest, mean, push_extremes, push_moments, push_ring, push_sums, push_weighted, squares, weighted_mean, window_t,
)


cdef extern from * nogil:
    bint likely "__builtin_expect"(bint, bint)


cdef enum:
    BLOCK = 16
    MOST_WINDOWS = 3
    MOST_OUTPUTS = 3

cdef enum:                             # kind
    KIND_SMA
    KIND_EMA
    KIND_WMA
    KIND_RSI
    KIND_MACD
    KIND_BOLLINGER
    KIND_ATR
    KIND_STOCHASTIC
    KIND_OBV
    KIND_VWAP
    KIND_ADX
    KIND_CCI
    KIND_ROC
    KIND_DEVIATION
    KIND_Z_SCORE
    KIND_RETURNS
    KIND_LOG_RETURNS
    KIND_VOLATILITY


cdef struct columns_t:                 # bars, or values as their closes
    const double* high
    const double* low
    const double* close
    const double* volume               # NULL: none told
    const double* vwap                 # the prices that VWAP weighs; NULL: (high + low + close) / 3

cdef struct moments_t:                 # of the last n closes as of each row of the block
    window_t window
    double mean[BLOCK]
    double squares[BLOCK]              # sums of squared distances from the mean

cdef struct indicator_t:
    uint32_t kind
    uint32_t left                      # updates until it is ready; 0 = it is
    uint32_t warmup                    # updates that give NaN
    uint32_t n, m, p                   # periods
    uint32_t outputs                   # 1 .. MOST_OUTPUTS
    uint32_t at                        # where its outputs begin in a row of the set's
    bint leads                         # it moves `moments`; the others of a set read what the leader left there
    moments_t* moments
    double a                           # constant of the formula
    double share[3]                    # of the newest value in v[0], v[1], v[2]
    double v[7]                        # what it remembers
    window_t own[MOST_WINDOWS]
    moments_t own_moments


# ---------------------------------------------------------------------------------------------------- of the rolling moments
cdef inline void move(moments_t* m, const double* x, uint32_t n) noexcept nogil:
    cdef window_t w = m.window                          # a copy: in registers
    cdef uint32_t k
    for k in range(n):
        push_moments(&w, x[k])
        m.mean[k] = mean(&w)
        m.squares[k] = squares(&w)
    m.window = w


cdef inline void do_sma(indicator_t* p, const double* x, uint32_t n, double* out, Py_ssize_t stride) noexcept nogil:
    cdef uint32_t k
    for k in range(n):
        out[k * stride] = p.moments.mean[k]


cdef inline void do_bollinger(indicator_t* p, const double* x, uint32_t n, double* out, Py_ssize_t stride) noexcept nogil:
    cdef const moments_t* m = p.moments
    cdef double width = p.a, share = m.window.share, half
    cdef uint32_t k
    for k in range(n):
        half = width * sqrt(m.squares[k] * share)
        out[k * stride], out[k * stride + 1], out[k * stride + 2] = m.mean[k], m.mean[k] + half, m.mean[k] - half


cdef inline void do_deviation(indicator_t* p, const double* x, uint32_t n, double* out, Py_ssize_t stride) noexcept nogil:
    cdef uint32_t k
    for k in range(n):
        out[k * stride] = sqrt(p.moments.squares[k] * p.a)


cdef inline void do_z_score(indicator_t* p, const double* x, uint32_t n, double* out, Py_ssize_t stride) noexcept nogil:
    cdef double deviation
    cdef uint32_t k
    for k in range(n):
        deviation = sqrt(p.moments.squares[k] * p.a)
        out[k * stride] = (x[k] - p.moments.mean[k]) / deviation if deviation > 0 else 0


# ---------------------------------------------------------------------------------------------------- of one series
cdef inline void do_ema(indicator_t* p, const double* x, uint32_t n, double* out, Py_ssize_t stride) noexcept nogil:
    cdef double e = p.v[0], share = p.share[0]
    cdef uint32_t k
    for k in range(n):
        e += share * (x[k] - e)
        out[k * stride] = e
    p.v[0] = e


cdef inline void do_wma(indicator_t* p, const double* x, uint32_t n, double* out, Py_ssize_t stride) noexcept nogil:
    cdef uint32_t k
    for k in range(n):
        push_weighted(&p.own[0], x[k])
        out[k * stride] = weighted_mean(&p.own[0])


cdef inline void do_rsi(indicator_t* p, const double* x, uint32_t n, double* out, Py_ssize_t stride) noexcept nogil:
    cdef double up = p.v[0], down = p.v[1], before = p.v[2], share = p.share[0], change
    cdef uint32_t k
    for k in range(n):
        change = x[k] - before
        before = x[k]
        up += share * (0.5 * (fabs(change) + change) - up)                  # exact: the rise or 0, without a branch
        down += share * (0.5 * (fabs(change) - change) - down)
        out[k * stride] = 100 * up / (up + down) if up > 0 else 0
    p.v[0], p.v[1], p.v[2] = up, down, before


cdef inline void do_macd(indicator_t* p, const double* x, uint32_t n, double* out, Py_ssize_t stride) noexcept nogil:
    cdef double fast = p.v[0], slow = p.v[1], signal = p.v[2], line
    cdef double a = p.share[0], b = p.share[1], c = p.share[2]
    cdef uint32_t k
    for k in range(n):
        fast += a * (x[k] - fast)
        slow += b * (x[k] - slow)
        line = fast - slow
        signal += c * (line - signal)
        out[k * stride], out[k * stride + 1], out[k * stride + 2] = line, signal, line - signal
    p.v[0], p.v[1], p.v[2] = fast, slow, signal


cdef inline void do_change(indicator_t* p, const double* x, uint32_t n, double* out, Py_ssize_t stride) noexcept nogil:
    cdef double old
    cdef uint32_t k
    for k in range(n):
        old = push_ring(&p.own[0], x[k])
        if p.kind == KIND_LOG_RETURNS:
            out[k * stride] = log(x[k] / old) if old > 0 else 0
        else:
            out[k * stride] = p.a * (x[k] / old - 1) if old != 0 else 0


cdef inline void do_volatility(indicator_t* p, const double* x, uint32_t n, double* out, Py_ssize_t stride) noexcept nogil:
    cdef window_t* w = &p.own[0]
    cdef double r
    cdef uint32_t k
    for k in range(n):
        if p.left <= p.warmup:                          # not the first: it has a price before it
            r = log(x[k] / p.v[0])
            push_sums(w, r * r, 0)
        p.v[0] = x[k]
        out[k * stride] = sqrt((w.a[w.i] + w.pa) * p.a)


# ---------------------------------------------------------------------------------------------------- of bars
cdef inline double true_range(double high, double low, double before) noexcept nogil:
    return (high if high > before else before) - (low if low < before else before)


cdef inline void do_atr(indicator_t* p, const columns_t* c, uint32_t n, double* out, Py_ssize_t stride) noexcept nogil:
    cdef double average = p.v[0], before = p.v[2], share = p.share[0]
    cdef uint32_t k
    for k in range(n):
        average += share * (true_range(c.high[k], c.low[k], before) - average)
        before = c.close[k]
        out[k * stride] = average
    p.v[0], p.v[2] = average, before


cdef inline void do_stochastic(indicator_t* p, const columns_t* c, uint32_t n, double* out, Py_ssize_t stride) noexcept nogil:
    cdef double low, span
    cdef uint32_t k
    for k in range(n):
        push_extremes(&p.own[0], c.high[k], c.low[k])
        if p.left >= p.m + p.p:                         # %K is there from the n-th bar on, and only then averaged
            continue
        low = lowest(&p.own[0])
        span = highest(&p.own[0]) - low
        push_moments(&p.own[1], 100 * (c.close[k] - low) / span if span > 0 else 0)
        if p.left > p.p:
            continue
        out[k * stride] = mean(&p.own[1])
        push_moments(&p.own[2], out[k * stride])
        out[k * stride + 1] = mean(&p.own[2])


cdef inline void do_adx(indicator_t* p, const columns_t* c, uint32_t n, double* out, Py_ssize_t stride) noexcept nogil:
    cdef double plus = p.v[0], minus = p.v[1], ranges = p.v[2], adx = p.v[3], close = p.v[4], high = p.v[5], low = p.v[6]
    cdef double share = p.share[0], up, down, total, dx
    cdef uint32_t k
    for k in range(n):
        up = c.high[k] - high
        down = low - c.low[k]
        plus += share * ((up if up > 0 and up > down else 0) - plus)
        minus += share * ((down if down > 0 and down > up else 0) - minus)
        ranges += share * (true_range(c.high[k], c.low[k], close) - ranges)
        high, low, close = c.high[k], c.low[k], c.close[k]
        total = plus + minus
        dx = 100 * fabs(plus - minus) / total if total > 0 else 0 if p.left > 0 else adx
        adx += p.share[1] * (dx - adx)
        out[k * stride] = adx
        out[k * stride + 1] = 100 * plus / ranges if ranges > 0 else 0
        out[k * stride + 2] = 100 * minus / ranges if ranges > 0 else 0
    p.v[0], p.v[1], p.v[2], p.v[3], p.v[4], p.v[5], p.v[6] = plus, minus, ranges, adx, close, high, low


cdef inline void do_cci(indicator_t* p, const columns_t* c, uint32_t n, double* out, Py_ssize_t stride) noexcept nogil:
    cdef const double* seen = p.own[1].a
    cdef double x, middle, spread, other
    cdef uint32_t k, j, even = p.n & ~<uint32_t>1
    for k in range(n):
        x = (c.high[k] + c.low[k] + c.close[k]) / 3
        push_moments(&p.own[0], x)
        push_ring(&p.own[1], x)
        middle = mean(&p.own[0])
        spread = other = 0
        for j in range(0, even, 2):                     # two sums, neither waits for the other
            spread += fabs(seen[j] - middle)
            other += fabs(seen[j + 1] - middle)
        spread += other
        if even < p.n:
            spread += fabs(seen[even] - middle)
        out[k * stride] = (x - middle) / (0.015 * spread * p.own[0].share) if spread > 0 else 0


# ---------------------------------------------------------------------------------------------------- of volumes
cdef inline double add_exactly(double* total, double* rest, double x) noexcept nogil:
    # Neumaier's sum: what rounding takes from the total is kept in the rest.
    cdef double s = total[0] + x
    rest[0] += (total[0] - s) + x if fabs(total[0]) >= fabs(x) else (x - s) + total[0]
    total[0] = s
    return s + rest[0]


cdef inline void do_obv(indicator_t* p, const columns_t* c, uint32_t n, double* out, Py_ssize_t stride) noexcept nogil:
    cdef double volume
    cdef uint32_t k
    for k in range(n):
        volume = c.volume[k] if c.volume != NULL else 0
        if c.close[k] < p.v[2]:
            volume = -volume
        elif c.close[k] == p.v[2]:
            volume = 0
        p.v[2] = c.close[k]                             # before the first it is NaN: its volume counts
        out[k * stride] = add_exactly(&p.v[0], &p.v[1], volume)


cdef inline void do_vwap(indicator_t* p, const columns_t* c, uint32_t n, double* out, Py_ssize_t stride) noexcept nogil:
    cdef window_t* w = &p.own[0]
    cdef double price, volume, money, traded
    cdef uint32_t k
    for k in range(n):
        price = c.vwap[k] if c.vwap != NULL else (c.high[k] + c.low[k] + c.close[k]) / 3
        volume = c.volume[k] if c.volume != NULL else 0
        if p.n == 0:
            money = add_exactly(&p.v[0], &p.v[1], price * volume)
            traded = add_exactly(&p.v[2], &p.v[3], volume)
        else:
            push_sums(w, price * volume, volume)
            money = w.a[w.i] + w.pa
            traded = w.b[w.i] + w.pb
        out[k * stride] = money / traded if traded > 0 else price


# ---------------------------------------------------------------------------------------------------- warm-up
cdef inline double share_at(uint32_t t, uint32_t begin, uint32_t n, double after) noexcept nogil:
    """The share of the t-th value in an average that begins after `begin` values as the mean of its first n."""
    if t <= begin:
        return 0
    return 1.0 / (t - begin) if t <= begin + n else after


cdef inline void set_shares(indicator_t* p, uint32_t t) noexcept nogil:
    """Before the t-th update, from 1."""
    cdef uint32_t kind = p.kind, n = p.n
    if kind == KIND_EMA:
        p.share[0] = share_at(t, 0, n, 2.0 / (n + 1))
    elif kind == KIND_MACD:                             # the fast one begins late, so that both end their mean at the same value
        p.share[0] = share_at(t, p.m - n, n, 2.0 / (n + 1))
        p.share[1] = share_at(t, 0, p.m, 2.0 / (p.m + 1))
        p.share[2] = share_at(t, p.m - 1, p.p, 2.0 / (p.p + 1))
    elif kind == KIND_RSI or kind == KIND_ATR:          # of changes: the first value makes none
        p.share[0] = share_at(t, 1, n, 1.0 / n)
    elif kind == KIND_ADX:
        p.share[0] = share_at(t, 1, n - 1, 1.0 / n)
        p.share[1] = share_at(t, n, n, 1.0 / n)
        if t == n + 1:                                  # Wilder's sums begin with one value less than they hold
            p.v[0] -= p.v[0] / n
            p.v[1] -= p.v[1] / n
            p.v[2] -= p.v[2] / n


cdef inline void warm(indicator_t* p, double* out) noexcept nogil:
    cdef uint32_t k
    p.left -= 1
    set_shares(p, p.warmup + 2 - p.left)
    if p.left > 0:
        for k in range(p.outputs):
            out[k] = NAN


cdef inline void restart(indicator_t* p, double* out) noexcept nogil:
    cdef uint32_t k
    for k in range(MOST_WINDOWS):
        p.own[k].i = 0
        p.own[k].key = p.own[k].pa = p.own[k].pb = 0
    p.own_moments.window.i = 0
    p.own_moments.window.key = p.own_moments.window.pa = p.own_moments.window.pb = 0
    for k in range(7):
        p.v[k] = 0
    if p.kind == KIND_OBV:
        p.v[2] = NAN
    p.left = p.warmup + 1
    set_shares(p, 1)
    for k in range(p.outputs):
        out[k] = NAN


# ---------------------------------------------------------------------------------------------------- any of them
cdef inline void step(indicator_t* p, const columns_t* c, uint32_t n, double* out, Py_ssize_t stride) noexcept nogil:
    cdef uint32_t kind = p.kind
    if p.leads:
        move(p.moments, c.close, n)
    if kind == KIND_SMA:
        do_sma(p, c.close, n, out, stride)
    elif kind == KIND_EMA:
        do_ema(p, c.close, n, out, stride)
    elif kind == KIND_WMA:
        do_wma(p, c.close, n, out, stride)
    elif kind == KIND_RSI:
        do_rsi(p, c.close, n, out, stride)
    elif kind == KIND_MACD:
        do_macd(p, c.close, n, out, stride)
    elif kind == KIND_BOLLINGER:
        do_bollinger(p, c.close, n, out, stride)
    elif kind == KIND_ATR:
        do_atr(p, c, n, out, stride)
    elif kind == KIND_STOCHASTIC:
        do_stochastic(p, c, n, out, stride)
    elif kind == KIND_OBV:
        do_obv(p, c, n, out, stride)
    elif kind == KIND_VWAP:
        do_vwap(p, c, n, out, stride)
    elif kind == KIND_ADX:
        do_adx(p, c, n, out, stride)
    elif kind == KIND_CCI:
        do_cci(p, c, n, out, stride)
    elif kind == KIND_DEVIATION:
        do_deviation(p, c.close, n, out, stride)
    elif kind == KIND_Z_SCORE:
        do_z_score(p, c.close, n, out, stride)
    elif kind == KIND_VOLATILITY:
        do_volatility(p, c.close, n, out, stride)
    else:
        do_change(p, c.close, n, out, stride)
