"""Compiled strategies, and the stage that calls them from within the pipeline's loop."""
cimport cython
from cpython.buffer cimport PyBuffer_Release
from cpython.bytearray cimport PyByteArray_FromStringAndSize
from libc.stdlib cimport calloc, free, realloc
from libc.string cimport memmove, memset

from typing import NamedTuple

import numpy as np

from pyrt._core.buffers cimport open_records
from pyrt._core.loop cimport wish_t
from pyrt._core.pipeline cimport DUE_BARS, DUE_RECORD, pipeline_run
from pyrt._core.types cimport SIDE_BUY, SIDE_SELL, TYPE_DELTA, TYPE_QUOTE, TYPE_TRADE

from pyrt._core.types import bar_dtype as _bar_dtype


cdef int64_t INTENT_LIFE = 30_000_000_000                    # ns of venue time, as Strategy.buy has it


class Asked(NamedTuple):
    """What a compiled callback asked for, in the units of an Intent."""

    verb: int
    source: int
    target: int
    instrument: int
    side: int
    qty: int
    limit_px: int
    stop_px: int
    tif: int
    valid_for: int
    reduce_only: bool
    extended_hours: bool


cdef class CompiledStrategy:
    """The C part of a strategy: callbacks over records, verbs in raw units; mix it with pyrt.Strategy."""

    def __cinit__(self):
        self.asked = <intent_t*>calloc(MOST_ASKED, sizeof(intent_t))
        if self.asked == NULL:
            raise MemoryError("no memory for a strategy")

    def __dealloc__(self):
        free(self.asked)
        free(self.working)
        free(self.instruments)
        free(self.places)
        free(self.windows)

    # ------------------------------------------------------------------------------------------------ callbacks
    cdef int on_trade(self, const trade_t* trade) except -1 nogil:
        return 0

    cdef int on_quote(self, const quote_t* quote) except -1 nogil:
        return 0

    cdef int on_book(self, uint32_t instrument, const book_t* book) except -1 nogil:
        return 0

    cdef int on_bar(self, const bar_t* bar) except -1 nogil:
        return 0

    # ------------------------------------------------------------------------------------------------ what there is to see
    cdef int place(self, uint32_t instrument) noexcept nogil:
        return self.places[instrument] if instrument < self.places_room else -1

    cdef int64_t position(self, uint32_t instrument) noexcept nogil:
        return self.ledger.positions[self.ledger.position_slot(self.number, instrument, False)].qty

    cdef uint32_t open_orders(self, uint32_t instrument) noexcept nogil:
        cdef uint32_t i, n = 0
        for i in range(self.working_count):
            n += self.working[i].instrument == instrument
        return n

    cdef const working_t* order(self, uint64_t source) noexcept nogil:
        cdef uint32_t i
        for i in range(self.working_count):
            if self.working[i].source == source:
                return &self.working[i]
        return NULL

    cdef const ref_t* ref(self, uint32_t instrument) noexcept nogil:
        return &self.market.refs[instrument if instrument < self.market.top else 0]

    cdef const book_t* book(self, uint32_t instrument) noexcept nogil:
        return self.market.slots[instrument].book if instrument < self.market.top else NULL

    cdef const bar_t* bars(self, uint32_t instrument, Py_ssize_t* n) noexcept nogil:
        cdef int place = self.place(instrument)
        if place < 0:
            n[0] = 0
            return NULL
        return (<RecentBars>self.windows[place]).tail(n)

    # ------------------------------------------------------------------------------------------------ verbs
    cdef uint64_t buy(self, uint32_t instrument, int64_t qty, int64_t limit_px) noexcept nogil:
        cdef intent_t intent
        memset(&intent, 0, sizeof(intent))
        intent.verb, intent.side = VERB_ORDER, SIDE_BUY
        intent.instrument, intent.qty, intent.limit_px = instrument, qty, limit_px
        return self.ask(&intent)

    cdef uint64_t sell(self, uint32_t instrument, int64_t qty, int64_t limit_px) noexcept nogil:
        cdef intent_t intent
        memset(&intent, 0, sizeof(intent))
        intent.verb, intent.side = VERB_ORDER, SIDE_SELL
        intent.instrument, intent.qty, intent.limit_px = instrument, qty, limit_px
        return self.ask(&intent)

    cdef uint64_t close(self, uint32_t instrument) noexcept nogil:
        cdef intent_t intent
        cdef int64_t held = self.position(instrument)
        if held == 0:
            return 0
        memset(&intent, 0, sizeof(intent))
        intent.verb, intent.side = VERB_ORDER, SIDE_SELL if held > 0 else SIDE_BUY
        intent.instrument, intent.qty, intent.reduce_only = instrument, held if held > 0 else -held, True
        return self.ask(&intent)

    cdef uint64_t replace(self, uint64_t target, int64_t qty, int64_t limit_px) noexcept nogil:
        cdef intent_t intent
        memset(&intent, 0, sizeof(intent))
        intent.verb, intent.target, intent.qty, intent.limit_px = VERB_REPLACE, target, qty, limit_px
        return self.ask(&intent)

    cdef bint cancel(self, uint64_t target) noexcept nogil:
        cdef intent_t intent
        memset(&intent, 0, sizeof(intent))
        intent.verb, intent.target = VERB_CANCEL, target
        return self.ask(&intent) != 0

    cdef uint64_t ask(self, const intent_t* intent) noexcept nogil:
        cdef intent_t* row
        cdef const working_t* old
        if self.asked_count == MOST_ASKED or not _room(self):
            self.refused += 1
            return 0
        row = &self.asked[self.asked_count]
        row[0] = intent[0]
        self.asked_count += 1
        if row.verb == VERB_CANCEL:
            return row.target
        self.source += 1
        row.source = self.source
        if row.verb == VERB_REPLACE:
            old = self.order(row.target)
            if old != NULL:                                     # else the session refuses it, by name
                row.instrument, row.side = old.instrument, old.side
                row.qty = row.qty if row.qty else old.qty
                row.limit_px = row.limit_px if row.limit_px else old.limit_px
                row.stop_px = row.stop_px if row.stop_px else old.stop_px
        _work(self, row.source, row.instrument, row.side, row.qty, 0, row.limit_px, row.stop_px, 0)
        return row.source

    # ------------------------------------------------------------------------------------------------ the session's side
    def _callbacks(self) -> int:
        cdef CompiledStrategy plain = CompiledStrategy.__new__(CompiledStrategy)
        cdef int wants = 0
        if <void*>self.on_trade != <void*>plain.on_trade:
            wants |= ON_TRADE
        if <void*>self.on_quote != <void*>plain.on_quote:
            wants |= ON_QUOTE
        if <void*>self.on_book != <void*>plain.on_book:
            wants |= ON_BOOK
        if <void*>self.on_bar != <void*>plain.on_bar:
            wants |= ON_BAR
        return wants

    def _bind(self, uint32_t number, Pipeline pipeline not None, Ledger ledger not None, list rows, list windows) -> None:
        cdef uint32_t i, room = max((row[0] for row in rows), default=0) + 1
        self.number, self.pipeline, self.market, self.ledger, self.kept = number, pipeline, &pipeline.p, ledger, windows
        self.instruments = <instrument_t*>realloc(self.instruments, (len(rows) + 1) * sizeof(instrument_t))
        self.windows = <void**>realloc(self.windows, (len(rows) + 1) * sizeof(void*))
        self.places = <int32_t*>realloc(self.places, room * sizeof(int32_t))
        if self.instruments == NULL or self.windows == NULL or self.places == NULL:
            raise MemoryError("no memory for a strategy")
        self.count, self.places_room = len(rows), room
        for i in range(room):
            self.places[i] = -1
        for i, (row, window) in enumerate(zip(rows, windows)):
            self.instruments[i] = instrument_t(row[0], row[1], row[2], row[3], row[4])
            self.windows[i] = <void*>(<RecentBars?>window)
            self.places[self.instruments[i].id] = i

    def _keep_order(self, uint64_t source, uint32_t instrument, uint8_t side, int64_t qty, int64_t filled, int64_t limit_px,
                    int64_t stop_px, uint8_t status, bint is_open) -> None:
        cdef uint32_t i
        if not _room(self):
            raise MemoryError("no memory for orders")
        if is_open:
            _work(self, source, instrument, side, qty, filled, limit_px, stop_px, status)
            return
        for i in range(self.working_count):
            if self.working[i].source == source:
                memmove(&self.working[i], &self.working[i + 1], (self.working_count - i - 1) * sizeof(working_t))
                self.working_count -= 1
                return

    def _at(self, int64_t now) -> None:
        self.now = now

    def _used(self, uint64_t source) -> None:
        self.source = source

    def _take_asked(self):
        cdef uint32_t i, refused = self.refused
        cdef intent_t* a
        rows = []
        for i in range(self.asked_count):
            a = &self.asked[i]
            rows.append(Asked(a.verb, a.source, a.target, a.instrument, a.side, a.qty, a.limit_px, a.stop_px, a.tif, a.valid_for,
                              a.reduce_only, a.extended_hours))
        self.asked_count = self.refused = 0
        return rows, refused


