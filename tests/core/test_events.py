"""What a callback receives."""

import math

import numpy as np
import pytest

from pyrt._core.events import Bar, Quote, Trade, bar_at, event_at, header_at
from pyrt._core.types import NO_PRICE, Flag, RecordType, Side, bar_dtype, market_dtype, quote_dtype, trade_dtype

PX = 10**9


def trades(n: int = 3) -> np.ndarray:
    rows = np.zeros(n, trade_dtype)
    rows["type"], rows["instrument"], rows["flags"] = RecordType.TRADE, 7, Flag.FEED_IEX
    rows["px"] = [(100 + i) * PX for i in range(n)]
    rows["qty"], rows["ts_event"], rows["taker"] = 5 * PX, 11, Side.SELL
    rows["conditions"], rows["exchange"] = int.from_bytes(b"@I", "little"), ord("V")
    return rows


@pytest.mark.parametrize("form", ["market", "trade", "bytes"])
def test_a_record_becomes_one_object_whatever_holds_it(form: str) -> None:
    rows = trades()
    held = {"market": rows.view(market_dtype), "trade": rows, "bytes": rows.tobytes()}[form]
    trade = event_at(held, 1, "AAPL", 1e9)
    assert isinstance(trade, Trade)
    assert (trade.price, trade.price_px, trade.size, trade.symbol) == (101.0, 101 * PX, 5.0, "AAPL")
    assert (trade.conditions, trade.exchange, trade.taker, trade.flags) == ("@I", "V", Side.SELL, Flag.FEED_IEX)
    assert header_at(held, 1) == (RecordType.TRADE, 7, Flag.FEED_IEX)
    rows["px"] = 0
    assert trade.price == 101.0  # a copy: safe to keep


def test_outside_the_array_and_other_sizes_are_refused() -> None:
    rows = trades()
    for index in (-1, 3, 1 << 40):
        for read in (event_at, bar_at):
            with pytest.raises(IndexError):
                read(rows if read is event_at else np.zeros(3, bar_dtype), index, "A", 1e9)
        with pytest.raises(IndexError):
            header_at(rows, index)
    with pytest.raises(ValueError, match="64 bytes"):
        event_at(b"x" * 65, 0, "A", 1e9)
    with pytest.raises(ValueError, match="128 bytes"):
        bar_at(b"x" * 64, 0, "A", 1e9)


def test_an_empty_side_is_nan() -> None:
    rows = np.zeros(1, quote_dtype)
    rows["type"], rows["bid_px"], rows["ask_px"] = RecordType.QUOTE, 99 * PX, NO_PRICE
    quote = event_at(rows, 0, "AAPL", 1e9)
    assert isinstance(quote, Quote)
    assert quote.bid == 99.0
    assert math.isnan(quote.ask)
    assert math.isnan(quote.mid)


def test_a_record_of_another_type_is_not_read_as_this_one() -> None:
    quote = Quote("A", bid=1, ask=2, bid_size=3, ask_size=4, ts=5).to_bytes()
    with pytest.raises(ValueError, match="no trade record"):
        Trade.from_bytes(quote, "A")
    with pytest.raises(ValueError, match="64 bytes"):
        Quote.from_bytes(quote[:-1], "A")
    timer = np.zeros(1, market_dtype)
    timer["type"] = RecordType.TIMER
    assert event_at(timer, 0, "A", 1e9) is None


def test_round_trips_and_equality() -> None:
    trade = Trade("A", price="1.25", size=2, ts=3)
    quote = Quote("A", bid=1, ask=None, bid_size=3, ask_size=0, ts=5)
    bar = Bar("A", start=0, interval=60, open=1, high=3, low="0.5", close=2, volume=10, trades=4)
    for event, kind in ((trade, Trade), (quote, Quote), (bar, Bar)):
        again = kind.from_bytes(event.to_bytes(), "A")
        assert again == event
        assert hash(again) == hash(event)
        assert again != kind.from_bytes(event.to_bytes(), "B")
        assert "symbol" in event.to_dict()
    assert (bar.end, bar.low, bar.volume_qty) == (60, 0.5, 10 * PX)


def test_a_bar_made_by_hand_has_the_vwap_it_was_given_or_its_close() -> None:
    make = {"start": 0, "interval": 60, "open": 1, "high": 3, "low": 1, "close": 2, "volume": 10}
    assert Bar("A", **make).vwap == 2.0
    assert Bar("A", **make, vwap="1.75").vwap == 1.75
    assert math.isnan(Bar("A", **{**make, "volume": 0}).vwap)
