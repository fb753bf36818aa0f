"""The loop: order of callbacks, what a strategy's mistake costs, what a restart finds."""

import sys
from typing import Any

import msgspec
import pytest
from tests.reference.room import BUY, QTY, SECOND, T0, Room

from pyrt._core.types import Side
from pyrt.clock import VenueClock
from pyrt.errors import ConfigError
from pyrt.model import Filled, Intended, Latched, OrderStatus, PositionAdjusted, Refused
from pyrt.ports import Cancel, ClockMeasured, Replace, Stop, Submit, TimerFired, VenuePosition
from pyrt.strategies import Order, Strategy

SHARE = QTY


class Idle(Strategy):
    symbols = ("AAPL",)


class Diary(Strategy):
    """Writes down what it is told, with what it could see then."""

    symbols = ("AAPL",)

    def on_start(self) -> None:
        self.seen: list[tuple[Any, ...]] = [("start",)]

    def on_order(self, order: Order) -> None:
        self.seen.append(("order", order.number, order.status and order.status.name, order.breaches))

    def on_fill(self, order: Order, fill: Filled) -> None:
        self.seen.append(("fill", order.number, int(order.filled), int(self.position(order.symbol).quantity)))

    def on_stop(self) -> None:
        self.seen.append(("stop",))


class Other(Diary):
    pass


# ---------------------------------------------------------------------------------------------------- order of things
def test_a_fill_is_told_before_its_order_and_the_position_holds_it() -> None:
    s = Diary()
    room = Room(s)
    order = s.buy("AAPL", 10)
    room.quote()
    room.accept()
    room.fill(order.number)
    assert s.seen == [
        ("start",),
        ("order", 1, "ACCEPTED", ()),
        ("fill", 1, 10, 10),
        ("order", 1, "FILLED", ()),
    ]
    assert order.average == 100
    assert order.is_done
    assert s.open_orders() == []


def test_a_cancel_in_the_callback_that_sent_the_order_is_not_lost() -> None:
    class Hasty(Idle):
        def on_quote(self, quote: Any) -> None:
            if not self.open_orders():
                self.order = self.buy("AAPL", 10, limit=99)
                self.cancel(self.order)

    s = Hasty()
    room = Room(s)
    room.quote()
    assert s.order.number == 1
    room.accept()
    assert [c.number for c in room.cancelled()] == [1]
    assert s.order.status is OrderStatus.CANCELED
    assert "NO_SUCH_ORDER" not in room.codes()


def test_what_a_callback_sends_waits_for_the_callbacks_before_it() -> None:
    log: list[str] = []

    class Chain(Idle):
        def on_fill(self, order: Order, fill: Filled) -> None:
            log.append(f"fill {order.number}")
            if order.number == 1:
                self.sell("AAPL", 10, limit=101)
                log.append("sent")

        def on_order(self, order: Order) -> None:
            log.append(f"{order.status.name if order.status else order.breaches} {order.number}")

    s = Chain()
    room = Room(s)
    order = s.buy("AAPL", 10)
    room.quote()
    room.accept()
    log.clear()
    room.fill(order.number)
    assert log == ["fill 1", "sent", "FILLED 1"]
    [submit] = room.take(Submit)
    assert (submit.request.number, submit.request.side) == (2, Side.SELL)


def test_two_orders_of_one_callback_leave_in_their_order_and_a_refusal_between_does_not_turn_them() -> None:
    class Three(Diary):
        def on_quote(self, quote: Any) -> None:
            if not self.open_orders():
                self.buy("AAPL", 1, limit=99)
                self.buy("AAPL", 10**7)  # beyond every limit
                self.buy("AAPL", 2, limit=98)

    s = Three()
    room = Room(s)
    assert [c.request.qty for c in room.take(Submit)] == []
    room.quote()
    assert [c.request.qty for c in room.take(Submit)] == ["1", "2"]
    assert [e[0] for e in s.seen] == ["start", "order"]
    assert "ORDER_QTY" in s.seen[1][3]
    assert room.session.counts["intents"] == 3
    assert room.session.refusals["ORDER_QTY"] == 1


def test_each_callback_gets_one_object_and_both_strategies_the_same() -> None:
    got: list[Any] = []

    class A(Idle):
        def on_trade(self, trade: Any) -> None:
            got.append(trade)

        def on_quote(self, quote: Any) -> None:
            got.append(quote)

    class B(A):
        pass

    room = Room(A(), B())
    got.clear()
    room.trade(price=100.25, size=7)
    assert len(got) == 2
    assert got[0] is got[1]
    assert (got[0].price, got[0].size, got[0].symbol) == (100.25, 7.0, "AAPL")


