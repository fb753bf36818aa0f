"""Orders that are over are let go: what the venue says of them afterwards is old, or is booked; nothing is lost, nothing twice."""

import tracemalloc
from typing import Any

import msgspec
import pytest
from tests.reference.bench import EPOCH, SHARE, Bench, activity, order
from tests.reference.room import Room

from pyrt._core.types import Side
from pyrt.execution import past
from pyrt.execution.recall import recall
from pyrt.live import state
from pyrt.model import ExternalSeen, Filled, OrderChanged, OrderStatus, PositionAdjusted, Recalled, Refused
from pyrt.ports import Kill, Outcome, Publish, Recall, Remembered, Submit, SubmitResult, TradeUpdate, VenueFill, VenueOrder
from pyrt.strategies import Order, Strategy

KEPT = 4


@pytest.fixture(autouse=True)
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(past, "KEPT", KEPT)


class Trader(Strategy):
    symbols = ("AAPL",)


def trade(room: Room, trader: Strategy, n: int) -> None:
    """So many orders that are filled whole, one after the other."""
    for turn in range(n):
        (trader.sell if turn % 2 else trader.buy)("AAPL", 1)
        room.quote()
        [request] = room.accept()
        room.fill(request.number)


def filled(room: Room, number: int) -> list[Filled]:
    return [f for f in room.shell.facts if isinstance(f, Filled) and f.number == number]


def the_fill(room: Room, number: int, **changes: Any) -> VenueFill:
    """The FILL activity of an order that filled in one piece."""
    [booked] = filled(room, number)
    shown = {"price": str(booked.px / 1e9), "qty": "1", "cum_qty": "1"} | changes
    return VenueFill(
        activity_id=f"a{number}", order_id=booked.venue_order_id, symbol="AAPL", side=booked.side, ts=booked.ts, **shown
    )


@pytest.fixture
def room() -> Room:
    trader = Trader()
    made = Room(trader)
    trade(made, trader, 20)
    assert sorted(made.session.execution.orders) == [17, 18, 19, 20]
    return made


def listed(room: Room, *orders: Any, fills: tuple[VenueFill, ...] = ()) -> list[Recall]:
    """The venue's pages, read once; what the journal was asked for."""
    room.tick(120 * 10**9)
    room.fire("execution.reconcile")
    room.recalled.clear()
    room.snapshot(orders=orders, fills=fills)
    return room.recalled


# ---------------------------------------------------------------------------------------------------- what is old
def test_what_comes_twice_is_old(room: Room) -> None:
    before = len(room.shell.facts)
    shown = room.working[3]
    room.tell("fill", shown, price="100", qty="1", execution_id="x3")
    room.tell("new", msgspec.structs.replace(shown, filled_qty="0", status="new"))
    assert listed(room, shown, fills=(the_fill(room, 3), the_fill(room, 5))) == []
    assert room.shell.facts[before:] == []
    assert 3 not in room.session.execution.orders


# ---------------------------------------------------------------------------------------------------- what is new
def test_a_fill_that_comes_late_is_booked_to_its_strategy(room: Room) -> None:
    shown = msgspec.structs.replace(room.working[3], qty="2", filled_qty="2")
    held = room.session.risk.position(1, 1).qty
    room.tell("fill", shown, price="100", qty="1", execution_id="late")
    assert [f.qty for f in filled(room, 3)] == [10**9, 10**9]
    assert filled(room, 3)[1].strategy == 1
    assert room.session.risk.position(1, 1).qty == held + 10**9
    assert room.session.execution.orders[3].filled == 2 * 10**9
    assert not any(isinstance(f, ExternalSeen) for f in room.shell.facts)
    room.tell("fill", shown, price="100", qty="1", execution_id="late")
    assert len(filled(room, 3)) == 2


@pytest.mark.parametrize("alone", [False, True])
def test_a_late_fill_of_the_pages_is_booked(room: Room, alone: bool) -> None:
    more = the_fill(room, 3, qty="1", cum_qty="2")
    shown = msgspec.structs.replace(room.working[3], qty="2", filled_qty="2")
    asked = listed(room, *(() if alone else (shown,)), fills=(the_fill(room, 3), msgspec.structs.replace(more, activity_id="b")))
    assert [(r.number, r.venue_order_id) for r in asked] == [(3, "")]
    assert [f.cum_qty for f in filled(room, 3)] == [10**9, 2 * 10**9]
    assert not any(isinstance(f, ExternalSeen) for f in room.shell.facts)


