"""The strategies of bench/rows/strategy.py that are compiled."""
from libc.stdint cimport int64_t

from pyrt._core.strategy cimport CompiledStrategy
from pyrt._core.types cimport quote_t

from pyrt import Strategy


cdef class _Mid(CompiledStrategy):
    cdef public int64_t total

    cdef int on_quote(self, const quote_t* quote) except -1 nogil:
        self.total += (quote.bid_px + quote.ask_px) >> 1
        return 0


class Mid(_Mid, Strategy):
    symbols = ("AAA",)


cdef class _Taker(CompiledStrategy):
    cdef int on_quote(self, const quote_t* quote) except -1 nogil:
        cdef int64_t held = self.position(quote.instrument)
        if self.open_orders(quote.instrument):
            return 0
        if held:
            self.sell(quote.instrument, held, quote.bid_px)
        else:
            self.buy(quote.instrument, 10 * self.instruments[0].one, quote.ask_px)
        return 0


class Taker(_Taker, Strategy):
    symbols = ("AAA",)
