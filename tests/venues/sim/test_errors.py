"""Every error of Alpaca's table: request -> status, code, message and what else the body tells."""

import time
from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest
import requests
from alpaca.common.exceptions import APIError
from alpaca.trading.client import TradingClient
from tests.venues.sim.clients import Client, open_client, order

from pyrt.venues.sim.library import SimulatedVenue, simulated_venue

pytestmark = pytest.mark.row("X08")

NOBODY = "5e0c0000-0000-4000-8000-000000000000"


class Case(NamedTuple):
    """One row: what is asked, and the answer."""

    method: str
    path: str
    body: Any
    status: int
    code: int
    message: str  # a part of it
    extra: frozenset[str] = frozenset()


def new(status: int, code: int, message: str, *extra: str, **change: Any) -> Case:
    body = {key: value for key, value in order("", **change).items() if value is not None and key != "client_order_id"}
    if "client_order_id" in change:
        body["client_order_id"] = change["client_order_id"]
    return Case("POST", "/v2/orders", body, status, code, message, frozenset(extra))


SHARES = ("available", "existing_qty", "held_for_orders", "related_orders", "symbol")
CASES = [
    # 400: what cannot be read
    Case("POST", "/v2/orders", "not json", 400, 40010000, "request body format is invalid"),
    Case("POST", "/v2/orders", [1], 400, 40010000, "request body format is invalid"),
    Case("GET", "/v2/orders?limit=0", None, 400, 40010001, "limit must be"),
    Case("GET", "/v2/orders?status=some", None, 400, 40010001, "status must be"),
    Case("GET", "/v2/orders?until=tomorrow", None, 400, 40010001, "until is not"),
    Case("GET", "/v2/orders:by_client_order_id", None, 400, 40010001, "client_order_id is required"),
    Case("DELETE", "/v2/positions/AAPL?qty=1&percentage=1", None, 400, 40010001, "only one of"),
    # 403: money and shares
    new(403, 40310000, "insufficient buying power", "buying_power", "cost_basis", qty="100000", limit_price="100"),
    new(403, 40310000, "insufficient qty available for order (requested: 2, available: 1)", *SHARES, side="sell", qty="2"),
    new(403, 40310000, "potential wash trade detected", "existing_order_id", "reject_reason", symbol="MSFT", limit_price="9999"),
    new(403, 40310000, "insufficient balance for BTC", "available", "balance", "symbol", symbol="BTC/USD", side="sell"),
    # 404
    Case("GET", f"/v2/orders/{NOBODY}", None, 404, 40410000, f"order not found for {NOBODY}"),
    Case("PATCH", f"/v2/orders/{NOBODY}", {"qty": "1"}, 404, 40410000, "order not found for"),
    Case("DELETE", f"/v2/orders/{NOBODY}", None, 404, 40410000, "order not found for"),
    Case("GET", "/v2/orders:by_client_order_id?client_order_id=nobody", None, 404, 40410000, "order not found for nobody"),
    Case("GET", "/v2/positions/SPY", None, 404, 40410000, "position does not exist"),
    Case("DELETE", "/v2/positions/SPY", None, 404, 40410000, "position does not exist"),
    Case("GET", "/v2/positions/NONE", None, 404, 40410000, "NONE"),
    Case("GET", "/v2/assets/NONE", None, 404, 40410000, "asset not found for NONE"),
    Case("GET", "/v2/nothing", None, 404, 40410000, "not found"),
    Case("GET", f"/v2/watchlists/{NOBODY}", None, 404, 40410000, "watchlist not found"),
    # 405
    Case("PUT", "/v2/orders", {}, 405, 40510000, "not allowed"),
    # 422 with 40010001: what no order can be
    new(422, 40010001, "client_order_id must be unique", client_order_id="taken"),
    new(422, 40010001, "client_order_id must be no more than 128", client_order_id="x" * 129),
    new(422, 40010001, "limit price must be > 0", limit_price="-1"),
    new(422, 40010001, "market orders require no stop or limit price", type="market"),
    new(422, 40010001, "limit", limit_price=None),
    new(422, 40010001, "stop", type="stop", limit_price=None),
    new(422, 40010001, 'only type="limit" is allowed for extended', type="market", limit_price=None, extended_hours=True),
    new(422, 40010001, "side", side="hold"),
    new(422, 40010001, "type", type=None),
    new(422, 40010001, "time_in_force", time_in_force=None),
    new(422, 40010001, "symbol is required", symbol=None),
    new(422, 40010001, "qty", qty=None),
    new(422, 40010001, "qty", qty="0"),
    new(422, 40010001, "qty", qty="many"),
    new(422, 40010001, "qty", notional="100"),
    new(422, 40010001, "position_intent", position_intent="sell_to_close"),
    Case("GET", "/v2/account/portfolio/history?period=1X", None, 422, 40010001, "invalid period"),
    Case("PATCH", "/v2/account/configurations", {"no_shorting": "?"}, 422, 40010001, "no_shorting"),
    # 422 with 42210000: what this order, asset or state does not allow
    new(422, 42210000, "sub-penny increment does not fulfill minimum pricing criteria", limit_price="10.001"),
    new(422, 42210000, "sub-penny increment does not fulfill minimum pricing criteria", limit_price="0.50001"),
    new(422, 42210000, 'asset "NONE" not found', symbol="NONE"),
    new(422, 42210000, "asset GONE is not active", symbol="GONE"),
    new(422, 42210000, "asset WHOL is not fractionable", symbol="WHOL", qty="1.5", time_in_force="day"),
    new(422, 42210000, 'asset "NOSH" cannot be sold short', symbol="NOSH", side="sell"),
    new(422, 42210000, 'only day orders are allowed for hard-to-borrow asset "HARD"', symbol="HARD"),
    new(422, 42210000, "fractional orders cannot be sold short", symbol="SPY", side="sell", qty="1.5", time_in_force="day"),
    new(422, 42210000, "cost basis must be >= minimal amount of order 1", qty="0.5", limit_price="1", time_in_force="day"),
    new(422, 42210000, "invalid crypto time_in_force", symbol="BTC/USD", time_in_force="day"),
    Case("DELETE", "/v2/orders/{canceled}", None, 422, 42210000, 'already in "canceled" state'),
    Case("PATCH", "/v2/orders/{canceled}", {"qty": "2"}, 422, 42210000, '"canceled" state'),
    Case("POST", "/v2/watchlists", {"name": "taken"}, 422, 42210000, "watchlist name must be unique"),
]


