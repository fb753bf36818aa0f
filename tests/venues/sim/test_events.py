"""Trade events as server-sent events: the past by time and by id, the present as it happens, the end that was asked for."""

import json
import threading
from typing import Any

import pytest
from tests.venues.sim.clients import Client, open_client, order

from pyrt.venues.sim.library import SimulatedVenue, simulated_venue
from pyrt.venues.sim.server.events import ulid
from pyrt.venues.sim.times import format_time, parse_time

pytestmark = pytest.mark.row("X08")


def events(call: Client, count: int = 10**9, **asked: Any) -> list[dict[str, Any]]:
    """The first `count` events of a stream, or all until its end."""
    found: list[dict[str, Any]] = []
    with call("GET", "/v2/events/trades", params=asked, stream=True) as stream:
        assert stream.status_code == 200, stream.text
        assert stream.headers["Content-Type"].startswith("text/event-stream")
        for line in stream.iter_lines():
            if line.startswith(b"data: "):
                found.append(json.loads(line[6:]))
                if len(found) >= count:
                    break
    return found


def named(found: list[dict[str, Any]]) -> list[tuple[str, str]]:
    return [(event["order"]["client_order_id"], event["event"]) for event in found]


def make(call: Client, venue: SimulatedVenue, *cids: str) -> str:
    """Orders that are cancelled at once; the venue's time before."""
    before = format_time(venue.clock()["now_ns"])
    for cid in cids:
        made = call("POST", "/v2/orders", json=order(cid))
        assert call("DELETE", f"/v2/orders/{made.json()['id']}").status_code == 204
    return before


def test_the_past_by_time_and_by_id(venue: SimulatedVenue, call: Client) -> None:
    begin = make(call, venue, "a")
    middle = make(call, venue, "b")
    end = format_time(venue.clock()["now_ns"])
    whole = events(call, since=begin, until=end)
    assert named(whole) == [("a", "new"), ("a", "canceled"), ("b", "new"), ("b", "canceled")]
    assert named(events(call, since=middle, until=end)) == named(whole)[2:]
    assert named(events(call, since=begin, until=middle)) == named(whole)[:2]
    ids = [event["event_id"] for event in whole]
    assert ids == sorted(set(ids))
    assert all(len(id_) == 26 for id_ in ids)
    assert [id_[:10] for id_ in ids] == [ulid(parse_time(event["at"]), 0)[:10] for event in whole]
    assert [parse_time(event["at"]) for event in whole] == [parse_time(event["timestamp"]) for event in whole]
    assert events(call, since_id=ids[1], until_id=ids[2]) == whole[1:3]  # both ends are included
    assert events(call, since_id=ids[1].lower(), until_id=ids[1]) == [whole[1]]
    # The same objects as on the trading stream, and on the order's own page.
    assert whole[3]["order"] == call("GET", f"/v2/orders/{whole[3]['order']['id']}").json()


def test_an_account_hears_its_own(venue: SimulatedVenue, call: Client) -> None:
    other = open_client(venue)
    begin = make(call, venue, "mine")
    make(other, venue, "theirs")
    end = format_time(venue.clock()["now_ns"])
    assert named(events(other, since=begin, until=end)) == [("theirs", "new"), ("theirs", "canceled")]
    other.session.close()


def test_the_present_as_it_happens(venue: SimulatedVenue, call: Client) -> None:
    begin = make(call, venue, "before")
    heard: list[list[tuple[str, str]]] = [[], []]

    def listen(place: int, count: int, **asked: Any) -> None:
        own = Client(call.url, call.key, call.secret)
        heard[place] = named(events(own, count, **asked))
        own.session.close()

    # One that asks for the past too, and one that does not; the second's beginning is what it hears first.
    threads = [threading.Thread(target=listen, args=(0, 4), kwargs={"since": begin}), threading.Thread(target=listen, args=(1, 2))]
    for thread in threads:
        thread.start()
    tries = 0
    while any(thread.is_alive() for thread in threads):
        make(call, venue, f"live-{tries}")
        tries += 1
        threads[0].join(0.1)
    assert heard[0] == [("before", "new"), ("before", "canceled"), ("live-0", "new"), ("live-0", "canceled")]
    assert heard[1][0][0].startswith("live-")


def test_a_stream_ends_at_an_instant_to_come(venue: SimulatedVenue, call: Client) -> None:
    now = venue.clock()["now_ns"]
    assert events(call, since=format_time(now), until=format_time(now + 500_000_000)) == []
    assert venue.clock()["now_ns"] > now + 500_000_000


@pytest.mark.parametrize(
    "asked",
    [
        {"until": "2026-03-02T00:00:00Z"},
        {"until_id": "0" * 26},
        {"since": "2026-03-02", "since_id": "0" * 26},
        {"since": "yesterday"},
        {"since_id": "short"},
        {"since_id": "U" * 26},
    ],
)
def test_questions_that_make_no_sense(call: Client, asked: dict[str, str]) -> None:
    answer = call("GET", "/v2/events/trades", params=asked)
    assert (answer.status_code, answer.json()["code"]) == (400, 40010001)


def test_streams_end_with_the_venue() -> None:
    with simulated_venue() as venue:
        client = Client(venue.url, venue.key, venue.secret)
        stream = client("GET", "/v2/events/trades", stream=True)
        assert stream.status_code == 200
    assert list(stream.iter_lines()) == []  # closed in good order
    client.session.close()


def test_ids_sort_by_time_and_by_count() -> None:
    begin = parse_time("2026-03-02T00:00:00Z")
    ids = [ulid(begin, 7), ulid(begin, 8), ulid(begin, 2**40), ulid(begin + 10**6, 1), ulid(begin + 10**9, 1)]
    assert ids == sorted(ids)
    assert ids[0][:10] == ids[2][:10] != ids[3][:10]  # ten digits of milliseconds
