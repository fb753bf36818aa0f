"""Technical indicators of values and of bars: one number at a time, arrays without the GIL, bit for bit the same."""
cimport cython
from libc.math cimport NAN
from libc.stdlib cimport calloc, free

import numpy as np

from pyrt._core.buffers cimport number
from pyrt._core.events cimport Bar
from pyrt._core.formulas cimport (
    KIND_ADX, KIND_ATR, KIND_BOLLINGER, KIND_CCI, KIND_DEVIATION, KIND_EMA, KIND_LOG_RETURNS, KIND_MACD, KIND_OBV, KIND_RETURNS,
    KIND_ROC, KIND_RSI, KIND_SMA, KIND_STOCHASTIC, KIND_VOLATILITY, KIND_VWAP, KIND_WMA, KIND_Z_SCORE, MOST_WINDOWS, restart,
)
from pyrt._core.rolling cimport window_t
from pyrt._core.sweep cimport (
    ABOVE_ZERO, CLOSE, FIELDS, HIGH, HIGH_AND_LOW, LOW, NOT_BELOW_ZERO, PRICE, VOLUME, read_bar, sweep, sweep_bars, sweep_one,
)
from pyrt._core.types import bar_dtype as _bar_dtype


cdef uint32_t _period(object value, uint32_t least) except 0:
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= MOST_PERIOD:
        raise ValueError(f"a period is a whole number from {least} to {MOST_PERIOD}, not {value!r}")
    return value


cdef bint _are_bars(object values):
    return getattr(values, "dtype", None) == _bar_dtype


cdef int _alone(object one, object other) except -1:
    """Rows of bars have all columns; another one beside them would not be looked at."""
    if one is not None or other is not None:
        raise ValueError("bars bring their own columns: give them alone")
    return 0


cdef object _off(object values, object out):
    """Numbers that do not lie where the results go."""
    return np.array(values, np.float64) if values is not None and np.may_share_memory(values, out) else values


cdef object _apart(object rows):
    """The columns of a batch: one array, or a tuple of them."""
    return tuple(np.ascontiguousarray(rows.T)) if rows.shape[1] > 1 else rows.reshape(-1)


cdef double* _lay(window_t* w, uint32_t n, double* at) noexcept nogil:
    """Give a window its memory; returns what is behind it."""
    w.n = n
    w.share = 1.0 / n if n else 0
    w.a, w.b = at, at + n
    return at + 2 * n


# ---------------------------------------------------------------------------------------------------- what all have
cdef class Indicator:
    """What all indicators have. The first `warmup` updates give NaN, none after them does."""

    def __dealloc__(self):
        free(self.memory)

    cdef int start(self, uint32_t kind, uint32_t outputs, uint32_t warmup, object n, object m=0, object p=0) except -1:
        self.node.kind, self.node.outputs, self.node.warmup = kind, outputs, warmup
        self.node.n, self.node.m, self.node.p = n, m, p
        self.out = self.last
        restart(&self.node, self.last)
        return 0

    cdef int windows(self, object a, object b=0, object c=0) except -1:
        cdef uint32_t k
        cdef double* at
        sizes = (a, b, c)
        at = self.memory = <double*>calloc(2 * sum(sizes), sizeof(double))
        if at == NULL:
            raise MemoryError("no memory for a window")
        for k in range(MOST_WINDOWS):
            at = _lay(&self.node.own[k], sizes[k], at)
        return 0

    cdef int moments(self) except -1:
        self.memory = <double*>calloc(2 * self.node.n, sizeof(double))
        if self.memory == NULL:
            raise MemoryError("no memory for a window")
        _lay(&self.node.own_moments.window, self.node.n, self.memory)
        self.node.moments = &self.node.own_moments
        self.node.leads = True
        return 0

    cdef int idle(self) except -1:
        if self.home is not None:
            raise RuntimeError("it belongs to a set, which alone updates it")
        return 0

    cdef object run(self, object high, object low, object close, object volume):
        cdef indicator_t* node = &self.node
        self.idle()
        rows = np.empty((len(close), self.node.outputs))
        sweep(&node, 1, high, low, close, volume, self.demands, rows, self.last)
        return _apart(rows)

    cdef object run_bars(self, object bars, int qty_exp):
        cdef indicator_t* node = &self.node
        self.idle()
        rows = np.empty((len(bars), self.node.outputs))
        sweep_bars(&node, 1, bars, qty_exp, self.demands, rows, self.last)
        return _apart(rows)

    cdef double take(self, double high, double low, double close, double volume, double price) except? -1:
        cdef double[FIELDS] tick
        tick[HIGH], tick[LOW], tick[CLOSE], tick[VOLUME], tick[PRICE] = high, low, close, volume, price
        return self.take_row(tick)

    cdef double take_row(self, const double* tick) except? -1:
        cdef indicator_t* node = &self.node
        self.idle()
        sweep_one(&node, 1, tick, self.demands, self.last)
        return self.last[0]

    def on_bar(self, Bar bar not None) -> float:
        """Take in a bar; returns `value`. Raises ValueError for numbers it cannot take, RuntimeError for a member of a set."""
        cdef double[FIELDS] tick
        read_bar(&bar.r, bar.unit, tick)
        return self.take_row(tick)

    def reset(self) -> None:
        """Forget everything. Raises RuntimeError for a member of a set."""
        self.idle()
        restart(&self.node, self.last)

    @property
    def value(self) -> float:
        """The first output as of the last update; NaN in the warm-up."""
        return self.out[0]

    @property
    def values(self) -> tuple:
        """All outputs, in the order that the class states."""
        cdef uint32_t k
        return tuple([self.out[k] for k in range(self.node.outputs)])

    @property
    def ready(self) -> bool:
        """The warm-up is over."""
        return self.node.left == 0

    @property
    def warmup(self) -> int:
        """How many updates give NaN."""
        return self.node.warmup