@pytest.fixture(scope="module")
def call(venue: SimulatedVenue) -> Iterator[Client]:
    """An account that holds one share of AAPL, sells MSFT short at a price of its own, and has used the names."""
    client = open_client(venue)
    bought = client("POST", "/v2/orders", json=order("buy", type="market", limit_price=None, time_in_force="day"))
    assert bought.status_code == 200, bought.text
    while client("GET", "/v2/positions/AAPL").status_code != 200:
        time.sleep(0.02)
    sold = client("POST", "/v2/orders", json=order("short", symbol="MSFT", side="sell", limit_price="9000"))
    assert sold.status_code == 200, sold.text
    taken = client("POST", "/v2/orders", json=order("taken")).json()
    assert client("DELETE", f"/v2/orders/{taken['id']}").status_code == 204
    client.canceled = taken["id"]  # type: ignore[attr-defined]
    assert client("POST", "/v2/watchlists", json={"name": "taken"}).status_code == 200
    yield client
    client.session.close()


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.method} {case.path} {case.message}"[:70])
def test_the_answer_to_a_wrong_request(call: Client, case: Case) -> None:
    path = case.path.replace("{canceled}", call.canceled)  # type: ignore[attr-defined]
    options = {"data": case.body} if isinstance(case.body, str) else {"json": case.body}
    answer = call(case.method, path, **options)
    body = answer.json()
    assert (answer.status_code, body["code"]) == (case.status, case.code), body
    assert case.message in body["message"]
    assert body.keys() == {"code", "message"} | case.extra
    assert answer.headers["Content-Type"].startswith("application/json")
    assert answer.headers["X-Request-ID"]


def test_the_table_has_every_code_of_the_protocol() -> None:
    others = {40110000, 40310100, 42910000, 50010000}  # shown below, in test_admission and in test_server_rest
    assert {case.code for case in CASES} | others >= {
        40010000, 40010001, 40110000, 40310000, 40310100, 40410000, 42210000, 42910000, 50010000
    }  # fmt: skip


def test_who_shows_no_keys(venue: SimulatedVenue) -> None:
    trading = requests.get(f"{venue.url}/v2/account", timeout=30)
    assert (trading.status_code, trading.json()) == (401, {"code": 40110000, "message": "request is not authorized."})
    data = requests.get(f"{venue.url}/v2/stocks/AAPL/quotes/latest", timeout=30)
    assert (data.status_code, data.json()) == (403, {"message": "forbidden."})


def test_the_rule_of_day_traders() -> None:
    with simulated_venue(account_fields="before", cash="20000") as venue:
        client = Client(venue.url, venue.key, venue.secret)
        market = {"type": "market", "limit_price": None, "time_in_force": "day"}
        answers = []
        for n in range(4):
            for side in ("buy", "sell"):
                answers.append(client("POST", "/v2/orders", json=order(f"{side}-{n}", side=side, **market)))
                held = 1 if side == "buy" else 0
                while answers[-1].status_code == 200 and len(client("GET", "/v2/positions").json()) != held:
                    time.sleep(0.02)
        account = client("GET", "/v2/account").json()
        client.session.close()
    assert [answer.status_code for answer in answers] == [200] * 7 + [403]
    body = {"code": 40310100, "message": "trade denied due to pattern day trading protection"}
    assert answers[-1].json() == body
    assert (account["daytrade_count"], account["pattern_day_trader"]) == (3, False)


def test_alpaca_py_reads_code_and_message(call: Client) -> None:
    client = TradingClient(call.key, call.secret, paper=True, url_override=call.url)
    with pytest.raises(APIError) as error:
        client.get_order_by_id(NOBODY)
    assert (error.value.status_code, error.value.code) == (404, 40410000)
    assert error.value.message == f"order not found for {NOBODY}"
