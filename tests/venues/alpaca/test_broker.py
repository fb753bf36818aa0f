import contextlib
import itertools
import json
import random
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import urllib3.util.connection
from tests.venues.alpaca.rest_server import PATIENCE, Inbox, Request, RestServer, Script, accept, order_json, reply, reset

from pyrt._core.types import Side
from pyrt.clock import VenueClock
from pyrt.config import Secret
from pyrt.errors import ConfigError
from pyrt.model import OrderType, TimeInForce
from pyrt.ports import (
    Cancel,
    CancelResult,
    Event,
    Found,
    Lookup,
    LookupResult,
    OrderRequest,
    Outcome,
    QueryFailed,
    Replace,
    Submit,
    SubmitResult,
    TakeSnapshot,
    Withdraw,
)
from pyrt.venues.alpaca import wire
from pyrt.venues.alpaca.broker import AlpacaBroker
from pyrt.venues.alpaca.lanes import MOST
from pyrt.venues.alpaca.session import VenueSession

KEY, SECRET = Secret("PKCANARYKEY0001"), Secret("cAnArY/secret+value=0001")
SECOND = 1_000_000_000
FOREVER = 1 << 62
CLOCK = VenueClock(epoch=time.time_ns(), origin=time.monotonic_ns())
Make = Callable[..., AlpacaBroker]


def request(number: int = 1, symbol: str = "AAPL") -> OrderRequest:
    return OrderRequest(
        number=number,
        cid=f"p1-cid-{number}",
        symbol=symbol,
        side=Side.BUY,
        type=OrderType.MARKET,
        tif=TimeInForce.DAY,
        qty="10",
    )


def submit(number: int = 1, symbol: str = "AAPL", valid_until: int | None = None) -> Submit:
    if valid_until is None:
        valid_until = CLOCK.at(time.monotonic_ns()) + 120 * SECOND
    return Submit(request=request(number, symbol), attempt=1, valid_until=valid_until)


def cancel(number: int = 1) -> Cancel:
    return Cancel(number=number, venue_order_id=f"id-{number}", symbol="AAPL")


@pytest.fixture
def make(inbox: Inbox, server: RestServer, transport: str) -> Iterator[Make]:
    made = []

    def make_broker(**options: Any) -> AlpacaBroker:
        defaults = {
            "url": server.url,
            "key": KEY,
            "secret": SECRET,
            "sink": inbox,
            "clock": lambda: CLOCK,
            "deadline": PATIENCE,
            "budget": 0,
            "transport": transport,
        }
        made.append(AlpacaBroker(**{**defaults, **options}))
        return made[-1]

    yield make_broker
    for broker in made:
        broker.close()


# ---------------------------------------------------------------------------------------------------- one attempt, classified
def test_an_order_that_the_venue_takes_is_accepted(make: Make, inbox: Inbox, server: RestServer) -> None:
    make().submit(submit(7))
    result = inbox.one()
    assert (result.outcome, result.number, result.attempt, result.http) == (Outcome.ACCEPTED, 7, 1, 200)
    assert (result.order.cid, result.order.id, result.order.status) == ("p1-cid-7", "id-p1-cid-7", "accepted")
    (seen,) = server.requests
    assert (seen.method, seen.path) == ("POST", "/v2/orders")
    assert seen.json == {
        "symbol": "AAPL", "qty": "10", "side": "buy", "type": "market", "time_in_force": "day", "client_order_id": "p1-cid-7",
    }  # fmt: skip
    assert seen.headers["apca-api-key-id"] == KEY.reveal()
    assert seen.headers["apca-api-secret-key"] == SECRET.reveal()


def test_a_body_that_was_made_before_is_what_is_sent_and_only_once(make: Make, inbox: Inbox, server: RestServer) -> None:
    broker = make()
    broker.prepare(7, wire.order_body(submit(7).request)[:-1] + b', "note": "made before"}')
    for sent in (1, 2):
        broker.submit(submit(7))
        inbox.wait(sent)
    assert [seen.json.get("note") for seen in server.requests] == ["made before", None]
    for number in range(MOST + 1):
        broker.prepare(number, b"{}")
    assert len(broker._prepared) == 1  # what is never sent is let go


def answering(status: int, body: Any = None, headers: dict[str, str] | None = None) -> Script:
    return lambda *_: reply(status, body, headers)


def cut(request: Request, _: socket.socket) -> bytes:
    return accept(request, _)[:-40]


