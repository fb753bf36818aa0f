"""What one event costs on this machine: checks for pytest-benchmark, run by `pyrt bench` from wherever pyrt is installed.

Each is one call from Python, as a script or a strategy makes it; batches cost far less an event.
"""

from collections.abc import Callable, Iterator
from itertools import count
from typing import Any

import numpy as np

from pyrt._core.bars import BarAggregator
from pyrt._core.book import OrderBook
from pyrt._core.ledger import Ledger
from pyrt._core.pipeline import Pipeline
from pyrt._core.risk import Gate
from pyrt._core.types import RecordType, Side, market_dtype, quote_dtype, ref_dtype, trade_dtype
from pyrt._core.wire import Decoder, Encoder
from pyrt.model import Instrument, OrderType, TimeInForce
from pyrt.ports import OrderRequest
from pyrt.risk import Limits
from pyrt.venues.alpaca.wire import order_body

Benchmark = Callable[..., Any]  # pytest-benchmark's fixture

SECOND, CENT, UNIT, MS = 1_000_000_000, 10_000_000, 1_000_000_000, 1_000_000
T0 = 1_772_463_600 * SECOND  # 2026-03-02T15:00:00Z
PX = 190 * UNIT
INTERVALS = [SECOND, 60 * SECOND, 300 * SECOND]
AAPL = Instrument(id=1, symbol="AAPL")
# Wide enough that no limit of a rate or a sum ends a benchmark; every control still looks.
WIDE = dict.fromkeys(("max_position_qty", "max_strategy_qty"), "1e7")
WIDE |= dict.fromkeys(("max_position_notional", "max_gross_exposure", "max_net_exposure", "max_open_order_value"), "1e9")
RATES = dict.fromkeys(("account_orders_per_minute", "strategy_orders_per_minute", "symbol_orders_per_minute"), 10**6)


def trade(n: int = 1) -> Any:
    """n trades, 1 ms apart."""
    out = np.zeros(n, trade_dtype)
    out["type"], out["instrument"], out["px"], out["qty"] = RecordType.TRADE, 1, PX, 100 * UNIT
    out["ts_event"] = out["ts_recv"] = T0 + np.arange(n) * MS
    out["conditions"], out["exchange"], out["tape"] = ord("@"), ord("V"), ord("C")
    return out.view(market_dtype)


def quote() -> Any:
    out = np.zeros(1, quote_dtype)
    out["type"], out["instrument"], out["ts_event"] = RecordType.QUOTE, 1, T0
    out["bid_px"], out["ask_px"], out["bid_qty"], out["ask_qty"] = PX - CENT, PX, 300 * UNIT, 300 * UNIT
    return out.view(market_dtype)


def frame_of(codec: str, size: int) -> tuple[Decoder, bytes]:
    encoder, decoder = Encoder(codec), Decoder(codec)
    encoder.register(AAPL.symbol, 1)
    decoder.register(AAPL.symbol, 1, tick=AAPL.tick, sub_tick=AAPL.sub_tick)
    return decoder, encoder.encode(trade(size))


def decoding(benchmark: Benchmark, codec: str, size: int) -> None:
    decoder, frame = frame_of(codec, size)

    def read() -> int:
        given = decoder.feed(frame, T0)
        decoder.take()
        return given

    assert benchmark(read) == size


def test_decode_a_msgpack_frame_of_one_trade(benchmark: Benchmark) -> None:
    decoding(benchmark, "msgpack", 1)


def test_decode_a_msgpack_frame_of_fifty_trades(benchmark: Benchmark) -> None:
    decoding(benchmark, "msgpack", 50)


def test_decode_a_json_frame_of_one_trade(benchmark: Benchmark) -> None:
    decoding(benchmark, "json", 1)


def test_book_update_and_best_price(benchmark: Benchmark) -> None:
    book = OrderBook(CENT)
    book.update(Side.BUY, PX - CENT, UNIT)
    assert benchmark(book.update_best, 1, PX, UNIT) == PX


def test_bars_of_three_intervals_from_one_trade(benchmark: Benchmark) -> None:
    bars, record = BarAggregator(INTERVALS), trade()
    assert benchmark(bars.apply, record) == 1


def test_pipeline_of_one_quote(benchmark: Benchmark) -> None:
    stage, record = Pipeline(grace=0), quote()
    stage.add(1, AAPL.sub_tick, intervals=INTERVALS)
    assert benchmark(stage.run, record) == 1


def gate() -> Gate:
    refs = np.zeros(2, ref_dtype)
    refs[1] = (PX - CENT, PX, 300 * UNIT, 300 * UNIT, T0, PX, T0, 0, 0)
    limits = Limits.of(WIDE | RATES | {"max_quote_age_ms": 10**9, "duplicate_window_ms": 1}, base=Limits.profile("paper"))
    made = Gate(Ledger(), refs)
    made.ledger.define(1)
    made.set_rules(limits.rules())
    made.set_bounds(1, limits.bounds(AAPL))
    made.session(1, 0, 2**63 - 1)
    made.open(2)
    made.account(10**30, T0)
    return made


def orders() -> Iterator[tuple[int, int]]:
    """Key and time: of a new order each, 1 ms apart."""
    return ((key, T0 + key * MS) for key in count(1))


def test_check_an_order_reserve_it_and_take_it_back(benchmark: Benchmark) -> None:
    checked, ahead = gate(), orders()

    def decide() -> int:
        key, now = next(ahead)
        code = checked.check(key, 1, 1, 1, 2, 10 * UNIT, PX - CENT, now=now, mono=now)
        checked.expire(key)
        return code

    assert benchmark(decide) == 0


def test_write_the_body_of_an_order(benchmark: Benchmark) -> None:
    request = OrderRequest(
        number=1,
        cid="p1-k3v9q2xa-1-xq",
        symbol="AAPL",
        side=Side.BUY,
        type=OrderType.LIMIT,
        tif=TimeInForce.DAY,
        qty="10",
        limit_price="189.99",
    )
    assert benchmark(order_body, request).startswith(b'{"symbol":"AAPL"')
