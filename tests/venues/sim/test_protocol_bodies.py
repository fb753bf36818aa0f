"""The request bodies of the protocol as its samples write them, and the objects of contracts: taken, shown in shape, read by us."""

from collections.abc import Iterator
from typing import Any

import alpaca.trading.models as models
import msgspec
import pytest
import requests
from tests.reference import samples
from tests.reference.samples import UUID, differences, kind

import pyrt
from pyrt.errors import Misbehaved
from pyrt.venues.alpaca import wire
from pyrt.venues.sim.library import SimulatedVenue

pytestmark = pytest.mark.row("X08")

CONTRACT: dict[str, Any] = {
    "id": UUID,
    "symbol": "AAPL260320C00190000",
    "name": "AAPL Mar 20 2026 190 Call",
    "status": "active",
    "tradable": True,
    "expiration_date": "2026-03-20",
    "root_symbol": "AAPL",
    "underlying_symbol": "AAPL",
    "underlying_asset_id": UUID,
    "type": "call",
    "style": "american",
    "strike_price": "190",
    "multiplier": "100",
    "size": "100",
    "open_interest": "1234",
    "open_interest_date": "2026-02-27",
    "close_price": "5.1",
    "close_price_date": "2026-02-27",
}
GREEKS = {"delta": 0.53, "gamma": 0.03, "theta": -0.11, "vega": 0.18, "rho": 0.05}
BODIES: dict[str, dict[str, Any]] = {
    "market": {
        "symbol": "AAPL",
        "qty": "10",
        "side": "buy",
        "type": "market",
        "time_in_force": "day",
        "client_order_id": "pyrt-7f3a-1",
    },
    "money": {"symbol": "AAPL", "notional": "150.50", "side": "buy", "type": "market", "time_in_force": "day"},
    "trailing": {
        "symbol": "AAPL",
        "qty": "4",
        "side": "sell",
        "type": "trailing_stop",
        "trail_percent": "2.5",
        "time_in_force": "gtc",
    },
    "bracket": {
        "symbol": "MSFT",
        "qty": "4",
        "side": "buy",
        "type": "limit",
        "limit_price": "189.00",
        "time_in_force": "gtc",
        "order_class": "bracket",
        "take_profit": {"limit_price": "199.00"},
        "stop_loss": {"stop_price": "180.00", "limit_price": "179.50"},
    },
    "oco": {
        "symbol": "AAPL",
        "qty": "4",
        "side": "sell",
        "type": "limit",
        "time_in_force": "gtc",
        "order_class": "oco",
        "take_profit": {"limit_price": "1999.00"},
        "stop_loss": {"stop_price": "18.00"},
    },
}


class Client:
    """A client without a library: keys, JSON, nothing else."""

    def __init__(self, venue: SimulatedVenue) -> None:
        self.url = venue.url
        self.session = requests.Session()
        self.session.trust_env = False
        self.session.headers.update({"APCA-API-KEY-ID": venue.key, "APCA-API-SECRET-KEY": venue.secret})

    def ask(self, method: str, path: str, **options: Any) -> Any:
        answer = self.session.request(method, self.url + path, timeout=30, **options)
        assert answer.status_code == 200, answer.text
        return answer.json()


@pytest.fixture(scope="module")
def client() -> Iterator[Client]:
    with pyrt.sim(start="2026-03-02T15:04:06Z", seed=3) as venue:
        made = Client(venue)
        first = made.ask("POST", "/v2/orders", json=BODIES["market"])
        while made.ask("GET", f"/v2/orders/{first['id']}")["status"] != "filled":
            pass
        yield made
        made.session.close()


