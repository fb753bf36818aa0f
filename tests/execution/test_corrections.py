"""Executions that the venue takes back or changes: rebooked once, and what it tells afterwards agrees."""

from tests.reference.bench import EPOCH, SHARE, Bench, activity, order, update

from pyrt.clock import SECOND
from pyrt.model import Filled, PositionAdjusted
from pyrt.ports import Outcome, StreamState, SubmitResult, TakeSnapshot, TradeUpdate


def fill(cum: str, qty: str, execution: str, at: int) -> TradeUpdate:
    status = "filled" if cum == "10" else "partially_filled"
    shown = order(filled_qty=cum, status=status)
    return update("partial_fill", shown, price="190", qty=qty, execution_id=execution, ts=EPOCH + at)


def part_filled(bench: Bench) -> None:
    bench.approve()
    bench.on(SubmitResult(number=1, attempt=1, outcome=Outcome.ACCEPTED, order=order()))
    bench.on(fill("4", "4", "e1", 1))


def bust(filled: str = "0") -> TradeUpdate:
    return update("trade_bust", order(filled_qty=filled), price="190", qty="4", execution_id="e1", ts=EPOCH + 20)


def test_a_working_order_goes_on_after_a_bust(bench: Bench) -> None:
    part_filled(bench)
    bench.on(bust())
    bench.on(bust())
    assert bench.engine.positions == {}
    assert bench.engine.orders[1].filled == 0
    bench.on(fill("4", "4", "e2", 30))  # the same quantity again: another execution
    assert bench.engine.positions == {1: 4 * SHARE}
    assert bench.codes().count("BREAK") == 0
    assert sum(isinstance(fact, PositionAdjusted) for fact in bench.facts) == 1


def test_what_was_taken_back_is_not_booked_by_a_late_word_of_it(bench: Bench) -> None:
    part_filled(bench)
    bench.t = 10 * SECOND
    bench.on(bust())
    bench.snapshot(orders=(order(),), fills=(activity("4", "4"),))  # read before it happened
    assert bench.engine.positions == {}
    bench.on(fill("4", "4", "e1", 1))
    assert bench.engine.positions == {}
    assert sum(isinstance(fact, Filled) for fact in bench.facts) == 1


def test_a_correction_upwards_leaves_nothing_missing(bench: Bench) -> None:
    part_filled(bench)
    bench.t = 10 * SECOND
    shown = order(filled_qty="6", status="partially_filled")
    bench.on(update("trade_correct", shown, price="191", qty="6", execution_id="e1", ts=EPOCH + 20))
    assert bench.engine.positions == {1: 6 * SHARE}
    assert bench.engine.orders[1].filled == 6 * SHARE
    bench.snapshot(orders=(shown,), fills=(activity("4", "6", price="191"),))
    assert not {"BREAK", "FILLS_MISSING"} & set(bench.codes())
    bench.on(fill("10", "4", "e2", 30))
    assert (bench.engine.positions, bench.status) == ({1: 10 * SHARE}, "FILLED")


def test_a_replay_knows_of_it(bench: Bench) -> None:
    part_filled(bench)
    bench.on(bust())
    again = Bench(bench.facts)
    assert again.engine.state_digest() == bench.engine.state_digest()
    assert again.engine.orders[1].filled == 0


def test_an_order_ends_though_a_bust_was_never_told(bench: Bench) -> None:
    """Taken back while nobody listened: later fills contradict ours, no further word of them would help."""
    part_filled(bench)
    bench.on(StreamState(stream="trading", up=False))
    bench.t = 10 * SECOND
    bench.on(StreamState(stream="trading", up=True))
    bench.snapshot(orders=(order(filled_qty="10", status="filled"),), fills=(activity("10", "10"),))
    assert bench.status == "FILLED"
    assert bench.codes().count("BREAK") == 1
    assert bench.engine.positions == {1: 4 * SHARE}


def test_a_final_state_that_waited_ends_with_the_contradiction(bench: Bench) -> None:
    part_filled(bench)
    bench.t = 10 * SECOND
    bench.on(update("canceled", order(filled_qty="6", status="canceled"), ts=EPOCH + 30))
    assert bench.status == "PARTIAL"  # fills of it are missing
    bench.t = 20 * SECOND
    bench.snapshot(orders=(order(filled_qty="6", status="canceled"),), fills=(activity("6", "6"),))
    assert bench.status == "CANCELED"


