"""What the journal's tables are, whatever database holds them: their columns, and what each fact does to them.

A database knows two things only: how to put a row (it takes the place of the one with the same key) and how to change an order.
Quantities and prices are the model's integers.
"""

import json
import time
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Any, NamedTuple, Protocol, TypeVar

import msgspec

from pyrt import model
from pyrt.journal.journal import Journal
from pyrt.model import Fact, OrderStatus

BATCH = 2_000  # facts in one transaction
Row = tuple[int | str, ...]


class Table(NamedTuple):
    """One table: its columns with their kind, and how many of the first make the key."""

    name: str
    columns: tuple[tuple[str, type], ...]
    key: int

    @property
    def names(self) -> tuple[str, ...]:
        """The columns in order."""
        return tuple(name for name, _ in self.columns)


def _table(name: str, columns: str, key: int = 1) -> Table:
    """A column whose name ends in a quote holds text, every other one an integer."""
    return Table(name, tuple((c.rstrip("'"), str if c.endswith("'") else int) for c in columns.split()), key)


DEFINED = {
    table.name: table
    for table in (
        _table("instruments", "id symbol' currency' tick lot qty_exp multiplier"),
        _table("strategies", "id name'"),
        _table(
            "orders",
            "number seq strategy source instrument side' type' tif' qty limit_px stop_px reduce_only replaces root cid' ref_px ts"
            " status' venue_order_id' filled_qty code reason' tries changed_ts",
        ),
        _table(
            "fills",
            "venue_order_id' cum_qty seq number strategy instrument side' px qty fee execution_id' activity_id' source' ts",
            key=2,
        ),
        _table("adjustments", "seq strategy instrument qty cost reason' ts"),
        _table("refusals", "seq strategy source instrument side' type' qty codes' breaches' ts"),
        _table("latches", "seq level' scope' code' reason' who' ts"),
        _table("alarms", "seq severity' code' text' ts"),
        _table("notes", "seq kind' content'"),
    )
}
POSITIONS = """CREATE VIEW positions AS
  SELECT strategy, instrument, SUM(qty) AS qty FROM (
    SELECT strategy, instrument, CASE side WHEN 'BUY' THEN qty ELSE -qty END AS qty FROM fills
    UNION ALL SELECT strategy, instrument, qty FROM adjustments) AS moves
  GROUP BY strategy, instrument"""
TABLES = (*DEFINED, "positions")
_ORDER = {name: at for at, name in enumerate(DEFINED["orders"].names)}


class Change(NamedTuple):
    """What becomes of an order; None leaves a column as it is, and the filled quantity only grows."""

    number: int
    filled_qty: int
    status: str | None = None
    venue_order_id: str | None = None
    code: int | None = None
    reason: str | None = None
    tries: int | None = None
    changed_ts: int | None = None

    def then(self, later: "Change") -> "Change":
        """Both, one after the other, as one."""
        rest = (new if new is not None else old for old, new in zip(self[2:], later[2:], strict=True))
        return Change(self.number, max(self.filled_qty, later.filled_qty), *rest)  # type: ignore[arg-type]

    def of(self, row: Row) -> Row:
        """A row of `orders` after it."""
        changed = list(row)
        for name, value in zip(self._fields[2:], self[2:], strict=True):
            if value is not None:
                changed[_ORDER[name]] = value
        at = _ORDER["filled_qty"]
        changed[at] = max(int(row[at]), self.filled_qty)
        return tuple(changed)


class Put(NamedTuple):
    """A row that takes the place of the one with its key."""

    table: str
    row: Row


class Batch(NamedTuple):
    """What many facts come to: for each table the last row of each key, and the changes of orders that are not among them."""

    rows: dict[str, dict[Row, Row]]
    changes: dict[int, Change]


def fold(facts: Iterable[tuple[int, Fact]]) -> Batch:
    """What (seq, fact) pairs do to the tables, taken together."""
    rows: dict[str, dict[Row, Row]] = {name: {} for name in DEFINED}
    orders = rows["orders"]
    changes: dict[int, Change] = {}
    for seq, fact in facts:
        for step in steps(seq, fact):
            if isinstance(step, Change):
                if (row := orders.get((step.number,))) is not None:
                    orders[(step.number,)] = step.of(row)
                else:
                    old = changes.get(step.number)
                    changes[step.number] = old.then(step) if old else step
            else:
                rows[step.table][step.row[: DEFINED[step.table].key]] = step.row
                if step.table == "orders":
                    changes.pop(int(step.row[0]), None)
    return Batch(rows, changes)


def steps(seq: int, fact: Fact) -> list[Put | Change]:
    """What one fact does, in order."""
    return _STEPS.get(type(fact), _note)(seq, fact)


