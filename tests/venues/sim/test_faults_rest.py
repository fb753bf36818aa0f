"""Faults of requests and answers, as a client of bare sockets meets them, and what the truth tells of each."""

import json
import socket
import time
from collections.abc import Iterator
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests

from pyrt.errors import ConfigError
from pyrt.venues.sim.library import SimulatedVenue
from pyrt.venues.sim.times import parse_time

pytestmark = pytest.mark.row("X08")

ORDER = {"symbol": "AAPL", "qty": "1", "side": "buy", "type": "limit", "limit_price": "1.00", "time_in_force": "gtc"}
VENUE = {"seed": 7}


@pytest.fixture(autouse=True)
def no_faults(venue: SimulatedVenue) -> Iterator[None]:
    yield
    venue.disarm()


def keys(venue: SimulatedVenue) -> dict[str, str]:
    return {"APCA-API-KEY-ID": venue.key, "APCA-API-SECRET-KEY": venue.secret}


def ask(venue: SimulatedVenue, method: str, path: str, body: Any = None) -> requests.Response:
    return requests.request(method, venue.url + path, json=body, headers=keys(venue), timeout=30)


def raw(venue: SimulatedVenue, method: str, path: str, body: Any = None) -> tuple[bytes, str]:
    """All bytes that come until the connection ends, and how it ended."""
    data = b"" if body is None else json.dumps(body).encode()
    head = f"{method} {path} HTTP/1.1\r\nHost: sim\r\nContent-Length: {len(data)}\r\nContent-Type: application/json\r\n"
    head += "".join(f"{name}: {value}\r\n" for name, value in keys(venue).items()) + "\r\n"
    heard = b""
    with socket.create_connection(("127.0.0.1", urlsplit(venue.url).port or 0), timeout=30) as connection:
        connection.sendall(head.encode() + data)
        try:
            while part := connection.recv(65536):
                heard += part
        except ConnectionResetError:
            return heard, "rst"
    return heard, "fin"


def place(venue: SimulatedVenue, cid: str) -> str:
    answer = ask(venue, "POST", "/v2/orders", {**ORDER, "client_order_id": cid})
    assert answer.status_code == 200, answer.text
    return str(answer.json()["id"])


def exists(venue: SimulatedVenue, cid: str) -> bool:
    return any(order["client_order_id"] == cid for order in venue.truth()["orders"])


def fired(venue: SimulatedVenue, kind: str) -> list[dict[str, Any]]:
    return [f for f in venue.truth()["faults"]["firings"] if f["kind"] == kind]


def request_of(venue: SimulatedVenue, firing: dict[str, Any]) -> dict[str, Any]:
    (found,) = [r for r in venue.truth()["requests"] if r["seq"] == firing["request"]]
    return dict(found)


@pytest.mark.parametrize(("when", "how"), [("before", "rst"), ("before", "fin"), ("after", "rst"), ("after", "fin")])
def test_a_post_whose_connection_is_cut(venue: SimulatedVenue, when: str, how: str) -> None:
    venue.fault("cut_request", when=when, how=how, count=1)
    cid = f"cut-{when}-{how}"
    assert raw(venue, "POST", "/v2/orders", {**ORDER, "client_order_id": cid}) == (b"", how)
    assert exists(venue, cid) == (when == "after")
    asked = request_of(venue, fired(venue, "cut_request")[-1])
    assert (asked["status"], asked["cut"], asked["fault"]) == (0, True, "cut_request")
    assert (asked["handled_ns"] > 0) == (when == "after")
    assert place(venue, cid + "-next")


@pytest.mark.parametrize("status", [500, 502, 503])
@pytest.mark.parametrize("applied", [False, True])
def test_server_errors(venue: SimulatedVenue, status: int, applied: bool) -> None:
    cid = f"error-{status}-{applied}"
    venue.fault("server_error", on="submits", status=status, applied=applied, count=1)
    answer = ask(venue, "POST", "/v2/orders", {**ORDER, "client_order_id": cid})
    assert answer.status_code == status
    assert set(answer.json()) == {"code", "message"}
    assert exists(venue, cid) == applied


