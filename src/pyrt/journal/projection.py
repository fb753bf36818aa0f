"""The journal as SQL tables: for people, reports and the command line; nothing that trades reads them.

Everything in the file follows from the journal: it holds the seq of the last fact applied, in the same transaction, so a fact is
applied once; lost, damaged or of another journal, it is built again. Quantities and prices are the model's integers.
"""

import json
import logging
import os
import sqlite3
import threading
from collections import deque
from collections.abc import Callable, Iterable
from itertools import islice
from pathlib import Path
from typing import Any, Self

import msgspec

from pyrt import model
from pyrt.errors import JournalError
from pyrt.journal.journal import Journal
from pyrt.model import Fact, OrderStatus

SCHEMA = 1
BATCH = 2_000  # facts in one transaction
RETRY = 1.0  # s, after an error of SQLite

_TABLES = """
CREATE TABLE meta (one INTEGER PRIMARY KEY CHECK (one = 1), schema INTEGER NOT NULL, journal TEXT NOT NULL,
  seq INTEGER NOT NULL) STRICT;
CREATE TABLE instruments (id INTEGER PRIMARY KEY, symbol TEXT NOT NULL, currency TEXT NOT NULL, tick INTEGER NOT NULL,
  lot INTEGER NOT NULL, qty_exp INTEGER NOT NULL, multiplier INTEGER NOT NULL) STRICT;
CREATE TABLE strategies (id INTEGER PRIMARY KEY, name TEXT NOT NULL) STRICT;
CREATE TABLE orders (number INTEGER PRIMARY KEY, seq INTEGER NOT NULL, strategy INTEGER NOT NULL, source INTEGER NOT NULL,
  instrument INTEGER NOT NULL, side TEXT NOT NULL, type TEXT NOT NULL, tif TEXT NOT NULL, qty INTEGER NOT NULL,
  limit_px INTEGER NOT NULL, stop_px INTEGER NOT NULL, reduce_only INTEGER NOT NULL, replaces INTEGER NOT NULL,
  root INTEGER NOT NULL, cid TEXT NOT NULL, ref_px INTEGER NOT NULL, ts INTEGER NOT NULL, status TEXT NOT NULL,
  venue_order_id TEXT NOT NULL DEFAULT '', filled_qty INTEGER NOT NULL DEFAULT 0, code INTEGER NOT NULL DEFAULT 0,
  reason TEXT NOT NULL DEFAULT '', tries INTEGER NOT NULL DEFAULT 0, changed_ts INTEGER NOT NULL) STRICT;
CREATE TABLE fills (venue_order_id TEXT NOT NULL, cum_qty INTEGER NOT NULL, seq INTEGER NOT NULL, number INTEGER NOT NULL,
  strategy INTEGER NOT NULL, instrument INTEGER NOT NULL, side TEXT NOT NULL, px INTEGER NOT NULL, qty INTEGER NOT NULL,
  fee INTEGER NOT NULL, execution_id TEXT NOT NULL, activity_id TEXT NOT NULL, source TEXT NOT NULL, ts INTEGER NOT NULL,
  PRIMARY KEY (venue_order_id, cum_qty)) STRICT;
CREATE INDEX fills_by_order ON fills (number);
CREATE TABLE adjustments (seq INTEGER PRIMARY KEY, strategy INTEGER NOT NULL, instrument INTEGER NOT NULL, qty INTEGER NOT NULL,
  cost INTEGER NOT NULL, reason TEXT NOT NULL, ts INTEGER NOT NULL) STRICT;
CREATE TABLE refusals (seq INTEGER PRIMARY KEY, strategy INTEGER NOT NULL, source INTEGER NOT NULL, instrument INTEGER NOT NULL,
  side TEXT NOT NULL, type TEXT NOT NULL, qty INTEGER NOT NULL, codes TEXT NOT NULL, breaches TEXT NOT NULL,
  ts INTEGER NOT NULL) STRICT;
CREATE TABLE latches (seq INTEGER PRIMARY KEY, level TEXT NOT NULL, scope TEXT NOT NULL, code TEXT NOT NULL, reason TEXT NOT NULL,
  who TEXT NOT NULL, ts INTEGER NOT NULL) STRICT;
CREATE TABLE alarms (seq INTEGER PRIMARY KEY, severity TEXT NOT NULL, code TEXT NOT NULL, text TEXT NOT NULL,
  ts INTEGER NOT NULL) STRICT;
CREATE TABLE notes (seq INTEGER PRIMARY KEY, kind TEXT NOT NULL, content TEXT NOT NULL) STRICT;
CREATE VIEW positions AS
  SELECT strategy, instrument, SUM(qty) AS qty FROM (
    SELECT strategy, instrument, CASE side WHEN 'BUY' THEN qty ELSE -qty END AS qty FROM fills
    UNION ALL SELECT strategy, instrument, qty FROM adjustments)
  GROUP BY strategy, instrument;
"""
TABLES = ("instruments", "strategies", "orders", "fills", "adjustments", "refusals", "latches", "alarms", "notes", "positions")

