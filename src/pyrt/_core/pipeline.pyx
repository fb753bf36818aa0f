"""The market stage as one loop over records."""
cimport cython
from cpython.buffer cimport PyBuffer_Release
from libc.stdlib cimport calloc, free, realloc
from libc.string cimport memset

import numpy as np

from pyrt._core.bars cimport (
    bars_cancel, bars_close, bars_counters, bars_free, bars_gap, bars_in_order, bars_trade, forming_rows, has_interval, set_sessions,
    start_bars, take_rows,
)
from pyrt._core.book cimport NEEDS_ROOM, OrderBook, book_apply, book_free, book_grow, book_init, book_quote, book_refuse
from pyrt._core.buffers cimport open_records
from pyrt._core.conditions cimport UPDATES_LAST, default_rules, fill_rules, trade_fields
from pyrt._core.fed cimport feed_bar
from pyrt._core.indicators cimport IndicatorSet
from pyrt._core.sampled cimport read_code
from pyrt._core.types cimport (
    CLOCK_VENUE, FLAG_BACKFILLED, FLAG_CROSSED, FLAG_GAP, FLAG_HALTED, FLAG_LAST, NO_PX, STATE_HALTED, STATE_PAUSED, STATE_QUOTING,
    STATE_TRADING, TYPE_BAR, TYPE_DELTA, TYPE_GAP, TYPE_QUOTE, TYPE_STATUS, TYPE_TIMER, TYPE_TRADE, TYPE_TRADE_CANCEL, delta_t,
    gap_t, quote_t, status_t, trade_t,
)
from pyrt._core.types import bar_dtype as _bar_dtype, ref_dtype as _ref_dtype


cdef extern from * nogil:
    bint likely "__builtin_expect"(bint, bint)


# ---------------------------------------------------------------------------------------------------- references
cdef inline void _set_flag(ref_t* ref, uint32_t flag, bint on) noexcept nogil:
    ref.flags = ref.flags | flag if on else ref.flags & ~flag


cdef inline void _refer_quote(ref_t* ref, const quote_t* quote) noexcept nogil:
    # Live quotes count in the order of their arrival; a backfilled one only where it is news.
    cdef bint backfilled = quote.flags & FLAG_BACKFILLED
    if backfilled and quote.ts_event < ref.quote_ts:
        return
    ref.bid_qty = quote.bid_qty if quote.bid_qty > 0 and quote.bid_px != NO_PX else 0
    ref.ask_qty = quote.ask_qty if quote.ask_qty > 0 and quote.ask_px != NO_PX else 0
    ref.bid_px = quote.bid_px if ref.bid_qty > 0 else NO_PX
    ref.ask_px = quote.ask_px if ref.ask_qty > 0 else NO_PX
    ref.quote_ts = quote.ts_event
    _set_flag(ref, FLAG_CROSSED, ref.bid_qty > 0 and ref.ask_qty > 0 and ref.bid_px > ref.ask_px)
    if not backfilled or quote.flags & FLAG_LAST:
        ref.flags &= ~<uint32_t>FLAG_GAP                # the whole top of the market, as of now


cdef inline void _quote(book_t* book, ref_t* ref, const quote_t* quote) noexcept nogil:
    # A live quote of both sides says the same to the top of a book and to the reference: each field is read once.
    cdef int64_t bid_px = quote.bid_px, ask_px = quote.ask_px, bid_qty = quote.bid_qty, ask_qty = quote.ask_qty
    cdef int64_t at = quote.ts_event
    if not likely(bid_qty > 0 and ask_qty > 0 and bid_px != NO_PX and ask_px != NO_PX and not book.depth
                  and not quote.flags & FLAG_BACKFILLED, True):
        book_quote(book, quote)
        _refer_quote(ref, quote)
        return
    book.ts = at
    book.gap = False
    book.bid.px, book.bid.qty, book.ask.px, book.ask.qty = bid_px, bid_qty, ask_px, ask_qty
    ref.bid_px, ref.ask_px, ref.bid_qty, ref.ask_qty = bid_px, ask_px, bid_qty, ask_qty
    ref.quote_ts = at
    ref.flags = ref.flags & ~<uint32_t>(FLAG_GAP | FLAG_CROSSED) | <uint32_t>(bid_px > ask_px) * FLAG_CROSSED