def test_a_symbol_named_twice_is_told_once() -> None:
    class Twice(Strategy):
        symbols = ("AAPL", "AAPL")
        n = 0

        def on_trade(self, trade: Any) -> None:
            self.n += 1

    s = Twice()
    room = Room(s)
    room.trade()
    assert s.n == 1


def test_on_book_comes_with_the_live_book() -> None:
    seen: list[Any] = []

    class Depth(Idle):
        def on_book(self, symbol: str, book: Any) -> None:
            seen.append((symbol, book.best_bid, book.best_ask))

    room = Room(Depth())
    seen.clear()
    room.quote(bid=10.0, ask=10.02)
    room.trade()
    [(symbol, bid, ask)] = seen
    assert symbol == "AAPL"
    assert (bid[0], ask[0]) == (10_000_000_000, 10_020_000_000)


# ---------------------------------------------------------------------------------------------------- a strategy that raises
class Boom(Diary):
    """Raises in the callback that it is told to, after it sent an order there."""

    at = ""

    def fail(self, name: str) -> None:
        if self.at == name:
            raise ValueError("no\nluck")

    def on_start(self) -> None:
        super().on_start()
        self.set_timer("t", 1)
        self.fail("on_start")

    def on_trade(self, trade: Any) -> None:
        self.fail("on_trade")

    def on_quote(self, quote: Any) -> None:
        self.fail("on_quote")

    def on_book(self, symbol: str, book: Any) -> None:
        self.fail("on_book")

    def on_bar(self, bar: Any) -> None:
        self.fail("on_bar")

    def on_timer(self, name: str) -> None:
        self.fail("on_timer")

    def on_order(self, order: Order) -> None:
        super().on_order(order)
        self.fail("on_order")

    def on_fill(self, order: Order, fill: Filled) -> None:
        super().on_fill(order, fill)
        self.fail("on_fill")


class Calm(Boom):
    pass


def run_every_callback(room: Room, s: Boom) -> None:
    room.trade(ts=T0 + SECOND)
    room.quote()
    room.close_bars(T0 + 120 * SECOND)
    if "strategy.1.t" in room.shell.timers:
        room.fire("strategy.1.t")


@pytest.mark.parametrize("callback", ["on_trade", "on_quote", "on_book", "on_bar", "on_timer", "on_order", "on_fill"])
@pytest.mark.row("S154")
def test_a_strategy_that_raises_is_halted_alone_and_its_exits_stay(callback: str) -> None:
    s, other = Boom(), Calm()
    room = Room(s, other)
    s.buy("AAPL", 20)
    room.quote()
    room.accept()
    room.fill(1)
    exit_ = s.sell("AAPL", 5, limit=105, reduce_only=True)
    entry = s.buy("AAPL", 1, limit=90)
    theirs = other.buy("AAPL", 2, limit=80)
    room.quote()
    room.accept()
    assert len(s.open_orders()) == 2
    s.at = callback
    run_every_callback(room, s)
    if callback in ("on_order", "on_fill"):
        room.fill(entry.number, "0.5" if callback == "on_fill" else "")
    assert room.session.halted == {1}
    if not entry.is_done:
        assert [c.number for c in room.cancelled()] == [entry.number]
    assert not exit_.is_done
    assert not theirs.is_done
    [alarm] = [a for a in room.shell.alarms if a.code == "STRATEGY_FAILED"]
    assert callback in alarm.text
    assert "ValueError: no luck" in alarm.text
    assert "test_session.py:" in alarm.text
    [latch] = [f for f in room.shell.facts if isinstance(f, Latched)]
    assert (latch.scope, latch.level) == ("strategy:1", "REDUCING")
    n = len(other.seen)
    room.fill(theirs.number)  # the others go on
    assert len(other.seen) > n
    told = len(s.seen)
    room.fill(exit_.number)
    assert len(s.seen) == told  # and it is not called any more
    assert room.session.risk.position(1, 1).qty >= 15 * SHARE  # but its fill is booked


