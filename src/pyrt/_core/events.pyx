"""Trade, Quote and Bar as strategies see them.

Attributes without a suffix are floats in whole units (190.5 = $190.50), the nearest double to the exact number; attributes that
end in `_px` or `_qty` are the exact integers of the record. Passing such a float to an order is safe: it is read through repr.
"""
cimport cython
from libc.math cimport NAN, pow
from libc.string cimport memcpy
from cpython.buffer cimport PyBuffer_Release
from cpython.bytes cimport PyBytes_FromStringAndSize

from pyrt._core.buffers cimport open_records
from pyrt._core.types cimport (
    NO_PX, TYPE_BAR, TYPE_QUOTE, TYPE_TRADE, header_t, i128_to_object, market_t,
)
from pyrt._core.types import Flag, Side, to_units


cdef inline double _price(int64_t px) noexcept nogil:
    return NAN if px == NO_PX else px / 1e9


cdef str _letters(unsigned int packed):
    cdef bytes text = bytes([packed & 255, packed >> 8 & 255, packed >> 16 & 255, packed >> 24 & 255])
    return text.rstrip(b"\0").decode("ascii", "replace")


cdef _copy(const unsigned char[::1] data, void* into, size_t size, uint16_t kind, str name):
    if <size_t>data.shape[0] != size:
        raise ValueError(f"a {name} record has {size} bytes, not {data.shape[0]}")
    if (<const header_t*>&data[0]).type != kind:
        raise ValueError(f"this is no {name} record")
    memcpy(into, &data[0], size)


@cython.final
@cython.freelist(64)
cdef class Trade:
    """A print: what was traded, where and when."""

    def __init__(self, symbol, *, price, size, ts, qty_exp=9, flags=0):
        self.symbol = symbol
        self.unit = pow(10.0, <int>qty_exp)
        self.r.type = TYPE_TRADE
        self.r.flags = flags
        self.r.px = to_units(price)
        self.r.qty = to_units(size, qty_exp)
        self.r.ts_event = self.r.ts_recv = ts

    @staticmethod
    def from_bytes(data, symbol, qty_exp=9):
        """Take in a 64-byte trade record."""
        cdef Trade t = Trade.__new__(Trade)
        _copy(data, &t.r, sizeof(trade_t), TYPE_TRADE, "trade")
        t.symbol = symbol
        t.unit = pow(10.0, <int>qty_exp)
        return t

    def to_bytes(self):
        """The 64-byte record."""
        return PyBytes_FromStringAndSize(<char*>&self.r, sizeof(trade_t))

    @property
    def price(self):
        return _price(self.r.px)

    @property
    def size(self):
        return self.r.qty / self.unit

    @property
    def price_px(self):
        return self.r.px

    @property
    def size_qty(self):
        return self.r.qty

    @property
    def ts(self):
        return self.r.ts_event

    @property
    def ts_recv(self):
        return self.r.ts_recv

    @property
    def id(self):
        return self.r.trade_id

    @property
    def taker(self):
        return Side(self.r.taker) if self.r.taker else None

    @property
    def conditions(self):
        return _letters(self.r.conditions)

    @property
    def exchange(self):
        return chr(self.r.exchange) if self.r.exchange else ""

    @property
    def flags(self):
        return Flag(self.r.flags)

    def to_dict(self):
        return {"symbol": self.symbol, "price": self.price, "size": self.size, "ts": self.ts, "id": self.id,
                "conditions": self.conditions, "exchange": self.exchange, "flags": int(self.r.flags)}

    def __eq__(self, other):
        return isinstance(other, Trade) and self.symbol == other.symbol and self.to_bytes() == other.to_bytes()

    def __hash__(self):
        return hash((self.symbol, self.r.ts_event, self.r.px, self.r.qty, self.r.trade_id))

    def __repr__(self):
        return f"Trade({self.symbol!r}, price={self.price!r}, size={self.size!r}, ts={self.ts})"


