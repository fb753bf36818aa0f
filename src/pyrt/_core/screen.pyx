"""Whether a plain order of shares breaks none of the broker's rules: what most orders are asked, without a word made for it."""
cimport cython
from libc.stdint cimport int64_t, uint32_t

from pyrt._core.ledger cimport Ledger, i128_of, money_of, position_t
from pyrt._core.types cimport NO_PX, SIDE_BUY, ref_t


cdef enum:
    ONE_DOLLAR = 1_000_000_000         # px units
    CENT = 10_000_000
    SMALL_TICK = 100_000               # below 1.00

cdef int64_t MOST_PX = 10_000_000 * <int64_t>ONE_DOLLAR      # what is asked beyond is computed in Python: nothing here may overflow
cdef int64_t MONEY = 1_000_000_000     # money units in 1e-9


cdef inline bint _off_tick(int64_t px) noexcept nogil:
    return px % (CENT if px >= ONE_DOLLAR else SMALL_TICK) != 0


cdef inline int64_t _known(int64_t px) noexcept nogil:
    return 0 if px == NO_PX else px


cdef inline int64_t _collar(int64_t px) noexcept nogil:
    """The most that a market buy may pay when `px` is asked."""
    cdef int64_t most = px * 104 / 100 if px < 50 * <int64_t>ONE_DOLLAR else px * 1025 / 1000
    most = most - most % CENT
    return px if px > most else most


@cython.final
cdef class Screen:
    """Asks on the live ledger and refs; the account's figures are told.

    refs: ref_dtype array, row = instrument id.
    """

    def __cinit__(self, Ledger ledger not None, refs):
        self.ledger = ledger
        self.refs = refs

    def account(self, bint seen, bint shorts, buying_power):
        """What the account is. seen: False = nothing is known of it; buying_power in 1e-9 money."""
        self.seen = seen
        self.shorts = shorts
        self.power = -1
        if 0 <= buying_power < (1 << 62):
            self.power = i128_of(0, <unsigned long long>buying_power) * MONEY

    def clean(self, uint32_t instrument, int side, int64_t qty, int64_t limit_px, int64_t stop_px, int64_t one, *, bint today,
              bint shortable, bint easy):
        """Whether an order surely breaks no rule; False where one is broken, or only the rules themselves can tell.

        qty and `one`, a whole share, in qty units, prices in px units, 0 = none.
        """
        cdef plain_t order = plain_t(instrument, side, qty, limit_px, stop_px, one, today, shortable, easy)
        return self.is_clean(&order)

    cdef bint is_clean(self, const plain_t* o) noexcept nogil:
        cdef const position_t* held
        cdef int64_t free
        if o.instrument >= self.ledger.instruments or o.instrument >= self.refs.shape[0] or o.one <= 0 or o.qty <= 0 or o.qty % o.one:
            return False
        if not (0 <= o.limit_px <= MOST_PX and 0 <= o.stop_px <= MOST_PX) or _off_tick(o.limit_px) or _off_tick(o.stop_px):
            return False
        if not o.easy and o.shortable and not o.today:
            return False
        held = &self.ledger.accounts[o.instrument]
        if held.qty == 0 or (held.qty > 0) == (o.side == SIDE_BUY):
            if o.side != SIDE_BUY and (not o.shortable or (self.seen and not self.shorts)):
                return False
            return not self.seen or self.is_afforded(o, self.ledger.held + self.ledger.spent)
        free = held.qty if held.qty > 0 else -held.qty
        return o.qty <= free - (held.buys if o.side == SIDE_BUY else held.sells)

    cdef bint is_afforded(self, const plain_t* o, i128 committed) noexcept nogil:
        cdef const ref_t* ref = &self.refs[o.instrument]
        cdef int64_t ask = _known(ref.ask_px), px
        cdef i128 cost = 0
        if ask == 0:
            ask = _known(ref.last_px)
        if not 0 <= ask <= MOST_PX or self.power < 0 or self.ledger.terms[o.instrument].scale == 0:
            return False
        if o.side == SIDE_BUY:
            px = o.limit_px if o.limit_px else _collar(o.stop_px if o.stop_px else ask)
        else:
            px = max(o.limit_px, o.stop_px, ask * 103 / 100)
        if px == 0:                                          # without any price nobody can tell
            return True
        return money_of(px, o.qty, self.ledger.terms[o.instrument].scale, &cost) and cost <= self.power - committed