cdef inline void _refer_book(ref_t* ref, const book_t* book) noexcept nogil:
    # A book that lacks something says nothing; a whole one heals.
    if book.gap or book.loading or not book.depth:
        return
    ref.bid_px, ref.bid_qty = book.bid.px, book.bid.qty
    ref.ask_px, ref.ask_qty = book.ask.px, book.ask.qty
    ref.quote_ts = book.ts
    ref.flags &= ~<uint32_t>FLAG_GAP
    _set_flag(ref, FLAG_CROSSED, ref.bid_qty > 0 and ref.ask_qty > 0 and ref.bid_px >= ref.ask_px)      # as book_flags says it


cdef inline void _refer_trade(ref_t* ref, const trade_t* trade, uint8_t fields) noexcept nogil:
    if fields & UPDATES_LAST and trade.ts_event >= ref.last_ts and trade.qty > 0 and trade.px != NO_PX:
        ref.last_px = trade.px
        ref.last_ts = trade.ts_event


cdef void _refer_status(ref_t* ref, const status_t* status) noexcept nogil:
    if status.state == STATE_TRADING:
        _set_flag(ref, FLAG_HALTED, False)
    elif status.state in (STATE_HALTED, STATE_PAUSED, STATE_QUOTING):
        _set_flag(ref, FLAG_HALTED, True)


# ---------------------------------------------------------------------------------------------------- records
cdef inline void _schedule(pipeline_t* p, uint32_t id) noexcept nogil:
    cdef int64_t at = p.slots[id].bars.next_close
    p.closes[id] = at
    if at != 0 and (p.next_close == 0 or at < p.next_close):
        p.next_close = at


cdef inline void _bars_out(pipeline_t* p, const slot_t* slot, int64_t before) noexcept nogil:
    if p.out.n != before and slot.wake >> TYPE_BAR & 1:
        p.due |= DUE_BARS


cdef void _trade_beyond(pipeline_t* p, slot_t* slot, uint32_t id, const trade_t* trade, uint8_t fields) noexcept nogil:
    # A trade that begins a window, closes a bar, or is none for bars.
    cdef int64_t before = p.out.n
    bars_trade(slot.bars, trade, fields, &p.out)
    if slot.bars.next_close != p.closes[id]:
        _schedule(p, id)
    _bars_out(p, slot, before)


cdef inline void _trade(pipeline_t* p, slot_t* slot, uint32_t id, const trade_t* trade) noexcept nogil:
    cdef uint8_t fields = trade_fields(p.rules, trade)
    _refer_trade(&p.refs[id], trade, fields)
    if slot.bars != NULL:
        slot.bars.closed_at = p.closed_at
        if not likely(bars_in_order(slot.bars, trade, fields), True):
            _trade_beyond(p, slot, id, trade, fields)


cdef void _cancel(pipeline_t* p, slot_t* slot, uint32_t id, const trade_t* trade) noexcept nogil:
    cdef ref_t* ref = &p.refs[id]
    if ref.last_px == trade.px:                         # the last price may be the one taken back: none until the next trade
        ref.last_px = 0
        ref.last_ts = 0
    if slot.bars != NULL:
        slot.bars.closed_at = p.closed_at
        bars_cancel(slot.bars, trade)
        _schedule(p, id)


cdef void _make_room(pipeline_t* p, slot_t* slot, uint32_t id, const market_t* record) noexcept nogil:
    # Off the hot path: a book's first level of depth, or more levels beyond its ladder than ever before.
    while book_grow(slot.book):
        if book_apply(slot.book, record) != NEEDS_ROOM:
            return
    book_refuse(slot.book)
    p.refs[id].flags |= FLAG_GAP


cdef void _gap(pipeline_t* p, uint32_t id, const market_t* record) noexcept nogil:
    cdef slot_t* slot = &p.slots[id]
    if not record.header.flags & FLAG_BACKFILLED:       # else trades were filled: of quotes and depth it says nothing
        p.refs[id].flags |= FLAG_GAP
        book_apply(slot.book, record)
    if slot.bars != NULL:
        slot.bars.closed_at = p.closed_at
        bars_gap(slot.bars, &record.gap)
        _schedule(p, id)
    p.due |= slot.wake >> TYPE_GAP & DUE_RECORD


cdef void pipeline_close(pipeline_t* p, int64_t at) noexcept nogil:
    cdef uint32_t id
    cdef int64_t close, before
    if at > p.closed_at:
        p.closed_at = at
    if p.next_close == 0 or at < p.next_close:
        return
    p.next_close = 0
    for id in range(p.top):
        close = p.closes[id]
        if close == 0:
            continue
        if close <= at:
            before = p.out.n
            bars_close(p.slots[id].bars, at, &p.out)
            _bars_out(p, &p.slots[id], before)
            _schedule(p, id)
        elif p.next_close == 0 or close < p.next_close:
            p.next_close = close