@cython.final
@cython.freelist(64)
cdef class Quote:
    """The best bid and offer; a side that is empty has price nan and size 0."""

    def __init__(self, symbol, *, bid, ask, bid_size, ask_size, ts, qty_exp=9, flags=0):
        self.symbol = symbol
        self.unit = pow(10.0, <int>qty_exp)
        self.r.type = TYPE_QUOTE
        self.r.flags = flags
        self.r.bid_px = NO_PX if bid is None else to_units(bid)
        self.r.ask_px = NO_PX if ask is None else to_units(ask)
        self.r.bid_qty = to_units(bid_size, qty_exp)
        self.r.ask_qty = to_units(ask_size, qty_exp)
        self.r.ts_event = self.r.ts_recv = ts

    @staticmethod
    def from_bytes(data, symbol, qty_exp=9):
        """Take in a 64-byte quote record."""
        cdef Quote q = Quote.__new__(Quote)
        _copy(data, &q.r, sizeof(quote_t), TYPE_QUOTE, "quote")
        q.symbol = symbol
        q.unit = pow(10.0, <int>qty_exp)
        return q

    def to_bytes(self):
        """The 64-byte record."""
        return PyBytes_FromStringAndSize(<char*>&self.r, sizeof(quote_t))

    @property
    def bid(self):
        return _price(self.r.bid_px)

    @property
    def ask(self):
        return _price(self.r.ask_px)

    @property
    def mid(self):
        if self.r.bid_px == NO_PX or self.r.ask_px == NO_PX:
            return NAN
        return (self.r.bid_px / 1e9 + self.r.ask_px / 1e9) / 2

    @property
    def bid_size(self):
        return self.r.bid_qty / self.unit

    @property
    def ask_size(self):
        return self.r.ask_qty / self.unit

    @property
    def bid_px(self):
        return self.r.bid_px

    @property
    def ask_px(self):
        return self.r.ask_px

    @property
    def bid_qty(self):
        return self.r.bid_qty

    @property
    def ask_qty(self):
        return self.r.ask_qty

    @property
    def ts(self):
        return self.r.ts_event

    @property
    def ts_recv(self):
        return self.r.ts_recv

    @property
    def flags(self):
        return Flag(self.r.flags)

    def to_dict(self):
        return {"symbol": self.symbol, "bid": self.bid, "ask": self.ask, "bid_size": self.bid_size, "ask_size": self.ask_size,
                "ts": self.ts, "flags": int(self.r.flags)}

    def __eq__(self, other):
        return isinstance(other, Quote) and self.symbol == other.symbol and self.to_bytes() == other.to_bytes()

    def __hash__(self):
        return hash((self.symbol, self.r.ts_event, self.r.bid_px, self.r.ask_px, self.r.bid_qty, self.r.ask_qty))

    def __repr__(self):
        return (f"Quote({self.symbol!r}, bid={self.bid!r}, ask={self.ask!r}, bid_size={self.bid_size!r}, "
                f"ask_size={self.ask_size!r}, ts={self.ts})")


