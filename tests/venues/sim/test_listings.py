"""Lists of orders, positions and assets: every filter, closing by quantity and percent, closing all, and the days."""

import time
from typing import Any

import pytest
from alpaca.trading.client import TradingClient
from alpaca.trading.enums import AssetClass, AssetStatus
from alpaca.trading.requests import ClosePositionRequest, GetAssetsRequest, GetCalendarRequest
from tests.venues.sim.clients import Client, order

from pyrt.venues.sim.library import simulated_venue

pytestmark = pytest.mark.row("X08")


def sdk(client: Client) -> TradingClient:
    return TradingClient(client.key, client.secret, paper=True, url_override=client.url)


def hold(call: Client, cid: str, **change: Any) -> None:
    """Buy at the market, and wait until it is there."""
    market = {"type": "market", "limit_price": None, "time_in_force": "day"}
    made = call("POST", "/v2/orders", json=order(cid, **{**market, **change}))
    assert made.status_code == 200, made.text
    while call("GET", f"/v2/orders/{made.json()['id']}").json()["status"] != "filled":
        time.sleep(0.02)


def test_orders_by_every_filter(call: Client) -> None:
    made = {}
    for cid, change in {
        "a": {},
        "b": {"symbol": "MSFT"},
        "c": {"side": "sell", "limit_price": "9000", "symbol": "SPY"},
        "d": {"symbol": "BTC/USD", "qty": "0.001", "limit_price": "2"},
        "e": {"symbol": "MSFT"},
    }.items():
        made[cid] = call("POST", "/v2/orders", json=order(cid, **change)).json()
    assert call("DELETE", f"/v2/orders/{made['e']['id']}").status_code == 204

    def cids(**query: Any) -> str:
        answer = call("GET", "/v2/orders", params=query)
        assert answer.status_code == 200, answer.text
        return "".join(row["client_order_id"] for row in answer.json())

    assert cids() == cids(status="open") == "dcba"
    assert cids(status="closed") == "e"
    assert cids(status="all", direction="asc") == "abcde"
    assert cids(status="ALL", limit=2) == "ed"
    assert cids(symbols="MSFT,SPY", status="all") == "ecb"
    assert cids(side="sell") == "c"
    assert cids(side="buy", symbols="SPY") == ""
    assert cids(asset_class="crypto") == "d"
    assert cids(asset_class="us_equity", status="all", limit=3) == "ecb"
    assert cids(asset_class="all") == "dcba"
    assert cids(after=made["b"]["submitted_at"]) == "dc"  # exclusive
    assert cids(until=made["b"]["submitted_at"]) == "a"
    assert cids(after=made["a"]["submitted_at"], until=made["d"]["submitted_at"], direction="asc") == "bc"
    assert cids(nested="True") == cids(nested="false") == "dcba"


def test_positions_are_closed_by_quantity_and_percent(call: Client) -> None:
    hold(call, "shares", qty="10")
    client = sdk(call)
    assert client.close_position("AAPL", ClosePositionRequest(qty="4")).qty == "4"
    while client.get_open_position("AAPL").qty != "6":
        time.sleep(0.02)
    assert client.close_position(client.get_asset("AAPL").id, ClosePositionRequest(percentage="50")).qty == "3"
    while client.get_open_position("AAPL").qty != "3":
        time.sleep(0.02)
    wrong = {"qty": ("0", "x", "Infinity", "-1"), "percentage": ("0", "101", "NaN", "-1")}
    for name, value in ((name, value) for name, values in wrong.items() for value in values):
        query = {name: value}
        assert call("DELETE", "/v2/positions/AAPL", params=query).status_code == 422, query
    assert call("DELETE", "/v2/positions/AAPL", params={"qty": "4"}).status_code == 403
    assert call("GET", "/v2/positions/AAPL").json()["qty"] == "3"


def test_closing_all_tells_of_each(call: Client) -> None:
    hold(call, "free", qty="2")
    hold(call, "held", qty="3", symbol="SPY")
    hold(call, "coins", qty="0.01", symbol="BTC/USD", time_in_force="gtc")
    resting = order("resting", symbol="SPY", side="sell", qty="3", limit_price="9000")
    assert call("POST", "/v2/orders", json=resting).status_code == 200
    answer = call("DELETE", "/v2/positions")
    assert answer.status_code == 207
    rows = {row["symbol"]: row for row in answer.json()}
    assert {symbol: row["status"] for symbol, row in rows.items()} == {"AAPL": 200, "SPY": 403, "BTC/USD": 200}
    assert rows["AAPL"]["body"]["side"] == "sell"
    assert rows["SPY"]["body"]["code"] == 40310000
    assert rows["SPY"]["body"]["held_for_orders"] == "3"
    answer = call("DELETE", "/v2/positions", params={"cancel_orders": "True"})
    assert [(row["symbol"], row["status"]) for row in answer.json() if row["symbol"] == "SPY"] == [("SPY", 200)]
    while call("GET", "/v2/positions").json():
        time.sleep(0.02)
    assert call("DELETE", "/v2/positions").json() == []
    assert call("GET", "/v2/orders").json() == []


def test_assets_by_every_filter(call: Client) -> None:
    client = sdk(call)
    every = {asset.symbol: asset for asset in client.get_all_assets()}
    assert {"AAPL", "BTC/USD", "HARD", "GONE"} <= every.keys()
    assert "fractional_eh_enabled" in (every["AAPL"].attributes or ())
    active = {a.symbol for a in client.get_all_assets(GetAssetsRequest(status=AssetStatus.ACTIVE))}
    assert every.keys() - active == {"GONE"}
    pairs = client.get_all_assets(GetAssetsRequest(asset_class=AssetClass.CRYPTO))
    assert all("/" in a.symbol and a.min_order_size and a.min_trade_increment and a.price_increment for a in pairs)
    found = call("GET", "/v2/assets", params={"exchange": "NYSE", "status": "active"}).json()
    assert {a["symbol"] for a in found} == {"HARD", "NOSH"}
    able = call("GET", "/v2/assets", params={"attributes": "fractional_eh_enabled,other"}).json()
    assert {a["symbol"] for a in able} >= {"AAPL", "MSFT"}
    assert "HARD" not in {a["symbol"] for a in able}
    assert call("GET", "/v2/assets", params={"attributes": "none"}).json() == []
    assert call("GET", "/v2/assets", params={"status": "gone"}).status_code == 400
    assert client.get_asset("BTCUSD") == client.get_asset("BTC/USD") == client.get_asset(every["BTC/USD"].id)
    assert not client.get_asset("NOSH").shortable


def test_the_days_of_the_venue(call: Client) -> None:
    with simulated_venue(calendar=True, start=1_772_463_846_000_000_000) as venue:  # 2026-03-02 10:04 New York
        own = Client(venue.url, venue.key, venue.secret)
        client = sdk(own)
        assert client.get_clock().is_open
        days = client.get_calendar(GetCalendarRequest(start="2026-11-25", end="2026-11-30"))
        assert [(d.date.isoformat(), d.close.hour) for d in days] == [("2026-11-25", 16), ("2026-11-27", 13), ("2026-11-30", 16)]
        own.session.close()
    assert call("GET", "/v2/calendar?start=x").status_code == 400
