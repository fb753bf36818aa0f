"""The description that the venue publishes, and what it answers to requests made from it, right ones and wrong ones."""

import asyncio
import threading
from collections import Counter
from collections.abc import Iterator
from typing import Any, NamedTuple

import msgspec
import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode

from pyrt.venues.sim.server.config import Listening, SimConfig
from pyrt.venues.sim.server.edge import STREAMS
from pyrt.venues.sim.server.server import Venue, open_venue

pytestmark = pytest.mark.row("X08")

LEFT_OUT = {
    "/v2/events/trades",  # it need not end
    "/sim/faults",  # a fault that is armed changes the other answers
}
STATUSES = {200, 204, 207, 400, 403, 404, 405, 409, 413, 422}


class Running(NamedTuple):
    """A venue of this process whose time stands still: nobody listens, and it runs as fast as its listeners."""

    venue: Venue
    listening: Listening

    def state(self) -> bytes:
        """All that the exchange remembers, but for the time and the list of what it refused."""
        state = self.venue.floor.exchange.state
        return msgspec.json.encode(msgspec.structs.replace(state, refused=[], now=0))


@pytest.fixture(scope="module")
def running() -> Iterator[Running]:
    started, shared = threading.Event(), {}

    async def main() -> None:
        shared["loop"], stop = asyncio.get_running_loop(), asyncio.Event()
        shared["stop"] = stop
        async with open_venue(SimConfig(speed=0.0, rate_limit=0, data_rate_limit=0, start=1_772_463_846_000_000_000)) as opened:
            shared["running"] = Running(*opened)
            started.set()
            await stop.wait()

    thread = threading.Thread(target=asyncio.run, args=(main(),))
    thread.start()
    assert started.wait(60)
    yield shared["running"]
    shared["loop"].call_soon_threadsafe(shared["stop"].set)
    thread.join()


@pytest.fixture(scope="module")
def document(running: Running) -> dict[str, Any]:
    answer = requests.get(f"{running.listening.url}/sim/openapi.json", timeout=30)
    assert answer.status_code == 200
    body: dict[str, Any] = answer.json()
    return body


@pytest.fixture(scope="module")
def session(running: Running) -> Iterator[requests.Session]:
    with requests.Session() as client:
        client.trust_env = False
        client.headers.update({"APCA-API-KEY-ID": running.listening.key, "APCA-API-SECRET-KEY": running.listening.secret})
        yield client


def cases(document: dict[str, Any], mode: GenerationMode) -> st.SearchStrategy[schemathesis.Case]:
    """Requests of every operation, by the description or against it."""
    paths = {path: {verb: {**row, "security": []} for verb, row in verbs.items()} for path, verbs in document["paths"].items()}
    schema = schemathesis.openapi.from_dict({**document, "paths": paths, "components": {}})
    found = [result.ok() for result in schema.get_all_operations()]
    wanted = [operation for operation in found if operation.path not in LEFT_OUT and not operation.path.startswith("/sim/openapi")]
    assert len(wanted) > 40
    return st.one_of([operation.as_strategy(generation_mode=mode) for operation in wanted])


def drive(running: Running, session: requests.Session, document: dict[str, Any], mode: GenerationMode, count: int) -> Counter[int]:
    """Send so many requests; nothing may make a 500, and nothing that was refused may change anything."""
    seen: Counter[int] = Counter()

    @settings(max_examples=count, deadline=None, database=None, suppress_health_check=list(HealthCheck), derandomize=True)
    @given(case=cases(document, mode))
    def send(case: schemathesis.Case) -> None:
        before = running.state()
        answer = case.call(base_url=running.listening.url, session=session, timeout=60)
        seen[answer.status_code] += 1
        assert answer.status_code in STATUSES, (answer.status_code, answer.text)
        after = running.state()
        if answer.status_code >= 400:
            assert answer.headers["content-type"][0].startswith("application/json"), (case.method, case.formatted_path, answer.text)
            body = answer.json()
            assert isinstance(body["message"], str)
            assert body["message"]
            assert body.get("code") is None or len(str(body["code"])) == 8
        if answer.status_code >= 400 or case.method.upper() == "GET":
            assert after == before, (case.method, case.formatted_path, case.body, answer.text)

    send()
    return seen


def test_every_route_is_described(running: Running, document: dict[str, Any]) -> None:
    assert document["openapi"].startswith("3.1")
    paths = document["paths"]
    assert not STREAMS & paths.keys()
    assert {"get", "post", "delete"} <= paths["/v2/orders"].keys()
    names = [p["name"] for p in paths["/v2/orders"]["get"]["parameters"]]
    assert {"status", "limit", "after", "until", "direction", "nested", "side", "symbols", "asset_class"} <= set(names)
    for path, verbs in paths.items():
        for verb, operation in verbs.items():
            assert operation["responses"]
            places = {p["name"]: p["schema"].get("enum", ["x"])[0] for p in operation["parameters"] if p["in"] == "path"}
            answer = requests.request(verb, running.listening.url + path.format(**places), timeout=30)
            assert answer.status_code != 405, (verb, path)
            assert "endpoint" not in answer.text, (verb, path)


@pytest.mark.parametrize(("mode", "count"), [(GenerationMode.POSITIVE, 40), (GenerationMode.NEGATIVE, 100)])
def test_requests_by_the_description_and_against_it(
    running: Running, session: requests.Session, document: dict[str, Any], mode: GenerationMode, count: int
) -> None:
    seen = drive(running, session, document, mode, count)
    assert sum(seen.values()) >= count
    assert any(status >= 400 for status in seen)


@pytest.mark.nightly
@pytest.mark.timeout(3600)
def test_ten_thousand_wrong_requests(running: Running, session: requests.Session, document: dict[str, Any]) -> None:
    seen = drive(running, session, document, GenerationMode.NEGATIVE, 10_000)
    assert sum(seen.values()) >= 10_000
    print(dict(seen))
