"""The tables in a real PostgreSQL are those of SQLite, row by row, whatever happens to the server."""

import logging
import threading
import time
import uuid
from itertools import pairwise

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.journal.facts import FACTS, defined, fill, intended, order
from tests.journal.test_projection import life

from pyrt import model
from pyrt._core.types import Side
from pyrt.config import Secret
from pyrt.errors import ConfigError, JournalError
from pyrt.journal import Journal, postgres_schema, projection_feed
from pyrt.journal.projection import TABLES, Projection
from pyrt.journal.projection_tables import DEFINED
from pyrt.model import OrderStatus
from pyrt.ports import Sync

psycopg = pytest.importorskip("psycopg", reason="the extra [pg] is not installed")
from pyrt.journal.postgres import Database, PostgresFeed, PostgresTables, check  # noqa: E402

pytestmark = pytest.mark.row("S130")


@pytest.fixture
def journal(tmp_path):
    with Journal.open(tmp_path / "j", segment_size=1 << 17) as journal:
        yield journal


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr(projection_feed, "RETRY", 0.05)
    monkeypatch.setattr(PostgresFeed, "linger", 0.0)


def database(server, schema="", reader="", user="pyrt_writer"):
    return Database(dsn=Secret(server.dsn(user)), schema=schema or f"s{uuid.uuid4().hex}", reader=reader)


def dump(tables):
    return {name: tables.rows(name) for name in TABLES}


def in_sqlite(facts):
    tables = Projection(":memory:", "abcdefgh")
    tables.apply(facts)
    rows = dump(tables)
    tables.close()
    return rows


def in_postgres(where, journal):
    tables = PostgresTables(where, journal.id)
    try:
        return dump(tables)
    finally:
        tables.close()


def feed_all(feed, journal, facts, sync=Sync.SOON):
    last = 0
    for fact in facts:
        last = journal.append(fact, sync, 0)
        feed.offer(last, fact)
    return last


# ------------------------------------------------------------------------------------------------ the same tables
def test_a_feed_and_a_rebuild_give_what_sqlite_holds(postgres, journal, quick):
    where = database(postgres)
    with PostgresFeed(journal, where) as feed:
        last = feed_all(feed, journal, life(1))
        assert feed.wait(last, 60)
    wanted = in_sqlite(list(journal.facts()))
    assert len(wanted["orders"]) == 299
    assert in_postgres(where, journal) == wanted
    tables = PostgresTables(where, journal.id)
    assert tables.seq == last
    assert tables.apply(list(journal.facts())) == 0  # each fact once
    for _ in range(2):
        assert sum(tables.rebuild(journal.facts())) == len(list(journal.facts()))
        assert dump(tables) == wanted
    tables.close()


I64 = st.integers(-(2**63), 2**63 - 1)
NUMBERS = st.integers(1, 4)  # few, so that facts meet the same rows
STATUS = st.sampled_from(OrderStatus)
MEETING = st.one_of(
    st.builds(intended, NUMBERS, st.integers(0, 9)),
    st.builds(order, NUMBERS, STATUS, st.integers(0, 9), st.integers(0, 9)),
    st.builds(
        model.OrderChanged,
        number=NUMBERS,
        status=STATUS,
        venue_order_id=st.sampled_from(["", "v", "w\0"]),
        filled_qty=I64,
        code=I64,
        reason=st.text(),
        tries=I64,
        ts=I64,
    ),
    st.builds(fill, NUMBERS, st.integers(1, 9), st.integers(1, 3), st.sampled_from(Side), st.integers(0, 9)),
    st.builds(defined, NUMBERS, st.text()),
    st.builds(model.StrategyNamed, strategy=NUMBERS, name=st.text()),
    st.builds(
        model.ExternalSeen,
        number=NUMBERS,
        venue_order_id=st.text(max_size=3),
        cid=st.text(max_size=3),
        instrument=I64,
        side=st.sampled_from(Side),
        type=st.sampled_from(model.OrderType),
        tif=st.sampled_from(model.TimeInForce),
        qty=I64,
        limit_px=I64,
        stop_px=I64,
        filled_qty=I64,
        status=STATUS,
        ts=I64,
    ),
)


