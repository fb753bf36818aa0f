"""An order request to the bytes of its body."""

import ctypes
import json
from collections.abc import Callable, Iterator
from typing import Any

from bench.limits import limit
from bench.rows import Contender, Row, Run, peer
from pyrt._core.types import Side
from pyrt.execution import cid
from pyrt.model import OrderType, TimeInForce
from pyrt.ports import OrderRequest
from pyrt.venues.alpaca.wire import order_body

N = 2_000
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


def rows() -> Iterator[Row]:
    yield Row(
        "order.body",
        "an order request to its JSON body",
        "ns",
        N,
        (
            Contender("order_body", "ours", lambda: [order_body(REQUEST) for _ in range(N)][-1]),
            bare(),
            peer("json", lambda: each(lambda body: json.dumps(body).encode())),
            peer("orjson", orjson),
            peer("msgspec", msgspec),
        ),
    )


def bare() -> Contender:
    c, out = limit("order"), ctypes.create_string_buffer(1024)
    c.order_bodies.restype = ctypes.c_int64
    texts = [REQUEST.symbol, REQUEST.qty, "buy", "limit", "day", REQUEST.cid, REQUEST.limit_price]
    arguments = [ctypes.c_char_p(text.encode()) for text in texts]

    def run() -> bytes:
        length = c.order_bodies(out, ctypes.c_int64(N), *arguments)
        return out.raw[:length]

    return Contender("C", "limit", run)


def each(encode: Callable[[dict[str, Any]], object]) -> Run:
    """A dictionary for each order, then its bytes."""

    def body(r: OrderRequest) -> object:
        return encode(
            {
                "symbol": r.symbol,
                "qty": r.qty,
                "side": "buy",
                "type": "limit",
                "time_in_force": "day",
                "client_order_id": r.cid,
                "limit_price": r.limit_price,
            }
        )

    def run() -> None:
        for _ in range(N):
            body(REQUEST)

    return run


def orjson() -> Run:
    import orjson as peer_json

    return each(peer_json.dumps)


def msgspec() -> Run:
    import msgspec as peer_json

    return each(peer_json.json.encode)