def test_a_bust_of_an_order_that_was_let_go_is_reversed(room: Room) -> None:
    held = room.session.risk.position(1, 1).qty
    booked = filled(room, 3)[0]
    room.step(TradeUpdate(event="trade_bust", order=room.working[3], ts=room.now.venue, execution_id=booked.execution_id))
    assert room.session.risk.position(1, 1).qty == held - 10**9
    assert room.session.execution.orders[3].filled == 0


def test_another_price_on_the_pages_is_told(room: Room) -> None:
    asked = listed(room, room.working[3], fills=(the_fill(room, 3, price="77"),))
    assert [r.number for r in asked] == [3]
    assert any(a.code == "BREAK" for a in room.shell.alarms)


def test_the_end_of_the_rows_is_not_the_end_of_what_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(past, "ROWS", 8)
    trader = Trader()
    room = Room(trader)
    trade(room, trader, 40)
    shown = msgspec.structs.replace(room.working[3], qty="2", filled_qty="2")
    room.tell("fill", shown, price="100", qty="1", execution_id="late")
    assert len(filled(room, 3)) == 2
    assert listed(room, room.working[5], fills=(the_fill(room, 5),))[0].number == 5
    assert len(filled(room, 5)) == 1


def test_an_exit_that_was_heard_of_before_it_was_named_is_not_adopted_when_all_forgot_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """The journal was asked for it too early and had nothing: that is no answer for ever."""
    monkeypatch.setattr(past, "ROWS", 8)
    trader = Trader()
    room = Room(trader)
    trade(room, trader, 40)
    trader.buy("AAPL", 1, limit=100, stop_loss=90)
    room.quote()
    at = room.now.venue
    leg = VenueOrder(
        id="leg", cid="its-own", symbol="AAPL", side=Side.SELL, type="stop", tif="day", qty="1", filled_qty="0", stop_price="90",
        status="held", order_class="oto", created_at=at, updated_at=at,
    )  # fmt: skip
    room.tell("held", leg)
    assert [r.venue_order_id for r in room.recalled] == ["leg"]
    [request] = room.accept()
    room.tell("new", room.working[request.number], legs=(leg,))
    room.fill(request.number)
    sold = msgspec.structs.replace(leg, status="filled", filled_qty="1")
    room.tell("fill", sold, price="90", qty="1", execution_id="sold")
    number = request.number + 1
    assert len(filled(room, number)) == 1
    trade(room, trader, 40)
    assert number not in room.session.execution.orders
    [asked] = listed(room, sold, fills=(the_fill(room, number),))
    assert asked.venue_order_id == "leg"
    assert not [f for f in room.shell.facts if isinstance(f, ExternalSeen)]
    assert len(filled(room, number)) == 1


def test_what_is_let_go_finds_its_memory_there() -> None:
    trader = Trader()
    room = Room(trader)
    before = state.state_of(room.session)
    room.session.execution.reserve()
    assert state.state_of(room.session) == before
    trade(room, trader, KEPT)
    tracemalloc.start()
    trade(room, trader, 2)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert sorted(room.session.execution.orders) == [3, 4, 5, 6]
    assert most < past.ROWS  # a fortieth of the rows


def test_orders_of_others_are_let_go_and_not_adopted_again() -> None:
    bench = Bench()
    bench.start()
    for n in range(10):
        foreign = order(1, id=f"f{n}", cid=f"human-{n}", filled_qty="10", status="filled", created_at=EPOCH + bench.t + 1)
        bench.on(TradeUpdate(event="fill", order=foreign, ts=EPOCH + bench.t + 2, price="190", qty="10", execution_id=f"x{n}"))
    assert len(bench.engine.orders) == KEPT
    before = len(bench.facts)
    foreign = order(1, id="f2", cid="human-2", filled_qty="10", status="filled", created_at=EPOCH + 1)
    bench.fire("execution.reconcile")
    positions = bench.engine.positions[1]
    bench.snapshot(orders=(foreign,), fills=(activity("10", "10", venue_id="f2"),))
    assert [f for f in bench.facts[before:] if isinstance(f, ExternalSeen | Filled)] == []
    assert bench.engine.positions[1] == positions


