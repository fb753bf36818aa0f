"""pyrt.strategies.SmaCross, compiled: long while the fast average of closes is above the slow one.

    python -m pyrt build averages.pyx
    python -m pyrt backtest averages.pyx --data prices.csv --symbols AAPL
"""
from libc.stdint cimport int64_t

from pyrt._core.strategy cimport CompiledStrategy
from pyrt._core.types cimport bar_t

from pyrt import Strategy


cdef class Averages(CompiledStrategy):
    cdef Py_ssize_t short_n, long_n
    cdef int64_t shares

    def on_start(self):
        self.short_n, self.long_n, self.shares = self.fast, self.slow, int(self.quantity)

    cdef int on_bar(self, const bar_t* bar) except -1 nogil:
        cdef Py_ssize_t i, n = self.long_n
        cdef int64_t long_sum = 0, short_sum = 0
        cdef const bar_t* seen = self.bars(bar.instrument, &n)
        if bar.revision or n < self.long_n or self.open_orders(bar.instrument):
            return 0
        for i in range(n):
            long_sum += seen[i].close_px
        for i in range(n - self.short_n, n):
            short_sum += seen[i].close_px
        if short_sum * self.long_n > long_sum * self.short_n:
            if self.position(bar.instrument) == 0:
                self.buy(bar.instrument, self.shares * self.instruments[self.place(bar.instrument)].one, 0)
        elif self.position(bar.instrument) != 0:
            self.close(bar.instrument)
        return 0


class SmaCross(Averages, Strategy):
    """Buys when the fast average of closes crosses above the slow one, and closes when it crosses back."""

    symbols = ("AAPL", "MSFT")
    interval = "1s"
    fast = 5
    slow = 20
    quantity = "10"
    warmup = 20