def test_what_a_failing_callback_sent_before_it_raised_does_not_open_anything() -> None:
    class Half(Idle):
        def on_trade(self, trade: Any) -> None:
            self.order = self.buy("AAPL", 10, limit=99)
            raise RuntimeError

    s = Half()
    room = Room(s)
    room.trade()
    assert room.take(Submit) == []
    assert s.order.is_refused
    assert "NO_SUCH_ORDER" not in room.codes()


class Stubborn(Calm):
    """Sends again whatever is refused."""

    def on_order(self, order):
        super().on_order(order)
        if order.breaches:
            self.buy("AAPL", 10**6)


def test_a_strategy_that_sends_again_whenever_it_is_refused_is_halted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pyrt.session.MOST_REFUSALS", 50)
    s, other = Stubborn(), Calm()
    room = Room(s, other)
    s.buy("AAPL", 10**6)
    room.quote()
    assert room.session.halted == {1}
    [alarm] = [a for a in room.shell.alarms if a.code == "STRATEGY_FAILED"]
    assert "50 orders in a row were refused within one event" in alarm.text
    assert sum(isinstance(f, Refused) for f in room.shell.facts) <= 52
    refused = other.buy("AAPL", 10**6)
    room.quote()
    assert refused.breaches
    assert room.session.halted == {1}


def test_sys_exit_and_an_error_that_cannot_be_shown_halt_only_the_strategy() -> None:
    class Rude(Exception):
        def __str__(self) -> str:
            raise ZeroDivisionError

    class Exits(Idle):
        def on_trade(self, trade: Any) -> None:
            sys.exit(3)

    class Raises(Idle):
        def on_trade(self, trade: Any) -> None:
            raise Rude

    room = Room(Exits(), Raises())
    room.trade()
    assert room.session.halted == {1, 2}
    texts = [a.text for a in room.shell.alarms if a.code == "STRATEGY_FAILED"]
    assert "SystemExit" in texts[0]
    assert "Rude" in texts[1]


def test_one_that_raises_in_on_start_is_halted_and_the_others_start() -> None:
    s, other = Boom(at="on_start"), Calm()
    room = Room(s, other)
    assert room.session.halted == {1}
    assert other.seen == [("start",)]


def test_ctrl_c_passes_through_a_callback() -> None:
    class Slow(Idle):
        def on_trade(self, trade: Any) -> None:
            raise KeyboardInterrupt

    room = Room(Slow())
    with pytest.raises(KeyboardInterrupt):
        room.trade()


# ---------------------------------------------------------------------------------------------------- stop
def test_after_stop_no_intent_is_taken_and_entries_are_cancelled_but_exits_stay() -> None:
    class Last(Diary):
        def on_stop(self) -> None:
            super().on_stop()
            self.late = self.buy("AAPL", 1)
            self.changed = self.replace(self.entry, limit=98)

    s = Last()
    room = Room(s)
    s.buy("AAPL", 10)
    room.quote()
    room.accept()
    room.fill(1)
    s.exit = s.sell("AAPL", 10, limit=105, reduce_only=True)
    s.entry = s.buy("AAPL", 1, limit=99)
    room.quote()
    room.accept()
    room.session.stop(room.now)
    room.step(Stop(reason="test"))
    assert s.seen[-1] == ("stop",)
    assert s.late.breaches == s.changed.breaches == ("NOT_RUNNING",)
    assert room.take(Submit) == room.take(Replace) == []
    assert [c.number for c in room.cancelled()] == [s.entry.number]
    assert s.seen[-1] == ("stop",)  # no callback after it
    assert room.session.execution.open_orders()[0].number == s.exit.number
    after = s.sell("AAPL", 1)
    assert after.is_refused
    assert s.open_orders() == [s.exit]


def test_on_stop_is_not_called_where_on_start_never_was() -> None:
    s = Diary()
    room = Room(s, start=False)
    room.session.stop(room.now)
    assert not hasattr(s, "seen")


# ---------------------------------------------------------------------------------------------------- a restart
def first_life() -> tuple[Room, Diary]:
    s = Diary()
    room = Room(s)
    s.buy("AAPL", 10)
    room.quote()
    room.accept()
    room.fill(1, "10")
    s.sell("AAPL", 10, limit=105, reduce_only=True)
    s.buy("AAPL", 10**7)
    room.quote()
    room.accept()
    room.fill(2, "4", price="105")
    return room, s