@pytest.mark.parametrize("twin", [False, True])
def test_an_order_with_a_cid_of_ours_that_was_adopted_is_not_adopted_again(twin: bool) -> None:
    """After a backup was put back the venue has orders of this journal that it forgot; each listing shows them once more."""
    bench = Bench()
    bench.start()
    if twin:  # the number is an order's that is still here, under another id
        bench.approve()
        bench.on(SubmitResult(number=1, attempt=1, outcome=Outcome.ACCEPTED, order=order()))
    number = 1 if twin else 77
    forgotten = order(number, id="other", filled_qty="10", status="filled", created_at=EPOCH + 1)
    bench.on(TradeUpdate(event="fill", order=forgotten, ts=EPOCH + 2, price="190", qty="10", execution_id="x"))
    assert {"CID_FORGOTTEN", "TWO_ORDERS"} & set(bench.codes())
    for n in range(10):
        foreign = order(1, id=f"f{n}", cid=f"human-{n}", status="canceled", created_at=EPOCH + bench.t + 1)
        bench.on(TradeUpdate(event="canceled", order=foreign, ts=EPOCH + bench.t + 2))
    assert not [o for o in bench.engine.orders.values() if o.venue_order_id == "other"]
    positions, before = dict(bench.engine.positions), len(bench.facts)
    assert positions == {1: 10 * SHARE}
    bench.on(TradeUpdate(event="fill", order=forgotten, ts=EPOCH + 2, price="190", qty="10", execution_id="x"))
    bench.fire("execution.reconcile")
    bench.snapshot(orders=(forgotten,), fills=(activity("10", "10", venue_id="other"),))
    assert [f for f in bench.facts[before:] if isinstance(f, ExternalSeen | Filled)] == []
    assert bench.engine.positions == positions


def test_a_number_that_the_journal_never_had_halts() -> None:
    bench = Bench()
    bench.start()
    bench.on(TradeUpdate(event="new", order=order(77), ts=EPOCH + 1))
    assert "CID_FORGOTTEN" in bench.codes()


def test_a_bust_in_a_journal_of_an_earlier_program_moves_the_cash_of_an_order_that_is_let_go_now(room: Room) -> None:
    """It kept every order whole, so it booked without taking the order back first."""
    booked = filled(room, 3)[0]
    earlier = PositionAdjusted(
        instrument=1,
        strategy=1,
        qty=-booked.qty,
        cost=-booked.px * booked.qty // 10**9,
        reason=f"trade_bust {booked.execution_id} {room.now.venue} b",
        ts=room.now.venue,
    )
    orders = room.session.execution._orders
    before = orders.cash_flow
    orders.apply(earlier)
    assert orders.cash_flow == before - earlier.cost


# ---------------------------------------------------------------------------------------------------- the rest of pyrt
def test_an_approval_of_an_order_that_was_let_go_makes_no_second_one() -> None:
    bench = Bench()
    bench.start()
    for n in range(1, 10):
        bench.approve()
        bench.on(TradeUpdate(event="canceled", order=order(n, status="canceled"), ts=EPOCH))
    bench.approve(source=2)
    assert bench.asked(Submit) == []
    assert [f.breaches[0].code for f in bench.told(Refused)] == ["DUPLICATE"]


def test_a_strategys_order_stays_what_it_was() -> None:
    trader = Trader()
    room = Room(trader)
    mine: Order = trader.buy("AAPL", 3, limit=100)
    room.quote()
    room.accept()
    room.fill(1)
    trade(room, trader, 20)
    assert 1 not in room.session.execution.orders
    assert (mine.status, mine.filled, mine.average) == (OrderStatus.FILLED, 3, 100)
    trader.cancel(mine)
    room.quote()
    assert not any(a.code == "NO_SUCH_ORDER" for a in room.shell.alarms)


def test_what_was_proved_absent_and_comes_after_all_counts_again() -> None:
    bench = Bench()
    bench.start()
    bench.approve()
    facts = [OrderChanged(number=1, status=OrderStatus.ABANDONED, ts=EPOCH)]
    for fact in facts:
        bench.facts.append(fact)
        bench.engine.apply(fact)
    for n in range(2, 10):
        bench.approve()
        bench.on(TradeUpdate(event="canceled", order=order(n, status="canceled"), ts=EPOCH))
    assert 1 not in bench.engine.orders
    bench.on(TradeUpdate(event="new", order=order(1), ts=EPOCH + 1))
    [wanted] = bench.asked(Recall)
    bench.on(recall(lambda after: bench.facts[after:], len(bench.facts), wanted))
    assert "APPEARED" in bench.codes()
    assert bench.engine.orders[1].working


