"""The native part of a session."""
cimport cython
from cpython.buffer cimport PyBuffer_Release
from cpython.dict cimport PyDict_GetItem
from cpython.object cimport PyObject, PyTypeObject

from pyrt._core.buffers cimport open_records
from pyrt._core.events cimport make_quote, make_trade
from pyrt._core.types cimport TYPE_QUOTE, TYPE_TRADE


cdef class Decider:
    """Whoever decides about an order without words: decides nothing itself."""

    cdef bint take_unseen(self, wish_t* wish, int64_t now, int64_t mono) noexcept nogil:
        return False

    cdef bint go(self, order, now) except -1:
        return False

    cpdef int hand_over(self, now) except -1:
        """Hand over what was decided before there is an order of it. now: on both clocks."""
        raise RuntimeError("nothing was decided")


@cython.final
cdef class Listeners:
    """Who wants the records of an instrument."""


cdef class Loop:
    """What a session is at. Whoever derives from it has _drain(), _failed(strategy, callback, error) and lane."""

    def __cinit__(self, *arguments, **named):
        self.listeners = {}

    @property
    def now(self):
        """The event's instant on both clocks, ns; see `pyrt.clock.Now`."""
        cdef object both
        if self.moved and self.instant is not None:
            # What instant(venue, mono) gives, past the __new__ that a NamedTuple has in Python.
            both = ((self.venue, self.mono),)
            self.told_now = (<PyTypeObject*>tuple).tp_new(<type>self.instant, <PyObject*>both, NULL)
            self.moved = False
        return self.told_now

    @now.setter
    def now(self, now):
        self.venue, self.mono = now[0], now[1]
        self.told_now, self.moved = now, False

    cdef void be(self, int64_t venue, int64_t mono) noexcept nogil:
        self.venue, self.mono, self.moved = venue, mono, True

    def listen(self, uint32_t instrument, str symbol not None, double unit, list trade not None, list quote not None, bint book):
        """Tell who wants an instrument's trades and quotes, as (strategy, callback), and whether they are not given here.

        They are not where some want its book too, with each quote.
        """
        cdef Listeners who = Listeners.__new__(Listeners)
        who.symbol, who.unit, who.trade, who.quote, who.book = symbol, unit, trade, quote, book
        self.listeners[instrument] = who

    def give_record(self, records, Py_ssize_t index):
        """Give the market record at `index`, which is due, to whoever wants it, and handle what that led to; False: nothing was done."""
        cdef Py_buffer view
        cdef market_t record
        cdef Py_ssize_t n = open_records(records, &view, sizeof(market_t))
        if 0 <= index < n:
            record = (<const market_t*>view.buf)[index]
        PyBuffer_Release(&view)
        if not 0 <= index < n:
            raise IndexError(f"record {index} is outside the array")
        return self.give(&record)

    cdef bint is_idle(self) except -1:
        return not (self._busy or self._told or self._calls or self._queue)

    cdef bint give(self, const market_t* record) except -1:
        cdef PyObject* found = PyDict_GetItem(self.listeners, record.header.instrument)
        cdef Listeners who
        cdef list wanted
        if found == NULL or not self.running or self._busy:
            return False
        who = <Listeners>found
        if record.header.type == TYPE_QUOTE and not who.book:
            wanted = who.quote
            event = make_quote(&record.quote, who.symbol, who.unit) if wanted else None
        elif record.header.type == TYPE_TRADE:
            wanted = who.trade
            event = make_trade(&record.trade, who.symbol, who.unit) if wanted else None
        else:
            return False
        for number, callback in wanted:
            if number in <set>self.halted:
                continue
            try:
                callback(event)
            except KeyboardInterrupt:
                raise
            except BaseException as e:                          # sys.exit() too: a strategy does not end the session
                self._failed(number, callback, e)
        self.settle_first()
        return True

    cdef int settle_first(self) except -1:
        # The first that was sent is decided before the loop begins, which then finds it done.
        if not self._queue and not self._told:
            return 0
        if self._decider is not None and self._queue and not self._told and not self._calls:
            try:
                self._decider.go(self._queue[0], self.now)
            except BaseException:
                self._queue.popleft()
                self.lane.close()
                raise
        self._drain()
        return 0
