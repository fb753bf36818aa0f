"""A fault script: read, refused where it is wrong, played by the venue's clock, the same for the same seed."""

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import requests

from pyrt.errors import ConfigError
from pyrt.venues.sim.library import simulated_venue
from pyrt.venues.sim.server.kinds import DropData, RateLimited, ServerError
from pyrt.venues.sim.server.script import read_script
from pyrt.venues.sim.times import parse_time

pytestmark = pytest.mark.row("X08")

START = parse_time("2026-03-02T15:00:00Z")


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "faults.toml"
    path.write_text(text)
    return path


def test_a_script_is_read(tmp_path: Path) -> None:
    text = """
        [[fault]]
        at = "1m"
        kind = "rate_limited"
        for = "500ms"
        retry_after = true
        [[fault]]
        at = 2.5
        kind = "server_error"
        status = 503
        probability = 0.25
        seed = 9
        every = 2
        count = 3
        [[fault]]
        at = 2026-03-02T15:00:10Z
        kind = "drop_data"
        seconds = "2s"
    """
    scenes = read_script(written(tmp_path, text))
    assert [(s.at, s.absolute) for s in scenes] == [(60 * 10**9, False), (2_500_000_000, False), (START + 10**10, True)]
    assert scenes[0].fault == RateLimited(lasts=0.5, retry_after=True)
    assert scenes[1].fault == ServerError(status=503, probability=0.25, seed=9, every=2, count=3)
    assert scenes[2].fault == DropData(seconds=2.0)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[[fault", "TOML"),
        ("[fault]\nkind = 'bust'", "[[fault]]"),
        ("other = 1", "[[fault]]"),
        ("[[fault]]\nkind = 'no such'", "fault 1"),
        ("[[fault]]\nkind = 'bust'\n[[fault]]\nkind = 'bust'\nfor = 'long'", "fault 2"),
        ("[[fault]]\nkind = 'bust'\nat = '-3s'", "before the start"),
        ("[[fault]]\nkind = 'bust'\nwhen = 'now'", "when"),
        ("[[fault]]\nkind = 'bust'\nat = [1]", "fault 1"),
    ],
)
def test_a_script_that_is_wrong_says_where(tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(ConfigError) as refused:
        read_script(written(tmp_path, text))
    assert says in str(refused.value)


def test_a_missing_script_is_a_mistake(tmp_path: Path) -> None:
    with pytest.raises(ConfigError):
        read_script(tmp_path / "none.toml")


SCRIPT = """
[[fault]]
at = "30s"
kind = "server_error"
on = "reads"
count = 1
[[fault]]
at = 2026-03-02T15:00:40Z
kind = "clock_skew"
offset = "1h"
[[fault]]
at = "300h"
kind = "drop_stream"
"""


def test_scenes_come_at_their_venue_instants(tmp_path: Path) -> None:
    with simulated_venue(start=START, speed=1000.0, faults=str(written(tmp_path, SCRIPT))) as venue:
        give_up = time.monotonic() + 60
        while len(venue.truth()["faults"]["armings"]) < 2:
            assert time.monotonic() < give_up
        told = venue.truth()["faults"]
        assert [(a["fault"]["kind"], a["venue_ns"] - START) for a in told["armings"]] == [
            ("server_error", 30 * 10**9),
            ("clock_skew", 40 * 10**9),
        ]  # to the nanosecond
        assert [s["fault"]["kind"] for s in told["scheduled"]] == ["drop_stream"]
        headers = {"APCA-API-KEY-ID": venue.key, "APCA-API-SECRET-KEY": venue.secret}
        statuses = [requests.get(venue.url + "/v2/account", headers=headers, timeout=30).status_code for _ in range(2)]
        assert statuses == [500, 200]


def test_the_command_takes_a_script(tmp_path: Path) -> None:
    script = written(tmp_path, '[[fault]]\nkind = "server_error"\non = "reads"\nstatus = 502\n')
    argv = [sys.executable, "-m", "pyrt", "sim", "--faults", str(script)]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        where: dict[str, Any] = json.loads(process.stdout.readline())
        headers = {"APCA-API-KEY-ID": where["key"], "APCA-API-SECRET-KEY": where["secret"]}
        give_up = time.monotonic() + 60
        while requests.get(where["url"] + "/v2/account", headers=headers, timeout=30).status_code != 502:
            assert time.monotonic() < give_up
        process.terminate()
        process.communicate(timeout=30)
    done = subprocess.run([*argv[:-1], str(tmp_path / "none.toml")], capture_output=True, text=True, timeout=60)
    assert (done.returncode, len(done.stderr.strip().splitlines())) == (1, 1)
    assert "none.toml" in done.stderr
