"""Recovery, and the drop-copy check while running."""

from typing import Any

import msgspec
import pytest
from tests.reference.bench import ACCOUNT, EPOCH, SHARE, Bench, activity, execution, order, position, update

from pyrt.clock import SECOND
from pyrt.execution.reconcile import rounded_down
from pyrt.model import (
    EXTERNAL,
    AccountSeen,
    CancelIntent,
    Defined,
    EpochOpened,
    ExternalSeen,
    Filled,
    OrderChanged,
    OrderStatus,
    PositionAdjusted,
    Recovered,
)
from pyrt.ports import (
    Cancel,
    Found,
    Kill,
    Lookup,
    LookupResult,
    Outcome,
    Publish,
    QueryFailed,
    Start,
    StreamState,
    Submit,
    SubmitResult,
    TakeSnapshot,
)

UP = StreamState(stream="trading", up=True)


def restarted(bench: Bench) -> Bench:
    again = Bench(bench.facts)
    again.t = 100 * SECOND  # another process, another monotonic clock
    return again


def sent(bench: Bench) -> None:
    bench.approve()
    bench.on(SubmitResult(number=1, attempt=1, outcome=Outcome.ACCEPTED, order=order()))


def test_the_snapshot_waits_for_the_stream() -> None:
    bench = Bench()
    bench.on(Start(epoch=1))
    assert bench.told(EpochOpened)[0].epoch == 1
    assert not bench.asked(TakeSnapshot)
    bench.on(UP)
    assert len(bench.asked(TakeSnapshot)) == 1
    bench.snapshot()
    assert bench.told(Recovered)[0].unexplained == 0
    assert bench.told(AccountSeen)[0].cash == 1000 * SECOND
    assert bench.told(Recovered)[0].state_hash == bench.engine.state_digest()


def test_the_stream_can_be_up_before_the_start() -> None:
    bench = Bench()
    bench.on(UP)
    bench.on(Start(epoch=1))
    assert len(bench.asked(TakeSnapshot)) == 1


