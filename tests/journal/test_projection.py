"""The tables follow from the journal alone: kept up to date, caught up or built again, they are the same."""

import random
import sqlite3
import time

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.journal.facts import FACTS, defined, fill, intended, order

from pyrt import model
from pyrt._core.types import Side
from pyrt.journal import Journal, projection_feed
from pyrt.journal.projection import TABLES, Projection, ProjectionFeed
from pyrt.model import OrderStatus
from pyrt.ports import Sync


def life(seed, n=300):
    """Orders with fills, refusals, latches and alarms, in a plausible mix."""
    rng = random.Random(seed)
    yield defined(1)
    yield model.StrategyNamed(strategy=1, name="sma")
    for number in range(1, n):
        yield intended(number, number)
        yield order(number, OrderStatus.ACCEPTED, ts=number)
        cum = 0
        for _ in range(rng.randrange(3)):
            qty = rng.randrange(1, 10) * 10**9
            cum += qty
            yield fill(number, qty, cum, rng.choice(list(Side)), number)
        yield order(number, OrderStatus.FILLED if cum else OrderStatus.CANCELED, cum, number)
        if number % 20 == 0:
            breaches = (
                model.Breach(code="ORDER_QTY", limit="10", observed="11"),
                model.Breach(code="KILLED", limit="", observed=""),
            )
            yield model.Refused(intent=intended(number).intent, breaches=breaches, ts=number)
            yield model.Latched(level="REDUCING", scope="account", code="DAILY_LOSS", reason="r", who="risk", ts=number)
            yield model.Alarmed(severity="warning", code="X", text="y", ts=number)
            yield model.PositionAdjusted(instrument=1, strategy=0, qty=-5, cost=7, reason="split", ts=number)
            yield model.Recovered(state_hash="ab", unexplained=0, ts=number)


def dump(tables):
    return {name: tables.rows(name) for name in TABLES}


@pytest.fixture
def journal(tmp_path):
    with Journal.open(tmp_path / "j", segment_size=1 << 17) as journal:
        yield journal


def rebuilt(journal):
    tables = Projection(":memory:", journal.id)
    tables.catch_up(journal)
    result = dump(tables)
    tables.close()
    return result


def test_positions_orders_and_refusals_say_what_the_facts_say(journal):
    facts = list(life(1))
    for fact in facts:
        journal.append(fact, Sync.SOON, 0)
    journal.sync(60)
    tables = rebuilt(journal)
    fills = [f for f in facts if isinstance(f, model.Filled)]
    adjusted = [f for f in facts if isinstance(f, model.PositionAdjusted)]
    shares = sum(f.qty if f.side is Side.BUY else -f.qty for f in fills)
    assert tables["positions"] == [(0, 1, sum(f.qty for f in adjusted)), (1, 1, shares)]
    assert len(tables["fills"]) == len(fills)
    statuses = {f.number: f.status.name for f in facts if isinstance(f, model.OrderChanged)}
    assert {row[0]: row[17] for row in tables["orders"]} == statuses
    assert tables["refusals"][0][7:9] == ("ORDER_QTY KILLED", '[["ORDER_QTY", "10", "11"], ["KILLED", "", ""]]')
    assert len(tables["latches"]) == len(tables["alarms"]) == len(tables["notes"]) == len(adjusted)
    assert tables["instruments"] == [(1, "AAPL", "USD", 10_000_000, 10**9, 9, 1)]


def test_a_feed_a_rebuild_and_a_second_run_give_the_same_tables(tmp_path, journal):
    path = tmp_path / "tables.sqlite"
    last = 0
    with ProjectionFeed(journal, path) as feed:
        for fact in life(2):
            last = journal.append(fact, Sync.SOON, 0)
            feed.offer(last, fact)
        assert feed.wait(last, 60)
    assert path.stat().st_mode & 0o777 == 0o600
    tables = Projection(path, journal.id)
    assert tables.seq == last
    first = dump(tables)
    assert first == rebuilt(journal)
    assert tables.apply(list(journal.facts())) == 0  # each fact once
    assert dump(tables) == first
    tables.reset()
    assert not any(dump(tables).values())
    tables.catch_up(journal)
    assert dump(tables) == first
    tables.close()


def test_a_full_queue_is_made_up_from_the_journal(tmp_path, journal):
    path = tmp_path / "tables.sqlite"
    with ProjectionFeed(journal, path, queue=3) as feed:
        for fact in life(3):
            last = journal.append(fact, Sync.SOON, 0)
            feed.offer(last, fact)
        assert feed.let_go > 0
        assert feed.wait(last, 60)
    tables = Projection(path, journal.id)
    assert dump(tables) == rebuilt(journal)
    tables.close()


