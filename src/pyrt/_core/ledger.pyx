"""Positions, cost basis, P&L and reservations: exact, and a function of the facts alone."""
cimport cython
from collections import namedtuple
from libc.stdint cimport INT64_MAX, INT64_MIN
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy, memset

from pyrt._core.types cimport SIDE_BUY, SIDE_SELL, i128_to_object


Position = namedtuple("Position", "qty cost realised fees buys sells")
Position.__doc__ = "Signed qty and open leaves in qty units; cost, realised P&L (before fees) and fees paid in 1e-18 money units."
Reservation = namedtuple("Reservation", "strategy instrument side leaves pending filled px cost state")
Reservation.__doc__ = "What an order may still do: leaves in qty units, px its price for notional, cost the buying power it holds."
Pnl = namedtuple("Pnl", "realised unrealised fees unmarked")
Pnl.__doc__ = "Sums over everything in 1e-18 money units, fees not taken off; `unmarked` positions have no mark and count as flat P&L."


cdef uint32_t _MAX_INSTRUMENT = 1 << 20


cdef inline uint32_t _hash(uint64_t key, uint32_t mask) noexcept nogil:
    return <uint32_t>((key * <uint64_t>0x9E3779B97F4A7C15) >> 32) & mask


cdef inline void* _grown(void* old, size_t used, size_t room, size_t size) noexcept nogil:
    """A zeroed array of `room` items that starts with the old one's; NULL leaves the old one as it is."""
    cdef void* new = calloc(room, size)
    if new != NULL:
        if old != NULL:
            memcpy(new, old, used * size)
        free(old)
    return new


cdef object _money(i128 x):
    return i128_to_object(i128_lo(x), i128_hi(x))


cdef i128 _units(value) except? -1:
    return i128_of(value >> 64, value & 0xffffffffffffffff)


