"""The REST edge of the simulated venue: shapes of errors, limits, faults, and no 500 whatever comes in."""

import time
from collections.abc import Iterator
from typing import Any

import pytest
import requests
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pyrt.venues.sim.library import SimulatedVenue, simulated_venue
from pyrt.venues.sim.times import format_time, parse_time

pytestmark = pytest.mark.row("X08")


class Client:
    """Bare requests with the right keys."""

    def __init__(self, venue: SimulatedVenue, **headers: str) -> None:
        self.venue = venue
        self.session = requests.Session()
        self.session.trust_env = False
        self.session.headers.update({"APCA-API-KEY-ID": venue.key, "APCA-API-SECRET-KEY": venue.secret, **headers})

    def __call__(self, method: str, path: str, **options: Any) -> requests.Response:
        return self.session.request(method, self.venue.url + path, timeout=30, allow_redirects=False, **options)


@pytest.fixture(scope="module")
def call(venue: SimulatedVenue) -> Iterator[Client]:
    client = Client(venue)
    yield client
    client.session.close()


@pytest.fixture(autouse=True)
def no_faults(venue: SimulatedVenue) -> Iterator[None]:
    yield
    venue.disarm()


def limit_order(cid: str, **change: Any) -> dict[str, Any]:
    order = {"symbol": "AAPL", "qty": "1", "side": "buy", "type": "limit", "time_in_force": "gtc", "limit_price": "1.00"}
    return {**order, "client_order_id": cid, **change}


def test_errors_are_json_in_alpacas_shape(venue: SimulatedVenue, call: Client) -> None:
    for method, path, status, code in (
        ("GET", "/v2/nothing", 404, 40410000),
        ("GET", "/", 404, 40410000),
        ("PUT", "/v2/orders", 405, 40510000),
        ("GET", "/v2/orders/5e0c0000-0000-0000-0000-000000000000", 404, 40410000),
        ("GET", "/v2/orders:by_client_order_id?client_order_id=nobody", 404, 40410000),
        ("GET", "/v2/positions/AAPL", 404, 40410000),
        ("GET", "/v2/assets/NOSUCH", 404, 40410000),
        ("GET", "/v2/orders?limit=501", 400, 40010001),
        ("GET", "/v2/orders?after=yesterday", 400, 40010001),
        ("GET", "/v2/orders?nested=maybe", 400, 40010001),
    ):
        answer = call(method, path)
        assert (answer.status_code, answer.json()["code"]) == (status, code), path
        assert answer.headers["X-Request-ID"]
        assert answer.json()["message"]
    with requests.Session() as nobody:
        answer = nobody.get(venue.url + "/v2/account", timeout=30)
    assert (answer.status_code, answer.json()["code"]) == (401, 40110000)


def test_an_upgrade_header_opens_no_door(venue: SimulatedVenue) -> None:
    upgrade = {"Upgrade": "websocket", "Connection": "Upgrade"}
    for path, status in (("/v2/account", 401), ("/v2/stocks/AAPL/quotes/latest", 403), ("/stream", 400), ("/v2/iex", 400)):
        assert requests.get(venue.url + path, headers=upgrade, timeout=30).status_code == status
    assert requests.get(venue.url + "/stream", timeout=30).json()["code"] == 40010000
    assert requests.delete(venue.url + "/sim/faults", headers={"Origin": "http://example.com"}, timeout=30).status_code == 403


def test_a_body_that_cannot_be_read_is_400(call: Client) -> None:
    for body in (b"", b"{", b"[]", b"null", b'"x"', b"\xff\xfe", b'{"qty":[1]}', b'{"symbol":{"a":1}}', b"[" * 100_000):
        answer = call("POST", "/v2/orders", data=body)
        assert (answer.status_code, answer.json()["code"]) == (400, 40010000), body[:20]
    assert call("POST", "/v2/orders", data=b"x" * (2 << 20)).status_code == 413


def test_numbers_in_requests_may_be_strings_or_numbers(call: Client) -> None:
    a = call("POST", "/v2/orders", json=limit_order("number", qty=1.0, limit_price=1.25)).json()
    b = call("POST", "/v2/orders", json=limit_order("string", qty="1", limit_price="1.25")).json()
    assert (a["qty"], a["limit_price"]) == (b["qty"], b["limit_price"]) == ("1", "1.25")


