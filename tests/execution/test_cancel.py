"""Cancels, kills and stops: pressed until the venue proves an end."""

import pytest
from tests.reference.bench import EPOCH, Bench, order, update

from pyrt.clock import SECOND
from pyrt.model import CancelIntent, Latched, OrderChanged, OrderStatus, Refused
from pyrt.ports import (
    Cancel,
    CancelResult,
    Found,
    Kill,
    Lookup,
    LookupResult,
    Outcome,
    Stop,
    Submit,
    SubmitResult,
    TakeSnapshot,
    Withdraw,
)

WISH = CancelIntent(strategy=1, source=1)
HALT = Kill(level="HALTED", scope="system", reason="drill", who="test")


def accepted(number: int = 1) -> SubmitResult:
    return SubmitResult(number=number, attempt=1, outcome=Outcome.ACCEPTED, order=order(number))


def cancelled(number: int = 1, *, http: int = 204) -> CancelResult:
    return CancelResult(number=number, venue_order_id=f"v{number}", accepted=http == 204, http=http)


@pytest.fixture
def working(bench: Bench) -> Bench:
    bench.approve()
    bench.on(accepted())
    return bench


def test_a_cancel(working: Bench) -> None:
    working.on(WISH)
    assert working.told(OrderChanged)[0].status is OrderStatus.PENDING_CANCEL
    assert working.asked(Cancel)[0].venue_order_id == "v1"
    assert working.on(WISH) == []
    working.on(cancelled())
    working.on(update("canceled", order(status="canceled")))
    assert working.status == "CANCELED"
    assert working.fire("execution.cancel.1") == []


def test_an_attempt_that_waits_unsent_is_asked_back(bench: Bench) -> None:
    bench.approve()
    bench.on(Stop(reason="test"))
    assert bench.asked(Withdraw) == [Withdraw(number=1)]
    bench.on(SubmitResult(number=1, attempt=1, outcome=Outcome.NOT_SENT))
    assert bench.status == "CANCELED_LOCAL"


def test_a_cancel_during_the_attempt_follows_the_answer(bench: Bench) -> None:
    bench.approve()
    bench.on(WISH)
    assert (len(bench.asked(Withdraw)), bench.status) == (1, "INTENT")
    bench.on(accepted())
    assert bench.asked(Cancel)[0].venue_order_id == "v1"


def test_by_venue_id(working: Bench) -> None:
    working.on(CancelIntent(strategy=0, venue_order_id="v1"))
    assert len(working.asked(Cancel)) == 1


def test_nothing_to_cancel_is_told(bench: Bench) -> None:
    bench.on(WISH)
    assert bench.codes() == ["NO_SUCH_ORDER"]


@pytest.mark.parametrize("outcome", [Outcome.NOT_SENT, Outcome.RATE_LIMITED])
def test_a_cancel_before_a_repetition_ends_the_order_here(bench: Bench, outcome: Outcome) -> None:
    bench.approve()
    bench.on(SubmitResult(number=1, attempt=1, outcome=outcome))
    bench.on(WISH)
    assert bench.status == "CANCELED_LOCAL"
    assert bench.fire("execution.retry.1") == []


def test_a_cancel_while_the_attempt_turns_out_unsent(bench: Bench) -> None:
    bench.approve()
    bench.on(WISH)
    bench.on(SubmitResult(number=1, attempt=1, outcome=Outcome.NOT_SENT))
    assert bench.status == "CANCELED_LOCAL"


@pytest.mark.parametrize("http", [404, 422])
def test_a_refused_cancel_is_looked_up(working: Bench, http: int) -> None:
    working.on(WISH)
    working.on(cancelled(http=http))
    assert len(working.asked(Lookup)) == 1
    working.on(LookupResult(number=1, found=Found.FOUND, order=order(status="canceled")))
    assert working.status == "CANCELED"


