import json
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.venues.alpaca.rest_server import order_json

from pyrt._core.types import Side
from pyrt.errors import Misbehaved
from pyrt.model import OrderClass, OrderType, TimeInForce
from pyrt.ports import OrderRequest, TradeUpdate
from pyrt.venues.alpaca import wire
from pyrt.venues.alpaca.body import decode


def request(**fields: Any) -> OrderRequest:
    whole = {
        "number": 1,
        "cid": "c",
        "symbol": "AAPL",
        "side": Side.SELL,
        "type": OrderType.MARKET,
        "tif": TimeInForce.DAY,
        "qty": "10",
    }
    return OrderRequest(**(whole | fields))


@pytest.mark.parametrize(
    ("given_", "body"),
    [
        ({}, b'{"symbol":"AAPL","qty":"10","side":"sell","type":"market","time_in_force":"day","client_order_id":"c"}'),
        (
            {
                "side": Side.BUY,
                "type": OrderType.STOP_LIMIT,
                "tif": TimeInForce.GTC,
                "qty": "0.5",
                "limit_price": "189.5",
                "stop_price": "190",
            },
            b'{"symbol":"AAPL","qty":"0.5","side":"buy","type":"stop_limit","time_in_force":"gtc","client_order_id":"c",'
            b'"limit_price":"189.5","stop_price":"190"}',
        ),
        (
            {"type": OrderType.LIMIT, "tif": TimeInForce.IOC, "limit_price": "1", "extended_hours": True},
            b'{"symbol":"AAPL","qty":"10","side":"sell","type":"limit","time_in_force":"ioc","client_order_id":"c",'
            b'"limit_price":"1","extended_hours":true}',
        ),
    ],
)
def test_an_order_body_is_stable_to_the_byte(given_: dict[str, Any], body: bytes) -> None:
    assert wire.order_body(request(**given_)) == body == wire.order_body(request(**given_))


def test_a_replace_body() -> None:
    body = wire.replace_body(request(type=OrderType.LIMIT, tif=TimeInForce.GTC, limit_price="188.5"))
    assert body == b'{"qty":"10","time_in_force":"gtc","client_order_id":"c","limit_price":"188.5"}'


@pytest.mark.parametrize(
    ("text", "ns"),
    [
        ("1970-01-01T00:00:00Z", 0),
        ("2026-03-02T15:04:06Z", 1772463846_000000000),
        ("2026-03-02T15:04:06.3Z", 1772463846_300000000),
        ("2026-03-02T15:04:06.123456789Z", 1772463846_123456789),
        ("2026-03-02T15:04:06.1234567899Z", 1772463846_123456789),
        ("2026-03-02T10:04:06.123-05:00", 1772463846_123000000),
        ("2026-03-02 20:34:06+0530", 1772463846_000000000),
        ("2026-03-02t15:04:06z", 1772463846_000000000),
        ("1969-12-31T23:59:59.5Z", -500000000),
        ("2016-12-31T23:59:60Z", 1483228800_000000000),
        ("2262-04-11T23:47:16.854775807Z", 2**63 - 1),
    ],
)
def test_times(text: str, ns: int) -> None:
    assert wire.parse_time(text) == ns


@pytest.mark.parametrize(
    "text",
    [
        "",
        "2026-03-02",
        "2026-13-02T15:04:06Z",
        "2026-02-30T15:04:06Z",
        "2026-03-02T25:04:06Z",
        "2026-03-02T15:04:06",
        "٢٠٢٦-03-02T15:04:06Zx",
        "9999-12-31T23:59:59Z",
        "2262-04-11T23:47:16.854775808Z",
        "0001-01-01T00:00:00Z",
    ],
)
def test_what_is_no_time(text: str) -> None:
    with pytest.raises(Misbehaved):
        wire.parse_time(text)


