"""DELETE /v2/orders: one request in the reserved lane, and what its answer says of each order; over real sockets."""

import time
from collections.abc import Iterator
from typing import Any

import pytest
from tests.venues.alpaca.rest_server import PATIENCE, Inbox, Request, RestServer, Script, reply
from tests.venues.alpaca.test_broker import CLOCK, HTML, KEY, SECRET, Make, answering, closing, submit

from pyrt.ports import AllCancelled, CancelAll, Outcome
from pyrt.venues.alpaca.broker import AlpacaBroker

CALL = CancelAll(call=3)
ROWS: list[Any] = [
    {"id": "a", "status": 200, "body": {"id": "a", "status": "pending_cancel"}},
    {"id": "b", "status": 422, "body": {"code": 42210000, "message": 'order is already in "filled" state'}},
    {"id": "c", "status": 500},
    {"id": "d", "status": 200},
]


@pytest.fixture
def make(inbox: Inbox, server: RestServer, transport: str) -> Iterator[Make]:
    made = []

    def make_broker(**options: Any) -> AlpacaBroker:
        whole: dict[str, Any] = {"deadline": PATIENCE, "budget": 0, **options}
        made.append(
            AlpacaBroker(url=server.url, key=KEY, secret=SECRET, sink=inbox, clock=lambda: CLOCK, transport=transport, **whole)
        )
        return made[-1]

    yield make_broker
    for broker in made:
        broker.close()


def test_one_request_and_a_word_for_each_order(make: Make, inbox: Inbox, server: RestServer) -> None:
    server.script = answering(207, ROWS)
    make().cancel_all(CALL)
    assert inbox.one() == AllCancelled(call=3, http=207, taken=("a", "d"), refused=("b", "c"))
    assert [(seen.method, seen.path, seen.body) for seen in server.requests] == [("DELETE", "/v2/orders", b"")]


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        (answering(207, []), AllCancelled(call=3, http=207)),
        (answering(207, [7, {}, {"id": 1, "status": 200}, {"id": "e", "status": "200"}, ROWS[0]]), {"http": 207, "taken": ("a",)}),
        (answering(207, {"id": "a", "status": 200}), {"text": "the answer is no list"}),
        (answering(207, HTML), {"http": 0}),
        (
            answering(500, {"code": 50010000, "message": "failed to cancel"}),
            {"http": 500, "code": 50010000, "text": "failed to cancel"},
        ),
        (answering(504, HTML), {"http": 504}),
        (answering(200, []), {"http": 200}),
        (answering(401, {"code": 40110000, "message": "request is not authorized"}), {"http": 401, "code": 40110000}),
        (closing, {"http": 0}),
        (lambda r, _: reply(207, ROWS)[:-20], {"http": 0}),
    ],
)
def test_what_says_nothing_is_no_word_of_any_order(
    make: Make, inbox: Inbox, server: RestServer, script: Script, expected: AllCancelled | dict[str, Any]
) -> None:
    server.script = script
    make(deadline=2.0).cancel_all(CALL)
    told = inbox.one()
    wanted = expected if isinstance(expected, dict) else {"http": expected.http}
    assert told.call == 3
    assert {name: getattr(told, name) for name in wanted} == wanted
    assert told.taken == wanted.get("taken", ())
    assert told.refused == ()
    assert len(server.requests) == 1


def test_without_an_answer_in_time_nothing_is_known(make: Make, inbox: Inbox, server: RestServer) -> None:
    begun = time.monotonic()

    def late(_: Request, __: Any) -> bytes:
        inbox.wait(1)  # the deadline has told what there is to tell
        return reply(207, ROWS)

    server.script = late
    make(deadline=0.5).cancel_all(CALL)
    told = inbox.one()
    assert (told.call, told.http, told.taken) == (3, 0, ())
    assert time.monotonic() - begun >= 0.5


def test_a_429_is_tried_again_and_stops_orders_alone(make: Make, inbox: Inbox, server: RestServer) -> None:
    seen = []

    def script(request: Request, _: Any) -> bytes:
        seen.append(request.method)
        return reply(429, {"code": 42910000, "message": "rate limit exceeded"}) if len(seen) < 3 else reply(207, ROWS)

    server.script = script
    make().cancel_all(CALL)
    assert inbox.one().taken == ("a", "d")
    assert seen == ["DELETE"] * 3


def test_it_may_use_what_is_kept_for_cancels(make: Make, inbox: Inbox, server: RestServer) -> None:
    """Ten a minute, half of it spent at the start: three orders go, the fourth waits, and the cancel of all goes before it."""
    server.script = lambda r, s: (
        answering(207, ROWS)(r, s) if r.method == "DELETE" else answering(403, {"code": 1, "message": "x"})(r, s)
    )
    broker = make(budget=10)
    until = CLOCK.at(time.monotonic_ns()) + 1_000_000_000
    for number in range(1, 4):
        broker.submit(submit(number))
    inbox.wait(3)
    broker.submit(submit(4, valid_until=until))
    broker.cancel_all(CALL)
    told = inbox.wait(5)
    assert [e.http for e in told if isinstance(e, AllCancelled)] == [207]
    assert [e.outcome for e in told if getattr(e, "number", 0) == 4] == [Outcome.NOT_SENT]


def test_a_closed_broker_says_that_it_was_lost(make: Make, inbox: Inbox) -> None:
    broker = make()
    broker.close()
    broker.cancel_all(CALL)
    assert (inbox.one().http, inbox.one().text) == (0, "the order path is closed")