log = logging.getLogger(__name__)


class Projection:
    """The tables in one SQLite file (":memory:" for none). Not for several threads. Methods raise sqlite3.Error."""

    def __init__(self, path: Path | str, journal: str) -> None:
        if str(path) != ":memory:":
            os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))  # SQLite's other files take its mode
        self._db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        try:
            self._db.execute("PRAGMA journal_mode = WAL")
            self._db.execute("PRAGMA synchronous = NORMAL")
            tables = self._db.execute("SELECT count(*) FROM sqlite_master WHERE name = 'meta'").fetchone()[0]
            meta = self._db.execute("SELECT schema, journal, seq FROM meta").fetchone() if tables else None
            if meta is None or meta[:2] != (SCHEMA, journal):
                self._create(journal)
                meta = (SCHEMA, journal, 0)
        except BaseException:
            self._db.close()
            raise
        self.journal = journal
        self.seq: int = meta[2]

    def _create(self, journal: str) -> None:
        ours = "type IN ('table', 'view') AND name NOT LIKE 'sqlite_%'"
        names = self._db.execute(f"SELECT type, name FROM sqlite_master WHERE {ours}")  # noqa: S608
        old = "".join(f'DROP {kind} "{name}";' for kind, name in sorted(names, reverse=True))  # names of our own file; views first
        self._db.executescript(f"BEGIN; {old} {_TABLES} COMMIT;")
        self._db.execute("INSERT INTO meta VALUES (1, ?, ?, 0)", (SCHEMA, journal))

    def reset(self) -> None:
        """Forget everything: the tables begin at the journal's first fact again."""
        self._create(self.journal)
        self.seq = 0

    def apply(self, facts: Iterable[tuple[int, Fact]]) -> int:
        """Take in (seq, fact) pairs, in order, in one transaction; those already there are passed over. How many were new."""
        new, seq = 0, self.seq
        self._db.execute("BEGIN IMMEDIATE")
        try:
            for number, fact in facts:
                if number > seq:
                    self._fact(number, fact)
                    new, seq = new + 1, number
            self._db.execute("UPDATE meta SET seq = ?", (seq,))
            self._db.execute("COMMIT")
        except BaseException:
            self._db.execute("ROLLBACK")
            raise
        self.seq = seq
        return new

    def catch_up(self, journal: Journal, upto: int | None = None) -> int:
        """Apply what the journal has beyond `seq`, in batches. How many facts were new. Raises JournalError too."""
        limit = journal.durable if upto is None else upto
        facts = ((seq, fact) for seq, fact in journal.facts(self.seq) if seq <= limit)
        new = 0
        while batch := list(islice(facts, BATCH)):
            new += self.apply(batch)
        return new

    def rows(self, table: str) -> list[tuple[Any, ...]]:
        """The rows of one of TABLES, sorted."""
        if table not in TABLES:
            raise ValueError(f"no table {table!r}; there are {', '.join(TABLES)}")
        return sorted(self._db.execute(f"SELECT * FROM {table}"))  # noqa: S608 -- a name from TABLES

    def close(self) -> None:
        """Let the file go."""
        self._db.close()

    def _fact(self, seq: int, fact: Fact) -> None:
        project = _PROJECTORS.get(type(fact), _note)
        for sql, values in project(seq, fact):
            self._db.execute(sql, values)


Statement = tuple[str, tuple[Any, ...]]


