"""The session's side of a strategy's verbs: bar history, signals, what is remembered of orders."""

import numpy as np
import pytest
from tests.reference.room import PX, QTY, SECOND, T0, Room

from pyrt._core.recent import RecentBars
from pyrt._core.types import Side, bar_dtype
from pyrt.clock import interval_text
from pyrt.errors import OrderError
from pyrt.execution import past
from pyrt.model import Filled, OrderStatus, Signal, money
from pyrt.ports import Submit
from pyrt.signals import Notional
from pyrt.strategies import Order, Strategy

MINUTE = 60 * SECOND


def bar(start: int, close: int = 1, revision: int = 0) -> np.void:
    row = np.zeros(1, bar_dtype)
    row["start"], row["close_px"], row["revision"] = start, close, revision
    return row[0]


class Idle(Strategy):
    symbols = ("AAPL",)


# ---------------------------------------------------------------------------------------------------- bars kept
@pytest.mark.parametrize("seed", range(5))
def test_the_window_of_bars_is_the_newest_in_order_with_amendments_in_place(seed: int) -> None:
    rng = np.random.default_rng(seed)
    keep = 8
    kept, oracle = RecentBars(keep), {}
    newest = 100
    for step in range(1, 400):
        newest += int(rng.integers(1, 3)) if rng.random() < 0.8 else 0
        start = newest if rng.random() < 0.7 else max(newest - int(rng.integers(1, 12)), 1)
        kept.add(bar(start, step))
        window = sorted(oracle)[-keep:]
        if start in oracle or len(window) < keep or start > window[0]:
            oracle[start] = step
        expected = sorted(oracle)[-keep:]
        for n in (1, 3, keep, 100):
            got = kept.last(n)
            assert got["start"].tolist() == expected[-n:]
            assert got["close_px"].tolist() == [oracle[s] for s in expected[-n:]]


def test_last_is_a_copy_of_bar_dtype_and_of_nothing_for_no_bars() -> None:
    kept = RecentBars(4)
    assert kept.last(3).dtype == bar_dtype
    assert len(kept.last(3)) == 0
    kept.add(bar(5))
    got = kept.last(3)
    got["close_px"] = 99
    assert kept.last(1)["close_px"].tolist() == [1]
    assert len(kept.last(0)) == len(kept.last(-1)) == 0


def test_history_and_bars_through_a_strategy() -> None:
    class Minutes(Idle):
        interval = "1m"

        def on_bar(self, b: object) -> None:
            self.n = len(self.history("AAPL", 1000))

    class Seconds(Idle):
        interval = "1s"

    m, s = Minutes(), Seconds()
    room = Room(m, s)
    assert m.history("AAPL", 5).dtype == bar_dtype
    assert len(m.history(5)) == 0
    for i in range(61):
        room.trade(price=100 + i, ts=T0 + i * SECOND)
    room.close_bars(T0 + MINUTE)
    assert m.n == 1  # the bar of the callback is in it
    [row] = m.history(5)
    assert (row["open_px"], row["close_px"], row["instrument"]) == (100 * PX, 159 * PX, 1)
    assert s.history("AAPL", 3)["close_px"].tolist() == [157 * PX, 158 * PX, 159 * PX]
    assert m.bars("AAPL", 2, interval="1s")["close_px"].tolist() == [158 * PX, 159 * PX]
    with pytest.raises(OrderError, match="makes no 5m bars; of this symbol it makes: 1s, 1m"):
        m.bars("AAPL", interval="5m")
    with pytest.raises(OrderError, match="no instrument 'TSLA'"):
        m.history("TSLA", 1)