@pytest.mark.row("S122")
def test_a_restarted_strategy_sees_its_orders_and_positions_and_can_act_on_them() -> None:
    old, _ = first_life()
    s = Diary()
    room = Room(s, facts=old.facts, start=False)
    room.working = dict(old.working)
    room.recover(orders=tuple(old.working.values()), positions=(VenuePosition(symbol="AAPL", qty="6", avg_entry_price="100"),))
    room.quote()
    room.session.start(room.now)
    [order] = s.open_orders("AAPL")
    assert (order.number, order.status, order.filled, order.limit) == (2, OrderStatus.PARTIAL, 4, 105)
    assert order.average == 105
    assert s.position("AAPL").quantity == 6
    assert room.session.counts["orders"] == room.session.counts["fills"] == 0  # of this life
    room.fill(2, "1", price="105")
    assert s.seen[1:] == [("fill", 2, 5, 5)]
    s.cancel(order)
    room.quote()
    assert [c.number for c in room.cancelled()] == [2]
    assert s.seen[-1] == ("order", 2, "CANCELED", ())
    closing = s.close("AAPL")
    room.quote()
    [request] = room.accept()
    assert closing is not None
    assert (request.qty, request.side, closing.number) == ("5", Side.SELL, 3)
    room.fill(3)
    assert not s.position("AAPL")


def test_sources_are_not_used_again_after_a_restart() -> None:
    old, _ = first_life()
    used = {f.intent.source for f in old.facts if isinstance(f, Intended | Refused)}
    assert used == {1, 2, 3}
    s = Diary()
    room = Room(s, facts=old.facts, start=False)
    room.recover(orders=tuple(old.working.values()), positions=(VenuePosition(symbol="AAPL", qty="6", avg_entry_price="100"),))
    room.quote()
    room.session.start(room.now)
    order = s.buy("AAPL", 1, limit=99)
    assert order.intent.source == 4
    room.quote()
    assert order.number == 3


def test_a_replay_gives_the_state_that_was() -> None:
    old, _ = first_life()
    room = Room(Diary(), facts=old.facts, start=False)
    assert room.session.execution.state_digest() == old.session.execution.state_digest()
    assert room.session.risk.state_digest() == old.session.risk.state_digest()


def test_strategies_keep_their_ids_and_names_must_differ() -> None:
    room = Room(Diary(), Other())
    again = Room(Other(), Calm(), facts=room.facts, start=False)
    assert {n: s.name for n, s in again.session.strategies.items()} == {2: "Other", 3: "Calm"}
    with pytest.raises(ConfigError, match="two strategies are named Diary"):
        Room(Diary(), Diary())


# ---------------------------------------------------------------------------------------------------- replaces, rejections
def test_a_replace_chain_ends_the_old_order_and_the_new_one_works() -> None:
    s = Diary()
    room = Room(s)
    first = s.buy("AAPL", 10, limit=99)
    room.quote()
    room.accept()
    second = s.replace(first, limit=98, quantity=12)
    room.quote()
    assert first.status is OrderStatus.PENDING_REPLACE
    room.accept()
    assert first.status is OrderStatus.REPLACED
    assert first.is_done
    assert s.open_orders() == [second]
    assert (second.limit, second.quantity, second.status) == (98, 12, OrderStatus.ACCEPTED)
    third = s.replace(second, limit=97)
    room.quote()
    room.reject("too late")
    assert third.status is OrderStatus.REJECTED
    assert third.reason == "too late"
    assert second.status is OrderStatus.ACCEPTED
    assert s.open_orders() == [second]


def test_a_replace_of_an_order_that_is_not_yet_at_the_venue_is_refused_and_it_stays() -> None:
    s = Diary()
    room = Room(s)
    first = s.buy("AAPL", 10, limit=99)
    second = s.replace(first, limit=98)
    room.quote()
    assert second.is_refused
    assert first.number == 1
    assert s.open_orders() == [first]


def test_a_rejection_tells_why() -> None:
    s = Diary()
    room = Room(s)
    order = s.buy("AAPL", 10, limit=99)
    room.quote()
    room.reject("wash trade")
    assert (order.status, order.reason, order.is_done) == (OrderStatus.REJECTED, "wash trade", True)
    assert s.open_orders() == []
    assert s.seen[-1] == ("order", 1, "REJECTED", ())