def _insert(table: str, *values: Any) -> Statement:
    return f"INSERT OR REPLACE INTO {table} VALUES ({', '.join('?' * len(values))})", values  # noqa: S608 -- our own table names


def _defined(seq: int, f: model.Defined) -> list[Statement]:
    i = f.instrument
    return [_insert("instruments", i.id, i.symbol, i.currency, i.tick, i.lot, i.qty_exp, i.multiplier)]


def _strategy(seq: int, f: model.StrategyNamed) -> list[Statement]:
    return [_insert("strategies", f.strategy, f.name)]


def _order(number: int, seq: int, **values: Any) -> Statement:
    columns = {"number": number, "seq": seq, **values}
    marks = ", ".join("?" * len(columns))
    return f"INSERT OR REPLACE INTO orders ({', '.join(columns)}) VALUES ({marks})", tuple(columns.values())  # noqa: S608


def _intended(seq: int, f: model.Intended) -> list[Statement]:
    i = f.intent
    return [
        _order(
            f.number,
            seq,
            strategy=i.strategy,
            source=i.source,
            instrument=i.instrument,
            side=i.side.name,
            type=i.type.name,
            tif=i.tif.name,
            qty=i.qty,
            limit_px=i.limit_px,
            stop_px=i.stop_px,
            reduce_only=int(i.reduce_only),
            replaces=f.replaces,
            root=f.root,
            cid="",
            ref_px=f.ref_px,
            ts=f.ts,
            status=OrderStatus.INTENT.name,
            changed_ts=f.ts,
        )
    ]


def _external(seq: int, f: model.ExternalSeen) -> list[Statement]:
    return [
        _order(
            f.number,
            seq,
            strategy=model.EXTERNAL,
            source=f.number,
            instrument=f.instrument,
            side=f.side.name,
            type=f.type.name,
            tif=f.tif.name,
            qty=f.qty,
            limit_px=f.limit_px,
            stop_px=f.stop_px,
            reduce_only=0,
            replaces=0,
            root=f.number,
            cid=f.cid,
            ref_px=0,
            ts=f.ts,
            status=f.status.name,
            venue_order_id=f.venue_order_id,
            filled_qty=f.filled_qty,
            changed_ts=f.ts,
        )
    ]


def _changed(seq: int, f: model.OrderChanged) -> list[Statement]:
    sql = (
        "UPDATE orders SET status = ?, venue_order_id = CASE ? WHEN '' THEN venue_order_id ELSE ? END,"
        " filled_qty = max(filled_qty, ?), code = ?, reason = ?, tries = ?, changed_ts = ? WHERE number = ?"
    )
    ids = (f.venue_order_id, f.venue_order_id)
    return [(sql, (f.status.name, *ids, f.filled_qty, f.code, f.reason, f.tries, f.ts, f.number))]


def _filled(seq: int, f: model.Filled) -> list[Statement]:
    numbers = (f.number, f.strategy, f.instrument, f.side.name, f.px, f.qty, f.fee)
    return [
        _insert("fills", f.venue_order_id, f.cum_qty, seq, *numbers, f.execution_id, f.activity_id, f.source, f.ts),
        ("UPDATE orders SET filled_qty = max(filled_qty, ?) WHERE number = ?", (f.cum_qty, f.number)),
    ]


def _adjusted(seq: int, f: model.PositionAdjusted) -> list[Statement]:
    return [_insert("adjustments", seq, f.strategy, f.instrument, f.qty, f.cost, f.reason, f.ts)]


def _refused(seq: int, f: model.Refused) -> list[Statement]:
    i = f.intent
    codes = " ".join(b.code for b in f.breaches)
    breaches = json.dumps([[b.code, b.limit, b.observed] for b in f.breaches])
    what = (i.strategy, i.source, i.instrument, i.side.name, i.type.name, i.qty)
    return [_insert("refusals", seq, *what, codes, breaches, f.ts)]


def _latched(seq: int, f: model.Latched) -> list[Statement]:
    return [_insert("latches", seq, f.level, f.scope, f.code, f.reason, f.who, f.ts)]


def _alarmed(seq: int, f: model.Alarmed) -> list[Statement]:
    return [_insert("alarms", seq, f.severity, f.code, f.text, f.ts)]


def _note(seq: int, f: Fact) -> list[Statement]:
    return [_insert("notes", seq, type(f).__name__, msgspec.json.encode(f).decode())]


