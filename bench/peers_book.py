"""Level books of others: each must end with the best prices that ours ends with before it is timed."""

import ctypes
from typing import Any

import numpy as np

from bench import material
from bench.material import TICK
from bench.rows import Run
from pyrt._core.book import OrderBook
from pyrt._core.types import Side, delta_dtype


def agreed(run: Run, records: material.Records) -> Run:
    """`run` returns its best bid and ask, in whole units, price and quantity; None once they are ours."""
    book = OrderBook(TICK)
    book.apply(records.view(np.uint8))
    wanted = [(px / 1e9, qty / 1e9) for px, qty in (best for best in (book.best_bid, book.best_ask) if best)]
    if (got := [tuple(best) for best in run()]) != wanted:
        raise AssertionError(f"best prices {got}, ours {wanted}")

    def timed() -> None:
        run()

    return timed


def columns(records: material.Records) -> tuple[Any, Any, Any]:
    """Whether it is a bid, price and quantity in whole units."""
    rows = records.view(delta_dtype)
    return rows["side"] == Side.BUY, rows["px"] / 1e9, rows["qty"] / 1e9


def fastmm_batch(records: material.Records) -> Run:
    """All bids and all asks in one call of its book for research; the best prices are looked at once."""
    from fastmm import OrderBook as Peer

    buys, price, quantity = columns(records)
    both = np.column_stack([price, quantity])
    bids, asks = both[buys], both[~buys]

    def run() -> Any:
        book = Peer()
        book.apply_delta(bids, asks)
        return book.best_bid(), book.best_ask()

    return agreed(run, records)


def fastmm_calls(records: material.Records) -> Run:
    """A call an update, and one for the best price of its side."""
    from fastmm import OrderBook as Peer

    changes = list(zip(*(column.tolist() for column in columns(records)), strict=True))

    def run() -> Any:
        book = Peer()
        for buy, price, quantity in changes:
            if buy:
                book.apply_delta([(price, quantity)])
                book.best_bid()
            else:
                book.apply_delta(None, [(price, quantity)])
                book.best_ask()
        return book.best_bid(), book.best_ask()

    return agreed(run, records)


class HftBacktest:
    """Its backtest over depth events alone, in a range of prices that is known beforehand, its fastest book; no strategy runs.

    There is no other way from Python to feed its books: reading its own array of events is part of what is timed.
    """

    def __init__(self, records: material.Records) -> None:
        import hftbacktest as peer
        from hftbacktest import _hftbacktest, binding

        buys, price, quantity = columns(records)
        self._events = np.zeros(len(records), binding.event_dtype)
        self._events["ev"] = peer.DEPTH_EVENT | peer.LOCAL_EVENT | np.where(buys, peer.BUY_EVENT, peer.SELL_EVENT)
        self._events["exch_ts"] = self._events["local_ts"] = 1_000 * np.arange(1, len(records) + 1)
        self._events["px"], self._events["qty"] = price, quantity
        self._lowest, self._highest = float(price.min()) - 1, float(price.max()) + 1
        self._peer, self._build, self._c = peer, _hftbacktest.build_roivec_backtest, binding
        self._made: Any = None
        agreed(self._whole, records)

    def make(self) -> None:
        """A new one, that has read nothing yet."""
        if self._made is not None:
            self._c.roivecbt_close(self._made)
        asset = self._peer.BacktestAsset().data([self._events]).linear_asset(1.0).constant_order_latency(0, 0)
        asset = asset.risk_adverse_queue_model().no_partial_fill_exchange().trading_value_fee_model(0, 0)
        asset = asset.tick_size(0.01).lot_size(1.0).roi_lb(self._lowest).roi_ub(self._highest)
        self._made = self._build([asset])

    def run(self) -> None:
        self._c.roivecbt_elapse(self._made, 10**15)

    def _whole(self) -> Any:
        self.make()
        self.run()
        depth, c = ctypes.c_void_p(self._c.roivecbt_depth(self._made, 0)), self._c
        bid = c.roivecdepth_best_bid(depth), c.roivecdepth_best_bid_qty(depth)
        return bid, (c.roivecdepth_best_ask(depth), c.roivecdepth_best_ask_qty(depth))
