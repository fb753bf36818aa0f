"""Compiled strategies that tests/strategies/twins_in_python.py has in Python: the same orders from the same data."""
from libc.stdint cimport int64_t, uint32_t, uint64_t
from libc.string cimport memset

from pyrt._core.book cimport book_t, book_walk, walk_t
from pyrt._core.strategy cimport TIF_IOC, VERB_ORDER, CompiledStrategy, intent_t, working_t
from pyrt._core.types cimport SIDE_BUY, SIDE_SELL, quote_t, trade_t

from pyrt import Strategy


cdef class _Momentum(CompiledStrategy):
    cdef int64_t last_px
    cdef int ups

    cdef int on_trade(self, const trade_t* trade) except -1 nogil:
        self.ups = self.ups + 1 if trade.px > self.last_px else 0
        self.last_px = trade.px
        if self.open_orders(trade.instrument):
            return 0
        if self.ups >= 2 and self.position(trade.instrument) == 0:
            self.buy(trade.instrument, 3 * self.instruments[0].one, 0)
        elif self.ups == 0 and self.position(trade.instrument):
            self.close(trade.instrument)
        return 0


class Momentum(_Momentum, Strategy):
    symbols = ("AAPL",)


cdef class _Quoter(CompiledStrategy):
    cdef uint64_t mine
    cdef int64_t seen, since, patience
    cdef public int filled

    def on_start(self):
        self.patience = self.quotes

    def on_fill(self, order, fill):
        self.filled += 1
        if self.filled % 5 == 0:
            self.extra()

    cdef int on_quote(self, const quote_t* quote) except -1 nogil:
        cdef const working_t* order = self.order(self.mine)
        cdef int64_t held = self.position(quote.instrument)
        cdef intent_t exit
        self.seen += 1
        if order == NULL:
            if held > 0:
                memset(&exit, 0, sizeof(exit))
                exit.verb, exit.instrument, exit.side, exit.qty = VERB_ORDER, quote.instrument, SIDE_SELL, held
                exit.limit_px, exit.reduce_only = quote.ask_px, True
                self.mine = self.ask(&exit)
            else:
                self.mine = self.buy(quote.instrument, 5 * self.instruments[0].one, quote.bid_px)
            self.since = self.seen
        elif order.status in (4, 5) and self.seen - self.since >= self.patience:
            if self.seen % 2:
                self.cancel(self.mine)
            else:
                self.mine = self.replace(self.mine, 0, quote.bid_px if order.side == SIDE_BUY else quote.ask_px)
            self.since = self.seen
        return 0


class Quoter(_Quoter, Strategy):
    symbols = ("AAPL",)
    quotes = 12

    def extra(self):
        self.buy(self.symbols[0], 1)


cdef class _Leaner(CompiledStrategy):
    cdef int on_book(self, uint32_t instrument, const book_t* book) except -1 nogil:
        cdef intent_t intent
        cdef walk_t walk
        if self.open_orders(instrument):
            return 0
        memset(&intent, 0, sizeof(intent))
        intent.verb, intent.instrument, intent.tif = VERB_ORDER, instrument, TIF_IOC
        if self.position(instrument) > 0:
            intent.side, intent.qty = SIDE_SELL, self.position(instrument)
            self.ask(&intent)
            return 0
        if book.bid.qty <= 2 * book.ask.qty or book.ask.qty == 0:
            return 0
        walk = book_walk(book, SIDE_BUY, self.instruments[0].one // 10)
        intent.side, intent.qty, intent.limit_px = SIDE_BUY, self.instruments[0].one // 10, walk.worst_px
        self.ask(&intent)
        return 0


class Leaner(_Leaner, Strategy):
    symbols = ("BTC/USD",)


cdef class _Faulty(CompiledStrategy):
    cdef int seen

    cdef int on_trade(self, const trade_t* trade) except -1 nogil:
        self.seen += 1
        if self.seen == 1:
            self.buy(trade.instrument, self.instruments[0].one, 0)
        if self.seen == 40:
            self.buy(trade.instrument, self.instruments[0].one, 0)
            with gil:
                raise ValueError("enough")
        return 0


class Faulty(_Faulty, Strategy):
    symbols = ("AAPL",)


cdef class _Greedy(CompiledStrategy):
    """Wrong in the way that `mistake` says, once."""

    cdef int64_t mistake
    cdef bint done

    def on_start(self):
        self.mistake = self.how

    cdef int on_trade(self, const trade_t* trade) except -1 nogil:
        cdef int64_t zero = 0
        if self.done:
            return 0
        self.done = True
        if self.mistake == 0:
            for _ in range(300):
                self.buy(trade.instrument, self.instruments[0].one, 0)
        elif self.mistake == 1:
            self.buy(trade.instrument, self.instruments[0].one, trade.px + 1)
        elif self.mistake == 2:
            self.replace(77, 0, trade.px)
        elif self.mistake == 3:
            self.seen(trade.px // zero)
        elif self.mistake == 4 and self.book(4_000_000_000) == NULL and self.ref(4_000_000_000).last_px == 0:
            with gil:
                raise LookupError("no such instrument")
        return 0

    cdef void seen(self, int64_t px) noexcept nogil:
        pass


class Greedy(_Greedy, Strategy):
    symbols = ("AAPL",)
    how = 0


cdef class _Mixer(CompiledStrategy):
    """Verbs in C from callbacks in Python, and those of Python from callbacks in C, in every order."""

    cdef int64_t seen, fills

    def on_fill(self, order, fill):
        cdef uint32_t instrument = self.instruments[0].id
        self.fills += 1
        if self.fills % 3 == 0:
            self.sell(instrument, self.instruments[0].one, 0)
            self.more(1)
        elif self.fills % 3 == 1 and self.position(instrument) > 0:
            self.sell(instrument, self.instruments[0].one, 0)

    cdef int on_quote(self, const quote_t* quote) except -1 nogil:
        self.seen += 1
        if self.open_orders(quote.instrument) > 4:
            return 0
        if self.seen % 12 == 3:
            with gil:
                self.more(1)
            self.buy(quote.instrument, self.instruments[0].one, quote.ask_px)
        elif self.seen % 12 == 6:
            self.buy(quote.instrument, self.instruments[0].one, quote.ask_px)
            with gil:
                self.more(2)
        elif self.seen % 12 == 9:
            with gil:
                self.more(1)
        return 0


class Mixer(_Mixer, Strategy):
    symbols = ("AAPL",)

    def more(self, quantity):
        self.buy(self.symbols[0], quantity)
        self.set_timer("more", 0.5)

    def on_timer(self, name):
        self.buy(self.symbols[0], 3)
