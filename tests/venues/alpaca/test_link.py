"""The account's link: whose word an answer is."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import msgspec
import pytest

from pyrt.config import Secret
from pyrt.errors import ConfigError, Misbehaved, NotConnected
from pyrt.model import AssetClass, Instrument
from pyrt.venues.alpaca import link as link_module
from pyrt.venues.alpaca.budget import Budget, Purpose
from pyrt.venues.alpaca.keys import Keys
from pyrt.venues.alpaca.link import Addresses, AlpacaLink


@pytest.mark.parametrize(
    ("kind", "body", "error"),
    [("application/json; charset=utf-8", b'{"code": 40410000}', ConfigError), ("text/html", b"<h1>404</h1>", Misbehaved)],
)
def test_only_the_venue_says_that_a_symbol_does_not_exist(kind: str, body: bytes, error: type[Exception]) -> None:
    with answering(lambda path: (404, kind, body)) as link:
        with pytest.raises(error):
            link.instruments(["MSFT"], 1)
        assert link._budget.spent() == 1


def test_a_pair_is_one_part_of_a_path() -> None:
    """The venue takes BTC/USD for the asset BTC and something behind it; BTC%2FUSD is the pair."""
    pair = b'{"class": "crypto", "symbol": "BTC/USD", "tradable": true, "status": "active", "price_increment": "0.01"}'

    def page(path: str) -> tuple[int, str, bytes]:
        return (
            (200, "application/json", pair) if path == "/v2/assets/BTC%2FUSD" else (404, "application/json", b'{"code": 40410000}')
        )

    with answering(page) as link:
        [instrument] = link.instruments(["BTC/USD"], 1)
        assert (instrument.symbol, instrument.asset_class) == ("BTC/USD", AssetClass.CRYPTO)
        assert link.asset(instrument).tradable


@pytest.mark.parametrize(
    ("asked", "answer", "error", "text"),
    [
        ("BTCUSD", {"symbol": "BTC/USD"}, ConfigError, "BTCUSD is called BTC/USD"),
        ("aapl", {"symbol": "AAPL", "class": "us_equity"}, ConfigError, "aapl is called AAPL"),
        ("BTC/USD", {"symbol": "BTC/USD", "price_increment": "0.0000000001"}, Misbehaved, "terms of BTC/USD"),
    ],
)
def test_an_asset_that_cannot_be_taken_as_it_is_named(
    asked: str, answer: dict[str, str], error: type[Exception], text: str
) -> None:
    body = msgspec.json.encode({"class": "crypto", "tradable": True, **answer})
    with answering(lambda path: (200, "application/json", body)) as link, pytest.raises(error, match=text):
        link.instruments([asked], 1)


def test_questions_about_many_symbols_leave_the_budget_to_orders_and_cancels(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(link_module, "_ROOM", 0)
    asked: list[str] = []

    def page(path: str) -> tuple[int, str, bytes]:
        asked.append(path)
        return 200, "application/json", msgspec.json.encode({"symbol": path.rpartition("/")[2], "tradable": True})

    with answering(page) as link:
        link._budget = Budget(100, time.monotonic_ns)  # of which 50 may be spent already
        for number in range(10):
            link.asset(Instrument(id=1 + number, symbol=f"S{number}"))
        with pytest.raises(NotConnected, match="budget"):
            link.asset(Instrument(id=11, symbol="S10"))
        assert (len(asked), link._budget.spent()) == (10, 60)
        with pytest.raises(NotConnected, match="budget"):
            link.instruments([f"T{number}" for number in range(100)], 1)
        assert link._budget.spent() == 90
        assert link._budget.acquire(Purpose.CANCEL, 0)


@contextmanager
def answering(page: Callable[[str], tuple[int, str, bytes]]) -> Iterator[AlpacaLink]:
    """A link to a venue that answers each path so, with a status, a kind and a body."""

    class Page(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, kind, body = page(self.path)
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Page) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        url = f"http://127.0.0.1:{server.server_port}"
        link = AlpacaLink.__new__(AlpacaLink)  # who has connected already
        link.name, link._keys, link._budget = "sim", Keys(Secret("k"), Secret("s")), Budget(0, time.monotonic_ns)
        link._at = Addresses(trading=url, data=url, stream=url, updates=url)
        try:
            yield link
        finally:
            server.shutdown()
            thread.join()
