"""Buy, sell, position and open_orders of a strategy, done natively where they are plain."""
cimport cython
from cpython.dict cimport PyDict_GetItem
from cpython.object cimport PyObject, PyTypeObject
from libc.string cimport memset

from pyrt._core.ledger cimport i128_hi, i128_lo, i128_of, position_t
from pyrt._core.prices cimport ORDER_LIMIT, ORDER_MARKET, ORDER_STOP, ORDER_STOP_LIMIT
from pyrt._core.types cimport SIDE_BUY, SIDE_SELL, i128_to_object, plain_units


cdef enum:
    TIF_FOK = 4                        # model.TimeInForce; beyond it are the auctions

cdef int64_t ONE_DOLLAR = 1_000_000_000
cdef double LONGEST = 4e9              # seconds that are surely an int64 of ns,
cdef int64_t LATEST = 5_000_000_000_000_000_000     # also after this instant
cdef tuple NOTHING = ()


cdef class Ticket:
    """What is known of an order. `_intent` is made when somebody asks for it."""

    def __cinit__(self, *arguments, **named):
        self.reason, self.breaches, self.legs = "", NOTHING, NOTHING
        self.is_exit = False
        self._filled_qty, self._cost = 0, 0

    def __init__(self, intent, instrument):
        self.made, self._instrument = intent, instrument
        self.wish.strategy, self.wish.source, self.wish.instrument = intent.strategy, intent.source, intent.instrument

    cdef object intent(self):
        cdef wish_t* w = &self.wish
        if self.made is None and self.seat is not None:
            self.made = self.seat.intent(w.strategy, w.source, w.instrument, w.side, w.type, w.tif, w.qty, w.limit_px, w.stop_px,
                                         bool(w.reduce_only), w.valid_until)
            self.seat = None
        return self.made

    @property
    def _key(self):
        return <uint64_t>self.wish.strategy << 48 | self.wish.source

    @property
    def _intent(self):
        return self.intent()

    @_intent.setter
    def _intent(self, intent):
        self.made, self.seat = intent, None


cdef class Holding:
    """Shares that are held, and what they cost."""

    def __init__(self, instrument, int64_t qty, cost, realised):
        self._instrument, self.quantity_qty = instrument, qty
        self.cost = i128_of(cost >> 64, cost & 0xffffffffffffffff)
        self.realised = i128_of(realised >> 64, realised & 0xffffffffffffffff)

    @property
    def _cost(self):
        return i128_to_object(i128_lo(self.cost), i128_hi(self.cost))

    @property
    def _realised(self):
        return i128_to_object(i128_lo(self.realised), i128_hi(self.realised))

    def __bool__(self):
        return self.quantity_qty != 0


@cython.final
cdef class Row:
    """An instrument's units."""


@cython.final
cdef class Seat:
    """Where a strategy sits at its session's desk.

    intent: called with the terms of a plain order, gives its Intent. tif_of: gives the time in force of an instrument for which none
    is named. post: takes a new order. The dicts are the desk's own. shown: strategies whose orders are shown in C, not sent here.
    """

    def __cinit__(self, Loop loop not None, Ledger ledger not None, uint16_t strategy, *, order, holding, intent, tif_of, post,
                  dict known not None, dict tifs not None, dict orders not None, dict opened not None, dict sources not None,
                  dict shown not None):
        if not issubclass(order, Ticket) or not issubclass(holding, Holding):
            raise TypeError("an order is a Ticket, a position a Holding")
        self.loop, self.ledger, self.strategy, self.number = loop, ledger, strategy, strategy
        self.order, self.holding, self.intent, self.tif_of, self.post = order, holding, intent, tif_of, post
        self.known, self.tifs, self.orders, self.opened, self.sources, self.shown = known, tifs, orders, opened, sources, shown
        self.rows = {}

    cdef Row row(self, symbol):
        # A definition may be told anew: what is known by a symbol then is another object.
        cdef PyObject* found
        cdef PyObject* kept
        cdef Row row
        if type(symbol) is not str:
            return None
        found, kept = PyDict_GetItem(self.known, symbol), PyDict_GetItem(self.rows, symbol)
        if found == NULL:
            return None
        if kept != NULL and <PyObject*>(<Row>kept).instrument == found:
            return <Row>kept
        instrument = <object>found
        if not (0 <= instrument.qty_exp <= 9 and instrument.lot > 0 and instrument.tick > 0 and instrument.sub_tick > 0):
            return None
        row = Row.__new__(Row)
        row.instrument, row.id, row.exp, row.lot = instrument, instrument.id, instrument.qty_exp, instrument.lot
        row.tick, row.sub_tick, row.tif = instrument.tick, instrument.sub_tick, self.tif_of(instrument)
        self.rows[symbol] = row
        return row

    cdef object send(self, uint8_t side, symbol, quantity, limit, stop, tif, reduce_only, valid_for):
        # A new order that is tracked and posted, or None: nothing was done.
        cdef Row row = self.row(symbol)
        cdef Ticket t
        cdef wish_t w
        cdef PyObject* found
        cdef object source
        cdef int64_t life
        memset(&w, 0, sizeof(w))
        if row is None or not self.loop.running or (reduce_only is not True and reduce_only is not False) or \
                self.number in self.shown:
            return None
        if type(valid_for) is not float or not -LONGEST < <double>valid_for < LONGEST:
            return None
        life = <int64_t>(<double>valid_for * 1e9)
        w.side, w.tif, w.reduce_only = side, row.tif, reduce_only
        if tif is not None:
            found = PyDict_GetItem(self.tifs, tif) if type(tif) is str else NULL
            if found == NULL:
                return None
            w.tif = <object>found
        if not plain_units(quantity, row.exp, &w.qty) or w.qty <= 0 or w.qty % row.lot or \
                (limit is not None and not is_price(row, limit, &w.limit_px)) or \
                (stop is not None and (w.tif > TIF_FOK or not is_price(row, stop, &w.stop_px))):
            return None
        w.type = (ORDER_STOP_LIMIT if w.limit_px else ORDER_STOP) if w.stop_px else ORDER_LIMIT if w.limit_px else ORDER_MARKET
        w.valid_until = self.loop.venue
        if not 0 <= w.valid_until < LATEST:
            return None
        w.valid_until += life
        found = PyDict_GetItem(self.sources, self.number)
        w.source = <uint64_t>(<object>found if found != NULL else 0) + 1
        w.strategy, w.instrument = self.strategy, row.id
        source = w.source
        self.sources[self.number] = source
        t = <Ticket>(<PyTypeObject*>self.order).tp_new(<type>self.order, <PyObject*>NOTHING, NULL)
        t.wish, t.seat, t._instrument = w, self, row.instrument
        self.orders[self.number, source] = t
        found = PyDict_GetItem(self.opened, self.number)
        if found == NULL:
            self.opened[self.number] = {source: t}
        else:
            (<dict>found)[source] = t
        self.post(t)
        return t

    cdef object held(self, symbol):
        cdef Row row = self.row(symbol)
        cdef Holding h
        cdef const position_t* p
        if row is None:
            return None
        p = &self.ledger.positions[self.ledger.position_slot(self.strategy, row.id, False)]
        h = <Holding>(<PyTypeObject*>self.holding).tp_new(<type>self.holding, <PyObject*>NOTHING, NULL)
        h._instrument, h.quantity_qty, h.cost, h.realised = row.instrument, p.qty, p.cost, p.realised
        return h

    cdef object working(self, symbol):
        cdef PyObject* found
        cdef Row row = None
        cdef list out
        if symbol is not None:
            row = self.row(symbol)
            if row is None:
                return None
        found = PyDict_GetItem(self.opened, self.number)
        if found == NULL:
            return []
        out = []
        for each in (<dict>found).values():
            if row is None or (<Ticket?>each).wish.instrument == row.id:
                out.append(each)
        return out


