"""A venue that is killed forgets nothing that it said."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest
import requests
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.venues.sim import option_market
from tests.venues.sim.scripted import REQUESTS, order, perform

from pyrt.errors import DataError
from pyrt.venues.sim.exchange import state as states
from pyrt.venues.sim.exchange.exchange import Exchange
from pyrt.venues.sim.exchange.orders import FINAL
from pyrt.venues.sim.exchange.state import State
from pyrt.venues.sim.exchange.travel import Latency
from pyrt.venues.sim.library import simulated_venue
from pyrt.venues.sim.market.market import open_market
from pyrt.venues.sim.server import changes
from pyrt.venues.sim.server.changes import Changes, file_of, replay
from pyrt.venues.sim.server.saved import StateDirectory

START = 1_772_461_800_000_000_000
SECOND = 10**9


def told(state: State) -> dict[str, Any]:
    """All of a state but for what no client is told: whether the matcher has an order, what the last marks were."""
    tree = msgspec.to_builtins(state)
    for row in tree["rows"]:
        row["working"] = row["triggered"] = row["hwm"] = None
        row["pending"] = row["status"] not in FINAL and row["pending"]
    for account in tree["accounts"].values():
        account["cids"] = None  # the rows have them
    return {**tree, "marks": None, "now": None}


def difference(one: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    return {name: (one[name], other[name], one["number"], one["status"]) for name in one if one[name] != other[name]}


@pytest.mark.row("X08")
@settings(max_examples=25)
@given(st.lists(REQUESTS, min_size=1, max_size=30), st.sampled_from([0, 3 * SECOND // 2]))
def test_the_save_and_the_changes_are_the_state_at_every_point(
    tmp_path_factory: pytest.TempPathFactory, script: list[Any], way: int
) -> None:
    folder = tmp_path_factory.mktemp("changes")
    market = open_market("generated:rate=5", 4, START)
    venue = Exchange(market.instruments, seed=4, cash="1000000", start=START, latency=Latency(entry=way, cancel=way, replace=way))
    venue.on_market(market.advance(START + 2 * SECOND))
    base = venue.save()
    noted = Changes(folder, 1, venue)
    for step, (verb, what) in enumerate(script):
        now = START + (3 + step) * SECOND
        venue.on_market(market.advance(now))
        venue.advance(now)
        perform(venue, verb, what, now)
        venue.take_updates()
        noted.note()
        there, here = told(replay(file_of(folder, 1), states.decode(base))), told(venue.state)
        assert [difference(a, b) for a, b in zip(there.pop("rows"), here.pop("rows"), strict=True) if a != b] == []
        assert there == here
    noted.close(remove=True)
    assert not file_of(folder, 1).exists()


def test_a_change_that_names_no_row_is_written_as_a_whole(tmp_path: Path) -> None:
    venue = Exchange(open_market("generated", 4, START).instruments, start=START)
    venue.submit(order(), START)
    base = venue.save()
    noted = Changes(tmp_path, 1, venue)
    venue.state.rows[0].cid = "other"  # as a correction of the past would
    venue.state.seed += 1
    noted.note()
    noted.close()
    assert told(replay(file_of(tmp_path, 1), states.decode(base))) == told(venue.state)


def test_every_field_of_the_state_has_its_way_into_the_changes() -> None:
    fields = set(State.__struct_fields__)
    past = {"version", "seed", "corrections", "splits"}  # changes what lies behind: the whole is written
    ways = [set(changes._GROWING), set(changes._ROUTINE), past]
    assert sum(map(len, ways)) == len(set.union(*ways)), "a field goes one way"
    assert fields == set.union(*ways), "say in changes.py what it means that this field changes"


def test_a_disk_that_takes_a_part_gets_the_rest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    venue = Exchange(open_market("generated", 4, START).instruments, start=START)
    base, write, calls = venue.save(), os.write, 0

    def in_parts(fd: int, data: bytes) -> int:
        nonlocal calls
        calls += 1
        return write(fd, data[:100])

    noted = Changes(tmp_path, 1, venue)
    monkeypatch.setattr(changes.os, "write", in_parts)
    for _ in range(2):
        venue.submit(order(), START)
        noted.note()
    noted.close()
    assert calls > 2
    assert told(replay(file_of(tmp_path, 1), states.decode(base))) == told(venue.state)


@pytest.mark.row("X08")
def test_packages_busts_and_replacements_are_noted(tmp_path: Path) -> None:
    venue = option_market.exchange(latency=Latency(replace=3 * SECOND))
    base, now = venue.save(), option_market.T
    noted = Changes(tmp_path, 1, venue)
    long, short = option_market.call(190), option_market.call(195)
    spread = [(long, "buy", 1), (short, "sell", 1)]
    steps = [
        lambda: venue.submit(option_market.package(spread, 2), now),
        lambda: venue.submit(option_market.package(spread, 3, "0.01"), now),
        lambda: venue.replace(venue.state.rows[3].id, {"qty": "4"}, now),
        lambda: venue.submit(order(limit_price="190.01", qty="600"), now),  # five hundred are there
        lambda: venue.replace(venue.state.rows[-1].id, {"limit_price": "190.00"}, now),
        lambda: venue.bust(venue.state.fills[-1].id, now),
        lambda: venue.advance(now + 5 * SECOND),
        lambda: venue.cancel(venue.state.rows[6].id, now),
        lambda: venue.halt(long, now),
        lambda: venue.submit(order(symbol=long, type="market", limit_price=None, time_in_force="day"), now),
        lambda: venue.resume(long, now),
    ]
    for step in steps:
        now += SECOND
        step()
        venue.take_updates()
        noted.note()
        assert told(replay(file_of(tmp_path, 1), states.decode(base))) == told(venue.state)
    noted.close()
    assert len(venue.state.fills) == 4
    assert venue.state.rows[-2].busted


def test_a_line_that_was_not_finished_is_left_out_and_a_broken_one_is_said(tmp_path: Path) -> None:
    venue = Exchange(open_market("generated", 4, START).instruments, start=START)
    base = venue.save()
    noted = Changes(tmp_path, 1, venue)
    for _ in range(2):
        venue.submit(order(), START)
        venue.take_updates()
        noted.note()
    noted.close()
    file = file_of(tmp_path, 1)
    whole = file.read_bytes()
    file.write_bytes(whole[:-5])
    assert len(replay(file, states.decode(base)).rows) == 1
    file.write_bytes(b"nonsense\n" + whole)
    with pytest.raises(DataError, match="cannot be read"):
        replay(file, states.decode(base))


def test_a_save_that_was_under_way_loses_nothing(tmp_path: Path) -> None:
    with simulated_venue(state=str(tmp_path), start=START) as venue:
        keys = {"APCA-API-KEY-ID": venue.key, "APCA-API-SECRET-KEY": venue.secret}
        kept = []
        for name in ("one", "two", "three"):
            answer = requests.post(venue.url + "/v2/orders", json=order(client_order_id=name), headers=keys, timeout=30)
            assert answer.status_code == 200
            kept.append({file.name: file.read_bytes() for file in tmp_path.iterdir() if file.name != "lock"})
    # As if the second save had begun its file of changes, and the process had died before the save was there.
    (first,) = [name for name in kept[0] if name.startswith("changes.")]
    number = int(first.rpartition(".")[2])
    one, three = kept[0][first], kept[2][first]
    for file in tmp_path.iterdir():
        file.unlink()
    (tmp_path / "venue.msgpack").write_bytes(kept[0]["venue.msgpack"])
    file_of(tmp_path, number).write_bytes(one)
    file_of(tmp_path, number + 1).write_bytes(three[len(one) :])
    with StateDirectory(tmp_path) as directory:
        saved = directory.load()
    assert saved is not None
    assert [row.cid for row in states.decode(saved.exchange).rows] == ["one", "two", "three"]
    with simulated_venue(state=str(tmp_path)) as venue:
        assert [row["client_order_id"] for row in venue.truth()["orders"]] == ["one", "two", "three"]
        assert len(list(tmp_path.glob("changes.*"))) == 1


def sim(state: Path) -> tuple[subprocess.Popen[bytes], Any]:
    argv = [sys.executable, "-m", "pyrt", "sim", "--state", str(state), "--rate-limit", "0", "--cash", "1000000"]
    process = subprocess.Popen(argv, stdout=subprocess.PIPE, start_new_session=True)
    assert process.stdout is not None
    said = msgspec.json.decode(process.stdout.readline())
    session = requests.Session()
    session.trust_env = False
    session.headers.update({"APCA-API-KEY-ID": said["key"], "APCA-API-SECRET-KEY": said["secret"]})

    def call(method: str, path: str, **options: Any) -> Any:
        answer = session.request(method, said["url"] + path, timeout=30, **options)
        assert answer.status_code in (200, 204), answer.text
        return answer.json() if answer.content else None

    call.close = session.close  # type: ignore[attr-defined]
    return process, call


def end(process: subprocess.Popen[bytes], call: Any) -> None:
    call.close()
    process.kill()
    process.wait(60)
    assert process.stdout is not None
    process.stdout.close()


@pytest.mark.row("X08")
def test_kill_9_right_after_an_answer_forgets_neither_orders_nor_fills(tmp_path: Path) -> None:
    names: list[str] = []
    for life in range(3):
        process, call = sim(tmp_path)
        try:
            for n in range(4):
                name = f"{life}-{n}"
                call("POST", "/v2/orders", json=order(client_order_id=name))
                names.append(name)
            call(
                "POST",
                "/v2/orders",
                json=order(symbol="SPY", type="market", limit_price=None, time_in_force="day", client_order_id=f"{life}"),
            )
            while (filled := call("GET", f"/v2/orders:by_client_order_id?client_order_id={life}"))["status"] != "filled":
                assert process.poll() is None
            cash = call("GET", "/v2/account")["cash"]
            held = call("GET", "/v2/positions/SPY")["qty"]
            canceled = call("GET", f"/v2/orders:by_client_order_id?client_order_id={life}-0")["id"]
            call("DELETE", f"/v2/orders/{canceled}")
        finally:
            end(process, call)
        process, call = sim(tmp_path)
        try:
            assert {order["client_order_id"] for order in call("GET", "/v2/orders?status=all&limit=500")} >= set(names)
            assert call("GET", f"/v2/orders/{canceled}")["status"] == "canceled"
            again = call("GET", f"/v2/orders:by_client_order_id?client_order_id={life}")
            assert again == filled
            assert (call("GET", "/v2/account")["cash"], call("GET", "/v2/positions/SPY")["qty"]) == (cash, held)
        finally:
            end(process, call)