@pytest.fixture(scope="module")
def shared(_postgres):
    if _postgres.process is None:
        _postgres.start()
    tables = PostgresTables(database(_postgres), "abcdefgh")
    yield tables
    tables.close()


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(facts=st.lists(MEETING, max_size=25), cuts=st.sets(st.integers(0, 25), max_size=4))
def test_any_order_of_facts_in_any_batches_gives_the_same_rows(shared, facts, cuts):
    numbered = list(enumerate(facts, 1))
    wanted = in_sqlite(numbered)
    shared.reset()
    edges = sorted({0, len(numbered), *(c for c in cuts if c < len(numbered))})
    for a, b in pairwise(edges):
        shared.apply(numbered[a:b])
    assert dump(shared) == wanted


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(facts=st.lists(st.one_of(*FACTS.values()), max_size=8))
def test_facts_of_any_content_apply_as_in_sqlite_or_are_refused_whole(shared, facts):
    numbered = list(enumerate(facts, 1))
    try:
        wanted = in_sqlite(numbered)
    except OverflowError:  # a number that neither has room for
        wanted = None
    shared.reset()
    if wanted is None:
        with pytest.raises(psycopg.DataError):
            shared.apply(numbered)
        assert shared.seq == 0
        assert not any(shared.rows(name) for name in TABLES)
        return
    shared.apply(numbered)
    assert {k: v for k, v in dump(shared).items() if k != "positions"} == {k: v for k, v in wanted.items() if k != "positions"}


def test_the_tables_of_the_files_are_those_of_the_definition(postgres, journal):
    where = database(postgres)
    tables = PostgresTables(where, journal.id)
    tables.close()
    with psycopg.connect(postgres.dsn()) as db:
        columns = (
            "SELECT table_name, column_name, data_type, is_nullable FROM information_schema.columns"
            " WHERE table_schema = %s ORDER BY table_name, ordinal_position"
        )
        found = {}
        for table, *column in db.execute(columns, (where.schema,)):
            found.setdefault(table, []).append(tuple(column))
        keys = (
            "SELECT c.relname, a.attname FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid"
            " JOIN pg_namespace n ON n.oid = c.relnamespace JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = ANY(i.indkey)"
            " WHERE n.nspname = %s AND i.indisprimary ORDER BY array_position(i.indkey::int2[], a.attnum)"
        )
        primary = {}
        for table, column in db.execute(keys, (where.schema,)):
            primary.setdefault(table, []).append(column)
    assert set(found) == {*TABLES, "meta", "migrations"}
    for table in DEFINED.values():
        assert found[table.name] == [(n, "text" if k is str else "bigint", "NO") for n, k in table.columns]
        assert primary[table.name] == list(table.names[: table.key])


# ------------------------------------------------------------------------------------------------ versions
def test_a_schema_of_the_version_before_is_brought_up_to_date_and_goes_on(postgres, journal, quick):
    where = database(postgres)
    numbered = [f.version for f in postgres_schema.migrations()]
    assert numbered == list(range(1, len(numbered) + 1))
    with psycopg.connect(postgres.dsn(), autocommit=True) as db:
        assert postgres_schema.migrate(db, where.schema, upto=numbered[-2]) == numbered[-2]
        assert db.execute("SELECT to_regclass(%s)", (f"{where.schema}.positions",)).fetchone() == (None,)
        db.execute(f"INSERT INTO {where.schema}.meta VALUES (1, %s, 0)", (journal.id,))
    with PostgresFeed(journal, where) as feed:
        last = feed_all(feed, journal, life(2, 30))
        assert feed.wait(last, 60)
    assert in_postgres(where, journal) == in_sqlite(list(journal.facts()))
    with psycopg.connect(postgres.dsn()) as db:
        assert [row[0] for row in db.execute(f"SELECT version FROM {where.schema}.migrations ORDER BY 1")] == numbered


def test_a_migration_that_fails_leaves_the_schema_as_it_was(postgres, journal, monkeypatch):
    where = database(postgres)
    steps = postgres_schema.migrations()
    bad = postgres_schema.Migration(len(steps) + 1, "bad", "CREATE TABLE half (a int); SELECT 1/0;")
    PostgresTables(where, journal.id).close()
    with monkeypatch.context() as patch:
        patch.setattr(postgres_schema, "migrations", lambda: [*steps, bad])
        with pytest.raises(psycopg.errors.DivisionByZero):
            PostgresTables(where, journal.id)
    with psycopg.connect(postgres.dsn()) as db:
        assert db.execute("SELECT to_regclass(%s)", (f"{where.schema}.half",)).fetchone() == (None,)
    PostgresTables(where, journal.id).close()


