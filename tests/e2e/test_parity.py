"""A recorded live session, played again with its own delays, decides the same."""

import signal
from pathlib import Path

import pytest
from tests.e2e.processes import Run

from pyrt.journal import Journal
from pyrt.research.parity import Replay, canonical
from pyrt.strategies.quote_maker import QuoteMaker
from pyrt.strategies.sma_cross import SmaCross
from pyrt.venues.sim.library import simulated_venue


@pytest.mark.row("S003", "S124", "S138")
def test_a_recorded_session_played_again_decides_the_same(tmp_path: Path) -> None:
    with simulated_venue(seed=3) as venue:
        run = Run("--sim-url", venue.url, "--journal", str(tmp_path))
        try:
            said = run.counted(bars=15, fills=2).end(signal.SIGINT)
        finally:
            run.close()
        assert run.process.returncode == 0, run.log
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
    assert len(recorded["fills"]) >= 2, said
    for kind in ("intents", "orders", "fills"):
        assert played[kind] == recorded[kind], (kind, replay.latency.missed)
    # Only a query that was under way when the live session ended has no recorded delay.
    queries = {"arrival of TakeSnapshot", "delivery of VenueSnapshot", "arrival of Lookup", "delivery of LookupResult"}
    assert set(replay.latency.missed) <= queries
