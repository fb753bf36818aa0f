"""A kill of the whole account cancels by one request where nothing but ours works; its answer ends no order."""

import pytest
from tests.reference.bench import EPOCH, Bench, order, update

from pyrt.clock import SECOND
from pyrt.model import CancelIntent, Latched, OrderStatus
from pyrt.ports import (
    AllCancelled,
    Cancel,
    CancelAll,
    Kill,
    Outcome,
    QueryFailed,
    Stop,
    StreamState,
    SubmitResult,
    TakeSnapshot,
    VenueAccount,
)

HALT = Kill(level="HALTED", scope="system", reason="drill", who="test")
HUMAN = order(id="h", cid="human", created_at=EPOCH + 5)


def accepted(number: int, **shown: str) -> SubmitResult:
    return SubmitResult(number=number, attempt=1, outcome=Outcome.ACCEPTED, order=order(number, **shown))


def place(bench: Bench, *numbers: int) -> None:
    for number in numbers:
        bench.approve()
        bench.on(accepted(number))


def ids(bench: Bench) -> list[str]:
    return [cancel.venue_order_id for cancel in bench.asked(Cancel)]


def answer(call: int = 1, *, refused: tuple[str, ...] = ()) -> AllCancelled:
    return AllCancelled(call=call, http=207, taken=("v1", "v2", "v3"), refused=refused)


def look(bench: Bench, *open_: int, gone: tuple[int, ...] = ()) -> None:
    """The next snapshot of the sweep, which shows some open and some cancelled."""
    bench.t += 2 * SECOND
    if not bench.asked(TakeSnapshot):
        bench.fire("execution.sweep")
    bench.snapshot(orders=(*(order(n) for n in open_), *(order(n, status="canceled") for n in gone)))


@pytest.fixture
def working(bench: Bench) -> Bench:
    place(bench, 1, 2, 3)
    return bench


@pytest.mark.parametrize("level", ["HALTED", "KILLED"])
@pytest.mark.parametrize("scope", ["system", "account"])
def test_all_by_one_request(working: Bench, scope: str, level: str) -> None:
    working.on(Kill(level=level, scope=scope, reason="drill", who="test"))
    assert (working.asked(CancelAll), ids(working)) == ([CancelAll(call=1)], [])
    assert {o.status for o in working.engine.open_orders()} == {OrderStatus.PENDING_CANCEL}


@pytest.mark.parametrize(
    "event",
    [
        Kill(level="HALTED", scope="strategy:1", reason="r", who="w"),
        Kill(level="HALTED", scope="instrument:1", reason="r", who="w"),
        Kill(level="REDUCING", scope="system", reason="r", who="w"),
        Stop(reason="the end"),
    ],
)
def test_a_part_is_cancelled_order_by_order(working: Bench, event: Kill | Stop) -> None:
    working.on(event)
    assert (working.asked(CancelAll), ids(working)) == ([], ["v1", "v2", "v3"])


def test_one_order_alone_is_cancelled_by_its_own_request(bench: Bench) -> None:
    place(bench, 1)
    bench.on(HALT)
    assert (bench.asked(CancelAll), ids(bench)) == ([], ["v1"])


@pytest.mark.parametrize("told", ["stream", "snapshot"])
def test_somebody_elses_order_is_not_cancelled(working: Bench, told: str) -> None:
    if told == "stream":
        working.on(update("new", HUMAN))
    else:
        working.t = 61 * SECOND
        working.fire("execution.reconcile")
        working.snapshot(orders=(order(1), order(2), order(3), HUMAN))
    working.on(HALT)
    assert (working.asked(CancelAll), ids(working)) == ([], ["v1", "v2", "v3"])


def test_when_somebody_elses_order_is_over_it_is_one_request_again(working: Bench) -> None:
    working.on(update("new", HUMAN))
    working.on(update("canceled", order(id="h", cid="human", status="canceled")))
    working.on(HALT)
    assert working.asked(CancelAll)


def test_while_the_stream_is_down_nobody_knows_who_trades(working: Bench) -> None:
    working.on(StreamState(stream="trading", up=False))
    working.on(HALT)
    assert (working.asked(CancelAll), ids(working)) == ([], ["v1", "v2", "v3"])


def test_after_a_gap_of_the_stream_the_venue_is_read_first(working: Bench) -> None:
    working.t = 5 * SECOND
    working.on(StreamState(stream="trading", up=False))
    working.on(StreamState(stream="trading", up=True))
    assert working.asked(TakeSnapshot)
    working.on(HALT)
    assert not working.asked(CancelAll)


