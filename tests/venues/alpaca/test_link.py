"""The account's link: whose word an answer is."""

import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest

from pyrt.config import Secret
from pyrt.errors import ConfigError, Misbehaved
from pyrt.venues.alpaca.budget import Budget
from pyrt.venues.alpaca.keys import Keys
from pyrt.venues.alpaca.link import Addresses, AlpacaLink


@pytest.mark.parametrize(
    ("kind", "body", "error"),
    [("application/json; charset=utf-8", b'{"code": 40410000}', ConfigError), ("text/html", b"<h1>404</h1>", Misbehaved)],
)
def test_only_the_venue_says_that_a_symbol_does_not_exist(kind: str, body: bytes, error: type[Exception]) -> None:
    class Page(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(404)
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
            with pytest.raises(error):
                link.instruments(["MSFT"], 1)
            assert link._budget.spent() == 1
        finally:
            server.shutdown()
            thread.join()