@pytest.mark.parametrize("name", [name for name in BODIES if name != "market"])
def test_a_body_as_the_samples_write_it_is_an_order(client: Client, name: str) -> None:
    order = client.ask("POST", "/v2/orders", json=BODIES[name])
    assert differences(kind(samples.ORDER), kind(order)) == []
    assert models.Order(**order).symbol == BODIES[name]["symbol"]
    ours = wire.Reader().order(order)
    assert (ours.id, ours.symbol) == (order["id"], BODIES[name]["symbol"])
    legs = order["legs"] or []
    assert len(legs) == {"bracket": 2, "oco": 1}.get(name, 0)
    for leg in legs:
        assert differences(kind(samples.ORDER), kind(leg)) == []
    client.session.delete(f"{client.url}/v2/orders/{order['id']}", timeout=30)


def test_a_change_as_the_sample_writes_it(client: Client) -> None:
    body = {"symbol": "MSFT", "qty": "4", "side": "buy", "type": "limit", "limit_price": "100", "time_in_force": "day"}
    old = client.ask("POST", "/v2/orders", json=body)
    change = {"qty": "6", "limit_price": "88.50", "time_in_force": "gtc", "client_order_id": "changed"}
    new = client.ask("PATCH", f"/v2/orders/{old['id']}", json=change)
    assert differences(kind(samples.ORDER), kind(new)) == []
    assert {key: new[key] for key in change} == change | {"limit_price": "88.5"}
    assert new["replaces"] == old["id"]
    client.session.delete(f"{client.url}/v2/orders/{new['id']}", timeout=30)


def test_contracts_snapshots_and_a_spread(client: Client) -> None:
    query = {"underlying_symbols": "AAPL", "type": "call", "expiration_date_gte": "2026-03-10", "expiration_date_lte": "2026-04-30"}
    page = client.ask("GET", "/v2/options/contracts", params=query)
    assert page.keys() == {"option_contracts", "next_page_token"}
    for contract in page["option_contracts"]:
        assert differences(kind(CONTRACT), kind(contract)) == []
        assert models.OptionContract(**contract).symbol == contract["symbol"]
    day = page["option_contracts"][0]["expiration_date"]
    near = sorted((c for c in page["option_contracts"] if c["expiration_date"] == day), key=lambda c: float(c["strike_price"]))
    low, high = near[len(near) // 2 - 1 : len(near) // 2 + 1]
    shown = client.ask("GET", "/v1beta1/options/snapshots", params={"symbols": low["symbol"]})
    assert shown.keys() == {"snapshots", "next_page_token"}
    snapshot = shown["snapshots"][low["symbol"]]
    assert snapshot.keys() >= {"latestQuote", "impliedVolatility", "greeks"}
    assert kind(snapshot["greeks"]) == kind(GREEKS)
    body = {
        "order_class": "mleg",
        "qty": "1",
        "type": "limit",
        "limit_price": "0.01",
        "time_in_force": "day",
        "legs": [
            {"symbol": low["symbol"], "ratio_qty": "1", "side": "buy", "position_intent": "buy_to_open"},
            {"symbol": high["symbol"], "ratio_qty": "1", "side": "sell", "position_intent": "sell_to_open"},
        ],
    }
    order = client.ask("POST", "/v2/orders", json=body)
    assert not any(order[key] for key in ("symbol", "side", "asset_id"))  # empty, says the protocol
    assert [leg["ratio_qty"] for leg in order["legs"]] == ["1", "1"]
    for leg in order["legs"]:
        assert differences(kind(samples.ORDER), kind(leg)) == []
    assert len(models.Order(**order).legs or ()) == 2
    reader = wire.Reader()
    rows = client.ask("GET", "/v2/orders", params={"symbols": f"{low['symbol']},{high['symbol']}"})
    assert {order.symbol for row in rows for order in reader.orders(row)} <= {low["symbol"], high["symbol"]}
    update = {"event": "new", "timestamp": order["created_at"], "order": order}
    with pytest.raises(Misbehaved, match="an order without a side"):  # which the stream counts, tells and survives
        reader.frame(msgspec.json.encode({"stream": "trade_updates", "data": update}))
    client.session.delete(f"{client.url}/v2/orders/{order['id']}", timeout=30)