def test_an_order_that_cannot_be_read_may_be_anybodys(working: Bench) -> None:
    working.t = 61 * SECOND
    working.fire("execution.reconcile")
    working.snapshot(orders=(order(1), order(2), order(3), order(id="x", cid="odd", qty="many")))
    assert "UNREADABLE" in working.codes()
    working.on(HALT)
    assert (working.asked(CancelAll), ids(working)) == ([], ["v1", "v2", "v3"])


def test_an_update_that_cannot_be_read_may_be_of_anybodys(working: Bench) -> None:
    working.on(update("new", order(id="x", cid="odd", qty="many")))
    assert "UNREADABLE" in working.codes()
    working.on(HALT)
    assert not working.asked(CancelAll)


def test_keys_of_another_account_cancel_nothing_there_but_by_name(working: Bench) -> None:
    account = {"id": "b", "cash": "1", "buying_power": "1", "equity": "1", "last_equity": "1", "multiplier": "2", "blocked": False}
    working.t = 61 * SECOND
    working.fire("execution.reconcile")
    working.snapshot(account=VenueAccount(**account), orders=(order(1), order(2), order(3)))
    assert "OTHER_ACCOUNT" in working.codes()
    working.on(HALT)
    assert not working.asked(CancelAll)


def test_its_answer_ends_no_order_and_no_request_follows_before_the_venue_is_read(working: Bench) -> None:
    working.on(HALT)
    working.t += SECOND
    working.on(answer())
    assert {o.status for o in working.engine.open_orders()} == {OrderStatus.PENDING_CANCEL}
    working.on(update("pending_cancel", order(1, status="pending_cancel")))
    assert ids(working) == []
    look(working, gone=(1, 2, 3))
    assert not working.engine.open_orders()
    assert working.codes() == []
    look(working)
    assert working.codes() == ["SWEPT"]


def test_a_view_that_was_asked_for_before_the_answer_shows_nothing(working: Bench) -> None:
    working.t += 2 * SECOND  # else the first look has to wait
    working.on(HALT)
    assert working.asked(TakeSnapshot)
    asked = working.commands
    working.t += SECOND
    working.on(answer())
    working.t += 30 * SECOND
    working.commands = asked
    working.snapshot(orders=(order(1), order(2), order(3)))  # read before the request had its effect
    assert (working.asked(CancelAll), ids(working)) == ([], [])
    working.fire("execution.snapshot") if not working.asked(TakeSnapshot) else None
    working.snapshot(orders=(order(1), order(2, status="canceled"), order(3, status="canceled")))
    assert ids(working) == ["v1"]


def test_what_it_left_is_cancelled_order_by_order(working: Bench) -> None:
    working.on(HALT)
    working.on(answer(refused=("v2", "v3")))
    assert working.codes() == ["CANCEL_ALL"]
    look(working, 2, 3, gone=(1,))
    assert (working.asked(CancelAll), ids(working)) == ([], ["v2", "v3"])


def test_unanswered_it_is_asked_again_a_few_times_then_order_by_order(working: Bench) -> None:
    working.on(HALT)
    for call in (1, 2, 3):
        assert working.asked(CancelAll) == [CancelAll(call=call)]
        working.on(AllCancelled(call=call, text="no answer"))
        assert working.codes() == ["CANCEL_ALL"]
        working.t += 4 * SECOND
        working.fire("execution.cancel_all")
    assert (working.asked(CancelAll), ids(working)) == ([], ["v1", "v2", "v3"])


def test_it_is_not_asked_again_when_somebody_else_has_come(working: Bench) -> None:
    working.on(HALT)
    working.on(AllCancelled(call=1, http=500, text="HTTP 500"))
    working.on(update("new", HUMAN))
    working.fire("execution.cancel_all")
    assert (working.asked(CancelAll), ids(working)) == ([], ["v1", "v2", "v3"])


def test_a_venue_that_cannot_be_read_leaves_nothing_uncancelled(working: Bench) -> None:
    working.t += 2 * SECOND
    working.on(HALT)
    [query] = working.asked(TakeSnapshot)
    working.on(answer())
    working.on(QueryFailed(query=query.query, text="HTTP 500"))
    working.fire("execution.cancel_all")
    assert ids(working) == ["v1", "v2", "v3"]


def test_an_answer_of_an_earlier_call_says_nothing(working: Bench) -> None:
    working.on(HALT)
    working.on(AllCancelled(call=1, text="no answer"))
    working.fire("execution.cancel_all")
    assert working.on(AllCancelled(call=1, http=207)) == []
    working.on(AllCancelled(call=2, http=207))
    assert working.on(AllCancelled(call=2, http=207)) == []


