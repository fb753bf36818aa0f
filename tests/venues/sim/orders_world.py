"""A small market and an account for the tests of orders."""

import numpy as np
import pytest

from pyrt._core.types import NO_PRICE, RecordType, market_dtype, quote_dtype, to_units, trade_dtype
from pyrt.model import Instrument
from pyrt.venues.sim.exchange.exchange import Exchange
from pyrt.venues.sim.exchange.orders import VenueRefusal

T = 1_772_463_846_000_000_000  # 2026-03-02T15:04:06Z
SECOND = 1_000_000_000
INSTRUMENTS = [Instrument(id=1, symbol="AAPL"), Instrument(id=2, symbol="MSFT")]


def quote(bid, bid_qty, ask, ask_qty, ts=T, instrument=1):
    row = np.zeros(1, dtype=quote_dtype)
    row["type"], row["instrument"], row["ts_event"] = int(RecordType.QUOTE), instrument, ts
    row["bid_px"] = to_units(bid) if bid else NO_PRICE
    row["ask_px"] = to_units(ask) if ask else NO_PRICE
    row["bid_qty"], row["ask_qty"] = bid_qty * SECOND, ask_qty * SECOND
    return row.view(market_dtype)


def level(bid, ask, ts=T, size=1000, instrument=1):
    """A quote of one size on both sides."""
    return quote(bid, size, ask, size, ts, instrument)


def trade(px, qty=100, ts=T, instrument=1, flags=0):
    row = np.zeros(1, dtype=trade_dtype)
    row["type"], row["instrument"], row["ts_event"], row["flags"] = int(RecordType.TRADE), instrument, ts, flags
    row["px"], row["qty"] = to_units(px), qty * SECOND
    return row.view(market_dtype)


def body(side="buy", qty="10", kind="market", tif="day", symbol="AAPL", **more):
    return {"symbol": symbol, "qty": qty, "side": side, "type": kind, "time_in_force": tif, **more}


def bracket(target="199", stop="180", stop_limit=None, order_class="bracket", **more):
    legs = {}
    if target:
        legs["take_profit"] = {"limit_price": target}
    if stop:
        legs["stop_loss"] = {"stop_price": stop, **({"limit_price": stop_limit} if stop_limit else {})}
    return body(order_class=order_class, **legs, **more)


def opened(**settings):
    """An exchange whose AAPL is 189.50 x 189.53, last 189.52."""
    ex = Exchange(INSTRUMENTS, **settings)
    ex.on_market(np.concatenate([quote("189.50", 300, "189.53", 60), trade("189.52", 100)]))
    return ex


def told(ex):
    """(event, who, status, qty of the execution) since the last call; who = the role in a group, or the client's id."""
    out = []
    for _, u in ex.take_updates():
        row = ex.state.rows[ex._ids[u["order"]["id"]] - 1]
        out.append((u["event"], row.role or row.cid, u["order"]["status"], u.get("qty")))
    return out


def refusal(call, *args, **named):
    with pytest.raises(VenueRefusal) as caught:
        call(*args, **named)
    return caught.value


def power(ex):
    return ex.account()["buying_power"]
