import itertools
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from types import SimpleNamespace
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from tests.venues.alpaca.rest_server import PATIENCE, Inbox, Request, RestServer, order_json, reply

from pyrt.clock import VenueClock
from pyrt.config import Secret
from pyrt.errors import Misbehaved, NotAuthorized, NotConnected
from pyrt.ports import QueryFailed, TakeSnapshot, VenueSnapshot
from pyrt.venues.alpaca import broker as broker_module
from pyrt.venues.alpaca import clock, wire
from pyrt.venues.alpaca.broker import AlpacaBroker
from pyrt.venues.alpaca.clock import measure_clock
from pyrt.venues.alpaca.session import Answer, Broken, Ended

KEY, SECRET = Secret("PKCANARYKEY0001"), Secret("cAnArY/secret+value=0001")
CLOCK = VenueClock(epoch=time.time_ns(), origin=time.monotonic_ns())
START = wire.parse_time("2026-03-02T15:00:00Z")
ACCOUNT = {"id": "u", "status": "ACTIVE", "cash": "1", "buying_power": "2", "equity": "3", "last_equity": "4", "multiplier": "2"}


class Books:
    """A venue's orders and fills, paged as Alpaca pages them."""

    def __init__(self, orders: list[dict[str, Any]], fills: list[dict[str, Any]]) -> None:
        self.orders, self.fills = orders, fills

    def __call__(self, request: Request, _: socket.socket) -> bytes:
        parts = urlsplit(request.path)
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        return reply(
            200,
            {
                "/v2/account": self.account,
                "/v2/account/configurations": self.configurations,
                "/v2/positions": self.positions,
                "/v2/orders": self.page,
            }.get(parts.path, self.activities)(query),
        )

    def account(self, _: dict[str, str]) -> Any:
        return ACCOUNT

    def configurations(self, _: dict[str, str]) -> Any:
        return {"no_shorting": True, "fractional_trading": False, "max_options_trading_level": None, "dtbp_check": "both"}

    def positions(self, _: dict[str, str]) -> Any:
        return [{"symbol": "AAPL", "qty": "-3", "side": "short", "avg_entry_price": "189.52"}]

    def page(self, query: dict[str, str]) -> Any:
        assert query["nested"] == "true"
        after = wire.parse_time(query["after"]) if "after" in query else 0
        rows = [o for o in self.orders if wire.parse_time(o["submitted_at"]) > after]
        if query["status"] == "open":
            rows = [o for o in rows if o["status"] not in ("filled", "canceled")]
        return sorted(rows, key=lambda o: str(o["submitted_at"]))[: int(query["limit"])]

    def activities(self, query: dict[str, str]) -> Any:
        rows = self.fills
        if "after" in query:
            rows = [f for f in rows if wire.parse_time(f["transaction_time"]) > wire.parse_time(query["after"])]
        if "page_token" in query:
            rows = rows[[f["id"] for f in rows].index(query["page_token"]) + 1 :]
        return rows[: int(query["page_size"])]


def order(number: int, at: int, **fields: Any) -> dict[str, Any]:
    return order_json(f"c{number}", submitted_at=wire.format_time(at), updated_at=wire.format_time(at), **fields)


def fill(number: int, at: int) -> dict[str, Any]:
    return {
        "id": f"a{number:05d}",
        "activity_type": "FILL",
        "transaction_time": wire.format_time(at),
        "price": "189.52",
        "qty": "1",
        "cum_qty": "1",
        "side": "buy",
        "symbol": "AAPL",
        "order_id": f"id-c{number}",
    }


@pytest.fixture
def take(inbox: Inbox, server: RestServer, transport: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Any]]:
    monkeypatch.setattr(broker_module, "_PAGE_PAUSES", (0.01, 0.01, 0.01))
    address: dict[str, Any] = {"url": server.url, "key": KEY, "secret": SECRET, "transport": transport}
    broker = AlpacaBroker(**address, sink=inbox, clock=lambda: CLOCK, deadline=PATIENCE, budget=0)
    count = itertools.count(1)

    def take_snapshot(since: int = START) -> Any:
        number = next(count)
        broker.snapshot(TakeSnapshot(query=number, since=since))
        return inbox.wait(number)[-1]

    yield take_snapshot
    broker.close()


def test_a_kill_is_verified_from_the_share_that_other_readings_leave(inbox: Inbox, server: RestServer) -> None:
    """Half of 40 counts as spent: six tenths have room for four more requests, nine tenths for sixteen."""
    server.script = Books([order(1, START, status="new")], [])
    broker = AlpacaBroker(url=server.url, key=KEY, secret=SECRET, sink=inbox, clock=lambda: CLOCK, deadline=PATIENCE, budget=40)
    try:
        for number in (1, 2):
            broker.snapshot(TakeSnapshot(query=number, since=START, urgent=True))
        assert [type(answer) for answer in inbox.wait(2)] == [VenueSnapshot, VenueSnapshot]
        assert broker.budget.spent() > 20 + 4
    finally:
        broker.close()