def test_a_newer_schema_and_the_tables_of_another_journal_are_left_alone(postgres, journal):
    where = database(postgres)
    tables = PostgresTables(where, journal.id)
    tables.apply([(1, defined())])
    with pytest.raises(JournalError, match="holds the tables of the journal"):
        PostgresTables(where, "zzzzzzzz")
    assert len(tables.rows("instruments")) == 1
    tables.close()
    with psycopg.connect(postgres.dsn(), autocommit=True) as db:
        db.execute(f"INSERT INTO {where.schema}.migrations VALUES (99, 'later')")
    with pytest.raises(JournalError, match="of version 99"):
        PostgresTables(where, journal.id)


def test_without_a_name_each_journal_has_a_schema_of_its_own():
    assert Database(dsn=Secret("")).schema_of("abcdefgh") == "pyrt_abcdefgh"


def test_a_second_writer_never_applies_a_fact_twice(postgres, journal):
    where = database(postgres)
    one, other = PostgresTables(where, journal.id), PostgresTables(where, journal.id)
    facts = list(enumerate(life(3, 20), 1))
    one.apply(facts[:30])
    with pytest.raises(JournalError, match="another process"):
        other.apply(facts[:30])
    other.close()
    other = PostgresTables(where, journal.id)
    other.apply(facts)
    assert dump(other) == in_sqlite(facts)
    one.close()
    other.close()


def test_tables_ahead_of_a_journal_that_a_loss_of_power_cut_back_begin_again(postgres, journal, quick):
    where = database(postgres)
    tables = PostgresTables(where, journal.id)
    tables.apply([(10**6, defined(9, "LOST"))])
    tables.close()
    with PostgresFeed(journal, where) as feed:
        last = feed_all(feed, journal, [defined()])
        assert feed.wait(last, 60)
        while feed.seq != last:
            time.sleep(0.01)
    assert [row[1] for row in in_postgres(where, journal)["instruments"]] == ["AAPL"]


