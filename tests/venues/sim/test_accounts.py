"""Several accounts on one venue: keys, limits, streams, permissions, and what one does not see of the other."""

import asyncio
import base64
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import requests
from tests.venues.sim.clients import Client, open_client, order
from tests.venues.sim.test_server_changes import end, sim

from pyrt.errors import ConfigError
from pyrt.venues.sim.library import SimulatedVenue, simulated_venue
from pyrt.venues.sim.server.access import AccountConfig, read_accounts

pytestmark = pytest.mark.row("X08")

SECOND = AccountConfig(key="PKSECOND", secret="second-secret", cash="5000", multiplier=1)
VENUE = {"accounts": (SECOND,)}


@pytest.fixture(scope="module")
def first(venue: SimulatedVenue) -> Iterator[Client]:
    client = Client(venue.url, venue.key, venue.secret)
    yield client
    client.session.close()


@pytest.fixture(scope="module")
def second(venue: SimulatedVenue) -> Iterator[Client]:
    client = Client(venue.url, SECOND.key, SECOND.secret)
    yield client
    client.session.close()


def test_each_key_opens_its_own_account(venue: SimulatedVenue, first: Client, second: Client) -> None:
    a, b = first("GET", "/v2/account").json(), second("GET", "/v2/account").json()
    assert a["id"] != b["id"]
    assert (a["cash"], a["multiplier"], b["cash"], b["multiplier"]) == ("100000", "2", "5000", "1")
    made = first("POST", "/v2/orders", json=order("same")).json()
    assert second("POST", "/v2/orders", json=order("same")).status_code == 200  # client ids are the account's
    for path in (f"/v2/orders/{made['id']}", f"/v2/orders/{made['id']}?nested=true"):
        assert second("GET", path).status_code == 404
    assert second("PATCH", f"/v2/orders/{made['id']}", json={"qty": "2"}).status_code == 404
    assert second("DELETE", f"/v2/orders/{made['id']}").status_code == 404
    assert [o["id"] for o in first("GET", "/v2/orders").json()] == [made["id"]]
    assert len(second("DELETE", "/v2/orders").json()) == 1
    assert first("GET", f"/v2/orders/{made['id']}").json()["status"] == "new"
    asked = [r["account"] for r in venue.truth()["requests"] if '"same"' in r["body"]]
    assert asked == [a["id"], b["id"]]


def test_every_page_is_the_accounts_own(venue: SimulatedVenue) -> None:
    one, other = open_client(venue), open_client(venue, cash="50000")
    bought = order("mine", type="market", limit_price=None, time_in_force="day")
    made = one("POST", "/v2/orders", json=bought).json()
    while not one("GET", "/v2/account/activities/FILL").json():
        time.sleep(0.02)
    one("PATCH", "/v2/account/configurations", json={"no_shorting": True})
    one("POST", "/v2/watchlists", json={"name": "mine"})
    for path, held in (
        ("/v2/orders?status=all", 1),
        ("/v2/positions", 1),
        ("/v2/account/activities", 1),
        ("/v2/watchlists", 1),
    ):
        assert [len(client("GET", path).json()) for client in (one, other)] == [held, 0], path
    for path in (f"/v2/orders/{made['id']}", "/v2/orders:by_client_order_id?client_order_id=mine", "/v2/positions/AAPL"):
        assert [client("GET", path).status_code for client in (one, other)] == [200, 404], path
    shorts = [client("GET", "/v2/account/configurations").json()["no_shorting"] for client in (one, other)]
    assert shorts == [True, False]
    history = [client("GET", "/v2/account/portfolio/history").json()["equity"] for client in (one, other)]
    assert history[0] != history[1] == [50_000.0]
    assert other("DELETE", "/v2/positions/AAPL").status_code == 404
    assert (other("DELETE", "/v2/positions").json(), other("DELETE", "/v2/orders").json()) == ([], [])
    assert one("GET", "/v2/positions/AAPL").json()["qty"] == "1"
    for client in (one, other):
        client.session.close()


def test_keys_of_one_do_not_mix_with_secrets_of_the_other(venue: SimulatedVenue) -> None:
    for key, secret in ((venue.key, SECOND.secret), (SECOND.key, ""), ("", ""), (SECOND.key, SECOND.secret + "x"), ("é", "é")):
        headers = {"APCA-API-KEY-ID": key.encode(), "APCA-API-SECRET-KEY": secret.encode()}
        answer = requests.get(f"{venue.url}/v2/account", headers=headers, timeout=30)
        assert (answer.status_code, answer.json()["code"]) == (401, 40110000)