def test_a_group_is_let_go_and_comes_back_whole() -> None:
    trader = Trader()
    room = Room(trader)
    trader.buy("AAPL", 2, limit=100, take_profit=110, stop_loss=90)
    trade_ended(room)
    trade(room, trader, 10)
    assert not {1, 2, 3} & set(room.session.execution.orders)
    room.tell("fill", msgspec.structs.replace(room.working[1], filled_qty="1"), price="100", qty="1", execution_id="late")
    assert {1, 2, 3} <= set(room.session.execution.orders)
    assert len(filled(room, 1)) == 1


def trade_ended(room: Room) -> None:
    """The order at work is cancelled before it fills."""
    room.quote()
    room.accept()
    shown = msgspec.structs.replace(room.working[1], status="canceled")
    room.working[1] = shown
    room.tell("canceled", shown)
    for number in (2, 3):
        fact = OrderChanged(number=number, status=OrderStatus.CANCELED, venue_order_id=f"leg{number}", ts=room.now.venue)
        room.shell.facts.append(fact)
        room.session._apply(fact)


def test_a_state_with_rows_goes_on_as_the_facts_do(room: Room) -> None:
    room.tell("fill", msgspec.structs.replace(room.working[3], qty="2", filled_qty="2"), price="100", qty="1", execution_id="late")
    facts = room.shell.facts
    assert any(isinstance(f, Recalled) for f in facts)
    again = Room(start=False)
    again.session.replay(facts)
    live = state.state_of(room.session)
    assert state.state_of(again.session) == live
    restored = Room(start=False, symbols=())
    state.restore(restored.session, live)
    assert state.state_of(restored.session) == live
    assert restored.session.execution.state_digest() == room.session.execution.state_digest()


# ---------------------------------------------------------------------------------------------------- when it cannot be read
def kills(bench: Bench) -> list[Kill]:
    return [p.message for p in bench.asked(Publish) if isinstance(p.message, Kill)]


@pytest.mark.parametrize("unread", ["", "JournalDamaged: the archived segment does not unpack"])
def test_an_exit_that_the_journal_does_not_give_back_halts(unread: str) -> None:
    """Its id at the venue is all that tells whose it is: counted as somebody else's, its fill would be no strategy's."""
    bench = Bench()
    bench.start()
    bench.approve()
    leg = msgspec.structs.replace(bench.engine.orders[1], number=7, cid="", venue_order_id="leg", role="stop_loss", group=5)
    bench.engine._orders.past.add(leg, (), EPOCH)
    seen = order(1, id="leg", cid="its-own", filled_qty="10", status="filled")
    bench.on(TradeUpdate(event="fill", order=seen, ts=EPOCH + 2, price="190", qty="10", execution_id="late"))
    [wanted] = bench.asked(Recall)
    assert wanted.number == 7
    bench.on(Remembered(number=7, venue_order_id="", unread=unread))
    assert "NOT_REMEMBERED" in bench.codes()
    assert [(k.level, k.scope) for k in kills(bench)] == [("HALTED", "system")]


def test_a_name_that_cannot_be_looked_up_halts() -> None:
    """It may be ours: a journal that has nothing is an answer, one that cannot be read is none, and nothing is booked."""
    for unread, halted in (("EIO", True), ("", False)):
        bench = Bench()
        bench.start()
        bench.engine._orders.past.lost, bench.engine._orders.past.lost_ts = 5, EPOCH * 2
        seen = order(1, id="leg", cid="its-own", filled_qty="10", status="filled")
        bench.on(TradeUpdate(event="fill", order=seen, ts=EPOCH + 2, price="190", qty="10", execution_id="late"))
        [wanted] = bench.asked(Recall)
        bench.on(Remembered(number=wanted.number, venue_order_id=wanted.venue_order_id, unread=unread))
        assert ("NOT_REMEMBERED" in bench.codes()) is halted
        assert len(kills(bench)) == halted
        bench.on(TradeUpdate(event="fill", order=seen, ts=EPOCH + 2, price="190", qty="10", execution_id="late"))
        assert [f.venue_order_id for f in bench.facts if isinstance(f, ExternalSeen)] == ([] if unread else ["leg"])
        assert sum(isinstance(f, Filled) for f in bench.facts) == (not unread)
