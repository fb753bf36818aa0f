import contextlib
import itertools
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.venues.alpaca.rest_server import PATIENCE, Inbox, Request, RestServer, Script, accept, order_json, reply, reset

from pyrt._core.types import Side
from pyrt.clock import VenueClock
from pyrt.config import Secret
from pyrt.model import OrderType, TimeInForce
from pyrt.ports import (
    Cancel,
    CancelResult,
    Found,
    Lookup,
    OrderRequest,
    Outcome,
    Replace,
    Submit,
    SubmitResult,
)
from pyrt.venues.alpaca.broker import AlpacaBroker
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
def inbox() -> Inbox:
    return Inbox()


@pytest.fixture
def server() -> Iterator[RestServer]:
    with RestServer() as running:
        yield running


@pytest.fixture
def make(inbox: Inbox, server: RestServer) -> Iterator[Make]:
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


# ---------------------------------------------------------------------------------------------------- the deadline
def drip(step: float, stop: threading.Event) -> Script:
    """Answers with one byte at a time, for ever: each read is short, the whole is not."""

    def script(request: Request, connection: socket.socket) -> None:
        answer = reply(200, order_json(request.json["client_order_id"], padding="x" * 100_000))
        for byte in answer:
            if stop.wait(step):
                return
            connection.sendall(bytes([byte]))

    return script


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


@pytest.mark.row("S022")
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


def test_orders_over_the_budget_wait_and_cancels_use_their_reserve(make: Make, inbox: Inbox, server: RestServer) -> None:
    """Ten a minute, half of it spent at the start: three orders, then cancels up to ten, never an eleventh request."""
    broker = make(budget=10, workers=1)
    late = CLOCK.at(time.monotonic_ns()) + SECOND
    for number in range(1, 7):
        broker.submit(submit(number, valid_until=late))
    for number in range(7, 9):
        broker.cancel(cancel(number))
    results = inbox.wait(8)
    accepted = [e.number for e in results if isinstance(e, SubmitResult) and e.outcome is Outcome.ACCEPTED]
    unsent = [e.number for e in results if isinstance(e, SubmitResult) and e.outcome is Outcome.NOT_SENT]
    cancelled = [e.number for e in results if isinstance(e, CancelResult) and e.accepted]
    assert cancelled == [7, 8]
    assert len(accepted) + len(unsent) == 6
    assert 1 <= len(accepted) <= 3
    assert len(server.requests) <= 5


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
