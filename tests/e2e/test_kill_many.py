"""A kill with 500 orders at work, at a venue that takes 200 requests a minute: one request cancels them, two views prove it."""

import re
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.e2e.drill import LIMITS, refused_by_the_latch
from tests.e2e.processes import Run, Venue, environment, wait_for

ORDERS = 500
RATE = 200  # requests a minute
PLACES = f'''
from pyrt import Strategy

class Resting(Strategy):
    """Small orders far below the market, until {ORDERS} are out."""

    symbols = ("AAPL", "MSFT", "SPY", "GOOGL", "AMZN", "TSLA")
    n = 0

    def on_quote(self, quote):
        for _ in range(10):
            if len(self.open_orders()) < {ORDERS} and 0 < quote.bid:
                self.n += 1
                self.buy(quote.symbol, 1, limit=round(float(quote.bid) * 0.9 - self.n / 100, 2), tif="gtc")
'''
WATCHES = '''
from pyrt import Strategy

class Resting(Strategy):
    """Wants one more order at each quote."""

    symbols = ("AAPL",)

    def on_quote(self, quote):
        if quote.bid > 0 and WANTS:
            self.buy("AAPL", 1, limit=round(float(quote.bid) * 0.9, 2), tif="gtc")
'''
MANY = {"max_gross_exposure", "max_net_exposure", "max_open_order_value", "max_position_notional"}


def limits() -> str:
    """Those of the drill, with room for so many orders at once."""
    text = re.sub(r"max_open_orders = \d+", f"max_open_orders = {2 * ORDERS}", LIMITS)
    for name in MANY:
        text = re.sub(rf'{name} = "\d+"', f'{name} = "100000000"', text)
    return text


class Sessions:
    """Sessions of one journal, on venues of one state, one after the other."""

    def __init__(self, directory: Path) -> None:
        self.home = directory / "home"
        self._directory = directory
        self._venues: list[Venue] = []
        self._runs: list[Run] = []
        (directory / "limits.toml").write_text(limits())

    def venue(self, rate_limit: int) -> Venue:
        """The venue of the one state, with another limit; that of before is gone."""
        for earlier in self._venues:
            earlier.close()
        state = str(self._directory / "venue")
        self._venues = [Venue("--seed", "5", "--state", state, "--cash", "100000000", rate_limit=rate_limit)]
        return self._venues[0]

    def run(self, venue: Venue, strategy: str, rate_limit: int) -> Run:
        file = self._directory / "resting.py"
        file.write_text(strategy)
        options = ["--sim-url", venue.url, "--sim-state", str(self.home), "--rate-limit", str(rate_limit), "--no-watchdog"]
        more = ["--strategy", str(file), "--limits", str(self._directory / "limits.toml"), "--deadline", "10", "--settle", "1"]
        self._runs.append(Run(*options, *more))
        return self._runs[-1]

    def close(self) -> None:
        for run in self._runs:
            run.close()
        for venue in self._venues:
            venue.close()


@pytest.fixture
def sessions(tmp_path: Path) -> Iterator[Sessions]:
    made = Sessions(tmp_path)
    yield made
    made.close()


def kill(home: Path, *options: str) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-m", "pyrt", "kill", "--state", str(home), "--why", "a drill", "--wait", "300", *options]
    return subprocess.run(argv, capture_output=True, text=True, env=environment(), timeout=400)


@pytest.mark.nightly
@pytest.mark.timeout(1200)
def test_five_hundred_orders_are_cancelled_and_verified_within_the_rate_limit(
    sessions: Sessions, record_property: Callable[[str, object], None]
) -> None:
    free = sessions.venue(0)
    run = sessions.run(free, PLACES, 0).until("trading:")
    wait_for(lambda: len(free.open_orders()) == ORDERS, f"{ORDERS} orders")
    run.kill()

    venue = sessions.venue(RATE)
    run = sessions.run(venue, WATCHES.replace("WANTS", "True"), RATE).until("trading:")
    begun = time.monotonic()
    done = kill(sessions.home)
    seconds = time.monotonic() - begun
    assert (done.returncode, done.stderr) == (0, ""), done.stdout + done.stderr + run.log
    assert "0 open orders left, verified twice" in done.stdout
    truth = venue.truth()["requests"]
    asked = Counter((r["method"], r["path"] if r["method"] == "DELETE" else "") for r in truth if r["path"].startswith("/v2/"))
    print(f"{ORDERS} orders: {seconds:.1f} s, {sum(asked.values())} requests, {dict(asked)}: {done.stdout.strip()}")
    record_property("seconds", seconds)
    assert asked["DELETE", "/v2/orders"] == 1
    assert sum(asked.values()) <= RATE
    assert not [r for r in truth if r["status"] == 429]
    refused = refused_by_the_latch(sessions.home)
    wait_for(lambda: refused_by_the_latch(sessions.home) > refused, "an intent that is refused")
    assert venue.open_orders() == []
