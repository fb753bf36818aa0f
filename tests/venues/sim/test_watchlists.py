"""Watchlists, by id and by name, as alpaca-py and as bare requests see them."""

from uuid import UUID

import pytest
from alpaca.common.exceptions import APIError
from alpaca.trading.client import TradingClient
from alpaca.trading.requests import CreateWatchlistRequest, UpdateWatchlistRequest
from tests.venues.sim.clients import Client, open_client

from pyrt.venues.sim.library import SimulatedVenue

pytestmark = pytest.mark.row("X08")


def test_alpaca_pys_client_keeps_lists(call: Client) -> None:
    client = TradingClient(call.key, call.secret, paper=True, url_override=call.url)
    made = client.create_watchlist(CreateWatchlistRequest(name="tech", symbols=["AAPL", "MSFT"]))
    assert [a.symbol for a in made.assets or ()] == ["AAPL", "MSFT"]
    assert [(w.id, w.name, w.assets) for w in client.get_watchlists()] == [(made.id, "tech", None)]
    more = client.add_asset_to_watchlist_by_id(made.id, "SPY")
    assert [a.symbol for a in more.assets or ()] == ["AAPL", "MSFT", "SPY"]
    assert more.updated_at >= made.updated_at
    less = client.remove_asset_from_watchlist_by_id(made.id, "MSFT")
    assert [a.symbol for a in less.assets or ()] == ["AAPL", "SPY"]
    assert [a.symbol for a in client.get_watchlist_by_id(made.id).assets or ()] == ["AAPL", "SPY"]
    renamed = client.update_watchlist_by_id(made.id, UpdateWatchlistRequest(name="fruit", symbols=["AAPL"]))
    assert (renamed.name, renamed.account_id) == ("fruit", client.get_account().id)
    client.delete_watchlist_by_id(made.id)
    assert client.get_watchlists() == []
    with pytest.raises(APIError) as error:
        client.get_watchlist_by_id(made.id)
    assert error.value.code == 40410000


def test_by_name(call: Client) -> None:
    made = call("POST", "/v2/watchlists", json={"name": "my list", "symbols": ["AAPL"]}).json()
    named = {"params": {"name": "my list"}}
    assert call("GET", "/v2/watchlists:by_name", **named).json() == made
    more = call("POST", "/v2/watchlists:by_name", json={"symbol": "SPY"}, **named).json()
    assert [a["symbol"] for a in more["assets"]] == ["AAPL", "SPY"]
    changed = call("PUT", "/v2/watchlists:by_name", json={"name": "other"}, **named).json()
    assert (changed["id"], changed["name"], len(changed["assets"])) == (made["id"], "other", 2)
    assert call("GET", "/v2/watchlists:by_name", **named).status_code == 404
    assert call("GET", "/v2/watchlists:by_name").status_code == 400
    gone = call("DELETE", "/v2/watchlists:by_name", params={"name": "other"})
    assert (gone.status_code, gone.content) == (204, b"")
    assert call("DELETE", "/v2/watchlists:by_name", params={"name": "other"}).status_code == 404


def test_what_a_list_cannot_be(call: Client) -> None:
    made = call("POST", "/v2/watchlists", json={"name": "one"}).json()
    assert UUID(made["id"])
    assert made["assets"] == []
    path = f"/v2/watchlists/{made['id']}"
    for method, where, body, status, code in (
        ("POST", "/v2/watchlists", {"name": "one"}, 422, 42210000),
        ("POST", "/v2/watchlists", {"name": ""}, 422, 40010001),
        ("POST", "/v2/watchlists", {}, 422, 40010001),
        ("POST", "/v2/watchlists", {"name": 5}, 422, 40010001),
        ("POST", "/v2/watchlists", {"name": "x" * 65}, 422, 40010001),
        ("POST", "/v2/watchlists", {"name": "two", "symbols": ["NONE"]}, 422, 42210000),
        ("POST", "/v2/watchlists", {"name": "two", "symbols": "AAPL"}, 400, 40010000),
        ("POST", "/v2/watchlists", {"name": "two", "symbols": [1]}, 400, 40010000),
        ("POST", "/v2/watchlists", {"name": "two", "symbols": ["AAPL"] * 1001}, 422, 40010001),
        ("POST", "/v2/watchlists", {"name": "\ud800"}, 400, 40010000),
        ("PUT", path, {"name": "x" * 65}, 422, 40010001),
        ("PUT", path, {"symbols": ["NONE"]}, 422, 42210000),
        ("POST", path, {"symbol": "NONE"}, 422, 42210000),
        ("POST", path, {}, 422, 40010001),
        ("DELETE", f"{path}/AAPL", None, 404, 40410000),
        ("DELETE", f"{path}/NONE", None, 404, 40410000),
        ("PUT", "/v2/watchlists/nobody", {"name": "x"}, 404, 40410000),
    ):
        answer = call(method, where, json=body)
        assert (answer.status_code, answer.json()["code"]) == (status, code), (method, where, body)
    assert call("GET", path).json() == made
    assert call("GET", "/v2/watchlists").json() == [{k: v for k, v in made.items() if k != "assets"}]
    assert call("PUT", path, json={"name": "one"}).status_code == 200  # its own name


def test_lists_are_the_accounts(venue: SimulatedVenue, call: Client) -> None:
    made = call("POST", "/v2/watchlists", json={"name": "mine"}).json()
    other = open_client(venue)
    assert other("GET", "/v2/watchlists").json() == []
    assert other("DELETE", f"/v2/watchlists/{made['id']}").status_code == 404
    assert other("POST", "/v2/watchlists", json={"name": "mine"}).status_code == 200
    other.session.close()
