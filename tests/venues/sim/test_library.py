"""`pyrt.sim()`: the venue for a test or a notebook."""

import asyncio
import subprocess
import sys
import threading
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import nbclient
import nbformat
import pytest
import requests

import pyrt
from pyrt.errors import ConfigError
from pyrt.venues.sim.library import SimulatedVenue

NOTEBOOK = Path(__file__).parents[3] / "examples" / "venue.ipynb"
LIMIT = {"symbol": "AAPL", "qty": "1", "side": "buy", "type": "limit", "limit_price": "1.00", "time_in_force": "gtc"}


def call(venue: SimulatedVenue, method: str, path: str, **options: Any) -> requests.Response:
    keys = {"APCA-API-KEY-ID": venue.key, "APCA-API-SECRET-KEY": venue.secret}
    return requests.request(method, venue.url + path, headers=keys, timeout=30, **options)


@pytest.mark.row("X08")
def test_two_venues_at_once_know_nothing_of_each_other() -> None:
    with pyrt.sim(cash="5000.50", seed=1) as one, pyrt.sim(cash=7000, seed=2) as two:
        assert call(one, "POST", "/v2/orders", json=LIMIT).status_code == 200
        assert call(one, "GET", "/v2/account").json()["cash"] == "5000.5"
        assert call(two, "GET", "/v2/account").json()["cash"] == "7000"
        assert len(one.truth()["orders"]) == 1
        assert two.truth()["orders"] == []
        assert one.env["APCA_API_BASE_URL"] == one.env["APCA_API_DATA_URL"] == one.url != two.url
        assert (one.env["APCA_API_KEY_ID"], one.env["APCA_API_SECRET_KEY"]) == (one.key, one.secret)


def test_a_new_venue_is_a_new_account_unless_seed_and_start_are_asked_for() -> None:
    def account(**settings: Any) -> str:
        with pyrt.sim(**settings) as venue:
            return str(call(venue, "GET", "/v2/account").json()["id"])

    when = "2026-03-02T15:00:00Z"
    assert account(seed=3) != account(seed=3)
    assert account(seed=3, start=when) == account(seed=3, start=when)
    assert len({account(seed=3, start=when), account(seed=4, start=when), account(seed=3, start="2026-03-02T15:00:01Z")}) == 3


def test_it_runs_inside_a_running_loop_and_ends_under_an_open_socket() -> None:
    async def main() -> None:
        with pyrt.sim(start=datetime(2026, 3, 2, 15, tzinfo=UTC)) as venue:
            assert venue.clock()["epoch_ns"] == 1_772_463_600_000_000_000
            async with aiohttp.ClientSession() as session:
                keys = {"APCA-API-KEY-ID": venue.key, "APCA-API-SECRET-KEY": venue.secret}
                urls = (venue.data_url, venue.crypto_url)
                stocks, crypto = [await session.ws_connect(url, headers=keys) for url in urls]
                for ws in (stocks, crypto):
                    said = [msgspec.json.decode((await ws.receive()).data)[0]["msg"] for _ in range(2)]
                    assert said == ["connected", "authenticated"]
                venue.close()  # while this loop stands still
                for ws in (stocks, crypto):
                    assert (await ws.receive()).type in (aiohttp.WSMsgType.CLOSED, aiohttp.WSMsgType.CLOSE)

    asyncio.run(main())
    assert not [t for t in threading.enumerate() if t.name == "pyrt-sim"]


def test_without_a_block_it_is_closed_by_hand_twice_if_need_be() -> None:
    venue = pyrt.sim(speed="max")
    assert venue.clock()["rate"] == 0
    assert "closed" not in repr(venue)
    venue.close()
    venue.close()
    assert "closed" in repr(venue)
    with pytest.raises(requests.ConnectionError):
        venue.clock()


def test_a_program_that_forgets_it_ends_and_the_state_is_kept(tmp_path: Path) -> None:
    code = f"import pyrt\nvenue = pyrt.sim(state={str(tmp_path)!r}, cash=42)\nprint(venue.url)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stderr == ""
    assert done.stdout.startswith("http://127.0.0.1:")
    with pyrt.sim(state=tmp_path) as venue:
        assert call(venue, "GET", "/v2/account").json()["cash"] == "42"


def test_an_account_beside_the_first_from_the_start_or_later() -> None:
    pair = {"key": "PKOTHER", "secret": "only-in-this-test", "cash": "300"}
    with pyrt.sim(cash=100, accounts=[pair]) as venue:
        later = venue.open_account(cash=200)
        for account, cash in ((later, "200"), (pair, "300"), ({"key": venue.key, "secret": venue.secret}, "100")):
            keys = {"APCA-API-KEY-ID": account["key"], "APCA-API-SECRET-KEY": account["secret"]}
            assert requests.get(venue.url + "/v2/account", headers=keys, timeout=30).json()["cash"] == cash
        with pytest.raises(ConfigError):
            venue.open_account(multiplier=3)


def test_faults_are_armed_from_the_start(tmp_path: Path) -> None:
    script = tmp_path / "faults.toml"
    script.write_text('[[fault]]\nkind = "gateway_timeout"\nevery = 2\n[[fault]]\nkind = "drop_stream"\n')
    for faults in (script, [{"kind": "gateway_timeout", "every": 2}]):
        with pyrt.sim(faults=faults) as venue:
            assert [call(venue, "POST", "/v2/orders", json=LIMIT).status_code for _ in range(2)] == [200, 504]
            assert venue.faults()["fired"] == {"gateway_timeout": 1}
            venue.disarm()
            venue.fault("rate_limited", seconds=60)
            assert call(venue, "GET", "/v2/account").status_code == 429


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"market": "weather"}, "there is no market 'weather'"),
        ({"market": "generated:rate=x"}, "'rate=x' is not an option"),
        ({"seed": -1}, "-1 is out of range"),
        ({"speed": "fast"}, "fast is not a speed"),
        ({"speed": 0}, "0 is not a speed"),
        ({"cash": "much"}, "much is not an amount"),
        ({"start": "noon"}, "'noon' is not an RFC 3339 time"),
        ({"start": datetime(2026, 3, 2)}, "has no time zone"),
        ({"sede": 1}, "no setting sede"),
        ({"connection_limit": "two"}, "Expected `int`"),
        ({"faults": [{"kind": "earthquake"}]}, "earthquake"),
        ({"faults": [{"every": 3}]}, "`kind`"),
        ({"faults": "/nowhere/faults.toml", "state": "venue"}, "cannot be read"),
    ],
)
def test_a_mistake_is_one_line_with_its_mend(
    settings: dict[str, Any], words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError) as mistake:
        pyrt.sim(**settings)
    assert words in str(mistake.value)
    assert "\n" not in str(mistake.value)
    assert mistake.value.mend
    if "state" in settings:  # the directory is free again
        pyrt.sim(state=settings["state"]).close()
    assert not [t for t in threading.enumerate() if t.name == "pyrt-sim"]


@pytest.mark.row("X08")
@pytest.mark.filterwarnings("ignore")  # of the notebook tools, not ours
def test_the_notebook_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path(pyrt.__file__).parents[1]))  # the kernel runs elsewhere
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    assert not any(cell.get("outputs") for cell in notebook.cells), "commit it without outputs"
    nbclient.NotebookClient(notebook, timeout=100, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}}).execute()
    shown = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    assert any("client_order_id must be unique" in output.get("text", "") for output in shown)
    assert "('second', 'filled')" in shown[-1]["data"]["text/plain"] or "('second', 'new')" in shown[-1]["data"]["text/plain"]
