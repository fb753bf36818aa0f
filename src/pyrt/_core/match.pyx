"""Price-time matching of our participants' orders against a market that is told by records.

The external market (QUOTE or DELTA, TRADE, STATUS) goes its recorded way; our orders meet it like this:

* An order that can trade on arrival takes what is displayed, level by level, at the displayed prices. What was taken of a
  level stays taken until the displayed size of that level changes, so no size is sold twice.
* A limit order that rests has the displayed size of its level before it. Trades at its price and a shrinking level shorten that
  queue (those who cancel are taken to stand behind us, or, with queue="proportional", all over the level); what a trade has beyond the queue fills us. A price that is not
  displayed has an unknown queue: such an order fills by a trade at its price only after its level was displayed or became
  the best. A trade through its price fills it, up to the trade's size. An opposite level that comes to its price fills
  it, up to the displayed size. It always trades at its own price.
* An order that found too little at prices it accepts sweeps: it takes what is displayed next, at the displayed prices and not
  from prints. A limit order stops sweeping, and rests, when the best displayed price is beyond its limit.
* Stops trigger on trades that may set a price, buys before sells, the nearest stop first, and then act as new arrivals. A
  trailing stop follows the best such trade since it works; when it moves, it stands behind those that are at its new price.
* An order by money takes at each price as much as its money still pays for, rounded down to the quantity's unit, and is done
  when what is left pays for no unit at that price.
* Orders of two owners meet at the price of the one that rested; at one price the external market goes first. Orders of one
  owner pass through each other.
* While an instrument is halted nothing trades and nothing triggers.
"""
import cython
import numpy as np

from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytes cimport PyBytes_FromStringAndSize
from libc.stdlib cimport calloc, free, realloc

from pyrt._core.pit cimport (
    ANY, QUEUE_PESSIMISTIC, QUEUE_PROPORTIONAL, affords, best_left, erase, find_level, insert, levels_t, place_of, px_of, queue_ahead,
    queue_t, reaches, room, set_level, set_top, sweeps, trail_key, trails,
)
from pyrt._core.types cimport (
    ACTION_CLEAR, ACTION_SET, FLAG_CORRECTED, FLAG_INELIGIBLE, FLAG_LAST, SIDE_BUY, SIDE_SELL, STATE_TRADING, TYPE_DELTA, TYPE_QUOTE,
    TYPE_STATUS, TYPE_TRADE, i128, status_t,
)


cdef int64_t BILLION = 1_000_000_000

QUEUES = {"pessimistic": QUEUE_PESSIMISTIC, "proportional": QUEUE_PROPORTIONAL}
FILL = EXEC_FILL
CANCELED = EXEC_CANCELED
TRIGGERED = EXEC_TRIGGERED

execution_dtype = np.dtype([("order", "<u8"), ("contra", "<u8"), ("px", "<i8"), ("qty", "<i8"), ("leaves", "<i8"), ("ts", "<i8"),
                            ("instrument", "<u4"), ("kind", "u1"), ("maker", "u1"), ("reserved", "<u2")])
assert execution_dtype.itemsize == sizeof(execution_t)


