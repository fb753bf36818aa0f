"""The submit algorithm, rule by rule."""

import pytest
from tests.reference.bench import EPOCH, SHARE, Bench, execution, order, update

from pyrt.clock import SECOND
from pyrt.model import CancelIntent, CancelWanted, Intended, OrderChanged, OrderStatus, Refused
from pyrt.ports import Append, Cancel, Found, Kill, Lookup, LookupResult, Outcome, Publish, Submit, SubmitResult, Sync

AMBIGUOUS = SubmitResult(number=1, attempt=1, outcome=Outcome.AMBIGUOUS)
ABSENT = LookupResult(number=1, found=Found.ABSENT)


def answer(outcome: Outcome, attempt: int = 1, **more: object) -> SubmitResult:
    return SubmitResult(number=1, attempt=attempt, outcome=outcome, **more)


def unknown(bench: Bench) -> None:
    bench.approve()
    bench.on(AMBIGUOUS)
    assert bench.status == "UNKNOWN"


def prove_absent(bench: Bench) -> None:
    """Look up until the answer begins after deadline and settle."""
    while bench.status == "UNKNOWN" and "execution.lookup.1" in bench.timers:
        if bench.fire("execution.lookup.1"):
            bench.on(ABSENT)


def test_the_intent_is_durable_before_the_request(bench: Bench) -> None:
    intended, submit = bench.approve()
    assert isinstance(intended, Append)
    assert isinstance(intended.fact, Intended)
    assert intended.sync is Sync.BEFORE_ACT
    assert isinstance(submit, Submit)
    assert (submit.request.qty, submit.request.limit_price, submit.attempt) == ("10", "190", 1)


@pytest.mark.parametrize(
    ("changes", "code"),
    [({"epoch": 0}, "EPOCH"), ({"epoch": 2}, "EPOCH"), ({"valid_until_mono": -1}, "EXPIRED"), ({"instrument": 9}, "INSTRUMENT")],
)
def test_an_approval_that_is_not_good_is_refused(bench: Bench, changes: dict[str, int], code: str) -> None:
    bench.approve(**changes)
    [refused] = bench.told(Refused)
    assert refused.breaches[0].code == code
    assert any(isinstance(c, Publish) and c.message == refused for c in bench.commands)
    assert not bench.asked(Submit)
    assert not bench.engine.orders


def test_nothing_is_sent_before_recovery() -> None:
    bench = Bench()
    bench.approve(epoch=0)
    assert bench.told(Refused)[0].breaches[0].code == "NOT_RECONCILED"


def test_the_same_approval_twice_is_one_order(bench: Bench) -> None:
    bench.approve()
    bench.source -= 1
    assert bench.approve() == []
    assert len(bench.engine.orders) == 1


def test_an_old_approval_is_refused(bench: Bench) -> None:
    bench.approve(approval=5)
    bench.approve(approval=5)
    assert bench.told(Refused)[0].breaches[0].code == "SEQUENCE"


@pytest.mark.row("S065")
def test_accepted(bench: Bench) -> None:
    bench.approve()
    bench.on(answer(Outcome.ACCEPTED, order=order()))
    assert bench.status == "ACCEPTED"
    assert bench.engine.order_of(1, 1).venue_order_id == "v1"


def test_accepted_with_an_order_of_another_cid_is_unknown(bench: Bench) -> None:
    bench.approve()
    bench.on(answer(Outcome.ACCEPTED, order=order(cid="human")))
    assert bench.status == "UNKNOWN"


def test_a_refusal_is_final(bench: Bench) -> None:
    bench.approve()
    bench.on(answer(Outcome.REJECTED, http=403, code=40310000, text="insufficient buying power"))
    [fact] = bench.told(OrderChanged)
    assert (fact.status, fact.code, fact.reason) == (OrderStatus.REJECTED, 40310000, "insufficient buying power")