cdef class OfValues(Indicator):
    """Indicators of one series: prices as a rule, the closes of bars."""

    def update(self, value) -> float:
        """Take in a value; returns `value`. Raises ValueError for one that is not a finite number, or not above 0 for logarithms."""
        cdef double x = number(value)
        return self.take(x, x, x, 0, x)

    def apply(self, values):
        """Take in an array, or the closes of bar_dtype rows; an array of float64 for each output. Goes on where it stood."""
        return self.run_bars(values, 9) if _are_bars(values) else self.run(None, None, values, None)


cdef class OfBars(Indicator):
    """Indicators of high, low and close."""

    def __cinit__(self):
        self.demands = HIGH_AND_LOW

    def update(self, high, low, close) -> float:
        """Take in a bar; returns `value`. Raises ValueError for what is not a finite number."""
        cdef double last = number(close)
        return self.take(number(high), number(low), last, 0, last)

    def apply(self, high, low=None, close=None):
        """Take in three arrays, or bar_dtype rows alone; an array of float64 for each output. Goes on where it stood."""
        if _are_bars(high):
            _alone(low, close)
            return self.run_bars(high, 9)
        if low is None or close is None:
            raise ValueError("high, low and close, or bars: one of the three is missing")
        return self.run(high, low, close, None)


cdef class OfVolume(Indicator):
    """Indicators of price and volume."""

    def update(self, price, volume) -> float:
        """Take in a price and what was traded at it; returns `value`. Raises ValueError for no number or a volume below 0."""
        cdef double x = number(price)
        return self.take(x, x, x, number(volume), x)

    def apply(self, price, volume=None, *, int qty_exp=9):
        """Take in two arrays, or bar_dtype rows alone (volumes in 10^-qty_exp); an array of float64. Goes on where it stood."""
        if _are_bars(price):
            _alone(volume, None)
            return self.run_bars(price, qty_exp)
        if volume is None:
            raise ValueError("prices want the volume of each")
        return self.run(None, None, price, volume)


# ---------------------------------------------------------------------------------------------------- averages
@cython.final
cdef class SMA(OfValues):
    """Simple moving average: the mean of the last `period` values. Warm-up: period - 1. As TA-Lib's SMA."""

    def __cinit__(self, period=20):
        self.start(KIND_SMA, 1, _period(period, 1) - 1, period)
        self.moments()


@cython.final
cdef class EMA(OfValues):
    """Exponential moving average: e += 2 / (period + 1) * (x - e), from the mean of the first `period` values on.

    Warm-up: period - 1. As TA-Lib's EMA.
    """

    def __cinit__(self, period=20):
        self.start(KIND_EMA, 1, _period(period, 1) - 1, period)


