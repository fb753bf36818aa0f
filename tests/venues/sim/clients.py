"""Clients of a simulated venue: bare ones for the tests of its REST, and what those of alpaca-py's streams need."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import requests

from pyrt.venues.sim.library import SimulatedVenue


def reached(venue: SimulatedVenue) -> int:
    """Venue time that the market has come to, ns: on a busy machine the clock is ahead of it."""
    reading = venue.clock()
    return int(reading["now_ns"] - reading["lag_ns"])


class Client:
    """Bare requests with a pair of keys."""

    def __init__(self, url: str, key: str, secret: str) -> None:
        self.url, self.key, self.secret = url, key, secret
        self.session = requests.Session()
        self.session.trust_env = False
        self.session.headers.update({"APCA-API-KEY-ID": key, "APCA-API-SECRET-KEY": secret})

    def __call__(self, method: str, path: str, **options: Any) -> requests.Response:
        return self.session.request(method, self.url + path, timeout=30, **options)


def open_client(venue: SimulatedVenue, **wanted: Any) -> Client:
    """A client of an account of its own."""
    made = requests.post(f"{venue.url}/sim/accounts", json=wanted, timeout=30)
    assert made.status_code == 200, made.text
    return Client(venue.url, made.json()["key"], made.json()["secret"])


def order(cid: str, **change: Any) -> dict[str, Any]:
    body = {"symbol": "AAPL", "qty": "1", "side": "buy", "type": "limit", "time_in_force": "gtc", "limit_price": "1.00"}
    return {**body, "client_order_id": cid, **change}


Heard = dict[str, list[Any]]


def until(condition: Callable[[], Any], seconds: float = 60.0) -> Any:
    """What a condition tells, once it tells something."""
    end = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.02)
    return found


@contextmanager
def running(stream: Any) -> Iterator[threading.Thread]:
    """One of alpaca-py's streams in a thread of its own."""
    thread = threading.Thread(target=stream.run, daemon=True)
    thread.start()
    try:
        until(lambda: stream._running)
        yield thread
    finally:
        if thread.is_alive():  # to stop it while it ends would wait for a loop that is gone
            stream.stop()
        thread.join(30)
        assert not thread.is_alive()


def hears(heard: Heard, name: str) -> Callable[[Any], Any]:
    """A handler that keeps its messages under a name."""

    async def handler(message: Any) -> None:
        heard.setdefault(name, []).append(message)

    return handler