cdef bint _without_instrument(pipeline_t* p, const market_t* record) noexcept nogil:
    cdef uint32_t id
    if record.header.type == TYPE_TIMER:
        return p.due != 0
    if record.header.type == TYPE_GAP:                  # of the whole feed
        for id in range(p.top):
            if p.slots[id].book != NULL:
                _gap(p, id, record)
        return p.due != 0
    p.unknown += 1
    return False


cdef bint pipeline_record(pipeline_t* p, const market_t* record) noexcept nogil:
    cdef uint32_t id = record.header.instrument
    cdef uint32_t kind = record.header.type
    cdef slot_t* slot
    p.due = 0
    if kind == TYPE_TIMER and record.timer.clock == CLOCK_VENUE:
        pipeline_close(p, record.timer.at)
    if id == 0:
        return _without_instrument(p, record)
    if id >= p.top or p.slots[id].book == NULL or kind > TYPE_TRADE_CANCEL:
        p.unknown += 1
        return p.due != 0
    slot = &p.slots[id]
    if kind == TYPE_DELTA:
        if book_apply(slot.book, record) == NEEDS_ROOM:
            _make_room(p, slot, id, record)
        if not record.header.flags & FLAG_LAST:         # the rest of the event follows: no one should see half of it
            return False
        _refer_book(&p.refs[id], slot.book)
    elif kind == TYPE_QUOTE:
        book_apply(slot.book, record)
        _refer_quote(&p.refs[id], &record.quote)
    elif kind == TYPE_TRADE:
        _trade(p, slot, id, &record.trade)
    elif kind == TYPE_TRADE_CANCEL:
        _cancel(p, slot, id, &record.trade)
    elif kind == TYPE_STATUS:
        _refer_status(&p.refs[id], &record.status)
    elif kind == TYPE_GAP:
        _gap(p, id, record)
    p.due |= slot.wake >> kind & DUE_RECORD
    return p.due != 0


cdef void _feed(pipeline_t* p, int64_t first) noexcept nogil:
    # The bars from `first` on to the indicators that wait for them.
    cdef int64_t i
    for i in range(first, p.out.n):
        feed_bar(p.fed, p.slots[p.out.rows[i].instrument].fed, &p.out.rows[i])


cdef Py_ssize_t pipeline_run(pipeline_t* p, const market_t* records, Py_ssize_t i, Py_ssize_t n) noexcept nogil:
    cdef const market_t* record
    cdef slot_t* slot
    cdef int64_t before = p.out.n
    p.due = 0
    while i < n:
        record = &records[i]
        i += 1
        slot = &p.slots[record.header.instrument] if record.header.instrument < p.top else &p.slots[0]      # no book is at 0
        if likely(record.header.type == TYPE_QUOTE and slot.book != NULL, True):    # nine of ten records
            _quote(slot.book, &p.refs[record.header.instrument], &record.quote)
            p.due = slot.wake >> TYPE_QUOTE & DUE_RECORD
            if p.due:
                break
        elif pipeline_record(p, record):
            break
    if p.feds > 0 and p.out.n > before:
        _feed(p, before)
    return i


# ---------------------------------------------------------------------------------------------------- Python
cdef bint _reserve(pipeline_t* p, uint32_t capacity) noexcept nogil:
    cdef void* slots = realloc(p.slots, capacity * sizeof(slot_t))
    cdef void* closes
    cdef uint32_t id
    if slots == NULL:
        return False
    p.slots = <slot_t*>slots
    closes = realloc(p.closes, capacity * sizeof(int64_t))
    if closes == NULL:
        return False
    p.closes = <int64_t*>closes
    for id in range(p.capacity, capacity):
        memset(&p.slots[id], 0, sizeof(slot_t))
        p.closes[id] = 0
        p.refs[id].bid_px = NO_PX
        p.refs[id].ask_px = NO_PX
    p.capacity = capacity
    return True


@cython.final
cdef class Lines:
    """Zeros for many structs of one kind, one behind the other: each begins a line of the cache, and none shares one with another.

    Apart by whatever a heap puts between them they would meet in the same few sets of the cache.
    """

    def __dealloc__(self):
        cdef void* before
        while self.blocks != NULL:
            before = (<void**>self.blocks)[0]
            free(self.blocks)
            self.blocks = before

    cdef void* take(self, size_t size) except NULL:
        cdef size_t whole = (size + LINE - 1) // LINE | 1       # an odd number of lines: all sets are used alike
        cdef void* fresh = NULL
        cdef void* taken
        if self.left < whole * LINE:
            fresh = calloc(BLOCK * whole + 2, LINE)             # pages that nobody takes are never touched
            if fresh == NULL:
                raise MemoryError("no memory for an instrument")
            (<void**>fresh)[0] = self.blocks
            self.blocks = fresh
            self.at = <uint8_t*>fresh + LINE + (-<size_t>fresh & LINE - 1)
            self.left = BLOCK * whole * LINE
        taken = self.at
        self.at += whole * LINE
        self.left -= whole * LINE
        return taken