@cython.final
cdef class WMA(OfValues):
    """Weighted moving average: weights 1, 2 ... `period`, the newest the heaviest. Warm-up: period - 1. As TA-Lib's WMA."""

    def __cinit__(self, period=20):
        self.start(KIND_WMA, 1, _period(period, 1) - 1, period)
        self.windows(period)


@cython.final
cdef class MACD(OfValues):
    """Moving average convergence/divergence (Appel): EMA(fast) - EMA(slow), the EMA(signal) of that, and their difference.

    Outputs: macd, signal, histogram. Both averages begin with the mean that ends at the `slow`-th value, the signal with the mean of
    its first values. Warm-up: slow + signal - 2. As TA-Lib's MACD. Raises ValueError unless fast < slow.
    """

    def __cinit__(self, fast=12, slow=26, signal=9):
        if not _period(fast, 1) < _period(slow, 2):
            raise ValueError(f"fast {fast} is not below slow {slow}")
        self.start(KIND_MACD, 3, slow + _period(signal, 1) - 2, fast, slow, signal)

    @property
    def signal(self) -> float:
        return self.out[1]

    @property
    def histogram(self) -> float:
        return self.out[2]


@cython.final
cdef class VWAP(OfVolume):
    """Volume-weighted average price: sum(price * volume) / sum(volume) over the last `period` updates, or 0: since the last reset.

    A bar counts with its own vwap. Where nothing was traded: the last price. Warm-up: period - 1, or none.
    """

    def __cinit__(self, period=0):
        self.demands = NOT_BELOW_ZERO
        self.start(KIND_VWAP, 1, _period(period, 1) - 1 if period != 0 else 0, period)
        if period:
            self.windows(period)


# ---------------------------------------------------------------------------------------------------- momentum
@cython.final
cdef class RSI(OfValues):
    """Relative strength index (Wilder 1978): 100 * gains / (gains + losses), both Wilder's averages of the changes.

    Wilder's average is that of the first `period` changes, then a += (x - a) / period. 0 where nothing ever moved.
    Warm-up: period. As TA-Lib's RSI.
    """

    def __cinit__(self, period=14):
        self.start(KIND_RSI, 1, _period(period, 2), period)


@cython.final
cdef class Stochastic(OfBars):
    """Stochastic oscillator (Lane): %K = 100 * (close - lowest) / (highest - lowest) of `period` bars, averaged over `slow`.

    Outputs: k, d; d is the mean of k over `signal`. 0 where highest = lowest. Warm-up: period + slow + signal - 3. As TA-Lib's STOCH
    with simple averages.
    """

    def __cinit__(self, period=14, slow=3, signal=3):
        warmup = _period(period, 1) + _period(slow, 1) + _period(signal, 1) - 3
        self.start(KIND_STOCHASTIC, 2, warmup, period, slow, signal)
        self.windows(period, slow, signal)

    @property
    def k(self) -> float:
        return self.out[0]

    @property
    def d(self) -> float:
        return self.out[1]


@cython.final
cdef class ADX(OfBars):
    """Average directional index (Wilder 1978): Wilder's average of 100 * |+DI - -DI| / (+DI + -DI).

    Outputs: adx, plus (+DI), minus (-DI). Warm-up: 2 * period - 1, of all three. As TA-Lib's ADX, PLUS_DI and MINUS_DI.
    """

    def __cinit__(self, period=14):
        self.start(KIND_ADX, 3, 2 * _period(period, 2) - 1, period)

    @property
    def plus(self) -> float:
        return self.out[1]

    @property
    def minus(self) -> float:
        return self.out[2]


@cython.final
cdef class CCI(OfBars):
    """Commodity channel index (Lambert 1980): (x - mean) / (0.015 * mean of |x - mean|), x = (high + low + close) / 3.

    Costs `period` additions an update. 0 where nothing moved. Warm-up: period - 1. As TA-Lib's CCI.
    """

    def __cinit__(self, period=20):
        self.start(KIND_CCI, 1, _period(period, 2) - 1, period)
        self.windows(period, period)