def cut_json(request: Request, _: socket.socket) -> bytes:
    return reply(200, json.dumps(order_json(request.json["client_order_id"])).encode()[:-10])


def reset_after_request(_: Request, connection: socket.socket) -> None:
    reset(connection)


def closing(_: Request, __: socket.socket) -> None:
    return None


def cut_and_close(request: Request, connection: socket.socket) -> None:
    connection.sendall(cut(request, connection))


ERROR = {"code": 40310000, "message": "insufficient buying power", "buying_power": "1"}
DUPLICATE = {"code": 40010001, "message": "client_order_id must be unique"}
HTML = b"<html><body>502 Bad Gateway</body></html>"


@pytest.mark.parametrize(
    ("script", "outcome", "http", "code"),
    [
        (answering(422, DUPLICATE), Outcome.DUPLICATE, 422, 40010001),
        (answering(422, {"code": 40010001, "message": "limit price must be > 0"}), Outcome.REJECTED, 422, 40010001),
        (answering(403, ERROR), Outcome.REJECTED, 403, 40310000),
        (answering(401, {"code": 40110000, "message": "request is not authorized"}), Outcome.REJECTED, 401, 40110000),
        (answering(400, {"message": "bad"}), Outcome.AMBIGUOUS, 400, 0),
        (answering(400, {"code": "40010000", "message": "bad"}), Outcome.AMBIGUOUS, 400, 0),
        (answering(403, HTML), Outcome.AMBIGUOUS, 403, 0),
        (answering(404, b""), Outcome.AMBIGUOUS, 404, 0),
        (answering(408, {"code": 40810000, "message": "time-out"}), Outcome.AMBIGUOUS, 408, 40810000),
        (answering(429, {"code": 42910000, "message": "rate limit exceeded"}), Outcome.RATE_LIMITED, 429, 42910000),
        (answering(429, HTML, {"X-RateLimit-Limit": "200"}), Outcome.RATE_LIMITED, 429, 0),
        (answering(429, HTML), Outcome.AMBIGUOUS, 429, 0),
        (answering(500, {"code": 50010000, "message": "internal server error occurred"}), Outcome.AMBIGUOUS, 500, 50010000),
        (answering(504, HTML), Outcome.AMBIGUOUS, 504, 0),
        (answering(200, HTML), Outcome.AMBIGUOUS, 200, 0),
        (answering(200, []), Outcome.AMBIGUOUS, 200, 0),
        (answering(200, order_json("another-cid")), Outcome.AMBIGUOUS, 200, 0),
        (answering(200, order_json("p1-cid-1", side="sideways")), Outcome.AMBIGUOUS, 200, 0),
        (answering(200, order_json("p1-cid-1", filled_qty="NaN")), Outcome.AMBIGUOUS, 200, 0),
        (answering(200, b"[" * 100_000), Outcome.AMBIGUOUS, 200, 0),
        (answering(307, b"", {"Location": "/v2/elsewhere"}), Outcome.AMBIGUOUS, 307, 0),
        (answering(303, b"", {"Location": "/v2/elsewhere"}), Outcome.AMBIGUOUS, 303, 0),
        (cut_json, Outcome.AMBIGUOUS, 200, 0),
        (cut_and_close, Outcome.AMBIGUOUS, 0, 0),
        (reset_after_request, Outcome.AMBIGUOUS, 0, 0),
        (closing, Outcome.AMBIGUOUS, 0, 0),
        (lambda *_: b"not HTTP at all\r\n\r\n", Outcome.AMBIGUOUS, 0, 0),
    ],
)
def test_what_an_answer_proves(
    make: Make, inbox: Inbox, server: RestServer, script: Script, outcome: Outcome, http: int, code: int
) -> None:
    server.script = script
    make().submit(submit())
    result = inbox.one()
    assert (result.outcome, result.http, result.code) == (outcome, http, code)
    assert result.order is None
    assert len(server.requests) == 1  # never repeated, never redirected


def test_an_order_with_an_unknown_status_and_unknown_fields_is_still_ours(make: Make, inbox: Inbox, server: RestServer) -> None:
    server.script = lambda r, _: reply(201, order_json(r.json["client_order_id"], status="levitating", novelty={"a": [1]}))
    broker = make()
    broker.submit(submit())
    result = inbox.one()
    assert (result.outcome, result.order.status) == (Outcome.ACCEPTED, "levitating")
    assert broker.counters["status levitating"] == 1
    assert broker.counters["field novelty"] == 1