@given(st.integers(0, 4_000_000_000_000_000_000), st.integers(-14 * 60, 14 * 60))
@settings(max_examples=200)
def test_times_go_both_ways(ns: int, offset: int) -> None:
    assert wire.parse_time(wire.format_time(ns)) == ns
    local = datetime.fromtimestamp(ns // 10**9 + offset * 60, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    sign, minutes = ("-" if offset < 0 else "+"), abs(offset)
    assert wire.parse_time(f"{local}.{ns % 10**9:09d}{sign}{minutes // 60:02d}:{minutes % 60:02d}") == ns


def test_an_order_with_every_field() -> None:
    reader = wire.Reader()
    value = order_json(
        "c1", qty="10", filled_qty="4", filled_avg_price="189.52", limit_price="190", replaces="r0", status="partially_filled"
    )
    order = reader.order(value)
    assert (order.id, order.cid, order.symbol, order.side, order.type, order.tif) == (
        "id-c1",
        "c1",
        "AAPL",
        Side.BUY,
        "market",
        "day",
    )
    assert (order.qty, order.filled_qty, order.filled_avg_price, order.limit_price, order.stop_price) == (
        "10",
        "4",
        "189.52",
        "190",
        "",
    )
    assert (order.status, order.replaces, order.replaced_by) == ("partially_filled", "r0", "")
    assert order.created_at == order.updated_at == wire.parse_time("2026-03-02T15:04:06.1Z")
    assert not reader.counters


def test_the_least_that_an_order_must_have() -> None:
    order = wire.Reader().order({"id": "i", "client_order_id": "c", "side": "sell"})
    assert (order.qty, order.filled_qty, order.status, order.created_at) == ("", "0", "", 0)


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        (b'"10"', "10"),
        (b"10", "10"),
        (b"10.50", "10.50"),
        (b"1e-9", "0.000000001"),
        (b'"1E+2"', "100"),
        (b"0.1", "0.1"),
        (b'"123456789012345678901234567890.123456789"', "123456789012345678901234567890.123456789"),
        (b"null", ""),
    ],
)
def test_numbers_come_as_text_number_or_null_and_lose_nothing(raw: bytes, text: str) -> None:
    value = decode(b'{"id":"i","client_order_id":"c","side":"buy","qty":' + raw + b"}")
    assert wire.Reader().order(value).qty == text


@pytest.mark.parametrize(
    "raw",
    [
        b'"NaN"',
        b'"Infinity"',
        b'"-inf"',
        b'"ten"',
        b'"1e999"',
        b"1e999",
        b'"1_0"',
        b'"\xd9\xa1"',
        b"[]",
        b"{}",
        b"true",
        b'" 1"',
        b'"0x10"',
    ],
)
def test_what_is_no_number_stops_here(raw: bytes) -> None:
    value = decode(b'{"id":"i","client_order_id":"c","side":"buy","qty":' + raw + b"}")
    with pytest.raises(Misbehaved):
        wire.Reader().order(value)


@pytest.mark.parametrize(
    "value",
    [
        None,
        1,
        "order",
        [],
        {},
        {"id": 1, "client_order_id": "c", "side": "buy"},
        {"id": "i", "side": "buy"},
        {"id": "i", "client_order_id": "c"},
    ],
)
def test_what_is_no_order(value: Any) -> None:
    with pytest.raises(Misbehaved):
        wire.Reader().order(value)


@pytest.mark.parametrize("body", [b"", b"<html>", b'{"a":', b"\xff", b"[" * 100_000, b'{"a":1}x'])
def test_what_is_no_json(body: bytes) -> None:
    with pytest.raises(Misbehaved):
        decode(body)


def test_unknown_names_are_counted_within_bounds() -> None:
    reader = wire.Reader()
    for i in range(1000):
        reader.order(order_json("c", **{f"novelty{i}": i, "status": f"state{i}"}))
    assert len(reader.counters) <= 257
    assert sum(reader.counters.values()) == 2000


@pytest.mark.parametrize("side", ["", "buy", None])
def test_parents_of_several_legs_are_counted_and_their_legs_kept(side: str | None) -> None:
    reader = wire.Reader()
    parent = order_json("p", order_class="mleg", side=side, symbol="")
    legs = [order_json("l1", order_class="mleg", side="buy"), order_json("l2", order_class="mleg", side="sell")]
    assert [order.cid for row in (parent, *legs) for order in reader.orders(row)] == ["l1", "l2"]
    assert reader.counters["mleg parent"] == 1
    with pytest.raises(Misbehaved):
        wire.rows_of({"code": 1})


FILL = {
    "id": "20260302100406312::8efc",
    "activity_type": "FILL",
    "transaction_time": "2026-03-02T15:04:06.312Z",
    "type": "partial_fill",
    "price": "189.52",
    "qty": "4",
    "side": "sell_short",
    "symbol": "AAPL",
    "leaves_qty": "6",
    "cum_qty": "4",
    "order_id": "5e0c",
    "order_status": "partially_filled",
}


