"""A day's report says what the journal says, exactly, and shows every line on which the venue says something else."""

import json
import logging
import random
from decimal import Decimal
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.journal.facts import defined, intended, order
from tests.reference.ledger import Book

from pyrt import model
from pyrt._core.types import Side
from pyrt.clock import DAY, SECOND, VenueClock
from pyrt.errors import NotConnected
from pyrt.journal import Journal
from pyrt.live import day_report
from pyrt.live.day import Books, books_of
from pyrt.live.day_page import page
from pyrt.live.day_reconcile import reconcile
from pyrt.live.day_report import DayEnd, DayReport, make_report, read_report, tell_day, write_report
from pyrt.model import OrderStatus
from pyrt.ports import Sync, VenueFill, VenueOrder
from pyrt.venues.alpaca.statement import Activity, Holding, Statement

MONDAY = 1_772_463_846 * SECOND  # 2026-03-02T15:04:06Z
DAYS = ["2026-03-02", "2026-03-03", "2026-03-04"]
ONE = 10**9
OPENING = 100_000 * ONE
Rows = list[tuple[int, int, model.Fact]]


def seen(ts: int, cash: int = OPENING) -> model.AccountSeen:
    zero = {"buying_power": 0, "equity": cash, "last_equity": cash, "multiplier": 1, "blocked": False}
    return model.AccountSeen(account_id="acc", cash=cash, ts=ts, **zero)