def test_504_after_accepting_leaves_one_order(venue: SimulatedVenue, call: Client) -> None:
    venue.fault("gateway_timeout", every=2)
    statuses = [call("POST", "/v2/orders", json=limit_order(f"gt-{n}")).status_code for n in range(4)]
    assert statuses == [200, 504, 200, 504]
    found = call("GET", "/v2/orders:by_client_order_id", params={"client_order_id": "gt-1"})
    assert found.status_code == 200
    assert found.json()["client_order_id"] == "gt-1"
    venue.disarm()
    assert call("POST", "/v2/orders", json=limit_order("gt-1")).json()["code"] == 40010001
    truth = venue.truth()
    assert [o["client_order_id"] for o in truth["orders"]].count("gt-1") == 1
    asked = [r for r in truth["requests"] if r["method"] == "POST" and '"gt-1"' in r["body"]]
    assert [(r["status"], r["fault"]) for r in asked] == [(504, "gateway_timeout"), (422, "")]
    assert all(r["arrived_mono_ns"] <= r["answered_mono_ns"] for r in asked)
    assert asked[0]["arrived_ns"] <= asked[0]["handled_ns"]


def test_a_held_order_is_accepted_later(venue: SimulatedVenue, call: Client) -> None:
    venue.fault("delay_accept", seconds=0.3, count=1)
    assert call("POST", "/v2/orders", json=limit_order("held")).status_code == 200
    asked = next(r for r in reversed(venue.truth()["requests"]) if '"held"' in r["body"])
    assert asked["handled_ns"] - asked["arrived_ns"] >= 300_000_000
    assert venue.faults()["fired"]["delay_accept"] == 1


def test_a_storm_of_429(venue: SimulatedVenue, call: Client) -> None:
    venue.fault("rate_limited", seconds=60, retry_after=True)
    answer = call("GET", "/v2/account")
    assert answer.status_code == 429
    assert answer.headers["Retry-After"] == "60"
    assert call("GET", "/v2/stocks/quotes/latest?symbols=AAPL").status_code == 200
    venue.disarm()
    assert call("GET", "/v2/account").status_code == 200


def test_an_unknown_fault_is_refused(venue: SimulatedVenue) -> None:
    for body in (b"", b"{}", b'{"kind":"earthquake"}', b'{"kind":"gateway_timeout","every":0}', b'{"kind":"drop_updates","x":1}'):
        assert requests.post(venue.url + "/sim/faults", data=body, timeout=30).status_code == 400


def test_orders_are_listed_by_time_and_page(venue: SimulatedVenue, call: Client) -> None:
    made = [call("POST", "/v2/orders", json=limit_order(f"page-{n}")).json() for n in range(5)]
    newest = call("GET", "/v2/orders", params={"limit": 2, "status": "all"}).json()
    assert [o["id"] for o in newest] == [made[4]["id"], made[3]["id"]]
    older = call("GET", "/v2/orders", params={"limit": 2, "until": newest[-1]["submitted_at"]}).json()
    assert [o["id"] for o in older] == [made[2]["id"], made[1]["id"]]
    later = call("GET", "/v2/orders", params={"after": made[2]["submitted_at"], "direction": "asc", "side": "buy"}).json()
    assert [o["id"] for o in later] == [made[3]["id"], made[4]["id"]]
    answers = call("DELETE", "/v2/orders")
    assert answers.status_code == 207
    assert {a["id"] for a in answers.json()} >= {o["id"] for o in made}
    assert call("DELETE", "/v2/orders").json() == []