def test_a_refused_connection_means_that_nothing_was_sent(make: Make, inbox: Inbox) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    make(url=f"http://127.0.0.1:{port}").submit(submit())
    assert inbox.one().outcome is Outcome.NOT_SENT


@pytest.mark.parametrize("data", [b"", b"this is no TLS server\r\n"])
def test_a_tls_handshake_that_fails_means_that_nothing_was_sent(make: Make, inbox: Inbox, data: bytes, monkeypatch: Any) -> None:
    """The host list lets TLS through only to Alpaca, so the name is led to a server of ours that speaks no TLS."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        seen: list[bytes] = []

        def serve() -> None:
            connection, _ = listener.accept()
            with connection, contextlib.suppress(OSError):
                seen.append(connection.recv(65536))
                connection.sendall(data)

        threading.Thread(target=serve, daemon=True).start()
        monkeypatch.setattr(
            "urllib3.util.connection.create_connection", lambda *_, **__: socket.create_connection(listener.getsockname())
        )
        make(url="https://paper-api.alpaca.markets").submit(submit())
        assert inbox.one().outcome is Outcome.NOT_SENT
        assert b"APCA" not in b"".join(seen)


def test_a_tls_handshake_that_hangs_ends_at_the_deadline_as_not_sent(make: Make, inbox: Inbox, monkeypatch: Any) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        monkeypatch.setattr(
            "urllib3.util.connection.create_connection", lambda *_, **__: socket.create_connection(listener.getsockname())
        )
        make(url="https://paper-api.alpaca.markets", deadline=0.3).submit(submit())
        assert inbox.one().outcome is Outcome.NOT_SENT


def test_an_order_past_its_time_is_not_sent(make: Make, inbox: Inbox, server: RestServer) -> None:
    make().submit(submit(valid_until=CLOCK.at(time.monotonic_ns()) - 1))
    assert inbox.one().outcome is Outcome.NOT_SENT
    assert server.connections == 0 or not server.requests


def test_validity_is_checked_when_the_first_byte_is_due(make: Make, inbox: Inbox, server: RestServer, monkeypatch: Any) -> None:
    """The clock jumps past valid_until between the connection and the request."""
    connected, opened = threading.Event(), VenueSession.opened
    monkeypatch.setattr(VenueSession, "opened", lambda session, sock: (opened(session, sock), connected.set()))
    ahead = VenueClock(epoch=CLOCK.epoch + 3600 * SECOND, origin=CLOCK.origin)
    broker = make(clock=lambda: ahead if connected.is_set() else CLOCK)
    broker.submit(submit(valid_until=CLOCK.at(time.monotonic_ns()) + 1800 * SECOND))
    assert inbox.one().outcome is Outcome.NOT_SENT
    assert connected.is_set()
    assert not server.requests


def test_a_replace_patches_and_is_classified_like_an_order(make: Make, inbox: Inbox, server: RestServer) -> None:
    broker = make()
    until = CLOCK.at(time.monotonic_ns()) + 120 * SECOND
    new = OrderRequest(
        number=2,
        cid="p1-new",
        symbol="AAPL",
        side=Side.BUY,
        type=OrderType.LIMIT,
        tif=TimeInForce.GTC,
        qty="6",
        limit_price="188.5",
    )
    broker.replace(Replace(venue_order_id="id/1", request=new, attempt=3, valid_until=until))
    result = inbox.one()
    assert (result.outcome, result.number, result.attempt) == (Outcome.ACCEPTED, 2, 3)
    assert (server.requests[0].method, server.requests[0].path) == ("PATCH", "/v2/orders/id%2F1")
    assert server.requests[0].json == {"qty": "6", "time_in_force": "gtc", "client_order_id": "p1-new", "limit_price": "188.5"}


def test_what_waits_for_the_budget_can_be_withdrawn(make: Make, inbox: Inbox, server: RestServer) -> None:
    broker = make(budget=2, workers=1)  # the first request takes what a half-spent budget has
    broker.cancel(cancel(9))
    inbox.one()
    broker.submit(submit(1))
    broker.submit(submit(2))
    for count, number in enumerate((2, 1), 2):
        broker.withdraw(Withdraw(number=number))
        result = inbox.wait(count)[-1]
        assert (result.number, result.outcome, result.sent_mono) == (number, Outcome.NOT_SENT, 0)
    assert [r.method for r in server.requests] == ["DELETE"]


def test_no_order_leaves_while_the_page_says_blocked_and_cancels_do(make: Make, inbox: Inbox, server: RestServer) -> None:
    blocked = [True]
    broker = make(blocked=lambda: blocked[0])
    broker.submit(submit(1))
    assert inbox.wait(1)[0].outcome is Outcome.NOT_SENT
    broker.cancel(cancel(2))
    inbox.wait(2)
    blocked[0] = False
    broker.submit(submit(3))
    assert inbox.wait(3)[2].outcome is Outcome.ACCEPTED
    assert [r.method for r in server.requests] == ["DELETE", "POST"]


def test_what_has_left_cannot_be_withdrawn(make: Make, inbox: Inbox, server: RestServer) -> None:
    left = threading.Event()
    go_on = threading.Event()

    def hold(request: Request, connection: socket.socket) -> bytes:
        left.set()
        assert go_on.wait(PATIENCE)
        return accept(request, connection)

    server.script = hold
    broker = make()
    before = time.monotonic_ns()
    broker.submit(submit(1))
    assert left.wait(PATIENCE)
    broker.withdraw(Withdraw(number=1))
    go_on.set()
    result = inbox.one()
    assert result.outcome is Outcome.ACCEPTED
    assert before < result.sent_mono < time.monotonic_ns()
    broker.withdraw(Withdraw(number=1))  # it is over: nothing happens


# ---------------------------------------------------------------------------------------------------- the deadline
@pytest.mark.row("S066")
@pytest.mark.parametrize("headers", [{}, {"Connection": "close"}])
def test_a_dripping_answer_is_ambiguous_at_the_deadline_and_its_socket_is_shut(
    make: Make, inbox: Inbox, server: RestServer, headers: dict[str, str]
) -> None:
    stopped, closed = threading.Event(), threading.Event()

    def script(request: Request, connection: socket.socket) -> None:
        connection.sendall(reply(200, b"x" * 1_000_000, headers)[:200])
        with contextlib.suppress(OSError):
            while not stopped.wait(0.01):
                connection.sendall(b"x")
        closed.set()

    server.script = script
    broker = make(deadline=0.3)
    broker.submit(submit())
    result = inbox.one()
    assert (result.outcome, result.http) == (Outcome.AMBIGUOUS, 0)
    assert closed.wait(PATIENCE)  # the server's next write failed: the connection is gone
    stopped.set()
    server.script = accept
    broker.submit(submit(2))
    assert inbox.wait(2)[1].outcome is Outcome.ACCEPTED  # type: ignore[union-attr]
    assert len(inbox.events) == 2


def test_a_connection_that_comes_about_after_the_deadline_sends_nothing(
    make: Make, inbox: Inbox, server: RestServer, monkeypatch: Any
) -> None:
    """A slow name server: the attempt was already reported as NOT_SENT, so nothing of it may leave any more."""
    gate, connect = threading.Event(), urllib3.util.connection.create_connection

    def slowly(*arguments: Any, **options: Any) -> socket.socket:
        assert gate.wait(PATIENCE)
        return connect(*arguments, **options)

    monkeypatch.setattr("urllib3.util.connection.create_connection", slowly)
    broker = make(deadline=0.2, workers=1)
    broker.submit(submit(1))
    assert inbox.one().outcome is Outcome.NOT_SENT
    gate.set()
    broker.submit(submit(2))
    assert inbox.wait(2)[1].outcome is Outcome.ACCEPTED  # type: ignore[union-attr]
    assert [r.json["client_order_id"] for r in server.requests] == ["p1-cid-2"]


def test_an_answer_after_the_deadline_is_dropped(make: Make, inbox: Inbox, server: RestServer) -> None:
    """The whole answer is on its way when the deadline ends the attempt: one result, and it stays AMBIGUOUS."""
    release = threading.Event()

    def script(request: Request, connection: socket.socket) -> bytes:
        release.wait(PATIENCE)
        return accept(request, connection)

    server.script = script
    broker = make(deadline=0.3)
    broker.submit(submit(1))
    assert inbox.one().outcome is Outcome.AMBIGUOUS
    release.set()
    broker.submit(submit(2))
    first, second = inbox.wait(2)
    assert isinstance(first, SubmitResult)
    assert isinstance(second, SubmitResult)
    assert [(first.number, first.outcome), (second.number, second.outcome)] == [(1, Outcome.AMBIGUOUS), (2, Outcome.ACCEPTED)]
    broker.close()
    assert len(inbox.events) == 2


def test_an_order_behind_a_hanging_one_expires_in_the_queue(make: Make, inbox: Inbox, server: RestServer) -> None:
    release = threading.Event()
    server.script = lambda r, c: accept(r, c) if release.wait(PATIENCE) else None
    broker = make(workers=1)
    broker.submit(submit(1))
    server.wait(lambda: len(server.requests) == 1)
    broker.submit(submit(2, valid_until=CLOCK.at(time.monotonic_ns()) + SECOND // 5))
    assert (inbox.one().number, inbox.one().outcome) == (2, Outcome.NOT_SENT)
    release.set()
    assert [event.outcome for event in inbox.wait(2)] == [Outcome.NOT_SENT, Outcome.ACCEPTED]  # type: ignore[union-attr]
    broker.close()
    assert [r.json["client_order_id"] for r in server.requests] == ["p1-cid-1"]


# ---------------------------------------------------------------------------------------------------- connections
def test_a_keep_alive_connection_that_the_server_closed_is_not_used_again(make: Make, inbox: Inbox, server: RestServer) -> None:
    """The close is seen before the next request: it goes out once, on a new connection."""
    seen = itertools.count()

    def script(request: Request, connection: socket.socket) -> bytes | None:
        connection.sendall(accept(request, connection))
        next(seen)
        return None

    server.script = script
    broker = make(workers=1)
    for number in range(1, 21):
        broker.submit(submit(number))
        inbox.wait(number)
    outcomes = [event.outcome for event in inbox.events]  # type: ignore[union-attr]
    # A close that crosses with the next request cannot be told from a lost answer, so AMBIGUOUS is right there; nothing else is.
    assert set(outcomes) <= {Outcome.ACCEPTED, Outcome.AMBIGUOUS}
    sent = [r.json["client_order_id"] for r in server.requests]
    assert len(sent) == len(set(sent))
    accepted = {f"p1-cid-{e.number}" for e in inbox.events if e.outcome is Outcome.ACCEPTED}  # type: ignore[union-attr]
    assert accepted <= set(sent)


def test_a_connection_that_breaks_under_a_request_is_never_called_not_sent(make: Make, inbox: Inbox, server: RestServer) -> None:
    """The server resets a connection in use: the request may have been read, so it is AMBIGUOUS, and it is not sent again."""
    broker = make(workers=1)
    broker.submit(submit(1))
    inbox.wait(1)
    server.script = reset_after_request
    broker.submit(submit(2))
    assert inbox.wait(2)[1].outcome is Outcome.AMBIGUOUS  # type: ignore[union-attr]
    assert [r.json["client_order_id"] for r in server.requests] == ["p1-cid-1", "p1-cid-2"]
    assert {r.connection for r in server.requests} == {1}


@pytest.mark.row("S066")
def test_a_connection_is_kept_and_an_idle_one_is_not(make: Make, inbox: Inbox, server: RestServer, monkeypatch: Any) -> None:
    broker = make(workers=1)
    for number in (1, 2):
        broker.submit(submit(number))
        inbox.wait(number)
    monkeypatch.setattr("pyrt.venues.alpaca.session.IDLE", 0.0)
    broker.submit(submit(3))
    inbox.wait(3)
    assert [r.connection for r in server.requests] == [1, 1, 2]


def test_orders_of_a_symbol_leave_in_order_whatever_the_number_of_workers(make: Make, inbox: Inbox, server: RestServer) -> None:
    symbols = ["AAPL", "MSFT", "SPY", "TSLA", "AMZN", "BTC/USD"]
    broker = make(workers=3)
    for number in range(1, 241):
        broker.submit(submit(number, symbols[number % len(symbols)]))
    inbox.wait(240)
    for symbol in symbols:
        sent = [int(r.json["client_order_id"].split("-")[-1]) for r in server.requests if r.json["symbol"] == symbol]
        assert sent == sorted(sent)
        assert len(sent) == 40


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="counts open files in /proc")
def test_threads_and_files_are_flat_and_go_with_the_broker(make: Make, inbox: Inbox, server: RestServer) -> None:
    def files() -> int:
        return len(list(Path("/proc/self/fd").iterdir()))

    threads = threading.active_count()
    scripts = itertools.cycle([accept, reset_after_request, cut_and_close, answering(504, HTML), closing, accept])
    server.script = lambda r, c: next(scripts)(r, c)
    broker = make()
    for number in range(1, 41):
        broker.submit(submit(number))
    inbox.wait(40)
    first = files()
    for number in range(41, 401):
        broker.submit(submit(number))
    inbox.wait(400)
    assert files() <= first + 6  # the server's side closes when its threads get round to it
    broker.close()
    ours = [t.name for t in threading.enumerate() if t.name.startswith("alpaca-")]
    assert ours == []
    assert threading.active_count() <= threads + 3


# ---------------------------------------------------------------------------------------------------- cancels
def test_a_cancel_is_accepted_on_204_and_says_why_otherwise(make: Make, inbox: Inbox, server: RestServer) -> None:
    broker = make(cancel_workers=1)
    not_cancelable = {"code": 42210000, "message": 'order is already in "filled" state'}
    not_found = {"code": 40410000, "message": "order not found for id-1"}
    scripts = [answering(204), answering(422, not_cancelable), answering(404, not_found), answering(504, HTML), closing]
    for count, script in enumerate(scripts, 1):
        server.script = script
        broker.cancel(cancel(count))
        inbox.wait(count)
    results = [event for event in inbox.events if isinstance(event, CancelResult)]
    assert [(r.number, r.accepted, r.http, r.code) for r in results] == [
        (1, True, 204, 0),
        (2, False, 422, 42210000),
        (3, False, 404, 40410000),
        (4, False, 504, 0),
        (5, False, 0, 0),
    ]
    assert server.requests[0].path == "/v2/orders/id-1"


@pytest.mark.row("S129")
def test_a_cancel_goes_out_while_every_order_hangs(make: Make, inbox: Inbox, server: RestServer) -> None:
    release = threading.Event()

    def script(request: Request, connection: socket.socket) -> bytes | None:
        if request.method == "POST":
            release.wait(PATIENCE)
        return accept(request, connection)

    server.script = script
    broker = make()
    for number in range(1, 9):
        broker.submit(submit(number, f"S{number}"))
    server.wait(lambda: len(server.paths("POST")) == 2)  # both workers hang
    broker.cancel(cancel(3))
    result = inbox.one()
    assert isinstance(result, CancelResult)
    assert result.accepted
    release.set()


@pytest.mark.row("S064", "S129")
def test_a_cancel_survives_a_429_storm_that_stops_orders(make: Make, inbox: Inbox, server: RestServer) -> None:
    tries = itertools.count(1)

    def script(request: Request, connection: socket.socket) -> bytes:
        headers = {"X-RateLimit-Limit": "1000", "X-RateLimit-Remaining": "900", "Retry-After": "60"}
        if request.method == "DELETE" and next(tries) >= 3:
            return accept(request, connection)
        return reply(429, {"code": 42910000, "message": "too many requests."}, headers)

    server.script = script
    broker = make(budget=200)
    before = time.monotonic_ns()
    broker.submit(submit(1))
    (limited,) = inbox.wait(1)
    assert isinstance(limited, SubmitResult)
    assert limited.outcome is Outcome.RATE_LIMITED
    assert before + 60 * SECOND <= limited.retry_at_mono <= time.monotonic_ns() + 60 * SECOND
    broker.submit(submit(2, valid_until=CLOCK.at(time.monotonic_ns()) + SECOND // 5))  # waits out the storm, and is too late
    broker.cancel(cancel(3))
    events = inbox.wait(3)
    (cancelled,) = [e for e in events if isinstance(e, CancelResult)]
    assert cancelled.accepted
    assert [e.outcome for e in events if isinstance(e, SubmitResult)] == [Outcome.RATE_LIMITED, Outcome.NOT_SENT]
    assert len(server.paths("POST")) == 1
    assert len(server.paths("DELETE")) == 3


@pytest.mark.row("S064")
def test_orders_over_the_budget_wait_and_cancels_use_their_reserve(make: Make, inbox: Inbox, server: RestServer) -> None:
    """Ten a minute, half of it spent at the start: three orders, then cancels up to ten, never an eleventh request."""
    broker = make(budget=10, workers=1)
    for number in range(1, 7):
        broker.submit(submit(number))
    for number in range(7, 9):
        broker.cancel(cancel(number))
    server.wait(lambda: len(server.paths("DELETE")) == 2 and bool(server.paths("POST")))
    for number in range(1, 7):  # what has left is not to be withdrawn
        broker.withdraw(Withdraw(number=number))
    results = inbox.wait(8)
    accepted = [e.number for e in results if isinstance(e, SubmitResult) and e.outcome is Outcome.ACCEPTED]
    unsent = [e.number for e in results if isinstance(e, SubmitResult) and e.outcome is Outcome.NOT_SENT]
    cancelled = [e.number for e in results if isinstance(e, CancelResult) and e.accepted]
    assert sorted(cancelled) == [7, 8]  # two workers: either may answer first
    assert len(accepted) + len(unsent) == 6
    assert 1 <= len(accepted) <= 3
    assert len(server.requests) <= 5


@pytest.mark.row("S064")
def test_the_venues_own_limit_replaces_ours(make: Make, inbox: Inbox, server: RestServer) -> None:
    headers = {"X-RateLimit-Limit": "1000", "X-RateLimit-Remaining": "990"}
    server.script = lambda r, _: reply(200, order_json(r.json["client_order_id"]), headers)
    broker = make(budget=10)
    for number in range(1, 101):
        broker.submit(submit(number))
    assert {e.outcome for e in inbox.wait(100)} == {Outcome.ACCEPTED}  # type: ignore[union-attr]
    assert broker.budget.limit == 1000


# ---------------------------------------------------------------------------------------------------- look-ups
NOT_FOUND = {"code": 40410000, "message": "order not found for p1-x"}


@pytest.mark.parametrize(
    ("script", "found"),
    [
        (answering(200, order_json("p1-x")), Found.FOUND),
        (answering(200, order_json("p1-y")), Found.FAILED),
        (answering(404, NOT_FOUND), Found.ABSENT),
        (answering(404, HTML), Found.FAILED),
        (answering(404, {"message": "Not Found"}), Found.FAILED),
        (answering(404, {"code": 50010000, "message": "no"}), Found.FAILED),
        (answering(500, NOT_FOUND), Found.FAILED),
        (answering(429, NOT_FOUND, {"Retry-After": "1"}), Found.FAILED),
        (answering(401, {"code": 40110000, "message": "request is not authorized"}), Found.FAILED),
        (closing, Found.FAILED),
        (cut_json, Found.FAILED),
    ],
)
def test_what_a_lookup_proves(make: Make, inbox: Inbox, server: RestServer, script: Script, found: Found) -> None:
    server.script = script if script is not cut_json else answering(200, b'{"id":')
    make().lookup(Lookup(number=4, cid="p1-x"))
    result = inbox.one()
    assert (result.number, result.found, result.order is not None) == (4, found, found is Found.FOUND)
    assert server.requests[0].path == "/v2/orders:by_client_order_id?client_order_id=p1-x"


def test_a_lookup_of_a_dead_port_fails(make: Make, inbox: Inbox) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    make(url=f"http://127.0.0.1:{port}").lookup(Lookup(number=1, cid="c"))
    assert inbox.one().found is Found.FAILED


# ---------------------------------------------------------------------------------------------------- exactly one, and silence
def test_every_command_gets_exactly_one_result_whatever_the_venue_does(make: Make, inbox: Inbox, server: RestServer) -> None:
    chance, lock = random.Random(7), threading.Lock()
    over = threading.Event()

    def hang(*_: object) -> None:
        over.wait(PATIENCE)

    scripts = [
        accept,
        accept,
        accept,
        reset_after_request,
        cut_and_close,
        closing,
        answering(504, HTML),
        answering(422, DUPLICATE),
        hang,
    ]

    def script(request: Request, connection: socket.socket) -> bytes | None:
        with lock:
            chosen = chance.choice(scripts)
        return chosen(request, connection) if request.method != "GET" else reply(404, NOT_FOUND)

    server.script = script
    broker = make(deadline=0.1, workers=3)
    for number in range(1, 151):
        broker.submit(submit(number, f"S{number % 11}"))
        broker.cancel(cancel(number))
        broker.lookup(Lookup(number=number, cid=f"p1-cid-{number}"))
    inbox.wait(450)
    over.set()
    broker.close()
    assert len(inbox.events) == 450
    for kind in (SubmitResult, CancelResult, LookupResult):
        assert sorted(e.number for e in inbox.events if isinstance(e, kind)) == list(range(1, 151))
    sent = [r.json["client_order_id"] for r in server.requests if r.method == "POST"]
    assert len(sent) == len(set(sent))
    # What was called NOT_SENT never reached the venue, and what was called ACCEPTED did.
    outcomes = {f"p1-cid-{e.number}": e.outcome for e in inbox.events if isinstance(e, SubmitResult)}
    assert not {cid for cid, outcome in outcomes.items() if outcome is Outcome.NOT_SENT} & set(sent)
    assert {cid for cid, outcome in outcomes.items() if outcome is Outcome.ACCEPTED} <= set(sent)
    assert Outcome.AMBIGUOUS in outcomes.values()


def test_commands_after_the_end_and_in_the_queue_at_the_end_get_their_result(make: Make, inbox: Inbox, server: RestServer) -> None:
    release = threading.Event()
    server.script = lambda r, c: accept(r, c) if release.wait(PATIENCE) else None
    broker = make(workers=1, cancel_workers=1, deadline=1.0)
    for number in range(1, 6):
        broker.submit(submit(number))
    server.wait(lambda: len(server.requests) == 1)
    closer = threading.Thread(target=broker.close)
    closer.start()
    assert broker._closing.wait(PATIENCE)
    release.set()
    closer.join(PATIENCE)
    results = inbox.wait(5)
    assert [(e.number, e.outcome) for e in results] == [(1, Outcome.ACCEPTED), *((n, Outcome.NOT_SENT) for n in range(2, 6))]  # type: ignore[union-attr]
    broker.submit(submit(6))
    broker.cancel(cancel(7))
    broker.lookup(Lookup(number=8, cid="c"))
    broker.snapshot(TakeSnapshot(query=9, since=0))
    after = inbox.wait(9)[5:]
    assert [type(e) for e in after] == [SubmitResult, CancelResult, LookupResult, QueryFailed]
    assert len(server.requests) == 1


def test_an_inbox_that_fails_does_not_stop_the_order_path(make: Make, server: RestServer) -> None:
    inbox = Inbox()

    def sink(event: Event) -> None:
        inbox(event)
        raise RuntimeError("the inbox is broken")

    broker = make(sink=sink, workers=1)
    for number in (1, 2):
        broker.submit(submit(number))
    assert [e.outcome for e in inbox.wait(2)] == [Outcome.ACCEPTED] * 2  # type: ignore[union-attr]


@pytest.mark.row("S031")
def test_the_keys_show_up_nowhere(make: Make, inbox: Inbox, server: RestServer, caplog: pytest.LogCaptureFixture) -> None:
    """Even a venue that quotes them back, at the lowest log level of every library, and in every failure."""
    leak = f"key {KEY.reveal()} and secret {SECRET.reveal()}"
    scripts = [
        answering(422, {"code": 42210000, "message": leak}),
        answering(401, {"code": 40110000, "message": leak}),
        answering(500, leak.encode()),
        answering(200, leak.encode()),
        answering(200, order_json(leak)),
        lambda *_: f"HTTP/1.1 200 {leak}\r\n{leak}: {leak}\r\n".encode(),
        reset_after_request,
        cut_and_close,
    ]
    with caplog.at_level(1):
        broker = make(deadline=0.5, workers=1)
        count = 0
        for script in scripts:
            server.script = script if script is not cut_and_close else closing
            broker.submit(submit(count + 1))
            broker.cancel(cancel(count + 2))
            broker.lookup(Lookup(number=count + 3, cid="c"))
            count += 3
            inbox.wait(count)
        server.script = scripts[1]
        broker.snapshot(TakeSnapshot(query=1, since=0))
        inbox.wait(count + 1)
        broker.close()
    shown = repr(inbox.events) + caplog.text + repr(broker.counters) + repr(vars(broker)) + repr(vars(broker._orders[0]))
    assert caplog.records
    for canary in ("PKCANARY", "cAnArY"):
        assert canary not in shown


def test_urls_and_keys_that_are_not_for_it_are_refused_at_once() -> None:
    for url in ("https://api.alpaca.markets", "http://paper-api.alpaca.markets", "http://192.0.2.1"):
        with pytest.raises(ConfigError):
            AlpacaBroker(url=url, key=KEY, secret=SECRET, sink=print, clock=lambda: CLOCK)
    with pytest.raises(ConfigError) as error:
        AlpacaBroker(url="http://127.0.0.1:1", key=KEY, secret=Secret("line\nbreak-canary"), sink=print, clock=lambda: CLOCK)
    assert "canary" not in str(error.value)


def test_nagles_algorithm_is_off(make: Make, inbox: Inbox, server: RestServer, monkeypatch: Any) -> None:
    sockets: list[int] = []
    opened = VenueSession.opened

    def look(session: VenueSession, sock: socket.socket) -> None:
        sockets.append(sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
        opened(session, sock)

    monkeypatch.setattr(VenueSession, "opened", look)
    make().submit(submit())
    inbox.wait(1)
    assert len(sockets) == 1
    assert sockets[0]
