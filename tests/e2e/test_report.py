"""The report of a day of a real session, killed once on the way, against the venue's truth and against a replay of its journal."""

import signal
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pytest
import requests
from tests.cli.processes import call
from tests.e2e.processes import HEADERS, Run, wait_for
from tests.live.test_day_report import Page

from pyrt.cli.state import read_past
from pyrt.live.day_report import DayReport, read_report
from pyrt.model import money
from pyrt.venues.sim.exchange.activities import Fees
from pyrt.venues.sim.library import SimulatedVenue
from pyrt.venues.sim.server.config import DEMO_KEY, DEMO_SECRET, SimConfig


@pytest.fixture
def taxed() -> Iterator[SimulatedVenue]:
    """A venue where sales cost something."""
    fees = Fees(sec_per_million="27.80", taf_per_share="0.000166", taf_max="8.30")
    venue = SimulatedVenue(SimConfig(key=DEMO_KEY, secret=DEMO_SECRET, rate_limit=0, seed=5, fees=fees))
    yield venue
    venue.close()


def session(venue: SimulatedVenue, state: Path, options: list[str]) -> Run:
    fixed = ["--sim-url", venue.url, "--sim-state", str(state), "--rate-limit", "0", "--deadline", "1", "--settle", "1"]
    return Run(*fixed, *options)


def only_report(state: Path) -> tuple[DayReport, str]:
    """The last report there is, and its day: New York's midnight may pass while this runs."""
    day = max(p.stem for p in (state / "reports").glob("*.json"))
    report = read_report(state, day)
    assert report is not None
    return report, day


def test_a_day_with_a_kill_in_it_is_as_the_venue_has_it(taxed: SimulatedVenue, busy: list[str], tmp_path: Path) -> None:
    state = tmp_path / "home"
    run = session(taxed, state, busy).until("trading:")
    wait_for(lambda: len(taxed.truth()["fills"]) > 5, "fills")
    run.kill()
    run = session(taxed, state, busy).until("trading:")
    before = len(taxed.truth()["fills"])
    wait_for(lambda: len(taxed.truth()["fills"]) > before + 10, "fills after the kill")
    run.end(signal.SIGINT)
    assert run.process.returncode == 0, run.log
    report, day = only_report(state)
    books, truth = report.books, taxed.truth()
    assert report.clean, report.reconciled
    assert f"report of {day}" in run.log
    assert len(report.times.runs) == 2
    # the venue's own record, summed up here
    flow, held = Decimal(100_000), dict[str, Decimal]()
    for fill in truth["fills"]:
        signed = Decimal(fill["qty"]) * (1 if fill["side"] == "buy" else -1)
        flow -= signed * Decimal(fill["price"])
        held[fill["symbol"]] = held.get(fill["symbol"], Decimal(0)) + signed
    charged = -sum(Decimal(entry["net_amount"]) for entry in truth["entries"])
    assert charged > 0
    assert books.fees == charged
    assert books.cash == flow - charged
    assert {p.symbol: p.quantity for p in books.positions if p.quantity} == {s: q for s, q in held.items() if q}
    assert {(f.venue_order_id, f.price, f.quantity) for f in books.fills} == {
        (f["order_id"], Decimal(f["price"]), Decimal(f["qty"])) for f in truth["fills"]
    }
    assert {o.cid for o in books.orders} >= {o["client_order_id"] for o in truth["orders"]}
    assert report.unrealised is not None
    worth = sum((p.quantity * p.mark for p in books.positions if p.mark is not None), Decimal(0))
    assert books.cash + worth - 100_000 == report.net + report.unrealised
    # a replay of the journal
    past = read_past(state).session.risk.pnl()
    assert money(past.realised) == books.realised
    Page((state / "reports" / f"{day}.html").read_text())
    # what is done behind our back is shown
    order = {"symbol": "AAPL", "qty": "1", "side": "buy", "type": "market", "time_in_force": "day"}
    assert requests.post(f"{taxed.url}/v2/orders", json=order, headers=HEADERS, timeout=30).ok
    wait_for(lambda: len(taxed.truth()["fills"]) > len(truth["fills"]), "a fill that is not ours")
    done = call(tmp_path, "report", "--state", str(state), "--day", day, "--sim-url", taxed.url, keys=True)
    assert done.returncode == 1, done.stdout + done.stderr
    shown, _ = only_report(state)
    assert {d.what for d in shown.reconciled.differences} >= {"fill", "order", "position", "cash"}


def test_a_day_that_is_none_is_refused_and_a_venue_that_was_not_named_is_not_asked(tmp_path: Path) -> None:
    from tests.live.test_day_report import DAYS, journaled, life

    state = journaled(tmp_path / "state", life(1))
    for bad in ("2026-02-30", "yesterday", "20260302"):
        done = call(tmp_path, "report", "--state", str(state), "--day", bad)
        assert (done.returncode, len(done.stderr.splitlines())) == (1, 1)
        assert "is no day" in done.stderr
    done = call(tmp_path, "report", "--state", str(state))
    assert done.returncode == 3
    assert "the venue was not asked" in done.stdout
    assert [p.stem for p in (state / "reports").glob("*.html")] == [DAYS[2]]
