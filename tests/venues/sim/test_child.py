"""The venue as a child process: it starts, says why where it cannot, and ends with us."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import requests

from pyrt.errors import ConfigError, NotConnected
from pyrt.venues.sim.child import SimProcess


def alive(url: str) -> bool:
    try:
        return requests.get(f"{url}/sim/clock", timeout=60).status_code == 200
    except requests.ConnectionError:
        return False


def wait_until_gone(url: str) -> None:
    end = time.monotonic() + 60
    while alive(url):
        assert time.monotonic() < end
        time.sleep(0.05)


def test_it_listens_until_it_is_closed_and_keeps_its_state(tmp_path: Path) -> None:
    with SimProcess(state=tmp_path / "venue", seed=3) as sim:
        url = sim.address.url
        assert alive(url)
        sim.check()
    assert not alive(url)
    with pytest.raises(NotConnected, match="ended with status 0"):
        sim.check()
    assert sorted(p.name for p in (tmp_path / "venue").iterdir()) != []
    sim.close()  # twice is once


def test_what_it_says_is_the_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="nosuch"):
        SimProcess(state=tmp_path, market="nosuch:file")


@pytest.mark.row("S018")
def test_it_ends_when_its_owner_is_killed(tmp_path: Path) -> None:
    code = (
        "import sys, time\nfrom pathlib import Path\nfrom pyrt.venues.sim.child import SimProcess\n"
        f"sim = SimProcess(state=Path({str(tmp_path / 'venue')!r}))\nprint(sim.address.url, flush=True)\ntime.sleep(600)\n"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as owner:
        assert owner.stdout is not None
        url = owner.stdout.readline().strip()
        assert alive(url)
        os.kill(owner.pid, signal.SIGKILL)
        owner.wait()
    wait_until_gone(url)
