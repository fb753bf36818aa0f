"""What the facts made of a gate and its ledger, as plain rows, and a gate that goes on from them."""
from libc.stdint cimport int64_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memset

from pyrt._core.controls cimport SENT
from pyrt._core.ledger cimport (
    RESERVED_FIRM, RESERVED_REPLACING, Ledger, i128_hi, i128_lo, i128_of, money_add, position_t, reservation_t,
)
from pyrt._core.prices cimport order_t, tape_t
from pyrt._core.risk cimport Gate
from pyrt._core.types cimport i128
from pyrt._core.windows cimport MOVES, RING, activity_t, moves_add, moves_t, ring_add, ring_back, ring_t


cdef tuple _pair(i128 x):
    return i128_hi(x), i128_lo(x)


cdef i128 _whole(pair) except? -1:
    return i128_of(pair[0], pair[1])


cdef list _times(const ring_t* ring):
    return [ring_back(ring, k) for k in range(min(ring.n, RING), 0, -1)]


cdef list _moves(const moves_t* moves):
    return [(moves.at[i % MOVES], moves.px[i % MOVES]) for i in range(moves.n - MOVES if moves.n > MOVES else 0, moves.n)]


cdef int _again(moves_t* moves, rows, bint buy) except -1:
    cdef int64_t at, px
    moves.n = 0
    for at, px in rows:
        moves_add(moves, at, px, 0, buy)
    return 0


cdef int _refill(ring_t* ring, times) except -1:
    cdef int64_t at
    ring.n = 0
    for at in times:
        ring_add(ring, at)
    return 0


def dump_gate(Gate gate not None):
    """Everything durable as rows of integers; approvals that no fact stands behind yet are no part of it.

    Money is (high, low) of its 128 bits. Equal facts give equal rows, whatever approvals and marks came between.
    """
    return {"ledger": _ledger_rows(gate.ledger), "gate": _gate_rows(gate)}


def _ledger_rows(Ledger ledger):
    cdef position_t* p
    cdef reservation_t* r
    cdef uint32_t i, slot
    cdef bint replacing
    positions = []
    for i in range(1, ledger.positions_used):
        p = &ledger.positions[i]
        if p.qty or p.cost or p.realised or p.fees:
            positions.append((p.strategy, p.instrument, p.qty, _pair(p.cost), _pair(p.realised), _pair(p.fees)))
    positions.sort()
    orders = []
    for i in range(ledger.instruments):
        rows = []
        slot = ledger.first[i]
        while slot:                                          # newest first
            r = &ledger.reservations[slot]
            if r.state & RESERVED_FIRM:
                replacing = r.state & RESERVED_REPLACING
                rows.append((r.key, r.strategy, r.account, r.side, r.state, r.leaves, r.filled, r.seen_at, r.px, r.cross_px,
                             _pair(r.cost), *((r.pending, r.pending_px, r.pending_cross, _pair(r.pending_cost)) if replacing
                                              else (0, 0, 0, (0, 0)))))
            slot = r.next
        orders += reversed(rows)
    return positions, orders, _pair(ledger.spent), ledger.filled_at, bool(ledger.broken)


def _gate_rows(Gate gate):
    cdef activity_t* a
    cdef tape_t* t
    cdef const order_t* o
    cdef uint32_t i
    cdef uint64_t n
    activities = []
    for i in range(1, min(gate.ledger.positions_used, gate.activities_room)):
        a = &gate.activities[i]
        if a.sends[0].n or a.sends[1].n or a.execs[0].n or a.execs[1].n or a.trips.n:
            activities.append((gate.ledger.positions[i].strategy, gate.ledger.positions[i].instrument, _times(&a.sends[0]),
                               _times(&a.sends[1]), _times(&a.execs[0]), _times(&a.execs[1]), _times(&a.trips)))
    activities.sort()
    tapes = []
    for i in range(gate.instruments):
        t = &gate.tapes[i]
        if t.sends.n or t.cancels.n or t.fills.n or t.throttle or t.unknown or t.level or t.moves[0].n or t.moves[1].n:
            tapes.append((i, _times(&t.sends), _times(&t.cancels), _times(&t.fills), t.throttle, t.unknown, t.level,
                          _moves(&t.moves[0]), _moves(&t.moves[1])))
    strategies = []
    for i in range(1 << 16):
        if gate.strategy_throttle[i] or gate.strategy_level[i]:
            strategies.append((i, gate.strategy_throttle[i], gate.strategy_level[i]))
    sent = []
    for n in range(gate.sent_count - SENT if gate.sent_count > SENT else 0, gate.sent_count):
        o = &gate.sent[n % SENT].order
        sent.append((gate.sent[n % SENT].at, o.key, o.replaces, o.qty, o.limit_px, o.stop_px, o.trail, o.instrument,
                     o.strategy, o.side, o.type))
    return activities, tapes, strategies, sent, gate.system_level, gate.account_level, _pair(gate.buying_power)