@cython.final
@cython.no_gc_clear                                  # its end still reads what Lines hold
cdef class Pipeline:
    """Books, bars and references of many instruments, fed with 64-byte market records.

    `run` works without the GIL until a record is due a callback; `add` before the first record of an instrument, never during a run.
    A GAP record (of instrument 0: for all) sets GAP on the reference, on the book and on the bars it touches. The reference heals with
    the next live quote, a whole book, or a backfilled quote flagged LAST; the book with a snapshot (CLEAR until LAST; a top-only book
    with its next quote); bars with a backfilled trade flagged LAST, or a GAP record flagged BACKFILLED, which says that what was
    missed is known or follows at once. Halted, paused and quotation-only states set HALTED.
    The reference follows deltas at the LAST record of each event, never in its middle. `grace` in ns; `rules` as in BarAggregator.
    """

    def __cinit__(self, *, uint32_t capacity=4096, int64_t grace=250_000_000, rules=None):
        cdef unsigned char[::1] memory
        cdef Py_ssize_t ahead
        if not 1 < capacity <= MOST_INSTRUMENTS:
            raise ValueError(f"a capacity is between 2 and {MOST_INSTRUMENTS} instruments, not {capacity}")
        if grace < 0:
            raise ValueError(f"a grace is 0 ns or more, not {grace}")
        self.grace = grace
        self.boundaries = []
        self.sets = []
        self.book_lines, self.bars_lines = Lines(), Lines()
        whole = np.zeros(MOST_INSTRUMENTS * sizeof(ref_t) + LINE, np.uint8)
        memory = whole
        ahead = -<size_t>&memory[0] & LINE - 1
        self.rows = whole[ahead:ahead + MOST_INSTRUMENTS * sizeof(ref_t)].view(_ref_dtype)
        self.p.refs = <ref_t*>&memory[ahead]
        self.p.rules = default_rules()
        if rules is not None:
            fill_rules(self.own_rules, rules)
            self.p.rules = self.own_rules
        if not _reserve(&self.p, capacity):
            raise MemoryError("no memory for instruments")

    def __dealloc__(self):
        cdef uint32_t id
        for id in range(self.p.top):
            if self.p.slots[id].book != NULL:
                book_free(self.p.slots[id].book)
            if self.p.slots[id].bars != NULL:
                bars_free(self.p.slots[id].bars)
        free(self.p.slots)
        free(self.p.closes)
        free(self.p.fed)
        free(self.p.out.rows)

    def add(self, uint32_t instrument, int64_t tick, *, intervals=(), uint32_t wake=0, bint top_only=True, boundaries=None,
            anchored=(), uint32_t keep=16, uint32_t keep_trades=256, int qty_exp=9) -> None:
        """Take in an instrument: tick in px units, `intervals` as BarAggregator's, `wake` the bits 1 << RecordType that are due a callback.

        Raises ValueError for an id that is 0, taken or beyond what is reserved, and for arguments out of range.
        """
        cdef slot_t* slot
        cdef void* bars = NULL
        cdef void* book = NULL
        self._idle()
        if not 0 < instrument < MOST_INSTRUMENTS:
            raise ValueError(f"an instrument id is between 1 and {MOST_INSTRUMENTS - 1}, not {instrument}")
        if tick < 1:
            raise ValueError(f"a tick is 1 or more px units, not {tick}")
        if instrument >= self.p.capacity and not _reserve(&self.p, min(MOST_INSTRUMENTS, 2 * instrument)):
            raise MemoryError("no memory for instruments")
        slot = &self.p.slots[instrument]
        if slot.book != NULL:
            raise ValueError(f"instrument {instrument} was added before")
        if len(intervals) > 0:
            bars = self.bars_lines.take(sizeof(bars_t))
            try:
                start_bars(<bars_t*>bars, instrument, intervals, self.grace, keep, keep_trades, qty_exp)
                self.boundaries.append(set_sessions(<bars_t*>bars, boundaries, anchored))
                book = self.book_lines.take(sizeof(book_t))
            except BaseException:
                bars_free(<bars_t*>bars)
                raise
            (<bars_t*>bars).rules = self.p.rules
        else:
            book = self.book_lines.take(sizeof(book_t))
        book_init(<book_t*>book, tick, top_only)
        slot.book = <book_t*>book
        slot.bars = <bars_t*>bars
        slot.wake = wake
        self.p.top = max(self.p.top, instrument + 1)

    def attach(self, uint32_t instrument, interval, IndicatorSet indicators not None) -> None:
        """Step `indicators` with each bar of an instrument and interval when it closes, before anybody is called for it.

        interval as in `add`. Amended bars and bars older than the last one stay out. From then on nobody else may update the set.
        Raises KeyError for an instrument that was not added, ValueError where it has no bars of that interval.
        """
        cdef slot_t* slot = self._slot(instrument)
        cdef int64_t code = read_code(interval)
        cdef void* fed
        cdef fed_t* f
        self._idle()
        if slot.bars == NULL or not has_interval(slot.bars, code):
            raise ValueError(f"instrument {instrument} has no bars of {interval}")
        fed = realloc(self.p.fed, (self.p.feds + 1) * sizeof(fed_t))
        if fed == NULL:
            raise MemoryError("no memory for indicators")
        self.p.fed = <fed_t*>fed
        self.sets.append(indicators)
        f = &self.p.fed[self.p.feds]
        f.nodes, f.count, f.out, f.demands = indicators.nodes, indicators.count, indicators.store, indicators.demands
        f.unit = slot.bars.samples.one
        f.interval, f.newest, f.refused, f.next = code, -1, 0, slot.fed
        self.p.feds += 1
        slot.fed = self.p.feds

    cdef int _idle(self) except -1:
        if self.running:
            raise RuntimeError("the pipeline runs in another thread")
        return 0

    cdef slot_t* _slot(self, uint32_t instrument) except NULL:
        if instrument >= self.p.top or self.p.slots[instrument].book == NULL:
            raise KeyError(instrument)
        return &self.p.slots[instrument]

    def wake(self, uint32_t instrument, uint32_t mask) -> None:
        """Change which records of an instrument are due a callback. Raises KeyError for one that was not added."""
        self._slot(instrument).wake = mask

    def run(self, records, Py_ssize_t start=0) -> int:
        """Process 64-byte records from `start`; return the index after the first that is due a callback, or their number."""
        cdef Py_buffer view
        cdef Py_ssize_t n
        self._idle()
        n = open_records(records, &view, sizeof(market_t))
        self.running = True
        try:
            if not 0 <= start <= n:
                raise IndexError(f"start {start} of {n} records")
            with nogil:
                n = pipeline_run(&self.p, <const market_t*>view.buf, start, n)
        finally:
            self.running = False
            PyBuffer_Release(&view)
        return n

    @property
    def due(self) -> int:
        """Why the last run ended: bit 1 the record before the index it returned, bit 2 bars in take_bars(); 0 = the records ended."""
        return self.p.due

    def take_bars(self):
        """The bars published since the last call, of all instruments, as an array of bar_dtype."""
        self._idle()
        return take_rows(&self.p.out)

    def forming(self, uint32_t instrument):
        """The bars of an instrument that are not yet published, as they stand. Raises KeyError for one that was not added."""
        cdef slot_t* slot = self._slot(instrument)
        if slot.bars == NULL:
            return np.empty(0, _bar_dtype)
        return forming_rows(slot.bars)

    @property
    def next_close(self) -> int:
        """Venue ns at which a TIMER record would publish a bar; 0 = nothing waits."""
        return self.p.next_close

    @property
    def refs(self):
        """What the market last said of each instrument: ref_dtype, row = instrument id, shared memory that stays where it is."""
        return self.rows[:self.p.capacity]

    def book(self, uint32_t instrument) -> OrderBook:
        """The live book of an instrument; not to be read during a run. Raises KeyError for one that was not added."""
        return OrderBook.of(self._slot(instrument).book, self)

    def counters(self, uint32_t instrument) -> dict[str, int]:
        """What the bars of an instrument refused or could not place. Raises KeyError for one that was not added."""
        cdef slot_t* slot = self._slot(instrument)
        return bars_counters(slot.bars) if slot.bars != NULL else {}

    @property
    def unfed(self) -> int:
        """Bars that attached indicators could not take: beyond 1e100, or not above 0 where a logarithm is wanted."""
        cdef uint32_t i
        return sum([self.p.fed[i].refused for i in range(self.p.feds)])

    @property
    def unknown(self) -> int:
        """Records of instruments that were not added, or of no known type."""
        return self.p.unknown