def test_an_order_thought_absent_that_appears_is_open_again() -> None:
    s = Diary()
    room = Room(s)
    order = s.buy("AAPL", 10, limit=99)
    room.quote()
    [submit] = room.take(Submit)
    abandoned = msgspec.structs.replace(_changed(order), status=OrderStatus.ABANDONED)
    room.session._apply(abandoned)
    assert s.open_orders() == []
    room.session._apply(_changed(order))
    assert s.open_orders() == [order]
    assert not order.is_done
    assert submit.request.number == order.number


def _changed(order: Order) -> Any:
    from pyrt.model import OrderChanged

    return OrderChanged(number=order.number, status=OrderStatus.ACCEPTED, venue_order_id="v1")


# ---------------------------------------------------------------------------------------------------- timers
def test_timers_reach_their_strategy_with_their_name() -> None:
    log: list[Any] = []

    class Clocked(Idle):
        def on_start(self) -> None:
            self.set_timer("a.b", 5)
            self.set_timer("gone", 1)
            self.clear_timer("gone")

        def on_timer(self, name: str) -> None:
            log.append((name, self.now))

    room = Room(Clocked())
    assert room.shell.timers["strategy.1.a.b"] == room.now.venue + 5 * SECOND
    assert "strategy.1.gone" not in room.shell.timers
    room.fire("strategy.1.a.b")
    assert log == [("a.b", room.now.venue)]
    room.step(TimerFired(key="strategy.99.x", at=1, clock=1))  # type: ignore[arg-type]  # of a strategy of an earlier life
    assert len(log) == 1


# ---------------------------------------------------------------------------------------------------- dry run, clock, counts
def test_a_dry_run_decides_everything_and_sends_nothing() -> None:
    s = Diary()
    room = Room(s, dry_run=True)
    order = s.buy("AAPL", 10)
    room.quote()
    assert room.take(Submit) == []
    assert order.breaches == ("DRY_RUN",)
    assert not [f for f in room.shell.facts if isinstance(f, Intended)]
    assert room.session.refusals["DRY_RUN"] == 1
    assert s.seen[-1] == ("order", 0, None, ("DRY_RUN",))


@pytest.mark.parametrize(("ms", "warned", "denied"), [(49, False, False), (51, True, False), (100, True, False), (101, True, True)])
def test_a_clock_that_was_off_warns_at_50_ms_and_denies_above_100(ms: int, warned: bool, denied: bool) -> None:
    s = Diary()
    room = Room(s)
    s.buy("AAPL", 5)
    room.quote()
    room.accept()
    room.fill(1)
    room.tick()
    measured = VenueClock(epoch=room.now.venue - ms * 1_000_000, origin=room.now.mono)
    room.session.step(ClockMeasured(clock=measured, uncertainty=0), room.now)
    assert ("CLOCK_OFFSET" in room.codes()) is warned
    order, exit_ = s.buy("AAPL", 1, limit=99), s.sell("AAPL", 5, limit=101, reduce_only=True)
    room.quote()
    assert order.breaches == (("STALE_DATA",) if denied else ())
    assert not exit_.breaches
    room.tick()
    good = VenueClock(epoch=room.now.venue, origin=room.now.mono)
    room.session.step(ClockMeasured(clock=good, uncertainty=0), room.now)
    again = s.buy("AAPL", 1, limit=98)
    room.quote()
    assert not again.breaches


def test_a_doubtful_measurement_denies_nothing() -> None:
    room = Room(Diary())
    measured = VenueClock(epoch=room.now.venue + 400_000_000, origin=room.now.mono)
    room.session.step(ClockMeasured(clock=measured, uncertainty=500_000_000), room.now)
    assert "CLOCK_OFFSET" not in room.codes()


def test_counts_are_of_everything() -> None:
    s = Diary()
    room = Room(s)
    before = room.session.counts["messages"]
    room.trade()
    s.signal("AAPL", "buy")
    room.quote()
    room.accept()
    room.fill(1)
    counts = room.session.counts
    assert counts["messages"] == before + 2
    assert (counts["signals"], counts["intents"], counts["orders"], counts["fills"]) == (1, 1, 1, 1)


def test_shares_of_nobody_do_not_reach_a_strategy() -> None:
    s = Diary()
    room = Room(s)
    room.session._apply(PositionAdjusted(instrument=1, strategy=0, qty=5 * SHARE, cost=0, reason="r", ts=T0))
    assert not s.position("AAPL")
    assert s.close("AAPL") is None
    assert BUY == 1
    assert room.take(Cancel) == []
