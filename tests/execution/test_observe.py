"""What the venue tells, in any sequence: the book comes out the same, and nothing is guessed."""

from itertools import permutations

import pytest
from tests.reference.bench import EPOCH, SHARE, Bench, activity, execution, order, update

from pyrt.clock import SECOND
from pyrt.model import EXTERNAL, ExternalSeen, Filled, OrderChanged, OrderStatus, PositionAdjusted, Restored
from pyrt.ports import Kill, Outcome, Publish, SubmitResult, TakeSnapshot


def working(bench: Bench) -> None:
    bench.approve()
    bench.on(SubmitResult(number=1, attempt=1, outcome=Outcome.ACCEPTED, order=order()))


def life(*, ends: str) -> list:
    """Six events of one order, as the venue tells them in sequence."""
    events = [
        update("pending_new", order(status="pending_new", updated_at=EPOCH + 1)),
        update("new", order(updated_at=EPOCH + 2)),
        execution("4", "4", updated_at=EPOCH + 3),
        execution("7", "3", updated_at=EPOCH + 4),
    ]
    if ends == "filled":
        pending = order(status="pending_cancel", filled_qty="7", updated_at=EPOCH + 5)
        return [*events, update("pending_cancel", pending), execution("10", "3", updated_at=EPOCH + 6)]
    return [
        *events,
        update("pending_cancel", order(status="pending_cancel", filled_qty="7", updated_at=EPOCH + 5)),
        update(ends, order(status=ends, filled_qty="7", updated_at=EPOCH + 6)),
    ]


@pytest.mark.row("S065", "X02")
@pytest.mark.parametrize(("ends", "shares"), [("filled", 10), ("canceled", 7), ("expired", 7)])
def test_all_720_sequences_of_a_life_end_alike(ends: str, shares: int) -> None:
    start = Bench()
    start.start()
    start.approve()
    events = life(ends=ends)
    for sequence in permutations(events):
        bench = Bench(start.facts)
        bench.start(orders=(order(),))
        for event in sequence:
            bench.on(event)
            bench.on(event)  # each twice
        one = bench.engine.orders[1]
        fills = [fact for fact in bench.facts if isinstance(fact, Filled)]
        finals = [f for f in bench.facts if isinstance(f, OrderChanged) and f.status.is_final]
        assert one.status.name == ends.upper()
        assert one.filled == shares * SHARE
        assert bench.engine.positions == {1: shares * SHARE}
        assert [f.cum_qty for f in fills] == sorted(f.cum_qty for f in fills)
        assert len(finals) == 1
        assert finals[0].number == 1
        assert bench.facts.index(finals[0]) > bench.facts.index(fills[-1])  # a reservation is not released before the fills


