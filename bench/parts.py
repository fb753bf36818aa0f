"""The parts of the path, one measure each: what it does, how many operations a run holds, and the same job in plain Python."""

import json
from collections.abc import Callable
from typing import Any, NamedTuple

import msgspec
import numpy as np
from tests.reference import bars as plain_bars
from tests.reference import wire as plain_wire
from tests.reference.book import ReferenceBook

from bench import material
from bench.material import CENT, QTY, SECOND, SUB_TICK, T0, TICK
from bench.rows.gate import MS, desk
from pyrt._core.bars import BarAggregator
from pyrt._core.book import OrderBook
from pyrt._core.pipeline import Pipeline
from pyrt._core.types import Side, delta_dtype, trade_dtype
from pyrt.execution import cid
from pyrt.model import OrderType, TimeInForce
from pyrt.ports import OrderRequest
from pyrt.venues.alpaca.wire import order_body

Run = Callable[[], object]

INTERVALS = [SECOND, 60 * SECOND, 300 * SECOND]
N = 20_000
PLAIN = 500  # operations of a plain-Python run
CHECKS = 500


class Part(NamedTuple):
    """`make` prepares and returns what is timed, `ops` operations; `plain` the same in the oracle's way, `plain_ops` of them."""

    name: str
    ops: int
    make: Callable[[], Run]
    plain_ops: int = 0
    plain: Callable[[], Run] | None = None


def decode(codec: str, size: int) -> Callable[[], Run]:
    def make() -> Run:
        frames = material.frames(material.mixed(N), codec, size)
        decoder = material.decoder(codec)

        def run() -> None:
            for frame in frames:
                decoder.feed(frame, T0)
                decoder.take()

        return run

    return make


def plain_decode(codec: str, size: int) -> Callable[[], Run]:
    def make() -> Run:
        frames = material.frames(material.mixed(PLAIN), codec, size)
        terms = {"AAA": plain_wire.Terms(1, tick=TICK, sub_tick=SUB_TICK)}
        return lambda: [plain_wire.records(m, terms) for frame in frames for m in plain_wire.messages(frame, codec)]

    return make


def book_batch() -> Run:
    records = material.deltas(N).view(np.uint8)
    book = OrderBook(TICK)
    return lambda: book.apply(records)


def _updates(n: int) -> list[tuple[int, int, int]]:
    updates = material.deltas(n).view(delta_dtype)
    return list(zip(updates["side"].tolist(), updates["px"].tolist(), updates["qty"].tolist(), strict=True))


def book_calls() -> Run:
    updates, book = _updates(N), OrderBook(TICK)

    def run() -> None:
        for update in updates:
            book.update(*update)
            _ = book.best_bid

    return run


def plain_book() -> Run:
    updates, book = _updates(PLAIN), ReferenceBook(TICK)

    def run() -> None:
        for update in updates:
            book.update(*update)
            book.best(Side.BUY)

    return run


def bars_batch() -> Run:
    records = material.trades(N)
    view, step = records.view(np.uint8), N * 1_000_000
    aggregator = BarAggregator(INTERVALS)

    def run() -> None:
        aggregator.apply(view)
        aggregator.take()
        records["ts_event"] += step  # the next run comes later, or every trade would be late

    return run


def plain_bar_dicts() -> Run:
    records = material.trades(PLAIN).view(trade_dtype)
    columns = (records[name].tolist() for name in ("ts_event", "px", "qty"))
    trades = [plain_bars.Trade(*row) for row in zip(*columns, strict=True)]
    return lambda: [plain_bars.bars(trades, plain_bars.epoch(interval)) for interval in INTERVALS]


def pipeline(instruments: int) -> Callable[[], Run]:
    def make() -> Run:
        records = material.mixed(N, instruments)
        stage = Pipeline(grace=0)
        for i in range(1, instruments + 1):
            stage.add(i, SUB_TICK, intervals=INTERVALS)
        data, step = records.view(np.uint8), N * 1_000_000

        def run() -> None:
            at = 0
            while at < N:
                at = stage.run(data, at)
            stage.take_bars()
            records["ts_event"] += step

        return run

    return make


def checks(qty: int, *, every: bool, expect: bool) -> Callable[[], Run]:
    def make() -> Run:
        risk = desk()
        gate, keys = risk.gate, [0]
        px = int(material.walk(1)[0]) * CENT

        def run() -> None:
            check, first = gate.check, keys[0]
            for key in range(first + 1, first + CHECKS + 1):
                at = T0 + key * 10 * MS
                code = check(1 << 48 | key, 1, 1, Side.BUY, OrderType.LIMIT, qty, px, now=at, mono=at, every=every)
                if not code:
                    gate.expire(1 << 48 | key)
            if bool(code) is not expect:
                raise RuntimeError(f"the check answered {code:#x}")
            keys[0] += CHECKS

        return run

    return make


REQUEST = OrderRequest(
    number=1,
    cid=cid("k3v9q2xa", 1),
    symbol="AAPL",
    side=Side.BUY,
    type=OrderType.LIMIT,
    tif=TimeInForce.DAY,
    qty="10",
    limit_price="189.51",
)


def bodies() -> Run:
    return lambda: [order_body(REQUEST) for _ in range(1000)]


def plain_bodies() -> Run:
    def body(r: OrderRequest) -> bytes:
        fields: dict[str, Any] = {"symbol": r.symbol, "qty": r.qty, "side": r.side.name.lower(), "type": r.type.name.lower()}
        fields |= {"time_in_force": r.tif.name.lower(), "client_order_id": r.cid, "limit_price": r.limit_price}
        return json.dumps(fields).encode()

    return lambda: [body(REQUEST) for _ in range(1000)]


def msgspec_dicts() -> Run:
    frames = material.frames(material.mixed(N), "msgpack", 50)
    decode = msgspec.msgpack.Decoder().decode
    return lambda: [decode(frame) for frame in frames]


PARTS = [
    Part("decode msgpack, frames of 50, into records", N, decode("msgpack", 50), PLAIN, plain_decode("msgpack", 50)),
    Part("decode msgpack, frames of 1, into records", N, decode("msgpack", 1), PLAIN, plain_decode("msgpack", 1)),
    Part("decode JSON, frames of 50, into records", N, decode("json", 50), PLAIN, plain_decode("json", 50)),
    Part("(peer: msgspec, the same msgpack frames, only into dicts)", N, msgspec_dicts),
    Part("book: update, batch", N, book_batch, PLAIN, plain_book),
    Part("book: update + best bid, two Python calls", N, book_calls, PLAIN, plain_book),
    Part("bars: a trade into 1 s + 1 m + 5 m, batch", N, bars_batch, PLAIN, plain_bar_dicts),
    Part("pipeline: book, reference and bars, 1 symbol", N, pipeline(1)),
    Part("pipeline: book, reference and bars, 100 symbols", N, pipeline(100)),
    Part(
        "risk: check and reserve, all controls, then expire (two Python calls)", CHECKS, checks(10 * QTY, every=True, expect=False)
    ),
    Part("risk: refuse at the first control (one Python call)", CHECKS, checks(10**6 * QTY, every=False, expect=True)),
    Part("risk: refuse, every failing control found (one Python call)", CHECKS, checks(10**6 * QTY, every=True, expect=True)),
    Part("order: request to JSON body", 1000, bodies, 1000, plain_bodies),
]