def test_basic_is_taken_and_bearer_is_not(venue: SimulatedVenue) -> None:
    def ask(authorization: str) -> requests.Response:
        return requests.get(f"{venue.url}/v2/account", headers={"Authorization": authorization}, timeout=30)

    pair = base64.b64encode(f"{SECOND.key}:{SECOND.secret}".encode()).decode()
    assert ask(f"Basic {pair}").json()["cash"] == "5000"
    for wrong in ("Basic", "Basic !!", "Basic " + base64.b64encode(b"\xff:\xff").decode(), "Digest x"):
        assert ask(wrong).status_code == 401
    refused = ask("Bearer token")
    assert (refused.status_code, refused.json()["code"]) == (401, 40110000)
    assert "OAuth" in refused.json()["message"]


def test_limits_are_of_the_account() -> None:
    with simulated_venue(accounts=(SECOND,), rate_limit=2) as venue:
        one, two = Client(venue.url, venue.key, venue.secret), Client(venue.url, SECOND.key, SECOND.secret)
        assert [one("GET", "/v2/clock").status_code for _ in range(3)] == [200, 200, 429]
        assert two("GET", "/v2/clock").headers["X-RateLimit-Remaining"] == "1"
        for client in (one, two):
            client.session.close()


def test_streams_are_of_the_account_too(venue: SimulatedVenue, second: Client) -> None:
    asyncio.run(_listen(venue, second))


async def _listen(venue: SimulatedVenue, second: Client) -> None:
    heard: dict[str, list[str]] = {}
    async with aiohttp.ClientSession() as session:
        pairs = {"first": (venue.key, venue.secret), "second": (SECOND.key, SECOND.secret)}
        streams, data = {}, {}
        for name, (key, secret) in pairs.items():
            ws = streams[name] = await session.ws_connect(venue.stream_url)
            await ws.send_json({"action": "auth", "key": key, "secret": secret})
            await ws.send_json({"action": "listen", "data": {"streams": ["trade_updates"]}})
            assert json.loads((await ws.receive()).data)["data"]["status"] == "authorized"
            assert json.loads((await ws.receive()).data)["stream"] == "listening"
            # One data connection an account: the second account's does not take the first one's.
            feed = data[name] = await session.ws_connect(venue.data_url)
            await feed.receive()
            await feed.send_json({"action": "auth", "key": key, "secret": secret})
            assert (await feed.receive_json())[0]["msg"] == "authenticated"
        again = await session.ws_connect(venue.data_url)
        await again.receive()
        await again.send_json({"action": "auth", "key": SECOND.key, "secret": SECOND.secret})
        assert (await again.receive_json())[0]["code"] == 406
        for cid in ("heard-1", "heard-2"):
            made = await asyncio.to_thread(second, "POST", "/v2/orders", json=order(cid))
            assert made.status_code == 200
            await asyncio.to_thread(second, "DELETE", f"/v2/orders/{made.json()['id']}")
        own = Client(venue.url, venue.key, venue.secret)
        await asyncio.to_thread(own, "POST", "/v2/orders", json=order("end"))
        own.session.close()
        for name, last in (("second", "heard-2"), ("first", "end")):
            heard[name] = []
            while not heard[name] or (heard[name][-1] != last):
                heard[name].append(json.loads((await streams[name].receive()).data)["data"]["order"]["client_order_id"])
        for ws in (*streams.values(), *data.values(), again):
            await ws.close()
    assert set(heard["first"]) == {"end"}
    assert set(heard["second"]) == {"heard-1", "heard-2"}
    truth = await asyncio.to_thread(venue.truth)
    assert len({c["account"] for c in truth["connections"] if c["path"] == "/stream"}) == 2


def test_an_account_is_opened_over_loopback(venue: SimulatedVenue) -> None:
    client = open_client(venue, cash="12.50", multiplier=4)
    account = client("GET", "/v2/account").json()
    assert (account["cash"], account["multiplier"]) == ("12.5", "1")  # no margin below 2,000
    for wrong in ({"cash": "-1"}, {"cash": "1e5"}, {"multiplier": 3}, {"colour": "red"}, [], {"cash": 5}):
        refused = requests.post(f"{venue.url}/sim/accounts", json=wrong, timeout=30)
        assert (refused.status_code, refused.json()["code"]) == (400, 40010000)
    listed = requests.get(f"{venue.url}/sim/accounts", timeout=30)
    assert account["id"] in {row["id"] for row in listed.json()}
    assert client.secret not in listed.text
    assert client.key not in listed.text
    assert client.secret not in json.dumps(venue.truth())
    foreign = {"Origin": "http://example.com"}
    assert requests.post(f"{venue.url}/sim/accounts", headers=foreign, timeout=30).status_code == 403
    client.session.close()


