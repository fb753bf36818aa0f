"""`python -m pyrt backtest` and `download` as a user types them."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from pyrt.venues.sim.library import simulated_venue

STRATEGY = """
from pyrt import Strategy

class Swing(Strategy):
    symbols = ("AAPL",)
    size = 10

    def on_bar(self, bar):
        if self.position("AAPL"):
            self.close("AAPL")
        elif not self.open_orders():
            self.buy("AAPL", self.size)
"""


def pyrt(*options: str, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-m", "pyrt", *options]
    return subprocess.run(argv, capture_output=True, text=True, timeout=100, env={**os.environ, **(env or {})})


@pytest.mark.row("S002", "S124", "S138")
def test_from_download_to_report(tmp_path: Path) -> None:
    strategy, data, page = tmp_path / "swing.py", tmp_path / "data", tmp_path / "report.html"
    strategy.write_text(STRATEGY)
    with simulated_venue(seed=5, start=1_772_461_800_000_000_000) as venue:
        keys = {"APCA_API_KEY_ID": venue.key, "APCA_API_SECRET_KEY": venue.secret}
        fetch = ("download", "AAPL", "--start", "2026-03-01", "--to", str(data), "--sim-url", venue.url, "--end")
        first = pyrt(*fetch, "2026-03-01T02:00", env=keys)
        assert first.returncode == 0, first.stderr
        assert "120 bars added" in first.stdout
        again = pyrt(*fetch, "2026-03-01T03:00", env=keys)
        assert "60 bars added" in again.stdout, again.stderr
        asked = [r["query"] for r in venue.truth()["requests"] if r["path"].endswith("/bars")]
        assert "start=2026-03-01T02:00" in asked[-1]
    done = pyrt("backtest", str(strategy), "--data", str(data), "--set", "size=20", "--html", str(page), "--json")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["counts"]["bars"] == 180
    assert told["counts"]["fills"] > 50
    assert page.stat().st_size > 10_000


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("backtest", "none.py", "--data", "x.csv"), "none.py does not exist"),
        (("backtest", "pyrt.strategies.sma_cross:SmaCross", "--data", "none.csv"), "none.csv"),
        (("download", "AAPL", "--start", "soon", "--end", "2026-03-02", "--to", "d"), "not a time"),
        (("download", "AAPL", "--start", "2026-03-02", "--end", "2026-03-01", "--to", "d"), "not behind"),
        (("download", "AAPL", "--start", "2026-03-01", "--end", "2026-03-02", "--to", "d", "--interval", "1s"), "whole minutes"),
    ],
)
def test_a_user_s_mistake_is_one_line(options: tuple[str, ...], says: str) -> None:
    done = pyrt(*options)
    assert done.returncode == 1
    assert says in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
