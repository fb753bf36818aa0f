"""A recorded live session, played again with its own delays, decides the same."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from pyrt.journal import Journal
from pyrt.research.parity import Replay, canonical
from pyrt.strategies.quote_maker import QuoteMaker
from pyrt.strategies.sma_cross import SmaCross
from pyrt.venues.sim.library import simulated_venue


@pytest.mark.row("S003", "S124", "S138")
def test_a_recorded_session_played_again_decides_the_same(tmp_path: Path) -> None:
    with simulated_venue(seed=3) as venue:
        env = {**os.environ, "APCA_API_KEY_ID": venue.key, "APCA_API_SECRET_KEY": venue.secret}
        argv = [sys.executable, "-m", "pyrt", "run", "--sim-url", venue.url, "--journal", str(tmp_path), "--for", "8s"]
        done = subprocess.run(argv, capture_output=True, text=True, env=env, timeout=100)
        assert done.returncode == 0, done.stderr
        truth = venue.truth()
    journal = Journal.open(tmp_path / "journal")
    try:
        live = [fact for _, fact in journal.facts()]
        journal_id = journal.id
    finally:
        journal.close()
    replay = Replay(tmp_path / "recording", live, truth["requests"], [SmaCross(), QuoteMaker()], journal_id=journal_id)
    played = canonical(replay.run())
    recorded = canonical(live)
    assert len(recorded["fills"]) >= 2, done.stdout
    for kind in ("intents", "orders", "fills"):
        assert played[kind] == recorded[kind], (kind, replay.latency.missed)
    # Only a query that was under way when the live session ended has no recorded delay.
    queries = {"arrival of TakeSnapshot", "delivery of VenueSnapshot", "arrival of Lookup", "delivery of LookupResult"}
    assert set(replay.latency.missed) <= queries
