import json
import tracemalloc
from typing import Any

import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tests.venues.alpaca.rest_server import order_json

from pyrt.errors import Misbehaved
from pyrt.ports import TakeSnapshot
from pyrt.venues.alpaca import pages, wire
from pyrt.venues.alpaca.body import Rows, decode, read_page
from pyrt.venues.alpaca.statement import read_statement

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=10,
)


def said(body: bytes) -> Any:
    """What a page holds, or that it is none."""
    try:
        page = read_page(body)
        return list(page) if isinstance(page, Rows) else page
    except Misbehaved:
        return Misbehaved


def whole(body: bytes) -> Any:
    try:
        return decode(body)
    except Misbehaved:
        return Misbehaved


@given(VALUES, st.booleans())
@settings(max_examples=200)
def test_a_page_by_rows_is_the_page(value: Any, ascii_only: bool) -> None:
    body = json.dumps(value, ensure_ascii=ascii_only).encode(errors="surrogatepass")
    assert said(body) == whole(body)
    if isinstance(value, list) and said(body) is not Misbehaved:
        assert len(read_page(body)) == len(value)


@given(st.lists(VALUES, min_size=1, max_size=4), st.data())
@settings(max_examples=300)
@example([{"a": "x"}], None)
def test_a_damaged_page_is_none_before_its_first_row_is_read(value: list[Any], data: Any) -> None:
    """Cut, or with another byte somewhere: what is no JSON as a whole has no good rows."""
    body = json.dumps(value, ensure_ascii=False).encode(errors="surrogatepass")
    if data is None:
        body = body.replace(b"x", b"\xff")
        assert said(body) is Misbehaved
        return
    at = data.draw(st.integers(0, len(body) - 1))
    other = data.draw(st.binary(max_size=2) | st.sampled_from([b"\xff", b"\\", b'"', b"]", b"\\ud800"]))
    rest = data.draw(st.sampled_from([body[at + 1 :], b""]))
    damaged = body[:at] + other + rest
    assert said(damaged) == whole(damaged)


@pytest.mark.parametrize("bad", [{"code": 1}, None, 1, "rows", True])
def test_what_is_no_list_is_told(bad: Any) -> None:
    with pytest.raises(Misbehaved, match="a list was asked for"):
        wire.rows_of(read_page(json.dumps(bad).encode()))


UNUSED = ("submitted_at", "filled_at", "expired_at", "canceled_at", "failed_at", "replaced_at", "asset_id", "notional", "hwm")
FIELDS = dict.fromkeys(UNUSED)


def page_of(count: int, **fields: Any) -> bytes:
    rows = [
        order_json(f"c{i}", id=f"0b4ebd5c-4d5b-4d5f-9d5f-{i:012d}", status="filled", filled_qty="10", **{**FIELDS, **fields})
        for i in range(count)
    ]
    return msgspec.json.encode(rows)


def peak(read: Any) -> int:
    """The most memory that reading took, the result included, in bytes."""
    read()  # what is made once
    tracemalloc.start()
    try:
        kept = read()
        assert kept is not None
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_a_page_of_orders_is_held_once_and_one_row_of_it_as_objects() -> None:
    """What reading takes beyond what it gives back is a few of its rows, not all of them."""
    body = page_of(pages.ORDERS_PAGE - 1)

    def get(path: str) -> Any:
        return read_page(body)

    def read() -> Any:
        return pages.read_orders(get, wire.Reader(), status="all", since=0)

    def at_once() -> Any:
        reader = wire.Reader()
        return [order for row in decode(body) for order in reader.orders(row)]

    assert peak(at_once) > 2 * peak(read)
    tracemalloc.start()
    kept = read()
    result, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(kept) == pages.ORDERS_PAGE - 1
    assert most - result < 150 * len(kept)


def test_words_that_orders_share_are_held_once() -> None:
    orders = pages.read_orders(lambda path: read_page(page_of(3)), wire.Reader(), status="all", since=0)
    for name in ("symbol", "type", "tif", "status"):
        assert len({id(getattr(order, name)) for order in orders}) == 1, name
    assert orders[0].qty is orders[0].filled_qty


def test_unknown_fields_of_each_row_are_counted() -> None:
    reader = wire.Reader()
    pages.read_orders(lambda path: read_page(page_of(7, novelty=1)), reader, status="all", since=0)
    assert reader.counters == {"field novelty": 7}


@pytest.mark.parametrize("read", [pages.read_fills, pages.read_activities])
@pytest.mark.parametrize("last", [{"activity_type": "DIV"}, {"activity_type": "FILL", "id": ""}])
def test_a_full_page_of_activities_whose_last_has_no_id_is_told(read: Any, last: dict[str, Any]) -> None:
    """The page behind it cannot be asked for."""
    fill = {"id": "a", "activity_type": "FILL", "order_id": "o", "symbol": "S", "side": "buy", "price": "1", "qty": "1"}
    rows = [{**fill, "id": f"a{i}", "cum_qty": "1", "transaction_time": "2026-03-02T15:04:06Z"} for i in range(99)]
    body = json.dumps([*rows, {**rows[0], **last}] if "id" in last else [*rows, last]).encode()
    with pytest.raises(Misbehaved):
        read(lambda path: read_page(body), wire.Reader(), since=0)


def test_a_statement_keeps_numbers_as_the_venue_wrote_them() -> None:
    account = b'{"id":"u","status":"ACTIVE","cash":0.1,"buying_power":"2","equity":"3","last_equity":"4"}'
    position = b'[{"symbol":"AAPL","qty":"1","avg_entry_price":"1","unrealized_pl":-0.10}]'
    answers = {"/v2/account": account, "/v2/positions": position}
    statement = read_statement(lambda path: read_page(answers.get(path, b"[]")), 0, 1.0)
    assert (statement.cash, statement.positions[0].unrealised) == ("0.1", "-0.10")


def test_a_snapshot_of_rows_is_that_of_lists() -> None:
    account = {"id": "u", "status": "ACTIVE", "cash": "1", "buying_power": "2", "equity": "3", "last_equity": "4"}
    bodies = {"/v2/account": json.dumps(account).encode(), "/v2/orders": page_of(20)}

    def body(path: str) -> bytes:
        return bodies.get(path.partition("?")[0], b"[]")

    command = TakeSnapshot(query=1, since=0)
    by_rows = pages.snapshot(command, lambda path: read_page(body(path)), wire.Reader(), 5)
    assert by_rows == pages.snapshot(command, lambda path: decode(body(path)), wire.Reader(), 5)