def test_a_fill_activity() -> None:
    reader = wire.Reader()
    (fill,) = reader.fills(FILL)
    assert reader.fills({"id": "x", "activity_type": "DIV", "net_amount": "1"}) == []
    assert (fill.activity_id, fill.order_id, fill.symbol, fill.side) == (FILL["id"], "5e0c", "AAPL", Side.SELL)
    assert (fill.price, fill.qty, fill.cum_qty, fill.ts) == ("189.52", "4", "4", wire.parse_time(FILL["transaction_time"]))
    assert reader.counters == {"activity that is no fill": 1}
    for name in ("cum_qty", "qty", "price", "transaction_time", "order_id"):
        with pytest.raises(Misbehaved):
            wire.Reader().fill({key: value for key, value in FILL.items() if key != name})


@pytest.mark.parametrize(
    ("row", "qty"),
    [
        ({"qty": "10", "side": "long"}, "10"),
        ({"qty": "-10", "side": "short"}, "-10"),
        ({"qty": "10", "side": "short"}, "-10"),
        ({"qty": "0.5"}, "0.5"),
    ],
)
def test_positions_are_signed(row: dict[str, str], qty: str) -> None:
    (position,) = wire.Reader().positions([{"symbol": "AAPL", "avg_entry_price": "189.52", "asset_id": "x"} | row])
    assert (position.symbol, position.qty, position.avg_entry_price) == ("AAPL", qty, "189.52")


@pytest.mark.parametrize(("told", "price"), [({"current_price": "189.60"}, "189.60"), ({"current_price": None}, ""), ({}, "")])
def test_a_position_says_what_one_is_worth_where_the_venue_does(told: dict[str, str | None], price: str) -> None:
    (position,) = wire.Reader().positions([{"symbol": "AAPL", "qty": "1", **told}])
    assert position.price == price


@pytest.mark.parametrize(
    ("symbol", "kind", "want"),
    [
        ("BTCUSD", "crypto", "BTC/USD"),
        ("BTC/USD", "crypto", "BTC/USD"),
        ("ETHBTC", "crypto", "ETH/BTC"),
        ("USDCUSD", "crypto", "USDC/USD"),
        ("USDTUSDC", "crypto", "USDT/USDC"),
        ("SOLUSDT", "crypto", "SOL/USDT"),
        ("BTC", "crypto", "BTC"),
        ("BTCUSD", "us_equity", "BTCUSD"),
        ("BRK.B", None, "BRK.B"),
    ],
)
def test_a_position_in_coins_has_the_name_that_its_orders_have(symbol: str, kind: str | None, want: str) -> None:
    (position,) = wire.Reader().positions([{"symbol": symbol, "qty": "1", "asset_class": kind}])
    assert position.symbol == want


ACCOUNT = {
    "id": "u",
    "status": "ACTIVE",
    "cash": "98104.80",
    "buying_power": "196209.60",
    "equity": "100000.10",
    "last_equity": "100000",
    "multiplier": "2",
}
OLD = {"pattern_day_trader": False, "daytrade_count": 0, "daytrading_buying_power": "0", "bod_dtbp": "0"}


@pytest.mark.parametrize(("told", "want"), [({}, ""), ({"accrued_fees": None}, ""), ({"accrued_fees": "0.05"}, "0.05")])
def test_fees_that_the_account_owes(told: dict[str, Any], want: str) -> None:
    assert wire.Reader().account(ACCOUNT | told).accrued == want


@pytest.mark.parametrize("extra", [{}, OLD, {"multiplier": 2}, {"trading_blocked": False, "novelty": [1]}])
def test_the_account_of_old_and_new_payloads(extra: dict[str, Any]) -> None:
    account = wire.Reader().account(ACCOUNT | extra)
    assert (account.cash, account.buying_power, account.equity, account.last_equity) == (
        "98104.80",
        "196209.60",
        "100000.10",
        "100000",
    )
    assert (account.multiplier, account.blocked) == ("2", False)


@pytest.mark.parametrize(
    "extra",
    [
        {"trading_blocked": True},
        {"account_blocked": True},
        {"trade_suspended_by_user": True},
        {"status": "ACCOUNT_CLOSED"},
        {"status": ""},
    ],
)
def test_anything_but_an_active_account_is_blocked(extra: dict[str, Any]) -> None:
    assert wire.Reader().account(ACCOUNT | extra).blocked