cdef inline bint is_price(Row row, price, int64_t* out):
    return plain_units(price, 9, out) and out[0] > 0 and out[0] % (row.tick if out[0] >= ONE_DOLLAR else row.sub_tick) == 0


# ---------------------------------------------------------------------------------------------------- verbs
cdef inline Seat seat_of(strategy):
    seat = strategy._seat
    return <Seat>seat if type(seat) is Seat else None


cdef object slow_buy, slow_sell, slow_position, slow_open_orders


def before(str verb not None):
    """A decorator of the Python that a verb is: what is plain is done before it. Raises KeyError for other names."""
    native = {"buy": buy, "sell": sell, "position": position, "open_orders": open_orders}[verb]

    def take(python):
        global slow_buy, slow_sell, slow_position, slow_open_orders
        if verb == "buy":
            slow_buy = python
        elif verb == "sell":
            slow_sell = python
        elif verb == "position":
            slow_position = python
        else:
            slow_open_orders = python
        for name in ("__module__", "__name__", "__qualname__", "__doc__", "__annotations__"):
            setattr(native, name, getattr(python, name))
        native.__wrapped__ = python
        return native

    return take


def buy(self, symbol, quantity, *, limit=None, stop=None, trail=None, trail_percent=None, take_profit=None, stop_loss=None,
        stop_loss_limit=None, tif=None, reduce_only=False, extended_hours=False, valid_for=30.0, round=None):
    cdef Seat seat
    if trail is None and trail_percent is None and take_profit is None and stop_loss is None and stop_loss_limit is None and \
            extended_hours is False and round is None:
        seat = seat_of(self)
        order = seat.send(SIDE_BUY, symbol, quantity, limit, stop, tif, reduce_only, valid_for) if seat is not None else None
        if order is not None:
            return order
    return slow_buy(self, symbol, quantity, limit=limit, stop=stop, trail=trail, trail_percent=trail_percent, take_profit=take_profit,
                    stop_loss=stop_loss, stop_loss_limit=stop_loss_limit, tif=tif, reduce_only=reduce_only,
                    extended_hours=extended_hours, valid_for=valid_for, round=round)


def sell(self, symbol, quantity, *, limit=None, stop=None, trail=None, trail_percent=None, take_profit=None, stop_loss=None,
         stop_loss_limit=None, tif=None, reduce_only=False, extended_hours=False, valid_for=30.0, round=None):
    cdef Seat seat
    if trail is None and trail_percent is None and take_profit is None and stop_loss is None and stop_loss_limit is None and \
            extended_hours is False and round is None:
        seat = seat_of(self)
        order = seat.send(SIDE_SELL, symbol, quantity, limit, stop, tif, reduce_only, valid_for) if seat is not None else None
        if order is not None:
            return order
    return slow_sell(self, symbol, quantity, limit=limit, stop=stop, trail=trail, trail_percent=trail_percent,
                     take_profit=take_profit, stop_loss=stop_loss, stop_loss_limit=stop_loss_limit, tif=tif, reduce_only=reduce_only,
                     extended_hours=extended_hours, valid_for=valid_for, round=round)


def position(self, symbol):
    cdef Seat seat = seat_of(self)
    held = seat.held(symbol) if seat is not None else None
    return held if held is not None else slow_position(self, symbol)


def open_orders(self, symbol=None):
    cdef Seat seat = seat_of(self)
    found = seat.working(symbol) if seat is not None else None
    return found if found is not None else slow_open_orders(self, symbol)