def test_the_venue_takes_rights_away(venue: SimulatedVenue) -> None:
    client = open_client(venue)
    id_ = client("GET", "/v2/account").json()["id"]

    def permit(**rights: Any) -> int:
        return requests.patch(f"{venue.url}/sim/accounts/{id_}", json=rights, timeout=30).status_code

    assert permit(trading_blocked=True) == 200
    assert client("GET", "/v2/account").json()["trading_blocked"] is True
    refused = client("POST", "/v2/orders", json=order("blocked"))
    assert (refused.status_code, refused.json()["code"]) == (403, 40310000)
    assert permit(trading_blocked=False, asset_classes=["crypto"]) == 200
    refused = client("POST", "/v2/orders", json=order("equity"))
    assert (refused.status_code, refused.json()["code"]) == (422, 40010001)
    assert refused.json()["message"] == "us_equity orders not allowed for account"
    assert permit(asset_classes=["bonds"]) == 400
    assert permit(asset_classes=["us_equity"]) == 200
    assert client("POST", "/v2/orders", json=order("now")).status_code == 200
    assert requests.patch(f"{venue.url}/sim/accounts/nobody", json={}, timeout=30).status_code == 404
    client.session.close()


def test_accounts_outlive_the_venue(tmp_path: Path) -> None:
    with simulated_venue(state=str(tmp_path), accounts=(SECOND,)) as venue:
        opened = open_client(venue, cash="77")
        two = Client(venue.url, SECOND.key, SECOND.secret)
        ids = [client("GET", "/v2/account").json()["id"] for client in (opened, two)]
    fresh = AccountConfig(key=SECOND.key, secret="another-secret", cash="1")
    with simulated_venue(state=str(tmp_path), accounts=(fresh,)) as venue:
        opened.url = venue.url
        assert opened("GET", "/v2/account").json()["id"] == ids[0]
        again = Client(venue.url, fresh.key, fresh.secret)
        account = again("GET", "/v2/account").json()
        assert (account["id"], account["cash"]) == (ids[1], "5000")  # the account stays, its secret is the new one
        two.url = venue.url
        assert two("GET", "/v2/account").status_code == 401
    with simulated_venue(state=str(tmp_path)) as venue:  # nobody names it any more, and it is still there
        again.url = venue.url
        assert again("GET", "/v2/account").json()["id"] == ids[1]
    for client in (opened, two, again):
        client.session.close()


def test_kill_9_right_after_an_answer_forgets_no_account_list_or_wish(tmp_path: Path) -> None:
    process, call = sim(tmp_path)
    try:
        opened = call("POST", "/sim/accounts", json={"cash": "321"})
        call("PATCH", f"/sim/accounts/{opened['id']}", json={"trading_blocked": True})
        wish = call("PATCH", "/v2/account/configurations", json={"no_shorting": True})
        made = call("POST", "/v2/watchlists", json={"name": "mine", "symbols": ["AAPL"]})
        more = call("POST", f"/v2/watchlists/{made['id']}", json={"symbol": "SPY"})
    finally:
        end(process, call)
    process, call = sim(tmp_path)
    try:
        assert call("GET", "/v2/account/configurations") == wish
        assert call("GET", f"/v2/watchlists/{made['id']}") == more
        keys = {"APCA-API-KEY-ID": opened["key"], "APCA-API-SECRET-KEY": opened["secret"]}
        account = call("GET", "/v2/account", headers=keys)
        assert (account["id"], account["cash"], account["trading_blocked"]) == (opened["id"], "321", True)
    finally:
        end(process, call)


def test_a_file_of_accounts(tmp_path: Path) -> None:
    path = tmp_path / "accounts.toml"
    first, second = '[[account]]\nkey = "A"\nsecret = "hidden-a"\n', '[[account]]\nkey = "B"\nsecret = "b"\n'
    path.write_text(f'{first}\n{second}cash = "50"\nmultiplier = 4\n')
    accounts = read_accounts(path)
    assert [(a.key, a.cash, a.multiplier) for a in accounts] == [("A", "100000", 2), ("B", "50", 4)]
    assert "hidden-a" not in repr(accounts)
    for text in ("account = 1", '[[account]]\nkey = "A"', "[[", '[[account]]\nkey = "A"\nsecret = "s"\ncash = "x"', ""):
        path.write_text(text)
        with pytest.raises(ConfigError) as error:
            read_accounts(path)
        assert error.value.mend
    with pytest.raises(ConfigError, match="cannot read"):
        read_accounts(tmp_path / "none.toml")


@pytest.mark.parametrize(
    ("accounts", "what"),
    [
        ((SECOND, SECOND), "same key"),
        ((AccountConfig(key="a b\n", secret="s"),), "printable"),
        ((AccountConfig(key="a", secret=""),), "empty"),
    ],
)
def test_pairs_that_cannot_be_are_refused(accounts: tuple[AccountConfig, ...], what: str) -> None:
    with pytest.raises(ConfigError, match=what), simulated_venue(accounts=accounts):
        pass