def test_frames() -> None:
    reader = wire.Reader()
    order = b'{"id":"i","client_order_id":"c","side":"buy","updated_at":"2026-03-02T15:04:06Z"}'
    frame = b'{"stream":"trade_updates","data":{"event":"fill","order":' + order + b',"price":189.52,"qty":"4"}}'
    update = reader.frame(frame)
    assert isinstance(update, TradeUpdate)
    assert (update.event, update.price, update.qty, update.ts) == ("fill", "189.52", "4", wire.parse_time("2026-03-02T15:04:06Z"))
    control = reader.frame(b'{"stream":"listening","data":{"streams":["trade_updates"]}}')
    assert control == wire.Control(stream="listening", streams=("trade_updates",))
    control = reader.frame(b'{"stream":"authorization","data":{"status":"authorized","action":"authenticate"}}')
    assert control == wire.Control(stream="authorization", status="authorized", action="authenticate")


@given(st.binary(max_size=200))
@settings(max_examples=200)
def test_any_bytes_are_a_frame_or_misbehaved(payload: bytes) -> None:
    try:
        wire.Reader().frame(payload)
    except Misbehaved:
        return


@given(st.decimals(allow_nan=False, allow_infinity=False, places=9, min_value=0, max_value=10**12))
@settings(max_examples=200)
def test_a_decimal_keeps_its_value(number: Decimal) -> None:
    order = wire.Reader().order({"id": "i", "client_order_id": "c", "side": "buy", "qty": str(number)})
    assert Decimal(order.qty) == number


def test_a_trailing_stop_and_an_auction_order_as_alpaca_writes_them() -> None:
    percent = request(type=OrderType.TRAILING_STOP, tif=TimeInForce.GTC, trail_percent="2.5")
    assert json.loads(wire.order_body(percent)) == {
        "symbol": "AAPL", "qty": "10", "side": "sell", "type": "trailing_stop", "time_in_force": "gtc", "client_order_id": "c",
        "trail_percent": "2.5",
    }  # fmt: skip
    assert (
        json.loads(wire.replace_body(request(type=OrderType.TRAILING_STOP, tif=TimeInForce.GTC, trail_price="1.5")))["trail"]
        == "1.5"
    )
    assert json.loads(wire.order_body(request(tif=TimeInForce.CLS)))["time_in_force"] == "cls"


def test_a_bracket_and_an_oco_as_alpaca_writes_them() -> None:
    exits = {"take_profit": "199", "stop_loss": "180", "stop_loss_limit": "179.5"}
    bracket = json.loads(wire.order_body(request(order_class=OrderClass.BRACKET, tif=TimeInForce.GTC, **exits)))
    assert (bracket["order_class"], bracket["take_profit"]) == ("bracket", {"limit_price": "199"})
    assert bracket["stop_loss"] == {"stop_price": "180", "limit_price": "179.5"}
    oto = json.loads(wire.order_body(request(order_class=OrderClass.OTO, tif=TimeInForce.GTC, stop_loss="180")))
    assert oto["order_class"] == "oto"
    assert oto["stop_loss"] == {"stop_price": "180"}
    assert "take_profit" not in oto
    oco = request(
        order_class=OrderClass.OCO, type=OrderType.LIMIT, limit_price="199", tif=TimeInForce.GTC, take_profit="199", stop_loss="180"
    )
    assert "limit_price" not in json.loads(wire.order_body(oco))


def test_the_legs_of_a_multi_leg_order_stand_for_it_and_the_exits_of_a_group_under_it() -> None:
    reader = wire.Reader()
    legs = [order_json("l1"), order_json("l2")]
    parent = {**order_json("p"), "order_class": "mleg", "side": "", "symbol": "", "legs": legs}
    entry = {**order_json("e"), "order_class": "bracket", "legs": [{**order_json("x"), "order_class": "bracket"}]}
    found = [*reader.orders(parent), *reader.orders(entry)]
    assert [o.cid for o in found] == ["l1", "l2", "e"]
    assert [leg.cid for leg in found[2].legs] == ["x"]
    assert (found[2].order_class, found[2].legs[0].order_class) == ("bracket", "bracket")