def test_a_failed_query_proves_nothing_and_is_asked_again() -> None:
    bench = Bench()
    bench.on(Start(epoch=1))
    bench.on(UP)
    waits = []
    for query in range(1, 5):
        bench.on(QueryFailed(query=query, text="reset"))
        waits.append((bench.timers["execution.snapshot"] - bench.t) // SECOND)
        bench.fire("execution.snapshot")
    assert waits == [2, 4, 8, 16]
    assert not bench.engine.recovered
    bench.snapshot()
    assert bench.engine.recovered


def test_refused_keys_end_the_asking() -> None:
    bench = Bench()
    bench.on(Start(epoch=1))
    bench.on(UP)
    bench.on(QueryFailed(query=1, text="401", final=True))
    assert bench.codes() == ["REFUSED"]
    assert bench.on(UP) == []


def test_a_new_journal_adopts_what_the_account_holds() -> None:
    bench = Bench()
    parts = {"positions": (position("7"), position("-3", "MSFT")), "orders": (order(id="h", cid="human", filled_qty="2"),)}
    bench.start(**parts)
    assert not bench.engine.recovered  # one reading is not yet quiet
    bench.fire("execution.snapshot")
    bench.snapshot(**parts)
    assert [(f.strategy, f.instrument, f.qty, f.cost) for f in bench.told(PositionAdjusted)] == [
        (EXTERNAL, 1, 7 * SHARE, 1050 * SECOND),
        (EXTERNAL, 2, -3 * SHARE, -450 * SECOND),
    ]
    assert bench.told(Defined)[0].instrument.symbol == "MSFT"
    assert bench.told(ExternalSeen)[0].filled_qty == 2 * SHARE
    assert bench.engine.recovered
    bench.on(update("partial_fill", order(id="h", cid="human", filled_qty="5", status="partially_filled"), price="9", qty="3"))
    assert bench.engine.positions[1] == 10 * SHARE


def test_a_new_journal_does_not_begin_with_a_reading_during_which_a_trade_may_have_fallen() -> None:
    """Others trade all the time: no two readings are the same. Our clock says when a reading began, and may be late with it."""
    bench = Bench()

    def shown(n: int, age: int) -> dict[str, Any]:
        fill = activity(str(n), "1", venue_id="h", ts=EPOCH + bench.t - age)
        return {
            "orders": (order(id="h", cid="human", qty="90", filled_qty=str(n)),),
            "positions": (position(str(n)),),
            "fills": (fill,),
        }

    bench.start(**shown(1, 0))
    for n in range(2, 12):
        bench.fire("execution.snapshot")
        bench.snapshot(**shown(n, SECOND // 30))
        assert not bench.told(PositionAdjusted)
    bench.fire("execution.snapshot")
    bench.snapshot(**shown(12, 2 * SECOND))
    [opening] = bench.told(PositionAdjusted)
    assert opening.qty == 12 * SHARE


def test_an_old_journal_never_invents_a_position(bench: Bench) -> None:
    again = restarted(bench)
    again.start(positions=(position("7"),))
    assert not again.engine.recovered
    again.fire("execution.snapshot")
    again.snapshot(positions=(position("7"),))
    assert again.told(Recovered)[0].unexplained == 1
    assert not again.told(PositionAdjusted)
    assert {"POSITION_BREAK", "UNEXPLAINED"} <= set(again.codes())
    [kill] = [c.message for c in again.asked(Publish) if isinstance(c.message, Kill)]
    assert (kill.level, kill.scope) == ("REDUCING", "instrument:1")
    assert dict(again.engine.unexplained) == {1: 7 * SHARE}


@pytest.mark.row("X03")
def test_an_intent_that_no_page_shows_is_doubted_then_abandoned(bench: Bench) -> None:
    bench.approve()
    again = restarted(bench)
    again.start()
    assert again.told(OrderChanged)[0].status is OrderStatus.UNKNOWN
    assert (again.engine.recovered, again.engine.unresolved) == (True, 1)
    again.on(LookupResult(number=1, found=Found.ABSENT))
    while again.status == "UNKNOWN":
        again.fire("execution.lookup.1")
        again.on(LookupResult(number=1, found=Found.ABSENT))
        assert not again.asked(Submit)
    assert (again.status, again.t) == ("ABANDONED", 115 * SECOND)


@pytest.mark.row("X03")
def test_later_starts_do_not_wait_anew_for_an_order_of_a_life_that_is_over(bench: Bench) -> None:
    """15 s run from the first start after that life, whatever the clock of each process shows."""
    bench.approve()
    again = restarted(bench)
    again.start()  # at +100 s of venue time
    assert again.status == "UNKNOWN"
    third = Bench(again.facts)
    third.t = 106 * SECOND
    third.start()
    assert (third.status, third.engine.recovered) == ("UNKNOWN", True)
    third.on(LookupResult(number=1, found=Found.ABSENT))
    while third.status == "UNKNOWN":
        third.fire("execution.lookup.1")
        third.on(LookupResult(number=1, found=Found.ABSENT))
    assert (third.status, third.t) == ("ABANDONED", 115 * SECOND)
    fourth = Bench(again.facts)
    fourth.t = 1000 * SECOND
    fourth.start()
    fourth.on(LookupResult(number=1, found=Found.ABSENT))  # asked for at once, and proof at once
    assert fourth.status == "ABANDONED"


@pytest.mark.row("X03")
def test_a_wish_to_cancel_an_order_of_unknown_fate_outlives_the_process(bench: Bench) -> None:
    bench.approve()
    bench.on(SubmitResult(number=1, attempt=1, outcome=Outcome.AMBIGUOUS, text="504"))
    bench.on(CancelIntent(strategy=1, source=1))
    again = restarted(bench)
    again.start()
    assert (again.status, again.asked(Cancel)) == ("UNKNOWN", [])
    again.on(LookupResult(number=1, found=Found.FOUND, order=order()))
    assert [c.number for c in again.asked(Cancel)] == [1]
    assert again.status == "PENDING_CANCEL"
    assert not again.engine.orders[1].unwanted  # its status tells it now
    third = restarted(again)
    third.start(orders=(order(),))
    assert [c.number for c in third.asked(Cancel)] == [1]


@pytest.mark.row("X03")
def test_an_intent_that_the_pages_show_is_adopted_with_its_fills(bench: Bench) -> None:
    bench.approve()
    again = restarted(bench)
    fills = (activity("7", "3"), activity("4", "4"))
    again.start(orders=(order(filled_qty="7", status="canceled"),), fills=fills, positions=(position("7"),))
    assert (again.status, again.engine.positions, again.engine.recovered) == ("CANCELED", {1: 7 * SHARE}, True)
    assert again.told(Recovered)[0].unexplained == 0


def test_a_known_order_that_no_page_shows_is_looked_up(bench: Bench) -> None:
    sent(bench)
    again = restarted(bench)
    again.start()
    assert [c.cid for c in again.asked(Lookup)] == [order().cid]
    again.on(LookupResult(number=1, found=Found.FOUND, order=order(status="expired")))
    assert again.status == "EXPIRED"


def test_nothing_is_sent_again_after_a_restart(bench: Bench) -> None:
    bench.approve(valid_until=EPOCH + 1000 * SECOND)
    again = restarted(bench)
    again.start()
    again.on(LookupResult(number=1, found=Found.ABSENT))
    while again.status == "UNKNOWN":
        again.fire("execution.lookup.1")
        again.on(LookupResult(number=1, found=Found.ABSENT))
        assert not again.asked(Submit)
    assert again.status == "ABANDONED"


def test_the_snapshot_reaches_back_to_the_oldest_open_intent(bench: Bench) -> None:
    sent(bench)
    bench.t = 3 * 86_400 * SECOND
    bench.approve(valid_until=1 << 62)
    again = restarted(bench)
    again.on(Start(epoch=2))
    again.on(UP)
    assert again.asked(TakeSnapshot)[0].since == EPOCH - SECOND


def test_what_the_stream_tells_before_the_snapshot_is_kept(bench: Bench) -> None:
    sent(bench)
    again = restarted(bench)
    again.on(Start(epoch=2))
    again.on(UP)
    asked = again.commands
    again.on(execution("10", "6"))
    assert again.commands == []
    again.commands = asked
    again.snapshot(
        orders=(order(filled_qty="4", status="partially_filled"),), fills=(activity("4", "4"),), positions=(position("4"),)
    )
    assert [f.cum_qty // SHARE for f in again.told(Filled)] == [4, 10]
    assert again.status == "FILLED"


def test_every_rise_of_the_stream_reads_the_venue_again(bench: Bench) -> None:
    bench.t = 5 * SECOND
    bench.on(StreamState(stream="trading", up=False))
    assert bench.commands == []
    bench.on(StreamState(stream="data", up=True))
    assert bench.commands == []
    bench.on(UP)
    assert len(bench.asked(TakeSnapshot)) == 1


def polled(bench: Bench, until: float) -> list[float]:
    """When open orders are looked up, in s, up to an instant."""
    times = []
    while bench.timers["execution.poll"] <= until * SECOND:
        bench.fire("execution.poll")
        times += [bench.t / SECOND for _ in bench.asked(Lookup)]
    return times


@pytest.mark.row("X02")
def test_open_orders_are_polled_when_nothing_proved_them_of_late(bench: Bench) -> None:
    sent(bench)
    assert len(polled(bench, 4)) == 1
    bench.on(LookupResult(number=1, found=Found.FOUND, order=order(filled_qty="4", status="partially_filled")))
    assert len(bench.asked(TakeSnapshot)) == 1  # a fill that the stream never told
    bench.snapshot(
        orders=(order(filled_qty="4", status="partially_filled"),), fills=(activity("4", "4"),), positions=(position("4"),)
    )
    assert bench.engine.positions == {1: 4 * SHARE}


@pytest.mark.parametrize("proved", [20.0, 20.01, 20.5, 20.99, 22.5, 24.4])
def test_whenever_an_order_was_proved_it_is_asked_for_so_soon_that_a_fill_is_booked_within_five_seconds(
    bench: Bench, proved: float
) -> None:
    sent(bench)
    polled(bench, proved)
    bench.t = int(proved * SECOND)
    bench.on(LookupResult(number=1, found=Found.FOUND, order=order()))
    [asked] = polled(bench, proved + 4)
    assert 3 <= asked - proved <= 4


def test_a_look_up_without_an_answer_is_not_repeated_every_second(bench: Bench) -> None:
    sent(bench)
    first, *others = polled(bench, 20)
    assert [t - first for t in others] == [5, 10, 15]


def test_many_open_orders_are_polled_by_one_snapshot_and_one_by_one_when_it_takes_long(bench: Bench) -> None:
    for number in range(1, 7):
        bench.approve()
        bench.on(SubmitResult(number=number, attempt=1, outcome=Outcome.ACCEPTED, order=order(number)))
    proved = bench.t
    while not (asked := bench.asked(TakeSnapshot)):
        bench.fire("execution.poll")
    assert 3 * SECOND <= bench.t - proved <= 4 * SECOND
    looked: list[int] = []
    while bench.t - proved < 8 * SECOND:  # the one under way proves them: no second one behind it
        bench.fire("execution.poll")
        assert not bench.asked(TakeSnapshot)
        if asked_now := bench.asked(Lookup):
            assert len(asked_now) <= 4
            assert bench.t - proved <= 5 * SECOND
            looked += [command.number for command in asked_now]
    assert sorted(looked) == list(range(1, 7))
    bench.commands = [*asked]
    bench.snapshot(orders=tuple(order(number) for number in range(1, 7)))
    assert not bench.asked(TakeSnapshot)
    assert "execution.snapshot" not in bench.timers


def test_a_break_must_live_two_cycles(bench: Bench) -> None:
    bench.fire("execution.reconcile")
    bench.snapshot(positions=(position("1"),))
    assert bench.codes() == []
    bench.fire("execution.snapshot")
    bench.snapshot(positions=(position("1"),))
    assert bench.codes() == ["POSITION_BREAK"]
    bench.fire("execution.reconcile")
    bench.snapshot()
    assert bench.codes() == ["EXPLAINED"]
    assert not bench.engine.unexplained


def test_a_position_read_before_a_fill_is_no_break(bench: Bench) -> None:
    sent(bench)
    bench.fire("execution.reconcile")
    query = bench.commands
    bench.on(execution("4", "4"))
    bench.commands = query
    bench.snapshot(orders=(order(),))  # all read before the execution
    assert not bench.asked(TakeSnapshot)
    assert "execution.snapshot" not in bench.timers  # nothing to look at again


def test_an_order_placed_while_the_pages_were_read_is_not_taken_for_foreign(bench: Bench) -> None:
    bench.fire("execution.reconcile")
    query = bench.commands
    bench.approve()
    bench.commands = query
    bench.snapshot(fills=(activity("4", "4", ts=EPOCH + bench.t),), positions=(position("0"),))
    assert not bench.told(ExternalSeen)
    bench.on(execution("4", "4"))
    assert bench.engine.order_of(1, 1).filled == 4 * SHARE


def test_another_account_halts(bench: Bench) -> None:
    bench.fire("execution.reconcile")
    bench.snapshot(account=msgspec.structs.replace(ACCOUNT, id="b"))
    assert "OTHER_ACCOUNT" in bench.codes()


def test_cash_moves_as_the_fills_say(bench: Bench) -> None:
    sent(bench)
    bench.on(execution("4", "4"))
    shown = order(filled_qty="4", status="partially_filled")
    for cash, codes in (("240", []), ("240", []), ("239", []), ("239", ["CASH_BREAK"]), ("239", [])):
        bench.t += 10 * SECOND
        bench.fire("execution.reconcile")
        bench.snapshot(orders=(shown,), positions=(position("4"),), account=msgspec.structs.replace(ACCOUNT, cash=cash))
        assert bench.codes() == codes


def test_fills_that_stay_missing_are_told(bench: Bench) -> None:
    sent(bench)
    bench.t = 10 * SECOND
    shown = order(filled_qty="4", status="partially_filled")
    bench.on(update("restated", shown))
    bench.snapshot(orders=(shown,))
    bench.fire("execution.snapshot")
    bench.snapshot(orders=(shown,))
    assert "FILLS_MISSING" in bench.codes()
    assert not bench.told(Filled)


def test_money_with_more_decimals_than_we_keep_is_rounded_down_and_not_unreadable() -> None:
    """Parts of shares leave twelve decimals in cash, and an average entry price has no last one."""
    bench = Bench()
    bench.on(Start(epoch=1))
    bench.on(UP)
    account = msgspec.structs.replace(ACCOUNT, cash="-14766.643284366734", buying_power="12.3456789019", equity="1e3")
    bench.snapshot(account=account)
    assert "UNREADABLE" not in bench.codes()
    [seen] = bench.told(AccountSeen)
    assert (seen.cash, seen.buying_power, seen.equity) == (-14766643284367, 12345678901, 1000 * SECOND)
    assert rounded_down("189.333333333333333333") == 189333333333
    with pytest.raises(ValueError, match="not a number that we can hold"):
        rounded_down("1e40")