@cython.final
cdef class ROC(OfValues):
    """Rate of change, percent: 100 * (x / x of `period` updates ago - 1); 0 where that was 0. Warm-up: period. As TA-Lib's ROC."""

    def __cinit__(self, period=10):
        self.start(KIND_ROC, 1, _period(period, 1), period)
        self.windows(period)
        self.node.a = 100


@cython.final
cdef class OBV(OfVolume):
    """On-balance volume (Granville): the first volume, plus that of a rise, minus that of a fall. No warm-up. As TA-Lib's OBV."""

    def __cinit__(self):
        self.demands = NOT_BELOW_ZERO
        self.start(KIND_OBV, 1, 0, 0)


# ---------------------------------------------------------------------------------------------------- width
@cython.final
cdef class Bollinger(OfValues):
    """Bollinger bands: the mean of `period` values, and `width` standard deviations (of the population) above and below it.

    Outputs: middle, upper, lower. Warm-up: period - 1. As TA-Lib's BBANDS, which gives upper, middle, lower.
    """

    def __cinit__(self, period=20, double width=2.0):
        if not 0 < width <= 1e100:
            raise ValueError(f"a width is above 0, not {width}")
        self.start(KIND_BOLLINGER, 3, _period(period, 2) - 1, period)
        self.moments()
        self.node.a = width

    @property
    def middle(self) -> float:
        return self.out[0]

    @property
    def upper(self) -> float:
        return self.out[1]

    @property
    def lower(self) -> float:
        return self.out[2]


@cython.final
cdef class ATR(OfBars):
    """Average true range (Wilder 1978): Wilder's average of max(high, close before) - min(low, close before).

    The first bar has no close before it and counts for nothing else. Warm-up: period. As TA-Lib's ATR.
    """

    def __cinit__(self, period=14):
        self.start(KIND_ATR, 1, _period(period, 1), period)


@cython.final
cdef class Deviation(OfValues):
    """Rolling standard deviation: sqrt(sum((x - mean)^2) / (period - ddof)). Warm-up: period - 1. With ddof 0 as TA-Lib's STDDEV."""

    def __cinit__(self, period=20, uint32_t ddof=0):
        self.start(KIND_DEVIATION, 1, _period(period, ddof + 1) - 1, period)
        self.moments()
        self.node.a = 1.0 / (self.node.n - ddof)


@cython.final
cdef class ZScore(OfValues):
    """How many rolling standard deviations (see Deviation) the value is above the rolling mean; 0 where nothing moved."""

    def __cinit__(self, period=20, uint32_t ddof=0):
        self.start(KIND_Z_SCORE, 1, _period(period, ddof + 1) - 1, period)
        self.moments()
        self.node.a = 1.0 / (self.node.n - ddof)


@cython.final
cdef class Returns(OfValues):
    """x / x of `period` updates ago - 1 (0 where that was 0), or with `log` the logarithm of the ratio (values above 0).

    Warm-up: period.
    """

    def __cinit__(self, period=1, bint log=False):
        self.demands = ABOVE_ZERO if log else 0
        self.start(KIND_LOG_RETURNS if log else KIND_RETURNS, 1, _period(period, 1), period)
        self.windows(period)
        self.node.a = 1


@cython.final
cdef class RealisedVolatility(OfValues):
    """Realised volatility (Andersen, Bollerslev et al. 2003): sqrt of the sum of the last `period` squared logarithmic returns.

    `a_year`, how many updates a year has, scales it to a year: sqrt(sum * a_year / period); 0: not. Warm-up: period.
    """

    def __cinit__(self, period=20, double a_year=0):
        if not 0 <= a_year <= 1e100:
            raise ValueError(f"a year has 0 or more updates, not {a_year}")
        self.demands = ABOVE_ZERO
        self.start(KIND_VOLATILITY, 1, _period(period, 1), period)
        self.windows(period)
        self.node.a = a_year / self.node.n if a_year else 1