@pytest.mark.row("X02")
def test_a_fill_that_skips_ahead_waits_for_the_missing_one(bench: Bench) -> None:
    working(bench)
    bench.t = 10 * SECOND
    bench.on(execution("7", "3"))
    assert not bench.told(Filled)
    bench.snapshot(orders=(order(filled_qty="7", status="partially_filled"),), fills=(activity("7", "3"), activity("4", "4")))
    assert [f.cum_qty // SHARE for f in bench.told(Filled)] == [4, 7]
    assert bench.engine.positions == {1: 7 * SHARE}


def test_a_final_state_waits_for_its_fills(bench: Bench) -> None:
    working(bench)
    bench.t = 10 * SECOND
    bench.on(update("canceled", order(filled_qty="4", status="canceled")))
    assert bench.status == "ACCEPTED"
    bench.on(execution("4", "4"))
    assert bench.status == "CANCELED"


def test_an_execution_that_is_told_after_the_cancel_is_booked(bench: Bench) -> None:
    working(bench)
    bench.on(update("canceled", order(status="canceled")))
    bench.on(execution("4", "4", status="canceled"))
    bench.on(update("partial_fill", order(filled_qty="4", status="canceled"), price="190", qty="4"))
    assert (bench.status, bench.engine.positions) == ("CANCELED", {1: 4 * SHARE})


def test_two_sources_that_disagree_are_a_break(bench: Bench) -> None:
    working(bench)
    bench.on(execution("4", "4"))
    bench.on(execution("4", "4", price="191"))
    assert bench.codes() == ["BREAK"]
    assert [c.message.scope for c in bench.asked(Publish) if isinstance(c.message, Kill)] == ["instrument:1"]
    assert bench.engine.positions == {1: 4 * SHARE}
    bench.on(execution("6", "4"))  # overlaps what is booked
    assert "BREAK" in bench.codes()
    assert not bench.told(Filled)


def test_the_other_source_changes_nothing(bench: Bench) -> None:
    working(bench)
    bench.t = 10 * SECOND
    bench.on(execution("4", "4"))
    bench.on(execution("9", "1"))
    shown = order(filled_qty="9", status="partially_filled")
    bench.snapshot(orders=(shown,), fills=(activity("4", "4"), activity("8", "4"), activity("9", "1")))
    assert [f.cum_qty // SHARE for f in bench.told(Filled)] == [8, 9]


@pytest.mark.row("X02")
def test_an_overfill_is_booked_and_alarmed(bench: Bench) -> None:
    working(bench)
    bench.on(execution("10", "10"))
    bench.on(execution("12", "2", status="filled"))
    assert bench.codes() == ["OVERFILL"]
    assert bench.engine.positions == {1: 12 * SHARE}


def test_a_cancel_that_the_venue_refuses_gives_the_order_back(bench: Bench) -> None:
    working(bench)
    bench.on(update("pending_cancel", order(status="pending_cancel")))
    assert bench.status == "PENDING_CANCEL"
    bench.on(update("order_cancel_rejected", order()))
    assert bench.status == "ACCEPTED"


def test_a_sighting_older_than_the_newest_moves_nothing(bench: Bench) -> None:
    working(bench)
    bench.on(update("order_cancel_rejected", order(updated_at=EPOCH + 5)))
    bench.on(update("pending_cancel", order(status="pending_cancel", updated_at=EPOCH + 4)))
    assert bench.status == "ACCEPTED"
    bench.on(update("pending_cancel", order(status="pending_cancel", updated_at=EPOCH + 6)))
    assert bench.status == "PENDING_CANCEL"


def test_words_nobody_knows_are_counted_and_told_once(bench: Bench) -> None:
    working(bench)
    bench.on(update("teleported", order(status="quantum")))
    assert bench.codes() == ["UNKNOWN_WORD", "UNKNOWN_WORD"]
    bench.on(update("teleported", order()))
    assert bench.codes() == []
    assert bench.engine.strange == {"event teleported": 2, "status quantum": 1}


@pytest.mark.parametrize("changes", [{"price": "nan"}, {"qty": "1e99"}, {"price": "190.0000000001"}, {"qty": "-1"}, {"price": "0"}])
def test_numbers_that_cannot_be_are_not_booked(bench: Bench, changes: dict[str, str]) -> None:
    working(bench)
    shown = order(filled_qty="4", status="partially_filled")
    bench.on(update("partial_fill", shown, **({"price": "190", "qty": "4"} | changes)))
    assert {"UNREADABLE", "BREAK"} & set(bench.codes())
    assert bench.engine.positions == {}


def test_orders_of_others_are_adopted(bench: Bench) -> None:
    shown = order(id="h", cid="human", filled_qty="0", created_at=EPOCH + 5)
    bench.on(update("new", shown))
    [seen] = bench.told(ExternalSeen)
    assert (seen.number, seen.qty) == (1, 10 * SHARE)
    fill = order(id="h", cid="human", filled_qty="10", status="filled", created_at=EPOCH + 5)
    bench.on(update("fill", fill, price="190", qty="10", execution_id="x"))
    [filled] = bench.told(Filled)
    assert (filled.number, filled.strategy) == (1, EXTERNAL)
    assert bench.engine.orders[1].status is OrderStatus.FILLED
    bench.approve()
    assert max(bench.engine.orders) == 2


def test_an_order_of_this_journal_that_it_forgot_halts(bench: Bench) -> None:
    bench.on(update("new", order(40)))
    assert bench.codes() == ["CID_FORGOTTEN"]
    assert [c.message.level for c in bench.asked(Publish)] == ["HALTED"]
    bench.approve()
    assert bench.engine.order_of(1, 1).number == 41  # never a number that the venue has seen


def test_two_orders_of_one_cid_halt(bench: Bench) -> None:
    working(bench)
    bench.on(update("new", order(id="v99")))
    assert "TWO_ORDERS" in bench.codes()


def test_a_bust_is_reversed_exactly_once(bench: Bench) -> None:
    working(bench)
    bench.on(execution("4", "4"))
    bust = update("trade_bust", order(filled_qty="0", status="new"), price="190", qty="4", execution_id="x4")
    bench.t = 10 * SECOND
    bench.on(bust)
    [fact] = bench.told(PositionAdjusted)
    assert (fact.strategy, fact.qty, fact.cost) == (1, -4 * SHARE, -760 * SECOND)
    assert len(bench.asked(TakeSnapshot)) == 1
    bench.on(bust)
    assert not bench.told(PositionAdjusted)
    assert bench.engine.positions == {}


def test_a_correction_books_the_difference(bench: Bench) -> None:
    working(bench)
    bench.on(execution("4", "4"))
    bench.on(update("trade_correct", order(filled_qty="3"), price="191", qty="3", execution_id="x4"))
    [fact] = bench.told(PositionAdjusted)
    assert (fact.qty, fact.cost) == (-SHARE, (573 - 760) * SECOND)


@pytest.mark.parametrize("event", ["held", "suspended", "stopped", "calculated", "done_for_day", "restated", "pending_replace"])
def test_every_event_of_the_protocol_is_taken(bench: Bench, event: str) -> None:
    working(bench)
    status = {"restated": "new"}.get(event, event)
    bench.on(update(event, order(status=status)))
    assert bench.codes() == []
    assert bench.engine.orders[1].is_open


def test_a_journal_that_was_put_back_goes_on_above_what_it_may_have_forgotten(bench: Bench) -> None:
    bench.engine.apply(Restored(number=1 << 38, ts=EPOCH))
    bench.on(update("new", order(40)))
    assert [c.message.level for c in bench.asked(Publish)] == ["HALTED"]
    bench.on(update("new", order(41, id="v41")))
    assert bench.asked(Publish) == []  # one for both
    bench.approve()
    assert bench.engine.order_of(1, 1).number == (1 << 38) + 3