def test_fills_after_one_that_was_taken_back_are_booked_when_they_make_the_whole(bench: Bench) -> None:
    """Of 4, 6 the first was never told and is taken back: the order ends with 6, the second fill keeps its place at 10."""
    bench.approve()
    bench.on(SubmitResult(number=1, attempt=1, outcome=Outcome.ACCEPTED, order=order()))
    bench.on(StreamState(stream="trading", up=False))
    bench.t = 10 * SECOND
    bench.on(StreamState(stream="trading", up=True))
    bench.snapshot(orders=(order(filled_qty="6", status="canceled"),), fills=(activity("10", "6"),))
    assert (bench.engine.positions, bench.status) == ({1: 6 * SHARE}, "CANCELED")
    assert not {"BREAK", "FILLS_MISSING"} & set(bench.codes())


def test_an_order_ends_though_a_correction_was_never_told(bench: Bench) -> None:
    """An execution of 4 became one of 8 while nobody listened: what follows it can never fit, and a human explains the position."""
    part_filled(bench)
    bench.on(StreamState(stream="trading", up=False))
    bench.t = 10 * SECOND
    bench.on(StreamState(stream="trading", up=True))
    shown = order(filled_qty="11", status="filled")
    bench.snapshot(orders=(shown,), fills=(activity("4", "8", price="191"), activity("10", "3")))
    assert bench.status == "FILLED"
    assert bench.codes().count("BREAK") == 1
    assert "FILLS_MISSING" not in bench.codes()
    assert bench.engine.positions == {1: 4 * SHARE}


def test_a_correction_that_the_list_told_before_the_stream_ends_the_doubt(bench: Bench) -> None:
    part_filled(bench)
    bench.on(StreamState(stream="trading", up=False))
    bench.t = 10 * SECOND
    bench.on(StreamState(stream="trading", up=True))
    shown = order(filled_qty="6", status="partially_filled")
    bench.snapshot(orders=(shown,), fills=(activity("4", "6", price="191"),))
    bench.on(update("trade_correct", shown, price="191", qty="6", execution_id="e1", ts=EPOCH + 20))
    assert bench.engine.orders[1].filled == 6 * SHARE
    bench.t = 20 * SECOND
    over = order(filled_qty="8", status="canceled")
    bench.on(update("canceled", over, ts=EPOCH + 30))  # the fill of 2 before it was lost on its way
    assert bench.status == "PARTIAL"
    bench.t = 30 * SECOND
    bench.snapshot(orders=(over,), fills=(activity("4", "6", price="191"), activity("8", "2")))
    assert (bench.engine.positions, bench.status) == ({1: 8 * SHARE}, "CANCELED")


def correction(qty: str, price: str, at: int, **names: str) -> TradeUpdate:
    shown = order(filled_qty=qty, status="partially_filled")
    return update("trade_correct", shown, price=price, qty=qty, ts=EPOCH + at, **({"execution_id": "e1"} | names))


def test_what_was_corrected_may_be_corrected_again_and_taken_back(bench: Bench) -> None:
    part_filled(bench)
    before = bench.engine._orders.cash_flow + 4 * 190 * SHARE
    bench.on(correction("6", "191", 20))
    bench.on(correction("6", "191", 20))
    bench.on(correction("5", "192", 30))
    assert (bench.engine.positions, bench.engine.orders[1].filled) == ({1: 5 * SHARE}, 5 * SHARE)
    assert bench.engine._orders.cash_flow == before - 5 * 192 * SHARE
    bench.on(update("trade_bust", order(filled_qty="0"), price="192", qty="5", execution_id="e1", ts=EPOCH + 40))
    assert (bench.engine.positions, bench.engine.orders[1].filled) == ({}, 0)
    assert bench.engine._orders.cash_flow == before


def test_a_correction_names_the_execution_that_it_changes(bench: Bench) -> None:
    """A venue may give it an id of its own; the next word then calls the execution by that."""
    part_filled(bench)
    bench.on(correction("6", "191", 20, execution_id="e2", previous_execution_id="e1"))
    assert bench.engine.positions == {1: 6 * SHARE}
    bust_of_it = {"execution_id": "e3", "previous_execution_id": "e2"}
    bench.on(update("trade_bust", order(filled_qty="0"), price="191", qty="6", ts=EPOCH + 40, **bust_of_it))
    assert bench.engine.positions == {}


def test_a_correction_without_numbers_is_no_bust(bench: Bench) -> None:
    part_filled(bench)
    bench.t = 10 * SECOND
    shown = order(filled_qty="4", status="partially_filled")
    bench.on(update("trade_correct", shown, execution_id="e1", ts=EPOCH + 20))
    assert bench.engine.positions == {1: 4 * SHARE}
    assert bench.asked(TakeSnapshot)