def test_a_locked_database_delays_nobody_and_is_made_up(tmp_path, journal, monkeypatch):
    monkeypatch.setattr(projection_feed, "RETRY", 0.05)
    path = tmp_path / "tables.sqlite"
    Projection(path, journal.id).close()
    connect = sqlite3.connect
    monkeypatch.setattr(sqlite3, "connect", lambda *a, **k: connect(*a, **{**k, "timeout": 0}))
    other = connect(path, isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    with ProjectionFeed(journal, path) as feed:
        for fact in life(4):
            last = journal.append(fact, Sync.SOON, 0)
            feed.offer(last, fact)
        assert journal.sync(60) == journal.durable
        while not feed.failed:
            time.sleep(0.01)
        assert "locked" in feed.failed
        other.execute("ROLLBACK")
        other.close()
        assert feed.wait(last, 60)
        assert feed.failed == ""
    tables = Projection(path, journal.id)
    assert dump(tables) == rebuilt(journal)
    tables.close()


@pytest.mark.parametrize("content", [b"not a database at all" * 100, b""])
def test_a_ruined_file_is_built_again(tmp_path, journal, monkeypatch, content):
    monkeypatch.setattr(projection_feed, "RETRY", 0.05)
    for fact in life(5, 30):
        last = journal.append(fact, Sync.SOON, 0)
    journal.sync(60)
    path = tmp_path / "tables.sqlite"
    path.write_bytes(content)
    with ProjectionFeed(journal, path) as feed:
        assert feed.wait(last, 60)
    tables = Projection(path, journal.id)
    assert dump(tables) == rebuilt(journal)
    tables.close()


def test_an_error_that_sqlite_gave_no_code_does_not_end_the_thread(tmp_path, journal, monkeypatch):
    """What the module raises by itself (too long a text, a closed connection) carries no number."""
    monkeypatch.setattr(projection_feed, "RETRY", 0.05)
    path, fails = tmp_path / "tables.sqlite", [sqlite3.InterfaceError("no code"), sqlite3.DataError("no code")]
    apply = Projection.apply
    monkeypatch.setattr(Projection, "apply", lambda self, facts: _raise(fails.pop()) if fails else apply(self, facts))
    for fact in life(5):
        last = journal.append(fact, Sync.SOON, 0)
    with ProjectionFeed(journal, path) as feed:
        assert feed.wait(last, 60)
    assert not fails
    monkeypatch.undo()
    tables = Projection(path, journal.id)
    assert dump(tables) == rebuilt(journal)
    tables.close()


def _raise(error: Exception) -> None:
    raise error


def test_the_tables_of_another_journal_or_a_longer_one_are_thrown_away(tmp_path, journal):
    path = tmp_path / "tables.sqlite"
    tables = Projection(path, "another1")
    tables.apply([(1, defined(9, "OLD"))])
    tables.close()
    tables = Projection(path, journal.id)
    assert tables.seq == 0
    assert not any(dump(tables).values())
    tables.apply([(10**6, defined(9, "LOST"))])  # a fact that a loss of power took back
    tables.close()
    last = journal.append(defined(), Sync.BEFORE_ACT, 0)
    journal.sync(60)
    with ProjectionFeed(journal, path) as feed:
        assert feed.wait(last, 60)
    tables = Projection(path, journal.id)
    assert [row[1] for row in tables.rows("instruments")] == ["AAPL"]
    tables.close()


def test_a_failed_batch_leaves_nothing_behind(journal):
    tables = Projection(":memory:", journal.id)
    tables.apply([(1, defined())])
    with pytest.raises(OverflowError):
        tables.apply([(2, defined(2, "B")), (3, model.StrategyNamed(strategy=2**63, name="x"))])
    assert tables.seq == 1
    assert len(tables.rows("instruments")) == 1
    tables.close()


SMALL = st.lists(st.one_of(*FACTS.values()), max_size=12)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(facts=SMALL)
def test_any_facts_apply_or_are_refused_whole(facts):
    tables = Projection(":memory:", "abcdefgh")
    try:
        assert tables.apply(enumerate(facts, 1)) == len(facts)
    except (OverflowError, UnicodeEncodeError):  # a number that SQLite has no room for
        assert tables.seq == 0
        assert not any(tables.rows(name) for name in TABLES if name != "positions")
    tables.close()