def test_an_error_page_of_a_proxy_and_an_empty_one(venue: SimulatedVenue) -> None:
    venue.fault("server_error", on="reads", status=502, body="html", count=1)
    answer = ask(venue, "GET", "/v2/account")
    assert (answer.status_code, answer.headers["Content-Type"].split(";")[0]) == (502, "text/html")
    assert "502 Bad Gateway" in answer.text
    venue.fault("server_error", on="reads", status=503, body="empty", count=1)
    answer = ask(venue, "GET", "/v2/account")
    assert (answer.status_code, answer.content) == (503, b"")
    assert ask(venue, "GET", "/v2/account").status_code == 200


def test_a_body_that_is_cut_short(venue: SimulatedVenue) -> None:
    venue.fault("truncate", on="reads", keep=0.5, count=1)
    answer = ask(venue, "GET", "/v2/account")
    assert answer.status_code == 200
    assert int(answer.headers["Content-Length"]) == len(answer.content) > 10
    with pytest.raises(ValueError):
        answer.json()


def test_a_connection_that_closes_in_the_body(venue: SimulatedVenue) -> None:
    venue.fault("truncate", on="reads", how="closed", keep=0.5, count=1)
    heard, end = raw(venue, "GET", "/v2/account")
    head, _, body = heard.partition(b"\r\n\r\n")
    length = int(next(line for line in head.splitlines() if line.lower().startswith(b"content-length")).split(b":")[1])
    assert (end, len(body)) == ("fin", length // 2)
    assert request_of(venue, fired(venue, "truncate")[-1])["cut"]


def test_an_answer_that_drips(venue: SimulatedVenue) -> None:
    venue.fault("slow_answer", on="reads", interval=0.004, count=1)
    begun = time.monotonic()
    answer = ask(venue, "GET", "/v2/clock")
    assert answer.json()["is_open"]
    assert time.monotonic() - begun > 0.004 * len(answer.content) / 2  # it took that long, at least


def test_a_cancel_that_is_lost_and_one_whose_answer_is(venue: SimulatedVenue) -> None:
    first, second = place(venue, "lost-1"), place(venue, "lost-2")
    venue.fault("lose_cancel", count=1)
    assert ask(venue, "DELETE", f"/v2/orders/{first}").status_code == 204
    assert ask(venue, "GET", f"/v2/orders/{first}").json()["status"] == "new"
    assert fired(venue, "lose_cancel")[-1]["order"] == first
    assert ask(venue, "DELETE", f"/v2/orders/{first}").status_code == 204
    assert ask(venue, "GET", f"/v2/orders/{first}").json()["status"] == "canceled"
    venue.fault("lose_cancel", happens=True, count=1)
    assert raw(venue, "DELETE", f"/v2/orders/{second}") == (b"", "rst")
    assert ask(venue, "GET", f"/v2/orders/{second}").json()["status"] == "canceled"
    assert ask(venue, "DELETE", f"/v2/orders/{second}").status_code == 422  # an order that is over is not concerned


def test_orders_of_every_account_are_met(venue: SimulatedVenue) -> None:
    made = requests.post(venue.url + "/sim/accounts", json={}, timeout=30).json()
    mine = {"APCA-API-KEY-ID": made["key"], "APCA-API-SECRET-KEY": made["secret"]}
    order = requests.post(venue.url + "/v2/orders", json=ORDER, headers=mine, timeout=30).json()["id"]
    venue.fault("lose_cancel", count=1)
    assert requests.delete(f"{venue.url}/v2/orders/{order}", headers=mine, timeout=30).status_code == 204
    assert requests.get(f"{venue.url}/v2/orders/{order}", headers=mine, timeout=30).json()["status"] == "new"
    venue.fault("fill_during_replace", count=1)
    changed = requests.patch(f"{venue.url}/v2/orders/{order}", json={"limit_price": "0.99"}, headers=mine, timeout=30)
    assert changed.status_code == 422
    assert requests.get(f"{venue.url}/v2/orders/{order}", headers=mine, timeout=30).json()["status"] == "filled"


@pytest.mark.parametrize("retry_after", [False, True])
def test_a_storm_of_429_on_chosen_requests(venue: SimulatedVenue, retry_after: bool) -> None:
    venue.fault("rate_limited", seconds=60, on="orders", retry_after=retry_after)
    answer = ask(venue, "POST", "/v2/orders", ORDER)
    assert answer.status_code == 429
    assert answer.headers.get("Retry-After") == ("60" if retry_after else None)
    assert ask(venue, "GET", "/v2/account").status_code == 200
    venue.fault("rate_limited", seconds=60, on="data")
    answer = ask(venue, "GET", "/v2/stocks/AAPL/trades/latest")
    assert (answer.status_code, answer.json()) == (429, {"message": "too many requests."})
    assert ask(venue, "GET", "/v2/account").status_code == 200


def test_faults_of_one_kind_stand_beside_each_other_under_names(venue: SimulatedVenue) -> None:
    venue.fault("server_error", name="a", on="submits", status=500)
    venue.fault("server_error", name="b", on="reads", status=503)
    assert ask(venue, "POST", "/v2/orders", ORDER).status_code == 500
    assert ask(venue, "GET", "/v2/account").status_code == 503
    venue.fault("server_error", name="b", on="cancels", status=503)
    assert ask(venue, "GET", "/v2/account").status_code == 200
    states = {(a["fault"]["name"], a["fired"]): a["state"] for a in venue.truth()["faults"]["armings"][-3:]}
    assert states == {("a", 1): "armed", ("b", 1): "replaced", ("b", 0): "armed"}


def test_dice_are_seeded(venue: SimulatedVenue) -> None:
    def story(seed: int) -> list[int]:
        venue.fault("server_error", on="reads", probability=0.5, seed=seed)
        return [ask(venue, "GET", "/v2/account").status_code for _ in range(12)]

    assert story(1) == story(1)
    assert {200, 500} == set(story(1))
    assert story(1) != story(2)


def test_a_fault_that_never_fires_is_told(venue: SimulatedVenue) -> None:
    venue.fault("server_error", on="data", lasts=600)
    assert [a["fault"]["kind"] for a in venue.faults()["never_fired"]][-1] == "server_error"
    number = venue.truth()["faults"]["armings"][-1]["number"]
    assert number in venue.truth()["faults"]["never_fired"]
    assert ask(venue, "GET", "/v2/stocks/AAPL/trades/latest").status_code == 500
    assert number not in venue.truth()["faults"]["never_fired"]
    (firing,) = [f for f in venue.truth()["faults"]["firings"] if f["fault"] == number]
    assert firing["venue_ns"] > 0
    assert firing["mono_ns"] <= time.monotonic_ns()
    assert request_of(venue, firing)["path"] == "/v2/stocks/AAPL/trades/latest"


def test_a_fault_ends_with_its_time(venue: SimulatedVenue) -> None:
    venue.fault("server_error", lasts=0)
    assert ask(venue, "GET", "/v2/account").status_code == 200
    assert venue.truth()["faults"]["armings"][-1]["state"] == "over"


def test_a_clock_that_is_off_is_off_everywhere(venue: SimulatedVenue) -> None:
    order = place(venue, "skew")
    shown = ask(venue, "GET", f"/v2/orders/{order}").json()
    before, real = venue.clock(), time.time()
    venue.fault("clock_skew", offset=3600)
    answer = ask(venue, "GET", f"/v2/orders/{order}")
    hour = 3600 * 10**9
    assert parse_time(answer.json()["created_at"]) == parse_time(shown["created_at"]) + hour
    assert parsedate_to_datetime(answer.headers["Date"]).timestamp() - real > 3500
    clock = ask(venue, "GET", "/v2/clock").json()
    assert parse_time(clock["timestamp"]) - before["now_ns"] >= hour - 1000
    assert clock["timestamp"].endswith(("-04:00", "-05:00"))
    assert venue.clock()["epoch_ns"] == before["epoch_ns"] + hour
    later = answer.json()["created_at"]
    found = requests.get(venue.url + "/v2/orders", params={"status": "all", "after": later}, headers=keys(venue), timeout=30).json()
    assert [o["id"] for o in found if o["id"] == order] == []  # asked in the same clock that it tells
    found = requests.get(
        venue.url + "/v2/orders", params={"status": "all", "until": later, "limit": 500}, headers=keys(venue), timeout=30
    ).json()
    assert order not in [o["id"] for o in found]
    assert parse_time(venue.truth()["orders"][-1]["created_at"]) == parse_time(shown["created_at"])  # the truth has no part in it


def test_the_day_rolls(venue: SimulatedVenue) -> None:
    place(venue, "before the roll")
    before = venue.clock()["now_ns"]
    venue.fault("day_roll")
    after = venue.clock()["now_ns"]
    assert before < after <= before + 26 * 3600 * 10**9
    assert ask(venue, "GET", "/v2/clock").json()["timestamp"][11:16] == "00:00"
    assert ask(venue, "GET", "/v2/account").json()["balance_asof"] == ask(venue, "GET", "/v2/clock").json()["timestamp"][:10]
    (firing,) = fired(venue, "day_roll")
    assert "->" in firing["note"]
    assert parse_time(ask(venue, "GET", "/v2/stocks/AAPL/quotes/latest").json()["quote"]["t"]) > before


def test_shares_come_and_go_without_an_order(venue: SimulatedVenue) -> None:
    def account() -> tuple[dict[str, str], str]:
        held = {p["symbol"]: p["qty"] for p in ask(venue, "GET", "/v2/positions").json()}
        return held, ask(venue, "GET", "/v2/account").json()["cash"]

    def told() -> list[tuple[str, str, str]]:
        rows = ask(venue, "GET", "/v2/account/activities").json()
        return [(r["activity_type"], r["symbol"], r["qty"]) for r in rows if r["activity_type"] in ("JNLS", "ACATS")]

    before, cash = account()
    had = int(before.get("SPY", "0"))
    venue.fault("transfer", symbol="SPY", qty="5")
    venue.fault("transfer", symbol="SPY", qty="2", told=False)
    venue.fault("transfer", symbol="SPY", qty="-3", type="ACATS")
    after, left = account()
    assert (after["SPY"], left) == (str(had + 4), cash)
    assert told() == [("ACATS", "SPY", "-3"), ("JNLS", "SPY", "5")]
    assert [f["note"] for f in fired(venue, "transfer")][1] == "not told"
    with pytest.raises(ConfigError, match="what the account has"):
        venue.fault("transfer", symbol="SPY", qty="-1000")
    assert account() == (after, cash)


@pytest.mark.parametrize(
    "body",
    [
        {"kind": "transfer", "symbol": "NOSUCH", "qty": "1"},
        {"kind": "transfer", "symbol": "AAPL", "qty": "many"},
        {"kind": "server_error", "status": 418},
        {"kind": "drop_data", "how": "softly"},
        {"kind": "overfill", "qty": "-1"},
        {"kind": "halt", "symbol": "NOSUCH"},
        {"kind": "rate_limited", "on": "everything"},
        {"kind": "slow_answer", "interval": 0},
    ],
)
def test_what_cannot_be_armed_is_refused(venue: SimulatedVenue, body: dict[str, Any]) -> None:
    armings = len(venue.truth()["faults"]["armings"])
    assert requests.post(venue.url + "/sim/faults", json=body, timeout=30).status_code == 400
    assert len(venue.truth()["faults"]["armings"]) == armings
