"""A venue that ends and begins again is the same venue."""

import time
from pathlib import Path
from typing import Any

import msgspec
import pytest
import requests

from pyrt.errors import ConfigError, DataError
from pyrt.venues.sim.library import SimulatedVenue, simulated_venue
from pyrt.venues.sim.server.saved import NAME, Saved, StateDirectory


def call(venue: SimulatedVenue, method: str, path: str, **options: Any) -> Any:
    keys = {"APCA-API-KEY-ID": venue.key, "APCA-API-SECRET-KEY": venue.secret}
    answer = requests.request(method, venue.url + path, headers=keys, timeout=30, **options)
    assert answer.status_code in (200, 422), answer.text
    return answer.json()


@pytest.mark.row("X08")
def test_account_orders_and_clock_go_on(tmp_path: Path) -> None:
    limit = {"symbol": "AAPL", "qty": "5", "side": "buy", "type": "limit", "limit_price": "1.00", "time_in_force": "gtc"}
    market = {"symbol": "SPY", "qty": "2", "side": "buy", "type": "market", "time_in_force": "day"}
    with simulated_venue(state=str(tmp_path), seed=3, cash="5000") as venue:
        account = call(venue, "GET", "/v2/account")
        call(venue, "POST", "/v2/orders", json={**limit, "client_order_id": "kept"})
        call(venue, "POST", "/v2/orders", json={**market, "client_order_id": "filled"})
        while call(venue, "GET", "/v2/orders:by_client_order_id?client_order_id=filled")["status"] != "filled":
            time.sleep(0.02)
        positions = [(p["symbol"], p["qty"], p["avg_entry_price"]) for p in call(venue, "GET", "/v2/positions")]
        cash = call(venue, "GET", "/v2/account")["cash"]
        fills = venue.truth()["fills"]
        stopped = venue.clock()["now_ns"]
    # Another seed and other money are of no account: the venue is the one that was saved.
    with simulated_venue(state=str(tmp_path), seed=99, cash="1") as venue:
        again = call(venue, "GET", "/v2/account")
        assert (again["id"], again["cash"]) == (account["id"], cash)
        assert [(p["symbol"], p["qty"], p["avg_entry_price"]) for p in call(venue, "GET", "/v2/positions")] == positions
        assert venue.truth()["fills"] == fills
        assert venue.clock()["epoch_ns"] >= stopped
        assert call(venue, "POST", "/v2/orders", json={**limit, "client_order_id": "kept"})["code"] == 40010001
        kept = call(venue, "GET", "/v2/orders:by_client_order_id?client_order_id=kept")
        assert kept["status"] == "new"
        while (now := venue.clock()["now_ns"]) < stopped + 10**8:
            time.sleep(0.02)
        quotes = call(venue, "GET", "/v2/stocks/SPY/quotes/latest")
        assert quotes["quote"]["bp"] > 0
        assert now > stopped


def test_a_directory_has_one_owner(tmp_path: Path) -> None:
    with (
        simulated_venue(state=str(tmp_path)),
        pytest.raises(ConfigError, match="another venue uses"),
        simulated_venue(state=str(tmp_path)),
    ):
        pass
    with simulated_venue(state=str(tmp_path)):
        pass


def test_a_file_that_is_not_ours_is_left_alone(tmp_path: Path) -> None:
    for content in (b"", b"nonsense", msgspec.msgpack.encode({"format": 1})):
        (tmp_path / NAME).write_bytes(content)
        with pytest.raises(DataError, match="cannot be read"), simulated_venue(state=str(tmp_path)):
            pass
        assert (tmp_path / NAME).read_bytes() == content


def test_a_save_replaces_the_whole(tmp_path: Path) -> None:
    with StateDirectory(tmp_path) as directory:
        for n in (1, 2):
            directory.save(Saved(market="generated", seed=n, market_epoch=0, venue_ns=n, resume_ns=n, exchange=b"x" * n))
    with StateDirectory(tmp_path) as directory:
        saved = directory.load()
    assert saved is not None
    assert (saved.seed, saved.exchange) == (2, b"xx")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["lock", NAME]


def test_a_taken_port_is_a_line_for_the_user() -> None:
    with simulated_venue() as venue:
        port = int(venue.url.rpartition(":")[2])
        with pytest.raises(ConfigError, match="cannot listen"), simulated_venue(port=port):
            pass


def test_an_unknown_market_is_a_line_for_the_user() -> None:
    with pytest.raises(ConfigError, match="no market 'weather'"), simulated_venue(market="weather"):
        pass
