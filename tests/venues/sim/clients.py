"""Bare clients of a simulated venue, for the tests of its REST."""

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
