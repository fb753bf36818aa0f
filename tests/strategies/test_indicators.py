"""Indicators and bars of every kind in strategies: fed before on_bar, warmed up by history, the same live and in a backtest."""

import random
from typing import Any

import numpy as np
import pytest
from tests.reference.room import SECOND, T0, Room
from tests.research.conftest import walk

from pyrt import Bar, Strategy
from pyrt._core.types import RecordType, bar_dtype, market_dtype, trade_dtype
from pyrt.bars import BarAggregator, BarSpec, Dollar, Imbalance, Range, Tick, Volume
from pyrt.clock import Now, interval_ns, interval_text
from pyrt.errors import ConfigError, OrderError
from pyrt.indicators import ATR, EMA, SMA, Bollinger, IndicatorSet
from pyrt.research import backtest

CENT = 10_000_000


def prints(n: int, seed: int = 1) -> Any:
    rng = random.Random(seed)
    out = np.zeros(n, trade_dtype)
    out["type"], out["instrument"] = RecordType.TRADE, 1
    out["ts_event"] = out["ts_recv"] = T0 + np.arange(n) * (SECOND // 7)
    out["px"] = 10_000 * CENT + np.cumsum([rng.randint(-3, 3) * CENT for _ in range(n)])
    out["qty"] = [rng.randint(1, 300) * 10**9 for _ in range(n)]
    return out


class Keeps(Strategy):
    symbols = ("AAPL",)
    interval: str | int | BarSpec = "tick:40"

    def on_start(self) -> None:
        self.seen: list[bytes] = []

    def on_bar(self, bar: Bar) -> None:
        row = np.frombuffer(bar.to_bytes(), np.uint8).copy()
        self.seen.append(row.tobytes())
        assert bar.end >= bar.start
        assert bar.interval == interval_ns(self.interval)


def core_of(bars: Any) -> list[tuple[int, ...]]:
    names = (
        "start",
        "ts_event",
        "interval",
        "open_px",
        "high_px",
        "low_px",
        "close_px",
        "volume",
        "notional_lo",
        "trades",
        "flags",
    )
    return [tuple(int(bar[name]) for name in names) for bar in bars]


@pytest.mark.row("S022")
@pytest.mark.parametrize("spec", ["tick:40", Tick(1), Volume(5_000), Dollar(400_000), Range("0.15"), Imbalance(30)])
def test_live_and_backtest_and_the_aggregator_make_the_same_bars(spec: Any) -> None:
    trades = prints(1_500)
    alone = BarAggregator([spec], instrument=1)
    alone.apply(trades)
    wanted = core_of(alone.take())
    assert len(wanted) > 10
    live, file = type("Keeps", (Keeps,), {"interval": spec})(), type("Keeps", (Keeps,), {"interval": spec})()
    room = Room(live)
    for part in np.array_split(trades.view(market_dtype), 40):
        room.session.on_market(part, Now(int(part["ts_event"][-1]), int(part["ts_event"][-1])))
    backtest(file, trades.view(market_dtype), progress=False)
    for strategy in (live, file):
        assert core_of(np.frombuffer(b"".join(strategy.seen), bar_dtype)) == wanted
    assert core_of(live.history("AAPL", 1000)) == wanted[-1000:]


class Averages(Strategy):
    symbols = ("AAPL",)
    interval = "1m"

    def on_start(self) -> None:
        self.fast, self.range = EMA(3), ATR(4)
        self.set = self.indicators("AAPL", self.fast, self.range, Bollinger(5))
        self.seen: list[tuple[float, ...]] = []
        self.bars_seen: list[Bar] = []

    def on_bar(self, bar: Bar) -> None:
        self.bars_seen.append(bar)
        assert (self.fast.value == self.set.values[0]) or not self.fast.ready
        self.seen.append(tuple(self.set.values))


@pytest.mark.row("S011")
def test_indicators_are_up_to_date_in_on_bar() -> None:
    strategy = Averages()
    bars = walk(200)
    backtest(strategy, {"AAPL": bars}, progress=False)
    assert len(strategy.seen) == 200
    alone = IndicatorSet(EMA(3), ATR(4), Bollinger(5))
    assert np.array(strategy.seen).tobytes() == alone.apply(bars).tobytes()


@pytest.mark.row("S011")
def test_indicators_begin_with_the_history_that_there_is() -> None:
    bars = walk(60)
    strategy = Averages()
    room = Room(strategy, start=False)
    for bar in bars[:40]:
        bar = bar.copy()
        bar["instrument"] = 1
        room.session.desk.keep_bar(1, interval_ns("1m"), bar)
    room.session.start(Now(T0, T0))
    assert strategy.fast.ready
    assert strategy.set.values.tobytes() == IndicatorSet(EMA(3), ATR(4), Bollinger(5)).apply(bars[:40])[-1].tobytes()


def one_bar(start: int, close: int, revision: int = 0) -> Any:
    bar = walk(1)
    bar["instrument"], bar["start"], bar["ts_event"], bar["revision"] = 1, start, start + 60 * SECOND, revision
    for name in ("open_px", "high_px", "low_px", "close_px"):
        bar[name] = close * CENT
    bar["trades"] = 1
    return bar


def test_what_is_amended_or_late_does_not_move_an_average() -> None:
    class Mean(Strategy):
        symbols = ("AAPL",)
        interval = "1m"

        def on_start(self) -> None:
            self.mean = SMA(2)
            self.indicators("AAPL", self.mean)
            self.told: list[float] = []

        def on_bar(self, bar: Bar) -> None:
            self.told.append(self.mean.value)

    strategy = Mean()
    room = Room(strategy)
    minute = 60 * SECOND
    told = [(0, 100, 0), (2, 300, 0), (2, 900, 1), (1, 900, 0), (3, 500, 0)]
    for at, close, revision in told:
        room.session.bars(one_bar(T0 + at * minute, close, revision))
    assert np.isnan(strategy.told[0])
    assert strategy.told[1:] == [2.0, 2.0, 2.0, 4.0]


def test_indicators_without_on_bar_and_of_two_symbols() -> None:
    class Silent(Strategy):
        symbols = ("AAPL", "MSFT")
        interval = "1m"

        def on_start(self) -> None:
            self.means = {symbol: SMA(1) for symbol in self.symbols}
            for symbol, mean in self.means.items():
                self.indicators(symbol, mean)
            self.more = SMA(1)
            self.indicators("AAPL", self.more)

    strategy = Silent()
    one, two = walk(5, seed=1), walk(5, seed=2)
    backtest(strategy, {"AAPL": one, "MSFT": two}, progress=False)
    assert [m.value for m in strategy.means.values()] == [one["close_px"][-1] / 1e9, two["close_px"][-1] / 1e9]
    assert strategy.more.value == strategy.means["AAPL"].value


def test_indicators_of_a_symbol_without_bars() -> None:
    class Wrong(Strategy):
        symbols = ("AAPL",)

        def on_start(self) -> None:
            with pytest.raises(OrderError, match="no instrument"):
                self.indicators("NONE", SMA(1))
            self.asked = True

    strategy = Wrong()
    Room(strategy)
    assert strategy.asked


def test_words_of_intervals() -> None:
    assert interval_ns("tick:100") == interval_ns(Tick(100)) == interval_ns(Tick(100).code) == Tick(100).code
    assert interval_text(Tick(100).code) == "tick:100"
    assert interval_text(interval_ns("5m")) == "5m"
    assert Keeps(interval="volume:5").interval == "volume:5"
    assert type("Typed", (Keeps,), {"interval": Tick(5)})(interval="range:0.5").interval == Range("0.5")
    for wrong in ("tick:0", "bars:5", "m5", 0):
        with pytest.raises(ConfigError):
            interval_ns(wrong)