@pytest.mark.row("S067")
def test_what_never_left_is_repeated_after_1_2_4_seconds_then_given_up(bench: Bench) -> None:
    bench.approve()
    waits = []
    for attempt in (1, 2, 3):
        bench.on(answer(Outcome.NOT_SENT, attempt))
        assert bench.status == "INTENT"
        waits.append((bench.timers["execution.retry.1"] - bench.t) // SECOND)
        bench.fire("execution.retry.1")
        assert bench.asked(Submit)[0].attempt == attempt + 1
    bench.on(answer(Outcome.NOT_SENT, 4))
    assert waits == [1, 2, 4]
    [fact] = bench.told(OrderChanged)
    assert (fact.status, fact.reason, fact.tries) == (OrderStatus.REJECTED, "MaxRetriesExceeded", 4)


def test_what_is_too_late_is_cancelled_here(bench: Bench) -> None:
    bench.approve(valid_until=EPOCH + SECOND // 2)
    bench.on(answer(Outcome.NOT_SENT))
    bench.fire("execution.retry.1")
    assert bench.status == "CANCELED_LOCAL"
    assert not bench.asked(Submit)


@pytest.mark.row("S064")
def test_rate_limited_is_sent_again_when_the_venue_says(bench: Bench) -> None:
    bench.approve()
    bench.on(answer(Outcome.RATE_LIMITED, retry_at_mono=7 * SECOND))
    assert (bench.status, bench.timers["execution.retry.1"]) == ("INTENT", 7 * SECOND)
    bench.fire("execution.retry.1")
    assert bench.asked(Submit)[0].request.cid == order().cid


@pytest.mark.parametrize("outcome", [Outcome.REJECTED, Outcome.RATE_LIMITED, Outcome.NOT_SENT, Outcome.AMBIGUOUS])
def test_after_an_ambiguous_attempt_nothing_but_proof_ends_unknown(bench: Bench, outcome: Outcome) -> None:
    unknown(bench)
    prove_absent(bench)
    assert bench.asked(Submit)[0].attempt == 2
    assert bench.asked(Submit)[0].request.cid == order().cid
    bench.on(answer(outcome, 2, text="insufficient qty"))
    assert bench.status == "UNKNOWN"
    bench.fire("execution.lookup.1")
    bench.on(LookupResult(number=1, found=Found.FOUND, order=order()))
    assert bench.status == "ACCEPTED"


def test_a_404_proves_nothing_before_deadline_and_settle(bench: Bench) -> None:
    unknown(bench)
    bench.t = 14 * SECOND
    bench.fire("execution.lookup.1")
    assert bench.asked(Lookup)
    bench.t = 60 * SECOND  # the answer is late; the question was early
    bench.on(ABSENT)
    assert bench.status == "UNKNOWN"
    bench.fire("execution.lookup.1")
    bench.on(ABSENT)
    assert bench.status == "ABANDONED"  # past valid_until: not wanted any more


def test_look_ups_back_off(bench: Bench) -> None:
    unknown(bench)
    times = []
    while len(times) < 8:
        bench.fire("execution.lookup.1")
        times.append(bench.t / SECOND)
        bench.on(LookupResult(number=1, found=Found.FAILED))
    assert times == [0.25, 0.75, 1.75, 3.75, 7.75, 11.75, 15, 19]
    assert bench.status == "UNKNOWN"


def test_absence_is_proved_only_once_the_attempt_was_answered(bench: Bench) -> None:
    bench.approve(valid_until=EPOCH + 100 * SECOND)
    bench.t = 116 * SECOND
    bench.fire("execution.poll")
    assert (bench.status, bench.codes()) == ("UNKNOWN", ["NO_ANSWER"])
    for _ in range(9):
        bench.fire("execution.lookup.1")
        bench.on(ABSENT)
    assert bench.status == "UNKNOWN"


def test_an_unanswered_repetition_is_never_proved_absent(bench: Bench) -> None:
    bench.approve(valid_until=EPOCH + 1000 * SECOND)
    bench.on(AMBIGUOUS)
    prove_absent(bench)
    assert bench.asked(Submit)[0].attempt == 2
    bench.t += 1020 * SECOND
    bench.fire("execution.poll")
    assert bench.codes() == ["NO_ANSWER"]
    for _ in range(9):
        bench.fire("execution.lookup.1")
        bench.on(ABSENT)
        assert not bench.asked(Submit)
    assert bench.status == "UNKNOWN"


def test_an_attempt_that_may_still_wait_for_its_budget_is_not_overdue(bench: Bench) -> None:
    bench.approve(valid_until=EPOCH + 30 * SECOND)
    for t in (16, 30, 45):  # it may begin until 30, then comes deadline and settle
        bench.t = t * SECOND
        bench.fire("execution.poll")
        assert (bench.status, bench.codes()) == ("INTENT", [])
    bench.t = 46 * SECOND
    bench.fire("execution.poll")
    assert (bench.status, bench.codes()) == ("UNKNOWN", ["NO_ANSWER"])


def test_absence_counts_from_the_first_byte_not_from_the_command(bench: Bench) -> None:
    bench.approve()
    bench.t = 12 * SECOND
    bench.on(answer(Outcome.AMBIGUOUS, sent_mono=12 * SECOND))
    while not bench.asked(Submit):
        bench.fire("execution.lookup.1")
        asked = bench.t
        bench.on(ABSENT)
    assert asked == (12 + 15) * SECOND


def test_what_is_proved_absent_is_repeated_three_times_then_given_up(bench: Bench) -> None:
    bench.approve(valid_until=EPOCH + 1000 * SECOND)
    attempts = []
    while bench.status != "ABANDONED":
        attempts.append(bench.asked(Submit)[0].attempt)
        bench.on(answer(Outcome.AMBIGUOUS, attempt=attempts[-1]))
        prove_absent(bench)
    assert attempts == [1, 2, 3, 4]


def test_a_stream_event_ends_unknown(bench: Bench) -> None:
    unknown(bench)
    bench.on(update("new", order()))
    assert bench.status == "ACCEPTED"
    assert bench.fire("execution.lookup.1") == []
    assert bench.on(ABSENT)  # an old denial: read again
    assert bench.status == "ACCEPTED"


def test_a_stream_event_cancels_a_retry(bench: Bench) -> None:
    bench.approve()
    bench.on(answer(Outcome.NOT_SENT))
    bench.on(update("new", order()))
    assert bench.fire("execution.retry.1") == []


def test_duplicate_adopts_the_same_order(bench: Bench) -> None:
    bench.approve()
    bench.on(answer(Outcome.DUPLICATE, http=422, code=40010001))
    assert (bench.status, len(bench.asked(Lookup))) == ("UNKNOWN", 1)
    bench.on(LookupResult(number=1, found=Found.FOUND, order=order(created_at=EPOCH - 4 * SECOND)))
    assert bench.status == "ACCEPTED"


@pytest.mark.parametrize("changes", [{"qty": "11"}, {"limit_price": "191"}, {"symbol": "MSFT"}, {"created_at": EPOCH - 6 * SECOND}])
def test_duplicate_of_another_order_halts(bench: Bench, changes: dict[str, object]) -> None:
    bench.approve()
    bench.on(answer(Outcome.DUPLICATE))
    bench.on(LookupResult(number=1, found=Found.FOUND, order=order(**changes)))
    assert "CID_TAKEN" in bench.codes()
    [kill] = [c.message for c in bench.asked(Publish) if isinstance(c.message, Kill)]
    assert (kill.level, kill.scope) == ("HALTED", "system")
    assert bench.engine.order_of(1, 1).status is OrderStatus.UNKNOWN


def test_an_abandoned_order_that_appears_is_adopted_cancelled_and_alarmed(bench: Bench) -> None:
    bench.approve(valid_until=EPOCH + SECOND)
    bench.on(AMBIGUOUS)
    prove_absent(bench)
    assert bench.status == "ABANDONED"
    bench.on(update("new", order()))
    assert "APPEARED" in bench.codes()
    assert bench.asked(Cancel)[0].venue_order_id == "v1"
    assert bench.status == "PENDING_CANCEL"


def test_an_unknown_order_that_nobody_wants_is_cancelled_when_found(bench: Bench) -> None:
    unknown(bench)
    bench.on(CancelIntent(strategy=1, source=1))
    assert [fact.number for fact in bench.told(CancelWanted)] == [1]
    bench.on(CancelIntent(strategy=1, source=1))
    assert bench.commands == []  # the wish is known
    bench.fire("execution.lookup.1")
    bench.on(LookupResult(number=1, found=Found.FOUND, order=order()))
    assert len(bench.asked(Cancel)) == 1


def test_an_unknown_order_that_nobody_wants_is_not_sent_again(bench: Bench) -> None:
    unknown(bench)
    bench.on(CancelIntent(strategy=1, source=1))
    prove_absent(bench)
    assert bench.status == "ABANDONED"


def test_a_fill_can_come_before_the_answer(bench: Bench) -> None:
    bench.approve()
    bench.on(update("fill", order(filled_qty="10", status="filled"), price="190", qty="10", execution_id="x"))
    assert bench.status == "FILLED"
    bench.on(answer(Outcome.ACCEPTED, order=order()))
    assert bench.status == "FILLED"


def test_replacing(bench: Bench) -> None:
    bench.approve()
    bench.on(answer(Outcome.ACCEPTED, order=order()))
    bench.approve(replaces=1, limit_px=191 * SECOND)
    [intended] = bench.told(Intended)
    assert (intended.number, intended.replaces, intended.root) == (2, 1, 1)
    assert bench.engine.orders[1].status is OrderStatus.PENDING_REPLACE
    bench.on(SubmitResult(number=2, attempt=1, outcome=Outcome.ACCEPTED, order=order(2, limit_price="191", replaces="v1")))
    bench.on(update("replaced", order(status="replaced", replaced_by="v2")))
    assert [o.status for o in bench.engine.orders.values()] == [OrderStatus.REPLACED, OrderStatus.ACCEPTED]


@pytest.mark.parametrize("anew", [False, True])
def test_a_replacement_that_the_venue_works_anew_ends_where_its_chain_is_filled(bench: Bench, anew: bool) -> None:
    """4 of 10 are filled, then the price is changed: 6 more are wanted, and a venue was seen to work all 10 again."""
    bench.approve()
    bench.on(answer(Outcome.ACCEPTED, order=order()))
    bench.on(execution("4", "4"))
    bench.approve(replaces=1, limit_px=191 * SECOND)
    new = {"limit_price": "191", "replaces": "v1"}
    bench.on(SubmitResult(number=2, attempt=1, outcome=Outcome.ACCEPTED, order=order(2, **new)))
    bench.on(update("replaced", order(status="replaced", replaced_by="v2", filled_qty="4")))
    bench.on(execution("5", "5", number=2, **new))
    assert (bench.codes(), bench.asked(Cancel)) == ([], [])
    bench.on(execution("6", "1", number=2, status="partially_filled" if anew else "filled", **new))
    assert bench.codes() == ["OVERFILL"] * anew
    assert [c.venue_order_id for c in bench.asked(Cancel)] == ["v2"] * anew
    bench.on(LookupResult(number=2, found=Found.FOUND, order=order(2, filled_qty="5", status="partially_filled", **new)))
    assert bench.codes() == []  # an older sight proves nothing
    assert bench.status == ("PENDING_CANCEL" if anew else "FILLED")
    assert bench.engine.positions == {1: 10 * SHARE}


def test_a_refused_replacement_leaves_the_order_as_it_was(bench: Bench) -> None:
    bench.approve()
    bench.on(answer(Outcome.ACCEPTED, order=order()))
    bench.approve(replaces=1, limit_px=191 * SECOND)
    bench.on(SubmitResult(number=2, attempt=1, outcome=Outcome.REJECTED, http=422, code=42210000))
    assert bench.asked(Lookup)[-1].cid == bench.engine.orders[2].cid  # somebody on the way may have sent it twice
    bench.on(LookupResult(number=2, found=Found.ABSENT))
    assert [o.status for o in bench.engine.orders.values()] == [OrderStatus.ACCEPTED, OrderStatus.REJECTED]


def test_an_order_whose_replacement_was_cancelled_on_its_way_works_again(bench: Bench) -> None:
    """The venue says so once, and nobody may have listened: a look at the order tells it too."""
    bench.approve()
    bench.on(SubmitResult(number=1, attempt=1, outcome=Outcome.ACCEPTED, order=order()))
    bench.approve(replaces=1, limit_px=191 * SECOND)
    bench.on(SubmitResult(number=2, attempt=1, outcome=Outcome.ACCEPTED, order=order(2, limit_price="191", replaces="v1")))
    bench.on(LookupResult(number=1, found=Found.FOUND, order=order(updated_at=EPOCH + 1)))
    assert bench.engine.orders[1].status is OrderStatus.PENDING_REPLACE  # it may still come
    bench.on(update("canceled", order(2, limit_price="191", replaces="v1", status="canceled")))
    bench.on(LookupResult(number=1, found=Found.FOUND, order=order(updated_at=EPOCH + 2)))
    assert bench.engine.orders[1].status is OrderStatus.ACCEPTED


def test_a_replacement_that_was_sent_twice_is_not_refused_for_its_own_first_copy(bench: Bench) -> None:
    bench.approve()
    bench.on(answer(Outcome.ACCEPTED, order=order()))
    bench.approve(replaces=1, limit_px=191 * SECOND)
    bench.on(SubmitResult(number=2, attempt=1, outcome=Outcome.REJECTED, http=422, code=42210000, text='it is in "replaced" state'))
    assert bench.engine.orders[2].status is OrderStatus.UNKNOWN
    bench.on(LookupResult(number=2, found=Found.FAILED))
    assert bench.engine.orders[2].status is OrderStatus.UNKNOWN
    bench.on(LookupResult(number=2, found=Found.FOUND, order=order(2, limit_price="191", replaces="v1")))
    assert bench.engine.orders[2].status is OrderStatus.ACCEPTED
