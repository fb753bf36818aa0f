"""`pyrt doctor --against`: two simulated venues answer alike; one with an altered answer is found out."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import requests
from tests.cli.processes import call, running_sim

from pyrt.cli import against
from pyrt.cli.against import Answer, Asker, compare, differences, forms, tell
from pyrt.config import Secret
from pyrt.errors import ConfigError, NotAuthorized
from pyrt.venues.alpaca.keys import Keys
from pyrt.venues.sim.server.config import DEMO_KEY, DEMO_SECRET

KEYS = Keys(Secret(DEMO_KEY), Secret(DEMO_SECRET))


class Altering:
    """A venue in front of another: passes everything on, and changes answers as told."""

    def __init__(self, target: str) -> None:
        self.alter: dict[tuple[str, str], Any] = {}  # (method, path without query) -> function of status, body
        self.seen: list[tuple[str, str, str]] = []  # method, path, secret
        self.refuse_cancels = False
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def answer(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                outer.seen.append((self.command, self.path, self.headers.get("APCA-API-SECRET-KEY", "")))
                kept = ("apca-api-key-id", "apca-api-secret-key", "content-type")
                headers = {k: v for k, v in self.headers.items() if k.lower() in kept}
                there = requests.request(self.command, target + self.path, data=body, headers=headers, timeout=30)
                status, content = there.status_code, there.content
                change = outer.alter.get((self.command, self.path.partition("?")[0]))
                if change is not None:
                    status, value = change(status, json.loads(content) if content else None)
                    content = b"" if value is None else value if isinstance(value, bytes) else json.dumps(value).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            do_GET = do_POST = do_PATCH = do_DELETE = answer

            def log_message(self, *_: Any) -> None:
                """Quiet."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        self.thread = threading.Thread(target=self.server.serve_forever, daemon=True)
        self.thread.start()

    def close(self) -> None:
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


@pytest.fixture(scope="module")
def venues() -> Iterator[tuple[str, Altering]]:
    with running_sim() as one, running_sim() as two:
        altering = Altering(two)
        try:
            yield one, altering
        finally:
            altering.close()


@pytest.fixture
def pair(venues: tuple[str, Altering]) -> Iterator[tuple[Asker, Asker, Altering]]:
    url, altering = venues
    altering.alter.clear()
    altering.seen.clear()
    askers = (Asker(url, url, KEYS), Asker(altering.url, altering.url, KEYS))
    yield *askers, altering
    for asker in askers:
        asker.close()


def works(url: str) -> list[Any]:
    headers = {"APCA-API-KEY-ID": DEMO_KEY, "APCA-API-SECRET-KEY": DEMO_SECRET}
    found: list[Any] = requests.get(f"{url}/v2/orders", params={"status": "open"}, headers=headers, timeout=30).json()
    return found


def test_two_venues_that_are_the_same_answer_alike_and_nothing_is_left(pair: tuple[Asker, Asker, Altering]) -> None:
    sim, venue, altering = pair
    found = compare(sim, venue)
    assert [d for d in found.differences if not d.note] == []
    assert found.asked == found.same
    assert found.asked >= 50
    assert found.left == []
    assert works(altering.url) == []
    sent = [path for method, path, _ in altering.seen if method == "POST"]
    assert set(sent) == {"/v2/orders"}
    assert not any(method == "DELETE" and path.partition("?")[0] == "/v2/orders" for method, path, _ in altering.seen), "never all"


def test_each_altered_answer_is_found(pair: tuple[Asker, Asker, Altering]) -> None:
    sim, venue, altering = pair
    altering.alter = {
        ("GET", "/v2/account"): lambda status, body: (status, body and {**body, "cash": 7.5, "brand_new": True}),
        ("GET", "/v2/clock"): lambda status, body: (503, {"code": 50310000, "message": "later"}),
        ("GET", "/v2/assets/NOSUCHSYMBOL"): lambda status, body: (404, {"code": 40410001, "message": "who?"}),
        ("GET", "/v2/positions"): lambda status, body: (200, b"<html>"),
        ("GET", "/v2/watchlists"): lambda status, body: (200, {"lists": body}),
    }
    found = {(d.request, d.where): (d.sim, d.venue) for d in compare(sim, venue).differences if not d.note}
    assert found["account", "cash"] == ("number text", "number")
    assert found["account", "brand_new"] == ("-", "true or false")
    assert found["clock", "status"] == ("200", "503")
    assert found["unknown asset", "code"][1] == "40410001"
    assert ("positions", "body") in found
    assert ("watchlists", "lists") in found