@pytest.mark.parametrize("http", [0, 204, 422, 429, 500])
def test_a_cancel_without_effect_is_pressed_again(working: Bench, http: int) -> None:
    working.on(WISH)
    waits = []
    for _ in range(4):
        working.on(cancelled(http=http))
        waits.append((working.timers["execution.cancel.1"] - working.t) // SECOND)
        working.fire("execution.cancel.1")
        assert len(working.asked(Cancel)) == 1
    assert waits == [1, 2, 4, 4]


def test_what_the_venue_ended_is_neither_cancelled_nor_looked_up_again_while_its_fills_are_missing(working: Bench) -> None:
    """The stream lost them: asking for its end again and again would eat the requests that the snapshot with its fills needs."""
    working.on(WISH)
    working.on(cancelled(http=422))
    working.asked(Lookup)
    working.on(LookupResult(number=1, found=Found.FOUND, order=order(filled_qty="10", status="filled")))
    working.fire("execution.snapshot")
    assert working.asked(TakeSnapshot)
    working.fire("execution.cancel.1")
    for _ in range(20):
        working.fire("execution.poll")
        assert not working.asked(Cancel)
        assert not working.asked(Lookup)
    assert working.status == "PENDING_CANCEL"


def test_after_the_venue_rejects_it_a_single_wish_ends(working: Bench) -> None:
    working.on(WISH)
    working.on(update("order_cancel_rejected", order()))
    working.on(cancelled())
    working.t = 60 * SECOND
    working.on(update("new", order()))
    assert not working.asked(Cancel)
    assert working.status == "ACCEPTED"


def test_a_kill_cancels_bars_and_verifies_twice(working: Bench) -> None:
    working.approve()
    working.t = 2 * SECOND
    working.on(HALT)
    assert [c.number for c in working.asked(Cancel)] == [1]  # order 2 is still on its way
    working.snapshot(orders=(order(),))
    assert working.engine.sweeping
    working.on(accepted(2))
    assert [c.number for c in working.asked(Cancel)] == [2]
    working.approve()
    assert working.told(Refused)[0].breaches[0].code == "KILLED"
    working.on(update("canceled", order(status="canceled")))
    working.on(update("canceled", order(2, status="canceled")))
    for verified in (1, 2):
        assert working.engine.sweeping
        working.t += 3 * SECOND
        working.fire("execution.sweep")
        working.snapshot()
        assert working.codes() == (["SWEPT"] if verified == 2 else [])
    assert not working.engine.sweeping


def test_a_kill_ends_what_waits_to_be_sent(bench: Bench) -> None:
    bench.approve()
    bench.on(SubmitResult(number=1, attempt=1, outcome=Outcome.NOT_SENT))
    bench.on(HALT)
    assert bench.status == "CANCELED_LOCAL"
    assert not bench.fire("execution.retry.1")


def test_a_kill_of_one_strategy_leaves_the_others(working: Bench) -> None:
    working.on(Kill(level="KILLED", scope="strategy:2", reason="drill", who="test"))
    assert not working.asked(Cancel)
    working.approve()
    assert working.asked(Submit)


def test_reducing_cancels_entries_and_leaves_what_reduces(working: Bench) -> None:
    working.approve(reduce_only=True)
    working.on(accepted(2))
    working.on(Kill(level="REDUCING", scope="system", reason="drill", who="test"))
    assert [c.number for c in working.asked(Cancel)] == [1]
    working.on(update("canceled", order(status="canceled")))
    assert [o.number for o in working.engine.open_orders()] == [2]


def test_a_resumed_scope_trades_again(bench: Bench) -> None:
    bench.on(HALT)
    for level in ("HALTED", "ACTIVE"):
        bench.approve()
        assert not bench.asked(Submit)
        latch = Latched(level=level, scope="system", code="KILLED", reason="drill", who="test", ts=EPOCH)
        bench.facts.append(latch)
        bench.engine.apply(latch)
    bench.approve()
    assert bench.asked(Submit)


def test_the_latch_survives_a_restart_and_still_cancels(working: Bench) -> None:
    latch = Latched(level="HALTED", scope="system", code="KILLED", reason="drill", who="test", ts=EPOCH)
    again = Bench([*working.facts, latch])
    again.start(orders=(order(),))
    assert len(again.asked(Cancel)) == 1
    again.approve(source=9)
    assert again.told(Refused)[0].breaches[0].code == "KILLED"


def test_a_pending_cancel_is_pressed_after_a_restart(working: Bench) -> None:
    working.on(WISH)
    again = Bench(working.facts)
    again.start(orders=(order(),))
    assert len(again.asked(Cancel)) == 1


def test_stop_keeps_what_only_reduces(bench: Bench) -> None:
    bench.approve()
    bench.on(accepted())
    bench.approve(reduce_only=True)
    bench.on(accepted(2))
    bench.on(Stop(reason="end of the day"))
    assert [c.number for c in bench.asked(Cancel)] == [1]
    bench.approve()
    assert bench.told(Refused)
    bench.approve(reduce_only=True)
    assert bench.asked(Submit)


def test_an_order_of_this_journal_that_it_forgot_ends_with_the_halt(bench: Bench) -> None:
    forgotten = order(40, id="lost")
    bench.on(update("new", forgotten))
    assert bench.codes() == ["CID_FORGOTTEN"]
    bench.on(HALT)
    [cancel] = bench.asked(Cancel)
    assert cancel.venue_order_id == "lost"
    for _ in range(2):
        bench.t += 2 * SECOND
        bench.fire("execution.sweep")
        bench.snapshot(orders=(order(40, id="lost", status="canceled"),))
    assert "SWEPT" in bench.codes()
    assert "EXTERNAL_LEFT" not in bench.codes()
    bench.on(update("new", order(41, id="later")))  # it was on its way when the halt came
    assert [c.venue_order_id for c in bench.asked(Cancel)] == ["later"]


@pytest.mark.parametrize("event", [Stop(reason="end of the day"), Kill(level="REDUCING", scope="system", reason="r", who="w")])
def test_an_order_that_the_journal_forgot_may_be_an_exit(bench: Bench, event: Stop | Kill) -> None:
    bench.on(update("new", order(40, id="lost")))
    bench.on(event)
    bench.t += 2 * SECOND
    bench.fire("execution.sweep")
    bench.snapshot(orders=(order(40, id="lost"),))
    assert bench.asked(Cancel) == []


def test_orders_of_others_are_left_alone_and_told(bench: Bench) -> None:
    bench.on(update("new", order(id="h", cid="human", created_at=EPOCH + 5)))
    bench.t = 2 * SECOND
    bench.on(HALT)
    assert [asked.urgent for asked in bench.asked(TakeSnapshot)] == [True]
    human = order(id="h", cid="human", created_at=EPOCH + 5)
    bench.snapshot(orders=(human,))
    bench.t += 2 * SECOND
    bench.fire("execution.sweep")
    bench.snapshot(orders=(human,))
    assert bench.codes() == ["SWEPT", "EXTERNAL_LEFT"]