@cython.final
cdef class Ledger:
    """Positions keyed (strategy, instrument), their account sums, and the reservations of open orders.

    Money is an int in units of 1e-18; qty is in the instrument's units. A reduction takes floor(cost * closed / quantity) of the
    cost basis, toward minus infinity, so realised P&L and cost basis always sum to the cash that moved. `positions` and
    `reservations` are the sizes to start with; both grow.
    """

    def __cinit__(self, *, uint32_t positions=256, uint32_t reservations=1024):
        self.positions_used = self.reservations_used = 1      # slot 0 means none
        self.positions_room = self.reservations_room = 16
        while self.positions_room <= positions:
            self.positions_room *= 2
        while self.reservations_room <= reservations:
            self.reservations_room *= 2
        self.positions = <position_t*>calloc(self.positions_room, sizeof(position_t))
        self.position_table = <uint32_t*>calloc(2 * self.positions_room, sizeof(uint32_t))
        self.reservations = <reservation_t*>calloc(self.reservations_room, sizeof(reservation_t))
        self.reservation_table = <uint32_t*>calloc(2 * self.reservations_room, sizeof(uint32_t))
        if not (self.positions and self.position_table and self.reservations and self.reservation_table):
            raise MemoryError
        if not self.grow_instruments(63):
            raise MemoryError

    def __dealloc__(self):
        free(self.terms)
        free(self.accounts)
        free(self.first)
        free(self.positions)
        free(self.position_table)
        free(self.reservations)
        free(self.reservation_table)

    cdef bint grow_instruments(self, uint32_t instrument) noexcept nogil:
        cdef uint32_t room = self.instruments if self.instruments else 64
        cdef void* new
        if instrument < self.instruments:
            return True
        if instrument >= _MAX_INSTRUMENT:
            return False
        while room <= instrument:
            room *= 2
        new = _grown(self.terms, self.instruments, room, sizeof(terms_t))
        if new == NULL:
            return False
        self.terms = <terms_t*>new
        new = _grown(self.accounts, self.instruments, room, sizeof(position_t))
        if new == NULL:
            return False
        self.accounts = <position_t*>new
        new = _grown(self.first, self.instruments, room, sizeof(uint32_t))
        if new == NULL:
            return False
        self.first = <uint32_t*>new
        self.instruments = room
        return True

    cdef uint32_t position_slot(self, uint32_t strategy, uint32_t instrument, bint make) noexcept nogil:
        cdef uint32_t mask = 2 * self.positions_room - 1
        cdef uint64_t key = <uint64_t>strategy << 32 | instrument
        cdef uint32_t i = _hash(key, mask), slot
        cdef position_t* p
        cdef void* table
        cdef void* rows
        while True:
            slot = self.position_table[i]
            if slot == 0:
                break
            p = &self.positions[slot]
            if p.strategy == strategy and p.instrument == instrument:
                return slot
            i = (i + 1) & mask
        if not make:
            return 0
        if self.positions_used == self.positions_room:
            table = calloc(4 * self.positions_room, sizeof(uint32_t))
            if table == NULL:
                return 0
            rows = _grown(self.positions, self.positions_used, 2 * self.positions_room, sizeof(position_t))
            if rows == NULL:
                free(table)
                return 0
            self.positions = <position_t*>rows
            free(self.position_table)
            self.position_table = <uint32_t*>table
            self.positions_room *= 2
            mask = 2 * self.positions_room - 1
            for slot in range(1, self.positions_used):
                i = _hash(<uint64_t>self.positions[slot].strategy << 32 | self.positions[slot].instrument, mask)
                while self.position_table[i]:
                    i = (i + 1) & mask
                self.position_table[i] = slot
            i = _hash(key, mask)
            while self.position_table[i]:
                i = (i + 1) & mask
        slot = self.positions_used
        self.positions_used += 1
        self.positions[slot].strategy = strategy
        self.positions[slot].instrument = instrument
        self.position_table[i] = slot
        return slot

    cdef uint32_t find(self, uint64_t key) noexcept nogil:
        cdef uint32_t mask = 2 * self.reservations_room - 1
        cdef uint32_t i = _hash(key, mask), slot
        while True:
            slot = self.reservation_table[i]
            if slot == 0 or self.reservations[slot].key == key:
                return slot
            i = (i + 1) & mask

    cdef uint32_t put(self, uint64_t key, uint32_t strategy, uint32_t instrument, int side, int64_t qty, int64_t px,
                      int64_t cross_px) noexcept nogil:
        cdef uint32_t slot, position, i, mask
        cdef reservation_t* r
        cdef void* table
        cdef void* rows
        if key == 0 or instrument >= self.instruments or self.terms[instrument].scale == 0 or self.find(key):
            return 0
        position = self.position_slot(strategy, instrument, True)
        if position == 0:
            return 0
        slot = self.free_reservation
        if slot:
            self.free_reservation = self.reservations[slot].next
        else:
            if self.reservations_used == self.reservations_room:
                table = calloc(4 * self.reservations_room, sizeof(uint32_t))
                if table == NULL:
                    return 0
                rows = _grown(self.reservations, self.reservations_used, 2 * self.reservations_room, sizeof(reservation_t))
                if rows == NULL:
                    free(table)
                    return 0
                self.reservations = <reservation_t*>rows
                free(self.reservation_table)
                self.reservation_table = <uint32_t*>table
                self.reservations_room *= 2
                mask = 2 * self.reservations_room - 1
                for slot in range(1, self.reservations_used):     # none is free here, so all are live
                    i = _hash(self.reservations[slot].key, mask)
                    while self.reservation_table[i]:
                        i = (i + 1) & mask
                    self.reservation_table[i] = slot
            slot = self.reservations_used
            self.reservations_used += 1
        r = &self.reservations[slot]
        memset(r, 0, sizeof(reservation_t))
        r.key = key
        r.strategy = strategy
        r.side = side
        r.position = position
        r.account = instrument
        r.px = px
        r.cross_px = cross_px
        r.next = self.first[instrument]
        if r.next:
            self.reservations[r.next].prev = slot
        self.first[instrument] = slot
        mask = 2 * self.reservations_room - 1
        i = _hash(key, mask)
        while self.reservation_table[i]:
            i = (i + 1) & mask
        self.reservation_table[i] = slot
        self.order_count += 1
        self.shift(slot, qty, 0)
        return slot

    cdef bint shift(self, uint32_t slot, int64_t leaves, int64_t pending) noexcept nogil:
        # The only place where leaves change: B, S and the open value follow in the same step.
        cdef reservation_t* r = &self.reservations[slot]
        cdef position_t* p = &self.positions[r.position]
        cdef position_t* a = &self.accounts[r.account]
        cdef int64_t scale = self.terms[r.account].scale
        cdef i128 before = 0, after = 0, change = -<i128>counted(r)
        if not money_of(notional_px(r), counted(r), scale, &before):
            self.broken = True
        r.leaves = leaves
        r.pending = pending
        change = change + counted(r)
        if not money_of(notional_px(r), counted(r), scale, &after):
            self.broken = True
        if r.side == SIDE_BUY:
            p.buys = p.buys + change
            a.buys = a.buys + change
        else:
            p.sells = p.sells + change
            a.sells = a.sells + change
        if not money_add(self.order_value, after - before, &self.order_value):
            self.broken = True
        return not self.broken

    cdef void price(self, uint32_t slot, int64_t px, int64_t pending_px) noexcept nogil:
        """Set the prices for notional of the working order and of a replace under way; the leaves stay."""
        cdef reservation_t* r = &self.reservations[slot]
        cdef int64_t leaves = r.leaves, pending = r.pending
        self.shift(slot, 0, 0)
        r.px = px
        r.pending_px = pending_px
        self.shift(slot, leaves, pending)

    cdef void hold(self, uint32_t slot, i128 cost, i128 pending_cost) noexcept nogil:
        """Set the buying power held; the venue's figure never knows that of a replace under way."""
        cdef reservation_t* r = &self.reservations[slot]
        cdef i128 change = pending_cost - r.pending_cost
        if not r.state & RESERVED_NETTED:
            change = change + cost - r.cost
        if not money_add(self.held, change, &self.held):
            self.broken = True
        r.cost = cost
        r.pending_cost = pending_cost

    cdef void settle_slot(self, uint32_t slot, bint accepted) noexcept nogil:
        cdef reservation_t* r = &self.reservations[slot]
        cdef int64_t leaves = r.pending if accepted else r.leaves
        self.shift(slot, 0, 0)
        if accepted:
            r.px = r.pending_px
            r.cross_px = r.pending_cross
            if r.state & RESERVED_NETTED:                    # until the venue's next figure
                money_add(self.spent, r.pending_cost, &self.spent)
        self.hold(slot, r.cost + r.pending_cost if accepted else r.cost, 0)
        r.pending_px = 0
        r.state &= ~RESERVED_REPLACING & 0xff
        self.shift(slot, leaves, 0)

    cdef void drop(self, uint32_t slot) noexcept nogil:
        cdef reservation_t* r = &self.reservations[slot]
        self.shift(slot, 0, 0)
        self.hold(slot, 0, 0)
        if r.prev:
            self.reservations[r.prev].next = r.next
        else:
            self.first[r.account] = r.next
        if r.next:
            self.reservations[r.next].prev = r.prev
        self.unlink_key(r.key)
        memset(r, 0, sizeof(reservation_t))
        r.next = self.free_reservation
        self.free_reservation = slot
        self.order_count -= 1

    cdef void unlink_key(self, uint64_t key) noexcept nogil:
        # Open addressing without tombstones: what follows the hole moves up unless it already stands at or before its home.
        cdef uint32_t mask = 2 * self.reservations_room - 1
        cdef uint32_t i = _hash(key, mask), j, home, slot
        while self.reservations[self.reservation_table[i]].key != key:
            i = (i + 1) & mask
        j = i
        while True:
            j = (j + 1) & mask
            slot = self.reservation_table[j]
            if slot == 0:
                break
            home = _hash(self.reservations[slot].key, mask)
            if ((j - home) & mask) >= ((j - i) & mask):
                self.reservation_table[i] = slot
                i = j
        self.reservation_table[i] = 0

    cdef int fill_order(self, uint64_t key, uint32_t strategy, uint32_t instrument, int side, int64_t px, int64_t qty, i128 fee) noexcept nogil:
        cdef int told = 0
        cdef uint32_t slot, position
        cdef reservation_t* r
        cdef position_t* p
        cdef position_t* a
        cdef int64_t leaves, pending, whole
        cdef i128 cost, part, realised = 0, before
        if instrument >= self.instruments or self.terms[instrument].scale == 0 or qty <= 0:
            self.broken = True
            return FILL_OVERFLOW
        slot = self.find(key)
        if slot == 0:
            told = FILL_UNRESERVED
        else:
            r = &self.reservations[slot]
            whole = counted(r) if r.state & RESERVED_REPLACING else r.leaves      # facts only
            cost = r.cost
            if qty > whole:
                told = FILL_OVER
            part = cost
            if qty < whole:
                part = money_share(cost, qty, whole)
            leaves = r.leaves - qty if r.leaves > qty else 0
            pending = r.pending - qty if r.pending > qty else 0
            self.shift(slot, leaves, pending)
            if not r.state & RESERVED_NETTED:
                money_add(self.spent, part, &self.spent)
            self.hold(slot, cost - part, r.pending_cost)
            r.filled = r.filled + qty if r.filled < INT64_MAX - qty else INT64_MAX
        position = self.position_slot(strategy, instrument, True)
        if position == 0:
            self.broken = True
            return FILL_OVERFLOW
        p = &self.positions[position]
        a = &self.accounts[instrument]
        before = p.cost
        if not self.book(p, px, qty if side == SIDE_BUY else -qty, self.terms[instrument].scale, fee, &realised) or \
                not fits_i64(<i128>a.qty + (qty if side == SIDE_BUY else -qty)):
            self.broken = True
            return FILL_OVERFLOW
        a.qty += qty if side == SIDE_BUY else -qty
        if not (money_add(a.cost, p.cost - before, &a.cost) and money_add(a.realised, realised, &a.realised) and
                money_add(a.fees, fee, &a.fees) and money_add(self.realised, realised, &self.realised) and
                money_add(self.fees, fee, &self.fees)):
            self.broken = True
            return FILL_OVERFLOW
        return told

    cdef bint book(self, position_t* p, int64_t px, int64_t signed_qty, int64_t scale, i128 fee, i128* realised) noexcept nogil:
        cdef int64_t closing = 0, opening = signed_qty
        cdef i128 value = 0, removed, cost = p.cost, gain = 0
        if not fits_i64(<i128>p.qty + signed_qty) or p.qty == INT64_MIN or signed_qty == INT64_MIN:
            return False
        if p.qty > 0 and signed_qty < 0:
            closing = signed_qty if -signed_qty < p.qty else -p.qty
        elif p.qty < 0 and signed_qty > 0:
            closing = signed_qty if signed_qty < -p.qty else -p.qty
        opening = signed_qty - closing
        if closing:
            removed = money_share(cost, closing if closing > 0 else -closing, p.qty if p.qty > 0 else -p.qty)
            if not money_of(px, closing, scale, &value) or not money_add(-value, -removed, &gain):
                return False
            cost = cost - removed
        if opening and not (money_of(px, opening, scale, &value) and money_add(cost, value, &cost)):
            return False
        if not money_add(p.realised, gain, &p.realised) or not money_add(p.fees, fee, &p.fees):
            return False
        p.qty += signed_qty
        p.cost = cost
        realised[0] = gain
        return True

    cdef bint marked(self, const position_t* p, const ref_t* ref, i128* out) noexcept nogil:
        """Unrealised P&L: long at the bid, short at the ask, else the last trade; False without any of them."""
        cdef int64_t px = ref.bid_px if p.qty > 0 else ref.ask_px
        cdef i128 value = 0
        out[0] = -p.cost if p.qty == 0 else 0           # strategies that hold both sides leave cost on a flat account
        if p.qty == 0:
            return True
        if px <= 0:
            px = ref.last_px
        if px <= 0:
            return False
        return money_of(px, p.qty, self.terms[p.instrument].scale, &value) and money_add(value, -p.cost, out)

    def define(self, uint32_t instrument, *, int qty_exp=9, int64_t multiplier=1, int64_t tick=10_000_000, int64_t sub_tick=100_000,
               int64_t lot=1_000_000_000):
        """Tell an instrument's units. Raises ValueError for a qty_exp outside 0..9, numbers below 1 or an id above 2^20."""
        if not 0 <= qty_exp <= 9 or multiplier < 1 or tick < 1 or sub_tick < 1 or lot < 1 or multiplier > 10**9:
            raise ValueError(f"instrument {instrument}: qty_exp is 0 to 9, multiplier 1 to 10**9, tick, sub_tick and lot at least 1")
        if not self.grow_instruments(instrument):
            raise ValueError(f"instrument {instrument}: ids end at {_MAX_INSTRUMENT}")
        self.terms[instrument] = terms_t(multiplier * <int64_t>(<object>10 ** (9 - qty_exp)), tick, sub_tick, lot)
        self.accounts[instrument].instrument = instrument

    def reserve(self, uint64_t key, uint16_t strategy, uint32_t instrument, int side, int64_t qty, int64_t px, cost=0):
        """Count an order's leaves from now on; False where the key is already reserved or the instrument is not defined."""
        cdef uint32_t slot = self.put(key, strategy, instrument, side, qty, px, px)
        if slot:
            self.hold(slot, _units(cost), 0)
            self.reservations[slot].state = RESERVED_FIRM
        return slot != 0

    def replace(self, uint64_t key, int64_t qty, int64_t px):
        """A replace of the chain `key` is under way: until it settles the larger leaves and the higher price count.

        qty is the new total, with what is filled already. False for an unknown key.
        """
        cdef uint32_t slot = self.find(key)
        if slot == 0:
            return False
        self.reservations[slot].pending_px = px
        self.reservations[slot].pending_cross = px
        return self.shift(slot, self.reservations[slot].leaves, max(qty - self.reservations[slot].filled, 0))

    def settle(self, uint64_t key, bint accepted):
        """The venue answered a replace: the new order stands (accepted) or the old one keeps working."""
        cdef uint32_t slot = self.find(key)
        if slot:
            self.settle_slot(slot, accepted)
        return slot != 0

    def release(self, uint64_t key):
        """A final event: the order counts no more. False for an unknown key."""
        cdef uint32_t slot = self.find(key)
        if slot:
            self.drop(slot)
        return slot != 0

    def fill(self, uint64_t key, uint16_t strategy, uint32_t instrument, int side, int64_t px, int64_t qty, fee=0):
        """Move qty from leaves to position in one step. fee: money, >= 0 is paid. Returns FILL_* bits: 0 = as reserved.

        1: no reservation of that key; 2: more than its leaves (both are booked); 4: beyond 128 bits (not booked, ledger broken).
        """
        return self.fill_order(key, strategy, instrument, side, px, qty, _units(fee))

    def bust(self, uint16_t strategy, uint32_t instrument, int side, int64_t px, int64_t qty, fee=0):
        """Take back a fill of that side, price and fee: quantity and total P&L are as if it had never been."""
        return self.fill_order(0, strategy, instrument, SIDE_SELL if side == SIDE_BUY else SIDE_BUY, px, qty, -_units(fee)) & FILL_OVERFLOW

    def credit(self, uint16_t strategy, uint32_t instrument, gain=0, fee=0):
        """Book money that came in, or a fee paid, beside any fill: a dividend, interest. Instrument 0 = the account itself."""
        cdef i128 more = _units(gain), paid = _units(fee)
        cdef uint32_t slot = self.position_slot(strategy, instrument, True) if instrument < self.instruments else 0
        cdef position_t* a
        cdef position_t* p
        if slot == 0:
            raise KeyError(f"instrument {instrument} is not defined")
        p, a = &self.positions[slot], &self.accounts[instrument]
        if not (money_add(p.realised, more, &p.realised) and money_add(a.realised, more, &a.realised) and
                money_add(self.realised, more, &self.realised) and money_add(p.fees, paid, &p.fees) and
                money_add(a.fees, paid, &a.fees) and money_add(self.fees, paid, &self.fees)):
            self.broken = True

    def adjust(self, uint16_t strategy, uint32_t instrument, int64_t qty, cost):
        """Book shares that no fill explains: signed change of qty, and of the cost basis in money units."""
        cdef uint32_t slot
        cdef i128 change = _units(cost)
        if instrument >= self.instruments or self.terms[instrument].scale == 0:
            raise KeyError(f"instrument {instrument} is not defined")
        slot = self.position_slot(strategy, instrument, True)
        if slot == 0:
            raise MemoryError
        if not fits_i64(<i128>self.positions[slot].qty + qty) or not fits_i64(<i128>self.accounts[instrument].qty + qty):
            raise OverflowError(f"instrument {instrument}: the position would not fit in 64 bits")
        self.positions[slot].qty += qty
        self.accounts[instrument].qty += qty
        if not money_add(self.positions[slot].cost, change, &self.positions[slot].cost) or \
                not money_add(self.accounts[instrument].cost, change, &self.accounts[instrument].cost):
            self.broken = True

    def position(self, uint16_t strategy, uint32_t instrument):
        """The strategy's own position; zeros where it never had one."""
        return _position(&self.positions[self.position_slot(strategy, instrument, False)])

    def account(self, uint32_t instrument):
        """The sum over all strategies."""
        return _position(&self.accounts[instrument]) if instrument < self.instruments else _position(&self.positions[0])

    def reservation(self, uint64_t key):
        """What is reserved under a key, or None."""
        cdef uint32_t slot = self.find(key)
        cdef reservation_t* r = &self.reservations[slot]
        if slot == 0:
            return None
        return Reservation(r.strategy, r.account, r.side, r.leaves, r.pending, r.filled, r.px, _money(r.cost), r.state)

    def worst_case(self, uint32_t instrument):
        """(q + B, q - S) of the account: where the position can go if every open buy, or every open sell, fills."""
        p = self.account(instrument)
        return p.qty + p.buys, p.qty - p.sells

    def exposure(self, uint32_t instrument):
        """max(|q + B|, |q - S|) of the account, in qty units."""
        up, down = self.worst_case(instrument)
        return max(abs(up), abs(down))

    def pnl(self, const ref_t[::1] refs):
        """Realised and unrealised P&L over everything, marked from `refs` (row = instrument id): long at bid, short at ask, else last."""
        cdef i128 total = 0, one = 0
        cdef uint32_t i
        cdef int unmarked = 0
        for i in range(min(self.instruments, <uint32_t>refs.shape[0])):
            if self.terms[i].scale and (self.accounts[i].qty or self.accounts[i].cost):
                if self.marked(&self.accounts[i], &refs[i], &one):
                    if not money_add(total, one, &total):
                        raise OverflowError("the unrealised P&L does not fit in 128 bits")
                else:
                    unmarked += 1
        return Pnl(_money(self.realised), _money(total), _money(self.fees), unmarked)

    def is_open(self):
        """Whether the account holds anything."""
        cdef uint32_t i
        for i in range(self.instruments):
            if self.accounts[i].qty:
                return True
        return False

    @property
    def open_orders(self):
        """How many reservations there are."""
        return self.order_count

    @property
    def open_value(self):
        """Sum of open leaves * price, money units."""
        return _money(self.order_value)

    @property
    def committed(self):
        """Buying power that reservations and fills took since the venue's figure, money units."""
        return _money(self.held + self.spent)

    def open_keys(self):
        """The keys of all reservations, sorted."""
        return sorted(self.reservations[i].key for i in range(1, self.reservations_used) if self.reservations[i].key)

    def state(self):
        """All durable state as bytes that depend on the facts only, not on the order of slots: the input of the state hash.

        Approvals that no fact stands behind yet are not part of it.
        """
        cdef reservation_t* r
        rows = []
        for i in range(1, self.positions_used):
            p = _position(&self.positions[i])
            if any(p[:4]):
                rows.append((self.positions[i].strategy, self.positions[i].instrument, *p[:4]))
        rows.sort()
        orders = []
        for key in self.open_keys():
            r = &self.reservations[self.find(key)]
            if r.state & RESERVED_FIRM:
                order = (key, r.strategy, r.account, r.side, r.leaves, r.filled, r.px, r.cross_px, r.seen_at, r.state, _money(r.cost))
                if r.state & RESERVED_REPLACING:
                    order += (r.pending, r.pending_px, r.pending_cross, _money(r.pending_cost))
                orders.append(order)
        return repr((rows, orders, _money(self.spent), self.filled_at, bool(self.broken))).encode()


cdef _position(const position_t* p):
    return Position(p.qty, _money(p.cost), _money(p.realised), _money(p.fees), _money(p.buys), _money(p.sells))