def test_an_order_whose_answer_was_lost_is_cancelled_and_one_that_cannot_be_is_told(
    pair: tuple[Asker, Asker, Altering], monkeypatch: pytest.MonkeyPatch
) -> None:
    sim, venue, altering = pair

    def lost(status: int, body: Any) -> tuple[int, Any]:
        return (500, {"message": "lost"}) if status == 200 else (status, body)

    altering.alter = {("POST", "/v2/orders"): lost}
    monkeypatch.setattr(against, "WAIT_GONE", 0.5)
    monkeypatch.setattr(against, "_reads", lambda: iter([("clock", ("GET", "/v2/clock"), {})]))
    monkeypatch.setattr(against, "_refused", lambda: iter(()))
    found = compare(sim, venue)
    assert [(d.where, d.venue) for d in found.differences] == [("status", "500")]
    assert found.left == []
    assert works(altering.url) == []
    real = venue.ask

    def ask(method: str, path: str, *more: Any, **options: Any) -> Answer:
        return Answer(status=503, body={}) if method == "DELETE" else real(method, path, *more, **options)

    monkeypatch.setattr(venue, "ask", ask)
    found = compare(sim, venue)
    assert [line.partition(":")[0] for line in found.left] == ["sim"]
    assert any("NOT CANCELLED" in line for line in tell(found))


def test_wrong_keys_end_it_before_any_order(pair: tuple[Asker, Asker, Altering]) -> None:
    sim, _, altering = pair
    stranger = Asker(altering.url, altering.url, Keys(Secret(DEMO_KEY), Secret("nobody-gave-this")))
    with pytest.raises(NotAuthorized):
        compare(sim, stranger)
    stranger.close()
    assert not any(method == "POST" for method, _, _ in altering.seen)


def test_forms_of_json() -> None:
    body = {"a": [{"b": 1}, {"b": None, "c": "2026-03-02T15:04:06.1Z"}], "d": [], "e": "1.5", "f": 1.5, "g": False}
    assert forms(Answer(status=200, body=body)) == {
        "body": {"object"},
        "a": {"list"},
        "a[]": {"object"},
        "a[].b": {"number", "null"},
        "a[].c": {"time"},
        "d": {"no elements"},
        "e": {"number text"},
        "f": {"number"},
        "g": {"true or false"},
    }
    assert forms(Answer(status=204, empty=True)) == {"body": {"nothing"}}


def test_what_depends_on_the_account_is_a_note_and_what_cannot_be_seen_is_nothing() -> None:
    def found(sim: Any, venue: Any) -> list[tuple[str, bool]]:
        return [(d.where, d.note) for d in differences("r", Answer(status=200, body=sim), Answer(status=200, body=venue))]

    assert found({"a": None}, {"a": "1"}) == [("a", True)]
    assert found({"a": []}, {"a": [{"b": 1}]}) == [("a", True)]
    assert found([], [{"b": 1}]) == [("body", True)]
    assert found({"a": "1"}, {"a": 1}) == [("a", False)]
    assert found({"a": {"b": 1}}, {"a": {}}) == [("a.b", False)]


@pytest.mark.parametrize(
    "name", ["alpaca-live", "sim", "https://api.alpaca.markets", "https://paper-api.alpaca.markets", "http://10.0.0.1:80"]
)
def test_nothing_else_is_compared_with(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigError):
        against.against(name)
    done = call(tmp_path, "doctor", "--against", name, keys=True)
    assert done.returncode == 1
    assert done.stderr.startswith("pyrt: ")


def test_the_command_says_it_as_a_table_and_as_json(
    tmp_path: Path, venues: tuple[str, Altering], monkeypatch: pytest.MonkeyPatch
) -> None:
    _, altering = venues
    reads = list(against._reads())[:3]
    monkeypatch.setattr(against, "_reads", lambda: iter(reads))
    monkeypatch.setattr(against, "_refused", lambda: iter(()))
    monkeypatch.setattr(against, "_life_of_an_order", lambda *_: iter(()))
    altering.alter = {("GET", "/v2/clock"): lambda status, body: (status, {**body, "is_open": "yes"})}
    done = call(tmp_path, "doctor", "--against", altering.url, keys=True)
    assert done.returncode == 1
    assert ["clock", "is_open", "true", "or", "false", "text"] in [line.split() for line in done.stdout.splitlines()]
    altering.alter = {}
    done = call(tmp_path, "doctor", "--against", altering.url, "--json", keys=True)
    assert done.returncode == 0, done.stdout
    told = json.loads(done.stdout)
    assert told["left"] == []
    assert told["asked"] == told["same"]
    assert DEMO_SECRET not in done.stdout
