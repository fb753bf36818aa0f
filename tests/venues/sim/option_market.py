"""An exchange with options on AAPL at 190.00, and the words that tests of options share."""

from datetime import date

import numpy as np

from pyrt._core.types import RecordType, market_dtype, quote_dtype, to_units
from pyrt.model import Instrument
from pyrt.venues.sim.exchange.exchange import Exchange
from pyrt.venues.sim.market.options import occ

T = 1_772_463_846_000_000_000  # 2026-03-02T15:04:06Z, a Monday
SECOND = 1_000_000_000
MARCH = date(2026, 3, 20)
NEAR = date(2026, 3, 6)
NEAR_ENDS = 1_772_830_800_000_000_000  # 2026-03-06 16:00 New York
INSTRUMENTS = [Instrument(id=1, symbol="AAPL"), Instrument(id=2, symbol="MSFT")]


def quote(mid, ts=T, instrument=1):
    row = np.zeros(1, dtype=quote_dtype)
    row["type"], row["instrument"], row["ts_event"] = int(RecordType.QUOTE), instrument, ts
    row["bid_px"], row["ask_px"] = to_units(mid) - 10_000_000, to_units(mid) + 10_000_000
    row["bid_qty"] = row["ask_qty"] = 500 * SECOND
    return row.view(market_dtype)


def exchange(level=3, cash="100000", multiplier=2, **more):
    venue = Exchange(INSTRUMENTS, cash=cash, multiplier=multiplier, options_level=level, **more)
    venue.on_market(np.concatenate([quote("190"), quote("410", T + 1, 2)]))
    venue.options.list_contracts()
    return venue


def call(strike, day=MARCH, root="AAPL"):
    return occ(root, day, True, to_units(str(strike)))


def put(strike, day=MARCH, root="AAPL"):
    return occ(root, day, False, to_units(str(strike)))


def order(symbol, side, qty=1, limit=None, **more):
    body = {"symbol": symbol, "qty": str(qty), "side": side, "type": "limit" if limit else "market", "time_in_force": "day"}
    return body | ({"limit_price": limit} if limit else {}) | more


def legs(*parts):
    return [{"symbol": symbol, "side": side, "ratio_qty": str(ratio)} for symbol, side, ratio in parts]


def package(parts, qty=1, limit=None, **more):
    body = {"order_class": "mleg", "qty": str(qty), "type": "limit" if limit else "market", "time_in_force": "day"}
    return body | {"legs": legs(*parts)} | ({"limit_price": limit} if limit else {}) | more


def fills(venue):
    return [u for _, u in venue.take_updates() if u["event"] in ("fill", "partial_fill")]