# ---------------------------------------------------------------------------------------------------- the matcher
@cython.final
cdef class Matcher:
    """The orders of one venue and the external market they meet, by instrument id.

    Orders are known by the caller's numbers. Verbs leave their executions, in the order in which they happened, in a buffer
    that `take()` empties. `queue` says who of a shrinking level canceled. Raises KeyError for an instrument that was not added, MemoryError where no memory is left.
    """

    def __cinit__(self, instruments=(), queue="pessimistic"):
        if queue not in QUEUES:
            raise ValueError(f"queue is one of {', '.join(QUEUES)}")
        self._queue = QUEUES[queue]
        for instrument in instruments:
            self.add(instrument)

    def __dealloc__(self):
        cdef Py_ssize_t i
        cdef int s
        for i in range(self._size):
            if self._pits[i] != NULL:
                for s in range(2):
                    free(self._pits[i].levels[s].rows)
                    free(self._pits[i].resting[s].rows)
                    free(self._pits[i].stops[s].rows)
                free(self._pits[i])
        free(self._pits)
        free(self._out.rows)

    def add(self, uint32_t instrument):
        """Trade another instrument; ids are small, the table is as long as the greatest."""
        cdef pit_t** table
        cdef Py_ssize_t i, size = instrument + 1
        if size > self._size:
            table = <pit_t**>realloc(self._pits, size * sizeof(pit_t*))
            if table == NULL:
                raise MemoryError
            for i in range(self._size, size):
                table[i] = NULL
            self._pits = table
            self._size = size
        if self._pits[instrument] == NULL:
            self._pits[instrument] = <pit_t*>calloc(1, sizeof(pit_t))
            if self._pits[instrument] == NULL:
                raise MemoryError
            self._pits[instrument].instrument = instrument

    # ------------------------------------------------------------------------------------------------ market in
    def market(self, records):
        """Take in an array of 64-byte market records in time order; others' instruments and types are passed over.

        Returns how many executions wait in take().
        """
        self._run(records, 0, False)
        return self._waiting()

    def run(self, records, Py_ssize_t start=0):
        """Take in records from `start` on, up to and with the first that causes executions.

        Returns the index after the last one taken in: what follows from the executions comes before the next record.
        """
        cdef Py_ssize_t end = self._run(records, start, True)
        self._waiting()
        return end

    cdef Py_ssize_t _run(self, records, Py_ssize_t start, bint stops) except -1:
        cdef Py_buffer view
        cdef Py_ssize_t i = start, n
        cdef const market_t* rows
        PyObject_GetBuffer(records, &view, PyBUF_SIMPLE)
        try:
            if view.len % sizeof(market_t) or start < 0:
                raise ValueError("market records have 64 bytes each")
            n = view.len // sizeof(market_t)
            rows = <const market_t*>view.buf
            with nogil:
                while i < n and not (stops and self._out.n and i > start):
                    self.record(&rows[i])
                    i += 1
        finally:
            PyBuffer_Release(&view)
        return i

    cdef void record(self, const market_t* r) noexcept nogil:
        cdef pit_t* p
        cdef bint halted
        if r.header.instrument >= self._size:
            return
        p = self._pits[r.header.instrument]
        if p == NULL:
            return
        if r.header.type == TYPE_QUOTE:
            if not p.depth:
                self.quote(p, &r.quote)
        elif r.header.type == TYPE_DELTA:
            self.delta(p, &r.delta)
        elif r.header.type == TYPE_TRADE:
            self.trade(p, &r.trade)
        elif r.header.type == TYPE_STATUS and r.status.state != 0:
            halted = p.halted
            p.halted = r.status.state != STATE_TRADING
            if halted:
                self.meet(p, 0, r.header.ts_event)
                self.meet(p, 1, r.header.ts_event)

    cdef void quote(self, pit_t* p, const quote_t* q) noexcept nogil:
        p.told = True
        if not (set_top(p, 0, q.bid_px, q.bid_qty, self._queue) and set_top(p, 1, q.ask_px, q.ask_qty, self._queue)):
            self._failed = True
        self.meet(p, 0, q.ts_event)
        self.meet(p, 1, q.ts_event)

    cdef void delta(self, pit_t* p, const delta_t* d) noexcept nogil:
        cdef int s = d.side - 1
        if not p.depth:
            p.told = p.depth = True
            p.levels[0].n = p.levels[1].n = 0
        if d.action == ACTION_CLEAR:
            p.levels[0].n = p.levels[1].n = 0
        elif d.action == ACTION_SET and (s == 0 or s == 1) and d.px > 0:
            if not set_level(p, s, d.px if s == 0 else -d.px, d.qty, self._queue):
                self._failed = True
        if d.flags & FLAG_LAST:         # before it the levels of one event may cross each other
            self.meet(p, 0, d.ts_event)
            self.meet(p, 1, d.ts_event)

    cdef void trade(self, pit_t* p, const trade_t* t) noexcept nogil:
        cdef int s
        cdef int64_t key, left, fill
        cdef Py_ssize_t i
        cdef resting_t* o
        cdef queue_t* q
        if t.flags & (FLAG_INELIGIBLE | FLAG_CORRECTED) or t.px <= 0:   # a corrected print was told before: nobody trades on it again
            return
        p.last_px = t.px
        p.last_ts = t.ts_event
        if p.halted:
            return
        left = t.qty
        for s in range(2):
            q = &p.resting[s]
            key = t.px if s == 0 else -t.px
            if self._queue == QUEUE_PROPORTIONAL and t.taker != s + 1:
                i = find_level(&p.levels[s], key)
                if i < p.levels[s].n and p.levels[s].rows[i].key == key:
                    p.levels[s].rows[i].traded += t.qty
            i = q.n - 1
            while i >= 0 and q.rows[i].key >= key:
                o = &q.rows[i]
                if not o.sweeping and (o.key > key or t.taker != s + 1):
                    if o.key > key:
                        o.ahead = 0
                        fill = min(left, o.leaves)
                    elif o.ahead < 0:
                        fill = 0
                    else:
                        fill = min(max(left - o.ahead, 0), o.leaves)
                        o.ahead -= min(o.ahead, left - fill)
                    if fill > 0:
                        left -= fill
                        self.emit(p, o, EXEC_FILL, o.limit_px, fill, 0, True, t.ts_event)
                        if o.leaves == 0:
                            erase(q, i)
                i -= 1
        for s in range(2):
            if p.stops[s].trailers:
                self.follow(p, s, t.px)
            self.trigger(p, s, t.px, t.ts_event)

    cdef void follow(self, pit_t* p, int s, int64_t px) noexcept nogil:
        # Trailing stops move towards the market only, so their keys only grow.
        cdef queue_t* q = &p.stops[s]
        cdef Py_ssize_t i, j
        cdef resting_t o
        for i in range(q.n - 1, -1, -1):
            o = q.rows[i]
            if not trails(&o) or (o.best and (px >= o.best if s == 0 else px <= o.best)):
                continue
            o.best = px
            o.key = trail_key(&o)
            j = i
            while j + 1 < q.n and q.rows[j + 1].key < o.key:
                q.rows[j] = q.rows[j + 1]
                j += 1
            q.rows[j] = o

    cdef void trigger(self, pit_t* p, int s, int64_t px, int64_t ts) noexcept nogil:
        cdef queue_t* q = &p.stops[s]
        cdef resting_t o
        cdef int64_t reached = -px if s == 0 else px
        while q.n and q.rows[q.n - 1].key >= reached:
            o = q.rows[q.n - 1]
            erase(q, q.n - 1)
            self.emit(p, &o, EXEC_TRIGGERED, px, 0, 0, False, ts)
            if trails(&o) and not self._failed:
                self._out.rows[self._out.n - 1].qty = o.best
            o.trail = o.ratio = 0
            self.enter(p, &o, ts)

    # ------------------------------------------------------------------------------------------------ orders in
    def submit(self, uint32_t instrument, uint64_t order, uint32_t owner, int side, int64_t qty, int64_t limit_px=0, int64_t stop_px=0,
               int tif=TIF_DAY, int64_t ts=0, *, int64_t trail=0, int64_t ratio=0, int64_t best=0, int64_t budget=0, int64_t one=0):
        """Enter an order: limit_px 0 = at any price, stop_px 0 = works at once, tif as model.TimeInForce.

        A trailing stop has `trail` px units or `ratio` parts of 1e9; `best` is the best price that it has seen, 0 = the last
        trade. An order by money has a `budget` in px units and `one`, the qty units of a share: it takes any price, and `qty` is
        its most. Returns how many executions wait in take(). Raises ValueError for a side, quantity or price that cannot be.
        """
        cdef pit_t* p = self._pit(instrument)
        cdef resting_t o
        if side not in (SIDE_BUY, SIDE_SELL) or qty <= 0 or limit_px < 0 or stop_px < 0:
            raise ValueError("an order has a side, a quantity above 0 and prices not below 0")
        if trail < 0 or not 0 <= ratio < BILLION or best < 0 or (trail and ratio) or (stop_px and (trail or ratio)):
            raise ValueError("a trailing stop has one distance above 0, less than the whole price, and no stop price")
        if (budget or one) and (budget <= 0 or one <= 0 or limit_px or stop_px or trail or ratio or tif == TIF_FOK):
            raise ValueError("an order by money takes any price, at once, in parts")
        o = resting_t(order=order, key=0, limit_px=limit_px, leaves=qty, ahead=0, trail=trail, ratio=ratio, best=best, budget=budget,
                      one=one, owner=owner, side=side - 1, tif=tif, sweeping=0)
        if stop_px or trail or ratio:
            o.best = best if best or stop_px else p.last_px
            o.key = trail_key(&o) if not stop_px else (-stop_px if o.side == 0 else stop_px)
            if not insert(&p.stops[o.side], &o):
                raise MemoryError
        else:
            self.enter(p, &o, ts)
        return self._waiting()

    def reduce(self, uint32_t instrument, uint64_t order, int64_t qty):
        """Take `qty` from what an order may still trade. Returns what is left of it; 0 = it is not here any more."""
        cdef pit_t* p = self._pit(instrument)
        cdef queue_t* q
        cdef Py_ssize_t i = place_of(p, order, &q)
        if i < 0 or qty < 0:
            return 0
        q.rows[i].leaves -= qty
        if q.rows[i].leaves > 0:
            return q.rows[i].leaves
        erase(q, i)
        return 0

    def cancel(self, uint32_t instrument, uint64_t order):
        """Take an order out. Returns the quantity that was left; 0 = it was not here."""
        return self.remove(self._pit(instrument), order)

    cdef void enter(self, pit_t* p, resting_t* o, int64_t ts) noexcept nogil:
        o.key = ANY if o.limit_px == 0 else (o.limit_px if o.side == 0 else -o.limit_px)
        if not p.halted and (o.tif != TIF_FOK or self.offered(p, o) >= o.leaves):
            self.take_all(p, o, ts)
        if o.leaves == 0:
            return
        if o.tif == TIF_IOC or o.tif == TIF_FOK:
            self.emit(p, o, EXEC_CANCELED, 0, o.leaves, 0, False, ts)
            return
        o.sweeping = sweeps(o, &p.levels[1 - o.side])
        o.ahead = queue_ahead(p, o) if o.limit_px else 0
        if not insert(&p.resting[o.side], o):
            self._failed = True

    cdef int64_t remove(self, pit_t* p, uint64_t order) noexcept nogil:
        cdef queue_t* q
        cdef Py_ssize_t i = place_of(p, order, &q)
        cdef int64_t left
        if i < 0:
            return 0
        left = q.rows[i].leaves
        erase(q, i)
        return left

    # ------------------------------------------------------------------------------------------------ meeting
    cdef void take_all(self, pit_t* p, resting_t* o, int64_t ts) noexcept nogil:
        # The other side of the market, best price first, the external market before our participants at one price.
        cdef int s = 1 - o.side
        cdef levels_t* v = &p.levels[s]
        cdef queue_t* q = &p.resting[s]
        cdef Py_ssize_t i, j = q.n - 1
        cdef int64_t fill, px
        while o.leaves > 0:
            i = best_left(v)
            while j >= 0 and (q.rows[j].owner == o.owner or q.rows[j].limit_px == 0):
                j -= 1
            if i >= 0 and (j < 0 or v.rows[i].key >= q.rows[j].key):
                if not reaches(o, v.rows[i].key):
                    return
                px = px_of(s, v.rows[i].key)
                fill = self.share(o, px, v.rows[i].qty - v.rows[i].taken)
                if fill == 0:
                    self.emit(p, o, EXEC_CANCELED, 0, o.leaves, 0, False, ts)
                    return
                v.rows[i].taken += fill
                self.emit(p, o, EXEC_FILL, px, fill, 0, False, ts)
            elif j >= 0 and reaches(o, q.rows[j].key):
                px = q.rows[j].limit_px
                fill = self.share(o, px, q.rows[j].leaves)
                if fill == 0:
                    self.emit(p, o, EXEC_CANCELED, 0, o.leaves, 0, False, ts)
                    return
                self.emit(p, &q.rows[j], EXEC_FILL, px, fill, o.order, True, ts)
                self.emit(p, o, EXEC_FILL, px, fill, q.rows[j].order, False, ts)
                if q.rows[j].leaves == 0:
                    erase(q, j)
                    j -= 1
            else:
                return

    cdef int64_t share(self, resting_t* o, int64_t px, int64_t offered) noexcept nogil:
        # What an order takes of an offer; money that pays for nothing more at this price leaves nothing to trade.
        cdef int64_t most = affords(o, px) if o.one else o.leaves
        cdef int64_t fill = min(most, offered)
        if o.one:
            o.budget -= <int64_t>((<i128>px * fill + o.one - 1) / o.one)
            if fill and affords(o, px) == 0:
                o.leaves = fill
        return fill

    cdef void meet(self, pit_t* p, int s, int64_t ts) noexcept nogil:
        # Our resting orders of side s after the other side of the external market changed.
        cdef queue_t* q = &p.resting[s]
        cdef levels_t* v = &p.levels[1 - s]
        cdef Py_ssize_t i, j = q.n - 1, sweepers = q.sweepers
        cdef resting_t* o
        cdef int64_t fill
        if p.halted:
            return
        while j >= 0:
            o = &q.rows[j]
            if o.sweeping:
                sweepers -= 1
                self.take_all(p, o, ts)
                if o.leaves and not sweeps(o, v):
                    o.sweeping = 0
                    q.sweepers -= 1
            else:
                i = best_left(v)
                if sweepers == 0 and (i < 0 or not reaches(o, v.rows[i].key)):
                    return
                while o.leaves > 0 and i >= 0 and reaches(o, v.rows[i].key):
                    fill = min(o.leaves, v.rows[i].qty - v.rows[i].taken)
                    v.rows[i].taken += fill
                    self.emit(p, o, EXEC_FILL, o.limit_px, fill, 0, True, ts)
                    i = best_left(v)
            if o.leaves == 0:
                erase(q, j)
            j -= 1

    cdef int64_t offered(self, pit_t* p, const resting_t* o) noexcept nogil:
        cdef levels_t* v = &p.levels[1 - o.side]
        cdef queue_t* q = &p.resting[1 - o.side]
        cdef int64_t total = 0
        cdef Py_ssize_t i
        for i in range(v.n):
            if reaches(o, v.rows[i].key):
                total += v.rows[i].qty - v.rows[i].taken
        for i in range(q.n):
            if q.rows[i].owner != o.owner and q.rows[i].limit_px and reaches(o, q.rows[i].key):
                total += q.rows[i].leaves
        return total

    # ------------------------------------------------------------------------------------------------ executions out
    cdef void emit(self, pit_t* p, resting_t* o, int kind, int64_t px, int64_t qty, uint64_t contra, bint maker, int64_t ts) noexcept nogil:
        o.leaves -= qty
        if not room(<void**>&self._out.rows, self._out.n, &self._out.cap, sizeof(execution_t)):
            self._failed = True
            return
        self._out.rows[self._out.n] = execution_t(order=o.order, contra=contra, px=px, qty=qty, leaves=o.leaves, ts=ts,
                                                  instrument=p.instrument, kind=kind, maker=maker, reserved=0)
        self._out.n += 1

    @property
    def waiting(self):
        """How many executions wait in take()."""
        return self._out.n

    def take(self):
        """The executions since the last call, in the order in which they happened, as an array of execution_dtype."""
        cdef bytes raw = PyBytes_FromStringAndSize(<char*>self._out.rows, self._out.n * sizeof(execution_t))
        self._out.n = 0
        return np.frombuffer(raw, execution_dtype)

    # ------------------------------------------------------------------------------------------------ what is there
    def top(self, uint32_t instrument):
        """Best displayed (bid_px, bid_qty, ask_px, ask_qty, last_px) in units; 0 where there is none."""
        cdef pit_t* p = self._pit(instrument)
        cdef levels_t* b = &p.levels[0]
        cdef levels_t* a = &p.levels[1]
        return (b.rows[b.n - 1].key if b.n else 0, b.rows[b.n - 1].qty if b.n else 0,
                -a.rows[a.n - 1].key if a.n else 0, a.rows[a.n - 1].qty if a.n else 0, p.last_px)

    def ahead(self, uint32_t instrument, uint64_t order):
        """The external quantity before a resting limit order; -1 = not known, None = no such order rests."""
        cdef pit_t* p = self._pit(instrument)
        cdef queue_t* q
        cdef Py_ssize_t i = place_of(p, order, &q)
        return None if i < 0 or q == &p.stops[0] or q == &p.stops[1] else q.rows[i].ahead

    def best(self, uint32_t instrument, uint64_t order):
        """The best price that a waiting trailing stop has seen; 0 = none yet, or no such order waits."""
        cdef queue_t* q
        cdef Py_ssize_t i = place_of(self._pit(instrument), order, &q)
        return 0 if i < 0 else q.rows[i].best

    cdef pit_t* _pit(self, uint32_t instrument) except NULL:
        if instrument >= self._size or self._pits[instrument] == NULL:
            raise KeyError(instrument)
        return self._pits[instrument]

    cdef Py_ssize_t _waiting(self) except -1:
        if self._failed:
            raise MemoryError("no memory for orders or executions: what this matcher holds is no longer whole")
        return self._out.n