def life(seed: int) -> Rows:
    """Three days of orders with up to three fills each, of two instruments, long and short, with fees."""
    rng = random.Random(seed)
    facts: list[model.Fact] = [defined(1), defined(2, "MSFT"), model.StrategyNamed(strategy=1, name="Sma"), seen(MONDAY - SECOND)]
    number = 0
    for day in range(3):
        for _ in range(rng.randrange(1, 12)):
            number += 1
            ts = MONDAY + day * DAY + number * SECOND
            side, instrument = rng.choice([Side.BUY, Side.SELL]), rng.choice([1, 2])
            base = intended(number, ts)
            facts.append(
                msgspec.structs.replace(base, intent=msgspec.structs.replace(base.intent, side=side, instrument=instrument))
            )
            done = 0
            for _ in range(rng.randrange(4)):
                qty = rng.choice([ONE // 4, ONE // 3, ONE // 8])
                done += qty
                facts.append(
                    model.Filled(
                        number=number,
                        strategy=1,
                        instrument=instrument,
                        side=side,
                        px=rng.randrange(180 * ONE, 200 * ONE, 10_000_000),
                        qty=qty,
                        cum_qty=done,
                        venue_order_id=order(number, OrderStatus.ACCEPTED).venue_order_id,
                        execution_id=f"e{number}-{done}",
                        fee=rng.choice([0, 10_000_000, 20_000_000]),
                        ts=ts + 1,
                    )
                )
            facts.append(order(number, OrderStatus.CANCELED, done, ts + 2))
    return [(seq, getattr(f, "ts", 0) or MONDAY - 2 * SECOND, f) for seq, f in enumerate(facts, 1)]


def exact(value: Decimal) -> int:
    """Money in 1e-18."""
    return int(value.scaleb(18))


@pytest.mark.parametrize("seed", range(20))
def test_days_add_up_to_the_oracle_of_the_ledger_to_the_last_unit(seed: int) -> None:
    rows = life(seed)
    reports = [books_of(rows, day, "abcdefgh") for day in DAYS]
    books = {1: Book(), 2: Book()}
    for fact in (f for _, _, f in rows if isinstance(f, model.Filled)):
        books[fact.instrument].fill(fact.qty if fact.side is Side.BUY else -fact.qty, fact.px, 1, fact.fee * ONE)
    assert sum(exact(r.realised) for r in reports) == sum(b.realised for b in books.values())
    assert sum(exact(r.fees) for r in reports) == sum(b.fees for b in books.values())
    last = reports[-1]
    cash = OPENING * ONE + sum(b.cash - b.fees for b in books.values())
    assert last.cash is not None
    assert exact(last.cash) == cash
    held = {p.symbol: (p.quantity, exact(p.cost)) for p in last.positions if p.quantity}
    wanted = {s: (Decimal(b.qty).scaleb(-9), b.cost) for s, b in (("AAPL", books[1]), ("MSFT", books[2])) if b.qty}
    assert held == wanted
    for report in reports:
        assert sum(exact(f.realised) for f in report.fills) == exact(report.realised)
    assert [r.complete for r in reports][-1]
    moves = [sum(1 for f in r.fills) for r in reports]
    assert sum(moves) == sum(isinstance(f, model.Filled) for _, _, f in rows)
    assert reports[0].complete is (not any(moves[1:]))


# ------------------------------------------------------------------------------------------------ reconciliation
def told(rows: Rows, day: str) -> Statement:
    """What a venue that did the same would say."""
    names = {1: "AAPL", 2: "MSFT"}
    fills = [f for _, _, f in rows if isinstance(f, model.Filled)]
    books = {1: Book(), 2: Book()}
    for f in fills:
        books[f.instrument].fill(f.qty if f.side is Side.BUY else -f.qty, f.px, 1, f.fee * ONE)
    orders = []
    for intent in (f for _, _, f in rows if isinstance(f, model.Intended)):
        own = [f for f in fills if f.number == intent.number]
        done = sum(f.qty for f in own)
        average = f"{sum(Decimal(f.qty) * f.px for f in own) / done / ONE:.6f}" if done else ""
        orders.append(
            VenueOrder(
                id=order(intent.number, OrderStatus.ACCEPTED).venue_order_id,
                cid="",
                symbol=names[intent.intent.instrument],
                side=intent.intent.side,
                type="limit",
                tif="day",
                qty="1",
                filled_qty=text(done),
                filled_avg_price=average,
                status="canceled",
                created_at=intent.ts,
            )
        )
    cash = OPENING * ONE + sum(b.cash - b.fees for b in books.values())
    return Statement(
        account_id="acc",
        since=0,
        cash=str(Decimal(cash).scaleb(-18)),
        equity="0",
        last_equity="0",
        positions=tuple(
            Holding(
                symbol=names[i],
                qty=text(b.qty),
                avg_entry_price=f"{Decimal(b.cost) / b.qty / ONE:.6f}",
                cost_basis="",
                current_price="190",
                unrealised=f"{Decimal(b.qty) * 190 / ONE - Decimal(b.cost).scaleb(-18):.6f}",
            )
            for i, b in books.items()
            if b.qty
        ),
        orders=tuple(orders),
        fills=tuple(
            VenueFill(
                activity_id=f.execution_id,
                order_id=f.venue_order_id,
                symbol=names[f.instrument],
                side=f.side,
                price=str(Decimal(f.px).scaleb(-9)),
                qty=text(f.qty),
                cum_qty=text(f.cum_qty),
                ts=f.ts,
            )
            for f in fills
        ),
        activities=(),
    )


def text(qty: int) -> str:
    return str(Decimal(qty).scaleb(-9))


def compared(rows: Rows, day: str, statement: Statement) -> tuple[Books, Any]:
    books = books_of(rows, day, "abcdefgh")
    return books, reconcile(books, statement)


@pytest.mark.parametrize("seed", range(10))
def test_a_venue_that_did_the_same_differs_on_no_line(seed: int) -> None:
    rows = life(seed)
    books, result = compared(rows, DAYS[2], told(rows, DAYS[2]))
    assert result.differences == []
    assert result.clean
    assert result.compared["fill"] == len(books.fills)
    assert all(line.agreed for line in (*books.fills, *books.orders))
    assert result.compared["cash"] == 1
    _, earlier = compared(rows, DAYS[0], told(rows, DAYS[0]))
    assert earlier.differences == []
    if any(books_of(rows, day, "abcdefgh").fills for day in DAYS[1:]):
        assert "a later day" in earlier.not_compared[0]


def change(statement: Statement, name: str, **values: Any) -> Statement:
    """The first (or last, for what has a day) of a list, changed."""
    rows = list(getattr(statement, name))
    rows[-1] = msgspec.structs.replace(rows[-1], **values)
    return msgspec.structs.replace(statement, **{name: tuple(rows)})


def drop(statement: Statement, name: str) -> Statement:
    return msgspec.structs.replace(statement, **{name: getattr(statement, name)[:-1]})


def test_every_kind_of_difference_is_shown() -> None:
    rows = life(3)
    good = told(rows, DAYS[2])
    extra = msgspec.structs.replace(good.fills[-1], order_id="other", activity_id="x")
    foreign = msgspec.structs.replace(good.orders[-1], id="other")
    wrong: list[tuple[str, Statement]] = [
        ("fill", drop(good, "fills")),
        ("fill", change(good, "fills", price="1")),
        ("fill", change(good, "fills", qty="0.1")),
        ("fill", change(good, "fills", side=Side.BUY if good.fills[-1].side is Side.SELL else Side.SELL)),
        ("fill", msgspec.structs.replace(good, fills=(*good.fills, extra))),
        ("order", drop(good, "orders")),
        ("order", change(good, "orders", filled_qty="77")),
        ("order", change(good, "orders", status="filled")),
        ("order", msgspec.structs.replace(good, orders=(*good.orders, foreign))),
        ("position", change(good, "positions", qty="0.000000001")),
        ("position", drop(good, "positions")),
        ("cost", change(good, "positions", avg_entry_price="1")),
        ("unrealised", change(good, "positions", unrealised="77")),
        ("cash", msgspec.structs.replace(good, cash=str(Decimal(good.cash) + Decimal("0.00001")))),
        ("account", msgspec.structs.replace(good, account_id="somebody else")),
    ]
    for what, statement in wrong:
        _, result = compared(rows, DAYS[2], statement)
        assert what in {d.what for d in result.differences}, what
        assert not result.clean


@pytest.mark.parametrize("seed", range(5))
def test_what_the_venue_did_after_the_journals_end_is_news_and_no_difference(seed: int) -> None:
    """A session leaves its exits at the venue; one is filled before the venue is asked."""
    rows = life(seed)
    good = told(rows, DAYS[2])
    filled = next(o for o in reversed(good.orders) if o.symbol == "AAPL")
    written = max(when for _, when, _ in rows)
    late = VenueFill(
        activity_id="late",
        order_id=filled.id,
        symbol="AAPL",
        side=filled.side,
        price="195",
        qty="0.01",
        cum_qty="7",
        ts=written + 1,
    )
    held = tuple(msgspec.structs.replace(h, qty="77") if h.symbol == "AAPL" else h for h in good.positions)
    orders = tuple(msgspec.structs.replace(o, filled_qty="7", status="filled") if o.id == filled.id else o for o in good.orders)
    statement = msgspec.structs.replace(good, fills=(*good.fills, late), orders=orders, positions=held, cash="1")
    _, result = compared(rows, DAYS[2], statement)
    assert result.differences == []
    assert not result.clean
    assert f"{filled.side.name} 0.01 AAPL at 195" in result.not_compared[0]
    early = msgspec.structs.replace(late, ts=written)  # the journal was there, and does not have it
    _, result = compared(rows, DAYS[2], msgspec.structs.replace(statement, fills=(*good.fills, early)))
    assert {"fill", "order", "cash"} <= {d.what for d in result.differences}
    unknown = msgspec.structs.replace(late, order_id="somebody's")
    _, result = compared(rows, DAYS[2], msgspec.structs.replace(statement, fills=(*good.fills, unknown)))
    assert {"fill", "position", "cash"} <= {d.what for d in result.differences}
    wrong = msgspec.structs.replace(statement, fills=(*good.fills[:-1], late))  # beside the news one is missing
    _, result = compared(rows, DAYS[2], wrong)
    assert "fill" in {d.what for d in result.differences}


def test_fees_and_transfers_of_the_account_explain_its_cash() -> None:
    rows = life(4)
    good = told(rows, DAYS[2])
    fee = Activity(id="20260304000000000::a", type="FEE", date=DAYS[2], net_amount="-0.02")
    deposit = Activity(id="20260303110000000::b", type="CSD", date=DAYS[1], net_amount="500")
    older = Activity(id="20260302090000000::c", type="CSD", date=DAYS[0], net_amount="77")  # before the journal saw the account
    statement = msgspec.structs.replace(good, cash=str(Decimal(good.cash) + Decimal("499.98")), activities=(fee, deposit, older))
    before = books_of(rows, DAYS[2], "abcdefgh").fees
    books, result = compared(rows, DAYS[2], statement)
    assert result.differences == []
    assert books.fees == before + Decimal("0.02")


# ------------------------------------------------------------------------------------------------ the whole report
class Venue:
    """Says what it was given, or nothing."""

    name = "sim"
    clock = VenueClock(MONDAY, 0)

    def __init__(self, statement: Statement | None) -> None:
        self._statement = statement

    def statement(self, since: int, patience: float) -> Statement:
        if self._statement is None:
            raise NotConnected("no answer")
        return self._statement


EVIL = "<script>alert(1)</script>&\"'"


def journaled(tmp_path: Path, rows: Rows) -> Path:
    with Journal.open(tmp_path / "journal", segment_size=1 << 18) as journal:
        for _, ts, fact in rows:
            journal.append(fact, Sync.SOON, ts)
    return tmp_path


def noisy() -> Rows:
    rows = life(5)
    ts = MONDAY + 2 * DAY
    breaches = (model.Breach(code="ORDER_QTY", limit="10", observed="11"), model.Breach(code="KILLED", limit="", observed=EVIL))
    more = [
        model.Refused(intent=intended(900, ts).intent, breaches=breaches, ts=ts),
        model.Latched(level="REDUCING", scope="account", code="DAILY_LOSS", reason=EVIL, who="risk", ts=ts),
        model.Alarmed(severity="warning", code="CASH_BREAK", text=EVIL, ts=ts),
    ]
    return [*rows, *((len(rows) + n, ts, fact) for n, fact in enumerate(more, 1))]


class Page(HTMLParser):
    """Checks that every tag is closed where it should be, that nothing is fetched, and keeps the cells."""

    VOID = frozenset({"meta", "br", "hr", "img", "link", "input"})

    def __init__(self, content: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.text: list[str] = []
        self.feed(content)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert not {"src", "href"} & {name for name, _ in attrs}
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open[-1:] != ["script"]:
            self.text.append(data)


def test_a_report_is_written_whole_and_read_again_and_the_page_needs_nothing(tmp_path: Path) -> None:
    rows = noisy()
    state = journaled(tmp_path, rows)
    report = make_report(state, DAYS[2], Venue(told(rows, DAYS[2])))
    assert report.clean
    target = write_report(report, state)
    assert sorted(p.name for p in target.parent.iterdir()) == [f"{DAYS[2]}.html", f"{DAYS[2]}.json"]
    assert {p.stat().st_mode & 0o777 for p in target.parent.iterdir()} == {0o600}
    again = read_report(state, DAYS[2])
    assert again == report
    seen_text = "".join(Page(target.read_text()).text)
    for wanted in (EVIL, "DAILY_LOSS", "ORDER_QTY", "CASH_BREAK", "all ", "lines are as the venue has them", "Positions", "Fills"):
        assert wanted in seen_text
    assert "times of the day are New York's" in seen_text  # the other verbs print UTC
    assert EVIL not in target.read_text()
    plain = json.loads((state / "reports" / f"{DAYS[2]}.json").read_bytes())
    assert plain["books"]["refused"] == {"ORDER_QTY": 1, "KILLED": 1}
    assert plain["books"]["open_latches"] == {"account": f"REDUCING: {EVIL}"}
    assert sum(Decimal(f["realised"]) for f in plain["books"]["fills"]) == Decimal(plain["books"]["realised"])
    assert len(plain["books"]["fills"]) == plain["reconciled"]["compared"]["fill"]


def test_the_page_is_as_good_without_plotly_and_for_a_day_of_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = noisy()
    monkeypatch.setitem(__import__("sys").modules, "plotly.graph_objects", None)
    state = journaled(tmp_path, rows)
    content = page(make_report(state, DAYS[2], Venue(told(rows, DAYS[2]))))
    assert len(content) < 100_000
    assert "Positions" in "".join(Page(content).text)
    nothing = make_report(state, "2026-03-09", None)
    assert nothing.books.fills == nothing.books.orders == []
    Page(page(nothing))


def test_a_venue_that_is_silent_leaves_its_side_out_and_says_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = life(6)
    state = journaled(tmp_path, rows)
    report = make_report(state, DAYS[2], Venue(None))
    assert not report.clean
    assert report.unrealised is None
    assert "the venue did not answer" in report.reconciled.not_compared[0]
    write_report(make_report(state, DAYS[2], Venue(told(rows, DAYS[2]))), state)
    again = make_report(state, DAYS[2], None)  # what the venue said at the end is used again
    assert again.clean
    assert again.unrealised is not None
    with Journal.open(state / "journal") as journal:  # but not where more has happened since
        journal.append(life(6)[4][2], Sync.SOON, MONDAY)
        late = intended(900, MONDAY + 2 * DAY + 500 * SECOND)
        journal.append(late, Sync.SOON, late.ts)
    assert make_report(state, DAYS[2], None, why_not="not asked").reconciled.not_compared == ["not asked"]
    monkeypatch.setattr(day_report, "read_books", lambda *_: (_ for _ in ()).throw(OSError("disk")))
    with caplog.at_level(logging.WARNING):
        assert tell_day(state, DAYS[2], None) is None  # a report that fails ends nothing
    assert "no report of 2026-03-04" in caplog.text


def test_an_interrupted_write_leaves_the_old_report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = life(7)
    state = journaled(tmp_path, rows)
    report: DayReport = make_report(state, DAYS[2], Venue(told(rows, DAYS[2])))
    target = write_report(report, state)
    before = {p.name: p.read_bytes() for p in target.parent.iterdir()}

    def full(fd: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(day_report.os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        write_report(make_report(state, DAYS[2], None), state)
    assert {p.name: p.read_bytes() for p in target.parent.iterdir()} == before


def test_a_day_is_due_after_its_close_and_at_its_end() -> None:
    end = DayEnd(Path(), Venue(None))
    hour = 3600 * SECOND
    end._last = MONDAY  # 10:04 in New York
    assert end.due(MONDAY + hour) == []
    assert end.due(MONDAY + 6 * hour + 2 * 60 * SECOND) == ["2026-03-02"]  # 16:06
    assert end.due(MONDAY + 7 * hour) == []
    assert end.due(MONDAY + 14 * hour) == ["2026-03-02"]  # after midnight
    assert end.due(MONDAY + 14 * hour) == []
    assert end.due(MONDAY + 4 * DAY) == ["2026-03-03", "2026-03-04", "2026-03-05"]
    assert end.due(MONDAY + 400 * DAY)[-1] == "2027-04-05"