cdef bint _room(CompiledStrategy s) noexcept nogil:
    cdef void* rows
    if s.working_count < s.working_room:
        return True
    rows = realloc(s.working, (2 * s.working_room + 16) * sizeof(working_t))
    if rows == NULL:
        return False
    s.working = <working_t*>rows
    s.working_room = 2 * s.working_room + 16
    return True


cdef void _work(CompiledStrategy s, uint64_t source, uint32_t instrument, uint8_t side, int64_t qty, int64_t filled,
                int64_t limit_px, int64_t stop_px, uint8_t status) noexcept nogil:
    # A new row has room: _room was asked before.
    cdef uint32_t i = 0
    while i < s.working_count and s.working[i].source != source:
        i += 1
    s.working_count += i == s.working_count
    s.working[i] = working_t(source, qty, filled, limit_px, stop_px, instrument, side, status)


# ---------------------------------------------------------------------------------------------------- the stage
@cython.final
cdef class Dispatch:
    """Runs a pipeline, and calls compiled strategies where their records and bars are due, without the GIL.

    It stops for the session as Pipeline.run does, and where a strategy asked for an order or failed: `run`, then `resume` until
    `due` is 0. The session's own wishes are `session(instrument, mask)`.
    """

    def __cinit__(self, Pipeline pipeline not None, Loop loop=None):
        self.pipeline, self.loop = pipeline, loop
        self.p = &pipeline.p
        self.kept = []

    def __dealloc__(self):
        cdef uint32_t i
        for i in range(self.places_room):
            free(self.places[i].callers)
            free(self.places[i].streams)
        free(self.places)

    def watch(self, uint32_t instrument, uint32_t mask) -> None:
        """Which records of an instrument the session itself wants: bits 1 << RecordType."""
        cdef place_t* rows
        if instrument >= self.places_room:
            rows = <place_t*>realloc(self.places, (instrument + 1) * sizeof(place_t))
            if rows == NULL:
                raise MemoryError("no memory for instruments")
            memset(rows + self.places_room, 0, (instrument + 1 - self.places_room) * sizeof(place_t))
            self.places = rows
            self.places_room = instrument + 1
        self.places[instrument].session = mask

    def stream(self, uint32_t instrument, int64_t interval, RecentBars window not None, bint session) -> None:
        """Where the bars of a watched instrument are kept, and whether the session wants to see them too."""
        cdef place_t* place = self.watched(instrument)
        cdef void* rows = realloc(place.streams, (place.stream_count + 1) * sizeof(stream_t))
        if rows == NULL:
            raise MemoryError("no memory for bars")
        place.streams = <stream_t*>rows
        place.streams[place.stream_count] = stream_t(interval, <void*>window, session)
        place.stream_count += 1
        self.kept.append(window)

    def join(self, uint32_t instrument, CompiledStrategy strategy not None, uint32_t wants, int64_t interval) -> int:
        """Call a strategy for a watched instrument; returns which records of it are due, bits 1 << RecordType."""
        cdef place_t* place = self.watched(instrument)
        cdef void* rows = realloc(place.callers, (place.caller_count + 1) * sizeof(caller_t))
        cdef uint32_t calls = 0
        if rows == NULL:
            raise MemoryError("no memory for strategies")
        place.callers = <caller_t*>rows
        place.callers[place.caller_count] = caller_t(<void*>strategy, interval, wants, False)
        place.caller_count += 1
        self.kept.append(strategy)
        if wants & ON_TRADE:
            calls |= 1 << TYPE_TRADE
        if wants & ON_QUOTE:
            calls |= 1 << TYPE_QUOTE
        if wants & ON_BOOK:
            calls |= 1 << TYPE_QUOTE | 1 << TYPE_DELTA
        place.calls |= calls
        return calls

    cdef place_t* watched(self, uint32_t instrument) except NULL:
        if instrument >= self.places_room:
            raise ValueError(f"instrument {instrument} is not watched")
        return &self.places[instrument]

    def halt(self, CompiledStrategy strategy not None) -> None:
        """Call it no more."""
        cdef uint32_t i, k
        for i in range(self.places_room):
            for k in range(self.places[i].caller_count):
                if self.places[i].callers[k].strategy == <void*>strategy:
                    self.places[i].callers[k].halted = True

    def decide_in(self, Decider lane not None) -> None:
        """Decide there at once what is asked for alone."""
        self.lane = lane

    def run(self, records, Py_ssize_t start, int64_t now, bint live, int64_t mono=0) -> int:
        """Process 64-byte records from `start`; returns the index after the first that has something for the session.

        now: venue ns that callbacks see; 0 = each record's own time. live: strategies are called. mono: monotonic ns, with which
        an order may be decided here; 0 = others come first. Raises RuntimeError where the record before is not wholly handled: see
        resume.
        """
        cdef Py_buffer view
        cdef Py_ssize_t n = open_records(records, &view, sizeof(market_t))
        try:
            if not 0 <= start <= n:
                raise IndexError(f"start {start} of {n} records")
            return self.advance(<const market_t*>view.buf, start, n, now, live, mono)
        finally:
            PyBuffer_Release(&view)

    cdef Py_ssize_t advance(self, const market_t* records, Py_ssize_t start, Py_ssize_t n, int64_t now, bint live, int64_t mono) except -1:
        if self.due:
            raise RuntimeError("resume() first: something of the record before is not handled")
        self.fixed_now, self.live, self.mono = now, live, mono
        self.askers, self.decided, self.sent = 0, False, False
        self.pipeline.running = True
        try:
            with nogil:
                while start < n and self.due == 0:
                    start = pipeline_run(self.p, records, start, n)
                    if self.p.due:
                        self.record = &records[start - 1]
                        self.open_record = self.p.due & DUE_RECORD
                        self.handle()
                self.decide()
        except BaseException as e:
            self.error = e
            self.due |= DUE_FAILED
        finally:
            self.pipeline.running = False
            if self.due:                                        # resume() needs it when the records have gone
                self.kept_record = self.record[0]
                self.record = &self.kept_record
        if self.p.out.failed:
            raise MemoryError("no memory for more bars: some were lost")
        return start

    def resume(self) -> None:
        """Go on with what the last record brought, after the session took what was due."""
        self.due = self.askers = 0
        self.error, self.decided, self.sent = None, False, False
        self.pipeline.running = True
        try:
            with nogil:
                self.handle()
                self.decide()
        except BaseException as e:
            self.error = e
            self.due |= DUE_FAILED
        finally:
            self.pipeline.running = False

    @property
    def running(self) -> bool:
        """Whether callbacks in C run just now."""
        return self.pipeline.running

    def take_bars(self):
        """The bar that is due, as an array of bar_dtype."""
        cdef char* row = <char*>&self.p.out.rows[self.bar_given]
        return np.frombuffer(PyByteArray_FromStringAndSize(row, sizeof(bar_t)), _bar_dtype)

    def take_count(self) -> int:
        """How many bars were handled, without those that take_bars gave, since it was asked last."""
        cdef int64_t n = self.bars
        self.bars = 0
        return n

    def failed(self) -> CompiledStrategy:
        """Whose callback raised `error`."""
        return <CompiledStrategy>self.calling.strategy

    cdef int64_t at(self) noexcept nogil:
        # Now, for callbacks in C and for the Python that they may call.
        cdef int64_t ts = self.record.header.ts_event
        if self.fixed_now:
            return self.fixed_now
        if <void*>self.loop != <void*>None:
            self.loop.be(ts, ts)
        return ts

    cdef int handle(self) except -1 nogil:
        while self.bar_at < self.p.out.n:
            self.handle_bar(&self.p.out.rows[self.bar_at])
            if self.due:
                return 0
        self.p.out.n = 0
        self.bar_at = 0
        if self.open_record:
            self.handle_record()
        return 0

    cdef int handle_bar(self, const bar_t* bar) except -1 nogil:
        cdef place_t* place = &self.places[bar.instrument]
        cdef stream_t* stream = NULL
        cdef caller_t* c
        cdef uint32_t i
        if bar.instrument >= self.places_room:
            self.bar_given = self.bar_at
            self.bar_at += 1
            self.due |= DUE_BARS
            return 0
        for i in range(place.stream_count):
            if place.streams[i].interval == bar.interval:
                stream = &place.streams[i]
        if stream != NULL and self.caller == 0:
            (<RecentBars>stream.window).push(bar)
        while self.caller < place.caller_count:
            c = &place.callers[self.caller]
            self.caller += 1
            if c.wants & ON_BAR and c.interval == bar.interval and self.live and not c.halted:
                self.calling = c
                (<CompiledStrategy>c.strategy).now = self.at()
                (<CompiledStrategy>c.strategy).on_bar(bar)
                self.stop()
        self.caller = 0
        self.bar_given = self.bar_at
        self.bar_at += 1
        if stream == NULL or stream.session:
            self.due |= DUE_BARS
        else:
            self.bars += 1
        return 0

    cdef int handle_record(self) except -1 nogil:
        cdef uint32_t id = self.record.header.instrument, kind = self.record.header.type
        cdef place_t* place = &self.places[id]
        cdef caller_t* c
        if id >= self.places_room:
            self.open_record = False
            self.due |= DUE_RECORD
            return 0
        while self.live and place.calls >> kind & 1 and self.caller < place.caller_count:
            c = &place.callers[self.caller]
            self.caller += 1
            if c.halted:
                continue
            self.calling = c
            (<CompiledStrategy>c.strategy).now = self.at()
            if kind == TYPE_TRADE:
                if c.wants & ON_TRADE:
                    (<CompiledStrategy>c.strategy).on_trade(&self.record.trade)
            else:
                if kind == TYPE_QUOTE and c.wants & ON_QUOTE:
                    (<CompiledStrategy>c.strategy).on_quote(&self.record.quote)
                if c.wants & ON_BOOK:
                    (<CompiledStrategy>c.strategy).on_book(id, self.p.slots[id].book)
            self.stop()
        self.caller = 0
        self.open_record = False
        if place.session >> kind & 1:
            self.due |= DUE_RECORD
        return 0

    cdef void stop(self) noexcept nogil:
        if (<CompiledStrategy>self.calling.strategy).asked_count or (<CompiledStrategy>self.calling.strategy).refused:
            self.due |= DUE_INTENTS
            self.asker = self.calling.strategy
            self.askers += 1
        if self.sent:
            self.due |= DUE_INTENTS

    cdef void decide(self) noexcept nogil:
        # Whoever else is due may send before it, or fail, and then comes first.
        cdef const intent_t* row
        cdef wish_t wish
        if self.due != DUE_INTENTS or self.askers != 1 or self.mono == 0 or self.fixed_now == 0 or <void*>self.lane == <void*>None:
            return
        row = (<CompiledStrategy>self.asker).asked
        if (<CompiledStrategy>self.asker).asked_count != 1 or (<CompiledStrategy>self.asker).refused or row.verb != VERB_ORDER or \
                row.extended_hours:
            return
        wish.source, wish.strategy, wish.instrument = row.source, (<CompiledStrategy>self.asker).number, row.instrument
        wish.side, wish.tif, wish.reduce_only = row.side, row.tif if row.tif else TIF_DAY, row.reduce_only
        wish.qty, wish.limit_px, wish.stop_px = row.qty, row.limit_px, row.stop_px
        wish.valid_until = self.fixed_now + (row.valid_for if row.valid_for else INTENT_LIFE)
        self.decided = self.lane.take_unseen(&wish, self.fixed_now, self.mono)