def test_a_late_trade_amends_the_bar_in_history() -> None:
    bars: list[tuple[int, float]] = []

    class Late(Idle):
        interval = "1s"

        def on_bar(self, b) -> None:  # type: ignore[no-untyped-def]
            bars.append((b.revision, b.close, self.history(1)["close_px"][0] / PX))

    s = Late()
    room = Room(s)
    room.trade(price=100, ts=T0)
    room.close_bars(T0 + SECOND)
    room.trade(price=101, ts=T0 + SECOND // 2)  # of the bar that was closed
    room.close_bars(T0 + 2 * SECOND)
    assert bars == [(0, 100.0, 100.0), (1, 101.0, 101.0)]
    assert len(s.history(10)) == 1


def test_history_without_a_symbol_needs_one_symbol() -> None:
    class Two(Strategy):
        symbols = ("AAPL", "MSFT")

    s = Two()
    Room(s)
    with pytest.raises(OrderError, match=r"write history\(symbol, 5\)"):
        s.history(5)


def test_interval_text() -> None:
    assert [interval_text(i * SECOND) for i in (1, 90, 300, 3600, 86_400)] == ["1s", "90s", "5m", "1h", "1d"]


# ---------------------------------------------------------------------------------------------------- signals
def test_signals_become_intents_that_expire_with_them() -> None:
    s = Idle()
    room = Room(s, sizer=Notional(1000))
    order = s.signal("AAPL", "buy")
    assert order is not None
    assert order.intent.qty == 9 * QTY  # at the ask of 100.01
    assert order.intent.valid_until == room.now.venue + SECOND
    [signal] = [m for m in room.shell.told if isinstance(m, Signal)]
    assert (signal.action, signal.valid_until) == ("buy", room.now.venue + SECOND)
    room.quote()
    room.accept()
    room.fill(1)
    closing = s.signal("AAPL", "close")
    assert closing is not None
    assert (closing.intent.side, closing.intent.qty, closing.intent.reduce_only) == (Side.SELL, 9 * QTY, True)


def test_a_signal_that_is_worth_nothing_is_counted() -> None:
    s = Idle()
    room = Room(s, sizer=Notional(50))
    assert s.signal("AAPL", "buy") is None
    assert s.signal("AAPL", "close") is None
    assert room.session.counts["unsized"] == 2
    for action, confidence in (("hold", 1.0), ("buy", 1.5), ("buy", float("nan"))):
        with pytest.raises(OrderError, match="means nothing"):
            s.signal("AAPL", action, confidence)


def test_an_intent_that_waited_too_long_is_not_sent() -> None:
    s = Idle()
    room = Room(s)
    order = s.signal("AAPL", "buy")
    assert order is not None
    room.tick(2 * SECOND)
    room.quote()
    assert room.take(Submit) == []
    assert order.status is OrderStatus.CANCELED_LOCAL
    assert order.reason == "valid_until passed"


# ---------------------------------------------------------------------------------------------------- orders remembered
def test_the_desk_stays_small_and_late_fills_still_arrive(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(past, "KEPT", 20)
    late: list[tuple[int, int, object]] = []

    class Rests(Idle):
        def on_fill(self, order: Order, fill: Filled) -> None:
            late.append((order.number, int(order.filled), order.average))

    s = Rests()
    room = Room(s)
    resting = s.buy("AAPL", 1, limit=90)
    room.quote()
    room.accept()
    for _ in range(60):
        order = s.buy("AAPL", 2, limit=95)
        room.quote()
        room.accept()
        s.cancel(order)
        room.quote()
        room.cancelled()
    for _ in range(60):
        s.buy("AAPL", 10**8)  # refused
        room.quote()
    desk = room.session.desk
    assert len(desk._by_number) <= 22
    assert len(desk._orders) == 1
    assert s.open_orders() == [resting]
    room.fill(3, "1")  # done and forgotten: the venue tells of a fill after all
    assert late == [(3, 1, None)]
    assert s.position("AAPL").quantity == 1
    room.fill(1)
    assert late[1] == (1, 1, 100)


def test_orders_of_another_strategy_are_left_alone() -> None:
    class A(Idle):
        pass

    class B(Idle):
        pass

    a, b = A(), B()
    room = Room(a, b)
    mine, theirs = a.buy("AAPL", 1, limit=90), b.buy("AAPL", 2, limit=90)
    room.quote()
    room.accept()
    assert mine.intent.source == theirs.intent.source
    for verb in (a.cancel, a.replace):
        with pytest.raises(OrderError, match="another strategy's"):
            verb(theirs)
    assert a.open_orders() == [mine]
    assert b.open_orders("AAPL") == [theirs]
    assert b.open_orders("MSFT") == []


def test_money_is_exact_at_any_size() -> None:
    assert str(money((1 << 127) - 1)) == "170141183460469231731.687303715884105727"