def _put(table: str, *values: int | str) -> Put:
    # A zero byte is text for SQLite and for JSON, not for PostgreSQL; both tables say the same.
    return Put(table, tuple(v.replace("\0", "␀") if isinstance(v, str) else int(v) for v in values))


def _defined(seq: int, f: model.Defined) -> list[Put | Change]:
    i = f.instrument
    return [_put("instruments", i.id, i.symbol, i.currency, i.tick, i.lot, i.qty_exp, i.multiplier)]


def _strategy(seq: int, f: model.StrategyNamed) -> list[Put | Change]:
    return [_put("strategies", f.strategy, f.name)]


def _intended(seq: int, f: model.Intended) -> list[Put | Change]:
    i = f.intent
    who = (f.number, seq, i.strategy, i.source, i.instrument)
    what = (i.side.name, i.type.name, i.tif.name, i.qty, i.limit_px, i.stop_px, i.reduce_only, f.replaces, f.root)
    return [_put("orders", *who, *what, "", f.ref_px, f.ts, OrderStatus.INTENT.name, "", 0, 0, "", 0, f.ts)]


def _external(seq: int, f: model.ExternalSeen) -> list[Put | Change]:
    who = (f.number, seq, model.EXTERNAL, f.number, f.instrument)
    what = (f.side.name, f.type.name, f.tif.name, f.qty, f.limit_px, f.stop_px, 0, 0, f.number)
    return [_put("orders", *who, *what, f.cid, 0, f.ts, f.status.name, f.venue_order_id, f.filled_qty, 0, "", 0, f.ts)]


def _changed(seq: int, f: model.OrderChanged) -> list[Put | Change]:
    venue_order_id, reason = f.venue_order_id.replace("\0", "␀"), f.reason.replace("\0", "␀")
    return [Change(f.number, f.filled_qty, f.status.name, venue_order_id or None, f.code, reason, f.tries, f.ts)]


def _filled(seq: int, f: model.Filled) -> list[Put | Change]:
    numbers = (f.number, f.strategy, f.instrument, f.side.name, f.px, f.qty, f.fee)
    row = _put("fills", f.venue_order_id, f.cum_qty, seq, *numbers, f.execution_id, f.activity_id, f.source, f.ts)
    return [row, Change(f.number, f.cum_qty)]


def _adjusted(seq: int, f: model.PositionAdjusted) -> list[Put | Change]:
    return [_put("adjustments", seq, f.strategy, f.instrument, f.qty, f.cost, f.reason, f.ts)]


def _refused(seq: int, f: model.Refused) -> list[Put | Change]:
    i = f.intent
    codes = " ".join(b.code for b in f.breaches)
    breaches = json.dumps([[b.code, b.limit, b.observed] for b in f.breaches])
    what = (i.strategy, i.source, i.instrument, i.side.name, i.type.name, i.qty)
    return [_put("refusals", seq, *what, codes, breaches, f.ts)]


def _latched(seq: int, f: model.Latched) -> list[Put | Change]:
    return [_put("latches", seq, f.level, f.scope, f.code, f.reason, f.who, f.ts)]


def _alarmed(seq: int, f: model.Alarmed) -> list[Put | Change]:
    return [_put("alarms", seq, f.severity, f.code, f.text, f.ts)]


def _note(seq: int, f: Fact) -> list[Put | Change]:
    return [_put("notes", seq, type(f).__name__, msgspec.json.encode(f).decode())]


_STEPS: dict[type, Callable[[int, Any], list[Put | Change]]] = {
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


class Tables(Protocol):
    """The tables in some database."""

    seq: int  # the last fact that they hold

    def reset(self) -> None: ...

    def apply(self, facts: Iterable[tuple[int, Fact]]) -> int: ...

    def close(self) -> None: ...


T = TypeVar("T")


def gently(rows: Iterable[T]) -> Iterator[T]:
    """The same, with a moment for other threads now and then: one of them trades."""
    for n, row in enumerate(rows, 1):
        yield row
        if not n % 16:
            time.sleep(0)


def in_batches(facts: Iterator[tuple[int, Fact]], size: int = BATCH) -> Iterator[list[tuple[int, Fact]]]:
    """Lists of up to `size` facts."""
    while batch := list(islice(facts, size)):
        yield batch


def catch_up(tables: Tables, journal: Journal, upto: int | None = None) -> int:
    """Apply what the journal has beyond `seq`, in batches; how many facts were new. Raises JournalError too."""
    limit = journal.durable if upto is None else upto
    facts = gently((seq, fact) for seq, fact in journal.facts(tables.seq) if seq <= limit)
    return sum(tables.apply(batch) for batch in in_batches(facts))