def test_a_snapshot_is_whole(take: Callable[..., Any], server: RestServer) -> None:
    orders = [
        order(1, START - 10**12, status="new"),  # old and open
        order(2, START - 10**12, status="filled"),  # old and final: not asked for
        order(3, START, status="canceled"),  # at `since` itself
        order(4, START + 5, status="partially_filled"),
    ]
    server.script = Books(orders, [fill(1, START - 10**12), fill(2, START), fill(3, START + 1)])
    before = CLOCK.at(time.monotonic_ns())
    snapshot = take()
    assert isinstance(snapshot, VenueSnapshot)
    assert (snapshot.query, snapshot.since) == (1, START)
    assert before <= snapshot.begun <= CLOCK.at(time.monotonic_ns())
    assert (snapshot.account.cash, snapshot.account.blocked) == ("1", False)
    assert [(p.symbol, p.qty) for p in snapshot.positions] == [("AAPL", "-3")]
    assert sorted(o.cid for o in snapshot.orders) == ["c1", "c3", "c4"]
    assert [f.activity_id for f in snapshot.fills] == ["a00002", "a00003"]


@pytest.mark.parametrize("count", [0, 1, 499, 500, 501, 1000, 1777])
@pytest.mark.parametrize("step", [0, 1, 10**9])
def test_pages_of_orders_lose_and_double_none(take: Callable[..., Any], server: RestServer, count: int, step: int) -> None:
    """Also where times repeat: a hundred orders at each instant, so that pages end between equal times."""
    server.script = Books([order(i, START + (i // 100) * (step or 10**7), status="filled") for i in range(count)], [])
    snapshot = take()
    assert sorted(o.cid for o in snapshot.orders) == sorted(f"c{i}" for i in range(count))


def test_a_page_whose_limit_counts_exits_is_not_taken_for_the_last(take: Callable[..., Any], server: RestServer) -> None:
    """500 rows rolled up into 250 orders with an exit each: fewer rows than were asked for, and more behind them."""

    class RolledUp(Books):
        def page(self, query: dict[str, str]) -> Any:
            return super().page({**query, "limit": str(int(query["limit"]) // 2)})

    orders = [
        order(n, START + n * 10**9, legs=[order(10_000 + n, START + n * 10**9, side="sell")], order_class="oto") for n in range(600)
    ]
    server.script = RolledUp(orders, [])
    snapshot = take()
    assert isinstance(snapshot, VenueSnapshot)
    assert len(snapshot.orders) == len({o.id for o in snapshot.orders}) == 1200


def test_more_orders_at_one_instant_than_a_page_holds_fail_and_are_not_lost(take: Callable[..., Any], server: RestServer) -> None:
    server.script = Books([order(i, START + 5, status="filled") for i in range(501)], [])
    failed = take()
    assert isinstance(failed, QueryFailed)
    assert not failed.final


@pytest.mark.parametrize("count", [0, 99, 100, 101, 250])
def test_pages_of_fills(take: Callable[..., Any], server: RestServer, count: int) -> None:
    server.script = Books([], [fill(i, START + i // 7) for i in range(count)])
    assert [f.activity_id for f in take().fills] == [f"a{i:05d}" for i in range(count)]


def test_an_order_that_changes_between_two_pages_is_shown_in_its_later_state(take: Callable[..., Any], server: RestServer) -> None:
    later = order(1, START, status="filled", filled_qty="10") | {"updated_at": wire.format_time(START + 9)}
    books = Books([order(1, START, status="new")], [])

    def script(request: Request, connection: socket.socket) -> bytes:
        if "status=all" in request.path:
            books.orders = [later]
        return books(request, connection)

    server.script = script
    assert [(o.status, o.filled_qty) for o in take().orders] == [("filled", "10")]


@pytest.mark.parametrize("part", ["/v2/account", "/v2/positions", "status=open", "status=all", "activities"])
@pytest.mark.parametrize(
    ("bad", "final"),
    [
        (reply(401, {"code": 40110000, "message": "request is not authorized"}), True),
        (reply(403, {"message": "forbidden."}), True),
        (reply(403, b"<html>blocked by somebody on the way</html>"), False),
        (reply(401, b""), False),
        (reply(400, {"code": 40010000, "message": "bad"}), False),
        (reply(500, {"code": 50010000, "message": "internal"}), False),
        (reply(200, b'[{"id":'), False),
        (reply(200, {"neither": "list nor account"}), False),
        (None, False),
    ],
)
def test_a_page_that_fails_for_good_fails_the_whole(
    take: Callable[..., Any], server: RestServer, part: str, bad: bytes | None, final: bool
) -> None:
    books = Books([order(1, START)], [fill(1, START)])
    server.script = lambda r, c: bad if part in r.path else books(r, c)
    failed = take()
    assert isinstance(failed, QueryFailed)
    assert failed.final is final
    assert failed.text


def test_a_page_that_fails_now_and_then_is_read_again(take: Callable[..., Any], server: RestServer) -> None:
    books, tries = Books([order(1, START)], [fill(1, START)]), itertools.count()
    bad = itertools.cycle([reply(504, b"<html>"), None, reply(429, {"code": 42910000, "message": "slow"}, {"Retry-After": "0"})])
    server.script = lambda r, c: next(bad) if next(tries) % 2 == 0 else books(r, c)
    snapshot = take()
    assert isinstance(snapshot, VenueSnapshot)
    assert [o.cid for o in snapshot.orders] == ["c1"]


# ---------------------------------------------------------------------------------------------------- the clock
def test_the_clock_of_sim(server: RestServer) -> None:
    epoch, rate = 1_772_463_846_000_000_000, 60.0
    origin = time.monotonic_ns()
    server.script = lambda *_: reply(
        200, {"now_ns": epoch + int((time.monotonic_ns() - origin) * rate), "rate": rate, "novelty": 1}
    )
    measured = measure_clock(server.url, key=KEY, secret=SECRET)
    assert measured.clock.rate == rate
    now = time.monotonic_ns()
    error = measured.clock.at(now) - (epoch + (now - origin) * rate)
    assert abs(error) <= (measured.uncertainty + 1000) * rate
    assert {r.path for r in server.requests} == {"/sim/clock"}


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (reply(401, {"code": 40110000, "message": "no"}), NotAuthorized),
        (reply(500, b"<html>"), Misbehaved),
        (reply(200, b"<html>"), Misbehaved),
        (reply(200, {"now_ns": "soon", "rate": 1}), Misbehaved),
        (reply(200, []), Misbehaved),
        (None, NotConnected),
    ],
)
def test_a_clock_that_cannot_be_read(server: RestServer, answer: bytes | None, error: type[Exception]) -> None:
    server.script = lambda *_: answer
    with pytest.raises(error):
        measure_clock(server.url, key=KEY, secret=SECRET)


def test_a_clock_that_drips_ends_at_its_deadline(server: RestServer) -> None:
    stop = threading.Event()

    def script(_: Request, connection: socket.socket) -> None:
        connection.sendall(reply(200, b"x" * 10_000)[:100])
        while not stop.wait(0.02):
            connection.sendall(b"x")

    server.script = script
    with pytest.raises(NotConnected):
        measure_clock(server.url, key=KEY, secret=SECRET, timeout=0.3)
    stop.set()


class Slow:
    """A session whose requests take so many seconds each, by the clock that it moves, and break where that is too long."""

    def __init__(self, *seconds: float) -> None:
        self.seconds = list(seconds)
        self.now = 0

    def exchange(self, attempt: Any, method: str, path: str, body: Any, timeout: float) -> Answer:
        took = self.seconds.pop(0)
        self.now += int(took * 10**9)
        if took >= timeout:
            raise Ended("the deadline passed before the request was sent")
        if not took:
            raise Broken("refused")
        return Answer(200, {}, b'{"now_ns": 7, "rate": 1}')

    def close(self) -> None: ...


@pytest.mark.parametrize(("seconds", "left"), [((6.0, 1.0, 1.0), 0), ((1.0, 6.0, 0.5), 0), ((6.0, 6.0, 1.0), 1), ((0.0, 1.0), 1)])
def test_a_clock_is_asked_again_where_this_machine_stood_still(
    monkeypatch: pytest.MonkeyPatch, seconds: tuple[float, ...], left: int
) -> None:
    """Once: whoever is silent for longer is not there. What breaks before its time is told at once."""
    session = Slow(*seconds)
    monkeypatch.setattr(clock, "venue_session", lambda *_: session)
    monkeypatch.setattr(clock, "time", SimpleNamespace(monotonic_ns=lambda: session.now))
    with pytest.raises(NotConnected) if left else nullcontext():
        assert measure_clock("http://127.0.0.1:1", key=KEY, secret=SECRET, samples=1).uncertainty <= 10**9
    assert len(session.seconds) == left


@pytest.mark.parametrize("status", [422, 403])  # a scope that does not hold them ends no session
def test_activities_that_fail_are_not_told_rather_than_none(take: Callable[..., Any], server: RestServer, status: int) -> None:
    books = Books([order(1, START)], [fill(1, START)])
    no = reply(status, {"code": status * 100_000, "message": "no"})
    server.script = lambda r, c: no if "JNLC" in r.path else books(r, c)
    assert take().activities is None
    server.script = books
    assert take().activities == ()