_PROJECTORS: dict[type, Callable[[int, Any], list[Statement]]] = {
    model.Defined: _defined,
    model.StrategyNamed: _strategy,
    model.Intended: _intended,
    model.ExternalSeen: _external,
    model.OrderChanged: _changed,
    model.Filled: _filled,
    model.PositionAdjusted: _adjusted,
    model.Refused: _refused,
    model.Latched: _latched,
    model.Alarmed: _alarmed,
}


class ProjectionFeed:
    """Keeps a projection up to date on a thread of its own; it never holds the journal up.

    `offer` each appended fact. Where the queue is full the feed lets facts go and reads them from the journal later. Only what is
    durable is applied, so the tables never hold a fact that a crash takes back.
    """

    def __init__(self, journal: Journal, path: Path | str, *, queue: int = 10_000) -> None:
        self.failed = ""  # the last error of SQLite; "" once it works again
        self.let_go = 0  # facts that the queue had no room for
        self._journal, self._path, self._limit = journal, path, queue
        self._queue: deque[tuple[int, Fact]] = deque()
        self._behind = True  # the queue does not continue what the tables hold: read the journal
        self._seq = 0
        self._moved = threading.Condition()
        self._news = threading.Event()
        self._closing = False
        journal.on_durable(lambda durable, error: self._news.set())
        self._thread = threading.Thread(target=self._work, name="projection", daemon=True)
        self._news.set()
        self._thread.start()

    def offer(self, seq: int, fact: Fact) -> None:
        """Hand over an appended fact, at once and whatever happens."""
        if self._behind or len(self._queue) >= self._limit:
            self._behind = True
            self.let_go += 1
        else:
            self._queue.append((seq, fact))

    @property
    def seq(self) -> int:
        """The last seq in the tables."""
        return self._seq

    def wait(self, seq: int, timeout: float) -> bool:
        """Wait until the tables hold everything up to `seq`; False at the time-out."""
        with self._moved:
            return self._moved.wait_for(lambda: self._seq >= seq, timeout)

    def close(self) -> None:
        """Apply what is durable, as far as that works at once, and end. Before the journal is closed."""
        self._closing = True
        self._news.set()
        self._thread.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _work(self) -> None:
        while True:
            closing = self._closing  # seen before the work, so that a last round follows
            try:
                projection = Projection(self._path, self._journal.id)
                try:
                    self._follow(projection)
                    return
                finally:
                    projection.close()
            except (sqlite3.Error, OSError, OverflowError, JournalError) as e:
                self._behind = True
                if isinstance(e, sqlite3.Error) and e.sqlite_errorcode in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
                    self._discard()
                if not self.failed:
                    log.warning("%s: the projection is behind: %s", self._path, e)
                self.failed = str(e)
                if closing:
                    return
                self._news.clear()
                if not self._closing:
                    self._news.wait(RETRY)

    def _follow(self, projection: Projection) -> None:
        if projection.seq > self._journal.durable:  # of a journal that a loss of power cut back
            projection.reset()
        while True:
            closing = self._closing
            self._news.clear()
            if self._behind or closing:
                self._reread(projection)
            durable = self._journal.durable
            batch: list[tuple[int, Fact]] = []
            while self._queue and self._queue[0][0] <= durable and len(batch) < BATCH:
                batch.append(self._queue.popleft())
            if batch:
                projection.apply(batch)
            self._tell(projection.seq)
            if closing:
                return
            if not batch:
                self._news.wait(RETRY)

    def _discard(self) -> None:
        for suffix in ("", "-wal", "-shm"):
            Path(f"{self._path}{suffix}").unlink(missing_ok=True)

    def _reread(self, projection: Projection) -> None:
        # From here on the queue takes facts again; all older ones have a seq up to `wanted` and are read once they are durable.
        self._queue.clear()
        self._behind = False
        wanted = self._journal.seq
        while self._journal.durable < wanted and self._journal.failed is None and not self._closing:
            self._news.wait(RETRY)
            self._news.clear()
        projection.catch_up(self._journal)
        self._tell(projection.seq)

    def _tell(self, seq: int) -> None:
        self.failed = ""
        with self._moved:
            self._seq = max(self._seq, seq)
            self._moved.notify_all()