# ------------------------------------------------------------------------------------------------ rights and secrets
@pytest.mark.row("S130")
def test_a_reader_reads_and_writes_nothing_and_nobody_is_a_superuser(postgres, journal):
    where = database(postgres, reader="pyrt_reader")
    tables = PostgresTables(where, journal.id)
    tables.apply(list(enumerate(life(4, 10), 1)))
    tables.close()
    with psycopg.connect(postgres.dsn("pyrt_reader"), autocommit=True) as db:
        assert db.execute(f"SELECT count(*) FROM {where.schema}.positions").fetchone() == (1,)
        for text in ("DELETE FROM {}.fills", "UPDATE {}.meta SET seq = 0", "CREATE TABLE {}.x (a int)", "TRUNCATE {}.orders"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                db.execute(text.format(where.schema))
        assert db.execute("SELECT count(*) FROM pg_roles WHERE rolsuper AND rolname LIKE 'pyrt%'").fetchone() == (0,)


def test_names_and_texts_are_never_read_as_sql(postgres, journal):
    evil = "x'; DROP SCHEMA public CASCADE; --\"\\.\n\t$1 %s"
    where = database(postgres, schema='a"; DROP TABLE meta; --' + uuid.uuid4().hex)
    tables = PostgresTables(where, journal.id)
    facts = [
        (1, defined(1, evil)),
        (2, model.Alarmed(severity="warning", code="X", text=evil, ts=1)),
        (3, model.Refused(intent=intended(1).intent, breaches=(model.Breach(code=evil, limit=evil, observed=evil),), ts=1)),
    ]
    tables.apply(facts)
    assert dump(tables) == in_sqlite(facts)
    tables.close()


@pytest.mark.parametrize(
    "dsn",
    ["hunter2secret", "postgresql://u:hunter2secret@x@h/d", "postgresql://u:a/hunter2secret@h/d", "", "host=h hunter2secret"],
)
def test_a_dsn_that_cannot_be_read_is_not_repeated(dsn):
    with pytest.raises(ConfigError) as e:
        check(Database(dsn=Secret(dsn)))
    assert "ter2secret" not in str(e.value)
    assert e.value.__cause__ is None
    assert "secret" not in repr(Database(dsn=Secret(dsn)))


def test_an_absent_server_is_said_once_without_the_password(tmp_path, journal, quick, caplog, monkeypatch):
    tries = []
    connect = psycopg.connect
    monkeypatch.setattr(psycopg, "connect", lambda *args, **more: tries.append(1) or connect(*args, **more))
    where = Database(dsn=Secret(f"postgresql://u:Correct-Horse-Battery-77@/d?host={tmp_path}"))
    with caplog.at_level(logging.INFO), PostgresFeed(journal, where) as feed:
        feed_all(feed, journal, life(5, 30))
        journal.sync(60)
        give_up = time.monotonic() + 60
        while len(tries) < 5:
            assert time.monotonic() < give_up, tries
            time.sleep(0.01)
    behind = [r for r in caplog.records if "is behind" in r.getMessage()]
    assert len(behind) == 1
    assert "Horse" not in caplog.text
    assert "Horse" not in feed.failed


# ------------------------------------------------------------------------------------------------ faults (F24)
def hang(name, server, where):
    """Make the database hang; what ends it."""
    if name == "frozen":
        server.freeze()
        return server.thaw
    if name == "killed":
        server.kill()
        return server.start
    other = psycopg.connect(server.dsn())
    tables = {"locked": f"LOCK TABLE {where.schema}.fills", "row": f"SELECT * FROM {where.schema}.meta FOR UPDATE"}
    other.execute(tables[name])
    return other.close


def drill(postgres, journal, name, seed, n=120):
    """Facts before, while the database hangs, and after; everything is there in the end, and the journal never waited."""
    where = database(postgres)
    facts = list(life(seed, n))
    third = len(facts) // 3
    with PostgresFeed(journal, where, queue=50) as feed:
        last = feed_all(feed, journal, facts[:third])
        assert feed.wait(last, 60)
        end = hang(name, postgres, where)
        try:
            last = feed_all(feed, journal, facts[third : 2 * third])
            journal.sync(60)  # everything is durable while the database answers nothing
            durable_meanwhile = journal.durable
            assert durable_meanwhile >= last > feed.seq
            assert feed.let_go > 0  # more facts than the queue has room for
        finally:
            end()
        last = feed_all(feed, journal, facts[2 * third :])
        assert feed.wait(last, 60)
        assert feed.failed == ""
    assert in_postgres(where, journal) == in_sqlite(list(journal.facts()))
    return third


@pytest.mark.parametrize("name", ["frozen", "killed", "locked", "row"])
def test_trading_goes_on_while_the_database_hangs_and_nothing_is_missing_after(postgres, journal, quick, name):
    drill(postgres, journal, name, 7)


@pytest.mark.nightly
@pytest.mark.timeout(3600)
def test_a_hundred_drills(postgres, tmp_path, quick):
    for seed in range(100):
        with Journal.open(tmp_path / f"j{seed}", segment_size=1 << 17) as journal:
            drill(postgres, journal, ["frozen", "killed", "locked", "row"][seed % 4], seed, 60)


def test_a_server_that_never_answers_again_is_given_up_and_said_so(postgres, journal, quick, caplog):
    where = database(postgres)
    with PostgresFeed(journal, where, stalled=0.5) as feed:
        assert feed.wait(feed_all(feed, journal, [defined()]), 60)
        postgres.freeze()
        try:
            last = feed_all(feed, journal, life(8, 20))
            journal.sync(60)
            while not feed.failed:
                time.sleep(0.01)
            assert "no answer within 0.5 s" in caplog.text
        finally:
            postgres.thaw()
        assert feed.wait(last, 60)
    assert in_postgres(where, journal) == in_sqlite(list(journal.facts()))


def test_the_end_of_a_session_does_not_wait_for_a_frozen_server(postgres, journal, quick, monkeypatch):
    monkeypatch.setattr(PostgresFeed, "patience", 0.2)
    where = database(postgres)
    feed = PostgresFeed(journal, where)
    assert feed.wait(feed_all(feed, journal, [defined()]), 60)
    postgres.freeze()
    try:
        last = feed_all(feed, journal, life(9, 20))
        journal.sync(60)
        closed = threading.Thread(target=feed.close)
        closed.start()
        closed.join(60)  # the server is frozen until this has ended
        assert not closed.is_alive()
    finally:
        postgres.thaw()
    with PostgresFeed(journal, where) as feed:  # the next run makes it up
        assert feed.wait(last, 60)
    assert in_postgres(where, journal) == in_sqlite(list(journal.facts()))