@cython.final
@cython.freelist(64)
cdef class Bar:
    """Open, high, low, close and volume of an interval [start, end)."""

    def __init__(self, symbol, *, start, interval, open, high, low, close, volume, trades=0, vwap=None, qty_exp=9, flags=0):
        self.symbol = symbol
        self.unit = pow(10.0, <int>qty_exp)
        self.r.type = TYPE_BAR
        self.r.flags = flags
        self.r.start = start
        self.r.interval = interval
        self.r.ts_event = self.r.ts_recv = start + interval
        self.r.open_px = to_units(open)
        self.r.high_px = to_units(high)
        self.r.low_px = to_units(low)
        self.r.close_px = to_units(close)
        self.r.volume = to_units(volume, qty_exp)
        self.r.trades = trades
        notional = to_units(close if vwap is None else vwap) * int(self.r.volume)
        self.r.notional_lo = notional & 0xFFFFFFFFFFFFFFFF
        self.r.notional_hi = notional >> 64

    @staticmethod
    def from_bytes(data, symbol, qty_exp=9):
        """Take in a 128-byte bar record."""
        cdef Bar b = Bar.__new__(Bar)
        _copy(data, &b.r, sizeof(bar_t), TYPE_BAR, "bar")
        b.symbol = symbol
        b.unit = pow(10.0, <int>qty_exp)
        return b

    def to_bytes(self):
        """The 128-byte record."""
        return PyBytes_FromStringAndSize(<char*>&self.r, sizeof(bar_t))

    @property
    def start(self):
        return self.r.start

    @property
    def end(self):
        return self.r.start + self.r.interval if self.r.interval > 0 else self.r.ts_event

    @property
    def interval(self):
        return self.r.interval

    @property
    def open(self):
        return _price(self.r.open_px)

    @property
    def high(self):
        return _price(self.r.high_px)

    @property
    def low(self):
        return _price(self.r.low_px)

    @property
    def close(self):
        return _price(self.r.close_px)

    @property
    def volume(self):
        return self.r.volume / self.unit

    @property
    def vwap(self):
        if self.r.volume == 0:
            return NAN
        return (<double>self.r.notional_hi * 18446744073709551616.0 + <double>self.r.notional_lo) / self.r.volume / 1e9

    @property
    def open_px(self):
        return self.r.open_px

    @property
    def high_px(self):
        return self.r.high_px

    @property
    def low_px(self):
        return self.r.low_px

    @property
    def close_px(self):
        return self.r.close_px

    @property
    def volume_qty(self):
        return self.r.volume

    @property
    def notional(self):
        return i128_to_object(self.r.notional_lo, self.r.notional_hi)

    @property
    def trades(self):
        return self.r.trades

    @property
    def revision(self):
        return self.r.revision

    @property
    def ts_recv(self):
        return self.r.ts_recv

    @property
    def flags(self):
        return Flag(self.r.flags)

    def to_dict(self):
        return {"symbol": self.symbol, "start": self.start, "interval": self.interval, "open": self.open, "high": self.high,
                "low": self.low, "close": self.close, "volume": self.volume, "trades": self.trades, "revision": self.revision,
                "flags": int(self.r.flags)}

    def __eq__(self, other):
        return isinstance(other, Bar) and self.symbol == other.symbol and self.to_bytes() == other.to_bytes()

    def __hash__(self):
        return hash((self.symbol, self.r.start, self.r.interval, self.r.close_px, self.r.volume, self.r.revision))

    def __repr__(self):
        return (f"Bar({self.symbol!r}, start={self.start}, interval={self.interval}, open={self.open!r}, high={self.high!r}, "
                f"low={self.low!r}, close={self.close!r}, volume={self.volume!r})")


cdef Trade make_trade(const trade_t* r, str symbol, double unit):
    cdef Trade t = Trade.__new__(Trade)
    t.r = r[0]
    t.symbol = symbol
    t.unit = unit
    return t


cdef Quote make_quote(const quote_t* r, str symbol, double unit):
    cdef Quote q = Quote.__new__(Quote)
    q.r = r[0]
    q.symbol = symbol
    q.unit = unit
    return q


cdef Bar make_bar(const bar_t* r, str symbol, double unit):
    cdef Bar b = Bar.__new__(Bar)
    b.r = r[0]
    b.symbol = symbol
    b.unit = unit
    return b


def event_at(records, Py_ssize_t index, str symbol, double unit):
    """The Trade or Quote of the market record at `index` (records: a market_dtype array or its bytes); None for other types."""
    cdef Py_buffer view
    cdef const market_t* r
    cdef Py_ssize_t n = open_records(records, &view, sizeof(market_t))
    try:
        if not 0 <= index < n:
            raise IndexError(f"record {index} is outside the array")
        r = <const market_t*>view.buf + index
        if r.header.type == TYPE_TRADE:
            return make_trade(&r.trade, symbol, unit)
        if r.header.type == TYPE_QUOTE:
            return make_quote(&r.quote, symbol, unit)
        return None
    finally:
        PyBuffer_Release(&view)


def header_at(records, Py_ssize_t index):
    """(type, instrument, flags) of the market record at `index`."""
    cdef Py_buffer view
    cdef const market_t* r
    cdef Py_ssize_t n = open_records(records, &view, sizeof(market_t))
    try:
        if not 0 <= index < n:
            raise IndexError(f"record {index} is outside the array")
        r = <const market_t*>view.buf + index
        return r.header.type, r.header.instrument, r.header.flags
    finally:
        PyBuffer_Release(&view)


def bar_at(bars, Py_ssize_t index, str symbol, double unit):
    """The Bar at `index` (bars: a bar_dtype array or its bytes)."""
    cdef Py_buffer view
    cdef Py_ssize_t n = open_records(bars, &view, sizeof(bar_t))
    try:
        if not 0 <= index < n:
            raise IndexError(f"bar {index} is outside the array")
        return make_bar(<const bar_t*>view.buf + index, symbol, unit)
    finally:
        PyBuffer_Release(&view)