def test_an_order_under_way_is_cancelled_when_it_lands_after_the_call(working: Bench) -> None:
    working.approve()
    working.on(HALT)
    assert working.asked(CancelAll)
    working.on(answer())
    working.on(accepted(4))
    assert ids(working) == ["v4"]
    working.on(update("canceled", order(4, status="canceled")))
    look(working, gone=(1, 2, 3))
    look(working)
    assert working.codes() == ["SWEPT"]


def test_protective_exits_go_with_it_as_they_go_one_by_one(bench: Bench) -> None:
    bench.approve(reduce_only=True)
    bench.on(accepted(1))
    place(bench, 2)
    bench.on(HALT)
    assert bench.asked(CancelAll)
    assert {o.status for o in bench.engine.open_orders()} == {OrderStatus.PENDING_CANCEL}


def test_a_latch_of_an_earlier_life_cancels_what_is_left_at_once(working: Bench) -> None:
    facts = [*working.facts, Latched(scope="system", level="KILLED", reason="drill", code="KILLED", who="test", ts=EPOCH)]
    again = Bench(facts)
    again.start(orders=(order(1), order(2), order(3)))
    assert (again.asked(CancelAll), ids(again)) == ([CancelAll(call=1)], [])


def test_after_the_latch_is_opened_new_orders_are_not_cancelled_by_a_late_answer(working: Bench) -> None:
    working.on(HALT)
    fact = Latched(scope="system", level="HALTED", reason="drill", code="KILLED", who="test", ts=EPOCH)
    working.facts.append(fact)
    working.engine.apply(fact)
    look(working, gone=(1, 2, 3))
    look(working)
    opened = Latched(scope="system", level="ACTIVE", reason="over", code="KILLED", who="test", ts=EPOCH)
    working.facts.append(opened)
    working.engine.apply(opened)
    place(working, 4, 5)
    working.on(answer())
    working.fire("execution.cancel_all")
    assert (working.asked(CancelAll), ids(working)) == ([], [])
    working.on(CancelIntent(strategy=1, source=4))
    assert ids(working) == ["v4"]


ALL = Kill(level="KILLED", scope="account", reason="drill", who="test", everything=True)


def test_whoever_wants_it_cancels_the_orders_of_others_too(working: Bench) -> None:
    working.on(update("new", HUMAN))
    working.on(ALL)
    assert (working.asked(CancelAll), ids(working)) == ([CancelAll(call=1)], [])
    working.on(AllCancelled(call=1, http=207, taken=("v1", "v2", "v3"), refused=("h",)))
    working.t += 2 * SECOND
    if not working.asked(TakeSnapshot):
        working.fire("execution.sweep")
    working.snapshot(orders=(HUMAN, *(order(n, status="canceled") for n in (1, 2, 3))))
    assert (working.asked(CancelAll), ids(working)) == ([], ["h"])
    gone = order(id="h", cid="human", status="canceled")
    working.on(update("canceled", gone))
    look(working)
    look(working)
    assert working.codes() == ["SWEPT"]


def test_all_goes_out_though_nothing_is_known_to_work_and_the_stream_is_down(bench: Bench) -> None:
    bench.on(StreamState(stream="trading", up=False))
    bench.on(ALL)
    assert bench.asked(CancelAll)
    bench.on(AllCancelled(call=1, text="no answer"))
    look(bench)
    look(bench)
    assert (bench.asked(CancelAll), bench.codes()) == ([], ["SWEPT"])


@pytest.mark.parametrize("scope", ["strategy:1", "instrument:1"])
def test_a_part_never_takes_the_orders_of_others_along(working: Bench, scope: str) -> None:
    working.on(update("new", HUMAN))
    working.on(Kill(level="KILLED", scope=scope, reason="r", who="w", everything=True))
    assert (working.asked(CancelAll), ids(working)) == ([], ["v1", "v2", "v3"])
    working.on(HALT)
    look(working, 1, 2, 3)
    assert "h" not in ids(working)


def test_after_it_is_verified_the_orders_of_others_are_left_alone_again(bench: Bench) -> None:
    bench.on(ALL)
    bench.on(AllCancelled(call=1, http=207))
    look(bench)
    look(bench)
    assert bench.codes() == ["SWEPT"]
    bench.on(update("new", HUMAN))
    bench.on(HALT)
    assert (bench.asked(CancelAll), ids(bench)) == ([], [])