def load_gate(Gate gate not None, state):
    """Put rows of `dump_gate` into a gate that took in no fact yet, but whose instruments are defined. Raises ValueError.

    The day's baseline and peak and the start gate are told anew by their owner: begin_day, open.
    """
    if gate.sent_count or gate.ledger.positions_used > 1 or gate.ledger.order_count:
        raise ValueError("this gate took in facts already")
    _load_ledger(gate.ledger, *state["ledger"])
    _load_gate(gate, *state["gate"])


def _load_ledger(Ledger ledger, positions, orders, spent, int64_t filled_at, bint broken):
    cdef position_t* p
    cdef position_t* a
    cdef reservation_t* r
    cdef uint32_t slot
    for strategy, instrument, qty, cost, realised, fees in positions:
        _defined(ledger, instrument)
        slot = ledger.position_slot(strategy, instrument, True)
        if slot == 0:
            raise MemoryError
        p = &ledger.positions[slot]
        p.qty, p.cost, p.realised, p.fees = qty, _whole(cost), _whole(realised), _whole(fees)
        a = &ledger.accounts[<uint32_t>instrument]
        a.qty += p.qty
        if not (money_add(a.cost, p.cost, &a.cost) and money_add(a.realised, p.realised, &a.realised) and
                money_add(a.fees, p.fees, &a.fees) and money_add(ledger.realised, p.realised, &ledger.realised) and
                money_add(ledger.fees, p.fees, &ledger.fees)):
            raise ValueError("sums beyond 128 bits")
    for key, strategy, instrument, side, state, leaves, filled, seen_at, px, cross_px, cost, *replacing in orders:
        pending, pending_px, pending_cross, pending_cost = replacing
        _defined(ledger, instrument)
        slot = ledger.put(key, strategy, instrument, side, 0, px, cross_px)
        if slot == 0:
            raise ValueError(f"reservation {key} comes twice")
        r = &ledger.reservations[slot]
        r.state, r.filled, r.seen_at = state, filled, seen_at
        r.pending_px, r.pending_cross = pending_px, pending_cross
        ledger.hold(slot, _whole(cost), _whole(pending_cost))
        ledger.shift(slot, leaves, pending)
    ledger.spent = _whole(spent)
    ledger.filled_at = filled_at
    ledger.broken = broken


def _load_gate(Gate gate, activities, tapes, strategies, sent, int system_level, int account_level, buying_power):
    cdef activity_t* a
    cdef tape_t* t
    cdef order_t* o
    cdef uint32_t i
    cdef int64_t at
    for strategy, instrument, buys, sells, bought, sold, trips in activities:
        _defined(gate.ledger, instrument)
        a = gate.activity(gate.ledger.position_slot(strategy, instrument, True))
        if a == NULL:
            raise MemoryError
        _refill(&a.sends[0], buys)
        _refill(&a.sends[1], sells)
        _refill(&a.execs[0], bought)
        _refill(&a.execs[1], sold)
        _refill(&a.trips, trips)
    for instrument, sends, cancels, fills, throttle, unknown, level, bought, sold in tapes:
        if not gate.grow(instrument):
            raise MemoryError
        t = &gate.tapes[<uint32_t>instrument]
        _refill(&t.sends, sends)
        _refill(&t.cancels, cancels)
        _refill(&t.fills, fills)
        _again(&t.moves[0], bought, True)
        _again(&t.moves[1], sold, False)
        t.throttle, t.unknown, t.level = throttle, unknown, level
    for strategy, throttle, level in strategies:
        gate.strategy_throttle[<uint16_t>strategy] = throttle
        gate.strategy_level[<uint16_t>strategy] = level
    for at, key, replaces, qty, limit_px, stop_px, trail, instrument, strategy, side, kind in sent:
        o = &gate.sent[gate.sent_count % SENT].order
        memset(o, 0, sizeof(order_t))
        o.key, o.replaces, o.qty, o.limit_px, o.stop_px, o.trail = key, replaces, qty, limit_px, stop_px, trail
        o.instrument, o.strategy, o.side, o.type = instrument, strategy, side, kind
        gate.sent[gate.sent_count % SENT].at = at
        gate.sent_count += 1
    gate.system_level, gate.account_level = system_level, account_level
    gate.buying_power = _whole(buying_power)
    for i in range(min(gate.instruments, gate.ledger.instruments)):
        gate.contribute(i)


def _defined(Ledger ledger, uint32_t instrument):
    if instrument == 0:                                      # the account itself: fees and interest
        return
    if instrument >= ledger.instruments or ledger.terms[instrument].scale == 0:
        raise ValueError(f"instrument {instrument} is not defined")