def test_data_pages_join_to_the_whole(venue: SimulatedVenue, call: Client) -> None:
    end = venue.clock()["now_ns"] // 10**9
    window = {"symbols": "MSFT,AAPL,NOSUCH", "start": iso(end - 120), "end": iso(end - 60)}
    for kind in ("trades", "quotes"):
        for sort in ("asc", "desc"):
            path = f"/v2/stocks/{kind}"
            whole = call("GET", path, params={**window, "sort": sort, "limit": 10_000}).json()
            assert whole["next_page_token"] is None
            joined: dict[str, list[Any]] = {}
            token = None
            for _ in range(1000):
                page = call("GET", path, params={**window, "sort": sort, "limit": 37, "page_token": token}).json()
                assert sum(map(len, page[kind].values())) <= 37
                for symbol, rows in page[kind].items():
                    joined.setdefault(symbol, []).extend(rows)
                token = page["next_page_token"]
                if token is None:
                    break
            assert joined == whole[kind]
            assert list(joined) == ["AAPL", "MSFT"]
    one = call("GET", "/v2/stocks/AAPL/bars", params={"timeframe": "1Min", "start": iso(end - 600), "end": iso(end)}).json()
    assert one["symbol"] == "AAPL"
    assert 8 <= len(one["bars"]) <= 11
    assert call("GET", "/v2/stocks/NOSUCH/bars?timeframe=1Min").json()["bars"] is None
    assert call("GET", "/v2/stocks/NOSUCH/quotes/latest").status_code == 404


def test_bad_data_parameters_are_400_without_code(call: Client) -> None:
    for query in (
        "bars?symbols=AAPL",
        "bars?symbols=AAPL&timeframe=7Day",
        "bars?timeframe=1Min",
        "trades?symbols=AAPL&limit=0",
        "trades?symbols=AAPL&limit=10001",
        "trades?symbols=AAPL&page_token=zzz",
        "trades?symbols=AAPL&start=2026-13-01",
        "trades?symbols=AAPL&start=2026-03-02&end=2026-03-01",
        "quotes?symbols=AAPL&sort=up",
    ):
        answer = call("GET", f"/v2/stocks/{query}")
        assert answer.status_code == 400, query
        assert set(answer.json()) == {"message"}


def test_nothing_of_the_future_is_shown(venue: SimulatedVenue, call: Client) -> None:
    now = venue.clock()["now_ns"] // 10**9
    page = call("GET", "/v2/stocks/quotes", params={"symbols": "AAPL", "start": iso(now - 2), "end": iso(now + 86_400)}).json()
    later = venue.clock()["now_ns"] // 10**9 + 1
    assert all(row["t"] < iso(later + 1) for row in page["quotes"].get("AAPL", []))
    assert page["next_page_token"] is None


def test_the_rate_limit_and_its_headers() -> None:
    with simulated_venue(rate_limit=3) as venue:
        call = Client(venue)
        left = []
        for _ in range(3):
            answer = call("GET", "/v2/clock")
            assert answer.headers["X-RateLimit-Limit"] == "3"
            left.append(answer.headers["X-RateLimit-Remaining"])
        assert left == ["2", "1", "0"]
        refused = call("GET", "/v2/clock")
        assert refused.status_code == 429
        assert refused.json() == {"code": 42910000, "message": "too many requests."}
        assert int(refused.headers["X-RateLimit-Reset"]) > 1_000_000_000
        assert call("POST", "/v2/orders", json=limit_order("over")).status_code == 429
        assert call("GET", "/sim/clock").status_code == 200
        assert call("GET", "/v2/stocks/AAPL/quotes/latest").status_code == 200
        assert venue.truth()["orders"] == []
        call.session.close()


def test_the_hours_of_the_exchange() -> None:
    sunday = parse_time("2026-03-01T12:00:00Z")
    with simulated_venue(calendar=True, start=sunday) as venue:
        call = Client(venue)
        clock = call("GET", "/v2/clock").json()
        assert clock["is_open"] is False
        assert (clock["next_open"], clock["next_close"]) == ("2026-03-02T09:30:00-05:00", "2026-03-02T16:00:00-05:00")
        assert clock["timestamp"].startswith("2026-03-01T07:00:0")
        days = call("GET", "/v2/calendar?start=2026-11-25&end=2026-11-30").json()
        assert [d["date"] for d in days] == ["2026-11-25", "2026-11-27", "2026-11-30"]
        assert (days[1]["open"], days[1]["close"], days[1]["session_close"]) == ("09:30", "13:00", "1700")
        assert call("POST", "/v2/orders", json=limit_order("early")).json()["status"] == "accepted"
        call.session.close()