# ---------------------------------------------------------------------------------------------------- all at once
@cython.final
cdef class IndicatorSet:
    """Indicators that one call updates; bit for bit what each alone would give.

    Members must be fresh and belong to no other set; from then on the set alone updates them, `value` and the like read as before.
    Those of a rolling mean over the same period share one window. Raises ValueError for members that are not fresh.
    """

    def __cinit__(self, *members):
        cdef Indicator each
        cdef uint32_t k, outputs = 0
        cdef double[::1] memory
        if not members:
            raise ValueError("a set without indicators")
        for k, each in enumerate(members):
            if each.home is not None or each.node.left != each.node.warmup + 1 or each in members[:k]:
                raise ValueError(f"{type(each).__name__} number {k} is in a set already, or has been updated")
            outputs += each.node.outputs
        self.nodes = <indicator_t**>calloc(len(members), sizeof(indicator_t*))
        store = np.full(outputs, NAN)
        self.view = store[:]
        self.view.flags.writeable = False
        memory = store
        self.store = <double*>&memory[0]
        if self.nodes == NULL:
            raise MemoryError("no memory for a set")
        self.members = members
        for each in members:
            each.home = self
            each.node.at = self.outputs
            each.out = self.store + self.outputs
            self.outputs += each.node.outputs
            self.demands |= each.demands
            self._share(&each.node)
            self.nodes[self.count] = &each.node
            self.count += 1

    cdef void _share(self, indicator_t* node) noexcept nogil:
        cdef uint32_t j
        if not node.leads:
            return
        for j in range(self.count):
            if self.nodes[j].leads and self.nodes[j].n == node.n:
                node.leads = False
                node.moments = self.nodes[j].moments
                return

    def __dealloc__(self):
        free(self.nodes)

    cdef int need(self, object low, object close) except -1:
        if (low is None) != (close is None):
            raise ValueError("one series, or high, low and close: one of the three is missing")
        if low is None and self.demands & HIGH_AND_LOW:
            raise ValueError("a member wants high, low and close")
        return 0

    cdef object take(self, const double* tick):
        sweep_one(self.nodes, self.count, tick, self.demands, self.store)
        return self.view

    def update(self, high, low=None, close=None, volume=0.0):
        """Take in one value, or high, low, close and volume; returns `values`. Raises ValueError for numbers it cannot take."""
        cdef double[FIELDS] tick
        self.need(low, close)
        tick[HIGH] = tick[LOW] = tick[CLOSE] = tick[PRICE] = number(high)
        tick[VOLUME] = number(volume)
        if close is not None:
            tick[LOW], tick[CLOSE] = number(low), number(close)
            tick[PRICE] = (tick[HIGH] + tick[LOW] + tick[CLOSE]) / 3
        return self.take(tick)

    def on_bar(self, Bar bar not None):
        """Take in a bar; returns `values`. Raises ValueError for numbers it cannot take."""
        cdef double[FIELDS] tick
        read_bar(&bar.r, bar.unit, tick)
        return self.take(tick)

    def apply(self, high, low=None, close=None, volume=None, *, int qty_exp=9, out=None):
        """Take in one array of values, three or four of bars, or bar_dtype rows (volumes in 10^-qty_exp), without the GIL.

        Returns an array of float64, a row for each, its columns as `values`; `out`, if given, is that array. Goes on where it stood.
        """
        n = len(high)
        rows = np.empty((n, self.outputs)) if out is None else out
        if rows.shape != (n, self.outputs):
            raise ValueError(f"out is {rows.shape}, not {(n, self.outputs)}")
        if _are_bars(high):
            _alone(low, close)
            _alone(volume, None)
            sweep_bars(self.nodes, self.count, high, qty_exp, self.demands, rows, self.store)
            return rows
        self.need(low, close)
        if out is not None:            # blocks are written before the next are read
            high, low, close, volume = [_off(x, out) for x in (high, low, close, volume)]
        if close is None:
            sweep(self.nodes, self.count, None, None, high, volume, self.demands, rows, self.store)
        else:
            sweep(self.nodes, self.count, high, low, close, volume, self.demands, rows, self.store)
        return rows

    def reset(self) -> None:
        """Forget everything."""
        cdef uint32_t j
        for j in range(self.count):
            restart(self.nodes[j], self.store + self.nodes[j].at)

    @property
    def values(self):
        """The outputs of all members in their order, as of the last update: a read-only view that the next update changes."""
        return self.view

    @property
    def ready(self) -> bool:
        """The warm-up of all members is over."""
        cdef uint32_t j
        for j in range(self.count):
            if self.nodes[j].left > 0:
                return False
        return True

    @property
    def warmup(self) -> int:
        """How many updates give NaN in some output."""
        return max([each.warmup for each in self.members])