def test_fills_are_activities_with_pages(venue: SimulatedVenue, call: Client) -> None:
    for n in range(3):
        body = {
            "symbol": "TSLA",
            "qty": "1",
            "side": "buy",
            "type": "market",
            "time_in_force": "day",
            "client_order_id": f"fill-{n}",
        }
        assert call("POST", "/v2/orders", json=body).status_code == 200
    rows: list[dict[str, Any]] = []
    for _ in range(500):
        rows = call("GET", "/v2/account/activities/FILL", params={"direction": "asc"}).json()
        if sum(r["symbol"] == "TSLA" for r in rows) == 3:
            break
        time.sleep(0.05)
    paged: list[dict[str, Any]] = []
    while page := call(
        "GET",
        "/v2/account/activities",
        params={"activity_types": "FILL", "direction": "asc", "page_size": 2, "page_token": paged[-1]["id"] if paged else None},
    ).json():
        assert len(page) <= 2
        paged += page
    assert paged == rows
    assert {r["order_id"] for r in rows} == {f["order_id"] for f in venue.truth()["fills"]}
    assert call("GET", "/v2/account/activities/DIV").json() == []
    assert call("GET", "/v2/account/activities?page_size=101").status_code == 400


_scalar = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=12)
_words = st.sampled_from(
    ["AAPL", "buy", "sell", "limit", "market", "stop", "day", "gtc", "1", "0", "-1", "1e400", "0.0000000001", ""]
)
_names = ["symbol", "qty", "notional", "side", "type", "time_in_force", "limit_price", "stop_price", "client_order_id"]
_names += ["extended_hours", "order_class", "trail_price", "take_profit", "legs", "position_intent"]
_value = _words | _scalar | st.lists(_scalar, max_size=2) | st.dictionaries(st.text(max_size=5), _scalar, max_size=2)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(change=st.dictionaries(st.sampled_from(_names), _value, max_size=4), replace=st.booleans())
def test_no_order_body_makes_a_500(call: Client, change: dict[str, Any], replace: bool) -> None:
    body = limit_order("x") | change
    if not isinstance(change.get("client_order_id"), str):
        del body["client_order_id"]
    if replace:
        order = call("POST", "/v2/orders", json={k: v for k, v in limit_order("x").items() if k != "client_order_id"}).json()
        answer = call("PATCH", f"/v2/orders/{order['id']}", json=change)
    else:
        answer = call("POST", "/v2/orders", json=body)
    assert answer.status_code in (200, 400, 403, 422), answer.text
    assert answer.status_code == 200 or {"code", "message"} <= set(answer.json())


_paths = [
    "orders",
    "orders/x",
    "orders:by_client_order_id",
    "positions",
    "positions/AAPL",
    "account/activities",
    "calendar",
    "assets",
]
_paths += [
    "assets",
    "stocks/bars",
    "stocks/trades",
    "stocks/AAPL/quotes",
    "stocks/snapshots",
    "account",
    "clock",
    "account/activities/FILL",
]
_queries = ["status", "limit", "after", "until", "direction", "nested", "side", "symbols", "client_order_id", "qty", "percentage"]
_queries += ["page_size", "page_token", "date", "start", "end", "timeframe", "sort", "cancel_orders", "activity_types"]
_texts = st.sampled_from(
    ["1", "0", "-1", "all", "AAPL", "True", "2026-03-02", "9999-99-99", "1Min", "desc", "WyJBIiwxLDFd", "٣", "1e5"]
)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    method=st.sampled_from(["GET", "DELETE"]),
    path=st.sampled_from(_paths),
    query=st.dictionaries(st.sampled_from(_queries), _texts | st.text(max_size=8), max_size=4),
)
def test_no_query_makes_a_500(call: Client, method: str, path: str, query: dict[str, str]) -> None:
    answer = call(method, f"/v2/{path}", params=query)
    assert answer.status_code < 500, answer.text
    assert answer.status_code == 204 or answer.json() is not None


def iso(seconds: int) -> str:
    return format_time(seconds * 10**9)
